"""Answers by class: confusion matrix, and accuracy by class across models."""

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

MOST_NAMES = 40  # more would not be legible


def confusion_matrix(runs: Sequence[RunResults], label: str = "") -> Figure:
    """Percent of each class's test images by answer, of one recipe over all its seeds.

    Classes of similar meaning are neighbours; where it is not known, classes with similar answers.

    Args:
        label: of the recipe, see `group_runs`; without it the most accurate one.

    Raises:
        UserError: no run was tested, none of that label, or the results cannot be read, see `class_results`.
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
    figure, axes = new_figure(side + 1.5, side)
    heat_map(
        axes[0, 0],
        shares.loc[ids, ids].to_numpy(),
        bar="answers (% of the class's images)",
        annotate=".0f" if len(confusion) <= 20 else "",
        # Mistakes are many and small: the root keeps them visible beside the diagonal.
        norm=PowerNorm(0.5, vmin=0, vmax=100),
        xticklabels=names,
        yticklabels=names,
        square=True,
        linewidths=0.5 if few else 0,
    )
    axes[0, 0].tick_params(axis="y", rotation=0)
    axes[0, 0].set_xlabel("answer")
    axes[0, 0].set_ylabel("class")
    axes[0, 0].set_title(f"{group.label}, {seed_count([group])}")
    alike = "with similar answers" if meaning is None else "of similar meaning (WordNet)"
    note(figure, f"{len(confusion)} classes; those {alike} are neighbours", weights_note([group]))
    return figure


def class_accuracy(runs: Sequence[RunResults]) -> Figure:
    """Accuracy of every recipe on every class, hardest class first; means over seeds.

    Raises:
        UserError: no run was tested, or they were tested on different classes.
    """
    table = class_table(runs)
    names = table.index.get_level_values("name")
    count = len(table)
    if count <= MOST_NAMES:
        figure, axes = new_figure(4 + 0.9 * len(table.columns), 2.3 + 0.32 * count)
        heat_map(axes[0, 0], table.to_numpy(), bar="right (%)", annotate=".0f", vmin=0, vmax=100, linewidths=0.5)
        axes[0, 0].set_xticks(np.arange(len(table.columns)) + 0.5, table.columns, rotation=30, ha="right")
        axes[0, 0].set_yticks(np.arange(count) + 0.5, names, rotation=0)
        axes[0, 0].set_ylabel("class, hardest first")
        note(figure, weights_note(tested(runs)))
        return figure
    figure, axes = new_figure(11, 2.2 + 0.4 * len(table.columns))
    heat_map(axes[0, 0], table.to_numpy().T, bar="right (%)", vmin=0, vmax=100)
    shown = np.linspace(0, count - 1, MOST_NAMES // 2).round().astype(int)
    axes[0, 0].set_xticks(shown + 0.5, names[shown], rotation=45, ha="right", rotation_mode="anchor", fontsize=9)
    axes[0, 0].set_yticks(np.arange(len(table.columns)) + 0.5, table.columns, rotation=0)
    axes[0, 0].set_xlabel(f"{count} classes, hardest first; {len(shown)} of them named")
    note(figure, weights_note(tested(runs)))
    return figure
