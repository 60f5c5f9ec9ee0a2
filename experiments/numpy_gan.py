"""A generative adversarial network whose gradients are written by hand: NumPy alone, no TensorFlow.

The generator G turns random latents into images, by layers of 32, 64 and as many units as an image has pixels. The
discriminator D, with layers of 64, 32 and 1 units, gives the probability that an image is real. D learns from half a
batch of fakes, with the target t = 0, and half a batch of real images, with t = 1. G learns from a whole batch of
fakes with the target t = 1, because it wants D, whose weights stay as they are, to take them for real. Samples are
columns: a layer is y = f(W x + b) of an input x `[in, B]` with B samples (the batch), as on the blackboard.

The chain rule, once for each kind of layer. Write a = W x + b, y = f(a), and delta = dE/da for the error E. Then

    dE/dW = delta x^T        because dE/dW_ij is the sum over the batch of delta_i x_j: the layer's INPUT belongs here
    dE/db = sum of delta     over the batch
    dE/dx = W^T delta        which is dE/dy of the layer below

and the layers differ in delta alone:

    hidden layers, y = max(0, a)          delta = dE/dy where y > 0, else 0
    G's last layer, y = tanh a            delta = dE/dy (1 - y^2)              because tanh' = 1 - tanh^2
    D's last layer, y = 1 / (1 + e^-a)    delta = (y - t) / B
        with E = -mean(t log y + (1 - t) log(1 - y)): dE/dy = (y - t) / (y (1 - y)) / B, and dy/da = y (1 - y).

E is a mean over fakes and real images together, and so it is half of D's loss in `gan_core.py`: ln 2 where D = 1/2.

(A tutorial with these networks has a mistake in dE/dW: it multiplies delta by the transposed weights of D, and not by
the transposed input of the layer, x^T.)

    python experiments/numpy_gan.py                  8x8 digits: ten to twenty seconds
    python experiments/numpy_gan.py --data mnist     28x28: three times as long

MNIST is read from the file that the environment variable MNIST_NPZ names, or downloaded when it is first used.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np

from lab import cli, draws, files, image_metrics, memory, pictures, plots, runs, sheets

Array = np.ndarray
Rate = Annotated[float, cli.Accepted("above 0 and finite", lambda v: 0 < v < np.inf)]  # in float64
LOGGED = ("fake_error", "fake_accuracy", "real_error", "real_accuracy", "generator_error")


@dataclass(frozen=True)
class Config:
    """Settings of one run."""

    # data
    data: str | None = "digits"  # `digits`: 8x8, in scikit-learn; `mnist`; an .npz, or a folder of IDX files
    train_images: cli.Count = 60_000  # at most this many images of the training set, from the first one
    # networks
    latent_dim: cli.Count = 32  # numbers in z, which is standard normal
    # training
    seed: cli.Seed = 0
    steps: cli.Count = 10_000  # training steps; each updates D once and G once
    batch: Annotated[int, cli.Accepted("an even number from 2 on", lambda v: v >= 2 and v % 2 == 0)] = 64  # half real
    learning_rate: Rate = 1e-3  # of both players' Adam
    beta1: cli.Decay = 0.5  # as in DCGAN; at .9 the errors oscillate
    beta2: cli.Decay = 0.999
    # output
    eval_every: cli.Count = 500  # steps between two evaluations, each a line of log.jsonl
    log_samples: cli.Samples = 500  # how many fakes each of them measures
    eval_samples: cli.Samples = 1000  # fakes behind the final numbers
    checkpoint_every: cli.Count = 2000  # steps between checkpoints

    def __post_init__(self) -> None:
        cli.check(self)


# --------------------------------------------------------------------------------------- layers, by hand


class Layer:
    """y = f(W x + b); `backward` keeps dE/dW and dE/db in `gradients`, and returns dE/dx."""

    f: Callable[[Array], Array]  # of each kind of layer: its activation, and dE/da from what the layer above returns
    delta: Callable[[Array], Array]

    def __init__(self, rng: np.random.Generator, inputs: int, outputs: int):
        self.W = np.sqrt(2 / inputs) * rng.standard_normal((outputs, inputs))  # He et al. 2015
        self.b = np.zeros((outputs, 1))

    def forward(self, x: Array) -> Array:  # [in, B] -> [out, B]
        self.x, self.y = x, self.f(self.W @ x + self.b)
        return self.y

    def backward(self, from_above: Array) -> Array:  # [out, B] -> [in, B]
        delta = self.delta(from_above)
        self.gradients = delta @ self.x.T, delta.sum(axis=1, keepdims=True)
        return self.W.T @ delta


class Hidden(Layer):
    """A layer with rectified linear units."""

    def f(self, a: Array) -> Array:
        return np.maximum(0, a)

    def delta(self, from_above: Array) -> Array:
        return from_above * (self.y > 0)


class GeneratorOutput(Layer):
    """G's last layer: pixels in (-1, 1)."""

    def f(self, a: Array) -> Array:
        return np.tanh(a)

    def delta(self, from_above: Array) -> Array:
        return from_above * (1 - self.y**2)


