"""Draw every figure of a comparison: `python plots/plot_comparison.py --plan NAME`."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from tinybench.cli import console
from tinybench.cli.figure_arguments import FigureArguments
from tinybench.errors import UserError, printable

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from tinybench.results.runs import RunResults

# Functions of `figures` that draw a comparison from the runs alone.
COMPARISON = (
    "learning_curves",
    "learning_rates",
    "generalization_gap",
    "accuracy_bars",
    "accuracy_against_costs",
    "accuracy_by_trials",
    "critical_differences",
    "class_accuracy",
    "agreement_between_models",
    "reliability_diagram",
    "corruption_curves",
    "attack_curves",
)


@dataclass(kw_only=True)
class Arguments(FigureArguments):
    plan: str = ""
    """The plan to draw: a folder under results_dir. Empty: the plan, or the runs without one, with the most recipes."""
    results_dir: Path = Path("results")
    """Where the folder of the plan is, and published.csv."""
    output_dir: Path = Path("plots")
    """The pictures go to output_dir/<plan>/, of runs without a plan to output_dir/runs/."""
    debug: bool = False
    """Show the whole traceback of an error."""


def main() -> None:
    """Draw every figure of a comparison, and say which could not be drawn and why.

    Raises:
        UserError: there is no such plan, or no run at all.
    """
    arguments = console.parse(Arguments, __doc__)
    from tinybench.results.groups import comparable_runs, trained
    from tinybench.results.runs import load_runs

    arguments.check_figures()

    all_runs = load_runs(arguments.results_dir)
    runs = comparable_runs(all_runs, arguments.plan)
    trained(runs)
    folder = arguments.output_dir / (runs[0].plan or "runs")
    missing = {}
    for name, draw in _comparison(runs, all_runs, arguments.results_dir):
        try:
            paths = arguments.save(draw, folder / name)
        except UserError as error:
            missing[name] = str(error)
        else:
            print(*map(printable, paths), sep="\n")
    for name, reason in missing.items():
        print(printable(f"not drawn: {name}: {reason}"))


def _comparison(
    runs: Sequence["RunResults"], all_runs: Sequence["RunResults"], results_dir: Path
) -> Iterator[tuple[str, Callable[[], "Figure"]]]:
    from tinybench import figures
    from tinybench.results.groups import trained
    from tinybench.results.runs import read_published

    for name in COMPARISON:
        yield name, partial(getattr(figures, name), runs)
    for group in trained(runs):
        yield f"confusion_matrix_{group.recipe.replace('/', '_')}", partial(figures.confusion_matrix, runs, group.label)
    # Of all runs on the published task, in whatever plan: what others did was not under one protocol either.
    yield "published_accuracy", lambda: figures.published_accuracy(all_runs, read_published(results_dir))
    yield "published_hours", lambda: figures.published_hours(all_runs, read_published(results_dir))
