"""Ask a trained network about images: `python src/infer.py --image x.jpg --top_k 5`.

--image takes files and folders. Without --run, the network that knows the most classes answers; of several on one data
set, the one with the best validation accuracy. If export.py has put a network.onnx beside its checkpoint, that answers,
within a second.
"""

import dataclasses
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tinybench.cli import console
from tinybench.cli.run_arguments import NetworkArguments
from tinybench.errors import UsageError, UserError, printable
from tinybench.inference.about import summary
from tinybench.recipe import Count

if TYPE_CHECKING:
    from tinybench.inference.onnx import OnnxPredictor
    from tinybench.inference.predictor import Predictor


@dataclass(kw_only=True)
class Arguments(NetworkArguments):
    image: tuple[Path, ...]
    """Images to classify: files, or folders of them."""
    top_k: Count = 5
    """How many of the likeliest classes to name."""
    json: bool = False
    """Print one JSON document."""


def main() -> int:
    arguments = console.parse(Arguments, __doc__)
    arguments.check()
    paths = list(list_images(list(arguments.image)))
    predictor = arguments.answerer()
    if not arguments.json:
        print(introduction(predictor))
    classified, failures = [], 0
    for path in paths:
        try:
            guesses = predictor.classify(path, arguments.top_k)
        except UserError as error:
            failures += 1
            console.report(f"error: {error}")
            continue
        if arguments.json:
            classified.append({"image": str(path), "guesses": [dataclasses.asdict(guess) for guess in guesses]})
        else:
            print(printable(path))
            for guess in guesses:
                print(
                    f"  {guess.rank:>2}  {guess.probability:7.2%}  {printable(guess.class_id)}  {printable(guess.name)}"
                )
    if arguments.json:
        about = {"checkpoint": str(predictor.path), "model": predictor.checkpoint["model"]}
        print(json.dumps({**about, "images": classified}, indent=2))
    return 1 if failures else 0


def introduction(predictor: "Predictor | OnnxPredictor") -> str:
    """Which network classifies, in a line."""
    return printable(f"{predictor.path}: {summary(predictor.checkpoint)}")


def list_images(paths: list[Path]) -> Iterator[Path]:
    """Files as they are given; of a folder, the images in it, sorted.

    Raises:
        UsageError: a folder without images.
    """
    from tinybench.data.prepare.decode import IMAGE_SUFFIXES
    from tinybench.data.prepare.listing import is_image, list_files

    for path in paths:
        if not path.is_dir():
            yield path
            continue
        files = sorted(file for file in list_files(path) if is_image(file))
        if not files:
            raise UsageError(f"{path} holds no images ({', '.join(sorted(IMAGE_SUFFIXES))})")
        yield from files
