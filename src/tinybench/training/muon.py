"""Muon (Jordan et al. 2024, https://kellerjordan.github.io/posts/muon/) beside AdamW, in one optimizer."""

import itertools
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.optim.adamw import adamw

from tinybench.runtime.device import has_bf16

# Odd quintic polynomial that drives all singular values towards 1, fast near 0 (Jordan et al.).
NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)
STEPS = (2, 3)  # of it; x itself is multiplied only after each of these
RMS = 0.2  # root mean square of the entries of a usual AdamW step (Liu et al. 2025)
EPSILON = 1e-8  # of AdamW
FEW_CHANNELS = 32  # of a 1×1 kernel on its narrower side: with so few directions, equal ones would blow up noise


class Muon(torch.optim.Optimizer):
    """Groups with `orthogonalize` take Muon's step, but for 1×1 kernels of few channels; all others take AdamW's.

    Muon's step is the momentum, made orthogonal: every direction of a matrix moves as far as every other. A kernel
    (out, in, h, w) counts as a matrix (out, in * h * w). Scaled by RMS * sqrt(the longer side), the step is as large
    as AdamW's usually is, so that one learning rate and one weight decay suit both (Liu et al. 2025,
    https://arxiv.org/abs/2502.16982).

    Args:
        momentum: of Muon.
        nesterov: look one step ahead along the momentum.
        betas: of AdamW.
    """

    def __init__(
        self,
        groups: Sequence[dict[str, Any]],
        *,
        lr: float,
        momentum: float,
        nesterov: bool,
        betas: tuple[float, float],
    ) -> None:
        super().__init__(groups, {"lr": lr})
        self.momentum, self.nesterov, self.betas = momentum, nesterov, betas

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        super().load_state_dict(state_dict)
        for group in self.param_groups:
            for parameter in group["params"]:
                state = self.state.get(parameter, {})
                if "steps" in state:  # earlier versions counted on the host
                    state["steps"] = torch.as_tensor(state["steps"], dtype=torch.float32, device=parameter.device)
                elif not _turns(parameter, group):
                    state.clear()  # earlier versions made it orthogonal; AdamW begins anew

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            moved = [parameter for parameter in group["params"] if parameter.grad is not None]
            if turned := [parameter for parameter in moved if _turns(parameter, group)]:
                self._muon(turned, group["lr"], group["weight_decay"])
            if others := [parameter for parameter in moved if not _turns(parameter, group)]:
                self._adamw(others, group["lr"], group["weight_decay"])

    def _muon(self, parameters: list[Tensor], lr: float, weight_decay: float) -> None:
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        averages = self._kept("average", parameters)
        torch._foreach_lerp_(averages, gradients, 1 - self.momentum)
        ahead = torch._foreach_lerp(gradients, averages, self.momentum) if self.nesterov else averages
        nhwc = [parameter.ndim == 4 and not parameter.is_contiguous() for parameter in parameters]
        steps = orthogonalize([_rows(each, last).flatten(1) for each, last in zip(ahead, nhwc, strict=True)])
        torch._foreach_mul_(steps, [RMS * max(step.shape) ** 0.5 for step in steps])
        weights = [_rows(each, last).view(len(each), -1) for each, last in zip(parameters, nhwc, strict=True)]
        torch._foreach_mul_(weights, 1 - lr * weight_decay)
        torch._foreach_add_(weights, steps, alpha=-lr)

    def _adamw(self, parameters: list[Tensor], lr: float, weight_decay: float) -> None:
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        averages, squares = self._kept("average", parameters), self._kept("square", parameters)
        for parameter in parameters:
            self.state[parameter].setdefault("steps", torch.zeros((), device=parameter.device))
        adamw(
            parameters, gradients, averages, squares, [], [self.state[parameter]["steps"] for parameter in parameters],
            fused=True, amsgrad=False, beta1=self.betas[0], beta2=self.betas[1], lr=lr, weight_decay=weight_decay,
            eps=EPSILON, maximize=False,
        )  # fmt: skip

    def _kept(self, name: str, parameters: list[Tensor]) -> list[Tensor]:
        """The tensors of that name in the parameters' states, at first 0."""
        for parameter in parameters:
            if name not in self.state[parameter]:
                self.state[parameter][name] = torch.zeros_like(parameter)
        return [self.state[parameter][name] for parameter in parameters]


