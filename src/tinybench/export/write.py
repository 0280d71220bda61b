"""Exporting: a network is written in a format, compared with its checkpoint, and only then put into its place."""

import hashlib
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from shutil import copyfile
from typing import Any, Literal

import onnx
import torch
from google.protobuf.message import EncodeError
from torch import Tensor

from tinybench.data.augment.geometry import resize_uint8
from tinybench.data.imageset import ImageSet
from tinybench.errors import UsageError, UserError
from tinybench.evaluation.evaluate import RESULTS, Results, load_own_images
from tinybench.export.graph import to_onnx, traced, write_program
from tinybench.export.hub import model_card
from tinybench.export.int8 import quantize
from tinybench.export.parity import Arithmetic, Parity, compare, require
from tinybench.inference.checkpoint import (
    about,
    network_alone,
    read_checkpoint,
    to_half,
    weights_fingerprint,
    write_checkpoint,
    write_safetensors,
)  # fmt: skip
from tinybench.inference.onnx import BESIDE, Layout, OnnxPredictor
from tinybench.inference.predictor import Predictor
from tinybench.runtime.files import atomic_paths, check_writable, read_json, write_text

Format = Literal["onnx", "torch_export", "safetensors", "pth"]
# What a file is called where nobody says otherwise; a suffix tells the format.
NAMES: dict[Format, str] = {
    "onnx": BESIDE,
    "torch_export": "network.pt2",
    "safetensors": "network.safetensors",
    "pth": "network.pth",
}
INT8 = "network_int8.onnx"
HUB, CARD = "hub", "README.md"  # a folder of several, and the card in it


@dataclass(frozen=True, kw_only=True)
class ExportOptions:
    """How to export.

    Attributes:
        half: weights in float16.
        int8: weights and activations in 8 bits.
        layout: of the uint8 images that go in, where the preprocessing is inside.
        parity_images, calibration_images: how many validation images to compare on, and how many training images to
            find the activations' ranges with.
        dataset: where the data set is now, if not where it was in training.
        device: to compute the checkpoint's own answers on.
    """

    device: torch.device
    format: Format = "onnx"
    half: bool = False
    int8: bool = False
    layout: Layout = "nchw"
    parity_images: int = 1000
    calibration_images: int = 512
    data_dir: Path = Path("data")
    dataset: str = ""

    @property
    def arithmetic(self) -> Arithmetic:
        return "int8" if self.int8 else "half" if self.half else "fp32"


def default_output(source: Path, options: ExportOptions, *, hub: bool = False) -> Path:
    """Beside the checkpoint."""
    return source.with_name(HUB if hub else INT8 if options.int8 else NAMES[options.format])


def check_target(output: Path, options: ExportOptions, *, overwrite: bool, hub: bool = False) -> None:
    """Refuse what cannot be written, before the work.

    Raises:
        UsageError: the name is of another format, or something is there.
    """
    if hub:
        if output.exists() and not (output.is_dir() and (overwrite or not any(output.iterdir()))):
            raise UsageError(f"{output} is there already; choose another --output, or write into it with --overwrite")
        return
    suffix = Path(NAMES[options.format]).suffix
    if output.suffix != suffix:
        raise UsageError(f"{output} does not end in {suffix}, as files of --format {options.format} do")
    for path in _files(output):
        if path.exists() and not (overwrite and path.is_file()):
            raise UsageError(f"{path} is there already; choose another --output, or replace it with --overwrite")


def export(source: Path, output: Path, options: ExportOptions) -> Parity:
    """Write the network of a checkpoint, and return how it compares with it on held-out validation images.

    Raises:
        UserError: the checkpoint or the images are missing or damaged, the network has no such form, or what was
            written answers otherwise than the checkpoint; then nothing is left.
    """
    check_writable(output.parent)
    predictor = Predictor(source, options.device)
    train_images, val_images = load_own_images(predictor.checkpoint, options.data_dir, options.dataset)
    compared = _resized(spread(val_images, options.parity_images), predictor.image_size)
    with tempfile.TemporaryDirectory(prefix="tinybench-") as folder:
        written = Path(folder) / output.name
        _write(written, source, predictor.checkpoint, train_images, options)
        exported = logits_of(written, compared, options)
        parity = compare(predictor.logits(compared).cpu(), exported, compared.labels)
        require(parity, options.arithmetic)
        with atomic_paths(*_files(output)) as targets:
            for target, path in zip(targets, _files(written), strict=True):
                copyfile(path, target)
    return parity


