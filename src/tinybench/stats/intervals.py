"""Confidence intervals of accuracies, over seeds and over test images.

Accuracies are in percent. `correct` says which predictions are correct: bool (N,) for one run on N test images, or
(runs, N) for the runs of one recipe with different seeds.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtri, stdtrit

RESAMPLES = 10_000


class Interval(NamedTuple):
    """A mean and the bounds of its confidence interval, which are None for the mean over a single seed."""

    mean: float
    low: float | None
    high: float | None


def mean_interval(values: Sequence[float] | np.ndarray, confidence: float = 0.95) -> Interval:
    """Student's t interval of the mean over seeds, in the unit of the values.

    It covers the mean over infinitely many seeds, on these test images.

    Raises:
        ValueError: there are no values.
    """
    count = len(values)
    if not count:
        raise ValueError("no values to average")
    mean = float(np.mean(values))
    if count == 1:
        return Interval(mean, None, None)
    half = float(stdtrit(count - 1, 0.5 + confidence / 2)) * standard_error(values)
    return Interval(mean, mean - half, mean + half)


def standard_error(values: Sequence[float] | np.ndarray) -> float:
    """Of the mean of two or more values."""
    return float(np.std(values, ddof=1)) / len(values) ** 0.5


def bootstrap_interval(
    correct: ArrayLike, confidence: float = 0.95, *, resamples: int = RESAMPLES, seed: int = 0
) -> Interval:
    """Percentile bootstrap interval of the accuracy, in percent.

    Args:
        correct: (N,) for the accuracy of one network on other images of the same distribution; (runs, N) for the mean
            accuracy of a recipe over other images and other seeds, see `bootstrap_mean`.

    Raises:
        ValueError: there are no runs or no images.
    """
    runs = as_runs(correct)
    found = bootstrap_mean(runs.mean(0), [seed_error(runs)], confidence, resamples=resamples, seed=seed)
    return Interval(100 * float(runs.mean()), 100 * found.low, 100 * found.high)


class BootstrapMean(NamedTuple):
    """Bounds of the interval of a mean, its standard error, and the degrees of freedom of that error."""

    low: float
    high: float
    error: float
    freedom: float


def bootstrap_mean(
    per_image: np.ndarray,
    seed_errors: Sequence[tuple[float, int]],
    confidence: float,
    *,
    resamples: int,
    seed: int,
) -> BootstrapMean:
    """Bootstrap interval of a mean over test images and seeds (Efron 1979, https://doi.org/10.1214/aos/1176344552).

    Images are resampled with replacement, and the percentiles of the resampled means are the bounds. Two or three seeds
    are too few to be resampled: their spread would be far too small. Instead, the error due to seeds is drawn from a
    normal distribution, and the bounds are widened by the ratio of Student's t to the normal quantile, with the
    Welch–Satterthwaite degrees of freedom (https://doi.org/10.2307/3002019). In simulations, 95 % intervals covered the
    true mean in 92 to 96 % of the cases with three seeds, and in 91 % with two seeds that differ much.

    `scipy.stats.bootstrap` has no such second source of variance, and resamples every image instead of every value.

    Args:
        per_image: (N,), averaged over seeds.
        seed_errors: for every recipe that `per_image` depends on, see `seed_error`.
    """
    rng = np.random.default_rng(seed)
    # Images with equal values are interchangeable, so it suffices to resample how often each value occurs.
    values, counts = np.unique(per_image, return_counts=True)
    means = rng.multinomial(len(per_image), counts / len(per_image), size=resamples) @ values / len(per_image)
    for error, _ in seed_errors:
        means += error * rng.standard_normal(resamples)
    error = float(means.std())
    welch = sum(error**4 / freedom for error, freedom in seed_errors if error)
    freedom = error**4 / welch if welch else float("inf")
    tails = np.array([0.5 - confidence / 2, 0.5 + confidence / 2])
    wider = stdtrit(freedom, tails[1]) / ndtri(tails[1])
    low, high = per_image.mean() + wider * (np.quantile(means, tails) - per_image.mean())
    return BootstrapMean(float(low), float(high), error, freedom)


def seed_error(runs: np.ndarray) -> tuple[float, int]:
    """Standard error of the mean of `runs` (runs, N) due to the choice of seeds, and its degrees of freedom.

    A small part of it is due to the images, which the bootstrap counts as well; subtracting that part would too often
    set the spread of two or three seeds to zero. It is (0, 0) for one run, which tells nothing about other seeds.
    """
    count = len(runs)
    return (standard_error(runs.mean(1)), count - 1) if count > 1 else (0.0, 0)


def as_runs(correct: ArrayLike) -> np.ndarray:
    """`correct` as float64 (runs, N) of zeros and ones.

    Raises:
        ValueError: it has another shape or other values, or is empty.
    """
    runs = np.atleast_2d(np.asarray(correct, dtype=np.float64))
    if runs.ndim != 2 or not runs.size:
        raise ValueError(f"correct must be (images,) or (runs, images), not {runs.shape}")
    if not np.isin(runs, (0, 1)).all():
        raise ValueError("correct must hold True and False only")
    return runs
