"""A conditional generative adversarial network draws the digit that it is asked for, on raw variables.

The DCGAN of `mnist_dcgan.py` with a label y on both sides (Mirza and Osindero 2014): G gets it beside its latents,
D as ten constant channels beside the image. D then maximises E log D(x, y) + E log(1 - D(G(z, y), y)), where fakes
carry the labels of the real images of their batch. A digit classifier, trained on first need, says how often a sample
is the digit that was asked for.

    python experiments/mnist_conditional.py                   5000 steps of batch 32
    python experiments/mnist_conditional.py --data digits --steps 1000 --average 0.99     8x8 digits, no network
    python experiments/sample.py RUN --label 7                sevens, from a finished run

8 to 12 minutes on two cores.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, NamedTuple

import numpy as np

import gan_core as core
import gan_data as data
import gan_images as images
import gan_runs as runs
import metrics
from experiments import mnist_dcgan as dcgan
from gan_core import tf

EXPERIMENT = "mnist_conditional"
DIGITS = 10


@dataclass(frozen=True)
class Config(dcgan.Config):
    """The settings of `mnist_dcgan`; the defaults are those of its recipe `stable`, with fewer steps."""

    recipe: Literal["stable"] = "stable"


RECIPES = {"stable": Config(**vars(dcgan.STABLE) | {"steps": 5000, "eval_every": 250})}


class Game(NamedTuple):
    """All that training changes, and how often each digit is among the real images `[10]`."""

    players: dcgan.Game
    law: tf.Variable


def new_game(config: Config) -> Game:
    """Raw variables of both networks, which also take a label."""
    return Game(dcgan.new_game(config, DIGITS), tf.Variable(tf.fill([DIGITS], 1 / DIGITS)))


def new_loop(config: Config) -> Callable:
    """The loop `(game, batches) -> losses [n, 2]`; batches also hold the real images' `label [B]`."""

    def step(game, batch):
        return dcgan.adversarial_step(game.players, config, batch, tf.one_hot(batch["label"], DIGITS))

    return core.compiled_loop(step, jit_compile=False)


def labels_by_law(law: np.ndarray, n: int) -> np.ndarray:
    """Digits of samples 0 .. n - 1, each as often as `law [10]` says: int `[n]`, the k-th a function of k alone.

    Multiples of the golden ratio, modulo 1, fill [0, 1) evenly however many there are; the law's distribution
    function turns each into a digit. So label KL tells of digits that were drawn wrong, not of chance.
    """
    even = np.arange(n) * ((5**0.5 - 1) / 2) % 1
    return np.minimum(np.searchsorted(np.cumsum(law, dtype=np.float64), even, side="right"), DIGITS - 1)


def labels_by_row(n: int) -> np.ndarray:
    """Digits 0 to 9 in equal parts, one after the other: rows of a sheet."""
    return np.arange(n) * DIGITS // n


def generator(config: Config, game: Game) -> Callable:
    """latent bits `[n, latent_dim]` and digits `[n]`, by default by the law -> fakes `[n, side, side]` in [0, 1]."""
    draw_fakes = dcgan.generator(config, game.players)

    def generate(bits, digits=None):
        digits = labels_by_law(game.law.numpy(), len(bits)) if digits is None else digits
        return draw_fakes(bits, np.eye(DIGITS)[digits])

    return generate


def new_task(config: Config, real: data.Images) -> images.Task:
    """What training this experiment means."""
    game = new_game(config)
    chosen = {"x": images.training_images(config, real), "label": real.train_labels[: config.train_images]}
    game.law.assign(np.bincount(chosen["label"], minlength=DIGITS) / len(chosen["label"]))
    generate = generator(config, game)
    return images.Task(
        game,
        new_loop(config),
        partial(dcgan.draw, config, chosen),
        generate,
        dcgan.networks(game.players),
        lambda: new_game(config),
        show=lambda bits: generate(bits, labels_by_row(len(bits))),
    )


def train(config: Config, run: runs.Run | None = None) -> images.Trained:
    """Train; every `eval_every` steps measure the fakes."""
    return images.train(config, run, new_task)


def obedience(trained: images.Trained) -> dict[str, Any]:
    """How often the judge reads the digit asked for, and each digit's own Frechet distance, with their floors.

    The floors: the judge's accuracy on test images, and the distance of as many training images of the digit.
    """
    config, real, judge = trained.config, trained.images, trained.yardstick.judge
    asked = labels_by_law(trained.task.game.law.numpy(), config.eval_samples)
    bits = images.latent_bits(config.seed, config.eval_samples, config.latent_dim)
    verdicts, seen = judge.verdicts(trained.task.generate(bits, asked))
    _, train_seen = judge.verdicts(data.as_pixels(real.train[: config.eval_samples]))
    train_labels = real.train_labels[: config.eval_samples]

    def distances(features, digits):
        by_digit = [(trained.yardstick.features[real.test_labels == k], features[digits == k]) for k in range(DIGITS)]
        return [metrics.frechet_digit_distance(*pair) for pair in by_digit]

    return {
        "agreement": float(np.mean(verdicts.argmax(-1) == asked)),
        "agreement_floor": judge.test_accuracy,
        "frechet_by_digit": distances(seen, asked),
        "frechet_by_digit_floor": distances(train_seen, train_labels),
    }


ROWS = {"judge reads the digit asked for": ("agreement", ".3f")} | images.ROWS
train_and_report = images.train_and_report(EXPERIMENT, train, obedience, ROWS)

if __name__ == "__main__":
    runs.command_line(EXPERIMENT, RECIPES, train_and_report, __doc__)
