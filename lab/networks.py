"""Image networks on raw variables: their layers, the DCGAN, and the U-Net and PatchGAN that translate images.

Images are `[B, H, W, C]`, as TensorFlow's convolutions on a CPU take them; dense layers take rows `[B, features]`.
Use these networks in graph mode (`core.compiled_loop(step, jit_compile=False)`): on a CPU, XLA takes 60 times as long
for a convolutional step.

Layers compute in the type of their input, float32 or bfloat16, and take weights in float32. A batch norm takes its
moments in float32 in any case.

The weights of a network are one flat list: for each layer a kernel and a bias and, where a norm follows, its scale
and offset. (There the bias has no effect, because the norm subtracts it. It is kept so that the networks have as many
parameters as those of the tutorials.) The function `unet_weights` makes the list that the network `unet` takes, and
so on.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

import gan_core as core
from gan_core import tf
from lab import memory

EPSILON = 1e-3  # added to the variance in every norm, as in Keras
WIDEST = 256  # no layer of the U-Net has more channels than this


# ----------------------------------------------------------------------------------------------- weights


def glorot(rng: np.random.Generator, *shape: int) -> core.Weights:
    """A kernel `[..., in, out]`, uniform within +-sqrt(6 / (fan in + fan out)), and a zero bias `[out]`.

    Source: Glorot and Bengio 2010, equation 16; the default of Keras. The fan in (fan out) is the number of input
    (output) channels times the number of pixels under the kernel.
    """
    limit = np.sqrt(6 / (np.prod(shape[:-2]) * (shape[-2] + shape[-1])))
    return [tf.Variable(rng.uniform(-limit, limit, shape).astype(np.float32)), tf.Variable(tf.zeros(shape[-1]))]


def norm_weights(channels: int) -> core.Weights:
    """The scale (1) and the offset (0) `[channels]` of a batch norm or an instance norm before training."""
    return [tf.Variable(tf.ones(channels)), tf.Variable(tf.zeros(channels))]


def layers(weights: Sequence) -> list[Sequence]:
    """Split the flat list of a network's weights into layers: `[kernel, bias]` or `[kernel, bias, scale, offset]`.

    A layer begins at its kernel, the only one of them with more than one axis.
    """
    kernels = [k for k, weight in enumerate(weights) if len(weight.shape) > 1]
    return [weights[first:last] for first, last in itertools.pairwise([*kernels, len(weights)])]


# ------------------------------------------------------------------------------------------------ layers


def to_network(x: tf.Tensor | np.ndarray) -> tf.Tensor:
    """Pixels as networks see them: uint8 0 .. 255 -> float32 -1 .. 1."""
    return tf.cast(x, tf.float32) / 127.5 - 1


def dense(x: tf.Tensor, weight: tf.Tensor, bias: tf.Tensor) -> tf.Tensor:
    """x W + b: `[B, in] -> [B, out]`."""
    return tf.nn.bias_add(tf.matmul(x, tf.cast(weight, x.dtype)), tf.cast(bias, x.dtype))


def conv(x: tf.Tensor, kernel: tf.Tensor, bias: tf.Tensor, *, stride: int = 1) -> tf.Tensor:
    """Convolution with zeros around the border: `[B, H, W, in] -> [B, ceil(H / stride), ceil(W / stride), out]`."""
    return tf.nn.bias_add(tf.nn.conv2d(x, tf.cast(kernel, x.dtype), stride, "SAME"), tf.cast(bias, x.dtype))


def upsampled_conv(x: tf.Tensor, kernel: tf.Tensor, bias: tf.Tensor) -> tf.Tensor:
    """Nearest-neighbour upsampling x2, then a 3x3 convolution: `[B, H, W, in] -> [B, 2 H, 2 W, out]`.

    Upsampling copies each pixel into a 2x2 box, and two linear filters in a row are one linear filter: here a
    transposed convolution of stride 2, whose 4x4 kernel is the 3x3 kernel convolved with the box. Each output pixel
    then takes 2x2 products per channel and not 3x3, which is 4/9 of the work. TensorFlow differentiates it to every
    order, as gradient penalties need.
    """
    batch, height, width, _ = x.shape
    flipped = tf.transpose(tf.reverse(kernel, (0, 1)), (0, 1, 3, 2))  # [3, 3, out, in], rows and columns reversed
    corners = [(i, j) for i in (0, 1) for j in (0, 1)]
    folded = tf.add_n([tf.pad(flipped, ((i, 1 - i), (j, 1 - j), (0, 0), (0, 0))) for i, j in corners])  # [4, 4, ..]
    shape = batch, 2 * height, 2 * width, kernel.shape[-1]
    y = tf.nn.conv2d_transpose(x, tf.cast(folded, x.dtype), shape, 2, "SAME")
    return tf.nn.bias_add(y, tf.cast(bias, x.dtype))


def leaky_relu(x: tf.Tensor) -> tf.Tensor:
    """max(.2 x, x), with the slope of DCGAN; TensorFlow's own operation is one pass forward and one backward."""
    return tf.nn.leaky_relu(x, 0.2)


