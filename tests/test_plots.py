"""Figures show the numbers that they are given, name what they show, and are written whole."""

import re
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image
from scipy import stats

import metrics
from lab import player, plots, style

SEEDS = [1.0, 2.0, 3.0, 4.0, 5.0]
LN4 = float(np.log(4))


def summary(values):
    """What a record holds of a number of many seeds."""
    q10, median, q90 = np.quantile(values, [0.1, 0.5, 0.9])
    return {"median": median, "q10": q10, "q90": q90, "failed": 0}


def records_of_seeds():
    """Three records, the first without losses, as of an untrained game."""
    records = [{"step": step, "kl": summary(np.array(SEEDS) / (1 + step))} for step in (0, 10, 20)]
    for record in records[1:]:
        record |= {"discriminator_loss": summary(SEEDS), "generator_loss": summary(np.array(SEEDS) + 1)}
    return records


def records_of_images():
    """The same of one game on images, with floors."""
    numbers = ("frechet_digit_distance", "label_kl", "pixel_kl", "confident_share", "modes", "kl")
    records = []
    for step in (0, 10, 20):
        record = {"step": step, "train_seconds": 0.1 * step, "digits": 10, "mode_counts": [1, 2]}
        record |= {name: (k + 1) / (1 + step) for k, name in enumerate(numbers)}
        record |= {f"{name}_floor": 0.01 * (k + 1) for k, name in enumerate(numbers)}
        records.append(record | ({"discriminator_loss": 1.2, "generator_loss": 0.8} if step else {}))
    return records


def panel():
    _, ((ax,),) = plots.figure(1, 1, 4, 3)
    return ax


def line(ax, label):
    """The data of the one line with this label `[n, 2]`."""
    (found,) = (line for line in ax.lines if line.get_label() == label)
    return found.get_xydata()


def dashed(ax):
    """Heights of the dashed horizontal lines."""
    return [line.get_ydata()[0] for line in ax.lines if line.get_linestyle() == "--" and len(line.get_ydata())]


def texts(ax):
    return [text.get_text() for text in ax.texts]


def legend(owner):
    """Texts of the legend of an axes or a figure."""
    found = owner.legends[0] if hasattr(owner, "legends") else owner.get_legend()
    return [text.get_text() for text in found.get_texts()]


def covers_nothing(ax):
    """The legend of a panel lies above everything that is drawn in data coordinates, and within the panel."""
    ax.figure.draw_without_rendering()
    box, frame = ax.get_legend().get_window_extent(), ax.get_window_extent()
    shapes = [*ax.lines, *ax.collections, *ax.patches]
    horizontal = [s for s in shapes if not (s in ax.lines and len(set(s.get_xdata())) == 1)]  # no vertical line
    tops = [s.get_window_extent().y1 for s in horizontal]
    return box.y0 >= max(tops) - 1 and box.x0 >= frame.x0 and box.x1 <= frame.x1


def inside(fig):
    """Nothing of the figure is cut off at its edges."""
    fig.draw_without_rendering()
    box, (width, height) = fig.get_tightbbox(), fig.get_size_inches()
    return box.x0 > -0.01 and box.y0 > -0.01 and box.x1 < width + 0.01 and box.y1 < height + 0.01


# ------------------------------------------------------------------------------------------------ figures


def test_importing_plots_imports_no_matplotlib():
    code = "import sys, lab.plots; sys.exit(any(m in sys.modules for m in ('matplotlib', 'seaborn', 'tensorflow')))"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_a_figure_is_none_of_pyplots_and_panels_are_as_many_as_asked_for():
    from matplotlib import pyplot as plt

    before = plt.get_fignums()
    fig, axes = plots.panels(4, 3, 2, 1)
    assert (axes.shape, len(fig.axes), tuple(fig.get_size_inches())) == ((4,), 4, (6, 2))
    assert plt.get_fignums() == before


def test_a_figure_is_written_whole_or_not_at_all(tmp_path):
    fig, _ = plots.figure(1, 1, 2, 1)
    plots.save(fig, tmp_path / "new" / "a.png")
    with Image.open(tmp_path / "new" / "a.png") as picture:
        assert picture.size == (220, 110)
    fig.savefig = lambda path, **_: path.write_text("half") and 1 / 0
    with pytest.raises(ZeroDivisionError):
        plots.save(fig, tmp_path / "new" / "b.png")
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["a.png"]


def test_a_curve_over_seeds_is_the_median_with_a_band_and_a_plain_one_a_line():
    ax, records = panel(), records_of_seeds()
    plots.curve(ax, records, "generator_loss", "G", plots.FAKE)
    np.testing.assert_allclose(line(ax, "G"), [[10, 4], [20, 4]])
    (band,) = ax.collections
    x, y = band.get_paths()[0].vertices.T
    assert (x.min(), x.max(), y.min(), y.max()) == pytest.approx((10, 20, 2.4, 5.6))
    ax = panel()
    plots.curve(ax, [{"step": 0}, {"step": 1, "a": None}, {"step": 2, "a": 7}], "a", "plain", plots.REAL)
    np.testing.assert_array_equal(line(ax, "plain"), [[1, np.nan], [2, 7]])
    assert not ax.collections