def export_folder(source: Path, output: Path, options: ExportOptions) -> None:
    """Write a folder ready for a model hub: the weights as safetensors, the graph as ONNX, and a model card.

    Raises:
        UserError: as `export`.
    """
    files = {}
    forms: tuple[tuple[Format, str], ...] = (
        ("safetensors", "the weights, for `src/test.py` and `src/infer.py` as --checkpoint (with `network.json`)"),
        (
            "onnx",
            "from uint8 images to `logits` and `probabilities`, the preprocessing inside, the classes in the metadata",
        ),
    )
    for form, what in forms:
        parity = export(source, output / NAMES[form], replace(options, format=form))
        files[NAMES[form]] = f"{what}. {parity}"
    checkpoint = read_checkpoint(source)
    network = weights_fingerprint(checkpoint)
    test = read_json(path, Results) if (path := source.with_name(RESULTS)).exists() else {}
    tested = test if test.get("tested", {}).get("weights_fingerprint") == network else {}
    write_text(output / CARD, model_card(checkpoint, tested, files))


def spread(images: ImageSet, count: int) -> ImageSet:
    """So many of the images, evenly over all of them, and so over the classes; or all if there are fewer."""
    return images.select(torch.linspace(0, len(images) - 1, min(count, len(images))).long())


def _resized(images: ImageSet, size: int) -> ImageSet:
    """At the network's own size, so that a graph that takes uint8 sees what the checkpoint sees."""
    return replace(images, images=resize_uint8(images.images, size))


def _write(
    path: Path, source: Path, checkpoint: dict[str, Any], train_images: ImageSet, options: ExportOptions
) -> None:
    match options.format:
        case "pth" | "safetensors":
            write = write_safetensors if options.format == "safetensors" else write_checkpoint
            write(path, to_half(checkpoint) if options.half else network_alone(checkpoint))
        case "torch_export":
            write_program(path, traced(checkpoint, options.layout), _said(source, checkpoint, options))
        case "onnx":
            program = traced(checkpoint, options.layout)
            model = to_onnx(program, _said(source, checkpoint, options), half=options.half)
            try:
                onnx.save(model, path)
            except (ValueError, EncodeError) as error:
                raise UserError(f"{checkpoint['model']} has more than the 2 GiB that an ONNX file may have") from error
            if options.int8:
                calibration = _resized(spread(train_images, options.calibration_images), checkpoint["image_size"])
                quantize(path, path, calibration.images, options.layout)


def _said(source: Path, checkpoint: dict[str, Any], options: ExportOptions) -> dict[str, Any]:
    """What an exported file says of itself, see `inference.onnx.Exported`."""
    with source.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    precision = "int8" if options.int8 else "fp32"
    return {**about(checkpoint), "layout": options.layout, "precision": precision, "checkpoint_sha256": digest}


def logits_of(path: Path, images: ImageSet, options: ExportOptions) -> Tensor:
    """What a file that was written answers: float32 (N, classes) on the CPU."""
    match options.format:
        case "onnx":
            return OnnxPredictor(path).logits(images)
        case "torch_export":
            network = torch.export.load(path).module()
            pixels = images.images if options.layout == "nchw" else images.images.permute(0, 2, 3, 1)
            with torch.inference_mode():
                return torch.cat([network(batch)[0] for batch in pixels.split(256)])
        case _:
            return Predictor(path, torch.device("cpu")).logits(images)


def _files(path: Path) -> list[Path]:
    """A file and what belongs to it."""
    return [path, path.with_suffix(".json")] if path.suffix == ".safetensors" else [path]
