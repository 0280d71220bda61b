"""Data sets by name: tiny-imagenet, demo, those of torchvision, or any folder of class folders."""

import functools
import hashlib
import re
from dataclasses import replace
from pathlib import Path

from tinybench.data import demo
from tinybench.data.curate import NAME as TINY_IMAGENET
from tinybench.data.curate import curate_if_missing
from tinybench.data.decode import IMAGE_SUFFIXES, decode_square
from tinybench.data.imageset import ImageSet
from tinybench.data.packed import (
    PackedSplit,
    Split,
    is_intact,
    is_packed,
    load_packed,
    one_at_a_time,
    pack_split,
    start_anew,
    write_metadata,
)
from tinybench.data.torchvision_sets import SETS, pack_torchvision
from tinybench.errors import UsageError, UserError, command
from tinybench.runtime.seeds import Purpose, numpy_generator

TEST_FOLDERS = ("test", "val", "valid", "validation")
NAMES = (TINY_IMAGENET, demo.NAME, *SETS)  # all other data sets are folders
# What networks trained on ImageNet expect.
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
# Where a folder has no test images of its own, which are held out must not depend on any run.
HOLDOUT_SEED, HOLDOUT_FRACTION = 0, 0.2


def load(dataset: str, split: Split, data_dir: Path, image_size: int = 64) -> ImageSet:
    """The train or the test images of a data set.

    Args:
        dataset: tiny-imagenet, demo, one of torchvision_sets.SETS, or the path of a folder.
        image_size: side in pixels that a folder's images are packed at; the others are stored at their own.

    Raises:
        UserError: the data are missing or damaged; the message says what to type.
        UsageError: no such data set.
    """
    if dataset == TINY_IMAGENET:
        make = command("src/curate_data.py", "--data_dir", data_dir)
        folder = data_dir / "curated" / TINY_IMAGENET
        if not is_packed(folder):
            raise UserError(
                f"{folder} is missing or unfinished; make it with {make}, or train with --download, or try "
                "--dataset demo"
            )
        return load_packed(folder, split, remedy=f"make it again with {make}")
    if dataset == demo.NAME:
        folder = data_dir / "curated" / demo.NAME
        with one_at_a_time(folder):
            if not is_intact(folder):
                demo.make(data_dir)
    elif dataset in SETS:
        folder = pack_torchvision(dataset, data_dir)
    elif Path(dataset).is_dir():
        folder = pack_folder(Path(dataset), data_dir, image_size)
    elif Path(dataset).name != dataset:
        raise UsageError(f"the folder {dataset} is not there; if it has moved, give its new place with --dataset")
    else:
        raise UsageError(
            f"dataset {dataset!r} is neither {TINY_IMAGENET} nor {demo.NAME} nor {', '.join(SETS)} nor a folder of "
            "class folders"
        )
    return load_packed(folder, split)


def download(dataset: str, data_dir: Path) -> None:
    """Download and pack a data set unless that has been done.

    Raises:
        UsageError: it is none that can be downloaded.
        UserError: the download failed.
    """
    if dataset == TINY_IMAGENET:
        curate_if_missing(data_dir)
    elif dataset in SETS:
        pack_torchvision(dataset, data_dir, download=True)
    else:
        raise UsageError(f"--download goes with dataset {TINY_IMAGENET}, {', '.join(SETS)}, not {dataset}")


def normalized_as(images: ImageSet, normalize: str) -> ImageSet:
    """With the statistics that a recipe's `normalize` asks for: the data's own, or those of ImageNet."""
    if normalize == "data":
        return images
    return replace(images, mean=IMAGENET_MEAN, std=IMAGENET_STD)


