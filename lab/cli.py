"""The command line of every script: flags in, tables out, one line for every error.

A script's settings are one flat, frozen dataclass. Comment lines in its source group the flags, and the comment at
the end of a field's line is the flag's help:

    @dataclass(frozen=True)
    class Config:
        # data
        samples: cli.Count = 1000  # real samples to train on

        def __post_init__(self):
            cli.check(self)
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
import inspect
import io
import itertools
import json
import re
import sys
import types
import typing
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
import tyro
from rich import box
from rich import table as rich_table

import gan_core as core
from lab import draws, runs
from lab.runs import BadInput, Stopped

# ------------------------------------------------------------------------------------ what a flag accepts


class Accepted(NamedTuple):
    """The values that a flag accepts, in words and as a test; `choices` where they are names."""

    words: str
    good: Callable[[Any], bool]
    choices: tuple[str, ...] = ()


def one_of(names: Collection[str]) -> Accepted:
    """One of these names."""
    return Accepted(f"one of {', '.join(names)}", lambda v: v in names, tuple(names))


Count = Annotated[int, Accepted("at least 1", lambda v: v >= 1)]
Sizes = Annotated[tuple[int, ...], Accepted("at least 1", lambda v: v >= 1)]  # of layers
Seed = Annotated[int, Accepted("at least 0 and below 2^31", lambda v: 0 <= v < 2**31)]
Rate = Annotated[float, Accepted("above 0", lambda v: 0 < v < np.inf)]
Weight = Annotated[float, Accepted("0 or more", lambda v: 0 <= v < np.inf)]
Decay = Annotated[float, Accepted("at least 0 and below 1", lambda v: 0 <= v < 1)]
Share = Annotated[float, Accepted("at least 0 and at most .99", lambda v: 0 <= v <= 0.99)]
Loss = Annotated[str, one_of(core.LOSSES)]
Schedule = Annotated[str, one_of(core.SCHEDULES)]
Activation = Annotated[str, one_of(core.ACTIVATIONS)]
Init = Annotated[str, one_of(core.INITS)]
Latent = Annotated[str, one_of(draws.LATENTS)]


def check(config: Any) -> None:
    """BadInput unless every field of the config has a value that its annotation accepts."""
    for name, hint in typing.get_type_hints(type(config), include_extras=True).items():
        for accepted in _accepted(hint):
            require(config, name, accepted.words, accepted.good)


def require(config: Any, names: str, words: str, good: Callable[[Any], bool]) -> None:
    """BadInput unless each of these fields, given as one string of names, has good values; None is not set."""
    for name in names.split():
        value = getattr(config, name)
        values = value if isinstance(value, tuple) else () if value is None else (value,)
        try:
            fine = all(good(v) for v in values)
        except TypeError:  # a wrong type, from an edited config.json
            fine = False
        if not fine:
            given = " ".join(f"{v:g}" if isinstance(v, float) else str(v) for v in values)
            raise BadInput(f"{flag(name)} {given}: expected {words}")


def flag(name: str) -> str:
    """The flag of a field: `eval_every` -> `--eval-every`."""
    return f"--{name.replace('_', '-')}"


def _accepted(hint: Any) -> list[Accepted]:
    """The `Accepted` in an annotation such as `Count`, `Count | None` or `tuple[Rate, ...]`."""
    inner = [found for argument in typing.get_args(hint) for found in _accepted(argument)]
    return inner + [m for m in getattr(hint, "__metadata__", ()) if isinstance(m, Accepted)]


# --------------------------------------------------------------------------------------- the command line


def main(
    description: str,
    recipes: dict[str, Any],
    train: Callable[[Any, runs.Run], runs.Trained],
    evaluate: Callable[[runs.Trained], dict[str, Any]],
    figures: Callable[[runs.Trained, dict[str, Any], Path], None],
    table: Table | Callable[[dict[str, Any]], None] | None = None,
    args: list[str] | None = None,
) -> None:
    """Parse the flags, open the run's folder, train, evaluate, draw, print; wrong input is one line and exit code 2.

    Args:
        recipes: complete settings by name, the default first; `--recipe` picks those that the other flags change.
        train: trains with these settings and reports to the run.
        evaluate: the numbers of result.json, with a sentence `headline` for the screen.
        figures: draws into a folder.
        table: what is printed of the result at the end, or a function that prints it.
        args: the words of the command line, by default those of this process.
    """
    experiment = Path(inspect.getfile(evaluate)).stem
    args = sys.argv[1:] if args is None else args
    with one_line_errors() as advice:
        command = parsed(recipes, description, args)
        if command.resume:
            config, folder = _resume(experiment, command, args)
        else:
            config = shrunk(command.config)
            folder = runs.folder_for(experiment, getattr(config, "seed", 0), command.out)
            created = runs.create(folder)
            runs.save_config(folder, experiment, command.recipe, config)
        if _is_finished(folder, config):
            runs.say(f"{folder}: finished, all {config.steps} steps are done; --steps N goes on to N")
            return
        advice.append(f"continue with --resume {folder}")
        run = runs.Run(folder, resume=command.resume is not None)
        try:
            trained = train(config, run)
        except BadInput:  # of the data, which are read only now
            if not command.resume:
                _remove(folder, created)
            raise
        result = run.finish(evaluate(trained))
        figures(trained, result, folder / "figures")
        if isinstance(table, Table):
            show(table, result)
        elif table:
            table(result)
        log = " and log.jsonl" if run.records else ""
        runs.say(f"{folder}: pictures in figures/, every number in result.json{log}")
        speed = f", {result['seed_steps_per_second']:,} seed-steps a second" if run.records else ""
        runs.say(f"{result['headline']}; {result['train_seconds']:.1f} s of training{speed}")


def _remove(folder: Path, created: list[Path]) -> None:
    """Remove the files of a run that never began, and those folders that were created for it."""
    for name in ("config.json", "data.json"):
        (folder / name).unlink(missing_ok=True)
    with contextlib.suppress(OSError):  # something else is in it
        for path in created:
            path.rmdir()


@contextlib.contextmanager
def one_line_errors() -> Iterator[list[str]]:
    """Invalid input and interruptions end the process with one line; the list holds what to say after Ctrl-C."""
    advice = ["interrupted"]
    try:
        yield advice
    except BadInput as error:
        _exit(str(error), code=2)
    except Stopped as error:
        _exit(str(error), error.code)
    except KeyboardInterrupt:
        _exit("; ".join(advice), code=130)


def _exit(message: str, code: int) -> None:
    print(message, file=sys.stderr)
    sys.exit(code)


def shrunk(config: Any) -> Any:
    """The config with `eval_every` and `checkpoint_every` of at most `steps`; says so where they were larger."""
    for name in ("eval_every", "checkpoint_every"):
        value = getattr(config, name, 0)
        if value > config.steps:
            config = dataclasses.replace(config, **{name: config.steps})
            if name == "eval_every":  # the last step is always saved, so that the other one changes nothing
                runs.say(f"--eval-every {value} is more than --steps {config.steps}: using {config.steps}")
    return config


def _resume(experiment: str, command: Any, args: list[str]) -> tuple[Any, Path]:
    """A run goes on with its own settings; only `--steps`, the total, may grow."""
    folder = Path(command.resume)
    flags = {arg.split("=")[0] for arg in args if arg.startswith("--")}
    if other := flags - {"--resume", "--steps"}:
        raise BadInput(f"--resume {folder}: the run keeps its own settings; drop {', '.join(sorted(other))}")
    saved = runs.read_config(folder, "--resume")
    if saved["experiment"] != experiment:
        raise BadInput(f"--resume {folder}: a run of {saved['experiment']}, not of {experiment}")
    config = runs.load_config(folder, "--resume", type(command.config))
    if "--steps" in flags and command.config.steps != config.steps:
        if command.config.steps < config.steps:
            raise BadInput(
                f"--steps {command.config.steps}: the run is set to {config.steps} steps and cannot shrink"
            )
        config = dataclasses.replace(config, steps=command.config.steps)
        runs.save_config(folder, experiment, saved["recipe"], config)
    return config, folder


def _is_finished(folder: Path, config: Any) -> bool:
    result = folder / "result.json"
    return result.exists() and json.loads(result.read_text())["steps"] == config.steps


def script(name: str) -> Any:
    """The module of an experiment by its name: a run's folder names the experiment that can read it."""
    try:
        return importlib.import_module(f"experiments.{name}")
    except ImportError:
        raise BadInput(f"{name}: no experiment of this name in experiments/") from None


