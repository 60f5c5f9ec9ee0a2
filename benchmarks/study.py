"""Runs of a study, each made once, in runs/<study>/: finished ones are not run again, interrupted ones resume."""

import json
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

import gan_runs as runs


def cell(study: str, module: ModuleType, seed: int, recipe: str = "stable", extra: Sequence[str] = ()) -> dict:
    """The result of one run of an experiment's script, made if it is not there yet."""
    folder = Path("runs") / study / "-".join([module.EXPERIMENT, recipe, str(seed)])
    flags = ["--resume", str(folder)]
    if not (folder / "config.json").exists():
        flags = ["--recipe", recipe, "--seed", str(seed), "--out", str(folder), *extra]
    if not (folder / "result.json").exists():
        print(folder, file=sys.stderr)
        runs.console.stderr = True  # progress is not part of the table
        runs.command_line(module.EXPERIMENT, module.RECIPES, module.train_and_report, "", flags)
    return json.loads((folder / "result.json").read_text())


def spread(values: Sequence[float], digits: int) -> str:
    """Mean +- standard deviation over seeds."""
    if len(set(values)) == 1:
        return f"{values[0]:.{digits}f}"
    return f"{statistics.mean(values):.{digits}f} +- {statistics.stdev(values):.{digits}f}"


def row(*cells: object) -> str:
    """A line of a Markdown table."""
    return "| " + " | ".join(map(str, cells)) + " |"


def minutes(results: Sequence[dict]) -> str:
    """Time of training of the fastest run: the others shared their core."""
    return f"{min(r['train_seconds'] for r in results) / 60:.1f}"
