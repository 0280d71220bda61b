"""Runs put together: those that may be compared, and the seeds of one recipe."""

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import NamedTuple

from tinybench.errors import UsageError, UserError, command, notice
from tinybench.results.colors import MODEL_COLORS
from tinybench.results.runs import UNSTATED, RunResults
from tinybench.words import listed

ORDER = {name: position for position, name in enumerate(MODEL_COLORS)}


@dataclass(frozen=True)
class SeedGroup:
    """The runs of one recipe, which differ in their seeds alone.

    Attributes:
        plan, recipe, model: of all its runs, see `RunResults`.
        label: plan, recipe and network, such as "twohours/resnet, ResNet-18"; the same in every figure and table.
    """

    runs: tuple[RunResults, ...]

    @property
    def plan(self) -> str:
        return self.runs[0].plan

    @property
    def recipe(self) -> str:
        return self.runs[0].recipe

    @property
    def model(self) -> str:
        return self.runs[0].model

    @property
    def label(self) -> str:
        return recipe_label(self.plan, self.recipe, self.runs[0].network)


def recipe_label(plan: str, recipe: str, network: str) -> str:
    """How a recipe is called wherever it stands."""
    return ", ".join(filter(None, (f"{plan}/{recipe}" if plan else recipe, network)))


def group_runs(runs: Sequence[RunResults], keep: Callable[[RunResults], bool] = lambda run: True) -> list[SeedGroup]:
    """The runs to keep by recipe; the six networks in the order of their age, added ones after them.

    A training that stands in two plans is one, see `distinct`.
    """
    recipes: dict[tuple[str, str], list[RunResults]] = defaultdict(list)
    for run in distinct(runs):
        if keep(run):
            recipes[run.plan, run.recipe].append(run)
    groups = [SeedGroup(tuple(members)) for members in recipes.values()]
    return sorted(groups, key=lambda group: (ORDER.get(group.model, len(ORDER)), group.label))


def distinct(runs: Sequence[RunResults]) -> list[RunResults]:
    """The runs without those that are the training of another plan too: with the same recipe and the same history.

    It stays where its recipe has the most runs, then where it has the most results; what is left out is noticed.
    """
    seeds = Counter((run.plan, run.recipe) for run in runs)
    first: dict[str, RunResults] = {}
    twice = {}
    for run in sorted(runs, key=lambda run: (-seeds[run.plan, run.recipe], -len(run.tests), -len(run.measurements))):
        if first.setdefault(run.training, run).plan != run.plan:
            twice[run.name] = f"{run.name} (is {first[run.training].name})"
    if twice:
        notice(f"shown once, since it is one training with one history: {listed(twice.values())}")
    return [run for run in runs if run.name not in twice]


def averaged(runs: Sequence[RunResults]) -> str:
    """Which weights the best epochs of some runs are: "plain", "averaged", or "averaged in 1 of 3"."""
    count = sum(run.averaged for run in runs)
    return {0: "plain", len(runs): "averaged"}.get(count, f"averaged in {count} of {len(runs)}")


class Protocol(NamedTuple):
    """What must be equal for two runs to be compared: the images and the classes.

    How long a recipe trains and at what size it sees the images are choices of its own, and their costs are stated.

    Attributes:
        dataset, fingerprint: which images.
        classes, train_images, val_images: how many.
    """

    dataset: str
    fingerprint: str
    classes: int | None
    train_images: int | None
    val_images: int | None


def by_protocol(runs: Sequence[RunResults]) -> dict[Protocol, list[RunResults]]:
    """The runs that may be compared with each other, together."""
    found: dict[Protocol, list[RunResults]] = defaultdict(list)
    for run in runs:
        data = run.history["dataset"]
        protocol = Protocol(
            data.get("name", UNSTATED),
            data.get("fingerprint", ""),
            data.get("classes"),
            data.get("train_images"),
            data.get("val_images"),
        )
        found[protocol].append(run)
    return found


def comparable_runs(runs: Sequence[RunResults], plan: str = "") -> list[RunResults]:
    """The runs of one plan that share a protocol; without a plan's name, of the plan with the most recipes and runs.

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
        for members in by_protocol([run for run in runs if run.plan == name]).values()
    )
    return max(sets, key=lambda members: (len(group_runs(members)), len(members)), default=[])


def trained(runs: Sequence[RunResults]) -> list[SeedGroup]:
    """All runs by recipe.

    Raises:
        UserError: there are none.
    """
    if not runs:
        raise UserError(f"no run has an epoch yet; train one with {command('src/train.py', '--model', 'resnet')}")
    return group_runs(runs)


def tested(runs: Sequence[RunResults]) -> list[SeedGroup]:
    """The runs whose best epoch was tested, by recipe.

    Raises:
        UserError: there are none.
    """
    trained(runs)
    if not (found := group_runs(runs, lambda run: "best" in run.tests)):
        raise UserError(f"no run has been tested yet; test them all with {command('src/test.py')}")
    return found


def most_accurate(groups: Sequence[SeedGroup]) -> SeedGroup:
    """The tested recipe with the highest mean test accuracy over its seeds; of equal ones the first."""
    return max(groups, key=lambda group: fmean(run.tests["best"]["test_acc"] for run in group.runs))
