"""Static quantization to 8 bits by ONNX Runtime: a scale for each channel of weights, and for each activation."""

import logging
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quant_pre_process, quantize_static
from torch import Tensor

from tinybench.export.graph import INPUT
from tinybench.inference.onnx import Layout

BATCH = 32


class _Reader(CalibrationDataReader):
    def __init__(self, batches: Iterator[np.ndarray]) -> None:
        self._batches = batches

    def get_next(self) -> dict[str, np.ndarray] | None:
        batch = next(self._batches, None)
        return None if batch is None else {INPUT: batch}


def quantize(source: Path, target: Path, images: Tensor, layout: Layout) -> None:
    """Write the int8 network of an ONNX file: each operation between QuantizeLinear and DequantizeLinear (QDQ).

    Args:
        images: uint8 (N, 3, S, S), to find the range of each activation with.
    """
    batches = (batch.permute(0, 2, 3, 1) if layout == "nhwc" else batch for batch in images.split(BATCH))
    logging.disable(logging.WARNING)  # it recommends what is done here
    try:
        quant_pre_process(source, target, skip_symbolic_shape=True)
        quantize_static(
            onnx.load(target),
            target,
            _Reader(np.ascontiguousarray(batch.numpy()) for batch in batches),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
        )
    finally:
        logging.disable(logging.NOTSET)
