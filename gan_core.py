"""The game on raw `tf.Variable`s: networks, losses, penalties, Adam, the adversarial step, the compiled loop.

Samples are columns: data is `[..., features, batch]`, weights are `[..., out, in]`, biases `[..., out, 1]`, so a
layer reads `W h + b` as on the blackboard. For the narrow layers of toy problems this layout trains twice as fast
under XLA on a CPU as rows of samples do. A leading axis `S` holds independent seeds: the same functions serve one
GAN or many, because nothing here mixes entries of that axis.

Real is 1, fake is 0, and the discriminator's logit is high on real, everywhere. Losses are in nats.
"""

import contextlib
import itertools
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Hide TensorFlow's lines about absent GPUs, which are printed at import before any log level applies."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")  # off by default without AVX-512: convolutions twice as slow
    stderr, null = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 2)
    try:
        yield
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)
        os.close(null)


with _quiet():
    import tensorflow as tf

tf.get_logger().setLevel("ERROR")  # its retracing warnings add up the functions of separate trainings

Weights = list[tf.Variable]  # [W1, b1, W2, b2, ...]
Network = Callable[[tf.Tensor, Weights], tf.Tensor]


# ---------------------------------------------------------------------------------------------- networks


def dense_weights(
    rngs: Sequence[np.random.Generator] | np.random.Generator, sizes: Sequence[int], init: str = "he"
) -> Weights:
    """Raw weights of a multilayer perceptron `sizes[0] -> ... -> sizes[-1]`.

    Args:
        rngs: one generator of random numbers, or one per seed (a list of S gives the leading axis S).
        sizes: units per layer, input first.
        init: `normal`: all weights and biases N(0, 1). `he`: weights N(0, 2 / in), biases 0 (He et al. 2015).
            `scattered`: as `he`, but the first layer N(0, 16^2) throughout: its units switch at places scattered
            over inputs of unit size, some sharply and some smoothly. With all biases 0 they all switch at 0.
            `scattered_4`: the same with N(0, 4^2), for the plane.
            `small_end`: as `he`, with a last layer a tenth as large.
            `glorot`: weights N(0, 2 / (in + out)), biases 0 (Glorot and Bengio 2010). `small`: weights
            N(0, .01^2), biases 0.
    Returns:
        `[W1, b1, W2, b2, ...]` with `W [S, out, in]` and `b [S, out, 1]`, or without S.
    """
    if isinstance(rngs, np.random.Generator):
        return [tf.Variable(w) for w in _dense_arrays(rngs, sizes, init)]
    return [tf.Variable(np.stack(w)) for w in zip(*(_dense_arrays(r, sizes, init) for r in rngs), strict=True)]


SCATTERED = {"scattered": 16.0, "scattered_4": 4.0}
INITS = ("normal", "he", *SCATTERED, "small_end", "glorot", "small")


def _dense_arrays(rng: np.random.Generator, sizes: Sequence[int], init: str) -> list[np.ndarray]:
    arrays = []
    for layer, (inputs, outputs) in enumerate(itertools.pairwise(sizes)):
        constants = {"normal": (1.0, 1.0), "small": (0.01, 0.0), "glorot": (np.sqrt(2 / (inputs + outputs)), 0.0)}
        scale, shift = constants.get(init, (np.sqrt(2 / inputs), 0.0))
        if init in SCATTERED and layer == 0:
            scale = shift = SCATTERED[init]
        if init == "small_end" and layer == len(sizes) - 2:
            scale /= 10
        arrays += [scale * rng.standard_normal((outputs, inputs)), shift * rng.standard_normal((outputs, 1))]
    return [array.astype(np.float32) for array in arrays]


ACTIVATIONS: dict[str, Callable[[tf.Tensor], tf.Tensor]] = {
    "relu": tf.nn.relu,
    "leaky_relu": lambda a: tf.maximum(0.2 * a, a),  # slope .2 as in DCGAN
    "leaky_relu_01": lambda a: tf.maximum(0.01 * a, a),  # slope .01 (Maas et al. 2013)
    "tanh": tf.tanh,
    "softplus": tf.math.softplus,
    "gelu": tf.nn.gelu,
}


def mlp(x: tf.Tensor, weights: Weights, activation: Callable[[tf.Tensor], tf.Tensor]) -> tf.Tensor:
    """Multilayer perceptron with a linear last layer: `[..., sizes[0], B] -> [..., sizes[-1], B]`."""
    *hidden, (weight, bias) = zip(weights[::2], weights[1::2], strict=True)
    for w, b in hidden:
        x = activation(tf.matmul(w, x) + b)  # [..., out, B]
    return tf.matmul(weight, x) + bias


