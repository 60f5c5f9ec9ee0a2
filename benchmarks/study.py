"""The runs behind a table: finished ones are not run again, and interrupted ones resume.

A run is made in runs/<study>/. Once it is finished, its config.json and result.json are copied to
docs/results/runs/<study>/, which is a part of this project. So a study that takes many hours can be made on several
machines, and everyone can read the numbers of each seed. To make a run again, delete its folder in both places.
"""

import contextlib
import shutil
import statistics
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import ModuleType

from lab import cells, cli, files, storage

RUNS, KEPT = Path("runs"), Path("docs/results/runs")
COMMITS: set[str] = set()  # at which the runs of this page were made


def runs_of(
    study: str, module: ModuleType, seeds: Iterable[int], recipe: str = "stable", extra: Sequence[str] = ()
) -> list[dict]:
    """The results of runs of an experiment's script, one for each seed; those that are not there yet are made.

    With the package ray as many are made at the same time as there are cores, otherwise one after the other. A run
    that diverged ends the program in one line.

    Args:
        study: the folder of the runs, within runs/ and docs/results/runs/.
        module: the script, as a module.
        extra: further flags of the script.
    """
    script = Path(str(module.__file__)).stem
    made = []
    with cli.one_line_errors(), contextlib.redirect_stdout(sys.stderr):  # what is said is not part of the table
        for seed in seeds:
            flags = [*(["--recipe", recipe] if len(module.RECIPES) > 1 else []), "--seed", str(seed), *extra]
            config = cli.shrunk(cli.parsed(module.RECIPES, "", flags).config)
            folder = Path(study, f"{script}-{recipe}-{seed}")
            cell = cells.Cell(script, recipe, config, KEPT / folder)
            if not cells.finished_result(cell):
                cell = cell._replace(folder=RUNS / folder)
            require_these_settings(cell)
            made.append(cell)
        found = cells.run(made, cells.Where(), see=keep)
    for cell, result in zip(made, found, strict=True):
        if "stopped" in result:
            sys.exit(f"{cell.folder}: {result['stopped']}")
        note_commits(cell.folder)
    return found


def keep(cell: cells.Cell, result: dict) -> None:
    """Copy the settings and the numbers of a finished run to docs/results/runs/; not of one that diverged."""
    if "stopped" in result or cell.folder.is_relative_to(KEPT):
        return
    for name in ("config.json", "result.json"):
        with files.replacing(KEPT / cell.folder.relative_to(RUNS) / name) as temporary:
            shutil.copyfile(cell.folder / name, temporary)


def require_these_settings(cell: cells.Cell) -> None:
    """BadInput if the folder holds a run with other settings, such as those that a recipe had before."""
    try:
        kept = dict(files.read_json(cell.folder / "config.json")["config"])
    except (OSError, ValueError, KeyError, TypeError):  # there is none, or it is damaged, which `about_runs` shows
        return
    if changed := storage.changed_setting(kept, cell.config):
        name, before, value = changed
        raise files.BadInput(
            f"{cell.folder}: was made with {name} {before}, but this page needs {value}; delete the folder"
        )


def note_commits(folder: Path) -> None:
    """Note at which commits the run in a folder was started and resumed, for `about_runs`."""
    COMMITS.update(cells.commits(folder))


def about_runs() -> str:
    """Two lines for the end of a page: at which commits its runs were made (pages.py reads this), and where their
    numbers are.
    """
    commits = f"The runs were made at commit{'s' * (len(COMMITS) > 1)} {', '.join(sorted(COMMITS))}."
    return f"{commits}\nThe settings and the numbers of each of them are in [runs](runs)."


def spread(values: Sequence[float], digits: int) -> str:
    """Mean +- standard deviation over seeds; rounding never leaves -0."""
    if len(set(values)) == 1:
        return f"{values[0]:z.{digits}f}"
    return f"{statistics.mean(values):z.{digits}f} +- {statistics.stdev(values):.{digits}f}"


def named(seeds: Sequence[int]) -> str:
    """Seeds in words: `seed 0`, `seeds 4, 5`, `seeds 4 to 13`."""
    if len(seeds) > 3 and [*seeds] == [*range(seeds[0], seeds[-1] + 1)]:
        return f"seeds {seeds[0]} to {seeds[-1]}"
    return f"seed{'s' * (len(seeds) > 1)} {', '.join(map(str, seeds))}"


def row(*values: object) -> str:
    """A line of a Markdown table."""
    return "| " + " | ".join(map(str, values)) + " |"


def minutes(results: Sequence[dict]) -> str:
    """Processor time of the run that took the least, evaluation included, in minutes."""
    return f"{min(r['cpu_seconds'] for r in results) / 60:.1f}"
