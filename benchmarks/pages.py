"""Which pages of docs/results/ are stale: the code behind them has changed since the commit that they name.

    python benchmarks/pages.py             every page: fresh, or stale and why, and the command that makes it again
    python benchmarks/pages.py --check     the same; the exit code is 1 if a page is stale

A page names the command and the commit that made it (`line`), and the commits of its runs, where it was made of runs
that were kept (`study.about_runs`). It is stale if the code of one of its files is not what it was at these commits.
The programs in benchmarks/ count at the commit of the page alone, because what they print of a run is not in the run;
baselines_mnist.py makes runs itself, and counts at their commits, too.

Its files are the script of its command, every file of this project that one of them imports, and every script that
one of these scripts names in a string, as `"normal_1d.py --seeds 1"` does to start it. They are found in the syntax
trees, and nothing is imported. The code of a file is its syntax tree without strings that stand alone: a change of a
comment, of a docstring or of the layout moves no number, and makes no page stale. Versions of packages are not looked
at.
"""

from __future__ import annotations

import argparse
import ast
import datetime
import functools
import math
import os
import platform
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
THIS = "benchmarks/pages.py"
RESULTS = "docs/results"
PAGES = {  # page -> the command that makes it
    "faults.md": "python benchmarks/faults.py > docs/results/faults.md",
    "floors.md": "python benchmarks/quality_floors.py > docs/results/floors.md",
    "kde.md": "python benchmarks/quality_kde.py > docs/results/kde.md",
    "levels.md": "python benchmarks/quality_levels.py > docs/results/levels.md",
    "losses.md": "python benchmarks/quality_losses.py",  # with a figure and losses.csv
    "mnist.md": "python benchmarks/quality_mnist.py > docs/results/mnist.md",
    "modes.md": "python benchmarks/quality_modes.py > docs/results/modes.md",
    "normal_1d.md": "python benchmarks/quality_normal_1d.py > docs/results/normal_1d.md",
    "pacgan.md": "python benchmarks/quality_pacgan.py > docs/results/pacgan.md",
    "speed.md": "python benchmarks/speed.py > docs/results/speed.md",  # with a figure
    "translation.md": "python benchmarks/quality_translation.py > docs/results/translation.md",
}
MADE = re.compile(r"^Made by `(?P<command>[^`]+)` at commit (?P<commit>\w+(?: \+ changes)?) on ", re.MULTILINE)
RUNS = re.compile(r"^The runs were made at commits? (?P<commits>.+)\.$", re.MULTILINE)
COMMIT = re.compile(r"[0-9a-f]{7,40}")
SCRIPTS = ("benchmarks", "experiments")  # the folders of programs, which also import from their own folder
NAMED = re.compile(r"(?:\w+/)?(\w+)(?:\.py(?: .*)?)?", re.DOTALL)  # a string that may name one, bare or with flags


class NoHistory(Exception):
    """Git cannot be asked, in one line: it is missing, or the folder is no repository."""


def positive(kind: type[int] | type[float]) -> Callable[[str], float]:
    """A `type` for argparse: reads a whole or any number above 0."""

    def read(text: str) -> float:
        try:
            value = kind(text)
        except ValueError:
            value = 0
        if not 0 < value < math.inf:
            raise argparse.ArgumentTypeError(f"{text} is not a {'whole ' * (kind is int)}number above 0")
        return value

    return read


# ------------------------------------------------------------------------------------------ the files of a page


def sources(script: str) -> list[str]:
    """The files of this project that a program is made of, itself included, relative to the project's folder."""
    found = {THIS}  # it names the commit, and makes no number
    waiting = [script]
    while waiting:
        file = waiting.pop()
        if file not in found:
            found.add(file)
            waiting += needed(file)
    return sorted(found - {THIS})


def needed(file: str) -> Iterator[str]:
    """The files of this project that a file imports, at its top or inside its functions, or starts as programs."""
    for name in modules_in((ROOT / file).read_text(), is_script=Path(file).parent.name in SCRIPTS):
        for folder in ("", *SCRIPTS):
            path = Path(folder, name.replace(".", "/")).as_posix()
            yield from (p for p in (f"{path}.py", f"{path}/__init__.py") if (ROOT / p).is_file())


@functools.cache  # many pages are made of the same files
def modules_in(text: str, is_script: bool) -> list[str]:
    """The modules that a program imports or, in a script, names in a text of its own, such as `mixture_2d`."""
    names: list[str] = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        elif is_script and isinstance(node, ast.Constant) and (words := NAMED.fullmatch(str(node.value))):
            names.append(words[1])
    return names


def code(text: str) -> str:
    """The syntax tree of a file without strings that stand alone, as text; comments are not in it."""

    class WithoutTexts(ast.NodeTransformer):
        def visit_Expr(self, node: ast.Expr) -> ast.Expr | None:  # noqa: N802
            return None if isinstance(node.value, ast.Constant) and isinstance(node.value.value, str) else node

    return ast.dump(WithoutTexts().visit(ast.parse(text)))


