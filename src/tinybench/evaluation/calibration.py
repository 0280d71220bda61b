"""Temperature scaling (Guo et al. 2017, On Calibration of Modern Neural Networks, https://arxiv.org/abs/1706.04599)."""

import math

import torch
from torch import Tensor

COLDEST, HOTTEST = 0.02, 50.0
HALVINGS = 40  # of the logarithm's range; 1e-11 is left of it


def fit_temperature(logits: Tensor, labels: Tensor) -> float:
    """The temperature T for which softmax(logits / T) has the smallest negative log-likelihood.

    The likelihood has one optimum, since it is concave in 1 / T; it is where its slope changes sign. Where there is
    none (every prediction is correct, or every one wrong), T is the nearer end of COLDEST to HOTTEST.

    Args:
        logits: (N, classes) of images that the network was not trained on, on the CPU.
        labels: int64 (N,).
    """
    logits = logits.double()
    of_label = logits.gather(1, labels[:, None]).squeeze(1)
    low, high = math.log(COLDEST), math.log(HOTTEST)
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        expected = (torch.softmax(logits / math.exp(middle), 1) * logits).sum(1)
        # The slope of the negative log-likelihood in 1 / T: positive means that T is too small.
        if (expected - of_label).mean() > 0:
            low = middle
        else:
            high = middle
    return math.exp((low + high) / 2)
