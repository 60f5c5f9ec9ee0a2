"""A dense generative adversarial network draws handwritten digits, on raw variables.

D maximises E log D(x) + E log(1 - D(G(z))); G maximises E log D(G(z)). A digit classifier, trained on first need,
measures the fakes: each number stands beside what real images score.

    python experiments/mnist_mlp.py                    the recipe that learns
    python experiments/mnist_mlp.py --recipe dnn       a tutorial's network: 5000 steps, leaky ReLU, tanh
    python experiments/mnist_mlp.py --recipe raw       a tutorial's raw variables: weights N(0, .01^2), sigmoid
    python experiments/mnist_mlp.py --data digits --steps 2000     8x8 digits, no network needed: a minute

15 to 20 minutes on two cores, `raw` 5, `dnn` one.

In the raw tutorial's loop the training lines are indented one step too little, so that it trains on the last batch of
each epoch alone; here every batch is trained on.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

import numpy as np

import gan_core as core
import gan_data as data
import gan_images as images
import gan_runs as runs
from gan_core import tf

EXPERIMENT = "mnist_mlp"
Activation = Literal[tuple(core.ACTIVATIONS)]
Init = Literal[core.INITS]


@dataclass(frozen=True)
class Config(images.ImageConfig):
    """Settings. The defaults here are those of recipe `dnn`; `RAW` and `STABLE` below change some."""

    recipe: Literal["stable", "dnn", "raw"] = "dnn"  # sets the defaults of the other flags
    steps: int = 5000
    batch: int = 300
    latent_dim: int = 100  # z is standard normal
    generator_hidden: tuple[int, ...] = (128, 128)
    discriminator_hidden: tuple[int, ...] = (128,)
    generator_activation: Activation = "leaky_relu_01"
    discriminator_activation: Activation = "leaky_relu_01"
    init: Init = "glorot"  # Keras' default, as in the tutorial
    output: Literal["tanh", "sigmoid"] = "tanh"  # of G: pixels in [-1, 1] or in [0, 1], for D too
    loss: Literal[tuple(core.LOSSES)] = "non_saturating"
    learning_rate: float = 1e-3  # of both players' Adam
    discriminator_rate: float = 1.0  # D's learning rate in units of G's
    schedule: Literal["constant", "cosine"] = "constant"  # of both learning rates
    beta1: float = 0.9  # Adam's defaults
    beta2: float = 0.999
    r1: float = 0.0  # weight of 1/2 |grad D|^2 on real images
    r2: float = 0.0  # the same on fakes
    average: float = 0.0  # decay of the running average of G's weights, which is what is judged; 0: G itself

    def checked(self) -> "Config":
        """As `ImageConfig.checked`."""
        runs.require(self, "latent_dim generator_hidden discriminator_hidden", "at least 1", lambda v: v >= 1)
        runs.require(self, "r1 r2", "0 or more", lambda v: 0 <= v < float("inf"))
        runs.require(self, "learning_rate discriminator_rate", "above 0", lambda v: 0 < v < float("inf"))
        runs.require(self, "beta1 beta2 average", "at least 0 and below 1", lambda v: 0 <= v < 1)
        return super().checked()


RAW = replace(
    Config(),
    recipe="raw",
    train_images=55_000,  # the other 5000 were the tutorial's validation set
    steps=55_000,  # 100 epochs of 550 batches
    batch=100,
    latent_dim=128,
    generator_hidden=(256,),
    discriminator_hidden=(256,),
    generator_activation="relu",
    discriminator_activation="relu",
    init="small",
    output="sigmoid",
    learning_rate=2e-4,
    eval_every=5500,  # 10 epochs: a row of the strip
    checkpoint_every=5500,
)
STABLE = replace(
    Config(),
    recipe="stable",
    train_images=50_000,  # the other 10,000 choose the Parzen window
    steps=20_000,
    batch=256,
    latent_dim=64,  # 16 were no better
    generator_hidden=(512, 1024),  # half as wide: a Parzen likelihood 20 nats lower
    discriminator_hidden=(512, 512),
    generator_activation="leaky_relu",
    discriminator_activation="leaky_relu",
    init="he",
    output="sigmoid",
    schedule="cosine",  # of G alone: D runs ahead in the end, and some digits become rare
    learning_rate=7e-4,  # .001 with twice as wide a D diverged
    discriminator_rate=0.5,  # 1 learns the training images by heart sooner: 10 nats lower
    beta1=0.0,  # momentum makes the two players circle
    beta2=0.99,
    r1=0.05,  # .02: D learns the training images by heart; 1: strokes break
    average=0.999,
    eval_every=1000,
)
RECIPES = {"stable": STABLE, "dnn": Config(), "raw": RAW}


def networks(config: Config) -> tuple[core.Network, core.Network]:
    """D: pixels -> logit and G: z -> pixels, in the range of G's output, samples as columns."""
    output = {"tanh": tf.tanh, "sigmoid": tf.sigmoid}[config.output]
    hidden = partial(core.mlp, activation=core.ACTIVATIONS[config.generator_activation])
    d = partial(core.mlp, activation=core.ACTIVATIONS[config.discriminator_activation])
    return d, lambda z, weights: output(hidden(z, weights))


