"""Many runs: one after the other in this process, or at the same time by Ray's workers on this machine or on others.

A cell is one run in a folder of its own. It can be started again at any time: a finished one is left as it is, and an
interrupted one goes on from its checkpoint. Ray (Moritz et al. 2018) hands cells out, and gives the cell of a worker
that died to another one. It is an extra, `pip install -e .[ray]`, and is imported only where it is used;
docs/cluster.md shows how to start it on several machines.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
import importlib.util
import io
import json
import logging
import os
import secrets
import shutil
import signal
import socket
import tarfile
import tempfile
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import gan_core as core
from lab import cli, devices, files, programs, runs, screen, storage
from lab.files import BadInput

RETRIES = 3  # how often a cell is started again after its worker died
INSTALL = "in the project's folder, pip install -e '.[ray]' -c constraints.txt"


class Cell(NamedTuple):
    """A run that is to be made."""

    experiment: str  # the name of its script
    recipe: str
    config: Any  # the script's settings
    folder: Path


@dataclasses.dataclass(frozen=True)
class Where:
    """Where cells run; the names of the fields are those of the flags.

    Attributes:
        workers: processes on this machine; None: as many as it has cores; 1: this process alone, without Ray.
        address: HOST:PORT of a Ray cluster instead.
        shared: the machines of the cluster have this folder too, so that no results have to be sent.
    """

    workers: int | None = None
    address: str | None = None
    shared: bool = False

    def __post_init__(self) -> None:
        if self.shared and self.address is None:
            raise BadInput("--shared: expected beside --address; on one machine all processes share the folder")
        if self.workers is not None and self.address is not None:
            raise BadInput(f"--workers {self.workers}: the cluster at --address {self.address} has its own number")
        if (self.address is not None or (self.workers or 1) > 1) and not importlib.util.find_spec("ray"):
            flag = f"--workers {self.workers}" if self.address is None else f"--address {self.address}"
            raise BadInput(f"{flag}: needs the package ray: {INSTALL}")


def digest(config: Any) -> str:
    """Eight characters that differ where settings differ, for the name of a folder."""
    text = json.dumps(dataclasses.asdict(config), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def play(cell: Cell) -> None:
    """Make a run, or continue it; training that diverges is a result, too."""
    module, folder, run = cli.script(cell.experiment), cell.folder, None
    created, resume = storage.create(folder), (folder / "config.json").exists()
    try:
        with storage.only_writer(folder, "--out"):
            if finished_result(cell):  # by another process, a moment ago
                return
            if (last := max(storage.steps(folder), default=0)) > cell.config.steps:
                words = f"was trained on to step {last}, but {cell.config.steps} steps are asked for"
                raise BadInput(f"{folder}: {words}; move it away, and it is made again")
            saved = storage.read_config(folder, "--out") if resume else None
            if not saved or storage.changes_since(saved) or saved.config.get("steps") != cell.config.steps:
                storage.save_config(folder, cell.experiment, cell.recipe, cell.config, saved)
            files.sweep(folder)  # what a killed worker has left
            run = runs.Run(folder, resume, own_process=False)
            run.finish(module.evaluate(module.train(cell.config, run)))
    except BadInput:  # of the data, which are read only now
        if run and not resume and not run.records:
            storage.remove(folder, created)
        raise
    except runs.Stopped as stop:
        if stop.code != 1:
            raise runs.Stopped(f"{folder}: interrupted; the same command goes on", stop.code) from None
        files.write_json(folder / "result.json", {"steps": cell.config.steps, "stopped": str(stop)})


def run(
    cells: Sequence[Cell],
    where: Where,
    work: Callable[[Cell], None] = play,
    see: Callable[[Cell, dict[str, Any]], None] = lambda *_: None,
) -> list[dict[str, Any]]:
    """The results of all cells, in their order; those that are not there yet are made.

    Args:
        work: makes the run of a cell, so that its folder then holds a result.json.
        see: is called with each cell that is finished, and its result; it may raise BadInput, which ends the others.
    """
    found: dict[Cell, dict[str, Any]] = {}

    def keep(cell: Cell, result: dict[str, Any]) -> None:
        found[cell] = result
        see(cell, result)

    todo = []
    for cell in cells:
        if result := finished_result(cell):
            keep(cell, result)
        else:
            todo.append(cell)
    workers = at_once(where, len(todo))
    if where.address is None and where.workers is None and min(files.cores(), len(todo)) > workers:
        screen.say(f"runs are made one after the other in this process; several at once with ray: {INSTALL}")
    on_ray = todo and (where.address or workers > 1)
    done = _on_ray(todo, where, workers, work) if on_ray else _in_process(todo, work)
    for count, cell in enumerate(done, start=1 + len(cells) - len(todo)):
        screen.say(f"run {count} of {len(cells)}: {cell.folder.name}")
        keep(cell, files.read_json(cell.folder / "result.json"))
    return [found[cell] for cell in cells]


def finished_result(cell: Cell) -> dict[str, Any] | None:
    """The result of the run of a cell if it is finished; a result.json that cannot be read is set aside."""
    return cli.finished_result(cell.folder, cell.config)


def at_once(where: Where, count: int) -> int:
    """How many of `count` cells this machine makes at the same time."""
    most = where.workers or (files.cores() if importlib.util.find_spec("ray") else 1)
    return min(most, count)


def require_data(cell: Cell) -> None:
    """BadInput: the data of a cell cannot be used. Its script reads them, and is stopped before it does more."""

    class Read(Exception):
        pass

    class Reading(runs.Run):
        def keep_data(self, **facts: Any) -> None:
            raise Read

    with contextlib.suppress(Read):
        cli.script(cell.experiment).train(cell.config, Reading())


def _in_process(todo: Sequence[Cell], work: Callable[[Cell], None]) -> Iterator[Cell]:
    for cell in todo:
        work(cell)
        yield cell


def commits(folder: Path) -> set[str]:
    """At which commits the run in a folder was started and resumed; unknown if its config.json is damaged or gone."""
    try:
        config = files.read_json(folder / "config.json")
        starts = [config, *config.get("resumed", [])]
        parts = [(part.get("commit") or "unknown").partition("-dirty") for part in starts]
    except (OSError, ValueError, AttributeError, TypeError):
        return {"unknown"}
    return {f"{commit[:7]}{' + changes' * bool(dirty)}" for commit, dirty, _ in parts}


# ------------------------------------------------------------------------------------------------------ Ray


def _on_ray(todo: Sequence[Cell], where: Where, workers: int, work: Callable[[Cell], None]) -> Iterator[Cell]:
    """Each cell, once a worker of Ray has finished it and its folder is here; without a cluster on `workers`."""
    ray = _connected(where, workers)
    resources = ray.cluster_resources()
    sent = where.address is not None and not where.shared
    # A run takes a core and, where there are any, a whole GPU, because TensorFlow takes all of its memory.
    needs = {"num_cpus": 1, "num_gpus": min(1, resources.get("GPU", 0)), "max_retries": RETRIES}
    needs |= {"scheduling_strategy": "SPREAD"}  # Ray's default fills half of the first machine before the next
    task = ray.remote(**needs)(_on_worker)
    # A window: ray.wait looks at all tasks that it is given, so that with all cells its time would grow as a square.
    window, queue, waiting = max(100, 2 * int(resources["CPU"])), iter(todo), dict[Any, Cell]()
    try:
        while True:
            for cell in islice(queue, window - len(waiting)):
                absolute = cell._replace(folder=cell.folder.absolute())
                waiting[task.options(name=cell.folder.name).remote(work, absolute, sent, os.getcwd())] = cell
            if not waiting:
                return
            for ready in ray.wait(list(waiting), num_returns=1)[0]:
                cell = waiting.pop(ready)
                if (content := _returned(ray, ready, cell)) is not None:
                    _unpack(content, cell.folder)
                yield cell
    except (KeyboardInterrupt, GeneratorExit):  # not at the end of Python, where a second Ctrl-C is a traceback
        if where.address is None:
            with screen.waiting("stopping Ray's workers"):
                ray.shutdown()
        raise


def _returned(ray: Any, ready: Any, cell: Cell) -> bytes | None:
    """What `_on_worker` returned for a cell. Raises its BadInput, OSError or MemoryError; Stopped: it died."""
    try:
        return ray.get(ready)
    except ray.exceptions.RayTaskError as error:
        raise (error.cause if isinstance(error.cause, BadInput | OSError | MemoryError) else error) from None
    except ray.exceptions.RayError as error:  # the worker or its machine is gone, after all retries
        why = files.why(error).split(". ")[0]
        raise runs.Stopped(f"{cell.folder}: its worker died {RETRIES + 1} times: {why[:300]}", 1) from None


def _on_worker(work: Callable[[Cell], None], cell: Cell, sent: bool, folder: str) -> bytes | None:
    """Make the run of a cell on a worker; returns its folder as bytes if it is to be sent, and removes it there.

    Until it is finished, such a folder stays at a place that depends on the settings alone: the cell goes on from its
    checkpoint if it comes back to this machine.
    """
    with contextlib.suppress(OSError):
        os.chdir(folder)  # relative paths of data are as in the command
    here = cell
    if sent:
        name = f"{cell.folder.name}-{digest(cell.config)}"
        here = cell._replace(folder=Path(tempfile.gettempdir(), f"gan-laboratory-{os.getuid()}", name))
    kept = _use_kept_programs()
    try:
        work(here)
    except runs.Stopped as stop:  # by a signal: the worker dies, and Ray gives the cell to another one
        os._exit(stop.code)
    programs.keep(kept)
    if not sent:
        return None
    content = _packed(here.folder)
    shutil.rmtree(here.folder)
    return content


_use_kept_programs = functools.cache(programs.use_kept)  # a worker makes many cells


def _packed(folder: Path) -> bytes:
    """The files of a folder, without its lock."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz", compresslevel=1) as archive:
        archive.add(folder, ".", filter=lambda member: None if member.name.endswith(storage.LOCK) else member)
    return buffer.getvalue()


