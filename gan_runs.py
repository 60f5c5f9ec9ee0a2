"""A run is a folder: config, log, checkpoints, result. Also the command line that every training script shares.

    config.json      every setting, the versions, the git commit
    log.jsonl        one JSON object a line, flushed line by line
    checkpoint/      everything that training changes
    result.json      the final numbers
    figures/         what to look at

Files are written under a temporary name and renamed, so that a killed run leaves no half file behind.
"""

import contextlib
import dataclasses
import io
import itertools
import json
import os
import platform
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import tyro
from rich import box
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TimeRemainingColumn
from rich.table import Table

console = Console(highlight=False, soft_wrap=True)


class BadInput(ValueError):
    """What the user can mend: one line that names the flag or file, the value, and what is accepted."""


class Stopped(Exception):
    """Training that cannot go on, or was interrupted: one line on where it stopped and what was kept; exit code."""

    def __init__(self, message: str, code: int):
        super().__init__(message)
        self.code = code


# ----------------------------------------------------------------------------------------------- the folder


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path beside `path` that replaces it once the block has ended well."""
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


def new_folder(experiment: str, seed: int, out: str | None) -> Path:
    """Create the run's folder: `out` exactly, or runs/<experiment>/<UTC time>-seed<seed>."""
    name = f"{datetime.now(UTC):%Y%m%d-%H%M%S}-seed{seed}"
    folder = Path(out) if out else Path("runs") / experiment / name
    if (folder / "config.json").exists():
        raise BadInput(
            f"--out {folder}: already holds a run; choose another folder, or continue it with --resume {folder}"
        )
    if folder.is_dir() and any(folder.iterdir()):
        raise BadInput(f"--out {folder}: not empty; choose a new or an empty folder")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadInput(f"--out {folder}: {(error.strerror or str(error)).lower()}") from None
    return folder


def save_config(folder: Path, experiment: str, config: Any) -> None:
    """config.json: every setting, and what a reader needs to repeat the run."""
    packages = {name: metadata.version(name) for name in ("tensorflow", "numpy", "scipy")}
    write_json(
        folder / "config.json",
        {
            "experiment": experiment,
            "config": dataclasses.asdict(config),
            "versions": {"python": platform.python_version(), **packages},
            "commit": _git_commit(),
        },
    )


def load_config(folder: Path, experiment: str, config_class: type) -> Any:
    """The `Config` a run was started with, for `--resume`."""
    found, values = read_config(folder, "--resume")
    if found != experiment:
        raise BadInput(f"--resume {folder}: a run of {found}, not of {experiment}")
    return rebuild_config(folder, config_class, values, "--resume")


def read_config(folder: Path, flag: str) -> tuple[str, dict[str, Any]]:
    """The experiment's name and the settings in config.json; `flag` is what the user called the folder."""
    try:
        saved = json.loads((folder / "config.json").read_text())
        return saved["experiment"], saved["config"]
    except FileNotFoundError:
        raise BadInput(f"{flag} {folder}: no run here (there is no config.json)") from None
    except (OSError, json.JSONDecodeError, KeyError, TypeError) as error:
        raise BadInput(f"{flag} {folder}: config.json cannot be used ({error})") from None


def rebuild_config(folder: Path, config_class: type, values: dict[str, Any], flag: str) -> Any:
    """A `Config` from the values in config.json."""
    try:
        return config_class(**{k: tuple(v) if isinstance(v, list) else v for k, v in values.items()})
    except (TypeError, AttributeError) as error:
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
        """Keep what was logged up to `last_step`, where a resumed run takes over; a torn last line is dropped."""
        path = folder / "log.jsonl"
        self.records = [r for r in read_log(folder) if r["step"] <= last_step]
        with replacing(path) as temporary:
            temporary.write_text("".join(_line(r) for r in self.records))
        self._file = path.open("a")

    def write(self, record: dict[str, Any]) -> None:
        self.records.append(record)
        self._file.write(_line(record))
        self._file.flush()

    def close(self) -> None:
        self._file.close()


def _line(record: dict[str, Any]) -> str:
    return json.dumps(record, allow_nan=False) + "\n"


