"""How sure a measured accuracy is: intervals over seeds and over test images.

Accuracies are in percent. `correct` says of each test image whether a run's answer is right: bool (N,), or (runs, N)
for the runs of one recipe with different seeds.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

RESAMPLES = 10_000


@dataclass(frozen=True)
class Interval:
    """A mean with the bounds of its confidence interval.

    Attributes:
        low, high: None where there is no interval, which is so for the mean over a single seed.
        count: how many values went into the mean: seeds or images.
    """

    mean: float
    low: float | None
    high: float | None
    count: int

    def describe(self, digits: int = 2) -> str:
        """In words, such as 33.20 (29.21 to 37.19) or 33.20 (one seed: no interval)."""
        if self.low is None or self.high is None:
            return f"{self.mean:.{digits}f} (one seed: no interval)"
        return f"{self.mean:.{digits}f} ({self.low:.{digits}f} to {self.high:.{digits}f})"


def mean_interval(values: Sequence[float] | np.ndarray, confidence: float = 0.95) -> Interval:
    """Student's t interval of the mean over seeds, in the unit of the values; one seed has none.

    It answers where the mean over infinitely many seeds would lie, on these test images.

    Raises:
        ValueError: there are no values.
    """
    count = len(values)
    if not count:
        raise ValueError("no values to average")
    mean = float(np.mean(values))
    if count == 1:
        return Interval(mean, None, None, 1)
    half = float(stats.t.ppf(0.5 + confidence / 2, count - 1) * np.std(values, ddof=1) / count**0.5)
    return Interval(mean, mean - half, mean + half, count)


def wilson_interval(right: int, total: int, confidence: float = 0.95) -> Interval:
    """Wilson's interval of one network's accuracy over test images, in percent (https://doi.org/10.1080/01621459.1927.10502953).

    Unlike the plain normal interval it stays within 0 and 100 and holds for few images, too.

    Raises:
        ValueError: not 0 <= right <= total, or no images.
    """
    bounds = stats.binomtest(right, total).proportion_ci(confidence, method="wilson")
    return Interval(100 * right / total, 100 * float(bounds.low), 100 * float(bounds.high), total)


def bootstrap_interval(
    correct: ArrayLike, confidence: float = 0.95, *, resamples: int = RESAMPLES, seed: int = 0
) -> Interval:
    """Percentile bootstrap interval of the accuracy, in percent: over test images, and over seeds if there are several.

    Args:
        correct: (N,) for one network, whose accuracy on other images of the kind is asked; (runs, N) for the mean
            accuracy of a recipe over other images and other seeds, see `bootstrap_means`.

    Raises:
        ValueError: there are no runs or no images.
    """
    runs = as_runs(correct)
    means = 100 * bootstrap_means(runs.mean(0), seed_errors=[seed_error(runs)], resamples=resamples, seed=seed)
    low, high = percentiles(means, confidence)
    return Interval(100 * float(runs.mean()), low, high, runs.shape[1])


def bootstrap_means(
    per_image: np.ndarray, *, seed_errors: Sequence[tuple[float, int]], resamples: int, seed: int
) -> np.ndarray:
    """Means that other test images and other seeds might have given (https://doi.org/10.1214/aos/1176344552).

    Images are drawn with replacement. Seeds are too few for that: two or three, drawn with replacement, spread far less
    than seeds do (in simulations, 95 % intervals then missed the truth in up to 18 % of the cases). Instead, each
    recipe's error over seeds is drawn from Student's t distribution.

    Args:
        per_image: (N,), averaged over seeds.
        seed_errors: of every recipe that went into `per_image`, as `seed_error` gives it.

    Returns:
        (resamples,)
    """
    rng = np.random.default_rng(seed)
    # Images with the same value are drawn together: a few distinct values stand for thousands of images.
    values, counts = np.unique(per_image, return_counts=True)
    means = rng.multinomial(len(per_image), counts / len(per_image), size=resamples) @ values / len(per_image)
    for error, freedom in seed_errors:
        if error:
            means += error * rng.standard_t(freedom, resamples)
    return means


def seed_error(runs: np.ndarray) -> tuple[float, int]:
    """Standard error that the choice of seeds adds to the mean of `runs` (runs, N), and its degrees of freedom.

    The spread of the runs' means less what the images alone would cause (two-way analysis of variance, both random), so
    that the images' part is not counted twice. It is (0, 0) for one run: nothing is known of other seeds.
    """
    count, images = runs.shape
    if count == 1:
        return 0.0, 0
    residuals = runs - runs.mean(0) - runs.mean(1, keepdims=True) + runs.mean()
    between = runs.mean(1).var(ddof=1) / count
    noise = (residuals**2).sum() / ((count - 1) * max(images - 1, 1)) / (count * images)
    return float(max(between - noise, 0.0) ** 0.5), count - 1


def percentiles(values: np.ndarray, confidence: float) -> tuple[float, float]:
    """The bounds that leave out the same share of `values` on both sides."""
    low, high = np.quantile(values, [0.5 - confidence / 2, 0.5 + confidence / 2])
    return float(low), float(high)


def as_runs(correct: ArrayLike) -> np.ndarray:
    """(N,) or (runs, N) as float64 (runs, N) of zeros and ones.

    Raises:
        ValueError: it has another shape or other values, or is empty.
    """
    runs = np.atleast_2d(np.asarray(correct, dtype=np.float64))
    if runs.ndim != 2 or not runs.size:
        raise ValueError(f"correct must be (images,) or (runs, images), not {runs.shape}")
    if not np.isin(runs, (0, 1)).all():
        raise ValueError("correct must hold True and False only")
    return runs
