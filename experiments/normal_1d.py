"""A generative adversarial network learns a 1-D distribution, on raw variables, over many seeds at once.

The game of Goodfellow et al. 2014: D maximises E log D(x) + E log(1 - D(G(z))); G minimises it (`--loss minimax`)
or maximises E log D(G(z)) (`--loss non_saturating`). A histogram KL divergence, beside the value that a perfect
sampler would get, says how far the fake distribution is from the real one.

    python experiments/normal_1d.py                                         the recipe that learns
    python experiments/normal_1d.py --target laplace                        or mixture, or --data FILE
    python experiments/normal_1d.py --recipe classic                        the tutorial's system
    python experiments/normal_1d.py --recipe classic --learning-rate 0.05   and its failure

About 20 seconds each on two cores.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from matplotlib.figure import Figure
from scipy.special import expit

import gan_core as core
import gan_data as data
import gan_points as points
import gan_runs as runs
import metrics

EXPERIMENT = "normal_1d"
LN4 = float(np.log(4))  # D's loss at the equilibrium, where D = 1/2 everywhere


@dataclass(frozen=True)
class Config(points.PointsConfig):
    """Settings. The defaults here are the tutorial's, recipe `classic`; `STABLE` below changes some."""

    recipe: Literal["stable", "classic"] = "classic"  # sets the defaults of the other flags
    eval_every: int = 40  # steps between records: 10 epochs
    eval_samples: int = 10_000  # fakes of each seed behind every KL: its floor is .002 nats
    target: str = "norm"  # real distribution: a continuous one of scipy.stats, or `mixture`
    target_args: tuple[float, ...] = ()  # its SciPy arguments; of a mixture WEIGHT MEAN STD of each component
    data: str | None = None  # real data from a .npy, .csv or .txt file instead; half is held out for the KL
    epochs: int | None = None  # sets steps: an epoch is ceil(samples / batch) of them; the tutorial's 3000

    def checked(self) -> "Config":
        """The same with `epochs` turned into `steps`; BadInput for a value that cannot work."""
        runs.require(self.with_sensible_numbers(), "epochs", "at least 1", lambda v: v >= 1)
        samples = load(self).train.shape[1]
        steps = self.epochs * -(-samples // self.batch) if self.epochs else self.steps
        return replace(self, samples=samples, steps=steps, epochs=None).with_sensible_numbers()


STABLE = replace(
    Config(),
    recipe="stable",
    standardise=True,  # one recipe for N(0, 1) and N(1000, 25)
    loss="non_saturating",  # gradients also where D is sure
    discriminator_hidden=(48,),  # one layer: cheap, and smooth enough not to learn the 1000 samples by heart
    discriminator_activation="tanh",
    discriminator_init="scattered",  # sees sharp edges and broad shapes from the start
    latent="mixed",  # tails and edges both lie in the span of the skip
    generator_hidden=(8, 8, 8, 8, 8),  # depth multiplies slopes: a gap between two peaks opens
    generator_activation="tanh",
    generator_init="small_end",  # G starts as its skip and bends only as far as D makes it
    generator_skip=True,
    learning_rate=1e-3,
    discriminator_rate=20.0,  # D stays near its optimum, so that G follows the Jensen-Shannon divergence
    schedule="cosine",  # G's noise dies out; no averaging of weights is needed then
    beta1=0.0,  # momentum makes the two players circle
    beta2=0.99,
    r1=0.001,  # ten times more blunts the edges of uniform data, none at all roughens laplace
    steps=8000,
    batch=100,
    eval_every=200,
)
RECIPES = {"stable": STABLE, "classic": Config()}


class Trained(NamedTuple):
    """What training leaves behind, for the report and the figures."""

    config: Config
    real: data.RealData
    records: list[dict]
    fakes: np.ndarray  # [S, eval_samples], in the unit of the data
    players: points.Players

    def logits(self, x: np.ndarray) -> np.ndarray:
        """Of D at x `[S, n]` in the unit of the data."""
        return self.players.logits(x[:, None])


def load(config: Config) -> data.RealData:
    """Every seed's training samples, and the truth to judge fakes against."""
    seeds = range(config.seed, config.seed + config.seeds)
    try:
        if config.data:
            return data.from_file(config.data, seeds)
        return data.from_distribution(config.target, config.target_args, config.samples, seeds)
    except ValueError as error:
        raise runs.BadInput(str(error)) from None


def train(config: Config, run: runs.Run | None = None) -> Trained:
    """Train all seeds at once; every `eval_every` steps judge fakes of each against the real distribution."""
    run, real = run or runs.Run(), load(config)
    players = points.Players(config, real.train[:, None])
    edges = metrics.histogram_edges(real.truth)

    def look(step, fakes):
        """Median and range of the KL over seeds, and the first seed's histogram for the animation."""
        kl = metrics.histogram_kl(real.truth, fakes[:, 0], edges)
        return {"kl": points.band(kl), "fake_counts": metrics.bin_counts(fakes[0, 0], edges).tolist()}

    players.train(run, look, lambda record: f"KL {record['kl']['median']:.4f} nats")
    return Trained(config, real, run.records, players.fakes(config.steps)[:, 0], players)


def report(trained: Trained) -> dict[str, Any]:
    """The final numbers, each with its floor: what a perfect sampler gets from as many samples."""
    config, real, fakes = trained.config, trained.real, trained.fakes
    edges = metrics.histogram_edges(real.truth)
    masses = metrics.bin_masses(real.truth, edges)
    fake_masses = metrics.bin_counts(fakes, edges) / config.eval_samples
    n = {"n": config.eval_samples, "n_real": real.held_out}
    floor, reverse_floor = metrics.kl_floor(masses, **n), metrics.kl_floor(masses, **n, reverse=True)
    perfect = np.stack([real.draw(config.eval_samples, seed) for seed in range(20)])
    fresh = np.stack([real.draw(config.eval_samples, config.seed + k) for k in range(config.seeds)])
    real_logits, fake_logits = (trained.players.verdicts(x[:, None]) for x in (fresh, fakes))
    loss = np.mean(core.LOSSES[config.loss].discriminator(real_logits, fake_logits), axis=-1)
    explicit = config.loss in ("minimax", "non_saturating")  # where D estimates p / (p + q)
    return {
        "experiment": EXPERIMENT,
        "recipe": config.recipe,
        "target": real.name,
        "seeds": config.seeds,
        "steps": config.steps,
        "kl": metrics.summary(metrics.histogram_kl(real.truth, fakes, edges)),
        "kl_floor": floor.mean,
        "kl_floor_q10": floor.q10,
        "kl_floor_q90": floor.q90,
        "kl_reverse": metrics.summary(metrics.histogram_kl(real.truth, fakes, edges, reverse=True)),
        "kl_reverse_floor": reverse_floor.mean,
        "wasserstein": metrics.summary(metrics.wasserstein_1(real.truth, fakes)),
        "wasserstein_floor": float(metrics.wasserstein_1(real.truth, perfect).mean()),
        "kolmogorov_smirnov": metrics.summary(metrics.kolmogorov_smirnov(real.truth, fakes)),
        "kolmogorov_smirnov_floor": float(metrics.kolmogorov_smirnov(real.truth, perfect).mean()),
        "discriminator_loss": metrics.summary(loss),
        "discriminator_loss_floor": LN4 if explicit else None,
        "game_value": metrics.summary(-loss) if explicit else None,
        "game_value_optimal": metrics.summary(metrics.game_value(metrics.jensen_shannon(masses, fake_masses))),
        "game_value_floor": -LN4,
        "collapsed": int((fakes.std(-1) < 0.5 * real.std).sum()),
    }


def overview(trained: Trained, result: dict[str, Any]) -> Figure:
    """Six panels: losses, KL history, KL of each seed, densities, D beside D*, D on real and on fake."""
    import gan_plots as plots  # here: seaborn takes seconds to import, and a wrong flag should not wait for it

    real, fakes, edges = trained.real, trained.fakes, metrics.histogram_edges(trained.real.truth)
    explicit = result["game_value"] is not None
    x = np.linspace(1.1 * edges[0] - 0.1 * edges[-1], 1.1 * edges[-1] - 0.1 * edges[0], 300)
    p, q = real.density(x), np.stack([data.kernel_density(row, x) for row in fakes])
    optimal = np.where(p + q > 0.01 * p.max(), metrics.optimal_discriminator(p, q), np.nan)  # elsewhere q is noise
    fresh = np.stack([real.draw(1000, trained.config.seed + k) for k in range(len(fakes))])
    d, d_real, d_fake = (expit(trained.logits(v)) for v in (np.tile(x, (len(fakes), 1)), fresh, fakes))

    fig, axes = plots.figure(2, 3, 12, 6.4)
    plots.losses(axes[0, 0], trained.records, LN4 if explicit else None)
    plots.kl_history(axes[0, 1], trained.records, result["kl_floor"])
    plots.per_seed(axes[0, 2], result["kl"]["per_seed"], (result["kl_floor_q10"], result["kl_floor_q90"]))
    plots.densities(axes[1, 0], x, p, q)
    plots.discriminator(axes[1, 1], x, d, optimal if explicit else None)
    plots.verdicts(axes[1, 2], d_real, d_fake)
    return fig


def save_figures(trained: Trained, result: dict[str, Any], folder: Path) -> None:
    """overview.png and training.gif."""
    import gan_plots as plots

    plots.save(overview(trained, result), folder / "overview.png")
    edges = metrics.histogram_edges(trained.real.truth)
    plots.animation(folder / "training.gif", trained.records, edges, trained.real.density)


ROWS = {  # of the closing table: a number of result.json and its ideal value
    "KL(real || fake), nats": ("kl", "kl_floor"),
    "KL(fake || real), nats": ("kl_reverse", "kl_reverse_floor"),
    "Wasserstein-1, unit of the data": ("wasserstein", "wasserstein_floor"),
    "Kolmogorov-Smirnov distance": ("kolmogorov_smirnov", "kolmogorov_smirnov_floor"),
    "discriminator loss, nats": ("discriminator_loss", "discriminator_loss_floor"),
    "value of the game, nats": ("game_value", "game_value_floor"),
    "  were D optimal: -ln 4 + 2 JSD": ("game_value_optimal", "game_value_floor"),
}


def train_and_report(config: Config, run: runs.Run) -> None:
    """The whole experiment: train, judge, draw, tell."""
    trained = train(config, run)
    result = report(trained)
    save_figures(trained, result, run.folder / "figures")
    result = run.finish(result)
    kl, floor = result["kl"]["median"], result["kl_floor"]
    runs.show_table(result, ROWS)
    runs.say(f"{run.folder}: overview.png and training.gif in figures/, every number in result.json and log.jsonl")
    runs.say(
        f"KL {kl:.4f} nats, {kl / floor:.1f} times what a perfect sampler gets from {config.eval_samples} samples "
        f"({floor:.4f}); {result['collapsed']} of {config.seeds} seeds collapsed; {result['train_seconds']:.1f} s of "
        f"training, {result['seed_steps_per_second']:,} seed-steps a second"
    )


if __name__ == "__main__":
    runs.command_line(EXPERIMENT, RECIPES, train_and_report, __doc__)
