"""The files by which it is told where a run stands; torch is not needed to look at them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import filelock

ERROR = "error.txt"  # why the last attempt failed
LOCK = ".compare.lock"  # held by the process that carries the run out; .lock by any that trains in its folder
MEASUREMENTS = "measurements.json"  # written last: with it, a run that is tested is finished


def accuracies(history: Mapping[str, Any]) -> list[float]:
    """Validation accuracy of each epoch in percent, of the averaged weights where they are better."""
    plain: list[float] = history.get("val_acc", [])
    return [max(pair) for pair in zip(plain, history.get("ema_val_acc", plain), strict=False)]


def is_locked(path: Path) -> bool:
    """Whether a process holds the lock."""
    if not path.exists():
        return False
    lock = filelock.FileLock(path, timeout=0)
    try:
        lock.acquire()
    except filelock.Timeout:
        return True
    lock.release()
    return False
