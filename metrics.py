"""How far is the fake distribution from the real one?

NumPy and SciPy in float64; every KL is in nats. `real` is a sample [n], or a distribution known exactly: any
object with `.cdf` and `.ppf`, such as `scipy.stats.norm(4, 1.25)`. `fake` is a sample [..., n], of which the
leading axes (seeds) stay. Three habits keep a histogram KL honest:
- edges come from the real distribution alone, are shared by both sides, and have two open tails, so that a
  shift or a collapse cannot hide in a change of axis;
- smoothing is an argument, added to each count of a sampled side and never to exact masses;
- no number without its floor: `kl_floor` is what a perfect sampler would score with as many samples.

Images, and a judge's features of them, are [n, ...]: one line each, their further axes flattened to [n, d]. The
floor of an image metric is real against real: call it with another n real images in the place of the fakes.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats
from scipy.spatial import cKDTree
from scipy.special import rel_entr

Array = NDArray[np.float64]  # or a single np.float64 where the docstring says [...] and there is one row
PARZEN_SIGMAS = tuple(np.logspace(-1, 0, 10).tolist())  # the grid of the 2014 code, in the unit of a pixel in [0, 1]
_BLOCK = 2**22  # distances held at once, 32 MB: 10,000 x 10,000 of them would be 800 MB


@runtime_checkable
class Distribution(Protocol):
    def cdf(self, x): ...
    def ppf(self, q): ...


class Floor(NamedTuple):
    """Scores of a perfect sampler: mean, standard deviation, 10% and 90% quantile."""

    mean: float
    std: float
    q10: float
    q90: float


class Parzen(NamedTuple):
    """Log-likelihood of a test image, nats: mean, its standard error, and the sigma that validation chose."""

    mean: float
    standard_error: float
    sigma: float


class ModeCoverage(NamedTuple):
    """Modes with a high-quality sample, share of samples of high quality, reverse KL to equal modes in nats."""

    modes: int
    high_quality: float
    reverse_kl: float


def histogram_edges(real: Distribution | ArrayLike, bins: int = 40, coverage: float = 0.9999) -> Array:
    """Equal widths between the (1 - coverage)/2 and (1 + coverage)/2 quantiles of `real` -> [bins + 1].

    In the unit of the data. ValueError: bins < 1; coverage outside (0, 1]; a sample that is constant, of one
    value or not finite; a distribution whose quantile is infinite (a normal at coverage 1).
    """
    _at_least(1, bins=bins)
    if not 0 < coverage <= 1:
        raise ValueError(f"coverage: got {coverage}, expected a number in (0, 1]")
    tails = np.array([(1 - coverage) / 2, (1 + coverage) / 2])
    exact = isinstance(real, Distribution)
    low, high = real.ppf(tails) if exact else np.quantile(_sample(real, "real", ndim=1, finite=True), tails)
    if not np.isfinite([low, high]).all():
        raise ValueError(f"coverage: got {coverage}, expected one at which the quantiles of real are finite")
    edges = np.linspace(low, high, bins + 1)
    if not (np.diff(edges) > 0).all():
        raise ValueError(f"real: got quantiles {low:g} and {high:g}, expected room for {bins} bins")
    return edges


def bin_counts(sample: ArrayLike, edges: ArrayLike) -> NDArray[np.int64]:
    """Values in each bin, the open tails first and last: [..., n] -> [..., bins + 2].

    A bin is left < x <= right, as a difference of `cdf` is; infinite values fall into the tails.
    ValueError: NaN; no values; edges that do not increase.
    """
    sample, edges = _sample(sample, "sample", at_least=1), _edges(edges)
    # Sort, then look the edges up: 7 ms for 64 x 10,000 values; looking each value up among the edges: 22 ms.
    below = _per_row(lambda row: np.searchsorted(np.sort(row), edges, side="right"), sample)
    return np.diff(below, axis=-1, prepend=0, append=sample.shape[-1])


def bin_masses(real: Distribution | ArrayLike, edges: ArrayLike) -> Array:
    """Probability of each bin, tails included -> [bins + 2]: exact from a cdf, or a sample's frequencies.

    Exact to 1e-16 absolute: bins more than 8 standard deviations above a normal's mean get 0.
    ValueError: as `bin_counts`.
    """
    if isinstance(real, Distribution):
        return np.diff(real.cdf(_edges(edges)), prepend=0.0, append=1.0)
    counts = bin_counts(real, edges)
    return counts / counts.sum(axis=-1, keepdims=True)


def kl_divergence(p: ArrayLike, q: ArrayLike, axis: int = -1) -> Array:
    """KL(p || q) = sum p ln(p / q) of masses along `axis`, nats; infinite where q = 0 < p.

    Both are normalised to sum 1 and other axes broadcast, as in `scipy.stats.entropy(p, q)`. Equal masses may
    give -1e-16: rounding is not clipped. Kullback and Leibler 1951.
    ValueError: lengths that differ; masses negative, not finite or all zero.
    """
    p, q = _mass_pair(p, q, axis)
    return rel_entr(p, q).sum(axis=axis)


def jensen_shannon(p: ArrayLike, q: ArrayLike, axis: int = -1) -> Array:
    """JSD = (KL(p || m) + KL(q || m)) / 2, m = (p + q) / 2, nats: 0 where equal, ln 2 where disjoint.

    SciPy's `jensenshannon` is its square root, and NaN for nearly equal masses, where rounding leaves a
    negative under the root. Lin 1991. ValueError: as `kl_divergence`.
    """
    p, q = _mass_pair(p, q, axis)
    return (kl_divergence(p, p + q, axis) + kl_divergence(q, p + q, axis)) / 2


def histogram_kl(
    real: Distribution | ArrayLike,
    fake: ArrayLike,
    edges: ArrayLike | None = None,
    smoothing: float = 0.5,  # 1/2 a bin: Krichevsky and Trofimov 1981
    reverse: bool = False,
    correct_bias: bool = False,
) -> Array:
    """KL(real || fake), or KL(fake || real) if `reverse`, over shared bins, nats: fake [..., n] -> [...].

    `edges` default to `histogram_edges(real)`. At smoothing 0 an empty bin makes KL(real || fake) infinite.
    `correct_bias` subtracts `kl_bias`: a perfect fake then scores about 0, and often less. Binning loses a
    little: N(0, 1) against N(1, 1) over 50 bins is .4982, not .5.
    ValueError: as `histogram_edges` and `bin_counts`; smoothing < 0; rows of fewer than 2 values.
    """
    edges = histogram_edges(real) if edges is None else _edges(edges)
    fake = _sample(fake, "fake")
    exact = isinstance(real, Distribution)
    real = real if exact else _sample(real, "real", ndim=1)
    real_bins = bin_masses(real, edges) if exact else bin_counts(real, edges)
    kl = _kl_of_bins(real_bins, bin_counts(fake, edges), smoothing, reverse, smooth_real=not exact)
    bias = kl_bias(edges.size + 1, fake.shape[-1], None if exact else real.size)
    return kl - bias if correct_bias else kl


def kl_bias(bins: int, n_fake: int, n_real: int | None = None) -> float:
    """First-order KL, nats, between histograms of one and the same distribution, in either direction.

    (m - 1) / (2 n) of a sample against exact masses, (m - 1) / 2 (1/n + 1/n') of two samples. `bins` m is the
    total, tails included. It holds where each bin expects several counts; `kl_floor` holds anywhere.
    Miller 1955. ValueError: an argument < 1.
    """
    _at_least(1, bins=bins, n_fake=n_fake, n_real=n_real)
    return (bins - 1) / 2 * (1 / n_fake + (1 / n_real if n_real is not None else 0))


def kl_floor(
    real_masses: ArrayLike,
    n: int,
    smoothing: float = 0.5,
    reverse: bool = False,
    draws: int = 1000,
    seed: int = 0,
    n_real: int | None = None,
) -> Floor:
    """The histogram KL, nats, of a perfect sampler at n samples: scores in its range are as good as perfect.

    `draws` multinomial fakes from `real_masses` [bins + 2] pass through the estimator of `histogram_kl`; with
    `n_real` the real side is drawn too, as a sample of that size.
    ValueError: n, n_real < 1; draws < 2; bad masses; an infinite KL, from smoothing 0 or a real mass of 0.
    """
    _at_least(1, n=n, n_real=n_real)
    _at_least(2, draws=draws)
    masses = _masses(real_masses, "real_masses", axis=-1)
    rng = np.random.default_rng(seed)
    fake = rng.multinomial(n, masses, size=draws)  # [draws, bins + 2]
    real = masses if n_real is None else rng.multinomial(n_real, masses, size=draws)
    kl = _kl_of_bins(real, fake, smoothing, reverse, smooth_real=n_real is not None)  # [draws]
    if not np.isfinite(kl).all():
        raise ValueError(f"smoothing: got {smoothing} and infinite KL, expected above 0, no real mass of 0")
    q10, q90 = np.quantile(kl, [0.1, 0.9])
    return Floor(float(kl.mean()), float(kl.std(ddof=1)), float(q10), float(q90))


def wasserstein_1(real: Distribution | ArrayLike, fake: ArrayLike) -> Array:
    """W1 = integral |F_real - F_fake| dx, in the unit of the data: fake [..., n] -> [...].

    A distribution stands as its quantiles ppf((i + 1/2) / n). Grows with a shift where a histogram KL
    saturates. Through `scipy.stats.wasserstein_distance`. ValueError: values not finite; fewer than 2.
    """
    fake = _sample(fake, "fake", finite=True)
    n, exact = fake.shape[-1], isinstance(real, Distribution)
    points = real.ppf((np.arange(n) + 0.5) / n) if exact else _sample(real, "real", ndim=1, finite=True)
    return _per_row(lambda row: stats.wasserstein_distance(points, row), fake)


def kolmogorov_smirnov(real: Distribution | ArrayLike, fake: ArrayLike) -> Array:
    """D = max |F_real - F_fake|, 0 to 1, without bins: fake [..., n] -> [...]. Through `scipy.stats.kstest`.

    Floor: .869 / sqrt(n) on average against a distribution (the mean of Kolmogorov's law), sqrt(2) times that
    against a sample of n. ValueError: NaN; fewer than 2 values.
    """
    against = real.cdf if isinstance(real, Distribution) else _sample(real, "real", ndim=1)
    return _per_row(lambda row: stats.kstest(row, against, method="asymp").statistic, _sample(fake, "fake"))


def plane_counts(points: ArrayLike, edges: tuple[ArrayLike, ArrayLike]) -> NDArray[np.int64]:
    """Points in each cell of a plane, open tails included: [..., n, 2] -> [..., (bins + 2)^2].

    `edges` of both coordinates, as of `histogram_edges`; a cell is left < x <= right in each.
    ValueError: NaN; not two coordinates; edges that do not increase.
    """
    points = _plane(points, "points")
    places = [np.searchsorted(_edges(e), points[..., k], side="left") for k, e in enumerate(edges)]  # [..., n] twice
    width = len(edges[1]) + 1
    cells = (len(edges[0]) + 1) * width
    return _per_row(lambda row: np.bincount(row.astype(int), minlength=cells), places[0] * width + places[1])


def plane_kl(real: ArrayLike, fake: ArrayLike, edges: tuple, smoothing: float = 0.5) -> Array:
    """`histogram_kl` in the plane: KL(real || fake) over shared cells, nats, real [m, 2], fake [..., n, 2] -> [...].

    Both sides are samples, smoothed alike. Structure finer than a cell is not seen: with PacGAN's ring and 20 bins a
    mode's deviation is a tenth of a cell: this number sees where fakes lie, `mode_coverage` how sharp they are.
    Its floor is `kl_floor` of the real frequencies with n_real = m. ValueError: as `plane_counts`; smoothing < 0.
    """
    counts = plane_counts(real, edges), plane_counts(fake, edges)
    return _kl_of_bins(*counts, smoothing, reverse=False, smooth_real=True)


def sliced_wasserstein(real: ArrayLike, fake: ArrayLike, directions: int = 32) -> Array:
    """Mean over directions u of W1(u real, u fake), in the unit of the data: real [m, 2], fake [..., n, 2] -> [...].

    `directions` are spread evenly over half a turn. A shift by s scores 2 |s| / pi. Rabin et al. 2012; Bonneel et al.
    2015. ValueError: not two coordinates, not finite, fewer than 2 points; directions < 1.
    """
    _at_least(1, directions=directions)
    real, fake = _plane(real, "real"), _plane(fake, "fake")
    angles = np.pi * np.arange(directions) / directions
    turned = [points @ np.stack([np.cos(angles), np.sin(angles)]) for points in (real, fake)]  # [..., n, directions]
    return np.mean([wasserstein_1(turned[0][:, k], turned[1][..., k]) for k in range(directions)], axis=0)


def knn_kl(real: ArrayLike, fake: ArrayLike, k: int = 5) -> float:
    """KL(real || fake) = d/n sum_i ln(nu_i / rho_i) + ln(m / (n - 1)), nats, without bins; may fall below 0.

    real [n] or [n, d], fake [m] or [m, d]; rho_i and nu_i are the distances from real point i to its k-th
    neighbour among the other real and among the fake points. Wang, Kulkarni and Verdu 2009, IEEE TIT 55(5).
    ValueError: k outside 1 .. min(n - 1, m); a distance of 0 (k + 1 equal real points, or k fake ones upon a
    real one), where the formula has no value: no noise is added in secret, use `histogram_kl`.
    """
    real, fake = _points(real, "real"), _points(fake, "fake")
    (n, d), (m, d_fake) = real.shape, fake.shape
    if d != d_fake:
        raise ValueError(f"fake: got points of dimension {d_fake}, expected {d} as in real")
    if not 1 <= k <= min(n - 1, m):
        raise ValueError(f"k: got {k}, expected 1 to {min(n - 1, m)} for {n} real and {m} fake points")
    rho = cKDTree(real).query(real, [k + 1])[0]  # [n, 1]; + 1: the nearest is the point itself
    nu = cKDTree(fake).query(real, [k])[0]  # [n, 1]
    if not (rho.all() and nu.all()):
        raise ValueError(f"k: got {k} and repeated points at distance 0, expected k above their multiplicity")
    return float(d * np.mean(np.log(nu) - np.log(rho)) + np.log(m / (n - 1)))


def normal_kl(mean_p: ArrayLike, std_p: ArrayLike, mean_q: ArrayLike, std_q: ArrayLike) -> Array:
    """KL(N(m_p, s_p) || N(m_q, s_q)) = ln(s_q / s_p) + (s_p^2 + (m_p - m_q)^2) / (2 s_q^2) - 1/2, nats.

    Arrays broadcast. ValueError: a standard deviation of 0 or less.
    """
    for name, std in {"std_p": std_p, "std_q": std_q}.items():
        if not (np.asarray(std) > 0).all():
            raise ValueError(f"{name}: got {std}, expected above 0")
    ratio, shift = np.divide(std_p, std_q), np.subtract(mean_p, mean_q) / np.asarray(std_q)
    return -np.log(ratio) + (ratio**2 + shift**2 - 1) / 2


def optimal_discriminator(p: ArrayLike, q: ArrayLike) -> Array:
    """D* = p / (p + q) for densities or masses p real and q fake, which broadcast; NaN where both are 0.

    1/2 where they agree. Goodfellow et al. 2014, proposition 1. ValueError: a negative or NaN density.
    """
    p, q = np.broadcast_arrays(np.asarray(p, np.float64), np.asarray(q, np.float64))
    if not ((p >= 0).all() and (q >= 0).all()):
        raise ValueError("p, q: got a negative or NaN density, expected 0 or more")
    return np.divide(p, p + q, out=np.full(p.shape, np.nan), where=p + q > 0)[()]


def game_value(jsd: ArrayLike) -> Array:
    """V(D*, G) = E ln D*(x) + E ln(1 - D*(G(z))) = -ln 4 + 2 JSD, nats: -ln 4 where equal, 0 where disjoint.

    Goodfellow et al. 2014, theorem 1. The loss of D* is -V: 1.386 at the equilibrium.
    """
    return 2 * np.asarray(jsd, np.float64) - np.log(4)


def label_kl(
    real_labels: ArrayLike, fake_labels: ArrayLike, classes: int = 10, smoothing: float = 0.5, reverse: bool = False
) -> float:
    """KL(real || fake), or KL(fake || real) if `reverse`, of the classes a judge sees, nats; labels 0 .. classes - 1.

    The real law is the frequencies of `real_labels` [n] as exact masses, for it is not quite uniform (MNIST: KL
    .0014); smoothing is added to fake counts [m] alone. Reverse is infinite if real lacks a class. One class of 10
    left: about ln 10 reverse. Floor: `kl_floor(np.bincount(real_labels), m)`, (classes - 1) / (2 m) to first order
    (.00045 at 10,000). ValueError: labels not whole numbers in range, or none; classes < 2; smoothing < 0.
    """
    _at_least(2, classes=classes)
    real = _label_counts(real_labels, "real_labels", classes)
    fake = _label_counts(fake_labels, "fake_labels", classes)
    return float(_kl_of_bins(real, fake, smoothing, reverse, smooth_real=False))


def pixel_kl(
    real_images: ArrayLike, fake_images: ArrayLike, bins: int = 32, smoothing: float = 0.5, reverse: bool = False
) -> float:
    """KL(real || fake), or KL(fake || real) if `reverse`, of pixel brightness over all pixels in [0, 1], nats.

    A pixel counts as the nearest of 256 grey levels, as in the saved image, and a bin is 256 / bins whole levels:
    k/255 never lies on an edge, and the .0004 where a sigmoid or tanh means black is black. Blur and grey
    backgrounds show; where a pixel stands does not. Pixels of an image depend on each other, so `kl_floor` is far
    too low: the floor is pixel_kl(real_a, real_b) of other real images.
    ValueError: pixels outside [0, 1]; bins that do not divide 256; smoothing < 0.
    """
    if bins < 2 or 256 % bins:
        raise ValueError(f"bins: got {bins}, expected a divisor of 256 from 2 on: whole grey levels in each bin")
    real, fake = _grey_counts(real_images, "real_images", bins), _grey_counts(fake_images, "fake_images", bins)
    return float(_kl_of_bins(real, fake, smoothing, reverse, smooth_real=True))


def confident_share(probabilities: ArrayLike, at_least: float = 0.9) -> float:
    """Share of samples of which the judge's largest class probability [n, classes] is `at_least` or more, 0 to 1.

    Says how many samples look like some digit, not which or how many different ones; real test images give its
    ceiling. ValueError: rows that are not probabilities (logits, say); at_least outside (0, 1].
    """
    if not 0 < at_least <= 1:
        raise ValueError(f"at_least: got {at_least}, expected a number in (0, 1]")
    p = _numbers(probabilities, "probabilities")
    if p.ndim != 2 or not p.size or not (p >= 0).all() or not (np.abs(p.sum(axis=1) - 1) < 1e-3).all():
        raise ValueError(f"probabilities: got shape {p.shape}, expected [n, classes] of 0 or more, rows of sum 1")
    return float((p.max(axis=1) >= at_least).mean())


def gaussian_moments(features: ArrayLike) -> tuple[Array, Array]:
    """Mean [d] and covariance [d, d], with n - 1, of features [n, ...]. ValueError: not finite; n < 2."""
    features = _flat(features, "features", at_least=2)
    return features.mean(axis=0), np.atleast_2d(np.cov(features, rowvar=False))


def frechet_digit_distance(real_features: ArrayLike, fake_features: ArrayLike) -> float:
    """|m - m'|^2 + tr(C + C' - 2 (C^1/2 C' C^1/2)^1/2) of normals fitted to features [n, ...] and [n', ...].

    The squared 2-Wasserstein distance of these normals, in the features' unit squared. On a digit classifier's
    features it is no FID, and no paper's number compares with it. Few samples make it larger: give real and fake
    as many, and its floor too. Covariances may be singular; equal features may give -1e-7 tr C. Dowson and Landau
    1982; Heusel et al. 2017. ValueError: fewer than 2 rows; not finite; dimensions that differ.
    """
    real, fake = _flat_pair(real_features, fake_features, "real_features", "fake_features", at_least=2)
    (mean, cov), (fake_mean, fake_cov) = gaussian_moments(real), gaussian_moments(fake)
    values, vectors = np.linalg.eigh(cov)
    root = vectors * np.sqrt(np.clip(values, 0, None))  # root root' = C, clipped: rounding leaves some at -1e-16
    eigenvalues = np.linalg.eigvalsh(root.T @ fake_cov @ root)  # those of C^1/2 C' C^1/2
    cross = np.sqrt(np.clip(eigenvalues, 0, None)).sum()
    return float(np.sum((mean - fake_mean) ** 2) + np.trace(cov) + np.trace(fake_cov) - 2 * cross)


def nearest_neighbours(samples: ArrayLike, among: ArrayLike, k: int = 1) -> tuple[Array, NDArray[np.int64]]:
    """The k nearest of `among` [m, ...] to each sample [n, ...]: Euclidean distances [n, k], ascending, and indices.

    In the data's unit. A memorised picture is at 0 exactly; a sample that is itself one of `among` finds itself, or
    its equal, first. ValueError: k outside 1 .. m; not finite; dimensions that differ.
    """
    samples, among = _flat_pair(samples, among, "samples", "among")
    _up_to(len(among), k)
    nearest = np.empty((len(samples), k), np.int64)
    squared = np.empty((len(samples), k))
    for rows, block in _squared_distances(samples, among):
        few = np.argpartition(block, k - 1, axis=1)[:, :k]  # the k nearest, in no order
        few = np.take_along_axis(few, np.take_along_axis(block, few, 1).argsort(axis=1), 1)
        nearest[rows], squared[rows] = few, np.take_along_axis(block, few, 1)
    return np.sqrt(squared), nearest


def precision_recall(real_features: ArrayLike, fake_features: ArrayLike, k: int = 3) -> tuple[float, float]:
    """Precision: share of fakes within the real manifold; recall: share of reals within the fake one; both 0 to 1.

    The manifold of a set is the union of balls around its points, each out to the k-th neighbour, itself not
    counted. Blur and noise lower precision, missing modes lower recall; swapping the sets swaps the two. The
    ceiling, real against real, is below 1. 4 s for 10,000 x 10,000 in 128 dimensions. Kynkaanniemi et al. 2019.
    ValueError: k outside 1 .. n - 1 of the smaller set; not finite; dimensions that differ.
    """
    real, fake = _flat_pair(real_features, fake_features, "real_features", "fake_features", at_least=2)
    _up_to(min(len(real), len(fake)) - 1, k)
    real_radii, fake_radii = (nearest_neighbours(x, x, k + 1)[0][:, -1] for x in (real, fake))  # + 1: itself
    real_within, fake_within = np.zeros(len(real), bool), np.zeros(len(fake), bool)
    for rows, block in _squared_distances(real, fake):
        distances = np.sqrt(block)  # [rows, n']
        real_within[rows] = (distances <= fake_radii).any(axis=1)
        fake_within |= (distances <= real_radii[rows, None]).any(axis=0)
    return float(fake_within.mean()), float(real_within.mean())


def parzen_log_likelihood(samples: ArrayLike, test: ArrayLike, sigma: ArrayLike) -> Array:
    """ln 1/n sum_i N(x; s_i, sigma^2 I) of each test image x [m, ...] under samples s [n, ...] -> [m], nats.

    = logsumexp_i(-|x - s_i|^2 / (2 sigma^2)) - ln n - d/2 ln(2 pi sigma^2). Several sigma [k] -> [k, m], for the
    price of one set of distances. ValueError: sigma not above 0; not finite; dimensions that differ.
    """
    samples, test = _flat_pair(samples, test, "samples", "test")
    sigma = _numbers(sigma, "sigma")
    if sigma.ndim > 1 or not sigma.size or not ((sigma > 0) & (sigma < np.inf)).all():
        raise ValueError(f"sigma: got {sigma}, expected numbers above 0")
    n, d = samples.shape
    variances = np.atleast_1d(sigma) ** 2
    kernels = np.empty((variances.size, len(test)))  # ln sum_i exp(-|x - s_i|^2 / (2 sigma^2))
    for rows, block in _squared_distances(test, samples):
        nearest = block.min(axis=1, keepdims=True)
        block -= nearest  # so that the largest term is 1
        for kernel, variance in zip(kernels, variances, strict=True):
            # e^-80 of the largest term is lost in float64 anyhow, and exp is four times slower where it underflows
            terms = np.exp(np.maximum(block / (-2 * variance), -80))
            kernel[rows] = np.log(terms.sum(axis=1)) - nearest[:, 0] / (2 * variance)
    likelihoods = kernels - np.log(n) - d / 2 * np.log(2 * np.pi * variances[:, None])
    return likelihoods.reshape(*sigma.shape, len(test))


def parzen_window(
    samples: ArrayLike, validation: ArrayLike, test: ArrayLike, sigmas: ArrayLike = PARZEN_SIGMAS
) -> Parzen:
    """Mean log-likelihood of `test`, nats, at the sigma that suits `validation` best; all of them [n, ...].

    The founding paper's table (Goodfellow et al. 2014, MNIST 225 +- 2): 10,000 samples with pixels in [0, 1], the
    first 1000 validation images, all test images, 5 s. 10,000 real training images reach 241 to 243.5, by which they
    are: more than the standard error of the test images says. Theis et al. 2016 advise against ranking models by it.
    ValueError: as `parzen_log_likelihood`; fewer than 2 test images.
    """
    test = _flat(test, "test", at_least=2)
    sigmas = np.atleast_1d(_numbers(sigmas, "sigmas"))
    sigma = sigmas[parzen_log_likelihood(samples, validation, sigmas).mean(axis=1).argmax()]
    scores = parzen_log_likelihood(samples, test, sigma)
    return Parzen(float(scores.mean()), float(scores.std(ddof=1) / np.sqrt(scores.size)), float(sigma))


def mode_coverage(samples: ArrayLike, centres: ArrayLike, std: float, within: float = 3.0) -> ModeCoverage:
    """Which of k equal modes [k, d] a sample [n, d] reaches: PacGAN's protocol (Lin et al. 2018, section 4.1).

    A sample is of high quality closer than `within` standard deviations to its nearest centre: of a perfect sampler
    in two dimensions 1 - exp(-within^2 / 2) = 98.889% are, and clearly more means modes narrower than the data's. A
    mode counts from one such sample on. Reverse KL = KL(counts of high quality || uniform) = sum p ln(k p), without
    smoothing: ln(k/j) for j of k modes in equal parts, about (k - 1) / (2 n) for a perfect sampler, infinite if no
    sample is of high quality. ValueError: not finite; dimensions that differ; std or within not above 0.
    """
    samples, centres = _flat_pair(samples, centres, "samples", "centres")
    for name, value in (("std", std), ("within", within)):
        if not 0 < value < np.inf:
            raise ValueError(f"{name}: got {value}, expected a number above 0")
    distance, nearest = cKDTree(centres).query(samples)
    good = distance < within * std
    counts = np.bincount(nearest[good], minlength=len(centres))
    return ModeCoverage(int((counts > 0).sum()), float(good.mean()), uniform_kl(counts))


def uniform_kl(counts: ArrayLike) -> float:
    """KL(counts || uniform) = sum p ln(k p) of the counts of k modes, nats, without smoothing.

    ln(k/j) for j of k modes in equal parts, infinite if nothing was counted. The floor of n samples is
    `kl_floor(np.ones(k), n, smoothing=0, reverse=True)`, about (k - 1) / (2 n) where n is many times k, and larger
    counts of samples have lower ones: .573 of 1000 modes at 1000 samples, .0194 at 26,000. Lin et al. 2018, section
    4.1. ValueError: counts negative, not finite or not [k].
    """
    counts = _numbers(counts, "counts")
    if counts.ndim != 1 or not counts.size or not np.isfinite(counts).all() or (counts < 0).any():
        raise ValueError(f"counts: got shape {counts.shape}, expected [k] finite numbers of 0 or more")
    return float(rel_entr(counts / counts.sum(), 1 / counts.size).sum()) if counts.any() else np.inf


def tuple_counts(labels: ArrayLike, classes: int = 10) -> NDArray[np.int64]:
    """How often each tuple of labels [n, d] occurs -> [classes^d]; tuple (a, b, c) at classes^2 a + classes b + c.

    Stacked MNIST: a judge reads the digit of each of 3 channels, and 10^3 triples are the modes (Metz et al. 2017). A
    mode counts from one sample on: `np.count_nonzero`, and `uniform_kl` of the counts says how evenly they came.
    ValueError: labels not whole numbers in range, none, or not [n, d]; classes < 2.
    """
    _at_least(2, classes=classes)
    labels = np.asarray(labels)
    if labels.ndim != 2 or not labels.size:
        raise ValueError(f"labels: got shape {labels.shape}, expected [n, d] with n, d >= 1")
    _label_counts(labels.ravel(), "labels", classes)  # whole numbers in range
    modes = labels.astype(np.int64) @ classes ** np.arange(labels.shape[1])[::-1]
    return np.bincount(modes, minlength=classes ** labels.shape[1])


def expected_modes(modes: int, n: int) -> float:
    """How many of k equal modes n independent samples reach on average: k (1 - (1 - 1/k)^n).

    Of 1000 modes 632.3 at 1000 samples, 993.3 at 5000, 1000.0 at 26,000. ValueError: an argument < 1.
    """
    _at_least(1, modes=modes, n=n)
    return modes * (1 - (1 - 1 / modes) ** n)


def summary(values: ArrayLike) -> dict[str, float | int | list | None]:
    """One metric over seeds [S] -> median, q10, q90, failed, per_seed: plain Python numbers, ready for JSON.

    A NaN or infinite seed keeps its place in `per_seed` as None (null in JSON) and counts in `failed`; the
    quantiles are of the other seeds, None if there are none. ValueError: no seeds, or more than one axis.
    """
    values = np.asarray(values, np.float64)
    if values.ndim != 1 or not values.size:
        raise ValueError(f"values: got shape {values.shape}, expected [S] with at least one seed")
    finite = values[np.isfinite(values)]
    q10, median, q90 = np.quantile(finite, [0.1, 0.5, 0.9]).tolist() if finite.size else (None, None, None)
    per_seed = [value if np.isfinite(value) else None for value in values.tolist()]
    return {
        "median": median,
        "q10": q10,
        "q90": q90,
        "failed": values.size - finite.size,
        "per_seed": per_seed,
    }


def _kl_of_bins(real: Array, fake: Array, smoothing: float, reverse: bool, smooth_real: bool) -> Array:
    """The estimator, on counts of fake [..., m] and on counts or exact masses of real [..., m]."""
    if not 0 <= smoothing < np.inf:
        raise ValueError(f"smoothing: got {smoothing}, expected 0 or more")
    real, fake = (real + smoothing if smooth_real else real), fake + smoothing
    return kl_divergence(fake, real) if reverse else kl_divergence(real, fake)


def _squared_distances(a: Array, b: Array) -> Iterator[tuple[slice, Array]]:
    """|a - b|^2 = |a|^2 + |b|^2 - 2 ab of [n, d] and [m, d], a block of rows at a time: rows, [rows, m].

    What is below the rounding error of that formula is 0: it would be -1e-14 or 1e-14 for equal points.
    """
    rounding = (a.shape[1] + 4) * np.finfo(np.float64).eps  # of dot products of d terms, relative to |a|^2 + |b|^2
    a_squares, b_squares = (np.einsum("nd,nd->n", x, x) for x in (a, b))
    height = max(1, _BLOCK // len(b))
    for start in range(0, len(a), height):
        rows = slice(start, start + height)
        squares = a_squares[rows, None] + b_squares
        block = squares - 2 * (a[rows] @ b.T)
        block[block <= rounding * squares] = 0
        yield rows, block


def _label_counts(labels: ArrayLike, name: str, classes: int) -> NDArray[np.int64]:
    labels = np.asarray(labels)
    if labels.ndim != 1 or not labels.size or not np.issubdtype(labels.dtype, np.integer):
        raise ValueError(f"{name}: got {labels.dtype} of shape {labels.shape}, expected whole numbers [n], n >= 1")
    if labels.min() < 0 or labels.max() >= classes:
        raise ValueError(f"{name}: got {labels.min()} to {labels.max()}, expected 0 to {classes - 1}")
    return np.bincount(labels, minlength=classes)


def _grey_counts(images: ArrayLike, name: str, bins: int) -> NDArray[np.int64]:
    pixels = _flat(images, name).ravel()
    if pixels.min() < 0 or pixels.max() > 1:
        raise ValueError(f"{name}: got pixels from {pixels.min():g} to {pixels.max():g}, expected 0 to 1")
    return np.bincount(np.rint(255 * pixels).astype(np.uint8) // (256 // bins), minlength=bins)


def _per_row(metric: Callable[[Array], ArrayLike], sample: Array) -> Array:
    return np.apply_along_axis(metric, -1, sample)[()]  # [()]: one row gives a number, not an array of no axes


def _at_least(least: int, **arguments: int | None) -> None:
    for name, value in arguments.items():
        if value is not None and not value >= least:
            raise ValueError(f"{name}: got {value}, expected {least} or more")


def _up_to(most: int, k: int) -> None:
    if not 1 <= k <= most:
        raise ValueError(f"k: got {k}, expected 1 to {most}")


def _numbers(values: ArrayLike, name: str) -> Array:
    try:
        return np.asarray(values, np.float64)
    except (TypeError, ValueError):
        raise ValueError(f"{name}: got {type(values).__name__}, expected an array of numbers") from None


def _sample(values: ArrayLike, name: str, ndim: int | None = None, at_least: int = 2, finite: bool = False) -> Array:
    """Float64 [..., n]. At least 2 values a row also stops data [S, n, 1], which are not S x n seeds."""
    values = _numbers(values, name)
    if values.ndim < 1 or values.shape[-1] < at_least or ndim not in (None, values.ndim):
        expected = "[n]" if ndim == 1 else "[..., n]"
        raise ValueError(f"{name}: got shape {values.shape}, expected {expected} with n >= {at_least}")
    if np.isnan(values).any() or (finite and np.isinf(values).any()):
        raise ValueError(f"{name}: got NaN or infinite values, expected {'finite ' if finite else ''}numbers")
    return values


def _points(values: ArrayLike, name: str) -> Array:
    values = np.asarray(values, np.float64)
    if values.ndim not in (1, 2) or not np.isfinite(values).all():
        raise ValueError(f"{name}: got shape {values.shape}, expected finite points [n] or [n, d]")
    return values[:, None] if values.ndim == 1 else values


def _plane(values: ArrayLike, name: str) -> Array:
    """Float64 [..., n, 2] without NaN."""
    values = _numbers(values, name)
    if values.ndim < 2 or values.shape[-1] != 2 or not values.size or np.isnan(values).any():
        raise ValueError(f"{name}: got shape {values.shape}, expected [..., n, 2] without NaN")
    return values


def _flat(values: ArrayLike, name: str, at_least: int = 1) -> Array:
    """Finite float64 [n, ...] -> [n, d]."""
    values = _numbers(values, name)
    if values.ndim < 1 or len(values) < at_least or not values.size:
        raise ValueError(f"{name}: got shape {values.shape}, expected [n, ...] with n >= {at_least}")
    if not np.isfinite(values).all():
        raise ValueError(f"{name}: got NaN or infinite values, expected finite numbers")
    return values.reshape(len(values), -1)


def _flat_pair(a: ArrayLike, b: ArrayLike, a_name: str, b_name: str, at_least: int = 1) -> tuple[Array, Array]:
    a, b = _flat(a, a_name, at_least), _flat(b, b_name, at_least)
    if a.shape[1] != b.shape[1]:
        raise ValueError(f"{b_name}: got {b.shape[1]} numbers a row, expected {a.shape[1]} as in {a_name}")
    return a, b


def _edges(edges: ArrayLike) -> Array:
    edges = np.asarray(edges, np.float64)
    if edges.ndim != 1 or edges.size < 2 or not np.isfinite(edges).all() or not (np.diff(edges) > 0).all():
        raise ValueError(f"edges: got shape {edges.shape}, expected [bins + 1] finite, increasing numbers")
    return edges


def _mass_pair(p: ArrayLike, q: ArrayLike, axis: int) -> tuple[Array, Array]:
    p, q = _masses(p, "p", axis), _masses(q, "q", axis)
    if p.shape[axis] != q.shape[axis]:
        raise ValueError(f"q: got {q.shape[axis]} masses, expected {p.shape[axis]} as in p")
    return p, q


def _masses(values: ArrayLike, name: str, axis: int) -> Array:
    """Float64, with sum 1 along `axis`."""
    values = np.asarray(values, np.float64)
    if not np.isfinite(values).all() or (values < 0).any() or not (values.sum(axis=axis) > 0).all():
        raise ValueError(f"{name}: got negative, non-finite or all-zero masses, expected 0 or more, and a sum > 0")
    return values / values.sum(axis=axis, keepdims=True)
