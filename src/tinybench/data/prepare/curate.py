"""From the published archive to class folders, class names and packed arrays; every count is verified.

The archive's layout: wnids.txt (the classes), words.txt (what they are called), train/<wnid>/images/*.JPEG,
val/images/*.JPEG with val/val_annotations.txt (which class each belongs to); people also sort the images of either
straight into folders of their classes. Its test folder has no labels and is left
out; the val images become the test set.
"""

import csv
import functools
import hashlib
import io
import os
import stat
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Protocol

from tinybench.data.prepare.decode import decode_exact
from tinybench.data.prepare.download import (
    ARCHIVE_BYTES,
    ARCHIVE_FILE,
    ARCHIVE_MD5,
    ARCHIVE_URL,
    download,
    is_published,
)
from tinybench.data.prepare.listing import is_litter
from tinybench.data.prepare.packed import Split, ensure_packed, pack_splits, write_metadata
from tinybench.errors import UsageError, UserError, command
from tinybench.runtime.files import write_text

NAME = "tiny-imagenet"
ANNOTATIONS = "val/val_annotations.txt"
MAX_FILES = 250_000  # the published archive holds 120,206
MAX_BYTES = 1_000_000_000  # and 245,688,432 bytes of them
MAX_FILE_BYTES = 20_000_000  # of one file; the largest is words.txt with 2.7 million


@dataclass(frozen=True)
class Layout:
    """What an archive has to hold."""

    classes: int
    train_per_class: int
    test_per_class: int
    image_size: int


PUBLISHED = Layout(classes=200, train_per_class=500, test_per_class=50, image_size=64)


class Source(Protocol):
    """Where the archive's files come from; names are relative to the archive's top folder."""

    names: list[str]

    def read(self, name: str) -> bytes:
        """The content of a file.

        Raises:
            UserError: it is damaged, or larger than MAX_FILE_BYTES.
        """


class ZipSource:
    """The files of a zip, once its names and sizes are found harmless."""

    def __init__(self, path: Path) -> None:
        try:
            self._zip = zipfile.ZipFile(path)
        except (OSError, zipfile.BadZipFile) as error:
            raise UserError(f"{path} is no zip archive, or damaged: {error}") from error
        members = self._zip.infolist()
        if large := [member.filename for member in members if member.file_size > MAX_FILE_BYTES]:
            raise UserError(f"{path} holds {large[0]!r} of more than {MAX_FILE_BYTES:,} bytes; it is not unpacked")
        if len(members) > MAX_FILES or sum(member.file_size for member in members) > MAX_BYTES:
            raise UserError(f"{path} holds more than {MAX_FILES:,} files or {MAX_BYTES:,} bytes; it is not unpacked")
        for member in members:
            pure = PurePosixPath(member.filename.replace("\\", "/"))
            if pure.is_absolute() or ".." in pure.parts or ":" in member.filename:
                raise UserError(
                    f"{path} is hostile: {member.filename!r} points out of its folder; nothing was unpacked"
                )
            if stat.S_ISLNK(member.external_attr >> 16):
                raise UserError(f"{path} is hostile: {member.filename!r} is a link; nothing was unpacked")
        files = [member.filename for member in members if not member.is_dir()]
        # Of two members of one name, one would replace the other unseen.
        name, times = Counter(str(PurePosixPath(name)) for name in files).most_common(1)[0] if files else ("", 0)
        if times > 1:
            raise UserError(f"{path} is hostile: it holds {name!r} {times} times; nothing was unpacked")
        self._top = _top_folder(files, path)
        names = [name.removeprefix(self._top) for name in files if name.startswith(self._top)]
        self.names = [name for name in names if not any(map(is_litter, PurePosixPath(name).parts))]

    def read(self, name: str) -> bytes:
        try:
            return self._zip.read(self._top + name)
        except (zipfile.BadZipFile, OSError, EOFError, NotImplementedError, RuntimeError) as error:
            raise UserError(f"{self._zip.filename} is damaged at {name}: {error}") from error
        except Exception as error:  # zlib.error and its kin
            raise UserError(f"{self._zip.filename} is damaged at {name}") from error