def test_a_number_that_every_seed_failed_leaves_a_gap():
    ax, records = panel(), records_of_seeds()
    records[0]["kl"] = {"median": None, "q10": None, "q90": None, "failed": 5}
    plots.history(ax, records, "kl", "KL", {"kl_floor": 0.01}, "nats")
    np.testing.assert_allclose(line(ax, "fakes")[:, 1], [np.nan, 3 / 11, 3 / 21])


@pytest.mark.parametrize("value", [3.0, {"median": 3.0, "q10": 2.0, "q90": 4.0, "failed": 0}])
def test_a_single_record_is_a_dot_because_a_line_would_show_nothing(value):
    ax = panel()
    plots.curve(ax, [{"step": 0}, {"step": 10, "loss": value}], "loss", "D", plots.REAL)
    (drawn,) = ax.lines
    assert drawn.get_marker() == "o" and drawn.get_xydata().tolist() == [[10, 3]]
    spans = [s.tolist() for c in ax.collections for s in c.get_segments()]
    assert spans == ([[[10, 2], [10, 4]]] if isinstance(value, dict) else [])
    plots.curve(ax, [{"step": 0, "loss": 1.0}, {"step": 10, "loss": 3.0}], "loss", "D", plots.REAL)
    assert ax.lines[1].get_marker() == "None"


def test_real_fake_and_ideal_have_colours_that_nothing_else_has():
    ax = panel()
    plots.losses(ax, records_of_images(), LN4)
    used = {li.get_label(): li.get_color() for li in ax.lines}
    assert used.pop("D's equilibrium: ln 4") == plots.IDEAL
    assert not {plots.REAL, plots.FAKE} & set(used.values())
    ax = panel()
    plots.discriminator(ax, np.arange(4.0), np.full((2, 4), 0.3), np.full((2, 4), 0.4))
    assert not {plots.REAL, plots.FAKE} & {li.get_color() for li in ax.lines}
    left, right = plots.errors_and_accuracies(
        [{"step": 0, "real_error": 1, "fake_error": 1, "generator_error": 1, "real_accuracy": 1, "fake_accuracy": 1}]
    ).axes
    for ax in (left, right):
        colours = {li.get_label(): li.get_color() for li in ax.lines}
        assert colours[legend(ax)[0]] == plots.REAL and colours[legend(ax)[1]] == plots.FAKE


@pytest.mark.parametrize("low", [2e-7, 0.003, 0.7, 40.0])
@pytest.mark.parametrize("factor", [1.1, 1.5, 4, 30, 5000, 1e9])
def test_log_axes_have_a_few_ticks_in_plain_decimals(low, factor):
    ax = panel()
    ax.plot([0, 1], [low, low * factor])
    style.logarithmic(ax.yaxis)
    ax.figure.draw_without_rendering()
    bottom, top = ax.get_ylim()
    labels = [t.get_text() for t in ax.get_yticklabels() if bottom <= t.get_position()[1] <= top]
    assert ax.get_yscale() == "log" and 2 <= len(labels) <= 8
    assert all(re.fullmatch(r"[0-9]+(\.[0-9]*[1-9])?", label) for label in labels)  # no exponent, no 0 at the end
    assert not ax.yaxis.get_minorticklocs().size
    values = [float(label) for label in labels]
    ticks = [tick for tick in ax.get_yticks() if bottom <= tick <= top]
    np.testing.assert_allclose(values, ticks, rtol=6e-3)  # what a label says is where it stands
    assert len(set(values)) == len(values)


# ------------------------------------------------------------------------------------------- real numbers


def test_losses_show_both_players_and_the_equilibrium():
    ax = panel()
    plots.losses(ax, records_of_seeds(), LN4)
    np.testing.assert_allclose(line(ax, "discriminator")[:, 1], [3, 3])
    assert dashed(ax) == [LN4] and legend(ax) == ["discriminator", "generator", "D's equilibrium: ln 4"]
    assert (ax.get_xlabel(), ax.get_ylabel(), ax.get_title()) == ("step", "loss", "Losses")
    assert covers_nothing(ax)
    ax = panel()
    plots.losses(ax, records_of_images())
    assert legend(ax) == ["discriminator", "generator"] and dashed(ax) == []


