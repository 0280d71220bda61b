"""What the notebooks share: showing figures, tables and sentences, or saying why there are none."""

import io
from collections.abc import Callable
from typing import Any

import pandas as pd
from IPython.display import Image, Markdown, display
from matplotlib.figure import Figure

from tinybench.errors import UserError

DPI = 64  # keeps a notebook with all its figures below a megabyte

Part = Callable[..., Figure | pd.DataFrame | list[str]]


def show(*parts: Part, of: Any) -> None:
    """Call each part with `of` (a tuple: with its members) and display what it returns.

    Parts return a figure, a table, or sentences, which become a list. Where a part raises a UserError, since something
    is missing, its message is displayed instead, once for all parts that lack the same.
    """
    inputs = of if isinstance(of, tuple) else (of,)
    missing = []
    for part in parts:
        try:
            shown = part(*inputs)
        except UserError as error:
            if str(error) not in missing:
                missing.append(str(error))
                display(Markdown(f"**Missing:** {error}."))
            continue
        with pd.option_context("display.max_colwidth", None):
            display(_displayed(shown, (part.__doc__ or "").partition("\n")[0]))


def _displayed(shown: Figure | pd.DataFrame | list[str], about: str) -> Any:
    if isinstance(shown, Figure):
        picture = io.BytesIO()
        shown.savefig(picture, format="png", dpi=DPI)
        return Image(picture.getvalue(), alt=about)
    if isinstance(shown, list):
        return Markdown("\n".join(f"- {sentence}" for sentence in shown))
    return shown
