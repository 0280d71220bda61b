"""The looks of recipes: one each, and told apart by every kind of eye and in gray."""

import itertools
from collections import defaultdict

import numpy as np
import pytest
import seaborn as sns

from tinybench.results.colors import COLORS, MARKS, MODEL_COLORS, SHIFTS, look, model_color, recipe_looks

# Machado et al. 2009, https://doi.org/10.1109/TVCG.2009.113, at full severity, in linear RGB.
EYES = {
    "normal": np.eye(3),
    "protanopia": [[0.1523, 1.0526, -0.2049], [0.1145, 0.7863, 0.0992], [-0.0039, -0.0481, 1.052]],
    "deuteranopia": [[0.3673, 0.8606, -0.228], [0.2801, 0.6725, 0.0474], [-0.0118, 0.0429, 0.9689]],
    "tritanopia": [[1.2555, -0.0767, -0.1788], [-0.0784, 0.9308, 0.1476], [0.0047, 0.6914, 0.3039]],
}
TO_XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])


def lab(color, eye):
    """CIELAB of what that eye sees."""
    srgb = np.array([int(color[start : start + 2], 16) for start in (1, 3, 5)]) / 255
    light = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    xyz = TO_XYZ @ np.clip(np.array(EYES[eye]) @ light, 0, 1) / np.array([0.9505, 1, 1.089])
    x, y, z = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def nearest(colors, eye):
    return min(np.linalg.norm(lab(one, eye) - lab(other, eye)) for one, other in itertools.combinations(colors, 2))


@pytest.mark.parametrize("eye", EYES)
def test_added_colors_are_no_closer_than_the_six(eye):
    assert nearest(COLORS, eye) >= min(nearest(MODEL_COLORS.values(), any_eye) for any_eye in EYES)


@pytest.mark.parametrize("eye", EYES)
def test_of_24_recipes_those_of_one_mark_differ_to_every_eye_and_in_gray(eye):
    """A distance of 2.3 is just noticed; 10 is plain at a glance."""
    colors = defaultdict(list)
    for number in range(24):
        colors[look(number).mark].append(look(number).color)
    assert len(colors) == MARKS
    for one, other in colors.values():
        assert nearest((one, other), eye) > 20
        assert abs(lab(one, "normal")[0] - lab(other, "normal")[0]) > 8


def test_looks_are_distinct_whatever_the_order_and_the_six_keep_theirs():
    names = [*MODEL_COLORS, *["resnet"] * (len(SHIFTS) * MARKS - 6)]
    networks = {f"plan/{name}{number:03}": name for number, name in enumerate(names)}
    looks = recipe_looks(networks)
    assert recipe_looks(dict(reversed(networks.items()))) == looks
    assert looks.keys() == networks.keys()
    assert len(set(looks.values())) == len(looks)
    assert [looks[label] for label in list(networks)[:6]] == [look(number) for number in range(6)]
    assert recipe_looks({"alone": "vit"})["alone"] == look(5)
    assert [look(number).color for number in range(6)] == list(MODEL_COLORS.values())


def test_colors_are_those_of_seaborn():
    assert list(MODEL_COLORS.values()) == sns.color_palette("colorblind").as_hex()[: len(MODEL_COLORS)]
    assert model_color("resnet") == MODEL_COLORS["resnet"]
    assert model_color("mlp") in COLORS
