"""Cells: made once, continued, in process and by Ray's workers, one of which is killed."""

import importlib.util
import os
import re
import signal
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from experiments import numpy_gan
from lab import cells, files, runs, storage

ROOT = Path(__file__).parent.parent
SMALL = replace(numpy_gan.Config(), data="digits", steps=6, eval_every=3, eval_samples=100, log_samples=100, batch=8)
SMALL = replace(SMALL, checkpoint_every=3)
HERE = cells.Where(workers=1)


def has_ray():
    return importlib.util.find_spec("ray") is not None


needs_ray = pytest.mark.skipif(
    not has_ray() and not os.environ.get("REQUIRE_RAY"), reason="ray is not installed: pip install -e '.[ray]'"
)


def cell(folder, **settings):
    return cells.Cell("numpy_gan", "stable", replace(SMALL, **settings), folder)


def test_a_finished_cell_is_not_made_again(tmp_path):
    (first,) = cells.run([cell(tmp_path / "a")], HERE)
    assert first["steps"] == 6 and first["experiment"] == "numpy_gan"

    def fail(cell):
        raise AssertionError("made again")

    made = []

    def other(cell):
        made.append(cell.folder.name)
        files.write_json(cell.folder / "result.json", {"steps": 6})

    assert cells.run([cell(tmp_path / "a")], HERE, fail) == [first]
    second = {"steps": 6}
    assert cells.run([cell(tmp_path / "b"), cell(tmp_path / "a")], HERE, other) == [second, first] and made == ["b"]
    cells.play(cell(tmp_path / "b"))  # finished by another process a moment ago
    assert files.read_json(tmp_path / "b" / "result.json") == second


def test_a_cell_that_was_finished_with_fewer_steps_is_not_finished(tmp_path):
    files.write_json(tmp_path / "a" / "result.json", {"steps": 3})

    def more(cell):
        files.write_json(cell.folder / "result.json", {"steps": cell.config.steps})

    assert cells.run([cell(tmp_path / "a")], HERE, more) == [{"steps": 6}]


def test_a_finished_cell_with_more_steps_goes_on(tmp_path):
    cells.play(cell(tmp_path / "a", steps=3))
    (result,) = cells.run([cell(tmp_path / "a")], HERE)
    assert result["steps"] == 6 and files.read_json(tmp_path / "a" / "config.json")["config"]["steps"] == 6


def test_a_cell_that_was_trained_further_is_refused_and_left_as_it_is(tmp_path):
    cells.play(cell(tmp_path / "a", steps=9))
    (tmp_path / "a/result.json").unlink()
    before = {path: path.read_bytes() for path in (tmp_path / "a").rglob("*") if path.is_file()}
    with pytest.raises(files.BadInput, match="a: was trained on to step 9, but 6 steps are asked for; move it away"):
        cells.play(cell(tmp_path / "a"))
    assert {path: path.read_bytes() for path in (tmp_path / "a").rglob("*") if path.is_file()} == before


def test_an_interrupted_cell_goes_on_and_ends_with_the_same_numbers(tmp_path, monkeypatch):
    whole, cut = cell(tmp_path / "whole"), cell(tmp_path / "cut")
    cells.play(whole)
    record = runs.Run.record

    def interrupted(run, period, *args, **numbers):
        record(run, period, *args, **numbers)
        if period.last == 3:
            raise runs.Stopped("SIGTERM", 143)

    with monkeypatch.context() as patch:
        patch.setattr(runs.Run, "record", interrupted)
        with pytest.raises(runs.Stopped, match="cut: interrupted; the same command goes on") as stop:
            cells.run([cut], HERE)
    assert stop.value.code == 143 and not (cut.folder / "result.json").exists()
    monkeypatch.setattr(runs.Run, "record", lambda run, period, *a, **k: record(run, period, *a, **k))
    cells.play(cut)
    arrays = [storage.Checkpoints(c.folder).newest().arrays for c in (whole, cut)]
    assert all(np.array_equal(arrays[0][name], arrays[1][name]) for name in arrays[0])


