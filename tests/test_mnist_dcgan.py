"""The DCGAN: one step against plain autodiff, what each update changes, its random draws, its samples."""

from dataclasses import replace

import numpy as np
import pytest

import gan_core as core
from experiments import mnist_dcgan as dcgan
from gan_core import tf
from lab import draws, files, networks, pictures, runs

SIDE = 8
# A small rate: Adam's first step is rate * sign(gradient), and that of a bias before batch norm is rounding alone.
RATES = {"learning_rate": 2e-4, "beta1": 0.5}
CONFIG = replace(dcgan.CLASSIC, data="digits", batch=8, latent_dim=6, eval_every=2, steps=4, **RATES)


def copies(variables):
    return [v.numpy() for v in variables]


def batches(config, first=0, count=1):
    """The batches of so many steps, at most 50."""
    images = pictures.load(config.data).train
    return next(dcgan.draw_batches(config, images, runs.Period(first, first + count)))


def one_batch(config=CONFIG):
    return {name: values[0] for name, values in batches(config).items()}


def new_loop(config):
    return core.compiled_loop(lambda game, batch: dcgan.adversarial_step(game, config, batch), jit_compile=False)


@pytest.mark.parametrize("r1", [0.0, 1.0])
def test_bfloat16_rounds_the_same_step(r1):
    """8 bits of each number instead of 24 move a loss by less than a hundredth; weights stay float32."""
    images, steps = np.random.default_rng(0).integers(0, 256, (20, 12, 12), np.uint8), []
    for precision in ("float32", "bfloat16"):
        config = replace(CONFIG, precision=precision, r1=r1)
        game = dcgan.new_game(config, 12)
        batch = {
            name: values[0] for name, values in next(dcgan.draw_batches(config, images, runs.Period(0, 1))).items()
        }
        steps.append([np.array(loss) for loss in dcgan.adversarial_step(game, config, batch)])
        assert {w.dtype for w in tf.nest.flatten(game) if w is not game.step} == {tf.float32}
    np.testing.assert_allclose(*steps, rtol=0.01)
    assert steps[0] != steps[1]


def test_bfloat16_needs_images_of_more_than_8_pixels():
    with pytest.raises(files.BadInput, match="--precision bfloat16: expected images larger than 8 x 8 pixels"):
        dcgan.train(replace(CONFIG, precision="bfloat16"))


def plain_networks(config, batch):
    """G and D in TensorFlow's plain operations: naive upsampling, batch norm by its formula, masks by hand."""
    real = tf.cast(batch["x"], tf.float32)[..., None] / 127.5 - 1

    def norm(x, scale, offset):
        mean = tf.reduce_mean(x, (0, 1, 2))  # tf.nn.moments stops a gradient: its second derivatives are wrong
        variance = tf.reduce_mean((x - mean) ** 2, (0, 1, 2))
        return tf.nn.batch_normalization(x, mean, variance, offset, scale, 1e-3), [mean, variance]

    def g(w):
        h = tf.reshape(tf.nn.relu(draws.latents(batch["z"], "normal") @ w[0] + w[1]), (-1, 2, 2, 128))
        seen = []
        for k in (2, 6):
            h = tf.nn.conv2d(tf.repeat(tf.repeat(h, 2, 1), 2, 2), w[k], 1, "SAME") + w[k + 1]
            h, moments = norm(h, w[k + 2], w[k + 3])
            h, seen = tf.nn.relu(h), seen + moments
        return tf.tanh(tf.nn.conv2d(h, w[10], 1, "SAME") + w[11]), seen

    def d(x, w, mask):
        keep = tf.cast(mask >= 64, tf.float32) / 0.75
        h, used = x, 0
        for layer, k in enumerate((0, 2, 6, 10)):
            h = tf.nn.conv2d(h, w[k], 2, "SAME") + w[k + 1]
            if layer:
                h, _ = norm(h, w[k + 2], w[k + 3])
            h = tf.maximum(h, 0.2 * h)
            size = int(np.prod(h.shape[1:]))
            h = h * tf.reshape(keep[:, used : used + size], h.shape)
            used += size
        return (tf.reshape(h, (len(x), -1)) @ w[14] + w[15])[:, 0]

    return real, g, d


