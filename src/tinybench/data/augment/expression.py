"""Expressions such as shift(4)|flip|rotate(10): operations of OPERATIONS in the order in which they are done.

The order is geometry, trivialaugment or randaugment, operations on pixels, erasing. Geometric operations become one
resampling, in any order the same one; the random numbers of an image are drawn in the order written.
"""

import dataclasses
import re

from tinybench.configuration import load_augmentations, resolved_augmentation
from tinybench.data.augment.operations import OPERATIONS, Operation
from tinybench.errors import UsageError
from tinybench.validation import validated

TERM = re.compile(r"(\w+)(?:\(([^()|]*)\))?", re.ASCII)
NOTHING = "none"


def parse(augment: str) -> tuple[Operation, ...]:
    """The operations of an expression, or of a name of AUGMENTATIONS in config.py.

    Raises:
        UsageError: naming the operation that is not known, has a wrong parameter or cannot stand where it does.
    """
    expression = resolved_augmentation(augment)
    if expression == NOTHING:
        return ()
    operations: list[Operation] = []
    for place, term in enumerate(expression.split("|"), 1):
        where = f"augment: operation {place}, {term!r}"
        operation = _operation(term, where)
        for earlier in operations:
            if type(earlier) is type(operation) or not set(operation.parts).isdisjoint(earlier.parts):
                raise UsageError(f"{where}, decides the same as {_name(earlier)}; leave out one of them")
            if earlier.stage > operation.stage:
                raise UsageError(
                    f"{where}, must stand before {_name(earlier)}; the order is geometry, trivialaugment or "
                    "randaugment, pixels such as jitter, erase or cutout"
                )
        operations.append(operation)
    return tuple(operations)


def _operation(term: str, where: str) -> Operation:
    match = TERM.fullmatch(term)
    kind = OPERATIONS.get(match[1]) if match else None
    if not match or kind is None:
        known = "; ".join(each.signature() for each in OPERATIONS.values())
        raise UsageError(
            f"{where}, is no known operation; names in config.py: {', '.join(load_augmentations())}; operations, "
            f"joined by |, beside those of a --model_file: {known}"
        )
    specs = dataclasses.fields(kind)
    words = match[2].split(",") if match[2] else []
    needed = sum(spec.default is dataclasses.MISSING for spec in specs)
    if not needed <= len(words) <= len(specs):
        raise UsageError(f"{where}, has {len(words)} parameters; it is {kind.signature()}")
    try:
        values = [
            validated(spec.type, _number(word), spec.name, UsageError) for spec, word in zip(specs, words, strict=False)
        ]
        return kind(*values)
    except UsageError as error:
        raise UsageError(f"{where}: {error}; it is {kind.signature()}") from error


def _number(word: str) -> int | float:
    try:
        return int(word) if re.fullmatch("[-+]?[0-9]+", word) else float(word)
    except ValueError:
        raise UsageError(f"{word!r} is no number") from None


def _name(operation: Operation) -> str:
    return operation.signature().partition("(")[0]
