"""Noise: float32 (B, 3, S, S) in [0, 1], with independent errors in every value."""

import torch
from torch import Tensor


def gaussian_noise(images: Tensor, generator: torch.Generator, std: float) -> Tensor:
    """Add normal errors, as in low light."""
    return images + std * torch.randn(images.shape, generator=generator).to(images.device)


def shot_noise(images: Tensor, generator: torch.Generator, photons: float) -> Tensor:
    """Count photons, `photons` on average where the image is white (Poisson)."""
    return torch.poisson(images.cpu() * photons, generator=generator).to(images.device) / photons


def impulse_noise(images: Tensor, generator: torch.Generator, amount: float) -> Tensor:
    """Salt and pepper: a value is 1 with probability amount / 2, and 0 with the same."""
    uniform = torch.rand(images.shape, generator=generator).to(images.device)
    return torch.where(uniform < amount, (uniform < amount / 2).to(images.dtype), images)
