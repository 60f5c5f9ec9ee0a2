"""Which settings are better, and is the difference real? Any settings of any script, over many seeds.

    python experiments/compare.py mixture_2d --vary loss=minimax,hinge r1=0.1,1 --seeds 32 --target grid
    python experiments/compare.py mnist_dcgan --vary r1=0,1 dropout=0,0.25 --seeds 8 --data digits
    python experiments/compare.py normal_1d --vary recipe=stable,classic
    python experiments/compare.py normal_1d mixture_2d --vary loss=hinge,minimax r1=0,1 --one-at-a-time

All other flags are the script's, and hold for every run; only --devices, --resume and --tensorboard are not allowed.
Every combination of the values is trained, or with --one-at-a-time the recipe and each change of it alone. All share
the seeds, so that differences are taken seed by seed. The table gives medians, their 95% intervals (by the sign test;
with fewer than 6 seeds, the smallest and the largest number) and which others each setting beats beyond chance.
Chance means: on every seed each of two settings is as likely as the other to be ahead by any given amount. Equal
medians alone do not mean that (docs/results/levels.md). Settings that choose the data (--target, --data) may be
varied, too: results on different data are not compared with each other.

With --budget 20m, settings are dropped on the way (successive halving, Jamieson and Talwalkar 2016): all train a part
of the seeds, then the better half trains as many again, and so on. The first round is always played. Before each
later one its time is estimated; if it is more than what is left of the budget, the table is made of what is there.

Runs are made at the same time by --workers processes, if Ray is installed, or by the cluster at --address
(docs/cluster.md). Finished ones are kept in the folder --out: after Ctrl-C the same command goes on. With more
--seeds only the new ones are trained, except by normal_1d and mixture_2d, which train all seeds of a setting in one
run. To add values to a study, give its folder as --out.
"""

from __future__ import annotations

import csv
import itertools
import math
import re
import shlex
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np
import tyro
from rich import box
from rich import table as rich_table
from rich.text import Text

from lab import cells, cli, files, paired, plots, screen, signals
from lab.cells import Cell

DATA = ("target", "target_args", "data", "pairs", "domain_a", "domain_b")  # settings that choose the data
UNCHANGED = "the recipe"  # the label of the recipe with --one-at-a-time
TITLE = "# Settings compared"  # the first line of compare.md
FIRST_CHOICE = ("kl", "frechet_digit_distance", "to_real", "l1", "cycle_a")  # of metrics
OF_DIGITS = {"agreement", "accuracy", "frechet_digit_distance"}
HIGHER = {"modes", "high_quality", "confident_share", "digits", "precision", "recall", "parzen"}
HIGHER |= {"agreement", "accuracy"}
NEITHER = {"kl_kde", "discriminator_loss", "game_value"}  # numbers that do not tell which GAN is better


Level = Annotated[float | None, cli.Accepted("above 0 and below 1", lambda v: 0 < v < 1), cli.shown("CHANCE")]


@dataclass(frozen=True)
class Config:
    """Settings of one study; all other flags are the script's."""

    scripts: Annotated[tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="SCRIPT...")] = ()
    vary: tuple[str, ...] = ()  # settings and the values to compare: NAME=VALUE,VALUE ...; also recipe=NAME,NAME
    seeds: cli.AtLeast2 = 10  # of each setting
    metric: Annotated[str | None, cli.shown("NAME")] = None  # a number of result.json [default: a KL, Frechet or L1]
    one_at_a_time: bool = False  # the recipe, and one change of it at a time, instead of all combinations
    level: Level = None  # chance of any false claim on the same data; refused with too few --seeds [default: .05]
    budget: Annotated[str | None, cli.shown("TIME")] = None  # such as 90s, 20m or 1.5h: drop half after each round
    workers: Annotated[cli.Count | None, cli.shown("NUMBER")] = None  # processes [default: one for each core]
    address: Annotated[str | None, cli.shown("HOST:PORT")] = None  # of a Ray cluster, instead of --workers
    shared: bool = False  # the machines of the cluster share the folder --out, and no results have to be sent
    out: Annotated[str | None, cli.shown("FOLDER")] = None  # of runs and table [default: one in runs/compare/]

    def __post_init__(self) -> None:
        cli.check(self)
        if self.out == "":
            raise files.BadInput("--out '': expected a folder")
        self.seconds()  # raises BadInput for a wrong --budget

    def seconds(self) -> float:
        """--budget in seconds, infinite without one; BadInput if it is no time."""
        found = re.fullmatch(r"(\d+\.?\d*|\.\d+)([smh])", self.budget or "")
        if self.budget is not None and not (found and float(found[1])):
            raise files.BadInput(f"--budget {self.budget or repr('')}: expected a time such as 90s, 20m or 1.5h")
        return float(found[1]) * {"s": 1, "m": 60, "h": 3600}[found[2]] if found else math.inf


