"""Which weights move: freezing, a slower body, and BatchNorms that stand still."""

import dataclasses

import pytest
import torch
from torch import nn

from tinybench.data.batches import TrainBatches
from tinybench.errors import UsageError
from tinybench.models import build_model
from tinybench.recipe import Recipe
from tinybench.training.freezing import freeze, head_of, parts_of, set_training_mode
from tinybench.training.optimizer import build_optimizer
from tinybench.training.setup import build_state, load_images
from tinybench.training.trainer import train_step


def moved_by_a_step(demo_data, monkeypatch, **changes):
    """Names of the tensors, statistics too, that one step of ResNet-18 changes."""
    monkeypatch.setattr("tinybench.training.setup.load_pretrained", lambda *arguments: "as drawn")
    settings = {"model": "resnet", "dataset": "demo", "image_size": 16, "batch_size": 4, "images_per_class": 4}
    settings |= {"precision": "fp32"}
    recipe = Recipe(**{"lr": 1.0, "weight_decay": 0.1, "pretrained": "some.pth", "epochs": 1} | settings | changes)
    images, val_images = load_images(recipe, demo_data)
    state = build_state(recipe, images, val_images, torch.device("cpu"))
    before = {name: tensor.clone() for name, tensor in state.model.state_dict().items()}
    set_training_mode(state.model)
    train_step(recipe, state, TrainBatches(images, recipe).batch(0, 0), recipe.lr, dropout_seed=0)
    after = state.model.state_dict()
    return {name for name, tensor in before.items() if not torch.equal(tensor, after[name])}, set(before)


def test_all_but_the_head_stay_with_their_statistics(demo_data, monkeypatch):
    moved, _ = moved_by_a_step(demo_data, monkeypatch, freeze="all_but_head", ema_decay=0.9)
    assert moved == {"head.weight", "head.bias"}


def test_a_stage_and_all_before_it_stay(demo_data, monkeypatch):
    moved, names = moved_by_a_step(demo_data, monkeypatch, freeze="stage2")
    assert moved <= {name for name in names if name.startswith(("stages.2.", "stages.3.", "head."))}
    assert {"stages.2.0.conv1.weight", "stages.2.0.norm1.running_mean", "stages.3.1.norm2.weight"} <= moved


def test_without_freezing_all_move(demo_data, monkeypatch):
    moved, _ = moved_by_a_step(demo_data, monkeypatch)
    assert {"stem.0.weight", "stem.1.running_mean", "head.bias"} <= moved


def test_parts_are_counted_from_one():
    resnet = build_model("resnet", num_classes=3)
    assert [*parts_of(resnet)] == ["stem", "stage1", "stage2", "stage3", "stage4", "head"]
    assert parts_of(resnet)["stage2"] is resnet.stages[1]
    vit = build_model("vit", num_classes=3, dim=8, depth=2, num_heads=2)
    assert [*parts_of(vit)] == ["patch_embedding", "block1", "block2", "norm", "head"]


def test_tokens_of_a_vit_come_before_all_parts():
    vit = build_model("vit", num_classes=3, dim=8, depth=2, num_heads=2)
    freeze(vit, "patch_embedding")
    frozen = {name for name, parameter in vit.named_parameters() if not parameter.requires_grad}
    assert frozen == {"class_token", "position_embedding", "patch_embedding.weight", "patch_embedding.bias"}


@pytest.mark.parametrize("name", ["stage5", "head", "stages", "layer1", ""])
def test_what_fits_no_part_is_refused_with_the_list(name):
    with pytest.raises(UsageError, match=r"known: all_but_head, stem, stage1, stage2, stage3, stage4$"):
        freeze(build_model("resnet", num_classes=3), name)


def test_a_network_that_is_all_head_is_refused():
    svm = build_model("svm", num_classes=3, image_size=8)
    with pytest.raises(UsageError, match="freeze all_but_head freezes nothing"):
        freeze(svm, "all_but_head")
    with pytest.raises(UsageError, match=r"body_lr_factor 0\.1"):
        build_optimizer(svm, Recipe(model="svm", body_lr_factor=0.1))


def test_the_head_is_the_last_linear_layer():
    model = build_model("alexnet_stock", num_classes=3)
    assert head_of(model) is model.head[6]
    with pytest.raises(UsageError, match="no linear layer"):
        head_of(nn.Sequential(nn.Conv2d(3, 4, 1)))


def test_the_body_goes_slower_by_the_factor():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4), nn.Linear(4, 2))
    before = [parameter.detach().clone() for parameter in model.parameters()]
    recipe = Recipe(lr=0.5, momentum=0.0, weight_decay=0.0, body_lr_factor=0.1)
    optimizer = build_optimizer(model, recipe)
    model(torch.randn(5, 3)).square().sum().backward()
    for group in optimizer.param_groups:
        group["lr"] = 0.5 * group["lr_factor"]  # as train_step does
    optimizer.step()
    for parameter, old, lr in zip(model.parameters(), before, [0.05] * 4 + [0.5] * 2, strict=True):
        assert parameter.grad.abs().sum() > 0
        torch.testing.assert_close(parameter.detach(), old - lr * parameter.grad)


def test_a_step_of_the_trainer_uses_the_factor(demo_data, monkeypatch):
    recipe = Recipe(
        model="vit",
        model_options={"dim": 8, "depth": 1, "num_heads": 2},
        dataset="demo",
        image_size=16,
        batch_size=4,
        images_per_class=4,
        momentum=0.0,
        weight_decay=0.0,
        precision="fp32",
    )
    images, val_images = load_images(recipe, demo_data)
    batch = TrainBatches(images, recipe).batch(0, 0)
    moves = []
    for factor in (1.0, 0.25):
        changed = dataclasses.replace(recipe, body_lr_factor=factor)
        model = (state := build_state(changed, images, val_images, torch.device("cpu"))).model
        before = [model.patch_embedding.weight.detach().clone(), model.head.weight.detach().clone()]
        train_step(changed, state, batch, 0.1, dropout_seed=0)
        moves.append([model.patch_embedding.weight.detach() - before[0], model.head.weight.detach() - before[1]])
    torch.testing.assert_close(moves[1][0], 0.25 * moves[0][0], rtol=1e-3, atol=1e-7)
    torch.testing.assert_close(moves[1][1], moves[0][1])
