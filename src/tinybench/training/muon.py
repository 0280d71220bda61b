"""Muon (Jordan et al. 2024, https://kellerjordan.github.io/posts/muon/) beside AdamW, in one optimizer."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

# Odd quintic polynomial that drives all singular values towards 1, fast near 0 (Jordan et al.).
NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)
STEPS = 5
BETA2 = 0.999  # of AdamW


class Muon(torch.optim.Optimizer):
    """Groups with `orthogonalize` take Muon's step, all others AdamW's.

    Muon's step is the momentum, made orthogonal: every direction of a matrix moves as far as every other. A kernel
    (out, in, h, w) counts as a matrix (out, in * h * w). Scaled by 0.2 * sqrt(the longer side), the step is as large as
    AdamW's usually is, so that one learning rate and one weight decay suit both (Liu et al. 2025,
    https://arxiv.org/abs/2502.16982).

    Args:
        momentum: of Muon; of AdamW the first beta.
        nesterov: look one step ahead along the momentum.
    """

    def __init__(self, groups: Sequence[dict[str, Any]], *, lr: float, momentum: float, nesterov: bool) -> None:
        super().__init__(groups, {"lr": lr})
        self.momentum, self.nesterov = momentum, nesterov

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            direction = self._muon if group["orthogonalize"] else self._adam
            for parameter in group["params"]:
                if parameter.grad is not None:
                    parameter.mul_(1 - group["lr"] * group["weight_decay"])
                    parameter.sub_(direction(parameter.grad, self.state[parameter]), alpha=group["lr"])

    def _muon(self, gradient: Tensor, state: dict[str, Any]) -> Tensor:
        average = state.setdefault("average", torch.zeros_like(gradient)).lerp_(gradient, 1 - self.momentum)
        matrix = (gradient.lerp(average, self.momentum) if self.nesterov else average).flatten(1)
        return 0.2 * max(matrix.shape) ** 0.5 * orthogonalize(matrix).view_as(gradient)

    def _adam(self, gradient: Tensor, state: dict[str, Any]) -> Tensor:
        state["steps"] = steps = state.get("steps", 0) + 1
        average = state.setdefault("average", torch.zeros_like(gradient)).lerp_(gradient, 1 - self.momentum)
        square = state.setdefault("square", torch.zeros_like(gradient)).lerp_(gradient.square(), 1 - BETA2)
        return average / (1 - self.momentum**steps) / ((square / (1 - BETA2**steps)).sqrt() + 1e-8)


def orthogonalize(matrix: Tensor) -> Tensor:
    """The nearest matrix with singular values of about 1 (0.7 to 1.2), by five Newton-Schulz steps: (m, n) to (m, n).

    On CUDA in bf16, which is exact enough for a direction and several times as fast.
    """
    a, b, c = NEWTON_SCHULZ
    x = matrix.to(torch.bfloat16 if matrix.is_cuda else torch.float32)
    x = x / x.norm().clamp(min=1e-7)
    tall = x.shape[0] > x.shape[1]
    if tall:  # the products below have the side of the rows
        x = x.T
    for _ in range(STEPS):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    return (x.T if tall else x).to(matrix.dtype)
