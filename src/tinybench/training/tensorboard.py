"""The run as TensorBoard events: the history by epoch, the loss of each step by images seen, the recipe as hparams."""

import contextlib
from collections.abc import Iterator

import torch

from tinybench.errors import UsageError
from tinybench.recipe import Recipe, RunOptions
from tinybench.runtime.distributed import is_main
from tinybench.training.saving import Stopped
from tinybench.training.state import TrainingState

# Where TensorBoard shows what the history holds: what stands before the slash is a group of charts.
TAGS = {
    "train_loss": "loss/train",
    "val_loss": "loss/val",
    "ema_val_loss": "loss/val_ema",
    "train_acc": "accuracy/train",
    "val_acc": "accuracy/val",
    "ema_val_acc": "accuracy/val_ema",
    "val_top5_acc": "accuracy/val_top5",
    "ema_val_top5_acc": "accuracy/val_top5_ema",
    "val_macro_acc": "accuracy/val_macro",
    "ema_val_macro_acc": "accuracy/val_macro_ema",
    "lr": "schedule/lr",
    "val_image_size": "schedule/image_size",
    "epoch_seconds": "speed/epoch_seconds",
    "images_per_second": "speed/images_per_second",
}
STEP_LOSS = "loss/train_step"
METRICS = ("loss/val", "accuracy/val")  # beside the hparams, each with its last value
STEPS_FOLDER = "steps"  # below the run's, as its events are counted in images and are not in the history


class TensorBoard:
    """Writes the events of one run.

    Args:
        batch_size: images a step.
    """

    def __init__(
        self, options: RunOptions, recipe: Recipe, state: TrainingState, steps_per_epoch: int, batch_size: int
    ) -> None:
        from torch.utils.tensorboard import SummaryWriter
        from torch.utils.tensorboard.summary import hparams

        self._state, self._batch_size = state, batch_size
        self._losses: list[torch.Tensor] = []
        self._total = state.sums[0].clone()
        self._seen = (len(state.history) * steps_per_epoch + state.step) * batch_size
        # A lost process may have written too much, or too little: the epochs are all dropped and written again, of the
        # steps those are dropped that are done again.
        self._epochs = SummaryWriter(options.folder, purge_step=1)
        self._steps = SummaryWriter(options.folder / STEPS_FOLDER, purge_step=self._seen + 1)
        fields = {
            name: value if isinstance(value, int | float | str) else str(value)
            for name, value in recipe.as_dict().items()
        }
        for summary in hparams(fields, dict.fromkeys(METRICS)):
            self._epochs.file_writer.add_summary(summary)  # type: ignore[attr-defined]  # it is None when closed
        for epoch in range(len(state.history)):
            self._write_epoch(epoch + 1, {name: values[epoch] for name, values in state.history.epochs.items()})

    def after_step(self) -> None:
        """Note the loss of the step, which stays on the device until the epoch ends."""
        total = self._state.sums[0].clone()
        self._losses.append(total - self._total)
        self._total = total

    def after_epoch(self, values: dict[str, float]) -> None:
        self._total = self._state.sums[0].clone()
        self._write_epoch(len(self._state.history), values)
        self.write_steps()

    def write_steps(self) -> None:
        """Write the losses noted; it waits for the device."""
        if self._losses:
            for loss in torch.stack(self._losses).tolist():
                self._seen += self._batch_size
                self._steps.add_scalar(STEP_LOSS, loss / self._batch_size, self._seen)
            self._losses.clear()
        self._steps.flush()

    def close(self) -> None:
        self._epochs.close()
        self._steps.close()

    def _write_epoch(self, epoch: int, values: dict[str, float]) -> None:
        for name, value in values.items():
            self._epochs.add_scalar(TAGS[name], value, epoch)
        self._epochs.flush()


@contextlib.contextmanager
def open_tensorboard(
    options: RunOptions, recipe: Recipe, state: TrainingState, steps_per_epoch: int, batch_size: int
) -> Iterator[TensorBoard | None]:
    """Yield what writes the events; nothing unless the run asks for TensorBoard, and only in the main process.

    Raises:
        UsageError: the package tensorboard is not installed.
    """
    if not options.tensorboard or not is_main():
        yield None
        return
    try:
        board = TensorBoard(options, recipe, state, steps_per_epoch, batch_size)
    except ImportError as error:
        raise UsageError("--tensorboard needs a package: pip install tensorboard") from error
    with contextlib.closing(board):
        try:
            yield board
        except Stopped:
            board.write_steps()
            raise
