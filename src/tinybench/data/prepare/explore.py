"""Statistics of a data set: counts, grayscale images, mean and standard deviation per channel, exact duplicates."""

import hashlib
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

from PIL import Image

from tinybench.data import datasets
from tinybench.data.imageset import ImageSet
from tinybench.data.prepare.decode import FORMATS
from tinybench.data.prepare.packed import SPLITS, Split

CHUNK = 1000


def explore(dataset: str, data_dir: Path, image_size: int = 64, skip_damaged: bool = False) -> dict[str, Any]:
    """The statistics of a data set as a dict that JSON can hold.

    A duplicate group is a set of images with identical pixels. It is across classes if its labels differ, and across
    splits if its images are in several splits: test images that are also in the training set.
    """

    def load(split: Split) -> ImageSet:
        return datasets.load(dataset, split, data_dir, image_size, skip_damaged=skip_damaged)

    train = load("train")
    splits = {split: load(split) for split in SPLITS if split in train.split_fingerprints}
    groups: dict[bytes, list[tuple[str, int, int]]] = defaultdict(list)
    about: dict[str, Any] = {}
    for split, images in splits.items():
        grayscale = 0
        for start in range(0, len(images), CHUNK):
            pixels = images.images[start : start + CHUNK]
            same = (pixels[:, 0] == pixels[:, 1]) & (pixels[:, 1] == pixels[:, 2])
            grayscale += int(same.flatten(1).all(1).sum())
            for offset, image in enumerate(pixels.numpy()):
                key = hashlib.blake2b(image, digest_size=16).digest()
                groups[key].append((split, start + offset, int(images.labels[start + offset])))
        counts = Counter(images.labels.tolist())
        about[split] = {
            "images": len(images),
            "fingerprint": images.fingerprint,
            "fewest_per_class": min(counts[label] for label in range(images.num_classes)),
            "most_per_class": max(counts.values()),
            "gray_images": grayscale,
            **_grayscale_files(data_dir / "curated" / train.name / split),
        }
    duplicates = [group for group in groups.values() if len(group) > 1]
    return {
        "name": train.name,
        "classes": train.num_classes,
        "image_size": list(train.images.shape[2:]),
        "splits": about,
        "mean": list(train.mean),
        "std": list(train.std),
        "duplicates": {
            "groups": len(duplicates),
            "images": sum(len(group) for group in duplicates),
            "within_class": sum(len({label for _, _, label in group}) == 1 for group in duplicates),
            "across_classes": sum(len({label for _, _, label in group}) > 1 for group in duplicates),
            "across_splits": sum(len({split for split, _, _ in group}) > 1 for group in duplicates),
            "members": [
                [{"split": split, "index": index, "class": train.class_ids[label]} for split, index, label in group]
                for group in duplicates
            ],
        },
    }


def _grayscale_files(folder: Path) -> dict[str, int]:
    """The number of curated files with one channel; empty if curation kept no files."""
    modes = Counter(Image.open(path, formats=FORMATS).mode for path in folder.glob("*/*.JPEG"))
    return {"grayscale_files": modes["L"]} if modes else {}


def describe(numbers: dict[str, Any]) -> str:
    """The same as text."""
    height, width = numbers["image_size"]
    lines = [f"{numbers['name']}: {numbers['classes']} classes, {width}x{height} pixels"]
    for split, about in numbers["splits"].items():
        fewest, most = about["fewest_per_class"], about["most_per_class"]
        per_class = f"{fewest}" if fewest == most else f"{fewest} to {most}"
        files = f" ({about['grayscale_files']:,} files of one channel)" if "grayscale_files" in about else ""
        lines.append(
            f"  {split:<6}{about['images']:>9,} images, {per_class} a class, "
            f"{about['gray_images']:,} without colour{files}"
        )
    lines.append("  train channel mean  " + ", ".join(f"{value:.4f}" for value in numbers["mean"]))
    lines.append("  train channel std   " + ", ".join(f"{value:.4f}" for value in numbers["std"]))
    duplicates = numbers["duplicates"]
    lines.append(
        f"  {duplicates['groups']} groups of images with identical pixels ({duplicates['images']} images): "
        f"{duplicates['within_class']} within a class, {duplicates['across_classes']} across classes, "
        f"{duplicates['across_splits']} across {' and '.join(numbers['splits'])}"
    )
    return "\n".join(lines)
