"""VGG-16 (Simonyan and Zisserman 2014, Very Deep Convolutional Networks for Large-Scale Image Recognition,
https://arxiv.org/abs/1409.1556), configuration D.

For 64x64: BatchNorm after each convolution, so that the network trains from scratch without a shallower one to start
from, and global average pooling instead of the three dense layers, which held 124 of its 138 million weights.
"""

from torch import Tensor, nn

STAGES = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))  # channels and convolutions; a max-pool ends each stage


class VGG(nn.Module):
    """VGG-16: float32 (B, 3, H, W), H and W at least 32, to logits (B, num_classes).

    Args:
        dropout: probability of dropping an input of the classifier.
    """

    def __init__(self, *, num_classes: int, dropout: float = 0.0) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        in_channels = 3
        for channels, convolutions in STAGES:
            for _ in range(convolutions):
                conv = nn.Conv2d(in_channels, channels, 3, padding=1, bias=False)
                layers += [conv, nn.BatchNorm2d(channels), nn.ReLU(inplace=True)]
                in_channels = channels
            layers.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*layers)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(512, num_classes)

        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        nn.init.normal_(self.head.weight, std=0.01)
        nn.init.zeros_(self.head.bias)

    def forward(self, x: Tensor) -> Tensor:  # (B, 3, 64, 64)
        x = self.features(x)  # (B, 512, 2, 2)
        x = self.pool(x).flatten(1)  # (B, 512)
        return self.head(self.dropout(x))
