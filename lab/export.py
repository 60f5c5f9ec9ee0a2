"""A generator as a file that NumPy alone can use: its weights as .npz, beside them a README with a short program.

The program needs neither TensorFlow nor this project. It draws the latents of `experiments/sample.py` with the same
seed and makes the same samples, up to rounding: of float32 and, for images, to whole grey levels.
"""

from __future__ import annotations

import json
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from lab import draws, files

ACTIVATIONS = {  # those of `gan_core` in NumPy
    "relu": "np.maximum(0, a)",
    "leaky_relu": "np.maximum(0.2 * a, a)",
    "leaky_relu_01": "np.maximum(0.01 * a, a)",
    "tanh": "np.tanh(a)",
    "softplus": "np.logaddexp(0, a)",
    "gelu": "0.5 * a * (1 + np.vectorize(math.erf)(a / np.sqrt(2)))",
}
OUTPUTS = {"tanh": "(np.tanh(a) + 1) / 2", "sigmoid": "0.5 * (1 + np.tanh(a / 2))"}  # of images: pixels in [0, 1]


class Generator(NamedTuple):
    """What an exported generator consists of."""

    arrays: dict[str, np.ndarray]  # weights, by the names that the program uses
    functions: str  # Python code that defines `generate(z)`
    latents: str  # Python code that defines `latents(n, seed)`
    call: str = "generate(latents(10))"  # what makes ten samples
    words: str = "the generator"
    images: bool = False  # with pixels in [0, 1]


# ---------------------------------------------------------------------------------------- numbers and points


def points(
    weights: Sequence[np.ndarray],
    mean: np.ndarray,
    std: np.ndarray,
    skip: bool,
    activation: str,
    latent: str,
    first: int = 0,
) -> Generator:
    """Perceptrons of S seeds, whose samples are columns: numbers if the last layer has one unit, otherwise points.

    Args:
        weights: `[W1, b1, W2, b2, ...]`, each `[S, out, in]` or `[S, out, 1]`; with `skip` a last one `[S, F, Z]`.
        mean, std: `[S, F, 1]`, which map the output of the networks to the unit of the data.
        first: place of the first of these GANs in its run. The GAN at place j draws its latents with seed + j.
    """
    arrays = _layers(weights[:-1] if skip else weights) | {"mean": mean, "std": std}
    if skip:
        arrays["skip"] = weights[-1]
    depth, (seeds, features, _), inputs = len(weights) // 2, mean.shape, weights[0].shape[2]
    last = f'g["W{depth}"] @ h + g["b{depth}"]' + (' + g["skip"] @ z' if skip else "")
    shape, columns = ("[S, n]", "[:, 0]") if features == 1 else ("[S, n, 2]", ".swapaxes(1, 2)")
    functions = f'''
def generate(z):
    """Latents [S, {inputs}, n] -> samples {shape} of S = {seeds} seed{"s" * (seeds > 1)}, in the unit of the data."""
    h = z
    for k in range(1, {depth}):
        a = g[f"W{{k}}"] @ h + g[f"b{{k}}"]
        h = {ACTIVATIONS[activation]}
    x = {last}
    return (x * g["std"] + g["mean"]){columns}
'''
    code = f'''
def latents(n, seed=0):
    """n latents of every seed, [{seeds}, {inputs}, n]: those of `sample.py --seed SEED`."""
    rows = []
    for k in range({first}, {first + seeds}):
{_random_bits(inputs, "seed + k", 8)}
        rows.append({latent}[bits].T)
    return np.stack(rows)
'''
    words = f"the generators of {seeds} seeds" if seeds > 1 else "the generator of one seed"
    return Generator(arrays, functions, _table(latent) + code, words=words)


# ---------------------------------------------------------------------------------------------------- images


def dense_images(
    weights: Sequence[np.ndarray], activation: str, output: str, side: int, categories: int = 0
) -> Generator:
    """A multilayer perceptron of columns whose output is an image.

    Args:
        weights: `[W1, b1, W2, b2, ...]`, each `[out, in]` or `[out, 1]`.
        categories: of the code with which the latents begin; see `draws.coded_latents`.
    """
    depth, inputs = len(weights) // 2, weights[0].shape[1]
    functions = f'''
def generate(z):
    """Latents [n, {inputs}] -> images [n, {side}, {side}] with pixels in [0, 1]."""
    h = z.T
    for k in range(1, {depth}):
        a = g[f"W{{k}}"] @ h + g[f"b{{k}}"]
        h = {ACTIVATIONS[activation]}
    a = g["W{depth}"] @ h + g["b{depth}"]
    return ({OUTPUTS[output]}).T.reshape(-1, {side}, {side})
'''
    return Generator(_layers(weights), functions, _image_latents(inputs, categories), images=True)