class FolderSource:
    """The files of an extracted archive."""

    def __init__(self, path: Path) -> None:
        nested = path / "tiny-imagenet-200"
        places = [place for place in (path, nested, nested / nested.name) if (place / "wnids.txt").is_file()]
        if not places:
            train = command("src/train.py", "--dataset", path)
            raise UserError(
                f"{path} is no extracted Tiny ImageNet: it has no wnids.txt; if it holds folders of classes: {train}"
            )
        self._root = places[0]
        self.names = list(self._files(""))

    def _files(self, folder: str) -> Iterator[str]:
        with os.scandir(self._root / folder) as entries:
            for entry in entries:
                if is_litter(entry.name):
                    continue
                if entry.is_symlink():
                    raise UserError(f"{entry.path} is a link; an archive's folder has none")
                if entry.is_dir():
                    yield from self._files(f"{folder}{entry.name}/")
                elif entry.is_file():
                    yield f"{folder}{entry.name}"

    def read(self, name: str) -> bytes:
        path = self._root / name
        if path.stat().st_size > MAX_FILE_BYTES:
            raise UserError(f"{path} has more than {MAX_FILE_BYTES:,} bytes; it is not read")
        return path.read_bytes()


def _top_folder(files: list[str], path: Path) -> str:
    """The prefix that wnids.txt has, such as "tiny-imagenet-200/"."""
    tops = [name.removesuffix("wnids.txt") for name in files if PurePosixPath(name).name == "wnids.txt"]
    if len(tops) != 1:
        raise UserError(f"{path} is no archive of Tiny ImageNet: it holds {len(tops)} files wnids.txt, not one")
    return tops[0]


def curate_if_missing(data_dir: Path) -> None:
    """Download and curate Tiny ImageNet unless that has been done."""
    curate(None, data_dir, anew=False)


def curate(source: str | None, data_dir: Path, *, anew: bool = True, skip_damaged: bool = False) -> Path:
    """Curate Tiny ImageNet from a zip, a folder or an address (default: the published one); its folder is returned.

    Former data are replaced once the new ones are complete.

    Args:
        anew: also where it has been done.
        skip_damaged: leave out the images that cannot be read.

    Raises:
        UserError: the source is missing, damaged, hostile or not complete.
    """

    open_it = functools.partial(_open_source, source, data_dir)
    return curate_layout(open_it, data_dir, NAME, PUBLISHED, anew=anew, skip_damaged=skip_damaged)


def is_published_source(source: str | None) -> bool:
    """Whether a source is the published archive itself. Other copies are taken too when all counts and sizes agree."""
    return source in (None, ARCHIVE_URL) or (Path(source or "").is_file() and is_published(Path(source or "")))


def _open_source(source: str | None, data_dir: Path) -> Source:
    is_address = source is None or source.startswith(("http://", "https://", "ftp://", "file://"))
    if not is_address and not (Path(source or "").is_file() or Path(source or "").is_dir()):
        raise UsageError(f"--source {source}: no such file or folder")
    downloads = data_dir / "downloads"
    if source in (None, ARCHIVE_URL):
        path = download(ARCHIVE_URL, downloads / ARCHIVE_FILE, size=ARCHIVE_BYTES, md5=ARCHIVE_MD5)
    elif is_address:
        # Two addresses may end in the same name.
        path = download(source, downloads / f"{hashlib.sha256(source.encode()).hexdigest()[:12]}.zip")
    else:
        path = Path(source)
    try:
        return FolderSource(path) if path.is_dir() else ZipSource(path)
    except UserError:
        if is_address:
            path.unlink()  # perhaps the server brings the archive another time
        raise


def curate_layout(
    open_source: Callable[[], Source],
    data_dir: Path,
    name: str,
    layout: Layout,
    *,
    anew: bool = True,
    skip_damaged: bool = False,
) -> Path:
    """Sort a source's images into class folders and pack them; the packed folder is returned.

    Args:
        open_source: gives the source, when it is needed.
        anew, skip_damaged: see `curate`.

    Raises:
        UserError: files are missing, too many, damaged, or of another size.
    """

    def make(folder: Path) -> None:
        mapping = data_dir / "class_mappings" / f"{name}.csv"
        _curate_into(folder, open_source(), name, layout, mapping, skip_damaged)

    return ensure_packed(data_dir / "curated" / name, make, anew=anew)