def test_a_figure_of_many_seeds_says_what_its_bands_are_and_one_of_a_single_seed_does_not():
    records = [{"step": 0}, {"step": 60}]
    text = plots.described({"target": "ring", "seeds": 4, "steps": 100}, records)  # interrupted at step 60
    assert text.startswith("ring, 60 steps, 4 seeds: ") and "median" in text and "10%" in text
    assert plots.described({"target": "ring", "seeds": 1, "steps": 60}, records) == "ring, 60 steps, one seed"


@pytest.mark.parametrize("scale", ["log", "linear", "share"])
def test_a_history_shows_the_floor_and_its_scale(scale):
    ax = panel()
    plots.history(
        ax, records_of_seeds(), "kl", "KL(real || fake)", {"kl_floor": 0.9}, "nats", scale, whose="real data"
    )
    assert (ax.get_ylabel(), ax.get_title(), ax.get_xlabel()) == ("nats", "KL(real || fake)", "step")
    assert dashed(ax) == [0.9] and legend(ax) == ["fakes", "real data"]
    assert ax.get_yscale() == ("log" if scale == "log" else "linear")
    assert scale == "log" or ax.get_ylim()[0] == 0
    assert scale != "share" or max(ax.get_yticks()) == 1
    assert scale == "share" or covers_nothing(ax)  # these numbers are no shares


def test_densities_show_the_real_one_and_the_median_of_the_fakes():
    ax, x = panel(), np.linspace(-1, 1, 5)
    plots.densities(ax, x, x**2, np.stack([x**2 + k for k in range(5)]))
    np.testing.assert_allclose(line(ax, "real")[:, 1], x**2)
    np.testing.assert_allclose(line(ax, "fakes")[:, 1], x**2 + 2)
    assert (ax.get_xlabel(), ax.get_ylabel(), ax.get_ylim()[0]) == ("x", "density", 0)
    assert covers_nothing(ax)


def test_discriminator_leaves_out_points_where_the_optimum_is_unknown():
    ax, x = panel(), np.arange(4.0)
    optimal = np.array([[np.nan, 0.2, 0.4, np.nan], [np.nan, 0.4, np.nan, np.nan]])
    plots.discriminator(ax, x, np.full((2, 4), 0.3), optimal)
    np.testing.assert_allclose(line(ax, "D(x)"), np.stack([x, np.full(4, 0.3)], axis=1))
    np.testing.assert_allclose(line(ax, "optimal, p / (p + q)"), [[1, 0.3], [2, 0.4]])
    assert dashed(ax) == [0.5]
    ax = panel()
    plots.discriminator(ax, x, np.full((2, 4), 0.3), None)
    assert legend(ax) == ["D(x)", "1/2"]


def test_the_legend_of_the_discriminator_covers_no_probability():
    ax, x = panel(), np.arange(4.0)
    plots.discriminator(ax, x, np.ones((2, 4)), np.ones((2, 4)))
    assert covers_nothing(ax) and ax.get_yticks().tolist() == [0, 0.25, 0.5, 0.75, 1]


def test_discriminator_outputs_are_densities():
    ax = panel()
    plots.discriminator_outputs(ax, np.full((2, 10), 0.75), np.array([[0.1, 0.9]]))
    real, fake = (patch for patch in ax.patches if not patch.get_fill())
    for patch, center, height in ((real, 0.75, 50), (fake, 0.1, 25)):
        values, edges, _ = patch.get_data()
        assert values.sum() * 0.02 == pytest.approx(1)
        assert values[np.searchsorted(edges, center + 1e-6) - 1] == pytest.approx(height)
    assert legend(ax) == ["on real", "on fakes", "1/2"] and covers_nothing(ax)


def test_seeds_are_dots_in_order_of_size_and_failed_ones_are_counted():
    ax = panel()
    plots.per_seed(ax, [0.3, None, 0.1, 0.2], (0.01, 0.02))
    np.testing.assert_allclose(line(ax, "a seed"), [[1, 0.1], [2, 0.2], [3, 0.3]])
    (band,) = ax.patches
    assert (band.get_y(), band.get_y() + band.get_height()) == pytest.approx((0.01, 0.02))
    assert legend(ax) == ["perfect sampler, 10% to 90%", "a seed"] and covers_nothing(ax)
    assert ax.get_title() == "Final KL of each seed, but 1 not finite" and ax.get_xlim() == (0.5, 4.5)
    assert ax.get_xticks().tolist() == [1, 2, 3, 4]  # seeds are counted
    ax = panel()
    plots.per_seed(ax, [None, None], None)
    assert ax.get_title() == "Final KL of each seed, but 2 not finite"
    plots.per_seed(ax := panel(), np.linspace(1, 2, 100), None)
    assert ax.get_title() == "Final KL of each seed" and len(ax.get_xticks()) <= 12