class Setting(NamedTuple):
    """One of the settings that are compared."""

    data: str  # script and data; settings are compared where these are the same
    label: str  # its changed values, in words
    script: str
    recipe: str
    config: Any  # of the script
    typed: tuple[tuple[str, str], ...] = ()  # the varied settings and their values, as they were typed


# ------------------------------------------------------------------------------------- what is compared


def settings_of(config: Config, flags: list[str]) -> list[Setting]:
    """Every setting of every script; `flags` are the script's own."""
    if not config.scripts or len(set(config.scripts)) < len(config.scripts):
        words = shlex.join(["SCRIPT", *config.scripts])
        raise files.BadInput(f"{words}: expected one or more scripts, each once, such as mixture_2d")
    varied = dict(map(values_of, config.vary))
    if not varied or len(varied) < len(config.vary) or not set(varied) - set(DATA):
        words = shlex.join(["--vary", *config.vary])
        expected = "expected settings, each once, at least one of which does not choose the data, as in r1=0,1"
        raise files.BadInput(f"{words}: {expected}")
    return [setting for name in config.scripts for setting in _of_script(name, varied, config, flags)]


def named(word: str) -> str:
    """The name of a script, which may also be typed as its file: numpy_gan.py or experiments/numpy_gan.py."""
    path = Path(word.removesuffix(".py"))
    elsewhere = path.parent != Path() and path.parent.resolve() != Path(__file__).resolve().parent
    if elsewhere or not path.name.isidentifier():
        raise files.BadInput(f"SCRIPT {word or repr('')}: no experiment of this name in experiments/")
    return path.name


def values_of(word: str) -> tuple[str, list[str]]:
    """`r1=0,1` as name and values."""
    name, equals, text = word.partition("=")
    values = [value.strip() for value in text.split(",")]
    if not (name and equals and all(values) and len(set(values)) == len(values) > 1):
        raise files.BadInput(f"--vary {word or repr('')}: expected NAME=VALUE,VALUE: two or more values, each once")
    return name.lstrip("-").replace("-", "_"), values


def _of_script(name: str, varied: dict[str, list[str]], config: Config, flags: list[str]) -> list[Setting]:
    module = cli.script(name, "SCRIPT ")
    if not isinstance(getattr(module, "TABLE", None), cli.Table):
        raise files.BadInput(f"SCRIPT {name}: has no numbers to compare; expected one such as mixture_2d")
    words = {f"{s}={text}": _words(module.RECIPES, s, text, flags) for s in varied for text in varied[s]}
    of_data = [[f"{s}={t}" for t in varied[s]] for s in varied if s in DATA]
    others = [[f"{s}={t}" for t in varied[s]] for s in varied if s not in DATA]
    changes: Iterable[tuple[str, ...]] = itertools.product(*others)
    if config.one_at_a_time:
        changes = [(), *((change,) for change in itertools.chain(*others))]
    found: dict[tuple[str, Any], Setting] = {}
    for data, change in itertools.product(itertools.product(*of_data), changes):
        own = itertools.chain.from_iterable(words[text] for text in (*data, *change))
        parsed = cli.parsed(module.RECIPES, "", [*flags, *own])
        if parsed.resume is not None or parsed.tensorboard:
            wrong = "--tensorboard" if parsed.resume is None else "--resume"
            raise files.BadInput(f"{wrong}: expected with a single run")
        made = cli.shrunk(parsed.config, quiet=True)
        place, label = " ".join([name] * (len(config.scripts) > 1) + list(data)), " ".join(change) or UNCHANGED
        typed = tuple(text.partition("=")[::2] for text in (*data, *change))
        first = found.setdefault((place, made), Setting(place, label, name, parsed.recipe, made, typed))
        if first.label not in (label, UNCHANGED):
            raise files.BadInput(f"--vary {label}: the same as {first.label}; expected values that differ")
    return list(found.values())


