"""Starting weights: torchvision's or timm's, trained on ImageNet, or those of a file or of a package.

A file may be a checkpoint of ours, or a state dict in any of the wrappings that people save them in. A tensor is taken
over where name and shape fit; where all names differ, but the tensors have the same shapes in the same order, by their
order. What does not fit (the head of other classes, another stem) keeps its fresh values, and the summary says so.
"""

import contextlib
import math
import re
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tinybench.configuration import load_recipes
from tinybench.errors import UsageError, UserError, command
from tinybench.inference.checkpoint import read_tensors
from tinybench.libraries import LIBRARIES, is_of_library
from tinybench.recipe import IMAGENET, PACKAGE, Recipe
from tinybench.training.freezing import head_names

# Where programs keep a network's weights in a checkpoint, in the order in which they are looked for.
WRAPPINGS = (
    "state_dict", "model_state_dict", "model", "net", "network", "module", "weights", "params", "model_ema",
    "state_dict_ema", "ema_state_dict", "ema",
)  # fmt: skip
PREFIXES = 4  # names may have so many: _orig_mod.module.model.
LISTED = 6  # names that the summary lists of each kind


@dataclass(frozen=True)
class Counterpart:
    """torchvision's network that has the same tensors as one of ours.

    Attributes:
        name: torchvision's name, from our network's options.
        renames: patterns in torchvision's names of tensors, and what makes ours of them; they do not match ours.
    """

    name: Callable[..., str]
    renames: dict[str, str]


COUNTERPARTS = {
    "resnet": Counterpart(
        lambda depth=18, **_: f"resnet{depth}",
        {r"^conv1\.": "stem.0.", r"^bn1\.": "stem.1.", r"\.bn": ".norm", r"\.downsample\.": ".shortcut."}
        | {rf"^layer{stage}\.": f"stages.{stage - 1}." for stage in (1, 2, 3, 4)}
        | {r"^fc\.": "head."},
    ),
    "alexnet_stock": Counterpart(lambda **_: "alexnet", {r"^classifier\.": "head."}),
}


@dataclass
class Summary:
    """What became of the tensors: their names, and shapes where those differ."""

    source: str
    how: str = ""
    loaded: list[str] = field(default_factory=list)
    resized: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    unused: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        kinds = {"resized": self.resized, "left as drawn": self.left, "not used": self.unused}
        lines = [f"  {kind}: {_shortened(names)}" for kind, names in kinds.items() if names]
        return "\n".join([f"weights of {self.source}: {len(self.loaded)} tensors loaded{self.how}", *lines])


def load_pretrained(model: nn.Module, recipe: Recipe, class_ids: Sequence[str]) -> Summary:
    """Start `model` from the weights that the recipe names.

    Args:
        class_ids: of the training images; the head of a run that learned other classes is not taken over.

    Raises:
        UsageError: there is no such file, or there are no ImageNet weights for the network, or no weights fit.
        UserError: the weights cannot be downloaded or read.
    """
    source = recipe.pretrained
    if source == IMAGENET:
        source, weights = _imagenet(recipe)
    else:
        source, weights = _state_dict(weights_file(source), model, class_ids)
    own = model.state_dict()
    prefix, weights = _ours(weights, own.keys(), COUNTERPARTS.get(recipe.model))
    summary = Summary(f"{source}, without the prefix {prefix}" if prefix else source)
    if not weights.keys() & own.keys() and (ordered := _in_order(weights, model)):
        weights, summary.how = ordered, " by their order and shapes, as the names are others"
    for name, tensor in own.items():
        if name not in weights:
            if not name.endswith("num_batches_tracked"):  # older files lack this counter, and nothing reads it
                summary.left.append(name)
            continue
        given = weights.pop(name)
        shapes = f"{name} {_shape(given)} -> {_shape(tensor)}"
        if given.shape == tensor.shape:
            summary.loaded.append(name)
        elif name.endswith("position_embedding") and _can_resize(given, tensor):
            given = resize_positions(given, tensor.shape[1])
            summary.resized.append(shapes)
        else:
            summary.left.append(shapes)
            continue
        with torch.no_grad():
            tensor.copy_(given)
    summary.unused = list(weights)
    if not any(own[name].ndim > 1 for name in summary.loaded):
        raise UsageError(f"pretrained {source} fits nothing of model {recipe.model}; {summary}".replace("\n ", ";"))
    return summary


