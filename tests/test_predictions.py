"""Predictions read back, scored, averaged and compared: against the test's own metrics and hand numbers."""

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torchmetrics.functional.classification import binary_cohen_kappa

from tinybench import metrics
from tinybench.cli.commands import start
from tinybench.errors import UsageError, UserError
from tinybench.evaluation.evaluate import write_predictions
from tinybench.results.predictions import (
    Predictions,
    agreement,
    correct_by_model,
    ensemble,
    read_predictions,
    scores,
    write_ensemble,
)

REPOSITORY = Path(__file__).resolve().parents[1]
CLASS_IDS = ("n01443537", "n01629819", "n01641577", "n01644900", "n01698640", "n01742172", "n01768244")


def save(results_dir, run, *, seed=0, images=90, class_ids=CLASS_IDS, skill=1.5):
    """predictions.npz as src/test.py writes it; the labels are the same for every seed."""
    random = np.random.default_rng(seed)
    labels = np.arange(images) % len(class_ids)
    logits = random.normal(size=(images, len(class_ids))) + skill * np.eye(len(class_ids))[labels]
    source = SimpleNamespace(labels=torch.from_numpy(labels), class_ids=class_ids)
    (results_dir / run).mkdir(parents=True)
    write_predictions(results_dir / run / "predictions.npz", torch.from_numpy(logits).float(), source)
    return read_predictions(results_dir, run)


def predict(answers, labels, name="x", classes=3):
    """Predictions with these answers."""
    return Predictions(name, 9 * np.eye(classes, dtype=np.float32)[answers], np.array(labels), CLASS_IDS[:classes])


def test_what_the_test_wrote_is_read_back(tmp_path):
    read = save(tmp_path, "plan/resnet/seed0")
    assert (read.name, read.class_ids) == ("plan/resnet/seed0", CLASS_IDS)
    assert (read.logits.dtype, read.logits.shape, read.labels.dtype) == (np.float32, (90, 7), np.int64)
    with np.load(tmp_path / "plan/resnet/seed0/predictions.npz") as file:
        assert (read.logits == file["logits"]).all()
        assert (read.labels == file["labels"]).all()


@pytest.mark.parametrize("skill", [0.0, 1.5, 6.0])
def test_scores_are_those_of_the_test(tmp_path, skill):
    read = save(tmp_path, "run", skill=skill, images=600)
    logits, labels = torch.from_numpy(read.logits), torch.from_numpy(read.labels)
    assert scores(read) == pytest.approx(
        {
            "test_acc": metrics.topk_accuracy(logits, labels, 1),
            "test_macro_acc": metrics.macro_mean(logits, labels, "recall"),
            "test_macro_f1": metrics.macro_mean(logits, labels, "f1"),
            "test_top5_acc": metrics.topk_accuracy(logits, labels, 5),
            "nll": metrics.nll(logits, labels),
            "ece": metrics.ece(logits, labels),
            "selective_acc": metrics.selective_accuracy(logits, labels),
            "error_auroc": metrics.error_auroc(logits, labels),
            "conformal_set_size": metrics.conformal_set_size(logits, labels),
        },
        abs=1e-6,
    )
    assert metrics.topk_accuracy(read.logits, read.labels, 100) == 100


def test_reliability_table_by_hand():
    # Two classes: the logarithms of 0.9, 0.6 and 1 beside those of the rest.
    with np.errstate(divide="ignore"):
        logits = np.log(np.array([[0.9, 0.1], [0.88, 0.12], [0.4, 0.6], [1, 1e-30]])).astype(np.float32)
    table = metrics.reliability_table(logits, np.array([0, 1, 1, 0]), bins=5)
    assert table["count"].tolist() == [0, 0, 0, 1, 3]
    assert table["low"].tolist() == pytest.approx([0, 0.2, 0.4, 0.6, 0.8])
    assert table["high"].tolist() == pytest.approx([0.2, 0.4, 0.6, 0.8, 1])
    assert table["accuracy"].tolist()[3:] == pytest.approx([1, 2 / 3])
    assert table["confidence"].tolist()[3:] == pytest.approx([0.6, (0.9 + 0.88 + 1) / 3])
    assert table.loc[:2, ["accuracy", "confidence"]].isna().all(axis=None)


