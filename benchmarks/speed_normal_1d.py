"""Time per step of the 1-D GAN beside what users would use instead, in one run.

    python benchmarks/speed_normal_1d.py             all that are installed; jax and torch are worth installing
    python benchmarks/speed_normal_1d.py --repeats 5

The same step everywhere: D 1-8-1, G 8-4-1, ReLU, minimax, Adam 5e-4, one update of each per step on 250 of 1000
real samples and 250 fakes; drawing random numbers is included. Ours draws numbers of 16 bits, and the minibatches of
an epoch from its shuffled samples; the others draw 32-bit floats, and each minibatch with replacement. Each contender
runs in a process of its own. They take turns, `repeats` times, and the table holds medians and ratios, because
absolute times swing on a shared machine.
"""

from dataclasses import replace

import many_seeds
import numpy as np
from side_by_side import Contender, as_typed, main, timed

BATCH, SAMPLES, LATENT = 250, 1000, 8
SHAPES_D, SHAPES_G = [(1, 8), (8,), (8, 1), (1,)], [(8, 4), (4,), (4, 1), (1,)]
RATE, BETA1, BETA2, EPSILON = 5e-4, 0.9, 0.999, 1e-7


def ours(seeds: int) -> float:
    """This project's loop with its drawing thread."""
    from experiments import normal_1d

    return many_seeds.ours(normal_1d, replace(normal_1d.CLASSIC, seeds=seeds, batch=BATCH), max(600, 60_000 // seeds))


def command(seeds: int) -> float:
    """The same as a user types it, with a pause for an evaluation every 40 steps; the evaluation is not counted."""
    steps = max(600, 12_000 // max(1, seeds // 8))
    flags = f"--recipe classic --seeds {seeds} --batch {BATCH} --steps {steps} --checkpoint-every 1000"
    return as_typed("normal_1d", *flags.split())


def tensorflow_tape(compiled: bool) -> float:
    """GradientTape and Keras' Adam, eagerly or with the step in a tf.function, as tutorials do it."""
    from gan_core import tf

    data = tf.random.normal([SAMPLES, 1])
    d, g = ([tf.Variable(tf.random.normal(s)) for s in shapes] for shapes in (SHAPES_D, SHAPES_G))
    adam_d, adam_g = (tf.keras.optimizers.Adam(RATE) for _ in range(2))
    adam_d.build(d), adam_g.build(g)

    def network(x, w):
        return tf.nn.relu(x @ w[0] + w[1]) @ w[2] + w[3]

    def step():
        x = tf.gather(data, tf.random.uniform([BATCH], 0, SAMPLES, tf.int32))
        z = tf.random.uniform([BATCH, LATENT], -1, 1)
        with tf.GradientTape() as tape:
            real, fake = network(x, d), network(network(z, g), d)
            loss = -tf.reduce_mean(tf.math.log_sigmoid(real) + tf.math.log_sigmoid(-fake))
        adam_d.apply(tape.gradient(loss, d), d)
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(tf.math.log_sigmoid(-network(network(z, g), d)))
        adam_g.apply(tape.gradient(loss, g), g)

    step = tf.function(step) if compiled else step
    return timed(lambda steps: [step() for _ in range(steps)], 1500 if compiled else 60)


def numpy_by_hand() -> float:
    """NumPy, with gradients written by hand."""
    rng = np.random.default_rng(0)
    data = rng.standard_normal((SAMPLES, 1), dtype=np.float32)
    d, g = ([rng.standard_normal(s, dtype=np.float32) for s in shapes] for shapes in (SHAPES_D, SHAPES_G))
    moments = {id(w): [np.zeros_like(w), np.zeros_like(w)] for w in d + g}
    count = 0

    def adam(weights, gradients):
        rate = np.float32(RATE * np.sqrt(1 - BETA2**count) / (1 - BETA1**count))
        for w, gradient in zip(weights, gradients, strict=True):
            mean, square = moments[id(w)]
            mean += (1 - BETA1) * (gradient - mean)
            square += (1 - BETA2) * (gradient * gradient - square)
            w -= rate * mean / (np.sqrt(square) + np.float32(EPSILON))

    def forward(x, w):
        hidden = np.maximum(x @ w[0] + w[1], 0)
        return hidden, hidden @ w[2] + w[3]

    def at_hidden(hidden, delta, w):
        return (delta @ w[2].T) * (hidden > 0)

    def of_weights(x, hidden, delta, w):
        delta_hidden = at_hidden(hidden, delta, w)
        return [x.T @ delta_hidden, delta_hidden.sum(0), hidden.T @ delta, delta.sum(0)]

    def step():
        nonlocal count
        count += 1
        x, z = data[rng.integers(0, SAMPLES, BATCH)], 2 * rng.random((BATCH, LATENT), dtype=np.float32) - 1
        hidden_g, fake = forward(z, g)
        both = np.concatenate([x, fake])
        hidden, logit = forward(both, d)
        delta = 1 / (1 + np.exp(-logit)) - np.repeat(np.float32([[1], [0]]), BATCH, 0)
        adam(d, of_weights(both, hidden, delta / BATCH, d))
        hidden, logit = forward(fake, d)
        delta = -1 / (1 + np.exp(-logit)) / BATCH  # the gradient of mean log(1 - D)
        adam(g, of_weights(z, hidden_g, at_hidden(hidden, delta, d) @ d[0].T, g))

    return timed(lambda steps: [step() for _ in range(steps)], 2000)


def torch_training(compiled: bool) -> float:
    """PyTorch as its users write it, or with the losses in `torch.compile`."""
    import torch
    from torch.nn.functional import logsigmoid

    data = torch.randn(SAMPLES, 1)
    d, g = ([torch.randn(s, requires_grad=True) for s in shapes] for shapes in (SHAPES_D, SHAPES_G))
    fixed_d = [w.detach() for w in d]  # the same numbers, which Adam moves in place, without gradients for G's turn
    adam_d, adam_g = (torch.optim.Adam(w, RATE) for w in (d, g))

    def network(x, w):
        return torch.relu(x @ w[0] + w[1]) @ w[2] + w[3]

    def d_loss(x, z):
        with torch.no_grad():
            fake = network(z, g)
        return -(logsigmoid(network(x, d)) + logsigmoid(-network(fake, d))).mean()

    def g_loss(z):
        return logsigmoid(-network(network(z, g), fixed_d)).mean()

    if compiled:
        d_loss, g_loss = torch.compile(d_loss), torch.compile(g_loss)

    def step():
        x, z = data[torch.randint(0, SAMPLES, (BATCH,))], torch.rand(BATCH, LATENT) * 2 - 1
        adam_d.zero_grad()
        d_loss(x, z).backward()
        adam_d.step()
        adam_g.zero_grad()
        g_loss(z).backward()
        adam_g.step()

    return timed(lambda steps: [step() for _ in range(steps)], 400)


def jax_scan(seeds: int) -> float:
    """JAX: jit of scan or, with several seeds, jit of vmap of scan."""
    import jax
    from jax.nn import log_sigmoid

    data = jax.random.normal(jax.random.PRNGKey(0), (SAMPLES, 1))

    def draw(key_x, key_z):
        x = data[jax.random.randint(key_x, (BATCH,), 0, SAMPLES)]
        return x, jax.random.uniform(key_z, (BATCH, LATENT), minval=-1, maxval=1)

    losses = lambda real, fake: -(log_sigmoid(real) + log_sigmoid(-fake)), lambda fake: log_sigmoid(-fake)
    steps = 12_000 if seeds == 1 else max(40, 32_000 // seeds)
    return many_seeds.jax_scan(seeds, steps, ((1, 8, 1), (LATENT, 4, 1)), draw, losses, (RATE, BETA1, BETA2, EPSILON))


CONTENDERS = {
    "ours, 1 seed": Contender(lambda: ours(1), "tensorflow", "1"),
    "  as typed, 300 pauses for evaluations": Contender(lambda: command(1), "tensorflow", "1"),
    "JAX jit(scan), 1 seed": Contender(lambda: jax_scan(1), "jax", "1"),
    "NumPy by hand, 1 seed": Contender(numpy_by_hand, "numpy", "1"),
    "PyTorch eager, 1 seed": Contender(lambda: torch_training(False), "torch", "1"),
    "torch.compile, 1 seed": Contender(lambda: torch_training(True), "torch", "1"),
    "Keras Adam in tf.function, 1 seed": Contender(lambda: tensorflow_tape(True), "tensorflow", "1"),
    "Keras Adam, eager, 1 seed": Contender(lambda: tensorflow_tape(False), "tensorflow", "1"),
    "ours, 64 seeds": Contender(lambda: ours(64), "tensorflow", "64", 64),
    "  as typed, 38 pauses for evaluations": Contender(lambda: command(64), "tensorflow", "64", 64),
    "JAX jit(vmap(scan)), 64 seeds": Contender(lambda: jax_scan(64), "jax", "64", 64),
    "ours, 1024 seeds": Contender(lambda: ours(1024), "tensorflow", "1024", 1024),
    "JAX jit(vmap(scan)), 1024 seeds": Contender(lambda: jax_scan(1024), "jax", "1024", 1024),
}


if __name__ == "__main__":
    main(__doc__, __file__, CONTENDERS)
