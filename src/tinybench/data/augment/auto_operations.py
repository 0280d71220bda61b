"""The operations of TrivialAugment and RandAugment, each on a batch, one magnitude per image.

They are those of torchvision.transforms.autoaugment (and of Pillow); what an operation leaves empty is black. Images
are float32 (B, 3, S, S) with values from 0 to 255, magnitudes float32 (B,); what comes back is new, or the same tensor
changed in place.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from tinybench.data.augment import color, geometry
from tinybench.data.augment.color import WHITE

Operation = Callable[[Tensor, Tensor], Tensor]


def identity(images: Tensor, _: Tensor) -> Tensor:
    return images


def shear_x(images: Tensor, slope: Tensor) -> Tensor:
    """Move each row to the left by slope times its distance from the top."""
    return _transform(images, (1, slope, slope * images.shape[-1] / 2), (0, 1, 0))


def shear_y(images: Tensor, slope: Tensor) -> Tensor:
    """Move each column up by slope times its distance from the left."""
    return _transform(images, (1, 0, 0), (slope, 1, slope * images.shape[-1] / 2))


def translate_x(images: Tensor, pixels: Tensor) -> Tensor:
    """Move the image to the right by whole pixels."""
    return _transform(images, (1, 0, -pixels.trunc()), (0, 1, 0))


def translate_y(images: Tensor, pixels: Tensor) -> Tensor:
    """Move the image down by whole pixels."""
    return _transform(images, (1, 0, 0), (0, 1, -pixels.trunc()))


def rotate(images: Tensor, degrees: Tensor) -> Tensor:
    """Turn counter-clockwise about the centre."""
    one = torch.ones_like(degrees)
    return geometry.resample(images, geometry.affine_matrix(degrees, one, one, degrees.new_zeros(len(degrees), 2)))


def brightness(images: Tensor, change: Tensor) -> Tensor:
    return color.brightness_(images, 1 + change)


def saturation(images: Tensor, change: Tensor) -> Tensor:
    return color.saturation_(images, 1 + change)


def contrast(images: Tensor, change: Tensor) -> Tensor:
    return color.contrast_(images, 1 + change)


def sharpness(images: Tensor, change: Tensor) -> Tensor:
    """Move away from (above 0) or towards (below 0) the image smoothed by a 3x3 kernel; the border pixels stay."""
    kernel = torch.ones(3, 3, device=images.device)
    kernel[1, 1] = 5  # Pillow's
    smooth = images.clone()
    smooth[:, :, 1:-1, 1:-1] = F.conv2d(images.flatten(0, 1).unsqueeze(1), (kernel / 13)[None, None]).view(
        *images.shape[:2], images.shape[2] - 2, images.shape[3] - 2
    )
    return torch.lerp(smooth, images, _per_image(1 + change)).clamp_(0, WHITE)


def posterize(images: Tensor, bits: Tensor) -> Tensor:
    """Keep the highest bits of each value."""
    step = _per_image(2 ** (8 - bits))
    return images.round().div_(step).floor_().mul_(step)


def solarize(images: Tensor, threshold: Tensor) -> Tensor:
    """Turn values from the threshold on into their negative."""
    return torch.where(images.round() >= _per_image(threshold), WHITE - images, images)


def auto_contrast(images: Tensor, _: Tensor) -> Tensor:
    """Stretch each channel so that it begins at 0 and ends at 255; one with a single value stays."""
    low, high = images.aminmax(dim=3)
    low, high = low.amin(2)[:, :, None, None], high.amax(2)[:, :, None, None]
    stretched = (images - low) * (WHITE / (high - low))
    return torch.where(high > low, stretched, images)


def equalize(images: Tensor, _: Tensor) -> Tensor:
    """Spread the values of each channel so that all are about equally frequent (Pillow's ImageOps.equalize)."""
    values = images.round().long().flatten(2)  # (B, 3, S * S)
    counts = values.new_zeros(*values.shape[:2], 256).scatter_add_(2, values, torch.ones_like(values))
    last = (counts > 0).long().mul_(torch.arange(256, device=images.device)).amax(2, keepdim=True)
    step = (counts.sum(2, keepdim=True) - counts.gather(2, last)) // 255
    below = counts.cumsum(2) - counts
    table = ((below + step // 2) // step.clamp(min=1)).clamp_(max=255)
    equalized = table.gather(2, values)
    return torch.where(step > 0, equalized, values).view(images.shape).float()


def _transform(images: Tensor, row_x: tuple[Tensor | float, ...], row_y: tuple[Tensor | float, ...]) -> Tensor:
    """Resample with one matrix per image, see geometry.resample; numbers hold for all images."""
    zero = images.new_zeros(len(images))
    return geometry.resample(images, torch.stack([zero + entry for entry in (*row_x, *row_y)], 1).view(-1, 2, 3))


def _per_image(values: Tensor) -> Tensor:
    return values.view(-1, 1, 1, 1)
