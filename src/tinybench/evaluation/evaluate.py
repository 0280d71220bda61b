"""Testing a trained run: the only place where the test images are looked at."""

import contextlib
import io
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, NoReturn, NotRequired

import numpy as np
import torch
from pydantic import with_config
from torch import Tensor
from tqdm import tqdm
from typing_extensions import TypedDict  # pydantic wants this one on Python 3.11

from tinybench import metrics
from tinybench.data import datasets, split
from tinybench.data.imageset import ImageSet
from tinybench.errors import UserError, printable
from tinybench.evaluation.calibration import fit_temperature
from tinybench.formats import SHOWN
from tinybench.inference.checkpoint import check_data, weights_fingerprint
from tinybench.inference.onnx import OnnxPredictor
from tinybench.inference.predictor import Predictor
from tinybench.recipe import Recipe
from tinybench.runs import CHECKPOINTS, PREDICTIONS, Weights
from tinybench.runtime.device import describe_environment, synchronize
from tinybench.runtime.files import atomic_paths, json_text, read_json
from tinybench.training.setup import load_images

RESULTS, ROBUSTNESS = "test_results.json", "robustness.json"
PATIENCE = 2  # seconds, after which a bar appears


@dataclass(frozen=True, kw_only=True)
class EvalOptions:
    """How to test; `weights` are those of the best epoch, of the last, or the last moving average."""

    __test__ = False  # not for pytest

    device: torch.device
    data_dir: Path = Path("data")
    weights: Weights = "best"
    batch_size: int = 256
    precision: str = "training"
    """Or fp32, bf16, fp16; see `Predictor`."""
    tta: bool = False
    calibrate: bool = False
    dataset: str = ""
    """Where the images of the run's data set are now, if not where they were in training."""
    foreign: tuple[Path, ...] = ()
    """Images of none of the classes, to find out how well the network tells them."""


# What an option adds to the results of a test.
ADDED = {
    "tta": ("tta_loss", "tta_acc", "tta_top5_acc"),
    "calibrate": ("temperature", "nll_calibrated", "ece_calibrated"),
    "foreign": ("foreign",),
}


@with_config(SHOWN)
class Results(TypedDict):
    """What the files of results hold, of all versions, by which it is told whether they still hold."""

    epoch: int
    dataset: dict[str, Any]
    tested: NotRequired[dict[str, Any]]


class TestedNetwork:
    """The network of a checkpoint as the options want it, the images to test it on, and the files of its results.

    Attributes:
        checkpoint: what the file at `path` holds.
        name: of the weights, see `weights_name`.
        images: the test images.
        tested: what its results hold for, beside the images: the weights and the precision.

    Raises:
        UserError: the checkpoint or the images are missing or damaged, or do not fit each other.
    """

    __test__ = False  # not for pytest

    def __init__(self, path: Path, options: EvalOptions) -> None:
        kind: Literal["model", "ema"] = "ema" if options.weights == "ema" else "model"
        self.path, self.options = path, options
        self.name = weights_name(path, options.weights)
        self.predictor: Predictor | OnnxPredictor
        if path.suffix == ".onnx":
            self.predictor = OnnxPredictor(path, batch_size=options.batch_size)
            fingerprint = self.predictor.fingerprint
        else:
            self.predictor = Predictor(
                path,
                options.device,
                weights=kind,
                precision=options.precision,
                channels_last=True,
                batch_size=options.batch_size,
            )
            fingerprint = weights_fingerprint(self.predictor.checkpoint, kind)
        self.checkpoint = self.predictor.checkpoint
        self.tested = {"weights_fingerprint": fingerprint, "precision": self.predictor.precision}
        self.images = load_test_images(self.checkpoint, options.data_dir, options.dataset)

    def result_path(self, name: str) -> Path:
        """A file beside the checkpoint, see the function of that name."""
        return result_path(self.path, self.name, name)

    def former(self, name: str, **tested: Any) -> dict[str, Any]:
        """What such a file holds, if it was measured on these weights and images and in this precision; else nothing.

        Args:
            tested: what it must have been measured on beside `self.tested`.
        """
        content = self.results(name)
        same = content.get("tested") == self.tested | tested and not self._outdated(content)
        return content if same else {}

    def drop_outdated(self) -> None:
        """Delete the results that tell of weights or images that are no more, and say so."""
        for name, with_it in ((RESULTS, PREDICTIONS), (ROBUSTNESS, ROBUSTNESS)):
            if (content := self.results(name)) and self._outdated(content):
                for path in (self.result_path(name), self.result_path(with_it)):
                    path.unlink(missing_ok=True)
                print(
                    f"{printable(self.result_path(name))} told of other weights or images and is deleted",
                    file=sys.stderr,
                )

    def _outdated(self, content: dict[str, Any]) -> bool:
        """Whether it is certain that results are of other weights or images; older files name the epoch only."""
        now = {**self.tested, "epoch": self.checkpoint["epoch"], "fingerprint": self.images.fingerprint}
        then = content | content["dataset"] | content.get("tested", {})
        return any(then.get(key, now[key]) != now[key] for key in ("weights_fingerprint", "epoch", "fingerprint"))

    def results(self, name: str) -> dict[str, Any]:
        """What such a file holds; nothing if it is missing or damaged."""
        try:
            return read_json(self.result_path(name), Results)
        except UserError:
            return {}


