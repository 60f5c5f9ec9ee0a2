"""Real images to learn from: MNIST, files in its formats, scikit-learn's 8x8 digits, and folders of PNG files."""

import contextlib
import hashlib
import io
import itertools
import math
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from rich import progress

from lab import draws, files, screen
from lab.files import BadInput


class Images(NamedTuple):
    """Grey images of ten kinds of things, such as digits, in a training set and a test set."""

    train: np.ndarray  # uint8 [N, H, W]
    train_labels: np.ndarray  # uint8 [N], 0 to 9
    test: np.ndarray  # uint8 [M, H, W]
    test_labels: np.ndarray  # uint8 [M]
    name: str  # mnist, digits, or the name of the file or folder


NPZ_NAMES = ("x_train", "y_train", "x_test", "y_test")
IDX_NAMES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
LEAST = 6  # images: a sixth of the training set chooses the width of a Parzen window
MNIST_URL = "https://storage.googleapis.com/tensorflow/tf-keras-datasets/mnist.npz"  # as in Keras, with the same hash
MNIST_SHA256 = "731c5ac602752760c8e48fbffcf8c3b850d9dc2a2aedcf2cc48468fc17b673d1"
MNIST_BYTES = 11_490_434
IMAGE_FILE = "an .npz with x_train, y_train, x_test, y_test or a folder with the four IDX files of MNIST"


def load(source: str | None) -> Images:
    """The images that `--data` names; nothing is downloaded twice. BadInput names the file and what is wrong with it.

    None or `mnist`: the file or folder in the environment variable MNIST_NPZ if it is set, otherwise MNIST, which is
    downloaded once, checked, and kept where Keras keeps it. `digits`: the 1797 8x8 digits inside scikit-learn, 1437
    to train on and 360 to test; they are shuffled, because they are sorted by writer. Anything else: the path of an
    .npz or of a folder with four IDX files, gzipped or not, such as those of MNIST, Fashion-MNIST and KMNIST.
    """
    if source == "":
        raise BadInput(f"--data '': expected {IMAGE_FILE}; or mnist, or digits")
    if source == "digits":
        return _digits()
    if source not in (None, "mnist"):
        return _from_path(Path(source), f"--data {source}")
    if path := os.environ.get("MNIST_NPZ"):
        return _from_path(Path(path), f"MNIST_NPZ={path}")._replace(name="mnist")
    return _mnist()


def square_side(images: Images, source: str | None = None, multiple_of: int = 1) -> int:
    """Height and width of the images; BadInput unless they are equal and a multiple of this number."""
    height, width = images.train.shape[1:]
    if height != width or height % multiple_of:
        expected = "square ones" if multiple_of == 1 else f"square ones whose side is a multiple of {multiple_of}"
        raise BadInput(f"--data {source or images.name}: images of {height} x {width} pixels, expected {expected}")
    return height


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


def _mnist() -> Images:
    content = b""
    try:
        with files.open_regular(_place_of_mnist()) as file:
            content = file.read(2 * MNIST_BYTES)
    except (OSError, ValueError):
        pass  # it is not there, and is downloaded next
    if hashlib.sha256(content).hexdigest() != MNIST_SHA256:
        content = _downloaded_mnist()
        try:
            with files.replacing(_place_of_mnist()) as temporary:
                temporary.write_bytes(content)
        except OSError as error:
            screen.say(f"MNIST cannot be kept ({error}): it will be downloaded again next time")
    train, train_labels, test, test_labels = map(np.load(io.BytesIO(content)).get, NPZ_NAMES)
    return Images(train, train_labels, test, test_labels, "mnist")


def _place_of_mnist() -> Path:
    """The file in which Keras keeps MNIST; OSError if there is no home folder."""
    try:
        return Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras") / "datasets" / "mnist.npz"
    except RuntimeError as error:
        raise OSError(str(error)) from None


def _downloaded_mnist() -> bytes:
    """The content of Keras' file, with its hash checked; BadInput names the alternatives to a download."""
    import urllib.request  # imported here because few runs need it
    from http.client import HTTPException

    screen.say(f"downloading MNIST, {files.in_words(MNIST_BYTES)}, once")
    words, hidden = "downloading MNIST", not screen.console.is_terminal
    try:
        with (
            urllib.request.urlopen(MNIST_URL, timeout=30) as answer,
            progress.wrap_file(
                answer, MNIST_BYTES, description=words, console=screen.console, transient=True, disable=hidden
            ) as file,
        ):
            content = b"".join(itertools.islice(iter(partial(file.read, 2**16), b""), 2**8))
        if hashlib.sha256(content).hexdigest() != MNIST_SHA256:
            raise ValueError(f"{files.in_words(len(content))} came, which are not MNIST")
    except (OSError, ValueError, HTTPException) as error:
        problem = f"MNIST is not on this machine and cannot be downloaded from {MNIST_URL} ({files.why(error)})"
        expected = f"--data PATH or MNIST_NPZ=PATH, {IMAGE_FILE}; or --data digits, which needs no download"
        raise BadInput(f"{problem}; expected {expected}") from None
    return content


