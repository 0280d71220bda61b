"""How fast this device is at most: matrix products and copies, measured."""

import time
from collections.abc import Callable

import torch

from tinybench.runtime.device import synchronize

SECONDS = 0.3  # that each peak is measured for, at least
SMALLEST = 5e-3  # seconds that a matrix product takes at least; a shorter one stays far below the peak of AMX


def matmul_flops(device: torch.device, dtype: torch.dtype) -> float:
    """Operations a second in a matrix product, a multiply-add being two."""
    side, seconds = 256, 0.0
    while side < 8192 and seconds < SMALLEST:  # grow until one product can be timed
        side *= 2
        matrix = torch.ones(side, side, dtype=dtype, device=device)
        seconds = _fastest(lambda matrix=matrix: matrix @ matrix, device, rounds=2)  # type: ignore[misc]
    matrix = torch.ones(side, side, dtype=dtype, device=device)
    return 2 * side**3 / _fastest(lambda: matrix @ matrix, device)


def copy_bytes(device: torch.device) -> float:
    """Bytes a second, read and written, in copying what no cache holds."""
    source = torch.ones(2**26, device=device)  # 256 MiB
    target = torch.empty_like(source)
    return 2 * source.nbytes / _fastest(lambda: target.copy_(source), device)


def _fastest(work: Callable[[], object], device: torch.device, rounds: int = 0) -> float:
    """Seconds of the quickest repetition, of so many or of as many as fit into SECONDS; the first one warms up."""
    work()
    times: list[float] = []
    while len(times) < rounds or (not rounds and sum(times) < SECONDS):
        synchronize(device)
        started = time.perf_counter()
        work()
        synchronize(device)
        times.append(time.perf_counter() - started)
    return min(times)
