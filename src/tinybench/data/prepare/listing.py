"""The files below a folder, and which of them are images."""

import os
from collections.abc import Iterator
from pathlib import Path

from tinybench.data.prepare.decode import IMAGE_SUFFIXES

# What file managers, notebooks and archivers leave behind, beside all that begins with a dot.
LITTER = {"__MACOSX", "@eaDir", "@Recycle", "#recycle", "#snapshot", "$RECYCLE.BIN", "System Volume Information",
          "lost+found", "__pycache__", "Thumbs.db", "desktop.ini"}  # fmt: skip


def is_litter(name: str) -> bool:
    return name.startswith(".") or name in LITTER


def list_files(root: Path) -> Iterator[Path]:
    """All that is below a folder and no folder itself, without litter.

    Links are followed, and no folder is read twice or from further up: links that would lead there are listed instead.
    """
    seen = {os.path.realpath(above) for above in (*root.absolute().parents, *Path(os.path.realpath(root)).parents)}
    for folder, folders, files in os.walk(root, onerror=_fail, followlinks=True):
        here = os.path.realpath(folder)
        if here in seen:
            folders.clear()
            if Path(folder).is_symlink():
                yield Path(folder)
            continue
        seen.add(here)
        folders[:] = sorted(name for name in folders if not is_litter(name))
        yield from (Path(folder, name) for name in sorted(files) if not is_litter(name))


def _fail(error: OSError) -> None:
    raise error


def is_image(path: Path) -> bool:
    """Whether this is a regular file whose name says that it is an image."""
    return path.suffix.lower() in IMAGE_SUFFIXES and path.is_file()
