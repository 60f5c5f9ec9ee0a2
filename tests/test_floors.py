"""Do the floors of a file hold? Files of known laws are simulated, and perfect samplers of these laws are asked."""

import numpy as np
import pytest
import quality_floors

import metrics
from experiments import mixture_2d, normal_1d
from lab import targets


@pytest.mark.parametrize(
    "laws, law, held_out, files",
    [
        (quality_floors.LINE, "normal", 50, 10),
        (quality_floors.LINE, "exponential", 89, 12),
        (quality_floors.LINE, "Gumbel", 1000, 6),
        (quality_floors.PLANE, "normal", 89, 12),
    ],
)
def test_the_floors_of_files_are_what_perfect_samplers_get(laws, law, held_out, files):
    """Within 10%, as is promised, and three standard errors of a simulation that takes a second."""
    rows = quality_floors.compared(laws[law], held_out, files, samplers=150)
    for name, row in rows.items():
        assert row.error < 0.08, (name, row)
        assert abs(row.ratio - 1) < 0.1 + 3 * row.error, (name, row)


def test_a_floor_beside_the_truth_worked_by_hand(monkeypatch):
    """Perfect samplers score 1 and 3, two files state 3 and 5: the relative errors are 1/2 and 1/4."""
    scores, stated = iter([1.0, 3.0]), iter([3.0, 5.0])
    monkeypatch.setattr(quality_floors, "line_scores", lambda held_out, fakes: {"kl": next(scores)})
    monkeypatch.setattr(quality_floors, "floors", lambda file, n: {"kl": next(stated)})
    (row,) = quality_floors.compared(quality_floors.LINE["normal"], 50, files=2, samplers=2).values()
    assert row == pytest.approx((2, 2, 2 * np.hypot(1 / 2, 1 / 4), np.sqrt(2) / 2))


def test_floors_of_a_law_are_means_of_perfect_samplers(monkeypatch):
    """Of twenty different ones on the line, of five times twenty in the plane; they share no number."""
    seen = []

    def scores(real, perfect, *settings):
        seen.append(perfect)
        return np.arange(20.0)

    for name in ("wasserstein_1", "plane_kl", "sliced_wasserstein"):
        monkeypatch.setattr(metrics, name, scores)
    masses = np.full(42, 1 / 42)
    assert normal_1d.floors(targets.numbers("norm", (), None, 10, [0]), 50, masses)["wasserstein_floor"] == 9.5
    plane = mixture_2d.floors(targets.points("spiral", 10, [0]), 50)
    assert plane == {"kl": 9.5, "sliced_wasserstein": 9.5}
    line, *parts = seen  # of the plane, each part is seen by both metrics
    assert len(np.unique(line)) == 20 * 50 and len(np.unique(np.concatenate(parts))) == 100 * 50 * 2
    assert [len(np.unique(part)) for part in parts] == [20 * 50 * 2] * 10


@pytest.mark.parametrize(
    "numbers", [np.arange(4.0), np.arange(20.0) % 2, np.append(np.zeros(18), [1, 2]), np.arange(99.0) % 7]
)
def test_floors_of_few_and_of_equal_numbers_are_finite(numbers):
    floors = quality_floors.floors(np.random.default_rng(0).permutation(numbers), 200)
    assert floors.pop("lost_mass") == 0
    assert all(np.isfinite(value) and value > 0 for value in floors.values())


@pytest.mark.parametrize("x", [np.arange(4.0), np.arange(40.0) % 5])
def test_floors_of_few_points_and_of_points_on_a_line_are_finite(x):
    floors = quality_floors.floors(np.stack([x, 2 * x], axis=1), 200)
    assert all(np.isfinite(value) and value > 0 for value in floors.values())


def test_the_floor_does_not_depend_on_which_half_is_held_out():
    """The old floor resampled the half that judges; the law is that of both."""
    numbers = np.random.default_rng(0).normal(size=100)
    real = targets.RealNumbers(numbers[None, :50], numbers[50:], "x")
    assert (np.sort(real.pooled) == np.sort(numbers)).all()
    swapped = real._replace(train=real.truth[None], truth=real.train[0])
    one, other = (normal_1d.floors(r, 500, np.ones(42))["kl_floor"] for r in (real, swapped))
    assert one == other
    points = np.random.default_rng(0).normal(size=(100, 2))
    plane = targets.RealPoints(points[None, :50].swapaxes(1, 2), points[50:], None, "x")
    assert (plane.pooled == points).all() and set(mixture_2d.floors(plane, 500)) == {"kl", "sliced_wasserstein"}


def test_a_file_of_few_numbers_says_that_its_floor_is_wide():
    assert targets.imprecise_floor(49) == "; the floor is imprecise: 49 are held out, and it takes at least 50"
    assert targets.imprecise_floor(50) == targets.imprecise_floor(None) == ""
