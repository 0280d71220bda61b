"""model_comparison.csv: a row a model of a plan, means over its seeds."""

import io
from collections.abc import Iterable, Sequence
from dataclasses import replace
from math import isclose, nan
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import pandas as pd

from tinybench.errors import UserError, notice, printable
from tinybench.metrics import METRICS
from tinybench.results.groups import averaged, group_runs
from tinybench.results.predictions import test_scores
from tinybench.results.runs import RunResults, load_runs, read_table
from tinybench.results.searches import search_of
from tinybench.runtime.files import write_text
from tinybench.stats.intervals import mean_interval

TABLE = "model_comparison.csv"
DEMO = "demo"  # the data set that the program draws itself
FORMULA = ("=", "+", "-", "@", "\t", "\r")  # what spreadsheets take the beginning of a formula for


def write_comparison(results_dir: Path) -> pd.DataFrame:
    """Bring results_dir/model_comparison.csv up to the finished runs of all plans, and return the table of all.

    Rows of the demo data do not go among those of other data. A file that says the same stays as it is.
    """
    runs = load_runs(results_dir)
    real = comparison_table([run for run in runs if run.history["dataset"].get("name") != DEMO])
    table = comparison_table(runs)
    kept = table if real.empty else real
    if len(kept) < len(table):
        notice(f"runs on the {DEMO} data are not in {results_dir / TABLE}, which is of other data")
    if not kept.empty and not _says(results_dir / TABLE, kept):
        write_text(results_dir / TABLE, _csv(kept))
    return table


def harmless(text: str) -> str:
    """A name as a cell of a CSV, which no spreadsheet takes for a formula."""
    return f"'{text}" if text.startswith(FORMULA) else text


def _csv(table: pd.DataFrame) -> str:
    cells = table.map(lambda cell: harmless(cell) if isinstance(cell, str) else cell)
    return cells.to_csv(index=False, float_format="%.6g")


def _says(path: Path, table: pd.DataFrame) -> bool:
    """Whether the file holds this table, in whatever form its numbers are written."""
    try:
        there, here = read_table(path), read_table(io.StringIO(_csv(table)))
    except UserError:
        return False
    if list(there) != list(here) or len(there) != len(here):
        return False
    return all(map(_equal, there.to_numpy().flat, here.to_numpy().flat))


def _equal(one: str, other: str) -> bool:
    try:
        return one == other or isclose(float(one), float(other), rel_tol=1e-5)
    except ValueError:
        return False


def comparison_table(runs: list[RunResults]) -> pd.DataFrame:
    """A row for each model of each plan, the most accurate first; runs that are not finished are left out.

    A network that was exported and tested has a row of its own below the same plan, see `exported_rows`.

    Accuracies and ECE's companions as in test_results.json: percent, nats, shares. low and high bound the 95 %
    interval of the mean over seeds (Student's t), and are empty for a single seed. Times in seconds, latency in
    milliseconds at batch 1, memory in MiB, flops of one image's forward pass (a multiply-add is two). best_weights says
    whether the best epochs' weights, those of test_acc, are plain ones or averages.
    """
    finished = [run for run in runs if run.plan and "best" in run.tests and run.measurements]
    # Each plan is whole, also where it shares a training with another one.
    groups = [group for plan in {run.plan for run in finished} for group in group_runs(_of(finished, plan))]
    if not groups:
        return pd.DataFrame(columns=["plan"])
    rows = [row for group in groups for row in (recipe_row(group.runs), *exported_rows(group.runs))]
    table = pd.DataFrame(rows)
    return table.sort_values(["plan", "test_acc_mean"], ascending=[True, False], ignore_index=True)


def describe(table: pd.DataFrame) -> str:
    """The table's main columns as text."""
    if table.empty:
        return "no run of the plan is finished yet"
    has_macro, searched = (
        name in table and table[name].notna().any() for name in ("test_macro_acc_mean", "search_trials")
    )
    width = 1 + max(15, *(len(printable(name)) for name in table["recipe"]))
    lines = [
        f"{'recipe':<{width}}{'seeds':>5}  {'test top-1, 95 % interval':<32}{'   macro' if has_macro else ''}"
        f"{'top-5':>8}{'ECE':>8}{'M par.':>8}{'GFLOP':>8}{'train min':>11}  weights"
        f"{'   trials' if searched else ''}"
    ]
    for row in table.itertuples():
        interval = (
            "no interval from one seed" if row.seeds < 2 else f"{row.test_acc_low:.2f} to {row.test_acc_high:.2f}"
        )
        trials = f"{row.search_trials:>9.0f}" if searched else ""
        macro = f"{row.test_macro_acc_mean:>7.2f} " if has_macro else ""
        lines.append(
            f"{printable(row.recipe):<{width}}{row.seeds:>5}  {f'{row.test_acc_mean:6.2f} %, {interval}':<32}{macro}"
            f"{row.test_top5_acc_mean:>7.2f} {row.ece_mean:>7.3f} {row.parameters / 1e6:>7.2f} {row.flops / 1e9:>7.2f} "
            f"{row.training_seconds_mean / 60:>10.1f}  {row.best_weights:<7}{trials}"
        )
    return "\n".join(lines)


