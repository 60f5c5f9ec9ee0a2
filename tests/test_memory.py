"""Sizes that do not fit into the memory are refused before anything is allocated, and everything usual fits."""

import re
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from helpers import command, config_of, one_line

from experiments import (
    compare,
    cyclegan,
    digit_classifier,
    dirac_gan,
    mixture_2d,
    mnist_conditional,
    mnist_dcgan,
    mnist_mlp,
    normal_1d,
    numpy_gan,
    pix2pix,
    sample,
    stacked_mnist,
)
from lab import cli, files, memory, networks, points

ROOT = Path(__file__).parent.parent
FREE = 4_000_000_000  # bytes, of a small machine
MNIST = 28, 60_000  # side, images to train on
PAIRS = (28, 28, 1), 10_000  # size, held-out images

NEEDS = {  # script -> its estimate, for data of MNIST's size
    normal_1d: lambda config: points.bytes_needed(config, features=1),
    mixture_2d: lambda config: points.bytes_needed(config, features=2),
    mnist_mlp: lambda config: mnist_mlp.bytes_needed(config, *MNIST),
    mnist_dcgan: lambda config: mnist_dcgan.bytes_needed(config, *MNIST),
    mnist_conditional: lambda config: mnist_conditional.bytes_needed(config, *MNIST),
    stacked_mnist: lambda config: stacked_mnist.bytes_needed(config, side=28),
    pix2pix: lambda config: pix2pix.bytes_needed(config, *PAIRS),
    cyclegan: lambda config: cyclegan.bytes_needed(config, *PAIRS),
    numpy_gan: lambda config: numpy_gan.bytes_needed(config, *MNIST),
    dirac_gan: dirac_gan.bytes_needed,
}


def parsed(script, flags):
    """The settings that a script trains with."""
    return cli.shrunk(config_of(script, flags))


def refusal(config, bytes_needed, free=FREE):
    with pytest.raises(files.BadInput) as error:
        memory.require(config, bytes_needed, free)
    return str(error.value)


# ----------------------------------------------------------------------------------------------- the check


@dataclass(frozen=True)
class Boxes:
    side: int = 1
    layers: tuple[int, ...] = (2, 3)
    scale: float = 1e9
    name: str = "box"
    closed: bool = True
    lid: int | None = None
    seed: int = 0


def volume(boxes):
    return boxes.side * sum(boxes.layers) + 5


def test_what_fits_passes():
    memory.require(Boxes(), volume, free=10)


def test_the_line_names_the_setting_that_costs_most_and_what_would_fit():
    line = refusal(Boxes(side=1000), volume, free=2000)
    assert line == "--side 1000: needs about 5 kB of memory, and 2 kB are free; up to 390 would fit"  # not 399


def test_the_entries_of_a_tuple_are_made_smaller_together_and_small_ones_stay():
    line = refusal(Boxes(layers=(7, 10**7, 10**6)), volume, free=2_000_000)
    assert line.startswith("--layers 7 10000000 1000000: needs about 11 MB of memory, and 2 MB are free; ")
    assert line.endswith("up to 7 990000 990000 would fit")


def test_a_setting_alone_may_not_be_enough():
    line = refusal(Boxes(side=10**6, layers=(10**6,)), volume, free=1000)
    assert line.endswith("and 1 kB are free; other sizes are too large as well")


def test_one_that_just_fits_is_named():
    assert refusal(Boxes(side=50), volume, free=10).endswith("up to 1 would fit")


def test_by_default_the_free_memory_is_asked_for(monkeypatch):
    monkeypatch.setattr(files, "free_memory", lambda: 9)
    with pytest.raises(files.BadInput, match="and 9 bytes are free"):
        memory.require(Boxes(), volume)


def test_other_sizes_are_not_checked_and_unknown_ones_are_left_out():
    config = memory.resized(normal_1d.Config(), batch=-1, stacked_images=1)
    assert config.batch == -1 and not hasattr(config, "stacked_images")
    assert normal_1d.Config().batch == 100


# ----------------------------------------------------------------------------------------------- the scripts

