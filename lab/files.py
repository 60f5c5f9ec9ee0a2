"""Files that are written whole or not at all, and readers that distrust what they read.

A file that a user gives may be damaged, hostile, or not what its name says: /dev/zero, a header that announces
terabytes, a small archive that expands to gigabytes. The readers here look at its size and its header first, and
raise ValueError with the reason, or OSError, before they read or allocate much.
"""

from __future__ import annotations

import array
import contextlib
import gzip
import hashlib
import io
import json
import math
import os
import re
import resource
import shutil
import stat
import struct
import tokenize
import warnings
import zipfile
import zlib
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import IO, Any, NoReturn

import numpy as np
import psutil

MOST_TEXT = 2**24  # bytes of a JSON file or of a line: 16 MiB are far above any that is written here
MOST_EXPANSION = 200  # of a compressed file; real images shrink to a twentieth, a bomb to less than a thousandth
HARMLESS = 2**24  # bytes that may be expanded from anything
AT_ONCE = 2**20  # bytes that are read in one piece
MOST_HEADER = 10_000  # bytes of an array's header
MOST_LINE = 10_000  # characters of a line of numbers
LINE = re.compile(r"[^\r\n]*(?:\r\n?|\n|$)")
SEPARATOR = re.compile(r"\s*[,;]\s*|\s+")
LIKE_A_NUMBER = re.compile(r"""(?:^|[,;\s])["']?[+-]?\.?\d""")
MOST_PIXELS = 2**24  # of a PNG image
DAMAGE = (ValueError, KeyError, EOFError, NotImplementedError, RuntimeError, zipfile.BadZipFile, zlib.error)


class NoRoom(ValueError):
    """A file cannot be read because its data do not fit into the free memory; it need not be damaged."""


class BadInput(ValueError):
    """Invalid input: one line that names the flag or file, the value, and what is accepted. Exit code 2."""

    def _render_traceback_(self) -> list[str]:
        """What a notebook shows instead of a traceback."""
        return [str(self)]


# ------------------------------------------------------------------------------------------------- writing


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path beside `path` that replaces it once the block has ended without an error."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.stem}.tmp{os.getpid()}{path.suffix}")
    try:
        with named(path):
            yield temporary
            os.replace(temporary, path)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def cache_folder() -> Path:
    """Where to keep what is costly to make again: $GAN_LABORATORY_CACHE or ~/.cache/gan-laboratory.

    RuntimeError: there is no home folder.
    """
    if folder := os.environ.get("GAN_LABORATORY_CACHE"):
        return Path(folder)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "gan-laboratory"


@contextlib.contextmanager
def named(path: Path) -> Iterator[None]:
    """An OSError in the block names this file, as that of a full disk does not."""
    try:
        yield
    except OSError as error:
        if error.errno is None or error.filename is not None:
            raise
        raise OSError(error.errno, error.strerror, str(path)) from None


def sweep(folder: Path) -> None:
    """Remove the temporary files that `replacing` could not remove because its process was killed."""
    for path in sorted(folder.rglob(".*.tmp*"), reverse=True):  # a folder after what is in it
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def set_aside(path: Path, copy: bool = False) -> Path:
    """Rename or copy a damaged file to `<name>.damaged`, or `<name>.damaged-2` and so on; returns its new path."""
    names = (f"{path.name}.damaged{suffix}" for suffix in ("", *(f"-{k}" for k in range(2, 1000))))
    aside = next(p for name in names if not (p := path.with_name(name)).exists())
    return Path(shutil.copy2(path, aside)) if copy else path.rename(aside)


def write_json(path: Path, value: Any) -> None:
    """Strict JSON (no NaN), written whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(json_text(value) + "\n")


def write_checked_json(path: Path, value: dict[str, Any]) -> None:
    """The same with a checksum of its content as the last entry, which `read_checked_json` compares."""
    write_json(path, value | {"checksum": _checksum(value)})


def without_nan(value: Any) -> Any:
    """The same value with None in place of NaN and infinite numbers, which JSON does not have."""
    if isinstance(value, dict):
        return {name: without_nan(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [without_nan(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def json_text(value: Any) -> str:
    """Strict, indented JSON; the same text for what `read_json` makes of it."""
    return json.dumps(value, indent=2, allow_nan=False)


def _checksum(value: dict[str, Any]) -> str:
    return hashlib.sha256(json_text(value).encode()).hexdigest()[:16]


# ------------------------------------------------------------------------------------------------- reading


def why(error: Exception) -> str:
    """The reason for an error in a few words: `no such file or directory`."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return " ".join(str(error).split()) or type(error).__name__


