"""Numbers made from robustness.json."""

from typing import Any

import numpy as np

from tinybench.errors import UserError


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
