"""The training loop, to be read from top to bottom."""

import math
import sys
import time
from collections.abc import Iterable
from contextlib import nullcontext
from pathlib import Path
from signal import Signals
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F
from tqdm import tqdm

from tinybench.data.batches import Batch, TrainBatches
from tinybench.data.imageset import ImageSet
from tinybench.errors import UserError
from tinybench.evaluation.metrics import topk_accuracy
from tinybench.evaluation.predict import predict_logits
from tinybench.recipe import Recipe, RunOptions
from tinybench.runtime import distributed
from tinybench.runtime.device import (
    LaggedReader,
    autocast,
    check_precision,
    determinism,
    peak_memory_mb,
    pick_device,
    synchronize,
)
from tinybench.runtime.seeds import Purpose, derive_seed
from tinybench.runtime.signals import StopSignals
from tinybench.training.checkpoint import (
    check_resume,
    network_checkpoint,
    read_checkpoint,
    write_checkpoint,
)
from tinybench.training.distill import distillation_loss
from tinybench.training.freezing import set_training_mode
from tinybench.training.history import History
from tinybench.training.loss import build_criterion
from tinybench.training.numerics import choose_numerics
from tinybench.training.optimizer import learning_rate
from tinybench.training.setup import build_state, load_images, own_folder
from tinybench.training.state import TrainingState
from tinybench.training.tensorboard import open_tensorboard

REFRESH_SECONDS = 0.5  # how often the bar reads the sums, and looks whether they are finite
VALIDATION_BATCH = 4  # training batches of a GPU in one of validation, which keeps nothing for a backward pass


class Stopped(UserError):
    """A signal ended the run between two steps; everything is saved."""


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
    check_precision(device, recipe.precision)
    repeatable = determinism(device, recipe.deterministic)
    train_images, val_images = load_images(recipe, options.data_dir)
    checkpoint = read_checkpoint(resume) if resume else None
    if checkpoint:
        recipe = check_resume(checkpoint, recipe, train_images)
    distributed.require_same((recipe, train_images.fingerprint))
    recipe = distributed.of_main(choose_numerics(recipe, len(train_images), train_images.num_classes, device))
    state = build_state(recipe, train_images, val_images, device, resumed=resume is not None)
    if checkpoint:
        state.restore(checkpoint)
    distributed.require_same((len(state.history), state.step))
    folder = own_folder(options, resume, overwrite) if distributed.is_main() else nullcontext()
    with folder, StopSignals() as stop, repeatable:
        distributed.wait_for_all()  # for the main process to have the folder; should it fail, all end here
        state.replica = distributed.replicate(state.model)
        print(summary(recipe, state.history.about), flush=True)
        run_epochs(recipe, options, state, train_images.to(device), val_images.to(device), stop)
    return state.history


