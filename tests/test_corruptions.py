"""Corruptions against hand numbers, literal loops, scipy and, where it is installed, the package imagecorruptions."""

import colorsys

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import ndimage

from tinybench.evaluation.robustness.corruptions import (
    CHUNK,
    CORRUPTIONS,
    SEVERITIES,
    blur,
    corrupt,
    digital,
    filters,
    noise,
    weather,
)

CPU = torch.device("cpu")
SIZE = 64


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def photos(count=4, size=SIZE, seed=0):
    """Smooth colours with edges: uint8 (count, 3, size, size)."""
    random = np.random.default_rng(seed)
    smooth = ndimage.gaussian_filter(random.normal(size=(count, 3, size, size)), (0, 0.5, 4, 4))
    smooth = (smooth - smooth.min()) / np.ptp(smooth)
    smooth[:, :, size // 4 + 1 : size // 2 + 1, size // 3 :] *= 0.3  # not where pixels are joined
    return torch.from_numpy((255 * smooth).astype(np.uint8))


def floats(images):
    return images.float() / 255


def rms(images, others):
    return (images.float() - others.float()).square().mean().sqrt().item()


# ---- all of them


def test_the_fifteen_corruptions_and_their_families():
    families = {}
    for name, corruption in CORRUPTIONS.items():
        families.setdefault(corruption.family, []).append(name)
        assert len(corruption.arguments) == len(SEVERITIES) == 5
    assert {family: len(names) for family, names in families.items()} == {
        "noise": 3, "blur": 4, "weather": 4, "digital": 4,
    }  # fmt: skip


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_a_seed_means_the_same_images_and_more_severity_more_damage(name):
    images = photos(3)
    first, again = (corrupt(images, name, 1, seed=0, device=CPU) for _ in range(2))
    assert first.dtype == torch.uint8
    assert first.shape == images.shape
    assert torch.equal(first, again)
    worst = corrupt(images, name, 5, seed=0, device=CPU)
    if name != "elastic_transform":  # the published one tilts less and stretches more as it grows
        assert rms(worst, images) > rms(first, images) > 0
    drawn = name not in ("defocus_blur", "zoom_blur", "brightness", "contrast", "pixelate", "jpeg_compression")
    assert torch.equal(worst, corrupt(images, name, 5, seed=1, device=CPU)) is not drawn
    if drawn:
        same = corrupt(images[:1].expand(2, -1, -1, -1), name, 5, seed=0, device=CPU)
        assert not torch.equal(same[0], same[1]), "each image is corrupted in its own way"


@pytest.mark.parametrize("name", ["shot_noise", "glass_blur", "frost"])
def test_images_do_not_depend_on_those_after_them(name):
    images = photos(1, size=16).expand(CHUNK + 3, -1, -1, -1)
    many, few = (corrupt(part, name, 2, seed=0, device=CPU) for part in (images, images[:CHUNK]))
    assert torch.equal(many[:CHUNK], few)


@pytest.mark.parametrize("kind", ["cuda", "mps"])
def test_every_device_makes_the_same_images(kind):
    if not {"cuda": torch.cuda, "mps": torch.backends.mps}[kind].is_available():
        pytest.skip(f"no {kind} here")
    images = photos(3)
    for name in CORRUPTIONS:
        here, there = (corrupt(images, name, 3, seed=0, device=torch.device(device)).cpu() for device in ("cpu", kind))
        assert (here.int() - there.int()).abs().max() <= 1, name


# ---- filters


@pytest.mark.parametrize(("border", "mode"), [("edge", "nearest"), ("symmetric", "reflect")])
@pytest.mark.parametrize(("sigma", "truncate"), [(0.1, 4), (0.7, 4), (3.84, 3), (19.2, 3)])
def test_gaussian_matrix_is_that_of_scipy(sigma, truncate, border, mode):
    image = np.random.default_rng(0).normal(size=(40, 40))
    expected = ndimage.gaussian_filter(image, sigma, mode=mode, truncate=truncate)
    matrix = filters.gaussian_matrix(40, sigma, truncate=truncate, border=border)
    np.testing.assert_allclose(filters.separable(torch.from_numpy(image).float(), matrix), expected, atol=1e-5)


@pytest.mark.parametrize("factor", [1, 1.01, 1.06, 1.25, 1.75, 2.25])
def test_zoom_is_that_of_scipy(factor):
    image = np.random.default_rng(0).normal(size=(SIZE, SIZE))
    seen = int(np.ceil(SIZE / factor))
    top = (SIZE - seen) // 2
    zoomed = ndimage.zoom(image[top : top + seen, top : top + seen], factor, order=1)
    trim = (len(zoomed) - SIZE) // 2
    expected = zoomed[trim : trim + SIZE, trim : trim + SIZE]
    ours = filters.separable(torch.from_numpy(image).float(), filters.zoom_matrix(SIZE, factor))
    np.testing.assert_allclose(ours, expected, atol=1e-5)


def test_disk_is_a_plus_at_radius_one_and_has_a_soft_rim():
    plus = torch.tensor([[0, 0, 0, 0, 0], [0, 0, 1, 0, 0], [0, 1, 1, 1, 0], [0, 0, 1, 0, 0], [0, 0, 0, 0, 0]]) / 5
    torch.testing.assert_close(filters.disk_kernel(1, 0.1), plus)
    soft = filters.disk_kernel(2, 0.6)
    assert soft.sum().item() == pytest.approx(1)
    assert 0 < soft[0, 3] < soft[1, 3] < soft[2, 3] <= soft[3, 3]


def test_convolution_is_that_of_scipy():
    images, kernel = floats(photos(2)), filters.disk_kernel(2.5, 0.5)
    expected = ndimage.convolve(images.double().numpy(), kernel.double().numpy()[None, None], mode="mirror")
    np.testing.assert_allclose(filters.convolve(images, kernel), expected, atol=1e-5)


def test_blur_along_leaves_each_pixel_in_its_direction():
    weights = torch.tensor([1, np.exp(-0.5), np.exp(-2)], dtype=torch.float32)
    weights = weights / weights.sum()
    images = torch.zeros(4, 1, 9, 9)
    images[:, 0, 4, 4] = 1
    blurred = filters.blur_along(images, torch.tensor([0.0, 90.0, 180.0, -45.0]), radius=1, sigma=1)
    expected = torch.zeros_like(images)
    for step, weight in enumerate(weights):  # a pixel takes from those after it, so a bright one shines backwards
        expected[0, 0, 4, 4 - step] = weight
        expected[1, 0, 4 - step, 4] = weight
        expected[2, 0, 4, 4 + step] = weight
    for step, weight in zip((0, 1, 1), weights, strict=True):  # at 45 degrees, 1 and 1.4 pixels are one row and column
        expected[3, 0, 4 + step, 4 - step] += weight
    torch.testing.assert_close(blurred, expected)
    flat = filters.blur_along(torch.ones(1, 3, 9, 9), torch.tensor([30.0]), radius=6, sigma=4)
    torch.testing.assert_close(flat, torch.ones(1, 3, 9, 9), atol=2e-4, rtol=0)


@pytest.mark.parametrize(("mode", "low", "high"), [("reflect", 0, 6), ("symmetric", -0.5, 6.5)])
def test_fold_mirrors_as_numpy_does(mode, low, high):
    places = torch.arange(-20, 27).float()
    expected = np.pad(np.arange(7), (20, 20), mode=mode)
    np.testing.assert_array_equal(filters.fold(places, low, high), expected)


# ---- noise


def test_noise_has_the_published_spread():
    gray = torch.full((8, 3, SIZE, SIZE), 0.5)
    shot = noise.shot_noise(gray, generator(), 50)
    assert noise.gaussian_noise(gray, generator(), 0.08).std().item() == pytest.approx(0.08, rel=0.02)
    assert shot.mean().item() == pytest.approx(0.5, rel=0.01)
    assert shot.std().item() == pytest.approx((0.5 / 50) ** 0.5, rel=0.02)
    torch.testing.assert_close(shot * 50, (shot * 50).round())
    impulses = noise.impulse_noise(gray, generator(), 0.1)
    for value, share in ((0, 0.05), (1, 0.05), (0.5, 0.9)):
        assert (impulses == value).float().mean().item() == pytest.approx(share, abs=0.005)


# ---- blur


@pytest.mark.parametrize("reach", [1, 2, 3])
def test_glass_displaces_as_the_published_loop(reach):
    size = 20
    images = photos(2, size)
    offsets = torch.randint(-reach, reach, (2, 2, size, size), generator=generator())
    expected = images.permute(0, 2, 3, 1).numpy().copy()
    for x, (rows, columns) in zip(expected, offsets.numpy(), strict=True):
        for row in range(size - reach, reach, -1):
            for column in range(size - reach, reach, -1):
                other = row + rows[row, column], column + columns[row, column]
                x[row, column], x[other] = x[other], x[row, column]
    ours = blur.displace(images.float(), offsets, reach)
    np.testing.assert_array_equal(ours.permute(0, 2, 3, 1).numpy(), expected)


def test_zoom_blur_keeps_the_centre_and_flat_images():
    flat = torch.full((1, 3, SIZE, SIZE), 0.3)
    torch.testing.assert_close(blur.zoom_blur(flat, generator(), 5, 0.01), flat)
    ring = torch.zeros(1, 3, SIZE, SIZE)
    ring[:, :, 2] = ring[:, :, 32] = 1
    rows = blur.zoom_blur(ring, generator(), 26, 0.01)[0, 0, :, 32]
    assert rows[32] > 0.45 > 0.25 > rows[2]


# ---- weather


def test_snow_whitens_and_falls_both_ways():
    images = torch.zeros(2, 3, SIZE, SIZE)
    fallen = weather.snow(images, generator(), 0.1, 0.2, 1, 0.5, 10, 4, 0.8)
    torch.testing.assert_close(fallen, fallen.flip(2, 3))  # black: only flakes and the whitened ground
    assert fallen.min().item() == pytest.approx(0.2 * 0.5)
    none = weather.snow(images + 0.5, generator(), 0.1, 0.2, 1, 9, 10, 4, 0.8)
    torch.testing.assert_close(none, torch.full_like(images, 0.8 * 0.5 + 0.2 * 1.25), rtol=1e-3, atol=0)


def test_frost_has_the_colours_and_the_contrast_of_the_photographs():
    ice = 255 * weather.draw_frost(64, SIZE, generator())
    assert torch.equal(ice, 255 * weather.draw_frost(64, SIZE, generator()))
    colors = torch.tensor([look[:3] for look in weather.FROST])
    distance = (ice.mean((2, 3))[:, None] - colors).abs().amax(2).amin(1)
    assert distance.max() < 4  # of one of the looks; white is cut off at 255
    assert 14 < ice.std((1, 2, 3)).median() < 40
    covered = weather.frost(torch.full((4, 3, SIZE, SIZE), 0.5), generator(), 0.9, 0.4)
    torch.testing.assert_close(covered, 0.45 + 0.4 * weather.draw_frost(4, SIZE, generator()))


def test_clouds_are_those_of_diamond_square_point_by_point():
    size, decay, random = 8, 1.5, generator()
    ours = weather.draw_clouds(1, size, decay, generator())[0]
    straight = ((-1, 0), (1, 0), (0, -1), (0, 1))
    diagonal = ((-1, -1), (-1, 1), (1, -1), (1, 1))
    heights, step, spread = torch.zeros(size, size, dtype=torch.float64), size, 1.0
    while step >= 2:
        half = step // 2
        for row0, column0, neighbours in ((half, half, diagonal), (0, half, straight), (half, 0, straight)):
            draws = iter((2 * torch.rand(size // step, size // step, generator=random) - 1).flatten().tolist())
            for row in range(row0, size, step):
                for column in range(column0, size, step):
                    places = [((row + half * i) % size, (column + half * j) % size) for i, j in neighbours]
                    heights[row, column] = sum(heights[place] for place in places) / 4 + spread * next(draws)
        step, spread = half, spread / decay**2
    heights = (heights - heights.min()) / (heights.max() - heights.min())
    torch.testing.assert_close(ours, heights.float(), atol=1e-5, rtol=0)


def test_fog_keeps_the_brightest_value_at_most():
    images = floats(photos(3))
    foggy = weather.fog(images, generator(), 1.5, 2)
    assert (foggy.amax((1, 2, 3)) <= images.amax((1, 2, 3)) + 1e-6).all()
    assert (foggy.std((1, 2, 3)) < images.std((1, 2, 3))).all()
    assert weather.fog(torch.ones(1, 3, 48, 48), generator(), 1, 2).shape == (1, 3, 48, 48)  # no power of two


def test_brightness_raises_the_value_of_hsv():
    pixels = [(0.2, 0.4, 0.1), (0.9, 0.3, 0.3), (0.0, 0.0, 0.0), (0.5, 0.5, 0.5)]
    images = torch.tensor(pixels).T.reshape(1, 3, 2, 2)
    expected = []
    for pixel in pixels:
        hue, saturation, value = colorsys.rgb_to_hsv(*pixel)
        expected.append(colorsys.hsv_to_rgb(hue, saturation, min(1, value + 0.3)))
    ours = weather.brightness(images, generator(), 0.3).reshape(3, 4).T
    np.testing.assert_allclose(ours, expected, atol=1e-6)


# ---- digital


def test_contrast_by_hand():
    images = torch.tensor([0.0, 0.2, 0.4, 1.0]).reshape(1, 1, 2, 2).expand(1, 3, 2, 2)
    ours = digital.contrast(images, generator(), 0.5)[0, 0].flatten()
    torch.testing.assert_close(ours, torch.tensor([0.2, 0.3, 0.4, 0.7]))


@pytest.mark.parametrize("scale", [0.9, 0.6, 0.5])
def test_pixelate_is_pillows_box_filter(scale):
    (image,) = photos(1)
    picture = Image.fromarray(image.permute(1, 2, 0).numpy())
    small = picture.resize((int(SIZE * scale),) * 2, Image.Resampling.BOX)
    expected = np.asarray(small.resize((SIZE, SIZE), Image.Resampling.BOX)).transpose(2, 0, 1)
    ours = 255 * digital.pixelate(floats(image)[None], generator(), scale)[0]
    assert np.abs(ours.numpy() - expected).max() <= 1.01  # Pillow rounds twice on the way


def test_jpeg_is_that_of_a_file(tmp_path):
    images = photos(3)
    errors = []
    for quality in (65, 25):
        ours = 255 * digital.jpeg_compression(floats(images), generator(), quality)
        Image.fromarray(images[1].permute(1, 2, 0).numpy()).save(tmp_path / "x.jpg", quality=quality)
        expected = np.asarray(Image.open(tmp_path / "x.jpg")).transpose(2, 0, 1)
        np.testing.assert_allclose(ours[1], expected, atol=1e-3)
        errors.append(rms(ours, images))
    assert 0.5 < errors[0] < errors[1]


def test_elastic_moves_three_points_to_where_they_were_drawn():
    rows = torch.arange(SIZE).float()[:, None].expand(SIZE, SIZE)
    ramps = torch.stack((rows, rows.T, torch.zeros(SIZE, SIZE)))[None]
    ours = digital.elastic_transform(ramps, generator(), 0, 0, 0.06)[0]
    moves = SIZE * 0.06 * (2 * torch.rand(1, 3, 2, generator=generator()) - 1)[0]
    for (row, column), move in zip(((53, 53), (11, 53), (11, 11)), moves, strict=True):
        place = np.array([row, column]) + move.numpy()
        for channel, value in ((0, row), (1, column)):
            found = ndimage.map_coordinates(ours[channel].numpy(), place[:, None], order=1, mode="nearest")
            assert found == pytest.approx(value, abs=0.01)


def test_elastic_stretches_as_scipy_does():
    images = floats(photos(2))
    ours = digital.elastic_transform(images, generator(), 0.16, 0.03, 0)
    random = generator()
    torch.rand(2, 3, 2, generator=random)  # the tilt, here of 0
    draws = (2 * torch.rand(2, 2, SIZE, SIZE, generator=random) - 1).numpy()
    for image, our, moves in zip(images.numpy(), ours.numpy(), draws, strict=True):
        moves = [SIZE * 0.16 * ndimage.gaussian_filter(move, SIZE * 0.03, mode="reflect", truncate=3) for move in moves]
        places = np.mgrid[:SIZE, :SIZE] + moves
        expected = [ndimage.map_coordinates(channel, places, order=1, mode="reflect") for channel in image]
        np.testing.assert_allclose(our, expected, atol=1e-4)


# ---- the package imagecorruptions, where it is installed: the same definitions with numbers for 224 pixels


def theirs(images, name, severity):
    module = pytest.importorskip("imagecorruptions")
    images = images.permute(0, 2, 3, 1).numpy()
    corrupted = [module.corrupt(image, corruption_name=name, severity=severity) for image in images]
    return torch.from_numpy(np.stack(corrupted)).permute(0, 3, 1, 2).float()


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("contrast", ((0.4,), (0.3,), (0.2,), (0.1,), (0.05,))),
        ("brightness", ((0.1,), (0.2,), (0.3,), (0.4,), (0.5,))),
        ("pixelate", ((0.6,), (0.5,), (0.4,), (0.3,), (0.25,))),
        ("jpeg_compression", ((25,), (18,), (15,), (10,), (7,))),
        ("defocus_blur", ((3, 0.1), (4, 0.5), (6, 0.5))),
    ],
)
def test_imagecorruptions_with_its_numbers(name, arguments):
    images = photos(2)
    for severity, numbers in enumerate(arguments, start=1):
        ours = 255 * CORRUPTIONS[name].apply(floats(images), generator(), *numbers).clamp(0, 1)
        difference = ours - theirs(images, name, severity)  # theirs cuts off what is behind the point
        assert difference.min() > -1.01
        assert difference.max() < 1.01


@pytest.mark.parametrize(
    ("name", "arguments"), [("gaussian_noise", (0.18,)), ("shot_noise", (12,)), ("impulse_noise", (0.09,))]
)
def test_imagecorruptions_noise_is_as_strong(name, arguments):
    images = photos(8)
    ours = 255 * CORRUPTIONS[name].apply(floats(images), generator(), *arguments).clamp(0, 1)
    np.random.seed(0)  # the package draws from numpy's own generator
    other = theirs(images, name, 3)
    assert rms(ours, images) == pytest.approx(rms(other, images), rel=0.03)
    assert (ours - images).mean().item() == pytest.approx((other - images).mean().item(), abs=0.8)


@pytest.mark.parametrize("angle", [-40.0, 0.0, 17.0, 45.0, -117.0])  # where no step ends on the edge of two pixels
def test_imagecorruptions_motion_blur(angle):
    pytest.importorskip("imagecorruptions")
    from imagecorruptions.corruptions import _motion_blur

    (image,) = photos(1)
    expected = _motion_blur(image.permute(1, 2, 0).double().numpy(), 10, 3, angle).transpose(2, 0, 1)
    ours = filters.blur_along(image[None].float(), torch.tensor([angle]), 10, 3)[0]
    np.testing.assert_allclose(ours, expected, atol=0.05)
