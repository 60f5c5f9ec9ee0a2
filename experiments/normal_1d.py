"""GANs learn a 1-D distribution, many seeds at once, with plain tf.Variables and no Keras layers.

G turns random numbers z into fakes; D(x) is the probability, as D sees it, that x is a real sample. D never sees z.
In the game of Goodfellow et al. 2014, D maximises E log D(x) + E log(1 - D(G(z))); G minimises it (`--loss minimax`)
or maximises E log D(G(z)) (`--loss non_saturating`, the default).

How far the fakes are from the real distribution is measured by KL(real || fake), the Kullback-Leibler divergence in
nats (natural logarithms), between histograms of 40 equal bins over the central 99.99% of the real distribution and
two open tails. The real side has the exact probabilities of the bins or, with --data, the counts of the file's
held-out half; the other side has the counts of 10,000 fakes. Counts get 1/2 more in each bin, so that an empty bin
does not make the KL infinite. The floor is the mean KL of a perfect sampler, which draws as many samples from the
real distribution; it is above 0 because samples are finite. With --data the distribution is unknown, and the floor is
an estimate: what new numbers of it would score against a held-out half, on average. For comparison, as
many numbers are drawn from a kernel density estimate of the training numbers, without a GAN.

    python experiments/normal_1d.py                                         the recipe that learns
    python experiments/normal_1d.py --target laplace                        another target, or --data FILE
    python experiments/normal_1d.py --recipe classic                        networks and settings of a tutorial
    python experiments/normal_1d.py --recipe classic --learning-rate 0.05   the same, made to collapse

About 8 seconds each on two cores. A run that was stopped goes on with --resume FOLDER, which restores everything
that training changes (weights, Adam's moments, the step) and the records. Every random number is a function of the
seed and the step, so that the resumed run ends with the same bits as a run that was never stopped.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import expit

import gan_core as core
import metrics
from lab import cli, devices, draws, memory, plots, points, runs, targets

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LOST = 0.05  # of the real mass: a seed whose fakes miss more has lost modes


@dataclass(frozen=True)
class Config:
    """Settings of one run; the defaults are the recipe `stable`."""

    # data
    target: str = "norm"  # the real distribution: a continuous one of scipy.stats, or `mixture`
    target_args: tuple[float, ...] = ()  # its SciPy arguments; for `mixture` WEIGHT MEAN STD of each component
    data: str | None = None  # a .npy, .csv or .txt file of numbers instead: one half to train on, one held out
    samples: cli.Count = 1000  # real samples to train on, without --data; every seed has its own
    standardise: bool = True  # train on (x - mean) / std of each seed's samples, and map the fakes back
    jitter: cli.Weight = 0.5  # normal noise on N real samples: jitter * exp(-N / 250) times their standard deviation
    # networks
    latent: cli.Latent = "normal"  # distribution of z; with uniform z G learns sharper edges, but seldom six peaks
    latent_dim: cli.Count = 8  # numbers in z
    generator_hidden: cli.Sizes = (8, 8, 8, 8, 8)  # units of G's hidden layers; with more layers G can be steeper
    generator_activation: cli.Activation = "tanh"
    generator_init: cli.Init = "small_end"  # first weights; small_end: G starts almost as its linear map, below
    generator_skip: bool = True  # whether G is its network plus a linear map of z
    discriminator_hidden: cli.Sizes = (48,)  # units of D's hidden layers
    discriminator_activation: cli.Activation = "tanh"
    discriminator_init: cli.Init = "scattered"  # scattered: D can show sharp edges and broad shapes at once
    # game
    loss: cli.Loss = "non_saturating"
    r1: cli.Weight = 0.1  # weight of 1/2 |grad logit|^2 on real samples; at .001 D and G lose narrow peaks
    r2: cli.Weight = 0.1  # the same on fakes; with R1 alone one of four peaks is often lost
    gradient_penalty: cli.Weight = 0.0  # weight of (|grad logit| - 1)^2 between real samples and fakes
    penalty_end: cli.Rate = 0.01  # factor of the penalties at the last step; small: D gets sharp edges; 1: constant
    pack: cli.Count = 1  # samples that D sees at a time, as one pack (PacGAN)
    unroll: cli.Whole = 0  # updates of D that G looks ahead; for minimax and wasserstein alone
    # training
    seeds: cli.Count = 16  # GANs that train at once, one for each seed; their spread is the error bar
    seed: cli.Seed = 0  # the first of them; a seed sets the first weights, the batches, z and the target's samples
    steps: cli.Count = 8000  # training steps; each updates D once and G once
    epochs: cli.Count | None = None  # instead of --steps; one is ceil(samples / (pack * batch)) steps
    batch: cli.Count = 100  # packs of real samples, and of fakes, in a step; with --pack 1 these are samples
    learning_rate: cli.Rate = 8e-3  # of G's Adam; at .002 G is too slow to empty the gaps between four peaks
    discriminator_rate: cli.Rate = 1.8  # D's learning rate at the start, as a multiple of G's; D has to stay ahead
    schedule: cli.Schedule = "cosine"  # of G's learning rate; cosine: late updates are small, and G settles
    discriminator_schedule: cli.Schedule = "constant"  # of D's
    beta1: cli.Decay = 0.0  # of Adam; the larger it is, the more the two players circle each other
    beta2: cli.Decay = 0.99
    average: cli.Decay = 0.0  # evaluate a running average of G's weights with this decay; 0: evaluate G itself
    # output
    eval_every: cli.Count = 200  # steps between two evaluations, each a line of log.jsonl
    eval_samples: cli.AtLeast2 = 10_000  # fakes of each seed behind a KL
    checkpoint_every: cli.Count = 1000  # steps between checkpoints

    def __post_init__(self) -> None:
        cli.check(self)
        points.require_zero_sum(self)
        if self.standardise:
            cli.require(self, "samples", "at least 2, which have a standard deviation", lambda v: v >= 2)
        cli.require(self, "eval_samples", f"at least --pack {self.pack}, for one pack", lambda v: v >= self.pack)
        if self.data is None:
            targets.distribution(self.target, self.target_args)  # raises BadInput for a wrong one
        else:
            words = f"no such flag beside --data {self.data}, whose numbers take its place"
            cli.require_defaults(self, "target target_args samples", words)
        if self.epochs:
            beside = f"no such flag beside --epochs {self.epochs}, which takes its place"
            cli.require(self, "steps", beside, lambda v: v in (Config.steps, CLASSIC.steps))  # not given
            samples = self.samples if self.data is None else len(targets.read_numbers(self.data)) // 2
            object.__setattr__(self, "steps", self.epochs * -(-samples // (self.pack * self.batch)))
            object.__setattr__(self, "epochs", None)


CLASSIC = replace(  # a tutorial's networks and settings; its latent_dim and samples are the defaults above
    Config(),
    standardise=False,
    jitter=0.0,
    latent="uniform",
    generator_hidden=(4,),
    generator_activation="relu",
    generator_init="normal",
    generator_skip=False,
    discriminator_hidden=(8,),
    discriminator_activation="relu",
    discriminator_init="normal",
    loss="minimax",
    r1=0.0,
    r2=0.0,
    penalty_end=1.0,
    steps=12_000,  # 3000 epochs
    batch=300,
    learning_rate=5e-4,  # at .05 most seeds collapse to a standard deviation below half the real one
    discriminator_rate=1.0,
    schedule="constant",
    beta1=0.9,  # this and beta2 are Adam's defaults
    beta2=0.999,
    eval_every=40,  # 10 epochs
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
    )


def train(config: Config, run: runs.Run | None = None) -> runs.Trained:
    """Train one GAN for each seed, all at once; every `eval_every` steps measure the KL of their fakes."""
    run = run or runs.Run()
    in_file = len(targets.read_numbers(config.data)) // 2 if config.data is not None else None
    memory.require(config, lambda config: points.bytes_needed(config, features=1, samples=in_file))
    seeds = range(config.seed, config.seed + config.seeds)
    real = targets.numbers(config.target, config.target_args, config.data, config.samples, seeds)
    train_on = targets.jittered(real.train, config.jitter, seeds)  # [S, N], or 16 noisy copies: [S, 16 N]
    shared = devices.for_blocks(run.devices)
    gans = points.Ensemble(config, train_on[:, None], shared)  # [S, 1, N]: S seeds with N numbers each
    mean_and_std = {"mean": gans.mean.tolist(), "std": gans.std.tolist()}
    run.keep_data(name=real.name, features=1, fingerprint=real.fingerprint, **mean_and_std)
    game_rules = rules(config)

    def step(game, batch):
        return core.adversarial_step(game, game_rules, points.inputs(config, batch))

    loop, edges = core.compiled_periods(step, config.eval_every), metrics.histogram_edges(real.truth)
    with run.training({"games": gans.games}, config, together=points.periods_together(config, 1)) as periods:
        batches = draws.prefetched(gans.batches, periods.joined())
        for period in periods:  # the steps between two evaluations; one call of the loop may train several of them
            losses = run.play(loop, gans.games, batches, period)  # [n, 2, S]
            fakes = gans.sample(period.last, run.average(period))[:, 0]  # [S, eval_samples]
            run.require_finite(period, fakes)
            kl = metrics.histogram_kl(real.truth, fakes, edges)  # [S]
            counts = metrics.bin_counts(fakes[0], edges).tolist()  # of the first seed, for the animation
            run.record(period, losses, f"KL {np.median(kl):z.4f} nats", kl=kl, fake_counts=counts)
    return runs.Trained(config, real, gans, run)


def evaluate(trained: runs.Trained) -> dict[str, Any]:
    """The final numbers of every seed.

    The floor of a distance is what a perfect sampler gets from as many samples. For D's loss and the game's value the
    floor is the value at the equilibrium, where fakes are like real samples and D = 1/2. It is no lower bound: a D
    that wins has a lower loss.
    """
    config, real, gans = trained.config, trained.real, trained.game
    fakes = gans.sample(config.steps)[:, 0]  # [S, eval_samples]
    edges = metrics.histogram_edges(real.truth)
    masses = metrics.bin_masses(real.truth, edges)
    fake_masses = metrics.bin_counts(fakes, edges) / config.eval_samples
    fresh = np.stack([real.draw(config.eval_samples, config.seed + k) for k in range(config.seeds)])  # new ones
    loss = core.LOSSES[config.loss]
    real_logits, fake_logits = (gans.d_logits_of_packs(x[:, None]) for x in (fresh, fakes))
    d_loss = np.mean(loss.d(real_logits, fake_logits), axis=-1)  # [S]
    lost = metrics.lost_mass(real.truth, fakes)  # [S]
    narrow = fakes.std(-1) < 0.5 * np.median(fresh.std(-1))  # [S]; of heavy tails one deviation may be huge
    result: dict[str, Any] = {
        "target": real.name,
        "seeds": config.seeds,
        "steps": config.steps,
        "kl": metrics.summary(metrics.histogram_kl(real.truth, fakes, edges)),
        "kl_reverse": metrics.summary(metrics.histogram_kl(real.truth, fakes, edges, reverse=True)),
        "wasserstein": metrics.summary(metrics.wasserstein_1(real.truth, fakes)),
        "kolmogorov_smirnov": metrics.summary(metrics.kolmogorov_smirnov(real.truth, fakes)),
        "discriminator_loss": metrics.summary(d_loss),
        "discriminator_loss_floor": metrics.LN4 if loss.logistic else None,
        "game_value": metrics.summary(-d_loss) if loss.logistic else None,
        "game_value_floor": -metrics.LN4,
        "game_value_optimal": metrics.summary(metrics.game_value(metrics.jensen_shannon(masses, fake_masses))),
        "game_value_optimal_floor": -metrics.LN4,
        "lost_mass": metrics.summary(lost),
        "collapsed": int(narrow.sum()),
        "lost_modes": int((lost > LOST).sum()),
    }
    result |= floors(real, config.eval_samples, masses) | without_gan(config, real, edges)
    kl, floor = result["kl"]["median"], result["kl_floor"]
    times = f"{kl / floor:z.1f} times what a perfect sampler gets ({floor:.4f})"
    lost_or_not = f"{result['collapsed']} of {config.seeds} seeds collapsed, {result['lost_modes']} lost modes"
    kde = f"a kernel density estimate has {result['kl_kde']['median']:z.4f}"
    words = f"median KL {kl:z.4f} nats, {times}; {kde}; {lost_or_not}{targets.imprecise_floor(real.held_out)}"
    return result | {"headline": words}


def floors(real: targets.RealNumbers, n: int, masses: np.ndarray) -> dict[str, float | None]:
    """What perfect samplers with n fakes get on average, for bins with the real probabilities `masses`.

    The distribution of a file is not known. Its floors are the mean distances between two samples of it, one as large
    as the held-out half and one of n numbers, estimated from all numbers of the file.
    """
    if real.held_out is None:
        floor, gap = metrics.kl_floor(masses, n), masses.min() == 0
        reverse = None if gap else metrics.kl_floor(masses, n, reverse=True).mean  # in a gap it is infinite
        perfect = np.stack([real.draw(n, seed) for seed in range(20)])
        lost, wasserstein, kolmogorov_smirnov = (
            float(metric(real.truth, perfect).mean())
            for metric in (metrics.lost_mass, metrics.wasserstein_1, metrics.kolmogorov_smirnov)
        )
    else:

        def of_bins(held_out: np.ndarray, fakes: np.ndarray) -> tuple:
            both_ways = [metrics.histogram_kl(held_out, fakes, reverse=reverse) for reverse in (False, True)]
            return *both_ways, metrics.lost_mass(held_out, fakes)

        scores = metrics.smoothed_scores(of_bins, real.pooled, real.held_out, n)  # [draws, 3]
        floor, (_, reverse, lost) = metrics.floor_of(scores[:, 0]), scores.mean(axis=0).tolist()
        wasserstein, kolmogorov_smirnov = (
            metrics.halves_floor(metric, real.pooled, real.held_out, n)
            for metric in (metrics.wasserstein_1, metrics.kolmogorov_smirnov)
        )
    return {
        "kl_floor": floor.mean,
        "kl_kde_floor": floor.mean,
        "kl_kde_scott_floor": floor.mean,
        "kl_floor_q10": floor.q10,
        "kl_floor_q90": floor.q90,
        "kl_reverse_floor": reverse,
        "wasserstein_floor": wasserstein,
        "kolmogorov_smirnov_floor": kolmogorov_smirnov,
        "lost_mass_floor": lost,
    }


def without_gan(config: Config, real: targets.RealNumbers, edges: np.ndarray) -> dict[str, Any]:
    """The KL of kernel density estimates, fitted to the training numbers of each seed: what a GAN should beat.

    As many numbers are drawn from an estimate as from G: training numbers with normal noise, whose width is the best
    one by cross-validation (`kl_kde`) or Scott's, which is that of `scipy.stats.gaussian_kde` (`kl_kde_scott`).
    """
    kl: dict[str, list] = {"kl_kde": [], "kl_kde_scott": []}
    for numbers, seed in zip(real.train, range(config.seed, config.seed + config.seeds), strict=True):
        rng = draws.generator(seed, draws.EVALUATION)
        scott = len(numbers) ** -0.2 * numbers.std(ddof=min(1, len(numbers) - 1))
        widths = metrics.kernel_width(numbers), scott
        chosen, noise = rng.choice(numbers, config.eval_samples), rng.standard_normal(config.eval_samples)
        for values, width in zip(kl.values(), widths, strict=True):
            values.append(metrics.histogram_kl(real.truth, chosen + width * noise, edges))
    return {name: metrics.summary(values) for name, values in kl.items()}


def figures(trained: runs.Trained, result: dict[str, Any], folder: Path) -> None:
    """overview.png and training.gif, the first seed's fakes through training."""
    real, edges = trained.real, metrics.histogram_edges(trained.real.truth)
    plots.save(overview(trained, result), folder / "overview.png")
    plots.animation(folder / "training.gif", trained.run.records, edges, real.density, trained.config.seeds)


