"""Run the notebooks' sources, the .py files beside this one, and write .ipynb files with their outputs.

    python notebooks/execute.py              all of them: `make notebooks`
    python notebooks/execute.py dirac modes  some of them

What would change at each run without a reason is left out: times, random names of cells, Python's version.
"""

import sys
from pathlib import Path

import jupytext
import nbformat
from nbclient import NotebookClient

from lab import classifier, pictures

FOLDER = Path(__file__).parent


def execute(source: Path) -> None:
    """Run the cells of a .py file in a new kernel, and write them with their outputs to the .ipynb beside it."""
    notebook = jupytext.read(source)
    for number, cell in enumerate(notebook.cells):
        cell.id = f"cell-{number}"
    quiet = ["--IPKernelApp.log_level=ERROR"]  # a kernel on this machine needs no warning about its connection
    resources = {"metadata": {"path": source.parent}}
    NotebookClient(
        notebook, record_timing=False, coalesce_streams=True, extra_arguments=quiet, resources=resources
    ).execute()
    for cell in notebook.cells:
        for output in cell.get("outputs", ()):
            output.get("data", {}).pop("image/jpeg", None)  # Pillow's images come as PNG, too
    notebook.metadata["language_info"] = {"name": "python"}
    nbformat.write(notebook, source.with_suffix(".ipynb"))


if __name__ == "__main__":
    classifier.digit_classifier(pictures.load("digits"))  # trained now if it never was: no notebook's output says so
    names = sys.argv[1:] or sorted(path.stem for path in FOLDER.glob("*.ipynb"))
    for name in names:
        print(f"notebooks/{name}.ipynb")
        execute(FOLDER / f"{name}.py")