def test_animation_shows_the_histogram_and_its_last_frame_stays(tmp_path):
    records = records_of_seeds()
    for k, record in enumerate(records):  # the open tails, and all else in the bin 1, 2, 3 of 10
        record["fake_counts"] = [5, *90 * np.eye(10, dtype=int)[k + 1], 5]
    plots.animation(tmp_path / "training.gif", records, np.linspace(-1, 1, 11), lambda x: 1 - np.abs(x), 5)
    with Image.open(tmp_path / "training.gif") as gif:
        assert (gif.n_frames, gif.size) == (3, (414, 252))
        durations, middles = [], []
        for k in range(3):
            gif.seek(k)
            red, _, blue = np.moveaxis(np.asarray(gif.convert("RGB"), int)[130:190], -1, 0)  # below the legend
            durations.append(gif.info["duration"])
            middles.append(np.nonzero(red - blue > 60)[1].mean())  # of the orange bar
    assert durations[2] > 3 * durations[0]
    np.testing.assert_allclose(np.diff(middles), 34, atol=3)  # a tenth of the axis
    assert middles[0] == pytest.approx(60 + 1.5 * 34, abs=15)  # the axis starts at about 60
    assert [path.name for path in tmp_path.iterdir()] == ["training.gif"]


@pytest.mark.parametrize("kl, seeds, title", [(-1e-9, 5, "0.000 nats, the median of 5 seeds"), (None, 1, "nan nats")])
def test_the_title_of_an_animation_says_whose_median_it_is(kl, seeds, title, tmp_path, monkeypatch):
    titles = []

    def drawn(fig, draw, frames, dpi):
        for i in frames:
            draw(i)
            titles.append(fig.axes[0].get_title())

    monkeypatch.setattr(player, "drawn", drawn)
    monkeypatch.setattr(player, "save_gif", lambda *_, **__: None)
    records = [{"step": 7, "kl": {"median": kl}, "fake_counts": np.ones(12, int)}]
    plots.animation(tmp_path / "a.gif", records, np.linspace(-1, 1, 11), lambda x: 1 - np.abs(x), seeds)
    assert titles == [f"step 7: KL {title}"]


def test_frames_are_the_first_the_last_and_more_of_the_early_ones():
    frames = player.frames(1000, 24)
    assert (frames[0], frames[-1], len(frames)) == (0, 999, 24) and np.all(np.diff(frames, n=2) >= -1)
    assert player.frames(3, 24) == [0, 1, 2] and player.frames(1, 24) == [0]


def losses_table(kl_of_ring):
    """Two targets whose orders of losses differ, and a third one; KLs of three seeds."""
    medians = {
        "norm": {"minimax": 1.0, "hinge": 2.0, "wasserstein": 3.0},
        "ring": {"hinge": 10.0, "wasserstein": 20.0, "minimax": kl_of_ring},
    }
    table, values = [], {}
    for target, losses in medians.items():
        for loss, median in losses.items():
            values[target, loss] = median * np.array([0.9, 1.0, 1.1])
            table.append(
                {"data": target, "setting": loss, "median": median, "low": 0.95 * median, "high": 1.05 * median}
            )
            table[-1]["floor"] = 0.5 if target == "norm" else None
    return table, values


def test_settings_compared_have_one_order_and_a_dot_a_seed_and_each_panel_its_own_axis():
    fig = plots.settings_compared(*losses_table(30.0), "KL, nats")
    norm, ring = fig.axes
    assert [ax.get_title() for ax in fig.axes] == ["norm", "ring"]
    for ax in fig.axes:  # mean ranks: hinge 0.5, minimax 1, wasserstein 1.5
        dots = [li.get_xdata()[1] for li in ax.lines if li.get_marker() == "o"]
        assert dots == ([2, 1, 3] if ax is norm else [10, 30, 20])
        assert ax.get_ylim()[0] > ax.get_ylim()[1] and ax.get_xscale() == "log"  # the best on top
    assert [text.get_text() for text in norm.get_yticklabels()] == ["hinge", "minimax", "wasserstein"]
    assert norm.get_xlim()[1] < 5 < ring.get_xlim()[0] and "mean rank" in fig.get_suptitle()
    first = next(li for li in norm.lines if li.get_marker() == "o")
    assert np.all(np.abs(first.get_ydata()) <= 0.25)
    assert texts(norm) == [" floor"] and texts(ring) == []
    assert inside(fig)


@pytest.mark.parametrize("one", [True, False])
def test_the_name_of_a_setting_that_alone_is_varied_stands_once(one):
    names = {
        "hinge": "loss=hinge",
        "minimax": "loss=minimax",
        "wasserstein": "loss=hinge r1=0" if not one else "loss=x",
    }
    table, values = losses_table(30.0)
    table = [row | {"setting": names[row["setting"]]} for row in table]
    fig = plots.settings_compared(table, {(place, names[name]): v for (place, name), v in values.items()}, "KL, nats")
    shown = [text.get_text() for text in fig.axes[0].get_yticklabels()]
    assert shown == (["hinge", "minimax", "x"] if one else list(names.values()))
    assert fig.axes[0].get_ylabel() == ("loss" if one else "") and inside(fig)


