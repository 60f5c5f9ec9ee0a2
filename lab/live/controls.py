"""What the page may change: a whitelist with bounds, over the settings of `normal_1d` and `mixture_2d`."""

from __future__ import annotations

import dataclasses
import shlex
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import gan_core as core
from lab import cli, draws, files, memory, points, storage, targets
from lab.files import BadInput

ON_LINE = ("norm", "laplace", "uniform", "gumbel_r", "expon", "gamma 3", "beta 2 5", "lognorm 0.9", "t 8", "mixture")
OWN_POINTS = 40, 20_000  # of a drawing or a dropped file: at least, at most
LONGEST = 200  # characters of a text
SEEDS = 10_000  # at most, if they fit into the memory


class Control(NamedTuple):
    """One setting on the page. Sliders have a logarithmic scale; with `zero` their left end is 0.

    A slider of kind `decay` sets a number just below 1, such as .999. Its position is the logarithm of 1 minus that
    number.
    """

    name: str
    group: str
    kind: str  # slider, decay, choice or text
    values: tuple = ()  # of a choice
    low: float = 0.0
    high: float = 0.0
    zero: bool = False
    instant: bool = False  # no program is compiled for it


CONTROLS = (
    Control("target", "data", "choice"),
    Control("distribution", "data", "text"),
    Control("recipe", "game", "choice"),
    Control("loss", "game", "choice", tuple(core.LOSSES)),
    Control("seeds", "game", "choice", (1, 4, 8, 10, 16, 32, 64)),
    Control("batch", "game", "choice", (16, 32, 64, 100, 128, 256, 300, 512)),
    Control("pack", "game", "choice", (1, 2, 3, 4)),
    Control("unroll", "game", "choice", (0, 1, 2, 5, 10)),
    Control("learning_rate", "optimiser", "slider", low=1e-5, high=1e-1, instant=True),
    Control("discriminator_rate", "optimiser", "slider", low=0.05, high=50.0, instant=True),
    Control("beta1", "optimiser", "decay", low=1e-2, high=1.0, instant=True),
    Control("beta2", "optimiser", "decay", low=1e-4, high=1.0, instant=True),
    Control("average", "optimiser", "decay", low=1e-4, high=1.0, instant=True),
    Control("schedule", "optimiser", "choice", tuple(core.SCHEDULES)),
    Control("discriminator_schedule", "optimiser", "choice", tuple(core.SCHEDULES)),
    Control("r1", "penalties", "slider", low=1e-4, high=100.0, zero=True, instant=True),
    Control("r2", "penalties", "slider", low=1e-4, high=100.0, zero=True, instant=True),
    Control("gradient_penalty", "penalties", "slider", low=1e-4, high=100.0, zero=True, instant=True),
    Control("penalty_end", "penalties", "choice", (1.0, 0.1, 0.01, 0.001, 7e-4)),
    Control("latent", "networks", "choice", draws.LATENTS),
    Control("generator_layers", "networks", "choice", (1, 2, 3, 4, 5, 6)),
    Control("generator_units", "networks", "choice", (4, 8, 16, 32, 64, 128)),
    Control("generator_activation", "networks", "choice", tuple(core.ACTIVATIONS)),
    Control("discriminator_layers", "networks", "choice", (1, 2, 3, 4, 5, 6)),
    Control("discriminator_units", "networks", "choice", (4, 8, 16, 32, 64, 128)),
    Control("discriminator_activation", "networks", "choice", tuple(core.ACTIVATIONS)),
)
SIZES = {f"{player}_{size}" for player in ("generator", "discriminator") for size in ("layers", "units")}