# ------------------------------------------------------------------------------------------------- parsing


class Command(NamedTuple):
    """A parsed command line."""

    recipe: str
    config: Any
    out: str | None
    resume: str | None


def parsed(recipes: dict[str, Any], description: str, args: list[str]) -> Command:
    """The command line over the settings of the recipe that it names."""
    recipe = _recipe(recipes, args)
    groups = _groups(recipes[recipe])
    output = [
        ("out", Annotated[str | None, _help("the run's folder; by default runs/EXPERIMENT/TIME-seedSEED", "FOLDER")]),
        ("resume", Annotated[str | None, _help("continue the run in this folder with its own settings", "FOLDER")]),
    ]
    groups.setdefault("output", []).extend((name, hint, None) for name, hint in output)
    if len(recipes) > 1:
        words = f"sets the defaults of all other flags (default: {recipe})"
        chosen = Annotated[Literal[tuple(recipes)], tyro.conf.arg(help=words, help_behavior_hint="")]  # type: ignore
        groups = {"recipe": [("recipe", chosen, recipe)]} | groups
    classes = {name: _group(name, members) for name, members in groups.items()}
    fields = [(name, group, dataclasses.field(default=group())) for name, group in classes.items()]
    parsed = parse(dataclasses.make_dataclass("Command", fields, frozen=True), description, args)
    values = {name: value for group in groups for name, value in vars(getattr(parsed, group)).items()}
    out, resume, recipe = values.pop("out"), values.pop("resume"), values.pop("recipe", recipe)
    return Command(recipe, dataclasses.replace(recipes[recipe], **values), out, resume)


