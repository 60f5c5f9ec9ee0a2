"""How often compare.py tells settings apart by chance, as Markdown for docs/results/levels.md.

    python benchmarks/quality_levels.py > docs/results/levels.md        about 2 minutes on one core

Nothing is trained: the results of the losses are random numbers whose law is known. Where the difference of any two
losses is symmetric about 0, a claim has a chance of at most `paired.LEVEL`. Equal medians are not enough.
"""

from collections.abc import Callable

import numpy as np
import pages
from study import row

from lab import paired

TABLES, LOSSES, SEEDS = 2000, 7, 32  # losses and seeds as in docs/results/losses.md
SPREADS = np.linspace(0.5, 2, LOSSES)[:, None]  # of one loss each, in the cases in which they differ
EVEN = np.arange(LOSSES)[:, None] % 2 == 0
IS_SYMMETRIC = (True, True, True, False, False)  # of each case: whether all differences are symmetric about 0
Case = Callable[[np.random.Generator], np.ndarray]  # draws the results of one table, `[losses, seeds]`


def normal(rng: np.random.Generator) -> np.ndarray:
    """A standard normal number for each loss and seed: `[losses, seeds]`."""
    return rng.normal(size=(LOSSES, SEEDS))


CASES: dict[str, Case] = {
    "exchangeable: independent normal numbers": normal,
    "exchangeable: exp of normal numbers, half of whose variance the losses share": lambda rng: np.exp(
        np.sqrt(0.5) * (normal(rng) + rng.normal(size=SEEDS))
    ),
    "symmetric about a common median, spread .5 to 2": lambda rng: SPREADS * normal(rng),
    "equal medians, different spread: exp of normal numbers of spread .5 to 2": lambda rng: np.exp(
        SPREADS * normal(rng)
    ),
    "equal medians, different skew: four normal, three exponential": lambda rng: np.where(
        EVEN, normal(rng), rng.exponential(size=(LOSSES, SEEDS)) - np.log(2)
    ),
}


def any_claim(case: Case, tables: int, seed: int = 0) -> float:
    """The share of simulated tables of a case in which any loss beats another.

    Args:
        case: draws the results of one table.
        tables: how many are drawn, from `np.random.default_rng(seed)`.
    """
    rng = np.random.default_rng(seed)
    claims = [
        any(paired.better({str(k): values for k, values in enumerate(case(rng))}).values()) for _ in range(tables)
    ]
    return float(np.mean(claims))


def main() -> None:
    made = pages.line(__file__)
    print(
        f"""# Chance claims of compare.py

`python benchmarks/quality_levels.py`: {TABLES} simulated tables of {LOSSES} losses and {SEEDS} seeds in each row, and
the share in which any loss "beats" another; +- is the standard error. `compare.py` claims that this share is
at most {paired.LEVEL:.0%} where the difference of any two losses on a seed is symmetric about 0, as it is in
the first three rows. In the last two rows the medians are equal, but the differences are not symmetric: the test
then tells losses apart more often, and that one loss beats another does not mean that its median is lower.

{row("results of the losses", "differences", "tables with a claim")}
|---|---|---|"""
    )
    for (name, case), is_symmetric in zip(CASES.items(), IS_SYMMETRIC, strict=True):
        share = any_claim(case, TABLES)
        error = np.sqrt(share * (1 - share) / TABLES)
        print(row(name, "symmetric" if is_symmetric else "not symmetric", f"{share:.1%} +- {error:.1%}"), flush=True)
    print(f"\n{made}")


if __name__ == "__main__":
    main()
