"""SpeedNet: a network for the shortest time to a given accuracy, after the ResNet-9 that won DAWNBench on CIFAR-10
(Coleman et al. 2017, https://dawn.cs.stanford.edu/assets/dawnbench.pdf; Page 2018, "How to train your ResNet",
https://myrtle.ai/learn/how-to-train-your-resnet/).

For 64x64 the first convolution has stride 2, so that no convolution sees more than 32x32 pixels.
"""

from torch import Tensor, nn
from torch.nn import functional as F

from tinybench.models.layers import Count


def conv_norm(in_channels: int, channels: int, stride: int = 1) -> nn.Sequential:
    conv = nn.Conv2d(in_channels, channels, 3, stride, padding=1, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(channels), nn.GELU())


class Stage(nn.Module):
    """Halves the resolution after its first convolution; the second stands beside a shortcut."""

    def __init__(self, in_channels: int, channels: int) -> None:
        super().__init__()
        conv = nn.Conv2d(in_channels, channels, 3, padding=1, bias=False)
        # Pooled before the norm, which then has a quarter of the work.
        self.reduce = nn.Sequential(conv, nn.MaxPool2d(2), nn.BatchNorm2d(channels), nn.GELU())
        self.residual = conv_norm(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        x = self.reduce(x)
        return x + self.residual(x)


class GlobalMaxPool(nn.Module):
    """nn.AdaptiveMaxPool2d(1), whose gradient on CUDA has no deterministic algorithm."""

    def forward(self, x: Tensor) -> Tensor:  # (B, C, H, W) to (B, C, 1, 1)
        return F.max_pool2d(x, x.shape[2:])


class SpeedNet(nn.Module):
    """Float32 (B, 3, H, W) to logits (B, num_classes).

    Args:
        width: channels of the stem; the three stages have 2, 4 and 8 times as many.
        dropout: probability of dropping an input of the classifier.
    """

    def __init__(self, *, num_classes: int, width: Count = 64, dropout: float = 0.0) -> None:
        super().__init__()
        self.stem = conv_norm(3, width, stride=2)
        self.stages = nn.Sequential(Stage(width, 2 * width), Stage(2 * width, 4 * width), Stage(4 * width, 8 * width))
        self.pool = GlobalMaxPool()
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(8 * width, num_classes)

    def forward(self, x: Tensor) -> Tensor:  # (B, 3, 64, 64)
        x = self.stem(x)  # (B, 64, 32, 32)
        x = self.stages(x)  # (B, 512, 4, 4)
        x = self.pool(x).flatten(1)  # (B, 512)
        return self.head(self.dropout(x))
