"""Stacked MNIST on the 8x8 digits: triples, packing, both networks, modes counted by hand, floors."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from scipy import stats
from scipy.special import xlogy

import gan_core as core
import metrics
from experiments import mnist_dcgan as dcgan
from experiments import stacked_mnist as stacked
from gan_core import tf
from lab import draws, files, networks, pictures, runs, storage

SIDE = 8
CONFIG = stacked.Config(
    network="dcgan",
    discriminator_norm="batch",
    data="digits",
    steps=4,
    eval_every=2,
    checkpoint_every=2,
    eval_samples=1000,
    log_samples=1000,
    batch=8,
)
NETWORKS = ["dcgan", "alike"]


@pytest.fixture(scope="module")
def real():
    return pictures.load("digits")


def copies(game):
    return [v.numpy() for v in tf.nest.flatten(game)]


def batches(config, real, first=0, count=1):
    """The batches of so many steps, at most 50."""
    triples = pictures.random_triples(config.stacked_images, len(real.train), config.seed)
    return next(stacked.draw_batches(config, triples, SIDE, runs.Period(first, first + count)))


def one_batch(config, real):
    return {name: values[0] for name, values in batches(config, real).items()}


def first_step(config, real, game):
    """Both losses of the game's first step."""
    losses = stacked.adversarial_step(game, config, tf.constant(real.train), one_batch(config, real))
    return [float(loss) for loss in losses]


# ---- the real images


@pytest.mark.parametrize("network", NETWORKS)
def test_batches_hold_the_digits_of_their_triples(real, network):
    """What the step trains on, channel by channel, is the training image of the drawn index."""
    config = replace(CONFIG, network=network, stacked_images=50)
    drawn = np.asarray(batches(config, real, 0, 7)["triples"])  # [7, pack, B, 3]
    for name, values in batches(config, real, 4, 3).items():  # a function of the step, as resuming needs
        np.testing.assert_array_equal(values, batches(config, real, 0, 7)[name][4:])
    z = draws.random_bits(config.seed, draws.LATENT, 4, 3, 8 * 100)  # a stream that is never evaluated on
    np.testing.assert_array_equal(batches(config, real, 4, 3)["z"], z.reshape(3, 1, 8, 100))
    triples = pictures.random_triples(50, len(real.train), config.seed)
    assert drawn.shape == (7, 1, 8, 3) and {tuple(t) for t in drawn.reshape(-1, 3)} == set(map(tuple, triples))
    colour = stacked.stacked(tf.constant(real.train), drawn[0, 0]).numpy()
    assert colour.shape == (8, 8, 8, 3) and colour.dtype == np.uint8
    for image, triple in zip(colour, drawn[0, 0], strict=True):
        for channel in range(3):
            np.testing.assert_array_equal(image[..., channel], real.train[triple[channel]])


def test_classifier_reads_the_triples_that_were_stacked(real):
    """Each channel at its own place: hundreds, tens, ones."""
    triples = pictures.random_triples(1000, len(real.train), 5)
    pixels = pictures.as_pixels(stacked.stacked(tf.constant(real.train), triples).numpy())
    scorer = stacked.Scorer(real, CONFIG)
    found = scorer.final(pixels)
    labels = real.train_labels[triples].astype(int)
    expected = np.bincount(labels @ [100, 10, 1], minlength=1000)
    counts, probabilities, features = scorer.read(pixels)
    assert np.abs(counts - expected).sum() < 0.1 * 2 * 1000  # the classifier is wrong on few digits
    assert probabilities.shape == (3000, 10) and features.shape == (3000, 64)
    assert found["kl"] == metrics.uniform_kl(counts)
    assert found["modes"] == np.count_nonzero(counts)
    assert found["modes_by_count"] == {str(k): np.count_nonzero(counts == k) for k in np.unique(counts)}


