"""Images per second and page faults of a training step on a CPU, with the system's allocator and with ours.

Each round is a process of its own, as the allocator is set up when a process starts; the rounds alternate.
"""

import dataclasses
import json
import os
import resource
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

import torch

from tinybench.cli import console
from tinybench.configuration import get_recipe
from tinybench.models import recipe_of
from tinybench.recipe import Count, Precision, Side
from tinybench.runtime import allocator
from tinybench.training.step_time import step_seconds


@dataclass(kw_only=True)
class Arguments:
    model: str = "resnet"
    """Network to train, by its recipe."""
    batch_size: Count = 64
    """Images a step."""
    image_size: Side = 64
    """Side of the images in pixels."""
    precision: Precision = "bf16"
    steps: Count = 6
    """Steps a round."""
    rounds: Count = 2
    """Rounds of each; the fastest one counts."""
    measure: bool = False
    """Measure in this process, and print JSON."""
    debug: bool = False


def measured(arguments: Arguments) -> dict[str, float]:
    recipe = dataclasses.replace(
        get_recipe(recipe_of(arguments.model)), image_size=arguments.image_size, image_size_schedule="",
        precision=arguments.precision, channels_last=True,
    )  # fmt: skip
    measure = {"batch_size": arguments.batch_size, "device": torch.device("cpu")}
    step_seconds(recipe, 200, steps=1, **measure)
    faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    seconds = step_seconds(recipe, 200, steps=arguments.steps, **measure)
    # The first step, which warms up, counts as one too.
    faults = (resource.getrusage(resource.RUSAGE_SELF).ru_minflt - faults) / (arguments.steps + 1)
    return {"images_per_second": arguments.batch_size / seconds, "page_faults": faults}


def main() -> None:
    arguments = console.parse(Arguments, __doc__)
    if arguments.measure:
        print(json.dumps(measured(arguments)))
        return
    ours = {**os.environ, allocator.SWITCH: "kept", **allocator.tuned(os.environ)}
    ways = {"system": {**os.environ, allocator.SWITCH: "system"}, "ours": ours}
    found = dict.fromkeys(ways, (0.0, 0.0))
    for _ in range(arguments.rounds):
        for way, environment in ways.items():
            words = [sys.executable, *sys.argv, "--measure"]
            done = subprocess.run(words, env=environment, check=True, capture_output=True, text=True)
            result = json.loads(done.stdout)
            found[way] = max(found[way], (result["images_per_second"], result["page_faults"]))
    for way, (rate, faults) in found.items():
        print(f"{way:<8}{rate:8.1f} images/s {faults:10,.0f} page faults a step")
    print(f"ours to system: {found['ours'][0] / found['system'][0]:.2f}")


if __name__ == "__main__":
    console.run(main)
