"""Arrays in, figures out: nothing here trains, and no window opens.

`figure` makes every figure. Functions of an `ax` draw one panel; the others return a `Figure`, or write files.
Matplotlib and seaborn take a second to import, for which `--help` should not wait: they are imported where needed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, ImageDraw
from scipy.special import expit

from lab import runs

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    Array = np.ndarray
    Records = Sequence[dict[str, Any]]  # of log.jsonl

REAL, FAKE, IDEAL = "#31688e", "#d9622b", "0.35"  # the same three colours in every figure; they differ in grey, too
COLOURS = (REAL, FAKE, "black")  # of curves that share a panel


def figure(rows: int, columns: int, width: float, height: float) -> tuple[Figure, Array]:
    """A figure in the project's style, sizes in inches, and its axes `[rows, columns]`.

    Unlike pyplot's it opens no window and needs no closing. A notebook shows it after `%matplotlib inline`.
    """
    import seaborn as sns
    from matplotlib.figure import Figure

    sns.set_theme(context="paper", style="ticks", palette="colorblind", font_scale=1.1)
    fig = Figure(figsize=(width, height), layout="constrained")
    return fig, fig.subplots(rows, columns, squeeze=False)


def panels(count: int, columns: int, width: float, height: float) -> tuple[Figure, Array]:
    """A figure of `count` panels, row by row, each `width` by `height` inches, and their axes `[count]`."""
    rows = -(-count // columns)
    fig, axes = figure(rows, columns, width * columns, height * rows)
    for ax in axes.flat[count:]:
        ax.remove()
    return fig, axes.flat[:count]


def save(fig: Figure, path: Path) -> None:
    """Write the figure as a PNG, whole or not at all."""
    with runs.replacing(path) as temporary:
        fig.savefig(temporary, dpi=110)


def _save_animation(path: Path, fig: Figure, draw: Callable, frames: list[int], fps: int, dpi: int) -> None:
    """Write the figure after each `draw(i)`, i in `frames`: a GIF, or with .html a player with a slider."""
    from matplotlib.animation import HTMLWriter, PillowWriter

    draw(frames[0])
    fig.draw_without_rendering()
    fig.set_layout_engine("none")  # laid out once: nothing jumps, and a layout for each frame takes most of the time
    gif = path.suffix == ".gif"
    writer = PillowWriter(fps) if gif else HTMLWriter(fps, embed_frames=True)
    with runs.replacing(path) as temporary, writer.saving(fig, temporary, dpi):
        for i in frames + frames[-1:] * 4 * gif:  # a GIF starts again: its last frame stays for a while
            draw(i)
            writer.grab_frame()


def _frames(n: int, at_most: int) -> list[int]:
    """Which of n records an animation shows: the first, the last, and more of the early ones."""
    return np.unique((np.linspace(0, 1, at_most) ** 2 * (n - 1)).round().astype(int)).tolist()


def curve(ax: Axes, records: Records, name: str, label: str, colour: str) -> None:
    """One logged number against the step; if it was logged for many seeds, their median and 10% to 90% band."""
    records = [r for r in records if name in r]
    steps, values = [r["step"] for r in records], [r[name] for r in records]
    if values and isinstance(values[0], dict):
        _median_and_band(ax, steps, [[v[q] for v in values] for q in ("q10", "median", "q90")], label, colour)
    else:
        ax.plot(steps, np.array(values, float), color=colour, label=label, lw=1.2)


def band(ax: Axes, x: Array, rows: Array, label: str, colour: str) -> None:
    """Median over seeds of curves `[S, n]` and their 10% to 90% band, without points where all seeds are NaN."""
    valid = ~np.isnan(rows).all(axis=0)
    _median_and_band(ax, x[valid], np.nanquantile(rows[:, valid], [0.1, 0.5, 0.9], axis=0), label, colour)


def _median_and_band(ax: Axes, x: Sequence | Array, quantiles: Sequence | Array, label: str, colour: str) -> None:
    q10, median, q90 = np.array(quantiles, float)  # None, where all seeds failed, becomes NaN
    ax.plot(x, median, color=colour, label=label, lw=1.2)
    ax.fill_between(x, q10, q90, color=colour, alpha=0.25, lw=0)


def curves(ax: Axes, records: Records, labels: Mapping[str, str], colours=COLOURS, **settings: Any) -> None:
    """Several logged numbers in one panel against the step, with a legend; `labels`: number -> label."""
    for (name, label), colour in zip(labels.items(), colours, strict=False):
        curve(ax, records, name, label, colour)
    ax.set(xlabel="step", **settings)
    ax.legend(frameon=False)


def level(ax: Axes, y: float, text: str, above: bool = True, colour: str = IDEAL) -> None:
    """A dashed horizontal line at y, with its name at the right end."""
    ax.axhline(y, color=colour, ls="--", lw=1)
    _label(ax, y, text, colour, above)


def _label(ax: Axes, y: float, text: str, colour: str, above: bool = True) -> None:
    """A small text at the right end, just above or below height y."""
    offset, side = (2, "bottom") if above else (-2, "top")
    where: dict[str, Any] = {"xycoords": ("axes fraction", "data"), "textcoords": "offset points"}
    ax.annotate(text, (1, y), (-2, offset), color=colour, fontsize="small", ha="right", va=side, **where)


# ---------------------------------------------------------------------------------------------- real numbers


def losses(ax: Axes, records: Records, equilibrium: float | None = None) -> None:
    """Both players' losses against the step, and D's loss at the equilibrium, ln 4, if the loss has one."""
    seeds = ": median over seeds, 10% to 90%" if isinstance(records[-1].get("generator_loss"), dict) else ""
    labels = {"discriminator_loss": "discriminator", "generator_loss": "generator"}
    curves(ax, records, labels, title=f"Losses{seeds}", ylabel="loss")
    if equilibrium is not None:
        level(ax, equilibrium, "ln 4: D at the equilibrium", above=False)  # D's curve ends above it
        ax.margins(y=0.15)  # room for that name


def history(
    ax: Axes, records: Records, name: str, title: str, floors: dict, unit, scale="linear", whose="a perfect sampler"
) -> None:
    """One logged number against the step (median and band, if over seeds); dashed, its floor, `<name>_floor`."""
    curve(ax, records, name, title, FAKE)
    ax.set(title=title, xlabel="step", ylabel=unit, yscale=scale)
    ax.margins(y=0.18)  # room for the floor's name, away from the curve: what has a log scale is best when small
    level(ax, floors[f"{name}_floor"], whose, above=scale == "linear")


def kl_history(ax: Axes, records: Records, floor: float) -> None:
    """The KL divergence against the step on a log scale, median and band over seeds, and a perfect sampler's KL."""
    history(ax, records, "kl", "KL(real || fake)", {"kl_floor": floor}, "nats", "log")


