"""Each operation against torchvision's; the policies' ranges, shares and randomness."""

import dataclasses
import math

import pytest
import torch
from torchvision.transforms import InterpolationMode, autoaugment

from tinybench.data.augment import auto_operations
from tinybench.data.augment.auto import Method, apply_operations
from tinybench.data.augment.operations import RandAugment, TrivialAugment
from tinybench.data.augment.policy import build_policy
from tinybench.runtime.seeds import Purpose, torch_generator

METHODS = {"trivialaugment": TrivialAugment().method(), "randaugment": RandAugment().method()}
# torchvision's names, in the order of our lists.
NAMES = (
    "Identity", "ShearX", "ShearY", "TranslateX", "TranslateY", "Rotate", "Brightness", "Color", "Contrast",
    "Sharpness", "Posterize", "Solarize", "AutoContrast", "Equalize",
)  # fmt: skip


def photos(count=5, size=32, seed=0):
    """uint8 (count, 3, size, size): smooth colours, an edge, one channel of a single value, few values in one image."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(count, 3, 5, 5, generator=generator)
    images = torch.nn.functional.interpolate(coarse, (size, size), mode="bicubic").clamp(0, 1) * 200 + 20
    images[:, :, 8:20, 10:24] *= 0.5
    images[1:2, 2] = 77
    images[2:3] = images[2:3] // 100 * 100
    return images.round().to(torch.uint8)


def theirs(image, name, magnitude):
    return autoaugment._apply_op(image, name, magnitude, InterpolationMode.BILINEAR, None)


@pytest.mark.parametrize("size", [32, 33])
@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("op", NAMES)
def test_every_operation_is_torchvisions(op, name, size):
    space = {
        "trivialaugment": lambda: autoaugment.TrivialAugmentWide()._augmentation_space(31),
        "randaugment": lambda: autoaugment.RandAugment()._augmentation_space(31, (size, size)),
    }[name]()
    choice = METHODS[name].choices[NAMES.index(op)]
    magnitudes, signed = space[op]
    assert choice.signed == signed
    images = photos(size=size)
    for level in (0, 7, 9, 22, 30):
        expected = float(magnitudes[level]) if magnitudes.ndim else float(magnitudes)
        ours = choice.magnitude(torch.full((len(images),), level / 30), size)
        if magnitudes.ndim:
            assert ours[0].item() == pytest.approx(expected, abs=1e-4)
        for sign in (1, -1) if signed else (1,):
            got = choice.operation(images.float(), sign * ours)
            want = torch.stack([theirs(image, op, sign * expected) for image in images]).float()
            difference = (got - want).abs()
            # There values are cut off to whole numbers, of blends twice; a tie between pixels falls to either side.
            most = 2.01 if op in ("Color", "Contrast", "Sharpness") else 1.01
            assert (difference > most).float().mean() < 0.002, (level, sign, difference.max())


def test_the_lists_are_torchvisions():
    assert list(autoaugment.TrivialAugmentWide()._augmentation_space(31)) == list(NAMES)
    assert [len(method.choices) for method in METHODS.values()] == [14, 14]


def test_parameters_are_count_and_strengths():
    method = RandAugment(3, 20, degrees=90).method()
    assert (method.count, method.level) == (3, 20)
    assert method.choices[NAMES.index("Rotate")].magnitude(torch.ones(1), 64).item() == 90
    assert TrivialAugment(pixels=5).method().choices[NAMES.index("TranslateX")].magnitude(torch.ones(1), 64).item() == 5


@pytest.mark.parametrize("name", METHODS)
def test_a_seed_means_the_same_images_and_each_image_varies_in_its_own_way(name):
    images = photos(1).expand(64, -1, -1, -1)
    policy = build_policy(name, 32, (0.5, 0.5, 0.5), (0.25, 0.25, 0.25))
    first, again, other = (policy(images, torch_generator("cpu", seed, Purpose.AUGMENT)) for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert len(torch.unique(first.flatten(1), dim=0)) > 40
    assert first.isfinite().all()
    assert first.shape == (64, 3, 32, 32)


def test_operations_are_drawn_evenly():
    images = torch.zeros(7000, 1, 1, 1)
    marks = tuple(
        dataclasses.replace(choice, operation=lambda part, magnitude, mark=mark: part + mark)
        for mark, choice in enumerate(METHODS["trivialaugment"].choices[1:], start=1)
    )
    once = apply_operations(images.clone(), Method(1, None, marks), torch_generator("cpu", 0, Purpose.AUGMENT))
    counts = torch.bincount(once.flatten().long(), minlength=14)[1:]
    spread = math.sqrt(7000 / 13)
    assert (counts - 7000 / 13).abs().max() < 4 * spread
    twice = apply_operations(images.clone(), Method(2, 9, marks), torch_generator("cpu", 0, Purpose.AUGMENT))
    assert twice.mean().item() == pytest.approx(2 * 7, rel=0.03)
    # Neighbours in the batch get different operations, and the second does not depend on the first.
    assert torch.corrcoef(torch.stack((once[:-1].flatten(), once[1:].flatten())))[0, 1].abs() < 0.05


def test_strengths_are_any_or_fixed_and_signs_even():
    seen = []
    choice = dataclasses.replace(
        METHODS["trivialaugment"].choices[5], operation=lambda part, magnitude: seen.append(magnitude) or part
    )
    images = torch.zeros(6200, 1, 1, 1)
    apply_operations(images, Method(1, None, (choice,)), torch_generator("cpu", 0, Purpose.AUGMENT))
    levels = (seen[0] / 135 * 30).round().long()
    assert set(levels.tolist()) == set(range(-30, 31))
    assert (levels > 0).float().mean().item() == pytest.approx(30 / 31 / 2, abs=0.03)
    apply_operations(images, Method(1, 9, (choice,)), torch_generator("cpu", 0, Purpose.AUGMENT))
    assert seen[1].abs().unique().item() == pytest.approx(135 * 9 / 30)


def test_identity_is_the_only_operation_that_does_nothing():
    images = photos(4).float()
    for method in METHODS.values():
        for choice in method.choices:
            changed = choice.operation(images.clone(), choice.magnitude(torch.full((4,), 0.5), 32))
            assert torch.equal(changed, images) == (choice.operation is auto_operations.identity)
