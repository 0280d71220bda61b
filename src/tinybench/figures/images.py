"""Example images of a data set, plain, augmented and mixed, and the histogram of its pixel values.

Only for data whose images may be shown; of Tiny ImageNet, show the statistics of src/explore_data.py instead.
"""

from collections.abc import Sequence

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

from tinybench.configuration import load_augmentations
from tinybench.data.augment.mix import Mix
from tinybench.data.augment.policy import build_policy
from tinybench.data.imageset import ImageSet
from tinybench.figures.data import CHANNELS
from tinybench.figures.style import new_figure, points, room, wrapped
from tinybench.runtime.seeds import Purpose, torch_generator
from tinybench.words import shortened

EXAMPLES = 6  # images per row
CAPTION = 18  # characters that fit below an image


def example_images(images: ImageSet, per_class: int = 5) -> Figure:
    """The first images of every class, one row per class."""
    rows = [images.images[images.labels == label][:per_class] for label in range(images.num_classes)]
    return _grid(rows, images.class_names)


def augmented_images(images: ImageSet, count: int = 6, seed: int = 0) -> Figure:
    """Some images, then the same images under each augmentation policy, one row per policy."""
    first = images.images[_spread(images, count)]
    rows = {"original": first}
    for name, expression in load_augmentations().items():
        if expression != "none":
            policy = build_policy(name, first.shape[-1], images.mean, images.std)
            rows[name] = _pixels(policy(first, torch_generator("cpu", seed, Purpose.AUGMENT)), images)
    return _grid(list(rows.values()), list(rows))


def mixed_images(images: ImageSet, count: int = 6) -> Figure:
    """Some images, and the same images under MixUp and CutMix with λ = 0.7."""
    first = images.images[_spread(images, count)].float()
    side = first.shape[-1]
    edge = round(side * 0.3**0.5)  # of a square with 30 % of the area
    start = (side - edge) // 2
    mixes = {"MixUp": Mix("mixup", 0.7), "CutMix": Mix("cutmix", 0.7, (start, start + edge, start, start + edge))}
    rows = {"original": first, **{name: mix.apply(first) for name, mix in mixes.items()}}
    return _grid([row.round().byte() for row in rows.values()], list(rows))


def brightness_histogram(images: ImageSet) -> Figure:
    """Histogram of the pixel values of all images, per channel."""
    figure, ax = new_figure(7, 3.2)
    for channel, (name, color, line, _) in enumerate(CHANNELS):
        counts = torch.bincount(images.images[:, channel].flatten().int(), minlength=256).double()
        shares = (100 * counts / counts.sum()).reshape(64, 4).sum(1)
        ax.plot(np.arange(64) * 4 + 2, shares, color=color, linestyle=line, linewidth=points(2), label=name)
    ax.set_xlim(0, 255)
    ax.set_ylim(0, None)
    ax.set_xlabel("pixel value (0 to 255, in bins of 4)")
    ax.set_ylabel("pixels (%)")
    ax.set_title(f"{images.name}, {len(images):,} images")
    ax.legend()
    return figure


def class_examples(images: ImageSet, predicted: np.ndarray, labels: Sequence[int], accuracy: np.ndarray) -> Figure:
    """The first test images of some classes, one row per class, each with the predicted class if that is wrong.

    Args:
        predicted: int (N,), the likeliest class of each image.
        labels: of the classes to show.
        accuracy: test accuracy of every class in percent.
    """
    rows = [torch.nonzero(images.labels == label).flatten()[:EXAMPLES] for label in labels]
    names = [f"{images.class_names[label]}\n{accuracy[label]:.0f} % accuracy" for label in labels]
    wrong = predicted != images.labels.numpy()
    captions = [[images.class_names[predicted[i]] if wrong[i] else "" for i in row.tolist()] for row in rows]
    return _grid([images.images[row] for row in rows], names, captions)


def mistaken_examples(images: ImageSet, predicted: np.ndarray, pairs: Sequence[tuple[int, int]]) -> Figure:
    """Misclassified test images, one row per pair of true and predicted class."""
    found = torch.from_numpy(predicted)
    rows = [torch.nonzero((images.labels == true) & (found == wrong)).flatten()[:EXAMPLES] for true, wrong in pairs]
    names = [f"{images.class_names[true]}\npredicted as {images.class_names[wrong]}" for true, wrong in pairs]
    return _grid([images.images[row] for row in rows], names)


def image_under_heat(pixels: Tensor, heat: Tensor, method: str, title: str) -> Figure:
    """An image, and beside it, in gray, the image under its heat map.

    Args:
        pixels: uint8 (3, S, S), as the network saw them.
        heat: float32 (S, S) from 0 to 1.
        method: what made the heat.
    """
    figure, (seen, looked) = new_figure(7, 4, columns=2, in_proportion=True)
    seen.imshow(pixels.permute(1, 2, 0).numpy())
    looked.imshow(pixels.float().mean(0).numpy(), cmap="gray", vmin=0, vmax=255)  # heat has the colours
    for ax, caption in ((seen, "what the network sees"), (looked, method)):
        ax.set_title(caption, fontsize=points(10))
        ax.set_axis_off()
    drawn = looked.imshow(heat.numpy(), cmap="inferno", vmin=0, vmax=1, alpha=0.6)
    figure.colorbar(drawn, ax=looked, fraction=0.046, label="share of the largest")
    figure.suptitle(wrapped(figure, title))
    return figure


def _spread(images: ImageSet, count: int) -> Tensor:
    """Indices spread evenly over the set, so that the images are of different classes."""
    return torch.linspace(0, len(images) - 1, min(count, len(images))).long()


def _pixels(normalised: Tensor, images: ImageSet) -> Tensor:
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (images.mean, images.std))
    return (255 * (normalised * std + mean)).clamp(0, 255).round().byte()


def _grid(rows: Sequence[Tensor], names: Sequence[str], captions: Sequence[Sequence[str]] = ()) -> Figure:
    """Rows of uint8 images (n, 3, H, W), each with its name on the left and captions below the images."""
    columns = max(len(row) for row in rows)
    side = 1.1 if captions else 0.8  # inches
    width = 1.7 + side * columns
    figure, axes = new_figure(width, side * len(rows), len(rows), columns, in_proportion=True, squeeze=False)
    share = min(1, room(width) / width)
    for row_axes, texts in zip(axes, captions, strict=False):
        for ax, text in zip(row_axes, texts, strict=False):
            ax.text(
                0.5,
                -0.04,
                shortened([text], int(CAPTION * share))[0],
                transform=ax.transAxes,
                ha="center",
                va="top",
                fontsize=points(7),
            )
    for row_axes, row, name in zip(axes, rows, names, strict=True):
        for ax in row_axes:
            ax.set_axis_off()
        for ax, image in zip(row_axes, row, strict=False):
            ax.imshow(image.permute(1, 2, 0).numpy())
        row_axes[0].text(
            -0.1, 0.5, name, transform=row_axes[0].transAxes, ha="right", va="center", fontsize=points(11 * share)
        )
    return figure
