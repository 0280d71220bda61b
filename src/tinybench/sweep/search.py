"""A search for a better recipe: trials that an Optuna study proposes, each a run as any other.

The study remembers what was proposed and what came of it. Locks in a trial's folder say whether anybody works on it, so
that whoever carries the search out takes up what a killed process left and does nothing twice. Trials are judged by the
validation images alone.
"""

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import filelock
import optuna
from optuna.trial import FrozenTrial, Trial, TrialState
from sqlalchemy import URL
from sqlalchemy.exc import SQLAlchemyError

from tinybench.errors import UsageError, UserError, printable
from tinybench.recipe import Recipe
from tinybench.results.searches import SEARCH
from tinybench.runs import TRIALS, best_accuracy
from tinybench.runtime.files import write_json
from tinybench.runtime.seeds import Purpose, derive_seed
from tinybench.sweep.launchers import CALLED_OFF, POLL_SECONDS, Launcher
from tinybench.sweep.plan import Run
from tinybench.sweep.run_one import HELD, LOG, RunPaths
from tinybench.sweep.space import described, distributions, recipe_with, values_of
from tinybench.sweep.status import history_of
from tinybench.sweep.traces import LOCK, accuracies, is_locked
from tinybench.training.checkpoint import difference
from tinybench.training.saving import DIVERGED

Pruner = Literal["median", "hyperband", "none"]

FAILURES = 3  # in a row, after which what fails is not the trials' fault
FEWEST = 10  # trials that tell which fields matter
NOTHING: Mapping[str, Any] = {}  # the history of a trial that was not trained
LOCKED_SECONDS = 60  # that another process may write to the database
BEGUN = (TrialState.RUNNING, TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)
CLAIM = ".claim.lock"  # held by the process that has a trial carried out, from before its run begins


@dataclass(frozen=True, kw_only=True)
class Search:
    """What is searched, and for how long.

    Attributes:
        name: of the folder below results_dir, and of the study.
        recipe: to start from; its seed is that of every trial.
        space: the range of each field, see sweep/space.py.
        trials: how many, by all who carry the search out together.
        minutes: of training by all trials together, after which none is begun (0: no limit).
        pruner: which trials are stopped early: those below the median of the others after as many epochs, or as
            Hyperband says (Li et al. 2018, https://arxiv.org/abs/1603.06560).
        storage: address of the study's database; empty for a file in the folder.
    """

    name: str
    recipe: Recipe
    space: Mapping[str, str]
    trials: int
    minutes: float = 0.0
    pruner: Pruner = "median"
    storage: str = ""


def carry_out_search(
    search: Search, paths: RunPaths, launch: Launcher, say: Callable[[str], object] = print
) -> "SearchStudy":
    """Carry out the trials that are left, and wait for those that other processes are carrying out.

    Raises:
        UsageError: the space does not fit the recipe, or the folder holds another search.
        UserError: one trial after the other fails.
        Stopped: a signal came; the same search goes on later.
    """
    study = SearchStudy(search, paths, say)
    while True:
        for run, reason in launch(study.runs(), paths, study.watch):
            study.end(run, reason)
        if not study.is_open():
            return study
        time.sleep(POLL_SECONDS)  # others are at it


@dataclass
class _Claim:
    """A trial that this process has carried out.

    Attributes:
        lock: keeps others from it.
        reported: epochs that the study knows of.
    """

    trial: Trial
    lock: filelock.BaseFileLock
    reported: int


