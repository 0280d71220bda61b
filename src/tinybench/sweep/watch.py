"""Where every run below a folder stands, told from the files that it writes as it goes."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from tinybench import formats
from tinybench.errors import UserError
from tinybench.results.runs import stated_recipe
from tinybench.runs import best_accuracy, find_files
from tinybench.runtime.files import read_json
from tinybench.sweep.traces import ERROR, LOCK, is_locked

State = Literal["running", "failed", "interrupted", "done"]
ORDER: tuple[State, ...] = ("running", "failed", "interrupted", "done")


@dataclass(frozen=True)
class Progress:
    """How far a run is.

    Attributes:
        epochs, planned: done, and in all.
        val_acc: percent, of the best epoch so far; None before the first.
        images_per_second: of the last epoch.
        seconds_left: of a run that is running; None where nothing tells yet.
        changed: when its history was last written, in seconds since 1970.
    """

    name: str
    state: State
    epochs: int
    planned: int
    val_acc: float | None
    images_per_second: float | None
    seconds_left: float | None
    changed: float


def watched(results_dir: Path, now: float | None = None) -> list[Progress]:
    """Every run below a folder that has begun, those that are running first, then the latest."""
    folders = {path.parent for name in ("history.json", "last.pth", ERROR) for path in find_files(results_dir, name)}
    found = [_progress(folder, results_dir, time.time() if now is None else now) for folder in folders]
    return sorted(found, key=lambda run: (ORDER.index(run.state), -run.changed, run.name))


def _progress(folder: Path, results_dir: Path, now: float) -> Progress:
    path = folder / "history.json"
    try:
        history: dict[str, Any] = read_json(path, formats.History)
        changed = path.stat().st_mtime
    except (UserError, OSError):  # before the end of the first epoch there is none
        history, changed = {}, folder.stat().st_mtime
    epochs = len(history.get("train_loss", ()))
    planned = history.get("config", {}).get("epochs", 0)
    running = any(is_locked(folder / lock) for lock in (LOCK, ".lock"))
    state: State = "done"
    if running:
        state = "running"
    elif (folder / ERROR).exists():
        state = "failed"
    elif epochs < planned or not epochs:
        state = "interrupted"
    rates = history.get("images_per_second", [])
    return Progress(
        name=folder.relative_to(results_dir).as_posix(),
        state=state,
        epochs=epochs,
        planned=planned,
        val_acc=best_accuracy(history),
        images_per_second=rates[-1] if rates else None,
        seconds_left=max(0.0, _seconds_after(history) - (now - changed)) if running and epochs else None,
        changed=changed,
    )


def _seconds_after(history: dict[str, Any]) -> float:
    """Seconds that the epochs to come will take, as long as the last one for each pixel."""
    done, recipe = len(history["train_loss"]), stated_recipe(history)
    seconds = history.get("epoch_seconds", [])
    if not seconds or recipe is None:
        return 0.0
    sides = [recipe.image_size_in(min(epoch, recipe.schedule_epochs - 1)) for epoch in range(recipe.epochs)]
    return seconds[-1] * sum(side**2 for side in sides[done:]) / sides[done - 1] ** 2
