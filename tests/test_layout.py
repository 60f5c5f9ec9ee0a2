"""What imports what, when slow packages are imported; the contracts of pyproject.toml notice a wrong import."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
OURS = {"gan_core", "metrics", "lab", "experiments", "benchmarks", "notebooks"}


def imports(path):
    """The first names of all modules that a file imports, at its top or inside its functions."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module.split(".")[0]


@pytest.mark.parametrize("name", ["gan_core", "metrics"])
def test_the_science_imports_nothing_of_ours(name):
    assert not OURS & set(imports(ROOT / f"{name}.py"))


def test_two_files_at_the_root():
    assert sorted(path.name for path in ROOT.glob("*.py")) == ["gan_core.py", "metrics.py"]


def test_a_file_of_the_lab_never_imports_an_experiment():
    for path in (ROOT / "lab").glob("*.py"):
        assert not {"experiments", "benchmarks", "notebooks"} & set(imports(path)), path


LATE = "import sys, {}; print(*{{'tensorflow', 'tensorboard', 'seaborn', 'sklearn', 'keras'}} & set(sys.modules))"


def test_flags_are_answered_before_the_slow_imports():
    """Every script can be imported without TensorFlow, TensorBoard, seaborn, scikit-learn and Keras."""
    scripts = ", ".join(f"experiments.{path.stem}" for path in (ROOT / "experiments").glob("[a-z]*.py"))
    done = subprocess.run([sys.executable, "-c", LATE.format(scripts)], capture_output=True, text=True, cwd=ROOT)
    assert (done.stdout, done.stderr) == ("\n", "")


CONTRACTS = {
    "lab/draws.py": ("from experiments import normal_1d", "Imports run from the experiments to the lab BROKEN"),
    "experiments/pix2pix.py": ("from experiments import mnist_mlp", "No script imports another script BROKEN"),
    "lab/runs.py": ("from lab import plots", "Within the lab imports run one way BROKEN"),
}


@pytest.mark.parametrize("file", CONTRACTS)
def test_a_wrong_import_is_noticed(file, tmp_path):
    """With one wrong import added to a copy of the house, import-linter names the broken contract."""
    line, complaint = CONTRACTS[file]
    for folder in ("lab", "experiments"):
        (tmp_path / folder).mkdir()
        for path in (ROOT / folder).glob("*.py"):
            (tmp_path / folder / path.name).write_text(path.read_text())
    (tmp_path / "pyproject.toml").write_text((ROOT / "pyproject.toml").read_text())
    changed = tmp_path / file
    changed.write_text(changed.read_text() + f"\n\ndef late():\n    {line}\n")
    command = [Path(sys.executable).parent / "lint-imports", "--no-cache"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env={"PYTHONPATH": str(tmp_path)})
    assert done.returncode == 1 and complaint in done.stdout
