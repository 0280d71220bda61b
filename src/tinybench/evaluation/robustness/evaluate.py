"""Testing a trained network on test images that are corrupted, attacked or partly hidden."""

import itertools
import time
from dataclasses import replace
from statistics import fmean
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from tinybench.data.imageset import ImageSet
from tinybench.errors import printable
from tinybench.evaluation.evaluate import ROBUSTNESS, TestedNetwork
from tinybench.evaluation.robustness.attacks import fgsm, pgd
from tinybench.evaluation.robustness.corruptions import CORRUPTIONS, SEVERITIES, corrupt
from tinybench.evaluation.robustness.occlusion import occlude, square_places
from tinybench.inference.about import Tick
from tinybench.inference.predictor import Predictor
from tinybench.runtime.device import describe_environment
from tinybench.runtime.files import write_json
from tinybench.runtime.seeds import Purpose, torch_generator

SEED = 0  # every network meets the same disturbed images
RADII = (1, 2, 4, 8)  # of the attacks, in 255ths
PGD_STEPS = 10
ATTACK_PASSES = 2 * (1 + PGD_STEPS)  # of FGSM and PGD together, there and back
SHARES = (4, 2)  # the hidden square's side is the image's, divided by these


def former_robustness(network: TestedNetwork, *, images_per_class: int) -> dict[str, Any]:
    """The results of an earlier measurement that still holds; empty if there is none."""
    return network.former(ROBUSTNESS, images_per_class=images_per_class)


def measure_robustness(network: TestedNetwork, *, images_per_class: int) -> dict[str, Any]:
    """Test a network on disturbed test images; write robustness.json beside its checkpoint, and return what it holds.

    Weights other than the best have files of their own, as evaluate says. The attacks compute in fp32 whatever the
    options say, since gradients vanish in fp16.

    Args:
        images_per_class: use only the first so many test images of each class (0: all).

    Raises:
        UserError: training diverged, or the file cannot be written.
    """
    options = network.options
    images = first_of_each_class(network.images, images_per_class)
    results: dict[str, Any] = {"clean_acc": _accuracy(network, images)}
    seconds = {}
    parts = {"corruptions": on_corrupted, "attacks": on_attacked, "occlusion": on_occluded}
    with tqdm(total=count_passes(images), desc="disturbed", unit=" images", unit_scale=True, disable=None) as bar:
        for part, test in parts.items():
            started = time.perf_counter()
            results[part] = test(network, images, bar.update)
            seconds[part] = time.perf_counter() - started
    results |= {
        "corruption_acc": fmean(value for about in results["corruptions"].values() for value in about["accuracy"]),
        "tested": network.tested | {"images_per_class": images_per_class},
        "weights": network.name,
        "epoch": network.checkpoint["epoch"],
        "model": network.checkpoint["model"],
        "dataset": {
            "name": images.name,
            "fingerprint": images.fingerprint,
            "classes": images.num_classes,
            "test_images": len(images),
        },
        "settings": {
            "seed": SEED,
            "images_per_class": images_per_class,
            "pgd_steps": PGD_STEPS,
            "precision": network.predictor.precision,
            "batch_size": options.batch_size,
        },
        "seconds": seconds,
        "environment": describe_environment(options.device),
    }
    write_json(network.result_path(ROBUSTNESS), results)
    return results


def robustness_line(name: str, results: dict[str, Any]) -> str:
    """One row of the table of results."""
    attacks = results["attacks"]
    return (
        f"{printable(name):<24} clean {results['clean_acc']:6.2f} %   corrupted {results['corruption_acc']:6.2f} %   "
        f"FGSM 2/255 {attacks['fgsm']['2']:6.2f} %   PGD 2/255 {attacks['pgd']['2']:6.2f} %   "
        f"{results['dataset']['test_images']:,} images, {sum(results['seconds'].values()):,.0f} s"
    )


