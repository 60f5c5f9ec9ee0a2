"""Figures of one run again, and several runs side by side: the curves, the table, the names, wrong input."""

import json
import os
import shutil

import numpy as np
import pytest
from helpers import one_line, quiet_command

from experiments import dirac_gan, mixture_2d, normal_1d, numpy_gan, plot
from lab import files, plots, screen, storage

POINTS = ["--seeds=2", "--steps=20", "--eval-every=10", "--eval-samples=200", "--checkpoint-every=10", "--batch=20"]
NUMPY = ["--steps=20", "--eval-every=10", "--checkpoint-every=10", "--eval-samples=100", "--log-samples=100"]
RUNS = {
    "stable": (normal_1d, POINTS),
    "classic": (normal_1d, [*POINTS, "--recipe=classic", "--eval-every=5"]),
    "plane": (mixture_2d, [*POINTS, "--samples=200", "--discriminator-hidden=8", "--generator-hidden=8"]),
    "by_hand": (numpy_gan, NUMPY),
}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Name -> the folder of a finished run, which is made when it is first asked for."""
    made = {}

    def folder(name):
        if name not in made:
            made[name] = tmp_path_factory.mktemp("runs") / name
            module, flags = RUNS[name]
            assert quiet_command(module, *flags, "--out", made[name])[0] == 0
        return made[name]

    return folder


def command(*args):
    """Run the script's command line in this process; returns its exit code."""
    try:
        plot.main([str(arg) for arg in args])
    except SystemExit as stop:
        return stop.code
    return 0


# ---- one run


@pytest.mark.parametrize("name", ["stable", "plane", "by_hand"])
def test_figures_of_a_run_are_drawn_again(name, finished, tmp_path, capsys):
    folder = tmp_path / "copy"
    shutil.copytree(finished(name), folder)
    before = {path.name: path.read_bytes() for path in (folder / "figures").iterdir()}
    others = {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.parent.name != "figures"}
    shutil.rmtree(folder / "figures")
    capsys.readouterr()
    assert command(folder) == 0
    assert capsys.readouterr().out.splitlines()[-1] == f"{folder / 'figures'}: drawn again"
    after = {path.name: path.read_bytes() for path in (folder / "figures").iterdir()}
    assert set(after) == set(before)
    assert all(after[file] == before[file] for file in before if file.endswith(".png"))
    others.pop(folder / "figures")
    assert all(path.stat().st_mtime_ns == time for path, time in others.items())  # nothing else is touched


def test_an_interrupted_run_is_evaluated_for_its_figures(finished, tmp_path):
    folder = tmp_path / "copy"
    shutil.copytree(finished("stable"), folder)
    expected = (folder / "figures" / "overview.png").read_bytes()
    shutil.rmtree(folder / "figures")
    (folder / "result.json").unlink()
    assert command(folder) == 0
    assert (folder / "figures" / "overview.png").read_bytes() == expected
    assert not (folder / "result.json").exists()


def test_a_run_that_was_stopped_before_its_first_evaluation_is_one_line(tmp_path, monkeypatch, capsys):
    step, played = numpy_gan.adversarial_step, []

    def until_12(*args):
        played.append(step(*args))
        return played[-1] if len(played) < 12 else (np.nan,) * 5

    monkeypatch.setattr(numpy_gan, "adversarial_step", until_12)
    flags = [flag for flag in NUMPY if not flag.startswith("--eval-every")]
    assert quiet_command(numpy_gan, *flags, "--out", tmp_path / "run")[0] == 1
    assert storage.steps(tmp_path / "run") == [10]
    capsys.readouterr()
    assert command(tmp_path / "run") == 2
    assert "its log holds no period of training; train on with --resume" in one_line(capsys)


def test_a_run_without_a_log_is_drawn_again(tmp_path, capsys):
    flags = ["--steps=50", "--losses=minimax", "--penalties=0"]
    assert quiet_command(dirac_gan, *flags, "--out", tmp_path / "run")[0] == 0
    shutil.rmtree(tmp_path / "run" / "figures")
    assert command(tmp_path / "run") == 0 and (tmp_path / "run" / "figures").is_dir()


