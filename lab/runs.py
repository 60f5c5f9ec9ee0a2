"""A run: its periods of training, its records, and the folder that it reports to."""

import contextlib
import dataclasses
import itertools
import math
import os
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import psutil
from rich.progress import BarColumn, Progress, TaskProgressColumn, TimeRemainingColumn

import metrics
from lab import calls, devices, files, screen, signals, storage, tensorboard
from lab.devices import LostWorker
from lab.files import BadInput
from lab.screen import console, say

LOGGED = ("discriminator_loss", "generator_loss")  # what a loop returns at each step, in this order
LOST = os.EX_TEMPFAIL  # exit code where another worker is lost: "try again later"


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

    def chunks(self, size: int) -> Iterator["Period"]:
        """The same steps in shorter periods of at most `size` steps."""
        for first in range(self.first, self.last, size):
            yield Period(first, min(first + size, self.last))


@dataclasses.dataclass(frozen=True)
class Periods:
    """The periods of a run that are still to be played; they can be iterated over several times.

    Each ends at a multiple of `every` or at the last step. A new run begins with a period of no steps, which records
    the untrained networks; so does a run that was interrupted between the last step of a period and its record.
    """

    done: int
    steps: int
    every: int
    unrecorded: bool = False
    checkpoint_every: int = 1
    together: int = 1

    def __iter__(self) -> Iterator[Period]:
        whole = self.done % self.every == 0 or self.done == self.steps
        if self.done == 0 or (self.unrecorded and whole):
            yield Period(self.done, self.done)
        boundary = min(self.done + -self.done % self.every, self.steps)
        if boundary > self.done:  # a period that was interrupted goes on
            yield Period(self.done, boundary)
        yield from Period(boundary, self.steps).chunks(self.every)

    def joined(self) -> Iterator[Period]:
        """The same steps in longer periods, of `together` periods each; one ends wherever a checkpoint is due."""
        first, count = self.done, 0
        for period in self:
            count += period.count > 0
            if count and (count == self.together or period.last == self.steps or self.is_due(first, period.last)):
                yield Period(first, period.last)
                first, count = period.last, 0

    def is_due(self, saved: int, step: int) -> bool:
        """Whether a checkpoint is due at this step, if the newest one is of the step `saved`."""
        return step // self.checkpoint_every > saved // self.checkpoint_every or step == self.steps


# ------------------------------------------------------------------------------------------------ the run


