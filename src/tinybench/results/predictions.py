"""The predictions that a run left in predictions.npz: read back, scored, compared, averaged. No network is run."""

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import logsumexp

from tinybench import metrics
from tinybench.errors import UsageError, UserError, command
from tinybench.recipe import check_run_name
from tinybench.results.groups import group_runs, tested
from tinybench.results.runs import RunResults, attempt
from tinybench.runtime.files import check_output, has_keys, update_json


@dataclass(frozen=True)
class Predictions:
    """What one network, or an ensemble, predicts for the test images.

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
        return metrics.log_probabilities(self.logits)

    @cached_property
    def predicted(self) -> np.ndarray:
        """The likeliest class of each image, int64 (N,)."""
        return self.logits.argmax(1)

    @property
    def correct(self) -> np.ndarray:
        """Whether each prediction is correct, bool (N,)."""
        return self.predicted == self.labels


def read_predictions(results_dir: Path, run: str) -> Predictions:
    """predictions.npz of a run: the predictions of its best epoch for the test images.

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


def test_scores(run: RunResults) -> dict[str, Any]:
    """A run's test results, with the metrics that were not there yet when it was tested, from its predictions."""
    test = run.tests["best"]
    missing = {key: metric for key, metric in metrics.METRICS.items() if key not in test and not metric.imbalanced}
    if missing and test.get("weights", "best") == "best":
        with contextlib.suppress(UserError):  # without predictions, they stay unknown
            found = _read(run)
            test = test | {key: metric.compute(found.logits, found.labels) for key, metric in missing.items()}
    return test


def scores(predictions: Predictions) -> dict[str, float]:
    """Every metric, as in test_results.json."""
    return metrics.scores(predictions.logits, predictions.labels)


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
    """How alike the predictions of every two models are, a row a pair.

    Columns: model_a, model_b; agreement (share of the test images for which both predict the same class, correct or
    not); error_consistency (Geirhos et al. 2020, https://arxiv.org/abs/2006.16736), see `error_consistency`.

    Raises:
        UserError: the models were tested on different classes or images.
    """
    _require_same_images(list(predictions.values()))
    rows = [
        (name_a, name_b, float((a.predicted == b.predicted).mean()), error_consistency(a.correct, b.correct))
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


def predictions_by_recipe(runs: Sequence[RunResults]) -> dict[str, list[Predictions]]:
    """The predictions of the best epoch of every tested run that has them, by the label of its recipe.

    Damaged files are left out, and noticed.

    Raises:
        UserError: no run has any.
    """
    tested(runs)
    groups = group_runs(runs, lambda run: "best" in run.tests and (run.folder / "predictions.npz").exists())
    found = {group.label: [read for run in group.runs if (read := attempt(_read, run))] for group in groups}
    if not any(found.values()):
        raise UserError(f"no run has a readable predictions.npz; test them again with {command('src/test.py')}")
    return {label: members for label, members in found.items() if members}


def correct_by_recipe(runs: Sequence[RunResults]) -> dict[str, np.ndarray]:
    """Whether each prediction is correct, bool (runs, images) by recipe, for two recipes or more.

    Raises:
        UserError: there are no two tested recipes with predictions, or they are of different images.
    """
    by_recipe = predictions_by_recipe(runs)
    if len(by_recipe) < 2:
        raise UserError(f"only {next(iter(by_recipe))} has predictions; a comparison needs another tested recipe")
    return correct_by_model(by_recipe)


def pooled(members: Sequence[Predictions], name: str) -> Predictions:
    """The predictions of several runs one after the other, as if one run had seen each image several times."""
    logits, labels = (np.concatenate(arrays) for arrays in zip(*((m.logits, m.labels) for m in members), strict=True))
    return Predictions(name, logits, labels, members[0].class_ids)


def agreement_matrices(by_recipe: dict[str, list[Predictions]]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """How alike the predictions are: shares of equal ones in percent, and error consistency, of every two recipes.

    Means over the pairs of their runs; on the diagonal over the pairs of seeds, NaN where there is one seed.

    Raises:
        UserError: the runs were tested on different images.
    """
    runs = {(label, index): run for label, members in by_recipe.items() for index, run in enumerate(members)}
    numbers = {str(number): key for number, key in enumerate(runs)}
    pairs = agreement({number: runs[key] for number, key in numbers.items()})
    pairs["a"], pairs["b"] = (pairs[f"model_{side}"].map(lambda number: numbers[number][0]) for side in "ab")
    means = pairs.groupby(["a", "b"])[["agreement", "error_consistency"]].mean()
    labels = list(by_recipe)
    tables = []
    for column in means:
        table = means[column].unstack().reindex(index=labels, columns=labels)
        tables.append(table.combine_first(table.T).loc[labels, labels])
    return 100 * tables[0], tables[1]


def _read(run: RunResults) -> Predictions:
    return read_predictions(run.folder.parents[run.name.count("/")], run.name)


def _require_same_images(members: Sequence[Predictions]) -> None:
    first = members[0]
    for member in members[1:]:
        different = "classes" if member.class_ids != first.class_ids else "images"
        if different == "classes" or not np.array_equal(member.labels, first.labels):
            raise UserError(
                f"{first.name} and {member.name} were tested on different {different}; name runs of one data set, "
                f"or test them again: {command('src/test.py')}"
            )


FOLDER = "ensembles"
LONGEST_NAME = 200  # file systems allow 255 bytes


def write_ensemble(
    results_dir: Path, runs: Sequence[str], name: str = "", *, force: bool = False
) -> tuple[Path, dict[str, Any]]:
    """Average the probabilities of tested runs; write and return results_dir/ensembles/<name>.json and its content.

    The content: name; test_acc and test_top5_acc in percent, nll in nats, ece; the same of every member, with the name
    of its run; the numbers of classes and test images. Without a name, those of the runs are joined by +; a slash
    becomes an underscore.

    Args:
        force: replace whatever file is there.

    Raises:
        UsageError: fewer than two runs, one given twice, or a name that is no file name or that of another file.
        UserError: a run was not tested, its file is damaged, or the runs were tested on different classes or images.
    """
    if len(runs) < 2 or len(set(runs)) < len(runs):
        raise UsageError("--run needs at least two runs, each once, such as --run resnet vit")
    if "/" in name or "\\" in name or name.startswith("."):
        raise UsageError(f"--name {name}: a name has no slash and does not begin with a dot")
    name = name or "+".join(runs).replace("/", "_")
    if len(name.encode()) > LONGEST_NAME:
        raise UsageError("the names of the runs joined are too long for the name of a file; give a shorter --name")
    members = [read_predictions(results_dir, run) for run in runs]
    together = ensemble(members)
    results = {
        "name": name,
        **scores(together),
        "members": [{"run": member.name, **scores(member)} for member in members],
        "classes": len(together.class_ids),
        "test_images": len(together.labels),
    }
    path = results_dir / FOLDER / f"{name}.json"
    check_output(path, force, has_keys("name", "test_acc"))
    update_json(path, results)
    return path, results
