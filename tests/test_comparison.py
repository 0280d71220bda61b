"""Plans, what becomes of their runs, and the table they end in."""

import csv
import dataclasses
import functools
import io
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import filelock
import pandas as pd
import pytest
import torch
from torch import nn

from tinybench.cli import compare, console
from tinybench.errors import Notice, UsageError
from tinybench.profiling import inference
from tinybench.report import collect
from tinybench.results.comparison import comparison_table, describe, write_comparison
from tinybench.results.runs import load_runs, same_as_best
from tinybench.runtime.files import read_json, write_json
from tinybench.sweep import estimate, launchers, runner, status, traces
from tinybench.sweep.plan import Plan, read_plan
from tinybench.sweep.run_one import HELD, LOG, RunPaths, run_one, run_one_logged
from tinybench.training.history import History

SMALL = {
    "dataset": "demo", "classes": 3, "images_per_class": 20, "image_size": 32, "epochs": 2, "warmup_epochs": 0,
    "batch_size": 16, "save_every": 0,
}  # fmt: skip
ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(autouse=True)
def short_measurements(monkeypatch):
    monkeypatch.setattr(inference, "SECONDS", 0.05)


@pytest.fixture
def paths(tmp_path, demo_data):
    return RunPaths(data_dir=demo_data, results_dir=tmp_path / "results", device="cpu")


def small_plan(**changes):
    return Plan(**{"name": "small", "models": ("alexnet",), "seeds": 1, "overrides": SMALL} | changes)


# ---- plans


def test_a_plan_is_models_times_seeds_with_overrides():
    runs = small_plan(
        models=("all", "resnet"), seeds=2, overrides=SMALL | {"lr": 0.5},
        overrides_for={"vit": {"lr": 0.25, "save_every": 5, "betas": [0.9, 0.95]}},
    ).runs()  # fmt: skip
    assert [run.save_every for run in runs[:8]] == [0, 0, 0, 0, 0, 5, 0, 0]
    assert runs[5].recipe.betas == (0.9, 0.95)
    compared = ("alexnet", "vgg", "resnet", "densenet", "efficientnet", "vit", "swin", "convnext")
    assert [run.name for run in runs] == [f"small/{name}/seed{seed}" for seed in (0, 1) for name in compared]
    assert {run.recipe.lr for run in runs if run.recipe_name == "vit"} == {0.25}
    assert {run.recipe.lr for run in runs if run.recipe_name != "vit"} == {0.5}
    assert [run.recipe.seed for run in runs if run.recipe_name == "vgg"] == [0, 1]
    assert runs[0].recipe.dropout == 0.5  # of config.py's recipe


def test_a_plan_compares_variants_of_a_recipe():
    variant = {"recipe": "vgg", "weight_decay": 0.5}
    vgg, heavy = small_plan(models=("vgg", "heavy"), seeds=1, overrides_for={"heavy": variant}).runs()
    assert (heavy.name, heavy.recipe_name) == ("small/heavy/seed0", "heavy")
    assert heavy.recipe == dataclasses.replace(vgg.recipe, weight_decay=0.5)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"models": ("lenet",)}, "unknown recipe 'lenet'; known: alexnet"),
        ({"models": ()}, "at least one model"),
        ({"seeds": 0}, "at least one model and one seed"),
        ({"seeds": (1, 1)}, "no seed twice"),
        ({"overrides": {"learning_rate": 1}}, "no field learning_rate"),
        ({"overrides": {"epochs": -1}}, "alexnet: epochs must be greater than"),
        ({"overrides": {"recipe": "vit"}}, "no field recipe"),
        ({"overrides": {"seed": 1}}, "counts its seeds itself"),
        ({"overrides_for": {"vit": {}}}, "overrides for vit, which the plan does not run"),
        ({"name": "a/b"}, "without separators"),
        ({"models": ("a/b",), "overrides_for": {"a/b": {"recipe": "vgg"}}}, "no separators"),
    ],
)
def test_wrong_plans_are_one_line(changes, named):
    with pytest.raises(UsageError, match=named):
        small_plan(**changes).runs()