def recipe_row(runs: Sequence[RunResults]) -> dict[str, Any]:
    """A row of `comparison_table` on the seeds of one recipe; NaN for what not all of them tell."""
    tested = [replace(run, tests=run.tests | {"best": test_scores(run)}) for run in runs if "best" in run.tests]
    history, measured = runs[0].history, runs[0].measurements
    config, data, machine = history["config"], history["dataset"], history.get("environment", {})
    parameters = measured.get("parameters", history.get("parameters", nan))
    flops = measured.get("flops", nan)
    known = {
        key: metric
        for key, metric in METRICS.items()
        if not metric.imbalanced or any(key in run.tests["best"] for run in tested)
    }
    search = search_of(runs[0])
    row: dict[str, Any] = {
        "plan": runs[0].plan,
        "recipe": runs[0].recipe,
        "model": runs[0].model,
        "seeds": len(tested) or len(runs),
        **({"search_trials": len(search["trials"])} if search else {}),
        "epochs": max(run.epochs for run in runs),
        "classes": data.get("classes", nan),
        "train_images": data.get("train_images", nan),
        "image_size": config.get("image_size", nan),
        "parameters": parameters,
        "flops": flops,
    }
    for column, weights, key in (
        *((key, "best", key) for key, metric in known.items() if metric.interval),
        ("tta_acc", "best", "tta_acc"),
        ("last_acc", "last", "test_acc"),
        ("ema_acc", "ema", "test_acc"),
    ):
        values = [run.tests[weights][key] for run in tested if key in run.tests.get(weights, {})]
        # Only where every seed has it: a mean over some seeds would be one of other runs.
        interval = mean_interval(values) if values and len(values) == len(tested) else None
        for bound in ("mean", "low", "high"):
            value = getattr(interval, bound, None)  # no interval at all, or none from a single seed
            row[f"{column}_{bound}"] = nan if value is None else value
    hours = known_mean(run.history.get("total_training_time_seconds") for run in runs) / 3600
    # Without measurements, the speed at which the test itself went.
    inference = [run.measurements.get("inference") or run.tests.get("best", {}) for run in runs]
    accuracy = row["test_acc_mean"]
    return row | {
        "best_weights": averaged(runs),
        "val_acc_mean": fmean(run.val_acc for run in runs),
        **{
            f"{key}_mean": known_mean(run.tests["best"].get(key) for run in tested)
            for key, metric in known.items()
            if not metric.interval
        },
        "training_seconds_mean": 3600 * hours,
        "images_per_second_train": known_mean(known_mean(run.history.get("images_per_second", ())) for run in runs),
        "images_per_second_infer": known_mean(about.get("images_per_second") for about in inference),
        "latency_ms": known_mean(about.get("latency_ms") for about in inference),
        "peak_memory_mb": float(np.max([run.history.get("peak_memory_mb", nan) for run in runs])),
        "acc_per_hour": accuracy / hours,
        "acc_per_million_parameters": accuracy / (parameters / 1e6),
        "acc_per_gflop": accuracy / (flops / 1e9),
        "device": machine.get("device"),
        "device_name": machine.get("device_name"),
        "precision": config.get("precision"),
    }


def exported_rows(runs: Sequence[RunResults]) -> list[dict[str, Any]]:
    """A row for each exported network of a recipe's seeds, as `recipe_row`; its speed is that of its own test."""
    rows = []
    for file in sorted({file for run in runs for file in run.exported}):
        recipe = f"{runs[0].recipe} ({file})"
        seeds = [
            replace(run, recipe=recipe, tests={"best": run.exported[file]}, measurements=_size(run.measurements))
            for run in runs
            if file in run.exported
        ]
        rows.append(recipe_row(seeds) | {"precision": seeds[0].tests["best"].get("precision")})
    return rows


def _size(measurements: dict[str, Any]) -> dict[str, Any]:
    """The measurements of a network, without those of how fast torch runs it."""
    return {key: value for key, value in measurements.items() if key != "inference"}


def _of(runs: Sequence[RunResults], plan: str) -> list[RunResults]:
    return [run for run in runs if run.plan == plan]


def known_mean(values: Iterable[float | None]) -> float:
    """The mean; NaN where there are no values, or one is missing."""
    found = [nan if value is None else value for value in values]
    return fmean(found) if found else nan
