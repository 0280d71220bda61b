"""Every operation against torchvision's function with the same parameters; then the policies as wholes.

Images are float32 from 0 to 255, so a tolerance of 0.01 is far below half a step of uint8.
"""

import math

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import InterpolationMode
from torchvision.transforms import functional as TF

from tinybench.data.augment import color, geometry, policy
from tinybench.data.augment.policy import POLICIES, Parameters, build_policy, normalize
from tinybench.errors import UsageError

MEAN, STD = (0.48, 0.45, 0.40), (0.28, 0.27, 0.29)
BATCH = 37  # a chunk and a bit


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def random_images(size=64):
    """uint8, with gray, black, white and saturated pixels among them."""
    images = torch.randint(0, 256, (BATCH, 3, size, size), dtype=torch.uint8, generator=generator())
    images[0] = images[0, :1]
    images[1], images[2] = 0, 255
    images[3] = (images[3] > 127) * 255
    return images


def spread(low, high):
    """One factor per image, both ends of the range among them."""
    return torch.linspace(low, high, BATCH)


def by_image(function, images, *parameters):
    """torchvision's function on one image at a time, each with its own Python numbers."""
    columns = zip(images, *(column.tolist() for column in parameters), strict=True)
    return torch.stack([function(image, *row) for image, *row in columns])


# ---- colour


@pytest.mark.parametrize(
    ("operation", "reference"),
    [
        (color.brightness_, TF.adjust_brightness),
        (color.contrast_, TF.adjust_contrast),
        (color.saturation_, TF.adjust_saturation),
    ],
)
def test_colour_factors_match_torchvision(operation, reference):
    images, factor = random_images().float(), spread(0.0, 2.0)
    expected = 255 * by_image(reference, images / 255, factor)
    torch.testing.assert_close(operation(images.clone(), factor), expected, rtol=0, atol=1e-3)


def test_hue_matches_torchvision():
    images, turn = random_images().float(), spread(-0.16, 0.16)
    expected = 255 * by_image(TF.adjust_hue, images / 255, turn)
    turned = color.hue(images, turn, torch.full_like(images, math.nan))
    torch.testing.assert_close(turned, expected, rtol=0, atol=5e-3)


def test_jitter_in_sequence_matches_torchvision_on_uint8():
    """Whole colour jitter against uint8 arithmetic, which truncates after each of the four operations."""
    images, factors = random_images(), torch.rand(BATCH, 4, generator=generator()) * 0.4 + 0.8
    factors[:, 3] = (factors[:, 3] - 1) / 2

    def jitter(image, brightness, contrast, saturation, turn):
        image = TF.adjust_contrast(TF.adjust_brightness(image, brightness), contrast)
        return TF.adjust_hue(TF.adjust_saturation(image, saturation), turn)

    expected = by_image(jitter, images, *factors.unbind(1)).float()
    pixels = images.float()
    for operation, factor in zip((color.brightness_, color.contrast_, color.saturation_), factors.T, strict=False):
        operation(pixels, factor)
    pixels = color.hue(pixels, factors[:, 3], torch.empty_like(pixels))
    error = (pixels - expected).abs()
    assert error.mean() < 1.5
    assert error.max() < 6


# ---- geometry


@pytest.mark.parametrize("size", [32, 64])
def test_shift_and_flip_are_exact(size):
    images = random_images(size).float()
    shift = torch.randint(-4, 5, (BATCH, 2), generator=generator())
    flip = torch.where(torch.arange(BATCH) % 2 == 0, 1.0, -1.0)

    def crop(image, right, down, sign):
        image = TF.crop(TF.pad(image, [4]), 4 + down, 4 + right, size, size)
        return TF.hflip(image) if sign < 0 else image

    still = torch.zeros(BATCH)
    matrix = geometry.affine_matrix(still, still + 1, flip, shift.float())
    expected = by_image(crop, images, *shift.unbind(1), flip)
    assert torch.equal(geometry.resample(images, matrix), expected)


@pytest.mark.parametrize("size", [48, 64])
def test_rotation_matches_torchvision(size):
    images, angle, ones = random_images(size).float(), spread(-30, 30), torch.ones(BATCH)
    expected = by_image(lambda image, a: TF.rotate(image, a, InterpolationMode.BILINEAR), images, angle)
    resampled = geometry.resample(images, geometry.affine_matrix(angle, ones, ones, torch.zeros(BATCH, 2)))
    torch.testing.assert_close(resampled, expected, rtol=0, atol=0.02)


def test_crop_rotation_and_flip_in_one_resampling():
    """Pad, turn about the centre of the crop, crop, flip: four of torchvision's steps."""
    images, angle = random_images().float(), spread(-10, 10)
    shift = torch.randint(-4, 5, (BATCH, 2), generator=generator())
    flip = torch.where(torch.arange(BATCH) % 2 == 0, 1.0, -1.0)

    def steps(image, degrees, right, down, sign):
        padding = 32  # so much that the padded side, 128, leaves torchvision's own coordinates exact
        image = TF.pad(image, [padding])
        centre = [32 + padding + right, 32 + padding + down]
        image = TF.rotate(image, degrees, InterpolationMode.BILINEAR, center=centre)
        image = TF.crop(image, padding + down, padding + right, 64, 64)
        return TF.hflip(image) if sign < 0 else image

    expected = by_image(steps, images, angle, *shift.unbind(1), flip)
    matrix = geometry.affine_matrix(angle, torch.ones(BATCH), flip, shift.float())
    torch.testing.assert_close(geometry.resample(images, matrix), expected, rtol=0, atol=0.02)