def overview(trained: runs.Trained, result: dict[str, Any]) -> Figure:
    """Six panels: losses, KL history, KL of each seed; then densities, D beside D*, D's outputs."""
    config, real, gans, records = trained.config, trained.real, trained.game, trained.run.records
    fakes, edges = gans.sample(config.steps)[:, 0], metrics.histogram_edges(real.truth)
    logistic = core.LOSSES[config.loss].logistic
    x = np.linspace(1.1 * edges[0] - 0.1 * edges[-1], 1.1 * edges[-1] - 0.1 * edges[0], 300)
    p, q = real.density(x), np.stack([targets.kernel_density(row, x) for row in fakes])
    reliable = p + q > 0.01 * p.max()  # where both are tiny, the estimate q is poor
    optimal = np.where(reliable, metrics.optimal_discriminator(p, q), np.nan)
    fresh = np.stack([real.draw(1000, config.seed + k) for k in range(len(fakes))])
    d, d_real, d_fake = (expit(gans.d_logits(v[:, None])) for v in (np.tile(x, (len(fakes), 1)), fresh, fakes))

    fig, axes = plots.figure(2, 3, 12, 6.4)
    plots.losses(axes[0, 0], records, metrics.LN4 if logistic else None)
    plots.history(axes[0, 1], records, "kl", "KL(real || fake)", result, "nats")
    plots.per_seed(axes[0, 2], result["kl"]["per_seed"], (result["kl_floor_q10"], result["kl_floor_q90"]))
    plots.densities(axes[1, 0], x, p, q)
    plots.discriminator(axes[1, 1], x, d, optimal if logistic else None)
    plots.discriminator_outputs(axes[1, 2], d_real, d_fake)
    return plots.headed(fig, plots.described(result, records))


