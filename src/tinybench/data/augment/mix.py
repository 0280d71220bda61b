"""MixUp and CutMix: two images and their labels made into one."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class Mix:
    """How one batch is mixed with itself in reversed order.

    Attributes:
        kind: mixup or cutmix.
        lam: weight of an image's own label; 1 - lam is that of its partner's.
        box: what CutMix pastes: top, bottom, left, right in pixels, bottom and right exclusive; empty for MixUp.
    """

    kind: Literal["mixup", "cutmix"]
    lam: float
    box: tuple[int, int, int, int] = (0, 0, 0, 0)

    def apply(self, images: Tensor) -> Tensor:
        """Mix each image of the batch, float (B, 3, H, W), with images.flip(0)'s; `images` itself stays as it is."""
        if self.kind == "mixup":
            return torch.lerp(images.flip(0), images, self.lam)
        top, bottom, left, right = self.box
        before = _before(images.shape[-1], images.device)
        inside = (before[top] ^ before[bottom])[:, None] & (before[left] ^ before[right])
        return torch.where(inside, images.flip(0), images)


@functools.cache
def _before(size: int, device: torch.device) -> Tensor:
    """bool (size + 1, size): row n is true in the first n places. Rows are views: no box has kernels of its own."""
    return torch.ones(size + 1, size, dtype=torch.bool, device=device).tril(-1)


def draw_mix(
    alpha: float, image_size: int, rng: np.random.Generator, *, probability: float, cutmix_share: float
) -> Mix | None:
    """Draw how the next batch is mixed: not at all, by MixUp or by CutMix.

    lam ~ Beta(alpha, alpha). CutMix pastes a box of the image's shape and (1 - lam) of its area around a centre drawn
    from the whole image; what hangs over the border is cut off, and lam is then the exact share that stays.

    Args:
        alpha: above 0; the smaller, the nearer lam is to 0 or 1.
        image_size: side of the images in pixels.
        rng: host generator; the numbers never have to come back from the device.
        probability: that the batch is mixed.
        cutmix_share: probability that a mixed batch is mixed by CutMix.

    Papers:
        Zhang et al., mixup: Beyond Empirical Risk Minimization, 2018, https://arxiv.org/abs/1710.09412
        Yun et al., CutMix: Regularization Strategy to Train Strong Classifiers with Localizable Features, 2019,
        https://arxiv.org/abs/1905.04899
    """
    kind, lam, (row, column) = rng.random(), float(rng.beta(alpha, alpha)), rng.integers(image_size, size=2).tolist()
    if kind < 1 - probability:
        return None
    if kind < 1 - probability * cutmix_share:
        return Mix("mixup", lam)
    side = int(image_size * (1 - lam) ** 0.5)
    top, bottom = max(row - side // 2, 0), min(row + side // 2, image_size)
    left, right = max(column - side // 2, 0), min(column + side // 2, image_size)
    return Mix("cutmix", 1 - (bottom - top) * (right - left) / image_size**2, (top, bottom, left, right))
