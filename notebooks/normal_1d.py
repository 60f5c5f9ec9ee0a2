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
# # A GAN learns a 1-D distribution
#
# Two networks play against each other. The discriminator $D$ is shown real numbers $x$ and fakes $G(z)$, and answers
# with the probability that what it sees is real. The generator $G$ turns random noise $z$ into fakes. Both play for
# one number,
#
# $$V(D, G) = \mathbb{E}_x \log D(x) + \mathbb{E}_z \log(1 - D(G(z))),$$
#
# which $D$ tries to make large and $G$ tries to make small (Goodfellow et al. 2014).
#
# Let $p$ be the density of the real numbers and $q$ that of the fakes. The best $D$ against these fakes is
# $D^*(x) = p(x) / (p(x) + q(x))$, and with this $D$ the game has the value $V = -\ln 4 + 2\,\mathrm{JSD}(p, q)$. The
# Jensen-Shannon divergence JSD is 0 if $q = p$ and positive otherwise. So the best $G$ is the one with $q = p$; then
# the best $D$ says 1/2 everywhere, and its loss $-V$ is $\ln 4 = 1.386$ nats.
#
# This notebook defines nothing of its own. It sets parameters, calls the functions of `experiments/normal_1d.py`, and
# shows the results.

# %%
from dataclasses import replace

import numpy as np
from IPython.display import display
from scipy import stats

import metrics
from experiments import normal_1d

# %matplotlib inline

# %% [markdown]
# ## Why the tutorial's KL divergence misleads
#
# The KL divergence $\mathrm{KL}(p \| q) = \int p \ln (p / q)$ is 0 only if $p = q$. To estimate it from samples, one
# counts them in bins. Both samples must be counted in the same bins. The tutorial whose networks are trained below
# gave each sample bins between its own smallest and largest value, and such bins cannot see that one sample is
# shifted or stretched:

# %%
rng = np.random.default_rng(0)
near, far = rng.normal(0, 1, 10_000), rng.normal(100, 50, 10_000)
own_bins = metrics.kl_divergence(*(np.histogram(sample, bins=10)[0] + 0.5 for sample in (near, far)))
shared_bins = metrics.histogram_kl(stats.norm(), far)
print("The KL divergence of N(0, 1) and N(100, 50), in nats")
print(f"  each sample has bins of its own   {own_bins:.3f}")
print(f"  both samples share their bins     {shared_bins:.3f}")
print(f"  exact, from the formula           {metrics.normal_kl(0, 1, 100, 50):.3f}")

# %% [markdown]
# Bins can only lower a KL divergence. That the estimate is above the exact value is chance: fewer than 100 of the
# 10,000 far numbers fall between the two tails, so that it varies by about .17 from sample to sample.
#
# An estimate from a finite sample is never 0, not even for a perfect generator, whose fakes are real numbers. What
# such a generator gets is called the floor here. It depends on the number of fakes; this is the floor of 10,000:

# %%
floor = metrics.kl_floor(metrics.bin_masses(stats.norm(), metrics.histogram_edges(stats.norm())), n=10_000)
print(f"floor: {floor.mean:.4f} nats on average, in 80% of all cases between {floor.q10:.4f} and {floor.q90:.4f}")

# %% [markdown]
# ## One seed
#
# The tutorial's system: $D$ has layers of 1, 8 and 1 units and $G$ layers of 8, 4 and 1. They train on 1000 real
# numbers for 3000 epochs, which are 12,000 steps, with Adam at the learning rate .0005. $G$ minimises
# $\mathbb{E} \log(1 - D(G(z)))$, so that its loss is negative: $-\ln 2 = -.693$ at the equilibrium.

# %%
one = normal_1d.train(replace(normal_1d.CLASSIC, seeds=1))
display(normal_1d.overview(one, normal_1d.evaluate(one)))

# %% [markdown]
# The loss of $D$ soon lies at $\ln 4$, as at the equilibrium, and yet the KL is far above its floor, and falls for
# thousands of steps more: the losses alone do not say how good the fakes are. And one run proves little, because
# another seed gives another picture.
#
# ## Many seeds
#
# All 16 seeds train in one compiled program. Lines are medians over the seeds, and the bands hold the middle 80% of
# them.

# %%
many = normal_1d.train(replace(normal_1d.CLASSIC, seeds=16))
display(normal_1d.overview(many, normal_1d.evaluate(many)))

# %% [markdown]
# ## A recipe that learns
#
# The real numbers are the same as before. The networks, the settings of Adam, the batches and the loss of $G$ are
# different, and two penalties, R1 and R2, keep $D$ smooth. The class `Config` in the script lists all settings, and
# gives reasons for many of them. Here the recipe trains for a quarter of its 8000 steps, which are enough for a
# normal distribution; peaks that are narrow or far apart need all of them.

# %%
stable = normal_1d.train(replace(normal_1d.Config(), seeds=16, steps=2000))
result = normal_1d.evaluate(stable)
display(normal_1d.overview(stable, result))

# %% [markdown]
# ## $D$ against $D^*$
#
# The fifth panel shows $D(x)$ beside $D^*(x)$, the best discriminator against the fakes at the end of training. The
# value of the game says in one number what the difference means. It is measured on real numbers that $D$ was not
# trained on, and these are medians over the seeds:

# %%
for name, whose in (("game_value", "the D that was trained"), ("game_value_optimal", "D*, the best one")):
    print(f"value of the game with {whose:24}{result[name]['median']:.4f}")
print(f"value of the game if D says 1/2 everywhere     {result['game_value_floor']:.4f}")

# %% [markdown]
# The fakes are so close to the real numbers that even $D^*$ gets hardly more than against a perfect generator, which
# is $-1.385$ for 10,000 fakes: a little more than $-\ln 4$, because finite samples differ by chance. The trained $D$
# gets a little less than that. Its outputs lie around 1/2 but differ from it, as the last panel shows, and where real
# numbers and fakes are equally frequent every such difference costs $D$ something.

# %% [markdown]
# ## A learning rate of .05
#
# This is a hundred times the tutorial's rate. A seed is counted as collapsed if its fakes end with less than half the
# standard deviation of the real numbers.

# %%
fast = normal_1d.train(replace(normal_1d.CLASSIC, seeds=16, steps=3000, eval_every=3000, learning_rate=0.05))
result = normal_1d.evaluate(fast)
print(f"{result['collapsed']} of {result['seeds']} seeds collapsed")
print(f"median KL {result['kl']['median']:.2f} nats, floor {result['kl_floor']:.4f}")
