"""Files that are never half there: written beside, flushed to disk, then renamed into place."""

import contextlib
import json
import math
import os
import re
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tinybench.errors import UsageError, UserError, reason
from tinybench.validation import validated

START_BYTES = 4096  # of a file, by which it is known


@contextlib.contextmanager
def atomic_paths(*paths: Path) -> Iterator[list[Path]]:
    """Yield a temporary path beside each; they become `paths` when the block ends well, and are deleted otherwise.

    For files that only make sense together: none takes its place before all of them are on the disk.

    Raises:
        UserError: a file cannot be written (disk full, no permission); all are as they were.
    """
    temporaries: list[Path] = []
    try:
        for path in paths:
            path.parent.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(prefix=f".{path.name}.{os.getpid()}-", suffix=".tmp", dir=path.parent)
            os.close(handle)
            temporaries.append(Path(name))
        yield temporaries
        # mkstemp makes files private; give the mode that a plain open() would have given.
        umask = os.umask(0)
        os.umask(umask)
        for temporary in temporaries:
            temporary.chmod(0o666 & ~umask)
            with temporary.open("rb+") as file:
                os.fsync(file.fileno())
        for temporary, path in zip(temporaries, paths, strict=True):
            temporary.replace(path)
    except OSError as error:
        raise UserError(f"cannot write {', '.join(map(str, paths))}: {reason(error)}") from error
    finally:
        for temporary in temporaries:
            temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """One of `atomic_paths`."""
    with atomic_paths(Path(path)) as (temporary,):
        yield temporary


def check_writable(folder: Path) -> None:
    """Find out before anything takes long whether the folder can be made and written; it is not left behind.

    Raises:
        UserError: it cannot.
    """
    is_new = not folder.exists()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise UserError(f"cannot write {folder}: {reason(error)}") from error
    finally:
        if is_new:
            with contextlib.suppress(OSError):  # it was not made, or another run has begun there meanwhile
                folder.rmdir()


def remove_leftovers(folder: Path) -> None:
    """Remove the temporary files of processes that were killed while they wrote into the folder."""
    for path in folder.glob(".*.tmp"):
        writer = re.search(r"\.(\d+)-\w+\.tmp$", path.name)
        if not (writer and _is_running(int(writer[1]))):
            path.unlink(missing_ok=True)


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except PermissionError:  # somebody else's
        return True
    except OSError:
        return False
    return True


def write_text(path: Path, text: str) -> None:
    """Write UTF-8; halves of surrogate pairs, which it cannot hold, as escapes (in JSON they then mean the same)."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace")


def json_text(value: Any) -> str:
    """Indented JSON, lists of numbers on one line each. NaN and infinity are refused: they are not JSON."""
    text = json.dumps(value, indent=2, allow_nan=False, ensure_ascii=False)
    # A confusion matrix of 200 classes would take 40,000 lines. Inside a string no line ends, so none is touched.
    return re.sub(r"\[\n\s*([^\[\]{}\"]+?)\n\s*\]", lambda numbers: f"[{' '.join(numbers[1].split())}]", text) + "\n"


def write_json(path: Path, value: Any) -> None:
    """Write a value as `json_text` says."""
    write_text(path, json_text(value))


def update_json(path: Path, value: Any) -> None:
    """As `write_json`, but a file that says the same stays as it is, in whatever form its numbers are written."""
    with contextlib.suppress(UserError):  # missing or damaged
        if _same(read_json(path), json.loads(json.dumps(value))):
            return
    write_json(path, value)


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_same(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_same, one, other))
    if isinstance(one, float) and isinstance(other, float):
        return math.isclose(one, other, rel_tol=1e-6)  # the last digits depend on the machine
    return bool(one == other)


def check_output(path: Path | None, force: bool, is_ours: Callable[[bytes], bool]) -> None:
    """Refuse to write over a file of something else; call it before the work that `path` is to hold.

    Args:
        force: whether the user allows it; what is no file, a device or a folder, stays whatever is allowed.
        is_ours: tells from the first bytes of a file whether the same command wrote it.

    Raises:
        UsageError: the file is not touched without --force, or at all.
    """
    if path is None or not path.exists():
        return
    if not path.is_file():
        raise UsageError(f"{path} is there already and no file; name another output")
    if not force:
        with path.open("rb") as file:
            ours = is_ours(file.read(START_BYTES))
        if not ours:
            raise UsageError(f"{path} is there already and was not written by this command; replace it with --force")


def has_keys(*keys: str) -> Callable[[bytes], bool]:
    """For `check_output`: whether a file begins as JSON of an object with these keys, in this order."""
    pattern = re.compile(b"".join([rb"\s*\{", *(f'.*"{re.escape(key)}":'.encode() for key in keys)]), re.DOTALL)
    return lambda start: pattern.match(start) is not None


def read_json(path: Path, kind: Any = Any) -> Any:
    """Read JSON.

    Args:
        kind: what it must hold, see formats.py.

    Raises:
        UserError: the file is missing, unreadable or no JSON, or holds something else.
    """
    path = Path(path)
    if path.exists() and not path.is_file():
        raise UserError(f"cannot read {path}: no regular file")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} is damaged: {error}") from error
    return validated(kind, content, f"{path} is damaged")
