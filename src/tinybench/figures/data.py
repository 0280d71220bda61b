"""Figures of data set statistics."""

from collections.abc import Sequence
from typing import Any

from matplotlib.figure import Figure

from tinybench.errors import UserError, command
from tinybench.figures.style import add_legend, new_figure, points, row_height, row_labels, wrapped

# Red, green and blue that colour-blind readers can tell apart, with a line and a marker for print.
CHANNELS = (("red", "#d55e00", "-", "o"), ("green", "#029e73", "--", "s"), ("blue", "#0173b2", ":", "^"))


def channel_statistics(explorations: Sequence[dict[str, Any]]) -> Figure:
    """Mean and standard deviation of the training images per channel, which normalise the pixels; a row per data set.

    Args:
        explorations: as returned by `explore`, one per data set.

    Raises:
        UserError: there are none.
    """
    if not explorations:
        raise UserError(f"no data set has been explored yet; {command('src/explore_data.py')} does it")
    figure, ax = new_figure(7, 1.6 + row_height(0.7) * len(explorations))
    for row, numbers in enumerate(explorations):
        for channel, (name, color, _, marker) in enumerate(CHANNELS):
            ax.errorbar(
                numbers["mean"][channel],
                row + 0.2 * (channel - 1),
                xerr=numbers["std"][channel],
                color=color,
                marker=marker,
                markersize=points(7),
                capsize=points(4),
                label=name if row == 0 else None,
            )
    ax.set_yticks(range(len(explorations)), row_labels([numbers["name"] for numbers in explorations]))
    ax.set_ylim(len(explorations) - 0.5, -0.5)
    ax.set_xlim(0, 1)
    ax.set_xlabel(wrapped(figure, "pixel value of the training images (0 to 1): mean ± standard deviation"))
    add_legend(figure, *ax.get_legend_handles_labels())
    return figure
