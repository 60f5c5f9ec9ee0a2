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
# # Does it cover every mode?
#
# Eight small normals on a circle, a generator that starts somewhere, and the question of every GAN paper: does it
# reach all of them? Each number below is PacGAN's (Lin et al. 2018): **modes** with at least one sample within 3
# standard deviations, the share of such samples (**high quality**), and the **reverse KL** of their modes against
# equal shares.

# %%
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
from IPython.display import HTML, display

import gan_data as data
import gan_plots as plots
import metrics
from experiments import mixture_2d

# %% [markdown]
# ## What a perfect sampler scores
#
# Nobody reaches 100%: of a normal in the plane, $e^{-9/2} = 1.1\%$ lie beyond 3 standard deviations. More than
# 98.9% of high quality means modes narrower than the real ones. And 2500 samples never fall into 8 modes evenly.

# %%
ring = data.ring()
rng = np.random.default_rng(0)
for name, sampler in {
    "the ring itself": ring,
    "twice as wide": ring._replace(std=2 * ring.std),
    "a fifth as wide": ring._replace(std=ring.std / 5),
    "six of the eight modes": ring._replace(centres=ring.centres[:6]),
}.items():
    modes, quality, kl = metrics.mode_coverage(sampler.draw(2500, rng), *ring)
    print(f"{name:24}{modes} modes, {quality:6.1%} of high quality, reverse KL {kl:.4f}")
print(f"six of eight modes, by hand: ln(8/6) = {np.log(8 / 6):.4f}")

# %% [markdown]
# ## Five GANs at once
#
# R1 is large at first, which makes D smooth: every mode pulls fakes from afar. Then it fades, D becomes sharp, and
# the modes become as narrow as the real ones. This run is short; the script's own takes 100,000 steps.

# %%
small = {
    "discriminator_hidden": (32, 32),
    "generator_hidden": (32, 32, 32),
    "samples": 20_000,
    "seeds": 6,
    "batch": 100,
}
config = replace(mixture_2d.STABLE, steps=3000, eval_every=1000, **small).checked()
trained = mixture_2d.train(config)
result = mixture_2d.report(trained)
display(mixture_2d.overview(trained, result))
print(f"{result['complete']} of {result['seeds']} seeds reach all {result['modes_of']} modes")

# %% [markdown]
# Small multiples: the same recipe, five seeds. One run says little.

# %%
view = mixture_2d.square(trained.real)
display(plots.plane_seeds(trained.real, trained.fakes, result, view))

# %% [markdown]
# ## Two tricks: packing and unrolling
#
# PacGAN shows D several samples at once, so that it sees their lack of variety. An unrolled GAN lets G look ahead:
# its gradient goes through the answers of D. Here both beside the plain game, all with the same few steps and data.
# Medians over seeds; short runs of five seeds are no verdict. `docs/results_modes.md` has long ones.

# %%
plain = replace(mixture_2d.RECIPES["classic"], steps=1000, eval_every=1000, learning_rate=1e-3, beta1=0.5, **small)
tricks = {
    "minimax": {"loss": "minimax"},
    "minimax, --pack 2": {"loss": "minimax", "pack": 2},
    "minimax, --unroll 2": {"loss": "minimax", "unroll": 2},
}
for name, flags in tricks.items():
    scores = mixture_2d.report(mixture_2d.train(replace(plain, **flags).checked()))
    modes, quality, distance = (scores[key]["median"] for key in ("modes", "high_quality", "sliced_wasserstein"))
    print(f"{name:22}{modes:g} modes, {quality:5.1%} of high quality, sliced Wasserstein {distance:.3f}")

# %% [markdown]
# ## Watching it
#
# Colours are D's verdict, arrows the way D pushes the fakes; on the right a square of latents as G bends it. A run
# of the script writes this as `training.gif`, and as `training.html` with a slider.

# %%
with tempfile.TemporaryDirectory() as folder:
    titles = {r["step"]: mixture_2d.title(r, result) for r in trained.records}
    plots.plane_animation(Path(folder), trained.real.test, trained.snapshots, titles, view)
    player = (Path(folder) / "training.html").read_text()
display(HTML(player))
