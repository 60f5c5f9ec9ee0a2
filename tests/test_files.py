"""Files that are written whole or not at all, and readers that refuse hostile files before they read them."""

import errno
import gzip
import os
import struct
import subprocess
import sys
import tracemalloc
import zipfile
import zlib
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from lab import files


def refused(read, *words):
    """The reason for which a file is not read, after little work: no more than 40 MB are allocated."""
    tracemalloc.start()
    try:
        with pytest.raises((ValueError, OSError)) as error:
            read()
        assert tracemalloc.get_traced_memory()[1] < 40e6
    finally:
        tracemalloc.stop()
    reason = files.why(error.value)
    assert "\n" not in reason and all(word in reason for word in words), reason
    return reason


def sparse(path, size, start=b"", end=b""):
    """A file of `size` bytes, of which only the start and the end are on the disk."""
    with path.open("wb") as file:
        file.write(start)
        file.truncate(size)
        file.seek(size - len(end))
        file.write(end)
    return path


# ---- writing


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path):
    path = tmp_path / "new" / "x.txt"
    with files.replacing(path) as temporary:
        temporary.write_text("one")
        assert not path.exists()
    with pytest.raises(KeyError), files.replacing(path) as temporary:
        temporary.write_text("half of")
        raise KeyError
    assert path.read_text() == "one" and list(path.parent.iterdir()) == [path]


def test_an_error_without_a_file_names_the_file_that_was_written(tmp_path):
    with pytest.raises(OSError, match="x.txt") as error, files.replacing(tmp_path / "x.txt"):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert error.value.errno == errno.ENOSPC and files.why(error.value) == "no space left on device"
    with pytest.raises(OSError, match="other"), files.named(tmp_path / "x.txt"):
        raise OSError(errno.ENOSPC, "No space left on device", "other")


