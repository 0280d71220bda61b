"""Numbers made from robustness.json."""

from collections.abc import Sequence
from statistics import fmean
from typing import Any

import numpy as np
import pandas as pd

from tinybench.errors import UserError, command
from tinybench.results.groups import SeedGroup, trained
from tinybench.results.runs import RunResults, attempt
from tinybench.runtime.files import read_json

FILE = "robustness.json"
COMMAND = command("src/test.py", "--robustness")


def read_robustness(run: RunResults) -> dict[str, Any] | None:
    """What robustness.json of a run holds; None where its robustness was not measured.

    Raises:
        UserError: the file is damaged.
    """
    path = run.folder / FILE
    if not path.exists():
        return None
    content = read_json(path)
    try:
        float(content["clean_acc"])
        robustness_curves(content)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path} is damaged; write it again with {COMMAND}") from error
    return content


def robustness_curves(content: dict[str, Any]) -> dict[tuple[str, str, str], dict[float, float]]:
    """Accuracy in percent by strength, of each kind, family and name of disturbance in a robustness.json.

    Kinds: corruptions (their families are noise, blur, …; strength is the severity, 1 to 5), attacks (by radius in
    255ths) and occlusion (by the square's side in pixels).
    """
    curves = {
        ("corruptions", about["family"], name): dict(enumerate(about["accuracy"], start=1))
        for name, about in content.get("corruptions", {}).items()
    }
    for kind in ("attacks", "occlusion"):
        # The map of an occlusion is no curve: it says where in the image the square lies.
        curves |= {(kind, name, name): curve for name, curve in content.get(kind, {}).items() if name != "map"}
    return {key: {float(x): float(accuracy) for x, accuracy in curve.items()} for key, curve in curves.items()}


def robustness_table(runs: Sequence[RunResults]) -> pd.DataFrame:
    """Accuracy on disturbed test images: the mean over seeds and, for corruptions, over those of one family.

    Columns: label (of the recipe); kind, family and strength as in `robustness_curves`, with strength 0 for the images
    as they are; accuracy (percent).

    Raises:
        UserError: no run's robustness was measured.
    """
    rows = [
        (group.label, kind, family, strength, accuracy)
        for group, contents in _measured(runs)
        for content in contents
        for (kind, family, _), curve in robustness_curves(content).items()
        for strength, accuracy in {0.0: float(content["clean_acc"]), **curve}.items()
    ]
    keys = ["label", "kind", "family", "strength"]
    return pd.DataFrame(rows, columns=[*keys, "accuracy"]).groupby(keys, sort=False, as_index=False).mean()


def mean_corruption_errors(runs: Sequence[RunResults]) -> dict[str, float]:
    """The mean corruption error of each measured recipe, by label: the mean over its runs and AlexNet's.

    Raises:
        UserError: no robustness was measured, or not that of AlexNet, or not on the same images.
    """
    measured = _measured(runs)
    alexnets = [content for group, contents in measured if group.model == "alexnet" for content in contents]
    if not alexnets:
        raise UserError(f"AlexNet's robustness, which corruption errors are relative to, was not measured; {COMMAND}")
    return {
        group.label: fmean(mean_corruption_error(content, alexnet) for content in contents for alexnet in alexnets)
        for group, contents in measured
    }


def _measured(runs: Sequence[RunResults]) -> list[tuple[SeedGroup, list[dict[str, Any]]]]:
    """The recipes whose robustness was measured, with what is in the files of their runs; damaged ones are noticed."""
    contents = [(group, [attempt(read_robustness, run) for run in group.runs]) for group in trained(runs)]
    measured = [(group, [content for content in found if content]) for group, found in contents if any(found)]
    if not measured:
        raise UserError(f"robustness was not measured; measure it with {COMMAND}")
    return measured


def mean_corruption_error(robustness: dict[str, Any], alexnet_robustness: dict[str, Any]) -> float:
    """The mean over corruptions of a network's errors, summed over severities, in percent of AlexNet's.

    100 is as good as AlexNet, less is better (Hendrycks and Dietterich 2019, https://arxiv.org/abs/1903.12261).

    Args:
        robustness, alexnet_robustness: what robustness.json holds.

    Raises:
        UserError: they were measured on different images or corruptions, or AlexNet makes no error to compare with.
    """
    images, alexnet_images = (
        (about.get("dataset"), settings.get("images_per_class"), settings.get("seed"))
        for about in (robustness, alexnet_robustness)
        for settings in [about.get("settings", {})]
    )
    if images != alexnet_images:
        raise UserError("the robustness of the two networks was measured on different images; measure both again")
    errors, reference = (_errors(about.get("corruptions", {})) for about in (robustness, alexnet_robustness))
    if errors.keys() != reference.keys():
        raise UserError("the robustness of the two networks was measured on different corruptions; measure both again")
    if not errors:
        raise UserError(f"no corruption was measured; measure them with {COMMAND}")
    if not all(reference.values()):
        raise UserError("AlexNet makes no errors on some corruption, so there is nothing to compare errors with")
    return 100 * float(np.mean([errors[name] / reference[name] for name in errors]))


def _errors(corruptions: dict[str, dict[str, Any]]) -> dict[str, float]:
    """Percent wrong, summed over severities, by corruption."""
    return {name: float(np.sum(100 - np.array(about["accuracy"]))) for name, about in corruptions.items()}
