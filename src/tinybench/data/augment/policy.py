"""Training images varied in batches, on the device that holds them.

A policy is a composition of operations, see expression.py. It draws the random numbers of every image of a batch, then
applies them; both are batched tensor operations without a step that waits for the device. All geometry is one
resampling. On CUDA, where launching a hundred small kernels takes longer than they do, they are compiled (but for
those of auto.py, which share out a batch anew in every step). All policies end with the normalisation; what is erased
is 0 after it, the mean colour.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from tinybench.data.augment import color, geometry
from tinybench.data.augment.auto import apply_operations
from tinybench.data.augment.expression import parse
from tinybench.data.augment.operations import Automatic, Erasing, Geometric, Operation, Pixelwise, Ranges
from tinybench.runtime.device import Compiled

CPU_CHUNK = 32  # most images that a CPU thread works on at a time, so that they stay in its cache

Color = tuple[float, float, float]


@dataclass(frozen=True)
class Parameters:
    """What happens to each image of a batch; None: that happens to none. Slices as the images do.

    Attributes:
        matrix: (B, 2, 3), see geometry.resample.
        pixels: (B, C) numbers of the operations on pixels, in the order of these; of jitter, the factors of brightness,
            contrast and saturation, and the turn of the hue.
        box: (B, 2, 2) rectangle to erase, see geometry.erase_.
    """

    matrix: Tensor | None = None
    pixels: Tensor | None = None
    box: Tensor | None = None

    def __getitem__(self, images: slice | Tensor) -> Parameters:
        return Parameters(*(part if part is None else part[images] for part in (self.matrix, self.pixels, self.box)))


@functools.cache
def _constant(values: tuple[float, ...], device: torch.device) -> Tensor:
    """float32 (len(values),) on the device, where it is copied only once: each copy from the host would wait."""
    return torch.tensor(values, device=device)


def _between(uniform: Tensor, ranges: Ranges) -> Tensor:
    """Numbers from [0, 1), one column per range, moved to the ranges."""
    low = _constant(tuple(low for low, _ in ranges), uniform.device)
    width = _constant(tuple(high - low for low, high in ranges), uniform.device)
    return torch.addcmul(low, uniform, width)


def _still(values: Tensor) -> dict[str, Tensor]:
    """What geometry.affine_matrix takes for images that stay as they are."""
    zero = torch.zeros_like(values[:, 0])
    return {"angle": zero, "scale": zero + 1, "flip": zero + 1, "shift": torch.stack((zero, zero), 1)}


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
        operations: what is done, in this order; see expression.parse.
        image_size: side of the images that come out, in pixels.
        mean, std: per channel, in [0, 1].
    """

    operations: tuple[Operation, ...]
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
        values = self.values(len(images), generator)
        for operation in self.operations:
            if isinstance(operation, Automatic):
                return self._automatic(operation, images, self.parameters(values), generator, rows)
        if images.is_cuda:
            return _vary_compiled(self, images[rows], values[rows], *self.constants(images.device))
        return self.apply(images[rows], self.parameters(values[rows]))

    def _automatic(
        self,
        operation: Automatic,
        images: Tensor,
        parameters: Parameters,
        generator: torch.Generator,
        rows: slice | Tensor,
    ) -> Tensor:
        pixels = self._view(images, parameters.matrix)
        pixels = apply_operations(pixels, operation.method(), generator)
        # The host never learns which images got which operation, so it cannot leave out those that others vary too.
        return self.apply(pixels[rows], replace(parameters, matrix=None)[rows])

    def _view(self, images: Tensor, matrix: Tensor | None) -> Tensor:
        """float32 (B, 3, image_size, image_size): resized, and resampled where there is a matrix."""
        if matrix is None:
            return geometry.resize(images, self.image_size)
        sizes = [each.source_size(self.image_size) for each in self.operations if isinstance(each, Geometric)]
        source_size = max(self.image_size, min(max(sizes, default=0), *images.shape[-2:]))
        return geometry.resample(geometry.resize(images, source_size), matrix, self.image_size)

    def draw(self, batch: int, generator: torch.Generator) -> Parameters:
        """The parameters of a whole batch; several processes each draw all of them and take their slice."""
        return self.parameters(self.values(batch, generator))

    def values(self, batch: int, generator: torch.Generator) -> Tensor:
        """The random numbers of each image, (batch, numbers of an image), in the order of the operations."""
        ranges = tuple(each for operation in self.operations for each in operation.ranges(self.image_size))
        uniform = torch.rand(batch, len(ranges), generator=generator, device=generator.device)
        return _between(uniform, ranges)

    def _parts(self, values: Tensor, of: tuple[Operation, ...]) -> list[Tensor]:
        """The columns of each operation."""
        return list(values.split([len(operation.ranges(self.image_size)) for operation in of], dim=1))

    def parameters(self, values: Tensor) -> Parameters:
        affine: dict[str, Tensor] = {}
        pixels, box = [], None
        for operation, part in zip(self.operations, self._parts(values, self.operations), strict=True):
            if isinstance(operation, Geometric):
                affine |= operation.affine(part)
            elif isinstance(operation, Pixelwise):
                pixels.append(part)
            elif isinstance(operation, Erasing):
                box = operation.box(part, self.image_size)
        matrix = geometry.affine_matrix(**{**_still(values), **affine}) if affine else None
        return Parameters(matrix, torch.cat(pixels, 1) if pixels else None, box)

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
        pixels = self._view(images, parameters.matrix)
        if parameters.pixels is not None:
            changes = tuple(each for each in self.operations if isinstance(each, Pixelwise))
            for operation, part in zip(changes, self._parts(parameters.pixels, changes), strict=True):
                pixels = operation.change(pixels, part, out)
        torch.mul(pixels, scale.view(3, 1, 1), out=out).sub_(shift.view(3, 1, 1))
        if parameters.box is not None:
            geometry.erase_(out, parameters.box)


def vary(policy: Policy, images: Tensor, values: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """All of a policy after the drawing, as one function of tensors for the compiler, which makes few kernels of it."""
    out = torch.empty(len(images), 3, policy.image_size, policy.image_size, device=images.device)
    policy.apply_chunk(images, policy.parameters(values), scale, shift, out)
    return out


_vary_compiled = Compiled(vary, "the augmentation")


def build_policy(augment: str, image_size: int, mean: Color, std: Color) -> Policy:
    """The policy that an expression, or a name of AUGMENTATIONS in config.py, describes.

    Raises:
        UsageError: it describes none, see `parse`.
    """
    return Policy(parse(augment), image_size, mean, std)


def normalize(images: Tensor, image_size: int, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """The preprocessing of evaluation: resized and normalised, not varied.

    Args:
        images: uint8 (B, 3, h, w), or float32 of the same scale.

    Returns:
        float32 (B, 3, image_size, image_size).
    """
    (red, green, blue), (red_std, green_std, blue_std) = mean, std
    policy = Policy((), image_size, (red, green, blue), (red_std, green_std, blue_std))
    return policy.apply(images, Parameters())
