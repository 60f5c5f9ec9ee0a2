"""Real images to learn from: MNIST, files in its formats, scikit-learn's 8x8 digits, and folders of PNG files."""

import contextlib
import gzip
import hashlib
import io
import math
import os
import zipfile
import zlib
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from lab import draws
from lab.runs import BadInput


class Images(NamedTuple):
    """Grey images of ten kinds of things, such as digits, in a training set and a test set."""

    train: np.ndarray  # uint8 [N, H, W]
    train_labels: np.ndarray  # uint8 [N], 0 to 9
    test: np.ndarray  # uint8 [M, H, W]
    test_labels: np.ndarray  # uint8 [M]
    name: str  # mnist, digits, or the name of the file or folder


NPZ_NAMES = ("x_train", "y_train", "x_test", "y_test")
IDX_NAMES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
IMAGE_FILE = "an .npz with x_train, y_train, x_test, y_test or a folder with the four IDX files of MNIST"


def load(source: str | None) -> Images:
    """The images that `--data` names; nothing is downloaded twice. BadInput names the file and what is wrong with it.

    None or `mnist`: the file or folder in the environment variable MNIST_NPZ if it is set, otherwise MNIST as Keras
    downloads, checks and stores it. `digits`: the 1797 8x8 digits inside scikit-learn, 1437 to train on and 360 to
    test; they are shuffled, because they are sorted by writer. Anything else: the path of an .npz or of a folder with
    four IDX files, gzipped or not, such as those of MNIST, Fashion-MNIST and KMNIST.
    """
    if source == "digits":
        return _digits()
    if source not in (None, "mnist"):
        return _from_path(Path(source), f"--data {source}")
    if path := os.environ.get("MNIST_NPZ"):
        return _from_path(Path(path), f"MNIST_NPZ={path}")._replace(name="mnist")
    return _keras_mnist()


def square_side(images: Images, source: str | None = None, multiple_of: int = 1) -> int:
    """Height and width of the images; BadInput unless they are equal and a multiple of this number."""
    height, width = images.train.shape[1:]
    if height != width or height % multiple_of:
        expected = "square ones" if multiple_of == 1 else f"square ones whose side is a multiple of {multiple_of}"
        raise BadInput(f"--data {source or images.name}: images of {height} x {width} pixels, expected {expected}")
    return height


def fingerprint(images: Images) -> str:
    """16 hexadecimal digits (SHA-256) that change with any pixel, any label and the split."""
    content = b"".join(repr(array.shape).encode() + array.tobytes() for array in images[:4])
    return hashlib.sha256(content).hexdigest()[:16]


def random_triples(n: int, images: int, seed: int, stream: int = draws.STACK) -> np.ndarray:
    """Which images are the three colour channels of n stacked ones: int32 `[n, 3]` below `images`, with replacement.

    Digits give 1000 kinds: Stacked MNIST (Metz et al. 2017; Srivastava et al. 2017), 300 MB if it were written out.
    """
    return draws.generator(seed, stream).integers(images, size=(n, 3), dtype=np.int32)


def as_pixels(images: np.ndarray) -> np.ndarray:
    """uint8 0 .. 255 as float32 0 .. 1."""
    return images / np.float32(255)


def _digits() -> Images:
    from sklearn.datasets import load_digits  # imported here because it takes a second

    bunch = load_digits()
    order = draws.generator(0, draws.SPLIT).permutation(len(bunch.target))
    pixels = np.round(bunch.images * (255 / 16)).astype(np.uint8)[order]  # they are 0 .. 16 in scikit-learn
    labels = bunch.target[order].astype(np.uint8)
    return Images(pixels[:1437], labels[:1437], pixels[1437:], labels[1437:], "digits")


def _keras_mnist() -> Images:
    from keras.datasets import mnist  # imported here because it takes seconds

    try:
        with contextlib.redirect_stdout(io.StringIO()):  # Keras prints a progress bar
            (train, train_labels), (test, test_labels) = mnist.load_data()
    except Exception as error:  # without a network, Keras raises a bare Exception
        problem = f"MNIST is not on this machine and cannot be downloaded ({' '.join(str(error).split())})"
        expected = f"--data PATH or MNIST_NPZ=PATH, {IMAGE_FILE}; or --data digits, which needs no download"
        raise BadInput(f"{problem}; expected {expected}") from None
    return Images(train, train_labels, test, test_labels, "mnist")


def _from_path(path: Path, given: str) -> Images:
    try:
        arrays = [_idx_file(path, name) for name in IDX_NAMES] if path.is_dir() else _npz_file(path)
        train, train_labels, test, test_labels = arrays
        _check("train", train, train_labels)
        _check("test", test, test_labels)
        if train.shape[1:] != test.shape[1:]:
            raise ValueError("training and test images differ in size")
        return Images(train, train_labels.astype(np.uint8), test, test_labels.astype(np.uint8), path.name)
    except OSError as error:
        raise BadInput(f"{given}: {(error.strerror or str(error)).lower()}; expected {IMAGE_FILE}") from None
    except ValueError as error:
        raise BadInput(f"{given}: {error}; expected {IMAGE_FILE}") from None


