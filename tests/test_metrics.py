"""Each metric on its own: identity, symmetry or its absence, reproducibility, a closed form, monotone, unequal
sizes, meaning, errors. Expected values are worked by hand or come from SciPy. A random value may differ by 4 standard
errors, and its line says of what; seeds are fixed, so that a test that passes keeps passing.
"""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.spatial.distance import jensenshannon
from scipy.special import logsumexp

import metrics
from lab import targets

NORMAL = stats.norm()
UNIFORM = stats.uniform()
few = settings(max_examples=40, deadline=None, database=None)


def normal(n, mean=0.0, std=1.0, seed=0):
    return np.random.default_rng([seed, 17]).normal(mean, std, n)


# All four compare samples; all but the last also compare with a distribution.
SAMPLE_METRICS = [
    metrics.histogram_kl,
    metrics.wasserstein_1,
    metrics.kolmogorov_smirnov,
    metrics.knn_kl,
]
EXACT_METRICS = SAMPLE_METRICS[:3]


# ---- what every metric of samples must do


@pytest.mark.parametrize("metric", EXACT_METRICS)
def test_identity_of_a_sample_with_itself_is_zero(metric):
    x = normal(500)
    assert metric(x, x) == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("metric", SAMPLE_METRICS)
def test_same_input_gives_the_same_bits_and_leaves_the_input_alone(metric):
    real, fake = normal(400), normal(300, 0.5, seed=1)
    real.flags.writeable = fake.flags.writeable = False
    assert metric(real, fake) == metric(real.copy(), fake.copy())


@pytest.mark.parametrize("metric", SAMPLE_METRICS)
@pytest.mark.parametrize("sizes", [(4000, 1000), (1000, 4000)])
def test_unequal_sizes_still_rank_good_before_bad(metric, sizes):
    real = normal(sizes[0])
    good, bad = metric(real, normal(sizes[1], seed=1)), metric(real, normal(sizes[1], 0.7, seed=1))
    assert good < bad / 2


@pytest.mark.parametrize("metric", SAMPLE_METRICS)
def test_further_away_scores_higher(metric):
    scores = [metric(normal(2000), normal(2000, shift, seed=1)) for shift in (0, 0.5, 1, 2, 3)]
    assert np.diff(scores).min() > 0


BAD_FAKES = {
    "shift": normal(2000, 1, seed=2),
    "collapse to a point": np.full(2000, 0.1),
    "collapse of the spread": normal(2000, 0, 0.2, seed=2),
    "too wide": normal(2000, 0, 2.5, seed=2),
    "half missing": np.abs(normal(2000, seed=2)),
    "far outside": normal(2000, 60, seed=2),
}


@pytest.mark.parametrize("metric", SAMPLE_METRICS)
@pytest.mark.parametrize("bad", BAD_FAKES)
def test_a_bad_fake_shows(metric, bad):
    good = [abs(metric(normal(2000), normal(2000, seed=seed))) for seed in (1, 2, 3)]
    assert metric(normal(2000), BAD_FAKES[bad]) > 4 * max(good)


@pytest.mark.parametrize("metric", EXACT_METRICS)
@pytest.mark.parametrize("bad", BAD_FAKES)
def test_a_bad_fake_shows_against_a_distribution(metric, bad):
    good = [metric(NORMAL, normal(2000, seed=seed)) for seed in (1, 2, 3)]
    assert metric(NORMAL, BAD_FAKES[bad]) > 4 * max(good)


@pytest.mark.parametrize("metric", EXACT_METRICS)
@pytest.mark.parametrize("real", [NORMAL, normal(300)])
def test_leading_axes_of_fake_are_kept_and_equal_one_row_at_a_time(metric, real):
    fake = normal((2, 3, 200), seed=1)
    together = metric(real, fake)
    assert together.shape == (2, 3)
    assert together[1, 2] == metric(real, fake[1, 2])
    assert isinstance(metric(real, fake[0, 0]), float)  # one row gives a number


@pytest.mark.parametrize("metric", EXACT_METRICS)
def test_any_object_with_cdf_and_ppf_is_a_distribution(metric):
    class Ours:
        cdf, ppf = staticmethod(NORMAL.cdf), staticmethod(NORMAL.ppf)

    assert metric(Ours(), normal(200)) == metric(NORMAL, normal(200))


@pytest.mark.parametrize("metric", SAMPLE_METRICS)
def test_bad_samples_are_refused(metric):
    x, nan = normal(50), np.r_[normal(49), np.nan]
    for real, fake in [(x, nan), (nan, x), (x, []), (x, [[0.5], [0.7]]), ([], x)]:
        with pytest.raises(ValueError, match="real|fake|k: got"):
            metric(real, fake)


@pytest.mark.parametrize("metric", EXACT_METRICS)
def test_what_is_no_sample_is_refused_by_name(metric):
    for real, fake, name in [
        (normal((2, 50)), normal(50), "real: got shape"),  # seeds belong to the fake side
        (object(), normal(50), "real: got object"),
        (normal(50), "abc", "fake: got str"),
        (normal(50), 3.0, "fake: got shape"),
        (normal(50), normal((50, 1)), "fake: got shape"),  # [n, 1] is not n seeds
    ]:
        with pytest.raises(ValueError, match=name):
            metric(real, fake)


# ---- edges, counts, masses


