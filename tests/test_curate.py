"""Curation of small archives in the published layout: right, hostile, damaged, interrupted, downloaded."""

import base64
import functools
import hashlib
import http.server
import io
import json
import os
import re
import stat
import subprocess
import sys
import threading
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tinybench.data.prepare import curate, download, packed
from tinybench.data.prepare.curate import FolderSource, Layout, ZipSource, curate_layout
from tinybench.errors import UsageError, UserError

LAYOUT = Layout(classes=3, train_per_class=4, test_per_class=2, image_size=16)
CLASSES = ("n00000003", "n00000001", "n00000002")  # not sorted, as in the published wnids.txt
RESTORE = Path(__file__).resolve().parents[2] / "shared" / "tiny-imagenet-200" / "restore.py"


def jpeg(seed, mode="RGB", size=16):
    pixels = np.random.default_rng(seed).integers(0, 256, (size, size, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(file, "JPEG")
    return file.getvalue()


def archive_files():
    """Name to content of a whole small archive; one train image of the first class is grayscale."""
    files = {"wnids.txt": "\n".join(CLASSES).encode(), "words.txt": b"n00000001\tcat, house cat\nn00000002\tdog\n"}
    annotations = []
    for label, class_id in enumerate(CLASSES):
        for index in range(4):
            mode = "L" if (label, index) == (0, 0) else "RGB"
            files[f"train/{class_id}/images/{class_id}_{index}.JPEG"] = jpeg(10 * label + index, mode)
        files[f"train/{class_id}/{class_id}_boxes.txt"] = b""
        for index in range(2):
            name = f"val_{3 * index + label}.JPEG"
            files[f"val/images/{name}"] = jpeg(100 + 10 * label + index)
            annotations.append(f"{name}\t{class_id}\t0\t0\t15\t15\n")
    files["val/val_annotations.txt"] = "".join(annotations).encode()
    files["test/images/test_0.JPEG"] = jpeg(999)
    return files


def write_zip(path, files, top="tiny-imagenet-200/"):
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(top + name, content)
    return path


def curate_zip(path, data_dir):
    return curate_layout(lambda: ZipSource(path), data_dir, "small", LAYOUT)


@pytest.fixture
def archive(tmp_path):
    return write_zip(tmp_path / "small.zip", archive_files())


def tree(folder):
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_curation_of_a_zip_and_of_its_folder_agree(archive, tmp_path):
    curate_zip(archive, tmp_path / "one")
    with zipfile.ZipFile(archive) as file:
        file.extractall(tmp_path / "extracted" / "tiny-imagenet-200")  # as some programs do
    curate_layout(lambda: FolderSource(tmp_path / "extracted"), tmp_path / "two", "small", LAYOUT)
    assert tree(tmp_path / "one") == tree(tmp_path / "two")


def test_what_curation_leaves(archive, tmp_path):
    curate_zip(archive, tmp_path)
    files = archive_files()
    folder = tmp_path / "curated" / "small"
    train, test = packed.load_packed(folder, "train"), packed.load_packed(folder, "test")
    assert train.class_ids == tuple(sorted(CLASSES))
    assert train.class_names == ("cat", "dog", "n00000003")
    assert train.labels.tolist() == [0] * 4 + [1] * 4 + [2] * 4
    assert test.labels.tolist() == [0, 0, 1, 1, 2, 2]
    # The first test image of class n00000001 is val_1, by the annotations.
    assert (folder / "test" / "n00000001" / "val_1.JPEG").read_bytes() == files["val/images/val_1.JPEG"]
    expected = np.asarray(Image.open(io.BytesIO(files["val/images/val_1.JPEG"]))).transpose(2, 0, 1)
    assert np.array_equal(test.images[0], expected)
    gray = train.images[8]  # n00000003_0
    assert (gray[0] == gray[1]).all()
    assert (gray[1] == gray[2]).all()
    pixels = train.images.numpy() / 255
    assert train.mean == pytest.approx(pixels.mean(axis=(0, 2, 3)))
    assert train.std == pytest.approx(pixels.std(axis=(0, 2, 3)))
    assert test.mean == train.mean
    assert train.fingerprint != test.fingerprint
    assert (tmp_path / "class_mappings" / "small.csv").read_text().splitlines() == [
        "index,wnid,name",
        '0,n00000001,"cat, house cat"',
        "1,n00000002,dog",
        "2,n00000003,n00000003",
    ]


@pytest.mark.parametrize(
    ("name", "named"),
    [
        ("../evil.txt", "points out"),
        ("/etc/evil.txt", "points out"),
        ("a/../../evil.txt", "points out"),
        ("..\\evil.txt", "points out"),
        ("C:/evil.txt", "points out"),
    ],
)
def test_paths_that_lead_out_are_refused(tmp_path, name, named):
    path = write_zip(tmp_path / "small.zip", archive_files())
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(name, b"evil")
    with pytest.raises(UserError, match=f"hostile.*{named}"):
        ZipSource(path)


def test_links_are_refused(tmp_path):
    path = write_zip(tmp_path / "small.zip", archive_files())
    with zipfile.ZipFile(path, "a") as archive:
        link = zipfile.ZipInfo("tiny-imagenet-200/train/link")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "/etc/passwd")
    with pytest.raises(UserError, match="link"):
        ZipSource(path)
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "wnids.txt").write_text("")
    (folder / "words.txt").symlink_to("/etc/hostname")
    with pytest.raises(UserError, match="link"):
        FolderSource(folder)


