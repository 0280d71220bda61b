"""What a Mac's GPU would refuse, found without one: every network, policy, optimizer and command on a pretended MPS."""

import importlib
import sys
from pathlib import Path
from typing import get_args

import pytest
import torch
from pretended_mps import Device, NotOnMPS, pretended_mps, runs_on_mps
from torch import nn
from torch.nn import functional as F

from tinybench.configuration import get_recipe, load_augmentations, load_recipes
from tinybench.data.batches import TrainBatches
from tinybench.data.imageset import ImageSet
from tinybench.models import MODELS, build_model, list_models
from tinybench.profiling import device_check, inference, peaks
from tinybench.profiling.device_check import check_device
from tinybench.recipe import Recipe, RunOptions
from tinybench.training.numerics import probe
from tinybench.training.setup import build_state
from tinybench.training.trainer import train, train_step, validate

ROOT = Path(__file__).resolve().parents[1]
SMALL = {
    "dataset": "demo", "images_per_class": 2, "val_fraction": 0.5, "batch_size": 5, "accumulate_steps": 1, "epochs": 1,
    "precision": "fp32", "image_size_schedule": "",
}  # fmt: skip
SVM = get_recipe("svm").changed(**SMALL, image_size=64, ema_decay=0.0)


@pytest.fixture
def pretend(demo_data, tmp_path):
    """Trains on the pretended device, and says what happened there."""

    def run(recipe: Recipe) -> Device:
        with pretended_mps() as device:
            train(recipe, RunOptions(run_name="run", data_dir=demo_data, results_dir=tmp_path, device="mps"))
        assert device.operations
        return device

    return run


def of_network(model: str, **changes) -> Recipe:
    return get_recipe(MODELS[model].recipe).changed(**{**SMALL, **changes})


def test_fp32_and_the_size_of_make_run(pretend):
    pretend(of_network("alexnet", image_size=32))


@pytest.mark.parametrize("image_size", [32, 64, 96])
@pytest.mark.parametrize("augment", load_augmentations())
def test_every_policy_runs(pretend, augment, image_size):
    pretend(SVM.changed(augment=augment, image_size=image_size, mixup_cutmix_alpha=1.0, epochs=4))


@pytest.mark.parametrize("optimizer", get_args(Recipe.__annotations__["optimizer"]))
def test_every_optimizer_runs(pretend, optimizer):
    changes = {"optimizer": optimizer, "accumulate_steps": 5, "clip_grad_norm": 1.0, "image_size": 32}
    pretend(of_network("speednet", nesterov=optimizer in ("sgd", "muon"), **changes))


@pytest.mark.parametrize(
    ("model", "changes"),
    [
        ("svm", {"loss": "squared_hinge", "stream": True}),
        ("speednet", {"repeats": 5, "epochs": 2, "warmup_epochs": 1, "image_size_schedule": "32:64", "image_size": 64}),
        ("alexnet_stock", {"model_options": {"stem": "11x11"}, "image_size": 224, "normalize": "imagenet"}),
    ],
    ids=lambda value: value if isinstance(value, str) else "-".join(value),
)
def test_every_option_runs(pretend, model, changes):
    pretend(of_network(model, **changes))


@pytest.fixture
def typed(demo_data, tmp_path, monkeypatch):
    """Runs a command on the pretended device as one would type it; gives its exit status."""
    monkeypatch.setattr(peaks, "SECONDS", 1e-9)

    def run(line: str) -> int:
        script, *words = line.format(image=next(demo_data.rglob("*.JPEG")), data=demo_data, here=tmp_path).split()
        monkeypatch.setattr(sys, "argv", [script, *words, "--device", "mps"])
        with pretended_mps() as device:
            status = importlib.import_module(f"tinybench.cli.{Path(script).stem}").main()
        assert device.operations
        return status or 0

    return run


# Where these change anything; without them, the networks train in the test of their memory.
OPTIONS = {
    "densenet": {"memory_efficient": True},
    "vit": {"shifted_patches": True, "locality": True},
}


