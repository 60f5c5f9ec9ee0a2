"""PacGAN's networks for points in the plane: a generator with batch norm, a discriminator of maxout units.

Source: Lin et al. 2018, section 4.1, and their code. As in `gan_core`, samples are columns `[..., F, B]`, and weights
have a leading axis of seeds. D is `gan_core.mlp` with the activation `maxout`. G is `normed_mlp` while it trains, and
it is evaluated as the `gan_core.mlp` that it becomes when the moments of its batch norm are fixed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

import gan_core as core
from gan_core import tf

PIECES = 5  # linear functions of a maxout unit
EPSILON = 1e-4  # added to the variance in batch norm
LATENTS = 4000  # from which the moments for the evaluation are computed, as precisely as by PacGAN's average (.95)


def maxout(values: tf.Tensor) -> tf.Tensor:
    """Of each unit the largest of its linear functions: `[..., PIECES units, B] -> [..., units, B]`.

    Values i, i + units, i + 2 units, ... are those of unit i. Source: Goodfellow et al. 2013, equation 1.
    """
    *leading, rows, batch = values.shape
    return tf.reduce_max(tf.reshape(values, (*leading, PIECES, rows // PIECES, batch)), axis=-3)


def normed_weights(
    rngs: Sequence[np.random.Generator] | np.random.Generator, sizes: Sequence[int], init: str
) -> core.Weights:
    """Raw weights of `normed_mlp`: those of `gan_core.mlp`, then the scale (1) `[S, out, 1]` of each hidden layer."""
    weights = core.mlp_weights(rngs, sizes, init)
    return weights + [tf.Variable(tf.ones_like(bias)) for bias in weights[1:-2:2]]


def normed_mlp(
    z: tf.Tensor, weights: Sequence, activation: Callable[[tf.Tensor], tf.Tensor], groups: int = 1
) -> tuple[tf.Tensor, list[tf.Tensor]]:
    """A multilayer perceptron with batch norm in its hidden layers, `[..., sizes[0], B] -> [..., sizes[-1], B]`.

    A hidden layer is activation(scale (W h - mean) / sqrt(variance + EPSILON) + b), with the mean and the biased
    variance of each unit over the batch (Ioffe and Szegedy 2015, algorithm 1).

    Args:
        weights: those of `normed_weights`.
        groups: parts of equal size into which the batch is cut, each normed by its own moments. PacGAN draws the
            samples of each place in a pack by a call of G of its own.
    Returns:
        The output, and the weights of the `gan_core.mlp` that has the moments of the groups, averaged, in the place
        of a batch's own: mean and standard deviation are then constants, and a part of W and b.
    """
    layers = (len(weights) + 1) // 3
    *hidden, (last_weight, last_bias) = zip(weights[: 2 * layers : 2], weights[1 : 2 * layers : 2], strict=True)
    folded: list[tf.Tensor] = []
    h = z
    for (weight, bias), scale in zip(hidden, weights[2 * layers :], strict=True):
        a = tf.matmul(weight, h)  # [..., out, B]
        a = tf.reshape(a, (*a.shape[:-1], groups, -1))  # [..., out, groups, B / groups]
        mean = tf.reduce_mean(a, axis=-1)  # [..., out, groups]
        variance = tf.reduce_mean((a - mean[..., None]) ** 2, axis=-1)
        # In this form the fakes of D's update and of G's are one formula for XLA, which computes them once.
        slope = scale * tf.math.rsqrt(variance + EPSILON)
        h = activation(slope[..., None] * (a - mean[..., None]) + bias[..., None])
        h = tf.reshape(h, (*h.shape[:-2], -1))
        fixed = scale / tf.reduce_mean(tf.sqrt(variance + EPSILON), axis=-1, keepdims=True)  # [..., out, 1]
        folded += [fixed * weight, bias - fixed * tf.reduce_mean(mean, axis=-1, keepdims=True)]
    return tf.matmul(last_weight, h) + last_bias, [*folded, last_weight, last_bias]
