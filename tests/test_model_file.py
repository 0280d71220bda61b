"""A network of one's own, from a file outside of the package: trained, tested and asked as a user would."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tinybench.data.augment.operations import OPERATIONS
from tinybench.data.augment.policy import build_policy, normalize
from tinybench.errors import UsageError
from tinybench.model_file import load_model_file
from tinybench.models import MODELS, ModelInfo
from tinybench.recipe import Recipe

REPOSITORY = Path(__file__).resolve().parents[1]
MY_NET = """
from torch import nn

from tinybench.models import MODELS, ModelInfo
from tinybench.recipe import Recipe


class MyNet(nn.Module):
    def __init__(self, *, num_classes, dim=8, dropout=0.0):
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(3, dim, 5, stride=4), nn.BatchNorm2d(dim), nn.ReLU())
        self.pool = nn.AdaptiveAvgPool2d(2)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(4 * dim, num_classes)

    def forward(self, x):
        return self.head(self.dropout(self.pool(self.features(x)).flatten(1)))


MODELS["my_net"] = ModelInfo("My network", 2026, "not yet", MyNet, recipe="my_net")
RECIPES = {"my_net": Recipe(model="my_net", dataset="demo", model_options={"dim": 6}, epochs=1)}
"""
INVERT = """
from dataclasses import dataclass

import torch

from tinybench.data.augment.operations import OPERATIONS, Pixelwise, Probability
from tinybench.recipe import Recipe


@dataclass(frozen=True)
class Invert(Pixelwise):
    probability: Probability

    def ranges(self, size):
        return ((0, 1),)

    def change(self, images, values, scratch):
        return torch.where(values[:, :, None, None] < self.probability, 255 - images, images)