def _recipe(recipes: dict[str, Any], args: list[str]) -> str:
    """The recipe that the words of the command line name; the first one if they name none that exists."""
    named = [b for a, b in itertools.pairwise(args) if a == "--recipe"]
    named += [arg.removeprefix("--recipe=") for arg in args if arg.startswith("--recipe=")]
    return next((name for name in named if name in recipes), next(iter(recipes)))


def _groups(config: Any) -> dict[str, list[tuple[str, Any, Any]]]:
    """group -> (field, type for tyro with its help, default), read off the comments in the config's source."""
    hints = typing.get_type_hints(type(config), include_extras=True)
    groups: dict[str, list[tuple[str, Any, Any]]] = {}
    group = "options"
    for line in inspect.getsource(type(config)).splitlines():
        if heading := re.fullmatch(r"    # ([a-z0-9 ,-]+)", line):
            group = heading[1]
        elif field := re.match(r"    (\w+): .*?(?:  # (.*))?$", line):
            name, words = field[1], field[2] or ""
            hint = hints[name]
            optional = type(None) in typing.get_args(hint)
            metavar = ("TEXT" if str in typing.get_args(hint) else "NUMBER") if optional else None
            default = getattr(config, name)
            member: Any = Annotated[_plain(hint), _help(words, metavar, default is None)]
            groups.setdefault(group, []).append((name, member, default))
    return groups


