"""Real images: digits, files and folders are read, and whatever is wrong with one of them is one clear line."""

import gzip
import hashlib
import http.client
import io
import os
import subprocess
import sys
import urllib.error
import urllib.request
import zipfile
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import Mock

import numpy as np
import pytest
from helpers import write_pngs
from PIL import Image
from rich.console import Console

from lab import draws, files, pictures, screen
from lab.files import BadInput

SPELLINGS = ["{}", "{}.gz", "{}-dots", "{}-dots.gz"]


def small(n=30, m=20, side=6):
    """Random images by the names an .npz has."""
    rng = np.random.default_rng(0)
    arrays = {}
    for name, size in (("train", n), ("test", m)):
        arrays[f"x_{name}"] = rng.integers(0, 256, (size, side, side), dtype=np.uint8)
        arrays[f"y_{name}"] = rng.integers(0, 10, size, dtype=np.uint8)
    return arrays


def npz(path, **changes):
    """An .npz of `small` with some arrays changed, or left out where None."""
    np.savez(path, **{name: array for name, array in (small() | changes).items() if array is not None})
    return path


def idx(array):
    return bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes() + array.tobytes()


def idx_folder(folder, spelling="{}"):
    """The four IDX files of `small`, with names in one of the usual spellings."""
    folder.mkdir()
    for npz_name, name in zip(pictures.NPZ_NAMES, pictures.IDX_NAMES, strict=True):
        file = spelling.replace("-dots", "").format(name.replace("-idx", ".idx") if "dots" in spelling else name)
        content = idx(small()[npz_name])
        (folder / file).write_bytes(gzip.compress(content) if file.endswith(".gz") else content)
    return folder


def problem(source):
    """The one line about a file that cannot be used."""
    with pytest.raises(BadInput) as error:
        pictures.load(str(source))
    line = str(error.value)
    assert "\n" not in line and line.startswith(f"--data {source}: ") and "; expected an .npz with x_train" in line
    return line


# ---- what loads


def test_digits_are_the_1797_of_scikit_learn_in_full_contrast_split_once_and_for_all():
    images = pictures.load("digits")
    assert images.train.shape == (1437, 8, 8) and images.test.shape == (360, 8, 8) and images.name == "digits"
    assert {a.dtype for a in images[:4]} == {np.dtype(np.uint8)}
    assert (images.train.min(), images.train.max()) == (0, 255)
    assert files.fingerprint(images) == "92356a22e7d71180"
    for labels in (images.train_labels, images.test_labels):  # every digit in its share, within 4 standard errors
        share = np.bincount(labels, minlength=10) / len(labels)
        assert np.abs(share - 0.1).max() < 4 * np.sqrt(0.09 / len(labels))


def test_npz_loads(tmp_path):
    images = pictures.load(str(npz(tmp_path / "clothes.npz")))
    for array, name in zip(images[:4], pictures.NPZ_NAMES, strict=True):
        assert array.dtype == np.uint8 and (array == small()[name]).all()
    assert images.name == "clothes.npz"


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_idx_folder_loads_however_its_files_are_spelt(spelling, tmp_path):
    images = pictures.load(str(idx_folder(tmp_path / "kmnist", spelling)))
    assert all((array == small()[name]).all() for array, name in zip(images[:4], pictures.NPZ_NAMES, strict=True))
    assert images.name == "kmnist"


def test_labels_of_any_integer_type_become_bytes(tmp_path):
    path = npz(tmp_path / "x.npz", y_train=small()["y_train"].astype(np.int64))
    assert pictures.load(str(path)).train_labels.dtype == np.uint8


def test_fingerprint_sees_every_pixel_label_and_the_split(tmp_path):
    images = pictures.load(str(npz(tmp_path / "x.npz")))
    pixels, labels = images.test.copy(), images.test_labels.copy()
    pixels[-1, -1, -1] ^= 1
    labels[0] = (labels[0] + 1) % 10
    others = [images._replace(test=pixels), images._replace(test_labels=labels)]
    split = [np.concatenate([images.train, images.test])[i] for i in (slice(31), slice(31, None))]
    others.append(images._replace(train=split[0], test=split[1]))
    prints = [files.fingerprint(i) for i in (images, *others)]
    assert len(set(prints)) == 4 and all(len(p) == 16 for p in prints)
    assert files.fingerprint(images._replace(name="y")) == prints[0]


