"""test.py --errors: the table by hand, and the pictures' rows."""

import numpy as np
import torch
from test_testing import main_of, save

from tinybench.cli.figure_arguments import FigureArguments
from tinybench.cli.mistakes import draw_errors, error_table
from tinybench.data import datasets
from tinybench.figures.images import class_examples, mistaken_examples

RESULTS = {
    "class_names": ["cat", "dog", "eel"],
    "per_class_accuracy": {"n1": 60.0, "n2": 90.0, "n3": None},
    "confusion_matrix": [[6, 4, 0], [1, 9, 0], [0, 0, 0]],
}


def test_table_by_hand():
    assert error_table(RESULTS).splitlines() == [
        "  least accurate", "     60.00 %  cat", "  most accurate", "     90.00 %  dog",
        "  most confused (of the class's images)",
        "     40.00 %  cat predicted as dog", "     10.00 %  dog predicted as cat",
    ]  # fmt: skip


def texts(figure):
    return [text.get_text() for axes in figure.axes for text in axes.texts if text.get_text()]


def test_rows_are_of_the_right_images(demo_data):
    images = datasets.load("demo", "test", demo_data).select(torch.arange(0, 500, 10))
    answers = images.labels.numpy().copy()
    first = np.flatnonzero(images.labels == 2)
    answers[first[:2]] = 5
    names = images.class_names
    figure = class_examples(images, answers, [2, 7], np.full(10, 50.0))
    assert sorted(texts(figure)) == sorted([f"{names[label]}\n50 % accuracy" for label in (2, 7)] + [names[5][:18]] * 2)
    figure = mistaken_examples(images, answers, [(2, 5)])
    shown = [np.asarray(axes.images[0].get_array()) for axes in figure.axes if axes.images]
    assert len(shown) == 2
    assert (shown[1] == images.images[first[1]].permute(1, 2, 0).numpy()).all()


def test_no_mistakes_no_pairs(demo_data, tmp_path):
    images = datasets.load("demo", "test", demo_data).select(torch.arange(0, 500, 10))
    perfect = {
        "class_names": list(images.class_names),
        "per_class_accuracy": dict.fromkeys(images.class_ids, 100.0),
        "confusion_matrix": (5 * np.eye(10, dtype=int)).tolist(),
    }
    (tmp_path / "mistaken_examples.png").touch()  # of an earlier network
    draw_errors(perfect, images, images.labels.numpy(), tmp_path, FigureArguments())
    assert [path.name for path in tmp_path.iterdir()] == ["class_examples.png"]


def test_the_command_prints_and_draws(demo_data, tmp_path, monkeypatch, capsys):
    save(tmp_path / "results" / "run" / "best_model.pth", demo_data)
    arguments = ["--model", "run", "--errors", "--data_dir", demo_data, "--results_dir", tmp_path / "results"]
    assert main_of("src/test.py", monkeypatch, *arguments, "--output_dir", tmp_path / "plots") == 0
    out = capsys.readouterr().out
    assert all(title in out for title in ("least accurate", "most accurate", "most confused"))
    names = {path.name for path in (tmp_path / "plots" / "run").iterdir()}
    assert names == {"class_examples.png", "mistaken_examples.png"}
