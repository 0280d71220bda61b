"""The predictions of many runs, by recipe."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from tinybench.errors import UserError
from tinybench.results.groups import group_runs, tested
from tinybench.results.predictions import Predictions, agreement, correct_by_model, read_predictions
from tinybench.results.runs import RunResults, attempt


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
        raise UserError("no run has a readable predictions.npz; test them again with python src/test.py")
    return {label: members for label, members in found.items() if members}


def correct_by_recipe(runs: Sequence[RunResults]) -> dict[str, np.ndarray]:
    """Whether each answer is right, bool (runs, images) by recipe, for two recipes or more.

    Raises:
        UserError: there are no two tested recipes with predictions, or they are of different images.
    """
    by_recipe = predictions_by_recipe(runs)
    if len(by_recipe) < 2:
        raise UserError(f"only {next(iter(by_recipe))} has predictions; a comparison needs another tested recipe")
    return correct_by_model(by_recipe)


def pooled(members: Sequence[Predictions], name: str) -> Predictions:
    """The answers of several runs one after the other, as if one run had seen each image several times."""
    logits, labels = (np.concatenate(arrays) for arrays in zip(*((m.logits, m.labels) for m in members), strict=True))
    return Predictions(name, logits, labels, members[0].class_ids)


def agreement_matrices(by_recipe: dict[str, list[Predictions]]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """How alike the answers are: shares of equal answers in percent, and error consistency, of every two recipes.

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
