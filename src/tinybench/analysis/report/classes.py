"""Accuracy by class and the commonest mistakes of a row, out of the confusion matrices of its seeds."""

from typing import Any

import numpy as np

from tinybench.analysis.report.runs import Run, rounded

# What the page keeps of a matrix of 200 x 200 numbers.
PAIRS = 40
MISTAKES_PER_CLASS = 3


def class_list(run: Run) -> list[list[str]] | None:
    """[id, name] of every class in the order of the confusion matrix; None where the run holds no valid results."""
    test = run.test or {}
    ids, names, matrix = (test.get(name) for name in ("per_class_accuracy", "class_names", "confusion_matrix"))
    if not (isinstance(ids, dict) and isinstance(names, list) and isinstance(matrix, list)):
        return None
    if not len(ids) == len(names) == len(matrix) or any(len(line) != len(ids) for line in matrix):
        return None
    return [[key, str(name)] for key, name in zip(ids, names, strict=True)]


def class_results(runs: list[Run], classes: list[list[str]]) -> dict[str, Any] | None:
    """Results by class over all seeds that were tested on these classes; None where none was.

    Returns:
        accuracy: percent right of each class, None without images.
        pairs: [true class, predicted class, images, images of the true class], the commonest mistakes first.
        mistakes: for each class its commonest mistakes, [predicted class, percent of the class's images].
    """
    tested = [run.test for run in runs if run.test and class_list(run) == classes]
    if not tested:
        return None
    confusion = np.sum([np.array(test["confusion_matrix"], dtype=np.int64) for test in tested], axis=0)
    images = confusion.sum(axis=1)
    share = 100 * confusion / np.maximum(images, 1)[:, None]
    errors = confusion.copy()
    np.fill_diagonal(errors, 0)
    # Stable, so that ties stand in the order of the classes and the same files give the same page.
    order = np.argsort(-errors, axis=None, kind="stable")[:PAIRS]
    pairs = [
        [int(true), int(predicted), int(errors[true, predicted]), int(images[true])]
        for true, predicted in zip(*np.unravel_index(order, errors.shape), strict=True)
        if errors[true, predicted]
    ]
    likeliest = np.argsort(-errors, axis=1, kind="stable")[:, :MISTAKES_PER_CLASS]
    mistakes = [
        [[int(column), rounded(float(share[row, column]))] for column in columns if errors[row, column]]
        for row, columns in enumerate(likeliest)
    ]
    accuracy = [rounded(float(value)) if count else None for value, count in zip(share.diagonal(), images, strict=True)]
    return {"accuracy": accuracy, "pairs": pairs, "mistakes": mistakes}
