"""Pictures of a data set: its classes, what augmentation and mixing make of an image, its brightness.

Only for data whose pictures may be shown; for those of Tiny ImageNet, show the numbers of src/explore_data.py instead.
"""

from collections.abc import Sequence

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

from tinybench.data.augment.mix import Mix
from tinybench.data.augment.policy import build_policy
from tinybench.data.imageset import ImageSet
from tinybench.figures.data import CHANNELS
from tinybench.figures.style import new_figure
from tinybench.recipe import load_augmentations
from tinybench.runtime.seeds import Purpose, torch_generator

EXAMPLES = 6  # images of a row
CAPTION = 18  # letters that fit below an image


def example_images(images: ImageSet, per_class: int = 5) -> Figure:
    """The first images of every class, a row a class."""
    rows = [images.images[images.labels == label][:per_class] for label in range(images.num_classes)]
    return _grid(rows, images.class_names)


def augmented_images(images: ImageSet, count: int = 6, seed: int = 0) -> Figure:
    """The first images as they are, then as each augmentation policy varies them, a row a policy."""
    first = images.images[_spread(images, count)]
    rows = {"as they are": first}
    for name, expression in load_augmentations().items():
        if expression != "none":
            policy = build_policy(name, first.shape[-1], images.mean, images.std)
            rows[name] = _pixels(policy(first, torch_generator("cpu", seed, Purpose.AUGMENT)), images)
    return _grid(list(rows.values()), list(rows))


def mixed_images(images: ImageSet, count: int = 6) -> Figure:
    """Images as they are, and mixed with each other by MixUp and CutMix, where 70 % of the label is the image's own."""
    first = images.images[_spread(images, count)].float()
    side = first.shape[-1]
    edge = round(side * 0.3**0.5)  # of a box with 30 % of the area
    start = (side - edge) // 2
    mixes = {"MixUp": Mix("mixup", 0.7), "CutMix": Mix("cutmix", 0.7, (start, start + edge, start, start + edge))}
    rows = {"as they are": first, **{name: mix.apply(first) for name, mix in mixes.items()}}
    return _grid([row.round().byte() for row in rows.values()], list(rows))


def brightness_histogram(images: ImageSet) -> Figure:
    """How often each brightness occurs, by channel, over all pixels of all images."""
    figure, axes = new_figure(7, 3.2)
    place = axes[0, 0]
    for channel, (name, color, line, _) in enumerate(CHANNELS):
        counts = torch.bincount(images.images[:, channel].flatten().int(), minlength=256).double()
        shares = (100 * counts / counts.sum()).reshape(64, 4).sum(1)
        place.plot(np.arange(64) * 4 + 2, shares, color=color, linestyle=line, linewidth=2, label=name)
    place.set_xlim(0, 255)
    place.set_ylim(0, None)
    place.set_xlabel("brightness (0 to 255, in steps of 4)")
    place.set_ylabel("pixels (%)")
    place.set_title(f"{images.name}, {len(images):,} images")
    place.legend()
    return figure


def class_examples(images: ImageSet, answers: np.ndarray, labels: Sequence[int], accuracy: np.ndarray) -> Figure:
    """The first test images of some classes, a row a class, each with the answer it got where that is wrong.

    Args:
        answers: int (N,), the class that a network gave to each image.
        labels: of the classes to show.
        accuracy: percent right of every class.
    """
    rows = [torch.nonzero(images.labels == label).flatten()[:EXAMPLES] for label in labels]
    names = [f"{images.class_names[label]}\n{accuracy[label]:.0f} % right" for label in labels]
    captions = [
        ["" if answers[index] == images.labels[index] else images.class_names[answers[index]] for index in row.tolist()]
        for row in rows
    ]
    return _grid([images.images[row] for row in rows], names, captions)


def mistaken_examples(images: ImageSet, answers: np.ndarray, pairs: Sequence[tuple[int, int]]) -> Figure:
    """Test images that were taken for another class, a row a pair of label and answer."""
    taken = torch.from_numpy(answers)
    rows = [torch.nonzero((images.labels == true) & (taken == answer)).flatten()[:EXAMPLES] for true, answer in pairs]
    names = [f"{images.class_names[true]}\ntaken for {images.class_names[answer]}" for true, answer in pairs]
    return _grid([images.images[row] for row in rows], names)


def _spread(images: ImageSet, count: int) -> Tensor:
    """Indices of images spread evenly over the set, so that they are of different classes."""
    return torch.linspace(0, len(images) - 1, min(count, len(images))).long()


def _pixels(normalised: Tensor, images: ImageSet) -> Tensor:
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (images.mean, images.std))
    return (255 * (normalised * std + mean)).clamp(0, 255).round().byte()


def _grid(rows: Sequence[Tensor], names: Sequence[str], captions: Sequence[Sequence[str]] = ()) -> Figure:
    """Rows of uint8 images (n, 3, H, W), each with its name on the left, and captions of the images below them."""
    columns = max(len(row) for row in rows)
    side = 1.1 if captions else 0.8  # inches
    figure, axes = new_figure(1.7 + side * columns, side * len(rows), len(rows), columns)
    for places, texts in zip(axes, captions, strict=False):
        for place, text in zip(places, texts, strict=False):
            place.text(0.5, -0.04, text[:CAPTION], transform=place.transAxes, ha="center", va="top", fontsize=7)
    for places, row, name in zip(axes, rows, names, strict=True):
        for place in places:
            place.set_axis_off()
        for place, image in zip(places, row, strict=False):
            place.imshow(image.permute(1, 2, 0).numpy())
        places[0].text(-0.1, 0.5, name, transform=places[0].transAxes, ha="right", va="center", fontsize=11)
    return figure
