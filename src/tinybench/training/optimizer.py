"""The optimizer of a recipe, and the learning rate as a function of the step."""

import math
from typing import Any

import torch
from torch import Tensor, nn

from tinybench.errors import UsageError
from tinybench.recipe import Recipe
from tinybench.training.freezing import head_of
from tinybench.training.muon import Muon

# Decay of the squared gradients, and epsilon, of EfficientNet (Tan and Le 2019, section 5.2, and their code).
RMSPROP_ALPHA = 0.9
RMSPROP_EPSILON = 1e-3


def build_optimizer(model: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """The recipe's optimizer over all parameters of `model` that are not frozen.

    Norms and biases (all that has fewer than two dimensions) are not decayed: they are few, and pulling a norm's scale
    to zero is not what weight decay is for. Nor is what a module names in `undecayed`. `lr_factor` of a group is what
    its learning rate is multiplied by.

    Raises:
        UsageError: body_lr_factor is given, and there is no body; muon, and there is no hidden layer.
    """
    undecayed = {getattr(module, name) for module in model.modules() for name in getattr(module, "undecayed", ())}
    groups: list[dict[str, Any]] = []
    for factor, parameters in _body_and_head(model, recipe.body_lr_factor):
        decayed = [p for p in parameters if p.ndim > 1 and p not in undecayed]
        others = [p for p in parameters if p.ndim <= 1 or p in undecayed]
        groups.append({"params": decayed, "weight_decay": recipe.weight_decay, "lr_factor": factor})
        groups.append({"params": others, "weight_decay": 0.0, "lr_factor": factor})
    groups = [group for group in groups if group["params"]]
    match recipe.optimizer:
        case "sgd":
            return _with_momentum(
                torch.optim.SGD(groups, lr=recipe.lr, momentum=recipe.momentum, nesterov=recipe.nesterov, fused=True)
            )
        case "adam":
            return torch.optim.Adam(groups, lr=recipe.lr, betas=recipe.betas, fused=True)
        case "adamw":
            return torch.optim.AdamW(groups, lr=recipe.lr, betas=recipe.betas, fused=True)
        case "rmsprop":
            return torch.optim.RMSprop(
                groups, lr=recipe.lr, momentum=recipe.momentum, alpha=RMSPROP_ALPHA, eps=RMSPROP_EPSILON, foreach=True
            )
        case "muon":
            hidden = hidden_weights(model)
            if not hidden:
                raise UsageError(f"optimizer muon has nothing to work on: model {recipe.model} has no hidden layers")
            groups = _split(groups, hidden)
            return Muon(groups, lr=recipe.lr, momentum=recipe.momentum, nesterov=recipe.nesterov, betas=recipe.betas)


def _with_momentum(optimizer: torch.optim.Optimizer) -> torch.optim.Optimizer:
    """The SGD with momenta of 0, which its first step makes the gradient, instead of none.

    Torch's fused one makes them of uncleared memory in the first step, and where GradScaler skips that step, goes on
    with what was in there.
    """

    def fill(optimizer: torch.optim.Optimizer) -> None:
        for group in optimizer.param_groups:
            for parameter in group["params"] if group["momentum"] else ():
                optimizer.state[parameter].setdefault("momentum_buffer", torch.zeros_like(parameter))

    fill(optimizer)
    optimizer.register_load_state_dict_post_hook(fill)  # checkpoints of older versions hold none before the first step
    return optimizer


def hidden_weights(model: nn.Module) -> list[Tensor]:
    """The matrices and kernels between the first layer, which sees pixels, and the head, but no grouped kernels."""
    layers = [module for module in model.modules() if isinstance(module, nn.Linear | nn.Conv2d)]
    head = head_of(model)
    return [layer.weight for layer in layers[1:] if layer is not head and getattr(layer, "groups", 1) == 1]


def _split(groups: list[dict[str, Any]], hidden: list[Tensor]) -> list[dict[str, Any]]:
    """Each group in two: what Muon makes orthogonal, and the rest."""
    hidden_ids = {id(weight) for weight in hidden}
    parts = []
    for group in groups:
        for orthogonalize in (True, False):
            if chosen := [parameter for parameter in group["params"] if (id(parameter) in hidden_ids) == orthogonalize]:
                parts.append({**group, "params": chosen, "orthogonalize": orthogonalize})
    return parts


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
        risen = step / warmup_steps
        if recipe.scheduler == "onecycle":  # Smith and Topin 2018, https://arxiv.org/abs/1708.07120
            risen = (1 - math.cos(math.pi * risen)) / 2
        return recipe.warmup_start_lr + (recipe.lr - recipe.warmup_start_lr) * risen
    progress = (step - warmup_steps) / (recipe.schedule_epochs * steps_per_epoch - warmup_steps)
    match recipe.scheduler:
        case "cosine" | "onecycle":
            return recipe.min_lr + (recipe.lr - recipe.min_lr) * (1 + math.cos(math.pi * progress)) / 2
        case "linear":
            return recipe.min_lr + (recipe.lr - recipe.min_lr) * (1 - progress)
        case "step":
            drops = step // steps_per_epoch // recipe.step_epochs
            return max(recipe.min_lr, recipe.lr * recipe.step_factor**drops)
        case "none":
            return recipe.lr