def test_a_plan_from_a_file(tmp_path):
    path = tmp_path / "plan.toml"
    path.write_text(
        'name = "subset"\nmodels = ["resnet", "vit"]\nseeds = [3, 5]\n'
        "[overrides]\nepochs = 7\nwarmup_epochs = 1\n[overrides_for.vit]\nmodel_options = {patch_size = 16}\n"
    )
    runs = read_plan(path).runs()
    assert [run.name for run in runs] == [f"subset/{name}/seed{seed}" for seed in (3, 5) for name in ("resnet", "vit")]
    assert [run.recipe.epochs for run in runs] == [7] * 4
    assert [run.recipe.model_options for run in runs[:2]] == [{}, {"patch_size": 16}]
    for content, named in (
        ("models = 1", "models must be a valid list"),
        ("model = []", "no 'model'"),
        ("=", "no TOML"),
        ("seeds = " + 5000 * "9", "no TOML"),
        ("x = " + 9999 * "[", "no TOML"),
    ):
        path.write_text(content)
        with pytest.raises(UsageError, match=named):
            read_plan(path)
    for content, named in (
        ("seeds = 1_000_000_000", "up to 1,000"),
        ("seeds = 0x" + 5000 * "f", "up to 1,000"),
        ('models = ["svm"]\n[overrides_for.svm]\nrecipe = ["svm"]', "recipe must be a valid string"),
        ('[overrides]\nmomentum = "0.9"', "momentum must be a valid number, not '0.9'"),
        ("[overrides]\nsave_every = -1", "save_every must be greater than or equal to 0"),
    ):
        path.write_text(content)
        with pytest.raises(UsageError, match=named):
            read_plan(path).runs()
    with pytest.raises(UsageError, match=r"cannot read .*none\.toml"):
        read_plan(tmp_path / "none.toml")


def test_the_flag_save_every_holds_for_every_run(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["compare.py", "--models", "svm", "--save_every", "4"])
    assert {run.save_every for run in compare.make_plan(console.parse(compare.Arguments, "")).runs()} == {4}


# ---- runs


def test_a_run_leaves_everything_and_is_never_repeated(paths):
    (run,) = small_plan(overrides=SMALL | {"ema_decay": 0.9, "save_every": 1}).runs()
    assert status.status_of(run, paths.results_dir).state == "waiting"
    assert run_one_logged(run, paths) is None
    folder = paths.results_dir / run.name
    assert {path.name for path in folder.iterdir()} >= {
        "history.json", "best_model.pth", "test_results.json", "predictions.npz", "measurements.json", "log.txt",
        "checkpoint_epoch_1.pth",
    }  # fmt: skip
    (found,) = load_runs(paths.results_dir)
    assert found.tests.keys() == {"best", "last", "ema"}
    tested = {"test_results.json", "test_results_last.json", "test_results_ema.json"}
    tested.discard(f"test_results_{same_as_best(found.history)}.json")
    assert {path.name for path in folder.glob("test_results*")} == tested
    state = status.status_of(run, paths.results_dir)
    assert (state.state, state.epochs) == ("finished", 2)
    with pytest.raises(UsageError, match=r"holds a run with lr 0\.02, not 0\.5; give the plan another --name"):
        status.status_of(small_plan(overrides=SMALL | {"ema_decay": 0.9, "lr": 0.5}).runs()[0], paths.results_dir)


def test_weights_that_are_the_best_ones_are_not_tested_again(paths, monkeypatch):
    (run,) = small_plan().runs()
    monkeypatch.setattr(History, "_is_better", lambda *_: True)
    run_one(run, paths)
    assert [path.name for path in (paths.results_dir / run.name).glob("test_results*")] == ["test_results.json"]
    (found,) = load_runs(paths.results_dir)
    assert found.tests["last"] == found.tests["best"]


def test_a_run_that_was_tested_only_in_part_is_not_trained_again(paths):
    (run,) = small_plan().runs()
    run_one(run, paths)
    folder = paths.results_dir / run.name
    before = (folder / "history.json").read_bytes(), (folder / "best_model.pth").read_bytes()
    (folder / "measurements.json").unlink()
    assert status.status_of(run, paths.results_dir).state == "trained"
    run_one(run, paths)
    assert before == ((folder / "history.json").read_bytes(), (folder / "best_model.pth").read_bytes())
    assert status.status_of(run, paths.results_dir).state == "finished"


def test_a_plan_that_only_validates_leaves_the_test_split_alone(paths, capsys):
    (run,) = small_plan(validate_only=True).runs()
    waiting = {run.name: status.status_of(run, paths.results_dir)}
    assert runner.carry_out([run], waiting, paths, lambda *_: iter([(run, run_one_logged(run, paths))])) == []
    assert "validation" in capsys.readouterr().out
    assert not list((paths.results_dir / run.name).glob("test_results*"))
    assert status.status_of(run, paths.results_dir).state == "finished"
    (tested,) = small_plan().runs()
    assert status.status_of(tested, paths.results_dir).state == "trained"


