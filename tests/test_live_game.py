"""The live page's game: the script's bits in odd chunks, one player alone, changes without a new program."""

import functools
from collections import defaultdict
from dataclasses import replace

import numpy as np
import pytest

import gan_core as core
from experiments import mixture_2d, normal_1d
from gan_core import tf
from lab import draws, points, targets
from lab.live import game as live
from lab.live import scenes
from lab.runs import Period

NARROW = {"generator_hidden": (16,), "discriminator_hidden": (16,)}  # they compile in less time
CASES = {
    "stable": (mixture_2d, replace(mixture_2d.Config(), seeds=8, samples=2000)),
    "classic": (mixture_2d, replace(mixture_2d.CLASSIC, seeds=3, samples=1000, **NARROW)),
    "pack": (mixture_2d, replace(mixture_2d.CLASSIC, seeds=2, samples=1000, pack=4, **NARROW)),
    "minimax": (
        mixture_2d,
        replace(mixture_2d.CLASSIC, seeds=2, samples=1000, loss="minimax", average=0.9, **NARROW),
    ),
    "line": (normal_1d, replace(normal_1d.Config(), seeds=8, samples=300)),
}
CHUNKS = [1, 3, 16, 7, 13, 40, 20, 100]


def training_points(script, config):
    seeds = range(config.seed, config.seed + config.seeds)
    if script is mixture_2d:
        return targets.points(config.target, config.samples, seeds).train
    real = targets.numbers(config.target, config.target_args, config.data, config.samples, seeds)
    return targets.jittered(real.train, config.jitter, seeds)[:, None]


def arrays(games):
    return [v.numpy() for v in tf.nest.flatten(games)]


@functools.cache
def program_of(name, free_penalties):
    knobs = live.Knobs()
    return knobs, live.new_program(*CASES[name], knobs, free_penalties)


def new_game(name, free_penalties=False):
    knobs, program = program_of(name, free_penalties)
    script, config = CASES[name]
    return live.Game(script, config, training_points(script, config), knobs), program


