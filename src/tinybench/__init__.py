"""tinybench: train and compare image classifiers at 64x64 under one protocol."""

__version__ = "0.1.0"