def read_log(folder: Path) -> list[dict[str, Any]]:
    """The records of log.jsonl, without a last line that a crash left torn."""
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

    ending = ".index"  # of the file that a whole checkpoint has

    def __init__(self, folder: Path, state: dict[str, Any], keep: int = 3):
        import tensorflow as tf  # here, so that a script without TensorFlow can use the rest

        self.folder = folder / "checkpoint"
        self._checkpoint = tf.train.Checkpoint(**state)
        self._manager = tf.train.CheckpointManager(self._checkpoint, str(self.folder), keep)
        self._damage = (tf.errors.OpError, ValueError, AssertionError)

    def save(self, step: int) -> None:
        self._manager.save(checkpoint_number=step)

    def restore(self) -> int:
        """Load the newest checkpoint that can be read, say so if it is not the newest, and return its step.

        0 if the run was stopped before it saved any.
        """
        steps = self._steps()
        for step in reversed(steps):
            path = self.folder / f"ckpt-{step}"
            try:
                self._load(path)
            except self._damage as error:
                reason = str(error).strip().splitlines()[0][:100]
                console.print(
                    f"{path} is damaged ({reason}): falling back to the one before",
                    style="yellow",
                    markup=False,
                )
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
            np.savez(temporary, **self._arrays)
        for old in self._steps()[: -self._keep]:
            (self.folder / f"ckpt-{old}.npz").unlink()

    def _load(self, path: Path) -> None:
        with path.with_suffix(".npz").open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            loaded = {name: file[name] for name in self._arrays}
        for name, array in self._arrays.items():
            array[...] = loaded[name]


@contextlib.contextmanager
def claimed(path: Path) -> Iterator[str | None]:
    """Own the work that a file stands for, among processes and machines that share a folder.

    Yields None to the one process that owns it, to others the owner, as `host, process 123`. The file goes with the
    block; one left by a process of this machine that is gone is taken over, of another machine it is for the user to
    delete.
    """
    here, process = socket.gethostname(), os.getpid()
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with path.open("x") as file:
            file.write(f"{here}, process {process}")
    except FileExistsError:
        owner = path.read_text()
        host, _, number = owner.partition(", process ")
        if host != here or not number.isdigit() or psutil.pid_exists(int(number)):
            yield f"{owner}; if it is gone, delete {path}"
            return
        path.unlink(missing_ok=True)
        with claimed(path) as owner:  # whoever is first now
            yield owner
        return
    try:
        yield None
    finally:
        path.unlink(missing_ok=True)


class Snapshots:
    """What a picture needs of some steps: `kept` is step -> arrays; in a run's folder snapshots/<step>.npz."""

    def __init__(self, folder: Path | None):
        self.folder = folder / "snapshots" if folder else None
        self.kept: dict[int, dict[str, np.ndarray]] = {}
        for path in sorted(self.folder.glob("[0-9]*.npz")) if self.folder else ():
            with np.load(path, allow_pickle=False) as file:
                self.kept[int(path.stem)] = dict(file)

    def add(self, step: int, arrays: dict[str, np.ndarray]) -> None:
        self.kept[step] = arrays
        if self.folder:
            with replacing(self.folder / f"{step:08d}.npz") as temporary:
                np.savez(temporary, **arrays)


# --------------------------------------------------------------------------------------------------- the run


