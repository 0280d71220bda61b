"""The roofline of a training step."""

from typing import Any

import numpy as np
from matplotlib.figure import Figure

from tinybench.figures.style import log_scale, new_figure, note
from tinybench.results.colors import model_color

LABELLED = 12  # the slowest layers


def roofline(profiled: dict[str, Any]) -> Figure:
    """Throughput versus arithmetic intensity of every layer, below the device's measured roofline.

    Williams, Waterman and Patterson 2009, https://doi.org/10.1145/1498765.1498785. The area of a point is the layer's
    share of the step time.

    Args:
        profiled: the content of profile.json.
    """
    figure, ax = new_figure(8, 5)
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
    points = [(x, y / 1e9) for _, x, y, _ in layers]
    ax.scatter(
        *zip(*points, strict=True),
        s=[20 + 1500 * milliseconds / profiled["step_ms"] for *_, milliseconds in layers],
        color=model_color(profiled["model"]),
        alpha=0.6,
        edgecolor="0.2",
    )
    longest = sorted(range(len(layers)), key=lambda index: -layers[index][3])[:LABELLED]
    for index in longest:
        ax.annotate(layers[index][0], points[index], textcoords="offset points", xytext=(7, -4), fontsize=8)
    for axis in (ax.xaxis, ax.yaxis):
        log_scale(axis)
    ax.set_xlabel("arithmetic intensity (FLOP per byte moved, estimate)")
    ax.set_ylabel("throughput (GFLOP/s)")
    ax.set_title(f"{profiled['model']}, {profiled['precision']}, batch {profiled['batch_size']}")
    note(
        figure,
        f"roofline: {peak / 1e9:,.0f} GFLOP/s in a matrix product, {bandwidth / 1e9:,.1f} GB/s in a copy (measured)",
        "area: share of the step time",
    )
    return figure
