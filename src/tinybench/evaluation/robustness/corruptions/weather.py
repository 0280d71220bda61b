"""Weather: float32 (B, 3, S, S) in [0, 1], behind snow, frost or fog, or in glaring light."""

import torch
from torch import Tensor
from torch.nn import functional as F

from tinybench.data.augment.color import LUMA
from tinybench.evaluation.robustness.corruptions.filters import blur_along, separable, zoom_matrix

# Mean red, green and blue (of 255), and how far brightness spreads, as in the published photographs of frost.
FROST = (
    (78, 149, 166, 15),
    (201, 205, 214, 18),
    (201, 205, 214, 18),
    (137, 153, 165, 24),
    (112, 123, 135, 32),
)


def snow(
    images: Tensor,
    generator: torch.Generator,
    mean: float,
    std: float,
    zoom: float,
    threshold: float,
    radius: int,
    sigma: float,
    share: float,
) -> Tensor:
    """Whiten the image and let flakes fall, half of them upwards.

    Args:
        mean, std, threshold: flakes are where normal numbers of that mean and spread exceed the threshold.
        zoom: how many times the flakes are enlarged.
        radius, sigma: of the blur along the fall, see blur_along.
        share: of the image as it is beside the whitened one.
    """
    batch, _, size, _ = images.shape
    flakes = mean + std * torch.randn(batch, 1, size, size, generator=generator)
    angle = torch.rand(batch, generator=generator) * 90 - 135
    flakes = separable(flakes.to(images.device), zoom_matrix(size, zoom))
    flakes = torch.where(flakes < threshold, 0, flakes).clamp(0, 1)
    flakes = blur_along(flakes, angle, radius, sigma)
    gray = (images * torch.tensor(LUMA, device=images.device).view(3, 1, 1)).sum(1, keepdim=True)
    white = torch.maximum(images, gray * 1.5 + 0.5)
    return share * images + (1 - share) * white + flakes + flakes.flip(2, 3)


def frost(images: Tensor, generator: torch.Generator, share: float, amount: float) -> Tensor:
    """`share` of the image plus `amount` of a texture of ice."""
    return share * images + amount * draw_frost(len(images), images.shape[-1], generator).to(images.device)


def draw_frost(batch: int, size: int, generator: torch.Generator) -> Tensor:
    """Textures of ice: float32 (B, 3, S, S) on the CPU.

    The authors crop six photographs, which are not shipped here. In their place: needles, which are specks drawn out in
    two directions, over clouds of noise whose spread falls with their size; then the colour and the spread of one of
    the photographs.
    """
    ice = torch.zeros(batch, 1, size, size)
    side = 4
    while side <= size:
        clouds = torch.randn(batch, 1, side, side, generator=generator)
        ice += F.interpolate(clouds, (size, size), mode="bilinear", align_corners=True) / side**0.5
        side *= 2
    for _ in range(2):
        specks = (torch.rand(batch, 1, size, size, generator=generator) < 0.04).float()
        angle = torch.rand(batch, generator=generator) * 360
        ice += 2.5 * blur_along(specks, angle, radius=6, sigma=4)
    std, mean = torch.std_mean(ice, (1, 2, 3), keepdim=True)
    look = torch.tensor(FROST)[torch.randint(len(FROST), (batch,), generator=generator)] / 255
    color, spread = look[:, :3, None, None], look[:, 3, None, None, None]
    return (color + spread * (ice - mean) / std).clamp(0, 1)


def fog(images: Tensor, generator: torch.Generator, amount: float, decay: float) -> Tensor:
    """Add clouds, then darken so that the brightest value of the image stays what it was."""
    size = images.shape[-1]
    clouds = draw_clouds(len(images), 1 << (size - 1).bit_length(), decay, generator)[:, None, :size, :size]
    brightest = images.amax((1, 2, 3), keepdim=True)
    return (images + amount * clouds.to(images.device)) * brightest / (brightest + amount)


def draw_clouds(batch: int, size: int, decay: float, generator: torch.Generator) -> Tensor:
    """Plasma fractals by the diamond-square algorithm, which wrap round: float32 (B, S, S) from 0 to 1, on the CPU.

    Args:
        size: a power of two.
        decay: the noise shrinks by decay squared from one scale to the next; larger means smoother.
    """
    clouds = torch.zeros(batch, size, size)
    noise, step = 1.0, size

    def jitter(mean: Tensor) -> Tensor:
        return mean + noise * (2 * torch.rand(mean.shape, generator=generator) - 1)

    while step >= 2:
        half = step // 2
        corners = clouds[:, ::step, ::step]
        pairs = corners + corners.roll(-1, 1)
        centres = jitter((pairs + pairs.roll(-1, 2)) / 4)
        clouds[:, half::step, half::step] = centres
        clouds[:, ::step, half::step] = jitter((corners + corners.roll(-1, 2) + centres + centres.roll(1, 1)) / 4)
        clouds[:, half::step, ::step] = jitter((corners + corners.roll(-1, 1) + centres + centres.roll(1, 2)) / 4)
        step, noise = half, noise / decay**2
    clouds -= clouds.amin((1, 2), keepdim=True)
    return clouds / clouds.amax((1, 2), keepdim=True)


def brightness(images: Tensor, _: torch.Generator, amount: float) -> Tensor:
    """Raise the value of HSV by `amount`, at most to 1; hue and saturation stay."""
    value = images.amax(1, keepdim=True)
    raised = (value + amount).clamp(max=1)
    # Black has no hue to keep and turns gray.
    return torch.where(value > 0, images * (raised / value.clamp(min=1e-6)), raised)
