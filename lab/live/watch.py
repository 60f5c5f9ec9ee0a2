"""A run's folder, read while another process writes into it, as watch.js shows it. Nothing is written or locked."""

from __future__ import annotations

import asyncio
import contextlib
import io
import math
import threading
import time
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

import metrics
from lab import cli, files, plots, sheets, storage, style, targets
from lab.files import BadInput

PAGE = {"": "watch.html", "watch.css": "watch.css", "watch.js": "watch.js", "live.js": "live.js"}
EVERY = 0.5  # seconds between two looks at the folder
ROWS = 500  # of the log, evenly chosen, that the curves show
KEPT = 100  # pictures in memory
LARGEST = 2**25  # bytes of a figure
WATCHED = ("config.json", "log.jsonl", "result.json", "data.json", "snapshots", "figures", "checkpoint", storage.LOCK)


async def follow(watched: Watched, send: Callable[[dict], None]) -> None:
    """Send the state whenever the folder has changed, until this task is cancelled."""
    news = False
    while True:
        with contextlib.suppress(OSError):  # of a network drive that is away for a while: the next look tries again
            news = watched.changed() or news
            if news:
                send({"state": await asyncio.to_thread(watched.read)})
                news = False
        await asyncio.sleep(EVERY)


class Watched:
    """The folder of a run. `state` is what `read` found last, as JSON has it.

    BadInput: there is no such folder, or no run in it.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        if not folder.is_dir():
            raise BadInput(f"--run {folder}: no such folder")
        if not any((folder / name).is_file() for name in ("config.json", "log.jsonl", "result.json")):
            raise BadInput(f"--run {folder}: no run here (there is no config.json)")
        self._stamp: Any = None
        self._lock = threading.Lock()  # one picture is drawn at a time
        self._drawn: dict[tuple, bytes] = {}  # (step, time of the file) -> PNG, the oldest first
        self._counts: dict[int, tuple] = {}  # step -> histogram of the first seed's fakes, in runs of normal_1d
        self._real: dict[str, Any] = {}  # the real data of the pictures, once they are needed
        self._config: dict[str, Any] = {}
        self.changed()
        self.state = self.read()

    def changed(self) -> bool:
        """Whether anything in the folder, or whether it is being written, has changed since the last call."""
        found: list[Any] = [storage.writer(self.folder)]
        for name in WATCHED:
            with contextlib.suppress(OSError):
                about = (self.folder / name).stat()
                found.append((name, about.st_mtime_ns, about.st_size, about.st_ino))
        before, self._stamp = self._stamp, found
        return found != before

    # ----------------------------------------------------------------------------------------- what is known

    def read(self) -> dict[str, Any]:
        """Everything that the page shows but pictures; `problems` says in sentences what is missing or damaged."""
        problems: list[str] = []
        config = self._read_config(problems)
        self._config = config.get("config", {})
        records, result = self._read_log(problems), self._read_result(problems)
        self._counts = dict(_histograms(records))
        progress = self._progress(records, result)
        if progress["status"] != "finished":
            result = {}  # of a shorter run, which was continued since
        steps, figures = sorted(self._snapshots()) or sorted(self._counts), self._figures()
        if records and not steps:
            problems.append("There are no pictures: this run keeps no snapshots, or they are gone.")
        shown = [records[i] for i in _evenly(len(records))]
        self.state = {
            "folder": str(self.folder),
            "experiment": config.get("experiment") or str(result.get("experiment", "a run")),
            "recipe": config.get("recipe", ""),
            "settings": self._config,
            "versions": {**_dict(config.get("versions")), "commit": config.get("commit")},
            "resumed": [r.get("step") for r in config.get("resumed", []) if isinstance(r, dict)],
            "headline": str(result.get("headline", "")),
            "lines": len(records),
            "steps": [record["step"] for record in shown],
            "charts": charts(shown, result),
            "pictures": steps,
            "figures": [{"name": name, "version": time} for name, (_, time) in figures.items()],
            "problems": problems,
            **progress,
        }
        return self.state

    def greeting(self) -> dict[str, Any]:
        """What a page that opens now has to know."""
        return self.state | {"age": self._age()}

    def _age(self) -> float | None:
        """Seconds since the last line of the log."""
        with contextlib.suppress(OSError):
            return time.time() - (self.folder / "log.jsonl").stat().st_mtime
        return None

    def _progress(self, records: list[dict], result: dict[str, Any]) -> dict[str, Any]:
        """How far the run is, and whether a process works on it."""
        saved = storage.steps(self.folder)[-1:]
        step = max([record["step"] for record in records[-1:]] + saved, default=0)
        given = self._config.get("steps", result.get("steps"))
        steps = given if isinstance(given, int) else None
        writer = storage.writer(self.folder)
        finished = steps is not None and result.get("steps") == steps  # an older result is of a run that trains on
        seconds = _number(records[-1].get("train_seconds")) if records else None
        left = None
        if writer and not finished and seconds and steps and records[-1]["step"]:
            left = seconds * max(0, steps - step) / records[-1]["step"]
        return {
            "step": max(step, steps or 0) if finished else step,  # some runs keep neither a log nor checkpoints
            "of": steps,
            "status": "finished" if finished else "running" if writer else "interrupted",
            "writer": writer,
            "age": self._age(),
            "trained": seconds,
            "left": left,
        }

    def _read_config(self, problems: list[str]) -> dict[str, Any]:
        if not (self.folder / "config.json").exists():
            problems.append("The settings are unknown: config.json is missing.")
            return {}
        try:
            saved = storage.read_config(self.folder, "--run")
        except BadInput as error:
            problems.append(f"The settings are unknown: {_reason(error, self.folder)}.")
            return {}
        if not saved.unchanged:
            problems.append("config.json was changed after it was written: its checksum does not fit.")
        return saved.everything

    def _read_log(self, problems: list[str]) -> list[dict]:
        try:
            records, damaged = storage.read_growing_log(self.folder)
        except BadInput as error:
            problems.append(f"There are no curves: log.jsonl cannot be read ({_reason(error, self.folder)}).")
            return []
        if damaged:
            problems.append(f"log.jsonl is damaged: {damaged} cannot be read; the curves show the others.")
        if not records:
            empty = (self.folder / "log.jsonl").exists()
            problems.append(f"There are no curves: log.jsonl is {'empty' if empty else 'missing'}.")
        return records

    def _read_result(self, problems: list[str]) -> dict[str, Any]:
        try:
            return storage.read_result(self.folder) or {}
        except (OSError, ValueError) as error:
            problems.append(f"The final numbers are unknown: result.json cannot be used ({files.why(error)}).")
            return {}

    # ---------------------------------------------------------------------------------------------- pictures

    def _snapshots(self) -> dict[int, Path]:
        """step -> file."""
        paths = self._paths("snapshots", "*.npz")
        return {int(path.stem): path for path in paths if path.stem.isdecimal() and len(path.stem) < 16}

    def _figures(self) -> dict[str, tuple[Path, float]]:
        """name -> file and its time."""
        found = {}
        for path in self._paths("figures", "*.png"):
            with contextlib.suppress(OSError):
                found[path.name] = path, path.stat().st_mtime
        return found

    def _paths(self, folder: str, pattern: str) -> list[Path]:
        with contextlib.suppress(OSError):
            return sorted(path for path in (self.folder / folder).glob(pattern) if not path.name.startswith("."))
        return []

    def figure(self, name: str) -> bytes | str:
        """A PNG of figures/, or a sentence that says what is wrong with it."""
        path, _ = self._figures().get(name, (None, 0))
        if not path:
            return f"figures/{name[:100]} is not there."
        try:
            files.png_shape(path)
            if path.stat().st_size > LARGEST:
                raise ValueError(f"expected at most {files.in_words(LARGEST)}")
            return path.read_bytes()
        except (OSError, ValueError) as error:
            return f"figures/{name} cannot be shown: {files.why(error)}."

    def picture(self, step: str) -> bytes | str:
        """What was kept of a step as a PNG, or a sentence that says why there is no picture."""
        number = int(step) if step.isdecimal() and len(step) < 16 else -1
        path, counts = self._snapshots().get(number), self._counts.get(number)
        if not path and not counts:
            return f"There is no picture of step {step[:20]}."
        try:
            key = (number, path.stat().st_mtime_ns if path else counts)
            with self._lock:
                if key not in self._drawn:
                    arrays = files.read_npz(path) if path else {"counts": np.array(counts)}
                    with warnings.catch_warnings():  # of NaN in the arrays, say: they are no news for the terminal
                        warnings.simplefilter("ignore")
                        self._drawn[key] = self._png(number, arrays)
                    for old in list(self._drawn)[:-KEPT]:
                        del self._drawn[old]
                return self._drawn[key]
        except Exception as error:  # of whatever kind: a damaged file may hold anything
            return f"{f'snapshots/{path.name}' if path else 'The histogram'} cannot be shown: {files.why(error)}."

    def _png(self, step: int, arrays: dict[str, np.ndarray]) -> bytes:
        content = io.BytesIO()
        if "images" in arrays:
            images = arrays["images"]
            n = len(images)
            columns = n if n <= 10 else math.ceil(math.sqrt(n))  # as the scripts lay them out
            Image.fromarray(sheets.sheet(images / 255, columns)).save(content, "PNG")
            return content.getvalue()
        draw = self._histogram if "counts" in arrays else self._plane
        draw(step, arrays).savefig(content, format="png", dpi=110)
        return content.getvalue()

    def _histogram(self, step: int, arrays: dict[str, np.ndarray]) -> Any:
        """Density of the first seed's fakes over the bins of the run's KL, and of the real numbers if known."""
        counts = arrays["counts"]
        fig, ((ax,),) = style.figure(1, 1, 5.2, 3.6)
        known = self._once("bins", self._real_bins)
        edges = np.arange(len(counts) - 1)  # where nothing is known of the real numbers: one bin after the other
        if known and len(known[1]) == len(counts):
            edges, masses = known
            ax.stairs(masses[1:-1] / np.diff(edges), edges, color=style.REAL, lw=1.8, label="real", zorder=3)
        heights = counts[1:-1] / max(1, counts.sum()) / np.diff(edges)
        ax.stairs(heights, edges, fill=True, color=style.FAKE, alpha=0.6, label="fakes of the first seed")
        outside = (counts[0] + counts[-1]) / max(1, counts.sum())
        beyond = f"; {outside:.1%} of the fakes lie outside" if outside else ""
        ax.set(title=f"step {step:,}{beyond}", xlabel="x" if known else "bin", ylabel="density")
        ax.set(xlim=(edges[0], edges[-1]), ylim=(0, None))
        style.key(ax)
        return fig

    def _real_bins(self) -> tuple[np.ndarray, np.ndarray]:
        """Edges `[41]` of the histogram in the log, and the real mass of each bin, tails included `[42]`."""
        names = ("target", "target_args", "data", "seed")
        target, args, data, seed = (self._config[name] for name in names)
        truth = targets.numbers(target, args, data, 1, [seed]).truth
        edges = metrics.histogram_edges(truth)
        return edges, metrics.bin_masses(truth, edges)

    def _plane(self, step: int, arrays: dict[str, np.ndarray]) -> Any:
        """The plane as D sees it and G's bent lattice; where the real points are not known, the fakes alone."""
        known = self._once("points", self._real_points)
        fig, ((left, right),) = style.figure(1, 2, 9, 4.4)
        if known:
            plots.plane(left, known[0], arrays, known[1])
            plots.latent_lattice(right, arrays, known[1])
        else:
            left.scatter(*arrays["fakes"], s=9, color=style.FAKE, lw=0.35, ec="white")
            left.set(title="First seed: fakes (the file of the real points is gone)", aspect="equal")
            right.remove()
        return style.headed(fig, f"step {step:,}")

    def _real_points(self) -> tuple[np.ndarray, tuple]:
        """Some held-out real points `[n, 2]`, and the square of the run's pictures."""
        real = targets.points(self._config["target"], 1, [self._config["seed"]])
        return real.test[:1000], cli.script("mixture_2d").square_around(real)

    def _once(self, name: str, find: Callable[[], Any]) -> Any:
        """What `find` finds, the first time; None if it cannot, as where the file of the data is not here."""
        if name not in self._real:
            try:
                self._real[name] = find()
            except (ValueError, KeyError, TypeError):  # BadInput is a ValueError; the settings may be damaged
                return None
        return self._real[name]