@pytest.mark.parametrize("name", CASES)
def test_200_live_steps_in_odd_chunks_equal_the_scripts_loop_in_every_array(name):
    script, config = CASES[name]
    gans = points.Ensemble(config, training_points(script, config))
    rules = script.rules(config)
    loop = core.compiled_loop(lambda game, batch: core.adversarial_step(game, rules, points.inputs(config, batch)))
    n, k = points.steps_at_once(config, gans.points.shape[1]), len(gans.games)
    for i, batch in enumerate(gans.batches(Period(0, 200))):
        loop(gans.games[i % k], batch, tf.constant(min(n, 200 - i // k * n)))

    game, program = new_game(name)
    losses = [game.play(program, count) for count in CHUNKS]
    assert game.step == 200 and sum(map(len, losses)) == 200
    for expected, found in zip(arrays(gans.games), arrays(game.gans.games), strict=True):
        np.testing.assert_array_equal(found, expected)


def test_turns_of_d_and_g_one_after_the_other_are_steps():
    whole, program = new_game("line")
    whole.play(program, 3)
    one_by_one, program = new_game("line")
    one_by_one.play(program, 1)
    for player in "DGDG":
        one_by_one.play(program, 1, player)
    assert one_by_one.turns == {"D": 3, "G": 3}
    for expected, found in zip(arrays(whole.gans.games), arrays(one_by_one.gans.games), strict=True):
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(("player", "other"), [("D", "generator"), ("G", "discriminator")])
def test_a_turn_of_one_player_leaves_the_other_and_its_adam_as_they_are(player, other):
    game, program = new_game("classic")
    game.play(program, 2)
    moved = "discriminator" if player == "D" else "generator"
    before = [arrays(getattr(g, other)) for g in game.gans.games], arrays(getattr(game.gans.games[0], moved))
    average = arrays(game.gans.games[0].average)
    losses = game.play(program, 2, player)
    assert losses.shape == (2, 2, 3) and game.turns == {"D": 2, "G": 2} | {player: 4}
    for expected, g in zip(before[0], game.gans.games, strict=True):
        for a, b in zip(expected, arrays(getattr(g, other)), strict=True):
            np.testing.assert_array_equal(a, b)
    after = arrays(getattr(game.gans.games[0], moved))
    assert all((a != b).any() for a, b in zip(before[1], after, strict=True))
    same = [np.array_equal(a, b) for a, b in zip(average, arrays(game.gans.games[0].average), strict=True)]
    assert all(same) == (player == "D")


def test_the_player_behind_goes_on_with_its_own_turns():
    game, program = new_game("classic")
    game.play(program, 2, "D")
    losses = game.play(program, 3)
    assert losses.shape == (3, 2, 3) and game.turns == {"D": 5, "G": 3}


def test_rates_and_penalties_change_without_a_new_program():
    script, config = CASES["stable"]
    game, program = new_game("stable", free_penalties=True)
    game.play(program, 2)
    compiled = program.experimental_get_tracing_count()
    changed = replace(config, learning_rate=1e-4, r1=0.5, beta1=0.5, average=0.0)
    assert live.program_key(script, changed, True) == live.program_key(script, config, True)
    assert live.program_key(script, changed, False) != live.program_key(script, config, False)
    assert live.fits(config, changed) and not live.fits(config, replace(config, pack=2))
    game.use(changed)
    before = arrays(game.gans.games[0].generator.weights)
    game.play(program, 1)
    assert program.experimental_get_tracing_count() == compiled
    moved = max(
        np.abs(a - b).max() for a, b in zip(before, arrays(game.gans.games[0].generator.weights), strict=True)
    )
    assert 0 < moved < 5e-4  # Adam with beta1 .5 and beta2 .99 moves a weight by a few learning rates at most
    for w, a in zip(arrays(game.gans.games[0].generator.weights), arrays(game.gans.games[0].average), strict=True):
        np.testing.assert_array_equal(w, a)  # an average of 0 is G itself


@pytest.mark.parametrize("player", ["D", "G"])
def test_a_turn_that_fails_leaves_the_rates_and_the_other_player_as_they_are(player, monkeypatch):
    game, program = new_game("classic")
    game.play(program, 1)
    before = {name: v.numpy() for name, v in game.knobs.variables.items()}
    other = "generator" if player == "D" else "discriminator"
    weights = arrays([getattr(g, other) for g in game.gans.games])

    def fails(*args):
        for g in game.gans.games:
            getattr(g, other).weights[0].assign_add(tf.ones_like(getattr(g, other).weights[0]))
        raise ArithmeticError

    monkeypatch.setattr(game, "_side_by_side", fails)
    with pytest.raises(ArithmeticError):
        game.play(program, 1, player)
    assert {name: v.numpy() for name, v in game.knobs.variables.items()} == before and before["adam_d"] > 0
    for expected, found in zip(weights, arrays([getattr(g, other) for g in game.gans.games]), strict=True):
        np.testing.assert_array_equal(found, expected)


def test_only_settings_that_change_the_minibatches_have_them_drawn_again():
    game, program = new_game("classic")
    _, config = CASES["classic"]
    game.play(program, 1)
    drawn_ahead = game._batches["D"]._chunk
    game.use(replace(config, learning_rate=0.1))
    assert game._batches["D"]._chunk is drawn_ahead
    game.use(replace(config, batch=16))
    assert not game._batches["D"]._chunk


def test_the_pictures_of_a_seed_are_its_own_and_those_of_the_ensemble(monkeypatch):
    monkeypatch.setattr(scenes, "PUSHED", 20)
    config = replace(mixture_2d.Config(), seeds=2, samples=200, generator_hidden=(8,), discriminator_hidden=(8,))
    gans = points.Ensemble(config, targets.points("ring", 200, range(2)).train)
    (game,), lattice = gans.games, draws.latent_lattice("uniform", 2, 3, 1)
    places = np.random.default_rng(0).normal(size=(1, 2, 5))
    looker = scenes.Looker(scenes.new_look(config), places, 30, lattice)
    fakes, pushes, logits, sheet = looker(gans, 1, game.discriminator.weights, game.average, 1)
    expected = gans.d_logits(places.repeat(2, 0))[1], gans.from_latents(lattice)[1]
    expected = *expected, gans.pushes(np.stack([fakes[:, :20]] * 2))[1]
    for a, b in zip((logits, sheet, pushes), expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4)  # float32, another order of sums
    lost = [np.nan * weight for weight in game.discriminator.weights]
    with pytest.raises(ValueError, match="not finite"):
        looker(gans, 1, lost, game.average, 1)


class Perfect:
    """A generator that draws from the real law, as a scene asks an `Ensemble`."""

    def __init__(self, config, real):
        self.config, self.real, self.seeds = config, real, range(1)

    def alone(self, seed):
        return self

    def sample(self, step):
        return np.stack([self.real.draw(self.config.eval_samples, 100 + k) for k in range(self.config.seeds)])[
            :, None
        ]

    def from_latents(self, z):
        return self.real.draw(z.shape[1], 7)[None, None]

    def d_logits_of_packs(self, x):
        return np.zeros(x.shape[::2])


def line(target="norm", pack=1, own=False):
    """A scene of the line, and a perfect generator for it; with `own` numbers of which only a sample is known."""
    config = replace(normal_1d.Config(), target=target, seeds=2, pack=pack)
    real = targets.numbers(target, (), None, 1000, range(2))
    gans = Perfect(config, real)
    shown = real._replace(truth=real.truth.rvs(1000, random_state=0)) if own else real
    return scenes.Line(normal_1d, config, shown), gans


@pytest.mark.parametrize("target", ["mixture", "uniform"])
def test_of_a_perfect_generator_the_densities_are_alike_and_the_best_d_says_one_half(target):
    scene, gans = line(target)
    _, pictures = scene.measure(gans, 0, 0)
    x, best = scene.x, pictures["optimal"]
    known = np.isfinite(best)
    assert np.abs(best[known] - 0.5).max() < 0.1
    assert 0.5 < known.mean() < 0.95 and not known[np.abs(x) > 4].any()  # nothing is said of places without numbers
    seen = scene.look(gans.real.draw(2000, 0)[None], np.zeros((1, 150)), np.zeros(300), None)
    distance = np.abs(seen["q"] - seen["p"]).sum() * (x[1] - x[0])
    assert distance < {"mixture": 0.1, "uniform": 0.15}[target]  # a kernel cannot follow the edges of the uniform law
    if target == "mixture":
        peak = seen["p"].argmax()
        assert seen["q"][peak] == pytest.approx(seen["p"][peak], rel=0.1)
        assert pictures["thumbs"].max(axis=1) == pytest.approx(seen["p"][peak], rel=0.15)


def test_the_best_d_is_shown_to_a_d_of_single_points_and_a_known_law_alone(monkeypatch):
    for pack, own, shown in ((1, False, True), (2, False, False), (1, True, False)):
        scene, gans = line(pack=pack, own=own)
        numbers, pictures = scene.measure(gans, 0, 0)
        assert ("optimal" in pictures) == shown and scene.estimated == own
        assert ("game_value_optimal" in [m["name"] for m in scene.measures]) == (pack == 1)
        assert numbers.shape == (len(scene.measures), 2)
    monkeypatch.setattr(mixture_2d, "floors", lambda *real: defaultdict(float))
    real = targets.points("ring", 200, range(2))
    for pack in (1, 2):
        scene = scenes.Plane(mixture_2d, replace(mixture_2d.Config(), pack=pack), real)
        assert (scene.masses is None) == (pack == 2)


@pytest.mark.parametrize("latent", draws.LATENTS)
def test_latents_in_slow_motion_lie_where_they_are_on_the_flat_lattice(latent):
    config = replace(mixture_2d.Config(), seeds=2, latent=latent, generator_hidden=(8,), discriminator_hidden=(8,))
    gans = points.Ensemble(config, targets.points("ring", 200, range(2)).train)
    bits = np.random.default_rng(0).integers(65536, size=(2, config.latent_dim, 30)).astype(np.uint16)
    stage = scenes.stage_arrays(gans, 1, {"x": gans.points[:, :, :30], "z": bits})
    corners = draws.latent_lattice(latent, config.latent_dim, 31, 1)[:2]  # in equal steps of probability
    for z, place, axis in zip(stage["z"], stage["stage_z"], corners, strict=False):
        np.testing.assert_allclose(place, np.interp(z, np.unique(axis), np.linspace(-0.99, 0.99, 31)), atol=0.03)
