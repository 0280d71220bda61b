"""Draw the training and validation accuracy of runs: `python plots/plot_training_acc.py --run resnet`."""

from tinybench.cli import console
from tinybench.cli.plots import Arguments, plot_runs


def main() -> None:
    plot_runs("training_accuracy", console.parse(Arguments, __doc__))
