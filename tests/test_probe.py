"""Probing: features that are kept, a head as training with a frozen body gives it, neighbours against hand numbers."""

import math

import pytest
import torch
from test_testing import main_of
from torch import nn

from tinybench.errors import UsageError, UserError
from tinybench.inference.checkpoint import read_checkpoint
from tinybench.inference.predictor import predict_logits
from tinybench.models import build_model
from tinybench.recipe import RunOptions
from tinybench.runtime.files import read_json
from tinybench.training import features
from tinybench.training.features import features_of
from tinybench.training.freezing import head_of
from tinybench.training.probe import TEMPERATURE, Probe, neighbours_votes, probing_recipe
from tinybench.training.setup import load_images
from tinybench.training.trainer import train


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    torch.manual_seed(5)
    path = tmp_path_factory.mktemp("weights") / "resnet10t.pth"
    torch.save(build_model("timm/resnet10t", num_classes=7).state_dict(), path)
    return path


@pytest.fixture
def fields(weights):
    return {
        "model": "timm/resnet10t", "pretrained": str(weights), "dataset": "demo", "classes": 4, "images_per_class": 30,
        "image_size": 32, "precision": "fp32",
    }  # fmt: skip


@pytest.fixture
def folders(tmp_path, demo_data):
    """A data folder of its own, so that the features in it are, too."""
    data = tmp_path / "data"
    data.mkdir()
    (data / "demo").symlink_to(demo_data / "demo")
    return {"data_dir": data, "results_dir": tmp_path / "results", "device": "cpu"}


def test_a_head_on_features_is_that_of_training_with_a_frozen_body(fields, folders):
    recipe = probing_recipe(**fields)
    probe = Probe(recipe, RunOptions(run_name="probe", **folders))
    probed = probe.train_head(recipe.lr, RunOptions(run_name="probe", **folders))
    trained = train(recipe, RunOptions(run_name="train", **folders))
    for name in ("train_loss", "val_loss", "lr"):
        assert probed.epochs[name] == pytest.approx(trained.epochs[name], rel=1e-4)
    one, other = (read_checkpoint(folders["results_dir"] / name / "last.pth") for name in ("probe", "train"))
    assert one["recipe"] == other["recipe"]
    for name, tensor in one["state_dict"].items():
        torch.testing.assert_close(tensor, other["state_dict"][name], rtol=1e-3, atol=1e-5)


def test_features_are_what_enters_the_head_and_are_computed_once(fields, folders, monkeypatch):
    recipe = probing_recipe(**fields)
    images, _ = load_images(recipe, folders["data_dir"])
    model = build_model(recipe.model, num_classes=4).eval()
    folder = folders["data_dir"] / "features"
    found = features_of(model, images, recipe, folder)
    logits = predict_logits(model, images, image_size=32, batch_size=16, device=torch.device("cpu"))
    with torch.no_grad():
        torch.testing.assert_close(head_of(model)(found), logits, rtol=1e-4, atol=1e-4)
    monkeypatch.setattr(features, "predict_logits", lambda *_, **__: pytest.fail("computed again"))
    assert torch.equal(features_of(model, images, recipe, folder), found)
    subset = torch.tensor([5, 2, 9])
    assert torch.equal(features_of(model, images.select(subset), recipe, folder), found[subset])
    nn.init.normal_(head_of(model).weight)  # the head does not matter, the body does
    assert torch.equal(features_of(model, images, recipe, folder), found)


def test_a_run_that_is_stopped_keeps_the_features_that_it_has(fields, folders, monkeypatch):
    recipe = probing_recipe(**fields)
    images, _ = load_images(recipe, folders["data_dir"])
    model, folder = build_model(recipe.model, num_classes=4).eval(), folders["data_dir"] / "features"
    expected = features_of(model, images, recipe, folder / "whole")
    monkeypatch.setattr(features, "PIECE", 40)
    calls, compute = [], features.compute_features

    def stopped(model, piece, recipe):
        if len(calls) == 1:
            raise KeyboardInterrupt
        calls.append(len(piece))
        return compute(model, piece, recipe)

    with monkeypatch.context() as context:
        context.setattr(features, "compute_features", stopped)
        with pytest.raises(KeyboardInterrupt):
            features_of(model, images, recipe, folder)
    again = []
    monkeypatch.setattr(features, "compute_features", lambda *args: again.append(len(args[1])) or compute(*args))
    torch.testing.assert_close(features_of(model, images, recipe, folder), expected, rtol=1e-5, atol=1e-6)
    assert calls == [40]
    assert sum(again) == len(images) - 40


