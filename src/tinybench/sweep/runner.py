"""A plan on the screen: what it will take, one bar over all of it, a line a run."""

from collections.abc import Mapping, Sequence

from tqdm import tqdm

from tinybench.errors import printable
from tinybench.runtime.files import read_json
from tinybench.sweep.estimate import epoch_seconds
from tinybench.sweep.launchers import Launcher
from tinybench.sweep.plan import Run
from tinybench.sweep.run_one import HELD, RunPaths
from tinybench.sweep.status import Status, epochs_done, status_of
from tinybench.words import counted, duration


def show_plan(name: str, runs: Sequence[Run], statuses: Mapping[str, Status], paths: RunPaths) -> float:
    """Print a line a recipe: its runs that are left, their epochs, and about how long they will take; then the sum.

    Returns:
        The seconds of all, one after the other on this machine.

    Raises:
        UserError: the data are not there, or a recipe does not fit them.
    """
    print(f"plan {printable(name)}: {len(runs)} of {len(statuses)} runs are left")
    total = 0.0
    for recipe_name in dict.fromkeys(run.recipe_name for run in runs):
        mine = [run for run in runs if run.recipe_name == recipe_name]
        epochs = sum(run.recipe.epochs - statuses[run.name].epochs for run in mine)
        each = epoch_seconds(mine[0], paths)
        seconds = sum(sum(each[statuses[run.name].epochs :]) for run in mine)
        total += seconds
        work = f"{counted(len(mine), 'run'):<8}{counted(epochs, 'epoch'):<12}about {duration(seconds)}"
        print(f"  {recipe_name:<18}{work}", flush=True)
    if runs:
        print(f"  one after the other on this machine: about {duration(total)}", flush=True)
    return total


def carry_out(runs: Sequence[Run], statuses: Mapping[str, Status], paths: RunPaths, launch: Launcher) -> list[Run]:
    """Carry the runs out under one bar that counts epochs, and return those that failed.

    Raises:
        Stopped: a signal came; the same plan goes on later.
    """
    done = {run.name: statuses[run.name].epochs for run in runs}
    failed = []
    total = sum(run.recipe.epochs for run in runs)
    with tqdm(total=total, initial=sum(done.values()), unit=" epochs", disable=None) as bar:

        def watch(run: Run) -> bool:
            epochs = epochs_done(run, paths.results_dir)
            bar.set_description(run.name, refresh=False)
            bar.update(epochs - done[run.name])
            bar.refresh()
            done[run.name] = epochs
            return False

        for run, reason in launch(runs, paths, watch):
            watch(run)
            if reason is None and run.validate_only:
                line = status_of(run, paths.results_dir).note
            elif reason is None:
                results = read_json(paths.results_dir / run.name / "test_results.json")
                line = f"top-1 {results['test_acc']:.2f} %, top-5 {results['test_top5_acc']:.2f} %"
            elif reason == HELD:
                line = reason
            else:
                failed.append(run)
                line = f"failed: {reason}"
            bar.write(f"{printable(run.name):<40}{line}")
    return failed
