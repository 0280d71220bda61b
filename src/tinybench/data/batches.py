"""Batches on the device: a training batch is a pure function of (images, recipe, epoch, step)."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from tinybench.data.augment.mix import draw_mix
from tinybench.data.augment.policy import build_policy, normalize
from tinybench.data.imageset import ImageSet
from tinybench.data.sampling import balanced_order
from tinybench.data.streaming import StreamedSet, WindowReader
from tinybench.errors import UsageError
from tinybench.recipe import Recipe
from tinybench.runtime.device import memory_format, send
from tinybench.runtime.seeds import Purpose, numpy_generator, torch_generator


@dataclass(frozen=True)
class Batch:
    """Images, and the two labels of each that MixUp or CutMix left it with.

    Attributes:
        images: float32 (B, 3, H, W), normalised.
        labels, other_labels: int64 (B,); equal where nothing was mixed.
        lam: weight of `labels`; 1 - lam is the weight of `other_labels`.
    """

    images: Tensor
    labels: Tensor
    other_labels: Tensor
    lam: float

    def __len__(self) -> int:
        return len(self.labels)

    def micro_batches(self, count: int) -> Iterator["Batch"]:
        """Cut into at most `count` batches of nearly equal size."""
        columns = zip(self.images.chunk(count), self.labels.chunk(count), self.other_labels.chunk(count), strict=True)
        for images, labels, other_labels in columns:
            yield Batch(images, labels, other_labels, self.lam)

    def loss(self, logits: Tensor, criterion: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
        """What `criterion` makes of logits and labels, both labels weighed by lambda."""
        loss = criterion(logits, self.labels)
        if self.lam == 1:
            return loss
        return self.lam * loss + (1 - self.lam) * criterion(logits, self.other_labels)

    def correct(self, logits: Tensor) -> Tensor:
        """Number of correct predictions, both labels weighed by lambda; float32 scalar."""
        predicted = logits.argmax(dim=1)
        correct = (predicted == self.labels).sum(dtype=torch.float32)
        if self.lam == 1:
            return correct
        return self.lam * correct + (1 - self.lam) * (predicted == self.other_labels).sum(dtype=torch.float32)


def size_of_batches(recipe: Recipe, images: int) -> int:
    """How many images a step sees, of so many training images."""
    return max(1, min(recipe.batch_size, images) // recipe.repeats) * recipe.repeats


def images_at_once(recipe: Recipe, processes: int) -> int:
    """How many images each of so many processes has on its device at once, in training and in validation."""
    return max(1, recipe.batch_size // recipe.accumulate_steps // processes)


def smallest_piece(batch_size: int, pieces: int) -> int:
    """How many images the last of the pieces of a batch has, see `Batch.pieces`."""
    largest = math.ceil(batch_size / pieces)
    return batch_size % largest or largest


def check_shares(recipe: Recipe, train_images: int, val_images: int, processes: int) -> None:
    """Make sure that so many processes have equal shares of a batch, and something to validate.

    Raises:
        UsageError: naming how many images there are.
    """
    batch_size = size_of_batches(recipe, train_images)
    # What is mixed with each other stays together.
    unit = 2 * processes if processes > 1 and recipe.mixup_cutmix_alpha > 0 else processes
    if batch_size % unit:
        pairs = ", in pairs for mixing" if unit > processes else ""
        raise UsageError(
            f"batch_size {batch_size} has no equal shares for {processes} processes{pairs}; take a multiple of {unit}"
        )
    if val_images < processes:
        raise UsageError(f"{val_images} validation images are not enough for {processes} processes")


def share_of_batch(batch_size: int, rank: int, processes: int) -> Tensor:
    """The positions in a batch that a process works on, int64 (batch_size / processes,), ascending.

    They come from both ends alike, so that an image and the one it is mixed with, as far from the other end, are in one
    share, and the share reversed pairs them as the whole batch reversed does.
    """
    assert batch_size % processes == 0  # see check_shares
    front = torch.arange(batch_size)
    inwards = torch.stack((front, front.flip(0)), dim=1).flatten()[:batch_size]  # 0, B - 1, 1, B - 2, ...
    return inwards.chunk(processes)[rank].sort().values


class TrainBatches:
    """The training batches of a run. The last images of an epoch's order, too few for a batch, sit that epoch out.

    All random numbers are drawn for the whole batch, of which each of several processes varies and gets its share.
    """

    def __init__(self, images: ImageSet, recipe: Recipe, *, rank: int = 0, processes: int = 1) -> None:
        self.images = images
        self.recipe = recipe
        self.device = images.labels.device
        self.batch_size = size_of_batches(recipe, len(images))
        self.distinct = self.batch_size // recipe.repeats  # images in a batch
        self.rows: slice | Tensor = slice(None)
        if processes > 1:
            self.rows = share_of_batch(self.batch_size, rank, processes).to(self.device)
        self.steps_per_epoch = max(1, len(images) // self.batch_size)
        self.policies = {
            size: build_policy(recipe.augment, size, images.mean, images.std) for size in recipe.image_sizes
        }
        self._reader = WindowReader(images, self.distinct, recipe.seed) if isinstance(images, StreamedSet) else None
        self._order = (-1, torch.empty(0))

    def order(self, epoch: int) -> Tensor:
        """The order of the images in that epoch: int64 (N,) on the device, of streamed images on the CPU.

        Of balanced sampling, those alone that its steps see.
        """
        if self._reader:
            return self._reader.order(epoch)
        if self._order[0] != epoch:
            if self.recipe.sampling == "balanced":
                seen = self.steps_per_epoch * self.distinct
                order = balanced_order(self.images.labels.cpu(), seen, self.recipe.seed, epoch).to(self.device)
            else:
                generator = torch_generator(self.device, self.recipe.seed, Purpose.SHUFFLE, epoch)
                order = torch.randperm(len(self.images), generator=generator, device=self.device)
            self._order = (epoch, order)
        return self._order[1]

    def batch(self, epoch: int, step: int) -> Batch:
        """The batch of that step (counted from 0 within the epoch), or this process's share of it."""
        recipe = self.recipe
        policy = self.policies[recipe.image_size_in(epoch)]
        # Repeated one after the other, so that mixing never pairs an image with itself.
        indices = self.order(epoch)[step * self.distinct : (step + 1) * self.distinct].repeat(recipe.repeats)
        labels = self.images.labels[send(indices, self.device)][self.rows]
        generator = torch_generator(self.device, recipe.seed, Purpose.AUGMENT, epoch, step)
        if self._reader:
            pixels = send(self._reader.pixels(epoch, step, indices), self.device)
        else:
            pixels = self.images.pixels(indices)
        images = policy(pixels, generator, self.rows)
        mix = None
        if recipe.mixup_cutmix_alpha > 0 and epoch < recipe.schedule_epochs - recipe.mix_off_epochs:
            rng = numpy_generator(recipe.seed, Purpose.MIX, epoch, step)
            mix = draw_mix(
                recipe.mixup_cutmix_alpha, policy.image_size, rng,
                probability=recipe.mix_probability, cutmix_share=recipe.cutmix_share,
            )  # fmt: skip
        if mix is not None:
            images = mix.apply(images)
        images = images.contiguous(memory_format=memory_format(recipe.channels_last))
        if mix is None:
            return Batch(images, labels, labels, 1.0)
        return Batch(images, labels, labels.flip(0), mix.lam)


def eval_batches(
    images: ImageSet, batch_size: int, image_size: int, device: torch.device | str, channels_last: bool = False
) -> Iterator[tuple[Tensor, Tensor]]:
    """Every image once, in order, normalised and unvaried: float32 (B, 3, image_size, image_size), int64 (B,)."""
    device, layout = torch.device(device), memory_format(channels_last)
    for start in range(0, len(images), batch_size):
        rows = slice(start, start + batch_size)
        # Without a name, so that a batch is gone when the next one is made.
        yield (
            normalize(send(images.pixels(rows), device), image_size, images.mean, images.std).to(memory_format=layout),
            send(images.labels[rows], device),
        )
