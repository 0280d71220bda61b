"""What all commands share: parsing flags into a dataclass, and errors as one line."""

import contextlib
import errno
import functools
import os
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn, TypeVar, get_origin

import tyro

from tinybench.errors import Notice, UserError

Arguments = TypeVar("Arguments")

# torchrun starts a command several times: the first process prints, and the first on each machine reports errors. As
# torchrun ends all processes once one has failed, the others first leave those some time to say why.
PRINTS, REPORTS = os.environ.get("RANK", "0") == "0", os.environ.get("LOCAL_RANK", "0") == "0"
SILENT_SECONDS = 5


def parse(arguments: type[Arguments], description: str | None, **options: Any) -> Arguments:
    """Parse sys.argv into the dataclass `arguments`; each field is a flag that keeps its underscores."""
    with Path(os.devnull).open("w") as nowhere, contextlib.redirect_stderr(sys.stderr if REPORTS else nowhere):
        return tyro.cli(
            arguments,
            description=description,
            use_underscores=True,
            config=(tyro.conf.OmitArgPrefixes,),
            registry=_registry(),
            **options,
        )


def _registry() -> tyro.constructors.ConstructorRegistry:
    """How fields are read: tyro's own rules, but a dict is always free pairs, whatever its default holds."""
    registry = tyro.constructors.ConstructorRegistry()

    @registry.primitive_rule
    def dict_rule(
        info: tyro.constructors.PrimitiveTypeInfo,
    ) -> tyro.constructors.PrimitiveConstructorSpec[dict[str, Any]] | None:
        if get_origin(info.type) is not dict:
            return None
        return tyro.constructors.PrimitiveConstructorSpec(
            nargs="*",
            metavar="[NAME VALUE ...]",
            instance_from_str=_read_pairs,
            is_instance=lambda value: isinstance(value, dict),
            str_from_instance=lambda value: [str(word) for pair in value.items() for word in pair],
        )

    return registry


def _read_pairs(words: list[str]) -> dict[str, int | float | bool | str]:
    if len(words) % 2:
        raise ValueError(f"names and values come in pairs, but {words[-1]!r} stands alone")
    return {name: _read_value(text) for name, text in zip(words[::2], words[1::2], strict=True)}


def _read_value(text: str) -> int | float | bool | str:
    for kind in (int, float):
        with contextlib.suppress(ValueError):
            return kind(text)
    return {"true": True, "false": False}.get(text.lower(), text)


def run(main: Callable[[], int | None]) -> NoReturn:
    """Call `main` and exit with its status, or with one line on stderr; with --debug, with the traceback."""
    debug = "--debug" in sys.argv
    if not debug:
        warnings.filterwarnings("ignore")
    warnings.simplefilter("always", Notice)
    warnings.showwarning = _show_warning
    try:
        with Path(os.devnull).open("w") as nowhere, contextlib.redirect_stdout(sys.stdout if PRINTS else nowhere):
            status = main() or 0
            sys.stdout.flush()
    except UserError as error:
        if debug:
            raise
        _report(f"error: {error}")
        status = error.status
    except KeyboardInterrupt:
        _report("interrupted")
        status = 130
    except SystemExit as error:  # of the parser, which has said why
        status = 2 if error.code else 0
    except BrokenPipeError:
        # The reader (head, less) has gone; keep the interpreter from failing again when it flushes stdout at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = 1
    except (OSError, MemoryError) as error:
        if debug:
            raise
        _report(f"error: {describe(error)}")
        status = 1
    if status and not REPORTS:
        time.sleep(SILENT_SECONDS)
    sys.exit(status)


def _show_warning(message: Warning | str, category: type[Warning], *where: Any, **options: Any) -> None:
    """Notices are for the user, in one line; other warnings, which --debug shows, are for whoever mends the program."""
    if category is Notice:
        _show_notice(str(message))
    else:
        _report(f"{category.__name__}: {message}")


@functools.cache  # each once
def _show_notice(line: str) -> None:
    _report(f"note: {line}")


def _report(line: str) -> None:
    if REPORTS:
        print(line, file=sys.stderr)


def describe(error: OSError | MemoryError) -> str:
    """One line that names the file."""
    if isinstance(error, MemoryError):
        return "out of memory; a smaller --batch_size or --accumulate_steps may help"
    where = f"{error.filename}: " if error.filename else ""
    hint = "; free some space and run the command again" if error.errno == errno.ENOSPC else ""
    return f"{where}{error.strerror or error}{hint}"