def result_path(checkpoint: Path, weights: str, name: str) -> Path:
    """A file beside a checkpoint, for what its weights gave; weights other than the best are told in its name."""
    suffix = "" if weights == "best" else f"_{weights}"
    return checkpoint.with_name(f"{Path(name).stem}{suffix}{Path(name).suffix}")


def evaluate_run(folder: Path, options: EvalOptions) -> dict[str, Any]:
    """Test a run and write its results beside its checkpoint, as `evaluate_checkpoint` says."""
    return evaluate_checkpoint(folder / CHECKPOINTS[options.weights], options)


def evaluate_checkpoint(path: Path, options: EvalOptions) -> dict[str, Any]:
    """Test a checkpoint, as `evaluate` says.

    Raises:
        UserError: the checkpoint or the data are missing or damaged, or do not fit each other.
    """
    return evaluate(TestedNetwork(path, options))


def former_results(network: TestedNetwork) -> dict[str, Any]:
    """The results of an earlier test that gave all that the options ask for and still holds; empty if there is none."""
    former = network.former(RESULTS)
    wanted = [
        *metrics.metrics_for(network.images.labels),
        *(key for option, keys in ADDED.items() if getattr(network.options, option) for key in keys),
    ]
    whole = network.result_path(PREDICTIONS).exists() and all(key in former for key in wanted)
    return former if whole else {}


def evaluate(network: TestedNetwork) -> dict[str, Any]:
    """Test a network; write test_results.json and predictions.npz beside its checkpoint; return what the former holds.

    Weights other than the best have files of their own: test_results_last.json and so on, see `weights_name`. What
    other options gave in an earlier test is kept, if it still holds.

    Raises:
        UserError: training diverged, the validation images are missing, or the files cannot be written.
    """
    checkpoint, images, options = network.checkpoint, network.images, network.options
    added: dict[str, Any] = {}
    with progress(network, len(images) * (1 + options.tta)) as bar:
        started = time.perf_counter()
        logits = network.predictor.logits(images, tick=bar.update)
        synchronize(options.device)
        seconds = time.perf_counter() - started
        if options.foreign:
            added["foreign"] = told_from(network, logits.cpu())
        logits, labels = as_stored(logits.cpu()), images.labels
        if options.tta:
            added |= with_tta(network.predictor.logits(images, flip_tta=True, tick=bar.update).cpu(), labels)
    if options.calibrate:
        added |= calibrated(network, logits, labels)
    confusion = metrics.confusion_matrix(logits, labels)
    results = {
        "test_loss": metrics.nll(logits, labels),
        **metrics.scores(logits, labels),
        **_kept(network),
        **added,
        "tested": network.tested,
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
        "compared_fingerprints": ["train", "test"] if checkpoint.get("test_fingerprint") else ["train"],
        "precision": network.predictor.precision,
        "batch_size": options.batch_size,
        "images_per_second": len(images) / seconds,
        "environment": describe_environment(options.device),
        "class_names": list(images.class_names),
        **by_class(confusion, images),
        "confusion_matrix": confusion.tolist(),
    }
    with atomic_paths(network.result_path(PREDICTIONS), network.result_path(RESULTS)) as (predictions, numbers):
        write_predictions(predictions, logits, images)
        numbers.write_text(json_text(results), encoding="utf-8")
    network.drop_outdated()
    if network.name == "best":
        _drop_outdated_beside(network)
    return results


