"""Recipe: all that fixes the result of a run. RunOptions: where and how it runs."""

import dataclasses
import importlib.util
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from tinybench.errors import UsageError

CONFIG_FILE = Path(__file__).resolve().parents[2] / "config.py"

Device = Literal["auto", "cpu", "mps", "cuda"]

NUMERICS = ("precision", "channels_last", "compile")  # the fields that precision auto decides


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """All that fixes the result of a run. Same recipe, same data, same device: the same weights, bit for bit."""

    # ---- network
    model: str = "resnet"
    """Name of the network; a wrong name lists the known ones."""
    dropout: float = 0.0
    """Probability of dropping an input of the classifier (AlexNet: of its dense layers; ViT: an output of a block)."""
    drop_path: float = 0.0
    """Probability of skipping the last residual block, rising linearly from 0 at the first (ResNet, EfficientNet,
    ViT)."""
    model_options: dict[str, int | float | bool | str] = field(default_factory=dict)
    """Further options of the network's constructor, such as `patch_size 16` for the ViT."""

    # ---- starting weights
    pretrained: str = ""
    """Weights to start from: imagenet (torchvision's), or the path of a checkpoint or a state dict (none: random)."""
    freeze: str = ""
    """Leave as they came: all_but_head, or a part of the network (such as stage2) and all before it."""
    body_lr_factor: float = 1.0
    """Factor of the learning rate of all but the head."""

    # ---- data
    dataset: str = "tiny-imagenet"
    """tiny-imagenet, demo, mnist, fashion-mnist, cifar10, cifar100, svhn, stl10, or a folder of class folders."""
    classes: int = 0
    """Use only the first so many classes, in sorted order (0: all)."""
    images_per_class: int = 0
    """Use only so many images of each class, before the validation images are split off (0: all)."""
    image_size: int = 64
    """Side of the images that enter the network, in pixels."""
    val_fraction: float = 0.2
    """Share of each class's training images that is held out for validation."""
    normalize: Literal["data", "imagenet"] = "data"
    """Whose channel means and deviations the pixels are normalised with: the training images', or ImageNet's."""
    stream: bool = False
    """Leave the images in their file, shuffled in windows of 96 MiB, where they do not fit into memory."""

    # ---- input
    augment: Literal["standard", "basic", "cutout", "trivialaugment", "randaugment", "none"] = "standard"
    """How training images are varied; see data/augment.py."""
    repeats: int = 1
    """How often each image appears in a batch, varied differently; an epoch then sees only a share of the images."""
    image_size_schedule: str = ""
    """Sizes of the training images over equal spans of the epochs, such as 32:48:64; the last is image_size."""
    mixup_cutmix_alpha: float = 0.0
    """Parameter of the Beta distribution of the mixing weights; half of the batches are mixed (0: none)."""
    mix_off_epochs: int = 0
    """Do not mix in the last so many epochs."""

    # ---- optimisation
    loss: Literal["cross_entropy", "hinge", "squared_hinge"] = "cross_entropy"
    """What training lowers; the hinge losses are those of support vector machines."""
    margin: float = 20.0
    """By how much the right class's score must lead for a hinge loss of 0."""
    epochs: int = 50
    """Passes over the training images."""
    total_epochs: int = 0
    """Length of the learning-rate schedule in epochs, where the run is to be shorter or prolonged later (0: epochs)."""
    batch_size: int = 128
    """Images for one step of the optimizer, of all processes together."""
    accumulate_steps: int = 1
    """Pieces that a batch is worked through in, to fit into memory; must divide batch_size."""
    optimizer: Literal["sgd", "adam", "adamw", "rmsprop", "muon"] = "sgd"
    """sgd, adam (L2 penalty), adamw (decoupled weight decay), rmsprop, or muon (for hidden matrices and kernels, with
    adamw for the rest)."""
    lr: float = 0.1
    """Peak learning rate."""
    momentum: float = 0.9
    """Momentum of sgd, rmsprop and muon; the first beta of adam and adamw."""
    nesterov: bool = False
    """Nesterov's momentum (sgd and muon)."""
    weight_decay: float = 1e-3
    """Weight decay of the matrices and kernels."""
    decay_norm_and_bias: bool = False
    """Decay the norms' parameters and the biases too."""
    scheduler: Literal["cosine", "onecycle", "step", "none"] = "cosine"
    """How the learning rate falls after the warmup; onecycle is a cosine up and a cosine down."""
    step_epochs: int = 30
    """Epochs between two drops of the step schedule."""
    step_factor: float = 0.1
    """Factor of each drop of the step schedule."""
    warmup_epochs: int = 0
    """Epochs in which the learning rate rises linearly (onecycle: by a cosine) from warmup_start_lr to lr."""
    warmup_start_lr: float = 1e-6
    """Learning rate of the first warmup step."""
    min_lr: float = 1e-6
    """Learning rate that the cosines end at, and that the step schedule never falls below."""
    label_smoothing: float = 0.1
    """Share of the target spread evenly over all classes."""
    clip_grad_norm: float = 0.0
    """Largest L2 norm of the whole gradient (0: no limit)."""
    ema_decay: float = 0.0
    """Decay per step of the exponential moving average of the weights, less at the start (0: none kept)."""

    # ---- distillation
    teacher: str = ""
    """Checkpoint of a network of the same classes, whose answers are learned too."""
    distill_weight: float = 0.5
    """Share of the loss that compares with the teacher's answers."""
    distill_temperature: float = 2.0
    """Divides the logits of both before they are compared: the higher, the more the teacher's doubts count."""

    # ---- numerics
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    """Arithmetic of convolutions and matrix products; the weights stay fp32. fp16 needs CUDA. auto tries out what is
    fastest here, of channels_last and compile too."""
    channels_last: bool = False
    """Memory layout NHWC instead of NCHW; often faster for convolutions. Goes with a precision other than auto."""
    compile: bool = False
    """Compile the network with torch.compile. Goes with a precision other than auto."""
    sync_batch_norm: bool = False
    """With several processes: BatchNorm over the whole batch instead of each process's share (needs CUDA). One process
    always sees the whole batch."""

    # ---- repetition
    seed: int = 0
    """Seeds the split, the initial weights, the order, the augmentation, the mixing and the dropout."""
    save_every: int = 10
    """Keep checkpoint_epoch_N.pth every so many epochs (0: none)."""

    def __post_init__(self) -> None:
        """The checks that need no data and no network.

        Raises:
            UsageError: naming the field or the two fields that do not fit.
        """
        positive = (
            "image_size",
            "epochs",
            "batch_size",
            "accumulate_steps",
            "lr",
            "step_epochs",
            "margin",
            "body_lr_factor",
            "distill_temperature",
            "repeats",
        )
        not_negative = (
            "classes", "images_per_class", "total_epochs", "weight_decay", "warmup_epochs", "warmup_start_lr",
            "min_lr", "clip_grad_norm", "mixup_cutmix_alpha", "mix_off_epochs", "seed",
            "save_every",
        )  # fmt: skip
        shares = ("dropout", "drop_path", "momentum", "label_smoothing", "ema_decay")  # in [0, 1)
        for name in positive:
            if not getattr(self, name) > 0:
                raise UsageError(f"{name} must be positive, not {getattr(self, name)}")
        for name in not_negative:
            if not getattr(self, name) >= 0:
                raise UsageError(f"{name} must not be negative, but is {getattr(self, name)}")
        for name in shares:
            if not 0 <= getattr(self, name) < 1:
                raise UsageError(f"{name} must be at least 0 and below 1, not {getattr(self, name)}")
        for spec in dataclasses.fields(self):
            choices = getattr(spec.type, "__args__", ())
            if getattr(spec.type, "__origin__", None) is Literal and getattr(self, spec.name) not in choices:
                raise UsageError(f"{spec.name} is one of {', '.join(choices)}, not {getattr(self, spec.name)!r}")
        if not 0 < self.val_fraction < 1:
            raise UsageError(f"val_fraction must be between 0 and 1, not {self.val_fraction}")
        if self.classes == 1:
            raise UsageError("classes must be 0 (all) or at least 2")
        if self.batch_size % self.accumulate_steps:
            raise UsageError(f"accumulate_steps {self.accumulate_steps} does not divide batch_size {self.batch_size}")
        if self.loss != "cross_entropy" and self.label_smoothing > 0:
            raise UsageError(f"label_smoothing {self.label_smoothing} goes with loss cross_entropy, not {self.loss}")
        if self.loss == "cross_entropy" and self.margin != type(self).margin:
            raise UsageError(f"margin {self.margin} goes with loss hinge or squared_hinge, not cross_entropy")
        if self.freeze and not self.pretrained:
            raise UsageError(f"freeze {self.freeze} without pretrained would keep random weights; add pretrained")
        if self.freeze == "all_but_head" and self.body_lr_factor != 1:
            raise UsageError(f"body_lr_factor {self.body_lr_factor} does nothing with freeze all_but_head")
        if self.nesterov and self.optimizer not in ("sgd", "muon"):
            raise UsageError(f"nesterov goes with optimizer sgd or muon, not {self.optimizer}")
        if self.batch_size % self.repeats:
            raise UsageError(f"repeats {self.repeats} does not divide batch_size {self.batch_size}")
        if self.mix_off_epochs and not self.mixup_cutmix_alpha:
            raise UsageError(f"mix_off_epochs {self.mix_off_epochs} goes with a mixup_cutmix_alpha above 0")
        if self.mix_off_epochs >= self.schedule_epochs:
            raise UsageError(
                f"mix_off_epochs {self.mix_off_epochs} leaves none of {self.schedule_epochs} epochs to mix"
            )
        if self.image_sizes[-1] != self.image_size:
            raise UsageError(f"image_size_schedule {self.image_size_schedule} must end at image_size {self.image_size}")
        if len(self.image_sizes) > self.schedule_epochs:
            raise UsageError(f"image_size_schedule {self.image_size_schedule} has more sizes than there are epochs")
        if not 0 < self.distill_weight <= 1:
            raise UsageError(f"distill_weight must be above 0 and at most 1, not {self.distill_weight}")
        for name in ("distill_weight", "distill_temperature"):
            if not self.teacher and getattr(self, name) != getattr(type(self), name):
                raise UsageError(f"{name} {getattr(self, name)} goes with a teacher; give one with teacher")
        if self.scheduler == "onecycle" and not self.warmup_epochs:
            raise UsageError(
                "scheduler onecycle rises in the warmup_epochs; give some (a third of the epochs is usual)"
            )
        if self.precision == "auto" and (given := [name for name in NUMERICS[1:] if getattr(self, name)]):
            raise UsageError(f"{' and '.join(given)} goes with a precision that is not auto, such as fp32")
        if not 0 < self.step_factor < 1:
            raise UsageError(f"step_factor must be between 0 and 1, not {self.step_factor}")
        if self.min_lr > self.lr and self.scheduler != "none":
            raise UsageError(f"min_lr {self.min_lr} is above lr {self.lr}")
        if self.warmup_start_lr > self.lr and self.warmup_epochs > 0:
            raise UsageError(f"warmup_start_lr {self.warmup_start_lr} is above lr {self.lr}")
        if self.nesterov and self.momentum == 0:
            raise UsageError("nesterov needs a momentum above 0")
        if 0 < self.total_epochs < self.epochs:
            raise UsageError(f"total_epochs {self.total_epochs} is less than epochs {self.epochs}")
        if self.warmup_epochs >= self.schedule_epochs:
            raise UsageError(
                f"warmup_epochs {self.warmup_epochs} leaves nothing of a schedule of {self.schedule_epochs} "
                "epochs; lower warmup_epochs (0: none) or raise epochs"
            )

    @property
    def schedule_epochs(self) -> int:
        """Length of the learning-rate schedule in epochs."""
        return self.total_epochs or self.epochs

    @property
    def image_sizes(self) -> tuple[int, ...]:
        """Sides of the training images in pixels, each for an equal span of the epochs.

        Raises:
            UsageError: image_size_schedule holds something else than positive numbers with colons between.
        """
        if not self.image_size_schedule:
            return (self.image_size,)
        if not re.fullmatch(r"[1-9]\d*(:[1-9]\d*)*", self.image_size_schedule):
            raise UsageError(f"image_size_schedule is sizes such as 32:48:64, not {self.image_size_schedule!r}")
        return tuple(int(size) for size in self.image_size_schedule.split(":"))

    def with_numerics_of(self, former: "Recipe") -> "Recipe":
        """This recipe, with what auto has come to in the run of `former`, if precision is auto."""
        if self.precision != "auto":
            return self
        return dataclasses.replace(self, **{name: getattr(former, name) for name in NUMERICS})

    def as_dict(self) -> dict[str, Any]:
        """Plain types, for JSON and checkpoints."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Recipe":
        """The inverse of `as_dict`. Fields that were added since take their defaults.

        Raises:
            UsageError: a field is not known, or has a wrong value.
        """
        unknown = values.keys() - {spec.name for spec in dataclasses.fields(cls)}
        if unknown:
            raise UsageError(f"the recipe has unknown fields: {', '.join(sorted(unknown))}")
        return cls(**values)


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
    checkpoint_minutes: float = 10.0
    """Also write last.pth within an epoch, when so many minutes have passed since the last one."""
    tensorboard: bool = False
    """Write the history as TensorBoard events too, into the run's folder."""
    model_file: Path | None = None
    """The file that registers the network, where that is none of tinybench's own."""

    @property
    def folder(self) -> Path:
        return self.results_dir / self.run_name

    def where(self) -> str:
        """The flags that a later command on this run needs: what differs of folders, device and model file."""
        usual = RunOptions(run_name=self.run_name)
        names = [
            name
            for name in ("data_dir", "results_dir", "device", "model_file")
            if getattr(self, name) != getattr(usual, name)
        ]
        return "".join(f" --{name} {getattr(self, name)}" for name in names)


def load_recipes(path: Path = CONFIG_FILE) -> dict[str, Recipe]:
    """RECIPES of a configuration file, by name.

    Raises:
        UsageError: the file is missing or broken, or does not hold a dict of recipes.
    """
    if not path.is_file():
        raise UsageError(f"{path} does not exist; it holds the recipes")
    spec = importlib.util.spec_from_file_location("tinybench_config", path)
    assert spec is not None
    assert spec.loader is not None  # it is a .py file
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise UsageError(f"{path}: {error}") from error
    recipes = getattr(module, "RECIPES", None)
    if not isinstance(recipes, dict) or not all(isinstance(recipe, Recipe) for recipe in recipes.values()):
        raise UsageError(f"{path} must hold RECIPES, a dict from names to Recipe")
    return recipes


def get_recipe(name: str, recipes: dict[str, Recipe] | None = None) -> Recipe:
    """The recipe of that name, out of `recipes` (default: those of config.py).

    Raises:
        UsageError: there is none; the message lists the known ones.
    """
    recipes = load_recipes() if recipes is None else recipes
    if name not in recipes:
        raise UsageError(f"unknown recipe {name!r}; known: {', '.join(sorted(recipes))}")
    return recipes[name]
