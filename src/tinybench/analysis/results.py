"""What runs left in results/, read back."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from tinybench.errors import UserError
from tinybench.runtime.files import read_json

# What every history.json holds: lists with a value an epoch, and what is known of the run.
CURVES = ("train_loss", "train_acc", "val_loss", "val_acc", "lr")
ABOUT = ("config", "dataset", "best_epoch")
# What the test results of each kind of weights have in their names.
WEIGHTS = {"best": "", "last": "_last", "ema": "_ema"}
PUBLISHED_COLUMNS = ("network", "top1", "top5", "epochs", "epoch_chosen_on", "pretraining", "set_up", "source")


@dataclass(frozen=True, kw_only=True)
class RunResults:
    """The files of one run, read back.

    Attributes:
        name: of its folder below results_dir.
        plan, recipe, seed: of a run of src/compare.py; a run of its own has no plan, and its name for a recipe.
        history: history.json.
        tests: test_results.json by the weights tested ("best", "last", "ema"); empty before testing.
        measurements: measurements.json; empty unless src/compare.py finished the run.
    """

    name: str
    folder: Path
    plan: str
    recipe: str
    seed: int
    history: dict[str, Any]
    tests: dict[str, dict[str, Any]]
    measurements: dict[str, Any]


def load_runs(results_dir: Path, plan: str = "") -> list[RunResults]:
    """Every run with at least one epoch below `results_dir`, or below that plan's folder, in the order of their names.

    Raises:
        UserError: a file is damaged.
    """
    runs = []
    for path in sorted((results_dir / plan).rglob("history.json")):
        folder = path.parent
        name = folder.relative_to(results_dir).as_posix()
        parts = name.split("/")
        in_plan = len(parts) == 3 and parts[2].startswith("seed")
        history = read_history(results_dir, name)
        tests = {
            weights: read_json(file)
            for weights, file in ((kind, folder / f"test_results{suffix}.json") for kind, suffix in WEIGHTS.items())
            if file.exists()
        }
        measured = folder / "measurements.json"
        runs.append(
            RunResults(
                name=name,
                folder=folder,
                plan=parts[0] if in_plan else "",
                recipe=parts[1] if in_plan else name,
                seed=history["config"]["seed"],
                history=history,
                tests=tests,
                measurements=read_json(measured) if measured.exists() else {},
            )
        )
    return runs


def read_history(results_dir: Path, run: str) -> dict[str, Any]:
    """history.json of a run.

    Raises:
        UserError: there is none, it holds no epoch yet, or it is damaged.
    """
    path = results_dir / run / "history.json"
    if not path.exists():
        raise UserError(f"{path} does not exist; train that run first: python src/train.py --model {run}")
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


def read_published(results_dir: Path) -> pd.DataFrame:
    """published.csv: accuracies on Tiny ImageNet (percent) that others reported, with set-up and source.

    Without that file the table is empty.

    Raises:
        UserError: the file is damaged.
    """
    path = results_dir / "published.csv"
    if not path.exists():
        return pd.DataFrame(columns=list(PUBLISHED_COLUMNS))
    try:
        table = pd.read_csv(path, keep_default_na=False, na_values=[""])  # "none" is a word here
    except (OSError, ValueError) as error:
        raise UserError(f"{path} is damaged: {error}") from error
    if missing := [name for name in PUBLISHED_COLUMNS if name not in table]:
        raise UserError(f"{path} is damaged: it lacks {', '.join(missing)}")
    return table
