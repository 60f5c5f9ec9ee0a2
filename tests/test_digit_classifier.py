"""The judge of every image metric, on the 8x8 digits: how well it reads, what is kept, resuming, bad input."""

import json
import subprocess
import sys
import zipfile
from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf
from helpers import DyingRun, Killed, one_line

import gan_data as data
import gan_runs as runs
from experiments import digit_classifier as judges

TINY = replace(judges.SMALL, data="digits", steps=30, eval_every=10, checkpoint_every=10, batch=32)
TINY_FLAGS = ["--data=digits", "--steps=30", "--eval-every=10", "--checkpoint-every=10", "--batch=32"]


def command(*args):
    """The script's command line in this process: exit code."""
    try:
        runs.command_line(
            judges.EXPERIMENT, judges.RECIPES, judges.train_and_report, "", [str(a) for a in (*TINY_FLAGS, *args)]
        )
    except SystemExit as stop:
        return stop.code
    return 0


@pytest.fixture(scope="module")
def images():
    return data.load_images("digits")


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("judges") / "new"


@pytest.fixture(scope="module")
def judge(images, cache):
    return judges.judge_for(images, cache, quiet=True)


# ---- the judge


def test_judge_reads_digits(judge, images):
    # 98.5% over many seeds; on 360 images one standard error of that is .64%, and this is 4 of them less.
    assert judge.test_accuracy > 0.96
    probabilities, _ = judge.verdicts(data.as_pixels(images.test))
    assert np.mean(probabilities.argmax(-1) == images.test_labels) == judge.test_accuracy


def test_verdicts_are_probabilities_and_features_of_each_image_alone(judge, images):
    pixels = data.as_pixels(images.train)  # 1437: two full batches and a part
    probabilities, features = judge.verdicts(pixels)
    assert probabilities.shape == (1437, 10) and features.shape == (1437, judges.FEATURES)
    assert probabilities.dtype == features.dtype == np.float32
    assert np.allclose(probabilities.sum(-1), 1, atol=1e-6) and features.min() >= 0
    some = judge.verdicts(pixels[1200:1210].astype(np.float64))
    assert np.allclose(some[0], probabilities[1200:1210], atol=1e-5)
    assert np.allclose(some[1], features[1200:1210], rtol=1e-4, atol=1e-4)


def test_noise_is_no_digit_and_a_digit_is_one(judge, images):
    noise = np.random.default_rng(0).random((200, 8, 8))
    sure, unsure = (judge.verdicts(x)[0].max(-1).mean() for x in (data.as_pixels(images.test), noise))
    assert sure > 0.95 > unsure + 0.1


@pytest.mark.parametrize("height, width", [(28, 28), (8, 8), (5, 12), (1, 1)])
def test_network_takes_images_of_any_size_and_every_weight_learns(height, width):
    weights = judges.new_weights(0, height, width)
    x = tf.constant(np.random.default_rng(0).random((20, height, width)), tf.float32)
    with tf.GradientTape() as tape:
        logits, features = judges.network(x, weights)
        loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(np.arange(20) % 10, logits))
    assert logits.shape == (20, 10) and features.shape == (20, judges.FEATURES)
    for gradient, weight in zip(tape.gradient(loss, weights), weights, strict=True):
        assert gradient.shape == weight.shape and np.isfinite(gradient).all() and np.any(gradient)


def test_he_initialisation_keeps_the_size_of_activations():
    x = np.random.default_rng(0).random((200, 28, 28))
    logits, features = judges.network(tf.constant(x, tf.float32), judges.new_weights(0, 28, 28))
    assert 0.1 < np.sqrt(np.mean(features**2)) < 10 and 0.1 < np.std(logits) < 10


def test_shifted_images_are_the_image_moved():
    image = np.arange(1, 13, dtype=np.uint8).reshape(1, 3, 4)
    places = judges.shifted(image, 1)
    assert places.shape == (1, 3, 3, 3, 4) and (places[0, 1, 1] == image[0]).all()
    assert (places[0, 0, 1, 1:] == image[0, :-1]).all() and (places[0, 0, 1, 0] == 0).all()
    assert (places[0, 1, 2, :, :-1] == image[0, :, 1:]).all() and (places[0, 1, 2, :, -1] == 0).all()


# ---- what is kept


@pytest.fixture
def trainings(monkeypatch):
    """The list of steps of every training from now on, all of them short."""
    steps, train = [], judges.train

    def counted(config, run, images):
        steps.append(config.steps)
        return train(replace(TINY, seed=config.seed), run, images)

    monkeypatch.setattr(judges, "train", counted)
    return steps


def test_kept_judge_is_not_trained_again(judge, images, cache, trainings, capsys):
    again = judges.judge_for(images, cache)
    assert trainings == [] and capsys.readouterr().out == ""
    assert again.test_accuracy == judge.test_accuracy
    assert all((a.numpy() == b.numpy()).all() for a, b in zip(again.weights, judge.weights, strict=True))


def truncate(path):
    path.write_bytes(path.read_bytes()[:-300])