def test_scaling_matches_torchvision():
    images, angle, scale = random_images().float(), spread(-15, 15), spread(0.8, 1.25)

    def affine(image, degrees, factor):  # torchvision's affine turns clockwise
        return TF.affine(image, -degrees, [0, 0], factor, [0.0, 0.0], InterpolationMode.BILINEAR)

    expected = by_image(affine, images, angle, scale)
    matrix = geometry.affine_matrix(angle, scale, torch.ones(BATCH), torch.zeros(BATCH, 2))
    torch.testing.assert_close(geometry.resample(images, matrix), expected, rtol=0, atol=0.02)


def test_erasing_matches_torchvision():
    images = random_images().float() + 1
    box = torch.randint(-8, 72, (BATCH, 2, 2), generator=generator()).sort(dim=1).values
    box[0] = torch.tensor([[0, 0], [64, 64]])
    box[1] = 5  # empty

    def erase(image, top, left, bottom, right):
        top, left = max(top, 0), max(left, 0)
        return TF.erase(image, top, left, max(bottom - top, 0), max(right - left, 0), torch.tensor(0.0))

    expected = by_image(erase, images, *box.flatten(1).unbind(1))
    assert torch.equal(geometry.erase_(images.clone(), box.float()), expected)
    assert torch.equal(expected[1], images[1])


def test_smaller_images_are_torchvisions():
    images = random_images()
    expected = TF.resize(images.float(), [32, 32], antialias=True)
    torch.testing.assert_close(geometry.resize(images, 32), expected, rtol=0, atol=1e-3)


def test_larger_images_are_pillows_bicubic():
    images = random_images()[:5]
    for image, large in zip(images.float(), geometry.resize(images, 224), strict=True):
        channels = [Image.fromarray(channel.numpy()).resize((224, 224), Image.Resampling.BICUBIC) for channel in image]
        expected = torch.stack([torch.from_numpy(np.array(channel)) for channel in channels])
        torch.testing.assert_close(large, expected, rtol=0, atol=1e-2)


# ---- normalisation


@pytest.mark.parametrize("size", [64, 40])
def test_normalize_matches_torchvision(size):
    images = random_images()
    expected = TF.normalize(TF.resize(images.float(), [size, size], antialias=True) / 255, MEAN, STD)
    torch.testing.assert_close(normalize(images, size, MEAN, STD), expected, rtol=0, atol=1e-5)


def test_none_is_normalize():
    images = random_images()
    assert torch.equal(build_policy("none", 64, MEAN, STD)(images, generator()), normalize(images, 64, MEAN, STD))


# ---- policies


def test_standard_is_the_sequence_of_its_operations():
    images = random_images()
    policy = build_policy("standard", 64, MEAN, STD)
    parameters = policy.draw(BATCH, generator())
    pixels = geometry.resample(images.float(), parameters.matrix)
    brightness, contrast, saturation, turn = parameters.jitter.unbind(1)
    color.saturation_(color.contrast_(color.brightness_(pixels, brightness), contrast), saturation)
    pixels = color.hue(pixels, turn, torch.empty_like(pixels))
    expected = geometry.erase_(TF.normalize(pixels / 255, MEAN, STD), parameters.box)
    torch.testing.assert_close(policy.apply(images, parameters), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", POLICIES)
@pytest.mark.parametrize("stored", [64, 24])
@pytest.mark.parametrize("size", [64, 25])
def test_slicing_images_and_parameters_slices_the_result(name, stored, size):
    images = random_images(stored)
    policy = build_policy(name, size, MEAN, STD)
    parameters = policy.draw(BATCH, generator())
    whole = policy.apply(images, parameters)
    assert whole.shape == (BATCH, 3, size, size)
    assert whole.dtype == torch.float32
    assert whole.isfinite().all()
    for part in (slice(0, 1), slice(5, 22), slice(30, 37), slice(20, 20)):
        assert torch.equal(policy.apply(images[part], parameters[part]), whole[part])


@pytest.mark.parametrize("name", POLICIES)
def test_same_seed_same_bits_whatever_the_chunks_and_threads(name, monkeypatch):
    images = random_images()
    varied = build_policy(name, 64, MEAN, STD)
    expected = varied(images, generator(5))
    threads = torch.get_num_threads()
    try:
        for chunk, count in ((1, 1), (7, 2), (64, 3)):
            monkeypatch.setattr(policy, "CPU_CHUNK", chunk)
            torch.set_num_threads(count)
            assert torch.equal(varied(images, generator(5)), expected)
    finally:
        torch.set_num_threads(threads)
    if name != "none":
        assert not torch.equal(varied(images, generator(6)), expected)


def test_threads_are_as_many_as_before_and_errors_come_through(monkeypatch):
    images, threads = random_images(), torch.get_num_threads()
    policy = build_policy("standard", 64, MEAN, STD)
    try:
        torch.set_num_threads(2)
        policy(images, generator())
        assert torch.get_num_threads() == 2

        def fail(*_):
            raise RuntimeError("no colour")

        monkeypatch.setattr(color, "hue", fail)
        with pytest.raises(RuntimeError, match="no colour"):
            policy(images, generator())
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)


