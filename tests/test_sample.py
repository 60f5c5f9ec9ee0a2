"""Samples of every kind of run, as pictures, tables and arrays; generators that NumPy alone can use; wrong input."""

import errno
import json
import math
import os
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from helpers import one_line
from PIL import Image

import gan_core as core
from experiments import (
    mixture_2d,
    mnist_conditional,
    mnist_dcgan,
    mnist_mlp,
    normal_1d,
    numpy_gan,
    sample,
    stacked_mnist,
)
from lab import export, files, runs, storage
from lab.runs import BadInput

IMAGES = {"data": "digits", "steps": 10, "eval_every": 10, "checkpoint_every": 10, "log_samples": 100, "batch": 16}
NARROW = {"generator_maps": (8, 8, 4), "discriminator_maps": (4, 4, 4, 4)}
STACKED = {"log_samples": 1000, "stacked_images": 200, "batch": 8, **NARROW}
POINTS = {
    "seeds": 3,
    "seed": 4,
    "steps": 10,
    "eval_every": 10,
    "checkpoint_every": 10,
    "eval_samples": 50,
    "batch": 20,
}
PLANE = {"samples": 200, "discriminator_hidden": (8,), "generator_hidden": (8, 6)}
RUNS = {  # name -> script, changed settings; between them every kind of network, latent and output
    "mnist_mlp": (mnist_mlp, IMAGES),
    "mnist_mlp_tanh": (mnist_mlp, IMAGES | {"output": "tanh", "generator_activation": "leaky_relu_01"}),
    "mnist_dcgan": (mnist_dcgan, IMAGES | NARROW),
    "mnist_conditional": (mnist_conditional, IMAGES | NARROW),
    "numpy_gan": (numpy_gan, IMAGES),
    "stacked_mnist": (stacked_mnist, IMAGES | STACKED),
    "normal_1d": (normal_1d, POINTS | {"target_args": (1000.0, 25.0)}),
    "mixture_2d": (mixture_2d, POINTS | PLANE),
    "mixture_2d_normal": (mixture_2d, POINTS | PLANE | {"latent": "normal", "latent_dim": 5, "standardise": False}),
}
RUNS["mixture_2d_pacgan"] = (mixture_2d, RUNS["mixture_2d"][1] | {"network": "pacgan", "generator_skip": True})
ON_POINTS = [name for name, (_, settings) in RUNS.items() if "seeds" in settings]
OF_IMAGES = [name for name in RUNS if name not in ON_POINTS]


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Name -> the folder of a short run, which is trained when it is first asked for."""
    made = {}

    def folder(name):
        if name not in made:
            made[name] = tmp_path_factory.mktemp("runs") / name
            made[name].mkdir()
            module, settings = RUNS[name]
            config = replace(module.Config(), **settings)
            storage.save_config(made[name], module.__name__.split(".")[-1], "stable", config)
            module.train(config, runs.Run(made[name]))
        return made[name]

    return folder


def command(*args):
    """Run the script's command line in this process; returns its exit code."""
    try:
        sample.main([str(arg) for arg in args])
    except SystemExit as stop:
        return stop.code
    return 0


# ---- images


@pytest.mark.parametrize("name", OF_IMAGES)
def test_samples_of_images(name, folders, tmp_path, capsys):
    folder = folders(name)
    capsys.readouterr()
    assert command(folder, "--count", "12", "--out", tmp_path / "a.png") == 0
    assert command(folder, "--count", "12", "--out", tmp_path / "b.npy") == 0
    assert command(folder, "--count", "5", "--out", tmp_path / "c.npy") == 0
    assert capsys.readouterr().out.splitlines()[1] == f"{tmp_path / 'b.npy'}: 12 samples"
    few, many = np.load(tmp_path / "c.npy"), np.load(tmp_path / "b.npy")
    colours = (3,) if "stacked" in name else ()
    assert many.shape == (12, 8, 8, *colours) and many.dtype == np.uint8 and np.ptp(many) > 0
    assert np.abs(many[:5].astype(int) - few).max() <= 1  # sample k does not depend on how many there are
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.size == (4 * 60 - 4, 3 * 60 - 4)  # 4 columns of 8 pixels, 7 times enlarged, and gaps of 4
    assert np.abs(sample.sample(folder, 100, seed=1) - sample.sample(folder, 100, seed=2)).max() > 0


