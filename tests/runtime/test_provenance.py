"""Where, when and with which code a run is trained."""

import mmap
import sys
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
import torch

from modernet.runtime import provenance
from modernet.runtime.provenance import HostMemory, cpu_model, package_versions, utc_now


def test_time_is_iso_8601_in_utc():
    assert abs(datetime.fromisoformat(utc_now()) - datetime.now(UTC)) < timedelta(seconds=5)


def test_versions_are_those_of_the_interpreter_and_its_packages():
    versions = package_versions()
    assert versions["python"] == ".".join(map(str, sys.version_info[:3]))
    assert versions["numpy"] == np.__version__
    assert torch.__version__.startswith(versions["torch"])
    assert all(versions.values())


def test_cpu_has_a_name_on_every_operating_system(monkeypatch):
    assert cpu_model()
    monkeypatch.setattr(provenance.Path, "read_text", lambda *_, **__: "processor: 0\n")  # an ARM CPU
    assert cpu_model()


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
def test_peak_host_memory_includes_what_was_freed_until_the_next_measurement():
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


def test_peak_host_memory_is_none_without_proc(monkeypatch, tmp_path):
    monkeypatch.setattr(provenance, "PROCESS", tmp_path / "none")
    assert HostMemory().peak() is None
