"""Time per step of mixture_2d.py's training with 1, 10 and 64 seeds, beside JAX, in one run.

    python benchmarks/speed_mixture_2d.py               jax is worth installing
    python benchmarks/speed_mixture_2d.py --repeats 5

Networks of three sizes, all with ReLU, G with four hidden layers and D with three: 16 units in a layer, as in GANs
that run in a browser; 64, as in the script; 400, as in PacGAN. The same work on both sides: non-saturating loss, Adam
1e-4, one update of each player per step on 100 of 100,000 real points and 100 fakes; drawing random numbers is
included. Each contender runs in a process of its own. They take turns, `repeats` times, and the table holds medians
and ratios, because absolute times swing on a shared machine.
"""

from dataclasses import replace
from functools import partial

import many_seeds
from side_by_side import Contender, main

BATCH, POINTS = 100, 100_000
RATE, BETA1, BETA2, EPSILON = 1e-4, 0.8, 0.999, 1e-7
WORK = {16: 128_000, 64: 32_000, 400: 640}  # units in a layer -> how many seed-steps are timed


def sizes(units: int) -> tuple[list[int], list[int]]:
    """The units in the layers of D and of G, inputs first."""
    return [2, *[units] * 3, 1], [2, *[units] * 4, 2]


def ours(units: int, seeds: int) -> float:
    """This project's loop with its drawing thread; as many steps a call as in the script, where time allows."""
    from experiments import mixture_2d

    d, g = sizes(units)
    steps = WORK[units] // max(seeds, 4)
    chunk = min(mixture_2d.CLASSIC.eval_every, steps)
    config = replace(
        mixture_2d.CLASSIC,
        seeds=seeds,
        batch=BATCH,
        samples=POINTS,
        discriminator_hidden=tuple(d[1:-1]),
        generator_hidden=tuple(g[1:-1]),
        learning_rate=RATE,
        beta1=BETA1,
        beta2=BETA2,
        eval_every=chunk,
        eval_samples=100,
    )
    return many_seeds.ours(mixture_2d, config, steps // chunk)


def jax_scan(units: int, seeds: int) -> float:
    """JAX; all seeds draw from the same points, which saves memory."""
    import jax
    from jax.nn import log_sigmoid

    from lab import targets

    points = jax.numpy.asarray(targets.points("ring", POINTS, range(1)).train[0].T, "float32")

    def draw(key_x, key_z):
        x = points[jax.random.randint(key_x, (BATCH,), 0, POINTS)]
        return x, jax.random.normal(key_z, (BATCH, 2))

    losses = lambda real, fake: -(log_sigmoid(real) + log_sigmoid(-fake)), lambda fake: -log_sigmoid(fake)
    steps = WORK[units] // max(seeds, 4)
    return many_seeds.jax_scan(seeds, steps, sizes(units), draw, losses, (RATE, BETA1, BETA2, EPSILON))


def contenders() -> dict[str, Contender]:
    """Ours and JAX's in turn, for each size of the networks and each number of seeds."""
    found = {}
    for units in WORK:
        for seeds in (1, 10, 64):
            what = f"{units} units, {seeds} seed{'s' * (seeds > 1)}"
            program = "jit(scan)" if seeds == 1 else "jit(vmap(scan))"
            found |= {
                f"ours, {what}": Contender(partial(ours, units, seeds), "tensorflow", what, seeds),
                f"JAX {program}, {what}": Contender(partial(jax_scan, units, seeds), "jax", what, seeds),
            }
    return found


if __name__ == "__main__":
    main(__doc__, __file__, contenders())
