"""Kernels that a training step would launch on a GPU, counted on the CPU: no card needed.

Every operation that is neither a view nor an allocation counts as one, an operation on lists of tensors as many as
CUDA cuts the lists into, and a compiled function the kernels that torch.compile makes of it (for the CPU; where the
device fuses otherwise, a few more or less). Where launches take longer than what is launched, as with small networks
on a fast card, their number is the step's time.
"""

import dataclasses
import math
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor
from torch._inductor import config as inductor
from torch._inductor import metrics
from torch.utils._python_dispatch import TorchDispatchMode

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

from tinybench.cli import console
from tinybench.configuration import get_recipe, load_augmentations
from tinybench.data.augment.mix import Mix
from tinybench.data.augment.operations import Automatic
from tinybench.data.augment.policy import vary
from tinybench.data.batches import Batch, TrainBatches
from tinybench.data.imageset import ImageSet
from tinybench.models import MODELS, list_models
from tinybench.recipe import Recipe
from tinybench.runtime.files import write_json
from tinybench.training.setup import build_state
from tinybench.training.trainer import forward_backward

BATCH, NUM_CLASSES = 32, 200
ALLOCATIONS = {"empty", "empty_like", "empty_strided", "new_empty", "new_empty_strided", "_unsafe_view", "lift_fresh"}
# ATen/native/cuda/MultiTensorApply.cuh: most tensors by the number of lists, elements of a block, most blocks.
MOST_TENSORS, CHUNK, MOST_BLOCKS = (110, 64, 48, 36, 30), 65536, 320


class LaunchCounter(TorchDispatchMode):
    """Counts in `count` what is computed while it is entered."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if func.namespace == "aten" and not func.is_view and func.overloadpacket.__name__ not in ALLOCATIONS:
            self.count += _chunks(func.overloadpacket.__name__, args)
        return result


def _chunks(name: str, args: tuple[Any, ...]) -> int:
    """How often CUDA launches an operation; more than once only for lists that are too long."""
    if not name.startswith(("_foreach", "_fused")):
        return 1
    lists = [each for each in args if isinstance(each, list | tuple) and each and isinstance(each[0], Tensor)]
    depth = min(len(lists) + (not name.endswith("_")), len(MOST_TENSORS))
    blocks = sum(math.ceil(tensor.numel() / CHUNK) for tensor in lists[0])
    return max(math.ceil(len(lists[0]) / MOST_TENSORS[depth - 1]), math.ceil(blocks / MOST_BLOCKS))


def launches(work: Callable[[], Any]) -> int:
    with LaunchCounter() as counter:
        work()
    return counter.count


@dataclass
class Arguments:
    models: tuple[str, ...] = ()
    """Networks to count (default: all that are compared, and SpeedNet)."""
    optimizer: Literal["", "sgd", "adam", "adamw", "rmsprop", "muon"] = ""
    """The optimizer of all of them (default: that of each one's recipe)."""
    output: Path | None = None
    """Write the table as JSON too."""
    debug: bool = False


def random_images() -> ImageSet:
    names = tuple(map(str, range(NUM_CLASSES)))
    return ImageSet(
        name="random", images=torch.zeros(BATCH, 3, 64, 64, dtype=torch.uint8), labels=torch.arange(BATCH),
        class_ids=names, class_names=names, mean=(0.5,) * 3, std=(0.3,) * 3, fingerprint="random",
    )  # fmt: skip


def of_policy(name: str) -> int:
    """Of a batch without mixing, as CUDA makes it: the policies that can be compiled, compiled."""
    torch.set_num_threads(1)  # one chunk, as on a GPU
    batches = TrainBatches(random_images(), Recipe(batch_size=BATCH, augment=name))
    batches.batch(0, 0)  # what is made only once
    (policy,) = batches.policies.values()
    if any(isinstance(operation, Automatic) for operation in policy.operations):
        return launches(lambda: batches.batch(0, 0))
    values, constants = policy.values(BATCH, torch.Generator()), policy.constants(torch.device("cpu"))
    pixels = batches.images.pixels(torch.arange(BATCH))
    compiled = torch.compile(vary, dynamic=False)
    metrics.reset()
    with inductor.patch(force_disable_caches=True):  # a kernel that is found in the cache is not counted
        compiled(policy, pixels, values, *constants)
    eager = launches(lambda: vary(policy, pixels, values, *constants))
    return launches(lambda: batches.batch(0, 0)) - eager + metrics.generated_kernel_count


def of_mixing(kind: Literal["mixup", "cutmix"]) -> int:
    images, mix = torch.zeros(BATCH, 3, 64, 64), Mix(kind, 0.5, (2, 8, 10, 30))
    mix.apply(images)
    return launches(lambda: mix.apply(images))


def of_step(name: str, optimizer: str) -> dict[str, int]:
    """Of the network: forward and backward on a mixed batch with all sums, the optimizer, and the average."""
    recipe = dataclasses.replace(
        get_recipe(MODELS[name].recipe), batch_size=BATCH, ema_decay=0.999, precision="fp32", mixup_cutmix_alpha=1.0
    )
    if optimizer:
        recipe = recipe.changed(optimizer=optimizer)
    images = random_images()
    state = build_state(recipe, images, images, torch.device("cpu"))
    state.model.train()
    labels = images.labels[:2]
    batch = Batch(torch.randn(2, 3, 64, 64), labels, labels.flip(0), 0.5)

    def both_passes() -> None:
        forward_backward(recipe, state, batch, 1.0)

    both_passes()
    state.optimizer.step()  # makes its state
    state.optimizer.zero_grad(set_to_none=True)
    return {
        "forward, backward": launches(both_passes),
        "optimizer": launches(state.optimizer.step),
        "EMA": launches(lambda: state.ema.update(1000) if state.ema else None),
    }


def main() -> None:
    arguments = console.parse(Arguments, __doc__)
    policies = {name: of_policy(name) for name in load_augmentations()}
    mixing = {kind: of_mixing(kind) for kind in ("mixup", "cutmix")}
    print("batch       " + ", ".join(f"{name} {count}" for name, count in policies.items()))
    print("mixing      " + ", ".join(f"{name} {count}" for name, count in mixing.items()))
    rows = []
    columns = ("forward, backward", "optimizer", "EMA")
    print(
        f"{'network':<14}{'policy':<10}{'batch':>7}{'mixing':>8}"
        + "".join(f"{name:>19}" for name in columns)
        + "  step"
    )
    for name in arguments.models or [*(each for each in list_models() if MODELS[each].compared), "speednet"]:
        recipe = get_recipe(MODELS[name].recipe)
        if recipe.augment not in policies:  # an expression
            policies[recipe.augment] = of_policy(recipe.augment)
        row = {"batch": policies[recipe.augment], "mixing": mixing["cutmix"], **of_step(name, arguments.optimizer)}
        rows.append({"network": name, "optimizer": arguments.optimizer or recipe.optimizer, "launches": row})
        print(
            f"{name:<14}{recipe.augment:<10}{row['batch']:>7}{row['mixing']:>8}"
            + "".join(f"{row[column]:>19}" for column in columns) + f"{sum(row.values()):>6}", flush=True
        )  # fmt: skip
    if arguments.output:
        write_json(
            arguments.output, {"torch": torch.__version__, "policies": policies, "mixing": mixing, "networks": rows}
        )


if __name__ == "__main__":
    console.run(main)