def pack_folder(root: Path, data_dir: Path, image_size: int) -> Path:
    """Pack a folder of class folders, unless that has been done; the packed folder is returned.

    Either `root` holds the class folders, and a fifth of each class is held out as the test set, or it holds train/ and
    test/ (or val/), and they hold them. Images are scaled so that the shorter side fits, and their centre is cropped.
    """
    train, test = _splits_of(root)
    listed = [path for files in (*train.values(), *test.values()) for path in files]
    state = [(path.relative_to(root).as_posix(), path.stat().st_size, path.stat().st_mtime_ns) for path in listed]
    digest = hashlib.sha256(repr((str(root.resolve()), image_size, sorted(state))).encode()).hexdigest()
    slug = re.sub(r"[^a-z0-9]+", "-", root.resolve().name.lower()).strip("-") or "folder"
    folder = data_dir / "curated" / f"{slug}-{image_size}-{digest[:12]}"
    with one_at_a_time(folder):
        if not is_intact(folder):
            start_anew(folder)
            class_ids = sorted(train)
            packed: dict[Split, PackedSplit] = {}
            sides: dict[Split, dict[str, list[Path]]] = {"train": train, "test": test}
            for split, files in sides.items():
                packed[split] = pack_split(
                    folder,
                    split,
                    [(path, label) for label, name in enumerate(class_ids) for path in files.get(name, [])],
                    class_ids,
                    image_size,
                    fetch=lambda path: (str(path), path),
                    decode=functools.partial(decode_square, image_size),
                )
            write_metadata(folder, name=slug, class_ids=class_ids, class_names=class_ids, splits=packed)
    return folder


def _splits_of(root: Path) -> tuple[dict[str, list[Path]], dict[str, list[Path]]]:
    """For train and test: the files of each class."""
    if (root / "wnids.txt").is_file() and (root / "val" / "images").is_dir():
        raise UsageError(
            f"{root} is an extracted Tiny ImageNet; type {command('src/curate_data.py', '--source', root)}"
        )
    # A split holds folders; else it is a class that bears its name, or test images without labels.
    own_test = next((root / name for name in TEST_FOLDERS if _folders_in(root / name)), None)
    if not _folders_in(root / "train"):
        return _hold_out(_classes_of(root, at_least=2))
    train = _classes_of(root / "train", at_least=2)
    if own_test is None:
        return _hold_out(train)
    test = _classes_of(own_test, at_least=1)
    if unknown := sorted(test.keys() - train.keys()):
        raise UserError(f"{own_test} has classes that {root / 'train'} has not: {', '.join(unknown[:5])}")
    return train, test


def _folders_in(root: Path) -> list[Path]:
    """The folders in a folder, sorted, without hidden ones; none where there is no such folder."""
    if not root.is_dir():
        return []
    return sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))


def _classes_of(root: Path, at_least: int) -> dict[str, list[Path]]:
    """The image files of each class folder; there must be `at_least` so many."""
    classes = {}
    for folder in _folders_in(root):
        files = [path for path in folder.rglob("*") if path.suffix.lower() in IMAGE_SUFFIXES and path.is_file()]
        classes[folder.name] = sorted(path for path in files if not path.name.startswith("."))
    if len(classes) < 2:
        raise UserError(f"{root} holds {len(classes)} class folders; at least 2 are needed")
    for name, files in classes.items():
        if len(files) < at_least:
            raise UserError(
                f"{root / name} holds {len(files)} images ({', '.join(sorted(IMAGE_SUFFIXES))}); "
                f"at least {at_least} are needed"
            )
    return classes


def _hold_out(classes: dict[str, list[Path]]) -> tuple[dict[str, list[Path]], dict[str, list[Path]]]:
    train, test = {}, {}
    for index, (name, files) in enumerate(classes.items()):
        order = numpy_generator(HOLDOUT_SEED, Purpose.HOLDOUT, index).permutation(len(files))
        count = max(1, round(len(files) * HOLDOUT_FRACTION))
        test[name] = [files[position] for position in sorted(order[:count])]
        train[name] = [files[position] for position in sorted(order[count:])]
    return train, test
