"""The plane: what a run keeps, a perfect generator's numbers, the game and its settings, wrong input."""

import json
from dataclasses import replace

import numpy as np
import pytest
from helpers import command, quiet_command

import gan_core as core
import metrics
from experiments import mixture_2d
from gan_core import tf
from lab import draws, points, runs, storage, targets

FLAGS = ["--seeds=2", "--steps=40", "--eval-every=20", "--samples=500", "--checkpoint-every=20"]
FLAGS += ["--discriminator-hidden", "8", "--generator-hidden", "8"]  # a small program compiles sooner
SMALL = {"discriminator_hidden": (8,), "generator_hidden": (8,)}
TINY = replace(
    mixture_2d.Config(), seeds=2, steps=40, eval_every=20, samples=500, checkpoint_every=20, batch=20, **SMALL
)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "run"
    code, screen = quiet_command(mixture_2d, *FLAGS, "--out", folder)
    assert code == 0
    return folder, screen


def test_run_folder_holds_what_it_promises(finished):
    folder, screen = finished
    result = json.loads((folder / "result.json").read_text())
    assert (result["experiment"], result["target"], result["modes_of"]) == ("mixture_2d", "ring", 8)
    for name in ("modes", "high_quality", "reverse_kl", "kl", "sliced_wasserstein"):
        assert len(result[name]["per_seed"]) == 2 and np.isfinite(result[f"{name}_floor"])
    assert result["modes_floor"] == 8 and result["high_quality_floor"] == pytest.approx(0.989, abs=0.003)
    assert [r["step"] for r in storage.read_log(folder)] == [0, 20, 40]
    assert {p.name for p in (folder / "figures").iterdir()} == {
        *("overview.png", "seeds.png", "training.gif", "training.html")
    }
    player = (folder / "figures" / "training.html").read_text()
    assert player.count("data:image/png") >= 3 and 'type="range"' in player  # frames inside, and a slider
    assert "seeds reach all 8 modes" in screen.splitlines()[-1]


def test_data_and_snapshots_are_kept_for_those_who_use_the_run_without_its_data(finished):
    folder, _ = finished
    known = json.loads((folder / "data.json").read_text())
    assert (known["name"], known["samples"], known["features"]) == ("ring", 500, 2)
    assert np.shape(known["mean"]) == np.shape(known["std"]) == (2, 2, 1)
    assert sorted(int(path.stem) for path in (folder / "snapshots").glob("*.npz")) == [0, 20, 40]
    with np.load(folder / "snapshots" / "00000040.npz") as arrays:
        shapes = {name: arrays[name].shape for name in arrays}
    n = mixture_2d.FINER * (mixture_2d.LINES - 1) + 1
    lines = (2, 2, mixture_2d.LINES, n)
    assert shapes == {"fakes": (2, 1000), "pushes": (2, 100), "logits": (60, 60), "lines": lines}


def test_lines_of_the_pictures_are_images_of_latents_with_one_constant_coordinate():
    gans = points.Ensemble(TINY, targets.points("ring", 500, range(2)).train)
    fakes = gans.sample(0)
    lines = mixture_2d.pictures_of_first_seed(gans, fakes, (np.zeros(2), 1.0))["lines"]
    ends = np.array([-0.99, 0.99])
    for direction in range(2):
        for k, fixed in ((0, ends[0]), (-1, ends[1])):
            z = np.stack([ends, np.full(2, fixed)] if direction == 0 else [np.full(2, fixed), ends])
            expected = gans.from_latents(z)[0]
            np.testing.assert_allclose(lines[direction, :, k, [0, -1]].T, expected, rtol=1e-4, atol=1e-5)


def test_a_perfect_generator_scores_the_floors(monkeypatch):
    trained = mixture_2d.train(replace(TINY, steps=20))
    real = trained.real
    fakes = np.stack([real.draw(2500, seed).T for seed in (91, 92)])
    monkeypatch.setattr(trained.game, "sample", lambda step: fakes)
    result = mixture_2d.evaluate(trained)
    assert result["complete"] == 2 and result["modes"]["median"] == 8
    assert result["headline"] == "2 of 2 seeds reach all 8 modes"
    for name, spread in (("high_quality", 0.002), ("reverse_kl", 0.0008), ("sliced_wasserstein", 0.008)):
        assert result[name]["median"] == pytest.approx(result[f"{name}_floor"], abs=4 * spread)
    monkeypatch.setattr(trained.game, "sample", lambda step: fakes * 0.5)
    lost = mixture_2d.evaluate(trained)
    assert lost["complete"] == 0 and lost["kl"]["median"] > 10 * result["kl"]["median"]


def test_game_learns_a_single_mode(monkeypatch):
    """A short game: fakes move from around 0 onto one far, small blob."""
    rng = np.random.default_rng(0)
    train = rng.normal(0, 0.1, (2, 2, 500)) + np.array([[[5.0], [-3.0]]])
    blob = targets.RealPoints(train, train[0].T, None, "blob")
    monkeypatch.setattr(targets, "points", lambda *_: blob)
    settings = {"discriminator_init": "he", "r1": 0.1, "penalty_end": 1.0, "learning_rate": 0.02, "average": 0.9}
    trained = mixture_2d.train(replace(TINY, standardise=False, steps=400, eval_every=400, **settings))
    np.testing.assert_allclose(trained.game.sample(1).mean(axis=2), [[5, -3], [5, -3]], atol=0.5)


