"""Train, test and measure many networks with many seeds: `python src/compare.py --models all --seeds 3`.

A field of a recipe given as a flag holds for every run; what is not given is as in config.py.
The same command goes on where the last one ended: finished runs are never repeated.
"""

import dataclasses
import functools
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from tinybench.cli import console
from tinybench.cli.train import known_names
from tinybench.configuration import load_recipes
from tinybench.errors import UsageError
from tinybench.model_file import load_model_file
from tinybench.recipe import Count, CountOrNone, Device, Draft, NotNegative, Recipe, RunOptions
from tinybench.sweep.plan import Plan, read_plan
from tinybench.words import duration, listed

if TYPE_CHECKING:
    from tinybench.sweep.launchers import Launcher

DAY = 24 * 3600  # seconds


@dataclass(kw_only=True)
class Arguments:
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
    dry_run: bool = False
    """Show the plan with its estimated time, and do nothing."""
    yes: bool = False
    """Start also what will take more than a day, without asking."""
    status: bool = False
    """Show where every run stands, and do nothing."""
    executor: Literal["here", "ray"] = "here"
    """One run after the other on this machine, or as many at a time as a Ray cluster has room for."""
    ray_address: str | None = None
    """Address of the Ray cluster (default: RAY_ADDRESS, or a new one on this machine)."""
    cpus_per_run: NotNegative = 1
    """CPUs that a run takes on the Ray cluster."""
    gpus_per_run: NotNegative | None = None
    """GPUs that a run takes on the Ray cluster; 0.25 lets four runs share one (default: 1 where the cluster has any,
    unless device is cpu)."""
    save_every: CountOrNone = RunOptions.save_every
    """Keep checkpoint_epoch_N.pth every so many epochs (0: none)."""
    data_dir: Path = Path("data")
    """Where the data sets are."""
    results_dir: Path = Path("results")
    """Where the folders of the runs are."""
    device: Device = "auto"
    """auto takes CUDA, then MPS, then the CPU."""
    model_file: Path | None = None
    """File that adds networks to MODELS and holds their RECIPES."""
    debug: bool = False
    """Show the whole traceback of an error."""


def main() -> int:
    recipes = load_recipes()
    known = known_names(recipes) | {"models": f" Known: {', '.join(recipes)}."}
    arguments = console.parse(Arguments, __doc__, more=known, recipe_defaults=False)
    from tinybench.results.comparison import describe, write_comparison
    from tinybench.sweep.run_one import RunPaths
    from tinybench.sweep.runner import carry_out, show_plan, status_line
    from tinybench.sweep.status import status_of

    console.require(not arguments.status, ["dry_run"], "does nothing with --status, which shows where the runs stand")
    paths = RunPaths(
        data_dir=arguments.data_dir,
        results_dir=arguments.results_dir,
        device=arguments.device,
        model_file=arguments.model_file and arguments.model_file.resolve(),
    )
    if arguments.model_file:
        recipes |= load_model_file(arguments.model_file)
    plan = make_plan(arguments)
    runs = [run for run in plan.runs(recipes) if not arguments.only or any(part in run.name for part in arguments.only)]
    if not runs:
        raise UsageError(f"--only {' '.join(arguments.only)}: the plan has no such run")
    statuses = {run.name: status_of(run, paths.results_dir) for run in runs}
    if arguments.status:
        for run in runs:
            print(status_line(run, statuses[run.name]))
        return 0
    launch = choose_launcher(arguments)
    left = [run for run in runs if statuses[run.name].state not in ("finished", "running")]
    seconds = show_plan(plan.name, left, statuses, paths)
    if held := [run.name for run in runs if statuses[run.name].state == "running"]:
        print(f"  being carried out by another process: {listed(held)}", flush=True)
    if arguments.dry_run:
        return 0
    if seconds > DAY and not arguments.yes:
        confirm(f"on this machine alone this takes about {duration(seconds)}")
    failures = carry_out(left, statuses, paths, launch)
    if not plan.validate_only:
        table = write_comparison(paths.results_dir)
        print(describe(table[table["plan"] == plan.name]))
    return 1 if failures else 0


def confirm(what: str) -> None:
    """Ask on a terminal whether to go on.

    Raises:
        UsageError: nobody says yes.
    """
    if sys.stdin.isatty() and input(f"{what}; start? [y/N] ").strip().lower() in ("y", "yes"):
        return
    raise UsageError(f"not started: {what}; start it with --yes")


def make_plan(arguments: Arguments) -> Plan:
    """The plan of the file, if there is one, with what the flags say."""
    plan = read_plan(arguments.plan) if arguments.plan else Plan()
    flags = {name: getattr(arguments, name) for name in console.stated(["name", "models", "seeds", "validate_only"])}
    fields = console.stated([spec.name for spec in dataclasses.fields(Recipe)])
    overrides = plan.overrides | {name: getattr(arguments.overrides, name) for name in fields}
    if console.stated(["save_every"]):
        overrides["save_every"] = arguments.save_every
    return dataclasses.replace(plan, **flags, overrides=overrides)


def choose_launcher(arguments: Arguments) -> "Launcher":
    from tinybench.sweep.launchers import run_here, run_on_ray

    if arguments.executor == "ray":
        return functools.partial(
            run_on_ray, address=arguments.ray_address, cpus=arguments.cpus_per_run, gpus=arguments.gpus_per_run
        )
    console.require(False, ["ray_address", "cpus_per_run", "gpus_per_run"], "goes with --executor ray")
    return run_here