def test_inference_mode_of_the_caller_does_not_matter():
    images = random_images()
    with torch.inference_mode():
        inside = normalize(images, 64, MEAN, STD)
    outside = normalize(images, 64, MEAN, STD)
    assert torch.equal(inside, outside)
    weight = torch.ones(1, requires_grad=True)
    (outside * weight).sum().backward()
    torch.testing.assert_close(weight.grad, outside.sum().view(1))


@pytest.mark.parametrize("name", POLICIES)
def test_images_stay_as_they_were(name):
    images = random_images()
    before = images.clone()
    build_policy(name, 64, MEAN, STD)(images, generator())
    assert torch.equal(images, before)


def test_draws_of_standard_cover_their_ranges():
    parameters = build_policy("standard", 64, MEAN, STD).draw(20_000, generator())
    low = torch.tensor([0.8, 0.8, 0.8, -0.1])
    high = torch.tensor([1.2, 1.2, 1.2, 0.1])
    torch.testing.assert_close(parameters.jitter.amin(0), low, rtol=0, atol=1e-3)
    torch.testing.assert_close(parameters.jitter.amax(0), high, rtol=0, atol=1e-3)

    shifts, counts = parameters.matrix[:, :, 2].unique(return_counts=True)
    assert shifts.tolist() == list(range(-4, 5))
    assert (counts / counts.sum() - 1 / 9).abs().max() < 0.01
    angle = torch.rad2deg(parameters.matrix[:, 0, 1].neg().asin())
    assert angle.min() == pytest.approx(-10, abs=0.01)
    assert angle.max() == pytest.approx(10, abs=0.01)
    flipped = parameters.matrix[:, 0, 0] < 0
    assert flipped.float().mean() == pytest.approx(0.5, abs=0.02)

    sides = parameters.box[:, 1] - parameters.box[:, 0]
    erased = sides.amin(1) > 0
    assert erased.float().mean() == pytest.approx(0.5, abs=0.02)
    assert (sides[~erased] == 0).all()
    assert parameters.box.min() == 0
    assert parameters.box.max() == 64
    height, width = sides[erased].unbind(1)
    share = height * width / 64**2
    assert share.min() == pytest.approx(0.02, abs=0.005)
    assert share.max() == pytest.approx(0.33, abs=0.02)
    ratio = height / width
    assert 0.2 < ratio.min() < 0.35  # 0.3 and 3.3 but for the rounding to whole pixels
    assert 2.9 < ratio.max() < 5
    assert ratio.log().median() == pytest.approx(0, abs=0.05)


def test_draws_of_cutout_erase_a_square_of_16_pixels():
    parameters = build_policy("cutout", 64, MEAN, STD).draw(5_000, generator())
    assert (parameters.box[:, 1] - parameters.box[:, 0] == 16).all()
    centres, counts = (parameters.box[:, 0] + 8).unique(return_counts=True)
    assert centres.tolist() == list(range(64))
    assert counts.min() > 0.6 * counts.float().mean()
    scale = 1 / torch.linalg.det(parameters.matrix[:, :, :2]).abs().sqrt()
    assert scale.min() == pytest.approx(0.9, abs=0.005)
    assert scale.max() == pytest.approx(1.1, abs=0.005)
    assert parameters.matrix[:, :, 2].abs().max() == pytest.approx(4, abs=0.01)


def test_each_image_has_its_own_parameters():
    images = random_images()[5:6].expand(BATCH, -1, -1, -1)
    out = build_policy("standard", 64, MEAN, STD)(images, generator()).flatten(1)
    assert (torch.cdist(out, out) + 1e9 * torch.eye(BATCH)).min() > 1


def test_slicing_keeps_what_is_absent():
    assert Parameters()[2:4] == Parameters()


def test_unknown_policy():
    with pytest.raises(UsageError, match="unknown augmentation 'autumn'; known: standard, basic, cutout, none"):
        build_policy("autumn", 64, MEAN, STD)


@pytest.mark.parametrize(("size", "mode"), [(20, "bilinear"), (48, "bilinear"), (96, "bicubic")])
def test_resizing_by_products_is_resizing(size, mode):
    """Which MPS needs for the gradients of attacks."""
    images = 255 * torch.rand(2, 3, 64, 50, generator=torch.Generator().manual_seed(0))
    rows, columns = (geometry._interpolation(length, size, mode, images.device) for length in images.shape[-2:])
    torch.testing.assert_close(rows @ images @ columns.T, geometry.resize(images, size), rtol=1e-5, atol=1e-3)
