"""ImageSet: labelled images as one uint8 array."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

import torch


@dataclass(frozen=True, kw_only=True)
class ImageSet:
    """Labelled images of one size.

    Attributes:
        name: the data set, such as "tiny-imagenet".
        images: uint8 (N, 3, H, W), RGB; may be memory-mapped, treat as read-only.
        labels: int64 (N,), indices into `class_ids`.
        class_ids: sorted identifiers (WordNet ids for Tiny ImageNet, folder names elsewhere); the order of the logits.
        class_names: what people call the classes, in the same order.
        mean, std: of the training images per channel, in [0, 1]; what the pixels are normalised with.
        fingerprint: SHA-256 over pixels, labels and class ids.
        white: what counts as white in images of more than 8 bits a channel (0: their own range decides).
        split_fingerprints: of the whole data set, by split.
        file: the .npy file that `images` is, where they are all of one.
    """

    name: str
    images: torch.Tensor
    labels: torch.Tensor
    class_ids: tuple[str, ...]
    class_names: tuple[str, ...]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    fingerprint: str
    white: float = 0.0
    split_fingerprints: dict[str, str] = field(default_factory=dict)
    file: Path | None = None

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def num_classes(self) -> int:
        return len(self.class_ids)

    def pixels(self, which: torch.Tensor | slice) -> torch.Tensor:
        """The images at those indices: uint8 (n, 3, H, W)."""
        return self.images[which]

    def select(self, indices: torch.Tensor | slice) -> ImageSet:
        """The images at `indices` (int64), with the same classes and the same fingerprint; a slice copies nothing."""
        return replace(self, images=self.images[indices], labels=self.labels[indices], file=None)

    def to(self, device: torch.device | str) -> ImageSet:
        return replace(self, images=self.images.to(device), labels=self.labels.to(device))
