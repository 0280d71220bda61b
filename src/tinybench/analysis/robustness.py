"""Numbers made from robustness.json."""

from collections.abc import Sequence
from statistics import fmean
from typing import Any

import numpy as np
import pandas as pd

from tinybench.analysis.groups import group_runs, trained
from tinybench.analysis.results import RunResults
from tinybench.errors import UserError
from tinybench.runtime.files import read_json

FILE = "robustness.json"
COMMAND = "python src/test.py --robustness"


def robustness_table(runs: Sequence[RunResults]) -> pd.DataFrame:
    """Accuracy on disturbed test images: the mean over seeds and, for corruptions, over those of one family.

    Columns: label (of the recipe); kind ("corruption" or "attack"); family (noise, blur, …; the attack's name);
    strength (severity 1 to 5; radius in 255ths; 0: the images as they are); accuracy (percent).

    Raises:
        UserError: no run's robustness was measured, or a file is damaged.
    """
    trained(runs)
    groups = group_runs(runs, lambda run: (run.folder / FILE).exists())
    if not groups:
        raise UserError(f"robustness was not measured; measure it with {COMMAND}")
    rows = [{"label": group.label, **row} for group in groups for run in group.runs for row in _rows(run)]
    keys = ["label", "kind", "family", "strength"]
    return pd.DataFrame(rows, columns=[*keys, "accuracy"]).groupby(keys, sort=False, as_index=False).mean()


def mean_corruption_errors(runs: Sequence[RunResults]) -> dict[str, float]:
    """The mean corruption error of each measured recipe, by label: the mean over its runs and AlexNet's.

    Raises:
        UserError: no robustness was measured, or not that of AlexNet, or not on the same images.
    """
    trained(runs)
    groups = group_runs(runs, lambda run: (run.folder / FILE).exists())
    alexnets = [read_json(run.folder / FILE) for group in groups if group.model == "alexnet" for run in group.runs]
    if not alexnets:
        raise UserError(f"AlexNet's robustness, which corruption errors are relative to, was not measured; {COMMAND}")
    return {
        group.label: fmean(
            mean_corruption_error(read_json(run.folder / FILE), alexnet) for run in group.runs for alexnet in alexnets
        )
        for group in groups
    }


def _rows(run: RunResults) -> list[dict[str, Any]]:
    path = run.folder / FILE
    content = read_json(path)
    try:
        curves = [
            ("corruption", about["family"], dict(enumerate(about["accuracy"], start=1)))
            for about in content.get("corruptions", {}).values()
        ] + [("attack", name, radii) for name, radii in content.get("attacks", {}).items()]
        return [
            {"kind": kind, "family": family, "strength": float(strength), "accuracy": float(accuracy)}
            for kind, family, curve in curves
            for strength, accuracy in {0: content["clean_acc"], **curve}.items()
        ]
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path} is damaged; write it again with {COMMAND}") from error


def mean_corruption_error(robustness: dict[str, Any], alexnet_robustness: dict[str, Any]) -> float:
    """The mean over corruptions of a network's errors, summed over severities, in percent of AlexNet's.

    100 is as good as AlexNet, less is better (Hendrycks and Dietterich 2019, https://arxiv.org/abs/1903.12261).

    Args:
        robustness, alexnet_robustness: what robustness.json holds.

    Raises:
        UserError: they were measured on different images or corruptions, or AlexNet makes no error to compare with.
    """
    images, alexnet_images = (
        (about["dataset"], about["settings"]["images_per_class"], about["settings"]["seed"])
        for about in (robustness, alexnet_robustness)
    )
    if images != alexnet_images:
        raise UserError("the robustness of the two networks was measured on different images; measure both again")
    errors, reference = (_errors(about["corruptions"]) for about in (robustness, alexnet_robustness))
    if errors.keys() != reference.keys():
        raise UserError("the robustness of the two networks was measured on different corruptions; measure both again")
    if not all(reference.values()):
        raise UserError("AlexNet makes no errors on some corruption, so there is nothing to compare errors with")
    return 100 * float(np.mean([errors[name] / reference[name] for name in errors]))


def _errors(corruptions: dict[str, dict[str, Any]]) -> dict[str, float]:
    """Percent wrong, summed over severities, by corruption."""
    return {name: float(np.sum(100 - np.array(about["accuracy"]))) for name, about in corruptions.items()}
