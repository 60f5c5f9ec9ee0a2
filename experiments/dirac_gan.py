"""The GAN of two numbers, whose answer is known: which loss and which penalty make it converge, and how fast?

Mescheder et al. 2018, section 2: all data lie at 0, G always draws theta, and D's logit at x is psi x. The
equilibrium is (0, 0). Near it the game is linear: with J the Jacobian of both players' forces (their losses' negative
gradients) there, one step of size h multiplies (theta, psi) by I + h J if both move at once, and by two such factors
if G moves first. The modulus of the largest eigenvalue is the contraction a step that theory gives; above 1 the
players circle away from each other.

For losses of log-sigmoids J's eigenvalues are -g/2 +- sqrt(g^2/4 - 1/4) with a penalty of weight g on D's slope (r1):
pure rotation without it, no rotation from g = 1 on. Under least squares D feels no force near the equilibrium:
without a bias it says 0 at the data, half-way between its targets.

    python experiments/dirac_gan.py                         seven losses, six penalties, both orders: ten seconds
    python experiments/dirac_gan.py --learning-rate 0.05 --steps 2000
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Literal

import numpy as np
from rich.table import Table

import gan_core as core
import gan_runs as runs
from gan_core import tf

EXPERIMENT = "dirac_gan"
ORDERS = ("simultaneous", "alternating")  # alternating: G first, D against the new G
Array = np.ndarray


@dataclass(frozen=True)
class Config:
    """Settings."""

    recipe: Literal["stable"] = "stable"
    losses: tuple[Literal[tuple(core.LOSSES)], ...] = tuple(core.LOSSES)
    penalties: tuple[float, ...] = (0.0, 0.1, 0.3, 1.0, 2.0, 4.0)  # weights of r1; 1 is critical for log losses
    start: tuple[float, float] = (1.0, -1.0)  # theta, psi: D tells the fake, at 1, from the data, at 0
    steps: int = 500
    learning_rate: float = 0.2  # of plain gradient steps
    seed: int = 0  # names the run's folder; nothing here is random
    checkpoint_every: int = 500  # nothing to save: a stopped run starts again

    def checked(self) -> "Config":
        """The same; BadInput for a value that cannot work."""
        runs.require(self, "steps checkpoint_every", "at least 1", lambda v: v >= 1)
        runs.require(self, "learning_rate", "above 0", lambda v: 0 < v < np.inf)
        runs.require(self, "penalties", "0 or more", lambda v: 0 <= v < np.inf)
        runs.require(self, "start", "finite numbers", np.isfinite)
        for name in ("losses", "penalties"):
            if not getattr(self, name):
                raise runs.BadInput(f"--{name}: none given, expected at least one")
        return self


@cache
def forces(loss: str) -> Callable:
    """`(theta, psi, penalty) -> (-d G's loss / d theta, -d D's loss / d psi)`, float64 arrays `[n, 1]`, n games."""

    @tf.function(autograph=False)
    def force(theta, psi, penalty):
        with tf.GradientTape(persistent=True) as tape:
            tape.watch((theta, psi))
            real, fake = 0 * psi, psi * theta  # logits at 0 and at theta
            slope = 0.5 * penalty * psi**2  # r1: D's slope is psi everywhere
            d_loss = core.LOSSES[loss].discriminator(real, fake) + slope
            g_loss = core.LOSSES[loss].generator(real, fake)
        zero = tf.UnconnectedGradients.ZERO
        return -tape.gradient(g_loss, theta, unconnected_gradients=zero), -tape.gradient(
            d_loss, psi, unconnected_gradients=zero
        )

    return lambda *state: tuple(f.numpy() for f in force(*(tf.constant(s, tf.float64) for s in state)))


def trajectories(config: Config, loss: str, order: str) -> Array:
    """(theta, psi) after 0 .. steps steps for every penalty: `[steps + 1, penalties, 2]`."""
    force, h = forces(loss), config.learning_rate
    penalty = np.array(config.penalties, np.float64)[:, None]
    theta, psi = (np.full_like(penalty, value) for value in config.start)
    path = [(theta, psi)]
    for _ in range(config.steps):
        of_theta, of_psi = force(theta, psi, penalty)
        theta = theta + h * of_theta
        if order == "alternating":
            _, of_psi = force(theta, psi, penalty)
        psi = psi + h * of_psi
        path.append((theta, psi))
    return np.stack([np.hstack(both) for both in path])


def jacobian(loss: str, penalty: float, at: float = 1e-6) -> Array:
    """J `[2, 2]` of the forces at the equilibrium, by central differences: exact to 1e-10 for these losses."""
    force, rows = forces(loss), []
    for step in ((at, 0.0), (0.0, at)):
        up, down = (
            force(*(np.array([[sign * s]]) for s in step), np.array([[penalty]]))  # both forces there
            for sign in (1, -1)
        )
        rows.append([float(a[0, 0] - b[0, 0]) / (2 * at) for a, b in zip(up, down, strict=True)])
    return np.array(rows).T


def predicted_contraction(jacobian: Array, learning_rate: float, order: str) -> float:
    """Modulus of the largest eigenvalue of one step's linear map near the equilibrium."""
    move = np.eye(2) + learning_rate * jacobian
    if order == "alternating":
        g, d = np.eye(2), np.eye(2)
        g[0], d[1] = move[0], move[1]
        move = d @ g
    return float(np.abs(np.linalg.eigvals(move)).max())


