"""The GAN of two numbers, whose answer is known: which loss and which penalty make it converge, and how fast?

Mescheder et al. 2018, section 2: all data lie at 0, G always draws the number theta, and D's logit at x is psi x. The
equilibrium is (theta, psi) = (0, 0). Near it the game is linear. Let J be the Jacobian there of the forces on both
players, which are the negative gradients of their losses. One step of size h multiplies (theta, psi) by I + h J if
both move at once, and by two such factors if G moves first. The modulus of the largest eigenvalue is the factor by
which a step changes the distance to the equilibrium, as theory predicts it; above 1 the players move away.

For losses made of log-sigmoids the eigenvalues of J are -g/2 +- sqrt(g^2/4 - 1/4), where g is the weight of a penalty
on D's slope (r1): pure rotation without a penalty, no rotation from g = 1 on. Under least squares D feels no force
near the equilibrium: without a bias its logit at the data is 0 whatever psi is, so that it cannot approach 1, its
target for real samples, and a fake at the data has its target, 0, already.

    python experiments/dirac_gan.py                         seven losses, six penalties, both orders: ten seconds
    python experiments/dirac_gan.py --learning-rate 0.05 --steps 2000

Nothing here is random, and no checkpoint is needed: a run that was stopped starts again.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from rich import box
from rich.table import Table

import gan_core as core
from gan_core import tf
from lab import cli, files, memory, plots, runs, screen

ORDERS = ("simultaneous", "alternating")  # alternating: G moves first, D then answers the new G
Array = np.ndarray


@dataclass(frozen=True)
class Config:
    """Settings of one study."""

    # game
    losses: Annotated[tuple[str, ...], cli.one_of(core.LOSSES)] = tuple(core.LOSSES)
    penalties: tuple[cli.Weight, ...] = (0.0, 0.1, 0.3, 1.0, 2.0, 4.0)  # weights of r1
    start: Annotated[tuple[float, float], cli.Accepted("finite numbers", np.isfinite)] = (1.0, -1.0)  # theta and psi
    # training
    steps: cli.Count = 500  # of each player
    learning_rate: cli.Rate = 0.2  # of plain gradient descent

    def __post_init__(self) -> None:
        cli.check(self)
        cli.require(self, "penalties start learning_rate", "at most 1e6 in size", lambda v: abs(v) <= 1e6)
        for name in ("losses", "penalties"):
            given = [f"{value:g}" if name == "penalties" else value for value in getattr(self, name)]
            if not given or len(set(given)) < len(given):
                raise files.BadInput(f"{' '.join([f'--{name}', *given])}: expected one or more, each once")


@cache
def forces(loss: str) -> Callable:
    """`(theta, psi, penalty) -> (-d G's loss / d theta, -d D's loss / d psi)`: float64 arrays `[n, 1]` of n games."""

    @tf.function(autograph=False)
    def force(theta, psi, penalty):
        with tf.GradientTape(persistent=True) as tape:
            tape.watch((theta, psi))
            real, fake = 0 * psi, psi * theta  # D's logits at 0 and at theta
            slope = 0.5 * penalty * psi**2  # r1: D's slope is psi everywhere
            d_loss = core.LOSSES[loss].d(real, fake) + slope
            g_loss = core.LOSSES[loss].g(real, fake)
        zero = tf.UnconnectedGradients.ZERO
        return -tape.gradient(g_loss, theta, unconnected_gradients=zero), -tape.gradient(
            d_loss, psi, unconnected_gradients=zero
        )

    return lambda *state: tuple(f.numpy() for f in force(*(tf.constant(s, tf.float64) for s in state)))


def bytes_needed(config: Config) -> int:
    """About how much memory a study takes, for `memory.require`: the paths of all games are kept, as float64."""
    games = len(config.losses) * len(ORDERS) * len(config.penalties)
    return memory.TENSORFLOW + config.steps * (1000 + 2 * 16 * games)  # made of small arrays, then whole and drawn


def trajectories(config: Config, loss: str, order: str) -> Array:
    """(theta, psi) after 0, 1, ..., steps steps, for every penalty: `[steps + 1, penalties, 2]`."""
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
    force, columns = forces(loss), []
    for step in ((at, 0.0), (0.0, at)):
        up, down = (
            force(*(np.array([[sign * s]]) for s in step), np.array([[penalty]]))  # both forces there
            for sign in (1, -1)
        )
        columns.append([float(a[0, 0] - b[0, 0]) / (2 * at) for a, b in zip(up, down, strict=True)])
    return np.array(columns).T


def predicted_contraction(jacobian: Array, learning_rate: float, order: str) -> float:
    """Modulus of the largest eigenvalue of the linear map that one step is near the equilibrium."""
    move = np.eye(2) + learning_rate * jacobian
    if order == "alternating":
        g, d = np.eye(2), np.eye(2)
        g[0], d[1] = move[0], move[1]
        move = d @ g
    return float(np.abs(np.linalg.eigvals(move)).max())


def measured_contraction(path: Array) -> float | None:
    """Factor by which a step changes the distance to the equilibrium, over the last quarter of `path [n, 2]`.

    None if the path leaves the range of floats, or if it arrives exactly at the equilibrium.
    """
    distance = np.linalg.norm(path[-max(1, len(path) // 4) - 1 :], axis=-1)
    if not np.isfinite(distance).all() or distance[-1] < 1e-300:
        return None
    return float((distance[-1] / distance[0]) ** (1 / (len(distance) - 1)))


def train(config: Config, run: runs.Run | None = None) -> runs.Trained:
    """Play every loss in both orders, all penalties at once; `game` is (loss, order) -> its `trajectories`."""
    run, paths = run or runs.Run(), {}
    memory.require(config, bytes_needed)
    with run.timed(), np.errstate(all="ignore"):  # games that diverge are reported as such
        for loss in config.losses:
            for order in ORDERS:
                paths[loss, order] = trajectories(config, loss, order)
    return runs.Trained(config, 0.0, paths, run)


def evaluate(trained: runs.Trained) -> dict[str, Any]:
    """`games`: for each loss, order and penalty the final distance to the equilibrium, and both contractions."""
    config, games = trained.config, []
    for loss in config.losses:
        jacobians = [jacobian(loss, penalty) for penalty in config.penalties]
        for order in ORDERS:
            path = trained.game[loss, order]
            for k, penalty in enumerate(config.penalties):
                with np.errstate(all="ignore"):
                    distance, contraction = float(np.linalg.norm(path[-1, k])), measured_contraction(path[:, k])
                game = {"loss": loss, "order": order, "penalty": penalty}
                game |= {"distance": distance if np.isfinite(distance) else None, "contraction": contraction}
                game["contraction_predicted"] = predicted_contraction(jacobians[k], config.learning_rate, order)
                games.append(game)
    stable = sum(is_stable(game) for game in games)
    headline = f"{stable} of {len(games)} games are stable at the equilibrium: their contraction is below 1"
    settings = {"start": config.start, "learning_rate": config.learning_rate, "steps": config.steps}
    return settings | {"games": games, "headline": headline}


def is_stable(game: dict[str, Any]) -> bool:
    """Whether a step brings the players closer in theory; 1e-6: a pure rotation has contraction 1, up to rounding."""
    return game["contraction_predicted"] < 1 - 1e-6


def figures(trained: runs.Trained, result: dict[str, Any], folder: Path) -> None:
    """trajectories.png: the forces as arrows, and the trajectories of both orders."""
    config = trained.config
    fields = {loss: forces(loss) for loss in config.losses}
    plots.save(plots.dirac(fields, trained.game, config.penalties, config.start), folder / "trajectories.png")


def show(result: dict[str, Any]) -> None:
    """Print the measured contractions: a row for each loss and order, a column for each penalty; and how far theory
    is from them."""
    games = result["games"]
    title = "from ({:g}, {:g}), {} steps of {:g}".format(*result["start"], result["steps"], result["learning_rate"])
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, padding=0)
    penalties = list(dict.fromkeys(f"{game['penalty']:g}" for game in games))
    for name in ("loss", "order", *penalties):
        table.add_column(name, no_wrap=True, justify="right" if name in penalties else "left")
    rows: dict[tuple[str, str], list[str]] = {}
    for game in games:
        rows.setdefault((game["loss"], game["order"]), []).append(contraction(game))
    for names, cells in rows.items():
        table.add_row(*names, *cells)
    screen.console.print(table)
    screen.say("A column for each penalty: the factor by which a step changes the distance to the")
    screen.say("equilibrium, over the last quarter of the steps. A star: by theory it is 1 or more")
    screen.say("near the equilibrium, which therefore does not attract.")
    if compared := [game for game in games if is_stable(game) and game["contraction"] is not None]:
        game = max(compared, key=difference_from_theory)
        where = "{loss}, {order}, penalty {penalty:g}".format(**game)
        screen.say(f"Elsewhere theory differs by at most {difference_from_theory(game):.4f} ({where}).")


def difference_from_theory(game: dict[str, Any]) -> float:
    """How far the measured contraction is from the predicted one."""
    return abs(game["contraction"] - game["contraction_predicted"])


def contraction(game: dict[str, Any]) -> str:
    """The measured contraction of a game, with a star where the equilibrium is not stable."""
    if game["contraction"] is None:
        return "diverged" if game["distance"] is None else "arrived"
    return f"{game['contraction']:.3f}{' ' if is_stable(game) else '*'}"


RECIPES = {"stable": Config()}

if __name__ == "__main__":
    cli.main(__doc__, RECIPES, train, evaluate, figures, show)
