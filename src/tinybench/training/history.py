"""The history of a run: a value an epoch, and what is needed to understand them."""

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tinybench.runtime.files import write_json


@dataclass
class History:
    """What history.json holds. Accuracies in percent, losses in nats, times in seconds.

    Attributes:
        epochs: lists of equal length, one value an epoch: train_loss, train_acc, val_loss, val_acc, val_top5_acc, lr
            (of the epoch's last step), epoch_seconds (training and validation), images_per_second (training), and
            with an EMA ema_val_loss, ema_val_acc, ema_val_top5_acc.
        about: config, environment, dataset, parameters.
    """

    about: dict[str, Any]
    epochs: dict[str, list[float]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.epochs.get("train_loss", ()))

    def append(self, values: dict[str, float]) -> None:
        for name, value in values.items():
            self.epochs.setdefault(name, []).append(value)

    def best(self) -> tuple[int, float, str]:
        """Epoch (from 1), validation accuracy and weights ("model" or "ema") of the best epoch so far."""
        candidates = [
            (accuracy, -epoch, weights)
            for weights, name in (("model", "val_acc"), ("ema", "ema_val_acc"))
            for epoch, accuracy in enumerate(self.epochs.get(name, ()), start=1)
        ]
        accuracy, negative_epoch, weights = max(candidates, default=(-math.inf, 0, "model"))
        return -negative_epoch, accuracy, weights

    def write(self, path: Path, peak_memory_mb: float) -> None:
        write_json(
            path,
            {
                **self.epochs,
                **self.about,
                "best_epoch": self.best()[0],
                "total_training_time_seconds": sum(self.epochs.get("epoch_seconds", ())),
                "peak_memory_mb": peak_memory_mb,
            },
        )
