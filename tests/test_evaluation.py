"""Metrics against hand numbers, testing and predicting from checkpoints, and the commands as a user types them."""

import json
import math
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchmetrics.functional.classification import binary_auroc

from tinybench import metrics
from tinybench.cli.infer import list_images
from tinybench.cli.run_arguments import RunArguments
from tinybench.data import datasets
from tinybench.errors import UsageError, UserError
from tinybench.evaluation import evaluate
from tinybench.evaluation.evaluate import EvalOptions
from tinybench.inference.checkpoint import load_network, read_checkpoint, write_checkpoint
from tinybench.inference.predictor import Predictor, predict_logits
from tinybench.recipe import Recipe, RunOptions
from tinybench.report import collect
from tinybench.runs import find_checkpoint, find_runs, pick_runs
from tinybench.training.trainer import train

REPOSITORY = Path(__file__).resolve().parents[1]
CPU = torch.device("cpu")
RECIPE = Recipe(
    model="vit",
    model_options={"dim": 16, "depth": 1, "num_heads": 2, "patch_size": 16},
    dataset="demo",
    classes=4,
    images_per_class=20,
    epochs=1,
    batch_size=16,
    lr=0.01,
    ema_decay=0.5,
)


@pytest.fixture(scope="module")
def results(demo_data, tmp_path_factory):
    """A results folder with the trained run "tiny"."""
    folder = tmp_path_factory.mktemp("results")
    train(RECIPE, RunOptions(run_name="tiny", data_dir=demo_data, results_dir=folder, device="cpu"))
    return folder


@pytest.fixture
def options(demo_data):
    return EvalOptions(device=CPU, data_dir=demo_data)


def command(name, *arguments, status=0):
    """Run a command as a user would, from another folder; its output and its errors."""
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, REPOSITORY / name, *map(str, arguments)], capture_output=True, text=True, env=environment
    )
    assert done.returncode == status, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout, done.stderr


# ---- metrics

LOGITS = torch.tensor([[3.0, 1.0, 0.0], [0.0, 2.0, 1.0], [1.0, 0.0, 2.0], [2.0, 1.0, 0.0]])
LABELS = torch.tensor([0, 1, 0, 2])


def test_metrics_by_hand():
    assert metrics.topk_accuracy(LOGITS, LABELS, 1) == 50
    assert metrics.topk_accuracy(LOGITS, LABELS, 2) == 75
    assert metrics.topk_accuracy(LOGITS, LABELS, 5) == 100
    probabilities = np.exp(LOGITS.numpy()) / np.exp(LOGITS.numpy()).sum(1, keepdims=True)
    assert metrics.nll(LOGITS, LABELS) == pytest.approx(-np.log(probabilities[range(4), LABELS]).mean(), rel=1e-5)
    confusion = metrics.confusion_matrix(LOGITS, LABELS)
    assert confusion.tolist() == [[1, 0, 1], [0, 1, 0], [1, 0, 0]]
    assert metrics.per_class_accuracy(confusion).tolist() == [50, 100, 0]


def test_ece_against_its_definition():
    generator = torch.Generator().manual_seed(0)
    logits = 2 * torch.randn(500, 10, generator=generator)
    labels = torch.randint(0, 10, (500,), generator=generator)
    confidence, answer = logits.softmax(1).max(1)
    expected = 0.0
    for index in range(15):
        inside = (confidence > index / 15) & (confidence <= (index + 1) / 15)
        if inside.any():
            gap = (answer == labels)[inside].float().mean() - confidence[inside].mean()
            expected += inside.float().mean() * gap.abs()
    assert metrics.ece(logits, labels) == pytest.approx(float(expected), abs=1e-5)


