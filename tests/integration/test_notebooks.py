"""The notebooks run from top to bottom on the committed records, and are committed without what they print."""

import shutil
from pathlib import Path
from typing import Any

import nbformat
import pytest
from helpers import ROOT
from nbclient import NotebookClient

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
FIGURES = {"kernel_size": 1, "roadmap": 4}


def read(path: Path) -> Any:
    return nbformat.read(path, as_version=4)


def code(notebook: Any) -> list[Any]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


@pytest.fixture
def copy(tmp_path, monkeypatch) -> Path:
    """A working copy of what they read, and no kernels but this interpreter's."""
    for name in ("notebooks", "results/studies"):
        shutil.copytree(ROOT / name, tmp_path / "copy" / name)
    shutil.copy(ROOT / "pyproject.toml", tmp_path / "copy")
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(tmp_path / "jupyter"))
    monkeypatch.setenv("JUPYTER_PREFER_ENV_PATH", "1")
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    return tmp_path / "copy"


@pytest.mark.parametrize("start", [".", "notebooks"])
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_cell_runs(path, start, copy):
    notebook = read(copy / "notebooks" / path.name)
    NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(copy / start)}}).execute()
    cells = code(notebook)
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    outputs = [output for cell in cells for output in cell.outputs]
    assert not [output for output in outputs if output.get("name") == "stderr"]
    shown = [output.data for output in outputs if "data" in output]
    assert sum("image/png" in data for data in shown) == FIGURES[path.stem]
    assert sum("text/markdown" in data for data in shown) == 1


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_they_are_committed_without_outputs(path):
    for cell in code(read(path)):
        assert (cell.outputs, cell.execution_count) == ([], None)


def test_there_are_notebooks():
    assert {path.stem for path in NOTEBOOKS} == set(FIGURES)
