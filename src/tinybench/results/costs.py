"""What accuracy costs: parameters, operations, training time and memory, and who is not beaten at both."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Literal

import pandas as pd

from tinybench.results.groups import tested
from tinybench.results.runs import RunResults
from tinybench.stats.intervals import mean_interval


@dataclass(frozen=True)
class Cost:
    """A cost of a run.

    Attributes:
        less: how one says that there is less of it.
        label: with the unit, for axes and tables.
        file, key, scale: where it stands in a run's files, and how many of its units make one of the label's.
    """

    name: str
    less: str
    label: str
    file: Literal["history", "measurements"]
    key: str
    scale: float

    def of(self, run: RunResults) -> float | None:
        """The cost of a run, None where it was not measured."""
        value = getattr(run, self.file).get(self.key)
        return None if value is None else value / self.scale


COSTS = (
    Cost("parameters", "fewer parameters", "parameters (million)", "history", "parameters", 1e6),
    Cost("operations", "fewer operations", "operations of one image (GFLOP)", "measurements", "flops", 1e9),
    Cost("time", "less training time", "training time (minutes)", "history", "total_training_time_seconds", 60),
    Cost("memory", "less memory", "peak memory in training (GiB)", "history", "peak_memory_mb", 1024),
)


def cost_table(runs: Sequence[RunResults]) -> pd.DataFrame:
    """A row for each tested recipe, by its label; means over seeds, NaN where a seed lacks the number.

    Columns: accuracy, low, high (percent of the test images; the 95 % interval over seeds), then those of COSTS in the
    units of their labels.

    Raises:
        UserError: no run was tested.
    """
    rows = {}
    for group in tested(runs):
        interval = mean_interval([run.tests["best"]["test_acc"] for run in group.runs])
        rows[group.label] = {"accuracy": interval.mean, "low": interval.low, "high": interval.high}
        for cost in COSTS:
            values = [cost.of(run) for run in group.runs]
            known = [value for value in values if value is not None]
            rows[group.label][cost.name] = fmean(known) if len(known) == len(values) else None
    return pd.DataFrame.from_dict(rows, orient="index", dtype=float)


def pareto_front(costs: pd.Series, accuracies: pd.Series) -> list[str]:
    """The labels that nothing beats, cheapest first: whatever costs less or as much is less accurate.

    Of two with equal cost and accuracy the first counts. What has no cost is left out.
    """
    table = pd.DataFrame({"cost": costs, "accuracy": accuracies}).dropna()
    table = table.sort_values(["cost", "accuracy"], ascending=[True, False], kind="stable")
    best_before = table["accuracy"].cummax().shift(fill_value=float("-inf"))
    return table.index[table["accuracy"] > best_before].tolist()


def devices(runs: Sequence[RunResults]) -> list[str]:
    """The devices that the runs were trained on; times and memory compare on one only."""
    machines = (run.history.get("environment", {}) for run in runs)
    return sorted({str(machine.get("device_name", "unknown")) for machine in machines})
