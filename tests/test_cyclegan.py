"""CycleGAN: domains, the pool of fakes, the game of its paper, what it learns, the user's own folders, bad input."""

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from helpers import assert_first_gradients, command, one_line, write_pngs
from PIL import Image

import gan_core as core
from experiments import cyclegan
from gan_core import tf
from lab import cli, networks, pictures, runs

SMALL = {
    "steps": 20,
    "eval_every": 10,
    "checkpoint_every": 10,
    "eval_samples": 100,
    "log_samples": 100,
    "batch": 4,
    "width": 4,
}
TINY = cyclegan.Config(data="digits", **SMALL)
FLAGS = [f"{cli.flag(field)}={value}" for field, value in SMALL.items()]


@pytest.fixture(scope="module")
def digits():
    """A and B of the 8x8 digits."""
    return cyclegan.read_domains(TINY, pictures.load("digits"))


# ---- the domains


def test_enlarged_digits_sit_in_the_middle_and_keep_their_brightness():
    digits = np.zeros((2, 8, 8), np.uint8)
    digits[0, 2:6, 2:6] = 200
    digits[1] = 255
    large = cyclegan.enlarged(digits, 28, "mnist")
    assert large.shape == (2, 28, 28) and large.dtype == np.uint8
    assert (large[1, 4:24, 4:24] == 255).all() and large[1].sum() == 255 * 400  # 20 x 20 in the middle
    assert np.abs(large[0].astype(int) - large[0, ::-1, ::-1]).max() <= 1
    assert large[0].mean() / digits[0].mean() == pytest.approx((20 / 28) ** 2, rel=0.05)
    whole = cyclegan.enlarged(digits, 28, "none")
    assert (whole[1] == 255).all() and whole[0].mean() == pytest.approx(digits[0].mean(), rel=0.05)
    assert (cyclegan.enlarged(digits, 8, "none") == digits).all()


def test_train_images_limits_the_images_of_data_alone(digits):
    a, b = cyclegan.read_domains(replace(TINY, train_images=7), pictures.load("digits"))
    assert len(b.train) == 7 and len(a.train) == 1437 and (a.test == digits[0].test).all()


# ---- the pool


def pool_and_fakes():
    pool = tf.Variable(tf.zeros((cyclegan.POOL, 1, 1, 1)))
    return pool, lambda *values: tf.reshape(tf.constant(values, tf.float32), (-1, 1, 1, 1))


def test_pool_fills_up_and_shows_what_comes_meanwhile():
    pool, fakes = pool_and_fakes()
    for step in range(25):
        new, slots, old = fakes(2 * step, 2 * step + 1), tf.constant([7, 8]), tf.constant([True] * 2)
        shown = cyclegan.pooled(pool, new, slots, old, 2 * step)
        assert shown.numpy().ravel().tolist() == [2 * step, 2 * step + 1]
    assert pool.numpy().ravel().tolist() == list(range(50))


def test_in_the_batch_that_fills_the_pool_all_fakes_are_shown_and_none_is_lost():
    """Fakes 48 to 63, of which the first two fill the pool; slots 48 and 49 are among those of the others."""
    pool, fakes = pool_and_fakes()
    pool.assign(np.r_[np.arange(1.0, 49), 0, 0].reshape(50, 1, 1, 1))
    slots = tf.constant([3, 7, 48, 49, *range(20, 32)])
    new = fakes(*range(100, 116))
    shown = cyclegan.pooled(pool, new, slots, tf.constant([True] * 16), tf.constant(48))
    np.testing.assert_array_equal(shown, new)
    np.testing.assert_array_equal(pool.numpy().ravel(), [*range(1, 49), 100, 101])


def test_full_pool_swaps_old_fakes_for_new_ones_where_told():
    pool, fakes = pool_and_fakes()
    pool.assign(tf.reshape(tf.range(50, dtype=tf.float32), (50, 1, 1, 1)))
    slots, old = tf.constant([4, 30, 9]), tf.constant([True, False, True])
    shown = cyclegan.pooled(pool, fakes(100, 101, 102), slots, old, 200)
    assert shown.numpy().ravel().tolist() == [4, 101, 9]
    now = pool.numpy().ravel()
    assert (now[[4, 30, 9]] == [100, 30, 102]).all()
    assert (np.delete(now, [4, 9]) == np.delete(np.arange(50), [4, 9])).all()


