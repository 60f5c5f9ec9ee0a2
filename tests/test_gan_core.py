"""Losses by hand, gradients by finite differences, Adam by Keras, stacks of seeds by solo runs."""

import subprocess
import sys
import threading

import numpy as np
import pytest
from helpers import assert_first_gradients
from scipy.special import expit
from scipy.stats import norm

import gan_core as core
from gan_core import tf
from lab import draws

REAL = tf.constant([-5.0, 1.4, 12.5, 2.7])
FAKE = tf.constant([10.0, 4.4, -5.5, 3.6])
# Worked by hand, float64: mean over the batch of four, no smoothing. D's loss, G's loss.
GOLDEN = {
    "minimax": (5.833866, -4.510821),
    "non_saturating": (5.833866, 1.385821),
    "least_squares": (41.73375, 17.69625),
    "wasserstein": (0.225, -3.125),
    "hinge": (6.75, -3.125),
    "relativistic_paired": (4.822435, 4.597435),
    "relativistic_average": (5.212013, 4.762013),
}


def test_every_loss_has_a_golden_value():
    assert set(core.LOSSES) == set(GOLDEN), "add the values of a new loss to GOLDEN: docs/extending.md says how"


@pytest.mark.parametrize("name", GOLDEN)
def test_loss_golden_value(name):
    loss = core.LOSSES[name]
    d, g = (float(tf.reduce_mean(side(REAL, FAKE))) for side in (loss.d, loss.g))
    assert (d, g) == pytest.approx(GOLDEN[name], rel=2e-6)  # float32


@pytest.mark.parametrize("name", GOLDEN)
@pytest.mark.parametrize("side", ["d", "g"])
def test_loss_gradient_agrees_with_central_differences(name, side):
    function = getattr(core.LOSSES[name], side)
    logits = [tf.Variable(v, dtype=tf.float64) for v in ([0.3, -1.2, 0.7], [-0.4, 0.9, 0.2])]

    def value(real, fake):
        return tf.reduce_mean(function(real, fake))

    with tf.GradientTape() as tape:
        loss = value(*logits)
    gradients = tape.gradient(loss, logits, unconnected_gradients="zero")
    for i, gradient in enumerate(gradients):
        for k in range(3):
            shift = np.zeros((2, 3))
            shift[i, k] = 1e-5
            up, down = (value(*(v + s * d for v, d in zip(logits, shift, strict=True))) for s in (1, -1))
            assert float(gradient[k]) == pytest.approx(float(up - down) / 2e-5, abs=1e-8)


def test_explicit_logs_are_exact_where_log_of_a_sigmoid_overflows():
    assert float(core.log_d(tf.constant(-200.0))) == -200.0
    assert float(core.log_one_minus_d(tf.constant(200.0))) == -200.0
    assert float(core.log_d(tf.constant(0.3))) == pytest.approx(np.log(expit(0.3)), rel=1e-6)


def test_losses_do_not_mix_seeds():
    stacked = [tf.stack([v, 2 * v])[:, None] for v in (REAL, FAKE)]  # [S, 1, B]
    for loss in core.LOSSES.values():
        alone = loss.d(REAL, FAKE)
        assert np.allclose(loss.d(*stacked)[0, 0], alone, rtol=1e-6)


# ---- layers


def test_mlp_is_the_matrix_product_written_out():
    rng = np.random.default_rng(0)
    weights = core.mlp_weights(rng, (2, 3, 1), "normal")
    x = rng.standard_normal((2, 5)).astype(np.float32)
    w1, b1, w2, b2 = (w.numpy() for w in weights)
    expected = w2 @ np.maximum(w1 @ x + b1, 0) + b2
    assert np.allclose(core.mlp(x, weights, tf.nn.relu), expected, rtol=1e-5)
    assert [w.shape for w in weights] == [(3, 2), (3, 1), (1, 3), (1, 1)]


