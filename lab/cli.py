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
import difflib
import errno
import importlib
import inspect
import io
import itertools
import os
import re
import shlex
import sys
import types
import typing
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import tyro
from rich import box
from rich import table as rich_table
from rich.markup import escape

import gan_core as core
from lab import devices, draws, files, programs, runs, screen, signals, storage, tensorboard
from lab.files import BadInput
from lab.runs import Stopped

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
AtLeast2 = Annotated[int, Accepted("at least 2", lambda v: v >= 2)]
NormBatch = Annotated[int, Accepted("at least 2, for batch norm", lambda v: v >= 2)]
Whole = Annotated[int, Accepted("0 or more", lambda v: v >= 0)]
Sizes = Annotated[tuple[int, ...], Accepted("at least 1", lambda v: v >= 1)]  # of layers
Seed = Annotated[int, Accepted("at least 0 and below 2^31", lambda v: 0 <= v < 2**31)]
Categories = Annotated[int, Accepted("0 or at least 2", lambda v: v == 0 or v >= 2)]
Rate = Annotated[float, Accepted("above 0 and below 1e38", lambda v: 0 < v < 1e38)]  # float32 ends at 3e38
Weight = Annotated[float, Accepted("0 or more and below 1e38", lambda v: 0 <= v < 1e38)]
Decay = Annotated[float, Accepted("at least 0 and below 1", lambda v: 0 <= v < 1 - 2**-25)]  # float32(1 - 2^-25) is 1
Share = Annotated[float, Accepted("at least 0 and at most .99", lambda v: 0 <= v <= 0.99)]
Samples = Annotated[int, Accepted("at least 100", lambda v: v >= 100)]  # fakes that are measured
Norm = Annotated[str, one_of(("batch", "none"))]
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
        require(config, name, "below 2^63", lambda v: not isinstance(v, int) or v < 2**63)


def require(config: Any, names: str, words: str, good: Callable[[Any], bool]) -> None:
    """BadInput unless each of these fields, named in one string, has good values; None means not set."""
    for name in names.split():
        value = getattr(config, name)
        values = value if isinstance(value, tuple) else () if value is None else (value,)
        try:
            fine = all(good(v) for v in values)
        except TypeError:  # a wrong type, from an edited config.json
            fine = False
        if not fine:
            given = " ".join(f"{v:g}" if isinstance(v, float) else str(v) or repr(v) for v in values)
            raise BadInput(f"{flag(name)} {given}: expected {words}")


def require_defaults(config: Any, names: str, words: str) -> None:
    """BadInput unless each of these fields, named in one string, has its default."""
    for name in names.split():
        if getattr(config, name) != getattr(type(config), name):
            require(config, name, words, lambda v: False)


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
    spread: str | None = None,
) -> None:
    """Parse the flags, open the run's folder, train, evaluate, draw, print; wrong input is one line and exit code 2.

    Args:
        recipes: complete settings by name, the default first; `--recipe` picks those that the other flags change.
        train: trains with these settings and reports to the run.
        evaluate: the numbers of result.json, with a sentence `headline` for the screen.
        figures: draws into a folder.
        table: what is printed of the result at the end, or a function that prints it.
        args: the words of the command line, by default those of this process.
        spread: what --devices spreads over devices, one of `SPREAD`; by default there is no such flag.
    """
    script = Path(inspect.getfile(evaluate)).resolve()
    experiment, args = script.stem, sys.argv[1:] if args is None else args
    with one_line_errors(), contextlib.ExitStack() as stack:
        _require_one_copy(script)
        command = parsed(recipes, description, args, spread)
        if (workers := _workers(spread, command)) and not workers.is_chief:
            follow(experiment, command, args, train)
            return
        if command.tensorboard:
            tensorboard.require()
        if command.resume is None:
            config, given = shrunk(command.config), "--out"
            folder, created = storage.new_folder(experiment, getattr(config, "seed", 0), command.out)
        else:
            folder, given = _existing(command.resume), "--resume"
        stack.enter_context(storage.only_writer(folder, given))
        before, begun = storage.descriptions(folder), max(storage.steps(folder), default=0)
        events = tensorboard.Events(folder) if command.tensorboard else None
        signals.advise(f"continue with --resume {folder}")
        if command.resume is None:
            storage.save_config(folder, experiment, command.recipe, config)
            screen.say(f"{experiment}, recipe {command.recipe}: {folder}")
        else:
            config = _resumed(experiment, command, args, folder)
            if finished := finished_result(folder, config):
                if "stopped" in finished:
                    raise Stopped(f"{folder}: {finished['stopped']}", 1)
                if not is_drawn(folder):
                    draw(figures, train(config, runs.Run(folder, reopen=True)), finished, folder)
                    files.sweep(folder)
                if events:
                    events.finish(finished)
                done = f"finished, all {config.steps} steps are done"
                screen.say(f"{folder}: {done}; use --steps N to train on to step N")
                return
            files.sweep(folder)
        run = runs.Run(folder, resume=command.resume is not None, events=events, devices=command.devices)
        try:
            trained = train(config, run)
        except BadInput:  # of the data, which are read only now
            if command.resume is None and not run.records:
                stack.close()
                storage.remove(folder, created)
            elif command.resume is not None and run.step <= begun:
                storage.put_back(folder, before)
            raise
        with screen.waiting("evaluating"):
            result = evaluate(trained)
        (folder / DRAWING).mkdir(exist_ok=True)  # before result.json: the figures of this result are not drawn yet
        result = run.finish(result)
        draw(figures, trained, result, folder)
        if events:
            events.finish(result)
        if isinstance(table, Table):
            show(table, result)
        elif table:
            table(result)
        log = " and log.jsonl" if run.records else ""
        shown = f"; tensorboard --logdir {folder}" if events else ""
        screen.say(f"{folder}: pictures in figures/, every number in result.json{log}{shown}")
        speed = f", {result['seed_steps_per_second']:,} seed-steps a second" if run.records else ""
        screen.say(f"{result['headline']}; {result['train_seconds']:.1f} s of training{speed}")


