"""Which pages of results are stale: benchmarks/pages.py in a small repository, and that every page has a command.

Also what makes the page of times, and the runs behind a page.
"""

import contextlib
import importlib.util
import io
import json
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import MagicMock

import browser
import many_seeds
import numpy as np
import pages
import pytest
import quality_kde
import quality_losses
import quality_mnist
import quality_modes
import quality_pacgan
import quality_translation
import side_by_side
import speed
import speed_cells
import speed_commands
import speed_growth
import speed_live
import study
from scipy import stats

from experiments import compare, normal_1d
from lab import storage

PROJECT = Path(__file__).parent.parent
FILES = {
    "core.py": "RATE = 1\n",
    "lab/__init__.py": "",
    "lab/tool.py": 'import core\n\n\ndef twice(x):\n    """Two times x."""\n    return 2 * x\n',
    "lab/unused.py": "import lab.tool\n",
    "experiments/toy.py": "def late():\n    from lab import tool\n\n    return tool\n",
    "experiments/other.py": "",
    "experiments/sample.py": "",
    "metrics.py": 'KIND = "sample"\n',  # no script: its strings start nothing
    "benchmarks/pages.py": 'import lab.unused\n\nTEXT = "other.py"\n',  # it makes no number
    "benchmarks/helper.py": "import math\nimport metrics\n",
    "benchmarks/table.py": "import helper\nimport pages\n\nSTARTED = ['toy.py --steps 3', 'see other.py']\n",
}
NEEDED = "benchmarks/helper.py benchmarks/table.py core.py experiments/toy.py lab/__init__.py lab/tool.py metrics.py"
COMMAND = "python benchmarks/table.py > docs/results/table.md"


def git(folder, *words):
    return subprocess.run(["git", "-C", folder, *words], check=True, capture_output=True, text=True).stdout.strip()


def write(folder, files):
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


