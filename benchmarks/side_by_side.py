"""Time several contenders at the same work, each in a process of its own, and compare them.

They take turns, several times over, and the table holds medians, ranges and ratios, because absolute times swing on a
shared machine.
"""

import argparse
import importlib.util
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import NamedTuple


class Contender(NamedTuple):
    """One way to do the work."""

    seconds_per_step: Callable[[], float]  # runs the work and measures it
    package: str  # the package that it needs; without it the table says that the contender was skipped
    group: str  # it is compared with the contender of the same group whose name begins with "ours"
    seeds: int = 1  # how many GANs it trains at once


def timed(run: Callable[[int], None], steps: int) -> float:
    """Seconds per step of `run(steps)`, after one call of it to warm up, which compiles."""
    run(steps)
    start = time.perf_counter()
    run(steps)
    return (time.perf_counter() - start) / steps


def main(description: str, script: str, contenders: dict[str, Contender]) -> None:
    """The command line of a benchmark: print the table of all contenders, or measure one of them with `--only NAME`.

    Args:
        description: the text of `--help`.
        script: the file of the benchmark, which is started once for each measurement.
        contenders: name -> contender, in the order of the table.
    """
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3, help="measurements of each contender (default: 3)")
    parser.add_argument("--only", choices=contenders, help="measure this one alone: its seconds per step")
    args = parser.parse_args()
    if args.only:
        print(contenders[args.only].seconds_per_step())
        return
    times: dict[str, list[float]] = {}
    for _ in range(args.repeats):
        for name, contender in contenders.items():
            if importlib.util.find_spec(contender.package):
                command = [sys.executable, script, "--only", name]
                done = subprocess.run(command, capture_output=True, text=True)
                if done.returncode:
                    sys.exit(f"{name} failed with exit code {done.returncode}:\n{done.stderr}")
                times.setdefault(name, []).append(1e6 * float(done.stdout.split()[-1]))
    ours = {contenders[name].group: times[name] for name in times if name.startswith("ours")}
    width = max(36, 2 + max(map(len, contenders)))
    print(f"{'':{width}}{'us a step':>12}{'spread':>20}{'seed-steps a second':>22}{'ours is faster by':>20}")
    for name, contender in contenders.items():
        if name not in times:
            print(f"{name:{width}}skipped: {contender.package} is not installed")
            continue
        median, spread = statistics.median(times[name]), f"{min(times[name]):,.0f} to {max(times[name]):,.0f}"
        ratio = median / statistics.median(ours[contender.group])
        print(f"{name:{width}}{median:12,.1f}{spread:>20}{1e6 * contender.seeds / median:22,.0f}{ratio:19.1f}x")
