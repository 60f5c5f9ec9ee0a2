"""A GAN draws three digits at once, and we count how many of the 1000 triples it makes.

Stacked MNIST (Metz et al. 2017): the red, green and blue of one image are three random digits. Each of the 1000
triples is a mode, and all are about equally probable. The protocol is that of VEEGAN (Srivastava et al. 2017) and
PacGAN (Lin et al. 2018): train on 128,000 stacked images; a digit classifier reads each channel of 26,000 fakes; a
mode counts if one fake or more shows it; the KL is sum p ln(1000 p), where p is a mode's share of the fakes, and 0 is
best. A perfect sampler scores .0194 +- .0009 (standard deviation), real MNIST triples .0237, because some digits are
rarer than others. With `--pack` D sees several images at once, stacked as channels (PacGAN): a generator that draws
too few kinds of images then gives itself away. `--batch` counts packs, not images.

Unclear digits keep the KL high: the classifier has to read each as some digit, and often takes the wrong one. By
default (`--network alike`) both networks use the same filters for the three digits of an image. G's dense layer makes
a feature map for each colour, and the same convolutions make three grey images of them, which are the colours. D's
first three convolutions read each colour by itself with the same filters, and the last one joins them. This tells
both networks that all colours show the same kind of picture. Published networks are not told: to compare with them,
use `--network dcgan`. No network is told that the colours are independent: it has to learn that.

    python experiments/stacked_mnist.py                             R1, Adam with beta1 = 0, an average of G
    python experiments/stacked_mnist.py --recipe dcgan --pack 2     PacGAN's batch and Adam; D sees pairs of images
    python experiments/stacked_mnist.py --data digits --steps 1000 --average 0.99     8x8 digits, without a download

About 20 minutes on one core.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np

import gan_core as core
import metrics
from gan_core import tf
from lab import classifier, cli, devices, draws, files, image_metrics, memory, networks, pictures, plots, runs, sheets

COLOURS, DIGITS = 3, 10
MODES = DIGITS**COLOURS

Network = Annotated[str, cli.one_of(("alike", "dcgan"))]
Samples = Annotated[int, cli.Accepted(f"at least {MODES}, one for each mode", lambda v: v >= MODES)]


@dataclass(frozen=True)
class Config:
    """Settings of one run; the defaults are the recipe `stable`."""

    # data
    data: str | None = None  # .npz or folder of IDX files in MNIST's format, or `digits`: 8x8, no download
    train_images: cli.Count = 60_000  # the first images of the training set
    stacked_images: cli.Count = 128_000  # triples of them to train on
    # networks
    network: Network = "alike"  # alike: G and D have the same filters for each colour; dcgan: those of mnist_dcgan.py
    latent_dim: cli.Count = 100  # numbers in z, which is standard normal
    generator_maps: tuple[cli.Count, cli.Count, cli.Count] = (64, 64, 32)  # channels of G's feature maps
    discriminator_maps: tuple[cli.Count, cli.Count, cli.Count, cli.Count] = (32, 64, 128, 256)  # channels of D's
    discriminator_norm: cli.Norm = "batch"  # in D; with none the KL was .037 instead of .027; G always has batch norm
    momentum: cli.Decay = 0.8  # decay of the running mean and variance of batch norm; .8: about the last 5 batches
    # game
    loss: cli.Loss = "non_saturating"  # see LOSSES in gan_core.py
    pack: cli.Count = 1  # images that D sees at a time, as the channels of one: a pack
    r1: cli.Weight = 1.0  # weight of 1/2 |grad logit|^2 on real images; with a constant .1 KL rises after step 5500
    penalty_end: cli.Rate = 1.0  # R1's weight falls to r1 times this at the last step; at .03 G drew too many 1s
    dropout: cli.Share = 0.0  # share of D's values set to 0, in 1/256ths; with dcgan alone
    # training
    seed: cli.Seed = 0  # of the first weights, the triples, the latents and the dropout masks
    steps: cli.Count = 6000  # training steps; each updates D once and G once
    batch: cli.AtLeast2 = 32  # packs of real images, and of fakes
    learning_rate: cli.Rate = 2e-3  # of both players' Adam; .0002 in DCGAN, VEEGAN and PacGAN
    schedule: cli.Schedule = "cosine"  # of both learning rates
    beta1: cli.Decay = 0.0  # of Adam; the larger it is, the more the two players circle each other
    beta2: cli.Decay = 0.99
    average: cli.Decay = 0.999  # evaluate a running average of G with this decay; 0: evaluate G itself
    # output
    eval_every: cli.Count = 1000  # steps between two evaluations, each a line of log.jsonl
    log_samples: Samples = 5000  # fakes behind each record; of 5000 a perfect sampler reaches 993 modes, KL .105
    eval_samples: Samples = 26_000  # fakes behind the final numbers; 26,000 is the protocol's: floor of the KL .0194
    checkpoint_every: cli.Count = 1000  # steps between checkpoints

    def __post_init__(self) -> None:
        cli.check(self)
        if self.network != "dcgan":
            cli.require(self, "dropout", f"0 with --network {self.network}", lambda v: v == 0)


DCGAN = replace(  # PacGAN's batch, Adam and number of latents, for the networks of mnist_dcgan.py
    Config(),
    network="dcgan",
    generator_maps=(128, 128, 64),
    r1=0.0,
    steps=14_000,
    batch=64,
    learning_rate=2e-4,
    schedule="constant",
    beta1=0.5,
    beta2=0.999,
    average=0.0,
    eval_every=500,
)


# ------------------------------------------------------------------------------------------------ the game


def adversarial_step(
    game: networks.Game, config: Config, grey: tf.Tensor, batch: dict[str, tf.Tensor]
) -> tuple[tf.Tensor, tf.Tensor]:
    """One update of D, then one of G against the updated D; returns both losses, without the penalty.

    `grey [N, side, side]` are the training images. `batch` holds the indices of those that are stacked,
    `triples [pack, B, 3]`, the random bits of the latents `z [pack, B, Z]` and, with dropout, random bytes
    `masks [3, B, ...]`: for D on real images, for D on fakes, and for G's update.
    """
    d, g, loss = game.discriminator, game.generator, core.LOSSES[config.loss]
    adam = core.Adam(config.learning_rate, config.beta1, config.beta2)
    real_mask, fake_mask, mask_of_g_step = tf.unstack(batch["masks"]) if config.dropout else (None, None, None)
    game.step.assign_add(1)
    rate_factor = core.SCHEDULES[config.schedule](config.steps)(game.step)

    generate = GENERATORS[config.network]

    def discriminator(x, mask):
        if config.network == "alike":
            return alike_discriminator(x, d.weights)
        return networks.dcgan_discriminator(x, d.weights, mask, config.dropout)

    def flat(x):  # [pack, B, n] -> [pack B, n]
        return tf.reshape(x, (-1, x.shape[2]))

    def packed(x):  # [pack B, side, side, 3] -> [B, side, side, 3 pack]
        return core.packed(x, config.pack, batch=0, features=3)

    real = packed(networks.to_network(stacked(grey, flat(batch["triples"]))))
    with tf.GradientTape() as g_tape:
        generated, g_moments = generate(draws.latents(flat(batch["z"]), "normal"), g.weights)
        generated = packed(generated)
    fake = tf.stop_gradient(generated)  # G is run once, for both updates: its weights stay as they are while D learns

    with tf.GradientTape() as tape:
        with tf.GradientTape() as slope_tape:
            slope_tape.watch(real)
            real_logits = discriminator(real, real_mask)
        fake_logits = discriminator(fake, fake_mask)
        total = d_loss = core.batch_mean(loss.d(real_logits, fake_logits))
        if config.r1:
            slope = slope_tape.gradient(real_logits, real)
            penalty = tf.reduce_sum(slope**2, (1, 2, 3)) / 2  # R1, Mescheder et al. 2018, equation 9
            weight = config.r1 * core.geometric(config.penalty_end, config.steps)(game.step)
            total = d_loss + weight * core.batch_mean(penalty)
    networks.fused_adam_update(d, tape.gradient(total, d.weights), game.step, adam, rate_factor)

    new_real_logits = discriminator(real, real_mask) if loss.relative else None
    with tf.GradientTape() as tape:
        tape.watch(fake)
        g_loss = core.batch_mean(loss.g(new_real_logits, discriminator(fake, mask_of_g_step)))
    # The chain rule, in two parts: first through the D just updated to the fakes, then through G to its weights.
    gradients = g_tape.gradient(generated, g.weights, output_gradients=tape.gradient(g_loss, fake))
    networks.fused_adam_update(g, gradients, game.step, adam, rate_factor)

    core.update_average(game.generator_statistics, g_moments, config.momentum)
    core.update_average(game.average, g.weights + game.generator_statistics, config.average)
    return d_loss, g_loss


def alike_generator(
    z: tf.Tensor, weights: Sequence, statistics: Sequence | None = None
) -> tuple[tf.Tensor, list[tf.Tensor]]:
    """Rows `[B, inputs]` -> images `[B, side, side, COLOURS]` in [-1, 1], and moments.

    Each colour is a grey image of `networks.dcgan_generator`, all of them with the same convolutions.
    """
    grey, moments = networks.dcgan_generator(z, weights, statistics, images=COLOURS)  # [COLOURS B, side, side, 1]
    images = tf.reshape(grey, (-1, COLOURS, *grey.shape[1:3]))
    return tf.transpose(images, (0, 2, 3, 1)), moments


GENERATORS = {"alike": alike_generator, "dcgan": networks.dcgan_generator}


def alike_discriminator_weights(
    rng: np.random.Generator, side: int, channels: int, maps: Sequence[int], norm: bool
) -> core.Weights:
    """Raw weights of `alike_discriminator`: only its last convolution reads the maps of all channels together."""
    weights: core.Weights = []
    inputs = 1, *maps[:-2], channels * maps[-2]  # of each convolution
    for before, after in zip(inputs, maps, strict=True):
        norms = networks.norm_weights(after) if norm and weights else []
        weights += networks.glorot(rng, 3, 3, before, after) + norms
    return weights + networks.glorot(rng, networks.dcgan_mask_sizes(side, maps)[-1], 1)


def alike_discriminator(x: tf.Tensor, weights: Sequence) -> tf.Tensor:
    """Images `[B, side, side, C]` -> logits `[B]`, as `networks.dcgan_discriminator`.

    The first blocks read each channel as an image of its own; the last one reads all channels together.
    """
    *blocks, joining, last = networks.layers(weights)
    channels = x.shape[3]
    h = tf.concat(tf.split(x, channels, axis=3), axis=0)  # [C B, side, side, 1]
    for block in blocks:
        h = networks.dcgan_block(h, block)
    h = tf.concat(tf.split(h, channels, axis=0), axis=3)
    h = networks.dcgan_block(h, joining)
    return networks.dense(tf.reshape(h, (x.shape[0], -1)), *last)[:, 0]


# ---------------------------------------------------------------------------------------- training, scores


def new_game(config: Config, side: int) -> networks.Game:
    """Raw variables of both networks for images of side x side pixels."""
    rng, alike = draws.generator(config.seed, draws.WEIGHTS), config.network == "alike"
    new_d = alike_discriminator_weights if alike else networks.dcgan_discriminator_weights
    d = new_d(rng, side, COLOURS * config.pack, config.discriminator_maps, config.discriminator_norm == "batch")
    channels, images = (1, COLOURS) if alike else (COLOURS, 1)  # of G
    g = networks.dcgan_generator_weights(rng, config.latent_dim, side, config.generator_maps, channels, images)
    return networks.new_game(d, g)


def bytes_needed(config: Config, side: int) -> int:
    """About how much memory training takes on digits of side x side pixels, for `memory.require`."""
    fakes, features = max(config.log_samples, config.eval_samples), COLOURS * classifier.FEATURES
    pixels = COLOURS * side**2
    d, g = networks.dcgan_sizes(config, side, config.latent_dim, COLOURS)
    if config.network == "alike":  # the first maps are made of each colour of each image of a pack
        of_image, _ = networks.dcgan_sizes(memory.resized(config, pack=1), side, config.latent_dim, COLOURS)
        d = d._replace(units=COLOURS * config.pack * of_image.units)
        _, g = networks.dcgan_sizes(config, side, COLOURS * config.latent_dim)  # the dense layer makes all colours
        g = g._replace(units=COLOURS * g.units)
    training = networks.dcgan_memory(config, d, g, bytes_of_image=12)
    scoring = fakes * (12 * pixels + 24 * features + 2 * config.latent_dim)  # float32, features also as float64
    return training + scoring + 60 * config.stacked_images  # three int32 each, and the order of an epoch, int64


def stacked(grey: tf.Tensor, triples: tf.Tensor) -> tf.Tensor:
    """Grey images `[N, side, side]` and indices `[n, 3]` -> colour images `[n, side, side, 3]`."""
    return tf.transpose(tf.gather(grey, triples), (0, 2, 3, 1))


def draw_batches(
    config: Config, triples: np.ndarray, side: int, period: runs.Period
) -> Iterator[dict[str, tf.Tensor]]:
    """Some of the `triples [n, 3]` and random bits, for at most 50 steps at a time."""
    samples, mask_sizes = config.pack * config.batch, networks.dcgan_mask_sizes(side, config.discriminator_maps)
    for chunk in period.chunks(50):
        steps = chunk.first, chunk.count
        chosen = draws.minibatch_indices(len(triples), config.seed, *steps, samples)
        z = draws.random_bits(config.seed, draws.LATENT, *steps, samples * config.latent_dim)
        packs = chunk.count, config.pack, config.batch, -1
        batch = {"triples": triples[chosen].reshape(packs), "z": z.reshape(packs)}
        if config.dropout:
            shape = (3, config.batch, sum(mask_sizes))
            batch["masks"] = draws.random_bytes(config.seed, draws.DROPOUT, *steps, shape)
        yield core.as_tensors(batch)


def generator(config: Config, game: networks.Game) -> Callable[[np.ndarray], np.ndarray]:
    """Latent bits `[n, latent_dim]` -> fakes `[n, side, side, 3]` in [0, 1], by the average of G's weights."""

    @tf.function(autograph=False)
    def images(bits):
        return networks.dcgan_images(draws.latents(bits, "normal"), game, GENERATORS[config.network])

    return partial(draws.in_parts, lambda bits: images(tf.constant(bits)).numpy())


