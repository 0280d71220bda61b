"""Accuracy under common corruptions and adversarial attacks."""

from collections.abc import Sequence

from matplotlib.figure import Figure

from tinybench.errors import UserError
from tinybench.figures.style import legend_of_models, panels, styles, weights_note, whole_numbers
from tinybench.results.groups import trained
from tinybench.results.robustness import COMMAND, robustness_table
from tinybench.results.runs import RunResults


def corruption_curves(runs: Sequence[RunResults]) -> Figure:
    """Test accuracy versus the severity of common corruptions, one panel per family; severity 0 is the clean images.

    A point is the mean over the corruptions of the family and over seeds (Hendrycks and Dietterich 2019,
    https://arxiv.org/abs/1903.12261).

    Raises:
        UserError: no run was tested on corruptions.
    """
    return _curves(runs, "corruption", "severity (0: clean)", "means over the corruptions of a family and over seeds")


def attack_curves(runs: Sequence[RunResults]) -> Figure:
    """Test accuracy versus the L∞ radius ε of adversarial attacks, in 255ths of the pixel range, one panel per attack.

    FGSM: Goodfellow et al. 2015, https://arxiv.org/abs/1412.6572. PGD: Madry et al. 2018,
    https://arxiv.org/abs/1706.06083.

    Raises:
        UserError: no run was attacked.
    """
    return _curves(runs, "attack", "ε, the largest change of a pixel (1/255)", "means over seeds")


def _curves(runs: Sequence[RunResults], kind: str, strength: str, about: str) -> Figure:
    table = robustness_table(runs)
    table = table[table["kind"] == f"{kind}s"]
    if table.empty:
        raise UserError(f"no {kind} was measured; {COMMAND} does it")
    style = styles(runs)
    families = table["family"].unique()
    figure, axes = panels(len(families), 2, 4.2, 3, beside=3, sharey=True)
    for family, ax in zip(families, axes, strict=True):
        for label, curve in table[table["family"] == family].groupby("label", sort=False):
            look = style[str(label)]
            ax.plot(curve["strength"], curve["accuracy"], label=label, linestyle=look.line, **look.of_points())
        ax.set_title(family.upper() if kind == "attack" else family)
        ax.set_xlabel(strength)
        ax.set_ylabel("test accuracy (%)")
        ax.label_outer()
        whole_numbers(ax)
    axes[0].set_ylim(0, 1.05 * table["accuracy"].max())
    legend_of_models(figure, axes[0], about, weights_note(trained(runs)))
    return figure
