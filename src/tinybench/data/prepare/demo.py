"""The demo data set: ten classes of drawn objects, so that everything runs without a network and without Tiny ImageNet.

A class is a shape and a texture, and it prefers a hue. Place, size, rotation, both colours, background, light and noise
vary from image to image, and a smaller shape of any kind lies about as a distractor. So neither a pixel nor the colour
alone tells the class, but a few convolutions do. The files are written in the published archive's layout and then go
through curation like the real ones.
"""

import colorsys
import contextlib
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

from tinybench.data.prepare.curate import FolderSource, Layout, curate_layout
from tinybench.runtime.seeds import Purpose, numpy_generator

NAME = "demo"
SIZE = 64
LAYOUT = Layout(classes=10, train_per_class=150, test_per_class=50, image_size=SIZE)

# Shape, texture and preferred hue of each class; hues are in turns and overlap widely.
CLASSES = (
    ("disc", "plain", 0.00),
    ("disc", "striped", 0.10),
    ("square", "plain", 0.20),
    ("square", "striped", 0.30),
    ("triangle", "plain", 0.40),
    ("triangle", "checkered", 0.50),
    ("ring", "plain", 0.60),
    ("ring", "checkered", 0.70),
    ("cross", "plain", 0.80),
    ("cross", "striped", 0.90),
)
HUE_SPREAD = 0.2
BOX = f"0\t0\t{SIZE - 1}\t{SIZE - 1}"  # the whole image; nobody reads the boxes


def pack(data_dir: Path) -> Path:
    """Draw and curate the data set under `data_dir`, unless that has been done; the packed folder is returned."""

    with contextlib.ExitStack() as stack:

        def draw() -> FolderSource:
            archive = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="demo-archive-", dir=data_dir)))
            write_archive(archive)
            return FolderSource(archive)

        return curate_layout(draw, data_dir, NAME, LAYOUT, anew=False)


def write_archive(root: Path) -> None:
    """Write wnids.txt, words.txt, train/ and val/ with their annotations, as the published archive has them."""
    class_ids = [f"n{90_000_000 + label:08d}" for label in range(len(CLASSES))]
    names = [f"{texture} {shape}" for shape, texture, _ in CLASSES]
    val_images = root / "val" / "images"
    val_images.mkdir(parents=True)
    annotations = []
    for label, class_id in enumerate(class_ids):
        folder = root / "train" / class_id / "images"
        folder.mkdir(parents=True)
        boxes = []
        images = draw_class(label, LAYOUT.train_per_class + LAYOUT.test_per_class)
        for index, image in enumerate(images):
            if index < LAYOUT.train_per_class:
                path = folder / f"{class_id}_{index}.JPEG"
                boxes.append(f"{path.name}\t{BOX}\n")
            else:
                path = val_images / f"val_{label + len(CLASSES) * (index - LAYOUT.train_per_class)}.JPEG"
                annotations.append(f"{path.name}\t{class_id}\t{BOX}\n")
            Image.fromarray(image).save(path, quality=90)
        (folder.parent / f"{class_id}_boxes.txt").write_text("".join(boxes))
    (root / "val" / "val_annotations.txt").write_text("".join(annotations))
    (root / "wnids.txt").write_text("".join(f"{class_id}\n" for class_id in class_ids))
    (root / "words.txt").write_text("".join(f"{i}\t{name}\n" for i, name in zip(class_ids, names, strict=True)))


def draw_class(label: int, count: int) -> np.ndarray:
    """Images of one class: uint8 (count, SIZE, SIZE, 3)."""
    shape, texture, hue = CLASSES[label]
    rng = numpy_generator(0, Purpose.DEMO, label)
    images = np.empty((count, SIZE, SIZE, 3), np.float32)
    for image in images:
        ground = _color(rng, rng.uniform())
        image[:] = ground + _gradient(rng)
        other_shape = CLASSES[rng.integers(len(CLASSES))][0]
        _paint(image, rng, other_shape, "plain", _color(rng, rng.uniform()), rng.uniform(4, 7))
        color = _color(rng, hue + rng.normal(scale=HUE_SPREAD))
        _paint(image, rng, shape, texture, color, rng.uniform(13, 24))
    images += rng.normal(scale=0.06, size=images.shape)
    return (images.clip(0, 1) * 255).astype(np.uint8)


def _color(rng: np.random.Generator, hue: float) -> np.ndarray:
    return np.array(colorsys.hsv_to_rgb(hue % 1, rng.uniform(0.3, 1), rng.uniform(0.3, 1)), np.float32)


def _gradient(rng: np.random.Generator) -> np.ndarray:
    """Light from one side: (SIZE, SIZE, 1)."""
    angle, strength = rng.uniform(0, 2 * np.pi), rng.uniform(0, 0.3)
    y, x = np.mgrid[-1 : 1 : SIZE * 1j, -1 : 1 : SIZE * 1j].astype(np.float32)
    return (strength * (x * np.cos(angle) + y * np.sin(angle)))[..., None]


def _paint(
    image: np.ndarray, rng: np.random.Generator, shape: str, texture: str, color: np.ndarray, radius: float
) -> None:
    """Draw an object over `image`, float32 (SIZE, SIZE, 3), at a random place and angle; its edges are smooth."""
    center = rng.uniform(radius * 0.7, SIZE - radius * 0.7, size=2)
    angle = rng.uniform(0, 2 * np.pi)
    y, x = np.mgrid[:SIZE, :SIZE].astype(np.float32) + 0.5
    dx, dy = (x - center[0]) / radius, (y - center[1]) / radius
    u, v = dx * np.cos(angle) + dy * np.sin(angle), dy * np.cos(angle) - dx * np.sin(angle)
    coverage = (0.5 - _distance(shape, u, v) * radius).clip(0, 1)
    period = rng.uniform(0.35, 0.5)
    pattern = {
        "plain": np.zeros_like(u),
        "striped": np.floor(u / period) % 2,
        "checkered": (np.floor(u / period) + np.floor(v / period)) % 2,
    }[texture]
    # The pattern's second colour is darker or lighter, whichever is further away.
    second = color * 0.35 if color.mean() > 0.5 else color * 0.35 + 0.65
    paint = np.where(pattern[..., None] > 0, second, color)
    image += coverage[..., None] * (paint - image)


def _distance(shape: str, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Signed distance to the outline, negative inside, about 1 from the centre to the outline."""
    match shape:
        case "disc":
            return np.hypot(u, v) - 0.95
        case "square":
            return np.maximum(abs(u), abs(v)) - 0.85
        case "triangle":
            return np.maximum(v - 0.55, 0.866 * abs(u) - 0.5 * v - 0.55)
        case "ring":
            return abs(np.hypot(u, v) - 0.72) - 0.26
        case _:
            bar, beam = np.maximum(abs(u) - 0.95, abs(v) - 0.3), np.maximum(abs(u) - 0.3, abs(v) - 0.95)
            return np.minimum(bar, beam)
