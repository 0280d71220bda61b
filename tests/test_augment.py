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

from tinybench.configuration import load_augmentations, resolved_augmentation
from tinybench.data.augment import color, geometry, policy
from tinybench.data.augment.expression import parse
from tinybench.data.augment.operations import OPERATIONS
from tinybench.data.augment.policy import Parameters, build_policy, normalize
from tinybench.errors import UsageError
from tinybench.recipe import Recipe
from tinybench.training.checkpoint import anchored, difference

MEAN, STD = (0.48, 0.45, 0.40), (0.28, 0.27, 0.29)
BATCH = 37  # a chunk and a bit
DRAWN_AT_ONCE = (
    "standard",
    "basic",
    "cutout",
    "none",
    "rotate(30)|jitter(0.5,0,0,0)|cutout(7)",
    "translate(0.2)|erase(1)",
    "crop(0.3)|rotate(5)|flip",
)


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


def test_crop_matches_torchvision():
    images, side = random_images(), torch.randint(36, 61, (BATCH,), generator=generator())
    left, top = (torch.rand(2, BATCH, generator=generator()) * (65 - side)).floor()
    drawn = torch.stack((left, top)) + side / 2 - 32
    values = torch.stack(((side / 64) ** 2, *drawn / (1 - side / 64)), dim=1)
    policy = build_policy("crop(0.3)", 64, (0, 0, 0), (1 / 255,) * 3)

    def crop(image, left, top, side):
        return TF.resized_crop(image, int(top), int(left), side, side, [64, 64])

    cropped = policy.apply(images, policy.parameters(values))
    expected = by_image(crop, images.float(), left, top, side)
    inside = ..., slice(2, -2), slice(2, -2)  # torchvision does not know what lies beyond the border of the crop
    torch.testing.assert_close(cropped[inside], expected[inside], rtol=0, atol=0.02)


