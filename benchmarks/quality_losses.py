"""Every loss on the normal distribution and on the ring: docs/results/losses.md and .csv, docs/figures/losses.png.

    python benchmarks/quality_losses.py        about 8 minutes on two cores

Finished cells are kept in runs/quality_losses/, and interrupted ones resume. The seeds start at 9000, because the
recipes were tuned on others.
"""

import shutil
from pathlib import Path

import pages

import gan_core as core
from experiments import compare

COMMAND = ["normal_1d", "mixture_2d", "--vary", "loss=" + ",".join(core.LOSSES), "--seeds", "32", "--seed", "9000"]
COMMAND += ["--steps", "8000", "--eval-every", "1000", "--eval-samples", "10000", "--out", "runs/quality_losses"]
FOOT = """\
The ring (`mixture_2d`) trains for 8000 steps here, a twelfth of its default. The penalties and learning rates are
those of the stable recipes, which were tuned with `non_saturating`.
[levels.md](levels.md) counts how often such a table claims differences by chance. [losses.csv](losses.csv) has the
numbers of each seed."""


def main(command: list[str] = COMMAND, docs: Path = Path("docs")) -> None:
    """Write the page, and then what made it."""
    made = pages.line(__file__)
    compare.main(command)
    study = Path(command[-1])
    *text, runs_line = (study / "compare.md").read_text().splitlines()
    page = "\n".join(["# Losses compared", *text[1:], FOOT, "", runs_line, made, ""])
    for name, content in (("compare.csv", "results/losses.csv"), ("compare.png", "figures/losses.png")):
        (docs / content).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(study / name, docs / content)
    (docs / "results/losses.md").write_text(page)


if __name__ == "__main__":
    main()
