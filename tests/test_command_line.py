"""What users type, and what they read back: one line, whatever was typed or stands in a file."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from test_testing import main_of, save

from tinybench import formats
from tinybench.cli import console
from tinybench.cli.train import parse_arguments
from tinybench.configuration import get_recipe, load_recipes
from tinybench.errors import UsageError, UserError, command, printable
from tinybench.recipe import Draft, Recipe, RunOptions
from tinybench.runtime.files import read_json, write_json
from tinybench.training import numerics
from tinybench.validation import validated

REPOSITORY = Path(__file__).resolve().parents[1]


def run_command(script, *words, **environment):
    return subprocess.run(
        [sys.executable, REPOSITORY / "src" / script, *words],
        capture_output=True,
        env={**os.environ, **environment},
        timeout=120,
    )


@pytest.fixture
def train(monkeypatch):
    def parse(*words):
        monkeypatch.setattr(sys, "argv", ["train.py", *words])
        return parse_arguments(None)[0]

    return parse


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--epoch", "3"], "there is no flag --epoch; the closest is --epochs"),
        (["--lr", "1", "--lr", "2"], "--lr stands there twice"),
        (["--batch-size", "8", "--batch_size=9"], "--batch_size stands there twice"),
        (["--nesterov", "--no_nesterov"], "--no_nesterov stands there twice"),
        (["--epochs", "x"], "error parsing --epochs: invalid literal"),
        (["--epochs"], "missing value for argument '--epochs'"),
        (["--track", "lion"], "invalid choice 'lion' for argument '--track'. Expected one of"),
        (["--track", "None"], "--track takes no None; leave the flag out"),
        (["--optimizer", "lion"], "invalid choice 'lion' for argument '--optimizer'. Expected one of"),
        (["resnet"], "unrecognized options: resnet"),
        (["--lr", "inf"], "lr must be a finite number"),
        (["--lr", "1e308"], "lr must be less than or equal to"),
        (["--clip_grad_norm", "inf"], "clip_grad_norm must be a finite number"),
        (["--step_epochs", "3"], "step_epochs 3 goes with scheduler step"),
        (["--run_name", "../elsewhere"], "run_name '../elsewhere' must name a folder below results_dir"),
        (["--image_size", "999999"], "image_size must be less than or equal to"),
    ],
)
def test_a_wrong_flag_is_one_line(train, words, says):
    with pytest.raises(UsageError) as caught:
        train(*words)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "'None'" not in str(caught.value)  # which is no choice, though the parser has it among them


def test_a_flag_with_nothing_behind_it_is_one_line():
    result = run_command("infer.py", "--image")
    assert (result.returncode, result.stderr) == (2, b"error: --image needs at least one value\n")
    result = run_command("infer.py")
    assert result.returncode == 2
    assert result.stderr.startswith(b"error: --image is missing")


@pytest.mark.parametrize(
    ("script", "words", "says"),
    [
        ("profile_step.py", ["--model", "svm", "--steps", "0"], "--steps must be greater than or equal to 1"),
        ("profile_step.py", ["--model", "svm", "--num_classes", "0"], "--num_classes must be greater than"),
        (
            "explore_data.py",
            ["--dataset", "demo", "--image_size", "32"],
            "--image_size goes with a folder, not with demo",
        ),
        ("compare.py", ["--status", "--dry_run"], "--dry_run does nothing with --status"),
        ("compare.py", ["--cpus_per_run", "nan"], "--cpus_per_run must be a finite number"),
        ("compare.py", ["--seeds", "1000000000"], "--seeds must be less than or equal to"),
        ("test.py", ["--output_dir", "x"], "--output_dir goes with --errors"),
    ],
)
def test_a_flag_beyond_its_bounds_or_without_effect_is_one_line(monkeypatch, script, words, says):
    with pytest.raises(UsageError) as caught:
        main_of(f"src/{script}", monkeypatch, *words)
    assert says in str(caught.value)


def test_ctrl_c_while_modules_are_imported_is_one_line(tmp_path):
    # A shell has what it starts in the background ignore the signal. Another thread, such as one of NumPy's, may be the
    # one that it reaches: then it is heard a little later.
    slow = """
