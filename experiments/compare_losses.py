"""Which loss is better, and is the difference real? Every loss on the same targets, data, first weights and latents.

A cell is one loss on one target, many seeds at once, with the stable recipe of normal_1d.py or mixture_2d.py. All
losses share the seeds, so that differences are taken seed by seed. The table gives medians with bootstrap intervals,
and says which other losses each loss beats beyond chance. "Chance" means that a difference is as likely to favour one
loss as the other, whatever its size: the test is not one of equal medians (docs/results/levels.md).

    python experiments/compare_losses.py                             7 losses, 1-D normal and ring, 32 seeds
    python experiments/compare_losses.py --targets norm ring grid    and the grid
    python experiments/compare_losses.py --losses minimax hinge --targets laplace spiral

About 8 minutes on two cores, the grid 4 more. Finished cells are kept in the folder --out and not trained again: a
stopped study goes on with the same command, and several machines that share the folder share the work. `--docs docs`
puts the table into docs/results and the figure into docs/figures; by default they go into the folder --out.
"""

from __future__ import annotations

import contextlib
import csv
import itertools
import json
import math
import os
import socket
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import psutil
from scipy import stats

import gan_core as core
from lab import cli, files, memory, plots, points, runs, screen, signals, storage, targets

LEVEL = 0.05  # chance of calling any difference real on a target where all are symmetric about 0
Results = dict[tuple[str, str], dict[str, Any]]  # (target, loss) -> the result of the cell


@dataclass(frozen=True)
class Config:
    """Settings of one study."""

    targets: tuple[str, ...] = ("norm", "ring")  # of normal_1d.py or of mixture_2d.py
    losses: Annotated[tuple[str, ...], cli.one_of(core.LOSSES)] = tuple(core.LOSSES)
    seeds: Annotated[int, cli.Accepted("at least 6: with fewer no p-value is below .05", lambda v: v >= 6)] = 32
    """GANs in a cell"""
    seed: cli.Seed = 0  # the first of them
    steps: cli.Count = 8000  # updates of each player, in every cell
    eval_every: cli.Count = 1000  # steps between records
    eval_samples: cli.Count = 10_000  # fakes of each seed behind the final numbers
    out: str = "runs/compare_losses"  # folder of the cells, which may hold finished ones
    docs: str | None = None  # folder for results/losses.md and .csv and figures/losses.png; by default that of --out

    def __post_init__(self) -> None:
        cli.check(self)
        for name in ("out", "docs"):
            if getattr(self, name) == "":
                raise files.BadInput(f"--{name} '': expected a folder")
        for name in ("targets", "losses"):
            if len(set(getattr(self, name))) < len(getattr(self, name)) or not getattr(self, name):
                given = " ".join([f"--{name}", *getattr(self, name)])
                raise files.BadInput(f"{given}: expected one or more, each once")
        for target in self.targets:
            require_target(target)
        for target, loss in self.cells():
            self.cell(target, loss)

    def cells(self) -> list[tuple[str, str]]:
        """Every target with every loss."""
        return list(itertools.product(self.targets, self.losses))

    def cell(self, target: str, loss: str) -> Any:
        """The settings of one cell: a Config of the target's script."""
        return replace(
            cli.script(experiment_of(target)).RECIPES["stable"],
            target=target,
            loss=loss,
            seeds=self.seeds,
            seed=self.seed,
            steps=self.steps,
            eval_every=min(self.eval_every, self.steps),
            eval_samples=self.eval_samples,
        )


def bytes_needed(config: Config) -> int:
    """About how much memory the largest cell takes, for `memory.require`."""

    def of_cells(target: str) -> int:
        recipe = cli.script(experiment_of(target)).RECIPES["stable"]
        sizes = {name: getattr(config, name) for name in ("seeds", "eval_every", "eval_samples")}
        return points.bytes_needed(memory.resized(recipe, **sizes), features=1 + (target in targets.PLANE_TARGETS))

    return max(map(of_cells, config.targets))


