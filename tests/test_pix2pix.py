"""pix2pix: edges and pairs, the game of its paper, what it learns, the user's own pairs, bad input."""

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from helpers import assert_first_gradients, command, one_line, write_pngs
from PIL import Image
from scipy import ndimage

import gan_core as core
from experiments import pix2pix
from gan_core import tf
from lab import cli, draws, networks, pictures, runs

SMALL = {
    "steps": 20,
    "eval_every": 10,
    "checkpoint_every": 10,
    "eval_samples": 100,
    "log_samples": 100,
    "batch": 4,
    "width": 4,
}
TINY = pix2pix.Config(data="digits", **SMALL)
FLAGS = [f"{cli.flag(field)}={value}" for field, value in SMALL.items()]


@pytest.fixture(scope="module")
def digits():
    """A and B of the 8x8 digits."""
    return pix2pix.read_pairs(TINY, pictures.load("digits"))


# ---- the pairs


def test_pairs_are_cut_down_the_middle(tmp_path):
    write_pngs(tmp_path, 10, 4, 16)
    whole = pictures.read_folder("--pairs", tmp_path, seed=0)
    a, b = pix2pix.read_pairs(replace(TINY, data=None, pairs=str(tmp_path)), None)
    assert a.train.shape == b.train.shape == (9, 4, 8, 1) and a.test_labels is None and b.test_labels is None
    assert (np.concatenate([a.train, b.train], axis=2) == whole.train).all()
    assert (np.concatenate([a.test, b.test], axis=2) == whole.test).all()


def test_edges_outline_a_square_and_know_nothing_of_the_image_before():
    images = np.zeros((3, 12, 12), np.uint8)
    images[1, 3:9, 3:9] = 255
    before, outline, after = pix2pix.edges(images)
    assert not before.any() and not after.any()
    slopes = [ndimage.sobel(images[1] / 255.0, axis) for axis in (0, 1)]
    assert (outline == 255 * (np.hypot(*slopes) >= 1)).all()
    assert set(np.unique(outline)) == {0, 255}
    assert (outline[5:7, 5:7] == 0).all() and (outline[:2] == 0).all()  # neither inside nor far outside
    assert (outline[5, [2, 3, 8, 9]] == 255).all() and (outline == outline.T).all()
    assert (pix2pix.edges(images[..., None])[..., 0] == [before, outline, after]).all()


def test_train_images_limits_the_pairs_and_each_edge_belongs_to_its_digit(digits, tmp_path):
    a, b = pix2pix.read_pairs(replace(TINY, train_images=7), pictures.load("digits"))
    assert len(a.train) == len(b.train) == 7 and len(a.test) == len(b.test) == 360
    assert (a.train == pix2pix.edges(b.train)).all() and (digits[0].train[:7] == a.train).all()
    write_pngs(tmp_path, 10, 4, 16)
    a, _ = pix2pix.read_pairs(replace(TINY, data=None, pairs=str(tmp_path), train_images=5), None)
    assert len(a.train) == 5 and len(a.test) == 1


# ---- the game


def test_one_step_moves_every_weight_of_every_network(digits):
    game = pix2pix.new_game(TINY, (8, 8, 1))
    weights = [w for player in game[:3] for w in player.weights]
    before = [w.numpy() for w in weights]
    loop = core.compiled_loop(lambda game, batch: pix2pix.adversarial_step(game, TINY, batch), jit_compile=False)
    losses = loop(game, next(pix2pix.draw_batches(TINY, *digits, runs.Period(0, 2)))).numpy()
    assert losses.shape == (2, len(pix2pix.LOGGED)) and np.isfinite(losses).all()
    assert all((old != new.numpy()).any() for old, new in zip(before, weights, strict=True))


