"""profile_step: the layers' times add up to the step, their operations are those counted by hand."""

import dataclasses
import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from tinybench.cli.profile_step import table
from tinybench.configuration import get_recipe
from tinybench.figures import roofline
from tinybench.models import build_model
from tinybench.profiling import layers
from tinybench.profiling.layers import layers_of, profile_step

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def profiled():
    recipe = dataclasses.replace(get_recipe("resnet"), batch_size=2, precision="fp32")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(layers, "matmul_flops", lambda device, dtype: 1e11)
        patch.setattr(layers, "copy_bytes", lambda device: 1e10)
        return profile_step(recipe, 200, torch.device("cpu"), steps=1)


def test_the_layers_are_those_of_the_paper():
    names = [name for name, _ in layers_of(build_model("resnet", num_classes=10))]
    blocks = [f"stages.{stage}.{block}" for stage in range(4) for block in range(2)]
    assert names == ["stem", *blocks, "pool", "dropout", "head"]
    assert len(list(layers_of(build_model("vgg", num_classes=10)))) > 1


def test_times_add_up_to_the_step(profiled):
    explained = sum(layer["forward_ms"] + layer["backward_ms"] for layer in profiled["layers"])
    assert 0.8 * profiled["step_ms"] < explained <= profiled["step_ms"]
    assert all(layer["forward_ms"] > 0 for layer in profiled["layers"])
    blocks = [layer for layer in profiled["layers"] if layer["name"].startswith("stages")]
    assert all(layer["backward_ms"] > 0 for layer in blocks)


def test_the_step_is_timed_by_the_clock(monkeypatch):
    """Also what the profiler does not see: on MPS everything, on a GPU the thread of the backward pass."""
    monkeypatch.setattr(layers, "matmul_flops", lambda device, dtype: 1e11)
    monkeypatch.setattr(layers, "copy_bytes", lambda device: 1e10)
    monkeypatch.setattr(layers, "synchronize", lambda device: time.sleep(0.3))
    monkeypatch.setattr(layers, "TIMED", ())
    recipe = dataclasses.replace(get_recipe("speedrun"), batch_size=2, precision="fp32")
    profiled = profile_step(recipe, 10, torch.device("cpu"), steps=1)
    assert profiled["step_ms"] > 300
    assert not profiled["layers_timed"]
    assert sum(layer["forward_ms"] for layer in profiled["layers"]) == 0
    lines = table(profiled).splitlines()
    assert lines[0].split() == ["layer", "GFLOP", "kept", "MiB"]
    assert "explain" not in lines[-1]


def test_operations_bytes_and_memory_by_hand(profiled):
    layers = {layer["name"]: layer for layer in profiled["layers"]}
    images, pixels = 2, 64 * 64
    assert layers["stem"]["flops"] == 3 * images * 2 * pixels * 27 * 64
    assert layers["head"]["flops"] == 3 * images * 2 * 512 * 200
    weights, activations = 27 * 64 + 2 * 64, images * pixels
    # Convolution, norm and ReLU: 3 channels in, then 64 out, in, out, in, out.
    assert layers["stem"]["bytes"] == 3 * 4 * (weights + activations * (3 + 5 * 64))
    # The image, the convolution's output, and the norm's, which the ReLU overwrites; a few numbers of the norm.
    kept = layers["stem"]["kept_bytes"] - 4 * activations * (3 + 2 * 64)
    assert 0 <= kept < 10_000


def test_the_figure_shows_layers_below_the_limit(profiled):
    (ax,) = roofline(profiled).axes
    (points,) = ax.collections
    assert len(points.get_offsets()) == 10  # stem, blocks and head: the others have no operations that are counted
    assert any(text.get_text() == "stages.0.0" for text in ax.texts)


def test_the_command(tmp_path):
    command = [sys.executable, str(ROOT / "src/profile_step.py"), "--output_dir", str(tmp_path), "--model"]
    small = ["alexnet", "--batch_size", "2", "--image_size", "32", "--steps", "1"]
    done = subprocess.run([*command, *small], capture_output=True, text=True, check=True)
    assert "kept for the backward pass" in done.stdout
    files = {path.name for path in (tmp_path / "alexnet").iterdir()}
    assert files == {"profile.json", "roofline.png", "trace.json.gz"}
    assert json.loads((tmp_path / "alexnet/profile.json").read_text())["model"] == "alexnet"
    wrong = subprocess.run([*command, "lenet"], capture_output=True, text=True)
    assert wrong.returncode == 2
    assert "unknown model 'lenet'" in wrong.stderr
