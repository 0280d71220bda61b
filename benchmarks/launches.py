"""Kernels that a training step would launch on a GPU, counted on the CPU: no card needed.

Every operation that is neither a view nor an allocation counts as one, an operation on lists of tensors as many as
CUDA cuts the lists into, and a compiled function the kernels that torch.compile makes of it (for the CPU; where the
device fuses otherwise, a few more or less). Where launches take longer than what is launched, as with small networks
on a fast card, their number is the step's time.
"""

import dataclasses
import itertools
import math
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

from tinybench import cli
from tinybench.data.batches import TrainBatches
from tinybench.data.imageset import ImageSet
from tinybench.models import MODELS, list_models
from tinybench.recipe import Recipe, get_recipe
from tinybench.training.setup import build_state
from tinybench.training.trainer import train_step

ALLOCATIONS = {"empty", "empty_like", "empty_strided", "new_empty", "new_empty_strided", "_unsafe_view", "lift_fresh"}
# ATen/native/cuda/MultiTensorApply.cuh: tensors a launch by how many lists there are, elements a block, blocks a launch.
MOST_TENSORS, CHUNK, MOST_BLOCKS = (110, 64, 48, 36, 30), 65536, 320


class LaunchCounter(TorchDispatchMode):
    """Counts in `count` what is computed while it is entered."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if func.namespace == "aten" and not func.is_view and func.overloadpacket.__name__ not in ALLOCATIONS:
            self.count += _chunks(func.overloadpacket.__name__, args)
        return result


def _chunks(name: str, args: tuple[Any, ...]) -> int:
    """How often CUDA launches an operation; more than once only for lists that are too long."""
    if not name.startswith(("_foreach", "_fused")):
        return 1
    lists = [each for each in args if isinstance(each, list | tuple) and each and isinstance(each[0], Tensor)]
    depth = min(len(lists) + (not name.endswith("_")), len(MOST_TENSORS))
    blocks = sum(math.ceil(tensor.numel() / CHUNK) for tensor in lists[0])
    return max(math.ceil(len(lists[0]) / MOST_TENSORS[depth - 1]), math.ceil(blocks / MOST_BLOCKS))


def launches(work: Callable[[], Any]) -> int:
    with LaunchCounter() as counter:
        work()
    return counter.count
