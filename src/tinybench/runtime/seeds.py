"""Random numbers as a function of (seed, purpose, epoch, step): nothing random is ever saved or lost."""

from enum import IntEnum

import numpy as np
import torch


class Purpose(IntEnum):
    """What a stream of random numbers is for. Streams of different purposes never overlap."""

    INIT = 0
    SPLIT = 1
    SUBSET = 2
    SHUFFLE = 3
    AUGMENT = 4
    MIX = 5
    DROPOUT = 6
    DEMO = 7
    HOLDOUT = 8
    CORRUPT = 9
    ATTACK = 10
    SAMPLE = 11
    SEARCH = 12


def derive_seed(seed: int, purpose: Purpose, *keys: int) -> int:
    """A 63-bit seed for one stream, well mixed even when the inputs differ in one bit."""
    low, high = np.random.SeedSequence([seed, purpose, *keys]).generate_state(2, np.uint32).tolist()
    return (high & 0x7FFFFFFF) << 32 | low


def numpy_generator(seed: int, purpose: Purpose, *keys: int) -> np.random.Generator:
    return np.random.default_rng([seed, purpose, *keys])


def torch_generator(device: torch.device | str, seed: int, purpose: Purpose, *keys: int) -> torch.Generator:
    return torch.Generator(device).manual_seed(derive_seed(seed, purpose, *keys))
