"""Sheets of images, strips and moving pictures of them, in Pillow alone: arrays in, files out."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from lab import files, player, runs, storage

if TYPE_CHECKING:
    Array = np.ndarray

GAP = 4  # pixels between two images of a sheet


def sheet(images: Array, columns: int, zoom: int | None = None) -> Array:
    """Images `[n, H, W]` or `[n, H, W, 1 or 3]` in [0, 1] as one uint8 picture, row by row on white.

    `zoom`: screen pixels for each pixel, by default as many as make an image about 56 wide.
    """
    zoom = zoom or max(1, round(56 / images.shape[2]))
    images = np.round(255 * images).astype(np.uint8).repeat(zoom, 1).repeat(zoom, 2)
    images = images[..., 0] if images.shape[3:] == (1,) else images
    n, height, width = images.shape[:3]
    rows = -(-n // columns)
    size = (rows * (height + GAP) - GAP, columns * (width + GAP) - GAP, *images.shape[3:])
    picture = np.full(size, 255, np.uint8)
    for k, image in enumerate(images):
        top, left = k // columns * (height + GAP), k % columns * (width + GAP)
        picture[top : top + height, left : left + width] = image
    return picture


def labelled(picture: Array, title: str = "", rows: Sequence[str] = ()) -> Image.Image:
    """A `sheet` with a title above and a name left of each row; the pixels of the sheet stay as they are."""
    font, sheet = ImageFont.load_default(13), Image.fromarray(picture)
    names = [textwrap.fill(name, 14) for name in rows]
    measure = ImageDraw.Draw(sheet).multiline_textbbox
    left = max((int(measure((0, 0), name, font)[2]) + 10 for name in names), default=0)
    title = textwrap.fill(title, (left + sheet.width) // 7)  # a letter is about 7 pixels wide
    top = int(measure((0, 0), title, font)[3]) + 8 if title else 0
    whole = Image.new(sheet.mode, (left + sheet.width, top + sheet.height), "white")
    whole.paste(sheet, (left, top))
    pen = ImageDraw.Draw(whole)
    pen.multiline_text((2, 2), title, "black", font)
    for k, name in enumerate(names):
        middle = top + (k + 0.5) * (sheet.height + GAP) / len(names) - GAP / 2
        pen.multiline_text((left - 6, middle), name, "black", font, anchor="rm", align="right")
    return whole


def save(path: Path, images: Array, columns: int, title: str = "", rows: Sequence[str] = ()) -> None:
    """Write a `labelled` sheet as a PNG, whole or not at all."""
    with files.replacing(path) as temporary:
        labelled(sheet(images, columns), title, rows).save(temporary)


def keep(run: runs.Run, period: runs.Period, images: np.ndarray, columns: int = 5) -> None:
    """Keep images in [0, 1] as the run's snapshot of this step, and as samples/<step>.png to look at meanwhile."""
    run.snapshot(period, images=np.round(255 * images).astype(np.uint8))
    if run.folder:
        save(run.folder / storage.sheet(period.last), images, columns)


def animation(path: Path, snapshots: dict, columns: int = 5) -> None:
    """training.gif: fakes of the same latents through training; early steps get more frames.

    `snapshots`: step -> `{"images": uint8 [n, H, W] or [n, H, W, 1 or 3]}`, as in `strip` and `figures`. Without any,
    nothing is written.
    """
    if not snapshots:
        return
    steps = sorted(snapshots)
    shown = [steps[i] for i in player.frames(len(steps), 40)]
    pictures = [labelled(sheet(snapshots[step]["images"] / 255, columns), f"step {step}") for step in shown]
    player.save_gif(path, pictures, milliseconds=150)


def strip(snapshots: dict, rows: int, columns: int = 10) -> Array:
    """The first `columns` images of up to `rows` snapshots, evenly through training, in [0, 1]: rows of a sheet."""
    return np.concatenate([snapshots[step]["images"][:columns] / 255 for step in _evenly(snapshots, rows)])


def _evenly(snapshots: dict, rows: int) -> list[int]:
    """Steps of up to `rows` snapshots, evenly through training."""
    steps = sorted(snapshots)
    return [steps[i] for i in np.unique(np.linspace(0, len(steps) - 1, rows).round().astype(int))]


def save_strip(path: Path, snapshots: dict, rows: int, columns: int, title: str) -> None:
    """Write `strip` with its steps as a PNG; nothing without snapshots, all of which may have been damaged."""
    if not snapshots:
        return
    steps = [f"step {step}" for step in _evenly(snapshots, rows)]
    save(path, strip(snapshots, rows, columns), columns, title, steps)


def figures(
    folder: Path,
    samples: Array,
    snapshots: dict,
    between: Array,
    copies: tuple[Array, Array] | None = None,
    rows: Sequence[str] = (),
    by_category: Array | None = None,
) -> None:
    """Pictures of an image experiment, from images `[n, H, W]` or `[n, H, W, 1 or 3]` in [0, 1].

    samples.png         final fakes, ten a row
    strip.png           fakes of the same 10 latents through training, the first step on top
    interpolation.png   each row goes from one latent to another in 12 images
    training.gif        fakes of the same latents through training
    neighbours.png      if `copies` are given: fakes, each above the training image that is nearest to it
    categories.png      if `by_category` is given: its 10 rows, whose latents differ in their category alone

    `rows`: names of the rows of samples and interpolation, such as the digits that were asked for.
    """
    save(folder / "samples.png", samples, 10, f"{len(samples)} fakes, not selected", rows)
    save_strip(folder / "strip.png", snapshots, 11, 10, "Fakes of the same latents through training")
    words = "Each row: fakes of 12 latents on the way from one latent to another"
    save(folder / "interpolation.png", between, 12, words, rows)
    animation(folder / "training.gif", snapshots)
    if copies is not None:
        names = "fake", "nearest training image"
        save(folder / "neighbours.png", np.concatenate(copies), len(copies[0]), "Are training images copied?", names)
    if by_category is not None:
        words = "Each column: one category of z; in a row all other numbers of z are the same"
        save(folder / "categories.png", by_category, len(by_category) // 10, words)
