"""Arrays in, figures out: nothing here trains, and no window opens.

Functions of an `ax` draw one panel; the others return a `Figure`, or write files. style.py holds what all figures
share, and player.py makes the moving pictures.
"""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import stats
from scipy.special import expit

from lab import draws, files, player, runs, sheets
from lab.style import (  # fmt: skip
    ALONG_Z2,
    ARROW,
    FAKE,
    IDEAL,
    LEGEND,
    OF_D,
    OF_G,
    OTHERS,
    REAL,
    figure,
    headed,
    key,
    level,
    logarithmic,
    panels,
    probabilities,
    readable,
)

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    Array = np.ndarray
    Records = Sequence[dict[str, Any]]  # of log.jsonl


def described(result: dict[str, Any], records: Records) -> str:
    """What a figure of many seeds shows, for `headed`: `norm, 8000 steps, 16 seeds: lines are medians ...`."""
    many = "lines are medians over the seeds, bands reach from their 10% to their 90% quantile"
    seeds = f"{result['seeds']} seeds: {many}" if result["seeds"] > 1 else "one seed"
    return f"{result['target']}, {records[-1]['step']} steps, {seeds}"


def save(fig: Figure, path: Path) -> None:
    """Write the figure as a PNG, whole or not at all."""
    with files.replacing(path) as temporary, warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"Glyph .* missing")  # in the name of a user's file; it is drawn as a box
        fig.savefig(temporary, dpi=110)


def curve(ax: Axes, records: Records, name: str, label: str, colour: str, style: str = "-") -> None:
    """One logged number against the step; if it was logged for many seeds, their median and 10% to 90% band."""
    records = [r for r in records if name in r]
    steps, values = [r["step"] for r in records], [r[name] for r in records]
    if values and isinstance(values[0], dict):
        _median_and_band(ax, steps, [[v[q] for v in values] for q in ("q10", "median", "q90")], label, colour, style)
    else:
        _line(ax, steps, np.array(values, float), label, colour, style)


def band(ax: Axes, x: Array, rows: Array, label: str, colour: str) -> None:
    """Median over seeds of curves `[S, n]` and their 10% to 90% band, without points where all seeds are NaN."""
    valid = ~np.isnan(rows).all(axis=0)
    _median_and_band(ax, x[valid], np.nanquantile(rows[:, valid], [0.1, 0.5, 0.9], axis=0), label, colour)


def _median_and_band(
    ax: Axes, x: Sequence | Array, quantiles: Sequence | Array, label: str, colour: str, style: str = "-"
) -> None:
    q10, median, q90 = np.array(quantiles, float)  # None, where all seeds failed, becomes NaN
    _line(ax, x, median, label, colour, style)
    if len(x) == 1:  # a band of no width
        ax.vlines(x, q10, q90, color=colour, alpha=0.25, lw=6)
    else:
        ax.fill_between(x, q10, q90, color=colour, alpha=0.25, lw=0)


def _line(ax: Axes, x: Sequence | Array, y: Array, label: str, colour: str, style: str) -> None:
    """A line, or a dot where there is a single point, of which a line would show nothing."""
    ax.plot(x, y, color=colour, label=label, lw=1.2, ls=style, marker="o" if len(x) == 1 else None, ms=4)


def curves(ax: Axes, records: Records, labels: Mapping[str, str], colours: Sequence[str], **settings: Any) -> None:
    """Several logged numbers in one panel against the step; `labels`: number -> label. `key` names them."""
    for (name, label), colour in zip(labels.items(), colours, strict=False):
        curve(ax, records, name, label, colour)
    ax.set(xlabel="step", **settings)


# ---------------------------------------------------------------------------------------------- real numbers


def losses(ax: Axes, records: Records, equilibrium: float | None = None) -> None:
    """Both players' losses against the step, and D's loss at the equilibrium, ln 4, if the loss has one."""
    labels = {"discriminator_loss": "discriminator", "generator_loss": "generator"}
    curves(ax, records, labels, OTHERS, title="Losses", ylabel="loss")
    if equilibrium is not None:
        level(ax, equilibrium, "D's equilibrium: ln 4")
    key(ax)


