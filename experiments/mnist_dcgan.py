"""A convolutional generative adversarial network draws handwritten digits, on raw variables.

Upsampling and convolutions in G, strided convolutions with dropout in D, batch norm in both: the network of Radford
et al. 2015 as tutorials shrink it for MNIST. D maximises E log D(x) + E log(1 - D(G(z))); G maximises E log D(G(z)).
A digit classifier, trained on first need, measures the fakes: each number stands beside what real images score.

    python experiments/mnist_dcgan.py                       4001 steps of batch 32, an average of G's weights
    python experiments/mnist_dcgan.py --recipe classic      the tutorial's: Keras' Adam, no average
    python experiments/mnist_dcgan.py --data digits         8x8 digits, no network needed

5 to 10 minutes on two cores.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal, NamedTuple

import numpy as np

import gan_conv as conv
import gan_core as core
import gan_data as data
import gan_images as images
import gan_runs as runs
from gan_core import tf

EXPERIMENT = "mnist_dcgan"
CHANNELS = (32, 64, 128, 256)  # of D's convolutions
AT_ONCE = 500  # samples generated in one call, to bound the memory


@dataclass(frozen=True)
class Config(images.ImageConfig):
    """Settings. The defaults here are the tutorial's, recipe `classic`; `STABLE` below changes some."""

    recipe: Literal["stable", "classic"] = "classic"  # sets the defaults of the other flags
    steps: int = 4001
    batch: int = 32
    eval_every: int = 200  # a sheet of samples each time
    latent_dim: int = 100  # z is standard normal
    loss: Literal[tuple(core.LOSSES)] = "non_saturating"  # what cross-entropy with fakes labelled 1 is for G
    learning_rate: float = 1e-3  # of both players' Adam; Keras' defaults
    schedule: Literal["constant", "cosine"] = "constant"  # of both learning rates
    beta1: float = 0.9
    beta2: float = 0.999
    dropout: float = 0.25  # share of D's values that each mask drops, to the nearest 1/256
    r1: float = 0.0  # weight of 1/2 |grad D|^2 on real images
    momentum: float = 0.8  # of batch norm's running statistics: the mean of about the last 5 batches
    average: float = 0.0  # decay of the running average of G's weights, which is what is judged; 0: G itself

    def checked(self) -> "Config":
        """As `ImageConfig.checked`; the sides of G's images are 4 times those of its first feature map."""
        runs.require(self, "latent_dim", "at least 1", lambda v: v >= 1)
        runs.require(self, "learning_rate", "above 0", lambda v: 0 < v < float("inf"))
        runs.require(self, "r1", "0 or more", lambda v: 0 <= v < float("inf"))
        runs.require(self, "beta1 beta2 momentum average", "at least 0 and below 1", lambda v: 0 <= v < 1)
        runs.require(self, "dropout", "at least 0 and at most .99", lambda v: 0 <= v <= 0.99)
        config = super().checked()
        runs.require(config, "batch", "at least 2, for batch norm", lambda v: v >= 2)
        if config.side % 4:
            raise runs.BadInput(f"--data {config.data}: images of side {config.side}, expected a multiple of 4")
        return config


STABLE = replace(
    Config(),
    recipe="stable",
    train_images=50_000,  # the other 10,000 choose the Parzen window
    beta1=0.5,  # DCGAN; at a rate of 2e-4 the Frechet digit distance is twice as large after these steps
    average=0.99,
)
RECIPES = {"stable": STABLE, "classic": Config()}


class Game(NamedTuple):
    """All that training changes: the players, their batch norms' running statistics, the judged average, the step."""

    discriminator: core.Player
    generator: core.Player
    discriminator_statistics: core.Weights  # mean and variance of each batch norm
    generator_statistics: core.Weights
    average: core.Weights  # of G's weights, then of its statistics
    step: tf.Variable


