"""A generative adversarial network with its gradients written by hand: NumPy alone, no TensorFlow.

G: latent - 32 - 64 - pixels draws; D: pixels - 64 - 32 - 1 says how probably an image is real. D learns from half a
batch of fakes (target t = 0) and half a batch of real images (t = 1); G from a whole batch that D, not updated, is
to take for real (t = 1). Samples are columns: a layer is y = f(W x + b) on x `[in, B]`, as on the blackboard.

The chain rule, once for each kind of layer. Write a = W x + b, y = f(a), and delta = dE/da for the error E. Then

    dE/dW = delta x^T        since dE/dW_ij = sum over the batch of delta_i x_j: the layer's INPUT belongs here
    dE/db = sum of delta     over the batch
    dE/dx = W^T delta        which is dE/dy of the layer below

and only delta differs:

    hidden, y = max(0, a)            delta = dE/dy  where y > 0, else 0
    G's last, y = tanh a             delta = dE/dy (1 - y^2)              because tanh' = 1 - tanh^2
    D's last, y = 1 / (1 + e^-a)     delta = (y - t) / B
        with E = -mean(t log y + (1 - t) log(1 - y)): dE/dy = (y - t) / (y (1 - y)) / B, and dy/da = y (1 - y).

(The tutorial that this follows multiplies D's transposed weights by delta where the first line has the input.)

    python experiments/numpy_gan.py                  8x8 digits: ten to twenty seconds
    python experiments/numpy_gan.py --data mnist     28x28, three times as long

MNIST comes from the file that MNIST_NPZ names; without it Keras fetches it, and brings TensorFlow along, unused.
"""

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
from scipy.special import ndtri

import gan_data as data
import gan_images as images
import gan_runs as runs
import metrics

EXPERIMENT = "numpy_gan"
Array = np.ndarray


@dataclass(frozen=True)
class Config(images.ImageConfig):
    """Settings."""

    recipe: Literal["stable"] = "stable"
    data: str | None = "digits"  # 8x8, in scikit-learn's wheel; `mnist`, .npz, or folder of IDX files
    steps: int = 10_000
    batch: int = 64
    eval_every: int = 500
    eval_samples: int = 1000
    log_samples: int = 500
    checkpoint_every: int = 2000
    latent_dim: int = 32  # z is standard normal
    learning_rate: float = 1e-3  # of both players' Adam
    beta1: float = 0.5  # DCGAN; .9 oscillates
    beta2: float = 0.999

    def checked(self) -> "Config":
        """As `ImageConfig.checked`; half of a batch is real."""
        runs.require(self, "batch", "an even number from 2 on", lambda v: v >= 2 and v % 2 == 0)
        runs.require(self, "latent_dim", "at least 1", lambda v: v >= 1)
        runs.require(self, "learning_rate", "above 0", lambda v: 0 < v < np.inf)
        runs.require(self, "beta1 beta2", "at least 0 and below 1", lambda v: 0 <= v < 1)
        return super().checked()


# ------------------------------------------------------------------------------------- layers, by hand


class Layer:
    """y = f(W x + b); `backward` leaves dE/dW and dE/db in `gradients` and returns dE/dx."""

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
    def f(self, a: Array) -> Array:
        return np.maximum(0, a)

    def delta(self, dE_dy: Array) -> Array:
        return dE_dy * (self.y > 0)


class GeneratorOutput(Layer):
    def f(self, a: Array) -> Array:
        return np.tanh(a)

    def delta(self, dE_dy: Array) -> Array:
        return dE_dy * (1 - self.y**2)


class DiscriminatorOutput(Layer):
    def f(self, a: Array) -> Array:
        self.a = a
        return 0.5 * (1 + np.tanh(a / 2))  # the sigmoid, for any a

    def delta(self, t: Array) -> Array:  # from above comes the target, not a gradient
        return (self.y - t) / t.shape[1]

    def error(self, t: Array) -> Array:
        """-(t log y + (1 - t) log(1 - y)) of each sample, exact for every a."""
        return np.logaddexp(0, self.a) - t * self.a


def forward(network: list[Layer], x: Array) -> Array:
    for layer in network:
        x = layer.forward(x)
    return x