def _from_path(path: Path, given: str) -> Images:
    try:
        if path.is_dir():
            train, train_labels, test, test_labels = (_idx_file(path, name) for name in IDX_NAMES)
        else:
            train, train_labels, test, test_labels = files.read_npz(path, NPZ_NAMES).values()
        _check("train", train, train_labels)
        _check("test", test, test_labels)
        if train.shape[1:] != test.shape[1:]:
            raise ValueError("training and test images differ in size")
        return Images(train, train_labels.astype(np.uint8), test, test_labels.astype(np.uint8), path.name)
    except (OSError, ValueError) as error:
        raise BadInput(f"{given}: {files.why(error)}; expected {IMAGE_FILE}") from None


def _idx_file(folder: Path, name: str) -> np.ndarray:
    """The array in the IDX file of this name in a folder, whose name may have a dot before `idx`, or end in .gz."""
    spellings = [n + end for n in (name, name.replace("-idx", ".idx")) for end in ("", ".gz")]
    path = next((folder / n for n in spellings if (folder / n).is_file()), None)
    if path is None:
        raise ValueError(f"holds no {name}, with or without .gz")
    try:
        return files.read_idx(path, int(name[name.index("idx") + 3]))
    except (OSError, ValueError) as error:
        raise ValueError(f"{path.name}: {files.why(error)}") from None


def _check(name: str, images: np.ndarray, labels: np.ndarray) -> None:
    """ValueError says what is wrong with the images or with their labels."""
    if images.dtype != np.uint8 or images.ndim != 3:
        raise ValueError(f"x_{name} is {images.dtype} {list(images.shape)}, not uint8 [N, H, W]")
    if len(images) < LEAST or images.size == 0:
        raise ValueError(f"x_{name} is {list(images.shape)}, not at least {LEAST} images")
    if min(images.shape[1:]) < 2:
        raise ValueError(f"images of {images.shape[1]} x {images.shape[2]} pixels, not at least 2 x 2")
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
    each image. BadInput: no PNG, fewer than two, different sizes, sides that 4 does not divide, more than fits.
    """
    if str(folder) == "":
        raise BadInput(f"{flag} '': expected a folder with PNG files")
    root = Path(folder)
    held_out = next((root / name for name in ("val", "test") if (root / name).is_dir()), None)
    if (root / "train").is_dir() and held_out:
        train, test = _png_files(flag, root / "train"), _png_files(flag, held_out)
        images = _read(flag, [*train, *test], columns)
        return Split(images[: len(train)], images[len(train) :], None, root.name)
    paths = _png_files(flag, root)
    if len(paths) < 2:
        raise BadInput(f"{flag} {root}: one PNG file, expected at least two: one is held out")
    images = _read(flag, paths, columns)
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
    try:
        visible = (path for path in folder.iterdir() if not path.name.startswith("."))  # macOS adds hidden ones
        paths = sorted(path for path in visible if path.suffix.lower() == ".png")
    except OSError as error:
        raise BadInput(f"{flag} {folder}: {files.why(error)}; expected a folder with PNG files") from None
    if not paths:
        beside = ", and no val/ or test/ beside train/" if (folder / "train").is_dir() else ""
        raise BadInput(f"{flag} {folder}: holds no PNG file{beside}")
    return paths


def _read(flag: str, paths: list[Path], columns: int) -> np.ndarray:
    """uint8 `[N, H, W, C]`; BadInput if a file cannot be read, or its size differs or is not divisible.

    The headers of all files are read first: whatever is wrong with one of them is told before the first is decoded.
    """
    shapes: list[tuple[int, int, int]] = []
    for path in paths:
        shapes.append(_of_png(flag, path, files.png_shape))
        (height, width, _), (found, expected) = shapes[0], (f"{w} x {h}" for h, w, _ in (shapes[-1], shapes[0]))
        if found != expected:
            raise BadInput(f"{flag} {path}: {found} pixels, expected {expected} as {paths[0].name}")
        if height % 4 or width % (4 * columns):
            wanted = "sides that 4 divides" if columns == 1 else "A|B side by side, the sides of each divisible by 4"
            raise BadInput(f"{flag} {path}: {found} pixels, expected {wanted}")
    shape = len(paths), height, width, max(channels for *_, channels in shapes)
    try:
        files.require_room(math.prod(shape))
    except ValueError as error:
        raise BadInput(f"{flag} {paths[0].parent}: {len(paths)} images of {found} pixels: {error}") from None
    images = np.empty(shape, np.uint8)
    with screen.waiting(f"reading {len(paths)} images") if images.nbytes > 2**24 else contextlib.nullcontext():
        for image, path in zip(images, paths, strict=True):
            image[:] = _of_png(flag, path, files.read_png)
    return images


def _of_png(flag: str, path: Path, read: Callable[[Path], Any]) -> Any:
    """What this function reads of a file; BadInput if it cannot."""
    try:
        return read(path)
    except (OSError, ValueError) as error:
        raise BadInput(f"{flag} {path}: not a PNG image that can be read ({files.why(error)})") from None
