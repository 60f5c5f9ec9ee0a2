"""Do the floors of a file hold? Simulated files of known laws, as Markdown for docs/results/floors.md.

    python benchmarks/quality_floors.py > docs/results/floors.md        about 6 minutes on two cores

The floor of a file is what a perfect sampler of its unknown law gets. Here the law is known, and perfect samplers can
be asked.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pages
from study import row

import metrics
from experiments import mixture_2d, normal_1d
from lab import targets

SIZES = (50, 89, 284, 1000, 10_000)  # held-out numbers, as many as are trained on
NAMES = {
    "kl": "KL(real \\|\\| fake)",
    "kl_reverse": "KL(fake \\|\\| real)",
    "wasserstein": "Wasserstein",
    "kolmogorov_smirnov": "Kolmogorov-Smirnov",
    "sliced_wasserstein": "sliced Wasserstein",
}
Draw = Callable[[int, np.random.Generator], np.ndarray]  # of numbers [n] or points [n, 2]
LINE: dict[str, Draw] = {
    "normal": lambda n, rng: rng.standard_normal(n),
    "exponential": lambda n, rng: rng.standard_exponential(n),
    "Gumbel": lambda n, rng: rng.gumbel(size=n),
}
PLANE: dict[str, Draw] = {
    "normal": lambda n, rng: rng.standard_normal((n, 2)),
    "exponential": lambda n, rng: rng.standard_exponential((n, 2)),
    "ring": targets.ring().draw,
    "spiral": targets.Spiral().draw,
    "uniform": lambda n, rng: rng.random((n, 2)),
}


class Compared(NamedTuple):
    """The floor of one number."""

    truth: float  # the mean over held-out halves and perfect samplers
    ratio: float  # the mean over files of the file's floor, divided by the truth
    error: float  # standard error of the ratio: both means are sampled
    spread: float  # standard deviation over files of the file's floor, divided by the truth


def compared(draw: Draw, held_out: int, files: int, samplers: int) -> dict[str, Compared]:
    """The floors of this many files, and what this many perfect samplers get, each against another held-out half."""
    rng = np.random.default_rng(0)
    script, scores = (normal_1d, line_scores) if draw(1, rng).ndim == 1 else (mixture_2d, plane_scores)
    n = script.Config.eval_samples
    perfect = [scores(draw(held_out, rng), draw(n, rng)) for _ in range(samplers)]
    found = [floors(draw(2 * held_out, rng), n) for _ in range(files)]
    rows = {}
    for name in perfect[0]:
        true, estimated = (np.array([values[name] for values in every]) for every in (perfect, found))
        truth, ratio = true.mean(), estimated.mean() / true.mean()
        errors = [values.std(ddof=1) / values.mean() / np.sqrt(len(values)) for values in (true, estimated)]
        rows[name] = Compared(truth, ratio, ratio * float(np.hypot(*errors)), estimated.std(ddof=1) / truth)
    return rows


def floors(file: np.ndarray, n: int) -> dict[str, float]:
    """The floors, for n fakes, of a run on a file of numbers `[N]` or points `[N, 2]`."""
    half = len(file) // 2
    if file.ndim == 1:
        real = targets.RealNumbers(file[None, :half], file[half:], "file")
        masses = metrics.bin_masses(real.truth, metrics.histogram_edges(real.truth))
        found = normal_1d.floors(real, n, masses)
    else:
        found = mixture_2d.floors(targets.RealPoints(file[None, :half].swapaxes(1, 2), file[half:], None, "file"), n)
    return {name.removesuffix("_floor"): value for name, value in found.items()}


def line_scores(held_out: np.ndarray, fakes: np.ndarray) -> dict[str, float]:
    """The distances of `normal_1d` between held-out numbers and fakes."""
    return {
        "kl": metrics.histogram_kl(held_out, fakes),
        "kl_reverse": metrics.histogram_kl(held_out, fakes, reverse=True),
        "wasserstein": metrics.wasserstein_1(held_out, fakes),
        "kolmogorov_smirnov": metrics.kolmogorov_smirnov(held_out, fakes),
    }


def plane_scores(held_out: np.ndarray, fakes: np.ndarray) -> dict[str, float]:
    """The distances of `mixture_2d` between held-out points and fakes."""
    real = targets.RealPoints(np.zeros((1, 2, 0)), held_out, None, "file")
    return {name: values[0] for name, values in mixture_2d.measure_at_end(real, fakes.T[None]).items()}


HEAD = """# Floors of files

With a file of numbers or points the law (the distribution) is not known, and the floors are estimated from the file.
Here the files are drawn from known laws. Each cell is a ratio: the floor that a run would state, averaged over the
files, divided by what perfect samplers really score on average. They draw as many fakes as a run (10,000 numbers,
2500 points), and are judged against held-out halves of that size. 1 is right. +- is the standard error of this ratio,
and the number in brackets is the standard deviation over files: how far the floor of one file may be off."""
FOOT = """
In the plane the KL floor of few points depends on the shape of the law: a kernel density estimate from 100 points
blurs sharp edges (`uniform`) and thin arms (`spiral`).
"""


def main() -> None:
    made = pages.line(__file__)
    print(HEAD)
    for title, laws, names in (("Numbers", LINE, list(NAMES)[:4]), ("Points", PLANE, ["kl", "sliced_wasserstein"])):
        print(f"\n## {title}\n")
        print(row("law", "held out", *(NAMES[name] for name in names)))
        print("|---|" + "---|" * (1 + len(names)))
        for law, draw in laws.items():
            for held_out in SIZES:
                large = held_out > 1000
                rows = compared(draw, held_out, files=12 if large else 40, samplers=200 if large else 1000)
                cells = (f"{r.ratio:.2f} +- {r.error:.2f} ({r.spread:.2f})" for r in map(rows.get, names))
                print(row(law, held_out, *cells), flush=True)
    print(FOOT)
    print(made)


if __name__ == "__main__":
    main()
