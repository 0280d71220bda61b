"""Draw every figure of a comparison: `python plots/plot_comparison.py --plan comparison` writes plots/<plan>/*.png."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

from tinybench import cli
from tinybench.analysis.plotting import plot_comparison

if __name__ == "__main__":
    cli.run(lambda: plot_comparison(__doc__))