def test_slots_are_never_the_same_within_a_batch(digits):
    batch = next(cyclegan.draw_batches(replace(TINY, batch=50), *digits, runs.Period(0, 3)))
    assert (np.sort(batch["slots"]) == np.arange(50)).all()
    assert 0.35 < np.mean(batch["old"]) < 0.65


def test_batches_do_not_depend_on_how_many_are_drawn_at_once_and_orders_differ(digits):
    whole = list(cyclegan.draw_batches(TINY, *digits, runs.Period(0, 60)))
    assert [len(batch["a"]) for batch in whole] == [50, 10]
    part = next(cyclegan.draw_batches(TINY, *digits, runs.Period(47, 49)))
    assert all(np.array_equal(part[name], whole[0][name][47:49]) for name in part)
    assert not np.array_equal(whole[0]["a"], whole[0]["b"])  # both domains are the same digits here
    many = pictures.Split(np.arange(48, dtype=np.uint8).reshape(48, 1, 1, 1), None, None, "many")
    few = many._replace(train=many.train[:8])
    epoch = next(cyclegan.draw_batches(TINY, few, many, runs.Period(0, 12)))  # 12 batches of 4
    assert len(np.unique(epoch["a"])) == 8 and len(np.unique(epoch["b"])) == 48  # each domain as far as it reaches
    large = [pictures.Split(np.zeros((2, 256, 256, 3), np.uint8), None, None, "large")] * 2
    few = next(cyclegan.draw_batches(replace(TINY, batch=16), *large, runs.Period(0, 60)))
    assert few["a"].shape[0] == 21  # of large images fewer, so that they fit the memory


# ---- the game


def test_one_step_moves_every_weight_of_every_network(digits):
    game = cyclegan.new_game(TINY, (8, 8, 1))
    weights = [w for domain in game[:2] for player in domain[:2] for w in player.weights]
    before = [w.numpy() for w in weights]
    loop = core.compiled_loop(lambda game, batch: cyclegan.adversarial_step(game, TINY, batch), jit_compile=False)
    losses = loop(game, next(cyclegan.draw_batches(TINY, *digits, runs.Period(0, 2)))).numpy()
    assert losses.shape == (2, len(cyclegan.LOGGED)) and np.isfinite(losses).all()
    assert all((old != new.numpy()).any() for old, new in zip(before, weights, strict=True))


def test_step_plays_the_game_of_its_paper(digits):
    """Both G: least squares against D, 10 times the cycles, 5 times the identities; then each D, on those fakes."""
    batch = {
        name: values[0] for name, values in next(cyclegan.draw_batches(TINY, *digits, runs.Period(0, 1))).items()
    }
    game, plain = (cyclegan.new_game(TINY, (8, 8, 1)) for _ in range(2))
    found = cyclegan.adversarial_step(game, TINY, batch)
    a, b = (tf.cast(batch[k], tf.float32) / 127.5 - 1 for k in "ab")
    g_a, d_a, g_b, d_b = (
        getattr(domain, kind).weights for domain in plain[:2] for kind in ("generator", "discriminator")
    )
    unet, patchgan = networks.unet, networks.patchgan
    with tf.GradientTape() as tape:
        to_b, to_a = unet(a, g_b), unet(b, g_a)
        loss = tf.reduce_mean((patchgan(to_b, d_b) - 1) ** 2 / 2) + tf.reduce_mean((patchgan(to_a, d_a) - 1) ** 2 / 2)
        cycle = tf.reduce_mean(tf.abs(unet(to_b, g_a) - a)) + tf.reduce_mean(tf.abs(unet(to_a, g_b) - b))
        identity = tf.reduce_mean(tf.abs(unet(b, g_b) - b)) + tf.reduce_mean(tf.abs(unet(a, g_a) - a))
        total = loss + 10 * cycle + 5 * identity
    np.testing.assert_allclose(found[2:], [loss, cycle / 2, identity / 2], rtol=1e-4)  # of pixels in [0, 1]
    of_a, of_b = tape.gradient(total, (g_a, g_b))
    assert_first_gradients(game.a.generator, of_a)
    assert_first_gradients(game.b.generator, of_b)
    for domain, d, real, fake, d_loss in ((game.a, d_a, a, to_a, found[0]), (game.b, d_b, b, to_b, found[1])):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean((patchgan(real, d) - 1) ** 2 + patchgan(fake, d) ** 2) / 2
        assert_first_gradients(domain.discriminator, tape.gradient(loss, d))
        np.testing.assert_allclose(d_loss, loss, rtol=1e-4)
        np.testing.assert_allclose(domain.pool[:4], fake, atol=1e-5)


