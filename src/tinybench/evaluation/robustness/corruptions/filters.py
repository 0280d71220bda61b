"""Filters and warps of square images that the corruptions are made of.

A filter that treats rows and columns alike is a matrix (S, S): matrix @ images @ matrix.T. Borders, zooming and
resizing are worked out once, in the matrix, on the CPU in float64.
"""

import functools
import math
from typing import Literal

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F


def separable(images: Tensor, matrix: Tensor) -> Tensor:
    """Apply a matrix (T, S) to the rows and to the columns of images (..., S, S): (..., T, T)."""
    matrix = matrix.to(images.device)
    return matrix @ images @ matrix.T


@functools.cache
def gaussian_matrix(
    size: int, sigma: float, *, truncate: float = 4, border: Literal["edge", "symmetric"] = "edge"
) -> Tensor:
    """A normal density of `sigma` pixels, cut off at `truncate` sigmas.

    Args:
        border: what lies beyond the image: its last pixel, or its mirror image.
    """
    reach = int(truncate * sigma + 0.5)
    weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    padded = np.pad(np.eye(size), ((reach, reach), (0, 0)), mode=border)
    windows = np.lib.stride_tricks.sliding_window_view(padded, len(weights), axis=0)
    return torch.from_numpy(windows @ (weights / weights.sum())).float()


@functools.cache
def zoom_matrix(size: int, factor: float) -> Tensor:
    """Look at the middle of the image, `factor` (at least 1) times enlarged, with linear interpolation."""
    seen = math.ceil(size / factor)
    enlarged = round(seen * factor)
    rows = np.arange(size) + (enlarged - size) // 2
    position = (size - seen) // 2 + rows * (seen - 1) / (enlarged - 1)
    return torch.from_numpy(np.maximum(0, 1 - abs(position[:, None] - np.arange(size)))).float()


@functools.cache
def box_matrix(size: int, new_size: int) -> Tensor:
    """Pillow's box filter: what resizing makes of the rows of the identity."""
    rows = Image.fromarray(np.eye(size, dtype=np.float32)).resize((new_size, size), Image.Resampling.BOX)
    return torch.from_numpy(np.array(rows).T)


@functools.cache
def disk_kernel(radius: float, sigma: float) -> Tensor:
    """A disk of equal weights, its rim smoothed by three pixels of a normal density: float32 (K, K)."""
    reach = int(radius) + 1
    squares = np.arange(-reach, reach + 1) ** 2
    disk = (squares[:, None] + squares <= radius**2).astype(np.float64)
    side = math.exp(-0.5 / sigma**2)
    rows = np.eye(len(disk)) + side * (np.eye(len(disk), k=1) + np.eye(len(disk), k=-1))
    smooth = rows @ disk @ rows.T
    return torch.from_numpy(smooth / smooth.sum()).float()


def convolve(images: Tensor, kernel: Tensor) -> Tensor:
    """Filter each channel with a symmetric kernel (K, K), K odd; beyond the border, the image is mirrored at its last
    pixels.
    """
    reach = len(kernel) // 2
    padded = F.pad(images.flatten(0, 1).unsqueeze(1), (reach, reach, reach, reach), mode="reflect")
    return F.conv2d(padded, kernel.to(images.device)[None, None]).view(images.shape)


def blur_along(images: Tensor, angle: Tensor, radius: int, sigma: float) -> Tensor:
    """Blur along a line that leaves each pixel in one direction, with half a normal density, as ImageMagick does.

    Beyond the border lies the last pixel.

    Args:
        images: float32 (B, C, S, S).
        angle: (B,) degrees, clockwise from the row.
        radius: the line is 2 * radius + 1 pixels long.
        sigma: of the density, in pixels.
    """
    size, device = images.shape[-1], images.device
    steps = torch.arange(2 * radius + 1)
    weights = torch.exp(-0.5 * (steps / sigma) ** 2)
    weights /= weights.sum()
    radians = torch.deg2rad(angle)[:, None]
    shifts = torch.stack((radians.sin() * steps, radians.cos() * steps), 1).sub(0.5).ceil().long().to(device)
    pixels = torch.arange(size, device=device)
    flat = images.flatten(2)
    out = torch.zeros_like(flat)
    for step, weight in enumerate(weights.tolist()):
        if weight < 1e-5:  # less than a hundredth of a gray level, all of them together
            break
        row, column = (pixels + shifts[:, :, step, None]).clamp(0, size - 1).unbind(1)  # (B, S) each
        source = (row[:, :, None] * size + column[:, None, :]).flatten(1)
        out.add_(flat.gather(2, source[:, None].expand_as(flat)), alpha=weight)
    return out.view(images.shape)


def fold(position: Tensor, low: float, high: float) -> Tensor:
    """Mirror positions at `low` and `high` until they lie between."""
    span = high - low
    return high - ((position - low) % (2 * span) - span).abs()


def sample(images: Tensor, row: Tensor, column: Tensor) -> Tensor:
    """Bilinear interpolation of images (B, C, S, S) at rows and columns (B, S, S), in pixels from 0 to S - 1."""
    grid = torch.stack((column, row), dim=-1) * (2 / (images.shape[-1] - 1)) - 1
    return F.grid_sample(images, grid, mode="bilinear", padding_mode="zeros", align_corners=True)
