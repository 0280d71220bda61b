"""Whether a device computes what the CPU does: one training step of every network, every policy, every optimizer."""

import copy
import functools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import get_args

import torch
from torch import Tensor

from tinybench.configuration import get_recipe, load_augmentations
from tinybench.data.augment.expression import parse
from tinybench.data.augment.mix import Mix
from tinybench.data.augment.operations import Automatic
from tinybench.data.augment.policy import Parameters, build_policy
from tinybench.inference.checkpoint import network_options
from tinybench.models import MODELS, build_model, list_models
from tinybench.recipe import Recipe
from tinybench.runtime.device import first_line
from tinybench.training.loss import build_criterion
from tinybench.training.optimizer import build_optimizer

# Of a tensor's norm. What is wrong is of the size of 1. Rounding comes to 0.009 (DenseNet, through ReLUs and pools that
# decide otherwise), Muon's bf16 on CUDA to 0.03.
TOLERANCE = 0.05
BATCH, CLASSES = 8, 10
SMALLEST = 1e-3  # share of the largest tensor's norm below which a tensor is nothing but rounding

Compared = dict[str, Tensor]


@dataclass(frozen=True)
class Check:
    """How far apart the device and the CPU are.

    Attributes:
        name: of a network, a policy or an optimizer.
        difference: the largest of any tensor, as a share of its norm on the CPU.
        where: that tensor.
        problem: why the device could not compute it at all.
    """

    name: str
    difference: float = math.nan
    where: str = ""
    problem: str = ""

    @property
    def agrees(self) -> bool:
        return self.difference <= TOLERANCE

    def __str__(self) -> str:
        if self.problem:
            return f"{self.name}: FAILS: {self.problem}"
        if self.agrees:
            return f"{self.name}: agrees with the CPU to {self.difference:.0e}"
        return f"{self.name}: DIFFERS from the CPU by {self.difference:.1e} in {self.where}"


def check_device(device: torch.device) -> Iterator[Check]:
    """Compare a device with the CPU, in fp32 and with the same random numbers, one thing after the other."""
    torch.backends.cudnn.allow_tf32 = False  # which rounds to three digits
    for name in list_models():
        yield _check(name, functools.partial(network_step, get_recipe(MODELS[name].recipe)), device)
    small = get_recipe("alexnet").changed(image_size=32)  # what `make run` trains
    yield _check("alexnet at 32 px", functools.partial(network_step, small), device)
    for name in load_augmentations():
        yield _check(f"augment {name}", functools.partial(augmented, name), device)
    yield _check("mixing and shuffling", mixed, device)
    for name in get_args(Recipe.__annotations__["optimizer"]):
        yield _check(f"optimizer {name}", functools.partial(optimizer_steps, name), device)


def _check(name: str, compute: Callable[[torch.device], Compared], device: torch.device) -> Check:
    expected = compute(torch.device("cpu"))
    try:
        found = {key: tensor.cpu() for key, tensor in compute(device).items()}
    except Exception as error:  # whatever the device cannot do is what is to be found out
        return Check(name, problem=first_line(error))
    smallest = SMALLEST * max(tensor.norm() for tensor in expected.values())
    differences = {
        key: float((found[key] - tensor).norm() / tensor.norm().clamp(min=smallest)) for key, tensor in expected.items()
    }
    where = max(differences, key=lambda key: math.inf if math.isnan(differences[key]) else differences[key])
    return Check(name, differences[where], where)


def network_step(recipe: Recipe, device: torch.device) -> Compared:
    """Loss, gradients and running statistics of one step, without dropout, whose masks are the device's own."""
    recipe = recipe.changed(dropout=0.0, drop_path=0.0, precision="fp32")
    generator = torch.Generator().manual_seed(0)
    torch.manual_seed(0)
    options = network_options(recipe)
    model = build_model(recipe.model, num_classes=CLASSES, image_size=recipe.image_size, **options).to(device)
    images = torch.randn(BATCH, 3, recipe.image_size, recipe.image_size, generator=generator).to(device)
    labels = (torch.arange(BATCH) % CLASSES).to(device)
    loss = build_criterion(recipe)(model(images), labels)
    loss.backward()
    gradients = {
        f"the gradient of {name}": weight.grad for name, weight in model.named_parameters() if weight.grad is not None
    }
    statistics = {name: buffer for name, buffer in model.named_buffers() if buffer.is_floating_point()}
    return {"the loss": loss.detach(), **gradients, **statistics}


def augmented(name: str, device: torch.device) -> Compared:
    """Images varied by a policy, at their own size, smaller and larger; of automatic ones, by each operation."""
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(256, (2 * BATCH, 3, 64, 64), generator=generator, dtype=torch.uint8)
    automatic = [operation for operation in parse(name) if isinstance(operation, Automatic)]
    if automatic:
        strength = torch.rand(len(pixels), generator=generator)
        return {
            choice.operation.__name__: choice.operation(
                pixels.to(device).float(), choice.magnitude(strength.to(device), 64)
            )
            for choice in automatic[0].method().choices
        }
    results = {}
    for size in (64, 48, 96):
        policy = build_policy(name, size, (0.5, 0.4, 0.3), (0.3, 0.2, 0.1))
        drawn = policy.draw(len(pixels), generator)
        parts = (drawn.matrix, drawn.pixels, drawn.box)
        parameters = Parameters(*(part if part is None else part.to(device) for part in parts))
        results[f"images of {size} px"] = policy.apply(pixels.to(device), parameters)
    return results


def mixed(device: torch.device) -> Compared:
    """MixUp, CutMix, and whether a shuffled order has every number once."""
    images = torch.rand(BATCH, 3, 64, 64, generator=torch.Generator().manual_seed(0)).to(device)
    order = torch.randperm(1000, generator=torch.Generator(device).manual_seed(0), device=device)
    return {
        "MixUp": Mix("mixup", 0.3).apply(images.clone()),
        "CutMix": Mix("cutmix", 0.7, (8, 40, 16, 48)).apply(images.clone()),
        "the order": order.sort().values.float(),
    }


def optimizer_steps(name: str, device: torch.device) -> Compared:
    """How far two steps move the weights of a small network, with the same gradients everywhere."""
    recipe = get_recipe("speedrun_small").changed(optimizer=name, lr=1e-2)
    generator = torch.Generator().manual_seed(0)
    torch.manual_seed(0)
    model = build_model(recipe.model, num_classes=CLASSES, **network_options(recipe)).to(device)
    before = copy.deepcopy(model.state_dict())
    optimizer = build_optimizer(model, recipe)
    for _ in range(2):
        for weight in model.parameters():
            weight.grad = torch.randn(weight.shape, generator=generator).to(device)
        optimizer.step()
    return {name: weight.detach() - before[name] for name, weight in model.named_parameters()}
