"""The model card of a folder that is ready for a model hub: data, licence, protocol, numbers and limits."""

from typing import Any

from tinybench import __version__
from tinybench.metrics import METRICS
from tinybench.words import listed

# What the data sets' licences say of weights that were learned from them.
LICENCES = {
    "tiny-imagenet": "Its pictures come from ImageNet, which is offered for non-commercial research and education "
    "(https://image-net.org/download.php); whoever uses the weights for anything else should consider that first.",
    "demo": "Its images are drawn by tinybench itself.",
}
SEEN = "ImageNet's training set, which the first weights come from, may contain the test images."
NAMED = 3  # classes in the card


def model_card(checkpoint: dict[str, Any], test: dict[str, Any], files: dict[str, str]) -> str:
    """The card in Markdown, with the head that hubs read.

    Args:
        test: test_results.json of these weights; empty if they were not tested.
        files: what is to be said of each file.
    """
    recipe, dataset, size = checkpoint["recipe"], checkpoint["dataset"], checkpoint["image_size"]
    options = "".join(f" {name} {value}" for name, value in checkpoint["model_options"].items() if value)
    classes, names = checkpoint["num_classes"], listed(checkpoint["class_names"][:NAMED])
    pretrained = recipe.get("pretrained") or ""
    started = f"the weights `{pretrained}`" if pretrained else "random weights"
    about_data = [LICENCES.get(dataset, ""), SEEN if pretrained and dataset == "tiny-imagenet" else ""]
    return f"""\
---
library_name: tinybench
pipeline_tag: image-classification
datasets: [{dataset}]
metrics: [accuracy]
---
# {checkpoint["model"]}{options} on {dataset}

An image classifier of {classes} classes for images of {size}x{size} pixels, trained with tinybench {__version__}.

## Files

{chr(10).join(f"- `{name}`: {what}" for name, what in files.items())}

## Data

{" ".join([f"{dataset}, fingerprint {checkpoint['fingerprint'][:16]}.", *filter(None, about_data)])}

## Protocol

Trained from {started}, {checkpoint["epoch"]} of {recipe["epochs"]} epochs, seed {recipe["seed"]}.
{100 * recipe["val_fraction"]:g} % of each class's training images were held out; on them the epoch was chosen, with
{checkpoint["val_acc"]:.2f} %. The whole recipe stands in `network.json`.

## Numbers

{_numbers(test) if test else "Not tested on the test images."}

## Limits

Whatever it is shown, it answers with one of its {classes} classes, such as {names}.
Images are scaled to {size} pixels and cropped to a square, in which small things are lost. Its probabilities hold for
pictures like those of {dataset}.
"""


def _numbers(test: dict[str, Any]) -> str:
    known = {key: metric for key, metric in METRICS.items() if key in test}
    rows = [f"| {metric.title} | {test[key]:.{metric.digits}f} {metric.unit} |" for key, metric in known.items()]
    images = f"On {test['dataset']['test_images']:,} test images, on which nothing was chosen, in {test['precision']}:"
    return "\n".join([images, "", "| metric | value |", "|---|---|", *rows])
