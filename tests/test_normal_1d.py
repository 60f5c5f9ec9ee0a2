"""The 1-D experiment as its users run it: recipes, run folder, resuming, bad input."""

import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from helpers import DyingRun, Killed, one_line

import gan_points
import gan_runs as runs
from experiments import normal_1d

SCRIPT = Path(normal_1d.__file__)
TINY = replace(normal_1d.STABLE, seeds=2, steps=60, eval_every=20, checkpoint_every=20, eval_samples=200)
TINY_FLAGS = ["--seeds=2", "--steps=60", "--eval-every=20", "--eval-samples=200", "--checkpoint-every=20"]


def command(*args, recipes=normal_1d.RECIPES):
    """The script's command line in this process: exit code."""
    try:
        runs.command_line("normal_1d", recipes, normal_1d.train_and_report, "", [str(a) for a in args])
    except SystemExit as stop:
        return stop.code
    return 0


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A finished run, made by a fresh process in another folder."""
    home = tmp_path_factory.mktemp("elsewhere")
    done = subprocess.run(
        [sys.executable, str(SCRIPT), *TINY_FLAGS, "--out", "a/run"], cwd=home, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")
    return home / "a" / "run", done.stdout


def test_run_folder_holds_what_it_promises(finished):
    folder, screen = finished
    result = json.loads((folder / "result.json").read_text())
    for name in ("kl", "kl_reverse", "wasserstein", "discriminator_loss"):
        assert {"median", "q10", "q90", "per_seed"} <= set(result[name]) and len(result[name]["per_seed"]) == 2
        assert np.isfinite(result[name]["median"]) and f"{name}_floor" in result
    for name in ("recipe", "target", "collapsed", "wall_seconds", "seed_steps_per_second"):
        assert name in result
    assert (result["experiment"], result["seeds"], result["steps"]) == ("normal_1d", 2, 60)
    assert 0 < result["train_seconds"] < result["wall_seconds"]
    assert [r["step"] for r in runs.read_log(folder)] == [0, 20, 40, 60]
    config = json.loads((folder / "config.json").read_text())
    assert config["config"]["steps"] == 60 and config["versions"]["tensorflow"]
    assert {p.name for p in (folder / "figures").iterdir()} == {"overview.png", "training.gif"}
    assert "a/run" in screen.splitlines()[-2] and screen.splitlines()[-1].startswith("KL ")


def test_finished_run_is_left_alone(finished, capsys):
    folder, _ = finished
    before = (folder / "result.json").stat().st_mtime_ns
    assert command("--resume", folder) == 0
    assert "finished" in capsys.readouterr().out
    assert (folder / "result.json").stat().st_mtime_ns == before


def test_out_never_overwrites_a_run(finished, capsys):
    folder, _ = finished
    assert command(*TINY_FLAGS, "--out", folder) == 2
    assert "already holds a run" in one_line(capsys)


# ---- resuming


@pytest.fixture(scope="module")
def reference():
    return normal_1d.train(TINY)


@pytest.fixture
def killed(tmp_path):
    """A run killed after step 40 was logged and step 20 was saved, with the leftovers of torn writes."""
    folder = tmp_path / "run"
    folder.mkdir()
    runs.save_config(folder, "normal_1d", TINY)
    with pytest.raises(Killed):
        normal_1d.train(TINY, DyingRun(folder, checkpoint_every=20, at=40))
    with (folder / "log.jsonl").open("a") as log:
        log.write('{"step": 60, "kl": {"med')
    (folder / "checkpoint" / "ckpt-40_temp").mkdir()
    (folder / "checkpoint" / "checkpoint.tmp123").touch()
    return folder


def without_times(records):
    return [{k: v for k, v in r.items() if k != "train_seconds"} for r in records]


def test_resumed_run_equals_an_uninterrupted_one_bit_for_bit(killed, reference):
    resumed = normal_1d.train(TINY, runs.Run(killed, resume=True, checkpoint_every=20))
    assert (resumed.fakes == reference.fakes).all()
    assert without_times(runs.read_log(killed)) == without_times(reference.records)
    assert not list((killed / "checkpoint").glob("*_temp")) and not list((killed / "checkpoint").glob("*.tmp*"))


@pytest.mark.parametrize("file", ["data-00000-of-00001", "index"])
def test_damaged_checkpoint_falls_back_to_the_one_before(killed, reference, file, capsys):
    normal_1d.train(replace(TINY, steps=40), runs.Run(killed, resume=True, checkpoint_every=20))
    path = killed / "checkpoint" / f"ckpt-40.{file}"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    resumed = normal_1d.train(TINY, runs.Run(killed, resume=True, checkpoint_every=20))
    assert "ckpt-40 is damaged" in capsys.readouterr().out
    assert without_times(resumed.records)[:3] == without_times(reference.records)[:3]


def test_every_checkpoint_damaged_is_one_line(killed, capsys):
    for path in (killed / "checkpoint").glob("ckpt-*.index"):
        path.write_bytes(b"\0" * 100)
    assert command("--resume", killed) == 2
    assert "no checkpoint that can be read" in capsys.readouterr().err


def test_steps_may_grow_on_resuming_but_nothing_else_may_change(finished, tmp_path, capsys):
    folder = tmp_path / "run"
    shutil.copytree(finished[0], folder)
    assert command("--resume", folder, "--steps", 80) == 0
    assert json.loads((folder / "result.json").read_text())["steps"] == 80
    assert [r["step"] for r in runs.read_log(folder)] == [0, 20, 40, 60, 80]
    capsys.readouterr()
    assert command("--resume", folder, "--seed", 7) == 2
    assert "drop --seed" in one_line(capsys)
    assert command("--resume", folder, "--steps", 60) == 2
    assert "cannot shrink" in one_line(capsys)


def test_interrupt_saves_and_says_how_to_resume(tmp_path, monkeypatch):
    folder = tmp_path / "run"
    folder.mkdir()

    class InterruptedRun(runs.Run):
        def record(self, record, headline=""):
            super().record(record, headline)
            if record["step"] == 20:
                os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(runs.Stopped, match=f"interrupted at step 20 of 60, saved; continue with .*{folder}") as stop:
        normal_1d.train(TINY, InterruptedRun(folder, checkpoint_every=1000))
    assert stop.value.code == 130
    assert (folder / "checkpoint" / "ckpt-20.index").exists()


def test_nan_stops_with_step_and_loss_and_keeps_the_last_good_checkpoint(tmp_path, monkeypatch):
    folder = tmp_path / "run"
    folder.mkdir()
    real_draw = gan_points.draw

    def poisoned(config, rows, seeds, first, count):
        batch = real_draw(config, rows, seeds, first, count)
        if first == 40:
            x = batch["x"].numpy()
            x[3, 1] = np.nan  # step 44 (counted from 1) of the second seed
            batch["x"] = x
        return batch

    monkeypatch.setattr(gan_points, "draw", poisoned)
    with pytest.raises(runs.Stopped, match=r"step 44: discriminator_loss is nan \(seed 1\).*step 40 is kept"):
        normal_1d.train(TINY, runs.Run(folder, checkpoint_every=20))
    assert sorted(p.stem for p in (folder / "checkpoint").glob("*.index")) == ["ckpt-20", "ckpt-40"]


def test_diverging_generator_is_one_line_not_a_traceback(tmp_path, capsys):
    assert command(*TINY_FLAGS, "--out", tmp_path, "--learning-rate", "1e37", "--loss", "wasserstein") == 1
    assert "step " in one_line(capsys)


def test_run_stopped_before_its_first_checkpoint_starts_again(tmp_path, reference):
    runs.save_config(tmp_path, "normal_1d", TINY)
    resumed = normal_1d.train(TINY, runs.Run(tmp_path, resume=True))
    assert (resumed.fakes == reference.fakes).all()


# ---- many seeds


def test_member_of_many_equals_the_solo_run_of_its_seed():
    many = normal_1d.train(replace(TINY, recipe="classic", seeds=3))
    solo = normal_1d.train(replace(TINY, recipe="classic", seeds=1, seed=2))
    assert (many.real.train[2] == solo.real.train[0]).all()
    assert np.allclose(many.fakes[2], solo.fakes[0], atol=1e-3)  # float32 rounding, amplified by 60 steps


def test_seeds_in_several_blocks_equal_seeds_in_one(monkeypatch):
    whole = normal_1d.train(replace(TINY, seeds=4))
    monkeypatch.setattr(normal_1d.data, "blocks", lambda n: [slice(0, 2), slice(2, 4)])
    parts = normal_1d.train(replace(TINY, seeds=4))
    assert np.allclose(whole.fakes, parts.fakes, atol=1e-3)
    x = np.zeros((4, 3))
    assert np.allclose(whole.logits(x), parts.logits(x), atol=1e-3)


# ---- every flag


FLAGS = [
    "--recipe classic",
    "--recipe classic --epochs 10",
    "--target gamma --target-args 2 0 3 --loss wasserstein --gradient-penalty 1",
    "--target mixture --latent normal --discriminator-hidden 4 4 --generator-hidden 3 --loss relativistic_paired",
    "--target cauchy --schedule cosine --r1 1 --r2 1",
]


@pytest.mark.parametrize("flags", FLAGS)
def test_flags_lead_to_a_finite_result(flags, tmp_path):
    assert command(*TINY_FLAGS, "--out", tmp_path, *flags.split()) == 0
    result = json.loads((tmp_path / "result.json").read_text())
    assert np.isfinite(result["kl"]["median"]) and result["steps"] == (40 if "epochs" in flags else 60)


def test_data_file_is_judged_against_its_held_out_half(tmp_path):
    np.savetxt(tmp_path / "heights.txt", np.random.default_rng(0).normal(170, 9, 600))
    assert command(*TINY_FLAGS, "--data", tmp_path / "heights.txt", "--out", tmp_path / "run") == 0
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    assert result["target"] == "heights.txt" and np.isfinite(result["kl"]["median"])
    assert result["kl_floor"] > 41 / (2 * 200)  # two samples, of 200 and 300: far above one against exact masses


# ---- bad input: one line, exit code 2, nothing written


BAD = {
    "--target nrom": "--target nrom",
    "--target binom --target-args 3 .5": "--target binom",
    "--target norm --target-args 1 2 3": "3 numbers for norm",
    "--target gamma": "0 numbers for gamma",
    "--target norm --target-args 0 -1": "scale above 0",
    "--target mixture --target-args 1 0": "WEIGHT MEAN STD",
    "--seeds 0": "--seeds 0: expected at least 1",
    "--batch -3": "--batch -3",
    "--eval-samples 1": "--eval-samples 1",
    "--discriminator-hidden 8 0": "--discriminator-hidden 8 0",
    "--learning-rate 0": "--learning-rate 0",
    "--learning-rate nan": "--learning-rate nan",
    "--average 1": "--average 1",
    "--seed -1": "--seed -1",
    "--seed 99999999999999999999999": "below 2^31",
    "--target norm --target-args inf 1": "scale above 0",
    "--steps 10 --eval-every 40": "--steps 10: expected at least --eval-every, 40",
    "--steps many": "--steps",
    "--loss best": "best",
    "--recipe quick": "quick",
    "--stepz 3": "--stepz",
    "--data missing.npy": "missing.npy: no such file",
    "--resume nowhere": "no run here",
}


@pytest.mark.parametrize("flags", BAD)
def test_bad_flag_is_one_line_and_exit_code_2(flags, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert command(*flags.split()) == 2
    assert BAD[flags] in one_line(capsys)
    assert not list(tmp_path.iterdir())


FILES = {
    "empty.csv": "",
    "words.txt": "one\ntwo\nthree",
    "nan.csv": "nan\n" + "1\n2\n" * 20,
    "constant.txt": "5\n" * 30,
    "few.csv": "1\n2\n3\n",
    "columns.csv": "1,2\n" * 30,
    "numbers.dat": "1\n2\n" * 30,
}


@pytest.mark.parametrize("name", FILES)
def test_bad_data_file_is_one_line_and_exit_code_2(name, tmp_path, capsys):
    (tmp_path / name).write_text(FILES[name])
    assert command("--data", tmp_path / name, "--out", tmp_path / "run") == 2
    assert name in one_line(capsys)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("array", [np.ones((30, 2)), np.array([None, "a"], object), np.array([]), np.full(30, 1j)])
def test_bad_npy_is_one_line_and_exit_code_2(array, tmp_path, capsys):
    np.save(tmp_path / "x.npy", array, allow_pickle=True)
    assert command("--data", tmp_path / "x.npy", "--out", tmp_path / "run") == 2
    assert "x.npy" in one_line(capsys)


def test_fresh_process_reports_bad_input_without_a_traceback():
    done = subprocess.run([sys.executable, str(SCRIPT), "--seeds", "none"], capture_output=True, text=True)
    assert done.returncode == 2 and done.stdout == "" and done.stderr.count("\n") == 1


def test_help_names_every_flag():
    done = subprocess.run([sys.executable, str(SCRIPT), "--help"], capture_output=True, text=True)
    assert done.returncode == 0
    for flag in ("--recipe", "--steps", "--seed", "--out", "--resume", "--data", "--target-args", "--learning-rate"):
        assert flag in done.stdout
