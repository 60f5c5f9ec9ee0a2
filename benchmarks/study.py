"""The runs behind a table, in runs/<study>/: finished ones are not run again, and interrupted ones resume."""

import contextlib
import statistics
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import ModuleType

from lab import cells, cli, files, storage

COMMITS: set[str] = set()  # at which the runs of this page were made


def runs_of(
    study: str, module: ModuleType, seeds: Iterable[int], recipe: str = "stable", extra: Sequence[str] = ()
) -> list[dict]:
    """The results of runs of an experiment's script, one for each seed; those that are not there yet are made.

    With the package ray as many are made at the same time as there are cores, otherwise one after the other. A run
    that diverged ends the program in one line.

    Args:
        study: the folder of the runs, within runs/.
        module: the script, as a module.
        extra: further flags of the script.
    """
    script = Path(str(module.__file__)).stem
    made = []
    with cli.one_line_errors(), contextlib.redirect_stdout(sys.stderr):  # what is said is not part of the table
        for seed in seeds:
            flags = [*(["--recipe", recipe] if len(module.RECIPES) > 1 else []), "--seed", str(seed), *extra]
            config = cli.shrunk(cli.parsed(module.RECIPES, "", flags).config)
            made.append(cells.Cell(script, recipe, config, Path("runs", study, f"{script}-{recipe}-{seed}")))
            require_these_settings(made[-1])
        found = cells.run(made, cells.Where())
    for cell, result in zip(made, found, strict=True):
        if "stopped" in result:
            sys.exit(f"{cell.folder}: {result['stopped']}")
        note_commits(cell.folder)
    return found


def require_these_settings(cell: cells.Cell) -> None:
    """BadInput if the folder holds a run with other settings, such as those that a recipe had before."""
    try:
        kept = dict(files.read_json(cell.folder / "config.json")["config"])
    except (OSError, ValueError, KeyError, TypeError):  # there is none, or it is damaged, which `runs_line` shows
        return
    if changed := storage.changed_setting(kept, cell.config):
        name, before, value = changed
        raise files.BadInput(f"{cell.folder}: has {name} {before}, and this page {value}; delete the folder")


def note_commits(folder: Path) -> None:
    """Note at which commits the run in a folder was started and resumed, for `runs_line`."""
    COMMITS.update(cells.commits(folder))


def runs_line() -> str:
    """The last line but one of a page that was made of kept runs, which pages.py reads: the commits of the runs."""
    return f"The runs were made at commit{'s' * (len(COMMITS) > 1)} {', '.join(sorted(COMMITS))}."


def spread(values: Sequence[float], digits: int) -> str:
    """Mean +- standard deviation over seeds; rounding never leaves -0."""
    if len(set(values)) == 1:
        return f"{values[0]:z.{digits}f}"
    return f"{statistics.mean(values):z.{digits}f} +- {statistics.stdev(values):.{digits}f}"


def row(*cells: object) -> str:
    """A line of a Markdown table."""
    return "| " + " | ".join(map(str, cells)) + " |"


def minutes(results: Sequence[dict], kind: str = "train_seconds") -> str:
    """Minutes that the fastest run trained, on a core that it may have shared; `cpu_seconds`: its processor time."""
    return f"{min(r[kind] for r in results) / 60:.1f}"