def test_edges_are_equal_widths_between_quantiles_of_real():
    np.testing.assert_allclose(metrics.histogram_edges(UNIFORM, bins=4, coverage=1), [0, 0.25, 0.5, 0.75, 1])
    np.testing.assert_allclose(metrics.histogram_edges(UNIFORM, 2, 0.5), [0.25, 0.5, 0.75])
    np.testing.assert_allclose(metrics.histogram_edges(np.arange(101), 2, 0.9), [5, 50, 95])
    edges = metrics.histogram_edges(stats.norm(4, 2))
    assert edges.shape == (41,)
    assert stats.norm(4, 2).cdf(edges[[0, -1]]) == pytest.approx([0.00005, 0.99995], rel=1e-9)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: metrics.histogram_edges(np.ones(50)), "real: got quantiles 1 and 1"),
        (lambda: metrics.histogram_edges([1.0]), "real: got shape"),
        (lambda: metrics.histogram_edges([0, 1, np.inf]), "real: got NaN or infinite"),
        (lambda: metrics.histogram_edges([0, 1, np.nan]), "real: got NaN or infinite"),
        (lambda: metrics.histogram_edges(NORMAL, bins=0), "bins: got 0, expected 1 or more"),
        (lambda: metrics.histogram_edges(NORMAL, coverage=0), "coverage: got 0"),
        (lambda: metrics.histogram_edges(NORMAL, coverage=1.1), "coverage: got 1.1"),
        (lambda: metrics.histogram_edges(NORMAL, coverage=1), "coverage: got 1, .* finite"),
        (lambda: metrics.bin_counts([0, np.nan], [0, 1]), "sample: got NaN"),
        (lambda: metrics.bin_counts([], [0, 1]), "sample: got shape"),
        (lambda: metrics.bin_counts([1], 40), "edges: got shape"),
        (lambda: metrics.bin_counts([1], [1, 0]), "edges: .* increasing"),
        (lambda: metrics.bin_counts([1], [0, np.inf]), "edges: .* finite"),
        (lambda: metrics.bin_masses(NORMAL, [0, 0]), "edges: .* increasing"),
        (lambda: metrics.histogram_kl(NORMAL, normal(50), smoothing=-1), "smoothing: got -1"),
        (lambda: metrics.histogram_kl(NORMAL, normal(50), edges=40), "edges: got shape"),
    ],
)
def test_histogram_errors_name_argument_value_and_what_is_accepted(call, message):
    with pytest.raises(ValueError, match=message) as error:
        call()
    assert "expected" in str(error.value) and "\n" not in str(error.value)


def test_counts_by_hand_with_open_tails_and_closed_right_edges():
    sample = [-np.inf, -1, 0, 0.5, 1, 1.5, 2, 3, np.inf]
    np.testing.assert_array_equal(metrics.bin_counts(sample, [0, 1, 2]), [3, 2, 2, 2])
    np.testing.assert_allclose(metrics.bin_masses(sample, [0, 1, 2]), np.array([3, 2, 2, 2]) / 9)


def test_counts_equal_numpy_histogram_and_lose_nothing():
    sample, edges = normal((3, 2, 500)), np.linspace(-1, 2, 8)
    counts = metrics.bin_counts(sample, edges)
    assert counts.shape == (3, 2, 9)
    assert (counts.sum(axis=-1) == 500).all()
    np.testing.assert_array_equal(counts[2, 1], np.histogram(sample[2, 1], np.r_[-np.inf, edges, np.inf])[0])


def test_masses_of_a_distribution_are_exact_also_at_atoms():
    np.testing.assert_allclose(metrics.bin_masses(UNIFORM, [0.25, 0.5, 2]), [0.25, 0.25, 0.5, 0])
    coin = stats.bernoulli(0.25)  # an atom on an edge belongs left, in counts and in masses
    np.testing.assert_allclose(metrics.bin_masses(coin, [0, 1]), [0.75, 0.25, 0])
    np.testing.assert_allclose(metrics.bin_masses([0, 0, 0, 1], [0, 1]), [0.75, 0.25, 0])


# ---- divergences of masses


def test_kl_divergence_by_hand():
    # 1/2 ln 2 + 1/2 ln 2/3; and 1/4 ln 1/2 + 3/4 ln 3/2: another number, for KL is not symmetric
    assert metrics.kl_divergence([1, 1], [1, 3]) == pytest.approx(np.log(4 / 3) / 2, rel=1e-14)
    assert metrics.kl_divergence([1, 3], [1, 1]) == pytest.approx(0.1308120, abs=1e-7)
    assert metrics.kl_divergence([0.2, 0.8], [20, 80]) == pytest.approx(0, abs=1e-15)


def test_kl_divergence_is_infinite_only_where_q_lacks_what_p_has():
    assert metrics.kl_divergence([1, 1], [1, 0]) == np.inf
    assert metrics.kl_divergence([1, 0], [1, 1]) == pytest.approx(np.log(2), rel=1e-14)


def test_kl_divergence_is_scipy_entropy_along_any_axis():
    rng = np.random.default_rng(3)
    p, q = rng.random((4, 5, 6)), rng.random((4, 5, 6))
    for axis in (0, 1, -1):
        np.testing.assert_allclose(metrics.kl_divergence(p, q, axis), stats.entropy(p, q, axis=axis))
    np.testing.assert_allclose(metrics.kl_divergence(p[0, 0], q)[2, 3], stats.entropy(p[0, 0], q[2, 3]))


def test_jensen_shannon_by_hand_and_its_bounds():
    # m = (3/4, 1/4): KL(p || m) = ln 4/3, KL(q || m) = 1/2 ln 4/3
    assert metrics.jensen_shannon([1, 0], [1, 1]) == pytest.approx(0.75 * np.log(4 / 3), rel=1e-14)
    assert metrics.jensen_shannon([1, 0], [0, 5]) == pytest.approx(np.log(2), rel=1e-14)
    assert metrics.jensen_shannon([1, 2], [1, 2]) == pytest.approx(0, abs=1e-15)


def test_jensen_shannon_is_the_square_of_scipys_and_survives_nearly_equal_masses():
    p, q = np.random.default_rng(4).random((2, 5, 6))
    np.testing.assert_allclose(metrics.jensen_shannon(p, q), jensenshannon(p, q, axis=-1) ** 2)
    np.testing.assert_allclose(metrics.jensen_shannon(p, q, axis=0), jensenshannon(p, q, axis=0) ** 2)
    nearly = metrics.jensen_shannon(p, p * (1 + 1e-9 * q))  # SciPy's root is NaN for some of these
    assert np.abs(nearly).max() < 1e-15


@pytest.mark.parametrize("divergence", [metrics.kl_divergence, metrics.jensen_shannon])
def test_bad_masses_are_refused(divergence):
    for p, q, name in [
        ([1, -1, 2], [1, 1, 1], "p: got negative"),
        ([1, 1, 1], [1, np.nan, 1], "q: got negative"),
        ([0, 0, 0], [1, 1, 1], "p: got"),
        ([1, 1, 1], [1, 1], "q: got 2 masses, expected 3"),
        ([1, 1, 1], [1], "q: got 1 masses, expected 3"),  # must not broadcast
    ]:
        with pytest.raises(ValueError, match=name):
            divergence(p, q)


masses = st.lists(st.floats(0.001, 1000), min_size=5, max_size=5)


