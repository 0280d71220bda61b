"""What a run starts from: its folder, its images, its network before the first step."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import filelock
import torch
from torch import nn

from tinybench.data import datasets, split
from tinybench.data.batches import check_shares
from tinybench.data.imageset import ImageSet
from tinybench.data.packed import Split
from tinybench.data.streaming import StreamedSet
from tinybench.errors import UsageError, UserError
from tinybench.models import build_model, needs_image_size
from tinybench.recipe import Recipe, RunOptions
from tinybench.runtime.device import describe_environment, memory_format
from tinybench.runtime.distributed import world_size
from tinybench.runtime.seeds import Purpose, derive_seed
from tinybench.training.checkpoint import network_options
from tinybench.training.distill import Teacher
from tinybench.training.ema import Ema
from tinybench.training.freezing import freeze
from tinybench.training.history import History
from tinybench.training.optimizer import build_optimizer
from tinybench.training.pretrained import load_pretrained
from tinybench.training.state import TrainingState

# What a run and its test leave in the folder; gone when the run is overwritten.
RUN_FILES = ("*.pth", "history.json", "test_results*.json", "predictions*.npz", "events.out.tfevents.*")


@contextlib.contextmanager
def own_folder(options: RunOptions, resume: Path | None, overwrite: bool) -> Iterator[None]:
    """Hold the run's folder for this process alone, and refuse to write over a run that nobody gave up."""
    folder = options.folder
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = filelock.FileLock(folder / ".lock", timeout=0)
        lock.acquire()
    except filelock.Timeout:
        raise UserError(f"{folder} is being written by another run; choose another --run_name") from None
    except OSError as error:
        raise UserError(f"cannot write {folder}: {error.strerror}") from error
    try:
        taken = [name for name in ("last.pth", "history.json") if (folder / name).exists()]
        if taken and resume is None and not overwrite:
            go_on = "go on with --resume, " if "last.pth" in taken else ""
            raise UsageError(
                f"{folder} already holds a run ({', '.join(taken)}); "
                f"{go_on}choose another --run_name, or replace it with --overwrite"
            )
        if overwrite:
            for pattern in RUN_FILES:
                for path in folder.glob(pattern):
                    path.unlink()
        yield
    finally:
        lock.release()


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
    if recipe.image_size_schedule and needs_image_size(recipe.model):
        raise UsageError(
            f"image_size_schedule {recipe.image_size_schedule} does not go with model {recipe.model}, whose weights "
            "are for one size"
        )
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
    if recipe.compile:
        model.compile()  # after the copy for the average, which answers too seldom to be worth it
    return TrainingState(
        model=model,
        optimizer=build_optimizer(model, recipe),
        scaler=torch.amp.GradScaler(device.type, enabled=recipe.precision == "fp16"),
        ema=ema,
        teacher=Teacher(recipe, train_images).to(device) if recipe.teacher else None,
        history=History(about),
        sums=torch.zeros(2, device=device),
    )
