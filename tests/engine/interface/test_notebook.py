"""The notebook of the documents runs in a kernel, with Rich's progress, and predicts."""

import ast
import json
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOK = Path(__file__).parents[3] / "docs" / "notebook.ipynb"


# Jupyter's own packages warn of each other.
@pytest.mark.filterwarnings("ignore")
def test_the_notebook_trains_lists_and_predicts(tmp_path):
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    assert all(not cell.outputs for cell in notebook.cells if cell.cell_type == "code"), "it is kept without outputs"
    resources = {"metadata": {"path": str(tmp_path)}}
    NotebookClient(notebook, timeout=240, resources=resources, kernel_name="python3").execute()
    trained = ast.literal_eval(results(notebook, "run.train()")[-1])
    assert 0 <= trained["test/accuracy"] <= 1
    assert sum("after 8 iterations" in text for text in results(notebook, "run.train()")) == 1
    assert "100 %" in json.dumps(notebook.metadata.widgets), "no progress bar of Rich's"
    assert "after 8 iterations" not in "".join(results(notebook, "other.step()")), "it was to be quiet"
    assert len(ast.literal_eval(results(notebook, "other.step()")[-1])) == 3
    assert results(notebook, "firebox.runs")[-1].count("completed") == 2
    assert ast.literal_eval(results(notebook, "argmax()")[-1]) in results(notebook, "specification.classes")[0]


def results(notebook, code):
    """The texts that the cell with a piece of code has put out."""
    (cell,) = (cell for cell in notebook.cells if cell.cell_type == "code" and code in cell.source)
    return [output.data["text/plain"] if "data" in output else output.text for output in cell.outputs]
