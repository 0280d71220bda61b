"""Predicting: image files as cameras, scanners and the web make them."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tinybench.data import datasets
from tinybench.data.augment.policy import normalize
from tinybench.errors import UserError
from tinybench.inference.checkpoint import load_network, network_checkpoint, network_options, to_half, write_checkpoint
from tinybench.inference.predictor import Predictor
from tinybench.models import build_model
from tinybench.recipe import Recipe

CPU = torch.device("cpu")
REPOSITORY = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def predictor(demo_data, tmp_path_factory):
    recipe = Recipe(
        model="vit", model_options={"dim": 16, "depth": 1, "num_heads": 2, "patch_size": 16}, dataset="demo"
    )
    images = datasets.load("demo", "train", demo_data)
    torch.manual_seed(0)
    model = build_model("vit", num_classes=images.num_classes, **network_options(recipe))
    path = tmp_path_factory.mktemp("run") / "best_model.pth"
    write_checkpoint(path, network_checkpoint(recipe, images, epoch=1, val_acc=10.0, weights="model", model=model))
    return Predictor(path, CPU)


@pytest.fixture
def photo():
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (90, 120, 3), np.uint8))


def probabilities(predictor, path):
    return {guess.class_id: guess.probability for guess in predictor.classify(path, top_k=99)}


def test_the_same_picture_in_other_containers_gets_the_same_answer(predictor, photo, tmp_path):
    photo.save(tmp_path / "plain.png")
    expected = probabilities(predictor, tmp_path / "plain.png")
    photo.convert("RGBA").save(tmp_path / "opaque.png")
    assert probabilities(predictor, tmp_path / "opaque.png") == pytest.approx(expected)

    turned = photo.transpose(Image.Transpose.ROTATE_90)
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees clockwise for viewing
    turned.save(tmp_path / "sideways.png")
    turned.save(tmp_path / "upright.png", exif=exif)
    assert probabilities(predictor, tmp_path / "upright.png") == pytest.approx(expected)
    assert probabilities(predictor, tmp_path / "sideways.png") != pytest.approx(expected)

    gray = photo.convert("L")
    gray.save(tmp_path / "gray.png")
    # 257 maps 0 to 255 onto the whole range of 16 bits.
    Image.fromarray(np.asarray(gray).astype(np.uint16) * 257).save(tmp_path / "deep.png")
    gray_answer = probabilities(predictor, tmp_path / "gray.png")
    assert probabilities(predictor, tmp_path / "deep.png") == pytest.approx(gray_answer)
    gray.save(tmp_path / "animated.gif", save_all=True, append_images=[Image.new("L", gray.size, 255)])
    assert probabilities(predictor, tmp_path / "animated.gif") == pytest.approx(gray_answer)


def test_a_truncated_photo_is_one_line_that_names_it(predictor, photo, tmp_path):
    photo.save(tmp_path / "whole.jpg")
    (tmp_path / "half.jpg").write_bytes((tmp_path / "whole.jpg").read_bytes()[:3000])
    with pytest.raises(UserError, match=r"half\.jpg") as caught:
        predictor.classify(tmp_path / "half.jpg", top_k=5)
    assert "\n" not in str(caught.value)


def test_top_k_is_clipped_to_the_classes(predictor, photo, tmp_path):
    photo.save(tmp_path / "x.png")
    classes = predictor.checkpoint["num_classes"]
    assert [len(predictor.classify(tmp_path / "x.png", k)) for k in (1, 5, classes, classes + 1)] == [
        1,
        5,
        classes,
        classes,
    ]


def test_images_files_pixels_and_a_students_batches_get_the_same_logits(predictor, demo_data):
    images = datasets.load("demo", "test", demo_data).select(slice(6))
    checkpoint, pixels = predictor.checkpoint, (images.images.float() / 255).requires_grad_()
    with torch.no_grad():
        expected = load_network(checkpoint)(normalize(images.images, 64, checkpoint["mean"], checkpoint["std"]))
    own, other = ((0.5, 0.4, 0.3), (0.2, 0.3, 0.4)), ((0.1, 0.2, 0.3), (0.4, 0.5, 0.6))
    files = sorted((demo_data / "curated" / "demo" / "test").glob("*/*.JPEG"))[:6]
    answers = {
        "images": predictor.logits(replace(images, mean=other[0], std=other[1])),  # the checkpoint's own count
        "files": predictor.logits_of_files(files),
        "pixels": predictor.logits_of_pixels(pixels),
        "student": predictor.logits_of_normalized(*own)(normalize(images.images, 64, *own)),
    }
    for logits in answers.values():
        torch.testing.assert_close(logits, expected, rtol=1e-4, atol=1e-4)
    small = images.images[:, :, ::2, ::2]  # to be enlarged
    from_small = predictor.logits(replace(images, images=small))
    torch.testing.assert_close(predictor.logits_of_pixels(small.float() / 255), from_small, rtol=1e-4, atol=1e-4)
    answers["pixels"].sum().backward()
    assert pixels.grad.abs().sum() > 0
    assert not any(parameter.requires_grad for parameter in predictor.model.parameters())


def test_the_layout_is_that_of_training_where_it_is_asked_for(predictor, tmp_path):
    checkpoint, path = predictor.checkpoint, tmp_path / "nhwc.pth"
    write_checkpoint(path, checkpoint | {"recipe": checkpoint["recipe"] | {"precision": "fp32", "channels_last": True}})

    def is_nhwc(path, asked):
        return Predictor(path, CPU, channels_last=asked).preprocess(torch.zeros(2, 3, 64, 64)).stride(1) == 1

    assert [is_nhwc(path, True), is_nhwc(path, False), is_nhwc(predictor.path, True)] == [True, False, False]


def test_what_predicting_imports_is_light():
    """Each of these costs a second or more, of the five within which the first answer has to be there."""
    heavy = ("torchmetrics", "torchvision", "pandas", "seaborn", "matplotlib")
    code = f"import sys, tinybench.cli.infer; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=REPOSITORY / "src", capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_a_halved_network_answers_the_same(predictor):
    half = to_half(predictor.checkpoint)
    shared = load_network(half)
    images = torch.randn(4, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        torch.testing.assert_close(shared(images), predictor.model(images), rtol=0, atol=0.01)
    assert all(parameter.dtype == torch.float32 for parameter in shared.parameters())


def test_weights_too_large_for_half_precision_are_refused(predictor):
    weights = predictor.checkpoint["state_dict"]
    large = {**weights, "head.weight": torch.full_like(weights["head.weight"], 1e5)}
    with pytest.raises(UserError, match=r"head\.weight holds weights that are too large"):
        to_half({**predictor.checkpoint, "state_dict": large})


def test_export_writes_half_the_bytes_and_never_over_a_file(predictor, demo_data, tmp_path):
    path, run = tmp_path / "shared" / "network.pth", predictor.path.parent
    command = [sys.executable, "src/export.py", "--run", run.name, "--results_dir", run.parent, "--output", path]
    command += ["--format", "pth", "--half", "--data_dir", demo_data]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert path.stat().st_size < 0.7 * predictor.path.stat().st_size
    assert "in half, " in done.stdout
    again = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True)
    assert again.returncode == 2
    assert "is there already" in again.stderr


def test_the_network_that_comes_with_the_repository_answers(photo, tmp_path):
    photo.save(image := tmp_path / "x.png")
    command = [sys.executable, "src/infer.py", "--run", "pretrained/speednet", "--image", image, "--json"]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True)
    (answer,) = json.loads(done.stdout)["images"]
    assert len(answer["guesses"]) == 5
    assert (REPOSITORY / "results/pretrained/speednet/best_model.pth").stat().st_size < 10e6
