"""The score that GAN Lab's divergences give a perfect sampler: benchmarks/ganlab_kl.py, quoted in docs/live.md."""

import ganlab_kl
import numpy as np
import pytest


def test_counted_follows_a_list_from_which_numbers_are_taken():
    for left, rounds in (11_550, 450), (10, 3), (10, 6), (1, 1):
        numbers, points = list(range(2 * left)), 0
        for i in range(rounds):
            taken = numbers[2 * i : 4 * i + 2]
            del numbers[2 * i : 4 * i + 2]
            points += len(taken) >= 2
        assert ganlab_kl.counted(left, rounds) == points
    assert ganlab_kl.counted() == 151


def test_kl_and_js_by_hand(monkeypatch):
    monkeypatch.setattr(ganlab_kl, "SMOOTHING", 1e-12)
    p, q = np.array([1.0, 0.0]), np.array([0.5, 0.5])
    assert ganlab_kl.kl(p, q) == pytest.approx(1)
    assert ganlab_kl.kl(p / 4, q) == pytest.approx(0.25 * np.log2(0.5))  # a quarter of the mass: less than 0
    assert ganlab_kl.js(p, 1 - p) == pytest.approx(1)


@pytest.mark.parametrize("target, kl", [("ring", 0.42), ("line", -0.26)])
def test_a_perfect_sampler_scores_what_the_page_says(target, kl):
    found = ganlab_kl.scores(ganlab_kl.TARGETS[target], resets=300)
    assert found["mass"] == pytest.approx(151 / 450)
    # 4 standard errors, and half a unit of the last digit on the page
    assert found["kl"].mean() == pytest.approx(kl, abs=4 * found["kl"].std() / 300**0.5 + 0.005)
    if target == "ring":
        assert found["kl_full"].mean() == pytest.approx(2.28, abs=0.03)  # standard error .012