def _words(recipes: dict[str, Any], name: str, text: str, flags: list[str]) -> list[str]:
    """The words of a command line that give a setting a value; BadInput: no such setting, or it is fixed."""
    (recipe, *others) = recipes.values()
    names = {field.name for field in fields(recipe)} - {"seed", "seeds"} | ({"recipe"} if others else set())
    if name not in names:
        reason = "all have the same seeds" if name in ("seed", "seeds") else cli.nearest(name, names)
        raise files.BadInput(f"--vary {name}: no setting that can be varied; {reason}")
    if cli.flag(name) in {word.split("=")[0].replace("_", "-").replace("--no-", "--") for word in flags}:
        raise files.BadInput(f"--vary {name}: it is fixed by {cli.flag(name)}; expected only one of the two")
    if isinstance(getattr(recipe, name, None), bool):
        text = text.lower()
        if text not in ("true", "false"):
            raise files.BadInput(f"--vary {name}={text}: expected true or false")
        return [cli.flag(name if text == "true" else f"no_{name}")]
    try:
        words = shlex.split(text)  # several words: the sizes of several layers
    except ValueError as error:
        raise files.BadInput(f"--vary {name}={text}: {files.why(error).lower()}") from None
    if any(map(cli.is_flag, words)):
        raise files.BadInput(f"--vary {name}={text}: expected values alone, without other flags")
    return [cli.flag(name), *words]


def metric_of(config: Config, own_images: bool) -> tuple[str, str]:
    """The key of result.json that decides, and what it is called; BadInput: not all of the scripts have it.

    `own_images`: the images are the user's own, and no digits.
    """
    tables = [{key: label.strip() for label, (key, _) in cli.script(s).TABLE.rows.items()} for s in config.scripts]
    known = [key for key in tables[0] if key not in NEITHER and all(key in table for table in tables)]
    if own_images:
        known = [key for key in known if key not in OF_DIGITS]
    name = config.metric if config.metric is not None else next((key for key in FIRST_CHOICE if key in known), "")
    if not known:
        raise files.BadInput(f"SCRIPT {' '.join(config.scripts)}: their results share no number")
    if name not in known:
        raise files.BadInput(f"--metric {name or repr('')}: expected one of {', '.join(known)}")
    return name, tables[0][name]


def rungs(settings: int, seeds: int) -> list[int]:
    """How many seeds there are after each round of successive halving, in the last of which two settings are left."""
    rounds = max(1, math.ceil(math.log2(settings)))
    return sorted({max(2, math.ceil(seeds / 2**k)) for k in range(rounds)})


# ------------------------------------------------------------------------------------------------- the study


