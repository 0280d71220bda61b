"""Trained runs: found by name, or by their network where it has one run only."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from tinybench.errors import UsageError, UserError, command
from tinybench.runtime.files import read_json

BEST = "best_model.pth"  # the network of a run's best epoch
Weights = Literal["best", "last", "ema"]
CHECKPOINTS: dict[Weights, str] = {"best": BEST, "last": "last.pth", "ema": "last.pth"}
PREDICTIONS = "predictions.npz"  # what it answered to the test images


def find_runs(results_dir: Path, file: str = BEST) -> dict[str, Path]:
    """The folder of every run at any depth below `results_dir` that has such a file, by the run's name.

    Raises:
        UsageError: there is none.
    """
    folders = sorted(path.parent for path in results_dir.rglob(file))
    if not folders:
        raise UsageError(f"no run in {results_dir} has a {file}; train one: python src/train.py --model resnet")
    return {folder.relative_to(results_dir).as_posix(): folder for folder in folders}


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


def network_of(folder: Path) -> str:
    """The network of a run, told from its history; empty where that cannot be read."""
    try:
        return str(read_json(folder / "history.json")["config"]["model"])
    except (UserError, KeyError, TypeError):
        return ""
