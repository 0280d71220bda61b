"""METRICS: what test.py computes from logits (N, classes) and labels (N,), and how every table and the report name it.

A new metric is one function and one entry: it then stands in test_results.json, model_comparison.csv, the files of
ensembles and the report. NumPy alone, so that what reads results need not wait for torch; tensors must be on the CPU.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.special import log_softmax, logsumexp

from tinybench.errors import printable

COVERAGE = 0.8  # the share of the images that a network with a choice answers
CONFORMAL = 0.9  # the share of the images whose label has to be in the set


@dataclass(frozen=True, kw_only=True)
class Metric:
    """How a number is computed, called, printed and ranked.

    Attributes:
        compute: from logits and labels.
        title, unit, help: in the report.
        better: which end of it.
        digits: after the decimal point, in the report.
        line: how the console's line of results says it; empty: not at all.
        interval: whether model_comparison.csv bounds the mean over seeds.
        imbalanced: whether it is computed only where the classes differ in size.
    """

    compute: Callable[[np.ndarray, np.ndarray], float]
    title: str
    unit: str = ""
    better: Literal["high", "low"]
    digits: int
    line: str = ""
    interval: bool = False
    imbalanced: bool = False
    help: str


def topk_accuracy(logits: ArrayLike, labels: ArrayLike, k: int) -> float:
    """Percent of images whose label is among the k largest logits, k may exceed the number of classes.

    Of equal logits the first class goes before, on every device; a NaN as the label's logit counts as a mistake.
    """
    logits, labels = np.asarray(logits), np.asarray(labels)[:, None]
    true = np.take_along_axis(logits, labels, 1)
    ties = (logits == true) & (np.arange(logits.shape[1]) < labels)
    rank = (~(logits <= true) | ties).sum(1)
    return 100 * int((rank < k).sum()) / len(logits)


def nll(logits: ArrayLike, labels: ArrayLike) -> float:
    """Mean negative log-likelihood of the labels (cross entropy), in nats."""
    return -float(np.take_along_axis(log_probabilities(logits), np.asarray(labels)[:, None], 1).mean())


def ece(logits: ArrayLike, labels: ArrayLike, bins: int = 15) -> float:
    """Expected calibration error in [0, 1] (Guo et al. 2017, https://arxiv.org/abs/1706.04599), bins of equal width."""
    table = reliability_table(logits, labels, bins)
    return float((table["count"] * (table["confidence"] - table["accuracy"]).abs()).sum() / table["count"].sum())


def log_probabilities(logits: ArrayLike) -> np.ndarray:
    """float64 (N, classes)."""
    return np.asarray(log_softmax(np.asarray(logits).astype(np.float64), axis=1))


def reliability_table(logits: ArrayLike, labels: ArrayLike, bins: int = 15) -> pd.DataFrame:
    """A reliability diagram's numbers (Guo et al. 2017, https://arxiv.org/abs/1706.04599): a row a bin of equal width.

    Columns: low, high (bounds of the bin); confidence, accuracy (means of its images, in [0, 1]; NaN in an empty bin);
    count (images).
    """
    confidence = np.exp(log_probabilities(logits).max(1))
    # A confidence of 1 belongs to the last bin.
    index = np.minimum((confidence * bins).astype(int), bins - 1)
    count = np.bincount(index, minlength=bins)
    correct = np.asarray(logits).argmax(1) == np.asarray(labels)
    with np.errstate(invalid="ignore"):  # an empty bin: 0 / 0 is the NaN that is wanted
        return pd.DataFrame(
            {
                "low": np.arange(bins) / bins,
                "high": np.arange(1, bins + 1) / bins,
                "confidence": np.bincount(index, confidence, bins) / count,
                "accuracy": np.bincount(index, correct, bins) / count,
                "count": count,
            }
        )


def max_probability(logits: ArrayLike) -> np.ndarray:
    """How sure a network is of its first class, float64 (N,) in [0, 1] (Hendrycks and Gimpel 2017,
    https://arxiv.org/abs/1610.02136)."""
    return np.exp(log_probabilities(logits).max(1))


def negative_energy(logits: ArrayLike) -> np.ndarray:
    """The logarithm of the sum of the exponentials of the logits, float64 (N,), which is large for images like those
    trained on (Liu et al. 2020, https://arxiv.org/abs/2010.03759)."""
    return np.asarray(logsumexp(np.asarray(logits).astype(np.float64), axis=1))


def auroc(higher: ArrayLike, lower: ArrayLike) -> float:
    """The probability that a score of the first kind is above one of the second; equal ones count half."""
    first, second = np.asarray(higher), np.sort(np.asarray(lower))
    below, up_to = (np.searchsorted(second, first, side) for side in ("left", "right"))
    return float((below + up_to).mean() / 2 / len(second))


def error_auroc(logits: ArrayLike, labels: ArrayLike) -> float:
    """Of the maximum probability, for right against wrong answers; 0.5 where all are right, or all wrong."""
    score, correct = max_probability(logits), np.asarray(logits).argmax(1) == np.asarray(labels)
    return auroc(score[correct], score[~correct]) if 0 < correct.sum() < len(correct) else 0.5


def selective_accuracy(logits: ArrayLike, labels: ArrayLike, coverage: float = COVERAGE) -> float:
    """Percent right among the images that the network is surest of (Geifman and El-Yaniv 2017,
    https://arxiv.org/abs/1705.08500).

    Args:
        coverage: the share of the images that it answers.
    """
    surest = np.argsort(-max_probability(logits), kind="stable")[: math.ceil(coverage * len(np.asarray(labels)))]
    return 100 * float((np.asarray(logits).argmax(1) == np.asarray(labels))[surest].mean())


def conformal_set_size(logits: ArrayLike, labels: ArrayLike, coverage: float = CONFORMAL) -> float:
    """Mean number of classes in the smallest sets that hold the label of so large a share of images, at least, whatever
    the network's probabilities are worth (split conformal prediction, Sadinle et al. 2019,
    https://arxiv.org/abs/1609.00451).

    A set holds the classes above a threshold. It is found on every other image, for the images between them, and the
    other way round: test images stand class by class, so that both halves have as many of each.
    """
    probabilities, labels = np.exp(log_probabilities(logits)), np.asarray(labels)
    of_label = np.take_along_axis(probabilities, labels[:, None], 1)[:, 0]
    sizes = []
    for half in (0, 1):
        known = np.sort(of_label[half::2])
        allowed = math.floor((1 - coverage) * (len(known) + 1))  # labels that may be left out
        threshold = known[allowed - 1] if allowed else 0.0
        sizes.append((probabilities[1 - half :: 2] >= threshold).sum(1))
    return float(np.concatenate(sizes).mean())


def confusion_matrix(logits: ArrayLike, labels: ArrayLike) -> np.ndarray:
    """Counts, int64 (classes, classes): rows are the labels, columns the predictions."""
    logits, labels = np.asarray(logits), np.asarray(labels)
    classes = logits.shape[1]
    return np.bincount(labels * classes + logits.argmax(1), minlength=classes**2).reshape(classes, classes)


def per_class_accuracy(confusion: np.ndarray) -> np.ndarray:
    """Percent right of each label, float64 (classes,); NaN for a class without images."""
    with np.errstate(invalid="ignore"):
        return 100 * confusion.diagonal() / confusion.sum(1)


def scores_by_class(confusion: np.ndarray) -> pd.DataFrame:
    """A row a class. Columns: precision, recall, f1 (percent; NaN where they divide by 0), support (its images)."""
    right, support, predicted = confusion.diagonal(), confusion.sum(1), confusion.sum(0)
    with np.errstate(invalid="ignore"):
        return pd.DataFrame(
            {
                "precision": 100 * right / predicted,
                "recall": per_class_accuracy(confusion),
                "f1": 200 * right / (support + predicted),
                "support": support,
            }
        )


def macro_mean(logits: ArrayLike, labels: ArrayLike, column: str) -> float:
    """The mean of a column of `scores_by_class` over the classes that have images."""
    table = scores_by_class(confusion_matrix(logits, labels))
    return float(table.loc[table["support"] > 0, column].mean())


def imbalanced(labels: ArrayLike) -> bool:
    """Whether the classes that have images differ in size."""
    return len(set(np.bincount(labels).tolist()) - {0}) > 1


METRICS: dict[str, Metric] = {
    "test_acc": Metric(
        compute=lambda logits, labels: topk_accuracy(logits, labels, 1),
        title="Top-1", unit="%", better="high", digits=2, line="top-1 {:6.2f} %", interval=True,
        help="Test images whose class the network puts first; the mean over seeds, below it the 95 % interval where "
        "there are two seeds or more.",
    ),
    "test_macro_acc": Metric(
        compute=lambda logits, labels: macro_mean(logits, labels, "recall"), imbalanced=True,
        title="Macro accuracy", unit="%", better="high", digits=2, line="macro {:6.2f} %", interval=True,
        help="Mean of the classes' accuracies: a class counts the same, however few test images it has.",
    ),
    "test_macro_f1": Metric(
        compute=lambda logits, labels: macro_mean(logits, labels, "f1"), imbalanced=True,
        title="Macro F1", unit="%", better="high", digits=2, line="macro F1 {:6.2f} %", interval=True,
        help="Mean over the classes of F1, the harmonic mean of precision and recall.",
    ),
    "test_top5_acc": Metric(
        compute=lambda logits, labels: topk_accuracy(logits, labels, 5),
        title="Top-5", unit="%", better="high", digits=2, line="top-5 {:6.2f} %", interval=True,
        help="Test images whose class is among the network's first five.",
    ),
    "nll": Metric(
        compute=nll, title="NLL", unit="nats", better="low", digits=3, line="NLL {:.4f}",
        help="Mean negative log-likelihood of the right class; it punishes confident mistakes.",
    ),
    "ece": Metric(
        compute=ece, title="ECE", better="low", digits=3, line="ECE {:.4f}",
        help="Expected calibration error: how far confidence and accuracy lie apart; 0 is perfect.",
    ),
    "selective_acc": Metric(
        compute=selective_accuracy, title=f"Top-1, surest {100 * COVERAGE:.0f} %", unit="%", better="high", digits=2,
        help=f"Top-1 on the {100 * COVERAGE:.0f} % of the test images whose first class is the most probable: what a "
        "network is worth that may leave the others to somebody else.",
    ),
    "error_auroc": Metric(
        compute=error_auroc, title="AUROC of errors", better="high", digits=3,
        help="How often the first class of a right answer is more probable than that of a wrong one; 0.5 is chance.",
    ),
    "conformal_set_size": Metric(
        compute=conformal_set_size, title=f"Classes for {100 * CONFORMAL:.0f} %", better="low", digits=1,
        help=f"Mean size of the sets of classes that hold the right one for {100 * CONFORMAL:.0f} % of images or more "
        "(split conformal prediction, one half of the test images setting the threshold for the other).",
    ),
}  # fmt: skip


def metrics_for(labels: ArrayLike) -> dict[str, Metric]:
    """The entries of METRICS that a test on images of these labels has."""
    differ = imbalanced(labels)
    return {key: metric for key, metric in METRICS.items() if differ or not metric.imbalanced}


def scores(logits: ArrayLike, labels: ArrayLike) -> dict[str, float]:
    """Every metric that there is for these labels, by its key in test_results.json."""
    arrays = np.asarray(logits), np.asarray(labels)
    return {key: metric.compute(*arrays) for key, metric in metrics_for(labels).items()}


def score_line(name: str, results: Mapping[str, Any]) -> str:
    """The metrics of a run or an ensemble as a row of the console's table."""
    known = {key: metric for key, metric in METRICS.items() if key in results and metric.line}
    numbers = "   ".join(metric.line.format(results[key]) for key, metric in known.items())
    return f"{printable(name):<24} {numbers}"
