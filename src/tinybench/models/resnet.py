"""ResNet (He, Zhang, Ren and Sun 2015, Deep Residual Learning for Image Recognition, https://arxiv.org/abs/1512.03385).

For 64x64: the 7x7 stride-2 stem and the max-pool, which would leave 16x16 before the first block, give way to one 3x3
convolution of stride 1, as in the paper's own networks for CIFAR-10; a dropout stands before the head.
`stem="7x7"` with `max_pool=True` is the published network.
"""

import torch
from torch import Tensor, nn

from tinybench.models.layers import DropPath

DEPTHS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3)}  # blocks a stage (table 1)
STEMS = {"3x3": (3, 1), "7x7": (7, 2)}  # kernel and stride


class BasicBlock(nn.Module):
    """Two 3x3 convolutions beside a shortcut; a 1x1 convolution on the shortcut where the shape changes."""

    def __init__(self, in_channels: int, channels: int, stride: int, drop_path: float = 0.0) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, channels, 3, stride, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(channels)
        self.relu = nn.ReLU(inplace=True)
        self.drop_path = DropPath(drop_path)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or in_channels != channels:
            conv = nn.Conv2d(in_channels, channels, 1, stride, bias=False)
            self.shortcut = nn.Sequential(conv, nn.BatchNorm2d(channels))

    def forward(self, x: Tensor) -> Tensor:
        out = self.relu(self.norm1(self.conv1(x)))
        out = self.norm2(self.conv2(out))
        return self.relu(self.drop_path(out) + self.shortcut(x))


class ResNet(nn.Module):
    """ResNet-18 or ResNet-34: float32 (B, 3, H, W) to logits (B, num_classes).

    Args:
        depth: 18 or 34 layers.
        stem: the first convolution: "3x3" of stride 1, or "7x7" of stride 2.
        max_pool: halve the map once more after it.
        dropout: probability of dropping an input of the classifier.
        drop_path: probability of skipping the last block, rising linearly from 0 at the first.
    """

    def __init__(
        self,
        *,
        num_classes: int,
        depth: int = 18,
        stem: str = "3x3",
        max_pool: bool = False,
        dropout: float = 0.0,
        drop_path: float = 0.0,
    ) -> None:
        super().__init__()
        if depth not in DEPTHS:
            raise ValueError(f"depth is one of {', '.join(map(str, DEPTHS))}, not {depth}")
        if stem not in STEMS:
            raise ValueError(f"stem is one of {', '.join(STEMS)}, not {stem!r}")
        kernel, stride = STEMS[stem]
        layers = [
            nn.Conv2d(3, 64, kernel, stride, padding=kernel // 2, bias=False),
            nn.BatchNorm2d(64),
            nn.ReLU(inplace=True),
        ]
        if max_pool:
            layers.append(nn.MaxPool2d(3, stride=2, padding=1))
        self.stem = nn.Sequential(*layers)
        rates = iter(torch.linspace(0, drop_path, sum(DEPTHS[depth])).tolist())
        stages, in_channels = [], 64
        for stage, blocks in enumerate(DEPTHS[depth]):
            channels, stride = 64 * 2**stage, 1 if stage == 0 else 2
            stages.append(
                nn.Sequential(
                    BasicBlock(in_channels, channels, stride, next(rates)),
                    *(BasicBlock(channels, channels, 1, next(rates)) for _ in range(blocks - 1)),
                )
            )
            in_channels = channels
        self.stages = nn.Sequential(*stages)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(512, num_classes)

        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            elif isinstance(module, BasicBlock):
                # Each block starts as its shortcut (Goyal et al. 2017, https://arxiv.org/abs/1706.02677, section 5.1).
                nn.init.zeros_(module.norm2.weight)

    def forward(self, x: Tensor) -> Tensor:  # (B, 3, 64, 64)
        x = self.stem(x)  # (B, 64, 64, 64)
        x = self.stages(x)  # (B, 512, 8, 8)
        x = self.pool(x).flatten(1)  # (B, 512)
        return self.head(self.dropout(x))
