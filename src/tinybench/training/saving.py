"""The files of a run: when they are written, and how one run takes the place of another."""

import math
import time
from collections.abc import Iterable
from pathlib import Path
from signal import Signals
from typing import Any

from tinybench.data.imageset import ImageSet
from tinybench.errors import UsageError, UserError
from tinybench.inference.checkpoint import network_checkpoint, read_checkpoint, write_checkpoint
from tinybench.recipe import Recipe, RunOptions
from tinybench.runtime.device import peak_memory_mb
from tinybench.runtime.distributed import AnyRank, all_reduce_mean_, barrier, is_main
from tinybench.runtime.signals import StopSignals
from tinybench.training.checkpoint import difference
from tinybench.training.state import TrainingState, has_begun

RUN = ("*.pth", "history.json")
TRACKED = "tracked.json"  # where the run stands in the trackers that it was handed to
# What training, testing and measuring leave in the folder; gone when another run takes its place.
RUN_FILES = (
    *RUN, "test_results*.json", "predictions*.npz", "robustness*.json", "measurements.json", "events.out.tfevents.*",
    TRACKED,
)  # fmt: skip
LAST, BEST = "last.pth", "best_model.pth"
DIVERGED = "the loss is not finite any more"


def check_folder(options: RunOptions, resume: Path | None, overwrite: bool) -> bool:
    """Refuse to write over a run that nobody gave up.

    Returns:
        Whether there is one, which is to be replaced.

    Raises:
        UsageError: there is one that is neither gone on with nor given up, or both are asked for.
    """
    folder = options.folder
    if is_inside(resume, folder):
        if overwrite:
            raise UsageError(f"--resume goes on with the run in {folder}, --overwrite replaces it; give one of them")
        return False
    taken = sorted({path.name for pattern in RUN for path in folder.glob(pattern)})
    if taken == [LAST] and not _has_begun(folder / LAST):
        return False  # it failed or was killed before its first step: there is nothing to lose
    if taken and not overwrite:
        go_on = options.command("src/train.py", "--run_name", options.run_name, "--resume")
        ways = [f"go on with: {go_on}"] if LAST in taken else []
        ways += ["choose another --run_name", "replace it with --overwrite"]
        raise UsageError(f"{folder} already holds a run ({', '.join(taken)}); {', or '.join(ways)}")
    return bool(taken)


def run_files(folder: Path) -> list[Path]:
    """The files of the run in a folder."""
    return [path for pattern in RUN_FILES for path in folder.glob(pattern)]


def is_inside(path: Path | None, folder: Path) -> bool:
    return path is not None and path.resolve().parent == folder.resolve()


def _has_begun(path: Path) -> bool:
    try:
        return has_begun(read_checkpoint(path))
    except UserError:
        return True  # whatever it is, it is not ours to remove


class Stopped(UserError):
    """A signal ended the run between two steps; everything is saved."""


