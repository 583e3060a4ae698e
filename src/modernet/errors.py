"""The exceptions that end a command. Each message is one line for the user; `status` is the exit status."""


class ModernetError(Exception):
    """Base class."""

    status = 1


class UserError(ModernetError):
    """Invalid input: the message says what is wrong and what is allowed."""

    status = 2


class MissingData(UserError):
    """A data set whose files are not on this machine. They can be on another one, which trains the runs."""


class LocalMistake(UserError):
    """Invalid input that one process of a run meets and the others do not, as in a file that it alone reads."""


class DamagedImage(LocalMistake):
    """An image that cannot be read or decoded, or that is too large."""


class RunFailed(ModernetError):
    """The run failed and its record says so, or runs of a sweep did."""


class NonFiniteLoss(ModernetError):
    """The loss or a weight is NaN or infinite. The run's record gets status `failed`."""


class RunLocked(ModernetError):
    """Another process is training this run."""


class ConnectionLost(ModernetError):
    """Another rank, or a data loading process, died. The run resumes from its last checkpoint."""


class DiskFull(ModernetError):
    """The disk is full. The run resumes from its last checkpoint."""


class OutOfMemory(ModernetError):
    """The machine or the GPU has not enough memory. It says nothing about the run, which resumes elsewhere."""


class DeviceFault(ModernetError):
    """A GPU or its driver failed. It says nothing about the run, which resumes there or elsewhere."""


class Interrupted(ModernetError):
    """A signal stopped the run; one that was training saved a checkpoint before."""

    status = 143  # what a shell reports for a process ended by SIGTERM
    is_logged = False  # whether the run's log has the line