HUGE = "1000000000"
IMAGES = [
    f"--batch {HUGE}",
    "--latent-dim 100000000",
    f"--eval-samples {HUGE}",
    f"--log-samples {HUGE}",
    f"--eval-every {HUGE} --steps {HUGE}",
]
DCGAN = [*IMAGES, "--generator-maps 100000 128 100000", "--discriminator-maps 32 100000 100000 256"]
POINTS = [
    f"--batch {HUGE}",
    "--seeds 1000000",
    "--latent-dim 100000000",
    f"--eval-samples {HUGE}",
    f"--samples {HUGE}",
    "--generator-hidden 1000000 1000000",
    "--discriminator-hidden 8 1000000 1000000",
    f"--eval-every {HUGE} --steps {HUGE}",
    "--pack 1000000 --eval-samples 1000000",
    "--unroll 1000000 --loss minimax",
]
TOO_LARGE = {  # script -> flags, the first of which is refused
    normal_1d: POINTS,
    mixture_2d: POINTS,
    mnist_mlp: [*IMAGES, "--generator-hidden 100000 100000", "--discriminator-hidden 100000 100000"],
    mnist_dcgan: DCGAN,
    mnist_conditional: DCGAN,
    stacked_mnist: [
        *DCGAN,
        f"--stacked-images {HUGE}",
        f"--batch {HUGE} --network dcgan --dropout 0.5",
    ],
    pix2pix: [f"--batch {HUGE}", "--width 100000", f"--eval-every {HUGE} --steps {HUGE}"],
    cyclegan: ["--discriminator-width 100000", f"--eval-every {HUGE} --steps {HUGE}"],
    numpy_gan: IMAGES,
    dirac_gan: [f"--steps {HUGE}"],
}


def name_of(value):
    return value.__name__.removeprefix("experiments.") if hasattr(value, "__name__") else value


@pytest.mark.parametrize("script, flags", [(s, f) for s in TOO_LARGE for f in TOO_LARGE[s]], ids=name_of)
def test_a_size_that_does_not_fit_is_named_with_one_that_does(script, flags):
    config, needs = parsed(script, flags.split()), NEEDS.get(script) or script.bytes_needed
    flag, *value = flags.split(" --")[0].split()
    line = refusal(config, needs)
    found = re.fullmatch(r"(--.*): needs about .+ of memory, and 4 GB are free; (.*)", line)
    assert found[1] == " ".join([flag, *value])
    if advice := re.fullmatch(r"up to ([\d ]+) would fit", found[2]):
        name, fitting = flag[2:].replace("-", "_"), [int(word) for word in advice[1].split()]
        of = tuple if isinstance(getattr(config, name), tuple) else max
        unit = 10 ** max(0, len(str(max(fitting))) - 2)
        larger = [v + unit * (v == max(fitting)) for v in fitting]
        memory.require(memory.resized(config, **{name: of(fitting)}), needs, FREE)
        assert needs(memory.resized(config, **{name: of(larger)})) > FREE
    else:
        assert found[2] == "other sizes are too large as well" and "--pack" in flags


def test_the_widths_of_u_nets_end_at_256_and_held_out_images_at_their_number():
    many = replace(pix2pix.Config(), eval_samples=2**31 - 1, log_samples=2**31 - 1)
    memory.require(many, NEEDS[pix2pix], FREE)
    memory.require(memory.resized(cyclegan.Config(), width=10**9), NEEDS[cyclegan], FREE)


def test_training_images_count_as_far_as_there_are_any():
    config = replace(mnist_mlp.Config(), train_images=10**9)
    memory.require(config, NEEDS[mnist_mlp], FREE)
    line = refusal(config, lambda config: mnist_mlp.bytes_needed(config, 28, 10**7))
    assert line.startswith("--train-images 1000000000: needs")


@pytest.mark.parametrize("script", NEEDS, ids=name_of)
def test_every_recipe_fits(script):
    for config in script.RECIPES.values():
        memory.require(config, NEEDS[script], FREE)