def without(key):
    return lambda content: content.pop(key)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (without("logits"), "is damaged; test that run again"),
        (without("class_ids"), "is damaged; test that run again"),
        (lambda content: content.update(labels=content["labels"][:-1]), "do not fit each other"),
        (lambda content: content.update(labels=content["labels"] + 1), "do not fit each other"),
        (lambda content: content.update(class_ids=content["class_ids"][1:]), "do not fit each other"),
        (lambda content: content.update(logits=content["logits"][0]), "do not fit each other"),
        (lambda content: content.update(logits=content["logits"][:0], labels=content["labels"][:0]), "do not fit"),
        (lambda content: content["logits"].fill(np.nan), "holds NaN or infinity; train that run again"),
        (lambda content: content["logits"].fill(np.inf), "holds NaN or infinity; train that run again"),
        (lambda content: content.update(logits=np.array([{}])), "is damaged; test that run again"),
    ],
)
def test_wrong_content_is_one_line(tmp_path, change, message):
    save(tmp_path, "run")
    path = tmp_path / "run" / "predictions.npz"
    with np.load(path) as file:
        content = dict(file)
    change(content)
    np.savez_compressed(path, **content)
    with pytest.raises(UserError, match=message) as error:
        read_predictions(tmp_path, "run")
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_a_damaged_file_is_one_line(tmp_path):
    save(tmp_path, "run")
    path = tmp_path / "run" / "predictions.npz"
    whole = path.read_bytes()
    damaged = [whole[:length] for length in (0, 1, 10, 200, len(whole) - 1)]
    random = np.random.default_rng(0)
    for position in random.integers(0, len(whole), 150):
        damaged.append(whole[:position] + bytes([whole[position] ^ 0xFF]) + whole[position + 1 :])
    refusals = []
    for content in damaged:
        path.write_bytes(content)
        try:
            read_predictions(tmp_path, "run")  # a byte that nothing depends on, such as a date, does no harm
        except UserError as error:
            refusals.append(str(error))
    assert len(refusals) > 100
    assert not any("\n" in refusal for refusal in refusals)
    np.save(path.with_suffix(".npy"), np.zeros(3))
    path.with_suffix(".npy").rename(path)
    with pytest.raises(UserError, match="is damaged"):
        read_predictions(tmp_path, "run")


def test_a_run_that_was_not_tested_says_what_to_type(tmp_path):
    with pytest.raises(UserError, match=r"does not exist; .* python src/test\.py --run resnet$"):
        read_predictions(tmp_path, "resnet")


def test_an_ensemble_averages_probabilities(tmp_path):
    members = [save(tmp_path, f"run{seed}", seed=seed) for seed in range(3)]
    together = ensemble(members)
    expected = torch.stack([torch.from_numpy(member.logits).softmax(1) for member in members]).mean(0)
    np.testing.assert_allclose(np.exp(together.logits), expected, atol=1e-6)
    assert (together.name, together.class_ids) == ("run0+run1+run2", CLASS_IDS)
    assert (together.predicted == expected.argmax(1).numpy()).all()
    assert scores(together)["test_acc"] > max(scores(member)["test_acc"] for member in members)
    # A confident member outweighs two doubtful ones, which a vote would not let it.
    logits = [np.log(np.array([p], dtype=np.float32)) for p in ([0.98, 0.02], [0.4, 0.6], [0.45, 0.55])]
    voters = [Predictions("x", each, np.array([0]), CLASS_IDS[:2]) for each in logits]
    assert ensemble(voters).predicted.tolist() == [0]


def test_runs_on_other_images_or_classes_do_not_mix(tmp_path):
    first = save(tmp_path, "first")
    other_classes = save(tmp_path, "other_classes", class_ids=CLASS_IDS[::-1])
    fewer = save(tmp_path, "fewer", images=80)
    turned = Predictions("turned", first.logits, first.labels[::-1], first.class_ids)
    for other, different in ((other_classes, "classes"), (fewer, "images"), (turned, "images")):
        message = f"first and {other.name} were tested on different {different}"
        for use in (
            ensemble,
            lambda pair: agreement(dict(enumerate(pair))),
            lambda pair: correct_by_model({"m": pair}),
        ):
            with pytest.raises(UserError, match=message):
                use([first, other])