def open_regular(path: Path) -> IO[bytes]:
    """The file opened for reading; ValueError if it is a folder, a device, a pipe or a socket. OSError: as `open`."""
    if not stat.S_ISREG(path.stat().st_mode):  # asked before opening: a pipe would block
        raise ValueError("a folder" if path.is_dir() else "not a regular file")
    return path.open("rb")


def read_text(path: Path, at_most: int | None = None) -> str:
    """A text in UTF-8, with or without a byte order mark. ValueError: other bytes, or more of them than fit.

    `at_most`: bytes; by default a sixteenth of the free memory, because parsing a text takes several times its size.
    """
    with open_regular(path) as file:
        size, most = os.fstat(file.fileno()).st_size, free_memory() // 16 if at_most is None else at_most
        if size > most:
            raise ValueError(f"{in_words(size)}, expected at most {in_words(most)}")
        content = bytearray()
        while chunk := file.read(AT_ONCE):  # in pieces: a hole of gigabytes in a sparse file ends with the first
            if b"\0" in chunk:
                raise ValueError("not a text: it holds zero bytes")
            content += chunk
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"not a text in UTF-8: byte {error.start} is {content[error.start]:#04x}") from None


def read_rows(path: Path) -> np.ndarray:
    """The lines of numbers in a text, float64 `[N, columns]`; ValueError: as `read_text`, or the line that is none.

    Numbers are separated by commas, semicolons or spaces. Blank lines and those that start with # are left out, and
    so is a header: a first line in which no word starts as a number does.
    """
    numbers, columns, first = array.array("d"), 0, True  # 8 bytes a number: a list of lists takes ten times as much
    for place, match in enumerate(LINE.finditer(read_text(path)), start=1):
        line = match[0].strip().rstrip(",; \t")
        if not line or line.startswith("#"):
            continue
        if len(line) > MOST_LINE:
            raise ValueError(f"line {place} has {len(line)} characters")
        try:
            row = [_number(word) for word in SEPARATOR.split(line)]
        except ValueError as error:
            if first and not LIKE_A_NUMBER.search(line):
                first = False
                continue
            raise ValueError(f"line {place}: {error}") from None
        first, columns = False, columns or len(row)
        if len(row) != columns:
            raise ValueError(f"line {place}: rows of {columns} and of {len(row)} numbers")
        numbers.extend(row)
    return np.asarray(numbers).reshape(-1, columns or 1)


def _number(word: str) -> float:
    with contextlib.suppress(ValueError):
        if "_" not in word:  # Python reads 1_000 as 1000
            return float(word.strip('"'))
    raise ValueError(f"{word[:40]!r} is not a number")


def read_json(path: Path) -> Any:
    """The value in a JSON file; ValueError if it is none. NaN and Infinity are refused."""
    return parsed_json(read_text(path, MOST_TEXT))


def parsed_json(text: str) -> Any:
    """The value of a JSON text; ValueError if it is none. NaN and Infinity are refused."""

    def refuse(word: str) -> NoReturn:
        raise ValueError(f"{word} is not a number in JSON")

    def finite(word: str) -> float:
        return float(word) if math.isfinite(float(word)) else refuse(word)

    try:
        return json.loads(text, parse_constant=refuse, parse_float=finite)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def read_checked_json(path: Path) -> tuple[dict[str, Any], bool]:
    """The object in a file of `write_checked_json`, and whether it is as it was written.

    ValueError: no JSON object. A file without a checksum counts as changed.
    """
    value = read_json(path)
    if not isinstance(value, dict):
        raise ValueError("not a JSON object")
    checksum = value.pop("checksum", None)
    return value, checksum == _checksum(value)


def read_npy(path: Path) -> np.ndarray:
    """The array in a .npy file; ValueError: damaged, of Python objects, or larger than the free memory."""
    with open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        with _damage_as_value_error():
            return _array(file, size)


def read_npz(path: Path, names: Collection[str] | None = None) -> dict[str, np.ndarray]:
    """The arrays of these names in an .npz file, by default of all; ValueError: as `read_npy`, or a missing name."""
    with open_regular(path) as raw, _InPieces(raw) as file:  # type: ignore[arg-type]
        size = os.fstat(file.fileno()).st_size
        if not zipfile.is_zipfile(file):
            raise ValueError("not an .npz file")
        with _damage_as_value_error(), zipfile.ZipFile(file) as archive:
            members = {m.filename.removesuffix(".npy"): m for m in archive.infolist() if m.filename.endswith(".npy")}
            names = list(members) if names is None else names
            if missing := [name for name in names if name not in members]:
                raise ValueError(f"holds no {', '.join(missing)}")
            if {members[name].compress_type for name in names} - {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}:
                raise ValueError("compressed in another way than NumPy does")  # zipfile expands those without a limit
            require_harmless(sum(members[name].file_size for name in names), size)
            arrays = {}
            for name in names:
                with archive.open(members[name]) as member:
                    arrays[name] = _array(member, members[name].file_size)
            return arrays