def _require_one_copy(script: Path) -> None:
    """BadInput: the script is of one copy of this project, and Python has found the packages of another."""
    found = Path(__file__).resolve().parents[1]
    if script.parent.name == "experiments" and script.parents[1] != found:
        raise BadInput(f"{script}: Python finds its packages in another copy, {found}; use the .venv of this one")


def _workers(spread: str | None, command: Command) -> devices.Cluster | None:
    """The processes that train together. BadInput: this script cannot, or other flags say otherwise."""
    workers = devices.cluster() if spread else None
    if workers and spread == "seeds":
        raise BadInput("TF_CONFIG: seeds train on the devices of one machine; start a run with other seeds on each")
    if workers and command.devices is not None:
        raise BadInput(f"--devices {command.devices}: no such flag beside TF_CONFIG, whose workers use all they have")
    return workers


def follow(experiment: str, command: Command, args: list[str], train: Callable[[Any, runs.Run], Any]) -> None:
    """Train along with the chief, which reports and writes."""
    if command.resume is None:
        folder = Path(command.out) if command.out else None
        train(shrunk(command.config), runs.Run(folder, devices=command.devices, follows=True))
        return
    folder = _existing(command.resume)
    config = _resumed(experiment, command, args, folder, write=False)
    result = None
    with contextlib.suppress(OSError, ValueError):  # the chief says so if the file is damaged
        result = storage.read_result(folder)
    if not result or result["steps"] < config.steps:
        train(config, runs.Run(folder, resume=True, devices=command.devices, follows=True))


DRAWING = ".figures.tmp"  # there from before result.json is written until all of its figures are drawn


def draw(figures: Callable, trained: runs.Trained, result: dict[str, Any], folder: Path, advise: bool = True) -> None:
    """Draw the figures of a run into a temporary folder, and move them to its figures/ once all are there.

    Stopped: they cannot be drawn; the numbers are safe in result.json by then. `advise`: say what draws them again.
    """
    target, temporary = folder / "figures", folder / DRAWING
    with screen.waiting("drawing the figures"):
        try:
            temporary.mkdir(exist_ok=True)
            files.sweep(temporary)  # of an earlier attempt that was killed
            figures(trained, result, temporary)
            target.mkdir(exist_ok=True)
            for path in temporary.iterdir():
                path.replace(target / path.name)
            temporary.rmdir()
        except Exception as error:  # of whatever kind
            if signals.arrived():
                raise
            again = f"; python experiments/plot.py {folder} draws them again" if advise else ""
            what = f"{folder}: the numbers are in result.json, but the figures cannot be drawn"
            raise Stopped(f"{what}: {files.why(error)}{again}", 1) from None


def is_drawn(folder: Path) -> bool:
    """Whether all figures of a finished run are there."""
    return (folder / "figures").exists() and not (folder / DRAWING).exists()


