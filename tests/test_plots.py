"""Figures of training: what is written on them, and histories that cannot be drawn."""

import json

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from tinybench.analysis import figures
from tinybench.analysis.results import read_history
from tinybench.errors import UserError


def history(epochs, **changes):
    names = ("train_loss", "train_acc", "val_loss", "val_acc", "val_top5_acc", "lr")
    return {
        **{name: [0.1 + epoch for epoch in range(epochs)] for name in names},
        "config": {"model": "resnet", "mixup_cutmix_alpha": 0.4, "label_smoothing": 0.1, "augment": "standard"},
        "dataset": {"name": "tiny-imagenet", "classes": 200},
        "best_epoch": epochs,
        **changes,
    }


@pytest.mark.parametrize("draw", [figures.training_loss, figures.training_accuracy])
def test_all_text_is_on_the_page(draw):
    """The caption of a run with mixing and smoothing is the longest that there is."""
    figure = draw("resnet", history(80))
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    (caption,) = (text for text in figure.texts if "training images are mixed" in text.get_text())
    labels = [axes.yaxis.label for axes in figure.axes]
    for text in (caption, *labels):
        box = text.get_window_extent(canvas.get_renderer())
        assert figure.bbox.x0 <= box.x0 < box.x1 <= figure.bbox.x1, text.get_text()
        assert figure.bbox.y0 <= box.y0 < box.y1 <= figure.bbox.y1, text.get_text()


def test_without_mixing_the_caption_does_not_speak_of_it():
    plain = history(3)
    plain["config"]["mixup_cutmix_alpha"] = 0.0
    assert "mixed" not in "".join(text.get_text() for text in figures.training_accuracy("resnet", plain).texts)


@pytest.mark.parametrize(("epochs", "marked"), [(1, True), (2, True), (80, False)])
def test_ticks_are_whole_epochs_and_few_epochs_have_markers(epochs, marked):
    figure = figures.training_loss("resnet", history(epochs))
    FigureCanvasAgg(figure).draw()
    curves, rate = figure.axes
    ticks = [tick for tick in rate.get_xticks() if 0.5 <= tick <= epochs + 0.5]
    assert ticks
    assert all(tick == int(tick) for tick in ticks)
    assert (curves.lines[0].get_markersize() > 0) is marked
    assert len({line.get_linestyle() for line in curves.lines[:2]}) == 2  # told apart without colour


@pytest.mark.parametrize(
    ("content", "named"),
    [
        ([], "holds no epoch"),
        (history(0, best_epoch=1), "holds no epoch"),
        ({"train_loss": [1.0]}, "lacks train_acc, val_loss"),
        (history(3, val_acc=[1.0]), "do not fit each other"),
        (history(3, val_loss=1.0), "do not fit each other"),
        (history(3, best_epoch=4), "do not fit each other"),
        (history(3, best_epoch=0), "do not fit each other"),
    ],
)
def test_histories_that_cannot_be_drawn_are_one_line(tmp_path, content, named):
    (tmp_path / "resnet").mkdir()
    (tmp_path / "resnet" / "history.json").write_text(json.dumps(content))
    with pytest.raises(UserError, match=named) as caught:
        read_history(tmp_path, "resnet")
    assert "history.json" in str(caught.value)
    assert "\n" not in str(caught.value)
