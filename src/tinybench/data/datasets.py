"""Data sets by name: tiny-imagenet, demo, those of torchvision, or any folder of class folders."""

import contextlib
import functools
import hashlib
import os
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from tinybench.data.imageset import ImageSet
from tinybench.data.prepare import demo
from tinybench.data.prepare.curate import NAME as TINY_IMAGENET
from tinybench.data.prepare.curate import curate_if_missing
from tinybench.data.prepare.decode import DEEP_SUFFIXES, NamedSource, decode_square, deep_range, white_of
from tinybench.data.prepare.folders import read_folder
from tinybench.data.prepare.packed import (
    Split,
    ensure_packed,
    is_intact,
    is_packed,
    load_packed,
    pack_splits,
    write_metadata,
)
from tinybench.data.prepare.torchvision_sets import SETS, pack_torchvision
from tinybench.errors import UsageError, UserError, command, printable
from tinybench.words import counted

# Means and standard deviations of the channels, of pixels from 0 to 1, that networks trained on ImageNet expect.
STATISTICS = {
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "inception": ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
}


def load(dataset: str, split: Split, data_dir: Path, image_size: int = 64, *, skip_damaged: bool = False) -> ImageSet:
    """The train or the test images of a data set, or the validation images of a folder that has some of its own.

    Args:
        dataset: tiny-imagenet, demo, one of torchvision_sets.SETS, or the path of a folder.
        image_size: side in pixels that a folder's images are packed at; the others are stored at their own.
        skip_damaged: leave out the images of a folder that cannot be read.

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
        folder = demo.pack(data_dir)
    elif dataset in SETS:
        folder = pack_torchvision(dataset, data_dir)
    elif Path(dataset).is_dir():
        folder = pack_folder(Path(dataset), data_dir, image_size, skip_damaged=skip_damaged)
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
    """With the statistics that a recipe's `normalize` asks for: the data's own, or others."""
    if normalize == "data":
        return images
    mean, std = STATISTICS[normalize]
    return replace(images, mean=mean, std=std)


def pack_folder(root: Path, data_dir: Path, image_size: int, *, skip_damaged: bool = False) -> Path:
    """Pack a folder of class folders (see folders.py), unless that has been done; the packed folder is returned.

    Images are scaled so that the shorter side fits, and their centre is cropped.

    Raises:
        UserError: the folder holds no classes, or damaged images that are not to be left out.
    """
    if (root / "wnids.txt").is_file() and (root / "val" / "images").is_dir():
        curate = command("src/curate_data.py", "--source", root)
        raise UsageError(f"{root} is an extracted Tiny ImageNet; type {curate}")
    listing = read_folder(root)
    listed = [path for classes in listing.splits.values() for files in classes.values() for path in files]
    state = [(path.relative_to(root).as_posix(), path.stat().st_size, path.stat().st_mtime_ns) for path in listed]
    identity = (str(root.resolve()), image_size, sorted(state), *(["skip_damaged"] if skip_damaged else []))
    digest = hashlib.sha256(repr(identity).encode()).hexdigest()
    slug = re.sub(r"[^a-z0-9]+", "-", root.resolve().name.lower()).strip("-") or "folder"
    packed_folder = data_dir / "curated" / f"{slug}-{image_size}-{digest[:12]}"
    classes = sorted(listing.splits["train"])
    names = [os.fsencode(name).decode(errors="backslashreplace") for name in classes]

    def make(folder: Path) -> None:
        print(f"{printable(root)}:\n{listing}", flush=True)
        white = _white(listed)
        items = {
            split: [(path, label) for label, name in enumerate(classes) for path in files.get(name, [])]
            for split, files in listing.splits.items()
        }
        decode = functools.partial(decode_square, image_size, white=white)
        packed, left_out = pack_splits(folder, items, names, image_size, _named, decode, skip_damaged)
        write_metadata(
            folder, name=slug, class_ids=names, class_names=names, splits=packed, white=white, left_out=left_out
        )

    # Earlier versions took folders of splits such as Train and Test for classes.
    outdated = is_intact(packed_folder) and list(load_packed(packed_folder, "train").class_ids) != names
    return ensure_packed(packed_folder, make, anew=outdated)


def _named(split: Split, path: Path) -> NamedSource:
    return str(path), path


def _white(paths: Sequence[Path]) -> float:
    """What counts as white in the deep images among the files, the same for all; 0 where there are none.

    Images that hardly differ from black at that scale are named on the screen.
    """
    ranges = {}
    for path in paths:
        if path.suffix.lower() in DEEP_SUFFIXES:
            with contextlib.suppress(UserError):  # packing will say what is wrong with it
                if found := deep_range(path):
                    ranges[path] = found
    if not ranges:
        return 0.0
    white = white_of(max(largest for _, largest in ranges.values()))
    print(f"  {counted(len(ranges), 'image')} of more than 8 bits a channel: {white:g} counts as white", flush=True)
    if flat := [path for path, (low, high) in ranges.items() if 255 * (high - low) / white < 2]:
        names = ", ".join(printable(path) for path in flat[:5])
        print(f"  hardly any levels of gray at that scale in {len(flat):,} of them: {names}", flush=True)
    return white