class RunFiles:
    """Writes the files of a run, in the main process alone.

    Args:
        images: the training images.
    """

    def __init__(self, options: RunOptions, recipe: Recipe, images: ImageSet, state: TrainingState) -> None:
        self.options, self.recipe, self.images, self.state = options, recipe, images, state
        self.folder = options.folder
        self._former: list[Path] = []  # files of another run, which go once this one can be resumed
        self._kept = False  # last.pth holds steps of this run

    def begin(self, resume: Path | None, checkpoint: dict[str, Any] | None, overwrite: bool) -> None:
        """Have something to resume from before the first step, and the best network so far where it belongs.

        Args:
            resume: what the run goes on from.
            checkpoint: its content; None for a run that starts.
            overwrite: whether the run may replace another one in the folder.

        Raises:
            UsageError: the folder holds another run.
        """
        if not is_main():
            return
        if check_folder(self.options, resume, overwrite):
            self._former = run_files(self.folder)
        if resume is None or checkpoint is None:
            if not self._former:
                self.save()
            return
        self._kept = goes_on = is_inside(resume, self.folder)
        if goes_on and checkpoint.get("replaces"):  # killed in _take_over
            self._former, goes_on = run_files(self.folder), False
            self._take_over()
        best, history = self._best_beside(resume), self.state.history
        if best and best["epoch"] <= len(history):
            history.best_epoch = best["epoch"]
        elif not (best and goes_on):  # in the same folder, a later epoch is trained again, to the same weights
            best = None
            self._choose_anew(resume)
        if not goes_on:
            self._take_over()
            if best:
                write_checkpoint(self.folder / BEST, best)
            self.save()
        elif not best and history.best_epoch:
            self._write_best()

    def save(self) -> None:
        """Write what the state asks for: last.pth, and after an epoch the other files before it.

        A run killed in between repeats the epoch, bit for bit.

        Raises:
            UserError: the last step has ruined the weights; all files stay as they are.
        """
        if not is_main():
            return
        if not self.state.weights_are_finite():
            self.check_finite([math.nan])
        self._take_over()
        epoch = len(self.state.history)
        if epoch and self.state.step == 0:
            if self.state.history.best_epoch == epoch:
                self._write_best()
            self.state.history.write(self.folder / "history.json", peak_memory_mb(self.images.labels.device))
            if self.options.save_every and epoch % self.options.save_every == 0:
                self._write(f"checkpoint_epoch_{epoch}.pth")
        self._write(LAST)
        self._kept = self.state.has_begun()

    def check_finite(self, values: Iterable[float]) -> None:
        """Stop a run that has diverged.

        Raises:
            UserError: a value is not finite.
        """
        if all(math.isfinite(value) for value in values):
            return
        kept = f"{LAST} keeps what was good; " if self._kept else ""
        if self._former:
            kept = f"{self.folder} still holds the former run; "
        raise UserError(
            f"{DIVERGED} in epoch {len(self.state.history) + 1}; {kept}"
            "try a lower --lr, some --warmup_epochs, or --clip_grad_norm 1"
        )

    def _write(self, name: str, **more: Any) -> None:
        epoch = len(self.state.history)
        val_acc = self.state.history.epochs["val_acc"][-1] if epoch else 0.0
        network = network_checkpoint(
            self.recipe, self.images, epoch=epoch, val_acc=val_acc, weights="model", model=self.state.model
        )
        write_checkpoint(self.folder / name, network | self.state.as_dict() | more)

    def _write_best(self) -> None:
        epoch, accuracy, weights = self.state.history.best()
        model = self.state.ema.model if self.state.ema and weights == "ema" else self.state.model
        network = network_checkpoint(
            self.recipe, self.images, epoch=epoch, val_acc=accuracy, weights=weights, model=model
        )
        write_checkpoint(self.folder / BEST, network)

    def _take_over(self) -> None:
        """Remove the former run, if there is one, now that this one has something to resume from.

        With the new last.pth the folder is this run's. Killed in what follows, it goes on removing when it is resumed.
        """
        if not self._former:
            return
        self._write(LAST, replaces=True)
        for path in self._former:
            if path.name != LAST:
                path.unlink(missing_ok=True)
        self._former = []

    def _best_beside(self, resume: Path) -> dict[str, Any] | None:
        """The content of best_model.pth beside a checkpoint, if it is of the same run."""
        try:
            best = read_checkpoint(resume.parent / BEST)
            same = not difference(Recipe.from_dict(best["recipe"]), self.recipe)
        except UserError:
            return None
        return best if same and best["fingerprint"] == self.images.fingerprint else None

    def _choose_anew(self, resume: Path) -> None:
        """Choose the best from what is left: the epoch that has just ended, if one has, and those that follow."""
        history = self.state.history
        former, history.best_epoch = history.best_epoch, 0 if self.state.step else len(history)
        if former != history.best_epoch:
            print(
                f"{resume.parent / BEST} does not hold epoch {former}, the best so far: the best is chosen from epoch "
                f"{history.best_epoch or len(history) + 1} on"
            )


class Checkpointer:
    """Saves a run when it is time to, and stops it when a signal came; in all processes at the same step."""

    def __init__(self, files: RunFiles, stop: StopSignals) -> None:
        self._files, self._stop, self._any_rank = files, stop, AnyRank()
        self._saved_at = time.monotonic()

    def after_step(self, steps: int) -> None:
        """Save after checkpoint_minutes without a checkpoint.

        Args:
            steps: of an epoch.

        Raises:
            Stopped: a signal came.
        """
        state, minutes = self._files.state, (time.monotonic() - self._saved_at) / 60
        received, due = self._any_rank(self._stop.received, minutes > self._files.options.checkpoint_minutes)
        if received or due:
            all_reduce_mean_(state.sums)
            self.save()
        if received:
            raise self._stopped(received, f"epoch {len(state.history) + 1}, step {state.step} of {steps}")

    def save(self) -> None:
        self._files.save()
        self._saved_at = time.monotonic()

    def after_epoch(self) -> None:
        """Raises Stopped if a signal came and there is more to do; to be called once all is saved and printed."""
        received, _ = self._any_rank(self._stop.received, False, now=True)
        epochs = len(self._files.state.history)
        if received and epochs < self._files.recipe.epochs:
            raise self._stopped(received, f"epoch {epochs}")

    def _stopped(self, received: Signals, where: str) -> Stopped:
        barrier()  # the first process to leave ends the others, but one of them has to save
        options = self._files.options
        go_on = options.command("src/train.py", "--run_name", options.run_name, "--resume")
        error = Stopped(f"stopped by {received.name} after {where}, saved in {options.folder}; go on with: {go_on}")
        error.status = 128 + received
        return error
