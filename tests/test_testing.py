"""Testing checkpoints that are not simply the best of a run: other files, odd data, diverged networks."""

import importlib.util
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tinybench.data import datasets
from tinybench.errors import UsageError, UserError
from tinybench.evaluation import testing
from tinybench.evaluation.infer import Classifier
from tinybench.evaluation.testing import TestOptions
from tinybench.models import build_model
from tinybench.recipe import Recipe
from tinybench.training.checkpoint import network_checkpoint, network_options, write_checkpoint

REPOSITORY = Path(__file__).resolve().parents[1]
CPU = torch.device("cpu")
NETWORK = {"dim": 16, "depth": 1, "num_heads": 2, "patch_size": 16}


def save(path, data_dir, *, dataset="demo", seed=0, epoch=1, broken=False):
    """A checkpoint of an untrained network, as the trainer would have written it."""
    recipe = Recipe(model="vit", model_options=NETWORK, dataset=str(dataset), image_size=32)
    images = datasets.load(recipe.dataset, "train", data_dir, recipe.image_size)
    torch.manual_seed(seed)
    options = {"num_classes": images.num_classes, "image_size": recipe.image_size, **network_options(recipe)}
    model = build_model(recipe.model, **options)
    if broken:
        for parameter in model.parameters():
            parameter.data.fill_(float("nan"))
    path.parent.mkdir(parents=True, exist_ok=True)
    write_checkpoint(path, network_checkpoint(recipe, images, epoch=epoch, val_acc=10.0, weights="model", model=model))
    return path


def main_of(script, monkeypatch, *arguments):
    """Call the command's main() in this process."""
    spec = importlib.util.spec_from_file_location("command", REPOSITORY / script)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "command", module)  # dataclasses look their module up
    spec.loader.exec_module(module)
    monkeypatch.setattr(sys, "argv", [script, *map(str, arguments)])
    return module.main()


@pytest.mark.parametrize(
    ("file", "weights", "name"),
    [
        ("best_model.pth", "best", "best"),
        ("last.pth", "last", "last"),
        ("last.pth", "best", "last"),  # as --checkpoint last.pth, with the default of --weights
        ("last.pth", "ema", "ema"),
        ("checkpoint_epoch_10.pth", "best", "checkpoint_epoch_10"),
        ("checkpoint_epoch_10.pth", "ema", "checkpoint_epoch_10_ema"),
    ],
)
def test_results_are_named_after_the_weights(file, weights, name):
    assert testing.weights_name(Path("results/resnet") / file, weights) == name


def test_another_checkpoint_leaves_the_results_of_the_best_alone(tmp_path, demo_data):
    options = TestOptions(device=CPU, data_dir=demo_data)
    best = testing.test_checkpoint(save(tmp_path / "best_model.pth", demo_data), options)
    before = (tmp_path / "test_results.json").read_bytes(), (tmp_path / "predictions.npz").read_bytes()
    tenth = save(tmp_path / "checkpoint_epoch_10.pth", demo_data, seed=1, epoch=10)
    other = testing.test_checkpoint(tenth, options)
    assert (before[0], before[1]) == (
        (tmp_path / "test_results.json").read_bytes(),
        (tmp_path / "predictions.npz").read_bytes(),
    )
    assert (best["weights"], other["weights"], other["epoch"]) == ("best", "checkpoint_epoch_10", 10)
    assert other["test_loss"] != best["test_loss"]
    assert json.loads((tmp_path / "test_results_checkpoint_epoch_10.json").read_text()) == other
    assert (tmp_path / "predictions_checkpoint_epoch_10.npz").exists()


def test_a_class_without_test_images_has_no_accuracy(tmp_path):
    random = np.random.default_rng(0)
    folder = tmp_path / "folder"
    for place in ("train/a", "train/b", "train/c", "test/a", "test/b"):
        (folder / place).mkdir(parents=True)
        for index in range(3):
            Image.fromarray(random.integers(0, 256, (32, 32, 3), np.uint8)).save(folder / place / f"{index}.png")
    path = save(tmp_path / "run" / "best_model.pth", tmp_path / "data", dataset=folder)
    testing.test_checkpoint(path, TestOptions(device=CPU, data_dir=tmp_path / "data"))

    def refuse(constant):
        raise AssertionError(f"{constant} is not JSON")

    written = json.loads(path.with_name("test_results.json").read_text(), parse_constant=refuse)
    right = [written["confusion_matrix"][label][label] for label in range(2)]
    assert written["per_class_accuracy"].pop("c") is None
    assert written["per_class_accuracy"] == pytest.approx({"a": 100 * right[0] / 3, "b": 100 * right[1] / 3})


def test_a_diverged_network_is_one_line_that_names_it(tmp_path, demo_data):
    path = save(tmp_path / "best_model.pth", demo_data, broken=True)
    with pytest.raises(UserError, match=r"best_model\.pth answers with NaN"):
        testing.test_checkpoint(path, TestOptions(device=CPU, data_dir=demo_data))
    assert list(tmp_path.iterdir()) == [path]
    Image.new("RGB", (32, 32)).save(tmp_path / "x.png")
    with pytest.raises(UserError, match=r"best_model\.pth answers with NaN"):
        Classifier(path, CPU).classify(tmp_path / "x.png", top_k=5)


def test_all_runs_are_tested_though_one_has_diverged(tmp_path, demo_data, monkeypatch, capsys):
    save(tmp_path / "a_diverged" / "best_model.pth", demo_data, broken=True)
    save(tmp_path / "b_good" / "best_model.pth", demo_data)
    folders = ("--results_dir", tmp_path, "--data_dir", demo_data, "--device", "cpu")
    assert main_of("src/test.py", monkeypatch, *folders) == 1
    out, err = capsys.readouterr()
    assert [line.split()[0] for line in out.splitlines()] == ["b_good"]
    assert [line.startswith("error: a_diverged: ") for line in err.splitlines()] == [True]


@pytest.mark.parametrize("script", ["src/test.py", "src/infer.py"])
def test_model_and_checkpoint_exclude_each_other(script, monkeypatch):
    image = ["--image", "x.jpg"] if "infer" in script else []
    with pytest.raises(UsageError, match="--model and --checkpoint"):
        main_of(script, monkeypatch, *image, "--model", "resnet", "--checkpoint", "best_model.pth")
