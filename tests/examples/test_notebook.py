"""examples/notebook runs from its first cell to its last, and is committed without outputs."""

from __future__ import annotations

import base64
import io
import shutil
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient
from PIL import Image

from helpers.examples import EXAMPLES

NOTEBOOK = EXAMPLES / "notebook/generator.ipynb"


def read() -> Any:
    return nbformat.read(NOTEBOOK, as_version=4)  # type: ignore[no-untyped-call]


def code(notebook: Any) -> list[Any]:
    """Return the cells of code."""
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def test_the_notebook_has_no_outputs() -> None:
    for cell in code(read()):
        assert (cell.outputs, cell.execution_count) == ([], None)


@pytest.mark.slow
@pytest.mark.filterwarnings("default")  # those of Jupyter are not ours
def test_the_notebook_shows_a_grid_and_a_walk(exported: Path, tmp_path: Path) -> None:
    shutil.copy(exported / "g.onnx", tmp_path)
    notebook = read()
    NotebookClient(notebook, resources={"metadata": {"path": str(tmp_path)}}).execute()
    shown = [
        output.data["image/png"]
        for cell in code(notebook)
        for output in cell.outputs
        if "image/png" in output.data
    ]
    sizes = [Image.open(io.BytesIO(base64.b64decode(picture))).size for picture in shown]
    assert sizes == [(768, 384), (768, 96)]