def _group(name: str, members: list[tuple[str, Any, Any]]) -> type:
    fields = [(field, hint, dataclasses.field(default=default)) for field, hint, default in members]
    return dataclasses.make_dataclass(name, fields, frozen=True)


def _help(words: str, metavar: str | None = None, no_default: bool = True) -> Any:
    return tyro.conf.arg(help=words, metavar=metavar, help_behavior_hint="" if no_default else None)


def _plain(hint: Any) -> Any:
    """An annotation as tyro reads it: without `Accepted`, and names that are accepted as a Literal."""
    choices = next((a.choices for a in getattr(hint, "__metadata__", ()) if isinstance(a, Accepted)), ())
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is Annotated:
        inner = _plain(arguments[0])
        literal = Literal[choices] if choices else None  # type: ignore[valid-type]
        return inner if not choices else tuple[literal, ...] if typing.get_origin(inner) is tuple else literal  # type: ignore
    if origin is tuple:
        return tuple[tuple(a if a is ... else _plain(a) for a in arguments)]  # type: ignore[misc]
    if origin in (typing.Union, types.UnionType):
        return typing.Union[tuple(map(_plain, arguments))]  # noqa: UP007
    return hint


def parse(command: type, description: str, args: list[str]) -> Any:
    """The command line as tyro reads it; a wrong one is BadInput, and `--help` prints and ends the process."""
    errors = io.StringIO()
    try:
        with contextlib.redirect_stderr(errors):
            return tyro.cli(command, description=description, args=args, config=(tyro.conf.OmitArgPrefixes,))
    except SystemExit as stop:
        if stop.code:
            raise BadInput(_one_line(errors.getvalue())) from None
        raise


def _one_line(frame: str) -> str:
    """The message of tyro's framed error: what stands before the first rule, without the title."""
    rows = [row.strip(" │|") for row in frame.splitlines() if not row.startswith(("╭", "╰"))]
    sections = [
        " ".join(group) for rule, group in itertools.groupby(rows, lambda r: not set(r) - set("─-")) if not rule
    ]
    message = sections[0 if frame.startswith("╭") else 1]  # without Unicode the title is a section of its own
    message = re.sub(r"^Error parsing \w+: ", "", message)  # of BadInput that the command itself raised
    return f"{message.rstrip('.')}; see --help"


# -------------------------------------------------------------------------------------------------- tables


class Table(NamedTuple):
    """The table at the end of a run.

    columns: heading -> pattern of a key of result.json: `{}_floor`, or `{}.median` for a number within a summary.
    rows: label -> the name that goes into the patterns, and the format of its numbers. A row without a first number
    is left out.
    """

    columns: dict[str, str]
    rows: dict[str, tuple[str, str]]


OVER_SEEDS = {"median": "{}.median", "10%": "{}.q10", "90%": "{}.q90", "floor": "{}_floor"}
IMAGES = {"fakes": "{}", "floor: real images": "{}_floor"}


def show(table: Table, result: dict[str, Any]) -> None:
    """Print the table of a result."""
    data = result.get("target", result.get("data", ""))
    seeds = f"{result['seeds']} seeds" if "seeds" in result else f"seed {result.get('seed', 0)}"
    title = f"{data}, recipe {result['recipe']}, {seeds}, {result['steps']} steps"
    drawn = rich_table.Table("", *table.columns, title=title, title_justify="left", box=box.SIMPLE_HEAD)
    for column in drawn.columns[1:]:
        column.justify = "right"
    for label, (name, form) in table.rows.items():
        values = [lookup(result, pattern.format(name)) for pattern in table.columns.values()]
        if values[0] is not None:
            drawn.add_row(label, *("-" if value is None else format(value, form) for value in values))
    runs.console.print(drawn)


def lookup(result: dict[str, Any], key: str) -> Any:
    """The number at `name` or `name.part` of a result; None if there is none."""
    found: Any = result
    for part in key.split("."):
        found = found.get(part) if isinstance(found, dict) else None
    return found
