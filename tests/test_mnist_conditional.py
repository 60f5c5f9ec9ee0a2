"""The conditional GAN: labels reach both players, follow the law, and are obeyed after training."""

from dataclasses import replace

import numpy as np
import pytest

import gan_data as data
import gan_images as images
import metrics
from experiments import mnist_conditional as conditional
from experiments import mnist_dcgan as dcgan
from gan_core import tf

CONFIG = replace(
    conditional.RECIPES["stable"],
    data="digits",
    batch=8,
    steps=40,
    eval_every=40,
    eval_samples=300,
    log_samples=100,
).checked()


@pytest.fixture(scope="module")
def real():
    return data.load_images("digits")


def test_digits_follow_the_law_and_do_not_depend_on_how_many_are_drawn():
    law = np.array([0.3, 0, 0.1, 0.05, 0.05, 0.1, 0.1, 0.1, 0.1, 0.1])
    many = conditional.labels_by_law(law, 1000)
    np.testing.assert_allclose(np.bincount(many, minlength=10) / 1000, law, atol=0.005)  # chance alone: .014
    assert (conditional.labels_by_law(law, 100) == many[:100]).all()
    assert (conditional.labels_by_law(law[::-1], 1000) != 8).all()
    assert (
        conditional.labels_by_law(np.roll(law, -1), 1)[0] == 1
    )  # the first sample's is 0, where digit 0 has no part


def test_rows_of_a_sheet_hold_one_digit_each():
    assert (conditional.labels_by_row(100).reshape(10, 10) == np.arange(10)[:, None]).all()


def test_label_reaches_both_players_and_nothing_else_changes():
    label = tf.one_hot([3, 5], 10)
    x, bits = tf.random.stateless_normal((2, 8, 8, 1), (0, 1)), tf.constant([[0, 65535], [32768, 1]], tf.uint16)
    seen = dcgan.labelled(x, label).numpy()
    assert seen.shape == (2, 8, 8, 11) and (seen[..., :1] == x.numpy()).all()
    assert (seen[0, ..., 4] == 1).all() and (seen[1, ..., 6] == 1).all() and seen[..., 1:].sum() == 2 * 64
    z = dcgan.latents(bits, label).numpy()
    assert (z[:, 2:] == label.numpy()).all() and (z[:, :2] == dcgan.latents(bits, None).numpy()).all()


def test_batches_pair_each_image_with_its_label(real):
    task = conditional.new_task(CONFIG, real)
    batch = task.draw(3, 2)
    places = {image.tobytes(): label for image, label in zip(real.train, real.train_labels, strict=True)}
    for image, label in zip(batch["x"].numpy().reshape(-1, 8, 8), batch["label"].numpy().ravel(), strict=True):
        assert places[image.tobytes()] == label


def test_law_is_that_of_the_training_images_and_is_kept_with_the_game(real):
    few = replace(CONFIG, train_images=100)
    game = conditional.new_task(few, real).game
    np.testing.assert_allclose(game.law, np.bincount(real.train_labels[:100], minlength=10) / 100, rtol=1e-6)


def test_asked_digits_are_drawn_after_training():
    """Seeds 0 to 3 gave an agreement of .85 to .93 after 400 steps; chance is .1."""
    config = replace(CONFIG, steps=400, eval_every=400, batch=32, average=0.9)
    trained = conditional.train(config)
    told = conditional.obedience(trained)
    assert told["agreement"] > 0.6 and told["agreement_floor"] > 0.97
    features, labels = trained.yardstick.features, trained.images.test_labels
    sets = [features[labels == k] for k in range(10)]
    apart = [metrics.frechet_digit_distance(sets[k], sets[k - 1]) for k in range(10)]  # of real digits of two kinds
    assert len(told["frechet_by_digit"]) == 10 and np.mean(told["frechet_by_digit"]) < 0.5 * np.mean(apart)
    assert all(
        fake > real for fake, real in zip(told["frechet_by_digit"], told["frechet_by_digit_floor"], strict=True)
    )
    sheet = trained.task.show(images.latent_bits(0, 100, config.latent_dim))
    labels = trained.yardstick.judge.verdicts(sheet)[0].argmax(-1)
    assert np.mean(labels == np.repeat(np.arange(10), 10)) > 0.6
