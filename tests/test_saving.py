"""What a run leaves, whatever becomes of it: nothing lost, nothing in the way of the next one."""

import dataclasses
import hashlib
import sys

import pytest
import torch
from test_training import TINY_CNN, options, stop_after, tiny_cnn  # noqa: F401  (a fixture)

from tinybench import runtime
from tinybench.cli import console
from tinybench.cli.train import parse_arguments
from tinybench.configuration import get_recipe
from tinybench.errors import UsageError, UserError
from tinybench.inference.checkpoint import network_options, read_checkpoint
from tinybench.models import MODELS, build_model, list_models
from tinybench.models.fit import check_fit, refusal
from tinybench.recipe import RunOptions
from tinybench.runtime.files import atomic_path, check_writable
from tinybench.training import progress, saving, trainer
from tinybench.training.history import History
from tinybench.training.saving import Stopped
from tinybench.training.trainer import epoch_line, summary, train

RECIPE = dataclasses.replace(TINY_CNN, epochs=2)


@pytest.fixture
def finished(demo_data, tmp_path):
    run = options(demo_data, tmp_path, save_every=1)
    train(RECIPE, run)
    (run.folder / "test_results.json").write_text("{}")
    return run


def digests(folder):
    return {path.name: hashlib.sha256(path.read_bytes()).digest() for path in folder.iterdir() if path.name != ".lock"}


def test_resuming_and_overwriting_exclude_each_other(finished):
    before = digests(finished.folder)
    with pytest.raises(UsageError, match="give one of them"):
        train(RECIPE, finished, resume=finished.folder / "last.pth", overwrite=True)
    assert digests(finished.folder) == before


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"image_size": 2}, "image_size 2"),
        ({"lr": 1e6, "clip_grad_norm": 0.0}, "still holds the former run"),
        ({"model_options": {"width": 3}}, "no option width"),
    ],
)
def test_a_run_that_fails_at_once_leaves_the_former_one(finished, changes, says):
    before = digests(finished.folder)
    with pytest.raises(UserError, match=says):
        train(dataclasses.replace(RECIPE, **changes), finished, overwrite=True)
    assert digests(finished.folder) == before


def test_a_run_that_works_takes_the_place_of_the_former_one(finished):
    train(dataclasses.replace(RECIPE, seed=1, epochs=1), dataclasses.replace(finished, save_every=0), overwrite=True)
    names = sorted(path.name for path in finished.folder.iterdir() if path.name != ".lock")
    assert names == ["best_model.pth", "history.json", "last.pth"]
    assert read_checkpoint(finished.folder / "last.pth")["recipe"]["seed"] == 1


