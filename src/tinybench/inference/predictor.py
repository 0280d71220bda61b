"""From a checkpoint to logits: a trained network together with its preprocessing."""

import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from tinybench.data.augment.geometry import resize
from tinybench.data.augment.policy import normalize
from tinybench.data.batches import eval_batches
from tinybench.data.imageset import ImageSet
from tinybench.data.prepare.decode import decode_square
from tinybench.errors import UserError
from tinybench.inference.about import Guess, Tick, ignore, likeliest
from tinybench.inference.checkpoint import load_network, read_checkpoint
from tinybench.recipe import Recipe
from tinybench.runtime.device import autocast, check_precision, has_bf16, memory_format, nhwc_is_right
from tinybench.runtime.progress import Heartbeat


@torch.inference_mode()
def predict_logits(
    model: nn.Module,
    images: ImageSet,
    *,
    image_size: int,
    batch_size: int,
    device: torch.device,
    precision: str = "fp32",
    channels_last: bool = False,
    flip_tta: bool = False,
    whole_batches: bool = False,
    tick: Tick = ignore,
) -> Tensor:
    """The logits of every image, in order: float32 (N, classes) on the device.

    Args:
        flip_tta: give the logarithm of the mean of the probabilities of the image and of its mirror image instead.
        whole_batches: fill the last batch up, since a compiled network would be compiled once more for its shape.
        tick: told after each batch; on a GPU, whose work goes on meanwhile, a little early.
    """
    model.eval()
    logits: list[Tensor] = []
    heartbeat = Heartbeat()
    for batch, _ in eval_batches(images, batch_size, image_size, device, channels_last):
        rows = len(batch)
        if whole_batches:
            batch = nn.functional.pad(batch, (0, 0) * 3 + (0, batch_size - rows))
        with autocast(device, precision):
            out = model(batch).float()
            if flip_tta:
                mirrored = model(batch.flip(3)).float()
                out = mean_of_probabilities(out, mirrored)
        out = out[:rows]
        logits.append(out)
        if heartbeat.is_due():
            done = min(len(logits) * batch_size, len(images))
            print(f"{done:,} of {len(images):,} images done", file=sys.stderr, flush=True)
        tick(len(out))
        del batch  # before the next one is made
    return torch.cat(logits)


def _own_precision(recipe: Recipe, device: torch.device) -> str:
    """What the network was trained in, where the device computes in it itself, else fp32."""
    match recipe.precision:
        case "bf16" if has_bf16(device):
            return "bf16"
        case "fp16" if device.type == "cuda":
            return "fp16"
        case _:
            return "fp32"


def mean_of_probabilities(logits: Tensor, others: Tensor) -> Tensor:
    """The logarithm of the mean of the probabilities that two sets of logits give."""
    return torch.logaddexp(logits.log_softmax(1), others.log_softmax(1)) - math.log(2)


