"""Time per step of mixture_2d.py's training with 1, 10 and 64 seeds, beside JAX, in one run.

    python benchmarks/speed_mixture_2d.py               jax is worth installing
    python benchmarks/speed_mixture_2d.py --repeats 5

Networks of three sizes, all with ReLU, G with four hidden layers and D with three: 16 units in a layer, as in GANs
that run in a browser; 64, as in the script; 400, as in PacGAN. The same step on both sides: non-saturating loss, Adam
1e-4, one update of each player per step on 100 of 100,000 real points and 100 fakes; drawing random numbers is
included: 16 bits each and shuffled epochs in ours, 32 bits and draws with replacement in JAX. In ours each seed has
points of its own, in JAX all seeds share one set. Each contender runs in a process of its own. They take turns,
`repeats` times, and the table holds medians and ratios, because absolute times swing on a shared machine.
"""

import itertools
from dataclasses import replace
from functools import partial

import many_seeds
from side_by_side import Contender, as_typed, main

from experiments import mixture_2d

BATCH, POINTS = 100, 100_000
RATE, BETA1, BETA2, EPSILON = 1e-4, 0.8, 0.999, 1e-7
WORK = {16: 128_000, 64: 32_000, 400: 640}  # units in a layer -> how many seed-steps are timed


def sizes(units: int) -> tuple[list[int], list[int]]:
    """The units in the layers of D and of G, inputs first."""
    return [2, *[units] * 3, 1], [2, *[units] * 4, 2]


def settings(units: int, seeds: int) -> mixture_2d.Config:
    """The script's settings for the work described above."""
    d, g = sizes(units)
    return replace(
        mixture_2d.CLASSIC,
        seeds=seeds,
        batch=BATCH,
        samples=POINTS,
        discriminator_hidden=tuple(d[1:-1]),
        generator_hidden=tuple(g[1:-1]),
        learning_rate=RATE,
        beta1=BETA1,
        beta2=BETA2,
    )


def ours(units: int, seeds: int) -> float:
    """This project's loop with its drawing thread."""
    return many_seeds.ours(mixture_2d, settings(units, seeds), WORK[units] // max(seeds, 4))


def command(seeds: int) -> float:
    """The networks of 64 units as a user types it, with a pause for an evaluation every 1000 steps."""
    flags = f"--recipe classic --discriminator-hidden 64 64 64 --seeds {seeds} --steps {max(2000, 8000 // seeds)}"
    return as_typed("mixture_2d", *flags.split())


def flop(units: int) -> float:
    """Operations of the matrix products in one step, two for each weight and sample; a gradient costs one product.

    D's update needs G's fakes, D on 2 batches, and the gradients of its weights and of its hidden layers on both.
    G's update needs D on the fakes, the gradients of its layers down to the fakes, and those of G's weights and
    hidden layers.
    """
    d, g = ([a * b for a, b in itertools.pairwise(units_of)] for units_of in sizes(units))
    update_of_d = sum(g) + 2 * (2 * sum(d) + sum(d[1:]))
    update_of_g = 2 * sum(d) + sum(g) + sum(g[1:])
    return 2 * BATCH * (update_of_d + update_of_g)


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
            common = {"group": what, "seeds": seeds, "flop": flop(units)}
            found[f"ours, {what}"] = Contender(partial(ours, units, seeds), "tensorflow", **common)
            if units == 64:
                found[f"  as typed, {what}"] = Contender(partial(command, seeds), "tensorflow", **common)
            found[f"JAX {program}, {what}"] = Contender(partial(jax_scan, units, seeds), "jax", **common)
    return found


if __name__ == "__main__":
    main(__doc__, __file__, contenders())
