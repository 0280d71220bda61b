"""What the numbers about a data set say."""

from pathlib import Path
from typing import Any

import pandas as pd

from tinybench.errors import UserError
from tinybench.results.runs import attempt
from tinybench.runtime.files import read_json
from tinybench.words import counted, listed, with_values

COMMAND = "python src/explore_data.py"
KEYS = {"name", "classes", "image_size", "splits", "mean", "std", "duplicates"}  # of the numbers


def read_explorations(results_dir: Path) -> list[dict[str, Any]]:
    """What src/explore_data.py left in results_dir/data_exploration, one dict a data set; damaged files are noticed."""
    paths = sorted((results_dir / "data_exploration").glob("*.json"))
    return [numbers for path in paths if (numbers := attempt(_read, path))]


def _read(path: Path) -> dict[str, Any]:
    numbers = read_json(path)
    if not isinstance(numbers, dict) or not numbers.keys() >= KEYS:
        raise UserError(f"{path} is damaged; {COMMAND} writes it again")
    return numbers


def data_table(explorations: list[dict[str, Any]]) -> pd.DataFrame:
    """Data sets side by side: images, images a class, images without colour, mean and standard deviation by channel.

    Raises:
        UserError: no data set was explored.
    """
    _require(explorations)
    rows = {}
    for numbers in explorations:
        for split, about in numbers["splits"].items():
            fewest, most = about["fewest_per_class"], about["most_per_class"]
            rows[numbers["name"], split] = {
                "classes": numbers["classes"],
                "images": about["images"],
                "images a class": f"{fewest}" if fewest == most else f"{fewest} to {most}",
                "without colour": about["gray_images"],
                "pixels": "{1} × {0}".format(*numbers["image_size"]),
            }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis(["data set", "split"])


def data_sentences(explorations: list[dict[str, Any]]) -> list[str]:
    """How balanced the data sets are, and which images they hold twice.

    Raises:
        UserError: no data set was explored.
    """
    _require(explorations)
    return [sentence for numbers in explorations for sentence in _about(numbers)]


def _about(numbers: dict[str, Any]) -> list[str]:
    name, splits, twice = numbers["name"], numbers["splits"], numbers["duplicates"]
    uneven = [split for split, about in splits.items() if about["fewest_per_class"] != about["most_per_class"]]
    balance = f"are not of one size in {listed(uneven)}" if uneven else "all have the same number of images"
    gray = {split: 100 * about["gray_images"] / about["images"] for split, about in splits.items()}
    sentences = [
        f"**{name}**: its {numbers['classes']} classes {balance}. A network that always names one class would be right "
        f"on {100 / numbers['classes']:.1f} % of a balanced test set.",
        f"{name}: images without colour: {with_values(gray, '{:.1f} %')}.",
    ]
    if not twice["groups"]:
        return [*sentences, f"{name}: no two images have the same pixels."]
    groups = counted(twice["groups"], "group")
    sentences.append(f"{name}: {groups} of equal images, {twice['across_classes']} of them across classes.")
    if leaks := _leaks(numbers):
        contradicted = sum(not same for same in leaks)
        sentences.append(
            f"{name}: {len(leaks)} of {splits['test']['images']:,} test images are in the train images too, "
            f"{contradicted} of them under another class: whoever learns these by heart gets them wrong."
        )
    return sentences


def _leaks(numbers: dict[str, Any]) -> list[bool]:
    """For each test image that train holds too: whether it has the same class there."""
    found = []
    for group in numbers["duplicates"]["members"]:
        learned = {member["class"] for member in group if member["split"] == "train"}
        found += [member["class"] in learned for member in group if learned and member["split"] == "test"]
    return found


def _require(explorations: list[dict[str, Any]]) -> None:
    if not explorations:
        raise UserError(f"no numbers about a data set; {COMMAND} writes them")
