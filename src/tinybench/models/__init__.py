"""The registry of networks: what there is, where it comes from, and how to build it."""

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import nn

from tinybench.errors import UsageError, out_of_memory
from tinybench.libraries import LIBRARIES, is_of_library
from tinybench.models import external
from tinybench.models.alexnet import AlexNet, StockAlexNet
from tinybench.models.convnext import ConvNeXt
from tinybench.models.densenet import DenseNet
from tinybench.models.efficientnet import EfficientNet
from tinybench.models.mobilenet import MobileNetV3
from tinybench.models.resnet import ResNet
from tinybench.models.speednet import SpeedNet
from tinybench.models.svm import SVM
from tinybench.models.swin import Swin
from tinybench.models.vgg import VGG
from tinybench.models.vit import ViT
from tinybench.validation import validated


@dataclass(frozen=True)
class ModelInfo:
    """A network of the registry.

    Attributes:
        title: how people call it.
        year, paper: of its publication; authors and address.
        build: the constructor; keyword arguments only.
        recipe: the entry of config.py that `--model` stands for.
        compared: whether `all` in a plan includes it.
    """

    title: str
    year: int
    paper: str
    build: Callable[..., nn.Module]
    recipe: str
    compared: bool = True


MODELS: dict[str, ModelInfo] = {
    "alexnet": ModelInfo("AlexNet", 2012, "Krizhevsky et al., https://papers.nips.cc/paper/4824", AlexNet, "alexnet"),
    "vgg": ModelInfo("VGG-16", 2014, "Simonyan and Zisserman, https://arxiv.org/abs/1409.1556", VGG, "vgg"),
    "resnet": ModelInfo("ResNet-18", 2015, "He et al., https://arxiv.org/abs/1512.03385", ResNet, "resnet"),
    "densenet": ModelInfo("DenseNet-121", 2017, "Huang et al., https://arxiv.org/abs/1608.06993", DenseNet, "densenet"),
    "efficientnet": ModelInfo(
        "EfficientNet-B0", 2019, "Tan and Le, https://arxiv.org/abs/1905.11946", EfficientNet, "efficientnet"
    ),
    "vit": ModelInfo("ViT-S", 2020, "Dosovitskiy et al., https://arxiv.org/abs/2010.11929", ViT, "vit"),
    "swin": ModelInfo("Swin-P", 2021, "Liu et al., https://arxiv.org/abs/2103.14030", Swin, "swin"),
    "convnext": ModelInfo("ConvNeXt-P", 2022, "Liu et al., https://arxiv.org/abs/2201.03545", ConvNeXt, "convnext"),
    "mobilenet": ModelInfo(
        "MobileNetV3-Small",
        2019,
        "Howard et al., https://arxiv.org/abs/1905.02244",
        MobileNetV3,
        "mobilenet",
        compared=False,
    ),
    "svm": ModelInfo(
        "Linear SVM",
        1999,
        "Weston and Watkins, https://www.esann.org/sites/default/files/proceedings/legacy/es1999-461.pdf",
        SVM,
        "svm",
        compared=False,
    ),
    "alexnet_stock": ModelInfo(
        "AlexNet (stock)",
        2014,
        "Krizhevsky, https://arxiv.org/abs/1404.5997",
        StockAlexNet,
        "alexnet_scratch",
        compared=False,
    ),
    "speednet": ModelInfo(
        "SpeedNet",
        2018,
        "Page, https://myrtle.ai/learn/how-to-train-your-resnet/",
        SpeedNet,
        "speedrun",
        compared=False,
    ),
}


def list_models() -> list[str]:
    """The names of all networks."""
    return list(MODELS)


def get_model_info(name: str) -> ModelInfo:
    """The network of that name.

    Raises:
        UsageError: there is none; the message lists the known ones.
    """
    if name not in MODELS:
        raise UsageError(
            f"unknown model {name!r}; known: {', '.join(MODELS)}; further ones are called "
            f"{' and '.join(f'{library}/NAME' for library in LIBRARIES)}, one of your own needs --model_file"
        )
    return MODELS[name]


def recipe_of(name: str) -> str:
    """The entry of config.py that `--model` stands for.

    Raises:
        UsageError: there is no such network.
    """
    return name if is_of_library(name) else get_model_info(name).recipe


def build_model(name: str, *, num_classes: int, image_size: int = 64, **options: Any) -> nn.Module:
    """Build a network with fresh weights, drawn from torch's default generator.

    Args:
        name: of the registry, or timm/NAME or torchvision/NAME.
        image_size: side of the images in pixels; only networks whose weights depend on it are told.
        options: further arguments of the network's constructor.

    Raises:
        UsageError: an unknown network or option, or a value that the network refuses.
    """
    build: Callable[..., nn.Module]
    if is_of_library(name):
        build = functools.partial(external.build, name, image_size=image_size)
    else:
        build = get_model_info(name).build
        parameters = inspect.signature(build).parameters
        known = parameters.keys() - {"num_classes", "image_size"}
        if unknown := sorted(options.keys() - known):
            raise UsageError(f"{name} has no option {', '.join(unknown)}; it has: {', '.join(sorted(known))}")
        options = {option: _checked(name, parameters[option], value) for option, value in options.items()}
        if "image_size" in parameters:
            options["image_size"] = image_size
    try:
        return build(num_classes=num_classes, **options)
    except UsageError:
        raise
    except Exception as error:  # a network may be somebody's own: anything may go wrong in it
        if out_of_memory(error):
            raise
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise UsageError(f"model {name}: {reason}") from error


def _checked(name: str, parameter: inspect.Parameter, value: Any) -> Any:
    """The value of an option, if it is of the kind and within the bounds that the constructor states."""
    kind = parameter.annotation
    if kind is inspect.Parameter.empty or isinstance(kind, str):
        return value
    if kind is bool and value in (0, 1):
        return bool(value)
    return validated(kind, value, f"model {name}: {parameter.name}", UsageError)