def backward(network: list[Layer], from_above: Array) -> Array:
    for layer in reversed(network):
        from_above = layer.backward(from_above)
    return from_above


# ------------------------------------------------------------------------------------- the game


class Adam:
    """Adam on one network's weights, in place (Kingma and Ba 2015, algorithm 1)."""

    def __init__(self, network: list[Layer], config: Config):
        self.network, self.config = network, config
        self.weights = [w for layer in network for w in (layer.W, layer.b)]
        self.mean, self.square = ([np.zeros_like(w) for w in self.weights] for _ in range(2))
        self.t = np.zeros(1)

    def step(self) -> None:
        self.t += 1
        c = self.config
        gradients = [g for layer in self.network for g in layer.gradients]
        for w, m, v, g in zip(self.weights, self.mean, self.square, gradients, strict=True):
            m += (1 - c.beta1) * (g - m)
            v += (1 - c.beta2) * (g * g - v)
            w -= c.learning_rate * (m / (1 - c.beta1**self.t)) / (np.sqrt(v / (1 - c.beta2**self.t)) + 1e-8)


class Game(NamedTuple):
    """Both players and their optimisers."""

    discriminator: list[Layer]
    generator: list[Layer]
    adam_d: Adam
    adam_g: Adam

    def state(self) -> dict[str, list[Array]]:
        """All that training changes, by name."""
        players = {"discriminator": self.adam_d, "generator": self.adam_g}
        return {name: [*a.weights, *a.mean, *a.square, a.t] for name, a in players.items()}


def new_game(config: Config) -> Game:
    """Both networks before their first step."""
    rng, pixels = data.generator(config.seed, data.WEIGHTS), config.side**2
    g = [Hidden(rng, config.latent_dim, 32), Hidden(rng, 32, 64), GeneratorOutput(rng, 64, pixels)]
    d = [Hidden(rng, pixels, 64), Hidden(rng, 64, 32), DiscriminatorOutput(rng, 32, 1)]
    return Game(d, g, Adam(d, config), Adam(g, config))


def adversarial_step(game: Game, x: Array, z: Array) -> list[float]:
    """D's step, then G's: real images `x [pixels, B/2]`, latents `z [Z, B/2 + B]`.

    Returns D's error and accuracy on the fakes, then on the real images, then G's error.
    """
    d, g, half = game.discriminator, game.generator, x.shape[1]
    fakes = forward(g, z[:, :half])
    t = np.repeat([[0.0, 1.0]], half, axis=1)  # half fakes, half real
    right = (forward(d, np.hstack([fakes, x])) > 0.5) == t
    errors = d[-1].error(t)
    backward(d, t)
    game.adam_d.step()

    fakes = forward(g, z[:, half:])
    forward(d, fakes)
    t = np.ones((1, 2 * half))  # what G wants D to say
    g_error = d[-1].error(t).mean()
    backward(g, backward(d, t))  # D only hands the gradient down: its weights stay
    game.adam_g.step()
    parts = (errors[:, :half], right[:, :half], errors[:, half:], right[:, half:])
    return [*(float(part.mean()) for part in parts), float(g_error)]


RECORDED = ("fake_error", "fake_accuracy", "real_error", "real_accuracy", "generator_error")


# ------------------------------------------------------------------------------------- training


class Trained(NamedTuple):
    """What training leaves behind, for the report and the pictures."""

    config: Config
    images: data.Images
    records: list[dict]
    game: Game
    sheets: list[tuple[int, Array]]


def latents(bits: Array) -> Array:
    """Standard normal numbers from uniform 16-bit integers."""
    return ndtri((bits + 0.5) / 65536)


def generate(game: Game, bits: Array) -> Array:
    """Latent bits `[n, Z]` -> fakes `[n, side, side]` in [0, 1]."""
    fakes = (forward(game.generator, latents(bits).T).T + 1) / 2
    return fakes.reshape(len(bits), *2 * [round(fakes.shape[1] ** 0.5)])


