"""The networks of timm and torchvision by name, such as timm/convnext_atto and torchvision/mobilenet_v2.

They are built as they come, and told of dropout, stochastic depth and the size of the images where they take them. A
checkpoint holds the name, so that reading it needs the same package.
"""

import inspect
import re
from collections.abc import Callable, Mapping
from typing import Any, Literal

import torch
from torch import nn

from tinybench.errors import UsageError, command
from tinybench.libraries import LIBRARIES
from tinybench.models.layers import Count, train_depthwise_in_fp32
from tinybench.validation import validated
from tinybench.words import listed

# What the libraries call our fields, in the order in which the names are tried; torchvision calls some by two names.
FIELDS = {
    "timm": {"drop_rate": "dropout", "drop_path_rate": "drop_path", "img_size": "image_size"},
    "torchvision": {"dropout": "dropout", "drop_rate": "dropout", "image_size": "image_size"},
}
Kind = Literal["without batch norm", "depthwise", "convolutional"]
STEM_STRIDE = "stem_stride"  # an option of ours
REFUSED = re.compile(r"(?:unexpected keyword argument|multiple values for keyword argument) '(\w+)'")


def list_names() -> list[str]:
    """The names of all networks of those libraries that are installed."""
    return [f"{library}/{name}" for library in LIBRARIES for name in _names(library)]


def build(name: str, *, num_classes: int, image_size: int, **options: Any) -> nn.Module:
    """Build a network of a library with fresh weights.

    Args:
        options: dropout and drop_path, and arguments of the network's own class.

    Raises:
        UsageError: the library is not installed or has no such network, or the network takes no such option.
    """
    fields = {"dropout": options.pop("dropout", 0.0), "drop_path": options.pop("drop_path", 0.0)}
    model, taken = _built(name, num_classes=num_classes, image_size=image_size, **fields)
    if missed := [f"{field} {value}" for field, value in fields.items() if value and field not in taken]:
        raise UsageError(f"{name} takes no {listed(missed)}")
    stride = options.pop(STEM_STRIDE, None)
    if options:
        _check_options(name, model, options)
        model, _ = _built(name, num_classes=num_classes, image_size=image_size, **fields, **options)
    return model if stride is None else _with_stem_stride(name, model, stride)


def _check_options(name: str, model: nn.Module, options: Mapping[str, Any]) -> None:
    """Refuse what the network's class has not; what builds it would take files and addresses of weights, too."""
    known = [*list(inspect.signature(type(model).__init__).parameters)[1:], STEM_STRIDE]
    if unknown := sorted(options.keys() - {*known} | options.keys() & {"num_classes", *FIELDS[name.partition("/")[0]]}):
        raise UsageError(f"{name} has no option {listed(unknown)}; {type(model).__name__} has: {', '.join(known)}")


def _with_stem_stride(name: str, model: nn.Module, stride: Any) -> nn.Module:
    """Have the first convolution take such steps: 1 keeps the resolution of small images."""
    first = next((module for module in model.modules() if isinstance(module, nn.Conv2d)), None)
    if first is None or first.kernel_size[0] <= first.stride[0] > 1:
        raise UsageError(f"{name} takes no {STEM_STRIDE}: its first layer cuts patches")
    first.stride = 2 * (validated(Count, stride, f"model {name}: {STEM_STRIDE}", UsageError),)
    return model


def kind_of(name: str, image_size: int) -> tuple[Kind, set[str]]:
    """What kind of layers the network has, and which of dropout, drop_path and image_size it takes.

    Raises:
        UsageError: as `build`.
    """
    model, taken = _built(name, num_classes=2, image_size=image_size, dropout=0.0, drop_path=0.0)
    modules = list(model.modules())
    if not any(isinstance(module, nn.BatchNorm2d) for module in modules):
        return "without batch norm", taken
    depthwise = any(isinstance(module, nn.Conv2d) and module.groups == module.in_channels > 1 for module in modules)
    return "depthwise" if depthwise else "convolutional", taken


def _names(library: str) -> list[str]:
    try:
        if library == "timm":
            import timm

            return list(timm.list_models())
    except ImportError:
        return []
    from torchvision import models

    return list(models.list_models(module=models))


def _creator(name: str) -> Callable[..., nn.Module]:
    """What builds the network, by arguments of its library's.

    Raises:
        UsageError: the library is not installed, or has no such network.
    """
    library, _, network = name.partition("/")
    if library == "timm":
        try:
            import timm
        except ImportError as error:
            raise UsageError(f"model {name} needs timm: pip install timm") from error
        # Only what it registers itself: it would also take addresses of networks that others uploaded.
        if timm.is_model(network):
            return lambda **arguments: timm.create_model(network, pretrained=False, **arguments)
    elif network in _names(library):
        from torchvision import models

        return lambda **arguments: models.get_model(network, weights=None, **arguments)
    raise UsageError(
        f"{library} has no network {network!r}; list its names: {command('src/models.py', f'{library}/*')}"
    )


def _built(
    name: str, *, num_classes: int, image_size: int, dropout: float, drop_path: float, **options: Any
) -> tuple[nn.Module, set[str]]:
    """The network, and which of our fields it took."""
    create, fields = _creator(name), FIELDS[name.partition("/")[0]]
    ours = {"image_size": image_size, "dropout": dropout, "drop_path": drop_path}
    # No second classifier, whose logits would come along in training.
    given = {**{theirs: ours[field] for theirs, field in fields.items()}, "aux_logits": False, **options}
    while True:
        try:
            model = create(num_classes=num_classes, **given)
            break
        except TypeError as error:
            refused = REFUSED.search(str(error))
            if not refused or refused[1] not in {*fields, "aux_logits"} & given.keys():
                raise
            del given[refused[1]]
    taken = {field for theirs, field in fields.items() if theirs in given}
    if _spread_drop_path(model, drop_path):
        taken.add("drop_path")
    train_depthwise_in_fp32(model)
    return model, taken


def _spread_drop_path(model: nn.Module, probability: float) -> bool:
    """Have torchvision's networks skip blocks as ours do, rising linearly; whether there is any to skip."""
    from torchvision.ops import StochasticDepth

    layers = [module for module in model.modules() if isinstance(module, StochasticDepth)]
    for layer, p in zip(layers, torch.linspace(0, probability, len(layers)).tolist(), strict=True):
        layer.p = p
    return bool(layers)
