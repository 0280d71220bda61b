"""Which differences between models are significant: paired comparisons on the same test images.

`correct` is as in `tinybench.stats.intervals`: bool (N,), or (runs, N) for the seeds of one recipe.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import networkx as nx
import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy import stats

from tinybench.stats.intervals import RESAMPLES, as_runs, bootstrap_mean, seed_error

FEW_DISCORDANT = 25
ONE_RUN_EACH = "one run each: holds for these two networks, says nothing of other seeds"
ONE_RUN = "one run of {}: says nothing of its other seeds"
COLUMNS = (
    *("model_a", "model_b", "runs_a", "runs_b", "accuracy_a", "accuracy_b"),
    *("difference", "low", "high", "p", "p_holm", "mcnemar_p", "significant", "note"),
)


@dataclass(frozen=True)
class Difference:
    """Accuracy of A less that of B in points (of percent), bounds of its interval, and the p value of no difference."""

    points: float
    low: float
    high: float
    p: float


def mcnemar(correct_a: ArrayLike, correct_b: ArrayLike) -> float:
    """p value of McNemar's test (https://doi.org/10.1007/BF02295996): are two networks right equally often?

    Only the images on which one is right and the other wrong count. The test is the exact binomial one where they are
    fewer than 25, and chi-square with continuity correction otherwise.

    The test takes images for independent, so runs must not be pooled: the same image would count once a run. With
    several runs every run of A is tested against every run of B, and the result is twice the median p value, which is
    valid however the tests depend on each other (https://arxiv.org/abs/1212.4966). It is still about these very
    networks, not about the recipes with other seeds; for that there is `paired_bootstrap`.

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
    """The difference in accuracy on the same test images, by a bootstrap of images and seeds.

    Each resample draws images, the same for both models, so that what makes an image hard for both cancels out. Runs
    are averaged image by image; the error by the choice of seeds is added for each model on its own, since seed 0 of
    one has nothing to do with seed 0 of the other, see `statistics.bootstrap_mean`. With one run of a model its spread
    is unknown and left out: the result then holds for that network, not for its recipe.

    The p value is that of Student's t test with the standard error of the resamples. It reaches as far down as Holm's
    correction for many pairs needs; a share of resamples would end at 1 / resamples.

    Raises:
        ValueError: the numbers of images differ, or are zero.
    """
    a, b = _paired(correct_a, correct_b)
    per_image = a.mean(0) - b.mean(0)
    errors = [seed_error(a), seed_error(b)]
    found = bootstrap_mean(per_image, errors, confidence, resamples=resamples, seed=seed)
    mean = float(per_image.mean())
    p = 2 * float(stats.t.sf(abs(mean) / found.error, found.freedom)) if found.error else float(mean == 0)
    return Difference(100 * mean, 100 * found.low, 100 * found.high, p)


def holm(p_values: Sequence[float] | np.ndarray) -> np.ndarray:
    """p values corrected for their number (Holm 1979, https://www.jstor.org/stable/4615733), in the order given.

    Calling all those below 0.05 significant errs in one or more of them with a chance of at most 5 %.
    """
    p = np.asarray(p_values, dtype=np.float64)
    order = p.argsort(kind="stable")
    corrected = np.empty_like(p)
    corrected[order] = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)).clip(max=1.0)
    return corrected


def pairwise_comparisons(
    correct_by_model: Mapping[str, ArrayLike], confidence: float = 0.95, *, seed: int = 0
) -> pd.DataFrame:
    """All pairs of models, a row a pair; model_a is the more accurate of the two.

    Columns: model_a, model_b; runs_a, runs_b; accuracy_a, accuracy_b (percent, mean over runs); difference (points),
    low, high (its bootstrap interval, not corrected for the number of pairs); p; p_holm (p after Holm's correction over
    all pairs); mcnemar_p; significant (p_holm is below 1 - confidence); note (what a single run cannot tell, or empty).

    p is McNemar's where both have one run: it holds also where few images tell them apart, and the bootstrap does not.
    It is a little more careful than the interval, which may just leave out zero at a p above 0.05. Otherwise p is the
    bootstrap's, which also knows the spread between seeds.

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
    table["p_holm"] = holm(table["p"].to_numpy())
    table["significant"] = table["p_holm"] < 1 - confidence
    return table[list(COLUMNS)]


def critical_difference_groups(comparisons: pd.DataFrame) -> list[tuple[str, ...]]:
    """The bars of a critical-difference view: every largest set of models no two of which differ significantly.

    The view is Demšar's (2006, https://www.jmlr.org/papers/v7/demsar06a.html), here over the pairs of one test set.
    Models and bars are ordered by accuracy, the best first; a model that differs from all others is in no bar. A bar
    may leave out a model that lies between its ends, where that model's accuracy is known better than theirs.

    Args:
        comparisons: as `pairwise_comparisons` gives them.
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
    discordant = only_a + only_b
    if discordant < FEW_DISCORDANT:
        return float(stats.binomtest(only_a, discordant).pvalue) if discordant else 1.0
    return float(stats.chi2.sf(max(abs(only_a - only_b) - 1, 0) ** 2 / discordant, df=1))


def _paired(correct_a: ArrayLike, correct_b: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    a, b = as_runs(correct_a), as_runs(correct_b)
    if a.shape[1] != b.shape[1]:
        raise ValueError(f"models tested on {a.shape[1]} and on {b.shape[1]} images cannot be compared image by image")
    return a, b
