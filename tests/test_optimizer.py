import copy
import math

import pytest
import torch
from torch import nn

from tinybench.errors import UsageError
from tinybench.models import build_model
from tinybench.recipe import Recipe
from tinybench.training.ema import Ema
from tinybench.training.muon import orthogonalize
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


def test_linear_against_hand_numbers():
    recipe = Recipe(epochs=12, scheduler="linear", warmup_epochs=2, lr=1.0, warmup_start_lr=0.0, min_lr=0.2)
    rates = [learning_rate(recipe, step, 10) for step in (0, 10, 20, 45, 70, 120)]
    assert rates == pytest.approx([0.0, 0.5, 1.0, 0.8, 0.6, 0.2])


def test_step_schedule_and_constant():
    step = Recipe(epochs=10, scheduler="step", step_epochs=3, step_factor=0.1, lr=1.0, min_lr=0.005)
    assert [learning_rate(step, 2 * epoch, 2) for epoch in range(10)] == pytest.approx(
        [1, 1, 1, 0.1, 0.1, 0.1, 0.01, 0.01, 0.01, 0.005]
    )
    assert learning_rate(Recipe(scheduler="none", lr=0.2), 12345, 10) == 0.2


def test_total_epochs_fixes_the_schedule():
    short, long = Recipe(epochs=3, total_epochs=10), Recipe(epochs=10, total_epochs=10)
    assert all(learning_rate(short, s, 7) == learning_rate(long, s, 7) for s in range(21))


@pytest.mark.parametrize("name", ["sgd", "adam", "adamw", "rmsprop", "muon"])
def test_norms_and_biases_are_not_decayed(name):
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, 4, 3), nn.Linear(4, 2))
    groups = build_optimizer(model, Recipe(optimizer=name, weight_decay=0.5)).param_groups
    decays = {id(p): group["weight_decay"] for group in groups for p in group["params"]}
    for parameter in model.parameters():
        assert decays[id(parameter)] == (0.5 if parameter.ndim > 1 else 0.0)


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


@pytest.mark.parametrize(("name", "kind"), [("adam", torch.optim.Adam), ("adamw", torch.optim.AdamW)])
def test_betas_are_those_of_torch(name, kind):
    twins = [nn.Linear(3, 2, bias=False) for _ in range(2)]
    twins[1].load_state_dict(twins[0].state_dict())
    ours = build_optimizer(twins[0], Recipe(optimizer=name, lr=0.1, weight_decay=0.1, betas=(0.8, 0.95)))
    theirs = kind(twins[1].parameters(), lr=0.1, weight_decay=0.1, betas=(0.8, 0.95), fused=True)
    for step in range(3):
        for model, optimizer in zip(twins, (ours, theirs), strict=True):
            model.weight.grad = torch.full_like(model.weight, 1.0 + step)
            optimizer.step()
    assert torch.equal(twins[0].weight, twins[1].weight)


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
    for step in (1000, 1001):  # long past the warm-up
        ema.update(step)
    assert ema.model.weight.item() == pytest.approx(2 - 0.9**2)
    assert ema.model.running_mean.item() == pytest.approx(10 * (1 - 0.9**2))
    assert ema.model.num_batches_tracked.item() == 7
    assert not any(parameter.requires_grad for parameter in ema.model.parameters())


def test_ema_is_the_network_itself_until_it_begins():
    model = nn.Linear(1, 1, bias=False)
    ema = Ema(model, decay=0.9)
    for step, weight in ((-10, 3.0), (-1, 5.0), (0, 15.0)):
        nn.init.constant_(model.weight, weight)
        ema.update(step)
        assert ema.model.weight.item() == (weight if step < 0 else pytest.approx(5 + 0.9 * 10))


def test_ema_starts_with_a_short_memory():
    model = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(model.weight)
    ema = Ema(model, decay=0.9)
    nn.init.ones_(model.weight)
    averages = []
    for step in range(2):
        ema.update(step)
        averages.append(ema.model.weight.item())
    # Decays of 1/10 and 2/11, where 0.9 would leave averages of 0.1 and 0.19.
    assert averages == pytest.approx([1 - 1 / 10, 1 - 1 / 10 * 2 / 11])


