"""Wrong input on every command line ends with exit code 2 and one line: flag or file, value, and what is accepted.

Nothing is trained, and no file is touched. All rows run in one folder with a few files and with runs made by hand.
"""

import functools
import inspect
import itertools
import json
import shlex
import shutil
from typing import NamedTuple

import numpy as np
import pytest
from helpers import command, config_of, one_line

from experiments import normal_1d, numpy_gan
from lab import cli, files, runs, storage

# --------------------------------------------------------------------------------- what each kind of flag accepts


class Kind(NamedTuple):
    """A kind of flag: a good value as the messages call it, its range, values beyond it, and what is no value."""

    noun: str
    words: str
    beyond: list[str]
    unreadable: list[str]


WHOLE = ["many", "1.5", "nan", "''", "1e3", "0x10", "", "2 3", "2,3", "' '", "５x", "True"]
NUMBER = ["fast", "''", "0,1", "", ".1 .2", "1e", "'1 e-3'", "0.1s"]
HUGE, LONG = "99999999999999999999999", "long" * 1000
LOSSES = "minimax, non_saturating, least_squares, hinge, wasserstein, relativistic_paired, relativistic_average"
CHOICES = {  # each is a kind whose values are these names
    "loss": LOSSES,
    "latent": "uniform, normal",
    "activation": "relu, leaky_relu, leaky_relu_01, tanh, softplus, gelu",
    "init": "normal, he, scattered, scattered_4, small_end, glorot, small, small_02",
    "schedule": "constant, cosine",
    "norm": "batch, none",
    "precision": "float32, bfloat16",
    "network": "alike, dcgan",
    "network_of_points": "mlp, pacgan",
    "output": "tanh, sigmoid",
    "frame": "none, mnist",
}


def whole(words, *beyond):
    return Kind("a whole number", words, list(beyond), WHOLE)


def number(words, *beyond):
    return Kind("a number", words, [*beyond, "nan", "NaN", "inf", "-inf", "1e400"], NUMBER)


KINDS = {
    "count": whole("at least 1", "0", "-3"),
    "no_less_than_2": whole("at least 2", "1", "0", "-5"),
    "batch_of_norm": whole("at least 2, for batch norm", "1", "0", "-2"),
    "images": whole("at least 100", "99", "0", "-100"),
    "triples": whole("at least 1000, one for each mode", "999", "0"),
    "even": whole("an even number from 2 on", "7", "0", "-2"),
    "six": whole("at least 6: with fewer no p-value is below .05", "5", "0"),
    "not_negative": whole("0 or more", "-1", "-7"),
    "categories": whole("0 or at least 2", "1", "-10"),
    "seed": whole("at least 0 and below 2^31", "-1", "2147483648", HUGE),
    "rate": number("above 0 and below 1e38", "0", "-1", "-1e-3", "1e38"),
    "rate64": number("above 0 and finite", "0", "-1"),
    "weight": number("0 or more and below 1e38", "-1", "-.5", "1e38"),
    "decay": number("at least 0 and below 1", "1", "-0.1", "1.5", "0.99999999999"),
    "share": number("at least 0 and at most .99", "1", "-0.1", ".995"),
    "part": number("above 0 and below 1", "0", "1", "-1"),
    "sizes": Kind("whole numbers", "at least 1", ["0", "8 0", "8 -1"], ["x", "8 x", "8,8", "8x8", "''", "1.5"]),
    "three": Kind("3 whole numbers", "at least 1", ["0 2 3", "1 2 -3"], ["", "1 2", "1 2 3 4", "1 2 x", "1,2,3"]),
    "four": Kind("4 whole numbers", "at least 1", ["1 2 3 0"], ["1 2 3", "1 2 3 4 5", "1 2 3 x", "''"]),
    "switch": Kind("no value; --no- before its name turns it off", "", [], ["yes", "True", "0", "false"]),
}
KINDS |= {name: Kind(f"one of {names}", "", [], ["best", "", "''", "0"]) for name, names in CHOICES.items()}

