"""Convolutional layers by hand on raw variables: weights, convolution, upsampling, batch norm, dropout, fused Adam.

Images are `[B, H, W, C]`, the layout of TensorFlow's kernels on a CPU; dense layers take rows `[B, features]`. All of
this runs in graph mode: XLA on a CPU needs 60 times as long for a convolutional step.
"""

import itertools
from collections.abc import Sequence

import numpy as np

import gan_core as core
from gan_core import Weights, tf

EPSILON = 1e-3  # added to the variance in batch norm, as in Keras


# ----------------------------------------------------------------------------------------------- weights


def glorot(rng: np.random.Generator, *shape: int) -> Weights:
    """A kernel `[..., in, out]`, uniform within +-sqrt(6 / (fan in + fan out)), and a zero bias `[out]`.

    Source: Glorot and Bengio 2010, equation 16; Keras' default. A fan counts channels times places in the kernel.
    """
    limit = np.sqrt(6 / (np.prod(shape[:-2]) * (shape[-2] + shape[-1])))
    return [tf.Variable(rng.uniform(-limit, limit, shape).astype(np.float32)), tf.Variable(tf.zeros(shape[-1]))]


def norm_weights(channels: int) -> Weights:
    """A batch norm's scale 1 and offset 0."""
    return [tf.Variable(tf.ones(channels)), tf.Variable(tf.zeros(channels))]


def new_statistics(channels: int) -> Weights:
    """Running mean 0 and variance 1 of a batch norm that has seen nothing yet."""
    return [tf.Variable(tf.zeros(channels)), tf.Variable(tf.ones(channels))]


def groups(weights: Sequence, *sizes: int) -> list[Sequence]:
    """A flat list as consecutive groups of these sizes, one for each layer."""
    bounds = itertools.pairwise(itertools.accumulate(sizes, initial=0))
    return [weights[first:last] for first, last in bounds]


# ------------------------------------------------------------------------------------------------ layers


def dense(x: tf.Tensor, weight: tf.Tensor, bias: tf.Tensor) -> tf.Tensor:
    """x W + b: `[B, in] -> [B, out]`."""
    return tf.nn.bias_add(tf.matmul(x, weight), bias)


def conv(x: tf.Tensor, kernel: tf.Tensor, bias: tf.Tensor, stride: int = 1) -> tf.Tensor:
    """Convolution with zeros around the border: `[B, H, W, in] -> [B, ceil(H / stride), ceil(W / stride), out]`."""
    return tf.nn.bias_add(tf.nn.conv2d(x, kernel, stride, "SAME"), bias)


def upsampled_conv(x: tf.Tensor, kernel: tf.Tensor, bias: tf.Tensor) -> tf.Tensor:
    """Nearest upsampling x2, then a 3x3 convolution: `[B, H, W, in] -> [B, 2 H, 2 W, out]`, in 4/9 of the work.

    Upsampling spreads each pixel over a 2x2 box, and two linear filters in a row are one: a transposed convolution
    of stride 2 whose 4x4 kernel is the 3x3 one convolved with the box. An output pixel then takes 2x2 products
    per channel, not 3x3. Being an ordinary operation, it has gradients of every order.
    """
    batch, height, width, _ = x.shape
    flipped = tf.transpose(tf.reverse(kernel, (0, 1)), (0, 1, 3, 2))  # read backwards: [3, 3, out, in]
    corners = [(i, j) for i in (0, 1) for j in (0, 1)]
    folded = tf.add_n([tf.pad(flipped, ((i, 1 - i), (j, 1 - j), (0, 0), (0, 0))) for i, j in corners])  # [4, 4, ..]
    shape = batch, 2 * height, 2 * width, kernel.shape[-1]
    return tf.nn.bias_add(tf.nn.conv2d_transpose(x, folded, shape, 2, "SAME"), bias)


