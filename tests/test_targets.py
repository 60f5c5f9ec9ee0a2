"""Real numbers and points: SciPy's distributions, mixtures, ring, grid, spiral, and the user's own files."""

import numpy as np
import pytest
from scipy import stats

import metrics
from lab import draws, files, targets
from lab.files import BadInput


def refused(call, *words):
    """The one line about what cannot be used."""
    with pytest.raises(BadInput) as error:
        call()
    line = str(error.value)
    assert "\n" not in line and all(word in line for word in words), line
    return line


# ---- distributions


def test_mixture_is_the_weighted_sum_of_its_components():
    mixture = targets.distribution("mixture", (1, -1, 0.5, 3, 2, 1))  # weights 1/4, 3/4
    x = np.linspace(-4, 6, 11)
    for method in ("pdf", "cdf"):
        parts = [getattr(stats.norm(m, s), method)(x) for m, s in ((-1, 0.5), (2, 1))]
        assert np.allclose(getattr(mixture, method)(x), 0.25 * parts[0] + 0.75 * parts[1], rtol=1e-12)
    mean, variance = 1.25, 0.25 * 0.25 + 0.75 + 0.25 * 2.25**2 + 0.75 * 0.75**2
    assert (mixture.mean(), mixture.std()) == pytest.approx((mean, np.sqrt(variance)))
    q = np.array([5e-5, 0.2, 0.9, 1 - 5e-5])
    assert np.allclose(mixture.cdf(mixture.ppf(q)), q, rtol=1e-9)


def test_mixture_draws_follow_its_cdf():
    mixture = targets.distribution("mixture", (1, -1, 0.5, 3, 2, 1))
    sample = mixture.rvs(4000, random_state=draws.generator(0, draws.REAL))
    assert stats.kstest(sample, mixture.cdf).pvalue > 1e-4


def test_mixture_has_two_peaks_by_default():
    mixture = targets.distribution("mixture")
    assert (mixture.mean(), mixture.var()) == pytest.approx((0, 4.25), abs=1e-12)


def test_target_takes_scipys_arguments():
    assert targets.distribution("norm", (4, 1.25)).std() == 1.25
    assert targets.distribution("gamma", (2.0, 0.0, 3.0)).mean() == pytest.approx(6)


@pytest.mark.parametrize(
    "target, args, words",
    [
        ("nrom", (), ["--target nrom", "norm, mixture or another continuous distribution of scipy.stats"]),
        ("binom", (3, 0.5), ["--target binom"]),  # not continuous
        ("norm", (1, 2, 3), ["--target-args", "3 numbers for norm, expected [loc [scale]]"]),
        ("gamma", (), ["--target-args", "0 numbers for gamma, expected a [loc [scale]]"]),
        ("norm", (0, -1), ["--target-args 0 -1", "scale above 0"]),
        ("norm", (np.inf, 1), ["--target-args inf 1", "scale above 0"]),
        ("mixture", (1, 0), ["--target-args 1 0", "WEIGHT MEAN STD"]),
        ("mixture", (1, 0, -1), ["--target-args 1 0 -1", "stds above 0"]),
        ("mixture", (0, 0, 1), ["--target-args 0 0 1", "weights and stds above 0"]),
        ("mixture", (np.nan, 0, 1), ["--target-args nan 0 1", "WEIGHT MEAN STD"]),
        ("mixture", (1e308, 0, 1, 1e308, 1, 1), ["--target-args 1e+308 0 1", "WEIGHT MEAN STD"]),
        ("mixture", (1, 0, 1e300), ["--target-args 1 0 1e+300", "expected at most 1e+30; choose another unit"]),
        ("", (), ["--target '': expected norm, mixture or"]),
        ("gamma", (1, np.inf, 1), ["--target-args 1 inf 1: outside the domain of gamma"]),
        ("norm", (0, 1e300), ["--target-args 0 1e+300: numbers up to 3.89e+300 in size, expected at most 1e+30"]),
        ("t", (np.inf,), ["--target-args inf: outside the domain of t"]),
        ("norm", (0, 1e-300), ["numbers that spread over 7.78e-300, expected at least 1e-30"]),
        ("norm", (1e16, 1), ["--target-args 1e+16 1:", "too close for float64"]),
        ("pareto", (0.01,), ["--target-args 0.01:", "too large"]),
        ("studentized_range", (3, 10), ["--target studentized_range: SciPy takes from half a minute to hours"]),
    ],
)
def test_wrong_targets_are_named_with_what_is_accepted(target, args, words):
    refused(lambda: targets.numbers(target, args, None, 100, [0]), *words)