def test_pixels_reach_from_0_to_1():
    pixels = pictures.as_pixels(np.arange(256, dtype=np.uint8))
    assert pixels.dtype == np.float32 and (pixels[0], pixels[-1]) == (0, 1)
    assert (np.round(pixels * 255) == np.arange(256)).all()


def test_side_of_square_images():
    arrays = small()
    images = pictures.Images(*(arrays[name] for name in pictures.NPZ_NAMES), "x.npz")
    assert pictures.square_side(images) == pictures.square_side(images, "folder/x.npz", multiple_of=3) == 6
    with pytest.raises(BadInput, match=r"^--data folder/x.npz: images of 6 x 5 pixels, expected square ones$"):
        pictures.square_side(images._replace(train=images.train[:, :, 1:]), "folder/x.npz")
    with pytest.raises(BadInput, match=r"^--data x.npz: images of 6 x 6 pixels, .*a multiple of 4$"):
        pictures.square_side(images, multiple_of=4)


def test_triples_are_independent_and_a_function_of_seed_and_stream():
    first, again, other = (pictures.random_triples(128_000, 60_000, seed) for seed in (0, 0, 1))
    assert first.dtype == np.int32 and first.shape == (128_000, 3) and (first == again).all()
    assert (first != other).mean() > 0.99 and (first[:, 0] != first[:, 1]).mean() > 0.99
    assert 0 <= first.min() < 10 and 59_990 <= first.max() < 60_000
    correlation = np.corrcoef(first.T)[np.triu_indices(3, 1)]
    assert np.abs(correlation).max() < 5 / 128_000**0.5
    evaluation = pictures.random_triples(128_000, 60_000, 0, draws.EVALUATION)
    assert (first != evaluation).mean() > 0.99


# ---- MNIST: from the environment, or downloaded


@pytest.mark.parametrize("source", [None, "mnist"])
def test_environment_names_the_file_of_mnist(source, tmp_path, monkeypatch):
    monkeypatch.setenv("MNIST_NPZ", str(npz(tmp_path / "x.npz")))
    images = pictures.load(source)
    assert images.name == "mnist" and (images.test == small()["x_test"]).all()
    monkeypatch.setenv("MNIST_NPZ", "nowhere.npz")
    with pytest.raises(BadInput, match=r"^MNIST_NPZ=nowhere.npz: no such file or directory; expected an .npz"):
        pictures.load(source)


@pytest.fixture
def internet(tmp_path, monkeypatch):
    """What is downloaded in the place of MNIST, and each download; no network is used, and no home folder."""
    content = npz(tmp_path / "origin.npz").read_bytes()
    web = SimpleNamespace(content=content, error=None, calls=[])

    def urlopen(url, timeout):
        web.calls.append((url, timeout))
        if web.error:
            raise web.error
        return io.BytesIO(web.content)

    monkeypatch.setattr(urllib.request, "urlopen", urlopen)
    monkeypatch.setattr(pictures, "MNIST_SHA256", hashlib.sha256(content).hexdigest())
    monkeypatch.delenv("MNIST_NPZ", raising=False)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    return web


def is_small(images):
    assert images.name == "mnist"
    return all((array == small()[name]).all() for array, name in zip(images[:4], pictures.NPZ_NAMES, strict=True))


def test_mnist_is_downloaded_once_and_kept_where_keras_keeps_it(internet, tmp_path, capfd):
    assert is_small(pictures.load(None))
    assert internet.calls == [(pictures.MNIST_URL, 30)]
    assert capfd.readouterr() == ("downloading MNIST, 11.5 MB, once\n", "")
    assert [p.name for p in (tmp_path / "keras" / "datasets").iterdir()] == ["mnist.npz"]
    assert is_small(pictures.load("mnist")) and len(internet.calls) == 1 and capfd.readouterr().out == ""


