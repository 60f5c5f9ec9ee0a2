"""What a perfect sampler scores by the two divergences that GAN Lab draws: the numbers of docs/live.md.

    python benchmarks/ganlab_kl.py        four seconds

GAN Lab (Kahng et al. 2019, github.com/poloclub/ganlab at commit 09073e8) counts points in 30 x 30 cells of the unit
square and prints bits. Nothing of its code is here: this follows `demo/ganlab_evaluators.ts` and the laws in
`demo/ganlab_input_providers.ts` as they read. A divergence of a perfect sampler should be near 0, and never below it.
"""

from collections.abc import Callable

import numpy as np

CELLS, REAL, FAKES, SMOOTHING = 30, 450, 150, 1e-4  # cells a side, points of both sides, added to every share
ATLAS = 12_000  # real points that GAN Lab draws at a reset; it removes the first REAL of them to show them
Draw = Callable[[int, np.random.Generator], np.ndarray]


def normal(means: list, stds: list, weights: list) -> Draw:
    """Draws of a mixture of normal distributions with independent coordinates: `(n, rng) -> [n, 2]`."""

    def draw(n: int, rng: np.random.Generator) -> np.ndarray:
        k = rng.choice(len(weights), n, p=weights)
        return np.array(means)[k] + np.array(stds)[k] * rng.standard_normal((n, 2))

    return draw


def ring(n: int, rng: np.random.Generator) -> np.ndarray:
    angle = rng.uniform(0, 2 * np.pi, n)
    on_it = np.stack([0.5 + 0.3 * np.cos(angle), 0.45 + 0.25 * np.sin(angle)], axis=1)
    return on_it + 0.025 * rng.standard_normal((n, 2))


def line(n: int, rng: np.random.Generator) -> np.ndarray:
    t = rng.random((n, 1))
    return np.array([0.8, 0.6]) + t * np.array([-0.75, 0.3]) + 0.01 * rng.standard_normal((n, 2))


TARGETS: dict[str, Draw] = {
    "line": line,
    "gaussians": normal([[0.3, 0.7], [0.7, 0.4]], [[0.1, 0.1], [0.05, 0.2]], [0.5, 0.5]),
    "ring": ring,
    "disjoint": normal([[0.35, 0.75], [0.75, 0.6], [0.45, 0.35]], [[0.025, 0.025]] * 3, [0.333, 0.333, 0.334]),
}


def counted(left: int = ATLAS - REAL, rounds: int = REAL) -> int:
    """How many real points reach GAN Lab's grid of the `left` ones in its flat list of coordinates.

    It means to take one point a round. Its round i = 0, 1, ... takes 2 i + 2 numbers out of the list, from place 2 i
    on, and counts the first two of them. The list is used up before the last round.
    """
    numbers, points = 2 * left, 0
    for i in range(rounds):
        points += numbers > 2 * i
        numbers -= min(2 * i + 2, max(0, numbers - 2 * i))
    return points


def shares(points: np.ndarray, out_of: int) -> np.ndarray:
    """Number of points `[n, 2]` in each cell `[CELLS CELLS]`, divided by `out_of`; points outside are left out."""
    inside = points[((points >= 0) & (points < 1)).all(axis=1)]
    column, row = np.int64(inside.T * CELLS)
    return np.bincount(column + CELLS * row, minlength=CELLS**2) / out_of


def kl(p: np.ndarray, q: np.ndarray) -> float:
    """Sum of p log2(p / q), bits; p and q are made larger by SMOOTHING, and nothing makes them sum to 1."""
    return float(((p + SMOOTHING) * np.log2((p + SMOOTHING) / (q + SMOOTHING))).sum())


def js(p: np.ndarray, q: np.ndarray) -> float:
    """The mean of `kl` from p and from q to their mean, bits."""
    return (kl(p, (p + q) / 2) + kl(q, (p + q) / 2)) / 2


def scores(draw: Draw, resets: int = 2000) -> dict[str, np.ndarray]:
    """The numbers `[resets]` that fakes drawn from the real law get, each time against new real points."""
    rng, rows = np.random.default_rng(0), []
    for _ in range(resets):
        real, fake = draw(REAL, rng), shares(draw(FAKES, rng), FAKES)
        p, full = shares(real[: counted()], REAL), shares(real, REAL)
        rows.append((p.sum(), kl(p, fake), js(p, fake), kl(full, fake)))
    return dict(zip(("mass", "kl", "js", "kl_full"), np.array(rows).T, strict=True))


def main() -> None:
    print(f"{counted()} of {REAL} real points reach the grid. A perfect sampler's mean (10% to 90% over resets):\n")
    print("| target | mass of the true grid | KL, bits | JS, bits | KL with the whole grid |\n|---|---|---|---|---|")
    for name, draw in TARGETS.items():
        found = scores(draw)
        low, high = np.quantile(found["kl"], [0.1, 0.9])
        mean = {key: values.mean() for key, values in found.items()}
        band = f"{mean['kl']:.2f} ({low:.2f} to {high:.2f})"
        print(f"| {name} | {mean['mass']:.3f} | {band} | {mean['js']:.2f} | {mean['kl_full']:.2f} |")


if __name__ == "__main__":
    main()