def densities(ax: Axes, x: Array, p: Array, q: Array) -> None:
    """The real density p `[n]` as a line, and the fakes' densities q `[S, n]` as their median and band over seeds."""
    ax.plot(x, p, color=REAL, label="real", lw=1.5)
    band(ax, x, q, "fake", FAKE)
    ax.set(title="Real and fake density", xlabel="x", ylabel="density", ylim=(0, None))
    ax.legend(frameon=False)


def discriminator(ax: Axes, x: Array, d: Array, optimal: Array | None) -> None:
    """D(x) `[S, n]` and, if given, the optimal D* = p / (p + q) `[S, n]` against the same fakes; NaN is left out."""
    band(ax, x, d, "D(x)", FAKE)
    if optimal is not None:
        band(ax, x, optimal, "optimal D*(x) = p / (p + q)", REAL)
    level(ax, 0.5, "1/2")
    ax.set(title="Discriminator", xlabel="x", ylabel="probability of real", ylim=(0, 1))
    ax.legend(frameon=False)


def discriminator_outputs(ax: Axes, d_real: Array, d_fake: Array) -> None:
    """Histograms of D's outputs on real samples and on fakes, all seeds together; dashed, 1/2: D cannot tell."""
    bins = np.linspace(0, 1, 51)
    for values, label, colour in ((d_real, "on real", REAL), (d_fake, "on fake", FAKE)):
        density, _ = np.histogram(np.ravel(values), bins, density=True)
        ax.stairs(density, bins, fill=True, color=colour, alpha=0.25, lw=0)
        ax.stairs(density, bins, color=colour, label=label)
    ax.axvline(0.5, color=IDEAL, ls="--", lw=1)
    ax.set(title="D on real and on fake", xlabel="D, probability of real", ylabel="density", xlim=(0, 1))
    ax.legend(frameon=False)


