"""The files of a run's folder, and how they survive kills, damage and hand-made changes.

    config.json      the experiment, the recipe, every setting, the versions, the git commit, a checksum
    data.json        what is known of the data: their name, shape and fingerprint
    log.jsonl        one JSON object a line, flushed line by line
    checkpoint/      the newest three checkpoints, each one file with a checksum and copies of the first two files
    snapshots/       arrays for pictures of training, one file for each step that was evaluated
    samples/         of image scripts: a sheet of images for each of these steps
    result.json      the final numbers
    figures/         what to look at
    events.out...    with --tensorboard, what TensorBoard shows; see tensorboard.py
    writer.lock      while a process writes into the folder: its process ID and host name

A file that turns out to be damaged is not overwritten: it is kept as <name>.damaged.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
import json
import math
import os
import platform
import re
import socket
import subprocess
import types
import typing
import zlib
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

import filelock
import numpy as np
import psutil

from lab import files, screen
from lab.files import BadInput

FORMAT = 2  # of the folder
LOCK = "writer.lock"
KEPT = 3  # checkpoints

# --------------------------------------------------------------------------------------------- the folder


def folder_for(experiment: str, seed: int | str, out: str | None = None) -> Path:
    """The folder of a new run: `out`, or runs/<experiment>/<UTC time>-seed<seed>. BadInput: `out` is not empty."""
    if out == "":
        raise BadInput("--out '': expected a folder")
    if out is None:
        return Path("runs") / experiment / f"{datetime.now(UTC):%Y%m%d-%H%M%S}-seed{seed}"
    folder = Path(out)
    try:
        if (folder / "config.json").exists():
            raise BadInput(
                f"--out {folder}: already holds a run; choose another folder, or continue it with --resume {folder}"
            )
        if folder.is_dir() and any(path.name != LOCK for path in folder.iterdir()):
            raise BadInput(f"--out {folder}: not empty; choose a new or an empty folder")
    except OSError as error:
        raise BadInput(f"--out {folder}: {files.why(error)}") from None
    return folder


def new_folder(experiment: str, seed: int | str, out: str | None = None) -> tuple[Path, list[Path]]:
    """`folder_for` and `create`; of runs that start in the same second, each has a folder of its own."""
    folder = first = folder_for(experiment, seed, out)
    number = 1
    while True:
        with contextlib.suppress(FileExistsError):
            return folder, create(folder, exist_ok=bool(out))
        number += 1
        folder = first.with_name(f"{first.name}-{number}")


def create(folder: Path, exist_ok: bool = True) -> list[Path]:
    """Create a folder; returns those of the folder and its parents that did not exist, the innermost first.

    FileExistsError: the folder is there, and `exist_ok` is False.
    """
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=exist_ok)
    except (FileExistsError, NotADirectoryError):
        if folder.is_dir():
            raise
        raise BadInput(f"--out {folder}: a file is in the way; expected a new or an empty folder") from None
    except OSError as error:
        raise BadInput(f"--out {folder}: {files.why(error)}") from None
    return missing


def remove(folder: Path, created: Sequence[Path]) -> None:
    """Remove the files of a run that never began, and those folders that were created for it."""
    for name in DESCRIPTIONS:
        (folder / name).unlink(missing_ok=True)
    with contextlib.suppress(OSError):  # something else is in it
        for path in created:
            path.rmdir()


DESCRIPTIONS = ("config.json", "data.json")


def descriptions(folder: Path) -> dict[str, bytes | None]:
    """What config.json and data.json of a run hold, None if there is no such file, for `put_back`."""
    return {name: (folder / name).read_bytes() if (folder / name).is_file() else None for name in DESCRIPTIONS}


def put_back(folder: Path, before: dict[str, bytes | None]) -> None:
    """Undo what a resumed run that was refused has changed in its `descriptions`."""
    for name, content in before.items():
        if content is None:
            (folder / name).unlink(missing_ok=True)
        elif content != (folder / name).read_bytes():
            with files.replacing(folder / name) as temporary:
                temporary.write_bytes(content)


@contextlib.contextmanager
def only_writer(folder: Path, flag: str) -> Iterator[None]:
    """Be the only process that writes into a folder. BadInput names the one that does already.

    The lock is the system's: it ends with its process, however that ends. The file only says whose it is.
    """
    if not folder.is_dir():
        raise BadInput(f"{flag} {folder}: no such folder")
    path = folder / LOCK
    lock = filelock.FileLock(path)
    try:
        lock.acquire(blocking=False)
    except filelock.Timeout:
        owner = ""
        with contextlib.suppress(OSError):
            owner = path.read_text().strip()
        raise BadInput(f"{flag} {folder}: in use by {owner or 'another process'}") from None
    except OSError as error:
        raise BadInput(f"{flag} {folder}: cannot be written ({files.why(error)})") from None
    try:
        path.write_text(f"process {os.getpid()} on {socket.gethostname()}\n")
        yield
    finally:
        with contextlib.suppress(OSError):
            path.unlink()  # while it is locked: who opened it in the meantime sees that it is gone, and tries again
        lock.release()


def writer(folder: Path) -> str | None:
    """Which process writes into a folder now, as its lock says: `process 12 on host`; None if none does.

    This function never takes the lock, because nobody could resume the run while it held it. The lock is held as long
    as the process that it names has the file open. Of a process on another host or of another user the file is
    believed.
    """
    path = folder / LOCK
    try:
        words = files.read_text(path, 1000).strip()
        found = re.fullmatch(r"process (\d{1,9}) on (.+)", words)
        if not found or found[2] != socket.gethostname():
            return words if found else None
        opened = psutil.Process(int(found[1])).open_files()
        return words if any(os.path.samefile(file.path, path) for file in opened) else None
    except psutil.AccessDenied:
        return words
    except (OSError, ValueError, psutil.Error):
        return None


# ----------------------------------------------------------------------------------------------- config.json


def save_config(folder: Path, experiment: str, recipe: str, config: Any, before: Saved | None = None) -> None:
    """config.json: every setting, and what a reader needs to repeat the run.

    `before`: the old content, of a run that is resumed. Its versions and commit stay, and `resumed` lists the new
    ones, where they differ.
    """
    now = provenance()
    saved = {"format": FORMAT, "experiment": experiment, "recipe": recipe, "config": dataclasses.asdict(config)}
    saved |= now
    if before:
        saved |= {name: before.everything[name] for name in now if name in before.everything}
        resumed = before.everything.get("resumed", [])
        if changes_since(before):
            resumed = [*resumed, {"step": max(steps(folder), default=0)} | now]
        saved |= {"resumed": resumed} if resumed else {}
    files.write_checked_json(folder / "config.json", saved)


def changes_since(before: Saved) -> list[str]:
    """What is different now from what the run was last trained under: versions and the git commit, in words."""
    now, last = provenance(), (before.everything.get("resumed") or [before.everything])[-1]
    old, new = ({"commit": p.get("commit")} | p.get("versions", {}) for p in (last, now))
    both = [name for name in new if old.get(name) and new[name]]
    return [f"{name} is {new[name]}, and was {old[name]} before" for name in both if new[name] != old[name]]


@functools.cache  # what this process has imported stays as it is, whatever is installed or committed meanwhile
def provenance() -> dict[str, Any]:
    """The versions and the git commit of what runs now."""
    packages = {name: _version(name) for name in ("tensorflow", "numpy", "scipy")}
    return {"versions": {"python": platform.python_version(), **packages}, "commit": _git_commit()}


def _version(package: str) -> str | None:
    with contextlib.suppress(metadata.PackageNotFoundError):  # such as tensorflow, where tensorflow-cpu is installed
        return metadata.version(package)
    return None


def _git_commit() -> str | None:
    """The commit; -dirty stands behind it if the code of runs has changed since. A change in docs/ does not count."""

    def git(*words: str) -> str:
        command = ["git", "--no-optional-locks", "-C", str(Path(__file__).parents[1]), *words]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    try:
        code = ("gan_core.py", "metrics.py", "lab", "experiments")
        changes = git("status", "--porcelain", "--untracked-files=no", "--", *code)
        return git("rev-parse", "HEAD") + "-dirty" * bool(changes)
    except (OSError, subprocess.CalledProcessError):
        return None  # an installed copy outside git


class Saved(NamedTuple):
    """What config.json holds."""

    experiment: str
    recipe: str
    config: dict[str, Any]
    everything: dict[str, Any]
    unchanged: bool  # since it was written


def read_config(folder: Path, flag: str) -> Saved:
    """config.json; `flag` is the flag with which the user named the folder.

    BadInput: it is missing, it cannot be used, or a version of this project with another format wrote it.
    """
    try:
        saved, unchanged = files.read_checked_json(folder / "config.json")
        if (version := saved.get("format")) != FORMAT:
            raise ValueError(f"format {version}, expected {FORMAT}; another version of this project wrote it")
        for name, kind in (("experiment", str), ("recipe", str), ("config", dict)):
            if not isinstance(saved.get(name), kind):
                found = repr(saved[name]) if name in saved else "missing"
                raise ValueError(f"{name} is {found}, expected {'a text' if kind is str else 'the settings'}")
        resumed = saved.get("resumed", [])
        parts = [saved, *resumed] if isinstance(resumed, list) else [None]
        if not all(isinstance(part, dict) and isinstance(part.get("versions", {}), dict) for part in parts):
            raise ValueError("versions or resumed are not what this project writes")
    except FileNotFoundError:
        newest = Checkpoints(folder).newest(keep_damaged=True) if steps(folder) else None
        if not newest or not newest.about["config"]:
            raise BadInput(f"{flag} {folder}: no run here (there is no config.json)") from None
        saved, unchanged = newest.about["config"], True
    except (OSError, ValueError) as error:
        raise BadInput(f"{flag} {folder}: config.json cannot be used: {files.why(error)}{_advice(folder)}") from None
    return Saved(saved["experiment"], saved["recipe"], saved["config"], saved, unchanged)


def _advice(folder: Path) -> str:
    return "; delete it, and the copy in the newest checkpoint is used" if steps(folder) else ""


def load_config(folder: Path, flag: str, config_class: type) -> Any:
    """The settings in config.json as a `Config`; BadInput names the first one that is wrong."""
    saved = read_config(folder, flag)
    try:
        config = _config(saved.config, config_class)
        if not saved.unchanged:
            raise ValueError("it was changed after it was written: its checksum is missing or does not fit")
        return config
    except ValueError as error:
        version = "; if another version of this project made the run, use that version"
        advice = version if saved.unchanged else _advice(folder)  # a copy of the same would not help
        raise BadInput(f"{flag} {folder}: config.json: {error}{advice}") from None


def changed_setting(saved: dict[str, Any], config: Any) -> tuple[str, Any, Any] | None:
    """Name, saved and present value of the first setting that differs, the number of steps aside; None if none does.

    `saved`: settings as they are in a file. One that is missing there does not count.
    """
    for name, value in dataclasses.asdict(config).items():
        before = saved.get(name, value)
        before = tuple(before) if isinstance(before, list) else before
        if name != "steps" and before != value:
            return name, before, value
    return None


def _config(values: dict[str, Any], config_class: type) -> Any:
    """A `Config` of the settings in a file; ValueError (BadInput is one) names the first one that is wrong."""
    hints = typing.get_type_hints(config_class)
    if unknown := [name for name in values if name not in hints]:
        raise ValueError(f"{unknown[0]} is no setting of this experiment")
    if missing := [name for name in hints if name not in values]:
        raise ValueError(f"{missing[0]} is missing")
    found = {}
    for name, value in values.items():
        found[name] = tuple(value) if isinstance(value, list) else value
        if not _fits(found[name], hints[name]):
            raise ValueError(f"{name} is {json.dumps(value)}, expected {_words(hints[name])}")
    return config_class(**found)


def _fits(value: Any, hint: Any) -> bool:
    """Whether a value is of an annotated type; whole numbers are floats, too, but no bool is a number."""
    kind, inner = typing.get_origin(hint), typing.get_args(hint)
    if kind in (typing.Union, types.UnionType):
        return any(_fits(value, h) for h in inner)
    if kind is tuple:
        hints = inner[:1] * len(value) if isinstance(value, tuple) and inner[-1:] == (...,) else inner
        return isinstance(value, tuple) and len(value) == len(hints) and all(map(_fits, value, hints))
    if isinstance(value, bool) or hint is bool:
        return hint is bool and isinstance(value, bool)
    return isinstance(value, (int, float) if hint is float else hint)


def _words(hint: Any) -> str:
    kind, inner = typing.get_origin(hint), typing.get_args(hint)
    if kind in (typing.Union, types.UnionType):
        return " or ".join(map(_words, inner))
    if kind is tuple:
        return f"a list of {_words(inner[0]).split(' ', 1)[1]}s"
    words = {int: "a whole number", float: "a number", str: "a text", bool: "true or false", type(None): "null"}
    return words.get(hint, str(hint))


# ------------------------------------------------------------------------------------------------- log.jsonl


class Log:
    """log.jsonl: JSON objects, one a line, flushed line by line, each with its `step`.

    Attributes:
        records: the objects.
        checksums: CRC-32 of the line of each.
    """

    def __init__(self, folder: Path, last_step: int = 0, checksums: Sequence[int] = ()):
        """Keep what was logged up to `last_step`, where a resumed run goes on.

        `checksums`: those of all lines that are to be kept, where they are known. A line that cannot be read, or
        whose checksum is wrong, is left out: then the file as it was is kept under another name, and a line on the
        screen says so. An incomplete last line is what a kill leaves behind, and is dropped silently.
        """
        path = folder / "log.jsonl"
        lines, bad = _lines_of_log(path, checksums, last_step)
        self.records, self.checksums = [record for record, _ in lines], [checksum for _, checksum in lines]
        if bad:
            aside = (
                f"; the file as it was is kept as {files.set_aside(path, copy=True).name}" if path.exists() else ""
            )
            screen.say(f"{path}: {bad} damaged; {len(self.records)} lines are kept{aside}")
        with files.replacing(path) as temporary:
            temporary.write_text("".join(_line(r) for r in self.records))
        self._path, self._file = path, path.open("a")

    def write(self, record: dict[str, Any]) -> None:
        """Append one line."""
        line = _line(record)
        with files.named(self._path):
            self._file.write(line)
            self._file.flush()
        self.records.append(record)
        self.checksums.append(zlib.crc32(line.encode()))

    def close(self) -> None:
        """Close the file."""
        with contextlib.suppress(OSError):  # of a full disk, which `write` has reported
            self._file.close()


def _line(record: dict[str, Any]) -> str:
    return json.dumps(record, allow_nan=False) + "\n"


def read_log(folder: Path, last_step: float = math.inf, checksums: Sequence[int] = ()) -> list[dict[str, Any]]:
    """The records of log.jsonl up to this step, without damaged lines; see `Log`. Nothing is changed."""
    return [record for record, _ in _lines_of_log(folder / "log.jsonl", checksums, last_step)[0]]


def read_growing_log(folder: Path) -> tuple[list[dict[str, Any]], str]:
    """All records of a log.jsonl that may be growing, and in words which lines are damaged, if any are.

    The last line may be incomplete, because it is being written: it is left out silently.
    """
    lines, bad = _lines_of_log(folder / "log.jsonl", (), math.inf)
    return [record for record, _ in lines], bad


def _lines_of_log(
    path: Path, checksums: Sequence[int], last_step: float
) -> tuple[list[tuple[dict[str, Any], int]], str]:
    """The records of log.jsonl up to a step, with the CRC-32 of their lines; and in words which are damaged."""
    if not path.exists():
        return [], "the file is missing, or" if checksums else ""
    found: list[tuple[dict[str, Any], int]] = []
    bad: list[int] = []
    expected = set(checksums)
    try:
        with files.open_regular(path) as file:
            for number, line in enumerate(iter(lambda: file.readline(files.MOST_TEXT), b""), start=1):
                line = line.replace(b"\r\n", b"\n")  # an editor may have changed them
                record, checksum = _record(line), zlib.crc32(line)
                step, last = record["step"] if record else -1, found[-1][0]["step"] if found else -1
                if step > last_step and checksum not in expected:
                    continue  # logged after the checkpoint, and logged again soon
                if record and step > last and (not expected or checksum in expected):
                    found.append((record, checksum))
                elif line.endswith(b"\n"):
                    bad.append(number)
    except (OSError, ValueError) as error:
        raise BadInput(f"{path}: {files.why(error)}") from None
    lost = len(expected - {checksum for _, checksum in found})
    if not bad and not lost:
        return found, ""
    if not bad:
        return found, "1 line is missing, the file is" if lost == 1 else f"{lost} lines are missing, the file is"
    return found, f"line{'s' * (len(bad) > 1)} {', '.join(map(str, bad[:5]))}{', ...' * (len(bad) > 5)}"


def _record(line: bytes) -> dict[str, Any] | None:
    """The record in a line, or None if it is damaged."""
    try:
        record = files.parsed_json(line.decode())
    except ValueError:
        return None
    step = record.get("step") if isinstance(record, dict) else None
    return record if isinstance(step, int) and not isinstance(step, bool) and step >= 0 else None


# ----------------------------------------------------------------------------------------------- checkpoints


class Checkpoint(NamedTuple):
    """What a checkpoint holds."""

    step: int
    arrays: dict[str, np.ndarray]
    about: dict[str, Any]


class Checkpoints:
    """The newest checkpoints of everything that training changes; a damaged one is passed over.

    Each is one .npz file, ckpt-<step>.npz: the arrays of the state by their place in it, such as
    `games/0/generator/weights/3`, and `about`, facts as JSON. The comment at the end of the archive is the SHA-256 of
    all that comes before it.
    """

    def __init__(self, folder: Path):
        self.folder = folder / "checkpoint"

    def save(self, step: int, state: dict[str, Any], about: dict[str, Any] | None = None) -> None:
        """Save the state at this step, and delete the oldest checkpoint where there are more than `KEPT`."""
        arrays = {name: np.asarray(leaf) for name, leaf in leaves(state)}
        text = np.array(json.dumps({"step": step} | (about or {}), allow_nan=False))
        with files.replacing(self.folder / f"ckpt-{step}.npz") as temporary:
            np.savez(temporary, about=text, **arrays)  # type: ignore[arg-type]
            _seal(temporary)
        for old in steps(self.folder.parent)[:-KEPT]:
            (self.folder / f"ckpt-{old}.npz").unlink()

    def newest(self, keep_damaged: bool = False) -> Checkpoint | None:
        """The newest checkpoint that is intact; None if the run never saved any. BadInput: all of them are damaged.

        Says so if it is not the newest one. Damaged ones are set aside, or left where they are if `keep_damaged`.
        """
        damaged = []
        for step in reversed(steps(self.folder.parent)):
            path = self.folder / f"ckpt-{step}.npz"
            try:
                found = _read_sealed(path)
                if found.step != step:
                    raise ValueError(f"of step {found.step}")
            except (files.NoRoom, PermissionError) as error:  # it may be intact
                raise BadInput(f"{path}: {files.why(error)}") from None
            except (OSError, ValueError) as error:
                damaged.append(path)
                screen.say(f"{path} is damaged ({files.why(error)}): trying the one before")
                continue
            for other in damaged if not keep_damaged else ():
                files.set_aside(other)
            return found
        if damaged:
            raise BadInput(f"{self.folder.parent}: no checkpoint that can be read; start again in a new folder")
        return None


def restore(state: dict[str, Any], checkpoint: Checkpoint) -> None:
    """Fill the state in place; ValueError if an array of it is missing, or has another shape or type."""
    wanted = dict(leaves(state))
    for name, leaf in wanted.items():
        array = checkpoint.arrays.get(name)
        if array is None or array.shape != tuple(leaf.shape) or array.dtype != np.asarray(leaf).dtype:
            found = "is missing" if array is None else f"is {array.dtype} {list(array.shape)}"
            raise ValueError(f"{name} {found}, expected {np.asarray(leaf).dtype} {list(leaf.shape)}")
    for name, leaf in wanted.items():
        if isinstance(leaf, np.ndarray):
            leaf[...] = checkpoint.arrays[name]
        else:
            leaf.assign(checkpoint.arrays[name])


def leaves(state: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """The arrays and variables in nested dicts, lists and tuples, each with its place, such as `game/step`."""
    if isinstance(state, dict):
        items = list(state.items())
    elif hasattr(state, "_fields"):
        items = list(zip(state._fields, state, strict=True))
    elif isinstance(state, list | tuple):
        items = [(str(k), value) for k, value in enumerate(state)]
    else:
        yield path, state
        return
    for name, value in items:
        yield from leaves(value, f"{path}/{name}" if path else name)


def steps(folder: Path) -> list[int]:
    """The steps of which there are checkpoints, in order."""
    names: list[str] = []
    with contextlib.suppress(OSError):  # there is no such folder, or its name is too long
        names = [path.stem.removeprefix("ckpt-") for path in (folder / "checkpoint").glob("ckpt-*.npz")]
    return sorted(int(name) for name in names if name.isdecimal() and str(int(name)) == name)


DIGEST = 64  # bytes of a SHA-256 in hexadecimal


def _seal(path: Path) -> None:
    """Put the SHA-256 of an archive into its comment, which is the end of the file: NumPy still reads it."""
    with path.open("r+b") as file:
        file.seek(-2, os.SEEK_END)  # the length of the comment, until now 0
        file.write(DIGEST.to_bytes(2, "little"))
        file.seek(0)
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        file.seek(0, os.SEEK_END)
        file.write(digest.encode())


def _read_sealed(path: Path) -> Checkpoint:
    """A checkpoint whose checksum fits; ValueError or OSError if not."""
    with files.open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        digest, left = hashlib.sha256(), size - DIGEST
        while left > 0 and (part := file.read(min(left, 2**20))):
            digest.update(part)
            left -= len(part)
        if left or file.read() != digest.hexdigest().encode():
            raise ValueError("its checksum does not fit")
    arrays = files.read_npz(path)
    try:
        about = files.parsed_json(str(arrays.pop("about")))
        return Checkpoint(about["step"], arrays, about)
    except (KeyError, TypeError) as error:
        raise ValueError(f"no checkpoint of this project ({error!r})") from None


# -------------------------------------------------------------------------------------- snapshots and results


def read_snapshots(folder: Path, last_step: int, keep_damaged: bool = False) -> dict[int, dict[str, np.ndarray]]:
    """step -> arrays of snapshots/<step>.npz up to this step; a damaged one is left out, and a line says so.

    Damaged ones are set aside, or left where they are if `keep_damaged`.
    """
    found = {}
    paths = (path for path in (folder / "snapshots").glob("*.npz") if path.stem.isdecimal())
    for path in sorted(paths, key=lambda path: int(path.stem)):
        if int(path.stem) <= last_step:
            try:
                found[int(path.stem)] = files.read_npz(path)
            except (OSError, ValueError) as error:
                screen.say(f"{path} is damaged ({files.why(error)}): left out of the pictures")
                if not keep_damaged:
                    files.set_aside(path)
    return found


def sheet(step: int) -> str:
    """The file in a run's folder with the sheet of images of this step."""
    return f"samples/{step:08d}.png"


def read_result(folder: Path) -> dict[str, Any] | None:
    """result.json of a run; None if it is not finished. ValueError or OSError if the file cannot be used."""
    path = folder / "result.json"
    if not path.exists():
        return None
    result = files.read_json(path)
    if not isinstance(result, dict) or not isinstance(result.get("steps"), int):
        raise ValueError("not the result of a run")
    return result
