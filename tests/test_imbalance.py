"""Classes that differ in size: weights of the loss, balanced sampling, macro metrics."""

import dataclasses

import numpy as np
import pytest
import torch
from test_testing import main_of
from torch.nn import functional as F

from tinybench import metrics
from tinybench.data.batches import Batch, TrainBatches
from tinybench.data.sampling import balanced_order
from tinybench.errors import UsageError
from tinybench.recipe import Recipe
from tinybench.runtime.files import read_json
from tinybench.training.loss import balanced_weights, build_criterion
from tinybench.training.setup import build_state, load_images
from tinybench.training.trainer import train_step

CPU = torch.device("cpu")
# ---- weights of the loss


def test_balanced_weights_by_hand():
    weights = balanced_weights(torch.tensor([0, 0, 0, 2, 0, 2]))  # none of class 1
    torch.testing.assert_close(weights[[0, 2]], torch.tensor([6 / (2 * 4), 6 / (2 * 2)]))
    labels = torch.tensor([0, 1, 1, 1, 1, 2])
    assert balanced_weights(labels)[labels].mean().item() == pytest.approx(1)


@pytest.mark.parametrize("changes", [{"label_smoothing": 0.2}, {"loss": "hinge", "label_smoothing": 0.0}])
def test_each_image_has_the_weight_of_its_class_and_a_mixed_one_of_both(changes):
    torch.manual_seed(0)
    recipe, weights = Recipe(**changes), torch.tensor([0.5, 1.0, 3.0])
    logits, one, other = torch.randn(6, 3), torch.tensor([0, 1, 2, 0, 0, 1]), torch.tensor([2, 2, 0, 1, 0, 1])
    plain, weighed = build_criterion(recipe), build_criterion(recipe, weights)

    def by_image(labels):
        return torch.stack([weights[y] * plain(x[None], y[None]) for x, y in zip(logits, labels, strict=True)]).mean()

    torch.testing.assert_close(weighed(logits, one), by_image(one))
    mixed = Batch(torch.empty(6, 3, 8, 8), one, other, 0.3).loss(logits, weighed)
    torch.testing.assert_close(mixed, 0.3 * by_image(one) + 0.7 * by_image(other))
    torch.testing.assert_close(build_criterion(recipe, torch.ones(3))(logits, one), plain(logits, one))


def test_without_smoothing_the_gradient_is_torchs_but_for_its_divisor():
    torch.manual_seed(0)
    logits, labels, weights = torch.randn(8, 3), torch.randint(0, 3, (8,)), torch.tensor([0.5, 1.0, 3.0])
    ours = build_criterion(Recipe(label_smoothing=0.0), weights)(logits, labels)
    theirs = F.cross_entropy(logits, labels, weight=weights)
    torch.testing.assert_close(ours * 8, theirs * weights[labels].sum())


@pytest.fixture
def recipe(imbalanced):
    return Recipe(
        model="svm", dataset=str(imbalanced), image_size=32, precision="fp32", augment="basic", batch_size=32, epochs=2,
        optimizer="adamw", lr=1e-3,
    )  # fmt: skip


def test_micro_batches_give_the_gradient_of_the_whole_batch(recipe, tmp_path):
    gradients = []
    for pieces in (1, 4):
        changed = dataclasses.replace(recipe, class_weights="balanced", accumulate_steps=pieces, optimizer="sgd")
        images, val_images = load_images(changed, tmp_path)
        state = build_state(changed, images, val_images, CPU)
        before = [parameter.clone() for parameter in state.model.parameters()]
        train_step(changed, state, TrainBatches(images, changed).batch(0, 0), 0.1, 0)
        gradients.append(torch.cat([(a - b).flatten() for a, b in zip(before, state.model.parameters(), strict=True)]))
    assert gradients[0].abs().max() > 0
    torch.testing.assert_close(*gradients, rtol=1e-4, atol=1e-7)


# ---- balanced sampling


def test_classes_come_equally_often_and_images_of_a_class_too():
    labels = torch.tensor([0] * 40 + [1] * 7 + [3] * 3)
    seen = torch.cat([balanced_order(labels, 50, 5, epoch) for epoch in range(12)])
    for epoch in range(12):
        counts = labels[seen[50 * epoch : 50 * epoch + 50]].bincount(minlength=4)
        assert counts[2] == 0
        assert counts[[0, 1, 3]].max() - counts[[0, 1, 3]].min() <= 1
    times = seen.bincount(minlength=50)
    for label in (0, 1, 3):
        assert times[labels == label].max() - times[labels == label].min() <= 1


