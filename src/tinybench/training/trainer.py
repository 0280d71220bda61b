"""The training loop, to be read from top to bottom."""

import textwrap
import time
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tinybench.data.batches import Batch, TrainBatches, images_at_once, size_of_batches
from tinybench.data.imageset import ImageSet
from tinybench.inference.checkpoint import check_data, read_checkpoint
from tinybench.inference.predictor import predict_logits
from tinybench.metrics import imbalanced, macro_mean, topk_accuracy
from tinybench.recipe import Recipe, RunOptions
from tinybench.runtime import distributed
from tinybench.runtime.device import autocast, determinism, pick_device, synchronize
from tinybench.runtime.files import check_writable
from tinybench.runtime.seeds import Purpose, derive_seed
from tinybench.runtime.signals import StopSignals
from tinybench.training.checkpoint import anchored, check_resume
from tinybench.training.distill import distillation_loss
from tinybench.training.freezing import set_training_mode
from tinybench.training.history import History
from tinybench.training.numerics import check_numerics, choose_numerics
from tinybench.training.optimizer import learning_rate
from tinybench.training.progress import Progress
from tinybench.training.saving import Checkpointer, RunFiles, check_folder
from tinybench.training.setup import build_state, check_recipe, load_images, own_folder
from tinybench.training.state import TrainingState, has_begun
from tinybench.training.tracking import Tracking, check_trackers


def train(recipe: Recipe, options: RunOptions, *, resume: Path | None = None, overwrite: bool = False) -> History:
    """Train a network and leave history.json, best_model.pth and last.pth in the run's folder.

    Args:
        resume: a checkpoint to go on from.
        overwrite: replace a run that is already in the folder.

    Raises:
        UsageError: the recipe does not fit the data, the network, the device or the checkpoint.
        UserError: the data are missing, a file cannot be read or written, or the loss is not finite.
        Stopped: SIGINT or SIGTERM came; the run can be resumed.
    """
    device = pick_device(options.device)
    repeatable = determinism(device, recipe.deterministic)
    recipe = anchored(recipe)
    check_folder(options, resume, overwrite)
    if distributed.is_main():
        check_writable(options.folder)
        check_trackers(options.track)
    checkpoint = read_checkpoint(resume) if resume else None
    if checkpoint and not has_begun(checkpoint):
        checkpoint = None  # with nothing behind it, the run starts anew, also with another recipe
    if checkpoint:
        recipe = check_resume(checkpoint, recipe)
    check_numerics(recipe, device)
    check_recipe(recipe, resumed=checkpoint is not None)
    train_images, val_images = load_images(recipe, options.data_dir)
    if checkpoint:
        check_data(checkpoint, train_images, recipe.dataset)
        train_images = replace(train_images, name=checkpoint["dataset"])  # a folder may bear another name by now
    distributed.require_same((recipe, train_images.fingerprint, val_images.fingerprint))
    recipe = distributed.of_main(choose_numerics(recipe, len(train_images), train_images.num_classes, device))
    state = build_state(recipe, train_images, val_images, device, resumed=checkpoint is not None)
    if checkpoint:
        state.restore(checkpoint)
    distributed.require_same((len(state.history), state.step))
    with own_folder(options) if distributed.is_main() else nullcontext(), StopSignals() as stop, repeatable:
        train_images, val_images = train_images.to(device), val_images.to(device)
        files = RunFiles(options, recipe, train_images, state)
        files.begin(resume, checkpoint, overwrite)
        distributed.barrier()  # for the main process to have the folder; should it fail, all end here
        state.ddp_model = distributed.replicate(state.model)
        print(summary(recipe, state.history.about, options.verbose), flush=True)
        run_epochs(recipe, state, files, train_images, val_images, stop)
    return state.history


