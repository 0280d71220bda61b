"""Training images varied in batches on the device that holds them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from tinybench.data import color, geometry
from tinybench.errors import UsageError

CPU_CHUNK = 32  # images worked on at a time on a CPU, so that they stay in its cache


@dataclass(frozen=True)
class Parameters:
    """What happens to each image of a batch; None: that does not happen to any.

    Attributes:
        matrix: (B, 2, 3), see geometry.resample.
        jitter: (B, 4) factors of brightness, contrast and saturation, and turn of the hue.
        box: (B, 4) rectangle to erase, see geometry.erase_.
    """

    matrix: Tensor | None = None
    jitter: Tensor | None = None
    box: Tensor | None = None

    def __getitem__(self, images: slice) -> Parameters:
        return Parameters(*(None if part is None else part[images] for part in (self.matrix, self.jitter, self.box)))


def _between(uniform: Tensor, low: float | Tensor, high: float | Tensor) -> Tensor:
    return low + uniform * (high - low)


def _sign(uniform: Tensor) -> Tensor:
    return 1 - 2 * (uniform < 0.5).float()


def _draw_basic(uniform: Tensor, size: int) -> Parameters:
    shift = (uniform[:, 0:2] * 9).floor() - 4
    ones = torch.ones_like(uniform[:, 0])
    return Parameters(geometry.affine_matrix(ones * 0, ones, _sign(uniform[:, 2]), shift))


def _draw_standard(uniform: Tensor, size: int) -> Parameters:
    shift = (uniform[:, 0:2] * 9).floor() - 4
    angle = _between(uniform[:, 3], -10, 10)
    matrix = geometry.affine_matrix(angle, torch.ones_like(angle), _sign(uniform[:, 2]), shift)
    spread = torch.tensor((0.2, 0.2, 0.2, 0.1), device=uniform.device)
    jitter = (2 * uniform[:, 4:8] - 1) * spread + torch.tensor((1.0, 1.0, 1.0, 0.0), device=uniform.device)
    area = _between(uniform[:, 8], 0.02, 0.33)
    ratio = torch.exp(
        _between(uniform[:, 9], area.log().clamp(min=math.log(0.3)), (-area.log()).clamp(max=math.log(3.3)))
    )
    sides = (torch.stack((area * ratio, area / ratio), 1).sqrt() * size).round()
    sides = sides * (uniform[:, 10:11] < 0.5)
    starts = (uniform[:, 11:13] * (size - sides + 1)).floor()
    box = torch.stack((starts, starts + sides), 2).flatten(1)
    return Parameters(matrix, jitter, box)


def _draw_cutout(uniform: Tensor, size: int) -> Parameters:
    shift = _between(uniform[:, 0:2], -size / 16, size / 16)
    angle, scale = _between(uniform[:, 3], -15, 15), _between(uniform[:, 4], 0.9, 1.1)
    matrix = geometry.affine_matrix(angle, scale, _sign(uniform[:, 2]), shift)
    starts = (uniform[:, 5:7] * size).floor() - 8
    return Parameters(matrix, box=torch.stack((starts, starts + 16), 2).flatten(1))


def _draw_none(uniform: Tensor, size: int) -> Parameters:
    return Parameters()


# name -> (random numbers that an image needs, what they are made into)
POLICIES: dict[str, tuple[int, Callable[[Tensor, int], Parameters]]] = {
    "standard": (13, _draw_standard),
    "basic": (3, _draw_basic),
    "cutout": (7, _draw_cutout),
    "none": (0, _draw_none),
}


def build_policy(
    name: str, image_size: int, mean: tuple[float, float, float], std: tuple[float, float, float]
) -> Policy:
    """The policy of that name.

    Raises:
        UsageError: there is none; the message lists the known ones.
    """
    if name not in POLICIES:
        raise UsageError(f"unknown augmentation {name!r}; known: {', '.join(POLICIES)}")
    return Policy(name, image_size, mean, std)


@dataclass(frozen=True)
class Policy:
    """Varies and normalises training images."""

    name: str
    image_size: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """uint8 (B, 3, h, w) to float32 (B, 3, image_size, image_size), normalised; generator: on the same device."""
        return self.apply(images, self.draw(len(images), generator))

    def draw(self, batch: int, generator: torch.Generator) -> Parameters:
        count, decode = POLICIES[self.name]
        uniform = torch.rand(batch, count, generator=generator, device=generator.device)
        return decode(uniform, self.image_size)

    def apply(self, images: Tensor, parameters: Parameters) -> Tensor:
        step = CPU_CHUNK if images.device.type == "cpu" else max(1, len(images))
        out = torch.empty(len(images), 3, self.image_size, self.image_size, device=images.device)
        for start in range(0, len(images), step):
            chunk = slice(start, start + step)
            out[chunk] = self._apply_chunk(images[chunk], parameters[chunk])
        return out

    def _apply_chunk(self, images: Tensor, parameters: Parameters) -> Tensor:
        pixels = geometry.resize(images, self.image_size)
        if parameters.matrix is not None:
            pixels = geometry.resample(pixels, parameters.matrix)
        if parameters.jitter is not None:
            brightness, contrast, saturation, hue = parameters.jitter.unbind(1)
            color.brightness_(pixels, brightness)
            color.contrast_(pixels, contrast)
            color.saturation_(pixels, saturation)
            color.hue_(pixels, hue)
        mean = torch.tensor(self.mean, device=images.device).view(3, 1, 1) * 255
        std = torch.tensor(self.std, device=images.device).view(3, 1, 1) * 255
        pixels.sub_(mean).div_(std)
        if parameters.box is not None:
            geometry.erase_(pixels, parameters.box)
        return pixels


def normalize(
    images: Tensor, image_size: int, mean: tuple[float, float, float], std: tuple[float, float, float]
) -> Tensor:
    """The preprocessing of evaluation: uint8 (B, 3, h, w) to float32 (B, 3, image_size, image_size), normalised."""
    return Policy("none", image_size, mean, std).apply(images, Parameters())
