"""What a training step costs on this device: the network and its optimizer alone, on random numbers."""

import time

import torch

from tinybench.inference.checkpoint import network_options
from tinybench.models import build_model
from tinybench.recipe import Recipe
from tinybench.runtime.device import autocast, compile_network, memory_format, synchronize
from tinybench.training.freezing import freeze, set_training_mode
from tinybench.training.loss import build_criterion
from tinybench.training.optimizer import build_optimizer


def step_seconds(
    recipe: Recipe,
    num_classes: int,
    device: torch.device,
    *,
    batch_size: int,
    optimize: bool = True,
    steps: int = 1,
    rounds: int = 1,
) -> float:
    """Seconds of one forward, backward and optimizer step in the recipe's precision and layout.

    Args:
        optimize: False leaves out the optimizer.
        steps: how many are timed together, after one to warm up.
        rounds: how often; the fastest counts.
    """
    model = build_model(recipe.model, num_classes=num_classes, image_size=recipe.image_size, **network_options(recipe))
    layout = memory_format(recipe.channels_last)
    model = model.to(device).to(memory_format=layout)
    if recipe.freeze:
        freeze(model, recipe.freeze)
    set_training_mode(model)
    if recipe.compile:
        compile_network(model)
    optimizer, criterion = build_optimizer(model, recipe), build_criterion(recipe)
    images = torch.randn(batch_size, 3, recipe.image_size, recipe.image_size, device=device).to(memory_format=layout)
    labels = torch.arange(batch_size, device=device) % num_classes

    def step() -> None:
        with autocast(device, recipe.precision):
            logits = model(images)
        criterion(logits.float(), labels).backward()
        if optimize:
            optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    step()
    fastest = float("inf")
    for _ in range(rounds):
        synchronize(device)
        started = time.perf_counter()
        for _ in range(steps):
            step()
        synchronize(device)
        fastest = min(fastest, time.perf_counter() - started)
    return fastest / steps