def first_of_each_class(images: ImageSet, count: int) -> ImageSet:
    """The first `count` images of each class, or all of a class that has fewer; 0 means all."""
    if count == 0:
        return images
    chosen = [torch.nonzero(images.labels == label).flatten()[:count] for label in range(images.num_classes)]
    return images.select(torch.cat(chosen).sort().values)


def count_passes(images: ImageSet) -> int:
    """How many images go through the network, there or back, until everything is tested."""
    size = images.images.shape[-1]
    squares = sum(len(square_places(size, size // share)) ** 2 for share in SHARES)
    return len(images) * (len(CORRUPTIONS) * len(SEVERITIES) + len(RADII) * ATTACK_PASSES + squares)


def on_corrupted(network: TestedNetwork, images: ImageSet, tick: Tick) -> dict[str, Any]:
    """By corruption: its family, and the accuracy in percent at each severity."""
    results = {}
    for name, corruption in CORRUPTIONS.items():
        accuracies = []
        for severity in SEVERITIES:
            corrupted = corrupt(images.images, name, severity, seed=SEED, device=network.options.device)
            accuracies.append(_accuracy(network, replace(images, images=corrupted)))
            tick(len(images))
        results[name] = {"family": corruption.family, "accuracy": accuracies}
    return results


def on_attacked(network: TestedNetwork, images: ImageSet, tick: Tick) -> dict[str, Any]:
    """By attack: the accuracy in percent by radius in 255ths."""
    assert isinstance(network.predictor, Predictor)  # no gradients flow through an exported network
    logits_of = network.predictor.logits_of_pixels
    device, batch_size = network.options.device, network.options.batch_size
    results: dict[str, dict[str, float]] = {"fgsm": {}, "pgd": {}}
    for radius in RADII:
        generator = torch_generator("cpu", SEED, Purpose.ATTACK, radius)
        right: dict[str, list[Tensor]] = {name: [] for name in results}
        for batch, true_labels in zip(images.images.split(batch_size), images.labels.split(batch_size), strict=True):
            pixels, labels = batch.to(device).float() / 255, true_labels.to(device)
            attacked = {
                "fgsm": fgsm(logits_of, pixels, labels, radius / 255),
                "pgd": pgd(logits_of, pixels, labels, radius / 255, steps=PGD_STEPS, generator=generator),
            }
            for name, disturbed in attacked.items():
                right[name].append(logits_of(disturbed).argmax(1) == labels)
            tick(ATTACK_PASSES * len(batch))
        for name, parts in right.items():
            results[name][str(radius)] = _percent(torch.cat(parts))
    return results


def on_occluded(network: TestedNetwork, images: ImageSet, tick: Tick) -> dict[str, Any]:
    """Accuracies in percent by the side in pixels of a gray square that hides a part of each image.

    mean: over all places of the square; worst_case: of images that are right wherever it lies; map: at each place.
    """
    size = images.images.shape[-1]
    results: dict[str, dict[str, Any]] = {"mean": {}, "worst_case": {}, "map": {}}
    for side in (size // share for share in SHARES):
        places = square_places(size, side)
        right = []
        for row, column in itertools.product(places, places):
            hidden = occlude(images.images, row, column, side)
            right.append(_right(network, replace(images, images=hidden)))
            tick(len(images))
        at_place = torch.stack(right).view(len(places), len(places), -1)
        results["mean"][str(side)] = _percent(at_place)
        results["worst_case"][str(side)] = _percent(at_place.all(0).all(0))
        results["map"][str(side)] = [[_percent(place) for place in row] for row in at_place]
    return results


def _right(network: TestedNetwork, images: ImageSet) -> Tensor:
    """Which images the network gets right: bool (N,) on the CPU."""
    return network.predictor.logits(images).argmax(1).cpu() == images.labels


def _accuracy(network: TestedNetwork, images: ImageSet) -> float:
    return _percent(_right(network, images))


def _percent(right: Tensor) -> float:
    return 100 * right.sum().item() / right.numel()
