"""The wheel alone, in a new environment, has the roadmap and builds its networks."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from helpers import ROOT


@pytest.mark.slow
def test_the_wheel_carries_the_configs_and_the_report(tmp_path):
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", tmp_path, ROOT]
    subprocess.run(build, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    # torch and the other dependencies come from this environment, through a .pth file; modernet from its wheel alone.
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "new"], check=True)
    python = tmp_path / "new/bin/python"
    subprocess.run([python, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", wheel], check=True)
    packages = next(Path(path) for path in sys.path if path.endswith("site-packages"))
    (site,) = (tmp_path / "new").glob("lib/python*/site-packages")
    (site / "dependencies.pth").write_text(f"{packages}\n")
    code = """
import modernet, torch
from hydra_plugins.modernet.sweeper import StudySweeper
from modernet.report.page import page as report
from modernet import roadmap
from modernet import build
print(modernet.__file__)
assert report.page([], "now", "by hand").startswith("<!doctype html>")
print(len(roadmap()), build(roadmap("micro")["gelu"], 10)(torch.zeros(2, 3, 32, 32)).shape)
"""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    result = subprocess.run(
        [python, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    assert result.stdout.splitlines() == [str(site / "modernet/__init__.py"), "15 torch.SizeConfig([2, 10])"]
