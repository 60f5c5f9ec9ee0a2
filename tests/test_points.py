"""Many GANs on points at once: each equals its solo run; samples, images of latents, D's logits and pushes."""

import math
from dataclasses import replace

import numpy as np
import pytest

import gan_core as core
from experiments import mixture_2d, normal_1d
from lab import draws, points, runs, storage, targets

SMALL = {"discriminator_hidden": (8,), "generator_hidden": (8,)}  # a small program compiles sooner
NUMBERS = replace(
    normal_1d.Config(), seeds=2, steps=60, eval_every=20, checkpoint_every=20, eval_samples=200, **SMALL
)
PLANE = replace(
    mixture_2d.Config(), seeds=2, steps=40, eval_every=20, samples=500, checkpoint_every=20, batch=20, **SMALL
)


def ensemble(**settings):
    """Untrained GANs for the ring."""
    return points.Ensemble(replace(PLANE, **settings), targets.points("ring", 500, range(2)).train)


# ---- many seeds


def test_member_of_many_equals_the_solo_run_of_its_seed():
    classic = replace(normal_1d.CLASSIC, steps=60, eval_every=20, checkpoint_every=20, eval_samples=200)
    many = normal_1d.train(replace(classic, seeds=3))
    solo = normal_1d.train(replace(classic, seeds=1, seed=2))
    assert (many.real.train[2] == solo.real.train[0]).all()
    fakes = [trained.game.sample(60) for trained in (many, solo)]
    assert np.allclose(fakes[0][2], fakes[1][0], atol=1e-3)  # float32 rounding, amplified by 60 steps


def test_member_of_many_on_the_plane_equals_the_solo_run_of_its_seed():
    flags = {"pack": 2, "gradient_penalty": 1.0, "target": "grid", "steps": 20}
    many = mixture_2d.train(replace(PLANE, **flags))
    solo = mixture_2d.train(replace(PLANE, seeds=1, seed=1, **flags))
    fakes = [trained.game.sample(20) for trained in (many, solo)]
    assert np.allclose(fakes[0][1], fakes[1][0], atol=1e-3)  # float32 rounding, amplified by 20 steps


def test_seeds_in_several_blocks_equal_seeds_in_one(monkeypatch):
    whole = normal_1d.train(replace(NUMBERS, seeds=4)).game
    monkeypatch.setattr(points, "blocks", lambda config: [slice(0, 2), slice(2, 4)])
    parts = normal_1d.train(replace(NUMBERS, seeds=4)).game
    assert len(whole.games) == 1 and len(parts.games) == 2
    assert np.allclose(whole.sample(60), parts.sample(60), atol=1e-3)
    x = np.zeros((4, 1, 3))
    assert np.allclose(whole.d_logits(x), parts.d_logits(x), atol=1e-3)


def test_batches_are_a_dict_for_each_block_with_real_points_and_random_bits(monkeypatch):
    monkeypatch.setattr(points, "blocks", lambda config: [slice(0, 1), slice(1, 2)])
    gans = ensemble(gradient_penalty=1.0, pack=2, eval_every=6, seed=4)
    first, second = gans.batches(runs.Period(3, 7))
    shapes = {name: tuple(values.shape) for name, values in first.items()}
    assert shapes == {"x": (6, 1, 2, 40), "z": (6, 1, 2, 40), "mix": (6, 1, 1, 20)}  # 20 packs of 2
    chosen = draws.minibatch_indices(500, 5, 3, 4, 40)  # of seed 5
    assert (np.array(second["x"])[:4, 0] == gans.points[1][:, chosen].swapaxes(0, 1)).all()
    for name, stream, shape in (("z", draws.LATENT, (2, 40)), ("mix", draws.MIX, (1, 20))):
        bits = draws.random_bits(5, stream, 3, 4, math.prod(shape))
        assert (np.array(second[name])[:4, 0] == bits.reshape(4, *shape)).all()
    assert not np.array(second["x"])[4:].any()  # a call of 4 steps is filled up to the usual 6
    assert list(gans.batches(runs.Period(0, 0))) == []
    assert "mix" not in next(ensemble().batches(runs.Period(0, 1)))


