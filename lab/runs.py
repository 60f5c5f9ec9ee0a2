"""A run is a folder: its settings, log, checkpoints, snapshots and result; and `Run`, which training reports to.

    config.json      the experiment, the recipe, every setting, the versions, the git commit
    data.json        what is known of the data: its name and shape
    log.jsonl        one JSON object a line, flushed line by line
    checkpoint/      everything that training changes
    snapshots/       arrays for pictures of training, one file for each step that was evaluated
    result.json      the final numbers
    figures/         what to look at

Files are written under a temporary name and then renamed, so that a killed run leaves no half-written file behind.
"""

import contextlib
import dataclasses
import itertools
import json
import math
import os
import platform
import shutil
import signal
import subprocess
import threading
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import psutil
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TimeRemainingColumn

import gan_core as core
import metrics

console = Console(highlight=False, soft_wrap=True)
LOGGED = ("discriminator_loss", "generator_loss")  # what a loop returns at each step, in this order


class BadInput(ValueError):
    """Invalid input: one line that names the flag or file, the value, and what is accepted. Exit code 2."""


class Stopped(Exception):
    """Training was interrupted or cannot go on: one line on where it stopped and what was saved; an exit code."""

    def __init__(self, message: str, code: int):
        super().__init__(message)
        self.code = code


class Trained(NamedTuple):
    """What training leaves behind for the evaluation and the figures."""

    config: Any  # the script's Config
    real: Any  # the real data
    game: Any  # everything that training changed
    run: "Run"  # its records and snapshots
    scorer: Any = None  # what measures images


def count_parameters(**networks: Sequence[Any]) -> dict[str, int]:
    """How many numbers the raw variables of each network hold."""
    return {name: sum(math.prod(w.shape) for w in weights) for name, weights in networks.items()}


def say(text: str) -> None:
    """Print a line on standard output."""
    console.print(text, markup=False)


# ---------------------------------------------------------------------------------------------- periods


@dataclasses.dataclass(frozen=True)
class Period:
    """The steps first, ..., last - 1: training between two evaluations."""

    first: int
    last: int

    @property
    def count(self) -> int:
        """The number of steps."""
        return self.last - self.first

    def __iter__(self) -> Iterator[int]:
        """`first, last = period`."""
        return iter((self.first, self.last))

    def chunks(self, size: int) -> Iterator["Period"]:
        """The same steps in shorter periods of at most `size` steps."""
        for first in range(self.first, self.last, size):
            yield Period(first, min(first + size, self.last))


@dataclasses.dataclass(frozen=True)
class Periods:
    """The periods of a run that are still to be played; they can be iterated over several times.

    A new run begins with a period of no steps, which records the untrained networks.
    """

    done: int
    steps: int
    every: int

    def __iter__(self) -> Iterator[Period]:
        if self.done == 0:
            yield Period(0, 0)
        yield from Period(self.done, self.steps).chunks(self.every)


# ------------------------------------------------------------------------------------------------ the run


