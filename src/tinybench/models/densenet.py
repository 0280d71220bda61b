"""DenseNet-121 (Huang, Liu, van der Maaten and Weinberger 2017, Densely Connected Convolutional Networks,
https://arxiv.org/abs/1608.06993), with bottlenecks and compression (DenseNet-BC).

For 64x64: one 3x3 convolution of stride 1 instead of the 7x7 stride-2 stem and its pool. `growth_rate=16` gives the
thin variant of two million weights.
"""

import torch
from torch import Tensor, nn

BLOCKS = (6, 12, 24, 16)  # layers a dense block (table 1)


class DenseLayer(nn.Module):
    """BN-ReLU-1x1, BN-ReLU-3x3; its output is appended to its input."""

    def __init__(self, in_channels: int, growth_rate: int) -> None:
        super().__init__()
        self.norm1 = nn.BatchNorm2d(in_channels)
        self.conv1 = nn.Conv2d(in_channels, 4 * growth_rate, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(4 * growth_rate)
        self.conv2 = nn.Conv2d(4 * growth_rate, growth_rate, 3, padding=1, bias=False)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        out = self.conv1(self.relu(self.norm1(x)))
        out = self.conv2(self.relu(self.norm2(out)))
        return torch.cat((x, out), dim=1)


def transition(in_channels: int) -> nn.Sequential:
    """Halves the channels and the resolution."""
    conv = nn.Conv2d(in_channels, in_channels // 2, 1, bias=False)
    return nn.Sequential(nn.BatchNorm2d(in_channels), nn.ReLU(inplace=True), conv, nn.AvgPool2d(2))


class DenseNet(nn.Module):
    """DenseNet-121: float32 (B, 3, H, W) to logits (B, num_classes).

    Args:
        growth_rate: channels that each layer adds; the stem has twice as many.
        dropout: probability of dropping an input of the classifier.
    """

    def __init__(self, *, num_classes: int, growth_rate: int = 32, dropout: float = 0.0) -> None:
        super().__init__()
        channels = 2 * growth_rate
        self.stem = nn.Conv2d(3, channels, 3, padding=1, bias=False)
        layers: list[nn.Module] = []
        for block, depth in enumerate(BLOCKS):
            if block > 0:
                layers.append(transition(channels))
                channels //= 2
            for _ in range(depth):
                layers.append(DenseLayer(channels, growth_rate))
                channels += growth_rate
        self.blocks = nn.Sequential(*layers, nn.BatchNorm2d(channels), nn.ReLU(inplace=True))
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(channels, num_classes)

        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, x: Tensor) -> Tensor:  # (B, 3, 64, 64)
        x = self.stem(x)  # (B, 64, 64, 64)
        x = self.blocks(x)  # (B, 1024, 8, 8)
        x = self.pool(x).flatten(1)  # (B, 1024)
        return self.head(self.dropout(x))
