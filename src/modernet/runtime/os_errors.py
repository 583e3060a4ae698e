"""Errors of files as one line that names the path and says what to try; and which mean missing memory or a bad GPU."""

import errno
import re
from typing import NamedTuple

from modernet.errors import DiskFull, ModernetError, UserError

DISK_FULL = (errno.ENOSPC, errno.EDQUOT)
# What torch's allocators, cuBLAS and cuDNN say. torch.OutOfMemoryError is a RuntimeError with the third.
NO_MEMORY = re.compile(
    r"can't allocate memory|cannot allocate memory|out of memory|not enough memory|STATUS_ALLOC_FAILED", re.I
)

# What a broken GPU, driver or context says, and cuBLAS and cuDNN where little memory is left. An assertion in a kernel
# and an invalid argument are mistakes of the program, which every machine repeats.
DEVICE_FAULT = re.compile(
    r"CUDA error: (?!device-side assert|invalid|no kernel image)"
    r"|CU(BLAS|DNN)_STATUS_(NOT_INITIALIZED|EXECUTION_FAILED|INTERNAL_ERROR)|unable to find an engine",
    re.I,
)


class Advice(NamedTuple):
    """The error that a command ends with, and what the user can do."""

    error: type[ModernetError]
    advice: str


FREE_SPACE = Advice(DiskFull, "free some space, or name a folder on another disk")
PERMISSION = Advice(UserError, "allow it, or name another path")
ADVICE = {
    errno.ENOSPC: FREE_SPACE,
    errno.EDQUOT: FREE_SPACE,
    errno.EROFS: Advice(UserError, "name a folder that can be written"),
    errno.EACCES: PERMISSION,
    errno.EPERM: PERMISSION,
    errno.ENOENT: Advice(UserError, "name a path that exists"),
    errno.ENOTDIR: Advice(UserError, "a part of the path is a file; name a folder"),
    errno.EEXIST: Advice(UserError, "there is a file where a folder must be; name a folder"),
    errno.EISDIR: Advice(UserError, "there is a folder where a file must be; move it away"),
    errno.ELOOP: Advice(
        UserError, "it is a link that leads in a circle or is not followed; name a folder, or remove the link"
    ),
    errno.ENAMETOOLONG: Advice(UserError, "name a shorter path"),
    errno.EIO: Advice(ModernetError, "the disk does not work"),
    errno.ESTALE: Advice(ModernetError, "the network file system lost it; rerun the same command"),
    errno.EMFILE: Advice(ModernetError, "allow more open files (ulimit -n)"),
    errno.ENFILE: Advice(ModernetError, "the machine has too many open files"),
    errno.ENOMEM: Advice(ModernetError, "free some memory"),
}


def explain_os_error(error: OSError) -> ModernetError | None:
    """The one-line error for a failed operation on a path; None for other errors.

    A disk that is full of a command's output names no path.
    """
    if error.errno not in ADVICE or (error.filename is None and error.errno not in DISK_FULL):
        return None
    kind, advice = ADVICE[error.errno]
    path = "stdout" if error.filename is None else error.filename
    return kind(f"{path}: {error.strerror}; {advice}")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether the CPU's or the GPU's memory is not enough."""
    if isinstance(error, MemoryError):
        return True
    if isinstance(error, OSError):  # with a path, `explain_os_error` names it; a fork has none
        return error.errno == errno.ENOMEM and error.filename is None
    return isinstance(error, RuntimeError) and bool(NO_MEMORY.search(str(error)))


def is_device_fault(error: BaseException) -> bool:
    """Whether a GPU failed, or had too little memory for a library to say so."""
    return isinstance(error, RuntimeError) and bool(DEVICE_FAULT.search(str(error)))
