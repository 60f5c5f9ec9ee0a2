"""How far is the fake distribution from the real one? Metrics for numbers and for points in the plane.

Everything is NumPy and SciPy in float64, and every KL divergence is in nats. `real` is a sample [n] or a distribution
that is known exactly: any object with `.cdf` and `.ppf`, such as `scipy.stats.norm(4, 1.25)`. `fake` is a sample
[..., n], and the result keeps its leading axes (the seeds). Three rules keep a histogram KL honest:
- The bin edges come from the real distribution alone, and both sides share them. The first and the last bin are open
  (the tails), so that a shift or a collapse cannot hide behind a change of the axis.
- The smoothing is an argument. It is added to the counts of a sample and never to exact probabilities.
- No number comes without its floor, the mean score of a perfect sampler with the same number of samples: `kl_floor`
  where the distribution is known; `smoothed_scores` and `halves_floor` where only a sample of it is.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats
from scipy.spatial import cKDTree
from scipy.spatial.distance import pdist, squareform
from scipy.special import logsumexp, rel_entr

Array = NDArray[np.float64]  # or a single np.float64 where a docstring says [...] and there is one row
LN4 = float(np.log(4))  # D's loss where D(x) = 1/2 for every x: at the equilibrium of minimax and non_saturating
WIDTHS = np.geomspace(0.01, 1.6, 24)  # of kernels, as multiples of the width of Scott's rule
Counts = NDArray[Any]  # integers, or float64 where counts may be probabilities


@runtime_checkable
class Distribution(Protocol):
    """A distribution that is known exactly: its distribution function and its quantile function."""

    def cdf(self, x): ...
    def ppf(self, q): ...


class Floor(NamedTuple):
    """The scores of a perfect sampler: their mean, standard deviation, 10% and 90% quantile."""

    mean: float
    std: float
    q10: float
    q90: float


class ModeCoverage(NamedTuple):
    """How well samples cover equal modes; `mode_coverage` defines each number."""

    modes: int  # modes that at least one high-quality sample reaches
    high_quality: float  # share of the samples that are of high quality, 0 to 1
    reverse_kl: float  # KL of the counts of high-quality samples from equal counts, nats


# ------------------------------------------------------------------------------------ histograms and divergences


def histogram_edges(real: Distribution | ArrayLike, bins: int = 40, coverage: float = 0.9999) -> Array:
    """Edges [bins + 1] of equal bins between the (1 - coverage)/2 and the (1 + coverage)/2 quantile of `real`.

    In the unit of the data. ValueError: bins < 1; coverage outside (0, 1]; a sample that is constant, not finite or
    of size 1; a distribution whose quantile is infinite (a normal distribution at coverage 1).
    """
    require_at_least(1, bins=bins)
    if not 0 < coverage <= 1:
        raise ValueError(f"coverage: got {coverage}, expected a number in (0, 1]")
    tails = np.array([(1 - coverage) / 2, (1 + coverage) / 2])
    if isinstance(real, Distribution):
        low, high = real.ppf(tails)
    else:
        low, high = np.quantile(_sample(real, "real", ndim=1, finite=True), tails)
    if not np.isfinite([low, high]).all():
        raise ValueError(f"coverage: got {coverage}, expected one at which the quantiles of real are finite")
    edges = np.linspace(low, high, bins + 1)
    if not (np.diff(edges) > 0).all():
        raise ValueError(f"real: got quantiles {low:g} and {high:g}, expected room for {bins} bins")
    return edges


def bin_counts(sample: ArrayLike, edges: ArrayLike) -> NDArray[np.int64]:
    """Number of values in each bin, with the open tails first and last: [..., n] -> [..., bins + 2].

    A bin is left < x <= right, like a difference of two values of a `cdf`. Infinite values fall into the tails.
    ValueError: NaN; no values; edges that do not increase.
    """
    sample, edges = _sample(sample, "sample", at_least=1), _edges(edges)
    # Sorting and then looking up the edges takes 7 ms for 64 x 10,000 values; looking up each value takes 22 ms.
    below = _per_row(lambda row: np.searchsorted(np.sort(row), edges, side="right"), sample)
    return np.diff(below, axis=-1, prepend=0, append=sample.shape[-1])


def bin_masses(real: Distribution | ArrayLike, edges: ArrayLike) -> Array:
    """Probability of each bin, tails included, [bins + 2]: exact from a cdf, or the frequencies of a sample.

    "Exact" means up to 1e-16: bins more than 8 standard deviations above the mean of a normal distribution get 0.
    ValueError: as `bin_counts`.
    """
    if isinstance(real, Distribution):
        return np.diff(real.cdf(_edges(edges)), prepend=0.0, append=1.0)
    counts = bin_counts(real, edges)
    return counts / counts.sum(axis=-1, keepdims=True)


def kl_divergence(p: ArrayLike, q: ArrayLike, axis: int = -1) -> Array:
    """KL(p || q) = sum p ln(p / q) of probabilities along `axis`, in nats; infinite where q = 0 < p.

    Both p and q are divided by their sum first, and their other axes broadcast, as in `scipy.stats.entropy(p, q)`.
    Equal p and q may give -1e-16, because rounding errors are not clipped. Kullback and Leibler 1951.
    ValueError: p and q of different lengths; values negative, not finite or all zero.
    """
    p, q = _mass_pair(p, q, axis)
    return rel_entr(p, q).sum(axis=axis)


def jensen_shannon(p: ArrayLike, q: ArrayLike, axis: int = -1) -> Array:
    """JSD = (KL(p || m) + KL(q || m)) / 2 with m = (p + q) / 2, in nats: 0 if p = q, ln 2 if they are disjoint.

    `scipy.spatial.distance.jensenshannon` is the square root of this number. SciPy's is NaN for nearly equal p and q,
    where rounding leaves a negative number under the root. Lin 1991. ValueError: as `kl_divergence`.
    """
    p, q = _mass_pair(p, q, axis)
    return (kl_divergence(p, p + q, axis) + kl_divergence(q, p + q, axis)) / 2


def histogram_kl(
    real: Distribution | ArrayLike,
    fake: ArrayLike,
    edges: ArrayLike | None = None,
    smoothing: float = 0.5,  # 1/2 for each bin: Krichevsky and Trofimov 1981
    reverse: bool = False,
    correct_bias: bool = False,
) -> Array:
    """KL(real || fake), or KL(fake || real) if `reverse`, over shared bins, in nats: fake [..., n] -> [...].

    By default the edges are `histogram_edges(real)`. With smoothing 0 an empty bin makes KL(real || fake) infinite.
    `correct_bias` subtracts `kl_bias`: a perfect sampler then scores about 0, and often less than 0. Binning loses a
    little: N(0, 1) against N(1, 1) has .4984 in the default bins instead of .5.
    ValueError: as `histogram_edges` and `bin_counts`; smoothing < 0; rows of fewer than 2 values.
    """
    edges = histogram_edges(real) if edges is None else _edges(edges)
    fake = _sample(fake, "fake")
    sample = None if isinstance(real, Distribution) else _sample(real, "real", ndim=1)
    real_bins = bin_masses(real, edges) if sample is None else bin_counts(sample, edges)
    kl = kl_of_counts(real_bins, bin_counts(fake, edges), smoothing, reverse, smooth_real=sample is not None)
    bias = kl_bias(edges.size + 1, fake.shape[-1], None if sample is None else sample.size)
    return kl - bias if correct_bias else kl


def kl_bias(bins: int, n_fake: int, n_real: int | None = None) -> float:
    """The mean KL, in nats, between two histograms of one distribution, to first order in 1/n, in either direction.

    It is (m - 1) / (2 n) for a sample against exact probabilities, and (m - 1) / 2 (1/n + 1/n') for two samples of n
    and n' numbers; m is the number `bins` of all bins, tails included. It is accurate where each bin expects several
    counts; `kl_floor` is accurate everywhere. Miller 1955. ValueError: an argument < 1.
    """
    require_at_least(1, bins=bins, n_fake=n_fake, n_real=n_real)
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
    """The histogram KL, in nats, of a perfect sampler with n samples: its mean, and its 10% and 90% quantiles.

    One score between the quantiles cannot be told from a perfect sampler's.

    `draws` multinomial fakes are drawn from the probabilities `real_masses` [bins + 2] and pass through the estimator
    of `histogram_kl`. With `n_real` the real side is drawn as well, as a sample of that size.
    ValueError: n or n_real < 1; draws < 2; bad probabilities; an infinite KL (smoothing 0 or a probability of 0).
    """
    require_at_least(1, n=n, n_real=n_real)
    require_at_least(2, draws=draws)
    masses = _masses(real_masses, "real_masses", axis=-1)
    rng = np.random.default_rng(seed)
    fake = rng.multinomial(n, masses, size=draws)  # [draws, bins + 2]
    real = masses if n_real is None else rng.multinomial(n_real, masses, size=draws)
    kl = kl_of_counts(real, fake, smoothing, reverse, smooth_real=n_real is not None)  # [draws]
    if not np.isfinite(kl).all():
        raise ValueError(f"smoothing: got {smoothing} and infinite KL, expected above 0, and no real mass of 0")
    return floor_of(kl)


def floor_of(scores: ArrayLike) -> Floor:
    """Mean, standard deviation, 10% and 90% quantile of the scores [draws] of perfect samplers, two or more."""
    scores = _sample(scores, "scores", ndim=1, finite=True)
    q10, q90 = np.quantile(scores, [0.1, 0.9])
    return Floor(float(scores.mean()), float(scores.std(ddof=1)), float(q10), float(q90))


def kl_of_counts(real: Counts, fake: Counts, smoothing: float, reverse: bool, smooth_real: bool) -> Array:
    """The estimator behind every KL of counts, in nats: KL(real || fake), or KL(fake || real) if `reverse`.

    `fake` holds counts [..., m], `real` counts or exact probabilities [..., m]. The smoothing is added to each count
    of fake and, if `smooth_real`, to each count of real. ValueError: as `kl_divergence`; smoothing < 0.
    """
    if not 0 <= smoothing < np.inf:
        raise ValueError(f"smoothing: got {smoothing}, expected 0 or more")
    real, fake = (real + smoothing if smooth_real else real), fake + smoothing
    return kl_divergence(fake, real) if reverse else kl_divergence(real, fake)


# ----------------------------------------------------------------------------------------------- without bins


def wasserstein_1(real: Distribution | ArrayLike, fake: ArrayLike) -> Array:
    """W1 = integral |F_real - F_fake| dx, in the unit of the data: fake [..., n] -> [...].

    A distribution is represented by its quantiles ppf((i + 1/2) / n). W1 grows with a shift where a histogram KL
    saturates. It is the mean distance of the sorted samples where n divides the number of real ones; otherwise
    `scipy.stats.wasserstein_distance` computes it. ValueError: values not finite; fewer than 2.
    """
    fake = _sample(fake, "fake", finite=True)
    n = fake.shape[-1]
    if isinstance(real, Distribution):
        points = real.ppf((np.arange(n) + 0.5) / n)
    else:
        points = _sample(real, "real", ndim=1, finite=True)
    if len(points) % n == 0:  # repeat each fake, so that both sides have as many, and compare them in order
        return np.abs(np.sort(points) - np.sort(fake).repeat(len(points) // n, axis=-1)).mean(axis=-1)[()]
    return _per_row(lambda row: stats.wasserstein_distance(points, row), fake)


def kolmogorov_smirnov(real: Distribution | ArrayLike, fake: ArrayLike) -> Array:
    """D = max |F_real - F_fake|, 0 to 1: fake [..., n] -> [...]. Computed by `scipy.stats.kstest`.

    Its floor is .869 / sqrt(n) on average against a distribution (the mean of the Kolmogorov distribution), and
    sqrt(2) times as much against a sample of size n. ValueError: NaN; fewer than 2 values.
    """
    against = real.cdf if isinstance(real, Distribution) else _sample(real, "real", ndim=1)
    return _per_row(lambda row: stats.kstest(row, against, method="asymp").statistic, _sample(fake, "fake"))


def knn_kl(real: ArrayLike, fake: ArrayLike, k: int = 5) -> float:
    """KL(real || fake) = d/n sum_i ln(nu_i / rho_i) + ln(m / (n - 1)), in nats, without bins; it may be below 0.

    `real` is [n] or [n, d], `fake` [m] or [m, d]. rho_i and nu_i are the distances from the real point i to its k-th
    neighbour among the other real points and among the fake points. Wang, Kulkarni and Verdu 2009, IEEE TIT 55(5).
    ValueError: k outside 1 .. min(n - 1, m); a distance of 0 (k + 1 equal real points, or k fake points on a real
    one), for which the formula has no value. No noise is added to such points: use `histogram_kl` for them.
    """
    real, fake = _points(real, "real"), _points(fake, "fake")
    (n, d), (m, d_fake) = real.shape, fake.shape
    if d != d_fake:
        raise ValueError(f"fake: got points of dimension {d_fake}, expected {d} as in real")
    if not 1 <= k <= min(n - 1, m):
        raise ValueError(f"k: got {k}, expected 1 to {min(n - 1, m)} for {n} real and {m} fake points")
    rho = cKDTree(real).query(real, [k + 1])[0]  # [n, 1]; k + 1, because the nearest point is the point itself
    nu = cKDTree(fake).query(real, [k])[0]  # [n, 1]
    if not (rho.all() and nu.all()):
        raise ValueError(f"k: got {k} and repeated points at distance 0, expected k above their multiplicity")
    return float(d * np.mean(np.log(nu) - np.log(rho)) + np.log(m / (n - 1)))


def lost_mass(real: Distribution | ArrayLike, fake: ArrayLike, least: float = 0.1) -> Array:
    """Share of the real mass that lies where the fakes have less than a tenth of it: fake [..., n] -> [...], 0 to 1.

    The line is cut at quantiles of `real` into k parts of equal mass p_i = 1/k. The p_i of those parts are added
    where the share of the fakes is q_i < least p_i. So a mode without fakes counts with its mass, however widely the
    other fakes spread. k is 50, or less so that a part holds 40 fakes and 10 real values: a perfect sampler then
    scores 0, except in about one run of a thousand if a part has just these 40 and 10. Equal real values are not cut
    apart. It notices no mode of less than 1/k, and calls it lost mass, too, if fakes are so narrow that the outer
    parts are empty: about .03 for N(0, .7) against N(0, 1), .16 for N(0, .5). It is 0 for fewer than 30 real values
    or 120 fakes, which are too few to tell. ValueError: NaN; fewer than 2 values; least outside (0, 1].
    """
    if not 0 < least <= 1:
        raise ValueError(f"least: got {least}, expected a number in (0, 1]")
    fake = _sample(fake, "fake")
    parts = min(50, fake.shape[-1] // 40)
    if isinstance(real, Distribution):
        cuts = real.ppf(np.arange(1, parts) / max(1, parts))
    else:
        sample = _sample(real, "real", ndim=1, finite=True)
        parts = min(parts, len(sample) // 10)
        cuts = np.quantile(sample, np.arange(1, parts) / max(1, parts), method="inverted_cdf")
    cuts = np.unique(cuts)
    if cuts.size < 2:  # too few values, or nearly all are equal
        return np.zeros(fake.shape[:-1])[()]
    p, q = bin_masses(real, cuts), bin_counts(fake, cuts) / fake.shape[-1]
    missing = (q < least * p) & (p > 0.5 / parts)  # equal values may leave a part too small to judge
    return np.where(missing, p, 0.0).sum(axis=-1)[()]


# -------------------------------------------------------- floors of a distribution of which we have a sample alone


def smoothed_scores(
    metric: Callable[[Array, Array], Any], sample: ArrayLike, n_real: int, n: int, draws: int = 100, seed: int = 0
) -> Array:
    """Scores [draws, ...] of perfect samplers: metric(n_real real rows, n fakes), of a sample's distribution.

    Nobody knows the distribution of a sample [N] or [N, d]; `smoothed_bootstrap` estimates it, and both sides are
    drawn from this estimate, independently. `metric` may give several numbers. Use this for distances that do not
    shrink in a simple way with the sizes, such as a histogram KL whose edges come from its real side, and
    `halves_floor` for others. If N = 2 n_real, the mean lies within 10% of the truth for normal, exponential and
    Gumbel numbers and n_real from 50 to 10,000 (benchmarks/quality_floors.py). There are fewer draws, down to 20, if
    their real sides have more than 10 million rows together. A draw for which the metric raises ValueError, as a
    histogram does for equal numbers, is left out. ValueError: n_real, n or draws < 1; values not finite; fewer than 2
    rows; a metric that raises it for every draw.
    """
    require_at_least(1, n_real=n_real, n=n, draws=draws)
    draw = smoothed_bootstrap(sample, np.random.default_rng(seed))
    scores: list[Any] = []
    objection = None
    for _ in range(min(draws, max(20, 10_000_000 // n_real))):
        try:
            scores.append(metric(draw(n_real), draw(n)))
        except ValueError as error:
            objection = error
    if not scores:
        raise ValueError(f"sample: no draw from it can be measured: {objection}")
    return np.array(scores, np.float64)


def halves_floor(
    metric: Callable[[Array, Array], Any], sample: ArrayLike, n_real: int, n: int, splits: int = 50, seed: int = 0
) -> float:
    """The mean of metric(n_real real rows, n fakes of a perfect sampler), from one sample [N] or [N, d].

    The sample is split into two random halves of k = N // 2 rows, at most 20,000, again and again. Each time they are
    two independent samples. Distances between empirical distribution functions, as Wasserstein-1 (sliced, too) and
    Kolmogorov-Smirnov, shrink like the root of 1/n_real + 1/n, and so the mean over the splits is multiplied by
    sqrt((1/n_real + 1/n) / (2/k)). It lies within 7% of the truth on average for n_real from 50 to 10,000
    (benchmarks/quality_floors.py). Resampling the real side itself would score too low, because it repeats the same
    values.
    ValueError: n_real, n or splits < 1; values not finite; fewer than 4 rows.
    """
    require_at_least(1, n_real=n_real, n=n, splits=splits)
    sample, rng = _rows(sample, at_least=4), np.random.default_rng(seed)
    k = min(len(sample) // 2, 20_000)
    orders = (rng.permutation(len(sample)) for _ in range(splits))
    scores = [metric(sample[order[:k]], sample[order[k : 2 * k]]) for order in orders]
    return float(np.mean(scores) * np.sqrt((1 / n_real + 1 / n) / (2 / k)))


def smoothed_bootstrap(sample: ArrayLike, rng: np.random.Generator) -> Callable[[int], Array]:
    """n -> n draws from an estimate of the distribution behind a sample [N] or [N, d] (Silverman and Young 1987).

    For numbers it joins the sample's quantiles by straight lines: each gap between two neighbours has the same
    probability, and numbers that occur often keep their weight. In the plane each draw is a random point of the
    sample with normal noise, whose widths `cross_validated_width` chooses. Plain draws with replacement would repeat
    what is there and leave empty every bin that is empty; the KL floor of 50 numbers would be twice the truth.
    ValueError: values not finite; fewer than 2 rows.
    """
    sample = _rows(sample, at_least=2)
    if sample.ndim == 1:
        ordered, steps = np.sort(sample), np.linspace(0, 1, len(sample))
        return lambda n: np.interp(rng.random(n), steps, ordered)
    widths = cross_validated_width(sample)
    return lambda n: rng.choice(sample, n) + widths * rng.standard_normal((n, sample.shape[1]))


def cross_validated_width(points: ArrayLike) -> Array:
    """Standard deviations [d] of the normal noise of a kernel density estimate of points [N, d].

    They are r times Scott's, N^(-1/(d+4)) standard deviations of the columns (Scott 1992), and r, one of WIDTHS,
    makes the mean of ln f_-i(x_i) largest, where f_-i is the estimate without point i (leave-one-out likelihood;
    Habbema, Hermans and van den Broek 1974). r is chosen on the first 1000 points, whose order has to be random.
    ValueError: values not finite, not [N, d], fewer than 2 points.
    """
    points = _rows(points, at_least=2)
    if points.ndim != 2:
        raise ValueError(f"points: got shape {points.shape}, expected [N, d]")
    (n, d), spread = points.shape, points.std(axis=0, ddof=1)
    some = (points / np.where(spread > 0, spread, 1))[:1000]
    squares = squareform(pdist(some, "sqeuclidean"))
    np.fill_diagonal(squares, np.inf)  # a point says nothing of its own density

    def likelihood(width: float) -> float:
        return np.mean(logsumexp(-squares / (2 * width**2), axis=1)) - d * np.log(width)

    scores = [likelihood(r * len(some) ** (-1 / (d + 4))) for r in WIDTHS]
    return WIDTHS[np.argmax(scores)] * n ** (-1 / (d + 4)) * spread


def kernel_width(sample: ArrayLike, cells: int = 4096) -> float:
    """Standard deviation of the normal noise of a kernel density estimate of numbers [n], in their unit.

    It is the best of WIDTHS times that of Scott's rule, n^(-1/5) standard deviations, by the likelihood of
    `cross_validated_width` on the first 10,000 numbers, whose order has to be random. They are counted in cells, and
    the counts are convolved with the kernel by a fast Fourier transform (Silverman 1982), which takes 4 ms; no width
    is below a cell. Where the density is as small as the rounding errors of the transform, that of the nearest other
    number is taken. If there is only one number, or each occurs twice or more (the likelihood then has no bound), the
    width is 0 and the estimate repeats the numbers. Normal noise suits neither sharp edges nor heavy tails: one far
    number makes the best width a large one. ValueError: values not finite, not [n]; no values.
    """
    sample = _sample(sample, "sample", ndim=1, at_least=1, finite=True)
    some = np.sort(sample[:10_000])
    gaps = np.append(np.inf, np.append(np.diff(some), np.inf))
    alone = np.minimum(gaps[1:], gaps[:-1])  # the distance to the nearest other number
    if len(some) == 1 or not alone.any():
        return 0.0
    reach = some[-1] - some[0]
    cell = reach / (cells - 1)
    place = np.rint((some - some[0]) / cell).astype(int)
    counts = np.bincount(place, minlength=cells)
    spectrum = np.fft.rfft(counts, 4 * cells)  # four times as long, so that the kernels at both ends do not meet
    frequency = 2 * np.pi * np.fft.rfftfreq(4 * cells)  # per cell
    scott = len(some) ** -0.2 * some.std(ddof=1) / cell

    def likelihood(width: float) -> float:  # in cells; without a constant
        peak = 1 / (np.sqrt(2 * np.pi) * width)
        sums = np.fft.irfft(spectrum * np.exp(-((frequency * width) ** 2) / 2))[:cells]  # of all kernels
        others = sums[place] - peak
        far = others < 1e-9 * peak
        logs = np.log(np.where(far, 1, others))
        logs[far] = np.log(peak) - (alone[far] / cell / width) ** 2 / 2
        return logs.mean()

    best = max(np.maximum(1, WIDTHS * scott), key=likelihood) / scott
    return float(best * len(sample) ** -0.2 * sample.std(ddof=1))


# ------------------------------------------------------------------------------------------ points in the plane


def plane_counts(points: ArrayLike, edges: tuple[ArrayLike, ArrayLike]) -> NDArray[np.int64]:
    """Number of points in each cell of the plane, open tails included: [..., n, 2] -> [..., (bins + 2)^2].

    `edges` holds those of the first and those of the second coordinate. A cell is left < x <= right in both.
    ValueError: NaN; not two coordinates; edges that do not increase.
    """
    points = _plane(points, "points")
    x_edges, y_edges = (_edges(e) for e in edges)
    row = np.searchsorted(x_edges, points[..., 0], side="left")  # [..., n]
    column = np.searchsorted(y_edges, points[..., 1], side="left")
    width = len(y_edges) + 1
    cells = (len(x_edges) + 1) * width
    return _per_row(lambda cell: np.bincount(cell.astype(int), minlength=cells), row * width + column)


def plane_kl(real: ArrayLike, fake: ArrayLike, edges: tuple, smoothing: float = 0.5) -> Array:
    """KL(real || fake) over shared cells of the plane, in nats: real [m, 2], fake [..., n, 2] -> [...].

    Both sides are samples and smoothed alike. The KL shows where the fakes lie, but nothing finer than a cell: on
    PacGAN's ring with 20 bins the standard deviation of a mode is a tenth of a cell. `mode_coverage` shows how sharp
    the fakes are. The floor is `kl_floor` of the real frequencies with n_real = m.
    ValueError: as `plane_counts`; smoothing < 0.
    """
    real_counts, fake_counts = plane_counts(real, edges), plane_counts(fake, edges)
    return kl_of_counts(real_counts, fake_counts, smoothing, reverse=False, smooth_real=True)


def sliced_wasserstein(real: ArrayLike, fake: ArrayLike, directions: int = 32) -> Array:
    """Mean of W1(u real, u fake) over directions u, in the unit of the data: real [m, 2], fake [..., n, 2] -> [...].

    The `directions` are spread evenly over half a turn. A shift by s scores 2 |s| / pi. Rabin et al. 2012; Bonneel et
    al. 2015. ValueError: not two coordinates; values not finite; fewer than 2 points; directions < 1.
    """
    require_at_least(1, directions=directions)
    real, fake = _plane(real, "real"), _plane(fake, "fake")
    angles = np.pi * np.arange(directions) / directions
    turned = [points @ np.stack([np.cos(angles), np.sin(angles)]) for points in (real, fake)]  # [..., n, directions]
    return np.mean([wasserstein_1(turned[0][:, k], turned[1][..., k]) for k in range(directions)], axis=0)


# ------------------------------------------------------------------------------------------------------- modes


def mode_coverage(samples: ArrayLike, centres: ArrayLike, std: float, within: float = 3.0) -> ModeCoverage:
    """Which of k equal modes [k, d] samples [n, d] reach, by PacGAN's protocol (Lin et al. 2018, section 4.1).

    A sample is of high quality if it is closer than `within` standard deviations to its nearest centre. In two
    dimensions 1 - exp(-within^2 / 2) = 98.889% of a perfect sampler's samples are; if clearly more are, the modes are
    narrower than the data's. One high-quality sample is enough to reach a mode. The reverse KL is `uniform_kl` of the
    counts of high-quality samples: ln(k/j) for j of k modes in equal parts, about (k - 1) / (2 n) for a perfect
    sampler, and infinite if no sample is of high quality.
    ValueError: values that are not finite; different dimensions; std or within not above 0.
    """
    samples, centres = as_row_pair(samples, centres, "samples", "centres")
    for name, value in (("std", std), ("within", within)):
        if not 0 < value < np.inf:
            raise ValueError(f"{name}: got {value}, expected a number above 0")
    distance, nearest = cKDTree(centres).query(samples)
    good = distance < within * std
    counts = np.bincount(nearest[good], minlength=len(centres))
    return ModeCoverage(int((counts > 0).sum()), float(good.mean()), uniform_kl(counts))


def uniform_kl(counts: ArrayLike) -> float:
    """KL(counts || uniform) = sum p ln(k p) of the counts of k modes, in nats, without smoothing.

    It is ln(k/j) for j of k modes in equal parts, and infinite if nothing was counted. The floor of n samples is
    `kl_floor(np.ones(k), n, smoothing=0, reverse=True)`, about (k - 1) / (2 n) where n is many times k. More samples
    have a lower one: for 1000 modes it is .573 at 1000 samples and .0194 at 26,000. Lin et al. 2018, section 4.1.
    ValueError: counts that are negative, not finite or not [k].
    """
    counts = as_numbers(counts, "counts")
    if counts.ndim != 1 or not counts.size or not np.isfinite(counts).all() or (counts < 0).any():
        raise ValueError(f"counts: got shape {counts.shape}, expected [k] finite numbers of 0 or more")
    return float(rel_entr(counts / counts.sum(), 1 / counts.size).sum()) if counts.any() else np.inf


def expected_modes(modes: int, n: int) -> float:
    """How many of k equal modes n independent samples reach on average: k (1 - (1 - 1/k)^n).

    Of 1000 modes these are 632.3 at 1000 samples, 993.3 at 5000 and 1000.0 at 26,000. ValueError: an argument < 1.
    """
    require_at_least(1, modes=modes, n=n)
    return modes * (1 - (1 - 1 / modes) ** n)


# ---------------------------------------------------------------------------------------- theory, and many seeds


def normal_kl(mean_p: ArrayLike, std_p: ArrayLike, mean_q: ArrayLike, std_q: ArrayLike) -> Array:
    """KL(N(m_p, s_p) || N(m_q, s_q)) = ln(s_q / s_p) + (s_p^2 + (m_p - m_q)^2) / (2 s_q^2) - 1/2, in nats.

    The arguments broadcast. ValueError: a standard deviation of 0 or less.
    """
    for name, std in (("std_p", np.asarray(std_p)), ("std_q", np.asarray(std_q))):
        if not (std > 0).all():
            raise ValueError(f"{name}: got {std}, expected above 0")
    ratio, shift = np.divide(std_p, std_q), np.subtract(mean_p, mean_q) / np.asarray(std_q)
    return -np.log(ratio) + (ratio**2 + shift**2 - 1) / 2


def optimal_discriminator(p: ArrayLike, q: ArrayLike) -> Array:
    """D* = p / (p + q) for real densities (or probabilities) p and fake ones q, which broadcast.

    1/2 where p = q, NaN where both are 0. Goodfellow et al. 2014, proposition 1. ValueError: p or q negative or NaN.
    """
    p, q = np.broadcast_arrays(np.asarray(p, np.float64), np.asarray(q, np.float64))
    if not ((p >= 0).all() and (q >= 0).all()):
        raise ValueError("p, q: got a negative or NaN density, expected 0 or more")
    return np.divide(p, p + q, out=np.full(p.shape, np.nan), where=p + q > 0)[()]


def game_value(jsd: ArrayLike) -> Array:
    """V(D*, G) = E ln D*(x) + E ln(1 - D*(G(z))) = -ln 4 + 2 JSD, in nats: -ln 4 if real = fake, 0 if disjoint.

    Goodfellow et al. 2014, theorem 1. The loss of D* is -V, which is 1.386 at the equilibrium.
    """
    return 2 * np.asarray(jsd, np.float64) - LN4


def summary(values: ArrayLike) -> dict[str, float | int | list | None]:
    """One metric over seeds [S] -> median, q10, q90, failed and per_seed: plain Python numbers, ready for JSON.

    A seed whose value is NaN or infinite keeps its place in `per_seed` as None (null in JSON) and counts in `failed`.
    The quantiles are those of the other seeds, or None if there are none. ValueError: no seeds; more than one axis.
    """
    values = np.asarray(values, np.float64)
    if values.ndim != 1 or not values.size:
        raise ValueError(f"values: got shape {values.shape}, expected [S] with at least one seed")
    finite = values[np.isfinite(values)]
    q10, median, q90 = np.quantile(finite, [0.1, 0.5, 0.9]).tolist() if finite.size else (None, None, None)
    per_seed = [value if np.isfinite(value) else None for value in values.tolist()]
    failed = values.size - finite.size
    return {"median": median, "q10": q10, "q90": q90, "failed": failed, "per_seed": per_seed}


# --------------------------------------------------------------- checks of arguments, some shared with image metrics


def require_at_least(least: int, **arguments: int | None) -> None:
    """ValueError if one of the named arguments is below `least`; None passes."""
    for name, value in arguments.items():
        if value is not None and not value >= least:
            raise ValueError(f"{name}: got {value}, expected {least} or more")


def as_numbers(values: ArrayLike, name: str) -> Array:
    """The values as float64; ValueError if they are not numbers."""
    try:
        return np.asarray(values, np.float64)
    except (TypeError, ValueError):
        raise ValueError(f"{name}: got {type(values).__name__}, expected an array of numbers") from None


def as_rows(values: ArrayLike, name: str, at_least: int = 1) -> Array:
    """Float64 [n, ...] -> [n, d]; ValueError if n < at_least or a value is not finite."""
    values = as_numbers(values, name)
    if values.ndim < 1 or len(values) < at_least or not values.size:
        raise ValueError(f"{name}: got shape {values.shape}, expected [n, ...] with n >= {at_least}")
    if not np.isfinite(values).all():
        raise ValueError(f"{name}: got NaN or infinite values, expected finite numbers")
    return values.reshape(len(values), -1)


def as_row_pair(a: ArrayLike, b: ArrayLike, a_name: str, b_name: str, at_least: int = 1) -> tuple[Array, Array]:
    """Both as `as_rows`; ValueError also if their rows differ in length."""
    a, b = as_rows(a, a_name, at_least), as_rows(b, b_name, at_least)
    if a.shape[1] != b.shape[1]:
        raise ValueError(f"{b_name}: got {b.shape[1]} numbers a row, expected {a.shape[1]} as in {a_name}")
    return a, b


def _per_row(metric: Callable[[Any], ArrayLike], sample: NDArray[Any]) -> NDArray[Any]:
    return np.apply_along_axis(metric, -1, sample)[()]  # [()]: one row gives a number, not an array of no axes


def _sample(values: ArrayLike, name: str, ndim: int | None = None, at_least: int = 2, finite: bool = False) -> Array:
    """Float64 [..., n]. Asking for 2 values in a row also refuses [S, n, 1], a likely mistake for [S, n]."""
    values = as_numbers(values, name)
    if values.ndim < 1 or values.shape[-1] < at_least or ndim not in (None, values.ndim):
        expected = "[n]" if ndim == 1 else "[..., n]"
        raise ValueError(f"{name}: got shape {values.shape}, expected {expected} with n >= {at_least}")
    if np.isnan(values).any() or (finite and np.isinf(values).any()):
        raise ValueError(f"{name}: got NaN or infinite values, expected {'finite ' if finite else ''}numbers")
    return values


def _points(values: ArrayLike, name: str) -> Array:
    """Finite float64 [n] or [n, d] -> [n, d]."""
    values = np.asarray(values, np.float64)
    if values.ndim not in (1, 2) or not np.isfinite(values).all():
        raise ValueError(f"{name}: got shape {values.shape}, expected finite points [n] or [n, d]")
    return values[:, None] if values.ndim == 1 else values


def _rows(sample: ArrayLike, at_least: int) -> Array:
    """Finite float64 [n] or [n, d] with n >= at_least."""
    sample = as_numbers(sample, "sample")
    if sample.ndim not in (1, 2) or len(sample) < at_least or not np.isfinite(sample).all():
        raise ValueError(f"sample: got shape {sample.shape}, expected {at_least} or more finite rows [n] or [n, d]")
    return sample


def _plane(values: ArrayLike, name: str) -> Array:
    """Float64 [..., n, 2] without NaN."""
    values = as_numbers(values, name)
    if values.ndim < 2 or values.shape[-1] != 2 or not values.size or np.isnan(values).any():
        raise ValueError(f"{name}: got shape {values.shape}, expected [..., n, 2] without NaN")
    return values


def _edges(edges: ArrayLike) -> Array:
    """Finite float64 [bins + 1] in increasing order."""
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
    """Float64 with sum 1 along `axis`."""
    values = np.asarray(values, np.float64)
    if not np.isfinite(values).all() or (values < 0).any() or not (values.sum(axis=axis) > 0).all():
        raise ValueError(f"{name}: got negative, non-finite or all-zero masses, expected 0 or more, and a sum > 0")
    return values / values.sum(axis=axis, keepdims=True)