def test_sweep_removes_temporary_files_and_folders_alone(tmp_path):
    for name in (".x.tmp123.json", "deep/.y.tmp", ".figures.tmp/overview.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "x.json").touch()
    files.sweep(tmp_path)
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["deep", "x.json"]


def test_damaged_files_are_set_aside_under_names_of_their_own(tmp_path):
    names = []
    for k in range(3):
        (tmp_path / "x.json").write_text(str(k))
        names.append(files.set_aside(tmp_path / "x.json").name)
    assert names == ["x.json.damaged", "x.json.damaged-2", "x.json.damaged-3"]
    assert [(tmp_path / name).read_text() for name in names] == ["0", "1", "2"]


def test_json_is_strict_and_a_changed_value_shows(tmp_path):
    path = tmp_path / "x.json"
    files.write_json(path, {"a": [1, 0.1, None]})
    assert files.read_json(path) == {"a": [1, 0.1, None]}
    with pytest.raises(ValueError, match="not JSON compliant"):
        files.write_json(path, {"a": np.nan})
    assert files.read_json(path) == {"a": [1, 0.1, None]}
    files.write_checked_json(path, {"a": 1.5})
    assert files.read_checked_json(path) == ({"a": 1.5}, True)
    path.write_text(path.read_text().replace("1.5", "2.5"))
    assert files.read_checked_json(path) == ({"a": 2.5}, False)
    path.write_text('{"a": 1}')
    assert files.read_checked_json(path) == ({"a": 1}, False)
    assert files.without_nan({"a": [np.nan, 1.0], "b": (float("inf"),)}) == {"a": [None, 1.0], "b": [None]}


@pytest.mark.parametrize(
    "text, words",
    [
        ("", "Expecting value"),
        ("NaN", "NaN is not a number in JSON"),
        ("[Infinity]", "Infinity is not a number"),
        ("[" * 100_000, "nested too deeply"),
        ("1" * 5000, "digits"),
        ('{"a": 1', "delimiter"),
    ],
)
def test_what_is_no_json_is_refused(text, words, tmp_path):
    (tmp_path / "x.json").write_text(text)
    refused(lambda: files.read_json(tmp_path / "x.json"), words)


def test_a_list_is_no_object(tmp_path):
    (tmp_path / "x.json").write_text("[1]")
    refused(lambda: files.read_checked_json(tmp_path / "x.json"), "not a JSON object")


# ---- what is no regular file


@pytest.mark.parametrize("read", [files.read_text, files.read_npy, files.read_npz, files.read_png])
def test_devices_pipes_and_folders_are_not_opened(read, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "zero").symlink_to("/dev/zero")
    for name, words in (("pipe", "not a regular file"), ("zero", "not a regular file"), ("", "a folder")):
        refused(lambda name=name: read(tmp_path / name), words)
    refused(lambda: read(tmp_path / "none"), "no such file or directory")


# ---- texts


def test_text_with_and_without_a_byte_order_mark(tmp_path):
    for content in ("für".encode(), "für".encode("utf-8-sig")):
        (tmp_path / "x.txt").write_bytes(content)
        assert files.read_text(tmp_path / "x.txt") == "für"


@pytest.mark.parametrize(
    "content, words",
    [
        ("1\n2\n".encode("utf-16"), "holds zero bytes"),
        (b"1\n" * 2**20 + b"\0", "holds zero bytes"),
        ("größe".encode("latin-1"), "not a text in UTF-8: byte 2 is 0xf6"),
    ],
)
def test_other_encodings_are_refused(content, words, tmp_path):
    (tmp_path / "x.txt").write_bytes(content)
    refused(lambda: files.read_text(tmp_path / "x.txt"), words)


def test_a_text_may_be_too_long(tmp_path, monkeypatch):
    refused(lambda: files.read_text(sparse(tmp_path / "x.txt", 2**40)), "1.1 TB, expected at most")
    refused(lambda: files.read_text(sparse(tmp_path / "x.txt", 2**30, b"1\n" * 10_000)), "holds zero bytes")
    (tmp_path / "x.txt").write_text("12345")
    refused(lambda: files.read_text(tmp_path / "x.txt", at_most=4), "5 bytes, expected at most 4 bytes")
    monkeypatch.setattr(files, "free_memory", lambda: 64)
    refused(lambda: files.read_text(tmp_path / "x.txt"), "expected at most 4 bytes")


@pytest.mark.parametrize(
    "text, rows",
    [
        ("1\n2\n", [[1], [2]]),
        ("\ufeff1\r\n2\r\n", [[1], [2]]),
        ("1\r2", [[1], [2]]),
        ("x, y_1\n1, 2\n3,4,\n", [[1, 2], [3, 4]]),
        ("# 100 draws\n# x\nvalue\n 1 ;\t-2e3 ;\n\n.5;+6\n", [[1, -2000], [0.5, 6]]),
        ("1e400\nnan\n-Infinity", [[np.inf], [np.nan], [-np.inf]]),
        ("123456789012345678901234567890", [[123456789012345678901234567890.0]]),
        ("value\n", []),
        (" \n\r\n", []),
    ],
)
def test_rows_of_numbers(text, rows, tmp_path):
    (tmp_path / "x.csv").write_bytes(text.encode())
    found = files.read_rows(tmp_path / "x.csv")
    assert found.dtype == np.float64 and found.ndim == 2
    np.testing.assert_array_equal(found, np.reshape(rows, (len(rows), -1)) if rows else np.empty((0, 1)))


@pytest.mark.parametrize(
    "text, words",
    [
        ("1\ntwo\n", "line 2: 'two' is not a number"),
        ("value\nother\n1\n", "line 2: 'other'"),
        ("1_000\n1\n", "line 1: '1_000' is not a number"),  # as a header it would be lost
        ("0x1F\n1\n", "line 1: '0x1F'"),
        ("1.5, name\n1, 2\n", "line 1: 'name'"),
        ("1\n1_000\n", "line 2: '1_000'"),
        ("1,,2\n", "line 1: '' is not a number"),
        ("1,2\n\n3\n", "line 3: rows of 2 and of 1 numbers"),
        ("1\n" + "7" * 20_000, "line 2 has 20000 characters"),
        ("1\n" + "x" * 5000, "line 2: '" + "x" * 40 + "' is not a number"),
        ("1,2,3\n" * 2 + "1 " * 9999, "line 3 has"),
    ],
)
def test_rows_that_are_none_are_named(text, words, tmp_path):
    (tmp_path / "x.csv").write_text(text)
    assert len(refused(lambda: files.read_rows(tmp_path / "x.csv"), words)) < 200


# ---- arrays


def npy(descr, shape, data=b"", version=(1, 0)):
    """A .npy file with any header."""
    text = f"{{'descr': {descr!r}, 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY" + bytes(version) + struct.pack("<H" if version == (1, 0) else "<I", len(text)) + text + data


ARRAYS = [
    np.arange(6.0).reshape(2, 3),
    np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    np.arange(4, dtype=">i2"),
    np.float32(3),
    np.array([True, False]),
    np.array(["ab", "c"]),
    np.empty((0, 5), np.uint8),
    np.arange(3, dtype=np.longdouble),
]


@pytest.mark.parametrize("array", ARRAYS)
def test_arrays_come_back_as_they_were_written(array, tmp_path):
    np.save(tmp_path / "x.npy", array)
    np.savez(tmp_path / "x.npz", a=array, b=np.zeros(3))
    np.savez_compressed(tmp_path / "y.npz", a=array)
    with (tmp_path / "2.npy").open("wb") as file:
        np.lib.format.write_array(file, np.asanyarray(array), version=(2, 0))
    found = [files.read_npy(tmp_path / name) for name in ("x.npy", "2.npy")]
    found += [files.read_npz(tmp_path / "x.npz", ["a"])["a"], files.read_npz(tmp_path / "y.npz")["a"]]
    for copy in found:
        assert copy.dtype == array.dtype and copy.shape == array.shape and (copy == array).all()
    assert list(files.read_npz(tmp_path / "x.npz")) == ["a", "b"] and list(
        files.read_npz(tmp_path / "x.npz", {"b"})
    ) == ["b"]


@pytest.mark.parametrize(
    "content, words",
    [
        (npy("<f8", "(1000000000000,)", bytes(80)), "80 bytes of data, not the 8000000000000 its header announces"),
        (npy("<f8", f"({10**30},)", bytes(80)), "its header announces"),
        (npy("<f8", "(-20, -1)", bytes(160)), "a shape of (-20, -1)"),
        (npy("<f8", "(2,)", bytes(17)), "17 bytes of data, not the 16"),
        (npy("<U0", "(1000000000000,)"), "not numbers"),
        (npy("|O", "(3,)", bytes(24)), "holds Python objects, not numbers"),
        (npy([("a", "<f8"), ("b", "<f8")], "(3,)", bytes(48)), "not numbers"),
        (npy("<c16", "(3,)", bytes(48)), "of type complex128, not numbers"),
        (npy("<M8[s]", "(3,)", bytes(24)), "not numbers"),
        (npy("<f8", "(2,)", bytes(16), (3, 0)), "version 3.0 of the .npy format, expected 1.0 or 2.0"),
        (b"\x93NUMPY\x02\x00" + struct.pack("<I", 2**32 - 1), "a header of 4.29 GB"),
        (b"\x93NUMPY\x01\x00" + struct.pack("<H", 9000) + b"[" * 9000, "damaged"),
        (b"\x93NUMPY\x01\x00" + struct.pack("<H", 20) + b"{'descr': 1 is 1 \n  ", ""),
        (b"\x93NUMPY\x01\x00" + struct.pack("<H", 4) + b"'''\n", "damaged"),
        (b"\x93NUMPY", ""),
        (b"", ""),
        (b"no array at all", "magic string"),
    ],
)
def test_headers_that_lie_are_refused(content, words, tmp_path):
    (tmp_path / "x.npy").write_bytes(content)
    refused(lambda: files.read_npy(tmp_path / "x.npy"), words)
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as archive:
        archive.writestr("a.npy", content)
    refused(lambda: files.read_npz(tmp_path / "x.npz"), words)


def test_arrays_larger_than_the_memory_are_refused(tmp_path, monkeypatch):
    start = npy("<f8", f"({2**37},)")
    refused(lambda: files.read_npy(sparse(tmp_path / "x.npy", len(start) + 2**40, start)), "1.1 TB of data, and only")
    np.save(tmp_path / "y.npy", np.zeros(100))
    monkeypatch.setattr(files, "free_memory", lambda: 1000)
    refused(lambda: files.read_npy(tmp_path / "y.npy"), "800 bytes of data, and only 1 kB of memory")


def test_archives_that_expand_too_much_are_refused(tmp_path, monkeypatch):
    def archive(name, method, arrays, megabytes):
        with zipfile.ZipFile(tmp_path / name, "w", method) as file:
            for k in range(arrays):
                with file.open(f"{k}.npy", "w") as member:
                    member.write(npy("|u1", f"({megabytes * 2**20},)"))
                    for _ in range(megabytes):
                        member.write(bytes(2**20))
        return lambda: files.read_npz(tmp_path / name)

    refused(archive("one.npz", zipfile.ZIP_DEFLATED, 1, 20), "expands from 20.6 kB to 21 MB, as real data do not")
    refused(archive("parts.npz", zipfile.ZIP_DEFLATED, 4, 5), "as real data do not")  # each is harmless
    for method in (zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):  # which zipfile expands without a limit
        refused(archive("x.npz", method, 1, 1), "compressed in another way than NumPy does")
    assert archive("small.npz", zipfile.ZIP_DEFLATED, 1, 5)()["0"].nbytes == 5 * 2**20
    monkeypatch.setattr(files, "free_memory", lambda: 2**20)
    refused(lambda: files.read_npz(tmp_path / "small.npz"), "of memory are free")


def end_of_archive(entries, size, offset):
    return b"PK\5\6" + struct.pack("<HHHHIIH", 0, 0, entries, entries, size, offset, 0)


def test_archives_with_a_directory_of_gigabytes_are_refused(tmp_path):
    size = 2**31
    path = sparse(tmp_path / "x.npz", size + 22, b"PK", end_of_archive(1, size - 100, 100))
    refused(lambda: files.read_npz(path), "its directory is too large")
    with zipfile.ZipFile(tmp_path / "y.npz", "w") as archive:
        for k in range(25_000):
            archive.writestr(str(k), b"")
    refused(lambda: files.read_npz(tmp_path / "y.npz"), "its directory is too large")


def test_what_is_no_archive_and_what_is_missing_in_one(tmp_path):
    (tmp_path / "x.npz").write_text("hello")
    refused(lambda: files.read_npz(tmp_path / "x.npz"), "not an .npz file")
    np.savez(tmp_path / "y.npz", a=1)
    refused(lambda: files.read_npz(tmp_path / "y.npz", ["a", "b", "c"]), "holds no b, c")
    content = bytearray((tmp_path / "y.npz").read_bytes())
    content[content.index(b"NUMPY") + 120] ^= 1
    (tmp_path / "y.npz").write_bytes(content)
    refused(lambda: files.read_npz(tmp_path / "y.npz"), "damaged (Bad CRC-32 for file 'a.npy')")


def test_large_arrays_in_archives_are_read_without_a_second_copy(tmp_path):
    np.savez(tmp_path / "x.npz", a=np.ones(2**22))  # 34 MB
    tracemalloc.start()
    assert files.read_npz(tmp_path / "x.npz")["a"].sum() == 2**22
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1.3 * 2**25


# ---- IDX


def idx(shape, data=b""):
    return bytes([0, 0, 8, len(shape)]) + np.array(shape, ">u4").tobytes() + data


def test_idx_files_come_back_as_they_were_written(tmp_path):
    array = np.random.default_rng(0).integers(0, 256, (5, 4, 3), dtype=np.uint8)
    content = idx(array.shape, array.tobytes())
    half = len(content) // 2
    parts = gzip.compress(content[:half]) + gzip.compress(content[half:])
    for name, written in (("x", content), ("x.gz", gzip.compress(content)), ("two.gz", parts)):
        (tmp_path / name).write_bytes(written)
        assert (files.read_idx(tmp_path / name, 3) == array).all()


@pytest.mark.parametrize(
    "name, content, words",
    [
        ("x", idx((2**32 - 1,) * 3), "0 bytes of data, not the 79228162458924105385300197375 its header announces"),
        ("x.gz", gzip.compress(idx((2**32 - 1,) * 3), mtime=0), "as real data do not"),
        (
            "x.gz",
            gzip.compress(idx((2**10, 2**10, 40)) + bytes(40 * 2**20), mtime=0),
            "expands from 40.8 kB to 41.9 MB",
        ),
        (
            "x.gz",
            gzip.compress(idx((5, 4, 3)) + bytes(2**25), mtime=0),
            "more data, not the 60 bytes its header announces",
        ),
        ("x.gz", gzip.compress(idx((5, 4, 3)) + bytes(59), mtime=0), "59 bytes of data, not the 60"),
        ("x.gz", gzip.compress(idx((5, 4, 3), bytes(60)), mtime=0)[:-9], "damaged (Compressed file ended"),
        ("x.gz", gzip.compress(idx((5, 4, 3), bytes(60)), mtime=0)[:-8] + bytes(8), "damaged (CRC check failed"),
        ("x.gz", gzip.compress(idx((5, 4, 3), bytes(60)), mtime=0) + bytes(2**17), "131 kB for the 60 bytes of data"),
        ("x.gz", idx((5, 4, 3), bytes(60)), "damaged (Not a gzipped file"),
        ("x.gz", b"", "starts with nothing"),
        ("x", b"", "starts with nothing, not with 00000803"),
        ("x", idx((5, 4)), "starts with 00000802"),
        ("x", idx((5, 4, 3))[:10], "ends within its header"),
    ],
)
def test_idx_files_that_lie_are_refused(name, content, words, tmp_path):
    (tmp_path / name).write_bytes(content)
    refused(lambda: files.read_idx(tmp_path / name, 3), words)


def test_terabytes_of_zeros_behind_a_gzip_file_are_not_looked_at(tmp_path):
    path = sparse(tmp_path / "x.gz", 2**40, gzip.compress(idx((5, 4, 3), bytes(60))))
    refused(lambda: files.read_idx(path, 3), "1.1 TB for the 60 bytes of data")


# ---- PNG


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width, height, data, extra=b"", colour=0):
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, colour, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + extra + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")


