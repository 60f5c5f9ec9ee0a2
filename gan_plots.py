"""Arrays in, matplotlib figures out. Nothing here trains, and nothing here opens a window."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns
from matplotlib.animation import HTMLWriter, PillowWriter
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter
from PIL import Image, ImageDraw
from scipy.special import expit

import gan_runs

REAL, FAKE, IDEAL = (
    "#31688e",
    "#d9622b",
    "0.35",
)  # the same three colours in every figure; told apart in grey, too


def figure(rows: int, columns: int, width: float, height: float) -> tuple[Figure, np.ndarray]:
    """A figure of rows x columns axes in the project's style, sizes in inches."""
    sns.set_theme(context="paper", style="ticks", font_scale=1.1)
    return plt.subplots(rows, columns, figsize=(width, height), layout="constrained", squeeze=False)


def save(fig: Figure, path: Path) -> None:
    """Write a PNG, whole or not at all."""
    with gan_runs.replacing(path) as temporary:
        fig.savefig(temporary, dpi=110)
    plt.close(fig)


def curve(ax: Axes, records: Sequence[dict], name: str, label: str, colour: str) -> None:
    """Median over seeds and the 10% to 90% band of one logged number against the step."""
    records = [r for r in records if name in r]
    steps = [r["step"] for r in records]
    _median_and_range(ax, steps, *([r[name][q] for r in records] for q in ("q10", "median", "q90")), label, colour)


def _median_and_range(ax: Axes, x, q10, median, q90, label: str, colour: str) -> None:
    ax.plot(x, median, color=colour, label=label, lw=1.2)
    ax.fill_between(x, q10, q90, color=colour, alpha=0.25, lw=0)


def _label(ax: Axes, y: float, text: str, colour: str, above: bool = True) -> None:
    """A small text just above or below height y at the right end."""
    ax.annotate(
        text,
        (1, y),
        xycoords=("axes fraction", "data"),
        xytext=(-2, 2 if above else -2),
        textcoords="offset points",
        ha="right",
        va="bottom" if above else "top",
        color=colour,
        fontsize="small",
    )


def level(ax: Axes, y: float, text: str, above: bool = True) -> None:
    """A horizontal reference line with its name at the right end."""
    ax.axhline(y, color=IDEAL, ls="--", lw=1)
    _label(ax, y, text, IDEAL, above)


def band(ax: Axes, x: np.ndarray, rows: np.ndarray, label: str, colour: str) -> None:
    """Median over seeds of curves `[S, n]` and their 10% to 90% band."""
    seen = ~np.isnan(rows).all(axis=0)
    _median_and_range(ax, x[seen], *np.nanquantile(rows[:, seen], [0.1, 0.5, 0.9], axis=0), label, colour)


def losses(ax: Axes, records: Sequence[dict], equilibrium: float | None) -> None:
    """Both losses against the step, with D's value at the equilibrium."""
    curve(ax, records, "discriminator_loss", "discriminator", REAL)
    curve(ax, records, "generator_loss", "generator", FAKE)
    if equilibrium is not None:
        level(ax, equilibrium, "ln 4", above=False)
    ax.set(title="Losses: median over seeds, 10% to 90%", xlabel="step", ylabel="loss (nats)")
    ax.legend(frameon=False)


def kl_history(ax: Axes, records: Sequence[dict], floor: float) -> None:
    """The KL divergence against the step, on a log scale, with its floor."""
    curve(ax, records, "kl", "KL", FAKE)
    level(ax, floor, "floor: a perfect sampler")
    ax.set(title="KL(real || fake)", xlabel="step", ylabel="nats", yscale="log")


def densities(ax: Axes, x: np.ndarray, p: np.ndarray, q: np.ndarray) -> None:
    """The real density p `[n]` and those of the fakes q `[S, n]`."""
    ax.plot(x, p, color=REAL, label="real", lw=1.5)
    band(ax, x, q, "fake", FAKE)
    ax.set(title="Real and fake density", xlabel="x", ylabel="density", ylim=(0, None))
    ax.legend(frameon=False)


