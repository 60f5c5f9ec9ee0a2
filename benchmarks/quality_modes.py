"""Mode coverage beside the published tables, as Markdown for docs/results/modes.md.

    MNIST_NPZ=mnist.npz python benchmarks/quality_modes.py > docs/results/modes.md

It takes about eight hours on two cores (an estimate), half of them for Stacked MNIST. Each row is made of runs in
runs/quality_modes/: finished ones, whose numbers are then also in docs/results/runs/quality_modes/, are not run
again, and interrupted ones resume.
"""

import math
import statistics
from collections.abc import Sequence

import numpy as np
import pages
from scipy import stats
from study import about_runs, named, row, runs_of

from experiments import mixture_2d, stacked_mnist
from lab import paired

HEAD = """# Does it cover every mode?

`python benchmarks/quality_modes.py`: mean +- standard error over the seeds of a row. CPU minutes are the
processor time of one run. A run on the ring or on the grid trains all ten seeds; a run on Stacked MNIST trains one.
The server was shared and had no GPU."""

PROTOCOL = """
## Ring of 8, grid of 25

PacGAN's protocol (Lin et al. 2018, section 4.1): there are 100,000 training points and 2500 samples. A sample is of
high quality if it lies within 3 standard deviations of a mode, and a mode is reached if it has at least one such
sample. The reverse KL, in nats, compares the shares of the modes among these samples with equal shares. `stable` and
`classic` are recipes of `mixture_2d.py`, with seeds 0 to 9, on which nothing was tuned. `stable` is another system
than those that were published: a penalty (R1) that fades, a running average of G, networks without batch norm,
uniform latents, standardised points, batches of 128 and 100,000 steps. It was tuned on these two targets, with other
seeds. So its row does not say what packing or a penalty does. `classic` is the plain GAN with PacGAN's optimiser
(Adam 1e-4, beta1 .8), latents, loss, batches of 100 packs and, here, its 400,000 steps, but with smaller networks: G
has 4 layers and D 3 layers of 64 ReLU units, where PacGAN's have 4 x 400 with batch norm and 3 x 200 with maxout
(recipe `pacgan`: see [pacgan.md](pacgan.md)). Its points are standardised, its players move in turn, and its first
weights are larger. Its plain GAN already differs from PacGAN's, and the plain GANs of the two papers differ even
more. With `--pack 4` a step draws 400 real points and 400 fakes, 100 packs of each, as PacGAN does.
"""

RING_AND_GRID = {  # published: modes, high quality %, reverse KL of the ring; the same of the grid
    "GAN": ("6.3 +- .5", "98.2 +- .2", ".45 +- .09", "17.3 +- .8", "94.8 +- .7", ".70 +- .07"),
    "ALI": ("6.6 +- .3", "97.6 +- .4", ".36 +- .04", "24.1 +- .4", "95.7 +- .6", ".14 +- .03"),
    "PacGAN2": ("7.9 +- .1", "95.6 +- 2.0", ".07 +- .03", "23.8 +- .7", "91.3 +- .8", ".13 +- .04"),
    "PacGAN3": ("7.8 +- .1", "97.7 +- .3", ".10 +- .02", "24.6 +- .4", "94.2 +- .4", ".06 +- .02"),
    "PacGAN4": ("7.8 +- .1", "95.9 +- 1.4", ".07 +- .02", "24.8 +- .2", "93.6 +- .6", ".04 +- .01"),
}
VEEGAN = {  # published without reverse KL and spread: modes and high quality % of ring and grid
    "GAN": ("1", "99.3", "", "3.3", "0.5", ""),
    "ALI": ("2.8", "0.13", "", "15.8", "1.6", ""),
    "Unrolled GAN": ("7.6", "35.6", "", "23.6", "16", ""),
    "VEEGAN": ("8", "52.9", "", "24.6", "40", ""),
}
PERFECT = ("8", "98.89 +- .21", ".0014 +- .0008", "25", "98.88 +- .21", ".0049 +- .0014")
PLAIN = ["--steps", "400000", "--eval-every", "10000", "--checkpoint-every", "50000"]
OURS = {  # label -> folder, recipe and flags
    "`--recipe stable`": ("{}", "stable", []),
    "`--recipe classic --steps 400000`": ("classic-{}-pack1", "classic", PLAIN),
    "`--recipe classic --steps 400000 --pack 4`": ("classic-{}-packs-of-4", "classic", [*PLAIN, "--pack", "4"]),
}


