"""Exponential moving average of a network's weights."""

import copy

import torch
from torch import Tensor, nn

WARMUP_STEPS = 10  # the c of a decay of at most (1 + t) / (c + t), as in TensorFlow's ExponentialMovingAverage


class Ema:
    """A second network that follows the first: after each step, average += (1 - decay) * (weights - average).

    In step t the decay is at most (1 + t) / (10 + t): the average spans the last tenth of what has been, so that the
    random start is soon forgotten, and a short run can have the decay of a long one. The statistics of the BatchNorms
    are averaged likewise; integer buffers (their counters) are copied. The tensors of both networks stay the same ones:
    what is loaded into them is copied.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        self.model = copy.deepcopy(model).eval().requires_grad_(False)
        # Found once: to walk through a network's modules in every step would take longer than the averaging.
        pairs = [*zip(_tensors(self.model), _tensors(model), strict=True)]
        self._floats = [pair for pair in pairs if pair[0].is_floating_point()]
        self._counters = [pair for pair in pairs if not pair[0].is_floating_point()]

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Follow the step of that number, counted from the average's first; before it, the average is the weights."""
        decay = min(self.decay, (1 + step) / (WARMUP_STEPS + step)) if step >= 0 else 0.0
        averages, weights = zip(*self._floats, strict=True)
        torch._foreach_lerp_(averages, weights, 1 - decay)
        if self._counters:
            copies, counters = zip(*self._counters, strict=True)
            torch._foreach_copy_(copies, counters)


def _tensors(model: nn.Module) -> list[Tensor]:
    return [*model.parameters(), *model.buffers()]