def per_seed(ax: Axes, values: Sequence[float | None], floor: tuple[float, float] | None) -> None:
    """The final KL of each seed as a dot, in order of size, and a perfect sampler's 10% to 90% range, if given."""
    found = np.sort([v for v in values if v is not None])
    shares = (np.arange(len(found)) + 0.5) / max(len(found), 1)
    ax.plot(shares, found, "o", color=FAKE, ms=3.5, mec="white", mew=0.3)
    if floor:
        ax.axhspan(*floor, color=REAL, alpha=0.25, lw=0)
        _label(ax, floor[0], "perfect sampler, 10% to 90%", REAL, above=False)
    ax.margins(y=0.15)
    ax.set(title="Final KL of each seed", xlabel="share of seeds", ylabel="nats", yscale="log", xlim=(0, 1))


def animation(path: Path, records: Records, edges: Array, density: Callable) -> None:
    """training.gif: the first seed's fake histogram moves onto the real density; early steps get more frames."""
    fig, ((ax,),) = figure(1, 1, 4.6, 2.8)
    x = np.linspace(edges[0], edges[-1], 400)
    p = density(x)
    bars = ax.stairs(np.zeros(len(edges) - 1), edges, fill=True, color=FAKE, alpha=0.6, label="fake, first seed")
    ax.plot(x, p, color=REAL, lw=1.5, label="real")
    ax.set(xlabel="x", ylabel="density", ylim=(0, 1.6 * p.max()), xlim=(edges[0], edges[-1]))
    ax.legend(frameon=False, loc="upper right")

    def draw(i: int) -> None:
        counts = np.asarray(records[i]["fake_counts"])
        bars.set_data(counts[1:-1] / counts.sum() / np.diff(edges))  # the open tails have no width to draw
        ax.set_title(f"step {records[i]['step']}: KL {records[i]['kl']['median']:.3f} nats, median over seeds")

    _save_animation(path, fig, draw, _frames(len(records), 24), fps=6, dpi=90)


def losses_compared(table: Sequence[dict], values: dict[tuple[str, str], Array]) -> Figure:
    """A panel for each target: the KL of every seed by loss, best median on top, its 95% interval, and the floor.

    `table`: a dict for each target and loss, the best first; `values`: (target, loss) -> KL of every seed `[S]`.
    """
    targets = list(dict.fromkeys(row["target"] for row in table))
    count, rng = len(table) // len(targets), np.random.default_rng(0)
    fig, axes = figure(1, len(targets), 1 + 4.6 * len(targets), 0.9 + 0.36 * count)
    for ax, target in zip(axes[0], targets, strict=True):
        rows = [row for row in table if row["target"] == target]
        for k, row in enumerate(rows):
            kl = values[target, row["loss"]]
            heights = k + rng.uniform(-0.25, 0.25, len(kl))  # the dots lie side by side
            ax.plot(kl, np.where(np.isfinite(kl), heights, np.nan), "o", color=FAKE, alpha=0.45, ms=3.5, mew=0)
            if np.isfinite(row["median"]):
                ax.plot([row["low"], row["high"]], [k, k], color="black", lw=2, solid_capstyle="butt", zorder=5)
                ax.plot(row["median"], k, "|", color="black", ms=13, mew=1.6, zorder=6)
        if rows[0]["floor"] is not None:
            ax.axvline(rows[0]["floor"], color=IDEAL, ls="--", lw=1)
            transform = ax.get_xaxis_transform()  # x in data, y as a share of the height
            ax.text(rows[0]["floor"], 0.02, " a perfect sampler", color=IDEAL, fontsize="small", transform=transform)
        ax.set_yticks(range(len(rows)), [row["loss"] for row in rows])
        ax.set_xscale("log", subs=(2, 5))
        ax.set(xlabel="KL(real || fake), nats (bar: 95% interval)", title=target, ylim=(len(rows) - 0.2, -0.5))
        ax.xaxis.set_major_formatter("{x:g}")
        ax.xaxis.set_minor_formatter("{x:g}")
    return fig


