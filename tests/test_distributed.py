"""Several processes: shares of a batch, the same training as one, signals, a lost worker, going on with fewer."""

import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from tinybench.configuration import load_augmentations
from tinybench.data.batches import TrainBatches, check_shares, share_of_batch
from tinybench.errors import UsageError
from tinybench.inference.checkpoint import load_network, read_checkpoint
from tinybench.recipe import Recipe, RunOptions
from tinybench.runtime import distributed
from tinybench.training.setup import build_state, load_images
from tinybench.training.trainer import train

REPOSITORY = Path(__file__).resolve().parents[1]
SECONDS = 300  # in which a run ends also on a busy machine; a deadlock never does

# Without BatchNorm and dropout, which depend on the shares. 45 validation images, so that two shares differ in size.
RECIPE = Recipe(
    model="vit",
    model_options={"dim": 16, "depth": 2, "num_heads": 2, "patch_size": 16},
    dataset="demo",
    classes=9,
    images_per_class=20,
    val_fraction=0.25,
    epochs=3,
    batch_size=16,
    accumulate_steps=2,
    optimizer="adamw",
    lr=1e-3,
    mixup_cutmix_alpha=0.4,
    ema_decay=0.9,
    clip_grad_norm=1.0,
    precision="fp32",
)  # 8 steps an epoch


def options(demo_data, folder):
    return RunOptions(run_name="run", data_dir=demo_data, results_dir=folder, device="cpu")


