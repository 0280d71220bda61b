"""What needs torch: where a network looks, which training images it finds similar, corruptions, test images."""

import functools
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from tinybench.data import datasets
from tinybench.data.imageset import ImageSet
from tinybench.evaluation.evaluate import load_test_images
from tinybench.evaluation.explain import explain_pixels
from tinybench.evaluation.robustness.corruptions import corrupt
from tinybench.inference.predictor import Predictor
from tinybench.recipe import Recipe
from tinybench.training.features import compute_features, features_file, kept_features

SEED = 0  # of corruptions, so that a slider that comes back finds the same picture


@dataclass(frozen=True)
class Neighbour:
    """A training image, uint8 (3, h, w), its class and the cosine similarity of its features."""

    pixels: np.ndarray
    class_name: str
    similarity: float


def corrupted(pixels: np.ndarray, name: str, severity: int) -> np.ndarray:
    """A uint8 image (3, S, S) after one of CORRUPTIONS."""
    images = torch.from_numpy(pixels)[None]
    return corrupt(images, name, severity, seed=SEED, device=torch.device("cpu"))[0].numpy()


class Explainer:
    """A network with its data set, as far as that is there."""

    def __init__(self, predictor: Predictor, data_dir: Path) -> None:
        self._predictor, self._data_dir = predictor, data_dir
        self._recipe = Recipe.from_dict(predictor.checkpoint["recipe"])

    def heat(self, pixels: np.ndarray) -> tuple[np.ndarray, str]:
        """Where the network looks, float32 (S, S) from 0 to 1, and what the map is called.

        Raises:
            UserError: as of `explain`.
        """
        explanation = explain_pixels(self._predictor, torch.from_numpy(pixels))
        return explanation.heat.numpy(), explanation.method

    @functools.cached_property
    def test_images(self) -> ImageSet:
        """The test images of its data set.

        Raises:
            UserError: they are missing, or not those that were there when the network was trained.
        """
        return load_test_images(self._predictor.checkpoint, self._data_dir)

    def test_image(self, label: int, number: int) -> np.ndarray:
        """The test image of that number in its class, uint8 (3, h, w); after the last comes the first.

        Raises:
            UserError: as of `test_images`.
        """
        (places,) = torch.where(self.test_images.labels == label)
        return self.test_images.images[places[number % len(places)]].numpy()

    def neighbours(self, pixels: np.ndarray, count: int) -> list[Neighbour]:
        """The training images with the most similar features, of those whose features probe.py has kept.

        Raises:
            UserError: the training images are missing or damaged.
        """
        if self._probed is None:
            return []
        images, features = self._probed
        asked = replace(images, images=torch.from_numpy(pixels)[None], labels=torch.zeros(1, dtype=torch.int64))
        own = compute_features(self._predictor.model, asked, self._recipe).float()
        similarity, nearest = (features @ F.normalize(own[0], dim=0)).topk(min(count, len(features)))
        found = images.select(nearest)
        return [
            Neighbour(image.numpy(), images.class_names[label], how)
            for image, label, how in zip(found.images, found.labels.tolist(), similarity.tolist(), strict=True)
        ]

    @functools.cached_property
    def _probed(self) -> tuple[ImageSet, Tensor] | None:
        """The training images whose features are kept, and these, each of length 1."""
        checkpoint, recipe = self._predictor.checkpoint, self._recipe
        folder = self._data_dir / "features"
        path = features_file(self._predictor.model, checkpoint["mean"], checkpoint["std"], recipe, folder)
        if not path.exists():
            return None
        images = datasets.load(
            recipe.dataset, "train", self._data_dir, recipe.image_size, skip_damaged=recipe.skip_damaged
        )
        places, features = kept_features(path, images)
        normalized = replace(images, mean=tuple(checkpoint["mean"]), std=tuple(checkpoint["std"]))
        return (normalized.select(places), F.normalize(features, dim=1)) if len(places) else None
