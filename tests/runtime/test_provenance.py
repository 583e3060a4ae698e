"""Where, when and with which code a run is trained."""

import mmap
import platform
import re
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from importlib.metadata import PackageNotFoundError

import numpy as np
import pytest
import torch

from modernet.runtime import provenance
from modernet.runtime.device import keep_freed_memory
from modernet.runtime.provenance import HostMemory, cpu_model, current_commit, package_versions, utc_now


def test_time_is_iso_8601_in_utc():
    assert abs(datetime.fromisoformat(utc_now()) - datetime.now(UTC)) < timedelta(seconds=5)


def test_versions_are_those_of_the_interpreter_and_its_packages():
    versions = package_versions()
    assert versions["python"] == ".".join(map(str, sys.version_info[:3]))
    assert versions["numpy"] == np.__version__
    assert torch.__version__.startswith(versions["torch"])
    assert all(versions.values())


def test_versions_have_the_optional_packages_that_decide_results_and_import_none(monkeypatch):
    names = ("timm", "simplejpeg", "webdataset")
    monkeypatch.setattr(provenance, "version", lambda name: f"that of {name}")
    for name in names:
        monkeypatch.setitem(sys.modules, name, None)  # importing it fails
    versions = package_versions()
    assert [versions[name] for name in names] == [f"that of {name}" for name in names]


def test_versions_lack_packages_that_are_not_installed(monkeypatch):
    def version(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(provenance, "version", version)
    assert list(package_versions()) == ["python"]


def test_cpu_has_a_name_on_every_operating_system(monkeypatch):
    assert cpu_model()
    monkeypatch.setattr(provenance.Path, "read_text", lambda *_, **__: "processor: 0\n")  # an ARM CPU
    assert cpu_model()


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
def test_peak_host_memory_includes_freed_memory_until_the_next_measurement():
    memory = HostMemory()
    before = memory.peak()
    with mmap.mmap(-1, 2**28) as pages:  # 256 MiB, which the allocator can neither keep nor have
        for page in range(0, 2**28, mmap.PAGESIZE):
            pages[page] = 1
    peak, next_peak = memory.peak(), HostMemory().peak()
    assert before is not None
    assert peak is not None
    assert next_peak is not None
    assert peak - before == pytest.approx(256, abs=16)
    assert peak - next_peak == pytest.approx(256, abs=16)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="needs malloc_trim")
def test_peak_host_memory_leaves_out_memory_that_an_earlier_run_freed():
    before = HostMemory().peak()
    keep_freed_memory()
    tensors = [torch.ones(2**18) for _ in range(2**8)]  # 256 MiB
    kept = [torch.ones(2**18)]  # at the end of the heap, so that what is freed lies inside
    del tensors
    peak = HostMemory().peak()
    assert kept
    assert before is not None
    assert peak is not None
    assert peak - before < 64


def test_peak_host_memory_is_none_without_proc(monkeypatch, tmp_path):
    monkeypatch.setattr(provenance, "PROCESS", tmp_path / "none")
    assert HostMemory().peak() is None


def test_commit_is_not_that_of_a_project_around_the_installed_package(monkeypatch, tmp_path):
    package = tmp_path / ".venv/modernet"
    package.mkdir(parents=True)
    for name, content in ((".gitignore", ".venv\n"), (".venv/modernet/provenance.py", "")):
        (tmp_path / name).write_text(content)
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b.c"]
    for words in (["init", "-q"], ["add", "."], ["commit", "-qm", "a project of the user"]):
        subprocess.run([*git, *words], cwd=tmp_path, check=True)
    monkeypatch.setattr(provenance, "__file__", str(package / "provenance.py"))
    assert current_commit() is None
    subprocess.run([*git, "add", "-f", "."], cwd=tmp_path, check=True)  # a checkout of the package
    assert re.fullmatch("[0-9a-f]{12}-dirty", current_commit() or "")
