"""What all figures share: their look, and one colour, line and marker for each model."""

import contextlib
import textwrap
from collections.abc import Iterator, Sequence
from typing import Any

import matplotlib
import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.axis import XAxis, YAxis
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter

from tinybench.results.colors import Style, recipe_styles
from tinybench.results.groups import SeedGroup, group_runs
from tinybench.results.runs import RunResults, data_title
from tinybench.words import span

# One hue, so that darker is always more, even in print.
SHADES = "Blues"
MARKS_PER_LINE = 8
LETTERS_PER_INCH = 12  # of the note below a figure


def styles(runs: Sequence[RunResults]) -> dict[str, Style]:
    """The style of each recipe, by its label; a network's second recipe has its colour but another marker and line."""
    return recipe_styles({group.label: group.model for group in group_runs(runs)})


def line_look(style: Style, points: int) -> dict[str, Any]:
    """Keyword arguments for a line of this many points, with a few evenly spread markers."""
    every = max(1, points // MARKS_PER_LINE)
    return {**point_look(style), "linestyle": line_style(style), "markevery": (every // 2, every)}


def line_style(style: Style) -> tuple[int, tuple[float, ...] | None]:
    """As matplotlib takes it."""
    return 0, style.dashes or None


def point_look(style: Style) -> dict[str, Any]:
    edge = {"markeredgecolor": "white", "markeredgewidth": 0.7}
    return {"color": style.color, "marker": style.marker, "markersize": 7, **edge}


@contextlib.contextmanager
def look(settings: dict[str, Any] | None = None) -> Iterator[None]:
    """Seaborn's look, but with the user's own font."""
    fonts = {name: matplotlib.rcParams[name] for name in ("font.family", "font.sans-serif")}
    with sns.axes_style("whitegrid", {**fonts, **(settings or {})}), sns.plotting_context("notebook"):
        yield


def new_figure(width: float, height: float, rows: int = 1, columns: int = 1, **options: Any) -> tuple[Figure, Any]:
    """An empty figure of `width` by `height` inches and its Axes: one, or an array as `Figure.subplots` returns it."""
    with look({"axes.edgecolor": "0.3"}):
        figure = Figure(figsize=(width, height), layout="constrained")
        axes = figure.subplots(rows, columns, **options)
    sns.despine(figure)
    return figure, axes


def panels(count: int, columns: int, width: float, height: float, **options: Any) -> tuple[Figure, list[Axes]]:
    """A figure of `count` panels of `width` by `height` inches each, at most `columns` per row."""
    columns = min(columns, count)
    rows = -(-count // columns)
    figure, axes = new_figure(max(width * columns, 5), height * rows, rows, columns, squeeze=False, **options)
    for unused in axes.flat[count:]:
        unused.remove()
    return figure, list(axes.flat[:count])


def legend_of_models(figure: Figure, ax: Axes) -> None:
    """One legend for all panels, beside them, with the entries of one of them."""
    handles, labels = ax.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside right upper", frameon=False)


def whole_numbers(ax: Axes) -> None:
    """Ticks at whole numbers only, even if there is a single one."""
    ax.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1, steps=[1, 2, 5, 10]))


def log_scale(axis: XAxis | YAxis) -> None:
    """A logarithmic axis with plain numbers; matplotlib's own labels need math text, which is off here."""
    axis.axes.set(**{f"{axis.axis_name}scale": "log"})
    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter("{x:g}")
    axis.set_minor_formatter(NullFormatter())


def title_of(label: str) -> str:
    """The label of a recipe in two lines, for a narrow panel."""
    return label.replace(", ", "\n", 1)


def note(figure: Figure, *sentences: str) -> None:
    """A note below the figure, one line or more per sentence."""
    if text := fitted(figure, *sentences):
        figure.supxlabel(text, fontsize=9, color="0.3")


def fitted(figure: Figure, *sentences: str) -> str:
    """Sentences below each other, wrapped to the width of the figure."""
    letters = int(LETTERS_PER_INCH * figure.get_size_inches()[0])
    return "\n".join(textwrap.fill(sentence, letters) for sentence in sentences if sentence)


def task_title(group: SeedGroup) -> str:
    """The data set and number of classes, as a title."""
    return data_title(group.runs[0].history)


def weights_note(groups: Sequence[SeedGroup]) -> str:
    """For `note`: the recipes that were tested with EMA weights, since these were better than the raw ones."""
    counts = [(group, sum(run.averaged for run in group.runs)) for group in groups]
    found = [f"{group.recipe} ({count} of {seed_count([group])})" for group, count in counts if count]
    return f"tested with EMA weights: {', '.join(found)}" if found else ""


def heat_map(ax: Axes, values: np.ndarray, *, bar: str, annotate: str = "", **options: Any) -> None:
    """Cells shaded by value, with a colour bar labelled `bar`, and with numbers in the format `annotate`, if any."""
    sns.heatmap(
        values,
        ax=ax,
        cmap=SHADES,
        annot=bool(annotate),
        fmt=annotate or ".0f",
        annot_kws={"fontsize": 9},
        cbar_kws={"label": bar},
        **options,
    )
    ax.grid(False)


def seed_count(groups: Sequence[SeedGroup]) -> str:
    """ "1 seed", "3 seeds", "1 to 3 seeds"."""
    counts = [len(group.runs) for group in groups]
    return f"{span(counts)} seed{'' if max(counts) == 1 else 's'}"
