"""What every training script does alike: its run folder, resuming, a kill, finished runs, --help."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from helpers import DyingRun, Killed, command, config_of, one_line, quiet_command, without_times

from lab import cli, runs, storage

IMAGES = (
    "--data digits --steps 20 --eval-every 10 --checkpoint-every 10 --eval-samples 300 --log-samples 100 --batch 16"
)
STACKED = "--data digits --steps 20 --eval-every 10 --checkpoint-every 10 --eval-samples 1000 --log-samples 1000"
SMALL_MAPS = " --generator-maps 16 16 8 --discriminator-maps 4 8 8 16"
POINTS = "--seeds 2 --steps 60 --eval-every 20 --eval-samples 200 --checkpoint-every 20"
FLAGS = {  # short runs of three records, saved at each
    "normal_1d": POINTS + " --generator-hidden 8 --discriminator-hidden 8",
    "mixture_2d": POINTS + " --samples 500 --batch 50 --generator-hidden 16 16 --discriminator-hidden 16",
    "mnist_mlp": IMAGES + " --latent-dim 8 --categories 4 --generator-hidden 32 --discriminator-hidden 32",
    "mnist_dcgan": IMAGES + SMALL_MAPS,
    "mnist_conditional": IMAGES + SMALL_MAPS,
    "stacked_mnist": STACKED + SMALL_MAPS + " --batch 8 --stacked-images 500",
    "numpy_gan": IMAGES,
    "pix2pix": IMAGES + " --width 4",
    "cyclegan": IMAGES + " --width 4",
    "digit_classifier": "--recipe small --data digits --steps 20 --eval-every 10 --checkpoint-every 10 --batch 16",
}
PICTURES = {
    "normal_1d": "overview.png training.gif",
    "mixture_2d": "overview.png seeds.png training.gif training.html",
    "mnist_mlp": "samples.png strip.png interpolation.png neighbours.png categories.png curves.png training.gif",
    "mnist_dcgan": "samples.png strip.png interpolation.png neighbours.png categories.png curves.png training.gif",
    "mnist_conditional": "samples.png strip.png interpolation.png neighbours.png curves.png training.gif",
    "stacked_mnist": "samples.png strip.png interpolation.png modes.png curves.png training.gif",
    "numpy_gan": "samples.png curves.png training.gif",
    "pix2pix": "translations.png strip.png curves.png training.gif",
    "cyclegan": "cycles.png strip.png curves.png training.gif",
    "digit_classifier": "mistakes.png",
}


def words(name):
    return FLAGS[name].split()


def every(name):
    return 20 if name in ("normal_1d", "mixture_2d") else 10


@pytest.fixture(scope="module", params=FLAGS)
def finished(request, tmp_path_factory):
    """A finished run: name, module, folder, standard output."""
    folder, module = tmp_path_factory.mktemp("runs") / request.param, cli.script(request.param)
    code, screen = quiet_command(module, *words(request.param), "--out", folder)
    assert code == 0
    return request.param, module, folder, screen


def test_run_folder_holds_what_it_promises(finished):
    name, module, folder, screen = finished
    result, config = (json.loads((folder / f"{file}.json").read_text()) for file in ("result", "config"))
    steps = config["config"]["steps"]
    assert (result["experiment"], result["steps"]) == (name, steps) and result["recipe"] == config["recipe"]
    assert 0 < result["train_seconds"] < result["wall_seconds"]
    assert config["experiment"] == name and config["versions"]["tensorflow"] and "commit" in config
    rows = module.TABLE.rows.values() if hasattr(module, "TABLE") else [("test_accuracy", "")]
    numbers = {key for key, _ in rows} | {key for key in result if f"{key}_floor" in result}
    numbers |= {key for key, value in result.items() if isinstance(value, dict) and "per_seed" in value}
    assert all(np.isfinite(result[f"{key}_floor"]).all() for key in numbers)  # every number beside its floor
    log = storage.read_log(folder)
    assert [r["step"] for r in log] == list(range(0, steps + 1, every(name)))
    assert "train_seconds" in log[-1] and len(log[-1]) > 3
    assert {path.name for path in (folder / "figures").iterdir()} == set(PICTURES[name].split())
    assert str(folder) in screen.splitlines()[-2] and "s of training" in screen.splitlines()[-1]
    assert not list(folder.rglob(".*"))  # no temporary file is left


def test_finished_run_is_left_alone(finished, capsys):
    _, module, folder, _ = finished
    before = (folder / "result.json").stat().st_mtime_ns
    assert command(module, "--resume", folder) == 0
    assert "finished" in capsys.readouterr().out
    assert (folder / "result.json").stat().st_mtime_ns == before


def test_out_never_overwrites_a_run(finished, capsys):
    name, module, folder, _ = finished
    assert command(module, *words(name), "--out", folder) == 2
    assert "already holds a run" in one_line(capsys)


def test_reopened_run_draws_its_figures_again(finished, tmp_path):
    name, module, folder, _ = finished
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    trained = module.train(config_of(module, words(name)), runs.Run(folder, reopen=True))
    result = json.loads((folder / "result.json").read_text())
    module.figures(trained, result, tmp_path)
    for file in PICTURES[name].split():
        if file.endswith(".png"):
            assert (tmp_path / file).read_bytes() == (folder / "figures" / file).read_bytes()
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before  # nothing in the run is touched


def test_killed_and_resumed_run_equals_an_uninterrupted_one_bit_for_bit(finished, tmp_path):
    name, module, whole, _ = finished
    config, folder = config_of(module, words(name)), tmp_path / "run"
    folder.mkdir()
    storage.save_config(folder, name, json.loads((whole / "config.json").read_text())["recipe"], config)
    with pytest.raises(Killed):
        module.train(config, DyingRun(folder, at=2 * every(name)))  # logged, but not saved
    with (folder / "log.jsonl").open("a") as log:
        log.write('{"step": 60, "kl": {"med')  # a torn line
    (folder / "checkpoint" / ".ckpt-40.tmp.npz").touch()
    (folder / ".figures.tmp").mkdir()
    code, screen = quiet_command(module, "--resume", folder, draw=False)
    assert code == 0 and f"resuming at step {every(name)}" in screen
    assert without_times(storage.read_log(folder)) == without_times(storage.read_log(whole))
    results = [json.loads((f / "result.json").read_text()) for f in (folder, whole)]
    for key, value in results[0].items():
        assert value == results[1][key] or "seconds" in key or "per_second" in key, key
    for snapshot in sorted((whole / "snapshots").glob("*.npz")):
        with np.load(snapshot) as a, np.load(folder / "snapshots" / snapshot.name) as b:
            assert set(a) == set(b) and all((a[k] == b[k]).all() for k in a)
    assert not list(folder.rglob(".*")) and not (folder / "writer.lock").exists()


@pytest.mark.parametrize("name", ["normal_1d", "mnist_mlp", "mnist_dcgan", "numpy_gan", "pix2pix", "cyclegan"])
def test_diverging_training_is_one_line_with_the_step(name, tmp_path, capsys):
    extra = ["--loss", "wasserstein"] if name == "normal_1d" else []
    rate = "1e300" if name == "numpy_gan" else "1e37"  # close to the largest float64 and float32
    assert command(cli.script(name), *words(name), *extra, f"--learning-rate={rate}", "--out", tmp_path / "run") == 1
    assert "step " in one_line(capsys)


@pytest.mark.parametrize("name", [*FLAGS, "dirac_gan"])
def test_help_names_every_flag_in_its_group(name, capsys):
    module = cli.script(name)
    assert command(module, "--help") == 0
    text = capsys.readouterr().out
    for field in type(next(iter(module.RECIPES.values()))).__dataclass_fields__:
        assert cli.flag(field) in text
    assert "output options" in text and "--out" in text and "--resume" in text
    assert ("--recipe" in text) == (len(module.RECIPES) > 1)


@pytest.mark.parametrize("name", ["normal_1d", "numpy_gan"])
def test_a_script_works_from_any_folder_and_its_bad_input_is_one_line(name, tmp_path):
    script = [sys.executable, str(Path(cli.script(name).__file__))]
    done = subprocess.run([*script, *words(name), "--out", "a/run"], cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert "a/run" in done.stdout.splitlines()[-2] and (tmp_path / "a" / "run" / "result.json").exists()
    bad = subprocess.run([*script, "--steps", "none"], capture_output=True, text=True)
    assert bad.returncode == 2 and bad.stdout == "" and bad.stderr.count("\n") == 1