# ---------------------------------------------------------------------------------------------- the plane


def _frame(ax: Axes, view: tuple, **settings: Any) -> tuple[float, float, float, float]:
    """Show the square `view`, its middle `[2]` and half its side; returns its left, right, bottom and top."""
    (x, y), reach = view
    box = (x - reach, x + reach, y - reach, y + reach)
    ax.set(xlim=box[:2], ylim=box[2:], aspect="equal", **settings)
    return box


def plane(ax: Axes, real: Array, snapshot: dict, view: tuple) -> None:
    """D in background colours, real points `[n, 2]`, the first seed's fakes, and arrows: where D pushes some of them.

    `snapshot`: `fakes [2, n]`, `pushes [2, m]` of the first m, D's `logits [r, r]` on a raster of the view.
    """
    fakes, pushes, reach = snapshot["fakes"], snapshot["pushes"], view[1]
    names = "blue: real, D(x) = 1; orange: fake, D(x) = 0"
    box = _frame(ax, view, title="First seed: D(x), and where it pushes fakes", xlabel=names)
    colours = np.array([[235, 164, 130], [255, 255, 255], [141, 180, 212]]) / 255  # D is 0, 1/2, 1
    d = np.stack([np.interp(expit(snapshot["logits"]), [0, 0.5, 1], c) for c in colours.T], axis=-1)
    ax.imshow(d, origin="lower", extent=box, interpolation="bilinear")
    ax.scatter(real[:1000, 0], real[:1000, 1], s=3, color=REAL, lw=0)
    ax.scatter(fakes[0], fakes[1], s=3, color=FAKE, lw=0)
    length = np.linalg.norm(pushes, axis=0)
    arrows = 0.12 * reach * pushes / max(np.quantile(length, 0.9), 1e-12)
    arrows *= np.minimum(1, 0.2 * reach / np.maximum(np.linalg.norm(arrows, axis=0), 1e-12))
    n = pushes.shape[1]
    ax.quiver(*fakes[:, :n], *arrows, angles="xy", scale_units="xy", scale=1, width=0.003, color="0.25")


def latent_lattice(ax: Axes, snapshot: dict, view: tuple) -> None:
    """Lines of equal latent coordinate as G bends them: where they lie close, fakes are dense.

    `snapshot["lines"]`: of each of two families x and y `[lines, n]`.
    """
    for (x, y), colour in zip(snapshot["lines"], (FAKE, REAL), strict=True):
        ax.plot(x.T, y.T, color=colour, lw=0.5, alpha=0.7)
    _frame(ax, view, title="First seed: G's image of a square of latents", xlabel="lines of equal latent coordinate")


def mode_shares(ax: Axes, centres: Array, fakes: Array) -> None:
    """Share of each seed's fakes `[S, 2, n]` nearest to each mode `[k, 2]`, and a perfect sampler's 10% to 90%."""
    k, n = len(centres), fakes.shape[2]
    nearest = np.argmin(((fakes[:, :, :, None] - centres.T[:, None]) ** 2).sum(axis=1), axis=-1)  # [S, n]
    shares = np.stack([np.bincount(row, minlength=k) for row in nearest]) / n
    low, high = 1 / k + np.array([-1.2816, 1.2816]) * np.sqrt((1 - 1 / k) / (k * n))  # of a binomial, nearly normal
    ax.axhspan(low, high, color=REAL, alpha=0.25, lw=0)
    ax.plot(np.tile(np.arange(1, k + 1), (len(shares), 1)), shares, "o", color=FAKE, ms=2.5, alpha=0.6, mew=0)
    ax.set(title="Samples by mode, every seed", xlabel="mode", ylabel="share of fakes", ylim=(0, None))
    _label(ax, 0, "blue: a perfect sampler, 10% to 90%", REAL)


