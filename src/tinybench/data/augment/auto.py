"""How TrivialAugment and RandAugment, which need no search, draw operations for each image and do them.

Which there are is torchvision's list; how strong they are stands in operations.py.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from tinybench.data.augment import auto_operations as operations
from tinybench.data.augment.auto_operations import Operation

LEVELS = 30  # of strength, beside none at all


@dataclass(frozen=True)
class Choice:
    """An operation that may be drawn.

    Attributes:
        magnitude: from a strength in [0, 1] and the side of the image in pixels to what the operation takes.
        signed: whether half of the images get the negative magnitude.
    """

    operation: Operation
    magnitude: Callable[[Tensor, int], Tensor]
    signed: bool = False


def choices(
    *, shear: float, translate: Callable[[int], float], rotate: float, blend: float, bits: int
) -> tuple[Choice, ...]:
    """The list of operations; the arguments are what full strength means.

    Args:
        translate: pixels, from the side of the image.
        rotate: degrees.
        blend: change of brightness, saturation, contrast and sharpness.
        bits: that are dropped by posterizing.
    """

    def upto(most: float) -> Callable[[Tensor, int], Tensor]:
        return lambda strength, size: most * strength

    def pixels(strength: Tensor, size: int) -> Tensor:
        return translate(size) * strength

    return (
        Choice(operations.identity, upto(0)),
        Choice(operations.shear_x, upto(shear), signed=True),
        Choice(operations.shear_y, upto(shear), signed=True),
        Choice(operations.translate_x, pixels, signed=True),
        Choice(operations.translate_y, pixels, signed=True),
        Choice(operations.rotate, upto(rotate), signed=True),
        Choice(operations.brightness, upto(blend), signed=True),
        Choice(operations.saturation, upto(blend), signed=True),
        Choice(operations.contrast, upto(blend), signed=True),
        Choice(operations.sharpness, upto(blend), signed=True),
        Choice(operations.posterize, lambda strength, size: 8 - (bits * strength).round()),
        Choice(operations.solarize, lambda strength, size: 255 * (1 - strength)),
        Choice(operations.auto_contrast, upto(0)),
        Choice(operations.equalize, upto(0)),
    )


@dataclass(frozen=True)
class Method:
    """How many operations an image gets, how strong they are (in levels; None: any), and which there are."""

    count: int
    level: int | None
    choices: tuple[Choice, ...]


def apply_operations(images: Tensor, method: Method, generator: torch.Generator) -> Tensor:
    """Change each image by operations of its own, in place.

    Which operations are drawn, and how often, is known to the host, which shares out the images at random without ever
    seeing how; so nothing waits for the device, and each operation is one call.

    Args:
        images: float32 (B, 3, S, S), 0 to 255.
        generator: on the images' device, fresh from its seed.
    """
    batch, device = len(images), images.device
    host = torch.Generator().manual_seed(generator.initial_seed())
    for _ in range(method.count):
        drawn = torch.randint(len(method.choices), (batch,), generator=host)
        counts = torch.bincount(drawn, minlength=len(method.choices)).tolist()
        shares = torch.randperm(batch, generator=generator, device=device).split(counts)
        level, sign = torch.rand(2, batch, generator=generator, device=device)
        strength = (level * (LEVELS + 1)).floor_().div_(LEVELS)
        if method.level is not None:
            strength.fill_(method.level / LEVELS)
        for choice, index in zip(method.choices, shares, strict=True):
            if len(index) == 0 or choice.operation is operations.identity:
                continue
            magnitude = choice.magnitude(strength[index], images.shape[-1])
            if choice.signed:
                magnitude = torch.where(sign[index] < 0.5, -magnitude, magnitude)
            images[index] = choice.operation(images[index], magnitude)
    return images