class Run:
    """What training reports to: log, checkpoints, snapshots, progress. Without a folder all of it stays in memory.

    Args:
        folder: the run's folder, which exists.
        resume: restore the newest checkpoint of the folder and go on from there.
        reopen: restore it, and train no further: there are no periods, and nothing is written.
        progress_bar: show one on a terminal even without a folder.
    """

    def __init__(
        self, folder: Path | None = None, resume: bool = False, reopen: bool = False, progress_bar: bool = False
    ):
        self.folder, self.resume, self.reopened = folder, resume or reopen, reopen
        self._quiet = reopen or not (folder or (progress_bar and console.is_terminal))
        self.about: dict[str, Any] = {}  # experiment and recipe
        self.data: dict[str, Any] = {}
        self.state: dict[str, Any] = {}  # everything that training changes, by name
        if folder and (folder / "config.json").exists():
            saved = read_config(folder, "--resume")
            self.about = {name: saved[name] for name in ("experiment", "recipe")}
        if folder and (folder / "data.json").exists():
            self.data = json.loads((folder / "data.json").read_text())
        self.records: list[dict[str, Any]] = []
        self.snapshots: dict[int, dict[str, np.ndarray]] = {}  # step -> arrays for pictures
        self.train_seconds = 0.0
        self._log: Log | None = None
        self._checkpoints: Checkpoints | None = None
        self._interrupted = self._compiled = False
        self._saved = 0

    def path(self, name: str) -> Path | None:
        """A file in the run's folder; None in memory."""
        return self.folder / name if self.folder else None

    def keep_data(self, **facts: Any) -> None:
        """Keep what is known of the data in data.json, for those who use the run without its data."""
        self.data = facts
        if self.folder and not self.reopened:
            write_json(self.folder / "data.json", facts)

    @contextlib.contextmanager
    def training(
        self, state: dict[str, Any], config: Any, logged: Sequence[str] = LOGGED, checkpoints: type | None = None
    ) -> Iterator[Periods]:
        """Restore if resuming, open the log, let Ctrl-C save; yields the periods that are still to be played.

        Args:
            state: everything that training changes, by name; it is filled in place.
            config: settings with `steps, eval_every, checkpoint_every, seed` and, for many GANs at once, `seeds`.
            logged: names of the losses that the loop returns.
            checkpoints: `ArrayCheckpoints` for a state of NumPy arrays; by default TensorFlow's.
        """
        self.state, self._config, self._logged = state, config, logged
        first = self._open(state, checkpoints or Checkpoints)
        steps = first if self.reopened else config.steps
        with contextlib.ExitStack() as stack:
            if self._log:
                stack.callback(self._log.close)
            stack.enter_context(self._interruptible())
            self._progress = stack.enter_context(_Progress(config.steps, first, self._quiet))
            yield Periods(first, steps, config.eval_every)

    def _open(self, state: dict[str, Any], checkpoints: type) -> int:
        """Restore the newest checkpoint, records and snapshots if asked to; returns the steps already done."""
        if not self.folder:
            return 0
        self._checkpoints = checkpoints(self.folder, state)
        if not self.reopened:
            self._checkpoints.sweep()
        first = self._saved = self._checkpoints.restore() if self.resume else 0
        if self.reopened:
            if first == 0:
                raise BadInput(f"{self.folder}: no checkpoint yet")
            self.records = [r for r in read_log(self.folder) if r["step"] <= first]
        else:
            self._log = Log(self.folder, first or -1)  # from the start: nothing is kept
            self.records = self._log.records
        for path in sorted((self.folder / "snapshots").glob("[0-9]*.npz")):
            if first and int(path.stem) <= first:
                with np.load(path, allow_pickle=False) as file:
                    self.snapshots[int(path.stem)] = dict(file)
        if self.records:
            self.train_seconds = self.records[-1]["train_seconds"]
        if first and not self.reopened:
            say(f"{self.folder}: resuming at step {first} of {self._config.steps}")
        return first

    def play(self, loop: Callable, games: Sequence[Any], batches: Iterator[dict], period: Period) -> np.ndarray:
        """Train for a period; returns the losses at every step, `[n, k]`, or `[n, k, S]` of games with S seeds.

        Each call of the loop takes the next of `batches`: first one for every game, as many at a time as there are
        cores, then the next ones, until all steps of the period are played. Compiling happens outside the clock. The
        run stops at the first loss that is not finite.
        """
        if period.count and not self._compiled:
            first = next(batches)
            core.warm_up(loop, games[0], first)
            batches, self._compiled = itertools.chain([first], batches), True
        parts: list[np.ndarray] = []
        with self.timed():
            while sum(map(len, parts)) < period.count:
                parts.append(_play_all(loop, games, batches))
        losses = np.concatenate(parts) if parts else np.zeros((0, len(self._logged)), np.float32)
        self.require_finite_losses(period, losses)
        return losses

    @contextlib.contextmanager
    def timed(self) -> Iterator[None]:
        """Count the block as training time: the compiled loop, without evaluation, pictures and checkpoints."""
        start = time.perf_counter()
        yield
        self.train_seconds += time.perf_counter() - start

    def require_finite_losses(self, period: Period, losses: np.ndarray) -> None:
        """Stop at the first step of `losses [n, k]` or `[n, k, S]` that is NaN or infinite."""
        bad = np.argwhere(~np.isfinite(losses))
        if len(bad):
            i, name, *seed = bad[0]
            value = losses[tuple(bad[0])]
            which = f" (seed {self._config.seed + sum(seed)})"
            self.stop(f"step {period.first + i + 1}: {self._logged[name]} is {value}{which}")

    def require_finite(self, period: Period, fakes: np.ndarray) -> None:
        """Stop if a fake is NaN or infinite."""
        if not np.isfinite(fakes).all():
            self.stop(f"step {period.last}: the generator's output is not finite")

    def stop(self, reason: str) -> None:
        """Stop training that cannot go on; nothing is saved over the last good checkpoint."""
        kept = f"; the checkpoint of step {self._saved} is kept in {self.folder}" if self._saved else ""
        raise Stopped(reason + kept, 1)

    def snapshot(self, period: Period, **arrays: np.ndarray) -> None:
        """Keep arrays for pictures of this step, in snapshots/<step>.npz."""
        self.snapshots[period.last] = arrays
        if self.folder:
            with replacing(self.folder / "snapshots" / f"{period.last:08d}.npz") as temporary:
                np.savez(temporary, **arrays)  # type: ignore[arg-type]

    def record(self, period: Period, losses: np.ndarray, headline: str, **numbers: Any) -> None:
        """Log one line, show its headline, and save a checkpoint where one is due, at the end and on Ctrl-C.

        The line holds the step, the numbers, the mean of every loss over the period, and the training time. An array
        `[S]` of a number for each seed becomes its median, its 10% and 90% quantiles and the number of failed seeds.
        """
        record = {"step": period.last} | {name: _over_seeds(value) for name, value in numbers.items()}
        if len(losses):
            means = losses.mean(axis=0)  # [k] or [k, S]
            record |= {name: _over_seeds(mean) for name, mean in zip(self._logged, means, strict=True)}
        record["train_seconds"] = round(self.train_seconds, 3)
        self.records.append(record)
        if self._log:
            self._log.write(record)
        self._progress.show(period.last, headline)
        if period.last:
            self._checkpoint(period.last)

    def _checkpoint(self, step: int) -> None:
        """Save where due; after Ctrl-C stop the run here."""
        due = step - self._saved >= self._config.checkpoint_every or step == self._config.steps or self._interrupted
        if due and self._checkpoints:
            self._checkpoints.save(step)
            self._saved = step
        if self._interrupted:
            where = f", saved; continue with --resume {self.folder}" if self.folder else ""
            raise Stopped(f"interrupted at step {step} of {self._config.steps}{where}", 130)

    def finish(self, result: dict[str, Any]) -> dict[str, Any]:
        """Write result.json, and return it.

        `train_seconds` is the time in the compiled loop; the other times are those of this process so far.
        """
        times = {
            "train_seconds": round(self.train_seconds, 3),
            "wall_seconds": round(process_seconds(), 3),
            "cpu_seconds": round(time.process_time(), 3),
        }
        rate = result.get("seeds", 1) * result["steps"] / self.train_seconds
        result = self.about | result | times | {"seed_steps_per_second": round(rate)}
        if self.folder:
            write_json(self.folder / "result.json", result)
        return result

    @contextlib.contextmanager
    def _interruptible(self) -> Iterator[None]:
        """The first Ctrl-C waits for the end of the period; the second one does not."""

        def note(signum, frame):
            self._interrupted = True
            signal.signal(signal.SIGINT, signal.default_int_handler)

        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = signal.signal(signal.SIGINT, note)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)


