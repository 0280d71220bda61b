"""Runs put together: those that may be compared, and the seeds of one recipe."""

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

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
            groups.append(Group(label, kept[0].history["config"]["model"], kept))
    return sorted(groups, key=lambda group: (ORDER.get(group.model, len(ORDER)), group.label))


def task_of(run: RunResults) -> tuple[Any, ...]:
    """What must be equal for two runs to be compared: images, classes, and size of the images in pixels."""
    data = run.history["dataset"]
    known = (data.get(name) for name in ("name", "fingerprint", "classes", "train_images"))
    return *known, run.history["config"].get("image_size")


def comparable_runs(runs: Sequence[RunResults], plan: str = "") -> list[RunResults]:
    """The runs of one plan on one task; without a plan's name, of the plan and task with the most recipes and runs.

    Runs that belong to no plan count as one more plan. The list is empty where there are no runs at all.

    Raises:
        UsageError: no such plan; the message lists those that are there.
    """
    if plan and plan not in (names := {run.plan for run in runs}):
        there = ", ".join(sorted(names - {""})) or "none"
        raise UsageError(f"no plan {plan!r} among the results; plans that are there: {there}")
    sets: dict[tuple[Any, ...], list[RunResults]] = defaultdict(list)
    for run in runs:
        if not plan or run.plan == plan:
            sets[run.plan, *task_of(run)].append(run)
    return max(sets.values(), key=lambda members: (len(group_runs(members)), len(members)), default=[])


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