@contextlib.contextmanager
def one_line_errors() -> Iterator[None]:
    """Invalid input, signals, a full disk and the like end the process with one line and an exit code."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:  # it was closed: its number must not go to the next file that is opened
            setattr(sys, name, open(os.devnull, mode))  # noqa: SIM115
    if hasattr(sys.stdout, "reconfigure"):  # the name of a file may hold what its encoding lacks
        sys.stdout.reconfigure(errors="backslashreplace")
    kept: Path | None = None

    @contextlib.contextmanager
    def importing() -> Iterator[None]:
        nonlocal kept
        kept = programs.use_kept()
        with screen.waiting("importing TensorFlow"):
            yield

    core.importing = importing
    with signals.handled():
        try:
            try:
                yield
            finally:  # an interrupted run is resumed with the same programs
                programs.keep(kept)
        except BadInput as error:
            _exit(str(error), 2)
        except Stopped as error:
            _exit(str(error), error.code)
        except KeyboardInterrupt as error:
            signal = error if isinstance(error, signals.Interrupted) else signals.arrived()  # Ray raises a plain one
            _exit(_with_advice(str(signal or "interrupted")), signal.code if signal else 130)
        except OSError as error:
            _exit(_of_the_system(error), 2 if error.errno == errno.ENAMETOOLONG else 1)  # a name is the user's
        except MemoryError as error:
            _exit(_with_advice(f"out of memory: {str(error) or 'use smaller sizes'}"), 1)
        except Exception as error:
            if signal := signals.arrived():  # which libraries in C may turn into an error of their own
                _exit(_with_advice(str(signal)), signal.code)
            if type(error).__name__ != "ResourceExhaustedError":  # TensorFlow's, which may not be imported
                raise
            _exit(_with_advice(f"out of memory: {files.why(error)[:200]}"), 1)


def _of_the_system(error: OSError) -> str:
    """What happened to which file; without a file's name it was the screen."""
    where = error.filename if error.filename is not None else "standard output"
    return _with_advice(f"{where}: {files.why(error)}")


def _with_advice(words: str) -> str:
    return "; ".join(filter(None, (words, signals.advice())))


def _exit(message: str, code: int) -> None:
    message = message if len(message) < 1000 else f"{message[:500]} ... {message[-499:]}"  # of a value without an end
    signals.last_words("".join(c if c.isprintable() else repr(c)[1:-1] for c in message))
    try:
        sys.stdout.flush()
    except OSError:  # Python would try again at its end, and print a warning
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    sys.exit(code)


def shrunk(config: Any, quiet: bool = False) -> Any:
    """The config with `eval_every` and `checkpoint_every` of at most `steps`.

    It says so on the screen if `eval_every` was larger, unless it is to be `quiet`.
    """
    for name in ("eval_every", "checkpoint_every"):
        value = getattr(config, name, 0)
        if value > config.steps:
            config = dataclasses.replace(config, **{name: config.steps})
            # The last step is always saved, so that a smaller checkpoint_every changes nothing.
            if name == "eval_every" and not quiet:
                screen.say(f"--eval-every {value} is more than --steps {config.steps}: using {config.steps}")
    return config


def _existing(folder: str) -> Path:
    """The folder of a run that is there. BadInput: it is not."""
    if not folder:
        raise BadInput("--resume '': expected the folder of a run")
    storage.read_config(Path(folder), "--resume")
    return Path(folder)


def _resumed(experiment: str, command: Command, args: list[str], folder: Path, write: bool = True) -> Any:
    """A run goes on with its own settings; only `--steps`, the total, may grow.

    `write`: say so, and note it in config.json.
    """
    flags = {arg.split("=")[0] for arg in args if arg.startswith("--")}
    if other := flags - {"--resume", "--steps", "--tensorboard", "--no-tensorboard", "--devices"}:
        raise BadInput(f"--resume {folder}: the run keeps its own settings; drop {', '.join(sorted(other))}")
    saved = storage.read_config(folder, "--resume")
    if saved.experiment != experiment:
        raise BadInput(f"--resume {folder}: a run of {saved.experiment}, not of {experiment}")
    config = storage.load_config(folder, "--resume", type(command.config))
    changes = storage.changes_since(saved)
    if "--steps" in flags and command.config.steps != config.steps:
        if command.config.steps < config.steps:
            raise BadInput(
                f"--steps {command.config.steps}: the run is set to {config.steps} steps and cannot be made shorter"
            )
        config = dataclasses.replace(config, steps=command.config.steps)
    elif not changes and (folder / "config.json").exists():
        return config
    if not write:
        return config
    if not (folder / "config.json").exists():
        screen.say(f"{folder}: config.json is missing; made again from its copy in the newest checkpoint")
    for change in changes:
        screen.say(f"{folder}: {change}; its numbers may differ slightly from an uninterrupted run's")
    storage.save_config(folder, experiment, saved.recipe, config, saved)
    return config


