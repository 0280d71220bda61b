"""Trained runs: found by name, or by their network where it has one run only."""

import contextlib
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

from tinybench.errors import UsageError, UserError, command
from tinybench.runtime.files import read_json

BEST = "best_model.pth"  # the network of a run's best epoch
Weights = Literal["best", "last", "ema"]
CHECKPOINTS: dict[Weights, str] = {"best": BEST, "last": "last.pth", "ema": "last.pth"}
TRIALS = "trials"  # the folder of a search's runs, which are neither tested nor compared
MLFLOW = ".mlflow"  # below the results: what MLflow keeps, copies of runs' files among it
PREDICTIONS = "predictions.npz"  # what it answered to the test images


def find_runs(results_dir: Path, file: str = BEST) -> dict[str, Path]:
    """The folder of every run at any depth below `results_dir` that has such a file, by the run's name.

    Trials of a search, which the test images are kept from, count only for their other files.

    Raises:
        UsageError: there is none.
    """
    folders = sorted(path.parent for path in find_files(results_dir, file))
    if file == BEST:
        folders = [folder for folder in folders if not is_trial(folder)]
    if not folders:
        raise UsageError(
            f"no run in {results_dir} has a {file}; train one: {command('src/train.py', '--model', 'resnet')}"
        )
    return {folder.relative_to(results_dir).as_posix(): folder for folder in folders}


def find_files(results_dir: Path, file: str) -> Iterator[Path]:
    """Every file of that name below `results_dir` that is a run's own."""
    return (path for path in results_dir.rglob(file) if MLFLOW not in path.relative_to(results_dir).parts)


def is_trial(folder: Path) -> bool:
    return folder.parent.name == TRIALS


def pick_runs(
    results_dir: Path, runs: Sequence[str] = (), models: Sequence[str] = (), file: str = BEST
) -> dict[str, Path]:
    """The folders of those runs, by name; none where none is asked for.

    Args:
        runs: names, as of --run.
        models: as of --model: the name of a run, or a network that has one run only.
        file: what the runs must have.

    Raises:
        UsageError: there is no such run, or the network has several; the message lists them.
    """
    if not runs and not models:
        return {}  # and there need be no run at all
    there = find_runs(results_dir, file)
    names = [*runs, *(_run_of(model, there) for model in models)]
    for name in names:
        if name not in there:
            from tinybench.models import MODELS  # torch, which is slow to import

            train = f"; train one: {command('src/train.py', '--model', name)}" if name in MODELS else ""
            raise UsageError(f"no trained run {name!r} in {results_dir}; there are: {', '.join(there)}{train}")
    return {name: there[name] for name in names}


def _run_of(model: str, there: Mapping[str, Path]) -> str:
    """The run of that name, or else the only run of that network; the name itself where there is neither."""
    if model in there:
        return model
    found = [name for name, folder in there.items() if network_of(folder) == model]
    if len(found) > 1:
        raise UsageError(f"{model} has {len(found)} runs; pick one with --run: {', '.join(found)}")
    return found[0] if found else model


class Candidate(NamedTuple):
    """A trained run: its data, and how well it does on the validation images among them."""

    classes: int
    fingerprint: str
    train_images: int
    val_acc: float
    checkpoint: Path


def find_checkpoint(results_dir: Path, picked: Mapping[str, Path]) -> Path:
    """The best network of the run that is picked; where none is, of the run that knows most.

    Accuracies are compared on one data set only: that with the most classes, and of those the one with the most images.

    Args:
        picked: as `pick_runs` gives it.

    Raises:
        UsageError: there are no runs, or none has a readable history.
    """
    for folder in picked.values():
        return folder / BEST
    candidates = []
    for folder in find_runs(results_dir).values():
        with contextlib.suppress(UserError, KeyError, ValueError, TypeError, AttributeError):
            # A run without a readable history may still be asked for by name.
            history: dict[str, Any] = read_json(folder / "history.json")
            data = history.get("dataset", {})
            about = int(data.get("classes", 0)), str(data.get("fingerprint", "")), int(data.get("train_images", 0))
            if (val_acc := best_accuracy(history)) is not None:
                candidates.append(Candidate(*about, float(val_acc), folder / BEST))
    if not candidates:
        raise UsageError(f"no run in {results_dir} has a readable history.json; name one with --run")
    widest = max(candidates, key=lambda run: (run.classes, run.train_images))
    rivals = [run for run in candidates if (run.classes, run.fingerprint) == (widest.classes, widest.fingerprint)]
    return max(rivals, key=lambda run: run.val_acc).checkpoint


def best_accuracy(history: Mapping[str, Any]) -> float | None:
    """Validation accuracy of the best epoch in percent; None before the end of the first.

    While images grow, it need not be the highest of all epochs.
    """
    accuracies, best = history.get("ema_val_acc" if best_is_averaged(history) else "val_acc", []), best_epoch(history)
    return accuracies[best - 1] if 1 <= best <= len(accuracies) else None


def best_is_averaged(history: Mapping[str, Any]) -> bool:
    """Whether the best epoch's weights, which best_model.pth holds, are the moving average; where that is not stated,
    the plain ones are taken of equal accuracies.
    """
    if "best_weights" in history:
        return bool(history["best_weights"] == "ema")
    best, averaged = best_epoch(history), history.get("ema_val_acc", [])
    return 1 <= best <= len(averaged) and bool(averaged[best - 1] > history["val_acc"][best - 1])


def best_epoch(history: Mapping[str, Any]) -> int:
    """Which epoch is the best one, from 1; where that is not stated, the first of the highest accuracy. 0 before the
    first.
    """
    if "best_epoch" in history:
        return int(history["best_epoch"])
    known = [-math.inf if math.isnan(accuracy) else accuracy for accuracy in history.get("val_acc", [])]
    return known.index(max(known)) + 1 if known else 0


def network_of(folder: Path) -> str:
    """The network of a run, told from its history; empty where that cannot be read."""
    try:
        return str(read_json(folder / "history.json")["config"]["model"])
    except (UserError, KeyError, TypeError):
        return ""