def with_skip(network: Network) -> Network:
    """The network plus a linear map of its input: the last weight matrix `[..., out, in]`, without a bias."""

    def skipping(x, weights):
        return network(x, weights[:-1]) + tf.matmul(weights[-1], x)

    return skipping


def packed(x: tf.Tensor, pack: int, batch: int = -1, features: int = -2) -> tf.Tensor:
    """What D sees of PacGAN (Lin et al. 2018): `pack` samples as one, `[..., F, B] -> [..., pack F, B / pack]`.

    Side by side along the axis `features`; those of one pack are B / pack apart along the axis `batch`. A generator
    that draws too few kinds gives itself away: samples of one pack resemble each other.
    """
    return x if pack == 1 else tf.concat(tf.split(x, pack, batch), features)


LAWS = ("uniform", "normal", "mixed")


def from_bits(bits: tf.Tensor, law: str) -> tf.Tensor:
    """Latents `[..., Z, B]` from uniform 16-bit integers of that shape.

    `uniform` on (-1, 1); standard `normal`; `mixed`: the first half of the Z coordinates standard normal, the
    others uniform with the same variance. 16 bits cost half as much to draw as 32; 65,536 equally likely values
    reach +-4.3 standard deviations.
    """
    u = (tf.cast(bits, tf.float32) + 0.5) / 65536
    if law == "mixed":
        half = u.shape[-2] // 2
        return tf.concat([tf.math.ndtri(u[..., :half, :]), np.sqrt(3) * (2 * u[..., half:, :] - 1)], axis=-2)
    return tf.math.ndtri(u) if law == "normal" else 2 * u - 1


# ------------------------------------------------------------------------------------------------ losses


class Loss(NamedTuple):
    """Both sides of a game, each `(real_logits, fake_logits) -> loss per sample`, to be minimised."""

    discriminator: Callable[[tf.Tensor, tf.Tensor], tf.Tensor]
    generator: Callable[[tf.Tensor, tf.Tensor], tf.Tensor]


def log_d(logits: tf.Tensor) -> tf.Tensor:
    """log D(x) with D = sigmoid(logit), exact for every logit: no `log(p + 1e-8)` is needed."""
    return tf.math.log_sigmoid(logits)


def log_one_minus_d(logits: tf.Tensor) -> tf.Tensor:
    """log(1 - D(x)), since 1 - sigmoid(a) = sigmoid(-a)."""
    return tf.math.log_sigmoid(-logits)


def _minimax_d(real: tf.Tensor, fake: tf.Tensor) -> tf.Tensor:
    return -(log_d(real) + log_one_minus_d(fake))


def _minimax_g(real: tf.Tensor, fake: tf.Tensor) -> tf.Tensor:
    return log_one_minus_d(fake)


def _non_saturating_g(real: tf.Tensor, fake: tf.Tensor) -> tf.Tensor:
    return -log_d(fake)


def _least_squares_d(real: tf.Tensor, fake: tf.Tensor) -> tf.Tensor:
    return 0.5 * ((real - 1) ** 2 + fake**2)


def _least_squares_g(real: tf.Tensor, fake: tf.Tensor) -> tf.Tensor:
    return 0.5 * (fake - 1) ** 2


def _hinge_d(real: tf.Tensor, fake: tf.Tensor) -> tf.Tensor:
    return tf.nn.relu(1 - real) + tf.nn.relu(1 + fake)


def _wasserstein_d(real: tf.Tensor, fake: tf.Tensor) -> tf.Tensor:
    return fake - real


def _wasserstein_g(real: tf.Tensor, fake: tf.Tensor) -> tf.Tensor:
    return -fake


def _paired_d(real: tf.Tensor, fake: tf.Tensor) -> tf.Tensor:
    return -log_d(real - fake)


def _paired_g(real: tf.Tensor, fake: tf.Tensor) -> tf.Tensor:
    return -log_d(fake - real)


def _average_d(real: tf.Tensor, fake: tf.Tensor) -> tf.Tensor:
    mean_real, mean_fake = (tf.reduce_mean(a, axis=-1, keepdims=True) for a in (real, fake))  # over the batch
    return _minimax_d(real - mean_fake, fake - mean_real)