def finished_result(folder: Path, config: Any) -> dict[str, Any] | None:
    """The result of all steps; None if there is none yet. One that cannot be read is set aside, and made again."""
    try:
        result = storage.read_result(folder)
    except (OSError, ValueError) as error:
        aside = files.set_aside(folder / "result.json")
        screen.say(f"{folder}: result.json is damaged ({files.why(error)}), now {aside.name}; it is made again")
        return None
    return result if result and result["steps"] == config.steps else None


def script(name: str, given: str = "") -> Any:
    """The module of an experiment by its name, which a run's folder holds; `given`: where the name is from."""
    try:
        return importlib.import_module(f"experiments.{name}")
    except ModuleNotFoundError as error:
        if not f"experiments.{name}".startswith(str(error.name)):  # the script is there, and what it imports is not
            raise
        raise BadInput(f"{given}{name}: no experiment of this name in experiments/") from None


# ------------------------------------------------------------------------------------------------- parsing


class Command(NamedTuple):
    """A parsed command line."""

    recipe: str
    config: Any
    out: str | None
    resume: str | None
    tensorboard: bool
    devices: int | None = 1


SPREAD = {"batches": "each batch", "seeds": "the blocks of seeds"}  # what the devices of --devices share, in words


def parsed(recipes: dict[str, Any], description: str, args: list[str], spread: str | None = None) -> Command:
    """The command line over the settings of the recipe that it names."""
    recipe = _recipe(recipes, args)
    groups = _groups(recipes[recipe])
    output = [
        ("out", Annotated[str | None, shown("FOLDER", "the run's folder; by default runs/EXPERIMENT/TIME-seedSEED")]),
        ("resume", Annotated[str | None, shown("FOLDER", "continue the run in this folder with its own settings")]),
    ]
    groups.setdefault("output", []).extend((name, hint, None) for name, hint in output)
    words = "also write curves, pictures and settings for TensorBoard into the run's folder; allowed with --resume"
    groups["output"].append(("tensorboard", Annotated[bool, shown(None, words, default=True)], False))
    if spread:
        words = f"devices that share {SPREAD[spread]} (default: all GPUs, or one CPU); allowed with --resume"
        number = Annotated[Count | None, shown("NUMBER", words)]
        groups.setdefault("training", []).append(("devices", number, None))
    if len(recipes) > 1:
        words = f"sets the defaults of all other flags (default: {recipe})"
        chosen = Annotated[Literal[tuple(recipes)], tyro.conf.arg(help=words, help_behavior_hint="")]  # type: ignore
        groups = {"recipe": [("recipe", chosen, recipe)]} | groups
    no_help = {"help": ""}  # of the group; otherwise tyro looks for a comment in the source, for half of its time
    fields = []
    for name, members in groups.items():
        group = dataclasses.make_dataclass(name, members, frozen=True)
        fields.append((name, group, dataclasses.field(default=group(), metadata=no_help)))
    parsed = parse(dataclasses.make_dataclass("Command", fields, frozen=True), description, args)
    values = {name: value for group in groups for name, value in vars(getattr(parsed, group)).items()}
    recipe = values.pop("recipe", recipe)
    of_output = {name: values.pop(name) for name in ("out", "resume", "tensorboard")}
    if spread:
        of_output["devices"] = values.pop("devices")
        if of_output["devices"] is not None and of_output["devices"] < 1:
            raise BadInput(f"--devices {of_output['devices']}: expected at least 1")
    return Command(recipe, dataclasses.replace(recipes[recipe], **values), **of_output)


def _recipe(recipes: dict[str, Any], args: list[str]) -> str:
    """The recipe that the words of the command line name; the default if they name none that exists."""
    words = [word for arg in args for word in (arg.split("=", 1) if arg.startswith("--recipe=") else [arg])]
    named = [b for a, b in itertools.pairwise(words) if a == "--recipe" and b in recipes]
    return [next(iter(recipes)), *named][-1]  # of several, tyro too takes the last one