def moments_over_replicas(x: tf.Tensor) -> list[tf.Tensor]:
    """Mean and biased variance of each channel, `[B, H, W, C] -> [C], [C]`, of a batch that several devices share.

    The variance of the whole batch is the mean of the parts' variances plus the variance of their means.
    `tf.nn.moments` would not do: it stops a gradient, and its second derivatives are wrong.
    """
    x = tf.cast(x, tf.float32)
    mean = tf.reduce_mean(x, (0, 1, 2))
    variance = tf.reduce_mean((x - mean) ** 2, (0, 1, 2))
    mean, square, variance = core.mean_over_replicas([mean, mean**2, variance])
    return [mean, variance + square - mean**2]


def batch_norm(
    x: tf.Tensor, scale: tf.Tensor, offset: tf.Tensor, statistics: Sequence[tf.Tensor] | None = None
) -> tuple[tf.Tensor, list[tf.Tensor]]:
    """scale (x - mean) / sqrt(variance + epsilon) + offset, for each channel of `[B, H, W, C]`, in one operation.

    TensorFlow has its gradients up to the second order. Devices that share a batch use the moments of the whole
    batch, for which TensorFlow has no such operation. Source: Ioffe and Szegedy 2015, algorithms 1 and 2; epsilon
    1e-3 and the biased variance as in Keras.

    Args:
        statistics: the mean and variance `[C]` to use: at inference the running ones. None, in training: those of
            this batch.
    Returns:
        The output, and the mean and variance that were used.
    """
    if statistics is None and core.replicas() > 1:
        mean, variance = moments_over_replicas(x)
        factor = scale * tf.math.rsqrt(variance + EPSILON)
        return x * tf.cast(factor, x.dtype) + tf.cast(offset - factor * mean, x.dtype), [mean, variance]
    mean, variance = statistics or ([], [])
    y, mean, unbiased, *_ = tf.raw_ops.FusedBatchNormV3(
        x=x, scale=scale, offset=offset, mean=mean, variance=variance, epsilon=EPSILON, is_training=statistics is None
    )
    if statistics is not None:
        return y, list(statistics)
    n = x.shape[0] * x.shape[1] * x.shape[2]
    return y, [mean, unbiased * ((n - 1) / n)]


def instance_norm(x: tf.Tensor, scale: tf.Tensor, offset: tf.Tensor) -> tf.Tensor:
    """Shift and scale each channel of each image of `[B, H, W, C]` to mean 0, variance 1; then scale, offset `[C]`.

    Source: Ulyanov et al. 2016. It does the same in training and at inference, so that it has no running statistics.
    """
    mean = tf.reduce_mean(x, (1, 2), keepdims=True)
    variance = tf.reduce_mean((x - mean) ** 2, (1, 2), keepdims=True)
    return scale * tf.math.rsqrt(variance + EPSILON) * (x - mean) + offset


