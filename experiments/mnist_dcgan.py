"""A convolutional GAN draws handwritten digits, with plain tf.Variables and no Keras layers.

G turns random numbers z into images; D(x) is the probability, as D sees it, that the image x is real. D sees pixels
alone, no labels. The networks are those of Radford et al. 2016 as tutorials shrink them for MNIST: G upsamples and
convolves, D has strided convolutions, both have batch norm. D maximises E log D(x) + E log(1 - D(G(z))) and G
maximises E log D(G(z)), where E is the mean over a batch. D's network returns a logit, and D(x) is its sigmoid. The
code minimises the negatives of these two, computed from logits. D's loss also has a penalty, R1, which is large where
a small change of a real image changes the logit a lot.

The first ten numbers of z are a category: one of them, chosen at random, is sqrt(10), so that their mean square is
1, and the others are 0. The rest of z is standard normal. G is a continuous function. If z were normal throughout,
some z between those of a 3 and those of an 8 would give images that are neither. With categories no z that is drawn
lies between those of two of them. Nobody tells G what a category should mean, but in training most of them become a
digit: see figures/categories.png in the run's folder.

The fakes are measured by a digit classifier, which is trained when it is first needed and then kept. It turns each
image into 64 features. The main number is the squared Frechet distance between two normal distributions, fitted to
the features of the fakes and of the test images; lower is better. Most numbers stand beside a floor: what real
training images score in place of the fakes.

    python experiments/mnist_dcgan.py                       the default recipe: R1 in place of dropout
    python experiments/mnist_dcgan.py --categories 0        z is normal throughout
    python experiments/mnist_dcgan.py --recipe classic      a tutorial's: dropout, Adam as in Keras, 4001 steps
    python experiments/mnist_dcgan.py --data digits --steps 1000 --average 0.99     8x8 digits, without a download

About 23 minutes on one core and less on two, `classic` 5 to 8. A run that was stopped goes on with --resume FOLDER,
which restores the whole `Game` (weights, Adam's moments, batch norm's statistics, the average, the step). Every
random number is a function of the seed and the step, so that a resumed run ends with the same bits as one that was
never stopped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np

import gan_core as core
from gan_core import tf
from lab import classifier, cli, devices, draws, files, memory, networks, pictures, plots, runs, sheets


@dataclass(frozen=True)
class Config:
    """Settings of one run; the defaults are the recipe `stable`."""

    # data
    data: str | None = None  # .npz or folder in MNIST's format; `digits`: 8x8, no download; default: MNIST
    train_images: cli.Count = 50_000  # the first ones; of MNIST, images 50,000 to 50,999 choose the width of `parzen`
    # networks
    latent_dim: cli.Count = 100  # numbers in z: first the category, if there is one, then standard normal numbers
    categories: cli.Categories = 10  # how many categories there are (draws.coded_latents); 0: z is normal throughout
    generator_maps: tuple[cli.Count, cli.Count, cli.Count] = (64, 64, 32)  # channels of G's feature maps
    discriminator_maps: tuple[cli.Count, cli.Count, cli.Count, cli.Count] = (32, 64, 128, 256)  # channels of D's
    discriminator_norm: cli.Norm = "batch"  # in D; G always has batch norm
    momentum: cli.Decay = 0.8  # decay of batch norm's running mean and variance; .8: about the last 5 batches
    # game
    loss: cli.Loss = "non_saturating"  # see LOSSES in gan_core.py
    r1: cli.Weight = 1.0  # weight of 1/2 |grad logit|^2 on real images
    penalty_end: cli.Rate = 0.03  # R1's weight falls to r1 times this at the last step; 1: it stays constant
    dropout: cli.Share = 0.0  # share of D's values that are set to 0, to the nearest 1/256
    # training
    seed: cli.Seed = 0  # of the first weights, the batches, the latents and the dropout masks
    steps: cli.Count = 20_000  # training steps; each updates D once and G once
    batch: cli.NormBatch = 32  # real images, and as many fakes, in a step
    learning_rate: cli.Rate = 1e-3  # of both players' Adam; .001 is the default of Keras
    schedule: cli.Schedule = "cosine"  # of both learning rates
    beta1: cli.Decay = 0.0  # of Adam; the larger it is, the more the two players circle each other
    beta2: cli.Decay = 0.99  # of Adam
    precision: Annotated[str, cli.one_of(("float32", "bfloat16"))] = "float32"  # bfloat16: faster on some CPUs
    average: cli.Decay = 0.999  # evaluate a running average of G's weights with this decay; 0: evaluate G itself
    # output
    eval_every: cli.Count = 500  # steps between two evaluations, each a line of log.jsonl
    log_samples: cli.Samples = 2000  # how many fakes each evaluation measures
    eval_samples: cli.Samples = 10_000  # how many fakes the final numbers measure
    checkpoint_every: cli.Count = 1000  # steps between checkpoints

    def __post_init__(self) -> None:
        cli.check(self)
        enough = f"more than the {self.categories} numbers of --categories"
        cli.require(self, "latent_dim", enough, lambda v: v > self.categories)


CLASSIC = replace(  # a tutorial's settings
    Config(),
    train_images=60_000,
    categories=0,
    generator_maps=(128, 128, 64),
    r1=0.0,
    penalty_end=1.0,
    dropout=0.25,
    steps=4001,
    schedule="constant",
    beta1=0.9,  # this and beta2 are Adam's defaults
    beta2=0.999,
    average=0.0,
    eval_every=200,
)


def adversarial_step(game: networks.Game, config: Config, batch: dict[str, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
    """One update of D, then one of G against the updated D; returns both losses, without the penalty.

    `batch` holds real images `x [B, side, side]`, uint8, and 16-bit random integers `z [B, latent_dim]`, from which
    `draws.coded_latents` makes the latents; with dropout, also random bytes `masks [3, B, ...]`: for D on real
    images, for D on fakes, and for D on fakes in G's update. The same fakes serve both updates. The gradient of G's
    loss is the chain rule in two parts: through the updated D to the fakes (`fake_tape`), and through G to its
    weights (`g_tape`).

    With batch norm in D the logit of an image depends on its whole batch. R1 then takes the gradient of the sum of
    the batch's logits with respect to each image.
    """
    d, g, loss = game.discriminator, game.generator, core.LOSSES[config.loss]
    adam = core.Adam(config.learning_rate, config.beta1, config.beta2)
    real_mask, fake_mask, mask_of_g_step = tf.unstack(batch["masks"]) if config.dropout else (None, None, None)
    game.step.assign_add(1)
    rate_factor = core.SCHEDULES[config.schedule](config.steps)(game.step)

    def discriminator(x, mask):
        logits = networks.dcgan_discriminator(tf.cast(x, config.precision), d.weights, mask, config.dropout)
        return tf.cast(logits, tf.float32)

    real = networks.to_network(batch["x"])[..., None]  # [B, side, side, 1] in [-1, 1]
    with tf.GradientTape() as g_tape:
        z = tf.cast(draws.coded_latents(batch["z"], config.categories), config.precision)
        images, g_moments = networks.dcgan_generator(z, g.weights)  # moments: means and variances of batch norm
        generated = tf.cast(images, tf.float32)
    fake = tf.stop_gradient(generated)  # for D fakes are constants

    with tf.GradientTape() as d_tape:  # real and fake are each normalised by the mean and variance of their own batch
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
    # The formula of core.adam_update, with one operation for each variable.
    networks.fused_adam_update(d, d_tape.gradient(total, d.weights), game.step, adam, rate_factor)

    new_real_logits = discriminator(real, real_mask) if loss.relative else None
    with tf.GradientTape() as fake_tape:
        fake_tape.watch(fake)  # a tensor, not a variable
        g_loss = core.batch_mean(loss.g(new_real_logits, discriminator(fake, mask_of_g_step)))
    gradients = g_tape.gradient(generated, g.weights, output_gradients=fake_tape.gradient(g_loss, fake))
    networks.fused_adam_update(g, gradients, game.step, adam, rate_factor)

    core.update_average(game.generator_statistics, g_moments, config.momentum)
    core.update_average(game.average, g.weights + game.generator_statistics, config.average)
    return d_loss, g_loss


def new_game(config: Config, side: int) -> networks.Game:
    """Raw variables of both networks for images of side x side pixels."""
    rng, norm = draws.generator(config.seed, draws.WEIGHTS), config.discriminator_norm == "batch"
    d = networks.dcgan_discriminator_weights(rng, side, 1, config.discriminator_maps, norm)
    g = networks.dcgan_generator_weights(rng, config.latent_dim, side, config.generator_maps)
    return networks.new_game(d, g)


def bytes_needed(config: Config, side: int, images: int = 0) -> int:
    """About how much memory training takes on `images` pictures of side x side pixels, for `memory.require`."""
    d, g = networks.dcgan_sizes(config, side, config.latent_dim)
    return networks.dcgan_memory(config, d, g, side**2) + classifier.scoring_memory(config, side, images)


def draw_batches(config: Config, images: np.ndarray, period: runs.Period) -> Iterator[dict[str, tf.Tensor]]:
    """Real images out of `images [N, side, side]` and random bits, for at most 50 steps at a time."""
    mask_sizes = networks.dcgan_mask_sizes(images.shape[1], config.discriminator_maps)
    for chunk in period.chunks(50):
        steps = chunk.first, chunk.count
        chosen = draws.minibatch_indices(len(images), config.seed, *steps, config.batch)
        z = draws.random_bits(config.seed, draws.LATENT, *steps, config.batch * config.latent_dim)
        batch = {"x": images[chosen], "z": z.reshape(chunk.count, config.batch, config.latent_dim)}
        if config.dropout:
            shape = (3, config.batch, sum(mask_sizes))
            batch["masks"] = draws.random_bytes(config.seed, draws.DROPOUT, *steps, shape)
        yield core.as_tensors(batch)


def generator(config: Config, game: networks.Game) -> Callable[[np.ndarray], np.ndarray]:
    """A function: latent bits `[n, latent_dim]` -> fakes `[n, side, side]` in [0, 1], by the average of G."""

    @tf.function(autograph=False)
    def images(bits):
        return networks.dcgan_images(draws.coded_latents(bits, config.categories), game)

    return partial(draws.in_parts, lambda bits: images(tf.constant(bits)).numpy()[..., 0])


def train(config: Config, run: runs.Run | None = None) -> runs.Trained:
    """Train both networks; every `eval_every` steps measure new fakes, and keep a sheet from 25 fixed latents."""
    run = run or runs.Run()
    real = pictures.load(config.data)
    side = pictures.square_side(real, config.data, multiple_of=4)  # G doubles the sides of its first map twice
    if config.precision == "bfloat16" and side <= 8:  # D's last convolution then sees one pixel
        reason = "TensorFlow does not compute all gradients of a convolution over one pixel"
        raise files.BadInput(f"--precision bfloat16: expected images larger than {side} x {side} pixels: {reason}")
    memory.require(config, lambda config: bytes_needed(config, side, len(real.train)))
    run.keep_data(name=real.name, side=side, fingerprint=files.fingerprint(real))
    shared = devices.start(run.devices, config.batch)
    images, game = real.train[: config.train_images], new_game(config, side)
    loop = shared.compiled_loop(lambda game, batch: adversarial_step(game, config, batch), batch_axis={"masks": 1})
    generate, scorer = generator(config, game), classifier.ImageScorer(real, config)
    with run.training({"game": game}, config) as periods:
        batches = draws.prefetched(partial(draw_batches, config, images), periods)
        for period in periods:
            losses = run.play(loop, [game], batches, period)  # [n, 2]
            fakes = generate(draws.latent_bits(config.seed, config.log_samples, config.latent_dim, 1 + period.last))
            run.require_finite(period, fakes)
            sheets.keep(run, period, generate(draws.latent_bits(config.seed, 25, config.latent_dim)))
            scores = scorer.log(fakes)
            run.record(period, losses, classifier.headline(scores), **scores)
    return runs.Trained(config, real, game, run, scorer)


def evaluate(trained: runs.Trained) -> dict[str, Any]:
    """The final numbers, most with their floors: what real training images score in place of the fakes."""
    config, game = trained.config, trained.game
    bits = draws.latent_bits(config.seed, config.eval_samples, config.latent_dim)
    fakes = generator(config, game)(bits)
    result = {"data": trained.real.name, "seed": config.seed, "steps": config.steps}
    result |= {
        "parameters": runs.count_parameters(
            generator=game.generator.weights + game.generator_statistics,
            discriminator=game.discriminator.weights,
        ),
        "classifier_accuracy": trained.scorer.classifier.test_accuracy,
    }
    result |= trained.scorer.final(fakes, draws.categories_of(bits, config.categories))
    return result | {"headline": classifier.headline(result)}


def figures(trained: runs.Trained, result: dict[str, Any], folder: Path) -> None:
    """Write samples, strip, interpolation, neighbours, categories, curves (.png) and training.gif to the folder."""
    plots.figures_of_latents(folder, trained, generator(trained.config, trained.game))


def load_generator(config: Config, run: runs.Run) -> Callable[[np.ndarray], np.ndarray]:
    """The generator of a run's last checkpoint; the images that it was trained on are not needed."""
    game = new_game(config, run.data["side"])
    run.restore({"game": game}, config)
    return generator(config, game)


TABLE = cli.Table(cli.IMAGES, classifier.ROWS)
RECIPES = {"stable": Config(), "classic": CLASSIC}
SPREAD = "batches"  # what --devices shares between devices

if __name__ == "__main__":
    cli.main(__doc__, RECIPES, train, evaluate, figures, TABLE, spread=SPREAD)
