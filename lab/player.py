"""Moving pictures of training: GIFs, and a page with its pictures inside, which plays them without a network."""

from __future__ import annotations

import base64
import io
import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from lab import files

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.figure import Figure

PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>Training, step by step</title>
<style>
body { font: 16px sans-serif; text-align: center; margin: 1em; }
img { max-width: 100%; }
input { width: 40em; max-width: 95%; }
button { font: inherit; min-width: 5em; }
</style>
<img id="picture" alt="">
<p><input id="slider" type="range" min="0" max="LAST" value="0" aria-label="picture"></p>
<p>
  <button id="first">|&lt; first</button>
  <button id="back">&lt; back</button>
  <button id="play">play</button>
  <button id="next">next &gt;</button>
  <button id="last">last &gt;|</button>
</p>
<p id="where"></p>
<p>Keys: left and right arrow: one picture; Home and End: the first and the last; space: play or pause.</p>
<script>
const pictures = PICTURES, captions = CAPTIONS, last = LAST;
const get = name => document.getElementById(name);
let now = 0, timer = null;

function show(k) {
  now = Math.min(Math.max(k, 0), last);
  get("picture").src = pictures[now];
  get("picture").alt = captions[now];
  get("slider").value = now;
  get("where").textContent = "picture " + (now + 1) + " of " + (last + 1) + ": " + captions[now];
}
function pause() { clearInterval(timer); timer = null; get("play").textContent = "play"; }
function go(k) { pause(); show(k); }
function play() {
  if (timer) { pause(); return; }
  if (now === last) show(0);
  timer = setInterval(() => now < last ? show(now + 1) : pause(), MILLISECONDS);
  get("play").textContent = "pause";
}
const jobs = { first: () => go(0), back: () => go(now - 1), play, next: () => go(now + 1), last: () => go(last) };
for (const name in jobs) get(name).onclick = jobs[name];
get("slider").oninput = () => go(Number(get("slider").value));
const keys = { Home: "first", ArrowLeft: "back", " ": "play", ArrowRight: "next", End: "last" };
document.onkeydown = event => {
  if (event.ctrlKey || event.altKey || event.metaKey) return; /* the browser's own */
  if (!(event.key in keys) || (event.key === " " && event.target.tagName === "BUTTON")) return;
  event.preventDefault();
  jobs[keys[event.key]]();
};
show(0);
</script>
</html>
"""


def frames(n: int, at_most: int) -> list[int]:
    """Which of n records an animation shows: the first, the last, and more of the early ones."""
    return np.unique((np.linspace(0, 1, at_most) ** 2 * (n - 1)).round().astype(int)).tolist()


def drawn(fig: Figure, draw: Callable[[int], Sequence[Artist]], frames: Sequence[int], dpi: int) -> list[Image.Image]:
    """A picture of the figure after each `draw(i)`, i in `frames`.

    `draw` returns what differs between the pictures, and what shall cover it. All else is drawn once and stays behind
    them, which takes a fifth of the time.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    fig.set_dpi(dpi)
    canvas = FigureCanvasAgg(fig)
    moving = draw(frames[0])
    fig.draw_without_rendering()
    fig.set_layout_engine("none")  # laid out once: nothing jumps
    for artist in moving:
        artist.set_animated(True)  # `canvas.draw` leaves it out
    canvas.draw()
    behind = canvas.copy_from_bbox(fig.bbox)
    pictures = []
    for i in frames:
        canvas.restore_region(behind)
        for artist in draw(i):
            fig.draw_artist(artist)
        pictures.append(Image.fromarray(np.array(canvas.buffer_rgba())).convert("RGB"))
    return pictures


def save_gif(path: Path, pictures: Sequence[Image.Image], milliseconds: int) -> None:
    """Write an animation that starts again for ever; its last picture stays for 1.5 seconds."""
    durations = [milliseconds] * (len(pictures) - 1) + [1500]
    with files.replacing(path) as temporary:
        pictures[0].save(temporary, save_all=True, append_images=pictures[1:], duration=durations, loop=0)


def save_page(path: Path, pictures: Sequence[Image.Image], captions: Sequence[str], milliseconds: int) -> None:
    """Write the page that plays these pictures, each with its caption and for this many milliseconds."""
    urls = []
    for picture in pictures:
        buffer = io.BytesIO()
        picture.save(buffer, "PNG")
        urls.append("data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode())
    values = {"PICTURES": json.dumps(urls), "LAST": str(len(urls) - 1), "MILLISECONDS": str(milliseconds)}
    values["CAPTIONS"] = json.dumps(list(captions)).replace("<", "\\u003c")  # so that no caption ends the script
    with files.replacing(path) as temporary:
        temporary.write_text(re.sub("|".join(values), lambda found: values[found[0]], PAGE))