FLAGS = {  # every flag but those that name files, folders and targets
    "normal_1d": {
        "count": "samples latent-dim pack seeds steps epochs batch eval-every checkpoint-every",
        "no_less_than_2": "eval-samples",
        "not_negative": "unroll",
        "seed": "seed",
        "sizes": "generator-hidden discriminator-hidden",
        "weight": "jitter r1 r2 gradient-penalty",
        "rate": "penalty-end learning-rate discriminator-rate",
        "decay": "beta1 beta2 average",
        "switch": "standardise generator-skip",
        "latent": "latent",
        "activation": "generator-activation discriminator-activation",
        "init": "generator-init discriminator-init",
        "loss": "loss",
        "schedule": "schedule discriminator-schedule",
    },
    "mixture_2d": {
        "count": "samples latent-dim pack seeds steps batch eval-every checkpoint-every",
        "no_less_than_2": "eval-samples",
        "not_negative": "unroll",
        "seed": "seed",
        "sizes": "generator-hidden discriminator-hidden",
        "weight": "r1 r2 gradient-penalty",
        "rate": "penalty-end learning-rate discriminator-rate",
        "decay": "beta1 beta2 average",
        "switch": "standardise generator-skip simultaneous",
        "network_of_points": "network",
        "latent": "latent",
        "activation": "generator-activation discriminator-activation",
        "init": "generator-init discriminator-init",
        "loss": "loss",
        "schedule": "schedule discriminator-schedule",
    },
    "mnist_mlp": {
        "count": "train-images latent-dim steps batch eval-every checkpoint-every",
        "images": "log-samples eval-samples",
        "categories": "categories",
        "seed": "seed",
        "sizes": "generator-hidden discriminator-hidden",
        "weight": "r1 r2",
        "rate": "learning-rate discriminator-rate",
        "decay": "beta1 beta2 average",
        "activation": "generator-activation discriminator-activation",
        "init": "init",
        "output": "output",
        "loss": "loss",
        "schedule": "schedule",
    },
    "mnist_dcgan": {
        "count": "train-images latent-dim steps eval-every checkpoint-every",
        "batch_of_norm": "batch",
        "images": "log-samples eval-samples",
        "categories": "categories",
        "seed": "seed",
        "three": "generator-maps",
        "four": "discriminator-maps",
        "weight": "r1",
        "rate": "penalty-end learning-rate",
        "decay": "momentum beta1 beta2 average",
        "share": "dropout",
        "norm": "discriminator-norm",
        "precision": "precision",
        "loss": "loss",
        "schedule": "schedule",
    },
    "mnist_conditional": {
        "count": "train-images latent-dim steps eval-every checkpoint-every",
        "batch_of_norm": "batch",
        "images": "log-samples eval-samples",
        "seed": "seed",
        "three": "generator-maps",
        "four": "discriminator-maps",
        "weight": "r1",
        "rate": "penalty-end learning-rate",
        "decay": "momentum beta1 beta2 average",
        "share": "dropout",
        "norm": "discriminator-norm",
        "loss": "loss",
        "schedule": "schedule",
    },
    "stacked_mnist": {
        "count": "train-images stacked-images latent-dim pack steps eval-every checkpoint-every",
        "no_less_than_2": "batch",
        "triples": "log-samples eval-samples",
        "seed": "seed",
        "three": "generator-maps",
        "four": "discriminator-maps",
        "weight": "r1",
        "rate": "penalty-end learning-rate",
        "decay": "momentum beta1 beta2 average",
        "share": "dropout",
        "norm": "discriminator-norm",
        "network": "network",
        "loss": "loss",
        "schedule": "schedule",
    },
    "numpy_gan": {
        "count": "train-images latent-dim steps eval-every checkpoint-every",
        "even": "batch",
        "images": "log-samples eval-samples",
        "seed": "seed",
        "rate64": "learning-rate",
        "decay": "beta1 beta2",
    },
    "pix2pix": {
        "count": "train-images width steps batch eval-every checkpoint-every",
        "images": "log-samples eval-samples",
        "seed": "seed",
        "weight": "l1",
        "rate": "learning-rate",
        "decay": "beta1 beta2",
        "share": "dropout",
        "loss": "loss",
    },
    "cyclegan": {
        "count": "train-images width discriminator-width steps batch eval-every checkpoint-every",
        "images": "log-samples eval-samples",
        "seed": "seed",
        "weight": "cycle identity",
        "rate": "learning-rate",
        "decay": "beta1 beta2",
        "frame": "frame",
    },
    "digit_classifier": {
        "count": "steps batch eval-every checkpoint-every",
        "not_negative": "shift",
        "seed": "seed",
        "rate": "learning-rate",
        "part": "warm-up",
    },
    "dirac_gan": {
        "count": "steps d-steps",
        "rate": "learning-rate clip",
        "weight": "gradient-penalty consensus instance-noise",
    },
    "compare": {},
}
OTHER = {  # the flags with rows of their own
    "normal_1d": "target target-args data",
    "mixture_2d": "target",
    "pix2pix": "pairs data",
    "cyclegan": "domain-a domain-b data",
    "dirac_gan": "game losses penalties start",
    # the rows of compare.py stand in test_compare.py
    "compare": "scripts vary seeds metric one-at-a-time level budget workers address shared out",
}