class Run:
    """What training reports to: log, checkpoints, snapshots, progress. Without a folder all of it stays in memory.

    Args:
        folder: the run's folder, which exists.
        resume: restore the newest checkpoint of the folder and go on from there.
        reopen: restore it, and train no further: there are no periods, and nothing is written.
        progress_bar: show one on a terminal even without a folder.
        events: TensorBoard's event file, which is written as well.
        own_process: whether the process was started for this run. Its times then count from the start of the process,
            imports included; otherwise from here, because the process makes other runs, too.
        devices: how many devices share the training; None: all GPUs, or one CPU. See `devices.start`.
        follows: another process, the chief, writes the folder. This one restores from it and trains along in memory.
    """

    def __init__(
        self,
        folder: Path | None = None,
        resume: bool = False,
        reopen: bool = False,
        progress_bar: bool = False,
        events: tensorboard.Events | None = None,
        own_process: bool = True,
        devices: int | None = 1,
        follows: bool = False,
    ):
        self._began = np.zeros(2) if own_process else seconds_spent()  # wall, CPU
        self.folder, self.reopened, self._events, self.devices = folder, reopen, events, devices
        self._quiet = reopen or follows or not (folder or (progress_bar and console.is_terminal))
        self.about: dict[str, Any] = {}  # experiment and recipe
        self.data: dict[str, Any] = {}
        self.state: dict[str, Any] = {}  # everything that training changes, by name
        self._config_file: dict[str, Any] = {}
        self._restored: storage.Checkpoint | None = None
        if folder and not follows and (folder / "config.json").exists():
            saved = storage.read_config(folder, "RUN" if reopen else "--resume")
            self.about = {"experiment": saved.experiment, "recipe": saved.recipe}
            self._config_file = saved.everything
        if folder and (resume or reopen):
            self._restored = storage.Checkpoints(folder).newest(keep_damaged=reopen or follows)
            self.data = self._restored.about["data"] if self._restored else {}
        self._source = folder  # of the checkpoint that is restored
        if follows:
            self.folder = None
        self.records: list[dict[str, Any]] = []
        self.snapshots: dict[int, dict[str, np.ndarray]] = {}  # step -> arrays for pictures
        self.train_seconds = 0.0
        self._log: storage.Log | None = None
        self._compiled = False
        self._deferral = contextlib.ExitStack()  # while steps are played that are not recorded yet
        self._averages: dict[int, list[list[Any]]] = {}  # step -> of each game, G's average at that step
        self.step = self._saved = 0  # how many steps the state, and the newest checkpoint, were trained for
        self._unrecorded: list[np.ndarray] = []  # losses of the steps since the last record

    def keep_data(self, **facts: Any) -> None:
        """Keep what is known of the data in data.json and the checkpoints, for those who use the run without them.

        BadInput: their `fingerprint` is not that of the data that a resumed run was trained on before.
        """
        if self.reopened:  # it knows them from its checkpoint
            return
        before, now = self.data.get("fingerprint"), facts.get("fingerprint")
        if before and now and before != now:
            words = f"was trained on other data so far, with the fingerprint {before}, and not {now}"
            raise BadInput(f"{self._source}: {words}; expected the same data")
        self.data = facts
        if self.folder:
            files.write_json(self.folder / "data.json", facts)

    def restore(self, state: dict[str, Any], config: Any, logged: Sequence[str] = LOGGED) -> None:
        """Fill the state from the newest checkpoint of a run that is reopened, and its records."""
        with self.training(state, config, logged):
            pass

    @contextlib.contextmanager
    def training(
        self, state: dict[str, Any], config: Any, logged: Sequence[str] = LOGGED, together: int = 1
    ) -> Iterator[Periods]:
        """Restore if resuming, open the log, let signals save; yields the periods that are still to be played.

        Args:
            state: everything that training changes, by name: variables and NumPy arrays; it is filled in place.
            config: settings with `steps, eval_every, checkpoint_every, seed` and, for many GANs at once, `seeds`.
            logged: names of the losses that the loop returns.
            together: how many periods at most one call of the loop plays, which then keeps G's average of each.
        """
        self.state, self._config, self._logged = state, config, logged
        first = self._open(state)
        steps = first if self.reopened else config.steps
        with contextlib.ExitStack() as stack:
            if self._log:
                stack.callback(self._log.close)
            self._threads = stack.enter_context(ThreadPoolExecutor(files.cores()))  # none before it is used
            stack.callback(lambda: self._deferral.close())
            stack.enter_context(signals.handled())
            self._progress = stack.enter_context(_Progress(config.steps, first, self._quiet))
            no_record = self._log is not None and not self.records  # the log is lost; its last record is made again
            unrecorded = (bool(self._unrecorded) or no_record) and not self.reopened
            self._periods = Periods(first, steps, config.eval_every, unrecorded, config.checkpoint_every, together)
            self._joined, self._call_ends = self._periods.joined(), first
            try:
                yield self._periods
            except signals.Interrupted as signal:
                raise self._interrupted(signal) from None
            except LostWorker as lost:
                raise self._lost(lost) from None

    def _open(self, state: dict[str, Any]) -> int:
        """Restore the newest checkpoint, records and snapshots if asked to; returns the steps already done."""
        if not self._source:
            return 0
        if self.reopened and not self._restored:
            raise BadInput(f"{self.folder}: no checkpoint yet")
        recorded, checksums = -1, list[int]()
        if self._restored:
            self._require_same_settings(self._restored)
            try:
                storage.restore(state, self._restored)
            except ValueError as error:
                raise BadInput(f"{self._source}: the checkpoint does not fit its settings: {error}") from None
            self._saved = self.step = self._restored.step
            unrecorded, about = self._restored.arrays["unrecorded"], self._restored.about
            recorded, checksums = about["recorded"], about["log"]
            self._unrecorded = [unrecorded] if len(unrecorded) else []
            self.train_seconds = about["train_seconds"]
            self._began -= about.get("seconds", 0)  # what was spent until the checkpoint counts as well
        first, self._restored = self.step, None  # its arrays are not needed any more
        if not self.folder:
            return first
        self._checkpoints = storage.Checkpoints(self.folder)
        if first and not self.reopened:
            say(f"{self.folder}: resuming at step {first} of {self._config.steps}")
        if self.reopened:
            self.records = storage.read_log(self.folder, recorded, checksums)
        else:
            self._log = storage.Log(self.folder, recorded, checksums)  # from the start: nothing is kept
            self.records = self._log.records
            if self._events:
                self._events.restart(self.records)
        self.snapshots = storage.read_snapshots(self.folder, first, keep_damaged=self.reopened) if first else {}
        return first

    def _require_same_settings(self, checkpoint: storage.Checkpoint) -> None:
        """BadInput if the settings, the number of steps aside, are not those that the checkpoint was trained with."""
        if checkpoint.step > self._config.steps:
            words = f"config.json has steps {self._config.steps}, and there is a checkpoint of step {checkpoint.step}"
            raise BadInput(f"{self._source}: {words}; expected at least as many steps")
        if changed := storage.changed_setting(checkpoint.about["config"].get("config", {}), self._config):
            name, before, value = changed
            where = f"{self._source}: config.json has {name} {value}, the checkpoint of step {checkpoint.step}"
            raise BadInput(f"{where} was trained with {before}; settings cannot change within a run")

    def play(self, loop: Any, games: Sequence[Any], batches: Iterator[dict], period: Period) -> np.ndarray:
        """Train for a period; returns the losses at every step, `[n, k]`, or `[n, k, S]` of games with S seeds.

        Each call of the loop takes the next of `batches`: first one for every game, as many at a time as there are
        cores, then the next ones, until all steps of the period are played. Compiling happens outside the clock.
        """
        if period.count and not self._compiled:
            first = [next(batches) for _ in games]
            with contextlib.nullcontext() if self._quiet else screen.waiting("compiling the training step"):
                calls.warm_up(loop, games, first)
            batches, self._compiled = itertools.chain(first, batches), True

        def parts() -> Iterator[np.ndarray]:
            while True:
                if self._call_ends <= self.step:
                    self._call_ends = next(self._joined).last
                most = self._call_ends - self.step
                losses, averages = calls.play(loop, games, batches, most, self._threads)
                if every := loop.keep_every:
                    first, last = self.step, self.step + len(losses)
                    for k, period in enumerate(range(first // every, -(-last // every))):
                        end = min((period + 1) * every, last)
                        self._averages[end] = [[weight[k] for weight in average] for average in averages]
                yield losses

        return self.collect(period, parts())

    def average(self, period: Period) -> list[list[Any]] | None:
        """Of every game, G's average at the end of a period. None if no call kept it: then it is the present one."""
        return self._averages.get(period.last)

    def collect(self, period: Period, parts: Iterable[Any]) -> np.ndarray:
        """Train for a period by taking `parts`: each trains one or more steps and is their losses, `[n, k]` or more.

        Returns all losses of the period, also those from before an interruption. Training stops at the first loss
        that is not finite. A signal waits until the next part is done.
        """
        remaining = iter(parts)
        earlier = self._losses_until(period.last)  # of an earlier call, or from before an interruption
        self._require_finite_losses(earlier, min(self.step, period.last) - len(earlier))
        while self.step < period.last:
            with contextlib.ExitStack() as deferral:
                deferral.enter_context(signals.deferred())
                with self.timed():
                    part = np.atleast_2d(next(remaining))
                self._require_finite_losses(part[: period.last - self.step], self.step)
                self._unrecorded.append(part)
                self.step += len(part)
                if self.step < period.last and self._periods.is_due(self._saved, self.step):
                    self._save()
                if self.step > period.last:  # a signal waits until all periods of the call are recorded
                    self._deferral = deferral.pop_all()
            self._progress.move(self.step)
        return self._losses_until(period.last)

    def _losses_until(self, step: int) -> np.ndarray:
        """The losses of the steps since the last record, `[n, k]` or `[n, k, S]`, up to a step."""
        if not self._unrecorded:
            return np.zeros((0, len(self._logged)), np.float32)
        self._unrecorded = [np.concatenate(self._unrecorded)]
        return self._unrecorded[0][: len(self._unrecorded[0]) - max(0, self.step - step)]

    @contextlib.contextmanager
    def timed(self) -> Iterator[None]:
        """Count the block as training time: the compiled loop, without evaluation, pictures and checkpoints."""
        start = time.perf_counter()
        yield
        self.train_seconds += time.perf_counter() - start

    def _require_finite_losses(self, losses: np.ndarray, first: int) -> None:
        """Stop at the first of the steps first, ... with `losses [n, k]` or `[n, k, S]` that is NaN or infinite."""
        bad = np.argwhere(~np.isfinite(losses))
        if len(bad):
            i, name, *seed = bad[0]
            value = losses[tuple(bad[0])]
            which = f" (seed {self._config.seed + sum(seed)})"
            self.stop(f"step {first + i + 1}: {self._logged[name]} is {value}{which}")

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
            with files.replacing(self.folder / "snapshots" / f"{period.last:08d}.npz") as temporary:
                np.savez(temporary, **arrays)  # type: ignore[arg-type]

    def record(self, period: Period, losses: np.ndarray, headline: str, **numbers: Any) -> None:
        """Log one line, save a checkpoint where one is due and at the end, and show the headline.

        The line holds the step, the numbers, the mean of every loss over the period, and the training time. An array
        `[S]` of a number for each seed becomes its median, its 10% and 90% quantiles and the number of failed seeds.
        """
        record = {"step": period.last} | {name: _over_seeds(value) for name, value in numbers.items()}
        if len(losses):
            means = losses.mean(axis=0)  # [k] or [k, S]
            record |= {name: _over_seeds(mean) for name, mean in zip(self._logged, means, strict=True)}
        record = files.without_nan(record | {"train_seconds": round(self.train_seconds, 3)})
        with signals.deferred():
            if self._log:
                self._log.write(record)
            else:
                self.records.append(record)
            if self._events:
                self._events.record(record)
            self._unrecorded = [part[len(losses) :] for part in self._unrecorded if len(part) > len(losses)]
            self._averages = {step: kept for step, kept in self._averages.items() if step > period.last}
            if period.last == self.step and self.step and self._periods.is_due(self._saved, self.step):
                self._save()
        self._progress.show(period.last, headline)
        if period.last == self.step:
            self._deferral.close()

    def _save(self) -> None:
        """Write a checkpoint of this step; of a run in memory nothing is written."""
        if self._log:
            about = {
                "config": self._config_file,
                "data": self.data,
                "log": self._log.checksums,
                "recorded": self.records[-1]["step"] if self.records else -1,
                "train_seconds": self.train_seconds,
                "seconds": (seconds_spent() - self._began).tolist(),
            }
            unrecorded = np.concatenate(self._unrecorded) if self._unrecorded else np.zeros((0, 0), np.float32)
            self._checkpoints.save(self.step, self.state | {"unrecorded": unrecorded}, about)
            self._saved = self.step

    def _interrupted(self, signal: signals.Interrupted) -> Stopped:
        """Save what was trained since the last checkpoint, unless a step was cut off; returns what ends the run."""
        where = f"{signal} at step {self.step} of {self._config.steps}"
        if self._log:
            if self.step > self._saved and not signal.within:
                self._save()
            saved = f"the checkpoint of step {self._saved} is kept"
            if self._saved == self.step:
                saved = "saved" if self.step else "nothing is lost"
            where += f", {saved}; continue with --resume {self.folder}"
        return Stopped(where, signal.code)

    def _lost(self, lost: LostWorker) -> Stopped:
        """What ends the run when another worker is lost, in the middle of a call that changed half of the state."""
        saved = max(storage.steps(self._source), default=0) if self._source else 0  # by the chief
        kept = f"the checkpoint of step {saved} is kept" if saved else "there is no checkpoint yet"
        again = f"; start all workers again with --resume {self._source}" if self._source else ""
        return Stopped(f"{lost} after step {self.step} of {self._config.steps}; {kept}{again}", LOST)

    def finish(self, result: dict[str, Any]) -> dict[str, Any]:
        """Write result.json, and return it.

        `train_seconds` is the time in the compiled loop; the others are all that was spent on the run.
        """
        seconds = self.train_seconds, *(seconds_spent() - self._began).tolist()
        names = "train_seconds", "wall_seconds", "cpu_seconds"
        times = {name: round(value, 3) for name, value in zip(names, seconds, strict=True)}
        rate = result.get("seeds", 1) * result["steps"] / max(self.train_seconds, 1e-9)
        result = self.about | files.without_nan(result) | times | {"seed_steps_per_second": round(rate)}
        result |= {"device": devices.described(self.devices)} if sys.modules.get("tensorflow") else {}
        if self.folder:
            files.write_json(self.folder / "result.json", result)
        return result


def _over_seeds(value: Any) -> Any:
    """A plain number as it is; an array `[S]` as its summary without the single seeds."""
    if not isinstance(value, np.ndarray | np.generic):
        return value
    if value.ndim == 0:
        return value.item()
    return {name: number for name, number in metrics.summary(value).items() if name != "per_seed"}


def seconds_spent() -> np.ndarray:
    """Seconds since this process was started, imports included, and the CPU seconds of all its threads: `[2]`."""
    return np.array([time.time() - psutil.Process().create_time(), time.process_time()])


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
        elif not self.quiet:
            say("training ...")
        return self

    def __exit__(self, *exception: object) -> None:
        if self.bar:
            self.bar.stop()

    def move(self, step: int) -> None:
        """Let the bar stand at this step."""
        if self.bar:
            self.bar.update(self.task, completed=step)

    def show(self, step: int, headline: str) -> None:
        """Show what was measured at this step."""
        if self.bar:
            self.bar.update(self.task, completed=step, headline=headline)
        elif not self.quiet and 10 * step // self.steps > self.tenth:
            self.tenth = 10 * step // self.steps
            say(f"step {step:>{len(str(self.steps))}} of {self.steps}  {headline}")