def _average_g(real: tf.Tensor, fake: tf.Tensor) -> tf.Tensor:
    return _average_d(fake, real)


LOSSES: dict[str, Loss] = {
    # D maximises, G minimises E log D(x) + E log(1 - D(G(z))): Goodfellow et al. 2014, equation 1
    "minimax": Loss(_minimax_d, _minimax_g),
    # G maximises log D(G(z)) instead: the same fixed point, stronger gradients early (same paper, section 3)
    "non_saturating": Loss(_minimax_d, _non_saturating_g),
    # Mao et al. 2017, equation 9 (a = 0, b = c = 1)
    "least_squares": Loss(_least_squares_d, _least_squares_g),
    # Lim and Ye 2017; Miyato et al. 2018
    "hinge": Loss(_hinge_d, _wasserstein_g),
    # Arjovsky et al. 2017; wants a penalty or another bound on D's slope
    "wasserstein": Loss(_wasserstein_d, _wasserstein_g),
    # each real sample against one fake: Jolicoeur-Martineau 2019; R3GAN (Huang et al. 2024)
    "relativistic_paired": Loss(_paired_d, _paired_g),
    # each sample against the mean of the other kind: Jolicoeur-Martineau 2019; TF-GAN
    "relativistic_average": Loss(_average_d, _average_g),
}

ZERO_SUM = ("minimax", "wasserstein")  # where G's loss is minus D's, up to what G cannot change


# --------------------------------------------------------------------------------------------- penalties


def squared_slope(discriminator: Callable[[tf.Tensor], tf.Tensor], x: tf.Tensor, axis=-2) -> tf.Tensor:
    """|grad_x logit(x)|^2 per sample; `axis` names the feature axes that are summed."""
    with tf.GradientTape() as tape:
        tape.watch(x)
        logits = discriminator(x)
    return tf.reduce_sum(tape.gradient(logits, x) ** 2, axis)  # [..., B]


def r1(discriminator: Callable[[tf.Tensor], tf.Tensor], real: tf.Tensor, axis=-2) -> tf.Tensor:
    """1/2 |grad D|^2 on real samples (Mescheder et al. 2018, equation 9, with gamma left to the caller)."""
    return 0.5 * squared_slope(discriminator, real, axis)


def r2(discriminator: Callable[[tf.Tensor], tf.Tensor], fake: tf.Tensor, axis=-2) -> tf.Tensor:
    """1/2 |grad D|^2 on fake samples (same source, equation 10)."""
    return 0.5 * squared_slope(discriminator, fake, axis)


def gradient_penalty(
    discriminator: Callable[[tf.Tensor], tf.Tensor], real: tf.Tensor, fake: tf.Tensor, mix: tf.Tensor, axis=-2
) -> tf.Tensor:
    """(|grad D| - 1)^2 between real and fake, at `mix * real + (1 - mix) * fake` with `mix ~ U(0, 1)`.

    Source: Gulrajani et al. 2017, equation 3, without the factor lambda. The tiny constant keeps the gradient of
    the square root finite where D is flat.
    """
    slope = tf.sqrt(squared_slope(discriminator, mix * real + (1 - mix) * fake, axis) + 1e-12)
    return (slope - 1) ** 2


# ---------------------------------------------------------------------------------- players and their moves


class Player(NamedTuple):
    """One side of the game: its weights and the two running moments that Adam keeps of their gradients."""

    weights: Weights
    mean: Weights
    square: Weights


class Game(NamedTuple):
    """All that training changes. `average` is the running average of G's weights; `step` counts updates."""

    discriminator: Player
    generator: Player
    average: Weights
    step: tf.Variable


def new_player(weights: Weights) -> Player:
    """A player before its first move: Adam's moments are zero."""
    return Player(weights, *([tf.Variable(tf.zeros_like(w)) for w in weights] for _ in range(2)))


def new_game(discriminator: Weights, generator: Weights) -> Game:
    """A game before its first step."""
    average = [tf.Variable(w) for w in generator]
    return Game(new_player(discriminator), new_player(generator), average, tf.Variable(0, dtype=tf.int64))


class Adam(NamedTuple):
    """Settings of Adam (Kingma and Ba 2015); epsilon as in Keras."""

    learning_rate: float
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-7


