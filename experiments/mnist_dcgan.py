"""A convolutional generative adversarial network draws handwritten digits, on raw variables.

Upsampling and convolutions in G, strided convolutions with dropout in D, batch norm in both: the network of Radford
et al. 2015 as tutorials shrink it for MNIST. D maximises E log D(x) + E log(1 - D(G(z))); G maximises E log D(G(z)).
A digit classifier, trained on first need, measures the fakes: each number stands beside what real images score.

    python experiments/mnist_dcgan.py                       R1 instead of dropout, an average of G: 14,000 steps
    python experiments/mnist_dcgan.py --recipe classic      the tutorial's: dropout, Keras' Adam, 4001 steps
    python experiments/mnist_dcgan.py --data digits --steps 1000 --average 0.99     8x8 digits, no network needed

15 to 25 minutes on two cores, `classic` 5 to 8.
"""

import itertools
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


@dataclass(frozen=True)
class Config(images.ImageConfig):
    """Settings. The defaults here are the tutorial's, recipe `classic`; `STABLE` below changes some."""

    recipe: Literal["stable", "classic"] = "classic"  # sets the defaults of the other flags
    steps: int = 4001
    batch: int = 32
    eval_every: int = 200  # a sheet of samples each time
    latent_dim: int = 100  # z is standard normal
    generator_maps: tuple[int, int, int] = (128, 128, 64)  # channels of G's feature maps
    discriminator_maps: tuple[int, int, int, int] = (32, 64, 128, 256)  # and of D's
    loss: Literal[tuple(core.LOSSES)] = "non_saturating"  # what cross-entropy with fakes labelled 1 is for G
    learning_rate: float = 1e-3  # of both players' Adam; Keras' defaults
    schedule: Literal["constant", "cosine"] = "constant"  # of both learning rates
    beta1: float = 0.9
    beta2: float = 0.999
    dropout: float = 0.25  # share of D's values that each mask drops, to the nearest 1/256
    r1: float = 0.0  # weight of 1/2 |grad D|^2 on real images
    discriminator_norm: Literal["batch", "none"] = "batch"  # of D alone: G has batch norm in any case
    momentum: float = 0.8  # of batch norm's running statistics: the mean of about the last 5 batches
    average: float = 0.0  # decay of the running average of G's weights, which is what is judged; 0: G itself

    def checked(self) -> "Config":
        """As `ImageConfig.checked`; the sides of G's images are 4 times those of its first feature map."""
        runs.require(self, "latent_dim generator_maps discriminator_maps", "at least 1", lambda v: v >= 1)
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
    steps=14_000,
    eval_every=500,
    schedule="cosine",
    beta1=0.0,  # momentum makes the two players circle
    beta2=0.99,
    dropout=0.0,  # r1 instead: after 3000 steps a Frechet digit distance of 3, with dropout of 5 after 6000
    r1=1.0,
    average=0.999,
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