def test_onecycle_is_that_of_torch():
    steps_per_epoch, recipe = 7, Recipe(
        scheduler="onecycle", epochs=10, warmup_epochs=3, lr=0.5, warmup_start_lr=0.02, min_lr=2e-4
    )  # fmt: skip
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    # Torch reaches the ends of both halves one step before they are over.
    total = 10 * steps_per_epoch + 1
    theirs = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, 0.5, total_steps=total, pct_start=(3 * steps_per_epoch + 1) / total, div_factor=25,
        final_div_factor=100, cycle_momentum=False,
    )  # fmt: skip
    for step in range(10 * steps_per_epoch):
        assert learning_rate(recipe, step, steps_per_epoch) == pytest.approx(theirs.get_last_lr()[0])
        optimizer.step()
        theirs.step()
    with pytest.raises(UsageError, match="onecycle rises in the warmup_epochs"):
        Recipe(scheduler="onecycle")


@pytest.mark.parametrize("shape", [(8, 8), (6, 20), (20, 6)])
def test_muon_makes_matrices_orthogonal(shape):
    torch.manual_seed(0)
    matrix = torch.randn(shape)
    values = torch.linalg.svdvals(orthogonalize([matrix])[0])
    assert values.min() > 0.6
    assert values.max() < 1.3
    left, _, right = torch.linalg.svd(matrix, full_matrices=False)
    nearest = left @ right
    cosine = (orthogonalize([matrix])[0] * nearest).sum() / orthogonalize([matrix])[0].norm() / nearest.norm()
    assert cosine > 0.97


@pytest.mark.parametrize("nesterov", [False, True])
def test_muon_steps_are_those_of_torch(nesterov):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, 6, 3), nn.Flatten(), nn.Linear(6, 2))
    twin = copy.deepcopy(model)
    recipe = Recipe(optimizer="muon", lr=0.02, weight_decay=0.1, momentum=0.9, nesterov=nesterov, betas=(0.8, 0.99))
    ours = build_optimizer(model, recipe)
    hidden = twin[2].weight
    matrix = nn.Parameter(hidden.detach().flatten(1).clone())
    theirs = [
        torch.optim.Muon(
            [matrix], lr=0.02, weight_decay=0.1, momentum=0.9, nesterov=nesterov, adjust_lr_fn="match_rms_adamw"
        ),
        torch.optim.AdamW([twin[0].weight, twin[4].weight], lr=0.02, weight_decay=0.1, betas=(0.8, 0.99)),
        torch.optim.AdamW(
            [p for p in twin.parameters() if p.ndim == 1], lr=0.02, weight_decay=0.0, betas=(0.8, 0.99)
        ),
    ]  # fmt: skip
    for _ in range(3):
        for mine, other in zip(model.parameters(), twin.parameters(), strict=True):
            mine.grad = torch.randn_like(mine)
            other.grad = mine.grad.clone()
        matrix.grad = hidden.grad.flatten(1)
        ours.step()
        for optimizer in theirs:
            optimizer.step()
    torch.testing.assert_close(model[2].weight.flatten(1), matrix, atol=2e-3, rtol=0)  # theirs computes in bf16
    for name, other in twin.named_parameters():
        if other is not hidden:
            torch.testing.assert_close(dict(model.named_parameters())[name], other)


def test_muon_resumes_and_needs_hidden_layers():
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 2))
    recipe = Recipe(optimizer="muon", lr=0.01)
    first, second = build_optimizer(model, recipe), build_optimizer(model, recipe)
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    first.step()
    second.load_state_dict(first.state_dict())
    assert second.state[model[1].weight].keys() == {"average"}
    assert second.state[model[0].weight]["steps"] == 1
    with pytest.raises(UsageError, match=r"muon has nothing to work on: model svm"):
        build_optimizer(nn.Sequential(nn.Linear(4, 2)), Recipe(optimizer="muon", model="svm"))


def test_sgd_survives_a_first_step_that_is_skipped(monkeypatch):
    """By GradScaler, as of fp16 gradients that overflow; torch's fused SGD would go on with uncleared memory."""
    monkeypatch.setattr(torch, "empty_like", lambda tensor, **_: torch.full_like(tensor, torch.nan))
    model = nn.Linear(2, 1, bias=False)
    nn.init.ones_(model.weight)
    scaler = torch.amp.GradScaler("cpu", init_scale=4.0)
    recipe = Recipe(lr=0.1, momentum=0.9, weight_decay=0.0)
    first, optimizer = build_optimizer(model, recipe), build_optimizer(model, recipe)
    optimizer.load_state_dict({**first.state_dict(), "state": {}})  # as an earlier version saved it
    for gradient in (torch.inf, 4.0, 2.0):
        model.weight.grad = torch.full_like(model.weight, gradient)
        scaler.scale(torch.zeros(()))
        scaler.step(optimizer)
        scaler.update()
    # The first overflowed and to_half the scale: then gradients of 2 and 1.
    assert model.weight[0].tolist() == pytest.approx([1 - 0.1 * 2 - 0.1 * (0.9 * 2 + 1)] * 2)


