"""What runs left in results/, read back."""

from pathlib import Path
from typing import Any

import pandas as pd

from tinybench.errors import UserError
from tinybench.runtime.files import read_json

# What every history.json holds: lists with a value an epoch, and what is known of the run.
CURVES = ("train_loss", "train_acc", "val_loss", "val_acc", "lr")
ABOUT = ("config", "dataset", "best_epoch")


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