def dropout(x: tf.Tensor, bits: tf.Tensor | None, rate: float) -> tf.Tensor:
    """Each value becomes 0 with probability `rate` and is otherwise divided by 1 - rate, which keeps the mean.

    Source: Srivastava et al. 2014, section 10 (values are scaled in training, so that inference is the identity).

    Args:
        bits: uniform random uint8, one for each value of x, in any shape; `rate` is therefore rounded to the nearest
            1/256. None, at inference: return x.
    """
    if bits is None:
        return x
    dropped = round(256 * rate)  # this many of the 256 equally likely bytes drop their value
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
    """`gan_core.adam_update` with one operation for each variable, for graph mode; XLA fuses the formula by itself.

    Devices that share a batch all use the mean of their gradients.
    """
    gradients = core.mean_over_replicas(gradients)
    t = tf.cast(step, tf.float32)
    beta1_power, beta2_power, rate = adam.beta1**t, adam.beta2**t, factor * adam.learning_rate
    for weight, mean, square, gradient in zip(*player, gradients, strict=True):
        tf.raw_ops.ResourceApplyAdam(
            var=weight.handle,
            m=mean.handle,
            v=square.handle,
            beta1_power=beta1_power,
            beta2_power=beta2_power,
            lr=rate,
            beta1=adam.beta1,
            beta2=adam.beta2,
            epsilon=adam.epsilon,
            grad=gradient,
        )


# ------------------------------------------------------------------------------------------------- DCGAN

# The networks of Radford et al. 2016 as tutorials shrink them for MNIST. Besides images, G returns its moments: the
# mean and variance that each batch norm used, as one flat list. In training these are the batch's own, whose running
# average is kept; at inference they are the `statistics` that the caller passes. D is used in training alone.


def dcgan_generator_weights(
    rng: np.random.Generator, inputs: int, side: int, maps: Sequence[int], channels: int = 1, images: int = 1
) -> core.Weights:
    """Raw weights of `dcgan_generator`: `[B, inputs] -> [images B, side, side, channels]`.

    `maps` are the channels of its feature maps. The first map is side / 2^(len(maps) - 1) pixels wide: with three
    maps side / 4.
    """
    first_side = side // 2 ** (len(maps) - 1)
    weights = glorot(rng, inputs, images * first_side**2 * maps[0])
    for before, after in itertools.pairwise(maps):
        weights += glorot(rng, 3, 3, before, after) + norm_weights(after)
    return weights + glorot(rng, 3, 3, maps[-1], channels)


def dcgan_generator(
    z: tf.Tensor, weights: Sequence, statistics: Sequence | None = None, images: int = 1
) -> tuple[tf.Tensor, list[tf.Tensor]]:
    """Rows `[B, inputs]` -> images `[images B, side, side, C]` in [-1, 1], and moments.

    A dense layer makes the smallest feature map, one for each of the `images` that a row gives. Then come blocks of
    upsampling, 3x3 convolution, batch norm and ReLU, and a last convolution with tanh.
    """
    first, *blocks, last = layers(weights)
    channels = blocks[0][0].shape[2]
    side = round((first[0].shape[1] / (images * channels)) ** 0.5)
    h = tf.reshape(tf.nn.relu(dense(z, *first)), (-1, side, side, channels))
    moments: list[tf.Tensor] = []
    pairs = [statistics[k : k + 2] for k in range(0, len(statistics), 2)] if statistics else [None] * len(blocks)
    for (kernel, bias, scale, offset), known in zip(blocks, pairs, strict=True):
        h, used = batch_norm(upsampled_conv(h, kernel, bias), scale, offset, known)
        h, moments = tf.nn.relu(h), moments + used
    return tf.tanh(conv(h, *last)), moments


def dcgan_discriminator_weights(
    rng: np.random.Generator, side: int, channels: int, maps: Sequence[int], norm: bool = True
) -> core.Weights:
    """Raw weights of `dcgan_discriminator` for images `[B, side, side, channels]`.

    `maps` are the channels of its feature maps. With `norm`, batch norm follows every convolution except the first
    (Radford et al. 2016, section 3), otherwise none.
    """
    weights: core.Weights = []
    for before, after in itertools.pairwise((channels, *maps)):
        weights += glorot(rng, 3, 3, before, after) + (norm_weights(after) if norm and weights else [])
    return weights + glorot(rng, dcgan_mask_sizes(side, maps)[-1], 1)