class Run:
    """What training tells the outside: log, checkpoints, progress. Without a folder all of it stays in memory.

    with run.training(state, steps) as first:      # the step to start from
        ... run.timed() around the compiled loop; run.record(...) and run.checkpoint(...) between its chunks
    """

    def __init__(self, folder: Path | None = None, resume: bool = False, checkpoint_every: int = 1000):
        self.folder, self.resume, self.checkpoint_every = folder, resume, checkpoint_every
        self.steps = 0
        self.records: list[dict[str, Any]] = []
        self.train_seconds = 0.0
        self._interrupted = False

    @contextlib.contextmanager
    def training(self, state: dict[str, Any], steps: int, checkpoints: type = Checkpoints) -> Iterator[int]:
        """Open log, checkpoints and progress; restore if resuming; yield the number of steps already done."""
        first, self.steps, self._log, self._checkpoints = 0, steps, None, None
        if self.folder:
            self._checkpoints = checkpoints(self.folder, state)
            self._checkpoints.sweep()
            first = self._checkpoints.restore() if self.resume else 0
            self._log = Log(self.folder, first or -1)  # from the start: nothing is kept
            self.records = self._log.records
        if self.records:
            self.train_seconds = self.records[-1]["train_seconds"]
            say(f"{self.folder}: resuming at step {first} of {steps}")
        self._saved = first
        with contextlib.ExitStack() as stack:
            if self._log:
                stack.callback(self._log.close)
            stack.enter_context(self._interruptible())
            self._progress = stack.enter_context(_Progress(steps, first, quiet=self.folder is None))
            yield first

    @contextlib.contextmanager
    def timed(self) -> Iterator[None]:
        """Count the block as training time: the compiled loop, without evaluation, pictures and checkpoints."""
        start = time.perf_counter()
        yield
        self.train_seconds += time.perf_counter() - start

    def record(self, record: dict[str, Any], headline: str = "") -> None:
        """Log one record, which has a `step`, and show its headline."""
        record["train_seconds"] = round(self.train_seconds, 3)
        if self._log:
            self._log.write(record)
        else:
            self.records.append(record)
        self._progress.show(record["step"], headline)

    def checkpoint(self, step: int) -> None:
        """Save where due, at the end, and on Ctrl-C, which stops the run here."""
        due = step - self._saved >= self.checkpoint_every or step == self.steps or self._interrupted
        if due and self._checkpoints:
            self._checkpoints.save(step)
            self._saved = step
        if self._interrupted:
            where = f", saved; continue with --resume {self.folder}" if self.folder else ""
            raise Stopped(f"interrupted at step {step} of {self.steps}{where}", 130)

    def require_finite(
        self,
        losses: np.ndarray,
        first: int,
        seeds: Sequence[int],
        names: Sequence[str] = ("discriminator_loss", "generator_loss"),
    ) -> None:
        """Stop at the first step of `losses [n, k, S]`, so named, that is NaN or infinite."""
        bad = np.argwhere(~np.isfinite(losses))
        if len(bad):
            i, player, k = bad[0]
            self.stop(f"step {first + i + 1}: {names[player]} is {losses[i, player, k]} (seed {seeds[k]})")

    def stop(self, reason: str) -> None:
        """Stop training that cannot go on; nothing is saved over the last good checkpoint."""
        kept = f"; the checkpoint of step {self._saved} is kept in {self.folder}" if self._saved else ""
        raise Stopped(reason + kept, 1)

    def finish(self, result: dict[str, Any]) -> dict[str, Any]:
        """result.json, with the times: `train_seconds` in the compiled loop, the others of this process."""
        times = {
            "train_seconds": round(self.train_seconds, 3),
            "wall_seconds": round(process_seconds(), 3),
            "cpu_seconds": round(time.process_time(), 3),
        }
        rate = result.get("seeds", 1) * result["steps"] / self.train_seconds
        result = result | times | {"seed_steps_per_second": round(rate)}
        if self.folder:
            write_json(self.folder / "result.json", result)
        return result

    @contextlib.contextmanager
    def _interruptible(self) -> Iterator[None]:
        """The first Ctrl-C waits for the end of the chunk, the second one does not."""

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


def process_seconds() -> float:
    """Seconds since this process was started, imports included."""
    return time.time() - psutil.Process().create_time()


class _Progress:
    """A bar on a terminal, ten plain lines elsewhere."""

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

    def __enter__(self):
        if self.bar:
            self.bar.start()
            self.task = self.bar.add_task("training", total=self.steps, completed=self.first, headline="")
        return self

    def __exit__(self, *exception):
        if self.bar:
            self.bar.stop()

    def show(self, step: int, headline: str) -> None:
        if self.bar:
            self.bar.update(self.task, completed=step, headline=headline)
        elif not self.quiet and 10 * step // self.steps > self.tenth:
            self.tenth = 10 * step // self.steps
            console.print(f"step {step:>{len(str(self.steps))}} of {self.steps}  {headline}", markup=False)


# ----------------------------------------------------------------------------------------------- the screen


def say(text: str) -> None:
    """A line on standard output."""
    console.print(text, markup=False)


def show_table(result: dict[str, Any], rows: dict[str, tuple[str, str]]) -> None:
    """Median and 10% to 90% range over seeds of each number, and its ideal; `rows`: label -> (number, ideal).

    A number that the result does not have, or has as None, has no row.
    """
    title = f"{result['target']}, recipe {result['recipe']}, {result['seeds']} seeds, {result['steps']} steps"
    table = Table("", "median", "10%", "90%", "floor", title=title, title_justify="left", box=box.SIMPLE_HEAD)
    for column in table.columns[1:]:
        column.justify = "right"
    for label, (name, ideal) in rows.items():
        if result.get(name) is not None:
            values = [result[name][q] for q in ("median", "q10", "q90")]
            table.add_row(label, *("-" if v is None else f"{v:.4f}" for v in (*values, result[ideal])))
    console.print(table)


# ----------------------------------------------------------------------------------------- the command line


def require(config: Any, flags: str, accepted: str, good: Callable[[Any], bool]) -> None:
    """BadInput unless each of these flags, given as one string of names, has good values; None is not set."""
    for name in flags.split():
        value = getattr(config, name)
        values = value if isinstance(value, tuple) else () if value is None else (value,)
        if not all(good(v) for v in values):
            given = " ".join(f"{v:g}" for v in values)
            raise BadInput(f"--{name.replace('_', '-')} {given}: expected {accepted}")


