"""The weights that a training starts from: a file and its fingerprint, which is part of the run's identity."""

import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from modernet.errors import UserError
from modernet.runtime.file_names import RECORD_FILE, WEIGHTS_FILE

RUN_OF_WEIGHTS = "run"  # in a run's weights: an empty tensor named by the run's hash; absent from earlier files
LENGTH = 10  # hexadecimal digits of a fingerprint


@dataclass(frozen=True)
class Weights:
    """A file of weights. The content identifies it, not the path."""

    path: Path
    fingerprint: str


def find_weights(source: object) -> Weights:
    """The weights of a run, named by its folder or its record, or of a file. Raises UserError where there are none."""
    path = Path(str(source))
    if path.name == RECORD_FILE:
        path = path.parent
    if path.is_dir():
        path = path / WEIGHTS_FILE
    if not path.is_file():
        raise UserError(
            f"finetune={source}: there is no file {path}; allowed: the folder of a finished run, or a .safetensors or "
            ".pth file of weights"
        )
    status = path.stat()
    return Weights(path, _fingerprint(path, status.st_size, status.st_mtime_ns))


@cache  # a sweep composes many runs
def _fingerprint(path: Path, size: int, mtime_ns: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:LENGTH]