def adam_step(
    player: Player,
    gradients: Sequence[tf.Tensor],
    step: tf.Tensor,
    adam: Adam,
    factor: float | tf.Tensor = 1.0,
) -> Player:
    """What a player's weights and moments become down its gradients, as tensors: unrolling differentiates this.

    `step` counts from 1; `factor` scales the rate. The floor below the square root changes no bit of a step; without
    it a weight whose gradient was always 0 would make the step's own gradient NaN.
    """
    t = tf.cast(step, tf.float32)
    rate = factor * adam.learning_rate * tf.sqrt(1 - adam.beta2**t) / (1 - adam.beta1**t)
    moved = []
    for weight, mean, square, g in zip(*player, gradients, strict=True):
        mean = adam.beta1 * mean + (1 - adam.beta1) * g
        square = adam.beta2 * square + (1 - adam.beta2) * g * g
        moved.append((weight - rate * mean / (tf.sqrt(tf.maximum(square, 1e-37)) + adam.epsilon), mean, square))
    return Player(*map(list, zip(*moved, strict=True)))


def adam_update(
    player: Player,
    gradients: Sequence[tf.Tensor],
    step: tf.Tensor,
    adam: Adam,
    factor: float | tf.Tensor = 1.0,
) -> None:
    """`adam_step` in place."""
    for variables, values in zip(player, adam_step(player, gradients, step, adam, factor), strict=True):
        for variable, value in zip(variables, values, strict=True):
            variable.assign(value)


def update_average(average: Weights, weights: Weights, decay: float | tf.Tensor) -> None:
    """Exponential moving average in place: average <- decay average + (1 - decay) weights."""
    for a, w in zip(average, weights, strict=True):
        a.assign(decay * a + (1 - decay) * w)


def constant(step: tf.Tensor) -> tf.Tensor:
    """The same learning rate at every step."""
    return tf.ones([])


def cosine(steps: int) -> Callable[[tf.Tensor], tf.Tensor]:
    """Learning rate from full to zero at `steps` along half a cosine (Loshchilov and Hutter 2017)."""

    def schedule(step: tf.Tensor) -> tf.Tensor:
        return 0.5 * (1 + tf.cos(np.pi * tf.cast(step, tf.float32) / steps))

    return schedule


def geometric(final: float, steps: int) -> Callable[[tf.Tensor], tf.Tensor]:
    """A factor from 1 to `final`, by the same ratio each of `steps` steps."""

    if final == 1:
        return constant

    def schedule(step: tf.Tensor) -> tf.Tensor:
        return tf.exp(np.log(final) * tf.cast(step, tf.float32) / steps)

    return schedule


class Rules(NamedTuple):
    """What the players play: networks, loss, optimisers, penalty weights, averaging."""

    discriminator: Network
    generator: Network
    loss: Loss
    adam_d: Adam
    adam_g: Adam
    rate_schedule_g: Callable[[tf.Tensor], tf.Tensor] = constant  # step -> factor of G's learning rate
    rate_schedule_d: Callable[[tf.Tensor], tf.Tensor] = constant  # the same of D's
    r1: float = 0.0
    r2: float = 0.0
    gradient_penalty: float = 0.0
    penalty_schedule: Callable[[tf.Tensor], tf.Tensor] = constant  # step -> factor of all three penalties
    average_decay: float = 0.0  # 0: the average is G itself
    unroll: int = 0  # updates of D that G looks ahead


def batch_mean(per_sample: tf.Tensor) -> tf.Tensor:
    """Mean over the batch, seed by seed: `[..., 1, B]` or `[..., B]` -> `[S]` or a scalar."""
    return tf.reduce_mean(per_sample, axis=-1)