def test_training_that_diverged_has_no_figures(finished, tmp_path, capsys):
    shutil.copytree(finished("by_hand"), tmp_path / "run")
    files.write_json(tmp_path / "run" / "result.json", {"steps": 20, "stopped": "step 2: fake_error is nan"})
    assert command(tmp_path / "run") == 2 and one_line(capsys).endswith("run: step 2: fake_error is nan\n")


def test_a_result_of_fewer_steps_is_not_taken_for_the_runs(finished, tmp_path, monkeypatch):
    """A run that was finished, continued and interrupted has the result of its first part."""
    folder = tmp_path / "copy"
    shutil.copytree(finished("stable"), folder)
    result = json.loads((folder / "result.json").read_text())
    files.write_json(folder / "result.json", result | {"steps": 10, "kl_floor": 7.0})
    seen = []
    monkeypatch.setattr(normal_1d, "figures", lambda trained, result, folder: seen.append(result))
    assert command(folder) == 0
    assert seen[0]["kl"] == result["kl"] and seen[0]["kl_floor"] == result["kl_floor"]


def test_damaged_snapshots_cost_their_pictures_alone(finished, tmp_path, capsys):
    folder = shutil.copytree(finished("by_hand"), tmp_path / "run")
    shutil.rmtree(folder / "figures")
    for path in (folder / "snapshots").iterdir():
        path.write_text("x")
    assert command(folder) == 0
    assert {path.name for path in (folder / "figures").iterdir()} == {"curves.png", "samples.png"}


def test_a_single_run_has_its_own_names_for_figures(finished, capsys):
    assert command(finished("by_hand"), "--out", "curves.png") == 2
    assert "--out curves.png: expected nothing with a single RUN" in one_line(capsys)


# ---- several runs


def rows(screen):
    """label -> values of the printed table."""
    lines = [line.split("  ") for line in screen.splitlines() if line.startswith("  ")]
    cells = [[cell.strip() for cell in line if cell.strip()] for line in lines]
    return [row for row in cells if len(row) > 1]


def test_results_stand_side_by_side_with_their_floors(finished, tmp_path, capsys):
    folders = [finished("stable"), finished("classic")]
    capsys.readouterr()
    assert command(*folders, "--out", tmp_path / "a.png") == 0
    screen = capsys.readouterr().out
    assert screen.splitlines()[-1] == f"{tmp_path / 'a.png'}: the curves of 2 runs"
    table = rows(screen)
    results = [json.loads((folder / "result.json").read_text()) for folder in folders]
    assert table[0] == ["stable", "classic"] and ["recipe", "stable", "classic"] in table
    assert ["steps", "20", "20"] in table and ["seeds", "2", "2"] in table
    k = table.index(["kl (median)", *(f"{result['kl']['median']:.4g}" for result in results)])
    assert table[k + 1] == ["floor", *(f"{result['kl_floor']:.4g}" for result in results)]
    assert not any("floor_" in row[0] or "headline" in row[0] for row in table)
    assert (tmp_path / "a.png").stat().st_size > 10_000


def test_only_shared_numbers_are_compared_and_a_missing_floor_is_a_dash(capsys):
    many = {"recipe": "a", "kl": {"median": 0.5, "per_seed": [0.5]}, "kl_floor": 0.1, "only": 3, "same": 12345}
    one = {"recipe": "b", "kl": 0.25, "same": 7, "other": 1.5, "parameters": {"generator": 3}}
    screen.console.print(plot.table({"many": many, "one": one}))
    assert rows(capsys.readouterr().out) == [
        ["many", "one"],
        ["recipe", "a", "b"],
        ["kl (median)", "0.5", "0.25"],
        ["floor", "0.1", "-"],
        ["same", "12,345", "7"],
    ]


def test_curves_are_those_of_the_logs_with_bands(finished, tmp_path, monkeypatch):
    figures, folders = [], [finished("stable"), finished("classic")]
    monkeypatch.setattr(plot.plots, "save", lambda figure, path: figures.append(figure))
    assert command(*folders, "--numbers", "kl", "--out", tmp_path / "a.png") == 0
    (figure,) = figures
    (ax,) = figure.axes
    assert len(ax.lines) >= 2 and len(ax.collections) == 2  # a line and a band for each run
    for line, folder in zip(ax.lines, folders, strict=False):
        log = storage.read_log(folder)
        assert line.get_xdata().tolist() == [r["step"] for r in log]
        np.testing.assert_allclose(line.get_ydata(), [r["kl"]["median"] for r in log])
    texts = [text.get_text() for text in figure.legends[0].get_texts()]
    assert texts[:2] == ["stable", "classic"]


