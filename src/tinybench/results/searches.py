"""What a search left in its folder, read back."""

import itertools
from pathlib import Path
from typing import Any

from tinybench import formats
from tinybench.errors import UserError, command
from tinybench.results.runs import RunResults, attempt
from tinybench.runtime.files import read_json

SEARCH = "search.json"
SEARCH_OF = "search_{recipe}"  # the folder of a recipe's search in its plan's


def read_search(results_dir: Path, name: str) -> dict[str, Any]:
    """search.json, see formats.Search.

    Raises:
        UserError: there is none, no trial of it has been finished, or it is damaged.
    """
    path = results_dir / name / SEARCH
    if not path.exists():
        raise UserError(f"{path} does not exist; search first: {command('src/search.py', '--name', name)}")
    search: dict[str, Any] = read_json(path, formats.Search)
    if not any(trial["state"] == "complete" for trial in search["trials"]):
        raise UserError(f"{path} holds no finished trial")
    return search


def ended_trials(results_dir: Path, name: str) -> int:
    """How many trials of a search have ended."""
    path = results_dir / name / SEARCH
    return len(read_json(path, formats.Search)["trials"]) if path.exists() else 0


def search_of(run: RunResults) -> dict[str, Any] | None:
    """The search that chose the recipe of a plan's run; None where there was none."""
    folder = run.folder.parents[1]
    name = SEARCH_OF.format(recipe=run.recipe)
    return attempt(read_search, folder, name) if run.plan and (folder / name / SEARCH).exists() else None


def best_so_far(search: dict[str, Any]) -> list[float | None]:
    """After each trial, in the order of their numbers: the best validation accuracy of those finished, in percent."""
    found = (trial["val_acc"] if trial["state"] == "complete" else None for trial in search["trials"])
    return list(
        itertools.accumulate(found, lambda best, new: max((v for v in (best, new) if v is not None), default=None))
    )


def stopped_early(search: dict[str, Any]) -> list[dict[str, Any]]:
    """The trials that were trained for some epochs, and not to their end."""
    return [trial for trial in search["trials"] if trial["state"] == "pruned" and trial["epochs"]]


def saved_epochs(search: dict[str, Any]) -> tuple[int, float]:
    """The epochs that trials stopped early did not take, and about how many seconds these would have taken."""
    stopped = stopped_early(search)
    left = [search["recipe"]["epochs"] - trial["epochs"] for trial in stopped]
    rates = [trial["seconds"] / trial["epochs"] for trial in stopped]
    return sum(left), sum(epochs * rate for epochs, rate in zip(left, rates, strict=True))
