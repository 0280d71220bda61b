"""Every command with flags of any kind, and on files damaged in any way: one line, and nothing lost.

Slow, and left out of the usual tests: `python -m pytest -m slow tests/test_fuzz.py`. TINYBENCH_FUZZ_TRIALS says how
many trials there are in all (default: 2000). An audit hook refuses what would be written outside of a trial's folder.
"""

import contextlib
import dataclasses
import hashlib
import importlib
import inspect
import io
import json
import os
import random
import shutil
import subprocess
import sys
import tomllib
import traceback
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from made_up import make_run
from PIL import Image

from tinybench.cli import console
from tinybench.recipe import Recipe, RunOptions
from tinybench.training.trainer import train

pytestmark = pytest.mark.slow

REPOSITORY = Path(__file__).resolve().parents[1]
TRIALS = int(os.environ.get("TINYBENCH_FUZZ_TRIALS", "2000"))
COMMANDS = (
    "src/train.py", "src/test.py", "src/infer.py", "src/explain.py", "src/export.py", "src/ensemble.py",
    "src/compare.py", "src/report.py", "src/explore_data.py", "src/curate_data.py", "src/doctor.py",
    "src/profile_step.py",
    "plots/plot_training_loss.py", "plots/plot_training_acc.py", "plots/plot_comparison.py",
)  # fmt: skip
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT
WRITES = {
    "open", "os.remove", "os.rename", "os.rmdir", "os.mkdir", "os.link", "os.symlink", "os.truncate", "os.chmod",
    "os.chown", "shutil.rmtree",
}  # fmt: skip
QUICK = (
    "--recipe", "svm", "--dataset", "images", "--epochs", "1", "--image_size", "16", "--batch_size", "4",
    "--precision", "auto",
)  # fmt: skip
READERS = (  # commands that read what a run left, and the data
    ("src/test.py", "--run", "run"),
    ("src/infer.py", "--image", "images/a/0.png"),
    ("src/infer.py", "--image", "images/a/0.png", "--checkpoint", "results/run/network.onnx"),
    ("src/test.py", "--checkpoint", "results/run/network.onnx"),
    ("src/export.py", "--run", "run", "--output", "out/half.pth", "--format", "pth", "--half"),
    ("src/export.py", "--run", "run", "--output", "out/network.onnx"),
    ("src/ensemble.py", "--run", "run", "other"),
    ("src/report.py",),
    ("src/train.py", "--resume", "results/run/last.pth", "--run_name", "run", "--epochs", "2"),
    ("src/train.py", "--pretrained", "results/run/best_model.pth", "--run_name", "tuned", *QUICK),
    ("src/train.py", "--teacher", "results/run/best_model.pth", "--run_name", "taught", *QUICK),
    ("src/explain.py", "--image", "images/a/0.png", "--output", "out"),
    ("src/compare.py", "--plan", "plan.toml", "--dry_run"),
    ("plots/plot_comparison.py", "--output_dir", "out"),
    ("plots/plot_training_loss.py", "--run", "run", "--output_dir", "out"),
    ("src/compare.py", "--plan", "plan.toml", "--status"),
    ("src/explore_data.py", "--dataset", "images", "--image_size", "16"),
)
FILES = (
    "results/run/history.json", "results/run/test_results.json", "results/run/predictions.npz",
    "results/run/best_model.pth", "results/run/last.pth", "results/run/network.onnx", "images/a/0.png", "plan.toml",
    "cache/precision.json",
    "results/run/robustness.json", "results/plan/svm/seed0/measurements.json", "results/plan/svm/seed0/history.json",
    "results/data_exploration/images.json", "results/published.csv", "results/model_comparison.csv",
)  # fmt: skip
RECIPE = Recipe(
    model="svm", dataset="images", image_size=16, epochs=1, batch_size=4, loss="hinge", label_smoothing=0.0,
    optimizer="adam", lr=1e-3, weight_decay=0.0, augment="none", precision="fp32",
)  # fmt: skip

_allowed: list[Path] = []  # where the hook lets files be written, while a trial goes on


# For a command in a process of its own, which Python gives this file to before all others.
GUARD = f"""
import os, pathlib, sys
WRITES, WRITING = {WRITES}, {WRITING}
_allowed = [pathlib.Path(os.environ["TINYBENCH_FUZZ_FOLDER"])]
"""


