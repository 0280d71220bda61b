"""What the page draws of a leaderboard, as plain JSON values."""

import math
from collections import defaultdict
from collections.abc import Sequence
from functools import reduce
from itertools import accumulate
from operator import add
from statistics import fmean
from typing import Any

from tinybench.errors import UserError
from tinybench.report.boards import Board, Row, notices
from tinybench.results.classes import ClassResults, mistakes_of, run_classes
from tinybench.results.colors import recipe_looks
from tinybench.results.comparison import TABLE
from tinybench.results.groups import Protocol
from tinybench.results.predictions import correct_by_recipe
from tinybench.results.robustness import read_robustness, robustness_curves
from tinybench.results.runs import RunResults, attempt, image_sizes
from tinybench.stats.significance import pairwise_comparisons

# Lists of history.json that the page draws.
CURVES = (
    "val_acc", "val_macro_acc", "val_top5_acc", "val_loss", "ema_val_acc", "train_acc", "train_loss", "lr",
    "epoch_seconds",
)  # fmt: skip
# Test results that are long, and shown otherwise.
BY_CLASS = {"confusion_matrix", "per_class_accuracy", "per_class_scores", "class_names"}
# What the page keeps of a matrix of 200 x 200 numbers.
PAIRS = 40
MISTAKES_PER_CLASS = 3
LINE_WIDTH = 2.2  # of the page's charts, in pixels
# Columns that accuracy is drawn against.
COSTS = ("parameters", "flops", "training_seconds_mean", "latency_ms", "peak_memory_mb")


def board_record(board: Board) -> dict[str, Any]:
    """What the page shows of one board; damaged files are left out, and noticed."""
    tested = [run for run in board.runs if "best" in run.tests]
    classes = {run.name: found for run in tested if (found := attempt(run_classes, run))}
    robustness = {run.name: content for run in board.runs if (content := attempt(read_robustness, run))}
    # Runs that were tested on other classes than the first are left out of the comparison by class.
    first = next(iter(classes.values()), None)
    classes = {name: found for name, found in classes.items() if first and found.ids == first.ids}
    rows: list[dict[str, Any]] = []
    sorted_rows = sorted(board.rows, key=lambda row: row.label)
    significance = p_against_best(board.runs)
    looks = recipe_looks({row.label: row.model for row in sorted_rows})
    for row, beaten in zip(sorted_rows, beaten_by(sorted_rows), strict=True):
        look = looks[row.label]
        names = [run.name for run in row.runs]
        runs = [run_record(run) for run in row.runs]
        rows.append(
            {
                "label": row.label,
                "brief": row.label.removeprefix(f"{board.plan}/"),  # where there is little room
                "model": row.model,
                "color": look.color,
                "mark": look.marker,
                "dash": " ".join(f"{LINE_WIDTH * length:.3g}" for length in look.dashes),
                "cells": row.cells | {"p_best": significance.get(row.label, "")},
                "val_acc": rounded(fmean(run.val_acc for run in row.runs)) if row.runs else None,
                "index": len(rows),
                "beaten_by": beaten,
                "runs": runs,
                "curves": mean_curves([run["curves"] for run in runs]),
                "sizes": size_spans(row.runs),
                "classes": class_record([classes[name] for name in names if name in classes]),
                "robustness": robustness_record([robustness[name] for name in names if name in robustness]),
            }
        )
    protocol = board.protocol or Protocol(TABLE, "", None, None, None)
    return {
        "plan": board.plan,
        "dataset": protocol.dataset,
        "fingerprint": protocol.fingerprint[:8],
        "class_count": protocol.classes,
        "train_images": protocol.train_images,
        "val_images": protocol.val_images,
        "test_images": tested[0].tests["best"].get("dataset", {}).get("test_images") if tested else None,
        "image_sizes": board.image_sizes,
        "epochs": sorted({run.planned_epochs for run in board.runs}),
        "columns": list(dict.fromkeys(name for row in board.rows for name in row.cells)),
        "class_list": class_list([row["classes"]["accuracy"] for row in rows if row["classes"]], first)
        if first
        else [],
        "rows": rows,
        "run_count": len(board.runs),
        "training_seconds": rounded(sum(run.history.get("total_training_time_seconds", 0) for run in board.runs)),
        "notices": notices(board, robustness),
    }


