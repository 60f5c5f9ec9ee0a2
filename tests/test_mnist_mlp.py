"""The dense MNIST GAN: the tutorials' sizes and settings, its batches, its fakes, and that it learns."""

from dataclasses import replace

import numpy as np
import pytest

import gan_core as core
from experiments import mnist_mlp
from gan_core import tf
from lab import draws, runs

TINY = replace(
    mnist_mlp.Config(), data="digits", steps=20, eval_every=10, checkpoint_every=10, batch=16, log_samples=100
)


@pytest.mark.parametrize("recipe, sizes", [("dnn", (130_576, 100_609)), ("raw", (234_512, 201_217))])
def test_parameters_are_the_tutorials(recipe, sizes):
    game = mnist_mlp.new_game(mnist_mlp.RECIPES[recipe], side=28)
    counts = runs.count_parameters(generator=game.generator.weights, discriminator=game.discriminator.weights)
    assert tuple(counts.values()) == sizes


def test_dnn_recipe_is_the_tutorials():
    published = {
        "train_images": 60_000,
        "latent_dim": 100,
        "categories": 0,
        "generator_hidden": (128, 128),
        "discriminator_hidden": (128,),
        "generator_activation": "leaky_relu_01",
        "discriminator_activation": "leaky_relu_01",
        "init": "glorot",
        "output": "tanh",
        "loss": "non_saturating",
        "r1": 0.0,
        "r2": 0.0,
        "steps": 5000,
        "batch": 300,
        "learning_rate": 1e-3,
        "discriminator_rate": 1.0,
        "schedule": "constant",
        "beta1": 0.9,
        "beta2": 0.999,
        "average": 0.0,
    }
    assert vars(mnist_mlp.DNN) == vars(mnist_mlp.DNN) | published


def test_raw_recipe_is_the_tutorials():
    raw = mnist_mlp.RAW
    assert raw.steps == 100 * 550 and raw.train_images == 550 * raw.batch and raw.steps // raw.eval_every == 10
    weights = mnist_mlp.new_game(raw, side=28).generator.weights
    assert np.std(weights[0]) == pytest.approx(0.01, rel=0.02)  # 32,768 draws: standard error .4%
    assert not np.any(weights[1])


@pytest.mark.parametrize("recipe, low", [("dnn", -1), ("raw", 0)])
def test_fakes_are_in_the_output_range_of_the_recipe_and_measured_in_0_to_1(recipe, low):
    config = replace(mnist_mlp.RECIPES[recipe], init="he")
    game, (_, g) = mnist_mlp.new_game(config, side=8), mnist_mlp.networks(config)
    far = 100 * np.random.default_rng(0).standard_normal((config.latent_dim, 50)).astype("f")  # saturates the output
    fakes = g(far, game.generator.weights).numpy()
    assert (fakes.min(), fakes.max()) == pytest.approx((low, 1), abs=1e-3)
    measured = mnist_mlp.generator(config, game)(draws.latent_bits(0, 300, config.latent_dim))
    assert measured.shape == (300, 8, 8) and measured.min() >= 0 and measured.max() <= 1


@pytest.mark.parametrize("output, low", [("tanh", -1), ("sigmoid", 0)])
def test_step_sees_every_setting_and_real_images_in_the_range_of_the_fakes(output, low, monkeypatch):
    """Each number below is found where the step reads it."""
    seen = {}

    def step(game, rules, batch):
        seen["rules"], seen["batch"] = rules, batch
        return tf.reduce_min(batch["x"]), tf.reduce_max(batch["x"])

    monkeypatch.setattr(core, "adversarial_step", step)
    numbers = {"r1": 0.1, "r2": 0.2, "average": 0.4, "beta1": 0.5, "beta2": 0.6, "learning_rate": 0.01}
    config = replace(TINY, **numbers, loss="hinge", discriminator_rate=3.0, schedule="cosine", output=output)
    records = mnist_mlp.train(config).run.records
    assert records[-1]["discriminator_loss"] == low and records[-1]["generator_loss"] == pytest.approx(1)
    rules, batch = seen["rules"], seen["batch"]
    assert (rules.r1, rules.r2, rules.average_decay) == (0.1, 0.2, 0.4) and rules.loss is core.LOSSES["hinge"]
    assert rules.adam_g == core.Adam(0.01, 0.5, 0.6) and rules.adam_d == core.Adam(0.03, 0.5, 0.6)
    assert [float(f(20)) for f in (rules.rate_schedule_g, rules.rate_schedule_d)] == pytest.approx([0, 0], abs=1e-6)
    assert batch["x"].shape == (64, 16) and batch["z"].shape == (74, 16)


def test_batches_are_the_first_training_images(monkeypatch):
    chosen = []

    def play(loop, games, batches, period):  # two epochs of four batches, and nothing learns
        while sum(map(len, chosen)) < period.last:
            chosen.append(next(batches)["chosen"].numpy())
        return np.zeros((period.count, 2))

    run = runs.Run()
    monkeypatch.setattr(run, "play", play)
    mnist_mlp.train(replace(TINY, train_images=100, batch=30, steps=8, eval_every=4), run)
    drawn = np.concatenate(chosen)
    assert drawn.shape == (8, 30) and set(drawn[:4].ravel()) == set(drawn[4:].ravel()) == set(range(100))


def test_training_brings_the_fakes_nearer_to_the_digits():
    config = replace(
        mnist_mlp.Config(),
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
    )
    first, last = mnist_mlp.train(config).run.records
    # seeds 0 to 7 gave .16 to .31 of the first distance, and ten digits each
    assert last["frechet_digit_distance"] < 0.5 * first["frechet_digit_distance"]
    assert last["digits"] == 10
