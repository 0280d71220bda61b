"""Results per class: the confusion matrix, and per-class accuracy across models."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure

from tinybench.errors import UserError
from tinybench.figures.style import heat_map, new_figure, note, seed_count, weights_note
from tinybench.results.classes import class_results, class_table
from tinybench.results.groups import most_accurate, tested
from tinybench.results.runs import RunResults
from tinybench.stats.similarity import class_order, row_correlation, wordnet_similarity
from tinybench.words import listed

MOST_NAMES = 40  # legible on one axis


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
    few = len(confusion) <= MOST_NAMES
    named = dict(zip(results.ids, results.names, strict=True))
    names = [named[key] for key in ids] if few else False
    side = 5 + 0.22 * len(confusion) if few else 9
    figure, ax = new_figure(side + 1.5, side)
    heat_map(
        ax,
        shares.loc[ids, ids].to_numpy(),
        bar="share of the class's test images (%)",
        annotate=".0f" if len(confusion) <= 20 else "",
        # Mistakes are spread thinly: the square root keeps them visible next to the diagonal.
        norm=PowerNorm(0.5, vmin=0, vmax=100),
        xticklabels=names,
        yticklabels=names,
        square=True,
        linewidths=0.5 if few else 0,
    )
    ax.tick_params(axis="y", rotation=0)
    ax.set_xlabel("predicted class")
    ax.set_ylabel("true class")
    ax.set_title(f"{group.label}, {seed_count([group])}")
    order = "similar predictions" if meaning is None else "similar meaning (WordNet)"
    note(figure, f"{len(confusion)} classes; those with {order} are next to each other", weights_note([group]))
    return figure


def class_accuracy(runs: Sequence[RunResults]) -> Figure:
    """Test accuracy of every recipe on every class, the hardest class first; means over seeds.

    Raises:
        UserError: no run was tested, or they were tested on different classes.
    """
    table = class_table(runs)
    names = table.index.get_level_values("name")
    count = len(table)
    if count <= MOST_NAMES:
        figure, ax = new_figure(4 + 0.9 * len(table.columns), 2.3 + 0.32 * count)
        heat_map(ax, table.to_numpy(), bar="test accuracy (%)", annotate=".0f", vmin=0, vmax=100, linewidths=0.5)
        ax.set_xticks(np.arange(len(table.columns)) + 0.5, table.columns, rotation=30, ha="right")
        ax.set_yticks(np.arange(count) + 0.5, names, rotation=0)
        ax.set_ylabel("class, hardest first")
        note(figure, weights_note(tested(runs)))
        return figure
    figure, ax = new_figure(11, 2.2 + 0.4 * len(table.columns))
    heat_map(ax, table.to_numpy().T, bar="test accuracy (%)", vmin=0, vmax=100)
    shown = np.linspace(0, count - 1, MOST_NAMES // 2).round().astype(int)
    ax.set_xticks(shown + 0.5, names[shown], rotation=45, ha="right", rotation_mode="anchor", fontsize=9)
    ax.set_yticks(np.arange(len(table.columns)) + 0.5, table.columns, rotation=0)
    ax.set_xlabel(f"{count} classes, hardest first ({len(shown)} of them labelled)")
    note(figure, weights_note(tested(runs)))
    return figure
