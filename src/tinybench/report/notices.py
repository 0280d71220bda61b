"""In plain words what is missing on a board, and what makes its rows hard to compare."""

from collections.abc import Collection

from tinybench.report.rows import Board, Row
from tinybench.results.comparison import TABLE
from tinybench.results.costs import devices
from tinybench.results.robustness import COMMAND
from tinybench.words import listed, span


def notices(board: Board, measured: Collection[str]) -> list[str]:
    """A sentence or two for each.

    Args:
        measured: names of the runs whose robustness is known.
    """
    if board.task is None:
        return [
            f"These rows come from {TABLE} alone. Their runs are not here, so their protocol is unknown, and there are "
            "no curves, classes or recipes to show."
        ]
    rows, runs = board.rows, board.runs
    found = []
    if untested := [run.name for run in runs if "best" not in run.tests]:
        found.append(f"Not tested yet: {listed(untested)}. Test with: python src/test.py")
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
    if stale := [row.label for row in rows if row.cells.get("seeds", "") not in ("", *_seed_counts(row))]:
        found.append(f"{TABLE} counts other seeds than are here: {listed(stale)}. It may be out of date.")
    epochs = [run.planned_epochs for run in runs]
    if len(set(epochs)) > 1:
        found.append(f"Trained for different numbers of epochs ({span(epochs)}); the table shows each.")
    if len(machines := devices(runs)) > 1:
        found.append(f"Times and speeds come from different devices ({listed(machines)}): compare within one.")
    if unmeasured := [row.label for row in rows if not any(run.name in measured for run in row.runs)]:
        which = "" if len(unmeasured) == len(rows) else f" for {listed(unmeasured)}"
        found.append(f"Robustness was not measured{which}. Measure it with: {COMMAND}")
    return found


def _seed_counts(row: Row) -> set[str]:
    """How many seeds the row's table may rightly count: those that were tested, or all."""
    return {str(sum("best" in run.tests for run in row.runs)), str(len(row.runs))}
