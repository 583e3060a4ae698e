"""A folder of records for the tests of tables."""

import json
from pathlib import Path

import pytest
from records import TABLE_RECORDS

from modernet.record import write_record


@pytest.fixture
def runs(tmp_path) -> Path:
    """TABLE_RECORDS as runs leave them on disk, in folders named by their index."""
    for index, record in enumerate(TABLE_RECORDS):
        folder = tmp_path / "runs" / record.protocol / str(index)
        folder.mkdir(parents=True)
        write_record(folder, record)
        (folder / "metrics.jsonl").write_text(json.dumps({"epoch": 1, "top1": record.top1}) + "\n")
        (folder / "checkpoint.pt").write_bytes(b"weights")
    return tmp_path / "runs"


@pytest.fixture
def config_dir(tmp_path, monkeypatch):
    """A folder with two side steps of the user: `wide`, a child of gelu, and `deep`, a child of convnext."""
    monkeypatch.setenv("MODERNET_CONFIG_DIR", "")
    folder = tmp_path / "my_configs"
    (folder / "step").mkdir(parents=True)
    for name, parent, change in (("wide", "gelu", "{width: 32}"), ("deep", "convnext", "{depths: [2, 2, 2, 2]}")):
        text = f"# @package _global_\n# A step.\ndefaults: [/step/{parent}, _self_]\nstep: {name}\nmodel: {change}\n"
        (folder / f"step/{name}.yaml").write_text(text)
    return folder
