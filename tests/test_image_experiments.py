"""Every image experiment as its users run it, on the 8x8 digits: run folder, resuming, samples, bad input."""

import json
from dataclasses import replace

import numpy as np
import pytest
from helpers import DyingRun, Killed, command, fresh_run, one_line
from PIL import Image

import gan_data as data
import gan_images as images
import gan_runs as runs
from experiments import mnist_conditional, mnist_dcgan, mnist_mlp, sample

MODULES = [mnist_mlp, mnist_dcgan, mnist_conditional]
SMALL = {
    "data": "digits",
    "steps": 20,
    "eval_every": 10,
    "checkpoint_every": 10,
    "eval_samples": 300,
    "log_samples": 100,
    "batch": 16,
}
FLAGS = [f"--{name.replace('_', '-')}={value}" for name, value in SMALL.items()]


def tiny(module):
    return replace(next(iter(module.RECIPES.values())), **SMALL).checked()


@pytest.fixture(scope="module", params=MODULES, ids=lambda m: m.EXPERIMENT)
def finished(request, tmp_path_factory):
    """A finished run, made by a fresh process in another folder."""
    return request.param, *fresh_run(request.param, FLAGS, tmp_path_factory.mktemp("elsewhere"))


def test_run_folder_holds_what_it_promises(finished):
    module, folder, screen = finished
    result = json.loads((folder / "result.json").read_text())
    assert (result["experiment"], result["steps"], result["data"]) == (module.EXPERIMENT, 20, "digits")
    assert 0 < result["train_seconds"] < result["wall_seconds"]
    for key, _ in images.ROWS.values():
        assert np.isfinite(result[key]) and np.isfinite(result[f"{key}_floor"])
    log = runs.read_log(folder)
    assert [record["step"] for record in log] == [0, 10, 20]
    assert {"discriminator_loss", "label_kl", "label_kl_floor", "pixel_kl_floor"} <= set(log[-1])
    pictures = {"samples", "strip", "interpolation", "neighbours", "curves"}
    assert {path.name for path in (folder / "figures").iterdir()} == {f"{p}.png" for p in pictures} | {"training.gif"}
    assert "run" in screen.splitlines()[-2] and screen.splitlines()[-1].startswith("Frechet digit distance")


@pytest.mark.parametrize("module", MODULES, ids=lambda m: m.EXPERIMENT)
def test_resumed_run_equals_an_uninterrupted_one_bit_for_bit(module, tmp_path):
    config = tiny(module)
    whole = module.train(config)
    runs.save_config(tmp_path, module.EXPERIMENT, config)
    with pytest.raises(Killed):
        module.train(config, DyingRun(tmp_path, checkpoint_every=10, at=20))
    resumed = module.train(config, runs.Run(tmp_path, resume=True))
    bits = images.latent_bits(7, 50, config.latent_dim)
    assert (resumed.task.generate(bits) == whole.task.generate(bits)).all()
    assert [step for step, _ in resumed.sheets] == [0, 10, 20]
    assert all((a == b).all() for (_, a), (_, b) in zip(resumed.sheets, whole.sheets, strict=True))
    numbers = [{k: v for k, v in r.items() if k != "train_seconds"} for t in (whole, resumed) for r in t.records]
    assert numbers[:3] == numbers[3:]


def test_samples_of_a_finished_run(finished, tmp_path, capsys):
    module, folder, _ = finished
    sample.main([str(folder), "--count", "12", "--out", str(tmp_path / "a.png")])
    sample.main([str(folder), "--count", "12", "--out", str(tmp_path / "b.npy")])
    sample.main([str(folder), "--count", "5", "--out", str(tmp_path / "c.npy")])
    few, many = np.load(tmp_path / "c.npy"), np.load(tmp_path / "b.npy")
    assert many.shape == (12, 8, 8) and many.dtype == np.uint8 and np.ptp(many) > 0
    assert np.abs(many[:5].astype(int) - few).max() <= 1  # sample k does not depend on how many there are
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.size == (4 * 60 - 4, 3 * 60 - 4)  # 4 columns of 8 pixels, 7 times enlarged, and gaps of 4
    assert np.abs(sample.sample(folder, 100, seed=1) - sample.sample(folder, 100, seed=2)).max() > 0
    if module is mnist_conditional:
        assert np.abs(sample.sample(folder, 9, label=1) - sample.sample(folder, 9, label=7)).max() > 0
    else:
        with pytest.raises(runs.BadInput, match="--label 1: .* without labels"):
            sample.sample(folder, 9, label=1)


