"""The GAN of two numbers, whose answer is known: which loss and which penalty make it converge, and how fast?

Mescheder et al. 2018, section 2: all data lie at 0, G always draws the number theta, and D's logit at x is psi x. The
equilibrium is (theta, psi) = (0, 0). Near it the game is linear. At the equilibrium, let J be the Jacobian of the
forces on both players, which are the negative gradients of their losses. One step of size h multiplies (theta, psi)
by I + h J if both move at once. If G moves first, a matrix for G's move is followed by one for each move of D. The
modulus of the largest eigenvalue is the factor by which a step changes the distance to the equilibrium, as theory
predicts it; above 1 the players move away.

For losses made of log-sigmoids the eigenvalues of J are -g/2 +- sqrt(g^2/4 - 1/4), where g is the weight of a penalty
on D's slope (r1): pure rotation without a penalty, no rotation from g = 1 on. (relativistic_average, hinge and
wasserstein have twice the forces: -g/2 +- sqrt(g^2/4 - 1), no rotation from g = 2 on.) Under least squares D feels no
force near the equilibrium but that of the penalty: without a bias its logit at the data is 0 whatever psi is, so that
it cannot approach 1, its target for real samples, and a fake at the data has its target, 0, already.

`--game linear_quadratic` (Nagarajan and Kolter 2017): the data are normal numbers x, G draws (1 + theta) z from
normal numbers z, and D's logit at x is psi x^2. Now the data themselves curve D's loss in psi, so that minimax
converges without a penalty: the eigenvalues are -3/4 +- sqrt(9/16 - 1). Under Wasserstein they are +- 2i.

    python experiments/dirac_gan.py                         seven losses, six penalties, both orders: ten seconds
    python experiments/dirac_gan.py --learning-rate 0.05 --steps 2000
    python experiments/dirac_gan.py --losses wasserstein --penalties 0 --gradient-penalty 0.7 --d-steps 5
    python experiments/dirac_gan.py --game linear_quadratic --learning-rate 0.05 --steps 2000

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
GAMES = ("dirac", "linear_quadratic")
NORMAL = np.sqrt(3) * np.array([0, 0, 0, 0, 1, -1])  # all moments up to the fifth are those of N(0, 1): 0, 1, 0, 3, 0
Array = np.ndarray


@dataclass(frozen=True)
class Config:
    """Settings of one study."""

    # game
    game: Annotated[str, cli.one_of(GAMES)] = "dirac"
    losses: Annotated[tuple[str, ...], cli.one_of(core.LOSSES)] = tuple(core.LOSSES)
    penalties: tuple[cli.Weight, ...] = (0.0, 0.1, 0.3, 1.0, 2.0, 4.0)  # weights g of r1, g/2 times D's slope squared
    gradient_penalty: cli.Weight = 0.0  # weight w of WGAN-GP's penalty w/2 (|slope| - 1)^2 at the data: lambda is w/2
    consensus: cli.Weight = 0.0  # weight of half the forces' squared length in both losses (Mescheder et al. 2017)
    instance_noise: cli.Weight = 0.0  # standard deviation of noise on real samples and fakes (Sonderby et al. 2017)
    clip: cli.Rate | None = None  # psi is kept within this distance of 0 (Arjovsky et al. 2017)
    start: Annotated[tuple[float, float], cli.Accepted("finite numbers", np.isfinite)] = (1.0, -1.0)  # theta and psi
    # training
    steps: cli.Count = 500  # of G
    d_steps: cli.Count = 1  # steps of D for each step of G
    learning_rate: cli.Rate = 0.2  # of plain gradient descent

    def __post_init__(self) -> None:
        cli.check(self)
        limited = "penalties gradient_penalty consensus instance_noise start learning_rate"
        cli.require(self, limited, "at most 1e6 in size", lambda v: abs(v) <= 1e6)
        for name in ("losses", "penalties"):
            given = [f"{value:g}" if name == "penalties" else value for value in getattr(self, name)]
            if not given or len(set(given)) < len(given):
                raise files.BadInput(f"{' '.join([f'--{name}', *given])}: expected one or more, each once")


@cache
def forces(loss: str, config: Config = Config()) -> Callable:
    """`(theta, psi, penalty) -> (-d G's loss / d theta, -d D's loss / d psi)`: float64 arrays `[n, 1]` of n games."""
    random = config.game == "linear_quadratic" or config.instance_noise
    values = NORMAL if random else np.zeros(1)
    x, z = map(np.ravel, np.meshgrid(values, values))  # all pairs [B], B = 36 or 1
    zero = {"unconnected_gradients": tf.UnconnectedGradients.ZERO}

    def losses(theta, psi, penalty):
        if config.game == "linear_quadratic":
            real, fake, slope = psi * x**2, psi * ((1 + theta) * z) ** 2, 2 * psi * x
        else:  # D's slope is psi everywhere
            real, fake, slope = psi * config.instance_noise * x, psi * (theta + config.instance_noise * z), psi
        on_slope = 0.5 * penalty * slope**2 + 0.5 * config.gradient_penalty * (tf.abs(slope) - 1) ** 2
        d_loss, g_loss = core.LOSSES[loss].d(real, fake) + on_slope, core.LOSSES[loss].g(real, fake)
        return core.batch_mean(g_loss), core.batch_mean(d_loss)  # [n]

    def force(theta, psi, penalty):
        with tf.GradientTape(persistent=True) as tape:
            tape.watch((theta, psi))
            g_loss, d_loss = losses(theta, psi, penalty)
        return -tape.gradient(g_loss, theta, **zero), -tape.gradient(d_loss, psi, **zero)

    def force_to_consensus(theta, psi, penalty):
        with tf.GradientTape() as tape:
            tape.watch((theta, psi))
            both = force(theta, psi, penalty)
            square = 0.5 * (both[0] ** 2 + both[1] ** 2)
        slopes = tape.gradient(square, (theta, psi), **zero)
        return tuple(f - config.consensus * slope for f, slope in zip(both, slopes, strict=True))

    program = tf.function(force_to_consensus if config.consensus else force, autograph=False)
    return lambda *state: tuple(f.numpy() for f in program(*(tf.constant(s, tf.float64) for s in state)))


def bytes_needed(config: Config) -> int:
    """About how much memory a study takes, for `memory.require`: the paths of all games are kept, as float64."""
    games = len(config.losses) * len(ORDERS) * len(config.penalties)
    return memory.TENSORFLOW + config.steps * (1000 + 2 * 16 * games)  # made of small arrays, then whole and drawn


def trajectories(config: Config, loss: str, order: str) -> Array:
    """(theta, psi) after 0, 1, ..., steps steps of G, for every penalty: `[steps + 1, penalties, 2]`."""
    force, h, bound = forces(loss, config), config.learning_rate, config.clip or np.inf
    penalty = np.array(config.penalties, np.float64)[:, None]
    theta, psi = (np.full_like(penalty, value) for value in config.start)
    psi = np.clip(psi, -bound, bound)
    path = [(theta, psi)]
    for _ in range(config.steps):
        before, theta = theta, theta + h * force(theta, psi, penalty)[0]
        seen = theta if order == "alternating" else before  # the G that D answers
        for _ in range(config.d_steps):
            psi = np.clip(psi + h * force(seen, psi, penalty)[1], -bound, bound)
        path.append((theta, psi))
    return np.stack([np.hstack(both) for both in path])


def jacobian(loss: str, penalty: float, config: Config = Config()) -> Array:
    """J `[2, 2]` of the forces at the equilibrium, by central differences: exact to 1e-9 for these losses.

    With a `gradient_penalty` there is none: the force on psi jumps from -w to w at psi = 0 (from -1.15 w to 1.15 w
    in the linear-quadratic game).
    """
    force, columns, at = forces(loss, config), [], 1e-6
    for step in ((at, 0.0), (0.0, at)):
        up, down = (
            force(*(np.array([[sign * s]]) for s in step), np.array([[penalty]]))  # both forces there
            for sign in (1, -1)
        )
        columns.append([float(a[0, 0] - b[0, 0]) / (2 * at) for a, b in zip(up, down, strict=True)])
    return np.array(columns).T


def predicted_contraction(jacobian: Array, learning_rate: float, order: str, d_steps: int = 1) -> float:
    """Modulus of the largest eigenvalue of the linear map that one step is near the equilibrium.

    A step of G is the identity with the first row of I + h J, a step of D with the second. If both move at once, D
    answers the old G in all of its `d_steps` steps; alternating, it answers the new G.
    """
    g, d = np.eye(2), np.eye(2)
    g[0], d[1] = np.eye(2) + learning_rate * jacobian
    d = np.linalg.matrix_power(d, d_steps)
    move = d @ g if order == "alternating" else np.array([g[0], d[1]])
    return float(np.abs(np.linalg.eigvals(move)).max())


def measured_contraction(path: Array, smallest: float = 0.0) -> float | None:
    """Factor by which a step changes the distance to the equilibrium, over the last quarter of `path [n, 2]`.

    The path ends where the distance falls below `smallest`. None if the path leaves the range of floats, if it
    arrives exactly at the equilibrium, or if it ends before the first step.
    """
    distance = np.linalg.norm(path, axis=-1)
    distance = distance[: np.argmax(distance < smallest) or None]
    distance = distance[-max(1, len(distance) // 4) - 1 :]
    if not np.isfinite(distance).all() or distance[-1] < 1e-300 or len(distance) < 2:
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
    smallest = 1e-10 if config.game == "linear_quadratic" else 0.0  # there 1 + theta is rounded to 1e-16
    for loss in config.losses:
        jacobians = [None if config.gradient_penalty else jacobian(loss, g, config) for g in config.penalties]
        for order in ORDERS:
            path = trained.game[loss, order]
            for k, (penalty, j) in enumerate(zip(config.penalties, jacobians, strict=True)):
                with np.errstate(all="ignore"):
                    distance = float(np.linalg.norm(path[-1, k]))
                    contraction = measured_contraction(path[:, k], smallest)
                game = {"loss": loss, "order": order, "penalty": penalty}
                game |= {"distance": distance if np.isfinite(distance) else None, "contraction": contraction}
                theory = None if j is None else predicted_contraction(j, config.learning_rate, order, config.d_steps)
                games.append(game | {"contraction_predicted": theory})
    stable = sum(is_stable(game) for game in games)
    headline = f"{stable} of {len(games)} games are stable at the equilibrium: their predicted contraction is below 1"
    names = "game gradient_penalty consensus instance_noise clip d_steps start learning_rate steps"
    return {name: getattr(config, name) for name in names.split()} | {"games": games, "headline": headline}


def is_stable(game: dict[str, Any]) -> bool:
    """Whether a step brings the players closer in theory; 1e-6: a pure rotation has contraction 1, up to rounding."""
    return game["contraction_predicted"] is not None and game["contraction_predicted"] < 1 - 1e-6


def figures(trained: runs.Trained, result: dict[str, Any], folder: Path) -> None:
    """trajectories.png: the forces as arrows, and the trajectories of both orders."""
    config = trained.config
    fields = {loss: forces(loss, config) for loss in config.losses}
    start = tuple(next(iter(trained.game.values()))[0, 0])  # --clip may have moved psi
    plots.save(plots.dirac(fields, trained.game, config.penalties, start), folder / "trajectories.png")


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
    screen.say("equilibrium, in the last quarter of the steps (inf: diverged; 0: arrived). A star: by")
    screen.say("theory they do not converge: the factor is 1 or more, or WGAN-GP's penalty pushes D away.")
    if compared := [game for game in games if is_stable(game) and game["contraction"] is not None]:
        game = max(compared, key=difference_from_theory)
        where = "{loss}, {order}, penalty {penalty:g}".format(**game)
        screen.say(f"Without a star, theory differs by at most {difference_from_theory(game):.4f} ({where}).")


def difference_from_theory(game: dict[str, Any]) -> float:
    """How far the measured contraction is from the predicted one."""
    return abs(game["contraction"] - game["contraction_predicted"])


def contraction(game: dict[str, Any]) -> str:
    """The measured contraction of a game, with a star where the equilibrium is not stable.

    It is inf if the players diverged, and 0 if they arrived at the equilibrium.
    """
    if game["contraction"] is None:
        return "inf " if game["distance"] is None else "0 "
    return f"{game['contraction']:.3f}{' ' if is_stable(game) else '*'}"


RECIPES = {"stable": Config()}

if __name__ == "__main__":
    cli.main(__doc__, RECIPES, train, evaluate, figures, show)
