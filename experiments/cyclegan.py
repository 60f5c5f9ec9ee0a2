"""Unpaired image translation: two U-Nets map between two kinds of images of which no two belong together.

Zhu et al. 2017: G draws B from A and F draws A from B. Each is judged by a PatchGAN of its own by least squares, each
undoes the other, F(G(a)) = a and G(F(b)) = b in L1 (weight 10), and each leaves alone what is already of its kind,
G(b) = b and F(a) = a (weight 5). D learns from a pool of the last 50 fakes, half of them old.

    python experiments/cyclegan.py                                    scikit-learn's optical digits <-> MNIST
    python experiments/cyclegan.py --data digits                      8x8 digits on both sides: a smoke test
    python experiments/cyclegan.py --domain-a horses --domain-b zebras    your own folders of PNG files

5 to 10 minutes on two cores. Domain A are the digits of other people, scanned at 8x8 and enlarged: larger, softer and
upright. The judge, which has never seen any, reads them badly, and should read their translations better. (A frame
alone does more: `--frame mnist` enlarges them to the size that MNIST's digits have within their images.)
"""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
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

EXPERIMENT = "cyclegan"
WATCHED = 10  # held-out images of each domain that are shown through training
POOL = 50  # fakes that each D can be shown again


@dataclass(frozen=True)
class Config(translation.TranslationConfig):
    """Settings."""

    recipe: Literal["stable"] = "stable"
    domain_a: str | None = None  # folder of PNG files; by default scikit-learn's optical digits, enlarged
    domain_b: str | None = None  # folder of PNG files; by default the images of --data
    frame: Literal["none", "mnist"] = "none"  # mnist: optical digits are enlarged to 5/7 of the side, as MNIST's own
    steps: int = 6000
    batch: int = 16  # 1 in the paper, on 256 x 256 pixels
    eval_every: int = 500
    cycle: float = 10.0  # weight of |F(G(a)) - a| and |G(F(b)) - b|; the paper's
    identity: float = 5.0  # weight of |G(b) - b| and |F(a) - a|; the paper's

    def checked(self) -> "Config":
        """The same; BadInput for a value or a folder that cannot work."""
        runs.require(self, "cycle identity", "0 or more", lambda v: 0 <= v < np.inf)
        runs.require(self, "batch", f"at most {POOL}, the size of the pool", lambda v: v <= POOL)
        given = self.domain_a is not None, self.domain_b is not None
        if given[0] != given[1]:
            name, other = ("--domain-a", "--domain-b") if given[0] else ("--domain-b", "--domain-a")
            raise runs.BadInput(f"{name}: expected {other}, too: the user's own images on both sides")
        if self.domain_a is None:
            return super().checked()
        config = self.with_sensible_numbers()
        domains(config)  # complains of folders that cannot work
        return config


def enlarged(digits: np.ndarray, side: int, frame: str) -> np.ndarray:
    """8x8 digits `[N, 8, 8]` uint8 to `[N, side, side]`, linearly; in frame `mnist` to 5/7 of it, within black."""
    inner = round(side * 5 / 7) if frame == "mnist" else side
    zoomed = ndimage.zoom(
        digits.astype(np.float32), (1, inner / 8, inner / 8), order=1, grid_mode=True, mode="nearest"
    )
    before = (side - inner) // 2
    margins = ((0, 0), *2 * [(before, side - inner - before)])
    return np.pad(np.round(zoomed).clip(0, 255).astype(np.uint8), margins)


def domains(config: Config) -> tuple[translation.Split, translation.Split]:
    """Images of both kinds, the user's or the digits'."""
    if config.domain_a is None:
        real, optical = images.load(config.data), images.load("digits")
        few = (enlarged(side, config.side, config.frame) for side in (optical.train, optical.test))
        a = translation.Split(*(side[..., None] for side in few), optical.test_labels, "optical digits")
        many = images.training_images(config, real), real.test
        return a, translation.Split(*(side[..., None] for side in many), real.test_labels, real.name)
    a, b = (
        translation.read_folder(f"--domain-{k}", folder, config.seed)
        for k, folder in (("a", config.domain_a), ("b", config.domain_b))
    )
    if a.train.shape[1:] != b.train.shape[1:]:
        shapes = [" x ".join(map(str, split.train.shape[1:])) for split in (a, b)]
        raise runs.BadInput(
            f"--domain-b {config.domain_b}: height, width, channels {shapes[1]}, expected {shapes[0]} as --domain-a"
        )
    return a, b