def history(
    ax: Axes,
    records: Records,
    name: str,
    title: str,
    floors: dict,
    unit: str,
    scale: str = "log",
    whose: str = "a perfect sampler",
) -> None:
    """One logged number of the fakes against the step (median and band, if over seeds); dashed, its floor.

    `scale`: log, linear (from 0 on), or share (from 0 to 1). The floor is `floors[<name>_floor]`, and `whose` it is.
    """
    curve(ax, records, name, "fakes", FAKE)
    level(ax, floors[f"{name}_floor"], whose)
    ax.set(title=title, xlabel="step", ylabel=unit)
    if scale == "log":
        ax.margins(y=0.1)
        logarithmic(ax.yaxis)
    elif scale == "share":
        probabilities(ax.yaxis)
    else:
        ax.set_ylim(bottom=0)
    key(ax)


def densities(ax: Axes, x: Array, p: Array, q: Array) -> None:
    """The real density p `[n]` as a line, and the fakes' densities q `[S, n]` as their median and band over seeds."""
    ax.plot(x, p, color=REAL, label="real", lw=1.5)
    band(ax, x, q, "fakes", FAKE)
    ax.set(title="Densities", xlabel="x", ylabel="density", ylim=(0, None))
    key(ax)


def discriminator(ax: Axes, x: Array, d: Array, optimal: Array | None) -> None:
    """D(x) `[S, n]` and, if given, the optimal D* = p / (p + q) `[S, n]` against the same fakes; NaN is left out."""
    band(ax, x, d, "D(x)", OF_D)
    if optimal is not None:
        band(ax, x, optimal, "optimal, p / (p + q)", IDEAL)
    level(ax, 0.5, "1/2")
    ax.set(title="Discriminator", xlabel="x", ylabel="probability of real")
    probabilities(ax.yaxis)
    key(ax, columns=3)


def discriminator_outputs(ax: Axes, d_real: Array, d_fake: Array) -> None:
    """Histograms of D's outputs on real samples and on fakes, all seeds together; dashed, 1/2: D cannot tell."""
    bins = np.linspace(0, 1, 51)
    for values, label, colour in ((d_real, "on real", REAL), (d_fake, "on fakes", FAKE)):
        density, _ = np.histogram(np.ravel(values), bins, density=True)
        ax.stairs(density, bins, color=colour, label=label)
    ax.axvline(0.5, color=IDEAL, ls="--", lw=1, label="1/2")
    ax.set(title="D on real and on fakes of all seeds", xlabel="D, probability of real", ylabel="density")
    probabilities(ax.xaxis)
    key(ax, columns=3)


def per_seed(ax: Axes, values: Sequence[float | None], floor: tuple[float, float] | None) -> None:
    """The final KL of each seed as a dot, in order of size, and a perfect sampler's 10% to 90% range, if given.

    Of seeds whose KL is not finite there is no dot, but the title counts them.
    """
    found = np.sort([v for v in values if v is not None])
    if floor:
        ax.axhspan(*floor, color=REAL, alpha=0.25, lw=0, label="perfect sampler, 10% to 90%")
    ax.plot(np.arange(1, len(found) + 1), found, "o", color=FAKE, ms=3.5, mec="white", mew=0.3, label="a seed")
    failed = f", but {len(values) - len(found)} not finite" if len(found) < len(values) else ""
    ax.set(title=f"Final KL of each seed{failed}", xlabel="seeds, the best first", ylabel="nats")
    ax.set(xlim=(0.5, len(values) + 0.5), xticks=_ticks(len(values)))
    if len(found):
        logarithmic(ax.yaxis)
    key(ax)