# ---- learning and measuring


def test_training_comes_back_to_where_it_started():
    """Seeds 0 to 3: cycle distances .09 to .10 after 150 steps, .38 to .49 at first."""
    config = replace(TINY, steps=150, eval_every=150, batch=8, width=8, learning_rate=2e-3)
    first, last = cyclegan.train(config).run.records
    assert last["cycle_a"] < 0.4 * first["cycle_a"] and last["cycle_b"] < 0.4 * first["cycle_b"]


def test_classifier_recognises_domain_a_and_its_floor_is_domain_b(digits):
    a, b = digits
    trained = cyclegan.train(replace(TINY, steps=10))
    trained = trained._replace(real=(a, b._replace(test=np.zeros_like(b.test))))
    scores = cyclegan.measure(trained, cyclegan.translator(), 200)
    assert scores["accuracy_untranslated"] > 0.95 and scores["accuracy_floor"] < 0.3
    assert scores["cycle_a"] > 0 and scores["cycle_a"] != scores["cycle_b"]


def test_result_holds_every_number_beside_its_floor():
    result = cyclegan.evaluate(cyclegan.train(replace(TINY, steps=2, eval_every=2)))
    for key in ("cycle_a", "cycle_b", "accuracy", "frechet_digit_distance"):
        assert np.isfinite(result[key]) and np.isfinite(result[f"{key}_floor"])
    assert result["cycle_a_floor"] == result["cycle_b_floor"] == 0 and result["accuracy_floor"] > 0.95
    assert 0 < result["frechet_digit_distance_floor"] < result["frechet_digit_distance"]  # other real digits
    assert set(result["parameters"]) == {"generator_a", "discriminator_a", "generator_b", "discriminator_b"}


def test_translations_do_not_depend_on_how_many_there_are(digits):
    game, translate = cyclegan.new_game(TINY, (8, 8, 1)), cyclegan.translator()
    weights, x = game.b.generator.weights, pictures.as_pixels(digits[0].test[:9])
    y = translate(weights, x)
    np.testing.assert_allclose(y[:4], translate(weights, x[:4]), atol=1e-6)
    assert y.shape == x.shape and y.dtype == np.float32 and y.min() >= 0 and y.max() <= 1
    np.testing.assert_allclose(y, (networks.unet(2 * x - 1, weights) + 1) / 2, atol=1e-6)  # it sees -1 to 1


# ---- the user's own folders


def test_own_colour_images_train_without_a_classifier(tmp_path, capsys):
    a, b = (write_pngs(tmp_path / k, 12, 16, 12, "RGB", seed) for seed, k in enumerate("ab"))
    assert command(cyclegan, *FLAGS, "--domain-a", a, "--domain-b", b, "--out", tmp_path / "run") == 0
    screen = capsys.readouterr().out
    assert "a: 11 images to train on, 1 held out, 12 x 16, in colour" in screen and "b: 11 images" in screen
    assert "recognised" not in screen
    with Image.open(tmp_path / "run" / "samples" / "00000010.png") as picture:
        assert picture.mode == "RGB"
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    assert result["data"] == "a to b" and "accuracy" not in result and np.isfinite(result["cycle_a"])


def test_domains_may_hold_different_numbers_of_images(tmp_path, capsys):
    a, b = write_pngs(tmp_path / "a", 40, 8, 8), write_pngs(tmp_path / "b", 20, 8, 8, seed=1)
    assert command(cyclegan, *FLAGS, "--domain-a", a, "--domain-b", b, "--out", tmp_path / "run") == 0
    screen = capsys.readouterr().out
    assert "a: 36 images to train on, 4 held out, 8 x 8, grey" in screen and "b: 18 images" in screen
    with Image.open(tmp_path / "run" / "figures" / "cycles.png") as picture:
        assert picture.width < picture.height / 2  # two columns, as many as both have, of six rows


