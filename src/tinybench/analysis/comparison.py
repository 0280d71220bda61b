"""model_comparison.csv: a row a model of a plan, means over its seeds."""

from math import nan
from pathlib import Path
from statistics import fmean
from typing import Any

import pandas as pd

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
    groups: dict[tuple[str, str], list[RunResults]] = {}
    for run in runs:
        if run.plan and run.tests.get("best") and run.measurements:
            groups.setdefault((run.plan, run.recipe), []).append(run)
    rows = [_row(plan, recipe, group) for (plan, recipe), group in groups.items()]
    table = pd.DataFrame(rows)
    return table.sort_values(["plan", "test_acc_mean"], ascending=[True, False], ignore_index=True) if rows else table


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


def _row(plan: str, recipe: str, group: list[RunResults]) -> dict[str, Any]:
    first = group[0]
    config, machine, costs = first.history["config"], first.history["environment"], first.measurements
    row: dict[str, Any] = {
        "plan": plan,
        "recipe": recipe,
        "model": config["model"],
        "seeds": len(group),
        "epochs": config["epochs"],
        "classes": first.history["dataset"]["classes"],
        "train_images": first.history["dataset"]["train_images"],
        "image_size": config["image_size"],
        "parameters": costs["parameters"],
        "flops": costs["flops"],
    }
    for column, weights, key in (
        ("test_acc", "best", "test_acc"),
        ("test_top5_acc", "best", "test_top5_acc"),
        ("last_acc", "last", "test_acc"),
        ("ema_acc", "ema", "test_acc"),
    ):
        # EMA only where every seed has it: a mean over some seeds would be one of other runs.
        values = [run.tests[weights][key] for run in group if weights in run.tests]
        interval = mean_interval(values) if len(values) == len(group) else None
        for bound in ("mean", "low", "high"):
            value = getattr(interval, bound, None)  # no interval at all, or none from a single seed
            row[f"{column}_{bound}"] = nan if value is None else value
    hours = fmean(run.history["total_training_time_seconds"] for run in group) / 3600
    accuracy = row["test_acc_mean"]
    return row | {
        "val_acc_mean": fmean(run.tests["best"]["val_acc"] for run in group),
        "nll_mean": fmean(run.tests["best"]["nll"] for run in group),
        "ece_mean": fmean(run.tests["best"]["ece"] for run in group),
        "training_seconds_mean": 3600 * hours,
        "images_per_second_train": fmean(fmean(run.history["images_per_second"]) for run in group),
        "images_per_second_infer": fmean(run.measurements["inference"]["images_per_second"] for run in group),
        "latency_ms": fmean(run.measurements["inference"]["latency_ms"] for run in group),
        "peak_memory_mb": max(run.history["peak_memory_mb"] for run in group),
        "acc_per_hour": accuracy / hours,
        "acc_per_million_parameters": accuracy / (costs["parameters"] / 1e6),
        "acc_per_gflop": accuracy / (costs["flops"] / 1e9),
        "device": machine["device"],
        "device_name": machine["device_name"],
        "precision": config["precision"],
    }
