"""MPS where there is none: tensors of shapes and dtypes without numbers, and torch's own list of what MPS can do.

Inside `pretended_mps()`, whatever touches device mps becomes a fake tensor; everything else computes as usual. An
operation that would fail on a Mac fails here, in the same line. What comes back to the CPU is ones.
"""

import contextlib
import functools
import weakref
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import torchgen
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map
from torchgen.gen import parse_native_yaml
from torchgen.model import DispatchKey

MPS, META = torch.device("mps:0"), torch.device("meta")
DOUBLE = (torch.float64, torch.complex128)
ADAPTIVE = ("_adaptive_avg_pool2d", "adaptive_max_pool2d")
HALVED = (F.conv2d, F.linear, torch.matmul, Tensor.matmul, Tensor.__matmul__, F.scaled_dot_product_attention)
# What the kernels of operations without one of their own for each device call on it.
INNER = {
    "rand": "uniform_", "rand.generator": "uniform_", "randn": "normal_", "randn.generator": "normal_",
    "randperm": "randperm.generator_out", "randperm.generator": "randperm.generator_out", "arange": "arange.start_out",
    "arange.start": "arange.start_out", "full": "fill_.Scalar", "full_like": "fill_.Scalar", "ones": "fill_.Scalar",
    "ones_like": "fill_.Scalar", "zeros": "zero_", "zeros_like": "zero_", "new_zeros": "zero_",
    "convolution": "_mps_convolution", "convolution_backward": "mps_convolution_backward",
}  # fmt: skip


class Shapes(FakeTensorMode):
    """Tells Python that a tensor is on MPS, and C++ that it has no data: there is no thread or guard for MPS here."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.ops.prim.device.default:
            return META
        return super().__torch_dispatch__(func, types, args, _on_mps(kwargs))


FAKE = Shapes(allow_non_fake_inputs=True)  # one for all, as constants are cached between paths


class NotOnMPS(Exception):
    """What a Mac would have refused."""


@functools.cache
def _operations() -> tuple[dict[str, Any], set[Any]]:
    """All of torch's operations by name, and the names of those with a kernel for MPS."""
    folder = Path(torchgen.__file__).parent / "packaged/ATen/native"
    parsed = parse_native_yaml(str(folder / "native_functions.yaml"), str(folder / "tags.yaml"))
    by_name = {str(function.func.name): function for function in parsed.native_functions}
    return by_name, set(parsed.backend_indices[DispatchKey.MPS].index)


def has_kernel(name: str) -> bool:
    """Whether an operation has a kernel of its own for MPS."""
    by_name, of_mps = _operations()
    return name in by_name and not of_mps.isdisjoint((by_name[name].func.name, by_name[name].structured_delegate))


def runs_on_mps(name: str) -> bool:
    """Whether an operation has a kernel for MPS, or is made up of others for every device."""
    inner = INNER.get(name, name)
    function = _operations()[0][inner]
    return (
        has_kernel(inner)
        or function.has_composite_implicit_autograd_kernel
        or function.has_composite_explicit_autograd_kernel
        or function.has_composite_explicit_autograd_non_functional_kernel
    )


@contextlib.contextmanager
def pretended_mps() -> Iterator["Device"]:
    """A machine whose device is MPS."""
    lifts = torch._C._only_lift_cpu_tensors()
    torch._C._set_only_lift_cpu_tensors(True)  # torch.tensor(…, device="mps") is a copy from the CPU
    try:
        with pytest.MonkeyPatch.context() as patch, InPython(), Device() as device:
            patch.setattr(torch.backends.mps, "is_available", lambda: True)
            patch.setattr(torch.mps, "synchronize", lambda: None)
            patch.setattr(torch.mps, "empty_cache", lambda: None)
            patch.setattr(torch.mps, "driver_allocated_memory", lambda: 2**20)
            patch.setattr(torch, "Generator", Generator)
            patch.setattr(torch, "save", functools.partial(_save, torch.save))
            patch.setattr(nn.Module, "_apply", _apply)
            patch.setattr("tinybench.inference.checkpoint._repeats_itself", lambda tensor: False)  # as `_ones` does
            yield device
    finally:
        torch._C._set_only_lift_cpu_tensors(lifts)