def dcgan_images(
    weights: Sequence[np.ndarray],
    side: int,
    class_frequencies: Sequence[float] | None = None,
    categories: int = 0,
) -> Generator:
    """The DCGAN of `lab.networks`, at inference: batch norm uses the running statistics.

    Args:
        weights: those of `networks.dcgan_generator`, then the running mean and variance of each batch norm.
        side: of the images. The grey images of which G makes several at a time are the colours of one.
        class_frequencies: of a conditional G, whose input is a latent and then ten numbers that name the digit.
        categories: of the code with which the latents begin; see `draws.coded_latents`.
    """
    blocks = (len(weights) - 4) // 6  # 4 weights and 2 statistics each; a dense layer and a last convolution
    arrays = {"W": weights[0], "b": weights[1]}
    for k in range(1, blocks + 2):
        names = ("kernel", "bias", "scale", "offset")[: 4 if k <= blocks else 2]
        arrays |= {f"{name}{k}": weights[4 * k - 2 + i] for i, name in enumerate(names)}
    for k in range(1, blocks + 1):
        arrays[f"mean{k}"], arrays[f"variance{k}"] = weights[4 * blocks + 2 + 2 * k : 4 * blocks + 4 + 2 * k]
    maps, channels = arrays["kernel1"].shape[2], arrays[f"kernel{blocks + 1}"].shape[3]
    first, inputs = side // 2**blocks, len(weights[0])
    colours = weights[1].size // (first**2 * maps)  # grey images at a time
    shape, grey = (f"[n, {side}, {side}]", "[..., 0]") if channels == 1 else (f"[n, {side}, {side}, {channels}]", "")
    if colours > 1:
        shape = f"[n, {side}, {side}, {colours}]"
        grey = f".reshape(-1, {colours}, {side}, {side}).transpose(0, 2, 3, 1)"
    given, words, label, call = "z", f"Latents [n, {inputs}]", "", "generate(latents(10))"
    code = _image_latents(inputs, categories)
    if class_frequencies is not None:
        given, words, inputs = "z, digits", f"Latents [n, {inputs - 10}] and digits [n]", inputs - 10
        label, call = "    z = np.hstack([z, np.eye(10)[digits]])\n", "generate(latents(10), digits_of_all_kinds(10))"
        arrays["class_frequencies"] = np.array(class_frequencies)
        code = _image_latents(inputs) + _DIGITS
    functions = f'''
def conv(x, kernel, bias):
    """3x3 convolution with zeros around the border: [n, H, W, in] -> [n, H, W, out]."""
    _, height, width, _ = x.shape
    x = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    return bias + sum(x[:, i : i + height, j : j + width] @ kernel[i, j] for i in range(3) for j in range(3))


def generate({given}):
    """{words} -> images {shape} with pixels in [0, 1]."""
{label}    h = np.maximum(0, z @ g["W"] + g["b"]).reshape(-1, {first}, {first}, {maps})
    for k in range(1, {blocks + 1}):
        h = h.repeat(2, axis=1).repeat(2, axis=2)  # upsampling: each pixel becomes a box of 2x2
        h = conv(h, g[f"kernel{{k}}"], g[f"bias{{k}}"])
        h = (h - g[f"mean{{k}}"]) / np.sqrt(g[f"variance{{k}}"] + 0.001)  # batch norm, by running statistics
        h = np.maximum(0, g[f"scale{{k}}"] * h + g[f"offset{{k}}"])
    x = np.tanh(conv(h, g["kernel{blocks + 1}"], g["bias{blocks + 1}"]))
    return (x{grey} + 1) / 2
'''
    return Generator(arrays, functions, code, call, images=True)


_DIGITS = '''

def digits_of_all_kinds(n):
    """Digits for n samples, each as often as among the real images; np.full(n, 7) asks for sevens alone."""
    even = np.arange(n) * ((5**0.5 - 1) / 2) % 1  # multiples of the golden ratio fill [0, 1) evenly
    return np.minimum(np.searchsorted(np.cumsum(g["class_frequencies"]), even, side="right"), 9)
'''


