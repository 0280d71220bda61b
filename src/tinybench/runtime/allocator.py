"""The C library's allocator, set up for training on a CPU.

A training step allocates and frees the same few hundred MiB again and again. glibc hands large blocks back to the
system at once, which then clears and maps them anew, page by page: 140,000 to 270,000 page faults in a step of
ResNet-18. Told to keep them, and to ask for huge pages, it takes none, and the step is 1.3 to 1.5 times as fast
(benchmarks/allocator.py). glibc reads these settings when a process starts, so a command starts itself again, in the
same process (execve: signals and exit status are those of the command), before it imports torch.

The environment variable TINYBENCH_ALLOCATOR=system leaves everything as it is.
"""

import os
import platform
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

SWITCH = "TINYBENCH_ALLOCATOR"
TUNABLES = "GLIBC_TUNABLES"
KEPT = 2**32  # bytes: no block that a step frees is as large
SETTINGS = {
    "glibc.malloc.mmap_threshold": KEPT,
    "glibc.malloc.trim_threshold": KEPT,
    "glibc.malloc.top_pad": 2**26,
    "glibc.malloc.hugetlb": 1,  # transparent huge pages
}
OTHERS = ("jemalloc", "tcmalloc", "mimalloc")
GPUS = ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg")


def start_again() -> None:
    """Start this process again with the allocator set up, if that helps and has not been done."""
    if changes := changed_environment(os.environ, sys.argv):
        sys.stdout.flush()
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], {**os.environ, **changes})


def changed_environment(environment: Mapping[str, str], arguments: Sequence[str]) -> dict[str, str]:
    """What to set in the environment; empty where the allocator is to stay as it is.

    Args:
        arguments: of the command; its --device decides where there is a GPU.
    """
    if SWITCH in environment or not _is_glibc() or preloaded(environment):
        return {}
    if "glibc.malloc" in environment.get(TUNABLES, "") or not _computes_on_cpu(arguments):
        return {}
    return {SWITCH: "kept", **tuned(environment)}


def tuned(environment: Mapping[str, str]) -> dict[str, str]:
    """The settings, beside other tunables that are set already."""
    own = [f"{name}={value}" for name, value in SETTINGS.items()]
    return {TUNABLES: ":".join([*filter(None, [environment.get(TUNABLES)]), *own])}


def describe(environment: Mapping[str, str]) -> str:
    """Which allocator this process has, in words."""
    if other := preloaded(environment):
        return f"{other}, preloaded"
    if environment.get(SWITCH) == "kept":
        return f"glibc keeps freed memory, in huge pages ({SWITCH}=system: as it comes)"
    return "as the system has it"


def preloaded(environment: Mapping[str, str]) -> str:
    """The name of another allocator that was loaded before the C library's; empty where there is none."""
    return next((name for name in OTHERS if name in environment.get("LD_PRELOAD", "")), "")


def _is_glibc() -> bool:
    return sys.platform == "linux" and platform.libc_ver()[0] == "glibc"


def _computes_on_cpu(arguments: Sequence[str]) -> bool:
    words = [part for word in arguments for part in word.split("=", 1)]
    if "--device" in words[:-1]:
        device = words[words.index("--device") + 1]
        if device != "auto":
            return device == "cpu"
    return not any(Path(path).exists() for path in GPUS)
