"""Search for a better recipe: `python src/search.py --model resnet --trials 30 --minutes 120`.

--space names the fields to choose from, as an entry of config.py's SEARCHES or as FIELD=RANGE: lr=1e-4..1e-1:log,
dropout=0..0.5, weight_decay=x0.1..x10:log (multiples of the recipe's own), augment=basic,standard. A field of the
recipe given as a flag holds for every trial. Trials are compared by the validation images; the test images are never
touched. The same command goes on where the last one ended, and may run several times at once to share the work.
"""

import dataclasses
import importlib.util
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from tinybench.cli import console
from tinybench.cli.figure_arguments import FigureArguments
from tinybench.cli.launch_arguments import LaunchArguments
from tinybench.cli.train import entry_of, known_names, with_stated
from tinybench.configuration import get_recipe, load_augmentations, load_recipes, load_searches, resolved_augmentation
from tinybench.errors import UsageError, printable
from tinybench.model_file import load_model_file
from tinybench.recipe import Count, CountOrNone, Draft, NotNegative, Recipe, check_run_name
from tinybench.words import counted, duration, listed

if TYPE_CHECKING:
    from tinybench.sweep.gain import Gain
    from tinybench.sweep.run_one import RunPaths
    from tinybench.sweep.search import Search


@dataclass(kw_only=True)
class Arguments(LaunchArguments):
    fields: Draft = field(default_factory=Draft)
    recipe: str = ""
    """Entry of config.py to start from (default: the one of --model)."""
    name: str = ""
    """Name of the search, and of its folder under results_dir (default: search_ and the recipe's name)."""
    space: tuple[str, ...] = ("usual",)
    """What to choose from: entries of SEARCHES, and FIELD=RANGE."""
    trials: Count = 30
    """How many recipes to try, by all commands that share the search."""
    minutes: NotNegative = 0.0
    """Begin no trial once all have trained for so many minutes (0: no limit)."""
    pruner: Literal["median", "hyperband", "none"] = "median"
    """Which trials are stopped early: those below the median of the others, or as Hyperband says."""
    retrain: CountOrNone = 3
    """Afterwards train the start and the best with so many other seeds (0: neither)."""
    storage: str = ""
    """Address of a database that Optuna knows, for workers on many machines (default: a file in the search's
    folder)."""
    output_dir: Path = Path("plots")
    """The figures go to output_dir/<name>/."""


def main() -> None:
    recipes = load_recipes()
    known = known_names(recipes) | {"space": f" Known: {', '.join(load_searches())}."}
    arguments = console.parse(Arguments, __doc__, more=known, recipe_defaults=False)
    require_optuna()
    from tinybench.cli.plot_search import draw_search
    from tinybench.results.searches import read_search
    from tinybench.sweep.gain import measure_gain
    from tinybench.sweep.search import Search, carry_out_search
    from tinybench.sweep.space import read_space

    if arguments.model_file:
        recipes |= load_model_file(arguments.model_file)
    entry = arguments.recipe or entry_of(arguments.fields.model, recipes)
    recipe = with_stated(get_recipe(entry, recipes), arguments.fields)
    search = Search(
        name=arguments.name or f"search_{entry.replace('/', '_')}",
        recipe=dataclasses.replace(recipe, augment=resolved_augmentation(recipe.augment)),
        space=read_space(arguments.space),
        trials=arguments.trials,
        minutes=arguments.minutes,
        pruner=arguments.pruner,
        storage=arguments.storage,
    )
    check_run_name(search.name, "--name")
    arguments.check_executor()
    paths, launch = arguments.paths(), arguments.launcher()
    arguments.confirm(announce(search, paths))
    study = carry_out_search(search, paths, launch)
    found = read_search(paths.results_dir, search.name)
    print("\n".join(summary(found)))
    best, number = study.best_recipe(), found["best"]
    if best == search.recipe:
        print("no trial was better than the start")
    else:
        if arguments.retrain:
            print(f"training both with {arguments.retrain} other seeds", flush=True)
            gain = measure_gain(search.name, search.recipe, best, number, arguments.retrain, paths, launch)
            print(gain_line(gain, number))
        print(f"for RECIPES in config.py:\n{entry_text(f'{entry}_found', best)}")
    draw_search(search.name, paths.results_dir, arguments.output_dir, FigureArguments())


