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
# # A GAN of two numbers
#
# This is the smallest GAN there is (Mescheder et al. 2018). All real data lie at 0. The generator always draws the
# same number $\theta$. The discriminator's logit at $x$ is $\psi x$. So each player has a single number to learn, and
# the equilibrium is known: $(\theta, \psi) = (0, 0)$. Does training find it?
#
# The forces on the players are the negative gradients of their losses. A step of size $h$ moves each player by $h$
# times the force on it. Near the equilibrium the forces are nearly linear in $(\theta, \psi)$; let $J$ be their
# Jacobian at the equilibrium. If both players move at the same time, one step multiplies $(\theta, \psi)$ by the
# matrix $I + h J$. The largest modulus of the eigenvalues of this matrix is the factor by which the distance to the
# equilibrium changes in a step, on average over many steps.

# %%
import numpy as np
from IPython.display import display

from experiments import dirac_gan
from lab import plots

# %matplotlib inline

# %% [markdown]
# ## Without a penalty the players go in circles
#
# For `minimax` and `non_saturating`, and without a penalty, $J$ has the eigenvalues $\pm i/2$. They are imaginary, so
# in the linear approximation the players go round the equilibrium. There, each step of simultaneous players (both
# move at the same time) also leads a little outwards, and the circle of alternating players closes ($G$ moves first
# and $D$ then answers the new $G$; in the other scripts $D$ moves first, and the eigenvalues of a whole step are the
# same). In the figure `minimax` does this, but `non_saturating` drifts inwards in both orders, because of the terms
# that the approximation leaves out. A penalty of weight $g$ on the slope of $D$ acts like friction. The grey arrows
# show the direction of the forces.

# %%
config = dirac_gan.Config(losses=("minimax", "non_saturating", "wasserstein"), penalties=(0.0, 0.3, 1.0))
trained = dirac_gan.train(config)
result = dirac_gan.evaluate(trained)
fields = {loss: dirac_gan.forces(loss) for loss in config.losses}
display(plots.dirac(fields, trained.game, config.penalties, config.start))

# %% [markdown]
# ## Measured beside theory
#
# With a penalty of weight $g$, theory gives $J$ the eigenvalues $-g/2 \pm \sqrt{g^2/4 - 1/4}$, again for these two
# losses. The measured eigenvalues are those of a $J$ from small differences of the forces.

# %%
for penalty in (0.0, 0.3, 1.0, 2.0):
    one, other = np.linalg.eigvals(dirac_gan.jacobian("minimax", penalty)).astype(complex)
    root = np.sqrt(complex(penalty**2 / 4 - 1 / 4))
    print(f"g = {penalty:3}: measured {one:.4f} and {other:.4f}")
    print(f"          theory   {-penalty / 2 + root:.4f} and {-penalty / 2 - root:.4f}")

# %% [markdown]
# The next table shows for each game the distance to the equilibrium after 500 steps. Beside it stand the factor by
# which a step changes this distance, measured over the last quarter of the steps, and the factor from the
# eigenvalues. If both players move at once, the matrix of a step is $I + hJ$; if they take turns, it is that of $G$'s
# move followed by that of $D$'s.

# %%
print(f"{'loss':16}{'order':14}{'penalty':>8}{'distance':>12}{'measured':>10}{'theory':>10}")
for game in result["games"]:
    print(
        f"{game['loss']:16}{game['order']:14}{game['penalty']:8g}{game['distance']:12.4g}"
        f"{game['contraction']:10.5f}{game['contraction_predicted']:10.5f}"
    )

# %% [markdown]
# Where theory says 1 or more, the linear game does not converge. What the real game does is then decided by the terms
# that the linear approximation leaves out. Where theory says less than 1, the measured factor comes close to it.
#
# With $g = 1$ both eigenvalues of $J$ are equal. A larger penalty makes the players slower again:

# %%
for penalty in (0.5, 0.9, 1.0, 1.1, 2.0, 4.0):
    jacobian = dirac_gan.jacobian("minimax", penalty)
    factor = dirac_gan.predicted_contraction(jacobian, config.learning_rate, "simultaneous")
    halving = np.log(0.5) / np.log(factor)
    print(f"penalty {penalty:g}: factor {factor:.4f} a step, {halving:.0f} steps to halve the distance")
