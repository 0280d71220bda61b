"""Seconds of training until a validation accuracy is reached: recipes beside each other, several seeds each.

The clock runs from the images in memory on, and only while training: validation stands outside, and so does a warm-up
on random numbers, in which kernels are chosen or compiled. The better of the network and of its moving average counts.
Ctrl-C ends the race with the runs that are done, as soon as there is one of every recipe.
"""

import contextlib
import dataclasses
import io
import itertools
import math
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

from tinybench.cli import console
from tinybench.configuration import get_recipe
from tinybench.errors import UsageError
from tinybench.recipe import Device, Recipe, RunOptions
from tinybench.runtime.device import describe_environment, pick_device
from tinybench.runtime.files import check_output, has_keys, write_json
from tinybench.runtime.signals import StopSignals
from tinybench.training.history import History
from tinybench.training.numerics import choose_numerics
from tinybench.training.saving import RunFiles, Stopped
from tinybench.training.setup import build_state, load_images
from tinybench.training.step_time import step_seconds
from tinybench.training.trainer import run_epochs


@dataclass
class Arguments:
    target: float | None = None
    """Validation accuracy in percent (default: what every seed of the last recipe reaches)."""
    recipes: tuple[str, ...] = ("speedrun", "resnet")
    """Entries of config.py."""
    epochs: tuple[int, ...] = ()
    """Epochs of each recipe, in their order, with the warmup in proportion, rounded up (default: as config.py says)."""
    seeds: tuple[int, ...] = (3,)
    """How many, counted from 0, of all or of each recipe."""
    dataset: str = Recipe.dataset
    classes: int = 0
    """Only the first so many classes (0: all)."""
    images_per_class: int = 0
    """Only so many images of each class (0: all)."""
    data_dir: Path = RunOptions.data_dir
    device: Device = "auto"
    output: Path | None = None
    """Write all curves as JSON, after every run."""
    force: bool = False
    """Replace the output even if it is a file of something else."""
    debug: bool = False


def recipe_of(name: str, epochs: int, arguments: Arguments) -> Recipe:
    """The recipe in so many epochs (0: its own number) on the images asked for."""
    recipe = get_recipe(name)
    epochs = epochs or recipe.epochs
    return dataclasses.replace(
        recipe, epochs=epochs, warmup_epochs=math.ceil(recipe.warmup_epochs * epochs / recipe.epochs),
        dataset=arguments.dataset, classes=arguments.classes, images_per_class=arguments.images_per_class,
    )  # fmt: skip


def train(recipe: Recipe, arguments: Arguments) -> History:
    device = pick_device(arguments.device)
    images, val_images = load_images(recipe, arguments.data_dir)
    recipe = choose_numerics(recipe, len(images), images.num_classes, device)
    for size in recipe.image_sizes:
        sized = dataclasses.replace(recipe, image_size=size, image_size_schedule="")
        step_seconds(sized, images.num_classes, device, batch_size=min(recipe.batch_size, len(images)))
    state = build_state(recipe, images, val_images, device)
    with tempfile.TemporaryDirectory() as folder, StopSignals() as stop, contextlib.redirect_stdout(io.StringIO()):
        options = RunOptions(run_name="benchmark", results_dir=Path(folder), save_every=0)
        files = RunFiles(options, recipe, images, state)
        run_epochs(recipe, state, files, images.to(device), val_images.to(device), stop)
    return state.history


def curve(history: History) -> dict[str, Any]:
    """The seed, and after each epoch the seconds of training and the validation accuracy, 0 before full size."""
    about, epochs = history.about, history.epochs
    batch_size = about["config"]["batch_size"]
    images = about["dataset"]["train_images"] // batch_size * batch_size
    accuracies = zip(*(epochs[name] for name in ("val_acc", "ema_val_acc") if name in epochs), strict=True)
    is_full = [size == about["config"]["image_size"] for size in epochs["val_image_size"]]
    return {
        "seed": about["config"]["seed"],
        "seconds": list(itertools.accumulate(images / rate for rate in epochs["images_per_second"])),
        "val_acc": [full * max(values) for full, values in zip(is_full, accuracies, strict=True)],
    }


def seconds_to(target: float, run: dict[str, Any]) -> float:
    """Seconds of training up to the end of the first epoch with that validation accuracy; infinite if there is none."""
    points = zip(run["seconds"], run["val_acc"], strict=True)
    return next((seconds for seconds, accuracy in points if accuracy >= target), float("inf"))


def main() -> None:
    arguments = console.parse(Arguments, __doc__)
    check_output(arguments.output, arguments.force, has_keys("environment", "recipes"))
    names = arguments.recipes
    epochs = arguments.epochs or (0,) * len(names)
    seeds = arguments.seeds * len(names) if len(arguments.seeds) == 1 else arguments.seeds
    for given, values in (("epochs", epochs), ("seeds", seeds)):
        if len(values) != len(names):
            raise UsageError(f"{given} {values} must be as many as recipes {', '.join(names)}")
    recipes = {name: recipe_of(name, count, arguments) for name, count in zip(names, epochs, strict=True)}
    table: dict[str, Any] = {"environment": describe_environment(pick_device(arguments.device)), "recipes": {}}
    for (name, recipe), count in zip(recipes.items(), seeds, strict=True):
        runs: list[dict[str, Any]] = []
        for seed in range(count):
            try:
                history = train(dataclasses.replace(recipe, seed=seed), arguments)
            except Stopped:
                if len(table["recipes"]) < len(recipes):
                    raise
                break  # with what there is of every recipe
            runs.append(run := curve(history))
            table["recipes"][name] = {"config": history.about["config"], "runs": runs}
            best, took = max(run["val_acc"]), run["seconds"][-1]
            print(f"{name}, seed {seed}: {best:.2f} % in {recipe.epochs} epochs, {took:.1f} s", flush=True)
            if arguments.output:
                write_json(arguments.output, table)

    runs_of = {name: table["recipes"][name]["runs"] for name in names}
    target = arguments.target
    if target is None:
        target = min(max(run["val_acc"]) for run in runs_of[names[-1]])
    print(f"seconds to {target:.2f} %")
    medians = {}
    for name, runs in runs_of.items():
        seconds = [seconds_to(target, run) for run in runs]
        medians[name] = median(seconds)
        each = ", ".join(f"{value:.1f}" for value in seconds)
        ratio = medians[name] / medians[names[0]]
        print(f"{name:<14} {each}; median {medians[name]:.1f}, {ratio:.1f} times the first")
    if arguments.output:
        write_json(arguments.output, {"target": target, **table})


if __name__ == "__main__":
    console.run(main)
