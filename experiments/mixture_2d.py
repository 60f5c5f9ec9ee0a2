"""Does a GAN cover every mode of the plane? A ring of 8, a grid of 25, a spiral, or your points; many seeds at once.

Each seed is judged by the protocol of PacGAN (Lin et al. 2018): how many modes it reaches, what share of its samples
lies within 3 standard deviations of one, and how evenly they are spread. Beside that a histogram KL and the sliced
Wasserstein distance, which also serve points without modes. Every number stands beside what a perfect sampler gets.

    python experiments/mixture_2d.py                        the ring, 10 seeds: R1 that fades, learning rates too
    python experiments/mixture_2d.py --target grid          25 modes; or spiral, or FILE with two columns
    python experiments/mixture_2d.py --recipe classic       the plain GAN; add --pack 4
    python experiments/mixture_2d.py --recipe classic --loss minimax --unroll 5 --steps 2000

Four minutes on two cores; --steps 8000 shows most of it in half a minute.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from matplotlib.figure import Figure

import gan_core as core
import gan_data as data
import gan_points as points
import gan_runs as runs
import metrics

EXPERIMENT = "mixture_2d"
LATTICE, FINER = 25, 4  # lines of z that are watched as G bends them, in each direction; steps from one to the next


@dataclass(frozen=True)
class Config(points.PointsConfig):
    """Settings. The defaults here are the plain GAN's, recipe `classic`; `STABLE` below changes some."""

    recipe: Literal["stable", "classic"] = "classic"  # sets the defaults of the other flags
    target: str = "ring"  # ring, grid, spiral, or a .npy, .csv or .txt file of points; half of it is held out
    samples: int = 100_000  # PacGAN's, as are the next and all that name it
    seeds: int = 10
    steps: int = 40_000  # a tenth of PacGAN's
    batch: int = 100  # PacGAN's
    eval_every: int = 1000
    eval_samples: int = 2500  # PacGAN's
    checkpoint_every: int = 5000
    latent: Literal[core.LAWS] = "normal"  # PacGAN's
    latent_dim: int = 2  # PacGAN's; and so G can be drawn as a bent sheet
    discriminator_hidden: tuple[int, ...] = (64, 64, 64)  # PacGAN's G has 4 x 400, D 3 x 200 with maxout of 5
    generator_hidden: tuple[int, ...] = (64, 64, 64, 64)
    discriminator_activation: points.Activation = "relu"
    generator_activation: points.Activation = "relu"
    discriminator_init: points.Init = "he"
    generator_init: points.Init = "he"
    loss: Literal[tuple(core.LOSSES)] = "non_saturating"
    learning_rate: float = 1e-4  # PacGAN's
    beta1: float = 0.8  # PacGAN's
    standardise: bool = True  # ring and grid at one scale

    def checked(self) -> "Config":
        """The same with the number of `samples` of a file; BadInput for a value that cannot work."""
        real = load(self.with_sensible_numbers())
        config = replace(self, samples=real.train.shape[2])
        if real.modes:
            modes = len(real.modes.centres)
            enough = f"at least one for each of the {modes} modes of {real.name}"
            runs.require(config, "samples eval_samples", enough, lambda v: v >= modes)
        return config


STABLE = replace(
    Config(),
    recipe="stable",
    steps=100_000,
    eval_every=2000,
    batch=128,
    latent="uniform",  # grid, after 20,000 steps: high quality 91%, with a normal 85%
    discriminator_activation="leaky_relu",
    discriminator_init="scattered_4",  # sees modes a hundredth as wide as the plane from the start
    generator_activation="leaky_relu",
    generator_hidden=(64, 64, 64, 64, 64),  # depth multiplies slopes: G must tear a sheet into modes
    learning_rate=2e-3,
    schedule="cosine",
    discriminator_schedule="cosine",
    beta1=0.0,  # momentum makes the two players circle
    beta2=0.99,
    r1=1.0,  # at first D is smooth, and every mode pulls from afar;
    penalty_end=7e-4,  # at last it is sharp, but still feels how much each mode weighs: at 1e-5 these shares drift
    average=0.999,
)
RECIPES = {"stable": STABLE, "classic": Config()}


