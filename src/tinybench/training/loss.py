"""The loss of a recipe."""

import functools
from collections.abc import Callable

from torch import Tensor
from torch.nn import functional as F

from tinybench.recipe import Recipe

Criterion = Callable[[Tensor, Tensor], Tensor]


def build_criterion(recipe: Recipe) -> Criterion:
    """From logits (B, classes) and labels (B,) to the mean loss of the batch."""
    match recipe.loss:
        case "cross_entropy":
            return functools.partial(F.cross_entropy, label_smoothing=recipe.label_smoothing)
        case "hinge":
            return functools.partial(multi_margin, margin=recipe.margin, power=1)
        case "squared_hinge":
            return functools.partial(multi_margin, margin=recipe.margin, power=2)


def multi_margin(scores: Tensor, labels: Tensor, *, margin: float, power: int) -> Tensor:
    """Multi-class hinge loss, summed over the wrong classes (Weston and Watkins 1999): the mean over the batch of
    sum_i max(0, margin - scores[label] + scores[i])^power / classes, i not the label.

    It is `torch.nn.functional.multi_margin_loss`, which MPS lacks.
    """
    violations = (scores - scores.gather(1, labels[:, None]) + margin).clamp(min=0) ** power
    return violations.scatter(1, labels[:, None], 0).mean()
