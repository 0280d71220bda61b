"""Testing checkpoints that are not simply the best of a run: other files, odd data, diverged networks."""

import errno
import importlib
import io
import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tqdm import tqdm

from tinybench.data import datasets
from tinybench.errors import UsageError, UserError
from tinybench.evaluation import evaluate
from tinybench.evaluation.evaluate import EvalOptions
from tinybench.inference import predictor
from tinybench.inference.checkpoint import network_checkpoint, network_options, read_checkpoint, write_checkpoint
from tinybench.inference.predictor import Predictor
from tinybench.models import build_model
from tinybench.recipe import Recipe, RunOptions
from tinybench.runtime.files import write_json
from tinybench.training.trainer import train

REPOSITORY = Path(__file__).resolve().parents[1]
CPU = torch.device("cpu")
NETWORK = {"dim": 16, "depth": 1, "num_heads": 2, "patch_size": 16}


def save(path, data_dir, *, dataset="demo", seed=0, epoch=1, broken=False, **fields):
    """A checkpoint of an untrained network, as the trainer would have written it."""
    recipe = Recipe(model="vit", model_options=NETWORK, dataset=str(dataset), image_size=32, **fields)
    images = datasets.load(recipe.dataset, "train", data_dir, recipe.image_size)
    images = datasets.normalized_as(images, recipe.normalize)
    torch.manual_seed(seed)
    options = {"num_classes": images.num_classes, "image_size": recipe.image_size, **network_options(recipe)}
    model = build_model(recipe.model, **options)
    if broken:
        for parameter in model.parameters():
            parameter.data.fill_(float("nan"))
    path.parent.mkdir(parents=True, exist_ok=True)
    write_checkpoint(path, network_checkpoint(recipe, images, epoch=epoch, val_acc=10.0, weights="model", model=model))
    return path


def main_of(script, monkeypatch, *arguments):
    """Call the command's main() in this process."""
    monkeypatch.setattr(sys, "argv", [script, *map(str, arguments)])
    return importlib.import_module(f"tinybench.cli.{Path(script).stem}").main()


@pytest.mark.parametrize(
    ("file", "weights", "name"),
    [
        ("best_model.pth", "best", "best"),
        ("last.pth", "last", "last"),
        ("last.pth", "best", "last"),  # as --checkpoint last.pth, with the default of --weights
        ("last.pth", "ema", "ema"),
        ("checkpoint_epoch_10.pth", "best", "checkpoint_epoch_10"),
        ("checkpoint_epoch_10.pth", "ema", "checkpoint_epoch_10_ema"),
    ],
)
def test_results_are_named_after_the_weights(file, weights, name):
    assert evaluate.weights_name(Path("results/resnet") / file, weights) == name


def test_another_checkpoint_leaves_the_results_of_the_best_alone(tmp_path, demo_data):
    options = EvalOptions(device=CPU, data_dir=demo_data)
    best = evaluate.evaluate_checkpoint(save(tmp_path / "best_model.pth", demo_data), options)
    before = (tmp_path / "test_results.json").read_bytes(), (tmp_path / "predictions.npz").read_bytes()
    tenth = save(tmp_path / "checkpoint_epoch_10.pth", demo_data, seed=1, epoch=10)
    other = evaluate.evaluate_checkpoint(tenth, options)
    assert (before[0], before[1]) == (
        (tmp_path / "test_results.json").read_bytes(),
        (tmp_path / "predictions.npz").read_bytes(),
    )
    assert (best["weights"], other["weights"], other["epoch"]) == ("best", "checkpoint_epoch_10", 10)
    assert other["test_loss"] != best["test_loss"]
    assert json.loads((tmp_path / "test_results_checkpoint_epoch_10.json").read_text()) == other
    assert (tmp_path / "predictions_checkpoint_epoch_10.npz").exists()


