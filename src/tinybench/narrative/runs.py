"""Which runs a notebook is about, and what they lack."""

from collections.abc import Sequence

from tinybench.results.groups import averaged, trained
from tinybench.results.runs import RunResults, data_title
from tinybench.words import counted, listed, span


def chosen_runs(runs: Sequence[RunResults], all_runs: Sequence[RunResults]) -> list[str]:
    """What `runs`, chosen from `all_runs`, are: recipes, seeds, data; what they lack; and which were left aside.

    Raises:
        UserError: there are none.
    """
    groups = trained(runs)
    plan = groups[0].plan
    images = groups[0].runs[0].history["dataset"].get("train_images")
    of_plan = f"of the plan {plan}" if plan else "outside of plans"
    seeds = span([len(group.runs) for group in groups])
    sentences = [
        f"{counted(len(runs), 'run')} {of_plan}: {counted(len(groups), 'recipe')} "
        f"({listed(group.label for group in groups)}), {seeds} {'seed' if seeds == '1' else 'seeds'} each.",
        f"They learned {data_title(groups[0].runs[0].history)}{f', {images:,} training images' if images else ''}.",
    ]
    chosen = {run.name for run in runs}
    if others := [run.name for run in all_runs if run.name not in chosen]:
        sentences.append(f"Left aside, since they are of another plan or learned something else: {listed(others)}.")
    return sentences + lacking(runs)


def lacking(runs: Sequence[RunResults]) -> list[str]:
    """What is missing for a full comparison, and what makes it hard."""
    groups = trained(runs)
    found = []
    if short := [
        f"{run.name} ({run.epochs} of {run.planned_epochs} epochs)" for run in runs if run.epochs < run.planned_epochs
    ]:
        found.append(f"**Not finished:** {listed(short)}.")
    if untested := [run.name for run in runs if "best" not in run.tests]:
        found.append(f"**Not tested:** {listed(untested)}; python src/test.py tests them.")
    if single := [group.label for group in groups if len(group.runs) == 1]:
        who = "every recipe" if len(single) == len(groups) else listed(single)
        found.append(f"**One seed only:** {who}; what another seed would give is unknown.")
    if averages := [f"{group.label} ({which})" for group in groups if (which := averaged(group.runs)) != "plain"]:
        found.append(f"Best epochs whose weights are moving averages, which is what was tested: {listed(averages)}.")
    planned = [run.planned_epochs for run in runs]
    if len(set(planned)) > 1:
        found.append(f"The recipes have different numbers of epochs, {span(planned)}.")
    return found