def rows_of_kinds():
    """For each flag a value beyond the range of its kind; for each kind in a script a value that cannot be read."""
    beyond = {name: itertools.cycle(kind.beyond) for name, kind in KINDS.items()}
    unreadable = {name: itertools.cycle(kind.unreadable) for name, kind in KINDS.items()}
    unreadable |= {name: unreadable["count"] for name, kind in KINDS.items() if kind.unreadable is WHOLE}
    for script, kinds in FLAGS.items():
        for name, flags in kinds.items():
            kind, (first, *others) = KINDS[name], [f"--{flag}" for flag in flags.split()]
            for flag in (first, *others) if kind.beyond else ():
                yield script, f"{flag} {next(beyond[name])}", f"{flag} ... expected {kind.words}\n"
            for flag in (first, *others) if not kind.beyond else (first,):
                value, words = next(unreadable[name]), ", ".join(filter(None, (kind.noun, kind.words)))
                yield script, f"{flag} {value}", f"{shlex.join([flag, *shlex.split(value)])}: expected {words}\n"


IN_ALL = {  # in every script that trains
    f"--steps {HUGE}": f"--steps {HUGE}: expected below 2^63\n",
    "--stepz 3": "--stepz: no such flag; did you mean --steps?\n",
    "--out ''": "--out '': expected a folder\n",
    "--out full": "--out full: not empty; choose a new or an empty folder\n",
    "--resume ''": "--resume '': expected the folder of a run\n",
    "--resume nowhere": "--resume nowhere: no run here (there is no config.json)\n",
    "--resume other": "--resume other: a run of nothing, not of ",
    "--resume other --steps 9 --out new": "--resume other: the run keeps its own settings; drop --out\n",
}
BY_HAND = [
    # ---- words
    ("normal_1d", "-steps 3", "-steps: no such flag; did you mean --steps?"),
    ("normal_1d", "--Steps=3", "--Steps: no such flag; did you mean --steps?"),
    ("normal_1d", "--num_steps 3", "--num_steps: no such flag; did you mean --steps?"),
    ("normal_1d", "--hidden 8", "--hidden: no such flag; did you mean --generator-hidden or --discriminator-hidden?"),
    ("normal_1d", "--xyzzy", "--xyzzy: no such flag; --help lists all flags"),
    ("normal_1d", "--no-loss", "--no-loss: no such flag; did you mean --loss?"),
    ("normal_1d", "--no-standardise=3", "--no-standardise 3: expected no value"),
    ("normal_1d", "'--steps 3'", "'--steps 3': no such flag; did you mean --steps?"),
    ("normal_1d", "—steps 3", "'—steps' 3: not a flag; did you mean --steps?"),
    ("normal_1d", "steps 3", "steps 3: not a flag; did you mean --steps?"),
    ("normal_1d", "3", "3: not a flag; --help lists all flags"),
    ("normal_1d", "''", "'': not a flag; --help lists all flags"),
    ("normal_1d", "-", "-: no such flag"),
    ("normal_1d", "--=3", "--: no such flag"),
    ("normal_1d", "--steps=10=20", "--steps 10=20: expected a whole number, at least 1"),
    ("normal_1d", "--steps '3;ls'", "--steps '3;ls': expected a whole number"),
    ("normal_1d", "--eval_every 0", "--eval-every 0: expected at least 1"),
    ("normal_1d", "--steps 5 --steps 0", "--steps 0: expected at least 1"),  # of several, the last one counts
    ("normal_1d", "--steps many --stepz 3", "--steps many: expected a whole number, at least 1"),
    ("normal_1d", "--loss 'a\nb'", r"--loss 'a\nb': expected one of minimax"),
    ("normal_1d", "--target \x1b[31mred", r"--target \x1b[31mred: expected norm"),
    ("normal_1d", f"--target {LONG}", "--target longlong ... or another continuous distribution of scipy.stats\n"),
    ("normal_1d", f"--out {LONG}", "--out longlong ... : file name too long"),
    ("normal_1d", f"--resume {LONG}", "longlong ... : file name too long"),
    ("sample", LONG, "longlong ... : file name too long"),
    ("plot", LONG, "longlong ... : file name too long"),
    ("compare", f"normal_1d --vary r1=0,1 --out {LONG}", "longlong ... : file name too long"),
    ("normal_1d", "--out=--steps --steps 0", "--steps 0: expected at least 1"),
    ("normal_1d", "--out --steps 0", "--out: expected a name, file or folder"),
    ("normal_1d", "--recipe", "--recipe: expected one of stable, classic"),
    ("normal_1d", "--recipe wrong", "--recipe wrong: expected one of stable, classic"),
    ("normal_1d", "--recipe=", "--recipe '': expected one of stable, classic"),
    ("normal_1d", "--recipe classic --recipe=wrong", "--recipe wrong: expected one of stable, classic"),
    ("mixture_2d", "--recipe stabel", "--recipe stabel: expected one of stable, classic, pacgan"),
    ("mnist_mlp", "--recipe classic", "--recipe classic: expected one of stable, dnn, raw"),
    ("mnist_dcgan", "--recipe dnn", "--recipe dnn: expected one of stable, classic"),
    ("stacked_mnist", "--recipe classic", "--recipe classic: expected one of stable, dcgan"),
    ("digit_classifier", "--recipe tiny", "--recipe tiny: expected one of large, small"),
    ("numpy_gan", "--recipe stable", "--recipe: no such flag"),  # there is one recipe
    # ---- --out and --resume
    ("numpy_gan", "--out", "--out: expected a name, file or folder"),
    ("numpy_gan", "--out a b", "--out a b: expected a name, file or folder"),
    ("numpy_gan", "--out file", "--out file: "),
    ("numpy_gan", "--out file/a/b", "--out file/a/b: a file is in the way; expected a new or an empty folder"),
    ("numpy_gan", "--out .", "--out .: not empty"),
    ("numpy_gan", "--out ../place/full", "--out ../place/full: not empty"),
    ("numpy_gan", "--out run", "--out run: already holds a run; choose another folder"),
    ("numpy_gan", "--resume", "--resume: expected a name, file or folder"),
    ("numpy_gan", "--resume=", "--resume '': expected the folder of a run"),
    ("numpy_gan", "--resume empty", "--resume empty: no run here (there is no config.json)"),
    ("numpy_gan", "--resume full", "--resume full: no run here (there is no config.json)"),
    ("numpy_gan", "--resume file", "--resume file: config.json cannot be used: not a directory"),
    ("numpy_gan", "--resume numpy/config.json", "--resume numpy/config.json: config.json cannot be used"),
    ("numpy_gan", "--resume broken", "--resume broken: config.json cannot be used"),
    ("numpy_gan", "--resume edited", "--resume edited: config.json: it was changed after it was written"),
    ("numpy_gan", "--resume edited --steps 20000", "--resume edited: config.json: it was changed"),
    ("numpy_gan", "--resume=../place/run", "--resume ../place/run: a run of normal_1d, not of numpy_gan"),
    ("numpy_gan", "--resume numpy --seed 0", "--resume numpy: the run keeps its own settings; drop --seed"),
    ("numpy_gan", "--resume=numpy --batch=8 --beta1 0", "--resume numpy: ... ; drop --batch, --beta1"),
    ("numpy_gan", "--resume numpy --steps 5", "--steps 5: the run is set to 10000 steps and cannot be made shorter"),
    ("numpy_gan", "--resume numpy --steps 0", "--steps 0: expected at least 1"),
    ("numpy_gan", "--resume numpy --steps many", "--steps many: expected a whole number"),
    ("normal_1d", "--resume run --recipe stable", "--resume run: the run keeps its own settings; drop --recipe"),
    ("normal_1d", "--resume run --no-standardise", "--resume run: ... ; drop --no-standardise"),
    # ---- settings that do not fit together
    ("normal_1d", "--pack 10001", "--eval-samples 10000: expected at least --pack 10001, for one pack"),
    ("normal_1d", "--unroll 2", "--unroll 2: not with --loss non_saturating; expected minimax or wasserstein"),
    ("normal_1d", "--recipe classic --loss hinge --unroll 2", "--unroll 2: not with --loss hinge; expected minimax"),
    ("normal_1d", "--samples 1", "--samples 1: expected at least 2, which have a standard deviation"),
    ("normal_1d", "--data numbers.csv --samples 9", "--samples 9: expected no such flag beside --data numbers.csv"),
    ("normal_1d", "--data '' --samples 7", "--samples 7: expected no such flag beside --data"),
    ("normal_1d", "--data numbers.csv --target laplace", "--target laplace: expected no such flag beside --data"),
    ("normal_1d", "--data numbers.csv --target-args 0 1", "--target-args 0 1: expected no such flag beside --data"),
    ("mixture_2d", "--network pacgan --batch 1", "--batch 1: expected at least 2 with --network pacgan"),
    ("mixture_2d", "--unroll 3 --loss minimax --simultaneous", "--unroll 3: expected 0 with --simultaneous"),
    ("mixture_2d", "--unroll 3 --loss hinge", "--unroll 3: not with --loss hinge; expected minimax or wasserstein"),
    ("mixture_2d", "--samples 7", "--samples 7: expected at least one for each of the 8 modes of ring"),
    ("mixture_2d", "--target grid --samples 24", "--samples 24: expected at least one for each"),
    ("mixture_2d", "--target grid --eval-samples 24", "--eval-samples 24: expected at least one for each of the 25"),
    ("mixture_2d", "--target spiral --samples 1", "--samples 1: expected at least 2"),
    ("mixture_2d", "--target points.csv --samples 99", "--samples 99: expected no such flag beside --target"),
    ("stacked_mnist", "--dropout .3", "--dropout 0.3: expected 0 with --network alike"),
    ("mnist_mlp", "--latent-dim 10", "--latent-dim 10: expected more than the 10 numbers of --categories"),
    ("pix2pix", "--pairs empty --data digits", "--data digits: expected no such flag beside --pairs empty"),
    ("cyclegan", "--batch 51", "--batch 51: expected at most 50, the size of the pool"),
    ("cyclegan", "--domain-a empty", "--domain-a, --domain-b: expected a folder for each of them, or for neither"),
    ("cyclegan", "--domain-b empty", "--domain-a, --domain-b: expected a folder for each of them, or for neither"),
    ("cyclegan", "--domain-a a --domain-b b --data digits", "--data digits: expected no such flag beside --domain-a"),
    ("cyclegan", "--domain-a a --domain-b b --frame mnist", "--frame mnist: expected no such flag beside --domain-a"),
    ("cyclegan", "--domain-a a --domain-b b --train-images 9", "--train-images 9: expected no such flag beside"),
    ("dirac_gan", "--game chess", "--game chess: expected one of dirac, linear_quadratic"),
    ("dirac_gan", "--gradient-penalty 1e9", "--gradient-penalty 1e+09: expected at most 1e6 in size"),
    ("dirac_gan", "--losses", "--losses: expected one or more, each once"),
    ("dirac_gan", "--losses hinge hinge", "--losses hinge hinge: expected one or more, each once"),
    ("dirac_gan", "--losses hinge best", f"--losses hinge best: expected one of {LOSSES}"),
    ("dirac_gan", "--losses ''", "--losses '': expected one of minimax"),
    ("dirac_gan", "--penalties", "--penalties: expected one or more, each once"),
    ("dirac_gan", "--penalties 1 1.0", "--penalties 1 1: expected one or more, each once"),
    ("dirac_gan", "--penalties 1 -1", "--penalties 1 -1: expected 0 or more"),
    ("dirac_gan", "--penalties nan", "--penalties nan: expected 0 or more"),
    ("dirac_gan", "--penalties x", "--penalties x: expected numbers, 0 or more"),
    ("dirac_gan", "--penalties 1e9", "--penalties 1e+09: expected at most 1e6 in size"),
    ("dirac_gan", "--start 1", "--start 1: expected 2 numbers"),
    ("dirac_gan", "--start 1 2 3", "--start 1 2 3: expected 2 numbers"),
    ("dirac_gan", "--start nan 0", "--start nan 0: expected finite numbers"),
    ("dirac_gan", "--start 0 -1e9", "--start 0 -1e+09: expected at most 1e6 in size"),
    ("dirac_gan", "--learning-rate 1e9", "--learning-rate 1e+09: expected at most 1e6 in size"),
    ("dirac_gan", "--seed 0", "--seed: no such flag"),
    # ---- targets and data
    ("normal_1d", "--target", "--target: expected a name, file or folder"),
    ("normal_1d", "--target ''", "--target ''"),
    ("normal_1d", "--target nrom", "--target nrom: expected norm, mixture or another continuous distribution"),
    ("normal_1d", "--target Norm", "--target Norm: expected norm"),
    ("normal_1d", "--target binom", "--target binom: expected norm"),
    ("normal_1d", "--target norm.pdf", "--target norm.pdf: expected norm"),
    ("normal_1d", "--target __class__", "--target __class__: expected norm"),
    ("normal_1d", "--target gamma", "0 numbers for gamma"),
    ("normal_1d", "--target-args 1 2 3", "3 numbers for norm, expected"),
    ("normal_1d", "--target-args 0 -1", "--target-args 0 -1: outside the domain of norm"),
    ("normal_1d", "--target-args 0 nan", "--target-args 0 nan: outside the domain of norm"),
    ("normal_1d", "--target-args 0,1", "--target-args 0,1: expected numbers"),
    ("normal_1d", "--target mixture --target-args 1 0", "--target-args 1 0: a mixture takes WEIGHT MEAN STD"),
    ("normal_1d", "--data", "--data: expected a name, file or folder"),
    ("normal_1d", "--data ''", "--data ''"),
    ("normal_1d", "--data nowhere.csv --out new", "--data nowhere.csv: no such file or directory"),
    ("normal_1d", "--data nowhere.csv --epochs 3", "--data nowhere.csv: no such file or directory"),
    ("normal_1d", "--epochs 3 --steps 50", "--steps 50: expected no such flag beside --epochs 3"),
    ("normal_1d", "--data full", "--data full: "),
    ("normal_1d", "--data file", "--data file: "),
    ("normal_1d", "--data words.txt", "--data words.txt: "),
    ("normal_1d", "--data points.csv", "--data points.csv: 2 columns; expected one column"),
    ("mixture_2d", "--target ''", "--target '': expected ring, grid, spiral, or a .npy, .csv or .txt file"),
    ("mixture_2d", "--target sphere", "--target sphere: expected ring, grid, spiral, or a .npy, .csv or .txt file"),
    ("mixture_2d", "--target nowhere.csv", "--target nowhere.csv: no such file or directory"),
    ("mixture_2d", "--target numbers.csv", "--target numbers.csv: 1 column; expected two columns"),
    ("mixture_2d", "--target words.txt", "--target words.txt: "),
    ("mixture_2d", "--data points.csv", "--data: no such flag"),
    ("mnist_mlp", "--data ''", "--data '': expected an .npz"),
    ("mnist_mlp", "--data nowhere --out new", "--data nowhere: no such file or directory; expected an .npz"),
    ("mnist_dcgan", "--data words.txt", "--data words.txt: not an .npz file; expected an .npz"),
    ("mnist_conditional", "--data empty", "--data empty: holds no train-images-idx3-ubyte"),
    ("stacked_mnist", "--data nowhere.npz", "--data nowhere.npz: no such file or directory"),
    ("numpy_gan", "--data nowhere.npz", "--data nowhere.npz: no such file or directory"),
    ("digit_classifier", "--data numbers.csv", "--data numbers.csv: not an .npz file"),
    ("digit_classifier", "--data digits --shift 8", "--shift 8: expected less than the images' side, 8"),
    ("pix2pix", "--data nowhere.npz", "--data nowhere.npz: no such file or directory"),
    ("cyclegan", "--data nowhere.npz", "--data nowhere.npz: no such file or directory"),
    ("pix2pix", "--pairs ''", "--pairs '': expected a folder with PNG files"),
    ("pix2pix", "--pairs nowhere", "--pairs nowhere: no such folder; expected one with PNG files"),
    ("pix2pix", "--pairs file", "--pairs file: no such folder; expected one with PNG files"),
    ("pix2pix", "--pairs full", "--pairs full: holds no PNG file"),
    ("cyclegan", "--domain-a '' --domain-b ''", "--domain-a '': expected a folder with PNG files"),
    ("cyclegan", "--domain-a nowhere --domain-b full", "--domain-a nowhere: no such folder"),
    ("cyclegan", "--domain-a empty --domain-b full", "--domain-a empty: holds no PNG file"),
    (
        "cyclegan",
        "--domain-a half --domain-b full",
        "--domain-a half: holds no PNG file, and no val/ or test/ beside train/",
    ),
    ("pix2pix", "--pairs full --data ''", "--data '': expected no such flag beside --pairs full"),
    # ---- sample.py
    ("sample", "", "RUN: expected the folder of one run"),
    ("sample", "numpy run", "RUN numpy run: expected the folder of one run"),
    ("sample", "--count 3 numpy run", "RUN numpy run: expected the folder of one run"),
    ("sample", "''", "RUN '': expected the folder of a run"),
    ("sample", "nowhere", "RUN nowhere: no run here (there is no config.json)"),
    ("sample", "empty", "RUN empty: no run here"),
    ("sample", "file", "RUN file: config.json cannot be used: not a directory"),
    ("sample", "broken", "RUN broken: config.json cannot be used"),
    ("sample", "edited", "RUN edited: config.json: it was changed after it was written"),
    ("sample", "other", "RUN other: nothing: no experiment of this name in experiments/"),
    ("sample", "translation", "RUN translation: a run of pix2pix, whose generator translates images"),
    ("sample", "run", "RUN run: no checkpoint yet"),
    ("sample", "numpy --colour red", "--colour: no such flag"),
    ("sample", "--run numpy", "--run: no such flag"),
    ("sample", "numpy --count 0", "--count 0: expected at least 1"),
    ("sample", "numpy --count 1.5", "--count 1.5: expected a whole number, at least 1"),
    ("sample", "numpy --count", "--count: expected a whole number, at least 1"),
    ("sample", f"numpy --count {HUGE}", f"--count {HUGE}: expected below 2^63"),
    ("sample", "numpy --seed -1", "--seed -1: expected at least 0 and below 2^31"),
    ("sample", "numpy --label 12", "--label 12: expected a digit from 0 to 9"),
    ("sample", "numpy --label -1", "--label -1: expected a digit from 0 to 9"),
    ("sample", "numpy --label seven", "--label seven: expected a whole number, a digit from 0 to 9"),
    ("sample", "numpy --label 3", "--label 3: a run of numpy_gan is trained without labels"),
    ("sample", "numpy --seed-index 99", "--seed-index 99: a run of numpy_gan has a single seed"),
    ("sample", "numpy --seed-index -1", "--seed-index -1: expected 0 or more"),
    ("sample", "numpy --seed-index x", "--seed-index x: expected a whole number, 0 or more"),
    ("sample", "numpy --out", "--out: expected a name, file or folder"),
    ("sample", "numpy --out ''", "--out '': expected a .png, .npy or .csv file"),
    ("sample", "numpy --out a.jpg", "--out a.jpg: expected a .png, .npy or .csv file"),
    ("sample", "numpy --out a", "--out a: expected a .png, .npy or .csv file"),
    ("sample", "numpy --out numbers.csv", "--out numbers.csv: numbers.csv exists already; choose a new file"),
    ("sample", "numpy --out a.csv", "--out a.csv: expected a .png or .npy file for images"),
    ("sample", "numpy --out file/a.npy", "--out file/a.npy: "),
    ("sample", "numpy --export ''", "--export '': expected a .npz file"),
    ("sample", "numpy --export G.npy", "--export G.npy: expected a .npz file"),
    ("sample", "numpy --export H.npz --count 5", "--count 5: expected no such flag with --export alone"),
    ("sample", "numpy --export G.npz", "--export G.npz: G.md exists already; choose a new file"),
    ("sample", "numpy --export file/G.npz", "--export file/G.npz: "),
    # ---- plot.py
    ("plot", "", "RUN: expected the folder of a run, or several"),
    ("plot", "''", "RUN '': expected the folder of a run"),
    ("plot", "numpy ''", "RUN '': expected the folder of a run"),
    ("plot", "nowhere", "RUN nowhere: no run here (there is no config.json)"),
    ("plot", "nowhere numpy", "RUN nowhere: no run here (there is no config.json)"),
    ("plot", "file", "RUN file: config.json cannot be used: not a directory"),
    ("plot", "broken", "RUN broken: config.json cannot be used"),
    ("plot", "edited", "RUN edited: config.json: it was changed after it was written"),
    ("plot", "other", "RUN other: nothing: no experiment of this name in experiments/"),
    ("plot", "run", "RUN run: no checkpoint yet"),
    ("plot", "translation", "RUN translation: no checkpoint yet"),
    ("plot", "damaged", "RUN damaged: result.json cannot be used"),
    ("plot", "damaged numpy", "RUN damaged: result.json cannot be used"),
    ("plot", "run numpy", "RUN run: log.jsonl is missing or empty, so that there are no curves"),
    ("plot", "numpy numpy", "RUN numpy numpy: a run is named twice"),
    ("plot", "numpy ../place/numpy", "a run is named twice"),
    ("plot", "numpy logged", "their logs share no number; expected runs of one kind"),
    ("plot", "numpy damaged --numbers modes to_real", "--numbers modes: expected some of to_real"),
    ("plot", "numpy --numbers to_real", "--numbers to_real: expected nothing with a single RUN"),
    ("plot", "numpy --out a.png", "--out a.png: expected nothing with a single RUN"),
    ("plot", "numpy run --out", "--out: expected a name, file or folder"),
    ("plot", "numpy run --out ''", "--out '': expected a .png file"),
    ("plot", "numpy run --out a.txt", "--out a.txt: expected a .png file"),
    ("plot", "numpy run --out there.png", "--out there.png: exists already; choose a new file"),
    ("plot", "numpy run --colour red", "--colour: no such flag"),
]
ROWS = [(script, *row) for script in FLAGS if FLAGS[script] for row in IN_ALL.items()]
ROWS += [*rows_of_kinds(), *BY_HAND]