def test_latents_have_the_distribution_they_say():
    bits = np.arange(65536, dtype=np.uint16)  # every value once: exact moments but for the grid
    uniform, normal = draws.latents(bits, "uniform").numpy(), draws.latents(bits, "normal").numpy()
    assert (uniform.min(), uniform.max()) == pytest.approx((-1 + 2**-16, 1 - 2**-16))
    assert uniform.std() == pytest.approx(1 / np.sqrt(3), rel=1e-5)
    assert np.allclose(normal[[6553, 32768, 58982]], norm.ppf([0.1, 0.5, 0.9]), atol=1e-4)
    assert normal.std() == pytest.approx(1, abs=1e-3)  # the tail beyond 4.3 is missing


# ---- penalties: a logit a x1 + b x2^2 / 2 has the gradient (a, b x2)


def parabola(x):
    return 3 * x[..., :1, :] + x[..., 1:, :] ** 2  # gradient (3, 2 x2)


def test_penalties_of_a_known_slope():
    real, fake = tf.constant([[0.0, 5.0], [2.0, 0.0]]), tf.constant([[1.0, 1.0], [0.0, 1.0]])  # [2, B]
    assert np.allclose(core.squared_slope(parabola, real), [9 + 16, 9])
    assert np.allclose(core.r1(parabola, real), [12.5, 4.5])
    assert np.allclose(core.r2(parabola, fake), [4.5, 6.5])
    middle = core.gradient_penalty(parabola, real, fake, tf.constant([[0.5, 0.0]]))  # at x2 = 1 and x2 = 1
    assert np.allclose(middle, [(np.sqrt(13) - 1) ** 2] * 2, rtol=1e-5)


def test_gradient_penalty_has_a_finite_gradient_where_d_is_flat():
    w = tf.Variable(0.0)
    x = tf.ones([1, 3])
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(core.gradient_penalty(lambda v: w * v, x, x, x))
    assert np.isfinite(tape.gradient(loss, w).numpy())


# ---- Adam, averaging, schedules


def test_adam_moves_as_keras_adam_does():
    rng = np.random.default_rng(1)
    start, gradients = rng.normal(size=(3, 2)).astype("f"), rng.normal(size=(20, 3, 2)).astype("f")
    ours, theirs = core.new_player([tf.Variable(start)]), tf.Variable(start)
    keras = tf.keras.optimizers.Adam(0.01, beta_1=0.5, beta_2=0.9, epsilon=1e-7)
    for t, g in enumerate(gradients, 1):
        core.adam_update(ours, [tf.constant(g)], tf.constant(t), core.Adam(0.01, 0.5, 0.9))
        keras.apply([tf.constant(g)], [theirs])
    assert np.allclose(ours.weights[0], theirs, rtol=1e-5, atol=1e-6)


def test_average_of_weights_forgets_geometrically():
    average, weights = [tf.Variable([1.0])], [tf.Variable([0.0])]
    for _ in range(3):
        core.update_average(average, weights, 0.5)
    assert average[0].numpy() == pytest.approx(0.125)
    core.update_average(average, weights, 0.0)
    assert average[0].numpy() == 0  # decay 0: the average is the weights


def test_cosine_goes_from_one_through_a_half_to_zero():
    schedule = core.cosine(100)
    assert [float(schedule(t)) for t in (0, 50, 100)] == pytest.approx([1, 0.5, 0], abs=1e-6)


# ---- the adversarial step


def play(loss="minimax", seeds=(0, 1, 2), steps=5, jit_compile=True, only=None, **settings):
    """The weights after some steps of a small game; `only` trains that member of the stack alone, without S."""
    rngs = [np.random.default_rng([seed, 1]) for seed in seeds]
    batches = {
        "x": np.stack([r.normal(1, 1, (steps, 1, 16)) for r in rngs], 1).astype("f"),
        "z": np.stack([r.normal(0, 1, (steps, 2, 16)) for r in rngs], 1).astype("f"),
        "mix": np.stack([r.uniform(0, 1, (steps, 1, 16)) for r in rngs], 1).astype("f"),
    }
    rngs = [np.random.default_rng([seed, 2]) for seed in seeds]
    if only is not None:
        rngs, batches = rngs[only], {k: v[:, only] for k, v in batches.items()}
    game = core.new_game(*(core.mlp_weights(rngs, sizes, "normal") for sizes in ((1, 4, 1), (2, 3, 1))))

    def network(x, weights):
        return core.mlp(x, weights, tf.nn.softplus)

    adam = core.Adam(0.01)
    rules = core.Rules(network, network, core.LOSSES[loss], adam, adam, average_decay=0.9, **settings)
    loop = core.compiled_loop(lambda game, batch: core.adversarial_step(game, rules, batch), jit_compile)
    losses = loop(game, batches).numpy()
    return game, losses


