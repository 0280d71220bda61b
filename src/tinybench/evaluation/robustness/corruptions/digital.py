"""Digital: float32 (B, 3, S, S) in [0, 1], faded, warped, shrunk or compressed."""

import io

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from tinybench.evaluation.robustness.corruptions.filters import box_matrix, fold, gaussian_matrix, sample, separable


def contrast(images: Tensor, _: torch.Generator, factor: float) -> Tensor:
    """Shrink the distance of each value to the mean of its channel in the image."""
    return torch.lerp(images.mean((2, 3), keepdim=True), images, factor)


def elastic_transform(
    images: Tensor, generator: torch.Generator, strength: float, smoothness: float, tilt: float
) -> Tensor:
    """Tilt the image, then stretch it locally.

    Args:
        strength: factor of the displacements, which are random between -1 and 1 before they are smoothed.
        smoothness: sigma of the smoothing of the displacements.
        tilt: three points of the image each move by up to so much in both directions.

    All three in units of the image's side.
    """
    batch, _, size, _ = images.shape
    device = images.device
    pixels = torch.arange(size, dtype=torch.float32)
    where = torch.stack((pixels[:, None].expand(size, size), pixels.expand(size, size), torch.ones(size, size)), -1)

    centre, reach = size // 2, size // 3
    points = torch.tensor(  # rows and columns, and 1
        [
            [centre + reach, centre + reach, 1],
            [centre - reach, centre + reach, 1],
            [centre - reach, centre - reach, 1],
        ],
        dtype=torch.float32,
    )
    moved = points.expand(batch, 3, 3).clone()
    moved[:, :, :2] += size * tilt * (2 * torch.rand(batch, 3, 2, generator=generator) - 1)
    backwards = torch.linalg.solve(moved, points[:, :2].expand(batch, 3, 2))  # from moved points to those they were
    row, column = fold(where @ backwards[:, None], 0, size - 1).to(device).unbind(-1)
    images = sample(images, row, column)

    displacement = 2 * torch.rand(batch, 2, size, size, generator=generator) - 1
    if strength == 0:
        return images
    matrix = gaussian_matrix(size, size * smoothness, truncate=3, border="symmetric")
    displacement = size * strength * separable(displacement.to(device), matrix)
    position = where[:, :, :2].permute(2, 0, 1).to(device) + displacement
    row, column = fold(position, -0.5, size - 0.5).clamp(0, size - 1).unbind(1)
    return sample(images, row, column)


def pixelate(images: Tensor, _: torch.Generator, scale: float) -> Tensor:
    """Shrink to `scale` times the side, and enlarge again, both with a box filter."""
    size = images.shape[-1]
    small = int(size * scale)
    return separable(separable(images, box_matrix(size, small)), box_matrix(small, size))


def jpeg_compression(images: Tensor, _: torch.Generator, quality: int) -> Tensor:
    """Compress as JPEG and decompress, on the CPU."""
    arrays = (images * 255).round().to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()
    out = np.empty_like(arrays)
    for index, array in enumerate(arrays):
        file = io.BytesIO()
        Image.fromarray(array).save(file, "JPEG", quality=quality)
        out[index] = Image.open(file)
    return torch.from_numpy(out).to(images.device).permute(0, 3, 1, 2) / 255
