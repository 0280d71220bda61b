"""The run in experiment trackers: the recipe, the history by epoch, the loss of each step, the files it leaves."""

import contextlib
import importlib
import os
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Self

import torch

from tinybench.errors import UsageError, notice
from tinybench.recipe import Recipe, RunOptions, TrackerName
from tinybench.runtime.device import peak_memory_mb
from tinybench.runtime.distributed import is_main
from tinybench.runtime.files import read_json, write_json
from tinybench.training.saving import BEST, TRACKED, Stopped
from tinybench.training.state import TrainingState
from tinybench.training.trackers import TRACKERS
from tinybench.training.trackers.base import Place, TrackedRun, Tracker

# What trackers call the values of an epoch: what stands before the slash is a group of charts.
TAGS = {
    "train_loss": "loss/train",
    "val_loss": "loss/val",
    "ema_val_loss": "loss/val_ema",
    "train_acc": "accuracy/train",
    "val_acc": "accuracy/val",
    "ema_val_acc": "accuracy/val_ema",
    "val_top5_acc": "accuracy/val_top5",
    "ema_val_top5_acc": "accuracy/val_top5_ema",
    "val_macro_acc": "accuracy/val_macro",
    "ema_val_macro_acc": "accuracy/val_macro_ema",
    "lr": "schedule/lr",
    "val_image_size": "schedule/image_size",
    "epoch_seconds": "speed/epoch_seconds",
    "images_per_second": "speed/images_per_second",
    "peak_memory_mb": "system/peak_memory_mb",
}


def check_trackers(names: Iterable[TrackerName]) -> None:
    """Import what the trackers need, before anything takes long.

    Raises:
        UsageError: a package is not installed.
    """
    for name in names:
        tracker = TRACKERS[name]
        for variable, value in tracker.environment.items():
            os.environ.setdefault(variable, value)
        try:
            for package in tracker.packages:
                importlib.import_module(package)
        except ImportError as error:
            raise UsageError(f"--track {name} needs what is not installed: pip install {tracker.install}") from error


class Tracking:
    """Hands the run to the trackers that it asks for, in the main process alone.

    A tracker that fails (no network, disk full) ends with a notice, and the training goes on without it. A run that is
    resumed goes on with the same tracked runs: what these hold already is not logged again, and what they lack of the
    history is.

    Args:
        batch_size: images a step.
    """

    def __init__(
        self, options: RunOptions, recipe: Recipe, state: TrainingState, steps_per_epoch: int, batch_size: int
    ) -> None:
        self._options, self._state, self._batch_size = options, state, batch_size
        self._losses: list[torch.Tensor] = []
        self._total = state.sums[0].clone()
        self._images = (len(state.history) * steps_per_epoch + state.step) * batch_size
        self._places: dict[str, Place] = {}
        self._trackers: dict[str, Tracker] = {}
        if not options.track or not is_main():
            return
        path = options.folder / TRACKED
        if state.has_begun() and path.exists():
            self._places = read_json(path, dict[str, Place])
        fields = {
            name: value if isinstance(value, int | float | str) else str(value)
            for name, value in recipe.as_dict().items()
        }
        for name in options.track:
            with self._surviving(name):
                run = TrackedRun(options, fields, self._images, self._places.get(name))
                tracker = self._trackers[name] = TRACKERS[name](run)
                print(f"{name}: {tracker.view}", flush=True)
        for epoch in range(len(state.history)):
            self._log_epoch(epoch + 1, {name: values[epoch] for name, values in state.history.epochs.items()})

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if kind is Stopped:
            self._log_steps()
        for name, tracker in list(self._trackers.items()):
            with self._surviving(name):
                if kind is None:
                    tracker.log_files([self._options.folder / file for file in ("history.json", BEST)])
                del self._trackers[name]
                tracker.close(finished=kind is None)

    def after_step(self) -> None:
        """Note the loss of the step, which stays on the device until the epoch ends."""
        if self._trackers:
            total = self._state.sums[0].clone()
            self._losses.append(total - self._total)
            self._total = total

    def after_epoch(self, values: dict[str, float]) -> None:
        """Log the epoch that has just been added to the history; it waits for the device."""
        if self._trackers:
            self._total = self._state.sums[0].clone()
            self._log_steps()
            peak = {"peak_memory_mb": peak_memory_mb(self._total.device)}
            self._log_epoch(len(self._state.history), values | peak)

    def _log_steps(self) -> None:
        losses = {}
        if self._losses:
            for loss in torch.stack(self._losses).tolist():
                self._images += self._batch_size
                losses[self._images] = loss / self._batch_size
            self._losses.clear()
        for name, tracker in list(self._trackers.items()):
            new = {images: loss for images, loss in losses.items() if images > tracker.place["images"]}
            with self._surviving(name):
                if new:
                    tracker.log_steps(new)
                    tracker.place["images"] = self._images
                    self._note_place(name, tracker)

    def _log_epoch(self, epoch: int, values: dict[str, float]) -> None:
        for name, tracker in list(self._trackers.items()):
            with self._surviving(name):
                if epoch > tracker.place["epochs"]:
                    tracker.log_epoch(epoch, {TAGS[key]: value for key, value in values.items()})
                    tracker.place["epochs"] = epoch
                    self._note_place(name, tracker)

    def _note_place(self, name: str, tracker: Tracker) -> None:
        if tracker.place["id"]:
            self._places[name] = tracker.place
            write_json(self._options.folder / TRACKED, self._places)

    @contextlib.contextmanager
    def _surviving(self, name: str) -> Iterator[None]:
        """Go on without a tracker that fails, whatever it raises."""
        try:
            yield
        except Exception as error:
            says = " ".join(str(error).split()) or type(error).__name__
            notice(f"--track {name} has failed, and the training goes on without it: {says[:200]}")
            if tracker := self._trackers.pop(name, None):
                with contextlib.suppress(Exception):
                    tracker.close(finished=False)
