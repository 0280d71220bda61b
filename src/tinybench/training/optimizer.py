"""The optimizer of a recipe, and the learning rate as a function of the step."""

import math
from typing import Any

import torch
from torch import nn

from tinybench.errors import UsageError
from tinybench.recipe import Recipe
from tinybench.training.freezing import head_of


def build_optimizer(model: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """The recipe's optimizer over all parameters of `model` that are not frozen.

    Norms and biases (all that has fewer than two dimensions) are not decayed unless the recipe asks for it: they are
    few, and pulling a norm's scale to zero is not what weight decay is for. `lr_factor` of a group is what its
    learning rate is multiplied by.

    Raises:
        UsageError: body_lr_factor is given, and there is no body.
    """
    groups: list[dict[str, Any]] = []
    for factor, parameters in _body_and_head(model, recipe.body_lr_factor):
        decayed = [p for p in parameters if p.ndim > 1 or recipe.decay_norm_and_bias]
        others = [p for p in parameters if p.ndim <= 1 and not recipe.decay_norm_and_bias]
        groups.append({"params": decayed, "weight_decay": recipe.weight_decay, "lr_factor": factor})
        groups.append({"params": others, "weight_decay": 0.0, "lr_factor": factor})
    groups = [group for group in groups if group["params"]]
    momentum = recipe.momentum
    match recipe.optimizer:
        case "sgd":
            return torch.optim.SGD(groups, lr=recipe.lr, momentum=momentum, nesterov=recipe.nesterov, fused=True)
        case "adam":
            return torch.optim.Adam(groups, lr=recipe.lr, betas=(momentum, 0.999), fused=True)
        case "adamw":
            return torch.optim.AdamW(groups, lr=recipe.lr, betas=(momentum, 0.999), fused=True)
        case "rmsprop":
            # Decay of the squared gradients and epsilon as in EfficientNet (Tan and Le 2019, section 5.2).
            return torch.optim.RMSprop(groups, lr=recipe.lr, momentum=momentum, alpha=0.9, eps=1e-3, foreach=True)


def _body_and_head(model: nn.Module, body_lr_factor: float) -> list[tuple[float, list[nn.Parameter]]]:
    """The parameters to train, by the factor of their learning rate."""
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    if body_lr_factor == 1:
        return [(1.0, trained)]
    head = {*head_of(model).parameters()}
    body = [parameter for parameter in trained if parameter not in head]
    if not body:
        raise UsageError(f"body_lr_factor {body_lr_factor} slows nothing: the head is the whole network")
    return [(body_lr_factor, body), (1.0, [parameter for parameter in trained if parameter in head])]


def learning_rate(recipe: Recipe, step: int, steps_per_epoch: int) -> float:
    """The learning rate of a step, counted from 0 over the whole run."""
    warmup_steps = recipe.warmup_epochs * steps_per_epoch
    if step < warmup_steps:
        return recipe.warmup_start_lr + (recipe.lr - recipe.warmup_start_lr) * step / warmup_steps
    match recipe.scheduler:
        case "cosine":
            progress = (step - warmup_steps) / (recipe.schedule_epochs * steps_per_epoch - warmup_steps)
            return recipe.min_lr + (recipe.lr - recipe.min_lr) * (1 + math.cos(math.pi * progress)) / 2
        case "step":
            drops = step // steps_per_epoch // recipe.step_epochs
            return max(recipe.min_lr, recipe.lr * recipe.step_factor**drops)
        case "none":
            return recipe.lr
