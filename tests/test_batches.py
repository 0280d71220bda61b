"""What a step sees: repeated images, the end of mixing, growing sizes."""

import dataclasses

import pytest
import torch

from tinybench.data.batches import TrainBatches
from tinybench.data.imageset import ImageSet
from tinybench.errors import UsageError
from tinybench.recipe import Recipe
from tinybench.training.setup import build_state

RECIPE = Recipe(augment="none", batch_size=8, epochs=6)
CPU = torch.device("cpu")


@pytest.fixture
def images():
    """24 images of one value each, which is their label's."""
    labels = torch.arange(24)
    pixels = labels.to(torch.uint8).view(-1, 1, 1, 1).expand(-1, 3, 16, 16).contiguous()
    names = tuple(map(str, range(24)))
    return ImageSet(
        name="made up", images=pixels, labels=labels, class_ids=names, class_names=names, fingerprint="x",
        mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0),
    )  # fmt: skip


def values(batch):
    return (batch.images.mean((1, 2, 3)) * 255).round().long()


def test_repeated_images_come_often_enough_and_differently(images):
    batches = TrainBatches(images, dataclasses.replace(RECIPE, repeats=4, image_size=16))
    assert (batches.batch_size, batches.steps_per_epoch) == (8, 3)
    seen = []
    for step in range(3):
        batch = batches.batch(0, step)
        assert torch.equal(values(batch), batch.labels)
        labels, counts = batch.labels.unique(return_counts=True)
        assert counts.tolist() == [4, 4]
        seen += labels.tolist()
    assert len(set(seen)) == 6  # no image in two batches of an epoch
    assert set(TrainBatches(images, RECIPE).batch(0, 0).labels[:2].tolist()) == set(seen[:2])
    varied = TrainBatches(images, dataclasses.replace(RECIPE, repeats=8, augment="standard", image_size=16))
    assert len(varied.batch(0, 0).images.flatten(1).unique(dim=0)) == 8


def test_repeated_images_are_mixed_with_others(images):
    batches = TrainBatches(images, dataclasses.replace(RECIPE, repeats=2, mixup_cutmix_alpha=1.0, image_size=16))
    mixed = [batch for step in range(3) for epoch in range(6) if (batch := batches.batch(epoch, step)).lam < 1]
    assert mixed
    assert all((batch.labels != batch.other_labels).all() for batch in mixed)


def test_a_set_smaller_than_a_batch_still_gives_one(images):
    batches = TrainBatches(images.select(torch.arange(3)), dataclasses.replace(RECIPE, repeats=4))
    assert (batches.batch_size, batches.steps_per_epoch) == (4, 1)
    assert len(batches.batch(0, 0)) == 4


def test_the_last_epochs_are_not_mixed(images):
    recipe = dataclasses.replace(RECIPE, mixup_cutmix_alpha=1.0, mix_off_epochs=2)
    batches, always = (TrainBatches(images, r) for r in (recipe, dataclasses.replace(recipe, mix_off_epochs=0)))
    lams = [[b.batch(epoch, step).lam for step in range(3)] for b in (batches, always) for epoch in range(6)]
    assert lams[:4] == lams[6:10]
    assert lams[4:6] == [[1.0] * 3] * 2
    assert any(lam < 1 for epoch in lams[10:] for lam in epoch)


def test_the_share_of_mixed_batches_is_the_recipes(images):
    recipe = dataclasses.replace(RECIPE, mixup_cutmix_alpha=1.0, mix_probability=1.0, cutmix_share=0.0)
    batches = TrainBatches(images, recipe)
    assert all(0 < batches.batch(epoch, step).lam < 1 for epoch in range(6) for step in range(3))


def test_sizes_grow_over_equal_spans(images):
    recipe = dataclasses.replace(RECIPE, image_size_schedule="8:12:16", image_size=16)
    batches = TrainBatches(images, recipe)
    assert [batches.batch(epoch, 0).images.shape[-1] for epoch in range(6)] == [8, 8, 12, 12, 16, 16]
    longer = TrainBatches(images, dataclasses.replace(recipe, epochs=3, total_epochs=12))
    assert [longer.batch(epoch, 0).images.shape[-1] for epoch in range(5)] == [8, 8, 8, 8, 12]


def test_growing_sizes_need_a_network_for_any_size(images):
    recipe = dataclasses.replace(RECIPE, model="svm", image_size=64, image_size_schedule="32:64")
    with pytest.raises(UsageError, match="image_size_schedule 32:64: SVM takes images of at least 64x64 pixels"):
        build_state(recipe, images, images, CPU)