class Side(NamedTuple):
    """One direction: the U-Net that draws this kind, its discriminator, and the pool `[50, H, W, C]` of its fakes."""

    generator: core.Player
    discriminator: core.Player
    pool: tf.Variable


class Game(NamedTuple):
    """All that training changes: who draws A from B, who draws B from A, and the step."""

    a: Side
    b: Side
    step: tf.Variable


def new_game(config: Config, size: tuple[int, ...]) -> Game:
    """Raw variables for images of `size` (H, W, C)."""
    rng = data.generator(config.seed, data.WEIGHTS)

    def side():
        players = translation.unet_weights(rng, size, config.width), translation.patchgan_weights(rng, size[2], 32)
        return Side(*map(core.new_player, players), tf.Variable(tf.zeros((POOL, *size))))

    return Game(side(), side(), tf.Variable(0, dtype=tf.int64))


def pooled(pool: tf.Variable, fakes: tf.Tensor, slots: tf.Tensor, old: tf.Tensor, seen: tf.Tensor) -> tf.Tensor:
    """What D is shown in place of the fakes `[B, H, W, C]`: half of them, or older ones (Shrivastava et al. 2017).

    Until `seen`, the number of earlier fakes, fills the pool, each goes into it and is shown. Then, where `old [B]`,
    the one in its slot `[B]` (no two alike) is shown, and the new one takes its place.
    """
    fresh = seen + tf.range(tf.shape(fakes)[0])
    filling = fresh < POOL
    places = tf.where(filling, fresh, slots)
    kept = tf.gather(pool, places)
    choose = (..., *[None] * (len(fakes.shape) - 1))
    shown = tf.where((old & ~filling)[choose], kept, fakes)
    pool.scatter_nd_update(places[:, None], tf.where((old | filling)[choose], fakes, kept))
    return shown


def adversarial_step(game: Game, config: Config, batch: dict[str, tf.Tensor]) -> tuple[tf.Tensor, ...]:
    """One update of both generators together, then one of each D: their losses, the cycle and identity distances.

    `batch` holds images `a, b [B, H, W, C]` uint8, the pools' `slots [2, B]` and which are to be `old [2, B]`.
    Distances are in [0, 1] units of brightness.
    """
    adam, loss = core.Adam(config.learning_rate, config.beta1, config.beta2), core.LOSSES["least_squares"]
    seen = tf.cast(game.step, tf.int32) * config.batch
    game.step.assign_add(1)
    factor = tf.minimum(
        1.0, 2 * (1 - tf.cast(game.step, tf.float32) / config.steps)
    )  # the paper's: falls from half-way
    a, b = (translation.to_network(batch[name]) for name in "ab")
    g_a, g_b = game.a.generator, game.b.generator

    def distance(x, y):
        return tf.reduce_mean(tf.abs(x - y)) / 2

    def fooled(side, fake):  # the loss of one generator before its discriminator
        return core.batch_mean(loss.generator(None, translation.patchgan(fake, side.discriminator.weights)))

    with tf.GradientTape() as tape:
        fake_b, fake_a = translation.unet(a, g_b.weights), translation.unet(b, g_a.weights)
        cycle = distance(translation.unet(fake_b, g_a.weights), a) + distance(
            translation.unet(fake_a, g_b.weights), b
        )
        identity = distance(translation.unet(b, g_b.weights), b) + distance(translation.unet(a, g_a.weights), a)
        g_loss = fooled(game.b, fake_b) + fooled(game.a, fake_a)
        total = g_loss + 2 * config.cycle * cycle + 2 * config.identity * identity  # twice: images there span 2
    gradients = tape.gradient(total, g_b.weights + g_a.weights)
    for player, part in zip((g_b, g_a), conv.groups(gradients, len(g_b.weights), len(g_a.weights)), strict=True):
        conv.fused_adam_update(player, part, game.step, adam, factor)

    d_losses = []
    for k, (side, real, fake) in enumerate(((game.a, a, fake_a), (game.b, b, fake_b))):
        shown = pooled(side.pool, fake, batch["slots"][k], batch["old"][k], seen)
        d = side.discriminator
        with tf.GradientTape() as tape:
            logits = (translation.patchgan(x, d.weights) for x in (real, shown))
            d_losses.append(core.batch_mean(loss.discriminator(*logits)))
        conv.fused_adam_update(d, tape.gradient(d_losses[-1], d.weights), game.step, adam, factor)
    return d_losses[0], d_losses[1], g_loss, cycle, identity


