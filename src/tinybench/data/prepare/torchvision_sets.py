"""MNIST, Fashion-MNIST, CIFAR, SVHN and STL-10: read by torchvision, then packed like every other data set."""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tinybench.data.prepare.decode import NamedSource
from tinybench.data.prepare.packed import PackedSplit, Split, ensure_packed, pack_split, write_metadata
from tinybench.errors import UserError, command

DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


@dataclass(frozen=True)
class TorchvisionSet:
    """A data set of torchvision.

    Attributes:
        reader: name of torchvision's class.
        size: side of the images in pixels.
        files: to fetch where torchvision cannot, and the folder below `root` that takes them.
        address: where they are.
        train, test: what selects a split in the reader's constructor.
        names: of the classes; None: the reader knows them.
        labels: name of the reader's attribute that holds the labels.
    """

    reader: str
    size: int
    files: tuple[str, ...]
    folder: str
    address: str
    train: dict[str, Any]
    test: dict[str, Any]
    names: tuple[str, ...] | None = None
    labels: str = "targets"


BY_FLAG: dict[str, Any] = {"train": {"train": True}, "test": {"train": False}}
BY_NAME: dict[str, Any] = {"train": {"split": "train"}, "test": {"split": "test"}, "labels": "labels"}
IDX = tuple(
    f"{part}-ubyte.gz" for part in ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1")
)
MNIST_MIRROR = "https://ossci-datasets.s3.amazonaws.com/mnist/"
FASHION_MIRROR = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/"
TORONTO = "https://www.cs.toronto.edu/~kriz/"
HOUSE_NUMBERS = "http://ufldl.stanford.edu/housenumbers/"
STANFORD = "http://ai.stanford.edu/~acoates/stl10/"

SETS = {
    "mnist": TorchvisionSet("MNIST", 28, IDX, "MNIST/raw", MNIST_MIRROR, names=DIGITS, **BY_FLAG),
    "fashion-mnist": TorchvisionSet("FashionMNIST", 28, IDX, "FashionMNIST/raw", FASHION_MIRROR, **BY_FLAG),
    "cifar10": TorchvisionSet("CIFAR10", 32, ("cifar-10-python.tar.gz",), "", TORONTO, **BY_FLAG),
    "cifar100": TorchvisionSet("CIFAR100", 32, ("cifar-100-python.tar.gz",), "", TORONTO, **BY_FLAG),
    "svhn": TorchvisionSet(
        "SVHN", 32, ("train_32x32.mat", "test_32x32.mat"), "", HOUSE_NUMBERS, names=DIGITS, **BY_NAME
    ),
    "stl10": TorchvisionSet("STL10", 96, ("stl10_binary.tar.gz",), "", STANFORD, **BY_NAME),
}


def pack_torchvision(name: str, data_dir: Path, *, download: bool = False) -> Path:
    """Pack a data set of SETS, unless that has been done; the packed folder is returned.

    Args:
        download: fetch the files that are missing.

    Raises:
        UserError: the files are missing or damaged, or cannot be downloaded; the message names them.
    """
    about, root = SETS[name], data_dir / "downloads" / name

    def make(folder: Path) -> None:
        # torchvision unpacks what it would else download.
        present = all((root / about.folder / file).is_file() for file in about.files)
        splits: dict[Split, Any] = {
            "train": _read(name, root, about.train, download or present),
            "test": _read(name, root, about.test, download or present),
        }
        names = about.names or tuple(splits["train"].classes)
        # Numbers, so that sorted ids are in the published order of the classes.
        class_ids = [f"{label:0{len(str(len(names) - 1))}d}" for label in range(len(names))]
        packed: dict[Split, PackedSplit] = {}
        for split, images in splits.items():
            pixels = _channels_first(images.data)
            labels = np.asarray(getattr(images, about.labels)).tolist()
            packed[split] = pack_split(
                folder,
                split,
                list(enumerate(labels)),
                class_ids,
                about.size,
                fetch=_fetcher(pixels),
                decode=functools.partial(_to_rgb, pixels.shape[1:]),
            )
        write_metadata(folder, name=name, class_ids=class_ids, class_names=names, splits=packed)

    return ensure_packed(data_dir / "curated" / name, make)


def _read(name: str, root: Path, split: dict[str, Any], download: bool) -> Any:
    """One split, as torchvision's reader gives it."""
    import torchvision.datasets  # slow to import

    about = SETS[name]
    try:
        root.mkdir(parents=True, exist_ok=True)
        return getattr(torchvision.datasets, about.reader)(str(root), download=download, **split)
    except Exception as error:  # readers raise RuntimeError, OSError, EOFError, KeyError, zlib.error and others
        if not download:
            fetch = command("src/train.py", "--dataset", name, "--data_dir", root.parents[1], "--download")
            why = f"{name} is missing in {root} or damaged; {fetch} fetches it"
        else:
            why = f"cannot download {name}, or it is damaged ({str(error).splitlines()[0] if str(error) else error!r})"
        raise UserError(
            f"{why}; or put {', '.join(about.files)} from {about.address} into {root / about.folder}"
        ) from error


def _channels_first(data: Any) -> np.ndarray:
    """uint8 (N, channels, H, W)."""
    pixels = np.asarray(data)
    if pixels.ndim == 3:
        return pixels[:, None]
    return pixels if pixels.shape[1] == 3 else pixels.transpose(0, 3, 1, 2)


def _fetcher(pixels: np.ndarray) -> Callable[[int], NamedSource]:
    return lambda index: (str(index), pixels[index].tobytes())


def _to_rgb(shape: tuple[int, ...], source: NamedSource) -> np.ndarray:
    """uint8 (3, H, W); gray images show the same in all channels."""
    _, data = source
    assert isinstance(data, bytes)
    return np.broadcast_to(np.frombuffer(data, np.uint8).reshape(shape), (3, *shape[1:]))