def test_a_crop_keeps_the_detail_of_stored_images_that_are_larger():
    images = random_images()
    policy = build_policy("crop(0.25)", 32, (0, 0, 0), (1 / 255,) * 3)
    middle = torch.tensor([0.25, 0, 0]).expand(BATCH, 3)
    torch.testing.assert_close(
        policy.apply(images, policy.parameters(middle)), images[..., 16:48, 16:48].float(), rtol=0, atol=0.02
    )


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
    brightness, contrast, saturation, turn = parameters.pixels.unbind(1)
    color.saturation_(color.contrast_(color.brightness_(pixels, brightness), contrast), saturation)
    pixels = color.hue(pixels, turn, torch.empty_like(pixels))
    expected = geometry.erase_(TF.normalize(pixels / 255, MEAN, STD), parameters.box)
    torch.testing.assert_close(policy.apply(images, parameters), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", DRAWN_AT_ONCE)
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


@pytest.mark.parametrize("name", DRAWN_AT_ONCE)
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


@pytest.mark.parametrize("name", DRAWN_AT_ONCE)
def test_images_stay_as_they_were(name):
    images = random_images()
    before = images.clone()
    build_policy(name, 64, MEAN, STD)(images, generator())
    assert torch.equal(images, before)


def test_draws_of_standard_cover_their_ranges():
    parameters = build_policy("standard", 64, MEAN, STD).draw(20_000, generator())
    low = torch.tensor([0.8, 0.8, 0.8, -0.1])
    high = torch.tensor([1.2, 1.2, 1.2, 0.1])
    torch.testing.assert_close(parameters.pixels.amin(0), low, rtol=0, atol=1e-3)
    torch.testing.assert_close(parameters.pixels.amax(0), high, rtol=0, atol=1e-3)

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


# ---- expressions


def columns(ranges, seed=0):
    """The random numbers of every policy by hand: one torch.rand a batch, a column a range."""
    uniform = torch.rand(BATCH, len(ranges), generator=generator(seed))
    low = torch.tensor([low for low, _ in ranges])
    return torch.addcmul(low, uniform, torch.tensor([high - low for low, high in ranges]))


def test_standard_draws_what_it_drew_before_it_was_an_expression():
    """Bit for bit, else runs could not be repeated or resumed."""
    ranges = (
        *((-4, 5), (-4, 5), (-1, 1), (-10, 10), (0.8, 1.2), (0.8, 1.2), (0.8, 1.2), (-0.1, 0.1)),
        *((0.02, 0.33), (0, 1), (0, 1), (0, 1), (0, 1)),
    )
    values = columns(ranges)
    flip = torch.where(values[:, 2] < 0, -1.0, 1.0)
    matrix = geometry.affine_matrix(values[:, 3], torch.ones(BATCH), flip, values[:, :2].floor())
    log_area = values[:, 8].log()
    low, high = log_area.clamp(min=math.log(0.3)), log_area.neg().clamp(max=math.log(3.3))
    log_ratio = torch.lerp(low, high, values[:, 9])
    sides = torch.stack((log_area + log_ratio, log_area - log_ratio), 1).mul(0.5).exp().mul(64).round()
    sides *= (values[:, 12] < 0.5).unsqueeze(1)
    first = (values[:, 10:12] * (65 - sides)).floor()

    parameters = build_policy("standard", 64, MEAN, STD).draw(BATCH, generator())
    assert torch.equal(parameters.matrix, matrix)
    assert torch.equal(parameters.pixels, values[:, 4:8])
    assert torch.equal(parameters.box, torch.stack((first, first + sides), 1))


def test_cutout_draws_what_it_drew_before_it_was_an_expression():
    values = columns(((-4, 4), (-4, 4), (-1, 1), (-15, 15), (0.9, 1.1), (-8, 56), (-8, 56)))
    flip = torch.where(values[:, 2] < 0, -1.0, 1.0)
    parameters = build_policy("cutout", 64, MEAN, STD).draw(BATCH, generator())
    assert torch.equal(parameters.matrix, geometry.affine_matrix(values[:, 3], values[:, 4], flip, values[:, :2]))
    assert torch.equal(parameters.box, torch.stack((values[:, 5:].floor(), values[:, 5:].floor() + 16), 1))


def test_geometry_is_one_resampling_in_any_order():
    """Numbers are drawn in the order written, and the same numbers make the same images."""
    one, other = (build_policy(text, 64, MEAN, STD) for text in ("shift(4)|flip|rotate(9)", "rotate(9)|shift(4)|flip"))
    values = one.values(BATCH, generator())
    swapped = torch.cat((values[:, 3:], values[:, :3]), 1)
    assert torch.equal(one.parameters(values).matrix, other.parameters(swapped).matrix)


def test_the_strength_is_what_is_written():
    def drawn(text):
        return build_policy(text, 64, MEAN, STD).draw(5_000, generator())

    assert drawn("shift(7)").matrix[:, :, 2].unique().tolist() == list(range(-7, 8))
    crop = drawn("crop(0.25)").matrix
    assert (crop[:, 0, 0].min(), crop[:, 0, 0].max()) == pytest.approx((0.5, 1), abs=1e-2)
    reach = crop[:, :, 2].abs() + 32 * crop[:, 0, :1]  # from the centre of the image
    assert (reach.min() > 16) & (31.9 < reach.max() < 32.001)
    assert (drawn("flip(0.1)").matrix[:, 0, 0] < 0).float().mean() == pytest.approx(0.1, abs=0.02)
    assert (drawn("flip(1)").matrix[:, 0, 0] < 0).all()
    box = drawn("erase(0.2,0.1,0.1,1,1)").box
    sides = box[:, 1] - box[:, 0]
    assert sides.unique().tolist() == [0, round(64 * 0.1**0.5)]
    assert (sides[:, 0] > 0).float().mean() == pytest.approx(0.2, abs=0.02)
    assert drawn("jitter(0.1,0.3,0.5,0.05)").pixels.amax(0).tolist() == pytest.approx([1.1, 1.3, 1.5, 0.05], abs=1e-3)
    assert (drawn("cutout(9)").box[:, 0] + 4).unique().tolist() == list(range(64))


def test_jitter_and_erasing_follow_trivialaugment():
    images = random_images()
    whole = build_policy("shift(4)|trivialaugment|jitter(0.2,0,0,0)|cutout(40)", 64, MEAN, STD)
    assert (whole(images, generator()) == 0).float().mean() > 0.15
    assert torch.equal(whole(images, generator())[5:9], whole(images, generator(), slice(5, 9)))


@pytest.mark.parametrize("text", ["none", "", " none "])
def test_nothing_may_be_done(text):
    assert parse(text) == ()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("autumn", ["operation 1, 'autumn'", "standard, basic, cutout", *OPERATIONS, "cutout(pixels in [1, 1024])"]),
        ("flip|", ["operation 2, ''", "no known operation"]),
        ("flip|none", ["operation 2, 'none'"]),
        ("rotate(10", ["operation 1", "no known operation"]),
        ("shift(4)|rotate(700)", ["operation 2", "degrees", "700", "rotate(degrees in [0, 180])"]),
        ("flip(0)", ["probability", "(0, 1] = 0.5"]),
        ("shift(1.5)", ["pixels", "integer"]),
        ("scale(big)", ["'big' is no number"]),
        ("rotate(nan)", ["degrees", "nan"]),
        ("shift", ["0 parameters", "shift(pixels"]),
        ("flip(0.5,2)", ["2 parameters"]),
        ("erase(0.5,0.4)", ["smallest 0.4 is above largest 0.33"]),
        ("erase(0.5)|shift(4)", ["operation 2, 'shift(4)'", "before erase"]),
        ("jitter(0,0,0,0)|trivialaugment()", ["before jitter"]),
        ("flip|shift(4)|flip", ["operation 3", "flip"]),
        ("shift(4)|translate(0.1)", ["the same as shift"]),
        ("crop(0.5)|translate(0.1)", ["the same as crop"]),
        ("scale(0.1)|crop(0.5)", ["the same as scale"]),
        ("erase(0.5)|cutout(8)", ["the same as erase"]),
        ("randaugment|trivialaugment", ["the same as randaugment"]),
    ],
)
def test_expressions_that_cannot_be_done_are_refused_in_one_line(text, words):
    with pytest.raises(UsageError) as caught:
        build_policy(text, 64, MEAN, STD)
    assert all(word in str(caught.value) for word in words), caught.value
    assert "\n" not in str(caught.value)