def new_game(config: Config, labels: int = 0, channels: int = 1, pack: int = 1, alike: bool = False) -> Game:
    """Raw variables of both networks for images of so many channels, of which D sees `pack` at a time.

    G takes `labels` numbers beside its latents, D as many channels. A D that reads channels `alike` joins them in its
    last convolution alone.
    """
    glorot = partial(conv.glorot, data.generator(config.seed, data.WEIGHTS))
    d, d_maps, g_maps = [], config.discriminator_maps, config.generator_maps
    seen, normed = pack * channels + labels, d_maps[1:] if config.discriminator_norm == "batch" else ()
    joined = (1, 1, 1, seen) if alike else (seen, 1, 1, 1)
    for (inputs, outputs), times in zip(itertools.pairwise((1, *d_maps)), joined, strict=True):
        d += glorot(3, 3, times * inputs, outputs) + (conv.norm_weights(outputs) if d and normed else [])
    d += glorot(map_sizes(config.side, d_maps)[-1], 1)
    g = glorot(config.latent_dim + labels, (config.side // 4) ** 2 * g_maps[0])
    for inputs, outputs in itertools.pairwise(g_maps):
        g += glorot(3, 3, inputs, outputs) + conv.norm_weights(outputs)
    g += glorot(3, 3, g_maps[-1], channels)
    d_statistics, g_statistics = (sum(map(conv.new_statistics, maps), []) for maps in (normed, g_maps[1:]))
    average = [tf.Variable(w) for w in g + g_statistics]
    step = tf.Variable(0, dtype=tf.int64)
    return Game(core.new_player(d), core.new_player(g), d_statistics, g_statistics, average, step)


def map_sizes(side: int, maps: Sequence[int]) -> list[int]:
    """Values in D's feature maps, for one image: each convolution halves the sides, rounding up."""
    return [(-(-side // 2**k)) ** 2 * channels for k, channels in enumerate(maps, start=1)]


# Both networks also return the means and variances that their batch norms used: the batch's own, for the running
# statistics, or the `statistics` that they are given once training is over.


def generator_network(z: tf.Tensor, weights: Sequence, statistics: Sequence | None = None):
    """Latents `[B, Z]` -> images `[B, side, side, C]` in [-1, 1], and moments."""
    first, *blocks, last = conv.groups(weights, 2, 4, 4, 2)
    known, moments = conv.groups(statistics, 2, 2) if statistics else [None] * 2, []
    channels = blocks[0][0].shape[2]
    side = round((first[0].shape[1] / channels) ** 0.5)
    h = tf.reshape(tf.nn.relu(conv.dense(z, *first)), (-1, side, side, channels))
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
    """Images `[B, side, side, C]` -> logits `[B]`, and moments; random `bits [B, sum of map_sizes]` drop values.

    Where the first kernel takes one channel of several, it and the next ones read each channel alike, as an image of
    its own, up to the kernel that takes them together.
    """
    first, *blocks, last = conv.groups(weights, 2, *[(len(weights) - 4) // 3] * 3, 2)  # 4 a block, 2 without norm
    known, moments = conv.groups(statistics, 2, 2, 2) if statistics else [None] * 3, []
    sizes = map_sizes(x.shape[1], [bias.shape[0] for _, bias, *_ in (first, *blocks)])
    mask, *masks = [None] * 4 if bits is None else tf.split(bits, sizes, axis=1)
    alike = x.shape[3] // first[0].shape[2]
    h = tf.concat(tf.split(x, alike, 3), 0) if alike > 1 else x
    h = conv.dropout(conv.leaky_relu(conv.conv(h, *first, stride=2)), mask, rate)
    for (kernel, bias, *norm), mask, running in zip(blocks, masks, known, strict=True):
        if h.shape[3] < kernel.shape[2]:
            h = tf.concat(tf.split(h, alike, 0), 3)
        h, used = conv.conv(h, kernel, bias, stride=2), []
        if norm:
            h, used = conv.fused_batch_norm(h, *norm, running)
        h, moments = conv.dropout(conv.leaky_relu(h), mask, rate), moments + used
    return conv.dense(tf.reshape(h, (x.shape[0], -1)), *last)[:, 0], moments


def adversarial_step(
    game: Game, config: Config, batch: dict[str, tf.Tensor], label: tf.Tensor | None = None, pack: int = 1
) -> tuple[tf.Tensor, tf.Tensor]:
    """One update of D, then one of G against the new D; returns both losses.

    `batch` holds real images `x [B, side, side]`, or `[.., C]`, uint8 and random bits: `z [B, Z]` of the latents
    and, for dropout alone, `bits [3, B / pack, ..]` of D's masks. D sees the real images and the fakes as two
    batches, each normalised by its own moments. The same fakes serve both updates: G runs once, and its gradient goes
    on from that of the new D with respect to them. A `label [B, L]` goes to G beside its latents, and to D as L
    constant channels. D sees `pack` images at once, as channels of one.
    """
    d, g, loss = game.discriminator, game.generator, core.LOSSES[config.loss]
    adam = core.Adam(config.learning_rate, config.beta1, config.beta2)
    masks = batch.get("bits", (None,) * 3)
    game.step.assign_add(1)
    factor = (core.cosine(config.steps) if config.schedule == "cosine" else core.constant)(game.step)

    def verdict(x, mask):
        return discriminator_network(labelled(x, label), d.weights, mask, config.dropout)

    x = batch["x"] if batch["x"].shape.rank == 4 else batch["x"][..., None]
    real = core.packed(tf.cast(x, tf.float32) / 127.5 - 1, pack, 0, 3)  # [B / pack, side, side, pack C]
    with tf.GradientTape() as g_tape:
        drawn, g_moments = generator_network(latents(batch["z"], label), g.weights)
        drawn = core.packed(drawn, pack, 0, 3)
    fake = tf.stop_gradient(drawn)

    with tf.GradientTape() as tape:
        (real_logits, real_moments), (fake_logits, fake_moments) = verdict(real, masks[0]), verdict(fake, masks[1])
        d_loss = total = core.batch_mean(loss.discriminator(real_logits, fake_logits))
        if config.r1:
            total += config.r1 * core.batch_mean(core.r1(lambda x: verdict(x, masks[0])[0], real, axis=(1, 2, 3)))
    conv.fused_adam_update(d, tape.gradient(total, d.weights), game.step, adam, factor)

    # most losses of G do not look at the real logits, and a graph drops what nothing looks at
    real_logits, _ = verdict(real, masks[0])
    with tf.GradientTape() as tape:
        tape.watch(fake)
        g_loss = core.batch_mean(loss.generator(real_logits, verdict(fake, masks[2])[0]))
    gradients = g_tape.gradient(drawn, g.weights, output_gradients=tape.gradient(g_loss, fake))
    conv.fused_adam_update(g, gradients, game.step, adam, factor)

    for moments in (real_moments, fake_moments):
        conv.update_statistics(game.discriminator_statistics, moments, config.momentum)
    conv.update_statistics(game.generator_statistics, g_moments, config.momentum)
    core.update_average(game.average, g.weights + game.generator_statistics, config.average)
    return d_loss, g_loss


def latents(bits: tf.Tensor, label: tf.Tensor | None) -> tf.Tensor:
    """Standard normal z from random bits `[B, Z]`, and the label, if any, behind it: `[B, Z + L]`."""
    z = core.from_bits(bits, "normal")
    return z if label is None else tf.concat([z, label], axis=1)


def labelled(x: tf.Tensor, label: tf.Tensor | None) -> tf.Tensor:
    """Images `[B, side, side, 1]`, and the label, if any, as constant channels: `[B, side, side, 1 + L]`."""
    if label is None:
        return x
    return tf.concat([x, label[:, None, None, :] * tf.ones_like(x)], axis=3)


def new_loop(config: Config) -> Callable:
    """The loop `(game, batches) -> losses [n, 2]`, as a graph: XLA's convolutions are slow on a CPU."""
    return core.compiled_loop(lambda game, batch: adversarial_step(game, config, batch), jit_compile=False)


def draw(config: Config, real: dict[str, np.ndarray], first: int, count: int, pack: int = 1) -> dict[str, tf.Tensor]:
    """Batches of `count` steps: of each array of `real [N, ...]` the same N's, and random bits."""
    n, sizes = len(next(iter(real.values()))), map_sizes(config.side, config.discriminator_maps)
    masks = (3, config.batch // pack, sum(sizes))
    chosen = data.image_minibatches(n, config.seed, first, count, config.batch)
    batches = {name: values[chosen] for name, values in real.items()}
    z = data.random_bits(config.seed, data.LATENT, first, count, config.batch * config.latent_dim)
    batches["z"] = z.reshape(count, config.batch, config.latent_dim)
    if config.dropout:
        batches["bits"] = data.random_bytes(config.seed, data.DROPOUT, first, count, masks)
    return {name: tf.constant(values) for name, values in batches.items()}


def new_task(config: Config, real: data.Images) -> images.Task:
    """What training this experiment means."""
    game, x = new_game(config), {"x": images.training_images(config, real)}
    return images.Task(
        game,
        new_loop(config),
        partial(draw, config, x),
        generator(config, game),
        networks(game),
        lambda: new_game(config),
    )


def networks(game: Game) -> dict[str, list]:
    """Every raw variable of both networks, running statistics included."""
    return {
        "generator": game.generator.weights + game.generator_statistics,
        "discriminator": game.discriminator.weights + game.discriminator_statistics,
    }


def generator(config: Config, game: Game) -> Callable:
    """latent bits `[n, latent_dim]`, and labels `[n, L]` where G takes them -> fakes `[n, side, side]` in [0, 1].

    By the average of G's weights, at inference. In colour: `[n, side, side, C]`.
    """
    count = len(game.generator.weights)

    @partial(tf.function, autograph=False)
    def run(bits, label, average):
        fakes, _ = generator_network(latents(bits, label), average[:count], average[count:])
        return ((fakes[..., 0] if fakes.shape[-1] == 1 else fakes) + 1) / 2

    def generate(bits, label=None):
        return run(tf.constant(bits), label if label is None else tf.constant(label, tf.float32), game.average)

    return partial(images.in_parts, generate)


def train(config: Config, run: runs.Run | None = None) -> images.Trained:
    """Train; every `eval_every` steps measure the fakes."""
    return images.train(config, run, new_task)


train_and_report = images.train_and_report(EXPERIMENT, train)

if __name__ == "__main__":
    runs.command_line(EXPERIMENT, RECIPES, train_and_report, __doc__)