def test_distributions_that_take_minutes_are_refused_before_anything_is_asked_of_them(monkeypatch):
    for name in targets.SLOW:
        monkeypatch.setattr(stats, name, None)
        refused(
            lambda name=name: targets.distribution(name, (1, 2)), f"--target {name}: SciPy takes from half a minute"
        )


@pytest.mark.parametrize("args", [(1e12, 0.001), (0, 1e29), (0, 1e-29)])
def test_scales_within_reach_are_taken(args):
    real = targets.numbers("norm", args, None, 100, [0])
    assert np.isfinite(real.train).all() and np.ptp(real.train) > args[1]


def test_a_new_target_is_one_entry(monkeypatch):
    monkeypatch.setitem(targets.NAMED_TARGETS, "half", lambda args: stats.halfnorm(*args))
    assert targets.numbers("half", (2,), None, 100, [0]).train.min() > 2

    class Dot:
        def draw(self, n, rng):
            return np.ones((n, 2))

    monkeypatch.setitem(targets.PLANE_TARGETS, "dot", Dot)
    real = targets.points("dot", 10, [0, 1])
    assert (real.train == 1).all() and real.train.shape == (2, 2, 10) and real.modes is None


# ---- numbers for every seed


def test_each_seed_has_its_own_draws_and_keeps_them_in_any_company():
    many = targets.numbers("laplace", (), None, 100, [5, 6, 7])
    assert many.train.shape == (3, 100) and len(np.unique(many.train)) == 300
    assert (many.train[1] == targets.numbers("laplace", (), None, 100, [6]).train[0]).all()
    assert many.held_out is None and many.name == "laplace"
    assert not np.isin(many.draw(100, 5), many.train).any()  # new numbers, on which nobody trains
    assert many.density(np.zeros(1)) == pytest.approx(0.5)


def test_a_file_is_split_into_disjoint_halves(tmp_path):
    np.save(tmp_path / "x.npy", np.arange(101.0))
    real = targets.numbers("norm", (), tmp_path / "x.npy", 7, [0, 1])
    assert real.train.shape == (2, 50) and real.held_out == 51
    assert set(real.train[0]).isdisjoint(real.truth) and (real.train[0] == real.train[1]).all()
    assert real.name == "x.npy" and set(real.draw(200, 0)) <= set(real.truth)
    assert set(targets.numbers("norm", (), tmp_path / "x.npy", 7, [1]).truth) != set(real.truth)  # by the first seed
    assert real.density(np.linspace(49, 51, 9)) == pytest.approx(0.01, rel=0.3)  # 1 / 100 of even numbers, smoothed


def test_kernel_density_is_scipys_with_a_cross_validated_width_up_to_its_cells():
    rng, x = np.random.default_rng(0), np.linspace(-4, 6, 300)
    for sample in (rng.normal(size=10_000), rng.exponential(2, 500)):
        width = metrics.kernel_width(sample) / sample.std(ddof=1)
        expected = stats.gaussian_kde(sample, width)(x)
        assert np.abs(targets.kernel_density(sample, x) - expected).max() < 2e-2 * expected.max()


def test_kernel_density_of_two_narrow_peaks_is_as_high_as_they_are():
    sample, x = np.random.default_rng(0).normal(np.repeat([-2, 2], 5000), 0.1), np.linspace(-3, 3, 301)
    sample = np.random.default_rng(1).permutation(sample)
    truth = (stats.norm.pdf(x, -2, 0.1) + stats.norm.pdf(x, 2, 0.1)) / 2
    assert np.abs(targets.kernel_density(sample, x) - truth).max() < 0.1 * truth.max()  # with Scott's width .85


