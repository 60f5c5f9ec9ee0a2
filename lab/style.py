"""One look for all figures: colours, sizes, titles, legends and axes.

In every figure blue is real, orange is fake, and dashed grey is the ideal or the floor; all else has other colours.
Matplotlib and seaborn take a second to import, for which `--help` should not wait: they are imported where needed.
"""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import XAxis, YAxis
    from matplotlib.figure import Figure

REAL, FAKE, IDEAL = "#31688e", "#d9622b", "0.35"  # they differ in grey, too
OTHERS = ("#7b4fa3", "#029e73", "black", "#ca9161", "#cc78bc", "#56b4e9")  # of players, orders of moves, runs
OF_D, OF_G = OTHERS[:2]
ALONG_Z2 = "#7a7a00"  # lines of G's lattice; those along z1 have G's colour, as on the live page
ARROW = [(-1, 0), (1, 0), (0.3, 0.5), (1, 0), (0.3, -0.5), (1, 0)]  # a marker
LEGEND: dict[str, Any] = {
    "fontsize": "small",
    "handlelength": 1.3,
    "columnspacing": 0.9,
    "borderpad": 0.2,
    "edgecolor": "none",
    "framealpha": 1.0,  # no line shows through
}


def figure(rows: int, columns: int, width: float, height: float, **shared: Any) -> tuple[Figure, np.ndarray]:
    """A figure in the project's style, sizes in inches, and its axes `[rows, columns]`; `shared`: sharex, sharey.

    Unlike pyplot's it opens no window and needs no closing. A notebook shows it after `%matplotlib inline`.
    """
    import seaborn as sns
    from matplotlib.figure import Figure

    plain = {"text.parse_math": False}  # a dollar sign in the name of a file is one
    sns.set_theme(context="paper", style="ticks", palette="colorblind", font_scale=1.1, rc=plain)
    fig = Figure(figsize=(width, height), layout="constrained")
    return fig, fig.subplots(rows, columns, squeeze=False, **shared)


def panels(count: int, columns: int, width: float, height: float) -> tuple[Figure, np.ndarray]:
    """A figure of `count` panels, row by row, each `width` by `height` inches, and their axes `[count]`."""
    rows = -(-count // columns)
    fig, axes = figure(rows, columns, width * columns, height * rows)
    for ax in axes.flat[count:]:
        ax.remove()
    return fig, axes.flat[:count]


def readable(name: str) -> str:
    """The name of a file for a figure: ? for bytes that are no text, and no _ in front, which would hide a label."""
    text = name.encode(errors="replace").decode()
    return f" {text}" if text.startswith("_") else text


def headed(fig: Figure, text: str) -> Figure:
    """The figure with a title over all panels, in as many lines as its width needs."""
    fig.suptitle(textwrap.fill(readable(text), max(20, int(12.5 * fig.get_figwidth()))), fontsize="medium")
    return fig


def level(ax: Axes, y: float, label: str) -> None:
    """A dashed horizontal line at y, for `key` to name."""
    ax.axhline(y, color=IDEAL, ls="--", lw=1, label=label)


def key(ax: Axes, columns: int = 2) -> None:
    """Name what a panel shows in rows at its top, in room that is added there, so that they cover nothing.

    To be called last: what is drawn later no longer changes the range of y.
    """
    handles, labels = ax.get_legend_handles_labels()
    scale, height = ax.yaxis.get_transform(), ax.get_window_extent().height / ax.figure.dpi  # inches
    low, high = scale.transform(ax.get_ylim())
    share = min(0.5, (0.1 + 0.17 * -(-len(labels) // columns)) / height)  # a row takes .17 inches
    ax.set_ylim(top=float(scale.inverted().transform(low + (high - low) / (1 - share))))
    ax.legend(handles, labels, loc="upper center", ncols=columns, **LEGEND)


def probabilities(axis: XAxis | YAxis) -> None:
    """An axis from 0 to 1, with ticks there alone, also where `key` adds room above 1."""
    axis.axes.set(**{f"{axis.axis_name}lim": (0, 1)})
    axis.set_ticks([0, 0.25, 0.5, 0.75, 1], ["0", "0.25", "0.5", "0.75", "1"])


def logarithmic(axis: XAxis | YAxis) -> None:
    """A log scale with a few ticks in plain decimals: 0.002, 0.005, 0.01; not 2 x 10^-3."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    class Few(LogLocator):
        def tick_values(self, vmin: float, vmax: float) -> list[float]:
            return _log_ticks(vmin, vmax)

    axis.axes.set(**{f"{axis.axis_name}scale": "log"})
    axis.set_major_locator(Few())
    axis.set_major_formatter(FuncFormatter(lambda value, _: decimal(value)))
    axis.set_minor_locator(NullLocator())


def decimal(value: float) -> str:
    """A number of at most three digits without an exponent: 0.00002, 0.15, 2000."""
    return np.format_float_positional(value, precision=3, fractional=False, trim="-")


def _log_ticks(low: float, high: float) -> list[float]:
    """Three to six round numbers from low to high: some digits times powers of ten, or every k-th of these powers; in
    steps of equal size where low and high are close; two where nothing else fits."""
    from matplotlib.ticker import MaxNLocator

    exponents = np.arange(np.floor(np.log10(low)), np.ceil(np.log10(high)) + 1)
    rows = [np.outer(10.0**exponents, row).ravel() for row in ((1, 2, 3, 4, 5, 6, 8), (1, 2, 5), (1, 3), (1,))]
    rows += [10.0 ** exponents[exponents % k == 0] for k in range(2, 99)]
    few = next(inside for row in rows if len(inside := row[(low <= row) & (row <= high)]) <= 6)
    close = len(few) < 3 and high < 10 * low
    return list(MaxNLocator(4, steps=[1, 2, 5, 10]).tick_values(low, high) if close else few)