def dcgan_discriminator(
    x: tf.Tensor, weights: Sequence, bits: tf.Tensor | None = None, rate: float = 0.0
) -> tf.Tensor:
    """Images `[B, side, side, C]` -> logits `[B]`. Batch norm uses the moments of this batch.

    Random `bits [B, sum of dcgan_mask_sizes]`, uint8, drop values of the feature maps with probability `rate`.
    """
    *blocks, last = layers(weights)
    sizes = dcgan_mask_sizes(x.shape[1], [bias.shape[0] for _, bias, *_ in blocks])
    masks = [None] * len(blocks) if bits is None else tf.split(bits, sizes, axis=1)
    h = x
    for block, mask in zip(blocks, masks, strict=True):
        h = dcgan_block(h, block, mask, rate)
    return dense(tf.reshape(h, (x.shape[0], -1)), *last)[:, 0]


def dcgan_block(x: tf.Tensor, weights: Sequence, bits: tf.Tensor | None = None, rate: float = 0.0) -> tf.Tensor:
    """One block of D: `[B, H, W, in] -> [B, ceil(H / 2), ceil(W / 2), out]`.

    Convolution of stride 2, batch norm if `weights` hold a scale and an offset, leaky ReLU, dropout.
    """
    kernel, bias, *norm = weights
    h = conv(x, kernel, bias, stride=2)
    if norm:
        h, _ = batch_norm(h, *norm)
    return dropout(leaky_relu(h), bits, rate)