def p_against_best(runs: Sequence[RunResults]) -> dict[str, str]:
    """By label, the p of each recipe's difference from the most accurate one, whose own is "best".

    Empty where there are no two recipes with predictions of the same images.
    """
    try:
        pairs = pairwise_comparisons(correct_by_recipe(runs))
    except UserError:
        return {}
    best = pairs["model_a"].iloc[0]
    found = pairs[pairs["model_a"] == best]
    return {best: "best", **{label: f"{p:.3g}" for label, p in zip(found["model_b"], found["p_holm"], strict=True)}}


def size_spans(runs: Sequence[RunResults]) -> list[list[int]]:
    """Where the training images grow: [first epoch, side in pixels] of each span of the first run; else empty."""
    sizes = image_sizes(runs[0].history) if runs else []
    return [[epoch, size] for epoch, size in enumerate(sizes, start=1) if epoch == 1 or size != sizes[epoch - 2]]


def run_record(run: RunResults) -> dict[str, Any]:
    """What the page shows of one run."""
    history, test = run.history, run.tests.get("best", {})
    return {
        "name": run.name,
        "seed": history["config"].get("seed"),
        "epochs": run.epochs,
        "planned": history["config"].get("epochs"),
        "best_epoch": history["best_epoch"],
        "val_acc": rounded(run.val_acc),
        "seconds": rounded(history.get("total_training_time_seconds")),
        "curves": {name: rounded(history[name]) for name in CURVES if isinstance(history.get(name), list)}
        | {"elapsed": rounded(list(accumulate(history.get("epoch_seconds", ()))))},
        "config": history["config"],
        "environment": history.get("environment", {}),
        "dataset": history["dataset"],
        "measured": {
            name: rounded(history[name]) for name in ("parameters", "peak_memory_mb") if history.get(name) is not None
        },
        "test": {name: rounded(value) for name, value in test.items() if name not in BY_CLASS} or None,
    }


def mean_curves(seeds: Sequence[dict[str, list[float | None]]]) -> dict[str, list[float | None]]:
    """Each curve that all seeds have, as the mean over them, as far as all have come; None where one has no value."""
    names = set.intersection(*(set(curves) for curves in seeds)) if seeds else set()
    return {
        name: [
            None if None in values else rounded(fmean(value for value in values if value is not None))
            for values in zip(*(curves[name] for curves in seeds), strict=False)
        ]
        for name in sorted(names)
    }


def class_list(accuracies: Sequence[list[float | None]], classes: ClassResults) -> list[dict[str, Any]]:
    """The classes, with the mean of the models' accuracies on each and how far these are apart, in percent.

    Args:
        accuracies: of each model on each class.
        classes: for their ids and names.
    """
    known = [[value for value in values if value is not None] for values in zip(*accuracies, strict=True)]
    return [
        {
            "id": key,
            "name": name,
            "mean": rounded(fmean(values)) if values else None,
            "spread": rounded(max(values) - min(values)) if values else None,
        }
        for key, name, values in zip(classes.ids, classes.names, known, strict=True)
    ]


def class_record(seeds: Sequence[ClassResults]) -> dict[str, Any] | None:
    """Results by class over all seeds; None where none was tested.

    Returns:
        accuracy: percent right of each class, None without images.
        pairs: [true class, predicted class, images, images of the true class, percent of these], the commonest
            mistakes first.
        mistakes: for each class its commonest mistakes, [predicted class, percent of the class's images].
    """
    if not seeds:
        return None
    results = reduce(add, seeds)
    images = results.confusion.sum(axis=1).tolist()
    wrong = mistakes_of(results)
    columns = ["true_label", "predicted_label", "images", "share"]
    mistakes: list[list[list[float]]] = [[] for _ in images]
    for true, predicted, _, share in (
        wrong.groupby("true_label").head(MISTAKES_PER_CLASS)[columns].itertuples(index=False)
    ):
        mistakes[true].append([predicted, rounded(share)])
    return {
        "accuracy": rounded(results.accuracy.tolist()),
        "pairs": [
            [true, predicted, count, images[true], rounded(share)]
            for true, predicted, count, share in wrong.head(PAIRS)[columns].itertuples(index=False)
        ],
        "mistakes": mistakes,
    }


