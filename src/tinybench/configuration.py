"""config.py: which one is read, its RECIPES, its AUGMENTATIONS and its SEARCHES."""

import functools
import re
import types
from importlib.machinery import SourceFileLoader
from pathlib import Path
from typing import Any

from tinybench.errors import UsageError, notice
from tinybench.libraries import is_of_library
from tinybench.recipe import Recipe
from tinybench.validation import validated

# Which entry of config.py suits each kind of networks of the libraries.
ENTRIES = {"without batch norm": "vit", "depthwise": "efficientnet", "convolutional": "resnet"}


def config_file() -> Path:
    """config.py of the current folder if it holds RECIPES, else `usual_config_file`."""
    usual = usual_config_file()
    here = Path("config.py").resolve()
    if here == usual or not (here.is_file() and re.search(rb"^RECIPES\b", here.read_bytes(), re.MULTILINE)):
        return usual  # a config.py of some other program is not run
    notice(f"recipes are those of {here}")
    return here


def usual_config_file() -> Path:
    """config.py of the checkout, else the one in the package."""
    package = Path(__file__).resolve().parent
    checkout = package.parents[1] / "config.py"
    return checkout if checkout.is_file() else package / "config.py"


def load_recipes(path: Path | None = None) -> dict[str, Recipe]:
    """RECIPES of a configuration file (default: `config_file()`), by name.

    Raises:
        UsageError: the file is missing or broken, or does not hold a dict of recipes.
    """
    if path:
        recipes = _run(path).get("RECIPES")
    else:
        path = config_file()
        recipes = _names(path).get("RECIPES")
    if not isinstance(recipes, dict) or not all(isinstance(recipe, Recipe) for recipe in recipes.values()):
        raise UsageError(f"{path} must hold RECIPES, a dict from names to Recipe")
    return dict(recipes)


def get_recipe(name: str, recipes: dict[str, Recipe] | None = None) -> Recipe:
    """The recipe of that name, out of `recipes` (default: those of config.py); of timm/NAME and torchvision/NAME, what
    suits a network of that kind.

    Raises:
        UsageError: there is none; the message lists the known ones.
    """
    recipes = load_recipes() if recipes is None else recipes
    if is_of_library(name):
        return _suited(name, recipes)
    if name not in recipes:
        raise UsageError(f"unknown recipe {name!r}; known: {', '.join(sorted(recipes))}")
    return recipes[name]


def _suited(name: str, recipes: dict[str, Recipe]) -> Recipe:
    """The recipe of our network that is of the kind of a library's, without what that one does not take."""
    from tinybench.models.external import kind_of  # torch, which is slow to import

    kind, taken = kind_of(name, Recipe.image_size)
    absent = {field: 0.0 for field in ("dropout", "drop_path") if field not in taken}
    return get_recipe(ENTRIES[kind], recipes).changed(model=name, model_options={}, **absent)


def load_augmentations() -> dict[str, str]:
    """AUGMENTATIONS of `config_file()`, expressions by name; where it has none, those of `usual_config_file()`.

    Raises:
        UsageError: the file is broken, or an expression is the name of another one.
    """
    path, found = _table("AUGMENTATIONS", dict[str, str], "a dict from names to expressions")
    for name, expression in found.items():
        if expression in found and expression != name:  # a saved expression would be taken for the name
            raise UsageError(f"{path}: AUGMENTATIONS of {name} is itself a name, {expression}; write {expression}()")
    return found


def load_searches() -> dict[str, dict[str, str]]:
    """SEARCHES of `config_file()`, ranges by field by name; where it has none, those of `usual_config_file()`.

    Raises:
        UsageError: the file is broken.
    """
    return _table("SEARCHES", dict[str, dict[str, str]], "a dict from names to dicts from fields to ranges")[1]


def _table(name: str, kind: Any, what: str) -> tuple[Path, Any]:
    """A table of `config_file()`, or of `usual_config_file()` where it has none, and the file that holds it."""
    path = config_file()
    found = _names(path).get(name)
    if found is None and path != usual_config_file():
        path = usual_config_file()
        found = _names(path).get(name)
    return path, validated(kind, found, f"{path} must hold {name}, {what}: {name}", UsageError)


def resolved_augmentation(augment: str) -> str:
    """The expression that a name of AUGMENTATIONS stands for; an expression stays, without its spaces."""
    if "(" not in augment and config_file().is_file():  # a worker elsewhere, which is sent expressions, has none
        augment = load_augmentations().get(augment, augment)
    return "".join(augment.split()) or "none"


def _names(path: Path) -> dict[str, Any]:
    """The names of config.py after it has run: once, unless it has changed since."""
    return _run_once(path, path.stat().st_mtime_ns if path.is_file() else 0)


@functools.cache
def _run_once(path: Path, changed: int) -> dict[str, Any]:
    return _run(path)


def _run(path: Path) -> dict[str, Any]:
    """The names of a configuration file after it has run."""
    if not path.is_file():
        raise UsageError(f"{path} does not exist; it holds the recipes")
    loader = SourceFileLoader("tinybench_config", str(path))  # whatever the file's name ends in
    module = types.ModuleType(loader.name)
    module.__file__ = str(path)
    try:
        loader.exec_module(module)
    except (Exception, SystemExit) as error:  # it is somebody's program: anything may go wrong in it
        raise UsageError(f"{path}: {type(error).__name__}: {error}") from error
    return vars(module)
