"""Blur: float32 (B, 3, S, S), out of focus, through frosted glass, or moving."""

import torch
from torch import Tensor

from tinybench.evaluation.robustness.corruptions.filters import (
    blur_along,
    convolve,
    disk_kernel,
    gaussian_matrix,
    separable,
    zoom_matrix,
)


def defocus_blur(images: Tensor, _: torch.Generator, radius: float, sigma: float) -> Tensor:
    """Spread each pixel over a disk of `radius` pixels whose rim is smoothed with `sigma`."""
    return convolve(images, disk_kernel(radius, sigma))


def glass_blur(images: Tensor, generator: torch.Generator, sigma: float, reach: int, times: int) -> Tensor:
    """Blur, displace each pixel `times` times by up to `reach` pixels, and blur again."""
    batch, _, size, _ = images.shape
    matrix = gaussian_matrix(size, sigma)
    images = separable(images, matrix)
    for _ in range(times):
        offsets = torch.randint(-reach, reach, (batch, 2, size, size), generator=generator)
        images = displace(images, offsets.to(images.device), reach)
    return separable(images, matrix)


def displace(images: Tensor, offsets: Tensor, reach: int) -> Tensor:
    """Overwrite one pixel after the other, from the last to the first, with the present value of a neighbour.

    The published loop means to swap the two, but its assignment swaps views of one array, and so copies. A neighbour
    that comes later in the image has been overwritten before: its own source is followed, and so on.

    Args:
        offsets: int64 (B, 2, S, S), rows and columns to the neighbour, from -reach to reach - 1. The first reach + 1
            and the last reach - 1 rows and columns stay as they are.
    """
    size = images.shape[-1]
    pixels = torch.arange(size, device=images.device)
    moved = (pixels > reach) & (pixels <= size - reach)
    offsets = offsets * (moved[:, None] & moved)
    place = pixels[:, None] * size + pixels  # (S, S), counted along the rows
    source = (place + offsets[:, 0] * size + offsets[:, 1]).flatten(1)
    last = torch.maximum(source, place.flatten())  # of each chain of overwritten neighbours; at first one step of it
    for _ in range((size * size - 1).bit_length()):  # every round doubles the steps
        last = last.gather(1, last)
    source = source.gather(1, last)
    flat = images.flatten(2)
    return flat.gather(2, source[:, None].expand_as(flat)).view(images.shape)


def motion_blur(images: Tensor, generator: torch.Generator, radius: int, sigma: float) -> Tensor:
    """Move the camera in a direction within 45 degrees of the rows."""
    angle = torch.rand(len(images), generator=generator) * 90 - 45
    return blur_along(images, angle, radius, sigma)


def zoom_blur(images: Tensor, _: torch.Generator, count: int, step: float) -> Tensor:
    """The mean of the image and of `count` enlargements of it: 1, 1 + step, 1 + 2 step and so on."""
    total = images.clone()
    for index in range(count):
        total += separable(images, zoom_matrix(images.shape[-1], 1 + index * step))
    return total / (count + 1)
