"""MixUp and CutMix against the papers' formulas."""

import numpy as np
import pytest
import torch

from tinybench.data.augment.mix import Mix, draw_mix

IMAGES = torch.rand(5, 3, 64, 64, generator=torch.Generator().manual_seed(0))


def draws(alpha, count=4_000, size=64, probability=0.5, cutmix_share=0.5):
    rng = np.random.default_rng(0)
    return [draw_mix(alpha, size, rng, probability=probability, cutmix_share=cutmix_share) for _ in range(count)]


@pytest.mark.parametrize(("probability", "cutmix_share"), [(0.5, 0.5), (0.8, 0.25), (1.0, 0.0), (1.0, 1.0)])
def test_batches_are_mixed_as_often_and_as_stated(probability, cutmix_share):
    kinds = [mix.kind if mix else None for mix in draws(0.4, probability=probability, cutmix_share=cutmix_share)]
    assert kinds.count(None) / len(kinds) == pytest.approx(1 - probability, abs=0.03)
    assert kinds.count("mixup") / len(kinds) == pytest.approx(probability * (1 - cutmix_share), abs=0.03)
    assert kinds.count("cutmix") / len(kinds) == pytest.approx(probability * cutmix_share, abs=0.03)


def test_the_default_draws_as_before_it_was_a_field():
    rng = np.random.default_rng(0)
    for mix in draws(0.4, 200):
        kind = rng.random()
        rng.beta(0.4, 0.4)
        rng.integers(64, size=2)
        assert (mix.kind if mix else None) == (None if kind < 0.5 else "mixup" if kind < 0.75 else "cutmix")


@pytest.mark.parametrize("alpha", [0.2, 1.0, 5.0])
def test_lam_of_mixup_is_beta_distributed(alpha):
    lam = np.array([mix.lam for mix in draws(alpha) if mix and mix.kind == "mixup"])
    assert lam.mean() == pytest.approx(0.5, abs=0.04)
    assert lam.var() == pytest.approx(1 / (4 * (2 * alpha + 1)), rel=0.15)  # variance of Beta(alpha, alpha)


def test_same_generator_same_draws():
    assert draws(0.4, 50) == draws(0.4, 50)


def test_mixup_by_hand():
    mixed = Mix("mixup", 0.3).apply(IMAGES)
    torch.testing.assert_close(mixed, 0.3 * IMAGES + 0.7 * IMAGES.flip(0), rtol=0, atol=1e-6)


def test_cutmix_by_hand():
    mixed = Mix("cutmix", 1 - 6 * 20 / 64**2, (2, 8, 10, 30)).apply(IMAGES)
    expected = IMAGES.clone()
    for index in range(5):
        for row in range(2, 8):
            expected[index, :, row, 10:30] = IMAGES[4 - index, :, row, 10:30]
    assert torch.equal(mixed, expected)


@pytest.mark.parametrize("size", [7, 64])
def test_lam_of_cutmix_is_the_share_of_pixels_that_stay(size):
    base = torch.stack((torch.zeros(3, size, size), torch.ones(3, size, size)))
    clipped = 0
    mixes = [mix for mix in draws(1.0, 400, size) if mix and mix.kind == "cutmix"]
    for mix in mixes:
        own, other = mix.apply(base)
        assert 1 - own.mean().item() == pytest.approx(mix.lam, abs=1e-6)
        assert other.mean().item() == pytest.approx(mix.lam, abs=1e-6)
        top, bottom, left, right = mix.box
        assert 0 <= top <= bottom <= size
        assert 0 <= left <= right <= size
        clipped += bottom - top != right - left
    assert 0 < clipped < len(mixes)


def test_mixing_leaves_the_batch_as_it_was():
    for mix in (Mix("mixup", 0.5), Mix("cutmix", 0.75, (0, 32, 0, 32))):
        before = IMAGES.clone()
        assert not torch.equal(mix.apply(IMAGES), before)
        assert torch.equal(IMAGES, before)


@pytest.mark.parametrize("mix", [Mix("mixup", 0.3), Mix("cutmix", 0.75, (0, 32, 0, 32))])
def test_a_batch_of_one_mixes_with_itself(mix):
    torch.testing.assert_close(mix.apply(IMAGES[:1]), IMAGES[:1])


def test_channels_last_stays():
    images = IMAGES.contiguous(memory_format=torch.channels_last)
    for mix in (Mix("mixup", 0.3), Mix("cutmix", 0.75, (0, 32, 0, 32))):
        torch.testing.assert_close(mix.apply(images), mix.apply(IMAGES))
