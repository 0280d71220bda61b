"""Several processes that train one network together, each on its share of every batch; torchrun starts them.

Each has a copy of the network on a device of its own. What has to be the same everywhere (gradients, sums, when to
stop) is exchanged here. One process alone has no process group, and nothing here changes anything.
"""

import contextlib
import hashlib
import os
import time
from collections.abc import Iterator
from signal import Signals
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from tinybench.errors import UsageError, UserError
from tinybench.runtime.device import pick_device

Value = TypeVar("Value")
AGREE_SECONDS = 1.0  # from one exchange of several processes to the next


def world_size() -> int:
    """How many processes there are, on all machines together."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """The number of this process, from 0."""
    return dist.get_rank() if world_size() > 1 else 0


def is_main() -> bool:
    """Whether this is the process that prints and writes."""
    return rank() == 0


def rank_keys() -> tuple[int, ...]:
    """What to add to the keys of a random stream that has to differ between processes; nothing in the main one."""
    return () if is_main() else (rank(),)


@contextlib.contextmanager
def process_group(device: str) -> Iterator[None]:
    """Join the other processes, where torchrun started several; on CUDA, "cuda" is then this process's own card.

    Args:
        device: auto, cpu or cuda.

    Raises:
        UsageError: the device is one that several processes cannot use.
        UserError: another process cannot be reached, or has ended before its time.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield
        return
    kind = pick_device(device).type
    if kind == "mps":
        raise UsageError("several processes cannot share device mps; start one, or add --device cpu")
    if kind == "cuda":
        processes, cards = int(os.environ["LOCAL_WORLD_SIZE"]), torch.cuda.device_count()
        if processes > cards:
            raise UsageError(f"--nproc_per_node {processes} is more than this machine's {cards} CUDA devices")
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    try:
        # With both, each tensor travels by the one that is for its device.
        dist.init_process_group("cpu:gloo,cuda:nccl" if kind == "cuda" else "gloo")
        yield
    except RuntimeError as error:
        if not isinstance(error, dist.DistError) and "gloo" not in str(error):
            raise
        reason = str(error).splitlines()[0]
        raise UserError(f"no connection to another process of the run ({reason}); go on with --resume") from error
    dist.destroy_process_group()  # not after an error: it would wait for processes that may be gone


def replicate(model: nn.Module) -> nn.Module:
    """What to call instead of `model` in training, so that gradients are averaged over the processes."""
    if world_size() == 1:
        return model
    # Each process keeps BatchNorm statistics of its own until
    # `broadcast_buffers`: sending them every step serves nothing.
    return DistributedDataParallel(model, broadcast_buffers=False, gradient_as_bucket_view=True)


def no_sync(ddp_model: nn.Module) -> contextlib.AbstractContextManager[None]:
    """The context in which gradients only add up, to be averaged with those of the next backward pass outside."""
    return ddp_model.no_sync() if isinstance(ddp_model, DistributedDataParallel) else contextlib.nullcontext()


def broadcast_buffers(model: nn.Module) -> None:
    """Give all processes the main one's buffers, which are those that checkpoints hold."""
    if world_size() > 1:
        for buffer in model.buffers():
            dist.broadcast(buffer, 0)


def all_reduce_mean_(tensor: Tensor) -> None:
    """Replace a tensor by its mean over the processes."""
    if world_size() > 1:
        dist.all_reduce(tensor)
        tensor /= world_size()


def rank_slice(count: int) -> slice:
    """This process's part of `count` things: no two processes share one, and none is left out."""
    return slice(rank() * count // world_size(), (rank() + 1) * count // world_size())


def gather_rows(rows: Tensor, count: int) -> Tensor:
    """All `count` rows in all processes, each of which brings those of its `rank_slice`."""
    if world_size() == 1:
        return rows
    gathered = rows.new_zeros(count, *rows.shape[1:])
    gathered[rank_slice(count)] = rows
    dist.all_reduce(gathered)  # a row is the sum of one process's and the others' zeros, hence exact
    return gathered


class AnyRank:
    """What any process has been asked to do, known in all of them in the same step; to be called in every step.

    They exchange two integers between hosts about once a second: no device waits for it, but hosts that waited for each
    other in every short step would take longer than the step. All count the steps from one exchange to the next alike,
    by the longest time that any of them took for the last ones.
    """

    def __init__(self) -> None:
        self.steps = 1  # from one exchange to the next
        self._left, self._asked = self.steps, time.monotonic()

    def __call__(self, received: Signals | None, due: bool, *, now: bool = False) -> tuple[Signals | None, bool]:
        """The signal that any process received, and whether a checkpoint is due in any; in between, none and not.

        Args:
            now: exchange it at once, in all processes.
        """
        if world_size() == 1:
            return received, due
        self._left -= 1
        if self._left and not now:
            return None, False
        seconds = time.monotonic() - self._asked
        number, is_due, milliseconds = _largest(received or 0, due, round(1000 * seconds))
        # At most twice as many: a GPU's first steps are only queued, and seem to take no time.
        fitting = int((self.steps - self._left) * 1000 * AGREE_SECONDS / max(milliseconds, 1))
        self.steps = self._left = max(1, min(2 * self.steps, fitting))
        self._asked = time.monotonic()
        return Signals(number) if number else None, bool(is_due)


def barrier() -> None:
    """Go on when every process has come here."""
    _largest(0)


def of_main(value: Value) -> Value:
    """The main process's value, in all processes."""
    values = [value]
    if world_size() > 1:
        dist.broadcast_object_list(values)
    return values[0]


def require_same(value: object) -> None:
    """Make sure that all processes do the same, before any of them does it.

    Args:
        value: its repr() tells what is going to be done.

    Raises:
        UserError: in all of them, where it differs.
    """
    digest = int.from_bytes(hashlib.sha256(repr(value).encode()).digest()[:7])
    largest, negative_smallest = _largest(digest, -digest)
    if largest != -negative_smallest:
        raise UserError(
            "the processes differ in recipe, data or checkpoint; all machines need the same flags, data and results_dir"
        )


def _largest(*numbers: int) -> list[int]:
    """The largest of each number over the processes."""
    if world_size() == 1:
        return list(numbers)
    tensor = torch.tensor(numbers)
    dist.all_reduce(tensor, dist.ReduceOp.MAX)
    return tensor.tolist()
