# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # A GAN learns a 1-D distribution
#
# Two players. The discriminator $D$ is shown real numbers $x$ and fakes $G(z)$ and says how probable it is that
# each is real. The generator $G$ turns noise $z$ into fakes. They play for one number,
#
# $$V(D, G) = \mathbb{E}_x \log D(x) + \mathbb{E}_z \log(1 - D(G(z))),$$
#
# which $D$ raises and $G$ lowers (Goodfellow et al. 2014). Against fakes of density $q$ the best $D$ is
# $D^*(x) = p(x) / (p(x) + q(x))$, and then $V = -\ln 4 + 2\,\mathrm{JSD}(p, q)$: the best $G$ is the one with
# $q = p$, where $D = 1/2$ everywhere and $D$'s loss $-V$ is $\ln 4 = 1.386$.
#
# This notebook only sets parameters, calls the functions of `experiments/normal_1d.py`, and shows.

# %%
from dataclasses import replace

import numpy as np
from IPython.display import display
from scipy import stats

import metrics
from experiments import normal_1d

# %% [markdown]
# ## Why the tutorial's KL misleads
#
# The KL divergence $\mathrm{KL}(p \| q) = \int p \ln (p / q)$ is 0 only if $p = q$. A histogram estimate needs
# bins that both samples share. If each sample gets bins between its own smallest and largest value, shift and
# scale disappear:

# %%
rng = np.random.default_rng(0)
near, far = rng.normal(0, 1, 10_000), rng.normal(100, 50, 10_000)
own_bins = metrics.kl_divergence(*(np.histogram(sample, bins=10)[0] + 0.5 for sample in (near, far)))
shared_bins = metrics.histogram_kl(stats.norm(), far)
print(f"N(0, 1) against N(100, 50): {own_bins:.3f} nats with bins of their own, {shared_bins:.3f} with shared bins")
print(f"the closed form: {metrics.normal_kl(0, 1, 100, 50):.3f} nats")

# %% [markdown]
# And no estimate of a finite sample is 0. What would a perfect generator get? That is the floor:

# %%
edges = metrics.histogram_edges(stats.norm())
print(metrics.kl_floor(metrics.bin_masses(stats.norm(), edges), n=10_000))

# %% [markdown]
# ## One seed
#
# The tutorial's system: $D$ 1-8-1, $G$ 8-4-1, 1000 real numbers, Adam at .0005.

# %%
one = normal_1d.train(replace(normal_1d.RECIPES["classic"], seeds=1, steps=3000))
display(normal_1d.overview(one, normal_1d.report(one)))

# %% [markdown]
# One run proves nothing: start it from another seed and the picture changes.
#
# ## Many seeds
#
# All seeds train in one compiled program; the band holds the middle 80% of them.

# %%
many = normal_1d.train(replace(normal_1d.RECIPES["classic"], seeds=16, steps=3000))
display(normal_1d.overview(many, normal_1d.report(many)))

# %% [markdown]
# ## A recipe that learns
#
# The same game and the same 1000 numbers. What changed, each with its reason, is `STABLE` in the script.

# %%
stable = normal_1d.train(replace(normal_1d.RECIPES["stable"], seeds=16, steps=2000))
result = normal_1d.report(stable)
display(normal_1d.overview(stable, result))

# %% [markdown]
# ## $D$ against $D^*$
#
# The fifth panel shows $D(x)$ and $D^*(x)$ for the fakes at the end. How much of the game does $D$ see?

# %%
for name in ("game_value", "game_value_optimal"):
    print(f"{name}: {result[name]['median']:.4f}, ideal {result['game_value_floor']:.4f} = -ln 4")

# %% [markdown]
# ## Learning rate .05
#
# A hundred times the tutorial's rate: how many of 16 seeds end with less than half the spread of the data?

# %%
fast = normal_1d.train(replace(normal_1d.RECIPES["classic"], seeds=16, steps=3000, learning_rate=0.05))
result = normal_1d.report(fast)
kl, floor = result["kl"]["median"], result["kl_floor"]
print(f"{result['collapsed']} of 16 seeds collapsed; KL {kl:.2f} nats, floor {floor:.4f}")
