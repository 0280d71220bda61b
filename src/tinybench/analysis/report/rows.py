"""Rows of the leaderboard, and the groups of rows that may be ranked together because their protocol is the same."""

import csv
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean, median

from tinybench.analysis.comparison import TABLE
from tinybench.analysis.report.runs import Run
from tinybench.analysis.statistics import mean_interval
from tinybench.errors import UserError

# Dataset, its fingerprint, classes, training images, validation images, side in pixels.
Protocol = tuple[str, str, int | None, int | None, int | None, int | None]

# Columns of a table that is made here, for want of a model_comparison.csv; named as there.
COLUMNS = (
    "recipe", "model", "parameters", "seeds", "test_acc_mean", "test_acc_low", "test_acc_high", "test_top5_acc_mean",
    "nll_mean", "ece_mean", "training_seconds_mean", "images_per_second_train", "images_per_second_infer",
    "peak_memory_mb", "device", "precision", "epochs",
)  # fmt: skip


@dataclass
class Row:
    """A line of the leaderboard: the seeds of one recipe, or a line of model_comparison.csv without its runs."""

    cells: dict[str, str]
    runs: list[Run] = field(default_factory=list)
    label: str = ""

    @property
    def model(self) -> str:
        return self.runs[0].model if self.runs else self.cells.get("model") or self.cells.get("recipe", "")


@dataclass
class Group:
    """Rows of one protocol; `protocol` is None for rows whose runs are not here."""

    protocol: Protocol | None
    source: str
    columns: list[str]
    rows: list[Row]


def protocol_of(run: Run) -> Protocol:
    """What must be equal for two runs to be ranked together. Epochs may differ: they are part of the recipe."""
    data, config = run.history["dataset"], run.history["config"]
    return (
        str(data.get("name", "unknown")),
        str(data.get("fingerprint", "")),
        data.get("classes"),
        data.get("train_images"),
        data.get("val_images"),
        config.get("image_size"),
    )


def make_groups(runs: list[Run], results_dir: Path, lines: list[dict[str, str]]) -> list[Group]:
    """Group runs and the lines of model_comparison.csv by protocol, the group with most runs first.

    A line belongs to the runs below <plan>/<recipe>; a run without a line gets one that is made from its own files.
    """
    recipes: dict[tuple[Protocol, Path], list[Run]] = {}
    for run in runs:
        recipes.setdefault((protocol_of(run), run.recipe_folder), []).append(run)
    left = {results_dir / line.get("plan", "") / line.get("recipe", ""): line for line in lines}
    rows: dict[Protocol, list[Row]] = {}
    # Where a recipe's folder holds runs of two protocols, the line is of the one with more runs.
    for (protocol, folder), members in sorted(recipes.items(), key=lambda item: -len(item[1])):
        line = left.pop(folder, None)
        rows.setdefault(protocol, []).append(Row(line or line_from_runs(folder.name, members), members))
    groups = [Group(protocol, "", _columns(group), group) for protocol, group in rows.items()]
    groups.sort(key=lambda group: -sum(len(row.runs) for row in group.rows))
    if left:
        orphans = [Row(line) for line in left.values()]
        groups.append(Group(None, TABLE, _columns(orphans), orphans))
    for group in groups:
        _label(group.rows)
    return groups


def _columns(rows: list[Row]) -> list[str]:
    return list(dict.fromkeys(name for row in rows for name in row.cells))


def _label(rows: list[Row]) -> None:
    """The recipe, with the folder above it where two rows bear the same name."""
    names = Counter(row.cells.get("recipe", "") for row in rows)
    for row in rows:
        row.label = row.cells.get("recipe", "")
        if names[row.label] > 1 and row.runs:
            run = row.runs[0]
            row.label = run.name if run.recipe_folder == run.folder else run.name.rpartition("/")[0]


def line_from_runs(recipe: str, runs: list[Run]) -> dict[str, str]:
    """A line like those of model_comparison.csv, as far as the runs' files tell; an interval from two seeds on."""
    tests = [run.test for run in runs if run.test]
    accuracies = [float(test["test_acc"]) for test in tests]
    interval = mean_interval(accuracies) if accuracies else None
    environment = runs[0].history.get("environment", {})
    values = (
        recipe,
        runs[0].model,
        runs[0].history.get("parameters"),
        len(tests) or len(runs),
        interval and interval.mean,
        interval and interval.low,
        interval and interval.high,
        _mean(test.get("test_top5_acc") for test in tests),
        _mean(test.get("nll") for test in tests),
        _mean(test.get("ece") for test in tests),
        _mean(run.history.get("total_training_time_seconds") for run in runs),
        _mean(median(run.history["images_per_second"]) for run in runs if run.history.get("images_per_second")),
        _mean(test.get("images_per_second") for test in tests),
        _mean(run.history.get("peak_memory_mb") for run in runs),
        environment.get("device_name") or environment.get("device"),
        runs[0].history["config"].get("precision"),
        max(run.epochs for run in runs),
    )
    return {name: "" if value is None else str(value) for name, value in zip(COLUMNS, values, strict=True)}


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) if known else None


def read_table(path: Path) -> list[dict[str, str]]:
    """The lines of a CSV with a header, each cell as it stands there.

    Raises:
        UserError: the file cannot be read.
    """
    try:
        with path.open(encoding="utf-8", newline="") as file:
            lines = csv.DictReader(file)
            return [{str(name): cell or "" for name, cell in line.items() if name is not None} for line in lines]
    except (OSError, ValueError, csv.Error) as error:
        raise UserError(f"cannot read {path}: {error}") from error
