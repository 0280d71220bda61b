import dataclasses
import inspect
import json
import re
from pathlib import Path

import pytest

from tinybench.configuration import get_recipe, load_recipes
from tinybench.errors import UsageError
from tinybench.inference.checkpoint import read_checkpoint
from tinybench.recipe import GROUPS, Recipe
from tinybench.sweep.plan import read_plan

ROOT = Path(__file__).resolve().parents[1]


def test_every_recipe_of_config_survives_the_way_to_json_and_back():
    for name, recipe in load_recipes().items():
        assert Recipe.from_dict(json.loads(json.dumps(recipe.as_dict()))) == recipe, name


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"epochs": 0}, ["epochs"]),
        ({"lr": -1.0}, ["lr"]),
        ({"lr": float("nan")}, ["lr"]),
        ({"dropout": 1.0}, ["dropout"]),
        ({"val_fraction": 1.0}, ["val_fraction"]),
        ({"optimizer": "lion"}, ["optimizer", "adamw"]),
        ({"mix_probability": 0.3}, ["mix_probability 0.3", "mixup_cutmix_alpha"]),
        ({"cutmix_share": 1.0}, ["cutmix_share 1.0", "mixup_cutmix_alpha"]),
        ({"mix_probability": 0.0, "mixup_cutmix_alpha": 1.0}, ["mix_probability"]),
        ({"batch_size": 10, "accumulate_steps": 3}, ["accumulate_steps 3", "batch_size 10"]),
        ({"optimizer": "adam", "nesterov": True}, ["nesterov", "sgd or muon"]),
        ({"momentum": 0.0, "nesterov": True}, ["nesterov", "momentum"]),
        ({"loss": "hinge"}, ["label_smoothing 0.1", "loss", "hinge"]),
        ({"margin": 3.0}, ["margin 3.0", "loss", "cross_entropy"]),
        ({"freeze": "stage2"}, ["freeze stage2", "pretrained"]),
        ({"freeze": "all_but_head", "pretrained": "imagenet", "body_lr_factor": 0.1}, ["freeze", "body_lr_factor 0.1"]),
        ({"body_lr_factor": 0.0}, ["body_lr_factor"]),
        ({"epochs": 10, "total_epochs": 5}, ["total_epochs 5", "epochs 10"]),
        ({"epochs": 5, "warmup_epochs": 5}, ["warmup_epochs 5", "5 epochs"]),
        ({"repeats": 3}, ["repeats 3", "batch_size 128"]),
        ({"mix_off_epochs": 5}, ["mix_off_epochs 5", "mixup_cutmix_alpha"]),
        ({"mix_off_epochs": 50, "mixup_cutmix_alpha": 1.0}, ["mix_off_epochs 50", "50 epochs"]),
        ({"image_size_schedule": "32*100:64"}, ["image_size_schedule 32*100:64", "none of 50 epochs"]),
        ({"image_size_schedule": "32*0:64*0"}, ["image_size_schedule 32*0:64*0", "none of 50 epochs"]),
        ({"image_size_schedule": "32*:64"}, ["image_size_schedule", "32*6:48*2:64*2"]),
        ({"ema_epochs": 3}, ["ema_epochs 3", "ema_decay"]),
        ({"ema_epochs": 51, "ema_decay": 0.9}, ["ema_epochs 51", "50 epochs"]),
        ({"image_size_schedule": "32,64"}, ["image_size_schedule", "32:48:64"]),
        ({"image_size_schedule": "32:64", "epochs": 1}, ["image_size_schedule 32:64", "epochs"]),
        ({"scheduler": "onecycle"}, ["onecycle", "warmup_epochs"]),
        ({"optimizer": "rmsprop", "nesterov": True}, ["nesterov", "sgd or muon"]),
        ({"distill_temperature": 4.0}, ["distill_temperature 4.0", "teacher"]),
        ({"classes": 1}, ["classes"]),
        ({"optimizer": "adamw", "momentum": 0.8}, ["momentum 0.8", "adamw has betas"]),
        ({"betas": (0.9, 0.95)}, ["betas (0.9, 0.95)", "sgd has a momentum"]),
        ({"optimizer": "adam", "betas": (0.9, 1.0)}, ["betas[1] must be less than 1"]),
        ({"optimizer": "adam", "betas": (0.9,)}, ["betas"]),
        ({"scheduler": "step", "step_factor": 2.0}, ["step_factor"]),
        ({"lr": 1e-7}, ["min_lr", "lr"]),
        ({"channels_last": True}, ["channels_last", "precision"]),
        ({"warmup_epochs": 2, "warmup_start_lr": 1.0}, ["warmup_start_lr", "lr"]),
    ],
)
def test_wrong_values_are_refused_by_name(changes, named):
    with pytest.raises(UsageError) as caught:
        Recipe(**changes)
    assert all(word in str(caught.value) for word in named)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("epochs", range(3, 40))