def test_sgd_takes_the_steps_of_torch_bit_by_bit():
    torch.manual_seed(0)
    model = nn.Linear(7, 5)
    twin = copy.deepcopy(model)
    ours = build_optimizer(model, Recipe(lr=0.1, nesterov=True, weight_decay=0.1))
    groups = [{"params": [twin.weight], "weight_decay": 0.1}, {"params": [twin.bias]}]
    theirs = torch.optim.SGD(groups, lr=0.1, momentum=0.9, nesterov=True, fused=True)
    for _ in range(3):
        for mine, other in zip(model.parameters(), twin.parameters(), strict=True):
            mine.grad = torch.randn_like(mine)
            other.grad = mine.grad.clone()
        ours.step()
        theirs.step()
    assert torch.equal(model.weight, twin.weight)
    assert torch.equal(model.bias, twin.bias)


def test_muon_goes_on_from_steps_counted_by_an_earlier_version():
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 2))
    first, second = (build_optimizer(model, Recipe(optimizer="muon", lr=0.01)) for _ in range(2))
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    first.step()
    before, former = copy.deepcopy(model.state_dict()), copy.deepcopy(first.state_dict())
    for state in former["state"].values():
        if "steps" in state:
            state["steps"] = int(state["steps"])
    first.step()
    expected = copy.deepcopy(model.state_dict())
    model.load_state_dict(before)
    second.load_state_dict(former)
    second.step()
    for name, weight in model.state_dict().items():
        assert torch.equal(weight, expected[name]), name


def test_muon_makes_many_shapes_orthogonal_at_once_whatever_their_layout():
    torch.manual_seed(0)
    matrices = [torch.randn(shape) for shape in ((8, 20), (20, 8), (8, 20), (12, 8), (5, 5))]
    for matrix, one in zip(matrices, orthogonalize(matrices), strict=True):
        torch.testing.assert_close(one, orthogonalize([matrix])[0], rtol=0, atol=0.02)
    weights = []
    for layout in (torch.contiguous_format, torch.channels_last):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 64, 3), nn.Conv2d(64, 64, 1), nn.Linear(64, 2))
        model = model.to(memory_format=layout)
        optimizer = build_optimizer(model, Recipe(optimizer="muon", lr=0.1))
        for parameter in model.parameters():
            parameter.grad = torch.empty_like(parameter).copy_(torch.randn(parameter.shape))
        optimizer.step()
        weights.append([model[1].weight, model[2].weight])
    torch.testing.assert_close(*weights, rtol=0, atol=2e-3)


def test_muon_leaves_matrices_without_directions_to_adamw_also_in_runs_of_earlier_versions():
    model = nn.Sequential(
        nn.Conv2d(3, 64, 3), nn.Conv2d(64, 64, 3, groups=64), nn.Conv2d(64, 16, 1), nn.Conv2d(16, 64, 3),
        nn.Conv2d(64, 32, 1), nn.Linear(32, 8), nn.Linear(8, 4),
    )  # fmt: skip
    optimizer = build_optimizer(model, Recipe(optimizer="muon", lr=0.01))
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    assert [index for index, layer in enumerate(model) if "square" not in optimizer.state[layer.weight]] == [3, 4, 5]
    former = copy.deepcopy(optimizer.state_dict())
    narrow = former["state"][former["param_groups"][0]["params"][0]]  # of model[2]
    del narrow["square"], narrow["steps"]
    optimizer.load_state_dict(former)
    assert not optimizer.state[model[2].weight]
    optimizer.step()
    assert optimizer.state[model[2].weight]["steps"] == 1
    assert optimizer.state[model[0].weight]["steps"] == 2


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_relative_positions_are_biases_without_decay_and_without_muon(optimizer):
    model = build_model("swin", num_classes=3)
    tables = {id(p) for name, p in model.named_parameters() if name.endswith("relative_position_bias")}
    assert len(tables) == 12
    groups = build_optimizer(model, Recipe(optimizer=optimizer, weight_decay=0.05)).param_groups
    found = [group for group in groups if tables & {id(p) for p in group["params"]}]
    assert [(group["weight_decay"], group.get("orthogonalize", False)) for group in found] == [(0.0, False)]
    assert sum(len(group["params"]) for group in groups) == len(list(model.parameters()))
