"""The experiment trackers that --track knows, by name."""

from tinybench.training.trackers.base import Tracker
from tinybench.training.trackers.mlflow import Mlflow
from tinybench.training.trackers.tensorboard import TensorBoard
from tinybench.training.trackers.trackio import Trackio
from tinybench.training.trackers.wandb import Wandb

TRACKERS: dict[str, type[Tracker]] = {
    "tensorboard": TensorBoard,
    "wandb": Wandb,
    "mlflow": Mlflow,
    "trackio": Trackio,
}