class Predictor:
    """The network of a checkpoint with its preprocessing: images in any form to logits, float32 (N, classes).

    It stays in evaluation mode, and its weights get no gradients.

    Attributes:
        path: of the checkpoint.
        checkpoint: what it holds, see `Checkpoint`.
        model: the network, on the device.
    """

    def __init__(
        self,
        path: Path,
        device: torch.device,
        *,
        weights: Literal["model", "ema"] = "model",
        precision: str = "fp32",
        channels_last: bool = False,
        batch_size: int = 256,
    ) -> None:
        """Read a checkpoint.

        Args:
            weights: those of the network, or their moving average.
            precision: of convolutions and matrix products; training: the run's own, where the device computes in it,
                else fp32.
            channels_last: compute in NHWC where the network was trained so and the device can.
            batch_size: images at a time.

        Raises:
            UsageError: the device does not compute in that precision.
            UserError: the checkpoint is missing or damaged, or has no such weights.
        """
        self.path, self.device, self.batch_size = path, device, batch_size
        self.checkpoint = checkpoint = read_checkpoint(path)
        recipe = Recipe.from_dict(checkpoint["recipe"])
        self.precision = _own_precision(recipe, device) if precision == "training" else precision
        check_precision(device, self.precision)
        # The layout is a matter of speed only, so that a network may come from where another one is right.
        self.channels_last = channels_last and recipe.channels_last and nhwc_is_right(device)
        model: nn.Module = load_network(checkpoint, weights).requires_grad_(False)
        self.model = model.to(device).to(memory_format=memory_format(self.channels_last))
        self.image_size: int = checkpoint["image_size"]
        self._mean, self._std = self._by_channel(checkpoint["mean"]), self._by_channel(checkpoint["std"])

    def logits(self, images: ImageSet, *, flip_tta: bool = False, tick: Tick = ignore) -> Tensor:
        """The logits of a data set's images, on the device; see `predict_logits`.

        Raises:
            UserError: the network's training diverged.
        """
        logits = predict_logits(
            self.model,
            replace(images, mean=tuple(self.checkpoint["mean"]), std=tuple(self.checkpoint["std"])),
            image_size=self.image_size,
            batch_size=self.batch_size,
            device=self.device,
            precision=self.precision,
            channels_last=self.channels_last,
            flip_tta=flip_tta,
            tick=tick,
        )
        return require_finite(logits, self.path)

    def logits_of_files(self, paths: Sequence[Path]) -> Tensor:
        """The logits of image files, all at once.

        Raises:
            UserError: a file is no image that can be read, or the network's training diverged.
        """
        return self.logits_of_uint8(self.decode(paths))

    @torch.inference_mode()
    def logits_of_uint8(self, images: Tensor) -> Tensor:
        """The logits of uint8 images (N, 3, h, w).

        Raises:
            UserError: the network's training diverged.
        """
        batch = self.preprocess(images)
        with autocast(self.device, self.precision):
            return require_finite(self.model(batch).float(), self.path)

    def logits_of_pixels(self, pixels: Tensor) -> Tensor:
        """The logits of float32 images (B, 3, h, w) in [0, 1], on the device; gradients flow back to the pixels.

        They are computed in fp32 whatever the precision, since gradients vanish in fp16.
        """
        images = (resize(pixels, self.image_size) - self._mean) / self._std
        return self.model(images.contiguous(memory_format=memory_format(self.channels_last)))

    def logits_of_normalized(self, mean: Sequence[float], std: Sequence[float]) -> Callable[[Tensor], Tensor]:
        """A function to logits from float32 batches (B, 3, h, w) that are normalised with another mean and deviation.

        So come the batches that a student trains on. No gradients flow.
        """
        scale = self._by_channel(std) / self._std
        shift = (self._by_channel(mean) - self._mean) / self._std

        @torch.no_grad()
        def logits(images: Tensor) -> Tensor:
            with autocast(self.device, self.precision):
                return self.model(resize(images, self.image_size) * scale + shift).float()

        return logits

    def classify(self, path: Path, top_k: int) -> list[Guess]:
        """The `top_k` likeliest classes of an image file, or all if there are fewer.

        Raises:
            UserError: as `logits_of_files`.
        """
        return self.classify_pixels(self.decode([path])[0].numpy(), top_k)

    def classify_pixels(self, pixels: np.ndarray, top_k: int) -> list[Guess]:
        """As `classify`, of one image as the network sees it: uint8 (3, image_size, image_size)."""
        probabilities = self.logits_of_uint8(torch.from_numpy(pixels)[None])[0].softmax(0)
        return likeliest(probabilities.cpu().numpy(), self.checkpoint, top_k)

    def decode(self, paths: Sequence[Path]) -> Tensor:
        """Image files as the network sees them: uint8 (N, 3, image_size, image_size) on the CPU.

        Raises:
            UserError: a file is no image that can be read.
        """
        white = self.checkpoint.get("white", 0.0)
        return torch.from_numpy(np.stack([decode_square(self.image_size, (str(path), path), white) for path in paths]))

    def preprocess(self, images: Tensor) -> Tensor:
        """uint8 images (N, 3, h, w) to what `model` takes: float32 (N, 3, image_size, image_size) on the device."""
        batch = normalize(images.to(self.device), self.image_size, self.checkpoint["mean"], self.checkpoint["std"])
        return batch.to(memory_format=memory_format(self.channels_last))

    def _by_channel(self, values: Sequence[float]) -> Tensor:
        return torch.tensor(values, device=self.device).view(3, 1, 1)


def require_finite(logits: Tensor, source: Path) -> Tensor:
    """The logits themselves, of the network in the file `source`; once one is NaN, their order means nothing.

    Raises:
        UserError: a logit is NaN or infinite.
    """
    if not logits.isfinite().all():
        raise UserError(f"{source} answers with NaN or infinity; train it again with a lower --lr")
    return logits
