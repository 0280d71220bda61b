"""What all commands share: parsing flags into a dataclass, and errors as one line."""

import ast
import contextlib
import dataclasses
import difflib
import functools
import inspect
import io
import itertools
import os
import re
import sys
import textwrap
import time
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from types import NoneType
from typing import Annotated, Any, Literal, NoReturn, TextIO, TypeVar, cast, get_args, get_origin

from tinybench.errors import IN_CHECKOUT, Notice, UsageError, UserError, describe, out_of_memory, printable

Arguments = TypeVar("Arguments")

# torchrun starts a command several times: the first process prints, and the first on each machine reports errors. As
# torchrun ends all processes once one has failed, the others first leave those some time to say why.
PRINTS, REPORTS = os.environ.get("RANK", "0") == "0", os.environ.get("LOCAL_RANK", "0") == "0"
SILENT_SECONDS = 5
HELP_WIDTH = 80

INSTALL = "pip install -r requirements.txt" if IN_CHECKOUT else "pip install --upgrade tinybench"


def parse(
    arguments: type[Arguments],
    description: str | None,
    *,
    default: Arguments | None = None,
    more: Mapping[str, str] | None = None,
    recipe_defaults: bool = True,
) -> Arguments:
    """Parse sys.argv into the dataclass `arguments`; each field is a flag that keeps its underscores, or a word without
    one where its metadata say positional.

    A field that holds a recipe stands for the fields of that, which the help shows in their groups.

    Args:
        default: instead of the fields' own defaults.
        more: what follows the help of a field, such as the known names.
        recipe_defaults: whether the help shows the defaults of a recipe's fields.

    Raises:
        UsageError: a flag is not known, or stands there twice, or has no value, or one of a wrong type or beyond the
            bounds in its field's annotation.
    """
    import tyro

    from tinybench.validation import validated

    _check_flags({"--help", *flags_of(arguments)})
    shown, complaint = io.StringIO(), io.StringIO()
    try:
        with contextlib.redirect_stderr(complaint), contextlib.redirect_stdout(shown):
            parsed: Any = tyro.cli(
                _for_parser(arguments, default, more or {}, recipe_defaults),
                description=description,
                use_underscores=True,
                config=(tyro.conf.OmitArgPrefixes,),
                registry=_registry(),
            )
    except SystemExit as error:
        if not error.code:
            for line in shown.getvalue().splitlines():
                print(line.rstrip() if line.startswith("  ") else textwrap.fill(line, HELP_WIDTH))
            raise
        raise UsageError(_sentence(complaint.getvalue())) from None
    values = vars(parsed)
    for spec in dataclasses.fields(arguments):  # type: ignore[arg-type]
        if _is_recipe(spec):
            from tinybench.recipe import GROUPS

            groups = [vars(values.pop(_identifier(title))) for title in GROUPS]
            recipe: Any = spec.type
            values[spec.name] = recipe(**{name: value for group in groups for name, value in group.items()})
            continue  # a recipe checks itself
        # A flag that may also be None, such as --resume, has a meaning without a value.
        if get_origin(spec.type) is tuple and values[spec.name] == () and stated([spec.name]):
            raise UsageError(f"--{spec.name} needs at least one value")
        if values[spec.name] is None and stated([spec.name]):
            raise UsageError(f"--{spec.name} takes no None; leave the flag out")
        validated(spec.type, values[spec.name], f"--{spec.name}", UsageError)
    return arguments(**values)


def _is_recipe(spec: "dataclasses.Field[Any]") -> bool:
    return isinstance(spec.type, type) and dataclasses.is_dataclass(spec.type)


def _identifier(title: str) -> str:
    return title.replace(" ", "_")


