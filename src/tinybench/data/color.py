"""Colour operations on a batch of RGB images, one factor per image.

Images are float32 (B, 3, H, W) with values from 0 to 255; they are changed in place and returned.
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
    gray = LUMA[0] * red + LUMA[1] * green + LUMA[2] * blue
    return images.mul_(_per_image(factor)).add_(_per_image((1 - factor) * gray)).clamp_(0, WHITE)


def saturation_(images: Tensor, factor: Tensor) -> Tensor:
    """factor * image + (1 - factor) * gray image; factor (B,), at least 0."""
    red, green, blue = images.split(1, dim=1)
    gray = (red * LUMA[0]).add_(green, alpha=LUMA[1]).add_(blue, alpha=LUMA[2])
    return torch.addcmul(gray.mul_(_per_image(1 - factor)), images, _per_image(factor), out=images).clamp_(0, WHITE)


def hue_(images: Tensor, turn: Tensor) -> Tensor:
    """Turn the hue by turn (B,), in whole turns of the colour circle, less than 1/6 either way.

    In HSV this keeps saturation and value, hence the largest and the smallest of a pixel's three values. Over a sixth
    of a turn a channel moves linearly between these two, or rests at one. With d = 6 turn and chroma = max - min:

        red' = clamp(2 red - mid - d chroma sign(green - blue), min, max), and so on round the circle.

    Where |green - blue| < (1 - |d|) chroma, either the outer clamp decides or red is the middle value and the
    difference is the chroma itself. So chroma sign(difference) may be replaced by the continuous
    clamp(difference, +-(1 - |d|) chroma) / (1 - |d|), which needs no pass for the sign and none for its product.
    """
    red, green, blue = images.split(1, dim=1)
    low, high = torch.minimum(red, green), torch.maximum(red, green)
    smallest, largest = torch.minimum(low, blue), torch.maximum(high, blue)
    middle = torch.maximum(low, torch.minimum(high, blue, out=high), out=low)
    rest = _per_image(1 - 6 * turn.abs())
    limit = (largest - smallest).mul_(rest)
    slope = torch.empty_like(images)
    for one, other, difference in zip((green, blue, red), (blue, red, green), slope.split(1, dim=1), strict=True):
        torch.sub(one, other, out=difference)
    slope.clamp_(-limit, limit)
    torch.add(middle.neg_(), images, alpha=2, out=images)
    return images.addcmul_(slope, _per_image(6 * turn) / rest, value=-1).clamp_(smallest, largest)
