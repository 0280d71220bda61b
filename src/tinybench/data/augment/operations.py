"""The operations that an augmentation is composed of, as `--augment` and AUGMENTATIONS in config.py name them.

Each is a frozen dataclass whose fields are its parameters, numbers with bounds; `OPERATIONS` is the list. An operation
says which random numbers it draws for an image and what it makes of them: a part of the one affine resampling
(`Geometric`), operations of its own on each image (`Automatic`), a change of the pixels (`Pixelwise`), or a box to
erase (`Erasing`). Where the view reaches beyond the image it is black.

A file named by `--model_file` adds its own by `OPERATIONS["name"] = Class`.
"""

import dataclasses
import functools
import math
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import torch
from annotated_types import Interval
from torch import Tensor

from tinybench.data.augment import color
from tinybench.data.augment.auto import LEVELS, Method, choices
from tinybench.errors import UsageError

Ranges = tuple[tuple[float, float], ...]

# Bounds of parameters.
Pixels = Annotated[int, Interval(ge=1, le=1024)]
Share = Annotated[float, Interval(ge=0, le=1)]
Probability = Annotated[float, Interval(gt=0, le=1)]
Degrees = Annotated[float, Interval(ge=0, le=180)]
Area = Annotated[float, Interval(gt=0, lt=1)]
Bits = Annotated[int, Interval(ge=0, le=7)]


@dataclass(frozen=True)
class Operation:
    """What all operations share.

    Attributes:
        stage: operations are written in the order in which they are done: ascending.
        parts: what the operation decides; two that share one do not go together, nor two of the same operation.
    """

    stage: ClassVar[int]
    parts: ClassVar[tuple[str, ...]] = ()

    def ranges(self, size: int) -> Ranges:
        """Where the random numbers of an image lie, for images of `size` x `size` pixels: one range a number."""
        return ()

    @classmethod
    def signature(cls) -> str:
        """How it is written: its name with its parameters, their bounds and their defaults."""
        name = next(name for name, operation in OPERATIONS.items() if operation is cls)
        return f"{name}({', '.join(map(_describe, dataclasses.fields(cls)))})"


def _describe(spec: dataclasses.Field[Any]) -> str:
    words = [spec.name]
    for mark in getattr(spec.type, "__metadata__", ()):
        if isinstance(mark, Interval):
            low = f"({mark.gt:.3g}" if mark.ge is None else f"[{mark.ge:.3g}"
            high = f"{mark.lt:.3g})" if mark.le is None else f"{mark.le:.4g}]"
            words.append(f"in {low}, {high}")
    if spec.default is not dataclasses.MISSING:
        words.append(f"= {spec.default:.4g}")
    return " ".join(words)


# ---- geometry: one resampling of all, so their order does not matter


class Geometric(Operation):
    """A part of the affine matrix: the view is shifted, then scaled and turned about its centre, then flipped."""

    stage: ClassVar = 0

    def affine(self, values: Tensor) -> dict[str, Tensor]:
        """The arguments of geometry.affine_matrix that `parts` names, from (B, numbers of an image)."""
        raise NotImplementedError

    def source_size(self, size: int) -> int:
        """Side in pixels that keeps the detail of what the operation makes a `size` x `size` image of."""
        return size


@dataclass(frozen=True)
class Shift(Geometric):
    """Move the view by whole pixels, up to so many either way; as a crop out of the padded image."""

    parts: ClassVar = ("shift",)
    pixels: Pixels

    def ranges(self, size: int) -> Ranges:
        return ((-self.pixels, self.pixels + 1),) * 2

    def affine(self, values: Tensor) -> dict[str, Tensor]:
        return {"shift": values.floor()}


@dataclass(frozen=True)
class Translate(Geometric):
    """Move the view by up to a share of the side either way, not only by whole pixels."""

    parts: ClassVar = ("shift",)
    share: Share

    def ranges(self, size: int) -> Ranges:
        return ((-self.share * size, self.share * size),) * 2

    def affine(self, values: Tensor) -> dict[str, Tensor]:
        return {"shift": values}


