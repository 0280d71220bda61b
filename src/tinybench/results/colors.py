"""One colour and one title a model, the same in every figure, table and report."""

import zlib

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


def model_color(name: str) -> str:
    """The hex colour of a network. It depends on the name alone, so two added networks may share one: draw their lines
    with different dashes."""
    return MODEL_COLORS.get(name) or OTHER_COLORS[zlib.crc32(name.encode()) % len(OTHER_COLORS)]
