"""robustness.json as curves: whatever it holds of accuracy against a growing disturbance."""

import math
from statistics import fmean
from typing import Any

from tinybench.analysis.report.runs import Run, rounded

# The parts of robustness.json that hold curves.
KINDS = ("corruptions", "attacks", "occlusion")


def robustness_results(runs: list[Run]) -> dict[str, Any] | None:
    """Curves and single numbers, each the mean over the seeds that have it; None where no seed has any.

    Returns:
        seeds: how many seeds were measured.
        clean: accuracy in percent on the undisturbed images, None if not told.
        curves: dicts of kind (one of KINDS), family, name, x and accuracy (percent at each x).
        numbers: single numbers by name.
    """
    measured = [run.robustness for run in runs if run.robustness]
    if not measured:
        return None
    curves: dict[tuple[str, str, str], list[dict[float, float]]] = {}
    numbers: dict[str, list[float]] = {}
    for content in measured:
        for kind in KINDS:
            for name, value in _named(content.get(kind), kind):
                family = value.get("family", kind) if isinstance(value, dict) else kind
                points = value.get("accuracy") if isinstance(value, dict) and "accuracy" in value else value
                if curve := _curve(points):
                    curves.setdefault((kind, str(family), name), []).append(curve)
        for name, value in content.items():
            if _is_number(value):
                numbers.setdefault(name, []).append(float(value))
    means = {name: rounded(fmean(values)) for name, values in numbers.items()}
    return {
        "seeds": len(measured),
        "clean": means.pop("clean_acc", None),
        "curves": [
            {"kind": kind, "family": family, "name": name, **_mean(seeds)}
            for (kind, family, name), seeds in curves.items()
        ],
        "numbers": means,
    }


def _named(value: Any, kind: str) -> list[tuple[str, Any]]:
    """The curves of one part of the file; a part that is a curve itself goes by its kind."""
    if _curve(value):
        return [(kind, value)]
    return list(value.items()) if isinstance(value, dict) else []


def _curve(value: Any) -> dict[float, float]:
    """Accuracy by x, of a list (x counts from 1) or of a dict with numbers as keys; empty for anything else."""
    if isinstance(value, list):
        value = dict(enumerate(value, start=1))
    if not isinstance(value, dict):
        return {}
    try:
        return {float(x): float(accuracy) for x, accuracy in value.items() if _is_number(accuracy)}
    except ValueError:
        return {}


def _mean(seeds: list[dict[float, float]]) -> dict[str, list[float]]:
    """The mean at every x that all seeds have."""
    xs = sorted(set.intersection(*(set(seed) for seed in seeds)))
    return {"x": xs, "accuracy": [rounded(fmean(seed[x] for seed in seeds)) for x in xs]}


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
