"""Devices, precision and memory layout."""

import contextlib
import functools
import gc
import os
import platform
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import nn

from tinybench.errors import UsageError, UserError
from tinybench.runtime import allocator

PRECISIONS = {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}
NHWC_ON_MPS = "2.14"  # torch; before, BatchNorm's gradients are wrong there, or it crashes (pytorch #175189, #188371)

# What peak_memory_mb counts on each device.
PEAK_IS = {
    "cuda": "tensors of training, at their peak",
    "mps": "the driver's memory at the end of the last epoch, with what torch keeps for reuse; not a peak",
    "cpu": "the whole process, at its peak",
}


def pick_device(name: str = "auto") -> torch.device:
    """The device of that name; "auto" takes CUDA, then MPS, then the CPU.

    Raises:
        UsageError: that device is not here.
    """
    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        name = next(kind for kind, here in available.items() if here)
    if not available.get(name, False):
        here = ", ".join(kind for kind, is_here in available.items() if is_here)
        raise UsageError(f"device {name} is not available here; available: {here}")
    if name == "cuda":
        # One arithmetic for all that is fp32: torch's own choice is TF32 in convolutions, but not in matrix products.
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    return torch.device(name)


def check_precision(
    device: torch.device, precision: str, *, channels_last: bool = False, compile: bool = False
) -> None:
    """Refuse what would not work or would silently be something else.

    Raises:
        UsageError: fp16 without CUDA (its gradients need scaling, which is CUDA's); on MPS, compile, or channels_last
            in a version of torch that computes wrong gradients.
    """
    if precision == "fp16" and device.type != "cuda":
        raise UsageError(f"precision fp16 needs device cuda, not {device.type}; bf16 works everywhere")
    if channels_last and not nhwc_is_right(device):
        raise UsageError(
            f"channels_last on mps gives wrong gradients in torch {torch.__version__}; "
            f"train without it, or install torch {NHWC_ON_MPS} or newer"
        )
    if compile and device.type == "mps":  # pytorch #191976, #170360
        raise UsageError("compile on mps gives wrong results with some layers; train without it")


def nhwc_is_right(device: torch.device) -> bool:
    """Whether networks can be trained in that layout there."""
    return device.type != "mps" or torch.__version__ >= NHWC_ON_MPS


def check_compiler(device: torch.device) -> None:
    """Compile something small, to find out whether torch.compile has all that it needs.

    Raises:
        UserError: it has not.
    """
    try:
        torch.compile(torch.sin)(torch.ones(8, device=device))
    except Exception as error:
        raise UserError(
            f"torch.compile does not work here ({first_line(getattr(error, 'inner_exception', error))}); "
            "install the compiler (g++ or clang++, on CUDA triton), or train without --compile"
        ) from error


def first_line(error: BaseException) -> str:
    """What an error is, and the first line of what it says."""
    return f"{type(error).__name__}: {next(iter(str(error).splitlines()), '')}"


def determinism(device: torch.device, wanted: bool) -> contextlib.AbstractContextManager[None]:
    """The context in which the device gives the same bits for the same inputs, if wanted; a CPU always does.

    To be asked for before the first matrix product.

    Raises:
        UsageError: the device cannot; in the context, when it comes to an operation that cannot be repeated.
    """
    if not wanted or device.type == "cpu":
        return contextlib.nullcontext()
    if device.type != "cuda":
        raise UsageError(f"deterministic needs device cuda or cpu; {device.type} promises nothing of the kind")
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS reads it once
    return _only_deterministic()


@contextlib.contextmanager
def _only_deterministic() -> Iterator[None]:
    torch.use_deterministic_algorithms(True)  # of cuDNN too, whose benchmark, which picks by time, is off anyway
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # finds errors, slowly
    try:
        yield
    except RuntimeError as error:
        operation, found, _ = str(error).partition(" does not have a deterministic implementation")
        if not found:
            raise
        raise UsageError(
            f"deterministic: the network needs {operation}, which cannot be repeated bit by bit; "
            "train without --deterministic, or with --device cpu"
        ) from error
    finally:
        torch.use_deterministic_algorithms(False)


def autocast(device: torch.device, precision: str) -> contextlib.AbstractContextManager[Any]:
    """The context in which a network computes in `precision`; weights stay fp32."""
    dtype = PRECISIONS[precision]
    return torch.autocast(device.type, dtype=dtype) if dtype else contextlib.nullcontext()


def has_bf16(device: torch.device) -> bool:
    """Whether the device computes in bf16 itself; others pretend to, and take many times as long as in fp32."""
    match device.type:
        case "cpu":
            return torch.cpu._is_avx512_bf16_supported()
        case "cuda":
            return torch.cuda.is_bf16_supported(including_emulation=False)
        case _:
            return True


