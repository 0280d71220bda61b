"""What the runs left in their folders, read back for the report: files only, and a broken one never stops the rest."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tinybench.analysis.results import read_history
from tinybench.errors import UserError
from tinybench.runtime.files import read_json

# Lists of history.json that the report draws.
CURVES = ("val_acc", "val_top5_acc", "val_loss", "ema_val_acc", "train_acc", "train_loss", "lr", "epoch_seconds")


@dataclass(frozen=True, kw_only=True)
class Run:
    """A run's folder, read.

    Attributes:
        name: the folder below the results folder, such as "comparison/resnet/seed0".
        history: what history.json holds; it has passed `read_history`.
        test, robustness: what test_results.json and robustness.json hold, None where there is none.
    """

    name: str
    folder: Path
    history: dict[str, Any]
    test: dict[str, Any] | None
    robustness: dict[str, Any] | None

    @property
    def recipe_folder(self) -> Path:
        """The folder that the seeds of one recipe share: the parent of seed0, seed1, …, else the run's own."""
        seed = self.folder.name.removeprefix("seed")
        return self.folder.parent if seed != self.folder.name and seed.isdigit() else self.folder

    @property
    def model(self) -> str:
        return str(self.history["config"].get("model", "unknown"))

    @property
    def epochs(self) -> int:
        return len(self.history["train_loss"])

    @property
    def val_acc(self) -> float:
        """Validation accuracy in percent at the best epoch, of the weights (plain or averaged) that were better."""
        best = self.history["best_epoch"] - 1
        return max(self.history[name][best] for name in ("val_acc", "ema_val_acc") if name in self.history)


def read_runs(folder: Path, results_dir: Path) -> tuple[list[Run], list[str]]:
    """Every run at any depth below `folder`, and a line for each file that cannot be read."""
    runs, problems = [], []
    for path in sorted(folder.rglob("history.json")):
        name = path.parent.relative_to(results_dir).as_posix()
        try:
            history = read_history(results_dir, name)
        except UserError as error:
            problems.append(str(error))
            continue
        test = _read_optional(path.with_name("test_results.json"), "test_acc", problems)
        robustness = _read_optional(path.with_name("robustness.json"), "", problems)
        runs.append(Run(name=name, folder=path.parent, history=history, test=test, robustness=robustness))
    return runs, problems


def _read_optional(path: Path, needed: str, problems: list[str]) -> dict[str, Any] | None:
    """The file's dict; None where it is missing, or where it is broken, which adds a line to `problems`."""
    if not path.exists():
        return None
    try:
        content = read_json(path)
    except UserError as error:
        problems.append(str(error))
        return None
    if not isinstance(content, dict) or (needed and not isinstance(content.get(needed), int | float)):
        problems.append(f"{path} is damaged: it lacks {needed}" if needed else f"{path} is damaged: it is no object")
        return None
    return content


def run_record(run: Run) -> dict[str, Any]:
    """What the page shows of one run; numbers rounded to five digits, which no screen can tell apart."""
    history, test = run.history, run.test or {}
    hidden = {"confusion_matrix", "per_class_accuracy", "class_names"}
    return {
        "name": run.name,
        "seed": history["config"].get("seed"),
        "epochs": run.epochs,
        "planned": history["config"].get("epochs"),
        "best_epoch": history["best_epoch"],
        "val_acc": rounded(run.val_acc),
        "seconds": rounded(history.get("total_training_time_seconds")),
        "curves": {name: rounded(history[name]) for name in CURVES if isinstance(history.get(name), list)},
        "config": history["config"],
        "environment": history.get("environment", {}),
        "dataset": history["dataset"],
        "measured": {
            name: rounded(history[name]) for name in ("parameters", "peak_memory_mb") if history.get(name) is not None
        },
        "test": {name: rounded(value) for name, value in test.items() if name not in hidden} or None,
    }


def rounded(value: Any) -> Any:
    """Floats to five significant digits, inside lists and dicts too. NaN and infinity become None: JSON has none."""
    if isinstance(value, float):
        return float(f"{value:.5g}") if math.isfinite(value) else None
    if isinstance(value, list):
        return [rounded(item) for item in value]
    if isinstance(value, dict):
        return {name: rounded(item) for name, item in value.items()}
    return value