@dataclasses.dataclass(frozen=True)
class Source:
    """What is played: the script, its recipe, and where the real data are from."""

    script: Any  # the module normal_1d or mixture_2d
    recipe: str
    ends: bool  # the number of steps was asked for, so that training ends there
    folder: Path  # for the points of drawings and dropped files
    own: tuple[tuple[str, str], ...] = ()  # name -> file of points, drawn or dropped

    @property
    def name(self) -> str:
        """The script's name."""
        return self.script.__name__.rpartition(".")[2]

    @property
    def features(self) -> int:
        """How many coordinates a point has."""
        return 2 if self.name == "mixture_2d" else 1

    @property
    def recipes(self) -> list[str]:
        """The recipes that are fast enough to be watched; a step of PacGAN's networks takes ten milliseconds."""
        return [name for name in self.script.RECIPES if name != "pacgan"]

    def load(self, config: Any) -> tuple[Any, np.ndarray]:
        """The real data, and what the seeds train on, `[S, F, N]`; as the script loads them."""
        seeds = range(config.seed, config.seed + config.seeds)
        if self.features == 2:
            real = targets.points(config.target, config.samples, seeds)
            return real, real.train
        numbers = targets.numbers(config.target, config.target_args, config.data, config.samples, seeds)
        return numbers, targets.jittered(numbers.train, config.jitter, seeds)[:, None]

    def with_points(self, name: Any, given: Any) -> Source:
        """The same with a drawing or the content of a dropped file, kept as a file; BadInput if it is unusable."""
        least, most = OWN_POINTS
        try:
            rows = np.array(given, np.float64)
        except (TypeError, ValueError, OverflowError):
            raise BadInput("the points are no table of numbers") from None
        if rows.ndim != 2 or rows.shape[1] not in (1, 2) or not least <= len(rows) <= most:
            raise BadInput(f"expected {least} to {most} points with one or two coordinates")
        label = str(name or "drawing")[:40]
        label = f"{label} (file)" if label in (*targets.PLANE_TARGETS, *ON_LINE) else label
        path = self.folder / f"points-{len([*self.folder.iterdir()])}.csv"  # no file is ever used for other points
        with files.replacing(path) as temporary:
            np.savetxt(temporary, rows, fmt="%.17g", delimiter=",")
        try:
            columns_of(path)
        except BadInput as error:  # of a file that the user has never seen
            raise BadInput(f"{label}: {str(error).partition(f'{path}: ')[2] or error}") from None
        own = {name: file for name, file in self.own if name != label} | {label: str(path)}  # the newest is the last
        return dataclasses.replace(self, own=tuple(own.items()))

    def with_file(self, path: Path) -> Source:
        """The same with a file of the user's, which is read where it is; BadInput if it has no one or two columns."""
        columns_of(path)
        return dataclasses.replace(self, own=(*self.own, (path.name, str(path))))

    def with_target(self, config: Any, target: str) -> tuple[Source, Any]:
        """Source and config for another target, a name with numbers behind it; it may need the other script."""
        words = target.split()
        path = dict(self.own).get(target)
        if path:
            in_plane = columns_of(path) == 2
        elif not words:
            raise BadInput(f"--target {target!r}: expected a name, such as ring or norm")
        else:
            in_plane = words[0] in targets.PLANE_TARGETS
        script = cli.script("mixture_2d" if in_plane else "normal_1d")
        source = self
        if script is not self.script or type(config) is not script.Config:
            recipe = self.recipe if self.recipe in script.RECIPES else "stable"
            source = dataclasses.replace(self, script=script, recipe=recipe)
            kept = {name: getattr(config, name) for name in ("seeds", "seed", "steps" if self.ends else "seed")}
            config = dataclasses.replace(script.RECIPES[recipe], **kept)
        defaults = type(config)
        if in_plane:
            if not path and words[1:]:
                raise BadInput(f"--target {target}: expected {words[0]} without numbers")
            own = {"target": path, "samples": defaults.samples} if path else {"target": words[0]}
            return source, dataclasses.replace(config, **own)
        if path:
            own = {"data": path, "target": defaults.target, "target_args": (), "samples": defaults.samples}
            return source, dataclasses.replace(config, **own)
        try:
            numbers = tuple(map(float, words[1:]))
        except ValueError:
            raise BadInput(f"--target {target}: expected a name of scipy.stats and numbers, as in beta 2 5") from None
        return source, dataclasses.replace(config, data=None, target=words[0], target_args=numbers)

    def shown_target(self, config: Any) -> str:
        """The name of the target as `with_target` takes it."""
        path = config.target if self.features == 2 else config.data
        for name, file in self.own:
            if file == path:
                return name
        if self.features == 2:
            return config.target
        return " ".join([config.target, *(repr(a).removesuffix(".0") for a in config.target_args)])

    def changed(self, config: Any, values: dict[str, Any]) -> tuple[Source, Any]:
        """Source and config with other values of controls; BadInput names the first one that is not accepted."""
        source, known = self, {control.name: control for control in CONTROLS}
        if unknown := set(values) - set(known):
            raise BadInput(f"{min(unknown)[:LONGEST]}: no such setting")
        target = values.get("target") or values.get("distribution")
        if target is not None and target != self.shown_target(config):
            source, config = source.with_target(config, checked_text("target", target))
        if (recipe := values.get("recipe")) is not None and recipe != source.recipe:
            base = source.script.RECIPES[one_of("--recipe", recipe, source.recipes)]
            names = ("target", "target_args", "data", "seeds", "seed", "samples", "steps" if source.ends else "seed")
            kept = {name: getattr(config, name) for name in names if hasattr(config, name)}
            source, config = dataclasses.replace(source, recipe=recipe), dataclasses.replace(base, **kept)
        now, changes = values_of(config), dict[str, Any]()
        for name, value in values.items():
            if name not in ("target", "distribution", "recipe") and value != now[name]:
                changes[name] = checked(known[name], value)
        for player in ("generator", "discriminator"):
            layers, units = (changes.pop(f"{player}_{size}", now[f"{player}_{size}"]) for size in ("layers", "units"))
            if (layers, units) != (now[f"{player}_layers"], now[f"{player}_units"]):
                changes[f"{player}_hidden"] = (units,) * layers
        return source, dataclasses.replace(config, **changes)

    def save(self, config: Any, changes: list, step: int, exact: bool) -> dict[str, Any]:
        """A run folder with these settings; returns where it is, how to train it, and what differed in mid-run."""
        folder, _ = storage.new_folder(self.name, config.seed)
        setting = "target" if self.features == 2 else "data"
        if (path := getattr(config, setting)) in dict(self.own).values():
            copy = folder / f"points{Path(path).suffix}"
            shutil.copyfile(path, copy)
            config = dataclasses.replace(config, **{setting: str(copy)})
        storage.save_config(folder, self.name, self.recipe, config)
        notes = list(changes)
        if not exact and not changes:
            why = "changed before the first step, or put back: rounding may differ"
            notes.append({"step": 0, "setting": "penalties", "to": why})
        if config.unroll:  # seen once in 16 settings that were drawn at random, and not explained
            notes.append({"step": 0, "setting": "unroll", "to": "rounding may differ"})
        files.write_json(folder / "live.json", {"steps": step, "changes": notes})
        where = folder if Path("experiments").is_dir() else folder.resolve()  # the kernel of a notebook is elsewhere
        command = f"python experiments/{self.name}.py --resume {shlex.quote(str(where))}"
        return {"folder": str(where), "command": command, "changes": notes}