def resize_positions(embedding: Tensor, tokens: int) -> Tensor:
    """Position embeddings for an image with more or fewer patches (Dosovitskiy et al. 2020, section 3.2).

    The grid of patches is resized, bicubic and antialiased; the class token's place, the first, stays.

    Args:
        embedding: (1, 1 + n * n, dim).
        tokens: 1 + m * m.

    Returns:
        (1, tokens, dim).
    """
    token, grid = embedding[:, :1], embedding[:, 1:]
    old, new = math.isqrt(grid.shape[1]), math.isqrt(tokens - 1)
    grid = grid.reshape(1, old, old, -1).permute(0, 3, 1, 2)
    grid = F.interpolate(grid.float(), (new, new), mode="bicubic", align_corners=False, antialias=True)
    return torch.cat((token, grid.permute(0, 2, 3, 1).reshape(1, new * new, -1).to(token.dtype)), dim=1)


def _can_resize(given: Tensor, tensor: Tensor) -> bool:
    if given.ndim != 3 or given.shape[2] != tensor.shape[2]:
        return False
    return all(math.isqrt(tokens - 1) ** 2 == tokens - 1 > 0 for tokens in (given.shape[1], tensor.shape[1]))


def _imagenet(recipe: Recipe) -> tuple[str, dict[str, Tensor]]:
    """What to call the weights of torchvision's or timm's, and the weights; downloaded unless they are in the cache."""
    library, _, name = recipe.model.partition("/")
    if not is_of_library(recipe.model):
        if recipe.model not in COUNTERPARTS:
            known = ", ".join([*COUNTERPARTS, *(f"{library}/NAME" for library in LIBRARIES)])
            raise UsageError(f"pretrained imagenet has no weights for model {recipe.model}; it has some for {known}")
        library, name = "torchvision", COUNTERPARTS[recipe.model].name(**recipe.model_options)
    fetch = _from_timm if library == "timm" else _from_torchvision
    return f"{library}'s {name} (ImageNet)", fetch(name)


def _from_timm(name: str) -> dict[str, Tensor]:
    import timm

    try:
        return timm.create_model(name, pretrained=True).state_dict()
    except Exception as error:  # of the hub, of its cache, or because nobody trained the network
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise UserError(f"cannot have timm's weights of {name}: {reason}") from error


def _from_torchvision(name: str) -> dict[str, Tensor]:
    from torchvision.models import get_model_weights  # slow to import

    weights: Any = get_model_weights(name)["DEFAULT"]
    path = Path(torch.hub.get_dir()) / "checkpoints" / Path(urlsplit(weights.url).path).name
    try:
        return weights.get_state_dict(progress=True, check_hash=True, weights_only=True, map_location="cpu")
    except OSError as error:
        raise UserError(
            f"cannot download {weights.url} ({error}); fetch it where you can and put it at {path}"
        ) from error
    except Exception as error:  # as in read_tensors
        raise UserError(f"{path} is damaged; delete it and run the command again") from error


def weights_file(pretrained: str) -> Path:
    """The file that a recipe's `pretrained` names.

    Raises:
        UsageError: it is not there; the message says how to make it, where a recipe does. Or the package is not
            installed, or does not hold one such file.
    """
    if pretrained.startswith(PACKAGE):
        return _file_of_package(pretrained)
    path = Path(pretrained)
    if not path.is_file():
        run = path.parent.name
        hint = f"; make it with {command('src/train.py', '--recipe', run)}" if run in load_recipes() else ""
        raise UsageError(
            f"pretrained {path} is no file; it takes {IMAGENET}, the path of a checkpoint or state dict, or "
            f"{PACKAGE}NAME{hint}"
        )
    return path


