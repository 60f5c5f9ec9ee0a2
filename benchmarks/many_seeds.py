"""Training many GANs on points at once, for speed_normal_1d.py and speed_mixture_2d.py: ours and JAX's.

Both do the same work, and the time includes drawing random numbers and choosing minibatches. They draw differently:
ours draws 16-bit numbers, and the minibatches of an epoch from its shuffled samples; JAX draws 32-bit numbers, and
each minibatch with replacement. JAX is written as its users write it: samples are rows, one GAN is a pure function of
its key, and then come scan over steps, vmap over seeds and jit.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from side_by_side import timed


def ours(script: Any, config: Any, steps: int) -> float:
    """Seconds per step of a script's loop, with its drawing thread and next to no evaluation.

    Three times as many steps are trained, and the middle third counts. The clock stands still while the program is
    compiled, when the thread already draws a few batches, and while fakes are measured, of which there are few.
    """
    config = replace(config, steps=3 * steps, eval_every=steps, eval_samples=100, checkpoint_every=steps)
    _, begin, end, _ = (record["train_seconds"] for record in script.train(config).run.records)
    return (end - begin) / steps


def jax_scan(
    seeds: int,
    steps: int,
    sizes: tuple[Sequence[int], Sequence[int]],
    draw: Callable,
    losses: tuple[Callable, Callable],
    adam: tuple[float, float, float, float],
) -> float:
    """Seconds per step of JAX: jit of a scan over steps or, with several seeds, jit of vmap of that scan.

    Args:
        sizes: units per layer of D and of G, input first.
        draw: a function of two keys that gives the real samples `[B, F]` and the latents `[B, Z]` of one step.
        losses: D's loss, a function of its logits on real and on fake samples; G's loss, of those on fake samples.
        adam: learning rate, beta1, beta2, epsilon.
    """
    import jax
    from jax import numpy as jnp

    rate, beta1, beta2, epsilon = adam

    def network(x, weights):
        *hidden, (w, b) = weights
        for v, c in hidden:
            x = jax.nn.relu(x @ v + c)
        return x @ w + b

    def d_loss(d, g, x, z):
        return jnp.mean(losses[0](network(x, d), network(network(z, g), d)))

    def g_loss(g, d, z):
        return jnp.mean(losses[1](network(network(z, g), d)))

    def update(w, gradients, mean, square, t):
        now = rate * jnp.sqrt(1 - beta2**t) / (1 - beta1**t)
        mean = jax.tree.map(lambda m, q: beta1 * m + (1 - beta1) * q, mean, gradients)
        square = jax.tree.map(lambda v, q: beta2 * v + (1 - beta2) * q * q, square, gradients)
        move = jax.tree.map(lambda a, m, v: a - now * m / (jnp.sqrt(v) + epsilon), w, mean, square)
        return move, mean, square

    def step(state, t):
        (d, md, vd), (g, mg, vg), key = state
        key, key_x, key_z = jax.random.split(key, 3)
        x, z = draw(key_x, key_z)
        d = update(d, jax.grad(d_loss)(d, g, x, z), md, vd, t)
        g = update(g, jax.grad(g_loss)(g, d[0], z), mg, vg, t)
        return (d, g, key), None

    def player(units, key):
        pairs = list(zip(units, units[1:], strict=False))
        keys = jax.random.split(key, len(pairs))
        he = [(2 / i) ** 0.5 * jax.random.normal(k, (i, o)) for k, (i, o) in zip(keys, pairs, strict=True)]
        weights = [(w, jnp.zeros(w.shape[1])) for w in he]
        zeros = jax.tree.map(jnp.zeros_like, weights)
        return weights, zeros, zeros

    def train(key):
        key, key_d, key_g = jax.random.split(key, 3)
        start = player(sizes[0], key_d), player(sizes[1], key_g), key
        return jax.lax.scan(step, start, 1.0 + jnp.arange(steps))[0][1][0]

    key = jax.random.PRNGKey(1)
    program = jax.jit(train if seeds == 1 else jax.vmap(train))
    argument = key if seeds == 1 else jax.random.split(key, seeds)
    return timed(lambda _: jax.block_until_ready(program(argument)), steps)
