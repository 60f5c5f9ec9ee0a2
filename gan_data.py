"""Where samples come from: real distributions, data files, minibatches, latents.

Every random number is a function of (seed, stream, step). NumPy's generators can start anywhere: Philox at a
counter (Salmon et al. 2011), PCG64 by a jump ahead (O'Neill 2014), so any step's numbers can be had without those
before it. That is all a resumed run needs to equal an uninterrupted one, and no generator's state is ever saved.
"""

import itertools
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy import stats

import metrics

# Streams of one seed. A number, once used, keeps its meaning: changing it changes every published run.
REAL, WEIGHTS, ORDER, LATENT, MIX, EVALUATION, SPLIT = range(7)


# ---------------------------------------------------------------------------------------- random numbers


def generator(seed: int, stream: int, step: int = 0) -> np.random.Generator:
    """NumPy's generator at the start of `step`. Streams drawn from it at more than one step must not overlap."""
    return np.random.Generator(np.random.Philox(key=[seed, stream], counter=[0, step, 0, 0]))


def random_bits(seed: int, stream: int, start: int, count: int, size: int) -> np.ndarray:
    """Uniform 16-bit integers `[count, size]`; row i is a function of (seed, stream, start + i) alone."""
    words = -(-size // 4)  # of 64 bits
    source = np.random.PCG64DXSM([seed, stream]).advance(start * words)  # 2.6 ns a word, Philox 4.4
    return source.random_raw(count * words).view(np.uint16).reshape(count, -1)[:, :size]


def bits_for_seeds(seeds: Sequence[int], stream: int, start: int, count: int, shape: Sequence[int]) -> np.ndarray:
    """`random_bits` for each seed: uint16 `[count, S, *shape]`."""
    bits = np.empty((count, len(seeds), *shape), np.uint16)
    for k, seed in enumerate(seeds):
        bits[:, k] = random_bits(seed, stream, start, count, int(np.prod(shape))).reshape(count, *shape)
    return bits


def minibatches(data: np.ndarray, seeds: Sequence[int], start: int, count: int, batch: int) -> np.ndarray:
    """Shuffled minibatches of steps start .. start + count - 1.

    Every epoch has ceil(N / batch) steps and a new order of the N samples. Its last batch is filled up from the
    start of the same order, so that all batches have one size and one weight.

    Args:
        data: `[S, N]`, a row of training samples per seed.
    Returns:
        `[count, S, 1, batch]`, of the dtype of `data`.
    """
    n = data.shape[-1]
    per_epoch = -(-n // batch)
    first, last = start // per_epoch, -(-(start + count) // per_epoch)
    columns = np.arange(per_epoch * batch) % n
    batches = np.empty((count, len(seeds), 1, batch), data.dtype)
    for k, (seed, row) in enumerate(zip(seeds, data, strict=True)):
        keys = random_bits(seed, ORDER, first, last - first, n)
        order = np.argsort(keys, axis=-1, kind="stable")  # on 16 bits a radix sort, four times faster than permuted
        steps = row.take(order).take(columns, axis=1).reshape(-1, batch)
        batches[:, k, 0] = steps[start - first * per_epoch :][:count]
    return batches


def prefetched(draw: Callable, items: Iterable, ahead: int = 2) -> Iterator:
    """draw(item) for each item, in order, drawn on a second thread while the first one trains."""
    with ThreadPoolExecutor(1) as pool:
        waiting = deque()
        for item in items:
            waiting.append(pool.submit(draw, item))
            if len(waiting) > ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


# ------------------------------------------------------------------------------------- real distributions


class GaussianMixture(stats.rv_continuous):
    """sum_k w_k N(m_k, s_k^2) with the methods of any `scipy.stats` distribution."""

    def __init__(self, weights: Sequence[float], means: Sequence[float], stds: Sequence[float]):
        self._args = weights, means, stds  # SciPy copies a distribution by calling its constructor again
        self.weights, self.means, self.stds = (np.asarray(v, np.float64) for v in self._args)
        self.weights = self.weights / self.weights.sum()
        super().__init__(name="mixture")

    def _updated_ctor_param(self):
        return dict(zip(("weights", "means", "stds"), self._args, strict=True))

    def _pdf(self, x):
        return stats.norm.pdf(np.asarray(x)[..., None], self.means, self.stds) @ self.weights

    def _cdf(self, x):
        return stats.norm.cdf(np.asarray(x)[..., None], self.means, self.stds) @ self.weights

    def _ppf(self, q):
        """Quantiles by bisection on the cdf, between the outermost components' 1e-16 tails."""
        low = np.full(np.shape(q), (self.means - 9 * self.stds).min())
        high = np.full(np.shape(q), (self.means + 9 * self.stds).max())
        for _ in range(80):  # beyond float64 in every case
            middle = (low + high) / 2
            below = self._cdf(middle) < q
            low, high = np.where(below, middle, low), np.where(below, high, middle)
        return (low + high) / 2

    def _rvs(self, size=None, random_state=None):
        k = random_state.choice(len(self.weights), size=size, p=self.weights)
        return random_state.normal(self.means[k], self.stds[k])

    def _stats(self):
        mean = self.weights @ self.means
        return mean, self.weights @ (self.stds**2 + (self.means - mean) ** 2), None, None


TWO_PEAKS = (0.5, -2.0, 0.5, 0.5, 2.0, 0.5)  # weight, mean, standard deviation of each peak


def make_target(name: str, args: Sequence[float] = ()):
    """A frozen distribution: `mixture`, or any continuous one of `scipy.stats`.

    `args` are SciPy's (shapes, then loc and scale); of a mixture they are weight, mean and standard deviation of
    each component, two peaks by default. ValueError names what is wrong and what is accepted.
    """
    if name == "mixture":
        values = np.reshape(args or TWO_PEAKS, -1)
        if len(values) % 3 or (values[0::3] <= 0).any() or (values[2::3] <= 0).any():
            given = " ".join(f"{a:g}" for a in args)
            raise ValueError(
                f"--target-args {given}: a mixture takes WEIGHT MEAN STD triples, weights and stds above 0"
            )
        return GaussianMixture(values[0::3], values[1::3], values[2::3])()
    family = getattr(stats, name, None)
    if not isinstance(family, stats.rv_continuous):
        raise ValueError(
            f"--target {name}: not a continuous scipy.stats distribution such as norm or laplace, nor mixture"
        )
    shapes = family.shapes.split(", ") if family.shapes else []
    expected = " ".join([*shapes, "[loc [scale]]"])
    if not len(shapes) <= len(args) <= len(shapes) + 2:
        raise ValueError(f"--target-args: {len(args)} numbers for {name}, expected {expected}")
    frozen = family(*args)
    with np.errstate(all="ignore"):  # NaN and infinite arguments are judged by the quantiles, next
        low, high = frozen.ppf([0.25, 0.75])
    if not (np.isfinite([low, high]).all() and low < high):
        given = " ".join(f"{a:g}" for a in args)
        raise ValueError(f"--target-args {given}: outside the domain of {name} ({expected}, scale above 0)")
    return frozen


def read_numbers(path: str | Path) -> np.ndarray:
    """One column of numbers from .npy, .csv or .txt, float64 `[N]`; a first line that is no number is a header.

    ValueError names the file and what is wrong: missing, another format, empty, not numeric, NaN, constant, more
    than one column, fewer than 20 numbers.
    """
    path = Path(path)
    try:
        if path.suffix == ".npy":
            values = np.load(path, allow_pickle=False)
        elif path.suffix in (".csv", ".txt"):
            lines = [line.strip().rstrip(",;") for line in path.read_text().splitlines() if line.strip()]
            values = np.array([float(v) for v in lines[1 if lines and not _is_number(lines[0]) else 0 :]])
        else:
            raise ValueError("expected a .npy, .csv or .txt file")
        if values.dtype.kind not in "biuf":
            raise ValueError(f"holds {values.dtype}")
        values = np.squeeze(values.astype(np.float64))
    except OSError as error:
        raise ValueError(f"--data {path}: {(error.strerror or 'cannot be read').lower()}") from None
    except (ValueError, TypeError, EOFError) as error:
        raise ValueError(f"--data {path}: {error}; expected one column of numbers") from None
    problem = None
    if values.ndim > 1:
        problem = f"shape {values.shape}"
    elif values.size < 20:
        problem = f"{values.size} numbers, expected at least 20"
    elif not np.isfinite(values).all():
        problem = f"{np.count_nonzero(~np.isfinite(values))} values are NaN or infinite"
    elif np.ptp(values) == 0:
        problem = f"all values are {values[0]:g}"
    if problem:
        raise ValueError(f"--data {path}: {problem}; expected one column of numbers that vary")
    return values


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


class RealData(NamedTuple):
    """What S seeds train on, and the truth that their fakes are judged against."""

    train: np.ndarray  # [S, N] float64
    truth: metrics.Distribution | np.ndarray  # the distribution where it is known, otherwise a held-out sample
    name: str

    @property
    def held_out(self) -> int | None:
        """Size of the held-out sample; None where the distribution is known."""
        return None if isinstance(self.truth, metrics.Distribution) else len(self.truth)

    @property
    def std(self) -> float:
        """The truth's standard deviation; that of the training samples where it has none (Cauchy)."""
        std = self.truth.std()
        return float(std) if np.isfinite(std) else float(np.median(self.train.std(-1)))

    def draw(self, n: int, seed: int) -> np.ndarray:
        """n real numbers not trained on `[n]`; from a file, with replacement from its held-out half."""
        rng = generator(seed, EVALUATION)
        return rng.choice(self.truth, n) if self.held_out else self.truth.rvs(n, random_state=rng)

    def density(self, x: np.ndarray) -> np.ndarray:
        """p(x): exact where the distribution is known, otherwise a Gaussian kernel estimate."""
        return kernel_density(self.truth, x) if self.held_out else self.truth.pdf(x)


def kernel_density(sample: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Gaussian kernel estimate of a density at x, by SciPy; 0 everywhere of a sample that is one point."""
    return stats.gaussian_kde(sample)(x) if np.ptp(sample) > 0 else np.zeros_like(x)


def from_distribution(name: str, args: Sequence[float], samples: int, seeds: Sequence[int]) -> RealData:
    """`samples` draws of `make_target(name, args)` for each seed, its own."""
    target = make_target(name, args)
    train = [target.rvs(samples, random_state=generator(seed, REAL)) for seed in seeds]
    return RealData(np.stack(train), target, " ".join([name, *(f"{a:g}" for a in args)]))


def from_file(path: str | Path, seeds: Sequence[int]) -> RealData:
    """One random half of a file's numbers to train all seeds on, the other half held out."""
    shuffled = generator(seeds[0], SPLIT).permutation(read_numbers(path))
    half = len(shuffled) // 2
    return RealData(np.tile(shuffled[:half], (len(seeds), 1)), shuffled[half:], Path(path).name)


def standardised(train: np.ndarray, really: bool = True) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows `[S, N]` as float32 (x - mean) / std, or x itself if not `really`; mean and std `[S, 1]` to map back."""
    mean, std = train.mean(-1, keepdims=True), train.std(-1, keepdims=True)
    if not really:
        mean, std = np.zeros_like(mean), np.ones_like(std)
    return ((train - mean) / std).astype(np.float32), mean, std


def blocks(seeds: int, at_most: int = 64) -> list[slice]:
    """Slices of nearly equal length, at least two where there are 8 seeds or more.

    64 seeds at a time fit a processor's cache (all of 1024 cost twice as much each), and two blocks keep two cores
    busy. A function of the number of seeds alone, so that a checkpoint fits any machine.
    """
    count = max(-(-seeds // at_most), 2 if seeds >= 8 else 1)
    bounds = np.linspace(0, seeds, count + 1).round().astype(int).tolist()
    return [slice(*pair) for pair in itertools.pairwise(bounds)]