OPERATIONS["invert"] = Invert
RECIPES = {"inverted": Recipe(model="alexnet", dataset="demo", image_size=32, epochs=1, augment="flip|invert(0.2)")}
"""


@pytest.fixture
def my_net(tmp_path):
    path = tmp_path / "my_net.py"
    path.write_text(MY_NET)
    return path


@pytest.fixture(autouse=True)
def clean_registry():
    registries = (MODELS, OPERATIONS)
    before = [dict(registry) for registry in registries]
    yield
    for registry, former in zip(registries, before, strict=True):
        for name in registry.keys() - former.keys():
            del registry[name]


def command(folder, script, *flags):
    return subprocess.run(
        [sys.executable, REPOSITORY / "src" / script, "--device", "cpu", *map(str, flags)],
        cwd=folder, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True,
    )  # fmt: skip


def test_train_test_and_infer_from_outside_of_the_package(my_net, demo_data, tmp_path):
    flags = ("--data_dir", demo_data, "--model_file", "my_net.py")
    trained = command(tmp_path, "train.py", "--model", "my_net", "--images_per_class", 5, "--batch_size", 20, *flags)
    assert trained.returncode == 0, trained.stderr
    assert "my_net: 718 parameters" in trained.stdout  # 6 kernels of 75 + 1, 2 * 6 of the norm, 10 * (24 + 1)
    assert "next: python src/test.py --run my_net" in trained.stdout
    assert "--model_file my_net.py" in trained.stdout
    tested = command(tmp_path, "test.py", "--run", "my_net", *flags)
    assert tested.returncode == 0, tested.stderr
    assert (tmp_path / "results" / "my_net" / "test_results.json").exists()
    image = next((demo_data / "curated" / "demo" / "test").rglob("*.JPEG"))
    answered = command(tmp_path, "infer.py", "--image", image, "--top_k", 2, "--model_file", "my_net.py")
    assert answered.returncode == 0, answered.stderr
    assert "my_net on demo" in answered.stdout

    forgotten = command(tmp_path, "test.py", "--model", "my_net", "--data_dir", demo_data)
    assert forgotten.returncode == 2
    assert forgotten.stderr.count("\n") == 1
    assert "unknown model 'my_net'" in forgotten.stderr
    assert "--model_file" in forgotten.stderr


def test_the_recipes_of_the_file_come_back(my_net):
    recipes = load_model_file(my_net)
    assert recipes == {"my_net": Recipe(model="my_net", dataset="demo", model_options={"dim": 6}, epochs=1)}
    assert isinstance(MODELS["my_net"], ModelInfo)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("RECIPES = {}", "registers no network and no operation"),
        (INVERT.replace('OPERATIONS["invert"]', 'OPERATIONS["flip"]'), "replaces flip in OPERATIONS"),
        (INVERT.replace("= Invert", "= Invert(0.5)"), "invert in OPERATIONS must be a class of Geometric"),
        ("from tinybench.models import MODELS\nMODELS['a'] = MODELS['vit']", "RECIPES"),
        ("1 / 0", "division by zero"),
        (MY_NET.replace('MODELS["my_net"]', 'MODELS["resnet"]'), "replaces resnet"),
        (MY_NET.replace('RECIPES = {"my_net"', 'RECIPES = {"resnet"'), "has a recipe resnet"),
    ],
)
def test_files_that_do_not_do_are_refused(tmp_path, text, message):
    (tmp_path / "net.py").write_text(text)
    former, flip = MODELS["resnet"], OPERATIONS["flip"]
    with pytest.raises(UsageError, match=message):
        load_model_file(tmp_path / "net.py")
    assert MODELS["resnet"] is former
    assert OPERATIONS["flip"] is flip


def test_a_plan_and_a_profile_of_a_network_from_outside(my_net, demo_data, tmp_path):
    small = ("--images_per_class", 5, "--batch_size", 20, "--precision", "fp32", "--model_file", "my_net.py")
    compared = command(tmp_path, "compare.py", "--models", "my_net", "--seeds", 1, "--data_dir", demo_data, *small)
    assert compared.returncode == 0, compared.stderr
    assert (tmp_path / "results" / "comparison" / "my_net" / "seed0" / "test_results.json").exists()
    flags = ("--steps", 1, "--batch_size", 2, "--model_file", "my_net.py")
    profiled = command(tmp_path, "profile_step.py", "--model", "my_net", *flags)
    assert profiled.returncode == 0, profiled.stderr
    assert "features" in profiled.stdout


def test_an_operation_of_augmentation(tmp_path):
    path = tmp_path / "invert.py"
    path.write_text(INVERT)
    assert load_model_file(path)["inverted"].augment == "flip|invert(0.2)"
    mean, std = (0.5,) * 3, (0.25,) * 3
    images = torch.randint(0, 256, (400, 3, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    out = build_policy("invert(0.2)", 8, mean, std)(images, torch.Generator().manual_seed(1))
    plain, inverse = (normalize(each, 8, mean, std) for each in (images, 255 - images))
    inverted = (out == inverse).flatten(1).all(1)
    assert torch.equal(out, torch.where(inverted[:, None, None, None], inverse, plain))
    assert inverted.float().mean().item() == pytest.approx(0.2, abs=0.05)
    with pytest.raises(UsageError, match=r"'invert\(2\)': probability .*it is invert\(probability in \(0, 1\]\)"):
        build_policy("invert(2)", 8, mean, std)


def test_a_run_with_an_operation_of_a_file(demo_data, tmp_path):
    (tmp_path / "invert.py").write_text(INVERT)
    flags = ("--recipe", "inverted", "--data_dir", demo_data, "--images_per_class", 5, "--batch_size", 20)
    trained = command(tmp_path, "train.py", *flags, "--model_file", "invert.py")
    assert trained.returncode == 0, trained.stderr
    saved = json.loads((tmp_path / "results" / "inverted" / "history.json").read_text())
    assert saved["config"]["augment"] == "flip|invert(0.2)"
    forgotten = command(tmp_path, "train.py", "--resume", "--run_name", "inverted", "--data_dir", demo_data)
    assert forgotten.returncode == 2
    assert "--model_file" in forgotten.stderr
