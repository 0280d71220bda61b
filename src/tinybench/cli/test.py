"""Test trained networks on the test images: `python src/test.py --run resnet`.

Without --run, every trained run is tested that has not been, or whose weights or images have changed since. With
--robustness, also on test images that are corrupted, attacked or partly hidden.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from tinybench.cli import console
from tinybench.cli.figure_arguments import FLAGS, FigureArguments
from tinybench.cli.infer import list_images
from tinybench.cli.run_arguments import NetworkArguments
from tinybench.errors import UsageError, UserError
from tinybench.recipe import Count, CountOrNone
from tinybench.runs import CHECKPOINTS, Weights, find_runs

if TYPE_CHECKING:
    from tinybench.evaluation.evaluate import EvalOptions


@dataclass(kw_only=True)
class Arguments(FigureArguments, NetworkArguments):
    again: bool = False
    """Without --run: test all runs, also those whose results still hold."""
    dataset: str = ""
    """Where the run's data set is now, if it has moved; the images must be the same."""
    weights: Weights = "best"
    """Of the best epoch on the validation images, of the last epoch, or the last moving average (of --checkpoint: ema
    takes its moving average, the others its weights)."""
    tta: bool = False
    """Also average each image's probabilities with those of its mirror image; reported under keys of its own."""
    calibrate: bool = False
    """Also fit a temperature on the run's validation images, and report likelihood and calibration with it."""
    foreign: tuple[Path, ...] = ()
    """Also find out how well the network tells these images, files or folders of none of its classes, from the test
    images, by its maximum probability and by its energy."""
    robustness: bool = False
    """Also test on corrupted, attacked and partly hidden images; written to robustness.json. Takes some 200 times as
    long."""
    robustness_images: CountOrNone = 0
    """Disturb only the first so many test images of each class (0: all)."""
    errors: bool = False
    """Also print the hardest and easiest classes and the commonest mistakes, and draw examples of them."""
    output_dir: Path = Path("plots")
    """The figures of --errors go to output_dir/<run>/."""
    batch_size: Count = 256
    """Images at a time."""
    precision: Literal["training", "fp32", "bf16", "fp16"] = "training"
    """Arithmetic of convolutions and matrix products (training: that of the run's training, where the device computes
    in it; else fp32)."""
    data_dir: Path = Path("data")
    """Where the data sets are."""


def main() -> int:
    arguments = console.parse(Arguments, __doc__)
    from tinybench.evaluation.evaluate import EvalOptions
    from tinybench.runtime.device import pick_device

    arguments.check()
    console.require(arguments.robustness, ["robustness_images"], "goes with --robustness")
    console.require(arguments.errors, ["output_dir", *FLAGS], "goes with --errors")
    arguments.check_figures()
    exported = arguments.checkpoint is not None and arguments.checkpoint.suffix == ".onnx"
    why = f"does nothing with {arguments.checkpoint}, which ONNX Runtime runs on the CPU as it stands there"
    console.require(not exported, ["weights", "precision", "robustness", "device", "model_file"], why)
    runs = arguments.picked()
    named = bool(runs or arguments.checkpoint)
    if arguments.dataset and not named:
        raise UsageError("--dataset says where the images of one run are now; name it with --run")
    if arguments.again and named:
        raise UsageError("--again goes without --run and --checkpoint: what is named is always tested")
    options = EvalOptions(
        data_dir=arguments.data_dir,
        device=pick_device("cpu" if exported else arguments.device),
        weights=arguments.weights,
        batch_size=arguments.batch_size,
        precision=arguments.precision,
        tta=arguments.tta,
        calibrate=arguments.calibrate,
        dataset=arguments.dataset,
        foreign=tuple(list_images(list(arguments.foreign))),
    )
    if arguments.checkpoint:
        checkpoints = {arguments.checkpoint.stem: arguments.checkpoint}
    else:
        folders = runs or find_runs(arguments.results_dir)
        checkpoints = {name: folder / CHECKPOINTS[options.weights] for name, folder in folders.items()}
    skipped, failures = [], 0
    for name, checkpoint in checkpoints.items():
        try:
            if not test(name, checkpoint, arguments, options, again=named or arguments.again):
                skipped.append(name)
        except UserError as error:
            if named:
                raise
            failures += 1
            console.report(f"error: {name}: {error}")
    if skipped:
        print(f"skipped, as their results still hold (--again tests them too): {', '.join(skipped)}")
    return 1 if failures else 0


def test(name: str, checkpoint: Path, arguments: Arguments, options: "EvalOptions", *, again: bool) -> bool:
    """Test a checkpoint and print what came of it; whether there was anything to do.

    Args:
        again: also what has been tested already, with results that still hold.
    """
    from tinybench.evaluation.evaluate import TestedNetwork, evaluate, former_results, result_line
    from tinybench.evaluation.robustness.evaluate import former_robustness, measure_robustness, robustness_line

    network = TestedNetwork(checkpoint, options)
    former = {} if again else former_results(network)
    results = former or evaluate(network)
    if not former or arguments.errors:
        print(result_line(name, results), flush=True)
    if arguments.errors:
        from tinybench.cli.mistakes import show_errors  # plotting is slow to import

        show_errors(network, results, arguments.output_dir / name, arguments)
    if arguments.robustness:
        count = arguments.robustness_images
        if again or not former_robustness(network, images_per_class=count):
            print(robustness_line(name, measure_robustness(network, images_per_class=count)), flush=True)
            return True
    return not former
