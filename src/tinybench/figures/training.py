"""Training of several networks: learning curves, learning rates, generalisation gap."""

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tinybench.figures.style import (
    Style,
    legend_of_models,
    log_scale,
    new_figure,
    note,
    panels,
    seed_count,
    styles,
    task_title,
    title_of,
    whole_numbers,
)
from tinybench.results.groups import SeedGroup, trained
from tinybench.results.runs import RunResults

Values = Callable[[RunResults], Sequence[float]]


def learning_curves(runs: Sequence[RunResults]) -> Figure:
    """Validation accuracy and loss of every recipe by epoch: mean over seeds, band from lowest to highest.

    A curve ends with the shortest of its seeds, so that every point is a mean over all of them. Beside the curve of the
    plain weights, a pale one is that of their moving average.

    Raises:
        UserError: there is no run.
    """
    groups = trained(runs)
    figure, axes = new_figure(13, 4.3, columns=2)
    for place, name, label in zip(
        axes[0], ("val_acc", "val_loss"), ("validation accuracy (%)", "validation loss (nats)"), strict=True
    ):
        _lines(place, runs, partial(_listed, name=name))
        averages = _averages(place, groups, styles(runs), f"ema_{name}")
        place.set_ylabel(label)
    losses = [loss for run in runs for loss in run.history["val_loss"]]
    if max(losses) > 10 * min(losses):  # a network that started badly would leave nothing to see of the others
        log_scale(axes[0, 1].yaxis)
    legend_of_models(figure, axes[0, 0])
    figure.suptitle(task_title(groups[0]))
    note(figure, _band(groups), "pale lines: averaged weights" if averages else "")
    return figure


def generalization_gap(runs: Sequence[RunResults]) -> Figure:
    """Train accuracy minus validation accuracy by epoch, in points: what was learned of the training images alone.

    Train accuracy is that of the training batches: of varied and, under MixUp and CutMix, of mixed images, with
    dropout, while the weights still move. It is therefore lower than the accuracy on the plain training images would
    be, and the gap may be negative. Gaps of networks with different augmentation do not compare. Both are of the plain
    weights, not of their moving average.

    Raises:
        UserError: there is no run.
    """
    groups = trained(runs)
    figure, axes = new_figure(9, 4.3)
    place = axes[0, 0]
    _lines(place, runs, lambda run: np.subtract(run.history["train_acc"], run.history["val_acc"]))
    place.axhline(0, color="0.3", linewidth=1)
    place.set_ylabel("train − validation accuracy\n(points)")
    place.set_title(task_title(groups[0]))
    legend_of_models(figure, place)
    configs = [run.history["config"] for group in groups for run in group.runs]
    varied = any(config.get("augment", "none") != "none" for config in configs)
    mixed = any(config.get("mixup_cutmix_alpha", 0) > 0 for config in configs)
    changes = " and ".join(word for word, true in (("varied", varied), ("mixed", mixed)) if true)
    note(
        figure,
        _band(groups),
        changes and f"train accuracy is measured on {changes} images, so the gap can be negative",
    )
    return figure


def learning_rates(runs: Sequence[RunResults]) -> Figure:
    """The learning rate of every recipe at the end of each epoch, each on its own scale; all seeds have the same.

    Raises:
        UserError: there is no run.
    """
    groups = trained(runs)
    style = styles(runs)
    figure, places = panels(len(groups), 3, 3.4, 2.3, sharex=True)
    for group, axes in zip(groups, places, strict=True):
        rates, config = group.runs[0].history["lr"], group.runs[0].history["config"]
        look = style[group.label]
        axes.plot(range(1, len(rates) + 1), rates, **look.of_line(len(rates)))
        axes.set_ylim(0, 1.1 * max(rates) or 1)
        axes.set_xlim(0.5, None)
        axes.yaxis.set_major_formatter("{x:g}")
        whole_numbers(axes)
        how = ", ".join(str(config[name]) for name in ("optimizer", "scheduler") if name in config)
        title = title_of(group.label)
        axes.set_title(f"{title}: {how}" if how else title, fontsize=11)
    figure.supxlabel("epoch", fontsize=11)
    figure.supylabel("learning rate", fontsize=11)
    return figure


def mean_curve(group: SeedGroup, values: Values) -> np.ndarray:
    """Mean, lowest and highest over the seeds at each epoch that all of them reached: (3, epochs)."""
    curves = [values(run) for run in group.runs]
    shortest = min(len(curve) for curve in curves)
    table = np.array([curve[:shortest] for curve in curves])
    return np.stack((table.mean(0), table.min(0), table.max(0)))


def _lines(axes: Axes, runs: Sequence[RunResults], values: Values) -> None:
    style = styles(runs)
    longest = 1
    for group in trained(runs):
        mean, low, high = mean_curve(group, values)
        epochs = np.arange(1, len(mean) + 1)
        longest = max(longest, len(mean))
        look = style[group.label]
        axes.plot(epochs, mean, label=group.label, **look.of_line(len(mean)))
        if len(group.runs) > 1:
            axes.fill_between(epochs, low, high, color=look.color, alpha=0.15, linewidth=0)
    axes.set_xlim(0.5, longest + 0.5)
    axes.set_xlabel("epoch")
    whole_numbers(axes)


def _averages(axes: Axes, groups: Sequence[SeedGroup], style: dict[str, Style], name: str) -> bool:
    """Draw the curves of averaged weights, of the recipes that have them, and return whether there are any."""
    found = [group for group in groups if all(name in run.history for run in group.runs)]
    for group in found:
        mean, _, _ = mean_curve(group, partial(_listed, name=name))
        look = style[group.label]
        axes.plot(range(1, len(mean) + 1), mean, color=look.color, linestyle=look.line, linewidth=3.5, alpha=0.35)
    return bool(found)


def _listed(run: RunResults, name: str) -> list[float]:
    return run.history[name]


def _band(groups: Sequence[SeedGroup]) -> str:
    if all(len(group.runs) == 1 for group in groups):
        return "one seed"
    return f"lines: mean over {seed_count(groups)}; bands: from the lowest to the highest seed"
