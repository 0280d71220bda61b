"""What a network makes of images before its head: computed once, and kept on disk."""

import hashlib
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from tinybench.data.imageset import ImageSet
from tinybench.errors import UserError
from tinybench.inference.predictor import predict_logits
from tinybench.recipe import Recipe
from tinybench.runtime.files import atomic_path
from tinybench.training.freezing import head_names, head_of

DIGEST = 16  # bytes
PIECE = 8192  # images after which the features are written, so that a run that is stopped has them


def features_of(model: nn.Module, images: ImageSet, recipe: Recipe, folder: Path) -> Tensor:
    """What enters the head, for every image: float32 (N, D) on the CPU.

    They are looked up by the pixels, so that other splits and subsets of the same images need no new ones.

    Args:
        model: on the device, in the recipe's memory format; its weights but the head's, its layers, the size and the
            normalisation of the images and the precision tell whether kept features are its own.
        folder: where they are kept.

    Raises:
        UserError: what enters the head is not one vector an image, or the folder cannot be written.
    """
    path = features_file(model, images.mean, images.std, recipe, folder)
    digests = [_digest(image) for image in images.images.cpu()]
    kept, features = _read(path)
    known = set(kept)
    missing = torch.tensor([index for index, digest in enumerate(digests) if digest not in known], dtype=torch.int64)
    started = time.perf_counter()
    for piece in missing.split(PIECE) if len(missing) else ():
        new = compute_features(model, images.select(piece), recipe)
        features = torch.cat((features, new)) if kept else new
        kept += [digests[index] for index in piece]
        _write(path, kept, features)
    if len(missing):
        print(
            f"features: {features.shape[1]:,} of each of {len(missing):,} images at {recipe.image_size} px in "
            f"{time.perf_counter() - started:.0f} s, kept in {path}",
            flush=True,
        )
    rows = {digest: row for row, digest in enumerate(kept)}
    return features[torch.tensor([rows[digest] for digest in digests])].float()


def features_file(model: nn.Module, mean: Sequence[float], std: Sequence[float], recipe: Recipe, folder: Path) -> Path:
    """Where `features_of` keeps the features of images that are normalised so."""
    return folder / f"{_fingerprint(model, mean, std, recipe)}.safetensors"


def kept_features(path: Path, images: ImageSet) -> tuple[Tensor, Tensor]:
    """What is kept in a `features_file` of these images: their places in the set, int64 (M,), and float32 (M, D)."""
    kept, features = _read(path)
    rows = {digest: row for row, digest in enumerate(kept)}
    found = [(place, rows.get(_digest(image))) for place, image in enumerate(images.images)]
    places = [(place, row) for place, row in found if row is not None]
    table = torch.tensor(places, dtype=torch.int64).reshape(-1, 2)
    return table[:, 0], features[table[:, 1]].float()


def _digest(image: Tensor) -> bytes:
    return hashlib.blake2b(image.numpy().data, digest_size=DIGEST).digest()


def compute_features(model: nn.Module, images: ImageSet, recipe: Recipe) -> Tensor:
    """As `features_of`, without keeping any: float32 or bfloat16 (N, D) on the CPU."""
    features = predict_logits(
        _UpToHead(model),
        images,
        image_size=recipe.image_size,
        batch_size=recipe.batch_size,
        device=next(model.parameters()).device,
        precision=recipe.precision,
        channels_last=recipe.channels_last,
    )
    return features.to("cpu", torch.bfloat16 if recipe.precision == "bf16" else torch.float32).contiguous()


class _UpToHead(nn.Module):
    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> Tensor:
        inputs: list[Tensor] = []
        handle = head_of(self.model).register_forward_pre_hook(lambda _, arguments: inputs.append(arguments[0]))
        try:
            self.model(x)
        finally:
            handle.remove()
        if inputs[0].ndim != 2:
            shape = "x".join(map(str, inputs[0].shape[1:]))
            raise UserError(
                f"{type(self.model).__name__} has no vector of features: {shape} of an image enter its head"
            )
        return inputs[0]


def _fingerprint(model: nn.Module, mean: Sequence[float], std: Sequence[float], recipe: Recipe) -> str:
    head = head_names(model)
    about = (str(model), recipe.image_size, recipe.precision, tuple(mean), tuple(std))
    digest = hashlib.sha256(repr(about).encode())
    for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
        if name not in head:
            digest.update(name.encode())
            digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()[:32]


def _write(path: Path, digests: Sequence[bytes], features: Tensor) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    table = torch.from_numpy(np.frombuffer(b"".join(digests), np.uint8).reshape(-1, DIGEST).copy())
    with atomic_path(path) as temporary:
        save_file({"digests": table, "features": features}, temporary)


def _read(path: Path) -> tuple[list[bytes], Tensor]:
    """The digests and the features in the file; a missing or damaged one is as good as none."""
    try:
        content = load_file(path)
        digests, features = content["digests"].numpy(), content["features"]
    except (OSError, KeyError, SafetensorError):
        return [], torch.empty(0)
    whole = digests.ndim == features.ndim == 2 and digests.shape == (len(features), DIGEST)
    return ([row.tobytes() for row in digests], features) if whole else ([], torch.empty(0))
