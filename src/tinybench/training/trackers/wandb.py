"""Weights & Biases: on its server, or offline in the run's folder."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from tinybench.errors import notice
from tinybench.training.trackers.base import PROJECT, STEP_LOSS, TrackedRun, Tracker

FINISH_SECONDS = 300  # for the last uploads; without a network they would never end


class Wandb(Tracker):
    packages = ("wandb",)
    install = "wandb"
    environment: ClassVar[dict[str, str]] = {
        "WANDB_ERROR_REPORTING": "false",
        "WANDB_X_TRANSACTION_LOG_FLUSH_INTERVAL": "1",  # seconds that kill -9 may cost; 15 by default
    }

    def __init__(self, run: TrackedRun) -> None:
        import wandb

        self._name_of = run.artifact_name
        folder, former = os.environ.get("WANDB_DIR", run.options.folder), run.former
        settings = wandb.Settings(
            silent=True, console="off", finish_timeout=FINISH_SECONDS, finish_timeout_raises=True
        )  # fmt: skip
        asks = wandb.setup(settings).settings.mode == "online" and not wandb.login(prompt=False, verify=False)
        if asks:
            notice(f"wandb is not logged in (wandb login): it records offline, in {folder}/wandb")
        self._run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", PROJECT),
            id=former["id"] if former else None,
            resume="allow" if former else None,
            reinit="create_new",
            name=run.options.run_name,
            dir=folder,
            mode="offline" if asks else None,
            settings=settings,
        )
        self._run.config.update(run.recipe, allow_val_change=True)
        self._run.define_metric("*", step_metric="epoch")
        self._run.define_metric(STEP_LOSS, step_metric="images")
        if former and self._run.offline:
            self.place = former
        else:  # the server knows
            held = self._run.summary
            self.place = {"id": self._run.id, "epochs": held.get("epoch", 0), "images": held.get("images", 0)}
        self.view = self._run.url or f"wandb sync {Path(self._run.dir).parent}"

    def log_epoch(self, epoch: int, values: Mapping[str, float]) -> None:
        self._run.log({"epoch": epoch, **values})

    def log_steps(self, losses: Mapping[int, float]) -> None:
        for images, loss in losses.items():
            self._run.log({"images": images, STEP_LOSS: loss})

    def log_files(self, paths: Sequence[Path]) -> None:
        for path in paths:
            self._run.log_artifact(path, name=self._name_of(path), type=path.stem)

    def close(self, finished: bool) -> None:
        self._run.finish(exit_code=0 if finished else 1)