# ------------------------------------------------------------------------------------------------- curves

COMMON = {"_loss": "Losses", "_error": "Errors", "_accuracy": "Accuracy"}  # numbers that stand in one chart
SHORT = {"kl": "KL", "l1": "L1", "discriminator": "D", "generator": "G"}
LOGARITHMIC = ("kl", "frechet")  # words in the names of numbers that shrink by powers of ten


@dataclass
class Chart:
    """Numbers of the log in one panel: `names` of them, each with its label."""

    title: str
    names: dict[str, str]


def charts(records: list[dict], result: dict[str, Any]) -> list[dict[str, Any]]:
    """What stands in each panel: every number of the log, those that belong together in one, with their floors.

    A line holds a number for each record, None where it is unknown; `low` and `high` are the 10% and 90% quantiles
    of many seeds.
    """
    found = []
    for chart in arranged(records):
        lines, floors = [], []
        for name, label in chart.names.items():
            rows = [_quantiles(record.get(name)) for record in records]
            low, median, high = (list(column) for column in zip(*rows, strict=True))
            line = {"name": name, "label": label, "median": median}
            if any(value is not None for value in low):
                line |= {"low": low, "high": high}
            lines.append(line | {"failed": _failed(records[-1].get(name))})
            floor = _number(records[-1].get(f"{name}_floor"))  # the log's own is of as many samples as its numbers
            floor = _number(result.get(f"{name}_floor")) if floor is None else floor
            if floor is not None:
                words = "equilibrium" if name.endswith("_loss") else "floor"
                floors.append({"value": floor, "text": words, "of": label if len(chart.names) > 1 else ""})
        log = any(word in LOGARITHMIC for name in chart.names for word in name.split("_"))
        found.append({"title": chart.title, "log": log, "lines": lines, "floors": floors})
    return found


