"""Where the runs of a plan are carried out: here, one after the other, or on a Ray cluster.

Each launcher takes the runs that are left, one when there is room for it, and yields (run, reason) as they end; the
reason is None for a run that went well. Each run has a process of its own, so that its peak memory is its own, and none
takes the others down with it.
"""

import contextlib
import logging
import math
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import tinybench
from tinybench.errors import UsageError
from tinybench.recipe import Device
from tinybench.runtime.allocator import SWITCH, TUNABLES
from tinybench.runtime.processes import end_quickly, end_with_parent
from tinybench.runtime.signals import StopSignals
from tinybench.sweep.plan import Run
from tinybench.sweep.run_one import LOG, RunPaths, run_one_logged
from tinybench.training.saving import Stopped

POLL_SECONDS = 1.0
RETRIES = 3  # of a run whose worker was lost
CALLED_OFF = "called off"  # the outcome of a run that `watch` had no more use for

Outcome = tuple[Run, str | None]
Watch = Callable[[Run], bool]  # told which run is on; whether to call it off
Launcher = Callable[[Iterable[Run], RunPaths, Watch], Iterator[Outcome]]


def run_here(runs: Iterable[Run], paths: RunPaths, watch: Watch) -> Iterator[Outcome]:
    """Carry the runs out one after the other, calling `watch` every second with the run that is on.

    Raises:
        Stopped: SIGINT or SIGTERM came; the run that was on has been saved.
    """
    context = multiprocessing.get_context("spawn")  # a fork would inherit torch's threads and locks
    for run in runs:
        receiver, sender = context.Pipe(duplex=False)
        process = context.Process(target=_child, args=(run, paths, sender), daemon=True)
        with StopSignals() as stop:
            # The mask is inherited: Ctrl-C while the child still imports is for the parent to answer.
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
            try:
                process.start()
            finally:
                signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
            sender.close()
            called_off = False
            while process.is_alive():
                process.join(POLL_SECONDS)
                called_off = watch(run)
                if stop.received or called_off:
                    process.terminate()  # SIGTERM: it saves and ends
                    process.join()
        if stop.received:
            error = Stopped(f"stopped by {stop.received.name} in {run.name}; the same command goes on")
            error.status = 128 + stop.received
            raise error
        try:
            yield run, CALLED_OFF if called_off else receiver.recv()
        except EOFError:
            yield run, _lost(process.exitcode, paths.results_dir / run.name / LOG)


def _lost(exit_code: int | None, log: Path) -> str:
    """Why a process ended without an outcome. Where memory runs out, the system kills."""
    if exit_code == -signal.SIGKILL:
        return "its process was killed; perhaps the memory did not suffice"
    return f"its process ended with exit code {exit_code}; {log} may say why"


def _child(run: Run, paths: RunPaths, sender: Any) -> None:
    os.setsid()  # Ctrl-C reaches the parent alone, which passes it on
    end_with_parent()
    end_quickly()
    # Outside of the training too, the parent's SIGTERM lets Python end in order and give its semaphores back.
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    with contextlib.suppress(Stopped):
        sender.send(run_one_logged(run, paths))


def run_on_ray(
    runs: Iterable[Run],
    paths: RunPaths,
    watch: Watch,
    *,
    address: str | None = None,
    cpus: float = 1,
    gpus: float | None = None,
) -> Iterator[Outcome]:
    """Carry the runs out on a Ray cluster, as many at a time as it has room for.

    data_dir and results_dir must be the same shared folders on every node: a run whose worker was lost goes on from its
    last checkpoint on another one.

    Args:
        address: of the cluster; None takes the one that RAY_ADDRESS names, or starts one on this machine.
        cpus, gpus: what a run takes; 0.25 of a GPU lets four runs share one. None: see `usual_gpus`.

    Raises:
        UsageError: the package ray is not installed, or the cluster can never have room for a run.
    """
    try:
        import ray
    except ImportError as error:
        raise UsageError("--executor ray needs a package: pip install 'ray[default]'") from error
    # The nodes need the packages of requirements.txt; our own one travels with the job.
    ours = {
        "py_modules": [str(Path(tinybench.__file__).parent)],
        "env_vars": {name: os.environ[name] for name in (SWITCH, TUNABLES) if name in os.environ},
    }
    ray.init(
        address=address,
        runtime_env=ours,
        log_to_driver=False,
        logging_level=logging.WARNING,
        ignore_reinit_error=True,  # a search carries runs out several times in one process
    )
    have = ray.cluster_resources()
    if gpus is None:
        gpus = usual_gpus(have, paths.device)
    print(f"each run takes {cpus:g} CPUs and {gpus:g} GPUs; the cluster has {_resources(have)}", flush=True)
    if cpus > have.get("CPU", 0) or gpus > have.get("GPU", 0):
        raise UsageError(
            f"a run asks for {cpus:g} CPUs and {gpus:g} GPUs, the cluster has {_resources(have)}; "
            "lower --cpus_per_run or --gpus_per_run"
        )
    # A process serves one run only (max_calls), and is replaced when it or its node is lost (max_retries).
    task = ray.remote(num_cpus=cpus, num_gpus=gpus, max_calls=1, max_retries=RETRIES)(run_one_logged)
    # A cluster that grows has to see all that waits; runs that depend on the outcome of others come when there is room.
    room = math.inf if isinstance(runs, Sequence) else _places(have, cpus, gpus)
    pending: dict[Any, Run] = {}
    called_off: set[str] = set()
    coming = iter(runs)
    while True:
        while len(pending) < room and (run := next(coming, None)):
            pending[task.remote(run, paths)] = run
        if not pending:
            return
        done, _ = ray.wait(list(pending), timeout=POLL_SECONDS)
        for reference, run in pending.items():
            if watch(run) and run.name not in called_off:
                called_off.add(run.name)
                ray.cancel(reference, force=True)
        for reference in done:
            run = pending.pop(reference)
            try:
                yield run, CALLED_OFF if run.name in called_off else ray.get(reference)
            except ray.exceptions.RayError as error:
                yield run, f"its worker was lost {RETRIES + 1} times: {type(error).__name__}"


def _places(have: dict[str, float], cpus: float, gpus: float) -> int:
    """How many runs a cluster carries out at a time."""
    wanted = {"CPU": cpus, "GPU": gpus}
    return min((int(have.get(kind, 0) / each) for kind, each in wanted.items() if each), default=1)


def usual_gpus(have: dict[str, float], device: Device) -> float:
    """One GPU for a run where the cluster has any, as Ray hides all others from it; none for a run on the CPU."""
    return float(have.get("GPU", 0) > 0 and device in ("auto", "cuda"))


def _resources(have: dict[str, float]) -> str:
    return f"{have.get('CPU', 0):g} and {have.get('GPU', 0):g}"
