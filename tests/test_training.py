"""The training loop: exact resume, signals, refusals."""

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from tinybench.configuration import get_recipe, load_augmentations
from tinybench.data.batches import TrainBatches
from tinybench.errors import UsageError, UserError
from tinybench.inference.checkpoint import load_network, read_checkpoint
from tinybench.models import MODELS, ModelInfo, list_models
from tinybench.recipe import Recipe, RunOptions
from tinybench.training import trainer
from tinybench.training.checkpoint import anchored
from tinybench.training.saving import Stopped
from tinybench.training.setup import build_state, load_images
from tinybench.training.trainer import train, train_step

REPOSITORY = Path(__file__).resolve().parents[1]

# A ViT of a few thousand weights: dropout, stochastic depth, mixing and an average all depend on exact resuming.
TINY = Recipe(
    model="vit",
    model_options={"dim": 16, "depth": 2, "num_heads": 2, "patch_size": 16},
    dataset="demo",
    images_per_class=20,
    epochs=3,
    batch_size=32,
    optimizer="adamw",
    lr=1e-3,
    dropout=0.1,
    drop_path=0.2,
    mixup_cutmix_alpha=0.4,
    ema_decay=0.9,
    clip_grad_norm=1.0,
    precision="fp32",
)  # 5 steps an epoch
# The same for a network with BatchNorm, SGD's momentum and batches in pieces.
TINY_CNN = dataclasses.replace(
    TINY, model="tiny_cnn", model_options={}, optimizer="sgd", drop_path=0.0, accumulate_steps=2, epochs=2
)
# What an epoch or a step sees changes in the course of the run.
TINY_CHANGING = dataclasses.replace(
    TINY_CNN, augment="trivialaugment", repeats=2, image_size_schedule="32:48", mix_off_epochs=1, scheduler="onecycle",
    warmup_epochs=1, ema_epochs=1,
)  # fmt: skip
TIMES = {"epoch_seconds", "images_per_second"}


class TinyCNN(nn.Sequential):
    def __init__(self, *, num_classes, dropout):
        convolution = nn.Conv2d(3, 8, 5, stride=4, bias=False)
        pool = nn.AdaptiveAvgPool2d(4)
        head = nn.Linear(8 * 16, num_classes)
        super().__init__(convolution, nn.BatchNorm2d(8), nn.ReLU(), pool, nn.Flatten(), nn.Dropout(dropout), head)


@pytest.fixture(scope="module", autouse=True)
def tiny_cnn():
    MODELS["tiny_cnn"] = ModelInfo("a few weights", 2026, "none", TinyCNN, "resnet")
    yield
    del MODELS["tiny_cnn"]


def options(demo_data, folder, name="run", **changes):
    return RunOptions(run_name=name, data_dir=demo_data, results_dir=folder, device="cpu", **changes)


def assert_same(one, other, path=""):
    """Bit for bit, through nested dicts and lists; times may differ."""
    assert type(one) is type(other), path
    if isinstance(one, dict):
        assert one.keys() == other.keys(), path
        for key in one.keys() - TIMES - {"seconds"}:
            assert_same(one[key], other[key], f"{path}.{key}")
    elif isinstance(one, list):
        assert len(one) == len(other), path
        for index, pair in enumerate(zip(one, other, strict=True)):
            assert_same(*pair, f"{path}[{index}]")
    elif isinstance(one, torch.Tensor):
        assert torch.equal(one, other), path
    else:
        assert one == other, path


def stop_after(monkeypatch, steps, number=signal.SIGINT):
    """Send this process a signal after so many steps."""
    done = 0

    def step_and_count(*args, **kwargs):
        nonlocal done
        train_step(*args, **kwargs)
        done += 1
        if done == steps:
            os.kill(os.getpid(), number)

    monkeypatch.setattr(trainer, "train_step", step_and_count)