def test_recipe_dcgan_has_the_settings_of_pacgan():
    published = {
        "stacked_images": 128_000,
        "network": "dcgan",
        "latent_dim": 100,
        "generator_maps": (128, 128, 64),
        "discriminator_maps": (32, 64, 128, 256),
        "discriminator_norm": "batch",
        "momentum": 0.8,
        "loss": "non_saturating",
        "r1": 0.0,
        "dropout": 0.0,
        "steps": 14_000,
        "batch": 64,
        "learning_rate": 2e-4,
        "schedule": "constant",
        "beta1": 0.5,
        "beta2": 0.999,
        "average": 0.0,
        "eval_samples": 26_000,
    }
    assert vars(stacked.DCGAN) == vars(stacked.DCGAN) | published


# ---- packing


def test_images_of_a_pack_are_joined_along_their_channels():
    x = tf.reshape(tf.range(4 * 2 * 2 * 3.0), (4, 2, 2, 3))
    seen = core.packed(x, 2, 0, 3).numpy()
    np.testing.assert_array_equal(seen[0], np.concatenate([x[0], x[2]], axis=-1))
    np.testing.assert_array_equal(seen[1], np.concatenate([x[1], x[3]], axis=-1))


def test_d_of_the_dcgan_sees_pairs_side_by_side(real):
    """D's loss is that of images which NumPy puts side by side."""
    config = replace(CONFIG, pack=2)
    game = stacked.new_game(config, SIDE)
    assert game.discriminator.weights[0].shape == (3, 3, 6, 32) and game.generator.weights[-1].shape == (3,)
    batch = one_batch(config, real)
    triples, bits = (np.concatenate(batch[name]) for name in ("triples", "z"))  # [2, 8, n] -> [16, n]
    colour = stacked.stacked(tf.constant(real.train), triples).numpy()
    fakes = networks.dcgan_generator(draws.latents(bits, "normal"), game.generator.weights)[0].numpy()
    glued = [np.concatenate([x[:8], x[8:]], axis=-1) for x in (colour / 127.5 - 1, fakes)]
    assert glued[0].shape == (8, 8, 8, 6)  # 8 pairs
    logits = [networks.dcgan_discriminator(tf.constant(x, tf.float32), game.discriminator.weights) for x in glued]
    expected = tf.reduce_mean(core.LOSSES[config.loss].d(*logits))
    np.testing.assert_allclose(first_step(config, real, game)[0], expected, rtol=1e-4)


def test_a_d_that_reads_channels_alike_joins_them_late():
    """Channels in another order, and the last kernel's blocks as well: the same logits."""
    config = replace(CONFIG, network="alike", discriminator_norm="none", pack=2)
    weights = [w.numpy() for w in stacked.new_game(config, SIDE).discriminator.weights]
    assert [w.shape for w in weights[::2]] == [
        (3, 3, i, o) for i, o in ((1, 32), (32, 64), (64, 128), (768, 256))
    ] + [(256, 1)]
    x = tf.random.stateless_normal((3, 8, 8, 6), (0, 0)).numpy()
    logits = stacked.alike_discriminator(tf.constant(x), weights)
    order = [5, 0, 3, 1, 4, 2]
    blocks = weights[6].reshape(3, 3, 6, 128, 256)
    weights[6] = blocks[:, :, order].reshape(weights[6].shape)
    same = stacked.alike_discriminator(tf.constant(x[..., order]), weights)
    np.testing.assert_allclose(same, logits, rtol=1e-4, atol=1e-6)
    other = stacked.alike_discriminator(tf.constant(x), weights)
    assert np.abs(other - logits).max() > 1e-3


def test_a_d_that_reads_one_channel_alike_is_the_dcgans():
    d = stacked.alike_discriminator_weights(np.random.default_rng(0), SIDE, 1, CONFIG.discriminator_maps, norm=True)
    plain = networks.dcgan_discriminator_weights(np.random.default_rng(0), SIDE, 1, CONFIG.discriminator_maps)
    for a, b in zip(d, plain, strict=True):
        np.testing.assert_array_equal(a, b)
    x = tf.random.stateless_normal((3, 8, 8, 1), (0, 0))
    np.testing.assert_array_equal(stacked.alike_discriminator(x, d), networks.dcgan_discriminator(x, plain))