@few
@given(masses, masses)
def test_divergences_stay_in_their_bounds(p, q):
    assert metrics.kl_divergence(p, q) >= -1e-12
    assert -1e-12 <= metrics.jensen_shannon(p, q) <= np.log(2)
    assert metrics.jensen_shannon(p, q) == pytest.approx(metrics.jensen_shannon(q, p), abs=1e-12)
    assert metrics.jensen_shannon(p, q) <= (metrics.kl_divergence(p, q) + metrics.kl_divergence(q, p)) / 4 + 1e-12


# ---- histogram KL


FAKE_4, EDGES_3 = [0.1, 0.2, 0.3, 0.9], [0, 0.5, 1]  # counts with tails 0 3 1 0, smoothed (.5 3.5 1.5 .5) / 6


def test_histogram_kl_against_a_distribution_by_hand():
    # exact masses 0 1/2 1/2 0, which are not smoothed: 1/2 ln (1/2 6/3.5) + 1/2 ln (1/2 6/1.5)
    assert metrics.histogram_kl(UNIFORM, FAKE_4, EDGES_3) == pytest.approx(np.log(12 / 7) / 2, rel=1e-12)
    unsmoothed = metrics.histogram_kl(UNIFORM, FAKE_4, EDGES_3, smoothing=0)
    assert unsmoothed == pytest.approx(np.log(4 / 3) / 2, rel=1e-12)
    reverse = metrics.histogram_kl(UNIFORM, FAKE_4, EDGES_3, smoothing=0, reverse=True)
    assert reverse == pytest.approx(0.75 * np.log(1.5) + 0.25 * np.log(0.5), rel=1e-12)
    # exact masses stay unsmoothed: the smoothed fake may be where the real one cannot
    assert metrics.histogram_kl(UNIFORM, FAKE_4, EDGES_3, reverse=True) == np.inf


def test_histogram_kl_of_two_samples_by_hand():
    real = [0.1, 0.2, 0.8, 0.9]  # smoothed (.5 2.5 2.5 .5) / 6
    kl = metrics.histogram_kl(real, FAKE_4, EDGES_3)
    assert kl == pytest.approx(2.5 / 6 * np.log(6.25 / 5.25), rel=1e-12)
    reverse = metrics.histogram_kl(real, FAKE_4, EDGES_3, reverse=True)
    assert reverse == pytest.approx(3.5 / 6 * np.log(7 / 5) + 1.5 / 6 * np.log(3 / 5), rel=1e-12)
    assert metrics.histogram_kl(real, FAKE_4, EDGES_3, smoothing=0) == pytest.approx(np.log(4 / 3) / 2, rel=1e-12)


def test_default_edges_are_those_of_real_alone():
    real, fake = normal(1000), normal(1000, 1, 2, seed=1)
    for side in (real, NORMAL):
        kl = metrics.histogram_kl(side, fake)
        assert kl == metrics.histogram_kl(side, fake, metrics.histogram_edges(side))
        assert kl != metrics.histogram_kl(side, fake, metrics.histogram_edges(fake))


def test_tails_tell_left_from_right():
    # All of fake lies outside the edges: only the tails, 1/4 and 3/4, know on which side it had better lie
    left, right = (metrics.histogram_kl(stats.uniform(-1, 4), [x] * 100, [0, 1e-9]) for x in (-0.5, 2))
    assert right < left


def test_correct_bias_subtracts_kl_bias_and_nothing_else():
    real, fake = normal(700), normal((3, 900), seed=1)
    edges = metrics.histogram_edges(NORMAL)
    for side, bias in ((NORMAL, 41 / 1800), (real, 41 / 2 * (1 / 900 + 1 / 700))):
        plain = metrics.histogram_kl(side, fake, edges)
        np.testing.assert_allclose(plain - metrics.histogram_kl(side, fake, edges, correct_bias=True), bias)


def test_kl_bias_by_hand():
    assert metrics.kl_bias(42, 10_000) == pytest.approx(0.00205, rel=1e-12)
    assert metrics.kl_bias(50, 1000, 1000) == pytest.approx(0.049, rel=1e-12)
    assert metrics.kl_bias(3, 10, 40) == pytest.approx(0.125, rel=1e-12)
    assert metrics.kl_bias(1, 10) == 0
    for arguments, name in [((0, 10), "bins"), ((5, 0), "n_fake"), ((5, 10, 0), "n_real")]:
        with pytest.raises(ValueError, match=f"{name}: got 0, expected 1 or more"):
            metrics.kl_bias(*arguments)


@few
@given(st.integers(0, 10**6), st.booleans(), st.floats(0.01, 5))
def test_histogram_kl_is_not_negative_and_ignores_order(seed, reverse, smoothing):
    rng = np.random.default_rng(seed)
    real, fake = rng.normal(size=80), rng.normal(0.3, 1.5, size=60)
    kl = metrics.histogram_kl(real, fake, smoothing=smoothing, reverse=reverse)
    shuffled = metrics.histogram_kl(rng.permutation(real), rng.permutation(fake), None, smoothing, reverse)
    assert kl >= -1e-12
    assert kl == shuffled


@few
@given(st.integers(0, 10**6), st.floats(0.01, 100), st.sampled_from([-1, 1]), st.floats(-100, 100))
def test_histogram_kl_is_invariant_when_both_sides_change_their_unit(seed, scale, sign, shift):
    rng = np.random.default_rng(seed)
    real, fake = rng.normal(size=200), rng.normal(0.5, 1.2, size=150)
    moved = metrics.histogram_kl(sign * scale * real + shift, sign * scale * fake + shift)
    assert moved == pytest.approx(metrics.histogram_kl(real, fake), rel=1e-9)
    exact = metrics.histogram_kl(NORMAL, fake)
    assert metrics.histogram_kl(stats.norm(shift, scale), scale * fake + shift) == pytest.approx(exact, rel=1e-9)


# ---- the floor


def test_floor_is_reproducible_and_its_numbers_are_ordered():
    masses = metrics.bin_masses(NORMAL, metrics.histogram_edges(NORMAL))
    floor = metrics.kl_floor(masses, 1000)
    assert floor == metrics.kl_floor(masses, 1000) == metrics.kl_floor(8 * masses, 1000)  # 8: no rounding
    assert floor != metrics.kl_floor(masses, 1000, seed=1)
    assert 0 < floor.q10 < floor.mean < floor.q90
    assert all(type(value) is float for value in floor)