def _play_all(loop: Callable, games: Sequence[Any], batches: Iterator[dict]) -> np.ndarray:
    """One call of the loop for every game, as many at a time as there are cores -> losses `[n, k]` or `[n, k, S]`."""
    if len(games) == 1:
        return loop(games[0], next(batches)).numpy()
    with ThreadPoolExecutor(min(len(games), os.cpu_count() or 1)) as pool:  # TensorFlow releases Python's lock
        # They are submitted one by one: the first game trains while the next one's batches are still being drawn.
        calls = [pool.submit(lambda game, batch: loop(game, batch).numpy(), game, next(batches)) for game in games]
        return np.concatenate([call.result() for call in calls], axis=-1)


def _over_seeds(value: Any) -> Any:
    """A plain number as it is; an array `[S]` as its summary without the single seeds."""
    if not isinstance(value, np.ndarray | np.generic):
        return value
    if value.ndim == 0:
        return value.item()
    return {name: number for name, number in metrics.summary(value).items() if name != "per_seed"}


def process_seconds() -> float:
    """Seconds since this process was started, imports included."""
    return time.time() - psutil.Process().create_time()


class _Progress:
    """A progress bar on a terminal, ten plain lines elsewhere."""

    def __init__(self, steps: int, first: int, quiet: bool):
        self.steps, self.first, self.quiet = steps, first, quiet
        self.tenth = 10 * first // steps
        columns = (
            "{task.description}",
            BarColumn(),
            TaskProgressColumn(),
            TimeRemainingColumn(),
            "{task.fields[headline]}",
        )
        self.bar = Progress(*columns, console=console, transient=True) if console.is_terminal and not quiet else None

    def __enter__(self) -> "_Progress":
        if self.bar:
            self.bar.start()
            self.task = self.bar.add_task("training", total=self.steps, completed=self.first, headline="")
        return self

    def __exit__(self, *exception: object) -> None:
        if self.bar:
            self.bar.stop()

    def show(self, step: int, headline: str) -> None:
        if self.bar:
            self.bar.update(self.task, completed=step, headline=headline)
        elif not self.quiet and 10 * step // self.steps > self.tenth:
            self.tenth = 10 * step // self.steps
            console.print(f"step {step:>{len(str(self.steps))}} of {self.steps}  {headline}", markup=False)


