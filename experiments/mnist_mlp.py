"""A dense GAN draws handwritten digits, on raw variables.

D maximises E log D(x) + E log(1 - D(G(z))); G maximises E log D(G(z)). z begins with the one-hot code of one of
ten categories. Nobody tells G what a category should mean, but in training most become a digit: see mnist_dcgan.py,
and figures/categories.png in the run's folder. A digit classifier, trained when it is first needed, measures the
fakes; most numbers stand beside what real images score.

    python experiments/mnist_mlp.py                    the recipe that learns
    python experiments/mnist_mlp.py --recipe dnn       a tutorial's network: 5000 steps, leaky ReLU, tanh
    python experiments/mnist_mlp.py --recipe raw       another tutorial's network: weights N(0, .01^2), sigmoid
    python experiments/mnist_mlp.py --data digits --steps 2000     8x8 digits, which need no download: a minute

About 17 minutes on one core, `raw` 5, `dnn` one.

In the loop of the tutorial behind `raw` the training lines are indented one step too little, so that it trains on the
last batch of each epoch alone; here every batch is trained on.
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
from lab import classifier, cli, draws, files, memory, pictures, plots, runs, sheets


@dataclass(frozen=True)
class Config:
    """Settings of one run; the defaults are the recipe `stable`."""

    # data
    data: str | None = None  # .npz or folder of IDX files in MNIST's format, or `digits`: 8x8, no download
    train_images: cli.Count = 50_000  # the first ones; of MNIST, images 50,000 to 50,999 choose the width of `parzen`
    # networks
    latent_dim: cli.Count = 74  # numbers in z; those after the category are standard normal
    categories: cli.Categories = 10  # length of the one-hot code that z begins with; 0: z is normal throughout
    generator_hidden: cli.Sizes = (512, 1024)  # units of G's hidden layers; with (256, 512) `parzen` is 20 nats worse
    discriminator_hidden: cli.Sizes = (512, 512)  # units of D's hidden layers
    generator_activation: cli.Activation = "leaky_relu"  # of G's hidden layers
    discriminator_activation: cli.Activation = "leaky_relu"  # of D's
    init: cli.Init = "he"  # first weights of both networks
    output: Annotated[str, cli.one_of(("tanh", "sigmoid"))] = "sigmoid"  # of G: pixels in [-1, 1] or in [0, 1]
    # game
    loss: cli.Loss = "non_saturating"  # see LOSSES in gan_core.py
    r1: cli.Weight = 0.05  # weight of 1/2 |grad logit|^2 on real images; at .02 D memorises them, at 1 strokes break
    r2: cli.Weight = 0.0  # the same on fakes
    # training
    seed: cli.Seed = 0  # of the first weights, the batches and the latents
    steps: cli.Count = 40_000  # training steps; each updates D once and G once
    batch: cli.Count = 64  # real images, and as many fakes; after 6 minutes Frechet is 4 with 64, 10 with 256
    learning_rate: cli.Rate = 7e-4  # of G's Adam; at .001 a D of 1024 1024 units diverged
    discriminator_rate: cli.Rate = 0.5  # D's rate in units of G's; at 1 D memorises sooner: parzen 10 nats worse
    schedule: cli.Schedule = "cosine"  # of both learning rates; if G's alone falls, some digits become rare
    beta1: cli.Decay = 0.0  # of Adam; the larger it is, the more the two players circle each other
    beta2: cli.Decay = 0.99
    average: cli.Decay = 0.999  # evaluate a running average of G with this decay; 0: evaluate G itself
    # output
    eval_every: cli.Count = 2000  # steps between two evaluations, each a line of log.jsonl
    log_samples: cli.Samples = 2000  # how many fakes each evaluation measures
    eval_samples: cli.Samples = 10_000  # how many fakes the final numbers measure
    checkpoint_every: cli.Count = 1000  # steps between checkpoints

    def __post_init__(self) -> None:
        cli.check(self)
        enough = f"more than the {self.categories} numbers of --categories"
        cli.require(self, "latent_dim", enough, lambda v: v > self.categories)


DNN = replace(
    Config(),
    train_images=60_000,
    latent_dim=100,
    categories=0,
    generator_hidden=(128, 128),
    discriminator_hidden=(128,),
    generator_activation="leaky_relu_01",
    discriminator_activation="leaky_relu_01",
    init="glorot",  # Keras' default, as in the tutorial
    output="tanh",
    r1=0.0,
    steps=5000,
    batch=300,
    learning_rate=1e-3,
    discriminator_rate=1.0,
    schedule="constant",
    beta1=0.9,  # this and beta2 are Adam's defaults
    beta2=0.999,
    average=0.0,
    eval_every=500,
)
RAW = replace(
    DNN,
    train_images=55_000,  # the other 5000 were the tutorial's validation set
    latent_dim=128,
    generator_hidden=(256,),
    discriminator_hidden=(256,),
    generator_activation="relu",
    discriminator_activation="relu",
    init="small",
    output="sigmoid",
    steps=55_000,  # 100 epochs of 550 batches
    batch=100,
    learning_rate=2e-4,
    eval_every=5500,  # 10 epochs: a row of the strip of samples
    checkpoint_every=5500,
)


def networks(config: Config) -> tuple[core.Network, core.Network]:
    """D: pixels -> logit, and G: z -> pixels in the range of G's output; samples are columns."""
    d = partial(core.mlp, activation=core.ACTIVATIONS[config.discriminator_activation])
    hidden = partial(core.mlp, activation=core.ACTIVATIONS[config.generator_activation])
    output = {"tanh": tf.tanh, "sigmoid": tf.sigmoid}[config.output]
    return d, lambda z, weights: output(hidden(z, weights))