def robustness_record(seeds: Sequence[dict[str, Any]]) -> dict[str, Any] | None:
    """Curves and single numbers, each the mean over the seeds that have it; None where no seed was measured.

    Args:
        seeds: what their robustness.json hold.

    Returns:
        seeds: how many were measured.
        images: on how many test images; of seeds that differ, the fewest. None where no file says so.
        clean: accuracy in percent on the images as they are.
        curves: dicts of kind, family and name as in `robustness_curves`, x, and accuracy (percent at each x).
        numbers: single numbers by name.
    """
    if not seeds:
        return None
    counts = [content.get("dataset", {}).get("test_images") for content in seeds]
    images = [count for count in counts if count is not None]
    curves, numbers = defaultdict(list), defaultdict(list)
    for content in seeds:
        for key, curve in robustness_curves(content).items():
            curves[key].append(curve)
        for name, value in content.items():
            if isinstance(value, int | float):
                numbers[name].append(value)
    means = {name: rounded(fmean(values)) for name, values in numbers.items()}
    each = {key: _mean_curve(found) for key, found in curves.items()}
    families = defaultdict(list)
    for (kind, family, _), curve in each.items():
        if kind == "corruptions":
            families[kind, family, family].append(curve)
    others = {key: [curve] for key, curve in each.items() if key[0] != "corruptions"}
    return {
        "seeds": len(seeds),
        "images": min(images, default=None),
        "clean": means.pop("clean_acc"),
        "curves": [_curve_record(key, [curve]) for key, curve in each.items()],
        "families": [_curve_record(key, members) for key, members in (families | others).items()],
        "numbers": means,
    }


def _mean_curve(curves: Sequence[dict[float, float]]) -> dict[float, float]:
    """The mean at every x that all curves have."""
    xs = sorted(set.intersection(*(set(curve) for curve in curves)))
    return {x: fmean(curve[x] for curve in curves) for x in xs}


def _curve_record(key: tuple[str, str, str], members: Sequence[dict[float, float]]) -> dict[str, Any]:
    """The mean curve of some; `mean` is its mean over x, None where it has no points."""
    curve = _mean_curve(members)
    accuracy = list(curve.values())
    return {
        **dict(zip(("kind", "family", "name"), key, strict=True)),
        "count": len(members),
        "x": list(curve),
        "accuracy": rounded(accuracy),
        "mean": rounded(fmean(accuracy)) if accuracy else None,
    }


def beaten_by(rows: Sequence[Row]) -> list[dict[str, list[int]]]:
    """For each row, by cost, the rows at no higher cost and no lower accuracy; of equal rows the first beats the rest.

    A selection's Pareto front is its rows that are beaten by none of it.
    """
    return [
        {cost: [j for j, b in enumerate(rows) if _beats(b, a, cost, first=j < i)] for cost in COSTS}
        for i, a in enumerate(rows)
    ]


def _beats(row: Row, other: Row, cost: str, *, first: bool) -> bool:
    points = [(_number(each, cost), -_accuracy(each)) for each in (row, other)]
    if not all(math.isfinite(value) for point in points for value in point) or points[0][0] <= 0:
        return False
    (cost_a, error_a), (cost_b, error_b) = points
    return cost_a <= cost_b and error_a <= error_b and (points[0] != points[1] or first)


def _accuracy(row: Row) -> float:
    """On the test images, or on the validation images where it was not tested."""
    tested = _number(row, "test_acc_mean")
    return tested if math.isfinite(tested) or not row.runs else fmean(run.val_acc for run in row.runs)


def _number(row: Row, column: str) -> float:
    """A cell as a number; NaN where it is empty or text."""
    try:
        return float(row.cells.get(column) or "nan")
    except ValueError:
        return math.nan


def rounded(value: Any) -> Any:
    """Floats to five significant digits, which no screen can tell apart, inside lists and dicts too.

    NaN and infinity become None: JSON has none.
    """
    if isinstance(value, float):
        return float(f"{value:.5g}") if math.isfinite(value) else None
    if isinstance(value, list):
        return [rounded(item) for item in value]
    if isinstance(value, dict):
        return {name: rounded(item) for name, item in value.items()}
    return value