def _ticks(n: int) -> Array:
    """At most 12 of the numbers 1 to n, for the ticks of an axis that counts."""
    return np.arange(1, n + 1, -(-n // 12))


def animation(path: Path, records: Records, edges: Array, density: Callable, seeds: int) -> None:
    """training.gif: the first seed's fake histogram moves onto the real density; early steps get more frames."""
    fig, ((ax,),) = figure(1, 1, 4.6, 2.8)
    x = np.linspace(edges[0], edges[-1], 400)
    p = density(x)
    bars = ax.stairs(0 * edges[1:], edges, fill=True, color=FAKE, alpha=0.6, label="fakes of the first seed")
    (line,) = ax.plot(x, p, color=REAL, lw=1.5, label="real")
    ax.set(xlabel="x", ylabel="density", ylim=(0, 1.5 * p.max()), xlim=(edges[0], edges[-1]))
    key(ax)

    def draw(i: int) -> Sequence[Artist]:
        counts = np.asarray(records[i]["fake_counts"])
        bars.set_data(counts[1:-1] / counts.sum() / np.diff(edges))  # the open tails have no width to draw
        kl = np.nan if records[i]["kl"]["median"] is None else records[i]["kl"]["median"]
        of = f", the median of {seeds} seeds" if seeds > 1 else ""
        ax.set_title(f"step {records[i]['step']}: KL {kl:z.3f} nats{of}")
        return bars, line, ax.get_legend(), *ax.spines.values(), ax.title

    pictures = player.drawn(fig, draw, player.frames(len(records), 24), dpi=90)
    player.save_gif(path, pictures, milliseconds=170)


def settings_compared(table: Sequence[dict], values: dict[tuple[str, str], Array], label: str) -> Figure:
    """A panel for each kind of data: the number of every seed by setting, its median and 95% interval, and the floor.

    All panels have one order of settings, that of the mean rank over the data. Beside a setting stands of how many
    seeds the number is infinite, as after training that diverged; there are no dots of them.
    `table`: a dict for each data and setting, the best first; `values`: (data, setting) -> number of every seed
    `[S]`; `label`: what the number is.
    """
    places = list(dict.fromkeys(row["data"] for row in table))
    ranked = {place: [row["setting"] for row in table if row["data"] == place] for place in places}
    ranks: dict[str, list[int]] = {}  # of each setting, on the data on which there is such a one
    for k, name in itertools.chain.from_iterable(map(enumerate, ranked.values())):
        ranks.setdefault(name, []).append(k)
    order = sorted(ranks, key=lambda name: np.mean(ranks[name]))
    rng = np.random.default_rng(0)
    fig, axes = figure(1, len(places), 2 + 3.9 * len(places), 1.5 + 0.36 * len(order), sharey=True)
    for ax, place in zip(axes[0], places, strict=True):
        shown = np.concatenate([v[np.isfinite(v)] for (data, _), v in values.items() if data == place])
        rows = {row["setting"]: row for row in table if row["data"] == place}
        for k, name in enumerate(order):
            if name not in rows:
                continue
            numbers, row = values[place, name], rows[name]
            heights = k + rng.uniform(-0.25, 0.25, len(numbers))  # the dots lie side by side
            finite = np.isfinite(numbers)
            ax.plot(numbers[finite], heights[finite], "o", color=FAKE, alpha=0.45, ms=3.5, mew=0)
            if np.isfinite(row["median"]):
                ends = np.clip([row["low"], row["high"]], shown.min(), shown.max())  # they may be infinite
                ax.plot(ends, [k, k], color="black", lw=2, solid_capstyle="butt", zorder=5)
                ax.plot(row["median"], k, "|", color="black", ms=13, mew=1.6, zorder=6)
            if not finite.all():
                words = f"{np.count_nonzero(~finite)} of {len(numbers)} infinite "
                ax.text(1, k, words, fontsize="small", ha="right", va="bottom", transform=ax.get_yaxis_transform())
        if (floor := next(iter(rows.values()))["floor"]) is not None:
            ax.axvline(floor, color=IDEAL, ls="--", lw=1)
            where = {"transform": ax.get_xaxis_transform()}  # x in data, y as a share of the height
            ax.text(floor, 0.02, " floor", color=IDEAL, fontsize="small", **where)
        ax.set_yticks(range(len(order)), order)
        ax.set(xlabel=label, title=place, ylim=(len(order) - 0.2, -0.5))
        if len(shown) and shown.min() > 0 and shown.max() > 3 * shown.min():
            logarithmic(ax.xaxis)
    names, _, values_of_one = zip(*(name.rpartition("=") for name in order), strict=True)
    if len(set(names)) == 1:  # they differ in one setting, whose name need stand there only once
        axes[0, 0].set_yticks(range(len(order)), values_of_one)
        axes[0, 0].set_ylabel(names[0])
    across = "" if len(places) == 1 else ", by their mean rank over the data"
    return headed(fig, f"Every seed (dots), median and its 95% interval (black); the best on top{across}")


# ---------------------------------------------------------------------------------------------- the plane


def _box(view: tuple) -> tuple[float, float, float, float]:
    """Left, right, bottom and top of the square `view`, which is given by its middle `[2]` and half its side."""
    (x, y), reach = view
    return x - reach, x + reach, y - reach, y + reach


def _frame(ax: Axes, view: tuple, **settings: Any) -> None:
    """Show the square `view`."""
    box = _box(view)
    ax.set(xlim=box[:2], ylim=box[2:], aspect="equal", **settings)


def plane(ax: Axes, real: Array, snapshot: dict, view: tuple) -> None:
    """D in background colours, real points `[n, 2]`, the first seed's fakes, and arrows: where D pushes some of them.

    `snapshot`: `fakes [2, n]`, `pushes [2, m]` of the first m, D's `logits [r, r]` on a raster of the view.
    The colours change fastest around D = 1/2, where D stays while R1 is strong; the bar shows the true values.
    """
    _frame(ax, view, title="First seed: what D sees")
    image, *_ = _in_plane(ax, real, snapshot, view)
    if _has_room(ax):
        bar = ax.figure.colorbar(image, cax=ax.inset_axes((1.03, 0, 0.04, 1)), label="D(x), probability of real")
        bar.outline.set_linewidth(0.5)
        probabilities(bar.ax.yaxis)
    n = snapshot["pushes"].shape[1]
    ax.plot([], [], color="0.25", marker=ARROW, ms=9, ls="", label=f"where D pushes {n} of them")
    _names_below(ax)


def _in_plane(ax: Axes, real: Array, snapshot: dict, view: tuple) -> list[Any]:
    """The colours, points and arrows of `plane`."""
    from matplotlib.colors import LinearSegmentedColormap

    fakes, pushes, reach = snapshot["fakes"], snapshot["pushes"], view[1]
    colours = {0: "#f2b594", 0.4: "#f9ddce", 0.5: "white", 0.6: "#cfe0ee", 1: "#9fc0da"}  # D -> colour
    shades: dict[str, Any] = {"cmap": LinearSegmentedColormap.from_list("D", list(colours.items()))}
    shades |= {"vmin": 0, "vmax": 1, "interpolation": "bilinear", "origin": "lower"}
    drawn: list[Any] = [ax.imshow(expit(snapshot["logits"]), extent=_box(view), **shades)]
    for (x, y), colour, label in ((real[:1000].T, REAL, "real"), (fakes, FAKE, "fakes")):
        drawn.append(ax.scatter(x, y, s=9, color=colour, lw=0.35, ec="white", label=label))
    length = np.linalg.norm(pushes, axis=0)
    arrows = 0.12 * reach * pushes / max(np.quantile(length, 0.9), 1e-12)
    arrows *= np.minimum(1, 0.2 * reach / np.maximum(np.linalg.norm(arrows, axis=0), 1e-12))
    style: dict[str, Any] = {"angles": "xy", "scale_units": "xy", "scale": 1, "width": 0.003, "color": "0.25"}
    return [*drawn, ax.quiver(*fakes[:, : pushes.shape[1]], *arrows, **style)]


def _names_below(ax: Axes) -> None:
    """The names of what a picture of the plane shows, below it."""
    if _has_room(ax):
        ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.08), ncols=3, **LEGEND)


