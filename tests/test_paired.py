"""Comparisons seed by seed: intervals, Wilcoxon's test with Holm's correction, how many seeds they need."""

import numpy as np
import pytest
import quality_levels
from scipy import stats

from lab import paired


@pytest.mark.parametrize(("n", "chance"), [(6, 0.96875), (7, 0.984375), (10, 0.978516), (32, 0.979939)])
def test_interval_of_a_median_is_that_of_the_sign_test(n, chance):
    """The chances are 1 - 2 P(B <= k) for B of the binomial distribution (n, 1/2); from k + 1 on it is below 95%."""
    low, high = map(int, paired.interval(np.random.default_rng(0).permutation(n) + 0.0))
    assert high == n - 1 - low
    assert 1 - 2 * stats.binom.cdf(low, n, 0.5) == pytest.approx(chance, abs=1e-6)
    assert 1 - 2 * stats.binom.cdf(low + 1, n, 0.5) < 0.95


def test_interval_of_few_seeds_has_all_of_them():
    assert paired.interval(np.array([3.0, 1.0, 2.0, 7.0, 5.0])) == (1, 7)
    assert paired.interval(np.array([3.0])) == (3, 3)


def test_interval_with_a_seed_that_diverged_has_a_width():
    assert paired.interval(np.array([*range(1, 10), np.inf])) == (2, 9)
    assert paired.interval(np.array([1.0, 2.0, np.inf, np.inf])) == (1.0, np.inf)
    assert paired.interval(np.array([-np.inf, -np.inf, 1.0, 2.0])) == (-np.inf, 2.0)


@pytest.mark.parametrize("order", [("a", "b"), ("b", "a")])
def test_the_winner_is_who_is_ahead_in_the_test_and_not_by_the_median(order):
    """Most seeds tie, and the median of the differences is 0."""
    a = np.zeros(16)
    b = np.where(np.arange(16) < 6, 1.0, 0.0)
    values = {"a": a, "b": b}
    assert paired.better({name: values[name] for name in order}) == {"a": ["b"], "b": []}
    # 26 small differences in favour of b, and 24 large ones in favour of a, whose ranks weigh more
    b = np.concatenate([np.linspace(-0.02, -0.01, 26), np.linspace(1, 2, 24)])
    for ties in (0, 400):  # which have no ranks, and so do not bring the others closer together
        values = {"a": np.zeros(50 + ties), "b": np.append(b, np.zeros(ties))}
        assert paired.better({name: values[name] for name in order}) == {"a": ["b"], "b": []}


def test_a_clear_difference_is_real_and_noise_is_not():
    rng = np.random.default_rng(1)
    base = rng.lognormal(size=32)
    values = {"a": base, "b": base * 1.5, "c": base * rng.lognormal(0, 0.3, 32), "d": base}
    beats = paired.better(values)
    assert "b" in beats["a"] and "b" in beats["d"] and beats["b"] == []
    assert "d" not in beats["a"] and "a" not in beats["d"]


def test_holm_by_hand():
    """Of three pairs the smallest p must be below .05 / 3, the next below .05 / 2, the last below .05."""
    rng = np.random.default_rng(1)  # of its three p-values the middle one is .043: below .05, above .05 / 2
    base = rng.normal(size=32)
    values = {"a": base, "b": base + rng.normal(0.45, 1, 32), "c": base + rng.normal(0.6, 1, 32)}
    names = [("a", "b"), ("a", "c"), ("b", "c")]
    p = {pair: stats.wilcoxon(values[pair[0]], values[pair[1]]).pvalue for pair in names}
    real = set()
    for k, pair in enumerate(sorted(names, key=p.get)):
        if p[pair] > 0.05 / (3 - k):
            break
        real.add(pair)
    found = {tuple(sorted((winner, loser))) for winner, losers in paired.better(values).items() for loser in losers}
    assert found == real and len(real) == 1
    (alone,) = (pair for pair in names if 0.05 / 2 < p[pair] < 0.05)  # the only pair that is asked about
    assert sum(map(len, paired.better(values, [alone]).values())) == 1


@pytest.mark.parametrize(("ranks", "claims"), [((0, 5, 8), 3), ((0, 6, 8), 1)])
def test_holm_raises_the_level_after_a_claim_and_stops_at_the_first_pair_without_one(ranks, claims):
    """Of ten differences the one of rank w alone has the other sign. p is exactly twice the share of the subsets of
    1, ..., 10 whose sum is at most w: 2/1024 (w = 0), 20/1024 = .0195 (5), 28/1024 = .0273 (6), 50/1024 = .0488 (8).
    Only the first p is below .05 / 3, .0195 is below .05 / 2, and .0273 is not.
    """
    size = np.arange(1.0, 11)
    values = {f"worse {w}": np.where(size == w, -size, size) for w in ranks} | {"good": np.zeros(10)}
    beats = paired.better(values, [(f"worse {w}", "good") for w in ranks])
    assert beats["good"] == [f"worse {w}" for w in ranks[:claims]]


def test_pairs_are_compared_on_the_seeds_that_both_have():
    long, short = np.arange(20.0), np.arange(10.0) + 1
    assert paired.better({"long": long, "short": short}) == {"long": ["short"], "short": []}
    assert paired.better({"long": long, "short": short[:5]}) == {"long": [], "short": []}


@pytest.mark.parametrize("pairs", [1, 3, 21])
def test_so_many_seeds_are_needed_for_a_claim(pairs):
    needed = paired.seeds_needed(pairs, 0.05)
    for seeds, enough in ((needed - 1, False), (needed, True)):
        smallest = stats.wilcoxon(np.arange(1.0, seeds + 1)).pvalue  # every seed favours the same one
        assert (smallest <= 0.05 / pairs) == enough


SYMMETRIC = [case for case, law in zip(quality_levels.CASES, quality_levels.IS_SYMMETRIC, strict=True) if law]


@pytest.mark.parametrize("case", SYMMETRIC)
def test_few_claims_where_differences_are_symmetric(case):
    """At most 5%: 40 tables, standard error 3.4%, so that 7 claims are 3.6 standard errors away."""
    assert quality_levels.any_claim(quality_levels.CASES[case], tables=40, seed=4) <= 7 / 40


def test_equal_medians_are_not_enough():
    """Normal against exponential results of equal medians: .142 of 2000 tables; standard error of 150 tables .028."""
    *_, case = quality_levels.CASES
    assert quality_levels.any_claim(quality_levels.CASES[case], tables=150, seed=4) > 0.07


def test_training_that_diverged_ranks_last():
    gone = np.full(12, np.inf)
    assert paired.interval(gone) == (np.inf, np.inf)
    assert paired.better({"good": np.ones(12), "gone": gone}) == {"good": ["gone"], "gone": []}
    assert paired.better({"gone": gone, "as well": gone}) == {"gone": [], "as well": []}
