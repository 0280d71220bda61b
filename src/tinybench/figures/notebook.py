"""What the notebooks share. Importing it makes figures appear in cells and notices (of what was left out, guessed or
changed) appear below the cell they come from, each once."""

import contextlib
import functools
import re
import warnings
from collections.abc import Iterator
from typing import Any

import pandas as pd
from IPython import get_ipython
from IPython.display import Markdown, display
from matplotlib.figure import Figure

from tinybench.errors import Notice, UserError
from tinybench.runtime.pictures import png

DPI = 64  # keeps a notebook with all its figures below a megabyte


@contextlib.contextmanager
def skip_missing() -> Iterator[None]:
    """Skip the rest of the block at a UserError, such as for runs that are not tested yet, and show its message."""
    try:
        yield
    except UserError as error:
        display(_markdown(f"**Skipped:** {error}."))


def _png(figure: Figure) -> tuple[bytes, dict[str, str]]:
    """The picture, and for those who cannot see it what its panels show."""
    texts = [figure.get_suptitle()]
    for ax in figure.axes:
        texts += [ax.get_title(), " over ".join(filter(None, (ax.get_ylabel(), ax.get_xlabel())))]
    return png(figure, DPI, "this figure"), {"alt": "; ".join(dict.fromkeys(filter(None, texts)))}


def _markdown(text: str) -> Markdown:
    """Names in the text are neither formulas nor tags."""
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
pd.set_option("display.max_colwidth", None, "display.html.use_mathjax", False)  # names with $ are no formulas
if shell := get_ipython():
    shell.display_formatter.formatters["image/png"].for_type(Figure, _png)