def test_a_label_asks_for_one_digit(folders):
    folder = folders("mnist_conditional")
    sevens = sample.sample(folder, 9, label=7)
    assert np.abs(sample.sample(folder, 9, label=1) - sevens).max() > 0
    mixed = sample.sample(folder, 40)
    alone = [sample.sample(folder, 40, label=digit) for digit in range(10)]
    equal = np.array([[np.allclose(m, a, atol=1e-5) for m, a in zip(mixed, images, strict=True)] for images in alone])
    assert (equal.sum(axis=0) == 1).all() and equal.any(axis=1).all()  # without a label: every digit, in turn


def test_images_are_those_that_the_run_evaluates(folders):
    """The running average of the weights, and the running statistics of batch norm."""
    config = replace(mnist_dcgan.Config(), **RUNS["mnist_dcgan"][1])
    trained = mnist_dcgan.train(config, runs.Run(folders("mnist_dcgan"), reopen=True))
    bits = sample.draws.latent_bits(3, 20, config.latent_dim)
    expected = mnist_dcgan.generator(config, trained.game)(bits)
    np.testing.assert_array_equal(sample.sample(folders("mnist_dcgan"), 20, seed=3), expected)


# ---- numbers and points


@pytest.mark.parametrize("name", ON_POINTS)
def test_samples_of_every_seed_and_of_one(name, folders, tmp_path, capsys):
    folder = folders(name)
    capsys.readouterr()
    two = () if name == "normal_1d" else (2,)
    for file, *flags in (("all.npy",), ("one.npy", "--seed-index", 2), ("all.csv",), ("one.csv", "--seed-index", 2)):
        assert command(folder, "--count", 7, "--out", tmp_path / file, *flags) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].endswith("all.npy: 7 samples of each of 3 seeds") and lines[1].endswith("one.npy: 7 samples")
    every, one = np.load(tmp_path / "all.npy"), np.load(tmp_path / "one.npy")
    assert every.shape == (3, 7, *two) and one.shape == (7, *two)
    np.testing.assert_array_equal(every[2], one)
    assert (every == sample.sample(folder, 7)).all() and (every[:1] == sample.sample(folder, 7, seed_index=0)).all()
    np.testing.assert_allclose(every, sample.sample(folder, 30)[:, :7], rtol=1e-5, atol=1e-5)  # function of k alone
    assert (sample.sample(folder, 7, seed=1) != every).any()

    header, *rows = (tmp_path / "all.csv").read_text().splitlines()
    table = np.array([row.split(",") for row in rows], float)
    assert header == ("seed,x,y" if two else "seed,x") and table.shape == (21, len(header.split(",")))
    assert table[:, 0].tolist() == [4] * 7 + [5] * 7 + [6] * 7  # the run's seeds, of which the first is 4
    np.testing.assert_allclose(table[:, 1:].reshape(every.shape), every, rtol=1e-8)
    only = np.loadtxt(tmp_path / "one.csv", delimiter=",", skiprows=1)
    np.testing.assert_array_equal(only, table[14:])


def test_numbers_have_the_unit_of_the_data(folders):
    numbers = sample.sample(folders("normal_1d"), 500)  # after ten steps G is still about its skip: N(0, 1), scaled
    assert abs(numbers.mean() - 1000) < 15 and 10 < numbers.std() < 40


@pytest.mark.parametrize(
    "name, flags", [(name, flags) for name in ON_POINTS[:2] for flags in ([], ["--seed-index", 1])]
)
def test_a_picture_of_numbers_or_points(name, flags, folders, tmp_path):
    assert command(folders(name), "--count", 300, *flags, "--out", tmp_path / "a.png") == 0
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.width > 300 and len(picture.convert("RGB").getcolors(100_000)) > 10


def test_a_histogram_has_the_density_of_the_numbers():
    numbers = np.random.default_rng(0).uniform(2, 4, (5, 4000))
    (ax,) = sample.numbers_picture(numbers, range(5)).axes
    x, median = ax.lines[0].get_data()
    assert 2 < x.min() < x.max() < 4 and np.allclose(median, 0.5, atol=0.1) and "each of 5 seeds" in ax.get_title()
    (ax,) = sample.numbers_picture(np.full((1, 50), 3.0), range(7, 8)).axes  # a collapsed G
    assert ax.get_title() == "50 fakes of seed 7" and ax.patches


