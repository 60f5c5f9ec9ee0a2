"""Where samples come from: real distributions, data files, images, minibatches, latents.

Every random number is a function of (seed, stream, step). NumPy's PCG64 (O'Neill 2014) can jump ahead to any step
without drawing what comes before. That is all a resumed run needs to equal an uninterrupted one, and no generator's
state is ever saved.
"""

import contextlib
import gzip
import hashlib
import io
import itertools
import math
import os
import re
import zipfile
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy import stats
from scipy.special import ndtri

import metrics

# Streams of one seed. A number, once used, keeps its meaning: changing it changes every published run.
REAL, WEIGHTS, ORDER, LATENT, MIX, EVALUATION, SPLIT, SHIFT, DROPOUT, STACK = range(10)


# ---------------------------------------------------------------------------------------- random numbers


def generator(seed: int, stream: int) -> np.random.Generator:
    """NumPy's generator for what a run draws once: data, first weights."""
    return np.random.Generator(np.random.Philox(key=[seed, stream]))


def random_bits(seed: int, stream: int, start: int, count: int, size: int) -> np.ndarray:
    """Uniform 16-bit integers `[count, size]`; row i is a function of (seed, stream, start + i) alone."""
    words = -(-size // 4)  # of 64 bits
    source = np.random.PCG64DXSM([seed, stream]).advance(start * words)  # 2.6 ns a word, Philox 4.4
    return source.random_raw(count * words).view(np.uint16).reshape(count, -1)[:, :size]


def random_bytes(seed: int, stream: int, start: int, count: int, shape: Sequence[int]) -> np.ndarray:
    """Uniform uint8 `[count, *shape]`, as `random_bits`: row i a function of (seed, stream, start + i)."""
    n = math.prod(shape)
    bits = random_bits(seed, stream, start, count, -(-n // 2))
    return np.ascontiguousarray(bits).view(np.uint8)[:, :n].reshape(count, *shape)


def bits_for_seeds(seeds: Sequence[int], stream: int, start: int, count: int, shape: Sequence[int]) -> np.ndarray:
    """`random_bits` for each seed: uint16 `[count, S, *shape]`."""
    bits = np.empty((count, len(seeds), *shape), np.uint16)
    for k, seed in enumerate(seeds):
        bits[:, k] = random_bits(seed, stream, start, count, int(np.prod(shape))).reshape(count, *shape)
    return bits


def minibatches(points: np.ndarray, seeds: Sequence[int], start: int, count: int, batch: int) -> np.ndarray:
    """Shuffled minibatches of steps start .. start + count - 1, in the order of `image_minibatches`.

    Args:
        points: `[S, F, N]`: N training samples of F numbers per seed.
    Returns:
        `[count, S, F, batch]`, of the dtype of `points`.
    """
    batches = np.empty((count, *points.shape[:2], batch), points.dtype)
    for k, (seed, rows) in enumerate(zip(seeds, points, strict=True)):
        chosen = image_minibatches(points.shape[2], seed, start, count, batch)
        for f, row in enumerate(rows):
            batches[:, k, f] = row.take(chosen)
    return batches


def image_minibatches(n: int, seed: int, start: int, count: int, batch: int) -> np.ndarray:
    """Which of n samples the steps start .. start + count - 1 see: int `[count, batch]`.

    Every epoch has ceil(n / batch) steps and a new order of the samples, a function of (seed, epoch). Its last
    batch is filled up from the start of the same order, so that all batches have one size and one weight.
    """
    per_epoch = -(-n // batch)
    first, last = start // per_epoch, -(-(start + count) // per_epoch)
    keys = random_bits(seed, ORDER, first, last - first, n)
    order = np.argsort(keys, axis=-1, kind="stable")  # on 16 bits a radix sort, four times faster than permuted
    steps = order.take(np.arange(per_epoch * batch) % n, axis=1).reshape(-1, batch)
    return steps[start - first * per_epoch :][:count]


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
    values = np.squeeze(_read_table(Path(path), "--data", 1))
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


def read_points(path: str | Path) -> np.ndarray:
    """Two columns of numbers, as `read_numbers` reads one: float64 `[N, 2]`; commas, semicolons or spaces between."""
    points = _read_table(Path(path), "--target", 2)
    problem = None
    if points.ndim != 2 or points.shape[1] != 2:
        columns = points.shape[1] if points.ndim == 2 else 1
        problem = f"{columns} column{'s' * (columns != 1)}" if points.ndim < 3 else f"shape {points.shape}"
    elif len(points) < 40:
        problem = f"{len(points)} points, expected at least 40"
    elif not np.isfinite(points).all():
        problem = f"{np.count_nonzero(~np.isfinite(points))} values are NaN or infinite"
    elif (np.ptp(points, axis=0) == 0).any():
        problem = "a column is constant"
    if problem:
        raise ValueError(f"--target {path}: {problem}; expected two columns of numbers that vary")
    return points


def _read_table(path: Path, flag: str, columns: int) -> np.ndarray:
    """Numbers of a .npy, .csv or .txt file as float64, the lines of a text as rows of so many columns."""
    try:
        if path.suffix == ".npy":
            values = np.load(path, allow_pickle=False)
        elif path.suffix in (".csv", ".txt"):
            lines = [line.strip().rstrip(",;") for line in path.read_text().splitlines() if line.strip()]
            values = _rows(lines, columns)
        else:
            raise ValueError("expected a .npy, .csv or .txt file")
        if values.dtype.kind not in "biuf":
            raise ValueError(f"holds {values.dtype}")
        return values.astype(np.float64)
    except OSError as error:
        raise ValueError(f"{flag} {path}: {(error.strerror or 'cannot be read').lower()}") from None
    except (ValueError, TypeError, EOFError) as error:
        expected = "one column" if columns == 1 else "two columns"
        raise ValueError(f"{flag} {path}: {error}; expected {expected} of numbers") from None


def _rows(lines: list[str], columns: int) -> np.ndarray:
    words = [re.split(r"[,;\s]+", line) for line in lines]
    if words and not all(map(_is_number, words[0])):
        words = words[1:]  # a header
    rows = [[float(word) for word in row] for row in words]
    if uneven := [row for row in rows if len(row) != len(rows[0])]:
        raise ValueError(f"rows of {len(rows[0])} and of {len(uneven[0])} numbers")
    if rows and len(rows[0]) != columns:
        raise ValueError(f"{len(rows[0])} column{'s' * (len(rows[0]) != 1)}")
    return np.array(rows)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def latent_lattice(law: str, latent_dim: int, lines: int, finer: int) -> np.ndarray:
    """Latents `[Z, n^2]` on a square lattice of the first two coordinates, the others 0; n = finer (lines - 1) + 1.

    Between the quantiles .5% and 99.5% of the law, at equal steps of probability: every cell gets as many samples.
    """
    u = np.linspace(0.005, 0.995, finer * (lines - 1) + 1)
    axis = 2 * u - 1 if law == "uniform" else ndtri(u)
    z = np.zeros((latent_dim, u.size**2))
    for row, values in zip(z, np.meshgrid(axis, axis), strict=False):  # a single coordinate: a line
        row[:] = values.ravel()
    return z


class Modes(NamedTuple):
    """Equal normals in the plane: centres `[k, 2]` and the standard deviation of each coordinate."""

    centres: np.ndarray
    std: float

    def draw(self, n: int, rng: np.random.Generator) -> np.ndarray:
        """n points `[n, 2]`, each of a mode of its own choice."""
        return self.centres[rng.integers(len(self.centres), size=n)] + self.std * rng.standard_normal((n, 2))


def ring(modes: int = 8, radius: float = 1.0, std: float = 0.01) -> Modes:
    """Modes at angles 2 pi k / modes on a circle, k from 0: PacGAN's 2D ring (Lin et al. 2018)."""
    angle = 2 * np.pi * np.arange(modes) / modes  # with the end point included, two of them would be one
    return Modes(radius * np.stack([np.cos(angle), np.sin(angle)], axis=1), std)


def grid(side: int = 5, spacing: float = 2.0, std: float = 0.05) -> Modes:
    """side x side modes around 0: PacGAN's 2D grid, {-4, -2, 0, 2, 4}^2."""
    places = spacing * (np.arange(side) - (side - 1) / 2)
    return Modes(np.stack(np.meshgrid(places, places), axis=-1).reshape(-1, 2), std)


class Spiral(NamedTuple):
    """Two arms of a spiral of radius 1, the points spread evenly along them, with normal noise across."""

    turns: float = 1.25
    std: float = 0.02

    def draw(self, n: int, rng: np.random.Generator) -> np.ndarray:
        """n points `[n, 2]`."""
        radius = np.sqrt(rng.uniform(0.02, 1, n))  # so that the number of points grows as the arm's length does
        angle = 2 * np.pi * self.turns * radius + np.pi * rng.integers(2, size=n)
        arm = radius[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)
        return arm + self.std * rng.standard_normal((n, 2))


PLANE_TARGETS: dict[str, Callable[[], Modes | Spiral]] = {"ring": ring, "grid": grid, "spiral": Spiral}


class PlaneData(NamedTuple):
    """What S seeds train on in the plane, and what their fakes are judged against."""

    train: np.ndarray  # [S, 2, N] float64
    test: np.ndarray  # [M, 2], not trained on
    target: Modes | Spiral | None  # the distribution where it is known
    name: str

    @property
    def modes(self) -> Modes | None:
        """The target's modes, where it has any."""
        return self.target if isinstance(self.target, Modes) else None

    def draw(self, n: int, seed: int) -> np.ndarray:
        """n real points not trained on `[n, 2]`; from a file, with replacement from its held-out half."""
        rng = generator(seed, EVALUATION)
        return self.target.draw(n, rng) if self.target else rng.choice(self.test, n)


def plane_data(name: str, samples: int, seeds: Sequence[int]) -> PlaneData:
    """`samples` draws of a named target for each seed, its own, and 100,000 to judge by; or a file of points.

    Of a file every seed trains on the same random half, the other half is the judge's. ValueError says what is wrong.
    """
    if name in PLANE_TARGETS:
        target = PLANE_TARGETS[name]()
        train = [target.draw(samples, generator(seed, REAL)).T for seed in seeds]
        return PlaneData(np.stack(train), target.draw(100_000, generator(0, SPLIT)), target, name)
    if not Path(name).suffix:
        known = ", ".join(PLANE_TARGETS)
        raise ValueError(f"--target {name}: expected {known}, or a .npy, .csv or .txt file of points")
    shuffled = generator(seeds[0], SPLIT).permutation(read_points(name))
    half = len(shuffled) // 2
    return PlaneData(np.tile(shuffled[:half].T, (len(seeds), 1, 1)), shuffled[half:], None, Path(name).name)


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
    """Samples `[.., N]` as float32 (x - mean) / std, or as they are if not `really`; mean and std `[.., 1]`."""
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


# ------------------------------------------------------------------------------------------------ images


class Images(NamedTuple):
    """Grey images with their digits, split into a training and a test set."""

    train: np.ndarray  # uint8 [N, H, W]
    train_labels: np.ndarray  # uint8 [N], 0 to 9
    test: np.ndarray  # uint8 [M, H, W]
    test_labels: np.ndarray  # uint8 [M]
    name: str  # mnist, digits, or the file's or folder's


IMAGE_FILE = "an .npz with x_train, y_train, x_test, y_test or a folder with the four IDX files of MNIST"


def load_images(source: str | None) -> Images:
    """Images to learn from, none of them ever downloaded twice.

    Args:
        source: None or `mnist`: the file or folder that the environment variable MNIST_NPZ names, otherwise MNIST as
            Keras downloads, checks and keeps it. `digits`: the 1797 8x8 digits inside scikit-learn, 1437 to train
            and 360 to test, shuffled because their writers come one after the other. Otherwise the path of an .npz
            (x_train, y_train, x_test, y_test) or of a folder with four IDX files, gzipped or not, in MNIST's format:
            MNIST, Fashion-MNIST, KMNIST.
    ValueError, one line, names the file, what is wrong with it, and what is expected.
    """
    if source == "digits":
        return _digits()
    if source not in (None, "mnist"):
        return _images_from(Path(source), f"--data {source}")
    if path := os.environ.get("MNIST_NPZ"):
        return _images_from(Path(path), f"MNIST_NPZ={path}")._replace(name="mnist")
    return _keras_mnist()


def fingerprint(images: Images) -> str:
    """16 hexadecimal digits that any change of a pixel, a label or the split would change (SHA-256)."""
    digest = hashlib.sha256()
    for array in images[:4]:
        digest.update(repr(array.shape).encode())
        digest.update(np.ascontiguousarray(array))
    return digest.hexdigest()[:16]


def random_triples(n: int, images: int, seed: int, stream: int = STACK) -> np.ndarray:
    """Which images become the colour channels of n stacked ones: int32 `[n, 3]` below `images`, with replacement.

    Of digits, 1000 kinds: Stacked MNIST (Metz et al. 2017; Srivastava et al. 2017), 300 MB if written out.
    """
    return generator(seed, stream).integers(images, size=(n, 3), dtype=np.int32)


def as_pixels(images: np.ndarray) -> np.ndarray:
    """uint8 0 .. 255 as float32 0 .. 1."""
    return images / np.float32(255)


def _digits() -> Images:
    from sklearn.datasets import load_digits  # here: it takes a second

    bunch = load_digits()
    order = generator(0, SPLIT).permutation(len(bunch.target))
    pixels = np.round(bunch.images * (255 / 16)).astype(np.uint8)[order]  # they come as 0 .. 16
    labels = bunch.target.astype(np.uint8)[order]
    return Images(pixels[:1437], labels[:1437], pixels[1437:], labels[1437:], "digits")


def _keras_mnist() -> Images:
    from keras.datasets import mnist  # here: it takes seconds

    try:
        with contextlib.redirect_stdout(io.StringIO()):  # a progress bar of its own
            (train, train_labels), (test, test_labels) = mnist.load_data()
    except Exception as error:  # Keras raises a bare Exception without a network
        raise ValueError(
            f"MNIST is not on this machine and cannot be downloaded ({' '.join(str(error).split())}); expected "
            f"--data PATH or MNIST_NPZ=PATH, {IMAGE_FILE}; or --data digits, which needs no network"
        ) from None
    return Images(train, train_labels, test, test_labels, "mnist")


def _images_from(path: Path, given: str) -> Images:
    try:
        arrays = _idx_folder(path) if path.is_dir() else _npz_file(path)
        for name in ("train", "test"):
            arrays[f"y_{name}"] = _checked(name, arrays[f"x_{name}"], arrays[f"y_{name}"])
        if arrays["x_train"].shape[1:] != arrays["x_test"].shape[1:]:
            raise ValueError("training and test images differ in size")
    except OSError as error:
        raise ValueError(f"{given}: {(error.strerror or str(error)).lower()}; expected {IMAGE_FILE}") from None
    except ValueError as error:
        raise ValueError(f"{given}: {error}; expected {IMAGE_FILE}") from None
    return Images(*(arrays[name] for name in NPZ_NAMES), path.name)


NPZ_NAMES = ("x_train", "y_train", "x_test", "y_test")


def _npz_file(path: Path) -> dict[str, np.ndarray]:
    try:
        with path.open("rb") as opened:  # by us, because NumPy leaves a damaged file open
            if not zipfile.is_zipfile(opened):
                raise ValueError("not an .npz file")
            opened.seek(0)
            file = np.load(opened, allow_pickle=False)
            if missing := [name for name in NPZ_NAMES if name not in file.files]:
                raise ValueError(f"holds no {', '.join(missing)}")
            return {name: np.asarray(file[name]) for name in NPZ_NAMES}
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise ValueError(f"damaged ({error})") from None


IDX_NAMES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")


def _idx_folder(folder: Path) -> dict[str, np.ndarray]:
    return {npz: _idx_file(folder, idx) for npz, idx in zip(NPZ_NAMES, IDX_NAMES, strict=True)}


def _idx_file(folder: Path, name: str) -> np.ndarray:
    """An array of bytes: 0 0 8 and the number of dimensions, each of them as 4 bytes, big end first, the data."""
    spellings = [n + end for n in (name, name.replace("-idx", ".idx")) for end in ("", ".gz")]
    path = next((folder / n for n in spellings if (folder / n).is_file()), None)
    if path is None:
        raise ValueError(f"holds no {name}, with or without .gz")
    try:
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (gzip.BadGzipFile, zlib.error, EOFError) as error:
        raise ValueError(f"{path.name}: damaged ({error})") from None
    dimensions = int(name[name.index("idx") + 3])
    magic, start = bytes([0, 0, 8, dimensions]), 4 + 4 * dimensions
    if content[:4] != magic:
        raise ValueError(f"{path.name}: starts with {content[:4].hex() or 'nothing'}, not with {magic.hex()}")
    if len(content) < start:
        raise ValueError(f"{path.name}: ends within its header")
    shape = [int(n) for n in np.frombuffer(content, ">u4", dimensions, offset=4)]
    if (size := len(content) - start) != math.prod(shape):
        raise ValueError(f"{path.name}: {size} bytes of data, not the {math.prod(shape)} it announces")
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)


def _checked(name: str, images: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The labels as uint8; ValueError says what is wrong with the images or with them."""
    if images.dtype != np.uint8 or images.ndim != 3:
        raise ValueError(f"x_{name} is {images.dtype} {list(images.shape)}, not uint8 [N, H, W]")
    if images.size == 0:
        raise ValueError(f"x_{name} is empty")
    if images.min() == images.max():
        raise ValueError(f"every pixel of x_{name} is {images.min()}")
    if labels.dtype.kind not in "iu" or labels.shape != (len(images),):
        raise ValueError(
            f"y_{name} is {labels.dtype} {list(labels.shape)}, not a whole number for each of {len(images)} images"
        )
    if labels.min() < 0 or labels.max() > 9:
        raise ValueError(f"y_{name} goes from {labels.min()} to {labels.max()}, not from 0 to 9")
    return labels.astype(np.uint8)
