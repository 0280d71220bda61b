"""A network from a file outside of the package."""

from pathlib import Path

from tinybench.errors import UsageError
from tinybench.recipe import Recipe, load_recipes


def load_model_file(path: Path) -> dict[str, Recipe]:
    """Run a file that adds networks to MODELS; its RECIPES are returned.

    A checkpoint names its network but not the file, and no command runs a file that was not named to it: whoever gives
    you a checkpoint cannot make you run code.

    Raises:
        UsageError: the file is missing or broken, adds no network, has no RECIPES, or reuses a name.
    """
    from tinybench.models import MODELS  # torch, which is slow to import

    before = dict(MODELS)
    recipes = load_recipes(path)
    replaced = [name for name, info in before.items() if MODELS.get(name) is not info]
    if replaced:
        MODELS.update(before)
        raise UsageError(f"{path} replaces {', '.join(replaced)} in MODELS; give its network a name of its own")
    if len(MODELS) == len(before):
        raise UsageError(f"{path} registers no network; it must add an entry to MODELS of tinybench.models")
    if taken := sorted(recipes.keys() & load_recipes().keys()):
        raise UsageError(f"{path} has a recipe {taken[0]}, and so has config.py; give it a name of its own")
    return recipes
