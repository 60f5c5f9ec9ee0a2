"""The command line: groups and reasons in --help, what a flag accepts, recipes, tables."""

import errno
import inspect
import io
import os
import re
import signal
import textwrap
import tokenize
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import pytest
from helpers import command, one_line

import experiments
from experiments import numpy_gan
from lab import cli, files, runs, signals
from lab.files import BadInput


@dataclass(frozen=True)
class Config:
    """Settings of the tests."""

    # data
    target: str | None = None  # where numbers come from
    # game
    loss: cli.Loss = "minimax"
    losses: Annotated[tuple[str, ...], cli.one_of(("hinge", "minimax"))] = ("hinge",)  # several of them
    hidden: cli.Sizes = (8, 8)  # units
    average: cli.Decay = 0.0  # 0: none
    # training
    skip: bool = False  # add a skip
    seed: cli.Seed = 0
    steps: cli.Count = 100
    epochs: cli.Count | None = None
    # output
    eval_every: cli.Count = 10  # steps between records
    checkpoint_every: cli.Count = 50

    def __post_init__(self):
        cli.check(self)


RECIPES = {"fast": Config(), "slow": replace(Config(), steps=1000, hidden=(3,))}


def parsed(text, recipes=RECIPES):
    return cli.parsed(recipes, "A test.", text.split())


def test_flags_change_the_recipes_settings():
    command = parsed("--recipe slow --loss hinge --skip --average=.5 --losses minimax hinge --epochs 3 --out x")
    expected = replace(RECIPES["slow"], loss="hinge", skip=True, average=0.5, losses=("minimax", "hinge"), epochs=3)
    assert (command.recipe, command.config, command.out, command.resume) == ("slow", expected, "x", None)
    assert parsed("--recipe=slow").config == RECIPES["slow"] and parsed("").config == Config()
    assert parsed("--hidden 4 4 --no-skip").config.hidden == (4, 4)


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ("--seed -1", "--seed -1: expected at least 0 and below 2^31"),
        ("--hidden 8 0", "--hidden 8 0: expected at least 1"),
        ("--average 1", "--average 1: expected at least 0 and below 1"),
        ("--average nan", "--average nan"),
        ("--epochs 0", "--epochs 0: expected at least 1"),
        ("--loss best", "best"),
        ("--losses hinge worst", "worst"),
        ("--recipe quick", "quick"),
        ("--steps many", "many"),
        ("--stepz 1", "--stepz"),
    ],
)
def test_wrong_flag_is_bad_input(flags, words):
    with pytest.raises(files.BadInput, match=re.escape(words)) as error:
        parsed(flags)
    assert "\n" not in str(error.value)


def test_a_config_that_exists_is_right():
    with pytest.raises(files.BadInput, match="--steps 0: expected at least 1"):
        Config(steps=0)
    with pytest.raises(files.BadInput, match="--loss best: expected one of minimax, non_saturating"):
        Config(loss="best")
    with pytest.raises(files.BadInput, match="--steps ten"):  # from an edited config.json
        Config(steps="ten")


def test_help_has_groups_defaults_of_the_recipe_and_no_recipe_of_one(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit) as stop:
        parsed("--recipe slow --help")
    assert stop.value.code == 0
    text = capsys.readouterr().out
    assert re.search(r"game options.*--loss.*--hidden.*units \(default: 3\).*training options.*--steps", text, re.S)
    flat = " ".join(re.sub("[│|]", " ", text).split())
    assert "--target TEXT where numbers come from" in flat and "come from (default" not in flat
    assert (
        "default: 1000" in text and max(map(len, text.splitlines()[1:])) <= 80
    )  # but for the usage line, which holds a path
    with pytest.raises(SystemExit):
        parsed("--help", {"fast": Config()})
    assert "--recipe" not in capsys.readouterr().out


SCRIPTS = sorted(path.stem for path in (Path(__file__).parents[1] / "experiments").glob("*.py"))


@pytest.mark.parametrize("script", [name for name in SCRIPTS if hasattr(cli.script(name), "RECIPES")])
def test_help_holds_every_comment_beside_a_setting(script, capsys):
    """Those as well whose default or type does not fit on the line, and stands in brackets on the next one."""
    module = cli.script(script)
    fields = inspect.getsource(module.Config).split("    def ")[0]
    tokens = tokenize.generate_tokens(io.StringIO(textwrap.dedent(fields)).readline)
    beside = [t.string.lstrip("# ") for t in tokens if t.type == tokenize.COMMENT and t.line.strip() != t.string]
    with pytest.raises(SystemExit):
        parsed("--help", module.RECIPES)
    helped = "".join(re.sub("[│|]", " ", capsys.readouterr().out).split())
    assert [words for words in beside if "".join(re.sub("[|]", " ", words).split()) not in helped] == []


def test_short_runs_shrink_what_is_longer_and_say_so(capsys):
    assert cli.shrunk(Config(steps=5)) == Config(steps=5, eval_every=5, checkpoint_every=5)
    assert "--eval-every 10 is more than --steps 5: using 5" in capsys.readouterr().out
    assert cli.shrunk(Config()) == Config() and capsys.readouterr().out == ""