def distances(config: Config, real: data.Images, fakes: Array) -> dict[str, float]:
    """How far fakes are from real images, each with the same number for real training images in their place.

    `pixel_kl`: KL of the grey levels, nats. `to_real`: mean distance of a fake to the nearest test image, large for
    blur and noise. `to_fake`: mean distance of a test image to the nearest fake, large where digits are missing.
    """
    test = data.as_pixels(real.test)

    def measured(images):
        return {
            "pixel_kl": metrics.pixel_kl(test, images, bins=8),  # the 8x8 digits have 17 grey levels
            "to_real": float(metrics.nearest_neighbours(images, test)[0].mean()),
            "to_fake": float(metrics.nearest_neighbours(test, images)[0].mean()),
        }

    floors = measured(data.as_pixels(images.training_images(config, real)[: len(fakes)]))
    return measured(fakes) | {f"{name}_floor": value for name, value in floors.items()}


def train(config: Config, run: runs.Run | None = None) -> Trained:
    """Train; every `eval_every` steps record errors and accuracies, and measure and keep fakes."""
    run, real = run or runs.Run(), images.load(config.data)
    rows = images.training_images(config, real).reshape(-1, config.side**2).T / 127.5 - 1  # [pixels, N]
    game, half = new_game(config), config.batch // 2
    watched = images.latent_bits(config.seed, 256, config.latent_dim)
    sheets = images.Sheets(run.folder, columns=16)

    def look(step: int) -> dict[str, Any]:
        sheets.add(step, generate(game, watched))
        bits = images.latent_bits(config.seed, config.log_samples, config.latent_dim, 1 + step)
        return {"step": step} | distances(config, real, generate(game, bits))

    def draw(first: int, count: int) -> tuple[Array, Array]:
        chosen = data.image_minibatches(rows.shape[1], config.seed, first, count, half)
        bits = data.random_bits(config.seed, data.LATENT, first, count, 3 * half * config.latent_dim)
        return chosen, latents(bits).reshape(count, config.latent_dim, 3 * half)

    with run.training(game.state(), config.steps, runs.ArrayCheckpoints) as done:
        sheets.forget_after(done)
        if done == 0:
            run.record(look(0))
        for first in range(done, config.steps, config.eval_every):
            last = min(first + config.eval_every, config.steps)
            with run.timed():
                chosen, z = draw(first, last - first)
                steps = np.array([adversarial_step(game, rows[:, i], z) for i, z in zip(chosen, z, strict=True)])
            run.require_finite(steps[..., None], first, [config.seed], RECORDED)
            record = look(last) | dict(zip(RECORDED, steps.mean(0).tolist(), strict=True))
            run.record(
                record, f"D right on {record['fake_accuracy']:.0%} of fakes, {record['real_accuracy']:.0%} of real"
            )
            run.checkpoint(last)
    return Trained(config, real, run.records, game, sheets.kept)


# ------------------------------------------------------------------------------------- report


ROWS = {
    "nearest real image to a fake": ("to_real", ".3f"),
    "nearest fake to a real image": ("to_fake", ".3f"),
    "pixel KL, nats": ("pixel_kl", ".4f"),
}


def train_and_report(config: Config, run: runs.Run) -> None:
    """Train, measure, draw, tell."""
    import gan_plots as plots  # seaborn takes seconds to import

    trained = train(config, run)
    fakes = generate(trained.game, images.latent_bits(config.seed, config.eval_samples, config.latent_dim))
    last = {name: trained.records[-1][name] for name in RECORDED}
    head = {"experiment": EXPERIMENT, "recipe": config.recipe, "data": trained.images.name, "seed": config.seed}
    result = head | {"steps": config.steps} | last | distances(config, trained.images, fakes)
    folder = run.folder / "figures"
    plots.save_sheet(folder / "samples.png", fakes[:256], columns=16)
    plots.sheet_animation(folder / "training.gif", trained.sheets, columns=16)
    plots.save(plots.errors_and_accuracies(trained.records), folder / "curves.png")
    result = run.finish(result)
    images.show_table(result, ROWS)
    runs.say(f"{run.folder}: pictures in figures/, sheets in samples/, every number in result.json and log.jsonl")
    runs.say(
        f"nearest real image to a fake {result['to_real']:.2f}, to a real one {result['to_real_floor']:.2f}; "
        f"D is right on {result['fake_accuracy']:.0%} of fakes. {result['train_seconds']:.0f} s of training"
    )


RECIPES = {"stable": Config()}

if __name__ == "__main__":
    runs.command_line(EXPERIMENT, RECIPES, train_and_report, __doc__)