def _has_room(ax: Axes) -> bool:
    """Whether a panel is wide enough for names and a colour bar; for a narrow one the text beside it has to do."""
    return ax.get_window_extent().width > 2.2 * ax.figure.dpi


def latent_lattice(ax: Axes, snapshot: dict, view: tuple) -> None:
    """Lines of equal latent coordinate as G bends them: where they lie close, fakes are dense.

    `snapshot["lines"]`: of each of two families x and y `[lines, n]`; along the first z1 varies, then z2.
    """
    _lines(ax, snapshot)
    _frame(ax, view, title="First seed: latents, as G bends them")
    _names_below(ax)


def _lines(ax: Axes, snapshot: dict) -> list[Artist]:
    """The lines of `latent_lattice`."""
    drawn: list[Artist] = []
    for (x, y), colour, name in zip(snapshot["lines"], (OF_G, ALONG_Z2), ("z1 varies", "z2 varies"), strict=True):
        lines = ax.plot(x.T, y.T, color=colour, lw=0.5, alpha=0.7)
        lines[0].set_label(name)
        drawn += lines
    return drawn


def mode_shares(ax: Axes, centres: Array, std: float, fakes: Array) -> None:
    """Share of each seed's fakes `[S, 2, n]` within 3 standard deviations of each mode `[k, 2]`: of high quality, as
    in `metrics.mode_coverage`; and a perfect sampler's 10% to 90%.
    """
    k, n = len(centres), fakes.shape[2]
    squares = ((fakes[:, :, :, None] - centres.T[:, None]) ** 2).sum(axis=1)  # [S, n, k]
    good = (squares == squares.min(axis=-1, keepdims=True)) & (squares < (3 * std) ** 2)
    expected = -np.expm1(-(3**2) / 2) / k  # of a perfect sampler's samples 98.9% are of high quality
    low, high = stats.binom.ppf([0.1, 0.9], n, expected) / n
    ax.axhspan(low, high, color=REAL, alpha=0.25, lw=0, label="perfect sampler, 10% to 90%")
    ax.plot(np.arange(1, k + 1), good.mean(axis=1).T, "o", color=FAKE, ms=3, alpha=0.6, mew=0, clip_on=False)
    ax.lines[0].set_label("a seed")
    ax.set(title="Of high quality (within 3 sd), by mode", xlabel="mode", ylabel="share of a seed's fakes")
    ax.set(xticks=_ticks(k), ylim=(0, None))
    key(ax)


