"""What the files that the project reads must hold, as far as the code relies on it; more may stand in them."""

from typing import Annotated, Any, Literal

from annotated_types import Interval, Len
from pydantic import ConfigDict, with_config
from typing_extensions import TypedDict

from tinybench.recipe import Precision
from tinybench.validation import STRICT

Count = Annotated[int, Interval(ge=0)]
Color = Annotated[list[float], Len(3, 3)]


SHOWN = ConfigDict(strict=True)  # a training that diverged leaves NaN, which may be shown


@with_config(SHOWN)
class Config(TypedDict, total=False):
    model: str
    model_options: dict[str, int | float | bool | str]
    epochs: int
    image_size: int
    mixup_cutmix_alpha: float
    label_smoothing: float
    precision: str


@with_config(SHOWN)
class Environment(TypedDict, total=False):
    device: str
    device_name: str


@with_config(SHOWN)
class Dataset(TypedDict, total=False):
    name: str
    fingerprint: str
    classes: int
    train_images: int
    val_images: int
    test_images: int


@with_config(SHOWN)
class History(TypedDict, total=False):
    """history.json; those of other programs lack some of it."""

    train_loss: list[float]
    train_acc: list[float]
    val_loss: list[float]
    val_acc: list[float]
    val_top5_acc: list[float]
    val_macro_acc: list[float]
    ema_val_loss: list[float]
    ema_val_acc: list[float]
    lr: list[float]
    epoch_seconds: list[float]
    images_per_second: list[float]
    config: Config
    environment: Environment
    dataset: Dataset
    best_epoch: int
    parameters: float
    total_training_time_seconds: float
    peak_memory_mb: float


@with_config(SHOWN)
class TestResults(TypedDict, total=False):
    """test_results.json."""

    epoch: int
    test_acc: float
    test_macro_acc: float
    test_macro_f1: float
    test_top5_acc: float
    nll: float
    ece: float
    images_per_second: float
    dataset: Dataset


@with_config(SHOWN)
class Inference(TypedDict, total=False):
    latency_ms: float
    images_per_second: float


@with_config(SHOWN)
class Measurements(TypedDict, total=False):
    """measurements.json."""

    parameters: float
    flops: float
    inference: Inference


@with_config(STRICT)
class Plan(TypedDict, total=False):
    """A plan's TOML file, see sweep/plan.py."""

    name: str
    models: list[str]
    seeds: Annotated[int, Interval(ge=0)] | list[Annotated[int, Interval(ge=0, lt=2**63)]]
    overrides: dict[str, Any]
    overrides_for: dict[str, dict[str, Any]]
    validate_only: bool
    search_trials: Count
    search_space: list[str]


@with_config(STRICT)
class PackedSplit(TypedDict):
    count: Annotated[int, Interval(ge=1)]
    fingerprint: str


@with_config(STRICT)
class _DataSet(TypedDict, total=False):
    white: Annotated[float, Interval(ge=0)]
    left_out: list[str]


@with_config(STRICT)
class DataSet(_DataSet):
    """dataset.json of a packed data set."""

    name: str
    mean: Color
    std: Color
    splits: dict[str, PackedSplit]
    class_ids: list[str]
    class_names: list[str]


@with_config(STRICT)
class Numerics(TypedDict):
    """What precision auto remembers of a network."""

    precision: Precision
    channels_last: bool
    compile: bool


@with_config(STRICT)
class Trial(TypedDict):
    """A trial of a search.

    Attributes:
        state: diverged, or of Optuna: complete, pruned (stopped early or left out) or fail.
        start: it is the recipe that the search started from.
        val_acc: percent; of one that did not finish after its last epoch.
        epochs, seconds: of its training.
        values: drawn, by field.
    """

    number: Count
    state: Literal["complete", "pruned", "diverged", "fail"]
    start: bool
    val_acc: float | None
    epochs: Count
    seconds: float
    values: dict[str, int | float | bool | str]


@with_config(STRICT)
class Search(TypedDict):
    """search.json: its trials so far.

    Attributes:
        recipe: that it started from.
        space: range by field, see sweep/space.py.
        best: number of the best trial.
        importance: share of each field in what tells good trials from bad ones; empty while there are few.
    """

    name: str
    recipe: dict[str, Any]
    space: dict[str, str]
    pruner: str
    trials: list[Trial]
    best: int | None
    importance: dict[str, float]