def run_epochs(
    recipe: Recipe,
    options: RunOptions,
    state: TrainingState,
    train_images: ImageSet,
    val_images: ImageSet,
    stop: StopSignals,
) -> None:
    """Train from where `state` is to the end of the recipe, and save as it goes. The images are on the device."""
    is_main = distributed.is_main()
    batches = TrainBatches(train_images, recipe, rank=distributed.rank(), processes=distributed.world_size())
    device, steps, batch_size = batches.device, batches.steps_per_epoch, batches.batch_size
    history, last = state.history, options.folder / "last.pth"
    done = (len(history) * steps + state.step) * batch_size
    bar = tqdm(
        total=recipe.epochs * steps * batch_size, initial=done, unit=" images", smoothing=0.05,
        disable=None if is_main else True,
    )  # fmt: skip
    if is_main and not last.exists():  # first of all, so that a run killed at any moment has something to resume from
        _save(last, recipe, train_images, state)
    saved_at, agree = time.monotonic(), distributed.Agreement()

    with bar, open_tensorboard(options, history) as log_epoch:
        for epoch in range(len(history), recipe.epochs):
            reader, refreshed_at = LaggedReader(), time.monotonic()
            started = time.perf_counter() - state.seconds
            set_training_mode(state.model)
            for step in range(state.step, steps):
                batch = batches.batch(epoch, step)
                lr = learning_rate(recipe, epoch * steps + step, steps)
                dropout_seed = derive_seed(recipe.seed, Purpose.DROPOUT, epoch, step, *distributed.own_keys())
                train_step(recipe, state, batch, lr, dropout_seed)
                if state.ema:
                    state.ema.update(epoch * steps + step)
                state.step = step + 1

                bar.update(batch_size)
                if is_main and time.monotonic() - refreshed_at > REFRESH_SECONDS:
                    refreshed_at = time.monotonic()
                    if sums := reader.read(state.sums):
                        _check_finite(sums, epoch)
                        loss, correct = (value / (state.step * batch_size) for value in sums)
                        bar.set_description(f"epoch {epoch + 1}/{recipe.epochs}", refresh=False)
                        bar.set_postfix_str(f"loss {loss:.3f}, accuracy {100 * correct:.1f} %", refresh=False)
                due = time.monotonic() - saved_at > 60 * options.checkpoint_minutes
                received, due = agree(stop.received, due)
                if received or due:
                    state.seconds = time.perf_counter() - started
                    distributed.average_(state.sums)
                    _save(last, recipe, train_images, state)
                    saved_at = time.monotonic()
                if received:
                    raise _stopped(received, options, f"epoch {epoch + 1}, step {state.step} of {steps}")

            synchronize(device)
            train_seconds = time.perf_counter() - started
            distributed.average_(state.sums)
            loss, correct = (value / (steps * batch_size) for value in state.sums.tolist())
            values = {"train_loss": loss, "train_acc": 100 * correct, **validate(state.model, val_images, recipe)}
            if state.ema:
                values |= {
                    f"ema_{name}": value for name, value in validate(state.ema.model, val_images, recipe).items()
                }
            _check_finite(values.values(), epoch)
            values["lr"] = learning_rate(recipe, (epoch + 1) * steps - 1, steps)
            values["epoch_seconds"] = time.perf_counter() - started
            values["images_per_second"] = steps * batch_size / train_seconds
            history.append(values)
            state.step, state.seconds = 0, 0.0
            state.sums.zero_()

            # The network first, the training state last: a run killed in between repeats the epoch, bit for bit.
            best_epoch, best_acc, best_weights = history.best()
            if is_main and best_epoch == epoch + 1:
                best = network_checkpoint(
                    recipe,
                    train_images,
                    epoch=best_epoch,
                    val_acc=best_acc,
                    weights=best_weights,
                    model=state.ema.model if state.ema and best_weights == "ema" else state.model,
                )
                write_checkpoint(options.folder / "best_model.pth", best)
            if is_main:
                history.write(options.folder / "history.json", peak_memory_mb(device))
            _save(last, recipe, train_images, state)
            saved_at = time.monotonic()
            if recipe.save_every and (epoch + 1) % recipe.save_every == 0:
                _save(options.folder / f"checkpoint_epoch_{epoch + 1}.pth", recipe, train_images, state)
            log_epoch(epoch + 1, values)
            bar.write(epoch_line(epoch + 1, recipe.epochs, values, is_best=best_epoch == epoch + 1))
            sys.stdout.flush()  # a log file shows the line now, not when the buffer is full
            received, _ = agree(stop.received, False, now=True)
            if received and epoch + 1 < recipe.epochs:
                raise _stopped(received, options, f"epoch {epoch + 1}")


def train_step(recipe: Recipe, state: TrainingState, batch: Batch, lr: float, dropout_seed: int) -> None:
    """One step of the optimizer on one batch; adds the batch's loss and right answers to `state.sums`."""
    for group in state.optimizer.param_groups:
        group["lr"] = lr * group.get("lr_factor", 1.0)  # checkpoints of older versions have no factor
    torch.manual_seed(dropout_seed)
    *first, last = batch.pieces(recipe.accumulate_steps)
    with distributed.unaveraged(state.replica):
        for piece in first:
            add_gradients(recipe, state, piece, len(piece) / len(batch))
    add_gradients(recipe, state, last, len(last) / len(batch))
    if recipe.clip_grad_norm > 0:
        state.scaler.unscale_(state.optimizer)
        nn.utils.clip_grad_norm_(state.model.parameters(), recipe.clip_grad_norm)
    state.scaler.step(state.optimizer)
    state.scaler.update()
    state.optimizer.zero_grad(set_to_none=True)


