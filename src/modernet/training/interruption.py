"""What ends a run from outside: a full disk, too little memory, a bad GPU, a dead process. It can be resumed."""

import re
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from modernet.config.experiment import Experiment
from modernet.errors import ConnectionLost, DeviceFault, DiskFull, ModernetError, OutOfMemory, UserError
from modernet.runtime.collectives import is_communication_error
from modernet.runtime.os_errors import DISK_FULL, is_device_fault, is_out_of_memory
from modernet.runtime.text import squeeze
from modernet.training.leftovers import latest_checkpoint

# DataLoader reports a dead worker process as a RuntimeError; its cause names the signal, if there was one.
WORKER_DIED = re.compile(r"DataLoader worker .*(exited unexpectedly|killed by signal)")
WORKER_CRASHED = re.compile(r"killed by signal: (Segmentation fault|Bus error|Floating point|Aborted)|exit code")
# What torch says where /dev/shm is full, through which workers hand batches over.
SHARED_MEMORY_FULL = re.compile(r"DataLoader worker .*killed by signal: Bus error|unable to allocate shared memory")


def is_interruption(error: BaseException) -> bool:
    """Whether memory is missing, a GPU failed, or another rank or a worker that loads images ended from outside."""
    causes = (is_out_of_memory, is_device_fault, _is_shared_memory_full, _is_process_lost)
    return any(cause(error) for cause in causes)


def _is_process_lost(error: BaseException) -> bool:
    """Whether another rank, or a worker process that loads images, ended from outside."""
    return is_communication_error(error) or _is_worker_killed(error) or _is_connection_cut(error)


def _is_connection_cut(error: BaseException) -> bool:
    """Whether a worker died while it handed a batch over; an error inside a worker arrives as `Caught ...`."""
    return isinstance(error, ConnectionError | EOFError) and not str(error).startswith("Caught ")


def _is_worker_killed(error: BaseException) -> bool:
    text = _runtime_errors(error)
    return bool(WORKER_DIED.search(text)) and not WORKER_CRASHED.search(text)


def _is_shared_memory_full(error: BaseException) -> bool:
    return bool(SHARED_MEMORY_FULL.search(_runtime_errors(error)))


def _runtime_errors(error: BaseException | None) -> str:
    """The messages of the RuntimeErrors that led to an error, a line each."""
    messages = []
    while error is not None:
        if isinstance(error, RuntimeError):
            messages.append(str(error))
        error = error.__cause__ or error.__context__
    return "\n".join(messages)


def stop_watching_workers() -> None:
    """Call it first where a run ends by an error: DataLoader's handler raises anywhere for each worker that ends."""
    if hasattr(signal, "SIGCHLD") and threading.current_thread() is threading.main_thread():  # not on Windows
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)


@contextmanager
def explain_interruption(folder: Path, experiment: Experiment) -> Iterator[None]:
    """Raise what ended the run of an experiment in `folder` from outside as one of our errors; others pass."""
    try:
        yield
    except ModernetError:
        raise
    except Exception as error:
        path = latest_checkpoint(folder) or "none"
        if isinstance(error, OSError) and error.errno in DISK_FULL:
            raise DiskFull(f"no space left on the disk of {folder}; last good checkpoint: {path}") from error
        if isinstance(error, FileNotFoundError) and not folder.is_dir():
            raise UserError(f"{folder}, the folder of the run, was moved or deleted while it was trained") from error
        if _is_shared_memory_full(error):
            raise OutOfMemory(
                f"not enough shared memory for the processes that load images ({squeeze(error)}); enlarge "
                f"/dev/shm (--shm-size of a container), or try fewer num_workers; last good checkpoint: {path}"
            ) from error
        if is_out_of_memory(error):
            recipe, pixels = experiment.recipe, experiment.data.image_size
            batch = f"batches of {recipe.micro_batch_size or recipe.batch_size} images of {pixels} px"
            raise OutOfMemory(
                f"not enough memory for {batch} ({squeeze(error)}); end other programs that use it, take more or "
                "larger devices, try amp=bf16 or fewer num_workers, or train another run with a smaller "
                f"recipe.micro_batch_size; last good checkpoint: {path}"
            ) from error
        if is_device_fault(error):
            raise DeviceFault(
                f"the GPU failed, or its memory is full ({squeeze(error)}); rerun the same command to resume, on "
                f"another GPU if it happens again; last good checkpoint: {path}"
            ) from error
        if _is_process_lost(error):
            reason = f"another process of the run died ({squeeze(error)})"
            raise ConnectionLost(f"{reason}; rerun the same command to resume; last good checkpoint: {path}") from error
        raise
