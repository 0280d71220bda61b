"""Attacks and occlusion against hand numbers and brute force; a network's whole robustness, from a checkpoint."""

import itertools
import json

import numpy as np
import pytest
import torch
from PIL import Image
from test_testing import main_of, save
from torch import nn
from torch.nn import functional as F

from tinybench.data import datasets
from tinybench.data.augment.policy import normalize
from tinybench.errors import UsageError, UserError
from tinybench.evaluation.evaluate import EvalOptions, TestedNetwork
from tinybench.evaluation.robustness import evaluate
from tinybench.evaluation.robustness.attacks import fgsm, pgd
from tinybench.evaluation.robustness.corruptions import CORRUPTIONS
from tinybench.evaluation.robustness.occlusion import GRAY, occlude, square_places
from tinybench.inference.checkpoint import load_network, read_checkpoint, write_checkpoint
from tinybench.results.robustness import mean_corruption_error

CPU = torch.device("cpu")


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def losses(network, images, labels):
    with torch.no_grad():
        return F.cross_entropy(network(images), labels, reduction="none")


@pytest.fixture
def curved():
    """A network that is far from linear, images and labels."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Flatten(), nn.Linear(48, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 5))
    for layer in network:
        if isinstance(layer, nn.Linear):
            nn.init.normal_(layer.weight, std=0.5)
    return network, torch.rand(32, 3, 4, 4), torch.arange(32) % 5


# ---- attacks


@pytest.mark.parametrize("radius", [0.1, 0.3])
def test_on_a_linear_network_both_attacks_find_the_worst_corner(radius):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Flatten(), nn.Linear(12, 2))
    images, labels = torch.rand(1, 3, 2, 2), torch.tensor([1])
    low, high = (images - radius).clamp(min=0).flatten(), (images + radius).clamp(max=1).flatten()
    choices = itertools.product((False, True), repeat=12)
    corners = torch.stack([torch.where(torch.tensor(choice), high, low) for choice in choices])
    worst = losses(network, corners.view(-1, 3, 2, 2), labels.expand(len(corners))).max()
    for attacked in (
        fgsm(network, images, labels, radius),
        pgd(network, images, labels, radius, steps=10, generator=generator()),
    ):
        torch.testing.assert_close(losses(network, attacked, labels)[0], worst)


def test_fgsm_by_hand():
    def network(images):
        logit = 3 * images[:, 0, 0, 0] - 2 * images[:, 1, 0, 0]
        return torch.stack((torch.zeros_like(logit), logit), 1)

    images, labels = torch.tensor([0.5, 0.95, 0.3]).view(1, 3, 1, 1), torch.tensor([1])
    attacked = fgsm(network, images, labels, 0.1)
    torch.testing.assert_close(attacked.flatten(), torch.tensor([0.4, 1.0, 0.3]))  # cut off at white; no gradient


@pytest.mark.parametrize("radius", [0.02, 0.1, 0.4])
def test_attacks_stay_in_the_ball_and_more_steps_do_more_damage(curved, radius):
    network, images, labels = curved
    images[0], images[1] = 0, 1
    one = fgsm(network, images, labels, radius)
    many = pgd(network, images, labels, radius, steps=20, generator=generator())
    for attacked in (one, many):
        assert 0 <= attacked.min() <= attacked.max() <= 1
        assert (attacked - images).abs().max() <= radius + 1e-6
    assert losses(network, images, labels).mean() < losses(network, one, labels).mean()
    assert losses(network, one, labels).mean() < losses(network, many, labels).mean()
    assert all(parameter.grad is None for parameter in network.parameters())
    again, other = (pgd(network, images, labels, radius, steps=20, generator=generator(seed)) for seed in (0, 1))
    assert torch.equal(again, many)
    assert not torch.equal(other, many)


def test_foolbox_finds_the_same(curved):
    foolbox = pytest.importorskip("foolbox")
    network, images, labels = curved
    model = foolbox.PyTorchModel(network.eval(), bounds=(0, 1), device="cpu")
    _, theirs, _ = foolbox.attacks.LinfFastGradientAttack(random_start=False)(model, images, labels, epsilons=0.1)
    wrong = network(images).argmax(1) != labels  # which foolbox leaves alone
    theirs[wrong] = fgsm(network, images, labels, 0.1)[wrong]
    torch.testing.assert_close(fgsm(network, images, labels, 0.1), theirs)


# ---- occlusion


def test_a_gray_square_slides_in_quarters_of_the_image():
    assert square_places(64, 16) == [0, 16, 32, 48]
    assert square_places(64, 32) == [0, 16, 32]
    images = torch.zeros(2, 3, 8, 8, dtype=torch.uint8)
    hidden = occlude(images, 2, 4, 4)
    assert images.sum() == 0
    assert (hidden[:, :, 2:6, 4:8] == GRAY).all()
    assert hidden.sum() == 2 * 3 * 16 * GRAY


# ---- the whole


@pytest.fixture(scope="module")
def tested(tmp_path_factory):
    """A network that tells slightly red noise from slightly blue noise, how it was tested, and its robustness."""
    folder = tmp_path_factory.mktemp("colors")
    random = np.random.default_rng(0)
    for split, name in itertools.product(("train", "test"), ("blue", "red")):
        (folder / split / name).mkdir(parents=True)
        for index in range(25):
            pixels = random.normal(128, 20, (32, 32, 3))
            pixels += (5, 0, -5) if name == "red" else (-5, 0, 5)
            Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(folder / split / name / f"{index}.png")
    data_dir = folder / "data"
    path = save(folder / "run" / "best_model.pth", data_dir, dataset=folder)
    checkpoint = read_checkpoint(path)
    images = datasets.load(str(folder), "train", data_dir, 32)
    pixels = normalize(images.images, 32, images.mean, images.std)
    model = load_network(checkpoint)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.003)
    for _ in range(60):
        F.cross_entropy(model(pixels), images.labels).backward()
        optimizer.step()
        optimizer.zero_grad()
    write_checkpoint(path, checkpoint | {"state_dict": model.state_dict()})
    options = EvalOptions(device=CPU, data_dir=data_dir)
    return path, options, evaluate.measure_robustness(TestedNetwork(path, options), images_per_class=20)


def test_every_corruption_attack_and_square_is_in_the_file(tested):
    path, _, results = tested
    assert json.loads(path.with_name("robustness.json").read_text()) == results
    assert {name: about["family"] for name, about in results["corruptions"].items()} == {
        name: corruption.family for name, corruption in CORRUPTIONS.items()
    }
    accuracies = [accuracy for about in results["corruptions"].values() for accuracy in about["accuracy"]]
    assert len(accuracies) == 75
    assert results["corruption_acc"] == pytest.approx(sum(accuracies) / 75)
    assert {name: list(radii) for name, radii in results["attacks"].items()} == {
        "fgsm": ["1", "2", "4", "8"],
        "pgd": ["1", "2", "4", "8"],
    }
    occlusion = results["occlusion"]
    for side, places in (("8", 4), ("16", 3)):
        rows = occlusion["map"][side]
        assert [len(row) for row in rows] == [places] * places
        assert occlusion["mean"][side] == pytest.approx(sum(map(sum, rows)) / places**2)
        assert occlusion["worst_case"][side] <= min(map(min, rows))
    assert results["dataset"]["test_images"] == 40
    assert set(results["seconds"]) == {"corruptions", "attacks", "occlusion"}


def test_what_is_worse_hurts_more(tested):
    _, _, results = tested
    attacks, occlusion = results["attacks"], results["occlusion"]
    assert results["clean_acc"] > 95
    assert 50 < results["corruption_acc"] < results["clean_acc"]
    for attack in attacks.values():  # red and blue lie 10 levels apart
        assert attack["1"] > 80
        assert attack["8"] < 80
    assert attacks["pgd"]["8"] < 50
    for fgsm_acc, pgd_acc in zip(attacks["fgsm"].values(), attacks["pgd"].values(), strict=True):
        assert pgd_acc <= fgsm_acc + 2.5  # one of the forty images
    assert results["clean_acc"] >= occlusion["mean"]["16"] >= occlusion["worst_case"]["16"]


def test_a_repetition_changes_nothing(tested):
    path, options, results = tested
    again = evaluate.measure_robustness(TestedNetwork(path, options), images_per_class=20)
    for part in ("clean_acc", "corruptions", "attacks", "occlusion"):
        assert again[part] == results[part]


def test_a_network_with_one_answer_is_right_about_one_class(demo_data, tmp_path):
    path = save(tmp_path / "last.pth", demo_data)
    checkpoint = read_checkpoint(path)
    checkpoint["state_dict"]["head.weight"].zero_()
    checkpoint["state_dict"]["head.bias"].zero_()[3] = 1
    write_checkpoint(path, checkpoint)
    options = EvalOptions(device=CPU, data_dir=demo_data)
    results = evaluate.measure_robustness(TestedNetwork(path, options), images_per_class=1)
    assert not (tmp_path / "robustness.json").exists()
    assert results == json.loads((tmp_path / "robustness_last.json").read_text())
    assert results["corruption_acc"] == pytest.approx(10)
    assert mean_corruption_error(results, results) == pytest.approx(100)
    assert results["attacks"] == {name: dict.fromkeys(("1", "2", "4", "8"), 10.0) for name in ("fgsm", "pgd")}
    assert results["occlusion"]["worst_case"] == {"16": 10.0, "32": 10.0}


def test_the_first_images_of_each_class(demo_data):
    images = datasets.load("demo", "test", demo_data)
    assert evaluate.first_of_each_class(images, 0) is images
    few = evaluate.first_of_each_class(images, 3)
    assert torch.bincount(few.labels).tolist() == [3] * 10
    first = torch.nonzero(images.labels == 4).flatten()[:3]
    assert torch.equal(few.images[few.labels == 4], images.images[first])
    assert len(evaluate.first_of_each_class(images, 1000)) == len(images)


def test_the_command_tests_twice(tested, monkeypatch, capsys):
    path, options, _ = tested
    before = path.with_name("robustness.json").read_bytes()
    arguments = ("--checkpoint", path, "--data_dir", options.data_dir, "--device", "cpu")
    assert main_of("src/test.py", monkeypatch, *arguments, "--robustness", "--robustness_images", "1") == 0
    out = capsys.readouterr().out.splitlines()
    assert "top-1" in out[0]
    assert "corrupted" in out[1]
    assert "2 images" in out[1]
    assert path.with_name("test_results.json").exists()
    assert path.with_name("robustness.json").read_bytes() != before
    path.with_name("robustness.json").write_bytes(before)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--robustness_images", "5"), "goes with --robustness"),
        (("--robustness", "--robustness_images", "-1"), "robustness_images must be greater than or equal to 0"),
    ],
)
def test_flags_that_make_no_sense(flags, message, monkeypatch):
    with pytest.raises(UsageError, match=message):
        main_of("src/test.py", monkeypatch, *flags)


# ---- mean corruption error


def measured(**accuracies):
    return {
        "corruptions": {name: {"family": "noise", "accuracy": values} for name, values in accuracies.items()},
        "dataset": {"name": "demo", "fingerprint": "x", "classes": 2, "test_images": 4},
        "settings": {"seed": 0, "images_per_class": 0, "batch_size": 8},
    }


def test_mean_corruption_error_by_hand():
    alexnet = measured(fog=[60, 50, 40, 30, 20], snow=[50] * 5)  # errors 300 and 250
    network = measured(fog=[80, 75, 70, 65, 60], snow=[40] * 5)  # errors 150 and 300
    assert mean_corruption_error(network, alexnet) == pytest.approx((50 + 120) / 2)
    assert mean_corruption_error(alexnet, alexnet) == pytest.approx(100)


def test_mean_corruption_error_compares_like_with_like():
    network = measured(fog=[50] * 5)
    with pytest.raises(UserError, match="different corruptions"):
        mean_corruption_error(network, measured(snow=[50] * 5))
    with pytest.raises(UserError, match="no errors"):
        mean_corruption_error(network, measured(fog=[100] * 5))
    other = measured(fog=[50] * 5)
    other["settings"]["images_per_class"] = 2
    with pytest.raises(UserError, match="different images"):
        mean_corruption_error(network, other)
    other["settings"] = network["settings"] | {"batch_size": 1}  # does not matter
    assert mean_corruption_error(network, other) == pytest.approx(100)