# ------------------------------------------------------------------------------------------------------- tests


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """The current folder of all rows, with what they name; `content` tells whether one of them touched anything."""
    folder = tmp_path_factory.mktemp("place") / "place"
    (folder / "half" / "train").mkdir(parents=True)
    for name in ("empty", "full", "broken", "edited", "other", "run", "translation", "numpy", "logged"):
        (folder / name).mkdir(parents=True)
    for name in ("file", "full/notes.txt", "words.txt"):
        (folder / name).write_text("nothing that a script could use\n")
    (folder / "numbers.csv").write_text("1\n2\n" * 30)
    (folder / "points.csv").write_text("1,2\n3,4\n" * 30)
    (folder / "there.png").touch()
    (folder / "G.md").touch()
    (folder / "broken" / "config.json").write_text("{")
    other = {"format": storage.FORMAT, "experiment": "nothing", "recipe": "", "config": {}}
    files.write_checked_json(folder / "other" / "config.json", other)
    storage.save_config(folder / "run", "normal_1d", "stable", normal_1d.Config())
    storage.save_config(folder / "translation", "pix2pix", "stable", cli.script("pix2pix").Config())
    config = numpy_gan.Config()
    for name in ("edited", "numpy", "logged"):
        storage.save_config(folder / name, "numpy_gan", "stable", config)
    about = {"config": json.loads((folder / "numpy" / "config.json").read_text()), "log": [], "train_seconds": 0.0}
    about |= {"data": {"name": "digits", "side": 8}, "recorded": -1}
    state = numpy_gan.new_game(config, 8).state() | {"unrecorded": np.zeros((0, 0))}
    storage.Checkpoints(folder / "numpy").save(1, state, about)
    (folder / "numpy" / "log.jsonl").write_text('{"step": 0, "to_real": 2.5}\n{"step": 1, "to_real": 1.5}\n')
    (folder / "logged" / "log.jsonl").write_text('{"step": 0, "kl": 2.5}\n')
    edited = folder / "edited" / "config.json"
    edited.write_text(edited.read_text().replace('"batch": 64', '"batch": 32'))
    shutil.copytree(folder / "numpy", folder / "damaged")
    (folder / "damaged" / "result.json").write_text("{")
    training = runs.Run.training

    def only_of_finished_runs(run, *args, **settings):
        assert run.reopened, "training begins"  # wrong input that is taken for right
        return training(run, *args, **settings)

    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(runs.Run, "training", only_of_finished_runs)
        patch.setattr(inspect, "getsource", functools.cache(inspect.getsource))  # a third of the time of a row
        yield folder