def changed(script: str, commit: str) -> list[str]:
    """The files of a program whose code in the working tree is not what it was at a commit; new ones, too."""

    def is_new(file: str) -> bool:
        before, now = at(commit, file), (ROOT / file).read_text()
        return before != now and (before is None or code(before) != code(now))

    return [file for file in sources(script) if is_new(file)]


# ----------------------------------------------------------------------------------------------------------- git


def git(*words: str) -> str | None:
    """What git prints, or None if it refuses. NoHistory: it is not installed."""
    try:
        done = subprocess.run(["git", "-C", str(ROOT), *words], capture_output=True, text=True)
    except FileNotFoundError:
        raise NoHistory("git is not installed; without it nobody knows when a file changed") from None
    return None if done.returncode else done.stdout


@functools.cache
def at(commit: str, file: str) -> str | None:
    """A file as it was at a commit, or None if it was not there."""
    return git("show", f"{commit}:{file}")


def head() -> str:
    """The commit of the working tree. NoHistory: there is none, as in a downloaded archive."""
    folder, commit = git("rev-parse", "--show-cdup"), git("rev-parse", "--short", "HEAD")
    if commit is None or folder is None or folder.strip():  # the last is the way up to another project's repository
        raise NoHistory(f"{ROOT}: not a git repository with commits; a downloaded archive has no history")
    return commit.strip()


# ------------------------------------------------------------------------------------------ what a page says


def line(script: str) -> str:
    """The last line of a page: command, commit, date and machine.

    It is made before the work, when the files are those that run, and printed after it, when the page is whole. "+
    changes" stands behind the commit if the code of a file is not what it is there.

    Args:
        script: the program's `__file__`.
    """
    script = Path(script).resolve().relative_to(ROOT).as_posix()
    command = shlex.join(["python", script, *sys.argv[1:]])
    try:
        commit = head()
        where = f"at commit {commit}{' + changes' * bool(changed(script, commit))}"
    except NoHistory:
        where = "outside git"
    return f"Made by `{command}` {where} on {datetime.date.today()}. The machine: {processor()}."


def processor() -> str:
    """The processor's name, how many cores there are, and its widest vector instructions."""
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return f"{platform.processor()}, {os.cpu_count()} cores"
    name = re.search(r"model name\s*: (.*)", text)
    flags = set((re.search(r"flags\s*: (.*)", text) or [""])[0].split())
    wide = next((words for words in ("amx_tile", "avx512f", "avx2", "avx") if words in flags), "no AVX")
    return f"{name[1] if name else platform.processor()}, {os.cpu_count()} cores, {wide}"


def makes_runs(file: str) -> bool:
    """Whether a file may change the runs behind a page, and not only what the page says of them."""
    return not file.startswith("benchmarks/") or file == "benchmarks/baselines_mnist.py"


def why_stale(page: str) -> str | None:
    """Why a page of docs/results/ is stale, in a few words, or None if it is fresh."""
    if page not in PAGES:
        return f"no command in {THIS} makes it"
    command, script = PAGES[page].split(" > ")[0], PAGES[page].split()[1]
    if not (ROOT / RESULTS / page).is_file():
        return "it is not there"
    text = (ROOT / RESULTS / page).read_text()
    if not (made := MADE.search(text)):
        return "it names no commit"
    if made["command"] != command:
        return f"it was made by `{made['command']}`"
    runs = [name for names in RUNS.findall(text) for name in names.split(", ")]
    found = {}
    for commit in dict.fromkeys([made["commit"], *runs]):
        which = f"{commit}{' of its runs' * (commit != made['commit'])}"
        if not COMMIT.fullmatch(commit):
            return f"the code of commit {which} cannot be looked up"
        if git("merge-base", "--is-ancestor", commit, "HEAD") is None:
            return f"commit {which} is not in this history"
        made_here = commit == made["commit"]
        found[which] = [file for file in changed(script, commit) if made_here or makes_runs(file)]
    return "; ".join(f"changed since commit {c}: {', '.join(files)}" for c, files in found.items() if files) or None


def main() -> int:
    """Print the list; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="exit code 1 if a page is stale")
    args = parser.parse_args()
    try:
        head()
        pages = sorted({*PAGES, *(path.name for path in (ROOT / RESULTS).glob("*.md"))})
        stale = {page: why for page in pages if (why := why_stale(page))}
    except NoHistory as error:
        print(error, file=sys.stderr)
        return 2
    for page in pages:
        print(f"stale  {page}: {stale[page]}" if page in stale else f"fresh  {page}")
        if page in stale and page in PAGES:
            text = (ROOT / PAGES[page].split()[1]).read_text()  # of its script, which says where it keeps runs
            kept = " and ".join(folder for folder in ("runs/", "docs/results/runs/") if folder in text)
            hint = f"  # finished runs in {kept} are used again: delete stale ones" if kept else ""
            print(f"       {PAGES[page]}{hint}")
    return int(args.check and bool(stale))


if __name__ == "__main__":
    sys.exit(main())