def test_two_members_of_one_name_are_refused(tmp_path):
    path = write_zip(tmp_path / "small.zip", archive_files())
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(f"tiny-imagenet-200/./{FIRST}", jpeg(1))
    with pytest.raises(UserError, match=r"hostile.*2 times"):
        ZipSource(path)


def test_bombs_are_refused(tmp_path, monkeypatch):
    path = write_zip(tmp_path / "small.zip", archive_files())
    monkeypatch.setattr(curate, "MAX_BYTES", 1000)
    with pytest.raises(UserError, match="not unpacked"):
        ZipSource(path)


def without(name):
    return lambda files: files.pop(name)


def having(name, content):
    return lambda files: files.__setitem__(name, content)


FIRST = "train/n00000001/images/n00000001_0.JPEG"


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (without(FIRST), "n00000001 has 3 train images, not 4"),
        (having("train/n00000001/images/more.JPEG", b""), "n00000001 has 5 train images, not 4"),
        (without("val/images/val_0.JPEG"), "n00000003 has 1 val images, not 2"),
        (having("val/images/val_99.JPEG", b""), "val_99.JPEG belongs to no class"),
        (having("train/n99999999/images/x.JPEG", b""), "n99999999"),
        (having(FIRST, jpeg(1)[:300]), f"{FIRST}: the image is damaged"),
        (having(FIRST, b"text"), f"{FIRST}: no image"),
        (having(FIRST, b""), f"{FIRST}: "),
        (having(FIRST, jpeg(1, size=17)), "17x17"),
        (without("words.txt"), "words.txt"),
        (without("wnids.txt"), "wnids.txt"),
        (having("val/val_annotations.txt", b"val_0.JPEG\n\n"), "val_0.JPEG belongs to no class"),
        (having("wnids.txt", b"n00000001\nn00000002\n"), "2 classes"),
        (having("wnids.txt", b"n00000001\nn00000001\nn00000002\n"), "2 different"),
        (having("wnids.txt", b"n00000001\n../x\nn00000002\n"), "no WordNet id"),
    ],
)
def test_what_is_missing_or_damaged_is_named(tmp_path, change, named):
    files = archive_files()
    change(files)
    path = write_zip(tmp_path / "small.zip", files)
    with pytest.raises(UserError) as caught:
        curate_zip(path, tmp_path)
    assert named in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not packed.is_packed(tmp_path / "curated" / "small")


def test_damaged_and_foreign_zips(tmp_path, archive):
    broken = tmp_path / "broken.zip"
    broken.write_bytes(archive.read_bytes()[:-100])
    with pytest.raises(UserError, match="no zip archive, or damaged"):
        ZipSource(broken)
    whole = bytearray(archive.read_bytes())
    start = whole.index(b"JFIF") + 200
    whole[start : start + 50] = bytes(50)
    broken.write_bytes(whole)
    with pytest.raises(UserError, match="damaged"):
        curate_zip(broken, tmp_path)


def test_interrupted_at_any_point_and_run_again(archive, tmp_path, monkeypatch):
    curate_zip(archive, tmp_path / "clean")
    for moment in ("fetch", "metadata"):
        data_dir = tmp_path / moment
        with monkeypatch.context() as patch:
            if moment == "fetch":
                source = ZipSource(archive)
                reads = iter(range(12))  # wnids.txt, words.txt and the annotations take three
                patch.setattr(source, "_zip", Interrupting(source._zip, reads))
            else:
                source = ZipSource(archive)
                patch.setattr(curate, "write_metadata", interrupt)
            with pytest.raises(KeyboardInterrupt):
                curate_layout(lambda source=source: source, data_dir, "small", LAYOUT)
        assert not packed.is_packed(data_dir / "curated" / "small")
        left_over = data_dir / "curated" / ".small.new" / "train" / "left_over.JPEG"  # of a process that was killed
        left_over.parent.mkdir(parents=True)
        left_over.write_bytes(b"half")
        curate_zip(archive, data_dir)
        assert tree(data_dir) == tree(tmp_path / "clean")


