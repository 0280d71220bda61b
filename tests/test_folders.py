"""Folders as people have them: which files count, of which class and split; deep and damaged images."""

import os
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from test_curate import LAYOUT, archive_files, curate_zip, tree, write_zip
from test_datasets import load, save, save_claiming

from tinybench.cli.infer import list_images
from tinybench.data import datasets
from tinybench.data.prepare import download, packed
from tinybench.data.prepare.curate import FolderSource, curate_layout
from tinybench.data.prepare.decode import IMAGE_SUFFIXES, read_rgb, white_of
from tinybench.data.prepare.explore import describe, explore
from tinybench.data.prepare.folders import Folder, is_image, list_files, read_folder, split_role
from tinybench.errors import UserError
from tinybench.profiling.doctor import _dataset
from tinybench.recipe import Recipe
from tinybench.runtime.files import read_json, write_json
from tinybench.training.setup import load_images


def fill(root, labels=("a", "b"), count=4, suffix=".png", start=0):
    for label in labels:
        for index in range(start, start + count):
            save(root / label / f"{index}{suffix}")
    return root


def counts(root):
    return {split: sum(map(len, classes.values())) for split, classes in read_folder(root).splits.items()}


@pytest.mark.parametrize(
    ("name", "role"),
    [
        ("Train", "train"), ("training_set", "train"), ("seg_train", "train"), ("TRAIN-images", "train"),
        ("trainset", "train"), ("dev", "val"), ("Valid", "val"), ("validation_data", "val"), ("testing", "test"),
        ("seg_test", "test"), ("asl_alphabet_train", "train"), ("val2017", "val"), ("test1", "test"),
        ("train_32x32", "train"), ("trains", None), ("contest", None), ("devil", None), ("n0144", None),
        ("test-multiple_fruits", None), ("train-images-64x64", "train"), (f"train{'1' * 60}!", None),
    ],
)  # fmt: skip
def test_the_names_of_splits(name, role):
    assert split_role(name) == role


@pytest.mark.parametrize("names", [("Train", "Test"), ("training_set", "test_set"), ("train", "dev"), ("trn", "tst")])
def test_splits_under_any_name(tmp_path, names):
    fill(tmp_path / names[0], count=5)
    fill(tmp_path / names[1], count=2)
    assert counts(tmp_path) == {"train": 10, "test": 4}
    assert list(read_folder(tmp_path).splits["train"]) == ["a", "b"]


def test_nested_folders_as_archives_have_them(tmp_path):
    fill(tmp_path / "pack" / "seg_train" / "seg_train", count=5)
    fill(tmp_path / "pack" / "seg_test" / "seg_test", count=2)
    fill(tmp_path / "pack" / "seg_pred" / "seg_pred", labels=("x",))
    listing = read_folder(tmp_path)
    assert counts(tmp_path) == {"train": 10, "test": 4}
    assert "seg_pred/, as seg_train/ holds the classes" in str(listing)


@pytest.mark.parametrize(("train", "test"), [("Train/images", "Test/images"), ("train", "test1"), ("train", "val/a")])
def test_folders_that_look_like_splits_are_no_classes(tmp_path, train, test):
    fill(tmp_path, labels=(train, test))
    with pytest.raises(UserError, match=r"no folder of training images|holds 1 class folders"):
        read_folder(tmp_path)


def test_classes_that_hold_splits_are_one_line(tmp_path):
    for label in "ab":
        fill(tmp_path / label, labels=("train", "test"))
    with pytest.raises(UserError, match=r"a holds splits of its own \(test, train\).*train/a/ and so on"):
        read_folder(tmp_path)


def test_what_lies_beside_the_classes_is_named(tmp_path):
    root = fill(tmp_path / "flowers")
    fill(root / "flowers")  # as some archives hold everything twice
    save(root / "loose.png")
    listing = read_folder(root)
    assert list(listing.splits["train"]) == ["a", "b"]
    assert listing.left_out == [
        "flowers/, which holds the folders beside it once more",
        "1 image in flowers/, in no class folder",
    ]
    fill(tmp_path / "split" / "train")
    save(tmp_path / "split" / "loose.png")
    assert read_folder(tmp_path / "split").left_out == ["1 image beside train/"]


def test_packed_data_of_an_earlier_version_that_took_splits_for_classes(tmp_path, monkeypatch):
    root = tmp_path / "pets"
    fill(root / "Train", count=5)
    fill(root / "Test", count=3)
    files = {name: sorted((root / name).rglob("*.png")) for name in ("Test", "Train")}
    former = {
        "train": {name: paths[1:] for name, paths in files.items()},
        "test": {name: paths[:1] for name, paths in files.items()},
    }
    with monkeypatch.context() as patch:
        patch.setattr(datasets, "read_folder", lambda root: Folder(former, dict.fromkeys(former, ""), []))
        assert load(root, "train").class_ids == ("Test", "Train")
    assert load(root, "train").class_ids == ("a", "b")


