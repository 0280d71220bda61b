"""Which classes resemble each other, in meaning or in a network's answers, and whether mistakes are near misses."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.cluster.hierarchy import leaves_list, linkage
from scipy.spatial.distance import squareform
from scipy.stats import rankdata

from tinybench.results.predictions import Predictions

HYPERNYMS = Path(__file__).with_name("wordnet.tsv")


@dataclass(frozen=True)
class NearMisses:
    """How near the wrong answers are to the right ones; shares in [0, 1], NaN where there are no mistakes.

    Attributes:
        mistakes: their number.
        above_median: share of them whose answer resembles the label more than the median of the other classes does.
        nearest: share of them whose answer is among the `neighbours` classes that resemble the label most.
        above_median_by_chance, nearest_by_chance: the same if the wrong answers had nothing to do with the labels.
    """

    mistakes: int
    above_median: float
    above_median_by_chance: float
    nearest: float
    nearest_by_chance: float
    neighbours: int


def class_similarity(predictions: Predictions) -> tuple[pd.DataFrame, str]:
    """Similarity in meaning where the ids of all classes are known, else in the answers, and words that say which."""
    similarity = wordnet_similarity(predictions.class_ids)
    if similarity is not None:
        return similarity, "similarity in meaning (Wu and Palmer, WordNet)"
    return confusion_similarity(
        predictions
    ), f"similarity in the answers of {predictions.name}, for WordNet does not know these classes"


def wordnet_similarity(class_ids: Sequence[str]) -> pd.DataFrame | None:
    """Similarity of meaning in (0, 1] of every two classes (Wu and Palmer 1994, https://aclanthology.org/P94-1019/).

    Twice the depth of their closest common ancestor over the lengths of their ways through it down from the root; of
    several ancestors, the one that makes them most alike.

    Args:
        class_ids: ids such as n01443537. Those of ImageNet-1k are known, among them Tiny ImageNet's, and all that is
            above them.

    Returns:
        (classes, classes), rows and columns named by the ids; None where an id is not known.
    """
    hypernyms = _read_hypernyms()
    if not set(class_ids) <= hypernyms.keys():
        return None
    depths = _depths(hypernyms)
    ways = pd.DataFrame([_ancestors(class_id, hypernyms) for class_id in class_ids]).fillna(np.inf)
    steps, depth = ways.to_numpy(), np.array([depths[name] for name in ways.columns])
    similarity = []
    for own in steps:
        above = np.isfinite(own)  # a dozen of hundreds of columns
        similarity.append((2 * depth[above] / (2 * depth[above] + own[above] + steps[:, above])).max(1))
    return pd.DataFrame(similarity, index=list(class_ids), columns=list(class_ids))


def confusion_similarity(predictions: Predictions) -> pd.DataFrame:
    """Similarity in [-1, 1] of every two classes in a network's eyes, not of their meaning.

    Correlation of the mean probabilities that the network gives to the images of the one and of the other class. Taken
    from the same network, it calls its own mistakes near ones: judge them by another network's, or by WordNet.
    """
    ids = list(predictions.class_ids)
    probabilities = pd.DataFrame(np.exp(predictions.log_probabilities), columns=ids)
    by_class = probabilities.groupby(predictions.labels).mean().reindex(range(len(ids)))
    return row_correlation(by_class.set_axis(ids))


def row_correlation(table: pd.DataFrame) -> pd.DataFrame:
    """Pearson correlation of every two rows, such as those of a confusion matrix; 0 for a row without any variation."""
    values = table.T.corr().fillna(0.0).to_numpy(copy=True)
    np.fill_diagonal(values, 1.0)
    return pd.DataFrame(values, index=table.index, columns=table.index)


def class_order(similarity: pd.DataFrame) -> list[str]:
    """The names of the classes such that similar ones are neighbours: leaves of an average-linkage tree."""
    if len(similarity) < 2:
        return list(similarity.index)
    distance = similarity.to_numpy().max() - similarity.to_numpy()
    np.fill_diagonal(distance, 0)
    tree = linkage(squareform(distance, checks=False), method="average", optimal_ordering=True)
    return [similarity.index[leaf] for leaf in leaves_list(tree)]


def near_misses(predictions: Predictions, similarity: pd.DataFrame, neighbours: int = 5) -> NearMisses:
    """Whether wrong answers resemble the right ones more than chance would have it.

    By chance, the wrong answers are those the network gives, with their frequencies, but regardless of the label. Where
    several classes tie for the last place among the nearest, each of them counts for its part.

    Args:
        similarity: of the classes of the predictions, as `wordnet_similarity` gives it.
    """
    values = similarity.loc[list(predictions.class_ids), list(predictions.class_ids)].to_numpy(copy=True)
    wrong = ~predictions.correct
    label, answer = predictions.labels[wrong], predictions.answers[wrong]
    if not len(label):
        nan = float("nan")
        return NearMisses(0, nan, nan, nan, nan, neighbours)
    np.fill_diagonal(values, np.nan)
    above = (values > np.nanmedian(values, axis=1, keepdims=True)).astype(float)
    np.fill_diagonal(values, -np.inf)
    first, last = (rankdata(-values, method=method, axis=1) for method in ("min", "max"))
    nearest = np.clip((neighbours - first + 1) / (last - first + 1), 0, 1)
    frequency = np.bincount(answer, minlength=len(values)) / len(answer)
    chance = np.tile(frequency, (len(values), 1))
    np.fill_diagonal(chance, 0)  # the answer to a class that is asked for is no mistake
    chance = chance[label] / chance[label].sum(1, keepdims=True)
    return NearMisses(
        mistakes=len(label),
        above_median=float(above[label, answer].mean()),
        above_median_by_chance=float((chance * above[label]).sum(1).mean()),
        nearest=float(nearest[label, answer].mean()),
        nearest_by_chance=float((chance * nearest[label]).sum(1).mean()),
        neighbours=neighbours,
    )


@cache
def _read_hypernyms() -> dict[str, tuple[str, ...]]:
    """The classes right above each class of WordNet; the topmost, entity, has none."""
    lines = [line for line in HYPERNYMS.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    rows = (line.split("\t") for line in lines)
    return {class_id: tuple(hypernyms.split()) for class_id, hypernyms, _ in rows}


def _depths(hypernyms: dict[str, tuple[str, ...]]) -> dict[str, int]:
    """Number of classes on the longest way from the root to each class, both ends counted."""

    @cache
    def depth(name: str) -> int:
        return 1 + max((depth(parent) for parent in hypernyms[name]), default=0)

    return {name: depth(name) for name in hypernyms}


def _ancestors(name: str, hypernyms: dict[str, tuple[str, ...]]) -> dict[str, int]:
    """The class itself and all classes above it, with the fewest steps up to each."""
    steps, level = {name: 0}, [name]
    while level:
        above = {parent for lower in level for parent in hypernyms[lower]} - steps.keys()
        steps |= dict.fromkeys(above, max(steps.values()) + 1)
        level = list(above)
    return steps
