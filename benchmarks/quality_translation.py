"""Conditional GAN, pix2pix and CycleGAN over several seeds, as Markdown for docs/results/translation.md.

    MNIST_NPZ=mnist.npz python benchmarks/quality_translation.py > docs/results/translation.md

An hour on two cores.

Each column is made of runs in runs/quality_translation/: finished ones, whose numbers are then also in
docs/results/runs/quality_translation/, are not run again, and interrupted ones resume.
With the package ray as many are made at the same time as there are cores.
"""

import numpy as np
import pages
from scipy import stats
from study import about_runs, minutes, row, runs_of, spread

from experiments import cyclegan, mnist_conditional, pix2pix

SEEDS = range(3)
HEAD = f"""# Conditional GAN, pix2pix, CycleGAN on digits

`python benchmarks/quality_translation.py`: {len(SEEDS)} seeds, mean +- standard deviation over seeds, on held-out
images. The classifier is that of `digit_classifier.py`; "confident" is the share of images in which it sees one
digit with a probability of 90% or more; [numbers.md](../numbers.md) explains the other numbers. In pix2pix A is an
outline, and B the digit that it was drawn from. In CycleGAN `--frame mnist` shrinks the optical digits to the size of
MNIST's, and adds a black border. Minutes are the processor time of the fastest seed, evaluation included, on a shared
server without a GPU."""
FOOT = """
What the adversarial part adds to pix2pix cannot be seen in these numbers: an outline leaves little to guess. The
frame alone (smaller digits inside a black border) makes more optical digits recognisable than any translation does.
"""


def several(module, frame: str | None = None) -> list[dict]:
    """The results of a script for every seed; `frame` is CycleGAN's."""
    study, extra = (
        ("quality_translation", []) if frame is None else (f"quality_translation/{frame}", ["--frame", frame])
    )
    return runs_of(study, module, SEEDS, extra=extra)


def numbers(results: list[dict], key: str, digits: int) -> str:
    """Mean +- standard deviation of a number over the seeds; nothing where the script does not measure it."""
    return spread([r[key] for r in results], digits) if key in results[0] else ""


def conditional() -> None:
    """The table of the conditional GAN."""
    results = several(mnist_conditional)
    steps, spent = results[0]["steps"], minutes(results)
    print(f"\n## `mnist_conditional.py`: 10,000 samples, {steps} steps, {spent} minutes\n")
    print(row("", "fakes", "real images"))
    print(row("---", "---", "---"))
    rows = {
        "classifier recognises the digit asked for": ("agreement", 4),
        "label KL, nats": ("label_kl", 4),
        "confident": ("confident_share", 3),
        "Frechet digit distance": ("frechet_digit_distance", 2),
    }
    for label, (key, digits) in rows.items():
        print(row(label, numbers(results, key, digits), f"{results[0][key + '_floor']:.{digits}f}"))
    ours, floor = (np.array([r[f"frechet_by_digit{end}"] for r in results]).mean(0) for end in ("", "_floor"))
    for digit, pair in enumerate(zip(ours, floor, strict=True)):
        print(row(f"Frechet distance of the {digit}s", *(f"{value:.2f}" for value in pair)))


def paired() -> None:
    """The table of pix2pix, beside a U-Net that learned from the L1 distance alone and beside A itself."""
    results = several(pix2pix)
    spent = minutes(results)
    print(f"\n## `pix2pix.py`: edges to digits, {results[0]['steps']} steps, {spent} minutes\n")
    print(row("", "pix2pix", "L1 alone", "copy of A", "B itself"))
    print(row(*["---"] * 5))
    rows = {
        "L1 distance to B": ("l1", 4),
        "classifier recognises the right digit": ("agreement", 4),
        "Frechet digit distance": ("frechet_digit_distance", 2),
    }
    for label, (key, digits) in rows.items():
        ends = ("", "_of_l1_only", "_of_copy", "_floor")
        print(row(label, *(numbers(results, key + end, digits) for end in ends)))


def unpaired(frame: str) -> None:
    """The table of CycleGAN, whose optical digits have this frame."""
    results = several(cyclegan, frame)
    spent = minutes(results)
    flag = f"`cyclegan.py --frame {frame}`: optical digits to MNIST"
    print(f"\n## {flag}, {results[0]['steps']} steps, {spent} minutes\n")
    print(row("", "translated", "untranslated", "MNIST's own"))
    print(row(*["---"] * 4))
    rows = {
        "classifier recognises the right digit (chance .1)": ("accuracy", 4),
        "Frechet digit distance": ("frechet_digit_distance", 2),
        "cycle distance optical, MNIST, optical": ("cycle_a", 4),
        "cycle distance MNIST, optical, MNIST": ("cycle_b", 4),
    }
    for label, (key, digits) in rows.items():
        print(row(label, *(numbers(results, key + end, digits) for end in ("", "_untranslated", "_floor"))))
    gains = [r["accuracy"] - r["accuracy_untranslated"] for r in results]
    verb, p = "raises" if np.mean(gains) > 0 else "lowers", stats.ttest_1samp(gains, 0).pvalue
    print(f"\nTranslation {verb} the share of digits that are recognised: p = {p:.2g} (t-test over the seeds).")


if __name__ == "__main__":
    made = pages.line(__file__)
    print(HEAD, flush=True)
    conditional()
    paired()
    unpaired("none")
    unpaired("mnist")
    print(FOOT)
    print(about_runs(), made, sep="\n")
