"""Which classes are similar in meaning, and whether wrong predictions are near misses."""

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

import networkx as nx
import numpy as np
import pandas as pd
from scipy.cluster.hierarchy import leaves_list, linkage
from scipy.spatial.distance import squareform

from tinybench.results.predictions import Predictions

HYPERNYMS = Path(__file__).with_name("wordnet.tsv")


class NearMisses(NamedTuple):
    """How similar wrong predictions are to the true classes; shares in [0, 1], NaN if there are no mistakes.

    Attributes:
        mistakes: their number.
        near: share of them whose predicted class is more similar to the true one than the median of all classes is.
        near_by_chance: the same if the wrong predictions were independent of the true classes.
    """

    mistakes: int
    near: float
    near_by_chance: float


def wordnet_similarity(class_ids: Sequence[str]) -> pd.DataFrame | None:
    """Wu–Palmer similarity in (0, 1] of every two classes (1994, https://aclanthology.org/P94-1019/).

    Twice the depth of their lowest common ancestor, divided by the summed lengths of the two paths from the root to the
    classes through that ancestor; of several common ancestors, the one with the highest similarity counts.

    Args:
        class_ids: WordNet ids such as n01443537. All of ImageNet-1k's classes are known, and their ancestors.

    Returns:
        (classes, classes), rows and columns named by the ids; None if an id is unknown.
    """
    hypernyms = _read_hypernyms()
    if not set(class_ids) <= set(hypernyms):
        return None
    depths: dict[str, int] = {}  # classes on the longest path from the root
    for name in reversed(list(nx.topological_sort(hypernyms))):
        depths[name] = 1 + max((depths[parent] for parent in hypernyms[name]), default=0)
    paths = pd.DataFrame([nx.single_source_shortest_path_length(hypernyms, name) for name in class_ids]).fillna(np.inf)
    steps, depth = paths.to_numpy(), np.array([depths[name] for name in paths.columns])
    similarity = []
    for own in steps:
        above = np.isfinite(own)  # a dozen ancestors among hundreds of columns
        similarity.append((2 * depth[above] / (2 * depth[above] + own[above] + steps[:, above])).max(1))
    return pd.DataFrame(similarity, index=list(class_ids), columns=list(class_ids))


def row_correlation(table: pd.DataFrame) -> pd.DataFrame:
    """Pearson correlation of every two rows, such as those of a confusion matrix; 0 for constant rows."""
    values = table.T.corr().fillna(0.0).to_numpy(copy=True)
    np.fill_diagonal(values, 1.0)
    return pd.DataFrame(values, index=table.index, columns=table.index)


def class_order(similarity: pd.DataFrame) -> list[str]:
    """The names of the classes with similar ones next to each other: the leaf order of average-linkage clustering."""
    if len(similarity) < 2:
        return list(similarity.index)
    distance = similarity.to_numpy().max() - similarity.to_numpy()
    np.fill_diagonal(distance, 0)
    tree = linkage(squareform(distance, checks=False), method="average", optimal_ordering=True)
    return [similarity.index[leaf] for leaf in leaves_list(tree)]


def near_misses(predictions: Predictions, similarity: pd.DataFrame) -> NearMisses:
    """Whether wrong predictions are more similar to the true classes than expected by chance.

    Chance keeps the frequencies of the wrong predictions, but makes them independent of the true class.

    Args:
        similarity: of the classes of the predictions, as returned by `wordnet_similarity`.
    """
    values = similarity.loc[list(predictions.class_ids), list(predictions.class_ids)].to_numpy(copy=True)
    wrong = ~predictions.correct
    true, predicted = predictions.labels[wrong], predictions.predicted[wrong]
    if not len(true):
        return NearMisses(0, np.nan, np.nan)
    np.fill_diagonal(values, np.nan)
    near = values > np.nanmedian(values, axis=1, keepdims=True)
    chance = np.tile(np.bincount(predicted, minlength=len(values)) / len(predicted), (len(values), 1))
    np.fill_diagonal(chance, 0)  # predicting the true class is no mistake
    chance = chance[true] / chance[true].sum(1, keepdims=True)
    return NearMisses(len(true), float(near[true, predicted].mean()), float((chance * near[true]).sum(1).mean()))


@cache
def _read_hypernyms() -> nx.DiGraph:
    """WordNet's classes, each with an edge to every class right above it; the topmost, entity, has none."""
    graph = nx.DiGraph()
    for line in HYPERNYMS.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            name, hypernyms, _ = line.split("\t")
            graph.add_node(name)
            graph.add_edges_from((name, hypernym) for hypernym in hypernyms.split())
    return graph
