"""Files that are never half there: written beside, flushed to disk, then renamed into place."""

import contextlib
import json
import os
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tinybench.errors import UserError
from tinybench.validation import validated


@contextlib.contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path in the same folder; it becomes `path` when the block ends well, and is deleted otherwise.

    Raises:
        UserError: the file cannot be written (disk full, no permission); `path` is as it was.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
        os.close(handle)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror}") from error
    temporary = Path(name)
    try:
        yield temporary
        # mkstemp makes files private; give the mode that a plain open() would have given.
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Write indented JSON, lists of numbers on one line each. NaN and infinity are refused: they are not JSON."""
    text = json.dumps(value, indent=2, allow_nan=False, ensure_ascii=False)
    # A confusion matrix of 200 classes would take 40,000 lines. Inside a string no line ends, so none is touched.
    text = re.sub(r"\[\n\s*([^\[\]{}\"]+?)\n\s*\]", lambda numbers: f"[{' '.join(numbers[1].split())}]", text)
    write_text(path, text + "\n")


def read_json(path: Path, kind: Any = Any) -> Any:
    """Read JSON.

    Args:
        kind: what it must hold, see formats.py.

    Raises:
        UserError: the file is missing, unreadable or no JSON, or holds something else.
    """
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} is damaged: {error}") from error
    return validated(kind, content, f"{path} is damaged")
