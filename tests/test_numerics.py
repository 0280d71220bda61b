"""precision auto: what the probe chooses, what it costs, what is remembered."""

import contextlib
import dataclasses
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from tinybench.errors import UsageError, UserError
from tinybench.recipe import Recipe
from tinybench.training import numerics, step_time
from tinybench.training.freezing import ALL_BUT_HEAD
from tinybench.training.numerics import check_numerics, choose_numerics, describe, memory_path, probe

ROOT = Path(__file__).resolve().parents[1]
CPU = torch.device("cpu")
RECIPE = Recipe(model="alexnet", epochs=10, batch_size=64)
FULL = 80_000


class FakeSteps:
    """Stands in for step_seconds: seconds an image by numerics, and how many images were worked through."""

    def __init__(self, seconds: dict[str, float]) -> None:
        self.seconds, self.images = seconds, 0

    def __call__(
        self, recipe: Recipe, num_classes: int, device: torch.device, *, batch_size: int, steps: int, rounds: int
    ) -> float:
        self.images += batch_size * (1 + steps * rounds)
        if describe(recipe) not in self.seconds:
            raise RuntimeError("no compiler")
        return batch_size * self.seconds[describe(recipe)]


@pytest.fixture(autouse=True)
def _fresh_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TINYBENCH_CACHE", str(tmp_path))


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> Callable[..., FakeSteps]:
    """Gives the probe times instead of taking them, on a machine that has bf16."""
    monkeypatch.setattr(numerics, "_bf16_is_worth_a_try", lambda: True)

    def install(**seconds: float) -> FakeSteps:
        fake = FakeSteps({name.replace("_and_", " "): value for name, value in seconds.items()})
        monkeypatch.setattr(numerics, "step_seconds", fake)
        return fake

    return install


RESNET = {"fp32": 0.09, "fp32_and_channels_last": 0.088, "bf16": 0.06, "bf16_and_channels_last": 0.038}
EFFICIENTNET = {"fp32": 0.030, "fp32_and_channels_last": 0.031, "bf16": 0.06, "bf16_and_channels_last": 0.065}


@pytest.mark.parametrize(
    ("seconds", "expected"), [(RESNET, "bf16 channels_last"), (EFFICIENTNET, "fp32")], ids=["resnet", "efficientnet"]
)
def test_the_fastest_is_chosen_and_noise_does_not_decide(steps, seconds, expected) -> None:
    steps(**seconds)
    chosen = choose_numerics(RECIPE, FULL, 200, CPU)
    assert describe(chosen) == expected
    assert dataclasses.replace(chosen, precision="auto", channels_last=False) == RECIPE


def test_compiling_is_tried_for_long_runs_only_and_may_fail(steps, capsys) -> None:
    compiled = {"bf16_and_channels_last_and_compile": 0.02}
    steps(**RESNET, **compiled)
    assert describe(fastest_of(images=10 * FULL)) == "bf16 channels_last compile"
    assert describe(fastest_of(images=50_000)) == "bf16 channels_last"
    steps(**RESNET)
    assert describe(fastest_of(images=10 * FULL)) == "bf16 channels_last"
    assert "bf16 channels_last compile does not work here (RuntimeError: no compiler)" in capsys.readouterr().out


def fastest_of(images: int) -> Recipe:
    return numerics.fastest(probe(RECIPE, images, 200, CPU))[0]


@pytest.mark.parametrize("images", [4_000, 20_000, 800_000])
def test_a_probe_works_through_three_percent_of_the_run_at_most(steps, images) -> None:
    fake = steps(**RESNET)
    assert probe(RECIPE, images, 10, CPU)
    assert 0 < fake.images <= 0.03 * images


def test_a_short_run_is_not_probed(steps, capsys) -> None:
    fake = steps(**RESNET)
    assert choose_numerics(RECIPE, 100, 10, CPU).precision == "fp32"
    assert fake.images == 0
    assert "too short" in capsys.readouterr().out
    assert not memory_path().exists()


def test_what_fails_is_left_out_and_said(steps, capsys):
    """Out of memory in NHWC, say; where everything fails, the run itself will say why."""
    steps(fp32=0.09, bf16=0.06)
    assert describe(choose_numerics(RECIPE, 10_000, 200, CPU)) == "bf16"
    assert "fp32 channels_last does not work here (RuntimeError: no compiler)" in capsys.readouterr().out
    steps()
    assert describe(choose_numerics(dataclasses.replace(RECIPE, model="vgg"), FULL, 200, CPU)) == "fp32"
    assert memory_path().read_text().count("images") == 0


def test_what_is_wrong_with_the_recipe_ends_the_probe() -> None:
    with pytest.raises(UsageError, match="no option"):
        probe(dataclasses.replace(RECIPE, model_options={"depth": 3}), FULL, 10, CPU)