class _InPieces(io.BufferedReader):
    """A file that refuses to read much at once, as an archive demands that announces a directory of gigabytes."""

    def read(self, size: int | None = -1, /) -> bytes:
        to_its_end = size is None or size < 0  # zipfile asks for it where the directory should stand
        content = super().read(AT_ONCE + 1 if to_its_end else min(size, AT_ONCE + 1))  # type: ignore[type-var]
        if len(content) > AT_ONCE:
            raise ValueError("its directory is too large")
        return content


def read_idx(path: Path, dimensions: int) -> np.ndarray:
    """The uint8 array with this many axes in an IDX file, gzipped if its name ends in .gz. ValueError: as `read_npy`.

    The file is the bytes 0 0 8, the number of axes, the length of each as 4 bytes (big-endian), and the data.
    """
    with open_regular(path) as raw, _damage_as_value_error():
        size, zipped = os.fstat(raw.fileno()).st_size, path.suffix == ".gz"
        file = gzip.GzipFile(fileobj=raw) if zipped else raw
        magic, start = bytes([0, 0, 8, dimensions]), 4 + 4 * dimensions
        header = file.read(start)
        if header[:4] != magic:
            raise ValueError(f"starts with {header[:4].hex() or 'nothing'}, not with {magic.hex()}")
        if len(header) < start:
            raise ValueError("ends within its header")
        shape = [int(n) for n in np.frombuffer(header, ">u4", offset=4)]
        announced = math.prod(shape)
        if not zipped and size - start != announced:
            raise ValueError(f"{size - start} bytes of data, not the {announced} its header announces")
        require_harmless(announced, size)
        if size > 2 * announced + 2**16:  # gzip would look for data in terabytes of zeros behind them
            raise ValueError(f"{in_words(size)} for the {announced} bytes of data that its header announces")
        content = file.read(announced + 1)  # one more, at which gzip compares its checksum
        if len(content) != announced:
            found = f"{len(content)} bytes of data" if len(content) < announced else "more data"
            raise ValueError(f"{found}, not the {announced} bytes its header announces")
        return np.frombuffer(content, np.uint8).reshape(shape)


def png_shape(path: Path) -> tuple[int, int, int]:
    """Height, width and channels, 1 or 3, that a PNG file announces; ValueError: it is none, or is too large."""
    with open_regular(path) as file:
        start, size = file.read(26), os.fstat(file.fileno()).st_size
    if len(start) < 26 or start[:8] != b"\x89PNG\r\n\x1a\n" or start[12:16] != b"IHDR":
        raise ValueError("it does not start as one does")
    width, height, _, colour = struct.unpack(">IIBB", start[16:])
    if width * height > MOST_PIXELS:
        raise ValueError(f"{width} x {height} pixels, expected at most {MOST_PIXELS} in all")
    if size > 8 * width * height + HARMLESS:  # of pixels and of texts
        raise ValueError(f"{in_words(size)} for {width} x {height} pixels")
    return height, width, 1 if colour in (0, 4) else 3


def read_png(path: Path) -> np.ndarray:
    """The pixels of a PNG file without their transparency, uint8 `[H, W, C]`: 1 channel if it is grey, otherwise 3.

    ValueError: as `png_shape`, or damaged.
    """
    from PIL.PngImagePlugin import PngImageFile  # imported here because most runs read no PNG

    shape = png_shape(path)
    content = io.BytesIO(path.read_bytes())
    try:
        with warnings.catch_warnings():  # about what is not used here
            warnings.simplefilter("ignore")
            PngImageFile(content).verify()  # compares the checksums, which Pillow does not when it decodes
            content.seek(0)
            picture = PngImageFile(content)
            if picture.size != (shape[1], shape[0]):
                raise ValueError("two headers that differ")
            if picture.mode in ("I", "I;16"):  # 16 bits, which Pillow would clip at 255
                pixels = np.round(np.asarray(picture, np.float64) / 257).astype(np.uint8)
            else:
                pixels = np.asarray(picture.convert("L" if shape[2] == 1 else "RGB"))
    except Exception as error:  # Pillow raises anything
        raise ValueError(f"damaged ({why(error)})") from None
    return pixels.reshape(shape)