def _unpack(content: bytes, folder: Path) -> None:
    """Put the files of `_packed` into a folder, all at once."""
    with files.replacing(folder) as temporary, tarfile.open(fileobj=io.BytesIO(content)) as archive:
        archive.extractall(temporary, filter="data")
        shutil.rmtree(folder, ignore_errors=True)  # of a run that was interrupted


def _connected(where: Where, workers: int) -> Any:
    """The module ray, connected to the cluster, or to this many workers, which it starts on this machine.

    The environment is set before the import, which reads it. No usage reports are sent. Whoever reaches a cluster
    without a token can run any program on it: local workers get a token of their own, a cluster's user sets it
    (docs/cluster.md). A worker that is killed because memory is short would be started again forever.
    """
    if where.address is None:
        os.environ.setdefault("RAY_AUTH_MODE", "token")
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
    else:
        _require_someone(where.address)
    defaults = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_task_oom_retries": str(RETRIES)}
    defaults |= {"RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0", "RAY_NUM_REDIS_GET_RETRIES": "8"}  # of a second each
    defaults |= {"RAY_IGNORE_UNHANDLED_ERRORS": "1"}  # of cells that nobody waits for after the first error
    for name, value in defaults.items():
        os.environ.setdefault(name, value)
    import ray

    if ray.is_initialized():
        if where.address or ray.cluster_resources()["CPU"] >= workers:
            return ray
        ray.shutdown()  # it was started for fewer cells
    share = "1" if where.address else str(max(1, files.cores() // workers))
    names = ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    root = str(Path(__file__).parents[1])
    paths = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
    variables = dict.fromkeys(names, share) | {"PYTHONPATH": paths}
    if mnist := os.environ.get("MNIST_NPZ"):
        variables["MNIST_NPZ"] = os.path.abspath(mnist)
    settings: dict[str, Any] = {"runtime_env": {"env_vars": variables}}
    if where.address is None:  # "local", or RAY_ADDRESS would be taken
        settings |= {"num_cpus": workers, "include_dashboard": False, "_node_ip_address": "127.0.0.1"}
        settings |= {"object_store_memory": 100_000_000}
    handlers = {s: signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)}
    try:
        words = "starting Ray's workers" if where.address is None else f"connecting to {where.address}"
        with screen.waiting(words), core.without_stderr():
            ray.init(where.address or "local", log_to_driver=False, logging_level=logging.ERROR, **settings)
    except Exception as error:  # of many kinds
        raise BadInput(f"{_flag(where)}: Ray cannot be used: {files.why(error)[:300]}") from None
    finally:
        for s, handler in handlers.items():  # Ray puts its own in their place
            with contextlib.suppress(ValueError):  # not the main thread
                signal.signal(s, handler)
    return ray


def _flag(where: Where) -> str:
    return f"--address {where.address}" if where.address else f"--workers {where.workers or files.cores()}"


def _require_someone(address: str) -> None:
    """BadInput unless the address is HOST:PORT and somebody answers there; Ray itself would wait for minutes."""
    if not devices.is_address(address):
        raise BadInput(f"--address {address or repr('')}: expected HOST:PORT, as `ray start --head` prints it")
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=10).close()
    except OSError as error:
        words = f"nobody answers ({files.why(error)}); expected the address of a Ray cluster that runs"
        raise BadInput(f"--address {address}: {words}") from None
