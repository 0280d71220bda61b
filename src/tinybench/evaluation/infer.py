"""What a trained network says to image files."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from tinybench.data.augment import normalize
from tinybench.data.decode import IMAGE_SUFFIXES, decode_square
from tinybench.errors import UsageError, UserError
from tinybench.evaluation.metrics import require_finite
from tinybench.evaluation.testing import find_runs
from tinybench.runtime.files import read_json
from tinybench.training.checkpoint import load_network, read_checkpoint


@dataclass(frozen=True)
class Guess:
    """One of the likeliest classes of an image; rank counts from 1."""

    rank: int
    name: str
    class_id: str
    probability: float


class Classifier:
    """A network with its preprocessing and its class names, from a checkpoint."""

    def __init__(self, path: Path, device: torch.device) -> None:
        self.path = path
        self.checkpoint = read_checkpoint(path)
        self.device = device
        self.model: nn.Module = load_network(self.checkpoint).to(device)

    @torch.inference_mode()
    def classify(self, path: Path, top_k: int) -> list[Guess]:
        """The `top_k` likeliest classes of an image file, or all if there are fewer.

        Raises:
            UserError: the file is no image that can be read, or the network's training diverged.
        """
        checkpoint = self.checkpoint
        pixels = torch.from_numpy(decode_square(checkpoint["image_size"], (str(path), path)).copy())[None]
        batch = normalize(pixels.to(self.device), checkpoint["image_size"], checkpoint["mean"], checkpoint["std"])
        probabilities = require_finite(self.model(batch)[0], self.path).softmax(0)
        values, indices = probabilities.topk(min(top_k, len(probabilities)))
        names, class_ids = checkpoint["class_names"], checkpoint["class_ids"]
        return [
            Guess(rank, names[index], class_ids[index], value)
            for rank, (value, index) in enumerate(zip(values.tolist(), indices.tolist(), strict=True), start=1)
        ]


def find_checkpoint(results_dir: Path, model: str = "") -> Path:
    """The best network of a run; of the run with the best validation accuracy where none is named.

    Raises:
        UsageError: there is no such run, or none at all.
    """
    if model:
        return find_runs(results_dir, model)[model] / "best_model.pth"
    accuracies: dict[Path, float] = {}
    for folder in find_runs(results_dir).values():
        try:
            history: dict[str, Any] = read_json(folder / "history.json")
            accuracies[folder / "best_model.pth"] = max([*history["val_acc"], *history.get("ema_val_acc", [])])
        except (UserError, KeyError, ValueError, TypeError):
            continue  # a run without a readable history may still be asked for by name
    if not accuracies:
        raise UsageError(f"no run in {results_dir} has a readable history.json; name one with --model")
    return max(accuracies, key=lambda path: accuracies[path])


def list_images(paths: list[Path]) -> Iterator[Path]:
    """Files as they are given; of a folder, the images in it, sorted.

    Raises:
        UsageError: a folder without images.
    """
    for path in paths:
        if not path.is_dir():
            yield path
            continue
        files = sorted(file for file in path.rglob("*") if file.suffix.lower() in IMAGE_SUFFIXES and file.is_file())
        if not files:
            raise UsageError(f"{path} holds no images ({', '.join(sorted(IMAGE_SUFFIXES))})")
        yield from files
