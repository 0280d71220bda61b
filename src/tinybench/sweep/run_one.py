"""Carry out one run of a plan: train it or go on, test it, measure it."""

import contextlib
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import filelock

from tinybench.errors import UserError, describe, out_of_memory
from tinybench.evaluation.evaluate import EvalOptions, Weights, evaluate_run
from tinybench.inference.checkpoint import load_network, read_checkpoint
from tinybench.model_file import load_model_file
from tinybench.profiling.inference import count_flops, measure_inference
from tinybench.recipe import Device, Recipe, RunOptions
from tinybench.results.runs import same_as_best
from tinybench.runtime.device import memory_format, pick_device
from tinybench.runtime.files import write_json, write_text
from tinybench.sweep.plan import Run
from tinybench.sweep.status import epochs_done, history_of, status_of
from tinybench.sweep.traces import ERROR, LOCK, MEASUREMENTS
from tinybench.training.saving import Stopped
from tinybench.training.setup import PROBED_SECONDS
from tinybench.training.trainer import train

LOG = "log.txt"
HELD = "left to another process, which is carrying it out"  # the outcome of a run that neither went well nor failed


@dataclass(frozen=True, kw_only=True)
class RunPaths:
    """Where the runs of a plan read and write, and what they compute on."""

    data_dir: Path = Path("data")
    results_dir: Path = Path("results")
    device: Device = "auto"
    model_file: Path | None = None


def run_one(run: Run, paths: RunPaths) -> None:
    """Do what is left of a run. Its folder then holds its history and, unless it is only validated, measurements and
    test results: of the best weights, and of the last ones and their average where these are others.

    Raises:
        UserError: as training and testing do.
    """
    if paths.model_file:
        load_model_file(paths.model_file)
    options = RunOptions(
        run_name=run.name,
        data_dir=paths.data_dir,
        results_dir=paths.results_dir,
        device=paths.device,
        save_every=run.save_every,
        model_file=paths.model_file,
    )
    if epochs_done(run, paths.results_dir) < run.recipe.epochs:
        last = options.folder / "last.pth"
        train(run.recipe, options, resume=last if last.exists() else None)
    if run.validate_only:
        return
    device = pick_device(paths.device)
    checkpoint = read_checkpoint(options.folder / "best_model.pth")
    recipe = run.recipe.with_numerics_of(Recipe.from_dict(checkpoint["recipe"]))
    kinds: tuple[Weights, ...] = ("best", "last", "ema") if recipe.ema_decay else ("best", "last")
    same = same_as_best(history_of(options.folder))
    for weights in kinds:
        if weights != same:
            evaluate_run(options.folder, EvalOptions(device=device, data_dir=paths.data_dir, weights=weights))
    model = load_network(checkpoint).to(device)
    measurements = {
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "flops": count_flops(model, recipe.image_size),
        "inference": measure_inference(
            model.to(memory_format=memory_format(recipe.channels_last)),
            image_size=recipe.image_size,
            batch_size=recipe.batch_size,
            precision=recipe.precision,
            channels_last=recipe.channels_last,
        ),
    }
    write_json(options.folder / MEASUREMENTS, measurements)


def run_one_logged(run: Run, paths: RunPaths) -> str | None:
    """Carry out a run, printing into its log.txt; the reason is returned, and kept in error.txt, if it fails.

    A run that another process holds is left alone: the reason is HELD. One that it has finished meanwhile is done.

    Raises:
        Stopped: a signal ended it; it can be resumed.
    """
    folder = paths.results_dir / run.name
    try:
        with _held(folder):
            state = status_of(run, paths.results_dir, held=True).state
            if state == "running":
                return HELD
            if state != "finished":
                (folder / ERROR).unlink(missing_ok=True)
                _run_one_into_log(run, paths, folder / LOG)
    except filelock.Timeout:
        return HELD
    except Stopped:
        raise
    except Exception as error:  # whatever went wrong here, the other runs go on
        reason = _reason(error)
        with contextlib.suppress(OSError, UserError):  # a full disk has no room for the reason either
            write_text(folder / ERROR, reason + "\n")
        return reason
    return None


@contextlib.contextmanager
def _held(folder: Path) -> Iterator[None]:
    """Hold a run for this process alone, from its training to its measurements.

    Raises:
        filelock.Timeout: another process holds it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with filelock.FileLock(folder / LOCK, timeout=PROBED_SECONDS):
        yield


def _run_one_into_log(run: Run, paths: RunPaths, path: Path) -> None:
    with (
        path.open("a", encoding="utf-8", buffering=1) as log,
        contextlib.redirect_stdout(log),
        contextlib.redirect_stderr(log),
    ):
        try:
            run_one(run, paths)
        except Stopped as error:
            print(error)
            raise
        except Exception:
            with contextlib.suppress(OSError):  # what went wrong may be that the disk is full
                traceback.print_exc()
            raise


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) or out_of_memory(error):
        return describe(error)
    reason = str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
    return reason.splitlines()[0]