def test_a_bar_shows_the_download_on_a_terminal(internet, monkeypatch):
    terminal = io.StringIO()
    monkeypatch.setattr(screen, "console", Console(file=terminal, force_terminal=True))
    assert is_small(pictures.load(None)) and "downloading MNIST \x1b" in terminal.getvalue()


@pytest.mark.parametrize("damage", [lambda path: path.write_bytes(b""), lambda path: path.write_bytes(bytes(9000))])
def test_a_kept_file_that_is_not_mnist_is_downloaded_again(damage, internet, tmp_path):
    pictures.load(None)
    damage(tmp_path / "keras" / "datasets" / "mnist.npz")
    assert is_small(pictures.load(None)) and is_small(pictures.load(None)) and len(internet.calls) == 2


def test_mnist_stays_in_memory_where_it_cannot_be_kept(internet, tmp_path, monkeypatch, capsys):
    (tmp_path / "keras").touch()
    assert is_small(pictures.load(None))
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2 and "MNIST cannot be kept" in lines[1] and "downloaded again next time" in lines[1]
    monkeypatch.delenv("KERAS_HOME")
    monkeypatch.setattr(Path, "home", home := Mock(side_effect=RuntimeError("Could not determine home directory.")))
    assert is_small(pictures.load(None)) and home.called and len(internet.calls) == 2
    assert "MNIST cannot be kept (Could not determine home directory.)" in capsys.readouterr().out


ERRORS = {
    "Name or service not known": urllib.error.URLError("[Errno -2] Name or service not known"),
    "timed out": TimeoutError("timed out"),
    "IncompleteRead": http.client.IncompleteRead(b""),
    "HTTP Error 404": urllib.error.HTTPError(pictures.MNIST_URL, 404, "Not Found", {}, None),
    "9 kB came, which are not MNIST": bytes(9000),
}


@pytest.mark.parametrize("words", ERRORS)
def test_a_failed_download_is_one_line_that_names_the_alternatives_and_leaves_nothing(words, internet, tmp_path):
    internet.error = None if isinstance(ERRORS[words], bytes) else ERRORS[words]
    internet.content = ERRORS[words]
    with pytest.raises(BadInput, match="--data PATH or MNIST_NPZ=PATH.*or --data digits") as error:
        pictures.load(None)
    assert "\n" not in str(error.value) and words in str(error.value)
    assert not (tmp_path / "keras").exists()


def test_a_download_ends_at_16_megabytes(internet):
    internet.content = bytes(2**25)
    with pytest.raises(BadInput, match="16.8 MB came, which are not MNIST"):
        pictures.load(None)


def test_images_are_loaded_without_keras():
    code = "import sys; from lab.pictures import load; load('digits'); print('keras' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "False\n"


# ---- what is wrong with a file


def test_missing_file(tmp_path):
    assert "no such file" in problem(tmp_path / "x.npz")
    with pytest.raises(BadInput, match="^--data '': expected an .npz with x_train"):
        pictures.load("")


def test_files_that_are_no_npz(tmp_path):
    (tmp_path / "text.npz").write_text("hello")
    np.save(tmp_path / "x.npy", np.zeros(3))
    (tmp_path / "empty.npz").touch()
    for name in ("text.npz", "x.npy", "empty.npz"):
        assert "not an .npz file" in problem(tmp_path / name)


def test_damaged_npz(tmp_path):
    path = npz(tmp_path / "x.npz")
    content = bytearray(path.read_bytes())
    content[300] ^= 1  # within the first array: its checksum no longer fits
    path.write_bytes(content)
    assert "damaged" in problem(path)
    path.write_bytes(content[:-200])
    assert "not an .npz file" in problem(path)


def test_member_that_is_no_array(tmp_path):
    path = npz(tmp_path / "x.npz", y_test=None)
    with zipfile.ZipFile(path, "a") as file:
        file.writestr("y_test.npy", "hello")
    assert "y_test" in problem(path)


