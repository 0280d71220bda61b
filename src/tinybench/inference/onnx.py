"""A network that export.py wrote as ONNX, run by ONNX Runtime on the CPU. Only testing needs torch."""

import functools
import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import with_config

from tinybench.data.prepare.decode import decode_square
from tinybench.errors import UserError, notice
from tinybench.inference.about import About, Guess, Tick, ignore, likeliest
from tinybench.validation import STRICT, validated

if TYPE_CHECKING:
    import torch

    from tinybench.data.imageset import ImageSet

BESIDE = "network.onnx"  # the name under which infer.py looks for it beside a checkpoint
METADATA = "tinybench"  # the key of what the file says of itself
OUTPUTS = ("logits", "probabilities")
Layout = Literal["nchw", "nhwc"]
FATAL = 4  # of what is logged: errors come as exceptions, too


@with_config(STRICT)
class Exported(About):
    """What the file says of itself, as JSON in its metadata.

    Attributes:
        layout: of the uint8 images that go in, (B, 3, S, S) or (B, S, S, 3).
        precision: that it computes in.
        checkpoint_sha256: of the file that it was made from.
    """

    layout: Layout
    precision: Literal["fp32", "int8"]
    checkpoint_sha256: str


class OnnxPredictor:
    """As `predictor.Predictor`, for an exported network: images in any form to logits, float32 (N, classes).

    Attributes:
        path: of the file.
        checkpoint: what the file says of the network, see `Exported`.
        precision: that it computes in.
    """

    def __init__(self, path: Path, *, batch_size: int = 256) -> None:
        """Read a file.

        Raises:
            UserError: it is missing or damaged, or was not written by export.py.
        """
        self.path, self.batch_size = path, batch_size
        self._bytes = _read(path)
        self._session = _session(self._bytes, path)
        try:
            said = json.loads(self._session.get_modelmeta().custom_metadata_map[METADATA])
            (self._input,) = (taken.name for taken in self._session.get_inputs())
            outputs = {output.name: output.shape for output in self._session.get_outputs()}
        except KeyError as error:
            raise UserError(f"{path} was not written by export.py: it does not say what its classes are") from error
        except (ValueError, RecursionError) as error:
            raise _damaged(path, error) from error
        self.checkpoint: dict[str, Any] = validated(Exported, said, f"{path} is damaged")
        if set(outputs) != {*OUTPUTS}:
            raise UserError(f"{path} was not written by export.py: it has other outputs")
        if not len(said["class_ids"]) == len(said["class_names"]) == outputs[OUTPUTS[0]][-1]:
            raise UserError(f"{path} is damaged: it has not as many names as classes")
        self.precision: str = self.checkpoint["precision"]
        self.image_size: int = self.checkpoint["image_size"]

    @functools.cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the file."""
        return hashlib.sha256(self._bytes).hexdigest()

    def logits_of_uint8(self, images: np.ndarray) -> np.ndarray:
        """The logits of uint8 images (B, 3, image_size, image_size).

        Raises:
            UserError: the file is damaged, or the network's training diverged.
        """
        if self.checkpoint["layout"] == "nhwc":
            images = images.transpose(0, 2, 3, 1)
        try:
            (logits,) = self._session.run(OUTPUTS[:1], {self._input: np.ascontiguousarray(images)})
        except Exception as error:  # ONNX Runtime has a dozen kinds, without a common one
            raise _damaged(self.path, error) from error
        if not np.isfinite(logits).all():
            raise UserError(f"{self.path} answers with NaN or infinity; train again with a lower --lr, and export that")
        return logits

    def logits_of_files(self, paths: Sequence[Path]) -> np.ndarray:
        """The logits of image files, all at once.

        Raises:
            UserError: a file is no image that can be read, or as `logits_of_uint8`.
        """
        white = self.checkpoint.get("white", 0.0)
        images = [decode_square(self.image_size, (str(path), path), white) for path in paths]
        return self.logits_of_uint8(np.stack(images))

    def classify(self, path: Path, top_k: int) -> list[Guess]:
        """The `top_k` likeliest classes of an image file, or all if there are fewer.

        Raises:
            UserError: as `logits_of_files`.
        """
        white = self.checkpoint.get("white", 0.0)
        return self.classify_pixels(decode_square(self.image_size, (str(path), path), white), top_k)

    def classify_pixels(self, pixels: np.ndarray, top_k: int) -> list[Guess]:
        """As `classify`, of one image as the network sees it: uint8 (3, image_size, image_size)."""
        logits = self.logits_of_uint8(pixels[None])[0].astype(np.float64)
        exponentials = np.exp(logits - logits.max())
        return likeliest(exponentials / exponentials.sum(), self.checkpoint, top_k)

    def logits(self, images: "ImageSet", *, flip_tta: bool = False, tick: Tick = ignore) -> "torch.Tensor":
        """The logits of a data set's images, on the CPU; see `predictor.predict_logits`.

        Images of another size than the network's are resized as in training, and rounded to 8 bits again.

        Raises:
            UserError: as `logits_of_uint8`.
        """
        import torch

        from tinybench.data.augment.geometry import resize_uint8
        from tinybench.inference.predictor import mean_of_probabilities

        found = []
        for start in range(0, len(images), self.batch_size):
            pixels = resize_uint8(images.pixels(slice(start, start + self.batch_size)), self.image_size)
            out = torch.from_numpy(self.logits_of_uint8(pixels.numpy()))
            if flip_tta:
                mirrored = torch.from_numpy(self.logits_of_uint8(pixels.flip(3).numpy()))
                out = mean_of_probabilities(out, mirrored)
            found.append(out)
            tick(len(pixels))
        return torch.cat(found)


def exported_beside(checkpoint: Path) -> OnnxPredictor | None:
    """The network that was exported beside a checkpoint, if it is the one that the checkpoint holds now."""
    path = checkpoint.with_name(BESIDE)
    if not path.exists():
        return None
    try:
        exported = OnnxPredictor(path)
        with checkpoint.open("rb") as file:
            same = hashlib.file_digest(file, "sha256").hexdigest() == exported.checkpoint["checkpoint_sha256"]
    except (UserError, OSError) as error:
        notice(f"not asked: {error}")
        return None
    if not same:
        notice(f"{path} was made of other weights than {checkpoint} holds now, and is not asked; export it again")
    return exported if same else None


def _read(path: Path) -> bytes:
    if path.exists() and not path.is_file():
        raise UserError(f"cannot read {path}: no regular file")
    try:
        return path.read_bytes()
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from error


def _session(content: bytes, path: Path) -> Any:
    """What runs the network; from bytes, so that the file cannot name others."""
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # it is read by the import
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = FATAL
    try:
        # Without a second try, of which it would print a report.
        return onnxruntime.InferenceSession(content, options, ["CPUExecutionProvider"], enable_fallback=0)
    except Exception as error:  # as in `logits_of_uint8`
        raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> UserError:
    return UserError(f"{path} is damaged or no ONNX file: {str(error).splitlines()[0] if str(error) else error!r}")
