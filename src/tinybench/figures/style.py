"""What all figures share: their look, the page that they are for, and one colour, line and marker for each recipe."""

import contextlib
import textwrap
from collections.abc import Iterator, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import matplotlib
import numpy as np
import seaborn as sns
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.axis import XAxis, YAxis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.legend import Legend
from matplotlib.text import Text
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter

from tinybench.results.colors import recipe_looks
from tinybench.results.groups import SeedGroup, group_runs
from tinybench.results.runs import RunResults, data_title
from tinybench.words import shortened, span

# Colours that colour-blind readers can tell apart; line styles and markers do it in black and white.
PALETTE = sns.color_palette("colorblind")
# One hue, so that darker is always more, even in print.
SHADES = "Blues"
MARKS_PER_LINE = 8
FONT_SIZE = 12.0  # of an axis's name, in points; all sizes in figures/ are meant beside it
LETTERS = 108  # of a font of one point that fit an inch
LEGEND_WIDTH = 3.3  # inches beside the panels that figures have room for
LEGEND_LETTERS, LABEL_LETTERS = 45, 45  # of a recipe in the legend, and beside a row, where the page has no width
NARROWEST = 0.7  # share of a panel's width that it may be drawn with

# What `page` changes: width of all figures in inches, or None for each its own; and the size of the font in points.
_width: ContextVar[float | None] = ContextVar("width", default=None)
_font_size: ContextVar[float] = ContextVar("font_size", default=FONT_SIZE)


@contextlib.contextmanager
def page(width: float | None, font_size: float) -> Iterator[None]:
    """Within it, figures are drawn, and must be saved, for a page.

    Args:
        width: of a figure in inches; None for its own, which grows with the font.
        font_size: of the axes' names in points; markers and lines grow with it.
    """
    tokens = _width.set(width), _font_size.set(font_size)
    names = [*sns.plotting_context(), "hatch.linewidth", "axes.titlepad", "axes.labelpad", "xtick.major.pad",
             "ytick.major.pad"]  # fmt: skip
    sizes = {name: points(size) for name in names if isinstance(size := matplotlib.rcParams[name], float | int)}
    try:
        with matplotlib.rc_context(sizes):
            yield
    finally:
        _width.reset(tokens[0])
        _font_size.reset(tokens[1])


def points(size: float) -> float:
    """A length as it is beside a font of FONT_SIZE, for the font that the page has."""
    return size * _font_size.get() / FONT_SIZE


def room(width: float) -> float:
    """The width of a figure: its own, or the page's; in inches as they are beside a font of FONT_SIZE."""
    given = _width.get()
    return width if given is None else given / points(1)


def letters(inches: float, size: float) -> int:
    """How many letters of a font of `size` points fit, both beside FONT_SIZE."""
    return max(int(inches * LETTERS / size), 1)


