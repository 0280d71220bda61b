"""watch: where the runs below a folder stand, told from what they write."""

import io
import os
import subprocess
import sys
import time
from pathlib import Path

import filelock
import pytest
from rich.console import Console

from tinybench.cli.watch import table
from tinybench.recipe import Recipe
from tinybench.runtime.files import write_json
from tinybench.sweep.watch import watched
from tinybench.words import duration

ROOT = Path(__file__).resolve().parents[1]


def make_run(folder, done, seconds, **fields):
    recipe = Recipe(model="resnet", epochs=4, **fields)
    lists = {name: [1.0] * done for name in ("train_loss", "train_acc", "val_loss", "lr")}
    lists |= {"val_acc": [10.0 * epoch for epoch in range(1, done + 1)], "epoch_seconds": [seconds] * done}
    about = {"config": recipe.as_dict(), "images_per_second": [99.0] * done, "best_epoch": done}
    write_json(folder / "history.json", lists | about)
    (folder / "last.pth").touch()


@pytest.fixture
def results(tmp_path):
    make_run(tmp_path / "done", 4, 60.0)
    make_run(tmp_path / "plan" / "resnet" / "seed0", 2, 60.0, image_size_schedule="32*2:64*2")
    make_run(tmp_path / "stopped", 1, 60.0)
    make_run(tmp_path / "broken", 1, 60.0)
    (tmp_path / "broken" / "error.txt").write_text("the loss is not finite any more")
    (tmp_path / "begun").mkdir()
    (tmp_path / "begun" / "last.pth").touch()
    return tmp_path


def test_every_state_and_the_time_that_is_left(results):
    history = results / "plan" / "resnet" / "seed0" / "history.json"
    with filelock.FileLock(history.with_name(".lock")):
        runs = watched(results, now=history.stat().st_mtime + 30)
    assert [run.state for run in runs] == ["running", "failed", *["interrupted"] * 2, "done"]
    assert (runs[0].name, runs[0].epochs, runs[0].planned, runs[0].val_acc) == ("plan/resnet/seed0", 2, 4, 20.0)
    # Two epochs with four times as many pixels, 30 s of which are over.
    assert runs[0].seconds_left == pytest.approx(2 * 4 * 60 - 30)
    by_name = {run.name: run for run in runs}
    assert (by_name["begun"].epochs, by_name["begun"].val_acc, by_name["done"].seconds_left) == (0, None, None)


def test_a_damaged_history_is_a_run_that_nothing_is_known_of(results):
    (results / "done" / "history.json").write_text("{")
    assert {run.name: (run.epochs, run.state) for run in watched(results)}["done"] == (0, "interrupted")


@pytest.mark.parametrize("width", [80, 120])
def test_the_table_fits_the_terminal(results, width):
    make_run(results / "a_plan_with_a_long_name" / "an_entry_with_a_long_name_too" / "seed12", 2, 60.0)
    os.utime(results / "done" / "history.json", (time.time() + 9, time.time() + 9))
    drawn = io.StringIO()
    Console(file=drawn, width=width).print(table(results, width))
    lines = drawn.getvalue().splitlines()
    assert max(map(len, lines)) <= width
    assert "40.00 %" in next(line for line in lines if "██████████ 4/4" in line)
    few = io.StringIO()
    Console(file=few, width=width).print(table(results, width, height=7))
    assert "6 runs" in few.getvalue()
    assert "2 shown" in few.getvalue()
    assert "failed" in few.getvalue()  # what needs somebody comes first


def test_the_command_prints_once_where_there_is_no_terminal_and_names_a_wrong_folder(results):
    def watch(*flags):
        command = [sys.executable, "src/watch.py", "--results_dir", results, *flags]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)

    done = watch("--plan", "plan")
    assert done.returncode == 0, done.stderr
    assert "resnet/seed0" in done.stdout
    done = watch("--plan", "nothing")
    assert done.returncode == 2
    assert "nothing does not exist" in done.stderr


def test_durations_in_words():
    seconds = (12, 59 * 60, 3 * 3600 + 5 * 60, 47 * 3600, 52 * 3600)
    assert [duration(each) for each in seconds] == ["12 s", "59 min", "3 h 05 min", "47 h 00 min", "2 d 4 h"]
