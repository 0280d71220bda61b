"""Figures of training: what is written on them, and histories that cannot be drawn."""

import json
import os
import subprocess
import sys
from pathlib import Path

import matplotlib
import pytest
from made_up import make_run
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from tinybench import figures
from tinybench.cli.plot_training_loss import main
from tinybench.errors import Notice, UsageError, UserError
from tinybench.figures.style import new_figure
from tinybench.results.runs import load_runs, read_history
from tinybench.runtime.pictures import save_figure

SCRIPT = Path(__file__).resolve().parents[1] / "plots" / "plot_training_loss.py"


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
    labels = [ax.yaxis.label for ax in figure.axes]
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


def test_histories_of_plain_scripts_are_drawn_and_what_they_do_not_state_is_said(tmp_path):
    plain = history(3, val_acc=[1.0, 9.0, 5.0], config={"epochs": 3})
    del plain["dataset"], plain["best_epoch"]
    (tmp_path / "alien").mkdir()
    (tmp_path / "alien" / "history.json").write_text(json.dumps(plain))
    with pytest.warns(Notice, match=r"history\.json states no data set .* and no best epoch"):
        found = read_history(tmp_path, "alien")
    curves, _ = figures.training_accuracy("alien", found).axes
    assert curves.get_title() == "alien: data set not stated"
    assert "best epoch: 2 (9.00)" in [line.get_label() for line in curves.lines]


def test_the_best_epoch_says_whether_its_weights_are_averaged():
    averaged = history(3, ema_val_acc=[1.0, 2.0, 9.0], ema_val_loss=[1.0] * 3)
    labels = [line.get_label() for line in figures.training_accuracy("run", averaged).axes[0].lines]
    assert "best epoch: 3 (9.00, EMA weights)" in labels


def test_names_are_drawn_as_they_are_and_letters_that_the_font_lacks_are_noticed(tmp_path):
    figure = figures.training_loss("a$b^c$_d", history(2))
    save_figure(figure, tmp_path / "a.png")
    title = figure.axes[0].title
    assert not title.get_parse_math()
    assert title.get_text().startswith("a$b^c$_d: ")
    with pytest.warns(Notice, match=r"b\.png: .* lacks 犬 猫, drawn as boxes") as caught:
        save_figure(figures.training_loss("猫犬", history(2)), tmp_path / "b.png")
    assert len(caught) == 1


def test_the_user_chooses_the_font():
    with matplotlib.rc_context({"font.family": ["DejaVu Serif"]}):
        for figure in (figures.training_loss("run", history(2)), new_figure(2, 2)[0]):
            assert figure.axes[0].title.get_fontfamily() == ["DejaVu Serif"]


def test_a_picture_that_shows_the_same_stays_and_one_of_something_else_too(tmp_path):
    path = tmp_path / "loss.png"
    save_figure(figures.training_loss("run", history(2)), path)
    written = path.stat().st_mtime_ns
    save_figure(figures.training_loss("run", history(2)), path)
    assert path.stat().st_mtime_ns == written
    save_figure(figures.training_loss("run", history(2, val_loss=[1.0, 2.001])), path)
    assert path.stat().st_mtime_ns > written
    Figure().savefig(path)  # by somebody else
    with pytest.raises(UsageError, match=r"loss\.png is there already and was not written by this command"):
        save_figure(figures.training_loss("run", history(2)), path)
    save_figure(figures.training_loss("run", history(2)), path, force=True)


def test_logarithmic_axes_have_plain_numbers(tmp_path):
    make_run(tmp_path / "vgg", "vgg")
    path = tmp_path / "vgg" / "history.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"val_loss": [200.0, *range(1, 12)]}))
    figure = figures.learning_curves(load_runs(tmp_path))
    FigureCanvasAgg(figure).draw()
    assert {label.get_text() for label in figure.axes[1].get_yticklabels()} >= {"1", "10", "100"}


def test_no_name_leads_out_of_the_results(tmp_path):
    for name in ("../other", "/etc", ""):
        with pytest.raises(UsageError, match="must name a folder below results_dir"):
            read_history(tmp_path, name)