def test_spans_of_equal_weight_are_equal(epochs):
    recipe = Recipe(epochs=epochs, image_size_schedule="32:48:64")
    sizes = [recipe.image_size_in(epoch) for epoch in range(epochs)]
    assert sizes == [(32, 48, 64)[epoch * 3 // epochs] for epoch in range(epochs)]
    assert [recipe.val_image_size_in(epoch) for epoch in range(epochs)] == sizes


def test_spans_have_weights_and_the_last_may_end_below_the_size_of_the_test():
    recipe = Recipe(epochs=10, image_size_schedule="32*6:48*2:56*2")
    assert [recipe.image_size_in(epoch) for epoch in range(10)] == [32] * 6 + [48] * 2 + [56] * 2
    assert [recipe.val_image_size_in(epoch) for epoch in range(10)] == [32] * 6 + [48] * 2 + [64] * 2
    assert recipe.image_sizes == (32, 48, 56)
    shares = Recipe(epochs=10, image_size_schedule="32*0.6:48*0.2:56*0.2")
    assert shares.image_spans == recipe.image_spans
    assert recipe.changed(epochs=20).image_size_schedule == recipe.image_size_schedule
    assert recipe.changed(epochs=2).image_sizes == (48, 56)
    assert Recipe(epochs=8, total_epochs=10, image_size_schedule="32*6:48*2:56*2").val_image_size_in(7) == 48


def test_a_saved_recipe_may_hold_what_had_no_effect():
    values = Recipe().as_dict() | {"step_epochs": 7, "mix_off_epochs": 3, "optimizer": "adam", "nesterov": True}
    recipe = Recipe.from_dict(values)
    assert (recipe.step_epochs, recipe.mix_off_epochs, recipe.nesterov) == (30, 0, False)
    with pytest.raises(UsageError, match="epochs must be a valid integer"):
        Recipe.from_dict(values | {"epochs": "7"})


def test_recipes_of_earlier_versions_are_read():
    histories = (ROOT / "results").rglob("history.json")
    configs = [json.loads(path.read_text())["config"] for path in histories]
    # Of runs that have left results/, some in forms that none there has.
    configs += json.loads((ROOT / "tests" / "former_recipes.json").read_text())
    configs.append(read_checkpoint(ROOT / "results/pretrained/speednet/best_model.pth")["recipe"])
    assert len(configs) > 30
    for config in configs:
        written = json.loads(json.dumps(Recipe.from_dict(config).as_dict()))  # also of runs of this version, in lists
        same = config.keys() & written.keys()
        assert {name: written[name] for name in same} == {name: config[name] for name in same}
    for plan in (ROOT / "results").glob("*/plan.toml"):
        assert {run.save_every for run in read_plan(plan).runs()} == {0}


def test_momentum_was_the_first_beta_in_earlier_versions():
    former = {"momentum": 0.8, "save_every": 5, "decay_norm_and_bias": False}
    assert Recipe.from_dict(former | {"optimizer": "adamw"}) == Recipe(optimizer="adamw", betas=(0.8, 0.999))
    assert Recipe.from_dict(former | {"optimizer": "sgd"}) == Recipe(momentum=0.8)
    both = Recipe(optimizer="muon", momentum=0.8, betas=(0.8, 0.999))
    assert Recipe.from_dict(former | {"optimizer": "muon"}) == both
    with pytest.raises(UsageError, match="decay_norm_and_bias"):
        Recipe.from_dict(former | {"decay_norm_and_bias": True})


def test_the_groups_are_those_of_the_headings():
    groups, names = {}, {spec.name for spec in dataclasses.fields(Recipe)}
    for heading, field in re.findall(r"^    (?:# ---- (.+)|(\w+): .+)$", inspect.getsource(Recipe), re.MULTILINE):
        if heading:
            title, groups[heading] = heading, ()
        elif field in names:
            groups[title] += (field,)
    assert groups == GROUPS


def test_a_misspelt_field_fails_when_config_is_loaded(tmp_path):
    config = tmp_path / "config.py"
    config.write_text("from tinybench.recipe import Recipe\nRECIPES = {'a': Recipe(epoch=3)}\n")
    with pytest.raises(UsageError, match="epoch"):
        load_recipes(config)


def test_unknown_recipe_lists_the_known():
    with pytest.raises(UsageError, match=r"known: alexnet, .*densenet, .*resnet, .*vit"):
        get_recipe("lenet")


def test_a_recipe_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Recipe().lr = 1.0  # type: ignore[misc]
