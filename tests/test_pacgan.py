"""PacGAN's networks against NumPy, a step of its game against a plain one, how its G is evaluated, and its runs."""

from dataclasses import replace

import numpy as np
import pytest
from helpers import DyingRun, Killed, without_times

import gan_core as core
from experiments import mixture_2d
from gan_core import tf
from lab import draws, pacgan, points, runs, storage, targets

TINY = replace(
    mixture_2d.PACGAN,
    generator_hidden=(6, 5),
    discriminator_hidden=(4, 3),
    generator_init="normal",  # larger weights than PacGAN's, whose small D has hardly any slope
    discriminator_init="normal",
    seeds=2,
    steps=20,
    eval_every=10,
    checkpoint_every=10,
    samples=500,
    batch=8,
    pack=2,
)


def ensemble(**settings):
    """Untrained GANs for the ring."""
    return points.Ensemble(replace(TINY, **settings), targets.points("ring", 500, range(2)).train)


def numpy_of(weights, seed):
    """The weights of one seed in float64."""
    return [w.numpy()[seed].astype(float) for w in weights]


# ---- layers


def test_maxout_takes_the_largest_of_five_linear_functions():
    rng = np.random.default_rng(0)
    values = rng.normal(size=(2, 3 * pacgan.PIECES, 4)).astype("f")  # 3 units
    found = pacgan.maxout(values).numpy()
    for unit in range(3):
        assert (found[:, unit] == np.max([values[:, unit + 3 * k] for k in range(5)], axis=0)).all()


def normed_by_hand(z, weights, moments=None):
    """G of one seed in NumPy, with ReLU: its output, and mean and standard deviation of each hidden layer."""
    layers, used, h = (len(weights) + 1) // 3, [], z
    for k in range(layers - 1):
        weight, bias, scale = weights[2 * k], weights[2 * k + 1], weights[2 * layers + k]
        a = weight @ h
        mean, std = moments[k] if moments else (a.mean(1, keepdims=True), np.sqrt(a.var(1, keepdims=True) + 1e-4))
        h = np.maximum(0, scale * (a - mean) / std + bias)
        used.append((mean, std))
    return weights[2 * layers - 2] @ h + weights[2 * layers - 1], used


def test_batch_norm_is_that_of_numpy_and_folds_into_a_perceptron():
    rng = np.random.default_rng(0)
    weights = pacgan.normed_weights([rng, rng], (2, 6, 5, 2), "normal")
    for scale in weights[6:]:
        assert (scale.numpy() == 1).all()
        scale.assign(rng.uniform(0.5, 2, scale.shape))
    z = rng.normal(size=(2, 2, 12)).astype("f")
    found, folded = pacgan.normed_mlp(z, weights, tf.nn.relu, groups=3)
    other = rng.normal(size=(2, 2, 7)).astype("f")
    evaluated = core.mlp(tf.constant(other), folded, tf.nn.relu).numpy()
    for seed in range(2):
        parts = [normed_by_hand(z[seed, :, k : k + 4], numpy_of(weights, seed)) for k in (0, 4, 8)]
        np.testing.assert_allclose(found[seed], np.hstack([x for x, _ in parts]), rtol=1e-4, atol=1e-5)
        moments = [np.mean(layer, axis=0) for layer in zip(*(used for _, used in parts), strict=True)]
        expected, _ = normed_by_hand(other[seed], numpy_of(weights, seed), moments)
        np.testing.assert_allclose(evaluated[seed], expected, rtol=1e-4, atol=1e-5)


# ---- the game


@pytest.mark.parametrize("pack", [1, 2])
def test_a_step_is_that_of_a_plain_game_differentiated_by_itself(pack):
    """Another way to write the same step: samples in rows, one seed, each place of the packs with a G of its own.

    Adam's first step is -rate sign(gradient), wherever the gradient is large against its epsilon.
    """
    gans = ensemble(pack=pack)
    (game,), rng, seed = gans.games, np.random.default_rng(0), 1
    batch = {
        "x": rng.normal(size=(2, 2, 8 * pack)).astype("f"),
        "z": rng.integers(65536, size=(2, 2, 8 * pack)).astype("u2"),
    }
    d, g = ([tf.constant(w.numpy()[seed], tf.float64) for w in player.weights] for player in game[:2])
    x, z = batch["x"][seed].T.astype(float), draws.latents(batch["z"], "normal").numpy()[seed].T.astype(float)

    def generator(rows):
        for k in range(2):
            a = rows @ tf.transpose(g[2 * k])
            a = (a - tf.reduce_mean(a, 0)) / tf.sqrt(tf.math.reduce_variance(a, 0) + 1e-4)
            rows = tf.nn.relu(a * g[6 + k][:, 0] + g[2 * k + 1][:, 0])
        return rows @ tf.transpose(g[4]) + g[5][:, 0]

    def discriminator(rows):
        for k, units in enumerate((4, 3)):
            a = rows @ tf.transpose(d[2 * k]) + d[2 * k + 1][:, 0]
            rows = tf.stack([tf.reduce_max(a[:, unit::units], 1) for unit in range(units)], 1)
        return (rows @ tf.transpose(d[4]) + d[5][:, 0])[:, 0]

    with tf.GradientTape(persistent=True) as tape:
        tape.watch([d, g])
        places = np.split(np.arange(8 * pack), pack)  # row i of every place is a sample of pack i
        real = discriminator(tf.concat([x[rows] for rows in places], 1))
        fake = discriminator(tf.concat([generator(z[rows]) for rows in places], 1))
        d_loss = tf.reduce_mean(tf.math.softplus(-real) + tf.math.softplus(fake))
        g_loss = tf.reduce_mean(tf.math.softplus(-fake))  # against the D from before its step
    before = [[w.numpy()[seed] for w in player.weights] for player in game[:2]]
    adam = core.Adam(1e-4, 0.8, 0.999)
    loss = core.LOSSES["non_saturating"]
    rules = core.Rules(gans.d, lambda z, w: core.packed(gans.g(z, w), pack), loss, adam, adam, simultaneous=True)
    losses = core.adversarial_step(game, rules, points.inputs(gans.config, batch))
    np.testing.assert_allclose([loss[seed] for loss in losses], [d_loss, g_loss], rtol=1e-4)
    for player, weights, start, loss in zip(game[:2], (d, g), before, (d_loss, g_loss), strict=True):
        for new, old, gradient in zip(player.weights, start, tape.gradient(loss, weights), strict=True):
            clear = np.abs(gradient) > 1e-4  # of smaller ones epsilon takes a share of 1e-7 sqrt(1000) / gradient
            assert clear.any()
            moved = (new.numpy()[seed] - old)[clear]
            np.testing.assert_allclose(moved, -1e-4 * np.sign(gradient)[clear], rtol=0.04)