@pytest.mark.parametrize(
    "flags, words",
    [
        (["--domain-a={square}", "--domain-b={empty}"], ["--domain-b", "empty", "no PNG"]),
        (["--domain-a={square}", "--domain-b={uneven}"], ["--domain-b", "10 x 4 pixels", "4 divides"]),
        (["--domain-a={square}", "--domain-b={wide}"], ["--domain-b", "4 x 16 x 1", "4 x 4 x 1"]),
    ],
)
def test_bad_input_is_one_line_and_leaves_no_folder(flags, words, tmp_path, capsys):
    sizes = {"square": (4, 4), "uneven": (4, 10), "wide": (4, 16)}
    folders = {name: write_pngs(tmp_path / name, 4, *size) for name, size in sizes.items()}
    folders["empty"] = tmp_path / "empty"
    folders["empty"].mkdir()
    assert command(cyclegan, *[flag.format(**folders) for flag in flags], "--out", tmp_path / "run") == 2
    line = one_line(capsys)
    assert all(word in line for word in words), line
    assert not (tmp_path / "run").exists()


def one_batch(digits):
    return {name: values[0] for name, values in next(cyclegan.draw_batches(TINY, *digits, runs.Period(0, 1))).items()}


def test_d_learns_from_the_fakes_of_the_pool(digits):
    batch, game = one_batch(digits), cyclegan.new_game(TINY, (8, 8, 1))
    game.step.assign(52)  # at least 52 fakes so far: both pools are full
    game.b.pool.assign(tf.random.stateless_uniform(game.b.pool.shape, (0, 0), -1, 1))
    shown, d = tf.gather(game.b.pool, batch["slots"][1]), [tf.identity(w) for w in game.b.discriminator.weights]
    cyclegan.adversarial_step(game, TINY, batch | {"old": tf.constant([[False] * 4, [True] * 4])})  # of A, of B
    with tf.GradientTape() as tape:
        tape.watch(d)
        real = networks.patchgan(networks.to_network(batch["b"]), d)
        loss = tf.reduce_mean((real - 1) ** 2 + networks.patchgan(shown, d) ** 2) / 2
    assert_first_gradients(game.b.discriminator, tape.gradient(loss, d))


def test_rates_fall_from_half_way_on_and_end_at_0(digits, monkeypatch):
    factors = []
    monkeypatch.setattr(networks, "fused_adam_update", lambda *args: factors.append(float(args[-1])))
    batch, game = one_batch(digits), cyclegan.new_game(TINY, (8, 8, 1))
    for _ in range(4):
        cyclegan.adversarial_step(game, replace(TINY, steps=4), batch)
    assert factors == [1] * 8 + [0.5] * 4 + [0] * 4  # four players a step


def test_numbers_are_of_the_translations_to_b_and_the_floor_is_of_b():
    """G changes nothing and F inverts. Training images of A are light, those of B dark, held-out ones reversed."""
    rng = np.random.default_rng(0)
    dark, light = (rng.integers(*ends, (2, 40, 4, 4, 1), dtype=np.uint8) for ends in ((0, 60), (200, 256)))
    a = pictures.Split(light[0], dark[0], np.zeros(40, int), "a")
    b = pictures.Split(dark[1], light[1], np.ones(40, int), "b")
    scorer = SimpleNamespace(classify=lambda x: (np.eye(2)[(x[:, 0, 0] > 0.5).astype(int)], x[:, 0]))
    f, g = (SimpleNamespace(generator=SimpleNamespace(weights=name)) for name in "FG")
    trained = runs.Trained(TINY, (a, b), SimpleNamespace(a=f, b=g), None, scorer)
    found = cyclegan.measure(trained, lambda weights, x: x if weights == "G" else 1 - x, 40)
    assert found["frechet_digit_distance"] == found["frechet_digit_distance_untranslated"]
    assert found["frechet_digit_distance_floor"] > 1  # 2.4: dark against light; of A's images .002
    for name, domain in (("cycle_a", a), ("cycle_b", b)):
        assert found[name] == pytest.approx(np.abs(1 - 2 * pictures.as_pixels(domain.test)).mean(), rel=1e-5)
    assert found["accuracy"] == found["accuracy_untranslated"] == found["accuracy_floor"] == 1
