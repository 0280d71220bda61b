"""Look at a data set before training on it: `python src/explore_data.py` writes its numbers as JSON and prints them."""

from dataclasses import dataclass
from pathlib import Path

from tinybench.cli import console
from tinybench.recipe import DATASETS, Side
from tinybench.runtime.files import check_output, has_keys, update_json


@dataclass(kw_only=True)
class Arguments:
    dataset: str = "tiny-imagenet"
    """tiny-imagenet, demo, mnist, fashion-mnist, cifar10, cifar100, svhn, stl10, or a folder of class folders."""
    statistics: bool = False
    """Print the mean and the standard deviation of the training images by channel, and do nothing else."""
    image_size: Side = 64
    """Side in pixels at which a folder's images are looked at."""
    skip_damaged: bool = False
    """Leave out the images of a folder that cannot be read."""
    data_dir: Path = Path("data")
    """Where the data sets are."""
    results_dir: Path = Path("results")
    """The numbers go to results_dir/data_exploration/<data set>.json."""
    force: bool = False
    """Replace a file of something else that has that name."""
    debug: bool = False
    """Show the whole traceback of an error."""


def main() -> None:
    arguments = console.parse(Arguments, __doc__)
    from tinybench.data.datasets import load
    from tinybench.data.prepare.explore import describe, explore

    is_folder = arguments.dataset not in DATASETS
    console.require(is_folder, ["image_size"], f"goes with a folder, not with {arguments.dataset}")
    if arguments.statistics:
        train = load(
            arguments.dataset, "train", arguments.data_dir, arguments.image_size, skip_damaged=arguments.skip_damaged
        )
        for name, values in (("mean", train.mean), ("std", train.std)):
            print(f"{name:<6}" + ", ".join(f"{value:.4f}" for value in values))
        return
    numbers = explore(arguments.dataset, arguments.data_dir, arguments.image_size, arguments.skip_damaged)
    path = arguments.results_dir / "data_exploration" / f"{numbers['name']}.json"
    check_output(path, arguments.force, has_keys("name", "classes", "splits"))
    update_json(path, numbers)
    print(describe(numbers))
    print(f"  all numbers: {path}")
