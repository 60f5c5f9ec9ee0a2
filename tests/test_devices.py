"""One training on several devices: the numbers of one device, lost workers, wrong input."""

import errno
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import psutil
import pytest
from helpers import command, one_line

import gan_core as core
from experiments import launch, mnist_dcgan, normal_1d
from lab import devices, files, storage

ROOT = Path(__file__).parent.parent
SCRIPTS = ("mnist_dcgan", "mnist_conditional", "stacked_mnist", "pix2pix", "cyclegan")
FLAGS = "--data digits --generator-maps 8 8 4 --discriminator-maps 4 4 8 8 --batch 8 --log-samples 100"
SMALL = FLAGS.split()


def python(*words):
    """The command line and the environment of a process that finds this project."""
    return [sys.executable, *map(str, words)], {"env": os.environ | {"PYTHONPATH": str(ROOT)}, "text": True}


def arrays(folder):
    """What the newest checkpoint of a run holds."""
    newest = storage.Checkpoints(folder).newest()
    return newest.step, {name: value.tobytes() for name, value in newest.arrays.items()}


# ----------------------------------------------------------------------------------- the numbers of one device


@pytest.fixture(scope="module")
def apart():
    """Of each script: place in the game -> largest difference between ten steps on two devices and on one."""
    started = []
    for names in (SCRIPTS[::2], SCRIPTS[1::2]):  # side by side: most of the time one core traces
        words, where = python(ROOT / "tests" / "on_two_devices.py", *names)
        started.append(subprocess.Popen(words, stdout=subprocess.PIPE, **where))
    found: dict[str, dict] = {}
    for process in started:
        out, _ = process.communicate()
        assert process.returncode == 0
        found |= json.loads(out.splitlines()[-1])
    return found


@pytest.mark.cluster
@pytest.mark.parametrize("name", SCRIPTS)
def test_two_devices_end_where_one_does(name, apart):
    assert {place: by for place, by in apart[name].items() if not by <= 1e-5} == {}


@pytest.mark.cluster
def test_blocks_of_seeds_end_with_the_same_bits_on_two_devices(tmp_path):
    flags = "--seeds 9 --steps 40 --eval-every 20 --eval-samples 200 --generator-hidden 8 --discriminator-hidden 8"
    started = []
    for count in (1, 2):
        script = ROOT / "experiments" / "normal_1d.py"
        words, where = python(script, *flags.split(), "--devices", count, "--out", tmp_path / str(count))
        started.append(subprocess.Popen(words, stdout=subprocess.DEVNULL, **where))
    assert [process.wait() for process in started] == [0, 0]
    assert arrays(tmp_path / "1") == arrays(tmp_path / "2")
    step, _ = arrays(tmp_path / "1")
    assert step == 40


# ---------------------------------------------------------------------------------------------- many workers


def launched(folder, steps, *flags):
    """launch.py with two workers of a small DCGAN, as a process."""
    every = ["--steps", steps, "--eval-every", 20, "--checkpoint-every", 20, "--eval-samples", 100]
    words, where = python(ROOT / "experiments" / "launch.py", *flags, "--", "mnist_dcgan.py", *SMALL, *every)
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen([*words, "--out", str(folder)], **pipes, **where)


def wait_for_checkpoint(folder, process):
    while not storage.steps(folder):
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)


@pytest.mark.cluster
def test_a_killed_worker_costs_no_bit(tmp_path):
    """Worker 1 is killed in the middle; the chief says so; both start again, and end as if nothing had happened."""
    process = launched(tmp_path / "killed", 120)
    wait_for_checkpoint(tmp_path / "killed", process)
    _, second = psutil.Process(process.pid).children()
    second.kill()
    killed_at = time.monotonic()
    line = process.stderr.readline()
    assert time.monotonic() - killed_at < 30
    out, rest = process.communicate()
    assert process.returncode == 0, (line, rest)
    assert line.startswith("worker 1 (127.0.0.1:") and "is lost" in line and rest == ""
    assert "the checkpoint of step" in line and f"--resume {tmp_path / 'killed'}" in line
    assert "starting all 2 workers again (1 of 3)" in out and "resuming at step" in out
    undisturbed = launched(tmp_path / "undisturbed", 120)
    undisturbed.communicate()
    assert arrays(tmp_path / "killed") == arrays(tmp_path / "undisturbed")