def _for_parser(arguments: type, default: Any, more: Mapping[str, str], recipe_defaults: bool) -> type:
    """A dataclass of the same fields, with their help; those of a recipe are in one dataclass a group."""
    fields: list[Any] = []
    for spec in dataclasses.fields(arguments):
        value = _default(spec) if default is None else getattr(default, spec.name)
        if not _is_recipe(spec):
            fields.append(_flag(spec, value, _docs(arguments)[spec.name] + more.get(spec.name, ""), shown=True))
            continue
        from tinybench.recipe import GROUPS

        specs = {inner.name: inner for inner in dataclasses.fields(spec.type)}  # type: ignore[arg-type]
        docs = _docs(spec.type)  # type: ignore[arg-type]
        for title, names in GROUPS.items():
            flags = [
                _flag(specs[name], getattr(value, name), docs[name] + more.get(name, ""), shown=recipe_defaults)
                for name in names
            ]
            group = dataclasses.make_dataclass(_identifier(title), flags, kw_only=True)
            fields.append((_identifier(title), group, dataclasses.field(default_factory=group)))
    return dataclasses.make_dataclass(arguments.__name__, fields, kw_only=True)


def _default(spec: "dataclasses.Field[Any]") -> Any:
    return spec.default if spec.default_factory is dataclasses.MISSING else spec.default_factory()


def _flag(spec: "dataclasses.Field[Any]", value: Any, about: str, *, shown: bool) -> tuple[str, Any, Any]:
    """A field with its help, in which the default stands where it says more than nothing, none and no."""
    import tyro

    says_nothing = value is dataclasses.MISSING or value is None or value is False or value in ("", (), {})
    words = " ".join(map(str, value)) if isinstance(value, tuple) else value
    hint = f"(default: {words})" if shown and not says_nothing else ""
    kind: Any = Annotated[spec.type, tyro.conf.arg(help=about, help_behavior_hint=hint, metavar=_metavar(spec.type))]
    if spec.metadata.get("positional"):
        kind = Annotated[kind, tyro.conf.Positional]
    if value is dataclasses.MISSING:
        return spec.name, kind, dataclasses.field()
    return spec.name, kind, dataclasses.field(default_factory=lambda: value)


def _metavar(kind: Any) -> str | None:
    """What stands for the value of a field that may also be None, which cannot be typed; else the parser's choice."""
    if NoneType not in get_args(kind):
        return None
    inner = next(each for each in get_args(kind) if each is not NoneType)
    item = get_args(inner)[0] if get_origin(inner) is tuple else inner
    word = "{" + ",".join(get_args(item)) + "}" if get_origin(item) is Literal else item.__name__.upper()
    return word if item is inner else f"[{word}]"


@functools.cache
def _docs(kind: type) -> dict[str, str]:
    """What stands below the fields of a dataclass, and of those that it inherits from."""
    found = {spec.name: "" for spec in dataclasses.fields(kind)}
    for base in reversed(kind.__mro__):
        if not dataclasses.is_dataclass(base):
            continue
        (tree,) = ast.parse(inspect.getsource(base)).body
        assert isinstance(tree, ast.ClassDef)
        for statement, below in itertools.pairwise(tree.body):
            match statement, below:
                case ast.AnnAssign(target=ast.Name(name)), ast.Expr(ast.Constant(str(text))):
                    found[name] = " ".join(text.split())
    return found


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


def flags_of(arguments: type) -> Iterator[str]:
    """The flags that stand for the fields of a dataclass, and of dataclasses in it."""
    for spec in dataclasses.fields(arguments):
        if _is_recipe(spec):
            yield from flags_of(spec.type)  # type: ignore[arg-type]
        elif not spec.metadata.get("positional"):
            yield f"--{spec.name}"
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


def _sentence(text: str) -> str:
    """What the parser complains of: below its title, between two rules."""
    sentence = " ".join(re.split(r"^ +-{9,} *$", text, flags=re.MULTILINE)[1].split()).removesuffix(".")
    if sentence.startswith("Missing from"):  # then the flag with its help
        return f"{sentence.partition(': ')[2].split()[0]} is missing, and --help explains it"
    sentence = re.sub(r" into tuple type .*", " as numbers", sentence)
    sentence = re.sub(r"'None', |, 'None'(?=\))", "", sentence)  # a choice that cannot be made, anywhere among them
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
