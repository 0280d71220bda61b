"""Experiment trackers: what each holds of a run that was stopped, resumed, and trained again from an earlier epoch."""

import dataclasses
import json
import os
import struct
import sys
from typing import NamedTuple, get_args

import pytest
import torch
from test_command_line import run_command
from test_testing import main_of
from test_training import TINY, assert_same, options, stop_after

from tinybench.cli import train as command
from tinybench.errors import UsageError, UserError, noticed
from tinybench.inference.checkpoint import read_checkpoint
from tinybench.recipe import Recipe, RunOptions, TrackerName
from tinybench.runs import find_runs
from tinybench.sweep.watch import watched
from tinybench.training import tracking
from tinybench.training.saving import TRACKED, Stopped
from tinybench.training.trackers import TRACKERS
from tinybench.training.trackers.base import PROJECT, STEP_LOSS, Tracker
from tinybench.training.tracking import TAGS
from tinybench.training.trainer import train

FILES = {"history.json", "best_model.pth"}
NAMES = get_args(TrackerName)


@pytest.fixture(scope="module", autouse=True)
def _nobody_logged_in(tmp_path_factory):
    """No account, server or folder of whoever runs the tests."""
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith(("WANDB_", "MLFLOW_", "TRACKIO_"))]:
            patch.delenv(name)
        for name in ("HOME", "NETRC", "HF_HOME", "TRACKIO_DIR", *(f"WANDB_{kind}_DIR" for kind in ("CACHE", "DATA"))):
            patch.setenv(name, str(home / name.lower()))
        yield
        if wandb := sys.modules.get("wandb"):
            wandb.teardown()  # the process beside this one


class Tracked(NamedTuple):
    """What a tracker holds: epochs and values by tag, losses of steps by images, recipe, names of files."""

    curves: dict
    steps: list
    recipe: dict
    files: set


def of_tensorboard(run):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

    def scalars(folder):
        events = EventAccumulator(str(folder), size_guidance={"scalars": 0})
        events.Reload()
        found = {tag: [(e.step, e.value) for e in events.Scalars(tag)] for tag in events.Tags()["scalars"]}
        return events, found

    events, curves = scalars(run.folder)
    content = events.SummaryMetadata("_hparams_/session_start_info").plugin_data.content
    fields = HParamsPluginData.FromString(content).session_start_info.hparams
    recipe = {name: getattr(value, value.WhichOneof("kind")) for name, value in fields.items()}
    steps = scalars(run.folder / "steps")[1]
    assert steps.keys() == {STEP_LOSS}
    return Tracked(curves, steps[STEP_LOSS], recipe, FILES)


