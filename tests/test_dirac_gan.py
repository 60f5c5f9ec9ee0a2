"""The GAN of two numbers against published and exact values."""

import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from experiments import dirac_gan
from experiments.dirac_gan import Config, jacobian, measured_contraction, predicted_contraction, trajectories

NOTEBOOK = [  # the table of GAN_stability's notebook, by its own code: simultaneous, alternating, with five D steps
    ("minimax", {}, 3.0969487, 1.4210189, 1.8452736),
    ("non_saturating", {}, 0.64020708, 0.28392342, 0.13887665),
    ("wasserstein", {"clip": 1.0}, 1.002152, 1.0241189, 0.91688472),
    ("wasserstein", {"gradient_penalty": 0.7}, 1.8017932, 1.2210666, 0.71630089),
    ("minimax", {"penalties": (0.3,)}, 2.6426563e-06, 2.3009128e-07, 9.249806e-34),
    ("minimax", {"penalties": (1.0,)}, 9.5287154e-22, 7.4812361e-17, 5.1435035e-12),
    ("non_saturating", {"penalties": (0.3,)}, 2.2119604e-06, 1.4994194e-07, 3.9790631e-34),
    # not the notebook's, which halves one term of this gradient: written out in NumPy, with the whole term
    ("minimax", {"consensus": 1.0}, 2.5785534e-10, 1.7241031e-11, 10.968739),
]


@pytest.mark.parametrize(("loss", "flags", "at_once", "in_turn", "five_d_steps"), NOTEBOOK)
def test_distances_are_those_of_the_notebook(loss, flags, at_once, in_turn, five_d_steps):
    """Its psi has the other sign, so that its start (1, 1) is (1, -1) here."""
    config = Config(**({"penalties": (0.0,)} | flags))
    five = replace(config, d_steps=5)
    games = [(config, "simultaneous", at_once), (config, "alternating", in_turn), (five, "alternating", five_d_steps)]
    for settings, order, expected in games:
        distance = np.linalg.norm(trajectories(settings, loss, order)[-1, 0])
        assert distance == pytest.approx(expected, rel=1e-6)


def test_two_d_steps_worked_by_hand():
    """Wasserstein, h = 1/2, g = 1, from (1, -1): psi <- psi / 2 - theta / 2, twice; theta <- theta + psi / 2."""
    config = Config(penalties=(1.0,), steps=1, learning_rate=0.5, d_steps=2)
    assert trajectories(config, "wasserstein", "simultaneous")[1, 0].tolist() == [0.5, -1.0]  # both answer theta = 1
    assert trajectories(config, "wasserstein", "alternating")[1, 0].tolist() == [0.5, -0.625]  # both answer 1/2


def test_two_steps_worked_by_hand():
    """Wasserstein: both forces are linear, (psi, -theta - g psi); h = 1/2, g = 1, from (1, -1)."""
    config = Config(penalties=(1.0,), steps=2, learning_rate=0.5)
    together = trajectories(config, "wasserstein", "simultaneous")[:, 0]
    assert together.tolist() == [[1, -1], [0.5, -1], [0, -0.75]]
    in_turn = trajectories(config, "wasserstein", "alternating")[:, 0]
    assert in_turn.tolist() == [[1, -1], [0.5, -0.75], [0.125, -0.4375]]


def test_clipping_worked_by_hand():
    """Wasserstein, h = 1/2, from (1, -1): psi would fall by theta / 2, and stays at -.6; theta <- theta - .3."""
    path = trajectories(Config(penalties=(0.0,), steps=2, learning_rate=0.5, clip=0.6), "wasserstein", "simultaneous")
    np.testing.assert_allclose(path[:, 0], [[1, -0.6], [0.7, -0.6], [0.4, -0.6]], rtol=1e-12)


@pytest.mark.parametrize("penalty", [0.0, 0.3, 1.5, 4.0])
@pytest.mark.parametrize("loss", ["minimax", "non_saturating", "relativistic_paired"])
def test_eigenvalues_of_log_losses_are_those_of_theory(loss, penalty):
    root = np.sqrt(complex(penalty**2 / 4 - 1 / 4))
    expected = np.sort_complex([-penalty / 2 - root, -penalty / 2 + root])
    np.testing.assert_allclose(np.sort_complex(np.linalg.eigvals(jacobian(loss, penalty))), expected, atol=1e-6)


@pytest.mark.parametrize(
    ("loss", "eigenvalue"),
    [  # by hand for normal x and z: J = [[0, 2 c], [-2 c, -d]], where c is the losses' slope and d is D's curvature
        ("minimax", -0.75 + 0.6614378j),  # c = 1/2, d = E x^4 / 4 + E z^4 / 4 = 3/2
        ("wasserstein", 2j),  # c = 1, d = 0
        ("relativistic_paired", -0.5 + 0.8660254j),  # c = 1/2, d = E (x^2 - z^2)^2 / 4 = 1
    ],
)
def test_eigenvalues_of_the_linear_quadratic_game(loss, eigenvalue):
    found = np.linalg.eigvals(jacobian(loss, 0.0, Config(game="linear_quadratic")))
    np.testing.assert_allclose(found[np.argmax(found.imag)], eigenvalue, atol=1e-6)
    np.testing.assert_allclose(found[np.argmin(found.imag)], np.conj(eigenvalue), atol=1e-6)


