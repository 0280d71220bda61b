"""Images per second of our training loop in one, two, four, … processes, and how much of each is lost to sharing.

Every process works on batches of the same size, so a step of N processes sees N times as many images. Efficiency is the
rate beside N times that of one process, which had one GPU; on a CPU, whose threads the processes divide among them,
beside that of one process with all of them.
"""

import dataclasses
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

from train_step import loop_rate, random_images

from tinybench.cli import console
from tinybench.configuration import get_recipe
from tinybench.errors import UserError
from tinybench.models import recipe_of
from tinybench.recipe import Device, Precision
from tinybench.runtime.device import describe_environment, pick_device
from tinybench.runtime.distributed import process_group, world_size
from tinybench.runtime.files import check_output, has_keys, write_json


@dataclass
class Arguments:
    model: str = "resnet"
    """Network to train, by its recipe."""
    batch_size: int = 64
    """Images a step and process."""
    steps: int = 4
    """Steps a round."""
    rounds: int = 3
    """Rounds of each; the best one counts."""
    precision: Precision = "fp32"
    processes: tuple[int, ...] = ()
    """How many at once (default: 1, 2, 4, … up to the number of GPUs; on a CPU, of threads)."""
    device: Device = "auto"
    output: Path | None = None
    """Write the table as JSON too."""
    force: bool = False
    """Replace the output even if it is a file of something else."""
    debug: bool = False


def measure_here(arguments: Arguments) -> float:
    """Images/s of all processes together, of which this is one."""
    with process_group(arguments.device):
        batch_size = arguments.batch_size * world_size()
        recipe = dataclasses.replace(
            get_recipe(recipe_of(arguments.model)), batch_size=batch_size, epochs=2, warmup_epochs=0,
            precision=arguments.precision,
        )  # fmt: skip
        images, device = random_images(batch_size * arguments.steps), pick_device(arguments.device)
        return max(loop_rate(recipe, images, device) for _ in range(arguments.rounds))


def measure(processes: int, threads: int) -> float:
    """The same by torchrun; the flags are this program's own."""
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={processes}"]
    done = subprocess.run(
        [*torchrun, __file__, *sys.argv[1:]],
        env={**os.environ, "OMP_NUM_THREADS": str(threads)}, capture_output=True, text=True,
    )  # fmt: skip
    if done.returncode:
        raise UserError(f"{processes} processes failed: {done.stderr.strip()}")
    return json.loads(done.stdout)


def main() -> None:
    arguments = console.parse(Arguments, __doc__)
    check_output(arguments.output, arguments.force, has_keys("environment", "processes"))
    if "RANK" in os.environ:  # started by `measure`
        print(measure_here(arguments))
        return
    device = pick_device(arguments.device)
    threads = torch.get_num_threads()
    most = torch.cuda.device_count() if device.type == "cuda" else threads
    rows: list[dict[str, float]] = []
    print(f"{'processes':>9}{'threads each':>14}{'images/s':>11}{'efficiency':>12}", flush=True)
    for processes in arguments.processes or [2**power for power in range(most.bit_length())]:
        own_threads = max(1, threads // processes)
        rate = measure(processes, own_threads)
        rows.append({"processes": processes, "threads": own_threads, "images_per_second": rate})
        devices = processes / rows[0]["processes"] if device.type == "cuda" else 1
        rows[-1]["efficiency"] = rate / rows[0]["images_per_second"] / devices
        print(f"{processes:>9}{own_threads:>14}{rate:>11.1f}{rows[-1]['efficiency']:>12.3f}", flush=True)
    if arguments.output:
        about = {"model": arguments.model, "batch_size": arguments.batch_size, "precision": arguments.precision}
        write_json(arguments.output, {"environment": describe_environment(device), **about, "processes": rows})


if __name__ == "__main__":
    console.run(main)