def test_a_validation_set_of_its_own(tmp_path, capsys):
    root = tmp_path / "pets"
    fill(root / "train", count=5)
    fill(root / "valid", count=3)
    fill(root / "test", count=2)
    recipe = Recipe(dataset=str(root), image_size=16, val_fraction=0.5)
    train, val = load_images(recipe, tmp_path / "data")
    assert (len(train), len(val), len(load(root, "test"))) == (10, 6, 4)
    out = capsys.readouterr().out
    assert "val          6 images of 2 classes, from valid/" in out
    assert "val_fraction 0.5 does nothing" in out
    assert train.split_fingerprints["val"] == val.fingerprint
    explored = explore(str(root), tmp_path / "data", 16)
    assert [about["images"] for about in explored["splits"].values()] == [10, 6, 4]
    assert "across train and val and test" in describe(explored)
    found = _dataset(train.file.parent, verify=True)
    assert "10 and 6 and 4 images to train and to validate and to test on, verified" in found["about"]
    np.save(val.file, 255 - np.load(val.file))
    assert "is not what was curated" in _dataset(train.file.parent, verify=True)["problem"]


@pytest.mark.parametrize("test_folder", ["images", "unknown"])
def test_an_unlabelled_test_set_does_not_hide_the_validation_set(tmp_path, test_folder):
    fill(tmp_path / "train", count=5)
    fill(tmp_path / "val", count=2)
    fill(tmp_path / "test", labels=(test_folder,))
    listing = read_folder(tmp_path)
    assert listing.origins["test"] == "from val/"
    assert "test/, which holds no images in folders of these classes" in listing.left_out


def test_a_test_set_of_one_class_is_left_out_and_named(tmp_path):
    fill(tmp_path / "train", count=5)
    fill(tmp_path / "test", labels=("a",))
    listing = read_folder(tmp_path)
    assert listing.origins["test"] == "a fifth of each class, held out"
    assert "test/, which holds a single class, a" in listing.left_out


def test_two_training_folders_are_one_line(tmp_path):
    fill(tmp_path / "train")
    fill(tmp_path / "training")
    with pytest.raises(UserError, match="two folders of training images, train and training"):
        read_folder(tmp_path)


def test_litter_is_nobodys_image(tmp_path):
    fill(tmp_path, count=3)
    for place in ("a/.ipynb_checkpoints/0.png", "a/@eaDir/0.png/thumb.jpg", "__MACOSX/a/0.png", "a/._0.png"):
        save(tmp_path / place)
    (tmp_path / "b" / ".DS_Store").write_bytes(b"")
    assert counts(tmp_path) == {"train": 4, "test": 2}
    assert list(list_images([tmp_path])) == sorted(tmp_path.glob("[ab]/[0-9].png"))


def test_all_that_pillow_decodes_is_read_and_the_rest_is_named(tmp_path):
    fill(tmp_path, count=2)
    for suffix, kind in ((".jfif", "JPEG"), (".jpe", "JPEG"), (".jp2", "JPEG2000"), (".tga", "TGA")):
        save(tmp_path / "a" / f"x{suffix}", format=kind)
    (tmp_path / "b" / "notes.txt").write_text("")
    (tmp_path / "b" / "film.mpg").write_text("")
    listing = read_folder(tmp_path)
    assert len(listing.splits["train"]["a"]) + len(listing.splits["test"]["a"]) == 6
    assert any("2 files" in line and ".txt" in line and ".mpg" in line for line in listing.left_out)
    assert not {".eps", ".ps", ".pdf", ".mpg"} & IMAGE_SUFFIXES


def test_links_are_followed_but_not_in_circles(tmp_path):
    root = fill(tmp_path / "root", count=2)
    fill(tmp_path / "elsewhere", labels=("c",), count=5)
    (root / "a" / "more").symlink_to(tmp_path / "elsewhere" / "c")
    for name, target in (("round", root / "a"), ("up", root), ("nowhere.png", tmp_path / "nowhere")):
        (root / "a" / name).symlink_to(target)
    (root / "c").symlink_to(root)
    assert sum(is_image(path) for path in list_files(root / "a")) == 7
    listing = read_folder(root)
    assert counts(root) == {"train": 7, "test": 2}
    assert listing.left_out == [
        "c/, which holds the folders beside it once more",
        "3 files in root/ that are no images (3 links that lead nowhere or back)",
    ]


