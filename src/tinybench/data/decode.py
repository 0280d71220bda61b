"""Image files of any kind as RGB pixels."""

import io
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from tinybench.errors import UserError

IMAGE_SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm", ".pbm"}
MAX_PIXELS = 100_000_000  # a file of a few kilobytes can claim billions and fill the memory


# What to call an image in a message, and its file or its bytes.
NamedSource = tuple[str, Path | bytes]


def read_rgb(source: Path | bytes, name: str = "") -> Image.Image:
    """Read an image of any mode as RGB, upright as its EXIF says.

    Transparent pixels show white, 16-bit grayscale keeps its high byte, and of an animation the first frame counts.

    Args:
        source: a file, or its bytes together with the `name` to call it by.

    Raises:
        UserError: no such file, no image, truncated, or larger than MAX_PIXELS.
    """
    name = name or str(source)
    try:
        with Image.open(io.BytesIO(source) if isinstance(source, bytes) else source) as image:
            if image.width * image.height > MAX_PIXELS:
                raise UserError(f"{name}: {image.width}x{image.height} pixels are too many; at most {MAX_PIXELS:,}")
            image.load()
            return _to_rgb(ImageOps.exif_transpose(image))
    except FileNotFoundError as error:
        raise UserError(f"{name}: no such file") from error
    except UnidentifiedImageError as error:
        raise UserError(f"{name}: no image, or of a kind that is not supported") from error
    except Image.DecompressionBombError as error:
        raise UserError(f"{name}: too many pixels; at most {MAX_PIXELS:,}") from error
    except UserError:
        raise
    except OSError as error:
        raise UserError(f"{name}: {error.strerror or 'the image is damaged or truncated'}") from error
    except Exception as error:  # decoders raise SyntaxError, ValueError, struct.error and others for damaged files
        raise UserError(f"{name}: the image is damaged") from error


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        values = np.asarray(image, dtype=np.float32)
        # Images of more than 8 bits use 16 of them, unless nothing in them exceeds 8.
        scaled = values / 257 if values.max(initial=0) > 255 else values
        image = Image.fromarray(scaled.clip(0, 255).round().astype(np.uint8))
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image if image.mode == "RGB" else image.convert("RGB")


def resize_square(image: Image.Image, size: int) -> np.ndarray:
    """Scale the shorter side to `size` pixels (antialiased) and crop the centre: uint8 (3, size, size)."""
    if image.size != (size, size):
        image = ImageOps.fit(image, (size, size), Image.Resampling.BICUBIC)
    return np.asarray(image).transpose(2, 0, 1)


def decode_square(size: int, source: NamedSource) -> np.ndarray:
    """Any image, made square: uint8 (3, size, size)."""
    name, data = source
    return resize_square(read_rgb(data, name), size)


def decode_exact(size: int, source: NamedSource) -> np.ndarray:
    """An image that has to be square and of that size: uint8 (3, size, size).

    Raises:
        UserError: it is not.
    """
    name, data = source
    image = read_rgb(data, name)
    if image.size != (size, size):
        raise UserError(f"{name}: {image.width}x{image.height} pixels instead of {size}x{size}")
    return resize_square(image, size)