def documented():
    """Every command with flags that the documentation shows, as script and flags."""
    texts = [ROOT / "README.md", *ROOT.glob("docs/**/*.md"), *ROOT.glob("experiments/*.py")]
    found = {
        m for path in texts for m in re.findall(r"(\w+)\.py((?: +--[a-z\d-]+(?:[ =][\w./]+)*)+)", path.read_text())
    }
    scripts = {script.__name__.split(".")[-1]: script for script in NEEDS}
    return [
        (scripts[name], flags) for name, flags in sorted(found) if name in scripts and not re.search("[A-Z]", flags)
    ]


SHORT = "--steps 2 --eval-every 2"
SHORT_IMAGES = f"--data digits {SHORT} --log-samples 100 --eval-samples 100"
MEASURED = [  # the largest resident memory of a run in GB, without the .47 GB of TensorFlow's program files
    (normal_1d, f"{SHORT} --eval-samples 1000 --seeds 2 --batch 1000000", 3.06),
    (normal_1d, f"{SHORT} --eval-samples 1000 --seeds 2 --latent-dim 100000", 3.23),
    (normal_1d, f"{SHORT} --eval-samples 1000 --seeds 2 --generator-hidden 3000 3000", 1.30),
    (normal_1d, f"{SHORT} --eval-samples 300000", 2.37),
    (normal_1d, f"{SHORT} --eval-samples 1000 --seeds 2 --samples 10000000", 0.75),
    (normal_1d, f"{SHORT} --eval-samples 500 --seeds 2 --batch 1 --pack 500", 2.10),
    (normal_1d, f"{SHORT} --eval-samples 100 --seeds 2 --batch 300000 --unroll 5 --loss minimax", 8.95),
    (normal_1d, "--steps 500 --eval-every 500 --eval-samples 1000 --seeds 500", 0.67),
    (mixture_2d, f"{SHORT} --seeds 2 --samples 1000 --eval-samples 1000000", 4.56),
    (mixture_2d, f"{SHORT} --seeds 2 --samples 1000 --eval-samples 100 --batch 200000", 2.67),
    (mixture_2d, f"{SHORT} --seeds 2 --samples 1000 --eval-samples 100 --latent-dim 10000", 1.74),
    (mixture_2d, f"{SHORT} --seeds 2 --samples 1000 --batch 2 --pack 500 --eval-samples 1000", 2.91),
    (mixture_2d, f"{SHORT} --seeds 2 --samples 1000 --eval-samples 100 --batch 50000 --pack 4", 1.94),
    (mixture_2d, f"--network pacgan {SHORT} --seeds 2 --samples 1000 --eval-samples 100 --batch 100000", 3.26),
    (mixture_2d, f"--recipe pacgan {SHORT} --samples 1000 --eval-samples 100 --batch 10000 --pack 2", 1.59),
    (mixture_2d, f"--recipe pacgan {SHORT} --samples 1000 --eval-samples 100 --generator-hidden 3000 3000", 1.44),
    (mnist_mlp, f"{SHORT_IMAGES} --batch 50000", 2.43),
    (mnist_mlp, f"{SHORT_IMAGES} --latent-dim 50000", 2.18),
    (mnist_dcgan, f"{SHORT_IMAGES} --generator-maps 128 128 64 --batch 10000", 1.61),
    (mnist_dcgan, f"{SHORT_IMAGES} --generator-maps 128 128 64 --batch 10000 --dropout 0.25", 2.14),
    (mnist_dcgan, f"{SHORT_IMAGES} --generator-maps 2000 1000 1000", 2.46),
    (mnist_dcgan, f"{SHORT_IMAGES} --generator-maps 128 128 64 --discriminator-maps 1000 1000 1000 1000", 1.60),
    (stacked_mnist, f"--data digits {SHORT} --log-samples 1000 --eval-samples 300000", 2.37),
    (stacked_mnist, f"--data digits {SHORT} --log-samples 1000 --eval-samples 1000 --batch 10000", 2.24),
    (stacked_mnist, f"--data digits {SHORT} --log-samples 1000 --eval-samples 1000 --stacked-images 10000000", 0.67),
    (stacked_mnist, f"--data digits {SHORT} --log-samples 1000 --eval-samples 1000 --batch 2500 --pack 4", 2.41),
    (pix2pix, f"{SHORT_IMAGES} --batch 5000", 0.64),
    (cyclegan, f"{SHORT_IMAGES} --discriminator-width 1000", 2.63),
    (numpy_gan, f"{SHORT_IMAGES} --batch 200000", 1.18),
    (numpy_gan, f"{SHORT_IMAGES} --latent-dim 200000", 1.57),
]
OF_DIGITS = {  # script -> its estimate, for the 8x8 digits
    mnist_mlp: lambda config: mnist_mlp.bytes_needed(config, 8, 1437),
    mnist_dcgan: lambda config: mnist_dcgan.bytes_needed(config, 8, 1437),
    stacked_mnist: lambda config: stacked_mnist.bytes_needed(config, 8),
    pix2pix: lambda config: pix2pix.bytes_needed(config, (8, 8, 1), 360),
    cyclegan: lambda config: cyclegan.bytes_needed(config, (8, 8, 1), 360),
    numpy_gan: lambda config: numpy_gan.bytes_needed(config, 8, 1437),
}


