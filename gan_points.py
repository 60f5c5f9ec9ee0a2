"""What the experiments on points share: settings, networks, the loop over many seeds, questions to the players.

Points are columns `[S, F, n]`: S seeds, F coordinates, n points; numbers on a line have F = 1.
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np

import gan_core as core
import gan_data as data
import gan_runs as runs
import metrics
from gan_core import tf

Activation = Literal[tuple(core.ACTIVATIONS)]
Init = Literal[core.INITS]
Schedule = Literal["constant", "cosine"]
COMPANIONS = 8  # packs in which a packed D is shown each point, to ask what it thinks of that point


@dataclass(frozen=True)
class PointsConfig:
    """Settings of every experiment on points; the defaults are those of the 1-D tutorial."""

    recipe: str = ""
    samples: int = 1000  # real samples to train on, each seed's its own
    seeds: int = 16  # GANs trained at once: their spread is the error bar
    seed: int = 0  # the first of them
    steps: int = 12_000  # updates of each player, in total
    batch: int = 300  # real samples and fakes per step; an epoch's last batch is filled up from its start
    eval_every: int = 40  # steps between records
    eval_samples: int = 10_000  # fakes of each seed behind every number
    checkpoint_every: int = 1000  # steps between checkpoints
    latent: Literal[core.LAWS] = "uniform"  # law of z; mixed: half of its coordinates normal, half uniform
    latent_dim: int = 8
    discriminator_hidden: tuple[int, ...] = (8,)  # units of D's hidden layers
    generator_hidden: tuple[int, ...] = (4,)
    discriminator_activation: Activation = "relu"
    generator_activation: Activation = "relu"
    discriminator_init: Init = "normal"  # weights and biases N(0, 1)
    generator_init: Init = "normal"
    generator_skip: bool = False  # G adds a linear map of z to its network
    loss: Literal[tuple(core.LOSSES)] = "minimax"
    learning_rate: float = 5e-4  # of both players' Adam; at .05 most seeds collapse
    discriminator_rate: float = 1.0  # D's learning rate in units of G's
    schedule: Schedule = "constant"  # of G's learning rate
    discriminator_schedule: Schedule = "constant"  # of D's
    beta1: float = 0.9  # Adam's defaults
    beta2: float = 0.999
    r1: float = 0.0  # weight of 1/2 |grad D|^2 on real samples
    r2: float = 0.0  # the same on fakes
    gradient_penalty: float = 0.0  # weight of (|grad D| - 1)^2 between them
    penalty_end: float = 1.0  # factor of the penalties at the last step, reached by equal ratios; 1: constant
    average: float = 0.0  # decay of the running average of G's weights, which is what is judged; 0: G itself
    standardise: bool = False  # train on (x - mean) / std of the seed's own samples, map fakes back
    pack: int = 1  # samples that D sees at a time (PacGAN)
    unroll: int = 0  # updates of D that G looks ahead (Unrolled GAN); of `minimax` or `wasserstein` alone

    def with_sensible_numbers(self) -> Any:
        """The same; BadInput for a value that cannot work, whatever the data."""
        positive = "samples seeds steps batch eval_every checkpoint_every latent_dim pack"
        runs.require(self, positive + " discriminator_hidden generator_hidden", "at least 1", lambda v: v >= 1)
        runs.require(self, "eval_samples", "at least 2", lambda v: v >= 2)
        runs.require(self, "seed r1 r2 gradient_penalty unroll", "0 or more", lambda v: 0 <= v < np.inf)
        runs.require(self, "seed", "below 2^31", lambda v: v < 2**31)
        above = "learning_rate discriminator_rate penalty_end"
        runs.require(self, above, "above 0", lambda v: 0 < v < np.inf)
        runs.require(self, "beta1 beta2 average", "at least 0 and below 1", lambda v: 0 <= v < 1)
        runs.require(self, "steps", f"at least --eval-every, {self.eval_every}", lambda v: v >= self.eval_every)
        runs.require(self, "batch eval_samples", f"a multiple of --pack {self.pack}", lambda v: v % self.pack == 0)
        if self.unroll and self.loss not in core.ZERO_SUM:
            raise runs.BadInput(
                f"--unroll {self.unroll}: not with --loss {self.loss}; expected {' or '.join(core.ZERO_SUM)}, where "
                "what D would gain is what G would lose"
            )
        return self


def networks(config: PointsConfig) -> tuple[core.Network, core.Network]:
    """D: a pack of points -> logit and G: z -> point, multilayer perceptrons with linear outputs."""
    d = partial(core.mlp, activation=core.ACTIVATIONS[config.discriminator_activation])
    g = partial(core.mlp, activation=core.ACTIVATIONS[config.generator_activation])
    return d, core.with_skip(g) if config.generator_skip else g


def new_game(config: PointsConfig, seeds: range, features: int) -> core.Game:
    """Raw variables with a leading axis of seeds, each seed's numbers its own."""
    rngs = [data.generator(seed, data.WEIGHTS) for seed in seeds]
    d_sizes = config.pack * features, *config.discriminator_hidden, 1
    g_sizes = config.latent_dim, *config.generator_hidden, features
    d = core.dense_weights(rngs, d_sizes, config.discriminator_init)
    g = core.dense_weights(rngs, g_sizes, config.generator_init)
    if config.generator_skip:
        scale, shape = (
            config.latent_dim**-0.5,
            (features, config.latent_dim),
        )  # the skip alone has about unit variance
        g.append(tf.Variable(np.stack([scale * r.standard_normal(shape, "f") for r in rngs])))
    return core.new_game(d, g)