@pytest.mark.parametrize("damage", [lambda path: path.write_bytes(b"{"), lambda path: path.unlink()])
def test_damaged_features_are_computed_anew(fields, folders, damage):
    recipe = probing_recipe(**fields)
    images, _ = load_images(recipe, folders["data_dir"])
    model, folder = build_model(recipe.model, num_classes=4).eval(), folders["data_dir"] / "features"
    found = features_of(model, images, recipe, folder)
    (path,) = folder.iterdir()
    damage(path)
    assert torch.equal(features_of(model, images, recipe, folder), found)
    with torch.no_grad():
        next(model.parameters()).mul_(2)  # another network
    features_of(model, images, recipe, folder)
    assert len(list(folder.iterdir())) == 2


def test_what_is_no_vector_of_features_is_refused(fields, folders):
    class Places(nn.Module):
        def __init__(self):
            super().__init__()
            self.head = nn.Linear(3, 2)

        def forward(self, x):
            return self.head(x.permute(0, 2, 3, 1)).mean((1, 2))

    recipe = probing_recipe(**fields)
    images, _ = load_images(recipe, folders["data_dir"])
    with pytest.raises(UserError, match="Places has no vector of features: 32x32x3 of an image enter its head"):
        features_of(Places(), images, recipe, folders["data_dir"] / "features")


def test_votes_are_weighed_by_similarity():
    known, labels = torch.tensor([[1.0, 0.0], [0.0, 2.0], [-1.0, 0.0]]), torch.tensor([0, 1, 1])
    votes = neighbours_votes(known, labels, torch.tensor([[3.0, 3.0]]), [1, 2], 3)[2]
    weight = math.exp(math.sqrt(0.5) / TEMPERATURE)
    torch.testing.assert_close(votes, torch.tensor([[weight, weight, 0.0]]))
    assert neighbours_votes(known, labels, known, [99], 3)[99].argmax(1).tolist() == [0, 1, 1]


def test_the_command_leaves_runs_that_are_tested_as_any_other(weights, folders, monkeypatch, capsys):
    words = ["--model", "timm/resnet10t", "--pretrained", weights, "--dataset", "demo", "--classes", "4"]
    words += ["--image_size", "32", "--precision", "fp32", "--seeds", "2", "--lr", "0.03", "0.3"]
    places = [word for name, value in folders.items() for word in (f"--{name}", value)]
    main_of("probe", monkeypatch, *words, *places)
    shown = capsys.readouterr().out
    assert "learning rate: 0." in shown
    assert "on validation images, 2 seeds" in shown
    folder = folders["results_dir"] / "probe_timm_resnet10t"
    rows = read_json(folder / "probe.json")["validation_accuracies"]
    assert [row["seed"] for row in rows] == [0, 1]
    assert rows[1]["linear"] == max(read_json(folder / "seed1" / "history.json")["val_acc"])
    main_of("test", monkeypatch, "--run", "probe_timm_resnet10t/seed1", *places)
    assert read_json(folder / "seed1" / "test_results.json")["test_acc"] > 0
    with pytest.raises(UsageError, match="already holds a run"):
        main_of("probe", monkeypatch, *words, *places)


@pytest.mark.parametrize("flag", ["--lr", "--neighbours"])
def test_a_list_without_a_value_is_a_line(flag, monkeypatch):
    with pytest.raises(UsageError, match=f"{flag} needs at least one value"):
        main_of("probe", monkeypatch, "--model", "timm/resnet10t", "--pretrained", "x.pth", flag)
