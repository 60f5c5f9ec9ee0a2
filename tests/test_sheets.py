"""Sheets of images: every pixel where it belongs, names beside rows, files whole."""

import numpy as np
import pytest
from PIL import Image

from lab import runs, sheets


def test_sheet_places_images_row_by_row_on_white():
    images = np.linspace(0, 1, 3)[:, None, None] * np.ones((3, 2, 3))  # black, grey, white, of 2 x 3 pixels
    picture = sheets.sheet(images, columns=2, zoom=2)
    assert (picture.shape, picture.dtype) == ((2 * 4 + 4, 2 * 6 + 4), np.uint8)
    assert np.all(picture[:4, :6] == 0) and np.all(picture[:4, 10:] == 128)
    assert np.all(picture[:4, 6:10] == 255) and np.all(picture[4:8] == 255) and np.all(picture[8:, :6] == 255)
    assert np.all(picture[8:, 10:] == 255)  # no fourth image


def test_sheet_takes_colours_and_one_channel_and_zooms_small_images():
    colours = np.zeros((1, 28, 28, 3))
    colours[..., 1] = 1
    assert sheets.sheet(colours, columns=1).shape == (56, 56, 3)
    assert sheets.sheet(colours, columns=1)[0, 0].tolist() == [0, 255, 0]
    assert sheets.sheet(np.zeros((2, 8, 8, 1)), columns=2).shape == (56, 2 * 56 + 4)
    assert sheets.sheet(np.zeros((1, 100, 100)), columns=1).shape == (100, 100)


def test_save_sheet_writes_its_pixels(tmp_path):
    images = np.full((2, 8, 8), 0.5)
    sheets.save(tmp_path / "a.png", images, columns=2)
    with Image.open(tmp_path / "a.png") as picture:
        np.testing.assert_array_equal(np.asarray(picture), sheets.sheet(images, columns=2))


def test_keep_sheet_keeps_a_snapshot_and_in_a_folder_a_picture(tmp_path):
    images = np.linspace(0, 1, 25)[:, None, None] * np.ones((25, 8, 8))
    for run in (runs.Run(), runs.Run(tmp_path)):
        sheets.keep(run, runs.Period(0, 30), images)
        kept = run.snapshots[30]["images"]
        assert (kept.dtype, kept.shape, kept[12, 0, 0], kept[24, 0, 0]) == (np.uint8, (25, 8, 8), 128, 255)
    assert [path.name for path in (tmp_path / "samples").iterdir()] == ["00000030.png"]


def image_snapshots(steps, n=12, shape=(8, 8)):
    """Images whose grey level is the step's."""
    return {step: {"images": np.full((n, *shape), step, np.uint8)} for step in steps}


def test_strip_has_a_row_for_each_of_a_few_steps_in_order():
    rows = sheets.strip(image_snapshots([200, 0, 100, 50, 150]), rows=3, columns=4)
    assert rows.shape == (12, 8, 8)
    np.testing.assert_allclose(rows[::4, 0, 0], [0, 100 / 255, 200 / 255])
    assert len(sheets.strip(image_snapshots([0, 10]), rows=11)) == 20


def test_sheet_animation_shows_every_step_in_order(tmp_path):
    sheets.animation(tmp_path / "training.gif", image_snapshots([200, 0, 100]), columns=6)
    with Image.open(tmp_path / "training.gif") as gif:
        top = gif.height - (2 * 60 - 4)
        assert (gif.n_frames, gif.width) == (3, 6 * 60 - 4) and 10 < top < 30
        for k, level in enumerate((0, 100, 200)):
            gif.seek(k)
            frame = np.asarray(gif.convert("L"))
            assert abs(int(frame[top + 20, 20]) - level) < 3  # the first image, below the line that names the step
            assert frame[:top].min() < 128  # that line


def blank(picture):
    """Whether a part of a picture is white."""
    return np.asarray(picture).min() == 255


