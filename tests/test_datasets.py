"""Data sets by name, folders of any images, subsets and splits, the demo, and what exploring finds."""

import struct
import zlib

import numpy as np
import pytest
import torch
from PIL import Image

from tinybench.data import datasets
from tinybench.data.prepare import demo, explore
from tinybench.data.prepare.decode import read_rgb, resize_square
from tinybench.data.split import first_classes, images_per_class, train_val_split
from tinybench.errors import UsageError, UserError


def save(path, mode="RGB", size=(20, 16), color=None, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(zlib.crc32(path.as_posix().encode()))
    pixels = rng.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    image = Image.fromarray(pixels) if color is None else Image.new("RGB", size, color)
    image.convert(mode).save(path, **options)


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "pets"
    for name in ("dog", "cat", "ant"):
        for index in range(10):
            save(root / name / f"{index}.png", size=(30 + index, 20))
    return root


def load(folder, split, image_size=16):
    return datasets.load(str(folder), split, folder.parent / "data", image_size)


# ---- reading images


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "I", "I;16", "F"])
def test_every_mode_becomes_rgb(tmp_path, mode):
    level = 255 if mode == "1" else 204  # which a palette of 216 colours holds too
    path = tmp_path / f"image.{'tif' if mode in ('I', 'F', 'YCbCr', 'CMYK') else 'png'}"
    if mode in ("I;16", "I"):
        Image.fromarray(np.full((6, 8), level * 257, np.uint16)).convert(mode).save(path)
    else:
        # Pillow 12.3 cannot read the YCbCr that it writes uncompressed; those in the wild are JPEG.
        compression = {"compression": "jpeg"} if mode == "YCbCr" else {}
        Image.new("RGB", (8, 6), (level, level, level)).convert(mode).save(path, **compression)
    read = read_rgb(path)
    assert (read.mode, read.size) == ("RGB", (8, 6))
    pixel = np.asarray(read)[3, 4].astype(int)
    assert abs(pixel - level).max() <= 2


def test_transparency_shows_white_animations_their_first_frame_and_exif_turns(tmp_path):
    Image.new("RGBA", (4, 4), (255, 0, 0, 0)).save(tmp_path / "clear.png")
    assert read_rgb(tmp_path / "clear.png").getpixel((1, 1)) == (255, 255, 255)
    frames = [Image.new("RGB", (4, 4), color) for color in ("red", "blue")]
    frames[0].save(tmp_path / "moving.gif", save_all=True, append_images=frames[1:])
    assert read_rgb(tmp_path / "moving.gif").getpixel((0, 0)) == (255, 0, 0)
    image = Image.new("RGB", (8, 4), "blue")
    exif = image.getexif()
    exif[0x0112] = 6  # a quarter turn
    image.save(tmp_path / "turned.jpg", exif=exif)
    assert read_rgb(tmp_path / "turned.jpg").size == (4, 8)


def save_claiming(path, width, height):
    """A small PNG whose header claims another size."""
    save(path)
    content = path.read_bytes()
    header = b"IHDR" + struct.pack(">II", width, height) + content[24:29]
    path.write_bytes(content[:12] + header + struct.pack(">I", zlib.crc32(header)) + content[33:])


def test_files_that_are_no_images_are_one_line_each(tmp_path):
    (tmp_path / "text.jpg").write_text("no image")
    (tmp_path / "empty.jpg").write_bytes(b"")
    save(tmp_path / "cut.jpg", size=(100, 100))
    (tmp_path / "cut.jpg").write_bytes((tmp_path / "cut.jpg").read_bytes()[:1000])
    save(tmp_path / "cut.png", size=(100, 100))
    (tmp_path / "cut.png").write_bytes((tmp_path / "cut.png").read_bytes()[:1000])
    save_claiming(tmp_path / "huge.png", 100_000, 100_000)
    save_claiming(tmp_path / "large.png", 11_000, 11_000)
    for name in ("text.jpg", "empty.jpg", "cut.jpg", "cut.png", "huge.png", "large.png", "none.jpg"):
        with pytest.raises(UserError, match=name) as caught:
            read_rgb(tmp_path / name)
        assert "\n" not in str(caught.value), name


