"""The plane as its users run it: run folder, resuming, packs, unrolling, pictures, bad input."""

import json
from dataclasses import replace

import numpy as np
import pytest
from helpers import DyingRun, Killed, command, fresh_run, one_line

import gan_data as data
import gan_points as points
import gan_runs as runs
from experiments import mixture_2d

FLAGS = ["--seeds=2", "--steps=40", "--eval-every=20", "--samples=500", "--checkpoint-every=20"]
FLAGS += ["--discriminator-hidden", "8", "--generator-hidden", "8"]  # a small program compiles sooner
SMALL = {"discriminator_hidden": (8,), "generator_hidden": (8,)}
TINY = replace(
    mixture_2d.STABLE, seeds=2, steps=40, eval_every=20, samples=500, checkpoint_every=20, batch=20, **SMALL
)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    return fresh_run(mixture_2d, FLAGS, tmp_path_factory.mktemp("elsewhere"))


def test_run_folder_holds_what_it_promises(finished):
    folder, screen = finished
    result = json.loads((folder / "result.json").read_text())
    assert (result["experiment"], result["target"], result["modes_of"]) == ("mixture_2d", "ring", 8)
    for name in ("modes", "high_quality", "reverse_kl", "kl", "sliced_wasserstein"):
        assert len(result[name]["per_seed"]) == 2 and np.isfinite(result[f"{name}_floor"])
    assert result["modes_floor"] == 8 and result["high_quality_floor"] == pytest.approx(0.989, abs=0.003)
    assert [r["step"] for r in runs.read_log(folder)] == [0, 20, 40]
    assert {p.name for p in (folder / "figures").iterdir()} == {
        *("overview.png", "seeds.png", "training.gif", "training.html")
    }
    player = (folder / "figures" / "training.html").read_text()
    assert player.count("data:image/png") >= 3 and 'type="range"' in player  # frames inside, and a slider
    assert "seeds reach all 8 modes" in screen.splitlines()[-1]


def test_resumed_run_equals_an_uninterrupted_one(tmp_path):
    whole = mixture_2d.train(TINY)
    folder = tmp_path / "run"
    folder.mkdir()
    with pytest.raises(Killed):
        mixture_2d.train(TINY, DyingRun(folder, checkpoint_every=20, at=40))
    resumed = mixture_2d.train(TINY, runs.Run(folder, resume=True, checkpoint_every=20))
    assert (resumed.fakes == whole.fakes).all()
    assert sorted(resumed.snapshots) == sorted(whole.snapshots) == [0, 20, 40]
    for step, arrays in whole.snapshots.items():
        assert all((arrays[name] == resumed.snapshots[step][name]).all() for name in arrays)


def test_a_perfect_generator_scores_the_floors(monkeypatch):
    real = mixture_2d.load(TINY)
    fakes = np.stack([real.draw(2500, seed).T for seed in (91, 92)])
    result = mixture_2d.report(mixture_2d.Trained(TINY, real, [], fakes, {}))
    assert result["complete"] == 2 and result["modes"]["median"] == 8
    for name, spread in (("high_quality", 0.002), ("reverse_kl", 0.0008), ("sliced_wasserstein", 0.008)):
        assert result[name]["median"] == pytest.approx(result[f"{name}_floor"], abs=4 * spread)
    lost = mixture_2d.report(mixture_2d.Trained(TINY, real, [], fakes[:, :, :] * 0.5, {}))
    assert lost["complete"] == 0 and lost["kl"]["median"] > 10 * result["kl"]["median"]


def test_game_learns_a_single_mode():
    """A short game: fakes move from around 0 onto one far, small blob."""
    rng = np.random.default_rng(0)
    train = rng.normal(0, 0.1, (2, 2, 500)) + np.array([[[5.0], [-3.0]]])
    settings = {"discriminator_init": "he", "r1": 0.1, "penalty_end": 1.0, "learning_rate": 0.02, "average": 0.9}
    config = replace(TINY, standardise=False, steps=400, eval_every=400, **settings)
    players = points.Players(config, train)
    players.train(runs.Run(), lambda step, fakes: {}, lambda record: "")
    np.testing.assert_allclose(players.fakes(1).mean(axis=2), [[5, -3], [5, -3]], atol=0.5)


