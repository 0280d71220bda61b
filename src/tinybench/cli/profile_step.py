"""Where a training step's time and memory go: `python src/profile_step.py --model resnet` shows it layer by layer.

It writes profile.json, trace.json.gz (for chrome://tracing or https://ui.perfetto.dev) and the figure roofline.
"""

import dataclasses
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from annotated_types import Interval

from tinybench.cli import console
from tinybench.cli.figure_arguments import FigureArguments
from tinybench.configuration import get_recipe, load_recipes
from tinybench.model_file import load_model_file
from tinybench.recipe import Count, Device, Precision, Side
from tinybench.runtime.files import check_output, has_keys, write_json


@dataclass(kw_only=True)
class Arguments(FigureArguments):
    model: str
    """Name of the network; it is built and trained as its recipe says."""
    batch_size: Count = 64
    """Images a step."""
    image_size: Side = 64
    """Side of the images in pixels."""
    num_classes: Annotated[int, Interval(ge=2, le=1_000_000)] = 200
    precision: Precision = "fp32"
    """Arithmetic of convolutions and matrix products; fp16 needs CUDA."""
    channels_last: bool = False
    """Memory layout NHWC instead of NCHW."""
    steps: Annotated[int, Interval(ge=1, le=10_000)] = 3
    """Steps to average over."""
    device: Device = "auto"
    """auto takes CUDA, then MPS, then the CPU."""
    output_dir: Path = Path("plots")
    """The files go to output_dir/<model>/."""
    model_file: Path | None = None
    """File that adds the network to MODELS and holds its RECIPES."""
    debug: bool = False
    """Show the whole traceback of an error."""


def main() -> None:
    arguments = console.parse(Arguments, __doc__)
    from tinybench.figures import roofline
    from tinybench.models import recipe_of
    from tinybench.profiling.layers import profile_step
    from tinybench.runtime.device import check_precision, pick_device
    from tinybench.runtime.pictures import check_picture

    arguments.check_figures()

    recipes = load_recipes() | (load_model_file(arguments.model_file) if arguments.model_file else {})
    device = pick_device(arguments.device)
    check_precision(device, arguments.precision, channels_last=arguments.channels_last)
    recipe = dataclasses.replace(
        get_recipe(recipe_of(arguments.model), recipes),
        batch_size=arguments.batch_size, accumulate_steps=1,
        image_size=arguments.image_size, image_size_schedule="", precision=arguments.precision,
        channels_last=arguments.channels_last,
    )  # fmt: skip
    folder = arguments.output_dir / arguments.model
    profile, trace, picture = (folder / name for name in ("profile.json", "trace.json.gz", "roofline"))
    for path, is_ours in ((profile, has_keys("layers", "name")), (trace, is_trace)):
        check_output(path, arguments.force, is_ours)
    for path in arguments.files(picture):
        check_picture(path, arguments.force)
    profiled = profile_step(recipe, arguments.num_classes, device, arguments.steps, trace)
    print(table(profiled))
    write_json(profile, profiled)
    print(profile)
    if not profiled["layers_timed"]:
        print(f"no trace and no roofline: torch's profiler does not see how long anything takes on {device.type}")
        return
    print(trace, *arguments.save(lambda: roofline(profiled), picture), sep="\n")


def is_trace(start: bytes) -> bool:
    """Whether a file begins as the profiler's trace."""
    try:
        return b'"schemaVersion"' in zlib.decompressobj(wbits=zlib.MAX_WBITS | 16).decompress(start)  # 16: of gzip
    except zlib.error:
        return False


def table(profiled: dict[str, Any]) -> str:
    """The layers in lines, and what the whole step comes to."""
    timed = profiled["layers_timed"]
    header = (
        f"{'forward ms':>11}{'backward ms':>12}{'share':>8}{'GFLOP/s':>9}{'of peak':>8}" if timed else f"{'GFLOP':>10}"
    )
    lines = [f"{'layer':<20}{header}{'kept MiB':>10}"]
    explained = 0.0
    for layer in profiled["layers"]:
        milliseconds = layer["forward_ms"] + layer["backward_ms"]
        explained += milliseconds
        rate = 1000 * layer["flops"] / milliseconds if milliseconds else 0.0
        times = (
            f"{layer['forward_ms']:>11.2f}{layer['backward_ms']:>12.2f}{milliseconds / profiled['step_ms']:>8.1%}"
            f"{rate / 1e9:>9.1f}{rate / profiled['flops_per_second']:>8.0%}"
        )
        columns = times if timed else f"{layer['flops'] / 1e9:>10.2f}"
        lines.append(f"{layer['name']:<20}{columns}{layer['kept_bytes'] / 2**20:>10.1f}")
    flops = sum(layer["flops"] for layer in profiled["layers"])
    rate = 1000 * flops / profiled["step_ms"]
    kept = sum(layer["kept_bytes"] for layer in profiled["layers"]) / 2**20
    explains = f"of which the layers explain {explained / profiled['step_ms']:.0%}; " if timed else ""
    lines.append(
        f"step: {profiled['step_ms']:.1f} ms, {explains}"
        f"{1000 * profiled['batch_size'] / profiled['step_ms']:,.1f} images/s; {rate / 1e9:,.1f} GFLOP/s, "
        f"{rate / profiled['flops_per_second']:.0%} of a matrix product's; {kept:,.0f} MiB kept for the backward pass"
    )
    return "\n".join(lines)
