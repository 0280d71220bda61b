"""What runs left in results/, read back.

Histories and test results of plain training scripts are read too: what they do not state is filled in, and said.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, ParamSpec, TextIO, TypeVar

import pandas as pd

from tinybench import formats
from tinybench.configuration import resolved_augmentation
from tinybench.errors import UsageError, UserError, command, notice
from tinybench.recipe import Recipe, check_run_name
from tinybench.results.colors import NETWORK_TITLES
from tinybench.runs import Weights, best_accuracy, best_epoch, best_is_averaged, find_files, is_trial
from tinybench.runtime.files import read_json
from tinybench.validation import validated
from tinybench.words import listed

# The lists, with a value an epoch, that every history.json holds.
CURVES = ("train_loss", "train_acc", "val_loss", "val_acc", "lr")
# What else ours hold; histories of plain training scripts may not, which is then said in these words.
ABOUT = {
    "config": "no recipe",
    "dataset": "no data set (it is compared with runs that state none either)",
    "best_epoch": "no best epoch (that of the highest validation accuracy is taken)",
}
UNSTATED = "data set not stated"
# Names that plain training scripts use for the same thing.
OTHER_NAMES = {"peak_training_memory_mb": "peak_memory_mb"}
# What the test results of each kind of weights have in their names; those of exported networks have the file's.
WEIGHTS = {"best": "", "last": "_last", "ema": "_ema"}
PUBLISHED = "published.csv"
PUBLISHED_COLUMNS = ("network", "top1", "top5", "epochs", "epoch_chosen_on", "pretraining", "set_up", "source")
PUBLISHED_TIME = ("hours", "hardware")  # columns that may be missing

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class RunResults:
    """The files of one run, read back.

    Attributes:
        name: of its folder below results_dir.
        plan, recipe: of a run of src/compare.py; a run of its own has no plan, and its name for a recipe.
        history: history.json, as `read_history` gives it.
        tests: test_results.json by the weights tested ("best", "last", "ema"); empty before testing.
        exported: the same of the networks that export.py made of the best weights, by the name of their file.
        measurements: measurements.json; empty unless src/compare.py finished the run.
    """

    name: str
    folder: Path
    plan: str
    recipe: str
    history: dict[str, Any]
    tests: dict[str, dict[str, Any]]
    measurements: dict[str, Any]
    exported: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def model(self) -> str:
        """The network's name; of a run that does not state it, the last part of its own."""
        return self.history["config"].get("model") or self.recipe.rpartition("/")[2]

    @property
    def network(self) -> str:
        """What people call the network, with the options that make it another one; empty where it is not stated."""
        config = self.history["config"]
        options = "".join(f" {name} {value}" for name, value in config.get("model_options", {}).items())
        name = config.get("model", "")
        return f"{name}{options}" if options else NETWORK_TITLES.get(name, name)

    @property
    def epochs(self) -> int:
        """How many are done."""
        return len(self.history["train_loss"])

    @property
    def planned_epochs(self) -> int:
        return self.history["config"].get("epochs", self.epochs)

    @property
    def averaged(self) -> bool:
        """Whether the best epoch's weights are the moving average, which best_model.pth then holds."""
        return best_is_averaged(self.history)

    @property
    def val_acc(self) -> float:
        """Validation accuracy in percent at the best epoch, of the weights that are `averaged` or not."""
        accuracy = best_accuracy(self.history)
        assert accuracy is not None, "a history that was read has an epoch"
        return accuracy

    @cached_property
    def training(self) -> str:
        """What was trained and how it went: the same in all plans that one training stands in."""
        recipe = stated_recipe(self.history)
        config = recipe.as_dict() if recipe else self.history["config"]
        return json.dumps([config, *(self.history[name] for name in CURVES)], sort_keys=True)


def load_runs(results_dir: Path, plan: str = "") -> list[RunResults]:
    """Every run with at least one epoch below `results_dir`, or below that plan's folder, in the order of their names;
    no trials of a search.

    A damaged file counts as missing, and is noticed.
    """
    runs = []
    for path in sorted(find_files(results_dir / plan, "history.json")):
        folder = path.parent
        if is_trial(folder):
            continue
        name = folder.relative_to(results_dir).as_posix()
        if (history := attempt(read_history, results_dir, name)) is None:
            continue
        read = {weights: attempt(_read_test, folder, suffix, history) for weights, suffix in WEIGHTS.items()}
        tests = {weights: test for weights, test in read.items() if test}
        if "best" in tests and (same := same_as_best(history)):
            tests.setdefault(same, tests["best"])
        files = sorted(folder.glob("*.onnx"))
        exported = {file.name: attempt(_read_test, folder, f"_{file.stem}", history) for file in files}
        parts = name.split("/")
        in_plan = len(parts) == 3 and parts[2].startswith("seed")
        runs.append(
            RunResults(
                name=name,
                folder=folder,
                plan=parts[0] if in_plan else "",
                recipe=parts[1] if in_plan else name,
                history=history,
                tests=tests,
                measurements=attempt(_read_numbers, folder / "measurements.json", formats.Measurements, "flops") or {},
                exported={name: test for name, test in exported.items() if test},
            )
        )
    return runs


def attempt(read: Callable[P, T], *source: P.args, **options: P.kwargs) -> T | None:
    """What `read` makes of a file; None where the file is damaged, which is noticed."""
    try:
        return read(*source, **options)
    except UserError as error:
        notice(f"left out: {error}")
        return None


