"""The GAN of two numbers against published and exact values."""

import json
import subprocess
import sys

import numpy as np
import pytest

from experiments import dirac_gan
from experiments.dirac_gan import Config, jacobian, measured_contraction, predicted_contraction, trajectories

REFERENCE = [  # distance to the equilibrium after 500 steps of .2, computed elsewhere in float64
    ("minimax", 0.0, 3.0969487, 1.4210189),
    ("non_saturating", 0.0, 0.64020708, 0.28392342),
    ("minimax", 0.3, 2.6426563e-06, 2.3009128e-07),
    ("minimax", 1.0, 9.5287154e-22, 7.4812361e-17),
]


@pytest.mark.parametrize(("loss", "penalty", "simultaneous", "alternating"), REFERENCE)
def test_distances_are_those_of_the_reference(loss, penalty, simultaneous, alternating):
    config = Config(penalties=(penalty,))
    for order, expected in (("simultaneous", simultaneous), ("alternating", alternating)):
        distance = np.linalg.norm(trajectories(config, loss, order)[-1, 0])
        assert distance == pytest.approx(expected, rel=1e-6)


def test_two_steps_worked_by_hand():
    """Wasserstein: both forces are linear, (psi, -theta - g psi); h = 1/2, g = 1, from (1, -1)."""
    config = Config(penalties=(1.0,), steps=2, learning_rate=0.5)
    together = trajectories(config, "wasserstein", "simultaneous")[:, 0]
    assert together.tolist() == [[1, -1], [0.5, -1], [0, -0.75]]
    in_turn = trajectories(config, "wasserstein", "alternating")[:, 0]
    assert in_turn.tolist() == [[1, -1], [0.5, -0.75], [0.125, -0.4375]]


@pytest.mark.parametrize("penalty", [0.0, 0.3, 1.5, 4.0])
@pytest.mark.parametrize("loss", ["minimax", "non_saturating", "relativistic_paired"])
def test_eigenvalues_of_log_losses_are_those_of_theory(loss, penalty):
    root = np.sqrt(complex(penalty**2 / 4 - 1 / 4))
    expected = np.sort_complex([-penalty / 2 - root, -penalty / 2 + root])
    np.testing.assert_allclose(np.sort_complex(np.linalg.eigvals(jacobian(loss, penalty))), expected, atol=1e-6)


def test_least_squares_without_a_bias_give_d_no_force_at_the_equilibrium():
    np.testing.assert_allclose(jacobian("least_squares", 0.0), [[0, 1], [0, 0]], atol=1e-6)


@pytest.mark.parametrize("order", dirac_gan.ORDERS)
@pytest.mark.parametrize("loss", ["minimax", "non_saturating", "wasserstein", "relativistic_average"])
def test_measured_contraction_is_the_predicted_one(loss, order):
    """Penalty 4: no rotation, so that the slow eigenvalue alone is left after some steps."""
    path = trajectories(Config(penalties=(4.0,)), loss, order)[:, 0]
    expected = predicted_contraction(jacobian(loss, 4.0), 0.2, order)
    assert expected < 1 and measured_contraction(path) == pytest.approx(expected, abs=1e-4)


def test_alternating_moves_g_first():
    j = np.array([[0.0, 2.0], [-3.0, -1.0]])
    product = np.array([[1, 0], [-0.3, 0.9]]) @ np.array([[1, 0.2], [0, 1]])
    expected = np.abs(np.linalg.eigvals(product)).max()
    assert predicted_contraction(j, 0.1, "alternating") == pytest.approx(expected)
    assert predicted_contraction(j, 0.1, "simultaneous") == pytest.approx(np.sqrt(0.9 + 0.06))


def test_what_flies_apart_or_arrives_is_not_a_number():
    assert measured_contraction(np.array([[1.0, 1], [2, 2], [np.inf, 0], [np.nan, 0], [0, 0]])) is None
    assert measured_contraction(np.zeros((8, 2))) is None


def test_fresh_process_writes_table_and_figure(tmp_path):
    flags = ["--steps=20", "--losses", "minimax", "hinge", "--out", "run"]
    done = subprocess.run([sys.executable, dirac_gan.__file__, *flags], cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    assert (result["experiment"], result["steps"], len(result["games"])) == ("dirac_gan", 20, 2 * 2 * 6)
    assert 0 < result["train_seconds"] < result["wall_seconds"]
    assert (tmp_path / "run" / "figures" / "trajectories.png").stat().st_size > 10_000
    assert "24 games are stable" in done.stdout
    rows = [line for line in done.stdout.splitlines() if line.split()[:1] in (["minimax"], ["hinge"])]
    assert len(rows) == 4 and all(len(row.split()) == 2 + 6 for row in rows)
    assert max(map(len, rows)) <= 80 and "…" not in done.stdout  # nothing is cut off


def test_games_that_diverge_have_no_distance_and_say_so(capsys):
    trained = dirac_gan.train(Config(losses=("least_squares",), penalties=(0.0,), steps=200, learning_rate=50.0))
    result = dirac_gan.evaluate(trained)
    assert [game["distance"] for game in result["games"]] == [None, None]
    assert [game["contraction"] for game in result["games"]] == [None, None]
    dirac_gan.show(result)
    assert capsys.readouterr().out.count("diverged") == 2


def test_table_shows_the_measured_contractions_and_how_far_theory_is_from_them(capsys):
    result = dirac_gan.evaluate(dirac_gan.train(Config(losses=("minimax", "wasserstein"), penalties=(0.0, 4.0))))
    dirac_gan.show(result)
    screen = capsys.readouterr().out
    rows = {
        tuple(line.split()[:2]): line.split()[2:] for line in screen.splitlines() if line.startswith((" m", " w"))
    }
    assert rows == {
        ("minimax", "simultaneous"): ["1.000*", "0.987"],
        ("minimax", "alternating"): ["1.000*", "0.987"],  # a pure rotation does not attract either
        ("wasserstein", "simultaneous"): ["1.020*", "0.946"],
        ("wasserstein", "alternating"): ["1.000*", "0.949"],
    }
    stable = [game for game in result["games"] if game["penalty"] == 4]
    gap = max(abs(game["contraction"] - game["contraction_predicted"]) for game in stable)
    assert f"at most {gap:.4f} (" in screen and len(screen.splitlines()) < 14
    assert result["headline"].startswith("4 of 8 games are stable")