class Study:
    """Trains what is missing and compares; `flags` are the script's, `command` is what was typed."""

    def __init__(self, config: Config, flags: list[str], command: Sequence[str] = ()):
        self.config = config = replace(config, scripts=tuple(map(named, config.scripts)))
        self.command = shlex.join(["python", "experiments/compare.py", *command])
        self.settings = settings_of(config, flags)
        first = self.settings[0].config.seed  # the same for all settings
        if (last := first + config.seeds - 1) >= 2**31:
            words = f"from --seed {first} on the last seed would be {last}; expected one below 2^31"
            raise files.BadInput(f"--seeds {config.seeds}: {words}")
        own = any(getattr(s.config, name, None) for s in self.settings for name in ("pairs", "domain_a"))
        self.metric, self.metric_label = metric_of(config, own)
        self.metrics = dict.fromkeys(key for s in config.scripts for key, _ in cli.script(s).TABLE.rows.values())
        more = self.metric in HIGHER
        self.better, self.worst, self.sign = ("more", "10%", -1) if more else ("less", "90%", 1)
        self.where = cells.Where(config.workers, config.address, config.shared)
        self.data = list(dict.fromkeys(setting.data for setting in self.settings))
        if alone := [data for data in self.data if len(self.of(data)) == 1]:
            words = shlex.join(["--vary", *config.vary]) + f" {alone[0]}".rstrip()
            raise files.BadInput(f"{words}: every value is the recipe's own; expected one that differs")
        typed = [*config.scripts, *config.vary, *flags]  # for other words another folder
        name, differs = re.sub(r"[^\w.=]+", "-", "-".join(typed)), files.fingerprint((np.array(typed),))[:6]
        self.folder = Path(config.out or Path("runs/compare", f"{name[:150]}-{differs}"))
        self.rungs = [config.seeds]
        if config.budget:
            self.rungs = rungs(max(len(self.of(data)) for data in self.data), config.seeds)
        self.chance = config.level or paired.LEVEL
        self.level = self.chance / len(self.rungs)  # each round may test a pair again
        self.enough = max(paired.seeds_needed(len(self.pairs(data)), self.level) for data in self.data)
        if config.level is not None and config.seeds < self.enough:
            words = f"--level {config.level:g} needs at least {self.enough}"
            raise files.BadInput(f"--seeds {config.seeds}: {words} for so many pairs")
        there = next(path for path in (self.folder, *self.folder.parents) if path.exists())
        if not there.is_dir() or (there / "config.json").exists():  # said before minutes of training
            what = "holds a run" if there.is_dir() else "is a file"
            raise files.BadInput(f"--out {self.folder}: {there} {what}; expected a new folder, or an earlier study's")
        written = [self.folder / name for name in ("compare.md", "compare.csv", "compare.png")]
        if not (written[0].is_file() and written[0].read_text(errors="replace").startswith(TITLE)):
            for path in (path for path in written if path.exists()):
                raise files.BadInput(f"--out {self.folder}: {path} is not of a study; expected a new folder")
        self.dropped: set[Setting] = set()
        self.found: dict[Setting, list[tuple[cells.Cell, dict]]] = {setting: [] for setting in self.settings}

    def of(self, data: str) -> list[Setting]:
        """The settings that are compared on the same data."""
        return [setting for setting in self.settings if setting.data == data]

    def pairs(self, data: str) -> list[tuple[str, str]]:
        """Every setting with every other one, or with --one-at-a-time each change with the recipe."""
        first, *others = labels = [setting.label for setting in self.of(data)]
        return [(first, b) for b in others] if self.config.one_at_a_time else list(itertools.combinations(labels, 2))

    def train(self) -> None:
        """Make all runs that are not there yet; with a budget the worse half is dropped after each round."""
        begun, before, done, playing = time.monotonic(), 0, 0, self.settings
        if len(self.data) > 1:  # otherwise the first run finds out
            self.require_data()
        for seeds in self.rungs:
            if done:
                playing = [setting for data in self.data for setting in self.better_half(playing, data)]
            new = {setting: self.cells(setting, before, seeds) for setting in playing}
            every = [cell for made in new.values() for cell in made]
            spent, share = self.spent(begun), len(playing) * (seeds - before)  # runs of one seed
            too_long = done and spent + spent * share / done > self.config.seconds()
            if too_long and not all(map(cells.finished_result, every)):
                screen.say(f"--budget {self.config.budget}: another round would take longer; this is the table")
                return
            self.dropped |= {setting for setting in self.settings if setting not in playing}
            results = iter(cells.run(every, self.where, see=self.require_metric))
            for setting, made in new.items():
                self.found[setting] += [(cell, next(results)) for cell in made]
            self.separate(new)
            before, done = seeds, done + share

    def require_data(self) -> None:
        """BadInput: a file with data cannot be used; said now, and not after other data have trained for hours."""
        for first in (self.of(data)[0] for data in self.data):
            given = [getattr(first.config, name, None) for name in DATA if name not in ("target", "target_args")]
            in_files = any(given) or Path(getattr(first.config, "target", "ring")).suffix
            made = self.cells(first, 0, self.rungs[0])
            if in_files and not all(map(cells.finished_result, made)):
                cells.require_data(made[0])

    def separate(self, settings: Iterable[Setting]) -> None:
        """Where a seed that diverged stopped a run of many, train them one by one: each then counts on its own."""
        parts: dict[cells.Cell, list[cells.Cell]] = {}
        for setting in settings:
            for cell, result in self.found[setting]:
                if "stopped" in result and (n := getattr(cell.config, "seeds", 1)) > 1:
                    first = cell.config.seed - setting.config.seed
                    parts[cell] = [c for k in range(n) for c in self.cells(setting, first + k, first + k + 1)]
        if parts:
            screen.say("a seed diverged, which stopped the others of its run; they are trained one by one")
        every = [*itertools.chain.from_iterable(parts.values())]
        results = iter(cells.run(every, self.where, see=self.require_metric) if parts else ())
        alone = {cell: [(part, next(results)) for part in made] for cell, made in parts.items()}
        for setting in settings:
            self.found[setting] = [
                pair for cell, result in self.found[setting] for pair in alone.get(cell, [(cell, result)])
            ]

    def spent(self, begun: float) -> float:
        """Seconds since the command began; or what the runs took, if those of an earlier command are among them."""
        since = time.monotonic() - begun
        if self.config.address:  # nobody knows how many runs at the same time
            return since
        wall = sum(result.get("wall_seconds") or 0 for found in self.found.values() for _, result in found)
        return max(since, wall / cells.at_once(self.where, max(1, sum(map(len, self.found.values())))))

    def better_half(self, playing: Sequence[Setting], data: str) -> list[Setting]:
        """The better half, by their medians, of the settings that still train on the same data."""
        ranked = sorted((s for s in playing if s.data == data), key=lambda s: np.median(self.scores(s)))
        return ranked[: math.ceil(len(ranked) / 2)]

    def cells(self, setting: Setting, first: int, last: int) -> list[cells.Cell]:
        """The runs of seeds first, ..., last - 1: a single one where a script trains many seeds at once."""
        config, made = setting.config, []
        for seed in [first] if hasattr(config, "seeds") else range(first, last):
            own = replace(config, seed=config.seed + seed)
            if hasattr(config, "seeds"):
                own = replace(own, seeds=last - first)
            parts = dict.fromkeys(f"{setting.script} {setting.data} {setting.label} seed={own.seed}".split())
            words = re.sub(r"[^\w.=-]+", "-", "_".join(parts))
            folder = self.folder / "cells" / f"{words[:100]}-{cells.digest(own)}"  # other settings, another name
            made.append(cells.Cell(setting.script, setting.recipe, own, folder))
        return made

    def require_metric(self, cell: Cell, result: dict[str, Any]) -> None:
        """BadInput: a finished run lacks the metric, so that no others need to be made; or its file is damaged."""
        if result.get(self.metric) is None and "stopped" not in result:
            words = "has none; the run is kept; expected another metric"
            raise files.BadInput(f"--metric {self.metric}: {cell.folder.name} {words}")
        seeds, of_all_seeds = getattr(cell.config, "seeds", 1), (f"{self.metric}_floor", "wall_seconds")
        for name in (*self.metrics, *of_all_seeds):
            value: Any = result.get(name)
            parts = isinstance(value, dict) and name not in of_all_seeds
            each = value.get("per_seed") if parts else [value] * seeds
            as_many = isinstance(each, list) and len(each) == seeds
            if not as_many or not {type(v) for v in each} <= {int, float, type(None)}:
                words = f"{name} is damaged, expected a number of each seed; delete this file, and it is made again"
                raise files.BadInput(f"{cell.folder / 'result.json'}: {words}")

    def numbers(self, setting: Setting, name: str) -> np.ndarray:
        """A number of every seed `[S]`; NaN where training diverged, or a result does not have it."""
        found: list[Any] = []
        for cell, result in self.found[setting]:
            value = result.get(name)
            found += value["per_seed"] if isinstance(value, dict) else [value] * getattr(cell.config, "seeds", 1)
        return np.array([np.nan if v is None else v for v in found], float)

    def scores(self, setting: Setting) -> np.ndarray:
        """The metric of every seed `[S]`, so that less is better: negated if need be, inf if training diverged."""
        numbers = self.sign * self.numbers(setting, self.metric)
        return np.where(np.isnan(numbers), np.inf, numbers)

    def rows(self) -> list[dict[str, Any]]:
        """A row for each setting, the best of each data first: median over seeds, its 95% interval, what it beats."""
        table = []
        for data in self.data:
            values = {setting.label: self.scores(setting) for setting in self.of(data)}
            first = values[self.of(data)[0].label]
            beats = paired.better(values, self.pairs(data), self.level)
            for setting in sorted(self.of(data), key=lambda s: np.median(values[s.label])):
                mine = values[setting.label]
                low, high = sorted(self.sign * v for v in paired.interval(mine))
                bad = float(np.quantile(mine, 0.9, method="linear" if np.isfinite(mine).all() else "higher"))
                floors = [r[f"{self.metric}_floor"] for _, r in self.found[setting] if f"{self.metric}_floor" in r]
                row = {"data": data, "setting": setting.label, "seeds": len(mine), "low": low, "high": high}
                row |= {"median": self.sign * float(np.median(mine)), "worst": self.sign * bad}
                row["beats"] = beats[setting.label]
                differences = paired.differences(mine, first)
                row |= {"difference": self.sign * float(np.median(differences)), "shared": len(differences)}
                row["ahead"] = int((differences < 0).sum())
                table.append(row | {"floor": floors[0] if floors else None, "dropped": setting in self.dropped})
        return table


