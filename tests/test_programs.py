"""Compiled programs that are kept between processes: found again, and never run when they are damaged."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from lab import programs

TINY = """
from lab import cli
import gan_core as core
from gan_core import tf

with cli.one_line_errors():
    f = core.compiled(lambda x: tf.tanh(x) * 3)
    print("value", f(tf.ones([5])).numpy().sum())
"""


@pytest.fixture
def flags(monkeypatch):
    monkeypatch.setenv("TF_XLA_FLAGS", "--tf_xla_clustering_debug")


def program(folder: Path, name: str, sealed: bool = True) -> Path:
    """A file in the place of a program."""
    path = folder / f"{name}.pb"
    path.write_bytes(name.encode() * 100)
    if sealed:
        path.with_suffix(".pb-sha256").write_text(programs._sha256(path))
    return path


def test_the_second_process_finds_the_program_of_the_first(tmp_path):
    environment = os.environ | {"GAN_LABORATORY_CACHE": str(tmp_path), "TF_CPP_MIN_LOG_LEVEL": "3"}
    environment.pop("TF_XLA_FLAGS", None)
    outputs, files = [], []
    for _ in range(2):
        done = subprocess.run([sys.executable, "-c", TINY], env=environment, capture_output=True, text=True)
        assert done.returncode == 0 and not done.stderr
        outputs.append(done.stdout)
        (folder,) = tmp_path.iterdir()
        files.append({path.name: path.stat().st_mtime_ns for path in folder.iterdir()})
    assert outputs[0] == outputs[1] and "value" in outputs[0]
    assert files[0] == files[1] and sorted(Path(name).suffix for name in files[0]) == [".pb", ".pb-sha256"]


def test_an_interrupted_process_keeps_its_programs_too(tmp_path):
    program = TINY + "    raise KeyboardInterrupt\n"
    environment = os.environ | {"GAN_LABORATORY_CACHE": str(tmp_path), "TF_CPP_MIN_LOG_LEVEL": "3"}
    environment.pop("TF_XLA_FLAGS", None)
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True)
    assert done.returncode == 130 and done.stderr == "interrupted\n"
    assert len(list(tmp_path.glob("*/*.pb-sha256"))) == 1


def test_programs_that_are_damaged_or_without_a_checksum_are_deleted(tmp_path, flags):
    good, changed, cut = (program(tmp_path, name) for name in ("good", "changed", "cut"))
    program(tmp_path, "unsealed", sealed=False)
    changed.write_bytes(b"x" + changed.read_bytes()[1:])
    cut.write_bytes(cut.read_bytes()[:-1])
    (tmp_path / "lonely.pb-sha256").write_text("0" * 64)
    assert programs.use_kept(tmp_path) == tmp_path
    assert {path.name for path in tmp_path.iterdir()} == {good.name, "good.pb-sha256"}
    assert os.environ["TF_XLA_FLAGS"].split() == [
        "--tf_xla_clustering_debug",
        f"--tf_xla_persistent_cache_directory={tmp_path}",
    ]


def test_new_programs_get_a_checksum_and_stay(tmp_path, flags):
    new = program(tmp_path, "new", sealed=False)
    programs.keep(tmp_path)
    programs.use_kept(tmp_path)
    assert new.exists() and len(list(tmp_path.iterdir())) == 2
    programs.keep(None)  # nothing is kept: nothing happens


def test_the_oldest_programs_make_room(tmp_path, flags, monkeypatch):
    monkeypatch.setattr(programs, "AT_MOST", 2)
    for age, name in enumerate("abc"):
        os.utime(program(tmp_path, name), (1000 - age, 1000 - age))
    programs.use_kept(tmp_path)
    assert sorted(path.name for path in tmp_path.glob("*.pb")) == ["a.pb", "b.pb"]


def test_a_folder_that_cannot_be_used_is_passed_over(tmp_path, flags):
    (tmp_path / "file").write_text("")
    assert programs.use_kept(tmp_path / "file" / "folder") is None
    assert os.environ["TF_XLA_FLAGS"] == "--tf_xla_clustering_debug"


def test_each_version_has_a_folder_of_its_own(tmp_path, flags, monkeypatch):
    monkeypatch.setenv("GAN_LABORATORY_CACHE", str(tmp_path))
    first = programs.use_kept()
    monkeypatch.setattr("importlib.metadata.version", lambda name: "9.9.9")
    second = programs.use_kept()
    monkeypatch.setenv("XLA_FLAGS", "--xla_cpu_enable_fast_math=true")
    third = programs.use_kept()
    assert len({first, second, third}) == 3 and {path.parent for path in (first, second, third)} == {tmp_path}


def test_the_file_that_another_process_writes_just_now_stays(tmp_path, flags):
    unfinished = tmp_path / "name.pbhost-140-77-5.tmp"  # TensorFlow renames it when it is complete
    unfinished.write_bytes(b"half")
    programs.use_kept(tmp_path)
    assert unfinished.exists()


def test_without_a_package_named_tensorflow_no_programs_are_kept(flags, monkeypatch):
    def absent(name):
        raise programs.importlib.metadata.PackageNotFoundError(name)  # where tensorflow-cpu is installed

    monkeypatch.setattr(programs.importlib.metadata, "version", absent)
    assert programs.use_kept() is None