@pytest.mark.parametrize("mode", ["1", "L", "LA", "I;16", "RGB", "RGBA", "P"])
def test_pixels_of_every_mode(mode, tmp_path):
    rng = np.random.default_rng(0)
    grey = rng.integers(0, 256, (4, 6), dtype=np.uint8)
    if mode == "I;16":
        picture, expected = Image.fromarray(grey.astype(np.uint16) * 257), grey[..., None]
    elif mode == "P":
        picture, expected = Image.fromarray(grey).convert("P"), np.repeat(grey[..., None], 3, axis=2)
        picture.info["transparency"] = bytes(range(256))  # of each colour, about which Pillow warns
    else:
        picture = Image.fromarray(rng.integers(0, 256, (4, 6, 4), dtype=np.uint8), "RGBA").convert(mode)
        expected = np.asarray(picture.convert("L" if mode[0] in "1L" else "RGB")).reshape(4, 6, -1)
    picture.save(tmp_path / "x.png")
    found = files.read_png(tmp_path / "x.png")
    assert found.dtype == np.uint8 and (found == expected).all()
    assert found.shape == files.png_shape(tmp_path / "x.png") == (4, 6, 1 if mode[0] in "1LI" else 3)


BOMB = zlib.compress(bytes(2**25), 9)
TEXT = zlib.compress(b"a" * 2**19)


