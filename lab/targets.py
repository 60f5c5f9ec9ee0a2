"""Real numbers and points to learn: SciPy's distributions, mixtures, ring, grid, spiral, or the user's own file."""

import contextlib
import math
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy import stats
from scipy.ndimage import gaussian_filter1d

import metrics
from lab import draws, files, screen
from lab.files import BadInput

LARGEST = 1e30  # size of a number; float32 ends at 3e38
SMALLEST = 1e-30, 1e-15  # least spread of numbers, and of a column of points: D's push divides by it twice
COPIES = 16  # of each sample, with different noise
ENOUGH = 50  # held-out numbers; with fewer of them the floors are imprecise
MOST_UNLIKE = 1e6  # ratio of the spreads of two columns, which stand in one picture
SLOW = {  # SciPy searches for each quantile or draw: for the ten thousands of a run from half a minute to hours
    *("dpareto_lognorm", "gausshyper", "genhyperbolic", "geninvgauss", "irwinhall", "ksone", "kstwo", "levy_stable"),
    *("norminvgauss", "rel_breitwigner", "studentized_range"),
}


class RealNumbers(NamedTuple):
    """The numbers that S seeds train on, and the truth that their fakes are compared with."""

    train: np.ndarray  # [S, N] float64
    truth: Any  # a frozen SciPy distribution where it is known, otherwise a held-out sample: an array [M]
    name: str

    @property
    def fingerprint(self) -> str | None:
        """A checksum of the numbers in a file; None if there is no file."""
        return None if self.held_out is None else files.fingerprint(self)

    @property
    def held_out(self) -> int | None:
        """Size of the held-out sample, or None if the distribution is known."""
        return len(self.truth) if isinstance(self.truth, np.ndarray) else None

    @property
    def pooled(self) -> np.ndarray:
        """All numbers of the file `[N]`, both halves."""
        return np.concatenate([self.train[0], self.truth])

    def draw(self, n: int, seed: int) -> np.ndarray:
        """n real numbers `[n]` that no seed trains on; of a file, drawn with replacement from its held-out half."""
        rng = draws.generator(seed, draws.EVALUATION)
        return rng.choice(self.truth, n) if self.held_out else self.truth.rvs(n, random_state=rng)

    def density(self, x: np.ndarray) -> np.ndarray:
        """The density p(x) at evenly spaced x: exact if the distribution is known, otherwise a kernel estimate."""
        return kernel_density(self.truth, x) if self.held_out else self.truth.pdf(x)


def numbers(
    target: str, target_args: Sequence[float], data: str | Path | None, samples: int, seeds: Sequence[int]
) -> RealNumbers:
    """The numbers in the file `data` or, without a file, draws from `distribution(target, target_args)`.

    From a distribution each seed has `samples` draws of its own. Of a file, one random half is the training set of
    all seeds, and the other half is held out. BadInput: as `distribution` and `read_numbers`.
    """
    if data is not None:
        train, held_out = _halves(f"--data {data}", read_numbers(data), seeds[0])
        return RealNumbers(np.tile(train, (len(seeds), 1)), held_out, Path(data).name)
    truth = distribution(target, target_args)
    train = np.stack([truth.rvs(samples, random_state=draws.generator(seed, draws.REAL)) for seed in seeds])
    return RealNumbers(train, truth, " ".join([target, *(f"{a:g}" for a in target_args)]))


def jittered(samples: np.ndarray, strength: float, seeds: Sequence[int]) -> np.ndarray:
    """Samples `[S, N]` of each seed with normal noise: `[S, COPIES N]`, or as they are where the noise is too small.

    A GAN can learn a hundred numbers by heart. Noise on them is a smoothed bootstrap (Silverman and Young 1987): D
    then compares the fakes with a kernel density estimate. Its standard deviation is strength exp(-N / 250) times
    that of the seed's samples, so that it is gone where there are thousands of them.
    """
    n = samples.shape[1]
    if copies(strength, n) == 1:
        return samples
    spread = strength * math.exp(-n / 250) * samples.std(axis=1)
    noise = [draws.generator(seed, draws.JITTER).standard_normal(COPIES * n) for seed in seeds]
    return np.tile(samples, (1, COPIES)) + spread[:, None] * np.stack(noise)


def copies(strength: float, n: int) -> int:
    """How often `jittered` repeats each of n samples: once if the noise is less than a thousandth of their spread."""
    return COPIES if strength * math.exp(-n / 250) > 0.001 else 1


