"""Draw the training and validation loss of runs: `python plots/plot_training_loss.py --run resnet`."""

from tinybench.cli.plots import plot_runs


def main() -> None:
    plot_runs("training_loss", __doc__)