def test_the_order_is_a_function_of_seed_and_epoch():
    labels = torch.randint(0, 5, (60,), generator=torch.Generator().manual_seed(0))
    assert torch.equal(balanced_order(labels, 60, 1, 3), balanced_order(labels, 60, 1, 3))
    assert not torch.equal(balanced_order(labels, 60, 1, 3), balanced_order(labels, 60, 1, 4))
    assert not torch.equal(balanced_order(labels, 60, 1, 3), balanced_order(labels, 60, 2, 3))


def test_batches_are_balanced_whoever_works_on_them(recipe, tmp_path):
    recipe = dataclasses.replace(recipe, sampling="balanced")
    images, _ = load_images(recipe, tmp_path)
    whole = TrainBatches(images, recipe)
    shares = [TrainBatches(images, recipe, rank=rank, processes=2) for rank in (0, 1)]
    labels = []
    for step in range(whole.steps_per_epoch):
        batch, parts = whole.batch(1, step), [share.batch(1, step) for share in shares]
        assert sorted(batch.labels.tolist()) == sorted(torch.cat([part.labels for part in parts]).tolist())
        labels.append(batch.labels)
    counts = torch.cat(labels).bincount()
    assert counts.max() - counts.min() <= 1
    assert counts.sum() == whole.steps_per_epoch * whole.batch_size


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"sampling": "balanced", "stream": True}, "class_weights balanced goes with stream"),
        ({"sampling": "balanced", "class_weights": "balanced"}, "take one of them"),
        (
            {"class_weights": "balanced", "teacher": "t.pth", "distill_weight": 1.0},
            "does nothing with distill_weight 1",
        ),
        ({"sampling": "fair"}, "sampling must be"),
    ],
)
def test_what_does_not_fit_is_a_line(changes, said):
    with pytest.raises(UsageError, match=said):
        Recipe(**changes)


def test_where_classes_are_equal_a_line_says_that_nothing_is_needed(demo_data, capsys):
    recipe = Recipe(model="svm", dataset="demo", images_per_class=5, image_size=8, sampling="balanced", epochs=1)
    images, val_images = load_images(recipe, demo_data)
    build_state(recipe, images, val_images, CPU)
    assert "the classes of demo are equally large; sampling balanced is not needed" in capsys.readouterr().out


# ---- metrics


def test_macro_metrics_by_hand():
    labels = np.array([0, 0, 0, 0, 1, 1, 3])  # class 2 has no images, class 3 is never right
    logits = np.eye(4)[[0, 0, 0, 1, 1, 0, 2]]
    recalls = [3 / 4, 1 / 2, 0]
    scores = [2 * 3 / (4 + 4), 2 * 1 / (2 + 2), 0]
    found = metrics.scores(logits, labels)
    assert found["test_acc"] == pytest.approx(100 * 4 / 7)
    assert found["test_macro_acc"] == pytest.approx(100 * np.mean(recalls))
    assert found["test_macro_f1"] == pytest.approx(100 * np.mean(scores))
    table = metrics.scores_by_class(metrics.confusion_matrix(logits, labels))
    assert table["support"].tolist() == [4, 2, 0, 1]
    assert table["precision"].round(2).tolist()[:3] == [75.0, 50.0, 0.0]
    assert np.isnan(table["precision"][3])
    assert np.isnan(table["recall"][2])
    balanced = metrics.scores(logits[[0, 4]], labels[[0, 4]])
    assert not {"test_macro_acc", "test_macro_f1"} & balanced.keys()


def test_training_and_testing_say_what_the_mean_of_the_classes_is(imbalanced, tmp_path, monkeypatch, capsys):
    places = ["--data_dir", tmp_path, "--results_dir", tmp_path / "results", "--device", "cpu"]
    words = [
        "--model",
        "svm",
        "--dataset",
        imbalanced,
        "--epochs",
        "2",
        "--sampling",
        "balanced",
        "--precision",
        "fp32",
    ]
    main_of("train", monkeypatch, *words, *places, "--run_name", "svm")
    history = read_json(tmp_path / "results" / "svm" / "history.json")
    assert len(history["val_macro_acc"]) == 2
    assert history["config"]["sampling"] == "balanced"
    main_of("test", monkeypatch, "--run", "svm", *places)
    assert " macro " in capsys.readouterr().out
    results = read_json(tmp_path / "results" / "svm" / "test_results.json")
    by_class = results["per_class_scores"].values()
    assert results["test_macro_acc"] == pytest.approx(np.mean([row["recall"] for row in by_class]))
    assert sorted(row["support"] for row in by_class)[0] == 10
    assert sorted(row["support"] for row in by_class)[-1] == 50
