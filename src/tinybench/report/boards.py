"""Leaderboards: the recipes of a plan that share a protocol, and what a reader has to know about them."""

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from tinybench.errors import command
from tinybench.results.colors import NETWORK_TITLES
from tinybench.results.comparison import TABLE, exported_rows, harmless, recipe_row
from tinybench.results.costs import devices
from tinybench.results.groups import Protocol, averaged, by_protocol, distinct, group_runs, recipe_label
from tinybench.results.robustness import COMMAND
from tinybench.results.runs import RunResults
from tinybench.words import listed, span


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
    """Rows of one plan on one protocol; `protocol` is None for rows whose runs are not here."""

    plan: str
    protocol: Protocol | None
    rows: list[Row]

    @property
    def runs(self) -> list[RunResults]:
        return [run for row in self.rows for run in row.runs]

    @property
    def image_sizes(self) -> list[int]:
        """Sides in pixels at which the runs are tested, smallest first."""
        return sorted({size for run in self.runs if (size := run.history["config"].get("image_size"))})


def make_boards(runs: Sequence[RunResults], lines: Sequence[dict[str, str]]) -> list[Board]:
    """Put runs and the lines of model_comparison.csv together, a board a plan and protocol, that with most runs first.

    A line belongs to the runs of its plan and recipe; runs without a line get one that is made from their own files.
    """
    shown = distinct(runs)
    names = {run.name for run in shown}
    # Lines of recipes of which some runs stand in another plan's rows would count these once more.
    elsewhere = {_line_of(run) for run in runs if run.name not in names}
    left = {(line.get("plan", ""), line.get("recipe", "")): line for line in lines}
    left = {key: line for key, line in left.items() if key not in elsewhere}
    groups = [(protocol, group) for protocol, members in by_protocol(shown).items() for group in group_runs(members)]
    rows: dict[tuple[str, Protocol], list[Row]] = defaultdict(list)
    # Where a recipe has runs of two tasks, the line is of the one with more.
    for protocol, group in sorted(groups, key=lambda item: -len(item[1].runs)):
        cells = left.pop(_line_of(group.runs[0]), None) or _as_text(recipe_row(group.runs))
        cells.setdefault("best_weights", averaged(group.runs))  # which a table of an earlier version lacks
        rows[group.plan, protocol].append(Row(group.label, group.model, cells, group.runs))
        for row in exported_rows(group.runs):
            left.pop((harmless(group.plan), harmless(row["recipe"])), None)
            label = recipe_label(group.plan, row["recipe"], group.runs[0].network)
            rows[group.plan, protocol].append(Row(label, group.model, _as_text(row)))
    orphans = defaultdict(list)
    for (plan, recipe), line in left.items():
        model = line.get("model") or recipe
        orphans[plan].append(Row(recipe_label(plan, recipe, NETWORK_TITLES.get(model, model)), model, line))
    boards = sorted((Board(*key, found) for key, found in rows.items()), key=lambda board: -len(board.runs))
    return [*boards, *(Board(plan, None, found) for plan, found in orphans.items())]


def _line_of(run: RunResults) -> tuple[str, str]:
    """Plan and recipe as model_comparison.csv writes them."""
    return harmless(run.plan), harmless(run.recipe)


def _as_text(row: dict[str, Any]) -> dict[str, str]:
    return {name: "" if pd.isna(value) else str(value) for name, value in row.items()}


def notices(board: Board, measured: Collection[str]) -> list[str]:
    """A sentence or two for each.

    Args:
        measured: names of the runs whose robustness is known.
    """
    if board.protocol is None:
        return [
            f"These rows come from {TABLE} alone. Their runs are not here, so their protocol is unknown, and there are "
            "no curves, classes or recipes to show."
        ]
    rows, runs = board.rows, board.runs
    found = []
    if untested := [run.name for run in runs if "best" not in run.tests]:
        found.append(f"Not tested yet: {listed(untested)}. Test with: {command('src/test.py')}")
    if unfinished := [run.name for run in runs if run.epochs < run.planned_epochs]:
        found.append(f"Not finished, or stopped early: {listed(unfinished)}.")
    if single := [row.label for row in rows if row.cells.get("test_acc_mean") and not row.cells.get("test_acc_low")]:
        who = "every model" if len(single) == len(rows) else listed(single)
        found.append(
            f"One seed only: {who}. One seed allows no interval, so a small difference may be nothing but chance."
        )
    tests = [run.tests["best"] for run in runs if "best" in run.tests]
    if len({test["dataset"].get("fingerprint") for test in tests if "dataset" in test}) > 1:
        found.append("These runs were tested on different test images (their fingerprints differ): do not rank them.")
    rows = [row for row in rows if row.runs]  # not the exported networks
    if stale := [row.label for row in rows if row.cells.get("seeds", "") not in ("", *_seed_counts(row))]:
        found.append(f"{TABLE} counts other seeds than are here: {listed(stale)}. It may be out of date.")
    epochs = [run.planned_epochs for run in runs]
    if len(set(epochs)) > 1:
        found.append(f"Trained for different numbers of epochs ({span(epochs)}); the table shows each.")
    if len(sizes := board.image_sizes) > 1:
        found.append(f"Tested at different image sizes ({span(sizes)} pixels a side); the table shows each.")
    if len(machines := devices(runs)) > 1:
        found.append(f"Times and speeds come from different devices ({listed(machines)}): compare within one.")
    if unmeasured := [row.label for row in rows if not any(run.name in measured for run in row.runs)]:
        which = "" if len(unmeasured) == len(rows) else f" for {listed(unmeasured)}"
        found.append(f"Robustness was not measured{which}. Measure it with: {COMMAND}")
    return found


def _seed_counts(row: Row) -> set[str]:
    """How many seeds the row's table may rightly count: those that were tested, or all."""
    return {str(sum("best" in run.tests for run in row.runs)), str(len(row.runs))}
