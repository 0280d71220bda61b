"""Training curves of one run."""

from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from tinybench.figures.style import PALETTE, add_image_sizes, new_figure, note, points, wrapped
from tinybench.results.runs import data_title, epochs_table, image_sizes
from tinybench.runs import best_is_averaged

TRAIN = {"color": PALETTE[1], "linestyle": "--", "marker": "s", "label": "train"}
VALIDATION = {"color": PALETTE[0], "linestyle": "-", "marker": "o", "label": "validation"}
AVERAGE = {"color": PALETTE[2], "linestyle": "-.", "marker": "^", "label": "validation, EMA weights"}


def training_loss(name: str, history: dict[str, Any]) -> Figure:
    """Training and validation loss per epoch, with the learning rate below."""
    return _curves(name, history, "loss", "cross-entropy (nats)")


def training_accuracy(name: str, history: dict[str, Any]) -> Figure:
    """Training and validation accuracy per epoch, with the learning rate below."""
    return _curves(name, history, "acc", "accuracy (%)")


def _curves(name: str, history: dict[str, Any], what: str, label: str) -> Figure:
    table = epochs_table(history)
    config, best = history["config"], history["best_epoch"]
    figure, (curves, rate) = new_figure(8, 5.5, 2, sharex=True, height_ratios=(4, 1))
    # Markers help if there are few epochs, and are all there is to see of a single one.
    marker_size = points(5) if len(table) <= 30 else 0
    for column, style in ((f"train_{what}", TRAIN), (f"val_{what}", VALIDATION), (f"ema_val_{what}", AVERAGE)):
        if column in table:
            curves.plot(table.index, table[column], markersize=marker_size, **style)
    averaged = best_is_averaged(history)
    value = table[f"{'ema_' if averaged else ''}val_{what}"][best]
    star = {"marker": "*", "markersize": points(16), "color": "black", "linestyle": "none"}
    kind = ", EMA weights" if averaged else ""
    curves.plot(best, value, label=f"best epoch: {best} ({value:.2f}{kind})", **star)
    curves.axvline(best, color="black", linewidth=points(0.8), linestyle=":")
    curves.set_ylabel(label)
    learned = " on ".join(filter(None, (config.get("model"), data_title(history))))
    curves.set_title(wrapped(figure, f"{name}: {learned}"))
    curves.legend()
    rate.plot(table.index, table["lr"], color=PALETTE[7], drawstyle="steps-mid", marker="." if marker_size else "")
    rate.set_ylabel("learning\nrate")
    rate.set_xlabel("epoch")
    # Whole epochs only, even if there is a single one.
    rate.set_xlim(0.5, len(table) + 0.5)
    rate.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    if sizes := image_sizes(history):
        add_image_sizes(curves, sizes)
    note(figure, *_caption(config, what), "at the top: side of the training images" if sizes else "")
    return figure


def _caption(config: dict[str, Any], what: str) -> list[str]:
    notes = []
    if config.get("mixup_cutmix_alpha", 0) > 0:
        notes.append("training images are mixed (MixUp, CutMix): accuracy weighs both labels by λ")
    if config.get("label_smoothing", 0) > 0 and what == "loss":
        notes.append(f"training loss with label smoothing {config['label_smoothing']}, validation loss without")
    if config.get("augment", "none") != "none":
        notes.append("training images are augmented, validation images are not")
    return notes