def test_a_failing_run_is_reported_and_the_others_go_on(paths, capsys):
    # A ViT cannot cut 32 pixels into patches of 7; the recipe itself cannot know that.
    runs = small_plan(models=("vit", "alexnet"), overrides_for={"vit": {"model_options": {"patch_size": 7}}}).runs()
    statuses = {run.name: status.status_of(run, paths.results_dir) for run in runs}

    def execute_all(runs, paths, watch):
        return ((run, run_one_logged(run, paths)) for run in runs)

    failed = runner.carry_out(runs, statuses, paths, execute_all)
    assert [run.recipe_name for run in failed] == ["vit"]
    assert "patch" in capsys.readouterr().out
    found = status.status_of(runs[0], paths.results_dir)
    assert found.state == "failed"
    assert "patch" in found.note
    assert status.status_of(runs[1], paths.results_dir).state == "finished"


@pytest.mark.parametrize("lock", [".lock", traces.LOCK])
def test_a_run_that_another_process_holds_is_left_alone(paths, lock, capsys):
    (run,) = small_plan().runs()
    folder = paths.results_dir / run.name
    folder.mkdir(parents=True)
    with filelock.FileLock(folder / lock):
        found = status.status_of(run, paths.results_dir)
        assert found.state == "running"
        outcomes = [(run, run_one_logged(run, paths))]
        assert outcomes == [(run, HELD)]
        assert runner.carry_out([run], {run.name: found}, paths, lambda *_: iter(outcomes)) == []
    assert "left to another process" in capsys.readouterr().out
    assert not (folder / traces.ERROR).exists()
    assert status.status_of(run, paths.results_dir).state == "waiting"


def test_a_run_that_another_process_finished_meanwhile_is_not_repeated(paths):
    (run,) = small_plan().runs()
    run_one(run, paths)
    folder = paths.results_dir / run.name
    before = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert run_one_logged(run, paths) is None
    assert {path.name: path.stat().st_mtime_ns for path in folder.iterdir() if path.name != traces.LOCK} == before


def test_a_full_disk_is_called_so(paths):
    (run,) = small_plan().runs()
    folder = paths.results_dir / run.name
    folder.mkdir(parents=True)
    (folder / LOG).symlink_to("/dev/full")
    ((_, reason),) = launchers.run_here([run], paths, lambda run: None)
    assert reason == "No space left on device; free some space and run the command again"


def test_the_status_tells_averaged_weights_from_plain_ones(paths):
    (run,) = small_plan(overrides=SMALL | {"ema_decay": 0.9}).runs()
    make_run(paths.results_dir, run.name, 40.0, 0)
    path = paths.results_dir / run.name / "history.json"
    write_json(path, read_json(path) | {"config": run.recipe.as_dict(), "ema_val_acc": [9.0, 14.0]})
    assert status.status_of(run, paths.results_dir).note == "validation 14.00 %, averaged weights"
    write_json(path, read_json(path) | {"ema_val_acc": [9.0, 12.0]})
    assert status.status_of(run, paths.results_dir).note == "validation 12.00 %"
    write_json(path, read_json(path) | {"val_acc": [60.0, 20.0], "best_epoch": 2})  # the first on smaller images
    assert status.status_of(run, paths.results_dir).note == "validation 20.00 %"
    path.write_text("{")
    assert status.status_of(run, paths.results_dir).note.endswith("history.json is damaged")


def command(*arguments, paths):
    words = [f"--{name}={value}" for name, value in SMALL.items()]
    folders = ["--data_dir", paths.data_dir, "--results_dir", paths.results_dir, "--device", "cpu"]
    return [sys.executable, str(ROOT / "src" / "compare.py"), *map(str, (*arguments, *words, *folders))]


