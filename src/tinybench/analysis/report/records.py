"""A group of rows as the plain JSON values that the page draws, and in words what is missing in it."""

from collections import Counter
from statistics import fmean
from typing import Any

from tinybench.analysis.colors import MODEL_COLORS, model_color
from tinybench.analysis.report.classes import class_list, class_results
from tinybench.analysis.report.robustness import robustness_results
from tinybench.analysis.report.rows import Group, Row
from tinybench.analysis.report.runs import rounded, run_record


def group_record(group: Group) -> dict[str, Any]:
    """What the page shows of one group."""
    runs = [run for row in group.rows for run in row.runs]
    classes = next((found for run in runs if (found := class_list(run))), [])
    # Rows of the same colour are told apart by their dashes; networks that are added never have the plain line.
    styles: Counter[str] = Counter()
    rows = []
    for row in sorted(group.rows, key=lambda row: row.label):
        color = model_color(row.model)
        rows.append(
            {
                "label": row.label,
                "model": row.model,
                "color": color,
                "style": styles[color] + (row.model not in MODEL_COLORS),
                "cells": row.cells,
                "val_acc": rounded(fmean(run.val_acc for run in row.runs)) if row.runs else None,
                "runs": [run_record(run) for run in row.runs],
                "classes": class_results(row.runs, classes),
                "robustness": robustness_results(row.runs),
            }
        )
        styles[color] += 1
    name, fingerprint, count, train, val, size = group.protocol or (group.source, "", None, None, None, None)
    tested = [run.test["dataset"] for run in runs if run.test and isinstance(run.test.get("dataset"), dict)]
    return {
        "dataset": name,
        "fingerprint": fingerprint[:8],
        "class_count": count,
        "train_images": train,
        "val_images": val,
        "test_images": tested[0].get("test_images") if tested else None,
        "image_size": size,
        "epochs": sorted({run.history["config"].get("epochs", run.epochs) for run in runs}),
        "columns": group.columns,
        "class_list": classes,
        "rows": rows,
        "notices": notices(group),
    }


def notices(group: Group) -> list[str]:
    """In plain words what is missing in the group and what makes its rows hard to compare."""
    runs = [run for row in group.rows for run in row.runs]
    if group.protocol is None:
        return [
            f"These rows come from {group.source} alone. Their runs are not here, so their protocol is unknown, and "
            "there are no curves, classes or recipes to show."
        ]
    found = []
    if untested := [run.name for run in runs if not run.test]:
        found.append(f"Not tested yet: {_listed(untested)}. Test with: python src/test.py")
    if unfinished := [run.name for run in runs if run.epochs < run.history["config"].get("epochs", 0)]:
        found.append(f"Not finished, or stopped early: {_listed(unfinished)}.")
    single = [row.label for row in group.rows if row.cells.get("test_acc_mean") and not row.cells.get("test_acc_low")]
    if single:
        who = "every model" if len(single) == len(group.rows) else _listed(single)
        found.append(
            f"One seed only: {who}. One seed allows no interval, so a small difference may be nothing but chance."
        )
    different = {run.test["dataset"].get("fingerprint") for run in runs if run.test and "dataset" in run.test}
    if len(different) > 1:
        found.append("These runs were tested on different test images (their fingerprints differ): do not rank them.")
    stale = [row.label for row in group.rows if row.cells.get("seeds", "") not in ("", *_seed_counts(row))]
    if stale:
        found.append(f"model_comparison.csv counts other seeds than are here: {_listed(stale)}. It may be out of date.")
    epochs = sorted({run.history["config"].get("epochs", run.epochs) for run in runs})
    if len(epochs) > 1:
        found.append(f"Trained for different numbers of epochs ({epochs[0]} to {epochs[-1]}); the table shows each.")
    machines = {run.history.get("environment", {}).get("device_name") for run in runs} - {None}
    if len(machines) > 1:
        found.append(f"Times and speeds come from different devices ({_listed(sorted(machines))}): compare within one.")
    if any(run.test and not class_list(run) for run in runs):
        found.append("Some test results hold no valid confusion matrix; those runs are left out of the classes.")
    if unmeasured := [row.label for row in group.rows if not any(run.robustness for run in row.runs)]:
        which = "" if len(unmeasured) == len(group.rows) else f" for {_listed(unmeasured)}"
        found.append(f"Robustness was not measured{which}. Measure it with: python src/test.py --robustness")
    return found


def _seed_counts(row: Row) -> set[str]:
    """How many seeds the row's table may rightly count: those that were tested, or all."""
    return {str(sum(run.test is not None for run in row.runs)), str(len(row.runs))}


def _listed(names: list[str], most: int = 6) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
