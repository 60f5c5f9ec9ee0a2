"""Faults of a whole run, by its command line: signals, damage, a second writer, figures that cannot be drawn.

At the end: what the study of benchmarks/faults.py asks for.
"""

import errno
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from types import SimpleNamespace

import faults
import numpy as np
import pytest
from helpers import command, one_line, without_times

from experiments import numpy_gan
from lab import files, runs, sheets, signals, storage

SMALL = "--data digits --batch 16 --latent-dim 4 --train-images 100 --eval-samples 100 --log-samples 100"
OFTEN = "--steps 40 --eval-every 10 --checkpoint-every 10"
FLAGS = f"{SMALL} {OFTEN}".split()


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run that was never disturbed."""
    folder = tmp_path_factory.mktemp("faults") / "whole"
    assert command(numpy_gan, *FLAGS, "--out", folder, draw=False) == 0
    return folder


@pytest.fixture
def half(tmp_path):
    """A run that SIGTERM ended at step 25, and the line that it ended with is not looked at."""

    class Ended(numpy_gan.Adam):
        def step(self):
            super().step()
            if self.t[0] == 25 and not signals.arrived():  # in D's step; G's still has to come
                os.kill(os.getpid(), signal.SIGTERM)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(numpy_gan, "Adam", Ended)
        assert command(numpy_gan, *FLAGS, "--out", tmp_path / "run", draw=False) == 143
    return tmp_path / "run"


def assert_same(folder, whole):
    a, b = (storage.Checkpoints(f).newest(keep_damaged=True) for f in (folder, whole))
    assert a.step == b.step == 40 and all((a.arrays[name] == b.arrays[name]).all() for name in b.arrays)
    assert without_times(storage.read_log(folder)) == without_times(storage.read_log(whole))
    results = [files.read_json(f / "result.json") for f in (folder, whole)]
    assert all(results[0][key] == results[1][key] for key in results[1] if "second" not in key)


def resume(folder, **settings):
    return command(numpy_gan, "--resume", folder, **settings)


def test_terminated_run_saves_in_the_middle_of_a_period_and_goes_on_with_the_same_bits(half, whole, capsys):
    assert storage.steps(half) == [10, 20, 25]
    assert resume(half, draw=False) == 0
    assert "resuming at step 25 of 40" in capsys.readouterr().out
    assert_same(half, whole)


def test_second_signal_in_the_middle_of_a_step_does_not_save_it(tmp_path, whole, monkeypatch, capsys):
    class Twice(numpy_gan.Adam):
        def step(self):
            super().step()
            if self.t[0] == 25:
                os.kill(os.getpid(), signal.SIGINT)  # D is updated, G is not

    with monkeypatch.context() as patch:
        patch.setattr(numpy_gan, "Adam", Twice)
        assert command(numpy_gan, *FLAGS, "--out", tmp_path / "run", draw=False) == 130
    assert "interrupted at step 24 of 40, the checkpoint of step 20 is kept; continue" in one_line(capsys)
    assert resume(tmp_path / "run", draw=False) == 0
    assert_same(tmp_path / "run", whole)


@pytest.mark.parametrize("damage", [lambda b: b"", lambda b: b[:-1], lambda b: b[:1000], lambda b: b + b"x"])
def test_damaged_checkpoint_costs_the_steps_since_the_one_before(damage, half, whole, capsys):
    path = half / "checkpoint" / "ckpt-25.npz"
    path.write_bytes(damage(path.read_bytes()))
    assert resume(half, draw=False) == 0
    screen = capsys.readouterr().out
    assert "ckpt-25.npz is damaged" in screen and "resuming at step 20 of 40" in screen
    assert_same(half, whole)


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[" * 100_000])
def test_damaged_data_and_result_are_made_again(content, half, whole, capsys):
    (half / "data.json").write_bytes(content)
    (half / "result.json").write_bytes(content)
    assert resume(half, draw=False) == 0
    assert "result.json is damaged" in capsys.readouterr().out
    assert_same(half, whole)
    assert (half / "result.json.damaged").read_bytes() == content
    assert files.read_json(half / "data.json") == files.read_json(whole / "data.json")


def test_damaged_settings_are_one_line_and_their_copy_takes_their_place(half, whole, capsys):
    text = (half / "config.json").read_text()
    (half / "config.json").write_text(text.replace('"latent_dim": 4', '"latent_dim": 5'))
    capsys.readouterr()
    assert resume(half, draw=False) == 2
    assert "changed after it was written" in (line := one_line(capsys)) and "delete it" in line
    (half / "config.json").unlink()
    assert resume(half, draw=False) == 0
    assert "made again from its copy" in capsys.readouterr().out
    assert_same(half, whole)
    assert (half / "config.json").read_text() == text


def test_settings_without_their_checksum_count_as_changed(half, capsys):
    saved = files.read_json(half / "config.json")
    del saved["checksum"]
    files.write_json(half / "config.json", saved)
    capsys.readouterr()
    assert resume(half) == 2
    assert "its checksum is missing" in one_line(capsys)


@pytest.mark.parametrize("damage", [{"versions": "x"}, {"resumed": 5}, {"resumed": ["a"]}, {"steps": 20}])
def test_settings_that_nobody_can_use_are_one_line(damage, half, capsys):
    saved = storage.read_config(half, "RUN")
    changed = saved.everything | damage | {"config": saved.config | damage if "steps" in damage else saved.config}
    files.write_checked_json(half / "config.json", changed)
    capsys.readouterr()
    assert resume(half) == 2
    expected = "steps 20, and there is a checkpoint of step 25" if "steps" in damage else "versions or resumed"
    assert expected in one_line(capsys)


def test_a_resumed_run_that_is_refused_is_left_as_it_was(half, capsys, monkeypatch):
    before = {name: (half / name).read_bytes() for name in ("config.json", "data.json")}

    def refuse(self, **facts):
        files.write_json(half / "data.json", facts)
        raise files.BadInput("--data: other data")

    with monkeypatch.context() as patch:
        patch.setattr(runs.Run, "keep_data", refuse)
        assert command(numpy_gan, "--resume", half, "--steps", "99", draw=False) == 2
    assert {name: (half / name).read_bytes() for name in before} == before
    assert resume(half, draw=False) == 0


@pytest.mark.parametrize("lost", [True, False])
def test_a_lost_log_costs_its_lines_and_one_with_other_line_ends_nothing(lost, half, whole, capsys):
    path = half / "log.jsonl"
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    if lost:
        path.unlink()
    assert resume(half, draw=False) == 0
    steps = [record["step"] for record in storage.read_log(half)]
    assert steps == ([30, 40] if lost else [0, 10, 20, 30, 40])


def test_a_log_that_is_lost_after_the_last_step_gets_its_last_line_again(whole, tmp_path, capsys):
    folder = shutil.copytree(whole, tmp_path / "run")
    (folder / "log.jsonl").unlink()
    (folder / "result.json").unlink()
    capsys.readouterr()
    assert command(numpy_gan, "--resume", folder) == 2  # the accuracies of the last period are lost
    assert "its log holds no period of training" in one_line(capsys)
    assert [record["step"] for record in storage.read_log(folder)] == [40]
    assert command(numpy_gan, "--resume", folder, "--steps", "50", draw=False) == 0


def test_checkpoints_of_other_names_are_none(half):
    path = half / "checkpoint" / "ckpt-25.npz"
    shutil.copy(path, path.with_name("ckpt-025.npz"))
    shutil.copy(path, path.with_name("ckpt-\u0665.npz"))
    assert storage.steps(half) == [10, 20, 25]


def test_settings_that_the_checkpoint_was_not_trained_with_are_one_line(half, capsys):
    saved = storage.read_config(half, "RUN")
    config = dict(saved.everything, config=saved.config | {"learning_rate": 0.5})
    files.write_checked_json(half / "config.json", config)  # as somebody writes it who knows the checksum
    capsys.readouterr()
    assert resume(half) == 2
    assert "learning_rate 0.5, the checkpoint of step 25 was trained with" in one_line(capsys)


def test_other_versions_are_said_and_noted(half, whole, monkeypatch, capsys):
    now = storage.provenance()
    monkeypatch.setattr(storage, "provenance", lambda: now | {"versions": now["versions"] | {"numpy": "9.9"}})
    assert resume(half, draw=False) == 0
    assert f"numpy is 9.9, and was {np.__version__} before" in capsys.readouterr().out
    assert files.read_json(half / "config.json")["resumed"][0]["step"] == 25
    assert_same(half, whole)


def test_second_writer_is_one_line(half, capsys):
    capsys.readouterr()
    with storage.only_writer(half, "--resume"):
        before = sorted(half.rglob("*"))
        assert resume(half) == 2
        assert f"in use by process {os.getpid()}" in one_line(capsys) and sorted(half.rglob("*")) == before


def test_figures_that_cannot_be_drawn_lose_nothing_and_are_drawn_when_the_run_is_resumed(half, monkeypatch, capsys):
    capsys.readouterr()
    with monkeypatch.context() as patch:
        patch.setattr(sheets, "animation", lambda *_, **__: 1 / 0)
        assert resume(half) == 1
    line = one_line(capsys)
    assert "numbers are in result.json" in line and "division by zero" in line and f"plot.py {half}" in line
    assert files.read_json(half / "result.json")["steps"] == 40
    assert resume(half) == 0 and "finished" in capsys.readouterr().out
    assert {path.name for path in (half / "figures").iterdir()} == {"samples.png", "curves.png", "training.gif"}
    assert not list(half.rglob(".*"))


def test_signal_while_drawing_ends_at_once_and_the_resumed_run_draws(half, monkeypatch, capsys):
    capsys.readouterr()
    with monkeypatch.context() as patch:
        patch.setattr(sheets, "animation", lambda *_, **__: os.kill(os.getpid(), signal.SIGTERM))
        assert resume(half) == 143
    assert one_line(capsys) == f"SIGTERM; continue with --resume {half}\n"
    assert resume(half) == 0 and (half / "figures" / "training.gif").exists()


def test_signal_while_evaluating_ends_at_once_and_the_resumed_run_evaluates(half, whole, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(runs.Run, "finish", lambda *_: os.kill(os.getpid(), signal.SIGHUP))
        assert resume(half) == 129
    assert not (half / "result.json").exists()
    assert resume(half, draw=False) == 0
    assert_same(half, whole)


@pytest.mark.parametrize("name", ["log", "checkpoint", "snapshot"])
def test_full_disk_is_one_line_and_the_last_good_state_is_whole(name, half, whole, monkeypatch, capsys):
    def full(*args, **settings):
        raise OSError(errno.ENOSPC, "No space left on device")

    capsys.readouterr()
    with monkeypatch.context() as patch:
        if name == "log":
            patch.setattr(storage, "_line", full)
        elif name == "checkpoint":
            patch.setattr(storage, "_seal", full)
        else:
            patch.setattr(runs.np, "savez", full)
        assert resume(half) == 1
    line = one_line(capsys)
    assert "no space left on device; continue with --resume" in line
    assert (
        line.startswith(str(half)) and {"log": "log.jsonl", "checkpoint": "ckpt-", "snapshot": ".npz"}[name] in line
    )
    assert resume(half, draw=False) == 0
    assert_same(half, whole)
    assert not list(half.rglob(".*"))


def test_closed_screen_is_one_line(half, monkeypatch, capsys):
    class Closed:
        encoding = "utf-8"

        def write(self, text):
            raise BrokenPipeError(errno.EPIPE, "Broken pipe")

        flush = write_through = lambda self: None
        isatty = lambda self: False  # noqa: E731

    capsys.readouterr()
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", Closed())
        assert resume(half) == 1
    assert one_line(capsys) == f"standard output: broken pipe; continue with --resume {half}\n"


# ---- the study


@pytest.mark.parametrize("said", [True, False])
def test_study_ends_where_something_is_lost_and_nothing_says_so(said, tmp_path, monkeypatch):
    words = "log.jsonl: line 3 damaged; 8 lines are kept" if said else "resuming at step 20 of 40"
    printing = [sys.executable, "-S", "-c", f"print({words!r})"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    monkeypatch.setattr(faults, "start", lambda *_, **__: subprocess.Popen(printing, **pipes))
    monkeypatch.setattr(faults, "compare", lambda whole, folder: {"log of step 3"})

    def fault(name, whole, folder, rng):
        folder.mkdir()
        return 1

    kind = faults.Kind(fault, ("numpy_gan",), 1, damages=True)
    whole = faults.Whole({}, 1.0, tmp_path / "whole")

    def row():
        return faults.study("damage", kind, {"numpy_gan": whole}, 1, 1, tmp_path)

    if said:
        assert row().startswith("| damage | 1 | 1 | 1 of 1 | 1 log lines or snapshots, each said on the screen;")
    else:
        with pytest.raises(AssertionError, match="log of step 3.*nothing on the screen says so"):
            row()


def test_study_raises_what_its_last_run_raised_although_there_were_faults_enough(tmp_path, monkeypatch):
    monkeypatch.setattr(faults, "finish", lambda name, folder: ("", ""))
    monkeypatch.setattr(faults, "compare", lambda whole, folder: set())
    two_run = threading.Event()

    def fault(name, whole, folder, rng):
        if folder.name.endswith("-0"):
            folder.mkdir()
            assert two_run.wait(10)
            return 1
        two_run.set()
        end = time.monotonic() + 10
        while not (tmp_path / "fault-0").exists():
            assert time.monotonic() < end
        while (tmp_path / "fault-0").exists():  # until the first run is counted
            assert time.monotonic() < end
        time.sleep(0.2)  # until its result was read
        raise AssertionError("the second run is different")

    kind = faults.Kind(fault, ("numpy_gan",), 1)
    with pytest.raises(AssertionError, match="the second run is different"):
        faults.study("kill", kind, {"numpy_gan": faults.Whole({}, 1.0, tmp_path)}, 1, 2, tmp_path)


def test_kill_during_a_save_waits_for_a_save_of_the_process_itself(tmp_path, monkeypatch):
    """The first process saves and is killed; the second finds what it left, saves nothing, and ends by itself."""
    program = """if True:
        import os, pathlib, time
        if not list(pathlib.Path("checkpoint").iterdir()):
            pathlib.Path(f"checkpoint/.ckpt-1.tmp{os.getpid()}.npz").touch()
            time.sleep(60)
        time.sleep(0.2)
        """
    (tmp_path / "checkpoint").mkdir()
    started = [sys.executable, "-S", "-c", program]
    monkeypatch.setattr(faults, "go_on", lambda name, folder: subprocess.Popen(started, cwd=folder))
    at_first = SimpleNamespace(randrange=lambda n: 0)
    assert faults.kills_in_a_save("numpy_gan", faults.Whole({}, 1.0, tmp_path), tmp_path, at_first) == 1


def test_study_ends_where_a_run_that_is_to_be_damaged_or_watched_fails(tmp_path, monkeypatch):
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    failing = [sys.executable, "-S", "-c", "raise SystemExit('no such flag')"]
    monkeypatch.setattr(faults, "start", lambda *_, **__: subprocess.Popen(failing, **pipes))
    with pytest.raises(AssertionError, match="numpy_gan ended with 1 before SIGTERM: no such flag"):
        faults.flipped_bit("numpy_gan", faults.Whole({}, 1.0, tmp_path / "a"), tmp_path / "run", random.Random(0))
    monkeypatch.setattr(faults, "SCRIPTS", tmp_path)  # without scripts
    with pytest.raises(AssertionError, match=r"normal_1d.py --steps 200000 ended with exit code 2"):
        faults.growth("normal_1d", tmp_path)


@pytest.mark.parametrize("flag", ["--jobs 0", "--jobs two", "--jobs 1.5", "--share 0", "--share nan"])
def test_study_refuses_numbers_that_are_not_positive_in_one_line(flag, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["faults.py", *flag.split()])
    with pytest.raises(SystemExit, match="2"):
        faults.main()
    name, value = flag.split()
    kind = "whole " * (name == "--jobs")
    assert f"argument {name}: {value} is not a {kind}number above 0\n" in capsys.readouterr().err


def test_study_says_at_once_that_it_cannot_mount_a_disk(tmp_path, monkeypatch):
    def start(*_, **__):
        raise RuntimeError("a run was started")

    monkeypatch.setattr(faults, "start", start)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "argv", ["faults.py"])
    for unshare in (None, "#!/bin/sh\nexit 1\n"):  # it is missing; it is forbidden
        if unshare:
            (tmp_path / "unshare").write_text(unshare)
            (tmp_path / "unshare").chmod(0o755)
        with pytest.raises(SystemExit, match="^disk full: needs Linux .*--only$"):
            faults.main()
    monkeypatch.setattr(sys, "argv", ["faults.py", "--only", "kills"])
    with pytest.raises(RuntimeError, match="a run was started"):
        faults.main()