def test_a_run_that_is_not_finished_is_shown_as_in_its_log(finished, tmp_path, capsys):
    folder = tmp_path / "stopped"
    shutil.copytree(finished("stable"), folder)
    (folder / "result.json").unlink()
    capsys.readouterr()
    assert command(folder, finished("stable"), "--out", tmp_path / "a.png") == 0
    screen = capsys.readouterr().out
    assert f"{folder}: not finished, shown as in its log at step 20" in screen
    median = storage.read_log(folder)[-1]["kl"]["median"]
    result = json.loads((finished("stable") / "result.json").read_text())
    assert ["kl (median)", f"{median:.4g}", f"{result['kl']['median']:.4g}"] in rows(screen)


def test_a_result_from_before_a_run_was_continued_is_not_shown_as_its_own(finished, tmp_path, capsys):
    folder = tmp_path / "continued"
    shutil.copytree(finished("stable"), folder)
    files.write_json(folder / "result.json", files.read_json(folder / "result.json") | {"steps": 10})
    capsys.readouterr()
    assert command(folder, finished("stable"), "--out", tmp_path / "a.png") == 0
    assert f"{folder}: not finished, shown as in its log at step 20" in capsys.readouterr().out


def test_names_are_as_short_as_tells_runs_apart(tmp_path):
    folders = [tmp_path / name for name in ("a/run", "b/run", "c")]
    assert plot.short_names(folders) == ["a/run", "b/run", f"{tmp_path.name}/c"]
    assert plot.short_names(folders[1:]) == ["run", "c"]


# ---- wrong input


def test_a_figure_that_cannot_be_written_is_one_line(finished, tmp_path, capsys):
    (tmp_path / "file").touch()
    folders, out = [finished("stable"), finished("classic")], tmp_path / "file" / "a.png"
    capsys.readouterr()
    assert command(*folders, "--out", out) == 2
    assert f"--out {out}: " in one_line(capsys)


def test_a_damaged_line_of_a_log_is_said(finished, tmp_path, capsys):
    folders = [shutil.copytree(finished("by_hand"), tmp_path / name) for name in "ab"]
    first, *others = (folders[1] / "log.jsonl").read_text().splitlines()
    (folders[1] / "log.jsonl").write_text("\n".join([first[:-9], *others]) + "\n")
    assert command(*folders, "--out", tmp_path / "curves.png") == 0
    assert f"{folders[1]}/log.jsonl: line 1 damaged, left out\n" in capsys.readouterr().out


def test_names_of_folders_are_shown_as_they_are(finished, tmp_path, capsys):
    names = ["[red]", "_b", "$\\frac$", os.fsdecode(b"\xff")]
    folders = [shutil.copytree(finished("by_hand"), tmp_path / name) for name in names]
    assert command(*folders, "--out", tmp_path / "curves.PNG") == 0
    screen = capsys.readouterr().out
    assert all(name in screen for name in names[:3])
    fig = plots.compared(dict.fromkeys(names, storage.read_log(folders[0])))
    assert [text.get_text() for text in fig.legends[0].get_texts()][:4] == ["[red]", " _b", "$\\frac$", "?"]


@pytest.mark.parametrize("kl", ["x", {"median": 1}, 5])
def test_numbers_that_cannot_be_drawn_are_one_line(kl, finished, tmp_path, capsys):
    folders = [shutil.copytree(finished("stable"), tmp_path / name) for name in "ab"]
    lines = (folders[0] / "log.jsonl").read_text().splitlines()
    (folders[0] / "log.jsonl").write_text(
        "\n".join([*lines[:-1], json.dumps(json.loads(lines[-1]) | {"kl": kl}), ""])
    )
    capsys.readouterr()
    assert command(*folders, "--out", tmp_path / "curves.png") == 2
    assert "the numbers in their logs cannot be drawn" in one_line(capsys)
