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
# # Backpropagation by hand
#
# A generative adversarial network needs nothing but matrix products and the chain rule. `experiments/numpy_gan.py`
# writes both down; here they are taken apart, with the numbers beside those of TensorFlow's `GradientTape`.
#
# A layer is $y = f(a)$ with $a = W x + b$, samples as columns. With $\delta = \partial E / \partial a$,
#
# $$\frac{\partial E}{\partial W} = \delta x^\top \qquad \frac{\partial E}{\partial b} = \sum_{\text{batch}} \delta
# \qquad \frac{\partial E}{\partial x} = W^\top \delta ,$$
#
# and only $\delta$ differs from layer to layer:
#
# | layer | $y$ | $\delta$ |
# |---|---|---|
# | hidden | $\max(0, a)$ | $\partial E / \partial y$ where $y > 0$ |
# | G's last | $\tanh a$ | $(1 - y^2) \, \partial E / \partial y$ |
# | D's last | $1 / (1 + e^{-a})$ | $(y - t) / B$, with cross-entropy and the target $t$ |

# %%
from dataclasses import replace

import numpy as np
import tensorflow as tf
from IPython.display import display
from PIL import Image

import gan_core as core
import gan_data as data
import gan_images as images
import gan_plots as plots
from experiments import numpy_gan

# %% [markdown]
# ## One layer, on paper
#
# $W = (1, -2)$, $b = 1/2$, $x = (1, 1)^\top$ and the target $t = 1$: $a = -1/2$, $y = .378$, the error
# $\ln(1 + e^{1/2}) = .974$, $\delta = y - t = -.622$.

# %%
layer = numpy_gan.DiscriminatorOutput(np.random.default_rng(0), 2, 1)
layer.W, layer.b = np.array([[1.0, -2.0]]), np.array([[0.5]])
t = np.ones((1, 1))
print("y      ", layer.forward(np.ones((2, 1))))
print("error  ", layer.error(t))
print("dE/dx  ", layer.backward(t).ravel())
print("dE/dW  ", layer.gradients[0], " dE/db", layer.gradients[1])

# %% [markdown]
# ## The whole of D and G
#
# G's error goes through D, whose weights stay, down to the pixels, and on through G. Every gradient by hand beside
# the one of `GradientTape` on the same weights: they agree to the last digits of float64.

# %%
config = replace(numpy_gan.Config(), side=8)
game = numpy_gan.new_game(config)
z = np.random.default_rng(1).standard_normal((config.latent_dim, 64))
ones = np.ones((1, 64))

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
# And beside the slope itself: move one weight of G a little to either side, and see how the error changes.


# %%
weight, gradient, step = game.generator[0].W, by_hand[0], 1e-6
for i in [(0, 0), (3, 5), (20, 30)]:
    errors = []
    for move in (step, -2 * step, step):  # up, down, back
        weight[i] += move
        numpy_gan.forward(game.discriminator, numpy_gan.forward(game.generator, z))
        errors.append(game.discriminator[-1].error(ones).mean())
    print(f"weight {i}: by hand {gradient[i]:+.9f}, measured {(errors[0] - errors[1]) / (2 * step):+.9f}")

# %% [markdown]
# ## It learns
#
# Half a batch of fakes and half a batch of real digits for D, a whole batch for G. At the equilibrium D would be
# right half of the time; with 1437 digits to learn from it stays a little ahead.

# %%
trained = numpy_gan.train(replace(config, steps=3000, eval_every=250).checked())
display(plots.errors_and_accuracies(trained.records))

# %%
for step, fakes in (trained.sheets[k] for k in (0, 1, 4, -1)):
    print("step", step)
    display(Image.fromarray(plots.sheet(fakes[:48] / 255, columns=24, zoom=5)))

# %% [markdown]
# ## How near are they?
#
# No judge is needed to see how far a fake is from the nearest real digit, and a real digit from the nearest fake.
# Other real digits in the place of fakes give the floor.

# %%
real = data.load_images("digits")
fakes = numpy_gan.generate(trained.game, images.latent_bits(0, 1000, config.latent_dim))
numbers = numpy_gan.distances(trained.config, real, fakes)
for name in ("to_real", "to_fake"):
    print(f"{name:8} {numbers[name]:.3f}   real digits instead: {numbers[name + '_floor']:.3f}")
