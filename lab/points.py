"""Many GANs on points at once, one for each seed: networks, weights, batches, samples, and what their D says.

Points are columns `[S, F, n]`: S seeds, F coordinates, n points; numbers on a line have F = 1.
"""

from __future__ import annotations

import contextlib
import copy
import itertools
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np

import gan_core as core
from gan_core import tf
from lab import draws, files, memory, pacgan, targets
from lab.files import BadInput
from lab.runs import Period, Run

COMPANIONS = 8  # how many packs a packed D sees each point in, when it is asked for its logit at single points


class Ensemble:
    """S independent GANs on points: networks, games, and training data.

    The seeds are split into blocks: each is one `Game` with a leading axis of seeds and trains in one program.

    Attributes:
        d, g: the networks as they train, `(x, weights) -> logits [S, 1, n]` and `(z, weights) -> points [S, F, n]`.
        games: the `gan_core.Game` of each block.
        points: training points `[S, F, N]` float32, standardised if the config says so.
        mean, std: `[S, F, 1]`; samples are mapped back to the unit of the data by them.
    """

    def __init__(self, config: Any, points: np.ndarray, devices: Sequence[str] = ()):
        """New GANs with the settings of `normal_1d` or `mixture_2d` for training points `[S, F, N]`.

        Each block of seeds trains on one of the `devices`, by default all on the one that TensorFlow uses anyway.
        """
        self.config, self.seeds = config, range(config.seed, config.seed + config.seeds)
        self.mean, self.std = points.mean(axis=-1, keepdims=True), points.std(axis=-1, keepdims=True)
        if not config.standardise:
            self.mean, self.std = np.zeros_like(self.mean), np.ones_like(self.std)
        self.points = ((points - self.mean) / self.std).astype(np.float32)
        self.d, self.g = networks(config)
        self.blocks = blocks(config)
        if len(self.blocks) == 1 and widest_layer(config) < 200:  # too little work to share between cores
            core.use_one_core_a_program()
        self.games = []
        for block, device in zip(self.blocks, itertools.cycle(devices or [None]), strict=False):
            with tf.device(device) if device else contextlib.nullcontext():
                self.games.append(new_game(config, self.seeds[block], points.shape[1]))
        self._perceptron, latent = perceptron(config), config.latent
        self._sample = core.compiled(lambda bits, weights: self._perceptron(draws.latents(bits, latent), weights))

    def alone(self, k: int) -> Ensemble:
        """GAN k alone, as it is now, for questions that need not be asked of all."""
        alone, one = copy.copy(self), slice(k, k + 1)
        alone.seeds, alone.points, alone.blocks = self.seeds[one], self.points[one], [slice(0, 1)]
        alone.mean, alone.std = self.mean[one], self.std[one]
        block, game = next((b, g) for b, g in zip(self.blocks, self.games, strict=True) if k < b.stop)
        within = slice(k - block.start, k - block.start + 1)
        alone.games = [tf.nest.map_structure(lambda v: v[within] if v.shape.rank else v, game)]
        return alone

    # ------------------------------------------------------------------------------------------ training

    def batches(self, period: Period) -> Iterator[dict[str, tf.Tensor]]:
        """The batches of a period: n steps of each block of seeds, one dict for each, then of the next n steps.

        Each holds for B packs real minibatches `x [n, S, F, pack B]`, random bits of latents `z [n, S, Z, pack B]`
        and, for the gradient penalty alone, random bits `mix [n, S, 1, B]`. If fewer steps are left, zeros fill it
        up, because a program is compiled for one n.
        """
        config, n = self.config, steps_at_once(self.config, self.points.shape[1])
        for chunk, block in itertools.product(period.chunks(n), self.blocks):
            seeds, first, count = self.seeds[block], chunk.first, chunk.count
            samples = config.pack * config.batch
            batch = {
                "x": draws.minibatches(self.points[block], seeds, first, count, samples),
                "z": draws.bits_for_seeds(seeds, draws.LATENT, first, count, (config.latent_dim, samples)),
            }
            if config.gradient_penalty:
                batch["mix"] = draws.bits_for_seeds(seeds, draws.MIX, first, count, (1, config.batch))
            yield core.as_tensors({name: filled_up(values, n) for name, values in batch.items()})

    # ------------------------------------------------------------------------------ samples and questions to D

    def sample(self, step: int, averages: Sequence | None = None) -> np.ndarray:
        """`eval_samples` fakes of every seed `[S, F, n]`, from latents of this step that are never trained on.

        `averages`: of each block of seeds the weights of G, by default its average as it is now.
        """
        shape = self.config.latent_dim, self.config.eval_samples
        return self.from_bits(draws.bits_for_seeds(self.seeds, draws.EVALUATION, step, 1, shape)[0], averages)

    def from_bits(self, bits: np.ndarray, averages: Sequence | None = None) -> np.ndarray:
        """The fakes `[S, F, n]` of latents given as random bits `[S, Z, n]`, in the unit of the data."""
        return self._generated(self._sample, bits, averages)

    def from_latents(self, z: np.ndarray, averages: Sequence | None = None) -> np.ndarray:
        """Where the G of every seed puts the latents `[Z, n]`: `[S, F, n]`, in the unit of the data."""
        return self._generated(self._perceptron, np.tile(np.float32(z), (len(self.seeds), 1, 1)), averages)

    def _generated(self, generate: Callable, inputs: np.ndarray, averages: Sequence | None) -> np.ndarray:
        if averages is None:
            blocks_and_games = zip(self.blocks, self.games, strict=True)
            averages = [weights_to_evaluate(self.config, game, self.seeds[block]) for block, game in blocks_and_games]
        parts = [generate(inputs[block], weights) for block, weights in zip(self.blocks, averages, strict=True)]
        return np.concatenate(parts) * self.std + self.mean

    def d_logits_of_packs(self, x: np.ndarray) -> np.ndarray:
        """D's logits of points `[S, F, n]` in packs, `[S, n // pack]`. What fills no pack is left out."""
        pack = self.config.pack
        packs = core.packed(self._to_network(x[:, :, : x.shape[2] // pack * pack]), pack)
        return self._each_block(lambda block, game: self._d_logits(packs[block], game))

    def d_logits(self, x: np.ndarray) -> np.ndarray:
        """D's logit at each point, `[S, F, n] -> [S, n]`; for a packed D the mean over 8 packs with real points."""
        x = self._to_network(x)
        return self._each_block(lambda block, game: self._d_logits(self._in_packs(x[block], block), game))

    def pushes(self, x: np.ndarray) -> np.ndarray:
        """The direction in which D pushes a fake at x `[S, F, n]`: minus the gradient of G's loss, same shape."""
        x, g_loss = self._to_network(x), core.LOSSES[self.config.loss].g
        real = tf.constant(self.points[:, :, np.arange(x.shape[2]) % self.points.shape[2]])

        def push(block: slice, game: core.Game) -> tf.Tensor:
            with tf.GradientTape() as tape:
                fake = tf.identity(x[block])
                tape.watch(fake)
                logits = [self._d_logits(self._in_packs(points, block), game) for points in (real[block], fake)]
                total = tf.reduce_sum(g_loss(*logits))
            return -tape.gradient(total, fake)

        return self._each_block(push) / self.std

    def _to_network(self, x: np.ndarray) -> tf.Tensor:
        return tf.constant((x - self.mean) / self.std, tf.float32)

    def _each_block(self, question: Callable[[slice, core.Game], tf.Tensor]) -> np.ndarray:
        return np.concatenate([question(block, game) for block, game in zip(self.blocks, self.games, strict=True)])

    def _d_logits(self, packs: tf.Tensor, game: core.Game) -> tf.Tensor:
        """D's logits `[S, n]` of packs `[S, pack F, n]`, or their mean over a leading axis of packs."""
        logits = self.d(packs, game.discriminator.weights)[..., 0, :]
        return logits if packs.ndim == 3 else tf.reduce_mean(logits, axis=0)

    def _in_packs(self, x: tf.Tensor, block: slice) -> tf.Tensor:
        """Points `[S, F, n]` in packs with training points, `[COMPANIONS, S, pack F, n]`, or as they are."""
        return in_packs(x, self.company(block, x.shape[2])) if self.config.pack > 1 else x

    def company(self, block: slice, n: int) -> np.ndarray:
        """Training points beside n points in packs, the same ones each time: `[COMPANIONS, S, (pack - 1) F, n]`."""
        others = self.config.pack - 1
        rng = draws.generator(self.config.seed, draws.EVALUATION)
        chosen = rng.integers(self.points.shape[2], size=(COMPANIONS, others, n))
        company = np.moveaxis(self.points[block][:, :, chosen], (2, 3), (0, 2))  # [COMPANIONS, S, others, F, n]
        return company.reshape(COMPANIONS, company.shape[1], -1, n)


def in_packs(x: tf.Tensor, company: tf.Tensor) -> tf.Tensor:
    """Points `[S, F, n]` with their company `[COMPANIONS, S, (pack - 1) F, n]`, as packs."""
    return tf.concat([tf.broadcast_to(x, (COMPANIONS, *x.shape)), company], axis=2)


def inputs(config: Any, batch: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
    """What the players see of a drawn batch: packs of real points `x`, latents `z`, numbers `mix` in (0, 1)."""
    seen = {"x": core.packed(batch["x"], config.pack), "z": draws.latents(batch["z"], config.latent)}
    if config.gradient_penalty:
        seen["mix"] = 0.5 + 0.5 * draws.latents(batch["mix"], "uniform")
    return seen


def has_pacgan(config: Any) -> bool:
    """Whether the networks are those of `lab.pacgan`; `normal_1d` has no such setting."""
    return getattr(config, "network", "mlp") == "pacgan"


def pieces(config: Any) -> int:
    """How many linear functions a hidden unit of D has: more than one if it is a maxout unit."""
    return pacgan.PIECES if has_pacgan(config) else 1


def blocks(config: Any) -> list[slice]:
    """The seeds that train together, in one program: slices of nearly equal length, two or more from 8 seeds on.

    Two blocks keep two cores busy. The blocks depend on the settings alone, so that a checkpoint fits every machine.
    """
    bounds = np.linspace(0, config.seeds, block_count(config) + 1).round().astype(int).tolist()
    return [slice(*pair) for pair in itertools.pairwise(bounds)]


def block_count(config: Any) -> int:
    """How many blocks there are: so many that at most 64 seeds are in one, or 16 if a layer has 64 units or more.

    64 small GANs fit into the cache of a core; in a block of 1024 each costs twice as much. With layers of 64 units
    16 GANs fit, and in a block of 32 a step of one takes a twentieth longer.
    """
    most = 64 if widest_layer(config) < 64 else 16
    return max(-(-config.seeds // most), 2 if config.seeds >= 8 else 1)


def widest_layer(config: Any) -> int:
    """The number of units in the widest hidden layer of both networks; 0 if there is none."""
    return max(config.discriminator_hidden + config.generator_hidden, default=0)


def largest_block(config: Any) -> int:
    """How many seeds are in the largest of the blocks; they are nearly equal."""
    return -(-config.seeds // block_count(config))


def steps_at_once(config: Any, features: int) -> int:
    """How many steps one call plays: at most 500, and batches of about 10 MB, which the processor's cache holds.

    Of wide networks, whose steps take milliseconds, it is at most 100: a signal has to wait until the call ends.
    """
    most = 500 if widest_layer(config) < 200 else 100
    steps = min(most, config.steps, config.eval_every * periods_together(config, features))
    return min(steps, max(20, 10_000_000 // (largest_block(config) * bytes_of_batch(config, features))))


def bytes_of_batch(config: Any, features: int) -> int:
    """Bytes of what one seed draws for a step: real points, random bits of latents and, for the penalty, of mixes."""
    bytes_of_pack = config.pack * (4 * features + 2 * config.latent_dim) + 2 * bool(config.gradient_penalty)
    return config.batch * bytes_of_pack


def periods_together(config: Any, features: int) -> int:
    """How many periods one call plays: at most 10, with 500 steps and 2 million fakes in all.

    To measure so many fakes takes about a second, for which a signal has to wait. In the plane it is one period,
    because the pictures show D as it was at the end of each.
    """
    most = 10 if features == 1 else 1
    return max(1, min(most, 500 // config.eval_every, 2_000_000 // (config.seeds * config.eval_samples)))


def filled_up(values: np.ndarray, n: int) -> np.ndarray:
    """`values [m, ...]` with zeros after them, as many as make them `[n, ...]`."""
    missing = n - len(values)
    return np.pad(values, [(0, missing), *[(0, 0)] * (values.ndim - 1)]) if missing else values


def require_zero_sum(config: Any) -> None:
    """BadInput for settings that do not fit together: --unroll with a loss that is not zero-sum."""
    if config.unroll and not core.LOSSES[config.loss].zero_sum:
        names = " or ".join(name for name, loss in core.LOSSES.items() if loss.zero_sum)
        raise BadInput(
            f"--unroll {config.unroll}: not with --loss {config.loss}; expected {names}, where D gains what G loses"
        )


def bytes_needed(config: Any, features: int, samples: int | None = None) -> int:
    """About how much memory a run takes, for `memory.require`.

    `features`: coordinates of a point. `samples`: of a file, how many each seed trains on.
    """
    seeds, fakes = config.seeds, config.eval_samples
    block = largest_block(config)
    at_once = min(seeds, block * files.cores())  # each core trains a block
    # bytes for each sample: a seed's order of them; with a file also both halves, and those of a perfect sampler
    one_seed = 48 if samples is None else (64, 180)[features - 1]
    samples = config.samples if samples is None else samples
    samples *= targets.copies(getattr(config, "jitter", 0.0), samples)  # mixture_2d adds no noise to its points
    d = memory.mlp((config.pack * features, *config.discriminator_hidden, 1), pieces(config))
    g = memory.mlp((config.latent_dim, *config.generator_hidden, features))
    layers = 2 * fakes  # values of each unit of G when it draws, of one layer and of the next one
    if has_pacgan(config):
        g = g._replace(units=2 * g.units)  # before and after batch norm
        layers = max(layers, 6 * (pacgan.LATENTS + config.batch))  # `pacgan.normed_mlp` keeps more of a layer
    numbers = features + config.latent_dim  # of a sample and its latent
    steps = steps_at_once(config, features)
    batches = steps * bytes_of_batch(config, features)
    # D is asked about single points: all fakes on a line, a grid of points in the plane; in packs they have company.
    asked, company = (block * fakes, 3600)[features - 1], COMPANIONS if config.pack > 1 else 1
    return (
        memory.TENSORFLOW
        + memory.losses(config, seeds=seeds)
        + memory.xla(d, g, config.batch, numbers, seeds, at_once, config.pack, config.unroll)
        + 12 * seeds * samples * features  # float64 and float32
        + max(16 * seeds * samples * features, one_seed * samples)  # two copies to standardise them; later one seed's
        + (seeds + 4 * block) * batches  # those of all seeds at once, and those that wait
        + 24 * steps * config.pack * config.batch  # the order of one seed's batches
        + fakes * (2 * seeds + 12 * block) * config.latent_dim  # random bits of all seeds, latents of a block
        + 4 * layers * block * max(config.generator_hidden, default=1)  # G's layers, one after the other
        + fakes * (seeds + 20) * (40, 208)[features - 1]  # float64, also of 20 perfect samplers; in 16 directions
        + asked * company * (8 * d.units + 24 * features * (config.pack - 1))
        + 150_000 * config.latent_dim * (features - 1)  # the lattice of latents in the pictures of the plane
    )


def networks(config: Any) -> tuple[Callable, Callable]:
    """D: a pack of points -> a logit, and G: z -> a point, as they train; perceptrons with linear outputs."""
    if not has_pacgan(config):
        return partial(core.mlp, activation=core.ACTIVATIONS[config.discriminator_activation]), perceptron(config)
    activation, groups = core.ACTIVATIONS[config.generator_activation], config.pack

    def normed(z: tf.Tensor, weights: Sequence) -> tf.Tensor:
        return pacgan.normed_mlp(z, weights, activation, groups)[0]

    return partial(core.mlp, activation=pacgan.maxout), core.with_skip(normed) if config.generator_skip else normed


def perceptron(config: Any) -> Callable:
    """G as it is evaluated, z -> a point, with the weights `weights_to_evaluate`."""
    g = partial(core.mlp, activation=core.ACTIVATIONS[config.generator_activation])
    return core.with_skip(g) if config.generator_skip else g


def weights_to_evaluate(config: Any, game: core.Game, seeds: Sequence[int]) -> list[np.ndarray]:
    """The weights of the `perceptron` that draws the fakes of a block of seeds: the average of G's weights.

    Batch norm becomes a part of them. Its moments are those of 4000 latents, in batches as large as in training.
    """
    average = [w.numpy() for w in game.average]
    if not has_pacgan(config):
        return average
    skip = [average.pop()] if config.generator_skip else []
    batches, activation = -(-pacgan.LATENTS // config.batch), core.ACTIVATIONS[config.generator_activation]
    bits = draws.bits_for_seeds(seeds, draws.LATENT, 0, batches, (config.latent_dim, config.batch))
    z = draws.latents(np.concatenate(bits, axis=-1), config.latent)  # [S, Z, batches batch]
    _, weights = pacgan.normed_mlp(z, average, activation, batches)
    return [*map(np.asarray, weights), *skip]


def new_game(config: Any, seeds: range, features: int) -> core.Game:
    """Raw variables with a leading axis of seeds, each seed's numbers its own."""
    rngs = [draws.generator(seed, draws.WEIGHTS) for seed in seeds]
    d_sizes = config.pack * features, *config.discriminator_hidden, 1
    g_sizes = config.latent_dim, *config.generator_hidden, features
    d = core.mlp_weights(rngs, d_sizes, config.discriminator_init, pieces(config))
    g_weights = pacgan.normed_weights if has_pacgan(config) else core.mlp_weights
    g = g_weights(rngs, g_sizes, config.generator_init)
    if config.generator_skip:
        scale, shape = config.latent_dim**-0.5, (features, config.latent_dim)  # varies as much as one number of z
        g.append(tf.Variable(np.stack([scale * rng.standard_normal(shape, "f") for rng in rngs])))
    return core.new_game(d, g)


def frozen(game: core.Game) -> core.Game:
    """The game as it is now, without Adam's moments, to be asked while it is trained on."""

    def player(weights: list) -> core.Player:
        return core.Player([*map(tf.identity, weights)], [], [])

    d, g, average = map(player, (game.discriminator.weights, game.generator.weights, game.average))
    return core.Game(d, g, average.weights, game.step)


def restored(config: Any, run: Run) -> Ensemble:
    """The GANs of a run, to draw fakes: from data.json and the newest checkpoint, without the training points."""
    placeholder = np.tile([0.0, 1.0], (config.seeds, run.data["features"], 1))  # two points: their std is not 0
    gans = Ensemble(config, placeholder)
    gans.mean, gans.std = np.array(run.data["mean"]), np.array(run.data["std"])
    run.restore({"games": gans.games}, config)
    return gans
