"""Samples from the last checkpoint of a run, or its generator as a file for NumPy.

    python experiments/sample.py RUN                               a picture to look at, samples.png
    python experiments/sample.py RUN --count 10000 --out x.npy     images: uint8 [count, side, side], as MNIST's own
                                                                   (stacked_mnist: [count, side, side, 3])
    python experiments/sample.py RUN --label 7                     sevens, from a run of mnist_conditional
    python experiments/sample.py RUN --out x.csv                   numbers or points of every seed: seed,x or seed,x,y
    python experiments/sample.py RUN --out x.npy                   the same: [seeds, count] or [seeds, count, 2]
    python experiments/sample.py RUN --seed-index 2 --out x.npy    of the third seed alone: [count] or [count, 2]
    python experiments/sample.py RUN --export G.npz                the generator's weights; beside them G.md, with a
                                                                   short program that uses them: it needs NumPy alone

The networks are rebuilt from the run's folder; the data that they were trained on are not needed.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import shlex
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import numpy as np
import tyro

from lab import cli, draws, export, files, memory, plots, points, runs, screen, sheets, storage

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NO_SAMPLES = {  # experiments whose runs have no generator that draws from latents, and why
    "pix2pix": "whose generator translates images",
    "cyclegan": "whose generators translate images",
    "digit_classifier": "which is a classifier",
    "dirac_gan": "whose generator is a single number",
}
Digit = Annotated[int, cli.Accepted("a digit from 0 to 9", lambda v: 0 <= v <= 9)]


@dataclasses.dataclass(frozen=True)
class Command:
    """The command line."""

    run: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]  # the run's folder
    count: cli.Count = 100  # samples, of each seed in a run on numbers or points
    seed: cli.Seed = 0  # of the latents
    label: Annotated[Digit | None, cli.shown("DIGIT")] = None  # what a conditional run draws [default: every digit]
    seed_index: Annotated[cli.Whole | None, cli.shown("K")] = None  # one seed alone, of a run with many; 0: the first
    out: Annotated[str | None, cli.shown("FILE")] = None  # a new .png, .npy or .csv file [default: samples.png]
    export: Annotated[str | None, cli.shown("FILE")] = None  # a new .npz file for weights; no samples without --out

    def checked(self) -> Command:
        """The same with --out filled in where it is needed. BadInput: a flag that is wrong for every run."""
        cli.check(self)
        if not self.run:
            raise files.BadInput("RUN '': expected the folder of a run")
        command = dataclasses.replace(self, out="samples.png") if self.out is None and self.export is None else self
        if command.out is None:
            words = "no such flag with --export alone, which draws no samples"
            cli.require_defaults(self, "count seed label", words)
        for name, endings in (("out", (".png", ".npy", ".csv")), ("export", (".npz",))):
            if (value := getattr(command, name)) is not None:
                if Path(value).suffix.lower() not in endings:
                    accepted = " or ".join(filter(None, (", ".join(endings[:-1]), endings[-1])))
                    raise files.BadInput(f"--{name} {value or repr(value)}: expected a {accepted} file")
                for path in [Path(value)] if name == "out" else [Path(value), export.readme(Path(value))]:
                    if path.exists():
                        raise files.BadInput(f"--{name} {value}: {path} exists already; choose a new file")
        return command


class Restored(NamedTuple):
    """The generators of a run, rebuilt without its data."""

    module: Any  # the run's script
    config: Any
    run: runs.Run
    generate: Callable[..., np.ndarray]  # latent bits -> samples; where the run takes digits, also of digits

    @property
    def has_images(self) -> bool:
        """Whether the run draws images, with one generator; otherwise numbers or points, with one for each seed."""
        return "side" in self.run.data

    def seeds(self, seed_index: int | None) -> range:
        """The seeds of a run on numbers or points, or the one of this index."""
        every = range(self.config.seed, self.config.seed + self.config.seeds)
        return every if seed_index is None else every[seed_index : seed_index + 1]


def restored(folder: Path, command: Command | None = None) -> Restored:
    """The generators of the run in `folder`; BadInput if there is no run, checkpoint or generator from latents, or
    if the samples of the `command` do not fit into the memory.
    """
    saved = storage.read_config(folder, "RUN")
    experiment = saved.experiment
    module = cli.script(experiment, f"RUN {folder}: ")
    if not hasattr(module, "load_generator"):
        why = NO_SAMPLES.get(experiment, "whose script has no load_generator")
        raise files.BadInput(f"RUN {folder}: a run of {experiment}, {why}; expected one that draws from latents")
    config, run = storage.load_config(folder, "RUN", module.Config), runs.Run(folder, reopen=True)
    run.about = {"experiment": experiment, "recipe": saved.recipe}  # config.json may be missing: a checkpoint has it
    if not run.data:  # it was stopped before it read its data
        raise files.BadInput(f"RUN {folder}: no checkpoint yet")
    if command:
        memory.require(command, lambda command: bytes_needed(command, module, config, run.data))
    return Restored(module, config, run, module.load_generator(config, run))


def bytes_needed(command: Command, module: Any, config: Any, data: dict[str, Any]) -> int:
    """About how much memory the generators of a run and this many samples take, for `memory.require`."""
    alone = memory.resized(config, batch=1, samples=1, stacked_images=1, eval_every=1, eval_samples=1, log_samples=1)
    if "side" in data:  # pixels: float32, whole and in parts or scaled, then bytes
        of_sample = 16 * getattr(module, "COLOURS", 1) * data["side"] ** 2 + 16 * config.latent_dim + 1500
        return int(module.bytes_needed(alone, data["side"])) + command.count * of_sample
    of_sample = 4 * config.latent_dim + 16 * data["features"]  # random bits and float64, each with a copy
    return points.bytes_needed(alone, data["features"]) + command.count * config.seeds * of_sample


def require_fitting(gan: Restored, label: int | None, seed_index: int | None, out: str | None = None) -> None:
    """BadInput for a flag that is wrong for this run."""
    experiment = gan.run.about["experiment"]
    if out and gan.has_images and Path(out).suffix.lower() == ".csv":
        raise files.BadInput(f"--out {out}: expected a .png or .npy file for images")
    if label is not None and not getattr(gan.module, "TAKES_LABEL", False):
        raise files.BadInput(f"--label {label}: a run of {experiment} is trained without labels")
    if seed_index is not None and gan.has_images:
        raise files.BadInput(f"--seed-index {seed_index}: a run of {experiment} has a single seed")
    if seed_index is not None and not gan.seeds(seed_index):
        count = gan.config.seeds
        raise files.BadInput(
            f"--seed-index {seed_index}: expected 0 to {count - 1}, because the run has seeds={count}"
        )


# ---------------------------------------------------------------------------------------------- samples


def sample(
    folder: Path, count: int, seed: int = 0, label: int | None = None, seed_index: int | None = None
) -> np.ndarray:
    """Samples of the run in `folder`; sample k is a function of (seed, label, k).

    In a run on points GAN j, counted from 0, draws its latents with seed + j.

    Images `[count, side, side]` or `[count, side, side, 3]`, float32 in [0, 1]; or numbers `[S, count]` or points
    `[S, count, 2]`, float64, of every seed of the run or of one, S = 1.
    """
    gan = restored(folder)
    require_fitting(gan, label, seed_index)
    return drawn(gan, count, seed, label, seed_index)


def drawn(gan: Restored, count: int, seed: int, label: int | None, seed_index: int | None) -> np.ndarray:
    """`sample` of a run that is restored already."""
    config = gan.config
    if gan.has_images:
        bits = draws.latent_bits(seed, count, config.latent_dim)
        return gan.generate(bits) if label is None else gan.generate(bits, np.full(count, label))
    bits = np.stack([draws.latent_bits(seed + k, count, config.latent_dim) for k in range(config.seeds)])  # [S, n, Z]
    parts = [gan.generate(bits[:, first : first + 10_000]) for first in range(0, count, 10_000)]  # bounds the memory
    samples = np.concatenate(parts, axis=1)
    return samples if seed_index is None else samples[seed_index : seed_index + 1]


def write_images(out: Path, images: np.ndarray) -> None:
    """Images in [0, 1] side by side in one picture (.png), or as uint8 (.npy)."""
    if out.suffix.lower() == ".png":
        sheets.save(out, images, columns=int(np.ceil(len(images) ** 0.5)))
    else:
        write_array(out, np.round(255 * images).astype(np.uint8))


def write_array(out: Path, array: np.ndarray) -> None:
    """A .npy file, by way of bytes: on a full disk NumPy's own writing raises an OSError that does not say so."""
    content = io.BytesIO()
    np.save(content, array)
    with files.replacing(out) as temporary:
        temporary.write_bytes(content.getbuffer())


