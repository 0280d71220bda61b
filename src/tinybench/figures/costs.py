"""Accuracy against what it costs."""

from collections.abc import Sequence

from matplotlib.figure import Figure

from tinybench.figures.style import (
    legend_of_models,
    log_scale,
    new_figure,
    note,
    seed_count,
    styles,
    task_title,
    weights_note,
)
from tinybench.results.costs import COSTS, cost_table, devices, pareto_front
from tinybench.results.groups import tested
from tinybench.results.runs import RunResults


def accuracy_against_costs(runs: Sequence[RunResults]) -> Figure:
    """Test accuracy against parameters, operations, training time and memory, and the Pareto front of each.

    Vertical lines are 95 % intervals over seeds, where there are several. The front joins the recipes that are more
    accurate than all that cost less.

    Raises:
        UserError: no run was tested.
    """
    groups = tested(runs)
    table, style = cost_table(runs), styles(runs)
    figure, axes = new_figure(12, 7, 2, 2, sharey=True)
    for cost, place in zip(COSTS, axes.flat, strict=True):
        place.set_xlabel(cost.label)
        known = table[table[cost.name].notna()]
        if known.empty:
            place.text(
                0.5,
                0.5,
                "not measured;\nsrc/compare.py measures it",
                transform=place.transAxes,
                ha="center",
                va="center",
            )
            place.set_xticks([])
            continue
        front = known.loc[pareto_front(known[cost.name], known["accuracy"])]
        place.step(front[cost.name], front["accuracy"], where="post", color="0.5", zorder=1, label="Pareto front")
        for label, row in known.iterrows():
            x, y = row[cost.name], row["accuracy"]
            color = style[label].color
            place.plot([x, x], [row["low"], row["high"]], color=color, linewidth=1.5)
            place.plot(x, y, linestyle="none", label=label, **style[label].of_points() | {"markersize": 9})
        if known[cost.name].max() > 20 * known[cost.name].min() > 0:
            log_scale(place.xaxis)
        else:
            place.set_xlim(0, 1.08 * known[cost.name].max())
    for place in axes[:, 0]:
        place.set_ylabel("test accuracy (%)")
    full = next(place for place in axes.flat if place.lines)
    legend_of_models(figure, full)
    figure.suptitle(task_title(groups[0]))
    machines = devices(runs)
    note(
        figure,
        f"mean over {seed_count(groups)}; vertical lines: 95 % interval of that mean"
        if any(len(group.runs) > 1 for group in groups)
        else "one seed each",
        weights_note(groups),
        "" if len(machines) == 1 else f"times and memory are of {len(machines)} devices and do not compare",
    )
    return figure
