"""What it costs to share work: runs between the workers of compare.py, and one training between devices.

    python benchmarks/speed_cells.py                    about 20 minutes; needs Ray, see docs/cluster.md
    python benchmarks/speed_cells.py --only scheduler   one of: study, scheduler, devices

The scheduler's cells do nothing, or sleep on 100 workers of this machine, which stand for the 100 nodes of a cluster.
The devices are parts of this machine's processor, and the two workers of launch.py have a core each.
"""

import argparse
import importlib.util
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
from pages import ROOT

from lab import cells, files

STUDY = "normal_1d --vary loss=non_saturating,minimax,hinge r1=0,0.1 target=norm,laplace --seeds 32 --steps 8000"
DCGAN = "mnist_dcgan.py --generator-maps 128 128 64 --steps 200 --eval-every 200 --log-samples 100 --eval-samples 100"
WAYS = {  # of training the same DCGAN on the same cores
    "one device": f"{DCGAN} --devices 1",
    "`--devices 2`": f"{DCGAN} --devices 2",
    "`launch.py --workers 2`": f"launch.py --workers 2 -- {DCGAN}",
}


@dataclass(frozen=True)
class Sleep:
    """Settings of a cell without training."""

    seconds: float


def asleep(cell: cells.Cell) -> None:
    """Make a cell without training."""
    time.sleep(cell.config.seconds)
    cell.folder.mkdir(parents=True)
    files.write_json(cell.folder / "result.json", {})


def typed(words: str, out: Path, cores: int = 2) -> float:
    """Seconds of a whole command, from Enter to the prompt, on this many cores."""
    script, *flags = words.split()
    command = [sys.executable, str(ROOT / "experiments" / script), *flags, "--out", str(out)]
    held = sorted(os.sched_getaffinity(0))[:cores]
    start = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        os.sched_setaffinity(process.pid, held)  # before it starts a thread
    if process.returncode:
        sys.exit(process.returncode)
    return time.perf_counter() - start


def study(folder: Path) -> Iterator[str]:
    """Twelve cells by one process and by two workers, in turns. One process also trains with several threads."""
    # The compiled programs are kept from now on.
    typed(f"compare.py {STUDY.replace('8000', '100')} --workers 1", folder / "first")
    ways = {"1 process on one core": (1, 1), "1 process on two cores": (1, 2), "2 workers on two cores": (2, 2)}
    taken: dict[str, list[float]] = {way: [] for way in ways}
    tables = set()
    for k in range(2):
        for way, (workers, cores) in ways.items():
            out = folder / f"{workers}-{cores}-{k}"
            taken[way].append(typed(f"compare.py {STUDY} --workers {workers}", out, cores))
            tables.add((out / "compare.csv").read_bytes())
    yield f"| `compare.py {STUDY}` | whole command | times as long as 2 workers |"
    yield "|---|---|---|"
    two = statistics.median(taken["2 workers on two cores"])
    for way, seconds in taken.items():
        median = statistics.median(seconds)
        yield f"| {way} | {median:.0f} s ({min(seconds):.0f} to {max(seconds):.0f}) | {median / two:.2f} |"
    yield f"\nThe bytes of compare.csv {'are the same in all' if len(tables) == 1 else 'DIFFER'}."


def scheduler(folder: Path) -> Iterator[str]:
    """What the process of compare.py does for each cell, from 100 cells to 10,000."""
    yield "| cells | workers | each sleeps | in all | perfect | the driver's processor time a cell | its memory |"
    yield "|---|---|---|---|---|---|---|"
    for count, workers, seconds in ((1000, 2, 0), (100, 100, 2), (1000, 100, 2), (10_000, 100, 2)):
        program = [sys.executable, __file__, "--cells", str(count), str(workers), str(seconds), str(folder / "cells")]
        done = subprocess.run(program, check=True, stdout=subprocess.PIPE, text=True)  # a Ray of its own
        (found,) = (line for line in done.stdout.splitlines() if line.startswith("[") and line.endswith("]"))
        wall, cpu, memory = json.loads(found)
        perfect = count * seconds / workers
        times = f"{wall:.1f} s | {perfect:.0f} s | {1000 * cpu / count:.1f} ms"
        yield f"| {count:,} | {workers} | {seconds} s | {times} | {memory:.0f} MB |"


def cells_that_sleep(count: int, workers: int, seconds: float, folder: Path) -> tuple[float, float, float]:
    """Wall and processor seconds of this process for `count` cells, once the workers are there; megabytes it has."""
    name = f"{count}-{workers}"
    first = [cells.Cell("", "", Sleep(1), folder / f"{name}-first{k}") for k in range(workers)]
    cells.run(first, cells.Where(workers), asleep)
    begun, cpu = time.perf_counter(), time.process_time()
    made = [cells.Cell("", "", Sleep(seconds), folder / f"{name}-{k}") for k in range(count)]
    cells.run(made, cells.Where(workers), asleep)
    taken = time.perf_counter() - begun, time.process_time() - cpu
    return *taken, psutil.Process().memory_info().rss / 1e6


def devices(folder: Path) -> Iterator[str]:
    """The full-size DCGAN: milliseconds of a step, without compilation and evaluation, three times in turns."""
    steps = int(re.findall(r"--steps (\d+)", DCGAN)[0])
    taken: dict[str, list[float]] = {way: [] for way in WAYS}
    for k in range(3):
        for number, (way, words) in enumerate(WAYS.items()):
            typed(words, out := folder / f"dcgan-{number}-{k}")
            taken[way].append(1000 * files.read_json(out / "result.json")["train_seconds"] / steps)
    yield "| two cores | a step | against one device |"
    yield "|---|---|---|"
    one = statistics.median(taken["one device"])
    for way, ms in taken.items():
        median = statistics.median(ms)
        yield f"| {way} | {median:.0f} ms ({min(ms):.0f} to {max(ms):.0f}) | {median / one:.2f} |"


PARTS = {"study": study, "scheduler": scheduler, "devices": devices}


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=PARTS, help="one of the tables")
    parser.add_argument("--cells", nargs=4, help=argparse.SUPPRESS)  # what `scheduler` starts
    args = parser.parse_args()
    if args.cells:
        count, workers, seconds, folder = args.cells
        print(json.dumps(cells_that_sleep(int(count), int(workers), float(seconds), Path(folder))))
        return
    if args.only != "devices" and not importlib.util.find_spec("ray"):
        parser.error("this needs the package ray; install it, or choose --only devices")
    for name, part in PARTS.items():
        if args.only in (None, name):
            with tempfile.TemporaryDirectory() as folder:
                print(*part(Path(folder)), "", sep="\n", flush=True)


if __name__ == "__main__":
    os.environ.setdefault("PYTHONPATH", str(ROOT))
    main()
