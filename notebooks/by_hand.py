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
# # Backpropagation by hand
#
# A generative adversarial network needs nothing but matrix products and the chain rule. The script
# `experiments/numpy_gan.py` writes both in NumPy. This notebook takes them apart, and compares the gradients with
# those of TensorFlow's `GradientTape`.
#
# A layer computes $y = f(a)$ with $a = W x + b$. Each column of $x$ is one sample. Let $E$ be the error and
# $\delta = \partial E / \partial a$. Then
#
# $$\frac{\partial E}{\partial W} = \delta x^\top \qquad \frac{\partial E}{\partial b} = \sum_{\text{batch}} \delta
# \qquad \frac{\partial E}{\partial x} = W^\top \delta .$$
#
# The last of these is $\partial E / \partial y$ for the layer below. The kinds of layers differ only in $\delta$:
#
# | layer | $y$ | $\delta$ |
# |---|---|---|
# | hidden layers | $\max(0, a)$ | $\partial E / \partial y$ where $y > 0$, otherwise 0 |
# | last layer of $G$ | $\tanh a$ | $(1 - y^2) \, \partial E / \partial y$ |
# | last layer of $D$ | $1 / (1 + e^{-a})$ | $(y - t) / B$ |
#
# In the last row $E$ is the mean cross-entropy over a batch of $B$ samples, and $t$ is the target: 1 for real, 0 for
# fake.

# %%
from dataclasses import replace

import numpy as np
from IPython.display import display
from PIL import Image

import gan_core as core
from experiments import numpy_gan
from gan_core import tf
from lab import plots, sheets

# %matplotlib inline

# %% [markdown]
# ## One layer, worked out on paper
#
# Take the last layer of $D$ with $W = (1, -2)$, $b = 1/2$, the input $x = (1, 1)^\top$ and the target $t = 1$. On
# paper: $a = 1 - 2 + 1/2 = -1/2$ and $y = 1 / (1 + e^{1/2}) = .378$. The error is $-\ln y = .974$, and
# $\delta = y - t = -.622$. So $\partial E / \partial x = W^\top \delta = (-.622, 1.245)^\top$. The code agrees:

# %%
layer = numpy_gan.DiscriminatorOutput(np.random.default_rng(0), 2, 1)
layer.W, layer.b = np.array([[1.0, -2.0]]), np.array([[0.5]])
t = np.ones((1, 1))
print("y      ", layer.forward(np.ones((2, 1))))
print("error  ", layer.error(t))
print("dE/dx  ", layer.backward(t).ravel())
print("dE/dW  ", layer.gradients[0], " dE/db", layer.gradients[1])

# %% [markdown]
# ## All layers of $D$ and $G$
#
# $G$ learns from an error that $D$ computes. The gradient passes through $D$, whose weights do not change, down to
# the pixels, and from there through $G$. The table compares the gradients by hand with those of `GradientTape` for
# the same weights. They differ only in the last digits of float64.

# %%
config = replace(numpy_gan.Config(), steps=3000, eval_every=250)
game = numpy_gan.new_game(config, side=8)
z = np.random.default_rng(1).standard_normal((config.latent_dim, 64))
ones = np.ones((1, 64))  # the targets: G wants D to take its fakes for real

numpy_gan.forward(game.discriminator, numpy_gan.forward(game.generator, z))
numpy_gan.backward(game.generator, numpy_gan.backward(game.discriminator, ones))
by_hand = [gradient for layer in game.generator for gradient in layer.gradients]

d, g = ([tf.Variable(w) for w in adam.weights] for adam in (game.adam_d, game.adam_g))
with tf.GradientTape() as tape:
    fakes = tf.tanh(core.mlp(tf.constant(z), g, tf.nn.relu))
    error = tf.reduce_mean(-core.log_d(core.mlp(fakes, d, tf.nn.relu)))
print(f"{'':6}{'largest gradient':>18}{'largest difference':>20}")
for name, hand, taped in zip(("W1", "b1", "W2", "b2", "W3", "b3"), by_hand, tape.gradient(error, g), strict=True):
    print(f"{name:6}{np.abs(hand).max():18.6f}{np.abs(hand - taped.numpy()).max():20.1e}")

# %% [markdown]
# A gradient can also be measured without any calculus: move one weight of $G$ a little up and a little down, and see
# how much the error changes.

# %%
weight, gradient, step = game.generator[0].W, by_hand[0], 1e-6
for i in [(0, 0), (3, 5), (20, 30)]:
    errors = []
    for move in (step, -2 * step, step):  # up, down, back to where it was
        weight[i] += move
        numpy_gan.forward(game.discriminator, numpy_gan.forward(game.generator, z))
        errors.append(game.discriminator[-1].error(ones).mean())
    print(f"weight {i}: by hand {gradient[i]:+.9f}, measured {(errors[0] - errors[1]) / (2 * step):+.9f}")

# %% [markdown]
# ## It learns
#
# In each step $D$ learns from half a batch of fakes and half a batch of real digits, and $G$ learns from a whole
# batch of fakes. The digits are the 8x8 ones that come with scikit-learn. At the equilibrium $D$ would be right half
# of the time. Here it stays ahead, and is right for about two thirds of the images.

# %%
trained = numpy_gan.train(config)
display(plots.errors_and_accuracies(trained.run.records))

# %% [markdown]
# What $G$ makes of the same 16 latents after 0, 250, 1000 and 3000 steps, from top to bottom:

# %%
fakes = np.concatenate([trained.run.snapshots[step]["images"][:16] / 255 for step in (0, 250, 1000, 3000)])
display(Image.fromarray(sheets.sheet(fakes, columns=16, zoom=6)))

# %% [markdown]
# ## How close are the fakes to real digits?
#
# Two simple distances need no other network: from a fake to the nearest real digit, and from a real digit to the
# nearest fake. The first is large if the fakes are blurred or noisy. The second is large if some kinds of digits are
# missing. Beside each stands its floor: what other real digits score in place of the fakes.

# %%
result = numpy_gan.evaluate(trained)
ways = {"to_real": "from a fake to the nearest real digit", "to_fake": "from a real digit to the nearest fake"}
for name, words in ways.items():
    print(f"{words:40}{result[name]:.3f}, floor {result[name + '_floor']:.3f}")
