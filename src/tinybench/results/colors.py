"""One title a network, and one colour and mark a recipe, the same in every figure, table and report."""

import zlib
from collections.abc import Mapping
from typing import NamedTuple

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
# nearest of the six are, and they show on white and on black. In this order, a colour and the one half the circle away
# differ much to every kind of eye, and in gray too.
OTHER_COLORS = ("#aa99ff", "#885533", "#6633ff", "#99aaaa", "#446677", "#7777ff")
COLORS = (*MODEL_COLORS.values(), *OTHER_COLORS)
MARKS = len(COLORS)
# How far a mark's colour is from its first one, in rounds through the marks: at first as far as can be.
SHIFTS = (0, 6, 3, 9, 1, 7, 4, 10, 2, 8, 5, 11)

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


class Look(NamedTuple):
    """Of a recipe, wherever it is drawn.

    Attributes:
        color: hex.
        mark: below MARKS; one stands for a shape of the points and for dashes of the line.
    """

    color: str
    mark: int


def recipe_looks(networks: Mapping[str, str]) -> dict[str, Look]:
    """A look for each recipe; no two are the same among the first len(SHIFTS) * MARKS.

    Of each of the six networks, the recipe with the shortest label has the network's look, and no other ever has. Of
    the first 24 looks, those with the same mark differ in colour to every kind of eye, and in gray.

    Args:
        networks: the name of each recipe's network, by the recipe's label. The labels' order plays no role.
    """
    looks = {}
    for number, name in enumerate(MODEL_COLORS):
        if own := [label for label, network in networks.items() if network == name]:
            looks[min(own, key=lambda label: (len(label), label))] = look(number)
    others = (label for label in sorted(networks) if label not in looks)
    return looks | {label: look(number) for number, label in enumerate(others, len(MODEL_COLORS))}


def look(number: int) -> Look:
    """One of the looks in the order in which they are given out; the six networks have the first."""
    turn, mark = divmod(number, MARKS)
    return Look(COLORS[(mark + SHIFTS[turn % len(SHIFTS)]) % MARKS], mark)


def model_color(name: str) -> str:
    """The hex colour of a network where no recipes are compared; added networks may share one."""
    return MODEL_COLORS.get(name) or OTHER_COLORS[zlib.crc32(name.encode()) % len(OTHER_COLORS)]
