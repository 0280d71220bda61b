"""Errors that the user can mend. Each message is one line: what is wrong, with which file or flag, what to do next."""

import shlex
from pathlib import Path


class UserError(Exception):
    """Something failed for a reason the user can act on. Commands print the message and exit with status 1."""

    status = 1


class UsageError(UserError):
    """An argument or a recipe is wrong. Commands print the message and exit with status 2."""

    status = 2


# What torch writes into its RuntimeErrors where an allocation fails: on a CPU, in cuDNN, cuBLAS and CUDA, on MPS.
OUT_OF_MEMORY = ("can't allocate memory", "not enough memory", "out of memory", "ALLOC_FAILED", "Invalid buffer size")


def out_of_memory(error: BaseException) -> bool:
    """Whether it says that there is no memory left, on whichever device."""
    of_torch = isinstance(error, RuntimeError) and any(words in str(error) for words in OUT_OF_MEMORY)
    return of_torch or isinstance(error, MemoryError)


def command(script: str, *words: str | Path) -> str:
    """A command of this project that can be pasted into a shell."""
    return shlex.join(["python", script, *map(str, words)])