def plain_step(config, batch):
    """One step by plain autodiff, G run twice and D thrice: the game, both losses, G's moments."""
    game, loss, adam = dcgan.new_game(config, SIDE), core.LOSSES[config.loss], core.Adam(2e-4, 0.5)
    real, g, d = plain_networks(config, batch)
    gw, dw, masks, step = game.generator.weights, game.discriminator.weights, batch["masks"], tf.constant(1)
    with tf.GradientTape() as tape:
        d_loss = tf.reduce_mean(loss.d(d(real, dw, masks[0]), d(g(gw)[0], dw, masks[1])))
        with tf.GradientTape() as inner:
            inner.watch(real)
            logits = d(real, dw, masks[0])
        weight = config.r1 * config.penalty_end ** (1 / config.steps)
        penalty = weight / 2 * tf.reduce_mean(tf.reduce_sum(inner.gradient(logits, real) ** 2, (1, 2, 3)))
        total = d_loss + penalty
    core.adam_update(game.discriminator, tape.gradient(total, dw), step, adam)
    with tf.GradientTape() as tape:
        fakes, g_seen = g(gw)
        g_loss = tf.reduce_mean(loss.g(d(real, dw, masks[0]), d(fakes, dw, masks[2])))
    core.adam_update(game.generator, tape.gradient(g_loss, gw), step, adam)
    return game, (d_loss, g_loss), g_seen


@pytest.mark.parametrize(
    ("loss", "r1"), [("non_saturating", 0), ("minimax", 0), ("relativistic_paired", 0), ("minimax", 2)]
)
def test_step_is_that_of_plain_autodiff(loss, r1):
    config, batch = replace(CONFIG, loss=loss, r1=r1, penalty_end=0.01, average=0.75), one_batch()
    plain, expected_losses, g_seen = plain_step(config, batch)
    game = dcgan.new_game(config, SIDE)
    start = copies(game.generator.weights)
    np.testing.assert_allclose(dcgan.adversarial_step(game, config, batch), expected_losses, rtol=1e-4)
    assert int(game.step) == 1
    for ours, expected in ((game.discriminator, plain.discriminator), (game.generator, plain.generator)):
        for a, b in zip(ours.mean, expected.mean, strict=True):  # Adam's mean is half of the gradient
            # a bias before batch norm has gradient 0, of which float32 leaves some 1e-7
            np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-3 * float(np.abs(b).max()) + 1e-6)
    initial = [0.0, 1.0] * 5  # mean, variance; each batch moves them by .2 of the way
    for old, running, new in zip(initial, game.generator_statistics, g_seen, strict=False):
        np.testing.assert_allclose(running, 0.8 * old + 0.2 * new, rtol=1e-3, atol=1e-5)
    for average, old, new in zip(game.average, start, game.generator.weights, strict=False):
        np.testing.assert_allclose(average, 0.75 * old + 0.25 * new, rtol=1e-5, atol=1e-7)


def test_one_step_moves_every_weight_and_statistic():
    game, loop = dcgan.new_game(CONFIG, SIDE), new_loop(CONFIG)
    changing = [*game.discriminator.weights, *game.generator.weights, *game.average]
    changing += game.generator_statistics
    before = copies(changing)
    losses = loop(game, batches(CONFIG)).numpy()
    assert losses.shape == (1, 2) and np.isfinite(losses).all()
    assert all((a != b).any() for a, b in zip(before, copies(changing), strict=True))
    for average, weight in zip(game.average, game.generator.weights + game.generator_statistics, strict=True):
        np.testing.assert_array_equal(average, weight)  # --average 0: G itself


def test_cosine_schedule_ends_at_rest_and_no_dropout_draws_no_masks():
    config = replace(CONFIG, schedule="cosine", dropout=0.0, steps=2)
    game, loop, batch = dcgan.new_game(config, SIDE), new_loop(config), batches(config, 0, 1)
    assert set(batch) == {"x", "z"}
    weights, seen = game.discriminator.weights + game.generator.weights, []
    for _ in range(3):
        seen.append(copies(weights))
        loop(game, batch)
    assert any((a != b).any() for a, b in zip(seen[0], seen[1], strict=True))  # half the rate
    assert all((a == b).all() for a, b in zip(seen[1], seen[2], strict=True))  # none at step 2 of 2


