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
# # By label, by picture
#
# Three ways to tell a generator what to draw: a label (conditional GAN), a picture that belongs to the wanted one
# (pix2pix), or a heap of pictures of another kind (CycleGAN). On the 8x8 digits of scikit-learn, for some hundred
# steps, so that it takes a minute; on MNIST the scripts of the same names take some ten minutes each.

# %%
from dataclasses import replace

import numpy as np
from IPython.display import display
from PIL import Image

import gan_data as data
import gan_images as images
import gan_plots as plots
from experiments import cyclegan, mnist_conditional, pix2pix

SMALL = {"data": "digits", "log_samples": 200, "eval_samples": 300}


def show(rows, columns):
    display(Image.fromarray(plots.sheet(np.concatenate(rows), columns)))


# %% [markdown]
# ## By label
#
# G gets ten numbers beside its latents, one of which is 1; D gets them as ten constant channels beside the image, and
# so learns what each digit should look like. One row a digit:

# %%
recipe = mnist_conditional.RECIPES["stable"]
config = replace(recipe, **SMALL, steps=300, eval_every=100, average=0.9).checked()
conditional = mnist_conditional.train(config)
show([conditional.task.show(images.latent_bits(0, 120, config.latent_dim))], 12)

# %% [markdown]
# The judge, a classifier trained on real digits, says how often it reads what was asked for.

# %%
told = mnist_conditional.obedience(conditional)
print(f"agreement {told['agreement']:.2f}, with real digits {told['agreement_floor']:.2f}, by chance .10")

# %% [markdown]
# ## By a picture that belongs to it
#
# Outlines and digits, in pairs. The first U-Net learns from the L1 distance alone and blurs what it cannot know; the
# second must also get past a discriminator that looks at the pair. Rows: outline, L1 alone, pix2pix, the digit.

# %%
paired = pix2pix.train(replace(pix2pix.Config(), **SMALL, steps=300, eval_every=100, learning_rate=2e-3).checked())
a, b, game = paired.pairs.test_a[:16], data.as_pixels(paired.pairs.test_b[:16]), paired.task.game
drawn = [pix2pix.translated(paired.config, player.weights, a) for player in (game.l1_only, game.generator)]
show([data.as_pixels(a), *drawn, b], 16)

# %%
last = paired.records[-1]
for name, key in (("pix2pix", "l1"), ("L1 alone", "l1_of_l1_only"), ("the outline itself", "l1_of_copy")):
    print(f"L1 distance to the digit: {name:18} {last[key]:.3f}")

# %% [markdown]
# ## By a heap of pictures
#
# No pairs: two U-Nets, each with a discriminator of its own, must undo each other. Here both heaps are the same
# digits, and the right answer is to change nothing; `python experiments/cyclegan.py` has digits of two sources. Rows:
# a digit, its translation, and back again.

# %%
unpaired = cyclegan.train(replace(cyclegan.Config(), **SMALL, steps=150, eval_every=50, learning_rate=2e-3).checked())
x, game = unpaired.domains[0].test[:16], unpaired.task.game
there = cyclegan.translated(game.b.generator.weights, x)
show([data.as_pixels(x), there, cyclegan.translated(game.a.generator.weights, there)], 16)

# %%
for record in unpaired.records:
    print(f"step {record['step']:4}: cycle distance {record['cycle_a']:.3f}, judge reads {record['accuracy']:.0%}")