def commit(folder, words="A change"):
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--allow-empty", "--message", words)
    return git(folder, "rev-parse", "--short", "HEAD")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A repository of the files above, in the place of the project; no page is written yet."""
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    for who in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{who}_NAME", "somebody")
        monkeypatch.setenv(f"GIT_{who}_EMAIL", "somebody@example.org")
    root = tmp_path / "project"
    write(root, FILES)
    git(root, "init", "--quiet")
    commit(root, "The project")
    monkeypatch.setattr(pages, "ROOT", root)
    monkeypatch.setattr(pages, "PAGES", {"table.md": COMMAND})
    return root


@pytest.fixture
def page(folder, monkeypatch):
    """The page as its command writes it, committed."""
    monkeypatch.setattr(sys, "argv", ["benchmarks/table.py"])
    path = folder / "docs/results/table.md"
    write(folder, {"docs/results/table.md": f"# Table\n\n{pages.line(folder / 'benchmarks/table.py')}\n"})
    commit(folder, "The page")
    return path


@pytest.fixture
def listed(monkeypatch, capsys):
    """What `python benchmarks/pages.py` prints, as a function of its flags."""

    def found(*flags, code=0):
        monkeypatch.setattr(sys, "argv", ["pages.py", *flags])
        assert pages.main() == code
        return capsys.readouterr().out

    return found


def stale(why):
    return f"stale  table.md: {why}\n       {COMMAND}\n"


def made_at(page):
    return re.search(r"at commit (\w+)", page.read_text())[1]


# ---- the files and the line


def test_sources_are_what_is_imported_or_started_and_nothing_else(folder):
    assert pages.sources("benchmarks/table.py") == NEEDED.split()


def test_line_names_command_commit_day_and_machine(folder, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["benchmarks/table.py", "--only", "a b"])
    made, now = pages.line(folder / "benchmarks/table.py"), git(folder, "rev-parse", "--short", "HEAD")
    command = re.escape("python benchmarks/table.py --only 'a b'")
    assert re.fullmatch(rf"Made by `{command}` at commit {now} on \d{{4}}-\d\d-\d\d\. The machine: .*cores.*\.", made)


def test_line_tells_changes_of_the_code_of_its_files_alone(folder):
    def says_so():
        return " + changes on " in pages.line(folder / "benchmarks/table.py")

    write(folder, {"docs/results/table.md": "", "lab/unused.py": "X = 1\n", "core.py": "RATE = 1  # why\n"})
    assert not says_so()
    write(folder, {"core.py": "RATE = 2\n"})
    assert says_so()
    write(folder, {"core.py": FILES["core.py"], "experiments/toy.py": "import late\n", "benchmarks/late.py": ""})
    assert says_so()  # a file that git does not know


# ---- fresh and stale


def test_page_is_fresh_where_nothing_changed(page, listed):
    assert listed() == listed("--check") == "fresh  table.md\n"


@pytest.mark.parametrize(
    "text",
    [
        'import core  # why\n\n\ndef twice(x):\n    """Twice x."""\n    return 2 * x\n',
        "import core\ndef twice(x):\n\n    return (2\n        * x)\n",
    ],
)
def test_page_is_fresh_after_a_change_of_comments_docstrings_or_layout(text, folder, page, listed):
    write(folder, {"lab/tool.py": text})
    commit(folder)
    assert listed() == "fresh  table.md\n"


@pytest.mark.parametrize("committed", [True, False])
def test_page_is_stale_after_a_function_changed_in_a_file_that_it_needs(committed, folder, page, listed):
    at = made_at(page)
    write(folder, {"lab/tool.py": FILES["lab/tool.py"].replace("2 * x", "x + x"), "lab/unused.py": "X = 1\n"})
    if committed:
        commit(folder)
    assert listed() == listed("--check", code=1) == stale(f"changed since commit {at}: lab/tool.py")


def test_page_is_stale_after_the_script_that_it_starts_needs_a_new_file(folder, page, listed):
    at = made_at(page)
    write(folder, {"experiments/toy.py": "import fresh\n", "experiments/fresh.py": ""})
    commit(folder)
    assert listed() == stale(f"changed since commit {at}: experiments/fresh.py, experiments/toy.py")


def test_page_is_fresh_again_once_a_change_is_taken_back(folder, page, listed):
    write(folder, {"core.py": "RATE = 2\n"})
    commit(folder)
    write(folder, {"core.py": FILES["core.py"]})
    commit(folder)
    assert listed() == "fresh  table.md\n"


def test_page_of_older_runs_is_stale_by_what_changed_since_them(folder, page, listed):
    old = made_at(page)
    write(folder, {"core.py": "RATE = 2\n"})
    new = commit(folder)
    page.write_text(f"{page.read_text().replace(old, new)}\nThe runs were made at commits {old}, {new}.\n")
    assert listed() == stale(f"changed since commit {old} of its runs: core.py")
    page.write_text(page.read_text().replace(f"commits {old}, {new}", f"commits {new}, {new} + changes"))
    assert listed() == stale(f"the code of commit {new} + changes of its runs cannot be looked up")


def test_runs_are_not_stale_by_what_a_page_says_of_them(folder, page, listed):
    """The page is made again from the same runs after a change of its words; baselines_mnist.py makes runs."""
    old = made_at(page)
    write(folder, {"benchmarks/helper.py": f"{FILES['benchmarks/helper.py']}HEAD = 'other words'\n"})
    new = commit(folder)
    assert listed() == stale(f"changed since commit {old}: benchmarks/helper.py")
    page.write_text(f"{page.read_text().replace(old, new)}\nThe runs were made at commit {old}.\n")
    assert listed() == "fresh  table.md\n"
    write(folder, {"benchmarks/helper.py": "import baselines_mnist\n", "benchmarks/baselines_mnist.py": "X = 1\n"})
    newer = commit(folder)
    page.write_text(page.read_text().replace(f"at commit {new}", f"at commit {newer}"))
    assert listed() == stale(f"changed since commit {old} of its runs: benchmarks/baselines_mnist.py")


def test_commit_of_another_history_is_stale(folder, page, listed):
    text, at = page.read_text(), made_at(page)
    git(folder, "checkout", "--quiet", "-b", "elsewhere")
    there = commit(folder)
    git(folder, "checkout", "--quiet", "-")
    page.write_text(text.replace(at, "0123456"))
    assert listed() == stale("commit 0123456 is not in this history")
    page.write_text(text.replace(at, there))
    assert listed() == stale(f"commit {there} is not in this history")


def test_pages_without_a_commit_or_a_command_are_stale(folder, page, listed):
    text, at = page.read_text(), made_at(page)
    page.write_text(text.replace("Made by", "Printed by"))
    assert listed() == stale("it names no commit")
    page.write_text(text.replace("table.py", "table.py --repeats 1"))
    assert listed() == stale("it was made by `python benchmarks/table.py --repeats 1`")
    page.write_text(text.replace(at, f"{at} + changes"))
    assert listed() == stale(f"the code of commit {at} + changes cannot be looked up")
    page.rename(page.with_name("other.md"))
    assert listed() == "stale  other.md: no command in benchmarks/pages.py makes it\n" + stale("it is not there")


# ---- without git


def test_downloaded_archive_is_one_line(folder, page, monkeypatch, capsys):
    (folder / ".git").rename(folder.parent / "git")
    assert "` outside git on " in (made := pages.line(folder / "benchmarks/table.py"))
    monkeypatch.setattr(sys, "argv", ["pages.py", "--check"])
    said = f"{folder}: not a git repository with commits; a downloaded archive has no history\n"
    assert pages.main() == 2 and capsys.readouterr() == ("", said)
    git(folder.parent, "init", "--quiet")
    git(folder.parent, "commit", "--quiet", "--allow-empty", "--message", "Another project around it")
    assert pages.main() == 2 and capsys.readouterr() == ("", said)
    page.write_text(made)
    (folder.parent / "git").rename(folder / ".git")
    assert pages.main() == 1 and capsys.readouterr().out == stale("it names no commit")


def test_missing_git_is_one_line(folder, page, monkeypatch, capsys):
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(sys, "argv", ["pages.py"])
    assert pages.main() == 2
    assert capsys.readouterr() == ("", "git is not installed; without it nobody knows when a file changed\n")
    assert "` outside git on " in pages.line(folder / "benchmarks/table.py")


# ---- the runs behind a page


def test_runs_name_the_commits_at_which_they_were_started_and_resumed(tmp_path, monkeypatch):
    monkeypatch.setattr(study, "COMMITS", set())
    monkeypatch.chdir(tmp_path)
    first, second = {"commit": "a" * 40}, {"commit": "b" * 40 + "-dirty", "step": 5}
    result = {"steps": normal_1d.Config.steps, "kl": 1}

    def line_after(seed, config):
        run = f"runs/table/normal_1d-stable-{seed}"
        write(tmp_path, {f"{run}/config.json": json.dumps(config), f"{run}/result.json": json.dumps(result)})
        assert study.runs_of("table", normal_1d, [seed]) == [result]  # it is finished
        return study.about_runs().splitlines()[0]

    assert line_after(0, first) == "The runs were made at commit aaaaaaa."
    assert line_after(1, first | {"resumed": [second]}) == "The runs were made at commits aaaaaaa, bbbbbbb + changes."
    assert pages.RUNS.findall(line_after(2, {"commit": None})) == ["aaaaaaa, bbbbbbb + changes, unknown"]
    assert not pages.COMMIT.fullmatch("unknown")


def test_each_run_behind_a_table_has_its_own_seed_and_the_settings_of_its_row(monkeypatch):
    made = []
    monkeypatch.setattr(study, "COMMITS", set())
    monkeypatch.setattr(study.cells, "run", lambda every, *_, **__: made.extend(every) or [{}] * len(every))
    study.runs_of("table", normal_1d, (3, 5), "classic", ["--batch", "20"])
    for cell, seed in zip(made, (3, 5), strict=True):
        assert cell.folder == Path(f"runs/table/normal_1d-classic-{seed}") and cell.recipe == "classic"
        assert cell.config == replace(normal_1d.CLASSIC, seed=seed, batch=20)


def test_a_run_with_other_settings_is_not_taken_for_that_of_the_page(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    run, result = "runs/table/normal_1d-stable-0", {"steps": normal_1d.Config.steps}
    saved = json.dumps({"config": {"generator_hidden": [8, 8], "r1": 7.0}})
    write(tmp_path, {f"{run}/config.json": saved, f"{run}/result.json": json.dumps(result)})
    with pytest.raises(SystemExit) as end:
        study.runs_of("table", normal_1d, [0], extra=["--generator-hidden", "8", "8"])
    assert end.value.code == 2
    assert (
        f"{run}: was made with r1 7.0, but this page needs {normal_1d.Config.r1}; delete" in capsys.readouterr().err
    )


@pytest.mark.parametrize("damaged", ["{", "[]", '{"config": 3}'])
def test_a_finished_run_whose_config_is_damaged_is_used_and_its_commit_unknown(damaged, tmp_path, monkeypatch):
    monkeypatch.setattr(study, "COMMITS", set())
    monkeypatch.chdir(tmp_path)
    run, result = "runs/table/normal_1d-stable-0", {"steps": normal_1d.Config.steps}
    write(tmp_path, {f"{run}/config.json": damaged, f"{run}/result.json": json.dumps(result)})
    assert study.runs_of("table", normal_1d, [0]) == [result]
    assert study.about_runs().splitlines()[0] == "The runs were made at commit unknown."


def test_numbers_of_a_finished_run_are_kept_and_serve_where_the_run_is_not(tmp_path, monkeypatch):
    monkeypatch.setattr(study, "COMMITS", set())
    monkeypatch.chdir(tmp_path)
    name, saved = "table/normal_1d-stable-0", {"commit": "a" * 40, "config": {"r1": normal_1d.Config.r1}}
    result = {"steps": normal_1d.Config.steps, "kl": 1}
    texts = {"config.json": json.dumps(saved), "result.json": json.dumps(result)}
    write(tmp_path, {f"runs/{name}/{file}": text for file, text in texts.items()})
    assert study.runs_of("table", normal_1d, [0]) == [result]
    kept = tmp_path / "docs/results/runs" / name
    assert {file.name: file.read_text() for file in kept.iterdir()} == texts
    shutil.rmtree(tmp_path / "runs")  # as on another machine
    study.COMMITS.clear()
    assert study.runs_of("table", normal_1d, [0]) == [result]
    assert study.about_runs().splitlines()[0] == "The runs were made at commit aaaaaaa."
    assert not (tmp_path / "runs").exists()
    with pytest.raises(SystemExit):  # a kept run of other settings
        study.runs_of("table", normal_1d, [0], extra=["--r1", "7"])


def test_kept_numbers_of_other_steps_are_not_used(tmp_path, monkeypatch):
    made = []
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(study, "note_commits", lambda folder: None)
    monkeypatch.setattr(study.cells, "run", lambda every, *_, **__: made.extend(every) or [{}] * len(every))
    write(tmp_path, {"docs/results/runs/table/normal_1d-stable-0/result.json": '{"steps": 5}'})
    study.runs_of("table", normal_1d, [0])
    assert [cell.folder for cell in made] == [Path("runs/table/normal_1d-stable-0")]


def test_numbers_of_a_run_that_diverged_are_not_kept(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    cell = study.cells.Cell("normal_1d", "stable", normal_1d.Config(), Path("runs/table/normal_1d-stable-0"))
    write(tmp_path, {f"{cell.folder}/{name}": "{}" for name in ("config.json", "result.json")})
    study.keep(cell, {"steps": 8000, "stopped": "step 7: generator_loss is nan"})
    assert not Path("docs").exists()
    study.keep(cell, {"steps": 8000})
    assert len([*Path("docs/results/runs/table/normal_1d-stable-0").iterdir()]) == 2


def test_run_that_diverged_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr(study, "COMMITS", set())
    monkeypatch.chdir(tmp_path)
    for seed, fate in enumerate(({}, {"stopped": "step 7: generator_loss is nan"})):
        result = {"steps": normal_1d.Config.steps} | fate
        run = f"runs/table/normal_1d-stable-{seed}"
        write(tmp_path, {f"{run}/config.json": '{"commit": null}', f"{run}/result.json": json.dumps(result)})
    with pytest.raises(SystemExit, match=r"^runs/table/normal_1d-stable-1: step 7: generator_loss is nan$"):
        study.runs_of("table", normal_1d, range(2))


def test_seeds_in_words():
    assert [study.named(seeds) for seeds in ([0], (4, 5), [0, 1, 2, 4], range(4, 14))] == [
        "seed 0",
        "seeds 4, 5",
        "seeds 0, 1, 2, 4",
        "seeds 4 to 13",
    ]


def test_page_of_losses_names_its_command_and_the_commits_of_its_cells(tmp_path, monkeypatch):
    def made(command):
        assert command[:2] == ["normal_1d", "mixture_2d"]
        table = "# Settings compared\n\nA table.\n\nThe runs were made at commit abcdef0.\n"
        write(tmp_path, {"study/compare.md": table, "study/compare.csv": "1", "study/compare.png": "2"})

    monkeypatch.setattr(pages, "line", lambda script: "Made by hand.")
    monkeypatch.setattr(compare, "main", made)
    quality_losses.main([*quality_losses.COMMAND[:-1], str(tmp_path / "study")], tmp_path / "docs")
    page = (tmp_path / "docs/results/losses.md").read_text()
    assert page.startswith("# Losses compared\n\nA table.\n\nThe ring")
    assert page.endswith("\n\nThe runs were made at commit abcdef0.\nMade by hand.\n") and pages.RUNS.search(page)
    assert (tmp_path / "docs/results/losses.csv").read_text() == "1"
    assert (tmp_path / "docs/figures/losses.png").read_text() == "2"


def test_commit_of_a_run_is_dirty_only_after_a_change_of_code(folder, monkeypatch):
    monkeypatch.setattr(storage, "__file__", str(folder / "lab/storage.py"))
    now, provenance = git(folder, "rev-parse", "HEAD"), storage.provenance.__wrapped__  # as of another process
    write(folder, {"docs/results/table.md": "", "notes.md": ""})
    git(folder, "add", "--all")
    assert provenance()["commit"] == now
    write(folder, {"lab/tool.py": ""})
    assert provenance()["commit"] == f"{now}-dirty"
    monkeypatch.setenv("PATH", "")
    assert provenance()["commit"] is None


def test_commit_of_a_run_is_that_of_the_code_that_its_process_has_imported(folder, monkeypatch):
    before = storage.provenance()
    monkeypatch.setattr(storage, "__file__", str(folder / "lab/storage.py"))  # as if it had been committed meanwhile
    assert storage.provenance() == before


# ---- the statistics of the pages


def test_means_with_their_spread_or_error_worked_by_hand():
    """The standard deviation of 1, 2, 3, 4 is sqrt(5 / 3) = 1.291; half of it is the standard error of the mean."""
    assert study.spread([1, 2, 3, 4], 2) == "2.50 +- 1.29" and study.spread([-1e-9] * 2, 1) == "0.0"
    assert study.minutes([{"cpu_seconds": 90}, {"cpu_seconds": 60}]) == "1.0"
    assert quality_modes.with_error([1, 2, 3, 4], 1, 100) == "250.0 +- 64.5"
    assert quality_modes.with_error([8, 8], 1) == "8.0"
    assert quality_modes.with_error([8, None, 7], 1) == "infinite in 1 of 3"
    seeds = {"modes": [7, 8], "high_quality": [0.96, 0.98], "reverse_kl": [0.1, 0.3]}  # half of the difference
    row = quality_modes.numbers({name: {"per_seed": values} for name, values in seeds.items()})
    assert row == ["7.5 +- 0.5", "97.0 +- 1.0", "0.2000 +- 0.1000"]


@pytest.mark.parametrize(
    ("mean", "words"), [(1.45, "2.1 standard errors more, which may be chance"), (1.52, "2.1 standard errors more")]
)
def test_difference_to_a_published_mean_is_that_of_ten_trials(mean, words):
    """Both standard errors are .5: t = mean / .707 is 2.05 or 2.15, and of 18 degrees of freedom p = .05 at 2.10."""
    ours = np.arange(-4.5, 5) / np.arange(10).std(ddof=1) * 0.5 * 10**0.5 + mean
    assert quality_modes.difference(ours.tolist(), "0 +- .5") == words


def test_difference_to_a_published_mean_is_welchs():
    """Errors 1.414 and .229; with a pooled variance 3 would be 3 standard errors, which are no chance."""
    ours = [-7.0, -5, -3, -1, 1]
    pooled = stats.ttest_ind_from_stats(-3, np.std(ours, ddof=1), 5, 0, 0.229 * 10**0.5, 10).pvalue
    assert pooled < 0.05
    assert quality_modes.difference(ours, "0 +- .229") == "2.1 standard errors less, which may be chance"
    assert quality_modes.difference([0.1, None, 0.2], "0.4 +- .1") == "infinite in some seeds"


def test_tricks_are_compared_with_the_plain_game_seed_by_seed_and_for_all_tests_together():
    """The seeds spread much more than they differ. Nine of ten seeds: here p = .01, too much for twelve tests."""
    seeds = np.arange(10.0)
    plain = {name: seeds for name in "abcdef"}
    most = seeds - 0.1 * np.array([1, 2, -3, 4, 5, 6, 7, 8, 9, 10])
    assert stats.wilcoxon(most - seeds).pvalue < 0.05
    first = {"a": seeds - 0.1, "b": seeds + 0.1, "c": seeds, "d": most, "e": seeds, "f": seeds}
    other = {name: np.where(seeds < 5, seeds, np.inf) for name in "abcdef"}
    same = "cannot be told apart"
    assert quality_modes.verdicts({"first": first, "other": other}, plain) == {
        "first": dict(zip("abcdef", ("better", "worse", *[same] * 4), strict=True)),
        "other": dict.fromkeys("abcdef", same),
    }


def test_table_of_tricks_says_better_where_there_are_more_modes_or_less_kl(monkeypatch, capsys):
    def runs_of(study, module, seeds, recipe, flags):
        lead = "--pack" in flags, "--unroll" in flags
        modes = [8 if lead[0] else 7] * 10
        kl = [None if lead[1] else 0.1 - 0.05 * lead[0] + 0.001 * k for k in range(10)]
        scores = {"modes": modes, "high_quality": [0.9] * 10, "reverse_kl": kl}
        return [{"cpu_seconds": 60} | {name: {"per_seed": values} for name, values in scores.items()}]

    monkeypatch.setattr(quality_modes, "runs_of", runs_of)
    quality_modes.tricks()
    said = capsys.readouterr().out.splitlines()
    one = "{0}, modes better; {0}, high quality % cannot be told apart; {0}, reverse KL better"
    assert f"* `--pack 4`: {one.format('ring')}; {one.format('grid')}." in said
    one = "{0}, modes cannot be told apart; {0}, high quality % cannot be told apart; {0}, reverse KL worse"
    assert f"* `--unroll 5`: {one.format('ring')}; {one.format('grid')}." in said


def test_sentence_about_bfloat16_names_the_smallest_p_value_of_all_columns():
    def row(**scores):
        return [
            {key: 7.0 for key, _ in quality_mnist.COLUMNS.values()} | {k: v[n] for k, v in scores.items()}
            for n in (0, 1, 2)
        ]

    recall, pixels = (0.1, 0.2, 0.3), (0.15, 0.25, 0.38)
    found = {"a": row(recall=recall), "a --precision bfloat16": row(recall=pixels), "b": row(recall=(0.0, 5, 9))}
    found |= {"b --precision bfloat16": row(recall=(0.0, 5, 9.5)), "a --categories 0": row(recall=(70.0, 71, 72))}
    p = stats.ttest_ind(recall, pixels, equal_var=False).pvalue
    said = quality_mnist.of_precision(found)
    assert "of 2 Welch's t-tests" in said and f"p-value is {p:.2g}; " in said


def test_doubled_seeds_and_packs_are_refused_before_anything_is_trained():
    for flags, line in (("--seeds 0 0", "--seeds 0 0"), ("--seeds 0 --packs 2 1 2", "--packs 2 1 2")):
        words = [sys.executable, str(PROJECT / "benchmarks/quality_pacgan.py"), *flags.split()]
        done = subprocess.run(words, capture_output=True, text=True, cwd=PROJECT, timeout=60)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.endswith(f"error: {line}: expected different numbers\n")


def test_comparison_with_pacgan_is_in_its_units():
    """High quality in percent, mean 97 with error .577: 2 / hypot(.577, 1) = 1.7. One reverse KL is infinite."""
    found = {"modes": [6, 7, 8], "high_quality": [0.96, 0.97, 0.98], "reverse_kl": [0.1, None, 0.2]}
    words = quality_pacgan.comparison(found, ("8 +- .1", "95 +- 1.0", ".45 +- .09"))
    modes, quality = (
        f"{text}, which may be chance" for text in ("1.7 standard errors less", "1.7 standard errors more")
    )
    assert words == f"modes {modes}; high quality {quality}; reverse kl infinite in some seeds"


@pytest.mark.parametrize(("lead", "better"), [(0.01, "GAN"), (-0.01, "KDE"), (0.0, "tie")])
def test_gan_and_kernel_density_estimate_are_compared_seed_by_seed(lead, better, capsys):
    """Over the seeds both spread much more than they differ."""
    gan = np.arange(1.0, 9)
    result = {name: {"median": 4.5, "q10": 1.7, "q90": 7.3} for name in ("kl", "kl_kde", "kl_kde_scott")}
    result["kl"]["per_seed"], result["kl_kde"]["per_seed"] = gan.tolist(), (gan + lead * gan).tolist()
    assert quality_kde.print_row("norm", 1000, result | {"kl_floor": 0.002, "lost_modes": 3}) == better
    cells = "norm | 1000 | 4.5000 (1.7000 to 7.3000) | 4.5000 | 4.5000 | 0.0020"
    assert capsys.readouterr().out == f"| {cells} | {better} | 3 |\n"


def test_translated_and_untranslated_digits_are_compared_seed_by_seed(monkeypatch, capsys):
    """Differences of .01, .02, .03: t = 2 sqrt(3), and of two degrees of freedom p = 1 - t / sqrt(2 + t^2) = .074."""
    shares = [(0.61, 0.6), (0.82, 0.8), (0.73, 0.7)]
    results = [{"accuracy": a, "accuracy_untranslated": b, "steps": 5, "cpu_seconds": 60} for a, b in shares]
    monkeypatch.setattr(quality_translation, "several", lambda module, frame: results)
    quality_translation.unpaired("mnist")
    said = capsys.readouterr().out
    assert "| 0.7200 +- 0.1054 | 0.7000 +- 0.1000 |" in said and ": p = 0.074 (t-test over the seeds)." in said


# ---- the project's own pages


def test_every_page_has_a_command_that_names_its_commit():
    # A page that is not made yet is listed as stale.
    assert {path.name for path in (PROJECT / "docs/results").glob("*.md")} <= set(pages.PAGES)
    for name, command in pages.PAGES.items():
        program, script, *target = command.split()
        assert program == "python" and target in ([], [">", f"docs/results/{name}"])
        assert "pages.line(__file__)" in (PROJECT / script).read_text()


def test_sources_of_the_projects_pages():
    """Drawn by hand from the imports: what counts for a page, and what does not."""
    files = {name: set(pages.sources(command.split()[1])) for name, command in pages.PAGES.items()}
    assert all({"gan_core.py", "lab/draws.py", "metrics.py"} <= found for found in files.values())
    assert {"lab/classifier.py", "benchmarks/study.py", "experiments/mnist_mlp.py"} <= files["mnist.md"]
    assert not {"experiments/normal_1d.py", "lab/targets.py", "lab/export.py"} & files["mnist.md"]
    assert {"experiments/normal_1d.py", "experiments/mixture_2d.py"} <= files["losses.md"]  # known by name alone
    assert {"experiments/numpy_gan.py", "experiments/mnist_dcgan.py"} <= files["faults.md"]  # started
    assert {"benchmarks/many_seeds.py", "benchmarks/speed_growth.py", "lab/pictures.py"} <= files["speed.md"]
    assert not {"experiments/pix2pix.py", "benchmarks/quality_mnist.py"} & files["speed.md"]


def test_speed_makes_one_page_of_its_programs(tmp_path, monkeypatch, capsys):
    program = tmp_path / "speed_numpy_gan.py"
    program.write_text('import sys\nprint(sys.argv[1:])\nprint("  ours  1.0x")\nprint("The machine: a fast one")\n')
    monkeypatch.setattr(speed, "__file__", str(tmp_path / "speed.py"))
    assert speed.table("speed_numpy_gan.py --repeats 2") == "    ['--repeats', '2']\n      ours  1.0x"
    program.write_text('print("| a |\\n|---|")\n')
    assert speed.table("speed_numpy_gan.py") == "| a |\n|---|"
    monkeypatch.setattr(pages, "line", lambda script: "Made by hand.")
    monkeypatch.setattr(speed, "SECTIONS", {"speed_numpy_gan.py": "\n## T\n\n{command}: words.\n\n{table}\n"})
    monkeypatch.setattr(sys, "argv", ["speed.py"])
    capsys.readouterr()
    speed.main()
    page = "\n## T\n\n`python benchmarks/speed_numpy_gan.py`: words.\n\n| a |\n|---|\n"
    assert capsys.readouterr().out == f"{speed.HEAD}{page}\nMade by hand.\n"
    program.write_text("import sys\nsys.exit(3)\n")
    with pytest.raises(SystemExit, match="3"):
        speed.main()
    assert "Made by" not in capsys.readouterr().out  # the page is not whole


def test_every_speed_program_is_in_the_page_of_times():
    programs = {path.name for path in (PROJECT / "benchmarks").glob("speed_*.py")}
    assert {command.split()[0] for command in speed.SECTIONS} == programs
    assert all({"{command}", "{table}"} <= set(re.findall(r"{\w+}", text)) for text in speed.SECTIONS.values())


# ---- the programs of the page of times


def test_speed_says_at_once_what_is_missing(monkeypatch, capsys):
    for module in (speed, speed_live):
        monkeypatch.setattr(module, "CHROMIUM", None)
        assert " needs chromium; install it" in refused(module.main, "", monkeypatch, capsys)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    line = refused(speed.main, "--only speed_cells.py", monkeypatch, capsys)
    assert "speed_cells.py needs the package ray;" in line
    for only in ("", "--only study", "--only scheduler"):
        assert "needs the package ray; install it" in refused(speed_cells.main, only, monkeypatch, capsys)


def refused(main, flags, monkeypatch, capsys):
    """The one line in which a program refuses its flags."""
    monkeypatch.setattr(sys, "argv", ["program.py", *flags.split()])
    with pytest.raises(SystemExit, match="^2$"):
        main()
    said = capsys.readouterr()
    (line,) = (line for line in said.err.splitlines() if line.startswith("program.py: error: "))
    assert said.out == ""
    return line


@pytest.mark.parametrize("value", ["0", "-1", "two", "nan", "inf"])
def test_numbers_that_have_to_be_positive_are_refused_in_one_line(value, monkeypatch, capsys):
    def compare():
        side_by_side.main("", "", {"ours": side_by_side.Contender(lambda: 1.0, "numpy", "group")})

    for main, flag, kind in (
        (speed_commands.main, "--repeats", "whole number"),
        (compare, "--repeats", "whole number"),
        (speed_live.main, "--minutes", "number"),
    ):
        line = refused(main, f"{flag} {value}", monkeypatch, capsys)
        assert line == f"program.py: error: argument {flag}: {value} is not a {kind} above 0"


def test_one_contender_is_measured_whatever_the_others_have_to_match(monkeypatch, capsys):
    contenders = {name: side_by_side.Contender(lambda: 0.5, "numpy", "group") for name in ("ours", "others")}
    monkeypatch.setattr(sys, "argv", ["program.py", "--only", "ours", "--match", "others"])
    side_by_side.main("", "", contenders)
    assert capsys.readouterr().out == "0.5\n"


@pytest.mark.skipif(not browser.CHROMIUM, reason="no chromium")
@pytest.mark.parametrize("fast", [True, False])
def test_browser_that_is_to_be_fast_collects_no_requests(fast, tmp_path):
    with contextlib.closing(browser.Browser(tmp_path, fast)) as page:
        page.open("data:text/html,<title>measured</title>")
        page.until("document.title === 'measured'", seconds=20)
        assert len(page.urls) == (0 if fast else 1)


def test_live_page_that_is_measured_ends_if_there_is_no_browser(monkeypatch):
    class Server:
        stdout, ended = io.StringIO("http://127.0.0.1:1\n"), []

        def terminate(self):
            self.ended.append("terminate")

        def wait(self):
            self.ended.append("wait")

    def none(folder, fast):
        raise TypeError("no chromium")

    server = Server()
    monkeypatch.setattr(speed_live, "script_rate", lambda folder: 1.0)
    monkeypatch.setattr(speed_live.subprocess, "Popen", lambda *_, **__: server)
    monkeypatch.setattr(speed_live, "CHROMIUM", "chromium")
    monkeypatch.setattr(speed_live, "Browser", none)
    monkeypatch.setattr(sys, "argv", ["speed_live.py"])
    with pytest.raises(TypeError, match="no chromium"):
        speed_live.main()
    assert server.ended == ["terminate", "wait"] and server.stdout.closed


@pytest.mark.parametrize(("words", "code", "works"), [("a.py", 0, True), ("a.py", 3, False), ("wrong", 2, True)])
def test_command_that_fails_is_not_timed(words, code, works, tmp_path, monkeypatch):
    write(tmp_path, {"experiments/a.py": f"import sys\nprint('one')\nprint('two')\nsys.exit({code})\n"})
    monkeypatch.setattr(speed_commands, "ROOT", tmp_path)
    monkeypatch.chdir(tmp_path.parent)
    if words == "wrong":
        words = "a.py --steps no"
        monkeypatch.setattr(speed_commands, "WRONG", words)
    if works:
        cost = speed_commands.measured(words, tmp_path)
        assert 0 < cost.first_line <= cost.wall
    else:
        with pytest.raises(SystemExit, match="^a.py failed with exit code 3:\none\ntwo\n$"):
            speed_commands.measured(words, tmp_path)


def test_each_point_of_the_growth_is_measured_in_a_process_of_its_own(tmp_path, monkeypatch, capsys):
    program = tmp_path / "growth.py"
    program.write_text(
        "import sys\nassert sys.argv[1:3] == ['--only', 'steps']\nprint('words')\nprint(sys.argv[3])\n"
    )
    monkeypatch.setattr(speed_growth, "PANELS", {"steps": (lambda value: 2.0 * value, (1, 7), "us")})
    monkeypatch.setattr(speed_growth, "plots", MagicMock())
    monkeypatch.setattr(speed_growth, "style", MagicMock(panels=lambda *_: (None, [MagicMock()])))
    monkeypatch.setattr(sys, "argv", ["speed_growth.py", "--only", "steps", "7"])
    speed_growth.main()
    assert capsys.readouterr().out == "14.0\n"
    monkeypatch.setattr(speed_growth, "__file__", str(program))
    monkeypatch.setattr(sys, "argv", ["speed_growth.py"])
    speed_growth.main()
    assert capsys.readouterr().out == "steps (us): 1: 1, 7: 7\n"
    program.write_text("import sys\nsys.exit(3)\n")
    with pytest.raises(SystemExit, match="3"):
        speed_growth.main()


def test_the_middle_third_of_the_steps_is_timed():
    """Before it batches are drawn outside the clock, after it there are none left to draw."""
    records = [{"step": 100 * k, "train_seconds": seconds} for k, seconds in enumerate((0, 5, 7, 20))]
    asked = []

    def train(config):
        asked.append(config)
        return SimpleNamespace(run=SimpleNamespace(records=records, train_seconds=20))

    assert many_seeds.ours(SimpleNamespace(train=train), normal_1d.CLASSIC, 100) == 0.02
    assert [(c.steps, c.eval_every, c.checkpoint_every) for c in asked] == [(300, 100, 100)]
