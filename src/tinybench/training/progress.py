"""How far a training is: a bar on a terminal; elsewhere (nohup, a scheduler, CI) a line at least every minute."""

import time
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Self

from tqdm import tqdm

from tinybench.runtime.device import AsyncScalar
from tinybench.runtime.distributed import is_main
from tinybench.runtime.progress import Heartbeat
from tinybench.training.state import TrainingState

REFRESH_SECONDS = 0.5  # how often the sums are read and shown


class Progress:
    """Images seen, images/s and time left of a whole run, with the loss and the accuracy of the epoch so far.

    Args:
        epochs, steps, batch_size: of the run; steps an epoch, images a step.
        state: where the run is; an earlier process may have begun it.
    """

    def __init__(self, epochs: int, steps: int, batch_size: int, state: TrainingState) -> None:
        self.epochs, self.steps, self.batch_size = epochs, steps, batch_size
        self._total, self._done = (
            count * batch_size for count in (epochs * steps, len(state.history) * steps + state.step)
        )
        self._bar = tqdm(
            total=self._total, initial=self._done, unit=" images", smoothing=0.05, disable=None if is_main() else True
        )
        self._heartbeat, self._line = Heartbeat(), (time.monotonic(), self._done)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._bar.close()

    def begin_epoch(self) -> None:
        self._reader, self._read_at = AsyncScalar(), time.monotonic()

    def after_step(self, state: TrainingState, check_finite: Callable[[Iterable[float]], None]) -> None:
        """Count a batch; now and then also check and show the epoch's sums, without waiting for the device."""
        self._done += self.batch_size
        self._bar.update(self.batch_size)
        if not is_main() or time.monotonic() - self._read_at < REFRESH_SECONDS:
            return
        self._read_at = time.monotonic()
        if sums := self._reader.read(state.sums):
            check_finite(sums)
            loss, accuracy = (value / (state.step * self.batch_size) for value in sums)
            where = f"epoch {len(state.history) + 1}/{self.epochs}, step {state.step}/{self.steps}"
            self._show(where, f"loss {loss:.3f}, accuracy {100 * accuracy:.1f} %")

    def _show(self, where: str, numbers: str) -> None:
        self._bar.set_description(where, refresh=False)
        self._bar.set_postfix_str(numbers, refresh=False)
        if self._heartbeat.is_due():
            now, (then, before) = time.monotonic(), self._line
            rate = (self._done - before) / (now - then)
            self._line = now, self._done
            left = tqdm.format_interval((self._total - self._done) / rate)
            print(f"{where}: {numbers}, {rate:,.1f} images/s, {left} left", flush=True)

    def write(self, line: str) -> None:
        """Print a line above the bar, at once: a log file shows it now, not when the buffer is full."""
        self._bar.write(line)
        print(end="", flush=True)
