"""Arrays in, matplotlib figures out. Nothing here trains, and nothing here opens a window."""

from collections.abc import Callable, Sequence
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns
from matplotlib.animation import PillowWriter
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image, ImageDraw

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


def per_seed(ax: Axes, values: Sequence[float], floor: tuple[float, float]) -> None:
    """One dot a seed, in order of size, and the 10% to 90% range of a perfect sampler."""
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
    axes[0, 0].legend(frameon=False, fontsize="x-small", loc="upper left")
    return fig
