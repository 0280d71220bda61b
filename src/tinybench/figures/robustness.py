"""Accuracy on images that are disturbed: common corruptions and attacks."""

from collections.abc import Sequence

from matplotlib.figure import Figure

from tinybench.errors import UserError
from tinybench.figures.style import fitted, legend_of_models, panels, styles, weights_note, whole_numbers
from tinybench.results.groups import trained
from tinybench.results.robustness import COMMAND, robustness_table
from tinybench.results.runs import RunResults


def corruption_curves(runs: Sequence[RunResults]) -> Figure:
    """Test accuracy over the severity of common corruptions, one panel a family; severity 0: the images as they are.

    A point is the mean over the corruptions of the family and over seeds (Hendrycks and Dietterich 2019,
    https://arxiv.org/abs/1903.12261).

    Raises:
        UserError: no run was tested on corruptions.
    """
    return _curves(runs, "corruption", "severity (0: none)", "means over the corruptions of a family and over seeds")


def attack_curves(runs: Sequence[RunResults]) -> Figure:
    """Test accuracy over the radius of attacks (largest change of a pixel, in 255ths), one panel an attack.

    FGSM: Goodfellow et al. 2015, https://arxiv.org/abs/1412.6572. PGD: Madry et al. 2018,
    https://arxiv.org/abs/1706.06083.

    Raises:
        UserError: no run was attacked.
    """
    return _curves(runs, "attack", "largest change of a pixel (1/255)", "means over seeds")


def _curves(runs: Sequence[RunResults], kind: str, strength: str, about: str) -> Figure:
    table = robustness_table(runs)
    table = table[table["kind"] == f"{kind}s"]
    if table.empty:
        raise UserError(f"no {kind} was measured; measure them with {COMMAND}")
    style = styles(runs)
    families = table["family"].unique()
    figure, places = panels(len(families), 2, 4.6, 3, sharey=True)
    for family, axes in zip(families, places, strict=True):
        for label, curve in table[table["family"] == family].groupby("label", sort=False):
            look = style[str(label)]
            axes.plot(curve["strength"], curve["accuracy"], label=label, linestyle=look.line, **look.of_points())
        axes.set_title(family.upper() if kind == "attack" else family)
        whole_numbers(axes)
    places[0].set_ylim(0, 1.05 * table["accuracy"].max())
    figure.supxlabel(fitted(figure, f"{strength}; {about}", weights_note(trained(runs))), fontsize=11)
    figure.supylabel("test accuracy (%)", fontsize=11)
    legend_of_models(figure, places[0])
    return figure