def _read_test(folder: Path, suffix: str, history: dict[str, Any]) -> dict[str, Any]:
    """The test results of a run's weights, whose kind the suffix tells; empty if they were not tested.

    Raises:
        UserError: the file is damaged, or the run has been trained on since.
    """
    path = folder / f"test_results{suffix}.json"
    test = _read_numbers(path, formats.TestResults, "test_acc")
    now = len(history["train_loss"]) if suffix in (WEIGHTS["last"], WEIGHTS["ema"]) else history["best_epoch"]
    if test.get("epoch", now) != now:
        raise UserError(f"{path} is of epoch {test['epoch']}, these weights are of {now} by now; test them again")
    return test


def _read_numbers(path: Path, kind: Any, needed: str) -> dict[str, Any]:
    """The object of that kind in a file, which must hold the number `needed`; empty without the file."""
    if not path.exists():
        return {}
    content = read_json(path, kind)
    if needed not in content:
        raise UserError(f"{path} is damaged: it holds no {needed}")
    return content


def read_history(results_dir: Path, run: str) -> dict[str, Any]:
    """history.json of a run. What a plain training script does not state is filled in, and noticed.

    Raises:
        UsageError: the run's name leads out of `results_dir`.
        UserError: there is none, it holds no epoch yet, or it is damaged.
    """
    check_run_name(run, "run")
    path = results_dir / run / "history.json"
    if not path.exists():
        raise UserError(f"{path} does not exist; train that run first: {command('src/train.py', '--model', run)}")
    content = read_json(path)
    if not isinstance(content, dict) or not content.get("train_loss"):
        raise UserError(f"{path} holds no epoch")
    if missing := [name for name in CURVES if name not in content]:
        raise UserError(f"{path} is damaged: it lacks {', '.join(missing)}; train that run again")
    history: dict[str, Any] = {OTHER_NAMES.get(str(name), str(name)): value for name, value in content.items()}
    validated(formats.History, history, f"{path} is damaged")
    epochs = len(history["train_loss"])
    lists = [*CURVES, *(name for name in ("ema_val_loss", "ema_val_acc") if name in history)]
    best = history.setdefault("best_epoch", best_epoch(history))
    if any(len(history[name]) != epochs for name in lists) or not 1 <= best <= epochs:
        raise UserError(f"{path} is damaged: its lists or best_epoch do not fit each other; train that run again")
    for name in ("config", "dataset"):
        history.setdefault(name, {})
    if unstated := [words for name, words in ABOUT.items() if name not in content]:
        notice(f"{path} states {listed(unstated)}")
    return history


def same_as_best(history: dict[str, Any]) -> Weights | None:
    """Which other weights the best ones are: where the best epoch is the last, the last ones or their average."""
    if history["best_epoch"] < len(history["train_loss"]):
        return None
    return "ema" if best_is_averaged(history) else "last"


def data_title(history: dict[str, Any]) -> str:
    """What a run learned, such as "tiny-imagenet, 200 classes"."""
    data = history["dataset"]
    name = data.get("name", UNSTATED)
    return f"{name}, {data['classes']} classes" if "classes" in data else name


def stated_recipe(history: dict[str, Any]) -> Recipe | None:
    """The recipe as this version states it; None where there is none, or one that this version has not."""
    try:
        recipe = Recipe.from_dict(history["config"])
    except UsageError:
        return None
    return replace(recipe, augment=resolved_augmentation(recipe.augment))


def image_sizes(history: dict[str, Any]) -> list[int]:
    """Side in pixels of the images that each epoch trained on, if they grew; else nothing."""
    if (recipe := stated_recipe(history)) is None:
        return []
    last = recipe.schedule_epochs - 1
    sizes = [recipe.image_size_in(min(epoch, last)) for epoch in range(len(history["train_loss"]))]
    return sizes if len(set(sizes)) > 1 else []


def epochs_table(history: dict[str, Any]) -> pd.DataFrame:
    """A row an epoch, counted from 1; a column for each list of the history."""
    count = len(history["train_loss"])
    columns = {name: values for name, values in history.items() if isinstance(values, list) and len(values) == count}
    return pd.DataFrame(columns, index=pd.RangeIndex(1, count + 1, name="epoch"))


def read_table(path: Path | TextIO) -> pd.DataFrame:
    """A CSV with a header, each cell as the text that stands there; empty without the file.

    Raises:
        UserError: the file is damaged.
    """
    try:
        return pd.read_csv(path, dtype=str, keep_default_na=False).fillna("")
    except (FileNotFoundError, pd.errors.EmptyDataError):
        return pd.DataFrame()
    except (OSError, ValueError) as error:
        raise UserError(f"{path} is damaged: {error}") from error


def read_published(results_dir: Path) -> pd.DataFrame:
    """published.csv: accuracies on Tiny ImageNet (percent) that others reported, with set-up and source.

    Hours and hardware are empty where nobody states them. Without that file the table is empty.

    Raises:
        UserError: the file is damaged.
    """
    path = results_dir / PUBLISHED
    table = read_table(path) if path.exists() else pd.DataFrame(columns=list(PUBLISHED_COLUMNS))
    if missing := [name for name in PUBLISHED_COLUMNS if name not in table]:
        raise UserError(f"{path} is damaged: it lacks {', '.join(missing)}")
    table = table.reindex(columns=[*table, *(name for name in PUBLISHED_TIME if name not in table)])
    try:
        return table.assign(**{name: pd.to_numeric(table[name]) for name in ("top1", "top5", "epochs", "hours")})
    except ValueError as error:
        raise UserError(f"{path} is damaged: {error}") from error
