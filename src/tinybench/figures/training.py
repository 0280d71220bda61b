"""Training curves of several recipes: accuracy and loss, learning rates, generalisation gap."""

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tinybench.figures.style import (
    Style,
    add_image_sizes,
    legend_of_models,
    log_scale,
    new_figure,
    panel_titles,
    panels,
    points,
    seed_count,
    styles,
    task_title,
    whole_numbers,
    wrapped,
)
from tinybench.results.groups import SeedGroup, trained
from tinybench.results.runs import RunResults, image_sizes
from tinybench.words import listed

Values = Callable[[RunResults], Sequence[float]]


def learning_curves(runs: Sequence[RunResults]) -> Figure:
    """Validation accuracy and loss of every recipe per epoch: mean over seeds, band from minimum to maximum.

    A curve ends with the shortest of its seeds, so that every point is a mean over all of them. Pale curves are those
    of the EMA weights.

    Raises:
        UserError: there is no run.
    """
    groups = trained(runs)
    figure, axes = panels(2, 2, 5, 4.3, beside=3)
    for ax, name, label in zip(
        axes, ("val_acc", "val_loss"), ("validation accuracy (%)", "validation loss (nats)"), strict=True
    ):
        _lines(ax, runs, partial(_listed, name=name))
        averages = _averages(ax, groups, styles(runs), f"ema_{name}")
        ax.set_ylabel(label)
    growing = {group.label: tuple(image_sizes(group.runs[0].history)) for group in groups}
    bands = len(set(growing.values())) == 1 and growing[groups[0].label]
    if bands:
        for ax in axes:
            add_image_sizes(ax, bands)
    losses = [loss for run in runs for loss in run.history["val_loss"]]
    if max(losses) > 10 * min(losses):  # or one diverging network would hide the others
        log_scale(axes[1].yaxis)
    figure.suptitle(wrapped(figure, task_title(groups[0])))
    legend_of_models(
        figure,
        axes[0],
        _band(groups),
        "pale lines: EMA weights" if averages else "",
        "at the top: side of the training images" if bands else _sizes_note(growing),
    )
    return figure


def generalization_gap(runs: Sequence[RunResults]) -> Figure:
    """Training accuracy minus validation accuracy per epoch, in percentage points.

    Training accuracy is measured on the training batches: augmented and possibly mixed images, with dropout, while the
    weights still change. It is therefore lower than on clean training images, and the gap may be negative. Gaps of
    recipes with different augmentation are not comparable. Both accuracies are those of the raw weights, not of EMA.

    Raises:
        UserError: there is no run.
    """
    groups = trained(runs)
    figure, ax = new_figure(9, 4.3)
    _lines(ax, runs, lambda run: np.subtract(run.history["train_acc"], run.history["val_acc"]))
    ax.axhline(0, color="0.3", linewidth=points(1))
    ax.set_ylabel("training − validation accuracy\n(percentage points)")
    ax.set_title(task_title(groups[0]))
    configs = [run.history["config"] for group in groups for run in group.runs]
    augmented = any(config.get("augment", "none") != "none" for config in configs)
    mixed = any(config.get("mixup_cutmix_alpha", 0) > 0 for config in configs)
    changes = " and ".join(word for word, true in (("augmented", augmented), ("mixed", mixed)) if true)
    legend_of_models(
        figure,
        ax,
        _band(groups),
        changes and f"training accuracy is measured on {changes} images, so the gap can be negative",
    )
    return figure


def learning_rates(runs: Sequence[RunResults]) -> Figure:
    """The learning rate of every recipe at the end of each epoch, each on its own scale; it is the same for all seeds.

    Raises:
        UserError: there is no run.
    """
    groups = trained(runs)
    style = styles(runs)
    figure, axes = panels(len(groups), 3, 3.4, 2.3, sharex=True)
    configs = [group.runs[0].history["config"] for group in groups]
    hows = [", ".join(str(config[name]) for name in ("optimizer", "scheduler") if name in config) for config in configs]
    titles = panel_titles(figure, [group.label for group in groups], [how and f": {how}" for how in hows])
    for group, ax, title in zip(groups, axes, titles, strict=True):
        rates = group.runs[0].history["lr"]
        look = style[group.label]
        ax.plot(range(1, len(rates) + 1), rates, **look.of_line(len(rates)))
        ax.set_ylim(0, 1.1 * max(rates) or 1)
        ax.set_xlim(0.5, None)
        ax.yaxis.set_major_formatter("{x:g}")
        whole_numbers(ax)
        ax.set_title(title, fontsize=points(11))
    figure.supxlabel("epoch", fontsize=points(11))
    figure.supylabel("learning rate", fontsize=points(11))
    return figure


def mean_curve(group: SeedGroup, values: Values) -> np.ndarray:
    """Mean, minimum and maximum over seeds at each epoch that all of them reached: (3, epochs)."""
    curves = [values(run) for run in group.runs]
    shortest = min(len(curve) for curve in curves)
    table = np.array([curve[:shortest] for curve in curves])
    return np.stack((table.mean(0), table.min(0), table.max(0)))


def _lines(ax: Axes, runs: Sequence[RunResults], values: Values) -> None:
    style = styles(runs)
    longest = 1
    for group in trained(runs):
        mean, low, high = mean_curve(group, values)
        epochs = np.arange(1, len(mean) + 1)
        longest = max(longest, len(mean))
        look = style[group.label]
        ax.plot(epochs, mean, label=group.label, **look.of_line(len(mean)))
        if len(group.runs) > 1:
            ax.fill_between(epochs, low, high, color=look.color, alpha=0.15, linewidth=0)
    ax.set_xlim(0.5, longest + 0.5)
    ax.set_xlabel("epoch")
    whole_numbers(ax)


def _averages(ax: Axes, groups: Sequence[SeedGroup], style: dict[str, Style], name: str) -> bool:
    """Draw the curves of the EMA weights, and return whether any recipe has them."""
    found = [group for group in groups if all(name in run.history for run in group.runs)]
    for group in found:
        mean, _, _ = mean_curve(group, partial(_listed, name=name))
        look = style[group.label]
        ax.plot(range(1, len(mean) + 1), mean, color=look.color, linestyle=look.line, linewidth=points(3.5), alpha=0.35)
    return bool(found)


def _listed(run: RunResults, name: str) -> list[float]:
    return run.history[name]


def _sizes_note(growing: dict[str, tuple[int, ...]]) -> str:
    """Which recipes train on growing images, and from which epoch on a size is used."""
    found = []
    for label, sizes in growing.items():
        starts = [f"{size} px from epoch {sizes.index(size) + 1}" for size in dict.fromkeys(sizes)]
        if starts:
            found.append(f"{label} ({', '.join(starts)})")
    return f"growing images: {listed(found)}" if found else ""


def _band(groups: Sequence[SeedGroup]) -> str:
    if all(len(group.runs) == 1 for group in groups):
        return "one seed"
    return f"lines: mean over {seed_count(groups)}; bands: minimum to maximum"