def new_loop(config: PointsConfig) -> Callable:
    """The compiled loop `(game, batches) -> losses [n, 2, S]`; random bits become latents inside it."""
    d, g = networks(config)
    schedules = {"cosine": core.cosine(config.steps), "constant": core.constant}
    rules = core.Rules(
        d,
        lambda z, weights: core.packed(g(z, weights), config.pack),
        core.LOSSES[config.loss],
        core.Adam(config.learning_rate * config.discriminator_rate, config.beta1, config.beta2),
        core.Adam(config.learning_rate, config.beta1, config.beta2),
        rate_schedule_g=schedules[config.schedule],
        rate_schedule_d=schedules[config.discriminator_schedule],
        r1=config.r1,
        r2=config.r2,
        gradient_penalty=config.gradient_penalty,
        penalty_schedule=core.geometric(config.penalty_end, config.steps),
        average_decay=config.average,
        unroll=config.unroll,
    )

    def step(game, batch):
        played = {"x": core.packed(batch["x"], config.pack), "z": core.from_bits(batch["z"], config.latent)}
        if config.gradient_penalty:
            played["mix"] = 0.5 + 0.5 * core.from_bits(batch["mix"], "uniform")
        return core.adversarial_step(game, rules, played)

    return core.compiled_loop(step)