@pytest.mark.cluster
def test_ctrl_c_is_passed_on_and_one_device_goes_on(tmp_path):
    process = launched(tmp_path / "run", 200)
    wait_for_checkpoint(tmp_path / "run", process)
    process.send_signal(signal.SIGINT)
    _, error = process.communicate()
    assert process.returncode == 130 and error.startswith("interrupted at step ") and error.count("\n") == 1
    step, _ = arrays(tmp_path / "run")
    assert f"interrupted at step {step} of 200, saved" in error
    words, where = python(ROOT / "experiments" / "mnist_dcgan.py", "--resume", tmp_path / "run", "--devices", 1)
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL, **where)
    assert json.loads((tmp_path / "run" / "result.json").read_text())["steps"] == 200


@pytest.mark.cluster
def test_what_is_wrong_for_all_workers_is_said_once(tmp_path):
    process = launched(tmp_path / "run", 20, "--workers", 3)
    _, error = process.communicate()
    assert process.returncode == 2 and error.count("\n") == 1
    assert error.startswith("--batch 8: expected a multiple of 3") and not (tmp_path / "run").exists()


@pytest.mark.cluster
@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_a_worker_that_waits_for_the_others_can_be_ended(signum, tmp_path):
    words, where = python("-u", ROOT / "experiments" / "mnist_dcgan.py", *SMALL, "--out", tmp_path / "run")
    addresses = json.loads(launch.tf_configs(2)[0])["cluster"]["worker"]  # nobody is at the other one
    where["env"] = where["env"] | {"TF_CONFIG": cluster_of(workers=addresses)}
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **where)
    assert any("waiting for the other workers" in line for line in process.stdout)
    process.send_signal(signum)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 128 + signum and error.count("\n") == 1


ENDS = """
import json, os, sys
k = json.loads(os.environ["TF_CONFIG"])["task"]["index"]
print("line of worker", k, file=sys.stderr)
code = {codes}[k]
sys.exit(code) if code >= 0 else os.kill(os.getpid(), -code)
"""


@pytest.mark.parametrize(
    ("codes", "code", "speaker"),
    [
        ((0, 0), 0, None),
        ((75, 1), 1, 1),  # worker 1 failed by itself, and the chief knows only that it is lost
        ((1, 75), 1, None),  # the chief has said why
        ((2, 2), 2, None),
        ((75, -9), None, None),  # worker 1 was killed, as the chief has said
        ((-9, 75), None, 1),  # the chief was killed
        ((75, 143), None, None),
    ],
)
def test_launch_says_why_workers_failed(codes, code, speaker, capfd):
    found = launch.run(2, ["-c", ENDS.format(codes=codes)])
    assert found == code if code is not None else found in launch.AGAIN
    said = capfd.readouterr().err.replace("line of worker 0\n", "")  # the chief writes to the screen
    assert said == ("" if speaker is None else f"line of worker {speaker}\n")


def test_of_two_workers_the_silent_one_is_lost():
    with launch.socket.create_server(("127.0.0.1", 0)) as server:
        here = f"127.0.0.1:{server.getsockname()[1]}"
        silent = devices._silent([here, launch_address(), here], 0)
    assert silent == [1]


def launch_address():
    """An address of this machine at which nobody listens."""
    return json.loads(launch.tf_configs(1)[0])["cluster"]["worker"][0]


@pytest.mark.parametrize("step_of_the_other", [6, 3])
def test_workers_that_resume_at_different_steps_are_refused(step_of_the_other, monkeypatch):
    monkeypatch.setattr(core, "mean_over_replicas", lambda values: [(v + step_of_the_other) / 2 for v in values])
    cluster = devices.Cluster(["a:1", "b:1"], 0)
    loop = devices._SharedLoop(core.tf.distribute.get_strategy(), cluster, step=None, batch_axis={})
    game = SimpleNamespace(step=core.tf.Variable(6, dtype=core.tf.int64))
    if step_of_the_other == 6:
        loop._require_same_step(game)
    else:
        with pytest.raises(files.BadInput, match="this worker is at step 6, others are not"):
            loop._require_same_step(game)