def test_scores_of_doubt_against_their_definitions():
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(10), 200)
    logits = rng.normal(size=(2000, 10)) + 2 * np.eye(10)[labels]
    sure, correct = metrics.max_probability(logits), logits.argmax(1) == labels
    assert metrics.error_auroc(logits, labels) == pytest.approx(
        float(binary_auroc(torch.from_numpy(sure), torch.from_numpy(correct).long())), abs=1e-6
    )
    assert metrics.auroc([1, 2, 2], [2, 0]) == (1 / 2 + 3 / 4 + 3 / 4) / 3  # the twos count half against the two
    surest = sure >= np.sort(sure)[400]
    assert metrics.selective_accuracy(logits, labels) == pytest.approx(100 * correct[surest].mean())
    assert metrics.selective_accuracy(logits, labels, 1) == pytest.approx(metrics.topk_accuracy(logits, labels, 1))
    np.testing.assert_allclose(np.exp(metrics.negative_energy(logits)), np.exp(logits).sum(1))
    right, wrong = np.full((4, 3), -9.0), np.arange(4) % 3
    right[range(4), wrong] = 9
    assert metrics.error_auroc(right, wrong) == 0.5  # nothing to tell apart


@pytest.mark.parametrize("heat", [0.2, 1, 5])
def test_conformal_sets_hold_the_label_as_often_as_promised_however_sure_the_network_is(heat):
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(10), 400)
    logits = (rng.normal(size=(4000, 10)) + 2 * np.eye(10)[labels]) / heat
    probabilities = np.exp(metrics.log_probabilities(logits))
    of_label = probabilities[range(4000), labels]
    size = metrics.conformal_set_size(logits, labels)
    # The same by one threshold for all images, which knows their labels.
    threshold = np.quantile(of_label, 0.1)
    assert size == pytest.approx((probabilities >= threshold).sum(1).mean(), rel=0.05)
    held = [
        (of_label[1 - half :: 2] >= np.sort(of_label[half::2])[math.floor(0.1 * 2001) - 1]).mean() for half in (0, 1)
    ]
    assert min(held) > 0.88
    assert metrics.conformal_set_size(logits[:4], labels[:4]) == 10  # too few images to leave any class out


def test_predictions_do_not_depend_on_the_batch_size(demo_data, results):
    model = load_network(read_checkpoint(results / "tiny" / "best_model.pth"))
    images = datasets.load("demo", "test", demo_data).select(torch.arange(50))
    settings = {"image_size": 64, "device": CPU}
    one, other = (predict_logits(model, images, batch_size=size, **settings) for size in (7, 50))
    torch.testing.assert_close(one, other)
    mirrored = predict_logits(model, images, batch_size=50, flip_tta=True, **settings)
    flipped = predict_logits(
        model, type(images)(**{**vars(images), "images": images.images.flip(3)}), batch_size=50, **settings
    )
    torch.testing.assert_close(mirrored.exp(), (one.softmax(1) + flipped.softmax(1)) / 2)


# ---- testing


def test_results_and_predictions_agree(results, options):
    written = evaluate.evaluate_run(results / "tiny", options)
    assert written == json.loads((results / "tiny" / "test_results.json").read_text())
    saved = np.load(results / "tiny" / "predictions.npz")
    assert (saved["logits"].dtype, saved["logits"].shape) == (np.float16, (200, 4))
    assert saved["class_ids"].tolist() == list(written["per_class_accuracy"])
    right = saved["logits"].argmax(1) == saved["labels"]
    assert written["test_acc"] == pytest.approx(100 * right.mean())
    numbers = metrics.scores(saved["logits"], saved["labels"])
    assert {key: written[key] for key in numbers} == numbers  # to the last bit
    assert written["test_top5_acc"] == 100
    assert np.mean(list(written["per_class_accuracy"].values())) == pytest.approx(written["test_acc"])
    assert np.trace(written["confusion_matrix"]) / 200 == pytest.approx(written["test_acc"] / 100)
    assert written["test_loss"] == written["nll"]
    assert 0 <= written["ece"] <= 1
    assert written["dataset"]["test_images"] == 200
    assert not any(key.startswith("tta") for key in written)