@pytest.mark.usefixtures("shallow")
@pytest.mark.parametrize("model", list_models())
def test_every_network_trains_and_answers(pretend, typed, model):
    # What is computed again in the backward pass would not be to_half: autocast is pretended in the forward pass only.
    precision = "fp32" if model == "densenet" else "bf16"
    options = {"model_options": OPTIONS[model]} if model in OPTIONS else {}
    pretend(of_network(model, batch_size=10, image_size=64, precision=precision, **options))
    assert typed("test.py --results_dir {here} --data_dir {data} --model run --batch_size 500") == 0
    assert typed("explain.py --results_dir {here} --output {here} --model run --image {image}") == (model == "svm")


def test_every_command_runs(typed, monkeypatch):
    monkeypatch.setattr(inference, "SECONDS", 0)
    train = "train.py --results_dir {here} --data_dir {data} --run_name run --dataset demo --model svm --save_every 0 "
    assert typed(train + "--images_per_class 2 --val_fraction 0.5 --epochs 1 --batch_size 10") == 0
    test = "test.py --results_dir {here} --data_dir {data} --model run "
    assert typed(test + "--tta --calibrate --robustness --robustness_images 1") == 0
    assert typed("infer.py --results_dir {here} --model run --image {image}") == 0
    assert typed("doctor.py --data_dir {data}") == 0
    assert typed("profile_step.py --model speednet --batch_size 2 --steps 1 --output_dir {here}") == 0
    monkeypatch.setattr(device_check, "list_models", lambda: ["speednet"])
    with pretended_mps():
        checks = list(check_device(torch.device("mps")))
        assert len(checks) == 1 + 1 + len(load_augmentations()) + 1 + 5
        assert not any(check.problem for check in checks)
        auto = of_network("speednet", precision="auto")
        assert [recipe.precision for recipe, _ in probe(auto, 10**6, 10, torch.device("mps"))] == ["fp32", "bf16"]
        model = build_model("speednet", num_classes=10).to("mps")
        assert inference.count_flops(model, 64) > 0
        inference.measure_inference(model, image_size=64, batch_size=8, precision="bf16", channels_last=False)


@pytest.mark.parametrize("name", load_recipes())
def test_no_validation_needs_more_memory_than_a_step(name):
    """Counted at full size, as nothing is computed: peaks above what lay there before, without the logits it is for."""
    recipe = get_recipe(name).changed(pretrained="", precision="fp32", image_size_schedule="")
    mps, count, classes = torch.device("mps"), 2 * recipe.batch_size, 200
    with pretended_mps() as device:
        images = ImageSet(
            name="none", images=torch.empty(count, 3, 64, 64, dtype=torch.uint8, device=mps),
            labels=torch.zeros(count, dtype=torch.int64, device=mps), class_ids=tuple(map(str, range(classes))),
            class_names=(), mean=(0.5, 0.4, 0.3), std=(0.3, 0.2, 0.1), fingerprint="",
        )  # fmt: skip
        state, batches = build_state(recipe, images, images, mps), TrainBatches(images, recipe)
        train_step(recipe, state, batches.batch(0, 0), 0.1, 0)  # after which the optimizer has its state
        with device.measured() as step:
            train_step(recipe, state, batches.batch(0, 1), 0.1, 0)
        with device.measured() as validation:
            validate(state.model, images, recipe, recipe.image_size)
    logits = 2 * count * classes * 4  # by pieces, then as one
    assert 0 < validation[0] - logits <= step[0]


def test_the_pretended_device_refuses_what_a_mac_does():
    with pretended_mps():
        images = torch.rand(2, 3, 8, 8, device="mps", requires_grad=True)
        F.adaptive_avg_pool2d(images, 4).sum().backward()
        assert images.grad.device.type == "mps"
        with pytest.raises(NotOnMPS, match="3"):
            F.adaptive_avg_pool2d(images, 3)
        with pytest.raises(NotOnMPS, match="float64"):
            images.double()
        with pytest.raises(NotOnMPS, match="NHWC"):
            nn.BatchNorm2d(3).to("mps")(images.contiguous(memory_format=torch.channels_last)).sum().backward()
        with pytest.raises(RuntimeError, match="device"):
            images + torch.ones(8)
        with pytest.raises(NotOnMPS, match="no kernel"):
            torch.linalg.eigvals(torch.eye(3, device="mps"))
    assert runs_on_mps("add.Tensor")
    assert runs_on_mps("rand.generator")
    assert not runs_on_mps("_linalg_eigvals")
