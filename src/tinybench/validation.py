"""What comes from outside (files, plans, caches) is checked once, where it enters; behind that, types are known."""

import functools
import reprlib
from typing import Any

from pydantic import ConfigDict, TypeAdapter, ValidationError
from typing_extensions import is_typeddict

from tinybench.errors import UserError

STRICT = ConfigDict(strict=True, allow_inf_nan=False, arbitrary_types_allowed=True)  # no "10", no nan


@functools.cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    # A TypedDict states its own configuration, and pydantic takes no second one.
    return TypeAdapter(kind) if is_typeddict(kind) else TypeAdapter(kind, config=STRICT)


def validated(kind: Any, value: Any, what: str, error: type[UserError] = UserError) -> Any:
    """`value`, if it is of that kind.

    Args:
        kind: a type, with its bounds in an Annotated, or a TypedDict of them.
        what: what to call the value in the message: a field, or a file.

    Raises:
        UserError: it is not; the message is one line that names the first thing wrong. `error` is a kind of it.
    """
    try:
        _adapter(kind).validate_python(value)
    except ValidationError as caught:
        first = caught.errors(include_url=False)[0]
        place = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in first["loc"])
        subject = f"{what}: {place[1:]}" if place.startswith(".") else what + place
        if first["type"] == "missing":
            raise error(f"{subject} is missing") from None
        says = first["msg"].replace("Input should", "must", 1)
        raise error(f"{subject} {says}, not {_shown(first['input'])}") from None
    return value


def _shown(value: Any) -> str:
    """The value, shortened where it is long or deep."""
    try:
        return reprlib.repr(value)
    except ValueError:  # Python writes no integer of more than 4300 digits
        return "an integer of thousands of digits"