def test_a_metric_is_one_function_and_one_entry(results, options, tmp_path, monkeypatch):
    def margin(logits, labels):
        return float(np.ptp(logits, axis=1).mean())

    entry = metrics.Metric(
        compute=margin, title="Margin", better="high", digits=1, line="margin {:.1f}", help="Spread."
    )
    monkeypatch.setitem(metrics.METRICS, "margin", entry)
    shutil.copytree(results / "tiny", tmp_path / "tiny")
    written = evaluate.evaluate_run(tmp_path / "tiny", options)
    assert written["margin"] > 0
    assert f"margin {written['margin']:.1f}" in evaluate.result_line("tiny", written)
    page = collect(tmp_path)
    assert page["columns"]["margin_mean"]["title"] == "Margin"
    assert float(page["groups"][0]["rows"][0]["cells"]["margin_mean"]) == pytest.approx(written["margin"])


def test_stored_logits_keep_the_order_of_nearly_equal_ones():
    logits = torch.tensor([[20.0, 20.001, -1e6], [3.0, 1.0, 2.0]])
    assert logits.half().argmax(1).tolist() == [0, 0]
    stored = evaluate.as_stored(logits)
    assert stored.argmax(1).tolist() == [1, 0]
    assert stored.isfinite().all()


def test_tta_and_other_weights_have_keys_and_files_of_their_own(results, demo_data):
    tta = evaluate.evaluate_run(results / "tiny", EvalOptions(device=CPU, data_dir=demo_data, tta=True))
    assert {"tta_loss", "tta_acc", "tta_top5_acc"} <= tta.keys()
    for weights in ("last", "ema"):
        other = evaluate.evaluate_run(results / "tiny", EvalOptions(device=CPU, data_dir=demo_data, weights=weights))
        assert other["weights"] == weights
        assert (results / "tiny" / f"test_results_{weights}.json").exists()
        assert (results / "tiny" / f"predictions_{weights}.npz").exists()


def changed_copy(results, tmp_path, **changes):
    checkpoint = read_checkpoint(results / "tiny" / "best_model.pth")
    write_checkpoint(tmp_path / "changed.pth", {**checkpoint, **changes})
    return tmp_path / "changed.pth"


def test_a_checkpoint_that_does_not_fit_is_refused(results, options, tmp_path):
    checkpoint = read_checkpoint(results / "tiny" / "best_model.pth")
    path = changed_copy(results, tmp_path, class_ids=checkpoint["class_ids"][::-1])
    with pytest.raises(UserError, match="classes of demo"):
        evaluate.evaluate_checkpoint(path, options)
    with pytest.raises(UserError, match="training images of demo are not those that the network was trained on"):
        evaluate.evaluate_checkpoint(changed_copy(results, tmp_path, fingerprint="another"), options)
    with pytest.raises(UserError, match="test images of demo are not those that were there"):
        evaluate.evaluate_checkpoint(changed_copy(results, tmp_path, test_fingerprint="another"), options)
    wrong = {**checkpoint["model_options"], "dim": 32}
    with pytest.raises(UserError, match="weights do not fit") as caught:
        evaluate.evaluate_checkpoint(changed_copy(results, tmp_path, model_options=wrong), options)
    assert "\n" not in str(caught.value)
    path = changed_copy(results, tmp_path)
    with pytest.raises(UserError, match="no moving average"):
        evaluate.evaluate_checkpoint(path, EvalOptions(device=CPU, data_dir=options.data_dir, weights="ema"))


def test_the_command_tests_all_runs_and_names_a_broken_one(results, demo_data, tmp_path):
    (tmp_path / "good").mkdir()
    (tmp_path / "good" / "best_model.pth").write_bytes((results / "tiny" / "best_model.pth").read_bytes())
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "best_model.pth").write_bytes(b"no checkpoint")
    out, err = command("src/test.py", "--results_dir", tmp_path, "--data_dir", demo_data, "--device", "cpu", status=1)
    assert "good" in out
    assert "top-5 100.00 %" in out
    assert len(err.strip().splitlines()) == 1
    assert "broken" in err