def _npz_file(path: Path) -> list[np.ndarray]:
    try:
        with path.open("rb") as opened:  # opened here, because NumPy does not close a damaged file
            if not zipfile.is_zipfile(opened):
                raise ValueError("not an .npz file")
            opened.seek(0)
            file = np.load(opened, allow_pickle=False)
            if missing := [name for name in NPZ_NAMES if name not in file.files]:
                raise ValueError(f"holds no {', '.join(missing)}")
            return [np.asarray(file[name]) for name in NPZ_NAMES]
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise ValueError(f"damaged ({error})") from None


def _idx_file(folder: Path, name: str) -> np.ndarray:
    """An IDX file: the bytes 0 0 8, the number of dimensions, each of them as 4 bytes (big-endian), and the data."""
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


def _check(name: str, images: np.ndarray, labels: np.ndarray) -> None:
    """ValueError says what is wrong with the images or with their labels."""
    if images.dtype != np.uint8 or images.ndim != 3:
        raise ValueError(f"x_{name} is {images.dtype} {list(images.shape)}, not uint8 [N, H, W]")
    if images.size == 0:
        raise ValueError(f"x_{name} is empty")
    if images.min() == images.max():
        raise ValueError(f"every pixel of x_{name} is {images.min()}")
    if labels.dtype.kind not in "iu" or labels.shape != (len(images),):
        found = f"y_{name} is {labels.dtype} {list(labels.shape)}"
        raise ValueError(f"{found}, not a whole number for each of {len(images)} images")
    if labels.min() < 0 or labels.max() > 9:
        raise ValueError(f"y_{name} goes from {labels.min()} to {labels.max()}, not from 0 to 9")


class Split(NamedTuple):
    """Images to train on and held-out ones, uint8 `[N, H, W, C]`; labels only where the images are digits."""

    train: np.ndarray
    test: np.ndarray
    test_labels: np.ndarray | None
    name: str


def read_folder(flag: str, folder: str | Path, seed: int, columns: int = 1) -> Split:
    """The PNG images of `folder/train` and `folder/val` (or `test`), or else of `folder` with a tenth held out.

    Grey images have one channel; if any image is in colour, all are read as RGB. Transparency is dropped. `flag` is
    the flag that names the folder; `seed` decides which tenth is held out; `columns` pictures stand side by side in
    each image. BadInput: no PNG, fewer than two, different sizes, sides that 4 does not divide.
    """
    root = Path(folder)
    held_out = next((root / name for name in ("val", "test") if (root / name).is_dir()), None)
    if (root / "train").is_dir() and held_out:
        train, test = _png_files(flag, root / "train"), _png_files(flag, held_out)
        images = _read(flag, [*train, *test], columns)
        return Split(images[: len(train)], images[len(train) :], None, root.name)
    files = _png_files(flag, root)
    if len(files) < 2:
        raise BadInput(f"{flag} {root}: one PNG file, expected at least two: one is held out")
    images = _read(flag, files, columns)
    chosen = draws.generator(seed, draws.SPLIT).permutation(len(images))[: max(1, len(images) // 10)]
    return Split(np.delete(images, chosen, axis=0), images[chosen], None, root.name)


def described(train: np.ndarray, test: np.ndarray) -> str:
    """How many images there are, their size, and whether they are grey or in colour."""
    height, width, channels = train.shape[1:]
    colour = "grey" if channels == 1 else "in colour (all read as RGB)"
    return f"{len(train)} images to train on, {len(test)} held out, {width} x {height}, {colour}"


def _png_files(flag: str, folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise BadInput(f"{flag} {folder}: no such folder; expected one with PNG files")
    files = sorted(path for path in folder.iterdir() if path.suffix.lower() == ".png")
    if not files:
        raise BadInput(f"{flag} {folder}: holds no PNG file")
    return files


def _read(flag: str, files: list[Path], columns: int) -> np.ndarray:
    """uint8 `[N, H, W, C]`; BadInput if a file cannot be read, or its size differs or is not divisible."""
    images: list[np.ndarray] = []
    for path in files:
        try:
            with Image.open(path) as opened:
                images.append(np.atleast_3d(_pixels(opened)))
        except (OSError, SyntaxError) as error:
            raise BadInput(f"{flag} {path}: not a PNG image that can be read ({error})") from None
        height, width = images[0].shape[:2]
        size, expected = (f"{x.shape[1]} x {x.shape[0]}" for x in (images[-1], images[0]))
        if size != expected:
            raise BadInput(f"{flag} {path}: {size} pixels, expected {expected} as {files[0].name}")
        if height % 4 or width % (4 * columns):
            wanted = "sides that 4 divides" if columns == 1 else "A|B side by side, the sides of each divisible by 4"
            raise BadInput(f"{flag} {path}: {size} pixels, expected {wanted}")
    channels = max(image.shape[2] for image in images)
    return np.stack([np.broadcast_to(image, (height, width, channels)) for image in images])


def _pixels(picture: Image.Image) -> np.ndarray:
    """uint8 `[H, W]` if the picture is grey, otherwise `[H, W, 3]`."""
    if picture.mode in ("I", "I;16"):  # 16 bits, which Pillow would clip at 255
        return np.round(np.asarray(picture, np.float64) / 257).astype(np.uint8)
    return np.asarray(picture.convert("L" if picture.mode in ("1", "L", "LA") else "RGB"))
