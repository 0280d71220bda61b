"""The leaderboards: rows of recipes that learned the same task, which alone may be ranked together."""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from tinybench.analysis.comparison import recipe_row
from tinybench.analysis.groups import Task, by_task, group_runs
from tinybench.analysis.results import RunResults


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
    """Rows of one task; `task` is None for rows whose runs are not here."""

    task: Task | None
    rows: list[Row]

    @property
    def runs(self) -> list[RunResults]:
        return [run for row in self.rows for run in row.runs]


def make_boards(runs: Sequence[RunResults], lines: Sequence[dict[str, str]]) -> list[Board]:
    """Put runs and the lines of model_comparison.csv together, the board with most runs first.

    A line belongs to the runs of its plan and recipe; runs without a line get one that is made from their own files.
    """
    left = {(line.get("plan", ""), line.get("recipe", "")): line for line in lines}
    groups = [(task, group) for task, members in by_task(runs).items() for group in group_runs(members)]
    rows: dict[Task, list[Row]] = {}
    # Where a recipe has runs of two tasks, the line is of the one with more.
    for task, group in sorted(groups, key=lambda item: -len(item[1].runs)):
        cells = left.pop((group.runs[0].plan, group.runs[0].recipe), None) or _cells(group.runs)
        rows.setdefault(task, []).append(Row(group.label, group.model, cells, group.runs))
    boards = sorted((Board(*item) for item in rows.items()), key=lambda board: -len(board.runs))
    orphans = [
        Row(recipe, line.get("model") or recipe, line) for line in left.values() for recipe in [line.get("recipe", "")]
    ]
    return [*boards, Board(None, orphans)] if orphans else boards


def _cells(runs: Sequence[RunResults]) -> dict[str, str]:
    return {name: "" if pd.isna(value) else str(value) for name, value in recipe_row(runs).items()}