def columns_of(path: str | Path) -> int:
    """2 for a file of points, 1 for a file of numbers, as the scripts read them; BadInput if it is neither."""
    try:
        targets.read_points(path)
        return 2
    except BadInput as error:
        if ": 1 column;" not in str(error):
            raise
    targets.read_numbers(path)
    return 1


def new_source(
    target: str, recipe: str, seeds: int, seed: int, steps: int | None, folder: Path
) -> tuple[Source, Any]:
    """The script, its recipe and its settings for a target: a name with numbers behind it, or a file of points.

    With `steps` training ends there. Drawings and dropped files will be kept in `folder`. BadInput: a wrong value.
    """
    script, path = cli.script("mixture_2d"), Path(target)
    source = Source(script, "stable", steps is not None, folder)
    config = dataclasses.replace(script.RECIPES["stable"], seeds=seeds, seed=seed)
    if path.suffix in (".csv", ".txt", ".npy") or path.is_file():
        source = source.with_file(path)
        target = source.own[-1][0]
    source, config = source.with_target(config, target)
    source, config = source.changed(config, {"recipe": recipe})
    config = config if steps is None else dataclasses.replace(config, steps=steps)
    memory.require(config, lambda config: points.bytes_needed(config, source.features))
    return source, config


def values_of(config: Any) -> dict[str, Any]:
    """The value of every control that is a setting of the config."""
    found = {c.name: getattr(config, c.name) for c in CONTROLS if hasattr(config, c.name) and c.group != "data"}
    for player in ("generator", "discriminator"):
        sizes: Sequence[int] = getattr(config, f"{player}_hidden")
        found |= {f"{player}_layers": len(sizes), f"{player}_units": sizes[0] if sizes else 0}
    return found


