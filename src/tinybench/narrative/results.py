"""What the comparison's numbers say."""

from collections.abc import Sequence
from statistics import fmean

import numpy as np
import pandas as pd

from tinybench.errors import UserError
from tinybench.results.answers import correct_by_recipe, predictions_by_recipe
from tinybench.results.comparison import known_mean
from tinybench.results.costs import COSTS, cost_table, devices, pareto_front
from tinybench.results.groups import averaged, tested
from tinybench.results.predictions import ensemble, scores, topk_accuracy
from tinybench.results.published import HONEST, same_task, with_kinds
from tinybench.results.robustness import mean_corruption_errors, robustness_table
from tinybench.results.runs import RunResults, data_title
from tinybench.stats.significance import pairwise_comparisons
from tinybench.words import counted, listed, with_values


def leaderboard(runs: Sequence[RunResults]) -> pd.DataFrame:
    """Test accuracy and costs of every tested recipe, the most accurate first.

    Raises:
        UserError: no run was tested.
    """
    groups = {group.label: group for group in tested(runs)}
    table = cost_table(runs)
    table.insert(0, "seeds", [len(groups[label].runs) for label in table.index])
    for key, name in (("test_top5_acc", "top-5 (%)"), ("ece", "ECE (%)"), ("nll", "NLL (nats)")):
        table[name] = [known_mean(run.tests["best"].get(key) for run in groups[label].runs) for label in table.index]
    table["weights"] = [averaged(groups[label].runs) for label in table.index]
    table["ECE (%)"] *= 100
    labels = {cost.name: cost.label for cost in COSTS}
    table["95 % interval"] = [
        f"{row.low:.2f} to {row.high:.2f}" if row.seeds > 1 else "none from one seed" for row in table.itertuples()
    ]
    order = ["seeds", "weights", "accuracy", "95 % interval", "top-5 (%)", "NLL (nats)", "ECE (%)", *labels]
    names = {"accuracy": "top-1 (%)", **labels}
    return table.sort_values("accuracy", ascending=False)[order].rename(columns=names).rename_axis("recipe").round(2)


def ranking(runs: Sequence[RunResults]) -> list[str]:
    """Who is most accurate, and which differences are real.

    Raises:
        UserError: there are no two tested recipes with predictions, or they are of different images.
    """
    correct = correct_by_recipe(runs)
    pairs = pairwise_comparisons(correct)
    first, real = pairs.iloc[0], int(pairs["significant"].sum())
    sentences = [
        f"Most accurate is {first.model_a} with {first.accuracy_a:.2f} %. Its lead over {first.model_b}, "
        f"{first.difference:.2f} points (95 % interval {first.low:.2f} to {first.high:.2f}), "
        f"{'is real' if first.significant else 'may be chance'} (p = {first.p_holm:.2g} after Holm's correction).",
        f"Of {counted(len(pairs), 'difference')} between two recipes, {real} {'is' if real == 1 else 'are'} real "
        "(p < 0.05 after the correction).",
    ]
    if alike := [f"{row.model_a} from {row.model_b}" for row in pairs.itertuples() if not row.significant]:
        sentences.append(f"Not told apart: {listed(alike)}.")
    if single := [label for label, runs_of_it in correct.items() if len(runs_of_it) == 1]:
        sentences.append(
            f"One seed only: {listed(single)}. What is said holds for these very networks, not for other seeds."
        )
    return sentences


def calibration(runs: Sequence[RunResults]) -> list[str]:
    """Whether confidence fits accuracy: the calibration error, and in which direction it errs.

    Raises:
        UserError: no run has predictions.
    """
    error, excess = {}, {}
    for label, members in predictions_by_recipe(runs).items():
        error[label] = fmean(scores(member)["ece"] for member in members)
        confidence = fmean(float(np.exp(member.log_probabilities.max(1)).mean()) for member in members)
        excess[label] = 100 * (confidence - fmean(float(member.correct.mean()) for member in members))
    error = dict(sorted(error.items(), key=lambda item: item[1]))
    return [
        f"Expected calibration error, mean over seeds (0: confidence fits accuracy): {with_values(error, '{:.3f}')}.",
        f"Mean confidence less accuracy, in points (above 0: overconfident): {with_values(excess, '{:+.1f}')}.",
    ]


