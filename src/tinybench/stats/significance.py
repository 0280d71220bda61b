"""Which differences between models are significant: paired tests on the same test images.

`correct` is defined in `tinybench.stats.intervals`: bool (N,), or (runs, N) for the seeds of one recipe.
"""

from collections.abc import Mapping
from itertools import combinations
from typing import NamedTuple

import networkx as nx
import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.special import bdtr, chdtrc, stdtr

from tinybench.stats.intervals import RESAMPLES, as_runs, bootstrap_mean, seed_error

FEW_DISCORDANT = 25
ONE_RUN_EACH = "one run each: holds for these two networks, not for other seeds"
ONE_RUN = "one run of {}: does not hold for its other seeds"
COLUMNS = (
    *("model_a", "model_b", "runs_a", "runs_b", "accuracy_a", "accuracy_b"),
    *("difference", "low", "high", "p", "p_holm", "mcnemar_p", "significant", "note"),
)


class Difference(NamedTuple):
    """Accuracy of A minus accuracy of B in percentage points, the bounds of its interval, and its p value."""

    points: float
    low: float
    high: float
    p: float


def mcnemar(correct_a: ArrayLike, correct_b: ArrayLike) -> float:
    """p value of McNemar's test (https://doi.org/10.1007/BF02295996) that two networks have the same accuracy.

    Only the images on which exactly one of the two is correct count. The test is the exact binomial one if they are
    fewer than 25, otherwise chi-square with continuity correction.

    The test assumes independent images, so runs must not be pooled: the same image would count once per run. With
    several runs, every run of A is tested against every run of B, and the result is twice the median p value, which is
    valid whatever the dependence between the tests (https://arxiv.org/abs/1212.4966). It still refers to these very
    networks, not to the recipes with other seeds; `paired_bootstrap` does that.

    Raises:
        ValueError: the numbers of images differ, or are zero.
    """
    a, b = _paired(correct_a, correct_b)
    only_a, only_b = (a @ (1 - b).T).round(), ((1 - a) @ b.T).round()
    p = [_mcnemar_p(int(x), int(y)) for x, y in zip(only_a.flat, only_b.flat, strict=True)]
    return p[0] if len(p) == 1 else min(1.0, 2 * float(np.median(p)))


def paired_bootstrap(
    correct_a: ArrayLike, correct_b: ArrayLike, confidence: float = 0.95, *, resamples: int = RESAMPLES, seed: int = 0
) -> Difference:
    """The difference in accuracy on the same test images, by a bootstrap over images and seeds.

    Each resample draws the same images for both models, so that the difficulty of an image for both cancels out. Runs
    are averaged image by image; the error due to seeds is added for each model separately, since seed 0 of one is
    unrelated to seed 0 of the other, see `intervals.bootstrap_mean`. With one run of a model its spread over seeds is
    unknown and left out: the result then holds for that network, not for its recipe.

    The p value is that of Student's t test with the standard error of the resamples: unlike a fraction of resamples,
    it can be smaller than 1 / resamples, as Holm's correction for many pairs requires.

    Raises:
        ValueError: the numbers of images differ, or are zero.
    """
    a, b = _paired(correct_a, correct_b)
    per_image = a.mean(0) - b.mean(0)
    errors = [seed_error(a), seed_error(b)]
    found = bootstrap_mean(per_image, errors, confidence, resamples=resamples, seed=seed)
    mean = float(per_image.mean())
    p = 2 * float(stdtr(found.freedom, -abs(mean) / found.error)) if found.error else float(mean == 0)
    return Difference(100 * mean, 100 * found.low, 100 * found.high, p)