def new_game(config: Config, channels: int = 1, pack: int = 1) -> core.Game:
    """Raw variables of both networks for images of so many channels, of which D sees `pack` at a time."""
    rng, pixels = data.generator(config.seed, data.WEIGHTS), channels * config.side**2
    d = core.dense_weights(rng, (pack * pixels, *config.discriminator_hidden, 1), config.init)
    g = core.dense_weights(rng, (config.latent_dim, *config.generator_hidden, pixels), config.init)
    return core.new_game(d, g)


def new_loop(config: Config, rows: np.ndarray, pack: int = 1) -> Callable:
    """The compiled loop `(game, batches) -> losses [n, 2]` on real images `rows [N, pixels]` uint8.

    A batch says which rows are `chosen [B]`; or `[B, C]`, those of the channels of each image.
    """
    d, g = networks(config)
    schedule = core.cosine(config.steps) if config.schedule == "cosine" else core.constant
    rules = core.Rules(
        d,
        lambda z, weights: core.packed(g(z, weights), pack),
        core.LOSSES[config.loss],
        core.Adam(config.learning_rate * config.discriminator_rate, config.beta1, config.beta2),
        core.Adam(config.learning_rate, config.beta1, config.beta2),
        rate_schedule_g=schedule,
        rate_schedule_d=schedule,
        r1=config.r1,
        r2=config.r2,
        average_decay=config.average,
    )
    scale, shift = (2 / 255, -1.0) if config.output == "tanh" else (1 / 255, 0.0)

    rows = tf.constant(rows)  # gathered inside the loop: no 12 MB of pixels to copy for each call

    def step(game, batch):
        real = tf.reshape(tf.gather(rows, batch["chosen"]), (config.batch, -1))  # channel after channel
        x = scale * tf.transpose(tf.cast(real, tf.float32)) + shift  # [C pixels, B]
        z = core.from_bits(batch["z"], "normal")
        return core.adversarial_step(game, rules, {"x": core.packed(x, pack), "z": z})

    return core.compiled_loop(step)


def new_task(config: Config, real: data.Images) -> images.Task:
    """What training this experiment means."""
    game = new_game(config)
    rows = images.training_images(config, real).reshape(-1, config.side**2)  # [N, pixels]
    return images.Task(
        game,
        new_loop(config, rows),
        partial(draw, config, np.arange(len(rows))),
        generator(config, game),
        weights(game),
        lambda: new_game(config),
    )


def draw(config: Config, rows: np.ndarray, first: int, count: int) -> dict[str, tf.Tensor]:
    """Batches of `count` steps: which of the `rows [N]`, or `[N, C]`, are chosen, and random bits."""
    chosen = data.image_minibatches(len(rows), config.seed, first, count, config.batch)
    bits = data.random_bits(config.seed, data.LATENT, first, count, config.latent_dim * config.batch)
    z = bits.reshape(count, config.latent_dim, config.batch)
    return {"chosen": tf.constant(rows[chosen], tf.int32), "z": tf.constant(z)}


def weights(game: core.Game) -> dict[str, list]:
    """Every raw variable of both networks."""
    return {"generator": game.generator.weights, "discriminator": game.discriminator.weights}


def generator(config: Config, game: core.Game) -> Callable:
    """latent bits `[n, latent_dim]` -> fakes `[n, side, side]` in [0, 1], by the average of G's weights."""
    _, g = networks(config)
    run = core.compiled(lambda z, weights: g(core.from_bits(z, "normal"), weights))

    def generate(bits):
        fakes = run(bits.T, game.average).numpy().T.reshape(-1, config.side, config.side)
        return (fakes + 1) / 2 if config.output == "tanh" else fakes

    return partial(images.in_parts, generate)


def train(config: Config, run: runs.Run | None = None) -> images.Trained:
    """Train; every `eval_every` steps measure the fakes."""
    return images.train(config, run, new_task)


train_and_report = images.train_and_report(EXPERIMENT, train)

if __name__ == "__main__":
    runs.command_line(EXPERIMENT, RECIPES, train_and_report, __doc__)
