"""How much memory a command will take, asked before anything is allocated: what does not fit is refused in one line.

An estimate is a function: settings -> bytes. It counts what grows with a size that can be chosen, by formulas that
stand beside what they describe. Runs of 1 to 5 GB took between half as much and a tenth more, program files aside.
How many steps there are does not matter: training holds one period at a time.
"""

from __future__ import annotations

import bisect
import copy
from collections.abc import Callable, Sequence
from dataclasses import fields
from typing import Any, NamedTuple

from lab import files

TENSORFLOW = 500_000_000  # bytes that TensorFlow takes, whatever it computes; its program files are not among them


# ----------------------------------------------------------------------------------------------- the check


def require(config: Any, bytes_needed: Callable[[Any], int], free: int | None = None) -> None:
    """BadInput if these settings need more bytes than `free`, by default the memory that this process may still take.

    The line names the setting that costs most: without it, that is with 1 in its place, the least would be needed. It
    also says up to which value of it everything would fit, in two digits.
    """
    free = files.free_memory() if free is None else free
    needed = bytes_needed(config)
    if needed <= free:
        return
    sizes = [field.name for field in fields(config) if _largest(getattr(config, field.name))]
    name = min(sizes, key=lambda name: bytes_needed(_capped(config, name, 1)))
    value = getattr(config, name)
    values = range(1, _largest(value))
    fit = bisect.bisect_left(values, True, key=lambda most: bytes_needed(_capped(config, name, most)) > free)
    unit = 10 ** max(0, len(str(fit)) - 2)
    fitting = f"up to {_words(_at_most(value, fit // unit * unit))} would fit"
    takes = f"needs about {files.in_words(needed)} of memory, and {files.in_words(free)} are free"
    advice = fitting if fit else "other sizes are too large as well"
    raise files.BadInput(f"--{name.replace('_', '-')} {_words(value)}: {takes}; {advice}")


def resized(config: Any, **sizes: int) -> Any:
    """A copy of the settings with other sizes, which are not checked; names that it does not have are left out."""
    other = copy.copy(config)
    for name, value in sizes.items():
        if hasattr(config, name):
            object.__setattr__(other, name, value)
    return other


def _capped(config: Any, name: str, most: int) -> Any:
    return resized(config, **{name: _at_most(getattr(config, name), most)})


def _at_most(value: Any, most: int) -> Any:
    return tuple(min(v, most) for v in value) if isinstance(value, tuple) else min(value, most)


def _largest(value: Any) -> int:
    """The largest of the whole numbers in a setting; 0 if it holds none, or anything else."""
    values = value if isinstance(value, tuple) else (value,)
    return max(values, default=0) if all(type(v) is int for v in values) else 0


def _words(value: Any) -> str:
    return " ".join(map(str, value)) if isinstance(value, tuple) else str(value)


# ------------------------------------------------------------------------------------- parts of estimates


class Size(NamedTuple):
    """A network's size: how many numbers its weights are, and how many its layers make of one sample."""

    weights: int
    units: int


def mlp(sizes: Sequence[int], pieces: int = 1) -> Size:
    """The size of `gan_core.mlp` with these units in each layer, the input first; of maxout units with `pieces`."""
    rows = [*(pieces * units for units in sizes[1:-1]), sizes[-1]]  # of each weight matrix
    return Size(sum((inputs + 1) * outputs for inputs, outputs in zip(sizes[:-1], rows, strict=True)), sum(rows))


def losses(config: Any, kinds: int = 2, seeds: int = 1) -> int:
    """Bytes of the losses of a period, as they come and then as one array."""
    return 12 * kinds * seeds * config.eval_every


def drawn(steps: int, bytes_of_step: int) -> int:
    """Bytes of the batches of some steps: one trains, three wait, and the next one is being copied to a tensor."""
    return 5 * steps * bytes_of_step


def xla(
    d: Size, g: Size, batch: int, inputs: int, seeds: int = 1, at_once: int = 1, pack: int = 1, unroll: int = 0
) -> int:
    """Bytes of `gan_core.adversarial_step` as one XLA program, the game and the values of its layers.

    `batch` counts packs. `inputs` numbers are drawn for each of their samples; of the seeds so many train at once.
    """
    weights = d.weights + g.weights
    values = batch * (pack * (3 * g.units + 3 * inputs) + (4 + 14 * unroll) * d.units)
    return (
        44 * seeds * weights  # float32: the weights, Adam's moments, the average; a copy of all for a checkpoint
        + 20 * at_once * weights  # gradients and new values
        + 4 * at_once * values  # kept for the gradients, or the gradients themselves
        + 4_000_000 * pack  # the program, in which each part of a pack
    )