@pytest.mark.parametrize("shape", [(8, 8), (8, 8, 3)])
def test_a_labelled_sheet_keeps_every_pixel_and_names_its_rows(shape):
    images = np.random.default_rng(0).random((6, *shape))
    sheet = sheets.sheet(images, columns=3)
    assert (np.asarray(sheets.labelled(sheet)) == sheet).all()
    whole = np.asarray(sheets.labelled(sheet, "A title", ["a", "nearest training image"]))
    top, left = whole.shape[0] - sheet.shape[0], whole.shape[1] - sheet.shape[1]
    assert whole.ndim == sheet.ndim and 10 < top < 30 and 40 < left < 110
    np.testing.assert_array_equal(whole[top:, left:], sheet)
    names = whole[top:, :left]
    assert not blank(whole[:top]) and not blank(names[:56]) and not blank(names[60:])
    assert blank(names[:10]) and blank(names[54:62])  # each in the middle of its row
    ink = [
        np.argwhere(np.asarray(rows).reshape(*rows.shape[:2], -1).min(axis=2) < 128) for rows in (names[:56], names)
    ]
    assert ink[0][:, 1].min() > ink[1][:, 1].min() and names[:, -2:].min() == 255  # aligned at the right


def test_a_long_title_of_a_narrow_sheet_has_several_lines():
    sheet = sheets.sheet(np.zeros((2, 8, 8)), columns=2)
    title = "The same held-out images, as pix2pix translates them through training"
    picture = sheets.labelled(sheet, title, ["step 0"])
    assert picture.width < sheet.shape[1] + 80 and picture.height > sheet.shape[0] + 50
    ink = np.argwhere(np.asarray(picture)[: -sheet.shape[0]] < 128)
    assert ink[:, 1].max() < picture.width - 2 and ink[:, 0].max() < picture.height - sheet.shape[0]


@pytest.mark.parametrize("shape", [(8, 8), (8, 8, 3)])
def test_image_figures_are_files_of_the_folder(tmp_path, shape):
    rng = np.random.default_rng(0)
    samples, between, nearest = (rng.random((n, *shape)) for n in (20, 24, 5))
    snapshots = image_snapshots([0, 50, 100], shape=shape)
    names = {"samples.png", "strip.png", "interpolation.png", "training.gif"}
    sheets.figures(tmp_path / "a", samples, snapshots, between)
    assert {path.name for path in (tmp_path / "a").iterdir()} == names
    sheets.figures(tmp_path / "b", samples, snapshots, between, (samples[:5], nearest))
    assert {path.name for path in (tmp_path / "b").iterdir()} == names | {"neighbours.png"}
    expected = {
        "b/samples.png": sheets.sheet(samples, 10),
        "b/strip.png": sheets.sheet(sheets.strip(snapshots, 11), 10),
        "b/interpolation.png": sheets.sheet(between, 12),
        "b/neighbours.png": sheets.sheet(np.concatenate([samples[:5], nearest]), 5),
    }
    for name, picture in expected.items():
        with Image.open(tmp_path / name) as found:
            whole = np.asarray(found)
            np.testing.assert_array_equal(whole[-picture.shape[0] :, -picture.shape[1] :], picture)
            assert not blank(whole[: -picture.shape[0]])  # the title


def test_sheets_say_what_their_rows_are(tmp_path, monkeypatch):
    drawn = {}
    monkeypatch.setattr(
        sheets,
        "labelled",
        lambda sheet, title, rows=(): drawn.setdefault(title, rows) and 0 or Image.new("L", (1, 1)),
    )
    samples, between, nearest = (np.zeros((n, 8, 8)) for n in (20, 24, 5))
    sheets.figures(tmp_path, samples, image_snapshots([0, 50, 100]), between, (samples[:5], nearest), rows=["0", "1"])
    rows = {title.split()[0]: names for title, names in drawn.items() if not title.startswith("step")}
    assert rows["20"] == rows["Each"] == ["0", "1"]
    assert rows["Fakes"] == ["step 0", "step 50", "step 100"]
    assert rows["Are"] == ("fake", "nearest training image")
    assert {"step 0", "step 50", "step 100"} <= set(drawn)  # of the animation
    sheets.save_strip(tmp_path / "a.png", image_snapshots(range(0, 90, 10)), 3, 4, "Title")
    assert drawn["Title"] == ["step 0", "step 40", "step 80"]
