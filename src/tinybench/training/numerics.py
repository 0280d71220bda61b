"""precision auto: the arithmetic, memory layout and compilation in which a network trains fastest on this device."""

import contextlib
import dataclasses
import itertools
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import filelock
import torch

from tinybench import formats
from tinybench.data.batches import images_at_once
from tinybench.errors import UserError
from tinybench.recipe import NUMERICS, Precision, Recipe
from tinybench.runtime import distributed
from tinybench.runtime.device import (
    check_compiler,
    check_precision,
    describe_environment,
    first_line,
    reset_peak_memory,
)
from tinybench.runtime.files import read_json, write_json
from tinybench.training.step_time import step_seconds
from tinybench.validation import validated

SHARE = 0.03  # of the run's images is what a probe may work through
BATCH_SIZES = (8, 32)  # on a CPU: fewer images tell nothing, and more take longer without telling more
GAIN = 1.05  # by how much something must be faster to be preferred to what is tried before it
COMPILE_FROM = 3600.0  # seconds of training: compiling takes a minute or two


def choose_numerics(recipe: Recipe, train_images: int, num_classes: int, device: torch.device) -> Recipe:
    """The recipe with the precision, channels_last and compile that make its network fastest, if precision is auto.

    A probe trains the network for a few steps in each combination. What it finds is remembered for this network, device
    and version of torch. A run too short for a probe gets fp32.

    Args:
        train_images: images of an epoch.
    """
    if recipe.precision != "auto":
        return recipe
    memory, key = memory_path(), _key(recipe, device)
    if found := _recall(memory).get(key):
        chosen = dataclasses.replace(recipe, **found)
        try:
            check_numerics(chosen, device)
        except UserError as error:
            _remember(memory, key, None)
            print(f"precision auto: {describe(chosen)}, as found before, is forgotten: {error}", flush=True)
        else:
            print(f"precision auto: {describe(chosen)}, as found before (remembered in {memory})", flush=True)
            return chosen
    images = recipe.epochs * train_images // distributed.world_size()
    rates = probe(recipe, images, num_classes, device)
    if not rates:
        print("precision auto: fp32, untried", flush=True)
        return dataclasses.replace(recipe, precision="fp32")
    chosen, _ = fastest(rates)
    _remember(memory, key, {name: getattr(chosen, name) for name in NUMERICS})
    measured = ", ".join(f"{describe(each)} {rate:,.0f}" for each, rate in rates)
    print(f"precision auto: {describe(chosen)}; images/s: {measured}", flush=True)
    return chosen


def check_numerics(recipe: Recipe, device: torch.device) -> None:
    """Make sure that the recipe can be computed as it says.

    Raises:
        UserError: this device or this machine cannot.
    """
    check_precision(device, recipe.precision, channels_last=recipe.channels_last, compile=recipe.compile)
    if recipe.compile:
        check_compiler(device)


def probe(recipe: Recipe, images: int, num_classes: int, device: torch.device) -> list[tuple[Recipe, float]]:
    """Images per second of the recipe in each way that may be the fastest here and works.

    Empty where none works, or where trying would cost too much.

    Args:
        images: how many the run works through in all, in this process.
    """
    candidates = list(_candidates(recipe, device))
    rounds, steps = 2, 1 if device.type == "cpu" else 5  # one step of a GPU is too short to be timed
    affordable = int(SHARE * images) // (len(candidates) * (1 + rounds * steps))
    piece = images_at_once(recipe, distributed.world_size())
    largest = min(piece, BATCH_SIZES[1]) if device.type == "cpu" else piece
    batch_size = min(affordable, largest)
    if batch_size < min(piece, BATCH_SIZES[0]):
        print("precision auto: the run is too short to find out what is fastest", flush=True)
        return []

    def measured(candidate: Recipe) -> list[tuple[Recipe, float]]:
        try:
            seconds = step_seconds(candidate, num_classes, device, batch_size=batch_size, steps=steps, rounds=rounds)
        except UserError:  # of the recipe, whatever its numerics
            raise
        except Exception as error:  # no memory, no compiler, or something that the device cannot do: then without
            print(f"precision auto: {describe(candidate)} does not work here ({first_line(error)})", flush=True)
            return []
        finally:
            reset_peak_memory(device)  # of the trial: history.json states that of the run
            if candidate.compile:
                torch.compiler.reset()  # else training would be compiled for a second size, another way than alone
        return [(candidate, batch_size / seconds)]

    rates = [rate for candidate in candidates for rate in measured(candidate)]
    if rates and device.type != "mps":
        best, rate = fastest(rates)
        if images / rate > COMPILE_FROM:
            rates += measured(dataclasses.replace(best, compile=True))
    return rates


