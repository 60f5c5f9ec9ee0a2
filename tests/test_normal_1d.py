"""The 1-D experiment: its numbers, its flags, numbers from a file, and what it says of wrong targets."""

import json
from dataclasses import replace

import numpy as np
import pytest
from helpers import command
from scipy import stats

import gan_core as core
import metrics
from experiments import normal_1d
from gan_core import tf
from lab import points, runs, storage, targets

TINY_FLAGS = ["--seeds=2", "--steps=60", "--eval-every=20", "--eval-samples=200", "--checkpoint-every=20"]
SMALL = {"generator_hidden": (8,), "discriminator_hidden": (8,)}  # a small program compiles sooner
TINY = replace(normal_1d.Config(), seeds=2, steps=60, eval_every=20, checkpoint_every=20, eval_samples=200, **SMALL)


def test_result_holds_every_seed_and_floors_and_the_log_its_bands():
    trained = normal_1d.train(TINY)
    result = normal_1d.evaluate(trained)
    numbers = ("kl", "kl_kde", "kl_kde_scott", "kl_reverse", "wasserstein", "kolmogorov_smirnov", "lost_mass")
    for name in (*numbers, "discriminator_loss", "game_value"):
        assert {"median", "q10", "q90", "per_seed"} <= set(result[name]) and len(result[name]["per_seed"]) == 2
        assert np.isfinite(result[name]["median"]) and np.isfinite(result[f"{name}_floor"])
    assert (result["target"], result["seeds"], result["steps"]) == ("norm", 2, 60)
    fakes = trained.game.sample(60)[:, 0]
    assert result["collapsed"] == (fakes.std(axis=1) < 0.5).sum()  # N(0, 1) has a standard deviation of 1
    lost = metrics.lost_mass(stats.norm(), fakes)
    assert result["lost_mass"]["per_seed"] == lost.tolist() and result["lost_modes"] == (lost > 0.05).sum()
    assert f"median KL {result['kl']['median']:.4f} nats" in result["headline"]
    assert (
        f"; a kernel density estimate has {result['kl_kde']['median']:.4f}; {result['collapsed']} of 2"
        in result["headline"]
    )
    for record in trained.run.records:
        assert {"median", "q10", "q90", "failed"} == set(record["kl"]) and sum(record["fake_counts"]) == 200


def test_a_perfect_generator_scores_the_floors(monkeypatch):
    trained = normal_1d.train(replace(TINY, eval_samples=5000))
    perfect = trained.real.truth.rvs((2, 1, 5000), random_state=np.random.default_rng(0))
    monkeypatch.setattr(trained.game, "sample", lambda step: perfect)
    result = normal_1d.evaluate(trained)
    for name in ("kl", "kl_reverse", "wasserstein", "kolmogorov_smirnov"):
        assert 0.4 < result[name]["median"] / result[f"{name}_floor"] < 2  # of two samplers: their spread is a third


def test_every_setting_reaches_the_rules_of_the_game(monkeypatch):
    """Each number below is found where the step reads it."""
    seen = {}

    def step(game, rules, batch):
        seen["rules"], seen["batch"] = rules, batch
        return tf.zeros(2), tf.zeros(2)

    monkeypatch.setattr(core, "adversarial_step", step)
    numbers = {"r1": 0.1, "r2": 0.2, "gradient_penalty": 0.3, "average": 0.4, "unroll": 2, "beta1": 0.5, "beta2": 0.6}
    config = replace(TINY, **numbers, loss="wasserstein", learning_rate=0.01, discriminator_rate=3.0, pack=2)
    config = replace(config, penalty_end=0.25, schedule="constant", discriminator_schedule="cosine")
    normal_1d.train(config)
    rules, batch = seen["rules"], seen["batch"]
    assert (rules.r1, rules.r2, rules.gradient_penalty, rules.average_decay, rules.unroll) == (0.1, 0.2, 0.3, 0.4, 2)
    assert rules.loss is core.LOSSES["wasserstein"]
    assert rules.adam_g == core.Adam(0.01, 0.5, 0.6) and rules.adam_d == core.Adam(0.03, 0.5, 0.6)
    assert [float(f(60)) for f in (rules.rate_schedule_g, rules.rate_schedule_d)] == pytest.approx([1, 0], abs=1e-6)
    assert float(rules.penalty_schedule(60)) == pytest.approx(0.25)
    assert batch["x"].shape == (2, 2, 100) and batch["z"].shape == (2, 8, 200) and batch["mix"].shape == (2, 1, 100)


def test_classic_recipe_is_the_tutorials():
    classic = normal_1d.CLASSIC
    assert (classic.discriminator_hidden, classic.generator_hidden, classic.latent_dim) == ((8,), (4,), 8)
    assert (classic.samples, classic.batch, classic.learning_rate, classic.latent) == (1000, 300, 5e-4, "uniform")
    assert classic.steps == 3000 * 4 and (classic.loss, classic.discriminator_init) == ("minimax", "normal")