def test_step_plays_the_game_of_its_paper(digits):
    """D: half of its loss on (a, b) against (a, G(a)); G: -log D(a, G(a)) and 100 |b - G(a)|; the other: L1 alone."""
    batch = {name: values[0] for name, values in next(pix2pix.draw_batches(TINY, *digits, runs.Period(0, 1))).items()}
    game, plain = (pix2pix.new_game(TINY, (8, 8, 1)) for _ in range(2))
    found = pix2pix.adversarial_step(game, TINY, batch)
    a, b = (tf.cast(batch[k], tf.float32) / 127.5 - 1 for k in "ab")
    g, d, l1_only = plain.generator.weights, plain.discriminator.weights, plain.l1_only.weights
    with tf.GradientTape() as tape:
        fake = networks.unet(a, g, batch["bits"][0], TINY.dropout)
        real_logits, fake_logits = (networks.patchgan(tf.concat([a, x], 3), d) for x in (b, fake))
        ones, zeros = tf.ones_like(real_logits), tf.zeros_like(real_logits)
        entropy = tf.nn.sigmoid_cross_entropy_with_logits
        d_loss = tf.reduce_mean(entropy(ones, real_logits) + entropy(zeros, fake_logits)) / 2
    assert_first_gradients(game.discriminator, tape.gradient(d_loss, d))
    for old, new in zip(d, game.discriminator.weights, strict=True):
        old.assign(new)  # G meets the new D
    with tf.GradientTape(persistent=True) as tape:
        fake = networks.unet(a, g, batch["bits"][0], TINY.dropout)
        g_loss = tf.reduce_mean(entropy(ones, networks.patchgan(tf.concat([a, fake], 3), d)))
        total = g_loss + 100 * tf.reduce_mean(tf.abs(b - fake))
        l1 = tf.reduce_mean(tf.abs(b - networks.unet(a, l1_only, batch["bits"][1], TINY.dropout))) / 2
    distance = tf.reduce_mean(tf.abs(b - fake)) / 2  # of pixels in [0, 1]
    np.testing.assert_allclose(found, [d_loss, g_loss, distance, l1], rtol=1e-3)
    assert_first_gradients(game.generator, tape.gradient(total, g))
    assert_first_gradients(game.l1_only, tape.gradient(l1, l1_only))


def test_g_of_a_relativistic_loss_sees_real_pairs_through_the_new_d(digits):
    config = replace(TINY, loss="relativistic_paired", learning_rate=0.01)
    batch = {name: values[0] for name, values in next(pix2pix.draw_batches(TINY, *digits, runs.Period(0, 1))).items()}
    game, start = (pix2pix.new_game(config, (8, 8, 1)) for _ in range(2))
    _, g_loss, *_ = pix2pix.adversarial_step(game, config, batch)
    a, b = (tf.cast(batch[k], tf.float32) / 127.5 - 1 for k in "ab")
    fake = networks.unet(a, start.generator.weights, batch["bits"][0], TINY.dropout)
    real_logits, fake_logits = (
        networks.patchgan(tf.concat([a, x], 3), game.discriminator.weights) for x in (b, fake)
    )
    assert float(g_loss) == pytest.approx(float(tf.reduce_mean(tf.nn.softplus(real_logits - fake_logits))), rel=1e-4)


def test_batches_are_pairs_and_do_not_depend_on_how_many_are_drawn_at_once(digits):
    whole = list(pix2pix.draw_batches(TINY, *digits, runs.Period(0, 60)))
    assert [len(batch["a"]) for batch in whole] == [50, 10]
    np.testing.assert_array_equal(whole[0]["a"][0], pix2pix.edges(np.asarray(whole[0]["b"][0])))
    part = next(pix2pix.draw_batches(TINY, *digits, runs.Period(47, 49)))
    assert all(np.array_equal(part[name], whole[0][name][47:49]) for name in part)
    large = [pictures.Split(np.zeros((2, 256, 256, 3), np.uint8), None, None, "large")] * 2
    few = next(pix2pix.draw_batches(replace(TINY, width=32, batch=8), *large, runs.Period(0, 60)))
    assert few["bits"].shape[0] == 8  # of large images fewer, so that they fit the memory


# ---- learning and measuring


def test_training_learns_and_beats_copying():
    """Seeds 0 to 3: L1 distance .195 to .202 after 200 steps, .39 to .46 at first, .61 of the input itself."""
    config = replace(TINY, steps=200, eval_every=200, batch=16, width=8, learning_rate=2e-3)
    first, last = pix2pix.train(config).run.records
    assert last["l1"] < 0.7 * first["l1"] and last["l1"] < 0.5 * last["l1_of_copy"]


