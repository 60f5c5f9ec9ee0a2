"""Samples from the last checkpoint of an image experiment's run.

    python experiments/sample.py RUN --count 100 --out samples.png     a sheet to look at
    python experiments/sample.py RUN --count 10000 --out samples.npy   uint8 [count, side, side], as MNIST's own
                                                                               (stacked_mnist: [count, side, side, 3])
    python experiments/sample.py RUN --label 7                         sevens, from a run of mnist_conditional

The network is rebuilt from the run's config.json; the data it was trained on is not needed.
"""

import importlib
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import tyro

import gan_images as images
import gan_runs as runs


@dataclass(frozen=True)
class Command:
    run: Annotated[str, tyro.conf.Positional]  # the run's folder
    count: int = 100  # samples
    out: str = "samples.png"  # .png or .npy, a new file
    seed: int = 0  # of the latents
    label: int | None = None  # the digit that a conditional run is to draw; by default each as often as it learned

    def checked(self) -> "Command":
        """The same, or BadInput for a value that cannot work."""
        runs.require(self, "count", "at least 1", lambda v: v >= 1)
        runs.require(self, "seed", "at least 0 and below 2^31", lambda v: 0 <= v < 2**31)
        runs.require(self, "label", "a digit from 0 to 9", lambda v: 0 <= v <= 9)
        if Path(self.out).suffix not in (".png", ".npy"):
            raise runs.BadInput(f"--out {self.out}: expected a .png or .npy file")
        if Path(self.out).exists():
            raise runs.BadInput(f"--out {self.out}: exists already; choose a new file")
        return self


def restored(folder: Path) -> tuple:
    """The config and the generator, latent bits -> images, of the run in `folder`; and if it takes digits, too."""
    experiment, values = runs.read_config(folder, "RUN")
    try:
        module = importlib.import_module(f"experiments.{experiment}")
        config_class, new_game, generator = module.Config, module.new_game, module.generator
    except (ImportError, AttributeError):
        raise runs.BadInput(
            f"RUN {folder}: a run of {experiment}, expected an image experiment with latents"
        ) from None
    config = runs.rebuild_config(folder, config_class, values, "RUN")
    game = new_game(config)
    if runs.Checkpoints(folder, {"game": game}).restore() == 0:
        raise runs.BadInput(f"RUN {folder}: no checkpoint yet")
    return config, generator(config, game), hasattr(module, "DIGITS")


def sample(folder: Path, count: int, seed: int = 0, label: int | None = None) -> np.ndarray:
    """`[count, side, side]` or `[.., 3]`, float32 in [0, 1]; sample k is a function of (seed, label, k) alone."""
    config, generate, takes_digits = restored(folder)
    bits = images.latent_bits(seed, count, config.latent_dim)
    if label is None:
        return generate(bits)
    if not takes_digits:
        raise runs.BadInput(f"--label {label}: RUN {folder} was trained without labels")
    return generate(bits, np.full(count, label))


def main(args: list[str]) -> None:
    with runs.one_line_errors():
        command = runs.parse(Command, __doc__, args).checked()
        samples, out = sample(Path(command.run), command.count, command.seed, command.label), Path(command.out)
        if out.suffix == ".npy":
            with runs.replacing(out) as temporary:
                np.save(temporary, np.round(255 * samples).astype(np.uint8))
        else:
            import gan_plots as plots  # seaborn takes seconds to import

            plots.save_sheet(out, samples, columns=int(np.ceil(command.count**0.5)))
        runs.say(f"{out}: {command.count} samples")


if __name__ == "__main__":
    main(sys.argv[1:])
