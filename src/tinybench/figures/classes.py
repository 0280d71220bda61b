"""Results per class: the confusion matrix, and per-class accuracy across models."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure

from tinybench.errors import UserError
from tinybench.figures.style import (
    heat_map,
    new_figure,
    note,
    points,
    room,
    row_height,
    row_labels,
    seed_count,
    weights_note,
    wrapped,
)
from tinybench.results.classes import class_results, class_table
from tinybench.results.groups import most_accurate, tested
from tinybench.results.runs import RunResults
from tinybench.stats.similarity import class_order, row_correlation, wordnet_similarity
from tinybench.words import listed, shortened

MOST_NAMES = 40  # legible on one axis
NAME_LETTERS = 30  # of a class
NAMED_CELL, NUMBERED_CELL = 0.18, 0.3  # inches of a side, for names and numbers to fit


def confusion_matrix(runs: Sequence[RunResults], label: str = "") -> Figure:
    """Confusion matrix of one recipe, summed over its seeds, in percent of the test images of each true class.

    Classes of similar meaning are next to each other; if WordNet does not know them, classes with similar predictions.

    Args:
        label: of the recipe, see `SeedGroup`; empty for the most accurate one.

    Raises:
        UserError: no run was tested, none has this label, or the results cannot be read, see `class_results`.
    """
    groups = {group.label: group for group in tested(runs)}
    if label and label not in groups:
        raise UserError(f"{label} has not been tested; there are: {listed(groups)}")
    group = groups[label] if label else most_accurate(list(groups.values()))
    results = class_results(group)
    confusion = results.confusion
    images = np.maximum(confusion.sum(1, keepdims=True), 1)
    shares = pd.DataFrame(100 * confusion / images, index=results.ids, columns=results.ids)
    meaning = wordnet_similarity(results.ids)
    ids = class_order(row_correlation(shares) if meaning is None else meaning)
    side = 5 + 0.22 * len(confusion) if len(confusion) <= MOST_NAMES else 9
    width = room(side + 1.5)
    narrow = width < side + 1.5
    cell = (width - 3) / len(confusion)  # inches, beside the names and the bar
    few = cell >= NAMED_CELL
    named = dict(zip(results.ids, shortened(results.names, NAME_LETTERS // (2 if narrow else 1)), strict=True))
    names = [named[key] for key in ids] if few else False
    figure, ax = new_figure(side + 1.5, side, in_proportion=True)
    heat_map(
        ax,
        shares.loc[ids, ids].to_numpy(),
        bar="share of the class's\ntest images (%)",
        annotate=".0f" if cell >= NUMBERED_CELL else "",
        # Mistakes are spread thinly: the square root keeps them visible next to the diagonal.
        norm=PowerNorm(0.5, vmin=0, vmax=100),
        xticklabels=False if narrow else names,
        yticklabels=names,
        square=True,
        linewidths=0.5 if few else 0,
    )
    ax.tick_params(axis="y", rotation=0)
    ax.set_xlabel("predicted class")
    ax.set_ylabel("true class")
    figure.suptitle(wrapped(figure, f"{group.label}, {seed_count([group])}"))
    order = "similar predictions" if meaning is None else "similar meaning (WordNet)"
    note(
        figure,
        f"{len(confusion)} classes; those with {order} are next to each other",
        "columns: in the order of the rows" if narrow and few else "",
        weights_note([group]),
    )
    return figure


def class_accuracy(runs: Sequence[RunResults]) -> Figure:
    """Test accuracy of every recipe on every class, the hardest class first; means over seeds.

    Raises:
        UserError: no run was tested, or they were tested on different classes.
    """
    table = class_table(runs)
    names = table.index.get_level_values("name")
    count = len(table)
    names = shortened(names, NAME_LETTERS)
    labels = row_labels(table.columns)
    width = 4 + 0.9 * len(table.columns)
    if count <= MOST_NAMES and room(width) >= width:
        figure, ax = new_figure(width, 2.3 + 0.32 * count)
        heat_map(ax, table.to_numpy(), bar="test accuracy (%)", annotate=".0f", vmin=0, vmax=100, linewidths=0.5)
        ax.set_xticks(np.arange(len(table.columns)) + 0.5, labels, rotation=30, ha="right", rotation_mode="anchor")
        ax.set_yticks(np.arange(count) + 0.5, names, rotation=0)
        ax.set_ylabel("class, hardest first")
        note(figure, weights_note(tested(runs)))
        return figure
    figure, ax = new_figure(11, 2.2 + row_height(0.4) * len(table.columns))
    heat_map(ax, table.to_numpy().T, bar="test accuracy (%)", vmin=0, vmax=100)
    fitting = max(1, int((room(11) - 3.5) / 0.375))
    shown = np.linspace(0, count - 1, min(count, fitting)).round().astype(int)
    shown_names = [names[position] for position in shown]
    ax.set_xticks(shown + 0.5, shown_names, rotation=45, ha="right", rotation_mode="anchor", fontsize=points(9))
    ax.set_yticks(np.arange(len(labels)) + 0.5, labels, rotation=0)
    ax.set_xlabel(f"{count} classes, hardest first" + (f" ({len(shown)} labelled)" if len(shown) < count else ""))
    note(figure, weights_note(tested(runs)))
    return figure
