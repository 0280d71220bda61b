"""Draw what a search tried: `python plots/plot_search.py --name search_resnet`."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tinybench.cli import console
from tinybench.cli.figure_arguments import FigureArguments
from tinybench.errors import printable
from tinybench.recipe import check_run_name


@dataclass(kw_only=True)
class Arguments(FigureArguments):
    name: str
    """The search: a folder under results_dir."""
    results_dir: Path = Path("results")
    """Where the folder of the search is."""
    output_dir: Path = Path("plots")
    """The pictures go to output_dir/<name>/."""
    debug: bool = False
    """Show the whole traceback of an error."""


def main() -> None:
    arguments = console.parse(Arguments, __doc__)
    arguments.check_figures()
    check_run_name(arguments.name, "--name")
    draw_search(arguments.name, arguments.results_dir, arguments.output_dir, arguments)


def draw_search(name: str, results_dir: Path, output_dir: Path, arguments: FigureArguments) -> None:
    """Draw the trials of a search and the fields that it chose, and name the files.

    Raises:
        UserError: there is no such search, or a file cannot be written.
    """
    from tinybench import figures
    from tinybench.results.searches import read_search

    search = read_search(results_dir, name)
    for figure in ("search_trials", "search_fields"):
        for path in arguments.save(partial(getattr(figures, figure), search), output_dir / name / figure):
            print(printable(path))
