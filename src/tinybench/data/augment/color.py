"""Colour operations on a batch of RGB images, one factor per image.

Images are float32 (B, 3, H, W) with values from 0 to 255. A trailing underscore: they are changed in place.
"""

import torch
from torch import Tensor

WHITE = 255.0
LUMA = (0.2989, 0.587, 0.114)  # weights of red, green and blue in a gray value (ITU-R BT.601)


def _per_image(factor: Tensor) -> Tensor:
    return factor.view(-1, 1, 1, 1)


def brightness_(images: Tensor, factor: Tensor) -> Tensor:
    """factor * image; factor (B,), at least 0."""
    return images.mul_(_per_image(factor)).clamp_(max=WHITE)


def contrast_(images: Tensor, factor: Tensor) -> Tensor:
    """factor * image + (1 - factor) * mean gray value of the image; factor (B,), at least 0."""
    red, green, blue = images.mean(dim=(2, 3)).unbind(1)
    gray = (red * LUMA[0]).add_(green, alpha=LUMA[1]).add_(blue, alpha=LUMA[2])
    return images.mul_(_per_image(factor)).add_(_per_image((1 - factor) * gray)).clamp_(0, WHITE)


def saturation_(images: Tensor, factor: Tensor) -> Tensor:
    """factor * image + (1 - factor) * gray image; factor (B,), at least 0."""
    red, green, blue = images.split(1, dim=1)
    gray = (red * LUMA[0]).add_(green, alpha=LUMA[1]).add_(blue, alpha=LUMA[2]).mul_(_per_image(1 - factor))
    return torch.addcmul(gray, images, _per_image(factor), out=images).clamp_(0, WHITE)


def hue(images: Tensor, turn: Tensor, out: Tensor) -> Tensor:
    """Turn the hue by turn (B,), in whole turns of the colour circle, less than 1/6 either way; `out` is filled.

    In HSV this keeps saturation and value, hence the largest and the smallest of a pixel's three values. Over a sixth
    of a turn a channel moves linearly between these two, or rests at one. With d = 6 turn and chroma = max - min:

        red' = clamp(2 red - mid - d chroma sign(green - blue), min, max), and so on round the circle.

    Where |green - blue| < (1 - |d|) chroma, the outer clamp decides alone. So chroma sign(difference) may be replaced
    by the continuous clamp(difference, +-(1 - |d|) chroma) / (1 - |d|), which costs one pass over the images less.
    """
    red, green, blue = images.split(1, dim=1)
    low, high = torch.minimum(red, green), torch.maximum(red, green)
    smallest, largest = torch.minimum(low, blue), torch.maximum(high, blue)
    middle = torch.maximum(low, torch.minimum(high, blue, out=high), out=low)
    rest = _per_image(1 - 6 * turn.abs())
    limit = torch.sub(largest, smallest, out=high).mul_(rest)
    for one, other, difference in zip((green, blue, red), (blue, red, green), out.split(1, dim=1), strict=True):
        if torch.compiler.is_compiling():  # it refuses an `out` that is not contiguous
            difference.copy_(one - other)
        else:
            torch.sub(one, other, out=difference)
    out.clamp_(-limit, limit)
    unturned = torch.add(middle.neg_(), images, alpha=2)
    return torch.addcmul(unturned, out, _per_image(-6 * turn) / rest, out=out).clamp_(smallest, largest)
