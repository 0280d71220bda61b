"""Ctrl-C and SIGTERM as a flag that a loop can look at between two steps."""

import signal
from types import FrameType, TracebackType


class StopSignals:
    """Within the block, the first SIGINT or SIGTERM only sets `received`; a second one ends the program at once."""

    received: signal.Signals | None = None

    def __enter__(self) -> "StopSignals":
        self._previous = {kind: signal.signal(kind, self._note) for kind in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.received is not None:
            raise KeyboardInterrupt
        self.received = signal.Signals(number)
