"""The history of a run: a value an epoch, and what is needed to understand them."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tinybench.runtime.files import write_json


@dataclass
class History:
    """What history.json holds. Accuracies in percent, losses in nats, times in seconds.

    Attributes:
        about: config, environment, dataset, parameters.
        epochs: lists of equal length, one value an epoch: train_loss, train_acc, val_loss, val_acc, val_top5_acc,
            val_image_size (side in pixels of the images validated on), lr (of the epoch's last step), epoch_seconds
            (training and validation), images_per_second (training); where the classes differ in size val_macro_acc,
            the mean of their accuracies; with an EMA those of val_ also as ema_val_.
        best_epoch: the best so far, from 1; 0 before the first. Its weights are those of best_model.pth.
    """

    about: dict[str, Any]
    epochs: dict[str, list[float]] = field(default_factory=dict)
    best_epoch: int = 0

    def __len__(self) -> int:
        return len(self.epochs.get("train_loss", ()))

    def append(self, values: dict[str, float]) -> None:
        # What an earlier version began without is left out to the end.
        for name in list(self.epochs) if len(self) else values:
            self.epochs.setdefault(name, []).append(values[name])
        if self._is_better(len(self), self.best_epoch):
            self.best_epoch = len(self)

    def restore(self, epochs: dict[str, list[float]], best_epoch: int | None) -> None:
        """Take over what a checkpoint holds; earlier versions validated all epochs at full size, and named no best."""
        self.epochs, self.best_epoch = epochs, best_epoch or 0
        self.epochs.setdefault("val_image_size", [self.about["config"]["image_size"]] * len(self))
        if best_epoch is None:
            for epoch in range(1, len(self) + 1):
                if self._is_better(epoch, self.best_epoch):
                    self.best_epoch = epoch

    def best(self) -> tuple[int, float, str]:
        """Epoch (from 1), validation accuracy and weights ("model" or "ema") of the best epoch so far."""
        accuracy, _, weights = self._score(self.best_epoch)
        return self.best_epoch, accuracy, weights

    def _is_better(self, epoch: int, than: int) -> bool:
        """Whether an epoch is better than an earlier one.

        At full size accuracy decides, among equals the lower loss, then the earlier epoch. While the images grow, each
        size is better than the one before, as accuracies on images of different sizes do not compare.
        """
        if than == 0:
            return True
        size, former = (self.epochs["val_image_size"][number - 1] for number in (epoch, than))
        if size != former:
            return former != self.about["config"]["image_size"]
        return self._score(epoch)[:2] > self._score(than)[:2]

    def _score(self, epoch: int) -> tuple[float, float, str]:
        """Accuracy and negative loss of the better of an epoch's weights, and which these are."""
        kinds = {"model": "", "ema": "ema_"} if "ema_val_acc" in self.epochs else {"model": ""}
        return max(
            (self.epochs[f"{prefix}val_acc"][epoch - 1], -self.epochs[f"{prefix}val_loss"][epoch - 1], weights)
            for weights, prefix in kinds.items()
        )

    def write(self, path: Path, peak_memory_mb: float) -> None:
        epoch, _, weights = self.best()
        write_json(
            path,
            {
                **self.epochs,
                **self.about,
                "best_epoch": epoch,
                "best_weights": weights,
                "total_training_time_seconds": sum(self.epochs.get("epoch_seconds", ())),
                "peak_memory_mb": peak_memory_mb,
            },
        )
