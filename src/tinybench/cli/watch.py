"""Watch the runs below a results folder as they go: `python src/watch.py`.

On a terminal the table is drawn anew until Ctrl-C; elsewhere, and with --once, it is printed once. It reads what the
runs write, so that it may look at a plan on a cluster from any machine that sees the folder.
"""

import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tinybench.cli import console
from tinybench.errors import UsageError, printable
from tinybench.recipe import Positive
from tinybench.words import counted, duration, shortened

if TYPE_CHECKING:
    from rich.table import Table

COLORS = {"running": "green", "failed": "red", "interrupted": "yellow", "done": "default"}
BAR = 10  # letters
SHORTEST = 12  # names of runs
PADDING = 2  # between two columns
# What stands in each column after the run's name, on which side of it, and how many letters wide it is.
COLUMNS = (
    ("state", "left", 11), ("epochs", "left", BAR + 8), ("val top-1", "right", 9),
    ("images/s", "right", 8), ("left", "right", 10),
)  # fmt: skip


@dataclass(kw_only=True)
class Arguments:
    plan: str = ""
    """Watch only the runs of this plan of compare.py, or below this folder of results_dir."""
    once: bool = False
    """Print the table once."""
    every: Positive = 2.0
    """Seconds from one look to the next."""
    results_dir: Path = Path("results")
    """Where the folders of the runs are."""
    debug: bool = False
    """Show the whole traceback of an error."""


def main() -> None:
    arguments = console.parse(Arguments, __doc__)
    folder = arguments.results_dir / arguments.plan
    if not folder.is_dir():
        raise UsageError(f"{folder} does not exist; --results_dir and --plan name the folder that holds the runs")
    from rich.console import Console
    from rich.live import Live

    screen = Console(file=sys.__stdout__)
    if arguments.once or not screen.is_terminal:
        screen.print(table(folder, screen.width))
        return
    with Live(table(folder, screen.width, screen.height), console=screen, auto_refresh=False) as live:
        while True:
            time.sleep(arguments.every)
            live.update(table(folder, screen.width, screen.height), refresh=True)


def table(folder: Path, width: int, height: int = 0) -> "Table":
    """The runs below a folder, in so many columns; as many as there is room for in so many lines, or all."""
    from rich.table import Table
    from rich.text import Text

    from tinybench.sweep.watch import watched

    runs = watched(folder)
    shown = runs[: max(1, height - 5)] if height else runs
    title = f"{counted(len(runs), 'run')} in {folder}" + (f", {len(shown)} shown" if len(shown) < len(runs) else "")
    drawn = Table(title=printable(title), title_justify="left", box=None, pad_edge=False)
    drawn.add_column("run", no_wrap=True)
    for name, justify, letters in COLUMNS:
        drawn.add_column(name, justify=justify, min_width=letters, no_wrap=True)  # type: ignore[arg-type]
    room = max(SHORTEST, width - sum(letters + PADDING for _, _, letters in COLUMNS))
    names = shortened([printable(run.name) for run in shown], room)
    for run, short in zip(shown, names, strict=True):
        done = round(BAR * run.epochs / run.planned) if run.planned else 0
        drawn.add_row(
            Text(short),
            Text(run.state, style=COLORS[run.state]),
            Text(f"{'█' * done}{'░' * (BAR - done)} {run.epochs}/{run.planned or '?'}"),
            "" if run.val_acc is None else f"{run.val_acc:.2f} %",
            "" if run.images_per_second is None else f"{run.images_per_second:,.0f}",
            "" if run.seconds_left is None else duration(run.seconds_left),
        )
    return drawn