def load_generator(config: Config, run: runs.Run) -> Callable[[np.ndarray], np.ndarray]:
    """z as random integers `[S, n, latent_dim]` -> numbers `[S, n]` of every seed of the run, without its data."""
    gans = points.restored(config, run)
    return lambda bits: gans.from_bits(np.moveaxis(bits, 2, 1))[:, 0]


TABLE = cli.Table(
    cli.OVER_SEEDS,
    {
        "KL(real || fake), nats": ("kl", ".4f"),
        "  a kernel density estimate, no GAN": ("kl_kde", ".4f"),
        "KL(fake || real), nats": ("kl_reverse", ".4f"),
        "Wasserstein-1, unit of the data": ("wasserstein", ".4f"),
        "Kolmogorov-Smirnov distance": ("kolmogorov_smirnov", ".4f"),
        "share of the real mass that is lost": ("lost_mass", ".4f"),
        "discriminator loss": ("discriminator_loss", ".4f"),  # in nats if it is made of log D
        "value of the game, nats": ("game_value", ".4f"),
        "  if D were optimal: -ln 4 + 2 JSD": ("game_value_optimal", ".4f"),
    },
)
RECIPES = {"stable": Config(), "classic": CLASSIC}
SPREAD = "seeds"  # what --devices shares between devices

if __name__ == "__main__":
    cli.main(__doc__, RECIPES, train, evaluate, figures, TABLE, spread=SPREAD)