def plane_seeds(real: Array, fakes: Array, result: dict, view: tuple, at_most: int = 20) -> Figure:
    """A small panel for each seed: its fakes `[S, 2, n]` over the real points `[n, 2]`, and its final numbers."""
    count = min(len(fakes), at_most)
    fig, axes = panels(count, min(count, 5), 2.1, 2.3)
    for k, ax in enumerate(axes):
        ax.scatter(*real[:1000].T, s=6, color=REAL, alpha=0.5, lw=0)
        ax.scatter(*fakes[k, :, :1000], s=1.5, color=FAKE, lw=0)
        caption = f"KL {result['kl']['per_seed'][k]:.2f}"
        if "modes_of" in result:
            caption = f"{result['modes']['per_seed'][k]:g} modes, {result['high_quality']['per_seed'][k]:.1%}"
        ax.set_title(caption, fontsize="small")
        _frame(ax, view, xticks=[], yticks=[])
    meaning = "modes reached, share of high quality" if "modes_of" in result else "KL(real || fake), nats"
    fig.suptitle(f"Every seed: real (blue), fakes (orange); {meaning}", fontsize="medium")
    return fig


def plane_animation(folder: Path, real: Array, snapshots: dict, titles: dict, view: tuple) -> None:
    """training.gif, and training.html, a player with a slider: `plane` and `latent_lattice`, step by step."""
    fig, ((left, right),) = figure(1, 2, 8, 4.2)
    steps = sorted(snapshots)

    def draw(i: int) -> None:
        left.clear()
        right.clear()
        plane(left, real, snapshots[steps[i]], view)
        latent_lattice(right, snapshots[steps[i]], view)
        fig.suptitle(titles[steps[i]], fontsize="medium")

    for name in ("training.gif", "training.html"):
        _save_animation(folder / name, fig, draw, _frames(len(steps), 40), fps=5, dpi=72)


# ------------------------------------------------------------------------------------------------- images


def sheet(images: Array, columns: int, zoom: int | None = None, gap: int = 4) -> Array:
    """Images `[n, H, W]` or `[n, H, W, 1 or 3]` in [0, 1] as one uint8 picture, row by row on white.

    `zoom`: screen pixels for each pixel, by default as many as make an image about 56 wide; `gap`: between images.
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


def save_sheet(path: Path | None, images: Array, columns: int) -> None:
    """Write `sheet` as a PNG, whole or not at all. A run in memory has no path: then nothing is written."""
    if path:
        with runs.replacing(path) as temporary:
            Image.fromarray(sheet(images, columns)).save(temporary)


def keep_sheet(run: runs.Run, period: runs.Period, images: np.ndarray, columns: int = 5) -> None:
    """Keep images in [0, 1] as the run's snapshot of this step, and as samples/<step>.png to look at meanwhile."""
    run.snapshot(period, images=np.round(255 * images).astype(np.uint8))
    save_sheet(run.path(f"samples/{period.last:08d}.png"), images, columns)


def sheet_animation(path: Path, snapshots: dict, columns: int = 5) -> None:
    """training.gif: fakes of the same latents through training; early steps get more frames.

    `snapshots`: step -> `{"images": uint8 [n, H, W] or [n, H, W, 1 or 3]}`, as in `strip` and `image_figures`.
    """
    steps, pictures = sorted(snapshots), []
    for i in _frames(len(steps), 40):
        grid = Image.fromarray(sheet(snapshots[steps[i]]["images"] / 255, columns))
        picture = Image.new(grid.mode, (grid.width, grid.height + 18), "white")
        picture.paste(grid, (0, 18))
        ImageDraw.Draw(picture).text((2, 3), f"step {steps[i]}", fill="black")
        pictures.append(picture)
    with runs.replacing(path) as temporary:
        durations = [150] * (len(pictures) - 1) + [1500]  # ms; the last one stays
        pictures[0].save(temporary, save_all=True, append_images=pictures[1:], duration=durations, loop=0)


def strip(snapshots: dict, rows: int, columns: int = 10) -> Array:
    """The first `columns` images of up to `rows` snapshots, evenly through training, in [0, 1]: rows of a sheet."""
    steps = sorted(snapshots)
    chosen = np.unique(np.linspace(0, len(steps) - 1, rows).round().astype(int))
    return np.concatenate([snapshots[steps[i]]["images"][:columns] / 255 for i in chosen])


