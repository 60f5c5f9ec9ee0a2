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
# # Images on request
#
# A generator can be told what to draw in three ways: by a label (a conditional GAN), by a picture that belongs to the
# wanted one (pix2pix), or by pictures of another kind, without pairs (CycleGAN). All three train here on the 8x8
# digits of scikit-learn for 100 to 400 steps, so that the notebook takes less than a minute. On MNIST `pix2pix.py`
# takes 2 minutes, `cyclegan.py` 6 and `mnist_conditional.py` 22.

# %%
from dataclasses import replace

import numpy as np
from IPython.display import display
from PIL import Image

from experiments import cyclegan, mnist_conditional, pix2pix
from lab import draws, pictures, sheets

SMALL = {"data": "digits", "log_samples": 200, "eval_samples": 300}

# %% [markdown]
# ## By a label
#
# Ten numbers are appended to the latents of $G$: the one that stands for the wanted digit is 1, the others are 0. The
# same ten numbers are appended to the image that $D$ gets, as constant channels, so that $D$ learns what each digit
# looks like. In each row
# $G$ was asked for one digit, 0 to 9 from top to bottom:

# %%
config = replace(mnist_conditional.Config(), **SMALL, steps=400, eval_every=200, learning_rate=3e-3, average=0.9)
conditional = mnist_conditional.train(config)
frequencies = np.array(conditional.run.data["class_frequencies"])
generate = mnist_conditional.generator(config, conditional.game, frequencies)
bits = draws.latent_bits(config.seed, 160, config.latent_dim)
fakes = generate(bits, mnist_conditional.digits_by_row(160))
display(Image.fromarray(sheets.sheet(fakes, columns=16, zoom=5)))

# %% [markdown]
# A classifier of real digits says how often a fake is the digit that was asked for:

# %%
result = mnist_conditional.evaluate(conditional)
print(f"fakes that are classified as the digit that was asked for: {result['agreement']:.0%}; by chance 10%")
print(f"real digits that are classified as the digit that they are: {result['agreement_floor']:.0%}")

# %% [markdown]
# ## By a picture that belongs to it
#
# Here the training images are pairs: the outline of a digit, and the digit. Two U-Nets learn to draw the digit. The
# first one learns from the L1 distance to the true digit alone, which makes it blur what it cannot know. The second
# one, pix2pix, must also convince a discriminator that looks at outline and digit together. From top to bottom: the
# outline, the U-Net with L1 alone, pix2pix, the true digit.

# %%
config = replace(pix2pix.Config(), **SMALL, steps=300, eval_every=100, learning_rate=2e-3)
paired = pix2pix.train(config)
(a, b), translate = paired.real, pix2pix.translator(config)
x, y = a.test[:16], pictures.as_pixels(b.test[:16])
l1_alone, with_d = (translate(player.weights, x) for player in (paired.game.l1_only, paired.game.generator))
rows = np.concatenate([pictures.as_pixels(x), l1_alone, with_d, y])
display(Image.fromarray(sheets.sheet(rows, columns=16, zoom=6)))

# %%
result = pix2pix.evaluate(paired)
for name, key in (("the outline itself", "l1_of_copy"), ("L1 alone", "l1_of_l1_only"), ("pix2pix", "l1")):
    print(f"L1 distance to the true digit: {name:20}{result[key]:.3f}")

# %% [markdown]
# At 8x8 pixels and after so few steps the two U-Nets hardly differ, neither in this number nor to the eye.

# %% [markdown]
# ## By pictures of another kind
#
# Here no image belongs to another one. Two U-Nets translate between two kinds of images, one in each direction. Each
# has a discriminator of its own, and each must undo what the other one does. In this quick trial both kinds are the
# same digits, so the right answer is to change nothing; `python experiments/cyclegan.py` has digits from two sources.
# From top to bottom: a digit, its translation, and the translation back.

# %%
config = replace(cyclegan.Config(), **SMALL, steps=100, eval_every=50, learning_rate=2e-3)
unpaired = cyclegan.train(config)
(a, b), translate, game = unpaired.real, cyclegan.translator(), unpaired.game
x = pictures.as_pixels(a.test[:16])
there = translate(game.b.generator.weights, x)
back = translate(game.a.generator.weights, there)
display(Image.fromarray(sheets.sheet(np.concatenate([x, there, back]), columns=16, zoom=6)))

# %% [markdown]
# The distance of a digit to what comes back falls, and the classifier recognises nearly all translations:

# %%
for record in unpaired.run.records:
    step, distance, accuracy = (record[name] for name in ("step", "cycle_a", "accuracy"))
    print(f"step {step:3}: distance {distance:.3f}, {accuracy:.0%} of the translations recognised")
