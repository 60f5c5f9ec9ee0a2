"""A conditional GAN draws the digit that it is asked for, on raw variables.

It is the DCGAN of mnist_dcgan.py, where both players are told the label y (Mirza and Osindero 2014): its one-hot code
is appended to G's z, and to D's image as ten constant channels. D maximises E log D(x, y) + E log(1 - D(G(z, y), y)),
G maximises E log D(G(z, y), y), and the fakes of a batch have the labels of its real images. A digit classifier,
trained when it is first needed, says how often a fake is the digit that was asked for.

    python experiments/mnist_conditional.py                   10,000 steps with batches of 64
    python experiments/mnist_conditional.py --data digits --steps 1000 --average 0.99     8x8 digits, no download
    python experiments/sample.py RUN --label 7                sevens, from a finished run

About 22 minutes on one core, and less on two.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import gan_core as core
from gan_core import tf
from lab import classifier, cli, devices, draws, files, image_metrics, memory, networks, pictures, plots, runs, sheets

DIGITS = 10
TAKES_LABEL = True  # the generator of a run can be asked for a digit


@dataclass(frozen=True)
class Config:
    """Settings of one run."""

    # data
    data: str | None = None  # .npz or folder of IDX files in MNIST's format, or `digits`: 8x8, no download
    train_images: cli.Count = 50_000  # the first ones; of MNIST, images 50,000 to 50,999 choose the width of `parzen`
    # networks
    latent_dim: cli.Count = 100  # numbers in z, which is standard normal
    generator_maps: tuple[cli.Count, cli.Count, cli.Count] = (64, 64, 32)  # channels of G's feature maps
    discriminator_maps: tuple[cli.Count, cli.Count, cli.Count, cli.Count] = (32, 64, 128, 256)  # channels of D's
    discriminator_norm: cli.Norm = "batch"  # in D; G always has batch norm
    momentum: cli.Decay = 0.8  # decay of the running mean and variance of batch norm; .8: about the last 5 batches
    # game
    loss: cli.Loss = "non_saturating"  # see LOSSES in gan_core.py
    r1: cli.Weight = 1.0  # weight of 1/2 |grad logit|^2 on real images, with the label held fixed
    penalty_end: cli.Rate = 1.0  # R1's weight falls to r1 times this at the last step; 1: it stays constant
    dropout: cli.Share = 0.0  # share of D's values that are set to 0, to the nearest 1/256; R1 takes its place
    # training
    seed: cli.Seed = 0  # of the first weights, the batches, the latents and the dropout masks
    steps: cli.Count = 10_000  # training steps; each updates D once and G once
    batch: cli.NormBatch = 64  # real images, and as many fakes, in a step
    learning_rate: cli.Rate = 1e-3  # of both players' Adam; .001 is the default of Keras
    schedule: cli.Schedule = "cosine"  # of both learning rates
    beta1: cli.Decay = 0.0  # of Adam; the larger it is, the more the two players circle each other
    beta2: cli.Decay = 0.99
    average: cli.Decay = 0.999  # evaluate a running average of G with this decay; 0: evaluate G itself
    # output
    eval_every: cli.Count = 500  # steps between two evaluations, each a line of log.jsonl
    log_samples: cli.Samples = 2000  # how many fakes each evaluation measures
    eval_samples: cli.Samples = 10_000  # how many fakes the final numbers measure
    checkpoint_every: cli.Count = 1000  # steps between checkpoints

    def __post_init__(self) -> None:
        cli.check(self)


def generator_inputs(bits: tf.Tensor, label: tf.Tensor) -> tf.Tensor:
    """Standard normal z from random bits `[B, Z]`, followed by the label `[B, 10]`: `[B, Z + 10]`."""
    return tf.concat([draws.latents(bits, "normal"), label], axis=1)


def with_label(x: tf.Tensor, label: tf.Tensor) -> tf.Tensor:
    """Images `[B, side, side, 1]`, followed by the label as constant channels: `[B, side, side, 11]`."""
    return tf.concat([x, label[:, None, None, :] * tf.ones_like(x)], axis=3)


def adversarial_step(game: networks.Game, config: Config, batch: dict[str, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
    """One update of D, then one of G against the updated D; returns both losses, without the penalty.

    `batch` holds real images `x [B, side, side]` uint8, their digits `label [B]`, the random bits of the latents
    `z [B, Z]` and, with dropout, random bytes `masks [3, B, ...]`: for D on real images, for D on fakes, and for G's
    update.
    """
    d, g, loss = game.discriminator, game.generator, core.LOSSES[config.loss]
    adam = core.Adam(config.learning_rate, config.beta1, config.beta2)
    real_mask, fake_mask, mask_of_g_step = tf.unstack(batch["masks"]) if config.dropout else (None, None, None)
    game.step.assign_add(1)
    rate_factor = core.SCHEDULES[config.schedule](config.steps)(game.step)
    label = tf.one_hot(batch["label"], DIGITS)  # [B, 10]: of the real images, and asked of G

    def discriminator(x, mask):
        return networks.dcgan_discriminator(with_label(x, label), d.weights, mask, config.dropout)

    real = networks.to_network(batch["x"])[..., None]  # [B, side, side, 1] in [-1, 1]
    with tf.GradientTape() as g_tape:
        generated, g_moments = networks.dcgan_generator(generator_inputs(batch["z"], label), g.weights)
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


def new_game(config: Config, side: int) -> networks.Game:
    """Raw variables of both networks for images of side x side pixels; both also take the ten numbers of a label."""
    rng, norm = draws.generator(config.seed, draws.WEIGHTS), config.discriminator_norm == "batch"
    d = networks.dcgan_discriminator_weights(rng, side, 1 + DIGITS, config.discriminator_maps, norm)
    g = networks.dcgan_generator_weights(rng, config.latent_dim + DIGITS, side, config.generator_maps)
    return networks.new_game(d, g)


def bytes_needed(config: Config, side: int, images: int = 0) -> int:
    """About how much memory training takes on this many `images` of side x side pixels, for `memory.require`."""
    d, g = networks.dcgan_sizes(config, side, config.latent_dim + DIGITS, label=DIGITS)
    return networks.dcgan_memory(config, d, g, side**2) + classifier.scoring_memory(config, side, images)


def draw_batches(config: Config, real: pictures.Images, period: runs.Period) -> Iterator[dict[str, tf.Tensor]]:
    """Real images with their labels, and random bits, for at most 50 steps at a time."""
    images, labels = real.train[: config.train_images], real.train_labels[: config.train_images]
    for chunk in period.chunks(50):
        steps = chunk.first, chunk.count
        chosen = draws.minibatch_indices(len(images), config.seed, *steps, config.batch)
        z = draws.random_bits(config.seed, draws.LATENT, *steps, config.batch * config.latent_dim)
        batch = {"x": images[chosen], "label": labels[chosen], "z": z.reshape(chunk.count, config.batch, -1)}
        if config.dropout:
            shape = 3, config.batch, sum(networks.dcgan_mask_sizes(images.shape[1], config.discriminator_maps))
            batch["masks"] = draws.random_bytes(config.seed, draws.DROPOUT, *steps, shape)
        yield core.as_tensors(batch)


def digits_by_frequency(class_frequencies: np.ndarray, n: int) -> np.ndarray:
    """The digits of samples 0 .. n - 1, each as often as `class_frequencies [10]` says: int `[n]`.

    Multiples of the golden ratio, modulo 1, fill [0, 1) evenly, however many there are; the cumulative frequencies of
    the digits turn each into a digit. So the digit of sample k needs no random number, and the label KL of the fakes
    shows only digits that were drawn wrong.
    """
    places = np.arange(n) * ((5**0.5 - 1) / 2) % 1
    return np.minimum(np.searchsorted(np.cumsum(class_frequencies), places, side="right"), DIGITS - 1)


def digits_by_row(n: int) -> np.ndarray:
    """Digits 0 to 9 in equal parts, one after the other: of 100 images each digit fills a row of the sheet."""
    return np.arange(n) * DIGITS // n


def generator(config: Config, game: networks.Game, class_frequencies: np.ndarray) -> Callable[..., np.ndarray]:
    """Latent bits `[n, latent_dim]` and digits `[n]` -> fakes `[n, side, side]` in [0, 1], by the average of G.

    Without digits, each is drawn as often as `class_frequencies` says.
    """

    @tf.function(autograph=False)
    def draw(bits, label):
        return networks.dcgan_images(generator_inputs(bits, label), game)

    def generate(bits, digits=None):
        digits = digits_by_frequency(class_frequencies, len(bits)) if digits is None else digits
        labels = np.eye(DIGITS, dtype=np.float32)[digits]
        return draws.in_parts(lambda *part: draw(*map(tf.constant, part)).numpy()[..., 0], bits, labels)

    return generate


def train(config: Config, run: runs.Run | None = None) -> runs.Trained:
    """Train both networks; every `eval_every` steps measure fakes, and keep a sheet from 25 fixed latents."""
    run = run or runs.Run()
    real = pictures.load(config.data)
    side = pictures.square_side(real, config.data, multiple_of=4)  # G doubles the sides of its first map twice
    memory.require(config, lambda config: bytes_needed(config, side, len(real.train)))
    labels = real.train_labels[: config.train_images]
    class_frequencies = np.bincount(labels, minlength=DIGITS) / len(labels)
    facts = {"name": real.name, "side": side, "fingerprint": files.fingerprint(real)}
    run.keep_data(**facts, class_frequencies=class_frequencies.tolist())
    shared, game = devices.start(run.devices, config.batch), new_game(config, side)
    loop = shared.compiled_loop(lambda game, batch: adversarial_step(game, config, batch), batch_axis={"masks": 1})
    generate, scorer = generator(config, game, class_frequencies), classifier.ImageScorer(real, config)
    with run.training({"game": game}, config) as periods:
        batches = draws.prefetched(partial(draw_batches, config, real), periods)
        for period in periods:
            losses = run.play(loop, [game], batches, period)  # [n, 2]
            fakes = generate(draws.latent_bits(config.seed, config.log_samples, config.latent_dim, 1 + period.last))
            run.require_finite(period, fakes)
            same = draws.latent_bits(config.seed, 25, config.latent_dim)
            sheets.keep(run, period, generate(same, np.arange(25) % DIGITS))
            scores = scorer.log(fakes)
            run.record(period, losses, classifier.headline(scores), **scores)
    return runs.Trained(config, real, game, run, scorer)


def evaluate(trained: runs.Trained) -> dict[str, Any]:
    """The final numbers, most with their floors: what real training images score in place of the fakes.

    The floor of `agreement`, how often a fake is classified as the digit that was asked for, is the classifier's
    accuracy on the test images.
    """
    config, real, game, scorer = trained.config, trained.real, trained.game, trained.scorer
    class_frequencies = np.array(trained.run.data["class_frequencies"])
    asked = digits_by_frequency(class_frequencies, config.eval_samples)
    bits = draws.latent_bits(config.seed, config.eval_samples, config.latent_dim)
    fakes = generator(config, game, class_frequencies)(bits, asked)
    probabilities, features = scorer.classifier.classify(fakes)
    _, train_features = scorer.classifier.classify(pictures.as_pixels(real.train[: config.eval_samples]))

    def frechet_by_digit(others: np.ndarray, digits: np.ndarray) -> list[float | None]:
        pairs = [(scorer.features[real.test_labels == k], others[digits == k]) for k in range(DIGITS)]
        return [image_metrics.frechet_digit_distance(*pair) if min(map(len, pair)) > 1 else None for pair in pairs]

    result = {
        "data": real.name,
        "seed": config.seed,
        "steps": config.steps,
        "parameters": runs.count_parameters(
            generator=game.generator.weights + game.generator_statistics,
            discriminator=game.discriminator.weights,
        ),
        "classifier_accuracy": scorer.classifier.test_accuracy,
        "agreement": float(np.mean(probabilities.argmax(-1) == asked)),
        "agreement_floor": scorer.classifier.test_accuracy,
        "frechet_by_digit": frechet_by_digit(features, asked),
        "frechet_by_digit_floor": frechet_by_digit(train_features, real.train_labels[: config.eval_samples]),
    }
    result |= scorer.final(fakes)
    share = f"{result['agreement']:.1%} of the fakes are the digit that was asked for"
    return result | {"headline": f"{share}; {classifier.headline(result)}"}


def figures(trained: runs.Trained, result: dict[str, Any], folder: Path) -> None:
    """samples, strip, interpolation, neighbours, curves (.png) and training.gif; a digit in each row."""
    config, data = trained.config, trained.run.data
    generate = generator(config, trained.game, np.array(data["class_frequencies"]))
    samples = generate(draws.latent_bits(config.seed, 100, config.latent_dim), digits_by_row(100))
    between = draws.interpolated_bits(config.seed, config.latent_dim, rows=10, columns=12)
    between, some = generate(between, digits_by_row(120)), samples[::5]  # two of each digit
    asked = [f"asked for {digit}" for digit in range(DIGITS)]
    copies = some, trained.scorer.nearest_real(some)
    sheets.figures(folder, samples, trained.run.snapshots, between, copies, rows=asked)
    plots.save(plots.image_curves(trained.run.records), folder / "curves.png")


def load_generator(config: Config, run: runs.Run) -> Callable[..., np.ndarray]:
    """`generator` of a finished or interrupted run, without its data."""
    game = new_game(config, run.data["side"])
    run.restore({"game": game}, config)
    return generator(config, game, np.array(run.data["class_frequencies"]))


TABLE = cli.Table(cli.IMAGES, {"share classified as the digit asked for": ("agreement", ".3f")} | classifier.ROWS)
RECIPES = {"stable": Config()}
SPREAD = "batches"  # what --devices shares between devices

if __name__ == "__main__":
    cli.main(__doc__, RECIPES, train, evaluate, figures, TABLE, spread=SPREAD)
