"""Recipe: all that fixes the result of a run. RunOptions: where and how it runs."""

import dataclasses
import functools
import itertools
import math
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, Self

from annotated_types import Interval

from tinybench.errors import UsageError, command
from tinybench.validation import validated

Device = Literal["auto", "cpu", "mps", "cuda"]
Precision = Literal["fp32", "bf16", "fp16"]
TrackerName = Literal["tensorboard", "wandb", "mlflow", "trackio"]

# Bounds of the fields below; beyond them a number is a slip of the pen, or has no meaning.
Count = Annotated[int, Interval(ge=1, le=1_000_000)]
CountOrNone = Annotated[int, Interval(ge=0, le=1_000_000_000)]  # 0: none, or all
Side = Annotated[int, Interval(ge=1, le=2048)]  # pixels
Share = Annotated[float, Interval(ge=0, lt=1)]
Probability = Annotated[float, Interval(gt=0, le=1)]
Positive = Annotated[float, Interval(gt=0, le=1e6)]
NotNegative = Annotated[float, Interval(ge=0, le=1e6)]

# Data sets with a name; all others are folders.
DATASETS = ("tiny-imagenet", "demo", "mnist", "fashion-mnist", "cifar10", "cifar100", "svhn", "stl10")
# As pretrained: no files, but weights of the library's, or those in a package.
IMAGENET, PACKAGE = "imagenet", "package:"
ADAMS = ("adam", "adamw", "muon")  # the optimizers with betas
NUMERICS = ("precision", "channels_last", "compile")  # the fields that precision auto decides


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """All that fixes the result of a run. Same recipe, same data, same device: the same weights, bit for bit (on
    CUDA if it is deterministic)."""

    # ---- network
    model: str = "resnet"
    """Name of the network, or timm/NAME or torchvision/NAME; a wrong name lists the known ones."""
    dropout: Share = 0.0
    """Dropout probability before the classifier (AlexNet: in its dense layers; ViT: after the embedding and each
    branch)."""
    drop_path: Share = 0.0
    """Stochastic depth: probability of skipping the last residual block, rising linearly from 0 at the first (ResNet,
    EfficientNet, ViT, Swin, ConvNeXt)."""
    model_options: dict[str, int | float | bool | str] = field(default_factory=dict)
    """Further options of the network's constructor, such as `patch_size 16` for the ViT."""

    # ---- initial weights
    pretrained: str = ""
    """Weights to start from: imagenet (torchvision's; for timm/NAME, timm's), the path of a checkpoint or state dict,
    or package:NAME, an installed package that carries one (none: random)."""
    freeze: str = ""
    """Layers that are not trained: all_but_head, or a part of the network (such as stage2) and all before it."""
    body_lr_factor: Positive = 1.0
    """Learning rate of all layers but the head, as a multiple of lr."""

    # ---- data
    dataset: str = "tiny-imagenet"
    """tiny-imagenet, demo, mnist, fashion-mnist, cifar10, cifar100, svhn, stl10, or a folder of class folders."""
    classes: CountOrNone = 0
    """Use only the first so many classes, in sorted order (0: all)."""
    images_per_class: CountOrNone = 0
    """Use only so many images of each class, before the validation images are split off (0: all)."""
    image_size: Side = 64
    """Side of the images that enter the network, in pixels."""
    val_fraction: Annotated[float, Interval(gt=0, lt=1)] = 0.2
    """Fraction of each class's training images that is held out for validation."""
    normalize: Literal["data", "imagenet", "inception"] = "data"
    """Channel means and standard deviations to normalise with: those of the training images, ImageNet's, or
    Inception's, which are all 0.5."""
    skip_damaged: bool = False
    """Leave out the images of a folder that cannot be read, instead of naming them and stopping."""
    sampling: Literal["shuffle", "balanced"] = "shuffle"
    """What an epoch sees: every image once, or every class equally often, the images of rare ones several times."""
    stream: bool = False
    """Read the images from their file, shuffled in windows of 96 MiB, where they do not fit into memory."""

    # ---- augmentation
    augment: str = "standard"
    """How training images are varied: a name of AUGMENTATIONS in config.py, or operations such as
    'shift(4)|flip|rotate(10)'."""
    repeats: Count = 1
    """Repeated augmentation: copies of each image in a batch, varied differently; an epoch then sees only a share of
    the images."""
    image_size_schedule: str = ""
    """Progressive resizing: sides of the training images over equal spans of the epochs, such as 32:48:64, or over
    spans of unequal weight, such as 32*6:48*2:64*2. The last may be less than image_size, on which it is validated."""
    mixup_cutmix_alpha: NotNegative = 0.0
    """MixUp and CutMix: parameter of the Beta distribution of the mixing weights (0: none)."""
    mix_probability: Probability = 0.5
    """Probability that a batch is mixed."""
    cutmix_share: Annotated[float, Interval(ge=0, le=1)] = 0.5
    """Probability that a mixed batch is mixed by CutMix, not by MixUp."""
    mix_off_epochs: CountOrNone = 0
    """Do not mix in the last so many epochs."""

    # ---- optimisation
    loss: Literal["cross_entropy", "hinge", "squared_hinge"] = "cross_entropy"
    """Training objective: cross entropy, or the (squared) hinge loss of support vector machines."""
    margin: Positive = 20.0
    """Margin of the hinge losses."""
    label_smoothing: Share = 0.1
    """Label smoothing: fraction of the target that is spread evenly over all classes."""
    class_weights: Literal["none", "balanced"] = "none"
    """Weight of an image's loss by its class; balanced: images / (classes * images of its class), of those trained
    on."""
    epochs: Count = 50
    """Passes over the training images."""
    total_epochs: CountOrNone = 0
    """Length of the learning-rate schedule in epochs, where the run is to be shorter or prolonged later (0: epochs)."""
    batch_size: Count = 128
    """Images per step of the optimizer, over all processes."""
    accumulate_steps: Count = 1
    """Gradient accumulation: micro-batches per step, to save memory; must divide batch_size."""
    optimizer: Literal["sgd", "adam", "adamw", "rmsprop", "muon"] = "sgd"
    """sgd, adam (L2 penalty), adamw (decoupled weight decay), rmsprop, or muon (for hidden matrices and kernels, with
    adamw for the rest)."""
    lr: Positive = 0.1
    """Peak learning rate."""
    momentum: Share = 0.9
    """Momentum of sgd, rmsprop and muon."""
    nesterov: bool = False
    """Nesterov momentum (sgd and muon)."""
    betas: tuple[Share, Share] = (0.9, 0.999)
    """Decay rates of the moving averages of gradient and squared gradient (adam, adamw, and the adamw in muon)."""
    weight_decay: NotNegative = 1e-3
    """Weight decay of matrices and kernels; norms, biases and relative positions have none."""
    clip_grad_norm: NotNegative = 0.0
    """Maximum L2 norm of the gradient of all weights together (0: no clipping)."""
    ema_decay: Share = 0.0
    """Decay per step of the exponential moving average of the weights, less at the start (0: no average)."""
    ema_epochs: CountOrNone = 0
    """Average over the last so many epochs only (0: all)."""
    scheduler: Literal["cosine", "onecycle", "step", "linear", "none"] = "cosine"
    """Learning-rate schedule after the warmup; onecycle is a cosine up and a cosine down."""
    step_epochs: Count = 30
    """Epochs between two drops of the step schedule."""
    step_factor: Annotated[float, Interval(gt=0, lt=1)] = 0.1
    """Factor of each drop of the step schedule."""
    warmup_epochs: NotNegative = 0.0
    """Epochs of linear warmup (onecycle: of a cosine) from warmup_start_lr to lr."""
    warmup_start_lr: NotNegative = 1e-6
    """Learning rate of the first warmup step."""
    min_lr: NotNegative = 1e-6
    """Final learning rate of cosine, onecycle and linear, and the lowest of step."""

    # ---- distillation
    teacher: str = ""
    """Knowledge distillation: checkpoint of a trained network with the same classes."""
    distill_weight: Annotated[float, Interval(gt=0, le=1)] = 0.5
    """Weight of the distillation loss; the training objective has the rest."""
    distill_temperature: Positive = 2.0
    """Temperature that divides the logits of teacher and student in the distillation loss."""

    # ---- numerics
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    """Arithmetic of convolutions and matrix products; the weights stay fp32. fp16 needs CUDA. auto tries out what is
    fastest here, of channels_last and compile too."""
    channels_last: bool = False
    """Memory layout NHWC instead of NCHW; often faster for convolutions. Goes with a precision other than auto."""
    compile: bool = False
    """Compile the network with torch.compile. Goes with a precision other than auto."""
    sync_batch_norm: bool = False
    """With several processes: BatchNorm over the whole batch instead of each process's share (needs CUDA)."""

    # ---- reproducibility
    seed: Annotated[int, Interval(ge=0, lt=2**63)] = 0
    """Seed of the split, the initial weights, the order, the augmentation, the mixing and the dropout."""
    deterministic: bool = False
    """On CUDA, only algorithms that give the same bits every time, which may be slower; a CPU has no others."""

    def __post_init__(self) -> None:
        """The checks that need no data and no network.

        Raises:
            UsageError: naming the field or the two fields that do not fit.
        """
        check_fields(vars(self))
        for name, idle in IDLE.items():
            if (value := getattr(self, name)) != idle.off and not idle.acts(self):
                raise UsageError(f"{name} {value} {idle.why.format(r=self)}")
        for clash in CLASHES:
            if clash.exists(self):
                raise UsageError(clash.message.format(r=self))

    def changed(self, **stated: Any) -> Self:
        """This recipe with some fields stated anew; the others follow.

        What is counted in epochs keeps its share of the schedule, and what the stated values leave without an effect is
        left out, so that any field can be stated alone.

        Raises:
            UsageError: a field is not known or has a wrong value, or the stated values do not fit each other.
        """
        if unknown := sorted(stated.keys() - {spec.name for spec in dataclasses.fields(self)}):
            raise UsageError(f"a recipe has no field {', '.join(unknown)}")
        stated = _with_tuples(stated)
        check_fields(stated)
        changes = {**self._shares_of(stated), **stated}
        idle = idle_fields({**vars(self), **changes})
        return dataclasses.replace(self, **{**changes, **idle, **stated})

    def _shares_of(self, stated: dict[str, Any]) -> dict[str, Any]:
        """The fields counted in epochs, for the length that the stated values give the schedule."""
        epochs = stated.get("total_epochs", self.total_epochs) or stated.get("epochs", self.epochs)
        if epochs == self.schedule_epochs or not isinstance(epochs, int) or epochs < 1:
            return {}
        share = epochs / self.schedule_epochs
        warmup = self.warmup_epochs * share
        sizes = self.image_size_schedule
        if any(not epochs for epochs in _epochs_of_spans(self.image_spans, epochs)):
            sizes = ":".join(str(size) for size in self.image_sizes[-epochs:])  # too short for the weights
        return {
            # In whole epochs where there is at least one: the rest of a long schedule is not worth fractions.
            "warmup_epochs": min(round(warmup), epochs - 1) if warmup >= 1 and epochs > 1 else warmup,
            "mix_off_epochs": min(round(self.mix_off_epochs * share), epochs - 1),
            "step_epochs": max(1, round(self.step_epochs * share)) if self.scheduler == "step" else self.step_epochs,
            "ema_epochs": round(self.ema_epochs * share),
            "image_size_schedule": sizes,
        }

    @property
    def schedule_epochs(self) -> int:
        """Length of the learning-rate schedule in epochs."""
        return self.total_epochs or self.epochs

    @property
    def image_spans(self) -> tuple[tuple[int, Fraction], ...]:
        """Sides of the training images in pixels, each with its share of the epochs.

        Raises:
            UsageError: image_size_schedule is not as its docstring says.
        """
        return _spans_of(self.image_size_schedule or str(self.image_size))

    @property
    def image_sizes(self) -> tuple[int, ...]:
        """Sides of the training images in pixels, in their order."""
        return tuple(size for size, _ in self.image_spans)

    def image_size_in(self, epoch: int) -> int:
        """Side in pixels of the images that an epoch, counted from 0, trains on."""
        spans = itertools.accumulate(_epochs_of_spans(self.image_spans, self.schedule_epochs))
        return next(size for size, end in zip(self.image_sizes, spans, strict=True) if epoch < end)

    def val_image_size_in(self, epoch: int) -> int:
        """Side in pixels of the images that an epoch, counted from 0, is validated on: in the last span the test's."""
        last = _epochs_of_spans(self.image_spans, self.schedule_epochs)[-1]
        return self.image_size if epoch >= self.schedule_epochs - last else self.image_size_in(epoch)

    def with_numerics_of(self, former: "Recipe") -> "Recipe":
        """This recipe, with what auto has come to in the run of `former`, if precision is auto."""
        if self.precision != "auto":
            return self
        return dataclasses.replace(self, **{name: getattr(former, name) for name in NUMERICS})

    def as_dict(self) -> dict[str, Any]:
        """Plain types, for JSON and checkpoints."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """The inverse of `as_dict`, also of what JSON or an earlier version made of it.

        Fields that were added since take their defaults; those that had no effect are left out.

        Raises:
            UsageError: a field is not known, or has a wrong value.
        """
        values = _of_earlier_versions(_with_tuples(validated(dict[str, Any], values, "the recipe", UsageError)))
        if unknown := values.keys() - {spec.name for spec in dataclasses.fields(cls)}:
            raise UsageError(f"the recipe has unknown fields: {', '.join(sorted(unknown))}")
        check_fields(values)
        return cls(**{**values, **idle_fields(values)})


@functools.lru_cache  # every step asks for it
def _spans_of(schedule: str) -> tuple[tuple[int, Fraction], ...]:
    """As `Recipe.image_spans` says."""
    spans = []
    for part in schedule.split(":"):
        if not (found := re.fullmatch(r"([1-9][0-9]{0,3})(?:\*([0-9]{1,6}(?:\.[0-9]{1,6})?))?", part)):
            what = f"not {schedule!r}"
            raise UsageError(f"image_size_schedule is sizes such as 32:48:64 or 32*6:48*2:64*2, {what}")
        spans.append((int(found[1]), Fraction(found[2] or 1)))
    total = sum(weight for _, weight in spans) or Fraction(1)  # without any weight no size has an epoch
    return tuple((size, weight / total) for size, weight in spans)


@functools.lru_cache
def _epochs_of_spans(spans: tuple[tuple[int, Fraction], ...], epochs: int) -> tuple[int, ...]:
    """How many of the epochs each span has: those that begin in its share of them."""
    ends = [math.ceil(share * epochs) for share in itertools.accumulate(share for _, share in spans)]
    return tuple(end - start for start, end in itertools.pairwise([0, *ends]))


def _with_tuples(values: Mapping[str, Any]) -> dict[str, Any]:
    """The values with tuples for lists, which JSON and TOML have instead."""
    return {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}


def _of_earlier_versions(values: dict[str, Any]) -> dict[str, Any]:
    """What an earlier version saved, in the fields of this one: a recipe of the same result.

    Raises:
        UsageError: this version has no such recipe.
    """
    if values.get("decay_norm_and_bias", False) is not False:
        raise UsageError("the recipe has decay_norm_and_bias; this version decays neither norms nor biases")
    # save_every is of RunOptions now; it never touched a result.
    values = {name: value for name, value in values.items() if name not in ("decay_norm_and_bias", "save_every")}
    if "betas" not in values and "momentum" in values and values.get("optimizer") in ADAMS:
        values["betas"] = (values["momentum"], Recipe.betas[1])
    return values


def check_fields(values: Mapping[str, Any]) -> None:
    """Check the types and bounds of those values that are fields of a recipe.

    Raises:
        UsageError: naming the first field with a wrong value.
    """
    for spec in dataclasses.fields(Recipe):
        if spec.name in values:
            validated(spec.type, values[spec.name], spec.name, UsageError)


class Draft(Recipe):
    """Fields of a recipe that need not fit each other yet, such as those on a command line."""

    def __post_init__(self) -> None:
        pass


def changes(former: Recipe, recipe: Recipe, but: Collection[str] = ()) -> list[str]:
    """The fields that differ, in words, without those named."""
    before, after = former.as_dict(), recipe.as_dict()
    differing = [name for name in before if before[name] != after[name] and name not in but]
    return [f"{name} {after[name]} instead of {before[name]}" for name in differing]


def idle_fields(values: Mapping[str, Any]) -> dict[str, Any]:
    """The fields that have no effect in a recipe of these values, each with its value for that."""
    draft = Draft(**values)
    return {name: idle.off for name, idle in IDLE.items() if not idle.acts(draft)}


class Idle(NamedTuple):
    """A field that acts in some recipes only: its value where it does not act, when it acts, and what to say."""

    off: Any
    acts: Callable[[Recipe], bool]
    why: str


IDLE = {
    "nesterov": Idle(
        False,
        lambda r: r.optimizer in ("sgd", "muon") and r.momentum > 0,
        "goes with optimizer sgd or muon and a momentum above 0, not {r.optimizer} and {r.momentum}",
    ),
    "momentum": Idle(
        Recipe.momentum,
        lambda r: r.optimizer not in ("adam", "adamw"),
        "goes with optimizer sgd, rmsprop or muon; {r.optimizer} has betas",
    ),
    "betas": Idle(
        Recipe.betas,
        lambda r: r.optimizer in ADAMS,
        "goes with optimizer adam, adamw or muon; {r.optimizer} has a momentum",
    ),
    "label_smoothing": Idle(
        0.0, lambda r: r.loss == "cross_entropy", "goes with loss cross_entropy, not the hinge losses"
    ),
    "class_weights": Idle(
        "none",
        lambda r: not r.teacher or r.distill_weight < 1,
        "does nothing with distill_weight 1, which learns from the teacher alone",
    ),
    "margin": Idle(
        Recipe.margin, lambda r: r.loss != "cross_entropy", "goes with loss hinge or squared_hinge, not cross_entropy"
    ),
    "freeze": Idle("", lambda r: bool(r.pretrained), "without pretrained would keep random weights; add pretrained"),
    "body_lr_factor": Idle(1.0, lambda r: r.freeze != "all_but_head", "does nothing with freeze all_but_head"),
    "mix_off_epochs": Idle(0, lambda r: r.mixup_cutmix_alpha > 0, "goes with a mixup_cutmix_alpha above 0"),
    "mix_probability": Idle(
        Recipe.mix_probability, lambda r: r.mixup_cutmix_alpha > 0, "goes with a mixup_cutmix_alpha above 0"
    ),
    "cutmix_share": Idle(
        Recipe.cutmix_share, lambda r: r.mixup_cutmix_alpha > 0, "goes with a mixup_cutmix_alpha above 0"
    ),
    "ema_epochs": Idle(0, lambda r: r.ema_decay > 0, "goes with an ema_decay above 0"),
    "step_epochs": Idle(Recipe.step_epochs, lambda r: r.scheduler == "step", "goes with scheduler step"),
    "step_factor": Idle(Recipe.step_factor, lambda r: r.scheduler == "step", "goes with scheduler step"),
    "min_lr": Idle(Recipe.min_lr, lambda r: r.scheduler != "none", "goes with a scheduler that falls, not none"),
    "warmup_start_lr": Idle(Recipe.warmup_start_lr, lambda r: r.warmup_epochs > 0, "goes with warmup_epochs above 0"),
    "distill_weight": Idle(
        Recipe.distill_weight, lambda r: bool(r.teacher), "goes with a teacher; give one with teacher"
    ),
    "distill_temperature": Idle(
        Recipe.distill_temperature, lambda r: bool(r.teacher), "goes with a teacher; give one with teacher"
    ),
    "channels_last": Idle(
        False, lambda r: r.precision != "auto", "goes with a precision that is not auto, such as fp32"
    ),
    "compile": Idle(False, lambda r: r.precision != "auto", "goes with a precision that is not auto, such as fp32"),
}


class Clash(NamedTuple):
    """Fields that do not fit each other: when, and what to say."""

    exists: Callable[[Recipe], bool]
    message: str


CLASHES = (
    Clash(lambda r: r.classes == 1, "classes must be 0 (all) or at least 2"),
    Clash(
        lambda r: r.batch_size % r.accumulate_steps > 0,
        "accumulate_steps {r.accumulate_steps} does not divide batch_size {r.batch_size}",
    ),
    Clash(
        lambda r: r.sampling == "balanced" and r.stream,
        "sampling balanced takes images from all over the file, and stream reads neighbours; class_weights balanced "
        "goes with stream",
    ),
    Clash(
        lambda r: r.sampling == "balanced" and r.class_weights == "balanced",
        "sampling balanced and class_weights balanced make up for rare classes twice; take one of them",
    ),
    Clash(lambda r: r.batch_size % r.repeats > 0, "repeats {r.repeats} does not divide batch_size {r.batch_size}"),
    Clash(
        lambda r: r.mix_off_epochs >= r.schedule_epochs,
        "mix_off_epochs {r.mix_off_epochs} leaves none of {r.schedule_epochs} epochs to mix",
    ),
    Clash(
        lambda r: not all(_epochs_of_spans(r.image_spans, r.schedule_epochs)),
        "image_size_schedule {r.image_size_schedule} leaves one of its sizes none of {r.schedule_epochs} epochs",
    ),
    Clash(
        lambda r: r.ema_epochs > r.schedule_epochs,
        "ema_epochs {r.ema_epochs} is more than the {r.schedule_epochs} epochs that there are",
    ),
    Clash(
        lambda r: r.scheduler == "onecycle" and not r.warmup_epochs,
        "scheduler onecycle rises in the warmup_epochs; give some (a third of the epochs is usual)",
    ),
    Clash(lambda r: r.min_lr > r.lr and r.scheduler != "none", "min_lr {r.min_lr} is above lr {r.lr}"),
    Clash(
        lambda r: r.warmup_start_lr > r.lr and r.warmup_epochs > 0,
        "warmup_start_lr {r.warmup_start_lr} is above lr {r.lr}",
    ),
    Clash(
        lambda r: 0 < r.total_epochs < r.epochs, "total_epochs {r.total_epochs} is less than epochs {r.epochs}"
    ),
    Clash(
        lambda r: r.warmup_epochs >= r.schedule_epochs,
        "warmup_epochs {r.warmup_epochs} leaves nothing of a schedule of {r.schedule_epochs} epochs; lower "
        "warmup_epochs (0: none) or raise epochs",
    ),
)  # fmt: skip


# The first field of each group of the Recipe's, as its headings say.
_FIRST_OF_GROUP = {
    "network": "model",
    "initial weights": "pretrained",
    "data": "dataset",
    "augmentation": "augment",
    "optimisation": "loss",
    "distillation": "teacher",
    "numerics": "precision",
    "reproducibility": "seed",
}


def _groups() -> dict[str, tuple[str, ...]]:
    names = [spec.name for spec in dataclasses.fields(Recipe)]
    starts = [names.index(first) for first in _FIRST_OF_GROUP.values()]
    spans = zip(starts, [*starts[1:], len(names)], strict=True)
    return {title: tuple(names[start:end]) for title, (start, end) in zip(_FIRST_OF_GROUP, spans, strict=True)}


GROUPS = _groups()  # the fields of each group, in the Recipe's order


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """Where and how a run happens; nothing here changes its result on one device."""

    run_name: str
    """Folder of the run under results_dir."""
    data_dir: Path = Path("data")
    """Where the data sets are."""
    results_dir: Path = Path("results")
    """Where the folders of the runs are."""
    device: Device = "auto"
    """auto takes CUDA, then MPS, then the CPU."""
    checkpoint_minutes: Annotated[float, Interval(ge=0, le=1e6)] = 10.0
    """Also write last.pth within an epoch, when so many minutes have passed since the last one."""
    save_every: CountOrNone = 10
    """Keep checkpoint_epoch_N.pth every so many epochs (0: none)."""
    track: tuple[TrackerName, ...] = ()
    """Experiment trackers to hand the recipe, the values of every epoch, the loss of each step and the files to."""
    verbose: bool = False
    """Print every field of the recipe, not only what differs from the defaults."""
    model_file: Path | None = None
    """The file that registers the network, where that is none of tinybench's own."""

    def __post_init__(self) -> None:
        """Check what would lead out of the results folder, or never save.

        Raises:
            UsageError: naming the field.
        """
        for name in ("checkpoint_minutes", "save_every", "track"):
            validated(RunOptions.__annotations__[name], getattr(self, name), name, UsageError)
        check_run_name(self.run_name, "run_name")

    @property
    def folder(self) -> Path:
        return self.results_dir / self.run_name

    def command(self, script: str, *words: str | Path) -> str:
        """A later command on this run, to be typed as it stands: with what differs of folders, device, model file."""
        usual = RunOptions(run_name=self.run_name)
        shared = ("data_dir", "results_dir", "device", "model_file")
        for name in (*shared, "save_every", "track") if script == "src/train.py" else shared:
            if (value := getattr(self, name)) != getattr(usual, name):
                words += (f"--{name}", *(value if isinstance(value, tuple) else (value,)))
        return command(script, *words)


def check_run_name(name: str, what: str) -> None:
    """Refuse what is not the name of a folder below the results folder, perhaps with folders between.

    Raises:
        UsageError: naming `what`.
    """
    parts = name.split("/")
    if (
        "\\" in name
        or "\0" in name
        or len(name.encode(errors="replace")) > 200
        or any(part in ("", ".", "..") for part in parts)
    ):
        raise UsageError(f"{what} {name!r} must name a folder below results_dir")