def _file_of_package(pretrained: str) -> Path:
    """The weights in an installed package, whose code is not run; its name may go without _pytorch_model."""
    name = pretrained.removeprefix(PACKAGE)
    for full in (name, f"{name}_pytorch_model"):
        with contextlib.suppress(metadata.PackageNotFoundError, ValueError):
            files = [file for file in metadata.files(full) or [] if file.suffix in (".pth", ".pt", ".safetensors")]
            if len(files) != 1:
                raise UsageError(f"pretrained {pretrained}: {full} holds {len(files)} such files; give the path of one")
            return Path(str(files[0].locate()))
    raise UsageError(f"pretrained {pretrained}: no such package is installed; type: pip install {name}_pytorch_model")


def _in_order(weights: dict[str, Tensor], model: nn.Module) -> dict[str, Tensor]:
    """The tensors under the network's names, if they have its shapes in its order, but for the number of classes."""
    # Without the counters of the BatchNorms, which older files lack.
    own = {name: tensor for name, tensor in model.state_dict().items() if tensor.ndim}
    theirs = [tensor for tensor in weights.values() if tensor.ndim]
    classes = head_names(model)
    alike = len(own) == len(theirs) and all(
        given.ndim == tensor.ndim and given.shape[name in classes :] == tensor.shape[name in classes :]
        for given, (name, tensor) in zip(theirs, own.items(), strict=True)
    )
    return dict(zip(own, theirs, strict=True)) if alike else {}


def _state_dict(path: Path, model: nn.Module, class_ids: Sequence[str]) -> tuple[str, dict[str, Tensor]]:
    """What to call the weights, and the tensors by name; without the head of our runs that learned other classes."""
    content = read_tensors(path)
    found = _unwrapped(content)
    if found is None:
        keys = f"; it has {_shortened(sorted(map(str, content)))}" if isinstance(content, dict) else ""
        raise UserError(f"{path} holds no state dict, a dict from names to tensors{keys}")
    wrapping, state = found
    source = f"{path} ({wrapping})" if wrapping else str(path)
    if content.get("class_ids", list(class_ids)) == list(class_ids):
        return source, state
    head = head_names(model)
    return source, {name: tensor for name, tensor in state.items() if name not in head}


def _unwrapped(content: Any) -> tuple[str, dict[str, Tensor]] | None:
    """The state dict in what a program saved, and under which keys it was; None if there is none."""
    if not isinstance(content, dict):
        return None
    for key in WRAPPINGS:
        if inner := _unwrapped(content.get(key)):
            return ".".join(filter(None, (key, inner[0]))), inner[1]
    tensors = {str(name): tensor for name, tensor in content.items() if isinstance(tensor, Tensor)}
    return ("", tensors) if tensors else None


def _ours(
    weights: dict[str, Tensor], own: Collection[str], counterpart: Counterpart | None
) -> tuple[str, dict[str, Tensor]]:
    """The tensors under our names, and which prefix theirs had: DataParallel's module., torch.compile's _orig_mod., …

    Whatever most names begin with may be a prefix; as many are taken off as make the most names ours.
    """
    candidates, prefix = [], ""
    for _ in range(PREFIXES + 1):
        ours = {_renamed(name.removeprefix(prefix), counterpart): tensor for name, tensor in weights.items()}
        candidates.append((len(ours.keys() & own), prefix, ours))
        longer = Counter(name[len(prefix) :].partition(".")[0] for name in weights if name.startswith(prefix))
        prefix += "".join(f"{first}." for first, _ in longer.most_common(1))
    _, prefix, ours = max(candidates, key=lambda candidate: candidate[0])
    return prefix, ours


def _renamed(name: str, counterpart: Counterpart | None) -> str:
    for pattern, replacement in counterpart.renames.items() if counterpart else ():
        name = re.sub(pattern, replacement, name)
    return name


def _shape(tensor: Tensor) -> str:
    return "x".join(map(str, tensor.shape))


def _shortened(names: list[str]) -> str:
    rest = len(names) - LISTED
    return ", ".join(names[:LISTED]) + (f" and {rest} more" if rest > 0 else "")
