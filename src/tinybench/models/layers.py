"""What several networks share: blocks, and the bounds of their options."""

import functools
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


class _TrainedInFp32(nn.Conv2d):
    """A depthwise convolution that computes in fp32 under autocast too when it is trained on a CPU, unless 3x3 of
    stride 1.

    There the gradients of 5x5 and strided ones take four to ten times as long in bf16 as in fp32 (torch 2.15, a
    processor with AMX; 2 to 19 times on Zen 4): all of EfficientNet trains 1.6 times as fast like this.
    """

    def forward(self, x: Tensor) -> Tensor:
        trains_mixed = x.device.type == "cpu" and torch.is_autocast_enabled("cpu") and torch.is_grad_enabled()
        if trains_mixed and self.weight.requires_grad and (self.kernel_size, self.stride) != ((3, 3), (1, 1)):
            with torch.autocast("cpu", enabled=False):
                return super().forward(x.float()).to(torch.get_autocast_dtype("cpu"))
        return super().forward(x)


class DepthwiseConv2d(_TrainedInFp32):
    """One kernel a channel."""

    def __init__(self, channels: int, kernel: int, stride: int = 1, bias: bool = False) -> None:
        super().__init__(channels, channels, kernel, stride, padding=kernel // 2, groups=channels, bias=bias)


def train_depthwise_in_fp32(model: nn.Module) -> None:
    """Have the depthwise convolutions of somebody else's network train on a CPU as `DepthwiseConv2d` does."""
    for module in model.modules():
        if isinstance(module, nn.Conv2d) and 1 < module.groups == module.in_channels:
            kind = type(module)  # whose own forward, such as timm's padding, stays
            module.__class__ = type(kind.__name__, (_TrainedInFp32, kind), {})


class AdaptiveAvgPool2d(nn.AdaptiveAvgPool2d):
    """torch's; by two matrix products where MPS refuses it (neither side divides the other) or where a gradient that
    can be repeated is asked for, of which CUDA has none. Maps of the right size are left alone.

    Args:
        output_size: side of the maps that come out.
    """

    output_size: int

    def forward(self, x: Tensor) -> Tensor:
        side = self.output_size
        if x.shape[-2:] == (side, side):
            return x
        fits = all(max(length, side) % min(length, side) == 0 for length in x.shape[-2:])
        repeatable = x.device.type != "cuda" or not torch.are_deterministic_algorithms_enabled()
        if repeatable and (fits or x.device.type != "mps"):
            return super().forward(x)
        with torch.autocast(x.device.type, enabled=False):  # a third is not a third in bf16
            return pool_by_products(x.float(), side).to(x.dtype)


def pool_by_products(x: Tensor, side: int) -> Tensor:
    """What adaptive average pooling gives: float32 (B, C, H, W) to (B, C, side, side)."""
    rows, columns = (_window_means(length, side, x.device) for length in x.shape[-2:])
    return rows @ x @ columns.T


@functools.cache
@torch.inference_mode(False)  # made in evaluation, it also serves training
def _window_means(length: int, side: int, device: torch.device) -> Tensor:
    """(side, length): each row averages one window, from floor(i length / side) to ceil((i + 1) length / side)."""
    place, window = torch.arange(length), torch.arange(side).unsqueeze(1)
    inside = (place >= window * length // side) & (place < -(-(window + 1) * length // side))
    return (inside / inside.sum(1, keepdim=True)).to(device)
