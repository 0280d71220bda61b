"""Numbers as words."""

from collections.abc import Iterable, Sequence

FEWEST = 8  # letters that an ellipsis is put between


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


def counted(number: int, noun: str) -> str:
    """ "1 run", "2 runs" or "1,200 images"."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def duration(seconds: float) -> str:
    """ "40 s", "12 min", "3 h 05 min" or "2 d 4 h"."""
    minutes = round(seconds / 60)
    if minutes < 1:
        return f"{seconds:.0f} s"
    if minutes < 60:
        return f"{minutes} min"
    hours = round(seconds / 3600)
    return f"{minutes // 60} h {minutes % 60:02d} min" if hours < 48 else f"{hours // 24} d {hours % 24} h"


def shortened(names: Sequence[str], most: int) -> list[str]:
    """The names, of which those beyond `most` letters have an ellipsis in their middle; different ones stay different.

    Of names that would look alike, what tells them apart is kept too. Below FEWEST letters they may be the same.
    """
    short = {name: _with_gap(name, most) for name in names}
    for look in set(short.values()):
        alike = [name for name in short if short[name] == look]
        if len(alike) > 1 and most >= FEWEST:
            columns = enumerate(zip(*alike, strict=False))
            start = next((column for column, signs in columns if len(set(signs)) > 1), 0)
            tails = shortened([name[start:] for name in alike], most - most // 4 - 1)
            short |= {name: f"{name[: most // 4]}…{tail}" for name, tail in zip(alike, tails, strict=True)}
    return [short[name] for name in names]


def _with_gap(name: str, most: int) -> str:
    if len(name) <= most:
        return name
    end = (most - 1) // 2
    return f"{name[: most - 1 - end]}…{name[len(name) - end :]}"
