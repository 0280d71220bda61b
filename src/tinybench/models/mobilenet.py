"""MobileNetV3-Small (Howard et al. 2019, Searching for MobileNetV3, https://arxiv.org/abs/1905.02244).

For 64x64: the published strides (32 in all) would leave a map of 2x2. The stem and the first block keep their
resolution here (`strides="small"`), which leaves 8x8; `strides="imagenet"` are the published ones.
"""

from collections.abc import Callable

from torch import Tensor, nn

from tinybench.models.layers import DepthwiseConv2d

# Kernel, channels within, channels, squeeze-and-excite, activation and stride of each block (table 2).
BLOCKS = (
    (3, 16, 16, True, nn.ReLU, 2),
    (3, 72, 24, False, nn.ReLU, 2),
    (3, 88, 24, False, nn.ReLU, 1),
    (5, 96, 40, True, nn.Hardswish, 2),
    (5, 240, 40, True, nn.Hardswish, 1),
    (5, 240, 40, True, nn.Hardswish, 1),
    (5, 120, 48, True, nn.Hardswish, 1),
    (5, 144, 48, True, nn.Hardswish, 1),
    (5, 288, 96, True, nn.Hardswish, 2),
    (5, 576, 96, True, nn.Hardswish, 1),
    (5, 576, 96, True, nn.Hardswish, 1),
)


def conv_norm(conv: nn.Conv2d, act: Callable[..., nn.Module] | None = None) -> nn.Sequential:
    """A convolution without bias, BatchNorm with the epsilon of the authors' code, and the activation, if any.

    Its momentum is torch's: the published one of 0.01 is for more steps than most runs here have.
    """
    layers = [conv, nn.BatchNorm2d(conv.out_channels, eps=1e-3)]
    return nn.Sequential(*layers, act(inplace=True)) if act else nn.Sequential(*layers)


def pointwise(in_channels: int, channels: int) -> nn.Conv2d:
    return nn.Conv2d(in_channels, channels, 1, bias=False)


class SqueezeExcite(nn.Module):
    """Scales each channel by a gate that sees all channels' means; its sigmoid is piecewise linear (section 5.3)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        squeezed = max(8, (channels // 4 + 4) // 8 * 8)  # a quarter, to the nearest multiple of 8
        reduce, expand = nn.Conv2d(channels, squeezed, 1), nn.Conv2d(squeezed, channels, 1)
        self.gate = nn.Sequential(reduce, nn.ReLU(inplace=True), expand, nn.Hardsigmoid())

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gate(x.mean((2, 3), keepdim=True))


class Bottleneck(nn.Module):
    """Inverted bottleneck: expand, depthwise convolution, squeeze-and-excite, project (figure 4)."""

    def __init__(
        self,
        in_channels: int,
        kernel: int,
        dim: int,
        channels: int,
        squeeze: bool,
        act: Callable[..., nn.Module],
        stride: int,
    ) -> None:
        super().__init__()
        self.expand = conv_norm(pointwise(in_channels, dim), act) if dim != in_channels else nn.Identity()
        self.depthwise = conv_norm(DepthwiseConv2d(dim, kernel, stride), act)
        self.squeeze_excite = SqueezeExcite(dim) if squeeze else nn.Identity()
        self.project = conv_norm(pointwise(dim, channels))
        self.is_residual = stride == 1 and in_channels == channels

    def forward(self, x: Tensor) -> Tensor:
        out = self.project(self.squeeze_excite(self.depthwise(self.expand(x))))
        return x + out if self.is_residual else out


class MobileNetV3(nn.Module):
    """MobileNetV3-Small: float32 (B, 3, H, W) to logits (B, num_classes).

    Args:
        strides: "small" or "imagenet".
        dropout: probability of dropping an input of the classifier.
    """

    def __init__(self, *, num_classes: int, strides: str = "small", dropout: float = 0.2) -> None:
        super().__init__()
        if strides not in ("small", "imagenet"):
            raise ValueError(f"strides is small or imagenet, not {strides!r}")
        small = strides == "small"
        stem = nn.Conv2d(3, 16, 3, stride=1 if small else 2, padding=1, bias=False)
        self.stem = conv_norm(stem, nn.Hardswish)
        blocks, in_channels = [], 16
        for index, (kernel, dim, channels, squeeze, act, stride) in enumerate(BLOCKS):
            stride = 1 if small and index == 0 else stride
            blocks.append(Bottleneck(in_channels, kernel, dim, channels, squeeze, act, stride))
            in_channels = channels
        self.blocks = nn.Sequential(*blocks)
        self.last = conv_norm(pointwise(in_channels, 576), nn.Hardswish)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.hidden = nn.Sequential(nn.Linear(576, 1024), nn.Hardswish())
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(1024, num_classes)

        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight)  # by inputs: a depthwise kernel has k*k of them
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
            elif isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, std=0.01)
                nn.init.zeros_(module.bias)

    def forward(self, x: Tensor) -> Tensor:  # (B, 3, 64, 64)
        x = self.stem(x)  # (B, 16, 64, 64)
        x = self.blocks(x)  # (B, 96, 8, 8)
        x = self.pool(self.last(x)).flatten(1)  # (B, 576)
        return self.head(self.dropout(self.hidden(x)))
