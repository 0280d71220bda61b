"""What plot_training_loss and plot_training_acc share: runs to draw, and where the picture goes."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tinybench.cli.figure_arguments import FigureArguments
from tinybench.errors import UsageError, printable
from tinybench.runs import find_runs, pick_runs


@dataclass(kw_only=True)
class Arguments(FigureArguments):
    run: tuple[str, ...] = ()
    """Runs under results_dir to draw, one or several."""
    model: tuple[str, ...] = ()
    """Networks, to draw the only run of each; or names of runs, as --run."""
    results_dir: Path = Path("results")
    """Where the folders of the runs are."""
    output_dir: Path = Path("plots")
    """The pictures go to output_dir/<run>/."""
    debug: bool = False
    """Show the whole traceback of an error."""


def plot_runs(figure: str, arguments: Arguments) -> None:
    """Draw each run's history with that function of `figures`, and save the pictures."""
    from tinybench import figures
    from tinybench.results.runs import read_history

    arguments.check_figures()
    # All histories first: a name mistyped leaves nothing half done.
    runs = pick_runs(arguments.results_dir, arguments.run, arguments.model, file="history.json")
    if not runs:
        raise UsageError(
            f"name a run with --run; there are: {', '.join(find_runs(arguments.results_dir, 'history.json'))}"
        )
    histories = {run: read_history(arguments.results_dir, run) for run in runs}
    for run, history in histories.items():
        draw = partial(getattr(figures, figure), run, history)
        for path in arguments.save(draw, arguments.output_dir / run / figure):
            print(printable(path))
