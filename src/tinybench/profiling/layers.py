"""Where the time and the memory of a training step go, layer by layer."""

import contextlib
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile, record_function
from torch.utils.flop_counter import FlopCounterMode

from tinybench.inference.checkpoint import network_options
from tinybench.models import build_model
from tinybench.profiling.peaks import copy_bytes, matmul_flops
from tinybench.recipe import Recipe
from tinybench.runtime.device import PRECISIONS, autocast, describe_environment, memory_format, synchronize
from tinybench.training.loss import build_criterion
from tinybench.training.optimizer import build_optimizer
from tinybench.training.setup import check_network

WARM_UP = 2  # steps
TIMED = ("cpu", "cuda")  # devices whose work the profiler sees; of MPS it sees only that something was started
BACKWARD = 2  # a backward pass does twice the work of the forward pass, for the inputs and for the weights
LAYER, LOSS, OPTIMIZER = "layer ", "loss", "optimizer"
EVALUATE = "autograd::engine::evaluate_function: "  # how the profiler calls a node of the backward pass


@dataclass
class Layer:
    """What a layer takes in one training step.

    Attributes:
        forward_ms, backward_ms: time on the device.
        flops: operations, a multiply-add being two; of the backward pass twice the forward pass's.
        bytes: an estimate of what is moved: each of its modules' inputs, outputs and weights once forward, and twice
            backward.
        kept_bytes: activations that the backward pass waits for.
    """

    name: str
    forward_ms: float = 0.0
    backward_ms: float = 0.0
    flops: int = 0
    bytes: int = 0
    kept_bytes: int = 0

    @property
    def milliseconds(self) -> float:
        return self.forward_ms + self.backward_ms


def profile_step(
    recipe: Recipe, num_classes: int, device: torch.device, steps: int = 3, trace: Path | None = None
) -> dict[str, Any]:
    """Profile training steps on random images.

    Args:
        recipe: with a precision other than auto.
        trace: write all operations there as a trace for chrome://tracing, where their times are known.

    Returns:
        layers (see `Layer`, in the order of the network, then the loss and the optimizer), layers_timed (whether their
        times are known; else they are 0), step_ms (by the clock), the device's measured peaks (flops_per_second,
        bytes_per_second), environment and settings; plain types.

    Raises:
        UsageError: the network cannot be built or trained as the recipe says.
    """
    check_network(recipe)
    layout = memory_format(recipe.channels_last)
    model = build_model(recipe.model, num_classes=num_classes, image_size=recipe.image_size, **network_options(recipe))
    model = model.to(device).to(memory_format=layout).train()
    optimizer, criterion = build_optimizer(model, recipe), build_criterion(recipe)
    images = torch.randn(recipe.batch_size, 3, recipe.image_size, recipe.image_size, device=device)
    images = images.to(memory_format=layout)
    labels = torch.arange(recipe.batch_size, device=device) % num_classes

    def forward() -> Tensor:
        with autocast(device, recipe.precision):
            return model(images)

    def step() -> None:
        logits = forward()
        with record_function(LAYER + LOSS):
            loss = criterion(logits.float(), labels)
        loss.backward()
        with record_function(LAYER + OPTIMIZER):
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)

    modules = dict(layers_of(model))
    layers = {name: Layer(name) for name in [*modules, LOSS, OPTIMIZER]}
    for _ in range(WARM_UP):
        step()
    _count_flops(layers, model, modules, images[:1], recipe.batch_size)
    with _kept(layers, model, modules), _moved(layers, modules):
        step()
    activities = [ProfilerActivity.CPU] + ([ProfilerActivity.CUDA] if device.type == "cuda" else [])
    synchronize(device)
    with _recorded(modules), profile(activities=activities) as profiler:
        # By the clock: a mark around the step would miss the backward pass, whose thread is another one on a GPU.
        started = time.perf_counter()
        for _ in range(steps):
            step()
        synchronize(device)
        step_ms = 1000 * (time.perf_counter() - started) / steps
    if layers_timed := device.type in TIMED:
        _times(layers, profiler.events(), steps, on_gpu=device.type == "cuda")
        if trace:
            trace.parent.mkdir(parents=True, exist_ok=True)
            profiler.export_chrome_trace(str(trace))
    return {
        "layers": [asdict(layer) for layer in layers.values()],
        "layers_timed": layers_timed,
        "step_ms": step_ms,
        "flops_per_second": matmul_flops(device, PRECISIONS[recipe.precision] or torch.float32),
        "bytes_per_second": copy_bytes(device),
        "model": recipe.model,
        "batch_size": recipe.batch_size,
        "image_size": recipe.image_size,
        "precision": recipe.precision,
        "channels_last": recipe.channels_last,
        "environment": describe_environment(device),
    }