def test_floor_falls_with_n_and_rises_with_a_sampled_real_side():
    masses = metrics.bin_masses(NORMAL, metrics.histogram_edges(NORMAL))
    means = [metrics.kl_floor(masses, n, draws=200).mean for n in (100, 1000, 10_000)]
    assert means[0] > 2 * means[1] > 4 * means[2]
    assert metrics.kl_floor(masses, 1000, draws=200, n_real=1000).mean > 1.5 * means[1]


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("n_real", [None, 800])
def test_floor_is_what_histogram_kl_gives_a_perfect_sampler(reverse, n_real):
    rng = np.random.default_rng(5)
    edges = metrics.histogram_edges(NORMAL)
    scores = []
    for _ in range(200):
        real = NORMAL if n_real is None else rng.normal(size=n_real)
        scores.append(metrics.histogram_kl(real, rng.normal(size=500), edges, reverse=reverse))
    scores = np.array(scores)
    floor = metrics.kl_floor(metrics.bin_masses(NORMAL, edges), 500, reverse=reverse, n_real=n_real)
    error = floor.std * np.sqrt(1 / 200 + 1 / 1000)  # both means are sampled
    assert np.mean(scores) == pytest.approx(floor.mean, abs=4 * error)
    assert np.std(scores) == pytest.approx(floor.std, rel=0.3)  # 4 / sqrt(2 x 200), heavier tail
    assert np.mean(scores < floor.q10) == pytest.approx(0.1, abs=4 * np.sqrt(0.09 / 200))
    assert np.mean(scores > floor.q90) == pytest.approx(0.1, abs=4 * np.sqrt(0.09 / 200))


def test_floor_errors():
    for arguments, name in [
        ({"n": 0}, "n: got 0"),
        ({"n": 9, "n_real": 0}, "n_real: got 0"),
        ({"n": 9, "draws": 1}, "draws: got 1"),
        ({"n": 9, "smoothing": -1}, "smoothing: got -1"),
        ({"n": 9, "smoothing": 0}, "smoothing: got 0 and infinite KL"),
    ]:
        with pytest.raises(ValueError, match=name):
            metrics.kl_floor(np.ones(20), **arguments)
    with pytest.raises(ValueError, match="real_masses"):
        metrics.kl_floor([1, -1], 10)


# ---- lost mass


def test_lost_mass_by_hand():
    fake = np.linspace(0, 1, 2001)[1:-1]  # 1999 numbers, evenly in (0, 1); 49 parts of U(0, 1)
    assert metrics.lost_mass(UNIFORM, fake) == 0
    half = np.linspace(0.5, 1, 2001)[1:]  # 50 parts, and of the lower half every part is empty
    assert metrics.lost_mass(UNIFORM, half) == pytest.approx(0.5)
    with_few = np.append(half, np.full(3, 0.25))  # .0015 of the fakes in a part of .02: less than a tenth of it
    assert metrics.lost_mass(UNIFORM, with_few) == pytest.approx(0.5)
    assert metrics.lost_mass(UNIFORM, np.append(half, np.full(9, 0.25))) == pytest.approx(0.48)
    assert metrics.lost_mass(UNIFORM, with_few, least=0.05) == pytest.approx(0.48)


def test_lost_mass_keeps_leading_axes_and_counts_equal_real_values_whole():
    real, fake = np.arange(700) % 7, np.stack([np.arange(7000) % 7, np.arange(7000) % 6])
    assert metrics.lost_mass(real, fake) == pytest.approx([0, 1 / 7])
    assert metrics.lost_mass(np.repeat([0, 1], 50), np.zeros(1000)) == 0.5
    ties = np.concatenate([np.zeros(59), [0.1], np.arange(1, 41)])  # the .6 quantile is .1, alone in its part
    assert metrics.lost_mass(ties, np.delete(ties, 59).repeat(10)) == 0
    assert metrics.lost_mass(np.arange(29), np.zeros(1000)) == metrics.lost_mass(UNIFORM, np.zeros(119)) == 0
    assert metrics.lost_mass(np.arange(30), np.zeros(1000)) == pytest.approx(2 / 3)


def test_lost_mass_of_narrow_fakes_is_the_documented_one():
    quantiles = (np.arange(10_000) + 0.5) / 10_000
    found = [metrics.lost_mass(NORMAL, std * NORMAL.ppf(quantiles)) for std in (0.9, 0.7, 0.5)]
    assert found == pytest.approx([0, 0.04, 0.16])


@pytest.mark.parametrize("n_real", [30, 89, 1000, None])
@pytest.mark.parametrize("law", [NORMAL, stats.expon(), stats.cauchy()])
def test_a_perfect_sampler_loses_no_mass(law, n_real):
    """50 of 50: the chance of a single part in a single run is below 1e-4."""
    rng = np.random.default_rng(0)
    for _ in range(50):
        real = law if n_real is None else law.rvs(size=n_real, random_state=rng)
        assert metrics.lost_mass(real, law.rvs(size=1000, random_state=rng)) == 0


def test_lost_mass_errors():
    with pytest.raises(ValueError, match="least: got 0"):
        metrics.lost_mass(NORMAL, np.arange(99), least=0)
    with pytest.raises(ValueError, match="real: got NaN"):
        metrics.lost_mass([1, np.nan], np.arange(99))


# ---- floors of a sample whose law is unknown


def test_halves_are_disjoint_and_of_equal_size_and_converted_to_the_sizes_asked_for():
    seen = []

    def metric(a, b):
        seen.append((len(a), len(b), len({*a} & {*b})))
        return 1.0

    floor = metrics.halves_floor(metric, np.arange(11.0), n_real=6, n=30, splits=3)
    assert floor == pytest.approx(np.sqrt((1 / 6 + 1 / 30) / (2 / 5))) and seen == [(5, 5, 0)] * 3
    floor = metrics.halves_floor(metric, np.arange(50_000.0), n_real=25_000, n=10_000, splits=1)
    assert floor == pytest.approx(np.sqrt((1 / 25_000 + 1 / 10_000) / (2 / 20_000)))
    assert seen[3:] == [(20_000, 20_000, 0)]  # at most


def test_halves_floor_is_the_mean_over_splits():
    """Of 0, 1, 2, 3 three splits are equally likely: 0 1 | 2 3 has W1 2, 0 2 | 1 3 and 0 3 | 1 2 have 1."""
    floor = metrics.halves_floor(metrics.wasserstein_1, [0, 1, 2, 3], 2, 2, splits=400)
    assert floor == pytest.approx(4 / 3, abs=4 * np.sqrt(2 / 9 / 400))