def test_steps_at_once_are_whole_periods_that_fit_the_cache():
    config = normal_1d.Config()
    assert points.steps_at_once(config, 1) == 400 and points.periods_together(config, 1) == 2  # of 200 steps each
    assert points.steps_at_once(replace(config, eval_every=40), 1) == 400  # of the 500, 10 periods
    assert points.steps_at_once(replace(config, eval_every=700), 1) == 500
    assert points.steps_at_once(replace(config, steps=50), 1) == 50
    assert points.steps_at_once(replace(config, generator_hidden=(8, 200)), 1) == 100  # of milliseconds each
    assert points.steps_at_once(replace(config, seeds=64), 1) == 10_000_000 // (32 * 100 * (4 + 2 * 8))
    assert points.steps_at_once(replace(config, pack=16, eval_samples=160), 1) == 10_000_000 // (
        8 * 1600 * (4 + 2 * 8)
    )
    assert points.periods_together(replace(config, seeds=1000), 1) == 1  # whose fakes take seconds to measure
    assert points.periods_together(replace(PLANE, eval_every=10), 2) == 1


def test_blocks_are_even_and_at_most_64():
    ends = {seeds: [(b.start, b.stop) for b in points.blocks(replace(NUMBERS, seeds=seeds))] for seeds in (7, 16)}
    assert ends == {7: [(0, 7)], 16: [(0, 8), (8, 16)]}
    lengths = [b.stop - b.start for b in points.blocks(replace(NUMBERS, seeds=1000))]
    assert sum(lengths) == 1000 and max(lengths) <= 64 and max(lengths) - min(lengths) <= 1


@pytest.mark.parametrize("seeds", [1, 7, 8, 33, 64, 1000])
@pytest.mark.parametrize(("widest", "at_once"), [(8, 64), (64, 16)])
def test_the_largest_block_is_that_of_the_blocks(seeds, widest, at_once):
    config = replace(normal_1d.Config(), seeds=seeds, generator_hidden=(4, widest))
    blocks = points.blocks(config)
    assert max(block.stop - block.start for block in blocks) == points.largest_block(config) <= at_once


def test_inputs_are_packs_latents_and_mixes_between_0_and_1():
    config = replace(PLANE, gradient_penalty=1.0, pack=2)
    batch = {"x": np.arange(8.0, dtype="f").reshape(2, 4), "z": np.zeros((2, 4), "u2"), "mix": np.zeros((1, 2), "u2")}
    seen = points.inputs(config, batch)
    assert seen["x"].numpy().tolist() == [[0, 1], [4, 5], [2, 3], [6, 7]]
    assert (
        np.allclose(seen["z"], -1, atol=1e-4)
        and np.allclose(seen["mix"], 0, atol=1e-4)
        and (seen["mix"] > 0).numpy().all()
    )


def test_standardised_points_have_mean_0_and_std_1_and_samples_go_back():
    train = targets.points("grid", 500, range(2)).train + 7
    gans = points.Ensemble(PLANE, train)
    assert np.allclose(gans.points.mean(-1), 0, atol=1e-5) and np.allclose(gans.points.std(-1), 1, atol=1e-5)
    np.testing.assert_allclose(gans.points * gans.std + gans.mean, train, atol=1e-5)
    assert gans.points.dtype == np.float32
    plain = points.Ensemble(replace(PLANE, standardise=False), train)
    assert (plain.points == train.astype("f")).all() and (plain.mean == 0).all() and (plain.std == 1).all()