def test_draws_are_a_function_of_seed_and_step():
    whole, part = batches(CONFIG, 0, 5), batches(CONFIG, 3, 2)
    for name in ("x", "z", "masks"):
        np.testing.assert_array_equal(whole[name][3:], part[name])
    z = draws.random_bits(CONFIG.seed, draws.LATENT, 3, 2, 8 * 6)  # a stream that is never evaluated on
    np.testing.assert_array_equal(part["z"], z.reshape(2, 8, 6))
    assert whole["masks"].shape == (5, 3, 8, 1152) and whole["masks"].dtype == tf.uint8
    kinds = np.reshape(whole["masks"], (15, -1))
    assert len(np.unique(kinds, axis=0)) == 15  # each step and each of its three passes has masks of its own
    assert (kinds < 64).mean() == pytest.approx(0.25, abs=0.005)  # 138,240 numbers: standard error .0012
    assert np.mean(np.asarray(batches(replace(CONFIG, seed=1))["masks"]) != np.asarray(whole["masks"][:1])) > 0.9


def test_batches_hold_at_most_50_steps():
    counts = [len(b["x"]) for b in dcgan.draw_batches(CONFIG, pictures.load("digits").train, runs.Period(3, 123))]
    assert counts == [50, 50, 20]


def test_samples_are_those_of_the_average_at_inference():
    config = replace(CONFIG, average=0.9)
    game = dcgan.new_game(config, SIDE)
    new_loop(config)(game, batches(config, 0, 3))
    bits = draws.latent_bits(0, 7, config.latent_dim)
    fakes = dcgan.generator(config, game)(bits)
    assert fakes.shape == (7, 8, 8) and fakes.min() >= 0 and fakes.max() <= 1
    # inference: a sample does not depend on its batch, as it would with the batch's own moments
    np.testing.assert_allclose(dcgan.generator(config, game)(bits[:2]), fakes[:2], atol=1e-5)
    weights, statistics = game.average[:12], game.average[12:]
    z = draws.latents(tf.constant(bits), "normal")
    expected, _ = networks.dcgan_generator(z, weights, statistics)
    np.testing.assert_allclose(fakes, (expected[..., 0] + 1) / 2, atol=1e-5)


def test_classic_recipe_is_the_tutorials():
    game = dcgan.new_game(dcgan.CLASSIC, side=28)
    g = game.generator.weights + game.generator_statistics
    d = game.discriminator.weights  # without the 896 running statistics that Keras counts, too
    assert runs.count_parameters(g=g, d=d) == {"g": 856_193, "d": 389_761}
    published = {
        "train_images": 60_000,
        "latent_dim": 100,
        "categories": 0,
        "generator_maps": (128, 128, 64),
        "discriminator_maps": (32, 64, 128, 256),
        "discriminator_norm": "batch",
        "momentum": 0.8,
        "loss": "non_saturating",
        "r1": 0.0,
        "dropout": 0.25,
        "steps": 4001,
        "batch": 32,
        "learning_rate": 1e-3,
        "schedule": "constant",
        "beta1": 0.9,
        "beta2": 0.999,
        "average": 0.0,
    }
    assert vars(dcgan.CLASSIC) == vars(dcgan.CLASSIC) | published


def test_images_of_another_side_are_refused(tmp_path):
    pixels, labels = np.arange(6 * 6 * 20, dtype=np.uint8).reshape(20, 6, 6), np.arange(20) % 10
    np.savez(tmp_path / "six.npz", x_train=pixels, y_train=labels, x_test=pixels, y_test=labels)
    with pytest.raises(files.BadInput, match="multiple of 4"):
        dcgan.train(replace(CONFIG, data=str(tmp_path / "six.npz")))


def test_g_trains_on_the_codes_that_it_draws_with(monkeypatch):
    config, seen, generator = replace(CONFIG, categories=3), [], networks.dcgan_generator
    monkeypatch.setattr(networks, "dcgan_generator", lambda z, *rest: seen.append(z) or generator(z, *rest))
    batch = one_batch(config)
    dcgan.adversarial_step(dcgan.new_game(config, SIDE), config, batch)
    np.testing.assert_array_equal(seen[0], draws.coded_latents(batch["z"], 3))


def test_r1_falls_with_the_steps(monkeypatch):
    seen, geometric = [], core.geometric

    def noted(final, steps):
        return lambda step: seen.append((final, steps, int(step))) or geometric(final, steps)(step)

    monkeypatch.setattr(core, "geometric", noted)
    config = replace(CONFIG, r1=1.0, penalty_end=0.1)
    game, batch = dcgan.new_game(config, SIDE), one_batch(config)
    for _ in range(3):
        dcgan.adversarial_step(game, config, batch)
    assert seen == [(0.1, config.steps, step) for step in (1, 2, 3)]
