"""What the recipe that a search found is worth: trained with other seeds, beside the recipe that it started from.

The best of many trials was lucky with its seed. Other seeds split off other validation images, too.
"""

import dataclasses
import time
from collections.abc import Sequence
from typing import NamedTuple

from tinybench.errors import UserError
from tinybench.recipe import Recipe
from tinybench.runs import best_accuracy
from tinybench.sweep.launchers import POLL_SECONDS, Launcher
from tinybench.sweep.plan import Run
from tinybench.sweep.run_one import RunPaths
from tinybench.sweep.runner import carry_out
from tinybench.sweep.status import history_of, status_of


class Gain(NamedTuple):
    """Validation accuracies in percent, a seed each."""

    start: list[float]
    found: list[float]


def measure_gain(
    name: str, start: Recipe, found: Recipe, trial: int, seeds: int, paths: RunPaths, launch: Launcher
) -> Gain:
    """Train both recipes with the seeds that follow the search's.

    Args:
        name: of the search.
        trial: number of the one that found the recipe.

    Raises:
        UserError: a run fails.
        Stopped: a signal came; the same call goes on later.
    """

    def runs_of(what: str, recipe: Recipe) -> list[Run]:
        return [
            Run(
                name=f"{name}/{what}/seed{seed}",
                recipe_name=what,
                recipe=dataclasses.replace(recipe, seed=seed),
                save_every=0,
                validate_only=True,
            )
            for seed in range(recipe.seed + 1, recipe.seed + 1 + seeds)
        ]

    pairs = runs_of("start", start), runs_of(f"trial{trial:03d}", found)
    _finish([run for runs in zip(*pairs, strict=True) for run in runs], paths, launch)
    return Gain(*([_accuracy(run, paths) for run in runs] for runs in pairs))


def _finish(runs: Sequence[Run], paths: RunPaths, launch: Launcher) -> None:
    """Carry out what is left of some runs, and wait for those that other processes are carrying out."""
    while True:
        statuses = {run.name: status_of(run, paths.results_dir) for run in runs}
        left = [run for run in runs if statuses[run.name].state != "finished"]
        if not left:
            return
        if free := [run for run in left if statuses[run.name].state != "running"]:
            if carry_out(free, statuses, paths, launch):
                raise UserError("a run failed; mend what stands above, and the same command goes on")
        else:
            time.sleep(POLL_SECONDS)


def _accuracy(run: Run, paths: RunPaths) -> float:
    best = best_accuracy(history_of(paths.results_dir / run.name))
    assert best is not None, f"{run.name} is finished"
    return best
