"""Stacked MNIST on the 8x8 digits: triples, packing, modes counted by hand, the run folder, resuming, bad input."""

import json
from dataclasses import replace

import numpy as np
import pytest
from helpers import DyingRun, Killed, command, fresh_run, one_line
from PIL import Image

import gan_core as core
import gan_data as data
import gan_images as images
import gan_runs as runs
import metrics
from experiments import mnist_dcgan as dcgan
from experiments import mnist_mlp as mlp
from experiments import sample
from experiments import stacked_mnist as stacked
from gan_core import tf

SMALL = {
    "data": "digits",
    "steps": 4,
    "eval_every": 2,
    "checkpoint_every": 2,
    "eval_samples": 1000,
    "log_samples": 1000,
    "batch": 8,
    "generator_hidden": (16,),
    "discriminator_hidden": (16,),
}
CONFIG = replace(stacked.STABLE, network="dcgan", discriminator_norm="batch", **SMALL).checked()
NETWORKS = ["dcgan", "alike", "dense"]


@pytest.fixture(scope="module")
def real():
    return data.load_images("digits")


def copies(game):
    return [v.numpy() for v in tf.nest.flatten(game)]


# ---- the real images


@pytest.mark.parametrize("network", NETWORKS)
def test_batches_hold_the_digits_of_their_triples(real, network):
    """What the step trains on, channel by channel, is the training image of the drawn index."""
    config = replace(CONFIG, network=network, stacked_images=50)
    task = stacked.new_task(config, real)
    key = "chosen" if network == "dense" else "triple"
    drawn = task.draw(0, 7)[key].numpy()
    for name, values in task.draw(4, 3).items():  # a function of the step, as resuming needs
        np.testing.assert_array_equal(values, task.draw(0, 7)[name][4:])
    triples = data.random_triples(50, len(real.train), config.seed)
    assert drawn.shape == (7, 8, 3) and {tuple(t) for t in drawn.reshape(-1, 3)} == set(map(tuple, triples))
    colour = stacked.stacked(tf.constant(real.train), drawn[0]).numpy()
    assert colour.shape == (8, 8, 8, 3) and colour.dtype == np.uint8
    for image, triple in zip(colour, drawn[0], strict=True):
        for channel in range(3):
            np.testing.assert_array_equal(image[..., channel], real.train[triple[channel]])


def test_judge_reads_the_triples_that_were_stacked(real):
    """Each channel at its own place: hundreds, tens, ones."""
    triples = data.random_triples(1000, len(real.train), 5)
    pixels = data.as_pixels(stacked.stacked(tf.constant(real.train), triples).numpy())
    found = stacked.Yardstick(real, CONFIG).full(pixels)
    labels = real.train_labels[triples].astype(int)
    expected = np.bincount(labels @ [100, 10, 1], minlength=1000)
    assert np.abs(np.array(found["mode_counts"]) - expected).sum() < 0.1 * 2 * 1000  # the judge errs on few digits
    assert found["kl"] == metrics.uniform_kl(found["mode_counts"])
    assert found["modes"] == np.count_nonzero(found["mode_counts"])


def test_triples_are_a_function_of_the_seed_and_independent():
    first, again, other = (data.random_triples(128_000, 60_000, seed) for seed in (0, 0, 1))
    assert first.dtype == np.int32 and first.shape == (128_000, 3) and (first == again).all()
    assert (first != other).mean() > 0.99 and (first[:, 0] != first[:, 1]).mean() > 0.99
    assert 0 <= first.min() < 10 and 59_990 <= first.max() < 60_000
    correlation = np.corrcoef(first.T)[np.triu_indices(3, 1)]
    assert np.abs(correlation).max() < 5 / 128_000**0.5
    evaluation = data.random_triples(128_000, 60_000, 0, data.EVALUATION)
    assert (first != evaluation).mean() > 0.99


# ---- packing


