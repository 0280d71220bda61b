"""What the files that the project reads must hold, as far as the code relies on it; more may stand in them."""

from typing import Annotated, Any

from annotated_types import Interval, Len
from pydantic import with_config
from torch import Tensor
from typing_extensions import TypedDict

from tinybench.recipe import Precision
from tinybench.validation import STRICT

Count = Annotated[int, Interval(ge=0)]
Numbers = list[float]
Color = Annotated[list[float], Len(3, 3)]


@with_config(STRICT)
class History(TypedDict, total=False):
    """history.json; those of other programs lack some of it."""

    train_loss: Numbers
    train_acc: Numbers
    val_loss: Numbers
    val_acc: Numbers
    val_top5_acc: Numbers
    ema_val_loss: Numbers
    ema_val_acc: Numbers
    ema_val_top5_acc: Numbers
    lr: Numbers
    epoch_seconds: Numbers
    images_per_second: Numbers
    config: dict[str, Any]
    environment: dict[str, Any]
    dataset: dict[str, Any]
    parameters: Count
    best_epoch: Count
    total_training_time_seconds: float
    peak_memory_mb: float


@with_config(STRICT)
class Results(TypedDict, total=False):
    """test_results.json; of a class without test images the accuracy is None."""

    test_loss: float
    test_acc: float
    test_top5_acc: float
    nll: float
    ece: float
    tta_acc: float
    tta_top5_acc: float
    temperature: float
    nll_calibrated: float
    ece_calibrated: float
    weights: str
    epoch: Count
    dataset: dict[str, Any]
    environment: dict[str, Any]
    images_per_second: float
    class_names: list[str]
    per_class_accuracy: dict[str, float | None]
    confusion_matrix: list[list[Count]]


@with_config(STRICT)
class Measurements(TypedDict, total=False):
    """measurements.json."""

    parameters: Count
    flops: Count
    inference: dict[str, Any]


@with_config(STRICT)
class Plan(TypedDict, total=False):
    """A plan's TOML file, see comparison/plan.py."""

    name: str
    models: list[str]
    seeds: Annotated[int, Interval(ge=0)] | list[Annotated[int, Interval(ge=0, lt=2**63)]]
    overrides: dict[str, Any]
    overrides_for: dict[str, dict[str, Any]]


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
class TrainingState(TypedDict):
    optimizer: dict[str, Any]
    scaler: dict[str, Any]
    history: dict[str, Numbers]
    sums: Tensor
    step: Count
    seconds: float


@with_config(STRICT)
class _Checkpoint(TypedDict, total=False):
    test_fingerprint: str
    val_fingerprint: str
    white: Annotated[float, Interval(ge=0)]
    training: TrainingState
    ema_state_dict: dict[str, Tensor]


@with_config(STRICT)
class Checkpoint(_Checkpoint):
    """A checkpoint, see training/checkpoint.py."""

    model: str
    model_options: dict[str, Any]
    num_classes: Annotated[int, Interval(ge=1, le=1_000_000)]
    image_size: Annotated[int, Interval(ge=1, le=4096)]
    class_ids: list[str]
    class_names: list[str]
    mean: Color
    std: Color
    dataset: str
    fingerprint: str
    recipe: dict[str, Any]
    epoch: Count
    val_acc: float
    weights: str
    state_dict: dict[str, Tensor]
