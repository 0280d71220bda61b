"""What plot_training_loss and plot_training_acc share: runs to draw, and where the picture goes."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from tinybench.cli import console
from tinybench.errors import UsageError, printable
from tinybench.results.runs import read_history
from tinybench.runs import find_runs, pick_runs
from tinybench.runtime.pictures import save_figure


@dataclass(kw_only=True)
class PlotArguments:
    run: tuple[str, ...] = ()
    """Runs under results_dir to draw, one or several."""
    model: tuple[str, ...] = ()
    """Networks, to draw the only run of each; or names of runs, as --run."""
    results_dir: Path = Path("results")
    """Where the folders of the runs are."""
    output_dir: Path = Path("plots")
    """The pictures go to output_dir/<run>/."""
    force: bool = False
    """Replace files of something else that have the names of the pictures."""
    debug: bool = False
    """Show the whole traceback of an error."""


def plot_runs(draw: Callable[[str, dict[str, Any]], Figure], file_name: str, description: str | None) -> None:
    """Parse the command line, draw each run's history and save the pictures."""
    arguments = console.parse(PlotArguments, description)
    # All histories first: a name mistyped leaves nothing half done.
    runs = pick_runs(arguments.results_dir, arguments.run, arguments.model, file="history.json")
    if not runs:
        raise UsageError(
            f"name a run with --run; there are: {', '.join(find_runs(arguments.results_dir, 'history.json'))}"
        )
    histories = {run: read_history(arguments.results_dir, run) for run in runs}
    for run, history in histories.items():
        path = arguments.output_dir / run / file_name
        save_figure(draw(run, history), path, force=arguments.force)
        print(printable(path))
