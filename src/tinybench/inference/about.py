"""What a trained network says of itself, in whichever file it is; torch is not needed to read or to use it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from annotated_types import Interval
from pydantic import with_config
from typing_extensions import TypedDict

from tinybench.formats import Color, Count
from tinybench.validation import STRICT

# Told how many more images have passed through the network.
Tick = Callable[[int], object]


def ignore(_: int) -> None:
    """A Tick for those who do not ask."""


@with_config(STRICT)
class _About(TypedDict, total=False):
    val_fingerprint: str
    test_fingerprint: str
    white: Annotated[float, Interval(ge=0)]


@with_config(STRICT)
class About(_About):
    """All that using a network needs but its weights, see `checkpoint.network_checkpoint`."""

    model: str
    model_options: dict[str, Any]
    num_classes: Annotated[int, Interval(ge=1, le=1_000_000)]
    image_size: Annotated[int, Interval(ge=1, le=4096)]
    class_ids: list[str]
    class_names: list[str]
    mean: Color
    std: Color
    dataset: str
    fingerprint: str
    recipe: dict[str, Any]
    epoch: Count
    val_acc: float
    weights: str


def summary(about: Mapping[str, Any]) -> str:
    """Which network it is, in half a line."""
    return (
        f"{about['model']} on {about['dataset']}, {about['num_classes']} classes, "
        f"{about['val_acc']:.2f} % on its validation images"
    )


@dataclass(frozen=True)
class Guess:
    """One of the likeliest classes of an image; rank counts from 1."""

    rank: int
    name: str
    class_id: str
    probability: float


def likeliest(probabilities: np.ndarray, about: Mapping[str, Any], top_k: int) -> list[Guess]:
    """The `top_k` likeliest classes of one image, or all if there are fewer; of equal ones the first.

    Args:
        probabilities: (classes,).
        about: the network's, for the names of the classes.
    """
    order = np.argsort(-probabilities, kind="stable")[:top_k]
    names, class_ids = about["class_names"], about["class_ids"]
    return [
        Guess(rank, names[index], class_ids[index], float(probabilities[index]))
        for rank, index in enumerate(order, start=1)
    ]