def test_training_that_diverges_is_a_result(tmp_path, monkeypatch):
    monkeypatch.setattr(numpy_gan, "train", lambda config, run: run.stop("step 2: NaN"))
    assert cells.run([cell(tmp_path / "a")], HERE) == [{"steps": 6, "stopped": "step 2: NaN"}]


def test_data_that_cannot_be_read_leave_nothing_behind(tmp_path):
    with pytest.raises(files.BadInput, match="--data nowhere"):
        cells.run([cell(tmp_path / "new" / "a", data="nowhere")], HERE)
    assert not list(tmp_path.iterdir())


def test_times_count_from_the_start_of_the_run(tmp_path):
    (result,) = cells.run([cell(tmp_path / "a")], HERE)
    assert 0 < result["train_seconds"] <= result["wall_seconds"] < runs.seconds_spent()[0] - 1e-3
    assert 0 < result["cpu_seconds"] < time.process_time()


def test_a_result_that_cannot_be_read_is_made_again(tmp_path):
    a = cell(tmp_path / "a")
    (first,) = cells.run([a], HERE)
    (a.folder / "result.json").write_text('{"steps')
    (again,) = cells.run([a], HERE)
    assert again["to_real"] == first["to_real"] and (a.folder / "result.json.damaged").exists()


def test_a_cell_that_goes_on_under_another_commit_notes_it(tmp_path, monkeypatch):
    a = cell(tmp_path / "a")
    storage.save_config(a.folder, a.experiment, a.recipe, a.config)
    (a.folder / ".left.tmp").touch()  # by a worker that was killed
    now = storage.provenance() | {"commit": "c" * 40}
    monkeypatch.setattr(storage, "provenance", lambda: now)
    cells.play(a)
    assert "ccccccc" in cells.commits(a.folder) and len(cells.commits(a.folder)) == 2
    assert not list(a.folder.glob(".*"))


def test_a_finished_study_needs_no_cluster(tmp_path):
    results = cells.run([cell(tmp_path / "a")], HERE)
    nobody = cells.Where.__new__(cells.Where)  # without the check that ray is installed
    for name, value in {"workers": None, "address": "127.0.0.1:1", "shared": False}.items():
        object.__setattr__(nobody, name, value)
    assert cells.run([cell(tmp_path / "a")], nobody) == results


def test_commits_of_a_run(tmp_path):
    files.write_json(tmp_path / "config.json", {"commit": "a" * 40, "resumed": [{"commit": "b" * 40 + "-dirty"}]})
    assert cells.commits(tmp_path) == {"aaaaaaa", "bbbbbbb + changes"}
    for damaged in ('{"commit": null}', "x", "[]", '{"resumed": 5}', '{"resumed": [5]}', '{"commit": 5}'):
        (tmp_path / "config.json").write_text(damaged)
        assert cells.commits(tmp_path) == {"unknown"}
    assert cells.commits(tmp_path / "nowhere") == {"unknown"}


def test_other_settings_have_another_digest():
    assert cells.digest(SMALL) == cells.digest(replace(SMALL)) != cells.digest(replace(SMALL, seed=1))


def test_a_folder_travels_as_bytes_and_replaces_what_is_there(tmp_path):
    there, here = tmp_path / "there", tmp_path / "here" / "run"
    (there / "checkpoint").mkdir(parents=True)
    for name in ("result.json", "checkpoint/ckpt-1.npz", storage.LOCK):
        (there / name).write_text(name)
    for _ in range(2):
        here.mkdir(parents=True, exist_ok=True)
        (here / "old").touch()
        cells._unpack(cells._packed(there), here)
        found = {str(path.relative_to(here)): path.read_text() for path in here.rglob("*") if path.is_file()}
        assert found == {name: name for name in ("result.json", "checkpoint/ckpt-1.npz")}
        assert list(here.parent.iterdir()) == [here]


# ---- where cells run


