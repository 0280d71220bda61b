"""Show where a trained network looks: `python src/explain.py --image x.jpg`.

--image takes files and folders; each image becomes a figure in --output, with its heat map and its likeliest class.
Without --run, the network is asked that infer.py would ask.
"""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tinybench.cli import console
from tinybench.cli.figure_arguments import Dpi, FigureArguments
from tinybench.cli.run_arguments import NetworkArguments
from tinybench.errors import UserError, printable
from tinybench.words import listed


@dataclass(kw_only=True)
class Arguments(FigureArguments, NetworkArguments):
    image: tuple[Path, ...]
    """Images to explain: files, or folders of them."""
    output: Path = Path("explanations")
    """Folder for the pictures, named after the images; of two of one name, the second gets a number."""
    dpi: Dpi = 150
    """Pixels an inch of png."""


def main() -> int:
    arguments = console.parse(Arguments, __doc__)
    from tinybench.cli.infer import introduction, list_images
    from tinybench.evaluation.explain import explain
    from tinybench.figures.images import image_under_heat

    arguments.check()
    arguments.check_figures()
    paths = list(list_images(list(arguments.image)))
    predictor = arguments.predictor()
    if not arguments.checkpoint:
        print(introduction(predictor), flush=True)
    names: dict[str, int] = {}
    failures = 0
    for path in paths:
        try:
            explanation = explain(predictor, path)
        except UserError as error:
            failures += 1
            console.report(f"error: {error}")
            continue
        names[path.stem] = names.get(path.stem, 0) + 1
        number = f"_{names[path.stem]}" if names[path.stem] > 1 else ""
        guess = f"{explanation.guess.name} ({explanation.guess.probability:.1%})"
        title = f"{predictor.checkpoint['model']}: {guess}"
        draw = partial(image_under_heat, explanation.pixels, explanation.heat, explanation.method, title)
        pictures = arguments.save(draw, arguments.output / f"{path.stem}{number}")
        print(printable(f"{path}: {guess}, {explanation.method} in {listed(map(str, pictures))}"), flush=True)
    return 1 if failures else 0