def write_points(out: Path, samples: np.ndarray, seeds: range, one: bool) -> None:
    """Numbers `[S, n]` or points `[S, n, 2]` of these seeds: a picture, a table, or an array, of `one` without S."""
    n = samples.shape[1]
    if out.suffix.lower() == ".png":
        plots.save((numbers_picture if samples.ndim == 2 else points_picture)(samples, seeds), out)
    elif out.suffix.lower() == ".npy":
        write_array(out, samples[0] if one else samples)
    else:
        rows = np.column_stack([np.repeat(seeds, n), samples.reshape(len(seeds) * n, -1)])
        header, formats = ["seed,x", "seed,x,y"][samples.ndim - 2], ["%d"] + ["%.9g"] * (samples.ndim - 1)
        with files.replacing(out) as temporary:
            np.savetxt(temporary, rows, formats, delimiter=",", header=header, comments="")


def numbers_picture(samples: np.ndarray, seeds: range) -> Figure:
    """The histogram of numbers `[S, n]`: of several seeds the median over them and the band from 10% to 90%."""
    n, (low, high) = samples.shape[1], np.quantile(samples, [0.001, 0.999])
    bins = int(np.clip(n**0.5, 10, 60))
    edges = np.linspace(low, high, bins + 1) if low < high else np.linspace(low - 0.5, low + 0.5, bins + 1)
    heights = np.stack([np.histogram(row, edges)[0] for row in samples]) / n / np.diff(edges)
    fig, ((ax,),) = plots.figure(1, 1, 5.6, 3.2)
    if len(seeds) == 1:
        ax.stairs(heights[0], edges, fill=True, color=plots.FAKE, alpha=0.6)
        title = f"{n} fakes of seed {seeds[0]}"
    else:
        plots.band(ax, (edges[1:] + edges[:-1]) / 2, heights, "fakes", plots.FAKE)
        title = f"{n} fakes of each of {len(seeds)} seeds: median, 10% to 90%"
    ax.set(title=title, xlabel="x", ylabel="density", ylim=(0, None))
    return fig