def test_settings_compared_count_the_seeds_whose_number_is_infinite():
    table, values = losses_table(np.inf)
    values["ring", "minimax"] = np.array([np.inf, 20.0, np.inf])
    fig = plots.settings_compared(table, values, "KL, nats")
    _, ring = fig.axes
    assert texts(ring) == ["2 of 3 infinite "] and ring.texts[0].get_position()[1] == 1  # in the second row
    dots = [li.get_xdata().tolist() for li in ring.lines if li.get_marker() == "o"]
    assert dots[1] == [20] and inside(fig)


# ---------------------------------------------------------------------------------------------- the plane

VIEW = (np.array([1.0, 0.0]), 2.0)


def plane_snapshot(level=0.0):
    lines = np.stack([np.tile(np.linspace(-1, 1, 9), (2, 3, 1))] * 2)  # [families, x and y, lines, n]
    fakes = np.array([[0.0, 1.0, 2.0], [0.5, 0.5, 0.5]])
    return {"fakes": fakes, "pushes": fakes[:, :2], "logits": np.full((4, 4), level), "lines": lines}


def test_plane_colours_d_and_shows_points_and_pushes():
    shades = []
    for logit in (-40, -0.2, 0, 0.2, 40):
        ax = panel()
        plots.plane(ax, np.zeros((1500, 2)), plane_snapshot(logit), VIEW)
        image = ax.images[0]
        shades.append(np.array(image.cmap(image.norm(image.get_array()[0, 0]))[:3]))
    orange, pale_orange, white, pale_blue, blue = shades
    assert np.all(white > 0.99) and orange[0] > orange[2] + 0.2 and blue[2] > blue[0] + 0.2
    assert pale_orange[0] > pale_orange[2] + 0.05 and pale_blue[2] > pale_blue[0] + 0.05  # though D is .45 and .55
    real, fakes, arrows = ax.collections
    assert len(real.get_offsets()) == 1000
    np.testing.assert_allclose(fakes.get_offsets(), [[0, 0.5], [1, 0.5], [2, 0.5]])
    assert arrows.N == 2 and np.all(np.hypot(arrows.U, arrows.V) <= 0.4 + 1e-9)
    np.testing.assert_allclose(
        arrows.V / np.hypot(arrows.U, arrows.V), [1, 1 / np.sqrt(5)]
    )  # they point along D's push
    assert (ax.get_xlim(), ax.get_ylim()) == ((-1, 3), (-2, 2))
    assert ax.images[0].get_extent() == [-1, 3, -2, 2]


def contrast(a, b):
    """The contrast ratio of two colours, 1 to 21 (WCAG 2)."""
    from matplotlib.colors import to_rgb

    lights = [np.dot(np.array(to_rgb(c)) ** 2.2, (0.2126, 0.7152, 0.0722)) + 0.05 for c in (a, b)]
    return max(lights) / min(lights)


def test_plane_explains_itself_and_its_points_stand_out_from_every_colour_of_the_map():
    ax = panel()
    plots.plane(ax, np.zeros((5, 2)), plane_snapshot(), VIEW)
    assert legend(ax) == ["real", "fakes", "where D pushes 2 of them"]
    (bar,) = ax.child_axes
    assert bar.get_ylim() == (0, 1) and "D(x)" in bar.get_ylabel()
    assert [text.get_text() for text in bar.get_yticklabels()] == ["0", "0.25", "0.5", "0.75", "1"]
    real, fakes, _ = ax.collections
    for points, colour in ((real, plots.REAL), (fakes, plots.FAKE)):
        np.testing.assert_allclose(contrast(points.get_facecolor()[0][:3], colour), 1, atol=1e-6)
        assert np.all(points.get_edgecolor()[0][:3] == 1) and points.get_linewidth()[0] > 0  # a white rim
        assert min(contrast(colour, ax.images[0].cmap(d)[:3]) for d in np.linspace(0, 1, 11)) > 1.9
    _, narrow = plots.figure(1, 4, 8, 3)
    plots.plane(narrow[0, 0], np.zeros((5, 2)), plane_snapshot(), VIEW)
    assert not narrow[0, 0].child_axes and narrow[0, 0].get_legend() is None  # they would leave no room for the map


def test_latent_lattice_draws_both_families_of_lines_and_names_them():
    ax = panel()
    plots.latent_lattice(ax, plane_snapshot(), VIEW)
    colours = [li.get_color() for li in ax.lines]
    assert len(colours) == 6 and len(set(colours[:3])) == len(set(colours[3:])) == 1 and colours[0] != colours[3]
    assert not {plots.REAL, plots.FAKE} & set(colours)  # neither is real, and both are fakes
    assert legend(ax) == ["z1 varies", "z2 varies"]
    assert len(ax.lines[0].get_xdata()) == 9 and ax.get_aspect() == 1


