"""How long a run will take: from an earlier run of its kind on this machine, else from timed steps."""

import dataclasses
import functools
from pathlib import Path

from tinybench import formats
from tinybench.errors import UserError
from tinybench.recipe import Recipe
from tinybench.runs import find_files
from tinybench.runtime.device import describe_environment, pick_device
from tinybench.runtime.files import read_json
from tinybench.sweep.plan import Run
from tinybench.sweep.run_one import RunPaths
from tinybench.training.setup import check_network, load_images
from tinybench.training.step_time import step_seconds

# Fields that decide how long an image of the test's size takes.
KIND = ("model", "model_options", "image_size", "batch_size", "precision", "channels_last", "compile")
TIMED_IMAGES = 24  # enough to tell what an image takes in a batch
VALIDATION_SHARE = 1 / 3  # forward only, where training goes forward and twice as much backward


def epoch_seconds(run: Run, paths: RunPaths) -> list[float]:
    """Seconds of each epoch with its validation.

    Raises:
        UserError: the data are not there, or the recipe does not fit them.
    """
    check_network(run.recipe)
    train_images, val_images = load_images(run.recipe, paths.data_dir)
    known = _known_seconds_per_image(run.recipe, paths)
    seconds = known or _timed_seconds_per_image(run.recipe, train_images.num_classes, paths)
    sizes = len(train_images), len(val_images)
    return [seconds * _images_of_test_size(run.recipe, epoch, *sizes) for epoch in range(run.recipe.epochs)]


def _images_of_test_size(recipe: Recipe, epoch: int, train_images: int, val_images: int) -> float:
    """How many training images of the test's size take as long as this epoch: an image takes as long as its pixels."""
    train, validation = recipe.image_size_in(epoch), recipe.val_image_size_in(epoch)
    pixels = train_images * train**2 + VALIDATION_SHARE * val_images * validation**2
    return pixels / recipe.image_size**2


def _known_seconds_per_image(recipe: Recipe, paths: RunPaths) -> float | None:
    here = describe_environment(pick_device(paths.device))
    newest: dict[float, Path] = {path.stat().st_mtime: path for path in find_files(paths.results_dir, "history.json")}
    for _, path in sorted(newest.items(), reverse=True):
        try:
            history = read_json(path, formats.History)
            config, machine, data = history["config"], history["environment"], history["dataset"]
            same_machine = all(machine[key] == here[key] for key in ("device", "device_name", "threads"))
            former = Recipe.from_dict(config)
            alike = recipe.with_numerics_of(former)
            if same_machine and all(config[key] == getattr(alike, key) for key in KIND):
                last = len(history["epoch_seconds"]) - 1
                images = _images_of_test_size(former, last, data["train_images"], data["val_images"])
                return history["epoch_seconds"][last] / images
        except (UserError, KeyError, IndexError, TypeError):
            continue  # unfinished or damaged: it says nothing of time
    return None


def _timed_seconds_per_image(recipe: Recipe, num_classes: int, paths: RunPaths) -> float:
    # At worst: what auto will find is not known yet, and compiling takes longer than an answer may.
    recipe = dataclasses.replace(
        recipe, precision="fp32" if recipe.precision == "auto" else recipe.precision, compile=False
    )
    images = min(TIMED_IMAGES, recipe.batch_size)
    time_step = functools.partial(step_seconds, recipe, num_classes, pick_device(paths.device), batch_size=images)
    network = time_step(optimize=False, rounds=2)
    optimizer = max(0.0, time_step(rounds=2) - network)  # however many the images are
    return network / images + optimizer / recipe.batch_size