def test_resize_keeps_the_centre():
    image = Image.new("RGB", (300, 100), "black")
    image.paste("white", (100, 0, 200, 100))
    assert resize_square(image, 10).min() > 200
    assert resize_square(image, 10).shape == (3, 10, 10)


# ---- folders


def test_a_folder_without_test_images_holds_a_fifth_out(folder):
    train, test = load(folder, "train"), load(folder, "test")
    assert train.class_ids == ("ant", "cat", "dog")
    assert train.images.shape == (24, 3, 16, 16)
    assert torch.bincount(test.labels).tolist() == [2, 2, 2]
    pixels = {image.tobytes() for image in train.images.numpy()} | {image.tobytes() for image in test.images.numpy()}
    assert len(pixels) == 30
    assert load(folder, "test").fingerprint == test.fingerprint


@pytest.mark.parametrize("name", ["test", "val"])
def test_a_folder_with_its_own_test_images(tmp_path, name):
    for split, count in (("train", 4), (name, 3)):
        for label in ("a", "b"):
            for index in range(count):
                save(tmp_path / "set" / split / label / f"{split}{index}.jpg")
    assert len(load(tmp_path / "set", "train")) == 8
    assert len(load(tmp_path / "set", "test")) == 6


def test_a_changed_folder_is_packed_anew(folder):
    before = load(folder, "train")
    save(folder / "cat" / "new.jpg")
    after = load(folder, "train")
    assert before.fingerprint != after.fingerprint
    assert len(after) + len(load(folder, "test")) == 31
    assert load(folder, "train", image_size=8).images.shape[2:] == (8, 8)


def test_wrong_folders_are_one_line(tmp_path, folder):
    (folder / "cat" / "broken.jpg").write_text("no image")
    with pytest.raises(UserError, match=r"broken\.jpg"):
        load(folder, "train")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="0 class folders"):
        load(tmp_path / "empty", "train")
    save(tmp_path / "single" / "a" / "1.png")
    save(tmp_path / "single" / "b" / "1.png")
    with pytest.raises(UserError, match=r"a holds 1 images; at least 2"):
        load(tmp_path / "single", "train")
    save(tmp_path / "single" / "a" / "2.png")
    (tmp_path / "single" / "b" / "1.png").unlink()
    with pytest.raises(UserError, match="1 class folders with images; at least 2"):
        load(tmp_path / "single", "train")
    for split, label in (("train", "a"), ("train", "b"), ("test", "a"), ("test", "z")):
        save(tmp_path / "foreign" / split / label / "1.png")
        save(tmp_path / "foreign" / split / label / "2.png")
    with pytest.raises(UserError, match="classes that the training images have not: z"):
        load(tmp_path / "foreign", "train")


def test_classes_may_bear_the_names_of_splits(tmp_path):
    for label in ("bus", "test", "train"):
        for index in range(3):
            save(tmp_path / "vehicles" / label / f"{index}.png")
    assert load(tmp_path / "vehicles", "train").class_ids == ("bus", "test", "train")


def test_an_extracted_archive_is_sent_to_curation(tmp_path):
    demo.write_archive(tmp_path / "archive")
    with pytest.raises(UsageError, match=r"python src/curate_data\.py --source"):
        load(tmp_path / "archive", "train")


def test_unknown_and_missing_data_sets_say_what_to_type(tmp_path):
    with pytest.raises(UsageError, match="neither tiny-imagenet nor demo"):
        datasets.load("tiny-imagnet", "train", tmp_path)
    with pytest.raises(UserError, match=r"python src/curate_data\.py.*--download.*--dataset demo"):
        datasets.load("tiny-imagenet", "train", tmp_path)


# ---- subsets and splits


