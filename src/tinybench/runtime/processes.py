"""How processes end: quickly, and not later than the one that started them."""

import atexit
import gc
import os
import threading


def end_quickly() -> None:
    """Spare this process the last look for garbage, which goes through all that torch imported: a second or more."""
    atexit.register(gc.freeze)


def end_with_parent() -> None:
    """End this process when the one that started it was killed; otherwise it would go on, or wait for ever."""
    import multiprocessing  # not above: it would take every command 20 ms more to start

    parent = multiprocessing.parent_process()
    assert parent is not None  # called in a child

    def follow() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()
