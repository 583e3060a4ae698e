"""Processes that end when the process that started them is killed, which can tell them nothing."""

import multiprocessing
import os
import signal
import threading
import time

POLL_SECONDS = 0.5
GRACE_SECONDS = 5.0  # for the current step and a checkpoint; DataLoader's processes end within five seconds


def end_with_parent(parent: int) -> None:
    """End this process soon after its parent, the process with the id `parent`, has ended.

    The process gets SIGTERM first, which makes a run save and stop, and is ended a few seconds later where it is left.
    Call it once in each worker process of a sweep (POSIX; elsewhere it does nothing).
    """
    if os.name == "posix":
        threading.Thread(target=_wait_for_end, args=(parent,), daemon=True).start()


def _wait_for_end(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(POLL_SECONDS)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(GRACE_SECONDS)
    for child in multiprocessing.active_children():
        child.kill()
    os._exit(1)