def test_workers_have_ports_of_their_own():
    configs = [json.loads(text) for text in launch.tf_configs(3)]
    assert len(set(configs[0]["cluster"]["worker"])) == 3 and configs[0]["cluster"] == configs[2]["cluster"]
    assert [config["task"]["index"] for config in configs] == [0, 1, 2]


@pytest.mark.parametrize(
    ("words", "folder"),
    [("--out a", "a"), ("--out=a --seed 1", "a"), ("--out b --out a", "a"), ("--seed 1", None), ("--out", None)],
)
def test_launch_finds_the_folder(words, folder):
    assert launch.value_of(words.split(), "--out") == folder


@pytest.mark.parametrize(
    "typed", ["mnist_dcgan", "mnist_dcgan.py", "experiments/mnist_dcgan.py", ROOT / "experiments" / "mnist_dcgan.py"]
)
def test_launch_names_a_folder_for_all_workers(typed, monkeypatch):
    commands = []
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(launch, "run", lambda count, command: commands.append(command) or 0)
    launch.main(["--", str(typed), "--seed", "3"])
    ((script, *words),) = commands
    assert Path(script) == ROOT / "experiments" / "mnist_dcgan.py" and words[:3] == ["--seed", "3", "--out"]
    assert re.fullmatch(r"runs/mnist_dcgan/\d{8}-\d{6}-seed3", words[3]) and len(words) == 4


# -------------------------------------------------------------------------------------------------- wrong input


def cluster_of(workers=("a:1", "b:1"), kind="worker", index=0, **jobs):
    return json.dumps({"cluster": {"worker": workers} | jobs, "task": {"type": kind, "index": index}})


WRONG = {
    "{": "expected {",
    "[]": "expected {",
    "3": "expected {",
    '{"cluster": {"worker": ["a:1"]}}': "expected {",
    cluster_of(workers=["a", "b:1"]): "expected {",
    cluster_of(workers=["a:1", "b:70000"]): "expected {",
    cluster_of(workers=3): "expected {",
    cluster_of(workers=[4000, 4001]): "expected {",
    cluster_of(kind=["worker"]): "expected {",
    '{"cluster": [1], "task": {"type": "worker", "index": 0}}': "expected {",
    cluster_of(workers=["a:1", "a:1"]): "expected a different address for each worker",
    cluster_of(index=2): "task index 2: expected 0 to 1",
    cluster_of(index=-1): "task index -1: expected 0 to 1",
    cluster_of(index="x"): "task index 'x': expected 0 to 1",
    cluster_of(kind="chief"): "task type 'chief': expected worker",
    cluster_of(ps=["c:1"]): "jobs worker, ps: expected workers, and at most one chief",
    cluster_of(chief=["c:1", "d:1"]): "jobs worker, chief: expected workers, and at most one chief",
}


@pytest.mark.parametrize("text", WRONG)
def test_wrong_tf_config_is_one_line(text, monkeypatch, capsys, tmp_path):
    monkeypatch.setenv("TF_CONFIG", text)
    assert command(mnist_dcgan, *SMALL, "--out", tmp_path / "run") == 2
    line = one_line(capsys)
    assert line.startswith("TF_CONFIG") and WRONG[text] in line
    assert not (tmp_path / "run").exists()


def test_workers_are_counted_from_the_chief(monkeypatch):
    assert devices.cluster() is None
    monkeypatch.setenv("TF_CONFIG", cluster_of(index=1, chief=["c:1"]))
    found = devices.cluster()
    assert found == (["c:1", "a:1", "b:1"], 2) and not found.is_chief
    monkeypatch.setenv("TF_CONFIG", cluster_of(kind="chief", chief=["c:1"]))
    assert devices.cluster().is_chief
    monkeypatch.setenv("TF_CONFIG", cluster_of(workers=["a:1"]))
    assert devices.cluster() is None  # one worker trains alone


