"""Every MNIST recipe over several seeds, as a Markdown table for docs/results_mnist.md.

    MNIST_NPZ=mnist.npz python benchmarks/mnist_quality.py > results.md    45 minutes on two cores

Each cell is a run in runs/mnist_quality/; finished ones are not run again, interrupted ones resume.
"""

import json
import statistics
import sys
from pathlib import Path

import gan_images as images
import gan_runs as runs
from experiments import mnist_dcgan, mnist_mlp

SEEDS = range(3)
FOLDER = Path("runs/mnist_quality")
RECIPES = [(mnist_mlp, name) for name in mnist_mlp.RECIPES] + [(mnist_dcgan, name) for name in mnist_dcgan.RECIPES]
COLUMNS = {  # heading: key, digits
    "Frechet digit distance": ("frechet_digit_distance", 2),
    "label KL": ("label_kl", 4),
    "pixel KL": ("pixel_kl", 4),
    "sure": ("confident_share", 3),
    "digits": ("digits", 0),
    "precision": ("precision", 3),
    "recall": ("recall", 3),
    "Parzen": ("parzen", 1),
}


def cell(module, recipe: str, seed: int) -> dict:
    """The result of one run, made if it is not there yet."""
    folder = FOLDER / f"{module.EXPERIMENT}-{recipe}-{seed}"
    flags = ["--resume", str(folder)]
    if not (folder / "config.json").exists():
        flags = ["--recipe", recipe, "--seed", str(seed), "--out", str(folder)]
    if not (folder / "result.json").exists():
        print(folder, file=sys.stderr)
        runs.console.stderr = True  # progress is not part of the table
        whole = images.train_and_report(module.EXPERIMENT, module.train)
        runs.command_line(module.EXPERIMENT, module.RECIPES, whole, "", flags)
    return json.loads((folder / "result.json").read_text())


def spread(values: list[float], digits: int) -> str:
    """Mean +- standard deviation over seeds."""
    if len(set(values)) == 1:
        return f"{values[0]:.{digits}f}"
    return f"{statistics.mean(values):.{digits}f} +- {statistics.stdev(values):.{digits}f}"


def main() -> None:
    results = {(m.EXPERIMENT, recipe): [cell(m, recipe, seed) for seed in SEEDS] for m, recipe in RECIPES}
    print("| script, recipe | steps | " + " | ".join(COLUMNS) + " | training, minutes |")
    print("|---" * (len(COLUMNS) + 3) + "|")
    for (experiment, recipe), seeds in results.items():
        numbers = [spread([r[key] for r in seeds], digits) for key, digits in COLUMNS.values()]
        minutes = f"{statistics.mean(r['train_seconds'] for r in seeds) / 60:.1f}"
        print(" | ".join([f"| `{experiment} {recipe}`", str(seeds[0]["steps"]), *numbers, minutes]) + " |")
    one = next(iter(results.values()))[0]
    floors = [f"{one[f'{key}_floor']:.{digits}f}" for key, digits in COLUMNS.values()]
    print(" | ".join(["| real training images (floor)", "", *floors, ""]) + " |")


if __name__ == "__main__":
    main()
