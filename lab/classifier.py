"""A digit classifier, and the scores that it gives to images: its network, its training, its cache, `ImageScorer`.

How many different digits a generator makes, how often, and how far its images are from real ones: all of this is
measured by what the classifier sees in them, ten probabilities and the 64 numbers of its last hidden layer.
`digit_classifier(images)` trains one when it is first needed, and keeps its weights.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np
from scipy.special import softmax

import gan_core as core
import metrics
from gan_core import tf
from lab import cli, draws, files, image_metrics, memory, pictures, runs, screen

VERSION = 1  # of the network and its training; after a change, raise it, and kept classifiers are no longer used
FLOORS_VERSION = 3  # after a change of `scores` or `floors`, raise it, and kept floors are no longer used
LOGGED = ("loss", "train_accuracy")  # what the loop returns at each step, in this order

# Kernel side, channels, stride, pooling. The first layer has stride 2: with stride 1 all takes three times as long.
LAYERS = ((5, 24, 2, 1), (3, 32, 1, 2), (3, 64, 2, 1))
FEATURES = 64  # units of the hidden layer after the convolutions


# --------------------------------------------------------------------------------------------- the network


class Classifier(NamedTuple):
    """A trained classifier."""

    weights: core.Weights
    test_accuracy: float

    def classify(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Probabilities `[N, 10]` and features `[N, 64]`, float32, of images `[N, H, W]` in [0, 1]."""
        batches = [tf.constant(images[i : i + 500], tf.float32) for i in range(0, len(images), 500)]
        outputs = [network(batch, self.weights) for batch in batches]
        logits, features = (np.concatenate(part) for part in zip(*outputs, strict=True))
        return softmax(logits, axis=-1), features


def network(x: tf.Tensor, weights: core.Weights) -> tuple[tf.Tensor, tf.Tensor]:
    """Logits `[B, 10]` and features `[B, 64]` of images `[B, H, W]` in [0, 1], which may have any size."""
    *layers, (hidden, hidden_bias), (last, last_bias) = zip(weights[::2], weights[1::2], strict=True)
    h = x[..., None]  # [B, H, W, 1]
    for (kernel, bias), (_, _, stride, pool) in zip(layers, LAYERS, strict=True):
        h = tf.nn.conv2d(h, kernel, stride, "SAME")
        if pool > 1:  # before the bias and relu, with which it commutes: a quarter of the work
            h = tf.nn.max_pool2d(h, pool, pool, "SAME")
        h = tf.nn.relu(tf.nn.bias_add(h, bias))
    h = tf.reshape(h, (-1, hidden.shape[0]))  # [B, ceil(H/8) ceil(W/8) 64]
    features = tf.nn.relu(tf.matmul(h, hidden) + hidden_bias)
    return tf.matmul(features, last) + last_bias, features