def ensembles(runs: Sequence[RunResults]) -> list[str]:
    """What averaging probabilities gains: over the seeds of each recipe, and over the first runs of all recipes.

    Raises:
        UserError: no run has predictions, they are of different images, or there are no two.
    """
    by_recipe = predictions_by_recipe(runs)
    if sum(len(members) for members in by_recipe.values()) < 2:
        raise UserError("an ensemble needs two tested runs; train and test another one")
    sentences = []
    for label, members in by_recipe.items():
        if len(members) > 1:
            alone = fmean(topk_accuracy(member, 1) for member in members)
            together = topk_accuracy(ensemble(members), 1)
            gain = f"{together - alone:+.1f} points from their mean"
            sentences.append(f"{label}: its {len(members)} seeds together {together:.1f} %, {gain}.")
    if len(by_recipe) > 1:
        first = [members[0] for members in by_recipe.values()]
        best = max(topk_accuracy(member, 1) for member in first)
        together = topk_accuracy(ensemble(first), 1)
        gain = f"{together - best:+.1f} points from the best of them"
        sentences.append(f"One run of each of the {len(first)} recipes together {together:.1f} %, {gain}.")
    return sentences


def costs(runs: Sequence[RunResults]) -> list[str]:
    """Who is on the Pareto front of each cost, and who on none.

    Raises:
        UserError: no run was tested.
    """
    table = cost_table(runs)
    if len(table) == 1:
        return [f"With {table.index[0]} alone there is nothing to weigh."]
    fronts = {
        cost.less: pareto_front(table[cost.name], table["accuracy"]) for cost in COSTS if table[cost.name].notna().any()
    }
    sentences = [f"More accurate than all with {less}: {listed(front)}." for less, front in fronts.items()]
    beaten = [label for label in table.index if not any(label in front for front in fronts.values())]
    if beaten:
        sentences.append(f"On no front, whatever the cost that counts: {listed(beaten)}.")
    if len(machines := devices(runs)) > 1:
        sentences.append(f"Trained on different devices ({listed(machines)}): times and memory do not compare.")
    return sentences


def robustness(runs: Sequence[RunResults]) -> list[str]:
    """Which recipe keeps most of its accuracy on corrupted images, and which family costs most.

    Raises:
        UserError: no run was tested on corruptions.
    """
    table = robustness_table(runs)
    table = table[table["kind"] == "corruptions"]
    clean = table[table["strength"] == 0].groupby("label", sort=False)["accuracy"].mean()
    rough = table[table["strength"] > 0]
    if rough.empty:
        raise UserError("no corruption was measured; measure them with python src/test.py --robustness")
    kept = 100 * rough.groupby("label", sort=False)["accuracy"].mean() / clean
    families = rough.groupby("family", sort=False)["accuracy"].mean()
    order = kept.sort_values(ascending=False)
    return [
        "Share of its clean accuracy that each keeps, mean over families and severities: "
        f"{with_values({str(x): y for x, y in order.items()}, '{:.0f} %')}.",
        f"Of the families, {families.idxmin()} costs most (accuracy falls to {families.min():.1f} %), "
        f"{families.idxmax()} least ({families.max():.1f} %); means over recipes and severities.",
    ]


def corruption_errors(runs: Sequence[RunResults]) -> list[str]:
    """Errors on corrupted images beside those of AlexNet.

    Raises:
        UserError: as `mean_corruption_errors`.
    """
    errors = dict(sorted(mean_corruption_errors(runs).items(), key=lambda item: item[1]))
    return [f"Mean corruption error (AlexNet's errors are 100 %, less is better): {with_values(errors, '{:.1f} %')}."]


def published_table(runs: Sequence[RunResults], table: pd.DataFrame) -> pd.DataFrame:
    """What others published, with set-up and source; the same whatever the runs are.

    Raises:
        UserError: nothing was published.
    """
    table = with_kinds(table).set_index("network")
    numbers = {
        name: table[name].map("{:g}".format, na_action="ignore").fillna("") for name in ("top1", "top5", "epochs")
    }
    return table.assign(**numbers)[[*numbers, "kind", "set_up", "source"]]


def published(runs: Sequence[RunResults], table: pd.DataFrame) -> list[str]:
    """How far the accuracies measured here are from the best that others published, where the task is the same.

    Raises:
        UserError: no run was tested, or nothing was published.
    """
    groups, table = tested(runs), with_kinds(table)
    if not (here := same_task(runs)):
        return [
            "The published accuracies are of all 200 classes of Tiny ImageNet. These runs learned "
            f"{data_title(groups[0].runs[0].history)}, so the two do not compare."
        ]
    best = table[table["kind"] == HONEST].groupby("network")["top1"].max()
    sentences = ["Against the best published without pretraining and without choosing the epoch on the test images:"]
    for group in here:
        mean = fmean(run.tests["best"]["test_acc"] for run in group.runs)
        there = (
            f"{best[group.model]:.2f} % there, {mean - best[group.model]:+.2f} points"
            if group.model in best
            else "nothing comparable there"
        )
        sentences.append(f"{group.label}: {mean:.2f} % here, {there}.")
    return sentences