def adversarial_step(game: Game, rules: Rules, batch: dict[str, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
    """One update of D, then one of G against the new D; returns both losses, `[S]` or scalars.

    `batch` holds real samples `x [..., F, B]`, latents `z [..., Z, B]` and, for the gradient penalty alone, `mix
    [..., 1, B]`. Each seed's loss is a mean over its batch; seeds are summed, so that no seed's gradient is scaled
    by the number of the others. The reported losses are without penalties.
    """
    d, g = game.discriminator, game.generator
    game.step.assign_add(1)
    fake = rules.generator(batch["z"], g.weights)  # [..., F, B]
    d_gradients, d_loss = _discriminator_gradients(rules, d.weights, batch, fake, game.step)
    adam_update(d, d_gradients, game.step, rules.adam_d, rules.rate_schedule_d(game.step))

    with tf.GradientTape() as tape:
        fake = rules.generator(batch["z"], g.weights)
        weights = _unrolled(rules, d, batch, fake, game.step) if rules.unroll else d.weights
        fake_logits = rules.discriminator(fake, weights)
        g_loss = batch_mean(rules.loss.generator(rules.discriminator(batch["x"], weights), fake_logits))
        total = tf.reduce_sum(g_loss)
    adam_update(g, tape.gradient(total, g.weights), game.step, rules.adam_g, rules.rate_schedule_g(game.step))
    update_average(game.average, g.weights, rules.average_decay)
    return tf.squeeze(d_loss, -1), tf.squeeze(g_loss, -1)


def _discriminator_gradients(
    rules: Rules, weights: Sequence, batch: dict[str, tf.Tensor], fake: tf.Tensor, step: tf.Tensor
) -> tuple[list[tf.Tensor], tf.Tensor]:
    """Gradients of D's loss with its penalties, and the loss `[S, 1]` without them."""
    with tf.GradientTape() as tape:
        tape.watch(weights)
        real_logits, fake_logits = rules.discriminator(batch["x"], weights), rules.discriminator(fake, weights)
        d_loss = batch_mean(rules.loss.discriminator(real_logits, fake_logits))
        penalty = tf.reduce_sum(_penalties(rules, weights, batch, fake))
        total = tf.reduce_sum(d_loss) + rules.penalty_schedule(step) * penalty
    return tape.gradient(total, weights), d_loss


def _penalties(rules: Rules, weights: Sequence, batch: dict[str, tf.Tensor], fake: tf.Tensor) -> tf.Tensor:
    def d(x):
        return rules.discriminator(x, weights)

    total = tf.zeros([])
    if rules.r1:
        total += rules.r1 * batch_mean(r1(d, batch["x"]))
    if rules.r2:
        total += rules.r2 * batch_mean(r2(d, fake))
    if rules.gradient_penalty:
        total += rules.gradient_penalty * batch_mean(gradient_penalty(d, batch["x"], fake, batch["mix"]))
    return total


def _unrolled(rules: Rules, d: Player, batch: dict, fake: tf.Tensor, step: tf.Tensor) -> Sequence[tf.Tensor]:
    """D's weights after `rules.unroll` more updates on this batch, as a function of the fakes.

    Source: Metz et al. 2017, equations 7 to 10, with Adam as D's optimiser as in its experiments. G's gradient then
    also says how D would answer a change of the fakes.
    """
    player = Player(*([tf.identity(v) for v in values] for values in d))
    for later in range(1, rules.unroll + 1):
        gradients, _ = _discriminator_gradients(rules, player.weights, batch, fake, step)
        player = adam_step(player, gradients, step + later, rules.adam_d, rules.rate_schedule_d(step))
    return player.weights


def compiled(function: Callable) -> Callable:
    """A function of tensors and variables as one XLA program, compiled once per shape."""
    return tf.function(function, jit_compile=True, autograph=False)


def compiled_loop(step: Callable, jit_compile: bool = True) -> Callable:
    """`loop(game, batches) -> losses [n, 2, ...]`: n steps in one compiled program.

    `batches` is a dict of tensors `[n, ...]`, drawn outside: random numbers inside an XLA loop cost 20 times the
    step itself on a CPU. The game is an argument, so that games of one shape share one compilation. A non-finite
    loss is the caller's to look for: XLA drops assertions.
    """

    step = tf.autograph.experimental.do_not_convert(step)  # AutoGraph serves the loop alone; more takes a second

    @tf.function(jit_compile=jit_compile)
    def loop(game, batches):
        n = next(iter(batches.values())).shape[0]
        losses = tf.TensorArray(tf.float32, n)
        for i in tf.range(n):
            losses = losses.write(i, tf.stack(step(game, {k: v[i] for k, v in batches.items()})))
        return losses.stack()

    return loop


def play_blocks(loop: Callable, games: Sequence[Game], batches: Iterator[dict[str, tf.Tensor]]) -> np.ndarray:
    """The loop on every block of seeds, as many at a time as there are cores -> losses `[n, 2, S]`."""
    with ThreadPoolExecutor(min(len(games), os.cpu_count() or 1)) as pool:  # XLA lets go of Python's lock
        # Submitted one by one: the first block trains while the next one's batches are still being drawn.
        blocks = [pool.submit(lambda game, batch: loop(game, batch).numpy(), game, next(batches)) for game in games]
        return np.concatenate([block.result() for block in blocks], axis=-1)
