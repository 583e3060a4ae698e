"""Processes whose standard streams are closed."""

import subprocess
import sys

import pytest
from helpers import ROOT

QUICK = ("recipe.epochs=1", "recipe.warmup_epochs=0", "recipe.batch_size=350", "wandb=disabled")


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&- >&- 2>&-"])
def test_a_run_without_standard_streams_trains_and_is_found(tmp_path, closed):
    """As some launchers start programs."""
    words = [sys.executable, "train.py", *QUICK, f"runs={tmp_path}"]
    shell = ["sh", "-c", f'exec "$0" "$@" {closed}', *words]
    for _ in range(2):
        result = subprocess.run(shell, cwd=ROOT, capture_output=True, text=True, check=False)
        assert result.returncode == 0, result
    assert len(list(tmp_path.rglob("model.pt"))) == 1
    (log,) = tmp_path.rglob("train.log")
    assert "Traceback" not in log.read_text()