def test_every_flag_reaches_the_rules_of_the_game(monkeypatch):
    played, steps = [], []

    class Compiled(Exception):
        pass

    def compiled_loop(step):
        steps.append(step)
        raise Compiled

    monkeypatch.setattr(core, "compiled_loop", compiled_loop)
    monkeypatch.setattr(core, "adversarial_step", lambda game, rules, batch: played.append((rules, batch)))
    config = replace(
        TINY, loss="minimax", unroll=3, r1=0.1, r2=0.2, gradient_penalty=0.3, penalty_end=0.01, average=0.4, pack=2
    )
    config = replace(config, discriminator_rate=3.0, schedule="constant", discriminator_schedule="cosine")
    with pytest.raises(Compiled):
        mixture_2d.train(config)
    batch = {"x": np.zeros((2, 20), "f"), "z": np.zeros((2, 20), "u2"), "mix": np.zeros((1, 10), "u2")}
    steps[0](None, batch)
    ((rules, batch),) = played
    assert (rules.unroll, rules.r1, rules.r2, rules.gradient_penalty, rules.average_decay) == (3, 0.1, 0.2, 0.3, 0.4)
    assert rules.loss is core.LOSSES["minimax"]
    assert float(rules.penalty_schedule(config.steps)) == pytest.approx(0.01)
    for schedule, end in ((rules.rate_schedule_d, 0), (rules.rate_schedule_g, 1)):
        assert float(schedule(0)) == 1 and float(schedule(config.steps)) == pytest.approx(end, abs=1e-6)
    assert rules.adam_g == core.Adam(2e-3, 0.0, 0.99) and rules.adam_d == core.Adam(6e-3, 0.0, 0.99)
    assert batch["x"].shape == (4, 10) and 0 <= float(batch["mix"][0, 0]) < 1e-4
    weights = [w.numpy()[0] for w in points.new_game(config, range(1), 2).generator.weights]
    assert rules.generator(batch["z"] * 0, weights).shape == (4, 10)


def test_classic_recipe_is_the_plain_gan_of_pacgan():
    classic = mixture_2d.CLASSIC
    assert (classic.latent, classic.latent_dim, classic.batch, classic.samples) == ("normal", 2, 100, 100_000)
    assert (classic.learning_rate, classic.beta1, classic.beta2, classic.loss) == (1e-4, 0.8, 0.999, "non_saturating")
    assert (classic.steps, classic.eval_every, classic.eval_samples) == (40_000, 1000, 2500)
    assert (classic.discriminator_hidden, classic.generator_hidden) == ((64,) * 3, (64,) * 4)
    assert (classic.r1, classic.penalty_end, classic.average, classic.schedule) == (0, 1, 0, "constant")
    assert (classic.discriminator_init, classic.generator_init) == ("he", "he")
    assert classic.discriminator_schedule == "constant"


def test_both_players_of_pacgan_move_at_once(monkeypatch):
    seen = {}

    def step(game, rules, batch):
        seen["rules"] = rules
        return tf.zeros(2), tf.zeros(2)

    monkeypatch.setattr(core, "adversarial_step", step)
    for simultaneous in (False, True):
        mixture_2d.train(replace(TINY, simultaneous=simultaneous))
        assert seen["rules"].simultaneous is simultaneous


def test_targets_without_modes_have_no_coverage(tmp_path):
    (tmp_path / "p.csv").write_text("".join(f"{np.cos(k)},{np.sin(k)}\n" for k in range(200)))
    flags = [*FLAGS[-4:], "--seeds=1", "--steps=20", "--eval-every=20", "--target", tmp_path / "p.csv"]
    assert command(mixture_2d, *flags, "--out", tmp_path / "run") == 0
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    assert "modes" not in result and result["kl"]["median"] > 0 and result["target"] == "p.csv"
    assert json.loads((tmp_path / "run" / "data.json").read_text())["samples"] == 100
    assert "median KL" in result["headline"] and "the floor is imprecise" not in result["headline"]


def test_a_loaded_generator_draws_what_the_run_evaluates(finished):
    folder, _ = finished
    config = storage.load_config(folder, "RUN", mixture_2d.Config)
    gans = mixture_2d.train(config, runs.Run(folder, reopen=True)).game
    generate = mixture_2d.load_generator(config, runs.Run(folder, reopen=True))
    bits = draws.bits_for_seeds(gans.seeds, draws.EVALUATION, 40, 1, (2, 2500))[0]  # [S, Z, n]
    samples = generate(np.moveaxis(bits, 1, 2))
    assert samples.shape == (2, 2500, 2)
    np.testing.assert_array_equal(np.moveaxis(samples, 1, 2), gans.sample(40))


def test_the_overview_needs_no_snapshot(finished):
    folder, _ = finished
    config = storage.load_config(folder, "RUN", mixture_2d.Config)
    trained = mixture_2d.train(config, runs.Run(folder, reopen=True))
    trained.run.snapshots.clear()  # all of them are damaged
    result = json.loads((folder / "result.json").read_text())
    assert len(mixture_2d.overview(trained, result).axes) >= 6


def test_distances_are_those_to_the_held_out_points_the_kl_over_20_bins_in_each_coordinate():
    real = targets.points("ring", 500, range(1))
    fakes = real.draw(400, 3).T[None]  # [1, 2, n]
    edges = [metrics.histogram_edges(column, bins=20) for column in real.test.T]
    rows = fakes.swapaxes(1, 2)
    distance = metrics.sliced_wasserstein(real.test[:10_000], rows, 16)  # from held-out points, as the KL is
    assert mixture_2d.measure_at_end(real, fakes)["sliced_wasserstein"] == distance
    assert mixture_2d.measure(real, fakes)["kl"] == metrics.plane_kl(real.test, rows, tuple(edges))