@pytest.mark.parametrize("name", core.LOSSES)
def test_the_losses_of_g_that_depend_on_real_logits_are_called_relative(name):
    fake, real = tf.constant([-1.0, 0.5, 2.0]), tf.constant([0.3, -0.2, 1.0])
    moved = core.LOSSES[name].g(real + 1, fake) - core.LOSSES[name].g(real, fake)
    assert bool(tf.reduce_any(moved != 0)) == core.LOSSES[name].relative


@pytest.mark.parametrize("name", core.LOSSES)
def test_the_best_d_of_a_logistic_loss_and_of_no_other_is_p_over_p_plus_q(name):
    """Where p is 2 q, the slope of p times the loss of a real sample plus q times that of a fake is 0 at D = 2/3."""
    real, fake = (tf.Variable([np.log(2.0)], dtype=tf.float64) for _ in range(2))
    with tf.GradientTape() as tape:
        loss = core.LOSSES[name].d(real, fake)
    of_real, of_fake = (float(slope[0]) for slope in tape.gradient(loss, [real, fake]))
    assert (abs(2 * of_real + of_fake) < 1e-12) == core.LOSSES[name].logistic


@pytest.mark.parametrize(
    ("loss", "jit_compile", "settings"),
    [
        ("minimax", True, {}),
        (
            "relativistic_average",
            True,
            {"r1": 0.3, "rate_schedule_g": core.cosine(7)},
        ),
        ("wasserstein", False, {"gradient_penalty": 0.3}),
        ("relativistic_paired", False, {"r2": 0.3}),
    ],
)
def test_member_of_a_stack_equals_the_solo_run_of_its_seed(loss, jit_compile, settings):
    stack, losses = play(loss, jit_compile=jit_compile, **settings)
    solo, alone = play(loss, jit_compile=jit_compile, only=1, **settings)
    assert losses.shape == (5, 2, 3) and alone.shape == (5, 2)
    assert np.allclose(losses[..., 1], alone, atol=1e-5)  # float32 rounding, here and below
    pairs = list(zip(tf.nest.flatten(stack[:3]), tf.nest.flatten(solo[:3]), strict=True))
    if loss.startswith("relativistic"):
        del pairs[3]  # only differences of logits count: D's output bias has gradient 0, and Adam scales up rounding
    for many, one in pairs:
        assert np.allclose(many[1], one, atol=1e-5)


def test_xla_and_graph_mode_agree():
    (compiled, a), (graph, b) = play(), play(jit_compile=False)
    assert np.allclose(a, b, atol=1e-5)
    assert np.allclose(compiled.generator.weights[0], graph.generator.weights[0], atol=1e-5)


@pytest.mark.parametrize(
    ("name", "expected"),
    [("r1", 0.5 * (6**2 + 2**2) / 2), ("r2", 0.5 * (18**2 + 6**2) / 2), ("gradient_penalty", (11**2 + 3**2) / 2)],
)
def test_penalty_in_the_step_looks_at_its_own_samples(name, expected):
    """D(x) = 3 x^2 has slope 6 x: 6 and 2 on the real samples, 18 and 6 on the fakes, 12 and 4 half-way."""
    settings = {name: 0.7, "penalty_schedule": lambda step: tf.cast(step, tf.float32)}
    rules = core.Rules(lambda x, w: w[0] * x * x, None, core.LOSSES["wasserstein"], None, None, **settings)
    real, fake = tf.constant([[1.0, 1 / 3]]), tf.constant([[3.0, 1.0]])
    batch = {"x": real, "mix": tf.constant([[0.5, 0.5]])}
    loss, total = core.discriminator_loss(rules, [tf.constant(3.0)], batch, fake, tf.constant(3))
    assert float(tf.squeeze(loss)) == pytest.approx(3 * (5 - 5 / 9), rel=1e-6)  # without the penalty
    assert float(total - tf.squeeze(loss)) == pytest.approx(3 * 0.7 * expected, rel=1e-6)


