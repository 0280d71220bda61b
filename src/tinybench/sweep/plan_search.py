"""Searches that come before a plan: as many trials for each of its recipes, so that the comparison is a fair one."""

import dataclasses
from collections.abc import Sequence

from tinybench.recipe import Recipe
from tinybench.results.searches import SEARCH_OF
from tinybench.sweep.plan import Plan, Run
from tinybench.sweep.search import Search
from tinybench.sweep.space import read_space


def searches_of(plan: Plan, runs: Sequence[Run]) -> dict[str, Search]:
    """The search for each recipe of a plan, by the recipe's name in it.

    Args:
        runs: all of the plan's.

    Raises:
        UsageError: the plan's space is not known.
    """
    seed = 1 + max(run.recipe.seed for run in runs)  # none of the plan's: the trials have a split of their own
    return {
        run.recipe_name: Search(
            name=f"{plan.name}/{SEARCH_OF.format(recipe=run.recipe_name)}",
            recipe=dataclasses.replace(run.recipe, seed=seed),
            space=read_space(plan.search_space),
            trials=plan.search_trials,
        )
        for run in runs
    }


def with_recipes(runs: Sequence[Run], found: dict[str, Recipe]) -> list[Run]:
    """The runs of a plan with the recipes that were found, by their names in it; each keeps its seed."""
    return [
        dataclasses.replace(run, recipe=dataclasses.replace(found[run.recipe_name], seed=run.recipe.seed))
        for run in runs
    ]