def _array(file: IO[bytes], size: int) -> np.ndarray:
    """The array in an opened .npy file of `size` bytes, whose header is read and checked first."""
    readers = {(1, 0): (2, np.lib.format.read_array_header_1_0), (2, 0): (4, np.lib.format.read_array_header_2_0)}
    version = np.lib.format.read_magic(file)  # type: ignore[no-untyped-call]
    if version not in readers:
        raise ValueError(f"version {version[0]}.{version[1]} of the .npy format, expected 1.0 or 2.0")
    width, reader = readers[version]
    start = file.read(width)
    if (announced := int.from_bytes(start, "little")) > MOST_HEADER:
        raise ValueError(f"a header of {in_words(announced)}")
    header = io.BytesIO(start + file.read(announced))
    with warnings.catch_warnings():  # of Python's parser, about what no header that NumPy writes contains
        warnings.simplefilter("ignore")
        shape, fortran, dtype = reader(header, MOST_HEADER)  # type: ignore[operator]
    if dtype.hasobject or dtype.kind not in "biufUS" or not dtype.itemsize:
        raise ValueError("holds Python objects, not numbers" if dtype.hasobject else f"of type {dtype}, not numbers")
    count, found = math.prod(shape), size - file.tell()  # Python's integers: a header may announce anything
    if min(shape, default=0) < 0:
        raise ValueError(f"a shape of {shape}")
    if count * dtype.itemsize != found:
        raise ValueError(f"{found} bytes of data, not the {count * dtype.itemsize} its header announces")
    require_room(count * dtype.itemsize)
    array = np.empty(count, dtype)
    view, filled = memoryview(array.view(np.uint8)), 0  # type: ignore[arg-type]
    while filled < len(view) and (more := file.readinto(view[filled : filled + AT_ONCE])):  # type: ignore[attr-defined]
        filled += more
    if filled < len(view):
        raise ValueError("ends before its data do")
    return array.reshape(shape, order="F" if fortran else "C")


@contextlib.contextmanager
def _damage_as_value_error() -> Iterator[None]:
    """Whatever NumPy, zipfile and gzip raise about a damaged file becomes ValueError."""
    try:
        yield
    except ValueError:  # it says what is wrong
        raise
    except MemoryError:
        raise NoRoom("larger than the memory") from None
    except (*DAMAGE, gzip.BadGzipFile, SyntaxError, TypeError, OverflowError, tokenize.TokenError) as error:
        raise ValueError(f"damaged ({why(error)})") from None


def require_harmless(expanded: int, size: int) -> None:
    """ValueError if a file of `size` bytes expands to more than real data do, or than the memory holds."""
    if expanded > max(HARMLESS, MOST_EXPANSION * size):
        raise ValueError(f"expands from {in_words(size)} to {in_words(expanded)}, as real data do not")
    require_room(expanded)


def require_room(size: int) -> None:
    """NoRoom if data of `size` bytes, and a copy of them, do not fit into the free memory."""
    if 2 * size > (free := free_memory()):
        raise NoRoom(f"{in_words(size)} of data, and only {in_words(free)} of memory are free")


def fingerprint(*data: tuple) -> str:
    """16 hexadecimal digits (SHA-256) that change with any number and any shape of the arrays in these tuples."""
    found = hashlib.sha256()
    for part in (part for parts in data for part in parts if isinstance(part, np.ndarray)):
        found.update(repr(part.shape).encode())
        found.update(np.ascontiguousarray(part).data)
    return found.hexdigest()[:16]


# -------------------------------------------------------------------------------------------------- memory


def cores() -> int:
    """How many cores this process may use: taskset or SLURM can allow it fewer than the machine has."""
    return len(os.sched_getaffinity(0))


def free_memory() -> int:
    """Bytes that this process may still allocate: the machine's, the container's or the process's own limit."""
    free = psutil.virtual_memory().available
    with contextlib.suppress(OSError, ValueError):  # a container's limit, where there is one (cgroup v2)
        group = Path("/sys/fs/cgroup")
        limit, used = (int((group / f"memory.{name}").read_text()) for name in ("max", "current"))
        kept = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
        cache = sum(int(kept[f"{name}_file"]) for name in ("active", "inactive"))  # of files, given back when needed
        free = min(free, limit - used + cache)
    soft, _ = resource.getrlimit(resource.RLIMIT_AS)  # `ulimit -v`
    if soft != resource.RLIM_INFINITY:
        free = min(free, soft - psutil.Process().memory_info().vms)
    return max(0, free)


def in_words(size: float) -> str:
    """A number of bytes as `3.2 GB`."""
    units = ["bytes", "kB", "MB", "GB", "TB"]
    while size >= 999.5 and len(units) > 1:
        size, units = size / 1000, units[1:]
    return f"{size:.3g} {units[0]}"
