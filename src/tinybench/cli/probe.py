"""What a trained network's features are worth on other data, in minutes: `python src/probe.py --model timm/resnet18
--pretrained resnet18.safetensors`.

Its features of all images are computed once. On them, a linear head is trained with each of the learning rates, and
the images nearest to one vote for its class. What is chosen is chosen on the validation images of the first seed. Each
seed leaves a run, which src/test.py tests as any other.
"""

import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeVar

from tinybench.cli import console
from tinybench.errors import command
from tinybench.recipe import Count, CountOrNone, Device, Positive, Recipe, RunOptions, Side
from tinybench.words import counted

Number = TypeVar("Number", int, float)


@dataclass(kw_only=True)
class Arguments:
    model: str
    """Network, as of train.py."""
    pretrained: str
    """Weights to keep, as of train.py: imagenet, the path of a checkpoint or state dict, or package:NAME."""
    model_options: dict[str, int | float | bool | str] = field(default_factory=dict)
    """Further options of the network's constructor."""
    dataset: str = Recipe.dataset
    """Images to learn, as of train.py."""
    classes: CountOrNone = 0
    """Use only the first so many classes, in sorted order (0: all)."""
    images_per_class: CountOrNone = 0
    """Use only so many images of each class, before the validation images are split off (0: all)."""
    image_size: Side = Recipe.image_size
    """Side in pixels that the images are scaled to."""
    normalize: Literal["data", "imagenet", "inception"] = "imagenet"
    """Channel means and standard deviations that the network was trained with."""
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    """Arithmetic of the network, as of train.py."""
    lr: tuple[Positive, ...] = (1e-4, 3e-4, 1e-3, 3e-3)
    """Learning rates to try."""
    neighbours: tuple[Count, ...] = (10, 20, 50)
    """Numbers of nearest images to try."""
    seeds: Count = 3
    """How many splits and heads, with seeds from 0."""
    run_name: str = ""
    """Folder of the runs below results_dir (default: probe_ and the network's name)."""
    overwrite: bool = False
    """Replace the runs that are already in the folder."""
    data_dir: Path = Path("data")
    """Where the data sets are, and the features are kept."""
    results_dir: Path = Path("results")
    """Where the folders of the runs are."""
    device: Device = "auto"
    """auto takes CUDA, then MPS, then the CPU."""
    debug: bool = False
    """Show the whole traceback of an error."""


def main() -> None:
    arguments = console.parse(Arguments, __doc__)
    from tinybench.runtime.files import write_json
    from tinybench.stats.intervals import mean_interval
    from tinybench.training.probe import Probe, probing_recipe

    name = arguments.run_name or f"probe_{arguments.model.replace('/', '_')}"
    shared = ("model", "pretrained", "model_options", "dataset", "classes", "images_per_class", "image_size")
    fields = {field: getattr(arguments, field) for field in (*shared, "normalize", "precision")}
    lr, k = arguments.lr[0], arguments.neighbours[0]
    rows = []
    for seed in range(arguments.seeds):
        options = RunOptions(
            run_name=f"{name}/seed{seed}",
            data_dir=arguments.data_dir,
            results_dir=arguments.results_dir,
            device=arguments.device,
        )
        probe = Probe(probing_recipe(**fields, seed=seed), options)
        if seed == 0:
            voted = probe.neighbours_accuracies(arguments.neighbours)
            k = _best("nearest images", voted)
            with tempfile.TemporaryDirectory() as folder:
                tried = RunOptions(run_name="lr", results_dir=Path(folder), device=arguments.device)
                accuracies = {lr: probe.train_head(lr, tried, overwrite=True).best()[1] for lr in arguments.lr}
            lr = _best("learning rate", accuracies)
        else:
            voted = probe.neighbours_accuracies([k])
        linear = probe.train_head(lr, options, arguments.overwrite).best()[1]
        rows.append({"seed": seed, "linear": linear, "neighbours": voted[k]})
        print(f"seed {seed}: linear {linear:.2f} %, nearest images {rows[-1]['neighbours']:.2f} %", flush=True)
    for kind, what in (("linear", f"linear head, lr {lr:g}"), ("neighbours", f"{k} nearest images")):
        mean, low, high = mean_interval([row[kind] for row in rows])
        spread = f" ({low:.2f} to {high:.2f})" if low is not None and high is not None else ""
        print(f"{what}: {mean:.2f} %{spread} on validation images, {counted(len(rows), 'seed')}")
    write_json(arguments.results_dir / name / "probe.json", {**fields, "lr": lr, "k": k, "validation_accuracies": rows})
    print(f"next: {command('src/test.py', '--run', f'{name}/seed0')}")


def _best(what: str, accuracies: dict[Number, float]) -> Number:
    """The key of the highest accuracy; all are printed."""
    best = max(accuracies, key=lambda key: accuracies[key])
    tried = ", ".join(f"{key:g}: {accuracy:.2f} %" for key, accuracy in accuracies.items())
    print(f"{what}: {best:g} of {tried} on the validation images of seed 0", flush=True)
    return best