def points_picture(samples: np.ndarray, seeds: range) -> Figure:
    """A panel for each seed with its points `[S, n, 2]`, of the first 20 seeds."""
    count, n = min(len(seeds), 20), samples.shape[1]
    width = 4.2 if count == 1 else 2.1
    fig, axes = plots.panels(count, min(count, 5), width, width + 0.2)
    low, high = np.quantile(samples[:count], [0.001, 0.999], axis=(0, 1))
    middle, reach = (low + high) / 2, 0.6 * max(float((high - low).max()), 1e-6)
    for ax, seed, row in zip(axes, seeds, samples, strict=False):
        ax.scatter(*row.T, s=4 if n <= 1000 else 1, color=plots.FAKE, lw=0)
        ax.set(xlim=middle[0] + np.array([-reach, reach]), ylim=middle[1] + np.array([-reach, reach]), aspect="equal")
        ax.set_title(f"seed {seed}", fontsize="small")
    each = f" of each of {len(seeds)} seeds" if len(seeds) > 1 else ""
    fig.suptitle(f"{n} fakes{each}" + (f", the first {count} seeds" if count < len(seeds) else ""), fontsize="medium")
    return fig


# ----------------------------------------------------------------------------------------------- export


def exported(gan: Restored, seed_index: int | None) -> export.Generator:
    """The generators of a run as arrays and NumPy code, with the averaged weights that the run evaluates."""
    config, data, state = gan.config, gan.run.data, gan.run.state
    if not gan.has_images:
        chosen = slice(None) if seed_index is None else slice(seed_index, seed_index + 1)
        seeds, games = gan.seeds(None), zip(points.blocks(config), state["games"], strict=True)
        blocks = [points.weights_to_evaluate(config, game, seeds[block]) for block, game in games]
        weights = [np.concatenate(parts)[chosen] for parts in zip(*blocks, strict=True)]
        unit = np.array(data["mean"])[chosen], np.array(data["std"])[chosen]
        settings = config.generator_skip, config.generator_activation, config.latent
        return export.points(weights, *unit, *settings, first=seed_index or 0)
    if "game" not in state:  # of numpy_gan: G's weights, two moments of each, and the number of steps
        weights = state["generator"][: len(state["generator"]) // 3]
        return export.dense_images(weights, "relu", "tanh", data["side"])
    weights, categories = [w.numpy() for w in state["game"].average], getattr(config, "categories", 0)
    if any(w.ndim == 4 for w in weights):
        return export.dcgan_images(weights, data["side"], data.get("class_frequencies"), categories)
    return export.dense_images(weights, config.generator_activation, config.output, data["side"], categories)


@contextlib.contextmanager
def one_line_for(flag: str, file: Path) -> Iterator[None]:
    """A file that cannot be written is BadInput."""
    try:
        yield
    except OSError as error:
        raise files.BadInput(f"{flag} {file}: {files.why(error)}") from None


def write_samples(path: Path, gan: Restored, command: Command) -> None:
    """Draw the samples that the command asks for, and write them."""
    samples = drawn(gan, command.count, command.seed, command.label, command.seed_index)
    with one_line_for("--out", path):
        if gan.has_images:
            write_images(path, samples)
        else:
            write_points(path, samples, gan.seeds(command.seed_index), command.seed_index is not None)
    of_each = "" if gan.has_images or len(samples) == 1 else f" of each of {len(samples)} seeds"
    screen.say(f"{path}: {command.count} samples{of_each}")


def write_generator(path: Path, gan: Restored, command: Command) -> None:
    """Write the generators of the run as the .npz file `path`, and its README."""
    about = gan.run.about | {"step": gan.run.step, "config": dataclasses.asdict(gan.config)}
    which = "" if command.seed_index is None else f" --seed-index {command.seed_index}"
    same = f"python experiments/sample.py {shlex.quote(command.run)} --count 10{which} --out samples.npy"
    with one_line_for("--export", path):
        export.write(path, exported(gan, command.seed_index), about, same)
    screen.say(f"{path}: the generator; {export.readme(path)}: how to use it in NumPy")


def main(args: list[str]) -> None:
    """Restore the run, and write samples or the generator or both."""
    with cli.one_line_errors():
        command = cli.parse(Command, __doc__, args).checked()
        gan = restored(Path(command.run), command)
        require_fitting(gan, command.label, command.seed_index, command.out)
        if command.out:
            write_samples(Path(command.out), gan, command)
        if command.export:
            write_generator(Path(command.export), gan, command)


if __name__ == "__main__":
    main(sys.argv[1:])
