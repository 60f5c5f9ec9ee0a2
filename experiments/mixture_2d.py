"""Does a GAN reach every mode of the plane? A ring of 8, a grid of 25, a spiral, or your points; many seeds at once.

The game of Goodfellow et al. 2014: D maximises E log D(x) + E log(1 - D(G(z))); G maximises E log D(G(z)). The
protocol of PacGAN (Lin et al. 2018) measures the fakes of each seed: how many modes they reach, what share of them
lies within 3 standard deviations of a mode, and how evenly they are spread over the modes. A histogram KL divergence
and the sliced Wasserstein distance also serve points without modes. Each number stands beside a perfect sampler's.

    python experiments/mixture_2d.py                        the ring: penalty and learning rates fade
    python experiments/mixture_2d.py --target grid          25 modes; or spiral, or FILE with two columns
    python experiments/mixture_2d.py --recipe classic       the plain GAN; add --pack 4
    python experiments/mixture_2d.py --recipe classic --loss minimax --unroll 5 --steps 2000
    python experiments/mixture_2d.py --recipe pacgan        PacGAN's own networks: an hour or more; add --pack 2

Four minutes on two cores; --steps 8000 shows most of it in half a minute.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np

import gan_core as core
import metrics
from lab import cli, devices, draws, memory, plots, points, runs, targets

if TYPE_CHECKING:
    from matplotlib.figure import Figure

JUDGES, DIRECTIONS = 10_000, 16  # for the sliced Wasserstein distance: most held-out points, projections
Network = Annotated[str, cli.one_of(("mlp", "pacgan"))]
LINES, FINER = 25, 4  # lines of equal latent coordinate in the pictures; points on them between two lines


@dataclass(frozen=True)
class Config:
    """Settings of one run; the defaults are the recipe `stable`."""

    # data
    target: str = "ring"  # ring, grid, spiral, or a .npy, .csv or .txt file of points; half of a file is held out
    samples: cli.Count = 100_000  # real points to train on, of ring, grid and spiral; every seed has its own
    standardise: bool = True  # train on (x - mean) / std, so that ring and grid have the same scale
    # networks
    network: Network = "mlp"  # pacgan: G has batch norm, and each hidden unit of D takes the largest of 5 numbers
    latent: cli.Latent = "uniform"  # distribution of z; uniform gives more fakes of high quality than normal
    latent_dim: cli.Count = 2  # numbers in z; 2: G can be drawn as a bent sheet
    generator_hidden: cli.Sizes = (64, 64, 64, 64, 64)  # units of G's hidden layers; each can make its slopes steeper
    generator_activation: cli.Activation = "leaky_relu"
    generator_init: cli.Init = "he"
    generator_skip: bool = False  # whether G is its network plus a linear map of z
    discriminator_hidden: cli.Sizes = (64, 64, 64)  # units of D's hidden layers
    discriminator_activation: cli.Activation = "leaky_relu"  # if the network is mlp
    discriminator_init: cli.Init = "scattered_4"  # scattered_4: D sees very narrow modes from the start
    # game
    loss: cli.Loss = "non_saturating"
    r1: cli.Weight = 1.0  # weight of 1/2 |grad logit|^2 on real points; at 1 D is smooth, and far modes attract fakes
    r2: cli.Weight = 0.0  # the same on fakes
    gradient_penalty: cli.Weight = 0.0  # weight of (|grad logit| - 1)^2 between real points and fakes
    penalty_end: cli.Rate = 7e-4  # factor of the penalties at the last step; at 1e-5 the shares of the modes drift
    pack: cli.Count = 1  # points that D sees at a time, as one pack (PacGAN)
    unroll: cli.Whole = 0  # updates of D that G looks ahead; for minimax and wasserstein alone
    simultaneous: bool = False  # G and D move at once; otherwise D first, and G answers the new D
    # training
    seeds: cli.Count = 10  # GANs trained at once; their spread is the error bar
    seed: cli.Seed = 0  # the first of them
    steps: cli.Count = 100_000  # training steps; each updates D once and G once
    batch: cli.Count = 128  # packs of real points, and of fakes, in a step; with --pack 1 these are points
    learning_rate: cli.Rate = 2e-3  # of G's Adam
    discriminator_rate: cli.Rate = 1.0  # D's first learning rate, as a multiple of G's
    schedule: cli.Schedule = "cosine"  # of G's learning rate; cosine: the noise of its updates dies out
    discriminator_schedule: cli.Schedule = "cosine"  # of D's
    beta1: cli.Decay = 0.0  # of Adam; the larger it is, the more the two players circle each other
    beta2: cli.Decay = 0.99
    average: cli.Decay = 0.999  # evaluate a running average of G with this decay; 0: evaluate G itself
    # output
    eval_every: cli.Count = 2000  # steps between two evaluations, each a line of log.jsonl
    eval_samples: cli.AtLeast2 = 2500  # fakes of each seed; PacGAN's
    checkpoint_every: cli.Count = 5000  # steps between checkpoints

    def __post_init__(self) -> None:
        cli.check(self)
        points.require_zero_sum(self)
        if self.simultaneous:
            cli.require(self, "unroll", "0 with --simultaneous", lambda v: v == 0)
        if self.network == "pacgan":
            cli.require(self, "batch", "at least 2 with --network pacgan, for batch norm", lambda v: v >= 2)
        if self.standardise:
            cli.require(self, "samples", "at least 2, which have a standard deviation", lambda v: v >= 2)
        target = targets.plane_target(self.target)  # raises BadInput for an unknown one
        if isinstance(target, targets.Modes):
            enough = f"at least one for each of the {len(target.centres)} modes of {self.target}"
            cli.require(self, "samples eval_samples", enough, lambda v: v >= len(target.centres))
        if target is None:
            words = f"no such flag beside --target {self.target}, half of whose points are trained on"
            cli.require_defaults(self, "samples", words)


CLASSIC = replace(  # PacGAN's plain GAN with fewer steps and units; PACGAN below has all
    Config(),
    latent="normal",
    generator_hidden=(64, 64, 64, 64),
    generator_activation="relu",
    discriminator_activation="relu",
    discriminator_init="he",
    r1=0.0,
    penalty_end=1.0,
    steps=40_000,  # a tenth of PacGAN's
    batch=100,
    learning_rate=1e-4,  # this, beta1, batch and latent are PacGAN's
    schedule="constant",
    discriminator_schedule="constant",
    beta1=0.8,
    beta2=0.999,
    average=0.0,
    eval_every=1000,
)
PACGAN = replace(  # PacGAN's own plain GAN, after its code; with --pack 2 its PacGAN2
    CLASSIC,
    standardise=False,
    network="pacgan",
    generator_hidden=(400, 400, 400, 400),
    generator_init="small_02",
    discriminator_hidden=(200, 200, 200),
    discriminator_init="small_02",
    simultaneous=True,
    seeds=1,  # a seed takes more than an hour on one core
    steps=400_000,
    eval_every=10_000,
    checkpoint_every=10_000,
)


def rules(config: Config) -> core.Rules:
    """Networks, loss, optimisers, schedules and penalties, for `core.adversarial_step`."""
    d, g = points.networks(config)
    return core.Rules(
        d,
        lambda z, weights: core.packed(g(z, weights), config.pack),
        core.LOSSES[config.loss],
        core.Adam(config.learning_rate * config.discriminator_rate, config.beta1, config.beta2),
        core.Adam(config.learning_rate, config.beta1, config.beta2),
        rate_schedule_d=core.SCHEDULES[config.discriminator_schedule](config.steps),
        rate_schedule_g=core.SCHEDULES[config.schedule](config.steps),
        r1=config.r1,
        r2=config.r2,
        gradient_penalty=config.gradient_penalty,
        penalty_schedule=core.geometric(config.penalty_end, config.steps),
        average_decay=config.average,
        unroll=config.unroll,
        simultaneous=config.simultaneous,
    )


def train(config: Config, run: runs.Run | None = None) -> runs.Trained:
    """Train all seeds at once; every `eval_every` steps measure their fakes and keep pictures of the first seed."""
    run = run or runs.Run()
    in_file = len(targets.read_points(config.target)) // 2 if targets.plane_target(config.target) is None else None
    memory.require(config, lambda config: points.bytes_needed(config, features=2, samples=in_file))
    real = targets.points(config.target, config.samples, range(config.seed, config.seed + config.seeds))
    shared = devices.for_blocks(run.devices)
    gans = points.Ensemble(config, real.train, shared)  # [S, 2, N]: every seed has its own samples and networks
    mean_and_std = {"mean": gans.mean.tolist(), "std": gans.std.tolist()}
    facts = {"name": real.name, "samples": real.train.shape[2], "features": 2, "fingerprint": real.fingerprint}
    run.keep_data(**facts, **mean_and_std)
    game_rules = rules(config)

    def step(game, batch):
        return core.adversarial_step(game, game_rules, points.inputs(config, batch))

    loop = core.compiled_loop(step)
    with run.training({"games": gans.games}, config) as periods:
        batches = draws.prefetched(gans.batches, periods)
        for period in periods:
            losses = run.play(loop, gans.games, batches, period)  # [n, 2, S]
            fakes = gans.sample(period.last)  # [S, 2, eval_samples]
            run.require_finite(period, fakes)
            run.snapshot(period, **pictures_of_first_seed(gans, fakes, square_around(real)))
            numbers = measure(real, fakes)  # each [S]
            words = headline(real, {name: np.median(values) for name, values in numbers.items()})
            run.record(period, losses, words, **numbers)
    return runs.Trained(config, real, gans, run)


def measure(real: targets.RealPoints, fakes: np.ndarray) -> dict[str, np.ndarray]:
    """The numbers of each seed `[S]` of fakes `[S, 2, n]`: KL and, where there are modes, their coverage."""
    edges = tuple(metrics.histogram_edges(column, bins=20) for column in real.test.T)
    rows = np.moveaxis(fakes, 1, 2)
    numbers = {"kl": metrics.plane_kl(real.test, rows, edges)}
    if real.modes:
        coverage = [metrics.mode_coverage(row, *real.modes) for row in rows]
        numbers |= {name: np.array([getattr(c, name) for c in coverage]) for name in metrics.ModeCoverage._fields}
    return numbers


def headline(real: targets.RealPoints, median: dict[str, Any]) -> str:
    """The medians over the seeds of what `measure` returns, in a few words."""
    if not real.modes:
        return f"KL {median['kl']:z.3f} nats"
    return f"{median['modes']:g} of {len(real.modes.centres)} modes, high quality {median['high_quality']:.1%}"


def evaluate(trained: runs.Trained) -> dict[str, Any]:
    """The final numbers of every seed, each with its floor: the mean over perfect samplers of as many points."""
    config, real = trained.config, trained.real
    scores = measure_at_end(real, trained.game.sample(config.steps))
    settings = ("loss", "pack", "unroll", "seeds", "steps")
    result = {"target": real.name} | {name: getattr(config, name) for name in settings}
    for name, floor in floors(real, config.eval_samples).items():
        result |= {name: metrics.summary(scores[name]), f"{name}_floor": floor}
    if real.modes:
        result["modes_of"] = len(real.modes.centres)
        result["complete"] = int((scores["modes"] == result["modes_of"]).sum())
        words = f"{result['complete']} of {config.seeds} seeds reach all {result['modes_of']} modes"
    else:
        words = f"median KL {result['kl']['median']:z.3f} nats, a perfect sampler's {result['kl_floor']:.3f}"
        words += targets.imprecise_floor(None if real.target else len(real.test))
    return result | {"headline": words}


def measure_at_end(real: targets.RealPoints, fakes: np.ndarray) -> dict[str, np.ndarray]:
    """What `measure` returns of fakes `[S, 2, n]`, and the sliced Wasserstein distance of each seed `[S]`."""
    distance = metrics.sliced_wasserstein(real.test[:JUDGES], np.moveaxis(fakes, 1, 2), DIRECTIONS)
    return measure(real, fakes) | {"sliced_wasserstein": distance}


def floors(real: targets.RealPoints, n: int) -> dict[str, float]:
    """What perfect samplers with n points get on average: 100 of them, or for a file an estimate.

    The distribution of a file is not known. Its floors are the mean distances between two samples of it, one as
    large as the held-out half and one of n points, estimated from all points of the file.
    """
    if real.target:
        parts = (range(first, first + 20) for first in range(0, 100, 20))  # so that they need less memory
        scores = [measure_at_end(real, np.stack([real.draw(n, seed).T for seed in part])) for part in parts]
        return {name: float(np.mean([score[name] for score in scores])) for name in scores[0]}

    def kl(held_out, fakes):
        return measure(real._replace(test=held_out), fakes.T[None])["kl"][0]

    held_out, distance = len(real.test), partial(metrics.sliced_wasserstein, directions=DIRECTIONS)
    return {
        "kl": float(metrics.smoothed_scores(kl, real.pooled, held_out, n, draws=40).mean()),
        "sliced_wasserstein": metrics.halves_floor(distance, real.pooled, min(held_out, JUDGES), n),
    }


def square_around(real: targets.RealPoints) -> tuple[np.ndarray, float]:
    """The square that the pictures show, with room around the real points: its middle `[2]` and half its side."""
    low, high = real.test.min(axis=0), real.test.max(axis=0)
    return (low + high) / 2, 0.6 * float((high - low).max())


def pictures_of_first_seed(gans: points.Ensemble, fakes: np.ndarray, square: tuple) -> dict[str, np.ndarray]:
    """Of the first seed: 1000 fakes, D's push on 100 of them, D's logits in the square, G's image of latent lines."""
    first, (middle, reach) = gans.alone(0), square
    axis = np.linspace(-reach, reach, 60)
    places = np.stack(np.meshgrid(axis, axis)).reshape(1, 2, -1) + middle[:, None]
    z = draws.latent_lattice(gans.config.latent, gans.config.latent_dim, LINES, FINER)
    bent = first.from_latents(z).astype(np.float32).reshape(2, FINER * (LINES - 1) + 1, -1)
    return {
        "fakes": fakes[0, :, :1000].astype(np.float32),
        "pushes": first.pushes(fakes[:1, :, :100])[0].astype(np.float32),
        "logits": first.d_logits(places).astype(np.float32).reshape(60, 60),
        "lines": np.stack([bent[:, ::FINER], bent[:, :, ::FINER].swapaxes(1, 2)]),  # [2 directions, 2, LINES, n]
    }


