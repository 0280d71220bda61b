"""What the histories of training say."""

from collections.abc import Sequence
from statistics import fmean

import numpy as np

from tinybench.results.costs import devices
from tinybench.results.groups import SeedGroup, trained
from tinybench.results.runs import RunResults
from tinybench.words import listed, with_values

LAST = 0.1  # the last part of training that is looked at for whether it still helps
STILL_RISING = 1.0  # points of accuracy gained in that part, from which on a longer training seems worthwhile
OVERFITTED = 0.1  # rise of the validation loss above its lowest value, as a share of that value


def learning(runs: Sequence[RunResults]) -> list[str]:
    """Where validation accuracy ended, whether it was still rising, and whether the loss rose again.

    Raises:
        UserError: there is no run.
    """
    groups = trained(runs)
    best = {group.label: fmean(run.val_acc for run in group.runs) for group in groups}
    best = dict(sorted(best.items(), key=lambda item: -item[1]))
    sentences = [f"Validation accuracy at the best epoch, mean over seeds: {with_values(best, '{:.1f} %')}."]
    if spreads := {group.label: np.ptp([run.val_acc for run in group.runs]) for group in groups if len(group.runs) > 1}:
        widest = max(spreads, key=lambda label: spreads[label])
        sentences.append(f"Seeds of one recipe lie up to {spreads[widest]:.1f} points apart ({widest}).")
    sentences += _still_rising(groups)
    sentences += _overfitted(groups)
    return sentences


def gaps(runs: Sequence[RunResults]) -> list[str]:
    """How far train accuracy was above validation accuracy in the last epoch.

    Raises:
        UserError: there is no run.
    """
    gap = {
        group.label: fmean(run.history["train_acc"][-1] - run.history["val_acc"][-1] for run in group.runs)
        for group in trained(runs)
    }
    gap = dict(sorted(gap.items(), key=lambda item: -item[1]))
    sentences = [f"Train minus validation accuracy in the last epoch, in points: {with_values(gap, '{:+.1f}')}."]
    if below := [label for label in gap if gap[label] < 0]:
        sentences.append(
            f"Below zero: {listed(below)}. Augmentation, mixing and dropout make training images harder than those of "
            "validation, so a negative gap alone is no sign of having learned little."
        )
    return sentences


def schedules(runs: Sequence[RunResults]) -> list[str]:
    """Highest and last learning rate of each recipe, and how long it rose.

    Raises:
        UserError: there is no run.
    """
    alike: dict[str, list[str]] = {}
    for group in trained(runs):
        rates = group.runs[0].history["lr"]
        top = int(np.argmax(rates)) + 1
        rise = f"rises until epoch {top}" if top > 1 else "is highest in the first epoch"
        alike.setdefault(f"the rate {rise} ({max(rates):.3g}) and ends at {rates[-1]:.3g}.", []).append(group.label)
    return [f"{listed(labels)}: {sentence}" for sentence, labels in alike.items()]


def speed(runs: Sequence[RunResults]) -> list[str]:
    """How long an epoch takes.

    Raises:
        UserError: there is no run.
    """
    seconds = {
        group.label: fmean(float(np.median(run.history["epoch_seconds"])) for run in group.runs)
        for group in trained(runs)
        if all(run.history.get("epoch_seconds") for run in group.runs)
    }
    if not seconds:
        return ["The histories hold no times."]
    seconds = dict(sorted(seconds.items(), key=lambda item: item[1]))
    sentences = [f"Median seconds an epoch: {with_values(seconds, '{:.3g}')}."]
    if len(machines := devices(runs)) > 1:
        sentences.append(f"These are of different devices ({listed(machines)}) and do not compare.")
    return sentences


def _still_rising(groups: Sequence[SeedGroup]) -> list[str]:
    gains = {}
    for group in groups:
        tenths = [max(1, round(LAST * len(run.history["val_acc"]))) for run in group.runs]
        if all(len(run.history["val_acc"]) >= 2 * tenth for run, tenth in zip(group.runs, tenths, strict=True)):
            gains[group.label] = fmean(
                fmean(run.history["val_acc"][-tenth:]) - fmean(run.history["val_acc"][-2 * tenth : -tenth])
                for run, tenth in zip(group.runs, tenths, strict=True)
            )
    if not gains:
        return ["The histories are too short to tell whether accuracy was still rising."]
    rising = {label: gain for label, gain in gains.items() if gain >= STILL_RISING}
    if not rising:
        return [f"No recipe gained {STILL_RISING:g} point in the last tenth of its epochs over the tenth before."]
    return [
        "Still rising, by the points gained in the last tenth of the epochs over the tenth before: "
        f"{with_values(rising, '{:+.1f}')}. More epochs may help {'it' if len(rising) == 1 else 'them'}."
    ]


def _overfitted(groups: Sequence[SeedGroup]) -> list[str]:
    rises = {
        group.label: 100 * fmean(run.history["val_loss"][-1] / min(run.history["val_loss"]) - 1 for run in group.runs)
        for group in groups
    }
    risen = {label: rise for label, rise in rises.items() if rise >= 100 * OVERFITTED}
    if not risen:
        return [f"No validation loss ended {100 * OVERFITTED:.0f} % or more above its lowest value."]
    return [f"Overfitted: the validation loss ended above its lowest value by {with_values(risen, '{:.0f} %')}."]
