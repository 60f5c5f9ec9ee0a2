"""Every notebook is paired with its .py, and runs from top to bottom."""

from pathlib import Path

import jupytext
import nbclient
import pytest

NOTEBOOKS = sorted((Path(__file__).parent.parent / "notebooks").glob("*.ipynb"))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of zmq and jupyter_client, which the kernel runs on
@pytest.mark.filterwarnings("ignore::ResourceWarning")  # the kernel's sockets
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_notebook_runs_and_equals_its_script(path):
    notebook, script = jupytext.read(path), jupytext.read(path.with_suffix(".py"))
    cells = [[(c.cell_type, c.source) for c in n.cells] for n in (notebook, script)]
    assert cells[0] == cells[1], "run: jupytext --sync notebooks/*.ipynb"
    nbclient.NotebookClient(notebook, timeout=240, resources={"metadata": {"path": path.parent}}).execute()


def test_there_are_notebooks():
    assert NOTEBOOKS