def test_every_flag_reaches_the_rules_of_the_game(monkeypatch):
    played = []
    monkeypatch.setattr(points.core, "compiled_loop", lambda step: step)
    monkeypatch.setattr(points.core, "adversarial_step", lambda game, rules, batch: played.append((rules, batch)))
    config = replace(
        TINY, loss="minimax", unroll=3, r1=0.1, r2=0.2, gradient_penalty=0.3, penalty_end=0.01, average=0.4, pack=2
    )
    batch = {"x": np.zeros((2, 20), "f"), "z": np.zeros((2, 20), "u2"), "mix": np.zeros((1, 10), "u2")}
    points.new_loop(config)(None, batch)
    ((rules, batch),) = played
    assert (rules.unroll, rules.r1, rules.r2, rules.gradient_penalty, rules.average_decay) == (3, 0.1, 0.2, 0.3, 0.4)
    assert float(rules.penalty_schedule(config.steps)) == pytest.approx(0.01)
    for schedule in (rules.rate_schedule_d, rules.rate_schedule_g):
        assert float(schedule(0)) == 1 and float(schedule(config.steps)) == pytest.approx(0, abs=1e-6)
    assert (rules.adam_d.learning_rate, rules.adam_d.beta1, rules.adam_d.beta2) == (2e-3, 0.0, 0.99)
    assert batch["x"].shape == (4, 10) and 0 <= float(batch["mix"][0, 0]) < 1e-4
    weights = [w.numpy()[0] for w in points.new_game(config, range(1), 2).generator.weights]
    assert rules.generator(batch["z"] * 0, weights).shape == (4, 10)


# ---- questions to the players


@pytest.mark.parametrize("pack", [1, 2, 4])
def test_pushes_are_slopes_of_the_generators_loss(pack):
    """Central differences of -log D by each point; of a packed D in the company of real points."""
    smooth = replace(TINY, pack=pack, discriminator_activation="softplus")
    players = points.Players(smooth, mixture_2d.load(TINY).train)
    x = np.random.default_rng(0).normal(size=(2, 2, 6))
    pushes, h = players.pushes(x), 1e-2
    assert pushes.shape == x.shape
    for axis in range(2):
        ends = []
        for sign in (1, -1):
            moved = x.copy()
            moved[:, axis] += sign * h
            ends.append(np.log1p(np.exp(-players.logits(moved))))  # G's loss, -log D
        np.testing.assert_allclose(pushes[:, axis], -(ends[0] - ends[1]) / (2 * h), atol=5e-3)


def test_verdicts_are_of_whole_packs_and_logits_of_points_among_real_ones():
    players = points.Players(replace(TINY, pack=2), mixture_2d.load(TINY).train)
    x = np.random.default_rng(0).normal(size=(2, 2, 6))
    assert players.verdicts(x).shape == (2, 3) and players.logits(x).shape == (2, 6)
    moved = x.copy()
    moved[:, :, 1] += 1.0  # packs are (0, 3), (1, 4), (2, 5)
    assert (players.verdicts(moved) != players.verdicts(x)).tolist() == [[False, True, False]] * 2
    assert (players.logits(moved) != players.logits(x)).tolist() == [[False, True, *[False] * 4]] * 2


def test_images_of_latents_are_what_fakes_are_made_of():
    players = points.Players(TINY, mixture_2d.load(TINY).train)
    lines = data.latent_lattice("uniform", 2, 3, 2)
    found = players.images_of(lines)
    assert found.shape == (2, 2, 25)
    w1, b1, *rest = (w.numpy()[1] for w in players.games[0].average)
    h = w1 @ lines + b1
    by_hand = rest[0] @ np.maximum(0.2 * h, h) + rest[1]
    np.testing.assert_allclose(found[1], by_hand * players.std[1] + players.mean[1], rtol=1e-4, atol=1e-5)


