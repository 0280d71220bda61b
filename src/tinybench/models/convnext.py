"""ConvNeXt (Liu, Mao, Wu, Feichtenhofer, Darrell and Xie 2022, A ConvNet for the 2020s,
https://arxiv.org/abs/2201.03545): a ResNet with what the Vision Transformers brought, and no attention.

For 64x64: patches of 2 pixels instead of 4, so that the stages see maps of 32, 16, 8 and 4 pixels. `size="pico"` has
the widths and depths that timm gives this name; `size="tiny"` with `patch_size=4` is the smallest published network.
"""

import torch
from torch import Tensor, nn

from tinybench.models.layers import Count, DepthwiseConv2d, DropPath

SIZES = {  # widths and blocks of the four stages
    "pico": ((64, 128, 256, 512), (2, 2, 6, 2)),
    "tiny": ((96, 192, 384, 768), (3, 3, 9, 3)),
}
EPSILON = 1e-6  # of the norms
LAYER_SCALE = 1e-6  # at the start: each block is nearly its shortcut


class LayerNorm2d(nn.LayerNorm):
    """Over the channels of each place of a map: (B, C, H, W) to the same, in NHWC."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class Block(nn.Module):
    """A 7x7 depthwise convolution, then an MLP at each place, scaled by channel, beside a shortcut."""

    def __init__(self, dim: int, drop_path: float) -> None:
        super().__init__()
        self.depthwise = DepthwiseConv2d(dim, kernel=7, bias=True)
        self.norm = nn.LayerNorm(dim, eps=EPSILON)
        self.mlp = nn.Sequential(nn.Linear(dim, 4 * dim), nn.GELU(), nn.Linear(4 * dim, dim))
        self.scale = nn.Parameter(torch.full((dim,), LAYER_SCALE))
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor) -> Tensor:  # (B, dim, H, W)
        out = self.depthwise(x).permute(0, 2, 3, 1)  # (B, H, W, dim)
        out = self.scale * self.mlp(self.norm(out))
        return x + self.drop_path(out.permute(0, 3, 1, 2))


class ConvNeXt(nn.Module):
    """ConvNeXt: float32 (B, 3, H, W), H and W at least eight patches, to logits (B, num_classes).

    Args:
        size: "pico" or "tiny".
        patch_size: side in pixels of what the first convolution takes for one place.
        dropout: probability of dropping an input of the classifier.
        drop_path: probability of skipping the last block, rising linearly from 0 at the first.
    """

    def __init__(
        self,
        *,
        num_classes: int,
        size: str = "pico",
        patch_size: Count = 2,
        dropout: float = 0.0,
        drop_path: float = 0.0,
    ) -> None:
        super().__init__()
        if size not in SIZES:
            raise ValueError(f"size is one of {', '.join(SIZES)}, not {size!r}")
        dims, depths = SIZES[size]
        self.stem = nn.Sequential(nn.Conv2d(3, dims[0], patch_size, patch_size), LayerNorm2d(dims[0], eps=EPSILON))
        rates = iter(torch.linspace(0, drop_path, sum(depths)).tolist())
        stages, in_channels = [], dims[0]
        for dim, depth in zip(dims, depths, strict=True):
            layers: list[nn.Module] = []
            if dim != in_channels:
                layers += [LayerNorm2d(in_channels, eps=EPSILON), nn.Conv2d(in_channels, dim, 2, stride=2)]
            stages.append(nn.Sequential(*layers, *(Block(dim, next(rates)) for _ in range(depth))))
            in_channels = dim
        self.stages = nn.Sequential(*stages)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.norm = nn.LayerNorm(in_channels, eps=EPSILON)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(in_channels, num_classes)

        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward(self, x: Tensor) -> Tensor:  # (B, 3, 64, 64)
        x = self.stem(x)  # (B, 64, 32, 32)
        x = self.stages(x)  # (B, 512, 4, 4)
        x = self.norm(self.pool(x).flatten(1))  # (B, 512)
        return self.head(self.dropout(x))
