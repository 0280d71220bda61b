"""The temperature against scipy and known answers, and testing with it."""

import json

import numpy as np
import pytest
import torch
from scipy.optimize import minimize_scalar
from test_testing import main_of, save
from torch.nn import functional as F

from tinybench import metrics
from tinybench.data import datasets, split
from tinybench.data.augment.policy import normalize
from tinybench.errors import UserError
from tinybench.evaluation.calibration import COLDEST, HOTTEST, fit_temperature
from tinybench.evaluation.evaluate import EvalOptions, load_own_images
from tinybench.evaluation.evaluate import evaluate_checkpoint as check
from tinybench.inference.checkpoint import load_network, read_checkpoint, write_checkpoint
from tinybench.inference.predictor import predict_logits

CPU = torch.device("cpu")


def scipys_temperature(logits, labels):
    def loss(log_temperature):
        return F.cross_entropy(logits.double() / np.exp(log_temperature), labels).item()

    return float(np.exp(minimize_scalar(loss, bounds=(-4, 4), method="bounded", options={"xatol": 1e-10}).x))


def drawn(count, classes, scale, seed=0):
    """Logits that say the truth about their labels, and then are made `scale` times as sure."""
    random = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(count, classes, generator=random)
    labels = torch.multinomial(logits.softmax(1), 1, generator=random).squeeze(1)
    return scale * logits, labels


@pytest.mark.parametrize("scale", [0.2, 1, 3])
@pytest.mark.parametrize("classes", [2, 10, 200])
def test_temperature_is_that_of_scipy(classes, scale):
    logits, labels = drawn(500, classes, scale)
    assert fit_temperature(logits, labels) == pytest.approx(scipys_temperature(logits, labels), rel=1e-6)


@pytest.mark.parametrize("scale", [0.25, 1, 4])
def test_temperature_undoes_overconfidence(scale):
    logits, labels = drawn(20_000, 10, scale)
    temperature = fit_temperature(logits, labels)
    assert temperature == pytest.approx(scale, rel=0.03)
    assert metrics.ece(logits / temperature, labels) < 0.02
    if scale != 1:
        assert metrics.ece(logits, labels) > 0.1


def test_without_an_optimum_the_temperature_is_an_end_of_its_range():
    logits = 5 * torch.eye(4)
    assert fit_temperature(logits, torch.arange(4)) == pytest.approx(COLDEST)
    assert fit_temperature(logits, (torch.arange(4) + 1) % 4) == pytest.approx(HOTTEST)


def test_calibration_looks_at_the_validation_images_of_the_run(demo_data, tmp_path):
    path = save(tmp_path / "best_model.pth", demo_data)
    checkpoint = read_checkpoint(path)
    train = datasets.load("demo", "train", demo_data)
    _, expected = split.train_val_split(train, checkpoint["recipe"]["val_fraction"], checkpoint["recipe"]["seed"])
    trained_on, images = load_own_images(checkpoint, demo_data)
    assert torch.equal(images.images, expected.images)
    assert len(trained_on) + len(images) == len(train)

    model = load_network(checkpoint)
    pixels = normalize(train.images, 32, train.mean, train.std)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.003)
    for start in range(0, 150 * 64, 64):  # a little skill, or no temperature would be hot enough
        chosen = torch.arange(start, start + 64) * 7 % len(train)
        F.cross_entropy(model(pixels[chosen]), train.labels[chosen]).backward()
        optimizer.step()
        optimizer.zero_grad()
    with torch.no_grad():
        model.head.weight *= 20  # surer than it should be
    write_checkpoint(path, checkpoint | {"state_dict": model.state_dict()})
    logits = predict_logits(model, images, image_size=32, batch_size=256, device=CPU)
    plain = check(path, EvalOptions(device=CPU, data_dir=demo_data))
    results = check(path, EvalOptions(device=CPU, data_dir=demo_data, calibrate=True))
    assert results["temperature"] == pytest.approx(scipys_temperature(logits, images.labels), rel=1e-4)
    saved = np.load(tmp_path / "predictions.npz")
    test_logits, labels = torch.from_numpy(saved["logits"].astype(np.float32)), torch.from_numpy(saved["labels"]).long()
    nll = metrics.nll(test_logits / results["temperature"], labels)
    assert results["nll_calibrated"] == pytest.approx(nll, abs=1e-3)
    assert results["nll_calibrated"] < results["nll"] == plain["nll"]
    assert results["ece_calibrated"] < results["ece"]
    assert "temperature" not in plain
    assert json.loads((tmp_path / "test_results.json").read_text()) == results


def test_other_training_images_are_refused(demo_data, tmp_path):
    path = save(tmp_path / "best_model.pth", demo_data)
    write_checkpoint(path, read_checkpoint(path) | {"fingerprint": "another"})
    with pytest.raises(UserError, match="training images of demo are not those"):
        check(path, EvalOptions(device=CPU, data_dir=demo_data, calibrate=True))
    with pytest.raises(UserError, match="training images of demo are not those"):
        load_own_images(read_checkpoint(path), demo_data)


def test_the_command_calibrates(demo_data, tmp_path, monkeypatch, capsys):
    path = save(tmp_path / "last.pth", demo_data)
    assert main_of("src/test.py", monkeypatch, "--checkpoint", path, "--data_dir", demo_data, "--calibrate") == 0
    assert "at temperature" in capsys.readouterr().out
    assert "ece_calibrated" in json.loads((tmp_path / "test_results_last.json").read_text())
