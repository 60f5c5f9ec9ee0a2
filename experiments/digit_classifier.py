"""A small convolutional network classifies digits: the scores of all image experiments rest on it.

    python experiments/digit_classifier.py                                  MNIST: 99.3% correct, one to two minutes
    python experiments/digit_classifier.py --data digits --recipe small     8x8 digits: 98%, seconds, no download
    python experiments/digit_classifier.py --data FOLDER                    Fashion-MNIST or KMNIST as IDX files

The network and its training are in lab/classifier.py. The other scripts train their own classifier when they first
need it, and keep its weights; this one shows how good it is and what it gets wrong.
"""

from pathlib import Path
from typing import Any

import numpy as np

from lab import cli, pictures, plots, runs
from lab.classifier import SMALL, Config, train


def evaluate(trained: runs.Trained) -> dict[str, Any]:
    """The share of test images that are classified correctly, with its standard error; a perfect classifier has 1."""
    p, n = trained.game.test_accuracy, len(trained.real.test)
    error = float(np.sqrt(p * (1 - p) / n))
    return {
        "data": trained.real.name,
        "seed": trained.config.seed,
        "steps": trained.config.steps,
        "test_accuracy": p,
        "test_accuracy_floor": 1.0,
        "test_accuracy_standard_error": error,
        "parameters": runs.count_parameters(classifier=trained.game.weights)["classifier"],
        "headline": f"{p:.2%} of {n} test images are classified correctly, standard error {error:.2%}",
    }


def figures(trained: runs.Trained, result: dict[str, Any], folder: Path) -> None:
    """mistakes.png: the test images that are classified wrongly with the greatest confidence."""
    images = trained.real
    probabilities, _ = trained.game.classify(pictures.as_pixels(images.test))
    predictions, confidences = probabilities.argmax(-1), probabilities.max(-1)
    plots.save(plots.mistakes(images.test, images.test_labels, predictions, confidences), folder / "mistakes.png")


RECIPES = {"large": Config(), "small": SMALL}

if __name__ == "__main__":
    cli.main(__doc__, RECIPES, train, evaluate, figures)
