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
# # Two numbers
#
# The smallest GAN there is (Mescheder et al. 2018): all data lie at 0, the generator always draws $\theta$, and the
# discriminator's logit at $x$ is $\psi x$. The equilibrium is $(\theta, \psi) = (0, 0)$. Does training find it?
#
# Near the equilibrium the game is linear. With $J$ the Jacobian of both players' forces, one step of size $h$ is
# $I + h J$, and the modulus of its largest eigenvalue is the factor by which the distance changes.

# %%
import numpy as np
from IPython.display import display

import gan_plots as plots
from experiments import dirac_gan

# %% [markdown]
# ## The explicit game circles
#
# Without a penalty $J$ has the eigenvalues $\pm i/2$: the players go round each other. If both move at once, each
# step also leads a little outwards; if G moves first, the circle closes. A penalty of weight $g$ on D's slope adds
# friction.

# %%
config = dirac_gan.Config(losses=("minimax", "non_saturating", "wasserstein"), penalties=(0.0, 0.3, 1.0)).checked()
rows, paths = dirac_gan.study(config)
fields = {loss: dirac_gan.forces(loss) for loss in config.losses}
display(plots.dirac(fields, paths, config.penalties, config.start))

# %% [markdown]
# ## Measured beside theory
#
# The eigenvalues of $J$ for losses of log-sigmoids are $-g/2 \pm \sqrt{g^2/4 - 1/4}$.

# %%
for penalty in (0.0, 0.3, 1.0, 2.0):
    found = np.linalg.eigvals(dirac_gan.jacobian("minimax", penalty))
    root = np.sqrt(complex(penalty**2 / 4 - 1 / 4))
    theory = np.round([-penalty / 2 + root, -penalty / 2 - root], 5)
    print(f"g = {penalty:g}: J has {np.round(found, 5)}, theory {theory}")

# %%
print(f"{'loss':16}{'order':14}{'penalty':>8}{'distance':>12}{'a step':>10}{'theory':>10}")
for row in rows:
    a_step = "-" if row["contraction"] is None else f"{row['contraction']:.5f}"
    print(
        f"{row['loss']:16}{row['order']:14}{row['penalty']:8g}{row['distance']:12.4g}"
        f"{a_step:>10}{row['contraction_predicted']:10.5f}"
    )

# %% [markdown]
# Where theory says 1 or more, the linear game does not converge, and what the real one does is decided by the terms
# that the line leaves out. Where it says less, the measured factor comes close to it. With $g = 1$ the two
# eigenvalues are equal: more penalty than that makes the players slower again.

# %%
for penalty in (0.5, 0.9, 1.0, 1.1, 2.0, 4.0):
    factor = dirac_gan.predicted_contraction(
        dirac_gan.jacobian("minimax", penalty), config.learning_rate, "simultaneous"
    )
    halving = np.log(0.5) / np.log(factor)
    print(f"penalty {penalty:g}: factor {factor:.4f} a step, {halving:.0f} steps to halve the distance")
