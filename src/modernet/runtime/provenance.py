"""Where, when and with which code a run is trained."""

import ctypes
import platform
import subprocess
import sys
from contextlib import suppress
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

# Packages that a result can depend on: timm has the optimizer LAMB, simplejpeg decodes, webdataset orders shards.
PACKAGES = (
    *("modernet", "torch", "torchvision", "numpy", "pillow", "scikit-learn", "hydra-core"),
    *("timm", "simplejpeg", "webdataset"),
)
PROCESS = Path("/proc/self")  # Linux


def current_commit() -> str | None:
    """The git commit of the running code, with `-dirty` where files differ from it; None outside a checkout."""
    try:
        _git("ls-files", "--error-unmatch", Path(__file__).name)  # fails for a package in another project's folder
        return _git("describe", "--always", "--dirty", "--exclude=*", "--abbrev=12")
    except (OSError, subprocess.CalledProcessError):
        return None


def _git(*arguments: str) -> str:
    folder = Path(__file__).parent
    return subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, check=True).stdout.strip()


def utc_now() -> str:
    """The current time as ISO 8601: 2026-03-01T12:34:56+00:00."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def cpu_model() -> str:
    """The product name of this machine's CPU; its architecture where the operating system gives no name."""
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def package_versions() -> dict[str, str]:
    """Versions of Python and of PACKAGES, those that are installed."""
    versions = {"python": platform.python_version()}
    for name in PACKAGES:
        with suppress(PackageNotFoundError):
            versions[name] = version(name)
    return versions


class HostMemory:
    """Measures the largest resident memory of this process from now on, libraries included. Linux only."""

    def __init__(self) -> None:
        libc = ctypes.CDLL(None) if sys.platform == "linux" else None
        if hasattr(libc, "malloc_trim"):  # glibc, which keeps what an earlier run freed (device.keep_freed_memory)
            libc.malloc_trim(0)
        try:
            (PROCESS / "clear_refs").write_text("5")  # sets the peak to the current value; man proc_pid_clear_refs
            self.is_measured = True
        except OSError:
            self.is_measured = False

    def peak(self) -> float | None:
        """In MiB; None where the operating system does not measure it."""
        if not self.is_measured:
            return None
        status = (PROCESS / "status").read_text(encoding="utf-8")
        lines = [line.split() for line in status.splitlines()]
        return next((int(line[1]) / 2**10 for line in lines if line and line[0] == "VmHWM:"), None)  # from kiB
