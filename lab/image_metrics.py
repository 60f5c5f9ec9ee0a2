"""How far are fake images from real ones? Metrics of images, and of what a digit classifier says about them.

Sets of images, and a classifier's features of them, are arrays [n, ...] with one image in each row; their further
axes are flattened to [n, d]. Everything is computed with NumPy in float64, and every KL divergence is in nats. The
floor of an image metric is real against real: call it with n other real images in place of the fakes.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

import metrics
from metrics import Array

PARZEN_SIGMAS = tuple(np.logspace(-1, 0, 10).tolist())  # as Goodfellow et al. 2014, for pixels in [0, 1]
_BLOCK = 2**22  # distances held in memory at once: 32 MB, where all those of 10,000 x 10,000 images take 800 MB
_TILE = 2**16  # of them, or pixels, that are worked on at once: 512 kB stay in a processor's cache


class Parzen(NamedTuple):
    """Log-likelihood of test images, in nats: the mean, its standard error, and the sigma chosen on validation."""

    mean: float
    standard_error: float
    sigma: float


# ------------------------------------------------------------------------- what a digit classifier says: labels


def purity(clusters: ArrayLike, classes: ArrayLike) -> float:
    """The share of images whose class is the most frequent one of their cluster.

    Source: Manning, Raghavan and Schuetze 2008, equation 16.1. It is 1 if each cluster holds images of one class;
    with a single cluster of ten equal classes it would be .1. ValueError: not as many `clusters` [n] as `classes`
    [n], or none.
    """
    clusters, classes = np.asarray(clusters), np.asarray(classes)
    if clusters.shape != classes.shape or not clusters.size:
        raise ValueError(f"clusters and classes: got shapes {clusters.shape} and {classes.shape}, expected [n] twice")
    counts = np.zeros((clusters.max() + 1, classes.max() + 1), int)
    np.add.at(counts, (clusters, classes), 1)
    return float(counts.max(axis=1).sum() / len(classes))


def label_kl(
    real_labels: ArrayLike, fake_labels: ArrayLike, classes: int = 10, smoothing: float = 0.5, reverse: bool = False
) -> float:
    """KL(real || fake), or KL(fake || real) if `reverse`, of the classes that a classifier sees, in nats.

    The labels are 0 .. classes - 1. The frequencies of `real_labels` [n] count as the exact real distribution, which
    is not quite uniform (MNIST's has KL .0014 from uniform); the smoothing is added to the fake counts [m] alone. The
    reverse KL is infinite if real lacks a class (with smoothing 0: one that fake has), and about ln 10 if all fakes
    are of one class of 10. The floor is `metrics.kl_floor(np.bincount(real_labels), m)`, to first order (classes - 1)
    / (2 m): .00045 at 10,000 fakes. ValueError: labels that are not whole numbers in range; no labels; classes < 2;
    smoothing < 0.
    """
    metrics.require_at_least(2, classes=classes)
    real = _label_counts(real_labels, "real_labels", classes)
    fake = _label_counts(fake_labels, "fake_labels", classes)
    return float(metrics.kl_of_counts(real, fake, smoothing, reverse, smooth_real=False))


def tuple_counts(labels: ArrayLike, classes: int = 10) -> NDArray[np.int64]:
    """How often each tuple of labels [n, d] occurs -> [classes^d]; (a, b, c) is at classes^2 a + classes b + c.

    For Stacked MNIST a classifier reads the digit of each of 3 channels, and the 10^3 triples are the modes (Metz et
    al. 2017). A mode is reached from one sample on: `np.count_nonzero` of the counts is the number of modes reached,
    and `metrics.uniform_kl` of the counts says how evenly.
    ValueError: labels that are not whole numbers in range or not [n, d]; no labels; classes < 2.
    """
    metrics.require_at_least(2, classes=classes)
    labels = np.asarray(labels)
    if labels.ndim != 2 or not labels.size:
        raise ValueError(f"labels: got shape {labels.shape}, expected [n, d] with n, d >= 1")
    _label_counts(labels.ravel(), "labels", classes)  # checks that they are whole numbers in range
    modes = labels.astype(np.int64) @ classes ** np.arange(labels.shape[1])[::-1]
    return np.bincount(modes, minlength=classes ** labels.shape[1])


def confident_share(probabilities: ArrayLike, at_least: float = 0.9) -> float:
    """Share of samples whose largest class probability [n, classes] is `at_least` or more, 0 to 1.

    It says how many samples look like some digit to the classifier, but not like which, nor how many different ones
    there are. Real images give its ceiling.
    ValueError: rows that are not probabilities (logits, for example); at_least outside (0, 1].
    """
    if not 0 < at_least <= 1:
        raise ValueError(f"at_least: got {at_least}, expected a number in (0, 1]")
    p = metrics.as_numbers(probabilities, "probabilities")
    if p.ndim != 2 or not p.size or not (p >= 0).all() or not (np.abs(p.sum(axis=1) - 1) < 1e-3).all():
        raise ValueError(f"probabilities: got shape {p.shape}, expected [n, classes] of 0 or more, rows of sum 1")
    return float((p.max(axis=1) >= at_least).mean())


# ----------------------------------------------------------------------------------------------------- features


def gaussian_moments(features: ArrayLike) -> tuple[Array, Array]:
    """Mean [d] and covariance [d, d] (divided by n - 1) of features [n, ...]. ValueError: not finite; n < 2."""
    features = metrics.as_rows(features, "features", at_least=2)
    return features.mean(axis=0), np.atleast_2d(np.cov(features, rowvar=False))


def mean_error(a: np.ndarray, b: np.ndarray) -> float:
    """Mean |a - b| over all pixels and channels of images in [0, 1]."""
    return float(np.abs(a - b).mean())


def frechet_digit_distance(real_features: ArrayLike, fake_features: ArrayLike) -> float:
    """|m - m'|^2 + tr(C + C' - 2 (C^1/2 C' C^1/2)^1/2) of normals fitted to features [n, ...] and [n', ...].

    This is the squared 2-Wasserstein distance of the two normal distributions, in the features' unit squared. On the
    features of a digit classifier it is not FID, and cannot be compared with the numbers of any paper. Few samples
    make it larger: use as many real as fake ones, and as many for its floor. Covariances may be singular; equal
    features may give -1e-7 tr C. Dowson and Landau 1982; Heusel et al. 2017.
    ValueError: fewer than 2 rows; values that are not finite; different dimensions.
    """
    real, fake = metrics.as_row_pair(real_features, fake_features, "real_features", "fake_features", at_least=2)
    (mean, cov), (fake_mean, fake_cov) = gaussian_moments(real), gaussian_moments(fake)
    values, vectors = np.linalg.eigh(cov)
    root = vectors * np.sqrt(np.clip(values, 0, None))  # root root' = C; clipped, as rounding leaves some at -1e-16
    eigenvalues = np.linalg.eigvalsh(root.T @ fake_cov @ root)  # those of C^1/2 C' C^1/2
    cross = np.sqrt(np.clip(eigenvalues, 0, None)).sum()
    return float(np.sum((mean - fake_mean) ** 2) + np.trace(cov) + np.trace(fake_cov) - 2 * cross)


def precision_recall(real_features: ArrayLike, fake_features: ArrayLike, k: int = 3) -> tuple[float, float]:
    """Precision, the share of fakes in the real manifold, and recall, the share of reals in the fake one; 0 to 1.

    The manifold of a set is the union of balls around its points. Each ball reaches to the k-th neighbour of its
    point, not counting the point itself. Missing modes lower recall, and swapping the sets swaps the two numbers.
    Fakes that are all alike, or blurred, may have a high precision: they may all lie within a few balls. The
    ceiling, real against real, is below 1. 10,000 x 10,000 features in 128 dimensions take 1.5 s. Kynkaanniemi et
    al. 2019.
    ValueError: k outside 1 .. n - 1 of the smaller set; values that are not finite; different dimensions.
    """
    real, fake = metrics.as_row_pair(real_features, fake_features, "real_features", "fake_features", at_least=2)
    most = min(len(real), len(fake)) - 1
    if not 1 <= k <= most:
        raise ValueError(f"k: got {k}, expected 1 to {most}")
    real_squared_radii, fake_squared_radii = _squared_radii(real, k), _squared_radii(fake, k)
    real_within, fake_within = np.zeros(len(real), bool), np.zeros(len(fake), bool)
    for rows, tile in _squared_distances(real, fake):  # [rows, n']
        real_within[rows] = (tile <= fake_squared_radii).any(axis=1)
        fake_within |= (tile <= real_squared_radii[rows, None]).any(axis=0)
    return float(fake_within.mean()), float(real_within.mean())


def _squared_radii(x: Array, k: int) -> Array:
    """The squared distance of each point of x [n, d] to its k-th neighbour; the nearest, at 0, is the point."""
    radii = np.empty(len(x))
    for rows, tile in _squared_distances(x, x):
        tile.partition(k, axis=1)
        radii[rows] = tile[:, k]
    return radii


# ------------------------------------------------------------------------------------------------------- pixels


def pixel_kl(
    real_images: ArrayLike, fake_images: ArrayLike, bins: int = 32, smoothing: float = 0.5, reverse: bool = False
) -> float:
    """KL(real || fake), or KL(fake || real) if `reverse`, of the brightness of all pixels in [0, 1], in nats.

    Each pixel counts as the nearest of 256 grey levels, as in a saved image, and each bin holds 256 / bins whole
    levels: k/255 never lies on an edge, and the .0004 that a sigmoid or tanh gives for black is black. The KL shows
    blur and grey backgrounds, but not where in the image a pixel stands. The pixels of an image depend on each other,
    so that `metrics.kl_floor` is far too low: the floor is pixel_kl(real_a, real_b) of other real images.
    ValueError: pixels outside [0, 1]; bins that do not divide 256; smoothing < 0.
    """
    if bins < 2 or 256 % bins:
        raise ValueError(f"bins: got {bins}, expected a divisor of 256 from 2 on: whole grey levels in each bin")
    real, fake = _grey_counts(real_images, "real_images", bins), _grey_counts(fake_images, "fake_images", bins)
    return float(metrics.kl_of_counts(real, fake, smoothing, reverse, smooth_real=True))


def nearest_neighbours(samples: ArrayLike, among: ArrayLike) -> tuple[Array, NDArray[np.int64]]:
    """The nearest row of `among` [m, ...] to each sample [n, ...]: its distance [n] and its index [n].

    The distance is Euclidean, in the unit of the data. A memorised picture is at distance 0 exactly. A sample that is
    itself in `among` finds itself, or its equal. ValueError: values that are not finite; different dimensions.
    """
    samples, among = metrics.as_row_pair(samples, among, "samples", "among")
    nearest, squared = np.empty(len(samples), np.int64), np.empty(len(samples))
    for rows, tile in _squared_distances(samples, among):
        nearest[rows], squared[rows] = tile.argmin(axis=1), tile.min(axis=1)
    return np.sqrt(squared), nearest


def parzen_log_likelihood(samples: ArrayLike, test: ArrayLike, sigma: ArrayLike) -> Array:
    """ln 1/n sum_i N(x; s_i, sigma^2 I) of each test image x [m, ...] under samples s [n, ...] -> [m], in nats.

    = logsumexp_i(-|x - s_i|^2 / (2 sigma^2)) - ln n - d/2 ln(2 pi sigma^2). Several sigma [k] give [k, m] and need
    the distances only once. ValueError: sigma not above 0; values that are not finite; different dimensions.
    """
    samples, test = metrics.as_row_pair(samples, test, "samples", "test")
    sigma = metrics.as_numbers(sigma, "sigma")
    if sigma.ndim > 1 or not sigma.size or not ((sigma > 0) & (sigma < np.inf)).all():
        raise ValueError(f"sigma: got {sigma}, expected numbers above 0")
    n, d = samples.shape
    variances = np.atleast_1d(sigma) ** 2
    kernels = np.empty((variances.size, len(test)))  # ln sum_i exp(-|x - s_i|^2 / (2 sigma^2))
    memory = np.empty((max(1, _TILE // n), n))  # of the terms of one tile
    for rows, tile in _squared_distances(test, samples):
        nearest = tile.min(axis=1, keepdims=True)
        tile -= nearest  # so that the largest term is 1
        for kernel, variance in zip(kernels, variances, strict=True):
            terms = np.divide(tile, -2 * variance, out=memory[: len(tile)])
            # Next to 1, float64 loses terms of e^-80 anyway, and exp is four times slower where it underflows.
            np.exp(np.maximum(terms, -80, out=terms), out=terms)
            kernel[rows] = np.log(terms.sum(axis=1)) - nearest[:, 0] / (2 * variance)
    likelihoods = kernels - np.log(n) - d / 2 * np.log(2 * np.pi * variances[:, None])
    return likelihoods.reshape(*sigma.shape, len(test))


def parzen_window(
    samples: ArrayLike, validation: ArrayLike, test: ArrayLike, sigmas: ArrayLike = PARZEN_SIGMAS
) -> Parzen:
    """Mean log-likelihood of `test`, in nats, at the sigma that fits `validation` best; all of them are [n, ...].

    This is the table of the founding paper (Goodfellow et al. 2014, MNIST 225 +- 2): 10,000 samples with pixels in
    [0, 1], the first 1000 validation images and all test images, in 2 s. 10,000 real training images reach 241 to
    243.5, depending on which they are: that is more than the standard error over test images says. Theis et al. 2016
    advise against ranking models by it. ValueError: as `parzen_log_likelihood`; fewer than 2 test images.
    """
    test = metrics.as_rows(test, "test", at_least=2)
    sigmas = np.atleast_1d(metrics.as_numbers(sigmas, "sigmas"))
    sigma = sigmas[parzen_log_likelihood(samples, validation, sigmas).mean(axis=1).argmax()]
    scores = parzen_log_likelihood(samples, test, sigma)
    return Parzen(float(scores.mean()), float(scores.std(ddof=1) / np.sqrt(scores.size)), float(sigma))


# ------------------------------------------------------------------------------------------- distances and counts


def _squared_distances(a: Array, b: Array) -> Iterator[tuple[slice, Array]]:
    """|a - b|^2 = |a|^2 + |b|^2 - 2 ab of [n, d] and [m, d], one tile of rows after the other: rows, [rows, m].

    Values below the rounding error of this formula become 0: for equal points it would give -1e-14 or 1e-14. A tile
    may be changed, and a later one overwrites it: fresh memory for each would take ten times as long as the sums.
    """
    rounding = (a.shape[1] + 4) * np.finfo(np.float64).eps  # of dot products of d terms, relative to |a|^2 + |b|^2
    a_squares, b_squares = (np.einsum("nd,nd->n", x, x) for x in (a, b))
    height, tile_height = (max(1, numbers // len(b)) for numbers in (_BLOCK, _TILE))
    products, squares = (np.empty((min(rows, len(a)), len(b))) for rows in (height, tile_height))
    for start in range(0, len(a), height):
        block = np.matmul(a[start : start + height], b.T, out=products[: len(a) - start])
        for first in range(0, len(block), tile_height):
            tile = block[first : first + tile_height]
            rows = slice(start + first, start + first + len(tile))
            sums = np.add(a_squares[rows, None], b_squares, out=squares[: len(tile)])
            tile *= -2
            tile += sums
            sums *= rounding
            tile[tile <= sums] = 0
            yield rows, tile


def _label_counts(labels: ArrayLike, name: str, classes: int) -> NDArray[np.int64]:
    labels = np.asarray(labels)
    if labels.ndim != 1 or not labels.size or not np.issubdtype(labels.dtype, np.integer):
        raise ValueError(f"{name}: got {labels.dtype} of shape {labels.shape}, expected whole numbers [n], n >= 1")
    if labels.min() < 0 or labels.max() >= classes:
        raise ValueError(f"{name}: got {labels.min()} to {labels.max()}, expected 0 to {classes - 1}")
    return np.bincount(labels, minlength=classes)


def _grey_counts(images: ArrayLike, name: str, bins: int) -> NDArray[np.int64]:
    pixels = metrics.as_rows(images, name).ravel()
    if pixels.min() < 0 or pixels.max() > 1:
        raise ValueError(f"{name}: got pixels from {pixels.min():g} to {pixels.max():g}, expected 0 to 1")
    levels = np.zeros(256, np.int64)
    for first in range(0, pixels.size, _TILE):
        levels += np.bincount(np.rint(255 * pixels[first : first + _TILE]).astype(np.uint8), minlength=256)
    return levels.reshape(bins, -1).sum(axis=1)