def test_every_seed_has_a_panel_of_its_points():
    points = np.random.default_rng(0).normal(size=(23, 50, 2)) + [5, -3]
    fig = sample.points_picture(points, range(23))
    assert [ax.get_title() for ax in fig.axes] == [f"seed {k}" for k in range(20)]
    assert "each of 23 seeds, the first 20" in fig.get_suptitle()
    shown = fig.axes[3].collections[0].get_offsets()
    np.testing.assert_allclose(shown, points[3])
    (low, high), (bottom, top) = fig.axes[3].get_xlim(), fig.axes[3].get_ylim()
    assert low < 5 < high and bottom < -3 < top and high - low == pytest.approx(top - bottom)


# ---- generators for NumPy


def readme_code(path):
    """The program in a README."""
    (code,) = re.findall(r"```python\n(.*?)```", path.read_text(), re.S)
    return code


@pytest.mark.parametrize("name", RUNS)
def test_the_program_of_the_readme_makes_the_samples_of_the_script(name, folders, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert command(folders(name), "--export", "G.npz") == 0
    assert {path.name for path in tmp_path.iterdir()} == {"G.npz", "G.md"}  # without --out no samples
    assert "G.npz" in capsys.readouterr().out
    code = readme_code(tmp_path / "G.md")
    assert set(re.findall(r"^(?:import|from) (\w+)", code, re.M)) <= {"numpy", "math", "statistics"}
    program = {}
    exec(code, program)
    expected = sample.sample(folders(name), 10)
    assert program["samples"].shape == expected.shape
    scale = np.abs(expected).max()
    np.testing.assert_allclose(program["samples"], expected, rtol=0, atol=3e-6 * scale)
    assert np.ptp(expected) > 1e-3 * scale  # the comparison sees something
    more, others = program["latents"](4, seed=8), []
    if name == "mnist_conditional":
        others = [np.full(4, 6)]
        np.testing.assert_array_equal(program["digits_of_all_kinds"](4), program["digits_of_all_kinds"](10)[:4])
    label = 6 if others else None
    found = program["generate"](more, *others)
    np.testing.assert_allclose(found, sample.sample(folders(name), 4, 8, label), rtol=0, atol=3e-6 * scale)


def test_a_run_whose_settings_are_in_its_checkpoint_alone_is_exported(folders, tmp_path):
    folder = shutil.copytree(folders("mixture_2d"), tmp_path / "run")
    (folder / "config.json").unlink()
    assert command(folder, "--export", tmp_path / "G.NPZ", "--out", tmp_path / "samples.CSV") == 0
    assert (tmp_path / "samples.CSV").read_text().startswith("seed,x,y") and (tmp_path / "G.NPZ").exists()
    assert "a run of `mixture_2d`" in (tmp_path / "G.md").read_text()


def test_one_seed_alone_can_be_exported(folders, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert (
        command(folders("mixture_2d"), "--seed-index", 1, "--export", "one.npz", "--out", "one.npy", "--count", 9)
        == 0
    )
    program = {}
    exec(readme_code(tmp_path / "one.md"), program)
    assert program["samples"].shape == (1, 10, 2) and np.load("one.npy").shape == (9, 2)
    np.testing.assert_allclose(program["samples"][0, :9], np.load("one.npy"), atol=1e-5)
    assert "--count 10 --seed-index 1" in (tmp_path / "one.md").read_text()


def test_an_exported_file_holds_weights_and_settings_and_no_pickle(folders, tmp_path):
    assert command(folders("mnist_dcgan"), "--export", tmp_path / "G.npz") == 0
    with np.load(tmp_path / "G.npz", allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    about = json.loads(str(arrays["settings"]))
    assert (about["experiment"], about["recipe"], about["step"]) == ("mnist_dcgan", "stable", 10)
    assert about["config"]["generator_maps"] == [8, 8, 4]
    assert arrays["W"].shape == (100, 2 * 2 * 8) and arrays["kernel1"].shape == (3, 3, 8, 8)
    assert arrays["mean2"].shape == arrays["variance2"].shape == (4,) and (arrays["variance2"] > 0).all()
    text = (tmp_path / "G.md").read_text()
    assert "| `kernel1` | 3 x 3 x 8 x 8 | float32 |" in text and f"sample.py {folders('mnist_dcgan')} " in text


@pytest.mark.parametrize("name", core.ACTIVATIONS)
def test_activations_in_numpy_are_those_of_the_networks(name):
    a = np.linspace(-6, 6, 41, dtype=np.float32)
    found = eval(export.ACTIVATIONS[name], {"np": np, "math": math, "a": a})
    np.testing.assert_allclose(found, core.ACTIVATIONS[name](core.tf.constant(a)), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("latent", ["uniform", "normal"])
@pytest.mark.parametrize("size", [1, 5, 8])
def test_a_program_for_every_latent_gelu_and_a_skip(latent, size, tmp_path, monkeypatch):
    """By hand: one seed, one hidden layer of two units."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    weights = [rng.normal(size=shape) for shape in ((1, 2, size), (1, 2, 1), (1, 1, 2), (1, 1, 1), (1, 1, size))]
    unit = np.full((1, 1, 1), 5.0), np.full((1, 1, 1), 2.0)
    generator = export.points(weights, *unit, skip=True, activation="gelu", latent=latent, first=3)
    export.write(tmp_path / "G.npz", generator, {"experiment": "x", "recipe": "y", "step": 1}, "command")
    program = {}
    exec(readme_code(tmp_path / "G.md"), program)
    z = sample.draws.latents(sample.draws.latent_bits(3, 10, size).T, latent).numpy()
    np.testing.assert_allclose(program["latents"](10)[0], z, atol=2e-6)
    w1, b1, w2, b2, skip = (w[0] for w in weights)
    a = w1 @ z + b1
    h = a * 0.5 * (1 + np.vectorize(math.erf)(a / 2**0.5))
    expected = 5 + 2 * (w2 @ h + b2 + skip @ z)
    np.testing.assert_allclose(program["samples"], expected, rtol=1e-5, atol=1e-5)


# ---- wrong input


@pytest.mark.parametrize(
    "name, flags, words",
    [
        ("mixture_2d", ["--label", "1"], "--label 1: a run of mixture_2d is trained without labels"),
        ("normal_1d", ["--seed-index", "3"], "--seed-index 3: expected 0 to 2"),
    ],
)
def test_a_flag_that_does_not_fit_the_run_is_one_line(name, flags, words, folders, tmp_path, monkeypatch, capsys):
    folder = folders(name)
    monkeypatch.chdir(tmp_path)
    capsys.readouterr()
    assert command(folder, *flags) == 2
    assert words in one_line(capsys)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["numpy_gan", "mixture_2d"])
def test_a_full_disk_is_one_line_that_says_so(name, folders, tmp_path, monkeypatch, capsys):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    folder, out = folders(name), tmp_path / "a.npy"
    capsys.readouterr()
    monkeypatch.setattr(Path, "write_bytes", full)
    assert command(folder, "--out", out) == 2
    assert one_line(capsys) == f"--out {out}: no space left on device\n" and not list(tmp_path.iterdir())


@pytest.mark.parametrize("experiment", ["live", "plot", "sample", "compare", "__init__"])
def test_the_name_of_a_script_that_makes_no_runs_is_one_line(experiment, tmp_path, capsys):
    saved = {"format": storage.FORMAT, "experiment": experiment, "recipe": "stable", "config": {}}
    files.write_checked_json(tmp_path / "config.json", saved)
    assert command(tmp_path) == 2
    assert f"RUN {tmp_path}: a run of {experiment}, whose script has no load_generator" in one_line(capsys)


@pytest.mark.parametrize("experiment", sample.NO_SAMPLES)
def test_a_run_without_a_generator_from_latents_is_one_line_that_says_why(experiment, tmp_path, capsys):
    saved = {"format": storage.FORMAT, "experiment": experiment, "recipe": "stable", "config": {}}
    files.write_checked_json(tmp_path / "config.json", saved)
    assert command(tmp_path) == 2
    line = one_line(capsys)
    assert f"RUN {tmp_path}: a run of {experiment}, {sample.NO_SAMPLES[experiment]}" in line and "latents" in line


def test_sample_raises_the_same_errors(folders):
    with pytest.raises(BadInput, match="--label 1: .* without labels"):
        sample.sample(folders("mnist_dcgan"), 9, label=1)
