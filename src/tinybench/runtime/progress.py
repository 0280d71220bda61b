"""How far long work is: a bar on a terminal; elsewhere (nohup, a scheduler, CI) a line at least every minute."""

import sys
import time

from tqdm import tqdm

LINE_SECONDS = 60.0


class Heartbeat:
    """Says when a line is due, which is never where a terminal shows a bar."""

    def __init__(self) -> None:
        self._last = time.monotonic()

    def is_due(self) -> bool:
        now = time.monotonic()
        if sys.stderr.isatty() or now - self._last < LINE_SECONDS:
            return False
        self._last = now
        return True


class Progress:
    """A count of images, with the rate and the time left.

    Args:
        total, done: images of the whole work, and those that an earlier process saw.
        shown: False in processes that print nothing.
    """

    def __init__(self, total: int, done: int, *, shown: bool) -> None:
        self.bar = tqdm(
            total=total, initial=done, unit=" images", smoothing=0.05, disable=None if shown else True
        )  # fmt: skip
        self._total, self._done = total, done
        self._heartbeat, self._line = Heartbeat(), (time.monotonic(), done)

    def update(self, images: int) -> None:
        self._done += images
        self.bar.update(images)

    def show(self, where: str, numbers: str) -> None:
        """Put these beside the bar, or print them when a line is due."""
        self.bar.set_description(where, refresh=False)
        self.bar.set_postfix_str(numbers, refresh=False)
        if self._heartbeat.is_due():
            now, (then, before) = time.monotonic(), self._line
            rate = (self._done - before) / (now - then)
            self._line = now, self._done
            left = tqdm.format_interval((self._total - self._done) / rate)
            print(f"{where}: {numbers}, {rate:,.1f} images/s, {left} left", flush=True)
