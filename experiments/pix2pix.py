"""Paired image translation: a U-Net draws B from A, and a discriminator looks at every patch of the pair.

Isola et al. 2017: D maximises E log D(A, B) + E log(1 - D(A, G(A))) over overlapping patches; G maximises
E log D(A, G(A)) - weight * E |B - G(A)|. Dropout in G is the only noise. A second U-Net learns from the L1 distance
alone, on the same batches: the difference between the two is what the adversarial game adds.

    python experiments/pix2pix.py                      from the edges of MNIST's digits to the digits
    python experiments/pix2pix.py --data digits        8x8 digits, without a download
    python experiments/pix2pix.py --pairs facades      your own: PNG files with A|B side by side, in train/ and val/

About 2 minutes on one core. `--pairs` takes grey or colour images of one size, whose sides are multiples of 4; on
large ones try --batch 1.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy import ndimage

import gan_core as core
from gan_core import tf
from lab import (
    classifier,
    cli,
    devices,
    draws,
    files,
    image_metrics,
    memory,
    networks,
    pictures,
    plots,
    runs,
    screen,
    sheets,
)

SHOWN = 10  # held-out pairs in the pictures
LOGGED = ("discriminator_loss", "generator_loss", "train_l1", "train_l1_of_l1_only")


@dataclass(frozen=True)
class Config:
    """Settings of one run."""

    # data
    pairs: str | None = None  # folder of PNG files, A|B side by side; by default edges and digits of --data
    data: str | None = None  # .npz or folder of IDX files in MNIST's format, or `digits`: 8x8, no download
    train_images: cli.Count = 50_000  # at most this many pairs of the training set, from the first one
    # networks
    width: cli.Count = 32  # channels of the first layer of each network; 64 in the paper
    dropout: cli.Share = 0.5  # share of activations that the U-Nets drop, also when they translate; .5 in the paper
    # game
    loss: cli.Loss = "non_saturating"  # see LOSSES in gan_core.py
    l1: cli.Weight = 100.0  # weight of the L1 distance in G's loss; 100 in the paper
    # training
    seed: cli.Seed = 0  # of the first weights, the batches and the dropout masks
    steps: cli.Count = 3000  # updates of each network, in total
    batch: cli.Count = 32  # pairs in a step; 1 in the paper, on 256 x 256 pixels
    learning_rate: cli.Rate = 5e-4  # of every Adam; the paper's 2e-4 is for batches of 1
    beta1: cli.Decay = 0.5  # of Adam; this and beta2 are the paper's
    beta2: cli.Decay = 0.999
    # output
    eval_every: cli.Count = 250  # steps between two evaluations, each a line of log.jsonl
    log_samples: cli.Samples = 1000  # held-out pairs behind a line of log.jsonl; all, if there are fewer
    eval_samples: cli.Samples = 10_000  # the same for the final numbers
    checkpoint_every: cli.Count = 1000  # steps between checkpoints

    def __post_init__(self) -> None:
        cli.check(self)
        if self.pairs is not None:
            words = f"no such flag beside --pairs {self.pairs}, whose images take its place"
            cli.require_defaults(self, "data", words)


def read_pairs(config: Config, digits: pictures.Images | None) -> tuple[pictures.Split, pictures.Split]:
    """A and B: the edges of digits and the digits; without digits, the halves of the images in the user's folder."""
    if digits:
        pictures.square_side(digits, config.data, multiple_of=4)
        train, test = digits.train[: config.train_images, ..., None], digits.test[..., None]
        b = pictures.Split(train, test, digits.test_labels, digits.name)
        return b._replace(train=edges(train), test=edges(test)), b
    both = pictures.read_folder("--pairs", str(config.pairs), config.seed, columns=2)
    halves = (np.split(x, 2, axis=2) for x in (both.train[: config.train_images], both.test))
    a, b = (both._replace(train=train, test=test) for train, test in zip(*halves, strict=True))
    return a, b


