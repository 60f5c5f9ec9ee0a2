"""Figures of finished and interrupted runs: one run's figures again, or several runs side by side.

    python experiments/plot.py RUN                                      draw the figures of a run again, in figures/
    python experiments/plot.py RUN RUN RUN                              compare: their results in a table, and their
                                                                        curves in one figure, curves.png
    python experiments/plot.py RUN RUN --numbers kl modes --out a.png   the curves of these numbers alone

For the figures of one run, its data are read and its last checkpoint is restored. Several runs are compared by their
log.jsonl and result.json alone.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro
from rich import box
from rich.markup import escape
from rich.table import Table

from lab import cli, files, plots, runs, screen, storage


@dataclass(frozen=True)
class Command:
    """The command line."""

    runs: Annotated[tuple[str, ...], tyro.conf.Positional, cli.shown("RUN [RUN ...]", "the folders of the runs")]
    out: Annotated[str | None, cli.shown("FILE")] = None  # the figure of several, a new .png [default: curves.png]
    numbers: Annotated[tuple[str, ...], cli.shown("NAME [NAME ...]", "logged numbers of several [default: six]")] = ()


# ------------------------------------------------------------------------------------------------ one run


def draw_again(folder: Path) -> Path:
    """Draw the figures of the run in `folder` from its data, last checkpoint and result; returns where they are."""
    experiment = storage.read_config(folder, "RUN").experiment
    module = cli.script(experiment, f"RUN {folder}: ")
    if not hasattr(module, "figures"):
        raise files.BadInput(f"RUN {folder}: {experiment} has no figures of a single run")
    config = storage.load_config(folder, "RUN", module.Config)
    if hasattr(config, "checkpoint_every") and not storage.steps(folder):
        raise files.BadInput(f"RUN {folder}: no checkpoint yet")
    with storage.only_writer(folder, "RUN"):
        result, trained = read_result(folder), module.train(config, runs.Run(folder, reopen=True))
        if hasattr(config, "checkpoint_every") and not trained.run.records:
            raise files.BadInput(f"RUN {folder}: log.jsonl has no line that can be read")
        older = trained.run.step not in (0, config.steps)  # interrupted; or its newest checkpoint is damaged
        if result is None or result["steps"] != config.steps or older:
            with screen.waiting("evaluating"):
                result = module.evaluate(trained)
        cli.draw(module.figures, trained, result, folder, advise=False)
    return folder / "figures"


def read_result(folder: Path) -> dict[str, Any] | None:
    """result.json of a run, or None if it is not finished. BadInput: the file is damaged, or training diverged."""
    try:
        result = storage.read_result(folder)
    except (OSError, ValueError) as error:
        raise files.BadInput(f"RUN {folder}: result.json cannot be used: {files.why(error)}") from None
    if result and "stopped" in result:
        raise files.BadInput(f"RUN {folder}: {result['stopped']}")
    return result


# ------------------------------------------------------------------------------------------------ several


def compare(folders: list[Path], out: Path, numbers: tuple[str, ...]) -> None:
    """Draw the curves of several runs into one figure, and print their results side by side."""
    names = short_names(folders)
    logs, steps = {}, {}
    for name, folder in zip(names, folders, strict=True):
        steps[name] = storage.read_config(folder, "RUN").everything["config"].get("steps")
        logs[name], damaged = storage.read_growing_log(folder)
        if damaged:
            screen.say(f"{folder}/log.jsonl: {damaged} damaged, left out")
        if not logs[name]:
            raise files.BadInput(f"RUN {folder}: log.jsonl is missing or empty, so that there are no curves")
    shared = plots.shared_numbers(logs)
    if not shared:
        raise files.BadInput(
            f"RUN {' '.join(map(str, folders))}: their logs share no number; expected runs of one kind"
        )
    if unknown := [name for name in numbers if name not in shared]:
        raise files.BadInput(
            f"--numbers {' '.join(unknown) or repr('')}: expected some of {', '.join(shared)}, which every run logs"
        )
    results = {}
    for name, folder in zip(names, folders, strict=True):
        result = read_result(folder)
        if not result or result["steps"] != steps[name]:  # it is of a shorter run, which was continued since
            result = logs[name][-1]
            screen.say(f"{folder}: not finished, shown as in its log at step {result['step']}")
        results[name] = result
    try:
        plots.save(plots.compared(logs, numbers), out)
    except OSError as error:
        raise files.BadInput(f"--out {out}: {files.why(error)}") from None
    except (ValueError, TypeError, LookupError, ArithmeticError) as error:  # of numbers that are none
        named = " ".join(map(str, folders))
        raise files.BadInput(f"RUN {named}: the numbers in their logs cannot be drawn: {files.why(error)}") from None
    screen.console.print(table(results))


def short_names(folders: list[Path]) -> list[str]:
    """Names for the legend: the last parts of the folders' paths, as many as it takes to tell them apart."""
    paths = [folder.resolve().parts for folder in folders]
    if len(set(paths)) < len(paths):
        raise files.BadInput(f"RUN {' '.join(map(str, folders))}: a run is named twice")
    length = next(n for n in range(1, 1 + max(map(len, paths))) if len({p[-n:] for p in paths}) == len(paths))
    return ["/".join(path[-length:]) for path in paths]


def table(results: dict[str, dict[str, Any]]) -> Table:
    """A row for each text of the first result, and for each number that all have (of many seeds the median)."""
    drawn = Table("", *map(escape, results), box=box.SIMPLE_HEAD)
    for column in drawn.columns[1:]:
        column.justify = "right"
    first = next(iter(results.values()))
    for key, value in first.items():
        if isinstance(value, str) and key != "headline":
            drawn.add_row(key, *(escape(str(result.get(key, "-"))) for result in results.values()))
        values = [number(result, key) for result in results.values()]
        if "_floor" in key or any(value is None for value in values):
            continue
        median = " (median)" if any(isinstance(result[key], dict) for result in results.values()) else ""
        drawn.add_row(key + median, *map(shown, values))
        floors = [number(result, f"{key}_floor") for result in results.values()]
        if any(floor is not None for floor in floors):
            drawn.add_row("  floor", *map(shown, floors), style="dim")
    return drawn


def number(result: dict[str, Any], key: str) -> float | None:
    """A number of a result, of many seeds their median; None if there is none."""
    value = result.get(key)
    value = value.get("median") if isinstance(value, dict) else value
    return value if isinstance(value, int | float) else None


def shown(value: float | None) -> str:
    """A number with four digits; an integer with all."""
    return "-" if value is None else f"{value:,}" if isinstance(value, int) else f"{value:z.4g}"


def main(args: list[str]) -> None:
    """Draw one run's figures again, or compare several runs."""
    with cli.one_line_errors():
        command = cli.parse(Command, __doc__, args)
        folders, out = [Path(run) for run in command.runs], Path("curves.png" if command.out is None else command.out)
        if not folders:
            raise files.BadInput("RUN: expected the folder of a run, or several")
        if "" in command.runs:
            raise files.BadInput("RUN '': expected the folder of a run")
        if len(folders) == 1:
            words = "nothing with a single RUN, whose figures have their own names"
            cli.require_defaults(command, "out numbers", words)
            screen.say(f"{draw_again(folders[0])}: drawn again")
            return
        if out.suffix.lower() != ".png":
            raise files.BadInput(f"--out {command.out or repr('')}: expected a .png file")
        if out.exists():
            raise files.BadInput(f"--out {out}: exists already; choose a new file")
        compare(folders, out, command.numbers)
        screen.say(f"{out}: the curves of {len(folders)} runs")


if __name__ == "__main__":
    main(sys.argv[1:])
