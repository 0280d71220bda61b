"""Trackio: on this machine, or where TRACKIO_SPACE_ID or TRACKIO_SERVER_URL says."""

import contextlib
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from tinybench.training.trackers.base import PROJECT, STEP_LOSS, TrackedRun, Tracker


class Trackio(Tracker):
    packages = ("trackio",)
    install = "trackio"
    environment: ClassVar[dict[str, str]] = {"HF_HUB_DISABLE_TELEMETRY": "1", "GRADIO_ANALYTICS_ENABLED": "False"}

    def __init__(self, run: TrackedRun) -> None:
        import trackio

        self._trackio = trackio
        former, name = run.former, run.options.run_name
        with contextlib.redirect_stdout(io.StringIO()):
            self._run = trackio.init(
                PROJECT, name, config=run.recipe, resume="must" if former else "never", embed=False
            )  # fmt: skip
        self._name_of = run.artifact_name
        self.place = former or {"id": self._run.id, "epochs": 0, "images": 0}
        if self._run.id != self.place["id"]:  # Trackio finds runs by name
            raise RuntimeError(f"another run {name} has been tracked since, perhaps in another results_dir")
        self.view = f"trackio show --project {PROJECT}"

    def log_epoch(self, epoch: int, values: Mapping[str, float]) -> None:
        self._run.log({"epoch": epoch, **values}, step=epoch)

    def log_steps(self, losses: Mapping[int, float]) -> None:
        for images, loss in losses.items():
            self._run.log({"images": images, STEP_LOSS: loss}, step=images)

    def log_files(self, paths: Sequence[Path]) -> None:
        for path in paths:
            self._run.log_artifact(path, name=self._name_of(path), type=path.stem)

    def close(self, finished: bool) -> None:
        with contextlib.redirect_stdout(io.StringIO()):
            self._trackio.finish()
