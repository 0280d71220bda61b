"""Knowledge distillation (Hinton, Vinyals and Dean 2015, https://arxiv.org/abs/1503.02531)."""

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from tinybench.data.imageset import ImageSet
from tinybench.errors import UsageError
from tinybench.inference.predictor import Predictor
from tinybench.recipe import Recipe

# A trained network that answers to the student's batches, (B, 3, H, W) as the student sees them: logits (B, classes).
Teacher = Callable[[Tensor], Tensor]


def load_teacher(recipe: Recipe, images: ImageSet, device: torch.device) -> Teacher:
    """The network whose checkpoint `recipe.teacher` names, for a student of these training images.

    Raises:
        UsageError: the teacher knows other classes.
        UserError: the checkpoint is missing or damaged.
    """
    predictor = Predictor(Path(recipe.teacher), device, precision=recipe.precision)
    checkpoint = predictor.checkpoint
    if checkpoint["class_ids"] != list(images.class_ids):
        raise UsageError(
            f"teacher {recipe.teacher} knows {checkpoint['num_classes']} classes of {checkpoint['dataset']}, which "
            f"are not the {images.num_classes} of dataset {recipe.dataset} with classes {recipe.classes}"
        )
    return predictor.logits_of_normalized(images.mean, images.std)


def distillation_loss(logits: Tensor, teacher_logits: Tensor, temperature: float) -> Tensor:
    """Kullback-Leibler divergence of the softened predictions from the teacher's, mean over the batch, times T squared.

    The square keeps the gradients' size the same whatever the temperature.
    """
    student = F.log_softmax(logits / temperature, dim=1)
    teacher = F.log_softmax(teacher_logits / temperature, dim=1)
    return temperature**2 * F.kl_div(student, teacher, reduction="batchmean", log_target=True)
