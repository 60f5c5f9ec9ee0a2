"""Time several contenders at the same work, each in a process of its own, and compare them.

They take turns, several times over, and the table holds medians, ranges and ratios, because absolute times swing on a
shared machine.
"""

import argparse
import importlib.util
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from pages import ROOT, positive, processor


class Contender(NamedTuple):
    """One way to do the work."""

    seconds_per_step: Callable[[], float]  # runs the work and measures it
    package: str  # the package that it needs; without it the table says that the contender was skipped
    group: str  # it is compared with the contender of the same group whose name begins with "ours"
    seeds: int = 1  # how many GANs it trains at once
    flop: float = 0  # floating-point operations of one GAN's step, if they are to be compared with the peak


def timed(run: Callable[[int], None], steps: int) -> float:
    """Seconds per step of `run(steps)`, after one call of it to warm up, which compiles."""
    run(steps)
    start = time.perf_counter()
    run(steps)
    return (time.perf_counter() - start) / steps


def as_typed(script: str, *flags: str) -> float:
    """Seconds of training per step of a command as a user types it, without its evaluations, from its result.json."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        command = [sys.executable, str(ROOT / f"experiments/{script}.py"), *flags, "--out", str(out)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        result = json.loads((out / "result.json").read_text())
    return result["train_seconds"] / result["steps"]


def matrix_product_peak() -> float:
    """Operations a second of the product of two 2048 x 2048 matrices of float32 on all cores, the best of five."""
    a = np.random.default_rng(0).standard_normal((2048, 2048), np.float32)
    seconds = []
    for _ in range(5):
        start = time.perf_counter()
        a @ a
        seconds.append(time.perf_counter() - start)
    return 2 * 2048**3 / min(seconds)


def main(description: str, script: str, contenders: dict[str, Contender]) -> None:
    """The command line of a benchmark: print the table of all contenders, or measure one of them with `--only NAME`.

    Args:
        description: the text of `--help`.
        script: the file of the benchmark, which is started once for each measurement.
        contenders: name -> contender, in the order of the table.
    """
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=positive(int), default=3, help="measurements of each one (default: 3)")
    what = "measure only this contender, and print its seconds per step"
    parser.add_argument("--only", choices=contenders, help=what)
    parser.add_argument("--match", default="", help="compare only contenders whose names contain this text")
    args = parser.parse_args()
    if args.only:
        print(contenders[args.only].seconds_per_step())
        return
    contenders = {name: contender for name, contender in contenders.items() if args.match in name}
    if not contenders:
        parser.error(f"--match {args.match}: no contender has this text in its name")
    times: dict[str, list[float]] = {}
    for _ in range(args.repeats):
        for name, contender in contenders.items():
            if importlib.util.find_spec(contender.package):
                command = [sys.executable, script, "--only", name]
                done = subprocess.run(command, capture_output=True, text=True)
                if done.returncode:
                    sys.exit(f"{name} failed with exit code {done.returncode}:\n{done.stderr}")
                times.setdefault(name, []).append(1e6 * float(done.stdout.split()[-1]))
    ours: dict[str, list[float]] = {}  # of each group the first one
    for name in times:
        if name.startswith("ours"):
            ours.setdefault(contenders[name].group, times[name])
    width = max(36, 2 + max(map(len, contenders)))
    peak = matrix_product_peak() if any(c.flop for c in contenders.values()) else None
    of_peak = f"{'share of the peak':>20}" if peak else ""
    print(f"{'':{width}}{'µs a step':>12}{'spread':>20}{'seed-steps a second':>22}{'time / ours':>20}{of_peak}")
    for name, contender in contenders.items():
        if name not in times:
            print(f"{name:{width}}skipped: {contender.package} is not installed")
            continue
        median, spread = statistics.median(times[name]), f"{min(times[name]):,.0f} to {max(times[name]):,.0f}"
        reference = ours.get(contender.group)
        ratio = f"{median / statistics.median(reference):.1f}x" if reference else "-"
        share = f"{contender.flop * contender.seeds / median * 1e6 / peak:20.0%}" if peak else ""
        rate = 1e6 * contender.seeds / median
        print(f"{name:{width}}{median:12,.1f}{spread:>20}{rate:22,.0f}{ratio:>20}{share}")
    if peak:
        print(f"The peak, a large matrix product on all cores: {peak / 1e9:,.0f} GFLOP/s")
    print(f"The machine: {processor()}")