class DiscriminatorOutput(Layer):
    """D's last layer: the probability that an image is real. What it gets from above is the target t, no gradient."""

    def f(self, a: Array) -> Array:
        self.a = a
        return 0.5 * (1 + np.tanh(a / 2))  # the sigmoid; this form never overflows

    def delta(self, from_above: Array) -> Array:
        return (self.y - from_above) / from_above.shape[1]

    def error(self, t: Array) -> Array:
        """-(t log y + (1 - t) log(1 - y)) of each sample, in nats: from a, which makes it exact for every a."""
        return np.logaddexp(0, self.a) - t * self.a


def forward(network: Sequence[Layer], x: Array) -> Array:
    """The output of the last layer for the input x of the first."""
    for layer in network:
        x = layer.forward(x)
    return x


def backward(network: Sequence[Layer], from_above: Array) -> Array:
    """Leave the gradients in every layer; returns the gradient of the error with respect to the network's input."""
    for layer in reversed(network):
        from_above = layer.backward(from_above)
    return from_above


# ---------------------------------------------------------------------------------------------- the game


class Adam:
    """Adam on the weights of one network, in place (Kingma and Ba 2015, algorithm 1)."""

    def __init__(self, network: Sequence[Layer], config: Config):
        self.network, self.config = network, config
        self.weights = [w for layer in network for w in (layer.W, layer.b)]
        self.mean, self.square = ([np.zeros_like(w) for w in self.weights] for _ in range(2))
        self.t = np.zeros(1)  # steps done; an array, so that a checkpoint fills it in place

    def step(self) -> None:
        """Move every weight by the gradients that `backward` left in the layers."""
        self.t += 1
        c = self.config
        gradients = [g for layer in self.network for g in layer.gradients]
        for w, m, v, g in zip(self.weights, self.mean, self.square, gradients, strict=True):
            m += (1 - c.beta1) * (g - m)
            v += (1 - c.beta2) * (g * g - v)
            w -= c.learning_rate * (m / (1 - c.beta1**self.t)) / (np.sqrt(v / (1 - c.beta2**self.t)) + 1e-8)


class Game(NamedTuple):
    """Both players and their optimisers."""

    discriminator: tuple[Hidden, Hidden, DiscriminatorOutput]
    generator: tuple[Hidden, Hidden, GeneratorOutput]
    adam_d: Adam
    adam_g: Adam

    def state(self) -> dict[str, list[Array]]:
        """Everything that training changes, by name."""
        players = {"discriminator": self.adam_d, "generator": self.adam_g}
        return {name: [*a.weights, *a.mean, *a.square, a.t] for name, a in players.items()}


def new_game(config: Config, side: int) -> Game:
    """Both networks before their first step, for images of side x side pixels."""
    rng, pixels = draws.generator(config.seed, draws.WEIGHTS), side**2
    g = Hidden(rng, config.latent_dim, 32), Hidden(rng, 32, 64), GeneratorOutput(rng, 64, pixels)
    d = Hidden(rng, pixels, 64), Hidden(rng, 64, 32), DiscriminatorOutput(rng, 32, 1)
    return Game(d, g, Adam(d, config), Adam(g, config))


