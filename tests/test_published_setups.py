"""Every recipe of config.py: two steps on the demo data, stopped in between and resumed, then tested."""

import dataclasses
import os
import signal
from pathlib import Path

import pytest
import torch
import torchvision

from tinybench.configuration import load_recipes
from tinybench.evaluation.evaluate import EvalOptions
from tinybench.evaluation.evaluate import evaluate_run as run_test
from tinybench.inference.checkpoint import network_checkpoint, network_options, read_checkpoint, write_checkpoint
from tinybench.models import build_model
from tinybench.recipe import Recipe, RunOptions
from tinybench.training import trainer
from tinybench.training.checkpoint import anchored
from tinybench.training.saving import Stopped
from tinybench.training.setup import load_images
from tinybench.training.trainer import train, train_step

RECIPES = load_recipes()
# Three classes with four images each, of which one is held out: two steps of four.
TINY = {
    "dataset": "demo", "classes": 3, "images_per_class": 4, "epochs": 1, "total_epochs": 0, "warmup_epochs": 0,
    "batch_size": 4, "precision": "fp32",
}  # fmt: skip


def tiny(recipe: Recipe) -> Recipe:
    smallest = 64 if recipe.model_options.get("stem") == "11x11" else 32
    pieces = min(recipe.accumulate_steps, 2)
    scheduler = recipe.scheduler.replace("onecycle", "cosine")  # one epoch has no room for a warmup, nor for two sizes
    changes = TINY | {"image_size": smallest, "accumulate_steps": pieces, "scheduler": scheduler}
    return dataclasses.replace(recipe, **changes, image_size_schedule="")


def lay_starting_weights(recipe: Recipe, data_dir) -> None:
    """Make what the recipe starts from: torchvision's file in its cache, or the best epoch of the run it follows."""
    if recipe.pretrained == "imagenet":
        name = {"resnet": "resnet18", "alexnet_stock": "alexnet"}[recipe.model]
        url = torchvision.models.get_model_weights(name)["DEFAULT"].url
        path = Path(torch.hub.get_dir(), "checkpoints", url.rpartition("/")[2])
        path.parent.mkdir(parents=True)
        torch.save(torchvision.models.get_model(name).state_dict(), path)
    else:
        path = Path(recipe.pretrained)
        former = tiny(RECIPES[path.parent.name])
        images, _ = load_images(former, data_dir)
        model = build_model(former.model, num_classes=3, image_size=former.image_size, **network_options(former))
        path.parent.mkdir(parents=True)
        checkpoint = network_checkpoint(former, images, epoch=1, val_acc=1.0, weights="model", model=model)
        write_checkpoint(path, checkpoint)


@pytest.mark.usefixtures("shallow")
@pytest.mark.parametrize("name", RECIPES)
def test_two_steps_with_a_stop_between_and_the_test(name, demo_data, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.chdir(tmp_path)
    recipe = tiny(RECIPES[name])
    if recipe.pretrained:
        lay_starting_weights(recipe, demo_data)
    run = RunOptions(run_name=name, data_dir=demo_data, results_dir=tmp_path / "results", device="cpu")

    def step_and_stop(*args, **kwargs):
        train_step(*args, **kwargs)
        os.kill(os.getpid(), signal.SIGTERM)

    with monkeypatch.context() as patch:
        patch.setattr(trainer, "train_step", step_and_stop)
        with pytest.raises(Stopped, match="step 1 of 2"):
            train(recipe, run)
    assert ("tensors loaded" in capsys.readouterr().out) == bool(recipe.pretrained)
    history = train(recipe, run, resume=run.folder / "last.pth")
    assert "tensors loaded" not in capsys.readouterr().out
    assert len(history) == 1
    assert read_checkpoint(run.folder / "best_model.pth")["recipe"] == anchored(recipe).as_dict()
    results = run_test(run.folder, EvalOptions(device=torch.device("cpu"), data_dir=demo_data))
    assert 0 <= results["test_acc"] <= 100
    assert len(results["per_class_accuracy"]) == 3
