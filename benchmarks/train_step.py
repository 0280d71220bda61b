"""Images per second of every network in training: our loop, beside the bare step and beside the loops of others.

- bare: forward, backward and step on random tensors that are on the device already
- ours: the trainer's own loop, which also shuffles, augments, mixes, counts, saves and reports
- timm: the parts that timm's train.py is made of, in the same precision and layout as ours
- plain: fp32, PIL images through torchvision's transforms, loss and accuracy read in every step

All train the same network with the same optimizer. They run in turn, several rounds, and the best round of each counts.
Precision and layout are what --precision auto finds, unless they are given. Each network has a process of its own, with
the allocator set up as our commands do it; where that makes a difference, on a CPU, timm has another one in which
everything is as it comes ("as is").
"""

import contextlib
import dataclasses
import io
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import geometric_mean
from typing import Any, Literal

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

from others import plain_epoch, timm, timm_epoch, timm_loader, torchvision_loader

from tinybench.cli import console
from tinybench.configuration import get_recipe
from tinybench.data.imageset import ImageSet
from tinybench.models import MODELS, list_models
from tinybench.profiling.inference import measure_inference
from tinybench.recipe import Device, Recipe, RunOptions
from tinybench.runtime import allocator, distributed
from tinybench.runtime.device import describe_environment, pick_device
from tinybench.runtime.files import check_output, has_keys, write_json
from tinybench.runtime.signals import StopSignals
from tinybench.training.numerics import choose_numerics, describe
from tinybench.training.saving import RunFiles
from tinybench.training.setup import build_state
from tinybench.training.step_time import step_seconds
from tinybench.training.trainer import run_epochs

NUM_CLASSES = 200
FULL_SIZE = 800_000  # images of ten epochs of Tiny ImageNet, which the probe may take its share of


@dataclass
class Arguments:
    models: tuple[str, ...] = ()
    """Networks to measure (default: all that are compared)."""
    batch_size: int = 64
    """Images a step."""
    steps: int = 4
    """Steps a round."""
    rounds: int = 3
    """Rounds of each; the best one counts."""
    workers: int = 2
    """Worker processes of the others' loaders."""
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    channels_last: bool = False
    device: Device = "auto"
    output: Path | None = None
    """Write the table as JSON too."""
    force: bool = False
    """Replace the output even if it is a file of something else."""
    measure: Literal["", "all", "timm"] = ""
    """Measure the one network of --models in this process, or timm alone, and print JSON."""
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


def loop_rate(recipe: Recipe, images: ImageSet, device: torch.device) -> float:
    """Images/s of the trainer's own loop in its second epoch over `images`."""
    with tempfile.TemporaryDirectory() as folder, StopSignals() as stop, contextlib.redirect_stdout(io.StringIO()):
        options = RunOptions(run_name="benchmark", results_dir=Path(folder), save_every=0)
        state = build_state(recipe, images, images, device)
        state.ddp_model = distributed.replicate(state.model)
        val_images = images.select(slice(distributed.world_size())).to(device)
        files = RunFiles(options, recipe, images, state)
        run_epochs(recipe, state, files, images.to(device), val_images, stop)
    return state.history.epochs["images_per_second"][1]