def experiment_of(target: str) -> str:
    """The name of the script that a target belongs to."""
    return "mixture_2d" if target in targets.PLANE_TARGETS else "normal_1d"


def require_target(target: str) -> None:
    """BadInput unless one of the two scripts knows the target and needs no arguments for it."""
    if target in targets.PLANE_TARGETS:
        return
    try:
        targets.distribution(target)
    except files.BadInput:
        named = ", ".join([*targets.PLANE_TARGETS, *targets.NAMED_TARGETS])
        raise files.BadInput(
            f"--targets {target or repr('')}: expected {named} or a continuous distribution of scipy.stats that "
            "needs no arguments, such as norm"
        ) from None


# ------------------------------------------------------------------------------------------- the cells


def results(config: Config) -> Results | None:
    """The result of every cell, trained here unless it is there; None while others are being trained elsewhere."""
    folder, found = Path(config.out), {}
    for done, (target, loss) in enumerate(config.cells(), start=1):
        cell, path = config.cell(target, loss), folder / f"{target}-{loss}"
        if not (path / "result.json").exists():
            with claimed(path.with_suffix(".claim")) as owner:
                if owner:
                    screen.say(f"{path}: being trained by {owner}")
                    continue
                if not (path / "result.json").exists():  # finished by the last owner a moment ago
                    screen.say(f"cell {done} of {len(config.cells())}: {loss} on {target}")
                    play(cell, path)
        require_same(cell, path)
        found[target, loss] = json.loads((path / "result.json").read_text())
    return found if len(found) == len(config.cells()) else None


def play(cell: Any, path: Path) -> None:
    """Train one cell, or continue it; training that diverges is a result, too."""
    module, resume = cli.script(experiment_of(cell.target)), (path / "config.json").exists()
    if resume:
        require_same(cell, path)
    else:
        storage.create(storage.folder_for("compare_losses", cell.seed, str(path)))
        storage.save_config(path, experiment_of(cell.target), "stable", cell)
    run = runs.Run(path, resume)
    try:
        run.finish(module.evaluate(module.train(cell, run)))
    except runs.Stopped as stop:
        if stop.code != 1:
            raise runs.Stopped(f"{path}: interrupted; the same command goes on", stop.code) from None
        files.write_json(path / "result.json", {"steps": cell.steps, "stopped": str(stop)})


def require_same(cell: Any, path: Path) -> None:
    """BadInput if the cell in this folder was made with other settings."""
    kept = storage.read_config(path, "--out").config
    asked = json.loads(json.dumps(asdict(cell)))
    for name, value in asked.items():
        if kept.get(name) != value:
            raise files.BadInput(
                f"--out {path.parent}: {path.name} was made with {name} {kept.get(name)}, not {value}; expected a "
                "folder of cells with the same settings, or a new one"
            )


@contextlib.contextmanager
def claimed(path: Path) -> Iterator[str | None]:
    """Own the work that a file stands for, among processes and machines that share a folder.

    Yields None to the one process that owns it, and to all others its owner, as `host, process 123`. The file is
    deleted when the block ends. If a dead process of this machine left it behind, it is taken over; if the process
    was on another machine, the user has to delete the file.
    """
    here, process = socket.gethostname(), os.getpid()
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with path.open("x") as file:
            file.write(f"{here}, process {process}")
    except FileExistsError:
        owner = path.read_text()
        host, _, number = owner.partition(", process ")
        if host != here or not number.isdigit() or psutil.pid_exists(int(number)):
            yield f"{owner}; if it is gone, delete {path}"
            return
        path.unlink(missing_ok=True)
        with claimed(path) as first:  # the first process to create the file now
            yield first
        return
    try:
        yield None
    finally:
        path.unlink(missing_ok=True)


# ------------------------------------------------------------------------------------------- the comparison