@dataclass
class SearchStudy:
    """The trials of a search, as one of those who carry it out sees them."""

    search: Search
    paths: RunPaths
    say: Callable[[str], object] = print
    _claims: dict[str, _Claim] = field(default_factory=dict)
    _failures: int = 0

    def __post_init__(self) -> None:
        """Open the study, or begin it.

        Raises:
            UsageError: as `carry_out_search`.
        """
        self.distributions = distributions(self.search.space, self.search.recipe)
        self.folder = self.paths.results_dir / self.search.name
        self.folder.mkdir(parents=True, exist_ok=True)
        self._lock = filelock.FileLock(self.folder / ".search.lock")
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        with self._lock:
            self.study = _open(self.search, self.folder)
            about = {"recipe": self.search.recipe.as_dict(), "space": dict(self.search.space)}
            if not (former := self.study.user_attrs):
                start = values_of(self.search.recipe, self.distributions)
                if start is not None and not self.study.trials:
                    self.study.enqueue_trial(start, user_attrs={"start": True})
                for name, value in about.items():
                    self.study.set_user_attr(name, value)
            elif former.get("space") != about["space"]:
                raise UsageError(
                    f"{self.folder} holds a search over {former.get('space')}; give this one another --name"
                )
            elif differs := difference(Recipe.from_dict(former["recipe"]), self.search.recipe):
                raise UsageError(f"{self.folder} holds a search with {differs}; give this one another --name")

    def is_open(self) -> bool:
        """Whether there are trials to begin, or some that have not ended."""
        return self._may_begin() or bool(self._trials(TrialState.RUNNING))

    def runs(self) -> Iterator[Run]:
        """The runs of trials that nobody carries out, and of new ones; it ends where there is none at the moment."""
        while claim := self._claim():
            try:
                run = self.run_of(claim.trial)
            except UsageError as error:
                self._tell(claim, TrialState.PRUNED, f"left out: {error}")
                continue
            if (known := self._value_of(run.recipe)) is not None:
                self._tell(claim, TrialState.COMPLETE, "the recipe of an earlier trial", known)
                continue
            self._claims[run.name] = claim
            yield run

    def watch(self, run: Run) -> bool:
        """Report the epochs that a run has done since; whether it is not worth going on with."""
        claim = self._claims[run.name]
        values = accuracies(history_of(self.paths.results_dir / run.name))
        for epoch in range(claim.reported + 1, min(len(values) + 1, run.recipe.epochs)):
            claim.trial.report(values[epoch - 1], epoch)
            claim.reported = epoch
            if claim.trial.should_prune():
                return True
        return False

    def end(self, run: Run, reason: str | None) -> None:
        """Tell the study what came of a run, see `launchers`.

        Raises:
            UserError: one trial after the other fails.
        """
        claim, folder = self._claims.pop(run.name), self.paths.results_dir / run.name
        history = history_of(folder)
        done, epochs = len(accuracies(history)), run.recipe.epochs
        best = best_accuracy(history)
        if reason == HELD:  # by none that carries the search out; it is taken up again
            claim.lock.release()
            return
        failures, self._failures = self._failures + 1, 0
        if reason is None and best is not None:
            self._tell(claim, TrialState.COMPLETE, "", best, history)
        elif reason == CALLED_OFF:
            self._tell(claim, TrialState.PRUNED, f"stopped after {done} of {epochs} epochs", None, history)
        elif reason and reason.startswith(DIVERGED):
            claim.trial.set_user_attr("diverged", True)
            self._tell(claim, TrialState.PRUNED, "diverged", None, history)
        else:
            self._failures = failures
            self._tell(claim, TrialState.FAIL, f"failed: {reason}", None, history)
        for path in folder.glob("*.pth"):  # dozens of networks, none of which is wanted
            path.unlink(missing_ok=True)
        if self._failures == FAILURES or not self._trials(TrialState.COMPLETE, TrialState.PRUNED):
            raise UserError(f"{run.name} failed: {reason}; {folder / LOG} says more; the same command goes on")

    def run_of(self, trial: Trial | FrozenTrial) -> Run:
        """The run of a trial.

        Raises:
            UsageError: its values do not fit each other.
        """
        recipe = self.search.recipe if _is_start(trial) else recipe_with(self.search.recipe, trial.params)
        name = f"{self.search.name}/{TRIALS}/{trial.number:03d}"
        return Run(name=name, recipe_name=self.search.recipe.model, recipe=recipe, save_every=0, validate_only=True)

    def record(self) -> dict[str, Any]:
        """What search.json holds, see formats.Search; it is written, too."""
        complete = self._trials(TrialState.COMPLETE)
        best = max(complete, key=lambda trial: trial.value or 0.0, default=None)
        importance: dict[str, float] = {}
        if len(complete) >= FEWEST:
            with contextlib.suppress(ValueError, RuntimeError):  # all are alike
                importance = optuna.importance.get_param_importances(self.study)
        record = {
            "name": self.search.name,
            "recipe": self.search.recipe.as_dict(),
            "space": dict(self.search.space),
            "pruner": self.search.pruner,
            "trials": [
                {
                    "number": trial.number,
                    "state": "diverged" if trial.user_attrs.get("diverged") else trial.state.name.lower(),
                    "start": _is_start(trial),
                    "val_acc": trial.value,
                    "epochs": trial.user_attrs.get("epochs", 0),
                    "seconds": trial.user_attrs.get("seconds", 0.0),
                    "values": trial.params,
                }
                for trial in self._trials(*BEGUN[1:])
            ],
            "best": best.number if best else None,
            "importance": importance,
        }
        write_json(self.folder / SEARCH, record)
        return record

    def best_recipe(self) -> Recipe:
        """The recipe of the best trial; the start where none was finished."""
        best = self.record()["best"]
        return self.search.recipe if best is None else self.run_of(self.study.trials[best]).recipe

    def _claim(self) -> _Claim | None:
        """A trial that nobody carries out, or a new one; None if there is none, or no more is to be begun."""
        with self._lock:
            running = self._trials(TrialState.RUNNING)
            left = next((trial for trial in running if not self._is_carried_out(trial.number)), None)
            if not left and not self._may_begin():
                return None
            # Of the trial's number, so that a search that was killed goes on as it would have.
            number = left.number if left else self._begun()
            seed = derive_seed(self.search.recipe.seed, Purpose.SEARCH, number) % 2**32
            self.study.sampler = optuna.samplers.TPESampler(seed=seed)
            trial = Trial(self.study, left._trial_id) if left else self.study.ask()
            for name, distribution in self.distributions.items():
                trial._suggest(name, distribution)  # what was drawn before a process was killed stays
            folder = self._folder(trial.number)
            folder.mkdir(parents=True, exist_ok=True)
            lock = filelock.FileLock(folder / CLAIM, timeout=0)
            lock.acquire()
            return _Claim(trial, lock, max(left.intermediate_values, default=0) if left else 0)

    def _is_carried_out(self, number: int) -> bool:
        return any(is_locked(self._folder(number) / name) for name in (CLAIM, LOCK))

    def _folder(self, number: int) -> Path:
        return self.folder / TRIALS / f"{number:03d}"

    def _may_begin(self) -> bool:
        if self._begun() >= self.search.trials:
            return False
        seconds = sum(trial.user_attrs.get("seconds", 0.0) for trial in self._trials(*BEGUN))
        return not self.search.minutes or seconds < 60 * self.search.minutes

    def _begun(self) -> int:
        return len(self._trials(*BEGUN))

    def _trials(self, *states: TrialState) -> list[FrozenTrial]:
        return self.study.get_trials(deepcopy=False, states=states)

    def _value_of(self, recipe: Recipe) -> float | None:
        """What an earlier trial of the same recipe came to."""
        return next((t.value for t in self._trials(TrialState.COMPLETE) if self.run_of(t).recipe == recipe), None)

    def _tell(
        self,
        claim: _Claim,
        state: TrialState,
        note: str,
        value: float | None = None,
        history: Mapping[str, Any] = NOTHING,
    ) -> None:
        trial = claim.trial
        trial.set_user_attr("epochs", len(accuracies(history)))
        trial.set_user_attr("seconds", sum(history.get("epoch_seconds", ())))
        told = self.study.tell(trial.number, value, state=state, skip_if_finished=True)
        claim.lock.release()
        accuracy = "" if told.value is None else f"{told.value:.2f} %"
        shown = "the start" if _is_start(trial) else described(trial.params)
        self.say(printable(f"trial {trial.number:>3}  {accuracy:>8}  {shown}{f'; {note}' if note else ''}"))
        self.record()


