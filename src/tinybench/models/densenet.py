"""DenseNet-121 (Huang, Liu, van der Maaten and Weinberger 2017, Densely Connected Convolutional Networks,
https://arxiv.org/abs/1608.06993), with bottlenecks and compression (DenseNet-BC).

For 64x64: one 3x3 convolution of stride 1 instead of the 7x7 stride-2 stem and its pool. `growth_rate=16` gives the
thin variant of two million weights.

Dense layers are memory's worst case: every one concatenates, and backward needs every concatenation.
`memory_efficient=True` keeps what each layer adds and works the rest out again in the backward pass (Pleiss et al.
2017, https://arxiv.org/abs/1707.06990): a tenth of the memory, and a second forward pass.
"""

import contextlib
import functools
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from tinybench.models.layers import Count

BLOCKS = (6, 12, 24, 16)  # layers a dense block (table 1)


class DenseLayer(nn.Module):
    """BN-ReLU-1x1, BN-ReLU-3x3 on all feature maps so far, to which it appends its own."""

    def __init__(self, in_channels: int, growth_rate: int, memory_efficient: bool) -> None:
        super().__init__()
        self.norm1 = nn.BatchNorm2d(in_channels)
        self.conv1 = nn.Conv2d(in_channels, 4 * growth_rate, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(4 * growth_rate)
        self.conv2 = nn.Conv2d(4 * growth_rate, growth_rate, 3, padding=1, bias=False)
        self.relu = nn.ReLU(inplace=True)
        self.memory_efficient = memory_efficient

    def forward(self, features: list[Tensor]) -> list[Tensor]:
        grow = recomputed(self, self.grow) if self.memory_efficient and self.training else self.grow
        return [*features, grow(*features)]

    def grow(self, *features: Tensor) -> Tensor:
        out = self.conv1(self.relu(self.norm1(torch.cat(features, dim=1))))
        return self.conv2(self.relu(self.norm2(out)))


class Transition(nn.Module):
    """Halves the channels and the resolution, and starts a new list of feature maps."""

    def __init__(self, in_channels: int, memory_efficient: bool) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(in_channels)
        self.relu = nn.ReLU(inplace=True)
        self.conv = nn.Conv2d(in_channels, in_channels // 2, 1, bias=False)
        self.pool = nn.AvgPool2d(2)
        self.memory_efficient = memory_efficient

    def forward(self, features: list[Tensor]) -> list[Tensor]:
        halve = recomputed(self, self.halve) if self.memory_efficient and self.training else self.halve
        return [halve(*features)]

    def halve(self, *features: Tensor) -> Tensor:
        return self.pool(self.conv(self.relu(self.norm(torch.cat(features, dim=1)))))


def recomputed(module: nn.Module, function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """The function, a part of the module's forward pass, called a second time in the backward pass to keep nothing."""

    def contexts() -> tuple[contextlib.AbstractContextManager[None], contextlib.AbstractContextManager[None]]:
        return contextlib.nullcontext(), without_statistics(module)

    return functools.partial(checkpoint, function, use_reentrant=False, context_fn=contexts)


@contextlib.contextmanager
def without_statistics(module: nn.Module) -> Iterator[None]:
    """A second forward pass, which must not count for the running statistics again."""
    norms = [norm for norm in module.modules() if isinstance(norm, nn.BatchNorm2d | nn.SyncBatchNorm)]
    momenta, counts = [norm.momentum for norm in norms], [norm.num_batches_tracked for norm in norms]
    for norm in norms:
        norm.momentum, norm.num_batches_tracked = 0.0, None
    try:
        yield
    finally:  # checkpoint() leaves by an exception as soon as it has all that it needs
        for norm, momentum, count in zip(norms, momenta, counts, strict=True):
            norm.momentum, norm.num_batches_tracked = momentum, count


class DenseNet(nn.Module):
    """DenseNet-121: float32 (B, 3, H, W) to logits (B, num_classes).

    Args:
        growth_rate: channels that each layer adds; the stem has twice as many.
        memory_efficient: work the layers out again in the backward pass instead of keeping them.
        dropout: probability of dropping an input of the classifier.
    """

    def __init__(
        self, *, num_classes: int, growth_rate: Count = 32, dropout: float = 0.0, memory_efficient: bool = False
    ) -> None:
        super().__init__()
        channels = 2 * growth_rate
        self.stem = nn.Conv2d(3, channels, 3, padding=1, bias=False)
        layers: list[nn.Module] = []
        for block, depth in enumerate(BLOCKS):
            if block > 0:
                layers.append(Transition(channels, memory_efficient))
                channels //= 2
            for _ in range(depth):
                layers.append(DenseLayer(channels, growth_rate, memory_efficient))
                channels += growth_rate
        self.blocks = nn.Sequential(*layers)
        self.norm = nn.Sequential(nn.BatchNorm2d(channels), nn.ReLU(inplace=True))
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(channels, num_classes)

        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, x: Tensor) -> Tensor:  # (B, 3, 64, 64)
        x = self.stem(x)  # (B, 64, 64, 64)
        features = self.blocks([x])  # 512 maps of 8x8, and 32 more of each of 16 layers
        x = self.norm(torch.cat(features, dim=1))  # (B, 1024, 8, 8)
        x = self.pool(x).flatten(1)  # (B, 1024)
        return self.head(self.dropout(x))