def test_a_knot_of_links_is_read_once(tmp_path):
    for one in range(8):
        save(tmp_path / f"{one}" / "x.png")
        for other in range(8):
            (tmp_path / f"{one}" / f"to{other}").symlink_to(tmp_path / f"{other}")
    assert sum(is_image(path) for path in list_files(tmp_path)) == 8


def test_a_pipe_is_not_read(tmp_path):
    fill(tmp_path, count=3)
    os.mkfifo(tmp_path / "a" / "pipe.png")
    assert counts(tmp_path) == {"train": 4, "test": 2}
    assert "(1 pipes or devices)" in str(read_folder(tmp_path))
    with pytest.raises(UserError, match="no regular file"):
        read_rgb(tmp_path / "a" / "pipe.png")


def test_names_of_any_encoding(tmp_path):
    root = tmp_path / "pets"
    fill(root, labels=("猫", "cafe"), count=5)
    (root / "cafe").rename(root / os.fsdecode(b"caf\xe9"))
    images = load(root, "train")
    assert images.class_ids == (r"caf\xe9", "猫")
    assert load(root, "train").fingerprint == images.fingerprint
    name = os.fsdecode(b"pets\xe9")  # as it stands in a history
    write_json(tmp_path / "history.json", {"dataset": name, "classes": "猫"})
    assert read_json(tmp_path / "history.json") == {"dataset": name, "classes": "猫"}


def test_two_images_of_a_class_are_enough(tmp_path):
    fill(tmp_path / "pets", labels=("a",), count=10)
    fill(tmp_path / "pets", labels=("b",), count=2)
    train, val = load_images(Recipe(dataset=str(tmp_path / "pets"), image_size=16), tmp_path / "data")
    assert (train.labels == 1).sum() == 1
    assert (val.labels == 1).sum() == 0
    assert (load(tmp_path / "pets", "test").labels == 1).sum() == 1


# ---- images of more than 8 bits


def ramp(path, top, dtype=np.uint16):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray((np.linspace(0, 1, 32)[None].repeat(32, 0) * top).astype(dtype)).save(path)


@pytest.mark.parametrize(
    ("largest", "white"), [(0.4, 1), (1.0, 1), (200, 255), (256, 4095), (4095, 4095), (5000, 65535), (1e5, 1e5)]
)
def test_the_range_that_numbers_usually_have(largest, white):
    assert white_of(largest) == white


def test_one_scale_for_all_images_of_a_data_set(tmp_path, capsys):
    root = tmp_path / "deep"
    for label in "ab":
        for index in range(4):
            ramp(root / label / f"{index}.png", 4095)
    ramp(root / "a" / "dark.png", 250)
    ramp(root / "a" / "black.png", 20)
    images = load(root, "train", image_size=32)
    assert images.white == 4095
    tops = sorted({int(image.max()) for split in ("train", "test") for image in load(root, split, 32).images})
    assert tops == [1, 16, 255]  # not each by its own range
    out = capsys.readouterr().out
    assert "10 images of more than 8 bits a channel: 4095 counts as white" in out
    assert "hardly any levels of gray at that scale in 1 of them" in out
    assert "black.png" in out


def test_floats_between_0_and_1(tmp_path):
    root = tmp_path / "floats"
    for label, top in (("a", 0.45), ("b", 0.9)):
        for index in range(3):
            ramp(root / label / f"{index}.tif", top, np.float32)
    assert load(root, "train", 32).images.max() == round(0.9 * 255)


def test_values_that_are_not_finite_are_named(tmp_path):
    root = tmp_path / "floats"
    for label in "ab":
        for index in range(3):
            ramp(root / label / f"{index}.tif", 0.5, np.float32)
    ramp(root / "a" / "nan.tif", np.nan, np.float32)
    with pytest.raises(UserError, match=r"1 damaged image: .*nan\.tif: holds values that are not finite"):
        load(root, "train")


def test_images_of_one_colour_are_an_error(tmp_path):
    for label in "ab":
        for index in range(3):
            save(tmp_path / "red" / label / f"{index}.png", color="red")
    with pytest.raises(UserError, match="red has the same value in every pixel"):
        load(tmp_path / "red", "train")


# ---- damaged and hostile files


def chunk(kind, data):
    return len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")


