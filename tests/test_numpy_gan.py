"""The GAN written by hand: every gradient against central differences and GradientTape, its game and its run."""

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf
from scipy import stats

import gan_core as core
from experiments import numpy_gan
from lab import draws, pictures, runs

SMALL = {"steps": 20, "eval_every": 10, "checkpoint_every": 10, "eval_samples": 100, "log_samples": 100}
FLAGS = [f"--{name.replace('_', '-')}={value}" for name, value in SMALL.items()]
TINY = replace(numpy_gan.Config(), **SMALL)


# ---- gradients


@pytest.fixture(params=[0, 1, 2])
def game(request):
    """A game with small pictures and biases that are not 0, its latents, real images and targets, in float64."""
    rng = np.random.default_rng(request.param)
    config = replace(numpy_gan.Config(), latent_dim=5, seed=request.param)
    game = numpy_gan.new_game(config, side=3)
    for weight in (*game.adam_d.weights, *game.adam_g.weights):
        weight += 0.1 * rng.standard_normal(weight.shape)
    return game, rng.standard_normal((5, 6)), rng.uniform(-1, 1, (9, 4)), rng.integers(0, 2, (1, 4)).astype(float)


def d_error(game, x, t):
    numpy_gan.forward(game.discriminator, x)
    return game.discriminator[-1].error(t).mean()


def g_error(game, z):
    return d_error(game, numpy_gan.forward(game.generator, z), np.ones((1, z.shape[1])))


def hand_gradients(game, z, x, t):
    """Gradients of D's error and of G's, by backpropagation: one array for each weight."""
    d_error(game, x, t)
    numpy_gan.backward(game.discriminator, t)
    of_d = [g for layer in game.discriminator for g in layer.gradients]
    g_error(game, z)
    numpy_gan.backward(game.generator, numpy_gan.backward(game.discriminator, np.ones((1, z.shape[1]))))
    return of_d, [g for layer in game.generator for g in layer.gradients]


def central_differences(error, weight, step=1e-6):
    slopes = np.empty_like(weight)
    for i in np.ndindex(weight.shape):
        kept = weight[i]
        weight[i] = kept + step
        above = error()
        weight[i] = kept - step
        slopes[i] = (above - error()) / (2 * step)
        weight[i] = kept
    return slopes


def test_every_gradient_agrees_with_central_differences(game):
    """Relative to the largest entry of each weight's gradient: rounding leaves about 1e-10 / 1e-6 of the error."""
    game, z, x, t = game
    of_d, of_g = hand_gradients(game, z, x, t)
    pairs = [(w, g, lambda: d_error(game, x, t)) for w, g in zip(game.adam_d.weights, of_d, strict=True)]
    pairs += [(w, g, lambda: g_error(game, z)) for w, g in zip(game.adam_g.weights, of_g, strict=True)]
    assert len(pairs) == 12
    for weight, gradient, error in pairs:
        difference = np.abs(central_differences(error, weight) - gradient).max()
        assert difference < 1e-6 * np.abs(gradient).max()


def test_every_gradient_agrees_with_gradient_tape(game):
    game, z, x, t = game
    d, g = ([tf.Variable(w) for w in adam.weights] for adam in (game.adam_d, game.adam_g))
    with tf.GradientTape(persistent=True) as tape:
        logits = core.mlp(tf.constant(x), d, tf.nn.relu)
        of_d = tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(t, logits))
        fakes = tf.tanh(core.mlp(tf.constant(z), g, tf.nn.relu))
        of_g = tf.reduce_mean(-core.log_d(core.mlp(fakes, d, tf.nn.relu)))
    by_hand = hand_gradients(game, z, x, t)
    for hand, by_tape in zip(by_hand, (tape.gradient(of_d, d), tape.gradient(of_g, g)), strict=True):
        for a, b in zip(hand, by_tape, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-14)


def test_output_layer_worked_by_hand():
    """W = (1, -2), b = 1/2, x = (1, 1): a = -1/2, y = .3775; t = 1: E = ln(1 + e^.5) = .9741, delta = -.6225."""
    layer = numpy_gan.DiscriminatorOutput(np.random.default_rng(0), 2, 1)
    layer.W, layer.b = np.array([[1.0, -2.0]]), np.array([[0.5]])
    t = np.ones((1, 1))
    assert layer.forward(np.ones((2, 1))) == pytest.approx(0.37754067)
    assert layer.error(t) == pytest.approx(0.97407698)
    below = layer.backward(t)
    assert layer.gradients[0] == pytest.approx(-0.62245933 * np.ones((1, 2)))  # delta x^T: x belongs here, not W
    assert below.ravel() == pytest.approx([-0.62245933, 1.24491866])  # W^T delta


def test_error_is_exact_where_the_sigmoid_saturates():
    layer = numpy_gan.DiscriminatorOutput(np.random.default_rng(0), 1, 1)
    layer.W[:] = 1
    layer.forward(np.array([[800.0, -800.0]]))
    assert layer.error(np.array([[0.0, 1.0]])).tolist() == [[800.0, 800.0]]


# ---- the game