@pytest.mark.parametrize(
    "args, words",
    [
        (["nowhere"], ["RUN nowhere", "no run"]),
        (["{run}", "--count", "0"], ["--count 0", "at least 1"]),
        (["{run}", "--out", "{run}/a.jpg"], ["a.jpg", ".png or .npy"]),
        (["{run}", "--out", "{run}/x.png"], ["x.png", "exists"]),
        (["{run}", "--colour", "red"], ["--colour"]),
        (["{run}", "--label", "10"], ["--label 10", "0 to 9"]),
        (["{other}"], ["normal_1d", "image experiment"]),
        (["{empty}"], ["no checkpoint"]),
    ],
)
def test_bad_input_of_sample_is_one_line(args, words, tmp_path, capsys):
    run, other, empty = (tmp_path / name for name in ("run", "other", "empty"))
    for folder in (run, other, empty):
        folder.mkdir()
    (run / "x.png").touch()
    runs.write_json(other / "config.json", {"experiment": "normal_1d", "config": {}})
    runs.save_config(empty, "mnist_mlp", tiny(mnist_mlp))
    with pytest.raises(SystemExit) as stop:
        sample.main([arg.format(run=run, other=other, empty=empty) for arg in args])
    assert stop.value.code == 2
    line = one_line(capsys)
    assert all(word in line for word in words), line


@pytest.mark.parametrize("module", MODULES, ids=lambda m: m.EXPERIMENT)
@pytest.mark.parametrize(
    "flags, words",
    [
        (["--data", "nowhere.npz"], ["--data nowhere.npz"]),
        (["--batch", "0"], ["--batch 0", "at least 1"]),
        (["--steps", "5"], ["--steps 5", "--eval-every"]),
        (["--eval-samples", "5"], ["--eval-samples 5", "at least 100"]),
        (["--latent-dim", "0"], ["--latent-dim 0"]),
        (["--learning-rate", "-1"], ["--learning-rate -1"]),
        (["--seed", "-1"], ["--seed -1"]),
        (["--no-such-flag"], ["--no-such-flag"]),
    ],
)
def test_bad_input_is_one_line_and_leaves_no_folder(module, flags, words, tmp_path, capsys):
    before = [] if flags[0] == "--data" else ["--data", "digits"]
    assert command(module, *before, "--eval-every=10", *flags, "--out", tmp_path / "run") == 2
    line = one_line(capsys)
    assert all(word in line for word in words), line
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("module", MODULES, ids=lambda m: m.EXPERIMENT)
def test_diverging_training_stops_with_the_step_and_the_loss(module, tmp_path, capsys):
    assert command(module, *FLAGS, "--learning-rate=1e37", "--out", tmp_path / "run") == 1
    assert "step " in one_line(capsys)


# ---- the yardstick


@pytest.fixture(scope="module")
def yardstick():
    return images.Yardstick(data.load_images("digits"), tiny(mnist_mlp))


def test_real_images_score_well_and_collapse_and_blur_show(yardstick):
    real = data.as_pixels(yardstick.images.train[:300])
    good = yardstick.full(real)
    one_digit = yardstick.full(real[yardstick.images.train_labels[:300] == 3][np.arange(300) % 25])
    blurred = yardstick.full(sum(np.roll(real, k, axis=0) / 4 for k in range(4)))
    assert good["digits"] == 10 and good["precision"] > 0.8 and good["recall"] > 0.8
    assert one_digit["digits"] < 4 and one_digit["label_kl"] > 1 and one_digit["recall"] < good["recall"] / 2
    assert blurred["confident_share"] < good["confident_share"] - 0.1
    for bad in (one_digit, blurred):
        assert bad["frechet_digit_distance"] > 3 * good["frechet_digit_distance"]
        assert bad["parzen"] < good["parzen"]


def test_interpolation_keeps_the_length_of_latents():
    from scipy.special import ndtri

    config = replace(mnist_mlp.STABLE, latent_dim=400)
    path = ndtri((images.interpolation(config, rows=2, columns=9) + 0.5) / 65536).reshape(2, 9, 400)
    lengths = np.linalg.norm(path, axis=-1)
    assert np.allclose(lengths, 20, atol=3)  # sqrt(400), standard deviation .7; a straight line dips to 14
    ends = images.latent_bits(config.seed, 4, 400)
    assert (np.abs(path[:, 0] - ndtri((ends[::2] + 0.5) / 65536)) < 1e-2).mean() > 0.99


def test_chunks_end_at_every_record():
    config = replace(mnist_mlp.STABLE, steps=130, eval_every=60)
    assert list(images.chunks(config, 60)) == [(60, 50), (110, 10), (120, 10)]