def discriminator(ax: Axes, x: np.ndarray, d: np.ndarray, optimal: np.ndarray | None) -> None:
    """D(x) `[S, n]` beside the optimal D* = p / (p + q) `[S, n]` against the same fakes; NaN is left out."""
    band(ax, x, d, "D(x)", FAKE)
    if optimal is not None:
        band(ax, x, optimal, "optimal D*(x) = p / (p + q)", REAL)
    level(ax, 0.5, "1/2")
    ax.set(title="Discriminator", xlabel="x", ylabel="probability of real", ylim=(0, 1))
    ax.legend(frameon=False)


def verdicts(ax: Axes, d_real: np.ndarray, d_fake: np.ndarray) -> None:
    """How the discriminators' outputs are spread on real samples and on fakes, all seeds together."""
    bins = np.linspace(0, 1, 51)
    for values, label, colour in ((d_real, "on real", REAL), (d_fake, "on fake", FAKE)):
        sns.histplot(
            x=np.ravel(values),
            bins=bins,
            stat="density",
            element="step",
            alpha=0.25,
            color=colour,
            label=label,
            ax=ax,
        )
    ax.axvline(0.5, color=IDEAL, ls="--", lw=1)
    ax.set(title="D on real and on fake", xlabel="D, probability of real", ylabel="density", xlim=(0, 1))
    ax.legend(frameon=False)


def per_seed(ax: Axes, values: Sequence[float], floor: tuple[float, float] | None) -> None:
    """One dot a seed, in order of size, and the 10% to 90% range of a perfect sampler, if given."""
    values = np.sort([v for v in values if v is not None])
    ax.plot(
        (np.arange(len(values)) + 0.5) / max(len(values), 1),
        values,
        "o",
        color=FAKE,
        ms=3.5,
        mec="white",
        mew=0.3,
    )
    if floor:
        ax.axhspan(*floor, color=REAL, alpha=0.25, lw=0)
        _label(ax, floor[1], "perfect sampler, 10% to 90%", REAL)
    ax.set(title="Final KL of each seed", xlabel="share of seeds", ylabel="nats", yscale="log", xlim=(0, 1))


def _frames(n: int, at_most: int) -> np.ndarray:
    """Which of n records an animation shows: the first, the last, and more of the early ones."""
    return np.unique((np.linspace(0, 1, at_most) ** 2 * (n - 1)).round().astype(int))


def animation(path: Path, records: Sequence[dict], edges: np.ndarray, density: Callable, frames: int = 24) -> None:
    """training.gif: the first seed's fake histogram moves onto the real density; early steps get more frames."""
    fig, ((ax,),) = figure(1, 1, 4.6, 2.8)
    x = np.linspace(edges[0], edges[-1], 400)
    p = density(x)
    bars = ax.stairs(np.zeros(len(edges) - 1), edges, fill=True, color=FAKE, alpha=0.6, label="fake, first seed")
    ax.plot(x, p, color=REAL, lw=1.5, label="real")
    ax.set(xlabel="x", ylabel="density", ylim=(0, 1.6 * p.max()), xlim=(edges[0], edges[-1]), title=" ")
    ax.legend(frameon=False, loc="upper right")
    fig.draw_without_rendering()
    fig.set_layout_engine("none")  # laid out once: a new layout for each frame takes most of the time

    writer = PillowWriter(fps=6)
    with gan_runs.replacing(path) as temporary, writer.saving(fig, temporary, dpi=90):
        for i in [*_frames(len(records), frames), *[-1] * 4]:  # the last one stays
            counts = np.asarray(records[i]["fake_counts"])
            bars.set_data(counts[1:-1] / counts.sum() / np.diff(edges))  # the open tails have no width to draw
            ax.set_title(f"step {records[i]['step']}: KL {records[i]['kl']['median']:.3f} nats, median over seeds")
            writer.grab_frame()
    plt.close(fig)


