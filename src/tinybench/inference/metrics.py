"""Numbers made from logits (N, classes) and labels (N,)."""

from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from tinybench.errors import UserError


def topk_accuracy(logits: Tensor, labels: Tensor, k: int) -> float:
    """Percent of images whose label is among the k largest logits; k may exceed the number of classes."""
    top = logits.topk(min(k, logits.shape[1]), dim=1).indices
    return 100 * (top == labels[:, None]).sum().item() / len(labels)


def require_finite(logits: Tensor, source: Path) -> Tensor:
    """The logits themselves, of the network in the file `source`; once one is NaN, their order means nothing.

    Raises:
        UserError: a logit is NaN or infinite.
    """
    if not logits.isfinite().all():
        raise UserError(f"{source} answers with NaN or infinity; train it again with a lower --lr")
    return logits


def nll(logits: Tensor, labels: Tensor) -> float:
    """Mean negative log-likelihood of the labels (cross entropy), in nats."""
    return F.cross_entropy(logits, labels, reduction="sum").item() / len(labels)


def ece(logits: Tensor, labels: Tensor, bins: int = 15) -> float:
    """Expected calibration error in [0, 1] (Guo et al. 2017, https://arxiv.org/abs/1706.04599), bins of equal width."""
    from torchmetrics.functional.classification import multiclass_calibration_error  # slow to import

    return multiclass_calibration_error(logits.softmax(1), labels, num_classes=logits.shape[1], n_bins=bins).item()


def confusion_matrix(logits: Tensor, labels: Tensor) -> Tensor:
    """Counts, int64 (classes, classes): rows are the labels, columns the answers."""
    classes = logits.shape[1]
    return torch.bincount(labels * classes + logits.argmax(1), minlength=classes**2).reshape(classes, classes)


def per_class_accuracy(confusion: Tensor) -> Tensor:
    """Percent right of each label, float32 (classes,); NaN for a class without images."""
    return 100 * confusion.diagonal().float() / confusion.sum(1).float()