def rows(config: Config, found: Results) -> list[dict[str, Any]]:
    """A row for each cell: median KL over seeds, its 95% bootstrap interval, and the losses that it beats."""
    table = []
    for target in config.targets:
        kl = {loss: seeds_of(found[target, loss], "kl", config.seeds) for loss in config.losses}
        beaten = better(kl)
        for loss in sorted(config.losses, key=lambda loss: np.median(kl[loss])):
            result = found[target, loss]
            low, high = interval(kl[loss])
            row = {"target": target, "loss": loss, "median": float(np.median(kl[loss])), "low": low, "high": high}
            row |= {"q90": float(np.quantile(kl[loss], 0.9)), "floor": result.get("kl_floor"), "beats": beaten[loss]}
            for name in ("complete", "modes_of"):
                row[name] = result.get(name)
            row["high_quality"] = result.get("high_quality", {}).get("median")
            table.append(row)
    return table


def seeds_of(result: dict, name: str, seeds: int) -> np.ndarray:
    """One number of every seed `[S]`; infinite where there is none, as after training that diverged."""
    values = result[name]["per_seed"] if name in result else [None] * seeds
    return np.array([np.inf if v is None else v for v in values], np.float64)


def interval(values: np.ndarray) -> tuple[float, float]:
    """95% interval of the median, by the percentile bootstrap over seeds (Efron 1979)."""
    if not np.isfinite(values).all() or np.ptp(values) == 0:
        return float(np.median(values)), float(np.median(values))
    found = stats.bootstrap((values,), np.median, method="percentile", n_resamples=9999, rng=np.random.default_rng(0))
    return float(found.confidence_interval.low), float(found.confidence_interval.high)


def better(values: dict[str, np.ndarray]) -> dict[str, list[str]]:
    """Which others each loss beats: Wilcoxon's signed-rank test on the same seeds, Holm's correction over all pairs.

    The null hypothesis of a pair is that the difference of the two losses on a seed is symmetric about 0, as it is
    where their results are exchangeable: swapping the two names on any seed then changes nothing. The chance of any
    claim about pairs of which this is true is at most LEVEL. It is not the hypothesis of equal medians: losses of
    equal medians whose spread or skew differ are told apart more often (benchmarks/quality_levels.py counts it).

    Sources: Wilcoxon 1945; Holm 1979.
    """
    pairs = list(itertools.combinations(values, 2))
    beats: dict[str, list[str]] = {name: [] for name in values}
    ranked = []
    for a, b in pairs:
        difference = np.nan_to_num(values[a] - values[b], posinf=1e9, neginf=-1e9)  # inf - inf: nan, a tie
        p = stats.wilcoxon(difference).pvalue if difference.any() else 1.0
        ranked.append((p, *((a, b) if np.median(difference) < 0 else (b, a))))
    for k, (p, winner, loser) in enumerate(sorted(ranked)):
        if p > LEVEL / (len(pairs) - k):
            break
        beats[winner].append(loser)
    return beats


# ------------------------------------------------------------------------------------------- what it writes


def write_csv(path: Path, config: Config, found: Results) -> None:
    """A line for each seed of each cell."""
    names = ("kl", "modes", "high_quality", "reverse_kl", "sliced_wasserstein", "wasserstein")
    with files.replacing(path) as temporary, temporary.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("target", "loss", "seed", *names))
        for (target, loss), result in found.items():
            for k in range(config.seeds):
                values = [result[name]["per_seed"][k] if name in result else None for name in names]
                writer.writerow((target, loss, config.seed + k, *(None if v is None else f"{v:.6g}" for v in values)))


