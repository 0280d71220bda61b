"""Ask a trained network about images: `python src/infer.py --image x.jpg --top_k 5`.

--image takes files and folders. Without --run, the network that knows the most classes answers; of several on one data
set, the one with the best validation accuracy.
"""

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path

from tinybench.cli import console
from tinybench.cli.run_arguments import NetworkArguments
from tinybench.errors import UserError, printable
from tinybench.recipe import Count


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
    from tinybench.inference.classifier import Classifier, find_checkpoint, introduction, list_images
    from tinybench.runtime.device import pick_device

    arguments.check()
    paths = list(list_images(list(arguments.image)))
    checkpoint = arguments.checkpoint or find_checkpoint(arguments)
    classifier = Classifier(checkpoint, pick_device(arguments.device))
    if not arguments.json:
        print(introduction(checkpoint, classifier.checkpoint))
    answers, failures = [], 0
    for path in paths:
        try:
            guesses = classifier.classify(path, arguments.top_k)
        except UserError as error:
            failures += 1
            console.report(f"error: {error}")
            continue
        if arguments.json:
            answers.append({"image": str(path), "guesses": [dataclasses.asdict(guess) for guess in guesses]})
        else:
            print(printable(path))
            for guess in guesses:
                print(
                    f"  {guess.rank:>2}  {guess.probability:7.2%}  {printable(guess.class_id)}  {printable(guess.name)}"
                )
    if arguments.json:
        about = {"checkpoint": str(checkpoint), "model": classifier.checkpoint["model"]}
        print(json.dumps({**about, "images": answers}, indent=2))
    return 1 if failures else 0
