"""Common corruptions: what weather, cameras and storage do to images.

The fifteen corruptions at five severities of Hendrycks and Dietterich 2019, Benchmarking Neural Network Robustness to
Common Corruptions and Perturbations, https://arxiv.org/abs/1903.12261. The numbers are those that its authors made
Tiny-ImageNet-C with, at 64x64 (https://github.com/hendrycks/robustness, make_tinyimagenet_c.py). On larger or smaller
images the same numbers of pixels mean less or more.

What differs from Tiny-ImageNet-C: its files were saved as JPEG of quality 85 after every corruption, which blurs and
blocks them further, and here they stay as they are; the textures of frost are drawn (see weather.frost) where the
authors took photographs; values are rounded to uint8, not cut off, so that rounding errors of a device do not show.

Everything random comes from a generator on the CPU, so that a seed means the same images on every device.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from tinybench.evaluation.robustness.corruptions import blur, digital, noise, weather
from tinybench.runtime.seeds import Purpose, torch_generator

SEVERITIES = (1, 2, 3, 4, 5)
CHUNK = 64  # images corrupted together; a part of the definition, since it orders the random numbers

Family = Literal["noise", "blur", "weather", "digital"]


@dataclass(frozen=True)
class Corruption:
    """A way to spoil images.

    Attributes:
        family: what spoils them.
        apply: from float32 (B, 3, S, S) in [0, 1], a generator on the CPU and the arguments of a severity to images of
            the same shape and device, which may leave [0, 1].
        arguments: of each severity.
    """

    family: Family
    apply: Callable[..., Tensor]
    arguments: tuple[tuple[float, ...], ...]


# Their places seed their random numbers: new ones go to the end.
CORRUPTIONS: dict[str, Corruption] = {
    "gaussian_noise": Corruption("noise", noise.gaussian_noise, ((0.04,), (0.08,), (0.12,), (0.15,), (0.18,))),
    "shot_noise": Corruption("noise", noise.shot_noise, ((250,), (100,), (50,), (30,), (15,))),
    "impulse_noise": Corruption("noise", noise.impulse_noise, ((0.01,), (0.02,), (0.05,), (0.08,), (0.14,))),
    "defocus_blur": Corruption("blur", blur.defocus_blur, ((0.5, 0.6), (1, 0.1), (1.5, 0.1), (2.5, 0.01), (3, 0.1))),
    "glass_blur": Corruption(
        "blur", blur.glass_blur, ((0.1, 1, 1), (0.5, 1, 1), (0.6, 1, 2), (0.7, 2, 1), (0.9, 2, 2))
    ),
    "motion_blur": Corruption("blur", blur.motion_blur, ((10, 1), (10, 1.5), (10, 2), (10, 2.5), (12, 3))),
    "zoom_blur": Corruption("blur", blur.zoom_blur, ((7, 0.01), (12, 0.01), (16, 0.01), (21, 0.01), (26, 0.01))),
    "snow": Corruption(
        "weather",
        weather.snow,
        (
            (0.1, 0.2, 1, 0.6, 8, 3, 0.8),
            (0.1, 0.2, 1, 0.5, 10, 4, 0.8),
            (0.15, 0.3, 1.75, 0.55, 10, 4, 0.7),
            (0.25, 0.3, 2.25, 0.6, 12, 6, 0.65),
            (0.3, 0.3, 1.25, 0.65, 14, 12, 0.6),
        ),
    ),
    "frost": Corruption("weather", weather.frost, ((1, 0.3), (0.9, 0.4), (0.8, 0.45), (0.75, 0.5), (0.7, 0.55))),
    "fog": Corruption("weather", weather.fog, ((0.4, 3), (0.7, 3), (1, 2.5), (1.5, 2), (2, 1.75))),
    "brightness": Corruption("weather", weather.brightness, ((0.1,), (0.2,), (0.3,), (0.4,), (0.5,))),
    "contrast": Corruption("digital", digital.contrast, ((0.4,), (0.3,), (0.2,), (0.1,), (0.05,))),
    "elastic_transform": Corruption(
        "digital",
        digital.elastic_transform,
        ((0, 0, 0.08), (0.05, 0.3, 0.06), (0.1, 0.08, 0.06), (0.1, 0.03, 0.03), (0.16, 0.03, 0.02)),
    ),
    "pixelate": Corruption("digital", digital.pixelate, ((0.9,), (0.8,), (0.7,), (0.6,), (0.5,))),
    "jpeg_compression": Corruption("digital", digital.jpeg_compression, ((65,), (58,), (50,), (40,), (25,))),
}


@torch.no_grad()
def corrupt(images: Tensor, name: str, severity: int, *, seed: int, device: torch.device) -> Tensor:
    """Corrupt images, each in its own way: the same for the same seed, on every device.

    Args:
        images: uint8 (N, 3, S, S).
        name: key of CORRUPTIONS.
        severity: 1 to 5.

    Returns:
        uint8 (N, 3, S, S) on the device.
    """
    corruption = CORRUPTIONS[name]
    generator = torch_generator("cpu", seed, Purpose.CORRUPT, list(CORRUPTIONS).index(name), severity)
    out = torch.empty(images.shape, dtype=torch.uint8, device=device)
    for chunk, place in zip(images.split(CHUNK), out.split(CHUNK), strict=True):
        pixels = chunk.to(device).float() / 255
        pixels = corruption.apply(pixels, generator, *corruption.arguments[severity - 1])
        place.copy_((pixels.clamp(0, 1) * 255).round())
    return out