def test_packing_is_explicit_concatenation():
    x = tf.reshape(tf.range(4 * 2 * 2 * 3.0), (4, 2, 2, 3))
    seen = core.packed(x, 2, 0, 3).numpy()
    np.testing.assert_array_equal(seen[0], np.concatenate([x[0], x[2]], axis=-1))
    np.testing.assert_array_equal(seen[1], np.concatenate([x[1], x[3]], axis=-1))
    columns = tf.reshape(tf.range(12.0), (2, 6))  # [F, B]
    seen = core.packed(columns, 3).numpy()
    np.testing.assert_array_equal(seen[:, 1], np.concatenate([columns[:, 1], columns[:, 3], columns[:, 5]]))
    assert core.packed(x, 1) is x


def plain_losses(config, game, batch, colour):
    """D's loss without penalty, and both packs' logits, of the DCGAN before its first step, images glued by hand."""
    d, g = game.discriminator.weights, game.generator.weights
    fakes = dcgan.generator_network(core.from_bits(batch["z"], "normal"), g)[0].numpy()
    half = config.batch // 2
    glued = [np.concatenate([x[:half], x[half:]], axis=-1) for x in (colour / 127.5 - 1, fakes)]
    assert glued[0].shape == (half, 8, 8, 6)
    logits = [dcgan.discriminator_network(tf.constant(x, tf.float32), d)[0] for x in glued]
    return tf.reduce_mean(core.LOSSES[config.loss].discriminator(*logits))


def test_d_of_the_dcgan_sees_pairs_side_by_side(real):
    config = replace(CONFIG, pack=2)
    task, game = stacked.new_task(config, real), stacked.new_game(config)
    assert game.discriminator.weights[0].shape == (3, 3, 6, 32) and game.generator.weights[-1].shape == (3,)
    batch = {name: values[0] for name, values in task.draw(0, 1).items()}
    colour = stacked.stacked(tf.constant(real.train), batch["triple"]).numpy()
    expected = plain_losses(config, game, batch, colour)
    d_loss, _ = task.loop(task.game, task.draw(0, 1)).numpy()[0]
    np.testing.assert_allclose(d_loss, expected, rtol=1e-4)


def test_dense_d_sees_pairs_side_by_side(real):
    config = replace(CONFIG, network="dense", pack=2)
    task, game = stacked.new_task(config, real), stacked.new_game(config)
    assert game.discriminator.weights[0].shape == (16, 2 * 3 * 64)
    batch = {name: values[0] for name, values in task.draw(0, 1).items()}
    rows = real.train[batch["chosen"].numpy()].reshape(8, -1) / np.float32(255)  # [8, 3 * 64]
    d, g = mlp.networks(stacked.dense(config))
    fakes = g(core.from_bits(batch["z"], "normal"), game.generator.weights).numpy().T
    glued = [tf.constant(np.concatenate([x[:4], x[4:]], axis=1).T) for x in (rows, fakes)]
    logits = [d(x, game.discriminator.weights) for x in glued]
    expected = tf.reduce_mean(core.LOSSES[config.loss].discriminator(*logits))
    np.testing.assert_allclose(task.loop(task.game, task.draw(0, 1)).numpy()[0, 0], expected, rtol=1e-4)


def test_a_d_that_reads_channels_alike_joins_them_late(real):
    """Channels in another order, and the last kernel's blocks as well: the same logits."""
    config = replace(CONFIG, network="alike", discriminator_norm="none", pack=2)
    weights = [w.numpy() for w in stacked.new_game(config).discriminator.weights]
    assert [w.shape for w in weights[::2]] == [
        (3, 3, i, o) for i, o in ((1, 32), (32, 64), (64, 128), (768, 256))
    ] + [(256, 1)]
    x = tf.random.stateless_normal((3, 8, 8, 6), (0, 0)).numpy()
    logits, _ = dcgan.discriminator_network(tf.constant(x), weights)
    order = [5, 0, 3, 1, 4, 2]
    blocks = weights[6].reshape(3, 3, 6, 128, 256)
    weights[6] = blocks[:, :, order].reshape(weights[6].shape)
    same, _ = dcgan.discriminator_network(tf.constant(x[..., order]), weights)
    np.testing.assert_allclose(same, logits, rtol=1e-4, atol=1e-6)
    other, _ = dcgan.discriminator_network(tf.constant(x), weights)
    assert np.abs(other - logits).max() > 1e-3


