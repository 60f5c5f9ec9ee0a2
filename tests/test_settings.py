"""Does every setting of the training scripts do something? Two eager steps with and without a change are compared."""

import itertools
from dataclasses import fields, replace

import numpy as np
import pytest

from experiments import (
    cyclegan,
    mixture_2d,
    mnist_conditional,
    mnist_dcgan,
    mnist_mlp,
    normal_1d,
    numpy_gan,
    pix2pix,
    stacked_mnist,
)
from gan_core import tf
from lab import classifier, runs

SMALL = {"data": "digits", "steps": 2, "eval_every": 1, "batch": 4}
POINTS = {"steps": 2, "eval_every": 1, "batch": 4, "seeds": 2, "eval_samples": 10, "loss": "minimax"}  # for unroll
POINTS |= {"r1": 0.1, "r2": 0.1, "gradient_penalty": 0.1, "generator_hidden": (8,), "discriminator_hidden": (8,)}
DCGAN = {"generator_maps": (4, 4, 4), "discriminator_maps": (4, 4, 4, 4)}
BASE = {  # none of them is a default that a forgotten setting would fall back to
    mnist_mlp: replace(mnist_mlp.Config(), **SMALL, generator_hidden=(8,), discriminator_hidden=(8,), r2=0.1),
    mnist_dcgan: replace(mnist_dcgan.Config(), **SMALL, **DCGAN, dropout=0.25),
    mnist_conditional: replace(mnist_conditional.Config(), **SMALL, **DCGAN, dropout=0.25),
    stacked_mnist: replace(stacked_mnist.Config(), **SMALL, **DCGAN, network="dcgan"),
    pix2pix: replace(pix2pix.Config(), **SMALL, width=4),
    cyclegan: replace(cyclegan.Config(), **SMALL, width=4, discriminator_width=4),
    numpy_gan: replace(numpy_gan.Config(), **SMALL),
    normal_1d: replace(normal_1d.Config(), **POINTS, samples=100),
    mixture_2d: replace(mixture_2d.Config(), **POINTS, samples=100),
}
OTHER = {  # another value of each setting, where the script has it
    "train_images": 100,
    "stacked_images": 1000,
    "frame": "mnist",
    "network": {"dcgan": "alike", "mlp": "pacgan"},
    "samples": 200,
    "standardise": False,
    "jitter": 0.1,
    "latent": {"normal": "uniform", "uniform": "normal"},
    "latent_dim": 60,
    "categories": 3,
    "generator_hidden": (9,),
    "discriminator_hidden": (9,),
    "generator_maps": (4, 4, 8),
    "discriminator_maps": (4, 4, 8, 4),
    "generator_activation": "relu",
    "discriminator_activation": "relu",
    "init": "glorot",
    "generator_init": "glorot",
    "discriminator_init": "glorot",
    "generator_skip": {True: False, False: True},
    "output": "tanh",
    "discriminator_norm": {"batch": "none", "none": "batch"},
    "width": 8,
    "discriminator_width": 8,
    "momentum": 0.6,
    "loss": "relativistic_paired",
    "r1": 3.0,
    "r2": 3.0,
    "gradient_penalty": 3.0,
    "penalty_end": 0.5,
    "unroll": 2,
    "simultaneous": True,
    "dropout": 0.75,
    "pack": 2,
    "l1": 3.0,
    "cycle": 3.0,
    "identity": 3.0,
    "seed": 1,
    "seeds": 3,
    "steps": 3,
    "batch": 6,
    "learning_rate": 3e-4,
    "discriminator_rate": 2.0,
    "schedule": "constant",
    "discriminator_schedule": {"constant": "cosine", "cosine": "constant"},
    "beta1": 0.3,
    "beta2": 0.6,
    "average": 0.5,
}
ELSEWHERE = {"data", "target", "target_args", "pairs", "domain_a", "domain_b"}
ELSEWHERE |= {"precision", "epochs"}  # bfloat16 needs larger images; epochs are another word for steps
OUTPUT = {"eval_every", "log_samples", "eval_samples", "checkpoint_every"}


class Played(Exception):
    """Two steps are done; the rest of `train` is not needed."""


class TwoSteps(runs.Run):
    """A run that plays two steps without compiling them, and stops."""

    def play(self, loop, games, batches, period):
        self.batches, self.begun = [*itertools.islice(batches, 2)], arrays(games)
        for batch in self.batches:  # of one step, or of both
            tensors = {key: tf.constant(value) for key, value in batch.items()}
            loop.python_function(games[0], tensors, tf.constant(min(2, len(next(iter(tensors.values()))))))
        raise Played


def arrays(nested) -> list[np.ndarray]:
    return [value.numpy().copy() if hasattr(value, "numpy") else value.copy() for value in tf.nest.flatten(nested)]


@pytest.fixture
def two_steps(monkeypatch):
    """config -> the run, and all arrays of its game after two steps."""
    for name in ("ImageScorer", "digit_classifier"):
        monkeypatch.setattr(classifier, name, lambda *_: None)
    monkeypatch.setattr(stacked_mnist, "Scorer", lambda *_: None)

    def play(script, config):
        run = TwoSteps()
        if script is numpy_gan:
            return run, arrays(numpy_gan.train(config, run).game.state())
        with pytest.raises(Played):
            script.train(config, run)
        return run, arrays(run.state)

    return play


def same(a: list[np.ndarray], b: list[np.ndarray]) -> bool:
    return len(a) == len(b) and all(map(np.array_equal, a, b))


def name(script) -> str:
    return script.__name__.removeprefix("experiments.")


@pytest.mark.parametrize("script", BASE, ids=name)
def test_every_setting_changes_what_two_steps_make_of_the_game(script, two_steps):
    base = BASE[script]
    _, expected = two_steps(script, base)
    assert same(expected, two_steps(script, base)[1])  # the same settings give the same bits
    ignored = []
    for field in fields(base):
        if field.name in ELSEWHERE | OUTPUT or (script, field.name) == (pix2pix, "steps"):  # it has no schedules
            continue
        value = OTHER[field.name]
        value = value[getattr(base, field.name)] if isinstance(value, dict) else value
        if same(expected, two_steps(script, replace(base, **{field.name: value}))[1]):
            ignored.append(field.name)
    assert not ignored


@pytest.mark.parametrize("script", [s for s in BASE if s not in (numpy_gan, normal_1d, mixture_2d)], ids=name)
def test_weights_and_all_that_is_drawn_depend_on_the_seed_and_on_the_step(script, two_steps):
    run, other = (two_steps(script, replace(BASE[script], seed=seed))[0] for seed in (0, 1))
    kernels = [(a, b) for a, b in zip(run.begun, other.begun, strict=True) if a.ndim > 1 and a.any()]
    assert len(kernels) > 3 and all((a != b).any() for a, b in kernels)
    for one, two in (run.batches, (run.batches[0], other.batches[0])):
        assert [key for key in one if np.array_equal(*map(np.asarray, (one[key], two[key])))] == []