TRICKS = """
## Packing and unrolling, with the same number of steps

`mixture_2d.py --recipe classic --loss minimax --steps 10000`, with seeds 0 to 9, with each trick and without it.
All rows have the same training points, and D sees 100 packs of real points and 100 of fakes in each step: with
`--pack 4` a step draws four times as many points as without.
"""
SHORT = ["--loss", "minimax", "--steps", "10000", "--eval-every", "2000", "--checkpoint-every", "10000"]
TRICK_FLAGS = {
    "plain": [],
    "packs-of-2": ["--pack", "2"],
    "packs-of-4": ["--pack", "4"],
    "unroll5": ["--unroll", "5"],
}

STACKED = """
## Stacked MNIST

VEEGAN's and PacGAN's protocol: the data are 128,000 triples of MNIST digits, as the three colours of an image. In
each colour of 26,000 samples a digit classifier recognises a digit (ours is right in 99.3% of the test images).
The KL, in nats, compares the frequencies of the 1000 triples with equal ones. In recipe `stable` G and D have the
same filters for each colour (`--network alike`). So the networks know that the three colours show the same kind of
picture; they do not know that the digits are independent. The published networks know neither of these things.
The same holds for the networks of `--recipe stable --network dcgan`, which train for as many steps in about a third
of the time. Recipe `dcgan` has PacGAN's batch, Adam and number of latents, on the networks of `mnist_dcgan.py`, here
for 3000 steps. PacGAN's code also updates G twice in a step, draws z uniformly, trains 100,000 steps and stacks the
test images as well. In our one run without packing this recipe hardly loses modes. So it cannot show what packing
adds. Nothing was tuned on these seeds.
"""
STACKED_PUBLISHED = {  # modes, KL, source
    "DCGAN": ("99", "3.40", "VEEGAN"),
    "ALI": ("16", "5.40", "VEEGAN"),
    "Unrolled GAN": ("48.7", "4.32", "VEEGAN"),
    "VEEGAN": ("150", "2.95", "VEEGAN"),
    "DCGAN, PacGAN's run": ("78.9 +- 6.46", "4.50 +- .127", "PacGAN, table 2: 10 runs"),
    "PacDCGAN2": ("1000", ".06 +- .003", "PacGAN, table 2"),
    "PacDCGAN3": ("1000", ".06 +- .003", "PacGAN, table 2"),
    "PacDCGAN4": ("1000", ".07 +- .005", "PacGAN, table 2"),
}
BRIEF = ["--steps", "3000", "--eval-every", "1000"]
STACKED_OURS = {  # label -> folder, recipe, flags, seeds
    "`--recipe stable`": ("stacked", "stable", [], range(4, 14)),
    "`--recipe stable --network dcgan`": ("stacked-untold", "stable", ["--network", "dcgan"], (4, 5)),
    "`--recipe dcgan --steps 3000`": ("stacked-dcgan", "dcgan", BRIEF, (0,)),
    "`--recipe dcgan --steps 3000 --pack 2`": ("stacked-dcgan-packs-of-2", "dcgan", [*BRIEF, "--pack", "2"], (0,)),
}
TEST = "Welch's t-test at 5%, not corrected for the number of tests; published errors are rounded"


PAIRED = (
    "Wilcoxon's signed-rank test with Holm's correction for all of these comparisons: a difference by chance alone "
    f"is claimed in at most {paired.LEVEL:.0%} of such tables"
)
SIGNS = {"modes": -1, "high_quality": -1, "reverse_kl": 1}  # with these signs less is better