def pairwise_comparisons(
    correct_by_model: Mapping[str, ArrayLike], confidence: float = 0.95, *, seed: int = 0
) -> pd.DataFrame:
    """All pairs of models, one row per pair; model_a is the more accurate of the two.

    Columns: model_a, model_b; runs_a, runs_b; accuracy_a, accuracy_b (percent, mean over runs); difference (percentage
    points), low, high (its bootstrap interval, not corrected for the number of pairs); p; p_holm (p after the Holm
    correction over all pairs); mcnemar_p; significant (p_holm is below 1 - confidence); note (the limits of a single
    run, or empty).

    If both models have one run, p is McNemar's: unlike the bootstrap it also holds for few discordant images. It is
    slightly more conservative than the interval, which may just exclude zero at a p above 0.05. Otherwise p is the
    bootstrap's, which accounts for the variance over seeds.

    Raises:
        ValueError: the models were tested on different numbers of images, or on none.
    """
    runs = {name: as_runs(correct) for name, correct in correct_by_model.items()}
    order = sorted(runs, key=lambda name: -runs[name].mean())
    rows = []
    for a, b in combinations(order, 2):
        difference = paired_bootstrap(runs[a], runs[b], confidence, seed=seed)
        mcnemar_p = mcnemar(runs[a], runs[b])
        single = [name for name in (a, b) if len(runs[name]) == 1]
        rows.append(
            {
                "model_a": a,
                "model_b": b,
                "runs_a": len(runs[a]),
                "runs_b": len(runs[b]),
                "accuracy_a": 100 * runs[a].mean(),
                "accuracy_b": 100 * runs[b].mean(),
                "difference": difference.points,
                "low": difference.low,
                "high": difference.high,
                "p": mcnemar_p if len(single) == 2 else difference.p,
                "mcnemar_p": mcnemar_p,
                "note": _note(single),
            }
        )
    table = pd.DataFrame(rows, columns=[name for name in COLUMNS if name not in ("p_holm", "significant")])
    table["p_holm"] = holm(table["p"])
    table["significant"] = table["p_holm"] < 1 - confidence
    return table[list(COLUMNS)]


def holm(p: ArrayLike) -> np.ndarray:
    """p values (tests,) after Holm's correction for their number, in the same order.

    The smallest is multiplied by the number of tests, the next by one less, and so on; none falls below the one before.

    Paper: Holm, A Simple Sequentially Rejective Multiple Test Procedure, 1979, https://www.jstor.org/stable/4615733
    """
    p = np.asarray(p, dtype=np.float64)
    order = np.argsort(p)
    corrected = np.empty_like(p)
    corrected[order] = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)).clip(max=1)
    return corrected


def critical_difference_groups(comparisons: pd.DataFrame) -> list[tuple[str, ...]]:
    """The bars of a critical difference diagram: the maximal sets of models without any significant difference.

    The diagram is Demšar's (2006, https://www.jmlr.org/papers/v7/demsar06a.html), here for the pairs on one test set.
    Models and bars are ordered by accuracy, the best first; a model that differs from all others is in no bar. A bar
    may skip a model between its ends whose accuracy is known more precisely than theirs.

    Args:
        comparisons: as returned by `pairwise_comparisons`.
    """
    sides = [
        comparisons[[f"model_{side}", f"accuracy_{side}"]].set_axis(["model", "accuracy"], axis=1) for side in "ab"
    ]
    ranked = pd.concat(sides).drop_duplicates("model").sort_values("accuracy", ascending=False, kind="stable")
    rank = {model: position for position, model in enumerate(ranked["model"])}
    alike = comparisons[~comparisons["significant"].astype(bool)]
    cliques = nx.find_cliques(nx.from_pandas_edgelist(alike, "model_a", "model_b"))
    groups = [tuple(sorted(clique, key=rank.__getitem__)) for clique in cliques]
    return sorted(groups, key=lambda group: [rank[model] for model in group])


def _note(single: list[str]) -> str:
    if len(single) == 2:
        return ONE_RUN_EACH
    return ONE_RUN.format(single[0]) if single else ""


def _mcnemar_p(only_a: int, only_b: int) -> float:
    """p value for the numbers of images on which only A, and only B, is correct."""
    if only_a == only_b:  # where the continuity correction would turn the difference of zero into one of -1
        return 1.0
    discordant = only_a + only_b
    if discordant < FEW_DISCORDANT:
        return 2 * float(bdtr(min(only_a, only_b), discordant, 0.5))
    return float(chdtrc(1, (abs(only_a - only_b) - 1) ** 2 / discordant))


def _paired(correct_a: ArrayLike, correct_b: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    a, b = as_runs(correct_a), as_runs(correct_b)
    if a.shape[1] != b.shape[1]:
        raise ValueError(f"models tested on {a.shape[1]} and on {b.shape[1]} images cannot be compared image by image")
    return a, b