def test_killed_while_it_takes_over_it_goes_on_taking_over(finished, monkeypatch):
    new = dataclasses.replace(RECIPE, seed=1)
    with monkeypatch.context() as patch:
        patch.setattr(saving.Path, "unlink", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            train(new, finished, overwrite=True)
    assert (finished.folder / "test_results.json").exists()
    train(new, finished, resume=finished.folder / "last.pth")
    assert not (finished.folder / "test_results.json").exists()
    assert read_checkpoint(finished.folder / "best_model.pth")["recipe"]["seed"] == 1


def test_the_checkpoint_of_an_epoch_is_there_before_last_is_of_that_epoch(demo_data, tmp_path, monkeypatch):
    run, write = options(demo_data, tmp_path, save_every=1), saving.write_checkpoint

    def killed(path, checkpoint):
        if path.name == "last.pth" and checkpoint["epoch"] == 1:
            raise KeyboardInterrupt
        write(path, checkpoint)

    monkeypatch.setattr(saving, "write_checkpoint", killed)
    with pytest.raises(KeyboardInterrupt):
        train(RECIPE, run)
    assert (run.folder / "checkpoint_epoch_1.pth").exists()


def test_a_finished_checkpoint_in_a_new_folder_can_be_tested(finished):
    new = dataclasses.replace(finished, run_name="new")
    train(RECIPE, new, resume=finished.folder / "last.pth")
    assert (
        read_checkpoint(new.folder / "best_model.pth")["epoch"]
        == read_checkpoint(finished.folder / "best_model.pth")["epoch"]
    )


def test_a_run_without_a_step_is_in_nobodys_way(demo_data, tmp_path, monkeypatch):
    run = options(demo_data, tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(trainer, "train_step", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            train(RECIPE, run)
    assert (run.folder / "last.pth").exists()
    train(dataclasses.replace(RECIPE, seed=3, epochs=1), run)
    assert read_checkpoint(run.folder / "last.pth")["recipe"]["seed"] == 3


def test_what_killed_writers_left_is_removed_by_the_next_run(demo_data, tmp_path):
    run = options(demo_data, tmp_path)
    run.folder.mkdir(parents=True)
    dead = run.folder / ".last.pth.999999999-abc.tmp"
    former = run.folder / ".last.pth.abc123.tmp"  # as earlier versions called them
    for path in (dead, former):
        path.write_bytes(b"half")
    with atomic_path(run.folder / "test_results.json") as alive:
        train(dataclasses.replace(RECIPE, epochs=1), run)
        assert alive.exists()
    assert not dead.exists()
    assert not former.exists()


def test_resuming_where_nothing_is_does_not_overwrite(finished, monkeypatch):
    words = ["--results_dir", str(finished.results_dir), "--run_name", "none", "--resume", "--overwrite"]
    monkeypatch.setattr(sys, "argv", ["train.py", *words])
    with pytest.raises(UsageError, match="give one of them"):
        parse_arguments(None)


# ---- which epoch is the best


def appended(rows, image_size=64):
    found = History({"config": {"image_size": image_size}})
    for accuracy, loss, size in rows:
        found.append({"train_loss": 1.0, "val_acc": accuracy, "val_loss": loss, "val_image_size": size})
    return found


def test_among_equals_the_lower_loss_is_the_best():
    assert appended([(50.0, 1.2, 64), (50.0, 1.1, 64), (50.0, 1.1, 64), (49.0, 0.9, 64)]).best_epoch == 2


def test_the_best_is_chosen_among_epochs_at_full_size():
    growing = [(60.0, 1.0, 32), (55.0, 1.0, 48), (20.0, 2.0, 64), (30.0, 2.0, 64), (25.0, 1.0, 64)]
    assert appended(growing).best_epoch == 4
    assert appended(growing[:2]).best_epoch == 2


def test_an_epoch_is_validated_at_its_own_size(demo_data, tmp_path):
    recipe = dataclasses.replace(RECIPE, image_size_schedule="32:64")
    trained = train(recipe, options(demo_data, tmp_path))
    assert trained.epochs["val_image_size"] == [32, 64]
    assert trained.best_epoch == 2


def test_a_folder_that_cannot_be_written_is_known_before_the_data_are_read(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"cannot write .*run: Not a directory"):
        train(RECIPE, RunOptions(run_name="run", data_dir=tmp_path / "no_data", results_dir=tmp_path / "file"))
    check_writable(tmp_path / "a" / "b")
    assert not list((tmp_path / "a").iterdir())


# ---- long epochs, small images, no memory


def test_without_a_terminal_there_is_a_line_a_minute(demo_data, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(runtime.progress, "LINE_SECONDS", 0.0)
    monkeypatch.setattr(progress, "REFRESH_SECONDS", 0.0)
    train(dataclasses.replace(RECIPE, epochs=1), options(demo_data, tmp_path))
    lines = [line for line in capsys.readouterr().out.splitlines() if " left" in line]
    assert lines
    assert all(word in lines[0] for word in ("epoch 1", "loss", "accuracy", "images/s"))


def test_what_a_training_prints_fits_80_columns():
    values = {"train_loss": 12.345, "train_acc": 100.0, "val_loss": 12.345, "val_acc": 100.0, "ema_val_acc": 100.0}
    line = epoch_line(
        999, get_recipe("vit").changed(epochs=999), values | {"val_image_size": 48, "epoch_seconds": 99.94}, True
    )
    assert line == "999/999  train 12.35 100.00%  val 12.35 100.00%  EMA 100.00%  48 px  100 s  best"
    assert len(line) <= 80
    about = {
        "parameters": 1, "environment": {"device": "cpu", "device_name": "a CPU"},
        "dataset": {"name": "demo", "classes": 10, "train_images": 1200, "val_images": 300},
    }  # fmt: skip
    recipe = get_recipe("efficientnet")
    short, whole = summary(recipe, about), summary(recipe, about, verbose=True)
    assert max(map(len, whole.splitlines())) <= 80
    assert "val_fraction" not in short
    assert all(f" {name} " in whole.replace("\n ", "") for name in vars(recipe) if name not in ("model", "dataset"))


@pytest.mark.parametrize("name", list_models())
@pytest.mark.parametrize("image_size", [1, 2, 7])
def test_images_below_the_smallest_size_are_one_line(name, image_size):
    recipe = get_recipe(MODELS[name].recipe)
    says = ""
    try:
        model = build_model(name, num_classes=3, image_size=image_size, **network_options(recipe))
        check_fit(model, "image_size", num_classes=3, image_size=image_size, images=2)
    except UsageError as error:
        says = str(error)
    assert "\n" not in says
    assert says or not refusal(model, 3, image_size, 2)


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("[enforce fail at alloc_cpu.cpp:121] . DefaultCPUAllocator: can't allocate memory: you tried …"),
        RuntimeError("MPS backend out of memory (MPS allocated: 9 GB"),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 GiB"),
    ],
)
def test_no_memory_is_one_line_that_says_what_to_lower(error, capsys):
    def main():
        raise error

    with pytest.raises(SystemExit) as caught:
        console.run(main)
    assert caught.value.code == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert all(word in said for word in ("out of memory", "--batch_size", "--accumulate_steps"))


def test_a_stopped_run_can_be_typed_on(demo_data, tmp_path, monkeypatch):
    run = RunOptions(run_name="a b", data_dir=demo_data, results_dir=tmp_path, device="cpu")
    stop_after(monkeypatch, 1)
    with pytest.raises(Stopped, match=r"python src/train\.py --run_name 'a b' --resume --data_dir"):
        train(RECIPE, run)
