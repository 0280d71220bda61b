"""MLflow: in a store below the results, or wherever MLFLOW_TRACKING_URI says."""

import contextlib
import os
import shlex
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from filelock import FileLock

from tinybench.runs import MLFLOW
from tinybench.training.trackers.base import PROJECT, STEP_LOSS, TrackedRun, Tracker

AT_ONCE = 1000  # metrics in a request; MLflow takes no more


class Mlflow(Tracker):
    packages = ("mlflow", "sqlalchemy", "alembic", "psutil")
    install = "mlflow-skinny sqlalchemy alembic psutil"
    environment: ClassVar[dict[str, str]] = {
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_LOGGING_LEVEL": "ERROR",
        # A server that is gone holds the training up for a minute a request, not for a quarter of an hour.
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
        "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
    }

    def __init__(self, run: TrackedRun) -> None:
        from mlflow import MlflowClient
        from mlflow.entities import Param
        from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

        store = run.options.results_dir.resolve() / MLFLOW
        address, artifacts = os.environ.get("MLFLOW_TRACKING_URI"), None
        self.view = str(address)
        if not address:
            store.mkdir(parents=True, exist_ok=True)
            address, artifacts = f"sqlite:///{store}/mlflow.db", (store / "artifacts").as_uri()
            self.view = f"mlflow ui --backend-store-uri {shlex.quote(address)}"
        # Of several runs that start together, one makes the store.
        with FileLock(store / "mlflow.lock") if artifacts else contextlib.nullcontext():
            self._client = MlflowClient(address)
            name = os.environ.get("MLFLOW_EXPERIMENT_NAME", PROJECT)
            experiment = self._client.get_experiment_by_name(name)
            group = experiment.experiment_id if experiment else self._client.create_experiment(name, artifacts)
        if run.former:
            self._id = run.former["id"]
            self._client.update_run(self._id, status="RUNNING")
        else:
            self._id = self._client.create_run(group, run_name=run.options.run_name).info.run_id
            # They cannot be changed later: those of a prolonged run are as it began.
            self._client.log_batch(self._id, params=[Param(name, str(value)) for name, value in run.recipe.items()])
        held = self._client.get_run(self._id).data.metrics
        self.place = {"id": self._id, "epochs": int(held.get("epoch", 0)), "images": int(held.get("images", 0))}
        self._monitor = SystemMetricsMonitor(self._id, resume_logging=True, tracking_uri=address)
        self._monitor.start()

    def log_epoch(self, epoch: int, values: Mapping[str, float]) -> None:
        self._log([(tag, value, epoch) for tag, value in {**values, "epoch": epoch}.items()])

    def log_steps(self, losses: Mapping[int, float]) -> None:
        last = max(losses)
        self._log([*((STEP_LOSS, loss, images) for images, loss in losses.items()), ("images", last, last)])

    def _log(self, metrics: list[tuple[str, float, int]]) -> None:
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        for start in range(0, len(metrics), AT_ONCE):
            batch = [Metric(tag, value, now, step) for tag, value, step in metrics[start : start + AT_ONCE]]
            self._client.log_batch(self._id, batch)

    def log_files(self, paths: Sequence[Path]) -> None:
        for path in paths:
            self._client.log_artifact(self._id, path)

    def close(self, finished: bool) -> None:
        self._monitor.finish()
        self._client.set_terminated(self._id, "FINISHED" if finished else "KILLED")