def test_split_is_stratified_seeded_and_complete(demo_data):
    images = datasets.load("demo", "train", demo_data)
    train, val = train_val_split(images, 0.2, seed=0)
    assert torch.bincount(train.labels).tolist() == [120] * 10
    assert torch.bincount(val.labels).tolist() == [30] * 10
    together = torch.cat((train.images, val.images)).flatten(1)
    assert len(together.unique(dim=0)) == len(images.images.flatten(1).unique(dim=0))
    assert torch.equal(val.images, train_val_split(images, 0.2, seed=0)[1].images)
    assert not torch.equal(val.images, train_val_split(images, 0.2, seed=1)[1].images)


def test_subsets(demo_data):
    images = datasets.load("demo", "train", demo_data)
    few = images_per_class(first_classes(images, 4), 7, seed=0)
    assert few.class_ids == images.class_ids[:4]
    assert torch.bincount(few.labels).tolist() == [7] * 4
    assert not torch.equal(few.images, images_per_class(first_classes(images, 4), 7, seed=1).images)
    assert first_classes(images, 0) is images
    with pytest.raises(UsageError, match="classes 11: demo has only 10"):
        first_classes(images, 11)
    with pytest.raises(UsageError, match="images_per_class 151"):
        images_per_class(images, 151, seed=0)
    train, val = train_val_split(images_per_class(images, 2, seed=0), 0.2, seed=0)
    assert torch.bincount(train.labels).tolist() == torch.bincount(val.labels).tolist() == [1] * 10
    with pytest.raises(UsageError, match="at least 2 of one are needed"):
        train_val_split(images_per_class(images, 1, seed=0), 0.2, seed=0)


# ---- the demo


def test_the_demo_is_deterministic_and_in_the_published_layout(tmp_path):
    demo.write_archive(tmp_path)
    wnids = (tmp_path / "wnids.txt").read_text().split()
    assert len(wnids) == 10
    assert len(list((tmp_path / "train" / wnids[3] / "images").glob("*.JPEG"))) == demo.LAYOUT.train_per_class
    assert len((tmp_path / "val" / "val_annotations.txt").read_text().splitlines()) == 500
    assert np.array_equal(demo.draw_class(3, 5), demo.draw_class(3, 5))
    assert not np.array_equal(demo.draw_class(3, 5), demo.draw_class(4, 5))


def test_a_linear_classifier_stays_far_below_perfect_on_the_demo(demo_data):
    """Ridge regression on the pixels, its penalty chosen in its favour."""
    sets = [datasets.load("demo", split, demo_data) for split in ("train", "test")]
    (x, y), (x_test, y_test) = (
        (torch.nn.functional.avg_pool2d(s.images.float() / 255 - 0.5, 2).flatten(1), s.labels) for s in sets
    )
    targets = torch.nn.functional.one_hot(y).float() - 0.1
    kernel, best = x @ x.T, 0.0
    for penalty in (1.0, 10.0, 100.0, 1000.0):
        dual = torch.linalg.solve(kernel + penalty * torch.eye(len(x)), targets)
        best = max(best, ((x_test @ (x.T @ dual)).argmax(1) == y_test).float().mean().item())
    assert 0.1 < best < 0.5


# ---- exploring


def test_exploring_finds_known_duplicates(tmp_path):
    root = tmp_path / "set"
    for split in ("train", "test"):
        for label in ("a", "b"):
            for index in range(3):
                save(root / split / label / f"{split}{index}.png", color=(index, len(split), ord(label)))
    save(root / "train" / "a" / "same1.png", color="white")
    save(root / "train" / "a" / "same2.png", color="white")
    save(root / "train" / "b" / "gray.png", color="gray")
    save(root / "test" / "a" / "gray.png", color="gray")
    numbers = explore.explore(str(root), tmp_path / "data", 16)
    duplicates = numbers["duplicates"]
    assert {key: duplicates[key] for key in duplicates if key != "members"} == {
        "groups": 2,
        "images": 4,
        "within_class": 1,
        "across_classes": 1,
        "across_splits": 1,
    }
    assert numbers["splits"]["train"]["gray_images"] == 3
    assert (numbers["splits"]["train"]["fewest_per_class"], numbers["splits"]["train"]["most_per_class"]) == (4, 5)
    text = explore.describe(numbers)
    assert "2 groups of images with identical pixels" in text
    assert "4 to 5 a class" in text
