"""The roofline of a training step."""

from typing import Any

import numpy as np
from matplotlib.figure import Figure

from tinybench.figures.style import letters, log_scale, new_figure, note, points, room, wrapped
from tinybench.results.colors import model_color
from tinybench.words import shortened

WIDTH = 8
LABELLED = 12  # the slowest layers


def roofline(profiled: dict[str, Any]) -> Figure:
    """Throughput versus arithmetic intensity of every layer, below the device's measured roofline.

    Williams, Waterman and Patterson 2009, https://doi.org/10.1145/1498765.1498785. The area of a point is the layer's
    share of the step time.

    Args:
        profiled: the content of profile.json.
    """
    figure, ax = new_figure(WIDTH, 5)
    peak, bandwidth = profiled["flops_per_second"], profiled["bytes_per_second"]
    layers = [
        (layer["name"], layer["flops"] / layer["bytes"], 1000 * layer["flops"] / milliseconds, milliseconds)
        for layer in profiled["layers"]
        if (milliseconds := layer["forward_ms"] + layer["backward_ms"]) and layer["flops"]
    ]
    intensities = [intensity for _, intensity, _, _ in layers]
    ends = np.array([min(*intensities, peak / bandwidth) / 2, 2 * max(*intensities, peak / bandwidth)])
    corner = np.array([ends[0], peak / bandwidth, ends[1]])
    ax.plot(corner, np.minimum(peak, corner * bandwidth) / 1e9, color="0.3", label="roofline")
    places = [(x, y / 1e9) for _, x, y, _ in layers]
    ax.scatter(
        *zip(*places, strict=True),
        s=[points(1) ** 2 * (20 + 1500 * milliseconds / profiled["step_ms"]) for *_, milliseconds in layers],
        color=model_color(profiled["model"]),
        alpha=0.6,
        edgecolor="0.2",
    )
    longest = sorted(range(len(layers)), key=lambda index: -layers[index][3])[:LABELLED]
    longest.sort(key=lambda index: -layers[index][2])
    names = shortened([layers[index][0] for index in longest], letters(0.3 * room(WIDTH), 8))
    # Below each other beside the axes, in the order of their points: layers of one shape lie on each other.
    for index, name, height in zip(longest, names, np.linspace(0.97, 0.03, len(names)), strict=True):
        ax.annotate(
            name,
            places[index],
            xytext=(1.02, height),
            textcoords="axes fraction",
            va="center",
            fontsize=points(8),
            arrowprops={"arrowstyle": "-", "color": "0.6", "linewidth": points(0.6)},
        )
    for axis in (ax.xaxis, ax.yaxis):
        log_scale(axis)
    ax.set_xlabel("arithmetic intensity (FLOP per byte moved, estimate)")
    ax.set_ylabel("throughput (GFLOP/s)")
    title = f"{profiled['model']}, {profiled['precision']}, batch {profiled['batch_size']}"
    ax.set_title(wrapped(figure, title))
    note(
        figure,
        f"roofline: {peak / 1e9:,.0f} GFLOP/s in a matrix product, {bandwidth / 1e9:,.1f} GB/s in a copy (measured)",
        "area: share of the step time",
    )
    return figure
