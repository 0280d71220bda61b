"""Geometric operations on a batch of images: resizing, one affine resampling, rectangles."""

import functools

import torch
from torch import Tensor
from torch.nn import functional as F


def resize(images: Tensor, size: int) -> Tensor:
    """(B, 3, h, w) of any type to float32 (B, 3, size, size): antialiased bilinear, or bicubic where they grow.

    The scale of values stays, but a bicubic edge may overshoot it a little.
    """
    images = images.float()
    if images.shape[-2:] == (size, size):
        return images
    mode = "bicubic" if size > max(images.shape[-2:]) else "bilinear"
    if images.device.type == "mps" and images.requires_grad:  # torch 2.11 has no gradient of it there
        rows, columns = (_interpolation(length, size, mode, images.device) for length in images.shape[-2:])
        return rows @ images @ columns.T
    # With antialias, torch's cubic is Pillow's (a = -0.5), also where nothing is there to be smoothed.
    return F.interpolate(images, (size, size), mode=mode, align_corners=False, antialias=True)


def resize_uint8(images: Tensor, size: int) -> Tensor:
    """uint8 (B, 3, h, w) to uint8 (B, 3, size, size), as `resize` and rounded."""
    if images.shape[-2:] == (size, size):
        return images
    return resize(images, size).round_().clamp_(0, 255).to(torch.uint8)


@functools.cache
@torch.inference_mode(False)  # for gradients, whoever asks first
def _interpolation(length: int, size: int, mode: str, device: torch.device) -> Tensor:
    """What `resize` makes of a column of pixels, as a matrix: float32 (size, length)."""
    unit = torch.eye(length)[None, None]
    return F.interpolate(unit, (size, length), mode=mode, align_corners=False, antialias=True)[0, 0].to(device)


@functools.cache
def _positions(size: int, device: torch.device) -> Tensor:
    return torch.arange(size, dtype=torch.float32, device=device)


def affine_matrix(angle: Tensor, scale: Tensor, flip: Tensor, shift: Tensor) -> Tensor:
    """What `resample` takes, for: shift the view, scale and turn about its centre, flip left and right.

    Args:
        angle: (B,) degrees, counter-clockwise.
        scale: (B,) factor by which things in the image grow.
        flip: (B,) 1 or -1 (flipped).
        shift: (B, 2) pixels (x, y) by which the view moves over the image.

    Returns:
        (B, 2, 3): input pixel = matrix @ (x, y, 1), both counted from the centre of the image.
    """
    radians = torch.deg2rad(angle)
    cosine, sine = radians.cos() / scale, radians.sin() / scale
    rows = torch.stack((cosine * flip, -sine, shift[:, 0], sine * flip, cosine, shift[:, 1]), dim=1)
    return rows.view(-1, 2, 3)


def resample(images: Tensor, matrix: Tensor, size: int = 0) -> Tensor:
    """Bilinear resampling of square images; black beyond the border.

    Args:
        images: float32 (B, C, S, S).
        matrix: float32 (B, 2, 3) as `affine_matrix` gives it, in pixels of what comes out.
        size: side of what comes out (0: S).
    """
    size = size or images.shape[-1]
    # grid_sample counts from the centre of the image in units of half its side.
    centred = (_positions(size, images.device) - (size - 1) / 2) * (2 / size)
    across = matrix[:, :, 0:1] * centred  # (B, 2, S)
    down = matrix[:, :, 1:2] * centred + matrix[:, :, 2:3] * (2 / size)  # (B, 2, S)
    grid = across.unsqueeze(2) + down.unsqueeze(3)  # (B, 2, S, S)
    return F.grid_sample(images, grid.permute(0, 2, 3, 1), mode="bilinear", padding_mode="zeros", align_corners=False)


def erase_(images: Tensor, box: Tensor) -> Tensor:
    """Set a rectangle of each image to 0, in place.

    Args:
        images: float32 (B, C, S, S).
        box: float32 (B, 2, 2) in pixels: first row and column, last row and column + 1; may reach beyond the image.
    """
    position = _positions(images.shape[-1], images.device)
    inside = (position >= box[:, 0, :, None]) & (position < box[:, 1, :, None])  # (B, 2, S)
    rows, columns = inside.float().unbind(1)
    return images.mul_(torch.mul(rows[:, None, :, None], -columns[:, None, None, :]).add_(1))