def test_adam_is_algorithm_1_of_its_paper():
    rng = np.random.default_rng(0)
    layer = numpy_gan.Hidden(rng, 3, 2)
    adam = numpy_gan.Adam([layer], replace(TINY, learning_rate=0.01, beta1=0.3, beta2=0.8))
    expected, m, v = np.hstack([layer.W, layer.b]), 0.0, 0.0
    for t in range(1, 21):
        g = rng.standard_normal((2, 4))
        layer.gradients = g[:, :3], g[:, 3:]
        adam.step()
        m, v = 0.3 * m + 0.7 * g, 0.8 * v + 0.2 * g**2
        expected -= 0.01 * (m / (1 - 0.3**t)) / (np.sqrt(v / (1 - 0.8**t)) + 1e-8)
    np.testing.assert_allclose(np.hstack([layer.W, layer.b]), expected, rtol=1e-12)


def played(steps, learning_rate=1e-3):
    config = replace(TINY, learning_rate=learning_rate)
    game, rng = numpy_gan.new_game(config, side=8), np.random.default_rng(0)
    x, z = rng.uniform(-1, 1, (64, 8)), rng.standard_normal((config.latent_dim, 24))
    return game, x, z, [numpy_gan.adversarial_step(game, x, z) for _ in range(steps)]


def test_step_reports_errors_and_accuracies_of_the_two_halves():
    game, x, z, (step,) = played(1)
    found = dict(zip(numpy_gan.LOGGED, step, strict=True))
    game, *_ = played(0)  # as it was before
    fakes = numpy_gan.forward(game.generator, z[:, :8])
    p_fake, p_real = (numpy_gan.forward(game.discriminator, a).copy() for a in (fakes, x))
    assert found["fake_error"] == pytest.approx(-np.log(1 - p_fake).mean())
    assert found["real_error"] == pytest.approx(-np.log(p_real).mean())
    assert (found["fake_accuracy"], found["real_accuracy"]) == ((p_fake < 0.5).mean(), (p_real > 0.5).mean())


def test_each_player_gains_from_its_own_step():
    game, x, z, steps = played(1)
    d_only = numpy_gan.new_game(TINY, side=8)
    for weight, moved in zip(d_only.adam_d.weights, game.adam_d.weights, strict=True):
        weight[...] = moved  # D after its step, G before its own
    t = np.repeat([[0.0, 1.0]], 8, axis=1)
    fakes = numpy_gan.forward(d_only.generator, z[:, :8])
    assert d_error(d_only, np.hstack([fakes, x]), t) < (steps[0][0] + steps[0][2]) / 2
    assert steps[0][4] == pytest.approx(g_error(d_only, z[:, 8:]))  # G meets the new D
    assert g_error(game, z[:, 8:]) < steps[0][4]


def test_a_step_trains_on_latents_of_a_stream_that_is_never_evaluated_on(monkeypatch):
    seen = []
    monkeypatch.setattr(numpy_gan, "adversarial_step", lambda game, x, z: seen.append(z) or (0.5,) * 5)
    numpy_gan.train(TINY)
    bits = draws.random_bits(TINY.seed, draws.LATENT, 0, 20, 32 * 96)  # half a batch for D, a batch for G
    np.testing.assert_array_equal(seen, draws.normal_from_bits(bits).reshape(20, 32, 96))


def test_training_separates_the_digits_from_noise():
    """Seeds 0 to 7: `to_real` .41 to .44 of the first one, `to_fake` .44 to .47, accuracy on fakes .67 to .71."""
    trained = numpy_gan.train(replace(numpy_gan.Config(), steps=1500, eval_every=500))
    first, last = trained.run.records[0], trained.run.records[-1]
    assert last["to_real"] < 0.6 * first["to_real"] and last["to_fake"] < 0.6 * first["to_fake"]
    assert 0.55 < last["fake_accuracy"] < 0.85 and last["to_real"] > last["to_real_floor"]


# ---- the run


def test_runs_in_a_fresh_process_where_tensorflow_cannot_be_imported(tmp_path):
    banned = "import sys, runpy; sys.modules['tensorflow'] = sys.modules['keras'] = None; sys.argv = sys.argv[1:]; "
    code = banned + "runpy.run_path(sys.argv[0], run_name='__main__')"
    script = [sys.executable, "-c", code, numpy_gan.__file__, *FLAGS, "--out", "run"]
    done = subprocess.run(script, cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert {"result.json", "figures"} <= {path.name for path in (tmp_path / "run").iterdir()}


def test_a_loaded_generator_draws_what_the_trained_one_draws(tmp_path):
    trained = numpy_gan.train(TINY, runs.Run(tmp_path))
    loaded = numpy_gan.load_generator(TINY, runs.Run(tmp_path, reopen=True))
    bits = draws.latent_bits(7, 50, TINY.latent_dim)
    assert (loaded(bits) == numpy_gan.generate(trained.game, bits)).all()


def test_step_is_the_same_in_periods_of_any_length():
    game_a, game_b = (numpy_gan.train(replace(TINY, eval_every=every)).game.state() for every in (TINY.steps, 7))
    for name in game_a:
        for a, b in zip(game_a[name], game_b[name], strict=True):
            assert (a == b).all()


def test_a_single_real_image_is_near_and_leaves_most_images_without_a_neighbour():
    real = pictures.load("digits")
    one = numpy_gan.distances(real, pictures.as_pixels(np.repeat(real.test[:1], 200, axis=0)))
    assert one["to_real"] == 0 < one["to_real_floor"] and one["to_fake"] > 2 * one["to_fake_floor"]
    p, q = (np.bincount(x.ravel() // 32, minlength=8) + 0.5 for x in (real.test, np.repeat(real.test[:1], 200, 0)))
    assert one["pixel_kl"] == pytest.approx(stats.entropy(p, q))  # KL(real || fake), 1/2 more in each bin