def test_the_first_seed_alone_answers_as_it_does_among_all():
    players = points.Players(replace(TINY, pack=2), mixture_2d.load(TINY).train)
    x, lines = np.random.default_rng(0).normal(size=(2, 2, 6)), data.latent_lattice("uniform", 2, 3, 1)
    alone = players.first()
    for all_seeds, one in (
        (players.logits(x), alone.logits(x[:1])),
        (players.pushes(x), alone.pushes(x[:1])),
        (players.images_of(lines), alone.images_of(lines)),
    ):
        assert len(all_seeds) == 2 and len(one) == 1
        np.testing.assert_allclose(one[0], all_seeds[0], rtol=1e-4, atol=1e-5)
        assert not np.allclose(one[0], all_seeds[1], rtol=1e-3)


def test_member_of_many_equals_the_solo_run_of_its_seed():
    flags = {"pack": 2, "gradient_penalty": 1.0, "target": "grid"}
    many = mixture_2d.train(replace(TINY, steps=20, **flags))
    solo = mixture_2d.train(replace(TINY, steps=20, seeds=1, seed=1, **flags))
    assert np.allclose(many.fakes[1], solo.fakes[0], atol=1e-3)  # float32 rounding, amplified by 20 steps


def test_targets_without_modes_have_no_coverage(tmp_path):
    (tmp_path / "p.csv").write_text("".join(f"{np.cos(k)},{np.sin(k)}\n" for k in range(200)))
    flags = [*FLAGS[-4:], "--seeds=1", "--steps=20", "--eval-every=20", "--target", tmp_path / "p.csv"]
    assert command(mixture_2d, *flags, "--out", tmp_path / "run") == 0
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    assert "modes" not in result and result["kl"]["median"] > 0 and result["target"] == "p.csv"
    assert json.loads((tmp_path / "run" / "config.json").read_text())["config"]["samples"] == 100


# ---- what users get wrong


@pytest.mark.parametrize(
    "flags, complaint",
    [
        ("--pack 3", "--batch 128: expected a multiple of --pack 3"),
        ("--pack 0", "--pack 0: expected at least 1"),
        ("--batch 100 --pack 8", "--batch 100: expected a multiple of --pack 8"),
        ("--target sphere", "--target sphere: expected ring, grid, spiral, or a .npy, .csv or .txt file"),
        ("--target none.csv", "--target none.csv: no such file or directory"),
        ("--target one.csv", "--target one.csv: 1 column; expected two columns"),
        ("--target nan.csv", "--target nan.csv: 1 values are NaN or infinite"),
        ("--loss sigmoid", "sigmoid"),
        ("--unroll 3", "--unroll 3: not with --loss non_saturating; expected minimax or wasserstein"),
        ("--unroll 3 --loss hinge", "--unroll 3: not with --loss hinge"),
        ("--unroll -1", "--unroll -1: expected 0 or more"),
        ("--samples 7", "--samples 7: expected at least one for each of the 8 modes of ring"),
        (
            "--target grid --eval-samples 24",
            "--eval-samples 24: expected at least one for each of the 25 modes of grid",
        ),
        ("--penalty-end 0", "--penalty-end 0: expected above 0"),
        ("--steps 10", "--steps 10: expected at least --eval-every, 2000"),
    ],
)
def test_bad_flag_is_one_line_and_nothing_is_written(flags, complaint, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "one.csv").write_text("1\n" * 50)
    (tmp_path / "nan.csv").write_text("1,2\n" * 49 + "1,nan\n")
    assert command(mixture_2d, *flags.split(), "--out", "run") == 2
    assert complaint in one_line(capsys) and not (tmp_path / "run").exists()
