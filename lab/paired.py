"""Which results over the same seeds are better, and is the difference real? Less is better."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np
from scipy import stats

HUGE = 1e100  # in place of infinity
LEVEL = 0.05  # chance of calling any difference real where all are symmetric about 0


def interval(values: np.ndarray) -> tuple[float, float]:
    """Interval of the median between two of the values, by the sign test; values may be infinite.

    With 6 seeds or more it holds the true median with a chance of at least 95%. (The percentile bootstrap of a median
    of 7 seeds has 87.5%.) With fewer it reaches from the smallest to the largest value: 94% with 5 seeds, 75% with 3.
    """
    low, high = stats.quantile_test(values, p=0.5).confidence_interval(0.95)  # NaN with fewer than 6 seeds
    return float(np.fmax(low, values.min())), float(np.fmin(high, values.max()))


def differences(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """a - b, seed by seed, on the first seeds, which both have; 0 where both are infinite: neither is ahead."""
    n = min(len(a), len(b))
    with np.errstate(invalid="ignore"):  # inf - inf
        found = a[:n] - b[:n]
    return np.where(np.isnan(found), 0.0, found)


def better(
    values: dict[str, np.ndarray], pairs: Sequence[tuple[str, str]] = (), level: float = LEVEL
) -> dict[str, list[str]]:
    """Which others each setting beats: Wilcoxon's signed-rank test seed by seed, Holm's correction over the pairs.

    The null hypothesis of a pair is that the difference of the two settings on a seed is symmetric about 0, as it is
    where their results are exchangeable: swapping the two names on any seed then changes nothing. The chance of any
    claim about pairs of which this is true is at most `level`. It is not the hypothesis of equal medians: settings of
    equal medians whose spread or skew differ are told apart more often (benchmarks/quality_levels.py counts it).

    Args:
        values: of each setting the results `[S]`; a pair is compared on the first seeds, which both have.
        pairs: what is compared; by default every setting with every other one.
        level: the chance of any claim.

    Sources: Wilcoxon 1945; Holm 1979.
    """
    pairs = pairs or list(itertools.combinations(values, 2))
    beats: dict[str, list[str]] = {name: [] for name in values}
    ranked = []
    for a, b in pairs:
        difference = np.clip(differences(values[a], values[b]), -HUGE, HUGE)
        difference = difference[difference != 0]  # as in Wilcoxon 1945
        p = stats.wilcoxon(difference).pvalue if len(difference) else 1.0
        ranks = np.sign(difference) @ stats.rankdata(np.abs(difference))  # W+ minus W-: who is ahead in this test
        ranked.append((p, *((a, b) if ranks < 0 else (b, a))))
    for k, (p, winner, loser) in enumerate(sorted(ranked)):
        if p > level / (len(pairs) - k):
            break
        beats[winner].append(loser)
    return beats


def seeds_needed(pairs: int, level: float) -> int:
    """From how many seeds on the smallest p-value, 2^(1 - seeds), is low enough for a claim about a pair."""
    return 1 + math.ceil(math.log2(pairs / level))
