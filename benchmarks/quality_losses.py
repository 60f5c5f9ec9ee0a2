"""Every loss on the normal distribution and on the ring: docs/results/losses.md and .csv, docs/figures/losses.png.

    python benchmarks/quality_losses.py        about 8 minutes on two cores

Finished cells are kept in runs/quality_losses/, and interrupted ones resume. The seeds start at 9000, because the
recipes were tuned on others.
"""

import sys
from pathlib import Path

import pages
from study import note_commits, runs_line

from experiments import compare_losses
from lab import cli

CONFIG = compare_losses.Config(seed=9000, out="runs/quality_losses", docs="docs")


def main(config: compare_losses.Config = CONFIG) -> None:
    """Write the page, and then what made it."""
    made = pages.line(__file__)
    with cli.one_line_errors():
        if compare_losses.compare(config) is None:
            sys.exit(1)  # it has said that other processes train the rest
    for target, loss in config.cells():
        note_commits(Path(config.out) / f"{target}-{loss}")
    page = Path(config.docs or config.out) / "results/losses.md"
    page.write_text(f"{page.read_text()}\n{runs_line()}\n{made}\n")


if __name__ == "__main__":
    main()