def test_kernel_density_of_equal_numbers_is_one_cell_wide():
    density = targets.kernel_density(np.full(9, 3.0), np.arange(7.0))
    assert density == pytest.approx(stats.norm.pdf(np.arange(7), 3), abs=5e-3)


def test_kernel_density_is_not_widened_by_numbers_beyond_the_picture():
    sample, x = np.random.default_rng(0).normal(size=1000), np.linspace(-4, 4, 200)
    with_tails = np.append(sample, [1e9] * 1000)
    assert targets.kernel_density(with_tails, x) == pytest.approx(targets.kernel_density(sample, x) / 2)
    assert not targets.kernel_density(np.array([1e9]), x).any()
    with pytest.raises(ValueError, match="sample: values are NaN or infinite"):
        targets.kernel_density(np.array([np.nan, 0]), x)


# ---- points in the plane


def test_ring_and_grid_are_those_of_the_paper():
    ring, grid = targets.ring(), targets.grid()
    assert np.unique(ring.centres.round(9), axis=0).shape == (8, 2) and ring.centres[0].tolist() == [1, 0]
    np.testing.assert_allclose(np.linalg.norm(ring.centres, axis=1), 1)
    assert sorted(map(tuple, grid.centres)) == [(x, y) for x in (-4, -2, 0, 2, 4) for y in (-4, -2, 0, 2, 4)]
    spread = grid.draw(100_000, np.random.default_rng(0)).std(axis=0)
    np.testing.assert_allclose(spread, np.sqrt(8 + 0.05**2), rtol=0.01)  # of the centres 8; sampling error .002


def test_spiral_lies_on_two_arms():
    points = targets.Spiral(turns=1.0, std=0.0).draw(1000, np.random.default_rng(0))
    radius, angle = np.hypot(*points.T), np.arctan2(points[:, 1], points[:, 0])
    off = (angle - 2 * np.pi * radius) % np.pi
    np.testing.assert_allclose(np.minimum(off, np.pi - off), 0, atol=1e-9)
    # of the arms' length .252 lies within the radius 1/2, and .02 of the points more or less, as the law is simple
    assert (radius < 0.5).mean() == pytest.approx(0.252, abs=0.02 + 4 * np.sqrt(0.2 / 1000))
    assert radius.max() <= 1 and 0.1 < (np.abs((angle - 2 * np.pi * radius) % (2 * np.pi) - np.pi) < 1).mean() < 0.9


def test_each_seed_has_its_own_points_and_others_are_held_out():
    real = targets.points("ring", 30, [5, 6])
    assert real.train.shape == (2, 2, 30) and real.test.shape == (100_000, 2) and real.name == "ring"
    assert (real.train[1] == targets.points("ring", 30, [6]).train[0]).all()
    assert (real.modes.centres == targets.ring().centres).all() and real.draw(9, 0).shape == (9, 2)
    assert len(np.unique(np.concatenate([*np.moveaxis(real.train, 1, 2), real.test[:30]]), axis=0)) == 90
    assert targets.points("spiral", 30, [5]).modes is None
    as_many = targets.points("ring", 100_000, [0])  # the number of the scripts, and their first seed
    assert not np.isin(as_many.train[0, 0], as_many.test[:, 0]).any()


def test_unknown_target_of_the_plane_is_refused():
    line = refused(lambda: targets.points("sphere", 10, [0]))
    assert line == "--target sphere: expected ring, grid, spiral, or a .npy, .csv or .txt file"


# ---- files


@pytest.mark.parametrize("text", ["value\n1.5\n2\n3e0\n", "1.5,\n2,\n3,\n", "1.5\n\n2\n3\n", '"1.5"\n2\n"3"\n'])
def test_text_files_with_header_commas_blank_lines_or_quotes(tmp_path, text):
    (tmp_path / "x.CSV").write_text(text + "\n".join(["4"] * 20))
    assert targets.read_numbers(tmp_path / "x.CSV")[:4].tolist() == [1.5, 2, 3, 4]