FLAGS = [
    "--recipe classic",
    "--recipe classic --epochs 10",
    "--target gamma --target-args 2 0 3 --loss wasserstein --gradient-penalty 1",
    "--target mixture --latent normal --discriminator-hidden 4 4 --generator-hidden 3 --loss relativistic_paired",
    "--target cauchy --schedule cosine --r1 1 --r2 1 --pack 3",
]


@pytest.mark.parametrize("flags", FLAGS)
def test_flags_lead_to_a_finite_result(flags, tmp_path):
    tiny = [flag for flag in TINY_FLAGS if "epochs" not in flags or not flag.startswith("--steps")]
    assert command(normal_1d, *tiny, "--out", tmp_path, *flags.split(), draw=False) == 0
    result = json.loads((tmp_path / "result.json").read_text())
    assert np.isfinite(result["kl"]["median"]) and result["steps"] == (40 if "epochs" in flags else 60)


def test_epochs_count_the_samples_that_are_trained_on(tmp_path):
    np.save(tmp_path / "x.npy", np.arange(700.0))
    assert normal_1d.Config(epochs=3).steps == 30
    assert normal_1d.Config(epochs=3, data=str(tmp_path / "x.npy")).steps == 12  # 350 numbers: 4 batches of 100
    assert normal_1d.Config(epochs=3, pack=2).steps == 15  # 1000 numbers: 5 batches of 100 pairs


def test_steps_may_grow_on_resuming(tmp_path):
    folder = tmp_path / "run"
    assert command(normal_1d, *TINY_FLAGS, "--out", folder, draw=False) == 0
    assert command(normal_1d, "--resume", folder, "--steps", 80, draw=False) == 0
    assert json.loads((folder / "result.json").read_text())["steps"] == 80
    assert [r["step"] for r in storage.read_log(folder)] == [0, 20, 40, 60, 80]


def test_data_file_is_judged_against_its_held_out_half(tmp_path):
    np.savetxt(tmp_path / "heights.txt", np.random.default_rng(0).normal(170, 9, 600))
    assert (
        command(normal_1d, *TINY_FLAGS, "--data", tmp_path / "heights.txt", "--out", tmp_path / "run", draw=False)
        == 0
    )
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    assert result["target"] == "heights.txt" and np.isfinite(result["kl"]["median"])
    assert result["kl_floor"] > 41 / (2 * 200)  # two samples, of 200 and 300: far above one against exact masses
    exact = 9 * 1.288 * np.sqrt(1 / 200 + 1 / 300)  # 1.288 is sqrt(2 / pi) times the integral of sqrt(F (1 - F))
    assert result["wasserstein_floor"] == pytest.approx(exact, rel=0.3)  # 50 splits of one file: its spread is 10%
    assert "the floor is imprecise" not in result["headline"]


def test_a_file_of_few_numbers_works_and_says_that_its_floor_is_wide(tmp_path):
    np.savetxt(tmp_path / "few.txt", np.random.default_rng(0).normal(size=20))
    assert command(normal_1d, *TINY_FLAGS, "--data", tmp_path / "few.txt", "--out", tmp_path / "run", draw=False) == 0
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    assert result["headline"].endswith("; the floor is imprecise: 10 are held out, and it takes at least 50")
    assert all(np.isfinite(result[f"{name}_floor"]) for name in ("kl", "kl_reverse", "wasserstein"))


def test_a_seed_is_collapsed_below_half_the_real_standard_deviation(monkeypatch):
    trained = normal_1d.train(replace(TINY, steps=20, eval_samples=2000))
    normal = np.random.default_rng(0).normal(size=2000)
    monkeypatch.setattr(trained.game, "sample", lambda step: np.stack([0.4 * normal, 0.6 * normal])[:, None])
    assert normal_1d.evaluate(trained)["collapsed"] == 1


def test_a_seed_that_lacks_a_peak_has_lost_modes_though_it_spreads_widely(monkeypatch):
    peaks = (0.08, -3, 0.3, 0.62, 0, 1, 0.3, 4, 0.5)  # 5% of the real mass may be missing
    trained = normal_1d.train(replace(TINY, steps=20, target="mixture", target_args=peaks, eval_samples=4000))
    perfect = trained.real.truth.rvs((2, 4000), random_state=np.random.default_rng(0))
    perfect[1, perfect[1] < -2] += 3  # the peak at -3, and what is left of the one at 0 there
    monkeypatch.setattr(trained.game, "sample", lambda step: perfect[:, None])
    result = normal_1d.evaluate(trained)
    assert (result["collapsed"], result["lost_modes"]) == (0, 1) and result["lost_mass_floor"] == 0
    assert result["lost_mass"]["per_seed"] == [0, pytest.approx(0.08, abs=0.021)]  # in parts of .02
    assert result["headline"].endswith("; 0 of 2 seeds collapsed, 1 lost modes")


