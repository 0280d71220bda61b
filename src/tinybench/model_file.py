"""A network or an operation of augmentation from a file outside of the package."""

from pathlib import Path
from typing import Any

from tinybench.configuration import load_recipes
from tinybench.errors import UsageError
from tinybench.recipe import Recipe


def load_model_file(path: Path) -> dict[str, Recipe]:
    """Run a file that adds networks to MODELS or operations to OPERATIONS; its RECIPES are returned.

    A checkpoint names its network but not the file, and no command runs a file that was not named to it: whoever gives
    you a checkpoint cannot make you run code.

    Raises:
        UsageError: the file is missing or broken, adds nothing, has no RECIPES, or reuses a name, or an operation is
            not of a class that says what it does.
    """
    # Torch, which is slow to import.
    from tinybench.data.augment.operations import OPERATIONS, Automatic, Erasing, Geometric, Pixelwise
    from tinybench.models import MODELS

    registries: dict[str, dict[str, Any]] = {"MODELS": MODELS, "OPERATIONS": OPERATIONS}
    before = {title: dict(registry) for title, registry in registries.items()}
    recipes = load_recipes(path)
    for title, registry in registries.items():
        if replaced := [name for name, entry in before[title].items() if registry.get(name) is not entry]:
            registry.update(before[title])
            raise UsageError(f"{path} replaces {', '.join(replaced)} in {title}; give yours a name of its own")
    if registries == before:
        raise UsageError(
            f"{path} registers no network and no operation; it must add an entry to MODELS of tinybench.models or to "
            "OPERATIONS of tinybench.data.augment.operations"
        )
    for name in OPERATIONS.keys() - before["OPERATIONS"].keys():
        kinds = (Geometric, Automatic, Pixelwise, Erasing)
        if not (isinstance(OPERATIONS[name], type) and issubclass(OPERATIONS[name], kinds)):
            del OPERATIONS[name]
            raise UsageError(f"{path}: {name} in OPERATIONS must be a class of {', '.join(k.__name__ for k in kinds)}")
    if taken := sorted(recipes.keys() & load_recipes().keys()):
        raise UsageError(f"{path} has a recipe {taken[0]}, and so has config.py; give it a name of its own")
    return recipes