LOSSES = ("discriminator_a_loss", "discriminator_b_loss", "generator_loss", "train_cycle", "train_identity")


def new_task(config: Config, a: translation.Split, b: translation.Split) -> images.Task:
    """What training this experiment means."""
    size = a.train.shape[1:]
    game = new_game(config, size)

    def draw(first, count):
        # seeds of the two domains' orders: two streams, as their lengths may be equal
        chosen = [
            data.image_minibatches(len(split.train), seed, first, count, config.batch)
            for split, seed in ((a, config.seed), (b, config.seed + 2**31))
        ]
        bits = data.random_bits(config.seed, data.MIX, first, count, 2 * POOL).reshape(count, 2, POOL)
        coins = data.random_bits(config.seed, data.SHIFT, first, count, 2 * config.batch)
        slots = bits.argsort(axis=-1, kind="stable")[..., : config.batch]  # of a permutation: no two alike
        batches = {"a": a.train[chosen[0]], "b": b.train[chosen[1]], "slots": slots.astype(np.int32)}
        batches["old"] = coins.reshape(count, 2, config.batch) % 2 == 1
        return {name: tf.constant(values) for name, values in batches.items()}

    loop = core.compiled_loop(lambda game, batch: adversarial_step(game, config, batch), jit_compile=False)
    networks = {f"{kind}_{k}": getattr(getattr(game, k), kind).weights for k in "ab" for kind in Side._fields[:2]}
    generate = partial(translated, game.b.generator.weights)
    return images.Task(game, loop, draw, generate, networks, lambda: new_game(config, size), LOSSES)


def translated(weights: core.Weights, x: np.ndarray) -> np.ndarray:
    """Images `[n, H, W, C]`, uint8 or float32 in [0, 1], as a generator translates them, float32 in [0, 1]."""
    x = data.as_pixels(x) if x.dtype == np.uint8 else x
    return images.in_parts(partial(_translate, weights), x)


@partial(tf.function, autograph=False)
def _translate(weights, x):
    return (translation.unet(2 * x - 1, weights) + 1) / 2


class Trained(NamedTuple):
    """What training leaves behind."""

    config: Config
    domains: tuple[translation.Split, translation.Split]
    judge: Any  # None for the user's own images
    records: list[dict]
    task: images.Task
    sheets: list[tuple[int, np.ndarray]]


def measured(trained_on: tuple, game: Game, judge: Any, n: int) -> dict[str, float]:
    """What held-out images say, of up to n: cycle distances in [0, 1] units, and the judge's readings."""
    a, b = (split.test[:n] for split in trained_on)
    g_a, g_b = game.a.generator.weights, game.b.generator.weights
    fake_b, fake_a = translated(g_b, a), translated(g_a, b)
    found = {
        "cycle_a": translation.mean_error(translated(g_a, fake_b), data.as_pixels(a)),
        "cycle_b": translation.mean_error(translated(g_b, fake_a), data.as_pixels(b)),
        "cycle_a_floor": 0.0,
        "cycle_b_floor": 0.0,
    }
    if judge:
        labels, real_b = trained_on[0].test_labels[:n], data.as_pixels(b)
        found["accuracy_floor"], features = translation.readings(judge, real_b, trained_on[1].test_labels[:n])
        for name, x in (("", fake_b), ("_untranslated", data.as_pixels(a))):
            found[f"accuracy{name}"], seen = translation.readings(judge, x, labels)
            found[f"frechet_digit_distance{name}"] = metrics.frechet_digit_distance(features, seen)
    return found