def test_smoothed_bootstrap_of_numbers_gives_every_gap_the_same_probability():
    draw = metrics.smoothed_bootstrap([10, 0, 0, 0, 1], np.random.default_rng(0))
    sample, error = draw(40_000), 4 * np.sqrt(0.25 / 40_000)
    assert (sample == 0).mean() == pytest.approx(1 / 2, abs=error)  # two gaps of four are between equal numbers
    assert (sample > 1).mean() == pytest.approx(1 / 4, abs=error) and sample.max() <= 10
    assert sample[sample > 1].mean() == pytest.approx(5.5, abs=4 * 9 / np.sqrt(12 * 10_000))


def test_smoothed_bootstrap_of_points_adds_the_noise_of_the_widths():
    points = np.repeat([[0.0, 0], [4, 8], [4, 0], [0, 8]], 2, axis=0) + np.arange(8)[:, None] * [0.01, 0.02]
    sample = metrics.smoothed_bootstrap(points, np.random.default_rng(0))(20_000)
    variance = points.var(axis=0) + metrics.cross_validated_width(points) ** 2
    np.testing.assert_allclose(sample.var(axis=0), variance, rtol=4 * np.sqrt(2 / 20_000))


@pytest.mark.parametrize("d", [1, 2])
def test_cross_validated_width_has_the_best_leave_one_out_likelihood(d):
    points = np.random.default_rng(3).normal(size=(25, d)) ** 3 * np.arange(1, d + 1)
    scott = 25 ** (-1 / (d + 4)) * points.std(axis=0, ddof=1)
    ratio = metrics.cross_validated_width(points) / scott
    assert ratio[0] == pytest.approx(ratio[-1])

    def likelihood(r):
        noise = stats.multivariate_normal(np.zeros(d), np.diag((r * scott) ** 2))
        others = [np.delete(points, i, axis=0) for i in range(25)]
        with np.errstate(divide="ignore"):  # far from all others, the density of a narrow kernel is 0
            return sum(np.log(noise.pdf(points[i] - others[i]).mean()) for i in range(25))

    assert ratio[0] == pytest.approx(max(np.geomspace(0.01, 1.6, 24), key=likelihood))


def test_cross_validated_width_of_many_points_is_chosen_on_a_thousand(monkeypatch):
    monkeypatch.setattr(metrics, "WIDTHS", np.geomspace(0.15, 1.2, 5))  # so that it takes less than a second
    points = np.random.default_rng(2).exponential(size=(27_000, 2))
    ratio = points.std(axis=0, ddof=1) / points[:1000].std(axis=0, ddof=1)
    expected = metrics.cross_validated_width(points[:1000]) * 27 ** (-1 / 6) * ratio  # Scott's exponent: 1 / (d + 4)
    np.testing.assert_allclose(metrics.cross_validated_width(points), expected)


LAWS = {"normal": NORMAL, "exponential": stats.expon(), "Cauchy": stats.cauchy(), "log-normal": stats.lognorm(1)}


@pytest.mark.parametrize("n", [2, 9, 200])
@pytest.mark.parametrize("law", LAWS)
def test_kernel_width_is_the_best_by_brute_force(law, n):
    sample = LAWS[law].rvs(size=n, random_state=np.random.default_rng(n))
    scott = stats.gaussian_kde(sample).factor * sample.std(ddof=1)

    def likelihood(width):
        logs = stats.norm.logpdf(sample, sample[:, None], width) + np.where(np.eye(n), -np.inf, 0)
        return logsumexp(logs, axis=0).mean() - np.log(n - 1)

    best = max(metrics.WIDTHS * scott, key=likelihood)
    assert metrics.kernel_width(sample) == pytest.approx(best)
    assert metrics.kernel_width(1000 - 5 * sample) == pytest.approx(5 * best)  # as the unit


def test_kernel_width_of_many_numbers_is_chosen_on_ten_thousand():
    sample = np.random.default_rng(0).normal(size=40_000)
    expected = metrics.kernel_width(sample[:10_000]) * 4**-0.2 * sample.std(ddof=1) / sample[:10_000].std(ddof=1)
    assert metrics.kernel_width(sample) == pytest.approx(expected)


def test_kernel_width_of_equal_numbers():
    assert metrics.kernel_width([3.0]) == metrics.kernel_width([3, 3, 3]) == metrics.kernel_width([1, 1, 2, 2]) == 0
    assert metrics.kernel_width([1, 1, 2, 2, 3]) > 0.1
    two_far = metrics.kernel_width([0, 1, 1e9])  # less than a cell apart: the width is a cell or more
    assert 1e9 / 4096 < two_far < 1e9


def test_smoothed_scores_leave_out_draws_that_cannot_be_measured():
    """Of 19 equal numbers and another one a half of 5 is often constant, for which there is no histogram."""
    sample = np.append(np.zeros(19), 1)
    scores = metrics.smoothed_scores(metrics.histogram_kl, sample, 5, 100)
    assert 5 < len(scores) < 50 and np.isfinite(scores).all()  # 1 - (18/19)^5 = .24 of 100, +- .04
    with pytest.raises(ValueError, match="no draw from it can be measured: real: got quantiles"):
        metrics.smoothed_scores(metrics.histogram_kl, np.ones(9), 5, 100)
    pairs = metrics.smoothed_scores(lambda real, fake: (len(real), len(fake)), np.arange(9.0), 5, 7, draws=3)
    assert pairs.tolist() == [[5, 7]] * 3
    assert len(metrics.smoothed_scores(lambda real, fake: 0, [1, 2], 400_000, 1)) == 25


def test_floor_of_scores_by_hand():
    assert metrics.floor_of(np.arange(11)) == (5, np.sqrt(11), 1, 9)


@pytest.mark.parametrize(
    "call, words",
    [
        (lambda: metrics.halves_floor(metrics.wasserstein_1, np.arange(9), 0, 5), "n_real: got 0"),
        (lambda: metrics.halves_floor(metrics.wasserstein_1, np.arange(3), 5, 5), "expected 4 or more finite rows"),
        (lambda: metrics.smoothed_scores(metrics.histogram_kl, np.arange(9), 5, 0), "n: got 0"),
        (lambda: metrics.smoothed_bootstrap([1, np.nan], np.random.default_rng(0)), "expected 2 or more finite rows"),
        (lambda: metrics.cross_validated_width(np.arange(9)), "points: got shape"),
        (lambda: metrics.kernel_width([1, np.nan]), "sample: got NaN"),
        (lambda: metrics.kernel_width([]), "sample: got shape"),
        (lambda: metrics.floor_of([1, np.inf]), "scores: got NaN or infinite"),
    ],
)
def test_errors_of_floors_name_the_argument(call, words):
    with pytest.raises(ValueError, match=words):
        call()


