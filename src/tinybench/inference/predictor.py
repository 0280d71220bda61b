"""A network on images: logits."""

import math
import sys
from collections.abc import Callable

import torch
from torch import Tensor, nn

from tinybench.data.batches import eval_batches
from tinybench.data.imageset import ImageSet
from tinybench.runtime.device import autocast
from tinybench.runtime.progress import Heartbeat

# Told how many more images have passed through the network.
Tick = Callable[[int], object]


def ignore(_: int) -> None:
    """A Tick for those who do not ask."""


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
    tick: Tick = ignore,
) -> Tensor:
    """The logits of every image, in order: float32 (N, classes) on the device.

    Args:
        flip_tta: give the logarithm of the mean of the probabilities of the image and of its mirror image instead.
        tick: told after each batch; on a GPU, whose work goes on meanwhile, a little early.
    """
    model.eval()
    logits: list[Tensor] = []
    heartbeat = Heartbeat()
    for batch, _ in eval_batches(images, batch_size, image_size, device, channels_last):
        with autocast(device, precision):
            out = model(batch).float()
            if flip_tta:
                mirrored = model(batch.flip(3)).float()
                out = torch.logaddexp(out.log_softmax(1), mirrored.log_softmax(1)) - math.log(2)
        logits.append(out)
        if heartbeat.is_due():
            done = min(len(logits) * batch_size, len(images))
            print(f"{done:,} of {len(images):,} images answered", file=sys.stderr, flush=True)
        tick(len(out))
        del batch  # before the next one is made
    return torch.cat(logits)