def edges(digits: np.ndarray) -> np.ndarray:
    """Outlines, uint8 `[N, H, W, ...]`: white where the Sobel gradient is a quarter of its maximum or more."""
    x = digits.astype(np.float32) / 255

    def slope(along: int, across: int) -> np.ndarray:  # `ndimage.sobel` would also smooth from one image to the next
        return ndimage.correlate1d(ndimage.correlate1d(x, (-1, 0, 1), along), (1, 2, 1), across)

    return np.where(np.hypot(slope(1, 2), slope(2, 1)) >= 1, 255, 0).astype(np.uint8)  # the maximum is about 4


def draw_batches(config: Config, a: pictures.Split, b: pictures.Split, period: runs.Period) -> Iterator[dict]:
    """Pairs and random bytes for the dropout of both U-Nets, for at most 50 steps at a time."""
    masks = (2, config.batch, sum(networks.unet_mask_sizes(a.train.shape[1:], config.width)))
    at_once = max(1, min(50, 2**27 // math.prod(masks)))  # fewer of large images: 134 MB of random bytes
    for chunk in period.chunks(at_once):
        chosen = draws.minibatch_indices(len(a.train), config.seed, chunk.first, chunk.count, config.batch)
        bits = draws.random_bytes(config.seed, draws.DROPOUT, chunk.first, chunk.count, masks)
        yield core.as_tensors({"a": a.train[chosen], "b": b.train[chosen], "bits": bits})


class Game(NamedTuple):
    """Everything that training changes: D, G, the U-Net that learns from the L1 distance alone, and the step."""

    discriminator: core.Player
    generator: core.Player
    l1_only: core.Player
    step: tf.Variable


def new_game(config: Config, size: tuple[int, ...]) -> Game:
    """Raw variables for images of `size` (H, W, C); both U-Nets start with the same weights."""
    d = networks.patchgan_weights(draws.generator(config.seed, draws.WEIGHTS), 2 * size[2], config.width)
    # Equal generators, so that both U-Nets start alike; any stream that is not used otherwise here would do.
    rngs = (draws.generator(config.seed, draws.MIX) for _ in range(2))
    g, l1_only = (networks.unet_weights(rng, size, config.width) for rng in rngs)
    step = tf.Variable(0, dtype=tf.int64)
    return Game(core.new_player(d), core.new_player(g), core.new_player(l1_only), step)


def adversarial_step(game: Game, config: Config, batch: dict[str, tf.Tensor]) -> tuple[tf.Tensor, ...]:
    """One update of D, one of G against the updated D, one of the other U-Net; returns what `LOGGED` names.

    `batch` holds pairs `a, b [B, H, W, C]`, uint8, and random bytes `bits [2, B, ...]` for the U-Nets' dropout. D's
    loss is halved, as in the paper; Adam undoes that but for its epsilon. The returned distances are those of pixels
    in [0, 1].
    """
    d, g, l1_only, loss = game.discriminator, game.generator, game.l1_only, core.LOSSES[config.loss]
    adam = core.Adam(config.learning_rate, config.beta1, config.beta2)
    game.step.assign_add(1)
    a, b = networks.to_network(batch["a"]), networks.to_network(batch["b"])  # [B, H, W, C] in [-1, 1]

    def d_logits(x: tf.Tensor) -> tf.Tensor:  # of the pairs (a, x), patch by patch
        return networks.patchgan(tf.concat([a, x], axis=3), d.weights)

    def distance(x: tf.Tensor) -> tf.Tensor:  # of pixels in [-1, 1], for which the paper's weight is
        return tf.reduce_mean(tf.abs(x - b))

    with tf.GradientTape() as g_tape:
        generated = networks.unet(a, g.weights, batch["bits"][0], config.dropout)
    fake = tf.stop_gradient(generated)  # G is run once, for both updates: its weights stay as they are while D learns
    with tf.GradientTape() as tape:
        d_loss = core.batch_mean(loss.d(d_logits(b), d_logits(fake))) / 2
    networks.fused_adam_update(d, tape.gradient(d_loss, d.weights), game.step, adam)

    real_logits = d_logits(b) if loss.relative else None
    with tf.GradientTape() as tape:
        tape.watch(fake)
        g_loss = core.batch_mean(loss.g(real_logits, d_logits(fake)))
        total = g_loss + config.l1 * distance(fake)
    # The chain rule, in two parts: first through the D just updated to the fakes, then through G to its weights.
    gradients = g_tape.gradient(generated, g.weights, output_gradients=tape.gradient(total, fake))
    networks.fused_adam_update(g, gradients, game.step, adam)

    with tf.GradientTape() as tape:
        l1_loss = distance(networks.unet(a, l1_only.weights, batch["bits"][1], config.dropout)) / 2
    networks.fused_adam_update(l1_only, tape.gradient(l1_loss, l1_only.weights), game.step, adam)
    return d_loss, g_loss, distance(fake) / 2, l1_loss


def bytes_needed(config: Config, size: tuple[int, ...], held_out: int) -> int:
    """About how much memory training takes on images of `size` (H, W, C), for `memory.require`."""
    unet = networks.unet_size(size, config.width)
    patchgan = networks.patchgan_size((*size[:2], 2 * size[2]), config.width)
    steps, masks = min(config.eval_every, 50), 2 * config.batch * sum(networks.unet_mask_sizes(size, config.width))
    drawn = max(masks, min(steps * masks, 2**27)) + 2 * steps * config.batch * math.prod(size)  # uint8
    kept = 2 * unet.units + 2 * patchgan.units
    return networks.translation_memory(config, size, (unet, unet, patchgan), kept, drawn, held_out)


def translator(config: Config) -> Callable[[core.Weights, np.ndarray], np.ndarray]:
    """A function (weights of a U-Net, uint8 A `[n, H, W, C]`) -> B as it draws it, float32 `[n, H, W, C]` in [0, 1].

    The dropout of image k depends on k alone: not on how many images there are.
    """

    @tf.function(autograph=False)
    def run(weights, a, bits):
        return (networks.unet(networks.to_network(a), weights, bits, config.dropout) + 1) / 2

    def translate(weights: core.Weights, a: np.ndarray) -> np.ndarray:
        masks = (sum(networks.unet_mask_sizes(a.shape[1:], config.width)),)

        def part(a: np.ndarray, places: np.ndarray) -> np.ndarray:
            return run(weights, a, draws.random_bytes(config.seed, draws.EVALUATION, int(places[0]), len(a), masks))

        return draws.in_parts(part, a, np.arange(len(a)), at_once=networks.images_at_once(a.shape[1:]))

    return translate


def measure(trained: runs.Trained, translate: Callable, n: int) -> dict[str, float]:
    """What up to n held-out pairs score: their L1 distance to B and, of digits, what the digit classifier sees.

    Each number is there four times: of G, of the U-Net that learned from L1 alone, of A as it is, and of B itself,
    its floor.
    """
    (a, b), game, scorer = trained.real, trained.game, trained.scorer
    x, y = a.test[:n], pictures.as_pixels(b.test[:n])
    drawn = {"": translate(game.generator.weights, x), "_of_l1_only": translate(game.l1_only.weights, x)}
    drawn |= {"_of_copy": pictures.as_pixels(x), "_floor": y}
    scores = {f"l1{name}": image_metrics.mean_error(images, y) for name, images in drawn.items()}
    if scorer:
        labels = b.test_labels[:n]
        seen = {name: classifier.accuracy_and_features(scorer, images, labels) for name, images in drawn.items()}
        _, real_features = seen["_floor"]
        for name, (accuracy, features) in seen.items():
            scores[f"agreement{name}"] = accuracy
            scores[f"frechet_digit_distance{name}"] = image_metrics.frechet_digit_distance(real_features, features)
    return scores


def train(config: Config, run: runs.Run | None = None) -> runs.Trained:
    """Train all three networks; every `eval_every` steps measure held-out pairs, and keep some translations."""
    run = run or runs.Run()
    digits = pictures.load(config.data) if config.pairs is None else None
    a, b = read_pairs(config, digits)
    size = a.train.shape[1:]  # H, W, C
    memory.require(config, lambda config: bytes_needed(config, size, len(a.test)))
    run.keep_data(name=a.name, size=size, fingerprint=files.fingerprint(a, b))
    if not digits:
        screen.say(f"{a.name}: {pictures.described(a.train, a.test)}")
    shared = devices.start(run.devices, config.batch)
    game, translate = new_game(config, size), translator(config)
    loop = shared.compiled_loop(lambda game, batch: adversarial_step(game, config, batch), batch_axis={"bits": 1})
    trained = runs.Trained(config, (a, b), game, run, classifier.digit_classifier(digits) if digits else None)
    with run.training({"game": game}, config, LOGGED) as periods:
        batches = draws.prefetched(partial(draw_batches, config, a, b), periods)
        for period in periods:
            losses = run.play(loop, [game], batches, period)  # [n, 4]
            fakes = translate(game.generator.weights, a.test[:SHOWN])
            run.require_finite(period, fakes)
            sheets.keep(run, period, fakes, columns=SHOWN)
            scores = measure(trained, translate, config.log_samples)
            run.record(period, losses, f"L1 distance {scores['l1']:.4f}", **scores)
    return trained


def evaluate(trained: runs.Trained) -> dict[str, Any]:
    """The final numbers, each with its floor: what B itself scores."""
    config, (a, _), game = trained.config, trained.real, trained.game
    players = {name: getattr(game, name).weights for name in ("generator", "discriminator", "l1_only")}
    result = {
        "data": a.name,
        "seed": config.seed,
        "steps": config.steps,
        "held_out": min(len(a.test), config.eval_samples),
        "parameters": runs.count_parameters(**players),
    }
    result |= measure(trained, translator(config), config.eval_samples)
    distances = "{l1:.4f}, without D {l1_of_l1_only:.4f}, of A itself {l1_of_copy:.4f}".format(**result)
    return result | {"headline": f"L1 distance to B {distances}; {result['held_out']} held-out pairs"}


def figures(trained: runs.Trained, result: dict[str, Any], folder: Path) -> None:
    """translations.png (rows: A, L1 alone, pix2pix, B), strip.png, curves.png and training.gif."""
    (a, b), game, run, translate = trained.real, trained.game, trained.run, translator(trained.config)
    x, y = a.test[:SHOWN], pictures.as_pixels(b.test[:SHOWN])
    rows = pictures.as_pixels(x), translate(game.l1_only.weights, x), translate(game.generator.weights, x), y
    names = "A", "B by L1 alone", "B by pix2pix", "real B"
    sheets.save(folder / "translations.png", np.concatenate(rows), len(x), "Held-out pairs", names)
    title = "The same held-out images, as pix2pix translates them through training"
    sheets.save_strip(folder / "strip.png", run.snapshots, 8, len(x), title)
    sheets.animation(folder / "training.gif", run.snapshots, columns=len(x))
    curves = {"l1": "pix2pix", "l1_of_l1_only": "L1 alone"}
    plots.save(plots.held_out_curves(run.records, "L1 distance", curves, LOGGED[:2]), folder / "curves.png")


TABLE = cli.Table(
    {"pix2pix": "{}", "L1 alone": "{}_of_l1_only", "copy of A": "{}_of_copy", "B itself": "{}_floor"},
    {
        "L1 distance to B": ("l1", ".4f"),
        "digits recognised": ("agreement", ".3f"),
        "Frechet digit distance": ("frechet_digit_distance", ".2f"),
    },
)
RECIPES = {"stable": Config()}
SPREAD = "batches"  # what --devices shares between devices

if __name__ == "__main__":
    cli.main(__doc__, RECIPES, train, evaluate, figures, TABLE, spread=SPREAD)
