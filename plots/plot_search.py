import sys

sys.path.insert(0, sys.path[0] + "/../src")

from tinybench.cli.commands import start

if __name__ == "__main__":
    start("plot_search")
