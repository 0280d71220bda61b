"""Testing a trained run: the only place where the test images are looked at."""

import io
import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from tinybench.data import datasets, split
from tinybench.data.imageset import ImageSet
from tinybench.errors import UsageError, UserError
from tinybench.evaluation import metrics
from tinybench.evaluation.attacks import PixelNetwork
from tinybench.evaluation.calibration import fit_temperature
from tinybench.evaluation.predict import predict_logits
from tinybench.recipe import Recipe
from tinybench.runtime.device import (
    check_precision,
    describe_environment,
    memory_format,
    nhwc_is_right,
    synchronize,
)
from tinybench.runtime.files import atomic_path, write_json
from tinybench.training.checkpoint import load_network, read_checkpoint
from tinybench.training.setup import load_images

Weights = Literal["best", "last", "ema"]

CHECKPOINTS: dict[Weights, str] = {"best": "best_model.pth", "last": "last.pth", "ema": "last.pth"}


@dataclass(frozen=True, kw_only=True)
class TestOptions:
    """How to test; `weights` are those of the best epoch, of the last, or the last moving average."""

    __test__ = False  # not for pytest

    device: torch.device
    data_dir: Path = Path("data")
    weights: Weights = "best"
    batch_size: int = 256
    precision: str = "fp32"
    tta: bool = False
    calibrate: bool = False


class TestedNetwork:
    """The network of a checkpoint, on the device and as the options want it.

    Attributes:
        name: of the weights, see `weights_name`.

    Raises:
        UserError: the checkpoint is missing or damaged, or lacks the weights.
    """

    __test__ = False  # not for pytest

    def __init__(self, path: Path, options: TestOptions) -> None:
        check_precision(options.device, options.precision)
        self.path, self.options = path, options
        self.checkpoint = read_checkpoint(path)
        self.recipe = Recipe.from_dict(self.checkpoint["recipe"])
        self.name = weights_name(path, options.weights)
        # The layout is a matter of speed only, so that a network may come from where another one is right.
        self.channels_last = self.recipe.channels_last and nhwc_is_right(options.device)
        model = load_network(self.checkpoint, "ema" if options.weights == "ema" else "model")
        self.model = model.to(options.device).to(memory_format=memory_format(self.channels_last))

    def logits(self, images: ImageSet, *, flip_tta: bool = False) -> Tensor:
        """float32 (N, classes) on the device; see `predict_logits`.

        Raises:
            UserError: the network's training diverged.
        """
        logits = predict_logits(
            self.model,
            images,
            image_size=self.checkpoint["image_size"],
            batch_size=self.options.batch_size,
            device=self.options.device,
            precision=self.options.precision,
            channels_last=self.channels_last,
            flip_tta=flip_tta,
        )
        return metrics.require_finite(logits, self.path)

    def pixel_network(self) -> PixelNetwork:
        """The network together with its preprocessing, for attacks."""
        return PixelNetwork(
            self.model,
            image_size=self.checkpoint["image_size"],
            mean=self.checkpoint["mean"],
            std=self.checkpoint["std"],
            channels_last=self.channels_last,
        )

    def result_path(self, name: str) -> Path:
        """A file beside the checkpoint, see the function of that name."""
        return result_path(self.path, self.name, name)


def result_path(checkpoint: Path, weights: str, name: str) -> Path:
    """A file beside a checkpoint, for what its weights gave; weights other than the best are told in its name."""
    suffix = "" if weights == "best" else f"_{weights}"
    return checkpoint.with_name(f"{Path(name).stem}{suffix}{Path(name).suffix}")


def test_run(folder: Path, options: TestOptions) -> dict[str, Any]:
    """Test a run and write its results beside its checkpoint, as `test_checkpoint` says."""
    return test_checkpoint(folder / CHECKPOINTS[options.weights], options)


def test_checkpoint(path: Path, options: TestOptions) -> dict[str, Any]:
    """Test a checkpoint; write test_results.json and predictions.npz beside it, and return what the former holds.

    Weights other than the best have files of their own: test_results_last.json and so on, see `weights_name`.

    Raises:
        UserError: the checkpoint or the data are missing or damaged, or do not fit each other.
    """
    network = TestedNetwork(path, options)
    checkpoint = network.checkpoint
    images = load_test_images(checkpoint, options.data_dir)
    started = time.perf_counter()
    logits = network.logits(images)
    synchronize(options.device)
    seconds = time.perf_counter() - started
    logits, labels = logits.cpu(), images.labels
    confusion = metrics.confusion_matrix(logits, labels)
    results = {
        **headline(logits, labels, "test"),
        "nll": metrics.nll(logits, labels),
        "ece": metrics.ece(logits, labels),
        **(calibrated(network, logits, labels) if options.calibrate else {}),
        **(headline(network.logits(images, flip_tta=True).cpu(), labels, "tta") if options.tta else {}),
        "weights": network.name,
        "epoch": checkpoint["epoch"],
        "val_acc": checkpoint["val_acc"],
        "model": checkpoint["model"],
        "dataset": {
            "name": images.name,
            "fingerprint": images.fingerprint,
            "classes": images.num_classes,
            "test_images": len(images),
        },
        "precision": options.precision,
        "batch_size": options.batch_size,
        "images_per_second": len(images) / seconds,
        "environment": describe_environment(options.device),
        "class_names": list(images.class_names),
        "per_class_accuracy": per_class(confusion, images.class_ids),
        "confusion_matrix": confusion.tolist(),
    }
    write_json(network.result_path("test_results.json"), results)
    write_predictions(network.result_path("predictions.npz"), logits, images)
    return results