def test_the_command_is_stopped_and_goes_on_to_the_same_weights(paths, tmp_path):
    arguments = command("--name", "small", "--models", "alexnet", "--seeds", "1", paths=paths)
    run = functools.partial(subprocess.run, capture_output=True, text=True)
    process = subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    history = paths.results_dir / "small" / "alexnet" / "seed0" / "history.json"
    wait_for(history.exists)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    shown = run([sys.executable, "-X", "importtime", *arguments[1:], "--status"])
    assert not re.search(r"\| +torch$", shown.stderr, re.MULTILINE)  # whose import takes seconds
    # One epoch takes a second: by the time the signal arrives, the second one may be over.
    if process.returncode:
        assert process.returncode == 128 + signal.SIGINT
        assert any(line.endswith("the same command goes on") for line in errors.splitlines())
        assert "seed0" in shown.stdout
    done = run(arguments)
    assert done.returncode == 0, done.stderr
    assert "no interval from one seed" in done.stdout
    again = run(arguments)
    assert "0 of 1 runs are left" in again.stdout

    reference = RunPaths(data_dir=paths.data_dir, results_dir=tmp_path / "reference", device="cpu")
    run_one(small_plan().runs()[0], reference)
    weights = [
        torch.load(folder / "small" / "alexnet" / "seed0" / "best_model.pth", weights_only=True)["state_dict"]
        for folder in (paths.results_dir, reference.results_dir)
    ]
    assert all(torch.equal(weights[0][key], weights[1][key]) for key in weights[1])


def wait_for(condition, seconds=120):
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.05)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("--models", "lenet"), "unknown recipe"),
        (("--only", "vgg", "--models", "alexnet"), "no such run"),
        (("--gpus_per_run", "1"), "goes with --executor ray"),
        (("--seeds", "many"), "seeds"),
    ],
)
def test_wrong_commands_are_one_line(arguments, named, paths):
    done = subprocess.run(command(*arguments, paths=paths), capture_output=True, text=True)
    assert done.returncode == 2
    assert named in done.stderr
    assert "Traceback" not in done.stderr


def test_a_dry_run_shows_the_plan_and_does_nothing(paths):
    arguments = command("--dry_run", "--models", "alexnet", "resnet", "--seeds", "2", paths=paths)
    done = subprocess.run(arguments, capture_output=True, text=True, check=True)
    assert "4 of 4 runs are left" in done.stdout
    assert "one after the other on this machine: about" in done.stdout
    assert not paths.results_dir.exists()


def test_an_estimate_counts_the_pixels_of_each_epoch_and_the_optimizer_once_a_step(paths, monkeypatch):
    monkeypatch.setattr(
        estimate, "step_seconds", lambda *_, batch_size, optimize=True, rounds: 2.0 * optimize + 0.5 * batch_size
    )
    changes = {"epochs": 3, "image_size": 64, "image_size_schedule": "32*2:48"}
    run = small_plan(overrides=SMALL | changes | {"batch_size": 40}).runs()[0]
    train, validation, image = 48, 12, 0.5 + 2 / 40
    expected = [image * (train / 4 + validation / 3 / 4)] * 2 + [image * (train * 0.75**2 + validation / 3)]
    assert estimate.epoch_seconds(run, paths) == pytest.approx(expected)


@pytest.mark.parametrize(("answer", "begun"), [("y", True), ("", False), (None, False)])
def test_what_takes_more_than_a_day_is_asked_about(paths, monkeypatch, answer, begun):
    monkeypatch.setattr(runner, "epoch_seconds", lambda *_: [90_000.0] * 2)
    monkeypatch.setattr(runner, "carry_out", lambda runs, *_: started.extend(runs))
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"{answer}\n"))
    monkeypatch.setattr(sys.stdin, "isatty", lambda: answer is not None, raising=False)
    started = []
    flags = ["--models", "svm", "--seeds", "1", "--dataset", "demo", "--epochs", "2", "--results_dir"]
    monkeypatch.setattr(sys, "argv", ["compare.py", *flags, str(paths.results_dir)])
    if begun:
        compare.main()
    else:
        with pytest.raises(UsageError, match=r"about 2 d 2 h; start it with --yes"):
            compare.main()
    assert bool(started) == begun
    monkeypatch.setattr(sys, "argv", [*sys.argv, "--yes"])
    compare.main()
    assert started


# ---- Ray


def patiently(start):
    """Ray gives a node 30 seconds to start, which are too few where all cores are busy."""
    for _ in range(2):
        try:
            return start()
        except Exception as error:
            if "timed out" not in str(error):
                raise
    return start()


