"""Resuming: which recipe a run may go on with."""

import dataclasses
from pathlib import Path
from typing import Any

from tinybench.configuration import resolved_augmentation
from tinybench.errors import UsageError
from tinybench.recipe import DATASETS, IMAGENET, Recipe


def anchored(recipe: Recipe, *, if_there: bool = True) -> Recipe:
    """With absolute paths and the expression of the augmentation, so that the run can be resumed from any folder.

    Args:
        if_there: leave a path as it is where there is nothing, as it may be a name mistyped.
    """
    paths = {name: getattr(recipe, name) for name in ("dataset", "pretrained", "teacher")}
    changes: dict[str, Any] = {
        name: str(Path(path).resolve())
        for name, path in paths.items()
        if path not in ("", IMAGENET, *DATASETS) and (Path(path).exists() or not if_there)
    }
    return dataclasses.replace(recipe, **changes, augment=resolved_augmentation(recipe.augment))


def difference(former: Recipe, recipe: Recipe) -> str:
    """The first field that would give another result, in words; empty where there is none."""
    recipe = recipe.with_numerics_of(former)
    former, recipe = (anchored(one, if_there=False) for one in (former, recipe))
    # More epochs, on the same schedule, leave those already run as they are.
    for name in (spec.name for spec in dataclasses.fields(Recipe) if spec.name != "epochs"):
        before, now = getattr(former, name), getattr(recipe, name)
        if before != now:
            return f"{name} {before}, not {now}"
    return ""


def check_resume(saved: dict[str, Any], recipe: Recipe) -> Recipe:
    """Refuse to go on with anything that would change the result of the epochs already run.

    Returns:
        The recipe to go on with, with the precision that auto stood for.

    Raises:
        UsageError: naming the first field that differs.
    """
    # Where the images are does not matter; check_data sees whether they are the same.
    former = dataclasses.replace(Recipe.from_dict(saved["recipe"]), dataset=recipe.dataset)
    if differs := difference(former, recipe):
        raise UsageError(f"the checkpoint was trained with {differs}; it cannot be resumed so")
    # Without total_epochs, all that follows the length of the run is as long as epochs says.
    follows = (
        recipe.scheduler in ("cosine", "onecycle", "linear") or recipe.mix_off_epochs or recipe.image_size_schedule
    )
    if follows and former.schedule_epochs != recipe.schedule_epochs:
        raise UsageError(
            f"epochs {recipe.epochs} instead of {former.epochs} would change the epochs already run; "
            "only a run that was started with total_epochs can be prolonged"
        )
    done = len(saved["training"]["history"].get("train_loss", ())) if "training" in saved else 0
    if done > recipe.epochs:
        raise UsageError(f"the checkpoint has {done} epochs behind it, more than --epochs {recipe.epochs}")
    return recipe.with_numerics_of(former)