@pytest.mark.parametrize("name, text", [("p.csv", "x,y\n1,2\n"), ("p.txt", "1 2\n"), ("p.csv", "1;2;\n")])
def test_points_from_text(tmp_path, name, text):
    (tmp_path / name).write_text(text + "".join(f"{k}, {-k}\n" for k in range(50)))
    points = targets.read_points(tmp_path / name)
    assert points.shape == (51, 2) and points[0].tolist() == [1, 2] and points[-1].tolist() == [49, -49]
    held = targets.points(str(tmp_path / name), 7, [3, 4])
    assert held.train.shape == (2, 2, 25) and held.test.shape == (26, 2) and held.modes is None
    both = np.concatenate([held.train[0].T, held.test])
    assert sorted(map(tuple, both)) == sorted(map(tuple, points))  # each point once, on one side
    assert (held.train[0] == held.train[1]).all() and held.draw(9, 0).shape == (9, 2)
    assert set(map(tuple, held.draw(100, 0))) <= set(map(tuple, held.test))
    other = targets.points(str(tmp_path / name), 7, [4])
    assert set(map(tuple, other.test)) != set(map(tuple, held.test))  # the first seed chooses the halves
    assert held.name == name


@pytest.mark.parametrize("array", [np.arange(30), np.arange(30.0)[:, None], np.arange(30, dtype="f4"), np.eye(30)[0]])
def test_numbers_of_any_type_become_one_column_of_float64(array, tmp_path):
    np.save(tmp_path / "x.npy", array)
    numbers = targets.read_numbers(tmp_path / "x.npy")
    assert numbers.dtype == np.float64 and (numbers == array.ravel()).all()


def test_a_file_is_read_once_and_again_when_it_changes(tmp_path, monkeypatch):
    path, parsed = tmp_path / "x.csv", []
    rows = files.read_rows
    monkeypatch.setattr(files, "read_rows", lambda path: parsed.append(path) or rows(path))
    path.write_text("\n".join(map(str, range(20))))
    first = targets.read_numbers(path)
    assert (targets.read_numbers(path) == first).all() and len(parsed) == 1
    assert not first.flags.writeable  # all readers share it
    path.write_text("\n".join(map(str, range(21))))
    assert len(targets.read_numbers(path)) == 21 and len(parsed) == 2


def test_relative_paths_are_not_confused_between_folders(tmp_path, monkeypatch):
    for k in range(2):
        folder = tmp_path / str(k)
        folder.mkdir()
        np.save(folder / "x.npy", k + np.arange(20.0))
        monkeypatch.chdir(folder)
        assert targets.read_numbers("x.npy")[0] == k


def test_a_row_of_numbers_is_no_column(tmp_path):
    (tmp_path / "row.csv").write_text(",".join(map(str, range(50))) + "\n")
    with pytest.raises(ValueError, match="50 columns; expected one column of numbers"):
        targets.read_numbers(tmp_path / "row.csv")


@pytest.mark.parametrize(
    "name, text, complaint",
    [
        ("empty.csv", "", "0 numbers, expected at least 20"),
        ("words.txt", "one\ntwo\nthree", "line 2: 'two' is not a number"),
        ("nan.csv", "nan\n" + "1\n2\n" * 20, "1 values are NaN"),
        ("constant.txt", "5\n" * 30, "constant: all its values are 5"),
        ("few.csv", "1\n2\n3\n", "3 numbers, expected at least 20"),
        ("columns.csv", "1,2\n" * 30, "2 columns"),
        ("numbers.dat", "1\n2\n" * 30, "not a .npy, .csv or .txt file"),
        ("header.csv", "value\n", "0 numbers, expected at least 20"),
        ("large.csv", "1e300\n2\n" * 30, "numbers up to 1e+300 in size, expected at most 1e+30; choose another unit"),
        ("infinite.csv", "1e400\n2\n" * 30, "30 values are NaN or infinite"),
        ("small.csv", "1e-300\n2e-300\n" * 30, "numbers that spread over 1e-300, expected at least 1e-30"),
        ("underscore.csv", "1_000\n" + "1\n2\n" * 30, "line 1: '1_000' is not a number"),
    ],
)
def test_bad_file_of_numbers_is_named_with_its_fault(name, text, complaint, tmp_path):
    (tmp_path / name).write_text(text)
    line = refused(lambda: targets.numbers("norm", (), tmp_path / name, 7, [0]), complaint, "; expected one column")
    assert line.startswith(f"--data {tmp_path / name}: ")