def test_testing_again_keeps_what_other_options_gave(tmp_path, demo_data, capsys):
    path, options = save(tmp_path / "best_model.pth", demo_data), EvalOptions(device=CPU, data_dir=demo_data)
    first = evaluate.evaluate_checkpoint(path, replace(options, tta=True, calibrate=True))
    again = evaluate.evaluate_checkpoint(path, options)
    assert {"tta_acc", "temperature"} <= again.keys()
    assert again == first | {"images_per_second": again["images_per_second"]}
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("trained_in", "native", "tested_in"),
    [("bf16", True, "bf16"), ("bf16", False, "fp32"), ("fp16", True, "fp32"), ("auto", True, "fp32")],
)
def test_a_test_is_in_the_precision_of_training_where_the_device_has_it(
    tmp_path, demo_data, monkeypatch, trained_in, native, tested_in
):
    monkeypatch.setattr(predictor, "has_bf16", lambda device: native)
    path = save(tmp_path / "x.pth", demo_data, precision=trained_in)
    options = EvalOptions(device=CPU, data_dir=demo_data)
    results = evaluate.evaluate_checkpoint(path, options)
    assert results["precision"] == results["tested"]["precision"] == tested_in
    single = evaluate.evaluate_checkpoint(path, replace(options, precision="fp32"))
    assert single["precision"] == "fp32"
    assert (single["test_loss"] == results["test_loss"]) is (tested_in == "fp32")


@pytest.mark.parametrize("change", ["weights", "precision", "an older version's file"])
def test_what_may_no_longer_hold_is_left_out_and_named(tmp_path, demo_data, capsys, change):
    path, options = save(tmp_path / "best_model.pth", demo_data), EvalOptions(device=CPU, data_dir=demo_data)
    former = evaluate.evaluate_checkpoint(path, replace(options, tta=True))
    if change == "weights":
        save(path, demo_data, seed=1)
    elif change == "precision":
        options = replace(options, precision="bf16")
    else:
        write_json(tmp_path / "test_results.json", {key: former[key] for key in former if key != "tested"})
    assert "tta_acc" not in evaluate.evaluate_checkpoint(path, options)
    assert "test_results.json: tta_loss, tta_acc, tta_top5_acc are left out" in capsys.readouterr().err


def test_the_bar_counts_every_pass(tmp_path, demo_data, monkeypatch):
    bars = []

    def bar(network, images):
        bars.append(tqdm(total=images, disable=False, file=io.StringIO()))
        return bars[-1]

    monkeypatch.setattr(evaluate, "progress", bar)
    path = save(tmp_path / "best_model.pth", demo_data)
    evaluate.evaluate_checkpoint(path, EvalOptions(device=CPU, data_dir=demo_data, tta=True, calibrate=True))
    assert [(bar.total, bar.n) for bar in bars] == [(1000, 1000), (300, 300)]  # 500 test images, twice; 300 held out


def test_results_of_former_weights_do_not_stay(tmp_path, demo_data, capsys):
    best, last = (save(tmp_path / name, demo_data) for name in ("best_model.pth", "last.pth"))
    options = EvalOptions(device=CPU, data_dir=demo_data)
    about = evaluate.evaluate_checkpoint(best, options)
    evaluate.evaluate_checkpoint(last, replace(options, weights="last"))
    older = {"epoch": about["epoch"], "dataset": about["dataset"]}
    write_json(tmp_path / "robustness.json", older)  # nothing speaks against it
    evaluate.evaluate_checkpoint(best, options)
    names = ["robustness.json", "test_results_last.json", "predictions_last.npz"]
    assert all((tmp_path / name).exists() for name in names)
    for path in (best, last):  # as if training had gone on
        save(path, demo_data, seed=1, epoch=2)
    evaluate.evaluate_checkpoint(best, options)
    assert not any((tmp_path / name).exists() for name in names)
    told = capsys.readouterr().err
    assert [line.split()[0] for line in told.splitlines()] == [
        str(tmp_path / "robustness.json"), str(tmp_path / "test_results_last.json"),
    ]  # fmt: skip
    assert json.loads((tmp_path / "test_results.json").read_text())["epoch"] == 2


def test_results_and_predictions_change_together(tmp_path, demo_data, monkeypatch):
    path, options = save(tmp_path / "best_model.pth", demo_data), EvalOptions(device=CPU, data_dir=demo_data)
    evaluate.evaluate_checkpoint(path, options)
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir() if file != path}
    save(path, demo_data, seed=1)

    def full(value):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(evaluate, "json_text", full)
    with pytest.raises(UserError, match=r"cannot write .*predictions\.npz, .*test_results\.json: No space left"):
        evaluate.evaluate_checkpoint(path, options)
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir() if file != path} == before


