"""Draw the training and validation accuracy of runs: `python plots/plot_training_acc.py --run resnet`."""

from tinybench.cli.plots import plot_runs


def main() -> None:
    plot_runs("training_accuracy", __doc__)
