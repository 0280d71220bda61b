"""Signs of life: where no terminal shows a bar (nohup, a scheduler, CI), a line at least every minute."""

import sys
import time

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
