"""Test accuracy of all models: measured here, and published by others."""

from collections.abc import Sequence

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from tinybench.figures.style import new_figure, note, seed_count, styles, task_title, weights_note
from tinybench.results.colors import MODEL_COLORS, model_color
from tinybench.results.groups import SeedGroup, tested
from tinybench.results.published import CHOSEN_ON_TEST, HONEST, PRETRAINED, same_task, with_kinds
from tinybench.results.runs import RunResults
from tinybench.stats.intervals import mean_interval
from tinybench.words import listed

PUBLISHED_MARKERS = {HONEST: "o", CHOSEN_ON_TEST: "X", PRETRAINED: "*"}


def accuracy_bars(runs: Sequence[RunResults]) -> Figure:
    """Top-1 and top-5 test accuracy of every recipe, the most accurate first, with 95 % intervals over seeds (t).

    A recipe with one seed has no interval.

    Raises:
        UserError: no run was tested.
    """
    groups = sorted(tested(runs), key=lambda group: -mean_interval(_accuracies(group, "test_acc")).mean)
    style = styles(runs)
    figure, axes = new_figure(8, 1.6 + 0.62 * len(groups))
    place = axes[0, 0]
    for row, group in enumerate(groups):
        color = style[group.label].color
        for key, offset, face in (("test_acc", -0.2, color), ("test_top5_acc", 0.2, "none")):
            if not (accuracies := _accuracies(group, key)):
                continue
            interval = mean_interval(accuracies)
            look = {"facecolor": face, "edgecolor": color, "hatch": "" if face == color else "////"}
            place.barh(row + offset, interval.mean, 0.36, **look)
            end = interval.mean
            if interval.low is not None and interval.high is not None:
                end = min(interval.high, 100)
                place.plot([max(interval.low, 0), end], [row + offset] * 2, color="black", marker="|", linewidth=1.5)
            place.text(end + 1, row + offset, f"{interval.mean:.1f}", va="center", fontsize=10)
    place.set_yticks(range(len(groups)), [group.label for group in groups])
    place.invert_yaxis()
    place.set_xlim(0, 108)
    place.set_xticks(range(0, 101, 20))
    place.grid(False, axis="y")
    place.set_xlabel("test accuracy (%)")
    place.set_title(task_title(groups[0]))
    figure.legend(
        handles=[
            Patch(facecolor="0.4", edgecolor="0.4", label="top-1"),
            Patch(facecolor="none", edgecolor="0.4", hatch="////", label="top-5"),
        ],
        loc="outside right upper",
        frameon=False,
    )
    single = [group.label for group in groups if len(group.runs) == 1]
    if len(single) == len(groups):
        note(figure, "one seed each, which allows no interval over seeds", weights_note(groups))
    else:
        note(
            figure,
            f"mean over {seed_count(groups)}; black lines: 95 % interval of the mean over seeds",
            f"one seed allows no interval: {listed(single)}" if single else "",
            weights_note(groups),
        )
    return figure


def published_accuracy(runs: Sequence[RunResults], published: pd.DataFrame) -> Figure:
    """Top-1 accuracies that others published for Tiny ImageNet's 200 classes, a row a network, hollow.

    The set-ups differ in epochs, augmentation and size of the network. Filled, with 95 % intervals over seeds: what was
    measured here, if the runs learned the same task.

    Args:
        runs: may be empty.
        published: as `results.read_published` gives it.

    Raises:
        UserError: nothing was published.
    """
    published, here = with_kinds(published), same_task(runs)
    order = {name: position for position, name in enumerate(MODEL_COLORS)}
    networks = {*published["network"], *(group.model for group in here)}
    names = sorted(networks, key=lambda name: (order.get(name, len(order)), name))
    figure, axes = new_figure(9, 2 + 0.42 * len(names))
    place = axes[0, 0]
    for entry in published.itertuples():
        row = names.index(entry.network) - (0.15 if here else 0)
        look = {"marker": PUBLISHED_MARKERS[entry.kind], "markersize": 9, "markerfacecolor": "none"}
        place.plot(entry.top1, row, color=model_color(entry.network), linestyle="", **look)
    for group in here:
        interval = mean_interval(_accuracies(group, "test_acc"))
        row = names.index(group.model) + 0.2
        color = model_color(group.model)
        place.plot([interval.low, interval.high], [row] * 2, color=color, linewidth=2)
        place.plot(interval.mean, row, marker="s", color=color, markersize=9, linestyle="")
    place.set_yticks(range(len(names)), names)
    place.set_ylim(len(names) - 0.5, -0.5)
    place.set_xlim(0, max(published["top1"].max(), 75) + 5)
    place.set_xlabel("top-1 accuracy (%)")
    place.set_title("Published by others" + (" (hollow) and measured here (filled)" if here else ""))
    handles = [
        Line2D([], [], marker=marker, color="0.3", markerfacecolor="none", markersize=9, linestyle="", label=label)
        for label, marker in PUBLISHED_MARKERS.items()
    ]
    if here:
        handles.append(Line2D([], [], marker="s", color="0.3", markersize=9, linestyle="", label="measured here"))
    figure.legend(handles=handles, loc="outside lower center", frameon=False, ncols=2)
    return figure


def _accuracies(group: SeedGroup, key: str) -> list[float]:
    """Of all seeds; none where the results of one lack it."""
    tests = [run.tests["best"] for run in group.runs]
    return [test[key] for test in tests] if all(key in test for test in tests) else []
