"""One colour, marker, line and title a model, the same in every figure, table and report."""

import zlib
from collections.abc import Mapping
from typing import NamedTuple

Dashes = tuple[float, ...]  # lengths of line and gap in turn, in widths of the line; empty: a whole line

# The order of seaborn's palette "colorblind"; written out so that the report needs no plotting library.
MODEL_COLORS = {
    "alexnet": "#0173b2",
    "vgg": "#de8f05",
    "resnet": "#029e73",
    "densenet": "#d55e00",
    "efficientnet": "#cc78bc",
    "vit": "#ca9161",
}
# For networks that are added: to every kind of eye they are further from the six, and from each other, than the two
# nearest of the six are, and they show on white and on black.
OTHER_COLORS = ("#6633ff", "#446677", "#885533", "#7777ff", "#aa99ff", "#99aaaa")

# The six have their own, in the order of MODEL_COLORS; names of matplotlib's.
MARKERS = ("o", "s", "^", "D", "v", ">")
LINES: tuple[Dashes, ...] = ((), (3.7, 1.6), (6.4, 1.6, 1, 1.6), (1, 1.65), (6, 2, 1, 2, 1, 2), (10, 3))
# For further recipes of the same network, and for networks that are added.
OTHER_MARKERS = ("p", "X", "<", "P", "d", "*", "h", "8")
OTHER_LINES: tuple[Dashes, ...] = ((3, 3), (1, 3), (6, 3, 2, 3), (12, 3, 3, 3), *LINES)

# As in the registry of networks, which loads torch.
NETWORK_TITLES = {
    "alexnet": "AlexNet",
    "vgg": "VGG-16",
    "resnet": "ResNet-18",
    "densenet": "DenseNet-121",
    "efficientnet": "EfficientNet-B0",
    "vit": "ViT-S",
    "svm": "Linear SVM",
    "alexnet_stock": "AlexNet (stock)",
    "speednet": "SpeedNet",
}


class Style(NamedTuple):
    """How a recipe is drawn; marker and dashes together are its own, for eyes and prints that do not tell colours."""

    color: str
    marker: str
    dashes: Dashes


def model_color(name: str) -> str:
    """The hex colour of a network. It depends on the name alone, so two added networks may share one."""
    return MODEL_COLORS.get(name) or OTHER_COLORS[zlib.crc32(name.encode()) % len(OTHER_COLORS)]


def recipe_styles(networks: Mapping[str, str]) -> dict[str, Style]:
    """The style of each recipe; no two of up to 80 have the same marker and dashes.

    Args:
        networks: by the label of the recipe, in the order of `results.groups.group_runs`.
    """
    known = list(MODEL_COLORS)
    found: dict[str, Style] = {}
    drawn: set[str] = set()
    for label, network in networks.items():
        if network in known and network not in drawn:
            position = known.index(network)
            marker, dashes = MARKERS[position], LINES[position]
            drawn.add(network)
        else:
            turn, position = divmod(len(found) - len(drawn), len(OTHER_MARKERS))
            marker, dashes = OTHER_MARKERS[position], OTHER_LINES[(position + turn) % len(OTHER_LINES)]
        found[label] = Style(model_color(network), marker, dashes)
    return found
