"""The notebooks: each has the cells of its source, holds its outputs, and still runs and prints what it shows."""

import contextlib
import io
import re
import runpy
from pathlib import Path

import IPython.display
import jupytext
import pytest
from matplotlib.figure import Figure

from lab import screen

FOLDER = Path(__file__).parent.parent / "notebooks"
NAMES = sorted(path.stem for path in FOLDER.glob("*.ipynb"))


def code_cells(name):
    """The cells with code, without the live page, which needs a browser."""
    cells = [cell for cell in jupytext.read(FOLDER / f"{name}.ipynb").cells if cell.cell_type == "code"]
    return [cell for cell in cells if "skip-execution" not in cell.metadata.get("tags", ())]


def printed(cell):
    return "".join(output.text for output in cell.outputs if output.output_type == "stream")


def shown(cell):
    """How many things a cell displays."""
    return sum(output.output_type != "stream" for output in cell.outputs)


def test_there_are_notebooks():
    assert NAMES == ["by_hand", "dirac", "live", "mnist", "modes", "normal_1d", "translation"]


@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_has_the_cells_of_its_source(name):
    notebook, source = (jupytext.read(FOLDER / f"{name}{ending}") for ending in (".ipynb", ".py"))
    cells, expected = ([(c.cell_type, c.source) for c in n.cells] for n in (notebook, source))
    assert cells == expected, "run: make notebooks"


@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_holds_its_outputs(name):
    cells = code_cells(name)
    assert [cell.execution_count for cell in cells] == list(range(1, 1 + len(cells)))  # all of them, in order
    outputs = [output for cell in cells for output in cell.outputs]
    assert all(output.output_type != "error" and output.get("name") != "stderr" for output in outputs)
    assert any("image/png" in output.get("data", {}) for output in outputs)
    assert not re.search(r"(?<!\w)/\w+/\w", "".join(map(printed, cells)))  # no path of the machine it ran on
    assert (FOLDER / f"{name}.ipynb").stat().st_size < 1e6


def without_numbers(text):
    return re.sub(r"\s+", " ", re.sub(r"[-+]?\d+\.?\d*(e[-+]?\d+)?", "#", text))


@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_runs_and_prints_what_it_shows(name, monkeypatch):
    """All cells in order, in this process: a kernel for each would import TensorFlow six times.

    What they print is compared without the numbers, which may differ from one machine to the next.
    """
    displayed = []

    def display(thing):
        displayed.append(thing)
        if isinstance(thing, Figure):
            thing.savefig(io.BytesIO())  # draws it

    monkeypatch.setattr(IPython.display, "display", display)
    monkeypatch.setattr(screen, "say", lambda text: None)  # that the digit classifier is trained, if it never was
    namespace = {}
    for number, cell in enumerate(code_cells(name), 1):
        code = "\n".join(line for line in cell.source.splitlines() if not line.startswith("%"))  # %matplotlib inline
        displayed.clear()
        with contextlib.redirect_stdout(io.StringIO()) as output:
            exec(compile(code, f"{name}, code cell {number}", "exec"), namespace)
        assert without_numbers(output.getvalue()) == without_numbers(printed(cell)), f"code cell {number}"
        assert len(displayed) == shown(cell), f"code cell {number}"


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of zmq and jupyter_client, which the kernel runs on
@pytest.mark.filterwarnings("ignore::ResourceWarning")  # the kernel's sockets
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_notebook_is_executed_without_traces_of_the_run(tmp_path):
    """`execute.py` twice: the same bytes, with the outputs, without times and random names."""
    source = tmp_path / "small.py"
    source.write_text(
        "# %% [markdown]\n# Two cells\n\n# %%\nfrom PIL import Image\n\nprint(1 + 1)\nImage.new('L', (9, 9))\n"
    )
    execute = runpy.run_path(str(FOLDER / "execute.py"))["execute"]
    written = []
    for _ in range(2):
        execute(source)
        written.append(source.with_suffix(".ipynb").read_text())
    assert written[0] == written[1]
    (cell,) = (cell for cell in jupytext.reads(written[0], "ipynb").cells if cell.cell_type == "code")
    assert printed(cell) == "2\n" and "image/png" in cell.outputs[1].data and "image/jpeg" not in cell.outputs[1].data
    assert "execution" not in cell.metadata