@pytest.mark.parametrize(
    "extra",
    [
        chunk(b"eXIf", b"garbage!"),
        chunk(b"tEXt", b"Comment\0x")[:-4] + b"\0\0\0\0",  # a wrong checksum
        chunk(b"zTXt", b"Comment\0\0" + zlib.compress(b"a" * (2 << 20))),
        chunk(b"iCCP", b"icc\0\0" + zlib.compress(b"a" * (2 << 20))),
    ],
)
def test_broken_metadata_of_sound_pixels(tmp_path, extra):
    save(tmp_path / "x.png")
    data = (tmp_path / "x.png").read_bytes()
    expected = np.asarray(read_rgb(tmp_path / "x.png"))
    assert np.array_equal(read_rgb(data[:33] + extra + data[33:], "x"), expected)


def test_damaged_images_are_all_named_and_can_be_left_out(tmp_path, capsys):
    root = fill(tmp_path / "pets", count=10)
    for name in ("a/1.png", "a/2.png", "b/3.png"):
        (root / name).write_text("no image")
    with pytest.raises(UserError) as caught:
        load(root, "train")
    said = ("3 damaged images", "a/1.png", "a/2.png", "b/3.png", "--skip_damaged")
    assert all(part in str(caught.value) for part in said)
    train = datasets.load(str(root), "train", tmp_path / "data", 16, skip_damaged=True)
    test = datasets.load(str(root), "test", tmp_path / "data", 16, skip_damaged=True)
    assert len(train) + len(test) == 17
    assert capsys.readouterr().out.count("left out: ") == 3


def test_a_picture_of_99_megapixels_is_refused_by_its_header(tmp_path):
    save_claiming(tmp_path / "x.png", 11_000, 9_000)
    with pytest.raises(UserError, match="11000x9000 pixels are too many"):
        read_rgb(tmp_path / "x.png")


def test_new_data_replace_old_ones_when_they_are_complete(tmp_path):
    curate_zip(write_zip(tmp_path / "good.zip", archive_files()), tmp_path)
    before = tree(tmp_path / "curated")
    files = archive_files()
    files["train/n00000001/images/n00000001_0.JPEG"] = b"no image"
    with pytest.raises(UserError, match="1 damaged image"):
        curate_zip(write_zip(tmp_path / "bad.zip", files), tmp_path)
    assert tree(tmp_path / "curated") == before


def test_a_kill_between_the_two_renames_loses_nothing(tmp_path):
    folder = curate_zip(write_zip(tmp_path / "good.zip", archive_files()), tmp_path)
    before = tree(folder)
    folder.rename(folder.with_name(f".{folder.name}.old"))
    assert packed.ensure_packed(folder, lambda new: pytest.fail("nothing is to be made")) == folder
    assert tree(folder) == before


def test_packed_data_are_read_where_nothing_can_be_written(demo_data, monkeypatch):
    monkeypatch.setattr(packed, "one_at_a_time", lambda folder: pytest.fail("a lock file is written"))
    monkeypatch.setattr(Path, "mkdir", lambda *arguments, **options: pytest.fail("a folder is made"))
    assert len(datasets.load("demo", "test", demo_data)) == 500


def test_val_images_sorted_into_class_folders_and_litter_in_archives(tmp_path):
    files = archive_files()
    rows = files.pop("val/val_annotations.txt").decode().splitlines()
    for row in rows:
        name, label, *_ = row.split("\t")
        files[f"val/{label}/images/{name}"] = files.pop(f"val/images/{name}")
    files |= {"__MACOSX/train/._x.JPEG": b"", "train/.DS_Store": b"", "train/n00000001/._0.JPEG": b""}
    plain = curate_zip(write_zip(tmp_path / "plain.zip", archive_files()), tmp_path / "plain")
    other = curate_zip(write_zip(tmp_path / "sorted.zip", files), tmp_path / "sorted")
    fingerprints = [packed.load_packed(folder, "test").fingerprint for folder in (plain, other)]
    assert fingerprints[0] == fingerprints[1]


def test_a_huge_text_file_is_not_read(tmp_path, monkeypatch):
    root = tmp_path / "tiny-imagenet-200"
    for name, content in archive_files().items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    with (root / "words.txt").open("r+b") as file:
        file.truncate(900_000_000)  # of zeros, which take no room
    with pytest.raises(UserError, match=r"words\.txt has more than 20,000,000 bytes"):
        curate_layout(lambda: FolderSource(root), tmp_path, "small", LAYOUT)


def test_a_server_that_sends_too_much_is_left(tmp_path, monkeypatch):
    source = tmp_path / "endless"
    source.write_bytes(bytes(300_000))
    monkeypatch.setattr(download, "LARGEST", 200_000)
    with pytest.raises(UserError, match="more than 200,000 are not taken"):
        download.download(source.as_uri(), tmp_path / "got.zip")
