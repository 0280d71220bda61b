"""Data sets as packed arrays on disk, which training maps into memory.

A folder holds {train,test}_images.npy, uint8 (N, 3, H, W), {train,test}_labels.npy, int64 (N,), and dataset.json, which
is written last: without it, the folder is unfinished.
"""

import functools
import hashlib
import math
import os
import shutil
import signal
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import BrokenExecutor, Future, ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args

import filelock
import numpy as np
import torch
from tqdm import tqdm

from tinybench import formats
from tinybench.data.imageset import ImageSet
from tinybench.data.prepare.decode import NamedSource
from tinybench.errors import UserError, printable, reason
from tinybench.runtime.files import atomic_path, read_json, write_json
from tinybench.runtime.processes import end_with_parent
from tinybench.words import counted

Split = Literal["train", "val", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)
Item = TypeVar("Item")
Result = TypeVar("Result")

METADATA = "dataset.json"
SHOWN = 1000  # damaged images named in a message
CHUNK = 100  # images decoded and written at a time


def one_at_a_time(folder: Path) -> filelock.FileLock:
    """Two processes that want to make the same packed folder wait for each other."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    return filelock.FileLock(folder.with_name(f".{folder.name}.lock"))


def ensure_packed(folder: Path, make: Callable[[Path], object], *, anew: bool = False) -> Path:
    """Have `make` fill the folder, unless that has been done; the folder is returned.

    It fills an empty one beside it, which takes the folder's place once it is complete: until then, and if that never
    happens, what was there stays. An intact folder is only read, so that it may be on a disk that cannot be written.

    Args:
        anew: even where the folder is intact.
    """
    if not anew and is_intact(folder):
        return folder
    new, old = folder.with_name(f".{folder.name}.new"), folder.with_name(f".{folder.name}.old")
    with one_at_a_time(folder):
        if old.exists() and not folder.exists():  # killed between the two renames below
            old.rename(folder)
        if not anew and is_intact(folder):
            return folder
        for leftover in (new, old):
            shutil.rmtree(leftover, ignore_errors=True)
        new.mkdir(parents=True)
        try:
            make(new)
            if not is_intact(new):
                raise UserError(f"{new} is not what was written into it; is the disk sound?")
            if folder.exists():
                folder.rename(old)
            new.rename(folder)
        except BrokenPipeError:  # what `make` prints has no reader any more
            raise
        except OSError as error:
            raise UserError(f"cannot write {error.filename or new}: {reason(error)}") from error
        finally:
            for leftover in (new, old):
                shutil.rmtree(leftover, ignore_errors=True)
    return folder


class DamagedImages(UserError):
    """Images that cannot be read, each with its reason, by their place in the list."""

    def __init__(self, reasons: dict[int, str]) -> None:
        self.reasons = reasons
        shown = "; ".join(list(reasons.values())[:SHOWN])
        more = f"; and {len(reasons) - SHOWN} more" if len(reasons) > SHOWN else ""
        images = counted(len(reasons), "damaged image")
        super().__init__(f"{images}: {shown}{more}; mend them, or leave them out: --skip_damaged")


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
    fetch: Callable[[Item], NamedSource],
    decode: Callable[[NamedSource], np.ndarray],
) -> PackedSplit:
    """Fetch and decode all items and write one split's arrays.

    Args:
        items: what to fetch, with its label, in the order of the arrays.
        fetch: gives the image's name and its file or its bytes; called in this process, in order.
        decode: gives uint8 (3, image_size, image_size); called in several processes where there are many images.

    Raises:
        DamagedImages: naming all that cannot be read.
    """
    damaged: dict[int, str] = {}
    done = 0
    shape = (len(items), 3, image_size, image_size)
    labels = np.array([label for _, label in items], dtype="<i8")
    digest = _digest(shape, class_ids)
    # Integer sums are exact, whatever the order.
    sums, squares = np.zeros(3, np.uint64), np.zeros(3, np.uint64)
    with atomic_path(folder / f"{split}_images.npy") as path, path.open("wb") as file:
        header = {"descr": "|u1", "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(file, header)
        chunks = (items[start : start + CHUNK] for start in range(0, len(items), CHUNK))
        fetched = ([fetch(item) for item, _ in chunk] for chunk in chunks)
        bar = tqdm(total=len(items), desc=f"packing {split}", unit=" images", disable=None)
        with bar:
            for pixels, reasons in _map(functools.partial(_decode_chunk, decode), fetched, parallel=len(items) > 5000):
                damaged |= {done + place: reason for place, reason in reasons.items()}
                done += len(pixels)
                bar.update(len(pixels))
                if damaged:  # read on, to name them all
                    continue
                file.write(pixels.data)
                digest.update(pixels.data)
                sums += pixels.sum(axis=(0, 2, 3), dtype=np.uint64)
                squares += np.square(pixels, dtype=np.uint16).sum(axis=(0, 2, 3), dtype=np.uint64)
        if damaged:
            raise DamagedImages(damaged)
    with atomic_path(folder / f"{split}_labels.npy") as path, path.open("wb") as file:
        np.save(file, labels)
    digest.update(labels.data)
    count = len(items) * image_size**2
    mean = [int(total) / count for total in sums]
    variance = [int(total) / count - m**2 for total, m in zip(squares, mean, strict=True)]
    return PackedSplit(
        count=len(items),
        fingerprint=digest.hexdigest(),
        mean=[m / 255 for m in mean],
        std=[math.sqrt(value) / 255 for value in variance],
    )


def pack_splits(
    folder: Path,
    splits: Mapping[Split, Sequence[tuple[Item, int]]],
    class_ids: Sequence[str],
    image_size: int,
    fetch: Callable[[Split, Item], NamedSource],
    decode: Callable[[NamedSource], np.ndarray],
    skip_damaged: bool,
) -> tuple[dict[Split, PackedSplit], list[str]]:
    """Pack all splits as `pack_split` does; with why images were left out, if those that cannot be read are to be.

    Raises:
        DamagedImages: naming those of all splits.
        UserError: without its damaged images, a class has none left.
    """
    packed: dict[Split, PackedSplit] = {}
    damaged: list[str] = []
    for split, items in splits.items():
        kept = list(items)
        while split not in packed:
            try:
                packed[split] = pack_split(
                    folder, split, kept, class_ids, image_size, functools.partial(fetch, split), decode
                )
            except DamagedImages as error:
                damaged += error.reasons.values()
                if not skip_damaged:
                    break
                kept = [item for place, item in enumerate(kept) if place not in error.reasons]
                if lost := {label for _, label in items} - {label for _, label in kept}:
                    name = class_ids[min(lost)]
                    raise UserError(f"without its damaged images, class {name} has no {split} image") from error
    if damaged and not skip_damaged:
        raise DamagedImages(dict(enumerate(damaged)))
    left_out = [printable(line) for line in damaged]
    for line in left_out:
        print(f"left out: {line}", flush=True)
    return packed, left_out


def _digest(shape: tuple[int, ...], class_ids: Sequence[str]) -> "hashlib._Hash":
    """The fingerprint so far: pixels and labels follow."""
    return hashlib.sha256(repr((shape, tuple(class_ids))).encode())


def is_unchanged(images: ImageSet) -> bool:
    """Read a whole packed split again and compare it with its fingerprint."""
    digest = _digest(tuple(images.images.shape), images.class_ids)
    for chunk in images.images.split(CHUNK):
        digest.update(chunk.numpy().data)
    digest.update(images.labels.numpy().data)
    return digest.hexdigest() == images.fingerprint


def _decode_chunk(
    decode: Callable[[NamedSource], np.ndarray], sources: list[NamedSource]
) -> tuple[np.ndarray, dict[int, str]]:
    """The images, or, where some cannot be read, as many empty rows and the reasons by place."""
    images, reasons = [], {}
    for place, source in enumerate(sources):
        try:
            images.append(decode(source))
        except UserError as error:
            reasons[place] = str(error)
    if not reasons:
        return np.ascontiguousarray(np.stack(images)), reasons
    return np.zeros((len(sources), 0), np.uint8), reasons


def _map(function: Callable[[Item], Result], items: Iterator[Item], parallel: bool) -> Iterator[Result]:
    """map() over several processes, which takes only a few items ahead of those that are done."""
    if not parallel:
        yield from map(function, items)
        return
    pending: deque[Future[Result]] = deque()
    workers = os.cpu_count() or 1
    try:
        with ProcessPoolExecutor(workers, initializer=_start_worker) as pool:
            for item in items:
                pending.append(pool.submit(function, item))
                if len(pending) > 2 * workers:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
    except BrokenExecutor as error:
        raise UserError("a process that decoded images was killed, perhaps for lack of memory; run it again") from error


def _start_worker() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent to answer
    end_with_parent()


def write_metadata(
    folder: Path,
    *,
    name: str,
    class_ids: Sequence[str],
    class_names: Sequence[str],
    splits: dict[Split, PackedSplit],
    **more: Any,
) -> dict[str, Any]:
    """Finish a packed folder; what is written, with `more` that is known of it, is returned too.

    Raises:
        UserError: a channel is the same in all training images, so that nothing can be normalised by its deviation.
    """
    if min(splits["train"].std) == 0:
        channel = ("red", "green", "blue")[splits["train"].std.index(0)]
        raise UserError(f"{name}: {channel} has the same value in every pixel of the training images")
    metadata = {
        "name": name,
        "mean": splits["train"].mean,
        "std": splits["train"].std,
        "splits": {
            split: {"count": packed.count, "fingerprint": packed.fingerprint} for split, packed in splits.items()
        },
        "class_ids": list(class_ids),
        "class_names": list(class_names),
        **more,
    }
    write_json(folder / METADATA, metadata)
    return metadata


def is_packed(folder: Path) -> bool:
    """Whether the folder was finished."""
    return (folder / METADATA).is_file()


def is_intact(folder: Path) -> bool:
    """Whether the folder was finished, and all its splits can be loaded."""
    try:
        splits = read_json(folder / METADATA, formats.DataSet)["splits"]
        return splits.keys() >= {"train", "test"} and all(load_packed(folder, split) is not None for split in splits)
    except UserError:
        return False


def load_packed(folder: Path, split: Split, remedy: str = "delete it and run the command again") -> ImageSet:
    """Map a packed split into memory.

    Args:
        remedy: what the message tells the user to do.

    Raises:
        UserError: the arrays are missing or are not what dataset.json says.
    """
    try:
        metadata = read_json(folder / METADATA, formats.DataSet)
        # "c" is copy-on-write: torch is content with it, and the file stays as it is whatever happens.
        images = np.load(folder / f"{split}_images.npy", mmap_mode="c")
        labels = np.load(folder / f"{split}_labels.npy")
        about = metadata["splits"][split]
        count, side = about["count"], images.shape[-1]
        if images.shape != (count, 3, side, side) or images.dtype != np.uint8:
            raise ValueError(f"{split}_images.npy is {images.dtype} of shape {images.shape}")
        if labels.shape != (count,) or labels.dtype != np.int64:
            raise ValueError(f"{split}_labels.npy is {labels.dtype} of shape {labels.shape}")
        if labels.min() < 0 or labels.max() >= len(metadata["class_ids"]):
            raise ValueError(f"{split}_labels.npy holds labels of no class")
        return ImageSet(
            name=metadata["name"],
            images=torch.from_numpy(images),
            labels=torch.from_numpy(labels.astype(np.int64)),
            class_ids=tuple(metadata["class_ids"]),
            class_names=tuple(metadata["class_names"]),
            white=metadata.get("white", 0.0),
            mean=tuple(metadata["mean"]),
            std=tuple(metadata["std"]),
            fingerprint=about["fingerprint"],
            split_fingerprints={name: other["fingerprint"] for name, other in metadata["splits"].items()},
            file=folder / f"{split}_images.npy",
        )
    except Exception as error:  # numpy raises whatever its reading of a damaged header comes to
        raise UserError(f"{folder} is damaged ({error}); {remedy}") from error


def summarize(folder: Path) -> str:
    """A packed folder in a few lines."""
    metadata = read_json(folder / METADATA, formats.DataSet)
    lines = [printable(f"{metadata['name']}: {len(metadata['class_ids'])} classes, in {folder}")]
    for split, about in metadata["splits"].items():
        lines.append(f"  {split:<5} {about['count']:>8,} images, fingerprint {about['fingerprint'][:16]}")
    for what in ("mean", "std"):
        lines.append(f"  {what:<5} " + ", ".join(f"{value:.4f}" for value in metadata[what]))
    return "\n".join(lines)
