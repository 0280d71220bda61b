"""How far a run is, told from its files."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from tinybench import formats
from tinybench.errors import UsageError, UserError, printable
from tinybench.recipe import Recipe
from tinybench.runs import best_accuracy, best_is_averaged
from tinybench.runtime.files import read_json
from tinybench.sweep.plan import Run
from tinybench.sweep.traces import ERROR, LOCK, MEASUREMENTS, is_locked
from tinybench.training.checkpoint import difference

State = Literal["waiting", "running", "interrupted", "failed", "trained", "finished"]


@dataclass(frozen=True)
class Status:
    """Where a run stands.

    Attributes:
        epochs: how many are done.
        note: why it failed, or the best validation accuracy so far and of which weights, or that a file is damaged.
    """

    state: State
    epochs: int
    note: str = ""


def status_of(run: Run, results_dir: Path, *, held: bool = False) -> Status:
    """Where a run stands.

    Args:
        held: whether it is this process that carries the run out; it is then called running only if another trains it.

    Raises:
        UsageError: its folder holds a run of another recipe.
    """
    folder = results_dir / run.name
    history = history_of(folder)
    check_same_recipe(run, folder, history)
    epochs = len(history.get("train_loss", ()))
    damaged = (folder / "history.json").exists() and not epochs
    note = f"{folder / 'history.json'} is damaged" if damaged else _note(history)
    if any(is_locked(folder / name) for name in ((".lock",) if held else (LOCK, ".lock"))):
        return Status("running", epochs, note)
    if (folder / ERROR).exists():
        return Status("failed", epochs, (folder / ERROR).read_text(encoding="utf-8").strip())
    if epochs < run.recipe.epochs:
        return Status("interrupted" if (folder / "last.pth").exists() else "waiting", epochs, note)
    finished = run.validate_only or (folder / MEASUREMENTS).exists()
    return Status("finished" if finished else "trained", epochs, note)


def status_line(run: Run, status: Status) -> str:
    return (
        f"{printable(run.name):<40}{status.state:<12}{status.epochs:4d}/{run.recipe.epochs} epochs  "
        f"{printable(status.note)}"
    )


def epochs_done(run: Run, results_dir: Path) -> int:
    return len(history_of(results_dir / run.name).get("train_loss", ()))


def check_same_recipe(run: Run, folder: Path, history: dict[str, Any]) -> None:
    """Refuse to take a run of another recipe for this one.

    Raises:
        UsageError: naming the first field that differs.
    """
    if "config" in history and (differs := difference(Recipe.from_dict(history["config"]), run.recipe)):
        raise UsageError(f"{folder} holds a run with {differs}; give the plan another --name, or delete that folder")


def history_of(folder: Path) -> dict[str, Any]:
    """history.json of a run; empty before the end of its first epoch."""
    try:
        return read_json(folder / "history.json", formats.History)
    except UserError:
        return {}


def _note(history: dict[str, Any]) -> str:
    if (accuracy := best_accuracy(history)) is None:
        return ""
    return f"validation {accuracy:.2f} %{', averaged weights' if best_is_averaged(history) else ''}"
