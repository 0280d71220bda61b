"""Show where a trained network looks: `python src/explain.py --image x.jpg`.

--image takes files and folders; each image becomes a PNG in --output, with its heat map and its likeliest class.
Without --run, the network is asked that infer.py would ask.
"""

from dataclasses import dataclass
from pathlib import Path

from tinybench.cli import console
from tinybench.cli.run_arguments import NetworkArguments
from tinybench.errors import UserError, printable

DPI = 150


@dataclass(kw_only=True)
class Arguments(NetworkArguments):
    image: tuple[Path, ...]
    """Images to explain: files, or folders of them."""
    output: Path = Path("explanations")
    """Folder for the pictures, named after the images; of two of one name, the second gets a number."""
    force: bool = False
    """Replace files of something else that have the names of the pictures."""


def main() -> int:
    arguments = console.parse(Arguments, __doc__)
    from tinybench.cli.infer import introduction, list_images
    from tinybench.evaluation.explain import draw, explain
    from tinybench.runtime.pictures import save_figure

    arguments.check()
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
        picture = arguments.output / f"{path.stem}{number}.png"
        guess = f"{explanation.guess.name} ({explanation.guess.probability:.1%})"
        figure = draw(explanation, f"{predictor.checkpoint['model']}: {guess}")
        save_figure(figure, picture, force=arguments.force, dpi=DPI)
        print(printable(f"{path}: {guess}, {explanation.method} in {picture}"), flush=True)
    return 1 if failures else 0