def new_game(config: Config) -> Game:
    """Raw variables of both networks."""
    glorot = partial(conv.glorot, data.generator(config.seed, data.WEIGHTS))
    d, last = glorot(3, 3, 1, CHANNELS[0]), map_sizes(config.side)[-1]
    for inputs, outputs in zip(CHANNELS, CHANNELS[1:], strict=False):
        d += glorot(3, 3, inputs, outputs) + conv.norm_weights(outputs)
    d += glorot(last, 1)
    g = glorot(config.latent_dim, (config.side // 4) ** 2 * 128)
    for inputs, outputs in ((128, 128), (128, 64)):
        g += glorot(3, 3, inputs, outputs) + conv.norm_weights(outputs)
    g += glorot(3, 3, 64, 1)
    d_statistics, g_statistics = (sum(map(conv.new_statistics, c), []) for c in (CHANNELS[1:], (128, 64)))
    average = [tf.Variable(w) for w in g + g_statistics]
    step = tf.Variable(0, dtype=tf.int64)
    return Game(core.new_player(d), core.new_player(g), d_statistics, g_statistics, average, step)


def map_sizes(side: int) -> list[int]:
    """Values in D's feature maps, for one image: each convolution halves the sides, rounding up."""
    return [(-(-side // 2**k)) ** 2 * channels for k, channels in enumerate(CHANNELS, start=1)]


# Both networks also return the means and variances that their batch norms used: the batch's own, for the running
# statistics, or the `statistics` that they are given once training is over.


def generator_network(z: tf.Tensor, weights: Sequence, statistics: Sequence | None = None):
    """Latents `[B, Z]` -> images `[B, side, side, 1]` in [-1, 1], and moments."""
    first, *blocks, last = conv.groups(weights, 2, 4, 4, 2)
    known, moments = conv.groups(statistics, 2, 2) if statistics else [None] * 2, []
    side = round((first[0].shape[1] / 128) ** 0.5)
    h = tf.reshape(tf.nn.relu(conv.dense(z, *first)), (-1, side, side, 128))
    for (kernel, bias, *norm), running in zip(blocks, known, strict=True):
        h, used = conv.fused_batch_norm(conv.upsampled_conv(h, kernel, bias), *norm, running)
        h, moments = tf.nn.relu(h), moments + used
    return tf.tanh(conv.conv(h, *last)), moments


def discriminator_network(
    x: tf.Tensor,
    weights: Sequence,
    bits: tf.Tensor | None = None,
    rate: float = 0.0,
    statistics: Sequence | None = None,
):
    """Images `[B, side, side, 1]` -> logits `[B]`, and moments; random `bits [B, sum of map_sizes]` drop values."""
    first, *blocks, last = conv.groups(weights, 2, 4, 4, 4, 2)
    known, moments = conv.groups(statistics, 2, 2, 2) if statistics else [None] * 3, []
    mask, *masks = [None] * 4 if bits is None else tf.split(bits, map_sizes(x.shape[1]), axis=1)
    h = conv.dropout(conv.leaky_relu(conv.conv(x, *first, stride=2)), mask, rate)
    for (kernel, bias, *norm), mask, running in zip(blocks, masks, known, strict=True):
        h, used = conv.fused_batch_norm(conv.conv(h, kernel, bias, stride=2), *norm, running)
        h, moments = conv.dropout(conv.leaky_relu(h), mask, rate), moments + used
    return conv.dense(tf.reshape(h, (x.shape[0], -1)), *last)[:, 0], moments


def adversarial_step(game: Game, config: Config, batch: dict[str, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
    """One update of D, then one of G against the new D; returns both losses.

    `batch` holds real images `x [B, side, side]` uint8 and random bits: `z [B, Z]` of the latents and, for dropout
    alone, `bits [3, B, ..]` of D's masks. D sees the real images and the fakes as two batches, each normalised by
    its own moments. The same fakes serve both updates: G runs once, and its gradient goes on from that of the new D
    with respect to them.
    """
    d, g, loss = game.discriminator, game.generator, core.LOSSES[config.loss]
    adam = core.Adam(config.learning_rate, config.beta1, config.beta2)
    masks = batch.get("bits", (None,) * 3)
    game.step.assign_add(1)
    factor = (core.cosine(config.steps) if config.schedule == "cosine" else core.constant)(game.step)
    real = tf.cast(batch["x"], tf.float32)[..., None] / 127.5 - 1  # [B, side, side, 1]
    with tf.GradientTape() as g_tape:
        drawn, g_moments = generator_network(core.from_bits(batch["z"], "normal"), g.weights)
    fake = tf.stop_gradient(drawn)

    def on_real(x):
        return discriminator_network(x, d.weights, masks[0], config.dropout)[0]

    with tf.GradientTape() as tape:
        real_logits, real_moments = discriminator_network(real, d.weights, masks[0], config.dropout)
        fake_logits, fake_moments = discriminator_network(fake, d.weights, masks[1], config.dropout)
        d_loss = core.batch_mean(loss.discriminator(real_logits, fake_logits))
        total = d_loss
        if config.r1:
            total += config.r1 * core.batch_mean(core.r1(on_real, real, axis=(1, 2, 3)))
    conv.fused_adam_update(d, tape.gradient(total, d.weights), game.step, adam, factor)

    # most losses of G do not look at the real logits, and a graph drops what nothing looks at
    real_logits = on_real(real)
    with tf.GradientTape() as tape:
        tape.watch(fake)
        fake_logits, _ = discriminator_network(fake, d.weights, masks[2], config.dropout)
        g_loss = core.batch_mean(loss.generator(real_logits, fake_logits))
    gradients = g_tape.gradient(drawn, g.weights, output_gradients=tape.gradient(g_loss, fake))
    conv.fused_adam_update(g, gradients, game.step, adam, factor)

    for moments in (real_moments, fake_moments):
        conv.update_statistics(game.discriminator_statistics, moments, config.momentum)
    conv.update_statistics(game.generator_statistics, g_moments, config.momentum)
    core.update_average(game.average, g.weights + game.generator_statistics, config.average)
    return d_loss, g_loss


def new_loop(config: Config) -> Callable:
    """The loop `(game, batches) -> losses [n, 2]`, as a graph: XLA's convolutions are slow on a CPU."""
    return core.compiled_loop(lambda game, batch: adversarial_step(game, config, batch), jit_compile=False)


def new_task(config: Config, real: data.Images) -> images.Task:
    """What training this experiment means."""
    game, loop = new_game(config), new_loop(config)
    train_images, masks = images.training_images(config, real), (3, config.batch, sum(map_sizes(config.side)))

    def draw(first, count):
        bits = partial(data.random_bits, config.seed, start=first, count=count)
        z = bits(stream=data.LATENT, size=config.batch * config.latent_dim)
        chosen = data.image_minibatches(len(train_images), config.seed, first, count, config.batch)
        batches = {"x": train_images[chosen], "z": z.reshape(count, config.batch, config.latent_dim)}
        if config.dropout:
            dropped = bits(stream=data.DROPOUT, size=-(-math.prod(masks) // 2))  # two bytes each
            dropped = np.ascontiguousarray(dropped).view(np.uint8)[:, : math.prod(masks)]
            batches["bits"] = dropped.reshape(count, *masks)
        return {name: tf.constant(values) for name, values in batches.items()}

    weights = {
        "generator": game.generator.weights + game.generator_statistics,
        "discriminator": game.discriminator.weights + game.discriminator_statistics,
    }
    return images.Task(game, loop, draw, generator(config, game), weights, lambda: new_game(config))


def generator(config: Config, game: Game) -> Callable:
    """latent bits `[n, latent_dim]` -> fakes `[n, side, side]` in [0, 1], by the average of G, at inference."""
    count = len(game.generator.weights)

    @partial(tf.function, autograph=False)
    def run(bits, average):
        fakes, _ = generator_network(core.from_bits(bits, "normal"), average[:count], average[count:])
        return (fakes[..., 0] + 1) / 2

    def generate(bits):
        parts = [run(tf.constant(bits[k : k + AT_ONCE]), game.average) for k in range(0, len(bits), AT_ONCE)]
        return np.concatenate(parts)

    return generate


def train(config: Config, run: runs.Run | None = None) -> images.Trained:
    """Train; every `eval_every` steps measure the fakes."""
    return images.train(config, run, new_task)


if __name__ == "__main__":
    runs.command_line(EXPERIMENT, RECIPES, images.train_and_report(EXPERIMENT, train), __doc__)