def test_correct_by_model_stacks_runs(tmp_path):
    runs = [save(tmp_path, f"run{seed}", seed=seed) for seed in range(3)]
    correct = correct_by_model({"a": runs[:2], "b": runs[2:]})
    assert {model: answers.shape for model, answers in correct.items()} == {"a": (2, 90), "b": (1, 90)}
    assert (correct["a"][1] == (runs[1].logits.argmax(1) == runs[1].labels)).all()


def test_agreement_by_hand():
    labels = [0, 0, 1, 1, 2, 2]
    a, b = predict([0, 0, 1, 2, 0, 1], labels), predict([0, 1, 1, 2, 1, 2], labels)
    table = agreement({"a": a, "b": b})
    assert table[["model_a", "model_b"]].to_numpy().tolist() == [["a", "b"]]
    # The same answer on images 0, 2 and 3; right together on 0 and 2, wrong together on 3 and 4; both right on half.
    assert table["agreement"][0] == pytest.approx(3 / 6)
    assert table["error_consistency"][0] == pytest.approx((4 / 6 - 0.5) / 0.5)


def test_error_consistency_is_cohens_kappa(tmp_path):
    runs = {f"run{seed}": save(tmp_path, f"run{seed}", seed=seed, skill=seed) for seed in range(3)}
    table = agreement(runs)
    assert len(table) == 3
    for row in table.itertuples():
        a, b = (torch.from_numpy(runs[name].correct).int() for name in (row.model_a, row.model_b))
        assert row.error_consistency == pytest.approx(binary_cohen_kappa(a, b).item(), abs=1e-6)
    perfect = predict([0, 1], [0, 1])
    assert np.isnan(agreement({"a": perfect, "b": perfect})["error_consistency"][0])


def command(monkeypatch, *arguments):
    """The exit status of src/ensemble.py."""
    monkeypatch.setattr(sys, "argv", ["ensemble.py", *map(str, arguments)])
    with pytest.raises(SystemExit) as stop:
        start("ensemble")
    return stop.value.code


def test_the_command_prints_and_writes(tmp_path, monkeypatch, capsys):
    members = [save(tmp_path, f"plan/resnet/seed{seed}", seed=seed) for seed in range(2)]
    runs = [member.name for member in members]
    assert command(monkeypatch, "--run", *runs, "--results_dir", tmp_path) == 0
    lines = capsys.readouterr().out.splitlines()
    path = tmp_path / "ensembles" / "plan_resnet_seed0+plan_resnet_seed1.json"
    assert [line.split()[0] for line in lines] == [*runs, "ensemble", str(path)]
    written = json.loads(path.read_text())
    assert written["members"] == [{"run": member.name, **scores(member)} for member in members]
    assert {key: written[key] for key in ("test_acc", "nll", "test_images", "classes")} == {
        "test_acc": scores(ensemble(members))["test_acc"],
        "nll": scores(ensemble(members))["nll"],
        "test_images": 90,
        "classes": 7,
    }
    assert command(monkeypatch, "--run", *runs, "--results_dir", tmp_path, "--name", "both") == 0
    assert (tmp_path / "ensembles" / "both.json").exists()


def test_the_command_refuses(tmp_path, monkeypatch, capsys):
    save(tmp_path, "a")
    for status, arguments in (
        (2, ["--run", "a"]),
        (2, ["--run", "a", "a"]),
        (2, ["--run", "a", "b", "--name", "../x"]),
        (2, ["--run", "a", "b" * 300]),
        (1, ["--run", "a", "b"]),
    ):
        assert command(monkeypatch, *arguments, "--results_dir", tmp_path) == status
        assert len(capsys.readouterr().err.splitlines()) == 1
    assert not (tmp_path / "ensembles").exists()


def test_a_name_stays_in_its_folder(tmp_path):
    for name in ("a/b", "..", ".hidden", "a\\b"):
        with pytest.raises(UsageError, match="--name"):
            write_ensemble(tmp_path, ["a", "b"], name)


def test_analysis_of_predictions_needs_no_torch():
    code = (
        "import sys, tinybench.results.predictions, tinybench.stats.significance, tinybench.stats.similarity;"
        "sys.exit('torch' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY / "src", check=True)