def mean_and_error(values: Sequence[float]) -> tuple[float, float]:
    """The mean over seeds and its standard error."""
    return statistics.mean(values), statistics.stdev(values) / math.sqrt(len(values))


def with_error(values: Sequence[float], digits: int, scale: float = 1.0) -> str:
    """Mean +- standard error, both multiplied by `scale`; if some values are infinite (None), how many are."""
    if any(v is None for v in values):
        return f"infinite in {sum(v is None for v in values)} of {len(values)}"
    if len(set(values)) == 1:
        return f"{scale * values[0]:.{digits}f}"
    mean, error = mean_and_error(values)
    return f"{scale * mean:.{digits}f} +- {scale * error:.{digits}f}"


def of_points(label: str, target: str) -> dict:
    """The run of one row on one target: ten seeds."""
    folder, recipe, flags = OURS[label]
    return runs_of(f"quality_modes/{folder.format(target)}", mixture_2d, [0], recipe, ["--target", target, *flags])[0]


def numbers(result: dict) -> list[str]:
    """Modes, high quality in percent and reverse KL of a run, for its row."""
    return [
        with_error(result["modes"]["per_seed"], 1),
        with_error(result["high_quality"]["per_seed"], 1, 100),
        with_error(result["reverse_kl"]["per_seed"], 4),
    ]


def difference(ours: Sequence[float | None], published: str) -> str:
    """The difference to a published mean of 10 trials, in standard errors; at p > .05 it may be chance.

    It cannot be given if a value is infinite (None). The p-value is that of Welch's t-test (1947).
    """
    if None in ours:
        return "infinite in some seeds"
    mean, error = map(float, published.split(" +- "))
    own_mean, own_error = mean_and_error(ours)
    distance = (own_mean - mean) / math.hypot(own_error, error)
    n, m = len(ours), 10
    spreads = own_error * n**0.5, error * m**0.5
    p = stats.ttest_ind_from_stats(own_mean, spreads[0], n, mean, spreads[1], m, equal_var=False).pvalue
    doubt = "" if p < 0.05 else ", which may be chance"
    return f"{abs(distance):.1f} standard errors {'more' if distance > 0 else 'less'}{doubt}"


def ring_and_grid() -> None:
    """The recipes on the ring and on the grid, beside published numbers."""
    print(PROTOCOL)
    names = ("modes", "high quality %", "reverse KL")
    print(row("", *(f"{target}: {name}" for target in ("ring", "grid") for name in names), "source"))
    print(row(*["---"] * 8))
    found = {label: [of_points(label, target) for target in ("ring", "grid")] for label in OURS}
    for label, results in found.items():
        minutes = " and ".join(f"{r['cpu_seconds'] / 60:.1f}" for r in results)
        print(row(label, *(text for r in results for text in numbers(r)), f"here; {minutes} CPU minutes"))
    for label, numbers_ in RING_AND_GRID.items():
        print(row(label, *numbers_, "PacGAN, table 1: 10 trials, +- standard error"))
    for label, numbers_ in VEEGAN.items():
        print(row(label, *numbers_, "VEEGAN, table 1: 5 runs"))
    print(row("perfect sampler", *PERFECT, "2500 samples; +- standard deviation"))
    print()
    for target, result in zip(("ring", "grid"), found["`--recipe stable`"], strict=True):
        worst = max(result["reverse_kl"]["per_seed"])
        low, high = (f"{100 * f(result['high_quality']['per_seed']):.1f}" for f in (min, max))
        print(
            f"`stable`, {target}: {result['complete']} of {result['seeds']} seeds reach all {result['modes_of']} "
            f"modes; high quality {low} to {high}%, largest reverse KL {worst:.4f}."
        )
        modes, quality, kl = RING_AND_GRID["PacGAN4"][0 if target == "ring" else 3 :][:3]
        scores = [result[name]["per_seed"] for name in ("modes", "high_quality", "reverse_kl")]
        print(
            f"Compared with PacGAN4's published means ({TEST}): modes {difference(scores[0], modes)}; high quality "
            f"{difference([100 * v for v in scores[1]], quality)}; reverse KL {difference(scores[2], kl)}.\n"
        )