SMALL = small()
CHANGES = {
    "holds no y_train, x_test": {"y_train": None, "x_test": None},
    "x_train is float32": {"x_train": SMALL["x_train"].astype("f")},
    r"x_test is uint8 [20, 6, 6, 1], not uint8 [N, H, W]": {"x_test": SMALL["x_test"][..., None]},
    "x_test is [0, 6, 6], not at least 6 images": {"x_test": SMALL["x_test"][:0], "y_test": SMALL["y_test"][:0]},
    "x_train is [5, 6, 6], not at least 6": {"x_train": SMALL["x_train"][:5], "y_train": SMALL["y_train"][:5]},
    "x_train is [30, 0, 6], not at least": {"x_train": SMALL["x_train"][:, :0]},
    "images of 1 x 1 pixels, not at least 2 x 2": {"x_train": SMALL["x_train"][:, :1, :1]},
    "every pixel of x_train is 7": {"x_train": np.full_like(SMALL["x_train"], 7)},
    "y_train is uint8 [29], not a whole number for each of 30 images": {"y_train": SMALL["y_train"][1:]},
    "y_test is float64": {"y_test": SMALL["y_test"] / 1},
    "from 0 to 10": {"y_test": np.append(SMALL["y_test"][2:], [0, 10])},
    "from -1 to": {"y_test": np.append(SMALL["y_test"][1:].astype(int), -1)},
    "differ in size": {"x_test": SMALL["x_test"][:, 1:]},
    "holds Python objects, not numbers": {"y_train": np.array([None, "a"], object)},
}


@pytest.mark.parametrize("line", CHANGES)
def test_wrong_array_is_named(line, tmp_path):
    assert line in problem(npz(tmp_path / "x.npz", **CHANGES[line]))


def test_folder_without_one_of_the_files(tmp_path):
    folder = idx_folder(tmp_path / "x")
    (folder / "t10k-labels-idx1-ubyte").unlink()
    assert "holds no t10k-labels-idx1-ubyte" in problem(folder)


IMAGES = idx(SMALL["x_train"])
CONTENTS = {
    "starts with 00000801, not with 00000803": idx(SMALL["y_train"]),
    "starts with nothing": b"",
    "ends within its header": IMAGES[:10],
    "1079 bytes of data, not the 1080 its header announces": IMAGES[:-1],
    "1081 bytes of data": IMAGES + b"x",
}


@pytest.mark.parametrize("line", CONTENTS)
def test_wrong_idx_file_is_named(line, tmp_path):
    folder = idx_folder(tmp_path / "x")
    (folder / "train-images-idx3-ubyte").write_bytes(CONTENTS[line])
    assert f"train-images-idx3-ubyte: {line}" in problem(folder)


@pytest.mark.parametrize("content", [gzip.compress(IMAGES)[:-20], IMAGES, gzip.compress(IMAGES)[:-8] + b"12345678"])
def test_damaged_gzip_is_named(content, tmp_path):
    folder = idx_folder(tmp_path / "x", "{}.gz")
    (folder / "train-images-idx3-ubyte.gz").write_bytes(content)
    assert "train-images-idx3-ubyte.gz: damaged" in problem(folder)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_file_that_may_not_be_read(tmp_path):
    path = npz(tmp_path / "x.npz")
    path.chmod(0)
    assert "permission denied" in problem(path)


# ---- folders of PNG


def test_a_tenth_of_a_folder_is_held_out_and_every_picture_is_on_one_side(tmp_path):
    split = pictures.read_folder("--pairs", write_pngs(tmp_path, 30, 4, 8), seed=1)
    assert split.train.shape == (27, 4, 8, 1) and split.test.shape == (3, 4, 8, 1)
    everything = sorted(x.tobytes() for x in np.concatenate([split.train, split.test]))
    assert everything == sorted(np.asarray(Image.open(p)).tobytes() for p in tmp_path.glob("*.png"))
    assert (pictures.read_folder("--pairs", tmp_path, seed=1).test == split.test).all()
    assert (pictures.read_folder("--pairs", tmp_path, seed=2).test != split.test).any()
    assert pictures.described(split.train, split.test) == "27 images to train on, 3 held out, 8 x 4, grey"


