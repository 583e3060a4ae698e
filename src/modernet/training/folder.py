"""The folder of a run: the one process that may write it, and its config."""

import json
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from os.path import lexists
from pathlib import Path

from omegaconf import OmegaConf
from tqdm import tqdm

from modernet.config.experiment import Experiment
from modernet.data.classes import class_names, known_class_names
from modernet.errors import Interrupted, RunLocked, UserError
from modernet.runtime.collectives import any_rank
from modernet.runtime.distributed import DistributedEnv
from modernet.runtime.file_names import CLASSES_FILE, CONFIG_FILE, FILES
from modernet.runtime.io import remove_parts, write_text
from modernet.runtime.lock import run_lock
from modernet.runtime.signals import ShutdownSignal

WAIT_SECONDS = 1.0  # between two attempts to lock a run that another process trains


@contextmanager
def hold_lock(folder: Path, env: DistributedEnv, shutdown: ShutdownSignal, wait: bool) -> Iterator[None]:
    """Create the folder, hold its lock and remove what a killed process left half-written. Every rank must call it.

    Raises RunLocked on every rank where another process holds the lock; with `wait`, all ranks wait for it instead,
    until a signal asks one of them to stop: Interrupted. Raises UserError where a run's file has the name of a folder.
    """
    with ExitStack() as stack:
        is_waiting = False
        while any_rank(locked := _try_lock(folder, stack) if env.is_main_process else None):
            if not wait:
                raise locked or RunLocked(f"{folder} is being trained by other processes")
            if any_rank(shutdown.requested):
                raise Interrupted(f"stopped by {shutdown.requested or 'a signal to another rank'}")
            if locked and not is_waiting:
                tqdm.write(f"waiting: {str(locked).partition(';')[0]}", file=sys.stderr)
            is_waiting = True
            time.sleep(WAIT_SECONDS)
        if env.is_main_process:
            remove_parts(folder)
        yield


def write_config(folder: Path, experiment: Experiment) -> None:
    """Write the config of the run and, where the data set has them, the names of its classes.

    The folder of the data stands in the config. Neither it nor the names are part of the run's identity.
    """
    root = experiment.data.root
    if root and experiment.data.kind != "shards":  # shards may have addresses
        root = str(Path(root).absolute())
    values = {**experiment.config, "data_root": root}
    write_text(folder / CONFIG_FILE, OmegaConf.to_yaml(values))
    data = experiment.data
    if data.num_classes and known_class_names(data):
        write_text(folder / CLASSES_FILE, json.dumps(class_names(data, data.num_classes), indent=1) + "\n")


def _try_lock(folder: Path, stack: ExitStack) -> RunLocked | None:
    folder.mkdir(parents=True, exist_ok=True)
    for path in (folder / name for name in FILES):
        if lexists(path) and not path.is_file():
            raise UserError(f"{path} is not a file, and the run writes one of that name; move it away")
    try:
        stack.enter_context(run_lock(folder))
    except RunLocked as error:
        return error
    return None