# ------------------------------------------------------------------------------------------- files of a run


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path beside `path` that replaces it once the block has ended without an error."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.stem}.tmp{path.suffix}")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_json(path: Path, value: Any) -> None:
    """Strict JSON (no NaN), written whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(value, indent=2, allow_nan=False) + "\n")


def folder_for(experiment: str, seed: int, out: str | None) -> Path:
    """The folder of a new run: `out`, or runs/<experiment>/<UTC time>-seed<seed>. BadInput: it is not empty."""
    folder = Path(out) if out else Path("runs") / experiment / f"{datetime.now(UTC):%Y%m%d-%H%M%S}-seed{seed}"
    if (folder / "config.json").exists():
        raise BadInput(
            f"--out {folder}: already holds a run; choose another folder, or continue it with --resume {folder}"
        )
    if folder.is_dir() and any(folder.iterdir()):
        raise BadInput(f"--out {folder}: not empty; choose a new or an empty folder")
    return folder


def create(folder: Path) -> list[Path]:
    """Create a folder; returns those of the folder and its parents that did not exist, the innermost first."""
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadInput(f"--out {folder}: {(error.strerror or str(error)).lower()}") from None
    return missing


def save_config(folder: Path, experiment: str, recipe: str, config: Any) -> None:
    """config.json: every setting, and what a reader needs to repeat the run."""
    packages = {name: metadata.version(name) for name in ("tensorflow", "numpy", "scipy")}
    saved = {
        "experiment": experiment,
        "recipe": recipe,
        "config": dataclasses.asdict(config),
        "versions": {"python": platform.python_version(), **packages},
        "commit": _git_commit(),
    }
    write_json(folder / "config.json", saved)


def read_config(folder: Path, flag: str) -> dict[str, Any]:
    """config.json, with at least `experiment`, `recipe` and `config`; `flag` is what the user gave the folder as."""
    try:
        saved = json.loads((folder / "config.json").read_text())
        return {name: saved[name] for name in ("experiment", "recipe", "config")} | saved
    except FileNotFoundError:
        raise BadInput(f"{flag} {folder}: no run here (there is no config.json)") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadInput(f"{flag} {folder}: config.json cannot be used ({error!r})") from None


def load_config(folder: Path, flag: str, config_class: type) -> Any:
    """The settings in config.json as a `Config`."""
    values = read_config(folder, flag)["config"]
    try:
        return config_class(**{k: tuple(v) if isinstance(v, list) else v for k, v in values.items()})
    except (TypeError, AttributeError, BadInput) as error:
        raise BadInput(f"{flag} {folder}: config.json cannot be used ({error})") from None


def _git_commit() -> str | None:
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty", "--abbrev=40"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None  # an installed copy outside git


class Log:
    """log.jsonl: JSON objects, one a line, flushed line by line, each with its `step`."""

    def __init__(self, folder: Path, last_step: int = 0):
        """Keep what was logged up to `last_step`, where a resumed run goes on; an incomplete last line is dropped."""
        path = folder / "log.jsonl"
        self.records = [r for r in read_log(folder) if r["step"] <= last_step]
        with replacing(path) as temporary:
            temporary.write_text("".join(_line(r) for r in self.records))
        self._file = path.open("a")

    def write(self, record: dict[str, Any]) -> None:
        """Append one line."""
        self._file.write(_line(record))
        self._file.flush()

    def close(self) -> None:
        self._file.close()


def _line(record: dict[str, Any]) -> str:
    return json.dumps(record, allow_nan=False) + "\n"


def read_log(folder: Path) -> list[dict[str, Any]]:
    """The records of log.jsonl, without a last line that a crash left incomplete."""
    path = folder / "log.jsonl"
    lines = path.read_text().split("\n")[:-1] if path.exists() else []
    records = []
    for line in lines:
        try:
            records.append(json.loads(line))
        except json.JSONDecodeError:
            break
    return records


class Checkpoints:
    """The newest checkpoints of everything that training changes; a damaged one is passed over."""

    ending = ".index"  # of the file that every complete checkpoint has

    def __init__(self, folder: Path, state: dict[str, Any], keep: int = 3):
        tf = core.tf
        self.folder = folder / "checkpoint"
        self._checkpoint = tf.train.Checkpoint(**state)
        self._manager = tf.train.CheckpointManager(self._checkpoint, str(self.folder), keep)
        self._damage: tuple[type[Exception], ...] = (tf.errors.OpError, ValueError, AssertionError)

    def save(self, step: int) -> None:
        """Save a checkpoint of this step, and delete the oldest where there are more than `keep`."""
        self._manager.save(checkpoint_number=step)

    def restore(self) -> int:
        """Load the newest checkpoint that can be read and return its step; 0 if the run never saved any.

        Says so if it is not the newest one.
        """
        steps = self._steps()
        for step in reversed(steps):
            path = self.folder / f"ckpt-{step}"
            try:
                self._load(path)
            except self._damage as error:
                reason = str(error).strip().splitlines()[0][:100]
                text = f"{path} is damaged ({reason}): falling back to the one before"
                console.print(text, style="yellow", markup=False)
                continue
            return step
        if steps:
            raise BadInput(f"{self.folder.parent}: no checkpoint that can be read")
        return 0

    def _steps(self) -> list[int]:
        return sorted(int(path.stem.removeprefix("ckpt-")) for path in self.folder.glob(f"ckpt-*{self.ending}"))

    def _load(self, path: Path) -> None:
        self._checkpoint.restore(str(path)).assert_consumed()

    def sweep(self) -> None:
        """Remove what a kill in the middle of a save leaves behind; TensorFlow never does."""
        for leftover in [*self.folder.glob("*_temp"), *self.folder.glob("checkpoint.tmp*")]:
            shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink()


class ArrayCheckpoints(Checkpoints):
    """The same for NumPy arrays, without TensorFlow: `state` is name -> arrays, which restoring fills in place."""

    ending = ".npz"

    def __init__(self, folder: Path, state: dict[str, Sequence[np.ndarray]], keep: int = 3):
        self.folder, self._keep = folder / "checkpoint", keep
        self._arrays = {f"{name}_{i}": array for name, arrays in state.items() for i, array in enumerate(arrays)}
        self._damage = (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error)

    def save(self, step: int) -> None:
        with replacing(self.folder / f"ckpt-{step}.npz") as temporary:
            np.savez(temporary, **self._arrays)  # type: ignore[arg-type]
        for old in self._steps()[: -self._keep]:
            (self.folder / f"ckpt-{old}.npz").unlink()

    def _load(self, path: Path) -> None:
        with path.with_suffix(".npz").open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            loaded = {name: file[name] for name in self._arrays}
        for name, array in self._arrays.items():
            array[...] = loaded[name]