@pytest.mark.parametrize(
    "where, complaint",
    [
        ({"workers": 2}, "--workers 2: needs the package ray: in the project's folder, pip install"),
        ({"address": "head:6379"}, "--address head:6379: needs the package ray: in the project's folder"),
        ({"shared": True}, "--shared: expected beside --address"),
        ({"workers": 1, "address": "head:6379"}, "--workers 1: the cluster at --address head:6379"),
    ],
)
def test_without_ray_one_line_says_how_to_get_it(where, complaint, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(files.BadInput) as error:
        cells.Where(**where)
    assert complaint in str(error.value)


def test_without_ray_cells_run_one_after_the_other_and_a_line_says_so(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(files, "cores", lambda: 2)
    monkeypatch.setattr(cells, "play", None)
    names = []

    def stub(cell):
        names.append(cell.folder.name)
        files.write_json(cell.folder / "result.json", {"steps": 1})

    cells.run([cell(tmp_path / "a"), cell(tmp_path / "b")], cells.Where(), stub)
    said = capsys.readouterr().out
    assert names == ["a", "b"] and said.count("one after the other in this process") == 1 and "pip install" in said


def test_ray_is_imported_only_where_it_is_used():
    program = "import sys; from experiments import compare; from lab import cells; print('ray' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT)
    assert done.stdout == "False\n"


@pytest.mark.parametrize("address", ["", "head", "head:", ":6379", "head:port", "head:²", "head:70000", "auto"])
def test_an_address_is_a_host_and_a_port(address):
    with pytest.raises(files.BadInput, match="expected HOST:PORT"):
        cells._require_someone(address)


def test_an_address_with_nobody_behind_it_is_refused():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))  # bound and not listening
        address = f"127.0.0.1:{free.getsockname()[1]}"
        with pytest.raises(files.BadInput, match=f"--address {address}: nobody answers .connection refused"):
            cells._require_someone(address)


# ---- Ray

POINTS = "--seeds 4 --steps 600 --eval-every 100 --eval-samples 50 --checkpoint-every 100 --samples 50 --batch 20"
POINTS += " --generator-hidden 8 --discriminator-hidden 8"


def compare(*flags):
    command = [sys.executable, "experiments/compare.py", "normal_1d", "--vary", "loss=minimax,hinge"]
    paths = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    environment = os.environ | {"PYTHONPATH": paths}
    return subprocess.Popen(
        [*command, *POINTS.split(), *map(str, flags)], cwd=ROOT, env=environment, text=True, stdout=subprocess.PIPE
    )


def victim(folder, study):
    """The process that trains a cell which has a checkpoint; None if the study ended before there was one."""
    while study.poll() is None:
        for path in folder.glob("cells/*/checkpoint/ckpt-*.npz"):
            run = path.parent.parent
            writer = storage.writer(run)
            if writer and not (run / "result.json").exists():
                return int(writer.split()[1])
    return None


@pytest.mark.cluster
@needs_ray
def test_two_workers_one_of_which_is_killed_make_the_same_table(tmp_path):
    study = compare("--workers", 2, "--out", tmp_path / "ray")
    killed = victim(tmp_path / "ray", study)
    os.kill(killed, signal.SIGKILL)
    said, _ = study.communicate()
    assert study.returncode == 0 and len(re.findall(r"^run \d of 2: ", said, re.M)) == 2
    alone = compare("--workers", 1, "--out", tmp_path / "alone")
    assert "Ray" not in alone.communicate()[0] and alone.returncode == 0
    tables = [(tmp_path / name / "compare.csv").read_bytes() for name in ("ray", "alone")]
    assert tables[0] == tables[1] and tables[0].count(b"\n") == 1 + 2 * 4


@pytest.mark.cluster
@needs_ray
def test_wrong_data_that_a_worker_meets_are_one_line_and_leave_nothing_behind(tmp_path):
    paths = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    command = [sys.executable, "experiments/compare.py", "numpy_gan", "--vary", "learning_rate=0.01,0.02"]
    command += ["--seeds", "2", "--data", "nowhere", "--workers", "2", "--out", str(tmp_path / "a")]
    done = subprocess.run(command, cwd=ROOT, env=os.environ | {"PYTHONPATH": paths}, capture_output=True, text=True)
    assert done.returncode == 2 and done.stderr.startswith("--data nowhere: ") and done.stderr.count("\n") == 1
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
