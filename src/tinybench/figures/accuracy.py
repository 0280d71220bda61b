"""Test accuracy of all models: ours, and published by others."""

from collections.abc import Sequence

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from tinybench.errors import UserError
from tinybench.figures.style import (
    add_legend,
    log_scale,
    new_figure,
    points,
    room,
    row_height,
    row_labels,
    seed_count,
    styles,
    task_title,
    weights_note,
)
from tinybench.results.colors import MARKERS, MODEL_COLORS, NETWORK_TITLES, model_color
from tinybench.results.costs import cost_table, devices
from tinybench.results.groups import SeedGroup, tested
from tinybench.results.published import CHOSEN_ON_TEST, HONEST, PRETRAINED, same_task, with_kinds
from tinybench.results.runs import RunResults
from tinybench.stats.intervals import mean_interval
from tinybench.words import listed

PUBLISHED_MARKERS = {HONEST: "o", CHOSEN_ON_TEST: "X", PRETRAINED: "*"}
OURS = "s"


def accuracy_bars(runs: Sequence[RunResults]) -> Figure:
    """Top-1 and top-5 test accuracy of every recipe, the most accurate first, with 95 % t intervals over seeds.

    A recipe with one seed has no interval.

    Raises:
        UserError: no run was tested.
    """
    groups = sorted(tested(runs), key=lambda group: -mean_interval(_accuracies(group, "test_acc")).mean)
    style = styles(runs)
    figure, ax = new_figure(8, 1.6 + row_height(0.62) * len(groups))
    for row, group in enumerate(groups):
        color = style[group.label].color
        for key, offset, face in (("test_acc", -0.2, color), ("test_top5_acc", 0.2, "none")):
            if not (accuracies := _accuracies(group, key)):
                continue
            interval = mean_interval(accuracies)
            look = {"facecolor": face, "edgecolor": color, "hatch": "" if face == color else "////"}
            ax.barh(row + offset, interval.mean, 0.36, **look)
            end = interval.mean
            if interval.low is not None and interval.high is not None:
                end = min(interval.high, 100)
                ax.plot(
                    [max(interval.low, 0), end], [row + offset] * 2, color="black", marker="|", linewidth=points(1.5)
                )
            ax.text(end + 1, row + offset, f"{interval.mean:.1f}", va="center", fontsize=points(10))
    ax.set_yticks(range(len(groups)), row_labels([group.label for group in groups]))
    ax.set_ylim(len(groups) - 0.4, -0.6)
    ax.set_xlim(0, 108)
    ax.set_xticks(range(0, 101, 20))
    ax.grid(False, axis="y")
    ax.set_xlabel("test accuracy (%)")
    ax.set_title(task_title(groups[0]))
    kinds = [
        Patch(facecolor="0.4", edgecolor="0.4"),
        Patch(facecolor="none", edgecolor="0.4", hatch="////"),
    ]
    single = [group.label for group in groups if len(group.runs) == 1]
    seeds = (
        ["one seed each: no interval over seeds"]
        if len(single) == len(groups)
        else [
            f"mean over {seed_count(groups)}; black lines: 95 % confidence interval of the mean over seeds",
            f"one seed, so no interval: {listed(single)}" if single else "",
        ]
    )
    add_legend(figure, kinds, ["top-1", "top-5"], *seeds, weights_note(groups))
    return figure