# ---- Wasserstein and Kolmogorov-Smirnov


def test_wasserstein_by_hand():
    assert metrics.wasserstein_1([0, 1, 3], [5, 6, 8]) == pytest.approx(5, rel=1e-12)
    assert metrics.wasserstein_1([0, 2], [1, 1, 1]) == pytest.approx(1, rel=1e-12)
    assert metrics.wasserstein_1([0, 1], [0, 0, 0, 1, 1, 1]) == pytest.approx(0, abs=1e-12)
    assert metrics.wasserstein_1(UNIFORM, [0.25, 0.75]) == pytest.approx(0, abs=1e-12)  # its quantiles
    assert metrics.wasserstein_1(UNIFORM, [0.0, 0.0]) == pytest.approx(0.5, rel=1e-12)


def test_wasserstein_of_normals():
    n = 20_000
    fake = normal(n)
    # means 3 apart: W1 = 3, up to the error of fake's mean
    assert metrics.wasserstein_1(stats.norm(3), fake) == pytest.approx(3, abs=4 / np.sqrt(n))
    # standard deviation 2 against 1: E|2 z - z| = sqrt(2 / pi), up to the error of mean |z|, below that of z
    assert metrics.wasserstein_1(stats.norm(0, 2), fake) == pytest.approx(np.sqrt(2 / np.pi), abs=4 / np.sqrt(n))


@pytest.mark.parametrize("n", [7, 50, 100, 200])  # 7 does not divide 200; the others do
def test_wasserstein_is_scipys_for_all_numbers_of_samples(n):
    rng = np.random.default_rng(0)
    real, fake = rng.normal(size=200), rng.gumbel(size=(3, n)).round(1)
    expected = [stats.wasserstein_distance(real, row) for row in fake]
    np.testing.assert_allclose(metrics.wasserstein_1(real, fake), expected, rtol=1e-12)
    assert isinstance(metrics.wasserstein_1(real, fake[0]), float)


@pytest.mark.parametrize("metric", [metrics.wasserstein_1, metrics.kolmogorov_smirnov])
def test_wasserstein_and_kolmogorov_smirnov_are_symmetric(metric):
    a, b = normal(300), normal(200, 0.3, 2, seed=1)
    assert metric(a, b) == pytest.approx(metric(b, a), rel=1e-12)


@pytest.mark.parametrize("metric", [metrics.histogram_kl, metrics.knn_kl])
def test_kl_of_samples_is_not_symmetric(metric):
    a, b = normal(3000), normal(3000, 0, 2, seed=1)
    # In truth .318 and .807; the larger one comes out near .55, for a has no points in the tails of b.
    assert metric(a, b) < metric(b, a) - 0.1


@few
@given(st.integers(0, 10**6), st.floats(0.01, 100), st.floats(-100, 100))
def test_wasserstein_scales_with_the_unit_and_kolmogorov_smirnov_does_not(seed, scale, shift):
    real, fake = np.random.default_rng(seed).normal(size=(2, 50))
    moved = scale * real + shift, scale * fake + shift
    assert metrics.wasserstein_1(*moved) == pytest.approx(scale * metrics.wasserstein_1(real, fake), rel=1e-9)
    assert metrics.kolmogorov_smirnov(*moved) == metrics.kolmogorov_smirnov(real, fake)


def test_wasserstein_refuses_infinite_values():
    for real, fake in [([0, np.inf], [0, 1]), ([0, 1], [0, np.inf])]:
        with pytest.raises(ValueError, match="infinite"):
            metrics.wasserstein_1(real, fake)


def test_kolmogorov_smirnov_by_hand():
    assert metrics.kolmogorov_smirnov([1, 2], [3, 4, 5]) == 1
    assert metrics.kolmogorov_smirnov([1, 2, 3, 4], [1.5, 2.5]) == pytest.approx(0.5, rel=1e-12)
    assert metrics.kolmogorov_smirnov(UNIFORM, [0.5, 0.5]) == pytest.approx(0.5, rel=1e-12)


def test_kolmogorov_smirnov_of_normals():
    n = 20_000  # N(0, 1) against N(1, 1): 2 Phi(1/2) - 1, where the cdf of fake is uncertain by .5 / sqrt(n)
    expected = 2 * NORMAL.cdf(0.5) - 1
    assert metrics.kolmogorov_smirnov(NORMAL, normal(n, 1)) == pytest.approx(expected, abs=2 / np.sqrt(n))


def test_kolmogorov_smirnov_floor_is_the_one_documented():
    rng, n, runs = np.random.default_rng(6), 1000, 200
    scores = metrics.kolmogorov_smirnov(NORMAL, rng.normal(size=(runs, n)))
    error = 0.2603 / np.sqrt(runs)  # of the Kolmogorov distribution: mean sqrt(pi / 2) ln 2 = .8687, deviation .2603
    assert np.mean(scores) * np.sqrt(n) == pytest.approx(0.869, abs=4 * error)


# ---- nearest neighbours


def test_knn_kl_by_hand():
    # k = 1: rho = 1 1 2, nu = 1/2 1/2 5/2, so (2 ln 1/2 + ln 5/4) / 3 + ln(2 / 2)
    kl = metrics.knn_kl([0, 1, 3], [0.5, 5.5], k=1)
    assert kl == pytest.approx((2 * np.log(0.5) + np.log(1.25)) / 3, rel=1e-12)
    # k = 2: rho = 3 2 3, nu = 11/2 9/2 5/2
    kl = metrics.knn_kl([0, 1, 3], [0.5, 5.5], k=2)
    assert kl == pytest.approx(np.log(5.5 / 3 * 4.5 / 2 * 2.5 / 3) / 3, rel=1e-12)
    # d = 2, rho = 5 5, nu = 2 sqrt(13), one fake point: ... + ln(1 / 1)
    kl = metrics.knn_kl([[0, 0], [3, 4]], [[0, 2]], k=1)
    assert kl == pytest.approx(np.log(2 * np.sqrt(13) / 25), rel=1e-12)