@pytest.mark.parametrize(
    ("schedule", "rests"), [("rate_schedule_g", "generator"), ("rate_schedule_d", "discriminator")]
)
def test_rate_schedule_is_one_players_alone(schedule, rests):
    """The factor is 0 from step 1 on, which is the first one."""
    settings = {"jit_compile": False, schedule: lambda step: tf.cast(step < 1, tf.float32)}
    game, _ = play(seeds=(0,), steps=2, only=0, **settings)
    rng = np.random.default_rng([0, 2])
    for player, sizes in (("discriminator", (1, 4, 1)), ("generator", (2, 3, 1))):
        for first, weight in zip(core.mlp_weights(rng, sizes, "normal"), getattr(game, player).weights, strict=True):
            assert np.array_equal(first, weight) == (player == rests)


def test_each_player_has_a_rate_of_its_own_and_every_schedule_is_asked_about_the_step():
    """With both betas 0, Adam moves a weight by the rate itself, in every step."""

    def network(x, weights):
        return core.mlp(x, weights, tf.nn.softplus)

    rng, penalties = np.random.default_rng(0), []
    batch = {"x": tf.constant(rng.standard_normal((1, 16)), tf.float32)}
    batch["z"] = tf.constant(rng.standard_normal((2, 16)), tf.float32)
    game = core.new_game(*(core.mlp_weights(rng, sizes, "normal") for sizes in ((1, 4, 1), (2, 3, 1))))
    rules = core.Rules(
        network,
        network,
        core.LOSSES["minimax"],
        core.Adam(0.01, 0.0, 0.0),
        core.Adam(0.03, 0.0, 0.0),
        rate_schedule_d=lambda step: 1 + tf.cast(step, tf.float32),
        rate_schedule_g=lambda step: 5 + tf.cast(step, tf.float32),
        r1=0.1,
        penalty_schedule=lambda step: penalties.append(int(step)) or 1.0,
    )
    for step in (1, 2):
        before = [[w.numpy() for w in player.weights] for player in game[:2]]
        core.adversarial_step(game, rules, batch)
        moved = [
            max(np.abs(new - old).max() for new, old in zip(player.weights, weights, strict=True))
            for player, weights in zip(game[:2], before, strict=True)
        ]
        assert moved == pytest.approx([0.01 * (1 + step), 0.03 * (5 + step)], rel=1e-3)
    assert penalties == [1, 2]


@pytest.mark.parametrize("settings", [{}, {"r1": 0.3}, {"r2": 0.3}, {"gradient_penalty": 0.3}], ids=str)
def test_first_step_moves_every_weight_by_the_learning_rate_against_its_gradient(settings):
    """Adam's first step is -rate * sign(gradient); the gradients here come from central differences in NumPy."""
    rngs = [np.random.default_rng([0, 1])]
    x, z = rngs[0].normal(1, 1, (1, 1, 16)), rngs[0].normal(0, 1, (1, 2, 16))
    mix = rngs[0].uniform(0, 1, (1, 1, 16))
    x, z, mix = (v[0].astype("f").astype(float) for v in (x, z, mix))
    rng = np.random.default_rng([0, 2])
    d, g = ([w.numpy().astype(float) for w in core.mlp_weights(rng, s, "normal")] for s in ((1, 4, 1), (2, 3, 1)))

    def network(v, w):
        return w[2] @ np.log1p(np.exp(w[0] @ v + w[1])) + w[3]

    def slope2(v, w, h=1e-4):
        return ((network(v + h, w) - network(v - h, w)) / (2 * h)) ** 2

    def d_loss(w):
        fake = network(z, g)
        value = -np.mean(np.log(expit(network(x, w))) + np.log(expit(-network(fake, w))))
        value += settings.get("r1", 0) / 2 * slope2(x, w).mean() + settings.get("r2", 0) / 2 * slope2(fake, w).mean()
        between = np.sqrt(slope2(mix * x + (1 - mix) * fake, w))
        return value + settings.get("gradient_penalty", 0) * np.mean((between - 1) ** 2)

    game, losses = play(seeds=(0,), steps=1, only=0, jit_compile=False, **settings)
    plain = -np.mean(np.log(expit(network(x, d))) + np.log(expit(-network(network(z, g), d))))
    assert losses[0, 0] == pytest.approx(plain, rel=1e-5)  # reported without penalties
    for i, weight in enumerate(d):
        for k in np.ndindex(weight.shape):
            up, down = ([v.copy() for v in d] for _ in range(2))
            up[i][k] += 1e-4
            down[i][k] -= 1e-4
            gradient = (d_loss(up) - d_loss(down)) / 2e-4
            if abs(gradient) > 1e-3:  # of smaller ones Adam's epsilon takes a share
                moved = game.discriminator.weights[i].numpy()[k] - weight[k]
                assert moved == pytest.approx(-0.01 * np.sign(gradient), rel=0.005)
    assert game.step.numpy() == 1