def test_errors_end_in_one_line_and_their_exit_code(capsys):
    class ResourceExhaustedError(Exception):
        """TensorFlow's has this name."""

    full = OSError(errno.ENOSPC, "No space left on device")
    expected = {
        "bad": (BadInput("bad"), 2),
        "stopped": (runs.Stopped("stopped", 1), 1),
        "interrupted; continue": (KeyboardInterrupt(), 130),
        "SIGTERM; continue": (signals.Interrupted(15), 143),
        "a.json: no space left on device; continue": (OSError(full.errno, full.strerror, "a.json"), 1),
        "standard output: no space left on device; continue": (full, 1),
        "standard output: broken pipe; continue": (BrokenPipeError(errno.EPIPE, "Broken pipe"), 1),
        "out of memory: use smaller sizes; continue": (MemoryError(), 1),
        "out of memory: no room; continue": (ResourceExhaustedError("no room"), 1),
    }
    for line, (error, code) in expected.items():
        with pytest.raises(SystemExit) as stop, cli.one_line_errors():
            signals.advise("continue")
            raise error
        assert stop.value.code == code and one_line(capsys) == f"{line}\n"


def test_signal_that_a_library_turns_into_an_error_of_its_own_is_still_one_line(capsys):
    with pytest.raises(SystemExit) as stop, cli.one_line_errors():
        try:
            os.kill(os.getpid(), signal.SIGTERM)
        except KeyboardInterrupt:
            raise SystemError("Objects/listobject.c: bad argument to internal function") from None
    assert stop.value.code == 143 and one_line(capsys) == "SIGTERM\n"


def test_error_of_the_program_itself_is_not_hidden():
    with pytest.raises(ZeroDivisionError), cli.one_line_errors():
        _ = 1 / 0


def test_table_shows_numbers_beside_their_floors(capsys):
    result = {
        "target": "norm",
        "recipe": "fast",
        "seeds": 2,
        "steps": 7,
        "kl": {"median": 0.5, "q10": None, "q90": 1},
    }
    result |= {"kl_floor": 0.25, "value": None, "value_floor": 1.0}
    cli.show(cli.Table(cli.OVER_SEEDS, {"KL, nats": ("kl", ".2f"), "value": ("value", ".2f")}), result)
    text = capsys.readouterr().out
    assert "norm, recipe fast, 2 seeds, 7 steps" in text
    assert re.search(r"KL, nats +0\.50 +- +1\.00 +0\.25", text) and "value" not in text
    image = {"data": "digits", "recipe": "fast", "seed": 3, "steps": 7, "sharp": 0.123, "sharp_floor": 0.2}
    cli.show(cli.Table(cli.IMAGES, {"sharpness": ("sharp", ".1f")}), image)
    text = capsys.readouterr().out
    assert "digits, recipe fast, seed 3, 7 steps" in text and re.search(r"sharpness +0\.1 +0\.2", text)


def test_table_prints_no_negative_zero_and_counts_seeds_without_a_number(capsys):
    failed = {"median": None, "q10": None, "q90": None, "failed": 1}
    result = {"target": "norm", "recipe": "fast", "seeds": 1, "steps": 7, "kl": {"median": -1e-9, "failed": 0}}
    rows = {
        "KL": ("kl", ".3f"),
        "reverse KL": ("reverse_kl", ".2f"),
        "modes": ("modes", "d"),
        "other": ("other", "d"),
    }
    cli.show(cli.Table(cli.OVER_SEEDS, rows), result | {"reverse_kl": failed, "modes": {"median": 3}})
    text = capsys.readouterr().out
    assert ", 1 seed, 7 steps" in text and "-0.0" not in text and "other" not in text
    assert re.search(r"  KL +0\.000 ", text) and re.search(r"  modes +3 ", text)
    assert re.search(r"  reverse KL \(1 of 1 seeds not finite\) +- +- +-", text)


def test_unknown_experiment_is_bad_input():
    for name in ("nonsense", "a.b", ""):
        with pytest.raises(files.BadInput, match=f"{name}: no experiment of this name"):
            cli.script(name)


def test_every_setting_of_every_script_stands_on_one_line_so_that_its_comment_is_its_help():
    for path in (Path(cli.__file__).parent.parent / "experiments").glob("[!_]*.py"):
        script = cli.script(path.stem)
        settings = getattr(script, "Config", getattr(script, "Command", None))  # launch.py has two plain flags
        for line in inspect.getsource(settings).splitlines() if settings else ():
            assert not re.match(r"    \w+: .*[\[(]$", line), f"{path.name}: {line}"


def test_a_script_whose_imports_fail_is_not_called_unknown(monkeypatch, tmp_path):
    (tmp_path / "of_a_user.py").write_text("import no_such_package")
    monkeypatch.setattr(experiments, "__path__", [*experiments.__path__, str(tmp_path)])
    with pytest.raises(ModuleNotFoundError, match="no_such_package"):
        cli.script("of_a_user")


def test_packages_of_another_copy_of_the_project_are_refused(tmp_path, monkeypatch, capsys):
    """A copy without an installation of its own would train with the code of the other one."""
    monkeypatch.setattr(cli, "__file__", str(tmp_path / "lab" / "cli.py"))
    assert command(numpy_gan, "--data", "digits", "--out", tmp_path / "run") == 2
    assert f"numpy_gan.py: Python finds its packages in another copy, {tmp_path}; use the .venv" in one_line(capsys)
    assert not (tmp_path / "run").exists()
