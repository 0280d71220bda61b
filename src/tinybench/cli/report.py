"""All results on one page that opens from disk: `python src/report.py` writes results/report.html."""

from dataclasses import dataclass
from pathlib import Path

from tinybench.cli import console
from tinybench.errors import printable


@dataclass(kw_only=True)
class Arguments:
    plan: str = ""
    """Only the runs of this comparison, which are in results_dir/plan (default: every run in results_dir)."""
    results_dir: Path = Path("results")
    """Where the folders of the runs are."""
    output: Path | None = None
    """The page (default: results_dir/report.html)."""
    force: bool = False
    """Replace the output even if it is a file of something else."""
    debug: bool = False
    """Show the whole traceback of an error."""


def main() -> None:
    arguments = console.parse(Arguments, __doc__)
    from tinybench.report import build_report

    output = arguments.output or arguments.results_dir / "report.html"
    content = build_report(arguments.results_dir, output, arguments.plan, force=arguments.force)
    rows = sum(len(group["rows"]) for group in content["groups"])
    runs = sum(len(row["runs"]) for group in content["groups"] for row in group["rows"])
    for problem in content["problems"]:
        print(printable(problem))
    print(f"{printable(output)}: models {rows}, runs {runs}, {output.stat().st_size / 1e6:.1f} MB")