@pytest.mark.parametrize(
    ("name", "simultaneous", "jit_compile"),
    [
        ("minimax", False, False),
        ("minimax", True, False),
        ("minimax", True, True),  # what XLA compiles without `simultaneous` is compared with a graph above
        ("relativistic_paired", False, False),
    ],
)
def test_generator_plays_against_the_discriminator_it_sees_and_minimises_its_own_loss(
    name, simultaneous, jit_compile
):
    """D after its update or, if both move at once, before it."""
    game, losses = play(name, seeds=(0,), steps=1, only=0, jit_compile=jit_compile, simultaneous=simultaneous)
    rng = np.random.default_rng([0, 1])
    x, z = (rng.normal(mean, 1, (1, n, 16))[0].astype("f") for mean, n in ((1, 1), (0, 2)))
    rng = np.random.default_rng([0, 2])
    d, g = (core.mlp_weights(rng, sizes, "normal") for sizes in ((1, 4, 1), (2, 3, 1)))
    seen = d if simultaneous else game.discriminator.weights

    def loss(weights):
        fake = core.mlp(z, weights, tf.nn.softplus)
        real_logits, fake_logits = (core.mlp(v, seen, tf.nn.softplus) for v in (x, fake))
        return float(tf.reduce_mean(core.LOSSES[name].g(real_logits, fake_logits)))

    assert losses[0, 1] == pytest.approx(loss(g), rel=1e-5)  # of G before its step
    assert all((new != old).numpy().any() for new, old in zip(game.discriminator.weights[:3], d[:3], strict=True))
    assert loss(game.generator.weights) < loss(g)
    for average, new, old in zip(game.average, game.generator.weights, g, strict=True):
        assert np.allclose(average, 0.9 * old + 0.1 * new, atol=1e-6)


def test_games_of_one_shape_share_one_compilation():
    traces = []

    def step(game, batch):
        traces.append(1)
        game.step.assign_add(1)
        return tf.reduce_sum(batch["x"]), tf.zeros([])

    loop = core.compiled_loop(step)
    for seed in range(3):
        w = core.mlp_weights(np.random.default_rng(seed), (1, 2, 1), "he")
        loop(core.new_game(w, w), {"x": np.ones((4, 1, 3), "f")})
    assert len(traces) == 1


def adding_game(step=0):
    """A game whose only weight grows by the batch's x in each step."""
    game = core.new_game([tf.Variable([0.0])], [tf.Variable([0.0])])
    game.step.assign(step)
    return game


def add(game, batch):
    game.step.assign_add(1)
    game.average[0].assign_add([batch["x"]])
    return batch["x"], 10 * batch["x"]