def test_the_kernel_density_estimate_is_scipys_and_needs_no_gan():
    """The KL is that of what `gaussian_kde` resamples, with its own width (Scott's) or the cross-validated one."""
    config = replace(normal_1d.Config(), seeds=8)
    for target in ("norm", "expon"):
        real = targets.numbers(target, (), None, 1000, range(8))
        edges = metrics.histogram_edges(real.truth)
        result = normal_1d.without_gan(config, real, edges)
        for name in ("kl_kde", "kl_kde_scott"):
            of_scipy = []
            for k, row in enumerate(real.train):
                width = metrics.kernel_width(row) / row.std(ddof=1) if name == "kl_kde" else None
                of_scipy.append(stats.gaussian_kde(row, width).resample(10_000, seed=k)[0])
            kl = metrics.histogram_kl(real.truth, of_scipy, edges)
            # a KL of 10,000 fakes varies by .0005 on N(0, 1), and by 5% on the other
            np.testing.assert_allclose(result[name]["per_seed"], kl, rtol=0.2, atol=0.003)


@pytest.mark.parametrize("numbers", [[3.0], [3.0, 3.0, 3.0], [1.0, 1.0, 2.0, 2.0], [1.0, 2.0]])
def test_the_kernel_density_estimate_of_few_or_equal_numbers_is_finite(numbers):
    real = targets.RealNumbers(np.array([numbers]), stats.norm(), "norm")
    config = replace(normal_1d.Config(), seeds=1, eval_samples=100)
    result = normal_1d.without_gan(config, real, metrics.histogram_edges(real.truth))
    assert np.isfinite([result["kl_kde"]["median"], result["kl_kde_scott"]["median"]]).all()


# ---- what is measured, and of which step


def test_losses_and_reverse_kl_are_of_real_and_fake_numbers_in_their_order(monkeypatch):
    real = targets.numbers("norm", (), None, 100, range(2))
    gans = points.Ensemble(TINY, real.train[:, None])
    fakes = np.random.default_rng(0).normal(0.5, 1, (2, 200))
    monkeypatch.setattr(gans, "sample", lambda step: fakes[:, None])
    monkeypatch.setattr(gans, "d_logits_of_packs", lambda x: np.where(x[:, 0] == fakes, -1.0, 3.0))
    result = normal_1d.evaluate(runs.Trained(TINY, real, gans, None))
    d_loss = np.log1p(np.exp(-3)) + np.log1p(np.exp(-1))  # -log D(real) - log(1 - D(fake))
    assert result["discriminator_loss"]["per_seed"] == pytest.approx([d_loss] * 2)
    assert result["game_value"]["per_seed"] == pytest.approx([-d_loss] * 2)
    edges = metrics.histogram_edges(real.truth)
    p, q = metrics.bin_masses(real.truth, edges), metrics.bin_counts(fakes, edges) / 200
    jsd = [stats.entropy(p, (p + row) / 2) / 2 + stats.entropy(row, (p + row) / 2) / 2 for row in q]
    assert result["game_value_optimal"]["per_seed"] == pytest.approx(2 * np.array(jsd) - np.log(4))
    reverse = metrics.histogram_kl(real.truth, fakes, reverse=True)  # .215, .203; forward .212, .168
    assert result["kl_reverse"]["per_seed"] == pytest.approx(reverse)


def test_each_record_measures_the_average_of_its_own_step(monkeypatch):
    seen, run = [], runs.Run()
    monkeypatch.setattr(run, "play", lambda loop, games, batches, period: np.zeros((period.count, 2, 2)))
    monkeypatch.setattr(run, "average", lambda period: ("of step", period.last))

    def sample(gans, step, averages=None):
        seen.append((step, averages))
        return np.zeros((2, 1, 200))

    monkeypatch.setattr(points.Ensemble, "sample", sample)
    normal_1d.train(TINY, run)
    assert seen == [(step, ("of step", step)) for step in (0, 20, 40, 60)]


def test_gans_train_on_the_jittered_samples(monkeypatch):
    class Seen(Exception):
        pass

    def seen(config, train_on, *rest):
        raise Seen(train_on)

    monkeypatch.setattr(points, "Ensemble", seen)
    with pytest.raises(Seen) as found:
        normal_1d.train(replace(TINY, samples=50))
    samples = targets.numbers("norm", (), None, 50, range(2)).train
    np.testing.assert_array_equal(found.value.args[0][:, 0], targets.jittered(samples, TINY.jitter, range(2)))


def test_a_perfect_sampler_of_a_law_with_heavy_tails_has_not_collapsed(monkeypatch):
    """The standard deviation of pareto 2.05 is 6.1, of which 10,000 draws seldom reach half."""
    config = replace(TINY, target="pareto", target_args=(2.05,), eval_samples=10_000, seeds=8)
    real = targets.numbers("pareto", (2.05,), None, 1000, range(8))
    gans = points.Ensemble(config, real.train[:, None])
    monkeypatch.setattr(
        gans, "sample", lambda step: np.stack([real.draw(10_000, 100 + k) for k in range(8)])[:, None]
    )
    monkeypatch.setattr(gans, "d_logits_of_packs", lambda x: np.zeros((8, 10_000)))
    assert normal_1d.evaluate(runs.Trained(config, real, gans, None))["collapsed"] == 0
    narrow = np.random.default_rng(0).normal(1.5, 0.1, (8, 1, 10_000))
    monkeypatch.setattr(gans, "sample", lambda step: narrow)
    assert normal_1d.evaluate(runs.Trained(config, real, gans, None))["collapsed"] == 8
