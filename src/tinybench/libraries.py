"""The libraries whose networks are called timm/NAME and torchvision/NAME."""

LIBRARIES = ("timm", "torchvision")


def is_of_library(model: str) -> bool:
    """Whether it names a network of theirs."""
    library, slash, _ = model.partition("/")
    return bool(slash) and library in LIBRARIES