def flip_a_bit(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def drop_a_weight(path):
    with np.load(path) as file:
        arrays = {name: file[name] for name in file.files if name != "weight_3"}
    np.savez(path, **arrays)


def another_shape(path):
    with np.load(path) as file:
        arrays = dict(file)
    np.savez(path, **arrays | {"weight_0": arrays["weight_0"][:3]})


DAMAGE = [truncate, flip_a_bit, drop_a_weight, another_shape, lambda path: path.write_bytes(b"")]


@pytest.mark.parametrize("damage", DAMAGE)
def test_damaged_judge_is_trained_again_with_a_word(damage, images, tmp_path, trainings, capsys):
    judges.judge_for(images, tmp_path)
    (path,) = tmp_path.iterdir()
    said = capsys.readouterr().out
    assert said.count("\n") == 1 and "training the judge" in said and str(tmp_path) in said
    damage(path)
    judges.judge_for(images, tmp_path)
    assert len(trainings) == 2 and f"{path} is damaged" in capsys.readouterr().out
    judges.judge_for(images, tmp_path)
    assert len(trainings) == 2 and list(tmp_path.iterdir()) == [path]


def test_other_images_have_another_judge(images, tmp_path, trainings):
    judges.judge_for(images, tmp_path, quiet=True)
    labels = images.train_labels[::-1].copy()
    judges.judge_for(images._replace(train_labels=labels), tmp_path, quiet=True)
    assert len(trainings) == 2 and len(list(tmp_path.iterdir())) == 2


def test_cache_folder_follows_the_environment(images, tmp_path, monkeypatch, trainings, capsys):
    monkeypatch.delenv("GAN_LABORATORY_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    judges.judge_for(images, quiet=True)
    assert len(list((tmp_path / "gan-laboratory").iterdir())) == 1
    monkeypatch.setenv("GAN_LABORATORY_CACHE", str(tmp_path / "other"))
    judges.judge_for(images, quiet=True)
    assert len(list((tmp_path / "other").iterdir())) == 1 and len(trainings) == 2
    assert capsys.readouterr().out == ""


def test_cache_that_cannot_be_written_costs_a_word_and_not_the_judge(images, tmp_path, trainings, capsys):
    (tmp_path / "file").touch()
    assert judges.judge_for(images, tmp_path / "file" / "folder").test_accuracy > 0
    assert "cannot be written" in capsys.readouterr().out


def test_kept_judge_is_plain_arrays(judge, cache):
    (path,) = cache.iterdir()
    assert zipfile.is_zipfile(path)
    with np.load(path, allow_pickle=False) as file:
        assert float(file["test_accuracy"]) == judge.test_accuracy


# ---- the script


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A finished run, made by a fresh process in another folder."""
    home = tmp_path_factory.mktemp("elsewhere")
    script = [sys.executable, judges.__file__, *TINY_FLAGS, "--out", "a/run"]
    done = subprocess.run(script, cwd=home, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    return home / "a" / "run", done.stdout


def test_run_folder_holds_what_it_promises(finished):
    folder, screen = finished
    result = json.loads((folder / "result.json").read_text())
    assert (result["experiment"], result["recipe"], result["data"]) == ("digit_classifier", "large", "digits")
    assert result["steps"] == 30 and 0.1 < result["test_accuracy"] < result["test_accuracy_floor"] == 1
    assert (
        0 < result["train_seconds"] < result["wall_seconds"] and result["cpu_seconds"] > result["train_seconds"] / 4
    )
    assert result["parameters"] == 600 + 24 + 6912 + 32 + 18432 + 64 + 4096 + 64 + 640 + 10
    assert [r["step"] for r in runs.read_log(folder)] == [10, 20, 30]
    assert {p.name for p in (folder / "figures").iterdir()} == {"mistakes.png"}
    assert "a/run" in screen.splitlines()[-2] and "of 360 test images right" in screen.splitlines()[-1]


def test_finished_run_is_left_alone(finished, capsys):
    before = (finished[0] / "result.json").stat().st_mtime_ns
    runs.command_line(judges.EXPERIMENT, judges.RECIPES, judges.train_and_report, "", ["--resume", str(finished[0])])
    assert "finished" in capsys.readouterr().out
    assert (finished[0] / "result.json").stat().st_mtime_ns == before


def test_resumed_run_equals_an_uninterrupted_one_bit_for_bit(tmp_path):
    whole = runs.Run()
    reference = judges.train(TINY, whole)
    runs.save_config(tmp_path, judges.EXPERIMENT, TINY)
    with pytest.raises(Killed):
        judges.train(TINY, DyingRun(tmp_path, checkpoint_every=10, at=20))
    resumed = judges.train(TINY, runs.Run(tmp_path, resume=True, checkpoint_every=10))
    assert all((a.numpy() == b.numpy()).all() for a, b in zip(resumed.weights, reference.weights, strict=True))
    logs = [
        [{k: v for k, v in r.items() if k != "train_seconds"} for r in log]
        for log in (runs.read_log(tmp_path), whole.records)
    ]
    assert logs[0] == logs[1]


def test_seeds_differ():
    a, b = (judges.train(replace(TINY, steps=2, seed=seed)) for seed in (0, 1))
    assert not (a.weights[0].numpy() == b.weights[0].numpy()).any()


def test_divergence_is_one_line(tmp_path, capsys):
    assert command("--out", tmp_path, "--learning-rate", "1e30") == 1
    assert "the loss is not finite" in one_line(capsys)


BAD = {
    "--steps 0": "--steps 0: expected at least 1",
    "--seed -1": "--seed -1",
    "--learning-rate nan": "--learning-rate nan",
    "--warm-up 1": "--warm-up 1",
    "--shift 8": "below the images' side, 8",
    "--recipe best": "best",
    "--data missing.npz": "--data missing.npz: no such file or directory; expected an .npz",
    "--stepz 3": "--stepz",
}


@pytest.mark.parametrize("flags", BAD)
def test_bad_flag_is_one_line_and_exit_code_2(flags, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert command(*flags.split()) == 2
    assert BAD[flags] in one_line(capsys)
    assert not list(tmp_path.iterdir())