def test_result_holds_every_number_beside_its_floor():
    trained = pix2pix.train(replace(TINY, steps=2, eval_every=2))
    result = pix2pix.evaluate(trained)
    for key in ("l1", "agreement", "frechet_digit_distance"):
        assert all(np.isfinite(result[f"{key}{end}"]) for end in ("", "_of_l1_only", "_of_copy", "_floor"))
    assert result["l1_floor"] == 0 and abs(result["frechet_digit_distance_floor"]) < 1e-4
    assert result["agreement_floor"] > 0.95  # the digits themselves are recognised
    assert set(result["parameters"]) == {"generator", "discriminator", "l1_only"}


def test_translations_do_not_depend_on_how_many_there_are(digits):
    game, translate = pix2pix.new_game(TINY, (8, 8, 1)), pix2pix.translator(TINY)
    weights, x = game.generator.weights, digits[0].test[:9]
    y = translate(weights, x)
    np.testing.assert_allclose(y[:4], translate(weights, x[:4]), atol=1e-6)
    assert y.shape == x.shape and y.dtype == np.float32 and y.min() >= 0 and y.max() <= 1
    many = np.repeat(x[:1], 502, axis=0)  # more than are translated at once: the dropout of each is still its own
    masks = (sum(networks.unet_mask_sizes((8, 8, 1), TINY.width)),)
    bits = draws.random_bytes(TINY.seed, draws.EVALUATION, 0, 502, masks)
    whole = (networks.unet(networks.to_network(many), weights, tf.constant(bits), TINY.dropout) + 1) / 2
    np.testing.assert_allclose(translate(weights, many), whole, atol=1e-6)


def test_both_unets_start_with_the_same_weights():
    game = pix2pix.new_game(TINY, (8, 8, 1))
    for a, b in zip(game.generator.weights, game.l1_only.weights, strict=True):
        np.testing.assert_array_equal(a, b)


# ---- the user's own pairs


def test_own_colour_pairs_train_without_a_classifier(tmp_path, capsys):
    pairs = write_pngs(tmp_path / "pairs", 12, 16, 24, "RGB")
    assert command(pix2pix, *FLAGS, "--pairs", pairs, "--out", tmp_path / "run") == 0
    screen = capsys.readouterr().out
    assert "11 images to train on, 1 held out, 12 x 16, in colour" in screen and "recognised" not in screen
    with Image.open(tmp_path / "run" / "samples" / "00000010.png") as picture:
        assert picture.mode == "RGB"
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    assert result["data"] == "pairs" and "agreement" not in result and np.isfinite(result["l1"])
    known = json.loads((tmp_path / "run" / "data.json").read_text())
    assert (known["name"], known["size"]) == ("pairs", [16, 12, 3])


def test_pairs_that_are_not_side_by_side_are_refused_in_one_line(tmp_path, capsys):
    pairs = write_pngs(tmp_path / "odd", 4, 4, 12)
    assert command(pix2pix, *FLAGS, "--pairs", pairs, "--out", tmp_path / "run") == 2
    line = one_line(capsys)
    assert line.startswith("--pairs ") and "12 x 4 pixels" in line and "A|B side by side" in line
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("shape, words", [((10, 10), "a multiple of 4"), ((8, 12), "square")])
def test_digits_of_a_size_that_the_unet_cannot_halve_are_refused(shape, words, tmp_path, capsys):
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 256, (20, *shape), dtype=np.uint8), np.arange(20, dtype=np.uint8) % 10
    np.savez(tmp_path / "x.npz", x_train=x, y_train=y, x_test=x, y_test=y)
    assert command(pix2pix, "--data", tmp_path / "x.npz", "--out", tmp_path / "run") == 2
    assert words in one_line(capsys)
    assert not (tmp_path / "run").exists()


def test_each_number_is_of_its_own_network(digits):
    game = SimpleNamespace(generator=SimpleNamespace(weights="G"), l1_only=SimpleNamespace(weights="L1"))
    trained = runs.Trained(TINY, digits, game, None)  # without a scorer
    scores = pix2pix.measure(trained, lambda weights, x: np.full(x.shape, 0.25 if weights == "L1" else 0.75), 50)
    y = pictures.as_pixels(digits[1].test[:50])
    assert scores["l1"] == pytest.approx(np.abs(y - 0.75).mean(), rel=1e-5)  # float32 means
    assert scores["l1_of_l1_only"] == pytest.approx(np.abs(y - 0.25).mean(), rel=1e-5)