def test_without_runs_the_message_says_what_to_type(tmp_path, results):
    with pytest.raises(UsageError, match=r"python src/train\.py --model resnet"):
        find_runs(tmp_path)
    with pytest.raises(UsageError, match=r"'vgg'.*there are: tiny; train one: python src/train\.py --model vgg"):
        pick_runs(results, ["vgg"])
    with pytest.raises(UsageError, match=r"python src/train\.py"):
        find_checkpoint(tmp_path, {})


def test_a_network_stands_for_its_only_run(results, tmp_path):
    shutil.copytree(results / "tiny", tmp_path / "plan" / "vit" / "seed0")
    assert list(pick_runs(tmp_path, models=["vit"])) == ["plan/vit/seed0"]
    shutil.copytree(results / "tiny", tmp_path / "other")
    with pytest.raises(UsageError, match=r"vit has 2 runs; pick one with --run: other, plan/vit/seed0$"):
        pick_runs(tmp_path, models=["vit"])
    shutil.copytree(results / "tiny", tmp_path / "vit")  # a run of that name goes before
    assert list(pick_runs(tmp_path, ["other"], ["vit"])) == ["other", "vit"]
    with pytest.raises(UsageError, match="no trained run 'resnet'"):
        pick_runs(tmp_path, models=["resnet"])


# ---- predicting


def test_a_prediction_is_that_of_testing(results, demo_data):
    path = results / "tiny" / "best_model.pth"
    file = sorted((demo_data / "curated" / "demo" / "test").glob("*/*.JPEG"))[0]
    guesses = Predictor(path, CPU).classify(file, top_k=99)
    checkpoint = read_checkpoint(path)
    first = evaluate.load_test_images(checkpoint, demo_data).select(torch.tensor([0]))
    logits = predict_logits(load_network(checkpoint), first, image_size=64, batch_size=1, device=CPU)
    expected = logits[0].softmax(0).sort(descending=True)
    assert [guess.probability for guess in guesses] == pytest.approx(expected.values.tolist(), rel=1e-4)
    assert [guess.class_id for guess in guesses] == [checkpoint["class_ids"][i] for i in expected.indices]
    assert [guess.rank for guess in guesses] == [1, 2, 3, 4]
    assert math.fsum(guess.probability for guess in guesses) == pytest.approx(1, abs=1e-5)


def test_the_best_run_by_validation_accuracy_answers(results, tmp_path):
    def add(name, accuracy, **dataset):
        (tmp_path / name).mkdir()
        (tmp_path / name / "best_model.pth").write_bytes((results / "tiny" / "best_model.pth").read_bytes())
        if accuracy:
            content = {"val_acc": [accuracy, 1.0], **({"dataset": dataset} if dataset else {})}
            (tmp_path / name / "history.json").write_text(json.dumps(content))

    def answers(**named):
        return find_checkpoint(tmp_path, RunArguments(results_dir=tmp_path, **named).picked()).parent.name

    for name, accuracy in (("worse", 20.0), ("better", 30.0), ("without_history", 0)):
        add(name, accuracy)
    assert answers() == "better"
    assert answers(run="worse") == "worse"
    # Accuracies on other data say nothing, and fewer classes are easier.
    add("few", 90.0, classes=10, fingerprint="photographs", train_images=4000)
    add("demo", 95.0, classes=10, fingerprint="drawn", train_images=800)
    assert answers() == "few"
    add("many_worse", 40.0, classes=200, fingerprint="photographs", train_images=80000)
    add("many_better", 50.0, classes=200, fingerprint="photographs", train_images=60000)
    assert answers() == "many_better"
    add("grown", 99.0, classes=200, fingerprint="photographs", train_images=80000)  # on its first, smaller images
    path = tmp_path / "grown" / "history.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"best_epoch": 2}))
    assert answers() == "many_better"