def draw(config: PointsConfig, points: np.ndarray, seeds: range, first: int, count: int) -> dict:
    """What steps first .. first + count - 1 need: minibatches of `points [S, F, N]` and random bits."""
    batch = {
        "x": data.minibatches(points, seeds, first, count, config.batch),  # [n, S, F, B]
        "z": data.bits_for_seeds(seeds, data.LATENT, first, count, (config.latent_dim, config.batch)),
    }
    if config.gradient_penalty:
        batch["mix"] = data.bits_for_seeds(seeds, data.MIX, first, count, (1, config.batch // config.pack))
    return {name: tf.constant(values) for name, values in batch.items()}


class Players:
    """Every seed's game, in blocks that train side by side, and what one can ask of them in the unit of the data."""

    def __init__(self, config: PointsConfig, points: np.ndarray):
        self.config, self.seeds = config, range(config.seed, config.seed + config.seeds)
        self.points, self.mean, self.std = data.standardised(points, config.standardise)  # [S, F, N], [S, F, 1] twice
        self.blocks = data.blocks(config.seeds)
        self.games = [self._new_game(block) for block in self.blocks]
        self._d, g = networks(config)
        self._generate, self._g = core.compiled(lambda bits, w: g(core.from_bits(bits, config.latent), w)), g

    def first(self) -> "Players":
        """The first seed alone, as it is now, to ask it what need not be asked of all."""
        alone = copy.copy(self)
        alone.seeds, alone.points, alone.blocks = self.seeds[:1], self.points[:1], [slice(0, 1)]
        alone.mean, alone.std = self.mean[:1], self.std[:1]
        alone.games = [tf.nest.map_structure(lambda v: v[:1] if v.shape.rank else v, self.games[0])]
        return alone

    def _new_game(self, block: slice) -> core.Game:
        return new_game(self.config, self.seeds[block], self.points.shape[1])

    def _batches(self, work: tuple[int, int, slice]) -> dict:
        first, count, block = work
        return draw(self.config, self.points[block], self.seeds[block], first, count)

    def fakes(self, step: int) -> np.ndarray:
        """`eval_samples` fakes of each seed `[S, F, n]`, of latents of this step that are never trained on."""
        shape = self.config.latent_dim, self.config.eval_samples
        bits = data.bits_for_seeds(self.seeds, data.EVALUATION, step, 1, shape)[0]  # [S, Z, n]
        return self._from(self._generate, bits)

    def images_of(self, z: np.ndarray) -> np.ndarray:
        """Where every seed's G puts the latents `[Z, n]`: `[S, F, n]`."""
        return self._from(self._g, np.tile(np.float32(z), (len(self.seeds), 1, 1)))

    def _from(self, generate: Callable, inputs: np.ndarray) -> np.ndarray:
        return self._each(lambda block, game: generate(inputs[block], game.average)) * self.std + self.mean

    def verdicts(self, x: np.ndarray) -> np.ndarray:
        """D's logits of points `[S, F, n]`, pack by pack: `[S, n / pack]`."""
        packs = core.packed(self._scaled(x), self.config.pack)
        return self._each(lambda block, game: self._seen(packs[block], game))

    def logits(self, x: np.ndarray) -> np.ndarray:
        """D's logit of each point `[S, F, n] -> [S, n]`; a packed D's is the mean over 8 packs with real ones."""
        x = self._scaled(x)
        return self._each(lambda block, game: self._seen(self._in_company(x[block], block), game))

    def pushes(self, x: np.ndarray) -> np.ndarray:
        """Where D moves a fake at x `[S, F, n]`: minus the gradient of G's loss there, of the same shape."""
        x, loss = self._scaled(x), core.LOSSES[self.config.loss].generator
        real = tf.constant(self.points[:, :, np.arange(x.shape[2]) % self.points.shape[2]])

        def push(block, game):
            with tf.GradientTape() as tape:
                here = tf.identity(x[block])
                tape.watch(here)
                logits = [self._seen(self._in_company(points, block), game) for points in (real[block], here)]
                total = tf.reduce_sum(loss(*logits))
            return -tape.gradient(total, here)

        return self._each(push) / self.std

    def _scaled(self, x: np.ndarray) -> tf.Tensor:
        return tf.constant((x - self.mean) / self.std, tf.float32)

    def _each(self, ask: Callable[[slice, core.Game], tf.Tensor]) -> np.ndarray:
        return np.concatenate([ask(block, game) for block, game in zip(self.blocks, self.games, strict=True)])

    def _seen(self, packs: tf.Tensor, game: core.Game) -> tf.Tensor:
        """D's logits `[S, n]` of packs `[S, pack F, n]`, or their mean over a leading axis of packs."""
        logits = self._d(packs, game.discriminator.weights)[..., 0, :]
        return logits if packs.ndim == 3 else tf.reduce_mean(logits, axis=0)

    def _in_company(self, x: tf.Tensor, block: slice) -> tf.Tensor:
        """Points `[S, F, n]` as `[COMPANIONS, S, pack F, n]`, each among training points, the same ones each time."""
        others = self.config.pack - 1
        if not others:
            return x
        rng = data.generator(self.config.seed, data.EVALUATION)
        chosen = rng.integers(self.points.shape[2], size=(COMPANIONS, others, x.shape[2]))
        company = np.moveaxis(self.points[block][:, :, chosen], (2, 3), (0, 2))  # [COMPANIONS, S, others, F, n]
        company = company.reshape(COMPANIONS, x.shape[0], -1, x.shape[2])
        return tf.concat([tf.broadcast_to(x, (COMPANIONS, *x.shape)), company], axis=2)

    def train(self, run: runs.Run, look: Callable[[int, np.ndarray], dict], headline: Callable[[dict], str]) -> None:
        """All seeds at once; every `eval_every` steps record `look(step, fakes [S, F, n])` and the losses' means."""
        config, loop = self.config, new_loop(self.config)
        loop(self._new_game(self.blocks[0]), self._batches((0, config.eval_every, self.blocks[0])))  # compile, forget
        with run.training({"games": self.games}, config.steps) as done:
            if done == 0:
                run.record({"step": 0} | look(0, self.fakes(0)))
            every, steps = config.eval_every, config.steps
            chunks = [(i, min(every, steps - i)) for i in range(done, steps, every)]
            drawn = data.prefetched(self._batches, ((*chunk, block) for chunk in chunks for block in self.blocks))
            for first, count in chunks:
                with run.timed():
                    losses = core.play_blocks(loop, self.games, drawn)  # [n, 2, S]
                run.require_finite(losses, first, self.seeds)
                step, fakes = first + count, self.fakes(first + count)
                if not np.isfinite(fakes).all():
                    run.stop(f"step {step}: the generator's output is not finite")
                names, means = ("discriminator_loss", "generator_loss"), losses.mean(axis=0)
                record = {"step": step} | look(step, fakes) | dict(zip(names, map(band, means), strict=True))
                run.record(record, headline(record))
                run.checkpoint(step)


def band(values: np.ndarray) -> dict:
    """metrics.summary without the single seeds."""
    return {name: value for name, value in metrics.summary(values).items() if name != "per_seed"}
