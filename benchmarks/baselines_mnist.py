"""What methods without a GAN score on MNIST, by the metrics of the GANs: rows of docs/results/mnist.md.

Each method makes 10,000 images from the first 50,000 training images; the next 1000 choose the window of the KDE.
Its result is kept in docs/results/runs/quality_mnist/, and a method whose result is there is not run again.
"""

import functools
import sys
import time
from collections.abc import Callable

import numpy as np
from sklearn.cluster import KMeans
from study import KEPT, note_commits

from experiments import mnist_mlp
from lab import classifier, files, image_metrics, pictures, storage

COUNT = 10_000  # images of each method, as many as fakes of a GAN


def gaussian(train: np.ndarray, validation: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Images from the normal distribution with the mean and the covariance of all pixels."""
    mean, covariance = image_metrics.gaussian_moments(train)
    return rng.multivariate_normal(mean, covariance, COUNT, method="eigh")  # some pixels are black in every image


def kernel_density(train: np.ndarray, validation: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Training images with normal noise, as wide as the Parzen window that fits `validation` best."""
    chosen = train[rng.choice(len(train), COUNT, replace=False)]
    sigmas = image_metrics.PARZEN_SIGMAS
    fits = image_metrics.parzen_log_likelihood(chosen, validation[:1000], sigmas).mean(axis=1)
    return chosen + sigmas[fits.argmax()] * rng.standard_normal(chosen.shape)


def k_means(train: np.ndarray, validation: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """All centres of 10,000 clusters: means of five images on average, after five iterations from random images."""
    return KMeans(COUNT, init="random", n_init=1, max_iter=5, random_state=0).fit(train).cluster_centers_


def real(train: np.ndarray, validation: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The first training images themselves."""
    return train[:COUNT]


Method = Callable[[np.ndarray, np.ndarray, np.random.Generator], np.ndarray]
METHODS: dict[str, Method] = {
    "Gaussian in pixel space": gaussian,
    "KDE: training images and noise": kernel_density,
    "10,000 k-means centres": k_means,
    "real training images": real,
}


@functools.cache
def scorer() -> classifier.ImageScorer:
    """What measures the GANs' fakes, too."""
    return classifier.ImageScorer(pictures.load(None), mnist_mlp.Config(eval_samples=COUNT))


def result(method: Method) -> dict:
    """The scores of a method with their floors, as in a GAN's result.json; made if they are not there yet."""
    folder = KEPT / "quality_mnist" / f"baseline-{method.__name__}"
    if not (folder / "result.json").exists():
        print(folder, file=sys.stderr)
        train = pictures.as_pixels(scorer().real.train)
        pixels, known = train.reshape(len(train), -1), len(train) - len(train) // 6
        started = time.process_time()
        images = method(pixels[:known], pixels[known:], np.random.default_rng(0)).clip(0, 1)
        seconds = time.process_time() - started
        folder.mkdir(parents=True, exist_ok=True)
        files.write_json(folder / "config.json", storage.provenance())
        scores = scorer().final(images.reshape(-1, *train.shape[1:]))
        files.write_json(folder / "result.json", {"cpu_seconds": seconds} | scores)
    note_commits(folder)
    return files.read_json(folder / "result.json")
