"""Random numbers, minibatches and latents: every one of them a function of (seed, stream, step).

NumPy's PCG64 (O'Neill 2014) can jump ahead to any step without drawing what comes before it. This is all that a
resumed run needs to equal an uninterrupted one, and no random generator's state is ever saved.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
from scipy.special import ndtr, ndtri

from gan_core import tf

# The streams of one seed. Scripts may share a number, and none may change: it would change every published run.
REAL, WEIGHTS, ORDER, LATENT, MIX, EVALUATION, SPLIT, SHIFT, DROPOUT, STACK, JITTER = range(11)


# ---------------------------------------------------------------------------------------- random numbers


def generator(seed: int, stream: int) -> np.random.Generator:
    """NumPy's random generator for what a run draws only once: data and first weights."""
    return np.random.Generator(np.random.Philox(key=[seed, stream]))


def random_bits(seed: int, stream: int, start: int, count: int, size: int) -> np.ndarray:
    """Uniform 16-bit integers `[count, size]`; row i is a function of (seed, stream, start + i) alone."""
    words = -(-size // 4)  # of 64 bits
    source = np.random.PCG64DXSM([seed, stream]).advance(start * words)  # 2.6 ns a word; Philox takes 4.4
    return source.random_raw(count * words).view(np.uint16).reshape(count, -1)[:, :size]


def random_bytes(seed: int, stream: int, start: int, count: int, shape: Sequence[int]) -> np.ndarray:
    """Uniform uint8 `[count, *shape]`; row i is a function of (seed, stream, start + i) alone."""
    n = math.prod(shape)
    bits = random_bits(seed, stream, start, count, -(-n // 2))
    return np.ascontiguousarray(bits).view(np.uint8)[:, :n].reshape(count, *shape)


def bits_for_seeds(seeds: Sequence[int], stream: int, start: int, count: int, shape: Sequence[int]) -> np.ndarray:
    """`random_bits` of every seed: uint16 `[count, S, *shape]`."""
    bits = np.empty((count, len(seeds), *shape), np.uint16)
    for k, seed in enumerate(seeds):
        bits[:, k] = random_bits(seed, stream, start, count, math.prod(shape)).reshape(count, *shape)
    return bits


# ------------------------------------------------------------------------------------------- minibatches


def minibatch_indices(n: int, seed: int, start: int, count: int, batch: int) -> np.ndarray:
    """Which of n samples the steps start .. start + count - 1 train on: int `[count, batch]`.

    Every epoch has ceil(n / batch) steps and its own order of the samples, a function of (seed, epoch). Its last
    batch is filled up from the start of the same order, so that all batches have the same size and the same weight.
    """
    per_epoch = -(-n // batch)
    first, last = start // per_epoch, -(-(start + count) // per_epoch)
    keys = random_bits(seed, ORDER, first, last - first, n)
    order = np.argsort(keys, axis=-1, kind="stable")  # on 16 bits a radix sort, four times faster than `permuted`
    steps = order.take(np.arange(per_epoch * batch) % n, axis=1).reshape(-1, batch)
    return steps[start - first * per_epoch :][:count]


def minibatches(points: np.ndarray, seeds: Sequence[int], start: int, count: int, batch: int) -> np.ndarray:
    """Shuffled minibatches of the steps start .. start + count - 1, in the order of `minibatch_indices`.

    Args:
        points: `[S, F, N]`: for every seed N training samples of F numbers.
    Returns:
        `[count, S, F, batch]`, of the dtype of `points`.
    """
    batches = np.empty((count, *points.shape[:2], batch), points.dtype)
    for k, (seed, rows) in enumerate(zip(seeds, points, strict=True)):
        chosen = minibatch_indices(points.shape[2], seed, start, count, batch)
        for f, row in enumerate(rows):
            batches[:, k, f] = row.take(chosen)
    return batches


def prefetched(draw: Callable[[Any], Iterable], periods: Iterable, ahead: int = 2) -> Iterator:
    """The batches of `draw(period)` for each period, in order; a second thread draws them while the first one trains.

    Drawing starts now, not at the first `next`. Up to `ahead` batches wait in memory.
    """
    end = object()
    batches = itertools.chain.from_iterable(map(draw, periods))
    pool = ThreadPoolExecutor(1)

    def submit() -> Future:
        return pool.submit(next, batches, end)

    waiting = deque(submit() for _ in range(ahead))

    def in_order() -> Iterator:
        with pool:
            while True:
                waiting.append(submit())
                if (batch := waiting.popleft().result()) is end:
                    return
                yield batch

    return in_order()


# ----------------------------------------------------------------------------------------------- latents


LATENTS = ("uniform", "normal")


def latents(bits: tf.Tensor, distribution: str) -> tf.Tensor:
    """Latents from uniform 16-bit integers of the same shape: `uniform` on (-1, 1), or standard `normal`.

    Drawing 16 bits costs half as much as 32; their 65,536 equally likely values reach +-4.3 standard deviations.
    """
    if distribution == "normal":
        return tf.gather(_normal_numbers(), tf.cast(bits, tf.int32))
    return 2 * ((tf.cast(bits, tf.float32) + 0.5) / 65536) - 1


def coded_latents(bits: tf.Tensor, categories: int, axis: int = -1) -> tf.Tensor:
    """Standard normal z that begins with a one-hot code, from uniform 16-bit integers of the same shape.

    The code takes the first `categories` numbers along `axis`: the largest of them becomes sqrt(categories), so
    that their mean square stays 1, and the others 0. All categories are equally likely. With 0 categories there is
    no code.

    A generator is a continuous function of z. Between the z of one digit and those of another lie z whose images are
    neither, unless these z are never drawn. InfoGAN has such a code (Chen et al. 2016, section 7.2), and beyond that
    it rewards G if the category can be read from the image. Here nothing is rewarded.
    """
    z = latents(bits, "normal")
    if not categories:
        return z
    numbers, normal = tf.split(z, [categories, z.shape[axis] - categories], axis)
    code = tf.one_hot(tf.argmax(numbers, axis), categories, axis=axis)
    return tf.concat([np.sqrt(categories) * code, normal], axis)


@functools.cache
def _normal_numbers() -> tf.Tensor:
    """The standard normal number of each of the 65,536 values: looking it up takes a tenth of the time."""
    with tf.init_scope():  # outside the graph that is being traced
        return tf.math.ndtri((tf.range(65536, dtype=tf.float32) + 0.5) / 65536)


def latent_bits(seed: int, n: int, latent_dim: int, step: int = 0) -> np.ndarray:
    """Random bits of n latents that training never uses: uint16 `[n, latent_dim]`; see `latents`.

    Each `step` has n others; 0 is for figures and final numbers.
    """
    return random_bits(seed, EVALUATION, step * n, n, latent_dim)


def normal_from_bits(bits: np.ndarray) -> np.ndarray:
    """Standard normal numbers from uniform 16-bit integers, in NumPy."""
    return ndtri((bits + 0.5) / 65536)


def categories_of(bits: np.ndarray, categories: int) -> np.ndarray | None:
    """Which category each of the latents of `coded_latents` has, 0 to categories - 1: int `[n]`; None without a code.

    `bits [n, latent_dim]`: the larger they are, the larger are the numbers that `coded_latents` compares.
    """
    return bits[:, :categories].argmax(axis=1) if categories else None


def bits_by_category(seed: int, latent_dim: int, categories: int, rows: int) -> np.ndarray:
    """Bits of latents with each category in turn: uint16 `[rows * categories, latent_dim]`; see `coded_latents`.

    Each row has all categories, and its latents differ in nothing else.
    """
    bits = latent_bits(seed, rows, latent_dim).repeat(categories, axis=0)
    bits[:, :categories] = np.tile(np.eye(categories, dtype=np.uint16) * 65535, (rows, 1))
    return bits


def interpolated_bits(seed: int, latent_dim: int, rows: int, columns: int) -> np.ndarray:
    """Bits of latents on the way between the two ends of each row: uint16 `[rows * columns, latent_dim]`.

    The way is cos(t) a + sin(t) b for t from 0 to pi / 2, each point of which is again standard normal; for long z it
    is nearly the great circle of White 2016. On the straight line between two normal latents the length falls to 70%,
    and the generator never saw such short latents in training. Of `coded_latents` the category jumps on the way, at
    most a few times.
    """
    ends = normal_from_bits(latent_bits(seed, 2 * rows, latent_dim))
    angle = np.linspace(0, np.pi / 2, columns)[:, None]
    paths = [np.cos(angle) * a + np.sin(angle) * b for a, b in zip(ends[::2], ends[1::2], strict=True)]
    return np.clip(np.floor(65536 * ndtr(np.concatenate(paths))), 0, 65535).astype(np.uint16)


def latent_lattice(distribution: str, latent_dim: int, lines: int, finer: int) -> np.ndarray:
    """Latents `[Z, n^2]`, a square lattice of the first two coordinates, the others 0; n = finer (lines - 1) + 1.

    It spans the quantiles .5% to 99.5% of the coordinates' distribution, one of `latents`, in equal steps of
    probability, so that every cell gets as many samples.
    """
    u = np.linspace(0.005, 0.995, finer * (lines - 1) + 1)
    quantiles = ndtri(u) if distribution == "normal" else 2 * u - 1
    z = np.zeros((latent_dim, u.size**2))
    for row, values in zip(z, np.meshgrid(quantiles, quantiles), strict=False):  # with a single coordinate: a line
        row[:] = values.ravel()
    return z


# ------------------------------------------------------------------------------------------------- parts


def in_parts(generate: Callable, *inputs: np.ndarray, at_once: int = 500) -> np.ndarray:
    """`generate(*inputs)`, a few rows of the inputs at a time, which bounds the memory."""
    parts = [slice(k, k + at_once) for k in range(0, len(inputs[0]), at_once)]
    return np.concatenate([generate(*(rows[part] for rows in inputs)) for part in parts])
