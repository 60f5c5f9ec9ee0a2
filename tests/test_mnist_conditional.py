"""The conditional GAN: labels reach both players and have the frequencies of real ones; trained, it draws them."""

from dataclasses import replace

import numpy as np
import pytest

from experiments import mnist_conditional as conditional
from experiments import mnist_dcgan as dcgan
from gan_core import tf
from lab import draws, image_metrics, networks, pictures, runs

CONFIG = conditional.Config(
    data="digits", batch=8, steps=40, eval_every=40, checkpoint_every=40, eval_samples=300, log_samples=100
)


@pytest.fixture(scope="module")
def real():
    return pictures.load("digits")


def test_digits_have_the_class_frequencies_and_do_not_depend_on_how_many_are_drawn():
    frequencies = np.array([0.3, 0, 0.1, 0.05, 0.05, 0.1, 0.1, 0.1, 0.1, 0.1])
    many = conditional.digits_by_frequency(frequencies, 1000)
    np.testing.assert_allclose(np.bincount(many, minlength=10) / 1000, frequencies, atol=0.005)  # chance alone: .014
    assert (conditional.digits_by_frequency(frequencies, 100) == many[:100]).all()
    assert (conditional.digits_by_frequency(frequencies[::-1], 1000) != 8).all()
    # the first sample is at 0, where digit 0 has no part
    assert conditional.digits_by_frequency(np.roll(frequencies, -1), 1)[0] == 1


def test_rows_of_a_sheet_hold_one_digit_each():
    assert (conditional.digits_by_row(100).reshape(10, 10) == np.arange(10)[:, None]).all()


def test_pictures_of_training_and_of_copies_show_every_digit(tmp_path, monkeypatch):
    asked = []

    def new_generator(*_):
        def generate(bits, digits=None):
            asked.append(digits)
            return np.random.default_rng(0).random((len(bits), 8, 8))

        return generate

    def keep(run, period, images):
        assert set(asked[-1][:10]) == set(range(10))  # the columns of strip.png
        kept.append(period.last)

    def drawn(folder, samples, snapshots, between, copies, rows):
        digits = [asked[-2][(samples == image).all((1, 2))].item() for image in copies[0]]
        assert sorted(digits) == sorted([*range(10)] * 2) and copies[1].shape == copies[0].shape

    kept = []
    monkeypatch.setattr(conditional, "generator", new_generator)
    monkeypatch.setattr(conditional.sheets, "keep", keep)
    monkeypatch.setattr(conditional.sheets, "figures", drawn)
    trained = conditional.train(CONFIG)
    assert kept == [0, 40]
    conditional.figures(trained, {}, tmp_path)


def test_label_reaches_both_players_and_nothing_else_changes():
    label = tf.one_hot([3, 5], 10)
    x, bits = tf.random.stateless_normal((2, 8, 8, 1), (0, 1)), tf.constant([[0, 65535], [32768, 1]], tf.uint16)
    seen = conditional.with_label(x, label).numpy()
    assert seen.shape == (2, 8, 8, 11) and (seen[..., :1] == x.numpy()).all()
    assert (seen[0, ..., 4] == 1).all() and (seen[1, ..., 6] == 1).all() and seen[..., 1:].sum() == 2 * 64
    z = conditional.generator_inputs(bits, label).numpy()
    assert (z[:, 2:] == label.numpy()).all() and (z[:, :2] == draws.latents(bits, "normal").numpy()).all()


@pytest.mark.parametrize("settings", [{}, {"dropout": 0.25}, {"r1": 2.0, "loss": "relativistic_paired"}], ids=str)
def test_without_its_label_the_step_is_that_of_the_dcgan(real, settings, monkeypatch):
    """Two steps: the second has other factors of the learning rate and of R1."""
    config = replace(CONFIG, **settings)
    batches = next(conditional.draw_batches(config, real, runs.Period(0, 2)))
    plain = dcgan.Config(**vars(config), categories=0)
    ours, theirs = (dcgan.new_game(plain, 8) for _ in range(2))
    monkeypatch.setattr(conditional, "with_label", lambda x, label: x)
    monkeypatch.setattr(conditional, "generator_inputs", lambda bits, label: draws.latents(bits, "normal"))
    for step in range(2):
        batch = {name: values[step] for name, values in batches.items()}
        losses = conditional.adversarial_step(ours, config, batch), dcgan.adversarial_step(theirs, plain, batch)
        np.testing.assert_array_equal(*losses)
    for a, b in zip(tf.nest.flatten(ours), tf.nest.flatten(theirs), strict=True):
        np.testing.assert_array_equal(a, b)


