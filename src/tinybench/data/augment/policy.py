"""Training images varied in batches, on the device that holds them.

A policy draws the parameters of every image of a batch, then applies them; both are batched tensor operations without
a step that waits for the device. On CUDA, where launching a hundred small kernels takes longer than they do, they are
compiled (but for those of autoaugment.py, which share out a batch anew in every step). The policies:

    standard  shift by up to 4 pixels (pad and crop), flip, turn by up to 10 degrees, change brightness, contrast,
              saturation (each by up to 20 %) and hue (by up to a tenth of the circle), erase a rectangle of every
              second image
    basic     shift by up to 4 pixels and flip
    cutout    shift by up to a sixteenth of the side, scale by up to 10 %, turn by up to 15 degrees, flip, and erase a
              square of 16 pixels around any pixel (DeVries & Taylor, Improved Regularization of Convolutional Neural
              Networks with Cutout, 2017, https://arxiv.org/abs/1708.04552)
    none      nothing
    trivialaugment, randaugment   see autoaugment.py

Where the view reaches beyond the image it is black. All end with the normalisation; what is erased is 0 after it, the
mean colour.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import torch
from torch import Tensor

from tinybench.data.augment import color, geometry
from tinybench.data.augment.auto import METHODS, apply_operations
from tinybench.errors import UsageError
from tinybench.runtime.device import Compiled

CPU_CHUNK = 32  # most images that a CPU thread works on at a time, so that they stay in its cache

Color = tuple[float, float, float]
Ranges = tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Parameters:
    """What happens to each image of a batch; None: that happens to none. Slices as the images do.

    Attributes:
        matrix: (B, 2, 3), see geometry.resample.
        jitter: (B, 4) factors of brightness, contrast and saturation, and turn of the hue, applied in this order.
        box: (B, 2, 2) rectangle to erase, see geometry.erase_.
    """

    matrix: Tensor | None = None
    jitter: Tensor | None = None
    box: Tensor | None = None

    def __getitem__(self, images: slice | Tensor) -> Parameters:
        return Parameters(*(part if part is None else part[images] for part in (self.matrix, self.jitter, self.box)))


@functools.cache
def _constant(values: tuple[float, ...], device: torch.device) -> Tensor:
    """float32 (len(values),) on the device, where it is copied only once: each copy from the host would wait."""
    return torch.tensor(values, device=device)


def _between(uniform: Tensor, ranges: Ranges) -> Tensor:
    """Numbers from [0, 1), one column per range, moved to the ranges."""
    low = _constant(tuple(low for low, _ in ranges), uniform.device)
    width = _constant(tuple(high - low for low, high in ranges), uniform.device)
    return torch.addcmul(low, uniform, width)


def _flip(centred: Tensor) -> Tensor:
    return torch.where(centred < 0, -1.0, 1.0)


def _basic(values: Tensor, size: int) -> Parameters:
    still = torch.zeros_like(values[:, 0])
    return Parameters(geometry.affine_matrix(still, still + 1, _flip(values[:, 2]), values[:, :2].floor()))


def _standard(values: Tensor, size: int) -> Parameters:
    shift, flip, angle, jitter = values[:, :2].floor(), _flip(values[:, 2]), values[:, 3], values[:, 4:8]
    matrix = geometry.affine_matrix(angle, torch.ones_like(angle), flip, shift)
    return Parameters(matrix, jitter, _erasing_box(values[:, 8], values[:, 9], values[:, 10:12], size, values[:, 12]))


def _erasing_box(area: Tensor, ratio: Tensor, place: Tensor, size: int, chance: Tensor) -> Tensor:
    """The rectangles of random erasing.

    The ratio of height to width is log-uniform between 0.3 and 3.3, as far as a rectangle of that area fits in.

    Paper: Zhong et al., Random Erasing Data Augmentation, 2017, https://arxiv.org/abs/1708.04896

    Args:
        area: (B,) share of the image.
        ratio: (B,) in [0, 1), where in the range of ratios.
        place: (B, 2) in [0, 1), where in the range of first rows and columns.
        size: side of the images in pixels.
        chance: (B,) the box stays empty where this is 0.5 or more.

    Returns:
        (B, 2, 2) as geometry.erase_ takes it.
    """
    log_area = area.log()
    low, high = log_area.clamp(min=math.log(0.3)), log_area.neg().clamp(max=math.log(3.3))
    log_ratio = torch.lerp(low, high, ratio)
    sides = torch.stack((log_area + log_ratio, log_area - log_ratio), 1).mul_(0.5).exp_().mul_(size).round_()
    sides.mul_((chance < 0.5).unsqueeze(1))
    first = (place * (size + 1 - sides)).floor_()
    return torch.stack((first, first + sides), 1)


def _cutout_ranges(size: int) -> Ranges:
    reach = size / 16
    return (-reach, reach), (-reach, reach), (-1, 1), (-15, 15), (0.9, 1.1), (-8, size - 8), (-8, size - 8)


def _cutout(values: Tensor, size: int) -> Parameters:
    matrix = geometry.affine_matrix(values[:, 3], values[:, 4], _flip(values[:, 2]), values[:, :2])
    first = values[:, 5:7].floor()
    return Parameters(matrix, box=torch.stack((first, first + 16), 1))


def _none(values: Tensor, size: int) -> Parameters:
    return Parameters()


BASIC: Ranges = ((-4, 5), (-4, 5), (-1, 1))
STANDARD: Ranges = (
    *((-4, 5), (-4, 5), (-1, 1), (-10, 10)),
    *((0.8, 1.2), (0.8, 1.2), (0.8, 1.2), (-0.1, 0.1)),
    *((0.02, 0.33), (0, 1), (0, 1), (0, 1), (0, 1)),
)
# name -> (the ranges of an image's random numbers, what makes parameters of these), both for a side of the images
POLICIES: dict[str, tuple[Callable[[int], Ranges], Callable[[Tensor, int], Parameters]]] = {
    "standard": (lambda size: STANDARD, _standard),
    "basic": (lambda size: BASIC, _basic),
    "cutout": (_cutout_ranges, _cutout),
    "none": (lambda size: (), _none),
}


def _on_threads(work: Callable[[slice], None], chunks: list[slice], threads: int) -> None:
    """Call `work` on every chunk, on so many threads that each compute alone.

    The other way, all threads together on each small operation, has them wait for each other dozens of times a chunk;
    beside another busy process that takes several times as long.
    """
    if threads == 1 or len(chunks) == 1:
        for chunk in chunks:
            work(chunk)
        return
    try:
        with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            list(pool.map(work, chunks))
    finally:
        torch.set_num_threads(threads)


@dataclass(frozen=True)
class Policy:
    """A way to vary and normalise training images.

    Attributes:
        name: key of POLICIES.
        image_size: side of the images that come out, in pixels.
        mean, std: per channel, in [0, 1].
    """

    name: str
    image_size: int
    mean: Color
    std: Color

    def __call__(self, images: Tensor, generator: torch.Generator, rows: slice | Tensor = slice(None)) -> Tensor:
        """Vary each image in its own way.

        Args:
            images: uint8 (B, 3, h, w); resized first where they are not of image_size.
            generator: on the images' device; the only source of randomness.
            rows: which of the images to give back, by position in the batch; no other choice changes how they look.

        Returns:
            float32 (len(rows), 3, image_size, image_size), normalised.
        """
        values = self.values(len(images), generator)[rows]
        if images.is_cuda:
            return _vary_compiled(self, images[rows], values, *self.constants(images.device))
        return self.apply(images[rows], self.parameters(values))

    def draw(self, batch: int, generator: torch.Generator) -> Parameters:
        """The parameters of a whole batch; several processes each draw all of them and take their slice."""
        return self.parameters(self.values(batch, generator))

    def values(self, batch: int, generator: torch.Generator) -> Tensor:
        ranges = POLICIES[self.name][0](self.image_size)
        uniform = torch.rand(batch, len(ranges), generator=generator, device=generator.device)
        return _between(uniform, ranges)

    def parameters(self, values: Tensor) -> Parameters:
        return POLICIES[self.name][1](values, self.image_size)

    @functools.cache  # noqa: B019  policies are few, and live as long as the program
    def constants(self, device: torch.device) -> tuple[Tensor, Tensor]:
        """What pixels are multiplied by, and what is then taken off; both (3,), on the device."""
        scale = tuple(1 / (color.WHITE * std) for std in self.std)
        shift = tuple(mean / std for mean, std in zip(self.mean, self.std, strict=True))
        return _constant(scale, device), _constant(shift, device)

    def apply(self, images: Tensor, parameters: Parameters) -> Tensor:
        """What `parameters` say, done to `images`; each image's result depends on nothing but its own parameters."""
        out = torch.empty(len(images), 3, self.image_size, self.image_size, device=images.device)
        constants = self.constants(images.device)

        def work(chunk: slice) -> None:
            with torch.inference_mode():  # a thread does not inherit the mode in which its caller made `out`
                self.apply_chunk(images[chunk], parameters[chunk], *constants, out[chunk])

        if images.device.type != "cpu":
            work(slice(None))
            return out
        threads = torch.get_num_threads()
        chunk_size = max(1, min(CPU_CHUNK, math.ceil(len(images) / threads)))
        chunks = [slice(start, start + chunk_size) for start in range(0, len(images), chunk_size)]
        _on_threads(work, chunks, threads)
        return out

    def apply_chunk(self, images: Tensor, parameters: Parameters, scale: Tensor, shift: Tensor, out: Tensor) -> None:
        pixels = geometry.resize(images, self.image_size)
        if parameters.matrix is not None:
            pixels = geometry.resample(pixels, parameters.matrix)
        if parameters.jitter is not None:
            brightness, contrast, saturation, turn = parameters.jitter.unbind(1)
            color.brightness_(pixels, brightness)
            color.contrast_(pixels, contrast)
            color.saturation_(pixels, saturation)
            pixels = color.hue(pixels, turn, out)
        torch.mul(pixels, scale.view(3, 1, 1), out=out).sub_(shift.view(3, 1, 1))
        if parameters.box is not None:
            geometry.erase_(out, parameters.box)


