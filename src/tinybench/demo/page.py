"""The page: what is asked beside what the networks answer. Nothing on it comes from elsewhere."""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
from starlette.middleware import Middleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tinybench.data.prepare.decode import NamedSource
from tinybench.demo import drawing
from tinybench.demo.answers import CORRUPTIONS, STRONGEST, Answer, AskedNetwork
from tinybench.errors import UserError

INTRODUCTION = """# What is in the picture?

An image goes to the machine that serves this page and nowhere else; its file is deleted once it has been read."""
HINT = '<p class="quiet">The likeliest classes will stand here.</p>'
NEIGHBOURS = 5
STALE = 60  # seconds after which an upload is deleted that was never asked about
POLICY = b"default-src 'self' data: blob: 'unsafe-inline' 'unsafe-eval'"


@dataclass(frozen=True)
class Asked:
    """A picture as each of the networks sees it, and its class if that is known."""

    seen: tuple[np.ndarray, ...]
    right_class: str = ""


class Sealed:
    """Has browsers fetch nothing for the page from anywhere else."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def sealed(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (b"content-security-policy", POLICY)]
            await send(message)

        await self.app(scope, receive, sealed)


def taken(upload: dict[str, Any]) -> NamedSource:
    """The name and the bytes of an uploaded file, which is deleted."""
    path = Path(upload["path"])  # Gradio has made sure that it is an upload
    try:
        return upload["orig_name"], path.read_bytes()
    finally:
        path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            path.parent.rmdir()  # which bears the hash of the file


def show(
    networks: Sequence[AskedNetwork], asked: Asked, top_k: int, corruption: str, severity: int, explained: bool
) -> Iterator[str]:
    """The answers as HTML, and once more when it is known where the networks look."""
    try:
        answers = [
            network.answer(seen, top_k, corruption, severity)
            for network, seen in zip(networks, asked.seen, strict=True)
        ]
    except UserError as error:
        yield drawing.problem(error)
        return
    asides = [("", "")] * len(answers)
    for whole in (False, True)[: 1 + explained]:
        if whole:
            asides = [aside(network, answer) for network, answer in zip(networks, answers, strict=True)]
        cards = (
            drawing.card(network, answer, asked.right_class, *aside)
            for network, answer, aside in zip(networks, answers, asides, strict=True)
        )
        yield f'<div class="networks">{"".join(cards)}</div>'


def aside(network: AskedNetwork, answer: Answer) -> tuple[str, str]:
    """Where a network looks, and which training images it finds similar, as HTML; or why it cannot be told."""
    try:
        heat = drawing.heat_figure(answer.pixels, *network.explainer.heat(answer.pixels))
        return heat, drawing.neighbours_row(network.explainer.neighbours(answer.pixels, NEIGHBOURS))
    except UserError as error:
        return drawing.problem(error), ""


def build(networks: Sequence[AskedNetwork], top_k: int) -> gr.Blocks:
    """The page with what happens on it."""

    def dropped(upload: dict[str, Any], *controls: Any) -> Iterator[tuple[Any, ...]]:
        source = taken(upload)
        try:
            asked = Asked(tuple(network.see(source) for network in networks))
        except UserError as error:
            yield None, None, drawing.problem(error)
            return
        for place, answers in enumerate(show(networks, asked, top_k, *controls)):
            yield (gr.skip() if place else None), asked, answers  # the place for the next image is free at once

    def picked(label: int | None, number: int, *controls: Any) -> Iterator[tuple[Any, ...]]:
        if label is None:
            yield gr.skip(), number, gr.skip()
            return
        network = networks[0]
        try:
            pixels = network.explainer.test_image(label, number)
        except UserError as error:
            yield None, number, drawing.problem(error)
            return
        seen = tuple(network.see_pixels(pixels) for network in networks)
        asked = Asked(seen, network.checkpoint["class_ids"][label])
        for answers in show(networks, asked, top_k, *controls):
            yield asked, number, answers

    def first(label: int | None, *controls: Any) -> Iterator[tuple[Any, ...]]:
        yield from picked(label, 0, *controls)

    def another(label: int | None, number: int, *controls: Any) -> Iterator[tuple[Any, ...]]:
        yield from picked(label, number + 1, *controls)

    def changed(asked: Asked | None, *controls: Any) -> Iterator[Any]:
        yield from show(networks, asked, top_k, *controls) if asked else [gr.skip()]

    with gr.Blocks(title="tinybench demo", analytics_enabled=False, delete_cache=(STALE, STALE)) as page:
        asked, number = gr.State(), gr.State(0)
        gr.Markdown(INTRODUCTION)
        with gr.Row():
            with gr.Column(scale=1, min_width=280):
                upload = gr.File(label="Image", file_types=["image"], height=150)
                if networks[0].has_data():
                    names = networks[0].checkpoint["class_names"]
                    choices = [(name, label) for label, name in enumerate(names)]
                    label = gr.Dropdown(choices, value=None, label="Or a test image of a class")
                    button = gr.Button("Another of this class")
                corruption = gr.Dropdown([(name.replace("_", " "), name) for name in CORRUPTIONS], label="Corruption")
                severity = gr.Slider(0, STRONGEST, step=1, label="Severity (0: none)")
                explained = gr.Checkbox(True, label="Show where they look")
            with gr.Column(scale=3, min_width=300):
                answers = gr.HTML(HINT, elem_id="answers")
        controls = [corruption, severity, explained]
        # One at a time, as networks take it; of a slider that moves on meanwhile, only the last place counts.
        event: dict[str, Any] = {
            "concurrency_id": "networks", "api_visibility": "private", "show_progress": "hidden",
            "trigger_mode": "always_last",
        }  # fmt: skip
        # Without preprocessing, what comes is where the file is, and not another copy of it.
        upload.upload(dropped, [upload, *controls], [upload, asked, answers], preprocess=False, **event)
        moved = [corruption.change, severity.change, explained.change]
        gr.on(moved, changed, [asked, *controls], answers, **event)
        if networks[0].has_data():
            label.input(first, [label, *controls], [asked, number, answers], **event)
            button.click(another, [label, number, *controls], [asked, number, answers], **event)
    return page


def launch(page: gr.Blocks, host: str, port: int, max_mb: float, in_browser: bool) -> str:
    """Show the page; its address is returned, and the page goes on until it is closed."""
    font, mono = (gr.themes.Font("system-ui"), gr.themes.Font("sans-serif")), (gr.themes.Font("monospace"),)
    _, address, _ = page.launch(
        server_name=host,
        server_port=port,
        max_file_size=round(max_mb * 2**20),
        inbrowser=in_browser,
        theme=gr.themes.Default(font=font, font_mono=mono),
        css=drawing.STYLE,
        app_kwargs={"middleware": [Middleware(Sealed)]},
        share=False,
        ssr_mode=False,
        run_history=False,
        enable_monitoring=False,
        footer_links=[],
        prevent_thread_lock=True,
        quiet=True,
    )
    return address