def losses_compared(table: Sequence[dict], values: dict[tuple[str, str], np.ndarray]) -> Figure:
    """A panel for each target: the KL of every seed by loss, best median first, its 95% interval, and the floor."""
    targets = list(dict.fromkeys(row["target"] for row in table))
    count = len(table) // len(targets)
    fig, axes = figure(1, len(targets), 1 + 4.6 * len(targets), 0.9 + 0.36 * count)
    for ax, target in zip(axes[0], targets, strict=True):
        rows = [row for row in table if row["target"] == target]
        names = [row["loss"] for row in rows]
        seen = {name: values[target, name][np.isfinite(values[target, name])] for name in names}
        sns.stripplot(
            x=np.concatenate(list(seen.values())),
            y=np.repeat(names, [len(v) for v in seen.values()]),
            order=names,
            color=FAKE,
            alpha=0.45,
            size=3.5,
            jitter=0.25,
            ax=ax,
        )
        for k, row in enumerate(rows):
            if np.isfinite(row["median"]):
                ax.plot([row["low"], row["high"]], [k, k], color="black", lw=2, solid_capstyle="butt", zorder=5)
                ax.plot(row["median"], k, "|", color="black", ms=13, mew=1.6, zorder=6)
        if rows[0]["floor"] is not None:
            ax.axvline(rows[0]["floor"], color=IDEAL, ls="--", lw=1)
            where = {"xycoords": ("data", "axes fraction"), "xytext": (3, 3), "textcoords": "offset points"}
            ax.annotate("a perfect sampler", (rows[0]["floor"], 0), color=IDEAL, fontsize="small", **where)
        ax.set(xscale="log", xlabel="KL(real || fake), nats", ylabel="", title=target)
        ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        ax.xaxis.set_major_formatter("{x:g}")
        ax.xaxis.set_minor_formatter(NullFormatter())
    return fig


# ---------------------------------------------------------------------------------------------- the plane

VERDICT = LinearSegmentedColormap.from_list("verdict", ["#eba482", "white", "#8db4d4"])  # D: fake, undecided, real


def plane(ax: Axes, real: np.ndarray, snapshot: dict, view: tuple) -> None:
    """D as colours, real points `[n, 2]`, fakes, and arrows along which D pushes some of them."""
    (middle, reach), fakes, pushes = view, snapshot["fakes"], snapshot["pushes"]
    box = [middle[0] - reach, middle[0] + reach, middle[1] - reach, middle[1] + reach]
    d = expit(snapshot["logits"])
    ax.imshow(d, origin="lower", extent=box, cmap=VERDICT, vmin=0, vmax=1, interpolation="bilinear", aspect="equal")
    ax.scatter(*real[:1000].T, s=3, color=REAL, lw=0, label="real")
    ax.scatter(*fakes, s=3, color=FAKE, lw=0, label="fake")
    length = np.linalg.norm(pushes, axis=0)
    arrows = 0.12 * reach * pushes / max(np.quantile(length, 0.9), 1e-12)
    arrows *= np.minimum(1, 0.2 * reach / np.maximum(np.linalg.norm(arrows, axis=0), 1e-12))
    n = pushes.shape[1]
    ax.quiver(*fakes[:, :n], *arrows, angles="xy", scale_units="xy", scale=1, width=0.003, color="0.25")
    ax.set(xlim=box[:2], ylim=box[2:], title="First seed: real (blue), fakes (orange), D's push")


def sheet_of_latents(ax: Axes, snapshot: dict, view: tuple) -> None:
    """Lines of equal latent coordinate as G bends them: where they lie close, fakes are dense."""
    middle, reach = view
    for (x, y), colour in zip(snapshot["lines"], (FAKE, REAL), strict=True):  # [lines, n] twice
        ax.plot(x.T, y.T, color=colour, lw=0.5, alpha=0.7)
    ax.set(xlim=(middle[0] - reach, middle[0] + reach), ylim=(middle[1] - reach, middle[1] + reach), aspect="equal")
    ax.set(title="First seed: G's image of a square of latents")


def mode_shares(ax: Axes, modes: NamedTuple, fakes: np.ndarray) -> None:
    """Share of each seed's fakes that are nearest to each mode, and a perfect sampler's 10% to 90%."""
    k, n = len(modes.centres), fakes.shape[2]
    nearest = np.argmin(((fakes[:, :, :, None] - modes.centres.T[:, None]) ** 2).sum(axis=1), axis=-1)  # [S, n]
    shares = np.stack([np.bincount(row, minlength=k) for row in nearest]) / n
    low, high = 1 / k + np.array([-1.2816, 1.2816]) * np.sqrt((1 - 1 / k) / (k * n))  # of a binomial, nearly normal
    ax.axhspan(low, high, color=REAL, alpha=0.25, lw=0)
    ax.plot(np.tile(np.arange(1, k + 1), (len(shares), 1)), shares, "o", color=FAKE, ms=2.5, alpha=0.6, mew=0)
    ax.set(title="Samples by mode, every seed", xlabel="mode", ylabel="share of fakes", ylim=(0, None))
    _label(ax, 0, "blue: a perfect sampler, 10% to 90%", REAL)


