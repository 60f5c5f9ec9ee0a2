"""Unpaired image translation: two U-Nets translate between two kinds of images, without pairs of the same thing.

Zhu et al. 2017: G draws B from A, and F draws A from B. Each has a discriminator, a PatchGAN, which returns a logit
for each patch of an image, and the least-squares loss. Two more losses are mean absolute differences: G and F should
undo each other, F(G(a)) = a and G(F(b)) = b (weight 10), and leave alone what is already of their kind, G(b) = b and
F(a) = a (weight 5). The weights are the paper's, but G's least-squares loss has a factor of 1/2 here, so that both
distances count twice as much beside it. Once a pool of 50 earlier fakes is full, on average half of the fakes that a
discriminator sees are from it. The paper's G and F are residual networks. The skip connections of the U-Nets here
make it easy to leave an image as it is.

    python experiments/cyclegan.py                                    scikit-learn's optical digits <-> MNIST
    python experiments/cyclegan.py --data digits                      A and B are the same 8x8 digits: a quick trial
    python experiments/cyclegan.py --domain-a horses --domain-b zebras    your own folders of PNG files

About 6 minutes on one core. Domain A is scikit-learn's digits, which are 8x8 pixels and are enlarged here: they fill
the image, are blurred and upright. The digit classifier was trained on MNIST alone and recognises them badly; it
should recognise their translations better. (The frame alone helps it more: `--frame mnist` makes the digits as
small as MNIST's.)
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any, NamedTuple

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

SHOWN = 10  # held-out images of each domain in the pictures
POOL = 50  # earlier fakes that each D can be shown again
LOGGED = ("discriminator_a_loss", "discriminator_b_loss", "generator_loss", "train_cycle", "train_identity")


Frame = Annotated[str, cli.one_of(("none", "mnist"))]


@dataclass(frozen=True)
class Config:
    """Settings of one run."""

    # data
    domain_a: str | None = None  # folder of PNG files; by default scikit-learn's optical digits, enlarged
    domain_b: str | None = None  # folder of PNG files; by default the images of --data
    data: str | None = None  # .npz or folder of IDX files in MNIST's format, or `digits`: 8x8, no download
    train_images: cli.Count = 60_000  # at most this many training images of --data, from the first one
    frame: Frame = "none"  # mnist: shrink the optical digits to the size of MNIST's, and add a black border
    # networks
    width: cli.Count = 32  # channels of the U-Nets' first layers; 64 in the paper's residual networks
    discriminator_width: cli.Count = 32  # channels of the discriminators' first layers; 64 in the paper
    # game
    cycle: cli.Weight = 10.0  # weight of |F(G(a)) - a| and |G(F(b)) - b|
    identity: cli.Weight = 5.0  # weight of |G(b) - b| and |F(a) - a|
    # training
    seed: cli.Seed = 0  # of the first weights, the batches and the pools of fakes
    steps: cli.Count = 6000  # updates of each network, in total
    batch: cli.Count = 16  # images of each domain in a step; 1 in the paper, on 256 x 256 pixels
    learning_rate: cli.Rate = 5e-4  # of every Adam; the paper's 2e-4 is for batches of 1
    beta1: cli.Decay = 0.5  # of Adam; this and beta2 are the paper's
    beta2: cli.Decay = 0.999
    # output
    eval_every: cli.Count = 500  # steps between two evaluations, each a line of log.jsonl
    log_samples: cli.Samples = 1000  # held-out images behind a line of log.jsonl; all, if there are fewer
    eval_samples: cli.Samples = 10_000  # the same for the final numbers
    checkpoint_every: cli.Count = 1000  # steps between checkpoints

    def __post_init__(self) -> None:
        cli.check(self)
        cli.require(self, "batch", f"at most {POOL}, the size of the pool", lambda v: v <= POOL)
        cli.require(self, "train_images", "at least 2, for a Frechet distance to real images", lambda v: v >= 2)
        if (self.domain_a is None) != (self.domain_b is None):
            raise files.BadInput("--domain-a, --domain-b: expected a folder for each of them, or for neither")
        if self.domain_a is not None:
            words = "no such flag beside --domain-a and --domain-b, whose images take its place"
            cli.require_defaults(self, "data frame train_images", words)


def read_domains(config: Config, digits: pictures.Images | None) -> tuple[pictures.Split, pictures.Split]:
    """Domains A and B: optical digits and these digits or, without digits, the images in the user's folders."""
    if digits:
        side, optical = pictures.square_side(digits, config.data, multiple_of=4), pictures.load("digits")
        train, test = (enlarged(x, side, config.frame)[..., None] for x in (optical.train, optical.test))
        a = pictures.Split(train, test, optical.test_labels, "optical digits")
        train, test = digits.train[: config.train_images, ..., None], digits.test[..., None]
        return a, pictures.Split(train, test, digits.test_labels, digits.name)
    a = pictures.read_folder("--domain-a", str(config.domain_a), config.seed)
    b = pictures.read_folder("--domain-b", str(config.domain_b), config.seed)
    if a.train.shape[1:] != b.train.shape[1:]:
        expected, found = (" x ".join(map(str, split.train.shape[1:])) for split in (a, b))
        message = f"height, width, channels {found}, expected {expected} as --domain-a"
        raise files.BadInput(f"--domain-b {config.domain_b}: {message}")
    return a, b


