"""Errors that the user can mend. Each message is one line: what is wrong, with which file or flag, what to do next."""

import contextlib
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


def command(script: str, *words: str | Path) -> str:
    """A command of this project that can be pasted into a shell."""
    return shlex.join(["python", script, *map(str, words)])
