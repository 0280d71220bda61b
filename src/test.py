"""Test trained networks on the test images: `python src/test.py --model resnet`, or every run without --model.

With --robustness, also on test images that are corrupted, attacked or partly hidden.
"""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tinybench import cli
from tinybench.errors import UsageError, UserError
from tinybench.evaluation.arguments import NetworkArguments
from tinybench.evaluation.robustness import robustness_line, test_robustness
from tinybench.evaluation.testing import CHECKPOINTS, TestOptions, Weights, find_runs, result_line, test_checkpoint
from tinybench.runtime.device import pick_device


@dataclass(kw_only=True)
class Arguments(NetworkArguments):
    weights: Weights = "best"
    """Of the best epoch on the validation images, of the last epoch, or the last moving average (of --checkpoint: ema
    takes its moving average, the others its weights)."""
    tta: bool = False
    """Also average each image's probabilities with those of its mirror image; reported under keys of its own."""
    calibrate: bool = False
    """Also fit a temperature on the run's validation images, and report likelihood and calibration with it."""
    robustness: bool = False
    """Also test on corrupted, attacked and partly hidden images; written to robustness.json. Takes some 200 times as
    long."""
    robustness_images: int = 0
    """Disturb only the first so many test images of each class (0: all)."""
    errors: bool = False
    """Also print the hardest and easiest classes and the commonest mistakes, and draw examples of them."""
    output_dir: Path = Path("plots")
    """The pictures of --errors go to output_dir/<run>/."""
    force: bool = False
    """With --errors: replace files of something else that have the names of the pictures."""
    batch_size: int = 256
    """Images at a time."""
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    """Arithmetic of convolutions and matrix products."""
    data_dir: Path = Path("data")
    """Where the data sets are."""


def main() -> int:
    arguments = cli.parse(Arguments, __doc__)
    arguments.check()
    if arguments.batch_size < 1:
        raise UsageError(f"--batch_size must be at least 1, not {arguments.batch_size}")
    if arguments.robustness_images < 0:
        raise UsageError(f"--robustness_images must not be negative, but is {arguments.robustness_images}")
    if arguments.robustness_images and not arguments.robustness:
        raise UsageError("--robustness_images goes with --robustness")
    options = TestOptions(
        data_dir=arguments.data_dir,
        device=pick_device(arguments.device),
        weights=arguments.weights,
        batch_size=arguments.batch_size,
        precision=arguments.precision,
        tta=arguments.tta,
        calibrate=arguments.calibrate,
    )

    def test(name: str, checkpoint: Path) -> None:
        results = test_checkpoint(checkpoint, options)
        print(result_line(name, results), flush=True)
        if arguments.errors:
            from tinybench.analysis.errors import show_errors  # plotting is slow to import

            show_errors(checkpoint, results, options.data_dir, arguments.output_dir / name, arguments.force)
        if arguments.robustness:
            results = test_robustness(checkpoint, options, images_per_class=arguments.robustness_images)
            print(robustness_line(name, results), flush=True)

    if arguments.checkpoint:
        test(arguments.checkpoint.stem, arguments.checkpoint)
        return 0
    failures = 0
    for name, folder in find_runs(arguments.results_dir, arguments.model).items():
        try:
            test(name, folder / CHECKPOINTS[options.weights])
        except UserError as error:
            if arguments.model:
                raise
            failures += 1
            print(f"error: {name}: {error}", file=sys.stderr)
    return 1 if failures else 0


if __name__ == "__main__":
    cli.run(main)
