"""Figures of the predictions for single test images: calibration, agreement, and significant differences."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from tinybench.errors import UserError
from tinybench.figures.style import (
    fitted,
    heat_map,
    new_figure,
    note,
    panel_titles,
    panels,
    points,
    room,
    row_height,
    row_labels,
    styles,
    weights_note,
)
from tinybench.metrics import reliability_table
from tinybench.results.groups import tested
from tinybench.results.predictions import agreement_matrices, correct_by_recipe, pooled, predictions_by_recipe, scores
from tinybench.results.runs import RunResults
from tinybench.stats.intervals import bootstrap_interval
from tinybench.stats.significance import critical_difference_groups, pairwise_comparisons
from tinybench.words import listed

FEW_PREDICTIONS = 10


def reliability_diagram(runs: Sequence[RunResults]) -> Figure:
    """Reliability diagram of every recipe over all its seeds (Guo et al. 2017, https://arxiv.org/abs/1706.04599).

    On the dashed line, accuracy equals confidence; bars below it mean overconfidence. Bars of few predictions are pale.
    The grey line is the share of the predictions in each bin.

    Raises:
        UserError: no run has predictions.
    """
    by_recipe, style = predictions_by_recipe(runs), styles(runs)
    figure, axes = panels(len(by_recipe), 3, 3.2, 3.1, sharex=True, sharey=True)
    errors = [np.mean([scores(member)["ece"] for member in members]) for members in by_recipe.values()]
    titles = panel_titles(figure, list(by_recipe), [f", ECE {error:.3f}" for error in errors])
    for (label, members), ax, title in zip(by_recipe.items(), axes, titles, strict=True):
        together = pooled(members, label)
        bins = reliability_table(together.logits, together.labels)
        middle, width = (bins["low"] + bins["high"]) / 2, bins["high"] - bins["low"]
        bars = ax.bar(middle, bins["accuracy"].fillna(0), width, color=style[label].color, edgecolor="white")
        for bar, count in zip(bars, bins["count"], strict=True):
            bar.set_alpha(1 if count >= FEW_PREDICTIONS else 0.35)
        ax.plot([0, 1], [0, 1], color="black", linestyle="--", linewidth=points(1.2), label="perfect calibration")
        share = bins["count"] / bins["count"].sum()
        ax.step(middle, share, where="mid", color="0.35", linewidth=points(1.5), label="share of predictions")
        ax.set_title(title, fontsize=points(11))
        ax.set_xlim(0, 1)
        ax.set_ylim(0, 1)
        ax.set_aspect("equal")
    figure.supylabel("accuracy; share of predictions", fontsize=points(11))
    handles = [Patch(color="0.6", label="accuracy"), *axes[0].get_legend_handles_labels()[0]]
    columns = 3 if len(axes) > 1 and room(9) > 8 else 2  # that fit above
    figure.legend(handles=handles, loc="outside upper center", ncols=columns, frameon=False, fontsize=points(10))
    about = [f"confidence (pale bars: fewer than {FEW_PREDICTIONS} predictions)", weights_note(tested(runs))]
    figure.supxlabel(fitted(figure, *about), fontsize=points(11))
    return figure


def agreement_between_models(runs: Sequence[RunResults]) -> Figure:
    """How often every two recipes predict the same class, and their error consistency (Cohen's kappa).

    Means over the pairs of their runs; the diagonal compares seeds of one recipe. (Geirhos et al. 2020,
    https://arxiv.org/abs/2006.16736)

    Raises:
        UserError: no run has predictions, or they are of different images, or there are no two runs.
    """
    by_recipe = predictions_by_recipe(runs)
    if sum(len(members) for members in by_recipe.values()) < 2:
        raise UserError("agreement needs two tested runs; train and test another one")
    same, kappa = agreement_matrices(by_recipe)
    size = 2.8 + 0.62 * len(same)
    beside = room(2 * size + 1) >= 2 * size + 1
    labels = row_labels(same.index)
    height = size + 0.6 if beside else 2 + 2 * row_height(0.4) * len(same)
    figure, axes = new_figure(2 * size + 1, height, *((1, 2) if beside else (2, 1)))
    few = len(same) <= (12 if beside else room(size) / 0.75)
    for ax, table, title, form in zip(
        axes, (same, kappa), ("same prediction (%)", "error consistency (κ)"), (".0f", ".2f"), strict=True
    ):
        annotate = form if few else ""
        heat_map(ax, table.to_numpy(), bar="", annotate=annotate, linewidths=points(0.5), square=beside)
        ax.set_xticks(np.arange(len(table)) + 0.5, labels, rotation=35, ha="right", rotation_mode="anchor")
        ax.set_yticks(np.arange(len(table)) + 0.5, labels, rotation=0)
        ax.set_title(title, fontsize=points(12))
        if not beside:
            ax.set_xticks([])
    if beside:
        axes[1].set_yticklabels([])
    single = any(len(members) == 1 for members in by_recipe.values())
    note(
        figure,
        "means over pairs of runs; diagonal: two seeds of one recipe" + (" (empty for one seed)" if single else ""),
        "κ = 1: wrong on the same images; κ = 0: no more often than by chance",
        "" if beside else "columns: in the order of the rows",
        weights_note(tested(runs)),
    )
    return figure


def critical_differences(runs: Sequence[RunResults]) -> Figure:
    """Critical difference diagram (Demšar 2006, https://www.jmlr.org/papers/v7/demsar06a.html) of all tested recipes.

    Accuracies have 95 % confidence intervals over test images, and over seeds if there are several. A bar joins recipes
    without any significant difference: p ≥ 0.05 for every pair after the Holm correction over all pairs.

    Raises:
        UserError: there are no two tested recipes with predictions, or they are of different images.
    """
    correct = correct_by_recipe(runs)
    style = styles(runs)
    order = sorted(correct, key=lambda label: -correct[label].mean())
    bars = critical_difference_groups(pairwise_comparisons(correct))
    ratios = (5, max(1, 0.25 * len(bars)))
    height = 1.6 + row_height(0.42) * len(order)
    figure, (values, joined) = new_figure(9, height, columns=2, sharey=True, width_ratios=ratios)
    for row, label in enumerate(order):
        interval = bootstrap_interval(correct[label])
        values.plot([interval.low, interval.high], [row, row], color=style[label].color, linewidth=points(2))
        values.plot(interval.mean, row, linestyle="none", **style[label].of_points(9))
    values.set_yticks(
        range(len(order)), row_labels(order, [f"  {100 * correct[label].mean():.2f} %" for label in order])
    )
    values.set_ylim(len(order) - 0.4, -0.6)
    values.set_xlabel("test accuracy (%)")
    for column, bar in enumerate(bars):
        rows = [order.index(label) for label in bar]
        joined.plot([column] * len(rows), rows, color="black", linewidth=points(4), marker="o", markersize=points(8))
    joined.set_xlim(-0.7, max(len(bars), 2) - 0.3)
    joined.set_xticks([])
    joined.set_title("no significant\ndifference", loc="right", fontsize=points(11))
    joined.spines["left"].set_visible(False)
    single = [label for label in order if len(correct[label]) == 1]
    note(
        figure,
        "coloured lines: 95 % confidence interval over test images and seeds",
        "black lines: no significant difference" if bars else "all pairs differ significantly",
        "significant: p < 0.05 after the Holm correction over all pairs",
        f"one seed, so the result may not hold for other seeds: {listed(single)}" if single else "",
        weights_note(tested(runs)),
    )
    return figure