@pytest.mark.parametrize("jit_compile", [True, False])
def test_a_loop_plays_as_many_steps_as_it_is_told_to(jit_compile):
    game, loop = adding_game(), core.compiled_loop(add, jit_compile)
    x = {"x": tf.constant([1.0, 2.0, 4.0, 8.0])}
    if jit_compile:  # a graph needs all losses
        assert loop(game, x, tf.constant(3)).numpy()[:3].tolist() == [[1, 10], [2, 20], [4, 40]]
        assert game.step.numpy() == 3 and game.average[0].numpy() == 7
        assert loop(game, x, tf.constant(0)).shape == (4, 2) and game.step.numpy() == 3
        game = adding_game()
    assert loop(game, x).numpy()[:, 0].tolist() == [1, 2, 4, 8] and game.average[0].numpy() == 15


@pytest.mark.parametrize(
    ("step", "count", "averages"),
    [
        (0, 8, [[6], [21], [36]]),  # periods of 3, 3 and 2 steps
        (2, 8, [[1], [10], [28], [36]]),  # the first period had begun: 1, 3, 3 and 1 steps
        (3, 3, [[6]]),
        (1, 2, [[3]]),
    ],
)
def test_a_loop_of_periods_keeps_the_average_at_the_end_of_each(step, count, averages):
    game, loop = adding_game(step), core.compiled_periods(add, every=3)
    losses, (kept,) = loop(game, {"x": tf.range(1.0, 9.0)}, tf.constant(count))
    assert losses.numpy()[:count, 0].tolist() == list(range(1, count + 1))
    assert kept.numpy()[: len(averages)].tolist() == averages
    assert game.step.numpy() == step + count and game.average[0].numpy() == averages[-1]


def test_arrays_become_tensors_once_a_program_is_compiled(monkeypatch):
    monkeypatch.setattr(core, "_warm", threading.Event())
    batch = {"x": np.ones(2, np.float32)}
    assert core.as_tensors(batch)["x"] is batch["x"]
    core.warm_up(core.compiled_loop(add), adding_game(), batch)
    assert tf.is_tensor(core.as_tensors(batch)["x"])