def figures(trained: runs.Trained, result: dict[str, Any], folder: Path) -> None:
    """overview.png, seeds.png, training.gif, and training.html, a player with a slider."""
    real, square = trained.real, square_around(trained.real)
    fakes = trained.game.sample(trained.config.steps)
    plots.save(overview(trained, result), folder / "overview.png")
    plots.save(plots.plane_seeds(real.test, fakes, result, square), folder / "seeds.png")
    titles = {step: f"step {step}" for step in trained.run.snapshots}  # a damaged log may lack a record
    for r in trained.run.records:
        median = {name: value["median"] for name, value in r.items() if isinstance(value, dict)}
        of = "medians over the seeds" if trained.config.seeds > 1 else "one seed"
        titles[r["step"]] = f"step {r['step']}: {headline(real, median)}, {of}"
    plots.plane_animation(folder, real.test, trained.run.snapshots, titles, square)


def overview(trained: runs.Trained, result: dict[str, Any]) -> Figure:
    """Six panels: the plane as D sees it, G's bent sheet, fakes by mode; then three curves over the steps."""
    real, records, square = trained.real, trained.run.records, square_around(trained.real)
    fakes = trained.game.sample(trained.config.steps)
    last = pictures_of_first_seed(trained.game, fakes, square)
    fig, axes = plots.figure(2, 3, 12, 7.6)
    plots.plane(axes[0, 0], real.test, last, square)
    plots.latent_lattice(axes[0, 1], last, square)
    logistic = core.LOSSES[trained.config.loss].logistic
    plots.losses(axes[1, 0], records, metrics.LN4 if logistic else None)
    if real.modes:
        centres, std = real.modes
        plots.mode_shares(axes[0, 2], centres, std, fakes)
        title = "Fakes of high quality (within 3 sd of a mode)"
        plots.history(axes[1, 1], records, "high_quality", title, result, "share of a seed's fakes", "share")
        plots.history(axes[1, 2], records, "reverse_kl", "Reverse KL: KL(modes || equal shares)", result, "nats")
    else:
        plots.per_seed(axes[0, 2], result["kl"]["per_seed"], None)
        plots.history(axes[1, 1], records, "kl", "KL(real || fake), 20 x 20 bins", result, "nats")
        axes[1, 2].remove()
    return plots.headed(fig, plots.described(result, records))


def load_generator(config: Config, run: runs.Run) -> Callable[[np.ndarray], np.ndarray]:
    """Latent bits `[S, n, latent_dim]` -> points `[S, n, 2]` of every seed of the run, without its data."""
    gans = points.restored(config, run)
    return lambda bits: np.moveaxis(gans.from_bits(np.moveaxis(bits, 2, 1)), 1, 2)


TABLE = cli.Table(
    cli.OVER_SEEDS,
    {
        "modes with a sample of high quality": ("modes", ".1f"),
        "share of high quality": ("high_quality", ".4f"),
        "KL(modes || equal shares), nats": ("reverse_kl", ".4f"),
        "KL(real || fake), 20 x 20 bins, nats": ("kl", ".4f"),
        "sliced Wasserstein-1, unit of the data": ("sliced_wasserstein", ".4f"),
    },
)
RECIPES = {"stable": Config(), "classic": CLASSIC, "pacgan": PACGAN}
SPREAD = "seeds"  # what --devices shares between devices

if __name__ == "__main__":
    cli.main(__doc__, RECIPES, train, evaluate, figures, TABLE, spread=SPREAD)
