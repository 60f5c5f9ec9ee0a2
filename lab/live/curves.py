"""The history behind the page's curves: a few hundred rows, however long a game is played."""

from __future__ import annotations

import numpy as np


class Windows:
    """Mean losses over windows of equal length: 1 step at first, and twice as many whenever there are too many rows.

    Windows that change from call to call would change the visible noise of a curve, which says nothing of the game.
    """

    def __init__(self, at_most: int = 400):
        self.at_most, self.length = at_most, 1
        self.rows: list[np.ndarray] = []
        self._sum = np.zeros(())
        self._count = 0

    def add(self, losses: np.ndarray) -> None:
        """Append the losses of further steps, `[n, 2, S]`."""
        while len(losses):
            part = losses[: self.length - self._count]
            losses = losses[len(part) :]
            self._sum, self._count = self._sum + part.sum(axis=0), self._count + len(part)
            if self._count == self.length:
                self.rows.append(self._sum / self._count)
                self._sum, self._count = np.zeros(()), 0
                if len(self.rows) == self.at_most:
                    pairs = zip(self.rows[::2], self.rows[1::2], strict=True)
                    self.rows, self.length = [(a + b) / 2 for a, b in pairs], 2 * self.length

    def arrays(self, seed: int) -> dict[str, np.ndarray]:
        """The last step of each window `[n]`; of both losses 10%, median, 90% and the shown seed's `[n, 2, 4]`."""
        rows = np.stack(self.rows) if self.rows else np.zeros((0, 2, 1))
        steps = self.length * np.arange(1, len(rows) + 1)
        return {"curve_steps": steps, "curves": summarised(rows, seed)}


class Measures:
    """Numbers that were measured now and then; every other row is dropped whenever there are too many."""

    def __init__(self, at_most: int = 300):
        self.at_most = at_most
        self.steps: list[int] = []
        self.rows: list[np.ndarray] = []

    def add(self, step: int, numbers: np.ndarray) -> None:
        """Append the numbers of every seed at a step, `[K, S]`; those of the last step again replace it."""
        if self.steps and self.steps[-1] == step:
            self.rows[-1] = numbers
            return
        if len(self.steps) == self.at_most:
            self.steps, self.rows = self.steps[::2], self.rows[::2]
        self.steps.append(step)
        self.rows.append(numbers)

    def arrays(self, seed: int) -> dict[str, np.ndarray]:
        """The steps `[m]`, and the four numbers of each measure, `[m, K, 4]`."""
        rows = np.stack(self.rows) if self.rows else np.zeros((0, 1, 1))
        return {"measure_steps": np.array(self.steps, float), "measures": summarised(rows, seed)}


def summarised(rows: np.ndarray, seed: int) -> np.ndarray:
    """10%, median and 90% over the seeds, and the shown seed's, `[..., S] -> [..., 4]`; NaN counts as infinite.

    Between two seeds the quantiles are interpolated, as in the log of a run.
    """
    ordered = np.sort(rows, axis=-1)  # NaN comes last
    found = []
    for place in (q * (rows.shape[-1] - 1) for q in (0.1, 0.5, 0.9)):
        low, share = int(place), place % 1
        after = ordered[..., min(low + 1, rows.shape[-1] - 1)]
        found.append((1 - share) * ordered[..., low] + share * after if share else ordered[..., low])
    return np.stack([*found, rows[..., min(seed, rows.shape[-1] - 1)]], axis=-1)