def test_fakes_are_drawn_with_the_moments_of_4000_latents():
    gans = ensemble(batch=500, eval_samples=10)
    fakes, average = gans.sample(5), gans.games[0].average
    for seed in range(2):
        z = [draws.random_bits(seed, draws.LATENT, step, 1, 1000).reshape(2, 500) for step in range(8)]
        used = [normed_by_hand(draws.normal_from_bits(bits), numpy_of(average, seed))[1] for bits in z]
        moments = [np.mean(layer, axis=0) for layer in zip(*used, strict=True)]
        bits = draws.random_bits(seed, draws.EVALUATION, 5, 1, 20).reshape(2, 10)
        expected, _ = normed_by_hand(draws.normal_from_bits(bits), numpy_of(average, seed), moments)
        np.testing.assert_allclose(fakes[seed], expected, rtol=1e-4, atol=1e-4)


def test_a_skip_is_added_to_the_evaluated_generator():
    gans = ensemble(generator_skip=True)
    without = ensemble()
    z = draws.latent_lattice("normal", 2, 3, 1)
    skip = gans.games[0].average[-1].numpy()
    np.testing.assert_allclose(gans.from_latents(z), without.from_latents(z) + skip @ z, rtol=1e-4, atol=1e-4)


# ---- runs


@pytest.fixture(scope="module")
def whole():
    """Both seeds after 20 steps in one go."""
    return mixture_2d.train(TINY)


def test_member_of_many_equals_the_solo_run_of_its_seed(whole):
    solo = mixture_2d.train(replace(TINY, seeds=1, seed=1)).game
    before = points.new_game(solo.config, range(1, 2), 2).generator.weights
    for many, alone, first in zip(whole.game.games[0].average, solo.games[0].average, before, strict=True):
        # 20 steps move a weight by up to 2e-3; the difference is float32 rounding
        np.testing.assert_allclose(many[1], alone[0], atol=1e-5)
        assert np.max(np.abs(alone - first)) > 1e-4
    np.testing.assert_allclose(whole.game.sample(20)[1], solo.sample(20)[0], atol=1e-3)


def test_killed_and_resumed_run_equals_an_uninterrupted_one_bit_for_bit(whole, tmp_path):
    storage.save_config(tmp_path, "mixture_2d", "pacgan", TINY)
    with pytest.raises(Killed):
        mixture_2d.train(TINY, DyingRun(tmp_path, at=20))  # logged, but not saved
    assert [path.name for path in (tmp_path / "checkpoint").glob("ckpt-*.npz")] == ["ckpt-10.npz"]
    resumed = mixture_2d.train(TINY, runs.Run(tmp_path, resume=True))
    assert without_times(resumed.run.records) == without_times(whole.run.records)
    for one, other in zip(*(tf.nest.flatten(trained.game.games) for trained in (whole, resumed)), strict=True):
        assert (one.numpy() == other.numpy()).all()
    assert (whole.game.sample(20) == resumed.game.sample(20)).all()


# ---- the recipe


def test_pacgan_recipe_is_that_of_its_code():
    pac = mixture_2d.PACGAN
    assert (pac.latent, pac.latent_dim, pac.batch, pac.samples, pac.steps) == ("normal", 2, 100, 100_000, 400_000)
    assert (pac.learning_rate, pac.discriminator_rate, pac.beta1, pac.beta2) == (1e-4, 1, 0.8, 0.999)
    assert (pac.loss, pac.simultaneous, pac.eval_samples, pac.standardise) == ("non_saturating", True, 2500, False)
    assert (pac.r1, pac.r2, pac.gradient_penalty, pac.average, pac.schedule) == (0, 0, 0, 0, "constant")
    for pack in (1, 2):
        game = points.new_game(replace(pac, pack=pack), range(1), 2)
        counts = [sum(int(np.prod(w.shape)) for w in player.weights) for player in game[:2]]
        # D: 2 pack -> 200 x 5 -> 200 x 5 -> 200 x 5 -> 1; G: 2 -> 400 -> 400 -> 400 -> 400 -> 2, scale and shift
        d = (2 * pack + 1) * 1000 + 2 * 201 * 1000 + 201
        assert counts == [d, 2 * 400 + 3 * 400 * 400 + 4 * 800 + 401 * 2]
        for weight in game.discriminator.weights[::2] + game.generator.weights[:10:2]:
            # of at least 200 draws, whose standard deviation has a relative error of 5%
            assert np.std(weight) == pytest.approx(0.02, rel=0.2)
