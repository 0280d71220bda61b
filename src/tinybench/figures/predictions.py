"""Figures of the answers to single test images: reliability, agreement, and which differences are significant."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from tinybench.errors import UserError
from tinybench.figures.style import fitted, heat_map, new_figure, note, panels, styles, title_of, weights_note
from tinybench.results.answers import agreement_matrices, correct_by_recipe, pooled, predictions_by_recipe
from tinybench.results.groups import tested
from tinybench.results.predictions import reliability_table, scores
from tinybench.results.runs import RunResults
from tinybench.stats.intervals import bootstrap_interval
from tinybench.stats.significance import critical_difference_groups, pairwise_comparisons
from tinybench.words import listed

FEW_ANSWERS = 10


def reliability_diagram(runs: Sequence[RunResults]) -> Figure:
    """Accuracy of the answers by the network's confidence in them, a panel a recipe, over all its seeds.

    On the dashed line a network is right as often as it believes; bars below it mean overconfidence. Bars of few
    answers are pale. The grey line is the share of the answers in each bin. (Guo et al. 2017,
    https://arxiv.org/abs/1706.04599)

    Raises:
        UserError: no run has predictions.
    """
    by_recipe, style = predictions_by_recipe(runs), styles(runs)
    figure, places = panels(len(by_recipe), 3, 3.2, 3.1, sharex=True, sharey=True)
    for (label, members), axes in zip(by_recipe.items(), places, strict=True):
        bins = reliability_table(pooled(members, label))
        middle, width = (bins["low"] + bins["high"]) / 2, bins["high"] - bins["low"]
        bars = axes.bar(middle, bins["accuracy"].fillna(0), width, color=style[label].color, edgecolor="white")
        for bar, count in zip(bars, bins["count"], strict=True):
            bar.set_alpha(1 if count >= FEW_ANSWERS else 0.35)
        axes.plot([0, 1], [0, 1], color="black", linestyle="--", linewidth=1.2, label="right as often as confident")
        share = bins["count"] / bins["count"].sum()
        axes.step(middle, share, where="mid", color="0.35", linewidth=1.5, label="share of the answers")
        error = np.mean([scores(member)["ece"] for member in members])
        axes.set_title(f"{title_of(label)}, ECE {error:.3f}", fontsize=12)
        axes.set_xlim(0, 1)
        axes.set_ylim(0, 1)
        axes.set_aspect("equal")
    figure.supylabel("accuracy; share of the answers", fontsize=11)
    handles = [Patch(color="0.6", label="accuracy"), *places[0].get_legend_handles_labels()[0]]
    figure.legend(handles=handles, loc="outside upper center", ncols=3, frameon=False, fontsize=10)
    about = [f"confidence (pale bars: fewer than {FEW_ANSWERS} answers)", weights_note(tested(runs))]
    figure.supxlabel(fitted(figure, *about), fontsize=11)
    return figure


def agreement_between_models(runs: Sequence[RunResults]) -> Figure:
    """How often every two recipes give the same answer, and how far they fail on the same images (Cohen's kappa).

    Means over the pairs of their runs; on the diagonal two seeds of one recipe. (Geirhos et al. 2020,
    https://arxiv.org/abs/2006.16736)

    Raises:
        UserError: no run has predictions, or they are of different images, or there are no two runs.
    """
    by_recipe = predictions_by_recipe(runs)
    if sum(len(members) for members in by_recipe.values()) < 2:
        raise UserError("agreement needs two tested runs; train and test another one")
    same, kappa = agreement_matrices(by_recipe)
    size = 2.8 + 0.62 * len(same)
    figure, axes = new_figure(2 * size + 1, size + 0.6, columns=2)
    for place, table, title, form in (
        (axes[0, 0], same, "same answer (%)", ".0f"),
        (axes[0, 1], kappa, "failing on the same images (κ)", ".2f"),
    ):
        annotate = form if len(same) <= 12 else ""
        heat_map(place, table.to_numpy(), bar="", annotate=annotate, linewidths=0.5, square=True)
        place.set_xticks(np.arange(len(table)) + 0.5, table.columns, rotation=35, ha="right", rotation_mode="anchor")
        place.set_yticks(np.arange(len(table)) + 0.5, table.index, rotation=0)
        place.set_title(title, fontsize=12)
    axes[0, 1].set_yticklabels([])
    single = any(len(members) == 1 for members in by_recipe.values())
    note(
        figure,
        "means over pairs of runs; diagonal: two seeds of one recipe" + (" (empty for one seed)" if single else ""),
        "κ: 1 if they fail on the same images, 0 if no more often than by chance",
        weights_note(tested(runs)),
    )
    return figure


def critical_differences(runs: Sequence[RunResults]) -> Figure:
    """Which recipes differ significantly: accuracies with 95 % intervals, and bars that join those that do not.

    Intervals are over test images, and over seeds where there are several. A bar joins recipes of which no two differ
    with p < 0.05 after Holm's correction over all pairs. (Demšar 2006, https://www.jmlr.org/papers/v7/demsar06a.html)

    Raises:
        UserError: there are no two tested recipes with predictions, or they are of different images.
    """
    correct = correct_by_recipe(runs)
    style = styles(runs)
    order = sorted(correct, key=lambda label: -correct[label].mean())
    bars = critical_difference_groups(pairwise_comparisons(correct))
    figure, axes = new_figure(9, 1.6 + 0.42 * len(order), columns=2, sharey=True, width_ratios=(5, 1))
    values, joined = axes[0]
    for row, label in enumerate(order):
        interval = bootstrap_interval(correct[label])
        values.plot([interval.low, interval.high], [row, row], color=style[label].color, linewidth=2)
        values.plot(interval.mean, row, linestyle="none", **style[label].of_points() | {"markersize": 9})
    values.set_yticks(range(len(order)), [f"{label}  {100 * correct[label].mean():.2f} %" for label in order])
    values.set_ylim(len(order) - 0.4, -0.6)
    values.set_xlabel("test accuracy (%)")
    for column, bar in enumerate(bars):
        rows = [order.index(label) for label in bar]
        joined.plot([column] * len(rows), rows, color="black", linewidth=4, marker="o", markersize=8)
    joined.set_xlim(-0.7, max(len(bars), 2) - 0.3)
    joined.set_xticks([])
    joined.set_title("no significant\ndifference", fontsize=11)
    joined.spines["left"].set_visible(False)
    single = [label for label in order if len(correct[label]) == 1]
    note(
        figure,
        "coloured lines: 95 % interval over test images and seeds",
        "black lines: no two of these differ with p < 0.05 (Holm)" if bars else "all differ with p < 0.05 (Holm)",
        f"one seed, so that nothing is said of others: {listed(single)}" if single else "",
        weights_note(tested(runs)),
    )
    return figure