@pytest.mark.parametrize("script, flags, gigabytes", MEASURED, ids=name_of)
def test_the_estimates_are_near_what_was_measured(script, flags, gigabytes):
    needed = (OF_DIGITS | {s: NEEDS[s] for s in (normal_1d, mixture_2d)})[script](parsed(script, flags.split()))
    assert 0.95 < needed / 1e9 / gigabytes < 1.8


@pytest.mark.parametrize("script, flags", documented(), ids=name_of)
def test_every_command_of_the_documentation_fits(script, flags):
    memory.require(parsed(script, flags.split()), NEEDS.get(script) or script.bytes_needed, FREE)


@pytest.mark.parametrize("script", [s for s in NEEDS if s is not dirac_gan], ids=name_of)
def test_the_number_of_steps_does_not_matter(script):
    config = script.RECIPES["stable"]
    assert NEEDS[script](memory.resized(config, steps=10**12)) == NEEDS[script](config)


@pytest.mark.parametrize("script, features, bytes_each", [(normal_1d, 1, 64), (mixture_2d, 2, 178)], ids=name_of)
def test_a_file_costs_what_its_floors_were_measured_to_take(script, features, bytes_each):
    config = replace(script.Config(), seeds=1)
    small, large = (points.bytes_needed(config, features, samples=n) for n in (0, 1_000_000))
    assert 0 <= (large - small) / 1e6 - 12 * features - bytes_each < 10  # 12: float64 and float32 in training


def test_dropout_and_labels_and_colours_cost_something():
    dcgan, side = mnist_dcgan.Config(), 28
    plain = mnist_dcgan.bytes_needed(dcgan, side)
    assert mnist_dcgan.bytes_needed(replace(dcgan, dropout=0.25), side) > plain
    assert mnist_conditional.bytes_needed(memory.resized(mnist_conditional.Config()), side) > plain
    of_dcgan = replace(stacked_mnist.Config(), network="dcgan")
    assert stacked_mnist.bytes_needed(stacked_mnist.Config(), side) > stacked_mnist.bytes_needed(of_dcgan, side)


# ------------------------------------------------------------------------------- sizes, as variables have them


def numbers(weights):
    return sum(int(w.shape.num_elements()) for w in weights)


def test_the_size_of_a_multilayer_perceptron():
    game = points.new_game(memory.resized(normal_1d.Config(), generator_skip=False), range(1), features=1)
    assert memory.mlp((8, 8, 8, 8, 8, 8, 1)) == (numbers(game.generator.weights), 41)
    assert memory.mlp((1, 48, 1)).weights == numbers(game.discriminator.weights)