@dataclass(frozen=True)
class Crop(Geometric):
    """Random resized crop: a square of the image, of at least a share of its area, becomes the whole view.

    Paper: Szegedy et al., Going Deeper with Convolutions, 2014, https://arxiv.org/abs/1409.4842, with other shapes too
    """

    parts: ClassVar = ("shift", "scale")
    smallest: Area

    def ranges(self, size: int) -> Ranges:
        return (self.smallest, 1), (-size / 2, size / 2), (-size / 2, size / 2)

    def affine(self, values: Tensor) -> dict[str, Tensor]:
        side = values[:, :1].sqrt()  # as a share of the image's
        return {"scale": 1 / side[:, 0], "shift": values[:, 1:] * (1 - side)}

    def source_size(self, size: int) -> int:
        return math.ceil(size / math.sqrt(self.smallest))


@dataclass(frozen=True)
class Flip(Geometric):
    """Swap left and right, with a probability."""

    parts: ClassVar = ("flip",)
    probability: Probability = 0.5

    def ranges(self, size: int) -> Ranges:
        return ((-self.probability, 1 - self.probability),)

    def affine(self, values: Tensor) -> dict[str, Tensor]:
        return {"flip": torch.where(values[:, 0] < 0, -1.0, 1.0)}


@dataclass(frozen=True)
class Rotate(Geometric):
    """Turn about the centre by up to so many degrees either way."""

    parts: ClassVar = ("angle",)
    degrees: Degrees

    def ranges(self, size: int) -> Ranges:
        return ((-self.degrees, self.degrees),)

    def affine(self, values: Tensor) -> dict[str, Tensor]:
        return {"angle": values[:, 0]}


@dataclass(frozen=True)
class Scale(Geometric):
    """Make what is in the image larger or smaller by up to a share."""

    parts: ClassVar = ("scale",)
    share: Annotated[float, Interval(ge=0, le=0.9)]

    def ranges(self, size: int) -> Ranges:
        return ((1 - self.share, 1 + self.share),)

    def affine(self, values: Tensor) -> dict[str, Tensor]:
        return {"scale": values[:, 0]}


# ---- operations drawn for each image


class Automatic(Operation):
    """Some of torchvision's fourteen operations, drawn for each image, see auto.py; full strength is in the fields."""

    stage: ClassVar = 1
    parts: ClassVar = ("automatic",)

    def method(self) -> Method:
        raise NotImplementedError


@dataclass(frozen=True)
class TrivialAugment(Automatic):
    """One operation of any strength.

    Paper: Müller & Hutter, TrivialAugment: Tuning-free Yet State-of-the-Art Data Augmentation, 2021,
    https://arxiv.org/abs/2103.10158
    """

    shear: Share = 0.99
    pixels: Pixels = 32
    degrees: Degrees = 135
    blend: Share = 0.99
    bits: Bits = 6

    @functools.cache  # noqa: B019  operations are few, and live as long as the program
    def method(self) -> Method:
        every = choices(
            shear=self.shear, translate=lambda size: self.pixels, rotate=self.degrees, blend=self.blend, bits=self.bits
        )
        return Method(1, None, every)


@dataclass(frozen=True)
class RandAugment(Automatic):
    """Some operations, one after the other, of one strength.

    Paper: Cubuk et al., RandAugment: Practical Automated Data Augmentation with a Reduced Search Space, 2020,
    https://arxiv.org/abs/1909.13719
    """

    operations: Annotated[int, Interval(ge=1, le=14)] = 2
    magnitude: Annotated[int, Interval(ge=0, le=LEVELS)] = 9
    shear: Share = 0.3
    share: Share = 150 / 331  # of the side, by which an image is moved
    degrees: Degrees = 30
    blend: Share = 0.9
    bits: Bits = 4

    @functools.cache  # noqa: B019  as above
    def method(self) -> Method:
        every = choices(
            shear=self.shear,
            translate=lambda size: size * self.share,
            rotate=self.degrees,
            blend=self.blend,
            bits=self.bits,
        )
        return Method(self.operations, self.magnitude, every)


# ---- pixels, in the order written


