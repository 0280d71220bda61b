"""Processes that work for another one."""

import multiprocessing
import os
import threading


def end_with_parent() -> None:
    """End this process when the one that started it was killed; otherwise it would go on, or wait for ever."""
    parent = multiprocessing.parent_process()
    assert parent is not None  # called in a child

    def follow() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()