def bytes_needed(config: Config, side: int, images: int = 0) -> int:
    """About how much memory training takes on this many `images` of side x side pixels, for `memory.require`.

    All numbers are float64.
    """
    latent, pixels, steps = config.latent_dim, side**2, min(config.eval_every, 500)
    weights = latent * 32 + 32 * 64 + 64 * pixels + pixels * 64 + 64 * 32
    fakes = max(config.log_samples, config.eval_samples, 256)
    drawn = config.batch * (steps * latent * 39 + 16 * (2 * 96 + 2 * pixels))  # latents; inputs and outputs of layers
    scored = fakes * (26 * latent + 8 * 96 + 40 * pixels)
    real = 16 * min(config.train_images, images) * pixels
    # Of each weight up to eight numbers: itself, its gradient, Adam's moments, and what a step computes in between;
    # of each step since the last record its losses.
    return 64 * weights + 300 * config.eval_every + max(drawn, scored) + real


def adversarial_step(game: Game, x: Array, z: Array) -> tuple[float, ...]:
    """One update of D, then one of G, on real images `x [pixels, B/2]` and latents `z [Z, B/2 + B]`.

    Returns D's error and accuracy on the fakes, then on the real images, then G's error; see `LOGGED`.
    """
    d, g, half = game.discriminator, game.generator, x.shape[1]
    fakes = forward(g, z[:, :half])
    t = np.repeat([[0.0, 1.0]], half, axis=1)  # the first half of the batch is fake, the second is real
    right = (forward(d, np.hstack([fakes, x])) > 0.5) == t
    errors = d[-1].error(t)
    backward(d, t)
    game.adam_d.step()

    fakes = forward(g, z[:, half:])
    forward(d, fakes)
    t = np.ones((1, 2 * half))  # what G wants D to say
    g_error = d[-1].error(t).mean()
    backward(g, backward(d, t))  # D passes the gradient down, and its own weights stay as they are
    game.adam_g.step()
    parts = (errors[:, :half], right[:, :half], errors[:, half:], right[:, half:])
    return *(float(part.mean()) for part in parts), float(g_error)


# ---------------------------------------------------------------------------------------------- training


def generate(game: Game, bits: Array) -> Array:
    """Latents as random bits `[n, Z]` -> fakes `[n, side, side]` in [0, 1]."""
    fakes = (forward(game.generator, draws.normal_from_bits(bits).T).T + 1) / 2
    side = round(fakes.shape[1] ** 0.5)
    return fakes.reshape(len(bits), side, side)


def distances(real: pictures.Images, fakes: Array) -> dict[str, float]:
    """How far the fakes are from real images; each floor is what real training images score in their place.

    The floors use as many training images as there are fakes, or all: with fewer of them the floor of `to_fake` is
    too high.
    `pixel_kl`: KL divergence of the grey levels, in nats. `to_real`: mean distance of a fake to the nearest test
    image, which is large for blur and noise. `to_fake`: mean distance of a test image to the nearest fake, which is
    large where digits are missing. Both distances are Euclidean, of images with pixels in [0, 1].
    """
    test = pictures.as_pixels(real.test)

    def measured(images: Array) -> dict[str, float]:
        return {
            "pixel_kl": image_metrics.pixel_kl(test, images, bins=8),  # the 8x8 digits have only 17 grey levels
            "to_real": float(image_metrics.nearest_neighbours(images, test)[0].mean()),
            "to_fake": float(image_metrics.nearest_neighbours(test, images)[0].mean()),
        }

    floors = measured(pictures.as_pixels(real.train[: len(fakes)]))
    return measured(fakes) | {f"{name}_floor": value for name, value in floors.items()}


