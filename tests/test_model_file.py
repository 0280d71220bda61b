"""A network of one's own, from a file outside of the package: trained, tested and asked as a user would."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

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


@pytest.fixture
def my_net(tmp_path):
    path = tmp_path / "my_net.py"
    path.write_text(MY_NET)
    return path


@pytest.fixture(autouse=True)
def clean_registry():
    before = dict(MODELS)
    yield
    for name in MODELS.keys() - before.keys():
        del MODELS[name]


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
        ("RECIPES = {}", "registers no network"),
        ("from tinybench.models import MODELS\nMODELS['a'] = MODELS['vit']", "RECIPES"),
        ("1 / 0", "division by zero"),
        (MY_NET.replace('MODELS["my_net"]', 'MODELS["resnet"]'), "replaces resnet"),
        (MY_NET.replace('RECIPES = {"my_net"', 'RECIPES = {"resnet"'), "has a recipe resnet"),
    ],
)
def test_files_that_do_not_do_are_refused(tmp_path, text, message):
    (tmp_path / "net.py").write_text(text)
    former = MODELS["resnet"]
    with pytest.raises(UsageError, match=message):
        load_model_file(tmp_path / "net.py")
    assert MODELS["resnet"] is former
