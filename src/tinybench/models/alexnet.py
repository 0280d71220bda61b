"""AlexNet (Krizhevsky, Sutskever and Hinton 2012, ImageNet Classification with Deep Convolutional Neural Networks,
https://papers.nips.cc/paper/4824).

For 64x64: the 11x11 stride-4 and the 5x5 kernels become 3x3 (the first of stride 2), so that 7x7 pixels are left where
the published strides would leave one; BatchNorm replaces the local response normalisation, and the two dense layers of
4096 shrink to 960, since most of AlexNet's 61 million weights lay there. The five convolutions keep their number and
their widths (one tower, as in Krizhevsky 2014, https://arxiv.org/abs/1404.5997), the pools their overlap.

`StockAlexNet` keeps all of the network of 2014, so that weights trained on ImageNet fit.
"""

from torch import Tensor, nn


def conv_block(in_channels: int, channels: int, stride: int = 1) -> nn.Sequential:
    conv = nn.Conv2d(in_channels, channels, 3, stride, padding=1, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(channels), nn.ReLU(inplace=True))


class AveragePool(nn.AdaptiveAvgPool2d):
    """Leaves maps of its own size alone; for others, its gradient on CUDA has no deterministic algorithm."""

    def forward(self, x: Tensor) -> Tensor:
        return x if x.shape[2:] == (self.output_size, self.output_size) else super().forward(x)


class AlexNet(nn.Module):
    """AlexNet: float32 (B, 3, H, W) to logits (B, num_classes).

    Args:
        dim: width of the two dense layers.
        dropout: probability of dropping an input of each of them.
    """

    def __init__(self, *, num_classes: int, dim: int = 960, dropout: float = 0.5) -> None:
        super().__init__()
        self.features = nn.Sequential(
            conv_block(3, 64, stride=2),
            conv_block(64, 192),
            nn.MaxPool2d(3, stride=2),
            conv_block(192, 384),
            conv_block(384, 256),
            conv_block(256, 256),
            nn.MaxPool2d(3, stride=2),
        )
        self.pool = AveragePool(7)
        classifier = nn.Linear(dim, num_classes)
        self.head = nn.Sequential(
            nn.Dropout(dropout),
            nn.Linear(256 * 7 * 7, dim),
            nn.ReLU(inplace=True),
            nn.Dropout(dropout),
            nn.Linear(dim, dim),
            nn.ReLU(inplace=True),
            classifier,
        )
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        nn.init.normal_(classifier.weight, std=0.01)

    def forward(self, x: Tensor) -> Tensor:  # (B, 3, 64, 64)
        x = self.features(x)  # (B, 256, 7, 7)
        x = self.pool(x).flatten(1)  # (B, 12544)
        return self.head(x)


# Kernel, stride, stride of the pool that follows, side of the smallest image that something is left of.
STEMS = {"11x11": (11, 4, 2, 63), "8x8": (8, 2, 1, 20)}


class StockAlexNet(nn.Module):
    """AlexNet of 2014 with its large kernels and dense layers: float32 (B, 3, H, W) to logits (B, num_classes).

    Args:
        image_size: side of the images in pixels; stem 11x11 needs 63, 8x8 needs 20.
        stem: the first convolution: "11x11" of stride 4 as published, or "8x8" of stride 2, whose pool has stride 1;
            at 64x64, the first leaves 1x1 after the last pool, the second the published 6x6.
        dropout: probability of dropping an input of the first two dense layers.
    """

    def __init__(self, *, num_classes: int, image_size: int = 64, stem: str = "11x11", dropout: float = 0.5) -> None:
        super().__init__()
        if stem not in STEMS:
            raise ValueError(f"stem is one of {', '.join(STEMS)}, not {stem!r}")
        kernel, stride, pool_stride, smallest = STEMS[stem]
        if image_size < smallest:
            raise ValueError(f"image_size {image_size} is less than the {smallest} that stem {stem} needs")
        relu = nn.ReLU(inplace=True)
        self.features = nn.Sequential(
            nn.Conv2d(3, 64, kernel, stride, padding=2),
            relu,
            nn.MaxPool2d(3, pool_stride),
            nn.Conv2d(64, 192, 5, padding=2),
            relu,
            nn.MaxPool2d(3, 2),
            nn.Conv2d(192, 384, 3, padding=1),
            relu,
            nn.Conv2d(384, 256, 3, padding=1),
            relu,
            nn.Conv2d(256, 256, 3, padding=1),
            relu,
            nn.MaxPool2d(3, 2),
        )
        self.pool = AveragePool(6)
        self.head = nn.Sequential(
            nn.Dropout(dropout),
            nn.Linear(256 * 6 * 6, 4096),
            relu,
            nn.Dropout(dropout),
            nn.Linear(4096, 4096),
            relu,
            nn.Linear(4096, num_classes),
        )

    def forward(self, x: Tensor) -> Tensor:  # (B, 3, 64, 64)
        x = self.pool(self.features(x)).flatten(1)  # (B, 9216)
        return self.head(x)