def markdown(config: Config, table: list[dict[str, Any]]) -> str:
    """The table, and how it was made."""
    lines = [
        "# Losses compared",
        "",
        f"`{command(config)}`: KL(real || fake) in nats over {config.seeds} seeds that share data, first weights and "
        "latents. Interval: 95% of the median, bootstrap. Beats: Wilcoxon's signed-rank test seed by seed, Holm's "
        f"correction over the pairs of a target: if all differences between losses are symmetric about 0, the chance "
        f"of any claim on a target is at most {LEVEL:g} ([levels.md](levels.md)). If neither of two losses beats the "
        "other, they cannot be told apart. The penalty and the learning rates are those of the stable recipes, which "
        "were tuned with `non_saturating`.",
        "",
        "| target | loss | median KL | interval | 90% quantile | all modes | high quality | beats |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in table:
        modes = "" if row["complete"] is None else f"{row['complete']} of {config.seeds} seeds"
        quality = "" if row["high_quality"] is None else f"{row['high_quality']:.1%}"
        beats = ", ".join(f"`{name}`" for name in row["beats"]) or "-"
        if len(config.losses) > 1 and len(row["beats"]) == len(config.losses) - 1:
            beats = "all others"
        spread = f"{row['low']:.4f} to {row['high']:.4f}"
        cells = (row["target"], f"`{row['loss']}`", f"{row['median']:.4f}", spread, f"{row['q90']:.4f}")
        lines.append("| " + " | ".join((*cells, modes, quality, beats)) + " |")
    pairs = math.comb(len(config.losses), 2)
    if pairs and 2 ** (1 - config.seeds) > LEVEL / pairs:
        smallest = f"{config.seeds} seeds give no p-value below {2 ** (1 - config.seeds):.2g}"
        lines += ["", f"{smallest}, and the best of {pairs} pairs needs {LEVEL / pairs:.2g}: more seeds are needed."]
    floors = {row["target"]: row["floor"] for row in table if row["floor"] is not None}
    listed = ", ".join(f"{target} {floor:.4f}" for target, floor in floors.items())
    return "\n".join([*lines, "", f"A perfect sampler's KL: {listed}.", ""])


def command(config: Config) -> str:
    """The command that makes the same table: every setting that is not the default, folders aside."""
    words = ["python experiments/compare_losses.py"]
    for name, value in asdict(config).items():
        if value != getattr(Config(), name) and name not in ("out", "docs"):
            words += [cli.flag(name), *map(str, value if isinstance(value, tuple) else (value,))]
    return " ".join(words)


def compare(config: Config) -> list[dict[str, Any]] | None:
    """Train what is missing, compare, write; None while cells are being trained elsewhere."""
    memory.require(memory.resized(config, eval_every=min(config.eval_every, config.steps)), bytes_needed)
    for name, folder in (("--out", config.out), ("--docs", config.docs or config.out)):
        there = next(path for path in (Path(folder), *Path(folder).parents) if path.exists())
        if not there.is_dir():  # said before minutes of training
            raise files.BadInput(f"{name} {folder}: {there} is a file; expected a folder")
    if (Path(config.out) / "config.json").exists():
        raise files.BadInput(f"--out {config.out}: holds a run; expected a new folder, or one of an earlier study")
    found = results(config)
    if found is None:
        screen.say("cells are being trained elsewhere: run this again once they are done, for the table")
        return None
    table, docs = rows(config, found), Path(config.docs or config.out)
    write_csv(docs / "results" / "losses.csv", config, found)
    values = {cell: seeds_of(result, "kl", config.seeds) for cell, result in found.items()}
    plots.save(plots.losses_compared(table, values), docs / "figures" / "losses.png")
    text = markdown(config, table)
    with files.replacing(docs / "results" / "losses.md") as temporary:
        temporary.write_text(text)
    screen.say(text)
    screen.say(f"{docs}: results/losses.md and .csv, figures/losses.png; cells in {config.out}")
    return table


def main(args: Sequence[str]) -> None:
    """The command line."""
    with cli.one_line_errors():
        config = cli.parse(Config, __doc__, list(args))
        signals.advise("the same command goes on")
        compare(config)


if __name__ == "__main__":
    main(sys.argv[1:])
