from dataclasses import dataclass

from scipy import stats


@dataclass(frozen=True)
class Interval:
    mean: float
    low: float | None
    high: float | None
    count: int


def mean_interval(values, confidence=0.95):
    import numpy as np

    n = len(values)
    m = float(np.mean(values))
    if n < 2:
        return Interval(m, None, None, n)
    h = stats.t.ppf(0.5 + confidence / 2, n - 1) * np.std(values, ddof=1) / n**0.5
    return Interval(m, m - h, m + h, n)
