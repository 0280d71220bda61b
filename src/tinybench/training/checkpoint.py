"""Checkpoints: what they hold, how they are written, and how a network or a run comes back from one.

A checkpoint is a dict of tensors and plain types. It is read with `weights_only=True`, so a stranger's file cannot run
code. `best_model.pth` holds a network and what is needed to use it, `last.pth` also what is needed to go on training.
"""

import dataclasses
import pickle
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn

from tinybench.data.imageset import ImageSet
from tinybench.errors import UsageError, UserError
from tinybench.models import build_model
from tinybench.recipe import Recipe
from tinybench.runtime.files import atomic_path

FORMAT = 1
# What every checkpoint holds, see network_checkpoint.
KEYS = {
    "model", "model_options", "num_classes", "image_size", "class_ids", "class_names", "mean", "std",
    "dataset", "fingerprint", "recipe", "epoch", "val_acc", "weights", "state_dict",
}  # fmt: skip

# Fields that may differ when a run is resumed: they do not touch the result of the epochs already run.
FREE_ON_RESUME = {"epochs", "save_every"}


def network_options(recipe: Recipe) -> dict[str, Any]:
    """What the recipe asks of the network's constructor.

    Raises:
        UsageError: one of its options is not the network's own, but has a field or follows from the data.
    """
    for name in ("dropout", "drop_path", "image_size"):
        if name in recipe.model_options:
            raise UsageError(f"model_options {name} is a field of its own: --{name} {recipe.model_options[name]}")
    if "num_classes" in recipe.model_options:
        raise UsageError("model_options num_classes: the data say how many classes there are; --classes takes fewer")
    options = {"dropout": recipe.dropout, **recipe.model_options}
    # Only some networks have residual branches to drop, and those refuse nothing; the others must not be asked for 0.
    return {**options, "drop_path": recipe.drop_path} if recipe.drop_path > 0 else options


def network_checkpoint(
    recipe: Recipe, images: ImageSet, *, epoch: int, val_acc: float, weights: str, model: nn.Module
) -> dict[str, Any]:
    """A network with all that testing and predicting need.

    Args:
        images: the training images; their classes and statistics are stored.
        epoch: how many epochs are done.
        val_acc: percent.
        weights: whether `model` is the trained network ("model") or its moving average ("ema").
    """
    return {
        "format": FORMAT,
        "model": recipe.model,
        "model_options": network_options(recipe),
        "num_classes": images.num_classes,
        "image_size": recipe.image_size,
        "class_ids": list(images.class_ids),
        "class_names": list(images.class_names),
        "mean": list(images.mean),
        "std": list(images.std),
        "dataset": images.name,
        "fingerprint": images.fingerprint,
        "recipe": recipe.as_dict(),
        "epoch": epoch,
        "val_acc": val_acc,
        "weights": weights,
        "state_dict": model.state_dict(),
    }


def write_checkpoint(path: Path, checkpoint: dict[str, Any]) -> None:
    """Write atomically: whatever happens, `path` holds either the former checkpoint or this one.

    Raises:
        UserError: the disk is full or not writable.
    """
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        try:
            torch.save(checkpoint, file)
        except RuntimeError as error:  # torch's zip writer hides the operating system's error behind its own
            raise error.__context__ if isinstance(error.__context__, OSError) else error from None