def layers_of(module: nn.Module, prefix: str = "") -> Iterator[tuple[str, nn.Module]]:
    """The parts of a network that a reader of its paper would name: what a sequence of composite parts consists of."""
    for name, child in module.named_children():
        parts = list(child.children())
        if isinstance(child, nn.Sequential | nn.ModuleList) and any(list(part.children()) for part in parts):
            yield from layers_of(child, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", child


@contextlib.contextmanager
def _recorded(modules: dict[str, nn.Module]) -> Iterator[None]:
    """Put a mark around each layer's forward pass."""
    handles, open_marks = [], []

    def enter(name: str) -> None:
        mark = record_function(LAYER + name)
        mark.__enter__()
        open_marks.append(mark)

    for name, module in modules.items():
        handles.append(module.register_forward_pre_hook(lambda *_, name=name: enter(name)))
        handles.append(module.register_forward_hook(lambda *_: open_marks.pop().__exit__(None, None, None)))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@contextlib.contextmanager
def _kept(layers: dict[str, Layer], model: nn.Module, modules: dict[str, nn.Module]) -> Iterator[None]:
    """Count what each layer leaves for the backward pass; what two layers share counts for the first."""
    known = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
    inside: list[str] = []

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if inside and storage.data_ptr() not in known:
            known.add(storage.data_ptr())
            layers[inside[-1]].kept_bytes += storage.nbytes()
        return tensor

    handles = []
    for name, module in modules.items():
        handles.append(module.register_forward_pre_hook(lambda *_, name=name: inside.append(name)))
        handles.append(module.register_forward_hook(lambda *_: inside.pop() and None))
    try:
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            yield
    finally:
        for handle in handles:
            handle.remove()


@contextlib.contextmanager
def _moved(layers: dict[str, Layer], modules: dict[str, nn.Module]) -> Iterator[None]:
    """Estimate the bytes that each layer moves, out of the sizes that its innermost modules see."""
    handles = []

    def count(name: str, module: nn.Module, inputs: Any, output: Any) -> None:
        seen = sum(tensor.nbytes for tensor in (*_tensors(inputs), *_tensors(output), *module.parameters()))
        layers[name].bytes += (1 + BACKWARD) * seen

    for name, layer in modules.items():
        for module in layer.modules():
            if not list(module.children()):
                hook = lambda module, inputs, output, name=name: count(name, module, inputs, output)  # noqa: E731
                handles.append(module.register_forward_hook(hook))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, list | tuple):
        for part in value:
            yield from _tensors(part)


def _count_flops(
    layers: dict[str, Layer], model: nn.Module, modules: dict[str, nn.Module], image: Tensor, batch_size: int
) -> None:
    counter = FlopCounterMode(display=False)
    model.eval()  # one image is no batch to a norm
    with torch.no_grad(), counter:
        model(image)
    model.train()
    for name in modules:
        flops = sum(counter.get_flop_counts().get(f"{type(model).__name__}.{name}", {}).values())
        layers[name].flops = (1 + BACKWARD) * batch_size * flops


def _times(layers: dict[str, Layer], events: Any, steps: int, *, on_gpu: bool) -> None:
    """Add up the profiler's events by layer.

    A node of the backward pass bears the number of the operation that it belongs to.
    """
    layer_of: dict[int, str] = {}

    def milliseconds(event: Any) -> float:
        return (event.device_time_total if on_gpu else event.cpu_time_total) / 1000 / steps

    for event in events:
        if str(event.device_type).endswith("CUDA"):
            continue  # a kernel, which counts for the operation that started it
        if event.name.startswith(LAYER):
            layers[event.name.removeprefix(LAYER)].forward_ms += milliseconds(event)
        elif event.sequence_nr >= 0 and not event.name.startswith(EVALUATE) and (name := _inside(event)):
            layer_of.setdefault(event.sequence_nr, name)
    for event in events:
        if event.name.startswith(EVALUATE) and event.sequence_nr in layer_of:
            layers[layer_of[event.sequence_nr]].backward_ms += milliseconds(event)


def _inside(event: Any) -> str:
    """The layer in whose forward pass an operation was called."""
    parent = event.cpu_parent
    while parent is not None:
        if parent.name.startswith(LAYER):
            return parent.name.removeprefix(LAYER)
        parent = parent.cpu_parent
    return ""