def image_figures(
    folder: Path, samples: Array, snapshots: dict, between: Array, nearest: Array | None = None, columns: int = 10
) -> None:
    """Pictures of an image experiment, from images `[n, H, W]` or `[n, H, W, 1 or 3]` in [0, 1].

    samples.png         final fakes, `columns` a row
    strip.png           fakes of the same 10 latents through training, the first step on top
    interpolation.png   each row goes from one latent to another in 12 images
    training.gif        fakes of the same latents through training
    neighbours.png      if `nearest` is given: the first samples, each above the training image nearest to it
    """
    save_sheet(folder / "samples.png", samples, columns)
    save_sheet(folder / "strip.png", strip(snapshots, rows=11), columns=10)
    save_sheet(folder / "interpolation.png", between, columns=12)
    sheet_animation(folder / "training.gif", snapshots)
    if nearest is not None:
        n = len(nearest)
        save_sheet(folder / "neighbours.png", np.concatenate([samples[:n], nearest]), columns=n)


CONFIDENT = ("Classifier at least 90% confident", "share of images", "linear", "real images")
IMAGE_CURVES = {  # number of log.jsonl: title, unit, scale, whose the floor is
    "frechet_digit_distance": ("Frechet digit distance", "", "log", "real images"),
    "label_kl": ("Label KL", "nats", "log", "real images"),
    "pixel_kl": ("Pixel KL", "nats", "log", "real images"),
    "confident_share": CONFIDENT,
}
STACKED_CURVES = {
    "modes": ("Modes, of 1000", "", "linear", "perfect sampler"),
    "kl": ("KL(triples of digits || uniform)", "nats", "log", "perfect sampler"),
    "frechet_digit_distance": ("Frechet distance of single digits", "", "log", "real images"),
    "confident_share": CONFIDENT,
}


def image_curves(records: Records, numbers: Mapping[str, tuple] = IMAGE_CURVES) -> Figure:
    """The losses, and the numbers of log.jsonl against the step, each with its floor."""
    fig, (first, *others) = panels(1 + len(numbers), 3, 3.7, 2.8)
    losses(first, records)
    for ax, (name, (title, unit, scale, floor)) in zip(others, numbers.items(), strict=True):
        history(ax, records, name, title, records[-1], unit, scale, floor)
    return fig


def mode_counts(counts: Array) -> Figure:
    """How often each of k modes came `[k]`, in order of size, over the 10% to 90% band of 200 perfect samplers."""
    fig, ((ax,),) = figure(1, 1, 5.6, 3.2)
    k, n = len(counts), counts.sum()
    perfect = np.sort(np.random.default_rng(0).multinomial(n, np.full(k, 1 / k), size=200), axis=1)[:, ::-1]
    band(ax, np.arange(1, k + 1), perfect, "perfect sampler, 10% to 90%", REAL)
    ax.plot(np.arange(1, k + 1), np.sort(counts)[::-1], color=FAKE, lw=1.5, label="fakes")
    level(ax, n / k, f"{n / k:.3g}: equal parts")
    ax.set(title=f"{np.count_nonzero(counts)} of {k} modes in {n} samples", xlabel="modes, the most frequent first")
    ax.set(ylabel="samples", xlim=(1, k), ylim=(0, None))
    ax.legend(frameon=False)
    return fig


def mistakes(images: Array, labels: Array, predictions: Array, confidences: Array) -> Figure:
    """The 40 images `[N, H, W]` that a classifier gets wrong with the most confidence, under `label > prediction`.

    `labels`, `predictions`: the true and the most probable classes `[N]`; `confidences`: the latter's probabilities.
    """
    wrong = np.flatnonzero(predictions != labels)
    worst = wrong[np.argsort(-confidences[wrong], kind="stable")][:40]
    fig, axes = panels(max(1, len(worst)), 10, 0.8, 1.05)
    axes[0].axis("off")
    for ax, i in zip(axes, worst, strict=False):
        ax.axis("off")
        ax.imshow(images[i], cmap="gray_r")
        ax.set_title(f"{labels[i]} > {predictions[i]}", fontsize="small", pad=2)
    shown = f"{len(worst)} of {len(wrong)} mistakes on {len(labels)} test images"
    fig.suptitle(f"label > prediction: {shown}, the most confident first", fontsize="medium")
    return fig


