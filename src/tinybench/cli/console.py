"""What all commands share: parsing flags into a dataclass, and errors as one line."""

import contextlib
import dataclasses
import difflib
import functools
import io
import os
import re
import sys
import time
import warnings
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any, NoReturn, TextIO, TypeVar, cast, get_origin

from tinybench.errors import IN_CHECKOUT, Notice, UsageError, UserError, describe, out_of_memory, printable

Arguments = TypeVar("Arguments")

# torchrun starts a command several times: the first process prints, and the first on each machine reports errors. As
# torchrun ends all processes once one has failed, the others first leave those some time to say why.
PRINTS, REPORTS = os.environ.get("RANK", "0") == "0", os.environ.get("LOCAL_RANK", "0") == "0"
SILENT_SECONDS = 5

INSTALL = "pip install -r requirements.txt" if IN_CHECKOUT else "pip install --upgrade tinybench"


def parse(arguments: type[Arguments], description: str | None, **options: Any) -> Arguments:
    """Parse sys.argv into the dataclass `arguments`; each field is a flag that keeps its underscores.

    Raises:
        UsageError: a flag is not known, or stands there twice, or has no value, or one of a wrong type or beyond the
            bounds in its field's annotation.
    """
    import tyro

    from tinybench.validation import validated

    options |= {"use_underscores": True, "config": (tyro.conf.OmitArgPrefixes,), "registry": _registry()}
    _check_flags({"--help", *_flags_of(arguments)})
    complaint = io.StringIO()
    try:
        # The help may be coloured, by control characters.
        with (
            contextlib.redirect_stderr(complaint),
            contextlib.redirect_stdout(getattr(sys.stdout, "plain", sys.stdout)),
        ):
            parsed = tyro.cli(arguments, description=description, **options)
    except SystemExit as error:
        if not error.code:
            raise
        raise UsageError(_unboxed(complaint.getvalue())) from None
    for spec in dataclasses.fields(arguments):  # type: ignore[arg-type]
        required = spec.default is dataclasses.MISSING and spec.default_factory is dataclasses.MISSING
        if required and getattr(parsed, spec.name) == ():
            raise UsageError(f"--{spec.name} needs at least one value")
        if not dataclasses.is_dataclass(spec.type):  # a recipe checks itself
            validated(spec.type, getattr(parsed, spec.name), f"--{spec.name}", UsageError)
    return parsed


def require(acts: bool, names: Collection[str], why: str) -> None:
    """Refuse flags that stand on the command line and would do nothing.

    Args:
        acts: whether they do something.
        why: what they go with, to follow the name of the flag.

    Raises:
        UsageError: naming the first of them.
    """
    if not acts and (idle := stated(names)):
        raise UsageError(f"--{idle[0]} {why}")


def stated(names: Collection[str]) -> list[str]:
    """Which of these flags stand on the command line, whatever their values."""
    words = {flag.removeprefix("--") for flag in _flags()}
    return [name for name in names if name in words or f"no_{name}" in words]


def _flags() -> list[str]:
    return [word.split("=")[0] for word in words() if word.startswith("--") and word != "--"]


def _flags_of(arguments: type) -> Iterator[str]:
    """The flags that stand for the fields of a dataclass, and of dataclasses in it."""
    for spec in dataclasses.fields(arguments):
        if isinstance(spec.type, type) and dataclasses.is_dataclass(spec.type):
            yield from _flags_of(spec.type)
        else:
            yield f"--{spec.name}"
            for about in getattr(spec.type, "__metadata__", ()):
                yield from getattr(about, "aliases", None) or ()
            if spec.type is bool:
                yield f"--no_{spec.name}"


def _check_flags(known: set[str]) -> None:
    seen = set()
    for flag in _flags():
        if flag not in known:
            closest = difflib.get_close_matches(flag, known, n=1, cutoff=0)[0]
            raise UsageError(f"there is no flag {flag}; the closest is {closest}, and --help lists all")
        positive = flag.replace("--no_", "--", 1)
        switch = positive if positive in known else flag
        if switch in seen:
            raise UsageError(f"{flag} stands there twice; give it once")
        seen.add(switch)


def _unboxed(text: str) -> str:
    """The sentence in the parser's box."""
    lines = [line.strip("│╭╮╰╯ ") for line in text.splitlines()]
    rule = next((index for index, line in enumerate(lines) if index and set(line) == {"─"}), len(lines))
    sentence = " ".join(filter(None, lines[1:rule])).removesuffix(".")
    if sentence.startswith("Missing from"):  # then the flag with its help
        return f"{lines[2].split()[0]} is missing, and --help explains it"
    return sentence[:1].lower() + sentence[1:] + "; --help lists the flags"


def words() -> list[str]:
    """The command line with underscores in the names of its flags, where hyphens are as good."""
    return [re.sub(r"^--[^=]+", lambda flag: "--" + flag[0][2:].replace("-", "_"), word) for word in sys.argv[1:]]


def _registry() -> Any:
    """How fields are read: tyro's own rules, but a dict is always free pairs, whatever its default holds."""
    import tyro

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


class Escaping:
    """A stream on which control characters show as escapes, so that no name moves the cursor or clears the screen."""

    CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")

    def __init__(self, plain: TextIO) -> None:
        self.plain = plain

    def write(self, text: str) -> int:
        return self.plain.write(self.CONTROL.sub(lambda sign: repr(sign[0])[1:-1], text))

    def __getattr__(self, name: str) -> Any:
        return getattr(self.plain, name)


def run(main: Callable[[], int | None]) -> NoReturn:
    """Call `main` and exit with its status, or with one line on stderr; with --debug, with the traceback."""
    debug = "--debug" in sys.argv
    if not debug:
        warnings.filterwarnings("ignore")
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # whatever the encoding, a name is no reason to fail
    warnings.simplefilter("always", Notice)
    warnings.showwarning = _show_warning
    try:
        shown = cast(TextIO, Escaping(sys.stdout))
        with Path(os.devnull).open("w") as nowhere, contextlib.redirect_stdout(shown if PRINTS else nowhere):
            status = main() or 0
            sys.stdout.flush()
    except UserError as error:
        if debug:
            raise
        report(f"error: {error}")
        status = error.status
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if debug or package in ("", "tinybench"):
            raise
        report(f"error: the package {package} is missing; type: python -m {INSTALL}")
        status = 1
    except KeyboardInterrupt:
        report("interrupted")
        status = 130
    except SystemExit as error:  # of the parser, which has said why
        status = 2 if error.code else 0
    except BrokenPipeError:
        # The reader (head, less) has gone; keep the interpreter from failing again when it flushes stdout at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = 1
    except (OSError, MemoryError, RuntimeError) as error:
        if debug or not (isinstance(error, OSError) or out_of_memory(error)):
            raise
        report(f"error: {describe(error)}")
        status = 1
    if status and not REPORTS:
        time.sleep(SILENT_SECONDS)
    sys.exit(status)


def _show_warning(message: Warning | str, category: type[Warning], *where: Any, **options: Any) -> None:
    """Notices are for the user, in one line; other warnings, which --debug shows, are for whoever mends the program."""
    if category is Notice:
        _show_notice(str(message))
    else:
        report(f"{category.__name__}: {message}")


@functools.cache  # each once
def _show_notice(line: str) -> None:
    report(f"note: {line}")


def report(line: str) -> None:
    """Print a line on stderr, in the first process of a machine."""
    if REPORTS:
        print(printable(line), file=sys.stderr)
