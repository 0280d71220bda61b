"""Exponential moving average of a network's weights."""

import copy

import torch
from torch import nn


class Ema:
    """A second network that follows the first: after each step, average += (1 - decay) * (weights - average).

    In step t the decay is at most (1 + t) / (10 + t): the average spans the last tenth of what has been, so that the
    random start is soon forgotten, and a short run can have the decay of a long one. The statistics of the BatchNorms
    are averaged likewise; integer buffers (their counters) are copied.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        self.model = copy.deepcopy(model).eval().requires_grad_(False)

    @torch.no_grad()
    def update(self, model: nn.Module, step: int) -> None:
        """Follow the step of that number, counted from 0 over the whole run."""
        decay = min(self.decay, (1 + step) / (10 + step))
        # state_dict() of the same module class gives the same order, as references, not copies.
        averages, weights = self.model.state_dict().values(), model.state_dict().values()
        pairs = list(zip(averages, weights, strict=True))
        floats = [pair for pair in pairs if pair[0].is_floating_point()]
        torch._foreach_lerp_([a for a, _ in floats], [w for _, w in floats], 1 - decay)
        for average, weight in pairs:
            if not average.is_floating_point():
                average.copy_(weight)
