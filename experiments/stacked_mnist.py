"""A generative adversarial network draws three digits at once, and we count how many of the 1000 triples it makes.

Stacked MNIST (Metz et al. 2017): three random digits are the red, green and blue of one image, 1000 modes in equal
parts. The protocol of VEEGAN (Srivastava et al. 2017) and PacGAN (Lin et al. 2018): 128,000 stacked images to train
on; a digit classifier reads each channel of 26,000 samples; a mode counts from one sample on; KL(samples || uniform)
= sum p ln(1000 p). A perfect sampler scores .0194 +- .0009, real MNIST triples .0237, for its digits are not quite
equally frequent. D may see several images at once, side by side (`--pack`, PacGAN): collapse gives itself away.

D is the player that holds the others back: it has to know good digits in three colours. With `--network alike` its
first three convolutions read each colour by itself with the same filters and the last one joins them, so that it
learns from three digits an image. It is told, then, that the colours are of one kind; published networks are not, and
`--network dcgan` is the one to compare with theirs.

    python experiments/stacked_mnist.py                             R1, no momentum, an average of G: 5000 steps
    python experiments/stacked_mnist.py --recipe dcgan --pack 2     PacGAN's rates, with D on pairs of images
    python experiments/stacked_mnist.py --data digits --steps 1000 --average 0.99     8x8 digits, no network needed

15 minutes on one core: 1000 modes, KL .055 and .057 (seeds 0 and 1).
"""

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from functools import cache, partial
from pathlib import Path
from typing import Any, Literal

import numpy as np

import gan_core as core
import gan_data as data
import gan_images as images
import gan_runs as runs
import metrics
from experiments import mnist_dcgan as dcgan
from experiments import mnist_mlp as mlp
from gan_core import tf

EXPERIMENT = "stacked_mnist"
CHANNELS, DIGITS = 3, 10
MODES = DIGITS**CHANNELS


@dataclass(frozen=True)
class Config(dcgan.Config):
    """Settings. The defaults here are those of recipe `dcgan`; `STABLE` below changes some."""

    recipe: Literal["stable", "dcgan"] = "dcgan"  # sets the defaults of the other flags
    network: Literal["dcgan", "alike", "dense"] = "dcgan"  # `alike`: D's first filters read each colour by itself
    pack: int = 1  # images that D sees at once, as channels of one
    stacked_images: int = 128_000  # triples of the training images
    steps: int = 14_000
    batch: int = 64  # images, before packing; 64 packs of m, as in PacGAN, are 64 m
    eval_every: int = 500
    eval_samples: int = 26_000  # the protocol's; KL floor .0194
    log_samples: int = 5000  # of which a perfect sampler reaches 993 modes, at a KL of .105
    learning_rate: float = 2e-4  # DCGAN's, and PacGAN's and VEEGAN's
    beta1: float = 0.5
    dropout: float = 0.0  # theirs have none
    generator_hidden: tuple[int, ...] = (512, 1024)  # of the dense network
    discriminator_hidden: tuple[int, ...] = (512, 512)

    def checked(self) -> "Config":
        """As `mnist_dcgan`'s; enough samples to reach every mode, and whole packs."""
        runs.require(self, "eval_samples log_samples", f"at least {MODES}, one a mode", lambda v: v >= MODES)
        positive = "stacked_images pack generator_hidden discriminator_hidden"
        runs.require(self, positive, "at least 1", lambda v: v >= 1)
        config = super().checked()
        normed = config.network != "dense" and config.discriminator_norm == "batch"
        least = 2 * config.pack if normed else config.pack  # batch norm needs two packs
        accepted = f"a multiple of --pack {config.pack}, {least} or more"
        runs.require(config, "batch", accepted, lambda v: v >= least and v % config.pack == 0)
        if config.network != "dcgan":
            runs.require(config, "dropout", f"0 with --network {config.network}", lambda v: v == 0)
        return config


STABLE = replace(
    Config(),
    recipe="stable",
    network="alike",  # after 500 steps a Frechet distance of single digits of 41; `dcgan` 90, and 44 after 1500
    steps=5000,
    eval_every=1000,
    batch=32,
    learning_rate=2e-3,
    schedule="cosine",
    beta1=0.0,  # momentum makes the two players circle
    beta2=0.99,
    discriminator_norm="none",  # with `dcgan` and r1 .1, 1500 steps: KL .75, with batch norm .92 (floor .285)
    r1=1.0,  # .1: D runs ahead (loss .56), and the KL rises again after 5500 steps of 9000
    average=0.999,
)
RECIPES = {"stable": STABLE, "dcgan": Config()}


def dense(config: Config) -> mlp.Config:
    """The settings of `mnist_mlp`: ours where we have them, otherwise those of its stable recipe."""
    ours = {f.name: getattr(config, f.name) for f in fields(mlp.Config) if hasattr(config, f.name)}
    return replace(mlp.STABLE, **ours)


def new_game(config: Config) -> dcgan.Game | core.Game:
    """Raw variables of both networks."""
    if config.network == "dense":
        return mlp.new_game(dense(config), CHANNELS, config.pack)
    return dcgan.new_game(config, channels=CHANNELS, pack=config.pack, alike=config.network == "alike")


def stacked(pixels: tf.Tensor, triples: tf.Tensor) -> tf.Tensor:
    """Grey images `[N, side, side]` and indices `[n, 3]` -> colour images `[n, side, side, 3]`."""
    return tf.transpose(tf.gather(pixels, triples), (0, 2, 3, 1))