def test_tensorflow_is_imported_without_keras_which_comes_when_it_is_used():
    program = """
import gc, sys
from gan_core import tf
tf.Variable(1.0)
print(gc.isenabled(), any(name.split(".")[0] == "keras" for name in sys.modules))
print(tf.keras.optimizers.Adam(0.5).learning_rate.numpy())
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.split() == ["True", "False", "0.5"]


# ---- weights and latents


@pytest.mark.parametrize(
    ("init", "first", "bias", "last"),
    [
        ("normal", 1, 1, 1),
        ("he", (2 / 50) ** 0.5, 0, (2 / 200) ** 0.5),
        ("scattered", 16, 16, (2 / 200) ** 0.5),
        ("scattered_4", 4, 4, (2 / 200) ** 0.5),
        ("small_end", (2 / 50) ** 0.5, 0, (2 / 200) ** 0.5 / 10),
        ("glorot", (2 / 250) ** 0.5, 0, (2 / 300) ** 0.5),
        ("small", 0.01, 0, 0.01),
        ("small_02", 0.02, 0, 0.02),
    ],
)
def test_standard_deviations_of_first_weights(init, first, bias, last):
    w1, b1, w2, b2 = core.mlp_weights(np.random.default_rng(0), (50, 200, 100), init)
    # 10,000, 200 and 20,000 draws: relative standard errors .7%, 5% and .5%
    assert np.std(w1) == pytest.approx(first, rel=0.03) and np.std(w2) == pytest.approx(last, rel=0.02)
    assert np.std(b1) == pytest.approx(bias, rel=0.2)
    assert np.std(b2) == pytest.approx(1 if init == "normal" else 0, rel=0.3)  # 100 draws: 7%


@pytest.mark.parametrize("jit_compile", [True, False])
def test_normal_latents_are_quantiles_of_the_normal_distribution(jit_compile):
    bits = np.arange(65536, dtype=np.uint16)
    latents = tf.function(lambda bits: draws.latents(bits, "normal"), jit_compile=jit_compile)(bits)
    np.testing.assert_allclose(latents, draws.normal_from_bits(bits), rtol=1e-6, atol=1e-6)  # float32


def test_skip_adds_a_linear_map_of_the_input():
    skipping = core.with_skip(lambda z, weights: weights[0] * z[:1])
    z, skip = np.float32([[1.0], [2.0]]), np.float32([[10.0, 100.0]])
    assert skipping(z, [np.float32(3), skip]).numpy() == [[3 + 210]]


# ---- packs, schedules, unrolling


def test_packed_stacks_samples_of_the_batch():
    x = tf.constant([[[1.0, 2, 3, 4], [10, 20, 30, 40]]])  # [1, 2, 4]: points (1, 10), (2, 20), ..
    assert core.packed(x, 2).numpy().tolist() == [[[1, 2], [10, 20], [3, 4], [30, 40]]]
    assert core.packed(x, 4)[0, :, 0].numpy().tolist() == [1, 10, 2, 20, 3, 30, 4, 40]
    assert core.packed(x, 1) is x


def test_geometric_goes_by_equal_ratios():
    factors = [float(core.geometric(1e-4, 100)(tf.constant(step))) for step in (0, 25, 50, 100)]
    assert factors == pytest.approx([1, 0.1, 0.01, 1e-4], rel=1e-5)
    assert core.geometric(1, 100) is core.constant


def test_penalty_schedule_fades_the_penalty():
    """With factor 0 from step 1 on, a penalised game is the game without."""
    none, _ = play(steps=3, jit_compile=False)
    faded, _ = play(steps=3, jit_compile=False, r1=5.0, penalty_schedule=lambda step: tf.cast(step < 1, tf.float32))
    full, _ = play(steps=3, jit_compile=False, r1=5.0)
    weights = [game.discriminator.weights[0].numpy() for game in (none, faded, full)]
    assert np.allclose(weights[0], weights[1], atol=1e-7) and not np.allclose(weights[0], weights[2], atol=1e-4)


def unrolled_by_hand(shift, z, x, d, k, r1, mean, square, step, rate=0.1, beta1=0.5, beta2=0.9):
    """log(1 - D(z + shift)) under a D(x) = a x + b that k more steps of Adam have answered to it: plain NumPy."""
    (a, b), fake = d, z + shift
    for t in range(step + 1, step + k + 1):
        on_real, on_fake = -expit(-(a * x + b)), expit(a * fake + b)  # slopes of D's loss in the logits
        g = np.array([np.mean(on_real * x + on_fake * fake) + r1 * a, np.mean(on_real + on_fake)])
        mean, square = beta1 * mean + (1 - beta1) * g, beta2 * square + (1 - beta2) * g * g
        move = rate * np.sqrt(1 - beta2**t) / (1 - beta1**t) * mean / (np.sqrt(square) + 1e-7)
        a, b = a - move[0], b - move[1]
    return np.mean(np.log(expit(-(a * fake + b))))


@pytest.mark.parametrize(
    ("k", "r1", "mean", "square", "step"),
    [(1, 0.0, (0, 0), (0, 0), 0), (3, 0.0, (0, 0), (0, 0), 0), (2, 0.4, (0.2, -0.1), (0.05, 0.02), 7)],
)
def test_gradient_through_unrolled_d_agrees_with_central_differences(k, r1, mean, square, step):
    rng = np.random.default_rng(0)
    z, x, d = rng.normal(size=8), rng.normal(1, 1, 8), (0.3, -0.2)
    h, moments = 1e-5, (np.array(mean), np.array(square))
    up, middle, down = (unrolled_by_hand(0.5 + s, z, x, d, k, r1, *moments, step) for s in (h, 0, -h))
    player = core.Player(*([tf.Variable([[v]], dtype=tf.float32) for v in values] for values in (d, mean, square)))

    def at_this_step(t):
        return 0.5 * tf.cast(t == step, tf.float32)

    rules = core.Rules(
        lambda v, w: w[0] * v + w[1],
        None,
        core.LOSSES["minimax"],
        core.Adam(0.2, 0.5, 0.9),
        None,
        rate_schedule_d=at_this_step,  # the schedules stay where they are while D is unrolled
        r1=2 * r1,
        penalty_schedule=at_this_step,
        unroll=k,
    )
    shift = tf.Variable(0.5)
    with tf.GradientTape() as tape:
        fake = tf.constant(z[None], tf.float32) + shift
        weights = core.unrolled(rules, player, {"x": tf.constant(x[None], tf.float32)}, fake, tf.constant(step))
        loss = tf.reduce_mean(rules.loss.g(None, rules.discriminator(fake, weights)))
    assert float(loss) == pytest.approx(middle, rel=1e-4)  # float32
    assert float(tape.gradient(loss, shift)) == pytest.approx((up - down) / (2 * h), rel=2e-3)
    assert player.weights[0].numpy() == np.float32(0.3)  # D itself has not moved


def test_g_takes_into_account_how_d_would_answer_its_fakes():
    """The gradient of a whole step also goes through D's updates to come, after D's own update."""

    def network(x, weights):
        return core.mlp(x, weights, tf.nn.softplus)

    rng, adam = np.random.default_rng(0), core.Adam(0.1, 0.5)
    x, z = (tf.constant(rng.standard_normal((n, 16)), tf.float32) for n in (1, 2))
    game = core.new_game(*(core.mlp_weights(rng, sizes, "normal") for sizes in ((1, 4, 1), (2, 3, 1))))
    rules = core.Rules(network, network, core.LOSSES["minimax"], adam, adam, unroll=2)
    g = [tf.identity(w) for w in game.generator.weights]
    core.adversarial_step(game, rules, {"x": x, "z": z})
    with tf.GradientTape() as tape:
        tape.watch(g)
        fake = network(z, g)
        answered = core.unrolled(rules, game.discriminator, {"x": x}, fake, game.step)
        loss = tf.reduce_mean(core.log_one_minus_d(network(fake, answered)))
    assert_first_gradients(game.generator, tape.gradient(loss, g))


def test_unrolling_a_d_with_a_dead_unit_stays_finite():
    """A unit that never switches has gradients 0 and moments 0, where the square root has no slope."""

    def network(x, weights):
        return core.mlp(x, weights, tf.nn.relu)

    d = [tf.Variable(v) for v in ([[1.0], [1.0]], [[0.5], [-1e6]], [[1.0, 1.0]], [[0.0]])]
    g = [tf.Variable(v) for v in ([[1.0]], [[0.1]])]
    rules = core.Rules(network, network, core.LOSSES["minimax"], core.Adam(0.1), core.Adam(0.1), unroll=2)
    game = core.new_game(d, g)
    # compiled, because eager mode hides 0 * inf
    step = core.compiled(lambda x, z: core.adversarial_step(game, rules, {"x": x, "z": z}))
    step(tf.constant([[0.5, 1.0]]), tf.constant([[0.2, 0.3]]))
    assert all(np.isfinite(w).all() for w in game.generator.weights)


def test_unrolled_game_runs_for_stacks_of_seeds():
    settings = {"steps": 8, "jit_compile": False}
    stack, _ = play("wasserstein", unroll=2, **settings)
    solo, _ = play("wasserstein", unroll=2, only=1, **settings)
    plain, _ = play("wasserstein", **settings)
    many, one, other = ([w.numpy() for w in game.generator.weights] for game in (stack, solo, plain))
    assert all(np.allclose(m[1], o, atol=1e-5) for m, o in zip(many, one, strict=True))  # float32 rounding
    assert any(np.abs(m - o).max() > 1e-3 for m, o in zip(many, other, strict=True))


@pytest.mark.parametrize("name", GOLDEN)
def test_zero_sum_losses_are_those_where_both_play_one_value(name):
    """D's and G's losses have opposite slopes in the fake logits, or not."""
    fake = tf.Variable(FAKE)
    with tf.GradientTape(persistent=True) as tape:
        d, g = (tf.reduce_sum(side(REAL, fake)) for side in core.LOSSES[name][:2])
    opposite = np.allclose(tape.gradient(d, fake), -tape.gradient(g, fake), atol=1e-6)
    assert opposite == core.LOSSES[name].zero_sum
