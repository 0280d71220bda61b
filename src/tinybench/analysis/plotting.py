"""What the scripts in plots/ share: runs to draw, and where the picture goes."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from tinybench import cli
from tinybench.analysis.results import read_history
from tinybench.runtime.files import atomic_path


@dataclass(kw_only=True)
class PlotArguments:
    model: tuple[str, ...]
    """Runs to draw: one or several folders under results_dir."""
    results_dir: Path = Path("results")
    """Where the folders of the runs are."""
    output_dir: Path = Path("plots")
    """The pictures go to output_dir/<run>/."""
    debug: bool = False
    """Show the whole traceback of an error."""


def plot_runs(draw: Callable[[str, dict[str, Any]], Figure], file_name: str, description: str | None) -> None:
    """Parse the command line, draw each run's history and save the pictures."""
    arguments = cli.parse(PlotArguments, description)
    # All histories first: a name mistyped leaves nothing half done.
    histories = {run: read_history(arguments.results_dir, run) for run in arguments.model}
    for run, history in histories.items():
        path = arguments.output_dir / run / file_name
        with atomic_path(path) as temporary:
            draw(run, history).savefig(temporary, format="png", dpi=200)
        print(path)