def train(config: Config, run: runs.Run | None = None) -> runs.Trained:
    """Train both networks; every `eval_every` steps measure fakes, and keep a sheet from 256 fixed latents."""
    run, real = run or runs.Run(), pictures.load(config.data)
    side = pictures.square_side(real, config.data)
    memory.require(config, lambda config: bytes_needed(config, side, len(real.train)))
    run.keep_data(name=real.name, side=side, fingerprint=files.fingerprint(real))
    images = real.train[: config.train_images].reshape(-1, side**2).T / 127.5 - 1  # [pixels, N], as tanh in [-1, 1]
    game, half = new_game(config, side), config.batch // 2

    def batches(period: runs.Period) -> Iterator[tuple[Array, Array]]:
        """Real images `[pixels, B/2]` and latents `[Z, B/2 + B]` of every step: D's, then G's."""
        for chunk in period.chunks(500):
            chosen = draws.minibatch_indices(images.shape[1], config.seed, chunk.first, chunk.count, half)
            size = config.latent_dim * 3 * half
            bits = draws.random_bits(config.seed, draws.LATENT, chunk.first, chunk.count, size)
            z = draws.normal_from_bits(bits).reshape(-1, config.latent_dim, 3 * half)
            yield from zip((images[:, i] for i in chosen), z, strict=True)

    with run.training(game.state(), config, LOGGED) as periods:
        for period in periods:
            with np.errstate(all="ignore"):  # numbers that are not finite stop the run
                losses = run.collect(period, (adversarial_step(game, x, z) for x, z in batches(period)))  # [n, 5]
            bits = draws.latent_bits(config.seed, config.log_samples, config.latent_dim, 1 + period.last)
            fakes = generate(game, bits)
            run.require_finite(period, fakes)
            same_latents = draws.latent_bits(config.seed, 256, config.latent_dim)
            sheets.keep(run, period, generate(game, same_latents), columns=16)
            numbers = distances(real, fakes)
            run.record(period, losses, f"nearest real image to a fake {numbers['to_real']:.2f}", **numbers)
    return runs.Trained(config, real, game, run)


def evaluate(trained: runs.Trained) -> dict[str, Any]:
    """The final numbers: distances of the fakes with their floors, errors and accuracies of the last period."""
    config, record = trained.config, trained.run.records[-1] if trained.run.records else {}
    if "fake_accuracy" not in record:
        words = "its log holds no period of training; train on with --resume, and with a larger --steps if it is done"
        raise files.BadInput(f"{trained.run.folder}: {words}")
    fakes = generate(trained.game, draws.latent_bits(config.seed, config.eval_samples, config.latent_dim))
    result = {"data": trained.real.name, "seed": config.seed, "steps": config.steps}
    result |= {name: record[name] for name in LOGGED} | distances(trained.real, fakes)
    result["headline"] = (
        f"nearest real image to a fake {result['to_real']:.2f}, to a real one {result['to_real_floor']:.2f}; "
        f"D classifies {result['fake_accuracy']:.0%} of the fakes correctly"
    )
    return result


def figures(trained: runs.Trained, result: dict[str, Any], folder: Path) -> None:
    """samples, curves (.png) and training.gif."""
    fakes = generate(trained.game, draws.latent_bits(trained.config.seed, 256, trained.config.latent_dim))
    sheets.save(folder / "samples.png", fakes, 16, f"{len(fakes)} fakes, not selected")
    sheets.animation(folder / "training.gif", trained.run.snapshots, columns=16)
    plots.save(plots.errors_and_accuracies(trained.run.records), folder / "curves.png")


def load_generator(config: Config, run: runs.Run) -> Callable[[Array], Array]:
    """`generate` of a finished or interrupted run, without its data: latent bits `[n, Z]` -> images in [0, 1]."""
    game = new_game(config, run.data["side"])
    run.restore(game.state(), config, LOGGED)
    return partial(generate, game)


TABLE = cli.Table(
    cli.IMAGES,
    {
        "nearest real image to a fake": ("to_real", ".3f"),
        "nearest fake to a real image": ("to_fake", ".3f"),
        "pixel KL, nats": ("pixel_kl", ".4f"),
    },
)
RECIPES = {"stable": Config()}

if __name__ == "__main__":
    cli.main(__doc__, RECIPES, train, evaluate, figures, TABLE)