def test_first_weights_are_those_of_their_seed_and_of_the_inits_of_their_network():
    """NumPy's draws in this order: of D, of G, and of G's skip, which makes each number as large as one of z."""
    config = replace(PLANE, discriminator_init="normal", generator_init="small", generator_skip=True, latent_dim=4)
    game, rng = points.new_game(config, range(7, 8), 2), draws.generator(7, draws.WEIGHTS)
    d = [rng.standard_normal(shape) for shape in ((8, 2), (8, 1), (1, 8), (1, 1))]
    g = [scale * rng.standard_normal(s) for s, scale in (((8, 4), 0.01), ((8, 1), 0), ((2, 8), 0.01), ((2, 1), 0))]
    g.append(rng.standard_normal((2, 4), "f") / 2)  # 1 / sqrt(4)
    for player, weights in ((game.discriminator, d), (game.generator, g)):
        for found, expected in zip(player.weights, weights, strict=True):
            np.testing.assert_allclose(found[0], expected, rtol=1e-6)


def test_restored_gans_draw_the_same_samples_without_the_data(tmp_path):
    config = replace(NUMBERS, target_args=(5.0, 2.0))
    trained = normal_1d.train(config, runs.Run(tmp_path)).game
    storage.save_config(tmp_path, "normal_1d", "stable", config)
    again = points.restored(config, runs.Run(tmp_path, reopen=True))
    assert (again.sample(60) == trained.sample(60)).all()
    generate = normal_1d.load_generator(config, runs.Run(tmp_path, reopen=True))
    bits = draws.bits_for_seeds(range(2), draws.EVALUATION, 60, 1, (config.latent_dim, 200))[0]
    assert (generate(bits.swapaxes(1, 2)) == trained.sample(60)[:, 0]).all()


# ---- questions to the networks


@pytest.mark.parametrize(
    ("pack", "loss"),
    [(1, "non_saturating"), (2, "non_saturating"), (4, "non_saturating"), (1, "relativistic_paired")],
)
def test_pushes_are_slopes_of_the_generators_loss(pack, loss):
    """Central differences of -log D by each point; of a packed D in the company of real points."""
    gans = ensemble(pack=pack, loss=loss, discriminator_activation="softplus")
    # a relativistic D compares the k-th point with the k-th training point
    real = gans.d_logits(gans.points[:, :, :6] * gans.std + gans.mean) if loss == "relativistic_paired" else 0
    x = np.random.default_rng(0).normal(size=(2, 2, 6))
    pushes, h = gans.pushes(x), 1e-2
    assert pushes.shape == x.shape
    for axis in range(2):
        ends = []
        for sign in (1, -1):
            moved = x.copy()
            moved[:, axis] += sign * h
            ends.append(np.log1p(np.exp(real - gans.d_logits(moved))))  # G's loss, -log D
        np.testing.assert_allclose(pushes[:, axis], -(ends[0] - ends[1]) / (2 * h), atol=5e-3)


def test_logits_are_of_whole_packs_or_of_points_among_real_ones():
    gans = ensemble(pack=2)
    x = np.random.default_rng(0).normal(size=(2, 2, 6))
    assert gans.d_logits_of_packs(x).shape == (2, 3) and gans.d_logits(x).shape == (2, 6)
    moved = x.copy()
    moved[:, :, 1] += 1.0  # packs are (0, 3), (1, 4), (2, 5)
    assert (gans.d_logits_of_packs(moved) != gans.d_logits_of_packs(x)).tolist() == [[False, True, False]] * 2
    assert (gans.d_logits(moved) != gans.d_logits(x)).tolist() == [[False, True, *[False] * 4]] * 2
    seven = np.concatenate([x, x[:, :, :1]], axis=2)  # the last one fills no pack
    assert (gans.d_logits_of_packs(seven) == gans.d_logits_of_packs(x)).all()


def test_logits_are_those_of_d_on_standardised_points_in_packs_with_real_ones():
    config = replace(PLANE, pack=3, discriminator_activation="tanh")
    gans = points.Ensemble(config, targets.points("grid", 500, range(2)).train + 7)
    x = 7 + np.random.default_rng(0).normal(size=(2, 2, 6))
    company = gans.company(slice(0, 2), 6)[:, 1]  # of the second seed: [8, 4, 6], two points in each pack
    drawn = np.moveaxis(company.reshape(8, 2, 2, 6), 2, 3).reshape(-1, 2)
    assert {*map(tuple, drawn)} <= {*map(tuple, gans.points[1].T)}
    scaled = (x[1] - gans.mean[1]) / gans.std[1]
    w1, b1, w2, b2 = (w.numpy()[1] for w in gans.games[0].discriminator.weights)
    logits = [w2 @ np.tanh(w1 @ np.concatenate([scaled, others]) + b1) + b2 for others in company]
    np.testing.assert_allclose(gans.d_logits(x)[1], np.mean(logits, axis=0)[0], rtol=1e-4, atol=1e-4)