def load(config: Config) -> data.PlaneData:
    """Every seed's training points, and what to judge fakes by."""
    try:
        return data.plane_data(config.target, config.samples, range(config.seed, config.seed + config.seeds))
    except ValueError as error:
        raise runs.BadInput(str(error)) from None


class Trained(NamedTuple):
    """What training leaves behind, for the report and the figures."""

    config: Config
    real: data.PlaneData
    records: list[dict]
    fakes: np.ndarray  # [S, 2, eval_samples]
    snapshots: dict[int, dict[str, np.ndarray]]  # step -> what the animation shows of the first seed


def train(config: Config, run: runs.Run | None = None) -> Trained:
    """Train all seeds at once; every `eval_every` steps judge fakes of each, and watch the first seed."""
    run, real = run or runs.Run(), load(config)
    players, edges = points.Players(config, real.train), plane_edges(real)
    snapshots, view = runs.Snapshots(run.folder), square(real)

    def look(step, fakes):
        snapshots.add(step, snapshot(players, fakes, view))
        return {name: points.band(values) for name, values in measure(real, fakes, edges).items()}

    def headline(record):
        if not real.modes:
            return f"KL {record['kl']['median']:.3f} nats"
        modes, quality = record["modes"]["median"], record["high_quality"]["median"]
        return f"{modes:g} of {len(real.modes.centres)} modes, high quality {quality:.1%}"

    players.train(run, look, headline)
    return Trained(config, real, run.records, players.fakes(config.steps), snapshots.kept)


# ------------------------------------------------------------------------------------------- measuring


def plane_edges(real: data.PlaneData) -> list[np.ndarray]:
    """Edges of 20 bins in each coordinate, from held-out real points."""
    return [metrics.histogram_edges(column, bins=20) for column in real.test.T]


def measure(real: data.PlaneData, fakes: np.ndarray, edges: list[np.ndarray]) -> dict[str, np.ndarray]:
    """The numbers of every record for each seed, from `fakes [S, 2, n]`: each `[S]`."""
    rows = np.moveaxis(fakes, 1, 2)
    found = {"kl": metrics.plane_kl(real.test, rows, edges)}
    if real.modes:
        coverage = [metrics.mode_coverage(r, *real.modes) for r in rows]
        found |= {
            name: np.array(values)
            for name, values in zip(coverage[0]._fields, zip(*coverage, strict=True), strict=True)
        }
    return found


def report(trained: Trained) -> dict[str, Any]:
    """The final numbers of each seed, with the floor: the mean over 20 perfect samplers of as many points."""
    config, real, edges = trained.config, trained.real, plane_edges(trained.real)
    perfect = np.stack([real.draw(config.eval_samples, seed).T for seed in range(20)])
    result = {
        "experiment": EXPERIMENT,
        "recipe": config.recipe,
        "target": real.name,
        "loss": config.loss,
        "pack": config.pack,
        "unroll": config.unroll,
        "seeds": config.seeds,
        "steps": config.steps,
    }
    scores, floors = (
        measure(real, fakes, edges)
        | {"sliced_wasserstein": metrics.sliced_wasserstein(real.test[:10_000], np.moveaxis(fakes, 1, 2), 16)}
        for fakes in (trained.fakes, perfect)
    )
    for name in scores:
        result |= {name: metrics.summary(scores[name]), f"{name}_floor": float(floors[name].mean())}
    if real.modes:
        result["modes_of"] = len(real.modes.centres)
        result["complete"] = int((scores["modes"] == result["modes_of"]).sum())
    return result


# ------------------------------------------------------------------------------------------- pictures


def square(real: data.PlaneData) -> tuple[np.ndarray, float]:
    """Middle `[2]` and half the side of a square around the real points, with some room."""
    low, high = real.test.min(axis=0), real.test.max(axis=0)
    return (low + high) / 2, 0.6 * float((high - low).max())


