"""The flags of all commands that write figures."""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from annotated_types import Interval

from tinybench.cli import console
from tinybench.errors import UsageError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Dpi = Annotated[int, Interval(ge=20, le=2400)]
COLUMN, COLUMN_FONT = 3.5, 8.0  # inches and points, of a column of a paper


@dataclass(kw_only=True)
class FigureArguments:
    format: tuple[Literal["png", "pdf", "svg"], ...] = ("png",)
    """File formats of the figures: one or several of png, pdf and svg."""
    width: Annotated[float, Interval(ge=2, le=100)] | None = None
    """Width of the figures in inches (default: of png, each its own; of pdf and svg 3.5, a column of a paper)."""
    font_size: Annotated[float, Interval(ge=4, le=40)] | None = None
    """Size of the axes' names in points; lines and markers follow (default: of png 12, of pdf and svg 8)."""
    dpi: Dpi = 200
    """Pixels an inch of png."""
    force: bool = False
    """Replace files of something else that have the names of the figures."""

    def check_figures(self) -> None:
        """Refuse what would draw nothing, or do nothing.

        Raises:
            UsageError: naming the flag.
        """
        if not self.format:
            raise UsageError("--format needs at least one value")
        console.require("png" in self.format, ["dpi"], "goes with --format png; pdf and svg have no pixels")

    def files(self, path: Path) -> list[Path]:
        """Where `save` writes, one file a format."""
        return [path.with_name(f"{path.name}.{kind}") for kind in dict.fromkeys(self.format)]

    def save(self, draw: Callable[[], "Figure"], path: Path) -> list[Path]:
        """Draw a figure for the page of each format, and write the files.

        Args:
            path: of the files, without the suffix.

        Raises:
            UserError: there is nothing to draw, or a file cannot be written.
        """
        from tinybench.figures.style import FONT_SIZE, page
        from tinybench.runtime.pictures import save_figure

        files, drawn = self.files(path), dict[tuple[float | None, float], "Figure"]()
        for file in files:
            own = (None, FONT_SIZE) if file.suffix == ".png" else (COLUMN, COLUMN_FONT)
            paper = self.width or own[0], self.font_size or own[1]
            with page(*paper):
                if paper not in drawn:  # some figures take a while
                    drawn[paper] = draw()
                save_figure(drawn[paper], file, force=self.force, dpi=self.dpi)
        return files


FLAGS = tuple(spec.name for spec in dataclasses.fields(FigureArguments))
