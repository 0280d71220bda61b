"""The leaderboards: rows of recipes that learned the same task, which alone may be ranked together."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from tinybench.results.colors import NETWORK_TITLES
from tinybench.results.comparison import harmless, recipe_row
from tinybench.results.groups import Task, averaged, by_task, distinct, group_runs, recipe_label
from tinybench.results.runs import RunResults


@dataclass(frozen=True)
class Row:
    """The seeds of one recipe, or a line of model_comparison.csv without its runs.

    Attributes:
        cells: by the columns of model_comparison.csv.
    """

    label: str
    model: str
    cells: dict[str, str]
    runs: tuple[RunResults, ...] = ()


@dataclass(frozen=True)
class Board:
    """Rows of one plan on one task; `task` is None for rows whose runs are not here."""

    plan: str
    task: Task | None
    rows: list[Row]

    @property
    def runs(self) -> list[RunResults]:
        return [run for row in self.rows for run in row.runs]


def make_boards(runs: Sequence[RunResults], lines: Sequence[dict[str, str]]) -> list[Board]:
    """Put runs and the lines of model_comparison.csv together, a board a plan and task, that with most runs first.

    A line belongs to the runs of its plan and recipe; runs without a line get one that is made from their own files.
    """
    shown = distinct(runs)
    names = {run.name for run in shown}
    # Lines of recipes of which some runs stand in another plan's rows would count these once more.
    elsewhere = {_line_of(run) for run in runs if run.name not in names}
    left = {(line.get("plan", ""), line.get("recipe", "")): line for line in lines}
    left = {key: line for key, line in left.items() if key not in elsewhere}
    groups = [(task, group) for task, members in by_task(shown).items() for group in group_runs(members)]
    rows: dict[tuple[str, Task], list[Row]] = defaultdict(list)
    # Where a recipe has runs of two tasks, the line is of the one with more.
    for task, group in sorted(groups, key=lambda item: -len(item[1].runs)):
        cells = left.pop(_line_of(group.runs[0]), None) or _cells(group.runs)
        cells.setdefault("best_weights", averaged(group.runs))  # which a table of an earlier version lacks
        rows[group.plan, task].append(Row(group.label, group.model, cells, group.runs))
    orphans = defaultdict(list)
    for (plan, recipe), line in left.items():
        model = line.get("model") or recipe
        orphans[plan].append(Row(recipe_label(plan, recipe, NETWORK_TITLES.get(model, model)), model, line))
    boards = sorted((Board(*key, found) for key, found in rows.items()), key=lambda board: -len(board.runs))
    return [*boards, *(Board(plan, None, found) for plan, found in orphans.items())]


def _line_of(run: RunResults) -> tuple[str, str]:
    """Plan and recipe as model_comparison.csv writes them."""
    return harmless(run.plan), harmless(run.recipe)


def _cells(runs: Sequence[RunResults]) -> dict[str, str]:
    return {name: "" if pd.isna(value) else str(value) for name, value in recipe_row(runs).items()}
