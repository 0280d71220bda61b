"""The history as TensorBoard events."""

import contextlib
from collections.abc import Callable, Iterator

from tinybench.errors import UsageError
from tinybench.recipe import RunOptions
from tinybench.runtime.distributed import is_main
from tinybench.training.history import History


@contextlib.contextmanager
def open_tensorboard(options: RunOptions, history: History) -> Iterator[Callable[[int, dict[str, float]], None]]:
    """Yield a function that logs an epoch's values; it does nothing unless the run asks for TensorBoard, and
    only in the main process.

    Raises:
        UsageError: the package tensorboard is not installed.
    """
    if not options.tensorboard or not is_main():
        yield lambda epoch, values: None
        return
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise UsageError("--tensorboard needs a package: pip install tensorboard") from error
    # All events of earlier processes are dropped and written again: a lost one may have written too many, or too few.
    with SummaryWriter(options.folder, purge_step=1) as writer:

        def log(epoch: int, values: dict[str, float]) -> None:
            for name, value in values.items():
                writer.add_scalar(name, value, epoch)
            writer.flush()

        for epoch in range(len(history)):
            log(epoch + 1, {name: values[epoch] for name, values in history.epochs.items()})
        yield log
