"""Occlusion: a gray square that hides a part of the image (Zeiler and Fergus 2014, https://arxiv.org/abs/1311.2901)."""

from torch import Tensor

GRAY = 128


def occlude(images: Tensor, row: int, column: int, side: int) -> Tensor:
    """Hide a square, whose first row and column are given, in a copy of uint8 images (N, 3, S, S)."""
    hidden = images.clone()
    hidden[:, :, row : row + side, column : column + side] = GRAY
    return hidden


def square_places(size: int, side: int) -> list[int]:
    """The first rows, or columns, of a square that slides over `size` pixels in steps of a quarter of them."""
    step = max(1, size // 4)
    return list(range(0, size - side + 1, step))
