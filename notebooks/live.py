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
# # Watch GANs play, and change the rules while they do
#
# The second cell below is the live page of `python experiments/live.py`, inside this notebook. Ten GANs learn the
# ring of eight modes at once, each from its own random numbers. Press **Play**, move a slider, draw a distribution of
# your own. The page needs one more package, in the environment of Jupyter too if this is another one:
#
#     .venv/bin/pip install -e '.[notebook]' -c constraints.txt
#
# Several pages in one notebook play independently of each other. A game ends with `page.close()` or with the kernel:
# call it before you run the cell again, or the old game keeps its memory. Closing the notebook's tab stops nothing,
# and when you open it again the page shows the game where it is. While another cell runs, the page stands still.

# %%
from dataclasses import replace

from IPython.display import display

from experiments import mixture_2d
from lab import plots, targets
from lab.live import game, widget

# %matplotlib inline

# %% tags=["skip-execution"]
page = widget.play("ring", seeds=10)
display(page)

# %% [markdown]
# On GitHub, and after this notebook was executed without a browser, the cell above is empty. This is what it shows
# (with the box "colours stretched" ticked, so that the strongest colours stand for .48 and .52):
#
# ![The live page: points in the plane, curves of all seeds, and sliders](../docs/figures/live.png)
#
# ## How to read it
#
# - **The square** shows one seed. Real points are blue, fakes are orange. The background is $D$'s probability that a
#   point is real: blue where $D$ says real, orange where it says fake, white where it cannot tell. The arrows show
#   where $D$ pushes the fakes, which is minus the gradient of $G$'s loss.
# - **The small squares** show the fakes of every seed; a click chooses the seed. They differ in nothing but random
#   numbers, so what only some of them do is luck.
# - **The curves** have a line for the median of the seeds, a band from 10% to 90% of them, and dashes for the shown
#   seed. The level named "perfect sampler" is what as many points of the real distribution itself score.
# - **The controls** with a dot act at once. Those with an arrow compile a new program first, which takes seconds; the
#   game before it plays on in the meantime.
# - **Slow motion** shows the six stages of a single step: latents, fakes, $D$'s verdict, losses, gradients, update.

# %% [markdown]
# ## The same game without a browser
#
# The page only shows a `Game`, which any program can play. This one begins with 1000 steps of both players. Then it
# does what the buttons **D alone** and **G alone** do: $D$ gets 100 turns while $G$ waits, and then $G$ gets 100
# turns while $D$ waits. There is no penalty R1 here, so that nothing holds $D$ back.

# %%
config = replace(mixture_2d.Config(), seeds=1, samples=20_000, r1=0.0, average=0.0)
real, knobs = targets.points("ring", config.samples, range(config.seeds)), game.Knobs()
ring = game.Game(mixture_2d, config, real.train, knobs)
program = game.new_program(mixture_2d, config, knobs, free_penalties=False)

square = mixture_2d.square_around(real)
fig, axes = plots.figure(1, 4, 11, 3.1)
for ax, (players, count) in zip(axes.flat, (("both", 1000), ("D", 100), ("G", 20), ("G", 80)), strict=True):
    d_loss, g_loss = ring.play(program, count, players)[-1, :, 0]  # of the last step
    fakes = ring.gans.sample(ring.step)
    plots.plane(ax, real.test, mixture_2d.pictures_of_first_seed(ring.gans, fakes, square), square)
    ax.set(title=f"{ring.turns['D']} turns of D, {ring.turns['G']} of G", xlabel="")
    print(f"{count:5} turns of {players:5} loss of D {d_loss:5.2f}, of G {g_loss:5.2f}")
display(fig)

# %% [markdown]
# Each player lowers its own loss while it is alone. That does not make $D$ right everywhere: while it was alone,
# $G$'s loss fell as well, so $D$ now takes these fakes for real more often than before. $G$ alone then follows the
# arrows to wherever this fixed $D$ says real, and $D$'s loss rises. These places are not only where the real points
# are: $D$ has hardly seen a point elsewhere, and here it cannot answer. Only if both players keep moving does $D$
# notice where the fakes have gone.
