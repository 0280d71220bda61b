"""The loss of a recipe."""

import functools
from collections.abc import Callable
from typing import Literal

from torch import Tensor
from torch.nn import functional as F

from tinybench.recipe import Recipe

Criterion = Callable[[Tensor, Tensor], Tensor]


def build_criterion(recipe: Recipe, class_weights: Tensor | None = None) -> Criterion:
    """From logits (B, classes) and labels (B,) to the mean loss of the batch.

    Args:
        class_weights: float32 (classes,), on the device; without them all classes weigh alike.
    """
    match recipe.loss:
        case "cross_entropy":
            criterion = functools.partial(F.cross_entropy, label_smoothing=recipe.label_smoothing)
        case "hinge":
            criterion = functools.partial(multi_margin, margin=recipe.margin, power=1)
        case "squared_hinge":
            criterion = functools.partial(multi_margin, margin=recipe.margin, power=2)
    if class_weights is None:
        return criterion
    return lambda logits, labels: (class_weights[labels] * criterion(logits, labels, reduction="none")).mean()


def balanced_weights(labels: Tensor) -> Tensor:
    """Images / (classes * images of the class), float32 (classes,): all classes weigh the same together.

    The images' weights have a mean of 1, so the mean of a batch is divided by its images, not by their weights as in
    torch.nn.CrossEntropyLoss: then it is right on average, and the mean of its parts is that of the whole. Nor do the
    classes of a smoothed target each have their own weight, as there: that would draw common images to rare classes.

    Args:
        labels: int64 (N,), of the training images. Classes without any do not count.
    """
    counts = labels.bincount()
    return len(labels) / (counts.count_nonzero() * counts.clamp(min=1))


def multi_margin(
    scores: Tensor, labels: Tensor, *, margin: float, power: int, reduction: Literal["mean", "none"] = "mean"
) -> Tensor:
    """Multi-class hinge loss, summed over the wrong classes (Weston and Watkins 1999): the mean over the batch of
    sum_i max(0, margin - scores[label] + scores[i])^power / classes, i not the label.

    It is `torch.nn.functional.multi_margin_loss`, which MPS lacks.
    """
    violations = (scores - scores.gather(1, labels[:, None]) + margin).clamp(min=0) ** power
    losses = violations.scatter(1, labels[:, None], 0)
    return losses.mean() if reduction == "mean" else losses.mean(1)
