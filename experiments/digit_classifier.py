"""A small convolutional network tells digits apart: the judge that every image metric needs.

How many digits a generator makes, how often, and how far its images are from real ones are judged by what this
classifier sees in them: ten probabilities, and the 64 numbers of its last hidden layer.

    python experiments/digit_classifier.py                                  MNIST: 99.3% right, in one to two minutes
    python experiments/digit_classifier.py --data digits --recipe small     8x8 digits: 99%, seconds, no download
    python experiments/digit_classifier.py --data FOLDER                    Fashion-MNIST or KMNIST as IDX files

Other scripts call `judge_for(images)`, which trains once and keeps the weights.
"""

import os
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from matplotlib.figure import Figure
from rich.progress import Progress
from scipy.special import softmax

import gan_core as core
import gan_data as data
import gan_runs as runs
from gan_core import tf
from gan_images import load, parameters

EXPERIMENT = "digit_classifier"
VERSION = 1  # of network and training: with a new one, kept judges are no longer used

# Kernel side, channels, stride, pooling. The first layer has stride 2: unstrided it takes a third of all the time.
LAYERS = ((5, 24, 2, 1), (3, 32, 1, 2), (3, 64, 2, 1))
FEATURES = 64  # units of the hidden layer behind them


@dataclass(frozen=True)
class Config:
    """Settings of training; the network is the same for images of every size."""

    recipe: Literal["large", "small"] = "large"  # sets the defaults of the other flags
    data: str | None = None  # .npz or folder of IDX files in MNIST's format, or `digits`; MNIST by default
    seed: int = 0
    steps: int = 2400  # 5 epochs of MNIST
    batch: int = 128  # images a step; an epoch's last batch is filled up from its start
    eval_every: int = 200  # steps between records
    checkpoint_every: int = 400  # steps between checkpoints
    learning_rate: float = 3e-3  # of Adam, at its peak; .005 was no better
    warm_up: float = 0.2  # share of the steps in which the rate rises; then it falls to 0, no averaging needed
    shift: int = 1  # pixels at most that training images move by, each way; 2 were no better in 5 epochs

    def checked(self) -> "Config":
        """The same; BadInput for a value that cannot work."""
        runs.require(self, "steps batch eval_every checkpoint_every", "at least 1", lambda v: v >= 1)
        runs.require(self, "seed", "at least 0 and below 2^31", lambda v: 0 <= v < 2**31)
        runs.require(self, "learning_rate", "above 0", lambda v: 0 < v < np.inf)
        runs.require(self, "warm_up", "above 0 and below 1", lambda v: 0 < v < 1)
        side = min(load(self.data).train.shape[1:])
        runs.require(self, "shift", f"at least 0 and below the images' side, {side}", lambda v: 0 <= v < side)
        return self


SMALL = replace(Config(), recipe="small", steps=600)  # 50 epochs of the 8x8 digits
RECIPES = {"large": Config(), "small": SMALL}


class Learner(NamedTuple):
    """All that training changes."""

    player: core.Player
    step: tf.Variable