def add_gradients(recipe: Recipe, state: TrainingState, piece: Batch, share: float) -> None:
    """The forward and the backward pass of a piece that is such a share of its batch."""
    with autocast(piece.images.device, recipe.precision):
        logits = state.replica(piece.images)
        taught = state.teacher(piece.images) if state.teacher else None
    logits = logits.float()
    loss = piece.loss(logits, build_criterion(recipe))
    if taught is not None:
        distilled = distillation_loss(logits, taught.float(), recipe.distill_temperature)
        loss = torch.lerp(loss, distilled, recipe.distill_weight)
    state.scaler.scale(loss * share).backward()
    sums = torch.stack((loss.detach() * len(piece), piece.correct(logits.detach())))
    state.sums.add_(sums, alpha=distributed.world_size())  # each process's sums stand for all images


def validate(model: nn.Module, images: ImageSet, recipe: Recipe) -> dict[str, float]:
    """Plain cross entropy and accuracies (percent) on the validation images, each of which one process looks at."""
    distributed.share_buffers(model)
    device = images.labels.device
    batch_size = recipe.batch_size // distributed.world_size()
    if device.type != "cpu":
        batch_size *= VALIDATION_BATCH
    own_logits = predict_logits(
        model,
        images.select(distributed.own_slice(len(images))),
        image_size=recipe.image_size,
        batch_size=batch_size,
        device=device,
        precision=recipe.precision,
        channels_last=recipe.channels_last,
    )
    logits = distributed.gather_rows(own_logits, len(images))
    return {
        "val_loss": F.cross_entropy(logits, images.labels).item(),
        "val_acc": topk_accuracy(logits, images.labels, 1),
        "val_top5_acc": topk_accuracy(logits, images.labels, min(5, images.num_classes)),
    }


def summary(recipe: Recipe, about: dict[str, Any]) -> str:
    """What is about to run, and where, in a few lines."""
    data, machine = about["dataset"], about["environment"]
    settings = [f"{name} {value}" for name, value in recipe.as_dict().items() if name not in ("model", "dataset")]
    return (
        f"{recipe.model}: {about['parameters']:,} parameters, on {machine['device_name']} ({machine['device']})\n"
        f"{data['name']}: {data['classes']} classes, {data['train_images']:,} images to train on, "
        f"{data['val_images']:,} to validate on\n{', '.join(settings)}"
    )


def epoch_line(epoch: int, epochs: int, values: dict[str, float], is_best: bool) -> str:
    ema = f" (EMA {values['ema_val_acc']:.2f} %)" if "ema_val_acc" in values else ""
    return (
        f"epoch {epoch:3d}/{epochs}  train {values['train_loss']:.3f} {values['train_acc']:5.2f} %  "
        f"val {values['val_loss']:.3f} {values['val_acc']:5.2f} %{ema}  top-5 {values['val_top5_acc']:5.2f} %  "
        f"lr {values['lr']:.2g}  {values['epoch_seconds']:.1f} s  {values['images_per_second']:,.0f} images/s"
        f"{'  best' if is_best else ''}"
    )


def _save(path: Path, recipe: Recipe, images: ImageSet, state: TrainingState) -> None:
    """Write all that resuming needs, in the main process, unless the last step has ruined the weights."""
    if not distributed.is_main():
        return
    epoch = len(state.history)
    if not state.weights_are_finite():
        _check_finite([math.nan], epoch)
    val_acc = state.history.epochs["val_acc"][-1] if epoch else 0.0
    network = network_checkpoint(recipe, images, epoch=epoch, val_acc=val_acc, weights="model", model=state.model)
    write_checkpoint(path, network | state.as_dict())


def _check_finite(values: Iterable[float], epoch: int) -> None:
    if all(math.isfinite(value) for value in values):
        return
    raise UserError(
        f"the loss is not finite any more in epoch {epoch + 1}; last.pth keeps what was good; "
        "try a lower --lr, some --warmup_epochs, or --clip_grad_norm 1"
    )


def _stopped(received: Signals, options: RunOptions, where: str) -> Stopped:
    distributed.wait_for_all()  # the first process to leave ends the others, but one of them has to save
    error = Stopped(
        f"stopped by {received.name} after {where}, saved in {options.folder}; go on with: "
        + options.command("src/train.py", "--run_name", options.run_name, "--resume")
    )
    error.status = 128 + received
    return error