def leaky_relu(x: tf.Tensor) -> tf.Tensor:
    """max(.2 x, x), the slope of DCGAN, as one kernel forward and one back."""
    return tf.nn.leaky_relu(x, 0.2)


def batch_norm(
    x: tf.Tensor, scale: tf.Tensor, offset: tf.Tensor, statistics: Sequence[tf.Tensor] | None = None
) -> tuple[tf.Tensor, list[tf.Tensor]]:
    """scale (x - mean) / sqrt(variance + epsilon) + offset, channel by channel of `[B, H, W, C]`.

    Source: Ioffe and Szegedy 2015, algorithms 1 and 2; epsilon 1e-3 and the biased variance as in Keras.

    Args:
        statistics: mean and variance `[C]` to use: the running ones, at inference. None: this batch's, in training.
    Returns:
        The output, and the mean and variance used, which `update_statistics` takes.
    """
    mean, variance = statistics or batch_moments(x)
    slope = scale * tf.math.rsqrt(variance + EPSILON)
    return slope * (x - mean) + offset, [mean, variance]


def batch_moments(x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Mean and biased variance of each channel: `[B, H, W, C] -> [C], [C]`."""
    mean = tf.reduce_mean(x, (0, 1, 2))
    return mean, tf.reduce_mean((x - mean) ** 2, (0, 1, 2))


def fused_batch_norm(
    x: tf.Tensor, scale: tf.Tensor, offset: tf.Tensor, statistics: Sequence[tf.Tensor] | None = None
) -> tuple[tf.Tensor, list[tf.Tensor]]:
    """The same as `batch_norm`, in training by one kernel that costs a third; gradients up to the second order."""
    if statistics is not None:
        return batch_norm(x, scale, offset, statistics)
    y, mean, unbiased, *_ = tf.raw_ops.FusedBatchNormV3(
        x=x, scale=scale, offset=offset, mean=[], variance=[], epsilon=EPSILON, is_training=True
    )
    n = x.shape[0] * x.shape[1] * x.shape[2]
    return y, [mean, unbiased * ((n - 1) / n)]


def update_statistics(statistics: Weights, moments: Sequence[tf.Tensor], momentum: float) -> None:
    """Running statistics after one more training batch, in place: r <- momentum r + (1 - momentum) batch's."""
    core.update_average(statistics, moments, momentum)


def dropout(x: tf.Tensor, bits: tf.Tensor | None, rate: float) -> tf.Tensor:
    """Each value is 0 with probability `rate`, otherwise divided by 1 - rate, which keeps the mean.

    Source: Srivastava et al. 2014, section 10 (scaled in training, so that inference is the identity).

    Args:
        bits: uniform uint8, one for each value of x in any shape; so `rate` is taken to the nearest 1/256. None:
            inference.
    """
    if bits is None:
        return x
    dropped = round(256 * rate)  # of 256 equally likely bytes
    keep = tf.cast(tf.reshape(bits, x.shape) >= dropped, x.dtype)
    return x * (keep * (256 / (256 - dropped)))


# -------------------------------------------------------------------------------------------------- Adam


def fused_adam_update(
    player: core.Player,
    gradients: Sequence[tf.Tensor],
    step: tf.Tensor,
    adam: core.Adam,
    factor: float | tf.Tensor = 1.0,
) -> None:
    """`gan_core.adam_update` with one kernel for each variable, for graph mode; XLA fuses the formula itself."""
    t = tf.cast(step, tf.float32)
    for weight, mean, square, gradient in zip(*player, gradients, strict=True):
        tf.raw_ops.ResourceApplyAdam(
            var=weight.handle,
            m=mean.handle,
            v=square.handle,
            beta1_power=adam.beta1**t,
            beta2_power=adam.beta2**t,
            lr=factor * adam.learning_rate,
            beta1=adam.beta1,
            beta2=adam.beta2,
            epsilon=adam.epsilon,
            grad=gradient,
        )
