"""Where a network looks: Grad-CAM for convolutional networks, attention rollout for the Vision Transformer."""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tinybench.errors import UserError
from tinybench.inference.about import Guess
from tinybench.inference.predictor import Predictor
from tinybench.models.vit import Attention


@dataclass(frozen=True)
class Explanation:
    """An image and where the network looked.

    Attributes:
        pixels: uint8 (3, S, S), as the network saw them.
        heat: float32 (S, S) from 0 to 1, the largest.
        guess: the likeliest class, which Grad-CAM explains; attention rollout is the same for all classes.
        method: what made the heat.
    """

    pixels: Tensor
    heat: Tensor
    guess: Guess
    method: str


def explain(predictor: Predictor, path: Path) -> Explanation:
    """Explain the likeliest class of an image file.

    Raises:
        UserError: the file is no image, the network's training diverged, or its kind cannot be explained.
    """
    return explain_pixels(predictor, predictor.decode([path])[0])


def explain_pixels(predictor: Predictor, pixels: Tensor) -> Explanation:
    """As `explain`, of one image as the network sees it: uint8 (3, S, S)."""
    (guess,) = predictor.classify_pixels(pixels.numpy(), top_k=1)
    checkpoint, model = predictor.checkpoint, predictor.model
    images = predictor.preprocess(pixels[None])
    if any(isinstance(module, Attention) for module in model.modules()):
        method, heat = "attention rollout", attention_rollout(model, images)
    else:
        label = torch.tensor([checkpoint["class_ids"].index(guess.class_id)], device=predictor.device)
        method, heat = "Grad-CAM", grad_cam(model, images, label)
    heat = F.interpolate(heat[:, None], pixels.shape[-2:], mode="bilinear", align_corners=False)[0, 0].cpu()
    return Explanation(pixels, heat / heat.max().clamp(min=1e-12), guess, method)


def grad_cam(model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    """Which places of the last feature map speak for a class (Selvaraju et al. 2017, https://arxiv.org/abs/1610.02391).

    The map is what enters `model.pool`; of a network without one, the last output of any of its modules that has places
    and a gradient, be it a map or a grid of tokens. Its channels are summed, each weighed by the mean gradient of the
    class's logit, and what is negative is dropped.

    Args:
        model: in evaluation mode.
        images: float32 (B, 3, S, S), normalised.
        labels: int64 (B,), the class to explain of each image.

    Returns:
        float32 (B, h, w), the map's size.

    Raises:
        UserError: the network has no such map.
    """
    pool = getattr(model, "pool", None)
    recorded = _inputs([pool]) if isinstance(pool, nn.Module) else _maps(model)
    with recorded as tensors, torch.enable_grad():
        logits = model(images.detach().requires_grad_())
        logit = logits.gather(1, labels[:, None]).sum()
        gradients = torch.autograd.grad(logit, tensors, allow_unused=True) if tensors else ()
    for tensor, gradient in zip(reversed(tensors), reversed(gradients), strict=True):
        if gradient is not None and (slopes := _as_map(gradient)).any():
            weights = slopes.mean((2, 3), keepdim=True)
            return (weights * _as_map(tensor)).sum(1).relu().detach()
    raise UserError(f"{type(model).__name__} has no feature map for Grad-CAM to look at")


def _as_map(x: Tensor) -> Tensor:
    """A map (B, C, h, w) of one in NHWC, or of a grid of tokens (B, N, C), whose first ones may have no place in it."""
    if x.ndim == 3:
        side = math.isqrt(x.shape[1])
        x = x[:, x.shape[1] - side * side :].unflatten(1, (side, side))
    return x if x.shape[2] == x.shape[3] else x.permute(0, 3, 1, 2)


@torch.no_grad()
def attention_rollout(model: nn.Module, images: Tensor) -> Tensor:
    """How much each patch reaches the class token through all blocks (Abnar and Zuidema 2020,
    https://arxiv.org/abs/2005.00928).

    A block passes on the half of a token itself and the half of what it attends to, on average over the heads.

    Args:
        model: a Vision Transformer with a class token, in evaluation mode.
        images: float32 (B, 3, S, S), normalised.

    Returns:
        float32 (B, rows of patches, columns of patches).
    """
    layers = [module for module in model.modules() if isinstance(module, Attention)]
    with _inputs(layers) as inputs:
        model(images)
    B, N, dim = inputs[0].shape
    token = torch.eye(N, device=images.device)
    rollout = token.expand(B, N, N)
    for layer, x in zip(layers, inputs, strict=True):
        # The network fuses what follows and keeps no attention weights.
        q, k, _, mask = layer.queries_keys_values(x)
        scores = q @ k.transpose(2, 3) / math.sqrt(dim // layer.num_heads)  # (B, heads, N, N)
        attention = (scores if mask is None else scores + mask).softmax(3)
        rollout = (attention.mean(1) + token) / 2 @ rollout
    side = math.isqrt(N - 1)
    return rollout[:, 0, 1:].reshape(B, side, side)


@contextmanager
def _maps(model: nn.Module) -> Iterator[list[Tensor]]:
    """A list that fills with what may be a map among the outputs of the network's modules, as they are called."""
    outputs: list[Tensor] = []

    def keep(_: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        if isinstance(output, Tensor) and output.requires_grad and _has_places(output, inputs):
            outputs.append(output)

    handles = [module.register_forward_hook(keep) for module in model.modules()]
    try:
        yield outputs
    finally:
        for handle in handles:
            handle.remove()


def _has_places(x: Tensor, inputs: tuple[Any, ...]) -> bool:
    if x.ndim == 4:
        return x.shape[2] > 1 and x.shape[2] in (x.shape[1], x.shape[3])
    # Tokens, but not their queries, keys and values, which are wider than what came in.
    return x.ndim == 3 and x.shape[1] >= 4 and isinstance(inputs[0], Tensor) and inputs[0].shape == x.shape


@contextmanager
def _inputs(modules: Sequence[nn.Module]) -> Iterator[list[Tensor]]:
    """A list that fills with what enters each of the modules, in the order in which they are called."""
    inputs: list[Tensor] = []
    handles = [module.register_forward_pre_hook(lambda _, arguments: inputs.append(arguments[0])) for module in modules]
    try:
        yield inputs
    finally:
        for handle in handles:
            handle.remove()