@pytest.fixture(scope="module")
def uninterrupted(demo_data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("uninterrupted")
    train(TINY, options(demo_data, folder, "tiny"))
    train(TINY_CNN, options(demo_data, folder, "tiny_cnn"))
    train(TINY_CHANGING, options(demo_data, folder, "changing"))
    return folder


@pytest.mark.parametrize(
    ("recipe", "name", "steps"),
    [
        *((TINY, "tiny", steps) for steps in (3, 5, 12)),
        (TINY_CNN, "tiny_cnn", 7),
        *((TINY_CHANGING, "changing", steps) for steps in (3, 7)),
    ],
)
def test_a_stopped_run_resumes_bit_for_bit(demo_data, tmp_path, uninterrupted, monkeypatch, recipe, name, steps):
    run = options(demo_data, tmp_path)
    with monkeypatch.context() as patch:
        stop_after(patch, steps)
        with pytest.raises(Stopped, match=r"--run_name run .*--resume") as caught:
            train(recipe, run)
    assert caught.value.status == 130
    train(recipe, run, resume=run.folder / "last.pth")
    for file in ("last.pth", "best_model.pth"):
        assert_same(read_checkpoint(run.folder / file), read_checkpoint(uninterrupted / name / file))
    history, expected = (json.loads((f / "history.json").read_text()) for f in (run.folder, uninterrupted / name))
    for key in ("train_loss", "train_acc", "val_loss", "val_acc", "val_top5_acc", "ema_val_acc", "lr", "best_epoch"):
        assert history[key] == expected[key], key


def test_killed_at_any_moment_and_resumed_is_bit_identical(demo_data, tmp_path, uninterrupted):
    """Kill -9 twice: once right at the start, once as soon as a checkpoint within an epoch is there."""
    model_options = [str(word) for pair in TINY.model_options.items() for word in pair]
    flags = [
        *("--model", "vit", "--model_options", *model_options, "--dataset", "demo", "--images_per_class", "20"),
        *("--epochs", "3", "--batch_size", "32", "--dropout", "0.1", "--drop_path", "0.2", "--ema_decay", "0.9"),
        *("--mixup_cutmix_alpha", "0.4", "--warmup_epochs", "0", "--save_every", "0", "--weight_decay", "0.001"),
        *("--data_dir", demo_data, "--results_dir", tmp_path, "--device", "cpu", "--checkpoint_minutes", "0"),
    ]
    command = [sys.executable, REPOSITORY / "src" / "train.py", *flags, "--resume"]
    environment = {**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads())}
    last = tmp_path / "vit" / "last.pth"
    for _ in range(2):
        former = last.stat().st_mtime_ns if last.exists() else None
        process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        while process.poll() is None and (not last.exists() or last.stat().st_mtime_ns == former):
            time.sleep(0.005)
        process.kill()
        process.wait()
    assert len(read_checkpoint(last)["training"]["history"].get("val_acc", [])) < 3
    subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL)
    resumed, expected = read_checkpoint(last), read_checkpoint(uninterrupted / "tiny" / "last.pth")
    assert_same(resumed, expected)


def test_history_holds_what_the_contract_says(uninterrupted):
    history = json.loads((uninterrupted / "tiny" / "history.json").read_text())
    for name in (
        *("train_loss", "train_acc", "val_loss", "val_acc", "val_top5_acc", "lr", "epoch_seconds"),
        *("images_per_second", "ema_val_loss", "ema_val_acc", "ema_val_top5_acc"),
    ):
        assert len(history[name]) == 3, name
    assert Recipe.from_dict(history["config"]) == anchored(TINY)
    assert history["config"]["augment"] == load_augmentations()["standard"]
    assert history["dataset"]["classes"] == 10
    assert (history["dataset"]["train_images"], history["dataset"]["val_images"]) == (160, 40)
    assert history["environment"]["torch"] == torch.__version__
    assert 1 <= history["best_epoch"] <= 3
    assert history["total_training_time_seconds"] == pytest.approx(sum(history["epoch_seconds"]))
    assert history["peak_memory_mb"] > 0
    assert history["parameters"] == sum(p.numel() for p in load_network(_last(uninterrupted)).parameters())


def _last(folder):
    return read_checkpoint(folder / "tiny" / "last.pth")


def test_best_model_is_the_best_epoch_of_model_or_average(uninterrupted):
    history = json.loads((uninterrupted / "tiny" / "history.json").read_text())
    best = read_checkpoint(uninterrupted / "tiny" / "best_model.pth")
    assert best["val_acc"] == max(history["val_acc"] + history["ema_val_acc"])
    assert best["epoch"] == history["best_epoch"]
    key = "val_acc" if best["weights"] == "model" else "ema_val_acc"
    assert history[key][best["epoch"] - 1] == best["val_acc"]


def test_an_average_of_the_last_epochs_is_the_network_until_then_and_the_last_size_is_validated_as_tested(
    uninterrupted,
):
    history = json.loads((uninterrupted / "changing" / "history.json").read_text())
    assert history["ema_val_loss"][0] == history["val_loss"][0]
    assert history["ema_val_loss"][1] != history["val_loss"][1]
    assert history["val_image_size"] == [32, 64]


def test_sigterm_saves_and_says_how_to_go_on(demo_data, tmp_path, monkeypatch):
    stop_after(monkeypatch, 2, signal.SIGTERM)
    with pytest.raises(Stopped, match="SIGTERM") as caught:
        train(TINY, options(demo_data, tmp_path))
    assert caught.value.status == 143
    assert read_checkpoint(tmp_path / "run" / "last.pth")["training"]["step"] == 2


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"lr": 0.5}, "lr"),
        ({"seed": 1}, "seed"),
        ({"model": "resnet", "model_options": {}, "drop_path": 0.0}, "model"),
        ({"augment": "basic"}, "augment"),
        ({"epochs": 5}, "epochs"),
    ],
)
def test_resuming_with_what_changes_the_result_is_refused(demo_data, tmp_path, uninterrupted, changes, named):
    with pytest.raises(UsageError, match=named):
        train(
            dataclasses.replace(TINY, **changes),
            options(demo_data, tmp_path),
            resume=uninterrupted / "tiny" / "last.pth",
        )