def memory_format(channels_last: bool) -> torch.memory_format:
    return torch.channels_last if channels_last else torch.contiguous_format


def synchronize(device: torch.device) -> None:
    """Wait until the device has done all that was asked of it."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def peak_memory_mb(device: torch.device) -> float:
    """The most memory used since the last `reset_peak_memory`, in MiB; see PEAK_IS for what it counts."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    if device.type == "mps":
        return torch.mps.driver_allocated_memory() / 2**20
    # ru_maxrss counts KiB on Linux and bytes on macOS.
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)


def reset_peak_memory(device: torch.device) -> None:
    """Forget what was used so far: give back what no tensor needs any more, and count the peak from here.

    On a CPU, only Linux can count anew; elsewhere the peak stays that of the whole process.
    """
    gc.collect()  # networks and their gradients hold each other
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
    elif device.type == "mps":
        torch.mps.empty_cache()
    else:
        with contextlib.suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5")  # see proc_pid_clear_refs(5)


def describe_environment(device: torch.device) -> dict[str, Any]:
    """What a reader needs to know about the machine to judge a time or repeat a result."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else _processor_name()
    return {
        "device": device.type,
        "device_name": name,
        "fp32_products": "tf32" if _has_tf32(device) else "fp32",
        "threads": torch.get_num_threads(),
        "allocator": allocator.describe(os.environ),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "platform": platform.platform(),
        "peak_memory_is": PEAK_IS[device.type],
    }


def _has_tf32(device: torch.device) -> bool:
    """Whether products and convolutions in fp32 round their inputs to TF32's 11 bits, as NVIDIA's have since Ampere."""
    return device.type == "cuda" and torch.cuda.get_device_capability(device) >= (8, 0)


@functools.cache
def _processor_name() -> str:
    if sys.platform == "darwin":  # where platform calls every processor "arm"
        with contextlib.suppress(OSError, subprocess.CalledProcessError):
            words = ["sysctl", "-n", "machdep.cpu.brand_string"]
            return subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip()
    with contextlib.suppress(OSError), Path("/proc/cpuinfo").open() as file:
        for line in file:
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def send(tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
    """The tensor on the device; from the host to CUDA it travels from pinned memory, so that nobody waits for it."""
    if device.type != "cuda" or tensor.device.type != "cpu":
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)


def compile_network(model: nn.Module, sizes: int = 1) -> None:
    """Compile a network in place, for each shape of its input by itself.

    Left alone, torch.compile makes the side of the images a variable when it meets the second one, and steps of
    ResNet-18 take 2.7 times as long on a CPU (32, then 48 pixels).

    Args:
        sizes: how many sides of images will come, each in training and in validation.
    """
    config = torch._dynamo.config  # beyond the limit it would run uncompiled
    config.recompile_limit = max(config.recompile_limit, 4 * sizes)
    model.compile(dynamic=False)


class Compiled:
    """A function as torch.compile makes it, for inputs of few shapes; where that does not work, as it is.

    Attributes:
        function: as it is.
        name: what to call it in the line that says that it could not be compiled.
    """

    def __init__(self, function: Callable[..., torch.Tensor], name: str) -> None:
        self.function, self.name = function, name
        self.call: Callable[..., torch.Tensor] | None = None

    def __call__(self, *args: Any) -> torch.Tensor:
        if self.call is None:  # not before: the compiler takes a second to import
            self.call = torch.compile(self.function, dynamic=False)
        try:
            return self.call(*args)
        except Exception as error:  # no compiler, or a version of it that does not understand the function
            if self.call is self.function:
                raise
            print(f"torch.compile does not work here ({type(error).__name__}); {self.name} runs without", flush=True)
            self.call = self.function
            return self.call(*args)


class AsyncScalar:
    """Reads a small tensor that the device is still working on, without waiting for it.

    On CUDA each call starts a copy and returns what the previous copy brought, if that has arrived; elsewhere it reads
    the tensor itself.
    """

    def __init__(self) -> None:
        self._copy: torch.Tensor | None = None
        self._arrived: torch.cuda.Event | None = None

    def read(self, tensor: torch.Tensor) -> list[float] | None:
        if tensor.device.type != "cuda":
            return tensor.tolist()
        if self._arrived is not None and not self._arrived.query():
            return None
        values = None if self._copy is None else self._copy.tolist()
        self._copy = tensor.clone().to("cpu", non_blocking=True)
        self._arrived = torch.cuda.Event()
        self._arrived.record()
        return values
