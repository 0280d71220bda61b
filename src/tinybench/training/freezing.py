"""The parts of a network, and freezing some: weights that stay as they came."""

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from tinybench.errors import UsageError

ALL_BUT_HEAD = "all_but_head"


def head_of(model: nn.Module) -> nn.Linear:
    """The layer that gives the logits: the last linear one, or the one that a network of timm's names.

    Raises:
        UsageError: there is no linear layer.
    """
    if isinstance(named := getattr(model, "get_classifier", lambda: None)(), nn.Linear):
        return named
    layers = [module for module in model.modules() if isinstance(module, nn.Linear)]
    if not layers:
        raise UsageError(f"{type(model).__name__} has no linear layer, which would be its head")
    return layers[-1]


def head_names(model: nn.Module) -> set[str]:
    """The names of the head's parameters in the network.

    Raises:
        UsageError: there is no linear layer.
    """
    head = {id(parameter) for parameter in head_of(model).parameters()}
    return {name for name, parameter in model.named_parameters() if id(parameter) in head}


def parts_of(model: nn.Module) -> dict[str, nn.Module]:
    """The modules with weights by name, in the order in which they are registered.

    A child of the network is a part; of a child whose name is a plural, its children are, counted from 1: stages.0 is
    stage1.
    """
    parts: dict[str, nn.Module] = {}
    for name, child in model.named_children():
        if isinstance(child, nn.Sequential) and name.endswith("s"):
            parts |= {f"{name[:-1]}{index}": module for index, module in enumerate(child, start=1)}
        else:
            parts[name] = child
    return {name: module for name, module in parts.items() if any(True for _ in module.parameters())}


def freeze(model: nn.Module, upto: str) -> None:
    """Take gradients away from all before the head ("all_but_head"), or from a part and all that comes before it.

    What is registered on the network itself, such as the tokens of a ViT, comes before all parts.

    Raises:
        UsageError: there is no such part, or nothing would be left to train, or nothing to freeze.
    """
    parts = parts_of(model)
    if upto == ALL_BUT_HEAD:
        trained = {*head_of(model).parameters()}
    elif upto in [*parts][:-1]:
        after = [*parts.values()][[*parts].index(upto) + 1 :]
        trained = {parameter for module in after for parameter in module.parameters()}
    else:
        known = ", ".join([ALL_BUT_HEAD, *[*parts][:-1]])
        raise UsageError(f"freeze {upto!r} fits no part of the network that leaves something to train; known: {known}")
    frozen = [parameter for parameter in model.parameters() if parameter not in trained]
    if not frozen:
        raise UsageError(f"freeze {upto} freezes nothing: the head is the whole network")
    for parameter in frozen:
        parameter.requires_grad_(False)


def set_training_mode(model: nn.Module) -> None:
    """model.train(), but a BatchNorm with frozen weights keeps its statistics too."""
    model.train()
    for module in model.modules():
        if isinstance(module, _BatchNorm) and module.weight is not None and not module.weight.requires_grad:
            module.eval()