@pytest.mark.parametrize(
    "array, complaint",
    [
        (np.ones((30, 2)), "2 columns"),
        (np.array([None, "a"], object), "holds Python objects, not numbers"),
        (np.array([]), "0 numbers"),
        (np.full(30, 1j), "complex128"),
        (np.array(["a"] * 30), "texts, and no numbers"),
        (np.array(3.0), "1 numbers"),
    ],
)
def test_bad_npy_is_named_with_its_fault(array, complaint, tmp_path):
    np.save(tmp_path / "x.npy", array, allow_pickle=True)
    refused(lambda: targets.read_numbers(tmp_path / "x.npy"), f"--data {tmp_path / 'x.npy'}: ", complaint)


def test_what_is_no_npy_is_named(tmp_path):
    np.savez(tmp_path / "x.npz", np.arange(30))
    (tmp_path / "x.npz").rename(tmp_path / "x.npy")
    (tmp_path / "empty.npy").touch()
    for name in ("x.npy", "empty.npy"):
        refused(lambda name=name: targets.read_numbers(tmp_path / name), name)


@pytest.mark.parametrize("reader, flag", [(targets.read_numbers, "--data"), (targets.read_points, "--target")])
def test_missing_file(reader, flag, tmp_path):
    refused(lambda: reader(tmp_path / "none.csv"), f"{flag} {tmp_path / 'none.csv'}: no such file or directory")
    refused(lambda: reader(""), f"{flag} '': not a .npy, .csv or .txt file; expected")


def test_empty_names_are_no_default():
    refused(lambda: targets.numbers("norm", (), "", 100, [0]), "--data '': not a .npy, .csv or .txt file")
    refused(lambda: targets.points("", 100, [0]), "--target '': expected ring, grid, spiral, or a .npy")


def test_a_byte_order_mark_costs_no_number(tmp_path):
    (tmp_path / "x.csv").write_text("".join(f"{k}\r\n" for k in range(30)), encoding="utf-8-sig", newline="")
    assert targets.read_numbers(tmp_path / "x.csv").tolist() == list(range(30))


def test_the_suffix_is_that_of_the_name_and_not_of_what_it_links_to(tmp_path):
    (tmp_path / "5d41402abc").write_text("1\n2\n" * 20)
    (tmp_path / "x.csv").symlink_to(tmp_path / "5d41402abc")
    assert len(targets.read_numbers(tmp_path / "x.csv")) == 40


HALVES = {
    "one of many": np.r_[np.full(999, 5.0), 7],
    "a few of very many": np.r_[np.full(200_000, 5.0), 7, 8, 9],
    "one unit in the last place": np.tile([1e6, np.nextafter(1e6, 2e6)], 50),
}


@pytest.mark.parametrize("name", HALVES)
def test_numbers_that_no_histogram_tells_apart_are_refused(name, tmp_path):
    np.save(tmp_path / "x.npy", HALVES[name])
    line = refused(lambda: targets.numbers("norm", (), tmp_path / "x.npy", 7, [0]), "equal, or too close for float64")
    assert line.startswith(f"--data {tmp_path / 'x.npy'}: ")
    np.save(tmp_path / "p.npy", np.stack([HALVES[name], HALVES[name]], axis=1))
    refused(lambda: targets.points(str(tmp_path / "p.npy"), 7, [0]), f"--target {tmp_path / 'p.npy'}: ", "too close")


def test_mostly_equal_numbers_are_taken_while_a_histogram_shows_the_others(tmp_path):
    np.save(tmp_path / "x.npy", np.r_[np.full(990, 5.0), np.arange(10)])
    real = targets.numbers("norm", (), tmp_path / "x.npy", 7, [0])
    assert np.ptp(real.train) > 0 and np.ptp(real.truth) > 0


