"""What comes from outside (files, plans, caches) is checked once, where it enters; behind that, types are known."""

import functools
from typing import Any

from pydantic import ConfigDict, TypeAdapter, ValidationError

from tinybench.errors import UserError

# "10" is no number, and neither is nan.
STRICT = ConfigDict(strict=True, allow_inf_nan=False, arbitrary_types_allowed=True)


@functools.cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    # A TypedDict states its own strictness; pydantic refuses a second one.
    return TypeAdapter(kind) if hasattr(kind, "__pydantic_config__") else TypeAdapter(kind, config=STRICT)


def validated(kind: Any, value: Any, what: str, error: type[UserError] = UserError) -> Any:
    """`value`, if it is of that kind.

    Args:
        kind: a type, with its bounds in an Annotated, or a TypedDict of them.
        what: what to call the value in the message: a field, or a file.

    Raises:
        UserError: it is not; the message is one line that names the first thing wrong. `error` is a kind of it.
    """
    try:
        return _adapter(kind).validate_python(value)
    except ValidationError as caught:
        first = caught.errors(include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"] if part not in ("int", "float", "bool", "str"))
        given = repr(first["input"])
        shown = given if len(given) <= 60 else f"{given[:57]}..."
        says = first["msg"][0].lower() + first["msg"][1:]
        raise error(f"{what}{'.' if place else ''}{place}: {says}, not {shown}") from None