def test_fakes_of_a_step_have_the_labels_of_its_real_images(real, monkeypatch):
    seen = []
    inputs, channels = conditional.generator_inputs, conditional.with_label
    monkeypatch.setattr(conditional, "generator_inputs", lambda z, label: seen.append(label) or inputs(z, label))
    monkeypatch.setattr(conditional, "with_label", lambda x, label: seen.append(label) or channels(x, label))
    batch = {k: v[0] for k, v in next(conditional.draw_batches(CONFIG, real, runs.Period(0, 1))).items()}
    conditional.adversarial_step(conditional.new_game(CONFIG, 8), CONFIG, batch)
    assert len(seen) == 4 and all((label == np.eye(10)[batch["label"]]).numpy().all() for label in seen)


def test_batches_pair_each_image_with_its_label(real):
    batch = next(conditional.draw_batches(CONFIG, real, runs.Period(3, 5)))
    assert batch["x"].shape == (2, 8, 8, 8)
    places = {image.tobytes(): label for image, label in zip(real.train, real.train_labels, strict=True)}
    for image, label in zip(np.reshape(batch["x"], (-1, 8, 8)), np.ravel(batch["label"]), strict=True):
        assert places[image.tobytes()] == label


def test_class_frequencies_are_those_of_the_training_images_and_are_kept_with_the_run(real, tmp_path):
    """A generator that is loaded without the data draws each digit as often, or the digits that it is asked for."""
    few = replace(CONFIG, train_images=100, steps=2, eval_every=2)
    trained = conditional.train(few, runs.Run(tmp_path))
    expected = np.bincount(real.train_labels[:100], minlength=10) / 100
    np.testing.assert_allclose(trained.run.data["class_frequencies"], expected, rtol=1e-6)
    loaded = conditional.load_generator(few, runs.Run(tmp_path, reopen=True))
    bits = draws.latent_bits(0, 20, few.latent_dim)
    asked = conditional.digits_by_frequency(expected, 20)
    np.testing.assert_array_equal(loaded(bits), conditional.generator(few, trained.game, expected)(bits, asked))
    assert np.abs(loaded(bits, np.full(20, 1)) - loaded(bits, np.full(20, 7))).max() > 0


def test_asked_digits_are_drawn_after_training():
    """Seeds 0 to 3 gave an agreement of .85 to .93 after 400 steps; chance is .1."""
    config = replace(CONFIG, steps=400, eval_every=400, batch=32, average=0.9)
    trained = conditional.train(config)
    result = conditional.evaluate(trained)
    assert result["agreement"] > 0.6 and result["agreement_floor"] > 0.97
    features, labels = trained.scorer.features, trained.real.test_labels
    sets = [features[labels == k] for k in range(10)]
    # of real digits of two kinds
    apart = [image_metrics.frechet_digit_distance(sets[k], sets[k - 1]) for k in range(10)]
    fake, floor = result["frechet_by_digit"], result["frechet_by_digit_floor"]
    assert len(fake) == 10 and np.mean(fake) < 0.5 * np.mean(apart)
    assert all(a > b for a, b in zip(fake, floor, strict=True))
    generate = conditional.generator(config, trained.game, np.array(trained.run.data["class_frequencies"]))
    sheet = generate(draws.latent_bits(0, 100, config.latent_dim), conditional.digits_by_row(100))
    labels = trained.scorer.classifier.classify(sheet)[0].argmax(-1)
    assert np.mean(labels == np.repeat(np.arange(10), 10)) > 0.6


def test_both_networks_take_ten_more_numbers_than_the_dcgan():
    ours, plain = conditional.new_game(CONFIG, 8), dcgan.new_game(dcgan.Config(), 8)
    assert ours.discriminator.weights[0].shape[2] == plain.discriminator.weights[0].shape[2] + 10
    assert ours.generator.weights[0].shape[0] == plain.generator.weights[0].shape[0] + 10
    assert [m.shape for m in networks.dcgan_statistics(ours.generator.weights)] == [
        s.shape for s in plain.generator_statistics
    ]
