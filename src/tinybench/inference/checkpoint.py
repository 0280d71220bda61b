"""Checkpoints: what they hold, how they are written, and how a network comes back from one.

A checkpoint is a dict of tensors and plain types. It is read with `weights_only=True`, so a stranger's file cannot run
code. `best_model.pth` holds a network and what is needed to use it, `last.pth` also what is needed to go on training.
A .safetensors file with a .json of the same name beside it is one too.
"""

import hashlib
import json
import pickle
import re
import shlex
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import with_config
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves
from typing_extensions import TypedDict

from tinybench.data.imageset import ImageSet
from tinybench.errors import UsageError, UserError
from tinybench.formats import Count
from tinybench.inference.about import About
from tinybench.models import build_model
from tinybench.recipe import Recipe
from tinybench.runtime.files import atomic_path, atomic_paths, json_text, read_json
from tinybench.validation import STRICT, validated

FORMAT = 1


@with_config(STRICT)
class SavedTraining(TypedDict):
    """What resuming needs, see training/state.py."""

    optimizer: dict[str, Any]
    scaler: dict[str, Any]
    history: dict[str, list[float]]
    sums: Tensor
    step: Count
    seconds: float


@with_config(STRICT)
class _Checkpoint(TypedDict, total=False):
    ema_state_dict: dict[str, Tensor]
    training: SavedTraining


@with_config(STRICT)
class Checkpoint(About, _Checkpoint):
    """What every checkpoint holds, see `network_checkpoint`."""

    state_dict: dict[str, Tensor]


KEYS = Checkpoint.__required_keys__
ABOUT_KEYS = About.__required_keys__ | About.__optional_keys__


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
        "val_fingerprint": images.split_fingerprints.get("val", ""),
        "test_fingerprint": images.split_fingerprints.get("test", ""),
        "white": images.white,
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


def to_half(checkpoint: dict[str, Any]) -> dict[str, Any]:
    """The network of a checkpoint, its matrices and kernels in float16; `load_network` makes float32 of them again.

    Norms stay as they are: they are few, and the variances in them may be too large for float16.

    Raises:
        UserError: a weight is too large for float16.
    """
    weights = {name: w.half() if w.ndim > 1 else w for name, w in checkpoint["state_dict"].items()}
    for name, weight in weights.items():
        if not weight.isfinite().all():
            raise UserError(f"{name} holds weights that are too large for half precision, or not finite")
    return network_alone(checkpoint) | {"state_dict": weights}


def network_alone(checkpoint: dict[str, Any]) -> dict[str, Any]:
    """A checkpoint without what resuming needs."""
    return {**about(checkpoint), "state_dict": checkpoint["state_dict"]}


def about(checkpoint: Mapping[str, Any]) -> dict[str, Any]:
    """What a checkpoint says of its network, without the weights and without what resuming needs."""
    return {key: checkpoint[key] for key in sorted(checkpoint.keys() & {"format", *ABOUT_KEYS})}


