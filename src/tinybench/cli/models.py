"""List the networks that `--model` takes: `python src/models.py 'timm/convnext*'`.

Parameters and operations (a multiply-add is two) are those of one image. Without a pattern, the networks of this
project are listed; those of timm and torchvision are called timm/NAME and torchvision/NAME.
"""

import fnmatch
from dataclasses import dataclass, field

from tinybench.cli import console
from tinybench.errors import UsageError, UserError
from tinybench.libraries import LIBRARIES
from tinybench.recipe import Count, Recipe, Side


@dataclass(kw_only=True)
class Arguments:
    pattern: str = field(default="", metadata={"positional": True})
    """Names to list, with * for any letters (default: the networks of this project)."""
    image_size: Side = Recipe.image_size
    """Side of the images in pixels."""
    num_classes: Count = 200
    """Classes to tell apart."""
    debug: bool = False
    """Show the whole traceback of an error."""


def main() -> None:
    arguments = console.parse(Arguments, __doc__)
    from tinybench.models import MODELS, external
    from tinybench.profiling.inference import size_of

    theirs = external.list_names()
    names = fnmatch.filter([*MODELS, *theirs], arguments.pattern) if arguments.pattern else list(MODELS)
    if not names:
        raise UsageError(
            f"no network is called {arguments.pattern!r}; there are {', '.join(MODELS)} and {_counts(theirs)}"
        )
    width = max(map(len, names))
    print(f"{'network':<{width}} {'M parameters':>13} {'GFLOPs':>8}")
    for name in names:
        try:
            parameters, flops = size_of(name, num_classes=arguments.num_classes, image_size=arguments.image_size)
            print(f"{name:<{width}} {parameters / 1e6:13.2f} {flops / 1e9:8.3f}", flush=True)
        except UserError as error:
            print(f"{name:<{width}} {error}", flush=True)
    if not arguments.pattern:
        print(f"further ones: {_counts(theirs)}; list them with a pattern, such as 'timm/*'")


def _counts(names: list[str]) -> str:
    return " and ".join(
        f"{sum(name.startswith(f'{library}/') for name in names):,} {library}/NAME" for library in LIBRARIES
    )
