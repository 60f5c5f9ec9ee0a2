"""Settings compared: what is trained and tested, the table, successive halving, bad input."""

import csv
import re
import shlex
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from helpers import one_line

from experiments import compare
from lab import cells, cli, files

SMALL = "--steps 20 --eval-every 20 --eval-samples 50 --generator-hidden 8 --discriminator-hidden 8 --batch 20"
FLAGS = f"mixture_2d --vary loss=minimax,hinge --seeds 6 --samples 100 --workers 1 {SMALL}"


def run(words, *more):
    try:
        compare.main([*shlex.split(words), *map(str, more)])
    except SystemExit as stop:
        return stop.code
    return 0


def study(words):
    own, flags = compare.split(shlex.split(words))
    return compare.Study(cli.parse(compare.Config, "", own), flags, own)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A finished study of networks that compile soon."""
    home = tmp_path_factory.mktemp("study")
    assert run(FLAGS, "--out", home / "out") == 0
    return home / "out"


def stub(monkeypatch, results):
    """Let `results(config)` be the numbers of a run, instead of training; returns the cells that were made."""
    made = []

    def run_all(every, where, see=lambda *_: None):
        made.extend(every)
        found = [{"steps": 1} | results(cell.config) for cell in every]
        for cell, result in zip(every, found, strict=True):
            see(cell, result)
        return found

    monkeypatch.setattr(cells, "run", run_all)
    monkeypatch.setattr(cells, "commits", lambda folder: {"abcdef0"})
    return made


def kl_of(function):
    """Results of a point script whose KL is a function of the settings and the seed."""

    def results(config):
        seeds = range(config.seed, config.seed + config.seeds)
        return {"kl": {"per_seed": [function(config, seed) for seed in seeds]}, "kl_floor": 0.5}

    return results


# ---- the table


def test_writes_a_table_a_line_for_each_seed_and_a_figure(finished):
    assert {path.name for path in finished.iterdir()} == {"compare.csv", "compare.md", "compare.png", "cells"}
    lines = list(csv.DictReader((finished / "compare.csv").read_text().splitlines()))
    assert len(lines) == 2 * 6 and list(lines[0])[:4] == ["script", "loss", "seed", "modes"]
    (folder,) = (finished / "cells").glob("mixture_2d_loss=hinge_seed=0-*")
    result = files.read_json(folder / "result.json")
    (line,) = (r for r in lines if (r["loss"], r["seed"]) == ("hinge", "2"))
    for name in ("kl", "high_quality", "sliced_wasserstein"):
        assert float(line[name]) == pytest.approx(result[name]["per_seed"][2], rel=1e-5)
    text = (finished / "compare.md").read_text()
    assert f"`python experiments/compare.py {FLAGS} --out " in text
    assert "KL(real || fake), 20 x 20 bins, nats; less is better" in text
    assert text.count("\n| loss=") == 2 and f"{result['kl']['median']:.4f}" in text
    assert "then the chance that any of them beats another is at most 0.05" in text
    (commit,) = cells.commits(folder)
    assert f"The runs were made at commit {commit}.\n" in text and "Too few" not in text


def test_finished_runs_are_not_made_again(finished, monkeypatch):
    monkeypatch.setattr(cells, "play", lambda cell: pytest.fail("trained again"))
    monkeypatch.setattr(cells.run, "__defaults__", (cells.play, *cells.run.__defaults__[1:]))
    before = (finished / "compare.csv").read_bytes()
    assert run(FLAGS, "--out", finished) == 0 and (finished / "compare.csv").read_bytes() == before


def test_other_settings_are_other_runs_of_the_same_folder(finished):
    every = [
        {cell.folder for setting in s.settings for cell in s.cells(setting, 0, 6)}
        for s in (study(f"{FLAGS} --out {finished}"), study(f"{FLAGS} --out {finished} --seed 5"))
    ]
    assert all(folder.exists() for folder in every[0]) and not any(folder.exists() for folder in every[1])


def test_settings_are_compared_on_the_same_data_alone(tmp_path, monkeypatch, capsys):
    stub(
        monkeypatch,
        kl_of(lambda c, seed: seed + 100 * (c.target == "grid") + 10 * (c.loss == "hinge")),
    )
    table = compare.run(study(f"mixture_2d --vary target=ring,grid loss=minimax,hinge --seeds 6 --out {tmp_path}"))
    assert [(row["data"], row["setting"], row["beats"]) for row in table] == [
        ("target=ring", "loss=minimax", ["loss=hinge"]),
        ("target=ring", "loss=hinge", []),
        ("target=grid", "loss=minimax", ["loss=hinge"]),
        ("target=grid", "loss=hinge", []),
    ]
    assert table[0]["median"] == 2.5 and table[0]["floor"] == 0.5


def test_more_is_better_for_some_numbers_and_images_have_a_run_a_seed(tmp_path, monkeypatch):
    made = stub(monkeypatch, lambda config: {"precision": config.r1 + config.seed / 10, "precision_floor": 0.9})
    words = f"mnist_dcgan --vary r1=0,1 --metric precision --seeds 7 --seed 3 --out {tmp_path} --data digits"
    table = compare.run(study(words))
    assert sorted(cell.config.seed for cell in made) == sorted(2 * list(range(3, 10)))
    assert all(cell.config.data == "digits" for cell in made)
    best = table[0]
    assert best["setting"] == "r1=1" and best["beats"] == ["r1=0"] and best["median"] == pytest.approx(1.6)
    assert best["low"] <= best["median"] <= best["high"]
    assert best["worst"] == pytest.approx(1.36)  # the 10% quantile of 1.3, 1.4, ..., 1.9
    page = (tmp_path / "compare.md").read_text()
    assert "more is better" in page and "| difference to r1=0 |" in page
    assert "| +1.0000, better on 7 of 7 | r1=0 |" in page  # every seed of r1=1 is better by 1


def test_training_that_diverged_is_worst(tmp_path, monkeypatch):
    results = kl_of(lambda config, seed: 1.0)
    stub(monkeypatch, lambda config: {"stopped": "NaN"} if config.loss == "hinge" else results(config))
    table = compare.run(study(f"normal_1d --vary loss=minimax,hinge --seeds 8 --out {tmp_path}"))
    assert [row["median"] for row in table] == [1.0, np.inf] and table[0]["beats"] == ["loss=hinge"]
    assert [(row["difference"], row["ahead"]) for row in table] == [(0, 0), (np.inf, 0)]
    assert "normal_1d,hinge,7,,," in (tmp_path / "compare.csv").read_text()


def test_training_that_diverged_is_worst_where_more_is_better_too(tmp_path, monkeypatch):
    stub(monkeypatch, lambda config: {"stopped": "NaN"} if config.r1 else {"precision": 0.5})
    words = f"mnist_dcgan --vary r1=1,0 --metric precision --seeds 7 --out {tmp_path} --data digits"
    table = compare.run(study(words))
    assert [(row["setting"], row["median"]) for row in table] == [("r1=0", 0.5), ("r1=1", -np.inf)]
    assert table[0]["beats"] == ["r1=1"]


def test_a_run_of_many_seeds_that_diverged_is_trained_seed_by_seed(tmp_path, monkeypatch, capsys):
    """Seed 5 alone diverges; in a run with others it stops them, too."""

    def results(config):
        diverges = config.loss == "hinge" and config.seed <= 5 < config.seed + config.seeds
        return {"stopped": "NaN"} if diverges else kl_of(lambda config, seed: 1.0 + seed / 100)(config)

    made = stub(monkeypatch, results)
    table = compare.run(study(f"normal_1d --vary loss=minimax,hinge --seed 3 --seeds 8 --out {tmp_path}"))
    assert [(cell.config.loss, cell.config.seed, cell.config.seeds) for cell in made] == [
        *(("minimax", 3, 8), ("hinge", 3, 8)),
        *(("hinge", seed, 1) for seed in range(3, 11)),
    ]
    assert "trained one by one" in capsys.readouterr().out
    hinge = table[1]
    assert hinge["setting"] == "loss=hinge" and hinge["median"] == pytest.approx((1.07 + 1.08) / 2)
    assert table[0]["beats"] == []  # one seed of eight is worse, the others are equal
    assert hinge["seeds"] == 8 and hinge["high"] > hinge["low"]
    lines = list(csv.DictReader((tmp_path / "compare.csv").read_text().splitlines()))
    assert [line["seed"] for line in lines if not line["kl"]] == ["5"]


def test_a_metric_that_no_run_has_is_said_even_if_all_runs_diverged_at_first(tmp_path, monkeypatch):
    stub(monkeypatch, lambda config: {"stopped": "NaN"} if config.seeds > 1 else {"modes": None})
    words = f"mixture_2d --vary r1=0,1 --target spiral --metric modes --seeds 6 --out {tmp_path}"
    with pytest.raises(files.BadInput, match="^--metric modes: "):
        compare.run(study(words))


def test_a_seed_that_diverges_in_a_later_round_is_trained_alone(tmp_path, monkeypatch):
    def results(config):  # seed 15 of r1=0.1, which is in the second round
        diverges = config.r1 == 0.1 and config.seed <= 15 < config.seed + config.seeds
        return {"stopped": "NaN"} if diverges else kl_of(lambda c, seed: c.r1 + seed / 100)(config)

    stub(monkeypatch, results)
    made = study(f"normal_1d --vary r1=0.1,0.2,0.3,0.4 --seeds 20 --budget 1h --out {tmp_path}")
    made.train()
    expected = [np.inf if k == 15 else 0.1 + k / 100 for k in range(20)]
    np.testing.assert_allclose(made.scores(made.settings[0]), expected)


def test_the_level_and_its_share_for_each_look_decide_what_is_claimed(tmp_path, monkeypatch):
    """Six of seven seeds favour r1=0.1, the smallest difference does not: exactly p = 2 * 2 / 2^7 = .031."""
    stub(monkeypatch, kl_of(lambda c, seed: 0.0 if c.r1 == 0.1 else seed / 10 if seed else -0.001))
    for level, beats in ((0.02, []), (0.05, ["r1=0.2"])):
        made = study(f"normal_1d --vary r1=0.1,0.2 --seeds 7 --level {level} --out {tmp_path}")
        made.train()
        (first,) = (row for row in made.rows() if row["setting"] == "r1=0.1")
        assert first["beats"] == beats
    halving = study(f"normal_1d --vary r1=0.1,0.2,0.3,0.4 --seeds 20 --budget 1h --out {tmp_path}")
    assert (halving.chance, halving.level) == (0.05, 0.025)  # two looks


def test_settings_that_one_script_alone_has_are_compared_there(tmp_path, monkeypatch):
    """R1 of 1 is the recipe of mixture_2d, and a change for normal_1d."""
    stub(monkeypatch, kl_of(lambda config, seed: config.r1 + seed / 100))
    words = f"--vary loss=hinge,minimax r1=0,1 --one-at-a-time --seeds 6 --out {tmp_path}"
    for scripts in ("normal_1d mixture_2d", "mixture_2d normal_1d"):
        table = compare.run(study(f"{scripts} {words}"))
        there = [(row["data"], row["setting"]) for row in table]
        assert ("normal_1d", "r1=1") in there and ("mixture_2d", "r1=1") not in there and len(there) == 5 + 4
        assert study(f"{scripts} {words}").enough == 8  # 1 + log2(4 pairs / .05), up; three pairs alone take 7
        assert (tmp_path / "compare.png").exists()
        (tmp_path / "compare.png").unlink()


def test_a_number_that_a_result_does_not_have_is_no_divergence(tmp_path, monkeypatch):
    stub(
        monkeypatch, lambda config: {"modes": None} if config.target == "spiral" else {"modes": {"per_seed": [8] * 6}}
    )
    words = f"mixture_2d --vary target=ring,spiral r1=0,1 --metric modes --seeds 6 --out {tmp_path}"
    with pytest.raises(files.BadInput, match="^--metric modes: .*target=spiral.* has none; the run is kept"):
        compare.run(study(words))


def test_a_run_without_the_metric_ends_the_study_before_the_next_one(tmp_path, monkeypatch):
    played = []

    def play(cell):
        played.append(cell)
        files.write_json(cell.folder / "result.json", {"steps": cell.config.steps, "modes": None})

    monkeypatch.setattr(cells.run, "__defaults__", (play, *cells.run.__defaults__[1:]))
    words = f"mixture_2d --vary r1=0,1 --target spiral --metric modes --seeds 6 --workers 1 --out {tmp_path}"
    for _ in range(2):  # the second time the run is there already
        with pytest.raises(files.BadInput, match="^--metric modes: "):
            compare.run(study(words))
    assert len(played) == 1


@pytest.mark.parametrize(
    "numbers",
    [
        *({"kl": value} for value in ("x", [1.0], {"median": 1}, {"per_seed": [1.0] * 5}, {"per_seed": ["1"] * 6})),
        *({"kl": {"per_seed": [1.0] * 6}, name: "x"} for name in ("wasserstein", "kl_floor", "wall_seconds")),
    ],
    ids=str,
)
def test_a_result_without_numbers_is_one_line_that_names_its_file(numbers, tmp_path, capsys):
    words = f"normal_1d --vary r1=0,1 --seeds 6 --workers 1 --out {tmp_path}"
    (cell,) = (made := study(words)).cells(made.settings[0], 0, 6)
    files.write_json(cell.folder / "result.json", {"steps": cell.config.steps} | numbers)
    assert run(words) == 2
    damaged = next(name for name in reversed(numbers))
    assert f"{cell.folder / 'result.json'}: {damaged} is damaged, expected a number" in one_line(capsys)


@pytest.mark.parametrize(
    ("words", "metric"),
    [
        ("pix2pix --vary l1=10,100 --pairs facades", "l1"),
        ("cyclegan --vary cycle=1,10 --domain-a a --domain-b b", "cycle_a"),
        ("cyclegan --vary cycle=1,10", "frechet_digit_distance"),
    ],
)
def test_your_own_images_are_compared_by_a_number_that_needs_no_digits(words, metric):
    assert study(words).metric == metric


def test_a_file_that_is_not_there_is_said_before_anything_is_trained(tmp_path, monkeypatch):
    monkeypatch.setattr(cells, "run", lambda *_, **__: pytest.fail("trained"))
    np.savetxt(tmp_path / "points.csv", np.random.default_rng(0).normal(size=(100, 2)))
    words = f"mixture_2d --vary target={tmp_path}/points.csv,nowhere.csv loss=hinge,minimax --out {tmp_path / 'out'}"
    with pytest.raises(files.BadInput, match="^--target nowhere.csv"):
        compare.run(study(words))
    monkeypatch.setattr(cells, "finished_result", lambda cell: {"kl": 1})  # then the files are not needed any more
    monkeypatch.setattr(cells, "run", lambda every, *_, **__: [kl_of(lambda *_: 1.0)(c.config) for c in every])
    monkeypatch.setattr(cells, "commits", lambda folder: {"abcdef0"})
    assert len(compare.run(study(words))) == 4
    with pytest.raises(files.BadInput, match="^--target rnig: expected ring, grid, spiral"):
        study("mixture_2d --vary target=ring,rnig r1=0,1")


def test_brackets_and_colons_in_the_table_are_shown_as_they_are(tmp_path, capsys):
    made = study(f"mixture_2d --vary 'target=ring,a[/b]:smile:.csv' loss=hinge,minimax --out {tmp_path}")
    made.settings = [s._replace(label=f"c[/{s.label}]") for s in made.settings]
    numbers = dict.fromkeys(("seeds", "median", "low", "high", "worst", "difference", "ahead", "shared"), 1)
    row = {"dropped": False, "floor": None} | numbers
    table = [row | {"data": s.data, "setting": s.label, "beats": []} for s in made.settings]
    table[0]["beats"] = table[2]["beats"] = ["c[/loss=minimax]"]
    compare.show(made, table)
    said = capsys.readouterr().out
    assert "target=a[/b]:smile:.csv: " in said and re.search(r"1 +c\[/loss=hinge\] .* 2 *$", said, re.M)


def test_values_stand_in_the_lines_as_they_were_typed_where_the_settings_no_longer_hold_them(tmp_path, monkeypatch):
    stub(monkeypatch, kl_of(lambda config, seed: config.steps))
    compare.run(study(f"normal_1d --vary epochs=10,20 --seeds 6 --out {tmp_path}"))
    lines = list(csv.DictReader((tmp_path / "compare.csv").read_text().splitlines()))
    assert [(line["epochs"], line["kl"]) for line in lines[::6]] == [("10", "100"), ("20", "200")]


def test_every_number_of_every_table_has_a_direction_or_less_is_better():
    scripts = ("normal_1d", "mixture_2d", "mnist_mlp", "mnist_conditional", "stacked_mnist", "pix2pix", "cyclegan")
    known = {key for name in (*scripts, "numpy_gan") for key, _ in cli.script(name).TABLE.rows.values()}
    assert known >= compare.HIGHER | compare.NEITHER
    lower = known - compare.HIGHER - compare.NEITHER
    assert lower == {
        *("kl", "kl_reverse", "reverse_kl", "wasserstein", "sliced_wasserstein", "kolmogorov_smirnov", "lost_mass"),
        *("game_value_optimal", "frechet_digit_distance", "label_kl", "pixel_kl", "to_real", "to_fake", "l1"),
        *("cycle_a", "cycle_b"),
    }


# ---- what is compared


def labels(words):
    return [(setting.data, setting.label) for setting in study(words).settings]


def test_all_combinations_or_one_change_at_a_time():
    every = "normal_1d --vary loss=minimax,hinge r1=0,0.1 --seeds 6"
    assert labels(every) == [("", f"loss={a} r1={b}") for a in ("minimax", "hinge") for b in ("0", "0.1")]
    alone = study(f"{every} --one-at-a-time")  # .1 is the recipe's
    assert [setting.label for setting in alone.settings] == ["the recipe", "loss=minimax", "loss=hinge", "r1=0"]
    assert alone.pairs("") == [("the recipe", name) for name in ("loss=minimax", "loss=hinge", "r1=0")]
    assert alone.settings[0].config == replace(cli.script("normal_1d").Config(), seeds=16)


def test_values_are_read_as_the_flags_of_the_script_are():
    words = "normal_1d --vary recipe=stable,classic 'generator_hidden=8 4,16' standardise=true,false --steps 50"
    found = study(words).settings
    assert len(found) == 8 and {s.config.generator_hidden for s in found} == {(8, 4), (16,)}
    assert {(s.recipe, s.config.loss) for s in found} == {("stable", "non_saturating"), ("classic", "minimax")}
    assert all(s.config.steps == s.config.eval_every == 50 or s.recipe == "classic" for s in found)
    assert {s.config.standardise for s in found} == {True, False}


@pytest.mark.parametrize("word", ["normal_1d", "normal_1d.py", "experiments/normal_1d.py", compare.__file__])
def test_a_script_may_be_typed_as_its_file(word, monkeypatch):
    monkeypatch.chdir(Path(compare.__file__).parents[1])
    word = word.replace("compare.py", "normal_1d.py")  # the whole path
    made, same = (study(f"{name} --vary loss=minimax,hinge") for name in (word, "normal_1d"))
    assert made.config.scripts == ("normal_1d",) and made.settings == same.settings and made.folder == same.folder


def test_several_scripts_have_tables_of_their_own():
    found = study("normal_1d mixture_2d --vary loss=minimax,hinge --seeds 6")
    assert found.data == ["normal_1d", "mixture_2d"] and len(found.of("normal_1d")) == 2


# ---- successive halving


def test_rounds_of_halving():
    assert compare.rungs(8, 32) == [8, 16, 32] and compare.rungs(2, 10) == [10] and compare.rungs(16, 4) == [2, 4]


def test_the_worse_half_is_dropped_and_the_table_says_so(tmp_path, monkeypatch):
    made = stub(monkeypatch, kl_of(lambda config, seed: config.r1 + seed / 100))
    words = f"normal_1d --vary r1=0.1,0.2,0.3,0.4 --seeds 20 --budget 1h --out {tmp_path}"
    table = compare.run(study(words))
    assert [(row["setting"], row["seeds"], row["dropped"]) for row in table] == [
        *(("r1=0.1", 20, False), ("r1=0.2", 20, False)),
        *(("r1=0.3", 10, True), ("r1=0.4", 10, True)),
    ]
    assert [(c.config.r1, c.config.seed, c.config.seeds) for c in made[4:]] == [(0.1, 10, 10), (0.2, 10, 10)]
    text = (tmp_path / "compare.md").read_text()
    assert "at 10 seeds the worse half was dropped" in text and "corrected for 2 looks" in text
    assert "| 10, then dropped |" in text and len((tmp_path / "compare.csv").read_text().splitlines()) == 61


def test_the_better_half_of_each_data_by_the_median_plays_on(tmp_path, monkeypatch):
    """Of five settings three play on, then two; on the grid the order is the other one. One seed diverged."""

    def kl(config, seed):
        if (config.target, config.r1, seed) == ("ring", 0.1, 0):
            return None
        return (config.r1 if config.target == "ring" else 1 - config.r1) + seed / 100

    made = stub(monkeypatch, kl_of(kl))
    flags = f"--seeds 20 --budget 1h --out {tmp_path}"
    study(f"mixture_2d --vary target=ring,grid r1=0.1,0.2,0.3,0.4,0.5 {flags}").train()
    assert {(c.config.target, c.config.r1) for c in made if c.config.seed == 5} == {
        *(("ring", 0.1), ("ring", 0.2), ("ring", 0.3), ("grid", 0.5), ("grid", 0.4), ("grid", 0.3))
    }
    assert {(c.config.target, c.config.r1) for c in made if c.config.seed == 10} == {
        *(("ring", 0.1), ("ring", 0.2), ("grid", 0.5), ("grid", 0.4))
    }
    assert len(made) == 10 + 6 + 4


def test_a_round_that_does_not_fit_the_budget_is_not_begun(tmp_path, monkeypatch, capsys):
    clock = iter([0.0, 0.0, 50.0])
    monkeypatch.setattr(compare.time, "monotonic", lambda: next(clock))  # the next round takes another 25 s
    made = stub(monkeypatch, kl_of(lambda config, seed: config.r1 + seed / 100))
    table = compare.run(study(f"normal_1d --vary r1=0.1,0.2,0.3,0.4 --seeds 20 --budget 1.2m --out {tmp_path}"))
    assert len(made) == 4 and {(row["seeds"], row["dropped"]) for row in table} == {(10, False)}
    assert "--budget 1.2m: another round would take longer" in capsys.readouterr().out
    words = "Successive halving: no setting was dropped; the budget of 1.2m ended the study at 10 of 20 seeds."
    assert words in (tmp_path / "compare.md").read_text()


def test_a_study_that_its_budget_ended_early_says_that_its_seeds_are_too_few(tmp_path, monkeypatch):
    clock = iter([0.0, 0.0, 50.0])
    monkeypatch.setattr(compare.time, "monotonic", lambda: next(clock))
    stub(monkeypatch, kl_of(lambda config, seed: config.r1))
    compare.run(study(f"normal_1d --vary r1=0.1,0.2,0.3,0.4 --seeds 10 --budget 1.2m --out {tmp_path}"))
    assert "With 5 seeds no difference can be shown; it takes at least 9." in (tmp_path / "compare.md").read_text()


def test_vary_may_be_given_several_times():
    words = "normal_1d --vary r1=0,1 --seeds 8 --vary=loss=hinge,minimax latent_dim=1,2 --batch 20"
    own, others = compare.split(shlex.split(words))
    assert own == ["normal_1d", "--seeds", "8", "--vary", "r1=0,1", "loss=hinge,minimax", "latent_dim=1,2"]
    assert others == ["--batch", "20"]


def test_files_of_no_study_are_not_replaced(tmp_path):
    (tmp_path / "compare.csv").write_text("precious")
    with pytest.raises(files.BadInput, match=r"compare\.csv is not of a study; expected a new folder"):
        study(f"normal_1d --vary r1=0.1,0.2 --out {tmp_path}")


def test_a_budget_counts_what_the_runs_of_an_earlier_command_took(tmp_path, monkeypatch, capsys):
    """The first round is there already, and took four hours."""
    stub(monkeypatch, lambda config: kl_of(lambda config, seed: config.r1)(config) | {"wall_seconds": 3600.0})
    words = f"normal_1d --vary r1=0.1,0.2,0.3,0.4 --seeds 20 --workers 1 --budget 1h --out {tmp_path}"
    compare.run(study(words))
    assert "--budget 1h: another round would take longer" in capsys.readouterr().out


def test_studies_with_other_flags_have_other_folders():
    words = ["r1=0,1", "r1=2,3", "r1=0,1 --target grid", "r1=0,1 --target ring"]
    words += [f"r1=0,1 --generator-hidden {'8 ' * 100} {last}" for last in (8, 9)]
    folders = {study(f"mixture_2d --vary {w}").folder for w in words}
    folders |= {study(f"normal_1d --vary r1=0,1 --target-args {a} 1").folder for a in (-5, 5)}
    assert len(folders) == 8 and all(folder.parent == Path("runs/compare") for folder in folders)
    assert study("mixture_2d --vary r1=0,1").folder == study("mixture_2d --vary r1=0,1 --metric modes").folder


# ---- too few seeds


def test_table_says_from_how_many_seeds_on_pairs_can_be_told_apart(tmp_path, monkeypatch):
    stub(monkeypatch, kl_of(lambda config, seed: config.r1))
    compare.run(study(f"normal_1d --vary r1=0.1,0.2 --seeds 5 --out {tmp_path}"))
    assert "no difference can be shown; it takes at least 6" in (tmp_path / "compare.md").read_text()
    compare.run(study(f"normal_1d --vary r1=0.1,0.2 --seeds 6 --level 0.05 --out {tmp_path}"))
    assert "no difference" not in (tmp_path / "compare.md").read_text()


# ---- what users get wrong


TWO = "--vary r1=0,1"
WRONG = {
    "": "SCRIPT: expected one or more scripts, each once",
    f"normal_1d normal_1d {TWO}": "SCRIPT normal_1d normal_1d: expected one or more scripts, each once",
    f"nothing {TWO}": "SCRIPT nothing: no experiment of this name",
    f"../lab/files.py {TWO}": "SCRIPT ../lab/files.py: no experiment of this name",
    f"elsewhere/normal_1d.py {TWO}": "SCRIPT elsewhere/normal_1d.py: no experiment of this name",
    f"a.b {TWO}": "SCRIPT a.b: no experiment of this name",
    f"'' {TWO}": "SCRIPT '': no experiment of this name",
    f"normal_1d.py normal_1d {TWO}": "SCRIPT normal_1d normal_1d: expected one or more scripts, each once",
    f"dirac_gan {TWO}": "SCRIPT dirac_gan: has no numbers to compare",
    "normal_1d": "--vary: expected settings, each once",
    "normal_1d mnist_mlp --vary loss=hinge,minimax": "SCRIPT normal_1d mnist_mlp: their results share no number",
    "normal_1d --vary r1=0,1 r1=2,3": "--vary r1=0,1 r1=2,3: expected settings, each once",
    "mixture_2d --vary target=ring,grid": "--vary target=ring,grid: expected settings, each once, at least one",
    "normal_1d --vary r1": "--vary r1: expected NAME=VALUE,VALUE",
    "normal_1d --vary ''": "--vary '': expected NAME=VALUE,VALUE",
    "normal_1d --vary r1=0": "--vary r1=0: expected NAME=VALUE,VALUE: two or more values, each once",
    "normal_1d --vary r1=0,0": "--vary r1=0,0: expected NAME=VALUE,VALUE: two or more values, each once",
    "normal_1d --vary r1=0,": "--vary r1=0,: expected NAME=VALUE,VALUE",
    "normal_1d --vary r1=0,0.0": "--vary r1=0.0: the same as r1=0; expected values that differ",
    "normal_1d --vary learning_rat=1,2": "--vary learning_rat: no setting that can be varied; did you mean",
    "normal_1d --vary seed=1,2": "--vary seed: no setting that can be varied; all have the same seeds",
    "normal_1d --vary out=a,b": "--vary out: no setting that can be varied",
    "numpy_gan --vary recipe=stable,classic": "--vary recipe: no setting that can be varied",
    "normal_1d --vary recipe=stable,best": "--recipe best: expected one of stable, classic",
    "normal_1d --vary r1=0.1,.10 --one-at-a-time": "--vary r1=0.1,.10: every value is the recipe's own",
    f"normal_1d {TWO} --r1 1": "--vary r1: it is fixed by --r1",
    "normal_1d --vary r1=0,fast": "--r1 fast: expected a number, 0 or more and below 1e38",
    "normal_1d --vary r1=0,-1": "--r1 -1: expected 0 or more and below 1e38",
    "normal_1d --vary loss=hinge,best": "--loss best: expected one of minimax, non_saturating",
    "normal_1d --vary standardise=true,no": "--vary standardise=no: expected true or false",
    'normal_1d --vary "target=norm,a\'b" r1=0,1': "--vary target=a'b: no closing quotation",
    "normal_1d --vary 'batch=4 --seed 7,8'": "--vary batch=4 --seed 7: expected values alone",
    "normal_1d --vary 'batch=4 --help,8'": "--vary batch=4 --help: expected values alone",
    "normal_1d --vary 'recipe=stable -h,classic'": "--vary recipe=stable -h: expected values alone",
    "normal_1d --vary loss=hinge,minimax --unroll 3": "--unroll 3: not with --loss hinge",
    f"normal_1d {TWO} --stepz 3": "--stepz: no such flag; did you mean --steps?",
    f"normal_1d {TWO} --resume a": "--resume: expected with a single run",
    f"normal_1d {TWO} --tensorboard": "--tensorboard: expected with a single run",
    f"normal_1d {TWO} --metric loss": "--metric loss: expected one of kl, kl_reverse, wasserstein",
    f"normal_1d {TWO} --metric game_value": "--metric game_value: expected one of kl",
    f"normal_1d mixture_2d {TWO} --metric wasserstein": "--metric wasserstein: expected one of kl\n",
    f"normal_1d {TWO} --seeds 1": "--seeds 1: expected at least 2",
    f"numpy_gan --vary batch=8,16 --seeds {2**40}": f"--seeds {2**40}: from --seed 0 on the last seed would be",
    f"normal_1d {TWO} --seed {2**31 - 1} --seeds 2": f"--seeds 2: from --seed {2**31 - 1} on the last seed",
    f"normal_1d {TWO} --seeds 5 --level 0.05": "--seeds 5: --level 0.05 needs at least 6 for so many pairs",
    "normal_1d --vary r1=0,1,2 --seeds 6 --level 0.05": "--seeds 6: --level 0.05 needs at least 7 for so many pairs",
    f"normal_1d {TWO} --level 0": "--level 0: expected above 0 and below 1",
    f"normal_1d {TWO} --budget soon": "--budget soon: expected a time such as 90s, 20m or 1.5h",
    f"normal_1d {TWO} --budget 0m": "--budget 0m: expected a time",
    f"normal_1d {TWO} --workers 0": "--workers 0: expected at least 1",
    f"normal_1d {TWO} --shared": "--shared: expected beside --address",
    f"normal_1d {TWO} --out=": "--out '': expected a folder",
    f"normal_1d {TWO} --out file": "--out file: file is a file; expected a new folder, or an earlier study's",
    f"normal_1d {TWO} --out run": "--out run: run holds a run; expected a new folder",
    f"numpy_gan --vary learning_rate=1,2 --workers 1 --data {'long' * 1000}": "file name too long",
}


@pytest.mark.parametrize("words", WRONG, ids=[words[:50] for words in WRONG])
def test_wrong_input_is_one_line_and_nothing_is_written(words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.json").touch()
    before = sorted(tmp_path.rglob("*"))
    assert run(words) == 2
    assert WRONG[words] in one_line(capsys) and sorted(p for p in tmp_path.rglob("*") if p.is_file()) == [
        path for path in before if path.is_file()
    ]