def test_a_ray_cluster_loses_a_worker_and_ends_with_every_result(paths, monkeypatch):
    """All but the run that is called off after an epoch; runs are taken as there is room for them."""
    monkeypatch.setenv("RAY_worker_niceness", "0")  # Ray's workers stand back, and would starve on a busy machine
    ray = pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    cluster = patiently(
        lambda: Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    )
    nodes = [patiently(lambda: cluster.add_node(num_cpus=1)) for _ in range(2)]
    runs = small_plan(seeds=3, overrides=SMALL | {"epochs": 4}).runs()
    try:

        def lose_a_node():
            wait_for(lambda: any(paths.results_dir.rglob("history.json")))
            cluster.remove_node(nodes[0], allow_graceful=False)

        threading.Thread(target=lose_a_node, daemon=True).start()

        def watch(run):
            return run is runs[-1] and status.epochs_done(run, paths.results_dir) > 0

        ended = launchers.run_on_ray(iter(runs), paths, watch, address=cluster.address)
        outcomes = {run.name: reason for run, reason in ended}
        again = list(launchers.run_on_ray([], paths, watch, address=cluster.address))  # as a search does
    finally:
        ray.shutdown()
        cluster.shutdown()
    assert again == []
    *others, called_off = runs
    assert outcomes == {run.name: None for run in others} | {called_off.name: launchers.CALLED_OFF}
    assert all(status.status_of(run, paths.results_dir).state == "finished" for run in others)
    assert 0 < status.epochs_done(called_off, paths.results_dir) < called_off.recipe.epochs


# ---- costs


def test_flops_of_a_network_counted_by_hand():
    model = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.Flatten(), nn.Linear(8 * 16 * 16, 10))
    assert inference.count_flops(model, 16) == 2 * (16 * 16 * 8 * 3 * 9 + 8 * 16 * 16 * 10)


def test_attention_counts_too():
    from tinybench.models import build_model

    model = build_model("vit", num_classes=10)
    tokens, dim, depth = 65, 384, 12
    dense = tokens * (4 * dim * dim + 2 * 4 * dim * dim)
    attention = 2 * tokens * tokens * dim
    expected = 2 * depth * (dense + attention)
    assert inference.count_flops(model, 64) == pytest.approx(expected, rel=0.03)  # patches and head come on top


# ---- the table


def make_run(results_dir, name, accuracy, seed, data="demo", **weights):
    folder = results_dir / name
    folder.mkdir(parents=True)
    config = {"model": "resnet", "epochs": 2, "image_size": 64, "seed": seed, "precision": "fp32"}
    write_json(
        folder / "history.json",
        {
            "train_loss": [1.0, 0.5], "train_acc": [10.0, 20.0], "val_loss": [1.0, 0.9], "val_acc": [10.0, 12.0],
            "lr": [0.1, 0.0], "images_per_second": [10.0, 20.0], "epoch_seconds": [1800.0, 1800.0], "config": config,
            "environment": {"device": "cpu", "device_name": "a processor"}, "best_epoch": 2,
            "dataset": {"name": data, "classes": 10, "train_images": 100}, "peak_memory_mb": 100.0 + seed,
            "total_training_time_seconds": 3600.0,
        },
    )  # fmt: skip
    for suffix, value in {"": accuracy, **weights}.items():
        results = {"test_acc": value, "test_top5_acc": 90.0, "nll": 1.0, "ece": 0.1, "val_acc": 12.0}
        write_json(folder / f"test_results{suffix}.json", results)
    inference = {"latency_ms": 5.0, "images_per_second": 100.0}
    write_json(folder / "measurements.json", {"parameters": 2_000_000, "flops": 4 * 10**9, "inference": inference})


def test_the_table_is_a_row_a_model_with_means_over_seeds(tmp_path):
    for seed, accuracy in enumerate((40.0, 50.0, 60.0)):
        make_run(tmp_path, f"plan/resnet/seed{seed}", accuracy, seed, _last=accuracy - 10)
    make_run(tmp_path, "plan/vgg/seed0", 70.0, 0)
    make_run(tmp_path, "alone", 99.0, 0)
    table = write_comparison(tmp_path)
    assert table["recipe"].tolist() == ["vgg", "resnet"]
    row = table.iloc[1]
    assert (row["test_acc_mean"], row["last_acc_mean"], row["seeds"]) == (50, 40, 3)
    # Student's t with two degrees of freedom: 4.3027 standard errors of 10 / sqrt(3).
    assert row["test_acc_high"] - 50 == pytest.approx(4.302653 * 10 / 3**0.5, rel=1e-5)
    assert pd.isna(table.iloc[0]["test_acc_low"])
    assert pd.isna(row["ema_acc_mean"])
    assert (row["acc_per_hour"], row["acc_per_million_parameters"], row["acc_per_gflop"]) == (50, 25, 12.5)
    assert row["peak_memory_mb"] == 102
    assert "no interval from one seed" in describe(table)
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "model_comparison.csv"), table, check_dtype=False, rtol=1e-5)