@pytest.mark.parametrize("held_out", ["val", "test"])
def test_train_and_held_out_folders_are_taken_as_they_are_and_colour_makes_all_rgb(held_out, tmp_path):
    write_pngs(tmp_path / "train", 3, 4, 4, "L")
    write_pngs(tmp_path / held_out, 2, 4, 4, "RGBA")
    (tmp_path / held_out / "._000.png").write_text("macOS keeps what it knows of a file beside it")
    split = pictures.read_folder("--domain-a", tmp_path, seed=0)
    assert split.train.shape == (3, 4, 4, 3) and split.test.shape == (2, 4, 4, 3)
    assert (split.train[..., 0] == split.train[..., 2]).all() and split.name == tmp_path.name
    with Image.open(tmp_path / held_out / "000.png") as picture:
        assert (split.test[0] == np.asarray(picture)[..., :3]).all()
    assert "4 x 4, in colour" in pictures.described(split.train, split.test)


def test_pictures_of_16_bits_keep_their_shades(tmp_path):
    shades = np.linspace(0, 65535, 16).reshape(4, 4).astype(np.uint16)
    for k in range(2):
        Image.fromarray(shades).save(tmp_path / f"{k}.png")
    split = pictures.read_folder("--domain-a", tmp_path, seed=0)
    assert split.train[0, ..., 0].ravel().tolist() == list(range(0, 256, 17))


@pytest.mark.parametrize(
    "name, columns, words",
    [
        ("missing", 1, ["missing", "no such folder"]),
        ("empty", 1, ["empty", "no PNG"]),
        ("mixed", 2, ["mixed", "z.png", "8 x 4 pixels", "expected 16 x 4"]),
        ("odd", 2, ["odd", "12 x 4 pixels", "A|B side by side"]),
        ("uneven", 1, ["uneven", "10 x 4 pixels", "4 divides"]),
        ("broken", 2, ["000.png", "not a PNG image"]),
        ("one", 2, ["one PNG file", "at least two"]),
        ("folder.png", 1, ["a.png", "not a PNG image that can be read (a folder)"]),
        ("large", 1, ["large: 3 images of 8 x 4 pixels: 96 bytes of data, and only 150 bytes of memory are free"]),
    ],
)
def test_folder_that_cannot_be_used_is_named_with_its_fault(name, columns, words, tmp_path, monkeypatch):
    folder = tmp_path / name
    sizes = {
        "mixed": (4, (4, 16)),
        "odd": (4, (4, 12)),
        "uneven": (4, (4, 10)),
        "broken": (3, (4, 8)),
        "one": (1, (4, 8)),
        "folder.png": (3, (4, 8)),
        "large": (3, (4, 8)),
    }
    if name in sizes:
        write_pngs(folder, sizes[name][0], *sizes[name][1])
    elif name == "empty":
        folder.mkdir()
    if name == "mixed":
        write_pngs(tmp_path / "extra", 1, 4, 8)
        (tmp_path / "extra" / "000.png").rename(folder / "z.png")
    if name == "broken":
        (folder / "000.png").write_bytes(b"not a picture")
    if name == "folder.png":
        (folder / "a.png").mkdir()
    if name == "large":
        monkeypatch.setattr(files, "free_memory", lambda: 150)
    with pytest.raises(BadInput) as error:
        pictures.read_folder("--pairs", folder, seed=0, columns=columns)
    line = str(error.value)
    assert line.startswith("--pairs ") and "\n" not in line and all(word in line for word in words), line


def test_an_empty_name_is_not_the_working_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(write_pngs(tmp_path, 3, 4, 8))
    with pytest.raises(BadInput, match="^--pairs '': expected a folder with PNG files$"):
        pictures.read_folder("--pairs", "", seed=0)


def test_whatever_is_wrong_with_the_last_header_is_told_before_the_first_picture_is_decoded(tmp_path, monkeypatch):
    write_pngs(tmp_path, 3, 4, 8)
    (tmp_path / "zzz.png").write_bytes(b"not a picture")
    monkeypatch.setattr(files, "read_png", Mock(side_effect=AssertionError))
    with pytest.raises(BadInput, match="zzz.png: not a PNG image that can be read"):
        pictures.read_folder("--pairs", tmp_path, seed=0)
