"""What a tracker does, whichever it is, and what it is told of the run."""

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from typing_extensions import TypedDict  # pydantic wants this one on Python 3.11

from tinybench.recipe import RunOptions

PROJECT = "tinybench"  # what trackers group runs by
STEP_LOSS = "loss/train_step"


class Place(TypedDict):
    """Where a tracked run stands; what it holds already is not logged again.

    Attributes:
        id: what the tracker knows the run by; empty where it needs nothing to find it again.
        epochs: how many epochs it holds.
        images: how many images had been seen with the last step whose loss it holds.
    """

    id: str
    epochs: int
    images: int


@dataclass(frozen=True)
class TrackedRun:
    """What a tracker is told of the run.

    Attributes:
        recipe: its fields, those of other types as text.
        images: how many have been seen so far.
        former: where the tracked run stood that this one goes on with; None for a new one.
    """

    options: RunOptions
    recipe: dict[str, int | float | str]
    images: int
    former: Place | None

    def artifact_name(self, path: Path) -> str:
        """A name for one of the run's files among those of all runs, of the letters that trackers allow."""
        return re.sub(r"[^A-Za-z0-9._-]+", "-", f"{self.options.run_name}-{path.name}")[-100:]


class Tracker(ABC):
    """Hands one run to one tracker. Any of its methods may fail; see `Tracking` for what that means.

    Attributes:
        packages: what it imports.
        install: what to give pip for these.
        environment: variables to set, unless they are, before that: no usage statistics, no chatter.
        place: where the tracked run stands.
        view: what to type, or where to go, to look at it.
    """

    packages: ClassVar[tuple[str, ...]]
    install: ClassVar[str]
    environment: ClassVar[dict[str, str]] = {}
    place: Place
    view: str

    @abstractmethod
    def __init__(self, run: TrackedRun) -> None: ...

    @abstractmethod
    def log_epoch(self, epoch: int, values: Mapping[str, float]) -> None:
        """Log the values of an epoch, counted from 1, by their tags."""

    @abstractmethod
    def log_steps(self, losses: Mapping[int, float]) -> None:
        """Log the losses of steps, each by the number of images seen with it."""

    @abstractmethod
    def log_files(self, paths: Sequence[Path]) -> None:
        """Keep copies of what the finished run leaves."""

    @abstractmethod
    def close(self, finished: bool) -> None:
        """End the tracked run, or only this process's part of it."""
