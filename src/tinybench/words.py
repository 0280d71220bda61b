"""Numbers as words."""

from collections.abc import Iterable, Sequence


def listed(words: Iterable[str], most: int = 10) -> str:
    """ "a", "a and b", "a, b and c"; beyond `most` words the others are counted.

    Words that have commas themselves, such as the labels of recipes, are kept apart by semicolons.
    """
    known = list(words)
    if len(known) > most:
        known = [*known[:most], f"{len(known) - most} more"]
    comma = "; " if any(", " in word for word in known) else ", "
    return " and ".join([comma.join(known[:-1]), known[-1]] if len(known) > 1 else known)


def span(values: Sequence[int]) -> str:
    """ "3", or "1 to 3"."""
    low, high = min(values), max(values)
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"