class Device(TorchDispatchMode):
    """Looks at every operation on the device, and gives its result.

    Attributes:
        operations: how often each ran on the device.
        waits: how often the host waited for the device, by what it asked.
        bytes, peak: what tensors made here take, now and at most.
    """

    def __init__(self) -> None:
        super().__init__()
        self.operations: Counter[str] = Counter()
        self.waits: Counter[str] = Counter()
        self.bytes = self.peak = 0
        self._known: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.ops.prim.device.default:
            return META  # see Shapes
        kwargs = _on_mps(kwargs)
        tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        fakes = [tensor for tensor in tensors if isinstance(tensor, FakeTensor)]
        device = kwargs.get("device")
        if device != MPS and not fakes:
            return func(*args, **kwargs)
        name = str(func).removeprefix("aten.").removesuffix(".default")
        if func._can_decompose() and not has_kernel(name):  # in inference mode it comes as a whole
            with self, torch._C.DisableTorchFunction():
                return func.decompose(*args, **kwargs)
        self._check(name, args, tensors)
        self.operations[name] += 1
        if "generator" in kwargs:
            kwargs["generator"] = None
        if name == "_local_scalar_dense":
            self.waits["item"] += 1
            return _ones(args[0]).item()
        if name == "_to_copy" and device is not None and device.type == "cpu":
            self.waits["to cpu"] += 1
            return _ones(args[0], kwargs.get("dtype"))
        if name == "copy_" and not isinstance(args[0], FakeTensor):
            self.waits["to cpu"] += 1
            return args[0].fill_(1)
        if name.startswith("_fused_") and name.endswith("_"):
            return None
        with FAKE:
            result = func(*args, **kwargs)
        for tensor in tree_leaves(result):
            if isinstance(tensor, FakeTensor):
                if tensor.dtype in DOUBLE:
                    raise NotOnMPS(f"{name} gives float64")
                self._count(tensor.untyped_storage())
        return result

    def _count(self, storage: torch.UntypedStorage) -> None:
        """Count a storage for as long as it lives."""
        if (key := storage._cdata) not in self._known:
            self._known.add(key)
            self._change(storage.nbytes())
            weakref.finalize(storage, self._forget, key, storage.nbytes())

    def _forget(self, key: int, size: int) -> None:
        self._known.discard(key)
        self._change(-size)

    def _change(self, size: int) -> None:
        self.bytes += size
        self.peak = max(self.peak, self.bytes)

    @contextlib.contextmanager
    def measured(self) -> Iterator[list[int]]:
        """Counts a peak of its own: the list holds at last how many bytes it was above the start."""
        start, found = self.bytes, []
        self.peak = start
        yield found
        found.append(self.peak - start)

    def _check(self, name: str, args: Any, tensors: list[Tensor]) -> None:
        if not runs_on_mps(name):
            raise NotOnMPS(f"{name} has no kernel")
        if name in ADAPTIVE and any(max(a, b) % min(a, b) for a, b in zip(args[0].shape[-2:], args[1], strict=True)):
            raise NotOnMPS(f"{name} from {tuple(args[0].shape[-2:])} to {args[1]}: one must divide the other")
        if name == "native_batch_norm_backward" and any(_is_nhwc(tensor) for tensor in tensors):
            raise NotOnMPS(f"{name} in NHWC is wrong (pytorch #175189)")


class InPython(TorchFunctionMode):
    """What C++ would ask the missing device: which one is meant, and what autocast computes in half precision."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        change = _numbered
        if func in HALVED and torch.is_autocast_enabled("mps"):
            change = _halved
        return func(*map(change, args), **{name: change(value) for name, value in (kwargs or {}).items()})


def _on_mps(kwargs: dict[str, Any] | None) -> dict[str, Any]:
    """Arguments for something new, which C++ wants beside a tensor of ours."""
    return {
        name: MPS if isinstance(value, torch.device) and value == META else value
        for name, value in (kwargs or {}).items()
    }


def _numbered(value: Any) -> Any:
    is_mps = (isinstance(value, str) and value == "mps") or (isinstance(value, torch.device) and value.type == "mps")
    return MPS if is_mps else value


def _halved(value: Any) -> Any:
    return (
        value.to(torch.get_autocast_dtype("mps")) if isinstance(value, Tensor) and value.is_floating_point() else value
    )


def _is_nhwc(tensor: Tensor) -> bool:
    layouts = torch.channels_last, torch.contiguous_format
    return tensor.ndim == 4 and [tensor.is_contiguous(memory_format=layout) for layout in layouts] == [True, False]


class Generator(torch.Generator):
    """One of the CPU's that says that it is the device's."""

    def __new__(cls, device: torch.device | str = "cpu") -> "Generator":
        generator = super().__new__(cls)
        generator.pretended = torch.device(device)
        return generator

    @property
    def device(self) -> torch.device:  # type: ignore[override]
        return self.pretended


def _ones(tensor: Tensor, dtype: torch.dtype | None = None) -> Tensor:
    """What the CPU gets to see of a tensor; no memory of that size is taken."""
    return torch.ones((), dtype=dtype or tensor.dtype).expand(tensor.shape)


def _save(save: Any, content: Any, *to: Any) -> None:
    """Ones in the place of what has no numbers."""
    save(tree_map(lambda value: _ones(value) if isinstance(value, FakeTensor) else value, content), *to)


def _apply(self: nn.Module, function: Any, recurse: bool = True) -> nn.Module:
    """nn.Module's own wants to swap fake tensors, which cannot be."""
    for module in self.modules():
        for name, parameter in module._parameters.items():
            if parameter is not None:
                with torch.no_grad():
                    moved = function(parameter)
                if moved is not parameter:
                    module._parameters[name] = nn.Parameter(moved, requires_grad=parameter.requires_grad)
        for name, buffer in module._buffers.items():
            if buffer is not None:
                module._buffers[name] = function(buffer)
    return self
