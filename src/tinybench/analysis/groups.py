"""Runs put together: those that may be compared, and the seeds of one recipe."""

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import NamedTuple

from tinybench.analysis.colors import MODEL_COLORS
from tinybench.analysis.results import RunResults
from tinybench.errors import UsageError, UserError

ORDER = {name: position for position, name in enumerate(MODEL_COLORS)}


@dataclass(frozen=True)
class Group:
    """The runs of one recipe, which differ in their seeds alone.

    Attributes:
        label: the recipe, with its plan before it where two plans have one of that name.
        model: the network.
    """

    label: str
    model: str
    runs: tuple[RunResults, ...]


def group_runs(runs: Sequence[RunResults], keep: Callable[[RunResults], bool] = lambda run: True) -> list[Group]:
    """The runs to keep by recipe; the six networks in the order of their age, added ones after them.

    The labels depend on all runs, so that a recipe has the same one in every figure.
    """
    recipes: dict[tuple[str, str], list[RunResults]] = defaultdict(list)
    for run in runs:
        recipes[run.plan, run.recipe].append(run)
    plans = Counter(recipe for _, recipe in recipes)
    groups = []
    for (plan, recipe), members in recipes.items():
        label = f"{plan}/{recipe}" if plan and plans[recipe] > 1 else recipe
        if kept := tuple(run for run in members if keep(run)):
            groups.append(Group(label, kept[0].model, kept))
    return sorted(groups, key=lambda group: (ORDER.get(group.model, len(ORDER)), group.label))


class Task(NamedTuple):
    """What must be equal for two runs to be compared. Epochs may differ: they are part of the recipe.

    Attributes:
        dataset, fingerprint: which images.
        classes, train_images, val_images: how many.
        image_size: of a side, in pixels.
    """

    dataset: str
    fingerprint: str
    classes: int | None
    train_images: int | None
    val_images: int | None
    image_size: int | None


def by_task(runs: Sequence[RunResults]) -> dict[Task, list[RunResults]]:
    """The runs that may be compared with each other, together."""
    found: dict[Task, list[RunResults]] = defaultdict(list)
    for run in runs:
        data, config = run.history["dataset"], run.history["config"]
        task = Task(
            str(data.get("name", "unknown")),
            str(data.get("fingerprint", "")),
            data.get("classes"),
            data.get("train_images"),
            data.get("val_images"),
            config.get("image_size"),
        )
        found[task].append(run)
    return found


def comparable_runs(runs: Sequence[RunResults], plan: str = "") -> list[RunResults]:
    """The runs of one plan on one task; without a plan's name, of the plan and task with the most recipes and runs.

    Runs that belong to no plan count as one more plan. The list is empty where there are no runs at all.

    Raises:
        UsageError: no such plan; the message lists those that are there.
    """
    if plan and plan not in (names := {run.plan for run in runs}):
        there = ", ".join(sorted(names - {""})) or "none"
        raise UsageError(f"no plan {plan!r} among the results; plans that are there: {there}")
    sets = (
        members
        for name in ([plan] if plan else dict.fromkeys(run.plan for run in runs))
        for members in by_task([run for run in runs if run.plan == name]).values()
    )
    return max(sets, key=lambda members: (len(group_runs(members)), len(members)), default=[])


def trained(runs: Sequence[RunResults]) -> list[Group]:
    """All runs by recipe.

    Raises:
        UserError: there are none.
    """
    if not runs:
        raise UserError("no run has an epoch yet; train one with python src/train.py --model resnet")
    return group_runs(runs)


def tested(runs: Sequence[RunResults]) -> list[Group]:
    """The runs whose best epoch was tested, by recipe.

    Raises:
        UserError: there are none.
    """
    trained(runs)
    if not (found := group_runs(runs, lambda run: "best" in run.tests)):
        raise UserError("no run has been tested yet; test them all with python src/test.py")
    return found


def most_accurate(groups: Sequence[Group]) -> Group:
    """The tested recipe with the highest mean test accuracy over its seeds; of equal ones the first."""
    return max(groups, key=lambda group: fmean(run.tests["best"]["test_acc"] for run in group.runs))