def test_an_exported_network_has_a_row_of_its_own(tmp_path):
    for seed in range(2):
        make_run(tmp_path, f"plan/resnet/seed{seed}", 40.0, seed, _network_int8=39.0 + seed)
        (tmp_path / "plan" / "resnet" / f"seed{seed}" / "network_int8.onnx").touch()
    make_run(tmp_path, "plan/vgg/seed0", 39.0, 0, _network=10.0)  # whose file is gone
    table = write_comparison(tmp_path)
    assert table["recipe"].tolist() == ["resnet", "resnet (network_int8.onnx)", "vgg"]
    row = table.iloc[1]
    assert (row["test_acc_mean"], row["seeds"], row["flops"]) == (39.5, 2, 4 * 10**9)
    assert pd.isna(row["latency_ms"])  # that of torch is not its own
    boards = collect(tmp_path)["groups"]
    assert [[row["label"] for row in board["rows"]] for board in boards] == [
        ["plan/resnet (network_int8.onnx), ResNet-18", "plan/resnet, ResNet-18", "plan/vgg, ResNet-18"]
    ]
    assert not any("may be out of date" in notice for board in boards for notice in board["notices"])


def test_runs_that_are_not_finished_are_left_out(tmp_path):
    make_run(tmp_path, "plan/resnet/seed0", 40.0, 0)
    (tmp_path / "plan" / "resnet" / "seed0" / "measurements.json").unlink()
    table = comparison_table(load_runs(tmp_path))
    assert "no run of the plan is finished" in describe(table[table["plan"] == "plan"])


def test_a_run_takes_a_gpu_where_the_cluster_has_some():
    assert launchers.usual_gpus({"CPU": 8.0, "GPU": 2.0}, "auto") == 1
    assert launchers.usual_gpus({"CPU": 8.0, "GPU": 2.0}, "cpu") == 0
    assert launchers.usual_gpus({"CPU": 8.0}, "auto") == 0


def test_the_table_tells_averaged_weights_from_plain_ones(tmp_path):
    for seed in range(3):
        make_run(tmp_path, f"plan/resnet/seed{seed}", 40.0 + seed, seed)
    path = tmp_path / "plan" / "resnet" / "seed1" / "history.json"
    write_json(path, read_json(path) | {"ema_val_acc": [9.0, 14.0]})
    table = comparison_table(load_runs(tmp_path))
    assert table["best_weights"].tolist() == ["averaged in 1 of 3"]
    assert table["val_acc_mean"].item() == pytest.approx((12 + 14 + 12) / 3)
    assert "averaged in 1 of 3" in describe(table)


def test_a_table_that_says_the_same_is_not_written_again_and_demo_rows_do_not_go_into_it(tmp_path):
    make_run(tmp_path, "plan/resnet/seed0", 100 / 3, 0, data="tiny-imagenet")
    write_comparison(tmp_path)
    path = tmp_path / "model_comparison.csv"
    assert ",33.3333," in path.read_text()
    other_form = path.read_text().replace(",33.3333,", f",{100 / 3},")
    path.write_text(other_form)
    make_run(tmp_path, "trial/resnet/seed0", 99.0, 0)
    with pytest.warns(Notice, match="runs on the demo data are not in"):
        assert set(write_comparison(tmp_path)["plan"]) == {"plan", "trial"}
    assert path.read_text() == other_form
    make_run(tmp_path, "plan/vgg/seed0", 99.0, 0, data="tiny-imagenet")
    write_comparison(tmp_path)
    assert pd.read_csv(path)["recipe"].tolist() == ["vgg", "resnet"]


def test_a_training_in_two_plans_stands_in_the_rows_of_both(tmp_path):
    for plan in ("a", "b"):
        make_run(tmp_path, f"{plan}/resnet/seed0", 40.0, 0)
    assert comparison_table(load_runs(tmp_path))["plan"].tolist() == ["a", "b"]


def test_names_that_begin_like_formulas_are_harmless(tmp_path):
    make_run(tmp_path, "=1+2/-x/seed0", 40.0, 0)
    table = write_comparison(tmp_path)
    assert table["plan"].tolist() == ["=1+2"]
    (row,) = csv.DictReader((tmp_path / "model_comparison.csv").open())
    assert (row["plan"], row["recipe"], row["model"]) == ("'=1+2", "'-x", "resnet")
