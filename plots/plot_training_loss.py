"""Draw the training and validation loss of runs: `python plots/plot_training_loss.py --run resnet`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

from tinybench import cli
from tinybench.analysis.figures import training_loss
from tinybench.analysis.plotting import plot_runs

if __name__ == "__main__":
    cli.run(lambda: plot_runs(training_loss, "training_loss.png", __doc__))
