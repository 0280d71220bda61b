"""Average the answers of tested runs, without running a network: `python src/ensemble.py --runs resnet vit`."""

from dataclasses import dataclass
from pathlib import Path

from tinybench import cli
from tinybench.analysis.ensembles import score_line, write_ensemble


@dataclass(kw_only=True)
class Arguments:
    runs: tuple[str, ...]
    """Runs under results_dir to average; each must have been tested."""
    name: str = ""
    """Name of the results (default: the names of the runs joined by +)."""
    results_dir: Path = Path("results")
    """Where the folders of the runs are; the results go to its folder ensembles."""
    force: bool = False
    """Replace a file of something else that has that name."""
    debug: bool = False
    """Show the whole traceback of an error."""


def main() -> None:
    arguments = cli.parse(Arguments, __doc__)
    path, results = write_ensemble(arguments.results_dir, arguments.runs, arguments.name, force=arguments.force)
    for member in results["members"]:
        print(score_line(member["run"], member))
    print(score_line("ensemble", results))
    print(path)


if __name__ == "__main__":
    cli.run(main)