def run_epochs(
    recipe: Recipe,
    state: TrainingState,
    files: RunFiles,
    train_images: ImageSet,
    val_images: ImageSet,
    stop: StopSignals,
) -> None:
    """Train from where `state` is to the end of the recipe, and save as it goes. The images are on the device.

    Raises:
        UserError: the loss is not finite, or a file cannot be written.
        Stopped: SIGINT or SIGTERM came; the run can be resumed.
    """
    batches = TrainBatches(train_images, recipe, rank=distributed.rank(), processes=distributed.world_size())
    steps, history, checkpointer = batches.steps_per_epoch, state.history, Checkpointer(files, stop)
    with (
        Tracking(files.options, recipe, state, steps, batches.batch_size) as tracking,
        Progress(recipe.epochs, steps, batches.batch_size, state) as progress,
    ):
        for epoch in range(len(history), recipe.epochs):
            started = time.perf_counter() - state.seconds
            progress.begin_epoch()
            set_training_mode(state.model)
            for step in range(state.step, steps):
                batch = batches.batch(epoch, step)
                lr = learning_rate(recipe, epoch * steps + step, steps)
                dropout_seed = derive_seed(recipe.seed, Purpose.DROPOUT, epoch, step, *distributed.rank_keys())
                train_step(recipe, state, batch, lr, dropout_seed)
                tracking.after_step()
                if state.ema:
                    state.ema.update((epoch - first_averaged(recipe)) * steps + step)
                state.step, state.seconds = step + 1, time.perf_counter() - started
                progress.after_step(state, files.check_finite)
                checkpointer.after_step(steps)

            synchronize(batches.device)
            values = epoch_values(recipe, state, batches, val_images, started)
            files.check_finite(values.values())
            state.end_epoch(values)
            checkpointer.save()
            tracking.after_epoch(values)
            progress.write(epoch_line(epoch + 1, recipe, values, is_best=history.best_epoch == epoch + 1))
            checkpointer.after_epoch()


def epoch_values(
    recipe: Recipe, state: TrainingState, batches: TrainBatches, val_images: ImageSet, started: float
) -> dict[str, float]:
    """What history.json holds of the epoch whose last step has just been done, see `History`.

    Args:
        started: when it began, as of time.perf_counter().
    """
    train_seconds = time.perf_counter() - started
    epoch, steps = len(state.history), batches.steps_per_epoch
    images, size = steps * batches.batch_size, recipe.val_image_size_in(epoch)
    distributed.all_reduce_mean_(state.sums)
    loss, accuracy = (value / images for value in state.sums.tolist())
    validated = validate(state.model, val_images, recipe, size)
    values = {"train_loss": loss, "train_acc": 100 * accuracy, **validated}
    if state.ema:
        if epoch >= first_averaged(recipe):  # before, it is the network itself
            validated = validate(state.ema.model, val_images, recipe, size)
        values |= {f"ema_{name}": value for name, value in validated.items()}
    return values | {
        "val_image_size": size,
        "lr": learning_rate(recipe, (epoch + 1) * steps - 1, steps),
        "epoch_seconds": time.perf_counter() - started,
        "images_per_second": images / train_seconds,
    }


def first_averaged(recipe: Recipe) -> int:
    """The epoch, counted from 0, with which the average of the weights begins."""
    return recipe.schedule_epochs - recipe.ema_epochs if recipe.ema_epochs else 0


def train_step(recipe: Recipe, state: TrainingState, batch: Batch, lr: float, dropout_seed: int) -> None:
    """One step of the optimizer on one batch; adds the batch's loss and correct predictions to `state.sums`."""
    for group in state.optimizer.param_groups:
        group["lr"] = lr * group.get("lr_factor", 1.0)  # checkpoints of older versions have no factor
    torch.manual_seed(dropout_seed)
    *first, last = batch.micro_batches(recipe.accumulate_steps)
    with distributed.no_sync(state.ddp_model):
        for piece in first:
            forward_backward(recipe, state, piece, len(piece) / len(batch))
    forward_backward(recipe, state, last, len(last) / len(batch))
    if recipe.clip_grad_norm > 0:
        state.scaler.unscale_(state.optimizer)
        nn.utils.clip_grad_norm_(state.model.parameters(), recipe.clip_grad_norm)
    state.scaler.step(state.optimizer)
    state.scaler.update()
    state.optimizer.zero_grad(set_to_none=True)


