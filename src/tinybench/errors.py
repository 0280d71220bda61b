"""Errors that the user can mend. Each message is one line: what is wrong, with which file or flag, what to do next."""

import re
import shlex
from pathlib import Path


class UserError(Exception):
    """Something failed for a reason the user can act on. Commands print the message and exit with status 1."""

    status = 1


class UsageError(UserError):
    """An argument or a recipe is wrong. Commands print the message and exit with status 2."""

    status = 2


def command(script: str, *words: str | Path) -> str:
    """A command of this project that can be pasted into a shell."""
    return shlex.join(["python", script, *map(str, words)])


def printable(text: object) -> str:
    """For the screen: control characters as escapes, so that no name moves the cursor; no passwords in addresses."""
    shown = "".join(sign if sign.isprintable() else repr(sign)[1:-1] for sign in str(text))
    return re.sub(r"(\w+://)[^/\s@]+@", r"\1***@", shown)