def _is_start(trial: Trial | FrozenTrial) -> bool:
    return bool(trial.user_attrs.get("start"))


def _open(search: Search, folder: Path) -> optuna.Study:
    database = URL.create("sqlite", database=str((folder / "study.db").resolve())).render_as_string()
    pruners: dict[Pruner, Callable[[], optuna.pruners.BasePruner]] = {
        # The first epoch says little.
        "median": lambda: optuna.pruners.MedianPruner(n_startup_trials=5, n_warmup_steps=2),
        "hyperband": lambda: optuna.pruners.HyperbandPruner(max_resource=search.recipe.epochs),
        "none": optuna.pruners.NopPruner,
    }
    try:
        options = {} if search.storage else {"connect_args": {"timeout": LOCKED_SECONDS}}
        return optuna.create_study(
            storage=optuna.storages.RDBStorage(search.storage or database, engine_kwargs=options),
            study_name=search.name,
            direction="maximize",
            load_if_exists=True,
            pruner=pruners[search.pruner](),
        )
    except (SQLAlchemyError, ImportError, optuna.exceptions.StorageInternalError, ValueError) as error:
        where = search.storage or folder / "study.db"
        reason = str(error).splitlines()[0]
        raise UsageError(printable(f"cannot open the study in {where}: {reason}")) from error