def forward_backward(recipe: Recipe, state: TrainingState, piece: Batch, share: float) -> None:
    """The forward and the backward pass of a piece that is such a share of its batch."""
    with autocast(piece.images.device, recipe.precision):
        logits = state.ddp_model(piece.images)
        teacher_logits = state.teacher(piece.images) if state.teacher else None
    logits = logits.float()
    loss = piece.loss(logits, state.criterion)
    if teacher_logits is not None:
        distilled = distillation_loss(logits, teacher_logits.float(), recipe.distill_temperature)
        loss = torch.lerp(loss, distilled, recipe.distill_weight)
    state.scaler.scale(loss * share).backward()
    sums = torch.stack((loss.detach() * len(piece), piece.correct(logits.detach())))
    state.sums.add_(sums, alpha=distributed.world_size())  # each process's sums stand for all images


def validate(model: nn.Module, images: ImageSet, recipe: Recipe, image_size: int) -> dict[str, float]:
    """Plain cross entropy and accuracies (percent) on the validation images, each of which one process looks at.

    Args:
        image_size: side in pixels that they are scaled to.
    """
    distributed.broadcast_buffers(model)
    device = images.labels.device
    own_logits = predict_logits(
        model,
        images.select(distributed.rank_slice(len(images))),
        image_size=image_size,
        batch_size=images_at_once(recipe, distributed.world_size()),
        device=device,
        precision=recipe.precision,
        channels_last=recipe.channels_last,
        whole_batches=recipe.compile,
    )
    return scores(distributed.gather_rows(own_logits, len(images)), images.labels)


def scores(logits: Tensor, labels: Tensor) -> dict[str, float]:
    """Plain cross entropy and accuracies (percent) of validation images: logits (N, classes), labels int64 (N,).

    Where the classes differ in size also the mean of their accuracies, val_macro_acc.
    """
    val_loss = F.cross_entropy(logits, labels).item()
    logits, labels = logits.cpu(), labels.cpu()
    values = {
        "val_loss": val_loss,
        "val_acc": topk_accuracy(logits, labels, 1),
        "val_top5_acc": topk_accuracy(logits, labels, 5),
    }
    if imbalanced(labels):
        values["val_macro_acc"] = macro_mean(logits, labels, "recall")
    return values


def summary(recipe: Recipe, about: dict[str, Any], verbose: bool = False) -> str:
    """What is about to run, and where, in a few lines: of the recipe, what differs from the defaults of `Recipe`.

    Args:
        about: see `History`.
        verbose: every field of the recipe.
    """
    data, machine = about["dataset"], about["environment"]
    fields = {name: value for name, value in recipe.as_dict().items() if name not in ("model", "dataset")}
    shown = [f"{name} {value}" for name, value in fields.items() if verbose or value != getattr(Recipe, name, {})]
    fitting = size_of_batches(recipe, data["train_images"])
    fewer = f"; {fitting} a step, as batch_size {recipe.batch_size} is more" if fitting < recipe.batch_size else ""
    return "\n".join(
        [
            f"{recipe.model}: {about['parameters']:,} parameters, on {machine['device_name']} ({machine['device']})",
            f"{data['name']}: {data['classes']} classes, {data['train_images']:,} images to train on, "
            f"{data['val_images']:,} to validate on{fewer}",
            *textwrap.wrap(
                f"recipe: {', '.join(shown)}{'' if verbose else '; the rest as by default (--verbose)'}",
                width=80, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False,
            ),
        ]
    )  # fmt: skip


def epoch_line(epoch: int, recipe: Recipe, values: dict[str, float], is_best: bool) -> str:
    """The epoch in at most 80 columns; history.json holds the rest."""
    parts = [
        f"{epoch:>{len(str(recipe.epochs))}}/{recipe.epochs}",
        f"train {values['train_loss']:#.4g} {values['train_acc']:5.2f}%",
        f"val {values['val_loss']:#.4g} {values['val_acc']:5.2f}%",
    ]
    if "ema_val_acc" in values:
        parts.append(f"EMA {values['ema_val_acc']:5.2f}%")
    if values["val_image_size"] != recipe.image_size:
        parts.append(f"{values['val_image_size']} px")
    seconds = values["epoch_seconds"]
    parts.append(f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s")
    return "  ".join(parts + ["best"] * is_best)