def test_r1_in_the_linear_quadratic_game_is_that_of_a_quadratic_logit():
    """g/2 E (2 psi x)^2 = 2 g psi^2: it adds 4 g to D's curvature of 3/2."""
    found = jacobian("minimax", 0.5, Config(game="linear_quadratic"))
    np.testing.assert_allclose(found, [[0, 1], [-1, -3.5]], atol=1e-6)


def test_eigenvalues_with_noise_and_with_consensus_are_those_of_theory():
    """Mescheder et al. 2018, lemma 3.3: -s^2/4 +- sqrt(s^4/16 - 1/4); consensus adds -c J^T J: -c/4 +- i/2."""
    noise = np.linalg.eigvals(jacobian("minimax", 0.0, Config(instance_noise=0.7)))
    assert sorted(noise.imag) == pytest.approx([-0.4847615, 0.4847615], abs=1e-6)
    assert noise.real == pytest.approx([-0.1225] * 2, abs=1e-6)
    consensus = np.linalg.eigvals(jacobian("minimax", 0.0, Config(consensus=1.0)))
    assert sorted(consensus.imag) == pytest.approx([-0.5, 0.5], abs=1e-6)
    assert consensus.real == pytest.approx([-0.25] * 2, abs=1e-6)


@pytest.mark.parametrize("order", dirac_gan.ORDERS)
@pytest.mark.parametrize(("game", "penalty"), [("dirac", 1.0), ("linear_quadratic", 0.0)])
def test_measured_contraction_with_more_d_steps_is_the_predicted_one(game, penalty, order):
    """A small step: with two D steps the eigenvalues are real, and the slow one alone is left after some steps."""
    settings = {"d_steps": 2, "learning_rate": 0.1, "steps": 150, "start": (0.1, -0.1)}
    config = Config(game=game, losses=("minimax",), penalties=(penalty,), **settings)
    games = dirac_gan.evaluate(dirac_gan.train(config))["games"]
    found = next(game for game in games if game["order"] == order)
    assert found["contraction"] == pytest.approx(found["contraction_predicted"], abs=2e-4)
    assert found["contraction_predicted"] < 0.999


def test_wgan_gp_has_no_theory_at_the_equilibrium_and_a_star(capsys):
    result = dirac_gan.evaluate(
        dirac_gan.train(Config(losses=("wasserstein",), penalties=(0.0,), gradient_penalty=0.7, steps=20))
    )
    assert [game["contraction_predicted"] for game in result["games"]] == [None, None]
    assert result["headline"].startswith("0 of 2 games are stable")
    dirac_gan.show(result)
    assert capsys.readouterr().out.count("*") == 2


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


def test_contraction_is_measured_before_the_distance_is_lost_to_rounding():
    path = np.array([[0.5**k, 0.0] for k in range(20)] + [[1e-7, 0.0]] * 80)
    assert measured_contraction(path, smallest=1e-5) == pytest.approx(0.5)


def test_a_long_linear_quadratic_game_is_measured_before_rounding_takes_over():
    """J = [[0, 1], [-1, -3.5]], h = 1/2: the factor is 1 - (7 - sqrt(33)) / 8 = .843: 1e-10 after 130 steps."""
    config = Config(game="linear_quadratic", losses=("minimax",), penalties=(0.5,), steps=260, learning_rate=0.5)
    games = dirac_gan.evaluate(dirac_gan.train(replace(config, start=(0.1, -0.1))))["games"]
    assert games[0]["order"] == "simultaneous" and games[0]["distance"] < 1e-10
    assert games[0]["contraction"] == pytest.approx(1 - (3.5 - np.sqrt(8.25)) / 4, abs=1e-4)


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


def test_the_figure_begins_where_the_clipped_weight_is(tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(dirac_gan.plots, "dirac", lambda *parts: drawn.append(parts))
    monkeypatch.setattr(dirac_gan.plots, "save", lambda *_: None)
    trained = dirac_gan.train(Config(losses=("wasserstein",), penalties=(0.0,), steps=3, clip=0.5))
    dirac_gan.figures(trained, {}, tmp_path)
    assert drawn[0][3] == (1.0, -0.5)


def test_games_that_diverge_have_no_distance_and_say_so(capsys):
    trained = dirac_gan.train(Config(losses=("least_squares",), penalties=(0.0,), steps=200, learning_rate=50.0))
    result = dirac_gan.evaluate(trained)
    assert [game["distance"] for game in result["games"]] == [None, None]
    assert [game["contraction"] for game in result["games"]] == [None, None]
    dirac_gan.show(result)
    assert capsys.readouterr().out.count("inf \n") == 2


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
    without, with_penalty = (
        g["distance"] for g in result["games"] if (g["loss"], g["order"]) == ("wasserstein", "simultaneous")
    )
    assert without == pytest.approx(np.sqrt(2) * 1.04**250)  # 500 times sqrt(1 + h^2), h = .2
    assert with_penalty < 1e-10  # about .946^500
    stable = [game for game in result["games"] if game["penalty"] == 4]
    gap = max(abs(game["contraction"] - game["contraction_predicted"]) for game in stable)
    assert f"at most {gap:.4f} (" in screen and len(screen.splitlines()) < 14
    assert result["headline"].startswith("4 of 8 games are stable")
