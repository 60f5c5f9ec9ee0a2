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
    grid, rng = data.grid(), np.random.default_rng(0)
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
    assert metrics.sliced_wasserstein(points, points) == 0
    assert metrics.sliced_wasserstein(points, np.stack([points, points + 1])).shape == (2,)


@pytest.mark.parametrize(
    "metric", [lambda p: metrics.plane_counts(p, EDGES), lambda p: metrics.sliced_wasserstein(p, p)]
)
@pytest.mark.parametrize("points", [[[1.0], [2.0]], [[1.0, np.nan], [0.0, 1.0]], [1.0, 2.0], [["a", "b"]]], ids=str)
def test_what_is_no_plane_is_an_error(metric, points):
    with pytest.raises(ValueError, match="got"):
        metric(points)


def test_spiral_lies_on_two_arms():
    points = data.Spiral(turns=1.0, std=0.0).draw(1000, np.random.default_rng(0))
    radius, angle = np.hypot(*points.T), np.arctan2(points[:, 1], points[:, 0])
    off = (angle - 2 * np.pi * radius) % np.pi
    np.testing.assert_allclose(np.minimum(off, np.pi - off), 0, atol=1e-9)
    assert radius.max() <= 1 and 0.1 < (np.abs((angle - 2 * np.pi * radius) % (2 * np.pi) - np.pi) < 1).mean() < 0.9


def test_latent_lattice_cells_have_equal_probability():
    from scipy.stats import norm

    z = data.latent_lattice("normal", 3, 4, 2)
    assert z.shape == (3, 49) and (z[2] == 0).all()
    steps = np.diff(norm.cdf(z[0].reshape(7, 7)), axis=1)
    np.testing.assert_allclose(steps, 0.99 / 6)
    assert np.abs(data.latent_lattice("uniform", 2, 4, 2)).max() == pytest.approx(0.99)


# ---- points from files


@pytest.mark.parametrize("name, text", [("p.csv", "x,y\n1,2\n"), ("p.txt", "1 2\n"), ("p.csv", "1;2;\n")])
def test_points_from_text(tmp_path, name, text):
    (tmp_path / name).write_text(text + "".join(f"{k}, {-k}\n" for k in range(50)))
    points = data.read_points(tmp_path / name)
    assert points.shape == (51, 2) and points[0].tolist() == [1, 2] and points[-1].tolist() == [49, -49]
    held = data.plane_data(str(tmp_path / name), 7, [3, 4])
    assert held.train.shape == (2, 2, 25) and held.test.shape == (26, 2) and held.modes is None
    both = np.concatenate([held.train[0].T, held.test])
    assert sorted(map(tuple, both)) == sorted(map(tuple, points))  # each point once, on one side
    assert (held.train[0] == held.train[1]).all() and held.draw(9, 0).shape == (9, 2)


def test_a_row_of_numbers_is_no_column(tmp_path):
    (tmp_path / "row.csv").write_text(",".join(map(str, range(50))) + "\n")
    with pytest.raises(ValueError, match="50 columns; expected one column of numbers"):
        data.read_numbers(tmp_path / "row.csv")


@pytest.mark.parametrize(
    "name, text, complaint",
    [
        ("p.csv", "1\n" * 50, "1 column;"),
        ("p.csv", "1,2,3\n" * 50, "3 columns;"),
        ("p.csv", "1,2\n" * 20 + "1,nan\n" * 20, "20 values are NaN"),
        ("p.csv", "1,2\n3,4\n", "2 points, expected at least 40"),
        ("p.csv", "1,2\n" * 30 + "1,2,3\n" * 30, "rows of 2 and of 3 numbers"),
        ("p.txt", "1 5\n2 5\n" * 30, "a column is constant"),
        ("p.csv", "x,y\n" + "a,b\n" * 50, "could not convert"),
        ("p.csv", "", "1 column"),
        ("p.json", "[]", "expected a .npy, .csv or .txt file"),
    ],
)
def test_bad_point_file_is_named_with_its_fault(tmp_path, name, text, complaint):
    (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=complaint) as error:
        data.read_points(tmp_path / name)
    assert str(tmp_path / name) in str(error.value) and "expected two columns" in str(error.value)


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