def test_names_are_resolved_for_a_run_and_old_ones_compare_equal():
    """Checkpoints, histories and plans of earlier versions hold names."""
    for name, expression in load_augmentations().items():
        old, new = Recipe(augment=name), Recipe(augment=expression)
        assert anchored(old) == new == anchored(new)
        assert difference(old, new) == difference(new, old) == ""
    assert difference(Recipe(augment="flip | rotate(2)"), Recipe(augment="flip|rotate(2)")) == ""
    assert "augment shift(4)|flip, not none" in difference(Recipe(augment="basic"), Recipe(augment="none"))


def test_a_config_py_may_have_augmentations_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = tmp_path / "config.py"
    config.write_text("RECIPES = {}\nAUGMENTATIONS = {'mine': 'flip(0.3)'}\n")
    with pytest.warns(match="recipes are those of"):
        assert resolved_augmentation("mine") == "flip(0.3)"
    config.write_text("RECIPES = {}\n")  # as it was written for earlier versions
    with pytest.warns(match="recipes are those of"):
        assert resolved_augmentation("basic") == "shift(4)|flip"
    config.write_text("RECIPES = {}\nAUGMENTATIONS = {'mine': 'flip', 'flip': 'flip(0.3)'}\n")
    with pytest.warns(match="recipes are those of"), pytest.raises(UsageError, match=r"mine is .* write flip\(\)"):
        load_augmentations()
    config.write_text("RECIPES = {}\nAUGMENTATIONS = ['flip']\n")
    with pytest.warns(match="recipes are those of"), pytest.raises(UsageError, match="must hold AUGMENTATIONS"):
        load_augmentations()


@pytest.mark.parametrize(("size", "mode"), [(20, "bilinear"), (48, "bilinear"), (96, "bicubic")])
def test_resizing_by_products_is_resizing(size, mode):
    """Which MPS needs for the gradients of attacks."""
    images = 255 * torch.rand(2, 3, 64, 50, generator=torch.Generator().manual_seed(0))
    rows, columns = (geometry._interpolation(length, size, mode, images.device) for length in images.shape[-2:])
    torch.testing.assert_close(rows @ images @ columns.T, geometry.resize(images, size), rtol=1e-5, atol=1e-3)