def new_game(config: Config, side: int) -> core.Game:
    """Raw variables of both networks for images of side x side pixels."""
    rng = draws.generator(config.seed, draws.WEIGHTS)
    d = core.mlp_weights(rng, (side**2, *config.discriminator_hidden, 1), config.init)
    g = core.mlp_weights(rng, (config.latent_dim, *config.generator_hidden, side**2), config.init)
    return core.new_game(d, g)


def bytes_needed(config: Config, side: int, images: int = 0) -> int:
    """About how much memory training takes on this many `images` of side x side pixels, for `memory.require`."""
    d = memory.mlp((side**2, *config.discriminator_hidden, 1))
    g = memory.mlp((config.latent_dim, *config.generator_hidden, side**2))
    return (
        memory.TENSORFLOW
        + memory.losses(config)
        + memory.xla(d, g, config.batch, side**2 + config.latent_dim)
        + memory.drawn(min(config.eval_every, 50), config.batch * (4 + 2 * config.latent_dim))
        + classifier.scoring_memory(config, side, images)
    )


def generator(config: Config, game: core.Game) -> Callable[[np.ndarray], np.ndarray]:
    """Latent bits `[n, latent_dim]` -> fakes `[n, side, side]` in [0, 1], by the average of G's weights."""
    _, g = networks(config)
    side = round(game.average[-1].shape[0] ** 0.5)

    @core.compiled
    def columns(bits, weights):  # [pixels, n]
        return g(draws.coded_latents(bits, config.categories, axis=0), weights)

    def generate(bits: np.ndarray) -> np.ndarray:
        fakes = columns(bits.T, game.average).numpy().T.reshape(-1, side, side)
        return (fakes + 1) / 2 if config.output == "tanh" else fakes

    return partial(draws.in_parts, generate)


def train(config: Config, run: runs.Run | None = None) -> runs.Trained:
    """Train both networks; every `eval_every` steps measure fakes, and keep a sheet from 25 fixed latents."""
    run, real = run or runs.Run(), pictures.load(config.data)
    side = pictures.square_side(real, config.data)
    memory.require(config, lambda config: bytes_needed(config, side, len(real.train)))
    run.keep_data(name=real.name, side=side, fingerprint=files.fingerprint(real))
    pixels = tf.constant(real.train[: config.train_images].reshape(-1, side**2))  # [N, pixels] uint8
    d, g = networks(config)
    schedule = core.SCHEDULES[config.schedule](config.steps)
    rules = core.Rules(
        d,
        g,
        core.LOSSES[config.loss],
        core.Adam(config.learning_rate * config.discriminator_rate, config.beta1, config.beta2),
        core.Adam(config.learning_rate, config.beta1, config.beta2),
        rate_schedule_d=schedule,
        rate_schedule_g=schedule,
        r1=config.r1,
        r2=config.r2,
        average_decay=config.average,
    )
    scale, shift = (2 / 255, -1.0) if config.output == "tanh" else (1 / 255, 0.0)

    def step(game: core.Game, batch: dict[str, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
        x = tf.gather(pixels, batch["chosen"])  # [B, pixels]; inside the loop: a call copies indices, no images
        x = scale * tf.transpose(tf.cast(x, tf.float32)) + shift  # [pixels, B]
        z = draws.coded_latents(batch["z"], config.categories, axis=0)  # [Z, B]
        return core.adversarial_step(game, rules, {"x": x, "z": z})

    def draw_batches(period: runs.Period) -> Iterator[dict[str, tf.Tensor]]:
        for chunk in period.chunks(50):
            steps, shape = (chunk.first, chunk.count), (chunk.count, config.latent_dim, config.batch)
            chosen = draws.minibatch_indices(len(pixels), config.seed, *steps, config.batch)  # [n, B]
            z = draws.random_bits(config.seed, draws.LATENT, *steps, config.latent_dim * config.batch)
            yield core.as_tensors({"chosen": chosen.astype(np.int32), "z": z.reshape(shape)})

    game, loop = new_game(config, side), core.compiled_loop(step)
    generate, scorer = generator(config, game), classifier.ImageScorer(real, config)
    with run.training({"game": game}, config) as periods:
        batches = draws.prefetched(draw_batches, periods)
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
    parameters = runs.count_parameters(generator=game.generator.weights, discriminator=game.discriminator.weights)
    result = {"data": trained.real.name, "seed": config.seed, "steps": config.steps, "parameters": parameters}
    result["classifier_accuracy"] = trained.scorer.classifier.test_accuracy
    result |= trained.scorer.final(fakes, draws.categories_of(bits, config.categories))
    return result | {"headline": classifier.headline(result)}


def figures(trained: runs.Trained, result: dict[str, Any], folder: Path) -> None:
    """Write samples, strip, interpolation, neighbours, categories, curves (.png) and training.gif to the folder."""
    plots.figures_of_latents(folder, trained, generator(trained.config, trained.game))


def load_generator(config: Config, run: runs.Run) -> Callable[[np.ndarray], np.ndarray]:
    """`generator` of a finished or interrupted run, without its data."""
    game = new_game(config, run.data["side"])
    run.restore({"game": game}, config)
    return generator(config, game)


TABLE = cli.Table(cli.IMAGES, classifier.ROWS)
RECIPES = {"stable": Config(), "dnn": DNN, "raw": RAW}

if __name__ == "__main__":
    cli.main(__doc__, RECIPES, train, evaluate, figures, TABLE)