def new_task(config: Config, real: data.Images) -> images.Task:
    """What training this experiment means; the stacked images stay indices until a batch needs them."""
    game, pixels = new_game(config), images.training_images(config, real)  # uint8 [N, side, side]
    triples = data.random_triples(config.stacked_images, len(pixels), config.seed)
    if config.network == "dense":
        rows = pixels.reshape(len(pixels), -1)
        loop, draw = mlp.new_loop(dense(config), rows, config.pack), partial(mlp.draw, dense(config), triples)
        networks = mlp.weights(game)
    else:
        grey = tf.constant(pixels)

        def step(game, batch):
            whole = batch | {"x": stacked(grey, batch["triple"])}
            return dcgan.adversarial_step(game, config, whole, pack=config.pack)

        loop = core.compiled_loop(step, jit_compile=False)
        draw, networks = partial(dcgan.draw, config, {"triple": triples}, pack=config.pack), dcgan.networks(game)
    return images.Task(game, loop, draw, generator(config, game), networks, lambda: new_game(config))


def generator(config: Config, game: dcgan.Game | core.Game) -> Callable:
    """latent bits `[n, latent_dim]` -> fakes `[n, side, side, 3]` in [0, 1], by the average of G's weights."""
    if config.network != "dense":
        return dcgan.generator(config, game)
    grey = mlp.generator(dense(config), game)  # channel after channel, as if each were an image: [3 n, side, side]
    return lambda bits: np.moveaxis(grey(bits).reshape(-1, CHANNELS, config.side, config.side), 1, -1)


class Yardstick(images.Yardstick):
    """What the judge reads in the channels of stacked images: modes, KL, and how good the single digits are."""

    def quick(self, fakes: np.ndarray) -> dict[str, Any]:
        """Every number of fakes `[n, side, side, 3]`, without the counts."""
        return {name: value for name, value in self.full(fakes).items() if name != "mode_counts"}

    def full(self, fakes: np.ndarray) -> dict[str, Any]:
        """Every number, and how often each of the 1000 triples was read."""
        seen = [self.judge.verdicts(fakes[..., channel]) for channel in range(CHANNELS)]
        verdicts, features = (np.concatenate(part) for part in zip(*seen, strict=True))  # [3 n, 10], [3 n, 64]
        counts = metrics.tuple_counts(verdicts.argmax(-1).reshape(CHANNELS, -1).T, DIGITS)
        return {
            "modes": int(np.count_nonzero(counts)),
            "kl": metrics.uniform_kl(counts),
            "confident_share": metrics.confident_share(verdicts),
            "frechet_digit_distance": metrics.frechet_digit_distance(self.features, features),
            "mode_counts": counts.tolist(),
        }

    def quick_floors(self) -> dict[str, float]:
        """The floors of `quick`, computed once."""
        if self._floors is None:
            self._floors = self._of_perfect(self.config.log_samples)
        return self._floors

    def full_floors(self) -> dict[str, float]:
        """The floors of `full`."""
        return self._of_perfect(self.config.eval_samples)

    def _of_perfect(self, n: int) -> dict[str, float]:
        """What n samples of a perfect sampler score, and n other triples of the training images as real ones."""
        pixels = images.training_images(self.config, self.images)
        triples = data.random_triples(n, len(pixels), self.config.seed, data.EVALUATION)
        real = self.quick(data.as_pixels(stacked(tf.constant(pixels), triples).numpy()))
        return {
            "modes_floor": metrics.expected_modes(MODES, n),
            "kl_floor": perfect_kl(n).mean,
            "kl_real": real["kl"],
            "confident_share_floor": real["confident_share"],
            "frechet_digit_distance_floor": real["frechet_digit_distance"],
        }


@cache
def perfect_kl(n: int) -> metrics.Floor:
    """KL of n samples of a perfect uniform sampler."""
    return metrics.kl_floor(np.ones(MODES), n, smoothing=0, reverse=True)


def train(config: Config, run: runs.Run | None = None) -> images.Trained:
    """Train; every `eval_every` steps read the fakes."""

    def headline(record):
        return f"{record['modes']} modes, KL {record['kl']:.3f} (floor {record['kl_floor']:.3f})"

    return images.train(config, run, new_task, Yardstick, headline)


def save_figures(trained: images.Trained, counts: list[int], folder: Path) -> None:
    """samples, strip, interpolation, curves, modes (.png) and training.gif."""
    import gan_plots as plots  # seaborn takes seconds to import

    images.save_samples(trained, folder)
    plots.save(plots.image_curves(trained.records, plots.STACKED_CURVES), folder / "curves.png")
    plots.save(plots.mode_counts(np.array(counts)), folder / "modes.png")


ROWS = {  # label -> key and format
    "modes of 1000": ("modes", ".0f"),
    "KL to uniform, nats": ("kl", ".4f"),
    "share the judge is 90% sure of": ("confident_share", ".3f"),
    "Frechet distance of single digits": ("frechet_digit_distance", ".2f"),
}


def train_and_report(config: Config, run: runs.Run) -> None:
    """Train, measure, draw, tell."""
    trained = train(config, run)
    images.show_parameters(trained.task.networks)
    result = images.report(trained, EXPERIMENT)
    save_figures(trained, result.pop("mode_counts"), run.folder / "figures")
    settings = {name: getattr(config, name) for name in ("network", "loss", "pack", "batch", "eval_samples")}
    result = run.finish(result | settings)
    images.show_table(result, ROWS, "floor")
    runs.say(f"{run.folder}: pictures in figures/, every number in result.json and log.jsonl")
    runs.say(
        f"{result['modes']} of {MODES} modes, KL {result['kl']:.4f}: a perfect sampler has {result['kl_floor']:.4f}, "
        f"real digits {result['kl_real']:.4f}. {result['train_seconds']:.0f} s of training"
    )


if __name__ == "__main__":
    runs.command_line(EXPERIMENT, RECIPES, train_and_report, __doc__)