def test_without_a_run_only_what_has_to_be_is_tested(tmp_path, demo_data, monkeypatch, capsys):
    for name in ("a", "b"):
        save(tmp_path / name / "best_model.pth", demo_data)

    def tested(*flags):
        folders = ("--results_dir", tmp_path, "--data_dir", demo_data, "--device", "cpu")
        assert main_of("src/test.py", monkeypatch, *folders, *flags) == 0
        out = capsys.readouterr().out.splitlines()
        return [line.split()[0] for line in out if "top-1" in line], [line for line in out if "skipped" in line]

    assert tested() == (["a", "b"], [])
    assert tested() == ([], ["skipped, as their results still hold (--again tests them too): a, b"])
    save(tmp_path / "b" / "best_model.pth", demo_data, seed=1)
    assert tested()[0] == ["b"]
    (tmp_path / "a" / "predictions.npz").unlink()
    assert tested()[0] == ["a"]
    assert tested("--tta")[0] == ["a", "b"]
    assert tested("--tta")[0] == tested()[0] == []
    assert tested("--again")[0] == ["a", "b"]
    assert tested("--run", "a") == (["a"], [])


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--again", "--checkpoint", "x.pth"), "--again goes without --run and --checkpoint"),
        (("--dataset", "folder"), "name it with --run"),
        (("--run", "a", "--model", "b"), "--run and --model each name a run"),
    ],
)
def test_flags_that_do_not_go_together(flags, message, monkeypatch):
    with pytest.raises(UsageError, match=message):
        main_of("src/test.py", monkeypatch, *flags)


# ---- data that moved, and data that changed


def draw(folder, names="abc", count=10, start=0):
    random = np.random.default_rng(start)
    for name in names:
        (folder / name).mkdir(parents=True, exist_ok=True)
        for index in range(start, start + count):
            Image.fromarray(random.integers(0, 256, (32, 32, 3), np.uint8)).save(folder / name / f"{index}.png")


@pytest.mark.parametrize("normalize", ["data", "imagenet"])
def test_images_added_after_training_are_noticed(tmp_path, normalize):
    draw(tmp_path / "set")
    path = save(tmp_path / "best_model.pth", tmp_path / "data", dataset=tmp_path / "set", normalize=normalize)
    options = EvalOptions(device=CPU, data_dir=tmp_path / "data")
    assert evaluate.evaluate_checkpoint(path, options)["compared_fingerprints"] == ["train", "test"]
    draw(tmp_path / "set", start=10)  # some of the images trained on are now held out
    with pytest.raises(UserError, match=rf"training images of {tmp_path}/set are not those .*fingerprint"):
        evaluate.evaluate_checkpoint(path, options)


def test_other_test_images_are_noticed_where_they_are_known(tmp_path):
    draw(tmp_path / "set" / "train")
    draw(tmp_path / "set" / "test", start=10)
    path = save(tmp_path / "best_model.pth", tmp_path / "data", dataset=tmp_path / "set")
    options = EvalOptions(device=CPU, data_dir=tmp_path / "data")
    draw(tmp_path / "set" / "test", start=20)
    with pytest.raises(UserError, match=r"test images of .*set are not those that were there when"):
        evaluate.evaluate_checkpoint(path, options)
    checkpoint = read_checkpoint(path)
    del checkpoint["test_fingerprint"]  # as in older ones
    write_checkpoint(path, checkpoint)
    results = evaluate.evaluate_checkpoint(path, options)
    assert "names the training images only" in evaluate.result_line("run", results)


