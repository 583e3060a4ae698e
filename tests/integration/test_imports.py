"""Who imports whom: reporting needs no torch, and imports run one way."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest
from helpers import ROOT

PACKAGE = ROOT / "src/modernet"

# Each module may import those in the lines above it. errors knows the specs and steps, to say what is allowed.
ORDER = """
spec paper stats style
steps shapley
errors
blocks rng log record optim place stop lock account dashboard
model device augment experiment table sync checkpoint progress together slurm
costs pretrained arrays training sweep formats combinations
files track plan tooltips conclusions attribution
shards figures attribution_figure studies
data report
fit
run
""".strip().splitlines()


WITHOUT_TORCH = """
record steps table stats experiment paper errors sweep plan formats style figures dashboard sync
shapley combinations attribution attribution_figure tooltips conclusions studies report
"""


@pytest.mark.parametrize("name", WITHOUT_TORCH.split())
def test_reporting_imports_no_torch(name):
    code = f"import sys, modernet.{name}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def imports(path: Path) -> set[str]:
    """The modules of the package that a file imports."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module == "modernet":
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("modernet."):
            found.add(node.module.split(".")[1])
    return found


def test_imports_run_one_way():
    lines = [line.split() for line in ORDER]
    modules = {path.stem for path in PACKAGE.glob("*.py")} - {"__init__"}
    assert {name for line in lines for name in line} == modules
    for number, line in enumerate(lines):
        allowed = {name for earlier in lines[:number] for name in earlier}
        for name in line:
            assert imports(PACKAGE / f"{name}.py") <= allowed, name


def test_the_package_offers_what_the_readme_uses():
    code = """
import modernet.costs  # a module of a like name changes nothing
from modernet import ModelConfig
from modernet import build
from modernet import cost
from modernet import roadmap
cost(ModelConfig())
build(roadmap("micro")["gelu"], 10)
"""
    subprocess.run([sys.executable, "-c", code], check=True)
