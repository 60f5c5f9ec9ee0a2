"""Compiled programs, kept between processes: XLA compiles for seconds what it can load in a tenth of a second.

TensorFlow writes and finds the programs by itself, as `*.pb` files under a name made of the computation. The folder
is one for each version of TensorFlow and each kind of processor. Beside each program stands its SHA-256, written at
the end of the process that compiled it. At the start of a process, programs whose checksum is missing or wrong are
deleted. A program in a damaged file, or of a process that was killed, is therefore compiled again and never run.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import os
import platform
import re
from pathlib import Path

from lab import files

AT_MOST = 60  # programs are kept in a folder, the newest ones; each takes about a megabyte


def use_kept(folder: Path | None = None) -> Path | None:
    """Let TensorFlow, which must not be imported yet, keep its programs; None where nothing can be kept.

    `folder`: by default one in `files.cache_folder()`.
    """
    try:
        folder = folder or files.cache_folder() / f"programs-{_kind()}"
        folder.mkdir(parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK):
            return None
        newest = sorted(folder.glob("*.pb"), key=lambda path: path.stat().st_mtime)[-AT_MOST:]
        right = {path for path in newest if _is_right(path)}
        for path in (*folder.glob("*.pb"), *folder.glob("*.pb-sha256")):  # .tmp: another process writes it just now
            if path.with_suffix(".pb") not in right:
                path.unlink(missing_ok=True)
    except (OSError, RuntimeError, ImportError):  # no home, no room, a file in the way; tensorflow-cpu, say
        return None
    flags = os.environ.get("TF_XLA_FLAGS", "")
    os.environ["TF_XLA_FLAGS"] = f"{flags} --tf_xla_persistent_cache_directory={folder}".strip()
    return folder


def keep(folder: Path | None) -> None:
    """Write the SHA-256 of each new program in the folder of `use_kept`, so that the next process loads it."""
    with contextlib.suppress(OSError):
        for path in folder.glob("*.pb") if folder else ():
            if not _sidecar(path).exists():
                with files.replacing(_sidecar(path)) as temporary:
                    temporary.write_text(_sha256(path))


def _sidecar(program: Path) -> Path:
    """The file beside a program that holds its SHA-256."""
    return program.with_suffix(".pb-sha256")


def _is_right(program: Path) -> bool:
    """Whether a program has the SHA-256 that stands beside it."""
    return _sidecar(program).exists() and _sidecar(program).read_text() == _sha256(program)


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _kind() -> str:
    """What a program is compiled for: TensorFlow's version, and the processor with its instructions."""
    features = platform.machine() + platform.processor() + os.environ.get("XLA_FLAGS", "")
    with contextlib.suppress(OSError):
        text = Path("/proc/cpuinfo").read_text()
        features += "".join(re.findall(r"^(?:model name|flags|Features)\s*:.*$", text, re.MULTILINE)[:2])
    return f"{importlib.metadata.version('tensorflow')}-{hashlib.sha256(features.encode()).hexdigest()[:12]}"