def history(
    ax: Axes, records: Sequence[dict], name: str, title: str, result: dict, unit: str, scale="linear"
) -> None:
    """One number against the step: median over seeds, 10% to 90%, and its floor."""
    records = [r for r in records if r[name]["median"] is not None]  # no sample of high quality yet: infinite
    curve(ax, records, name, title, FAKE)
    level(ax, result[f"{name}_floor"], "a perfect sampler")
    ax.set(title=title, xlabel="step", ylabel=unit, yscale=scale)
    ax.margins(y=0.12)


def plane_seeds(real: NamedTuple, fakes: np.ndarray, result: dict, view: tuple, at_most: int = 20) -> Figure:
    """Small multiples: the fakes of each seed over the real points."""
    count = min(len(fakes), at_most)
    columns = min(count, 5)
    fig, axes = figure(-(-count // columns), columns, 2.1 * columns, 2.3 * -(-count // columns))
    middle, reach = view
    for ax in axes.flat[count:]:
        ax.remove()
    for k, ax in enumerate(axes.flat[:count]):
        ax.scatter(*real.test[:1000].T, s=6, color=REAL, alpha=0.5, lw=0)
        ax.scatter(*fakes[k, :, :1000], s=1.5, color=FAKE, lw=0)
        ax.set(xlim=(middle[0] - reach, middle[0] + reach), ylim=(middle[1] - reach, middle[1] + reach))
        ax.set(aspect="equal", xticks=[], yticks=[])
        told = f"KL {result['kl']['per_seed'][k]:.2f}"
        if "modes_of" in result:
            told = f"{result['modes']['per_seed'][k]:g} modes, {result['high_quality']['per_seed'][k]:.1%}"
        ax.set_title(told, fontsize="small")
    meaning = "modes reached, share of high quality" if "modes_of" in result else "KL(real || fake), nats"
    fig.suptitle(f"Every seed: real (blue), fakes (orange); {meaning}", fontsize="medium")
    return fig


def plane_animation(folder: Path, real: np.ndarray, snapshots: dict, titles: dict, view: tuple) -> None:
    """training.gif, and training.html: a player with a slider. The plane and the sheet of latents, step by step."""
    fig, ((left, right),) = figure(1, 2, 8, 4.2)
    steps = sorted(snapshots)
    for name, writer in (("training.gif", PillowWriter(fps=5)), ("training.html", HTMLWriter(5, embed_frames=True))):
        with gan_runs.replacing(folder / name) as temporary, writer.saving(fig, temporary, dpi=72):
            for i in [*_frames(len(steps), 40), *[-1] * 4 * (name == "training.gif")]:  # the last one stays
                for ax in (left, right):
                    ax.clear()
                plane(left, real, snapshots[steps[i]], view)
                sheet_of_latents(right, snapshots[steps[i]], view)
                fig.suptitle(titles[steps[i]], fontsize="medium")
                writer.grab_frame()
    plt.close(fig)


# ------------------------------------------------------------------------------------------------- images


def sheet(images: np.ndarray, columns: int, zoom: int | None = None, gap: int = 4) -> np.ndarray:
    """Images `[n, H, W]` or `[n, H, W, 1 or 3]` in [0, 1] as one uint8 picture, row by row on white.

    `zoom`: screen pixels per pixel, by default so many that an image is about 56 wide.
    """
    zoom = zoom or max(1, round(56 / images.shape[2]))
    images = np.round(255 * images).astype(np.uint8).repeat(zoom, 1).repeat(zoom, 2)
    images = images[..., 0] if images.shape[3:] == (1,) else images
    n, height, width = images.shape[:3]
    rows = -(-n // columns)
    size = (rows * (height + gap) - gap, columns * (width + gap) - gap, *images.shape[3:])
    picture = np.full(size, 255, np.uint8)
    for k, image in enumerate(images):
        top, left = k // columns * (height + gap), k % columns * (width + gap)
        picture[top : top + height, left : left + width] = image
    return picture


def save_sheet(path: Path, images: np.ndarray, columns: int) -> None:
    """Write `sheet` as a PNG, whole or not at all."""
    with gan_runs.replacing(path) as temporary:
        Image.fromarray(sheet(images, columns)).save(temporary)


def sheet_animation(
    path: Path, sheets: Sequence[tuple[int, np.ndarray]], columns: int = 5, zoom: int | None = None, frames: int = 40
) -> None:
    """training.gif: the same latents through training, `(step, uint8 images)`; early steps get more frames."""
    pictures = []
    for i in _frames(len(sheets), frames):
        step, images = sheets[i]
        grid = Image.fromarray(sheet(images / 255, columns, zoom))
        picture = Image.new(grid.mode, (grid.width, grid.height + 18), "white")
        picture.paste(grid, (0, 18))
        ImageDraw.Draw(picture).text((2, 3), f"step {step}", fill="black")
        pictures.append(picture)
    with gan_runs.replacing(path) as temporary:
        durations = [150] * (len(pictures) - 1) + [1500]  # ms; the last one stays
        pictures[0].save(temporary, save_all=True, append_images=pictures[1:], duration=durations, loop=0)


REAL_IMAGES, PERFECT = "real images", "perfect sampler"
IMAGE_CURVES = {  # number of log.jsonl: title, unit, scale, whose the floor is
    "frechet_digit_distance": ("Frechet digit distance", "", "log", REAL_IMAGES),
    "label_kl": ("Label KL", "nats", "log", REAL_IMAGES),
    "pixel_kl": ("Pixel KL", "nats", "log", REAL_IMAGES),
    "confident_share": ("Share the judge is 90% sure of", "", "linear", REAL_IMAGES),
}
STACKED_CURVES = {
    "modes": ("Modes, of 1000", "", "linear", PERFECT),
    "kl": ("KL(triples of digits || uniform)", "nats", "log", PERFECT),
    "frechet_digit_distance": ("Frechet distance of single digits", "", "log", REAL_IMAGES),
    "confident_share": ("Share the judge is 90% sure of", "", "linear", REAL_IMAGES),
}


def image_curves(records: Sequence[dict], curves: dict[str, tuple] = IMAGE_CURVES) -> Figure:
    """Losses and the numbers of log.jsonl against the step, each with its floor."""
    fig, axes = figure(2, 3, 11, 5.6)
    steps = [r["step"] for r in records]
    ax = axes[0, 0]
    for name, colour in (("discriminator", REAL), ("generator", FAKE)):
        ax.plot(steps, [r.get(f"{name}_loss", np.nan) for r in records], color=colour, lw=1.2, label=name)
    ax.set(title="Losses", xlabel="step", ylabel="nats")
    ax.legend(frameon=False)
    for ax, (name, (title, unit, scale, floor)) in zip(axes.flat[1:], curves.items(), strict=False):
        ax.plot(steps, [r[name] for r in records], color=FAKE, lw=1.2)
        ax.set(title=title, xlabel="step", ylabel=unit, yscale=scale)
        ax.margins(y=0.18 if scale == "log" else 0.05)  # room for the floor's name below it
        level(ax, records[-1][f"{name}_floor"], floor, above=False)
    for ax in axes.flat[1 + len(curves) :]:
        ax.remove()
    return fig


def mode_counts(counts: np.ndarray, draws: int = 200, seed: int = 0) -> Figure:
    """How often each of k modes came `[k]`, in order of size, on the 10% to 90% band of a perfect sampler's."""
    fig, ((ax,),) = figure(1, 1, 5.6, 3.2)
    k, n = len(counts), counts.sum()
    perfect = np.sort(np.random.default_rng(seed).multinomial(n, np.full(k, 1 / k), size=draws), axis=1)[:, ::-1]
    band(ax, np.arange(1, k + 1), perfect, "perfect sampler, 10% to 90%", REAL)
    ax.plot(np.arange(1, k + 1), np.sort(counts)[::-1], color=FAKE, lw=1.5, label="fakes")
    level(ax, n / k, f"{n / k:.3g}: equal parts")
    ax.set(title=f"{np.count_nonzero(counts)} of {k} modes in {n} samples", xlabel="modes, the most frequent first")
    ax.set(ylabel="samples", xlim=(1, k), ylim=(0, None))
    ax.legend(frameon=False)
    return fig


def errors_and_accuracies(records: Sequence[dict]) -> Figure:
    """D's error and accuracy on real images and on fakes, and G's error, with where they meet when D cannot tell."""
    fig, ((left, right),) = figure(1, 2, 8.4, 2.9)
    records = [r for r in records if "fake_error" in r]
    steps = [r["step"] for r in records]
    for kind, colour in (("real", REAL), ("fake", FAKE)):
        left.plot(steps, [r[f"{kind}_error"] for r in records], color=colour, lw=1.2, label=f"D on {kind}")
        right.plot(steps, [r[f"{kind}_accuracy"] for r in records], color=colour, lw=1.2, label=f"on {kind}")
    left.plot(steps, [r["generator_error"] for r in records], color="black", lw=1.2, label="G")
    level(left, np.log(2), "ln 2: D says 1/2", above=False)
    level(right, 0.5, "1/2: D guesses", above=False)
    left.set(title="Cross-entropy", xlabel="step", ylabel="nats", ylim=(0, None))
    right.set(title="D's accuracy", xlabel="step", ylabel="share right", ylim=(0, 1))
    for ax in (left, right):
        ax.legend(frameon=False)
    return fig


def held_out_curves(
    records: Sequence[dict], title: str, curves: dict[str, str], losses: Sequence[str], unit: str = "nats"
) -> Figure:
    """Numbers of held-out images against the step, `curves`: number -> label; beside them the losses so named."""
    fig, ((left, right),) = figure(1, 2, 8.4, 2.9)
    for (name, label), colour in zip(curves.items(), (FAKE, REAL, IDEAL), strict=False):
        left.plot([r["step"] for r in records], [r[name] for r in records], color=colour, lw=1.2, label=label)
    left.set(title=f"{title}, held-out", xlabel="step", yscale="log")
    for name, colour in zip(losses, (REAL, FAKE, IDEAL), strict=False):
        seen = [r for r in records if name in r]
        label = name.replace("_loss", "").replace("_", " ")
        right.plot([r["step"] for r in seen], [r[name] for r in seen], color=colour, lw=1.2, label=label)
    right.set(title="Losses", xlabel="step", ylabel=unit)
    for ax in (left, right):
        ax.legend(frameon=False)
    return fig


def dirac(
    forces: dict[str, Callable], paths: dict[tuple[str, str], np.ndarray], penalties: Sequence[float], start: tuple
) -> Figure:
    """A panel for each loss and for no, a middle and the largest penalty: the field, and both orders' trajectories.

    `forces`: loss -> (theta, psi, penalty) -> the two forces; `paths`: (loss, order) -> `[steps + 1, penalties, 2]`.
    """
    shown = sorted({0, len(penalties) // 2, len(penalties) - 1})
    fig, axes = figure(len(forces), len(shown), 2.4 * len(shown), 2.3 * len(forces))
    reach = 2.2 * max(0.5, *np.abs(start))
    grid = np.linspace(-reach, reach, 13)
    theta, psi = (a.reshape(-1, 1) for a in np.meshgrid(grid, grid))
    for row, (loss, force) in zip(axes, forces.items(), strict=True):
        for ax, k in zip(row, shown, strict=True):
            u, v = force(theta, psi, np.full_like(theta, penalties[k]))
            length = np.hypot(u, v) + 1e-12
            ax.quiver(theta, psi, u / length, v / length, color="0.72", scale=22, width=0.006, pivot="mid")
            for order, colour in (("simultaneous", FAKE), ("alternating", REAL)):
                path = paths[loss, order][:, k]
                inside = np.abs(path).max(axis=-1) < 2 * reach
                ax.plot(*path[: len(path) if inside.all() else inside.argmin()].T, color=colour, lw=0.9, label=order)
            ax.plot(*start, "o", color="black", ms=3)
            ax.plot(0, 0, "+", color="black", ms=7)
            ax.set(xlim=(-reach, reach), ylim=(-reach, reach), title=f"{loss}, penalty {penalties[k]:g}")
            ax.title.set_size("small")
    for ax in axes[-1]:
        ax.set_xlabel("theta")
    for ax in axes[:, 0]:
        ax.set_ylabel("psi")
    fig.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=2, frameon=False)
    return fig
