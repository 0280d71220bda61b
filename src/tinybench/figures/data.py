"""Figures of the numbers about data sets."""

from collections.abc import Sequence
from typing import Any

from matplotlib.figure import Figure

from tinybench.errors import UserError
from tinybench.figures.style import new_figure

# Red, green and blue as colour-blind readers can tell them apart, with a line and a marker for print.
CHANNELS = (("red", "#d55e00", "-", "o"), ("green", "#029e73", "--", "s"), ("blue", "#0173b2", ":", "^"))


def channel_statistics(explorations: Sequence[dict[str, Any]]) -> Figure:
    """Mean and standard deviation of the train images by channel, a row a data set: what pixels are normalised with.

    Args:
        explorations: as `narrative.data.read_explorations` gives them.

    Raises:
        UserError: no data set was explored.
    """
    if not explorations:
        raise UserError("no numbers about a data set; python src/explore_data.py writes them")
    figure, axes = new_figure(7, 1.6 + 0.7 * len(explorations))
    place = axes[0, 0]
    for row, numbers in enumerate(explorations):
        for channel, (name, color, _, marker) in enumerate(CHANNELS):
            place.errorbar(
                numbers["mean"][channel],
                row + 0.2 * (channel - 1),
                xerr=numbers["std"][channel],
                color=color,
                marker=marker,
                markersize=7,
                capsize=4,
                label=name if row == 0 else None,
            )
    place.set_yticks(range(len(explorations)), [numbers["name"] for numbers in explorations])
    place.set_ylim(len(explorations) - 0.5, -0.5)
    place.set_xlim(0, 1)
    place.set_xlabel("brightness of the train images (0 to 1): mean ± standard deviation")
    figure.legend(*place.get_legend_handles_labels(), loc="outside right upper", frameon=False)
    return figure