def weights_name(path: Path, weights: Weights) -> str:
    """best, last or ema, or after the file: what the results of these weights are called.

    A checkpoint that is tested by its path must not overwrite the results of the run's best epoch.
    """
    if weights == "ema":
        return "ema" if path.name == CHECKPOINTS["ema"] else f"{path.stem}_ema"
    return "best" if path.name == CHECKPOINTS["best"] else path.stem


def per_class(confusion: Tensor, class_ids: tuple[str, ...]) -> dict[str, float | None]:
    """Percent right by class id; None for a class without test images, since JSON has no NaN."""
    accuracies = metrics.per_class_accuracy(confusion).tolist()
    return {key: None if math.isnan(value) else value for key, value in zip(class_ids, accuracies, strict=True)}


def calibrated(network: TestedNetwork, logits: Tensor, labels: Tensor) -> dict[str, float]:
    """The temperature that suits the validation images of the run, and what it makes of the test images' logits.

    Raises:
        UserError: the training images are missing, or no longer those that the validation images were held out of.
    """
    images = load_validation_images(network.checkpoint, network.options.data_dir)
    temperature = fit_temperature(network.logits(images).cpu(), images.labels)
    return {
        "temperature": temperature,
        "nll_calibrated": metrics.nll(logits / temperature, labels),
        "ece_calibrated": metrics.ece(logits / temperature, labels),
    }


def headline(logits: Tensor, labels: Tensor, prefix: str) -> dict[str, float]:
    """Loss (plain cross entropy, in nats), top-1 and top-5 in percent."""
    return {
        f"{prefix}_loss": metrics.nll(logits, labels),
        f"{prefix}_acc": metrics.topk_accuracy(logits, labels, 1),
        f"{prefix}_top5_acc": metrics.topk_accuracy(logits, labels, 5),
    }


def load_test_images(checkpoint: dict[str, Any], data_dir: Path) -> ImageSet:
    """The test images of the data set and the classes that the checkpoint was trained on.

    Raises:
        UserError: the data set's classes are not those of the checkpoint, or in another order.
    """
    recipe = Recipe.from_dict(checkpoint["recipe"])
    images = datasets.load(recipe.dataset, "test", data_dir, checkpoint["image_size"])
    images = datasets.normalized_as(images, recipe.normalize)
    images = split.first_classes(images, recipe.classes)
    if list(images.class_ids) != checkpoint["class_ids"]:
        raise UserError(f"the classes of {images.name} in {data_dir} are not those that the network was trained on")
    if (list(images.mean), list(images.std)) != (checkpoint["mean"], checkpoint["std"]):
        raise UserError(f"the images of {images.name} in {data_dir} are not those that the network was trained on")
    return images


def load_validation_images(checkpoint: dict[str, Any], data_dir: Path) -> ImageSet:
    """The images that the run held out of its training images.

    Raises:
        UserError: the training images are missing, or not those that the network was trained on.
    """
    _, images = load_images(Recipe.from_dict(checkpoint["recipe"]), data_dir)
    if images.fingerprint != checkpoint["fingerprint"]:
        raise UserError(
            f"the training images of {images.name} in {data_dir} are not those that the network was trained on, so its "
            "validation images cannot be told from them; test without --calibrate"
        )
    return images


def write_predictions(path: Path, logits: Tensor, images: ImageSet) -> None:
    """Logits (float16), labels and class ids, so that no analysis has to run the network again."""
    content = io.BytesIO()
    np.savez_compressed(
        content,
        logits=logits.numpy().astype(np.float16),
        labels=images.labels.numpy().astype(np.int16),
        class_ids=np.array(images.class_ids),
    )
    with atomic_path(path) as temporary:
        temporary.write_bytes(content.getvalue())


def find_runs(results_dir: Path, model: str = "") -> dict[str, Path]:
    """The folder of one run, or of every trained run at any depth below `results_dir`, by the run's name.

    Raises:
        UsageError: there is none; the message lists those that are there.
    """
    folders = sorted(path.parent for path in results_dir.rglob("best_model.pth"))
    trained = {folder.relative_to(results_dir).as_posix(): folder for folder in folders}
    if not trained:
        raise UsageError(f"no trained run in {results_dir}; train one: python src/train.py --model {model or 'resnet'}")
    if not model:
        return trained
    if model not in trained:
        raise UsageError(f"no trained run {model!r} in {results_dir}; there are: {', '.join(trained)}")
    return {model: trained[model]}


def result_line(name: str, results: dict[str, Any]) -> str:
    """One row of the table of results."""
    line = (
        f"{name:<24} top-1 {results['test_acc']:6.2f} %   top-5 {results['test_top5_acc']:6.2f} %   "
        f"loss {results['test_loss']:.4f}   ECE {results['ece']:.4f}   {results['dataset']['test_images']:,} images, "
        f"{results['images_per_second']:,.0f}/s"
    )
    if "temperature" in results:
        line += f"   at temperature {results['temperature']:.3f}: ECE {results['ece_calibrated']:.4f}"
    if "tta_acc" in results:
        line += f"   with TTA: top-1 {results['tta_acc']:.2f} %, top-5 {results['tta_top5_acc']:.2f} %"
    return line