def test_mode_shares_count_fakes_of_high_quality_alone():
    ax, centres = panel(), np.array([[0.0, 0.0], [5.0, 0.0]])
    fakes = np.zeros((2, 2, 4))
    fakes[0, 0] = [5.29, 0.29, 0.31, 2.4]  # at std .1 the first two are of high quality, each at its mode
    plots.mode_shares(ax, centres, 0.1, fakes)
    np.testing.assert_allclose([li.get_ydata() for li in ax.lines], [[0.25, 0.25], [1, 0]])
    for seed, row in zip(ax.lines, fakes, strict=True):  # as the metric counts
        assert seed.get_ydata().sum() == metrics.mode_coverage(row.T, centres, 0.1).high_quality
    (band,) = ax.patches  # of 4 fakes, each of high quality at one of two modes with probability .98889 / 2
    low, high = stats.binom.ppf([0.1, 0.9], 4, 0.5 * 0.9888910)
    assert (band.get_y(), band.get_height()) == pytest.approx((low / 4, (high - low) / 4))
    assert "high quality" in ax.get_title() and "3 sd" in ax.get_title() and ax.get_xticks().tolist() == [1, 2]
    assert ax.get_ylim()[0] == 0 and ax.get_ylim()[1] > 1 and legend(ax) == ["perfect sampler, 10% to 90%", "a seed"]


def test_a_perfect_sampler_lies_in_its_band_of_mode_shares():
    rng, centres = np.random.default_rng(0), np.array([[0.0, 0.0], [5.0, 0.0], [0.0, 5.0], [5.0, 5.0]])
    fakes = centres[rng.integers(4, size=(800, 1000))] + 0.1 * rng.standard_normal((800, 1000, 2))
    plots.mode_shares(ax := panel(), centres, 0.1, np.moveaxis(fakes, 2, 1))
    (band,) = ax.patches
    shares = np.concatenate([li.get_ydata() for li in ax.lines])
    low, high = band.get_y(), band.get_y() + band.get_height()
    chance = np.diff(stats.binom.cdf([1000 * low - 1, 1000 * high], 1000, 0.9888910 / 4))  # ends included
    assert 0.8 < chance < 0.84 and np.mean((low <= shares) & (shares <= high)) == pytest.approx(chance[0], abs=0.02)


def test_plane_seeds_has_a_panel_a_seed_with_its_numbers():
    result = {"kl": {"per_seed": [0.25] * 7}, "modes": {"per_seed": [8.0] * 7}}
    result["high_quality"] = {"per_seed": [0.9] * 7}
    real, fakes = np.zeros((20, 2)), np.ones((7, 2, 30))
    fig = plots.plane_seeds(real, fakes, result, VIEW)
    assert len(fig.axes) == 7 and fig.axes[6].get_title() == "KL 0.25"
    np.testing.assert_allclose(fig.axes[6].collections[1].get_offsets(), np.ones((30, 2)))
    fig = plots.plane_seeds(real, fakes, result | {"modes_of": 8}, VIEW, at_most=3)
    assert [ax.get_title() for ax in fig.axes] == ["8 modes, 90.0%"] * 3
    assert "high quality" in fig.get_suptitle() and "first 3 of 7 seeds" in fig.get_suptitle() and inside(fig)
    assert inside(plots.plane_seeds(real, fakes[:1], result | {"modes_of": 8}, VIEW))
    result["kl"]["per_seed"] = [-1e-9] * 7
    assert plots.plane_seeds(real, fakes, result, VIEW).axes[0].get_title() == "KL 0.00"


def test_plane_animation_writes_a_gif_and_a_player(tmp_path):
    snapshots = {step: plane_snapshot(step) for step in (10, 0)}
    titles = {0: "before", 10: "after"}
    plots.plane_animation(tmp_path, np.zeros((5, 2)), snapshots, titles, VIEW)
    assert {path.name for path in tmp_path.iterdir()} == {"training.gif", "training.html"}
    with Image.open(tmp_path / "training.gif") as gif:
        assert gif.n_frames == 2
    page = (tmp_path / "training.html").read_text()
    assert page.count("data:image/png;base64,") == 2 and "before" in page and "after" in page