def plane_seeds(real: Array, fakes: Array, result: dict, view: tuple, at_most: int = 20) -> Figure:
    """A small panel for each seed: its fakes `[S, 2, n]` over the real points `[n, 2]`, and its final numbers."""
    count = min(len(fakes), at_most)
    width = 4.2 if count == 1 else 2.1
    fig, axes = panels(count, min(count, 5), width, width + 0.2)
    for k, ax in enumerate(axes):
        ax.scatter(*real[:1000].T, s=6, color=REAL, alpha=0.5, lw=0)
        ax.scatter(*fakes[k, :, :1000], s=1.5, color=FAKE, lw=0)
        caption = f"KL {result['kl']['per_seed'][k]:z.2f}"
        if "modes_of" in result:
            caption = f"{result['modes']['per_seed'][k]:g} modes, {result['high_quality']['per_seed'][k]:.1%}"
        ax.set_title(caption, fontsize="small")
        _frame(ax, view, xticks=[], yticks=[])
    meaning = "modes reached, share of high quality" if "modes_of" in result else "KL(real || fake), nats"
    which = "Every seed" if count == len(fakes) else f"The first {count} of {len(fakes)} seeds"
    return headed(fig, f"{which}: real (blue), fakes (orange); {meaning}")


def plane_animation(folder: Path, real: Array, snapshots: dict, titles: dict, view: tuple) -> None:
    """training.gif, and training.html, a player with a slider: `plane` and `latent_lattice`, step by step.

    Nothing is written without snapshots, all of which may have been damaged.
    """
    if not snapshots:
        return
    fig, ((left, right),) = figure(1, 2, 8.4, 4.4)
    steps = sorted(snapshots)
    frames = player.frames(len(steps), 40)

    plane(left, real, snapshots[steps[0]], view)
    latent_lattice(right, snapshots[steps[0]], view)
    title = fig.suptitle(titles[steps[0]], fontsize="medium")
    old: list[Artist] = [*left.images, *left.collections, *right.lines]

    def draw(i: int) -> Sequence[Artist]:
        for artist in old:
            artist.remove()
        old[:] = _in_plane(left, real, snapshots[steps[i]], view) + _lines(right, snapshots[steps[i]])
        title.set_text(titles[steps[i]])
        return *old, *left.spines.values(), *right.spines.values(), title

    pictures = player.drawn(fig, draw, frames, dpi=72)
    player.save_gif(folder / "training.gif", pictures, milliseconds=200)
    captions = [titles[steps[i]] for i in frames]
    player.save_page(folder / "training.html", pictures, captions, milliseconds=200)