# ------------------------------------------------------------------------------------------------ the report


def run(study: Study) -> list[dict[str, Any]]:
    """Train, compare, write compare.csv, compare.md and compare.png; returns the rows of the table."""
    for words in too_few(study, study.config.seeds):
        screen.say(words)
    study.train()
    table = study.rows()
    write_csv(study, study.folder / "compare.csv")
    values = {(s.data, s.label): study.sign * study.scores(s) for s in study.settings}
    plots.save(plots.settings_compared(table, values, study.metric_label), study.folder / "compare.png")
    with files.replacing(study.folder / "compare.md") as temporary:
        temporary.write_text(markdown(study, table))
    show(study, table)
    return table


def write_csv(study: Study, path: Path) -> None:
    """A line for each seed of each setting, with all numbers of the script's table."""
    varied = [values_of(word)[0] for word in study.config.vary]
    with files.replacing(path) as temporary, temporary.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("script", *varied, "seed", *study.metrics))
        for setting in study.settings:
            chosen = [setting.recipe if name == "recipe" else getattr(setting.config, name) for name in varied]
            typed = dict(setting.typed)
            words = [" ".join(map(str, v)) if isinstance(v, tuple) else v for v in chosen]
            words = [typed.get(n) if v is None else v for n, v in zip(varied, words, strict=True)]
            for k, numbers in enumerate(zip(*(study.numbers(setting, name) for name in study.metrics), strict=True)):
                texts = ("" if np.isnan(v) else f"{v:.6g}" for v in numbers)
                writer.writerow((setting.script, *words, setting.config.seed + k, *texts))