class Pixelwise(Operation):
    """A change of each image that neither moves it nor looks at others."""

    stage: ClassVar = 2

    def change(self, images: Tensor, values: Tensor, scratch: Tensor) -> Tensor:
        """The changed images; in place, in `scratch`, or new.

        Args:
            images: float32 (B, 3, S, S), 0 to 255; B is the batch or a part of it.
            values: (B, numbers of an image), within `ranges`.
            scratch: of the shape of `images`, to be filled with anything.
        """
        raise NotImplementedError


@dataclass(frozen=True)
class Jitter(Pixelwise):
    """Change brightness, contrast, saturation (by up to a share) and hue (of the colour circle), in this order."""

    brightness: Share
    contrast: Share
    saturation: Share
    hue: Annotated[float, Interval(ge=0, le=0.16)]  # color.hue: less than a sixth

    def ranges(self, size: int) -> Ranges:
        factors = (self.brightness, self.contrast, self.saturation)
        return (*((1 - share, 1 + share) for share in factors), (-self.hue, self.hue))

    def change(self, images: Tensor, values: Tensor, scratch: Tensor) -> Tensor:
        brightness, contrast, saturation, turn = values.unbind(1)
        color.brightness_(images, brightness)
        color.contrast_(images, contrast)
        color.saturation_(images, saturation)
        return color.hue(images, turn, scratch)


# ---- erasing: after the normalisation, so that what is erased is the mean colour


class Erasing(Operation):
    """A rectangle that is set to 0 after the normalisation."""

    stage: ClassVar = 3
    parts: ClassVar = ("box",)

    def box(self, values: Tensor, size: int) -> Tensor:
        """(B, 2, 2) as geometry.erase_ takes it, from (B, numbers of an image) and the side of the images."""
        raise NotImplementedError


@dataclass(frozen=True)
class Erase(Erasing):
    """Random erasing, with a probability: of a share of the area, as high as wide times a log-uniform ratio.

    The ratio is drawn as far as a rectangle of that area fits in.

    Paper: Zhong et al., Random Erasing Data Augmentation, 2017, https://arxiv.org/abs/1708.04896
    """

    probability: Probability
    smallest: Area = 0.02
    largest: Area = 0.33
    widest: Annotated[float, Interval(ge=0.01, le=1)] = 0.3
    highest: Annotated[float, Interval(ge=1, le=100)] = 3.3

    def __post_init__(self) -> None:
        if self.smallest > self.largest:
            raise UsageError(f"smallest {self.smallest} is above largest {self.largest}")

    def ranges(self, size: int) -> Ranges:
        return (self.smallest, self.largest), (0, 1), (0, 1), (0, 1), (0, 1)  # area, ratio, place (two), chance

    def box(self, values: Tensor, size: int) -> Tensor:
        log_area, chance = values[:, 0].log(), values[:, 4]
        low = log_area.clamp(min=math.log(self.widest))
        high = log_area.neg().clamp(max=math.log(self.highest))
        log_ratio = torch.lerp(low, high, values[:, 1])
        sides = torch.stack((log_area + log_ratio, log_area - log_ratio), 1).mul_(0.5).exp_().mul_(size).round_()
        sides.mul_((chance < self.probability).unsqueeze(1))
        first = (values[:, 2:4] * (size + 1 - sides)).floor_()
        return torch.stack((first, first + sides), 1)


@dataclass(frozen=True)
class Cutout(Erasing):
    """Erase a square around any pixel; what hangs over the border is cut off.

    Paper: DeVries & Taylor, Improved Regularization of Convolutional Neural Networks with Cutout, 2017,
    https://arxiv.org/abs/1708.04552
    """

    pixels: Pixels

    def ranges(self, size: int) -> Ranges:
        return ((-(self.pixels // 2), size - self.pixels // 2),) * 2

    def box(self, values: Tensor, size: int) -> Tensor:
        first = values.floor()
        return torch.stack((first, first + self.pixels), 1)


OPERATIONS: dict[str, type[Operation]] = {
    "shift": Shift,
    "translate": Translate,
    "crop": Crop,
    "flip": Flip,
    "rotate": Rotate,
    "scale": Scale,
    "trivialaugment": TrivialAugment,
    "randaugment": RandAugment,
    "jitter": Jitter,
    "erase": Erase,
    "cutout": Cutout,
}