def wandb_records(path):
    """The records of a run's file: in blocks of 32 KiB, each piece behind its checksum, length and kind."""
    from wandb.proto.wandb_internal_pb2 import Record

    data, place, record = path.read_bytes(), 7, b""
    assert data[:4] == b":W&B"
    while place < len(data):
        if 32768 - place % 32768 < 7:
            place += 32768 - place % 32768
            continue
        _, length, kind = struct.unpack("<IHB", data[place : place + 7])
        record += data[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (1, 4):  # whole, or the last piece
            yield Record.FromString(record)
            record = b""


def of_wandb(run):
    curves, steps, recipe, files = {}, [], {}, set()
    folders = sorted((run.folder / "wandb").glob("offline-run-*"), key=lambda folder: folder.stat().st_mtime)
    assert len({folder.name.rpartition("-")[2] for folder in folders}) == 1  # one run, in as many parts as processes
    for folder in folders:
        (path,) = folder.glob("*.wandb")
        for record in wandb_records(path):
            for item in record.config.update:
                recipe[item.key] = json.loads(item.value_json)
            row = {item.key or item.nested_key[0]: json.loads(item.value_json) for item in record.history.item}
            if STEP_LOSS in row:
                steps.append((row["images"], row[STEP_LOSS]))
            for tag, value in row.items():
                if "epoch" in row and "/" in tag:
                    curves.setdefault(tag, []).append((row["epoch"], value))
            if record.HasField("artifact"):
                files |= {entry.path for entry in record.artifact.manifest.contents}
    return Tracked(curves, steps, recipe, files)


def of_mlflow(run):
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{run.results_dir}/.mlflow/mlflow.db")
    experiment = client.get_experiment_by_name(PROJECT)
    (found,) = client.search_runs([experiment.experiment_id])
    assert (found.info.run_name, found.info.status) == (run.run_name, "FINISHED")
    curves = {
        tag: [(m.step, m.value) for m in client.get_metric_history(found.info.run_id, tag)]
        for tag in found.data.metrics
        if tag not in ("epoch", "images")
    }
    steps = curves.pop(STEP_LOSS)
    files = {file.path for file in client.list_artifacts(found.info.run_id)}
    return Tracked(curves, steps, found.data.params, files)


def of_trackio(run):
    import trackio
    from trackio.sqlite_storage import SQLiteStorage

    (found,) = (each for each in trackio.Api().runs(PROJECT) if each.name == run.run_name)
    rows = SQLiteStorage.get_logs(PROJECT, run.run_name, run_id=found.id)
    curves = {}
    for row in rows:
        for tag, value in row.items():
            if "epoch" in row and "/" in tag:
                assert row["step"] == row["epoch"]
                curves.setdefault(tag, []).append((row["epoch"], value))
    steps = [(row["images"], row[STEP_LOSS]) for row in rows if STEP_LOSS in row]
    outputs = SQLiteStorage.get_run_artifacts(PROJECT, run.run_name, found.id)["output"]
    files = {artifact["name"].removeprefix("run-") for artifact in outputs}
    return Tracked(curves, steps, found.config, files)


READERS = {"tensorboard": of_tensorboard, "wandb": of_wandb, "mlflow": of_mlflow, "trackio": of_trackio}


@pytest.fixture(scope="module")
def untracked(demo_data, tmp_path_factory):
    run = options(demo_data, tmp_path_factory.mktemp("untracked"))
    train(TINY, run)
    return run


@pytest.fixture(scope="module")
def tracked(demo_data, tmp_path_factory):
    """A run in all trackers: stopped in its second epoch, resumed to its end, its third epoch trained a second time."""
    run = options(demo_data, tmp_path_factory.mktemp("tracked"), track=NAMES, save_every=1)
    with noticed() as notices:
        with pytest.MonkeyPatch.context() as patch:
            stop_after(patch, 7)
            with pytest.raises(Stopped, match="--track tensorboard wandb mlflow trackio"):
                train(TINY, run)
        train(TINY, run, resume=run.folder / "last.pth")
        train(TINY, run, resume=run.folder / "checkpoint_epoch_2.pth")
    assert notices == [f"wandb is not logged in (wandb login): it records offline, in {run.folder}/wandb"]
    return run


def test_every_name_of_the_flag_has_a_tracker_and_a_test():
    assert tuple(TRACKERS) == NAMES == tuple(READERS)


def test_a_tracked_run_is_the_untracked_one_bit_for_bit(tracked, untracked):
    for file in ("last.pth", "best_model.pth"):
        assert_same(read_checkpoint(tracked.folder / file), read_checkpoint(untracked.folder / file))


@pytest.mark.parametrize("name", NAMES)
def test_a_tracker_holds_every_epoch_and_step_of_a_resumed_run_once(tracked, name):
    held = READERS[name](tracked)
    history = json.loads((tracked.folder / "history.json").read_text())
    assert {key for key, values in history.items() if isinstance(values, list)} <= TAGS.keys()
    assert len(history["train_loss"]) == 3
    for key in TAGS.keys() & history.keys() - {"peak_memory_mb", "epoch_seconds", "images_per_second"}:
        epochs, values = zip(*held.curves[TAGS[key]], strict=True)
        assert (epochs, values) == ((1, 2, 3), pytest.approx(history[key], rel=1e-6)), key
    for tag in ("speed/epoch_seconds", "speed/images_per_second", "system/peak_memory_mb"):
        assert {epoch for epoch, value in held.curves[tag] if value > 0} >= {3}, tag
    images, losses = zip(*held.steps, strict=True)
    assert images == tuple(range(32, 15 * 32 + 1, 32))
    by_epoch = torch.tensor(losses).view(3, -1)
    assert by_epoch.mean(1).tolist() == pytest.approx(history["train_loss"], rel=1e-5)
    assert by_epoch.std(1).min() > 0
    for field, value in Recipe.from_dict(history["config"]).as_dict().items():
        assert held.recipe[field] in (value, str(value)), field
    assert held.files == FILES


def test_copies_in_a_store_of_mlflow_are_no_runs(tracked):
    assert list(tracked.results_dir.rglob(".mlflow/**/best_model.pth"))
    assert find_runs(tracked.results_dir).keys() == {"run"}
    assert [run.name for run in watched(tracked.results_dir)] == ["run"]


def test_an_overwriting_run_is_tracked_anew(demo_data, tmp_path):
    quick = dataclasses.replace(TINY, epochs=1)
    run = options(demo_data, tmp_path, "again", track=("trackio",))
    places = []
    for overwrite in (False, True):
        train(quick, run, overwrite=overwrite)
        places.append(json.loads((run.folder / TRACKED).read_text())["trackio"])
    assert places[0] | {"id": ""} == places[1] | {"id": ""} == {"id": "", "epochs": 1, "images": 160}
    assert places[0]["id"] != places[1]["id"]
    train(quick, options(demo_data, tmp_path, "again"), overwrite=True)
    assert not (run.folder / TRACKED).exists()


class Failing(Tracker):
    """A tracker that fails in one of its methods, and in closing then."""

    packages, install, view = (), "", "nowhere"
    method = ""
    called: list[str]

    def __init__(self, run):
        self.place = {"id": "", "epochs": 0, "images": 0}
        self._call("__init__")

    def _call(self, name):
        self.called.append(name)
        if name == self.method or self.method in self.called:
            raise OSError(28, "No space left\non device")

    def log_epoch(self, epoch, values):
        self._call("log_epoch")

    def log_steps(self, losses):
        self._call("log_steps")

    def log_files(self, paths):
        assert all(path.exists() for path in paths)
        self._call("log_files")

    def close(self, finished):
        self._call("close")


@pytest.mark.parametrize(
    ("method", "called"),
    [
        ("__init__", ["__init__"]),
        ("log_steps", ["__init__", "log_steps", "close"]),
        ("log_epoch", ["__init__", "log_steps", "log_epoch", "close"]),
        ("log_files", ["__init__", *["log_steps", "log_epoch"] * 3, "log_files", "close"]),
        ("close", ["__init__", *["log_steps", "log_epoch"] * 3, "log_files", "close"]),
    ],
)
def test_a_tracker_that_fails_is_one_notice_and_the_training_goes_on(
    demo_data, tmp_path, untracked, monkeypatch, method, called
):
    failing = type("Failing", (Failing,), {"method": method, "called": []})
    monkeypatch.setitem(TRACKERS, "wandb", failing)
    run = options(demo_data, tmp_path, track=("wandb", "tensorboard"))
    with noticed() as notices:
        train(TINY, run)
    says = "--track wandb has failed, and the training goes on without it: [Errno 28] No space left on device"
    assert notices == [says]
    assert failing.called == called
    assert_same(read_checkpoint(run.folder / "last.pth"), read_checkpoint(untracked.folder / "last.pth"))
    assert len(of_tensorboard(run).curves["loss/train"]) == 3


def test_a_server_that_is_not_there_leaves_the_training_alone(demo_data, tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with noticed() as notices:
        train(dataclasses.replace(TINY, epochs=1), options(demo_data, tmp_path, track=("mlflow",)))
    (says,) = notices
    assert says.startswith("--track mlflow has failed, and the training goes on without it: API request to http://127.")
    assert not (tmp_path / ".mlflow").exists()


@pytest.mark.parametrize(
    "text", ["{", "[]", '{"wandb": {"id": 1}}', '{"wandb": {"id": "x", "epochs": "2", "images": 0}}']
)
def test_a_damaged_note_of_where_the_run_stands_is_named(demo_data, tmp_path, text):
    run = options(demo_data, tmp_path)
    recipe = dataclasses.replace(TINY, epochs=1, total_epochs=3)
    train(recipe, run)
    (run.folder / TRACKED).write_text(text)
    with pytest.raises(UserError, match=rf"run/{TRACKED} is damaged"):
        train(recipe, dataclasses.replace(run, track=("tensorboard",)), resume=run.folder / "last.pth")


def test_the_main_process_alone_tracks(demo_data, tmp_path, monkeypatch):
    monkeypatch.setattr(tracking, "is_main", lambda: False)
    run = options(demo_data, tmp_path, track=NAMES)
    train(dataclasses.replace(TINY, epochs=1), run)
    assert {path.name for path in run.folder.iterdir()} <= {*FILES, "last.pth", ".lock"}


@pytest.mark.parametrize(("name", "package"), [(name, each) for name in NAMES for each in TRACKERS[name].packages])
def test_a_missing_package_is_found_before_anything_is_done(demo_data, tmp_path, monkeypatch, name, package):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(UsageError, match=rf"^--track {name} needs what is not installed: pip install .*{package}"):
        train(TINY, options(demo_data, tmp_path, track=(name,)))
    assert not (tmp_path / "run").exists()


def test_a_missing_package_is_one_line(tmp_path):
    (tmp_path / "trackio.py").write_text("raise ImportError('broken')")
    done = run_command("train.py", "--track", "trackio", "--results_dir", tmp_path / "out", PYTHONPATH=str(tmp_path))
    says = "error: --track trackio needs what is not installed: pip install trackio\n"
    assert (done.returncode, done.stdout, done.stderr.decode()) == (2, b"", says)


@pytest.mark.parametrize(
    ("words", "track"),
    [
        ((), ()),
        (("--track",), ("tensorboard",)),
        (("--track", "--verbose"), ("tensorboard",)),
        (("--track", "mlflow", "wandb", "mlflow"), ("mlflow", "wandb")),
    ],
)
def test_the_flag(monkeypatch, words, track):
    monkeypatch.setattr(sys, "argv", ["train.py", *words])
    run = command.parse_arguments(None)[1].options()
    assert run.track == track
    assert ("--track" in run.command("src/train.py")) == bool(track)
    assert "--track" not in run.command("src/test.py")


def test_an_unknown_tracker_is_refused(monkeypatch):
    with pytest.raises(UsageError, match="invalid choice 'comet' for argument '--track'"):
        main_of("train.py", monkeypatch, "--track", "comet")
    with pytest.raises(UsageError, match="track"):
        RunOptions(run_name="run", track=("comet",))