def measured_contraction(path: Array) -> float | None:
    """Factor by which the distance to the equilibrium changes in a step, over the last quarter of `path [n, 2]`.

    None where the path ends beyond the floats, or arrives at the equilibrium exactly.
    """
    distance = np.linalg.norm(path[-(len(path) // 4) - 1 :], axis=-1)
    if not np.isfinite(distance).all() or distance[-1] < 1e-300:
        return None
    return float((distance[-1] / distance[0]) ** (1 / (len(distance) - 1)))


def study(config: Config) -> tuple[list[dict], dict[tuple[str, str], Array]]:
    """A row for each loss, order and penalty, and the trajectories behind them."""
    rows, paths = [], {}
    for loss in config.losses:
        jacobians = [jacobian(loss, penalty) for penalty in config.penalties]
        for order in ORDERS:
            with np.errstate(all="ignore"):  # what flies apart is reported as such
                path = paths[loss, order] = trajectories(config, loss, order)
            for k, penalty in enumerate(config.penalties):
                distance = float(np.linalg.norm(path[-1, k]))
                rows.append(
                    {
                        "loss": loss,
                        "order": order,
                        "penalty": penalty,
                        "distance": distance if np.isfinite(distance) else None,
                        "contraction": measured_contraction(path[:, k]),
                        "contraction_predicted": predicted_contraction(jacobians[k], config.learning_rate, order),
                    }
                )
    return rows, paths


def train_and_report(config: Config, run: runs.Run) -> None:
    """Play all games, draw, tell."""
    import gan_plots as plots  # seaborn takes seconds to import

    with run.timed():
        rows, paths = study(config)
    fields = {loss: forces(loss) for loss in config.losses}
    plots.save(
        plots.dirac(fields, paths, config.penalties, config.start), run.folder / "figures" / "trajectories.png"
    )
    run.finish({"experiment": EXPERIMENT, "recipe": config.recipe, "steps": config.steps, "games": rows})
    title = f"from ({config.start[0]:g}, {config.start[1]:g}), {config.steps} steps of {config.learning_rate:g}"
    table = Table(title=title, title_justify="left", box=runs.box.SIMPLE_HEAD, padding=(0, 1), pad_edge=False)
    for name in ("loss", "order", "penalty", "distance", "a step", "theory"):
        table.add_column(name, no_wrap=True, justify="left" if name in ("loss", "order") else "right")
    for row in rows:
        contraction = "-" if row["contraction"] is None else f"{row['contraction']:.5f}"
        distance = "flew apart" if row["distance"] is None else f"{row['distance']:.4g}"
        theory = f"{row['contraction_predicted']:.5f}"
        table.add_row(row["loss"], row["order"], f"{row['penalty']:g}", distance, contraction, theory)
    runs.console.print(table)
    stable = sum(row["contraction_predicted"] < 1 for row in rows)
    runs.say("distance: to the equilibrium, at the end; a step: its factor, measured; theory: the eigenvalue's")
    runs.say(f"{run.folder}: figures/trajectories.png, every number in result.json")
    runs.say(f"{stable} of {len(rows)} games are stable at the equilibrium: contraction below 1")


RECIPES = {"stable": Config()}

if __name__ == "__main__":
    runs.command_line(EXPERIMENT, RECIPES, train_and_report, __doc__)
