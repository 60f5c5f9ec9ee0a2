"""Mode coverage by PacGAN's protocol: worked values, the perfect sampler's floor, collapse, errors."""

import numpy as np
import pytest

import gan_data as data
import metrics

SQUARE = [[0.0, 0], [1, 0], [0, 1], [1, 1]]


def test_worked_by_hand():
    """Two samples at the first mode, one at the second, one beyond 3 x .1 of everything: p = (2/3, 1/3, 0, 0)."""
    samples = [[0.0, 0.1], [0, -0.2], [1.1, 0.1], [0.5, 0.5]]
    found = metrics.mode_coverage(samples, SQUARE, 0.1)
    assert (found.modes, found.high_quality) == (2, 0.75)
    assert found.reverse_kl == pytest.approx(2 / 3 * np.log(8 / 3) + 1 / 3 * np.log(4 / 3))


@pytest.mark.parametrize("reached", [1, 2, 5, 8])
def test_equal_parts_of_some_modes_have_kl_ln_of_the_ratio(reached):
    ring = data.ring()
    found = metrics.mode_coverage(np.repeat(ring.centres[:reached], 10, axis=0), ring.centres, ring.std)
    assert (found.modes, found.high_quality) == (reached, 1.0)
    assert found.reverse_kl == pytest.approx(np.log(8 / reached), abs=1e-12)


@pytest.mark.parametrize(
    "target, modes, high_quality, reverse_kl",
    [(data.ring(), 8, (0.9889, 0.0020), (0.0015, 0.0008)), (data.grid(), 25, (0.9888, 0.0021), (0.0049, 0.0013))],
)
def test_perfect_sampler_scores_the_known_floor(target, modes, high_quality, reverse_kl):
    """Means over 50 draws of 2500 points; reference means and standard deviations computed elsewhere."""
    found = [metrics.mode_coverage(target.draw(2500, np.random.default_rng(k)), *target) for k in range(50)]
    assert {f.modes for f in found} == {modes}
    for (mean, std), values in (
        (high_quality, [f.high_quality for f in found]),
        (reverse_kl, [f.reverse_kl for f in found]),
    ):
        assert np.mean(values) == pytest.approx(mean, abs=5 * std / 50**0.5)


def test_wide_narrow_and_lost_samples_show():
    ring, rng = data.ring(), np.random.default_rng(0)
    wide, narrow = (ring._replace(std=s).draw(2500, rng) for s in (0.02, 0.002))
    assert metrics.mode_coverage(wide, *ring).high_quality == pytest.approx(1 - np.exp(-9 / 8), abs=0.05)
    assert metrics.mode_coverage(narrow, *ring).high_quality == 1.0
    lost = metrics.mode_coverage(np.zeros((10, 2)), *ring)
    assert lost == (0, 0.0, np.inf)


def test_ring_and_grid_are_those_of_the_paper():
    ring, grid = data.ring(), data.grid()
    assert np.unique(ring.centres.round(9), axis=0).shape == (8, 2) and ring.centres[0].tolist() == [1, 0]
    np.testing.assert_allclose(np.linalg.norm(ring.centres, axis=1), 1)
    assert sorted(map(tuple, grid.centres)) == [(x, y) for x in (-4, -2, 0, 2, 4) for y in (-4, -2, 0, 2, 4)]
    spread = grid.draw(100_000, np.random.default_rng(0)).std(axis=0)
    np.testing.assert_allclose(spread, np.sqrt(8 + 0.05**2), rtol=0.01)  # of the centres 8; sampling error .002


@pytest.mark.parametrize(
    "arguments, words",
    [
        (([[np.nan, 0.0]], SQUARE, 0.1), "samples"),
        (([[0.0, 0, 0]], SQUARE, 0.1), "centres: got 2 numbers a row, expected 3"),
        (([[0.0, 0]], SQUARE, 0.0), "std: got 0"),
        (([[0.0, 0]], SQUARE, 0.1, -1), "within: got -1"),
    ],
)
def test_bad_arguments_are_named(arguments, words):
    with pytest.raises(ValueError, match=words):
        metrics.mode_coverage(*arguments)


# ---- tuples of labels


def test_tuples_worked_by_hand():
    """(0, 1) twice, (1, 0) and (2, 2) once, of 9: p = (1/2, 1/4, 1/4), KL = 1/2 ln(9/2) + 1/2 ln(9/4)."""
    counts = metrics.tuple_counts([[0, 1], [2, 2], [0, 1], [1, 0]], classes=3)
    assert counts.tolist() == [0, 2, 0, 1, 0, 0, 0, 0, 1]
    assert metrics.uniform_kl(counts) == pytest.approx(0.5 * np.log(9 / 2) + 0.5 * np.log(9 / 4))
    assert metrics.tuple_counts([[1, 2, 3]]).argmax() == 123  # hundreds, tens, ones
    assert metrics.tuple_counts(np.array([[9, 9, 9]], np.uint8)).argmax() == 999  # no overflow


@pytest.mark.parametrize("reached", [1, 78, 500, 1000])
def test_equal_parts_of_some_triples_have_kl_ln_of_the_ratio(reached):
    counts = np.zeros(1000)
    counts[:reached] = 26
    assert metrics.uniform_kl(counts) == pytest.approx(np.log(1000 / reached), abs=1e-12)
    assert metrics.uniform_kl(3 * counts[::-1]) == pytest.approx(metrics.uniform_kl(counts), abs=1e-12)


def test_perfect_triples_score_the_known_floor():
    """.0194 +- .0009 at 26,000 samples, computed elsewhere; here both by drawing labels and by `kl_floor`."""
    found = [
        metrics.uniform_kl(metrics.tuple_counts(np.random.default_rng(k).integers(10, size=(26_000, 3))))
        for k in range(20)
    ]
    assert np.mean(found) == pytest.approx(0.0194, abs=5 * 0.0009 / 20**0.5)
    floor = metrics.kl_floor(np.ones(1000), 26_000, smoothing=0, reverse=True)
    assert floor.mean == pytest.approx(np.mean(found), abs=5 * 0.0009 / 20**0.5)
    assert floor.std == pytest.approx(0.0009, abs=0.0001)


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
        (metrics.tuple_counts, ([0, 1],), "labels: got shape"),
        (metrics.tuple_counts, ([[0, 10]],), "0 to 10, expected 0 to 9"),
        (metrics.tuple_counts, ([[0.5, 1]],), "whole numbers"),
        (metrics.tuple_counts, ([[0, 0]], 1), "classes: got 1"),
        (metrics.expected_modes, (0, 5), "modes: got 0"),
    ],
)
def test_bad_counts_and_labels_are_named(metric, arguments, words):
    with pytest.raises(ValueError, match=words):
        metric(*arguments)


def test_nothing_counted_is_infinitely_far():
    assert metrics.uniform_kl(np.zeros(5)) == np.inf
