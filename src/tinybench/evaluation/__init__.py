"""Trained networks on the test images: accuracy, calibration, robustness, and where they look."""