def test_a_pack_of_one_is_no_packing(real):
    """The step of mnist_dcgan on the same images in colour, bit for bit; and pairs change the game."""
    task, plain = stacked.new_task(CONFIG, real), dcgan.new_game(CONFIG, channels=3)
    batches = task.draw(0, 2)
    task.loop(task.game, batches)
    x = tf.stack([stacked.stacked(tf.constant(real.train), t) for t in batches["triple"]])
    step = core.compiled_loop(lambda game, batch: dcgan.adversarial_step(game, CONFIG, batch), jit_compile=False)
    step(plain, {"x": x, "z": batches["z"]})
    assert all((a == b).all() for a, b in zip(copies(task.game), copies(plain), strict=True))


@pytest.mark.parametrize("loss", ["wasserstein", "relativistic_average"])
def test_other_losses_play_with_packs_and_masks(real, loss):
    config = replace(CONFIG, loss=loss, pack=4, dropout=0.25, steps=2)
    task = stacked.new_task(config, real)
    before = copies([task.game.generator.weights, task.game.discriminator.weights[:-1]])  # D's last bias is not felt
    assert np.isfinite(task.loop(task.game, task.draw(0, 1)).numpy()).all()
    after = copies([task.game.generator.weights, task.game.discriminator.weights[:-1]])
    assert all((a != b).any() for a, b in zip(before, after, strict=True))


# ---- the floors


def test_floors_stand_beside_the_numbers(real):
    floors = stacked.Yardstick(real, CONFIG).full_floors()
    assert floors["kl_floor"] == pytest.approx(0.573, abs=0.005)  # reference, computed elsewhere
    assert floors["modes_floor"] == pytest.approx(632.3, abs=0.1)
    assert floors["kl_real"] == pytest.approx(floors["kl_floor"], abs=4 * 0.013)  # one draw; standard deviation .013
    assert floors["confident_share_floor"] > 0.8 and 0 < floors["frechet_digit_distance_floor"] < 5
    assert stacked.perfect_kl(26_000).mean == pytest.approx(0.0194, abs=0.0003)
    assert stacked.perfect_kl(26_000).std == pytest.approx(0.0009, abs=0.0001)


def test_collapse_shows(real):
    yardstick = stacked.Yardstick(real, CONFIG)
    triples = data.random_triples(1000, len(real.train), 1)
    grey = stacked.stacked(tf.constant(real.train), np.repeat(triples[:, :1], 3, axis=1)).numpy()
    few = yardstick.quick(data.as_pixels(grey))  # three equal digits: 10 modes
    assert few["modes"] <= 12 and few["kl"] == pytest.approx(np.log(100), abs=0.1) and "mode_counts" not in few


# ---- as its users run it

