"""Swin Transformer (Liu, Lin, Cao, Hu, Wei, Zhang, Lin and Guo 2021, Hierarchical Vision Transformer using Shifted
Windows, https://arxiv.org/abs/2103.14030): attention within windows, which every other block shifts by half a window.

For 64x64: patches of 2 pixels and windows of 4x4 tokens instead of 4 and 7, so that the stages' maps of 32, 16, 8 and 4
are tiled. `size="pico"` has the widths and depths of ConvNeXt's pico; `size="tiny"` with `patch_size=4` and `window=7`
is the smallest published network.
"""

import functools
from typing import Annotated, ClassVar

import torch
from annotated_types import Interval
from torch import Tensor, nn
from torch.nn import functional as F

from tinybench.models.layers import Count, DropPath

SIZES = {"pico": 64, "tiny": 96}  # width of the first stage; each further one has twice as many
DEPTHS = (2, 2, 6, 2)  # blocks of the stages
HEAD_DIM = 32


class WindowAttention(nn.Module):
    """Self-attention within windows of a map, with a learned bias by relative position: (B, H, W, dim) to the same.

    A map that the windows do not tile is filled up with zeros, which are attended to like tokens.

    Args:
        window: side of a window in tokens.
        shift: tokens by which the windows move down and right; along a side that one window covers, none.
    """

    undecayed: ClassVar = ("relative_position_bias",)

    def __init__(self, dim: int, num_heads: int, window: int, shift: int) -> None:
        super().__init__()
        self.num_heads, self.window, self.shift = num_heads, window, shift
        self.relative_position_bias = nn.Parameter(torch.empty((2 * window - 1) ** 2, num_heads))
        self.qkv = nn.Linear(dim, 3 * dim)
        self.project = nn.Linear(dim, dim)
        place = torch.arange(window)
        offset = place[:, None] - place + window - 1  # (w, w), from 0 to 2 w - 2
        index = offset[:, None, :, None] * (2 * window - 1) + offset[None, :, None, :]  # rows, columns of both tokens
        self.register_buffer("index", index.flatten(), persistent=False)
        self.index: Tensor

    def forward(self, x: Tensor) -> Tensor:
        (B, H, W, dim), w, heads = x.shape, self.window, self.num_heads
        rows, columns = -(-H // w), -(-W // w)  # of windows
        if (rows * w, columns * w) != (H, W):
            x = F.pad(x, (0, 0, 0, columns * w - W, 0, rows * w - H))
        down, right = (self.shift if windows > 1 else 0 for windows in (rows, columns))
        if down or right:
            x = x.roll((-down, -right), (1, 2))
        qkv = self.qkv(x).view(B, rows, w, columns, w, 3, heads, dim // heads).permute(5, 0, 1, 3, 6, 2, 4, 7)
        q, k, v = qkv.reshape(3, B, rows * columns * heads, w * w, dim // heads).unbind()  # as if windows were heads
        bias = self.relative_position_bias[self.index].view(w * w, w * w, heads).permute(2, 0, 1)
        mask = shifted_mask if torch.compiler.is_compiling() else cached_mask  # the compiler makes it in its kernels
        bias = bias + mask(rows, columns, w, down, right, x.device)  # (windows, heads, w * w, w * w)
        x = F.scaled_dot_product_attention(q, k, v, bias.flatten(0, 1).to(q.dtype))
        x = x.view(B, rows, columns, heads, w, w, dim // heads).permute(0, 1, 4, 2, 5, 3, 6)
        x = x.reshape(B, rows * w, columns * w, dim)
        if down or right:
            x = x.roll((down, right), (1, 2))
        return self.project(x[:, :H, :W])


def shifted_mask(rows: int, columns: int, window: int, down: int, right: int, device: torch.device) -> Tensor:
    """(windows, 1, tokens, tokens): minus infinity between tokens of a window that the shift brought together from
    opposite ends of the map, else 0."""
    regions = []
    for windows, shift in ((rows, down), (columns, right)):
        place = torch.arange(windows * window, device=device)
        regions.append((place >= (windows * window - shift)).view(windows, window))
    region = 2 * regions[0][:, None, :, None] + regions[1][None, :, None, :]  # (rows, columns, window, window)
    region = region.view(rows * columns, 1, window * window)
    return torch.zeros((), device=device).masked_fill(region[..., None] != region[..., None, :], float("-inf"))


cached_mask = functools.cache(torch.inference_mode(False)(shifted_mask))  # made in evaluation, it also serves training


class Block(nn.Module):
    """Attention and an MLP, each on a normalised input and beside a shortcut (pre-norm)."""

    def __init__(self, dim: int, window: int, shift: int, drop_path: float) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim)
        self.attention = WindowAttention(dim, dim // HEAD_DIM, window, shift)
        self.norm2 = nn.LayerNorm(dim)
        self.mlp = nn.Sequential(nn.Linear(dim, 4 * dim), nn.GELU(), nn.Linear(4 * dim, dim))
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.drop_path(self.attention(self.norm1(x)))
        return x + self.drop_path(self.mlp(self.norm2(x)))


class PatchEmbedding(nn.Module):
    """(B, 3, H, W) to (B, H / patch_size, W / patch_size, dim)."""

    def __init__(self, patch_size: int, dim: int) -> None:
        super().__init__()
        self.project = nn.Conv2d(3, dim, patch_size, stride=patch_size)
        self.norm = nn.LayerNorm(dim)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.project(x).permute(0, 2, 3, 1))


class PatchMerging(nn.Module):
    """Four neighbours become one token of twice the width: (B, H, W, dim) to (B, H / 2, W / 2, 2 * dim), rounded up."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(4 * dim)
        self.project = nn.Linear(4 * dim, 2 * dim, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        B, H, W, dim = x.shape
        if H % 2 or W % 2:
            x = F.pad(x, (0, 0, 0, W % 2, 0, H % 2))
        x = x.view(B, (H + 1) // 2, 2, (W + 1) // 2, 2, dim).permute(0, 1, 3, 4, 2, 5)  # left ones first
        return self.project(self.norm(x.flatten(3)))


class Swin(nn.Module):
    """Swin Transformer: float32 (B, 3, H, W) to logits (B, num_classes).

    Args:
        size: "pico" or "tiny".
        patch_size: side of a patch in pixels.
        window: side of a window in tokens.
        dropout: probability of dropping an input of the classifier.
        drop_path: probability of skipping the last block's branches, rising linearly from 0 at the first.
    """

    def __init__(
        self,
        *,
        num_classes: int,
        size: str = "pico",
        patch_size: Count = 2,
        window: Annotated[int, Interval(ge=1, le=64)] = 4,
        dropout: float = 0.0,
        drop_path: float = 0.0,
    ) -> None:
        super().__init__()
        if size not in SIZES:
            raise ValueError(f"size is one of {', '.join(SIZES)}, not {size!r}")
        dim = SIZES[size]
        self.patch_embedding = PatchEmbedding(patch_size, dim)
        rates = iter(torch.linspace(0, drop_path, sum(DEPTHS)).tolist())
        stages = []
        for stage, depth in enumerate(DEPTHS):
            layers: list[nn.Module] = []
            if stage > 0:
                layers.append(PatchMerging(dim))
                dim *= 2
            layers += [Block(dim, window, block % 2 * (window // 2), next(rates)) for block in range(depth)]
            stages.append(nn.Sequential(*layers))
        self.stages = nn.Sequential(*stages)
        self.norm = nn.LayerNorm(dim)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(dim, num_classes)

        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
            elif isinstance(module, WindowAttention):
                nn.init.trunc_normal_(module.relative_position_bias, std=0.02)

    def forward(self, x: Tensor) -> Tensor:  # (B, 3, 64, 64)
        x = self.patch_embedding(x)  # (B, 32, 32, 64)
        x = self.stages(x)  # (B, 4, 4, 512)
        x = self.norm(x).permute(0, 3, 1, 2)  # (B, 512, 4, 4)
        x = self.pool(x).flatten(1)  # (B, 512)
        return self.head(self.dropout(x))
