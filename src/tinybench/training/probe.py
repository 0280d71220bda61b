"""Linear probing: the head of a frozen network, trained on what enters it, and what the nearest neighbours say.

The run that it leaves is that of `train.py --freeze all_but_head --augment none` with the same recipe, up to rounding,
but sees each image once instead of once an epoch.
"""

import dataclasses
import time
from collections.abc import Collection
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from tinybench.data.batches import Batch, TrainBatches
from tinybench.inference.checkpoint import load_weights
from tinybench.metrics import topk_accuracy
from tinybench.recipe import Recipe, RunOptions
from tinybench.runtime.device import pick_device
from tinybench.runtime.files import check_writable
from tinybench.runtime.seeds import Purpose, derive_seed
from tinybench.training.checkpoint import anchored
from tinybench.training.features import features_of
from tinybench.training.freezing import ALL_BUT_HEAD, head_of
from tinybench.training.history import History
from tinybench.training.numerics import check_numerics, choose_numerics
from tinybench.training.optimizer import learning_rate
from tinybench.training.saving import RunFiles, check_folder
from tinybench.training.setup import build_state, check_recipe, load_images, own_folder
from tinybench.training.trainer import scores, train_step

TEMPERATURE = 0.07  # of the neighbours' votes (Wu et al. 2018, https://arxiv.org/abs/1805.01978)


def probing_recipe(**fields: Any) -> Recipe:
    """The recipe of a head on images that are not varied; `fields` say which network, weights, images and seed.

    Raises:
        UsageError: a field has a wrong value.
    """
    return Recipe(
        freeze=ALL_BUT_HEAD,
        augment="none",
        label_smoothing=0.0,
        epochs=20,
        batch_size=512,
        optimizer="adamw",
        lr=3e-3,
        weight_decay=0.01,
        **fields,
    )


class Probe:
    """A frozen network's features of the training and the validation images of a recipe.

    Args:
        options: where the data and the features are kept, and the device.

    Raises:
        UserError: as of training, and of `features_of`.
    """

    def __init__(self, recipe: Recipe, options: RunOptions) -> None:
        self.device = pick_device(options.device)
        recipe = anchored(recipe)
        check_numerics(recipe, self.device)
        check_recipe(recipe, resumed=False)
        self.train_images, self.val_images = load_images(recipe, options.data_dir)
        self.recipe = choose_numerics(recipe, len(self.train_images), self.train_images.num_classes, self.device)
        model = build_state(self.recipe, self.train_images, self.val_images, self.device).model
        self.weights = model.state_dict()
        self.train_features, self.val_features = (
            features_of(model, images, self.recipe, options.data_dir / "features").to(self.device)
            for images in (self.train_images, self.val_images)
        )

    def train_head(self, lr: float, options: RunOptions, overwrite: bool = False) -> History:
        """Train the head, and leave the files of a run.

        Raises:
            UsageError: the folder holds a run.
            UserError: the loss is not finite, or a file cannot be written.
        """
        recipe = dataclasses.replace(self.recipe, lr=lr)
        check_folder(options, None, overwrite)
        check_writable(options.folder)
        state = build_state(recipe, self.train_images, self.val_images, self.device, resumed=True)
        load_weights(state.model, self.weights)
        head = state.ddp_model = head_of(state.model)
        labels, val_labels = (images.labels.to(self.device) for images in (self.train_images, self.val_images))
        with own_folder(options):
            files = RunFiles(options, recipe, self.train_images, state)
            files.begin(None, None, overwrite)
            batches = TrainBatches(self.train_images.to(self.device), recipe)
            steps, size = batches.steps_per_epoch, batches.batch_size
            for epoch in range(recipe.epochs):
                started = time.perf_counter()
                state.sums.zero_()
                for step in range(steps):
                    rows = batches.order(epoch)[step * size : (step + 1) * size]
                    batch = Batch(self.train_features[rows], labels[rows], labels[rows], 1.0)
                    lr = learning_rate(recipe, epoch * steps + step, steps)
                    train_step(recipe, state, batch, lr, derive_seed(recipe.seed, Purpose.DROPOUT, epoch, step))
                loss, correct = (value / (steps * size) for value in state.sums.tolist())
                rate = steps * size / (time.perf_counter() - started)
                with torch.no_grad():
                    validated = scores(head(self.val_features), val_labels)
                values = {
                    "train_loss": loss, "train_acc": 100 * correct, **validated, "val_image_size": recipe.image_size,
                    "lr": lr, "epoch_seconds": time.perf_counter() - started, "images_per_second": rate,
                }  # fmt: skip
                files.check_finite(values.values())
                state.end_epoch(values)
                files.save()
        return state.history

    def neighbours_accuracies(self, counts: Collection[int]) -> dict[int, float]:
        """Percent of the validation images whose class has the most votes of so many of the most similar training
        images, by their number."""
        votes = neighbours_votes(
            self.train_features, self.train_images.labels.to(self.device), self.val_features, counts,
            self.train_images.num_classes,
        )  # fmt: skip
        return {k: topk_accuracy(those.cpu(), self.val_images.labels, 1) for k, those in votes.items()}


def neighbours_votes(
    known: Tensor, labels: Tensor, features: Tensor, counts: Collection[int], num_classes: int
) -> dict[int, Tensor]:
    """The votes for each class of the nearest by cosine similarity s, each of weight exp(s / TEMPERATURE).

    Args:
        known: float32 (N, D), with labels int64 (N,).
        features: float32 (M, D).
        counts: how many vote.

    Returns:
        float32 (M, num_classes), by how many vote.
    """
    known = F.normalize(known, dim=1)
    votes = {k: torch.zeros(len(features), num_classes, device=features.device) for k in counts}
    for rows in torch.arange(len(features)).split(1024):
        piece = F.normalize(features[rows], dim=1)
        similarity, nearest = (piece @ known.T).topk(min(max(counts), len(known)), dim=1)
        weights = (similarity / TEMPERATURE).exp()
        for k, those in votes.items():
            those[rows] = those[rows].scatter_add_(1, labels[nearest[:, :k]], weights[:, :k])
    return votes