def fastest(rates: list[tuple[Recipe, float]]) -> tuple[Recipe, float]:
    """The first one that nothing after it beats clearly, so that noise does not decide between equals."""
    best = rates[0]
    for each in rates[1:]:
        if each[1] > GAIN * best[1]:
            best = each
    return best


def describe(recipe: Recipe) -> str:
    """The recipe's numerics in words."""
    return " ".join([recipe.precision, *(name for name in NUMERICS[1:] if getattr(recipe, name))])


def _candidates(recipe: Recipe, device: torch.device) -> Iterator[Recipe]:
    layouts = (False,) if device.type == "mps" else (False, True)  # NHWC is no gain there, and often was wrong
    for precision, channels_last in itertools.product(_precisions(device), layouts):
        yield dataclasses.replace(recipe, precision=precision, channels_last=channels_last)


def _precisions(device: torch.device) -> list[Precision]:
    match device.type:
        case "cuda":  # bf16 needs no scaling, but older cards only emulate it
            return ["fp32", "bf16" if torch.cuda.get_device_capability(device) >= (8, 0) else "fp16"]
        case "cpu":
            return ["fp32", "bf16"] if _bf16_is_worth_a_try() else ["fp32"]
        case _:
            return ["fp32", "bf16"]


def _bf16_is_worth_a_try() -> bool:
    """Whether this CPU has hardware for bf16. Without it, a product takes a hundred times as long as in fp32."""
    seconds = []
    for dtype in (torch.float32, torch.bfloat16):
        matrix = torch.ones(384, 384, dtype=dtype)
        matrix @ matrix  # warms up
        started = time.perf_counter()
        matrix @ matrix
        seconds.append(time.perf_counter() - started)
    return seconds[1] < 2 * seconds[0]


def memory_path() -> Path:
    """Where choices are remembered; the environment variable TINYBENCH_CACHE names another folder."""
    return Path(os.environ.get("TINYBENCH_CACHE") or Path.home() / ".cache" / "tinybench") / "precision.json"


def remembered(device: torch.device) -> dict[str, str]:
    """What was found on this machine so far, in words, by network."""
    here = _machine(device)
    return {
        key.removesuffix(here): " ".join([choice["precision"], *(name for name in NUMERICS[1:] if choice[name])])
        for key, choice in _recall(memory_path()).items()
        if key.endswith(here)
    }


def _key(recipe: Recipe, device: torch.device) -> str:
    options = "".join(f" {name} {value}" for name, value in sorted(recipe.model_options.items()))
    batch = images_at_once(recipe, distributed.world_size())
    frozen = f", {recipe.freeze} frozen" if recipe.freeze else ""
    return f"{recipe.model}{options}{frozen} at {recipe.image_size} px, batch {batch}{_machine(device)}"


def _machine(device: torch.device) -> str:
    machine = describe_environment(device)
    return f", on {machine['device_name']} ({machine['threads']} threads), torch {machine['torch']}"


def _recall(path: Path) -> dict[str, dict[str, Any]]:
    """The choices in the file that are sound; a damaged file or entry is as good as none."""
    with contextlib.suppress(UserError):
        found = read_json(path, dict[str, Any])
        return {key: choice for key, choice in found.items() if _is_sound(choice)}
    return {}


def _is_sound(choice: Any) -> bool:
    with contextlib.suppress(UserError):
        return validated(formats.Numerics, choice, "a choice").keys() == set(NUMERICS)
    return False


def _remember(path: Path, key: str, choice: dict[str, Any] | None) -> None:
    """Add a choice to the file, or with None take it out; without a place to write, the next run probes again."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(path.with_suffix(".lock")):
            choices = _recall(path) | {key: choice}
            write_json(path, {key: choice for key, choice in choices.items() if choice is not None})
    except (OSError, UserError):
        return