def arranged(records: Iterable[dict]) -> list[Chart]:
    """The numbers in `records` as charts, the losses first.

    Numbers whose names end alike stand in one chart, and so do `l1` and `l1_of_copy`.
    """
    known = {name: None for record in records for name, value in record.items() if _quantiles(value)[1] is not None}
    names = [name for name in known if name not in ("step", "train_seconds")]
    names = [name for name in names if not (name.endswith("_floor") and name.removesuffix("_floor") in known)]
    found: dict[str, Chart] = {}
    for suffix, title in COMMON.items():
        alike = [name for name in names if name.endswith(suffix)]
        if len(alike) > 1:
            found[suffix] = Chart(title, {name: _words(name.removesuffix(suffix)) for name in alike})
            names = [name for name in names if name not in alike]
    for name in sorted(names, key=names.index):
        first = next((other for other in names if name.startswith(f"{other}_")), name)
        found.setdefault(first, Chart(_title(first), {first: "" if first == name else _words(first)}))
        if name != first:
            chart = found[first]
            chart.names |= {first: "fakes", name: _words(name.removeprefix(f"{first}_"))}
    return list(found.values())


def _words(name: str) -> str:
    return " ".join(SHORT.get(word, word) for word in name.split("_"))


def _title(name: str) -> str:
    words = _words(name)
    return words[0].upper() + words[1:] + ", nats" * ("KL" in words.split())