import os, signal, time
signal.signal(signal.SIGINT, signal.default_int_handler)
os.kill(os.getpid(), signal.SIGINT)
for _ in range(1000): time.sleep(0.01)
"""
    (tmp_path / "torch.py").write_text(slow)
    result = run_command("train.py", PYTHONPATH=str(tmp_path))
    assert (result.returncode, result.stderr) == (130, b"interrupted\n")


@pytest.mark.parametrize("minutes", [float("nan"), -1.0])
def test_run_options_have_bounds(minutes):
    with pytest.raises(UsageError, match="checkpoint_minutes must be"):
        RunOptions(run_name="run", checkpoint_minutes=minutes)


def test_what_is_counted_in_epochs_keeps_its_share(train):
    recipe = train("--model", "resnet", "--epochs", "2")
    assert (recipe.epochs, recipe.warmup_epochs) == (2, 5 * 2 / 80)
    recipe = train("--model", "resnet", "--epochs", "32")
    assert recipe.warmup_epochs == 2
    assert train("--model", "resnet", "--epochs", "2", "--warmup_epochs", "1").warmup_epochs == 1
    assert train("--recipe", "speedrun", "--epochs", "2").image_sizes == (48, 64)
    assert train("--recipe", "resnet18_stock", "--epochs", "75").step_epochs == 21
    assert train("--model", "resnet", "--epochs", "40", "--total_epochs", "80").warmup_epochs == 5


def test_any_flag_can_stand_alone(train, capsys):
    recipe = train("--model", "resnet", "--optimizer", "adamw")
    assert not recipe.nesterov
    assert "nesterov False instead of True" in capsys.readouterr().out
    with pytest.raises(UsageError, match="nesterov True goes with optimizer sgd or muon"):
        train("--model", "resnet", "--optimizer", "adamw", "--nesterov")
    for recipe in load_recipes().values():
        assert recipe.changed() == recipe
        recipe.changed(epochs=1)


def test_betas_are_two_numbers(train):
    assert train("--model", "vit", "--betas", "0.9", "0.95").betas == (0.9, 0.95)
    with pytest.raises(UsageError, match="betas"):
        train("--model", "vit", "--betas", "0.9")


def test_a_draft_needs_not_fit():
    assert Draft(nesterov=True, optimizer="adam").nesterov
    with pytest.raises(UsageError):
        Recipe(nesterov=True, optimizer="adam")


def test_commands_can_be_pasted():
    assert command("src/test.py", "--run", "a b; rm -rf /") == "python src/test.py --run 'a b; rm -rf /'"
    options = RunOptions(run_name="r", data_dir=Path("my data"))
    assert options.command("src/test.py") == "python src/test.py --data_dir 'my data'"
    options = RunOptions(run_name="r", save_every=0)
    assert options.command("src/train.py", "--resume") == "python src/train.py --resume --save_every 0"


def test_nothing_moves_the_cursor_or_shows_a_password():
    assert printable("a\nb\x1b[2Jc\u202e") == r"a\nb\x1b[2Jc\u202e"
    assert printable("see https://me:secret@host/x") == "see https://***@host/x"
    assert printable("猫 é") == "猫 é"
    assert printable(os.fsdecode(b"caf\xe9")) == r"caf\udce9"


def test_what_a_command_prints_moves_no_cursor(capsys):
    with pytest.raises(SystemExit):
        console.run(lambda: print("class \x1b[2J\r\u202e, then\nanother\tline"))
    assert capsys.readouterr().out == r"class \x1b[2J\r\u202e, then" + "\nanother\tline\n"


def test_a_narrow_encoding_is_no_reason_to_fail(tmp_path):
    missing = tmp_path / "猫.png"
    result = run_command("infer.py", "--image", missing, PYTHONIOENCODING="cp1252")
    assert b"Traceback" not in result.stderr
    assert rb"\u732b" in result.stderr
    result = run_command("infer.py", "--image", os.fsencode(tmp_path) + b"/caf\xe9.png")
    assert b"Traceback" not in result.stderr
    assert rb"caf\udce9.png" in result.stderr


@pytest.mark.parametrize("content", ["x = (", "raise KeyError('a')", "RECIPES = 3", "\0"])
def test_a_model_file_that_is_no_python_is_one_line(tmp_path, content):
    path = tmp_path / "net.py"
    path.write_text(content)
    with pytest.raises(UsageError, match=r"net\.py") as caught:
        load_recipes(path)
    assert "\n" not in str(caught.value)


def test_types_are_strict():
    for kind, value in ((int, "10"), (int, True), (int, 2.0), (float, float("nan")), (list[float], [1, "2"])):
        with pytest.raises(UserError, match="it"):
            validated(kind, value, "it")
    assert validated(float, 3, "it") == 3
    with pytest.raises(UsageError, match=r"epochs must be a valid integer, not '10'"):
        Recipe(epochs="10")
    with pytest.raises(UsageError, match="recipe must be a valid dictionary"):
        Recipe.from_dict([1])


def test_half_of_a_surrogate_pair_can_be_written(tmp_path):
    write_json(tmp_path / "x.json", {"name": "\ud800"})
    assert read_json(tmp_path / "x.json") == {"name": "\ud800"}


def test_json_of_any_depth_or_shape_is_one_line(tmp_path):
    path = tmp_path / "history.json"
    path.write_text("[" * 100_000)
    with pytest.raises(UserError, match="is damaged"):
        read_json(path)
    os.mkfifo(tmp_path / "pipe.json")
    with pytest.raises(UserError, match="no regular file"):
        read_json(tmp_path / "pipe.json")
    path.write_text(json.dumps({"train_loss": [1, "x"]}))
    with pytest.raises(UserError, match=r"history\.json is damaged: train_loss\[1\] must be a valid number, not 'x'"):
        read_json(path, formats.History)


@pytest.mark.parametrize(
    "choice", [{"precision": "bf16"}, {"precision": "fp64", "channels_last": True, "compile": False}, 3,
               {"precision": "bf16", "channels_last": True, "compile": False, "lr": 9.0}]
)  # fmt: skip
def test_what_is_remembered_sets_numerics_and_nothing_else(tmp_path, monkeypatch, choice):
    monkeypatch.setenv("TINYBENCH_CACHE", str(tmp_path))
    recipe, device = get_recipe("svm"), torch.device("cpu")
    numerics.memory_path().write_text(json.dumps({numerics._key(recipe, device): choice}))
    chosen = numerics.choose_numerics(recipe, 1, 2, device)  # too short a run for a probe
    assert (chosen.precision, chosen.lr) == ("fp32", recipe.lr)


def test_the_flags_that_are_stated(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["x", "--batch-size=3", "--no_nesterov", "lr"])
    assert console.stated(["batch_size", "nesterov", "lr"]) == ["batch_size", "nesterov"]


def test_names_on_stderr_and_stdout_are_on_one_line(tmp_path, monkeypatch, capsys, demo_data):
    checkpoint = save(tmp_path / "a\nb\x1b[2J" / "best_model.pth", demo_data)
    words = ["--checkpoint", checkpoint, "--image", tmp_path / "c\nd\x1b[2J.png", "--device", "cpu"]
    assert main_of("src/infer.py", monkeypatch, *words) == 1
    said = capsys.readouterr()
    assert said.out.count("\n") == said.err.count("\n") == 1
    assert r"a\nb\x1b[2J" in said.out
    assert r"c\nd\x1b[2J.png" in said.err
