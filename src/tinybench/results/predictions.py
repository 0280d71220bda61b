"""The answers that a run left in predictions.npz: read back, scored, compared and averaged. No network is run."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.special import log_softmax, logsumexp

from tinybench.errors import UserError, command
from tinybench.recipe import check_run_name


@dataclass(frozen=True)
class Predictions:
    """What one network, or an ensemble, answers to the test images.

    Attributes:
        name: of the run; of an ensemble, its runs joined by +.
        logits: float32 (N, classes); of an ensemble, logarithms of probabilities.
        labels: int64 (N,).
        class_ids: of the columns of the logits.
    """

    name: str
    logits: np.ndarray
    labels: np.ndarray
    class_ids: tuple[str, ...]

    @cached_property
    def log_probabilities(self) -> np.ndarray:
        """float64 (N, classes)."""
        return log_softmax(self.logits.astype(np.float64), axis=1)

    @cached_property
    def answers(self) -> np.ndarray:
        """The likeliest class of each image, int64 (N,)."""
        return self.logits.argmax(1)

    @property
    def correct(self) -> np.ndarray:
        """Whether each answer is right, bool (N,)."""
        return self.answers == self.labels


def read_predictions(results_dir: Path, run: str) -> Predictions:
    """predictions.npz of a run: what its best epoch answered to the test images.

    Raises:
        UsageError: the run's name leads out of `results_dir`.
        UserError: the file is missing or damaged, or holds NaN.
    """
    check_run_name(run, "run")
    path = results_dir / run / "predictions.npz"
    test = command("src/test.py", "--run", run)
    again = f"test that run again: {test}"
    if not path.exists():
        raise UserError(f"{path} does not exist; test that run first: {test}")
    try:
        with np.load(path) as file:
            logits, labels = file["logits"].astype(np.float32), file["labels"].astype(np.int64)
            class_ids = tuple(file["class_ids"].tolist())
    except Exception as error:  # numpy and zipfile raise whatever their reading of a damaged file comes to
        raise UserError(f"{path} is damaged; {again}") from error
    fits = logits.ndim == 2 and labels.shape == logits.shape[:1] and len(class_ids) == logits.shape[1]
    if not fits or not labels.size or not 0 <= labels.min() <= labels.max() < len(class_ids):
        raise UserError(f"{path} is damaged: its logits, labels and classes do not fit each other; {again}")
    if not np.isfinite(logits).all():
        raise UserError(f"{path} holds NaN or infinity; train that run again with a lower --lr")
    return Predictions(run, logits, labels, class_ids)


def scores(predictions: Predictions) -> dict[str, float]:
    """test_acc and test_top5_acc in percent, nll in nats, ece in [0, 1], as in test_results.json."""
    true = predictions.log_probabilities[np.arange(len(predictions.labels)), predictions.labels]
    bins = reliability_table(predictions)
    gaps = bins["count"] * (bins["confidence"] - bins["accuracy"]).abs()
    return {
        "test_acc": topk_accuracy(predictions, 1),
        "test_top5_acc": topk_accuracy(predictions, 5),
        "nll": -float(true.mean()),
        "ece": float(gaps.sum() / bins["count"].sum()),
    }


def topk_accuracy(predictions: Predictions, k: int) -> float:
    """Percent of images whose label is among the k largest logits; of equal logits the first class goes before."""
    top = np.argsort(-predictions.logits, axis=1, kind="stable")[:, :k]
    return 100 * int((top == predictions.labels[:, None]).sum()) / len(top)


def reliability_table(predictions: Predictions, bins: int = 15) -> pd.DataFrame:
    """A reliability diagram's numbers (Guo et al. 2017, https://arxiv.org/abs/1706.04599): a row a bin of equal width.

    Columns: low, high (bounds of the bin); confidence, accuracy (means of its images, in [0, 1]; NaN in an empty bin);
    count (images).
    """
    confidence = np.exp(predictions.log_probabilities.max(1))
    # A confidence of 1 belongs to the last bin.
    index = np.minimum((confidence * bins).astype(int), bins - 1)
    count = np.bincount(index, minlength=bins)
    with np.errstate(invalid="ignore"):  # an empty bin: 0 / 0 is the NaN that is wanted
        return pd.DataFrame(
            {
                "low": np.arange(bins) / bins,
                "high": np.arange(1, bins + 1) / bins,
                "confidence": np.bincount(index, confidence, bins) / count,
                "accuracy": np.bincount(index, predictions.correct, bins) / count,
                "count": count,
            }
        )


def ensemble(members: Sequence[Predictions]) -> Predictions:
    """The mean of the members' probabilities (Lakshminarayanan et al. 2017, https://arxiv.org/abs/1612.01474).

    Raises:
        UserError: the members were tested on different classes or images.
        ValueError: there are no members.
    """
    if not members:
        raise ValueError("an ensemble needs members")
    _require_same_images(members)
    total = logsumexp([member.log_probabilities for member in members], axis=0)
    return Predictions(
        name="+".join(member.name for member in members),
        logits=(total - np.log(len(members))).astype(np.float32),
        labels=members[0].labels,
        class_ids=members[0].class_ids,
    )


def agreement(predictions: Mapping[str, Predictions]) -> pd.DataFrame:
    """How alike the answers of every two models are, a row a pair.

    Columns: model_a, model_b; agreement (share of the test images to which both answer the same, right or wrong);
    error_consistency (Geirhos et al. 2020, https://arxiv.org/abs/2006.16736), see `error_consistency`.

    Raises:
        UserError: the models were tested on different classes or images.
    """
    _require_same_images(list(predictions.values()))
    rows = [
        (name_a, name_b, float((a.answers == b.answers).mean()), error_consistency(a.correct, b.correct))
        for (name_a, a), (name_b, b) in combinations(predictions.items(), 2)
    ]
    return pd.DataFrame(rows, columns=["model_a", "model_b", "agreement", "error_consistency"])


def error_consistency(correct_a: np.ndarray, correct_b: np.ndarray) -> float:
    """Cohen's kappa of two models being right, bool (N,) each.

    It is 1 when both fail on the same images, 0 when they do so as often as chance would have it at their accuracies,
    and NaN when both are always right, or both always wrong.
    """
    a, b = correct_a.mean(), correct_b.mean()
    by_chance = a * b + (1 - a) * (1 - b)
    return float(((correct_a == correct_b).mean() - by_chance) / (1 - by_chance)) if by_chance < 1 else float("nan")


def correct_by_model(runs_by_model: Mapping[str, Sequence[Predictions]]) -> dict[str, np.ndarray]:
    """bool (runs, N) for each model, as `significance.pairwise_comparisons` takes it.

    Raises:
        UserError: the runs were tested on different classes or images.
    """
    _require_same_images([run for runs in runs_by_model.values() for run in runs])
    return {model: np.stack([run.correct for run in runs]) for model, runs in runs_by_model.items()}


def _require_same_images(members: Sequence[Predictions]) -> None:
    first = members[0]
    for member in members[1:]:
        different = "classes" if member.class_ids != first.class_ids else "images"
        if different == "classes" or not np.array_equal(member.labels, first.labels):
            raise UserError(
                f"{first.name} and {member.name} were tested on different {different}; name runs of one data set, "
                "or test them again: python src/test.py"
            )
