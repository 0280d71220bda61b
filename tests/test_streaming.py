"""Images that stay in their file: the order, the windows, what is read, and exact resume."""

import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from test_training import TINY, assert_same, options, stop_after

from tinybench.data import streaming
from tinybench.data.batches import TrainBatches, eval_batches
from tinybench.data.prepare.packed import PackedSplit, load_packed, write_metadata
from tinybench.data.split import first_classes, images_per_class, train_val_split
from tinybench.data.streaming import StreamedSet, WindowReader
from tinybench.errors import UsageError, UserError
from tinybench.inference.checkpoint import read_checkpoint
from tinybench.recipe import Recipe
from tinybench.training.saving import Stopped
from tinybench.training.trainer import train

SIDE, CLASSES = 16, 10
RECIPE = Recipe(image_size=SIDE, batch_size=32, epochs=4)


def packed(folder, count, side=SIDE, pixels=None):
    """The training images of a packed folder, sorted by class; without pixels, a hole in the file, which reads as 0."""
    path = folder / "train_images.npy"
    shape = (count, 3, side, side)
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})
        file.truncate(file.tell() + math.prod(shape))
    if pixels is not None:
        np.save(path, pixels)
    np.save(folder / "train_labels.npy", np.arange(count) * CLASSES // count)
    names = tuple(map(str, range(CLASSES)))
    split = PackedSplit(count=count, fingerprint="x", mean=[0.5] * 3, std=[0.3] * 3)
    write_metadata(folder, name="made up", class_ids=names, class_names=names, splits={"train": split})
    return load_packed(folder, "train")


@pytest.fixture
def images(tmp_path):
    """1,003 images of noise: neither whole blocks nor whole windows."""
    pixels = np.random.default_rng(0).integers(0, 256, (1003, 3, SIDE, SIDE), dtype=np.uint8)
    return packed(tmp_path, 1003, pixels=pixels)


@pytest.fixture(autouse=True)
def small_windows(monkeypatch):
    """Blocks of 4 images of 16×16, windows of at most 160, so that an epoch has several."""
    monkeypatch.setattr(streaming, "BLOCK_BYTES", 4 * 3 * SIDE**2)
    monkeypatch.setattr(streaming, "WINDOW_BLOCKS", 40)


def test_every_image_comes_once_an_epoch_in_an_order_of_its_own(images):
    def orders(seed):
        batches = TrainBatches(StreamedSet.of(images), dataclasses.replace(RECIPE, seed=seed))
        return [batches.order(epoch).tolist() for epoch in (0, 1)]

    first, second = orders(0)
    assert sorted(first) == sorted(second) == list(range(1003))
    assert orders(0) == [first, second]
    other = orders(1)
    assert len({tuple(order) for order in (first, second, *other)}) == 4


def test_a_window_is_whole_batches_of_blocks_from_all_over_the_file(images):
    reader = WindowReader(StreamedSet.of(images), batch=48, seed=0)
    assert (reader.block, reader.window) == (4, 144)
    window = reader.order(0)[:144]
    assert len(window.unique() // 4 * 4) == 144
    assert len((window // 4).unique()) <= 144 // 4 + 2  # the blocks at its ends may be cut, and the last is shorter
    assert (window.diff() != 1).sum() > 130  # and they are shuffled
    assert WindowReader(StreamedSet.of(images), batch=500, seed=0).window == 500


@pytest.mark.parametrize(
    "changes",
    [{}, {"mixup_cutmix_alpha": 1.0}, {"repeats": 4}, {"image_size_schedule": "8:16"}, {"batch_size": 2000}],
    ids=str,
)
def test_batches_are_those_of_the_same_images_in_memory(images, changes):
    recipe = dataclasses.replace(RECIPE, **changes)
    (train_images, _), (whole, _) = (train_val_split(i, 0.2, seed=0) for i in (StreamedSet.of(images), images))
    streamed, memory = TrainBatches(train_images, recipe), TrainBatches(whole, recipe)
    for epoch in (0, 2):
        memory._order = (epoch, streamed.order(epoch))
        for step in range(memory.steps_per_epoch):
            one, other = streamed.batch(epoch, step), memory.batch(epoch, step)
            assert torch.equal(one.images, other.images), (epoch, step)
            assert torch.equal(one.labels, other.labels)
    again = TrainBatches(train_images, recipe).batch(2, memory.steps_per_epoch - 1)  # asked for at once
    assert torch.equal(again.images, one.images)


def test_the_next_window_is_read_ahead_and_the_former_let_go(images, monkeypatch):
    read = []
    monkeypatch.setattr(StreamedSet, "read", lambda self, rows, pixels: read.append(len(rows)))
    reader = WindowReader(StreamedSet.of(images), batch=32, seed=0)
    for epoch in (0, 1):
        for step in range(31):
            reader.pixels(epoch, step, reader.order(epoch)[step * 32 : step * 32 + 32])
            assert len(reader._windows) == 2
    reader._thread.shutdown()
    assert read == 2 * ([160] * 6 + [43]) + [160]  # each once, and at the end of an epoch the first of the next


def test_batches_of_a_file_sorted_by_class_hold_many_classes(monkeypatch):
    """Tiny ImageNet's shape, with the windows that it really has."""
    monkeypatch.undo()
    labels = torch.arange(80_000) // 400
    names = tuple(map(str, range(200)))
    images = StreamedSet(
        name="sorted", images=torch.empty(1, 3, 64, 64, dtype=torch.uint8), labels=labels, header=0,
        rows=torch.arange(80_000), class_ids=names, class_names=names, mean=(0.5,) * 3, std=(0.3,) * 3, fingerprint="x",
    )  # fmt: skip
    batches = labels[WindowReader(images, batch=128, seed=0).order(0)].view(-1, 128)
    held = torch.tensor([len(batch.unique()) for batch in batches]).float()
    assert held.mean() > 88  # 94.7 where the whole set is shuffled
    assert held.min() > 70


def test_subsets_and_splits_read_nothing_and_are_those_of_the_images_in_memory(images):
    streamed = StreamedSet.of(images)
    parts = []
    for whole in (streamed, images):
        part = images_per_class(first_classes(whole, 7), 50, seed=3)
        parts += train_val_split(part, 0.3, seed=3)
    for one, other in zip(parts[:2], parts[2:], strict=True):
        assert one.images.data_ptr() == images.images.data_ptr()
        assert (len(one), one.class_ids) == (len(other), other.class_ids)
        assert torch.equal(one.pixels(slice(None)), other.images)
        for (x, y), (expected, labels) in zip(*(eval_batches(i, 64, SIDE, "cpu") for i in (one, other)), strict=True):
            assert torch.equal(x, expected)
            assert torch.equal(y, labels)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="only Linux tells the kinds of memory")
def test_memory_does_not_grow_with_the_file(tmp_path):
    def resident():
        lines = Path("/proc/self/status").read_text().splitlines()
        return sum(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 2**10

    images = packed(tmp_path, 40_000, side=64)  # 469 MiB
    before = resident()
    train_images, val_images = train_val_split(StreamedSet.of(images), 0.2, seed=0)
    batches = TrainBatches(train_images.to("cpu"), dataclasses.replace(RECIPE, augment="none", batch_size=512))
    for step in range(batches.steps_per_epoch):
        batches.batch(0, step)
    for _ in eval_batches(val_images, 512, SIDE, "cpu"):
        pass
    assert resident() - before < 150  # MiB


def test_a_stopped_run_resumes_bit_for_bit(demo_data, tmp_path, monkeypatch):
    monkeypatch.setattr(streaming, "BLOCK_BYTES", 2 * 3 * 64**2)
    recipe = dataclasses.replace(TINY, epochs=2, stream=True)
    run, whole = options(demo_data, tmp_path), options(demo_data, tmp_path, "whole")
    train(recipe, whole)
    for steps in (3, 4):  # in the second window of the first epoch, then in that of the second
        with monkeypatch.context() as patch:
            stop_after(patch, steps)
            with pytest.raises(Stopped):
                train(recipe, run, resume=run.folder / "last.pth" if steps == 4 else None)
    train(recipe, run, resume=run.folder / "last.pth")
    for file in ("last.pth", "best_model.pth"):
        assert_same(*(read_checkpoint(options.folder / file) for options in (run, whole)))
    with pytest.raises(UsageError, match="trained with stream True, not False"):
        train(dataclasses.replace(recipe, stream=False), run, resume=run.folder / "last.pth")


def test_images_in_memory_cannot_be_streamed(images):
    with pytest.raises(UserError, match=r"made up are in memory.*without --stream"):
        StreamedSet.of(images.select(torch.arange(5)))


def test_a_file_that_was_cut_or_removed_is_one_line(images, tmp_path):
    cut = tmp_path / "cut.npy"
    streamed = dataclasses.replace(StreamedSet.of(images), file=cut)
    with pytest.raises(UserError, match=r"cannot read .*cut\.npy: No such file"):
        TrainBatches(streamed, RECIPE).batch(0, 0)
    cut.write_bytes(images.file.read_bytes()[:100_000])
    with pytest.raises(UserError, match=r"cut\.npy is shorter"):
        TrainBatches(streamed, RECIPE).batch(0, 0)
