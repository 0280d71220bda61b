"""What the wrong answers say."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from tinybench.errors import UserError
from tinybench.results.answers import agreement_matrices, pooled, predictions_by_recipe
from tinybench.results.classes import class_results, class_table, mistakes_of
from tinybench.results.groups import most_accurate, tested
from tinybench.results.predictions import correct_by_model
from tinybench.results.runs import RunResults
from tinybench.stats.similarity import near_misses, wordnet_similarity
from tinybench.words import listed

SHOWN = 3


def classes(runs: Sequence[RunResults]) -> list[str]:
    """Which classes are hard and easy for all recipes, and where recipes differ most.

    Raises:
        UserError: no run was tested, or they were tested on different classes.
    """
    table = class_table(runs).dropna()
    mean = table.mean(axis=1).droplevel("id")
    hardest, easiest = mean.iloc[:SHOWN], mean.iloc[::-1].iloc[:SHOWN]
    of = "the recipe" if len(table.columns) == 1 else f"the {len(table.columns)} recipes"
    sentences = [
        f"Hardest, by the share of right answers over {of}: {_with_percent(hardest)}.",
        f"Easiest: {_with_percent(easiest)}.",
    ]
    never = (table == 0).all(axis=1).sum()
    if never:
        sentences.append(f"{never} of {len(table)} classes were never answered right.")
    if len(table.columns) > 1:
        ranks = table.corr(method="spearman").to_numpy()[np.triu_indices(len(table.columns), 1)]
        if not np.isnan(ranks).any():
            sentences.append(
                "How alike the recipes rank the classes (1: in the same order): Spearman's correlations from "
                f"{ranks.min():.2f} to {ranks.max():.2f}."
            )
        spread = table.max(axis=1) - table.min(axis=1)
        row = int(spread.argmax())
        name, values = table.index[row][1], table.iloc[row]
        sentences.append(
            f"They differ most on {name}: {values.max():.0f} % ({values.idxmax()}) against {values.min():.0f} % "
            f"({values.idxmin()})."
        )
    return sentences


def confusions(runs: Sequence[RunResults]) -> list[str]:
    """The commonest mistakes of the most accurate recipe, and how much of all its mistakes they are.

    Raises:
        UserError: no run was tested.
    """
    group = most_accurate(tested(runs))
    table = mistakes_of(class_results(group))
    if table.empty:
        return [f"{group.label} makes no mistake."]
    top = table.head(SHOWN)
    pairs = listed(f"{row.true} taken for {row.answer} ({row.share:.0f} %)" for row in top.itertuples())
    half = int((table["images"].cumsum() < table["images"].sum() / 2).sum()) + 1
    count = len(class_results(group).names)
    return [
        f"Commonest mistakes of {group.label}, in percent of the class's images: {pairs}.",
        f"Half of its mistakes fall on {half:,} of the {count * (count - 1):,} possible pairs of class and answer.",
    ]


def agreement(runs: Sequence[RunResults]) -> list[str]:
    """Which recipes answer alike, and how many images all or none of the runs get right.

    Raises:
        UserError: no run has predictions, they are of different images, or there are no two.
    """
    by_recipe = predictions_by_recipe(runs)
    correct = np.concatenate(list(correct_by_model(by_recipe).values()))
    if len(correct) < 2:
        raise UserError("agreement needs two tested runs; train and test another one")
    sentences = [
        f"All {len(correct)} runs are right on {100 * correct.all(0).mean():.1f} % of the test images, none is on "
        f"{100 * (~correct).all(0).mean():.1f} %."
    ]
    if len(by_recipe) > 2:
        same, _ = agreement_matrices(by_recipe)
        pairs = same.where(np.triu(np.ones(same.shape, dtype=bool), 1)).stack().dropna()
        (a, b), (c, d) = pairs.idxmax(), pairs.idxmin()
        sentences.append(
            f"Most alike are {a} and {b} ({pairs.max():.0f} % equal answers), least alike {c} and {d} "
            f"({pairs.min():.0f} %)."
        )
    return sentences


def nearness(runs: Sequence[RunResults]) -> list[str]:
    """Whether wrong answers are near misses in the meaning of the classes, against chance.

    Raises:
        UserError: no run has predictions, or the meaning of the classes is unknown.
    """
    by_recipe = predictions_by_recipe(runs)
    class_ids = next(iter(by_recipe.values()))[0].class_ids
    if (similarity := wordnet_similarity(class_ids)) is None:
        raise UserError("the classes have no known WordNet ids, so nothing says which mistakes are near misses")
    sentences = []
    for label, members in by_recipe.items():
        found = near_misses(pooled(members, label), similarity)
        if found.mistakes:
            sentences.append(
                f"{label}: {100 * found.above_median:.0f} % of its mistakes go to a class more similar than the median "
                f"one (by chance {100 * found.above_median_by_chance:.0f} %)."
            )
    return sentences or ["No recipe makes a mistake."]


def _with_percent(values: pd.Series) -> str:
    return listed(f"{name} ({value:.0f} %)" for name, value in values.items())
