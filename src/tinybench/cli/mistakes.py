"""What one run got wrong: its classes and its commonest mistakes, as a table and as pictures."""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from tinybench.cli.figure_arguments import FigureArguments
from tinybench.data.imageset import ImageSet
from tinybench.errors import printable
from tinybench.evaluation.evaluate import TestedNetwork
from tinybench.figures.images import class_examples, mistaken_examples
from tinybench.metrics import scores_by_class
from tinybench.results.classes import ClassResults, classes_of, mistakes_of
from tinybench.runs import PREDICTIONS
from tinybench.words import counted

SHOWN = 8  # classes at either end, and pairs


def error_table(results: dict[str, Any]) -> str:
    """The least and the most accurate classes, and the pairs that are most often confused.

    Of classes that differ in size also precision, F1 and how many images there are.

    Args:
        results: what test_results.json holds.
    """
    classes = classes_of(results)
    order = _hardest_first(classes)
    details = [""] * len(classes.ids)
    if "per_class_scores" in results:
        details = [
            f" ({counted(row.support, 'image')}, "
            + (f"precision {row.precision:.2f} %, F1 {row.f1:.2f} %)" if row.precision >= 0 else "never predicted)")
            for row in scores_by_class(classes.confusion).itertuples()
        ]
    lines = []
    shown = min(SHOWN, -(-len(order) // 2))  # no class at both ends
    for title, chosen in (("least accurate", order[:shown]), ("most accurate", order[::-1][:shown])):
        lines.append(f"  {title}")
        lines += [
            f"    {classes.accuracy[label]:6.2f} %  {printable(classes.names[label])}{details[label]}"
            for label in chosen
        ]
    lines.append("  most confused (of the class's images)")
    for row in mistakes_of(classes).head(SHOWN).itertuples():
        lines.append(f"    {row.share:6.2f} %  {printable(row.true)} predicted as {printable(row.predicted)}")
    return "\n".join(lines)


def show_errors(network: TestedNetwork, results: dict[str, Any], folder: Path, arguments: FigureArguments) -> None:
    """Print the table of a tested network, and write its pictures into `folder`.

    Args:
        results: what its test gave.
    """
    print(error_table(results))
    with np.load(network.result_path(PREDICTIONS)) as predictions:
        predicted = predictions["logits"].argmax(1)
    draw_errors(results, network.images, predicted, folder, arguments)


def draw_errors(
    results: dict[str, Any], images: ImageSet, predicted: np.ndarray, folder: Path, arguments: FigureArguments
) -> None:
    """Write the figures class_examples and mistaken_examples; without mistakes the latter is none, nor is one left.

    Args:
        images: those that were tested.
        predicted: int (N,), the likeliest class of each.
    """
    classes = classes_of(results)
    order = _hardest_first(classes)
    ends = [*order[:SHOWN], *order[max(SHOWN, len(order) - SHOWN) :]]  # once each where there are few
    pictures = {"class_examples": partial(class_examples, images, predicted, ends, classes.accuracy)}
    pairs = [(row.true_label, row.predicted_label) for row in mistakes_of(classes).head(SHOWN).itertuples()]
    if pairs:
        pictures["mistaken_examples"] = partial(mistaken_examples, images, predicted, pairs)
    else:
        for path in arguments.files(folder / "mistaken_examples"):
            path.unlink(missing_ok=True)
    for name, draw in pictures.items():
        for path in arguments.save(draw, folder / name):
            print(printable(path))


def _hardest_first(classes: ClassResults) -> list[int]:
    """Labels of the classes that have test images."""
    order = np.argsort(classes.accuracy, kind="stable")
    return [int(label) for label in order if not np.isnan(classes.accuracy[label])]