@pytest.mark.parametrize(
    "content, words",
    [
        (b"", "it does not start as one does"),
        (b"BM" + bytes(100), "it does not start as one does"),
        (png(2**31 - 1, 2**31 - 1, b""), "2147483647 x 2147483647 pixels, expected at most 16777216"),
        (png(2**13, 2**13, b""), "8192 x 8192 pixels"),
        (png(4, 4, bytes(20), chunk(b"IHDR", struct.pack(">IIBBBBB", 50_000, 50_000, 8, 6, 0, 0, 0))), "two headers"),
        (png(4, 4, bytes(20), chunk(b"zTXt", b"a\0\0" + BOMB)), "damaged"),
        (png(4, 4, bytes(20), chunk(b"iTXt", b"a\0\1\0\0\0" + BOMB)), "damaged"),
        (png(4, 4, bytes(20), chunk(b"iCCP", b"a\0\0" + BOMB)), "damaged"),
        (png(4, 4, bytes(20)) + bytes(2**24 + 99), "16.8 MB for 4 x 4 pixels"),
        (png(4, 4, bytes(19)), "damaged"),
        (png(4, 4, bytes(20))[:-20], "damaged"),
        (png(4, 4, bytes(20))[:60], "damaged"),
        (png(0, 4, b""), "damaged"),
        (png(4, 4, bytes(20), colour=7), "damaged"),
        (png(4, 4, b"\7" + bytes(19)).replace(b"IDAT", b"IDOT"), "damaged"),
    ],
)
def test_png_files_that_lie_are_refused(content, words, tmp_path):
    (tmp_path / "x.png").write_bytes(content)
    refused(lambda: files.read_png(tmp_path / "x.png"), words)


