"""A network with its preprocessing as a graph of ONNX or torch.export: uint8 images to logits and probabilities."""

import contextlib
import io
import json
import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from tinybench.data.augment import color
from tinybench.errors import UserError
from tinybench.inference.checkpoint import load_network
from tinybench.inference.onnx import METADATA, OUTPUTS, Layout
from tinybench.runtime.device import first_line

INPUT = "images"
OPSET = 18  # of 2022: every runtime in use reads it
EXAMPLES = 2  # images to trace with; of a batch of one, torch would take the size for a constant


class WholeNetwork(nn.Module):
    """From uint8 images, (B, 3, S, S) or (B, S, S, 3), to logits and probabilities, float32 (B, classes) each."""

    scale: Tensor
    shift: Tensor

    def __init__(self, checkpoint: Mapping[str, Any], layout: Layout) -> None:
        super().__init__()
        self.model = load_network(dict(checkpoint))
        self.layout = layout
        mean, std = (torch.tensor(checkpoint[name]).view(3, 1, 1) for name in ("mean", "std"))
        self.register_buffer("scale", 1 / (color.WHITE * std))
        self.register_buffer("shift", mean / std)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        if self.layout == "nhwc":
            images = images.permute(0, 3, 1, 2)
        logits = self.model(images.float() * self.scale - self.shift)
        return logits, logits.softmax(1)


def traced(checkpoint: Mapping[str, Any], layout: Layout) -> ExportedProgram:
    """The graph, which takes any number of images.

    Raises:
        UserError: torch.export cannot follow the network's code.
    """
    size = checkpoint["image_size"]
    shape = (EXAMPLES, 3, size, size) if layout == "nchw" else (EXAMPLES, size, size, 3)
    network = WholeNetwork(checkpoint, layout).eval().requires_grad_(False)
    try:
        program = torch.export.export(
            network, (torch.zeros(shape, dtype=torch.uint8),), dynamic_shapes=({0: Dim("batch", min=1)},), strict=False
        )
    except Exception as error:  # whatever the network's code comes to
        raise UserError(f"torch.export cannot follow {checkpoint['model']}: {first_line(error)}") from error
    for node in program.graph.nodes:
        node.meta.pop("stack_trace", None)  # it names the files of this machine, which are nobody's business
    return program


def to_onnx(program: ExportedProgram, about: Mapping[str, Any], *, half: bool = False) -> onnx.ModelProto:
    """The graph as ONNX, with what it says of itself in its metadata.

    Args:
        half: store matrices and kernels in float16, as `checkpoint.to_half`; the network still computes in float32.

    Raises:
        UserError: ONNX has no such operation, or a weight is too large for float16.
    """
    try:
        with _silence():
            # What is folded into others here would be rounded differently from the checkpoint's own weights.
            exported = torch.onnx.export(
                program, input_names=[INPUT], output_names=list(OUTPUTS), opset_version=OPSET, optimize=not half
            )
    except Exception as error:  # of torch, onnxscript and onnx
        raise UserError(f"{about['model']} cannot be written as ONNX: {first_line(error)}") from error
    assert exported is not None
    model = exported.model_proto
    if half:
        _halve(model)
    describe(model, about)
    return model


def describe(model: onnx.ModelProto, about: Mapping[str, Any]) -> None:
    """Put into the metadata what the network says of itself, for us; and for others the classes, a name each."""
    helper.set_model_props(
        model,
        {
            METADATA: json.dumps(about, sort_keys=True),
            "class_names": json.dumps(about["class_names"], ensure_ascii=False),
            "class_ids": json.dumps(about["class_ids"]),
        },
    )


def _halve(model: onnx.ModelProto) -> None:
    """Store matrices and kernels in float16, each followed by a cast, which ONNX Runtime carries out as it loads."""
    casts = []
    for tensor in model.graph.initializer:
        if tensor.data_type != TensorProto.FLOAT or sum(length > 1 for length in tensor.dims) < 2:
            continue
        name, weights = tensor.name, numpy_helper.to_array(tensor).astype(np.float16)
        if not np.isfinite(weights).all():
            raise UserError(f"{name} holds weights that are too large for half precision, or not finite")
        tensor.CopyFrom(numpy_helper.from_array(weights, f"{name}_half"))
        casts.append(helper.make_node("Cast", [f"{name}_half"], [name], to=TensorProto.FLOAT))
    nodes = [*casts, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """Without the exporter's report of its progress, and warnings of libraries that nobody asked for."""
    logging.disable(logging.WARNING)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        logging.disable(logging.NOTSET)


def write_program(path: Path, program: ExportedProgram, about: Mapping[str, Any]) -> None:
    """Write a graph for torch.export.load, with what it says of itself beside it in the file."""
    with path.open("wb") as file:
        torch.export.save(program, file, extra_files={f"{METADATA}.json": json.dumps(about, sort_keys=True)})
