"""KL divergences of the 1-D recipes on several targets, 64 seeds each, as Markdown for docs/results/normal_1d.md.

    python benchmarks/quality_normal_1d.py > docs/results/normal_1d.md        about 5 minutes on two cores

The seeds start at 9000, because the recipe was tuned on others.
"""

from dataclasses import replace

import pages
from study import row

from experiments import normal_1d
from lab import runs

SEEDS, FIRST = 64, 9000
TARGETS = [("norm",), ("norm", 4, 0.5), ("norm", 4, 1.25), ("uniform",), ("laplace",), ("mixture",)]
RUNS = [("stable", target, {}) for target in TARGETS] + [
    ("stable", ("mixture", 0.3, -2, 1, 0.7, 2, 1), {}),
    ("stable", ("gamma", 2), {}),
    ("classic", ("norm",), {}),
    ("classic", ("norm",), {"learning_rate": 0.05}),
]


HEAD = f"""# 1-D results

`python benchmarks/quality_normal_1d.py`: {SEEDS} seeds from {FIRST} on, each with 1000 real samples of its own.
The KL divergences, in nats, compare 10,000 fakes of each seed with the exact real probabilities of 40 bins over
the central 99.99% of the real distribution and of two open tails. The floor is the mean KL(real || fake) of a
perfect sampler with as many samples. "KDE" needs no GAN: the median KL(real || fake) of 10,000 fakes from a kernel
density estimate of the same real samples, with the width that is best by cross-validation, or Scott's. KL(fake ||
real) is the median over the seeds. "Collapsed" counts the seeds whose fakes have less than half the real standard
deviation. A part of the line is lost if fewer than a tenth as many fakes fall into it as real samples would. "Lost
modes" counts the seeds whose lost parts hold more than 5% of the real mass. "Training" is the time of all seeds
together on two cores.

| recipe | target | KL(real \\|\\| fake) median | 10% | 90% | floor | KDE | KDE, Scott | KL(fake \\|\\| real) \
| collapsed | lost modes | training |
|---|---|---|---|---|---|---|---|---|---|---|---|"""
FOOT = """
A sampler that draws again from the 1000 real samples of a seed would score about .02 on any of these targets. On all
but "uniform" the stable recipe scores clearly less, and so it does not just repeat them.
"""


def main() -> None:
    made = pages.line(__file__)
    print(HEAD)
    for recipe, (name, *args), extra in RUNS:
        settings = {"target": name, "target_args": tuple(args), "seeds": SEEDS, "seed": FIRST, "eval_every": 2000}
        config = replace(normal_1d.RECIPES[recipe], **settings, **extra)
        run = runs.Run()
        result = run.finish(normal_1d.evaluate(normal_1d.train(config, run)))
        flags = "".join(f", --{flag.replace('_', '-')} {value:g}" for flag, value in extra.items())
        scores = [result["kl"][q] for q in ("median", "q10", "q90")]
        scores += [result["kl_floor"], *(result[name]["median"] for name in ("kl_kde", "kl_kde_scott", "kl_reverse"))]
        counts = result["collapsed"], result["lost_modes"], f"{result['train_seconds']:.0f} s"
        print(row(f"{recipe}{flags}", result["target"], *(f"{s:.4f}" for s in scores), *counts), flush=True)
    print(FOOT)
    print(made)


if __name__ == "__main__":
    main()
