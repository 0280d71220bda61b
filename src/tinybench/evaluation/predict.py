"""A network on images: logits."""

import math
import sys

import torch
from torch import Tensor, nn

from tinybench.data.batches import eval_batches
from tinybench.data.imageset import ImageSet
from tinybench.runtime.device import autocast
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
) -> Tensor:
    """The logits of every image, in order: float32 (N, classes) on the device.

    Args:
        flip_tta: give the logarithm of the mean of the probabilities of the image and of its mirror image instead.
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
    return torch.cat(logits)
