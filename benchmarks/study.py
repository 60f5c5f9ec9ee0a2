"""The runs behind a table, in runs/<study>/: finished ones are not run again, and interrupted ones resume."""

import json
import statistics
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

COMMITS: set[str] = set()  # at which the runs of this page were made


def cell(study: str, module: ModuleType, seed: int, recipe: str = "stable", extra: Sequence[str] = ()) -> dict:
    """The result of one run of an experiment's script, which is made if it is not there yet.

    Every run has a process of its own: the CPU time in its result is that of a process from its start.

    Args:
        study: the folder of the runs, within runs/.
        module: the script, as a module.
        extra: further flags of the script.
    """
    script = Path(str(module.__file__))
    folder = Path("runs") / study / f"{script.stem}-{recipe}-{seed}"
    flags = ["--resume", str(folder)]
    if not (folder / "config.json").exists():
        chosen = ["--recipe", recipe] if len(module.RECIPES) > 1 else []
        flags = [*chosen, "--seed", str(seed), "--out", str(folder), *extra]
    if not (folder / "result.json").exists():
        print(folder, file=sys.stderr)
        command = [sys.executable, str(script), *flags]
        done = subprocess.run(command, stdout=sys.stderr)  # what the script prints is not part of the table
        if done.returncode:
            sys.exit(done.returncode)  # the script has said why
    note_commits(folder)
    return json.loads((folder / "result.json").read_text())


def note_commits(folder: Path) -> None:
    """Note at which commits the run in a folder was started and resumed, for `runs_line`."""
    config = json.loads((folder / "config.json").read_text())
    for part in (config, *config.get("resumed", [])):
        commit, dirty, _ = (part.get("commit") or "unknown").partition("-dirty")
        COMMITS.add(f"{commit[:7]}{' + changes' * bool(dirty)}")


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


def minutes(results: Sequence[dict]) -> str:
    """Training time of the fastest run, because the others shared their core."""
    return f"{min(r['train_seconds'] for r in results) / 60:.1f}"
