"""Figures, one function each. They return the figure; scripts and notebooks save or show it."""

from tinybench.analysis.figures.accuracy import accuracy_bars, published_accuracy
from tinybench.analysis.figures.classes import class_accuracy, confusion_matrix
from tinybench.analysis.figures.costs import accuracy_against_costs
from tinybench.analysis.figures.data import channel_statistics
from tinybench.analysis.figures.predictions import agreement_between_models, critical_differences, reliability_diagram
from tinybench.analysis.figures.robustness import attack_curves, corruption_curves
from tinybench.analysis.figures.roofline import roofline
from tinybench.analysis.figures.single_run import training_accuracy, training_loss
from tinybench.analysis.figures.training import generalization_gap, learning_curves, learning_rates

__all__ = [
    "accuracy_against_costs",
    "accuracy_bars",
    "agreement_between_models",
    "attack_curves",
    "channel_statistics",
    "class_accuracy",
    "confusion_matrix",
    "corruption_curves",
    "critical_differences",
    "generalization_gap",
    "learning_curves",
    "learning_rates",
    "published_accuracy",
    "reliability_diagram",
    "roofline",
    "training_accuracy",
    "training_loss",
]
