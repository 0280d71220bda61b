"""What a search tried: its trials one after the other, the fields that it chose, and what more trials were worth."""

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tinybench.errors import UserError
from tinybench.figures.style import (
    PALETTE,
    legend_of_models,
    letters,
    log_scale,
    new_figure,
    panels,
    points,
    styles,
    task_title,
    whole_numbers,
    wrapped,
)
from tinybench.results.groups import trained
from tinybench.results.runs import RunResults
from tinybench.results.searches import best_so_far, saved_epochs, search_of
from tinybench.words import shortened

# How each kind of trial is drawn, by its state, and what it is called.
FINISHED = {"marker": "o", "color": PALETTE[0], "linestyle": "none"}
STOPPED = {"marker": "o", "color": PALETTE[0], "linestyle": "none", "markerfacecolor": "none"}
START = {"marker": "D", "color": PALETTE[1], "linestyle": "none"}
BEST = {"marker": "*", "color": "black", "linestyle": "none"}
WIDE = 10  # times its lowest value, above which a field has a logarithmic axis
VALIDATION = "validation accuracy (%)"


def search_trials(search: dict[str, Any]) -> Figure:
    """Validation accuracy of each trial of a search, and the best so far.

    Trials that were stopped early stand at the accuracy of their last epoch.
    """
    figure, ax = new_figure(8, 4.3)
    numbers = [trial["number"] for trial in search["trials"]]
    ax.step(numbers, best_so_far(search), where="post", color="0.4", linewidth=points(1.5), label="best so far")
    _trials(ax, search, lambda trial: trial["number"])
    ax.set_xlabel("trial")
    ax.set_ylabel(VALIDATION)
    whole_numbers(ax)
    ax.set_title(wrapped(figure, _title(search)))
    epochs, _ = saved_epochs(search)
    legend_of_models(figure, ax, f"stopping trials early saved {epochs} epochs" if epochs else "")
    return figure


def search_fields(search: dict[str, Any]) -> Figure:
    """Validation accuracy against each field that a search chose, the most important first."""
    shares: dict[str, float] = search["importance"]
    fields = sorted(search["space"], key=lambda field: -shares.get(field, 0.0))
    figure, axes = panels(len(fields), 3, 3.6, 3.2, beside=3, sharey=True)
    for field, ax in zip(fields, axes, strict=True):
        seen = [trial["values"][field] for trial in search["trials"] if field in trial["values"]]
        if any(isinstance(value, str | bool) for value in seen):
            words = sorted({str(value) for value in seen})
            _trials(ax, search, lambda trial, field=field, words=words: words.index(str(trial["values"][field])), field)
            ax.set_xticks(range(len(words)), shortened(words, letters(3.2, 9)), rotation=30, ha="right")
            ax.set_xlim(-0.5, len(words) - 0.5)
        else:
            _trials(ax, search, lambda trial, field=field: trial["values"][field], field)
            if min(seen) > 0 and max(seen) > WIDE * min(seen):
                log_scale(ax.xaxis)
                ax.tick_params(axis="x", labelrotation=30)
        ax.set_xlabel(f"{field} ({shares[field]:.0%})" if field in shares else field)
        if (place := ax.get_subplotspec()) and place.is_first_col():
            ax.set_ylabel(VALIDATION)
    figure.suptitle(wrapped(figure, _title(search)))
    why = "in parentheses: share of the field in what tells good trials from bad ones (PED-ANOVA)"
    legend_of_models(figure, axes[0], why if shares else "")
    return figure


def accuracy_by_trials(runs: Sequence[RunResults]) -> Figure:
    """The best validation accuracy after so many trials of each recipe's search.

    Raises:
        UserError: no recipe of the runs was searched for.
    """
    groups = trained(runs)
    searches = {group.label: search for group in groups if (search := search_of(group.runs[0]))}
    if not searches:
        raise UserError("no recipe was searched for; src/compare.py does with --search_trials")
    figure, ax = new_figure(9, 4.3)
    for label, search in searches.items():
        best = best_so_far(search)
        look = styles(runs)[label].of_line(len(best))
        ax.step(range(1, len(best) + 1), best, where="post", label=label, **look)
    ax.set_xlabel("trials")
    ax.set_ylabel(f"best {VALIDATION}")
    whole_numbers(ax)
    figure.suptitle(wrapped(figure, task_title(groups[0])))
    legend_of_models(figure, ax)
    return figure


def _trials(ax: Axes, search: dict[str, Any], place: Any, field: str = "") -> None:
    """A mark for each trial of a known accuracy that has the field."""
    found = [
        trial for trial in search["trials"] if trial["val_acc"] is not None and (not field or field in trial["values"])
    ]
    kinds = {
        "finished": ([trial for trial in found if trial["state"] == "complete"], FINISHED, 6),
        "stopped early": ([trial for trial in found if trial["state"] == "pruned"], STOPPED, 6),
        "the start": ([trial for trial in found if trial["start"]], START, 8),
        "best": ([trial for trial in found if trial["number"] == search["best"]], BEST, 14),
    }
    for label, (trials, look, size) in kinds.items():
        if trials:
            accuracies = [trial["val_acc"] for trial in trials]
            ax.plot([place(trial) for trial in trials], accuracies, label=label, markersize=points(size), **look)


def _title(search: dict[str, Any]) -> str:
    return f"{search['name']}: {len(search['trials'])} trials of {search['recipe']['model']}"
