"""Hostile files, values and records: nothing is executed, nothing leaves the machine, no key is written."""

import pytest
from helpers import ROOT, run_script
from trials.safety import ATTACKS, attack

SLOW = {"no network, no key of wandb in a file", "hostile texts in records", "hostile names of classes"}


@pytest.mark.parametrize("name", [pytest.param(name, marks=[pytest.mark.slow] * (name in SLOW)) for name in ATTACKS])
def test_attack_does_nothing(name, tmp_path):
    assert attack(name, tmp_path) == ""


def test_pipe_addresses_run_commands_only_where_the_command_line_allows_them(tmp_path):
    """The explanation of a marker file that once appeared: webdataset runs `pipe:` addresses in a shell."""
    root = f"data.root='pipe:touch {tmp_path}/marker # {{split}}'"
    words = (
        "data=shards",
        "data.train_images=1",
        "data.num_classes=2",
        root,
        f"runs={tmp_path}/runs",
        "wandb=disabled",
    )
    refused = run_script("train.py", *words)
    assert refused.returncode == 2
    assert "data.allow_pipe=true allows pipe:, which runs a shell command" in refused.stderr
    assert not (tmp_path / "marker").exists()
    allowed = run_script("train.py", *words, "data.allow_pipe=true")
    assert allowed.returncode == 2  # the command prints no tar file
    assert (tmp_path / "marker").exists()


def test_audit_without_internet_is_one_line(monkeypatch):
    import subprocess

    if not (ROOT / ".venv/bin/pip-audit").exists():
        pytest.skip("needs .venv with pip-audit: make test")
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    result = subprocess.run([ROOT / "scripts/audit.sh"], capture_output=True, text=True, check=False)
    assert result.returncode == 1
    (line,) = (result.stdout + result.stderr).splitlines()
    assert line == (
        "audit.sh: error: the list of known vulnerabilities cannot be reached; make audit needs internet (pypi.org)"
    )