def new_weights(seed: int, height: int, width: int) -> core.Weights:
    """Kernels N(0, 2 / fan in) (He et al. 2015) and zero biases: `[K1, b1, ..., W4, b4, W5, b5]`."""
    rng, channels = draws.generator(seed, draws.WEIGHTS), 1
    shapes: list[tuple[int, ...]] = []
    for side, outputs, stride, pool in LAYERS:
        shapes.append((side, side, channels, outputs))
        channels, height, width = outputs, -(-height // (stride * pool)), -(-width // (stride * pool))
    shapes += [(height * width * channels, FEATURES), (FEATURES, 10)]
    weights = []
    for shape in shapes:
        kernel = np.sqrt(2 / np.prod(shape[:-1])) * rng.standard_normal(shape)
        weights += [tf.Variable(kernel.astype(np.float32)), tf.Variable(tf.zeros(shape[-1]))]
    return weights


def accuracy_and_features(classifier: Classifier, x: np.ndarray, labels: np.ndarray) -> tuple[float, np.ndarray]:
    """Share of images `[n, H, W, 1]` in [0, 1] that are classified as their labels `[n]`; features `[n, 64]`."""
    probabilities, features = classifier.classify(x[..., 0])
    return float(np.mean(probabilities.argmax(-1) == labels)), features


# ---------------------------------------------------------------------------------------------- training

Part = Annotated[float, cli.Accepted("above 0 and below 1", lambda v: 0 < v < 1)]


@dataclass(frozen=True)
class Config:
    """Settings of training; the defaults are for MNIST, `SMALL` is for the 8x8 digits."""

    # data
    data: str | None = None  # .npz or folder of IDX files in MNIST's format, or `digits`: 8x8, no download
    shift: cli.Whole = 1  # training images move by at most this many pixels each way; 2 were no better in 5 epochs
    # training
    seed: cli.Seed = 0
    steps: cli.Count = 2400  # updates in total; 2400 are 5 epochs of MNIST, 600 are 50 epochs of the 8x8 digits
    batch: cli.Count = 128  # images in a step; the last batch of an epoch is filled up from its start
    learning_rate: cli.Rate = 3e-3  # of Adam, at its peak; .005 was no better
    warm_up: Part = 0.2  # share of the steps in which the learning rate rises; then it falls to 0
    # output
    eval_every: cli.Count = 600  # steps between records
    checkpoint_every: cli.Count = 600  # steps between checkpoints

    def __post_init__(self) -> None:
        cli.check(self)


SMALL = replace(Config(), steps=600)


class Learner(NamedTuple):
    """Everything that training changes."""

    player: core.Player
    step: tf.Variable


def train(config: Config, run: runs.Run | None = None, images: pictures.Images | None = None) -> runs.Trained:
    """Train on the images, by default those of the config; the result's `game` is the `Classifier`."""
    run, images = run or runs.Run(), images or pictures.load(config.data)
    height, width = images.train.shape[1:]
    if config.shift >= min(height, width):
        raise files.BadInput(f"--shift {config.shift}: expected less than the images' side, {min(height, width)}")
    memory.require(config, lambda config: bytes_needed(config, images))
    run.keep_data(name=images.name, height=height, width=width, fingerprint=files.fingerprint(images))
    places = shifted(images.train, config.shift)

    def step(learner: Learner, batch: dict[str, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
        player, labels = learner.player, tf.cast(batch["label"], tf.int32)
        learner.step.assign_add(1)
        with tf.GradientTape() as tape:
            logits, _ = network(tf.cast(batch["x"], tf.float32) / 255, player.weights)
            loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits))
        t = tf.cast(learner.step, tf.float32) / config.steps
        rate = tf.minimum(t / config.warm_up, (1 - t) / (1 - config.warm_up))  # one cycle (Smith and Topin 2018)
        gradients = tape.gradient(loss, player.weights)
        core.adam_update(player, gradients, learner.step, core.Adam(config.learning_rate), rate)
        correct = tf.argmax(logits, -1, tf.int32) == labels
        return loss, tf.reduce_mean(tf.cast(correct, tf.float32))

    def draw_batches(period: runs.Period) -> Iterator[dict[str, tf.Tensor]]:
        for chunk in period.chunks(50):
            chosen = draws.minibatch_indices(len(places), config.seed, chunk.first, chunk.count, config.batch)
            bits = draws.random_bits(config.seed, draws.SHIFT, chunk.first, chunk.count, 2 * config.batch)
            down, right = np.split(bits % (2 * config.shift + 1), 2, axis=-1)  # [n, B], as `chosen`
            x = places[chosen, down, right]  # uint8 [n, B, H, W]
            yield core.as_tensors({"x": x, "label": images.train_labels[chosen]})

    learner = Learner(core.new_player(new_weights(config.seed, height, width)), tf.Variable(0, dtype=tf.int64))
    loop = core.compiled_loop(step, jit_compile=False)  # XLA on a CPU needs 60 times as long for convolutions
    accuracy, test = np.nan, pictures.as_pixels(images.test)[..., None]
    trained = Classifier(learner.player.weights, accuracy)
    with run.training({"learner": learner}, config, LOGGED) as periods:
        batches = draws.prefetched(draw_batches, periods)
        for period in periods:
            losses = run.play(loop, [learner], batches, period)  # [n, 2]
            accuracy, _ = accuracy_and_features(trained, test, images.test_labels)
            run.record(period, losses, f"test accuracy {accuracy:.2%}", test_accuracy=accuracy)
    if np.isnan(accuracy):  # no step was left to play
        accuracy, _ = accuracy_and_features(trained, test, images.test_labels)
    return runs.Trained(config, images, trained._replace(test_accuracy=accuracy), run)


def bytes_needed(config: Config, images: pictures.Images) -> int:
    """About how much memory `train` takes, for `memory.require`."""
    count, height, width = images.train.shape
    pixels, units = height * width, sum(height * width // 4**k * c for k, (_, c, *_) in enumerate(LAYERS, start=1))
    return (
        memory.TENSORFLOW
        + memory.losses(config)
        + count * (height + 2 * config.shift) * (width + 2 * config.shift)  # with a frame, uint8
        + config.batch * 4 * 3 * units  # kept for the gradients
        + memory.drawn(min(config.eval_every, 50), config.batch * (pixels + 9))
        + len(images.test) * 8 * pixels  # float32, and as tensors
    )


def shifted(images: np.ndarray, shift: int) -> np.ndarray:
    """Every image at every place up to `shift` pixels away, a view `[N, 2 shift + 1, 2 shift + 1, H, W]`."""
    padded = np.pad(images, ((0, 0), (shift, shift), (shift, shift)))
    return np.lib.stride_tricks.sliding_window_view(padded, images.shape[1:], axis=(1, 2))


# ------------------------------------------------------------------------------------------------ the cache


def digit_classifier(images: pictures.Images, cache: Path | None = None) -> Classifier:
    """The classifier of these images: kept from an earlier call, or trained now and kept.

    `cache` is the folder to keep it in, by default $GAN_LABORATORY_CACHE or ~/.cache/gan-laboratory. Where nothing
    can be kept, or what is kept is damaged, the line that announces the training says so.
    """
    path = None
    try:
        folder = cache or files.cache_folder()
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"judge-{files.fingerprint(images)}-v{VERSION}.npz"  # so named since the first version
        return _kept(path, images)
    except FileNotFoundError:
        fate = f"once; kept in {path}"
        if not os.access(folder, os.W_OK):
            path, fate = None, f"each time, because {folder} may not be written"
    except files.NoRoom as error:
        path, fate = None, f"each time, because {path} cannot be read now ({error})"
    except ValueError as error:
        fate = f"again, because {path} is damaged ({error})"
    except (OSError, RuntimeError) as error:
        path, fate = None, f"each time, because it cannot be kept ({error})"
    config, duration = (Config(), "a minute or two") if len(images.train) >= 10_000 else (SMALL, "5 seconds")
    screen.say(f"training the digit classifier that all image metrics need: {duration}, {fate}")
    trained = train(config, runs.Run(progress_bar=True), images).game
    if path:
        try:
            with files.replacing(path) as temporary:
                arrays = {f"weight_{i}": w.numpy() for i, w in enumerate(trained.weights)}
                np.savez(temporary, test_accuracy=trained.test_accuracy, **arrays)
        except OSError as error:
            screen.say(f"the digit classifier cannot be kept ({error}): it will be trained again next time")
    return trained


def _kept(path: Path, images: pictures.Images) -> Classifier:
    """The classifier in a file; ValueError if the file is damaged or incomplete."""
    weights = new_weights(0, *images.train.shape[1:])
    shapes = {f"weight_{i}": tuple(w.shape) for i, w in enumerate(weights)} | {"test_accuracy": ()}
    arrays = files.read_npz(path, shapes)
    for name, shape in shapes.items():
        if arrays[name].shape != shape or arrays[name].dtype.kind != "f":
            raise ValueError(f"{name} is {arrays[name].dtype} {list(arrays[name].shape)}")
    *values, accuracy = arrays.values()
    for weight, value in zip(weights, values, strict=True):
        weight.assign(value)
    return Classifier(weights, float(accuracy))


# --------------------------------------------------------------------------------------------- the scores

ROWS = {  # label -> key and format, for the table at the end of a run
    "Frechet digit distance": ("frechet_digit_distance", ".2f"),
    "label KL, nats": ("label_kl", ".4f"),
    "pixel KL, nats": ("pixel_kl", ".4f"),
    "classifier at least 90% confident": ("confident_share", ".3f"),
    "different digits, of 10": ("digits", "d"),
    "precision": ("precision", ".3f"),
    "recall": ("recall", ".3f"),
    "Parzen log-likelihood, nats": ("parzen", ".1f"),
}


def headline(scores: dict[str, Any]) -> str:
    """The number that says most about a record or a result, beside its floor."""
    distance, floor = scores["frechet_digit_distance"], scores["frechet_digit_distance_floor"]
    return f"Frechet digit distance {distance:z.2f} (real training images {floor:z.2f})"


def scoring_memory(config: Any, side: int, images: int) -> int:
    """About how many bytes an `ImageScorer` takes for fakes of side x side pixels and this many real `images`."""
    fakes, train = max(config.log_samples, config.eval_samples), min(config.train_images, images)
    of_fake = 40 * side**2 + 2000 + 2 * config.latent_dim  # pixels, mostly as float64; features; random bits
    return fakes * of_fake + train * 13 * side**2  # float32 and float64, to find the nearest image


class ImageScorer:
    """Measures fakes against real test images; the numbers are explained in `image_metrics`.

    The floor of a number, `<name>_floor`, is what real training images score in place of the fakes: as many of them
    as there are, up to the number of fakes. That of the label KL alone is a perfect sampler's, on average, because
    the fakes' frequencies are compared with those of the labels that the GAN was trained on. A scorer of other images
    overrides `scores` and `floors`.

    Attributes:
        classifier: the digit classifier of the real images.
        features: what it sees in the test images, `[M, 64]`.
    """

    def __init__(self, real: pictures.Images, config: Any):
        """`config` holds `log_samples` and `eval_samples`, how many fakes there will be, and `train_images`."""
        self.real, self.config = real, config
        self.classifier = digit_classifier(real)
        self.test = pictures.as_pixels(real.test)
        self.labels = real.train_labels[: config.train_images]  # of the images that the GAN is trained on
        _, self.features = self.classifier.classify(self.test)

    def log(self, fakes: np.ndarray) -> dict[str, Any]:
        """The numbers of one record, with their floors, from fakes `[log_samples, side, side]` in [0, 1]."""
        return self.scores(fakes) | self._log_floors

    def final(self, fakes: np.ndarray, categories: np.ndarray | None = None) -> dict[str, Any]:
        """All numbers of result.json, with their floors, from fakes `[eval_samples, side, side]` in [0, 1].

        `categories`: which category of the latents each fake has; it adds `purity`.
        """
        scores = self.scores(fakes, final=True) | self.floors(self.config.eval_samples, final=True)
        if categories is not None:
            probabilities, _ = self.classifier.classify(fakes)
            scores["purity"] = image_metrics.purity(categories, probabilities.argmax(-1))
        return scores

    @cached_property
    def _log_floors(self) -> dict[str, Any]:
        return self.floors(self.config.log_samples)

    def scores(self, fakes: np.ndarray, final: bool = False) -> dict[str, Any]:
        """The numbers of images, without floors: half a second for 2000 of 28 x 28; `final` adds 4 s for 10,000."""
        probabilities, features = self.classifier.classify(fakes)
        digits = probabilities.argmax(-1)
        scores = {
            "frechet_digit_distance": image_metrics.frechet_digit_distance(self.features, features),
            "label_kl": image_metrics.label_kl(self.labels, digits),
            "pixel_kl": image_metrics.pixel_kl(self.test, fakes, self._grey_bins),
            "confident_share": image_metrics.confident_share(probabilities),
            "digits": len(np.unique(digits)),
        }
        if final:
            scores["precision"], scores["recall"] = image_metrics.precision_recall(self.features, features)
            scores |= self._parzen(fakes)
        return scores

    @cached_property
    def _grey_bins(self) -> int:
        """Bins of `pixel_kl`: few enough that every bin holds grey levels of real images; the 8x8 digits have 17."""
        return 32 if len(np.unique(self.real.test)) > 32 else 8

    def _parzen(self, images: np.ndarray) -> dict[str, float]:
        """Log-likelihood of the test images by a Parzen window of these; images of `_validation` choose its width."""
        first = self._validation
        validation = pictures.as_pixels(self.real.train[first : first + 1000])
        parzen = image_metrics.parzen_window(images, validation, self.test)
        return {
            "parzen": parzen.mean,
            "parzen_standard_error": parzen.standard_error,
            "parzen_sigma": parzen.sigma,
        }

    @property
    def _validation(self) -> int:
        """The first of the training images that set the Parzen width: of MNIST 50,000 (Goodfellow et al. 2014)."""
        return len(self.real.train) - len(self.real.train) // 6

    def floors(self, n: int, final: bool = False) -> dict[str, Any]:
        """The floors of `scores` of n fakes; they depend on real images alone, and are kept in the cache folder."""
        key = hashlib.sha256(f"{VERSION} {FLOORS_VERSION} {files.fingerprint(self.real)} {n} {final}".encode())
        key.update(np.bincount(self.labels, minlength=10).tobytes())
        for weight in self.classifier.weights:
            key.update(weight.numpy().tobytes())
        name = f"floors-{key.hexdigest()[:16]}.json"
        with contextlib.suppress(OSError, RuntimeError, ValueError):  # absent, damaged, or there is no folder
            floors, whole = files.read_checked_json(files.cache_folder() / name)
            if whole:
                return floors
        floors = self._computed_floors(n, final)
        with contextlib.suppress(OSError, RuntimeError):
            files.write_checked_json(files.cache_folder() / name, floors)
        return floors

    def _computed_floors(self, n: int, final: bool) -> dict[str, Any]:
        floors = self.scores(pictures.as_pixels(self.real.train[:n]), final)
        class_frequencies = np.bincount(self.labels, minlength=10) / len(self.labels)
        floors["label_kl"] = metrics.kl_floor(class_frequencies, n).mean
        if final and n > self._validation:  # no image may be among those that choose the window's width
            floors |= self._parzen(pictures.as_pixels(self.real.train[: self._validation]))
        floors = {f"{name}_floor": value for name, value in floors.items()}
        if final:
            floors["frechet_digit_distance_floor_train"] = self._frechet_of_training_images(n)
        return floors

    def _frechet_of_training_images(self, n: int) -> float:
        """The distance of n training images from n others, or of the two halves of fewer than 2 n.

        Test images may differ a little from training images; the floor holds this shift, and this number does not.
        """
        n = min(n, len(self.real.train) // 2)
        first, second = (pictures.as_pixels(self.real.train[i : i + n]) for i in (0, n))
        features = (self.classifier.classify(images)[1] for images in (first, second))
        return image_metrics.frechet_digit_distance(*features)

    def nearest_real(self, fakes: np.ndarray) -> np.ndarray:
        """The training image that is nearest to each fake, `[n, side, side]` in [0, 1]: is it memorised?"""
        train = self.real.train[: self.config.train_images]
        parts = np.array_split(train, -(-len(train) // 5000))  # all of them as float64 would take 300 MB
        found = [image_metrics.nearest_neighbours(fakes, pictures.as_pixels(part)) for part in parts]
        of_part = np.stack([distances for distances, _ in found]).argmin(axis=0)  # [n]
        return pictures.as_pixels(np.stack([parts[p][found[p][1][k]] for k, p in enumerate(of_part)]))
