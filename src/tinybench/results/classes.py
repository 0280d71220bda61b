"""Correct and wrong predictions by class, out of the confusion matrices of the tests."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import Any

import numpy as np
import pandas as pd

from tinybench.errors import UserError, command
from tinybench.results.groups import SeedGroup, tested
from tinybench.results.runs import RunResults, attempt


@dataclass(frozen=True)
class ClassResults:
    """Predictions of one recipe, summed over its seeds.

    Attributes:
        ids, names: of the classes, in the order of the matrix; two classes may share a name.
        confusion: counts (classes, classes), rows the labels, columns the predictions.
    """

    ids: tuple[str, ...]
    names: tuple[str, ...]
    confusion: np.ndarray

    @property
    def accuracy(self) -> np.ndarray:
        """Percent right of each class (classes,); NaN for a class without test images."""
        images = self.confusion.sum(1)
        return np.divide(100 * self.confusion.diagonal(), images, out=np.full(len(images), np.nan), where=images > 0)

    def __add__(self, other: "ClassResults") -> "ClassResults":
        """The predictions of both, which are of the same classes."""
        return ClassResults(self.ids, self.names, self.confusion + other.confusion)


def run_classes(run: RunResults) -> ClassResults:
    """The class results of one tested run.

    Raises:
        UserError: its test results are damaged.
    """
    path = run.folder / "test_results.json"
    if "confusion_matrix" not in run.tests["best"]:
        raise UserError(f"{path} states no predictions by class")
    try:
        return classes_of(run.tests["best"])
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"{path} has no valid confusion matrix; test that run again with {command('src/test.py')}"
        ) from error


def classes_of(test: dict[str, Any]) -> ClassResults:
    """The class results in what test_results.json holds.

    Raises:
        KeyError, TypeError, ValueError: it is damaged.
    """
    ids, names = tuple(test["per_class_accuracy"]), tuple(str(name) for name in test["class_names"])
    confusion = np.array(test["confusion_matrix"], dtype=np.int64)
    if not confusion.shape == (len(ids), len(names)) == (len(names), len(ids)):
        raise ValueError(f"{len(ids)} ids and {len(names)} names of a matrix {confusion.shape}")
    return ClassResults(ids, names, confusion)


def class_results(group: SeedGroup) -> ClassResults:
    """The class results of a recipe whose runs were tested; those that are damaged or missing are noticed.

    Raises:
        UserError: its seeds were tested on different classes, or none has results by class.
    """
    results = [found for run in group.runs if (found := attempt(run_classes, run))]
    if not results:
        raise UserError(f"{group.label} has no results by class; test it again with {command('src/test.py')}")
    if len({found.ids for found in results}) > 1:
        raise UserError(f"the seeds of {group.label} were tested on different classes; test them again")
    return reduce(add, results)


def class_table(runs: Sequence[RunResults]) -> pd.DataFrame:
    """Percent right of each class, hardest class first: a row a class (id, name), a column a recipe.

    Recipes without results by class are left out, and noticed.

    Raises:
        UserError: no run was tested, or they were tested on different classes.
    """
    results = {group.label: found for group in tested(runs) if (found := attempt(class_results, group))}
    if not results:
        raise UserError(f"no test results hold the classes; test again with {command('src/test.py')}")
    first = next(iter(results.values()))
    if any(found.ids != first.ids for found in results.values()):
        raise UserError("the runs were tested on different classes, which cannot be compared class by class")
    index = pd.MultiIndex.from_arrays([first.ids, first.names], names=["id", "name"])
    table = pd.DataFrame({label: found.accuracy for label, found in results.items()}, index=index)
    return table.iloc[table.mean(axis=1).argsort(kind="stable")]


def mistakes_of(results: ClassResults) -> pd.DataFrame:
    """The kinds of mistakes, the commonest first.

    Columns: true, predicted (names of the classes); true_label, predicted_label (their numbers); images (how many);
    share (percent of the true class's images).
    """
    wrong = results.confusion.copy()
    np.fill_diagonal(wrong, 0)
    true, predicted = np.nonzero(wrong)
    images = wrong[true, predicted]
    table = pd.DataFrame(
        {
            "true": [results.names[label] for label in true],
            "predicted": [results.names[label] for label in predicted],
            "true_label": true,
            "predicted_label": predicted,
            "images": images,
            "share": 100 * images / results.confusion.sum(1)[true],
        }
    )
    return table.sort_values("images", ascending=False, kind="stable", ignore_index=True)