def test_knn_kl_takes_columns_as_it_takes_one_axis():
    real, fake = normal(200), normal(150, seed=1)
    assert metrics.knn_kl(real, fake) == metrics.knn_kl(real[:, None], fake[:, None])
    assert metrics.knn_kl(3 * real + 1, 3 * fake + 1) == pytest.approx(metrics.knn_kl(real, fake), abs=1e-9)


def test_knn_kl_of_normals_in_two_dimensions():
    # Shift by 1 along one of 2 axes: KL 1/2; standard error as in one dimension, .016 at n = 10,000
    kl = metrics.knn_kl(normal((4000, 2)), normal((4000, 2), seed=1) + [1, 0])
    assert kl == pytest.approx(0.5, abs=4 * 1.6 / np.sqrt(4000))


def test_knn_kl_refuses_what_has_no_value():
    x = normal(20)
    for real, fake, k, message in [
        (x, x, 1, "k: got 1 and repeated points"),  # each fake point lies on a real one
        (np.ones(20), x, 5, "k: got 5 and repeated points"),
        (x, normal(4), 5, "k: got 5, expected 1 to 4"),
        (normal(5), x, 5, "k: got 5, expected 1 to 4"),
        (x, x, 0, "k: got 0"),
        (normal((20, 2)), x, 5, "fake: got points of dimension 1, expected 2"),
        (normal((20, 2, 2)), x, 5, "real: got shape"),
        (x, np.r_[x, np.inf], 5, "fake: got shape"),
    ]:
        with pytest.raises(ValueError, match=message):
            metrics.knn_kl(real, fake, k)


# ---- closed forms


def test_normal_kl_by_hand():
    assert metrics.normal_kl(0, 1, 1, 1) == pytest.approx(0.5, rel=1e-14)
    assert metrics.normal_kl(0, 1, 0, 2) == pytest.approx(np.log(2) + 1 / 8 - 1 / 2, rel=1e-14)
    assert metrics.normal_kl(0, 2, 0, 1) == pytest.approx(-np.log(2) + 2 - 1 / 2, rel=1e-14)
    assert metrics.normal_kl(4, 1.25, 1, 0.5) == pytest.approx(np.log(0.4) + (1.5625 + 9) / 0.5 - 0.5, rel=1e-14)
    np.testing.assert_allclose(metrics.normal_kl([0, 3], 2, [0, 1], 2), [0, 0.5])
    for arguments, name in [((0, 0, 0, 1), "std_p: got 0"), ((0, 1, 0, -1), "std_q: got -1")]:
        with pytest.raises(ValueError, match=name):
            metrics.normal_kl(*arguments)


def test_optimal_discriminator_by_hand():
    np.testing.assert_allclose(metrics.optimal_discriminator([1, 1, 3, 0], [1, 0, 1, 2]), [0.5, 1, 0.75, 0])
    assert np.isnan(metrics.optimal_discriminator(0, 0))
    assert metrics.optimal_discriminator(0.2, 0.6) == pytest.approx(0.25)
    assert metrics.optimal_discriminator(np.ones((3, 1)), np.ones(2)).shape == (3, 2)
    for p, q in [(-1, 1), (1, np.nan)]:
        with pytest.raises(ValueError, match="p, q: got a negative or NaN"):
            metrics.optimal_discriminator(p, q)


def test_game_value_by_hand():
    assert metrics.game_value(0) == pytest.approx(-1.386294361, abs=1e-9)
    assert metrics.game_value(np.log(2)) == pytest.approx(0, abs=1e-15)
    np.testing.assert_allclose(metrics.game_value([0.1, 0.2]), np.array([0.2, 0.4]) - np.log(4))


# ---- modes of points: PacGAN's protocol


SQUARE = [[0.0, 0], [1, 0], [0, 1], [1, 1]]


def test_mode_coverage_worked_by_hand():
    """Two samples at the first mode, one at the second, one beyond 3 x .1 of everything: p = (2/3, 1/3, 0, 0)."""
    samples = [[0.0, 0.1], [0, -0.2], [1.1, 0.1], [0.5, 0.5]]
    found = metrics.mode_coverage(samples, SQUARE, 0.1)
    assert (found.modes, found.high_quality) == (2, 0.75)
    assert found.reverse_kl == pytest.approx(2 / 3 * np.log(8 / 3) + 1 / 3 * np.log(4 / 3))


@pytest.mark.parametrize("reached", [1, 2, 5, 8])
def test_equal_parts_of_some_modes_have_kl_ln_of_the_ratio(reached):
    ring = targets.ring()
    found = metrics.mode_coverage(np.repeat(ring.centres[:reached], 10, axis=0), ring.centres, ring.std)
    assert (found.modes, found.high_quality) == (reached, 1.0)
    assert found.reverse_kl == pytest.approx(np.log(8 / reached), abs=1e-12)


@pytest.mark.parametrize("target, modes", [(targets.ring(), 8), (targets.grid(), 25)])
def test_perfect_sampler_of_modes_scores_the_known_floor(target, modes):
    """Means over 50 draws of n = 2500 points, of which n' are within 3 standard deviations of their mode.

    That is a share of 1 - exp(-9/2) in the plane; 2 n' times the KL is nearly chi-squared with modes - 1 degrees of
    freedom.
    """
    share = 1 - np.exp(-9 / 2)
    high_quality = share, np.sqrt(share * (1 - share) / 2500)  # mean and standard deviation
    reverse_kl = (modes - 1) / (2 * 2500 * share), np.sqrt(2 * (modes - 1)) / (2 * 2500 * share)
    found = [metrics.mode_coverage(target.draw(2500, np.random.default_rng(k)), *target) for k in range(50)]
    assert {f.modes for f in found} == {modes}
    for (mean, std), values in (
        (high_quality, [f.high_quality for f in found]),
        (reverse_kl, [f.reverse_kl for f in found]),
    ):
        assert np.mean(values) == pytest.approx(mean, abs=5 * std / 50**0.5)


def test_wide_narrow_and_lost_samples_show():
    ring, rng = targets.ring(), np.random.default_rng(0)
    wide, narrow = (ring._replace(std=s).draw(2500, rng) for s in (0.02, 0.002))
    expected = 1 - np.exp(-9 / 8)  # of 2500 points: standard error .0094
    assert metrics.mode_coverage(wide, *ring).high_quality == pytest.approx(expected, abs=0.038)
    assert metrics.mode_coverage(narrow, *ring).high_quality == 1.0
    lost = metrics.mode_coverage(np.zeros((10, 2)), *ring)
    assert lost == (0, 0.0, np.inf)