def test_the_player_needs_no_network_and_can_be_used_with_words_and_keys(tmp_path):
    pictures = [Image.new("RGB", (3, 2), colour) for colour in ("red", "blue", "white")]
    captions = ["</script><b>", "PICTURES", "LAST"]
    player.save_page(tmp_path / "new" / "a.html", pictures, captions, milliseconds=250)
    page = (tmp_path / "new" / "a.html").read_text()
    urls = re.findall(r'"data:image/png;base64,([A-Za-z0-9+/=]+)"', page)
    assert len(urls) == 3
    rest = re.sub(r"data:image/png;base64,[A-Za-z0-9+/=]+", "", page)
    assert "http" not in rest and "//" not in rest and "@import" not in rest and "url(" not in rest
    assert rest.count("</script>") == 1 and '"PICTURES", "LAST"' in rest  # captions are text, whatever they are
    words = re.findall(r'<button id="(\w+)">(.*?)</button>', page)
    assert [name for name, text in words if name in text] == ["first", "back", "play", "next", "last"]
    assert 'type="range" min="0" max="2"' in page and "ArrowLeft" in page and "250)" in page
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["a.html"]


# ------------------------------------------------------------------------------------------------- images


@pytest.mark.parametrize("numbers", [plots.IMAGE_CURVES, plots.STACKED_CURVES])
def test_image_curves_have_a_panel_a_number_with_its_floor(numbers):
    records = records_of_images()
    fig = plots.image_curves(records, numbers)
    assert len(fig.axes) == 1 + len(numbers) and legend(fig.axes[0]) == ["discriminator", "generator"]
    for ax, (name, (title, unit, scale, whose)) in zip(fig.axes[1:], numbers.items(), strict=True):
        np.testing.assert_allclose(line(ax, "fakes"), [[r["step"], r[name]] for r in records])
        assert dashed(ax) == [records[-1][f"{name}_floor"]] and legend(ax) == ["fakes", whose]
        assert (ax.get_title(), ax.get_ylabel(), ax.get_xlabel()) == (title, unit, "step")
        assert (ax.get_yscale() == "log") == (scale == "log")
    assert inside(fig)


def test_mode_counts_are_sorted_and_missing_modes_are_counted():
    fig = plots.mode_counts(np.array([3, 0, 9, 4]))
    (ax,) = fig.axes
    np.testing.assert_array_equal(line(ax, "fakes")[:, 1], [9, 4, 3, 0])
    assert ax.get_title() == "3 of 4 modes in 16 samples" and dashed(ax) == [4]
    perfect = line(ax, "a perfect sampler: median, 10% to 90%")[:, 1]
    assert legend(ax)[-1] == "equal parts: 4" and covers_nothing(ax)
    assert np.all(np.diff(perfect) <= 0) and perfect[0] > 4 > perfect[-1]


def test_mistakes_are_those_of_the_highest_confidence_in_order():
    labels = np.arange(60) % 10
    predictions, confidences = (labels + 1) % 10, np.linspace(0.2, 0.9, 60)
    predictions[50:] = labels[50:]  # the most confident ones are right
    images = np.arange(60)[:, None, None] * np.ones((60, 4, 4))
    fig = plots.mistakes(images, labels, predictions, confidences)
    assert len(fig.axes) == 40 and fig.axes[0].get_title() == f"{labels[49]} as {predictions[49]}"
    assert [ax.images[0].get_array()[0, 0] for ax in fig.axes] == list(range(49, 9, -1))
    assert "40 of 50 mistakes on 60 test images" in fig.get_suptitle() and inside(fig)
    fig = plots.mistakes(images, labels, labels, confidences)
    assert "0 of 0 mistakes" in fig.get_suptitle() and not fig.axes[0].images


def test_errors_and_accuracies_show_where_d_cannot_tell():
    names = ("real_error", "fake_error", "generator_error", "real_accuracy", "fake_accuracy")
    records = [{"step": 0}] + [{"step": 5 * k} | {name: j / k for j, name in enumerate(names)} for k in (1, 2)]
    left, right = plots.errors_and_accuracies(records).axes
    assert legend(left) == ["D on real", "D on fakes", "G", "ln 2: D says 1/2"]
    assert legend(right) == ["on real", "on fakes", "1/2: D guesses"]
    assert covers_nothing(left)
    np.testing.assert_allclose(line(left, "G"), [[5, 2], [10, 1]])
    np.testing.assert_allclose(line(right, "on fakes"), [[5, 4], [10, 2]])
    assert dashed(left) == [np.log(2)] and dashed(right) == [0.5]


def test_held_out_curves_show_numbers_beside_the_losses_so_named():
    records = [{"step": s, "l1": 1 / (s + 1), "l1_alone": 2.0, "generator_loss": 3.0} for s in (0, 1)]
    fig = plots.held_out_curves(
        records, "L1 distance", {"l1": "pix2pix", "l1_alone": "L1"}, ["generator_loss"], "bits"
    )
    left, right = fig.axes
    np.testing.assert_allclose(line(left, "pix2pix")[:, 1], [1, 0.5])
    assert (legend(left), legend(right), right.get_ylabel()) == (["pix2pix", "L1"], ["generator"], "bits")
    assert (left.get_title(), left.get_yscale()) == ("L1 distance, held-out images", "log")
    assert "pixels" in left.get_ylabel() and inside(fig)


