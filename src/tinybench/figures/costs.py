"""Accuracy versus cost."""

from collections.abc import Sequence

from matplotlib.figure import Figure

from tinybench.figures.style import (
    legend_of_models,
    log_scale,
    panels,
    points,
    seed_count,
    styles,
    task_title,
    weights_note,
    wrapped,
)
from tinybench.results.costs import COSTS, cost_table, devices, pareto_front
from tinybench.results.groups import tested
from tinybench.results.runs import RunResults


def accuracy_against_costs(runs: Sequence[RunResults]) -> Figure:
    """Test accuracy versus parameters, operations, training time and memory, each with its Pareto front.

    Vertical lines are 95 % confidence intervals over seeds, if there are several. The front joins the recipes that are
    more accurate than all cheaper ones.

    Raises:
        UserError: no run was tested.
    """
    groups = tested(runs)
    table, style = cost_table(runs), styles(runs)
    figure, axes = panels(len(COSTS), 2, 4.5, 3.5, beside=3, sharey=True)
    for cost, ax in zip(COSTS, axes, strict=True):
        ax.set_xlabel(cost.label)
        known = table[table[cost.name].notna()]
        if known.empty:
            ax.text(
                0.5,
                0.5,
                "not measured;\nsrc/compare.py measures it",
                transform=ax.transAxes,
                ha="center",
                va="center",
            )
            ax.set_xticks([])
            continue
        front = known.loc[pareto_front(known[cost.name], known["accuracy"])]
        ax.step(front[cost.name], front["accuracy"], where="post", color="0.5", zorder=1, label="Pareto front")
        for label, row in known.iterrows():
            x, y = row[cost.name], row["accuracy"]
            color = style[label].color
            ax.plot([x, x], [row["low"], row["high"]], color=color, linewidth=points(1.5))
            ax.plot(x, y, linestyle="none", label=label, **style[label].of_points(9))
        if known[cost.name].max() > 20 * known[cost.name].min() > 0:
            log_scale(ax.xaxis)
        else:
            ax.set_xlim(0, 1.08 * known[cost.name].max())
        if (place := ax.get_subplotspec()) and place.is_first_col():
            ax.set_ylabel("test accuracy (%)")
    figure.suptitle(wrapped(figure, task_title(groups[0])))
    machines = devices(runs)
    legend_of_models(
        figure,
        next(ax for ax in axes if ax.lines),
        f"mean over {seed_count(groups)}; vertical lines: 95 % confidence interval of that mean"
        if any(len(group.runs) > 1 for group in groups)
        else "one seed each",
        weights_note(groups),
        ""
        if len(machines) == 1
        else f"time and memory were measured on {len(machines)} devices, so do not compare them",
    )
    return figure
