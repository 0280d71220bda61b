"""Similarity of classes: known WordNet values, made-up answers, and near misses that are counted by hand."""

import itertools
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import timm

from tinybench.results.predictions import Predictions
from tinybench.stats.similarity import (
    class_order,
    near_misses,
    row_correlation,
    wordnet_similarity,
)

DOG, CAT, ENTITY = "n02084071", "n02121620", "n00001740"
GOLDFISH, BULLFROG, TAILED_FROG, TARANTULA, TABBY = "n01443537", "n01641577", "n01644900", "n01774750", "n02123045"


def predict(answers, labels, classes, ids=None):
    """Predictions with these answers, of classes that WordNet does not know unless `ids` says other."""
    ids = ids or tuple(f"class{label}" for label in range(classes))
    return Predictions("x", 5 * np.eye(classes, dtype=np.float32)[answers], np.array(labels), tuple(ids))


def test_wordnet_similarity_of_dog_and_cat():
    # Carnivore is 12 deep when the root is 1, and 2 steps above both dog and cat: 2 * 12 / (12 + 2 + 12 + 2).
    table = wordnet_similarity([DOG, CAT])
    assert table.loc[DOG, CAT] == pytest.approx(24 / 28)
    # From dog to the root: 8 steps over domestic animal, whose longest other way is not asked.
    assert wordnet_similarity([DOG, ENTITY]).loc[DOG, ENTITY] == pytest.approx(2 / (2 + 8))


def test_wordnet_similarity_is_one_of_meaning():
    ids = [GOLDFISH, BULLFROG, TAILED_FROG, TARANTULA, TABBY]
    table = wordnet_similarity(ids)
    assert list(table.index) == list(table.columns) == ids
    values = table.to_numpy()
    assert (values == values.T).all()
    assert (values.diagonal() == 1).all()
    assert ((values > 0) & (values <= 1)).all()
    assert table.loc[BULLFROG].drop(BULLFROG).idxmax() == TAILED_FROG
    assert table.loc[GOLDFISH].idxmin() == TARANTULA


def test_all_classes_of_imagenet_are_known():
    ids = (Path(timm.__file__).parent / "data" / "_info" / "imagenet_synsets.txt").read_text().split()
    table = wordnet_similarity(ids)
    assert table.shape == (1000, 1000)
    assert table.to_numpy().min() > 0  # all are below entity
    assert sorted(class_order(table)) == sorted(ids)


def test_other_classes_are_not():
    assert wordnet_similarity([DOG, "n90000000"]) is None
    assert wordnet_similarity(["airplane"]) is None


def test_row_correlation_against_numpy():
    random = np.random.default_rng(0)
    counts = pd.DataFrame(random.integers(0, 50, (6, 6)), index=list("abcdef"), columns=list("abcdef"))
    np.testing.assert_allclose(row_correlation(counts), np.corrcoef(counts))


def test_class_order_puts_groups_together():
    random = np.random.default_rng(1)
    group = random.permutation(np.repeat(np.arange(4), 5))
    noise = random.uniform(0, 0.2, (20, 20))
    values = 0.7 * (group[:, None] == group) + (noise + noise.T) / 2
    np.fill_diagonal(values, 1)
    names = [f"c{index}" for index in range(20)]
    order = class_order(pd.DataFrame(values, index=names, columns=names))
    assert sorted(order) == sorted(names)
    ordered = [group[int(name[1:])] for name in order]
    assert sum(a != b for a, b in itertools.pairwise(ordered)) == 3
    assert class_order(pd.DataFrame([[1.0]], index=["a"], columns=["a"])) == ["a"]


def line(classes):
    """Similarity of classes that lie on a line: the farther apart, the less similar."""
    places = np.arange(classes)
    names = [f"class{place}" for place in places]
    return pd.DataFrame(1.0 / (1 + abs(places[:, None] - places)), index=names, columns=names)


def test_near_misses_by_hand():
    # Seven classes on a line, all labelled 0: answers 0 (right), 1, 2 and 6; the median lies between 3 and 4.
    result = near_misses(predict([0, 1, 2, 6], [0, 0, 0, 0], 7), line(7))
    # Only one label: its wrong answers are all there are, so chance gives the same.
    assert result == pytest.approx((3, 2 / 3, 2 / 3))


def test_neighbours_are_nearer_than_chance():
    random = np.random.default_rng(2)
    labels = random.integers(0, 20, 3000)
    next_door = np.clip(labels + random.choice([-1, 1], 3000), 0, 19)
    result = near_misses(predict(next_door, labels, 20), line(20))
    assert result.near == 1
    assert result.near_by_chance == pytest.approx(9 / 19, abs=0.03)  # evenly drawn: 9 of 19 are above the median
    anywhere = near_misses(predict(random.integers(0, 20, 3000), labels, 20), line(20))
    assert anywhere.near == pytest.approx(anywhere.near_by_chance, abs=0.03)


def test_a_favourite_answer_is_no_near_miss():
    # Every mistake is the same class, whatever the label: that is what chance does with such answers, too.
    labels = np.arange(10).repeat(5)
    result = near_misses(predict(np.full(50, 4), labels, 10), line(10))
    assert result.mistakes == 45
    assert result.near == pytest.approx(result.near_by_chance)


def test_no_mistakes_have_no_share():
    result = near_misses(predict([0, 1], [0, 1], 3), line(3))
    assert result.mistakes == 0
    assert np.isnan([result.near, result.near_by_chance]).all()


def test_the_order_of_the_similarity_does_not_matter():
    predictions = predict([0, 1, 2, 6, 3], [0, 0, 5, 0, 2], 7)
    assert near_misses(predictions, line(7)) == near_misses(predictions, line(7).iloc[::-1, ::-1])