def interrupt(*args, **kwargs):
    raise KeyboardInterrupt


class Interrupting:
    def __init__(self, archive, reads):
        self.archive, self.reads, self.filename = archive, reads, archive.filename

    def read(self, name):
        if next(self.reads, None) is None:
            raise KeyboardInterrupt
        return self.archive.read(name)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("train_labels.npy", np.zeros(5, np.int64)),
        ("train_labels.npy", np.full(12, 3)),
        ("train_labels.npy", np.zeros(12, np.int32)),
        ("train_images.npy", np.zeros((12, 3, 16, 17), np.uint8)),
        ("train_images.npy", np.zeros((12, 3, 16, 16), np.float32)),
        ("train_images.npy", np.zeros(12, np.uint8)),
        ("train_images.npy", b""),
        ("train_images.npy", None),
        ("dataset.json", b"{}"),
        ("dataset.json", b"half"),
    ],
)
def test_damaged_arrays_are_named(archive, tmp_path, name, content):
    curate_zip(archive, tmp_path)
    folder = tmp_path / "curated" / "small"
    assert packed.is_intact(folder)
    if isinstance(content, np.ndarray):
        np.save(folder / name, content)
    elif content is None:
        (folder / name).unlink()
    else:
        (folder / name).write_bytes(content)
    with pytest.raises(UserError, match=r"damaged .*; delete it") as caught:
        packed.load_packed(folder, "train")
    assert "\n" not in str(caught.value)
    assert not packed.is_intact(folder)


def test_wrong_sources(tmp_path):
    with pytest.raises(UsageError, match=r"none\.zip"):
        curate.curate(str(tmp_path / "none.zip"), tmp_path)
    with pytest.raises(UserError, match=r"wnids\.txt.*python src/train\.py --dataset"):
        curate.curate(str(tmp_path), tmp_path)
    os.mkfifo(tmp_path / "pipe.zip")
    with pytest.raises(UsageError, match=r"pipe\.zip"):
        curate.curate(str(tmp_path / "pipe.zip"), tmp_path)


# ---- downloading


class Handler(http.server.BaseHTTPRequestHandler):
    content = b""
    ranges = True
    break_after = None
    requests: list
    logins: list

    def do_GET(self):
        asked = self.headers.get("Range")
        type(self).requests.append(asked)
        type(self).logins.append(self.headers.get("Authorization"))
        start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked and self.ranges else 0
        if start >= len(self.content):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(self.content)}")
            self.end_headers()
            return
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(self.content) - start))
        self.end_headers()
        self.wfile.write(self.content[start : self.break_after])

    def log_message(self, *args):
        pass


@pytest.fixture
def server():
    class OwnHandler(Handler):
        content = np.random.default_rng(0).bytes(1_000_000)

    OwnHandler.requests, OwnHandler.logins = [], []
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), OwnHandler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        OwnHandler.url = f"http://127.0.0.1:{running.server_port}/archive.zip"
        yield OwnHandler
        running.shutdown()


def fetch(server, folder):
    md5 = hashlib.md5(server.content).hexdigest()
    return download.download(server.url, folder / "archive.zip", size=len(server.content), md5=md5)


def test_download_and_no_second_one(server, tmp_path):
    assert fetch(server, tmp_path).read_bytes() == server.content
    fetch(server, tmp_path)
    assert server.requests == [None]


@pytest.mark.parametrize("ranges", [True, False])
def test_a_broken_download_goes_on(server, tmp_path, ranges):
    server.break_after, server.ranges = 400_000, ranges
    with pytest.raises(UserError, match="run the same command again to go on") as caught:
        fetch(server, tmp_path)
    assert "\n" not in str(caught.value)
    assert (tmp_path / "archive.zip.part").stat().st_size == 400_000
    server.break_after = None
    assert fetch(server, tmp_path).read_bytes() == server.content
    assert server.requests == [None, "bytes=400000-"]