def test_epochs_may_be_raised_where_total_epochs_fixed_the_schedule(demo_data, tmp_path):
    whole = dataclasses.replace(TINY, epochs=3, total_epochs=4)
    train(whole, options(demo_data, tmp_path, "whole"))
    run = options(demo_data, tmp_path, "pieces")
    train(dataclasses.replace(whole, epochs=1), run)
    train(whole, run, resume=run.folder / "last.pth")
    assert_same(_weights(tmp_path / "whole"), _weights(run.folder))


def test_a_run_of_an_earlier_version_whose_recipe_names_its_augmentation_goes_on(demo_data, tmp_path, uninterrupted):
    last = tmp_path / "run" / "last.pth"
    train(dataclasses.replace(TINY, epochs=1, total_epochs=3), options(demo_data, tmp_path))
    checkpoint = read_checkpoint(last)
    new = ("mix_probability", "cutmix_share")
    former = {name: value for name, value in checkpoint["recipe"].items() if name not in new}
    torch.save({**checkpoint, "recipe": {**former, "augment": "standard", "total_epochs": 0, "epochs": 3}}, last)
    recipe = Recipe.from_dict(read_checkpoint(last)["recipe"])
    train(recipe, options(demo_data, tmp_path), resume=last)
    assert_same(_weights(last.parent), _weights(uninterrupted / "tiny"))
    assert read_checkpoint(last)["recipe"]["augment"] == load_augmentations()["standard"]


def _weights(folder):
    return read_checkpoint(folder / "last.pth")["state_dict"]


def test_a_loss_that_is_not_finite_stops_and_keeps_the_last_good_checkpoint(demo_data, tmp_path, monkeypatch):
    done = 0

    def explode(recipe, state, batch, lr, dropout_seed):
        nonlocal done
        done += 1
        if done == 7:  # in the second epoch
            with torch.no_grad():
                next(state.model.parameters()).fill_(float("nan"))
        train_step(recipe, state, batch, lr, dropout_seed)

    monkeypatch.setattr(trainer, "train_step", explode)
    with pytest.raises(UserError, match=r"not finite any more in epoch 2.*last\.pth keeps"):
        train(dataclasses.replace(TINY, clip_grad_norm=0.0), options(demo_data, tmp_path, checkpoint_minutes=0))
    checkpoint = read_checkpoint(tmp_path / "run" / "last.pth")
    assert checkpoint["training"]["step"] == 1
    assert all(torch.isfinite(weight).all() for weight in checkpoint["state_dict"].values())


def test_a_finished_run_is_not_written_over_unless_asked(demo_data, tmp_path):
    quick = dataclasses.replace(TINY, epochs=1)
    train(quick, options(demo_data, tmp_path))
    with pytest.raises(UsageError, match=r"--resume.*--run_name.*--overwrite"):
        train(quick, options(demo_data, tmp_path))
    (tmp_path / "run" / "test_results.json").write_text("{}")
    train(dataclasses.replace(quick, seed=3), options(demo_data, tmp_path), overwrite=True)
    assert not (tmp_path / "run" / "test_results.json").exists()
    assert read_checkpoint(tmp_path / "run" / "last.pth")["recipe"]["seed"] == 3


def test_a_folder_that_another_run_writes_to_is_refused(demo_data, tmp_path, monkeypatch):
    def second_run(*args):
        with pytest.raises(UserError, match="another run"):
            train(TINY, options(demo_data, tmp_path))
        raise KeyboardInterrupt

    monkeypatch.setattr(trainer, "run_epochs", second_run)
    with pytest.raises(KeyboardInterrupt):
        train(TINY, options(demo_data, tmp_path))


def test_a_checkpoint_with_a_network_only_cannot_be_resumed(demo_data, tmp_path, uninterrupted):
    with pytest.raises(UserError, match=r"resume from last\.pth"):
        train(TINY, options(demo_data, tmp_path), resume=uninterrupted / "tiny" / "best_model.pth")


def test_checkpoints_are_kept_every_so_many_epochs(demo_data, tmp_path):
    train(TINY, options(demo_data, tmp_path, save_every=2))
    assert sorted(path.name for path in (tmp_path / "run").glob("checkpoint_*")) == ["checkpoint_epoch_2.pth"]


