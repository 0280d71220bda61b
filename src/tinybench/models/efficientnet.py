"""EfficientNet-B0 (Tan and Le 2019, EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks,
https://arxiv.org/abs/1905.11946).

For 64x64: the published strides (32 in all) would leave a map of 2x2. The stem and the first strided stage keep their
resolution here (`strides="small"`), which leaves 8x8; `strides="imagenet"` are the published ones.
"""

from torch import Tensor, nn

from tinybench.models.layers import DepthwiseConv2d, DropPath

# Expansion, channels, blocks, stride, kernel of each stage (table 1).
STAGES = (
    (1, 16, 1, 1, 3),
    (6, 24, 2, 2, 3),
    (6, 40, 2, 2, 5),
    (6, 80, 3, 2, 3),
    (6, 112, 3, 1, 5),
    (6, 192, 4, 2, 5),
    (6, 320, 1, 1, 3),
)


class ConvNormAct(nn.Sequential):
    """Convolution, BatchNorm, SiLU (which the paper calls swish)."""

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__(conv, nn.BatchNorm2d(conv.out_channels), nn.SiLU(inplace=True))


def pointwise(in_channels: int, channels: int) -> nn.Conv2d:
    return nn.Conv2d(in_channels, channels, 1, bias=False)


class SqueezeExcite(nn.Module):
    """Scales each channel by a gate that sees all channels' means (Hu et al. 2018, https://arxiv.org/abs/1709.01507)."""

    def __init__(self, channels: int, squeezed: int) -> None:
        super().__init__()
        self.reduce = nn.Conv2d(channels, squeezed, 1)
        self.act = nn.SiLU(inplace=True)
        self.expand = nn.Conv2d(squeezed, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        gate = x.mean((2, 3), keepdim=True)
        return x * self.expand(self.act(self.reduce(gate))).sigmoid()


class MBConv(nn.Module):
    """Inverted bottleneck: expand, depthwise convolution, squeeze-and-excite, project (Sandler et al. 2018)."""

    def __init__(
        self, in_channels: int, channels: int, *, expansion: int, kernel: int, stride: int, drop_path: float
    ) -> None:
        super().__init__()
        dim = in_channels * expansion
        self.expand = ConvNormAct(pointwise(in_channels, dim)) if expansion > 1 else nn.Identity()
        self.depthwise = ConvNormAct(DepthwiseConv2d(dim, kernel, stride))
        self.squeeze_excite = SqueezeExcite(dim, in_channels // 4)
        self.project = nn.Sequential(pointwise(dim, channels), nn.BatchNorm2d(channels))
        self.is_residual = stride == 1 and in_channels == channels
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor) -> Tensor:
        out = self.project(self.squeeze_excite(self.depthwise(self.expand(x))))
        return x + self.drop_path(out) if self.is_residual else out


class EfficientNet(nn.Module):
    """EfficientNet-B0: float32 (B, 3, H, W) to logits (B, num_classes).

    Args:
        strides: "small" or "imagenet".
        dropout: probability of dropping an input of the classifier.
        drop_path: probability of skipping the last block, rising linearly from 0 at the first.
    """

    def __init__(
        self, *, num_classes: int, strides: str = "small", dropout: float = 0.2, drop_path: float = 0.0
    ) -> None:
        super().__init__()
        if strides not in ("small", "imagenet"):
            raise ValueError(f"strides is small or imagenet, not {strides!r}")
        small = strides == "small"
        self.stem = ConvNormAct(nn.Conv2d(3, 32, 3, stride=1 if small else 2, padding=1, bias=False))
        blocks: list[nn.Module] = []
        in_channels, total = 32, sum(stage[2] for stage in STAGES)
        for index, (expansion, channels, depth, stride, kernel) in enumerate(STAGES):
            for block in range(depth):
                blocks.append(
                    MBConv(
                        in_channels,
                        channels,
                        expansion=expansion,
                        kernel=kernel,
                        stride=1 if block > 0 or (small and index == 1) else stride,
                        drop_path=drop_path * len(blocks) / (total - 1),
                    )
                )
                in_channels = channels
        self.blocks = nn.Sequential(*blocks)
        self.last = ConvNormAct(pointwise(in_channels, 1280))
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(1280, num_classes)

        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight)  # by inputs: a depthwise kernel has k*k of them
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        nn.init.normal_(self.head.weight, std=0.01)
        nn.init.zeros_(self.head.bias)

    def forward(self, x: Tensor) -> Tensor:  # (B, 3, 64, 64)
        x = self.stem(x)  # (B, 32, 64, 64)
        x = self.blocks(x)  # (B, 320, 8, 8)
        x = self.pool(self.last(x)).flatten(1)  # (B, 1280)
        return self.head(self.dropout(x))
