"""Draw the training and validation accuracy of runs: `python plots/plot_training_acc.py --run resnet`."""

from tinybench.cli.plots import plot_runs
from tinybench.figures import training_accuracy


def main() -> None:
    plot_runs(training_accuracy, "training_accuracy.png", __doc__)