def train(config: Config, run: runs.Run | None = None) -> Trained:
    """Train; every `eval_every` steps measure held-out images and keep some translations."""
    run, both = run or runs.Run(), domains(config)
    task, judge = new_task(config, *both), None
    if config.domain_a is None:
        from experiments import digit_classifier  # here: a wrong flag should not wait for it

        judge = digit_classifier.judge_for(images.load(config.data))
    else:
        for split in both:
            runs.say(f"{split.name}: {translation.described(split.train, split.test)}")
    sheets = images.Sheets(run.folder, columns=WATCHED)

    def look(step):
        sheets.add(step, task.generate(both[0].test[:WATCHED]))
        return measured(both, task.game, judge, config.log_samples)

    def headline(record):
        told = f", judge reads {record['accuracy']:.1%} of translations" if judge else ""
        return f"cycle distance {record['cycle_a']:.4f}{told}"

    images.play(config, run, task, sheets, look, headline)
    return Trained(config, both, judge, run.records, task, sheets.kept)


def save_figures(trained: Trained, folder: Path) -> None:
    """cycles.png (rows: a, G(a), F(G(a)), then b, F(b), G(F(b))), strip.png, training.gif, curves.png."""
    import gan_plots as plots  # seaborn takes seconds to import

    game, rows = trained.task.game, []
    there, back = game.b.generator.weights, game.a.generator.weights
    for split, go, come in ((trained.domains[0], there, back), (trained.domains[1], back, there)):
        x = split.test[:WATCHED]
        y = translated(go, x)
        rows += [data.as_pixels(x), y, translated(come, y)]
    columns = len(rows[0])
    plots.save_sheet(folder / "cycles.png", np.concatenate([row[:columns] for row in rows]), columns)
    plots.save_sheet(folder / "strip.png", images.strip(trained.sheets, rows=8), columns)
    plots.sheet_animation(folder / "training.gif", trained.sheets, columns=columns)
    curves = {"cycle_a": "a, there and back", "cycle_b": "b, there and back"}
    fig = plots.held_out_curves(trained.records, "Cycle distance", curves, LOSSES[:3], unit="squared logits")
    plots.save(fig, folder / "curves.png")


def train_and_report(config: Config, run: runs.Run) -> None:
    """Train, measure, draw, tell."""
    trained = train(config, run)
    a, b = trained.domains
    images.show_parameters(trained.task.networks)
    save_figures(trained, run.folder / "figures")
    found = measured(trained.domains, trained.task.game, trained.judge, config.eval_samples)
    head = {"experiment": EXPERIMENT, "recipe": config.recipe, "data": f"{a.name} to {b.name}", "seed": config.seed}
    result = run.finish(head | {"steps": config.steps} | found)
    rows = {"cycle distance a, b, a": ["cycle_a", None, "cycle_a_floor"]}
    rows["cycle distance b, a, b"] = ["cycle_b", None, "cycle_b_floor"]
    if trained.judge:
        rows["judge reads the right digit (chance .1)"] = ["accuracy", "accuracy_untranslated", "accuracy_floor"]
        rows["Frechet digit distance"] = ["frechet_digit_distance", "frechet_digit_distance_untranslated", None]
    rows = {label: [result.get(key) for key in keys] for label, keys in rows.items()}
    title = f"{result['data']}, seed {config.seed}, {config.steps} steps"
    translation.show_table(title, ("translated", "untranslated", "real b"), rows)
    runs.say(f"{run.folder}: pictures in figures/, every number in result.json and log.jsonl")
    told = ""
    if trained.judge:
        before = result["accuracy_untranslated"]
        told = f"The judge reads {result['accuracy']:.1%} of translations, {before:.1%} of the originals. "
    runs.say(f"Cycle distance {result['cycle_a']:.4f}. {told}{result['train_seconds']:.0f} s of training")


RECIPES = {"stable": Config()}

if __name__ == "__main__":
    runs.command_line(EXPERIMENT, RECIPES, train_and_report, __doc__)