def _drop_outdated_beside(network: TestedNetwork) -> None:
    """Also of the run's last weights and their average, which training changes together with the best."""
    kinds: tuple[Weights, ...] = ("last", "ema")
    for weights in kinds:
        path = network.path.with_name(CHECKPOINTS[weights])
        if path.exists() and any(result_path(path, weights, name).exists() for name in (RESULTS, ROBUSTNESS)):
            with contextlib.suppress(UserError):  # what cannot be read is not tested here
                TestedNetwork(path, replace(network.options, weights=weights)).drop_outdated()


def _kept(network: TestedNetwork) -> dict[str, float]:
    """What other options gave in an earlier test; what may no longer hold is left out, which is said."""
    names = [key for keys in ADDED.values() for key in keys]
    former = network.former(RESULTS)
    if not former and (lost := [key for key in names if key in network.results(RESULTS)]):
        print(
            f"{printable(network.result_path(RESULTS))}: {', '.join(lost)} are left out, as they are not known to be "
            "of these weights, images and precision",
            file=sys.stderr,
        )
    return {key: former[key] for key in names if key in former}


def progress(network: TestedNetwork, images: int) -> "tqdm[NoReturn]":
    """A bar with the time left, for what takes longer than PATIENCE."""
    return tqdm(
        total=images, desc=str(network.path.parent), unit=" images", unit_scale=True, delay=PATIENCE, leave=False,
        disable=None,
    )  # fmt: skip


def weights_name(path: Path, weights: Weights) -> str:
    """best, last or ema, or after the file: what the results of these weights are called.

    A checkpoint that is tested by its path must not overwrite the results of the run's best epoch.
    """
    if weights == "ema":
        return "ema" if path.name == CHECKPOINTS["ema"] else f"{path.stem}_ema"
    return "best" if path.name == CHECKPOINTS["best"] else path.stem


def by_class(confusion: np.ndarray, images: ImageSet) -> dict[str, dict[str, Any]]:
    """Percent right by class id, and where the classes differ in size also precision, recall, F1 and support.

    None stands for what divides by 0, such as the accuracy of a class without test images: JSON has no NaN.
    """
    table = metrics.scores_by_class(confusion).set_axis(images.class_ids).astype(object)
    table = table.where(table.notna(), None)
    more = {"per_class_scores": table.to_dict("index")} if metrics.imbalanced(images.labels) else {}
    return {"per_class_accuracy": table["recall"].to_dict(), **more}


def calibrated(network: TestedNetwork, logits: Tensor, labels: Tensor) -> dict[str, float]:
    """The temperature that suits the validation images of the run, and what it makes of the test images' logits.

    Raises:
        UserError: the training images are missing, or no longer those that the validation images were held out of.
    """
    _, images = load_own_images(network.checkpoint, network.options.data_dir, network.options.dataset)
    with progress(network, len(images)) as bar:
        temperature = fit_temperature(network.predictor.logits(images, tick=bar.update).cpu(), images.labels)
    return {
        "temperature": temperature,
        "nll_calibrated": metrics.nll(logits / temperature, labels),
        "ece_calibrated": metrics.ece(logits / temperature, labels),
    }


def with_tta(logits: Tensor, labels: Tensor) -> dict[str, float]:
    """Loss (plain cross entropy, in nats), top-1 and top-5 in percent."""
    return {
        "tta_loss": metrics.nll(logits, labels),
        "tta_acc": metrics.topk_accuracy(logits, labels, 1),
        "tta_top5_acc": metrics.topk_accuracy(logits, labels, 5),
    }


# By which test images may be told from those of none of the classes; test images have the larger ones.
SCORES = {"max_probability": metrics.max_probability, "energy": metrics.negative_energy}