def verdicts(tricks: dict[str, dict[str, np.ndarray]], plain: dict[str, np.ndarray]) -> dict[str, dict[str, str]]:
    """Of each trick and number whether it is better or worse than the plain game on the same seeds, or neither.

    The arrays hold the number of each seed; less is better.
    """
    values = {(label, name): found for label, numbers in tricks.items() for name, found in numbers.items()}
    pairs = [(key, ("", key[1])) for key in values]
    beats = paired.better(values | {("", name): found for name, found in plain.items()}, pairs)
    said: dict[str, dict[str, str]] = {label: {} for label in tricks}
    for trick, without in pairs:
        verdict = (
            "better" if without in beats[trick] else "worse" if trick in beats[without] else "cannot be told apart"
        )
        said[trick[0]][trick[1]] = verdict
    return said


def tricks() -> None:
    """The plain GAN with packing or unrolling, and without."""
    print(TRICKS)
    names = ("modes", "high quality %", "reverse KL")
    print(row("", *(f"{target}: {name}" for target in ("ring", "grid") for name in names), "CPU minutes"))
    print(row(*["---"] * 8))
    found = {}
    for name, flags in TRICK_FLAGS.items():
        results = []
        for target in ("ring", "grid"):
            every = ["--target", target, *SHORT, *flags]
            results += runs_of(f"quality_modes/{name}-{target}", mixture_2d, [0], "classic", every)
        minutes = ", ".join(f"{r['cpu_seconds'] / 60:.1f}" for r in results)
        label = f"`{' '.join(flags)}`" if flags else "the plain game"
        print(row(label, *(text for r in results for text in numbers(r)), minutes))
        found[label] = {
            f"{target}, {name}": sign * np.array([math.inf if v is None else v for v in r[key]["per_seed"]])
            for target, r in zip(("ring", "grid"), results, strict=True)
            for name, (key, sign) in zip(names, SIGNS.items(), strict=True)
        }
    said = verdicts(found, found.pop("the plain game"))
    print(f"\nCompared with the plain game, seed by seed ({PAIRED}):\n")
    for label, numbers_ in said.items():
        print(f"* {label}: {'; '.join(f'{name} {verdict}' for name, verdict in numbers_.items())}.")


def stacked() -> None:
    """Stacked MNIST, beside published numbers."""
    print(STACKED)
    print(row("", "modes", "KL", "source"))
    print(row(*["---"] * 4))
    for label, (folder, recipe, flags, seeds) in STACKED_OURS.items():
        results = runs_of(f"quality_modes/{folder}", stacked_mnist, seeds, recipe, flags)
        minutes = [r["cpu_seconds"] / 60 for r in results]
        spent = " to ".join(dict.fromkeys(f"{m:.0f}" for m in (min(minutes), max(minutes))))  # 21, or 20 to 21
        numbers_ = with_error([r["modes"] for r in results], 0), with_error([r["kl"] for r in results], 4)
        print(row(label, *numbers_, f"here; {named(seeds)}; {spent} CPU minutes a seed"))
        if recipe == "stable" and not flags:
            clear = statistics.mean(r["confident_share"] for r in results), results[0]["confident_share_floor"]
    for label, numbers_ in STACKED_PUBLISHED.items():
        print(row(label, *numbers_))
    print(row("real MNIST triples", "1000", ".0237 +- .0010", "26,000; +- standard deviation"))
    print(row("perfect sampler", "1000", ".0194 +- .0009", "26,000; +- standard deviation"))
    shares = f"of {clear[0]:.1%} of those that `stable` draws, and of {clear[1]:.1%} of the real ones"
    print(f"\nThe single digits are less clear than real ones: the classifier is at least 90% sure {shares}.")


if __name__ == "__main__":
    made = pages.line(__file__)
    print(HEAD)
    ring_and_grid()
    tricks()
    stacked()
    print("", about_runs(), made, sep="\n")