def snapshot(players: points.Players, fakes: np.ndarray, view: tuple) -> dict[str, np.ndarray]:
    """Of the first seed: fakes, D's push on some of them, D on a raster of the view, G's image of a lattice of z."""
    first, (middle, reach) = players.first(), view
    axis = np.linspace(-reach, reach, 60)
    raster = np.stack(np.meshgrid(axis, axis)).reshape(1, 2, -1) + middle[:, None]
    z = data.latent_lattice(players.config.latent, players.config.latent_dim, LATTICE, FINER)
    bent = np.float32(first.images_of(z)).reshape(2, FINER * (LATTICE - 1) + 1, -1)
    return {
        "fakes": np.float32(fakes[0, :, :1000]),
        "pushes": np.float32(first.pushes(fakes[:1, :, :100])[0]),
        "logits": np.float32(first.logits(raster)).reshape(60, 60),
        "lines": np.stack([bent[:, ::FINER], bent[:, :, ::FINER].swapaxes(1, 2)]),  # [2 directions, 2, LATTICE, n]
    }


def save_figures(trained: Trained, result: dict[str, Any], folder: Path) -> None:
    """overview.png, seeds.png, training.gif, training.html."""
    import gan_plots as plots

    view = square(trained.real)
    plots.save(overview(trained, result), folder / "overview.png")
    plots.save(plots.plane_seeds(trained.real, trained.fakes, result, view), folder / "seeds.png")
    titles = {r["step"]: title(r, result) for r in trained.records}
    plots.plane_animation(folder, trained.real.test, trained.snapshots, titles, view)


def title(record: dict, result: dict[str, Any]) -> str:
    """What the animation says above a step."""
    if "modes_of" not in result:
        return f"step {record['step']}: KL {record['kl']['median']:.2f} nats"
    return f"step {record['step']}: {record['modes']['median']:g} of {result['modes_of']} modes (median of seeds)"


def overview(trained: Trained, result: dict[str, Any]) -> Figure:
    """Six panels: the plane as D sees it, G's bent sheet, samples per mode, then three numbers against the step."""
    import gan_plots as plots  # here: seaborn takes seconds to import, and a wrong flag should not wait for it

    real, records, view = trained.real, trained.records, square(trained.real)
    last = trained.snapshots[max(trained.snapshots)]
    fig, axes = plots.figure(2, 3, 12, 7.6)
    plots.plane(axes[0, 0], real.test, last, view)
    plots.sheet_of_latents(axes[0, 1], last, view)
    plots.losses(axes[1, 0], records, None)
    if real.modes:
        plots.mode_shares(axes[0, 2], real.modes, trained.fakes)
        plots.history(axes[1, 1], records, "high_quality", "Share within 3 standard deviations", result, "")
        plots.history(axes[1, 2], records, "reverse_kl", "KL(modes || uniform)", result, "nats", scale="log")
    else:
        plots.per_seed(axes[0, 2], result["kl"]["per_seed"], None)
        plots.history(axes[1, 1], records, "kl", "KL(real || fake), 20 x 20 bins", result, "nats", scale="log")
        axes[1, 2].remove()
    return fig


# ------------------------------------------------------------------------------------------- the experiment

ROWS = {  # of the closing table: a number of result.json and its ideal value
    "modes with a sample of high quality": ("modes", "modes_floor"),
    "share of high quality": ("high_quality", "high_quality_floor"),
    "KL(modes || uniform), nats": ("reverse_kl", "reverse_kl_floor"),
    "KL(real || fake), 20 x 20 bins, nats": ("kl", "kl_floor"),
    "sliced Wasserstein-1, unit of the data": ("sliced_wasserstein", "sliced_wasserstein_floor"),
}


def train_and_report(config: Config, run: runs.Run) -> None:
    """The whole experiment: train, judge, draw, tell."""
    trained = train(config, run)
    result = report(trained)
    save_figures(trained, result, run.folder / "figures")
    result = run.finish(result)
    runs.show_table(result, ROWS)
    runs.say(f"{run.folder}: pictures and training.html in figures/, every number in result.json and log.jsonl")
    spent = f"{result['train_seconds']:.0f} s of training, {result['seed_steps_per_second']:,} seed-steps a second"
    if "modes_of" in result:
        runs.say(f"{result['complete']} of {config.seeds} seeds reach all {result['modes_of']} modes; {spent}")
    else:
        runs.say(f"KL {result['kl']['median']:.3f} nats, a perfect sampler's {result['kl_floor']:.3f}; {spent}")


if __name__ == "__main__":
    runs.command_line(EXPERIMENT, RECIPES, train_and_report, __doc__)