def test_fp16_is_refused_without_cuda(demo_data, tmp_path):
    with pytest.raises(UsageError, match="fp16 needs device cuda"):
        train(dataclasses.replace(TINY, precision="fp16"), options(demo_data, tmp_path))


def test_auto_goes_on_in_the_precision_that_the_run_began_with(demo_data, tmp_path):
    began = dataclasses.replace(TINY_CNN, precision="bf16", channels_last=True, epochs=1, total_epochs=2)
    train(began, options(demo_data, tmp_path))
    further = dataclasses.replace(began, precision="auto", channels_last=False, epochs=2)
    history = train(further, options(demo_data, tmp_path), resume=tmp_path / "run" / "last.pth")
    assert history.about["config"] == anchored(dataclasses.replace(began, epochs=2)).as_dict()


def test_bf16_trains(demo_data, tmp_path):
    history = train(dataclasses.replace(TINY, precision="bf16", epochs=1), options(demo_data, tmp_path))
    assert history.epochs["train_loss"][0] < 3


def test_pieces_add_up_to_the_whole_batch(demo_data):
    """On a network without BatchNorm or dropout, accumulation changes the gradient by rounding only."""
    recipe = dataclasses.replace(TINY, dropout=0.0, drop_path=0.0, clip_grad_norm=0.0, optimizer="sgd", lr=0.1)
    images, val_images = load_images(recipe, demo_data)
    batch = TrainBatches(images, recipe).batch(0, 0)
    weights, sums = [], []
    for pieces in (1, 4):
        state = build_state(recipe, images, val_images, torch.device("cpu"))
        train_step(dataclasses.replace(recipe, accumulate_steps=pieces), state, batch, 0.1, dropout_seed=0)
        weights.append(torch.cat([p.detach().flatten() for p in state.model.parameters()]))
        sums.append(state.sums)
    torch.testing.assert_close(*weights, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(*sums)


@pytest.mark.parametrize("batch_size", [1, 7, 1000])
def test_any_batch_size(demo_data, batch_size):
    recipe = dataclasses.replace(TINY_CNN, batch_size=batch_size, accumulate_steps=1)
    images, val_images = load_images(recipe, demo_data)
    batches = TrainBatches(images, recipe)
    assert batches.steps_per_epoch == max(1, 160 // batch_size)
    state = build_state(recipe, images, val_images, torch.device("cpu"))
    train_step(recipe, state, batches.batch(0, batches.steps_per_epoch - 1), 0.01, dropout_seed=0)
    assert torch.isfinite(state.sums).all()


def test_a_batch_is_a_function_of_epoch_and_step(demo_data):
    images, _ = load_images(TINY, demo_data)
    one, other = TrainBatches(images, TINY), TrainBatches(images, TINY)
    other.batch(0, 0)
    assert torch.equal(one.batch(1, 2).images, other.batch(1, 2).images)
    assert not torch.equal(one.batch(1, 2).images, one.batch(2, 2).images)
    assert sorted(one.order(4).tolist()) == list(range(160))


def test_the_seed_changes_everything_that_it_should(demo_data):
    def start(seed):
        recipe = dataclasses.replace(TINY, seed=seed)
        images, val_images = load_images(recipe, demo_data)
        weights = build_state(recipe, images, val_images, torch.device("cpu")).model.state_dict()
        return images.images, TrainBatches(images, recipe).order(0), next(iter(weights.values()))

    assert all(torch.equal(a, b) for a, b in zip(start(0), start(0), strict=True))
    assert not any(torch.equal(a, b) for a, b in zip(start(0), start(1), strict=True))


class NoFloat64(TorchDispatchMode):
    """Fails on any float64 tensor, which MPS does not have."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        for leaf in tree_leaves((args, kwargs, result)):
            if isinstance(leaf, torch.Tensor) and leaf.dtype == torch.float64:
                raise AssertionError(f"{func} works on float64")
        return result


def test_the_float64_guard_works():
    with pytest.raises(AssertionError, match="float64"), NoFloat64():
        torch.ones(2, dtype=torch.float64) + 1


@pytest.mark.usefixtures("shallow")
@pytest.mark.parametrize("model", list_models())
def test_a_step_of_every_network_needs_no_float64(demo_data, model):
    recipe = dataclasses.replace(
        get_recipe(MODELS[model].recipe),
        dataset="demo",
        images_per_class=10,
        batch_size=4,
        image_size=32,
        image_size_schedule="",
        ema_decay=0.9,
        precision="fp32",
    )
    images, val_images = load_images(recipe, demo_data)
    with NoFloat64():
        state = build_state(recipe, images, val_images, torch.device("cpu"))
        for step in range(2):
            train_step(recipe, state, TrainBatches(images, recipe).batch(0, step), 0.01, dropout_seed=step)
        trainer.validate(state.model, val_images, recipe, recipe.image_size)
    assert torch.isfinite(state.sums).all()