def _groups(config: Any) -> dict[str, list[tuple[str, Any, Any]]]:
    """group -> (field, type for tyro with its help, default), read off the comments in the config's source."""
    hints = typing.get_type_hints(type(config), include_extras=True)
    groups: dict[str, list[tuple[str, Any, Any]]] = {}
    for group, name, words in _commented(config):
        hint = hints[name]
        optional = type(None) in typing.get_args(hint)
        metavar = ("TEXT" if str in typing.get_args(hint) else "NUMBER") if optional else None
        default = getattr(config, name)
        member: Any = Annotated[_plain(hint), shown(metavar, words, default is not None)]
        groups.setdefault(group, []).append((name, member, default))
    return groups


def comments(config: Any) -> dict[str, str]:
    """What `--help` says of each setting."""
    return {name: words for _, name, words in _commented(config)}


def _commented(config: Any) -> Iterator[tuple[str, str, str]]:
    """(group, name, comment) of each field of the config, from its source."""
    group = "options"
    for line in inspect.getsource(type(config)).splitlines():
        if heading := re.fullmatch(r"    # ([a-z0-9 ,-]+)", line):
            group = heading[1]
        elif field := re.match(r"    (\w+): .*?(?:  # (.*))?$", line):
            yield group, field[1], field[2] or ""


def shown(metavar: str | None = None, words: str | None = None, default: bool = False) -> Any:
    """How --help shows a flag: the name of its value, its words if they are no comment, perhaps its default."""
    return tyro.conf.arg(help=words, metavar=metavar, help_behavior_hint=None if default else "")


def _plain(hint: Any) -> Any:
    """An annotation as tyro reads it: the names that are accepted become a Literal."""
    choices = next((a.choices for a in getattr(hint, "__metadata__", ()) if isinstance(a, Accepted)), ())
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if choices:
        literal = Literal[choices]  # type: ignore[valid-type]
        return tuple[literal, ...] if typing.get_origin(arguments[0]) is tuple else literal  # type: ignore
    if origin is tuple:
        return tuple[tuple(a if a is ... else _plain(a) for a in arguments)]  # type: ignore[misc]
    if origin in (typing.Union, types.UnionType):
        return typing.Union[tuple(map(_plain, arguments))]  # noqa: UP007
    return hint


def parse(command: type, description: str, args: list[str]) -> Any:
    """The command line as tyro reads it; a wrong one is BadInput, and `--help` prints and ends the process."""
    try:
        with contextlib.redirect_stderr(io.StringIO()):  # tyro's messages have several lines, and break long words
            return tyro.cli(command, description=description, args=args, config=(tyro.conf.OmitArgPrefixes,))
    except SystemExit as stop:
        if not stop.code:
            raise
        cause: BaseException | None = stop
        while cause and not isinstance(cause, BadInput):  # the command itself may have raised it
            cause = cause.__context__
        raise cause or BadInput(_complaint(_flags(command), args)) from None


def _flags(command: type) -> dict[str, Any]:
    """flag -> type of its value, of a dataclass of flags or of groups of flags; RUN is a word without a flag."""
    found: dict[str, Any] = {}
    for name, hint in typing.get_type_hints(command, include_extras=True).items():
        if dataclasses.is_dataclass(hint):
            found |= _flags(typing.cast(type, hint))
        else:
            positional = tyro.conf.Positional in getattr(hint, "__metadata__", ())
            found["RUN" if positional else flag(name)] = hint
    return found


def _complaint(flags: dict[str, Any], args: list[str]) -> str:
    """What is wrong with a command line that tyro refuses: the first wrong flag, its value, what is accepted."""
    starts = [k for k, arg in enumerate(args) if is_flag(arg)]
    loose = args[: starts[0]] if starts else args
    for first, last in itertools.pairwise([*starts, len(args)]):
        given, *values = [*args[first].split("=", 1), *args[first + 1 : last]]
        name = given.replace("_", "-")
        if name not in flags and _bare(flags.get(positive := name.replace("--no-", "--", 1))) is bool:
            name = positive
        if name not in flags:
            return f"{shlex.quote(given)}: no such flag; {nearest(given, flags)}"
        count, words, good = _expected(flags[name])
        if "RUN" in flags and count:  # it may stand behind the values of any flag
            values, loose = values[:count], loose + values[count:]
        if count not in (None, len(values)) or not all(map(good, values)):
            return f"{shlex.join([given, *values])}: expected {words}"
    if "RUN" in flags:
        return f"{shlex.join(['RUN', *loose])}: expected the folder of one run"
    return f"{shlex.join(loose or args)}: not a flag; {nearest((loose or args)[0], flags)}"