@pytest.mark.parametrize(
    ("content", "named"),
    [
        ([], "holds no epoch"),
        (history(0, best_epoch=1), "holds no epoch"),
        ({"train_loss": [1.0]}, "lacks train_acc, val_loss"),
        (history(3, val_acc=[1.0]), "do not fit each other"),
        (history(3, val_loss=1.0), r"val_loss must be a valid list, not 1\.0"),
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


# ---- formats and pages


def plot(monkeypatch, results_dir, output_dir, *flags):
    words = ["--run", "vgg", "--results_dir", results_dir, "--output_dir", output_dir, *flags]
    monkeypatch.setattr(sys, "argv", ["plots/plot_training_loss.py", *map(str, words)])
    main()
    return {path.suffix: path for path in (output_dir / "vgg").iterdir()}


@pytest.fixture(scope="module")
def results_dir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("results")
    make_run(folder / "vgg", "vgg")
    return folder


def test_vector_formats_hold_text_and_are_the_same_bytes_in_two_processes(tmp_path, results_dir):
    flags = ("--run", "vgg", "--results_dir", str(results_dir), "--format", "pdf", "svg", "--output_dir")
    contents = []
    for name in ("one", "two"):
        command = [sys.executable, str(SCRIPT), *flags, str(tmp_path / name)]
        subprocess.run(command, check=True, env=os.environ | {"PYTHONHASHSEED": str(len(contents))})
        contents.append([(tmp_path / name / "vgg" / f"training_loss.{kind}").read_bytes() for kind in ("pdf", "svg")])
    assert contents[0] == contents[1]
    pdf, svg = contents[0]
    assert b"/FontFile2" in pdf  # TrueType, whole letters
    assert b"Date" not in pdf
    assert b"vgg: vgg on demo, 10 classes</text>" in svg
    assert b'width="252pt"' in svg  # a column of 3.5 inches
    assert b"font-size: 8px" in svg


def test_png_keeps_its_own_page_unless_one_is_given(tmp_path, monkeypatch, results_dir):
    files = plot(monkeypatch, results_dir, tmp_path, "--format", "png", "svg")
    assert files.keys() == {".png", ".svg"}
    assert Image.open(files[".png"]).size == (8 * 200, 5.5 * 200)
    given = plot(monkeypatch, results_dir, tmp_path / "given", "--width", "4", "--font_size", "6", "--dpi", "100")
    assert Image.open(given[".png"]).size[0] == 400


@pytest.mark.parametrize("kind", ["pdf", "svg"])
def test_vector_files_that_show_the_same_stay_and_those_of_others_too(tmp_path, monkeypatch, results_dir, kind):
    (path,) = plot(monkeypatch, results_dir, tmp_path, "--format", kind).values()
    written = path.stat().st_mtime_ns
    plot(monkeypatch, results_dir, tmp_path, "--format", kind)
    assert path.stat().st_mtime_ns == written
    plot(monkeypatch, results_dir, tmp_path, "--format", kind, "--font_size", "9")
    assert path.stat().st_mtime_ns > written
    Figure().savefig(path)  # by somebody else
    with pytest.raises(UsageError, match=rf"training_loss\.{kind} is there already"):
        plot(monkeypatch, results_dir, tmp_path, "--format", kind)
    plot(monkeypatch, results_dir, tmp_path, "--format", kind, "--force")


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        (("--width", "0"), "--width must be greater than or equal to 2"),
        (("--dpi", "0"), "--dpi must be greater than or equal to 20"),
        (("--font_size", "nan"), "--font_size"),
        (("--format", "jpeg"), "--format"),
        (("--format",), "--format needs at least one value"),
        (("--format", "pdf", "svg", "--dpi", "300"), "--dpi goes with --format png; pdf and svg have no pixels"),
    ],
)
def test_what_cannot_be_drawn_or_does_nothing_is_a_usage_error(tmp_path, monkeypatch, results_dir, flags, named):
    with pytest.raises(UsageError, match=named) as caught:
        plot(monkeypatch, results_dir, tmp_path, *flags)
    assert "\n" not in str(caught.value)