def test_many_texts_in_a_png_file_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(PngImagePlugin, "MAX_TEXT_MEMORY", 2**22)  # it is 64 MB, which take a second
    (tmp_path / "x.png").write_bytes(png(4, 4, bytes(20), chunk(b"zTXt", b"a\0\0" + TEXT) * 9))
    refused(lambda: files.read_png(tmp_path / "x.png"), "Too much memory used in text chunks")


def test_a_changed_pixel_shows(tmp_path):
    content = png(4, 4, bytes(20))
    for place in range(content.index(b"IDAT"), content.index(b"IEND") - 4):
        (tmp_path / "x.png").write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        refused(lambda: files.read_png(tmp_path / "x.png"), "damaged")


# ---- memory


def test_free_memory_is_the_smallest_of_the_machine_the_container_and_the_process(tmp_path, monkeypatch):
    monkeypatch.setattr(files.psutil, "virtual_memory", lambda: SimpleNamespace(available=10**12))
    monkeypatch.setattr(files, "Path", lambda *parts: tmp_path)
    assert files.free_memory() == 10**12
    (tmp_path / "memory.max").write_text("2000\n")
    (tmp_path / "memory.current").write_text("1500\n")
    (tmp_path / "memory.stat").write_text("anon 1\nactive_file 100\ninactive_file 200\n")
    assert files.free_memory() == 800  # the cache of files is given back when memory is needed
    (tmp_path / "memory.max").write_text("max\n")
    assert files.free_memory() == 10**12


def test_free_memory_obeys_the_limit_of_the_process():
    code = "import resource as r, psutil; from lab import files; n = psutil.Process().memory_info().vms + 10**8; "
    code += "r.setrlimit(r.RLIMIT_AS, (n, n)); print(files.free_memory())"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert 0 < int(found) <= 10**8


def test_room_is_asked_for_data_and_a_copy(monkeypatch):
    monkeypatch.setattr(files, "free_memory", lambda: 1000)
    files.require_room(500)
    refused(lambda: files.require_room(501), "501 bytes of data, and only 1 kB of memory are free")


def test_bytes_in_words():
    sizes = {0: "0 bytes", 999: "999 bytes", 1000: "1 kB", 999_600: "1 MB", 2**24: "16.8 MB", 3.2e9: "3.2 GB"}
    assert {size: files.in_words(size) for size in sizes} == sizes
    assert files.in_words(2**40) == "1.1 TB" and files.in_words(1e30).endswith("TB")


def test_reasons_are_one_line():
    assert files.why(FileNotFoundError(2, "No such file or directory")) == "no such file or directory"
    assert files.why(ValueError("a\n b")) == "a b" and files.why(ValueError()) == "ValueError"