def texts(study: Study, table: list[dict[str, Any]]) -> tuple[list[str], list[list[str]]]:
    """The head of the table, and its rows in words; the data that they are on come first."""
    head = ["data", "setting", "seeds", "median", "95% interval", f"{study.worst} quantile", "floor"]
    head += [f"difference to {study.settings[0].label}", "beats"]
    rows = []
    for row in table:
        beats = ", ".join(row["beats"]) or "-"
        if len(row["beats"]) == sum(other["data"] == row["data"] for other in table) - 1 > 1:
            beats = "all others"
        seeds = f"{row['seeds']}{', then dropped' * row['dropped']}"
        floor = "" if row["floor"] is None else f"{row['floor']:.4f}"
        numbers = f"{row['median']:.4f}", f"{row['low']:.4f} to {row['high']:.4f}", f"{row['worst']:.4f}", floor
        is_first = row["setting"] == study.of(row["data"])[0].label
        against = "-" if is_first else f"{row['difference']:+z.4f}, better on {row['ahead']} of {row['shared']}"
        rows.append([row["data"], row["setting"], seeds, *numbers, against, beats])
    return head, rows


def too_few(study: Study, seeds: int) -> list[str]:
    """A sentence if this many seeds are too few, otherwise none."""
    words = f"With {seeds} seeds no difference can be shown; it takes at least {study.enough}."
    return [words] if seeds < study.enough else []


def notes(study: Study, table: list[dict[str, Any]]) -> list[str]:
    """What to know about the table, beside its columns."""
    notes, most = [], max(row["seeds"] for row in table)
    if len(study.rungs) > 1:
        at = " and ".join(map(str, sorted({row["seeds"] for row in table if row["dropped"]})))
        half = f"at {at} seeds the worse half was dropped" if at else "no setting was dropped"
        if most < study.config.seeds:
            half += f"; the budget of {study.config.budget} ended the study at {most} of {study.config.seeds} seeds"
        looks = f"Tests are corrected for {len(study.rungs)} looks at a pair."
        notes.append(f"Successive halving: {half}. {looks}")
        if study.dropped and study.rungs[0] < study.enough:
            early = f"A setting that was dropped at fewer than {study.enough} seeds cannot be beaten beyond chance"
            notes.append(f"{early}: its seeds are too few.")
    notes += too_few(study, most)
    return notes


