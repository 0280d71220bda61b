"""Images per second that come out of the input pipeline, augmented and normalised, in batches on the device.

Ours, beside torchvision's transforms of PIL images in a DataLoader with worker processes and, where they are installed,
kornia's operations on batches on the device and, for the standard policy, timm's create_loader. All start from decoded
uint8 images in memory. They run in turn, several rounds, and the best round of each counts. The workers of a loader
have started, and have gone through the images once, before its first round.
"""

import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

from others import MEAN, STD, kornia, kornia_policy, timm, timm_loader, torchvision_loader

from tinybench.cli import console
from tinybench.data.augment.policy import build_policy
from tinybench.data.datasets import load
from tinybench.recipe import Device
from tinybench.runtime.device import describe_environment, pick_device, synchronize
from tinybench.runtime.files import check_output, has_keys, write_json


@dataclass
class Arguments:
    policies: tuple[Literal["standard", "basic", "cutout", "none"], ...] = ("standard", "basic", "cutout", "none")
    """Policies to measure, which others.py writes out for torchvision, timm and kornia."""
    images: int = 4096
    """Images a round."""
    batch_size: int = 128
    """Images a batch."""
    rounds: int = 3
    """Rounds of each; the best one counts."""
    workers: int = 2
    """Worker processes of the other loaders."""
    dataset: str = "random"
    """Take the training images of this data set (random: 64x64 noise)."""
    data_dir: Path = Path("data")
    device: Device = "auto"
    """Where ours runs and where all batches end up."""
    output: Path | None = None
    """Write the table as JSON too."""
    force: bool = False
    """Replace the output even if it is a file of something else."""
    debug: bool = False


def batches_of(
    vary: Callable[[Tensor, torch.Generator], Tensor], images: Tensor, batch_size: int
) -> Callable[[], Iterable[Tensor]]:
    """One shuffled pass over images that are on the device already."""
    generator = torch.Generator(images.device).manual_seed(0)

    def batches() -> Iterable[Tensor]:
        order = torch.randperm(len(images), generator=generator, device=images.device)
        for indices in order.split(batch_size):
            yield vary(images[indices], generator)

    return batches


def batches_of_loader(loader: Iterable, device: torch.device) -> Callable[[], Iterable[Tensor]]:
    return lambda: (batch.to(device) for batch, _ in loader)


def images_per_second(batches: Callable[[], Iterable[Tensor]], device: torch.device) -> float:
    synchronize(device)
    started = time.perf_counter()
    count = sum(len(batch) for batch in batches())
    synchronize(device)
    return count / (time.perf_counter() - started)


def measure(policy: str, images: Tensor, arguments: Arguments, device: torch.device) -> dict[str, float]:
    """Images per second of each pipeline in its best round."""
    batch_size, workers, side = arguments.batch_size, arguments.workers, images.shape[-1]
    pipelines = {"tinybench": batches_of(build_policy(policy, side, MEAN, STD), images.to(device), batch_size)}
    labels = torch.zeros(len(images), dtype=torch.int64)
    loader = torchvision_loader(images, labels, policy, batch_size, workers)
    pipelines["torchvision"] = batches_of_loader(loader, device)
    if timm is not None and policy == "standard":
        pipelines["timm"] = batches_of_loader(timm_loader(images, labels, batch_size, workers, device), device)
    if kornia is not None:
        sequence = kornia_policy(policy, side, device)
        pipelines["kornia"] = batches_of(lambda batch, _: sequence(batch.float() / 255), images.to(device), batch_size)
    for batches in pipelines.values():
        images_per_second(batches, device)
    rates: dict[str, list[float]] = {name: [] for name in pipelines}
    for _ in range(arguments.rounds):
        for name, batches in pipelines.items():
            rates[name].append(images_per_second(batches, device))
    return {name: max(values) for name, values in rates.items()}


def main() -> None:
    arguments = console.parse(Arguments, __doc__)
    check_output(arguments.output, arguments.force, has_keys("environment", "policies"))
    device = pick_device(arguments.device)
    if arguments.dataset == "random":
        shape = (arguments.images, 3, 64, 64)
        images = torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    else:
        images = load(arguments.dataset, "train", arguments.data_dir).images[: arguments.images]
    rows = []
    others = ("torchvision", "timm", "kornia")
    print("".join([f"{'policy':<12}{'tinybench':>12}", *(f"{name:>13}" for name in others), "   images/s"]), flush=True)
    for policy in arguments.policies:
        rates = measure(policy, images, arguments, device)
        ratios = {f"ratio_to_{name}": rates["tinybench"] / rates[name] for name in others if name in rates}
        rows.append({"policy": policy, "images_per_second": rates, **ratios})
        cells = [f"{rates[name]:.0f}" if name in rates else "-" for name in ("tinybench", *others)]
        print("".join([f"{policy:<12}{cells[0]:>12}", *(f"{cell:>13}" for cell in cells[1:])]), flush=True)
    if arguments.output:
        settings = {key: getattr(arguments, key) for key in ("images", "batch_size", "rounds", "workers", "dataset")}
        write_json(arguments.output, {"environment": describe_environment(device), **settings, "policies": rows})


if __name__ == "__main__":
    console.run(main)
