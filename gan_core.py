"""The adversarial game on raw `tf.Variable`s: one step of it, followed by its parts.

G turns random numbers z into fakes; D(x) is the probability, as D sees it, that x is a real sample. D maximises and G
minimises V(D, G) = E log D(x) + E log(1 - D(G(z))) (Goodfellow et al. 2014, equation 1), or G minimises another
function: see `LOSSES`. The file reads from the step down: `adversarial_step`, the losses, the penalties, Adam, the
networks, the compiled loop.

Samples are columns: data is `[..., F, B]` with F features and B samples in the batch, latents are `[..., Z, B]`,
weights `[..., out, in]`, biases `[..., out, 1]`. A layer then reads `W h + b` as on the blackboard, and narrow layers
train twice as fast on a CPU under XLA, TensorFlow's compiler, as with samples in rows. A leading axis S holds
independent GANs, one for each seed: the same functions serve one GAN or many, because nothing here mixes entries of
that axis.

D's output is called a logit: D(x) = sigmoid(logit). (For least_squares, hinge and wasserstein it is a score, to which
no probability belongs.) Every loss here makes it high on real samples and low on fakes; least_squares wants 1 and 0.
The losses that are built from log D are in nats.
"""

from __future__ import annotations

import contextlib
import gc
import itertools
import os
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np

if TYPE_CHECKING:  # at run time `tf` is defined in the last lines of this file
    import tensorflow as tf

    Weights = list[tf.Variable]  # [W1, b1, W2, b2, ...]
    Network = Callable[[tf.Tensor, Sequence], tf.Tensor]
    Number: TypeAlias = float | tf.Variable


# ---------------------------------------------------------------------------------------------- the game