class Scorer(classifier.ImageScorer):
    """What the digit classifier sees in the channels of stacked images `[n, side, side, 3]`."""

    def read(self, fakes: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """How often each triple of digits is read `[1000]`, probabilities `[3 n, 10]` and features `[3 n, 64]`."""
        seen = [self.classifier.classify(fakes[..., colour]) for colour in range(COLOURS)]
        probabilities, features = (np.concatenate(part) for part in zip(*seen, strict=True))
        digits = np.stack([of_colour.argmax(-1) for of_colour, _ in seen], axis=1)  # [n, 3]
        return image_metrics.tuple_counts(digits, DIGITS), probabilities, features

    def scores(self, fakes: np.ndarray, final: bool = False) -> dict[str, Any]:
        """Modes, KL, and how good the single digits are; the final scores also say how many modes came how often."""
        counts, probabilities, features = self.read(fakes)
        scores: dict[str, Any] = {
            "modes": int(np.count_nonzero(counts)),
            "kl": metrics.uniform_kl(counts),
            "confident_share": image_metrics.confident_share(probabilities),
            "frechet_digit_distance": image_metrics.frechet_digit_distance(self.features, features),
        }
        if final:
            times, modes = np.unique(counts, return_counts=True)
            scores["modes_by_count"] = dict(zip(map(str, times.tolist()), modes.tolist(), strict=True))
        return scores

    def floors(self, n: int, final: bool = False) -> dict[str, Any]:
        """What n samples of a perfect sampler score, and what n other triples of training images score."""
        grey = self.real.train[: self.config.train_images]
        triples = pictures.random_triples(n, len(grey), self.config.seed, draws.EVALUATION)
        real = self.scores(pictures.as_pixels(stacked(tf.constant(grey), triples).numpy()))
        return {
            "modes_floor": metrics.expected_modes(MODES, n),
            "kl_floor": metrics.kl_floor(np.ones(MODES), n, smoothing=0, reverse=True).mean,
            "kl_real": real["kl"],
            "confident_share_floor": real["confident_share"],
            "frechet_digit_distance_floor": real["frechet_digit_distance"],
        }


def train(config: Config, run: runs.Run | None = None) -> runs.Trained:
    """Train both networks; every `eval_every` steps read the fakes, and keep a sheet from 25 fixed latents."""
    run = run or runs.Run()
    real = pictures.load(config.data)
    side = pictures.square_side(real, config.data, multiple_of=4)
    memory.require(config, lambda config: bytes_needed(config, side))
    run.keep_data(name=real.name, side=side, fingerprint=files.fingerprint(real))
    grey = real.train[: config.train_images]
    triples = pictures.random_triples(config.stacked_images, len(grey), config.seed)
    shared = devices.start(run.devices, config.batch)
    game, pixels = new_game(config, side), tf.constant(grey)

    def step(game, batch):
        return adversarial_step(game, config, pixels, batch)

    loop = shared.compiled_loop(step, batch_axis={"triples": 1, "z": 1, "masks": 1})
    generate, scorer = generator(config, game), Scorer(real, config)
    with run.training({"game": game}, config) as periods:
        batches = draws.prefetched(partial(draw_batches, config, triples, side), periods)
        for period in periods:
            losses = run.play(loop, [game], batches, period)  # [n, 2]
            fakes = generate(draws.latent_bits(config.seed, config.log_samples, config.latent_dim, 1 + period.last))
            run.require_finite(period, fakes)
            sheets.keep(run, period, generate(draws.latent_bits(config.seed, 25, config.latent_dim)))
            scores = scorer.log(fakes)
            words = "{modes} modes, KL {kl:z.3f} (floor {kl_floor:.3f})"
            run.record(period, losses, words.format(**scores), **scores)
    return runs.Trained(config, real, game, run, scorer)


def evaluate(trained: runs.Trained) -> dict[str, Any]:
    """The final numbers, each with its floor: what a perfect sampler, or real triples, score in the fakes' place."""
    config, game = trained.config, trained.game
    fakes = generator(config, game)(draws.latent_bits(config.seed, config.eval_samples, config.latent_dim))
    result = {
        "data": trained.real.name,
        "seed": config.seed,
        "steps": config.steps,
        "parameters": runs.count_parameters(
            generator=game.average,  # as many as G's weights and statistics
            discriminator=game.discriminator.weights,
        ),
        "classifier_accuracy": trained.scorer.classifier.test_accuracy,
    }
    result |= trained.scorer.final(fakes)
    result |= {name: getattr(config, name) for name in ("network", "loss", "pack", "batch", "eval_samples")}
    words = "{modes} of 1000 modes, KL {kl:z.4f}; a perfect sampler has {kl_floor:.4f}, real digits {kl_real:z.4f}"
    return result | {"headline": words.format(**result)}


def figures(trained: runs.Trained, result: dict[str, Any], folder: Path) -> None:
    """samples, strip, interpolation, curves, modes (.png) and training.gif."""
    config, generate = trained.config, generator(trained.config, trained.game)
    samples = generate(draws.latent_bits(config.seed, 100, config.latent_dim))
    between = generate(draws.interpolated_bits(config.seed, config.latent_dim, rows=10, columns=12))
    sheets.figures(folder, samples, trained.run.snapshots, between)
    plots.save(plots.image_curves(trained.run.records, plots.STACKED_CURVES), folder / "curves.png")
    counts = np.repeat([int(times) for times in result["modes_by_count"]], list(result["modes_by_count"].values()))
    plots.save(plots.mode_counts(counts), folder / "modes.png")


def load_generator(config: Config, run: runs.Run) -> Callable[[np.ndarray], np.ndarray]:
    """`generator` of a finished or interrupted run, without its data."""
    game = new_game(config, run.data["side"])
    run.restore({"game": game}, config)
    return generator(config, game)


TABLE = cli.Table(
    {"fakes": "{}", "floor": "{}_floor"},
    {
        "modes of 1000": ("modes", ".0f"),
        "KL to uniform, nats": ("kl", ".4f"),
        "share classified with 90% confidence": ("confident_share", ".3f"),
        "Frechet distance of single digits": ("frechet_digit_distance", ".2f"),
    },
)
RECIPES = {"stable": Config(), "dcgan": DCGAN}
SPREAD = "batches"  # what --devices shares between devices

if __name__ == "__main__":
    cli.main(__doc__, RECIPES, train, evaluate, figures, TABLE, spread=SPREAD)
