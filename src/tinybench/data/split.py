"""Subsets of a data set: fewer classes, fewer images, and the validation images held out of train."""

from dataclasses import replace

import torch

from tinybench.data.imageset import ImageSet
from tinybench.errors import UsageError
from tinybench.runtime.seeds import Purpose, torch_generator


def first_classes(images: ImageSet, count: int) -> ImageSet:
    """The images of the first `count` classes in sorted order; 0 means all.

    Raises:
        UsageError: there are fewer classes.
    """
    if count == 0:
        return images
    if count > images.num_classes:
        raise UsageError(f"classes {count}: {images.name} has only {images.num_classes}")
    chosen = images.select(torch.nonzero(images.labels < count).flatten())
    return replace(chosen, class_ids=images.class_ids[:count], class_names=images.class_names[:count])


def images_per_class(images: ImageSet, count: int, seed: int) -> ImageSet:
    """`count` images of each class, drawn by the seed; 0 means all.

    Raises:
        UsageError: a class has fewer.
    """
    if count == 0:
        return images
    chosen = []
    for name, members in zip(images.class_ids, _shuffled_members(images, seed, Purpose.SUBSET), strict=True):
        if len(members) < count:
            raise UsageError(f"images_per_class {count}: class {name} of {images.name} has only {len(members)}")
        chosen.append(members[:count])
    return images.select(torch.cat(chosen).sort().values)


def train_val_split(images: ImageSet, val_fraction: float, seed: int) -> tuple[ImageSet, ImageSet]:
    """Hold `val_fraction` of each class out, at least one of two images, drawn by the seed: (train, validation).

    Raises:
        UsageError: no class has two images.
    """
    train, val = [], []
    for members in _shuffled_members(images, seed, Purpose.SPLIT):
        held_out = min(max(1, round(len(members) * val_fraction)), len(members) - 1)  # of a single image, none
        val.append(members[:held_out])
        train.append(members[held_out:])
    if not any(map(len, val)):
        raise UsageError(f"each class of {images.name} has a single image; at least 2 of one are needed to validate on")
    return images.select(torch.cat(train).sort().values), images.select(torch.cat(val).sort().values)


def _shuffled_members(images: ImageSet, seed: int, purpose: Purpose) -> list[torch.Tensor]:
    """For each class, the indices of its images in an order drawn by the seed."""
    members = []
    for label in range(images.num_classes):
        indices = torch.nonzero(images.labels == label).flatten()
        order = torch.randperm(len(indices), generator=torch_generator("cpu", seed, purpose, label))
        members.append(indices[order])
    return members
