"""Write a trained network for other programs: `python src/export.py --run RUN --format onnx`.

Without --run, it is the network that infer.py would ask. The file goes beside the checkpoint, where infer.py finds
network.onnx and answers from it in a second. What is written is compared with the checkpoint on held-out validation
images, and kept only if it answers the same.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tinybench.cli import console
from tinybench.cli.run_arguments import NetworkArguments
from tinybench.errors import printable
from tinybench.recipe import Count


@dataclass(kw_only=True)
class Arguments(NetworkArguments):
    format: Literal["onnx", "torch_export", "safetensors", "pth", "hub"] = "onnx"
    """onnx and torch_export: a graph from uint8 images to logits and probabilities, the preprocessing in it;
    safetensors (with a .json beside it) and pth: weights, which every command takes as --checkpoint; hub: a folder of
    safetensors, onnx and a model card."""
    output: Path | None = None
    """File or folder to write (default: network.onnx, network_int8.onnx, … beside the checkpoint)."""
    overwrite: bool = False
    """Replace what is already there."""
    half: bool = False
    """Store weights in half precision, which is half the bytes; not of torch_export."""
    int8: bool = False
    """Quantize weights and activations to 8 bits, the ranges taken from training images; onnx alone."""
    layout: Literal["nchw", "nhwc"] = "nchw"
    """Of the uint8 images that onnx and torch_export take: (B, 3, S, S) or (B, S, S, 3)."""
    parity_images: Count = 1000
    """Validation images to compare on."""
    calibration_images: Count = 512
    """Training images to find the ranges of activations with."""
    data_dir: Path = Path("data")
    """Where the data sets are."""
    dataset: str = ""
    """Where the run's data set is now, if it has moved; the images must be the same."""


def main() -> None:
    arguments = console.parse(Arguments, __doc__)
    arguments.check()
    form = arguments.format
    hub = form == "hub"
    console.require(
        form in ("onnx", "torch_export", "hub"), ["layout"], "goes with --format onnx, torch_export and hub"
    )
    console.require(form != "torch_export", ["half"], "goes with --format onnx, safetensors, pth and hub")
    console.require(form == "onnx" and not arguments.half, ["int8"], "goes with --format onnx, without --half")
    console.require(arguments.int8, ["calibration_images"], "goes with --int8")
    from tinybench.export.write import ExportOptions, check_target, default_output, export, export_folder
    from tinybench.runtime.device import pick_device

    source = arguments.source()
    options = ExportOptions(
        format="onnx" if form == "hub" else form,
        half=arguments.half,
        int8=arguments.int8,
        layout=arguments.layout,
        parity_images=arguments.parity_images,
        calibration_images=arguments.calibration_images,
        data_dir=arguments.data_dir,
        dataset=arguments.dataset,
        device=pick_device(arguments.device),
    )
    output = arguments.output or default_output(source, options, hub=hub)
    check_target(output, options, overwrite=arguments.overwrite, hub=hub)
    if hub:
        export_folder(source, output, options)
        print(printable(f"{output}: {', '.join(sorted(path.name for path in output.iterdir()))}"))
        return
    parity = export(source, output, options)
    print(printable(f"{output}: {source} in {options.arithmetic}, {output.stat().st_size / 1e6:.1f} MB"))
    print(f"  {parity}")