def test_images_of_latents_are_what_fakes_are_made_of():
    gans = ensemble(discriminator_activation="tanh")  # G has its own
    lattice = draws.latent_lattice("uniform", 2, 3, 2)
    found = gans.from_latents(lattice)
    assert found.shape == (2, 2, 25)
    w1, b1, *rest = (w.numpy()[1] for w in gans.games[0].average)
    h = w1 @ lattice + b1
    by_hand = rest[0] @ np.maximum(0.2 * h, h) + rest[1]
    np.testing.assert_allclose(found[1], by_hand * gans.std[1] + gans.mean[1], rtol=1e-4, atol=1e-5)


def test_samples_are_images_of_the_latents_of_their_step():
    gans = ensemble()
    bits = draws.bits_for_seeds(range(2), draws.EVALUATION, 9, 1, (2, 2500))[0]
    z = draws.latents(bits, "uniform").numpy()
    np.testing.assert_allclose(gans.sample(9)[1], gans.from_latents(z[1])[1], rtol=1e-4, atol=1e-5)
    assert (gans.from_bits(bits) == gans.sample(9)).all() and (gans.sample(9) != gans.sample(10)).any()


def test_the_first_seed_alone_answers_as_it_does_among_all():
    gans = ensemble(pack=2)
    x, lattice = np.random.default_rng(0).normal(size=(2, 2, 6)), draws.latent_lattice("uniform", 2, 3, 1)
    alone = gans.alone(0)
    for all_seeds, one in (
        (gans.d_logits(x), alone.d_logits(x[:1])),
        (gans.pushes(x), alone.pushes(x[:1])),
        (gans.from_latents(lattice), alone.from_latents(lattice)),
    ):
        assert len(all_seeds) == 2 and len(one) == 1
        np.testing.assert_allclose(one[0], all_seeds[0], rtol=1e-4, atol=1e-5)
        assert not np.allclose(one[0], all_seeds[1], rtol=1e-3)


def test_a_seed_of_a_later_block_alone_answers_as_it_does_among_all(monkeypatch):
    monkeypatch.setattr(points, "blocks", lambda config: [slice(0, 1), slice(1, 3)])
    gans = points.Ensemble(replace(PLANE, seeds=3), targets.points("ring", 500, range(3)).train)
    x = np.random.default_rng(0).normal(size=(3, 2, 6))
    np.testing.assert_allclose(gans.alone(1).d_logits(x[1:2])[0], gans.d_logits(x)[1], rtol=1e-4, atol=1e-5)


def test_a_skip_adds_a_linear_map_of_the_latents():
    config = replace(PLANE, generator_skip=True)
    gans = points.Ensemble(config, targets.points("ring", 500, range(2)).train)
    z = draws.latent_lattice("uniform", 2, 3, 1)
    *_, skip = (w.numpy() for w in gans.games[0].average)
    assert skip.shape == (2, 2, 2)
    plain = core.mlp(np.float32(np.stack([z, z])), gans.games[0].average[:-1], core.ACTIVATIONS["leaky_relu"]).numpy()
    expected = (plain + skip @ z) * gans.std + gans.mean
    np.testing.assert_allclose(gans.from_latents(z), expected, rtol=1e-4, atol=1e-5)


def test_samples_are_drawn_with_the_average_of_the_weights():
    gans = ensemble()
    before = gans.sample(0)
    for weight in gans.games[0].generator.weights:
        weight.assign_add(weight + 1.0)
    assert (gans.sample(0) == before).all()  # the weights that train do not matter
    for weight in gans.games[0].average:
        weight.assign_add(weight + 1.0)
    assert (gans.sample(0) != before).any()