def content(folder):
    """Every folder below, and every file with the time when it was changed."""
    return {path: path.stat().st_mtime_ns if path.is_file() else 0 for path in folder.rglob("*")}


def exit_code(script, words):
    """Run a command line in this process; returns its exit code."""
    module = cli.script(script)
    if hasattr(module, "RECIPES"):
        return command(module, *words)
    try:
        module.main(words)
    except SystemExit as stop:
        return stop.code
    return 0


@pytest.mark.parametrize(("script", "words", "expected"), ROWS, ids=[f"{row[0]} {row[1][:40]}" for row in ROWS])
def test_one_line_says_what_is_wrong_and_nothing_is_touched(script, words, expected, place, capsys):
    before = content(place)
    assert exit_code(script, shlex.split(words)) == 2
    screen = capsys.readouterr()
    assert screen.err.count("\n") == 1 and screen.err.endswith("\n"), screen.err
    assert all(part in screen.err for part in expected.split(" ... ")), screen.err
    assert not any(word in screen.out for word in ("training", "step", "importing")), screen.out
    assert content(place) == before


@pytest.mark.parametrize("script", ["numpy_gan", "mnist_mlp", "cyclegan"])
@pytest.mark.parametrize("path", ["nowhere", "words.txt", "empty"])
def test_a_variable_that_names_no_images_is_named(script, path, place, monkeypatch, capsys):
    monkeypatch.setenv("MNIST_NPZ", path)
    before = content(place)
    assert exit_code(script, ["--data", "mnist"]) == 2
    line = one_line(capsys)
    assert f"MNIST_NPZ={path}: " in line and "expected an .npz with x_train" in line
    assert content(place) == before


@pytest.mark.parametrize("script", FLAGS)
def test_the_table_has_a_row_for_every_flag(script):
    named = " ".join(FLAGS[script].values()) + " " + OTHER.get(script, "data")
    fields = cli.script(script).Config.__dataclass_fields__
    flags = {name.replace("_", "-") for name in fields}
    assert sorted(named.split()) == sorted(flags), "add a new flag to FLAGS, beside those that take the same values"


def test_of_several_recipes_the_last_one_counts():
    assert config_of(normal_1d, ["--recipe=classic", "--recipe", "stable"]) == normal_1d.RECIPES["stable"]
    assert config_of(normal_1d, ["--recipe", "stable", "--recipe=classic"]) == normal_1d.RECIPES["classic"]