def vary(policy: Policy, images: Tensor, values: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """All of a policy after the drawing, as one function of tensors for the compiler, which makes few kernels of it."""
    out = torch.empty(len(images), 3, policy.image_size, policy.image_size, device=images.device)
    policy.apply_chunk(images, policy.parameters(values), scale, shift, out)
    return out


_vary_compiled = Compiled(vary, "the augmentation")


class AutoPolicy(Policy):
    """A policy of METHODS: shift and flip as `basic`, then operations that are drawn for each image."""

    def __call__(self, images: Tensor, generator: torch.Generator, rows: slice | Tensor = slice(None)) -> Tensor:
        uniform = torch.rand(len(images), len(BASIC), generator=generator, device=generator.device)
        matrix = _basic(_between(uniform, BASIC), self.image_size).matrix
        assert matrix is not None
        pixels = geometry.resample(geometry.resize(images, self.image_size), matrix)
        pixels = apply_operations(pixels, METHODS[self.name], generator)
        # The host never learns which images got which operation, so it cannot leave out those that others vary too.
        return normalize(pixels[rows], self.image_size, self.mean, self.std)


def build_policy(name: str, image_size: int, mean: Color, std: Color) -> Policy:
    """The policy of that name.

    Raises:
        UsageError: there is none; the message lists the known ones.
    """
    if name in METHODS:
        return AutoPolicy(name, image_size, mean, std)
    if name not in POLICIES:
        raise UsageError(f"unknown augmentation {name!r}; known: {', '.join([*POLICIES, *METHODS])}")
    return Policy(name, image_size, mean, std)


def normalize(images: Tensor, image_size: int, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """The preprocessing of evaluation: resized and normalised, not varied.

    Args:
        images: uint8 (B, 3, h, w), or float32 of the same scale.

    Returns:
        float32 (B, 3, image_size, image_size).
    """
    (red, green, blue), (red_std, green_std, blue_std) = mean, std
    policy = Policy("none", image_size, (red, green, blue), (red_std, green_std, blue_std))
    return policy.apply(images, Parameters())
