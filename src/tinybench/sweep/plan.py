"""A plan: recipes times seeds, and the recipe of every run."""

import dataclasses
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tinybench import formats
from tinybench.configuration import get_recipe, resolved_augmentation
from tinybench.errors import UsageError
from tinybench.libraries import is_of_library
from tinybench.recipe import CountOrNone, Recipe, RunOptions, check_run_name
from tinybench.validation import validated

ALL = "all"
MOST_SEEDS = 1000


@dataclass(frozen=True, kw_only=True)
class Run:
    """One network to train, test and measure.

    Attributes:
        name: of its folder below results_dir: <plan>/<recipe>/seed<k>.
        recipe_name: as the plan calls it.
        recipe: with all overrides, and with the seed.
        save_every: as in RunOptions.
        validate_only: as in Plan.
    """

    name: str
    recipe_name: str
    recipe: Recipe
    save_every: int
    validate_only: bool = False


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is compared, as a user states it; a TOML file has the same keys.

    Attributes:
        name: of the folder below results_dir.
        models: networks or entries of config.py; "all" stands for those of the registry that are `compared`.
        seeds: how many, counted from 0, or which.
        overrides: fields of every recipe that differ from config.py, and save_every.
        overrides_for: further ones, by the name of the recipe. With a key `recipe`, the name is that of a variant of
            that entry of config.py.
        validate_only: train, and leave the test split alone: to choose hyper-parameters by.
        search_trials: of a search for each recipe that comes first (0: none).
        search_space: what these choose from, see sweep/space.py.
    """

    name: str = "comparison"
    models: tuple[str, ...] = (ALL,)
    seeds: int | tuple[int, ...] = 3
    overrides: dict[str, Any] = field(default_factory=dict)
    overrides_for: dict[str, dict[str, Any]] = field(default_factory=dict)
    validate_only: bool = False
    search_trials: int = 0
    search_space: tuple[str, ...] = ("usual",)

    def runs(self, recipes: dict[str, Recipe] | None = None) -> list[Run]:
        """All runs; the first seed of every recipe comes first, so that a plan cut short still compares them all.

        Args:
            recipes: that the plan's entries are of (default: those of config.py).

        Raises:
            UsageError: an unknown recipe or field, a seed twice, or values that do not fit each other.
        """
        if "/" in self.name:
            raise UsageError(f"the plan's name {self.name!r} must be the name of a folder, without separators")
        check_run_name(self.name, "the plan's name")
        names = [entry for name in self.models for entry in (_registry() if name == ALL else [name])]
        names = list(dict.fromkeys(names))  # "all" may stand beside further recipes
        if unused := sorted(self.overrides_for.keys() - set(names)):
            raise UsageError(
                f"overrides for {', '.join(unused)}, which the plan does not run; it runs {', '.join(names)}"
            )
        for name in names:
            check_run_name(name, "the recipe's name")
            if "/" in name and not is_of_library(name):
                raise UsageError(f"{name!r} is the name of a folder in the plan's, and so has no separators")
        if (self.seeds if isinstance(self.seeds, int) else len(self.seeds)) > MOST_SEEDS:
            raise UsageError(f"seeds: a plan takes up to {MOST_SEEDS:,}; more than that nobody runs")
        seeds = range(self.seeds) if isinstance(self.seeds, int) else self.seeds
        if not names or not seeds or len(set(seeds)) < len(seeds):
            raise UsageError(f"a plan needs at least one model and one seed, and no seed twice; seeds: {self.seeds}")
        runs = [self._run(name, recipes) for name in names]
        return [
            dataclasses.replace(run, name=f"{run.name}/seed{seed}", recipe=dataclasses.replace(run.recipe, seed=seed))
            for seed in seeds
            for run in runs
        ]

    def _run(self, name: str, recipes: dict[str, Recipe] | None) -> Run:
        """The run of that recipe, but for its seed."""
        own = dict(self.overrides_for.get(name, {}))
        entry = validated(str, own.pop("recipe", name), f"overrides_for.{name}.recipe", UsageError)
        changes = self.overrides | own
        if "seed" in changes:
            raise UsageError("a plan counts its seeds itself; state them as seeds")
        save_every = changes.pop("save_every", RunOptions.save_every)
        try:
            validated(CountOrNone, save_every, "save_every", UsageError)
            recipe = get_recipe(entry, recipes).changed(**changes)
            recipe = dataclasses.replace(recipe, augment=resolved_augmentation(recipe.augment))
        except UsageError as error:
            raise UsageError(f"{name}: {error}") from error
        folder = name.replace("/", "_")  # of timm/NAME
        return Run(
            name=f"{self.name}/{folder}",
            recipe_name=folder,
            recipe=recipe,
            save_every=save_every,
            validate_only=self.validate_only,
        )


def read_plan(path: Path) -> Plan:
    """A plan from a TOML file.

    Raises:
        UsageError: the file is missing or no TOML, or has a key that a plan has not.
    """
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:  # also of numbers of thousands of digits
        raise UsageError(f"{path} is no TOML: {error}") from error
    if unknown := sorted(values.keys() - formats.Plan.__optional_keys__):
        raise UsageError(f"{path}: a plan has no {unknown[0]!r}; it has {', '.join(formats.Plan.__annotations__)}")
    validated(formats.Plan, values, str(path), UsageError)
    lists = {key: tuple(value) for key, value in values.items() if isinstance(value, list)}
    return Plan(**{**values, **lists})


def _registry() -> list[str]:
    from tinybench.models import MODELS  # torch, which is slow to import

    return [info.recipe for info in MODELS.values() if info.compared]