def _refuse_writes_elsewhere(event: str, arguments: tuple[object, ...]) -> None:
    if not _allowed or event not in WRITES:
        return
    if event == "open" and not (isinstance(arguments[2], int) and arguments[2] & WRITING):
        return
    for path in arguments[:2] if event in ("os.rename", "os.link") else arguments[:1]:
        if isinstance(path, str | bytes | os.PathLike):
            place = os.path.realpath(os.fsdecode(path))
            if place != os.devnull and not place.startswith((f"{_allowed[0]}/", "/proc/", "/dev/shm/")):
                raise PermissionError(1, "outside of the trial's folder", place)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A folder with images, two trained and tested runs, a plan and a cache."""
    root = tmp_path_factory.mktemp("world").resolve()
    rng = np.random.default_rng(0)
    for label in "ab":
        for index in range(6):
            path = root / "images" / label / f"{index}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(rng.integers(0, 256, (16, 16, 3), dtype=np.uint8)).save(path)
    (root / "plan.toml").write_text('name = "plan"\nmodels = ["svm"]\nseeds = 1\n[overrides]\nepochs = 1\n')
    (root / "cache").mkdir()
    choice = {"precision": "bf16", "channels_last": True, "compile": False}
    (root / "cache" / "precision.json").write_text(json.dumps({"a": choice}))
    (root / "net.py").write_text("x = (")
    (root / "guard").mkdir()
    hook = f"{inspect.getsource(_refuse_writes_elsewhere)}\nsys.addaudithook(_refuse_writes_elsewhere)\n"
    (root / "guard" / "sitecustomize.py").write_text(GUARD + hook)
    with contextlib.chdir(root), pytest.MonkeyPatch.context() as patch:
        for name in ("run", "other"):
            train(RECIPE, RunOptions(run_name=name, device="cpu", save_every=1))
            patch.setattr(sys, "argv", ["test.py", "--run", name, "--device", "cpu"])
            load("src/test.py").main()
        patch.setattr(sys, "argv", ["export.py", "--run", "run", "--parity_images", "1"])
        load("src/export.py").main()
        make_run(root / "results" / "plan" / "svm" / "seed0", "svm", epochs=1)
        shutil.copy("results/plan/svm/seed0/robustness.json", "results/run")
        patch.setattr(sys, "argv", ["explore_data.py", "--dataset", "images", "--image_size", "16"])
        load("src/explore_data.py").main()
        for name in ("published.csv", "model_comparison.csv"):
            shutil.copy(REPOSITORY / "results" / name, "results")
    sys.addaudithook(_refuse_writes_elsewhere)
    return root


@pytest.fixture
def trial(world, tmp_path, monkeypatch):
    """Run a command in a copy of the world; what it says is returned, and a traceback or a loss fails."""
    torch.set_num_threads(1)
    count = iter(range(10**9))

    def run(words, damage=lambda folder: None):
        folder = tmp_path / str(next(count))
        shutil.copytree(world, folder)
        damage(folder)
        before = digests(folder)
        monkeypatch.setenv("TINYBENCH_CACHE", str(folder / "cache"))
        status, said = call(words, folder)
        after = digests(folder)
        assert status in (0, 1, 2), (words, said)
        assert "Traceback" not in said, (words, said)
        lost = [name for name in before if name not in after and not name.endswith((".lock", ".tmp"))]
        assert not lost, (words, lost, said)
        kept = [name for name in before if name.startswith("images/")]  # test.py may test the other run, too
        assert all(after[name] == before[name] for name in kept), (words, said)
        shutil.rmtree(folder)
        return status, said

    return run


def digests(folder):
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).digest()
        for path in folder.rglob("*")
        if path.is_file()
    }


def load(script):
    return importlib.import_module(f"tinybench.cli.{Path(script).stem}")


def call(words, folder):
    """Call a command as its script does; its exit status and what it prints."""
    script, *flags = words
    out = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", errors="backslashreplace")
    before = sys.argv, os.environ.get("TINYBENCH_ALLOCATOR")
    sys.argv = [script, *flags]
    main = load(script).main
    _allowed.append(folder)
    try:
        with (
            contextlib.chdir(folder),
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(out),
            warnings.catch_warnings(),
        ):
            try:
                console.run(main)
            except SystemExit as error:
                status = error.code
            except BaseException:
                status = "an exception"
                traceback.print_exc()
    finally:
        _allowed.clear()
        sys.argv = before[0]
    out.flush()
    return status, out.buffer.getvalue().decode(errors="replace")


# ---- flags

TEXTS = (
    "", "x", "resnet", "svm", "alexnet", "run", "../run", "/", "a/b", "猫", "\n", "\x1b[2J", "$(id)", "caf\udce9",
    "-1", "0", "1", "2", "7", "16", "0.5", "1e-9", "1e308", "nan", "inf", "-inf", "99999999999999999999", "true",
    "32:16", "16:16", "none", "best", "cpu", "fp32", "fp16", "nowhere", "out/x", "results", "images", "images/a/0.png",
    "results/run/best_model.pth", "results/run/history.json", "plan.toml", "net.py",
)  # fmt: skip
# What a flag that decides how long a run takes may be.
SHORT = {
    "epochs": ("1", "0", "-1", "x", "2"), "repeats": ("1", "2", "0", "x"), "steps": ("1", "0", "2", "x"),
    "seeds": ("0", "1", "-1", "1000000000", "x"),
}  # fmt: skip
# Tracebacks that were asked for, other programs, or minutes.
NEVER = {"help", "debug", "download", "executor", "compile", "robustness", "track", "check"}


def flags_of(script):
    arguments = load(script).Arguments
    names = []
    for spec in dataclasses.fields(arguments):
        if isinstance(spec.type, type) and dataclasses.is_dataclass(spec.type):
            names += [inner.name for inner in dataclasses.fields(spec.type)]
        else:
            names.append(spec.name)
    return sorted(set(names) - NEVER)


@st.composite
def command_lines(draw):
    script = draw(st.sampled_from(COMMANDS))
    words = [script]
    for name in draw(st.lists(st.sampled_from([*flags_of(script), "unknown_flag"]), max_size=4)):
        words.append(f"--{name}")
        count = 1 if name in SHORT else draw(st.sampled_from((1, 1, 1, 1, 0, 2)))  # mostly what a flag takes
        words += [draw(st.sampled_from(SHORT.get(name, TEXTS))) for _ in range(count)]
    if script == "src/train.py":  # nothing that takes long, unless the flags say otherwise
        for name, value in (("recipe", "svm"), ("dataset", "images"), ("epochs", "1"), ("image_size", "16"),
                            ("batch_size", "4"), ("precision", "fp32")):  # fmt: skip
            if f"--{name}" not in words and not (name == "recipe" and "--model" in words):
                words += [f"--{name}", value]
    if script == "src/compare.py":
        words += [] if "--dry_run" in words else ["--status"]
    if script == "src/profile_step.py":
        for name, value in (("model", "svm"), ("image_size", "16"), ("batch_size", "4"), ("steps", "1")):
            if f"--{name}" not in words:
                words += [f"--{name}", value]
    if script in ("src/infer.py", "src/explain.py") and "--image" not in words:
        words += ["--image", "images/a"]
    if script == "src/curate_data.py" and "--source" not in words:
        words += ["--source", "images"]
    return words


def fuzz(share):
    return settings(
        max_examples=max(1, int(TRIALS * share)),
        deadline=None,
        database=None,
        phases=[Phase.generate],  # a trial that fails says all there is to say
        suppress_health_check=list(HealthCheck),
    )


@fuzz(0.5)
@given(words=command_lines())
def test_flags_of_any_kind(trial, words):
    trial(words)


# ---- files

VALUES = (None, True, -1, 0, 1, 2**70, 1.5, -1e308, "", "x", "10", [], {}, [1], {"a": 1}, [[]], "\ud800")


def replaced(value, rng):
    """The value with one place in it changed: another value, a key less, or nested deep."""
    if isinstance(value, dict) and value and rng.random() < 0.85:
        key = rng.choice(list(value))
        if rng.random() < 0.2:
            return {name: item for name, item in value.items() if name != key}
        return {**value, key: replaced(value[key], rng)}
    if isinstance(value, list) and value and rng.random() < 0.7:
        place = rng.randrange(len(value))
        return [*value[:place], replaced(value[place], rng), *value[place + 1 :]]
    return rng.choice(VALUES)


def toml(value):
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(key)} = {toml(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(toml, value)) + "]"
    return "1979-05-27" if value is None else json.dumps(value)  # TOML has dates, and no null


def damage_file(path, kind, seed):
    rng = random.Random(seed)
    data = path.read_bytes()
    match kind:
        case "cut":
            path.write_bytes(data[: rng.randrange(len(data))])
        case "flip":
            changed = bytearray(data)
            for _ in range(rng.randint(1, 20)):
                changed[rng.randrange(len(changed))] = rng.randrange(256)
            path.write_bytes(changed)
        case "deep":
            path.write_text("[" * 100_000)
        case "other":
            path.write_bytes(rng.choice((b"", b"\0" * 100, b"{}", b"[]", b"null", b"PK\x03\x04", b'"x"')))
        case "value" if path.suffix == ".json":
            path.write_text(json.dumps(replaced(json.loads(data), rng)))
        case "value" if path.suffix == ".toml":
            plan = replaced(tomllib.loads(data.decode()), rng)
            lines = (
                [f"{json.dumps(key)} = {toml(value)}" for key, value in plan.items()] if isinstance(plan, dict) else []
            )
            path.write_text("\n".join(lines))
        case "value" if path.suffix == ".pth":
            torch.save(replaced(torch.load(path, weights_only=True), rng), path)
        case "value" if path.suffix == ".npz":
            with np.load(path) as file:
                arrays = dict(file)
            name = rng.choice(list(arrays))
            others = (np.zeros(3), np.zeros((2, 2), np.int8), np.array(["x"]), np.full((4, 2), np.nan))
            arrays[name] = rng.choice(others)
            np.savez(path, **arrays)
        case _:
            path.write_bytes(data + bytes(rng.randrange(256) for _ in range(10)))


@fuzz(0.4)
@given(
    words=st.sampled_from(READERS),
    file=st.sampled_from(FILES),
    kind=st.sampled_from(["cut", "flip", "deep", "other", "value", "value", "value"]),
    seed=st.integers(0, 2**32),
)
def test_files_damaged_in_any_way(trial, words, file, kind, seed):
    trial(words, lambda folder: damage_file(folder / file, kind, seed))


@fuzz(0.1)
@given(
    split=st.sampled_from(["dataset.json", "train_images.npy", "test_labels.npy"]),
    kind=st.sampled_from(["cut", "flip", "other", "deep", "value"]),
    seed=st.integers(0, 2**32),
    words=st.sampled_from([READERS[0], READERS[5], READERS[8]]),
)
def test_packed_data_damaged_in_any_way(trial, split, kind, seed, words):
    def damage(folder):
        packed = next((folder / "data" / "curated").glob("images-16-*"))
        damage_file(packed / split, kind, seed)

    trial(words, damage)


@fuzz(0.02)
@given(words=command_lines())
def test_flags_of_any_kind_in_processes_of_their_own(world, tmp_path, words):
    folder = tmp_path / "world"
    shutil.copytree(world, folder)
    before = digests(folder)
    environment = {
        **os.environ, "TINYBENCH_CACHE": str(folder / "cache"), "TINYBENCH_FUZZ_FOLDER": str(folder),
        "PYTHONPATH": str(world / "guard"), "PYTHONDONTWRITEBYTECODE": "1", "TMPDIR": str(folder),
        "OMP_NUM_THREADS": "1",
    }  # fmt: skip
    command = [sys.executable, REPOSITORY / words[0], *words[1:]]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, stdin=subprocess.DEVNULL)
    said = done.stderr.decode(errors="replace")
    assert done.returncode in (0, 1, 2), (words, said)
    assert "Traceback" not in said, (words, said)
    assert before.keys() <= digests(folder).keys(), (words, said)
    shutil.rmtree(folder)


def test_the_guard_refuses_what_lies_elsewhere(world, tmp_path):
    outside = tmp_path / "outside"
    _allowed.append(world)
    try:
        for write in (lambda: outside.write_text("x"), outside.mkdir, lambda: (world / "net.py").rename(outside)):
            with pytest.raises(PermissionError):
                write()
    finally:
        _allowed.clear()
    assert (world / "net.py").read_text() == "x = ("
