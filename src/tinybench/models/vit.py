"""Vision Transformer (Dosovitskiy et al. 2020, An Image is Worth 16x16 Words, https://arxiv.org/abs/2010.11929), in the
size that DeiT calls small (Touvron et al. 2020, https://arxiv.org/abs/2012.12877): 384 wide, 12 deep, 6 heads.

For 64x64: patches of 8 pixels, so that there are 64 tokens; 16-pixel patches would leave 16. For small data sets there
are, as options, the shifted patches and the locality of attention of Lee et al. 2021, Vision Transformer for Small-Size
Datasets, https://arxiv.org/abs/2112.13492.
"""

import math
from typing import Annotated

import torch
from annotated_types import Interval
from torch import Tensor, nn
from torch.nn import functional as F

from tinybench.models.layers import Count, DropPath


class Attention(nn.Module):
    """Multi-head self-attention: (B, N, dim) to (B, N, dim).

    Args:
        locality: no token attends to itself, and each head learns how sharply it attends (Lee et al., section 3.2).
    """

    def __init__(self, dim: int, num_heads: int, locality: bool = False) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.qkv = nn.Linear(dim, 3 * dim)
        self.project = nn.Linear(dim, dim)
        self.temperature = nn.Parameter(torch.ones(num_heads)) if locality else None

    def forward(self, x: Tensor) -> Tensor:
        B, N, dim = x.shape
        q, k, v, mask = self.queries_keys_values(x)
        out = F.scaled_dot_product_attention(q, k, v, mask)
        return self.project(out.transpose(1, 2).reshape(B, N, dim))

    def queries_keys_values(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
        """Each (B, heads, N, dim / heads), and what is added to q @ k.T / sqrt(dim / heads): (N, N), or nothing."""
        B, N, dim = x.shape
        qkv = self.qkv(x).reshape(B, N, 3, self.num_heads, dim // self.num_heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        if self.temperature is None:
            return q, k, v, None
        itself = torch.full((N,), float("-inf"), dtype=q.dtype, device=q.device).diag()
        return q / self.temperature.to(q.dtype).view(-1, 1, 1), k, v, itself


class ShiftedPatches(nn.Module):
    """Patches of the image together with those of four copies that are shifted diagonally by half a patch.

    (B, 3, H, W) to (B, dim, H / P, W / P). A token sees beyond its patch (Lee et al., section 3.1). What a shift leaves
    empty is 0.
    """

    def __init__(self, patch_size: int, dim: int) -> None:
        super().__init__()
        self.patch_size = patch_size
        self.norm = nn.LayerNorm(5 * 3 * patch_size**2)
        self.project = nn.Linear(5 * 3 * patch_size**2, dim)

    def forward(self, x: Tensor) -> Tensor:
        H, W = x.shape[-2:]
        half = self.patch_size // 2
        padded = F.pad(x, (half, half, half, half))
        shifted = [padded[:, :, y : y + H, x0 : x0 + W] for y in (0, 2 * half) for x0 in (0, 2 * half)]
        patches = F.pixel_unshuffle(torch.cat((x, *shifted), dim=1), self.patch_size)  # (B, 15 * P * P, H / P, W / P)
        return self.project(self.norm(patches.permute(0, 2, 3, 1))).permute(0, 3, 1, 2)


class Block(nn.Module):
    """Attention and an MLP, each on a normalised input and beside a shortcut (pre-norm)."""

    def __init__(
        self, dim: int, num_heads: int, mlp_ratio: float, dropout: float, drop_path: float, locality: bool
    ) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim, eps=1e-6)
        self.attention = Attention(dim, num_heads, locality)
        self.norm2 = nn.LayerNorm(dim, eps=1e-6)
        hidden = int(dim * mlp_ratio)
        self.mlp = nn.Sequential(nn.Linear(dim, hidden), nn.GELU(), nn.Linear(hidden, dim))
        self.dropout = nn.Dropout(dropout)
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.drop_path(self.dropout(self.attention(self.norm1(x))))
        return x + self.drop_path(self.dropout(self.mlp(self.norm2(x))))


class ViT(nn.Module):
    """Vision Transformer: float32 (B, 3, image_size, image_size) to logits (B, num_classes).

    Other images that the patches tile are taken too: their tokens' positions lie between those that were learned.

    Args:
        image_size, patch_size: sides in pixels; patches must tile the image.
        dropout: probability of dropping an output of the embedding and of each attention and MLP.
        drop_path: probability of skipping the last block's branches, rising linearly from 0 at the first.
        shifted_patches: embed each patch together with four shifted by half its side.
        locality: keep tokens from attending to themselves, and let each head learn how sharply it attends.
    """

    def __init__(
        self,
        *,
        num_classes: int,
        image_size: int = 64,
        patch_size: Count = 8,
        dim: Count = 384,
        depth: Count = 12,
        num_heads: Count = 6,
        mlp_ratio: Annotated[float, Interval(gt=0, le=1024)] = 4.0,
        dropout: float = 0.0,
        drop_path: float = 0.0,
        shifted_patches: bool = False,
        locality: bool = False,
    ) -> None:
        super().__init__()
        if image_size % patch_size:
            raise ValueError(f"patch_size {patch_size} does not divide image_size {image_size}")
        if dim % num_heads:
            raise ValueError(f"num_heads {num_heads} does not divide dim {dim}")
        self.patch_size = patch_size
        tokens = (image_size // patch_size) ** 2
        if shifted_patches:
            self.patch_embedding: nn.Module = ShiftedPatches(patch_size, dim)
        else:
            self.patch_embedding = nn.Conv2d(3, dim, patch_size, stride=patch_size)
        self.class_token = nn.Parameter(torch.zeros(1, 1, dim))
        self.position_embedding = nn.Parameter(torch.empty(1, tokens + 1, dim))
        self.dropout = nn.Dropout(dropout)
        rates = [drop_path * block / max(1, depth - 1) for block in range(depth)]
        self.blocks = nn.Sequential(*(Block(dim, num_heads, mlp_ratio, dropout, rate, locality) for rate in rates))
        self.norm = nn.LayerNorm(dim, eps=1e-6)
        self.head = nn.Linear(dim, num_classes)

        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
            if isinstance(module, nn.Linear | nn.Conv2d) and module.bias is not None:
                nn.init.zeros_(module.bias)
        nn.init.trunc_normal_(self.position_embedding, std=0.02)
        nn.init.normal_(self.class_token, std=1e-6)
        # The embedding is a linear layer on patches, and is initialised as one.
        embedding = next(weight for weight in self.patch_embedding.parameters() if weight.ndim > 1)
        nn.init.xavier_uniform_(embedding.view(dim, -1))

    def forward(self, x: Tensor) -> Tensor:  # (B, 3, 64, 64)
        if x.shape[-1] % self.patch_size or x.shape[-2] != x.shape[-1]:
            raise ValueError(f"patches of {self.patch_size} pixels do not tile an image of {(*x.shape[-2:],)}")
        x = self.patch_embedding(x).flatten(2).transpose(1, 2)  # (B, 64, 384)
        x = torch.cat((self.class_token.expand(x.shape[0], -1, -1), x), dim=1)  # (B, 65, 384)
        x = self.dropout(x + self.positions(x.shape[1] - 1))
        x = self.blocks(x)
        return self.head(self.norm(x[:, 0]))

    def positions(self, tokens: int) -> Tensor:
        """The position embedding for so many tokens of a square image, (1, tokens + 1, dim): for another number than
        that of the weights, interpolated linearly along both sides."""
        learned = self.position_embedding
        side, old = math.isqrt(tokens), math.isqrt(learned.shape[1] - 1)
        if side == old:
            return learned
        # As a product of matrices: its gradient is the same on every device and in every run.
        weights = F.interpolate(torch.eye(old, device=learned.device)[None], side, mode="linear")[0]  # (old, side)
        grid = torch.einsum("yi,ywd->iwd", weights, learned[0, 1:].view(old, old, -1))
        grid = torch.einsum("xj,ixd->ijd", weights, grid)
        return torch.cat((learned[:, :1], grid.reshape(1, tokens, -1)), dim=1)