def require_optuna() -> None:
    """Raises UsageError where the package is not installed."""
    if not importlib.util.find_spec("optuna"):
        raise UsageError("a search needs a package: pip install optuna")


def announce(search: "Search", paths: "RunPaths") -> float:
    """Print what is about to be searched; about how many seconds it takes at most, on this machine alone.

    Raises:
        UsageError: the space does not fit the recipe.
        UserError: the data are not there, or the recipe does not fit them.
    """
    from tinybench.sweep.estimate import epoch_seconds
    from tinybench.sweep.plan import Run
    from tinybench.sweep.space import distributions

    distributions(search.space, search.recipe)  # what is wrong with them is said before anything is timed
    start = Run(name=search.name, recipe_name=search.recipe.model, recipe=search.recipe, save_every=0)
    seconds = search.trials * sum(epoch_seconds(start, paths))
    if search.minutes:
        seconds = min(seconds, 60 * search.minutes)
    space = ", ".join(f"{name} {text}" for name, text in search.space.items())
    print(
        f"{printable(search.name)}: {search.trials} trials of {search.recipe.epochs} epochs over {space}; on this "
        f"machine alone at most about {duration(seconds)}",
        flush=True,
    )
    return seconds


def summary(found: dict[str, Any]) -> list[str]:
    """What came of a search, in a few lines."""
    from tinybench.results.searches import saved_epochs, stopped_early
    from tinybench.sweep.space import described

    trials = found["trials"]
    stopped = stopped_early(found)
    epochs, seconds = saved_epochs(found)
    best = next(trial for trial in trials if trial["number"] == found["best"])
    lines = [
        f"best of {counted(len(trials), 'trial')}: {best['number']}, {best['val_acc']:.2f} % on the validation images"
    ]
    if not best["start"]:
        lines.append(f"  {printable(described(best['values']))}")
    if stopped:
        planned = len(trials) * found["recipe"]["epochs"]
        lines.append(
            f"{counted(len(stopped), 'trial')} stopped early, which saved {epochs} of {planned} epochs, about "
            f"{duration(seconds)}"
        )
    if found["importance"]:
        shares = [f"{name} {share:.0%}" for name, share in found["importance"].items()]
        lines.append(f"what mattered: {listed(shares)}")
    return lines


def gain_line(gain: "Gain", number: int) -> str:
    """How much better the recipe of a trial is with other seeds than the start."""
    from tinybench.stats.intervals import mean_interval

    start, found = (mean_interval(accuracies).mean for accuracies in gain)
    mean, low, high = mean_interval([after - before for before, after in zip(*gain, strict=True)])
    bounds = "" if low is None else f" (95 % interval {low:+.2f} to {high:+.2f})"
    return (
        f"with other seeds: {start:.2f} % for the start, {found:.2f} % for trial {number}: {mean:+.2f} points{bounds}"
    )


def entry_text(name: str, recipe: Recipe) -> str:
    """An entry of RECIPES, as Python; what the recipe has by default is left out."""
    names = {resolved_augmentation(name): name for name in load_augmentations()}
    values = recipe.as_dict() | {"augment": names.get(recipe.augment, recipe.augment)}
    usual = Recipe().as_dict()
    shown = {field: value for field, value in values.items() if field == "model" or value != usual[field]}
    lines = (f"        {field}={_literal(value)},\n" for field, value in shown.items())
    return f'    "{name}": Recipe(\n{"".join(lines)}    ),'


def _literal(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else repr(value)
