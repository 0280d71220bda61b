"""What trained networks answer to a picture, as plain data, without torch where they were exported."""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from tinybench.data.prepare.decode import NamedSource, decode_square, resize_square
from tinybench.inference.about import Guess
from tinybench.inference.onnx import OnnxPredictor

if TYPE_CHECKING:
    from tinybench.demo.reasons import Explainer
    from tinybench.inference.predictor import Predictor

# Those of evaluation/robustness/corruptions, whose import takes torch's.
CORRUPTIONS = (
    "gaussian_noise", "shot_noise", "impulse_noise", "defocus_blur", "glass_blur", "motion_blur", "zoom_blur", "snow",
    "frost", "fog", "brightness", "contrast", "elastic_transform", "pixelate", "jpeg_compression",
)  # fmt: skip
STRONGEST = 5  # of their severities


@dataclass(frozen=True)
class Answer:
    """What a network saw, uint8 (3, S, S); the likeliest classes, and their probabilities before the corruption."""

    pixels: np.ndarray
    guesses: list[Guess]
    before: list[float]


class AskedNetwork:
    """A network and all that the page asks of it, one thread at a time.

    Attributes:
        name: of its run.
        checkpoint: what it says of itself, see `About`.
    """

    def __init__(
        self, name: str, answerer: "Predictor | OnnxPredictor", load: "Callable[[], Predictor]", data_dir: Path
    ) -> None:
        """Take a network.

        Args:
            answerer: what infer.py would ask.
            load: reads the network of the checkpoint, for what an exported one cannot tell.
        """
        self.name, self.checkpoint = name, answerer.checkpoint
        self._answerer, self._load, self._data_dir = answerer, load, data_dir
        self._explainer: Explainer | None = None
        self._lock = threading.Lock()

    def see(self, source: NamedSource) -> np.ndarray:
        """An image file as the network sees it: uint8 (3, S, S).

        Raises:
            UserError: it is no image that can be read.
        """
        return decode_square(self._answerer.image_size, source, self.checkpoint.get("white", 0.0)).copy()

    def see_pixels(self, pixels: np.ndarray) -> np.ndarray:
        """As `see`, an image that is uint8 (3, h, w)."""
        return resize_square(Image.fromarray(pixels.transpose(1, 2, 0)), self._answerer.image_size).copy()

    def answer(self, seen: np.ndarray, top_k: int, corruption: str = "", severity: int = 0) -> Answer:
        """The likeliest classes of what `see` gives, which is corrupted first unless the severity is 0.

        Raises:
            UserError: the network's training diverged.
        """
        if not severity:
            guesses = self._answerer.classify_pixels(seen, top_k)
            return Answer(seen, guesses, [guess.probability for guess in guesses])
        from tinybench.demo.reasons import corrupted

        pixels = corrupted(seen, corruption, severity)
        guesses = self._answerer.classify_pixels(pixels, top_k)
        every = self._answerer.classify_pixels(seen, self.checkpoint["num_classes"])
        before = {guess.class_id: guess.probability for guess in every}
        return Answer(pixels, guesses, [before[guess.class_id] for guess in guesses])

    @property
    def explainer(self) -> "Explainer":
        """What needs torch, whose import takes some seconds; whoever asks meanwhile waits.

        Raises:
            UserError: the checkpoint is missing or damaged.
        """
        with self._lock:
            if self._explainer is None:
                from tinybench.demo.reasons import Explainer

                self._explainer = Explainer(self._load(), self._data_dir)
            return self._explainer

    def has_data(self) -> bool:
        """Whether the data set that it was trained on is there; then nothing is downloaded or drawn for it."""
        dataset = self.checkpoint["recipe"]["dataset"]
        return any(folder.is_dir() for folder in (self._data_dir / "curated" / dataset, Path(dataset)))
