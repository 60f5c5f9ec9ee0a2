"""Run by test_devices.py: ten steps of an image script on two devices, then on one; prints how far apart they end.

It is a process of its own, because TensorFlow is told at its start how many CPU devices there are.
"""

import dataclasses
import json
import sys

import numpy as np

import gan_core as core
from lab import cli, networks, runs

IMAGES = {"data": "digits", "batch": 8, "steps": 10, "eval_every": 10, "log_samples": 100}
MAPS = {"generator_maps": (16, 16, 8), "discriminator_maps": (4, 8, 8, 16), "latent_dim": 16}
SETTINGS = {  # between them all that a step can hold
    "mnist_dcgan": IMAGES | MAPS | {"dropout": 0.25, "loss": "relativistic_average"},
    "mnist_conditional": IMAGES | MAPS,
    "stacked_mnist": IMAGES
    | MAPS
    | {"pack": 2, "network": "dcgan", "dropout": 0.25, "discriminator_norm": "batch", "log_samples": 1000},
    "pix2pix": IMAGES | {"width": 4},
    "cyclegan": IMAGES | {"width": 4, "discriminator_width": 4},  # the pool of 50 is full after 7 steps
}


def numbers(game):
    """Place -> array of what training changed, without Adam's moments and what depends on a bias before a norm.

    The true gradient of such a bias is 0: rounding alone moves it, which Adam makes as large as any other step.
    """
    if isinstance(game, core.Player):
        layers = networks.layers(game.weights)
        parts = [v for layer in layers for k, v in enumerate(layer) if len(layer) == 2 or k != 1]
        return {str(k): v.numpy() for k, v in enumerate(parts)}
    found = {}
    for name, value in zip(game._fields, game, strict=True):
        if name.endswith("_statistics"):
            found |= {f"{name}/{k}": v.numpy() for k, v in enumerate(value[1::2])}  # variances: means follow the bias
        elif name != "average":
            inner = numbers(value) if hasattr(value, "_fields") else {"": value.numpy()}
            found |= {f"{name}/{place}": array for place, array in inner.items()}
    return found


def trained(name, devices):
    module = cli.script(name)
    config = dataclasses.replace(module.RECIPES["stable"], **SETTINGS[name])
    done = module.train(config, runs.Run(devices=devices))
    kept = numbers(done.game)
    if getattr(config, "loss", "").startswith("relativistic"):  # it does not see a constant that all logits share
        kept.pop([place for place in kept if place.startswith("discriminator/")][-1])
    losses = {key: value for key, value in done.run.records[-1].items() if "loss" in key or key.startswith("train_c")}
    return kept | {key: np.array(value) for key, value in losses.items()}


apart = {}
for script in sys.argv[1:]:
    two, one = trained(script, 2), trained(script, 1)
    assert two.keys() == one.keys() and len(one) > 10
    apart[script] = {place: float(np.abs(two[place] - one[place]).max()) for place in one}
print(json.dumps(apart))
