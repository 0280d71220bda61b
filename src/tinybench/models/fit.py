"""What a network can train on: it is asked itself, on tensors without content, before anything long begins."""

import torch
from torch import nn
from torch.func import functional_call

from tinybench.errors import UsageError

LARGEST = 128  # side in pixels up to which the smallest images that fit are looked for


def check_fit(model: nn.Module, what: str, *, num_classes: int, image_size: int, images: int) -> None:
    """Refuse images that a network cannot train on.

    Args:
        what: the field that sets their size, for the message.
        images: how many enter the network at a time.

    Raises:
        UsageError: they are too small or too few, or the network fails on them for a reason of its own.
    """
    images = min(images, 2)  # more make no difference: only a BatchNorm needs more than one value
    reason = refusal(model, num_classes, image_size, images)
    if not reason:
        return
    network, pixels = type(model).__name__, f"{image_size}x{image_size} pixels"
    if images == 1 and not refusal(model, num_classes, image_size, 2):
        raise UsageError(
            f"{network} cannot train on one image of {pixels} at a time ({reason}); raise --batch_size or lower "
            "--accumulate_steps"
        )
    for side in range(image_size + 1, LARGEST + 1):
        if not refusal(model, num_classes, side, 2):
            raise UsageError(f"{what}: {network} takes images of at least {side}x{side} pixels, not {pixels}")
    raise UsageError(f"{what}: {network} cannot take images of {pixels}: {reason}")


def refusal(model: nn.Module, num_classes: int, image_size: int, images: int) -> str:
    """Why the network cannot train on so many images of that side, in one line; empty where it can.

    Its weights and statistics stay as they are. A network that needs real numbers is asked once more with zeros.
    """
    reason = ""
    buffers = {name: buffer.clone() for name, buffer in model.named_buffers()}
    hollow = {name: tensor.to("meta") for name, tensor in (*model.named_parameters(), *buffers.items())}
    for device, tensors in (("meta", hollow), ("cpu", buffers)):
        pixels = torch.zeros(images, 3, image_size, image_size, device=device)
        try:
            with torch.no_grad(), torch.random.fork_rng(devices=[]):
                logits = functional_call(model, tensors, pixels)
            if logits.shape == (images, num_classes):
                return ""
            reason = f"its answer has the shape {tuple(logits.shape)} instead of {(images, num_classes)}"
        except Exception as error:  # a network may be somebody's own: anything may go wrong in it
            reason = (str(error) or type(error).__name__).splitlines()[0]
    return reason
