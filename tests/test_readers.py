"""Damaged files: each reader of user data refuses them in one line, or returns right data; nothing else happens."""

import gzip
import io
import tracemalloc
from collections.abc import Callable
from dataclasses import asdict
from typing import Any, NamedTuple

import numpy as np
import pytest
from helpers import attacked
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from experiments import cyclegan, mixture_2d, normal_1d, pix2pix
from lab import files, pictures, storage, targets
from lab.files import BadInput

RNG = np.random.default_rng(0)
NUMBERS, POINTS = RNG.standard_normal(40), RNG.standard_normal((60, 2))
IMAGES = [RNG.integers(0, 10, shape, np.uint8) for shape in ((20, 6, 5), 20, (9, 6, 5), 9)]
PIXELS = RNG.integers(0, 256, (3, 8, 4), dtype=np.uint8)


def written(write: Callable[..., Any], *args: Any, **arrays: Any) -> bytes:
    """What this function writes into a file."""
    file = io.BytesIO()
    write(file, *args, **arrays)
    return file.getvalue()


def idx(array: np.ndarray) -> bytes:
    return bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes() + array.tobytes()


def png(pixels: np.ndarray) -> bytes:
    return written(lambda file: Image.fromarray(pixels).save(file, "PNG"))


class Reader(NamedTuple):
    """An intact file, how it is read, what it holds, and whether checksums protect every byte of that."""

    content: bytes
    read: Callable
    right: list[np.ndarray]
    checked: bool


def numbers(path):
    targets._parsed.cache_clear()  # which knows a file by its size and the time of its last change
    return [targets.read_numbers(path)]


def points(path):
    targets._parsed.cache_clear()
    return [targets.read_points(path)]


def npz(path):
    return pictures.load(str(path))[:4]


def idx_folder(path):
    return pictures.load(str(path.parent))[:4]


def png_folder(path):
    return pictures.read_folder("--pairs", path.parent.parent, seed=0)[:2]


def config(path):
    found = storage.load_config(path.parent, "--resume", normal_1d.Config)
    return [np.array([found.steps, found.learning_rate, *found.generator_hidden])]


SETTINGS: dict[str, Any] = {"format": storage.FORMAT, "experiment": "normal_1d", "recipe": "stable"}
SETTINGS["config"] = asdict(normal_1d.Config())
CONFIG = files.json_text(SETTINGS | {"checksum": files._checksum(SETTINGS)}).encode()
ARRAYS = dict(zip(pictures.NPZ_NAMES, IMAGES, strict=True))
READERS = {  # a new reader is a line here, and its other files, if it needs any, are lines below
    "numbers.npy": Reader(written(np.save, NUMBERS), numbers, [NUMBERS], False),
    "numbers.csv": Reader(b"value\r\n" + written(np.savetxt, NUMBERS, "%.17g"), numbers, [NUMBERS], False),
    "points.npy": Reader(written(np.save, POINTS), points, [POINTS], False),
    "points.txt": Reader(written(np.savetxt, POINTS, "%.17g", delimiter="; "), points, [POINTS], False),
    "images.npz": Reader(written(np.savez, **ARRAYS), npz, IMAGES, True),
    "small.npz": Reader(written(np.savez_compressed, **ARRAYS), npz, IMAGES, True),
    "idx/train-images-idx3-ubyte": Reader(idx(IMAGES[0]), idx_folder, IMAGES, False),
    "gz/t10k-images-idx3-ubyte.gz": Reader(gzip.compress(idx(IMAGES[2])), idx_folder, IMAGES, True),
    "run/config.json": Reader(CONFIG, config, [np.array([8000, 8e-3, 8, 8, 8, 8, 8])], True),
    "pngs/val/2.png": Reader(png(PIXELS[2]), png_folder, [PIXELS[:2, ..., None], PIXELS[2:, ..., None]], True),
}
IDX = dict(zip(pictures.IDX_NAMES, map(idx, IMAGES), strict=True))
OTHERS = {f"idx/{name}": content for name, content in IDX.items()}
OTHERS |= {f"gz/{name}": content for name, content in IDX.items() if f"gz/{name}.gz" not in READERS}
OTHERS |= {f"pngs/train/{k}.png": png(PIXELS[k]) for k in range(2)}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with all files, intact."""
    folder = tmp_path_factory.mktemp("readers")
    for name, content in (OTHERS | {name: reader.content for name, reader in READERS.items()}).items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def the_same(found, right):
    return all(a.shape == b.shape and (a == b).all() for a, b in zip(found, right, strict=True))


@pytest.mark.parametrize("name", READERS)
def test_intact_files_are_read_as_they_were_written(name, folder):
    assert the_same(READERS[name].read(folder / name), READERS[name].right)


@pytest.mark.parametrize("name", READERS)
@settings(max_examples=150, deadline=None, derandomize=True, database=None)
@given(data=st.data())
def test_damaged_files_are_refused_in_one_line_or_give_right_data(name, folder, data):
    reader, path = READERS[name], folder / name
    content = data.draw(attacked(reader.content))
    path.write_bytes(content)
    tracemalloc.start()
    try:
        found = reader.read(path)
    except BadInput as error:
        line = str(error)
        assert len(line.splitlines()) == 1 and str(folder) in line and content != reader.content
    else:
        assert all(np.isfinite(array).all() and array.size for array in found)
        assert the_same(found, reader.right) or not (reader.checked or content == reader.content)
    finally:
        assert tracemalloc.get_traced_memory()[1] < 2**25
        tracemalloc.stop()
        path.write_bytes(reader.content)


# ---- flags beside a file


@pytest.mark.parametrize(
    "module, settings",
    [
        (normal_1d, {"data": "x.csv"}),
        (mixture_2d, {"target": "x.csv"}),
        (pix2pix, {"pairs": "x", "train_images": 9}),
        (cyclegan, {"domain_a": "a", "domain_b": "b"}),
        (cyclegan, {"data": "digits", "frame": "mnist", "train_images": 9}),
    ],
)
def test_flags_that_a_file_does_not_replace_are_taken(module, settings):
    assert module.Config(**settings)
