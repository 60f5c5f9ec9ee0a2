"""Paired image translation: a U-Net draws B from A, and a discriminator looks at every patch of the pair.

Isola et al. 2017: D maximises E log D(A, B) + E log(1 - D(A, G(A))) over overlapping patches, G maximises
E log D(A, G(A)) - weight * E |B - G(A)|; dropout in G is the only noise. A second U-Net learns from the L1 distance
alone, on the same batches: what the adversarial part adds is the difference.

    python experiments/pix2pix.py                      from the edges of MNIST's digits to the digits
    python experiments/pix2pix.py --data digits        8x8 digits, no network needed
    python experiments/pix2pix.py --pairs facades      your own: PNG files with A|B side by side, in train/ and val/

5 minutes on two cores. `--pairs` takes grey or colour images of one size that 4 divides; try --batch 1 on large ones.
"""

from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, NamedTuple

import numpy as np
from scipy import ndimage

import gan_conv as conv
import gan_core as core
import gan_data as data
import gan_images as images
import gan_runs as runs
import gan_translation as translation
import metrics
from gan_core import tf

EXPERIMENT = "pix2pix"
WATCHED = 10  # held-out pairs that are shown through training


@dataclass(frozen=True)
class Config(translation.TranslationConfig):
    """Settings."""

    recipe: Literal["stable"] = "stable"
    pairs: str | None = None  # folder of PNG files, A|B side by side; by default edges and digits of --data
    train_images: int = 50_000  # pairs to train on, as many as there are
    steps: int = 3000
    batch: int = 32  # 1 in the paper, on 256 x 256 pixels
    eval_every: int = 250
    loss: Literal[tuple(core.LOSSES)] = "non_saturating"
    l1: float = 100.0  # weight of the L1 distance in G's loss; the paper's
    dropout: float = 0.5  # the paper's, in training and after it

    def checked(self) -> "Config":
        """The same; BadInput for a value or a folder that cannot work."""
        runs.require(self, "l1", "0 or more", lambda v: 0 <= v < np.inf)
        runs.require(self, "dropout", "at least 0 and at most .99", lambda v: 0 <= v <= 0.99)
        if self.pairs is None:
            return super().checked()
        config = self.with_sensible_numbers()
        pairs(config)  # complains of a folder that cannot work
        return config


class Pairs(NamedTuple):
    """Pictures of two kinds, uint8 `[N, H, W, C]`; of digits also what they are."""

    a: np.ndarray
    b: np.ndarray
    test_a: np.ndarray
    test_b: np.ndarray
    test_labels: np.ndarray | None
    name: str


def edges(digits: np.ndarray) -> np.ndarray:
    """Outlines of uint8 images `[N, H, W]`: white where the Sobel gradient is at least a quarter of its maximum."""
    x = digits.astype(np.float32) / 255

    def slope(along, across):  # `ndimage.sobel` would also smooth from one image to the next
        return ndimage.correlate1d(ndimage.correlate1d(x, (-1, 0, 1), along), (1, 2, 1), across)

    return np.where(np.hypot(slope(1, 2), slope(2, 1)) >= 1, 255, 0).astype(np.uint8)  # of 0 to about 4


def pairs(config: Config) -> Pairs:
    """The user's pairs, or the edges of the digits and the digits."""
    if config.pairs is None:
        real = images.load(config.data)
        train, test = images.training_images(config, real), real.test
        four = (side[..., None] for side in (edges(train), train, edges(test), test))
        return Pairs(*four, real.test_labels, real.name)
    split = translation.read_folder("--pairs", config.pairs, config.seed, columns=2)
    half = split.train.shape[2] // 2
    sides = [part for kind in (split.train[: config.train_images], split.test) for part in np.split(kind, [half], 2)]
    return Pairs(*sides, None, split.name)


class Game(NamedTuple):
    """All that training changes: D, G, the U-Net that knows the L1 distance alone, and the step."""

    discriminator: core.Player
    generator: core.Player
    l1_only: core.Player
    step: tf.Variable


def new_game(config: Config, size: tuple[int, ...]) -> Game:
    """Raw variables for images of `size` (H, W, C); both U-Nets start alike."""
    rngs = [data.generator(config.seed, stream) for stream in (data.WEIGHTS, data.MIX, data.MIX)]
    d = translation.patchgan_weights(rngs[0], 2 * size[2], config.width)
    g, l1_only = (translation.unet_weights(rng, size, config.width) for rng in rngs[1:])
    return Game(*map(core.new_player, (d, g, l1_only)), tf.Variable(0, dtype=tf.int64))


