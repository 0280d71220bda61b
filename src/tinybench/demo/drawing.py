"""Answers as HTML. What comes from outside (names of files, runs and classes) is escaped."""

import base64
import io
from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from tinybench.demo.answers import Answer, AskedNetwork
from tinybench.inference.about import summary

if TYPE_CHECKING:
    from tinybench.demo.reasons import Neighbour

OPACITY = 0.6  # of the heat over the picture

STYLE = """
#answers .html-container { padding: 0; }
.networks { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(300px, 100%), 1fr)); gap: 16px; }
.network { border: 1px solid var(--border-color-primary); border-radius: 8px; padding: 16px; min-width: 0; }
.network h2 { margin: 0; font-size: 1.1rem; overflow-wrap: anywhere; }
.network h3 { margin: 16px 0 8px; font-size: .95rem; }
.quiet, .network figcaption { opacity: .75; font-size: .85rem; }
.network .answer { display: flex; flex-wrap: wrap; gap: 16px 24px; margin-top: 16px; }
.network ol { flex: 1 1 230px; list-style: none; margin: 0; padding: 0; }
.network .pictures { display: flex; flex-wrap: wrap; gap: 12px; align-content: start; }
.network figure { margin: 0; width: 124px; }
.network .neighbours { display: grid; grid-template-columns: repeat(auto-fill, minmax(70px, 1fr)); gap: 8px; }
.network .neighbours figure { width: auto; min-width: 0; overflow-wrap: anywhere; }
.network img { width: 100%; image-rendering: pixelated; border-radius: 4px; display: block; }
.network li { margin: 0 0 8px; padding: 0; }
.network .row { display: flex; justify-content: space-between; gap: 12px; }
.network .number { font-variant-numeric: tabular-nums; white-space: nowrap; }
.network .bar { height: 6px; border-radius: 3px; background: var(--color-accent); min-width: 1px; }
.network .right { font-weight: 600; }
.problem { border-left: 4px solid #d32f2f; padding: 8px 12px; overflow-wrap: anywhere; }
"""


def problem(sentence: object) -> str:
    """A sentence that says what went wrong, which screen readers read out."""
    return f'<p class="problem" role="alert">{escape(str(sentence))}</p>'


def card(network: AskedNetwork, answer: Answer, right_class: str, heat: str, neighbours: str) -> str:
    """All that the page shows of a network.

    Args:
        right_class: the class id of a test image, which is marked; empty if it is not known.
        heat: HTML beside the picture.
        neighbours: HTML below the classes.
    """
    rows = []
    for guess, before in zip(answer.guesses, answer.before, strict=True):
        right = guess.class_id == right_class
        was = f'<span class="quiet">was {before:.2%}</span> ' if before != guess.probability else ""
        rows.append(
            f'<li><div class="row{" right" * right}"><span>{escape(guess.name)}{" ✓" * right}</span>'
            f'<span class="number">{was}{guess.probability:.2%}</span></div>'
            f'<div class="bar" style="width: {guess.probability:.2%}"></div></li>'
        )
    side = answer.pixels.shape[-1]
    return (
        f'<section class="network"><h2>{escape(network.name)}</h2>'
        f'<p class="quiet">{escape(summary(network.checkpoint))}</p>'
        f'<div class="answer"><ol>{"".join(rows)}</ol>'
        f'<div class="pictures">{figure(answer.pixels, f"what it sees, {side}×{side} pixels")}{heat}</div></div>'
        f"{neighbours}</section>"
    )


def heat_figure(pixels: np.ndarray, heat: np.ndarray, method: str) -> str:
    """Where a network looks, over the picture in gray."""
    from matplotlib import colormaps

    color = colormaps["inferno"](heat)[..., :3].transpose(2, 0, 1) * 255
    blended = OPACITY * color + (1 - OPACITY) * pixels.mean(0)
    return figure(blended.round().astype(np.uint8), f"where it looks ({method})")


def neighbours_row(neighbours: "Sequence[Neighbour]") -> str:
    """The most similar training images; nothing where there are none."""
    if not neighbours:
        return ""
    figures = (figure(each.pixels, f"{each.class_name}, {each.similarity:.2f}") for each in neighbours)
    return (
        "<h3>Similar training images (cosine similarity of features)</h3>"
        f'<div class="neighbours">{"".join(figures)}</div>'
    )


def figure(pixels: np.ndarray, caption: str) -> str:
    """A uint8 picture (3, h, w) with its caption."""
    file = io.BytesIO()
    Image.fromarray(pixels.transpose(1, 2, 0)).save(file, "PNG")
    source = f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"
    return f'<figure><img src="{source}" alt=""><figcaption>{escape(caption)}</figcaption></figure>'