def values(source: Source, config: Any) -> dict[str, Any]:
    """The value of every control."""
    target = source.shown_target(config)
    typed = target if source.features == 1 and not config.data else ""
    return {"target": target, "distribution": typed, "recipe": source.recipe} | values_of(config)


def hello(source: Source, config: Any) -> dict[str, Any]:
    """The controls as the page needs them, with what `--help` says of each."""
    words, now, shown = cli.comments(config), values(source, config), []
    choices = {
        "target": (*targets.PLANE_TARGETS, *ON_LINE, *dict(source.own)),
        "recipe": tuple(source.recipes),
    }
    for control in CONTROLS:
        entry = control._asdict()
        entry["label"] = label(control.name)
        entry["help"] = EXPLAINED.get(control.name) or words[control.name]
        values_there = choices.get(control.name, control.values)
        if control.kind == "choice" and (present := now.get(control.name)) not in values_there:
            values_there = (*values_there, present)
            if isinstance(present, int | float):
                values_there = tuple(sorted(values_there))
        entry["values"] = list(values_there)
        shown.append(entry)
    return {"kind": "plane" if source.features == 2 else "line", "controls": shown}


def label(name: str) -> str:
    """What the page calls a control."""
    return LABELS.get(name) or name.replace("_", " ")


LABELS = {"discriminator_rate": "D's rate / G's rate"}
EXPLAINED = {
    "target": "what G has to learn; a change begins a new game",
    "distribution": "any continuous distribution of scipy.stats with its numbers, such as beta 2 5",
    "loss": "what the two players minimise",
    "beta1": "decay of Adam's running mean of the gradients",
    "beta2": "decay of Adam's running mean of the squared gradients",
    "schedule": "how G's learning rate changes over the steps",
    "discriminator_schedule": "how D's learning rate changes over the steps",
    "generator_activation": "of G's hidden layers",
    "discriminator_activation": "of D's hidden layers",
    "batch": "real points in a step, and as many fakes; with packing, so many packs of each",
    "recipe": "sets all settings but the target and the seeds; a change begins a new game",
    "generator_layers": "hidden layers of G",
    "generator_units": "units of each of them",
    "discriminator_layers": "hidden layers of D",
    "discriminator_units": "units of each of them",
}


def checked(control: Control, value: Any) -> Any:
    """A value that the page sent, as the setting needs it; BadInput if it is not accepted."""
    if control.kind == "choice":
        between = type(value) is int and all(type(v) is int for v in control.values)  # what a flag may have set
        most = SEEDS if control.name == "seeds" else max(control.values, default=0)
        if between and min(control.values) <= value <= most:
            return value
        return one_of(control.name, value, control.values)
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < 1e9:
        raise BadInput(f"{control.name}: expected a number")
    low, high = (control.low, control.high) if control.kind == "slider" else (0.0, 1 - control.low)
    if not (low * 0.999 <= value <= high * 1.001 or (value == 0 and control.zero)):
        zero = "0 or " if control.zero else ""
        raise BadInput(f"{control.name} {value:g}: expected {zero}{low:g} to {high:g}")
    return float(value)


def whole(name: str, value: Any) -> int:
    """A number from 0 on; BadInput if it is none."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise BadInput(f"{name}: expected a whole number from 0 on")
    return value


def one_of(name: str, value: Any, accepted: Sequence) -> Any:
    """The accepted value that equals this one; BadInput if none does."""
    for candidate in accepted:
        if value == candidate and isinstance(value, bool) == isinstance(candidate, bool):
            return candidate
    raise BadInput(f"{name} {str(value)[:LONGEST] or repr('')}: expected one of {', '.join(map(str, accepted))}")


def checked_text(name: str, value: Any) -> str:
    """A short text; BadInput if it is none."""
    if not isinstance(value, str) or len(value) > LONGEST:
        raise BadInput(f"{name}: expected a text of at most {LONGEST} characters")
    return value


def mapping(value: Any) -> dict[str, Any]:
    """A dict of settings; BadInput if it is none."""
    if not isinstance(value, dict):
        raise BadInput("settings: expected names with values")
    return value