# -------------------------------------------------------------------------------------------- several runs


def test_shared_numbers_are_those_of_every_run_and_losses_come_last():
    one, other = records_of_images(), records_of_seeds()
    assert plots.shared_numbers({"a": one, "b": other}) == ["kl", "discriminator_loss", "generator_loss"]
    numbers = plots.shared_numbers({"a": one})
    assert numbers[:2] == ["digits", "frechet_digit_distance"] and numbers[-1] == "generator_loss"
    assert not {"step", "train_seconds", "kl_floor", "mode_counts"} & {*numbers}


def test_compared_runs_have_a_panel_a_number_and_a_line_a_run():
    one, other = records_of_images(), [r | {"modes": 7.0, "kl_floor": 0.5} for r in records_of_images()]
    fig = plots.compared({"first": one, "second": other}, ["kl", "modes", "frechet_digit_distance", "digits"])
    kl, modes, frechet, digits = fig.axes
    assert [ax.get_title() for ax in fig.axes] == ["KL, nats", "Modes", "Frechet digit distance", "Digits"]
    assert [ax.get_yscale() for ax in fig.axes] == ["log", "linear", "log", "linear"]
    np.testing.assert_allclose(line(modes, "second"), [[0, 7], [10, 7], [20, 7]])
    np.testing.assert_allclose(line(kl, "first")[:, 1], [6, 6 / 11, 6 / 21])
    assert legend(fig) == ["first", "second", "floor"]
    colours = {li.get_label(): li.get_color() for li in kl.lines}
    floors = {y: li.get_color() for li in kl.lines if li.get_linestyle() == "--" for y in li.get_ydata()}
    assert floors == {0.06: colours["first"], 0.5: colours["second"]} and colours["first"] != colours["second"]
    assert dashed(modes) == [0.05] and dashed(digits) == []
    assert inside(fig)


def test_compared_runs_of_many_seeds_have_bands():
    fig = plots.compared({"runs/normal_1d/20250101-000000-seed0": records_of_seeds(), "b": records_of_seeds()})
    assert [ax.get_title() for ax in fig.axes] == ["KL, nats", "Discriminator loss", "Generator loss"]
    assert all(len(ax.collections) == 2 and ax.get_ylabel() == "median, 10% to 90%" for ax in fig.axes)
    assert legend(fig) == ["runs/normal_1d/20250101-000000-seed0", "b"] and inside(fig)
    alone = [{"step": s, "kl": summary([1.0 + s])} for s in (0, 1)]
    assert plots.compared({"a": alone}).axes[0].get_ylabel() == ""  # one seed has no band


def test_compared_runs_look_different_however_many_they_are():
    runs_ = {f"run {k}": records_of_images() for k in range(12)}
    lines = plots.compared(runs_, ["modes"]).axes[0].lines[:12]
    assert len({(li.get_color(), li.get_linestyle()) for li in lines}) == 12
    assert not {plots.REAL, plots.FAKE} & {li.get_color() for li in lines}


def test_compared_draws_six_numbers_unless_named_and_refuses_runs_with_none_in_common():
    assert len(plots.compared({"a": records_of_images()}).axes) == 6
    zero = [{"step": s, "kl": 0.0} for s in (0, 1)]
    assert plots.compared({"a": zero}).axes[0].get_yscale() == "linear"  # nothing positive to draw
    with pytest.raises(ValueError, match="in common"):
        plots.compared({"a": [{"step": 0, "x": 1.0}], "b": [{"step": 0, "y": 1.0}]})


def test_dirac_draws_both_orders_from_the_start_until_they_leave():
    steps, penalties = np.arange(50.0), (0.0, 0.1, 0.3, 1.0)
    path = np.stack([1 + steps, -np.ones(50)], axis=-1)[:, None].repeat(4, axis=1)  # theta grows out of the picture
    paths = {(loss, order): path for loss in ("hinge", "minimax") for order in ("simultaneous", "alternating")}
    fields = {loss: lambda theta, psi, penalty: (-psi, theta - penalty * psi) for loss in ("hinge", "minimax")}
    fig = plots.dirac(fields, paths, penalties, (1.0, -1.0))
    assert [ax.get_title() for ax in fig.axes[:3]] == [f"hinge, penalty {p}" for p in (0, 0.3, 1)]
    assert legend(fig) == ["simultaneous", "alternating", "start", "equilibrium", "direction of the forces"]
    ax = fig.axes[0]
    np.testing.assert_allclose(line(ax, "alternating"), [[1, -1], [2, -1], [3, -1], [4, -1]])
    np.testing.assert_allclose(line(ax, "start"), [[1, -1]])
    field = ax.collections[0]
    np.testing.assert_allclose(np.hypot(field.U, field.V)[field.XY.any(axis=1)], 1)
    assert inside(fig)
