"""What pix2pix and CycleGAN share: folders of PNG, the U-Net, the PatchGAN, sheets of translated images.

Images are uint8 `[N, H, W, C]` where they are kept and float32 in [-1, 1] where networks see them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image, UnidentifiedImageError
from rich.table import Table

import gan_conv as conv
import gan_data as data
import gan_images as images
import gan_runs as runs
from gan_core import Weights, tf

WIDEST = 256  # channels at most


@dataclass(frozen=True)
class TranslationConfig(images.ImageConfig):
    """Settings of both translations."""

    eval_samples: int = 10_000  # held-out images behind the final numbers, as many as there are
    log_samples: int = 1000  # the same for each record in log.jsonl
    width: int = 32  # channels of the first layers; 64 in the papers
    learning_rate: float = 5e-4  # of every Adam; the papers' 2e-4 is for batches of 1
    beta1: float = 0.5
    beta2: float = 0.999

    def with_sensible_numbers(self) -> Any:
        """As `ImageConfig.with_sensible_numbers`."""
        runs.require(self, "width", "at least 1", lambda v: v >= 1)
        runs.require(self, "learning_rate", "above 0", lambda v: 0 < v < np.inf)
        runs.require(self, "beta1 beta2", "at least 0 and below 1", lambda v: 0 <= v < 1)
        return super().with_sensible_numbers()


# ------------------------------------------------------------------------------------------------ folders


class Split(NamedTuple):
    """Images to train on and held-out ones, uint8 `[N, H, W, C]`; of digits also what they are."""

    train: np.ndarray
    test: np.ndarray
    test_labels: np.ndarray | None
    name: str


def read_folder(flag: str, folder: str, seed: int, columns: int = 1) -> Split:
    """The PNG images of `folder/train` and `folder/val` (or `test`), else of `folder` with a tenth held out.

    Grey images have one channel. If any image is in colour, all are read as RGB; transparency is dropped.

    Args:
        flag: what the user called the folder.
        seed: decides which tenth is held out.
        columns: pictures side by side in each image.
    BadInput names the folder or file: no PNG, sizes that differ, sides not divisible by 4, fewer than two images.
    """
    root = Path(folder)
    held_out = next((root / name for name in ("val", "test") if (root / name).is_dir()), None)
    if (root / "train").is_dir() and held_out:
        both = _pngs(flag, root / "train"), _pngs(flag, held_out)
        pictures = _read(flag, [*both[0], *both[1]], columns)
        return Split(pictures[: len(both[0])], pictures[len(both[0]) :], None, root.name)
    paths = _pngs(flag, root)
    if len(paths) < 2:
        raise runs.BadInput(f"{flag} {root}: one PNG file, expected at least two: one is held out")
    pictures = _read(flag, paths, columns)
    order = data.generator(seed, data.SPLIT).permutation(len(pictures))
    test = order[: max(1, len(pictures) // 10)]
    return Split(np.delete(pictures, test, axis=0), pictures[test], None, root.name)


def _pngs(flag: str, folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise runs.BadInput(f"{flag} {folder}: no such folder; expected one with PNG files")
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() == ".png")
    if not paths:
        raise runs.BadInput(f"{flag} {folder}: holds no PNG file")
    return paths


def _read(flag: str, paths: Sequence[Path], columns: int) -> np.ndarray:
    """uint8 `[N, H, W, C]`; BadInput for what cannot be read, or differs in size, or does not divide."""
    pictures = []
    for path in paths:
        try:
            with Image.open(path) as opened:
                pictures.append(_pixels(opened))
        except (OSError, UnidentifiedImageError, SyntaxError) as error:
            raise runs.BadInput(f"{flag} {path}: not a PNG image that can be read ({error})") from None
        height, width = pictures[0].shape[:2]
        if pictures[-1].shape[:2] != (height, width):
            other = "{1} x {0}".format(*pictures[-1].shape[:2])
            raise runs.BadInput(f"{flag} {path}: {other} pixels, expected {width} x {height} as {paths[0].name}")
        if height % 4 or width % (4 * columns):
            wanted = "sides that 4 divides" if columns == 1 else "A|B side by side, the sides of each divisible by 4"
            raise runs.BadInput(f"{flag} {path}: {width} x {height} pixels, expected {wanted}")
    if any(picture.ndim == 3 for picture in pictures):
        return np.stack([p if p.ndim == 3 else np.repeat(p[..., None], 3, axis=2) for p in pictures])
    return np.stack(pictures)[..., None]


def _pixels(picture: Image.Image) -> np.ndarray:
    """uint8 `[H, W]` of a grey picture, `[H, W, 3]` of another."""
    if picture.mode in ("I", "I;16"):  # 16 bits, which Pillow would clip at 255
        return np.round(np.asarray(picture, np.float64) / 257).astype(np.uint8)
    return np.asarray(picture.convert("L" if picture.mode in ("1", "L", "LA") else "RGB"))


def described(train: np.ndarray, test: np.ndarray) -> str:
    """How many images there are, their size, and whether they are taken as grey or as RGB."""
    height, width, channels = train.shape[1:]
    colour = "grey" if channels == 1 else "in colour (all read as RGB)"
    return f"{len(train)} images to train on, {len(test)} held out, {width} x {height}, {colour}"


def to_network(x: tf.Tensor | np.ndarray) -> tf.Tensor:
    """uint8 0 .. 255 -> float32 -1 .. 1."""
    return tf.cast(x, tf.float32) / 127.5 - 1


# ----------------------------------------------------------------------------------------------- networks


def instance_norm(x: tf.Tensor, scale: tf.Tensor, offset: tf.Tensor) -> tf.Tensor:
    """Each channel of each image of `[B, H, W, C]` to mean 0 and variance 1, then scale and offset `[C]`.

    Source: Ulyanov et al. 2016. Training and inference do the same: no running statistics.
    """
    mean = tf.reduce_mean(x, (1, 2), keepdims=True)
    variance = tf.reduce_mean((x - mean) ** 2, (1, 2), keepdims=True)
    return scale * tf.math.rsqrt(variance + conv.EPSILON) * (x - mean) + offset


def depth(height: int, width: int) -> int:
    """How often the U-Net halves the sides: at least twice, then down to 4 pixels while they are even."""
    k = 2
    while height % 2 ** (k + 1) == 0 and width % 2 ** (k + 1) == 0 and min(height, width) >= 4 * 2 ** (k + 1):
        k += 1
    return k


def unet_weights(rng: np.random.Generator, size: Sequence[int], width: int) -> Weights:
    """Raw weights of `unet` for images of `size` (H, W, C); `width` channels in the first layer, then doubled."""
    glorot, levels, channels = partial(conv.glorot, rng), depth(*size[:2]), size[2]
    widths = [min(width * 2**k, WIDEST) for k in range(levels)]
    weights = glorot(4, 4, channels, widths[0])
    for inputs, outputs in zip(widths, widths[1:], strict=False):
        weights += glorot(4, 4, inputs, outputs) + conv.norm_weights(outputs)
    inputs = widths[-1]
    for outputs in reversed(widths[:-1]):
        weights += glorot(3, 3, inputs, outputs) + conv.norm_weights(outputs)
        inputs = 2 * outputs  # with the skip
    return weights + glorot(3, 3, inputs, channels)


def mask_sizes(size: Sequence[int], width: int) -> list[int]:
    """Values of one image that `unet` drops at each of its levels on the way up, the last one not counted."""
    levels = depth(*size[:2])
    places = [size[0] * size[1] // 4**k for k in range(1, levels)]
    return [place * min(width * 2**k, WIDEST) for k, place in enumerate(places)][::-1]


def unet(x: tf.Tensor, weights: Sequence, bits: tf.Tensor | None = None, rate: float = 0.0) -> tf.Tensor:
    """Images `[B, H, W, C]` to images of that size, in [-1, 1]; each level's input is also its mirror image's.

    Source: Isola et al. 2017, section 6.1: strided convolutions down, upsampling convolutions up, skips between
    equal sizes; instance norm as in Zhu et al. 2017. Random `bits [B, sum of mask_sizes]` drop values on the way
    up: in pix2pix the only noise there is.
    """
    levels = (len(weights) - 4) // 8 + 1  # 2 weights at both ends, twice 4 at each level between
    first, *downs, last = conv.groups(weights, 2, *[4] * (2 * levels - 2), 2)
    downs, ups = downs[: levels - 1], downs[levels - 1 :]
    skips = [conv.leaky_relu(conv.conv(x, *first, stride=2))]
    for kernel, bias, *norm in downs:
        skips.append(conv.leaky_relu(instance_norm(conv.conv(skips[-1], kernel, bias, stride=2), *norm)))
    h = skips.pop()
    shapes = [skip.shape[1] * skip.shape[2] * skip.shape[3] for skip in reversed(skips)]
    masks = [None] * len(ups) if bits is None else tf.split(bits, shapes, axis=1)
    for (kernel, bias, *norm), mask, skip in zip(ups, masks, reversed(skips), strict=True):
        h = tf.nn.relu(conv.dropout(instance_norm(conv.upsampled_conv(h, kernel, bias), *norm), mask, rate))
        h = tf.concat([h, skip], axis=3)
    return tf.tanh(conv.upsampled_conv(h, *last))


def patchgan_weights(rng: np.random.Generator, channels: int, width: int) -> Weights:
    """Raw weights of `patchgan` on images of so many channels."""
    glorot = partial(conv.glorot, rng)
    weights = glorot(4, 4, channels, width) + glorot(4, 4, width, 2 * width) + conv.norm_weights(2 * width)
    return weights + glorot(4, 4, 2 * width, 1)


def patchgan(x: tf.Tensor, weights: Sequence) -> tf.Tensor:
    """Logits of all overlapping patches of 22 x 22 pixels, one every 4: `[B, H, W, C] -> [B H/4 W/4]`.

    Source: Isola et al. 2017, section 3.2.2; two strided layers for small images.
    """
    first, (kernel, bias, *norm), last = conv.groups(weights, 2, 4, 2)
    h = conv.leaky_relu(conv.conv(x, *first, stride=2))
    h = conv.leaky_relu(instance_norm(conv.conv(h, kernel, bias, stride=2), *norm))
    return tf.reshape(conv.conv(h, *last), (-1,))


# ------------------------------------------------------------------------------------------------- running


def mean_error(a: np.ndarray, b: np.ndarray) -> float:
    """Mean |a - b| per pixel and channel, images in [0, 1]."""
    return float(np.abs(a - b).mean())


def readings(judge: Any, x: np.ndarray, labels: np.ndarray) -> tuple[float, np.ndarray]:
    """Share of images `[n, H, W, 1]` in [0, 1] whose label the judge reads, and its features of them `[n, 64]`."""
    verdicts, features = judge.verdicts(x[..., 0])
    return float(np.mean(verdicts.argmax(-1) == labels)), features


def show_table(title: str, columns: Sequence[str], rows: dict[str, Sequence[float | None]]) -> None:
    """The closing table; None is left empty."""
    table = Table("", *columns, title=title, title_justify="left", box=runs.box.SIMPLE_HEAD)
    for column in table.columns[1:]:
        column.justify = "right"
    for label, values in rows.items():
        table.add_row(label, *("" if value is None else f"{value:.3f}" for value in values))
    runs.console.print(table)
