"""How long a user waits: whole commands from Enter to the prompt, with imports, compilation, evaluation and pictures.

    python benchmarks/speed_commands.py               about 5 minutes
    python benchmarks/speed_commands.py --repeats 5

Each command runs first with an empty cache folder, as on a new machine, and then `repeats` times with what it kept
there; the table holds the medians. Processor seconds are those of all threads; the peak of memory includes 470 to
620 MB of TensorFlow's program files.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from pages import ROOT, positive, processor

TRAININGS = (
    "normal_1d.py",
    "normal_1d.py --recipe classic --seeds 1",
    "mixture_2d.py --steps 8000",
    "mixture_2d.py --recipe classic --loss minimax --unroll 5 --steps 500",
    "mnist_mlp.py --recipe dnn --data digits --steps 1000",
    "mnist_dcgan.py --data digits --steps 200",
    "numpy_gan.py --steps 2000",
)
WRONG = "normal_1d.py --steps no"
COMMANDS = {"`normal_1d.py`, its help": "normal_1d.py --help", "`normal_1d.py`, a wrong flag": WRONG}
COMMANDS |= {f"`{words}`": words for words in TRAININGS}


class Cost(NamedTuple):
    """What one run of a command took."""

    wall: float  # seconds
    processor: float  # seconds of all threads, user and system
    first_line: float  # seconds until something stands on the screen
    megabytes: float  # the peak of resident memory


def measured(words: str, cache: Path) -> Cost:
    """Run a command once. SystemExit: it failed; what it said is shown."""
    script, *flags = words.split()
    with tempfile.TemporaryDirectory() as folder:
        out = [] if "--help" in flags else ["--out", f"{folder}/run"]
        command = [sys.executable, "-u", str(ROOT / "experiments" / script), *flags, *out]
        environment = os.environ | {"GAN_LABORATORY_CACHE": str(cache)}
        start = time.perf_counter()
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment)
        assert process.stdout
        with process.stdout as screen:
            said = screen.readline()
            first_line = time.perf_counter() - start
            said += screen.read()
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != (2 if words == WRONG else 0):
        sys.exit(f"{words} failed with exit code {process.returncode}:\n{said.decode()}")
    return Cost(wall, usage.ru_utime + usage.ru_stime, first_line, usage.ru_maxrss * 1024 / 1e6)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    what = "runs of each command with a cache (default: 3)"
    parser.add_argument("--repeats", type=positive(int), default=3, help=what)
    args = parser.parse_args()
    print("| command | first line, s | wall, s | processor, s | the first time | peak memory, MB |")
    print("|---|---|---|---|---|---|")
    for name, words in COMMANDS.items():
        with tempfile.TemporaryDirectory() as cache:
            first = measured(words, Path(cache))
            costs = [measured(words, Path(cache)) for _ in range(args.repeats)]
        median = Cost(*(statistics.median(values) for values in zip(*costs, strict=True)))
        once = f"{first.wall:.1f} s, {first.processor:.1f} processor s"
        row = (
            f"{median.first_line:.2f} | {median.wall:.2f} | {median.processor:.2f} | {once} | {median.megabytes:.0f}"
        )
        print(f"| {name} | {row} |", flush=True)
    print(f"\nThe machine: {processor()}.")


if __name__ == "__main__":
    main()