@pytest.mark.parametrize(
    "arguments, words",
    [
        (([[np.nan, 0.0]], SQUARE, 0.1), "samples"),
        (([[0.0, 0, 0]], SQUARE, 0.1), "centres: got 2 numbers a row, expected 3"),
        (([[0.0, 0]], SQUARE, 0.0), "std: got 0"),
        (([[0.0, 0]], SQUARE, 0.1, -1), "within: got -1"),
    ],
)
def test_bad_arguments_of_mode_coverage_are_named(arguments, words):
    with pytest.raises(ValueError, match=words):
        metrics.mode_coverage(*arguments)


# ---- counts of modes


@pytest.mark.parametrize("reached", [1, 78, 500, 1000])
def test_equal_parts_of_some_triples_have_kl_ln_of_the_ratio(reached):
    counts = np.zeros(1000)
    counts[:reached] = 26
    assert metrics.uniform_kl(counts) == pytest.approx(np.log(1000 / reached), abs=1e-12)
    assert metrics.uniform_kl(3 * counts[::-1]) == pytest.approx(metrics.uniform_kl(counts), abs=1e-12)


def test_expected_modes_are_those_of_draws():
    assert metrics.expected_modes(1, 5) == 1 and metrics.expected_modes(2, 1) == 1
    assert metrics.expected_modes(2, 2) == 1.5  # half of all pairs are equal
    rng = np.random.default_rng(0)
    seen = [np.unique(rng.integers(1000, size=1000)).size for _ in range(400)]
    assert np.mean(seen) == pytest.approx(metrics.expected_modes(1000, 1000), abs=5 * 10 / 400**0.5)


@pytest.mark.parametrize(
    "metric, arguments, words",
    [
        (metrics.uniform_kl, ([[1, 2]],), "counts: got shape"),
        (metrics.uniform_kl, ([1, -1],), "counts"),
        (metrics.uniform_kl, ([1, np.nan],), "counts"),
        (metrics.expected_modes, (0, 5), "modes: got 0"),
    ],
)
def test_bad_counts_are_named(metric, arguments, words):
    with pytest.raises(ValueError, match=words):
        metric(*arguments)


def test_nothing_counted_is_infinitely_far():
    assert metrics.uniform_kl(np.zeros(5)) == np.inf


# ---- the plane


EDGES = ([0.0, 1.0, 2.0], [0.0, 1.0])


def test_plane_counts_by_hand():
    """Cells row by row: x <= 0, (0, 1], (1, 2], > 2, times y <= 0, (0, 1], > 1."""
    points = [[0.0, 0.0], [0.5, 0.5], [0.5, 1.0], [1.5, 7.0], [9.0, -9.0]]
    assert metrics.plane_counts(points, EDGES).tolist() == [1, 0, 0, 0, 2, 0, 0, 0, 1, 1, 0, 0]
    assert metrics.plane_counts([points, points[::-1]], EDGES).shape == (2, 12)


def test_plane_kl_by_hand_and_its_floor():
    """One real and one fake point in different cells of 12: masses 1.5 / 7 and .5 / 7 change places."""
    kl = metrics.plane_kl([[0.5, 0.5]], [[1.5, 0.5]], EDGES)
    assert kl == pytest.approx((1.5 - 0.5) / 7 * np.log(3))
    grid, rng = targets.grid(), np.random.default_rng(0)
    real = grid.draw(20_000, rng)
    edges = [metrics.histogram_edges(column, 20) for column in real.T]
    masses = metrics.plane_counts(real, edges) / len(real)
    floor = metrics.kl_floor(masses, 2500, n_real=len(real), draws=200)
    perfect = [metrics.plane_kl(real, grid.draw(2500, rng), edges) for _ in range(20)]
    assert np.mean(perfect) == pytest.approx(floor.mean, abs=5 * floor.std / 20**0.5)
    lost = grid._replace(centres=grid.centres[:20]).draw(2500, rng)
    assert metrics.plane_kl(real, lost, edges) > floor.mean + 0.5


def test_sliced_wasserstein_of_a_shift_is_two_over_pi_of_it():
    points = np.random.default_rng(0).normal(size=(500, 2))
    found = metrics.sliced_wasserstein(points, points + [0.3, 0.4])
    assert found == pytest.approx(2 * 0.5 / np.pi, rel=2e-3)  # 32 directions: mean of |cos|, to 1e-3
    four = metrics.sliced_wasserstein(points, points + [0.3, 0.4], directions=4)  # at 0, 45, 90 and 135 degrees
    assert four == pytest.approx((0.3 + 0.7 / np.sqrt(2) + 0.4 + 0.1 / np.sqrt(2)) / 4, rel=1e-12)
    assert metrics.sliced_wasserstein(points, points) == 0
    assert metrics.sliced_wasserstein(points, np.stack([points, points + 1])).shape == (2,)


@pytest.mark.parametrize(
    "metric", [lambda p: metrics.plane_counts(p, EDGES), lambda p: metrics.sliced_wasserstein(p, p)]
)
@pytest.mark.parametrize("points", [[[1.0], [2.0]], [[1.0, np.nan], [0.0, 1.0]], [1.0, 2.0], [["a", "b"]]], ids=str)
def test_what_is_no_plane_is_an_error(metric, points):
    with pytest.raises(ValueError, match="got"):
        metric(points)


# ---- summary over seeds


def test_summary_by_hand_is_plain_json():
    result = metrics.summary(np.arange(1, 12, dtype=np.float32)[::-1])
    assert (result["median"], result["q10"], result["q90"], result["failed"]) == (6, 2, 10, 0)
    assert result["per_seed"] == list(range(11, 0, -1))  # in the order of the seeds
    assert json.loads(json.dumps(result, allow_nan=False)) == result
    assert all(type(result[key]) is float for key in ("median", "q10", "q90"))


def test_summary_shows_failed_seeds():
    result = metrics.summary([3, np.nan, 1, np.inf, 2])
    assert result["median"] == 2 and result["failed"] == 2
    assert result["per_seed"] == [3, None, 1, None, 2]
    assert metrics.summary([np.nan])["median"] is None
    json.dumps(result, allow_nan=False)


def test_summary_errors():
    for values in ([], 3.0, np.ones((2, 2))):
        with pytest.raises(ValueError, match="values: got shape"):
            metrics.summary(values)