def _quantiles(value: Any) -> tuple[float | None, float | None, float | None]:
    """10% quantile, median and 90% quantile of a number of the log; a plain one is its own median."""
    if isinstance(value, dict):
        low, median, high = (_number(value.get(name)) for name in ("q10", "median", "q90"))
        return low, median, high
    return None, _number(value), None


def _failed(value: Any) -> int:
    """Of how many seeds a number of the log is not finite."""
    failed = value.get("failed") if isinstance(value, dict) else 0
    return failed if isinstance(failed, int) else 0


def _number(value: Any) -> float | None:
    """A number with five digits, which is more than a picture shows; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    with contextlib.suppress(OverflowError):  # a whole number of 400 digits
        value = float(f"{float(value):.5g}")
        return value if math.isfinite(value) else None
    return None


def _histograms(records: list[dict]) -> Iterable[tuple[int, tuple]]:
    """(step, counts) of every record that has them."""
    for record in records:
        counts = record.get("fake_counts")
        if isinstance(counts, list) and len(counts) > 3 and all(_number(count) is not None for count in counts):
            yield record["step"], tuple(counts)


def _evenly(n: int) -> list[int]:
    """Up to `ROWS` of n places, the first and the last among them."""
    return np.unique(np.linspace(0, n - 1, min(n, ROWS)).round().astype(int)).tolist()


def _dict(value: Any) -> dict:
    return value if isinstance(value, dict) else {}


def _reason(error: BadInput, folder: Path) -> str:
    """What a message says behind the flag and the folder that it begins with."""
    return str(error).removeprefix(f"--run {folder}: ").removeprefix(f"{folder}/log.jsonl: ")
