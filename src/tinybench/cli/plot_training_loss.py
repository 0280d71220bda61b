"""Draw the training and validation loss of runs: `python plots/plot_training_loss.py --run resnet`."""

from tinybench.cli import console
from tinybench.cli.plots import Arguments, plot_runs


def main() -> None:
    plot_runs("training_loss", console.parse(Arguments, __doc__))
