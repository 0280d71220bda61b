"""Knowledge distillation (Hinton, Vinyals and Dean 2015, https://arxiv.org/abs/1503.02531)."""

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tinybench.data.augment.geometry import resize
from tinybench.data.imageset import ImageSet
from tinybench.errors import UsageError
from tinybench.inference.checkpoint import load_network, read_checkpoint
from tinybench.recipe import Recipe


class Teacher(nn.Module):
    """A trained network that answers to the student's batches: (B, 3, H, W) to logits (B, classes).

    The batches come normalised and sized for the student; the teacher's own statistics and size are put in their place.
    """

    def __init__(self, recipe: Recipe, images: ImageSet) -> None:
        """Read the checkpoint that `recipe.teacher` names, for a student of these training images.

        Raises:
            UsageError: the teacher knows other classes.
            UserError: the checkpoint is missing or damaged.
        """
        super().__init__()
        checkpoint = read_checkpoint(Path(recipe.teacher))
        if checkpoint["class_ids"] != list(images.class_ids):
            raise UsageError(
                f"teacher {recipe.teacher} knows {checkpoint['num_classes']} classes of {checkpoint['dataset']}, which "
                f"are not the {images.num_classes} of dataset {recipe.dataset} with classes {recipe.classes}"
            )
        self.model = load_network(checkpoint).requires_grad_(False)
        self.image_size = checkpoint["image_size"]
        mean, std, own_mean, own_std = (
            torch.tensor(values).view(3, 1, 1)
            for values in (images.mean, images.std, checkpoint["mean"], checkpoint["std"])
        )
        self.scale = nn.Buffer(std / own_std)
        self.shift = nn.Buffer((mean - own_mean) / own_std)

    @torch.no_grad()
    def forward(self, images: Tensor) -> Tensor:
        return self.model(resize(images, self.image_size) * self.scale + self.shift)


def distillation_loss(logits: Tensor, teacher_logits: Tensor, temperature: float) -> Tensor:
    """Kullback-Leibler divergence of the softened answers from the teacher's, mean over the batch, times T squared.

    The square keeps the gradients' size the same whatever the temperature.
    """
    student = F.log_softmax(logits / temperature, dim=1)
    teacher = F.log_softmax(teacher_logits / temperature, dim=1)
    return temperature**2 * F.kl_div(student, teacher, reduction="batchmean", log_target=True)