def test_a_whole_part_is_taken_and_a_wrong_one_replaced(server, tmp_path):
    (tmp_path / "archive.zip.part").write_bytes(server.content)
    assert fetch(server, tmp_path).read_bytes() == server.content
    (tmp_path / "archive.zip").unlink()
    (tmp_path / "archive.zip.part").write_bytes(server.content + b"more")
    assert fetch(server, tmp_path).read_bytes() == server.content


def test_a_file_of_another_md5_is_deleted(server, tmp_path):
    with pytest.raises(UserError, match="MD5"):
        download.download(server.url, tmp_path / "archive.zip", md5="0" * 32)
    assert list(tmp_path.iterdir()) == []


def test_a_file_of_another_size_is_not_even_fetched(server, tmp_path):
    (tmp_path / "archive.zip.part").write_bytes(server.content[:1000])
    with pytest.raises(UserError, match="1,000,000 bytes, not 2,000,000"):
        download.download(server.url, tmp_path / "archive.zip", size=2_000_000)
    assert (tmp_path / "archive.zip.part").stat().st_size == 1000


def test_another_file_of_the_archives_name_is_kept_and_named(server, tmp_path):
    (tmp_path / "archive.zip").write_bytes(b"mine")
    with pytest.raises(UserError, match="has 4 bytes, not 1,000,000; delete it, or take it as it is with --source"):
        fetch(server, tmp_path)
    assert (tmp_path / "archive.zip").read_bytes() == b"mine"


def test_a_login_in_the_address_is_sent_and_never_shown(server, tmp_path):
    url = server.url.replace("//", "//me:my%20secret@")
    assert download.download(url, tmp_path / "x.zip").read_bytes() == server.content
    assert server.logins == ["Basic " + base64.b64encode(b"me:my secret").decode()]
    for wrong in ("http://me:secret@127.0.0.1:1/x.zip", "http://me:sec ret@host:x/x.zip", "http://me:secret@"):
        with pytest.raises(UserError, match="cannot download") as caught:
            download.download(wrong, tmp_path / "y.zip")
        assert "ret" not in str(caught.value)


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/x.zip", "http://127.0.0.1:1", "http://[x/x.zip"])
def test_no_network_is_one_line(tmp_path, url):
    with pytest.raises(UserError, match=f"cannot download {re.escape(url)}.*run it again") as caught:
        download.download(url, tmp_path / "x.zip")
    assert "\n" not in str(caught.value)


def test_curation_from_an_address(server, tmp_path, archive, monkeypatch):
    server.content = archive.read_bytes()
    monkeypatch.setattr(curate, "PUBLISHED", LAYOUT)
    assert len(packed.load_packed(curate.curate(server.url, tmp_path), "test")) == 6
    assert not curate.is_published_source(server.url)
    server.content = b"<html>come back later</html>"
    with pytest.raises(UserError, match="no zip archive"):
        curate.curate(f"{server.url}?again", tmp_path)
    assert len(list((tmp_path / "downloads").iterdir())) == 1  # what was no archive is gone


# ---- the real data, where they are


@pytest.mark.skipif(not RESTORE.exists(), reason="the real Tiny ImageNet is not here")
def test_the_real_tiny_imagenet(tmp_path):
    from tinybench.data.prepare.explore import explore

    run = functools.partial(subprocess.run, check=True, capture_output=True, text=True)
    run([sys.executable, RESTORE, tmp_path, "--zip"])
    command = [sys.executable, Path(curate.__file__).parents[3] / "curate_data.py", "--data_dir", tmp_path / "data"]
    run([*command, "--source", tmp_path / "tiny-imagenet-200.zip"])
    (tmp_path / "tiny-imagenet-200.zip").unlink()
    numbers = explore("tiny-imagenet", tmp_path / "data")
    train, test = numbers["splits"]["train"], numbers["splits"]["test"]
    assert (train["images"], train["fewest_per_class"], train["most_per_class"]) == (100_000, 500, 500)
    assert (test["images"], test["fewest_per_class"], test["most_per_class"]) == (10_000, 50, 50)
    assert (train["grayscale_files"], test["grayscale_files"]) == (1_821, 168)
    assert [round(value, 4) for value in numbers["mean"]] == [0.4802, 0.4481, 0.3975]
    assert [round(value, 4) for value in numbers["std"]] == [0.2764, 0.2689, 0.2816]
    duplicates = numbers["duplicates"]
    assert [duplicates[key] for key in ("groups", "within_class", "across_classes", "across_splits")] == [27, 0, 27, 7]
    json.dumps(numbers, allow_nan=False)
