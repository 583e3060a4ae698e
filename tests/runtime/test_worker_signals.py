"""Worker processes that load images leave signals to the main process."""

import multiprocessing
import os
import signal
import subprocess
import time
from multiprocessing.synchronize import Event

import pytest

from modernet.runtime.signals import ignore_signals, stop_signals


def _work(is_ready: Event) -> None:
    ignore_signals(0)
    is_ready.set()
    time.sleep(60)


@pytest.fixture
def worker():
    """A process that ignores signals."""
    context = multiprocessing.get_context("spawn")
    is_ready = context.Event()
    process = context.Process(target=_work, args=(is_ready,), daemon=True)
    process.start()
    assert is_ready.wait(60)
    yield process
    process.kill()
    process.join()


@pytest.mark.skipif(not hasattr(signal, "sigwaitinfo"), reason="needs signal.sigwaitinfo")
def test_worker_ignores_signals_of_others_and_obeys_its_parent(worker):
    for number in stop_signals():
        subprocess.run(["kill", f"-{number.name.removeprefix('SIG')}", str(worker.pid)], check=True)
    worker.join(0.5)
    assert worker.is_alive()
    os.kill(worker.pid, signal.SIGINT)
    worker.join(0.2)
    assert worker.is_alive()
    worker.terminate()
    worker.join(10)
    assert worker.exitcode == 0
