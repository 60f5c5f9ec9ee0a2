"""The study of losses: statistics by hand, cells made once, shared folders, bad input."""

import json
import os
import socket
from dataclasses import replace

import numpy as np
import pytest
import quality_levels
from helpers import one_line
from scipy import stats

from experiments import compare_losses
from lab import cli

FLAGS = ["--targets", "norm", "ring", "--losses", "minimax", "hinge", "--seeds=6", "--steps=20", "--eval-every=20"]
FLAGS += ["--eval-samples=100"]


def run(*flags):
    try:
        compare_losses.main([*FLAGS, *map(str, flags)])
    except SystemExit as stop:
        return stop.code
    return 0


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A finished study of networks that compile soon."""
    home, small = tmp_path_factory.mktemp("study"), {"discriminator_hidden": (8,), "generator_hidden": (8,)}
    with pytest.MonkeyPatch.context() as patch:
        for module in (cli.script("mixture_2d"), cli.script("normal_1d")):
            patch.setitem(module.RECIPES, "stable", replace(module.RECIPES["stable"], **small))
        assert run("--out", home / "cells", "--docs", home / "docs") == 0
        yield home


def test_writes_a_table_a_line_for_each_seed_and_a_figure(finished):
    docs = finished / "docs"
    written = {str(path.relative_to(docs)) for path in docs.rglob("*.*")}
    assert written == {"results/losses.csv", "results/losses.md", "figures/losses.png"}
    lines = (docs / "results/losses.csv").read_text().splitlines()
    assert len(lines) == 1 + 2 * 2 * 6 and lines[0].startswith("target,loss,seed,kl,modes")
    result = json.loads((finished / "cells" / "ring-hinge" / "result.json").read_text())
    (line,) = (line for line in lines if line.startswith("ring,hinge,1,"))
    assert float(line.split(",")[3]) == pytest.approx(result["kl"]["per_seed"][1], rel=1e-5)
    text = (docs / "results/losses.md").read_text()
    assert (
        "`python experiments/compare_losses.py --losses minimax hinge --seeds 6 --steps 20 --eval-every 20 " in text
    )
    assert text.count("| norm |") == 2 and f"{result['kl']['median']:.4f}" in text and "perfect sampler" in text


def test_table_says_when_there_are_too_few_seeds_for_its_pairs():
    config, row = compare_losses.Config(seeds=8), {"complete": None, "high_quality": None, "beats": [], "floor": None}
    row |= {"target": "norm", "loss": "hinge", "median": 1.0, "low": 1.0, "high": 1.0, "q90": 1.0}
    assert "8 seeds give no p-value below 0.0078, and the best of 21 pairs needs 0.0024" in compare_losses.markdown(
        config, [row]
    )
    assert "more seeds" not in compare_losses.markdown(replace(config, seeds=10), [row])


def test_finished_cells_are_not_run_again(finished, monkeypatch, capsys):
    def fail(*_):
        raise AssertionError("trained again")

    monkeypatch.setattr(compare_losses, "play", fail)
    before = (finished / "docs" / "results/losses.csv").read_text()
    assert run("--out", finished / "cells", "--docs", finished / "docs") == 0
    assert (finished / "docs" / "results/losses.csv").read_text() == before


def test_other_settings_in_the_same_folder_are_refused(finished, capsys):
    assert run("--out", finished / "cells", "--docs", finished / "docs", "--seed", 5) == 2
    assert "norm-minimax was made with seed 0, not 5" in one_line(capsys)


def test_cell_claimed_elsewhere_is_left_alone(finished, tmp_path, capsys):
    claim = tmp_path / "norm-minimax.claim"
    claim.write_text("elsewhere, process 1")
    config = replace(compare_losses.Config(), targets=("norm",), losses=("minimax",), out=str(tmp_path), seeds=6)
    assert compare_losses.compare(config) is None
    assert "being trained by elsewhere, process 1" in capsys.readouterr().out and claim.exists()
    assert not (tmp_path / "norm-minimax").exists()


def test_claim_has_one_owner_and_goes_with_the_work(tmp_path):
    path = tmp_path / "a" / "x.claim"
    with compare_losses.claimed(path) as owner:
        assert owner is None and path.exists()
        with compare_losses.claimed(path) as second:
            assert f"process {os.getpid()}" in second
        assert path.exists()
    assert not path.exists()
    with pytest.raises(KeyError), compare_losses.claimed(path):
        raise KeyError
    assert not path.exists()


def test_claim_of_a_dead_process_of_this_machine_is_taken_over(tmp_path):
    path = tmp_path / "x.claim"
    path.write_text(f"{socket.gethostname()}, process {2**22 + 1}")  # above the kernel's largest number
    with compare_losses.claimed(path) as owner:
        assert owner is None
    assert not path.exists()


# ---- statistics


def test_interval_of_a_median_covers_it_as_often_as_it_says():
    """95% of intervals from 32 draws of a log-normal hold its median 1; 60 of them: standard error 2.8%."""
    rng = np.random.default_rng(0)
    hits = [low <= 1 <= high for low, high in (compare_losses.interval(rng.lognormal(size=32)) for _ in range(60))]
    assert np.mean(hits) > 0.85  # 60 intervals: .95 - 3.5 standard errors of .028


def test_a_clear_difference_is_real_and_noise_is_not():
    rng = np.random.default_rng(1)
    base = rng.lognormal(size=32)
    values = {"a": base, "b": base * 1.5, "c": base * rng.lognormal(0, 0.3, 32), "d": base}
    beats = compare_losses.better(values)
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
    found = {
        tuple(sorted((winner, loser))) for winner, losers in compare_losses.better(values).items() for loser in losers
    }
    assert found == real and len(real) == 1


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
    kl = compare_losses.seeds_of({"stopped": "step 3: NaN"}, "kl", 4)
    assert np.isinf(kl).all() and compare_losses.interval(kl) == (np.inf, np.inf)
    values = {"good": np.ones(12), "gone": np.full(12, np.inf)}
    assert compare_losses.better(values) == {"good": ["gone"], "gone": []}


# ---- what users get wrong


@pytest.mark.parametrize(
    "flags, complaint",
    [
        ("--targets moon", "--targets moon: expected ring, grid, spiral, mixture or a continuous distribution"),
        ("--targets gamma", "--targets gamma: expected ring, grid, spiral, mixture or a continuous distribution"),
        ("--targets points.csv", "--targets points.csv: expected ring"),
        ("--losses minimax minimax", "--losses minimax minimax: expected one or more, each once"),
        ("--losses sigmoid", "sigmoid"),
        ("--seeds 5", "--seeds 5: expected at least 6"),
        ("--docs=", "--docs '': expected a folder"),
        ("--out=", "--out '': expected a folder"),
        ("--steps 0", "--steps 0: expected at least 1"),
        ("--eval-samples 5", "--eval-samples 5: expected at least one for each of the 8 modes"),
    ],
)
def test_bad_flag_is_one_line_and_nothing_is_written(flags, complaint, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert run(*flags.split()) == 2
    assert complaint in one_line(capsys) and not list(tmp_path.iterdir())
