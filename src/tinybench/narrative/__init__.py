"""Sentences computed from the numbers of the runs, one function each; the notebooks print them below the figures."""

from tinybench.narrative.errors import agreement, classes, confusions, nearness
from tinybench.narrative.results import (
    calibration,
    corruption_errors,
    costs,
    ensembles,
    leaderboard,
    published,
    published_table,
    ranking,
    robustness,
)
from tinybench.narrative.runs import chosen_runs
from tinybench.narrative.training import gaps, learning, schedules, speed

__all__ = [
    "agreement",
    "calibration",
    "chosen_runs",
    "classes",
    "confusions",
    "corruption_errors",
    "costs",
    "ensembles",
    "gaps",
    "leaderboard",
    "learning",
    "nearness",
    "published",
    "published_table",
    "ranking",
    "robustness",
    "schedules",
    "speed",
]