def test_a_run_finds_its_images_from_any_folder_and_after_a_move(tmp_path, monkeypatch):
    draw(tmp_path / "here" / "set")
    (tmp_path / "there").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    run = RunOptions(run_name="run", data_dir=tmp_path / "data", results_dir=tmp_path / "results", device="cpu")
    recipe = Recipe(
        model="vit", model_options=NETWORK, dataset="set", image_size=32, epochs=1, total_epochs=3, batch_size=8
    )  # fmt: skip
    train(recipe, run)
    options, best, last = (
        EvalOptions(device=CPU, data_dir=run.data_dir), run.folder / "best_model.pth", run.folder / "last.pth"
    )  # fmt: skip
    monkeypatch.chdir(tmp_path / "there")
    first = evaluate.evaluate_checkpoint(best, options)
    further = replace(Recipe.from_dict(read_checkpoint(last)["recipe"]), epochs=2)
    train(further, run, resume=last)

    moved = tmp_path / "there" / "elsewhere"
    (tmp_path / "here" / "set").rename(moved)
    further = replace(further, epochs=3)
    for refused in (lambda: evaluate.evaluate_checkpoint(best, options), lambda: train(further, run, resume=last)):
        with pytest.raises(UserError, match=r"here/set is not there; if it has moved, .* --dataset"):
            refused()
    options = replace(options, dataset="elsewhere", calibrate=True)
    again = evaluate.evaluate_checkpoint(best, options)
    assert again["dataset"] == first["dataset"]
    assert len(train(replace(further, dataset="elsewhere"), run, resume=last)) == 3
    assert json.loads((run.folder / "history.json").read_text())["dataset"]["name"] == "set"

    draw(moved, start=10)
    others = replace(further, dataset=str(moved), epochs=3)
    for refused in (lambda: evaluate.evaluate_checkpoint(best, options), lambda: train(others, run, resume=last)):
        with pytest.raises(UserError, match=r"training images of .*elsewhere are not those"):
            refused()


def test_a_class_without_test_images_has_no_accuracy(tmp_path):
    random = np.random.default_rng(0)
    folder = tmp_path / "folder"
    for place in ("train/a", "train/b", "train/c", "test/a", "test/b"):
        (folder / place).mkdir(parents=True)
        for index in range(3):
            Image.fromarray(random.integers(0, 256, (32, 32, 3), np.uint8)).save(folder / place / f"{index}.png")
    path = save(tmp_path / "run" / "best_model.pth", tmp_path / "data", dataset=folder)
    evaluate.evaluate_checkpoint(path, EvalOptions(device=CPU, data_dir=tmp_path / "data"))

    def refuse(constant):
        raise AssertionError(f"{constant} is not JSON")

    written = json.loads(path.with_name("test_results.json").read_text(), parse_constant=refuse)
    right = [written["confusion_matrix"][label][label] for label in range(2)]
    assert written["per_class_accuracy"].pop("c") is None
    assert written["per_class_accuracy"] == pytest.approx({"a": 100 * right[0] / 3, "b": 100 * right[1] / 3})


def test_a_diverged_network_is_one_line_that_names_it(tmp_path, demo_data):
    path = save(tmp_path / "best_model.pth", demo_data, broken=True)
    with pytest.raises(UserError, match=r"best_model\.pth answers with NaN"):
        evaluate.evaluate_checkpoint(path, EvalOptions(device=CPU, data_dir=demo_data))
    assert list(tmp_path.iterdir()) == [path]
    Image.new("RGB", (32, 32)).save(tmp_path / "x.png")
    with pytest.raises(UserError, match=r"best_model\.pth answers with NaN"):
        Predictor(path, CPU).classify(tmp_path / "x.png", top_k=5)


def test_all_runs_are_tested_though_one_has_diverged(tmp_path, demo_data, monkeypatch, capsys):
    save(tmp_path / "a_diverged" / "best_model.pth", demo_data, broken=True)
    save(tmp_path / "b_good" / "best_model.pth", demo_data)
    folders = ("--results_dir", tmp_path, "--data_dir", demo_data, "--device", "cpu")
    assert main_of("src/test.py", monkeypatch, *folders) == 1
    out, err = capsys.readouterr()
    assert [line.split()[0] for line in out.splitlines()] == ["b_good"]
    assert [line.startswith("error: a_diverged: ") for line in err.splitlines()] == [True]


@pytest.mark.parametrize("script", ["src/test.py", "src/infer.py"])
def test_model_and_checkpoint_exclude_each_other(script, monkeypatch):
    image = ["--image", "x.jpg"] if "infer" in script else []
    with pytest.raises(UsageError, match="--model and --checkpoint"):
        main_of(script, monkeypatch, *image, "--model", "resnet", "--checkpoint", "best_model.pth")
