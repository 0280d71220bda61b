"""What a run starts from: its folder, its images, its network before the first step."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import filelock
import torch
from torch import nn

from tinybench.data import datasets, split
from tinybench.data.augment.expression import parse
from tinybench.data.batches import check_shares, size_of_batches, smallest_piece
from tinybench.data.imageset import ImageSet
from tinybench.data.prepare.packed import Split
from tinybench.data.streaming import StreamedSet
from tinybench.errors import UsageError, UserError, reason
from tinybench.inference.checkpoint import network_options, read_checkpoint
from tinybench.metrics import imbalanced
from tinybench.models import build_model
from tinybench.models.fit import check_fit
from tinybench.recipe import Recipe, RunOptions
from tinybench.runtime.device import compile_network, describe_environment, memory_format
from tinybench.runtime.distributed import world_size
from tinybench.runtime.files import remove_leftovers
from tinybench.runtime.seeds import Purpose, derive_seed
from tinybench.training.distill import load_teacher
from tinybench.training.ema import Ema
from tinybench.training.freezing import freeze
from tinybench.training.history import History
from tinybench.training.loss import balanced_weights, build_criterion
from tinybench.training.optimizer import build_optimizer
from tinybench.training.pretrained import IMAGENET, load_pretrained, weights_file
from tinybench.training.state import TrainingState

PROBED_SECONDS = 2.0  # a lock may be held for a moment by somebody who asks whether it is held


@contextlib.contextmanager
def own_folder(options: RunOptions) -> Iterator[None]:
    """Hold the run's folder for this process alone.

    Raises:
        UserError: another process holds it, or it cannot be written.
    """
    folder = options.folder
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = filelock.FileLock(folder / ".lock", timeout=PROBED_SECONDS)
        lock.acquire()
    except filelock.Timeout:
        raise UserError(f"{folder} is being written by another run; choose another --run_name") from None
    except OSError as error:
        raise UserError(f"cannot write {folder}: {reason(error)}") from error
    try:
        remove_leftovers(folder)
        yield
    finally:
        lock.release()


def check_recipe(recipe: Recipe, *, resumed: bool) -> None:
    """Find out what would stop a run, as far as it is known without the data, before anything takes long.

    Args:
        resumed: the weights to start from are not needed any more.

    Raises:
        UsageError: the network cannot be built or trained as the recipe says.
        UserError: a file that it starts or learns from is missing or damaged.
    """
    if recipe.pretrained not in ("", IMAGENET) and not resumed:
        weights_file(recipe.pretrained)
    if recipe.teacher:
        read_checkpoint(Path(recipe.teacher))
    check_network(recipe)


def check_network(recipe: Recipe) -> None:
    """Make sure that the network can be built and trained as the recipe says, and its images varied; it takes a second.

    Raises:
        UsageError: it cannot.
    """
    parse(recipe.augment)
    model = build_model(recipe.model, num_classes=2, image_size=recipe.image_size, **network_options(recipe))
    check_images(model, recipe, 2, max(1, recipe.batch_size // world_size()))
    if recipe.freeze:
        freeze(model, recipe.freeze)
    build_optimizer(model, recipe)


def check_images(model: nn.Module, recipe: Recipe, num_classes: int, batch_size: int) -> None:
    """Make sure that a network can train on images of the recipe's sizes.

    Args:
        batch_size: images of a step in this process.

    Raises:
        UsageError: they are too small or too few, or the network takes one size only.
    """
    what = f"image_size {recipe.image_size}"
    if recipe.image_size_schedule:
        what = f"image_size_schedule {recipe.image_size_schedule}"
    images = smallest_piece(batch_size, recipe.accumulate_steps)
    for size in sorted({*recipe.image_sizes, recipe.image_size}):
        check_fit(model, what, num_classes=num_classes, image_size=size, images=images)


def load_images(recipe: Recipe, data_dir: Path) -> tuple[ImageSet, ImageSet]:
    """The training and the validation images of a recipe: a folder's own, else held out of the training images."""

    def load(name: Split) -> ImageSet:
        images = datasets.load(recipe.dataset, name, data_dir, recipe.image_size, skip_damaged=recipe.skip_damaged)
        if recipe.stream:
            images = StreamedSet.of(images)
        images = datasets.normalized_as(images, recipe.normalize)
        return split.first_classes(images, recipe.classes)

    images = load("train")
    chosen = split.images_per_class(images, recipe.images_per_class, recipe.seed)
    if "val" in images.split_fingerprints:
        if recipe.val_fraction != Recipe.val_fraction:
            print(f"{images.name} has validation images of its own: val_fraction {recipe.val_fraction} does nothing")
        return chosen, load("val")
    return split.train_val_split(chosen, recipe.val_fraction, recipe.seed)


def build_state(
    recipe: Recipe, train_images: ImageSet, val_images: ImageSet, device: torch.device, *, resumed: bool = False
) -> TrainingState:
    """The state of a run before its first step; one that is resumed does not need its pretrained weights again."""
    check_shares(recipe, len(train_images), len(val_images), world_size())
    torch.manual_seed(derive_seed(recipe.seed, Purpose.INIT))
    options = network_options(recipe)
    # Built on the CPU, so that the initial weights are the same on every device.
    model = build_model(recipe.model, num_classes=train_images.num_classes, image_size=recipe.image_size, **options)
    batch_size = size_of_batches(recipe, len(train_images)) // world_size()
    check_images(model, recipe, train_images.num_classes, batch_size)
    if recipe.pretrained and not resumed:
        print(load_pretrained(model, recipe, train_images.class_ids), flush=True)
    if recipe.freeze:
        freeze(model, recipe.freeze)
    if recipe.sync_batch_norm and world_size() > 1:
        if device.type != "cuda":
            raise UsageError(f"sync_batch_norm with several processes needs device cuda, not {device.type}")
        model = nn.SyncBatchNorm.convert_sync_batchnorm(model)
    model = model.to(device).to(memory_format=memory_format(recipe.channels_last))
    about = {
        "config": recipe.as_dict(),
        "environment": {**describe_environment(device), "processes": world_size()},
        "dataset": {
            "name": train_images.name,
            "fingerprint": train_images.fingerprint,
            "classes": train_images.num_classes,
            "train_images": len(train_images),
            "val_images": len(val_images),
        },
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
    }
    ema = Ema(model, recipe.ema_decay) if recipe.ema_decay > 0 else None
    class_weights = balanced_weights(train_images.labels).to(device) if recipe.class_weights == "balanced" else None
    for name in ("class_weights", "sampling"):
        if getattr(recipe, name) == "balanced" and not imbalanced(train_images.labels):
            print(f"the classes of {train_images.name} are equally large; {name} balanced is not needed", flush=True)
    if recipe.compile:
        # After the copy for the average, which predicts too seldom to be worth it.
        compile_network(model, len(set(recipe.image_sizes)))
    return TrainingState(
        model=model,
        optimizer=build_optimizer(model, recipe),
        scaler=torch.amp.GradScaler(device.type, enabled=recipe.precision == "fp16"),
        ema=ema,
        criterion=build_criterion(recipe, class_weights),
        teacher=load_teacher(recipe, train_images, device) if recipe.teacher else None,
        history=History(about),
        sums=torch.zeros(2, device=device),
    )