def test_a_remembered_choice_that_works_no_more_is_forgotten(steps, monkeypatch, capsys) -> None:
    compiled = {"bf16_and_channels_last_and_compile": 0.02}
    steps(**RESNET, **compiled)
    long = dataclasses.replace(RECIPE, epochs=100)
    monkeypatch.setattr(numerics, "check_compiler", lambda device: None)
    assert choose_numerics(long, FULL, 200, CPU) == choose_numerics(long, FULL, 200, CPU)
    assert describe(choose_numerics(long, FULL, 200, CPU)) == "bf16 channels_last compile"

    def without_compiler(device: torch.device) -> None:
        raise UserError("no compiler here")

    monkeypatch.setattr(numerics, "check_compiler", without_compiler)
    steps(**RESNET)
    assert describe(choose_numerics(long, FULL, 200, CPU)) == "bf16 channels_last"
    assert "is forgotten: no compiler here" in capsys.readouterr().out
    assert "compile does not work" not in memory_path().read_text()
    assert numerics.remembered(CPU) == {"alexnet at 64 px, batch 64": "bf16 channels_last"}


def test_a_process_tries_its_share_of_a_batch(steps, monkeypatch) -> None:
    monkeypatch.setattr(numerics.distributed, "world_size", lambda: 4)
    fake = steps(**RESNET)
    choose_numerics(RECIPE, FULL, 200, CPU)
    assert fake.images == 4 * 3 * 16 + 3 * 16  # four ways and compiled, a warm-up and two steps, a quarter of 64 images
    assert "batch 16" in next(iter(numerics.remembered(CPU)))


def test_mps_is_never_asked_for_nhwc_or_a_compiler(steps, monkeypatch) -> None:
    """Its gradients were wrong in NHWC, and compiled sums are."""
    steps(fp32=0.09, bf16=0.06, fp32_and_channels_last=0.01, bf16_and_compile=0.01)
    monkeypatch.setattr(numerics, "reset_peak_memory", lambda device: None)
    rates = probe(RECIPE, 10**9, 200, torch.device("mps"))
    assert [describe(recipe) for recipe, _ in rates] == ["fp32", "bf16"]


@pytest.mark.parametrize(("version", "refused"), [("2.11.0", True), ("2.13.1", True), ("2.14.0", False)])
def test_nhwc_on_mps_needs_the_torch_that_has_the_fix(monkeypatch, version, refused) -> None:
    monkeypatch.setattr(torch, "__version__", torch.torch_version.TorchVersion(version))
    recipe = dataclasses.replace(RECIPE, precision="fp32", channels_last=True)
    with pytest.raises(UsageError, match=version) if refused else contextlib.nullcontext():
        check_numerics(recipe, torch.device("mps"))
    with pytest.raises(UsageError, match="compile on mps"):
        check_numerics(dataclasses.replace(recipe, channels_last=False, compile=True), torch.device("mps"))


def test_compile_without_a_compiler_is_one_line(tmp_path: Path) -> None:
    command = [sys.executable, "src/train.py", "--model", "svm", "--precision", "fp32", "--compile", "--device", "cpu"]
    command += ["--data_dir", str(tmp_path), "--results_dir", str(tmp_path)]
    environment = os.environ | {"CXX": "/nowhere"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 1
    line = done.stderr.strip().splitlines()[-1]
    assert line.startswith("error: torch.compile does not work here (InvalidCxxCompiler")
    assert line.endswith("train without --compile")


def test_what_was_found_is_remembered_for_this_network(steps, capsys) -> None:
    first = steps(**RESNET)
    chosen = choose_numerics(RECIPE, FULL, 200, CPU)
    again = steps(**EFFICIENTNET)
    assert choose_numerics(dataclasses.replace(RECIPE, seed=3), 100, 10, CPU) == dataclasses.replace(chosen, seed=3)
    assert again.images == 0 < first.images
    assert str(memory_path()) in capsys.readouterr().out
    assert describe(choose_numerics(dataclasses.replace(RECIPE, model="efficientnet"), FULL, 200, CPU)) == "fp32"
    assert again.images > 0
    memory_path().write_text("{")  # damaged: found out anew
    assert describe(choose_numerics(RECIPE, FULL, 200, CPU)) == "fp32"


def test_a_precision_that_is_given_stays(steps) -> None:
    fake = steps(**RESNET)
    recipe = dataclasses.replace(RECIPE, precision="fp32")
    assert choose_numerics(recipe, FULL, 200, CPU) is recipe
    assert fake.images == 0


def test_a_real_probe_measures_every_candidate() -> None:
    recipe = Recipe(model="alexnet", model_options={"dim": 8}, epochs=1, batch_size=8, image_size=32)
    rates = probe(recipe, 4_000, 10, CPU)
    assert [describe(each) for each, _ in rates][:2] == ["fp32", "fp32 channels_last"]
    assert all(rate > 0 for _, rate in rates)


def test_what_is_frozen_is_measured_frozen_and_remembered_apart(monkeypatch) -> None:
    """A probe of features costs no backward pass of the body, in which other numerics may be the fastest."""
    trained: list[int] = []
    build = step_time.build_optimizer

    def counting(model: torch.nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
        trained.append(sum(parameter.requires_grad for parameter in model.parameters()))
        return build(model, recipe)

    monkeypatch.setattr(step_time, "build_optimizer", counting)
    for freeze in ("", ALL_BUT_HEAD):
        recipe = Recipe(
            model="alexnet",
            model_options={"dim": 8},
            epochs=1,
            batch_size=8,
            image_size=32,
            freeze=freeze,
            pretrained="any",
        )
        assert choose_numerics(recipe, 4_000, 10, CPU).precision != "auto"
    assert trained[-1] == 2  # weight and bias of the head
    assert trained[0] > 2
    assert len(json.loads(memory_path().read_text())) == 2