# --------------------------------------------------------------------------------------- parts of the program


def _layers(weights: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
    """`[W1, b1, W2, b2, ...]` by name."""
    names = (f"{letter}{k}" for k in range(1, len(weights) // 2 + 1) for letter in "Wb")
    return dict(zip(names, weights, strict=True))


def _image_latents(inputs: int, categories: int = 0) -> str:
    one_hot = f"""
    code = z[:, :{categories}]  # a category: of these numbers all but the largest become 0
    code[:] = {categories}**0.5 * np.eye({categories})[code.argmax(1)]"""
    return (
        _table("normal")
        + f'''
def latents(n, seed=0):
    """n latents [n, {inputs}]: those of `sample.py --seed SEED`."""
{_random_bits(inputs, "seed", 4)}
    z = normal[bits]{one_hot if categories else ""}
    return z
'''
    )


def _table(latent: str) -> str:
    """Code for the 65,536 values of one latent coordinate."""
    tables = {
        "uniform": "uniform = 2 * (np.arange(65536) + 0.5) / 65536 - 1",
        "normal": "normal = np.array([NormalDist().inv_cdf((k + 0.5) / 65536) for k in range(65536)])",
    }
    return f"\n# a coordinate of a latent has one of 65,536 equally probable values\n{tables[latent]}\n\n"


def _random_bits(size: int, seed: str, indent: int) -> str:
    """Code for the random bits `[n, size]` of n latents, as `draws.random_bits` draws them."""
    words, stream = -(-size // 4), draws.EVALUATION
    lines = (
        f"words = np.random.PCG64DXSM([{seed}, {stream}]).random_raw({words} * n)  # of 64 bits",
        f"bits = words.view(np.uint16).reshape(n, -1)[:, :{size}]",
    )
    return "\n".join(" " * indent + line for line in lines)


# ------------------------------------------------------------------------------------------------ the files


def program(generator: Generator, file: str) -> str:
    """The complete NumPy program that loads `file` and makes ten samples."""
    code = f"{generator.functions}\n{generator.latents}"
    imports = "".join(line for word, line in _IMPORTS.items() if word in code)
    return f"""{imports}import numpy as np

with np.load({file!r}) as file:
    g = {{name: file[name] for name in file.files}}

{code}

samples = {generator.call}
print(samples.shape, samples.min(), samples.mean(), samples.max())
"""


_IMPORTS = {"math.erf": "import math\n", "NormalDist": "from statistics import NormalDist\n\n"}


def readme(path: Path) -> Path:
    """The README of an exported generator: beside G.npz it is G.md."""
    return path.with_suffix(".md")


def write(path: Path, generator: Generator, about: Mapping[str, Any], command: str) -> None:
    """Write the generator as `path` (.npz), and its README.

    Args:
        about: experiment, recipe, step and settings, which are kept in the file as JSON, too.
        command: what makes the same ten samples, for the README.
    """
    with files.replacing(path) as temporary, temporary.open("wb") as file:  # to a name np.savez would add .npz
        np.savez(file, settings=np.array(json.dumps(about)), **generator.arrays)  # type: ignore[arg-type]
    with files.replacing(readme(path)) as temporary:
        temporary.write_text(_readme_text(path.name, generator, about, command))


def _readme_text(file: str, generator: Generator, about: Mapping[str, Any], command: str) -> str:
    rows = "\n".join(
        f"| `{name}` | {' x '.join(map(str, array.shape))} | {array.dtype} |"
        for name, array in generator.arrays.items()
    )
    where = f"of a run of `{about['experiment']}`, recipe `{about['recipe']}`, after {about['step']} steps"
    pixels = " this command, whose grey levels 0 to 255 are numbers from 0 to 1 here:" * generator.images
    text = (
        f"`{file}` holds {generator.words} {where}, with the weights that the run evaluates. The program below needs "
        f"Python and NumPy alone. Save it in the folder of `{file}` and run it there. It makes the same ten samples, "
        f"up to rounding, as{pixels}"
    )
    return f"""# A generator for NumPy

{textwrap.fill(text, 110)}

    {command}

```python
{program(generator, file)}```

`latents` repeats the random numbers of that command; any others of the same distribution and shape will do.

| array in `{file}` | shape | type |
|---|---|---|
{rows}

`settings` holds the settings of the run: `json.loads(str(g["settings"]))`. Nothing in the file is pickled.
"""
