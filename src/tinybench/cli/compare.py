"""Train, test and measure many networks with many seeds: `python src/compare.py --models all --seeds 3`.

A field of a recipe given as a flag holds for every run; what is not given is as in config.py.
The same command goes on where the last one ended: finished runs are never repeated.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from tinybench.cli import console
from tinybench.cli.launch_arguments import LaunchArguments
from tinybench.cli.search import announce, require_optuna
from tinybench.cli.train import known_names
from tinybench.configuration import load_recipes
from tinybench.errors import UsageError, printable
from tinybench.model_file import load_model_file
from tinybench.recipe import Count, CountOrNone, Draft, Recipe, RunOptions
from tinybench.sweep.plan import Plan, read_plan
from tinybench.words import listed

if TYPE_CHECKING:
    from tinybench.sweep.search import Search


PLANNED = ("name", "models", "seeds", "validate_only", "search_trials", "search_space")  # flags that a plan has as keys


@dataclass(kw_only=True)
class Arguments(LaunchArguments):
    overrides: Draft = field(default_factory=Draft)
    plan: Path | None = None
    """TOML file with name, models, seeds, [overrides] and [overrides_for.RECIPE]; flags go before it."""
    name: str = Plan.name
    """Name of the plan, and of its folder under results_dir."""
    models: tuple[str, ...] = Plan.models
    """Networks or entries of config.py; all stands for every network of the registry."""
    seeds: Count = 3
    """How many runs of each, with seeds from 0."""
    only: tuple[str, ...] = ()
    """Carry out only the runs whose name has one of these in it, such as resnet or seed0."""
    validate_only: bool = False
    """Train, and leave the test split alone: to choose hyper-parameters by."""
    search_trials: CountOrNone = Plan.search_trials
    """First search for the recipe of each network with so many trials, as search.py does (0: take those of
    config.py)."""
    search_space: tuple[str, ...] = Plan.search_space
    """What --search_trials choose from, as --space of search.py."""
    dry_run: bool = False
    """Show the plan with its estimated time, and do nothing."""
    status: bool = False
    """Show where every run stands, and do nothing."""
    save_every: CountOrNone = RunOptions.save_every
    """Keep checkpoint_epoch_N.pth every so many epochs (0: none)."""


def main() -> int:
    recipes = load_recipes()
    known = known_names(recipes) | {"models": f" Known: {', '.join(recipes)}."}
    arguments = console.parse(Arguments, __doc__, more=known, recipe_defaults=False)
    from tinybench.sweep.status import status_line, status_of

    console.require(not arguments.status, ["dry_run"], "does nothing with --status, which shows where the runs stand")
    arguments.check_executor()
    if arguments.model_file:
        recipes |= load_model_file(arguments.model_file)
    plan = make_plan(arguments)
    console.require(plan.search_trials > 0, ["search_space"], "goes with --search_trials")
    planned = plan.runs(recipes)
    runs = [run for run in planned if not arguments.only or any(part in run.name for part in arguments.only)]
    if not runs:
        raise UsageError(f"--only {' '.join(arguments.only)}: the plan has no such run")
    if plan.search_trials:
        require_optuna()
        from tinybench.sweep.plan_search import searches_of, with_recipes

        recipe_names = {run.recipe_name for run in runs}
        searches = {name: search for name, search in searches_of(plan, planned).items() if name in recipe_names}
        if (found := search_first(searches, arguments)) is None:
            return 0
        runs = with_recipes(runs, found)
    statuses = {run.name: status_of(run, arguments.results_dir) for run in runs}
    if arguments.status:
        for run in runs:
            print(status_line(run, statuses[run.name]))
        return 0
    # Not before: all that carries runs out needs torch, whose import takes seconds.
    from tinybench.results.comparison import describe, write_comparison
    from tinybench.sweep.runner import carry_out, show_plan

    paths = arguments.paths()
    left = [run for run in runs if statuses[run.name].state not in ("finished", "running")]
    seconds = show_plan(plan.name, left, statuses, paths)
    if held := [run.name for run in runs if statuses[run.name].state == "running"]:
        print(f"  being carried out by another process: {listed(held)}", flush=True)
    if arguments.dry_run:
        return 0
    arguments.confirm(seconds)
    failures = carry_out(left, statuses, paths, arguments.launcher())
    if not plan.validate_only:
        table = write_comparison(paths.results_dir)
        print(describe(table[table["plan"] == plan.name]))
    return 1 if failures else 0


def search_first(searches: Mapping[str, "Search"], arguments: Arguments) -> dict[str, Recipe] | None:
    """Carry out what is left of the searches; what they found. None if that is only to be shown, and not done yet.

    Raises:
        UserError: a search fails.
    """
    from tinybench.results.searches import ended_trials
    from tinybench.sweep.search import carry_out_search

    paths, launch = arguments.paths(), arguments.launcher()
    ended = {name: ended_trials(paths.results_dir, search.name) for name, search in searches.items()}
    left = [search for name, search in searches.items() if ended[name] < search.trials]
    if arguments.status:
        for name, search in searches.items():
            print(f"{printable(search.name):<40}{ended[name]} of {search.trials} trials have ended")
    else:
        seconds = sum(announce(search, paths) for search in left)
        if not arguments.dry_run:
            arguments.confirm(seconds)
    if left and (arguments.status or arguments.dry_run):
        return None
    return {name: carry_out_search(search, paths, launch).best_recipe() for name, search in searches.items()}


def make_plan(arguments: Arguments) -> Plan:
    """The plan of the file, if there is one, with what the flags say."""
    plan = read_plan(arguments.plan) if arguments.plan else Plan()
    flags = {name: getattr(arguments, name) for name in console.stated(PLANNED)}
    fields = console.stated([spec.name for spec in dataclasses.fields(Recipe)])
    overrides = plan.overrides | {name: getattr(arguments.overrides, name) for name in fields}
    if console.stated(["save_every"]):
        overrides["save_every"] = arguments.save_every
    return dataclasses.replace(plan, **flags, overrides=overrides)