def enlarged(digits: np.ndarray, side: int, frame: str) -> np.ndarray:
    """uint8 `[N, 8, 8]` -> `[N, side, side]` by linear interpolation; in frame `mnist` to 5/7, in black."""
    inner = round(side * 5 / 7) if frame == "mnist" else side
    zoom = (1, inner / 8, inner / 8)
    zoomed = ndimage.zoom(digits.astype(np.float32), zoom, order=1, grid_mode=True, mode="nearest")
    before = (side - inner) // 2
    margin = before, side - inner - before
    return np.pad(np.round(zoomed).clip(0, 255).astype(np.uint8), ((0, 0), margin, margin))


def draw_batches(config: Config, a: pictures.Split, b: pictures.Split, period: runs.Period) -> Iterator[dict]:
    """Images of both domains and random numbers for both pools, for at most 50 steps at a time."""
    at_once = max(1, min(50, 2**26 // (config.batch * math.prod(a.train.shape[1:]))))  # fewer of large images: 67 MB
    for chunk in period.chunks(at_once):
        first, n = chunk.first, chunk.count
        # B has a seed of its own, which is above those of all runs, so that both domains never have the same order.
        of_a = draws.minibatch_indices(len(a.train), config.seed, first, n, config.batch)
        of_b = draws.minibatch_indices(len(b.train), config.seed + 2**31, first, n, config.batch)
        # Any streams of random numbers but WEIGHTS would do; this script uses these two for nothing else.
        bits = draws.random_bits(config.seed, draws.MIX, first, n, 2 * POOL).reshape(n, 2, POOL)
        slots = bits.argsort(axis=-1, kind="stable")[..., : config.batch]  # different ones, at random
        coins = draws.random_bits(config.seed, draws.SHIFT, first, n, 2 * config.batch)
        batch = {"a": a.train[of_a], "b": b.train[of_b], "slots": slots.astype(np.int32)}
        batch["old"] = coins.reshape(n, 2, config.batch) % 2 == 1
        yield core.as_tensors(batch)


class Domain(NamedTuple):
    """The U-Net that draws one kind of images, its discriminator, and the pool `[50, H, W, C]` of its fakes."""

    generator: core.Player
    discriminator: core.Player
    pool: tf.Variable


class Game(NamedTuple):
    """Everything that training changes: the networks that draw A from B and B from A, and the step."""

    a: Domain
    b: Domain
    step: tf.Variable


def new_game(config: Config, size: tuple[int, ...]) -> Game:
    """Raw variables for images of `size` (H, W, C)."""
    rng = draws.generator(config.seed, draws.WEIGHTS)

    def domain() -> Domain:
        g = networks.unet_weights(rng, size, config.width)
        d = networks.patchgan_weights(rng, size[2], config.discriminator_width)
        return Domain(core.new_player(g), core.new_player(d), tf.Variable(tf.zeros((POOL, *size))))

    return Game(domain(), domain(), tf.Variable(0, dtype=tf.int64))


def pooled(pool: tf.Variable, fakes: tf.Tensor, slots: tf.Tensor, old: tf.Tensor, earlier: tf.Tensor) -> tf.Tensor:
    """What D sees instead of `fakes [B, H, W, C]`: each of them or an older one (Shrivastava et al. 2017).

    `earlier` is the number of fakes before these. While it is below POOL, D sees all new fakes, and they fill the
    pool. After that, where `old [B]` is true, D sees the fake in a slot of the pool, and the new one takes the slot;
    elsewhere D sees the new one. The `slots [B]` must all be different.
    """
    number = earlier + tf.range(tf.shape(fakes)[0])
    exchanged = old & (earlier >= POOL)
    places = tf.where(earlier < POOL, number % POOL, slots)  # all of them differ
    kept = tf.gather(pool, places)
    per_image = (..., None, None, None)  # [B] -> [B, 1, 1, 1]
    shown = tf.where(exchanged[per_image], kept, fakes)
    pool.scatter_nd_update(places[:, None], tf.where((exchanged | (number < POOL))[per_image], fakes, kept))
    return shown


def adversarial_step(game: Game, config: Config, batch: dict[str, tf.Tensor]) -> tuple[tf.Tensor, ...]:
    """One update of both generators together, then one of each discriminator; returns what `LOGGED` names.

    `batch` holds images `a, b [B, H, W, C]`, uint8, and for `pooled` the `slots [2, B]` and the choices `old [2, B]`.
    The distances that it returns are those of pixels in [0, 1].
    """
    adam, loss = core.Adam(config.learning_rate, config.beta1, config.beta2), core.LOSSES["least_squares"]
    earlier = tf.cast(game.step, tf.int32) * config.batch
    game.step.assign_add(1)
    rate_factor = tf.minimum(1.0, 2 * (1 - tf.cast(game.step, tf.float32) / config.steps))  # falls from half-way on
    a, b = networks.to_network(batch["a"]), networks.to_network(batch["b"])  # [B, H, W, C] in [-1, 1]
    f, g = game.a.generator, game.b.generator

    def distance(x: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
        return tf.reduce_mean(tf.abs(x - y))

    def fooling_loss(domain: Domain, fake: tf.Tensor) -> tf.Tensor:  # G's loss needs no real logits
        return core.batch_mean(loss.g(None, networks.patchgan(fake, domain.discriminator.weights)))

    with tf.GradientTape() as tape:
        fake_b, fake_a = networks.unet(a, g.weights), networks.unet(b, f.weights)
        cycle_a, cycle_b = networks.unet(fake_b, f.weights), networks.unet(fake_a, g.weights)
        cycle = distance(cycle_a, a) + distance(cycle_b, b)
        identity = distance(networks.unet(b, g.weights), b) + distance(networks.unet(a, f.weights), a)
        g_loss = fooling_loss(game.b, fake_b) + fooling_loss(game.a, fake_a)
        total = g_loss + config.cycle * cycle + config.identity * identity
    for player, gradients in zip((g, f), tape.gradient(total, [g.weights, f.weights]), strict=True):
        networks.fused_adam_update(player, gradients, game.step, adam, rate_factor)

    d_losses = []
    for k, (domain, real, fake) in enumerate(((game.a, a, fake_a), (game.b, b, fake_b))):
        shown = pooled(domain.pool, devices.all_rows(fake), batch["slots"][k], batch["old"][k], earlier)
        shown, d = devices.own_rows(shown), domain.discriminator
        with tf.GradientTape() as tape:
            real_logits, fake_logits = networks.patchgan(real, d.weights), networks.patchgan(shown, d.weights)
            d_loss = core.batch_mean(loss.d(real_logits, fake_logits))
        networks.fused_adam_update(d, tape.gradient(d_loss, d.weights), game.step, adam, rate_factor)
        d_losses.append(d_loss)
    return (*d_losses, g_loss, cycle / 2, identity / 2)  # pixels span 2 in [-1, 1], and 1 in [0, 1]


def bytes_needed(config: Config, size: tuple[int, ...], held_out: int) -> int:
    """About how much memory training takes on images of `size` (H, W, C), for `memory.require`."""
    unet, patchgan = networks.unet_size(size, config.width), networks.patchgan_size(size, config.discriminator_width)
    images = 2 * config.batch * math.prod(size)  # uint8
    drawn = max(images, min(config.eval_every * images, 50 * images, 2**27))
    kept = 6 * unet.units + 4 * patchgan.units
    players = 2 * (unet, patchgan)
    pools = 2 * 2 * POOL * 4 * math.prod(size)  # of both domains, float32, and new values of them
    return networks.translation_memory(config, size, players, kept, drawn, held_out) + pools


def translator() -> Callable[[core.Weights, np.ndarray], np.ndarray]:
    """A function (weights of a U-Net, images `[n, H, W, C]` in [0, 1]) -> their translations, float32 in [0, 1]."""

    run = tf.function(lambda weights, x: (networks.unet(2 * x - 1, weights) + 1) / 2, autograph=False)

    def translate(weights: core.Weights, x: np.ndarray) -> np.ndarray:
        return draws.in_parts(partial(run, weights), x, at_once=networks.images_at_once(x.shape[1:]))

    return translate


def measure(trained: runs.Trained, translate: Callable, n: int) -> dict[str, float]:
    """Cycle distances of up to n held-out images of each domain and, for digits, what the digit classifier sees."""
    (a, b), game, scorer = trained.real, trained.game, trained.scorer
    f, g = game.a.generator.weights, game.b.generator.weights
    x, y = pictures.as_pixels(a.test[:n]), pictures.as_pixels(b.test[:n])
    fake_b, fake_a = translate(g, x), translate(f, y)
    scores = {"cycle_a_floor": 0.0, "cycle_a": image_metrics.mean_error(translate(f, fake_b), x)}
    scores |= {"cycle_b_floor": 0.0, "cycle_b": image_metrics.mean_error(translate(g, fake_a), y)}
    if scorer:
        scores["accuracy_floor"], features = classifier.accuracy_and_features(scorer, y, b.test_labels[:n])
        for name, images in (("", fake_b), ("_untranslated", x)):
            scores[f"accuracy{name}"], seen = classifier.accuracy_and_features(scorer, images, a.test_labels[:n])
            scores[f"frechet_digit_distance{name}"] = image_metrics.frechet_digit_distance(features, seen)
        scores["frechet_digit_distance_floor"] = floor_of_frechet(scorer, b, features, len(x))
    return scores


def floor_of_frechet(scorer: Any, b: pictures.Split, features: np.ndarray, n: int) -> float:
    """What a perfect translator of n images scores: the mean over up to five sets of n training images of B."""
    starts = range(0, min(5 * n, len(b.train) - n + 1), n) or [0]  # of too few images there is one smaller set
    sets = [pictures.as_pixels(b.train[k : k + n, ..., 0]) for k in starts]
    return float(np.mean([image_metrics.frechet_digit_distance(features, scorer.classify(x)[1]) for x in sets]))


def headline(scores: dict[str, Any]) -> str:
    """The numbers that say most about a record or a result."""
    words = "; {accuracy:.1%} of translated digits are recognised, {accuracy_untranslated:.1%} of the originals"
    return f"cycle distance {scores['cycle_a']:.4f}" + (words.format(**scores) if "accuracy" in scores else "")


def train(config: Config, run: runs.Run | None = None) -> runs.Trained:
    """Train all four networks; every `eval_every` steps measure held-out images, and keep some translations."""
    run = run or runs.Run()
    digits = pictures.load(config.data) if config.domain_a is None else None
    a, b = read_domains(config, digits)
    size = a.train.shape[1:]  # H, W, C
    held_out = max(len(a.test), len(b.test))
    memory.require(config, lambda config: bytes_needed(config, size, held_out))
    run.keep_data(name=f"{a.name} to {b.name}", size=size, fingerprint=files.fingerprint(a, b))
    if not digits:
        for domain in (a, b):
            screen.say(f"{domain.name}: {pictures.described(domain.train, domain.test)}")
    shared = devices.start(run.devices, config.batch)
    game, translate = new_game(config, size), translator()
    whole = {"slots": None, "old": None}  # each device has the whole pool, which all fakes go through
    loop = shared.compiled_loop(lambda game, batch: adversarial_step(game, config, batch), batch_axis=whole)
    trained = runs.Trained(config, (a, b), game, run, classifier.digit_classifier(digits) if digits else None)
    with run.training({"game": game}, config, LOGGED) as periods:
        batches = draws.prefetched(partial(draw_batches, config, a, b), periods)
        for period in periods:
            losses = run.play(loop, [game], batches, period)  # [n, 5]
            fakes = translate(game.b.generator.weights, pictures.as_pixels(a.test[:SHOWN]))
            run.require_finite(period, fakes)
            sheets.keep(run, period, fakes, columns=SHOWN)
            scores = measure(trained, translate, config.log_samples)
            run.record(period, losses, headline(scores), **scores)
    return trained


def evaluate(trained: runs.Trained) -> dict[str, Any]:
    """The final numbers. The floor is what real images of B score, and 0 for the cycle distances."""
    config, a, b = trained.config, trained.game.a, trained.game.b
    result = {"data": trained.run.data["name"], "seed": config.seed, "steps": config.steps}
    result["parameters"] = runs.count_parameters(
        generator_a=a.generator.weights,
        discriminator_a=a.discriminator.weights,
        generator_b=b.generator.weights,
        discriminator_b=b.discriminator.weights,
    )
    result |= measure(trained, translator(), config.eval_samples)
    return result | {"headline": headline(result)}


def figures(trained: runs.Trained, result: dict[str, Any], folder: Path) -> None:
    """cycles.png (rows: a, G(a), F(G(a)), b, F(b), G(F(b))), strip.png, curves.png and training.gif."""
    (a, b), game, run, translate = trained.real, trained.game, trained.run, translator()
    f, g = game.a.generator.weights, game.b.generator.weights
    n = min(SHOWN, len(a.test), len(b.test))
    x, y = pictures.as_pixels(a.test[:n]), pictures.as_pixels(b.test[:n])
    fake_b, fake_a = translate(g, x), translate(f, y)
    rows = x, fake_b, translate(f, fake_b), y, fake_a, translate(g, fake_a)
    names = "a, real", "as b: G(a)", "and back: F(G(a))", "b, real", "as a: F(b)", "and back: G(F(b))"
    sheets.save(folder / "cycles.png", np.concatenate(rows), n, "Held-out images, there and back", names)
    columns = len(a.test[:SHOWN])
    title = "The same held-out images of A, as G translates them through training"
    sheets.save_strip(folder / "strip.png", run.snapshots, 8, columns, title)
    sheets.animation(folder / "training.gif", run.snapshots, columns)
    curves = {"cycle_a": "a, there and back", "cycle_b": "b, there and back"}
    fig = plots.held_out_curves(run.records, "Cycle distance", curves, LOGGED[:3], unit="squared logits")
    plots.save(fig, folder / "curves.png")


TABLE = cli.Table(
    {"translated": "{}", "untranslated": "{}_untranslated", "real b": "{}_floor"},
    {
        "cycle distance a, b, a": ("cycle_a", ".4f"),
        "cycle distance b, a, b": ("cycle_b", ".4f"),
        "digits recognised (chance .1)": ("accuracy", ".3f"),
        "Frechet digit distance": ("frechet_digit_distance", ".2f"),
    },
)
RECIPES = {"stable": Config()}
SPREAD = "batches"  # what --devices shares between devices

if __name__ == "__main__":
    cli.main(__doc__, RECIPES, train, evaluate, figures, TABLE, spread=SPREAD)
