"""What a network costs, whatever it has learned: operations, time and images per second."""

import statistics
import time
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode
from torch.utils.flop_counter import FlopCounterMode

from tinybench.errors import UsageError
from tinybench.models import build_model
from tinybench.models.fit import refusal
from tinybench.runtime.device import autocast, describe_environment, memory_format, synchronize

SECONDS = 1.0  # how long each speed is measured, after a warm-up
LEAST_REPEATS = 3


def count_flops(model: nn.Module, image_size: int) -> int:
    """Floating-point operations of one image's forward pass, as torch counts them (a multiply-add is two)."""
    device = next(model.parameters()).device
    images = torch.zeros(1, 3, image_size, image_size, device=device)
    counter = FlopCounterMode(display=False)
    model.eval()
    # Not under inference_mode, where the counter would not see how composite operations are made up.
    with torch.no_grad(), counter:
        model(images)
    return counter.get_total_flops()


def size_of(name: str, *, num_classes: int, image_size: int) -> tuple[int, int]:
    """Parameters and FLOPs of a network, which gets no memory for its weights: some have billions.

    Raises:
        UsageError: there is no such network, or it does not take such images.
    """
    with _WithoutWeights():
        model = build_model(name, num_classes=num_classes, image_size=image_size).to("meta").eval()
    if refusal(model, num_classes, image_size, 1):  # perhaps for constants in it that are no buffers
        model = build_model(name, num_classes=num_classes, image_size=image_size).eval()
        if reason := refusal(model, num_classes, image_size, 1):
            raise UsageError(f"takes no images of {image_size}x{image_size} pixels: {reason}")
    return sum(parameter.numel() for parameter in model.parameters()), count_flops(model, image_size)


class _WithoutWeights(TorchFunctionMode):
    """Layers make their weights by torch.empty; what they compute from, such as torch.linspace, stays real."""

    def __torch_function__(
        self, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        return function(*args, **{**(kwargs or {}), **({"device": "meta"} if function is torch.empty else {})})


@torch.inference_mode()
def measure_inference(
    model: nn.Module, *, image_size: int, batch_size: int, precision: str, channels_last: bool
) -> dict[str, Any]:
    """Time forward passes on random images: the median latency at batch 1, and images per second in batches."""
    device = next(model.parameters()).device
    model.eval()

    def seconds(count: int) -> float:
        images = torch.rand(count, 3, image_size, image_size, device=device)
        images = images.to(memory_format=memory_format(channels_last))
        times: list[float] = []
        until = None
        while until is None or time.perf_counter() < until or len(times) < LEAST_REPEATS:
            synchronize(device)
            started = time.perf_counter()
            with autocast(device, precision):
                model(images)
            synchronize(device)
            if until is None:  # the first pass warms up
                until = time.perf_counter() + SECONDS
            else:
                times.append(time.perf_counter() - started)
        return statistics.median(times)

    return {
        "latency_ms": 1000 * seconds(1),
        "images_per_second": batch_size / seconds(batch_size),
        "batch_size": batch_size,
        "precision": precision,
        "environment": describe_environment(device),
    }