def without_key_biases(state):
    """A bias of attention keys changes nothing: its gradient is rounding alone, which AdamW makes a whole step of."""
    state = {name: tensor.clone() for name, tensor in state.items()}
    for name, tensor in state.items():
        if name.endswith("qkv.bias"):
            tensor[len(tensor) // 3 : 2 * len(tensor) // 3] = 0
    return state


def start(demo_data, folder, *flags):
    """src/train.py with RECIPE in two processes."""
    recipe = folder / "recipe.py"
    recipe.write_text(
        "from tinybench.models import MODELS\nfrom tinybench.recipe import Recipe\n"
        f"MODELS['other'] = MODELS['vit']\nRECIPES = {{'shared': {RECIPE!r}}}\n"
    )
    return subprocess.Popen(
        [
            *(sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"),
            *(REPOSITORY / "src" / "train.py", "--model_file", recipe, "--recipe", "shared", "--run_name", "run"),
            *("--data_dir", demo_data, "--results_dir", folder, "--device", "cpu", *flags),
        ],
        env={**os.environ, "OMP_NUM_THREADS": "1"}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def signal_second_worker(process, number, last):
    """As soon as last.pth is written or written anew."""
    former = last.stat().st_mtime_ns if last.exists() else None
    while process.poll() is None and (not last.exists() or last.stat().st_mtime_ns == former):
        time.sleep(0.005)
    workers = subprocess.run(["pgrep", "-P", str(process.pid)], capture_output=True, text=True, check=True).stdout
    os.kill(max(map(int, workers.split())), number)


def errors(stderr):
    return [line for line in stderr.splitlines() if line.startswith("error:")]


def assert_as_one_process(folder, alone):
    """The same run but for rounding, and the accuracies on the validation images exactly."""
    history, expected = (json.loads((path / "history.json").read_text()) for path in (folder, alone.folder))
    for name in ("train_loss", "train_acc", "val_loss", "ema_val_loss", "lr"):
        assert history[name] == pytest.approx(expected[name], rel=1e-4), name
    for name in ("val_acc", "val_top5_acc", "ema_val_acc", "best_epoch"):
        assert history[name] == expected[name], name
    checkpoint, expected = (read_checkpoint(path / "last.pth") for path in (folder, alone.folder))
    for kind in ("state_dict", "ema_state_dict"):
        ours, of_one = (without_key_biases(state[kind]) for state in (checkpoint, expected))
        torch.testing.assert_close(ours, of_one, rtol=1e-3, atol=1e-5)
    load_network(read_checkpoint(folder / "best_model.pth"))


def test_two_processes_train_as_one_through_a_signal_a_lost_worker_and_another_number_of_processes(demo_data, tmp_path):
    alone = options(demo_data, tmp_path / "alone")
    train(RECIPE, alone)
    last = tmp_path / "run" / "last.pth"

    process = start(demo_data, tmp_path, "--checkpoint_minutes", "0")
    signal_second_worker(process, signal.SIGTERM, last)
    stdout, stderr = process.communicate(timeout=SECONDS)
    (error,) = errors(stderr)
    assert "stopped by SIGTERM after epoch" in error
    assert stdout.count("9 classes, 135 images to train on, 45 to validate on") == 1
    assert process.returncode != 0

    process = start(demo_data, tmp_path, "--checkpoint_minutes", "0", "--resume")
    signal_second_worker(process, signal.SIGKILL, last)
    _, stderr = process.communicate(timeout=SECONDS)
    (error,) = errors(stderr)
    assert "no connection to another process of the run" in error
    assert process.returncode != 0
    assert len(read_checkpoint(last)["training"]["history"].get("val_acc", [])) < RECIPE.epochs

    fewer = options(demo_data, tmp_path / "fewer")
    shutil.copytree(tmp_path / "run", fewer.folder)
    train(RECIPE, fewer, resume=fewer.folder / "last.pth")
    assert_as_one_process(fewer.folder, alone)

    process = start(demo_data, tmp_path, "--resume")
    stdout, stderr = process.communicate(timeout=SECONDS)
    assert process.returncode == 0, stderr
    assert stdout.count("best epoch") == 1
    assert_as_one_process(tmp_path / "run", alone)


def test_a_batch_that_cannot_be_shared_is_refused_before_the_folder_is_touched(demo_data, tmp_path, monkeypatch):
    monkeypatch.setattr("tinybench.training.setup.world_size", lambda: 2)
    with pytest.raises(UsageError, match="batch_size 18 has no equal shares for 2 processes, in pairs"):
        train(dataclasses.replace(RECIPE, batch_size=18), options(demo_data, tmp_path))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("augment", load_augmentations())
def test_the_shares_of_a_batch_are_the_batch(demo_data, augment):
    recipe = dataclasses.replace(RECIPE, augment=augment, repeats=2)
    images, _ = load_images(recipe, demo_data)
    whole = TrainBatches(images, recipe)
    shares = [TrainBatches(images, recipe, rank=rank, processes=4) for rank in range(4)]
    mixed = 0
    for step in range(8):
        batch = whole.batch(0, step)
        mixed += batch.lam < 1
        for share in shares:
            part = share.batch(0, step)
            assert part.lam == batch.lam
            for name in ("images", "labels", "other_labels"):
                assert torch.equal(getattr(part, name), getattr(batch, name)[share.rows]), name
    assert 0 < mixed < 8
    assert sorted(torch.cat([share.rows for share in shares]).tolist()) == list(range(16))


@pytest.mark.parametrize(("batch_size", "processes"), [(6, 2), (9, 3), (5, 5), (7, 1), (16, 4)])
def test_shares_of_any_size_leave_nothing_out(batch_size, processes):
    shares = [share_of_batch(batch_size, rank, processes) for rank in range(processes)]
    assert {len(share) for share in shares} == {batch_size // processes}
    assert sorted(torch.cat(shares).tolist()) == list(range(batch_size))


def test_batches_that_have_no_equal_shares():
    with pytest.raises(UsageError, match="batch_size 16 has no equal shares for 3 processes; take a multiple of 3"):
        check_shares(dataclasses.replace(RECIPE, mixup_cutmix_alpha=0.0), 135, 45, processes=3)
    with pytest.raises(UsageError, match=r"batch_size 135 .* in pairs"):  # all the images there are
        check_shares(dataclasses.replace(RECIPE, batch_size=1000), 135, 45, processes=5)
    with pytest.raises(UsageError, match="3 validation images are not enough for 4 processes"):
        check_shares(RECIPE, 135, 3, processes=4)
    check_shares(RECIPE, 135, 45, processes=8)


@pytest.mark.parametrize("processes", [1, 2, 3, 7])
def test_every_image_is_validated_once(monkeypatch, processes):
    monkeypatch.setattr(distributed, "world_size", lambda: processes)
    slices = []
    for rank in range(processes):
        monkeypatch.setattr(distributed, "rank", lambda rank=rank: rank)
        slices += list(range(45))[distributed.rank_slice(45)]
    assert slices == list(range(45))


def test_dropout_differs_between_processes_and_stays_in_the_first(monkeypatch):
    assert distributed.rank_keys() == ()
    monkeypatch.setattr(distributed, "rank", lambda: 1)
    assert distributed.rank_keys() == (1,)


def test_a_device_that_cannot_be_shared_is_refused(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    with pytest.raises(UsageError, match="cannot share device mps"), distributed.process_group("mps"):
        pass
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(UsageError, match="nproc_per_node 2 is more than"), distributed.process_group("cuda"):
        pass


def test_batchnorm_is_synchronised_only_between_processes_and_only_on_cuda(demo_data, monkeypatch):
    recipe = dataclasses.replace(RECIPE, model="resnet", model_options={}, sync_batch_norm=True)
    images, val_images = load_images(recipe, demo_data)
    state = build_state(recipe, images, val_images, torch.device("cpu"))
    assert not any(isinstance(module, torch.nn.SyncBatchNorm) for module in state.model.modules())
    monkeypatch.setattr("tinybench.training.setup.world_size", lambda: 2)
    with pytest.raises(UsageError, match="needs device cuda"):
        build_state(recipe, images, val_images, torch.device("cpu"))


@pytest.mark.parametrize(("seconds", "most_exchanges"), [(0.01, 20), (3.0, 1000)])
def test_processes_agree_about_once_a_second(monkeypatch, seconds, most_exchanges):
    now, exchanges, stop_at = [0.0], [], 700

    def largest(*numbers):  # as if another process had taken twice as long, and received a signal in the end
        exchanges.append(now[0])
        signalled = signal.SIGTERM if step >= stop_at else 0
        return [max(numbers[0], signalled), numbers[1], 2 * numbers[2]]

    monkeypatch.setattr(distributed, "world_size", lambda: 2)
    monkeypatch.setattr(distributed, "_largest", largest)
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    any_rank = distributed.AnyRank()
    for step in range(1000):  # noqa: B007  `largest` looks at it
        now[0] += seconds
        received, due = any_rank(None, True)
        assert due == (exchanges[-1:] == now)
        if received:
            break
    assert received == signal.SIGTERM
    assert (step - stop_at) * 2 * seconds <= max(1.1, 2 * seconds)
    assert len(exchanges) <= most_exchanges
    before = len(exchanges)
    any_rank(None, False, now=True)
    assert len(exchanges) == before + 1
    monkeypatch.setattr(distributed, "world_size", lambda: 1)
    assert distributed.AnyRank()(signal.SIGINT, True) == (signal.SIGINT, True)
