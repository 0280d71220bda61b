"""Image files of any kind as RGB pixels."""

import contextlib
import io
import stat
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from tinybench.errors import UserError

# What Pillow decodes by itself: not PostScript, which another program would run, nor films and tables of numbers.
FORMATS = (
    "JPEG", "PNG", "WEBP", "AVIF", "GIF", "BMP", "DIB", "TIFF", "PPM", "JPEG2000", "TGA", "ICO", "PCX", "SGI", "DDS",
    "QOI", "PSD", "SUN", "XBM", "XPM", "MSP", "IM",
)  # fmt: skip
IMAGE_SUFFIXES = frozenset(suffix for suffix, kind in Image.registered_extensions().items() if kind in FORMATS)
# Those that can hold more than 8 bits a channel in one channel.
DEEP_SUFFIXES = {".png", ".tif", ".tiff", ".pgm", ".pnm", ".pfm", ".jp2", ".j2k", ".jpx", ".im"}
MAX_PIXELS = 50_000_000  # a file of a few kilobytes can claim billions and fill the memory
METADATA_CHUNKS = (b"tEXt", b"zTXt", b"iTXt", b"eXIf", b"iCCP")

# What to call an image in a message, and its file or its bytes.
NamedSource = tuple[str, Path | bytes]


def read_rgb(source: Path | bytes, name: str = "", white: float = 0.0) -> Image.Image:
    """Read an image of any mode as RGB, upright as its EXIF says.

    Transparent pixels show white, and of an animation the first frame counts.

    Args:
        source: a file, or its bytes together with the `name` to call it by.
        white: what counts as white in images of more than 8 bits a channel (0: what the image's own range suggests).

    Raises:
        UserError: no such file, no image, truncated, or larger than MAX_PIXELS.
    """
    name = name or str(source)
    image = _read(source, name)
    if image.mode == "F" and not np.isfinite(np.asarray(image)).all():
        raise UserError(f"{name}: holds values that are not finite")
    return _to_rgb(image, white)


def deep_range(source: Path | bytes, name: str = "") -> tuple[float, float] | None:
    """The smallest and the largest value of an image of more than 8 bits a channel, if all are finite; else None.

    Raises:
        UserError: as `read_rgb` does.
    """
    name = name or str(source)
    # The header tells, of most images.
    with contextlib.suppress(Exception), Image.open(source, formats=FORMATS) as image:
        if not _is_deep(image):
            return None
    read = _read(source, name)
    if not _is_deep(read):
        return None
    values = np.asarray(read)
    return (float(values.min()), float(values.max())) if np.isfinite(values).all() else None


def white_of(largest: float) -> float:
    """What counts as white where that is the largest value: the end of the range that such numbers usually have."""
    return next((white for white in (1.0, 255.0, 4095.0, 65535.0) if largest <= white), largest)


def _read(source: Path | bytes, name: str) -> Image.Image:
    """The first frame of an image, upright."""
    try:
        if isinstance(source, Path) and not stat.S_ISREG(source.stat().st_mode):
            raise UserError(f"{name}: no regular file")
        try:
            return _load(source, name)
        except (ValueError, SyntaxError, UnidentifiedImageError):  # perhaps only the metadata are large or broken
            data = source.read_bytes() if isinstance(source, Path) else source
            if not data.startswith(b"\x89PNG"):
                raise
            return _load(_without_metadata(data), name)
    except FileNotFoundError as error:
        raise UserError(f"{name}: no such file") from error
    except UnidentifiedImageError as error:
        raise UserError(f"{name}: no image, or of a kind that is not supported") from error
    except Image.DecompressionBombError as error:
        raise UserError(f"{name}: too many pixels; at most {MAX_PIXELS:,}") from error
    except (UserError, MemoryError):
        raise
    except OSError as error:
        raise UserError(f"{name}: {error.strerror or 'the image is damaged or truncated'}") from error
    except Exception as error:  # decoders raise SyntaxError, ValueError, struct.error and others for damaged files
        raise UserError(f"{name}: the image is damaged") from error


def _load(source: Path | bytes, name: str) -> Image.Image:
    with Image.open(io.BytesIO(source) if isinstance(source, bytes) else source, formats=FORMATS) as image:
        while image.format == "JPEG" and image.width * image.height > MAX_PIXELS:  # decoded at half the size
            if not image.draft("RGB", (image.width // 2, image.height // 2)):
                break
        if image.width * image.height > MAX_PIXELS:
            raise UserError(f"{name}: {image.width}x{image.height} pixels are too many; at most {MAX_PIXELS:,}")
        image.load()
        with contextlib.suppress(Exception):  # a broken EXIF tells nothing, and the pixels are sound
            return ImageOps.exif_transpose(image)
        return image.copy()


def _without_metadata(data: bytes) -> bytes:
    """A PNG without what says nothing of its pixels."""
    kept, place = [data[:8]], 8
    while place + 8 <= len(data):
        end = place + 12 + int.from_bytes(data[place : place + 4], "big")
        if data[place + 4 : place + 8] not in METADATA_CHUNKS:
            kept.append(data[place:end])
        place = end
    return b"".join(kept)


def _is_deep(image: Image.Image) -> bool:
    return image.mode in ("I", "F") or image.mode.startswith("I;16")


def _to_rgb(image: Image.Image, white: float) -> Image.Image:
    if _is_deep(image):
        values = np.asarray(image, dtype=np.float32)
        scaled = values * (255 / (white or white_of(float(values.max(initial=0)))))
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


def decode_square(size: int, source: NamedSource, white: float = 0.0) -> np.ndarray:
    """Any image, made square: uint8 (3, size, size); `white` as in `read_rgb`."""
    name, data = source
    return resize_square(read_rgb(data, name, white), size)


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
