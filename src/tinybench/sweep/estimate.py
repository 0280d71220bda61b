"""How long a run will take: from an earlier run of its kind on this machine, else from one timed step."""

import dataclasses
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

# Fields that decide how long an image takes.
KIND = ("model", "model_options", "image_size", "batch_size", "precision", "channels_last", "compile")
TIMED_IMAGES = 16
VALIDATION_SHARE = 1 / 3  # forward only, where training goes forward and twice as much backward


def epoch_seconds(run: Run, paths: RunPaths) -> float:
    """Seconds of one epoch with its validation.

    Raises:
        UserError: the data are not there, or the recipe does not fit them.
    """
    check_network(run.recipe)
    train_images, val_images = load_images(run.recipe, paths.data_dir)
    images = len(train_images) + VALIDATION_SHARE * len(val_images)
    known = _known_seconds_per_image(run.recipe, paths)
    return images * (known or _timed_seconds_per_image(run.recipe, train_images.num_classes, paths))


def _known_seconds_per_image(recipe: Recipe, paths: RunPaths) -> float | None:
    here = describe_environment(pick_device(paths.device))
    newest: dict[float, Path] = {path.stat().st_mtime: path for path in find_files(paths.results_dir, "history.json")}
    for _, path in sorted(newest.items(), reverse=True):
        try:
            history = read_json(path, formats.History)
            config, machine, data = history["config"], history["environment"], history["dataset"]
            same_machine = all(machine[key] == here[key] for key in ("device", "device_name", "threads"))
            alike = recipe.with_numerics_of(Recipe.from_dict(config))
            if same_machine and all(config[key] == getattr(alike, key) for key in KIND):
                images = data["train_images"] + VALIDATION_SHARE * data["val_images"]
                return history["epoch_seconds"][-1] / images
        except (UserError, KeyError, IndexError, TypeError):
            continue  # unfinished or damaged: it says nothing of time
    return None


def _timed_seconds_per_image(recipe: Recipe, num_classes: int, paths: RunPaths) -> float:
    if recipe.precision == "auto":  # at worst
        recipe = dataclasses.replace(recipe, precision="fp32")
    count = min(TIMED_IMAGES, recipe.batch_size)
    return step_seconds(recipe, num_classes, pick_device(paths.device), batch_size=count) / count