def markdown(study: Study, table: list[dict[str, Any]]) -> str:
    """The table, and how it was made."""
    compared = "each change with the recipe" if study.config.one_at_a_time else "the pairs"
    on = " on the same data" if len(study.data) > 1 else ""
    words = (
        f"`{study.command}` compares settings by {study.metric_label}; {study.better} is better. "
        "All have the same seeds. The interval is a 95% interval of the median (sign test; with fewer than 6 seeds "
        "it reaches from the smallest to the largest number). The difference between a setting and the first one is "
        "taken seed by seed: the table gives its median, and on how many seeds the setting is better. A setting "
        "beats those that are worse by Wilcoxon's signed-rank test of such differences, with Holm's correction over "
        f"{compared}{on}: if the settings are in truth equally good, so that on each seed either of two is as likely "
        f"to be ahead, by any amount, then the chance that any of them beats another{on} is at most "
        f"{study.chance:g}. If neither of two settings beats the other, they cannot be told apart. Training that "
        "diverged counts as worse than every finite number. A table for another metric is a further test, and can "
        "again be wrong by chance."
    )
    head, rows = texts(study, table)
    if len(study.data) == 1:
        head, rows = head[1:], [row[1:] for row in rows]
    lines = [TITLE, "", words, "", f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    lines += [f"| {' | '.join(row)} |" for row in rows]
    for note in notes(study, table):
        lines += ["", note]
    commits = sorted(set().union(*(cells.commits(c.folder) for made in study.found.values() for c, _ in made)))
    lines += ["", f"The runs were made at commit{'s' * (len(commits) > 1)} {', '.join(commits)}.", ""]
    return "\n".join(lines)


def show(study: Study, table: list[dict[str, Any]]) -> None:
    """Print the table; its settings have numbers, which are shorter than their names."""
    for data in study.data:
        mine = [row for row in table if row["data"] == data]
        number = {row["setting"]: str(k) for k, row in enumerate(mine, start=1)}
        first, seeds = study.of(data)[0].label, {row["seeds"] for row in mine}
        floors = {row["floor"] for row in mine} - {None}
        title = f"{data + ': ' * bool(data)}{study.metric_label}, {study.better} is better, {max(seeds)} seeds"
        title += f", floor {min(floors):.4f}" if floors else ""
        styled = Text(title, style="table.title")  # in a Text the brackets of a file's name are no markup
        drawn = rich_table.Table(title=styled, title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
        for name in ("", "setting", "median", "95% interval", f"minus {number[first]}", "better on", "beats"):
            drawn.add_column(name, overflow="fold")
        for row in mine:
            of_first = row["setting"] == first
            against = ("", "") if of_first else (f"{row['difference']:+z.4f}", f"{row['ahead']} of {row['shared']}")
            setting = row["setting"] + f", dropped at {row['seeds']} seeds" * row["dropped"]
            interval = f"{row['low']:.4f} - {row['high']:.4f}"
            beats = ", ".join(number[name] for name in row["beats"]) or "-"
            drawn.add_row(number[row["setting"]], Text(setting), f"{row['median']:.4f}", interval, *against, beats)
        screen.console.print(drawn)
        difference = f"minus {number[first]}: the median difference to {first}, seed by seed"
        nothing = "" if any(row["beats"] for row in mine) else "; no two that were compared can be told apart"
        screen.say(difference + nothing)
    for note in notes(study, table):
        screen.say(note)
    screen.say(f"{study.folder}: compare.md explains the table; compare.csv, compare.png; the runs are in cells/")


# ------------------------------------------------------------------------------------------ the command line


def split(args: Sequence[str]) -> tuple[list[str], list[str]]:
    """The words of the command line that are this script's, and those that are the compared script's."""
    names = {cli.flag(field.name) for field in fields(Config)} | {"--help", "-h"}
    own: list[str] = []
    others: list[str] = []
    vary: list[str] = []  # the values of every --vary: the flag may be given several times
    into = own
    for word in args:
        if cli.is_flag(word):
            name, _, value = word.partition("=")
            into = own if name.replace("_", "-").replace("--no-", "--") in names else others
            if name == "--vary":
                into = vary
                if "=" not in word:
                    continue
                word = value
        into.append(word)
    return own + (["--vary", *vary] if vary else []), others


def main(args: Sequence[str]) -> None:
    """The command line."""
    with cli.one_line_errors():
        own, flags = split(args)
        config = cli.parse(Config, __doc__, own)
        signals.advise("the same command goes on")
        run(Study(config, flags, args))


if __name__ == "__main__":
    main(sys.argv[1:])