def published_accuracy(runs: Sequence[RunResults], published: pd.DataFrame) -> Figure:
    """Published top-1 accuracies on Tiny ImageNet's 200 classes, one row per network, hollow.

    The set-ups differ in epochs, augmentation and network size. Runs on the same task are filled, with 95 % confidence
    intervals over seeds.

    Args:
        runs: may be empty.
        published: as returned by `read_published`.

    Raises:
        UserError: the table is empty.
    """
    published, here = with_kinds(published), same_task(runs)
    order = {name: position for position, name in enumerate(MODEL_COLORS)}
    networks = {*published["network"], *(group.model for group in here)}
    names = sorted(networks, key=lambda name: (order.get(name, len(order)), name))
    figure, ax = new_figure(9, 2 + 0.42 * len(names))
    for entry in published.itertuples():
        row = names.index(entry.network) - (0.15 if here else 0)
        look = {"marker": PUBLISHED_MARKERS[entry.kind], "markersize": points(9), "markerfacecolor": "none"}
        ax.plot(entry.top1, row, color=model_color(entry.network), linestyle="", **look)
    for group in here:
        interval = mean_interval(_accuracies(group, "test_acc"))
        row = names.index(group.model) + 0.2
        color = model_color(group.model)
        ax.plot([interval.low, interval.high], [row] * 2, color=color, linewidth=points(2))
        ax.plot(interval.mean, row, marker=OURS, color=color, markersize=points(9), linestyle="")
    ax.set_yticks(range(len(names)), names)
    ax.set_ylim(len(names) - 0.5, -0.5)
    ax.set_xlim(0, max(published["top1"].max(), 75) + 5)
    ax.set_xlabel("top-1 accuracy (%)")
    ax.set_title(_title(here))
    handles = [_marker(marker, label, face="none") for label, marker in PUBLISHED_MARKERS.items()]
    if here:
        handles.append(_marker(OURS, "ours"))
    figure.legend(handles=handles, loc="outside lower center", frameon=False, ncols=2 if room(9) > 8 else 1)
    return figure


def published_hours(runs: Sequence[RunResults], published: pd.DataFrame) -> Figure:
    """Top-1 accuracy on Tiny ImageNet's 200 classes by hours of training: published, hollow, and ours, filled.

    Of the published networks it shows those that were trained from scratch, whose epoch was chosen without the test
    images and whose hours are known. The marker says what they were trained on.

    Args:
        runs, published: as of `published_accuracy`.

    Raises:
        UserError: no such network was published.
    """
    published, here = with_kinds(published), same_task(runs)
    published = published[(published["kind"] == HONEST) & published["hours"].notna()]
    if published.empty:
        raise UserError("no published accuracy states its hours of training and is chosen without the test images")
    published = published.fillna({"hardware": "unknown"})
    markers = [marker for marker in MARKERS if marker != OURS]
    hardware = sorted(published["hardware"].unique())
    machines = {name: markers[number % len(markers)] for number, name in enumerate(hardware)}
    figure, ax = new_figure(9, 4.5)
    for entry in published.itertuples():
        look = {"marker": machines[entry.hardware], "markerfacecolor": "none", "markersize": points(9)}
        ax.plot(entry.hours, entry.top1, color=model_color(entry.network), linestyle="", **look)
    ours = [run for group in here for run in group.runs]
    costs = cost_table(ours) if ours else pd.DataFrame()
    for group in here:
        row, color = costs.loc[group.label], model_color(group.model)
        ax.plot([row["time"] / 60] * 2, [row["low"], row["high"]], color=color, linewidth=points(2))
        ax.plot(row["time"] / 60, row["accuracy"], marker=OURS, color=color, markersize=points(9), linestyle="")
    log_scale(ax.xaxis)
    ax.set_ylim(0, None)
    ax.set_xlabel("hours of training")
    ax.set_ylabel("top-1 accuracy (%)")
    ax.set_title(_title(here))
    networks = dict.fromkeys([*(group.model for group in here), *published["network"]])
    handles = [
        *(Patch(color=model_color(name), label=NETWORK_TITLES.get(name, name)) for name in networks),
        *(_marker(marker, machine, face="none") for machine, marker in machines.items()),
        *([_marker(OURS, f"ours, {listed(devices(ours))}")] if ours else []),
    ]
    add_legend(figure, handles, [str(handle.get_label()) for handle in handles])
    return figure


def _title(here: Sequence[SeedGroup]) -> str:
    return "Published by others" + (" (hollow) and ours (filled)" if here else "")


def _marker(marker: str, label: str, face: str = "0.3") -> Line2D:
    """An entry of a legend."""
    return Line2D(
        [], [], marker=marker, label=label, color="0.3", markerfacecolor=face, markersize=points(9), linestyle=""
    )


def _accuracies(group: SeedGroup, key: str) -> list[float]:
    """Of all seeds; empty if the results of one of them lack it."""
    tests = [run.tests["best"] for run in group.runs]
    return [test[key] for test in tests] if all(key in test for test in tests) else []
