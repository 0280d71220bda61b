"""Which published accuracies compare with ours: those of the same task, obtained without the test images."""

import re
from collections.abc import Sequence

import pandas as pd

from tinybench.errors import UserError
from tinybench.results.groups import SeedGroup, tested
from tinybench.results.runs import RunResults

TASK = ("tiny-imagenet", 200)  # what all of published.csv is about: data set, classes
PRETRAINED, HONEST, CHOSEN_ON_TEST = (
    "pretrained",
    "epoch chosen without the test images",
    "epoch chosen on the test images",
)


def same_task(runs: Sequence[RunResults]) -> list[SeedGroup]:
    """The tested recipes that learned all classes of Tiny ImageNet; none if nothing was tested."""
    groups = tested(runs) if any("best" in run.tests for run in runs) else []
    data = [group.runs[0].history["dataset"] for group in groups]
    tasks = [(about.get("name"), about.get("classes")) for about in data]
    return [group for group, task in zip(groups, tasks, strict=True) if task == TASK]


def source_url(source: str) -> str:
    """The address of a source such as "owner/repository README"; empty where it names no repository."""
    if re.match(r"https?://\S+$", source):
        return source
    repository = re.match(r"[\w.-]+/[\w.-]+(?= |$)", source)
    return f"https://github.com/{repository[0]}" if repository else ""


def with_kinds(published: pd.DataFrame | None) -> pd.DataFrame:
    """The table with a column `kind`: PRETRAINED, HONEST or CHOSEN_ON_TEST, the last of which is too high.

    Args:
        published: as `results.read_published` gives it; None where its file is damaged.

    Raises:
        UserError: there is no table, or it is empty.
    """
    if published is None or published.empty:
        raise UserError("no published accuracies; copy the project's results/published.csv into the results folder")
    chosen_on = published["epoch_chosen_on"].astype(str)  # empty where nobody states it
    honest = chosen_on.str.startswith(("held-out train", "last"))  # perhaps "last (median of 10)"
    kind = honest.map({True: HONEST, False: CHOSEN_ON_TEST})
    return published.assign(kind=kind.where(published["pretraining"] == "none", PRETRAINED))
