"""All that changes while a run goes on."""

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from tinybench.errors import UserError
from tinybench.inference.checkpoint import load_weights
from tinybench.training.distill import Teacher
from tinybench.training.ema import Ema
from tinybench.training.history import History
from tinybench.training.loss import Criterion


@dataclass
class TrainingState:
    """What last.pth holds beside the description of the network.

    Attributes:
        step: steps done in the epoch that follows those in `history`.
        ddp_model: what to call instead of `model` in training; another one where several processes train together.
        sums: float32 (2,) on the device, over that epoch's images so far: loss and correct predictions. Each of several
            processes extrapolates from its share; their mean is exact.
        seconds: spent in that epoch so far.
        criterion, teacher: never change, and are made again by a run that is resumed.
    """

    model: nn.Module
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    ema: Ema | None
    criterion: Criterion
    teacher: Teacher | None
    history: History
    sums: Tensor
    step: int = 0
    seconds: float = 0.0
    ddp_model: nn.Module = field(init=False)

    def __post_init__(self) -> None:
        self.ddp_model = self.model

    def as_dict(self) -> dict[str, Any]:
        """What to add to a `network_checkpoint` of the model, so that `restore` can go on from it."""
        training = {
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
            "history": self.history.epochs,
            "best_epoch": self.history.best_epoch,
            "sums": self.sums,
            "step": self.step,
            "seconds": self.seconds,
        }
        return {"training": training, **({"ema_state_dict": self.ema.model.state_dict()} if self.ema else {})}

    def restore(self, checkpoint: dict[str, Any]) -> None:
        """Go back to the moment in which the checkpoint was written.

        Raises:
            UserError: it holds a network but no training state.
        """
        if "training" not in checkpoint:
            raise UserError("the checkpoint holds a network only; resume from last.pth or checkpoint_epoch_N.pth")
        training = checkpoint["training"]
        load_weights(self.model, checkpoint["state_dict"])
        if self.ema:
            load_weights(self.ema.model, checkpoint["ema_state_dict"])
        try:
            self.optimizer.load_state_dict(training["optimizer"])
            self.scaler.load_state_dict(training["scaler"])
            self.sums.copy_(training["sums"])
        except Exception as error:  # whatever stands in a damaged state, torch's loaders meet it unprepared
            raise UserError(f"the checkpoint's training state is damaged: {error!r}".splitlines()[0]) from error
        self.history.restore(training["history"], training.get("best_epoch"))
        self.step, self.seconds = training["step"], training["seconds"]

    def end_epoch(self, values: dict[str, float]) -> None:
        """Add the epoch's values to the history, and be at the first step of the next."""
        self.history.append(values)
        self.step, self.seconds = 0, 0.0
        self.sums.zero_()

    def has_begun(self) -> bool:
        """Whether a step has been done."""
        return bool(self.step or len(self.history))

    def weights_are_finite(self) -> bool:
        norms = torch._foreach_norm([parameter.detach() for parameter in self.model.parameters()])
        return bool(torch.isfinite(torch.stack(norms)).all())


def has_begun(checkpoint: dict[str, Any]) -> bool:
    """Whether a checkpoint holds more than a network that is still as it was drawn."""
    training = checkpoint.get("training")
    return training is None or bool(training["step"] or training["history"])