def adversarial_step(game: Game, rules: Rules, batch: dict[str, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
    """One update of D, then one of G against the updated D; returns both losses, each `[S]` or a scalar.

    With `rules.simultaneous` G is updated against the D from before its update, as if both moved at once.

    `batch` holds real samples `x [..., F, B]`, latents `z [..., Z, B]` and, for the gradient penalty alone, random
    numbers `mix [..., 1, B]`; with PacGAN's packs x is `[..., pack F, B]` and z `[..., Z, pack B]`. D sees real
    samples and fakes only, never z. A seed's loss is the mean over its batch. The losses of all seeds are summed: a
    mean would shrink each seed's gradient as more seeds train. The returned losses do not include the penalties.
    """
    d, g = game.discriminator, game.generator
    game.step.assign_add(1)

    fake = rules.generator(batch["z"], g.weights)  # [..., F, B], outside the tape: for D fakes are constants
    with tf.GradientTape() as tape:
        d_loss, total = discriminator_loss(rules, d.weights, batch, fake, game.step)
    d_seen = [*map(tf.identity, d.weights)] if rules.simultaneous else d.weights  # before or after its update
    adam_update(d, tape.gradient(total, d.weights), game.step, rules.adam_d, rules.rate_schedule_d(game.step))

    with tf.GradientTape() as tape:  # the same fakes, recorded: G's gradient goes through them and D
        fake = rules.generator(batch["z"], g.weights)
        d_weights = unrolled(rules, d, batch, fake, game.step) if rules.unroll else d_seen
        fake_logits = rules.discriminator(fake, d_weights)
        real_logits = rules.discriminator(batch["x"], d_weights)  # for relativistic losses alone
        g_loss = batch_mean(rules.loss.g(real_logits, fake_logits))
        total = tf.reduce_sum(g_loss)
    adam_update(g, tape.gradient(total, g.weights), game.step, rules.adam_g, rules.rate_schedule_g(game.step))
    update_average(game.average, g.weights, rules.average_decay)
    return tf.squeeze(d_loss, -1), tf.squeeze(g_loss, -1)


def discriminator_loss(
    rules: Rules, weights: Sequence, batch: dict[str, tf.Tensor], fake: tf.Tensor, step: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """D's loss `[S, 1]`, and the scalar that D minimises: its sum over seeds plus penalties on the logit's slope."""

    def d(x: tf.Tensor) -> tf.Tensor:
        return rules.discriminator(x, weights)

    d_loss = batch_mean(rules.loss.d(d(batch["x"]), d(fake)))
    penalty = tf.zeros([])
    if is_on(rules.r1):
        penalty += float32(rules.r1) * batch_mean(r1(d, batch["x"]))
    if is_on(rules.r2):
        penalty += float32(rules.r2) * batch_mean(r2(d, fake))
    if is_on(rules.gradient_penalty):
        penalty += float32(rules.gradient_penalty) * batch_mean(gradient_penalty(d, batch["x"], fake, batch["mix"]))
    return d_loss, tf.reduce_sum(d_loss) + rules.penalty_schedule(step) * tf.reduce_sum(penalty)


def unrolled(rules: Rules, d: Player, batch: dict, fake: tf.Tensor, step: tf.Tensor) -> Sequence[tf.Tensor]:
    """D's weights after `rules.unroll` more updates on this batch, as differentiable functions of the fakes.

    G's gradient then also contains how D would answer a change of the fakes. Source: Metz et al. 2017, equations 7 to
    10, with Adam as D's optimiser as in their experiments. The schedules stay at this step.
    """

    def look_ahead(later: tf.Tensor, player: Player) -> tuple[tf.Tensor, Player]:
        with tf.GradientTape() as tape:
            tape.watch(player.weights)
            _, total = discriminator_loss(rules, player.weights, batch, fake, step)
        gradients = tape.gradient(total, player.weights)
        return later + 1, adam_step(player, gradients, step + later, rules.adam_d, rules.rate_schedule_d(step))

    # A loop and not a copy of the code for each update: XLA would compile each copy for seconds.
    start = tf.constant(1, step.dtype), Player(*([tf.identity(v) for v in values] for values in d))
    _, player = tf.while_loop(lambda *_: True, look_ahead, start, maximum_iterations=rules.unroll)
    return player.weights


def batch_mean(per_sample: tf.Tensor) -> tf.Tensor:
    """Mean over the batch, seed by seed: `[..., 1, B] -> [..., 1]`, `[..., B] -> [...]`."""
    return tf.reduce_mean(per_sample, axis=-1)


def mean_over_replicas(values: Sequence[tf.Tensor]) -> list[tf.Tensor]:
    """The mean of each tensor over the devices that share a step under `tf.distribute`.

    Each device, a replica, holds its part of the batch. The mean of their gradients, of any order, is therefore the
    gradient of the whole batch. All tensors travel as one, because between processes each message takes a
    millisecond. On one device they are returned as they are.
    """
    if replicas() == 1:
        return list(values)
    flat = tf.concat([tf.reshape(value, (-1,)) for value in values], 0)
    mean = tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.MEAN, flat)
    parts = tf.split(mean, [value.shape.num_elements() for value in values])
    return [tf.reshape(part, value.shape) for part, value in zip(parts, values, strict=True)]


def replicas() -> int:
    """How many devices share the step that is being traced; 1 outside a strategy of `tf.distribute`."""
    context = tf.distribute.get_replica_context()
    return context.num_replicas_in_sync if context else 1


# ------------------------------------------------------------------------------------------------ losses


def log_d(logits: tf.Tensor) -> tf.Tensor:
    """log D(x) with D = sigmoid(logit), accurate for every logit: no `log(p + 1e-8)` is needed."""
    return tf.math.log_sigmoid(logits)


def log_one_minus_d(logits: tf.Tensor) -> tf.Tensor:
    """log(1 - D(x)), because 1 - sigmoid(a) = sigmoid(-a)."""
    return tf.math.log_sigmoid(-logits)


class Loss(NamedTuple):
    """The losses of both players, each `(real_logits, fake_logits) -> loss of each column`, to be minimised.

    A column of D's loss is a real sample together with a fake.
    """

    d: Callable[[tf.Tensor, tf.Tensor], tf.Tensor]
    g: Callable[[tf.Tensor, tf.Tensor], tf.Tensor]
    # G's loss is minus D's loss, where terms that do not depend on G are left out; --unroll needs such a loss.
    zero_sum: bool = False
    logistic: bool = False  # the best D(x) is p / (p + q), with the densities p of real samples and q of fakes
    relative: bool = False  # G's loss also uses the logits of real samples; otherwise g accepts None in their place


LOSSES: dict[str, Loss] = {
    # equation 1 of Goodfellow et al. 2014: D maximises, G minimises E log D(x) + E log(1 - D(G(z)))
    "minimax": Loss(
        d=lambda real, fake: -(log_d(real) + log_one_minus_d(fake)),
        g=lambda real, fake: log_one_minus_d(fake),
        zero_sum=True,
        logistic=True,
    ),
    # section 3 of the same paper: G maximises log D(G(z)); the same equilibrium, stronger gradients early on
    "non_saturating": Loss(
        d=lambda real, fake: -(log_d(real) + log_one_minus_d(fake)),
        g=lambda real, fake: -log_d(fake),
        logistic=True,
    ),
    # Mao et al. 2017, equation 9 (a = 0, b = c = 1)
    "least_squares": Loss(
        d=lambda real, fake: 0.5 * ((real - 1) ** 2 + fake**2),
        g=lambda real, fake: 0.5 * (fake - 1) ** 2,
    ),
    # Lim and Ye 2017; Miyato et al. 2018
    "hinge": Loss(
        d=lambda real, fake: tf.nn.relu(1 - real) + tf.nn.relu(1 + fake),
        g=lambda real, fake: -fake,
    ),
    # Arjovsky et al. 2017; it needs a penalty or another bound on D's slope
    "wasserstein": Loss(
        d=lambda real, fake: fake - real,
        g=lambda real, fake: -fake,
        zero_sum=True,
    ),
    # each real logit is compared with that of one fake: Jolicoeur-Martineau 2019; R3GAN (Huang et al. 2024)
    "relativistic_paired": Loss(
        d=lambda real, fake: -log_d(real - fake),
        g=lambda real, fake: -log_d(fake - real),
        relative=True,
    ),
    # each logit is compared with the mean logit of the other kind: Jolicoeur-Martineau 2019; TF-GAN
    "relativistic_average": Loss(
        d=lambda real, fake: -(log_d(real - mean_logit(fake)) + log_one_minus_d(fake - mean_logit(real))),
        g=lambda real, fake: -(log_d(fake - mean_logit(real)) + log_one_minus_d(real - mean_logit(fake))),
        relative=True,
    ),
}


def mean_logit(logits: tf.Tensor) -> tf.Tensor:
    """The mean logit of the batch, kept as an axis of length 1: `[..., B] -> [..., 1]`."""
    return mean_over_replicas([tf.reduce_mean(logits, axis=-1, keepdims=True)])[0]


# --------------------------------------------------------------------------------------------- penalties


def squared_slope(discriminator: Callable[[tf.Tensor], tf.Tensor], x: tf.Tensor) -> tf.Tensor:
    """|grad_x logit(x)|^2 of each sample, summed over the features: `[..., F, B] -> [..., B]`."""
    with tf.GradientTape() as tape:
        tape.watch(x)
        logits = discriminator(x)
    return tf.reduce_sum(tape.gradient(logits, x) ** 2, axis=-2)


def r1(discriminator: Callable[[tf.Tensor], tf.Tensor], real: tf.Tensor) -> tf.Tensor:
    """1/2 |grad logit|^2 on real samples (Mescheder et al. 2018, equation 9, without its weight gamma)."""
    return 0.5 * squared_slope(discriminator, real)


def r2(discriminator: Callable[[tf.Tensor], tf.Tensor], fake: tf.Tensor) -> tf.Tensor:
    """1/2 |grad logit|^2 on fakes (same source, equation 10)."""
    return 0.5 * squared_slope(discriminator, fake)


def gradient_penalty(
    discriminator: Callable[[tf.Tensor], tf.Tensor], real: tf.Tensor, fake: tf.Tensor, mix: tf.Tensor
) -> tf.Tensor:
    """(|grad logit| - 1)^2 between real and fake, at `mix * real + (1 - mix) * fake` with `mix ~ U(0, 1)`.

    Source: Gulrajani et al. 2017, equation 3, without the factor lambda. The tiny constant keeps the gradient of
    the square root finite where D is flat.
    """
    slope = tf.sqrt(squared_slope(discriminator, mix * real + (1 - mix) * fake) + 1e-12)
    return (slope - 1) ** 2


# --------------------------------------------------------------------------------- the players and their moves


class Player(NamedTuple):
    """One side of the game: its weights, and the two running moments that Adam keeps of their gradients."""

    weights: Weights
    mean: Weights
    square: Weights


class Game(NamedTuple):
    """Everything that training changes. `average` is the running average of G's weights."""

    discriminator: Player
    generator: Player
    average: Weights
    step: tf.Variable


def new_player(weights: Weights) -> Player:
    """A player before its first update: Adam's moments are zero."""
    return Player(weights, *([tf.Variable(tf.zeros_like(w)) for w in weights] for _ in range(2)))


def new_game(discriminator: Weights, generator: Weights) -> Game:
    """A game before its first step."""
    average = [tf.Variable(w) for w in generator]
    return Game(new_player(discriminator), new_player(generator), average, tf.Variable(0, dtype=tf.int64))


class Adam(NamedTuple):
    """The settings of Adam (Kingma and Ba 2015); epsilon's default as in Keras.

    All but epsilon may be float64 variables: their values then change without a new compilation.
    """

    learning_rate: Number
    beta1: Number = 0.9
    beta2: Number = 0.999
    epsilon: float = 1e-7


def adam_step(
    player: Player, gradients: Sequence[tf.Tensor], step: tf.Tensor, adam: Adam, factor: float | tf.Tensor = 1.0
) -> Player:
    """The player's weights and moments after one step of Adam, as tensors, so that unrolling can differentiate them.

    With the gradient g in step t, m <- beta1 m + (1 - beta1) g and v <- beta2 v + (1 - beta2) g^2, and then w <- w -
    rate sqrt(1 - beta2^t) / (1 - beta1^t) m / (sqrt(v) + epsilon). This is the form at the end of section 2 of Kingma
    and Ba 2015, which TensorFlow uses as well. Their algorithm 1, as in `experiments/numpy_gan.py`, first corrects v
    and then adds epsilon, which differs where gradients are about as small as epsilon.

    `step` counts t from 1; `factor` scales the learning rate. The 1e-37 under the square root does not change the
    result, but where a gradient was always 0 it keeps the derivative finite, which unrolling needs.
    """
    t = tf.cast(step, tf.float32)
    beta1, beta2 = float32(adam.beta1), float32(adam.beta2)
    new1, new2 = float32(1 - adam.beta1), float32(1 - adam.beta2)
    rate = factor * float32(adam.learning_rate) * tf.sqrt(1 - beta2**t) / (1 - beta1**t)
    moved = []
    for weight, mean, square, g in zip(*player, gradients, strict=True):
        mean = beta1 * mean + new1 * g
        square = beta2 * square + new2 * g * g
        moved.append((weight - rate * mean / (tf.sqrt(tf.maximum(square, 1e-37)) + adam.epsilon), mean, square))
    return Player(*map(list, zip(*moved, strict=True)))


def adam_update(
    player: Player, gradients: Sequence[tf.Tensor], step: tf.Tensor, adam: Adam, factor: float | tf.Tensor = 1.0
) -> None:
    """`adam_step` in place: the player's variables take their new values."""
    for variables, values in zip(player, adam_step(player, gradients, step, adam, factor), strict=True):
        for variable, value in zip(variables, values, strict=True):
            variable.assign(value)


def update_average(average: Weights, weights: Weights, decay: Number) -> None:
    """Exponential moving average in place: average <- decay average + (1 - decay) weights.

    It begins with the first weights, which still make up decay^t of it after t steps: 13.5% after 2000 at .999.
    """
    kept, new = float32(decay), float32(1 - decay)
    for a, w in zip(average, weights, strict=True):
        a.assign(kept * a + new * w)


def is_on(weight: Number) -> bool:
    """Whether a penalty is a part of the program: its weight is not 0, or it is a variable, which may be anything."""
    return not isinstance(weight, int | float) or weight != 0


def float32(number: Number) -> float | tf.Tensor:
    """A float as it is, a float64 variable as a float32 tensor: TensorFlow rounds a float in the same way."""
    return number if isinstance(number, int | float) else tf.cast(number, tf.float32)


def constant(step: tf.Tensor) -> tf.Tensor:
    """The factor 1 at every step."""
    return tf.ones([])


def cosine(steps: int) -> Callable[[tf.Tensor], tf.Tensor]:
    """A factor that falls from 1 to 0 along half a cosine (Loshchilov and Hutter 2017), where it ends at `steps`."""

    def schedule(step: tf.Tensor) -> tf.Tensor:
        return 0.5 * (1 + tf.cos(np.pi * tf.cast(step, tf.float32) / steps))

    return schedule


def geometric(final: float, steps: int) -> Callable[[tf.Tensor], tf.Tensor]:
    """A factor that goes from 1 to `final` by the same ratio in each of `steps` steps."""
    if final == 1:
        return constant

    def schedule(step: tf.Tensor) -> tf.Tensor:
        return tf.exp(np.log(final) * tf.cast(step, tf.float32) / steps)

    return schedule


SCHEDULES: dict[str, Callable] = {"constant": lambda steps: constant, "cosine": cosine}


class Rules(NamedTuple):
    """How the game is played: networks, loss, optimisers, schedules, weights of the penalties, averaging."""

    discriminator: Network  # (x, weights) -> logits
    generator: Network  # (z, weights) -> fakes
    loss: Loss
    adam_d: Adam
    adam_g: Adam
    rate_schedule_d: Callable[[tf.Tensor], tf.Tensor] = constant  # step -> factor of D's learning rate
    rate_schedule_g: Callable[[tf.Tensor], tf.Tensor] = constant  # the same of G's
    r1: Number = 0.0  # a weight of 0 leaves the penalty out of the program; a variable may take any value later
    r2: Number = 0.0
    gradient_penalty: Number = 0.0
    penalty_schedule: Callable[[tf.Tensor], tf.Tensor] = constant  # step -> factor of all three penalties
    average_decay: Number = 0.0  # 0: the average equals G's current weights
    unroll: int = 0  # updates of D that G looks ahead
    simultaneous: bool = False  # both players move at once: G does not see D's update of the same step


# ---------------------------------------------------------------------------------------------- networks


def mlp(x: tf.Tensor, weights: Sequence, activation: Callable[[tf.Tensor], tf.Tensor]) -> tf.Tensor:
    """Multilayer perceptron with a linear last layer: `[..., sizes[0], B] -> [..., sizes[-1], B]`."""
    *hidden, (weight, bias) = zip(weights[::2], weights[1::2], strict=True)
    # b times a row of ones is b for every sample. XLA is faster at the gradient of this product than at a batch sum.
    ones = tf.ones((1, x.shape[-1]), x.dtype)
    for w, b in hidden:
        x = activation(tf.matmul(w, x) + tf.matmul(b, ones))  # [..., out, B]
    return tf.matmul(weight, x) + tf.matmul(bias, ones)


def with_skip(network: Network) -> Network:
    """The network plus a linear map of its input: the last weight matrix `[..., out, in]`, without a bias."""

    def skipping(x: tf.Tensor, weights: Sequence) -> tf.Tensor:
        return network(x, weights[:-1]) + tf.matmul(weights[-1], x)

    return skipping


ACTIVATIONS: dict[str, Callable[[tf.Tensor], tf.Tensor]] = {
    "relu": lambda a: tf.nn.relu(a),
    "leaky_relu": lambda a: tf.maximum(0.2 * a, a),  # slope .2 as in DCGAN
    "leaky_relu_01": lambda a: tf.maximum(0.01 * a, a),  # slope .01 (Maas et al. 2013)
    "tanh": lambda a: tf.tanh(a),
    "softplus": lambda a: tf.math.softplus(a),
    "gelu": lambda a: tf.nn.gelu(a),
}


def mlp_weights(
    rngs: Sequence[np.random.Generator] | np.random.Generator, sizes: Sequence[int], init: str = "he", pieces: int = 1
) -> Weights:
    """Raw weights of a multilayer perceptron `sizes[0] -> ... -> sizes[-1]`.

    Args:
        rngs: one random generator, or a list of one for each seed, which gives the leading axis S.
        sizes: units of each layer, the input first.
        init: one of `INITS`.
        pieces: how many linear functions each hidden unit has; more than one for maxout.
    Returns:
        `[W1, b1, W2, b2, ...]` with `W [S, out, in]` and `b [S, out, 1]`, or without S; in hidden layers out is the
        number of units times `pieces`.
    """
    if isinstance(rngs, np.random.Generator):
        return [tf.Variable(w) for w in _mlp_arrays(rngs, sizes, init, pieces)]
    arrays = (_mlp_arrays(rng, sizes, init, pieces) for rng in rngs)
    return [tf.Variable(np.stack(w)) for w in zip(*arrays, strict=True)]


INITS: dict[str, Callable[[int, int, int, int], tuple[float, float]]] = {
    # (inputs, outputs, layer, layers) -> standard deviations of the normal weights and biases of that layer
    "normal": lambda inputs, outputs, layer, layers: (1.0, 1.0),
    "he": lambda inputs, outputs, layer, layers: (np.sqrt(2 / inputs), 0.0),  # He et al. 2015
    # The first layer is N(0, 16^2), or N(0, 4^2) for data in the plane. For inputs of about unit size, each unit is
    # then steepest at a place of its own, with a slope of its own. With biases of 0 all would be steepest at 0.
    "scattered": lambda inputs, outputs, layer, layers: (np.sqrt(2 / inputs), 0.0) if layer else (16.0, 16.0),
    "scattered_4": lambda inputs, outputs, layer, layers: (np.sqrt(2 / inputs), 0.0) if layer else (4.0, 4.0),
    # a last layer a tenth as large: the network starts close to 0
    "small_end": lambda inputs, outputs, layer, layers: (np.sqrt(2 / inputs) / (1 + 9 * (layer == layers - 1)), 0.0),
    "glorot": lambda inputs, outputs, layer, layers: (np.sqrt(2 / (inputs + outputs)), 0.0),  # Glorot and Bengio 2010
    "small": lambda inputs, outputs, layer, layers: (0.01, 0.0),
    "small_02": lambda inputs, outputs, layer, layers: (0.02, 0.0),  # PacGAN's code; Radford et al. 2016
}


def _mlp_arrays(rng: np.random.Generator, sizes: Sequence[int], init: str, pieces: int) -> list[np.ndarray]:
    arrays, layers = [], len(sizes) - 1
    for layer, (inputs, outputs) in enumerate(itertools.pairwise(sizes)):
        outputs *= pieces if layer < layers - 1 else 1
        scale, shift = INITS[init](inputs, outputs, layer, layers)
        arrays += [scale * rng.standard_normal((outputs, inputs)), shift * rng.standard_normal((outputs, 1))]
    return [array.astype(np.float32) for array in arrays]


def packed(x: tf.Tensor, pack: int, batch: int = -1, features: int = -2) -> tf.Tensor:
    """What D sees in PacGAN (Lin et al. 2018): `pack` samples as one, `[..., F, pack B] -> [..., pack F, B]`.

    Sample i of the axis `batch` is joined with the samples i + B, i + 2 B, ... along the axis `features`. A generator
    with too little variety is easier to detect in packs, whose samples resemble each other.
    """
    return x if pack == 1 else tf.concat(tf.split(x, pack, batch), features)


# --------------------------------------------------------------------------------------------- compiling


def compiled(function: Callable) -> Callable:
    """A function of tensors and variables as one XLA program, compiled once for each shape."""
    return tf.function(function, jit_compile=True, autograph=False)


def compiled_loop(step: Callable, jit_compile: bool = True) -> Callable:
    """`loop(game, batches, count=None) -> losses [n, 2, ...]`: the first `count` of n steps in one compiled program.

    `batches` is a dict of tensors `[n, ...]` that were drawn outside: random numbers inside an XLA loop on a CPU cost
    20 times as much as the step itself. With a tensor `count` below n the same program plays fewer steps; the
    losses of the others are 0. The game is an argument, so that games of the same shapes share one program. XLA drops
    assertions, so the caller has to check the losses for NaN and infinity.
    """

    def loop(game, batches, count=None):
        n = next(iter(batches.values())).shape[0]
        losses = tf.TensorArray(tf.float32, n)
        _, losses = _played(step, game, batches, tf.constant(0), n if count is None else count, losses)
        return losses.stack()

    return _program(loop, jit_compile, keep_every=None)


def compiled_periods(step: Callable, every: int) -> Callable:
    """`loop(game, batches, count) -> losses, averages`: as `compiled_loop`, and G's average after each period.

    A period ends at every multiple of `every` steps, and the averages are arrays `[periods, ...]`. A call costs as
    much as 50 steps of a small game, so that one call should play several short periods.
    """

    def loop(game, batches, count):
        n = next(iter(batches.values())).shape[0]
        begun = tf.cast(game.step % every, tf.int32)  # so many steps of the first period were played before

        def play_period(period, i, losses, averages):
            last = tf.minimum(count, (period + 1) * every - begun)
            i, losses = _played(step, game, batches, i, last, losses)
            return period + 1, i, losses, [a.write(period, w) for a, w in zip(averages, game.average, strict=True)]

        most = (n - 2) // every + 2  # n steps can lie in so many periods
        averages = [tf.TensorArray(w.dtype, most) for w in game.average]
        start = tf.constant(0), tf.constant(0), tf.TensorArray(tf.float32, n), averages
        *_, losses, averages = tf.while_loop(lambda _, i, *__: i < count, play_period, start)
        return losses.stack(), [a.stack() for a in averages]

    return _program(loop, jit_compile=True, keep_every=every)


def _played(step, game, batches, first, last, losses):
    """Play the steps first, ..., last - 1 of the batches, write their losses, and return `last` and the losses."""

    def play(i, losses):
        return i + 1, losses.write(i, tf.stack(step(game, {k: v[i] for k, v in batches.items()})))

    return tf.while_loop(lambda i, _: i < last, play, (first, losses))


def _program(loop: Callable, jit_compile: bool, keep_every: int | None) -> Any:
    program = tf.function(loop, jit_compile=jit_compile, autograph=False)  # autograph would take a second of tracing
    program.jit_compile, program.keep_every = jit_compile, keep_every
    return program


def use_one_core_a_program() -> None:
    """Let every compiled program run on one core, for small games: to share their work takes longer than to do it.

    This holds for the whole process. After TensorFlow's first operation it has no effect any more.
    """
    with contextlib.suppress(RuntimeError):
        tf.config.threading.set_intra_op_parallelism_threads(1)


def warm_up(loop: Any, game: Any, batches: dict[str, tf.Tensor | np.ndarray]) -> None:
    """Compile `loop` for these shapes before the timing starts; no step is played.

    A graph is ready once it is traced. XLA compiles at the first call.
    """
    if loop.jit_compile:
        loop(game, batches, tf.constant(0))
    else:
        loop.get_concrete_function(game, batches, tf.constant(0))
    _warm.set()


_warm = threading.Event()


def as_tensors(batch: dict[str, np.ndarray]) -> dict[str, tf.Tensor | np.ndarray]:
    """The arrays as tensors, which a second thread prepares while the first one trains; before `warm_up` as they are.

    TensorFlow names a program by counting tensors, and `lab/programs.py` finds a compiled program on disk by its
    name: a second thread that makes tensors while the program is traced would give it another name in every process.
    In a second training of a process they are tensors from the start, and its programs may be compiled again.
    """
    return {name: tf.constant(values) for name, values in batch.items()} if _warm.is_set() else dict(batch)


# The context in which TensorFlow is imported. That of `lab.cli` says what the wait is for, and uses kept programs.
importing: Callable[[], contextlib.AbstractContextManager] = contextlib.nullcontext


class _TensorFlow:
    """TensorFlow, imported at its first use, so that --help and wrong input need not wait 3 to 9 s for it."""

    _lock = threading.Lock()

    def __getattr__(self, name: str) -> Any:
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
        os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")  # of a GPU's memory what is needed, and not all
        os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")  # on for every CPU: convolutions twice as fast
        with (
            self._lock,
            importing() if "Variable" not in self.__dict__ else contextlib.nullcontext(),
            without_stderr(),  # TensorFlow prints lines about absent GPUs that no setting turns off
            _without_keras(),
            _without_garbage_collection(),
        ):
            import tensorflow
        tensorflow.get_logger().setLevel("ERROR")  # false alarms of retracing where one process trains twice
        self.__dict__.update(vars(tensorflow))
        return getattr(tensorflow, name)


@contextlib.contextmanager
def without_stderr() -> Iterator[None]:
    """Hide what compiled code writes on standard error, which Python's own `redirect_stderr` does not reach."""
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


@contextlib.contextmanager
def _without_keras() -> Iterator[None]:
    """Let TensorFlow skip Keras, which takes half of its import and 140 MB; `tf.keras` still imports it when used."""
    absent = "keras" not in sys.modules
    if absent:
        sys.modules["keras"] = None  # type: ignore[assignment]  # Python's way to say that there is no such module
    try:
        yield
    finally:
        if absent:
            del sys.modules["keras"]


@contextlib.contextmanager
def _without_garbage_collection() -> Iterator[None]:
    """Pause the search for garbage: an import makes hardly any, and the search takes a tenth of its time."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()  # what was imported stays for good: later searches leave it out
        if enabled:
            gc.enable()


if not TYPE_CHECKING:
    tf = _TensorFlow()
