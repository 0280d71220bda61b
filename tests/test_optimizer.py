import math

import pytest
import torch
from torch import nn

from tinybench.recipe import Recipe
from tinybench.training.ema import Ema
from tinybench.training.optimizer import build_optimizer, learning_rate


def test_cosine_with_warmup_against_hand_numbers():
    recipe = Recipe(epochs=12, warmup_epochs=2, lr=1.0, warmup_start_lr=0.1, min_lr=0.0)
    rates = [learning_rate(recipe, step, 10) for step in range(120)]
    assert rates[0] == pytest.approx(0.1)
    assert rates[10] == pytest.approx(0.55)
    assert rates[20] == 1.0
    assert rates[70] == pytest.approx(0.5)
    assert rates[119] == pytest.approx((1 + math.cos(math.pi * 99 / 100)) / 2)


def test_cosine_agrees_with_torch():
    recipe = Recipe(epochs=5, lr=0.3, min_lr=0.01)
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.3)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=20, eta_min=0.01)
    for step in range(20):
        assert learning_rate(recipe, step, 4) == pytest.approx(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()


def test_step_schedule_and_constant():
    step = Recipe(epochs=10, scheduler="step", step_epochs=3, step_factor=0.1, lr=1.0, min_lr=0.005)
    assert [learning_rate(step, 2 * epoch, 2) for epoch in range(10)] == pytest.approx(
        [1, 1, 1, 0.1, 0.1, 0.1, 0.01, 0.01, 0.01, 0.005]
    )
    assert learning_rate(Recipe(scheduler="none", lr=0.2), 12345, 10) == 0.2


def test_total_epochs_fixes_the_schedule():
    short, long = Recipe(epochs=3, total_epochs=10), Recipe(epochs=10, total_epochs=10)
    assert all(learning_rate(short, s, 7) == learning_rate(long, s, 7) for s in range(21))


@pytest.mark.parametrize("name", ["sgd", "adam", "adamw", "rmsprop"])
def test_norms_and_biases_are_not_decayed_unless_asked(name):
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Linear(4, 2))
    decays = {}
    for decay_all in (False, True):
        recipe = Recipe(optimizer=name, weight_decay=0.5, decay_norm_and_bias=decay_all)
        groups = build_optimizer(model, recipe).param_groups
        decays[decay_all] = {id(p): group["weight_decay"] for group in groups for p in group["params"]}
    for parameter in model.parameters():
        assert decays[False][id(parameter)] == (0.5 if parameter.ndim > 1 else 0.0)
        assert decays[True][id(parameter)] == 0.5


@pytest.mark.parametrize("name", ["sgd", "adam", "adamw", "rmsprop"])
def test_every_optimizer_minimises(name):
    parameter = nn.Parameter(torch.full((2, 2), 3.0))
    module = nn.Module()
    module.weight = parameter
    optimizer = build_optimizer(module, Recipe(optimizer=name, lr=0.05, weight_decay=0.0))
    for _ in range(100):
        optimizer.zero_grad()
        parameter.square().sum().backward()
        optimizer.step()
    assert parameter.square().sum() < 1


def test_nesterov_first_step_by_hand():
    module = nn.Module()
    module.weight = nn.Parameter(torch.ones(1, 1))
    optimizer = build_optimizer(module, Recipe(lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.0))
    (2 * module.weight).sum().backward()
    optimizer.step()
    assert module.weight.item() == pytest.approx(1 - 0.1 * (2 + 0.9 * 2))


def test_ema_by_hand_with_batchnorm_statistics():
    model = nn.BatchNorm1d(1)
    ema = Ema(model, decay=0.9)
    with torch.no_grad():
        model.weight.fill_(2.0)
        model.running_mean.fill_(10.0)
        model.num_batches_tracked.fill_(7)
    ema.update(model)
    ema.update(model)
    assert ema.model.weight.item() == pytest.approx(2 - 0.9**2)
    assert ema.model.running_mean.item() == pytest.approx(10 * (1 - 0.9**2))
    assert ema.model.num_batches_tracked.item() == 7
    assert not any(parameter.requires_grad for parameter in ema.model.parameters())
