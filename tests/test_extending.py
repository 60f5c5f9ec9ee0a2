"""What docs/extending.md adds works everywhere by one entry; README shows the step itself, and its links exist."""

import inspect
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from helpers import quiet_command

import gan_core as core
from experiments import mixture_2d, normal_1d
from lab import targets

PAGE = (Path(__file__).parent.parent / "docs" / "extending.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE, re.S)


@pytest.fixture
def scaled():
    """The new loss of the page, for the length of a test."""
    names = {"Loss": core.Loss, "tf": core.tf}
    exec("entry = {" + BLOCKS[0] + "}", names)
    core.LOSSES.update(names["entry"])
    yield names["entry"]["scaled"]
    del core.LOSSES["scaled"]


def test_every_recipe_fits_in_40_lines():
    assert len(BLOCKS) == 3
    assert all(section.count("\n") < 40 for section in PAGE.split("\n## ")[1:])


def test_a_loss_added_as_the_page_says_trains(scaled):
    small = {"seeds": 4, "steps": 1000, "eval_every": 1000, "eval_samples": 2000, "standardise": False}
    trained = normal_1d.train(replace(normal_1d.Config(), loss="scaled", target_args=(2.0, 0.5), **small))
    start, end = (record["kl"]["median"] for record in trained.run.records)
    assert end < 0.1 * start  # the fakes have moved onto the data
    assert normal_1d.evaluate(trained)["game_value"] is None  # its best D is not known to be p / (p + q)


def test_a_target_added_as_the_page_says_is_one_to_train_on(monkeypatch, tmp_path):
    names = dict(vars(targets))  # the code is added there
    exec(BLOCKS[1], names)
    monkeypatch.setitem(targets.PLANE_TARGETS, "circle", names["Circle"])
    real = targets.points("circle", 200, range(2))
    assert real.train.shape == (2, 2, 200) and np.allclose(np.linalg.norm(real.test, axis=1), 1, atol=0.15)
    flags = ["--target=circle", "--seeds=2", "--steps=20", "--samples=200", "--eval-samples=200", "--batch=50"]
    assert quiet_command(mixture_2d, *flags, "--out", tmp_path / "run", draw=False)[0] == 0


README = (Path(__file__).parent.parent / "README.md").read_text()


def test_readme_shows_the_step_itself_and_links_to_files_that_exist():
    (step,) = re.findall(r"```python\n(.*?)```", README, re.S)
    assert step in inspect.getsource(core.adversarial_step)
    links = re.findall(r"\]\(([^)]+)\)", README)
    assert len(links) > 10 and all((Path(__file__).parent.parent / link).exists() for link in links)
    assert len(README.encode()) <= 9 * 1024
