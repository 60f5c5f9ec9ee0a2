"""The dense MNIST GAN: the tutorials' sizes and settings."""

from dataclasses import replace

import numpy as np
import pytest

import gan_images as images
from experiments import mnist_mlp


@pytest.mark.parametrize("recipe, sizes", [("dnn", (130_576, 100_609)), ("raw", (234_512, 201_217))])
def test_parameters_are_the_tutorials(recipe, sizes):
    game = mnist_mlp.new_game(replace(mnist_mlp.RECIPES[recipe], side=28))
    assert tuple(images.parameters(p.weights) for p in (game.generator, game.discriminator)) == sizes


def test_raw_recipe_is_the_tutorials():
    raw = mnist_mlp.RAW
    assert raw.steps == 100 * 550 and raw.train_images == 550 * raw.batch and raw.steps // raw.eval_every == 10
    weights = mnist_mlp.new_game(replace(raw, side=28)).generator.weights
    assert np.std(weights[0]) == pytest.approx(0.01, rel=0.02)  # 32,768 draws: standard error .4%
    assert not np.any(weights[1])


@pytest.mark.parametrize("recipe, low", [("dnn", -1), ("raw", 0)])
def test_fakes_are_in_the_output_range_of_the_recipe_and_measured_in_0_to_1(recipe, low):
    config = replace(mnist_mlp.RECIPES[recipe], data="digits", init="he").checked()
    game, (_, g) = mnist_mlp.new_game(config), mnist_mlp.networks(config)
    far = 100 * np.random.default_rng(0).standard_normal((config.latent_dim, 50)).astype("f")  # saturates the output
    fakes = g(far, game.generator.weights).numpy()
    assert (fakes.min(), fakes.max()) == pytest.approx((low, 1), abs=1e-3)
    measured = mnist_mlp.generator(config, game)(images.latent_bits(0, 300, config.latent_dim))
    assert measured.shape == (300, 8, 8) and measured.min() >= 0 and measured.max() <= 1


def test_training_brings_the_fakes_nearer_to_the_digits():
    config = replace(
        mnist_mlp.STABLE,
        data="digits",
        steps=500,
        batch=64,
        generator_hidden=(64, 64),
        discriminator_hidden=(64,),
        learning_rate=3e-3,
        discriminator_rate=1.0,
        r1=0.1,
        average=0.95,
        eval_every=500,
        log_samples=500,
    ).checked()
    first, last = mnist_mlp.train(config).records
    # seeds 0 to 7 gave .16 to .31 of the first distance, and ten digits each
    assert last["frechet_digit_distance"] < 0.5 * first["frechet_digit_distance"]
    assert last["digits"] == 10


def test_batches_are_the_first_training_images():
    config = replace(mnist_mlp.STABLE, data="digits", train_images=100, batch=30).checked()
    drawn = mnist_mlp.new_task(config, images.load("digits")).draw(0, 8)["chosen"].numpy()
    assert drawn.shape == (8, 30) and set(drawn.ravel()) == set(range(100))  # two epochs of four batches