# ------------------------------------------------------------------------------------------------- images


def figures_of_latents(folder: Path, trained: runs.Trained, generate: Callable) -> None:
    """`sheets.figures` and curves.png of a run whose `generate` makes images of latent bits alone."""
    config = trained.config
    samples = generate(draws.latent_bits(config.seed, 100, config.latent_dim))
    between = generate(draws.interpolated_bits(config.seed, config.latent_dim, rows=10, columns=12))
    copies = samples[:20], trained.scorer.nearest_real(samples[:20])
    by_category = None
    if config.categories:
        by_category = generate(draws.bits_by_category(config.seed, config.latent_dim, config.categories, rows=10))
    sheets.figures(folder, samples, trained.run.snapshots, between, copies, by_category=by_category)
    save(image_curves(trained.run.records), folder / "curves.png")


CONFIDENT = ("Classifier at least 90% confident", "share of images", "share", "real images")
IMAGE_CURVES = {  # number of log.jsonl: title, unit, scale, whose the floor is
    "frechet_digit_distance": ("Frechet digit distance", "", "log", "real images"),
    "label_kl": ("Label KL", "nats", "log", "a perfect sampler"),
    "pixel_kl": ("Pixel KL", "nats", "log", "real images"),
    "confident_share": CONFIDENT,
}
STACKED_CURVES = {
    "modes": ("Modes, of 1000", "", "linear", "a perfect sampler"),
    "kl": ("KL(triples of digits || uniform)", "nats", "log", "a perfect sampler"),
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
    """How often each of k modes came `[k]`, in order of size, beside 200 perfect samplers: median, 10% to 90%."""
    fig, ((ax,),) = figure(1, 1, 5.6, 3.2)
    k, n = len(counts), counts.sum()
    perfect = np.sort(np.random.default_rng(0).multinomial(n, np.full(k, 1 / k), size=200), axis=1)[:, ::-1]
    band(ax, np.arange(1, k + 1), perfect, "a perfect sampler: median, 10% to 90%", REAL)
    ax.plot(np.arange(1, k + 1), np.sort(counts)[::-1], color=FAKE, lw=1.5, label="fakes")
    level(ax, n / k, f"equal parts: {n / k:.3g}")
    ax.set(title=f"{np.count_nonzero(counts)} of {k} modes in {n} samples", xlabel="modes, the most frequent first")
    ax.set(ylabel="samples", xlim=(1, k), ylim=(0, None))
    key(ax)
    return fig


def mistakes(images: Array, labels: Array, predictions: Array, confidences: Array) -> Figure:
    """The 40 images `[N, H, W]` that a classifier gets wrong with the most confidence, under label and prediction.

    `labels`, `predictions`: the true and the most probable classes `[N]`; `confidences`: the latter's probabilities.
    """
    wrong = np.flatnonzero(predictions != labels)
    worst = wrong[np.argsort(-confidences[wrong], kind="stable")][:40]
    fig, axes = panels(max(1, len(worst)), 10, 0.8, 1.05)
    axes[0].axis("off")
    for ax, i in zip(axes, worst, strict=False):
        ax.axis("off")
        ax.imshow(images[i], cmap="gray")
        ax.set_title(f"{labels[i]} as {predictions[i]}", fontsize="small", pad=2)
    shown = f"{len(worst)} of {len(wrong)} mistakes on {len(labels)} test images"
    return headed(fig, f"Label as prediction: {shown}, the most confident first")


def errors_and_accuracies(records: Records) -> Figure:
    """D's error and accuracy on real images and on fakes, and G's error; dashed, their values when D cannot tell."""
    fig, ((left, right),) = figure(1, 2, 8.4, 2.9)
    errors = {"real_error": "D on real", "fake_error": "D on fakes", "generator_error": "G"}
    curves(left, records, errors, (REAL, FAKE, OF_G), title="Cross-entropy", ylabel="nats", ylim=(0, None))
    level(left, np.log(2), "ln 2: D says 1/2")
    accuracies = {"real_accuracy": "on real", "fake_accuracy": "on fakes"}
    curves(right, records, accuracies, (REAL, FAKE), title="D's accuracy", ylabel="share correct")
    level(right, 0.5, "1/2: D guesses")
    probabilities(right.yaxis)
    key(left)
    key(right, columns=3)
    return fig


def held_out_curves(records: Records, title: str, labels: dict, losses: Sequence[str], unit: str = "loss") -> Figure:
    """Numbers of held-out images against the step, `labels`: number -> label; beside them the losses so named."""
    fig, ((left, right),) = figure(1, 2, 8.4, 2.9)
    settings = {"title": f"{title}, held-out images", "ylabel": "mean |difference| of pixels"}
    curves(left, records, labels, (FAKE, "black"), **settings)
    logarithmic(left.yaxis)
    names = {name: name.replace("_loss", "").replace("_", " ") for name in losses}
    colours = {"generator": OF_G, "discriminator": OF_D, "discriminator a": OF_D, "discriminator b": "black"}
    curves(right, records, names, [colours[name] for name in names.values()], title="Losses", ylabel=unit)
    for ax in (left, right):
        key(ax, columns=3)
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
            colour, style = OTHERS[k % len(OTHERS)], ("-", ":", "-.")[k // len(OTHERS) % 3]
            curve(ax, records, name, readable(label), colour, style)
            floors |= {r[f"{name}_floor"]: colour for r in records[-1:] if f"{name}_floor" in r}
        for floor, colour in floors.items():
            ax.axhline(floor, color=colour if len(floors) > 1 else IDEAL, ls="--", lw=1)
        words = ["KL" if word == "kl" else word for word in name.split("_")]
        title = " ".join(words) + ", nats" * ("KL" in words)
        ax.set(title=title[0].upper() + title[1:], xlabel="step")
        if {"KL", "frechet"} & {*words} and ax.dataLim.y1 > 0:  # a log scale needs a positive number
            logarithmic(ax.yaxis)
        summaries = [r[name] for records in logs.values() for r in records if isinstance(r.get(name), dict)]
        if any(s["q10"] != s["q90"] for s in summaries):
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
    size = 2.3 * len(shown), 2.15 * len(forces) + 0.9
    fig, axes = figure(len(forces), len(shown), *size, sharex=True, sharey=True)
    reach = 2.2 * max(0.5, *np.abs(start))
    grid = np.linspace(-reach, reach, 13)
    theta, psi = (a.reshape(-1, 1) for a in np.meshgrid(grid, grid))
    for row, (loss, force) in zip(axes, forces.items(), strict=True):
        for ax, k in zip(row, shown, strict=True):
            u, v = force(theta, psi, np.full_like(theta, penalties[k]))
            length = np.hypot(u, v) + 1e-12
            ax.quiver(theta, psi, u / length, v / length, color="0.72", scale=22, width=0.006, pivot="mid")
            for order, colour in zip(("simultaneous", "alternating"), OTHERS, strict=False):
                path = paths[loss, order][:, k]
                inside = np.abs(path).max(axis=-1) < 2 * reach
                ax.plot(*path[: len(path) if inside.all() else inside.argmin()].T, color=colour, lw=0.9, label=order)
            ax.plot(*start, "o", color="black", ms=3, label="start")
            ax.plot(0, 0, "+", color="black", ms=7, label="equilibrium")
            ax.plot([], [], color="0.6", marker=ARROW, ms=9, ls="", label="direction of the forces")
            ax.set(xlim=(-reach, reach), ylim=(-reach, reach), title=f"{loss}, penalty {penalties[k]:g}")
            ax.title.set_size("small")
    fig.supxlabel("theta", fontsize="medium")
    fig.supylabel("psi", fontsize="medium")
    fig.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=3, **LEGEND)
    return fig