def test_bad_files_are_one_line_each_and_the_others_answered(results, tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    Image.new("L", (10, 300), 80).save(folder / "gray.png")
    Image.new("CMYK", (200, 100)).save(folder / "print.jpg")
    (folder / "empty.jpg").write_bytes(b"")
    (folder / "text.png").write_text("no image")
    (folder / "notes.txt").write_text("ignored")
    arguments = ["--image", folder, tmp_path / "none.jpg", "--results_dir", results, "--device", "cpu", "--top_k", 2]
    out, err = command("src/infer.py", *arguments, "--json", status=1)
    document = json.loads(out)
    assert [Path(image["image"]).name for image in document["images"]] == ["gray.png", "print.jpg"]
    guesses = document["images"][0]["guesses"]
    assert [guess["rank"] for guess in guesses] == [1, 2]
    assert guesses[0].keys() == {"rank", "name", "class_id", "probability"}
    assert len(err.strip().splitlines()) == 3
    assert all(name in err for name in ("empty.jpg", "text.png", "none.jpg"))
    out, _ = command("src/infer.py", "--image", folder / "gray.png", *arguments[3:])
    assert "tiny" in out.splitlines()[0]
    assert out.splitlines()[2].split()[0] == "1"


def test_folders_without_images_and_bad_top_k_are_usage_errors(results, tmp_path):
    with pytest.raises(UsageError, match="holds no images"):
        list(list_images([tmp_path]))
    _, err = command("src/infer.py", "--image", "x.jpg", "--top_k", 0, "--results_dir", results, status=2)
    assert err == "error: --top_k must be greater than or equal to 1, not 0\n"


# ---- plots


def test_plots_are_written_where_the_contract_says(results, tmp_path):
    for script, name in (("loss", "training_loss.png"), ("acc", "training_accuracy.png")):
        script = f"plots/plot_training_{script}.py"
        command(script, "--run", "tiny", "--results_dir", results, "--output_dir", tmp_path)
        with Image.open(tmp_path / "tiny" / name) as picture:
            assert min(picture.size) > 900
            assert len(picture.convert("RGB").getcolors(2**24)) > 50
    _, err = command(script, "--run", "tiny", "vgg", "--results_dir", results, "--output_dir", tmp_path, status=2)
    assert err.startswith("error: ")
    assert "python src/train.py --model vgg" in err


def test_figures_draw_what_the_history_says(results):
    from tinybench import figures
    from tinybench.results.runs import read_history

    history = read_history(results, "tiny")
    history = {**history, **{k: [v[0], v[0] + 1, v[0] - 1] for k, v in history.items() if isinstance(v, list)}}
    history["best_epoch"] = 2
    axes = figures.training_accuracy("tiny", history).axes
    lines = {line.get_label(): line.get_ydata() for line in axes[0].lines}
    assert list(lines["train"]) == history["train_acc"]
    assert list(lines["validation"]) == history["val_acc"]
    assert list(axes[1].lines[0].get_ydata()) == history["lr"]
    assert any(label.startswith("best epoch: 2 (") for label in lines)


# ---- the commands' errors


@pytest.mark.parametrize(
    ("arguments", "status", "named"),
    [
        (["src/train.py", "--model", "lenet"], 2, "unknown model 'lenet'; known: alexnet, vgg"),
        (["src/train.py", "--recipe", "none"], 2, "unknown recipe 'none'; known: alexnet"),
        (["src/train.py", "--dataset", "cats"], 2, "neither tiny-imagenet nor demo"),
        (["src/train.py", "--epochs", "3", "--warmup_epochs", "5"], 2, "warmup_epochs 5"),
        (["src/train.py", "--resume", "none.pth"], 1, "none.pth"),
        (["src/curate_data.py", "--source", "none.zip"], 2, "none.zip"),
    ],
)
def test_wrong_arguments_are_one_line(tmp_path, arguments, status, named):
    folders = ["--data_dir", tmp_path] + ([] if "curate" in arguments[0] else ["--results_dir", tmp_path])
    _, err = command(*arguments, *folders, status=status)
    assert named in err
    assert len(err.strip().splitlines()) == 1
