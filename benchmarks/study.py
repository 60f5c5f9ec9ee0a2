"""The runs of a study, in runs/<study>/: finished ones are not run again, and interrupted ones resume."""

import json
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

from lab import cli, runs


def cell(study: str, module: ModuleType, seed: int, recipe: str = "stable", extra: Sequence[str] = ()) -> dict:
    """The result of one run of an experiment's script, which is made if it is not there yet."""
    name = Path(str(module.__file__)).stem
    folder = Path("runs") / study / "-".join([name, recipe, str(seed)])
    flags = ["--resume", str(folder)]
    if not (folder / "config.json").exists():
        chosen = ["--recipe", recipe] if len(module.RECIPES) > 1 else []
        flags = [*chosen, "--seed", str(seed), "--out", str(folder), *extra]
    if not (folder / "result.json").exists():
        print(folder, file=sys.stderr)
        runs.console.stderr = True  # progress is not part of the table
        cli.main("", module.RECIPES, module.train, module.evaluate, module.figures, module.TABLE, flags)
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
    """Training time of the fastest run, because the others shared their core."""
    return f"{min(r['train_seconds'] for r in results) / 60:.1f}"