def dcgan_mask_sizes(side: int, maps: Sequence[int]) -> list[int]:
    """Values in each of D's feature maps, for one image: each convolution halves the sides, rounding up."""
    return [(-(-side // 2**k)) ** 2 * channels for k, channels in enumerate(maps, start=1)]


def dcgan_statistics(weights: Sequence) -> core.Weights:
    """A running mean (0) and variance (1) for each batch norm of a DCGAN's generator, in the order of its moments."""
    offsets = [layer[-1] for layer in layers(weights) if len(layer) == 4]
    return [tf.Variable(first(offset)) for offset in offsets for first in (tf.zeros_like, tf.ones_like)]


class Game(NamedTuple):
    """Everything that training a DCGAN changes: the fields of `core.Game`, and the running statistics of G's norms.

    `average` is the running average of G's weights and, after them in the list, of G's statistics. D, which is used
    in training alone, needs no statistics.
    """

    discriminator: core.Player
    generator: core.Player
    generator_statistics: core.Weights
    average: core.Weights
    step: tf.Variable


def new_game(discriminator: core.Weights, generator: core.Weights) -> Game:
    """A DCGAN's game before its first step."""
    statistics = dcgan_statistics(generator)
    average = [tf.Variable(w) for w in generator + statistics]
    players = core.new_player(discriminator), core.new_player(generator)
    return Game(*players, statistics, average, tf.Variable(0, dtype=tf.int64))


def dcgan_images(inputs: tf.Tensor, game: Game, generator: Callable = dcgan_generator) -> tf.Tensor:
    """Rows `[B, inputs]` -> images `[B, side, side, C]` in [0, 1], by the averages of G's weights and statistics.

    Because batch norm uses its running statistics, an image does not depend on the others of its batch.
    """
    count = len(game.generator.weights)
    images, _ = generator(inputs, game.average[:count], game.average[count:])
    return (images + 1) / 2


def dcgan_sizes(
    config: Any, side: int, inputs: int, channels: int = 1, label: int = 0
) -> tuple[memory.Size, memory.Size]:
    """The sizes of D and G for images `[B, side, side, channels]`; D sees `label` channels more.

    With `config.pack` D sees this many images, stacked as channels, and its units are those of such a pack.
    """
    maps, pack = config.generator_maps, getattr(config, "pack", 1)
    first_side = side // 2 ** (len(maps) - 1)
    kernels = 2 * sum(9 * a * b for a, b in itertools.pairwise((*maps, channels)))  # `upsampled_conv` copies them
    units = sum((first_side * 2**k) ** 2 * size for k, size in enumerate(maps)) + side**2 * channels
    g = memory.Size(inputs * first_side**2 * maps[0] + kernels, units)
    seen, sizes = channels + label, dcgan_mask_sizes(side, config.discriminator_maps)
    kernels = sum(9 * a * b for a, b in itertools.pairwise((pack * seen, *config.discriminator_maps)))
    return memory.Size(kernels + sizes[-1], pack * side**2 * seen + sum(sizes)), g


def dcgan_memory(config: Any, d: memory.Size, g: memory.Size, bytes_of_image: int = 0) -> int:
    """About how many bytes it takes to train networks of these sizes, and to draw 500 fakes at a time.

    `bytes_of_image`: of a real image in a drawn batch.
    """
    masks = 3 * d.units if config.dropout else 0  # random bytes; then they are multiplied as float32
    pack, bytes_of_sample = getattr(config, "pack", 1), bytes_of_image + 2 * config.latent_dim
    return (
        memory.TENSORFLOW
        + memory.losses(config)
        + 48 * (d.weights + g.weights)  # float32: weights, moments, average, gradients; copies for a checkpoint
        + 4 * config.batch * (4 * pack * g.units + 5 * d.units + 3 * masks)  # kept for the gradients, or gradients
        + memory.drawn(min(config.eval_every, 50), config.batch * (pack * bytes_of_sample + masks))
        + 8 * 500 * g.units
    )


# ----------------------------------------------------------------------------------- image to image: U-Net


def unet_depth(height: int, width: int) -> int:
    """How often the U-Net halves the sides: at least twice, then while they are even and 4 pixels or more remain."""
    k = 2
    while height % 2 ** (k + 1) == 0 and width % 2 ** (k + 1) == 0 and min(height, width) >= 4 * 2 ** (k + 1):
        k += 1
    return k


def unet_weights(rng: np.random.Generator, size: Sequence[int], width: int) -> core.Weights:
    """Raw weights of `unet` for images of `size` (H, W, C).

    The first layer has `width` channels, and each next one on the way down twice as many, up to `WIDEST`.
    """
    channels, widths = size[2], _unet_widths(size, width)
    weights = glorot(rng, 4, 4, channels, widths[0])
    for inputs, outputs in itertools.pairwise(widths):
        weights += glorot(rng, 4, 4, inputs, outputs) + norm_weights(outputs)
    inputs = widths[-1]
    for outputs in reversed(widths[:-1]):
        weights += glorot(rng, 3, 3, inputs, outputs) + norm_weights(outputs)
        inputs = 2 * outputs  # the skip connection brings as many channels again
    return weights + glorot(rng, 3, 3, inputs, channels)


def _unet_widths(size: Sequence[int], width: int) -> list[int]:
    """The channels of each layer on the way down."""
    return [min(width * 2**k, WIDEST) for k in range(unet_depth(*size[:2]))]


def unet_mask_sizes(size: Sequence[int], width: int) -> list[int]:
    """Values that `unet` can drop in each feature map on the way up, for one image of `size` (H, W, C)."""
    widths = _unet_widths(size, width)[:-1]
    return [size[0] * size[1] // 4**k * channels for k, channels in enumerate(widths, start=1)][::-1]


def unet(x: tf.Tensor, weights: Sequence, bits: tf.Tensor | None = None, rate: float = 0.0) -> tf.Tensor:
    """Images `[B, H, W, C]` -> images of the same size, in [-1, 1].

    Strided convolutions lead down to a small feature map and upsampling convolutions back up to the full size. On the
    way up, a skip connection appends to each feature map the one of equal size from the way down. Random `bits [B,
    sum of unet_mask_sizes]`, uint8, drop values on the way up with probability `rate`. This dropout is the only noise
    in pix2pix.

    Source: Isola et al. 2017, section 6.1; instance norm as in Zhu et al. 2017.
    """
    first, *between, last = layers(weights)
    downs, ups = between[: len(between) // 2], between[len(between) // 2 :]
    skips = [leaky_relu(conv(x, *first, stride=2))]
    for kernel, bias, *norm in downs:
        skips.append(leaky_relu(instance_norm(conv(skips[-1], kernel, bias, stride=2), *norm)))
    h = skips.pop()
    sizes = [skip.shape[1] * skip.shape[2] * skip.shape[3] for skip in reversed(skips)]
    masks = [None] * len(ups) if bits is None else tf.split(bits, sizes, axis=1)
    for (kernel, bias, *norm), mask, skip in zip(ups, masks, reversed(skips), strict=True):
        h = tf.nn.relu(dropout(instance_norm(upsampled_conv(h, kernel, bias), *norm), mask, rate))
        h = tf.concat([h, skip], axis=3)
    return tf.tanh(upsampled_conv(h, *last))


def unet_size(size: Sequence[int], width: int) -> memory.Size:
    """The size of `unet` for images of `size` (H, W, C)."""
    pixels, channels, widths = size[0] * size[1], size[2], _unet_widths(size, width)
    pairs = list(itertools.pairwise((channels, *widths)))
    # 4 x 4 pixels on the way down; on the way up 3 x 3, from twice as many channels, and `upsampled_conv` copies them
    weights = sum((16 + 2 * 9 * 2) * inputs * outputs for inputs, outputs in pairs)
    maps = sum(pixels // 4**k * outputs for k, outputs in enumerate(widths, start=1))
    return memory.Size(weights, 3 * maps + pixels * channels)  # on the way down, on the way up, and both joined


# -------------------------------------------------------------------------------- image to image: PatchGAN


def patchgan_weights(rng: np.random.Generator, channels: int, width: int) -> core.Weights:
    """Raw weights of `patchgan` for images `[B, H, W, channels]`; `width` is the first layer's number of channels."""
    weights = glorot(rng, 4, 4, channels, width) + glorot(rng, 4, 4, width, 2 * width) + norm_weights(2 * width)
    return weights + glorot(rng, 4, 4, 2 * width, 1)


def patchgan(x: tf.Tensor, weights: Sequence) -> tf.Tensor:
    """One logit for each overlapping patch of 22 x 22 pixels, at every fourth pixel: `[B, H, W, C] -> [B H/4 W/4]`.

    Through the moments of the instance norm a logit also depends, weakly, on the rest of the image. Source: Isola et
    al. 2017, section 3.2.2; here with two strided layers, for small images.
    """
    first, (kernel, bias, *norm), last = layers(weights)
    h = leaky_relu(conv(x, *first, stride=2))
    h = leaky_relu(instance_norm(conv(h, kernel, bias, stride=2), *norm))
    return tf.reshape(conv(h, *last), (-1,))


def patchgan_size(size: Sequence[int], width: int) -> memory.Size:
    """The size of `patchgan` for images of `size` (H, W, C)."""
    pixels, channels = size[0] * size[1], size[2]
    return memory.Size(16 * width * (channels + 2 * width + 2), pixels // 4 * width + pixels // 16 * (2 * width + 1))


def images_at_once(size: Sequence[int]) -> int:
    """How many images of `size` (H, W, C) are translated at a time: fewer of large ones, to bound the memory."""
    return min(500, max(1, 2**19 // (size[0] * size[1])))


def translation_memory(
    config: Any, size: Sequence[int], players: Sequence[memory.Size], kept: int, bytes_of_step: int, held_out: int
) -> int:
    """About how many bytes it takes to train U-Nets and PatchGANs of these sizes on images of `size` (H, W, C).

    Args:
        kept: how many numbers the layers make of an image in a step, all of which are kept for the gradients.
        bytes_of_step: of the drawn images and random numbers.
        held_out: how many held-out images there are to measure.
    """
    pixels = math.prod(size)
    part = images_at_once(size)
    return (
        memory.TENSORFLOW
        + memory.losses(config, kinds=5)
        + 40 * sum(player.weights for player in players)  # float32: as in `dcgan_memory`, without an average
        + 4 * config.batch * 3 * kept
        + memory.drawn(1, bytes_of_step)
        + 8 * part * max(player.units for player in players)
        + 32 * min(held_out, max(config.log_samples, config.eval_samples)) * pixels  # eight copies as float32
    )