def test_each_colour_of_a_g_that_draws_colours_alike_is_a_grey_image_of_the_dcgan():
    """Its dense layer has a part for each colour, and all other weights are shared."""
    game = stacked.new_game(replace(CONFIG, network="alike"), SIDE)
    weights, statistics = [w.numpy() for w in game.generator.weights], game.generator_statistics
    z = tf.random.stateless_normal((5, CONFIG.latent_dim), (0, 0))
    images, _ = stacked.alike_generator(z, weights, statistics)
    size = weights[0].shape[1] // 3
    assert images.shape == (5, SIDE, SIDE, 3) and size == (SIDE // 4) ** 2 * CONFIG.generator_maps[0]
    for colour in range(3):
        part = slice(colour * size, (colour + 1) * size)
        grey, _ = networks.dcgan_generator(z, [weights[0][:, part], weights[1][part], *weights[2:]], statistics)
        np.testing.assert_allclose(images[..., colour], grey[..., 0], atol=1e-6)
    assert np.abs(images[..., 0] - images[..., 1]).max() > 0.01


@pytest.mark.parametrize("settings", [{}, {"dropout": 0.25}, {"r1": 2.0, "loss": "relativistic_paired"}], ids=str)
def test_one_colour_and_a_pack_of_one_are_the_dcgan(real, settings, monkeypatch):
    """Two steps of mnist_dcgan on the same images, bit for bit: the second has other factors of rate and R1."""
    monkeypatch.setattr(stacked, "COLOURS", 1)
    config = replace(CONFIG, **settings)
    shared = {name: value for name, value in vars(config).items() if hasattr(dcgan.Config, name)}
    plain = dcgan.Config(**shared, categories=0)
    ours, theirs = stacked.new_game(config, SIDE), dcgan.new_game(plain, SIDE)
    for step in range(2):
        batch = {name: values[step] for name, values in batches(config, real, count=2).items()}
        triples, z = np.asarray(batch.pop("triples"))[..., :1], batch["z"]  # [1, B, 1], [1, B, Z]: packs of one
        loss = stacked.adversarial_step(ours, config, tf.constant(real.train), batch | {"triples": triples})
        images = tf.constant(real.train[triples[0, :, 0]])
        plain_loss = dcgan.adversarial_step(theirs, plain, batch | {"x": images, "z": z[0]})
        np.testing.assert_array_equal(loss, plain_loss)
    assert all((a == b).all() for a, b in zip(copies(ours), copies(theirs), strict=True))


@pytest.mark.parametrize("loss", ["wasserstein", "relativistic_average"])
def test_other_losses_play_with_packs_and_masks(real, loss):
    config = replace(CONFIG, loss=loss, pack=3, dropout=0.25, steps=2)
    game = stacked.new_game(config, SIDE)
    before = copies([game.generator.weights, game.discriminator.weights[:-1]])  # D's last bias has no gradient
    assert np.isfinite(first_step(config, real, game)).all()
    after = copies([game.generator.weights, game.discriminator.weights[:-1]])
    assert all((a != b).any() for a, b in zip(before, after, strict=True))


# ---- fakes


@pytest.mark.parametrize("network", NETWORKS)
def test_fakes_are_images_in_colour(network):
    config = replace(CONFIG, network=network)
    game, bits = stacked.new_game(config, SIDE), draws.latent_bits(3, 40, CONFIG.latent_dim)
    fakes = stacked.generator(config, game)(bits)
    assert fakes.shape == (40, 8, 8, 3) and fakes.min() >= 0 and fakes.max() <= 1
    assert np.ptp(fakes[..., 0] - fakes[..., 1]) > 0
    count = len(game.generator.weights)  # of the average; G's statistics follow
    z = draws.latents(bits, "normal")
    images, _ = stacked.GENERATORS[network](z, game.average[:count], game.average[count:])
    np.testing.assert_allclose(fakes, (images + 1) / 2, atol=1e-5)


# ---- the floors


def test_floors_stand_beside_the_numbers(real):
    floors = stacked.Scorer(real, CONFIG).floors(1000)
    counts = np.arange(1001)  # of one mode among 1000 triples; E sum p ln(1000 p) = E count ln count: .573
    perfect = stats.binom.pmf(counts, 1000, 1 / 1000) @ xlogy(counts, counts)
    assert floors["kl_floor"] == pytest.approx(perfect, abs=0.005)
    assert floors["modes_floor"] == pytest.approx(1000 * (1 - 0.999**1000))
    assert floors["kl_real"] == pytest.approx(floors["kl_floor"], abs=4 * 0.013)  # one draw; standard deviation .013
    assert floors["confident_share_floor"] > 0.8 and 0 < floors["frechet_digit_distance_floor"] < 5


def test_collapse_shows(real):
    triples = pictures.random_triples(1000, len(real.train), 1)
    grey = stacked.stacked(tf.constant(real.train), np.repeat(triples[:, :1], 3, axis=1)).numpy()
    few = stacked.Scorer(real, CONFIG).log(pictures.as_pixels(grey))  # three equal digits: 10 modes
    assert few["modes"] <= 12 and few["kl"] == pytest.approx(np.log(100), abs=0.1) and "modes_by_count" not in few


# ---- a whole run


@pytest.mark.parametrize("network", NETWORKS)
def test_run_with_pairs_counts_modes_and_draws_in_colour(network, tmp_path):
    config = replace(CONFIG, network=network, pack=2)
    trained = stacked.train(config, runs.Run(tmp_path))
    log = storage.read_log(tmp_path)
    assert [record["step"] for record in log] == [0, 2, 4]
    assert {"discriminator_loss", "modes", "modes_floor", "kl", "kl_floor", "kl_real"} <= set(log[-1])
    result = stacked.evaluate(trained)
    assert (result["network"], result["pack"], result["eval_samples"]) == (network, 2, 1000)
    for key in ("modes", "kl", "confident_share", "frechet_digit_distance"):
        assert np.isfinite(result[key]) and np.isfinite(result[f"{key}_floor"])
    assert 0 < result["modes"] <= 1000 and np.isfinite(result["kl_real"])
    assert result["headline"].startswith(f"{result['modes']} of 1000 modes, KL {result['kl']:.4f}")
    modes = result["modes_by_count"]
    assert sum(modes.values()) == 1000 and sum(int(k) * n for k, n in modes.items()) == 1000
    weights = trained.game.generator.weights + trained.game.generator_statistics
    assert result["parameters"]["generator"] == sum(int(np.prod(w.shape)) for w in weights)
    stacked.figures(trained, result, tmp_path / "figures")
    with Image.open(tmp_path / "figures" / "samples.png") as picture:
        assert picture.mode == "RGB"
    loaded = stacked.load_generator(config, runs.Run(tmp_path, reopen=True))
    bits = draws.latent_bits(3, 12, config.latent_dim)
    np.testing.assert_array_equal(loaded(bits), stacked.generator(config, trained.game)(bits))


def test_images_that_are_not_square_are_refused(tmp_path):
    pixels, labels = np.arange(4 * 8 * 20, dtype=np.uint16).astype(np.uint8).reshape(20, 4, 8), np.arange(20) % 10
    np.savez(tmp_path / "wide.npz", x_train=pixels, y_train=labels, x_test=pixels, y_test=labels)
    with pytest.raises(files.BadInput, match="wide.npz: .*4 x 8 pixels.*square"):
        stacked.train(replace(CONFIG, data=str(tmp_path / "wide.npz")))
