"""Intervals and tests: against hand numbers and scipy, and on simulated data whose truth is known."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from tinybench.stats.intervals import Interval, bootstrap_interval, mean_interval, seed_error
from tinybench.stats.significance import (
    critical_difference_groups,
    holm,
    mcnemar,
    paired_bootstrap,
    pairwise_comparisons,
)


def simulate(random, *, runs, images, seed_spread, shift=0.0):
    """Right answers of two recipes: bool (runs, images) each. Images and recipes differ in hardness.

    In expectation both recipes are equally accurate but for `shift`; seeds spread by `seed_spread` (all in logits).
    """
    hardness = random.normal(0, 1.5, images)
    models = []
    for offset in (0.0, shift):
        score = offset + hardness + random.normal(0, 1, images) + random.normal(0, seed_spread, (runs, 1))
        models.append(score + random.logistic(size=(runs, images)) > 0)
    return models


def pair_with(only_a, only_b, both=30, neither=20):
    """Right answers of two networks with that many images of each kind."""
    counts = (only_a, only_b, both, neither)
    return np.repeat([True, False, True, False], counts), np.repeat([False, True, True, False], counts)


def test_mean_interval_by_hand():
    # Mean 60, standard deviation 2, t(0.975, 2) = 4.30265.
    interval = mean_interval([58.0, 60.0, 62.0])
    half = 4.30265 * 2 / 3**0.5
    assert interval.mean == 60.0
    assert (interval.low, interval.high) == pytest.approx((60 - half, 60 + half), abs=1e-4)
    assert mean_interval([50.0, 50.0]) == Interval(50.0, 50.0, 50.0)
    values = np.random.default_rng(0).normal(size=7)
    expected = stats.ttest_1samp(values, 0).confidence_interval(0.9)
    assert (mean_interval(values, 0.9).low, mean_interval(values, 0.9).high) == pytest.approx(tuple(expected))


def test_one_seed_has_no_interval():
    assert mean_interval([33.2]) == Interval(33.2, None, None)
    with pytest.raises(ValueError, match="no values"):
        mean_interval([])


def test_mean_interval_covers_the_truth_in_95_percent():
    random = np.random.default_rng(1)
    intervals = [mean_interval(values) for values in random.normal(60, 0.4, (2000, 3))]
    assert np.mean([interval.low <= 60 <= interval.high for interval in intervals]) == pytest.approx(0.95, abs=0.015)


def test_bootstrap_interval_against_scipy():
    correct = np.random.default_rng(2).random(400) < 0.3
    interval = bootstrap_interval(correct)
    theirs = stats.bootstrap([correct], np.mean, method="percentile", n_resamples=4000, rng=0).confidence_interval
    assert (interval.low, interval.high) == pytest.approx((100 * theirs.low, 100 * theirs.high), abs=0.5)
    wilson = stats.binomtest(correct.sum(), 400).proportion_ci(method="wilson")
    assert (interval.low, interval.high) == pytest.approx((100 * wilson.low, 100 * wilson.high), abs=0.7)
    assert interval.mean == 100 * correct.mean()
    assert bootstrap_interval(correct) == interval  # seeded
    assert bootstrap_interval(correct, seed=1, resamples=99) != bootstrap_interval(correct, resamples=99)


@pytest.mark.parametrize(
    ("runs", "seed_spread", "least"), [(1, 0.0, 0.93), (3, 0.0, 0.93), (3, 0.1, 0.93), (3, 0.4, 0.9), (2, 0.4, 0.87)]
)
def test_bootstrap_interval_covers_the_truth(runs, seed_spread, least):
    random = np.random.default_rng(3)
    covered = []
    for _ in range(600):
        answers, _ = simulate(random, runs=runs, images=300, seed_spread=seed_spread)
        interval = bootstrap_interval(answers, resamples=600)
        covered.append(interval.low <= 50 <= interval.high)  # all that is drawn is symmetric around zero
    assert least <= np.mean(covered) <= 0.99


def test_seed_error_is_the_spread_of_seeds():
    random = np.random.default_rng(4)
    runs, images, spread = 4, 200, 0.1
    squares = []
    for _ in range(500):
        answers = (
            random.normal(0, 1, images) + random.normal(0, spread, (runs, 1)) + random.normal(0, 0.5, (runs, images))
        )
        error, freedom = seed_error(answers)
        assert freedom == runs - 1
        squares.append(error**2)
    assert np.mean(squares) == pytest.approx((spread**2 + 0.5**2 / images) / runs, rel=0.12)
    assert seed_error(np.ones((1, 5))) == (0.0, 0)


@pytest.mark.parametrize("correct", [[], [[]], np.zeros((2, 2, 2)), [0.5, 1.0]])
def test_what_is_no_right_or_wrong_is_refused(correct):
    with pytest.raises(ValueError, match="correct must"):
        bootstrap_interval(correct)


@pytest.mark.parametrize(
    ("only_a", "only_b", "p"),
    [
        (0, 0, 1.0),
        (5, 0, 2 / 2**5),  # exact: two-sided binomial
        (3, 9, 2 * (1 + 12 + 66 + 220) / 2**12),
        (12, 12, 1.0),
        (10, 15, stats.chi2.sf(4**2 / 25, 1)),  # chi-square with continuity correction from 25 on
        (25, 60, stats.chi2.sf(34**2 / 85, 1)),
        (40, 40, 1.0),  # where the correction must not turn 0 into -1
    ],
)
def test_mcnemar_by_hand(only_a, only_b, p):
    a, b = pair_with(only_a, only_b)
    assert mcnemar(a, b) == pytest.approx(p)
    assert mcnemar(b, a) == pytest.approx(p)


def test_holm_by_hand():
    # Sorted 0.01, 0.02, 0.03, 0.04: times 4, 3, 2, 1, and none below the one before.
    assert holm([0.04, 0.01, 0.03, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert holm([0.6, 0.001, 0.6]) == pytest.approx([1, 0.003, 1])


def test_mcnemar_of_several_runs_is_twice_the_median():
    random = np.random.default_rng(5)
    a, b = random.random((3, 200)) < 0.5, random.random((2, 200)) < 0.6
    p = [mcnemar(one, other) for one in a for other in b]
    assert mcnemar(a, b) == pytest.approx(min(1, 2 * np.median(p)))
    # Pooled, five copies of one network would look like five times the evidence.
    x, y = pair_with(14, 5)
    assert mcnemar([x] * 5, [y] * 5) >= mcnemar(x, y)


def test_paired_bootstrap_against_scipy():
    a, b = (answers[0] for answers in simulate(np.random.default_rng(6), runs=1, images=800, seed_spread=0, shift=-0.5))
    ours = paired_bootstrap(a, b)
    theirs = stats.bootstrap(
        [a.astype(float) - b], np.mean, method="percentile", n_resamples=4000, rng=0
    ).confidence_interval
    assert ours.points == pytest.approx(100 * (a.mean() - b.mean()))
    assert (ours.low, ours.high) == pytest.approx((100 * theirs.low, 100 * theirs.high), abs=0.4)
    # The normal test of the paired differences is the limit of the bootstrap.
    assert ours.p == pytest.approx(stats.ttest_rel(a.astype(float), b.astype(float)).pvalue, abs=0.01)
    turned = paired_bootstrap(b, a)
    assert (turned.points, turned.low, turned.high) == pytest.approx((-ours.points, -ours.high, -ours.low), abs=0.3)


def test_paired_bootstrap_of_equal_models():
    a, _ = pair_with(10, 10)
    same = paired_bootstrap(a, a)
    assert (same.points, same.low, same.high, same.p) == (0, 0, 0, 1)


def test_seeds_that_differ_widen_the_interval():
    random = np.random.default_rng(7)
    a, b = simulate(random, runs=3, images=2000, seed_spread=0.5, shift=0.3)
    known, one_run = paired_bootstrap(a, b), paired_bootstrap(a[0], b[0])
    assert known.high - known.low > 2 * (one_run.high - one_run.low)


@pytest.mark.parametrize(
    ("runs", "seed_spread", "images"), [(1, 0.0, 400), (2, 0.0, 400), (2, 0.3, 2000), (3, 0.0, 400), (3, 0.3, 2000)]
)
def test_paired_bootstrap_seldom_finds_what_is_not_there(runs, seed_spread, images):
    random = np.random.default_rng(8)
    found = [
        paired_bootstrap(*simulate(random, runs=runs, images=images, seed_spread=seed_spread), resamples=600).p < 0.05
        for _ in range(300)
    ]
    assert np.mean(found) <= 0.08


def test_images_alone_would_find_what_is_not_there():
    # Why seeds are part of the bootstrap: without them, seeds that differ pass for models that differ.
    random = np.random.default_rng(9)
    pairs = [simulate(random, runs=1, images=2000, seed_spread=0.3) for _ in range(100)]
    assert np.mean([mcnemar(a, b) < 0.05 for a, b in pairs]) > 0.3


def test_mcnemar_errs_in_5_percent():
    random = np.random.default_rng(10)
    pairs = [simulate(random, runs=1, images=500, seed_spread=0) for _ in range(600)]
    assert np.mean([mcnemar(a, b) < 0.05 for a, b in pairs]) == pytest.approx(0.045, abs=0.025)


def test_real_differences_are_found():
    random = np.random.default_rng(11)
    for runs in (1, 3):
        a, b = simulate(random, runs=runs, images=2000, seed_spread=0.02, shift=-0.8)
        difference = paired_bootstrap(a, b)
        assert difference.p < 0.01
        assert difference.low > 5


def test_pairwise_comparisons():
    random = np.random.default_rng(12)
    images = 1000
    worst = random.random(images) < 0.3
    middle = worst ^ (random.random(images) < 0.002)
    best = np.stack([worst | (random.random(images) < 0.2) for _ in range(3)])
    table = pairwise_comparisons({"worst": worst, "best": best, "middle": middle})
    assert len(table) == 3
    assert (table["accuracy_a"] >= table["accuracy_b"]).all()
    assert table["difference"].to_numpy() == pytest.approx((table["accuracy_a"] - table["accuracy_b"]).to_numpy())
    smallest = table["p"].min()
    assert table.loc[table["p"] == smallest, "p_holm"].iloc[0] == pytest.approx(min(1, 3 * smallest))
    assert table["p_holm"].max() >= table["p"].max()
    by_pair = {frozenset((row.model_a, row.model_b)): row for row in table.itertuples()}
    alike, apart = by_pair[frozenset(("worst", "middle"))], by_pair[frozenset(("worst", "best"))]
    assert (apart.model_a, apart.model_b, apart.runs_a, apart.runs_b, apart.significant) == (
        "best",
        "worst",
        3,
        1,
        True,
    )
    assert apart.low > 0
    assert apart.note == "one run of worst: does not hold for its other seeds"
    assert not alike.significant
    assert alike.p == alike.mcnemar_p == mcnemar(worst, middle)
    assert "these two networks" in alike.note
    assert {frozenset(group) for group in critical_difference_groups(table)} == {frozenset(("worst", "middle"))}
    with pytest.raises(ValueError, match="5 and on 1000 images"):
        pairwise_comparisons({"a": worst, "b": worst[:5]})


def test_pairs_of_one_model_are_none():
    table = pairwise_comparisons({"only": [True, False]})
    assert table.empty
    assert "p_holm" in table
    assert critical_difference_groups(table) == []


def test_of_many_equal_models_seldom_two_differ():
    random = np.random.default_rng(13)
    wrong = 0
    for _ in range(40):
        hardness = random.normal(0, 1.5, 300)
        models = {f"m{k}": hardness + random.logistic(size=300) > 0 for k in range(5)}
        wrong += pairwise_comparisons(models)["significant"].any()
    assert wrong <= 6  # 5 % of 40 are 2; more than 6 has a chance of 0.3 %


def test_many_models_can_still_differ():
    # 45 pairs with three runs each: the p values of the bootstrap must reach far enough down for Holm's correction.
    random = np.random.default_rng(14)
    hardness = random.normal(0, 1, 400)
    models = {f"m{k}": hardness + 4 * (k == 0) + random.logistic(size=(3, 400)) > 1 for k in range(10)}
    table = pairwise_comparisons(models)
    assert table.loc[table["model_a"] == "m0", "significant"].all()


def comparisons(accuracies, real):
    names = list(accuracies)
    rows = [
        (a, b, accuracies[a], accuracies[b], f"{a}{b}" in real)
        for position, a in enumerate(names)
        for b in names[position + 1 :]
    ]
    return pd.DataFrame(rows, columns=["model_a", "model_b", "accuracy_a", "accuracy_b", "significant"])


def test_critical_difference_groups_overlap():
    accuracies = {"a": 70, "b": 69, "c": 68, "d": 50}
    table = comparisons(accuracies, real={"ac", "ad", "bd", "cd"})
    assert critical_difference_groups(table) == [("a", "b"), ("b", "c")]
    assert critical_difference_groups(comparisons(accuracies, real=set())) == [("a", "b", "c", "d")]
    assert critical_difference_groups(comparisons(accuracies, real={"ab", "ac", "ad", "bc", "bd", "cd"})) == []


def test_critical_difference_groups_may_leave_out_one_in_between():
    assert critical_difference_groups(comparisons({"a": 70, "b": 69, "c": 60}, real={"ab", "bc"})) == [("a", "c")]