def is_flag(word: str) -> bool:
    """Whether a word starts as a flag does, and is no negative number."""
    try:
        float(word)
    except ValueError:
        return word.startswith("-")
    return False


def nearest(word: str, flags: Collection[str]) -> str:
    """Which flags may have been meant."""
    names, word = [name.lstrip("-") for name in flags if name != "RUN"], word.strip("-").replace("_", "-").lower()
    near = difflib.get_close_matches(word, names, n=2, cutoff=0.7)
    near = near or [name for name in names if set(name.split("-")) & set(word.split("-"))][:3]
    return f"did you mean {' or '.join(f'--{name}' for name in near)}?" if near else "--help lists all flags"


def _expected(hint: Any) -> tuple[int | None, str, Callable[[str], bool]]:
    """What a flag takes: how many values, None for any number; which in words; whether a word is one of them."""
    kind = _bare(hint)
    parts = typing.get_args(kind) if typing.get_origin(kind) is tuple else (kind,)
    kind, count = _bare(parts[0]), None if ... in parts else len(parts)
    if kind is bool:
        return 0, "no value; --no- before its name turns it off", bool
    if names := typing.get_args(kind):
        return count, f"one of {', '.join(names)}", names.__contains__
    noun = {int: "whole number", float: "number"}.get(kind, "name, file or folder")
    words = f"a {noun}" if count == 1 else f"{noun}s" if count is None else f"{count} {noun}s"

    def good(word: str) -> bool:
        try:
            kind(word)
        except ValueError:
            return False
        return True

    accepted = dict.fromkeys(a.words for a in _accepted(hint))  # once, though each of three counts has it
    return count, ", ".join([words, *accepted]), good


def _bare(hint: Any) -> Any:
    """The type within `Annotated` and `... | None`."""
    if typing.get_origin(hint) is Annotated:
        return _bare(typing.get_args(hint)[0])
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return _bare(next(h for h in typing.get_args(hint) if h is not type(None)))
    return hint


# -------------------------------------------------------------------------------------------------- tables


class Table(NamedTuple):
    """The table at the end of a run.

    columns: heading -> pattern of a key of result.json: `{}_floor`, or `{}.median` for a number within a summary.
    rows: label -> the name that goes into the patterns, and the format of its numbers. A row without a first number
    is left out, unless no seed has a finite one.
    """

    columns: dict[str, str]
    rows: dict[str, tuple[str, str]]


OVER_SEEDS = {"median": "{}.median", "10%": "{}.q10", "90%": "{}.q90", "floor": "{}_floor"}
IMAGES = {"fakes": "{}", "floor: real images": "{}_floor"}


def show(table: Table, result: dict[str, Any]) -> None:
    """Print the table of a result. A label counts seeds without a finite number, which the quantiles leave out."""
    data = result.get("target", result.get("data", ""))
    count = result.get("seeds")
    seeds = f"seed {result.get('seed', 0)}" if count is None else f"{count} seed{'s' * (count > 1)}"
    title = f"{data}, recipe {result['recipe']}, {seeds}, {result['steps']} steps"
    title += f", {result['device']}" if result.get("device", "CPU") != "CPU" else ""
    drawn = rich_table.Table("", *table.columns, title=escape(title), title_justify="left", box=box.SIMPLE_HEAD)
    for column in drawn.columns[1:]:
        column.justify = "right"
    for label, (name, form) in table.rows.items():
        values = [lookup(result, pattern.format(name)) for pattern in table.columns.values()]
        failed, form = lookup(result, f"{name}.failed"), form if form == "d" else f"z{form}"  # z: never -0.00
        if values[0] is not None or failed:
            words = f"{label} ({failed} of {count} seeds not finite)" if failed else label
            drawn.add_row(words, *("-" if value is None else format(value, form) for value in values))
    screen.console.print(drawn)


def lookup(result: dict[str, Any], key: str) -> Any:
    """The number at `name` or `name.part` of a result; None if there is none."""
    found: Any = result
    for part in key.split("."):
        found = found.get(part) if isinstance(found, dict) else None
    return found
