"""What runs left in results/, read back."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import pandas as pd

from tinybench.errors import UserError
from tinybench.runtime.files import read_json

# What every history.json holds: lists with a value an epoch, and what is known of the run.
CURVES = ("train_loss", "train_acc", "val_loss", "val_acc", "lr")
ABOUT = ("config", "dataset", "best_epoch")
# What the test results of each kind of weights have in their names.
WEIGHTS = {"best": "", "last": "_last", "ema": "_ema"}
PUBLISHED = "published.csv"
PUBLISHED_COLUMNS = ("network", "top1", "top5", "epochs", "epoch_chosen_on", "pretraining", "set_up", "source")

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class RunResults:
    """The files of one run, read back.

    Attributes:
        name: of its folder below results_dir.
        plan, recipe: of a run of src/compare.py; a run of its own has no plan, and its name for a recipe.
        history: history.json.
        tests: test_results.json by the weights tested ("best", "last", "ema"); empty before testing.
        measurements: measurements.json; empty unless src/compare.py finished the run.
    """

    name: str
    folder: Path
    plan: str
    recipe: str
    history: dict[str, Any]
    tests: dict[str, dict[str, Any]]
    measurements: dict[str, Any]

    @property
    def model(self) -> str:
        return str(self.history["config"].get("model", "unknown"))

    @property
    def epochs(self) -> int:
        """How many are done."""
        return len(self.history["train_loss"])

    @property
    def planned_epochs(self) -> int:
        return self.history["config"].get("epochs", self.epochs)

    @property
    def val_acc(self) -> float:
        """Validation accuracy in percent at the best epoch, of the plain or averaged weights, whichever was better."""
        best = self.history["best_epoch"] - 1
        return max(self.history[name][best] for name in ("val_acc", "ema_val_acc") if name in self.history)


def load_runs(results_dir: Path, plan: str = "") -> list[RunResults]:
    """Every run with at least one epoch below `results_dir`, or below that plan's folder, in the order of their names.

    Raises:
        UserError: a file is damaged.
    """
    runs, problems = read_runs(results_dir, plan)
    if problems:
        raise UserError(problems[0])
    return runs


def read_runs(results_dir: Path, plan: str = "") -> tuple[list[RunResults], list[str]]:
    """As `load_runs`, but a damaged file counts as missing; with a line for each of those."""
    runs, problems = [], list[str]()
    for path in sorted((results_dir / plan).rglob("history.json")):
        folder = path.parent
        name = folder.relative_to(results_dir).as_posix()
        if (history := attempt(problems, read_history, results_dir, name)) is None:
            continue
        tests = {
            weights: attempt(problems, _read_numbers, folder / f"test_results{suffix}.json", "test_acc")
            for weights, suffix in WEIGHTS.items()
        }
        parts = name.split("/")
        in_plan = len(parts) == 3 and parts[2].startswith("seed")
        runs.append(
            RunResults(
                name=name,
                folder=folder,
                plan=parts[0] if in_plan else "",
                recipe=parts[1] if in_plan else name,
                history=history,
                tests={weights: test for weights, test in tests.items() if test},
                measurements=attempt(problems, _read_numbers, folder / "measurements.json", "flops") or {},
            )
        )
    return runs, problems


def attempt(problems: list[str], read: Callable[P, T], *source: P.args, **options: P.kwargs) -> T | None:
    """What `read` makes of a file; None where the file is damaged, which adds a line to `problems`."""
    try:
        return read(*source, **options)
    except UserError as error:
        problems.append(str(error))
        return None


def _read_numbers(path: Path, needed: str) -> dict[str, Any]:
    """The object in a file, which must hold the number `needed`; empty without the file."""
    if not path.exists():
        return {}
    content = read_json(path)
    if not isinstance(content, dict) or not isinstance(content.get(needed), int | float):
        raise UserError(f"{path} is damaged: it holds no {needed}")
    return content


def read_history(results_dir: Path, run: str) -> dict[str, Any]:
    """history.json of a run.

    Raises:
        UserError: there is none, it holds no epoch yet, or it is damaged.
    """
    path = results_dir / run / "history.json"
    if not path.exists():
        raise UserError(f"{path} does not exist; train that run first")
    history = read_json(path)
    if not isinstance(history, dict) or not history.get("train_loss"):
        raise UserError(f"{path} holds no epoch")
    if missing := [name for name in (*CURVES, *ABOUT) if name not in history]:
        raise UserError(f"{path} is damaged: it lacks {', '.join(missing)}; train that run again")
    lengths = {len(history[name]) if isinstance(history[name], list) else 0 for name in CURVES}
    if len(lengths) > 1 or not 1 <= history["best_epoch"] <= min(lengths):
        raise UserError(f"{path} is damaged: its lists or best_epoch do not fit each other; train that run again")
    return history


def epochs_table(history: dict[str, Any]) -> pd.DataFrame:
    """A row an epoch, counted from 1; a column for each list of the history."""
    count = len(history["train_loss"])
    columns = {name: values for name, values in history.items() if isinstance(values, list) and len(values) == count}
    return pd.DataFrame(columns, index=pd.RangeIndex(1, count + 1, name="epoch"))


def read_table(path: Path) -> pd.DataFrame:
    """A CSV with a header, each cell as the text that stands there; empty without the file.

    Raises:
        UserError: the file is damaged.
    """
    try:
        return pd.read_csv(path, dtype=str, keep_default_na=False).fillna("")
    except (FileNotFoundError, pd.errors.EmptyDataError):
        return pd.DataFrame()
    except (OSError, ValueError) as error:
        raise UserError(f"{path} is damaged: {error}") from error


def read_published(results_dir: Path) -> pd.DataFrame:
    """published.csv: accuracies on Tiny ImageNet (percent) that others reported, with set-up and source.

    Without that file the table is empty.

    Raises:
        UserError: the file is damaged.
    """
    path = results_dir / PUBLISHED
    table = read_table(path) if path.exists() else pd.DataFrame(columns=list(PUBLISHED_COLUMNS))
    if missing := [name for name in PUBLISHED_COLUMNS if name not in table]:
        raise UserError(f"{path} is damaged: it lacks {', '.join(missing)}")
    try:
        return table.assign(**{name: pd.to_numeric(table[name]) for name in ("top1", "top5", "epochs")})
    except ValueError as error:
        raise UserError(f"{path} is damaged: {error}") from error
