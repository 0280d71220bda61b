"""What mkdocs does not find in docs/: the README as the first page, what it links to, and a reference of all flags."""

import contextlib
import io
import re
import sys
from importlib import import_module
from pathlib import Path
from unittest import mock

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "src"))

from tinybench.cli.commands import COMMANDS

PAGES = {"README.md": "index.md", "CONTRIBUTING.md": "CONTRIBUTING.md", "CHANGELOG.md": "CHANGELOG.md"}
LINKED = ("CITATION.cff", "LICENSE")
PICTURE = re.compile(r'<img src="([^"]+)"')


def on_files(files: Files, config: MkDocsConfig) -> None:
    others = set(LINKED)
    for source, page in PAGES.items():
        text = (ROOT / source).read_text(encoding="utf-8").replace("](docs/", "](")
        files.append(File.generated(config, page, content=text))
        others.update(PICTURE.findall(text))
    for name in sorted(others):
        files.append(File.generated(config, name, abs_src_path=str(ROOT / name)))
    files.append(File.generated(config, "reference.md", content=reference()))


def on_page_markdown(markdown: str, **_: object) -> str:
    """Links from docs/ to the pages above lead out of the folder in the repository, not on the site."""
    return re.sub(r"\]\(\.\./([^)#]+)", lambda link: f"]({PAGES[link[1]]}", markdown)


def reference() -> str:
    """The help of every command as a page; `train` has the fields of a recipe."""
    parts = ["# Reference", "What `--help` prints. The fields of a recipe are the flags of [train](#train)."]
    for name, about in COMMANDS.items():
        parts += [f"## {name}", f"{about[0].upper()}{about[1:]}.", f"```text\n{help_of(name)}\n```"]
    return "\n\n".join(parts)


def help_of(name: str) -> str:
    """What a command answers to --help."""
    shown = io.StringIO()
    with (
        mock.patch.object(sys, "argv", [f"tinybench {name}", "--help"]),
        contextlib.redirect_stdout(shown),
        contextlib.suppress(SystemExit),
    ):
        import_module(f"tinybench.cli.{name}").main()
    return shown.getvalue().strip()