def test_the_sizes_of_the_image_networks_are_at_least_those_of_their_variables():
    """Biases are left out. The kernels behind an upsampling count twice, which makes up to twice as many."""
    config, size = mnist_dcgan.Config(), (28, 28, 1)
    game = mnist_dcgan.new_game(config, side=28)
    players = game.discriminator, game.generator
    for found, player in zip(networks.dcgan_sizes(config, 28, inputs=100), players, strict=True):
        assert 0.98 * numbers(player.weights) < found.weights < 2 * numbers(player.weights)
    pair = pix2pix.new_game(pix2pix.Config(), size)
    unet, patchgan = networks.unet_size(size, 32), networks.patchgan_size((28, 28, 2), 32)
    assert 0.98 * numbers(pair.generator.weights) < unet.weights < 2.1 * numbers(pair.generator.weights)
    assert 0.98 * numbers(pair.discriminator.weights) < patchgan.weights < 1.1 * numbers(pair.discriminator.weights)


# ------------------------------------------------------------------------------------------- the command line

DIGITS = ["--data", "digits"]
REFUSED = [
    (normal_1d, ["--seeds", "1000000"]),
    (mixture_2d, ["--batch", HUGE]),
    (mnist_mlp, [*DIGITS, "--batch", HUGE]),
    (mnist_dcgan, [*DIGITS, "--eval-samples", HUGE]),
    (mnist_conditional, [*DIGITS, "--latent-dim", "100000000"]),
    (stacked_mnist, [*DIGITS, "--stacked-images", HUGE]),
    (pix2pix, [*DIGITS, "--width", "100000"]),
    (cyclegan, [*DIGITS, "--discriminator-width", "100000"]),
    (numpy_gan, ["--batch", HUGE]),
    (dirac_gan, ["--steps", HUGE]),
    (digit_classifier, [*DIGITS, "--batch", HUGE]),
]


@pytest.mark.parametrize("script, flags", REFUSED, ids=name_of)
def test_a_run_that_does_not_fit_leaves_nothing_behind(script, flags, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(files, "free_memory", lambda: FREE)
    assert command(script, *flags, "--out", tmp_path / "a" / "b") == 2
    assert re.match(
        rf"{flags[-2]} {flags[-1]}: needs about .+, and 4 GB are free; up to \d+ would fit\n", one_line(capsys)
    )
    assert not list(tmp_path.iterdir())


def test_a_study_that_does_not_fit_leaves_nothing_behind(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(files, "free_memory", lambda: FREE)
    with pytest.raises(SystemExit) as stop:
        compare.main(f"normal_1d --vary r1=0,1 --seeds 1000000 --workers 1 --out {tmp_path / 'a'}".split())
    assert stop.value.code == 2 and one_line(capsys).startswith("--seeds 1000000: needs about")
    assert not list(tmp_path.iterdir())


def test_samples_that_do_not_fit_are_refused(tmp_path, capsys, monkeypatch):
    run, out = tmp_path / "run", tmp_path / "x.npy"
    assert (
        command(numpy_gan, "--steps", 1, "--eval-samples", 100, "--log-samples", 100, "--out", run, draw=False) == 0
    )
    capsys.readouterr()
    monkeypatch.setattr(files, "free_memory", lambda: FREE)
    with pytest.raises(SystemExit) as stop:
        sample.main([str(run), "--count", HUGE, "--out", str(out)])
    assert stop.value.code == 2 and re.match(r"--count 1000000000: .*up to \d+ would fit\n", one_line(capsys))
    assert not out.exists()
    sample.main([str(run), "--count", "3", "--out", str(out)])
    assert out.exists()


def test_samples_of_points_count_for_every_seed():
    command_, data = sample.Command(run="", count=10**6), {"features": 2}
    few, many = (mixture_2d.Config(seeds=seeds) for seeds in (1, 100))
    assert sample.bytes_needed(command_, mixture_2d, few, data) < 1e9
    assert sample.bytes_needed(command_, mixture_2d, many, data) > 4e9
    assert refusal(command_, lambda c: sample.bytes_needed(c, mixture_2d, many, data)).startswith("--count 1000000: ")


def test_a_run_is_refused_before_tensorflow_is_imported(tmp_path):
    lines = (
        "import sys; from lab import files; from experiments import normal_1d as n",
        "files.free_memory = lambda: 10**9",
        "try: n.train(n.Config(seeds=10**6))",
        "except files.BadInput: sys.exit('tensorflow' in sys.modules)",
    )
    assert subprocess.run([sys.executable, "-c", "\n".join(lines)], cwd=ROOT).returncode == 0