@dataclass(frozen=True)
class Style:
    color: str
    marker: str
    line: tuple[int, tuple[float, ...] | None]  # as matplotlib takes it

    def of_line(self, count: int) -> dict[str, Any]:
        """Keyword arguments for a line of this many points, with a few evenly spread markers."""
        every = max(1, count // MARKS_PER_LINE)
        return {**self.of_points(), "linestyle": self.line, "markevery": (every // 2, every)}

    def of_points(self, size: float = 7) -> dict[str, Any]:
        edge = {"markeredgecolor": "white", "markeredgewidth": points(0.7)}
        return {"color": self.color, "marker": self.marker, "markersize": points(size), **edge}


def styles(runs: Sequence[RunResults]) -> dict[str, Style]:
    """The style of each recipe, by its label."""
    looks = recipe_looks({group.label: group.model for group in group_runs(runs)})
    return {label: Style(look.color, look.marker, (0, look.dashes or None)) for label, look in looks.items()}


@contextlib.contextmanager
def look(settings: dict[str, Any] | None = None) -> Iterator[None]:
    """Seaborn's look, but with the user's own font, for the page."""
    fonts = {name: matplotlib.rcParams[name] for name in ("font.family", "font.sans-serif")}
    sizes = {name: points(size) for name, size in sns.plotting_context("notebook").items()}
    with sns.axes_style("whitegrid", {**fonts, **(settings or {})}), sns.plotting_context(sizes):
        yield


def new_figure(
    width: float, height: float, rows: int = 1, columns: int = 1, *, in_proportion: bool = False, **options: Any
) -> tuple[Figure, Any]:
    """An empty figure and its Axes: one, or an array as `Figure.subplots` returns it.

    Args:
        width: in inches, where the page has none; beside a font of FONT_SIZE, as `height`.
        in_proportion: the height is meant for that width.
    """
    if in_proportion:
        height *= room(width) / width
    with look({"axes.edgecolor": "0.3"}):
        figure = Figure(figsize=(points(room(width)), points(height)), layout="constrained")
        axes = figure.subplots(rows, columns, **options)
    sns.despine(figure)
    return figure, axes


def panels(
    count: int, columns: int, width: float, height: float, *, beside: float = 0, **options: Any
) -> tuple[Figure, list[Axes]]:
    """A figure of `count` panels of `width` by `height` inches each, at most `columns` per row and as many as fit.

    Args:
        beside: inches of a legend beside them, where the page has no width.
    """
    own = max(width * min(columns, count), 5) + beside
    columns = min(columns, count, max(1, int(room(own) / (NARROWEST * width))))
    rows = -(-count // columns)
    figure, axes = new_figure(own, height * rows, rows, columns, squeeze=False, **options)
    for unused in axes.flat[count:]:
        unused.remove()
    return figure, list(axes.flat[:count])


def legend_of_models(figure: Figure, ax: Axes, *sentences: str) -> None:
    """As `add_legend`, with the entries of one of the panels."""
    add_legend(figure, *ax.get_legend_handles_labels(), *sentences)


def add_legend(figure: Figure, handles: Sequence[Artist], labels: Sequence[str], *sentences: str) -> None:
    """One legend for all panels and the sentences of `note`: beside the panels, or below on a page of given width.

    The figure grows to hold it.
    """
    text = note(figure, *sentences)
    if _width.get() is None:
        names = shortened(labels, LEGEND_LETTERS)
        legend = figure.legend(handles, names, loc="outside right upper", frameon=False)
        width, height = figure.get_size_inches()
        legend_width, needed = _extent(figure, legend)
        below = _extent(figure, text)[1] if text else 0.0
        more = max(legend_width - points(LEGEND_WIDTH), 0)
        figure.set_size_inches(width + more, max(height, needed + below + points(0.3)))
        return
    width, handle = room(0), 0.6  # inches
    names = shortened(labels, letters(width - handle, 10))
    fitting = int(width / (handle + max(map(len, names)) * 10 / LETTERS))
    legend = figure.legend(
        handles, names, loc="lower center", frameon=False, borderaxespad=0, ncols=max(1, min(fitting, len(names)))
    )
    place_below(figure, legend, text)


def place_below(figure: Figure, legend: Legend, text: Text | None) -> None:
    """Make room for a legend below the panels and above the note."""
    gap = points(0.1)
    needed, below = _extent(figure, legend)[1] + gap, _extent(figure, text)[1] + gap if text else 0.0
    width, height = figure.get_size_inches()
    height += needed
    figure.set_size_inches(width, height)
    legend.set_bbox_to_anchor((0.5, below / height))
    engine = figure.get_layout_engine()
    assert engine is not None
    engine.set(rect=(0, needed / height, 1, 1 - needed / height))  # type: ignore[call-arg]


def _extent(figure: Figure, artist: Legend | Text) -> tuple[float, float]:
    """Width and height in inches."""
    box = artist.get_window_extent(FigureCanvasAgg(figure).get_renderer())
    return box.width / figure.dpi, box.height / figure.dpi


def whole_numbers(ax: Axes) -> None:
    """Ticks at whole numbers only, even if there is a single one."""
    ax.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1, steps=[1, 2, 5, 10]))


def add_image_sizes(ax: Axes, sizes: Sequence[int]) -> None:
    """Shade the spans of epochs with images of the same size, and write it above them.

    Args:
        sizes: of each epoch, see `image_sizes`.
    """
    starts = [epoch for epoch, (size, former) in enumerate(zip(sizes, [0, *sizes], strict=False)) if size != former]
    ends = [*starts[1:], len(sizes)]
    for band, (start, end) in enumerate(zip(starts, ends, strict=True)):
        if band % 2:
            ax.axvspan(start + 0.5, end + 0.5, color="0.5", alpha=0.15, linewidth=0, zorder=0)
    above = ax.secondary_xaxis("top")
    middles = [(start + end + 1) / 2 for start, end in zip(starts, ends, strict=True)]
    above.set_xticks(middles, [f"{sizes[start]} px" for start in starts], fontsize=points(9))
    above.tick_params(length=0)
    above.spines["top"].set_visible(False)


def log_scale(axis: XAxis | YAxis) -> None:
    """A logarithmic axis with plain numbers; matplotlib's own labels need math text, which is off here."""
    axis.axes.set(**{f"{axis.axis_name}scale": "log"})
    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter("{x:g}")
    axis.set_minor_formatter(NullFormatter())


def panel_titles(figure: Figure, labels: Sequence[str], more: Sequence[str] = ()) -> list[str]:
    """The labels of recipes for its panels, with the network and what is in `more` below the recipe."""
    grid = figure.axes[0].get_gridspec()
    assert grid is not None
    most = letters(_own_width(figure) / grid.ncols - 0.9, 11)
    titles = _in_two_lines(labels, most)
    ends = more or [""] * len(titles)
    return ["\n".join((head, *textwrap.wrap(tail + end, most))) for (head, tail), end in zip(titles, ends, strict=True)]


def row_labels(labels: Sequence[str], more: Sequence[str] = ()) -> list[str]:
    """The labels of recipes beside their rows, in two lines each where the page has a width; `more` stands behind."""
    ends = more or [""] * len(labels)
    if _width.get() is None:
        return [label + end for label, end in zip(shortened(labels, LABEL_LETTERS), ends, strict=True)]
    titles = _in_two_lines(labels, letters(0.42 * room(0), 11))
    return ["\n".join(filter(None, (head, tail + end))) for (head, tail), end in zip(titles, ends, strict=True)]


def _in_two_lines(labels: Sequence[str], most: int) -> list[tuple[str, str]]:
    """Recipe and network, each in at most so many letters."""
    heads, _, tails = zip(*(label.partition(", ") for label in labels), strict=True)
    return list(zip(shortened(heads, most), shortened(tails, most), strict=True))


def row_height(inches: float) -> float:
    """Of a row that `row_labels` names and that is so high with a name in one line."""
    return inches if _width.get() is None else max(inches, 0.45)


def note(figure: Figure, *sentences: str) -> Text | None:
    """A note below the figure, one line or more per sentence; a narrow figure grows to hold it."""
    if not (lines := fitted(figure, *sentences)):
        return None
    text = figure.supxlabel(lines, fontsize=points(9), color="0.3")
    if _width.get() is not None:
        width, height = figure.get_size_inches()
        figure.set_size_inches(width, height + _extent(figure, text)[1])
    return text


def fitted(figure: Figure, *sentences: str) -> str:
    """Sentences below each other, wrapped to the width of the figure."""
    most = letters(_own_width(figure), 9)
    return "\n".join(textwrap.fill(sentence, most) for sentence in sentences if sentence)


def wrapped(figure: Figure, title: str) -> str:
    """A title in as many lines as the width of the figure asks for."""
    return textwrap.fill(title, letters(0.9 * _own_width(figure), 12))


def _own_width(figure: Figure) -> float:
    """In inches as they are beside a font of FONT_SIZE."""
    return float(figure.get_size_inches()[0]) / points(1)


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
        annot_kws={"fontsize": points(9)},
        cbar_kws={"label": bar},
        **options,
    )
    ax.grid(False)


def seed_count(groups: Sequence[SeedGroup]) -> str:
    """ "1 seed", "3 seeds", "1 to 3 seeds"."""
    counts = [len(group.runs) for group in groups]
    return f"{span(counts)} seed{'' if max(counts) == 1 else 's'}"
