"""What all commands share: parsing flags into a dataclass, and errors as one line."""

import errno
import os
import sys
import warnings
from collections.abc import Callable
from typing import Any, NoReturn, TypeVar

import tyro

from tinybench.errors import UserError

Arguments = TypeVar("Arguments")


def parse(arguments: type[Arguments], description: str | None, **options: Any) -> Arguments:
    """Parse sys.argv into the dataclass `arguments`; each field is a flag that keeps its underscores."""
    return tyro.cli(
        arguments,
        description=description,
        use_underscores=True,
        config=(tyro.conf.OmitArgPrefixes,),
        **options,
    )


def run(main: Callable[[], int | None]) -> NoReturn:
    """Call `main` and exit with its status, or with one line on stderr; with --debug, with the traceback."""
    debug = "--debug" in sys.argv
    if not debug:
        warnings.filterwarnings("ignore")
    try:
        status = main() or 0
        sys.stdout.flush()
    except UserError as error:
        if debug:
            raise
        print(f"error: {error}", file=sys.stderr)
        status = error.status
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        status = 130
    except BrokenPipeError:
        # The reader (head, less) has gone; keep the interpreter from failing again when it flushes stdout at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = 1
    except (OSError, MemoryError) as error:
        if debug:
            raise
        print(f"error: {describe(error)}", file=sys.stderr)
        status = 1
    sys.exit(status)


def describe(error: OSError | MemoryError) -> str:
    """One line that names the file."""
    if isinstance(error, MemoryError):
        return "out of memory; a smaller --batch_size or --accumulate_steps may help"
    where = f"{error.filename}: " if error.filename else ""
    hint = "; free some space and run the command again" if error.errno == errno.ENOSPC else ""
    return f"{where}{error.strerror or error}{hint}"
