"""One function per figure of what results and stats computed. They return the figure; the caller saves or shows it."""

from tinybench.figures.accuracy import accuracy_bars, published_accuracy, published_hours
from tinybench.figures.classes import class_accuracy, confusion_matrix
from tinybench.figures.costs import accuracy_against_costs
from tinybench.figures.data import channel_statistics
from tinybench.figures.predictions import agreement_between_models, critical_differences, reliability_diagram
from tinybench.figures.robustness import attack_curves, corruption_curves
from tinybench.figures.roofline import roofline
from tinybench.figures.search import accuracy_by_trials, search_fields, search_trials
from tinybench.figures.single_run import training_accuracy, training_loss
from tinybench.figures.training import generalization_gap, learning_curves, learning_rates

__all__ = [
    "accuracy_against_costs",
    "accuracy_bars",
    "accuracy_by_trials",
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
    "published_hours",
    "reliability_diagram",
    "roofline",
    "search_fields",
    "search_trials",
    "training_accuracy",
    "training_loss",
]