class Judge(NamedTuple):
    """A trained classifier."""

    weights: list[tf.Variable]
    test_accuracy: float

    def verdicts(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Probabilities `[N, 10]` and features `[N, 64]`, float32, of images `[N, H, W]` in [0, 1]."""
        batches = [tf.constant(images[i : i + 500], tf.float32) for i in range(0, len(images), 500)]
        seen = [network(batch, self.weights) for batch in batches]
        logits, features = (np.concatenate(part) for part in zip(*seen, strict=True))
        return softmax(logits, axis=-1), features


def network(x: tf.Tensor, weights: core.Weights) -> tuple[tf.Tensor, tf.Tensor]:
    """Logits `[B, 10]` and features `[B, 64]` of images `[B, H, W]` in [0, 1]."""
    *layers, (hidden, hidden_bias), (last, last_bias) = zip(weights[::2], weights[1::2], strict=True)
    h = x[..., None]  # [B, H, W, 1]
    for (kernel, bias), (_, _, stride, pool) in zip(layers, LAYERS, strict=True):
        h = tf.nn.conv2d(h, kernel, stride, "SAME")
        if pool > 1:  # before the bias and relu, which commute with it: a quarter of the work
            h = tf.nn.max_pool2d(h, pool, pool, "SAME")
        h = tf.nn.relu(tf.nn.bias_add(h, bias))
    h = tf.reshape(h, (-1, hidden.shape[0]))  # [B, H/8 * W/8 * 64]
    features = tf.nn.relu(tf.matmul(h, hidden) + hidden_bias)
    return tf.matmul(features, last) + last_bias, features


def new_weights(seed: int, height: int, width: int) -> core.Weights:
    """Kernels N(0, 2 / fan in) (He et al. 2015) and zero biases: `[K1, b1, ..., W4, b4, W5, b5]`."""
    rng, channels, shapes = data.generator(seed, data.WEIGHTS), 1, []
    for side, outputs, stride, pool in LAYERS:
        shapes.append((side, side, channels, outputs))
        channels, height, width = outputs, -(-height // (stride * pool)), -(-width // (stride * pool))
    shapes += [(height * width * channels, FEATURES), (FEATURES, 10)]
    weights = []
    for shape in shapes:
        kernel = np.sqrt(2 / np.prod(shape[:-1])) * rng.standard_normal(shape)
        weights += [tf.Variable(kernel.astype(np.float32)), tf.Variable(tf.zeros(shape[-1]))]
    return weights


def new_learner(seed: int, height: int, width: int) -> Learner:
    """A classifier that has seen nothing yet."""
    return Learner(core.new_player(new_weights(seed, height, width)), tf.Variable(0, dtype=tf.int64))


def new_loop(config: Config) -> Callable:
    """The loop `(learner, batches) -> [n, 2]`, cross-entropy and accuracy on each batch, in graph mode."""

    def step(learner, batch):
        player, labels = learner.player, tf.cast(batch["label"], tf.int32)
        learner.step.assign_add(1)
        with tf.GradientTape() as tape:
            logits, _ = network(tf.cast(batch["x"], tf.float32) / 255, player.weights)
            loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits))
        t = tf.cast(learner.step, tf.float32) / config.steps
        rate = tf.minimum(t / config.warm_up, (1 - t) / (1 - config.warm_up))  # one cycle (Smith and Topin 2018)
        core.adam_update(
            player, tape.gradient(loss, player.weights), learner.step, core.Adam(config.learning_rate), rate
        )
        right = tf.argmax(logits, -1, tf.int32) == labels
        return loss, tf.reduce_mean(tf.cast(right, tf.float32))

    return core.compiled_loop(step, jit_compile=False)  # XLA on a CPU needs 60 times as long for convolutions


def shifted(images: np.ndarray, shift: int) -> np.ndarray:
    """Every image at every place up to `shift` pixels away, a view `[N, 2 shift + 1, 2 shift + 1, H, W]`."""
    padded = np.pad(images, ((0, 0), (shift, shift), (shift, shift)))
    return np.lib.stride_tricks.sliding_window_view(padded, images.shape[1:], axis=(1, 2))


def train(config: Config, run: runs.Run | None = None, images: data.Images | None = None) -> Judge:
    """Train on the images, by default those of the config; every `eval_every` steps look at the test set."""
    run, images = run or runs.Run(), images or load(config.data)
    learner, loop = new_learner(config.seed, *images.train.shape[1:]), new_loop(config)
    places = shifted(images.train, config.shift)

    def draw(chunk):
        chosen = data.image_minibatches(len(places), config.seed, *chunk, config.batch)  # [n, B]
        bits = data.random_bits(config.seed, data.SHIFT, *chunk, 2 * config.batch)
        down, right = np.split(bits % (2 * config.shift + 1), 2, axis=-1)  # [n, B]
        return {
            "x": tf.constant(places[chosen, down, right]),  # uint8 [n, B, H, W]
            "label": tf.constant(images.train_labels[chosen]),
        }

    every, steps = config.eval_every, config.steps
    loop.get_concrete_function(learner, draw((0, min(every, steps))))  # traced before the clock runs
    with run.training({"learner": learner}, steps) as done:
        chunks = [(i, min(every, steps - i)) for i in range(done, steps, every)]
        for (first, count), batches in zip(chunks, data.prefetched(draw, chunks), strict=True):
            with run.timed():
                losses = loop(learner, batches).numpy()  # [n, 2]
            if not np.isfinite(losses).all():
                run.stop(f"step {first + 1 + np.argmin(np.isfinite(losses).all(-1))}: the loss is not finite")
            (loss, share), test = losses.mean(axis=0).tolist(), accuracy(learner.player.weights, images)
            record = {"step": first + count, "loss": loss, "train_accuracy": share, "test_accuracy": test}
            run.record(record, f"test accuracy {test:.2%}")
            run.checkpoint(first + count)
    return Judge(learner.player.weights, accuracy(learner.player.weights, images))


def accuracy(weights: core.Weights, images: data.Images) -> float:
    """Share of the test images that are classified right."""
    probabilities, _ = Judge(weights, np.nan).verdicts(data.as_pixels(images.test))
    return float(np.mean(probabilities.argmax(-1) == images.test_labels))


# ------------------------------------------------------------------------------------------- a judge to keep


def judge_for(images: data.Images, cache: Path | None = None, quiet: bool = False) -> Judge:
    """The judge of these images: kept from an earlier call, or trained now and kept.

    Args:
        cache: folder to keep it in; by default $GAN_LABORATORY_CACHE or ~/.cache/gan-laboratory.
        quiet: no word about training.
    """
    path = (cache or _cache_folder()) / f"judge-{data.fingerprint(images)}-v{VERSION}.npz"
    say = (lambda text: None) if quiet else runs.say
    try:
        return _kept(path, images)
    except FileNotFoundError:
        pass
    except (OSError, ValueError, TypeError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        say(f"{path} is damaged ({error}): training its judge again")
    config, time_needed = (Config(), "a minute or two") if len(images.train) >= 10_000 else (SMALL, "5 seconds")
    say(f"training the judge, a digit classifier that all image metrics need: {time_needed}, once; kept in {path}")
    with Progress(console=runs.console, transient=True, disable=quiet or not runs.console.is_terminal) as bar:
        judge = train(config, _Shown(bar), images)
    try:
        with runs.replacing(path) as temporary:
            arrays = {f"weight_{i}": w.numpy() for i, w in enumerate(judge.weights)}
            np.savez(temporary, test_accuracy=judge.test_accuracy, **arrays)
    except OSError as error:
        say(f"{path} cannot be written ({error.strerror}): the judge will be trained again next time")
    return judge


class _Shown(runs.Run):
    """A run in memory that moves a progress bar."""

    def __init__(self, bar: Progress):
        super().__init__()
        self._bar, self._task = bar, bar.add_task("training", total=1)

    def record(self, record: dict[str, Any], headline: str = "") -> None:
        super().record(record, headline)
        self._bar.update(self._task, completed=record["step"] / self.steps, description=headline)


def _cache_folder() -> Path:
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(os.environ.get("GAN_LABORATORY_CACHE") or home / "gan-laboratory")


def _kept(path: Path, images: data.Images) -> Judge:
    """The judge in a file; an error of NumPy's, or ValueError, if it is not whole."""
    weights = new_weights(0, *images.train.shape[1:])
    with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:  # NumPy leaves a damaged one open
        for i, weight in enumerate(weights):
            weight.assign(file[f"weight_{i}"])
        return Judge(weights, float(file["test_accuracy"]))


# ------------------------------------------------------------------------------------------- the experiment


def mistakes(judge: Judge, images: data.Images) -> Figure:
    """The 40 test images that the judge is most wrongly sure of: `label > verdict`."""
    import gan_plots as plots

    probabilities, _ = judge.verdicts(data.as_pixels(images.test))
    verdict, wrong = probabilities.argmax(-1), probabilities.argmax(-1) != images.test_labels
    worst = np.argsort(np.where(wrong, -probabilities.max(-1), 0), kind="stable")[: min(40, wrong.sum())]
    rows = max(1, -(-len(worst) // 10))
    fig, axes = plots.figure(rows, 10, 8, 0.5 + 0.95 * rows)
    for ax in axes.flat:
        ax.axis("off")
    for ax, i in zip(axes.flat, worst, strict=False):
        ax.imshow(images.test[i], cmap="gray_r")
        ax.set_title(f"{images.test_labels[i]} > {verdict[i]}", fontsize="small", pad=2)
    fig.suptitle(f"label > verdict: {len(worst)} of {wrong.sum()} mistakes on {len(wrong)} test images, surest first")
    return fig


def train_and_report(config: Config, run: runs.Run) -> None:
    """The whole experiment: train, draw, tell."""
    import gan_plots as plots  # here: seaborn takes seconds to import, and a wrong flag should not wait for it

    images = load(config.data)
    judge = train(config, run, images)
    plots.save(mistakes(judge, images), run.folder / "figures" / "mistakes.png")
    n, p = len(images.test), judge.test_accuracy
    result = run.finish(
        {
            "experiment": EXPERIMENT,
            "recipe": config.recipe,
            "data": images.name,
            "steps": config.steps,
            "test_accuracy": p,
            "test_accuracy_floor": 1.0,  # what a perfect classifier gets
            "test_accuracy_standard_error": float(np.sqrt(p * (1 - p) / n)),
            "parameters": parameters(judge.weights),
        }
    )
    error = result["test_accuracy_standard_error"]
    runs.say(f"{run.folder}: mistakes.png in figures/, every number in result.json and log.jsonl")
    runs.say(
        f"{p:.2%} of {n} test images right, standard error {error:.2%}; {result['train_seconds']:.1f} s of training"
    )


if __name__ == "__main__":
    runs.command_line(EXPERIMENT, RECIPES, train_and_report, __doc__)
