# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#       format_version: '1.3'
#       jupytext_version: 1.19.6
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # A GAN draws digits
#
# The game is the same as for numbers, $V(D, G) = \mathbb{E} \log D(x) + \mathbb{E} \log(1 - D(G(z)))$, but $x$ and
# $G(z)$ are images now. This notebook uses the 8x8 digits that come with scikit-learn, so that it takes seconds and
# downloads nothing. With `data=None` the same cells train on MNIST.
#
# A grid of pictures says little about a generator. So a **digit classifier**, trained on real images, measures what
# the eye does not see. Each number stands beside what real images score in place of the fakes.

# %%
from dataclasses import replace

import numpy as np
from IPython.display import display
from PIL import Image

from experiments import mnist_dcgan, mnist_mlp
from lab import draws, pictures, plots, runs, sheets

# %matplotlib inline

# %% [markdown]
# Forty real digits:

# %%
real = pictures.load("digits")
train = pictures.as_pixels(real.train)
display(Image.fromarray(sheets.sheet(train[:40], columns=20, zoom=5)))

# %% [markdown]
# ## A dense generator
#
# The weights are raw variables. Each layer is $W h + b$, and each column of $h$ is one sample. `train` plays the
# game, and measures 500 fakes every 200 steps.

# %%
config = replace(
    mnist_mlp.Config(),
    data="digits",
    steps=2000,
    eval_every=200,
    log_samples=500,
    eval_samples=1000,
    batch=64,
    latent_dim=64,
    categories=0,
    generator_hidden=(64, 128),
    discriminator_hidden=(64, 64),
    learning_rate=1e-3,
    discriminator_rate=1.0,
    r1=0.1,
)
dense = mnist_mlp.train(config)
g, d = dense.game.generator.weights, dense.game.discriminator.weights
print("shapes of G's variables", *(tuple(w.shape) for w in g))
print("shapes of D's variables", *(tuple(w.shape) for w in d))
print("parameters", runs.count_parameters(generator=g, discriminator=d))

# %% [markdown]
# What $G$ makes of the same 20 latents after 0, 400, 800, 1200, 1600 and 2000 steps, from top to bottom:

# %%
display(Image.fromarray(sheets.sheet(sheets.strip(dense.run.snapshots, rows=6, columns=20), columns=20, zoom=5)))

# %% [markdown]
# The losses say little about the fakes: they soon hardly move, while the measures of the fakes go on improving.

# %%
display(plots.image_curves(dense.run.records))

# %% [markdown]
# ## What each number sees
#
# The table compares the generator with three other samples: real images, one digit again and again, and averages of
# two real images. The numbers see different faults. That digits are missing shows in the label KL and in recall. That
# images show two digits at once is visible in precision, and in the share of images for which the classifier is at
# least 90% confident. The Frechet digit distance sees both. (`docs/numbers.md` explains each number, and says why
# precision may miss plain blur.)

# %%
generate = mnist_mlp.generator(config, dense.game)
fakes = generate(draws.latent_bits(config.seed, 1000, config.latent_dim))
threes = train[real.train_labels == 3]
samples = {
    "real images": train[:1000],
    "one digit only": threes[np.arange(1000) % 100],
    "averages of two": (train[:700] + train[700:1400]) / 2,
    "the generator": fakes,
}
keys = ("frechet_digit_distance", "label_kl", "precision", "recall", "confident_share", "parzen")
print(f"{'':16}" + "".join(f"{key:>{len(key) + 2}}" for key in keys))
for name, sample in samples.items():
    scores = dense.scorer.scores(sample, final=True)
    print(f"{name:16}" + "".join(f"{scores[key]:{len(key) + 2}.3f}" for key in keys))

# %% [markdown]
# ## Does it memorise the training images?
#
# The upper row shows fakes, the lower row the training image nearest to each. If $G$ copied its training images, the
# two rows would be the same.

# %%
nearest = dense.scorer.nearest_real(fakes[:20])
display(Image.fromarray(sheets.sheet(np.concatenate([fakes[:20], nearest]), columns=20, zoom=5)))

# %% [markdown]
# Each row below goes from one latent to another, and the digits change smoothly on the way. The way is part of a
# great circle, not a straight line. Half-way along a straight line between two normal latents lie latents that are
# shorter than almost all that $G$ was trained on.

# %%
between = generate(draws.interpolated_bits(config.seed, config.latent_dim, rows=4, columns=20))
display(Image.fromarray(sheets.sheet(between, columns=20, zoom=5)))

# %% [markdown]
# ## A convolutional generator
#
# The DCGAN uses the same weights at every place of the image, and normalises over the batch. Here it trains on 8x8
# pixels for 60 steps only, too few for digits: the rows show its fakes after 0, 30 and 60 steps.
# `python experiments/mnist_dcgan.py` trains it on MNIST.

# %%
config = replace(mnist_dcgan.Config(), data="digits", steps=60, eval_every=30, log_samples=200, average=0.9)
dcgan = mnist_dcgan.train(config)
display(Image.fromarray(sheets.sheet(sheets.strip(dcgan.run.snapshots, rows=3, columns=20), columns=20, zoom=5)))
