"""METRICS: what test.py computes from logits (N, classes) and labels (N,), and how every table and the report name it.

A new metric is one function and one entry: it then stands in test_results.json, model_comparison.csv, the files of
ensembles and the report. NumPy alone, so that what reads results need not wait for torch; tensors must be on the CPU.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.special import log_softmax

from tinybench.errors import printable


@dataclass(frozen=True, kw_only=True)
class Metric:
    """How a number is computed, called, printed and ranked.

    Attributes:
        compute: from logits and labels.
        title, unit, help: in the report.
        better: which end of it.
        digits: after the decimal point, in the report.
        line: how the console's line of results says it.
        interval: whether model_comparison.csv bounds the mean over seeds.
        imbalanced: whether it is computed only where the classes differ in size.
    """

    compute: Callable[[np.ndarray, np.ndarray], float]
    title: str
    unit: str = ""
    better: Literal["high", "low"]
    digits: int
    line: str
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
    numbers = "   ".join(metric.line.format(results[key]) for key, metric in METRICS.items() if key in results)
    return f"{printable(name):<24} {numbers}"
