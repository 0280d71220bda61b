"""Seconds of training until a validation accuracy is reached: recipes beside each other, several seeds each.

The clock runs from the images in memory on, and only while training: validation stands outside, and so does a warm-up
on random numbers, in which kernels are chosen or compiled. The better of the network and of its moving average counts.
"""

import contextlib
import dataclasses
import io
import itertools
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

from tinybench import cli
from tinybench.errors import UsageError
from tinybench.recipe import Device, Recipe, RunOptions, get_recipe
from tinybench.runtime.device import describe_environment, pick_device
from tinybench.runtime.files import write_json
from tinybench.runtime.signals import StopSignals
from tinybench.training.history import History
from tinybench.training.numerics import choose_numerics
from tinybench.training.setup import build_state, load_images
from tinybench.training.step_time import step_seconds
from tinybench.training.trainer import run_epochs


@dataclass
class Arguments:
    target: float
    """Validation accuracy in percent."""
    recipes: tuple[str, ...] = ("speedrun", "resnet")
    """Entries of config.py."""
    epochs: tuple[int, ...] = ()
    """Epochs of each recipe, in their order (default: as config.py says)."""
    seeds: int = 3
    """How many, counted from 0."""
    dataset: str = Recipe.dataset
    classes: int = 0
    """Only the first so many classes (0: all)."""
    images_per_class: int = 0
    """Only so many images of each class (0: all)."""
    data_dir: Path = RunOptions.data_dir
    device: Device = "auto"
    output: Path | None = None
    """Write the table as JSON too."""
    debug: bool = False


def train(recipe: Recipe, arguments: Arguments) -> History:
    device = pick_device(arguments.device)
    images, val_images = load_images(recipe, arguments.data_dir)
    recipe = choose_numerics(recipe, len(images), images.num_classes, device)
    for size in recipe.image_sizes:
        sized = dataclasses.replace(recipe, image_size=size, image_size_schedule="")
        step_seconds(sized, images.num_classes, device, batch_size=min(recipe.batch_size, len(images)))
    state = build_state(recipe, images, val_images, device)
    with tempfile.TemporaryDirectory() as folder, StopSignals() as stop, contextlib.redirect_stdout(io.StringIO()):
        options = RunOptions(run_name="benchmark", results_dir=Path(folder))
        run_epochs(recipe, options, state, images.to(device), val_images.to(device), stop)
    return state.history


def seconds_to(target: float, history: History, images: int) -> float | None:
    """Seconds of training up to the end of the first epoch with that validation accuracy; None if there is none."""
    epochs = history.epochs
    seconds = itertools.accumulate(images / rate for rate in epochs["images_per_second"])
    accuracies = zip(*(epochs[name] for name in ("val_acc", "ema_val_acc") if name in epochs), strict=True)
    return next((spent for spent, reached in zip(seconds, accuracies, strict=True) if max(reached) >= target), None)


def measure(name: str, epochs: int, arguments: Arguments) -> dict[str, Any]:
    recipe = dataclasses.replace(
        get_recipe(name), dataset=arguments.dataset, classes=arguments.classes,
        images_per_class=arguments.images_per_class, save_every=0,
    )  # fmt: skip
    recipe = dataclasses.replace(recipe, epochs=epochs or recipe.epochs)
    runs = []
    for seed in range(arguments.seeds):
        history = train(dataclasses.replace(recipe, seed=seed), arguments)
        batches = history.about["dataset"]["train_images"] // recipe.batch_size * recipe.batch_size
        seconds = seconds_to(arguments.target, history, batches)
        _, best, _ = history.best()
        runs.append({"seed": seed, "seconds": seconds, "best_val_acc": best, "config": history.about["config"]})
        took = "not reached" if seconds is None else f"{seconds:.1f} s"
        print(f"{name:<14}{recipe.epochs:>3} epochs, seed {seed}: {took}, best {best:.2f} %", flush=True)
    times = [run["seconds"] for run in runs]
    return {"recipe": name, "median_seconds": None if None in times else median(times), "runs": runs}


def main() -> None:
    arguments = cli.parse(Arguments, __doc__)
    if arguments.epochs and len(arguments.epochs) != len(arguments.recipes):
        raise UsageError(f"epochs {arguments.epochs} must be as many as recipes {', '.join(arguments.recipes)}")
    epochs = arguments.epochs or (0,) * len(arguments.recipes)
    rows = [measure(name, count, arguments) for name, count in zip(arguments.recipes, epochs, strict=True)]
    first, *others = rows
    for row in others:
        if first["median_seconds"] and row["median_seconds"]:
            ratio = row["median_seconds"] / first["median_seconds"]
            print(f"to {arguments.target} %: {first['recipe']} is {ratio:.1f} x as fast as {row['recipe']}")
    if arguments.output:
        environment = describe_environment(pick_device(arguments.device))
        write_json(arguments.output, {"environment": environment, "target": arguments.target, "recipes": rows})


if __name__ == "__main__":
    cli.run(main)
