"""How the cost grows with the work: seeds, steps, batch and width, in one figure, docs/figures/growth.png.

    python benchmarks/speed_growth.py               about 8 minutes

It measures the training of `normal_1d.py --recipe classic` (the width: of `mixture_2d.py --recipe classic`), without
compilation and with next to no evaluation: microseconds for each unit of work, which is flat where nothing is wasted.
Each point is measured once, in a process of its own: a small game limits TensorFlow to one core, and this holds until
the process ends.
"""

import argparse
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import many_seeds

from experiments import mixture_2d, normal_1d
from lab import plots, style

FIGURE = Path(__file__).parents[1] / "docs/figures/growth.png"
ONE = replace(normal_1d.CLASSIC, seeds=1)


def by_seeds(seeds: int) -> float:
    """Microseconds of a step for one seed, if this many train at once."""
    return 1e6 * many_seeds.ours(normal_1d, replace(ONE, seeds=seeds), max(100, 40_000 // seeds)) / seeds


def by_steps(steps: int) -> float:
    """Microseconds of a step in a run of this many steps, the first ones included."""
    config = replace(ONE, steps=steps, eval_every=steps, eval_samples=100, checkpoint_every=steps)
    return 1e6 * normal_1d.train(config).run.train_seconds / steps


def by_batch(batch: int) -> float:
    """Nanoseconds for one sample of a batch."""
    return 1e9 * many_seeds.ours(normal_1d, replace(ONE, batch=batch, samples=10_000), 10_000) / batch


def by_width(units: int) -> float:
    """Microseconds for each million operations of a step of networks with this many units in a layer."""
    from speed_mixture_2d import flop, settings

    steps = max(60, 200_000 // units**2 * 10)
    return 1e6 * many_seeds.ours(mixture_2d, settings(units, 1), min(steps, 20_000)) / (flop(units) / 1e6)


PANELS: dict[str, tuple[Callable[[int], float], tuple[int, ...], str]] = {
    "seeds at once": (by_seeds, (1, 4, 16, 64, 256, 1024, 4096), "µs for a step of a seed"),
    "steps": (by_steps, (1000, 10_000, 100_000, 1_000_000), "µs for a step"),
    "batch": (by_batch, (25, 100, 400, 1600, 6400), "ns for a sample"),
    "units in a layer": (by_width, (8, 16, 32, 64, 128, 256, 512), "µs for a million operations"),
}


def alone(name: str, value: int) -> float:
    """A point of a panel, measured in a process of its own. SystemExit: it failed, and has said why."""
    command = [sys.executable, __file__, "--only", name, str(value)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        sys.exit(done.returncode)
    return float(done.stdout.split()[-1])


def main() -> None:
    """Measure, print and draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs=2, help=argparse.SUPPRESS)  # what `alone` starts
    if only := parser.parse_args().only:
        print(PANELS[only[0]][0](int(only[1])))
        return
    fig, axes = style.panels(len(PANELS), 4, 3.0, 2.7)
    for ax, (name, (_, values, unit)) in zip(axes, PANELS.items(), strict=True):
        costs = [alone(name, value) for value in values]
        print(
            f"{name} ({unit}): " + ", ".join(f"{v:,}: {c:.3g}" for v, c in zip(values, costs, strict=True)),
            flush=True,
        )
        ax.plot(values, costs, "o-", color="black", ms=3.5, lw=1)
        ax.set(xlabel=name, ylabel=unit, ylim=(min(costs) / 3, max(costs) * 2))
        style.logarithmic(ax.xaxis)
        style.logarithmic(ax.yaxis)
    plots.save(style.headed(fig, "What a unit of work costs, as the work grows: flat is ideal"), FIGURE)


if __name__ == "__main__":
    main()