def measure(name: str, arguments: Arguments, device: torch.device) -> dict[str, Any]:
    # No moving average and no clipping: the bare step has neither.
    recipe = dataclasses.replace(
        get_recipe(MODELS[name].recipe), batch_size=arguments.batch_size, epochs=2, warmup_epochs=0,
        ema_decay=0.0, clip_grad_norm=0.0, precision=arguments.precision, channels_last=arguments.channels_last,
    )  # fmt: skip
    recipe = choose_numerics(recipe, FULL_SIZE // recipe.epochs, NUM_CLASSES, device)
    images, batch, steps = random_images(arguments.batch_size * arguments.steps), arguments.batch_size, arguments.steps

    def network(recipe: Recipe) -> torch.nn.Module:
        return build_state(recipe, images, images, device).model.train()

    plain = dataclasses.replace(recipe, precision="fp32", channels_last=False, compile=False)
    ways: dict[str, Callable[[], float]] = {}
    if arguments.measure == "all":
        loader = torchvision_loader(images.images, images.labels, "standard", batch, arguments.workers)
        ways = {
            "bare": lambda: batch / step_seconds(recipe, NUM_CLASSES, device, batch_size=batch, steps=steps),
            "ours": lambda: loop_rate(recipe, images, device),
            "plain": plain_epoch(network(plain), loader, plain, device),
        }
    if timm is not None:
        loader = timm_loader(images.images, images.labels, batch, arguments.workers, device)
        ways["timm"] = timm_epoch(network(recipe), loader, recipe, NUM_CLASSES, device)
    for way in ("plain", "timm"):
        if way in ways:
            ways[way]()  # starts the workers of its loader
    rates = {
        way: max(rates) for way, rates in zip(ways, zip(*rounds(ways, arguments.rounds), strict=True), strict=True)
    }
    if arguments.measure == "all":
        inference = measure_inference(
            network(recipe), image_size=64, batch_size=batch, precision=recipe.precision,
            channels_last=recipe.channels_last,
        )  # fmt: skip
        rates["inference"] = inference["images_per_second"]
    return {"network": name, "numerics": describe(recipe), "images_per_second": rates}


def rounds(ways: dict[str, Callable[[], float]], count: int) -> list[list[float]]:
    return [[rate() for rate in ways.values()] for _ in range(count)]


def measured_apart(
    name: str, what: Literal["all", "timm"], arguments: Arguments, changes: dict[str, str]
) -> dict[str, Any]:
    """As `measure`, in a process whose environment has those changes."""
    words = [
        sys.executable,
        sys.argv[0],
        "--models",
        name,
        "--measure",
        what,
        *["--channels_last"] * arguments.channels_last,
    ]
    for flag in ("batch_size", "steps", "rounds", "workers", "precision", "device"):
        words += [f"--{flag}", str(getattr(arguments, flag))]
    done = subprocess.run(words, env={**os.environ, **changes}, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    arguments = console.parse(Arguments, __doc__)
    if arguments.measure:
        print(json.dumps(measure(arguments.models[0], arguments, pick_device(arguments.device))))
        return
    check_output(arguments.output, arguments.force, has_keys("environment", "networks"))
    device = pick_device(arguments.device)
    columns = ("bare", "ours", "timm", "timm as is", "plain")
    tuned = allocator.changed_environment(os.environ, sys.argv)
    print(
        f"{'network':<14}{'precision':<22}" + "".join(f"{name:>11}" for name in (*columns, "infer"))
        + f"   images/s; ours to {', '.join(name for name in columns if name != 'ours')}", flush=True
    )  # fmt: skip
    rows = []
    for name in arguments.models or [name for name in list_models() if MODELS[name].compared]:
        row = measured_apart(name, "all", arguments, tuned)
        rates = row["images_per_second"]
        if tuned and timm is not None:
            as_is = measured_apart(name, "timm", arguments, {allocator.SWITCH: "system"})
            rates["timm as is"] = as_is["images_per_second"]["timm"]
        ratios = {way: rates["ours"] / rates[way] for way in columns if way in rates and way != "ours"}
        rows.append(row | {"ours_to": ratios})
        numbers = [rates.get(column, float("nan")) for column in (*columns, "inference")]
        print(
            f"{name:<14}{row['numerics']:<22}" + "".join(f"{rate:>11.1f}" for rate in numbers)
            + "   " + ", ".join(f"{ratios[column]:.2f}" for column in columns if column in ratios), flush=True
        )  # fmt: skip
    means = {way: geometric_mean(row["ours_to"][way] for row in rows) for way in rows[0]["ours_to"]}
    print("ours, geometric mean: " + ", ".join(f"{ratio:.2f} x {way}" for way, ratio in means.items()))
    if arguments.output:
        settings = {name: getattr(arguments, name) for name in ("batch_size", "steps", "rounds", "workers")}
        environment = describe_environment(device)
        write_json(arguments.output, {"environment": environment, **settings, "networks": rows, "means": means})


if __name__ == "__main__":
    console.run(main)