@pytest.mark.parametrize("flags", ["--devices 1", "--devices 2"])
def test_devices_are_not_chosen_beside_tf_config(flags, monkeypatch, capsys, tmp_path):
    monkeypatch.setenv("TF_CONFIG", cluster_of())
    assert command(mnist_dcgan, *SMALL, *flags.split(), "--out", tmp_path / "run") == 2
    assert f"{flags}: no such flag beside TF_CONFIG" in one_line(capsys)


def test_a_batch_must_be_shared_equally(monkeypatch, capsys, tmp_path):
    assert command(mnist_dcgan, *SMALL, "--batch", 9, "--devices", 2, "--out", tmp_path / "run") == 2
    assert "--batch 9: expected a multiple of 2" in one_line(capsys)
    monkeypatch.setenv("TF_CONFIG", cluster_of(workers=["a:1", "b:1", "c:1"]))
    assert command(mnist_dcgan, *SMALL, "--out", tmp_path / "run") == 2
    assert "--batch 8: expected a multiple of 3" in one_line(capsys)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("count", "words"), [(0, "at least 1"), ("many", "a whole number"), (512, "expected at most")]
)
def test_more_devices_than_there_are(count, words, capsys, tmp_path):
    assert command(mnist_dcgan, *SMALL, "--batch", 512, "--devices", count, "--out", tmp_path / "run") == 2
    line = one_line(capsys)
    assert line.startswith(f"--devices {count}") and words in line
    assert not (tmp_path / "run").exists()


def test_seeds_are_not_shared_between_machines(monkeypatch, capsys):
    monkeypatch.setenv("TF_CONFIG", cluster_of())
    assert command(normal_1d) == 2
    assert one_line(capsys).startswith("TF_CONFIG: seeds train on the devices of one machine")


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ("--workers 0 -- mnist_dcgan.py --out a", "--workers 0: expected at least 1"),
        ("--workers 2", "-- : expected a script of experiments/"),
        ("-- nothing.py --out a", "-- nothing.py: expected a script of experiments/"),
        ("-- numpy_gan.py --data digits", "-- numpy_gan.py: its batches cannot be shared"),
        ("-- normal_1d.py", "-- normal_1d.py: its batches cannot be shared"),
        ("-- ../lab/files.py", "-- ../lab/files.py: expected a script of experiments/"),
        ("-- tests/mnist_dcgan.py", "-- tests/mnist_dcgan.py: expected a script of experiments/"),
        ("--restarts -1 -- mnist_dcgan.py --out a", "--restarts -1: expected 0 or more"),
    ],
)
def test_wrong_input_of_launch_is_one_line(words, complaint, capsys):
    with pytest.raises(SystemExit) as stop:
        launch.main(words.split())
    assert stop.value.code == 2 and complaint in one_line(capsys)


@pytest.mark.parametrize("start", ["tf_configs", "started"])
def test_more_workers_than_can_be_started_are_one_line(start, monkeypatch, tmp_path, capsys):
    def fail(*_):
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr(launch, start, fail)
    with pytest.raises(SystemExit) as stop:
        launch.main(["--workers", "3", "--", "mnist_dcgan.py", "--out", str(tmp_path)])
    assert stop.value.code == 2
    assert one_line(capsys) == "--workers 3: so many cannot be started: too many open files\n"


def test_launch_refuses_a_folder_that_holds_a_run_before_it_starts_workers(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(launch, "run", lambda *_: pytest.fail("started"))
    (tmp_path / "config.json").touch()
    with pytest.raises(SystemExit) as stop:
        launch.main(["--", "mnist_dcgan.py", "--out", str(tmp_path)])
    assert stop.value.code == 2 and f"--out {tmp_path}: already holds a run" in one_line(capsys)


def test_rows_of_a_batch_on_one_device_are_all_of_them():
    x = np.arange(6)
    assert devices.own_rows(x) is x and devices.all_rows(x) is x


def test_a_device_too_many_in_a_process_that_has_started():
    with pytest.raises(files.BadInput, match="--devices"):
        devices.start(1024, 1024)