FLAGS = [f"--{name.replace('_', '-')}={value}" for name, value in SMALL.items() if not name.endswith("hidden")]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A finished run, made by a fresh process in another folder."""
    return fresh_run(stacked, [*FLAGS, "--pack=2"], tmp_path_factory.mktemp("elsewhere"))


def test_run_folder_holds_what_it_promises(finished):
    folder, screen = finished
    result = json.loads((folder / "result.json").read_text())
    assert (result["experiment"], result["recipe"], result["steps"]) == ("stacked_mnist", "stable", 4)
    assert result["pack"] == 2 and result["eval_samples"] == 1000
    for key in ("modes", "kl", "confident_share", "frechet_digit_distance"):
        assert np.isfinite(result[key]) and np.isfinite(result[f"{key}_floor"])
    assert 0 < result["modes"] <= 1000 and np.isfinite(result["kl_real"]) and result["cpu_seconds"] > 0
    log = runs.read_log(folder)
    assert [record["step"] for record in log] == [0, 2, 4]
    assert {"discriminator_loss", "modes", "modes_floor", "kl", "kl_floor", "kl_real"} <= set(log[-1])
    pictures = {"samples", "strip", "interpolation", "curves", "modes"}
    assert {path.name for path in (folder / "figures").iterdir()} == {f"{p}.png" for p in pictures} | {"training.gif"}
    with Image.open(folder / "figures" / "samples.png") as picture:
        assert picture.mode == "RGB"
    assert screen.splitlines()[-1].startswith(f"{result['modes']} of 1000 modes, KL {result['kl']:.4f}")


def test_samples_of_a_finished_run_are_in_colour(finished, tmp_path):
    folder, _ = finished
    sample.main([str(folder), "--count", "12", "--out", str(tmp_path / "a.npy")])
    sample.main([str(folder), "--count", "12", "--out", str(tmp_path / "a.png")])
    drawn = np.load(tmp_path / "a.npy")
    assert drawn.shape == (12, 8, 8, 3) and drawn.dtype == np.uint8 and np.ptp(drawn[..., 0] - drawn[..., 1]) > 0
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.mode == "RGB"


@pytest.mark.parametrize("network", ["alike"])
def test_resumed_run_equals_an_uninterrupted_one_bit_for_bit(network, tmp_path):
    config = replace(CONFIG, network=network, pack=2)
    whole = stacked.train(config)
    runs.save_config(tmp_path, stacked.EXPERIMENT, config)
    with pytest.raises(Killed):
        stacked.train(config, DyingRun(tmp_path, checkpoint_every=2, at=4))
    resumed = stacked.train(config, runs.Run(tmp_path, resume=True))
    assert all((a == b).all() for a, b in zip(copies(whole.task.game), copies(resumed.task.game), strict=True))
    numbers = [{k: v for k, v in r.items() if k != "train_seconds"} for t in (whole, resumed) for r in t.records]
    assert len(numbers) == 6 and numbers[:3] == numbers[3:]
    fakes = whole.task.generate(images.latent_bits(3, 40, config.latent_dim))
    assert fakes.shape == (40, 8, 8, 3) and fakes.min() >= 0 and fakes.max() <= 1
    assert (fakes == resumed.task.generate(images.latent_bits(3, 40, config.latent_dim))).all()


def test_dense_channels_are_those_that_d_sees(real):
    """G's columns hold channel after channel, as the real rows do."""
    config = replace(CONFIG, network="dense")
    game = stacked.new_game(config)
    bits = images.latent_bits(0, 5, config.latent_dim)
    _, g = mlp.networks(stacked.dense(config))
    columns = g(core.from_bits(tf.constant(bits.T), "normal"), game.average).numpy()  # [3 * 64, 5]
    fakes = stacked.generator(config, game)(bits)
    np.testing.assert_allclose(fakes[4, :, :, 2], columns[128:, 4].reshape(8, 8), atol=1e-6)


@pytest.mark.parametrize(
    "flags, words",
    [
        (["--batch=9", "--pack=2"], ["--batch 9", "multiple of --pack 2"]),
        (["--recipe=dcgan", "--batch=2", "--pack=2"], ["--batch 2", "4 or more"]),
        (["--batch=1"], ["--batch 1", "at least 2"]),
        (["--pack=0"], ["--pack 0", "at least 1"]),
        (["--loss=guess"], ["--loss", "guess"]),
        (["--network=unet"], ["--network", "unet"]),
        (["--eval-samples=999"], ["--eval-samples 999", "at least 1000"]),
        (["--log-samples=500"], ["--log-samples 500", "at least 1000"]),
        (["--stacked-images=0"], ["--stacked-images 0"]),
        (["--r1=-1"], ["--r1 -1"]),
        (["--network=dense", "--dropout=.5"], ["--dropout 0.5", "dense"]),
        (["--network=alike", "--dropout=.5"], ["--dropout 0.5", "alike"]),
        (["--recipe=best"], ["--recipe", "best"]),
        (["--data={wide}"], ["wide.npz", "4 x 8 pixels", "square"]),
    ],
)
def test_bad_input_is_one_line_and_leaves_no_folder(flags, words, tmp_path, capsys):
    pixels, labels = np.arange(4 * 8 * 20, dtype=np.uint16).astype(np.uint8).reshape(20, 4, 8), np.arange(20) % 10
    np.savez(tmp_path / "wide.npz", x_train=pixels, y_train=labels, x_test=pixels, y_test=labels)
    flags = [flag.format(wide=tmp_path / "wide.npz") for flag in flags]
    assert command(stacked, "--data=digits", "--steps=2", "--eval-every=2", *flags, "--out", tmp_path / "run") == 2
    line = one_line(capsys)
    assert all(word in line for word in words), line
    assert not (tmp_path / "run").exists()
