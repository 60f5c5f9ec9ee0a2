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
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Digits
#
# The same game as in one dimension, $V(D, G) = \mathbb{E} \log D(x) + \mathbb{E} \log(1 - D(G(z)))$, with images in
# the place of numbers. Here on the 8x8 digits that come with scikit-learn, so that it takes seconds and no network;
# with `data=None` the same cells train on MNIST.
#
# A grid of pictures says little about a generator. A **judge**, a digit classifier trained on real images, measures
# what the pictures hide, and each number stands beside what real images score in the place of fakes.

# %%
from dataclasses import replace

import numpy as np
from IPython.display import display
from PIL import Image

import gan_data as data
import gan_images as images
import gan_plots as plots
import metrics
from experiments import mnist_dcgan, mnist_mlp

# %%
real = data.load_images("digits")
display(Image.fromarray(plots.sheet(data.as_pixels(real.train[:40]), columns=20)))

# %% [markdown]
# ## A dense generator
#
# Raw variables: each layer is $W h + b$ with samples as columns. `training` plays the game; every `eval_every` steps
# it measures 500 fakes.

# %%
config = replace(
    mnist_mlp.STABLE,
    data="digits",
    steps=2000,
    eval_every=200,
    log_samples=500,
    eval_samples=1000,
    batch=64,
    generator_hidden=(64, 128),
    discriminator_hidden=(64, 64),
    learning_rate=1e-3,
    discriminator_rate=1.0,
    r1=0.1,
).checked()
dense = mnist_mlp.train(config)
images.show_parameters(dense.task.networks)

# %%
for step, fakes in dense.sheets[:: len(dense.sheets) // 4]:
    print("step", step)
    display(Image.fromarray(plots.sheet(fakes / 255, columns=25)))

# %%
display(plots.image_curves(dense.records))

# %% [markdown]
# ## What each number sees
#
# Three samples that a glance may not tell apart from a good one: one digit again and again, averages of two images,
# and real images themselves. Collapse shows in the label KL and in recall; blur shows in precision and in the share
# of which the judge is sure; the Frechet digit distance sees both.

# %%
train = data.as_pixels(real.train)
samples = {
    "real images": train[:1000],
    "one digit only": train[real.train_labels == 3][np.arange(1000) % 100],
    "averages of two": (train[:700] + train[700:1400]) / 2,
    "the generator": dense.task.generate(images.latent_bits(0, 1000, config.latent_dim)),
}
numbers = {name: dense.yardstick.full(sample) for name, sample in samples.items()}
keys = ("frechet_digit_distance", "label_kl", "precision", "recall", "confident_share", "parzen")
print(f"{'':18}" + "".join(f"{key:>24}" for key in keys))
for name, row in numbers.items():
    print(f"{name:18}" + "".join(f"{row[key]:24.3f}" for key in keys))

# %% [markdown]
# ## Has it learnt the training images by heart?
#
# Above: fakes; below each its nearest training image. A generator that copies would show two equal rows.

# %%
fakes = samples["the generator"][:20]
nearest = metrics.nearest_neighbours(fakes, train)[1][:, 0]
display(Image.fromarray(plots.sheet(np.concatenate([fakes, train[nearest]]), columns=20)))

# %% [markdown]
# Between two latents the digits change smoothly. The way is a great circle, not a straight line: half-way on the line
# between two normal latents lie lengths that the generator never saw.

# %%
path = dense.task.generate(images.interpolation(config, rows=4, columns=20))
display(Image.fromarray(plots.sheet(path, columns=20)))

# %% [markdown]
# ## A convolutional generator
#
# The DCGAN shares weights between places of the image, and normalises over the batch. On 8x8 pixels, for a few steps
# only: enough to see it start. `python experiments/mnist_dcgan.py` trains it on MNIST.

# %%
config = replace(mnist_dcgan.Config(), data="digits", steps=60, eval_every=30, log_samples=200).checked()
dcgan = mnist_dcgan.train(config)
images.show_parameters(dcgan.task.networks)
display(Image.fromarray(plots.sheet(dcgan.sheets[-1][1] / 255, columns=25)))