BEYOND_INT64 = np.arange(2**63, 2**63 + 10**6, 10**4, dtype=np.uint64)


@pytest.mark.parametrize("array", [BEYOND_INT64, 1e12 + 1e-3 * np.arange(99)])
def test_large_numbers_that_differ_are_taken(array, tmp_path):
    np.save(tmp_path / "x.npy", array)
    assert (targets.read_numbers(tmp_path / "x.npy") == array.astype(float)).all()


@pytest.mark.parametrize(
    "name, text, complaint",
    [
        ("p.csv", "1\n" * 50, "1 column;"),
        ("p.csv", "1,2,3\n" * 50, "3 columns;"),
        ("p.csv", "1,2\n" * 20 + "1,nan\n" * 20, "20 values are NaN"),
        ("p.csv", "1,2\n3,4\n", "2 points, expected at least 40"),
        ("p.csv", "1,2\n" * 30 + "1,2,3\n" * 30, "rows of 2 and of 3 numbers"),
        ("p.txt", "1 5\n2 5\n" * 30, "a column is constant"),
        ("p.csv", "x,y\n" + "a,b\n" * 50, "line 2: 'a' is not a number"),
        ("p.csv", "", "1 column"),
        ("p.json", "[]", "not a .npy, .csv or .txt file"),
        ("p.csv", "1e-16,1e-16\n2e-16,2e-16\n" * 30, "numbers that spread over 1e-16, expected at least 1e-15"),
        (
            "p.csv",
            "1,1e20\n2,2e20\n" * 30,
            "columns that spread over 1 and 1e+20, expected a ratio of at",
        ),
    ],
)
def test_bad_point_file_is_named_with_its_fault(tmp_path, name, text, complaint):
    (tmp_path / name).write_text(text)
    line = refused(lambda: targets.points(str(tmp_path / name), 7, [0]), complaint, "expected two columns of numbers")
    assert line.startswith(f"--target {tmp_path / name}: ")


@pytest.mark.parametrize("columns", [1, 2])
def test_the_fingerprint_of_a_file_sees_every_number_and_a_law_has_none(columns, tmp_path):
    """By it a resumed run notices that a file has changed."""
    prints = set()
    for changed in (None, *range(40)):
        rows = np.arange(40.0 * columns).reshape(40, columns)
        if changed is not None:
            rows[changed, -1] += 0.5
        path = tmp_path / f"{changed}.npy"
        np.save(path, rows)
        real = targets.numbers("", (), path, 7, [0]) if columns == 1 else targets.points(str(path), 7, [0])
        prints.add(real.fingerprint)
    assert len(prints) == 41 and None not in prints
    assert targets.numbers("norm", (), None, 7, [0]).fingerprint is targets.points("ring", 7, [0]).fingerprint is None


# ---- noise on samples


def test_noise_on_few_samples_has_the_stated_standard_deviation_and_is_each_seed_s_own():
    samples = np.stack([np.arange(100.0), 5 * np.arange(100.0)])
    noisy = targets.jittered(samples, 0.5, seeds=[3, 4])
    assert noisy.shape == (2, targets.COPIES * 100)
    moved = (noisy - np.tile(samples, targets.COPIES)) / samples.std(axis=1, keepdims=True)
    # .5 exp(-100 / 250) = .335; the standard error of the std of 1600 normal numbers is 1.8% of it
    assert moved.std(axis=1) == pytest.approx(0.5 * np.exp(-0.4), rel=4 * 0.018)
    assert abs(np.corrcoef(moved)[0, 1]) < 4 / np.sqrt(1600)
    assert (targets.jittered(samples[1:], 0.5, seeds=[4]) == noisy[1:]).all()


@pytest.mark.parametrize(("strength", "n"), [(0.0, 100), (0.5, 2000)])
def test_samples_stay_as_they_are_without_noise_and_where_there_are_many(strength, n):
    samples = np.arange(2.0 * n).reshape(2, n)
    assert targets.jittered(samples, strength, seeds=[0, 1]) is samples
    assert targets.copies(strength, n) == 1