def halved(checkpoint: dict[str, Any]) -> dict[str, Any]:
    """The network of a checkpoint, its matrices and kernels in float16; `load_network` makes float32 of them again.

    Norms stay as they are: they are few, and the variances in them may be too large for float16.

    Raises:
        UserError: a weight is too large for float16.
    """
    weights = {name: w.half() if w.ndim > 1 else w for name, w in checkpoint["state_dict"].items()}
    for name, weight in weights.items():
        if not weight.isfinite().all():
            raise UserError(f"{name} holds weights that are too large for half precision, or not finite")
    return {**{key: checkpoint[key] for key in ("format", *sorted(KEYS))}, "state_dict": weights}


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint onto the CPU.

    Raises:
        UserError: the file is missing, damaged, or no checkpoint of tinybench's.
    """
    checkpoint = read_tensors(path)
    if not isinstance(checkpoint, dict) or checkpoint.get("format") != FORMAT or KEYS - checkpoint.keys():
        raise UserError(f"{path} is no checkpoint that this version of tinybench wrote")
    return checkpoint


def read_tensors(path: Path) -> Any:
    """Read what torch.save wrote of tensors and plain types onto the CPU.

    Raises:
        UserError: the file is missing or damaged, or holds more than that.
    """
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from error
    except pickle.UnpicklingError as error:
        raise UserError(f"{path} is damaged, or holds more than tensors and plain types; it is not read") from error
    except Exception as error:  # torch raises RuntimeError, EOFError, KeyError and others for damaged files
        raise UserError(f"{path} is damaged or no checkpoint") from error


def load_network(checkpoint: dict[str, Any], weights: Literal["model", "ema"] = "model") -> nn.Module:
    """The network of a checkpoint, on the CPU and in evaluation mode.

    Raises:
        UserError: the checkpoint has no such weights, or they do not fit the network.
    """
    key = "state_dict" if weights == "model" else "ema_state_dict"
    if key not in checkpoint:
        raise UserError("the checkpoint holds no moving average of the weights; it was trained with ema_decay 0")
    model = build_model(
        checkpoint["model"],
        num_classes=checkpoint["num_classes"],
        image_size=checkpoint["image_size"],
        **checkpoint["model_options"],
    )
    load_weights(model, checkpoint[key])
    return model.eval()


def load_weights(model: nn.Module, state_dict: dict[str, torch.Tensor]) -> None:
    """Copy all weights into `model`.

    Raises:
        UserError: a name or a shape does not fit; the first one is named.
    """
    try:
        model.load_state_dict(state_dict)
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[1:2] or [str(error)]
        raise UserError(f"the weights do not fit the network: {reason[0].strip()}") from error


def difference(former: Recipe, recipe: Recipe) -> str:
    """The first field that would give another result, in words; empty where there is none."""
    recipe = recipe.with_numerics_of(former)
    for name in (spec.name for spec in dataclasses.fields(Recipe)):
        before, now = getattr(former, name), getattr(recipe, name)
        if name not in FREE_ON_RESUME and before != now:
            return f"{name} {before}, not {now}"
    return ""


def check_resume(saved: dict[str, Any], recipe: Recipe) -> Recipe:
    """Refuse to go on with anything that would change the result of the epochs already run.

    Returns:
        The recipe to go on with, with the precision that auto stood for.

    Raises:
        UsageError: naming the first field that differs.
    """
    former = Recipe.from_dict(saved["recipe"])
    if differs := difference(former, recipe):
        raise UsageError(f"the checkpoint was trained with {differs}; it cannot be resumed so")
    # Without total_epochs, all that follows the length of the run is as long as epochs says.
    follows = recipe.scheduler in ("cosine", "onecycle") or recipe.mix_off_epochs or recipe.image_size_schedule
    if follows and former.schedule_epochs != recipe.schedule_epochs:
        raise UsageError(
            f"epochs {recipe.epochs} instead of {former.epochs} would change the epochs already run; "
            "only a run that was started with total_epochs can be prolonged"
        )
    done = len(saved["training"]["history"].get("train_loss", ())) if "training" in saved else 0
    if done > recipe.epochs:
        raise UsageError(f"the checkpoint has {done} epochs behind it, more than --epochs {recipe.epochs}")
    return recipe.with_numerics_of(former)


def check_same_images(saved: dict[str, Any], images: ImageSet) -> None:
    """Refuse to go on with other images than before.

    Raises:
        UserError: the data have changed.
    """
    if saved["fingerprint"] != images.fingerprint:
        raise UserError(f"the images of {images.name} are not those that the checkpoint was trained on")
