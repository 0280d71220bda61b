"""Images per second of every network in training: our loop beside the bare forward, backward and step.

The bare step works on random tensors that are already on the device; our loop also shuffles, augments, mixes, counts
and reports. Both run in turn, several rounds, in the network's fastest precision here; the ratio is of the best rounds.
"""

import contextlib
import dataclasses
import functools
import io
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

from tinybench import cli
from tinybench.data.imageset import ImageSet
from tinybench.models import MODELS, list_models
from tinybench.recipe import Device, Recipe, RunOptions, get_recipe
from tinybench.runtime import distributed
from tinybench.runtime.device import autocast, describe_environment, memory_format, pick_device, synchronize
from tinybench.runtime.files import write_json
from tinybench.runtime.signals import StopSignals
from tinybench.training.setup import build_state
from tinybench.training.trainer import run_epochs

NUM_CLASSES = 200
PRECISIONS = ("fp32", "bf16")


@dataclass
class Arguments:
    models: tuple[str, ...] = ()
    """Networks to measure (default: all)."""
    batch_size: int = 64
    """Images a step."""
    steps: int = 4
    """Steps a round."""
    rounds: int = 3
    """Rounds of each; the best one counts."""
    device: Device = "auto"
    output: Path | None = None
    """Write the table as JSON too."""
    debug: bool = False


def random_images(count: int) -> ImageSet:
    generator = torch.Generator().manual_seed(0)
    return ImageSet(
        name="random",
        images=torch.randint(0, 256, (count, 3, 64, 64), dtype=torch.uint8, generator=generator),
        labels=torch.randint(0, NUM_CLASSES, (count,), generator=generator),
        class_ids=tuple(f"{index:03d}" for index in range(NUM_CLASSES)),
        class_names=tuple(f"{index:03d}" for index in range(NUM_CLASSES)),
        mean=(0.5, 0.5, 0.5),
        std=(0.3, 0.3, 0.3),
        fingerprint="random",
    )


def bare_rate(recipe: Recipe, images: ImageSet, device: torch.device, steps: int) -> float:
    """Images/s of forward, backward and step on one fixed batch, after one step to warm up."""
    state = build_state(recipe, images, images, device)
    state.model.train()
    pixels = torch.randn(recipe.batch_size, 3, 64, 64, device=device)
    pixels = pixels.contiguous(memory_format=memory_format(recipe.channels_last))
    labels = images.labels[: recipe.batch_size].to(device)
    started = 0.0
    for step in range(steps + 1):
        if step == 1:
            synchronize(device)
            started = time.perf_counter()
        with autocast(device, recipe.precision):
            logits = state.model(pixels)
        torch.nn.functional.cross_entropy(logits.float(), labels).backward()
        state.optimizer.step()
        state.optimizer.zero_grad(set_to_none=True)
    synchronize(device)
    return steps * recipe.batch_size / (time.perf_counter() - started)


def loop_rate(recipe: Recipe, images: ImageSet, device: torch.device) -> float:
    """Images/s of the trainer's own loop in its second epoch over `images`."""
    with tempfile.TemporaryDirectory() as folder, StopSignals() as stop, contextlib.redirect_stdout(io.StringIO()):
        options = RunOptions(run_name="benchmark", results_dir=Path(folder))
        state = build_state(recipe, images, images, device)
        state.replica = distributed.replicate(state.model)
        val_images = images.select(slice(distributed.world_size())).to(device)
        run_epochs(recipe, options, state, images.to(device), val_images, stop)
    return state.history.epochs["images_per_second"][1]


@functools.cache
def bf16_is_worth_a_try(device: torch.device) -> bool:
    """Whether a bf16 matrix product is not slower than one in fp32: without hardware for it, it is a hundred times."""
    seconds = []
    for dtype in (torch.float32, torch.bfloat16):
        matrix = torch.ones(512, 512, dtype=dtype, device=device)
        matrix @ matrix
        synchronize(device)
        started = time.perf_counter()
        matrix @ matrix
        synchronize(device)
        seconds.append(time.perf_counter() - started)
    return seconds[1] <= seconds[0]


def measure(name: str, arguments: Arguments, device: torch.device) -> dict[str, str | int | float]:
    # No moving average and no clipping: the bare step has neither.
    recipe = dataclasses.replace(
        get_recipe(MODELS[name].recipe), batch_size=arguments.batch_size, epochs=2, warmup_epochs=0, save_every=0,
        ema_decay=0.0, clip_grad_norm=0.0,
    )  # fmt: skip
    images = random_images(arguments.batch_size * arguments.steps)
    if bf16_is_worth_a_try(device):
        rates = {name: bare_rate(dataclasses.replace(recipe, precision=name), images, device, 1) for name in PRECISIONS}
        recipe = dataclasses.replace(recipe, precision=max(rates, key=lambda name: rates[name]))
    bare, loop = [], []
    for _ in range(arguments.rounds):
        bare.append(bare_rate(recipe, images, device, arguments.steps))
        loop.append(loop_rate(recipe, images, device))
    return {
        "network": name,
        "precision": recipe.precision,
        "batch_size": arguments.batch_size,
        "bare_images_per_second": max(bare),
        "loop_images_per_second": max(loop),
        "ratio": max(loop) / max(bare),
    }


def main() -> None:
    arguments = cli.parse(Arguments, __doc__)
    device = pick_device(arguments.device)
    rows = []
    print(f"{'network':<14}{'precision':<11}{'bare step':>11}{'our loop':>11}{'ratio':>8}   images/s", flush=True)
    for name in arguments.models or list_models():
        row = measure(name, arguments, device)
        rows.append(row)
        print(
            f"{name:<14}{row['precision']:<11}{row['bare_images_per_second']:>11.1f}"
            f"{row['loop_images_per_second']:>11.1f}{row['ratio']:>8.3f}",
            flush=True,
        )
    if arguments.output:
        write_json(arguments.output, {"environment": describe_environment(device), "networks": rows})


if __name__ == "__main__":
    cli.run(main)