def adversarial_step(game: Game, config: Config, batch: dict[str, tf.Tensor]) -> tuple[tf.Tensor, ...]:
    """One update of D, of G against the new D, and of the other U-Net: losses of D and G, both U-Nets' L1 distances.

    `batch` holds pairs `a, b [B, H, W, C]` uint8 and random bytes `bits [2, B, ..]` of the U-Nets' masks. D's loss is
    halved, as in the paper, which slows D down. Distances are in [0, 1] units of brightness.
    """
    d, g, plain, loss = game.discriminator, game.generator, game.l1_only, core.LOSSES[config.loss]
    adam = core.Adam(config.learning_rate, config.beta1, config.beta2)
    game.step.assign_add(1)
    a, b = (translation.to_network(batch[name]) for name in "ab")

    def verdict(b):
        return translation.patchgan(tf.concat([a, b], axis=3), d.weights)

    def distance(fake):
        return tf.reduce_mean(tf.abs(fake - b)) / 2

    with tf.GradientTape() as g_tape:
        drawn = translation.unet(a, g.weights, batch["bits"][0], config.dropout)
    fake = tf.stop_gradient(drawn)
    with tf.GradientTape() as tape:
        d_loss = core.batch_mean(loss.discriminator(verdict(b), verdict(fake))) / 2
    conv.fused_adam_update(d, tape.gradient(d_loss, d.weights), game.step, adam)

    real_logits = verdict(b)
    with tf.GradientTape() as tape:
        tape.watch(fake)
        g_loss = core.batch_mean(loss.generator(real_logits, verdict(fake)))
        total = g_loss + 2 * config.l1 * distance(fake)  # twice: images there span 2
    gradients = g_tape.gradient(drawn, g.weights, output_gradients=tape.gradient(total, fake))
    conv.fused_adam_update(g, gradients, game.step, adam)

    with tf.GradientTape() as tape:
        alone = distance(translation.unet(a, plain.weights, batch["bits"][1], config.dropout))
    conv.fused_adam_update(plain, tape.gradient(alone, plain.weights), game.step, adam)
    return d_loss, g_loss, distance(fake), alone


LOSSES = ("discriminator_loss", "generator_loss", "train_l1", "train_l1_of_l1_only")


def new_task(config: Config, real: Pairs) -> images.Task:
    """What training this experiment means."""
    size = real.a.shape[1:]
    game, masks = new_game(config, size), (2, config.batch, sum(translation.mask_sizes(size, config.width)))

    def draw(first, count):
        chosen = data.image_minibatches(len(real.a), config.seed, first, count, config.batch)
        bits = data.random_bytes(config.seed, data.DROPOUT, first, count, masks)
        return {name: tf.constant(v) for name, v in {"a": real.a[chosen], "b": real.b[chosen], "bits": bits}.items()}

    loop = core.compiled_loop(lambda game, batch: adversarial_step(game, config, batch), jit_compile=False)
    networks = {name: getattr(game, name).weights for name in ("generator", "discriminator", "l1_only")}
    translate = partial(translated, config, game.generator.weights)
    return images.Task(game, loop, draw, translate, networks, lambda: new_game(config, size), LOSSES)


def translated(config: Config, weights: core.Weights, a: np.ndarray) -> np.ndarray:
    """uint8 A `[n, H, W, C]` -> B as a U-Net draws it, float32 in [0, 1], with dropout that depends on k alone."""
    sizes = translation.mask_sizes(a.shape[1:], config.width)
    bits = data.random_bytes(config.seed, data.EVALUATION, 0, len(a), (sum(sizes),))
    return images.in_parts(partial(_translate, weights, config.dropout), a, bits)


@partial(tf.function, autograph=False)
def _translate(weights, rate, a, bits):
    return (translation.unet(translation.to_network(a), weights, bits, rate) + 1) / 2


class Trained(NamedTuple):
    """What training leaves behind."""

    config: Config
    pairs: Pairs
    judge: Any  # None for the user's own pairs
    records: list[dict]
    task: images.Task
    sheets: list[tuple[int, np.ndarray]]


