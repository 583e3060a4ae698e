"""The notebooks run from top to bottom on the committed records, and are committed without outputs."""

import shutil
from pathlib import Path
from typing import Any

import nbformat
import pytest
from helpers import ROOT
from nbclient import NotebookClient

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
FIGURES = {"kernel_size": 1, "own_comparison": 2, "roadmap": 3}  # notebook -> number of its figures


def read_notebook(path: Path) -> Any:
    return nbformat.read(path, as_version=4)


def code_cells(notebook: Any) -> list[Any]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


@pytest.fixture(scope="module")
def checkout(tmp_path_factory) -> Path:
    """A copy of the files that the notebooks read."""
    folder = tmp_path_factory.mktemp("checkout")
    for name in ("notebooks", "results/studies/cifar10_micro"):
        shutil.copytree(ROOT / name, folder / name)
    shutil.copy(ROOT / "pyproject.toml", folder)
    return folder


@pytest.fixture
def own_kernel(tmp_path, monkeypatch) -> None:
    """The only Jupyter kernel is the one of this interpreter."""
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(tmp_path / "jupyter"))
    monkeypatch.setenv("JUPYTER_PREFER_ENV_PATH", "1")
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))


@pytest.mark.usefixtures("own_kernel")
@pytest.mark.parametrize(
    ("name", "start"), [("kernel_size", "notebooks"), ("roadmap", "."), ("own_comparison", "notebooks")]
)
def test_every_cell_runs(name, start, checkout):
    """In the folder of the notebook, as Jupyter starts it, and in the root of the checkout, as editors do."""
    notebook = read_notebook(checkout / "notebooks" / f"{name}.ipynb")
    NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(checkout / start)}}).execute()
    cells = code_cells(notebook)
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    outputs = [output for cell in cells for output in cell.outputs]
    assert not [output for output in outputs if output.get("name") == "stderr"]
    shown = [output.data for output in outputs if "data" in output]
    assert sum("image/png" in data for data in shown) == FIGURES[name]
    assert sum("text/markdown" in data for data in shown) == 1


def test_notebooks_are_committed_without_outputs():
    assert {path.stem for path in NOTEBOOKS} == set(FIGURES)
    for path in NOTEBOOKS:
        for cell in code_cells(read_notebook(path)):
            assert (cell.outputs, cell.execution_count) == ([], None)
