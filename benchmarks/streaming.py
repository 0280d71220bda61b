"""Images per second and memory of the training batches, from memory and streamed from a packed file of any length.

Makes a packed file of random 64x64 images, sorted by class, for each count, holds a fifth out as training does, and
takes the batches of both, in turn, several rounds; the best round counts, and the most memory. Every round is a process
of its own, and the file has left the system's cache before it starts. Needs Linux, which tells private memory from
mapped files.
"""

import multiprocessing
import os
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

from tinybench.cli import console
from tinybench.data.batches import TrainBatches
from tinybench.data.prepare.packed import PackedSplit, load_packed, write_metadata
from tinybench.data.split import train_val_split
from tinybench.data.streaming import StreamedSet
from tinybench.recipe import Device, Recipe
from tinybench.runtime.device import describe_environment, pick_device, synchronize
from tinybench.runtime.files import check_output, has_keys, write_json

CLASSES = 200
SHAPE = (3, 64, 64)
CHUNK = 10_000  # images made at a time


@dataclass
class Arguments:
    counts: tuple[int, ...] = (10_000, 100_000, 1_000_000)
    """Images in the file, 12 KiB each."""
    images: int = 100_000
    """Images a round."""
    batch_size: int = 128
    """Images a batch."""
    augment: str = "standard"
    """How they are varied."""
    rounds: int = 2
    """Rounds of each."""
    folder: Path | None = None
    """Where the files are made and deleted (default: the system's temporary folder)."""
    device: Device = "auto"
    output: Path | None = None
    """Write the table as JSON too."""
    force: bool = False
    """Replace the output even if it is a file of something else."""
    debug: bool = False


def make_packed(folder: Path, count: int) -> None:
    rng = np.random.default_rng(0)
    with (folder / "train_images.npy").open("wb") as file:
        header = {"descr": "|u1", "fortran_order": False, "shape": (count, *SHAPE)}
        np.lib.format.write_array_header_1_0(file, header)
        for start in range(0, count, CHUNK):
            file.write(rng.bytes(min(CHUNK, count - start) * int(np.prod(SHAPE))))
        os.fsync(file.fileno())  # else it could not leave the cache
    np.save(folder / "train_labels.npy", np.arange(count) * CLASSES // count)
    names = [f"{index:03d}" for index in range(CLASSES)]
    packed = PackedSplit(count=count, fingerprint="random", mean=[0.5] * 3, std=[0.3] * 3)
    write_metadata(folder, name="random", class_ids=names, class_names=names, splits={"train": packed})


def status_mib(key: str) -> float:
    """VmHWM (the most resident memory so far) or RssAnon (private memory) of this process, in MiB."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(key))
    return int(line.split()[1]) / 2**10


def measure(folder: Path, stream: bool, arguments: Arguments) -> dict[str, float]:
    """One round, in a process of its own."""
    device = pick_device(arguments.device)
    images = load_packed(folder, "train")
    assert images.file is not None  # it was just loaded
    with images.file.open("rb") as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    train_images, _ = train_val_split(StreamedSet.of(images) if stream else images, 0.2, seed=0)
    del images, _
    recipe = Recipe(augment=arguments.augment, batch_size=arguments.batch_size, stream=stream)
    batches = TrainBatches(train_images.to(device), recipe)
    batches.batch(0, 0)  # the first window is read before the clock starts, as the images in memory were
    private = 0.0
    synchronize(device)
    started = time.perf_counter()
    steps = -(-arguments.images // batches.batch_size)
    for step in range(1, steps + 1):
        batches.batch(*divmod(step, batches.steps_per_epoch))
        private = max(private, status_mib("RssAnon"))
    synchronize(device)
    rate = steps * batches.batch_size / (time.perf_counter() - started)
    return {"images_per_second": rate, "private_mib": private, "resident_mib": status_mib("VmHWM")}


def compare(count: int, arguments: Arguments) -> dict[str, dict[str, float]]:
    """Streamed and from memory: the best rate, and the most memory."""
    rounds: dict[str, list[dict[str, float]]] = {"streamed": [], "memory": []}
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        make_packed(Path(folder), count)
        for name in list(rounds) * arguments.rounds:
            with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
                rounds[name].append(pool.submit(measure, Path(folder), name == "streamed", arguments).result())
    return {name: {key: max(values[key] for values in of) for key in of[0]} for name, of in rounds.items()}


def main() -> None:
    arguments = console.parse(Arguments, __doc__)
    check_output(arguments.output, arguments.force, has_keys("environment", "counts"))
    rows = []
    both = f"{'memory':>10}{'streamed':>10}"
    print(f"{'':>10}{'images/s':>20}{'':>8}{'private MiB':>20}{'resident MiB':>20}")
    print(f"{'images':>10}{both}{'ratio':>8}{both}{both}", flush=True)
    for count in arguments.counts:
        measured = compare(count, arguments)
        memory, streamed = measured["memory"], measured["streamed"]
        ratio = streamed["images_per_second"] / memory["images_per_second"]
        rows.append({"images": count, **measured, "ratio": ratio})
        print(
            f"{count:>10,}{memory['images_per_second']:>10.0f}{streamed['images_per_second']:>10.0f}{ratio:>8.3f}"
            f"{memory['private_mib']:>10.0f}{streamed['private_mib']:>10.0f}"
            f"{memory['resident_mib']:>10.0f}{streamed['resident_mib']:>10.0f}",
            flush=True,
        )
    if arguments.output:
        settings = {key: getattr(arguments, key) for key in ("images", "batch_size", "augment", "rounds")}
        environment = describe_environment(pick_device(arguments.device))
        write_json(arguments.output, {"environment": environment, **settings, "counts": rows})


if __name__ == "__main__":
    console.run(main)
