"""The flags of the commands that carry out many runs: where these are carried out, and what is asked before."""

import functools
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from tinybench.cli import console
from tinybench.errors import UsageError
from tinybench.recipe import Device, NotNegative
from tinybench.words import duration

if TYPE_CHECKING:
    from tinybench.sweep.launchers import Launcher
    from tinybench.sweep.run_one import RunPaths

DAY = 24 * 3600  # seconds


@dataclass(kw_only=True)
class LaunchArguments:
    yes: bool = False
    """Start also what will take more than a day, without asking."""
    executor: Literal["here", "ray"] = "here"
    """One run after the other on this machine, or as many at a time as a Ray cluster has room for."""
    ray_address: str | None = None
    """Address of the Ray cluster (default: RAY_ADDRESS, or a new one on this machine)."""
    cpus_per_run: NotNegative = 1
    """CPUs that a run takes on the Ray cluster."""
    gpus_per_run: NotNegative | None = None
    """GPUs that a run takes on the Ray cluster; 0.25 lets four runs share one (default: 1 where the cluster has any,
    unless device is cpu)."""
    data_dir: Path = Path("data")
    """Where the data sets are."""
    results_dir: Path = Path("results")
    """Where the folders of the runs are."""
    device: Device = "auto"
    """auto takes CUDA, then MPS, then the CPU."""
    model_file: Path | None = None
    """File that adds networks to MODELS and holds their RECIPES."""
    debug: bool = False
    """Show the whole traceback of an error."""

    def paths(self) -> "RunPaths":
        from tinybench.sweep.run_one import RunPaths

        return RunPaths(
            data_dir=self.data_dir,
            results_dir=self.results_dir,
            device=self.device,
            model_file=self.model_file and self.model_file.resolve(),
        )

    def check_executor(self) -> None:
        """Raises UsageError where a flag of the cluster stands there without it."""
        on_ray = self.executor == "ray"
        console.require(on_ray, ["ray_address", "cpus_per_run", "gpus_per_run"], "goes with --executor ray")

    def launcher(self) -> "Launcher":
        """What carries the runs out."""
        from tinybench.sweep.launchers import run_here, run_on_ray

        if self.executor == "ray":
            return functools.partial(
                run_on_ray, address=self.ray_address, cpus=self.cpus_per_run, gpus=self.gpus_per_run
            )
        return run_here

    def confirm(self, seconds: float) -> None:
        """Ask on a terminal whether to start what takes more than a day, unless --yes says so.

        Raises:
            UsageError: nobody says yes.
        """
        if seconds <= DAY or self.yes:
            return
        what = f"on this machine alone this takes about {duration(seconds)}"
        if sys.stdin.isatty() and input(f"{what}; start? [y/N] ").strip().lower() in ("y", "yes"):
            return
        raise UsageError(f"not started: {what}; start it with --yes")