def measured(config: Config, real: Pairs, game: Game, judge: Any, n: int) -> dict[str, float]:
    """What held-out pairs say, of up to n: L1 distances in [0, 1] units, the judge's readings, Frechet distances."""
    a, b = real.test_a[:n], data.as_pixels(real.test_b[:n])
    fakes = {"": game.generator.weights, "_of_l1_only": game.l1_only.weights}
    fakes = {name: translated(config, weights, a) for name, weights in fakes.items()} | {
        "_of_copy": data.as_pixels(a)
    }
    found = {f"l1{name}": translation.mean_error(fake, b) for name, fake in fakes.items()}
    if judge:
        found["agreement_floor"], features = translation.readings(judge, b, real.test_labels[:n])
        for name, fake in fakes.items():
            found[f"agreement{name}"], seen = translation.readings(judge, fake, real.test_labels[:n])
            found[f"frechet_digit_distance{name}"] = metrics.frechet_digit_distance(features, seen)
    return found


def train(config: Config, run: runs.Run | None = None) -> Trained:
    """Train; every `eval_every` steps measure held-out pairs and keep some translations."""
    run, real = run or runs.Run(), pairs(config)
    task, judge = new_task(config, real), None
    if config.pairs is None:
        from experiments import digit_classifier  # here: a wrong flag should not wait for it

        judge = digit_classifier.judge_for(images.load(config.data))
    else:
        runs.say(f"{real.name}: {translation.described(real.a, real.test_a)}")
    sheets = images.Sheets(run.folder, columns=WATCHED)

    def look(step):
        sheets.add(step, task.generate(real.test_a[:WATCHED]))
        return measured(config, real, task.game, judge, config.log_samples)

    images.play(config, run, task, sheets, look, lambda record: f"L1 distance {record['l1']:.4f}")
    return Trained(config, real, judge, run.records, task, sheets.kept)


def save_figures(trained: Trained, folder) -> None:
    """translations.png (rows: A, L1 alone, pix2pix, B), strip.png, training.gif, curves.png."""
    import gan_plots as plots  # seaborn takes seconds to import

    config, real, game = trained.config, trained.pairs, trained.task.game
    a, b = real.test_a[:WATCHED], data.as_pixels(real.test_b[:WATCHED])
    drawn = [translated(config, player.weights, a) for player in (game.l1_only, game.generator)]
    plots.save_sheet(folder / "translations.png", np.concatenate([data.as_pixels(a), *drawn, b]), columns=len(a))
    plots.save_sheet(folder / "strip.png", images.strip(trained.sheets, rows=8), len(a))
    plots.sheet_animation(folder / "training.gif", trained.sheets, columns=len(a))
    curves = {"l1": "pix2pix", "l1_of_l1_only": "L1 alone"}
    plots.save(plots.held_out_curves(trained.records, "L1 distance", curves, LOSSES[:2]), folder / "curves.png")


def train_and_report(config: Config, run: runs.Run) -> None:
    """Train, measure, draw, tell."""
    trained = train(config, run)
    images.show_parameters(trained.task.networks)
    save_figures(trained, run.folder / "figures")
    found = measured(config, trained.pairs, trained.task.game, trained.judge, config.eval_samples)
    head = {"experiment": EXPERIMENT, "recipe": config.recipe, "data": trained.pairs.name, "seed": config.seed}
    result = run.finish(head | {"steps": config.steps, "l1_floor": 0.0} | found)
    rows = {"L1 distance to B": ["l1", "l1_of_l1_only", "l1_of_copy", "l1_floor"]}
    if trained.judge:
        judged = {"judge reads the right digit": "agreement", "Frechet digit distance": "frechet_digit_distance"}
        for label, key in judged.items():
            rows[label] = [key, f"{key}_of_l1_only", f"{key}_of_copy", f"{key}_floor"]
    rows = {label: [result.get(key) for key in keys] for label, keys in rows.items()}
    title = (
        f"{trained.pairs.name}, {len(trained.pairs.test_a)} held-out pairs, seed {config.seed}, {config.steps} steps"
    )
    translation.show_table(title, ("pix2pix", "L1 alone", "copy of A", "B itself"), rows)
    runs.say(f"{run.folder}: pictures in figures/, every number in result.json and log.jsonl")
    runs.say(
        f"L1 distance to B {result['l1']:.4f}, without D {result['l1_of_l1_only']:.4f}, of A itself "
        f"{result['l1_of_copy']:.4f}. {result['train_seconds']:.0f} s of training"
    )


RECIPES = {"stable": Config()}

if __name__ == "__main__":
    runs.command_line(EXPERIMENT, RECIPES, train_and_report, __doc__)
