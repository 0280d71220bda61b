"""Figures as PNG, PDF and SVG files that are known as ours, and that stay as they are while what is drawn does."""

import hashlib
import io
import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.collections import Collection
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.text import Text
from PIL import Image

from tinybench.errors import notice
from tinybench.runtime.files import atomic_path, check_output

SOFTWARE = "tinybench"
MOST_LETTERS = 5  # that are named of those that the font lacks

# Names of classes and runs are drawn as they are: $, ^ and _ are no formulas.
matplotlib.rcParams["text.parse_math"] = False
# Text stays text in what is not made of pixels, and the same figure makes the same bytes.
matplotlib.rcParams.update({"pdf.fonttype": 42, "svg.fonttype": "none", "svg.hashsalt": SOFTWARE})


def save_figure(figure: Figure, path: Path, *, force: bool = False, dpi: int = 200) -> None:
    """Write a file of the kind that its suffix says, unless the one that is there shows the same.

    Args:
        dpi: of a PNG.

    Raises:
        UsageError: `path` is a file of something else, and `force` does not allow to replace it.
        UserError: it cannot be written.
    """
    check_picture(path, force)
    if path.suffix == ".png":
        content = png(figure, dpi, str(path))
        same = path.exists() and not force and _texts(path) == _texts(io.BytesIO(content))
    else:
        dates = {".pdf": {"CreationDate": None}, ".svg": {"Date": None}}[path.suffix]
        content = _rendered(figure, str(path), format=path.suffix[1:], metadata={"Creator": SOFTWARE, **dates})
        same = path.exists() and path.read_bytes() == content
    if same:
        return
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


def png(figure: Figure, dpi: int, name: str) -> bytes:
    """The bytes of a PNG with our mark and a digest of what is drawn; letters that the font lacks are noticed."""
    metadata = {"Software": SOFTWARE, "Content": _digest(figure, dpi)}
    return _rendered(figure, name, format="png", dpi=dpi, metadata=metadata)


def _rendered(figure: Figure, name: str, **options: Any) -> bytes:
    target = io.BytesIO()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        figure.savefig(target, **options)
    found = [re.match(r"Glyph (\d+) .* missing from font\(s\) (.*)\.", str(warning.message)) for warning in caught]
    if lacking := {chr(int(match[1])): match[2] for match in found if match}:
        letters = " ".join(sorted(lacking)[:MOST_LETTERS]) + (" …" if len(lacking) > MOST_LETTERS else "")
        notice(
            f"{name}: {next(iter(lacking.values()))} lacks {letters}, drawn as boxes; name a font that has them as "
            "font.family in a matplotlibrc file"
        )
    return target.getvalue()


def check_picture(path: Path, force: bool) -> None:
    """As `check_output`, for what `save_figure` writes.

    Raises:
        UsageError: it would be written over a file of something else.
    """

    def is_ours(start: bytes) -> bool:
        if start.startswith(b"%PDF"):  # which ends with what it says of itself
            return f"/Creator ({SOFTWARE})".encode() in path.read_bytes()
        mark = f"Software\0{SOFTWARE}" if start.startswith(b"\x89PNG") else f"<dc:title>{SOFTWARE}</dc:title>"
        return mark.encode() in start

    check_output(path, force, is_ours)


def _texts(picture: Path | io.BytesIO) -> dict[Any, Any]:
    with Image.open(picture) as image:
        return dict(image.info)


def _digest(figure: Figure, dpi: int) -> str:
    """Of the texts and numbers in a figure: pixels also depend on the version of the library and of the fonts."""
    digest = hashlib.sha256(f"{figure.get_size_inches()} {dpi}".encode())
    for artist in figure.findobj():
        for part in _parts(artist):
            digest.update(part if isinstance(part, bytes) else part.encode())
    return digest.hexdigest()


def _parts(artist: object) -> Iterator[str | bytes]:
    """What an artist shows, numbers to six digits: those that rounding cannot tell apart are the same."""
    if isinstance(artist, Text):
        yield f"{artist.get_text()} {_color(artist.get_color())}"
    elif isinstance(artist, Line2D):
        yield f"{_numbers(artist.get_xydata())} {artist.get_linestyle()} {artist.get_marker()}"
        yield _color(artist.get_color())
    elif isinstance(artist, Rectangle):
        yield f"{_numbers(artist.get_bbox().get_points())} {_color(artist.get_facecolor())} {artist.get_hatch()}"
    elif isinstance(artist, AxesImage):
        yield np.ascontiguousarray(artist.get_array()).tobytes()
    elif isinstance(artist, Collection):
        yield f"{_numbers(artist.get_offsets())} {_numbers(artist.get_array())}"
        yield from (_numbers(path.vertices) for path in artist.get_paths())


def _color(color: Any) -> str:
    return to_hex(color, keep_alpha=True)


def _numbers(values: object) -> str:
    if values is None:
        return ""
    filled = np.ma.filled(np.ma.asarray(values, dtype=np.float64), np.nan)
    return " ".join(f"{value:.6g}" for value in filled.ravel())
