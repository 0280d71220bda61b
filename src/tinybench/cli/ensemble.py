"""Average the predictions of tested runs, without running a network: `python src/ensemble.py --run resnet vit`."""

from dataclasses import dataclass
from pathlib import Path

from tinybench.cli import console
from tinybench.runs import PREDICTIONS, pick_runs


@dataclass(kw_only=True)
class Arguments:
    run: tuple[str, ...] = ()
    """Runs under results_dir to average, two or more; each must have been tested."""
    model: tuple[str, ...] = ()
    """Networks, to take the only run of each; or names of runs, as --run."""
    name: str = ""
    """Name of the results (default: the names of the runs joined by +)."""
    results_dir: Path = Path("results")
    """Where the folders of the runs are; the results go to its folder ensembles."""
    force: bool = False
    """Replace a file of something else that has that name."""
    debug: bool = False
    """Show the whole traceback of an error."""


def main() -> None:
    arguments = console.parse(Arguments, __doc__)
    from tinybench.metrics import score_line
    from tinybench.results.predictions import write_ensemble

    runs = (*arguments.run, *pick_runs(arguments.results_dir, models=arguments.model, file=PREDICTIONS))
    path, results = write_ensemble(arguments.results_dir, runs, arguments.name, force=arguments.force)
    for member in results["members"]:
        print(score_line(member["run"], member))
    print(score_line("ensemble", results))
    print(path)