def command_line(
    experiment: str,
    recipes: dict[str, Any],
    train: Callable[[Any, Run], None],
    description: str,
    args: list[str] | None = None,
) -> None:
    """Parse the flags, open the run's folder, train; what the user can mend is one line and exit code 2.

    Args:
        recipes: complete configurations by name, the default first. `--recipe` picks the one that the other flags
            then change.
        train: `train(config, run)` does the work. A config's `checked()` completes it, or raises BadInput.
        args: the words of the command line, by default those of this process.
    """
    args = sys.argv[1:] if args is None else args
    with one_line_errors() as interrupted:
        command = _parse(recipes, description, args)
        config, folder = _resume(experiment, command, args) if command.resume else _start(experiment, command)
        if _is_finished(folder, config):
            console.print(f"{folder}: finished, all {config.steps} steps are done; --steps N goes on to N")
            return
        interrupted.append(f"continue with --resume {folder}")
        train(config, Run(folder, command.resume is not None, config.checkpoint_every))


@contextlib.contextmanager
def one_line_errors() -> Iterator[list[str]]:
    """What the user can mend, or did, ends the process with one line; the list holds what to say after Ctrl-C."""
    advice = ["interrupted"]
    try:
        yield advice
    except BadInput as error:
        _exit(str(error), code=2)
    except Stopped as error:
        _exit(str(error), error.code)
    except KeyboardInterrupt:
        _exit("; ".join(advice), code=130)


def _exit(message: str, code: int) -> None:
    print(message, file=sys.stderr)
    sys.exit(code)


def parse(command: Any, description: str, args: list[str], default: Any = None) -> Any:
    """The command line as tyro reads it; a wrong one is BadInput, `--help` prints and ends the process."""
    said = io.StringIO()
    options = {"default": default} if default is not None else {}
    try:
        with contextlib.redirect_stderr(said):
            return tyro.cli(
                command, description=description, args=args, config=(tyro.conf.OmitArgPrefixes,), **options
            )
    except SystemExit as stop:
        if stop.code:
            raise BadInput(_one_line(said.getvalue())) from None
        raise


def _parse(recipes: dict[str, Any], description: str, args: list[str]) -> Any:
    default = next(iter(recipes.values()))

    @dataclasses.dataclass(frozen=True)
    class Command:
        config: type(default)
        out: str | None = None  # the run's folder [default: runs/EXPERIMENT/TIME-seedSEED]
        resume: str | None = None  # continue the run in this folder, with its own settings

    recipe = parse(Command, description, args, Command(default)).config.recipe
    return parse(Command, description, args, Command(dataclasses.replace(recipes[recipe], recipe=recipe)))


def _one_line(frame: str) -> str:
    """The message of tyro's framed error: what stands before the first rule, not counting the title."""
    rows = [row.strip(" │|") for row in frame.splitlines() if not row.startswith(("╭", "╰"))]
    sections = [
        " ".join(group) for rule, group in itertools.groupby(rows, lambda r: not set(r) - set("─-")) if not rule
    ]
    message = sections[0 if frame.startswith("╭") else 1]  # without Unicode the title is a section of its own
    return f"{message.rstrip('.')}; see --help"


def _start(experiment: str, command: Any) -> tuple[Any, Path]:
    config = command.config.checked()
    folder = new_folder(experiment, config.seed, command.out)
    save_config(folder, experiment, config)
    return config, folder


def _resume(experiment: str, command: Any, args: list[str]) -> tuple[Any, Path]:
    """A run goes on with its own settings; `--steps`, the total, may grow."""
    folder = Path(command.resume)
    flags = [arg.split("=")[0] for arg in args if arg.startswith("--")]
    if other := set(flags) - {"--resume", "--steps"}:
        raise BadInput(f"--resume {folder}: the run keeps its own settings; drop {', '.join(sorted(other))}")
    config = load_config(folder, experiment, type(command.config))
    if "--steps" in flags and command.config.steps != config.steps:
        if command.config.steps < config.steps:
            raise BadInput(
                f"--steps {command.config.steps}: the run is set to {config.steps} steps and cannot shrink"
            )
        config = dataclasses.replace(config, steps=command.config.steps)
        config = config.checked()
        save_config(folder, experiment, config)
    return config, folder


def _is_finished(folder: Path, config: Any) -> bool:
    result = folder / "result.json"
    return result.exists() and json.loads(result.read_text())["steps"] == config.steps