def errors_and_accuracies(records: Records) -> Figure:
    """D's error and accuracy on real images and on fakes, and G's error; dashed, their values when D cannot tell."""
    fig, ((left, right),) = figure(1, 2, 8.4, 2.9)
    errors = {"real_error": "D on real", "fake_error": "D on fake", "generator_error": "G"}
    curves(left, records, errors, title="Cross-entropy", ylabel="nats", ylim=(0, None))
    level(left, np.log(2), "ln 2: D says 1/2", above=False)
    accuracies = {"real_accuracy": "on real", "fake_accuracy": "on fake"}
    curves(right, records, accuracies, title="D's accuracy", ylabel="share correct", ylim=(0, 1))
    level(right, 0.5, "1/2: D guesses", above=False)
    return fig


def held_out_curves(records: Records, title: str, labels: dict, losses: Sequence[str], unit="nats") -> Figure:
    """Numbers of held-out images against the step, `labels`: number -> label; beside them the losses so named."""
    fig, ((left, right),) = figure(1, 2, 8.4, 2.9)
    curves(left, records, labels, (FAKE, *COLOURS[::2]), title=f"{title}, held-out", yscale="log")
    names = {name: name.replace("_loss", "").replace("_", " ") for name in losses}
    curves(right, records, names, title="Losses", ylabel=unit)
    return fig


def shared_numbers(logs: Mapping[str, Records]) -> list[str]:
    """Names of the numbers that all of these runs logged, as they stand in the first log, but the losses last."""

    def numbers(records: Records) -> dict[str, None]:
        names = (name for r in records for name, value in r.items() if isinstance(value, int | float | dict))
        return {n: None for n in names if n not in ("step", "train_seconds") and not n.endswith("_floor")}

    first, *others = map(numbers, logs.values())
    return sorted((name for name in first if all(name in o for o in others)), key=lambda n: n.endswith("_loss"))


def compared(logs: Mapping[str, Records], names: Sequence[str] = ()) -> Figure:
    """A panel for each logged number: its curve in every run (the median and 10% to 90% band if over seeds).

    Floors are dashed; one that differs between runs has the run's colour. KL divergences and Frechet distances have a
    log scale. `logs`: name of a run -> its records; `names`: by default the first six of `shared_numbers`.
    """
    if not (names := names or shared_numbers(logs)[:6]):
        raise ValueError("logs: the runs have no logged number in common")
    columns = min(len(names), 3)
    fig, axes = panels(len(names), columns, 3.7, 2.8)
    for ax, name in zip(axes, names, strict=True):
        floors: dict[float, str] = {}
        for k, (label, records) in enumerate(logs.items()):
            curve(ax, records, name, label, f"C{k}")
            floors |= {r[f"{name}_floor"]: f"C{k}" for r in records[-1:] if f"{name}_floor" in r}
        for floor, colour in floors.items():
            ax.axhline(floor, color=colour if len(floors) > 1 else IDEAL, ls="--", lw=1)
        words = ["KL" if word == "kl" else word for word in name.split("_")]
        title = " ".join(words) + ", nats" * ("KL" in words)
        logarithmic = {"KL", "frechet"} & {*words} and ax.dataLim.y1 > 0  # a log scale needs a positive number
        ax.set(title=title[0].upper() + title[1:], xlabel="step", yscale="log" if logarithmic else "linear")
        if ax.collections:  # bands
            ax.set_ylabel("median, 10% to 90%")
    if any(name.endswith("_floor") for records in logs.values() for r in records[-1:] for name in r):
        axes[0].plot([], [], color=IDEAL, ls="--", lw=1, label="floor")
    across = max(1, int(3.7 * columns / (0.6 + 0.075 * max(map(len, logs)))))  # names in a row, by their length
    fig.legend(*axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=across, frameon=False)
    return fig


def dirac(forces: dict, paths: dict, penalties: Sequence[float], start: tuple[float, float]) -> Figure:
    """A panel for each loss and three penalties: forces as arrows, both orders' trajectories, start and equilibrium.

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
            ax.plot(*start, "o", color="black", ms=3, label="start")
            ax.plot(0, 0, "+", color="black", ms=7, label="equilibrium")
            ax.set(xlim=(-reach, reach), ylim=(-reach, reach), title=f"{loss}, penalty {penalties[k]:g}")
            ax.title.set_size("small")
    fig.supxlabel("theta", fontsize="medium")
    fig.supylabel("psi", fontsize="medium")
    fig.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=2, frameon=False)
    return fig
