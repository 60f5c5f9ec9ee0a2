"""A row of PacGAN's table 1 made with PacGAN's own networks: the plain GAN and PacGAN2 on the ring, as Markdown.

    python benchmarks/quality_pacgan.py > docs/results/pacgan.md

Each cell is a seed of one of the two games, 400,000 steps, in a run of its own in runs/quality_pacgan/. Interrupted
ones resume. Finished ones, whose numbers are then also in docs/results/runs/quality_pacgan/, are not run again. On
one core of an AMD EPYC a cell takes about 80 minutes, with packs of two 105. With the package ray a machine trains as
many seeds at a time as it has cores. Several machines share the cells by --packs or --seeds. Copy their folders
docs/results/runs/quality_pacgan/ into one; there the command without flags prints the page.
"""

import argparse

import pages
from quality_modes import PERFECT, RING_AND_GRID, difference, with_error
from study import about_runs, named, row, runs_of

from experiments import mixture_2d

HEAD = """# PacGAN's own networks on the ring

`python benchmarks/quality_pacgan.py`: {what}, on which nothing was tuned. Minutes are processor time,
evaluation included.

Recipe `pacgan` of `mixture_2d.py` follows PacGAN's paper (Lin et al. 2018, section 4.1) and code. G has 4 layers of
400 units with batch norm and ReLU, D has 3 layers of 200 maxout units of 5 pieces, and the first weights are
N(0, .02^2). Both move at once, by Adam with 1e-4 and beta1 .8. A step has 100 packs of real points and 100 of fakes.
Three things differ. Adam's epsilon is 1e-7, theirs 1e-8. Packs are drawn anew in every epoch from the 100,000 points,
theirs are 100,000 fixed ones. And the moments of batch norm for the evaluation are those of 4000 latents at the end,
theirs a running average with decay .95, which is as precise.
"""
PUBLISHED = {1: "GAN", 2: "PacGAN2", 3: "PacGAN3", 4: "PacGAN4"}
NAMES = "modes", "high_quality", "reverse_kl"


def seeds_of(pack: int, seeds: list[int]) -> dict[str, list]:
    """Of each number a list with its value for every seed; the runs are made if they are not there yet."""
    results = runs_of(f"quality_pacgan/packs-of-{pack}", mixture_2d, seeds, "pacgan", ["--pack", str(pack)])
    minutes = [result["cpu_seconds"] / 60 for result in results]  # of a resumed run, too, all of them
    return {name: [result[name]["per_seed"][0] for result in results] for name in NAMES} | {"minutes": minutes}


def comparison(found: dict[str, list], published: tuple[str, ...]) -> str:
    """The differences to the published means, in standard errors."""
    words = []
    for name, theirs, scale in zip(NAMES, published, (1, 100, 1), strict=True):
        values = [v if v is None else scale * v for v in found[name]]
        words.append(f"{name.replace('_', ' ')} {difference(values, theirs)}")
    return "; ".join(words)


def main(packs: list[int], seeds: list[int]) -> None:
    """The table of these games and seeds."""
    games = {pack: seeds_of(pack, seeds) for pack in packs}
    print(HEAD.format(what="one seed of each game" if len(seeds) == 1 else "mean +- standard error over seeds"))
    print(row("ring", "modes", "high quality %", "reverse KL", "source"))
    print(row(*["---"] * 5))
    for pack, found in games.items():
        label = "`--recipe pacgan`" if pack == 1 else f"`--recipe pacgan --pack {pack}`"
        numbers = [with_error(found[name], *form) for name, form in zip(NAMES, ((2,), (1, 100), (3,)), strict=True)]
        minutes = ", ".join(f"{value:.0f}" for value in found["minutes"])
        print(row(label, *numbers, f"here; {named(seeds)}; {minutes} minutes"))
        print(row(PUBLISHED[pack], *RING_AND_GRID[PUBLISHED[pack]][:3], "PacGAN, table 1: 10 trials"))
    print(row("perfect sampler", *PERFECT[:3], "2500 samples; +- standard deviation"))
    if len(seeds) == 1:
        print("\nOf one seed the number stands alone: its spread over seeds is not known here.")
    for pack, found in games.items() if len(seeds) > 1 else ():
        name = PUBLISHED[pack]
        print(f"\nCompared with the published means of {name}: {comparison(found, RING_AND_GRID[name][:3])}.")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    what = "sizes of the packs, one game for each (default: 1 2)"
    parser.add_argument("--packs", type=int, nargs="+", choices=PUBLISHED, default=[1, 2], help=what)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="seeds of each game (default: 0 1 2)")
    arguments = parser.parse_args()
    for flag, values in vars(arguments).items():
        if len(set(values)) < len(values):
            parser.error(f"--{flag} {' '.join(map(str, values))}: expected different numbers")
    made = pages.line(__file__)
    main(arguments.packs, arguments.seeds)
    print("", about_runs(), made, sep="\n")
