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
# # Does a GAN reach every mode?
#
# The real points come from eight small normal distributions on a circle, which are called modes. Does a generator
# that starts somewhere else reach all of them? Three numbers of PacGAN (Lin et al. 2018) answer this. **Modes** is
# the number of modes with at least one fake within 3 standard deviations of their centre. **High quality** is the
# share of fakes that lie so close to the centre of some mode. The **reverse KL** says how unequally these fakes are
# spread over the modes; it is 0 if all modes get equal shares.

# %%
from dataclasses import replace

import numpy as np
from IPython.display import display

import metrics
from experiments import mixture_2d
from lab import plots, targets

# %matplotlib inline

# %% [markdown]
# ## What a perfect sampler scores
#
# Not even real points have 100% of high quality: of a normal distribution in the plane, $e^{-9/2} = 1.1\%$ lies
# beyond 3 standard deviations. So a sampler that has clearly more than 98.9% of high quality draws modes that are too
# narrow. And 2500 samples do not fall into 8 modes in exactly equal parts, so that the reverse KL is not exactly 0.

# %%
ring = targets.ring()
rng = np.random.default_rng(0)
for name, sampler in {
    "the ring itself": ring,
    "modes twice as wide": ring._replace(std=2 * ring.std),
    "modes a fifth as wide": ring._replace(std=ring.std / 5),
    "six of the eight modes": ring._replace(centres=ring.centres[:6]),
}.items():
    modes, quality, kl = metrics.mode_coverage(sampler.draw(2500, rng), *ring)
    print(f"{name:24}{modes} modes, {quality:6.1%} of high quality, reverse KL {kl:.4f}")
print(f"six of the eight modes, on paper: reverse KL ln(8/6) = {np.log(8 / 6):.4f}")

# %% [markdown]
# ## Five GANs at once
#
# The penalty R1 on the slope of $D$ is large at first. This makes $D$ smooth, so that every mode attracts fakes from
# far away. Then the penalty fades, $D$ becomes sharp, and the fakes at each mode become as narrow as the real points.
# This run is short and shows only the beginning: by default the script takes 100,000 steps. The first two panels show
# the first seed, the others all seeds.

# %%
small = {
    "discriminator_hidden": (32, 32),
    "generator_hidden": (32, 32, 32),
    "samples": 20_000,
    "seeds": 5,
    "batch": 100,
}
config = replace(mixture_2d.Config(), steps=6000, eval_every=1000, **small)
trained = mixture_2d.train(config)
result = mixture_2d.evaluate(trained)
display(mixture_2d.overview(trained, result))
print(f"{result['complete']} of {result['seeds']} seeds reach all {result['modes_of']} modes")

# %% [markdown]
# The next figure shows every seed. They differ in nothing but random numbers. Even where all of them reach every
# mode, some draw it less sharply or less often than others: a single run says little.

# %%
square, fakes = mixture_2d.square_around(trained.real), trained.game.sample(config.steps)
display(plots.plane_seeds(trained.real.test, fakes, result, square))

# %% [markdown]
# ## Two remedies: packing and unrolling
#
# PacGAN shows $D$ several samples at once, so that $D$ can see that they are too much alike. In an unrolled GAN, $G$
# looks ahead: its gradient also knows how $D$ would answer (Metz et al. 2017). Both stand here beside the plain game,
# with the same small number of steps and the same data.

# %%
plain = replace(mixture_2d.CLASSIC, steps=1000, eval_every=1000, learning_rate=1e-3, beta1=0.5, **small)
remedies = {
    "minimax": {"loss": "minimax"},
    "minimax, --pack 2": {"loss": "minimax", "pack": 2},
    "minimax, --unroll 2": {"loss": "minimax", "unroll": 2},
}
for name, flags in remedies.items():
    scores = mixture_2d.evaluate(mixture_2d.train(replace(plain, **flags)))
    modes, quality, distance = (scores[key]["median"] for key in ("modes", "high_quality", "sliced_wasserstein"))
    print(f"{name:22}{modes:g} modes, {quality:5.1%} of high quality, sliced Wasserstein {distance:.3f}")

# %% [markdown]
# These numbers are medians over five seeds after a short training, which is too little to say which game is better.
# `docs/results/modes.md` has long runs.

# %% [markdown]
# ## Watching it learn
#
# Here is the first of the five GANs above after 0, 2000, 4000 and 6000 steps. The background of the upper row shows
# the output of $D$: blue where $D$ takes points for real, orange where it takes them for fakes, white where it cannot
# tell. Real points are blue, fakes are orange, and the arrows show where $D$ pushes some of the fakes. The lower row
# shows what $G$ makes of a square of latents: along the green lines the first latent coordinate varies, along the
# olive ones the second. A run of the script draws this as an animation, `training.gif`, and as a page with a slider,
# `training.html`.

# %%
fig, axes = plots.figure(2, 4, 11, 5.8)
for step, (upper, lower) in zip((0, 2000, 4000, 6000), axes.T, strict=True):
    plots.plane(upper, trained.real.test, trained.run.snapshots[step], square)
    plots.latent_lattice(lower, trained.run.snapshots[step], square)
    upper.set(title=f"step {step}", xlabel="")
    lower.set(title="", xlabel="")
display(fig)
