"""What the notebooks share: showing figures, tables and sentences, or saying why there are none.

Once this is imported, notices (of what was left out, guessed or changed) are displayed where they come up, each once.
"""

import functools
import re
import warnings
from collections.abc import Callable
from typing import Any

import pandas as pd
from IPython.display import Image, Markdown, display
from matplotlib.figure import Figure

from tinybench.errors import Notice, UserError
from tinybench.runtime.pictures import png

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
                display(_markdown(f"**Missing:** {error}."))
            continue
        with pd.option_context("display.max_colwidth", None, "display.html.use_mathjax", False):
            display(_displayed(shown, (part.__doc__ or "").partition("\n")[0]))


def _displayed(shown: Figure | pd.DataFrame | list[str], about: str) -> Any:
    if isinstance(shown, Figure):
        return Image(png(shown, DPI, about), alt=about)
    if isinstance(shown, list):
        return _markdown("\n".join(f"- {sentence}" for sentence in shown))
    return shown


def _markdown(text: str) -> Markdown:
    """Names in the text are no formulas and no tags."""
    return Markdown(re.sub(r"[$<]", r"\\\g<0>", text))


@functools.cache  # each once
def _show_notice(line: str) -> None:
    display(_markdown(f"**Note:** {line}."))


def _show_warning(message: Warning | str, category: type[Warning], *where: Any, **options: Any) -> None:
    if category is Notice:
        _show_notice(str(message))
    else:
        _show_other_warning(message, category, *where, **options)


_show_other_warning = warnings.showwarning
warnings.showwarning = _show_warning
warnings.simplefilter("always", Notice)