def imprecise_floor(held_out: int | None) -> str:
    """What a headline says of a file of few numbers or points, whose floors are estimates of little precision."""
    if held_out is None or held_out >= ENOUGH:
        return ""
    return f"; the floor is imprecise: {held_out} are held out, and it takes at least {ENOUGH}"


def kernel_density(sample: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Gaussian kernel estimate of a density at evenly spaced x, for a picture; the sample is in random order.

    The width of the kernel is cross-validated, because Scott's width makes the peaks of a mixture a quarter too low;
    it is at least the distance of two x. The sample is counted in cells around the x and as far again beyond both
    ends; numbers farther off would widen the kernel and count in none. ValueError: values that are not finite.
    """
    if not np.isfinite(sample).all():
        raise ValueError("sample: values are NaN or infinite")
    n, distance = len(x), x[1] - x[0]
    low, high = x[0] - (n + 0.5) * distance, x[-1] + (n + 0.5) * distance
    near = sample[(sample >= low) & (sample <= high)]
    if not len(near):
        return np.zeros(n)
    width = np.clip(metrics.kernel_width(near, 4 * n) / distance, 1, n)  # in cells
    counts, _ = np.histogram(near, 3 * n, (low, high))
    return gaussian_filter1d(counts.astype(float), width, mode="constant")[n : 2 * n] / (len(sample) * distance)


class GaussianMixture(stats.rv_continuous):
    """sum_k w_k N(m_k, s_k^2), with all methods of a SciPy distribution; `parts [k, 3]` holds w_k, m_k and s_k."""

    def __init__(self, parts: np.ndarray):
        self.parts = parts  # SciPy copies a distribution by calling its constructor again
        weights, self.means, self.stds = parts.T
        self.weights = weights / weights.sum()
        super().__init__(name="mixture")

    def _updated_ctor_param(self):
        return {"parts": self.parts}

    def _pdf(self, x):
        return stats.norm.pdf(np.asarray(x)[..., None], self.means, self.stds) @ self.weights

    def _cdf(self, x):
        return stats.norm.cdf(np.asarray(x)[..., None], self.means, self.stds) @ self.weights

    def _ppf(self, q):
        low = np.full(np.shape(q), (self.means - 9 * self.stds).min())  # bisection of the cdf
        high = np.full(np.shape(q), (self.means + 9 * self.stds).max())
        for _ in range(80):  # finer than float64 in every case
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


def mixture(args: Sequence[float]) -> Any:
    """A mixture of normals from the weight, the mean and the standard deviation of each; by default two peaks."""
    values = np.array(args or (0.5, -2, 0.5, 0.5, 2, 0.5), np.float64)
    weights_and_stds = np.concatenate([values[0::3], values[2::3]])
    if len(values) % 3 or not math.isfinite(sum(map(abs, args))) or (weights_and_stds <= 0).any():
        given = " ".join(f"{a:g}" for a in args)
        raise BadInput(f"--target-args {given}: a mixture takes WEIGHT MEAN STD triples, weights and stds above 0")
    return GaussianMixture(values.reshape(-1, 3))()


NAMED_TARGETS: dict[str, Callable[[Sequence[float]], Any]] = {"mixture": mixture}  # from --target-args


def distribution(target: str, target_args: Sequence[float] = ()) -> Any:
    """The frozen distribution of this name: one of NAMED_TARGETS, or any continuous one of `scipy.stats`.

    `target_args` are SciPy's: the shapes, then loc and scale. BadInput names what is wrong and what is accepted.
    """
    if target in SLOW:
        problem = "SciPy takes from half a minute to hours for its quantiles or its draws"
        raise BadInput(f"--target {target}: {problem}; expected another continuous distribution")
    if target in NAMED_TARGETS:
        return _within_reach(NAMED_TARGETS[target](target_args), target_args, target)
    family = getattr(stats, target, None)
    if not isinstance(family, stats.rv_continuous):
        named = ", ".join(["norm", *NAMED_TARGETS])
        given = f"--target {target or repr(target)}"
        raise BadInput(f"{given}: expected {named} or another continuous distribution of scipy.stats")
    shapes = family.shapes.split(", ") if family.shapes else []
    expected = " ".join([*shapes, "[loc [scale]]"])
    if not len(shapes) <= len(target_args) <= len(shapes) + 2:
        raise BadInput(f"--target-args: {len(target_args)} numbers for {target}, expected {expected}")
    return _within_reach(family(*target_args), target_args, f"{target} ({expected}, scale above 0)")


def _within_reach(frozen: Any, target_args: Sequence[float], domain: str) -> Any:
    """The same distribution; BadInput unless the histogram of a run can show it, and float32 can hold its numbers."""
    given = f"--target-args {' '.join(f'{a:g}' for a in target_args)}"
    try:
        with np.errstate(all="ignore"):  # what is wrong with the arguments shows in the quantiles
            edges = metrics.histogram_edges(frozen)
        if not np.isfinite(target_args).all():  # Student's t takes inf, and JSON does not
            raise ValueError
    except ValueError:
        problem = f"outside the domain of {domain}, or its quantiles are too large or too close for float64"
        raise BadInput(f"{given}: {problem}") from None
    if problem := _beyond(edges):
        raise BadInput(f"{given}: {problem}")
    return frozen


class Modes(NamedTuple):
    """Equal normal distributions in the plane: their centres `[k, 2]` and the standard deviation of a coordinate."""

    centres: np.ndarray
    std: float

    def draw(self, n: int, rng: np.random.Generator) -> np.ndarray:
        """n points `[n, 2]`; the mode of each is drawn at random."""
        return self.centres[rng.integers(len(self.centres), size=n)] + self.std * rng.standard_normal((n, 2))


def ring(modes: int = 8, radius: float = 1.0, std: float = 0.01) -> Modes:
    """Modes on a circle at the angles 2 pi k / modes for k = 0, 1, ...: the 2D ring of PacGAN (Lin et al. 2018)."""
    angle = 2 * np.pi * np.arange(modes) / modes  # without 2 pi, which would be the mode at 0 again
    return Modes(radius * np.stack([np.cos(angle), np.sin(angle)], axis=1), std)


def grid(side: int = 5, spacing: float = 2.0, std: float = 0.05) -> Modes:
    """side x side modes around 0: the 2D grid of PacGAN, {-4, -2, 0, 2, 4}^2."""
    places = spacing * (np.arange(side) - (side - 1) / 2)
    return Modes(np.stack(np.meshgrid(places, places), axis=-1).reshape(-1, 2), std)


class Spiral(NamedTuple):
    """A spiral of radius 1 with two arms. Points `[n, 2]` are spread evenly along them, with normal noise added."""

    turns: float = 1.25
    std: float = 0.02

    def draw(self, n: int, rng: np.random.Generator) -> np.ndarray:
        """n points `[n, 2]`."""
        radius = np.sqrt(rng.uniform(0.02, 1, n))  # the length of an arm grows about like the radius squared
        angle = 2 * np.pi * self.turns * radius + np.pi * rng.integers(2, size=n)
        arm = radius[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)
        return arm + self.std * rng.standard_normal((n, 2))


PLANE_TARGETS: dict[str, Callable[[], Any]] = {"ring": ring, "grid": grid, "spiral": Spiral}  # each can draw(n, rng)


class RealPoints(NamedTuple):
    """The points that S seeds train on, and the held-out points that their fakes are compared with."""

    train: np.ndarray  # [S, 2, N] float64
    test: np.ndarray  # [M, 2], which no seed trains on
    target: Any  # one of PLANE_TARGETS, or None if the points are from a file
    name: str

    @property
    def fingerprint(self) -> str | None:
        """A checksum of the points in a file; None if there is no file."""
        return None if self.target else files.fingerprint(self)

    @property
    def modes(self) -> Modes | None:
        """The modes of the target, or None if it has none."""
        return self.target if isinstance(self.target, Modes) else None

    @property
    def pooled(self) -> np.ndarray:
        """All points of the file `[N, 2]`, both halves, in random order."""
        return np.concatenate([self.train[0].T, self.test])

    def draw(self, n: int, seed: int) -> np.ndarray:
        """n real points `[n, 2]` that no seed trains on; of a file, drawn with replacement from its held-out half."""
        rng = draws.generator(seed, draws.EVALUATION)
        return self.target.draw(n, rng) if self.target else rng.choice(self.test, n)


def plane_target(target: str) -> Any | None:
    """One of PLANE_TARGETS by its name; None if the word names a file. BadInput: it is neither."""
    if target in PLANE_TARGETS:
        return PLANE_TARGETS[target]()
    if not Path(target).suffix:
        given, named = f"--target {target or repr(target)}", ", ".join(PLANE_TARGETS)
        raise BadInput(f"{given}: expected {named}, or a .npy, .csv or .txt file")
    return None


def points(target: str, samples: int, seeds: Sequence[int]) -> RealPoints:
    """Draws from one of PLANE_TARGETS, or the points in a file.

    From a target each seed has `samples` draws of its own, and 100,000 more are held out. Of a file, one random half
    is the training set of all seeds, and the other half is held out. BadInput: an unknown name; as `read_points`.
    """
    if known := plane_target(target):
        train = np.stack([known.draw(samples, draws.generator(seed, draws.REAL)).T for seed in seeds])
        return RealPoints(train, known.draw(100_000, draws.generator(0, draws.SPLIT)), known, target)
    train, held_out = _halves(f"--target {target}", read_points(target), seeds[0])
    return RealPoints(np.tile(train.T, (len(seeds), 1, 1)), held_out, None, Path(target).name)


def _halves(given: str, rows: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A random half of the rows, and the others; BadInput unless the columns of both vary enough for a histogram."""
    shuffled = draws.generator(seed, draws.SPLIT).permutation(rows)
    halves = shuffled[: len(rows) // 2], shuffled[len(rows) // 2 :]
    for column in (column for half in halves for column in half.reshape(len(half), -1).T):
        try:
            metrics.histogram_edges(column)
        except ValueError:
            problem = "nearly all values in a random half of a column are equal, or too close for float64"
            raise BadInput(f"{given}: {problem}; expected ones that a histogram of 40 bins can tell apart") from None
    return halves


def read_numbers(path: str | Path) -> np.ndarray:
    """One column of at least 20 numbers from a .npy, .csv or .txt file: float64 `[N]`, read-only.

    The first line of a text may be a header. BadInput names the file and what is wrong with it.
    """
    return _read(path, "--data", 1).reshape(-1)


def read_points(path: str | Path) -> np.ndarray:
    """Two columns of at least 40 numbers, as `read_numbers` reads one: float64 `[N, 2]`."""
    return _read(path, "--target", 2)


def _read(path: str | Path, flag: str, columns: int) -> np.ndarray:
    given, path = f"{flag} {str(path) or repr('')}", Path(path)
    try:
        return _parsed(path.absolute(), columns, path.stat().st_size, path.stat().st_mtime_ns)
    except (OSError, ValueError, TypeError) as error:
        expected = ("one column", "two columns")[columns - 1]
        raise BadInput(f"{given}: {files.why(error)}; expected {expected} of numbers that vary") from None


@lru_cache(maxsize=4)  # each file is read once; with its size and time as arguments, a changed file is read again
def _parsed(path: Path, columns: int, size: int, modified: int) -> np.ndarray:
    """The numbers in a file `[N, columns]`; ValueError says what is wrong with them."""
    ending = path.suffix.lower()
    if ending not in (".npy", ".csv", ".txt"):
        raise ValueError("not a .npy, .csv or .txt file")
    with screen.waiting(f"reading {path.name}") if size > 2**24 else contextlib.nullcontext():
        values = np.atleast_1d(np.squeeze(files.read_npy(path))) if ending == ".npy" else files.read_rows(path)
    if (found := values[0].size if len(values) else 1) != columns:
        raise ValueError(f"{found} column{'s' * (found != 1)}")
    if len(values) < 20 * columns:
        raise ValueError(f"{len(values)} {('numbers', 'points')[columns - 1]}, expected at least {20 * columns}")
    values = values.reshape(-1, columns)
    if values.dtype.kind in "SU":
        raise ValueError("texts, and no numbers")
    with np.errstate(over="ignore"):  # numbers of more than 64 bits may become infinite
        values = values.astype(np.float64, casting="same_kind", copy=False)  # TypeError if they are no numbers
    if bad := np.count_nonzero(~np.isfinite(values)):
        raise ValueError(f"{bad} values are NaN or infinite")
    if (constant := (values == values[0]).all(axis=0)).any():
        raise ValueError(f"a column is constant: all its values are {values[0][constant][0]:g}")
    if problem := _beyond(values):
        raise ValueError(problem)
    values.flags.writeable = False
    return values


def _beyond(values: np.ndarray) -> str:
    """What is wrong with the size or the spread of numbers, for which float32 has no room; empty if nothing is."""
    if (largest := np.abs(values).max()) > LARGEST:
        return f"numbers up to {largest:.3g} in size, expected at most {LARGEST:g}; choose another unit"
    spread = np.atleast_1d(np.ptp(values, axis=0))
    low, high, least = spread.min(), spread.max(), SMALLEST[len(spread) - 1]
    if low < least:
        return f"numbers that spread over {low:.3g}, expected at least {least:g}; choose another unit"
    if high > MOST_UNLIKE * low:
        return f"columns that spread over {low:.3g} and {high:.3g}, expected a ratio of at most {MOST_UNLIKE:g}"
    return ""
