"""A trained network's answers in every way that there is to have them: time, throughput, bytes and accuracy.

- torch: fp32, and bf16 in NHWC where the machine computes in it; each eager, and compiled with its weights frozen
- ONNX Runtime: what export.py writes, fp32 and int8
- OpenVINO, where it is installed: the same two files

All take the same uint8 images, normalise them and give logits. They are measured in turn, several rounds, and the best
round of each counts.
"""

import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

import numpy as np

from tinybench import metrics
from tinybench.cli import console
from tinybench.cli.run_arguments import NetworkArguments
from tinybench.data.imageset import ImageSet
from tinybench.evaluation.evaluate import load_own_images
from tinybench.export.write import ExportOptions, export, spread
from tinybench.inference.onnx import OnnxPredictor
from tinybench.inference.predictor import Predictor
from tinybench.recipe import Count
from tinybench.runtime import allocator
from tinybench.runtime.device import describe_environment, has_bf16
from tinybench.runtime.files import check_output, has_keys, write_json

CPU = torch.device("cpu")
Answer = Callable[[np.ndarray], np.ndarray]  # uint8 (B, 3, S, S) to logits (B, classes)


@dataclass(kw_only=True)
class Arguments(NetworkArguments):
    batch_size: Count = 64
    """Images at a time, for the throughput."""
    rounds: Count = 3
    """Rounds of each; the best one counts."""
    images: Count = 2000
    """Validation images to count the accuracy on."""
    data_dir: Path = Path("data")
    """Where the data sets are."""
    output: Path | None = None
    """Write the table as JSON too."""
    force: bool = False
    """Replace the output even if it is a file of something else."""


def torch_way(path: Path, precision: str, *, frozen: bool) -> Answer:
    predictor = Predictor(path, CPU, precision=precision, channels_last=precision == "bf16")
    if frozen:
        from torch._inductor import config

        config.freezing = True
        predictor.model = torch.compile(predictor.model, dynamic=False)  # type: ignore[assignment]

    @torch.inference_mode(not frozen)  # freezing does without
    @torch.no_grad()
    def answer(images: np.ndarray) -> np.ndarray:
        batch = predictor.preprocess(torch.from_numpy(images))
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
            return predictor.model(batch).float().numpy()

    return answer


def openvino_way(path: Path) -> Answer:
    import openvino

    network = openvino.Core().compile_model(openvino.Core().read_model(path), "CPU")
    return lambda images: network(images)["logits"]


def all_ways(path: Path, folder: Path, arguments: Arguments) -> dict[str, tuple[Answer, Path]]:
    """By name: how to have the answers, and the file that it takes."""
    precisions = ["fp32", *(["bf16"] if has_bf16(CPU) else [])]
    ways = {
        f"torch {precision}{', compiled and frozen' if frozen else ''}": (
            torch_way(path, precision, frozen=frozen),
            path,
        )
        for precision in precisions
        for frozen in (False, True)
    }
    for name, int8 in (("fp32", False), ("int8", True)):
        file = folder / f"{name}.onnx"
        print(export(path, file, ExportOptions(device=CPU, data_dir=arguments.data_dir, int8=int8)), flush=True)
        ways[f"ONNX Runtime {name}"] = OnnxPredictor(file).logits_of_uint8, file
        try:
            ways[f"OpenVINO {name}"] = openvino_way(file), file
        except ModuleNotFoundError:
            print("openvino is not installed: left out")
    return ways


def best_seconds(answer: Answer, images: np.ndarray, seconds: float = 1.0) -> float:
    """The fastest of the calls that fit into so many seconds, and of three at least."""
    answer(images)  # warms up, and compiles
    times: list[float] = []
    until = time.perf_counter() + seconds
    while time.perf_counter() < until or len(times) < 3:
        started = time.perf_counter()
        answer(images)
        times.append(time.perf_counter() - started)
    return min(times)


def accuracy(answer: Answer, images: ImageSet, batch_size: int) -> float:
    """Top-1 in percent."""
    whole = len(images) // batch_size * batch_size  # a compiled network would be compiled once more for the rest
    batches = [answer(batch.numpy()) for batch in images.images[:whole].split(batch_size)]
    return metrics.topk_accuracy(np.concatenate(batches), images.labels[:whole], 1)


def main() -> None:
    arguments = console.parse(Arguments, __doc__)
    arguments.check()
    check_output(arguments.output, arguments.force, has_keys("environment", "run"))
    path = arguments.source()
    predictor = Predictor(path, CPU)
    _, val_images = load_own_images(predictor.checkpoint, arguments.data_dir)
    images = spread(val_images, arguments.images)
    one, many = (images.images[:count].numpy() for count in (1, arguments.batch_size))
    rows: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as folder:
        ways = all_ways(path, Path(folder), arguments)
        for number in range(arguments.rounds):
            for name, (answer, file) in ways.items():
                row = rows.setdefault(name, {"latency_ms": float("inf"), "images_per_second": 0.0})
                row["latency_ms"] = min(row["latency_ms"], 1000 * best_seconds(answer, one))
                rate = arguments.batch_size / best_seconds(answer, many)
                row["images_per_second"] = max(row["images_per_second"], rate)
                if not number:
                    row["accuracy"] = accuracy(answer, images, arguments.batch_size)
                    row["megabytes"] = file.stat().st_size / 1e6
    width = max(map(len, rows))
    print(f"{'':<{width}}  {'ms, one image':>14}  {'images/s':>9}  {'MB':>6}  top-1 of {len(images):,}")
    for name, row in rows.items():
        print(
            f"{name:<{width}}  {row['latency_ms']:>14.2f}  {row['images_per_second']:>9,.0f}  "
            f"{row['megabytes']:>6.1f}  {row['accuracy']:.2f} %"
        )
    if arguments.output:
        about = {"run": str(path), "model": predictor.checkpoint["model"], "batch_size": arguments.batch_size}
        write_json(arguments.output, {"environment": describe_environment(CPU), **about, "ways": rows})


if __name__ == "__main__":
    allocator.start_again()
    console.run(main)
