"""Balanced sampling: what an epoch sees where every class is to come equally often."""

import torch
from torch import Tensor

from tinybench.runtime.seeds import Purpose, torch_generator


def balanced_order(labels: Tensor, count: int, seed: int, epoch: int) -> Tensor:
    """The images of an epoch in their order, int64 (count,) on the CPU, as many of each class but for one.

    The classes take turns, and at its turns a class goes through its images, shuffled anew in each round. The next
    epoch goes on where this one ends, so that a common class's images come equally often, too.

    Args:
        labels: int64 (N,), on the CPU.
        count: images of an epoch.
    """
    classes = labels.unique().tolist()  # those without images have no turn
    start, end = epoch * count, (epoch + 1) * count  # turns, over all epochs and classes
    taken = []
    for place, label in enumerate(classes):
        members = torch.nonzero(labels == label).flatten()
        first, last = (-(-(turn - place) // len(classes)) for turn in (start, end))  # the class's own, last exclusive
        rounds = range(first // len(members), last // len(members) + 1)
        shuffled = [members[_permutation(len(members), seed, Purpose.SAMPLE, label, number)] for number in rounds]
        skipped = rounds.start * len(members)
        taken.append(torch.cat(shuffled)[first - skipped : last - skipped])
    return torch.cat(taken)[_permutation(count, seed, Purpose.SHUFFLE, epoch)]


def _permutation(count: int, seed: int, purpose: Purpose, *keys: int) -> Tensor:
    return torch.randperm(count, generator=torch_generator("cpu", seed, purpose, *keys))
