"""Data sets as packed arrays on disk, which training maps into memory.

A folder holds {train,test}_images.npy, uint8 (N, 3, H, W), {train,test}_labels.npy, int64 (N,), and dataset.json, which
is written last: without it, the folder is unfinished.
"""

import hashlib
import json
import math
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
import torch
from tqdm import tqdm

from tinybench.data.imageset import ImageSet
from tinybench.errors import UserError
from tinybench.runtime.files import atomic_path, read_json, write_json

Split = Literal["train", "test"]
Item = TypeVar("Item")

METADATA = "dataset.json"
CHUNK = 500  # images decoded and written at a time


@dataclass(frozen=True)
class PackedSplit:
    """What is known of a split once it is packed; mean and std per channel, in [0, 1]."""

    count: int
    fingerprint: str
    mean: list[float]
    std: list[float]


def pack_split(
    folder: Path,
    split: Split,
    items: Sequence[tuple[Item, int]],
    class_ids: Sequence[str],
    image_size: int,
    decode: Callable[[Item], np.ndarray],
) -> PackedSplit:
    """Decode all items and write one split's arrays.

    Args:
        items: what to decode, with its label, in the order of the arrays.
        decode: gives uint8 (3, image_size, image_size); called from several threads.
    """
    shape = (len(items), 3, image_size, image_size)
    labels = np.array([label for _, label in items], dtype="<i8")
    digest = hashlib.sha256(repr((shape, tuple(class_ids))).encode())
    # Integer sums are exact, whatever the order.
    sums, squares = np.zeros(3, np.uint64), np.zeros(3, np.uint64)
    with atomic_path(folder / f"{split}_images.npy") as path, path.open("wb") as file:
        header = {"descr": "|u1", "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(file, header)
        bar = tqdm(total=len(items), desc=f"packing {split}", unit=" images", disable=None)
        with bar, ThreadPoolExecutor() as pool:
            for chunk in _chunks(items):
                pixels = np.empty((len(chunk), *shape[1:]), np.uint8)
                for index, image in enumerate(pool.map(decode, (item for item, _ in chunk))):
                    pixels[index] = image
                file.write(pixels)
                digest.update(pixels)
                sums += pixels.sum(axis=(0, 2, 3), dtype=np.uint64)
                squares += np.square(pixels, dtype=np.uint16).sum(axis=(0, 2, 3), dtype=np.uint64)
                bar.update(len(chunk))
    with atomic_path(folder / f"{split}_labels.npy") as path, path.open("wb") as file:
        np.save(file, labels)
    digest.update(labels)
    count = len(items) * image_size**2
    mean = [int(total) / count for total in sums]
    variance = [int(total) / count - m**2 for total, m in zip(squares, mean, strict=True)]
    std = [math.sqrt(value) / 255 for value in variance]
    return PackedSplit(len(items), digest.hexdigest(), [m / 255 for m in mean], std)


def _chunks(items: Sequence[tuple[Item, int]]) -> Iterator[Sequence[tuple[Item, int]]]:
    for start in range(0, len(items), CHUNK):
        yield items[start : start + CHUNK]


def write_metadata(
    folder: Path, *, name: str, class_ids: Sequence[str], class_names: Sequence[str], splits: dict[Split, PackedSplit]
) -> dict[str, Any]:
    """Finish a packed folder; what is written is returned too."""
    metadata = {
        "name": name,
        "mean": splits["train"].mean,
        "std": splits["train"].std,
        "splits": {
            split: {"count": packed.count, "fingerprint": packed.fingerprint} for split, packed in splits.items()
        },
        "class_ids": list(class_ids),
        "class_names": list(class_names),
    }
    write_json(folder / METADATA, metadata)
    return metadata


def is_packed(folder: Path) -> bool:
    return (folder / METADATA).is_file()


def load_packed(folder: Path, split: Split) -> ImageSet:
    """Map a packed split into memory.

    Raises:
        UserError: the arrays are missing or are not what dataset.json says.
    """
    metadata = read_json(folder / METADATA)
    try:
        # "c" is copy-on-write: torch is content with it, and the file stays as it is whatever happens.
        images = np.load(folder / f"{split}_images.npy", mmap_mode="c")
        labels = np.load(folder / f"{split}_labels.npy")
        about = metadata["splits"][split]
        if len(images) != about["count"] or labels.shape != (about["count"],) or images.dtype != np.uint8:
            raise ValueError("the arrays are not those that dataset.json describes")
        return ImageSet(
            name=metadata["name"],
            images=torch.from_numpy(images),
            labels=torch.from_numpy(labels.astype(np.int64)),
            class_ids=tuple(metadata["class_ids"]),
            class_names=tuple(metadata["class_names"]),
            mean=tuple(metadata["mean"]),
            std=tuple(metadata["std"]),
            fingerprint=about["fingerprint"],
        )
    except (OSError, ValueError, KeyError, TypeError, json.JSONDecodeError) as error:
        raise UserError(f"{folder} is damaged ({error}); delete it and make it again") from error


def summarize(folder: Path) -> str:
    """A packed folder in a few lines."""
    metadata = read_json(folder / METADATA)
    lines = [f"{metadata['name']}: {len(metadata['class_ids'])} classes, in {folder}"]
    for split, about in metadata["splits"].items():
        lines.append(f"  {split:<5} {about['count']:>8,} images, fingerprint {about['fingerprint'][:16]}")
    for what in ("mean", "std"):
        lines.append(f"  {what:<5} " + ", ".join(f"{value:.4f}" for value in metadata[what]))
    return "\n".join(lines)
