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
# Points, by matplotlib's names, and lines: lengths of dash and gap in turn, in widths of the line; empty: without gaps.
MARKERS = ("o", "s", "^", "D", "v", ">", "p", "X", "<", "P", "d", "*")
LINES: tuple[tuple[float, ...], ...] = (
    (), (3.7, 1.6), (6.4, 1.6, 1, 1.6), (1, 1.65), (6, 2, 1, 2, 1, 2), (10, 3), (3, 3), (1, 3), (6, 3, 2, 3),
    (12, 3, 3, 3), (1, 1), (12, 2, 1, 2, 1, 2, 1, 2),
)  # fmt: skip
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
    "swin": "Swin-P",
    "convnext": "ConvNeXt-P",
    "mobilenet": "MobileNetV3-Small",
    "svm": "Linear SVM",
    "alexnet_stock": "AlexNet (stock)",
    "speednet": "SpeedNet",
}


class Look(NamedTuple):
    """Of a recipe, wherever it is drawn.

    Attributes:
        color: hex.
        mark: below MARKS; the marker and the dashes of that number.
    """

    color: str
    mark: int

    @property
    def marker(self) -> str:
        return MARKERS[self.mark]

    @property
    def dashes(self) -> tuple[float, ...]:
        return LINES[self.mark]


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
