"""Errors that the user can mend. Each message is one line: what is wrong, with which file or flag, what to do next."""

import contextlib
import errno
import re
import shlex
import warnings
from collections.abc import Iterator
from pathlib import Path


class UserError(Exception):
    """Something failed for a reason the user can act on. Commands print the message and exit with status 1."""

    status = 1


class UsageError(UserError):
    """An argument or a recipe is wrong. Commands print the message and exit with status 2."""

    status = 2


# What torch writes into its RuntimeErrors where an allocation fails: on a CPU, in cuDNN, cuBLAS and CUDA, on MPS.
ALLOCATION_FAILED = (
    "can't allocate memory", "not enough memory", "out of memory", "ALLOC_FAILED", "Invalid buffer size",
)  # fmt: skip
NO_MEMORY = (
    "out of memory; lower --batch_size or --image_size, raise --accumulate_steps in training, or end other programs"
)


def out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory does not suffice, on whichever device."""
    match error:
        case MemoryError():
            return True
        case OSError():
            return error.errno == errno.ENOMEM
        case RuntimeError():
            return any(words in str(error) for words in ALLOCATION_FAILED)
    return False


def reason(error: OSError) -> str:
    """What the system says, and what to do where a disk is full."""
    hint = "; free some space and run the command again" if error.errno == errno.ENOSPC else ""
    return f"{error.strerror or error}{hint}"


def describe(error: Exception) -> str:
    """One line for what the system or torch refused: memory, or a file, which it names."""
    if out_of_memory(error) or not isinstance(error, OSError):
        return NO_MEMORY
    where = f"{error.filename}: " if error.filename else ""
    return where + reason(error)


class Notice(UserWarning):
    """Something was left out, guessed or changed. Commands print it as one line, each once, and go on."""


def notice(line: str) -> None:
    """Say what was left out, guessed or changed, whoever it is that shows it: a command, a notebook, the report."""
    warnings.warn(line, Notice, stacklevel=2)


@contextlib.contextmanager
def noticed() -> Iterator[list[str]]:
    """Collect the notices of a block instead of showing them, each once."""
    lines: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", Notice)
        try:
            yield lines
        finally:
            lines += dict.fromkeys(str(warning.message) for warning in caught if warning.category is Notice)


IN_CHECKOUT = (Path(__file__).resolve().parents[2] / "pyproject.toml").is_file()


def command(script: str, *words: str | Path) -> str:
    """A command of this project that can be pasted into a shell.

    Args:
        script: such as src/train.py; where the package is installed, tinybench train is the same.
    """
    start = ["python", script] if IN_CHECKOUT else ["tinybench", Path(script).stem]
    return shlex.join([*start, *map(str, words)])


def printable(text: object) -> str:
    """For the screen: control characters as escapes, so that no name moves the cursor; no passwords in addresses."""
    shown = "".join(sign if sign.isprintable() else repr(sign)[1:-1] for sign in str(text))
    return re.sub(r"(\w+://)[^/\s@]+@", r"\1***@", shown)
