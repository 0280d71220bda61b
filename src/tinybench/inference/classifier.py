"""What a trained network says to image files."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn

from tinybench.cli.run_arguments import RunArguments
from tinybench.data.augment.policy import normalize
from tinybench.data.prepare.decode import IMAGE_SUFFIXES, decode_square
from tinybench.data.prepare.folders import is_image, list_files
from tinybench.errors import UsageError, UserError, printable
from tinybench.inference.checkpoint import load_network, read_checkpoint
from tinybench.inference.metrics import require_finite
from tinybench.runs import BEST, find_runs
from tinybench.runtime.files import read_json


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
        size, white = checkpoint["image_size"], checkpoint.get("white", 0.0)
        pixels = torch.from_numpy(decode_square(size, (str(path), path), white).copy())[None]
        batch = normalize(pixels.to(self.device), checkpoint["image_size"], checkpoint["mean"], checkpoint["std"])
        probabilities = require_finite(self.model(batch)[0], self.path).softmax(0)
        values, indices = probabilities.topk(min(top_k, len(probabilities)))
        names, class_ids = checkpoint["class_names"], checkpoint["class_ids"]
        return [
            Guess(rank, names[index], class_ids[index], value)
            for rank, (value, index) in enumerate(zip(values.tolist(), indices.tolist(), strict=True), start=1)
        ]


class Candidate(NamedTuple):
    """A trained run: its data, and how well it does on the validation images among them."""

    classes: int
    fingerprint: str
    train_images: int
    val_acc: float
    checkpoint: Path


def find_checkpoint(arguments: RunArguments) -> Path:
    """The best network of the run that is named; where none is, of the run that knows most.

    Accuracies are compared on one data set only: that with the most classes, and of those the one with the most images.

    Raises:
        UsageError: there is no such run, or none at all.
    """
    for folder in arguments.picked().values():
        return folder / BEST
    candidates = []
    for folder in find_runs(arguments.results_dir).values():
        with contextlib.suppress(UserError, KeyError, ValueError, TypeError, AttributeError):
            # A run without a readable history may still be asked for by name.
            history: dict[str, Any] = read_json(folder / "history.json")
            data = history.get("dataset", {})
            about = int(data.get("classes", 0)), str(data.get("fingerprint", "")), int(data.get("train_images", 0))
            val_acc = max(map(float, [*history["val_acc"], *history.get("ema_val_acc", [])]))
            candidates.append(Candidate(*about, val_acc, folder / BEST))
    if not candidates:
        raise UsageError(f"no run in {arguments.results_dir} has a readable history.json; name one with --run")
    widest = max(candidates, key=lambda run: (run.classes, run.train_images))
    rivals = [run for run in candidates if (run.classes, run.fingerprint) == (widest.classes, widest.fingerprint)]
    return max(rivals, key=lambda run: run.val_acc).checkpoint


def introduction(path: Path, checkpoint: dict[str, Any]) -> str:
    """Which network answers, in a line."""
    return printable(
        f"{path}: {checkpoint['model']} on {checkpoint['dataset']}, {checkpoint['num_classes']} classes, "
        f"{checkpoint['val_acc']:.2f} % on its validation images"
    )


def list_images(paths: list[Path]) -> Iterator[Path]:
    """Files as they are given; of a folder, the images in it, sorted.

    Raises:
        UsageError: a folder without images.
    """
    for path in paths:
        if not path.is_dir():
            yield path
            continue
        files = sorted(file for file in list_files(path) if is_image(file))
        if not files:
            raise UsageError(f"{path} holds no images ({', '.join(sorted(IMAGE_SUFFIXES))})")
        yield from files