def write_safetensors(path: Path, checkpoint: dict[str, Any]) -> None:
    """Write the network's weights for programs that read no pickles, and what the checkpoint says of it into a .json.

    Raises:
        UserError: the disk is full or not writable.
    """
    weights = {name: tensor.contiguous().clone() for name, tensor in checkpoint["state_dict"].items()}  # shares nothing
    with atomic_paths(path, path.with_suffix(".json")) as (tensors, said):
        save_file(weights, tensors, metadata={"format": "pt"})
        said.write_text(json_text(about(checkpoint)), encoding="utf-8")


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint onto the CPU.

    Raises:
        UserError: the file is missing, damaged, or no checkpoint of tinybench's.
    """
    if path.suffix == ".onnx":
        raise UserError(f"{path} is an exported network, for test.py and infer.py; here, its checkpoint is needed")
    checkpoint = read_tensors(path)
    if path.suffix == ".safetensors":
        checkpoint = {**read_json(path.with_suffix(".json"), dict[str, Any]), "state_dict": checkpoint}
    if not isinstance(checkpoint, dict) or checkpoint.get("format") != FORMAT or KEYS - checkpoint.keys():
        raise UserError(f"{path} is no checkpoint that this version of tinybench wrote")
    validated(Checkpoint, checkpoint, f"{path} is damaged")
    if not len(checkpoint["class_ids"]) == len(checkpoint["class_names"]) == checkpoint["num_classes"]:
        raise UserError(f"{path} is damaged: it has {checkpoint['num_classes']} classes, but not as many names")
    return checkpoint


def read_tensors(path: Path) -> Any:
    """Read what torch.save wrote of tensors and plain types, or a .safetensors file, onto the CPU.

    Raises:
        UserError: the file is missing or damaged, or holds more than that.
    """
    try:
        _check_size(path)
        if path.suffix == ".safetensors":
            return load_file(path)
        content = torch.load(path, map_location="cpu", weights_only=True)
    except UserError:
        raise
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from error
    except SafetensorError as error:
        raise UserError(f"{path} is damaged or no safetensors file: {error}") from error
    except pickle.UnpicklingError as error:
        raise UserError(_refusal(path, str(error))) from error
    except Exception as error:  # torch raises RuntimeError, EOFError, KeyError and others for damaged files
        raise UserError(f"{path} is damaged or no checkpoint") from error
    if any(_repeats_itself(leaf) for leaf in tree_leaves(content) if isinstance(leaf, Tensor)):
        raise UserError(f"{path} holds a tensor that would take more memory than the file has bytes; it is not read")
    return content


def _repeats_itself(tensor: Tensor) -> bool:
    """Whether a tensor has more elements than the stretch of memory that its strides reach over."""
    if tensor.layout is not torch.strided:
        return False
    reach = 1 + sum((size - 1) * stride for size, stride in zip(tensor.shape, tensor.stride(), strict=True))
    return tensor.numel() > reach


def _check_size(path: Path) -> None:
    """Refuse what is no file, and a small file that would fill the memory: torch.save does not compress."""
    if path.exists() and not path.is_file():
        raise UserError(f"{path} is no regular file")
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as file:
            unpacked = sum(member.file_size for member in file.infolist())
        if unpacked > path.stat().st_size:
            raise UserError(f"{path} would unpack to {unpacked:,} bytes, more than it has; it is not read")


def _refusal(path: Path, reason: str) -> str:
    """What to say of a file that holds more than tensors and plain types, or is damaged."""
    kind = re.search(r"GLOBAL ([\w.]+)", reason)
    if not kind:
        return f"{path} is damaged, or holds more than tensors and plain types; it is not read"
    source, target = (json.dumps(str(place)) for place in (path, path.with_name(f"{path.stem}_plain.pth")))
    code = (
        f'import torch; c = torch.load({source}, map_location="cpu", weights_only=False); '
        'd = c.state_dict() if hasattr(c, "state_dict") else {k: v for k, v in c.items() if isinstance(v, dict)}; '
        f"torch.save(d, {target})"
    )
    return (
        f"{path} holds {kind[1]} beside tensors and plain types; it is not read, as such a file can run code. If you "
        f"trust whoever made it, this leaves the weights in {target}: {shlex.join(['python', '-c', code])}"
    )


def load_network(checkpoint: dict[str, Any], weights: Literal["model", "ema"] = "model") -> nn.Module:
    """The network of a checkpoint, on the CPU and in evaluation mode.

    Raises:
        UserError: the checkpoint has no such weights, or they do not fit the network.
    """
    state_dict = _state_dict(checkpoint, weights)
    model = build_model(
        checkpoint["model"],
        num_classes=checkpoint["num_classes"],
        image_size=checkpoint["image_size"],
        **checkpoint["model_options"],
    )
    load_weights(model, state_dict)
    return model.eval()


def weights_fingerprint(checkpoint: dict[str, Any], weights: Literal["model", "ema"] = "model") -> str:
    """SHA-256 over the weights and over what else of a checkpoint makes logits out of pixels.

    Raises:
        UserError: the checkpoint has no such weights.
    """
    keys = ("model", "model_options", "image_size", "class_ids", "mean", "std")
    digest = hashlib.sha256(repr([checkpoint[key] for key in keys]).encode())
    for name, tensor in _state_dict(checkpoint, weights).items():
        digest.update(repr((name, tensor.dtype, tuple(tensor.shape))).encode())
        digest.update(tensor.contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _state_dict(checkpoint: dict[str, Any], weights: Literal["model", "ema"]) -> dict[str, torch.Tensor]:
    key = "state_dict" if weights == "model" else "ema_state_dict"
    if key not in checkpoint:
        raise UserError("the checkpoint holds no moving average of the weights; it was trained with ema_decay 0")
    return checkpoint[key]


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


def check_data(checkpoint: dict[str, Any], images: ImageSet, dataset: str) -> None:
    """Refuse a data set that is not the one that the network was trained on.

    Args:
        images: any of its splits. Older checkpoints tell of the training images only.
        dataset: what to call it.

    Raises:
        UserError: the training images are others, or the test images.
    """
    for split, key, those in (
        ("train", "fingerprint", "training images of {} are not those that the network was trained on"),
        ("val", "val_fingerprint", "validation images of {} are not those that the network was chosen on"),
        ("test", "test_fingerprint", "test images of {} are not those that were there when the network was trained"),
    ):
        former, now = checkpoint.get(key, ""), images.split_fingerprints.get(split, "")
        if former and former != now:
            raise UserError(
                f"the {those.format(dataset)} (fingerprint {now[:16]}, not {former[:16]}); put them back as they were, "
                "name the folder that holds them with --dataset, or train again"
            )
