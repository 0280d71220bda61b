"""Attacks: changes of the pixels, too small to see, that are chosen to make a network err.

Images are float32 (B, 3, S, S) in [0, 1] here; what is attacked normalises them itself, as Predictor.logits_of_pixels.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

# From images to logits (B, classes).
Network = Callable[[Tensor], Tensor]


def fgsm(network: Network, images: Tensor, labels: Tensor, radius: float) -> Tensor:
    """Fast gradient sign method (Goodfellow et al. 2015, https://arxiv.org/abs/1412.6572).

    Args:
        labels: int64 (B,), which the network is to miss.
        radius: by how much each value may change (L-infinity), in [0, 1].

    Returns:
        float32 (B, 3, S, S) in [0, 1], no further than the radius from `images`.
    """
    return (images + radius * _ascent(network, images, labels)).clamp(0, 1)


def pgd(
    network: Network, images: Tensor, labels: Tensor, radius: float, *, steps: int, generator: torch.Generator
) -> Tensor:
    """Projected gradient descent in the L-infinity ball from a random start (Madry et al. 2018,
    https://arxiv.org/abs/1706.06083).

    Args and Returns as of `fgsm`, and:
        steps: each goes 2.5 * radius / steps far, so that every corner of the ball can be reached from any point.
        generator: of the start; on the CPU, so that a seed means the same start on every device.
    """
    low, high = (images - radius).clamp(min=0), (images + radius).clamp(max=1)
    start = torch.rand(images.shape, generator=generator).to(images.device)
    attacked = torch.lerp(low, high, start)
    for _ in range(steps):
        step = 2.5 * radius / steps * _ascent(network, attacked, labels)
        attacked = torch.clamp(attacked + step, low, high)
    return attacked


def _ascent(network: Network, images: Tensor, labels: Tensor) -> Tensor:
    """The sign of the gradient of the cross entropy with respect to each value."""
    images = images.detach().requires_grad_()
    with torch.enable_grad():
        loss = F.cross_entropy(network(images), labels, reduction="sum")
        (gradient,) = torch.autograd.grad(loss, images)
    return gradient.sign()
