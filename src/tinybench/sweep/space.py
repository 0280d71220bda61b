"""What a search chooses from: a range, or values, of some fields of a recipe, as text.

`1e-4..1e-1:log` is a range in which factors count, `0..0.5` one in which differences do; `x0.1..x10:log` is one of
multiples of what the recipe has; `basic,standard` are values.
"""

import contextlib
import dataclasses
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, get_origin

from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from tinybench.configuration import load_searches, resolved_augmentation
from tinybench.data.augment.expression import parse
from tinybench.errors import UsageError
from tinybench.recipe import IDLE, Recipe, check_fields, idle_fields

Distribution = FloatDistribution | IntDistribution | CategoricalDistribution

# Trials that differ in these are judged by other images, by their length, or by luck.
FIXED = (
    "dataset", "classes", "images_per_class", "val_fraction", "skip_damaged", "epochs", "total_epochs", "seed",
    "deterministic",
)  # fmt: skip
NUMBER = r"(x?)(\d+(?:\.\d+)?(?:e[-+]?\d+)?)"
RANGE = re.compile(rf"{NUMBER}\.\.{NUMBER}(:log)?", re.IGNORECASE)
COMMA = re.compile(r",(?![^(]*\))")  # none within the parentheses of an augmentation
DIGITS = 3  # that a value drawn from a range is rounded to


def read_space(words: Sequence[str]) -> dict[str, str]:
    """Ranges by field, from names of SEARCHES and from words such as lr=1e-4..1e-1:log, of which the last one holds.

    Raises:
        UsageError: a word is neither.
    """
    space: dict[str, str] = {}
    for word in words:
        field, sign, text = word.partition("=")
        if sign:
            space[field] = text
        elif word in (searches := load_searches()):
            space |= searches[word]
        else:
            raise UsageError(
                f"--space {word!r} is neither FIELD=RANGE, such as lr=1e-4..1e-1:log, nor in config.py's SEARCHES: "
                f"{', '.join(searches)}"
            )
    return space


def distributions(space: Mapping[str, str], recipe: Recipe) -> dict[str, Distribution]:
    """What each field is drawn from.

    Raises:
        UsageError: a field is not known, not to be searched, or has no effect whatever the others are; or a range is
            not of its kind, or goes beyond its bounds.
    """
    if not space:
        raise UsageError("a search needs at least one field to choose from")
    specs = {spec.name: spec for spec in dataclasses.fields(Recipe)}
    found: dict[str, Distribution] = {}
    for field, text in space.items():
        if field not in specs or field in FIXED or get_origin(specs[field].type) in (dict, tuple):
            searched = [name for name in specs if name not in FIXED]
            raise UsageError(f"{field!r} cannot be searched; fields that can: {', '.join(searched)}")
        try:
            found[field] = _distribution(field, text, recipe)
            for value in _ends(found[field]):
                check_fields({field: value})
                if field == "augment":
                    parse(resolved_augmentation(value))
        except (ValueError, UsageError) as error:
            raise UsageError(f"{field}={text}: {error}") from error
    idle = idle_fields(vars(recipe))
    for field in idle.keys() & found.keys():
        others = ({other: end} for other, its in found.items() for end in _ends(its) if other != field)
        if not any(field not in idle_fields({**vars(recipe), **other}) for other in others):
            raise UsageError(f"{field} {IDLE[field].why.format(r=recipe)}")
    return found


def recipe_with(recipe: Recipe, values: Mapping[str, Any]) -> Recipe:
    """The recipe with values drawn for some fields, without those that the others leave without an effect.

    Raises:
        UsageError: the values do not fit each other.
    """
    values = {
        name: float(f"{value:.{DIGITS}g}") if isinstance(value, float) else value for name, value in values.items()
    }
    idle = idle_fields({**vars(recipe), **values})
    changed = recipe.changed(**{name: value for name, value in values.items() if name not in idle})
    return dataclasses.replace(changed, augment=resolved_augmentation(changed.augment))


def values_of(recipe: Recipe, among: Mapping[str, Distribution]) -> dict[str, Any] | None:
    """What would have to be drawn for this recipe; None where it is not among what can be."""
    values = {}
    for field, distribution in among.items():
        value = getattr(recipe, field)
        if isinstance(distribution, CategoricalDistribution):
            same = [each for each in distribution.choices if value in (each, _meant(field, each))]
        else:
            same = [value] if distribution.low <= value <= distribution.high else []
        if not same:
            return None
        values[field] = same[0]
    return values


def _meant(field: str, value: Any) -> Any:
    return resolved_augmentation(value) if field == "augment" else value


def _distribution(field: str, text: str, recipe: Recipe) -> Distribution:
    """Raises ValueError or UsageError."""
    if not (found := RANGE.fullmatch(text)):
        values = [_value(word) for word in COMMA.split(text)]
        if len(set(values)) < len(values):
            raise ValueError("a value stands there twice")
        return CategoricalDistribution(values)
    own = getattr(recipe, field)
    if isinstance(own, bool | str):
        raise ValueError(f"is no range of {field}; list its values, as in {field}=a,b")
    if (found[1] or found[3]) and not own:
        raise ValueError(f"the recipe has {field} {own}, of which there are no multiples")
    low, high = ((own if times else 1) * float(number) for times, number in (found.groups()[:2], found.groups()[2:4]))
    if isinstance(own, int):
        return IntDistribution(round(low), round(high), log=bool(found[5]))
    return FloatDistribution(low, high, log=bool(found[5]))


def _value(word: str) -> Any:
    """A number, true or false; else the word itself."""
    with contextlib.suppress(ValueError):
        return json.loads(word)
    return word


def _ends(distribution: Distribution) -> Sequence[Any]:
    if isinstance(distribution, CategoricalDistribution):
        return distribution.choices
    return distribution.low, distribution.high


def described(fields: Mapping[str, Any]) -> str:
    """Values of fields in words."""
    return ", ".join(
        f"{name} {value:.{DIGITS}g}" if isinstance(value, float) else f"{name} {value}"
        for name, value in fields.items()
    )
