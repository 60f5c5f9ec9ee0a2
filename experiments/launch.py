"""Start the workers of one training on this machine, and start them all again when one of them dies.

    python experiments/launch.py --workers 2 -- mnist_dcgan.py --data digits

What stands behind `--` is the command line of a script whose batch can be shared (mnist_dcgan, mnist_conditional,
stacked_mnist, pix2pix, cyclegan). Each worker is a process with its own TF_CONFIG (an environment variable, see
lab/devices.py), and trains on its share of every batch; worker 0, the chief, writes the folder and the screen. When a
worker is killed, the others end within half a minute, and all go on from the newest checkpoint. If one fails by
itself, its error is shown, and nothing is started again. Ctrl-C goes to the chief, which saves.

Each worker would claim every GPU of the machine: with GPUs use the script's own --devices instead.

On a cluster its own tools start and restart the workers: Ray Train or SLURM. See docs/gpu.md.
"""

from __future__ import annotations

import itertools
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from signal import SIGTERM
from typing import IO, Any

from lab import cli, files, runs, screen, signals, storage
from lab.files import BadInput

PATIENCE = 30  # seconds that the other workers have to notice that one is lost, and to end
EVENTS = ("--tensorboard", "--no-tensorboard")  # flags that a resumed run is given again
AGAIN = {runs.LOST, 128 + SIGTERM, *range(-64, 0)}  # exit codes of workers that lost another one or were killed


@dataclass(frozen=True)
class Flags:
    """What stands before `--`."""

    workers: cli.Count = 2  # processes that share each batch
    restarts: cli.Whole = 3  # how often all are started again

    def __post_init__(self) -> None:
        cli.check(self)


def main(args: list[str]) -> None:
    """Parse the flags, and run the workers until all are done, one cannot go on, or all restarts are used."""
    split = args.index("--") if "--" in args else len(args)
    with cli.one_line_errors():
        flags, (script, *words) = cli.parse(Flags, __doc__, args[:split]), args[split + 1 :] or [""]
        given = Path(script.removesuffix(".py"))  # a name or a path
        path = Path(__file__).resolve().with_name(f"{given.name}.py")
        if not path.exists() or (given.parent != Path() and given.parent.resolve() != path.parent):
            raise BadInput(f"-- {script}: expected a script of experiments/ and its flags, as in -- mnist_dcgan.py")
        if getattr(cli.script(path.stem), "SPREAD", None) != "batches":
            raise BadInput(f"-- {script}: its batches cannot be shared; expected a script such as mnist_dcgan.py")
        named = value_of(words, "--resume")
        if named is None:  # all workers need to know the folder, and wait for a chief that does not accept it
            out = value_of(words, "--out")
            named = str(storage.folder_for(path.stem, value_of(words, "--seed") or "0", out))
            words += ["--out", named] if out is None else []
        folder = Path(named)
        for restart in range(flags.restarts + 1):
            code = run(flags.workers, [str(path), *words])
            if code == 0:
                return
            if code not in AGAIN:  # it would fail again
                sys.exit(code)
            if value_of(words, "--resume") is None and (folder / "config.json").exists():
                words = ["--resume", str(folder), *(word for word in words if word in EVENTS)]
            if restart < flags.restarts:
                screen.say(f"starting all {flags.workers} workers again ({restart + 1} of {flags.restarts})")
        raise runs.Stopped(f"{folder}: a worker was lost, and --restarts {flags.restarts} allows no further start", 1)


def value_of(words: list[str], flag: str) -> str | None:
    """The value that a command line gives to a flag, the last one as for the script itself; None without any."""
    return dict(itertools.pairwise(part for word in words for part in word.split("=", 1))).get(flag)


def run(count: int, command: list[str]) -> int:
    """Run all workers once, until they end. Returns 0, or the exit code of the worker that was the cause."""
    with ExitStack() as stack:
        workers, errors = [], []
        try:
            for tf_config in tf_configs(count):
                errors.append(stack.enter_context(tempfile.TemporaryFile("w+")))
                workers.append(stack.enter_context(started(command, tf_config, errors[-1])))
                stack.callback(workers[-1].kill)
        except OSError as error:  # such as too many open files
            raise BadInput(f"--workers {count}: so many cannot be started: {files.why(error)}") from None
        try:
            failed = wait(workers, float("inf"))
            if failed is None:
                return 0
            wait(workers, PATIENCE, for_all=True)
            codes = [worker.poll() or 0 for worker in workers]
            at_fault = [k for k, code in enumerate(codes) if code and code not in AGAIN]
            know_why = at_fault or [k for k, code in enumerate(codes) if code == runs.LOST]
            if know_why and 0 not in know_why:  # the chief does not know, or was killed; otherwise it has said it
                errors[know_why[0]].seek(0)
                sys.stderr.write(errors[know_why[0]].read())
            return codes[at_fault[0]] if at_fault else failed.returncode
        except signals.Interrupted as signal:
            workers[0].send_signal(signal.code - 128)
            code = workers[0].wait()
            sys.exit(signal.code if code < 0 else code)  # below 0: killed by it, before it could listen


def tf_configs(count: int) -> list[str]:
    """TF_CONFIG of each worker: free ports of this machine."""
    with ExitStack() as stack:  # all are held until the last one is found, so that they differ
        held = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        addresses = [f"127.0.0.1:{held_one.getsockname()[1]}" for held_one in held]
    tasks = [{"type": "worker", "index": k} for k in range(count)]
    return [json.dumps({"cluster": {"worker": addresses}, "task": task}) for task in tasks]


def started(command: list[str], tf_config: str, errors: IO[str]) -> subprocess.Popen:
    """A worker, in a session of its own, so that the terminal's Ctrl-C does not reach it.

    The chief alone speaks; what another one writes on standard error goes into the file `errors`.
    """
    task = json.loads(tf_config)
    cores = max(1, files.cores() // len(task["cluster"]["worker"]))
    environment = {"TF_NUM_INTRAOP_THREADS": str(cores)} | os.environ | {"TF_CONFIG": tf_config}
    streams: dict[str, Any] = {} if task["task"]["index"] == 0 else {"stdout": subprocess.DEVNULL, "stderr": errors}
    return subprocess.Popen([sys.executable, *command], env=environment, start_new_session=True, **streams)


def wait(workers: list[subprocess.Popen], seconds: float, for_all: bool = False) -> subprocess.Popen | None:
    """Wait until all have ended or, unless `for_all`, one has failed, which is returned; at most `seconds`."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        codes = [worker.poll() for worker in workers]
        failed = [worker for worker, code in zip(workers, codes, strict=True) if code]
        if (failed and not for_all) or None not in codes:
            return failed[0] if failed else None
        time.sleep(0.1)
    return None


if __name__ == "__main__":
    main(sys.argv[1:])
