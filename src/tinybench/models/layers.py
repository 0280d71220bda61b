"""What several networks share: blocks, and the bounds of their options."""

from typing import Annotated

import torch
from annotated_types import Interval
from torch import Tensor, nn

Count = Annotated[int, Interval(ge=1, le=65536)]  # of channels, layers, heads or pixels


class DropPath(nn.Module):
    """Stochastic depth (Huang et al. 2016, https://arxiv.org/abs/1603.09382): drop a residual branch, per image.

    The branches that stay are scaled up, so that the expectation does not change. Outside training nothing is dropped.

    Args:
        probability: of dropping the branch.
    """

    def __init__(self, probability: float) -> None:
        super().__init__()
        self.probability = probability

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.probability == 0:
            return x
        keep = 1 - self.probability
        mask = torch.rand((len(x),) + (1,) * (x.ndim - 1), device=x.device) < keep
        return x * (mask / keep).to(x.dtype)

    def extra_repr(self) -> str:
        return f"probability={self.probability:.3f}"