def _curate_into(folder: Path, source: Source, name: str, layout: Layout, mapping: Path, skip_damaged: bool) -> None:
    class_ids, words = read_classes(source, layout)
    members = sort_members(source, class_ids, layout)
    for split in ("train", "test"):
        for class_id in class_ids:
            (folder / split / class_id).mkdir(parents=True)

    def fetch(split: Split, member: str) -> tuple[str, bytes]:
        data = source.read(member)
        (folder / split / class_ids[members[split][member]] / PurePosixPath(member).name).write_bytes(data)
        return member, data

    items = {split: list(labels.items()) for split, labels in members.items()}
    decode = functools.partial(decode_exact, layout.image_size)
    packed, left_out = pack_splits(folder, items, class_ids, layout.image_size, fetch, decode, skip_damaged)
    write_class_mapping(mapping, class_ids, words)
    # Of the synonyms that words.txt lists, people use the first.
    names = [words[class_id].split(",")[0] for class_id in class_ids]
    write_metadata(folder, name=name, class_ids=class_ids, class_names=names, splits=packed, left_out=left_out)


def read_classes(source: Source, layout: Layout) -> tuple[list[str], dict[str, str]]:
    """The sorted class ids, and what words.txt calls each."""
    class_ids = sorted(_text(source, "wnids.txt").split())
    if len(set(class_ids)) != layout.classes or len(class_ids) != layout.classes:
        raise UserError(
            f"wnids.txt lists {len(class_ids)} classes, {len(set(class_ids))} different; not {layout.classes}"
        )
    for class_id in class_ids:
        if not class_id.isalnum():
            raise UserError(f"wnids.txt lists {class_id!r}, which is no WordNet id")
    rows = (line.split("\t", 1) for line in _text(source, "words.txt").splitlines() if "\t" in line)
    words = {class_id: text.strip() for class_id, text in rows}
    return class_ids, {class_id: words.get(class_id, class_id) for class_id in class_ids}


def sort_members(source: Source, class_ids: list[str], layout: Layout) -> dict[Split, dict[str, int]]:
    """Which files belong to which split and class, in the order of the arrays: by class, then by name."""
    label_of = {class_id: label for label, class_id in enumerate(class_ids)}
    train: list[tuple[int, str]] = []
    test: list[tuple[int, str]] = []
    annotations: dict[str, str] = {}  # none are needed where the val images were sorted into folders of their classes
    if ANNOTATIONS in source.names:
        rows = (line.split("\t") for line in _text(source, ANNOTATIONS).splitlines())
        annotations = {row[0]: row[1] for row in rows if len(row) > 1}
    for name in source.names:
        parts = PurePosixPath(name).parts
        if not name.endswith(".JPEG") or parts[0] not in ("train", "val"):
            continue
        if parts[0] == "train" and parts[1] in label_of and (len(parts) == 3 or parts[2:-1] == ("images",)):
            train.append((label_of[parts[1]], name))
        elif parts[:2] == ("val", "images") and len(parts) == 3 and annotations.get(parts[2]) in label_of:
            test.append((label_of[annotations[parts[2]]], name))
        elif parts[0] == "val" and parts[1] in label_of and (len(parts) == 3 or parts[2:-1] == ("images",)):
            test.append((label_of[parts[1]], name))
        else:
            raise UserError(f"{name} belongs to no class, by wnids.txt and val_annotations.txt")
    for what, pairs, expected in (("train", train, layout.train_per_class), ("val", test, layout.test_per_class)):
        counts = Counter(label for label, _ in pairs)
        for label, class_id in enumerate(class_ids):
            if counts[label] != expected:
                raise UserError(f"class {class_id} has {counts[label]} {what} images, not {expected}")
    return {
        "train": {name: label for label, name in sorted(train)},
        "test": {name: label for label, name in sorted(test)},
    }


def write_class_mapping(path: Path, class_ids: list[str], words: dict[str, str]) -> None:
    """index, wnid and name of every class, as CSV."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("index", "wnid", "name"))
    writer.writerows((index, class_id, words[class_id]) for index, class_id in enumerate(class_ids))
    write_text(path, text.getvalue())


def _text(source: Source, name: str) -> str:
    if name not in source.names:
        raise UserError(f"the archive has no {name}")
    return source.read(name).decode("utf-8", errors="replace")
