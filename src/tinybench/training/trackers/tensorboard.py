"""TensorBoard: events in the run's folder."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from tinybench.training.trackers.base import STEP_LOSS, TrackedRun, Tracker

METRICS = ("loss/val", "accuracy/val")  # beside the hparams, each with its last value
STEPS_FOLDER = "steps"  # below the run's, as its events are counted in images and the others in epochs


class TensorBoard(Tracker):
    packages = ("tensorboard",)
    install = "tensorboard"

    def __init__(self, run: TrackedRun) -> None:
        from torch.utils.tensorboard import SummaryWriter
        from torch.utils.tensorboard.summary import hparams

        folder = run.options.folder
        # A lost process may have written too much, or too little: the epochs are all dropped and written again, of the
        # steps those are dropped that are done again.
        self._epochs = SummaryWriter(folder, purge_step=1)
        self._steps = SummaryWriter(folder / STEPS_FOLDER, purge_step=run.images + 1)
        self.place = {"id": "", "epochs": 0, "images": run.images}
        self.view = f"tensorboard --logdir {run.options.results_dir}"
        for summary in hparams(run.recipe, dict.fromkeys(METRICS)):
            self._epochs.file_writer.add_summary(summary)  # type: ignore[attr-defined]  # it is None when closed

    def log_epoch(self, epoch: int, values: Mapping[str, float]) -> None:
        for tag, value in values.items():
            self._epochs.add_scalar(tag, value, epoch)
        self._epochs.flush()

    def log_steps(self, losses: Mapping[int, float]) -> None:
        for images, loss in losses.items():
            self._steps.add_scalar(STEP_LOSS, loss, images)
        self._steps.flush()

    def log_files(self, paths: Sequence[Path]) -> None:
        """Nothing: the events lie beside them, and TensorBoard shows no files."""

    def close(self, finished: bool) -> None:
        self._epochs.close()
        self._steps.close()
