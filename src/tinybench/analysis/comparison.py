"""model_comparison.csv: a row a model of a plan, means over its seeds."""

from collections.abc import Iterable, Sequence
from math import nan
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import pandas as pd

from tinybench.analysis.groups import group_runs
from tinybench.analysis.results import RunResults, load_runs
from tinybench.analysis.statistics import mean_interval
from tinybench.runtime.files import write_text

TABLE = "model_comparison.csv"


def write_comparison(results_dir: Path) -> pd.DataFrame:
    """Write results_dir/model_comparison.csv from the finished runs of all plans, and return it."""
    table = comparison_table(load_runs(results_dir))
    write_text(results_dir / TABLE, table.to_csv(index=False, float_format="%.6g"))
    return table


def comparison_table(runs: list[RunResults]) -> pd.DataFrame:
    """A row for each model of each plan, the most accurate first; runs that are not finished are left out.

    Accuracies and ECE's companions as in test_results.json: percent, nats, shares. low and high bound the 95 %
    interval of the mean over seeds (Student's t), and are empty for a single seed. Times in seconds, latency in
    milliseconds at batch 1, memory in MiB, flops of one image's forward pass (a multiply-add is two).
    """
    groups = group_runs(runs, lambda run: bool(run.plan and "best" in run.tests and run.measurements))
    table = pd.DataFrame([recipe_row(group.runs) for group in groups])
    return table.sort_values(["plan", "test_acc_mean"], ascending=[True, False], ignore_index=True) if groups else table


def describe(table: pd.DataFrame) -> str:
    """The table's main columns as text."""
    if table.empty:
        return "no run of the plan is finished yet"
    lines = [
        f"{'recipe':<16}{'seeds':>5}  {'test top-1, 95 % interval':<32}{'top-5':>8}{'ECE':>8}{'M par.':>8}{'GFLOP':>8}"
        f"{'train min':>11}"
    ]
    for row in table.itertuples():
        interval = (
            "no interval from one seed" if row.seeds < 2 else f"{row.test_acc_low:.2f} to {row.test_acc_high:.2f}"
        )
        lines.append(
            f"{row.recipe:<16}{row.seeds:>5}  {f'{row.test_acc_mean:6.2f} %, {interval}':<32}"
            f"{row.test_top5_acc_mean:>7.2f} {row.ece_mean:>7.3f} {row.parameters / 1e6:>7.2f} {row.flops / 1e9:>7.2f} "
            f"{row.training_seconds_mean / 60:>10.1f}"
        )
    return "\n".join(lines)


def recipe_row(runs: Sequence[RunResults]) -> dict[str, Any]:
    """A row of `comparison_table` on the seeds of one recipe; NaN for what not all of them tell."""
    tested = [run for run in runs if "best" in run.tests]
    history, measured = runs[0].history, runs[0].measurements
    config, data, machine = history["config"], history["dataset"], history.get("environment", {})
    parameters = measured.get("parameters", history.get("parameters", nan))
    flops = measured.get("flops", nan)
    row: dict[str, Any] = {
        "plan": runs[0].plan,
        "recipe": runs[0].recipe,
        "model": runs[0].model,
        "seeds": len(tested) or len(runs),
        "epochs": max(run.epochs for run in runs),
        "classes": data.get("classes", nan),
        "train_images": data.get("train_images", nan),
        "image_size": config.get("image_size", nan),
        "parameters": parameters,
        "flops": flops,
    }
    for column, weights, key in (
        ("test_acc", "best", "test_acc"),
        ("test_top5_acc", "best", "test_top5_acc"),
        ("last_acc", "last", "test_acc"),
        ("ema_acc", "ema", "test_acc"),
    ):
        values = [run.tests[weights][key] for run in tested if key in run.tests.get(weights, {})]
        # Only where every seed has it: a mean over some seeds would be one of other runs.
        interval = mean_interval(values) if values and len(values) == len(tested) else None
        for bound in ("mean", "low", "high"):
            value = getattr(interval, bound, None)  # no interval at all, or none from a single seed
            row[f"{column}_{bound}"] = nan if value is None else value
    hours = _mean(run.history.get("total_training_time_seconds") for run in runs) / 3600
    # Without measurements, the speed at which the test itself went.
    inference = [run.measurements.get("inference") or run.tests.get("best", {}) for run in runs]
    accuracy = row["test_acc_mean"]
    return row | {
        "val_acc_mean": fmean(run.val_acc for run in runs),
        "nll_mean": _mean(run.tests["best"].get("nll") for run in tested),
        "ece_mean": _mean(run.tests["best"].get("ece") for run in tested),
        "training_seconds_mean": 3600 * hours,
        "images_per_second_train": _mean(_mean(run.history.get("images_per_second", ())) for run in runs),
        "images_per_second_infer": _mean(about.get("images_per_second") for about in inference),
        "latency_ms": _mean(about.get("latency_ms") for about in inference),
        "peak_memory_mb": float(np.max([run.history.get("peak_memory_mb", nan) for run in runs])),
        "acc_per_hour": accuracy / hours,
        "acc_per_million_parameters": accuracy / (parameters / 1e6),
        "acc_per_gflop": accuracy / (flops / 1e9),
        "device": machine.get("device"),
        "device_name": machine.get("device_name"),
        "precision": config.get("precision"),
    }


def _mean(values: Iterable[float | None]) -> float:
    """The mean; NaN where there are no values, or one is missing."""
    found = [nan if value is None else value for value in values]
    return fmean(found) if found else nan