def told_from(network: TestedNetwork, logits: Tensor) -> dict[str, Any]:
    """How well each of SCORES tells the foreign images from the test images, whose logits are given.

    auroc: how often the score of a test image is above that of a foreign one; fpr95: the percentage of foreign images
    that pass where 95 % of the test images do.

    Raises:
        UserError: an image cannot be read.
    """
    paths, size = network.options.foreign, network.options.batch_size
    batches = [network.predictor.logits_of_files(paths[start : start + size]) for start in range(0, len(paths), size)]
    foreign = np.concatenate([torch.as_tensor(batch).cpu().numpy() for batch in batches])
    found: dict[str, Any] = {"images": len(paths)}
    for name, score in SCORES.items():
        own, others = score(logits), score(foreign)
        passing = float((others >= np.quantile(own, 0.05)).mean())
        found[name] = {"auroc": metrics.auroc(own, others), "fpr95": 100 * passing}
    return found


def load_test_images(checkpoint: dict[str, Any], data_dir: Path, dataset: str = "") -> ImageSet:
    """The test images of the data set and the classes that the checkpoint was trained on.

    Args:
        dataset: where the data set is now, if not where it was in training.

    Raises:
        UserError: the data set is not the one that the checkpoint was trained on, or its classes are in another order.
    """
    recipe = Recipe.from_dict(checkpoint["recipe"])
    dataset = dataset or recipe.dataset
    images = datasets.load(dataset, "test", data_dir, checkpoint["image_size"], skip_damaged=recipe.skip_damaged)
    images = split.first_classes(images, recipe.classes)
    if list(images.class_ids) != checkpoint["class_ids"]:
        raise UserError(f"the classes of {dataset} in {data_dir} are not those that the network was trained on")
    check_data(checkpoint, images, dataset)
    return replace(images, name=checkpoint["dataset"])  # a folder may bear another name by now


def load_own_images(checkpoint: dict[str, Any], data_dir: Path, dataset: str = "") -> tuple[ImageSet, ImageSet]:
    """The images that the run was trained on, and those that it held out.

    Args:
        dataset: as of `load_test_images`.

    Raises:
        UserError: the training images are missing, or not those that the network was trained on.
    """
    recipe = Recipe.from_dict(checkpoint["recipe"])
    train_images, val_images = load_images(replace(recipe, dataset=dataset or recipe.dataset), data_dir)
    check_data(checkpoint, train_images, dataset or recipe.dataset)
    return train_images, val_images


def as_stored(logits: Tensor) -> Tensor:
    """The logits as predictions.npz holds them, float32 again, so that its reader gets the numbers of the test itself.

    The softmax stays when the largest logit of each image becomes 0, and float16 is finest there: nearly equal logits
    keep their order.
    """
    relative = logits - logits.amax(1, keepdim=True)
    return relative.clamp(min=torch.finfo(torch.float16).min).half().float()


def write_predictions(path: Path, logits: Tensor, images: ImageSet) -> None:
    """Logits (float16), labels and class ids, so that no analysis has to run the network again."""
    content = io.BytesIO()
    np.savez_compressed(
        content,
        logits=logits.numpy().astype(np.float16),
        labels=images.labels.numpy().astype(np.int16),
        class_ids=np.array(images.class_ids),
    )
    path.write_bytes(content.getvalue())


def result_line(name: str, results: dict[str, Any]) -> str:
    """One row of the table of results."""
    images = f"{results['dataset']['test_images']:,} images, {results['images_per_second']:,.0f}/s"
    line = f"{metrics.score_line(name, results)}   {images}"
    if "temperature" in results:
        line += f"   at temperature {results['temperature']:.3f}: ECE {results['ece_calibrated']:.4f}"
    if "tta_acc" in results:
        line += f"   with TTA: top-1 {results['tta_acc']:.2f} %, top-5 {results['tta_top5_acc']:.2f} %"
    if "foreign" in results:
        foreign = results["foreign"]
        numbers = ", ".join(f"{foreign[name]['auroc']:.3f} by {name.replace('_', ' ')}" for name in SCORES)
        line += f"   {foreign['images']:,} foreign images: AUROC {numbers}"
    if results.get("compared_fingerprints") == ["train"]:
        line += "   (its checkpoint names the training images only; that the test images are the same is not known)"
    return line
