"""Methods without a GAN: that each draws from what it says, and that a kept result is not made again."""

from unittest.mock import Mock

import baselines_mnist as baselines
import numpy as np
import pytest
import study

from experiments import mnist_mlp
from lab import classifier, files, image_metrics, pictures

RNG = np.random.default_rng(0)
TRAIN = RNG.random((500, 1)) * RNG.random((500, 6))  # rows of six pixels that depend on each other
TRAIN[:, 5] = 0  # black everywhere, as MNIST's corners


def test_gaussian_has_mean_and_covariance_of_the_training_images():
    drawn = baselines.gaussian(TRAIN, TRAIN, np.random.default_rng(1))
    assert drawn.shape == (10_000, 6) and np.abs(drawn[:, 5]).max() < 1e-6
    mean, covariance = TRAIN.mean(0), np.cov(TRAIN.T)
    sd = np.sqrt(np.diag(covariance))
    assert (np.abs(drawn.mean(0) - mean) <= 5 * sd / 100 + 1e-9).all()  # standard error: sd / sqrt(10,000)
    errors = np.abs(np.cov(drawn.T) - covariance)
    assert (errors <= 5 * np.sqrt(2) * np.outer(sd, sd) / 100 + 1e-9).all()  # at most sqrt(2) sd sd' / sqrt(n)


def test_kernel_density_adds_noise_of_the_width_that_fits_validation_images_best(monkeypatch):
    """Validation images are training images with noise of .6: .599 is a width of the grid, between .46 and .77."""
    monkeypatch.setattr(baselines, "COUNT", 500)
    train = 100.0 * np.arange(500)[:, None] + np.zeros((1, 30))  # so far apart that each image shows its origin
    drawn = baselines.kernel_density(train, train + 0.6 * RNG.standard_normal(train.shape), np.random.default_rng(1))
    origins = np.rint(drawn / 100).astype(int)
    assert (origins == origins[:, :1]).all() and len(set(origins[:, 0])) == 500  # each image once
    noise = drawn - 100 * origins
    assert noise.std() == pytest.approx(image_metrics.PARZEN_SIGMAS[7], rel=5 / np.sqrt(2 * noise.size))


def test_k_means_centres_are_means_of_their_images(monkeypatch):
    monkeypatch.setattr(baselines, "COUNT", 2)
    where = np.array([[0.1, 0.1], [0.5, 0.9]])
    train = np.concatenate([w + 0.01 * RNG.standard_normal((50, 2)) for w in where])
    centres = baselines.k_means(train, train, RNG)
    nearest = ((train[:, None] - centres) ** 2).sum(-1).argmin(1)
    assert centres.shape == (2, 2)
    np.testing.assert_allclose(centres, [train[nearest == k].mean(0) for k in range(2)], atol=1e-9)


def test_a_result_is_kept_and_real_images_score_their_floors(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(study, "COMMITS", set())
    monkeypatch.setattr(baselines, "COUNT", 300)
    digits = classifier.ImageScorer(pictures.load("digits"), mnist_mlp.Config(data="digits", eval_samples=300))
    scorer = Mock(return_value=digits)
    monkeypatch.setattr(baselines, "scorer", scorer)
    first, calls = baselines.result(baselines.real), scorer.call_count
    assert first["frechet_digit_distance"] == first["frechet_digit_distance_floor"] > 0
    assert files.read_json(tmp_path / "docs/results/runs/quality_mnist/baseline-real/result.json") == first
    assert baselines.result(baselines.real) == first and scorer.call_count == calls
    assert len(study.COMMITS) == 1