def _turns(parameter: Tensor, group: dict[str, Any]) -> bool:
    """Whether the parameter takes Muon's step: in a group that does, all but 1×1 kernels of few channels."""
    is_point = parameter.ndim == 4 and parameter.shape[2:].numel() == 1
    return group["orthogonalize"] and not (is_point and min(parameter.shape[:2]) < FEW_CHANNELS)


def _rows(weight: Tensor, channels_last: bool) -> Tensor:
    """The weight with its axes in the order of the memory: rows are as orthogonal in any order of their entries."""
    return weight.permute(0, 2, 3, 1) if channels_last else weight


def orthogonalize(matrices: Sequence[Tensor]) -> list[Tensor]:
    """For each matrix the nearest one with singular values of about 1 (0.7 to 1.3), in float32.

    Five Newton-Schulz steps, x <- p(x x^T) x, in bf16 where the device has it, which is exact enough for a direction.
    The polynomials p need x x^T only, whose side is that of the shorter side of x, and p's product is soon found from
    it; only rounding, which grows with each step, asks for x once in between. So matrices of one shape are multiplied
    together, and of all that share a shorter side the small products.
    """
    dtype = torch.bfloat16 if has_bf16(matrices[0].device) else torch.float32
    # By the shorter side, then by shape.
    order = sorted(range(len(matrices)), key=lambda index: (min(matrices[index].shape), matrices[index].shape))
    norms = torch.stack(torch._foreach_norm([matrices[index] for index in order])).clamp_(min=1e-7)
    stacks, done = [], 0
    for _, indices in itertools.groupby(order, key=lambda index: matrices[index].shape):
        stack = torch.stack([matrices[index] for index in indices])
        norm = norms[done : done + len(stack), None, None]
        stacks.append(torch.div(stack, norm, out=torch.empty_like(stack, dtype=dtype)))
        done += len(stack)
    for steps in STEPS:
        sharing = [[*each] for _, each in itertools.groupby(stacks, key=lambda stack: min(stack.shape[1:]))]
        stacks = [moved for each in sharing for moved in _newton_schulz(each, steps)]
    made = dict(zip(order, (row for stack in stacks for row in stack.float()), strict=True))
    return [made[index] for index in range(len(matrices))]


def _newton_schulz(stacks: list[Tensor], steps: int) -> list[Tensor]:
    """So many steps on stacks of matrices (k, m, n) with one shorter side, in their type."""
    a, b, c = NEWTON_SCHULZ
    wide = [x.shape[1] <= x.shape[2] for x in stacks]
    gram = torch.cat([x @ x.mT if is_wide else x.mT @ x for x, is_wide in zip(stacks, wide, strict=True)])
    for step in range(steps):
        polynomial = torch.baddbmm(gram, gram, gram, beta=b, alpha=c)  # but for a times the identity
        if step == 0:
            product = polynomial.clone()
            product.diagonal(dim1=1, dim2=2).add_(a)
        else:
            product = torch.baddbmm(product, polynomial, product, beta=a)
        if step < steps - 1:  # the next x's x x^T: all of these are polynomials of the first one, in any order
            gram = torch.baddbmm(gram, polynomial, gram, beta=a)
            gram = torch.baddbmm(gram, gram, polynomial, beta=a)
    products = product.split([len(x) for x in stacks])
    return [part @ x if is_wide else x @ part for part, x, is_wide in zip(products, stacks, wide, strict=True)]
